//! The table of broker settings: name, type, range, meaning, and the field that holds each.
//!
//! Promises: every setting that ottla acts on, or reports as a default of topics, is one row
//! here, once; help texts, DescribeConfigs and `load` derive from it. Defaults are those of
//! `BrokerConfig::default`. `write` is only called with a value in normal form (`value`).
//!
//! Absent: settings of Kafka's that have no meaning here (`elsewhere`), and changing settings
//! while the broker runs: each row is read-only to clients. Forwarding's rows are written in
//! `forward_keys`.

use super::broker::{
    BrokerConfig, CleanupPolicy, FullPolicy, HOUR_MS, MINUTE_MS, SyncPolicy, TimestampType,
};
use super::forward_keys::FORWARD_KEYS;
use super::listener;
use super::value::{self, Allowed, ValueType};
use crate::limits::{
    JOURNAL_BYTES_MAX, JOURNAL_BYTES_MIN, MAX_CONNECTIONS_MAX, OFFSET_METADATA_BYTES_MAX,
};
use Allowed::{Any, Directory, Listeners, OneOf, Range, Words};
use ValueType::{Boolean, Int, List, Long, Short, String as Text};
use std::path::PathBuf;
use std::str::FromStr;

/// One broker setting.
#[derive(Clone, Copy)]
pub struct BrokerKey {
    /// Kafka's name, or ours where Kafka has none.
    pub name: &'static str,
    /// The type, for DescribeConfigs and for parsing.
    pub kind: ValueType,
    /// What is allowed beyond the type.
    pub allowed: Allowed,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// The current value; `None` is Kafka's null: not set, another setting decides.
    pub read: fn(&BrokerConfig) -> Option<String>,
    /// Stores a value in normal form.
    pub write: fn(&mut BrokerConfig, &str),
}

impl BrokerKey {
    /// The unit of its number; empty for none.
    pub fn unit(&self) -> &'static str {
        value::unit(self.name)
    }

    /// What it may be, for a table; empty where `doc` says it.
    pub fn takes(&self) -> String {
        let range = |least, most| match most {
            LONG_MAX | INT_MAX => format!("{least} or more"),
            most => format!("{least} to {most}"),
        };
        match self.allowed {
            _ if self.kind == Boolean => "true, false".to_string(),
            Range(least, most) => range(least, most),
            Allowed::ZeroOr(least, most) => format!("0, {}", range(least, most)),
            OneOf(words) | Words(words) => words.join(", "),
            _ => String::new(),
        }
    }
}

/// The row named `name`.
pub fn find(name: &str) -> Option<&'static BrokerKey> {
    BROKER_KEYS.iter().find(|key| key.name == name)
}

/// A row, its text last.
pub(super) const fn key(
    name: &'static str,
    kind: ValueType,
    allowed: Allowed,
    read: fn(&BrokerConfig) -> Option<String>,
    write: fn(&mut BrokerConfig, &str),
    doc: &'static str,
) -> BrokerKey {
    BrokerKey { name, kind, allowed, doc, read, write }
}

/// A value as its text.
pub(super) fn show<T: ToString>(value: &T) -> Option<String> {
    Some(value.to_string())
}

/// The checked text as a number. The ranges below fit the fields, which a test proves at both
/// ends of each, so the default is never taken.
pub(super) fn number<T: FromStr + Default>(text: &str) -> T {
    text.parse().unwrap_or_default()
}

/// The checked text as a flag.
pub(super) fn flag(text: &str) -> bool {
    text == "true"
}

fn given(config: &BrokerConfig, name: &str) -> Option<String> {
    config.given(name).map(str::to_string)
}

const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;
/// What an INT of Kafka's may be that counts something.
const UNSIGNED: Allowed = Range(0, INT_MAX);
const COMPRESSIONS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// All of them, in the order in which a person would look for them.
pub static BROKER_KEYS: &[BrokerKey] = &joined::<{ OWN_KEYS.len() + FORWARD_KEYS.len() }>();

/// Both tables in one.
const fn joined<const ROWS: usize>() -> [BrokerKey; ROWS] {
    let mut rows = [OWN_KEYS[0]; ROWS];
    let mut index = 0;
    while index < ROWS {
        let own = index < OWN_KEYS.len();
        rows[index] = if own { OWN_KEYS[index] } else { FORWARD_KEYS[index - OWN_KEYS.len()] };
        index += 1;
    }
    rows
}

const OWN_KEYS: &[BrokerKey] = &[
    key(
        "listeners",
        List,
        Listeners,
        |c| Some(listener::show_list(&c.listeners)),
        |c, v| c.listeners = listener::parse_list(v).unwrap_or_default(),
        "Where clients connect: NAME://host:port, with commas between several. Without a host it \
         is every interface; with port 0 the system chooses a port.",
    ),
    key(
        "advertised.listeners",
        List,
        Listeners,
        |c| Some(listener::show_list(&c.advertised_listeners)).filter(|list| !list.is_empty()),
        |c, v| c.advertised_listeners = listener::parse_list(v).unwrap_or_default(),
        "The addresses that clients are told to connect to, by listener name. Where none is \
         given, it is the address that the client itself dialled, which is right nearly always.",
    ),
    key(
        "log.dirs",
        Text,
        Directory,
        |c| Some(c.log_dir.to_string_lossy().into_owned()),
        |c, v| c.log_dir = PathBuf::from(v),
        "The one directory that holds all data. A relative name starts at the working directory.",
    ),
    key(
        "log.dir",
        Text,
        Directory,
        |c| given(c, "log.dir"),
        |c, v| c.log_dir = PathBuf::from(v),
        "The same as log.dirs, which wins where both are given.",
    ),
    key(
        "node.id",
        Int,
        UNSIGNED,
        |c| show(&c.node_id),
        |c, v| c.node_id = number(v),
        "The number under which clients know this broker.",
    ),
    key(
        "broker.id",
        Int,
        Range(-1, INT_MAX),
        |c| show(&c.node_id),
        // -1 asked Kafka's ZooKeeper for a fresh number.
        |c, v| {
            if v != "-1" {
                c.node_id = number(v);
            }
        },
        "The older name of node.id, which wins where both are given.",
    ),
    key(
        "journal.bytes",
        Int,
        Range(JOURNAL_BYTES_MIN, JOURNAL_BYTES_MAX),
        |c| show(&c.journal_bytes),
        |c, v| c.journal_bytes = number(v),
        "Size of the journal, the one file that is synced before a record is acknowledged. It is \
         written once at the first start; a larger one means fewer checkpoints and a longer \
         recovery. (ottla)",
    ),
    key(
        "disk.quota.bytes",
        Long,
        Range(-1, LONG_MAX),
        |c| show(&c.disk_quota_bytes),
        |c, v| c.disk_quota_bytes = number(v),
        "How many bytes all files in the data directory may take, as du counts them; 1 MiB at \
         least. One part in 64 of them (64 KiB to 16 MiB) is never used for records, so that \
         reading, committing, deleting and forwarding go on when it is full; then full.policy \
         decides. -1: what is free on the file system, but for such a part. A first start makes \
         the journal no larger than a quarter of it. (ottla)",
    ),
    key(
        "log.flush.interval.ms",
        Long,
        Range(1, LONG_MAX),
        |c| show(&c.log_flush_interval_ms),
        |c, v| c.log_flush_interval_ms = number(v),
        "How long a record sent with acks=1 or acks=0 may wait for the sync that makes it \
         durable and visible. Records with acks=all are synced before they are acknowledged.",
    ),
    key(
        "log.flush.pause.ms",
        Long,
        Range(0, 1000),
        |c| show(&c.log_flush_pause_ms),
        |c, v| c.log_flush_pause_ms = number(v),
        "The least time between two syncs that acknowledge records. With many small writers it \
         spares the flash: each sync writes at least one block, whatever is in it. An \
         acknowledgement takes so much longer. (ottla)",
    ),
    key(
        "auto.create.topics.enable",
        Boolean,
        Any,
        |c| show(&c.auto_create_topics_enable),
        |c, v| c.auto_create_topics_enable = flag(v),
        "Whether a topic appears when a client first asks for it.",
    ),
    key(
        "delete.topic.enable",
        Boolean,
        Any,
        |c| show(&c.delete_topic_enable),
        |c, v| c.delete_topic_enable = flag(v),
        "Whether clients may delete topics.",
    ),
    key(
        "num.partitions",
        Int,
        Range(1, INT_MAX),
        |c| show(&c.num_partitions),
        |c, v| c.num_partitions = number(v),
        "Partitions of a topic that is created without a count.",
    ),
    key(
        "default.replication.factor",
        Short,
        Range(1, i16::MAX as i64),
        |c| show(&c.default_replication_factor),
        |c, v| c.default_replication_factor = number(v),
        "Accepted for Kafka's sake: this is one node, each topic has one replica.",
    ),
    key(
        "replication.factor.accept.any",
        Boolean,
        Any,
        |c| show(&c.replication_factor_accept_any),
        |c, v| c.replication_factor_accept_any = flag(v),
        "Whether topics may be created with any replication factor. They get one replica all the \
         same; otherwise a factor above 1 is refused. (ottla)",
    ),
    key(
        "min.insync.replicas",
        Int,
        Range(1, INT_MAX),
        |c| show(&c.min_insync_replicas),
        |c, v| c.min_insync_replicas = number(v),
        "Stored and reported, without effect: an acknowledged record is on the flash of this one \
         node, whatever the number.",
    ),
    key(
        "log.segment.bytes",
        Int,
        Range(14, INT_MAX),
        |c| show(&c.log_segment_bytes),
        |c, v| c.log_segment_bytes = number(v),
        "Size at which a partition goes on in a new segment file. Retention drops whole \
         segments, so small ones suit a small card; values under 4096 count as 4096.",
    ),
    key(
        "log.roll.ms",
        Long,
        Range(1, LONG_MAX),
        |c| show(&c.log_roll_ms),
        |c, v| c.log_roll_ms = number(v),
        "Age at which a segment is closed even if it is not full. It wins over log.roll.hours.",
    ),
    key(
        "log.roll.hours",
        Int,
        Range(1, INT_MAX),
        |c| given(c, "log.roll.hours").or_else(|| Some("168".to_string())),
        |c, v| c.log_roll_ms = number::<i64>(v) * HOUR_MS,
        "The same in hours.",
    ),
    key(
        "log.retention.ms",
        Long,
        Range(-1, LONG_MAX),
        |c| show(&c.log_retention_ms),
        |c, v| c.log_retention_ms = number(v),
        "How long records are kept, in time that really elapsed; -1 is for ever. It wins over \
         log.retention.minutes, and that over log.retention.hours.",
    ),
    key(
        "log.retention.minutes",
        Int,
        Range(-1, INT_MAX),
        |c| given(c, "log.retention.minutes"),
        |c, v| c.log_retention_ms = for_ever_or(number(v), MINUTE_MS),
        "The same in minutes.",
    ),
    key(
        "log.retention.hours",
        Int,
        Range(-1, INT_MAX),
        |c| given(c, "log.retention.hours").or_else(|| Some("168".to_string())),
        |c, v| c.log_retention_ms = for_ever_or(number(v), HOUR_MS),
        "The same in hours.",
    ),
    key(
        "log.retention.bytes",
        Long,
        Range(-1, LONG_MAX),
        |c| show(&c.log_retention_bytes),
        |c, v| c.log_retention_bytes = number(v),
        "How many bytes a partition keeps before its oldest segments are dropped; -1 is no bound.",
    ),
    key(
        "log.retention.check.interval.ms",
        Long,
        Range(1, LONG_MAX),
        |c| show(&c.log_retention_check_interval_ms),
        |c, v| c.log_retention_check_interval_ms = number(v),
        "How often the broker looks for segments that retention lets go.",
    ),
    key(
        "log.scrub.bytes.per.second",
        Int,
        Range(0, 1 << 30),
        |c| show(&c.log_scrub_bytes_per_second),
        |c, v| c.log_scrub_bytes_per_second = number(v),
        "How fast segments are searched for rot in the background; 0 searches none, and only what \
         is read is checked. (ottla)",
    ),
    key(
        "log.scrub.interval.ms",
        Long,
        Range(1000, LONG_MAX),
        |c| show(&c.log_scrub_interval_ms),
        |c, v| c.log_scrub_interval_ms = number(v),
        "How long after such a search the next begins; the first begins with the start. (ottla)",
    ),
    key(
        "log.cleanup.policy",
        List,
        Words(&["compact", "delete"]),
        |c| Some(c.log_cleanup_policy.as_text().to_string()),
        |c, v| c.log_cleanup_policy = CleanupPolicy::from_text(v),
        "delete drops old segments. compact is stored and reported, but compaction is not there \
         yet: with compact alone, nothing is deleted by age or size.",
    ),
    key(
        "log.full.policy",
        Text,
        OneOf(FullPolicy::WORDS),
        |c| Some(c.log_full_policy.as_text().to_string()),
        |c, v| c.log_full_policy = FullPolicy::from_text(v),
        "full.policy of topics that have none of their own. (ottla)",
    ),
    key(
        "log.sync",
        Text,
        OneOf(SyncPolicy::WORDS),
        |c| Some(c.log_sync.as_text().to_string()),
        |c, v| c.log_sync = SyncPolicy::from_text(v),
        "sync of topics that have none of their own. (ottla)",
    ),
    key(
        "message.max.bytes",
        Int,
        UNSIGNED,
        |c| show(&c.message_max_bytes),
        |c, v| c.message_max_bytes = number(v),
        "The largest record batch that is accepted, compressed or not.",
    ),
    key(
        "socket.request.max.bytes",
        Int,
        Range(1, INT_MAX),
        |c| show(&c.socket_request_max_bytes),
        |c, v| c.socket_request_max_bytes = number(v),
        "The largest Produce request, of any number of batches: it is taken batch by batch, so \
         that a large one costs no memory. Any other request may have 1 MiB more than \
         message.max.bytes at most. A larger one closes its connection.",
    ),
    key(
        "compression.type",
        Text,
        OneOf(COMPRESSIONS),
        |c| Some(c.compression_type.clone()),
        |c, v| c.compression_type = v.to_string(),
        "Stored and reported, without effect: batches stay compressed as the producer sent them.",
    ),
    key(
        "log.message.timestamp.type",
        Text,
        OneOf(&["CreateTime", "LogAppendTime"]),
        |c| Some(c.log_message_timestamp_type.as_text().to_string()),
        |c, v| c.log_message_timestamp_type = TimestampType::from_text(v),
        "Whose clock dates records: the producer's (CreateTime) or the broker's (LogAppendTime).",
    ),
    key(
        "log.message.timestamp.before.max.ms",
        Long,
        Range(0, LONG_MAX),
        |c| show(&c.log_message_timestamp_before_max_ms),
        |c, v| c.log_message_timestamp_before_max_ms = number(v),
        "How far a record's timestamp may lie behind the broker's clock.",
    ),
    key(
        "log.message.timestamp.after.max.ms",
        Long,
        Range(0, LONG_MAX),
        |c| show(&c.log_message_timestamp_after_max_ms),
        |c, v| c.log_message_timestamp_after_max_ms = number(v),
        "How far a record's timestamp may lie ahead of the broker's clock. Kafka's default is an \
         hour; here it is off, for boards that boot in 1970.",
    ),
    key(
        "group.min.session.timeout.ms",
        Int,
        UNSIGNED,
        |c| show(&c.group_min_session_timeout_ms),
        |c, v| c.group_min_session_timeout_ms = number(v),
        "The shortest session timeout a group member may ask for.",
    ),
    key(
        "group.max.session.timeout.ms",
        Int,
        UNSIGNED,
        |c| show(&c.group_max_session_timeout_ms),
        |c, v| c.group_max_session_timeout_ms = number(v),
        "The longest session timeout a group member may ask for.",
    ),
    key(
        "group.initial.rebalance.delay.ms",
        Int,
        UNSIGNED,
        |c| show(&c.group_initial_rebalance_delay_ms),
        |c, v| c.group_initial_rebalance_delay_ms = number(v),
        "How long the first rebalance of an empty group waits for more members.",
    ),
    key(
        "group.max.size",
        Int,
        Range(1, INT_MAX),
        |c| show(&c.group_max_size),
        |c, v| c.group_max_size = number(v),
        "Members that one group may have, within what the broker has room for.",
    ),
    key(
        "offsets.retention.minutes",
        Int,
        Range(1, INT_MAX),
        |c| show(&c.offsets_retention_minutes),
        |c, v| c.offsets_retention_minutes = number(v),
        "How long committed offsets outlive the last member of their group.",
    ),
    key(
        "offsets.retention.check.interval.ms",
        Long,
        Range(1, LONG_MAX),
        |c| show(&c.offsets_retention_check_interval_ms),
        |c, v| c.offsets_retention_check_interval_ms = number(v),
        "How often the broker looks for offsets to forget.",
    ),
    key(
        "offset.metadata.max.bytes",
        Int,
        Range(0, OFFSET_METADATA_BYTES_MAX as i64),
        |c| show(&c.offset_metadata_max_bytes),
        |c, v| c.offset_metadata_max_bytes = number(v),
        "The longest text that a client may store beside a committed offset.",
    ),
    key(
        "max.connections",
        Int,
        Range(1, MAX_CONNECTIONS_MAX),
        |c| show(&c.max_connections),
        |c, v| c.max_connections = number(v),
        "Connections that may be open at a time.",
    ),
    key(
        "connections.max.idle.ms",
        Long,
        Range(-1, LONG_MAX),
        |c| show(&c.connections_max_idle_ms),
        |c, v| c.connections_max_idle_ms = number(v),
        "How long a connection may be silent before it is closed; -1 is for ever.",
    ),
];

fn for_ever_or(count: i64, unit_ms: i64) -> i64 {
    if count < 0 { -1 } else { count.saturating_mul(unit_ms) }
}

#[cfg(test)]
mod tests;
