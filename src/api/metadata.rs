//! Metadata (3): this one node, and the topics with their partitions.
//!
//! Versions 0–12. v1 rack, controller_id, is_internal, null for "all topics" · v2 cluster_id ·
//! v3 throttle_time_ms · v4 allow_auto_topic_creation · v5 offline_replicas · v7 leader_epoch ·
//! v8 authorized operations · v9 flexible · v10 topic_id · v12 lookup by topic id.
//!
//! Promises: every topic that was asked for is answered, in the order of the request; the one
//! broker is leader, replica and controller of everything, at the address that the client dialled.
//! A topic that is created on the way is answered at once, and the answer waits until the topic
//! would survive a power cut: what was announced does not vanish.
//! Bytes behind the last field are ignored: librdkafka sends four zero bytes for "all topics" in
//! v9 and later, of which one is the null array and the others read as flags (protocol.md 3).
//! Absent: authorized operations, always the value for "not asked"; internal topics.

use super::{Api, Context, Outcome, Reply, code_of};
use crate::broker::{LEADER_EPOCH, NewTopic, Refusal};
use crate::state::topics::{Topic, check_name};
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader, Uuid, Writer};

/// The row.
pub const API: Api =
    Api { key: 3, name: "Metadata", versions: (0, 12), advertised_min: 0, flexible: 9, handle };

/// What stands for "nobody asked for authorized operations".
pub const OPERATIONS_OMITTED: i32 = i32::MIN;

const NO_ID: Uuid = [0; 16];

/// A topic of a request.
struct Wanted<'a> {
    id: Uuid,
    name: Option<&'a str>,
}

fn read_topic<'a>(r: &mut Reader<'a>) -> Result<Wanted<'a>, ReadError> {
    let id = r.since(10, NO_ID, |r| r.uuid("topic_id"))?;
    let name = match r.version() {
        10.. => r.nullable_string("name")?,
        _ => Some(r.string("name")?),
    };
    r.tags()?;
    Ok(Wanted { id, name })
}

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let count = r.nullable_array("topics")?;
    let mut wanted = r;
    for _ in 0..count.unwrap_or(0) {
        read_topic(&mut r)?;
    }
    let allow_auto_topic_creation = r.since(4, true, |r| r.bool("allow_auto_topic_creation"))?;
    r.within(8, 10, false, |r| r.bool("include_cluster_authorized_operations"))?;
    r.since(8, false, |r| r.bool("include_topic_authorized_operations"))?;
    r.tags()?;
    let w = &mut reply.w;
    write_cluster(context, w);
    let mut created = None;
    match count {
        Some(count) if count > 0 || r.version() > 0 => {
            let create =
                allow_auto_topic_creation && context.broker.config().auto_create_topics_enable;
            w.array(count);
            for _ in 0..count {
                let topic = read_topic(&mut wanted)?;
                answer_topic(context, w, &topic, create, &mut created);
                if w.overflowed() {
                    // The connection is closed anyway: no work for what nobody will see.
                    break;
                }
            }
        }
        _ => {
            w.array(context.broker.topics().len());
            let node_id = context.node_id();
            context.broker.topics().iter().for_each(|topic| write_topic(w, node_id, topic));
        }
    }
    w.within(8, 10, |w| w.i32(OPERATIONS_OMITTED));
    w.tags();
    Ok(created.map_or(Outcome::Now, Outcome::AfterSync))
}

fn write_cluster(context: &Context<'_>, w: &mut Writer<'_>) {
    w.since(3, |w| w.i32(0));
    w.array(1);
    w.i32(context.node_id());
    context.write_address(w);
    w.since(1, |w| w.nullable_string(None));
    w.tags();
    w.since(2, |w| w.nullable_string(Some(context.broker.cluster_id())));
    w.since(1, |w| w.i32(context.node_id()));
}

/// Answers for one topic, which is created if it may be; `created` is then the frame to wait for.
fn answer_topic(
    context: &mut Context<'_>,
    w: &mut Writer<'_>,
    wanted: &Wanted<'_>,
    create: bool,
    created: &mut Option<Lsn>,
) {
    // Clients of v10 and v11 send zero ids; the server side of ids came with v12 (KIP-516).
    let early = w.version() < 12 && (wanted.name.is_none() || wanted.id != NO_ID);
    if early {
        return write_missing(w, ErrorCode::InvalidRequest, wanted.name, &NO_ID);
    }
    let node_id = context.node_id();
    let name = match wanted.name {
        Some(name) if wanted.id == NO_ID => name,
        _ => {
            return match context.broker.topics().find_id(&wanted.id) {
                Some(topic) => write_topic(w, node_id, topic),
                None => write_missing(w, ErrorCode::UnknownTopicId, None, &wanted.id),
            };
        }
    };
    if context.broker.topics().find(name).is_none() {
        match missing(context, name, create) {
            Ok(lsn) => *created = (*created).max(Some(lsn)),
            Err(code) => return write_missing(w, code, Some(name), &NO_ID),
        }
    }
    match context.broker.topics().find(name) {
        Some(topic) => write_topic(w, node_id, topic),
        None => write_missing(w, ErrorCode::UnknownTopicOrPartition, Some(name), &NO_ID),
    }
}

/// Creates a topic that is not there, or says why not.
fn missing(context: &mut Context<'_>, name: &str, create: bool) -> Result<Lsn, ErrorCode> {
    check_name(name).map_err(|_| ErrorCode::InvalidTopicException)?;
    // Apache Kafka's own topics: whoever asks for them wants their contents, not a new topic.
    if !create || matches!(name, "__consumer_offsets" | "__transaction_state") {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let new = NewTopic { name, partitions: -1, replication_factor: -1, ..NewTopic::default() };
    context.broker.create_topic(new, context.now).map_err(|refusal| match refusal {
        // What clients of this API retry.
        Refusal::TopicGoing | Refusal::Busy => ErrorCode::LeaderNotAvailable,
        refusal => code_of(refusal),
    })
}

fn write_missing(w: &mut Writer<'_>, code: ErrorCode, name: Option<&str>, id: &Uuid) {
    write_topic_head(w, code, name, id);
    w.array(0);
    w.since(8, |w| w.i32(OPERATIONS_OMITTED));
    w.tags();
}

fn write_topic_head(w: &mut Writer<'_>, code: ErrorCode, name: Option<&str>, id: &Uuid) {
    w.error(code);
    match w.version() {
        12.. => w.nullable_string(name),
        _ => w.string(name.unwrap_or_default()),
    }
    w.since(10, |w| w.uuid(id));
    w.since(1, |w| w.bool(false));
}

fn write_topic(w: &mut Writer<'_>, node_id: i32, topic: &Topic) {
    write_topic_head(w, ErrorCode::None, Some(&topic.name), &topic.id);
    w.array(topic.partitions.len());
    for partition in 0..topic.partitions.len() {
        w.error(ErrorCode::None);
        w.i32(partition as i32);
        w.i32(node_id);
        w.since(7, |w| w.i32(LEADER_EPOCH));
        for _replicas_and_isr in 0..2 {
            w.array(1);
            w.i32(node_id);
        }
        w.since(5, |w| w.array(0));
        w.tags();
    }
    w.since(8, |w| w.i32(OPERATIONS_OMITTED));
    w.tags();
}
