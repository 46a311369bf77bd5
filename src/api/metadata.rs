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
//! Absent: internal topics.

use super::shared::{OPERATIONS_CLUSTER, OPERATIONS_TOPIC, operations_if};
use super::{Api, Context, Outcome, Reply, code_of};
use crate::broker::{LEADER_EPOCH, NewTopic, Refusal};
use crate::state::topics::{Topic, check_name};
use crate::wire::{ErrorCode, ReadError, Reader, Uuid, Writer};

/// The row.
pub const API: Api =
    Api { key: 3, name: "Metadata", versions: (0, 12), advertised_min: 0, flexible: 9, handle };

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
    let of_cluster = r.within(8, 10, false, |r| r.bool("include_cluster_authorized_operations"))?;
    let of_topics = r.since(8, false, |r| r.bool("include_topic_authorized_operations"))?;
    let operations = operations_if(of_topics, OPERATIONS_TOPIC);
    r.tags()?;
    let w = &mut reply.w;
    write_cluster(context, w);
    match count {
        Some(count) if count > 0 || r.version() > 0 => {
            let create =
                allow_auto_topic_creation && context.broker.config().auto_create_topics_enable;
            w.array(count);
            for _ in 0..count {
                let topic = read_topic(&mut wanted)?;
                answer_topic(context, w, &topic, create, operations);
                if w.overflowed() {
                    // The connection is closed anyway: no work for what nobody will see.
                    break;
                }
            }
        }
        _ => {
            w.array(context.broker.topics().len());
            let node_id = context.node_id();
            let topics = context.broker.topics().iter();
            topics.for_each(|topic| write_topic(w, node_id, topic, operations));
        }
    }
    w.within(8, 10, |w| w.i32(operations_if(of_cluster, OPERATIONS_CLUSTER)));
    w.tags();
    // Created by this request or by another a moment ago: what is announced survives a cut.
    Ok(context.broker.unsynced_topics().map_or(Outcome::Now, Outcome::AfterSync))
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

/// Answers for one topic, which is created if it may be.
fn answer_topic(
    context: &mut Context<'_>,
    w: &mut Writer<'_>,
    wanted: &Wanted<'_>,
    create: bool,
    operations: i32,
) {
    // Clients of v10 and v11 send zero ids; the server side of ids came with v12 (KIP-516).
    let early = w.version() < 12 && (wanted.name.is_none() || wanted.id != NO_ID);
    if early {
        return write_missing(w, ErrorCode::InvalidRequest, wanted.name, &NO_ID, operations);
    }
    let node_id = context.node_id();
    let name = match wanted.name {
        Some(name) if wanted.id == NO_ID => name,
        _ => {
            return match context.broker.topics().find_id(&wanted.id) {
                Some(topic) => write_topic(w, node_id, topic, operations),
                None => write_missing(w, ErrorCode::UnknownTopicId, None, &wanted.id, operations),
            };
        }
    };
    if context.broker.topics().find(name).is_none()
        && let Err(code) = missing(context, name, create)
    {
        return write_missing(w, code, Some(name), &NO_ID, operations);
    }
    match context.broker.topics().find(name) {
        Some(topic) => write_topic(w, node_id, topic, operations),
        None => {
            let code = ErrorCode::UnknownTopicOrPartition;
            write_missing(w, code, Some(name), &NO_ID, operations);
        }
    }
}

/// Creates a topic that is not there, or says why not.
fn missing(context: &mut Context<'_>, name: &str, create: bool) -> Result<(), ErrorCode> {
    check_name(name).map_err(|_| ErrorCode::InvalidTopicException)?;
    // Apache Kafka's own topics: whoever asks for them wants their contents, not a new topic.
    if !create || matches!(name, "__consumer_offsets" | "__transaction_state") {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let new = NewTopic { name, partitions: -1, replication_factor: -1, ..NewTopic::default() };
    match context.broker.create_topic(new, context.now) {
        Ok(_) => Ok(()),
        // What clients of this API retry.
        Err(Refusal::TopicGoing | Refusal::Busy) => Err(ErrorCode::LeaderNotAvailable),
        Err(refusal) => Err(code_of(refusal)),
    }
}

/// Operations are told of what is not there as well, as in Apache Kafka: they are no secret.
fn write_missing(
    w: &mut Writer<'_>,
    code: ErrorCode,
    name: Option<&str>,
    id: &Uuid,
    operations: i32,
) {
    write_topic_head(w, code, name, id);
    w.array(0);
    w.since(8, |w| w.i32(operations));
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

fn write_topic(w: &mut Writer<'_>, node_id: i32, topic: Topic<'_>, operations: i32) {
    write_topic_head(w, ErrorCode::None, Some(topic.name), &topic.id);
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
    w.since(8, |w| w.i32(operations));
    w.tags();
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, body, golden, hex};
    use crate::config::BrokerConfig;
    use crate::wire::Writer;

    fn without_auto_creation() -> TestBroker {
        let config = BrokerConfig { auto_create_topics_enable: false, ..TestBroker::config() };
        let mut test = TestBroker::with(config);
        test.topic("t", 2);
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, without_auto_creation, GOLDEN);
    }

    fn ask_for(w: &mut Writer<'_>, name: &str, allow: bool) {
        w.array(1);
        w.since(10, |w| w.uuid(&[0; 16]));
        w.string(name);
        w.tags();
        w.since(4, |w| w.bool(allow));
        w.within(8, 10, |w| w.bool(false));
        w.since(8, |w| w.bool(false));
        w.tags();
    }

    /// Error code of the only topic in an answer of version 1.
    fn code(bytes: &[u8]) -> i16 {
        let mut r = body(bytes, 3, 1);
        assert_eq!(r.array("brokers"), Ok(1));
        r.i32("node_id").unwrap();
        r.string("host").unwrap();
        r.i32("port").unwrap();
        r.nullable_string("rack").unwrap();
        r.i32("controller_id").unwrap();
        assert_eq!(r.array("topics"), Ok(1));
        r.i16("error_code").unwrap()
    }

    #[test]
    fn a_topic_is_created_on_the_way_and_the_answer_waits_for_it() {
        let mut test = TestBroker::new();
        let (outcome, bytes) = test.ask(3, 1, |w| ask_for(w, "fresh", true));
        assert!(matches!(outcome, Outcome::AfterSync(lsn) if lsn > 0), "{outcome:?}");
        assert_eq!(code(&bytes), 0);
        assert_eq!(test.broker.topics().find("fresh").map(|t| t.partitions.len()), Some(1));
        // Whoever else asks meanwhile waits for the same frame, and nobody does afterwards.
        let (meanwhile, bytes) = test.ask(3, 1, |w| ask_for(w, "fresh", true));
        assert_eq!((meanwhile, code(&bytes)), (outcome, 0));
        test.sync();
        let (again, bytes) = test.ask(3, 1, |w| ask_for(w, "fresh", true));
        assert_eq!((again, code(&bytes)), (Outcome::Now, 0));
    }

    #[test]
    fn nothing_is_created_where_the_flag_the_name_or_the_memory_of_files_forbids_it() {
        let mut test = TestBroker::new();
        for (version, name, allow) in
            [(4, "a", false), (9, "a", false), (4, "a b", true), (4, "__consumer_offsets", true)]
        {
            let (outcome, _) = test.ask(3, version, |w| ask_for(w, name, allow));
            assert_eq!((outcome, test.broker.topics().len()), (Outcome::Now, 0), "{name}");
        }
        test.topic("gone", 1);
        let number = test.broker.topics().find("gone").unwrap().number;
        test.broker.delete_topic(number, test.now).unwrap();
        let (_, bytes) = test.ask(3, 1, |w| ask_for(w, "gone", true));
        assert_eq!(code(&bytes), 5, "LEADER_NOT_AVAILABLE: again");
    }

    #[test]
    fn librdkafkas_four_zero_bytes_ask_for_all_topics() {
        let mut test = without_auto_creation();
        for version in 9..=12 {
            let (_, all) = test.ask(3, version, |w| w.raw(&hex("00 01 00 00 00")));
            let (_, stray) = test.ask(3, version, |w| w.raw(&hex("00000000 01 00 00 00")));
            assert_eq!(stray, all);
        }
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "0000000300017400076d697373696e670008626164206e616d65",
            "000000010000000100093132372e302e302e310000238400000003000000017400000002000000000000\
             000000010000000100000001000000010000000100000000000100000001000000010000000100000001\
             00000001000300076d697373696e670000000000110008626164206e616d6500000000",
        ),
        (
            0..=0,
            "00000000",
            "000000010000000100093132372e302e302e310000238400000001000000017400000002000000000000\
             000000010000000100000001000000010000000100000000000100000001000000010000000100000001\
             00000001",
        ),
        (
            1..=1,
            "0000000300017400076d697373696e670008626164206e616d65",
            "000000010000000100093132372e302e302e3100002384ffff0000000100000003000000017400000000\
             020000000000000000000100000001000000010000000100000001000000000001000000010000000100\
             0000010000000100000001000300076d697373696e67000000000000110008626164206e616d65000000\
             0000",
        ),
        (
            1..=1,
            "ffffffff",
            "000000010000000100093132372e302e302e3100002384ffff0000000100000001000000017400000000\
             020000000000000000000100000001000000010000000100000001000000000001000000010000000100\
             0000010000000100000001",
        ),
        (1..=1, "00000000", "000000010000000100093132372e302e302e3100002384ffff0000000100000000"),
        (
            2..=2,
            "0000000300017400076d697373696e670008626164206e616d65",
            "000000010000000100093132372e302e302e3100002384ffff0016766463794a695f7254705769494b67\
             356578334e72770000000100000003000000017400000000020000000000000000000100000001000000\
             0100000001000000010000000000010000000100000001000000010000000100000001000300076d6973\
             73696e67000000000000110008626164206e616d650000000000",
        ),
        (
            2..=2,
            "ffffffff",
            "000000010000000100093132372e302e302e3100002384ffff0016766463794a695f7254705769494b67\
             356578334e72770000000100000001000000017400000000020000000000000000000100000001000000\
             0100000001000000010000000000010000000100000001000000010000000100000001",
        ),
        (
            2..=2,
            "00000000",
            "000000010000000100093132372e302e302e3100002384ffff0016766463794a695f7254705769494b67\
             356578334e72770000000100000000",
        ),
        (
            3..=3,
            "0000000300017400076d697373696e670008626164206e616d65",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000030000000174000000000200000000000000000001000000\
             010000000100000001000000010000000000010000000100000001000000010000000100000001000300\
             076d697373696e67000000000000110008626164206e616d650000000000",
        ),
        (
            3..=3,
            "ffffffff",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000010000000174000000000200000000000000000001000000\
             010000000100000001000000010000000000010000000100000001000000010000000100000001",
        ),
        (
            3..=3,
            "00000000",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e72770000000100000000",
        ),
        (
            4..=4,
            "0000000300017400076d697373696e670008626164206e616d6501",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000030000000174000000000200000000000000000001000000\
             010000000100000001000000010000000000010000000100000001000000010000000100000001000300\
             076d697373696e67000000000000110008626164206e616d650000000000",
        ),
        (
            4..=4,
            "ffffffff01",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000010000000174000000000200000000000000000001000000\
             010000000100000001000000010000000000010000000100000001000000010000000100000001",
        ),
        (
            4..=7,
            "0000000001",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e72770000000100000000",
        ),
        (
            5..=6,
            "0000000300017400076d697373696e670008626164206e616d6501",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000030000000174000000000200000000000000000001000000\
             010000000100000001000000010000000000000000000100000001000000010000000100000001000000\
             0100000000000300076d697373696e67000000000000110008626164206e616d650000000000",
        ),
        (
            5..=6,
            "ffffffff01",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000010000000174000000000200000000000000000001000000\
             010000000100000001000000010000000000000000000100000001000000010000000100000001000000\
             0100000000",
        ),
        (
            7..=7,
            "0000000300017400076d697373696e670008626164206e616d6501",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000030000000174000000000200000000000000000001000000\
             000000000100000001000000010000000100000000000000000001000000010000000000000001000000\
             01000000010000000100000000000300076d697373696e67000000000000110008626164206e616d6500\
             00000000",
        ),
        (
            7..=7,
            "ffffffff01",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000010000000174000000000200000000000000000001000000\
             000000000100000001000000010000000100000000000000000001000000010000000000000001000000\
             01000000010000000100000000",
        ),
        (
            8..=8,
            "0000000300017400076d697373696e670008626164206e616d65010000",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000030000000174000000000200000000000000000001000000\
             000000000100000001000000010000000100000000000000000001000000010000000000000001000000\
             0100000001000000010000000080000000000300076d697373696e670000000000800000000011000862\
             6164206e616d6500000000008000000080000000",
        ),
        (
            8..=8,
            "ffffffff010000",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e727700000001000000010000000174000000000200000000000000000001000000\
             000000000100000001000000010000000100000000000000000001000000010000000000000001000000\
             010000000100000001000000008000000080000000",
        ),
        (
            8..=8,
            "00000000010000",
            "00000000000000010000000100093132372e302e302e3100002384ffff0016766463794a695f72547057\
             69494b67356578334e7277000000010000000080000000",
        ),
        (
            9..=9,
            "04027400086d697373696e670009626164206e616d650001000000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e7277000000010400000274000300000000000000000001000000000200000001020000000101\
             00000000000001000000010000000002000000010200000001010080000000000003086d697373696e67\
             00018000000000001109626164206e616d65000180000000008000000000",
        ),
        (
            9..=9,
            "0001000000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e7277000000010200000274000300000000000000000001000000000200000001020000000101\
             00000000000001000000010000000002000000010200000001010080000000008000000000",
        ),
        (
            9..=10,
            "0101000000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e727700000001018000000000",
        ),
        (
            10..=10,
            "040000000000000000000000000000000002740000000000000000000000000000000000086d69737369\
             6e67000000000000000000000000000000000009626164206e616d650001000000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e727700000001040000027428efe333b2664103ae789e6aa1b965f40003000000000000000000\
             010000000002000000010200000001010000000000000100000001000000000200000001020000000101\
             0080000000000003086d697373696e670000000000000000000000000000000000018000000000001109\
             626164206e616d6500000000000000000000000000000000000180000000008000000000",
        ),
        (
            10..=10,
            "0001000000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e727700000001020000027428efe333b2664103ae789e6aa1b965f40003000000000000000000\
             010000000002000000010200000001010000000000000100000001000000000200000001020000000101\
             0080000000008000000000",
        ),
        (
            11..=12,
            "040000000000000000000000000000000002740000000000000000000000000000000000086d69737369\
             6e67000000000000000000000000000000000009626164206e616d6500010000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e727700000001040000027428efe333b2664103ae789e6aa1b965f40003000000000000000000\
             010000000002000000010200000001010000000000000100000001000000000200000001020000000101\
             0080000000000003086d697373696e670000000000000000000000000000000000018000000000001109\
             626164206e616d65000000000000000000000000000000000001800000000000",
        ),
        (
            11..=12,
            "00010000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e727700000001020000027428efe333b2664103ae789e6aa1b965f40003000000000000000000\
             010000000002000000010200000001010000000000000100000001000000000200000001020000000101\
             00800000000000",
        ),
        (
            11..=12,
            "01010000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e7277000000010100",
        ),
        (
            12..=12,
            "0328efe333b2664103ae789e6aa1b965f4000047526757130f4f5286c45d188009454f0000010000",
            "0000000002000000010a3132372e302e302e3100002384000017766463794a695f7254705769494b6735\
             6578334e727700000001030000027428efe333b2664103ae789e6aa1b965f40003000000000000000000\
             010000000002000000010200000001010000000000000100000001000000000200000001020000000101\
             00800000000000640047526757130f4f5286c45d188009454f0001800000000000",
        ),
    ];
}
