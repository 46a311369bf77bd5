//! What the handlers of topics and of settings have in common.
//!
//! Promises: nothing is written to a response here but whole fields in Kafka's order.
//! Absent: anything that a single API needs; that stays in its file.

use super::{Context, code_of};
use crate::broker::{Names, Refusal};
use crate::config::{ConfigEntry, ConfigError, Reason};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};
use std::borrow::Cow;

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
    pub message: Cow<'static, str>,
}

impl Refused {
    /// A refusal with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Refused {
        Refused { code, message: message.into() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let message = match refusal {
            Refusal::NoRoom(what, limit) => {
                return Refused::new(
                    code_of(refusal),
                    format!("all topics together may have {limit} {what} on this board"),
                );
            }
            Refusal::UnknownTopicOrPartition => "there is no such topic or partition",
            Refusal::UnknownTopicId => "there is no topic with this id",
            Refusal::TopicExists => "a topic of this name already exists",
            Refusal::TopicGoing => {
                "a topic was deleted just now, its files are still going; try again in a moment"
            }
            Refusal::InvalidTopicName(what) => what,
            Refusal::InvalidPartitions => "the number of partitions must be at least 1",
            Refusal::InvalidReplicationFactor => {
                "this is one node, which keeps one replica: ask for a replication factor of 1 or \
                 -1, or set replication.factor.accept.any = true, and any factor is accepted and \
                 reported as 1"
            }
            Refusal::OffsetOutOfRange => "the offset lies outside the log",
            Refusal::Busy => "the journal is full just now; try again",
            Refusal::CorruptBatch => "the batch has rotted",
            Refusal::Storage => "the disk is full or failed",
        };
        Refused::new(code_of(refusal), message)
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
        Refused::new(code, error.to_string())
    }
}

/// Code and sentence of a result, for a response's `error_code` and `error_message`.
pub fn error_of<T>(result: &Result<T, Refused>) -> (ErrorCode, Option<&str>) {
    match result {
        Ok(_) => (ErrorCode::None, None),
        Err(refused) => (refused.code, Some(&refused.message)),
    }
}

/// Lends the broker's list of names.
pub fn with_names<T>(
    context: &mut Context<'_>,
    work: impl FnOnce(&mut Context<'_>, &mut Names) -> T,
) -> T {
    let mut names = context.broker.take_names();
    names.clear();
    let result = work(context, &mut names);
    context.broker.give_names(names);
    result
}

/// Sorts what the elements of a list are called: `skip` reads one whole, `key` its name. Whether
/// there was room for all of them.
///
/// # Errors
/// [`ReadError`].
pub fn sort_names<'a, T: Ord>(
    names: &mut Names,
    r: &mut Reader<'a>,
    count: usize,
    mut skip: impl FnMut(&mut Reader<'a>) -> Result<(), ReadError>,
    key: impl Fn(Reader<'a>) -> T,
) -> Result<bool, ReadError> {
    names.clear();
    let list = *r;
    let mut fits = true;
    for _ in 0..count {
        fits &= names.push(r.position());
        skip(r)?;
    }
    names.sort(|at| key(list.moved_to(at)));
    Ok(fits)
}

/// The refusal of a request that names more than the board sorts.
pub fn too_many_names() -> Refused {
    Refused::new(ErrorCode::InvalidRequest, "the request names more than this board takes at once")
}

/// Refuses what a request names more than once, as Kafka does, and everything that it names if
/// those are too many (`fits`). `list` is any cursor over the request.
///
/// # Errors
/// INVALID_REQUEST.
pub fn named_once<'a, T: Ord>(
    names: &Names,
    fits: bool,
    name: &T,
    list: Reader<'a>,
    key: impl Fn(Reader<'a>) -> T,
    message: &'static str,
) -> Result<(), Refused> {
    if !fits {
        return Err(too_many_names());
    }
    match names.count(|at| key(list.moved_to(at)).cmp(name)) {
        0 | 1 => Ok(()),
        _ => Err(Refused::new(ErrorCode::InvalidRequest, message)),
    }
}

/// What [`named_once`] says of topics.
pub const TOPIC_TWICE: &str = "the request names this topic more than once";

/// The name at the beginning of an element.
pub fn name_first(mut r: Reader<'_>) -> &str {
    r.string("name").unwrap_or_default()
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
pub fn write_config(w: &mut Writer<'_>, entry: &ConfigEntry<'_>) {
    w.string(entry.name);
    w.nullable_string(entry.value.filter(|_| !entry.is_sensitive));
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
