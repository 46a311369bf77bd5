//! The broker's settings as values that the rest of the program reads.
//!
//! Promises: [`BrokerConfig::default`] is a complete configuration that needs no file; each field
//! carries the name of the Kafka setting it comes from, dots replaced by underscores, and its
//! unit. A value that came through `load` is within the range that `broker_keys` states.
//!
//! Absent: parsing and checking; see `broker_keys` and `load`.

use super::forward::ForwardConfig;
use super::listener::Listener;
use crate::limits::{Board, Sizes};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What happens to records that are older or more than retention allows.
///
/// With neither flag nothing is ever deleted. Compaction is not there yet: `compact` is stored
/// and reported, keeps `delete` from being implied, and does nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Retention by age and size deletes whole segments.
    pub delete: bool,
    /// Asks for the last record of every key to be kept.
    pub compact: bool,
}

impl CleanupPolicy {
    /// Reads the normal form of `cleanup.policy`.
    pub fn from_text(text: &str) -> CleanupPolicy {
        let has = |word| super::value::items(text).any(|item| item == word);
        CleanupPolicy { delete: has("delete"), compact: has("compact") }
    }

    /// The normal form of `cleanup.policy`.
    pub fn as_text(self) -> &'static str {
        match (self.compact, self.delete) {
            (false, false) => "",
            (false, true) => "delete",
            (true, false) => "compact",
            (true, true) => "compact,delete",
        }
    }
}

/// What happens where there is no room for a topic's new records (`full.policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullPolicy {
    /// Records that are upstream go, the oldest first; without such, new ones are refused.
    #[default]
    DropForwardedFirst,
    /// The oldest records go.
    DropOldest,
    /// New records are refused.
    Reject,
}

impl FullPolicy {
    /// The words.
    pub const WORDS: &'static [&'static str] = &["drop-forwarded-first", "drop-oldest", "reject"];

    /// Reads the normal form of `full.policy`.
    pub fn from_text(text: &str) -> FullPolicy {
        match text {
            "drop-oldest" => FullPolicy::DropOldest,
            "reject" => FullPolicy::Reject,
            _ => FullPolicy::DropForwardedFirst,
        }
    }

    /// The normal form of `full.policy`.
    pub fn as_text(self) -> &'static str {
        FullPolicy::WORDS[self as usize]
    }
}

/// When records that are acknowledged with acks=all are synced (`sync`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before they are acknowledged.
    #[default]
    Always,
    /// Within `log.flush.interval.ms`.
    Interval,
}

impl SyncPolicy {
    /// The words.
    pub const WORDS: &'static [&'static str] = &["always", "interval"];

    /// Reads the normal form of `sync`.
    pub fn from_text(text: &str) -> SyncPolicy {
        if text == "interval" { SyncPolicy::Interval } else { SyncPolicy::Always }
    }

    /// The normal form of `sync`.
    pub fn as_text(self) -> &'static str {
        SyncPolicy::WORDS[self as usize]
    }
}

/// Whose clock dates a record (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, at the append.
    LogAppendTime,
}

impl TimestampType {
    /// Reads the normal form of `message.timestamp.type`.
    pub fn from_text(text: &str) -> TimestampType {
        match text {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }

    /// The normal form of `message.timestamp.type`.
    pub fn as_text(self) -> &'static str {
        match self {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        }
    }
}

/// All settings of the broker.
///
/// Each field is the Kafka setting of the same name; `broker_keys` documents them. Where Kafka
/// has several settings for one thing (`log.retention.ms`, `.minutes`, `.hours`), the field holds
/// what they come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table in broker_keys documents every setting once")]
pub struct BrokerConfig {
    pub listeners: Vec<Listener>,
    pub advertised_listeners: Vec<Listener>,
    pub max_connections: u32,
    /// -1 never closes an idle connection.
    pub connections_max_idle_ms: i64,

    pub log_dir: PathBuf,
    pub node_id: i32,
    pub journal_bytes: u32,
    /// -1 leaves it to what is free on the file system.
    pub disk_quota_bytes: i64,
    pub log_flush_interval_ms: u64,
    pub log_flush_pause_ms: u64,

    pub auto_create_topics_enable: bool,
    pub delete_topic_enable: bool,
    pub num_partitions: i32,
    pub default_replication_factor: i16,
    pub replication_factor_accept_any: bool,
    pub min_insync_replicas: i32,

    pub log_segment_bytes: u32,
    pub log_roll_ms: i64,
    /// -1 keeps records for ever.
    pub log_retention_ms: i64,
    /// -1 sets no bound.
    pub log_retention_bytes: i64,
    pub log_retention_check_interval_ms: u64,
    /// `log.scrub.bytes.per.second`.
    pub log_scrub_bytes_per_second: u32,
    /// `log.scrub.interval.ms`.
    pub log_scrub_interval_ms: u64,
    pub log_cleanup_policy: CleanupPolicy,
    pub log_full_policy: FullPolicy,
    pub log_sync: SyncPolicy,
    pub message_max_bytes: u32,
    pub socket_request_max_bytes: u32,
    pub compression_type: String,
    pub log_message_timestamp_type: TimestampType,
    pub log_message_timestamp_before_max_ms: i64,
    pub log_message_timestamp_after_max_ms: i64,

    pub group_min_session_timeout_ms: i32,
    pub group_max_session_timeout_ms: i32,
    pub group_initial_rebalance_delay_ms: i32,
    pub group_max_size: i32,
    pub offsets_retention_minutes: i32,
    pub offsets_retention_check_interval_ms: u64,
    pub offset_metadata_max_bytes: u32,

    /// How much of everything there is; follows from the board and from the settings above.
    pub sizes: Sizes,

    /// Where records go from here; empty `bootstrap_servers`: nowhere.
    pub forward: ForwardConfig,

    /// The settings that were given, by name, in their normal form: DescribeConfigs tells them
    /// from defaults. Leave it empty in code that sets fields directly.
    pub given: Vec<(&'static str, String)>,
}

impl Default for BrokerConfig {
    fn default() -> BrokerConfig {
        BrokerConfig {
            // Only this machine, until somebody says otherwise: Mosquitto's rule since 2.0.
            listeners: vec![Listener::plain("127.0.0.1", 9092)],
            advertised_listeners: Vec::new(),
            max_connections: Board::DEFAULT.connections,
            connections_max_idle_ms: 600_000,

            log_dir: PathBuf::from("ottla-data"),
            node_id: 1,
            journal_bytes: Board::DEFAULT.journal_bytes,
            disk_quota_bytes: -1,
            log_flush_interval_ms: 1000,
            log_flush_pause_ms: 0,

            auto_create_topics_enable: true,
            delete_topic_enable: true,
            num_partitions: 1,
            default_replication_factor: 1,
            replication_factor_accept_any: false,
            min_insync_replicas: 1,

            // Kafka's 1 GiB would fill a card before retention could drop a first segment.
            log_segment_bytes: 16 << 20,
            log_roll_ms: 168 * HOUR_MS,
            log_retention_ms: 168 * HOUR_MS,
            log_retention_bytes: -1,
            log_retention_check_interval_ms: 300_000,
            // 32 GB in nine hours, and 3 % of what a cheap card can.
            log_scrub_bytes_per_second: 1 << 20,
            log_scrub_interval_ms: 7 * 24 * 3_600_000,
            log_cleanup_policy: CleanupPolicy { delete: true, compact: false },
            log_full_policy: FullPolicy::DropForwardedFirst,
            log_sync: SyncPolicy::Always,
            message_max_bytes: 1_048_588,
            socket_request_max_bytes: 100 << 20,
            compression_type: "producer".to_string(),
            log_message_timestamp_type: TimestampType::CreateTime,
            // Kafka refuses records dated more than an hour ahead. Boards without a clock
            // battery boot in 1970, and every honest client would look like one from the future.
            log_message_timestamp_before_max_ms: i64::MAX,
            log_message_timestamp_after_max_ms: i64::MAX,

            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 0,
            group_max_size: i32::MAX,
            offsets_retention_minutes: 10_080,
            offsets_retention_check_interval_ms: 600_000,
            offset_metadata_max_bytes: 4_096,

            sizes: Sizes::default(),

            forward: ForwardConfig::default(),

            given: Vec::new(),
        }
    }
}

/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60_000;

impl BrokerConfig {
    /// The configuration that a board has without a file.
    pub fn of(board: &Board) -> BrokerConfig {
        let defaults = BrokerConfig::default();
        let mut config = BrokerConfig {
            max_connections: board.connections,
            journal_bytes: board.journal_bytes,
            message_max_bytes: defaults.message_max_bytes.min(board.message_bytes),
            ..defaults
        };
        config.set_sizes(board);
        config
    }

    /// Brings `sizes` into line with the settings: `max.connections` takes the place of the board's
    /// number, and a `message.max.bytes` above the board's costs the memory that it needs.
    pub fn set_sizes(&mut self, board: &Board) {
        self.sizes = Sizes::of(&Board {
            connections: self.max_connections,
            message_bytes: board.message_bytes.max(self.message_max_bytes),
            ..*board
        });
    }

    /// What was given for `name`, in its normal form; `None` where the default holds.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// The entry of `advertised.listeners` that belongs to `listener`; without one, clients are
    /// told the local address of the socket they dialled.
    pub fn advertised_for(&self, listener: &Listener) -> Option<&Listener> {
        self.advertised_listeners.iter().find(|advertised| advertised.name == listener.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_policies_and_timestamps_are_read_back() {
        for text in ["", "delete", "compact", "compact,delete"] {
            assert_eq!(CleanupPolicy::from_text(text).as_text(), text);
        }
        let both = CleanupPolicy { delete: true, compact: true };
        assert_eq!(CleanupPolicy::from_text("delete,compact"), both);
        for text in FullPolicy::WORDS {
            assert_eq!(FullPolicy::from_text(text).as_text(), *text);
        }
        for text in SyncPolicy::WORDS {
            assert_eq!(SyncPolicy::from_text(text).as_text(), *text);
        }
        for text in ["CreateTime", "LogAppendTime"] {
            assert_eq!(TimestampType::from_text(text).as_text(), text);
        }
    }

    #[test]
    fn advertised_addresses_belong_to_the_listener_of_their_name() {
        let mut config = BrokerConfig::default();
        let listener = config.listeners[0].clone();
        assert_eq!(config.advertised_for(&listener), None);
        config.advertised_listeners = vec![
            Listener { name: "OTHER".to_string(), ..Listener::plain("a", 1) },
            Listener::plain("b", 2),
        ];
        let found = config.advertised_for(&listener).unwrap();
        assert_eq!(found.host.as_deref(), Some("b"));
    }
}
