//! CreateTopics (19): new topics.
//!
//! Versions 2–7. v4 allows -1 for partitions and replication factor · v5 flexible, answers with
//! partitions, replicas and settings · v7 topic_id.
//!
//! Promises: the answer waits until the topics would survive a power cut; a topic is created whole
//! or not at all, and each on its own. `timeout_ms` has no meaning: nothing here takes long.
//! A manual assignment is accepted if every partition's only replica is this node.
//! Absent: quotas, and the collision of `a.b` with `a_b`, which are one name only in Apache
//! Kafka's metrics.

use super::shared::{Refused, error_of, read_assignment, repeated, write_config};
use super::{Api, Context, Outcome, Reply};
use crate::broker::NewTopic;
use crate::config::{ConfigEntry, TopicOverrides, describe_topic};
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader, Uuid, Writer};

/// The row.
pub const API: Api =
    Api { key: 19, name: "CreateTopics", versions: (2, 7), advertised_min: 2, flexible: 5, handle };

/// One topic of a request.
struct Creatable<'a> {
    name: &'a str,
    num_partitions: i32,
    replication_factor: i16,
    /// How many partitions the manual assignment has; `None` if there is no assignment.
    assigned: Result<Option<i32>, Refused>,
    configs: Vec<(&'a str, Option<&'a str>)>,
}

/// What was created, or would have been.
struct Created {
    lsn: Option<Lsn>,
    id: Uuid,
    partitions: u32,
    configs: Vec<ConfigEntry>,
}

fn read_topic<'a>(r: &mut Reader<'a>, node_id: i32) -> Result<Creatable<'a>, ReadError> {
    let name = r.string("name")?;
    let num_partitions = r.i32("num_partitions")?;
    let replication_factor = r.i16("replication_factor")?;
    let assigned = read_assignments(r, node_id)?;
    let mut configs = Vec::new();
    for _ in 0..r.array("configs")? {
        let config = (r.string("config name")?, r.nullable_string("config value")?);
        configs.push(config);
        r.tags()?;
    }
    r.tags()?;
    Ok(Creatable { name, num_partitions, replication_factor, assigned, configs })
}

fn read_assignments(
    r: &mut Reader<'_>,
    node_id: i32,
) -> Result<Result<Option<i32>, Refused>, ReadError> {
    let mut indexes = Vec::new();
    let mut wrong = None;
    for _ in 0..r.array("assignments")? {
        indexes.push(r.i32("partition_index")?);
        wrong = wrong.or(read_assignment(r, node_id)?.err());
        r.tags()?;
    }
    indexes.sort_unstable();
    if let Some(refused) = wrong {
        return Ok(Err(refused));
    }
    // Each index once and none left out: sorted they count from 0.
    if !indexes.iter().copied().eq(0..indexes.len() as i32) {
        let message = "the assigned partitions must count from 0, each named once";
        return Ok(Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message)));
    }
    Ok(Ok((!indexes.is_empty()).then_some(indexes.len() as i32)))
}

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let node_id = context.node_id();
    let count = r.array("topics")?;
    let mut topics = r;
    let twice = repeated((0..count).map(|_| Ok(read_topic(&mut r, node_id)?.name)))?;
    r.i32("timeout_ms")?;
    let validate_only = r.bool("validate_only")?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    let mut last = None;
    for _ in 0..count {
        let topic = read_topic(&mut topics, node_id)?;
        let name = topic.name;
        let result = if twice.contains(name) {
            let message = "the request names this topic more than once";
            Err(Refused::new(ErrorCode::InvalidRequest, message))
        } else {
            create(context, topic, validate_only)
        };
        last = last.max(result.as_ref().ok().and_then(|created| created.lsn));
        write_result(w, name, &result);
        if w.overflowed() {
            // The connection is closed anyway: no work for what nobody will see.
            break;
        }
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

fn create(
    context: &mut Context<'_>,
    topic: Creatable<'_>,
    validate_only: bool,
) -> Result<Created, Refused> {
    let mut partitions = topic.num_partitions;
    if let Some(assigned) = topic.assigned? {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let message = "with a manual assignment, partitions and replication factor must be -1";
            return Err(Refused::new(ErrorCode::InvalidRequest, message));
        }
        partitions = assigned;
    }
    let config = context.broker.config();
    let mut new = NewTopic {
        name: topic.name,
        partitions,
        replication_factor: topic.replication_factor,
        overrides: TopicOverrides::default(),
    };
    let partitions = context.broker.check_new_topic(&new)?;
    new.overrides = TopicOverrides::from_pairs(topic.configs, config)?;
    let configs = describe_topic(config, &new.overrides).collect();
    if validate_only {
        return Ok(Created { lsn: None, id: [0; 16], partitions, configs });
    }
    let lsn = context.broker.create_topic(new, context.now)?;
    let id = context.broker.topics().find(topic.name).map_or([0; 16], |topic| topic.id);
    Ok(Created { lsn: Some(lsn), id, partitions, configs })
}

fn write_result(w: &mut Writer<'_>, name: &str, result: &Result<Created, Refused>) {
    let created = result.as_ref().ok();
    let (code, message) = error_of(result);
    w.string(name);
    w.since(7, |w| w.uuid(&created.map_or([0; 16], |created| created.id)));
    w.error(code);
    w.nullable_string(message);
    w.since(5, |w| {
        w.i32(created.map_or(-1, |created| created.partitions as i32));
        w.i16(created.map_or(-1, |_| 1));
        let configs = created.map_or(&[][..], |created| &created.configs);
        w.array(configs.len());
        for entry in configs {
            write_config(w, entry);
            w.tags();
        }
    });
    w.tags();
}
