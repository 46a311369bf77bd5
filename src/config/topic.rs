//! A topic's own settings: what was set, how clients change it, and what it comes to.
//!
//! Promises: [`TopicOverrides`] only ever holds legal values in normal form (`value`), sorted by
//! their number in `topic_keys`; a change that is refused changes nothing, not even in part.
//! Behaviour follows Apache Kafka 4.3.0, asked operation by operation.
//!
//! Absent: settings ottla does not act on are kept and reported, but have no field in
//! [`EffectiveTopicConfig`].

use super::broker::{BrokerConfig, CleanupPolicy, FullPolicy, SyncPolicy, TimestampType};
use super::error::{ConfigError, Reason};
use super::topic_keys::{self, TOPIC_KEYS, TopicKey};
use super::value::{self, ValueType, items};
use crate::limits::{SEGMENT_BYTES_MIN, TOPIC_SETTING_BYTES_MAX};
use core::fmt;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::str::FromStr;

/// The settings of one topic that differ from the broker's.
///
/// They are bytes of a fixed size: for each setting its position in `TOPIC_KEYS`, the length of its
/// value in two bytes, and the value. As postcard stores them: a count, then for each setting its
/// position in one byte, and its value as text.
#[derive(Clone, Copy)]
pub struct TopicOverrides {
    used: u16,
    bytes: [u8; TOPIC_SETTING_BYTES_MAX],
}

/// Bytes in front of each value.
const HEAD_BYTES: usize = 3;

impl Default for TopicOverrides {
    fn default() -> TopicOverrides {
        TopicOverrides { used: 0, bytes: [0; TOPIC_SETTING_BYTES_MAX] }
    }
}

impl PartialEq for TopicOverrides {
    fn eq(&self, other: &TopicOverrides) -> bool {
        self.used() == other.used()
    }
}

impl Eq for TopicOverrides {}

impl fmt::Debug for TopicOverrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries()).finish()
    }
}

impl Serialize for TopicOverrides {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A postcard of one field: a sequence.
        let mut list = serializer.serialize_seq(Some(self.entries().count()))?;
        self.entries().try_for_each(|entry| list.serialize_element(&entry))?;
        list.end()
    }
}

/// Reads [`TopicOverrides`].
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = TopicOverrides;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers and values of settings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<TopicOverrides, A::Error> {
        let mut overrides = TopicOverrides::default();
        while let Some((index, value)) = list.next_element::<(u8, &str)>()? {
            // One that has no room is of a file from before there was a bound: a list of throttled
            // replicas, on which nothing here depends.
            overrides.put(index, value);
        }
        Ok(overrides)
    }
}

impl<'de> Deserialize<'de> for TopicOverrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TopicOverrides, D::Error> {
        deserializer.deserialize_seq(Entries)
    }
}

/// What IncrementalAlterConfigs does with one setting (KIP-339).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum AlterOperation {
    /// Sets the value.
    Set = 0,
    /// Goes back to the default.
    Delete = 1,
    /// Adds items to a list.
    Append = 2,
    /// Takes items out of a list.
    Subtract = 3,
}

impl AlterOperation {
    /// Reads the number in the request.
    pub fn from_i8(number: i8) -> Option<AlterOperation> {
        match number {
            0 => Some(AlterOperation::Set),
            1 => Some(AlterOperation::Delete),
            2 => Some(AlterOperation::Append),
            3 => Some(AlterOperation::Subtract),
            _ => None,
        }
    }
}

impl TopicOverrides {
    /// Takes the settings of AlterConfigs, which replaces all there were.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
        broker: &BrokerConfig,
    ) -> Result<TopicOverrides, ConfigError> {
        let set = |(name, value)| (name, AlterOperation::Set, value);
        TopicOverrides::default().altered(pairs.into_iter().map(set), broker)
    }

    /// Takes the settings of CreateTopics, of which the last one of each name counts.
    pub fn from_last<'a>(
        mut pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<TopicOverrides, ConfigError> {
        let mut after = TopicOverrides::default();
        while let Some((name, value)) = pairs.next() {
            let set = after.set(name, value);
            if !pairs.clone().any(|(later, _)| later == name) {
                set?;
            }
        }
        after.check()?;
        Ok(after)
    }

    /// These settings after the operations of one IncrementalAlterConfigs.
    pub fn altered<'a>(
        &self,
        operations: impl IntoIterator<Item = (&'a str, AlterOperation, Option<&'a str>)>,
        broker: &BrokerConfig,
    ) -> Result<TopicOverrides, ConfigError> {
        let mut after = *self;
        let mut seen: u64 = 0;
        for (name, operation, value) in operations {
            if let Some(index) = topic_keys::position(name) {
                if seen & (1 << index) != 0 {
                    let said = "each setting may be named once in a request";
                    return Err(ConfigError::new(name, Reason::InvalidRequest, said));
                }
                seen |= 1 << index;
            }
            match (operation, value) {
                (AlterOperation::Delete, _) => after.delete(name),
                (_, None) => {
                    let said = "a null value is not possible; use DELETE for the default";
                    return Err(ConfigError::new(name, Reason::InvalidRequest, said));
                }
                (AlterOperation::Set, Some(value)) => after.set(name, value)?,
                (AlterOperation::Append, Some(value)) => after.append(name, value, broker)?,
                (AlterOperation::Subtract, Some(value)) => after.subtract(name, value, broker)?,
            }
        }
        after.check()?;
        Ok(after)
    }

    /// Sets one value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let (index, key) = known(name)?;
        let value = normal(key, value)?;
        if key.name == "remote.storage.enable" && value == "true" {
            let said = "must be false: there is no tiered storage here";
            return Err(ConfigError::new(name, Reason::InvalidValue, said));
        }
        if !self.put(index, &value) {
            let said = format!(
                "does not fit: all settings of a topic of its own may take \
                 {TOPIC_SETTING_BYTES_MAX} bytes"
            );
            return Err(ConfigError::new(name, Reason::InvalidValue, &said));
        }
        Ok(())
    }

    /// Goes back to the default; as in Kafka, also an unknown name is no error.
    pub fn delete(&mut self, name: &str) {
        if let Some(index) = topic_keys::position(name) {
            self.take(index);
        }
    }

    /// Adds the items of `value` to a list: to the broker's, where the topic has none of its own.
    pub fn append(
        &mut self,
        name: &str,
        value: &str,
        broker: &BrokerConfig,
    ) -> Result<(), ConfigError> {
        let before = self.list("APPEND", name, broker)?;
        self.set(name, &format!("{before},{value}"))
    }

    /// Takes the items of `value` out of a list.
    pub fn subtract(
        &mut self,
        name: &str,
        value: &str,
        broker: &BrokerConfig,
    ) -> Result<(), ConfigError> {
        let before = self.list("SUBTRACT", name, broker)?;
        let kept = |item: &&str| !items(value).any(|gone| gone == *item);
        self.set(name, &items(&before).filter(kept).collect::<Vec<_>>().join(","))
    }

    /// The topic's own value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        let wanted = topic_keys::position(name)?;
        self.entries().find(|(index, _)| *index == wanted).map(|(_, value)| value)
    }

    /// All the topic's own values, sorted by position in the table.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        // A number that this version does not know can only come from a newer one's file.
        self.entries().filter_map(|(index, value)| {
            TOPIC_KEYS.get(usize::from(index)).map(|key| (key.name, value))
        })
    }

    /// Whether the topic has no setting of its own.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    fn used(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.used)).unwrap_or_default()
    }

    /// Positions in the table and values, sorted.
    fn entries(&self) -> impl Iterator<Item = (u8, &str)> + Clone {
        let mut rest = self.used();
        core::iter::from_fn(move || {
            let ([index, low, high], behind) = rest.split_first_chunk::<HEAD_BYTES>()?;
            let len = usize::from(u16::from_le_bytes([*low, *high]));
            let (value, behind) = behind.split_at_checked(len)?;
            rest = behind;
            Some((*index, core::str::from_utf8(value).unwrap_or_default()))
        })
    }

    /// Takes one out, if it is there.
    fn take(&mut self, index: u8) {
        let sizes = |(_, value): (u8, &str)| HEAD_BYTES + value.len();
        let start: usize = self.entries().take_while(|(at, _)| *at < index).map(sizes).sum();
        let found = self.entries().find(|(at, _)| *at == index).map(sizes);
        if let Some(size) = found {
            let used = usize::from(self.used);
            self.bytes.copy_within(start + size..used, start);
            self.used -= size as u16;
        }
    }

    /// Puts one in its place; false if there is no room, and then nothing has changed.
    fn put(&mut self, index: u8, value: &str) -> bool {
        let mut after = *self;
        after.take(index);
        let used = usize::from(after.used);
        let size = HEAD_BYTES + value.len();
        if used + size > TOPIC_SETTING_BYTES_MAX {
            return false;
        }
        let sizes = |(_, value): (u8, &str)| HEAD_BYTES + value.len();
        let start: usize = after.entries().take_while(|(at, _)| *at < index).map(sizes).sum();
        after.bytes.copy_within(start..used, start + size);
        let [low, high] = (value.len() as u16).to_le_bytes();
        after.bytes[start..start + HEAD_BYTES].copy_from_slice(&[index, low, high]);
        after.bytes[start + HEAD_BYTES..start + size].copy_from_slice(value.as_bytes());
        after.used += size as u16;
        *self = after;
        true
    }

    fn list(
        &self,
        operation: &str,
        name: &str,
        broker: &BrokerConfig,
    ) -> Result<String, ConfigError> {
        let (_, key) = known(name)?;
        if key.kind != ValueType::List {
            let said = format!("is not a list, so {operation} is not possible; use SET");
            return Err(ConfigError::new(name, Reason::InvalidValue, &said));
        }
        let inherited = || super::describe::inherited(key, broker);
        Ok(self.get(name).map_or_else(inherited, str::to_string))
    }

    /// What no single value can violate.
    fn check(&self) -> Result<(), ConfigError> {
        let least = self.number("min.compaction.lag.ms").unwrap_or(0i64);
        let most = self.number("max.compaction.lag.ms").unwrap_or(i64::MAX);
        if least > most {
            let said = format!("{most} is less than min.compaction.lag.ms, which is {least}");
            return Err(ConfigError::new("max.compaction.lag.ms", Reason::InvalidValue, &said));
        }
        Ok(())
    }

    fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

fn known(name: &str) -> Result<(u8, &'static TopicKey), ConfigError> {
    let found = topic_keys::position(name)
        .and_then(|index| Some((index, TOPIC_KEYS.get(usize::from(index))?)));
    found.ok_or_else(|| {
        let said = "is not a topic setting";
        let names = TOPIC_KEYS.iter().map(|key| key.name);
        let said = match super::suggest::nearest(name, names) {
            Some(nearest) => format!("{said}; did you mean {nearest}?"),
            None => said.to_string(),
        };
        ConfigError::new(name, Reason::UnknownKey, &said)
    })
}

fn normal<'a>(key: &TopicKey, text: &'a str) -> Result<Cow<'a, str>, ConfigError> {
    value::normalise(key.kind, key.allowed, text)
        .map_err(|allowed| ConfigError::illegal(key.name, text, &allowed))
}

/// What ottla acts on, of a topic's settings and the broker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveTopicConfig {
    /// What retention does.
    pub cleanup_policy: CleanupPolicy,
    /// What happens where there is no room.
    pub full_policy: FullPolicy,
    /// When acknowledged records are synced.
    pub sync: SyncPolicy,
    /// Age at which records go; -1 is never.
    pub retention_ms: i64,
    /// Bytes a partition may hold before its oldest segments go; negative is no bound.
    pub retention_bytes: i64,
    /// Size at which a segment is full.
    pub segment_bytes: u32,
    /// Age at which a segment is closed.
    pub segment_ms: i64,
    /// Bytes of the largest batch, its header included.
    pub max_message_bytes: u32,
    /// Whose clock dates records.
    pub message_timestamp_type: TimestampType,
    /// How far a timestamp may lie behind the broker's clock.
    pub message_timestamp_before_max_ms: i64,
    /// How far a timestamp may lie ahead of the broker's clock.
    pub message_timestamp_after_max_ms: i64,
}

impl EffectiveTopicConfig {
    /// Joins both; cheap enough for every change, not meant for every request.
    pub fn new(broker: &BrokerConfig, topic: &TopicOverrides) -> EffectiveTopicConfig {
        let long = |name, default| topic.number(name).unwrap_or(default);
        let size = |name, default| topic.number(name).unwrap_or(default);
        let policy = topic.get("cleanup.policy").map(CleanupPolicy::from_text);
        let full = topic.get("full.policy").map(FullPolicy::from_text);
        let sync = topic.get("sync").map(SyncPolicy::from_text);
        let timestamps = topic.get("message.timestamp.type").map(TimestampType::from_text);
        EffectiveTopicConfig {
            cleanup_policy: policy.unwrap_or(broker.log_cleanup_policy),
            full_policy: full.unwrap_or(broker.log_full_policy),
            sync: sync.unwrap_or(broker.log_sync),
            retention_ms: long("retention.ms", broker.log_retention_ms),
            retention_bytes: long("retention.bytes", broker.log_retention_bytes),
            segment_bytes: size("segment.bytes", broker.log_segment_bytes).max(SEGMENT_BYTES_MIN),
            segment_ms: long("segment.ms", broker.log_roll_ms),
            max_message_bytes: size("max.message.bytes", broker.message_max_bytes),
            message_timestamp_type: timestamps.unwrap_or(broker.log_message_timestamp_type),
            message_timestamp_before_max_ms: long(
                "message.timestamp.before.max.ms",
                broker.log_message_timestamp_before_max_ms,
            ),
            message_timestamp_after_max_ms: long(
                "message.timestamp.after.max.ms",
                broker.log_message_timestamp_after_max_ms,
            ),
        }
    }

    /// The age at which retention deletes; `None` where age deletes nothing.
    pub fn delete_after_ms(&self) -> Option<u64> {
        if self.cleanup_policy.delete { u64::try_from(self.retention_ms).ok() } else { None }
    }

    /// The bytes beyond which retention deletes; `None` where size deletes nothing.
    pub fn delete_beyond_bytes(&self) -> Option<u64> {
        if self.cleanup_policy.delete { u64::try_from(self.retention_bytes).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlterOperation::{Append, Delete, Set, Subtract};

    type Operation = (&'static str, AlterOperation, Option<&'static str>);

    fn alter(before: &TopicOverrides, operation: Operation) -> Result<TopicOverrides, Reason> {
        before.altered([operation], &BrokerConfig::default()).map_err(|error| error.reason)
    }

    #[test]
    fn each_operation_answers_as_apache_kafka_4_3_did() {
        let mut topic = TopicOverrides::default();
        // One script, sent to a real broker: what is set, and what the broker then reported.
        let steps: [(Operation, Result<Option<&str>, Reason>); 26] = [
            (("retention.ms", Set, Some("-2")), Err(Reason::InvalidValue)),
            (("retention.ms", Set, Some("abc")), Err(Reason::InvalidValue)),
            (("nope", Set, Some("1")), Err(Reason::UnknownKey)),
            (("retention.ms", Append, Some("1")), Err(Reason::InvalidValue)),
            (("cleanup.policy", Append, Some("compact")), Ok(Some("delete,compact"))),
            (("cleanup.policy", Append, Some("compact")), Ok(Some("delete,compact"))),
            (("cleanup.policy", Subtract, Some("delete")), Ok(Some("compact"))),
            (("cleanup.policy", Subtract, Some("delete")), Ok(Some("compact"))),
            (("cleanup.policy", Subtract, Some("compact")), Ok(Some(""))),
            (("cleanup.policy", Set, Some("delete,delete")), Ok(Some("delete"))),
            (("cleanup.policy", Set, Some("delete , compact")), Ok(Some("delete,compact"))),
            (("cleanup.policy", Set, Some("none")), Err(Reason::InvalidValue)),
            (("retention.ms", Set, Some(" 5000 ")), Ok(Some("5000"))),
            (("nope", Delete, Some("")), Ok(None)),
            (("retention.ms", Delete, None), Ok(None)),
            (("retention.ms", Delete, None), Ok(None)),
            (("retention.ms", Set, None), Err(Reason::InvalidRequest)),
            (("preallocate", Set, Some("TRUE")), Ok(Some("true"))),
            (("preallocate", Set, Some("yes")), Err(Reason::InvalidValue)),
            (("leader.replication.throttled.replicas", Append, Some("0:1")), Ok(Some("0:1"))),
            (("leader.replication.throttled.replicas", Set, Some("x")), Err(Reason::InvalidValue)),
            (("compression.type", Set, Some("GZIP")), Err(Reason::InvalidValue)),
            (("min.insync.replicas", Set, Some("2")), Ok(Some("2"))),
            (("remote.storage.enable", Set, Some("true")), Err(Reason::InvalidValue)),
            (("min.compaction.lag.ms", Set, Some("99")), Ok(Some("99"))),
            (("max.compaction.lag.ms", Set, Some("9")), Err(Reason::InvalidValue)),
        ];
        for (operation, expected) in steps {
            let after = alter(&topic, operation);
            let shown = after.as_ref().map(|after| after.get(operation.0)).map_err(|r| *r);
            assert_eq!(shown, expected, "{operation:?}");
            topic = after.unwrap_or(topic);
        }
    }

    #[test]
    fn a_refused_request_changes_nothing() {
        let broker = BrokerConfig::default();
        let mut topic = TopicOverrides::default();
        topic.set("retention.ms", "1").unwrap();
        let before = topic;
        let operations = [("retention.ms", Set, Some("2")), ("segment.bytes", Set, Some("x"))];
        assert!(topic.altered(operations, &broker).is_err());
        assert!(topic.set("retention.ms", "x").is_err());
        assert!(topic.append("retention.ms", "x", &broker).is_err());
        assert_eq!(topic, before);
        let twice = [("retention.ms", Set, Some("2")), ("retention.ms", Delete, None)];
        let error = topic.altered(twice, &broker).unwrap_err();
        assert_eq!(error.reason, Reason::InvalidRequest);
    }

    #[test]
    fn alter_configs_replaces_all_there_was() {
        let broker = BrokerConfig::default();
        let pairs = [("segment.ms", Some("7")), ("retention.ms", Some("8"))];
        let topic = TopicOverrides::from_pairs(pairs, &broker).unwrap();
        assert_eq!(topic.iter().collect::<Vec<_>>(), [("retention.ms", "8"), ("segment.ms", "7")]);
        assert!(TopicOverrides::from_pairs([("segment.ms", None)], &broker).is_err());
        assert!(TopicOverrides::from_pairs([], &broker).unwrap().is_empty());
    }

    #[test]
    fn all_settings_fit_at_once_and_one_that_does_not_changes_nothing() {
        let mut topic = TopicOverrides::default();
        for key in TOPIC_KEYS.iter().filter(|key| key.current) {
            let largest = ["9223372036854775807", "2147483647", key.default];
            let took = largest.iter().find(|value| topic.set(key.name, value).is_ok());
            assert!(took.is_some(), "{}", key.name);
        }
        let before = topic;
        let long = (0..90).map(|n| format!("{n}:1")).collect::<Vec<_>>().join(",");
        let error = topic.set("leader.replication.throttled.replicas", &long).unwrap_err();
        assert!(error.to_string().contains("512 bytes"), "{error}");
        assert_eq!(topic, before);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_one() {
        let error = TopicOverrides::default().set("retention.msec", "1").unwrap_err();
        assert!(error.to_string().contains("retention.ms?"), "{error}");
    }

    #[test]
    fn the_topic_wins_over_the_broker() {
        let mut broker = BrokerConfig { log_retention_ms: 5, ..BrokerConfig::default() };
        broker.log_cleanup_policy = CleanupPolicy { delete: true, compact: true };
        let mut topic = TopicOverrides::default();
        let effective = EffectiveTopicConfig::new(&broker, &topic);
        assert_eq!(effective.retention_ms, 5);
        assert_eq!(effective.delete_after_ms(), Some(5));
        assert_eq!(effective.segment_bytes, 16 << 20);
        assert!(effective.cleanup_policy.compact);
        assert_eq!(effective.delete_beyond_bytes(), None);

        for (name, value) in [
            ("cleanup.policy", "compact"),
            ("full.policy", "reject"),
            ("sync", "interval"),
            ("retention.ms", "-1"),
            ("retention.bytes", "1000"),
            ("segment.bytes", "100"),
            ("segment.ms", "60000"),
            ("max.message.bytes", "77"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "1"),
            ("message.timestamp.after.max.ms", "2"),
        ] {
            topic.set(name, value).unwrap();
        }
        let effective = EffectiveTopicConfig::new(&broker, &topic);
        let expected = EffectiveTopicConfig {
            cleanup_policy: CleanupPolicy { delete: false, compact: true },
            full_policy: FullPolicy::Reject,
            sync: SyncPolicy::Interval,
            retention_ms: -1,
            retention_bytes: 1000,
            segment_bytes: SEGMENT_BYTES_MIN,
            segment_ms: 60_000,
            max_message_bytes: 77,
            message_timestamp_type: TimestampType::LogAppendTime,
            message_timestamp_before_max_ms: 1,
            message_timestamp_after_max_ms: 2,
        };
        assert_eq!(effective, expected);
        // Neither age nor size deletes where only compaction is asked for.
        assert_eq!(effective.delete_after_ms(), None);
        assert_eq!(effective.delete_beyond_bytes(), None);
    }

    #[test]
    fn overrides_survive_postcard_and_unknown_numbers_are_passed_over() {
        let mut topic = TopicOverrides::default();
        topic.set("segment.bytes", "1048576").unwrap();
        topic.set("cleanup.policy", "compact").unwrap();
        let bytes = postcard::to_stdvec(&topic).unwrap();
        assert_eq!(bytes, b"\x02\x00\x07compact\x1c\x071048576");
        assert_eq!(postcard::from_bytes::<TopicOverrides>(&bytes).unwrap(), topic);

        let newer: TopicOverrides = postcard::from_bytes(b"\x02\x00\x00\xc8\x01x").unwrap();
        assert_eq!(newer.iter().collect::<Vec<_>>(), [("cleanup.policy", "")]);
        assert_eq!(
            EffectiveTopicConfig::new(&BrokerConfig::default(), &newer).retention_ms,
            604_800_000
        );
    }

    #[test]
    fn any_series_of_operations_leaves_only_legal_values_in_order() {
        let values =
            ["", "-1", "0", "1", "5", "x", "true", "delete", "compact,", "*", "0:1", "0.5"];
        let mut seed = 1u64;
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % bound
        };
        let mut topic = TopicOverrides::default();
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let name = TOPIC_KEYS[next(TOPIC_KEYS.len())].name;
            let operation = AlterOperation::from_i8(next(4) as i8).unwrap();
            let value = (next(9) > 0).then(|| values[next(values.len())]);
            match alter(&topic, (name, operation, value)) {
                Ok(after) => (accepted, topic) = (accepted + 1, after),
                Err(_) => refused += 1,
            }
            assert!(topic.entries().map(|(index, _)| index).is_sorted_by(|a, b| a < b));
            for (name, value) in topic.iter() {
                assert_eq!(normal(known(name).unwrap().1, value).as_deref(), Ok(value), "{name}");
            }
        }
        assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
    }
}
