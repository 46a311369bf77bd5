//! Settings as DescribeConfigs shows them: value, where it comes from, and what it would be else.
//!
//! Promises: every setting of the tables appears, set or not, because clients that read, modify
//! and write back (legacy AlterConfigs) would otherwise lose what they did not see.
//!
//! Absent: the protocol's field layout (`api`).

use super::broker::BrokerConfig;
use super::broker_keys::{self, BROKER_KEYS, BrokerKey};
use super::topic::TopicOverrides;
use super::topic_keys::{TOPIC_KEYS, TopicKey};
use super::value::ValueType;
use std::borrow::Cow;

/// Where a value comes from, as DescribeConfigs numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic = 1,
    /// Set in the broker's file or on its command line.
    StaticBroker = 4,
    /// Not set.
    Default = 5,
}

/// A setting that decides where the one before it is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// Its name, which is that of a broker setting where a topic inherits one.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where it is set.
    pub source: ConfigSource,
}

/// One setting as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Kafka's name.
    pub name: Cow<'static, str>,
    /// The value in force; `None` where another setting decides.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it is the built-in default; the only word on the matter in version 0.
    pub is_default: bool,
    /// Whether clients cannot change it.
    pub read_only: bool,
    /// Whether its value must not be shown; nothing here is secret yet.
    pub is_sensitive: bool,
    /// The type.
    pub kind: ValueType,
    /// What it does.
    pub documentation: &'static str,
    /// The value in force and those behind it, first to last.
    pub synonyms: Vec<Synonym>,
}

/// All settings of a topic.
pub fn describe_topic(
    broker: &BrokerConfig,
    topic: &TopicOverrides,
) -> impl Iterator<Item = ConfigEntry> {
    let default = BrokerConfig::default();
    TOPIC_KEYS.iter().filter_map(move |key| {
        let own = topic.get(key.name);
        if own.is_none() && !key.current {
            return None;
        }
        let mut synonyms = Vec::new();
        if let Some(value) = own {
            let (value, source) = (value.to_string(), ConfigSource::DynamicTopic);
            synonyms.push(Synonym { name: key.name, value, source });
        }
        synonyms.extend(inherited_synonyms(key, broker, &default));
        Some(entry(key.name, key.kind, key.doc, false, synonyms))
    })
}

/// All settings of the broker.
pub fn describe_broker(broker: &BrokerConfig) -> impl Iterator<Item = ConfigEntry> {
    let default = BrokerConfig::default();
    BROKER_KEYS.iter().map(move |key| {
        let mut synonyms = Vec::new();
        synonyms.extend(set_value(key, broker, &default));
        let initial = (key.read)(&default);
        synonyms.extend(initial.map(|value| Synonym {
            name: key.name,
            value,
            source: ConfigSource::Default,
        }));
        entry(key.name, key.kind, key.doc, true, synonyms)
    })
}

/// The value of a topic setting that the topic does not set itself.
pub(super) fn inherited(key: &TopicKey, broker: &BrokerConfig) -> String {
    let from_broker = key.synonyms.first().and_then(|name| broker_keys::find(name));
    from_broker.and_then(|key| (key.read)(broker)).unwrap_or_else(|| key.default.to_string())
}

fn inherited_synonyms(
    key: &TopicKey,
    broker: &BrokerConfig,
    default: &BrokerConfig,
) -> Vec<Synonym> {
    let source = ConfigSource::Default;
    let Some(first) = key.synonyms.first() else {
        // Kafka reports no synonym at all here; the value needs one to come from.
        return vec![Synonym { name: key.name, value: key.default.to_string(), source }];
    };
    let Some(row) = broker_keys::find(first) else {
        return vec![Synonym { name: first, value: key.default.to_string(), source }];
    };
    // The first synonym reads what all of them come to, in the unit that the topic has too.
    let mut synonyms = Vec::new();
    synonyms.extend(set_value(row, broker, default));
    let value = inherited(key, default);
    synonyms.push(Synonym { name: row.name, value, source });
    synonyms
}

/// The value of a broker setting, if it is not the default one, or was given all the same.
fn set_value(key: &BrokerKey, broker: &BrokerConfig, default: &BrokerConfig) -> Option<Synonym> {
    let value = (key.read)(broker);
    if broker.given(key.name).is_none() && value == (key.read)(default) {
        return None;
    }
    Some(Synonym { name: key.name, value: value?, source: ConfigSource::StaticBroker })
}

fn entry(
    name: &'static str,
    kind: ValueType,
    documentation: &'static str,
    read_only: bool,
    synonyms: Vec<Synonym>,
) -> ConfigEntry {
    let source = synonyms.first().map_or(ConfigSource::Default, |first| first.source);
    ConfigEntry {
        name: Cow::Borrowed(name),
        value: synonyms.first().map(|first| first.value.clone()),
        source,
        is_default: source == ConfigSource::Default,
        read_only,
        is_sensitive: false,
        kind,
        documentation,
        synonyms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic_entry(broker: &BrokerConfig, topic: &TopicOverrides, name: &str) -> ConfigEntry {
        describe_topic(broker, topic).find(|entry| entry.name == name).unwrap()
    }

    #[test]
    fn all_33_topic_settings_of_kafka_4_3_are_listed() {
        let topic = TopicOverrides::default();
        let entries: Vec<_> = describe_topic(&BrokerConfig::default(), &topic).collect();
        assert_eq!(entries.len(), 33);
        for entry in entries {
            assert!(entry.is_default && !entry.read_only && entry.value.is_some());
        }
    }

    #[test]
    fn a_setting_of_older_kafkas_is_listed_where_it_is_set() {
        let mut topic = TopicOverrides::default();
        topic.set("message.format.version", "0.10.2").unwrap();
        let found = topic_entry(&BrokerConfig::default(), &topic, "message.format.version");
        assert_eq!(found.value.as_deref(), Some("0.10.2"));
    }

    #[test]
    fn an_override_hides_the_broker_and_the_broker_hides_the_default() {
        let mut broker = BrokerConfig { log_retention_ms: 7_200_000, ..BrokerConfig::default() };
        broker.given.push(("log.retention.hours", "2".to_string()));
        let mut topic = TopicOverrides::default();
        let from_broker = topic_entry(&broker, &topic, "retention.ms");
        assert_eq!(from_broker.source, ConfigSource::StaticBroker);
        assert_eq!(from_broker.value.as_deref(), Some("7200000"));

        topic.set("retention.ms", "5").unwrap();
        let own = topic_entry(&broker, &topic, "retention.ms");
        assert_eq!((own.source as i8, own.kind as i8), (1, 5));
        let chain: Vec<_> = own.synonyms.iter().map(|s| (s.name, s.value.as_str())).collect();
        let expected = [
            ("retention.ms", "5"),
            ("log.retention.ms", "7200000"),
            ("log.retention.ms", "604800000"),
        ];
        assert_eq!(chain, expected);
    }

    #[test]
    fn topics_inherit_what_kafka_calls_otherwise() {
        let broker = BrokerConfig { message_max_bytes: 99, ..BrokerConfig::default() };
        let topic = TopicOverrides::default();
        for (name, value) in [
            ("max.message.bytes", "99"),
            ("segment.bytes", "16777216"),
            ("flush.ms", "1000"),
            ("min.cleanable.dirty.ratio", "0.5"),
            ("preallocate", "false"),
            ("leader.replication.throttled.replicas", ""),
        ] {
            assert_eq!(topic_entry(&broker, &topic, name).value.as_deref(), Some(value));
        }
    }

    #[test]
    fn the_broker_shows_what_was_given_even_where_it_equals_the_default() {
        let mut broker = BrokerConfig::default();
        broker.given.push(("num.partitions", "1".to_string()));
        let find = |name| describe_broker(&broker).find(|entry| entry.name == name).unwrap();
        assert_eq!(find("num.partitions").source as i8, 4);
        assert_eq!(find("num.partitions").synonyms.len(), 2);
        assert_eq!(find("log.segment.bytes").source as i8, 5);
        assert_eq!(find("advertised.listeners").value, None);
        assert!(find("advertised.listeners").is_default && find("log.dirs").read_only);
        assert_eq!(describe_broker(&broker).count(), BROKER_KEYS.len());
    }
}
