//! What the handlers of topics and of settings have in common.
//!
//! Promises: nothing is written to a response here but whole fields in Kafka's order.
//! Absent: anything that a single API needs; that stays in its file.

use super::code_of;
use crate::broker::Refusal;
use crate::config::{ConfigEntry, ConfigError, Reason};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};
use std::collections::BTreeSet;

/// The number of topics among resources (`ConfigResource.Type.TOPIC`).
pub const RESOURCE_TOPIC: i8 = 2;
/// The number of brokers among resources (`ConfigResource.Type.BROKER`).
pub const RESOURCE_BROKER: i8 = 4;

/// `authorized_operations` where nobody asked for them
/// (`MetadataResponse.AUTHORIZED_OPERATIONS_OMITTED`).
pub const OPERATIONS_OMITTED: i32 = i32::MIN;
/// Where somebody asked: a bit for each `AclOperation`. Without ACLs everybody may do everything
/// that there is for such a resource (`AclEntry.supportedOperations`): on a topic read, write,
/// create, delete, alter, describe, describe and alter configs.
pub const OPERATIONS_TOPIC: i32 = operations(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// On a group read, delete, describe, describe and alter configs.
pub const OPERATIONS_GROUP: i32 = operations(&[3, 6, 8, 10, 11]);
/// On the cluster create, alter, describe, cluster action, describe and alter configs, idempotent
/// write.
pub const OPERATIONS_CLUSTER: i32 = operations(&[5, 7, 8, 9, 10, 11, 12]);

const fn operations(codes: &[i32]) -> i32 {
    let mut bits = 0;
    let mut at = 0;
    while at < codes.len() {
        bits |= 1 << codes[at];
        at += 1;
    }
    bits
}

/// Operations, if somebody asked for them.
pub fn operations_if(asked: bool, operations: i32) -> i32 {
    if asked { operations } else { OPERATIONS_OMITTED }
}

/// A refusal as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Kafka's code.
    pub code: ErrorCode,
    /// A sentence for a person.
    pub message: String,
}

impl Refused {
    /// A refusal with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refused {
        Refused { code, message: message.into() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let message = match refusal {
            Refusal::UnknownTopicOrPartition => "there is no such topic or partition".to_owned(),
            Refusal::UnknownTopicId => "there is no topic with this id".to_owned(),
            Refusal::TopicExists => "a topic of this name already exists".to_owned(),
            Refusal::TopicGoing => {
                "a topic was deleted just now, its files are still going; try again in a moment"
                    .to_owned()
            }
            Refusal::InvalidTopicName(what) => what.to_owned(),
            Refusal::InvalidPartitions => "the number of partitions must be at least 1".to_owned(),
            Refusal::InvalidReplicationFactor => {
                "this is one node, which keeps one replica: ask for a replication factor of 1 or \
                 -1, or set replication.factor.accept.any = true, and any factor is accepted and \
                 reported as 1"
                    .to_owned()
            }
            Refusal::NoRoom(what, limit) => {
                format!("all topics together may have {limit} {what} on this board")
            }
            Refusal::OffsetOutOfRange => "the offset lies outside the log".to_owned(),
            Refusal::Busy => "the journal is full just now; try again".to_owned(),
            Refusal::CorruptBatch => "the batch has rotted".to_owned(),
            Refusal::Storage => "the disk is full or failed".to_owned(),
        };
        Refused { code: code_of(refusal), message }
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Self {
        let code = match error.reason {
            Reason::InvalidRequest => ErrorCode::InvalidRequest,
            Reason::UnknownKey | Reason::InvalidValue | Reason::NotThereYet | Reason::Syntax => {
                ErrorCode::InvalidConfig
            }
        };
        Refused { code, message: error.to_string() }
    }
}

/// Code and sentence of a result, for a response's `error_code` and `error_message`.
pub fn error_of<T>(result: &Result<T, Refused>) -> (ErrorCode, Option<&str>) {
    match result {
        Ok(_) => (ErrorCode::None, None),
        Err(refused) => (refused.code, Some(&refused.message)),
    }
}

/// Those that come more than once. A request that names something twice is refused for it, and
/// in Kafka nothing happens to it then.
pub fn repeated<T: Ord + Copy>(
    mut items: impl Iterator<Item = Result<T, ReadError>>,
) -> Result<BTreeSet<T>, ReadError> {
    let mut seen = BTreeSet::new();
    items.try_fold(BTreeSet::new(), |mut again, item| {
        let item = item?;
        if !seen.insert(item) {
            again.insert(item);
        }
        Ok(again)
    })
}

/// Refuses a topic that a request names more than once, see [`repeated`].
///
/// # Errors
/// INVALID_REQUEST.
pub fn named_once(again: &BTreeSet<&str>, name: &str) -> Result<(), Refused> {
    if again.contains(name) {
        let message = "the request names this topic more than once";
        return Err(Refused::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// Reads one partition's `broker_ids` of a manual assignment, which must be this one node.
pub fn read_assignment(r: &mut Reader<'_>, node_id: i32) -> Result<Result<(), Refused>, ReadError> {
    let count = r.array("broker_ids")?;
    let mut stranger = None;
    for _ in 0..count {
        let broker_id = r.i32("broker_ids")?;
        if broker_id != node_id {
            stranger = Some(broker_id);
        }
    }
    let message = match (count, stranger) {
        (_, Some(id)) => format!("there is no node {id}; the only one here is {node_id}"),
        (0, None) => "the assignment names no node".to_owned(),
        (1, None) => return Ok(Ok(())),
        _ => format!("the assignment names node {node_id} more than once"),
    };
    Ok(Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message)))
}

/// Writes what CreateTopics and DescribeConfigs say of a setting alike: name, value, read_only,
/// config_source and is_sensitive.
pub fn write_config(w: &mut Writer<'_>, entry: &ConfigEntry) {
    w.string(&entry.name);
    w.nullable_string(entry.value.as_deref().filter(|_| !entry.is_sensitive));
    w.bool(entry.read_only);
    w.i8(entry.source as i8);
    w.bool(entry.is_sensitive);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_the_numbers_that_apache_kafka_answers_without_acls() {
        assert_eq!([OPERATIONS_TOPIC, OPERATIONS_GROUP, OPERATIONS_CLUSTER], [3576, 3400, 8096]);
        assert_eq!(operations_if(false, OPERATIONS_TOPIC), i32::MIN);
    }
}
