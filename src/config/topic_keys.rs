//! The table of topic settings: all that Apache Kafka 4.3 knows, and three that older ones had.
//!
//! Promises: a row's position is its number in the coordinator file, so rows are only ever
//! appended. Types, ranges and defaults were asked of Apache Kafka 4.3.0; where ottla's default
//! differs, the broker setting that the row names as its synonym says so.
//!
//! Absent: the values of a topic (`topic`).

use super::broker::{FullPolicy, SyncPolicy};
use super::value::{Allowed, ValueType};
use Allowed::{Any, Decimal, OneOf, Range, Replicas, Words};
use ValueType::{Boolean, Double, Int, List, Long, String as Text};

/// One topic setting.
pub struct TopicKey {
    /// Kafka's name.
    pub name: &'static str,
    /// The type, for DescribeConfigs and for parsing.
    pub kind: ValueType,
    /// What is allowed beyond the type.
    pub allowed: Allowed,
    /// Kafka's default; where the first synonym is in ottla's table of broker settings, that
    /// setting is the default instead.
    pub default: &'static str,
    /// Kafka's broker settings for the same thing, the one that wins first.
    pub synonyms: &'static [&'static str],
    /// Whether Apache Kafka 4.3 still has it; the others are accepted, and listed where set.
    pub current: bool,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
}

/// The position of the row named `name`.
pub fn position(name: &str) -> Option<u8> {
    TOPIC_KEYS.iter().position(|key| key.name == name).and_then(|index| u8::try_from(index).ok())
}

const fn key(
    name: &'static str,
    kind: ValueType,
    allowed: Allowed,
    default: &'static str,
    synonyms: &'static [&'static str],
    doc: &'static str,
) -> TopicKey {
    TopicKey { name, kind, allowed, default, synonyms, current: true, doc }
}

const fn old(
    name: &'static str,
    kind: ValueType,
    default: &'static str,
    doc: &'static str,
) -> TopicKey {
    TopicKey { name, kind, allowed: Any, default, synonyms: &[], current: false, doc }
}

const NEVER: &str = "9223372036854775807";
const LONG_FROM_0: Allowed = Range(0, i64::MAX);
const LONG_FROM_1: Allowed = Range(1, i64::MAX);
const COMPRESSIONS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

const NO_RECOMPRESSION: &str =
    "Stored and reported, without effect: batches stay compressed as the producer sent them.";
const NO_COMPACTION: &str = "Stored and reported; compaction is not there yet.";
const NO_TIERED_STORAGE: &str = "Stored and reported, without effect: there is no tiered storage.";
const NO_REPLICATION: &str = "Stored and reported, without effect: one node replicates nothing.";

/// All of them. A position is a number on the card: append, never insert.
pub static TOPIC_KEYS: &[TopicKey] = &[
    key(
        "cleanup.policy",
        List,
        Words(&["compact", "delete"]),
        "delete",
        &["log.cleanup.policy"],
        "delete drops old segments. compact is stored and reported, but compaction is not there \
         yet: with compact alone, nothing is deleted by age or size.",
    ),
    key(
        "compression.gzip.level",
        Int,
        Range(-1, 9),
        "-1",
        &["compression.gzip.level"],
        NO_RECOMPRESSION,
    ),
    key(
        "compression.lz4.level",
        Int,
        Range(1, 17),
        "9",
        &["compression.lz4.level"],
        NO_RECOMPRESSION,
    ),
    key(
        "compression.type",
        Text,
        OneOf(COMPRESSIONS),
        "producer",
        &["compression.type"],
        NO_RECOMPRESSION,
    ),
    key(
        "compression.zstd.level",
        Int,
        Range(-131_072, 22),
        "3",
        &["compression.zstd.level"],
        NO_RECOMPRESSION,
    ),
    key(
        "delete.retention.ms",
        Long,
        LONG_FROM_0,
        "86400000",
        &["log.cleaner.delete.retention.ms"],
        NO_COMPACTION,
    ),
    key(
        "file.delete.delay.ms",
        Long,
        LONG_FROM_0,
        "60000",
        &["log.segment.delete.delay.ms"],
        "Stored and reported, without effect: a dropped segment frees its space at once.",
    ),
    key(
        "flush.messages",
        Long,
        LONG_FROM_1,
        NEVER,
        &["log.flush.interval.messages"],
        "Stored and reported, without effect: one sync serves all topics, see \
         log.flush.interval.ms of the broker.",
    ),
    key(
        "flush.ms",
        Long,
        LONG_FROM_0,
        NEVER,
        &["log.flush.interval.ms"],
        "Stored and reported, without effect: one sync serves all topics, and the broker's \
         log.flush.interval.ms decides.",
    ),
    key("follower.replication.throttled.replicas", List, Replicas, "", &[], NO_REPLICATION),
    key(
        "index.interval.bytes",
        Int,
        LONG_FROM_0,
        "4096",
        &["log.index.interval.bytes"],
        "Stored and reported, without effect: the index has its own spacing.",
    ),
    key("leader.replication.throttled.replicas", List, Replicas, "", &[], NO_REPLICATION),
    key(
        "local.retention.bytes",
        Long,
        Range(-2, i64::MAX),
        "-2",
        &["log.local.retention.bytes"],
        NO_TIERED_STORAGE,
    ),
    key(
        "local.retention.ms",
        Long,
        Range(-2, i64::MAX),
        "-2",
        &["log.local.retention.ms"],
        NO_TIERED_STORAGE,
    ),
    key(
        "max.compaction.lag.ms",
        Long,
        LONG_FROM_1,
        NEVER,
        &["log.cleaner.max.compaction.lag.ms"],
        NO_COMPACTION,
    ),
    key(
        "max.message.bytes",
        Int,
        LONG_FROM_0,
        "1048588",
        &["message.max.bytes"],
        "The largest record batch that is accepted, compressed or not.",
    ),
    key(
        "message.timestamp.after.max.ms",
        Long,
        LONG_FROM_0,
        "3600000",
        &["log.message.timestamp.after.max.ms"],
        "How far a record's timestamp may lie ahead of the broker's clock.",
    ),
    key(
        "message.timestamp.before.max.ms",
        Long,
        LONG_FROM_0,
        NEVER,
        &["log.message.timestamp.before.max.ms"],
        "How far a record's timestamp may lie behind the broker's clock.",
    ),
    key(
        "message.timestamp.type",
        Text,
        OneOf(&["CreateTime", "LogAppendTime"]),
        "CreateTime",
        &["log.message.timestamp.type"],
        "Whose clock dates records: the producer's (CreateTime) or the broker's (LogAppendTime).",
    ),
    key(
        "min.cleanable.dirty.ratio",
        Double,
        Decimal(0.0, 1.0),
        "0.5",
        &["log.cleaner.min.cleanable.ratio"],
        NO_COMPACTION,
    ),
    key(
        "min.compaction.lag.ms",
        Long,
        LONG_FROM_0,
        "0",
        &["log.cleaner.min.compaction.lag.ms"],
        NO_COMPACTION,
    ),
    key(
        "min.insync.replicas",
        Int,
        LONG_FROM_1,
        "1",
        &["min.insync.replicas"],
        "Stored and reported, without effect: an acknowledged record is on the flash of this one \
         node, whatever the number.",
    ),
    key(
        "preallocate",
        Boolean,
        Any,
        "false",
        &["log.preallocate"],
        "Stored and reported, without effect: segments are always preallocated.",
    ),
    key("remote.log.copy.disable", Boolean, Any, "false", &[], NO_TIERED_STORAGE),
    key("remote.log.delete.on.disable", Boolean, Any, "false", &[], NO_TIERED_STORAGE),
    key(
        "remote.storage.enable",
        Boolean,
        Any,
        "false",
        &[],
        "Only false is accepted: there is no tiered storage.",
    ),
    key(
        "retention.bytes",
        Long,
        // Kafka takes any number and treats the negative ones as no bound.
        Any,
        "-1",
        &["log.retention.bytes"],
        "How many bytes a partition keeps before its oldest segments are dropped; -1 is no bound.",
    ),
    key(
        "retention.ms",
        Long,
        Range(-1, i64::MAX),
        "604800000",
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        "How long records are kept, in time that really elapsed; -1 is for ever.",
    ),
    key(
        "segment.bytes",
        Int,
        // Kafka 4 asks for 1 MiB at least; its older versions, like a small card, for less.
        Range(14, i64::MAX),
        "1073741824",
        &["log.segment.bytes"],
        "Size at which a partition goes on in a new segment file; values under 4096 count as 4096.",
    ),
    key(
        "segment.index.bytes",
        Int,
        Range(4, i64::MAX),
        "10485760",
        &["log.index.size.max.bytes"],
        "Stored and reported, without effect: an index is as large as its segment needs.",
    ),
    key(
        "segment.jitter.ms",
        Long,
        LONG_FROM_0,
        "0",
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "Stored and reported, without effect: segments of a small broker need no scattering.",
    ),
    key(
        "segment.ms",
        Long,
        LONG_FROM_1,
        "604800000",
        &["log.roll.ms", "log.roll.hours"],
        "Age at which a segment is closed even if it is not full.",
    ),
    key(
        "unclean.leader.election.enable",
        Boolean,
        Any,
        "false",
        &["unclean.leader.election.enable"],
        NO_REPLICATION,
    ),
    old(
        "message.downconversion.enable",
        Boolean,
        "true",
        "A setting of Kafka before 4.0, without effect: nothing is converted.",
    ),
    old(
        "message.format.version",
        Text,
        "3.0-IV1",
        "A setting of Kafka before 4.0, without effect: the format is always version 2.",
    ),
    old(
        "message.timestamp.difference.max.ms",
        Long,
        NEVER,
        "A setting of Kafka before 4.0, without effect; see message.timestamp.before.max.ms and \
         message.timestamp.after.max.ms.",
    ),
    key(
        "full.policy",
        Text,
        OneOf(FullPolicy::WORDS),
        "drop-forwarded-first",
        &["log.full.policy"],
        "What happens when a record finds no room, by disk.quota.bytes or on the file system. \
         drop-forwarded-first: the oldest segments that are upstream go, of any topic without \
         reject; when there is none, new records are refused. drop-oldest: then also the oldest \
         segments of topics with drop-oldest, upstream or not. reject: new records are refused, \
         and none of this topic's ever goes for want of room. Kafka has no such setting.",
    ),
    key(
        "sync",
        Text,
        OneOf(SyncPolicy::WORDS),
        "always",
        &["log.sync"],
        "always: a record sent with acks=all is synced before it is acknowledged. interval: it is \
         synced within the broker's log.flush.interval.ms, as with acks=1, and a power cut may \
         take so much of what was acknowledged; the flash is written to less often. Consumers see \
         what is synced in either case. Kafka has no such setting.",
    ),
];

#[cfg(test)]
mod tests {
    use super::super::broker_keys;
    use super::super::value::normalise;
    use super::*;

    /// What `kafka-configs --describe --all --entity-type topics` of Apache Kafka 4.3.0 lists,
    /// followed by ours: also the numbers in every coordinator file.
    const POSITIONS: &str = "cleanup.policy compression.gzip.level compression.lz4.level \
        compression.type compression.zstd.level delete.retention.ms file.delete.delay.ms \
        flush.messages flush.ms follower.replication.throttled.replicas index.interval.bytes \
        leader.replication.throttled.replicas local.retention.bytes local.retention.ms \
        max.compaction.lag.ms max.message.bytes message.timestamp.after.max.ms \
        message.timestamp.before.max.ms message.timestamp.type min.cleanable.dirty.ratio \
        min.compaction.lag.ms min.insync.replicas preallocate remote.log.copy.disable \
        remote.log.delete.on.disable remote.storage.enable retention.bytes retention.ms \
        segment.bytes segment.index.bytes segment.jitter.ms segment.ms \
        unclean.leader.election.enable message.downconversion.enable message.format.version \
        message.timestamp.difference.max.ms full.policy sync";

    #[test]
    fn positions_are_numbers_on_the_card_and_never_change() {
        let names: Vec<&str> = TOPIC_KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names, POSITIONS.split_whitespace().collect::<Vec<_>>());
        for (index, name) in names.iter().enumerate() {
            assert_eq!(position(name), Some(index as u8));
        }
        assert_eq!(position("retention"), None);
    }

    #[test]
    fn every_default_is_a_legal_value_in_normal_form() {
        for row in TOPIC_KEYS {
            let normal = normalise(row.kind, row.allowed, row.default);
            assert_eq!(normal.as_deref(), Ok(row.default), "{}", row.name);
            assert!(row.doc.ends_with('.'), "{}", row.name);
        }
    }

    #[test]
    fn a_synonym_of_ours_has_the_same_type() {
        for row in TOPIC_KEYS {
            if let Some(first) = row.synonyms.first().and_then(|name| broker_keys::find(name)) {
                assert_eq!(first.kind, row.kind, "{}", row.name);
                assert!((first.read)(&Default::default()).is_some(), "{}", row.name);
            }
        }
    }
}
