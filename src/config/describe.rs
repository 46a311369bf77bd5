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
use crate::limits::{DESCRIBED_BYTES, Ledger};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigEntry<'a> {
    /// Kafka's name.
    pub name: &'a str,
    /// The value in force; `None` where another setting decides.
    pub value: Option<&'a str>,
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
    /// The topic's own value, if it is the one in force.
    own: Option<&'a str>,
    /// The others, first to last.
    inherited: &'a [Synonym],
}

impl<'a> ConfigEntry<'a> {
    /// Names, values and sources: of the value in force and those behind it, first to last.
    pub fn synonyms(
        &self,
    ) -> impl ExactSizeIterator<Item = (&'a str, &'a str, ConfigSource)> + use<'a> {
        let ConfigEntry { name, own, inherited, .. } = *self;
        let first = usize::from(own.is_some());
        (0..first + inherited.len()).map(move |at| match (at.checked_sub(first), own) {
            (Some(at), _) => {
                (inherited[at].name, inherited[at].value.as_str(), inherited[at].source)
            }
            (None, own) => (name, own.unwrap_or_default(), ConfigSource::DynamicTopic),
        })
    }
}

/// All settings in words: made once, because neither the broker's nor what topics inherit changes
/// while it runs.
#[derive(Debug)]
pub struct Described {
    /// What topics inherit, by position in `TOPIC_KEYS`.
    topic: Vec<Vec<Synonym>>,
    /// By position in `BROKER_KEYS`.
    broker: Vec<Vec<Synonym>>,
}

impl Described {
    /// What is said of these settings.
    pub fn new(config: &BrokerConfig) -> Described {
        let default = BrokerConfig::default();
        let topic = TOPIC_KEYS.iter().map(|key| inherited_synonyms(key, config, &default));
        let broker = BROKER_KEYS.iter().map(|key| {
            let initial = (key.read)(&default).map(|value| Synonym {
                name: key.name,
                value,
                source: ConfigSource::Default,
            });
            set_value(key, config, &default).into_iter().chain(initial).collect()
        });
        Described { topic: topic.collect(), broker: broker.collect() }
    }

    /// The row of the ledger.
    pub fn account(ledger: &mut Ledger) {
        ledger.row("settings in words", 1, DESCRIBED_BYTES, "never full");
    }

    /// All settings of a topic.
    pub fn topic<'a>(
        &'a self,
        own: &'a TopicOverrides,
    ) -> impl Iterator<Item = ConfigEntry<'a>> + Clone {
        TOPIC_KEYS.iter().zip(&self.topic).filter_map(|(key, inherited)| {
            let own = own.get(key.name);
            (own.is_some() || key.current)
                .then(|| entry(key.name, key.kind, key.doc, false, own, inherited))
        })
    }

    /// All settings of the broker.
    pub fn broker(&self) -> impl Iterator<Item = ConfigEntry<'_>> + Clone {
        let rows = BROKER_KEYS.iter().zip(&self.broker);
        rows.map(|(key, synonyms)| entry(key.name, key.kind, key.doc, true, None, synonyms))
    }
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

fn entry<'a>(
    name: &'static str,
    kind: ValueType,
    documentation: &'static str,
    read_only: bool,
    own: Option<&'a str>,
    inherited: &'a [Synonym],
) -> ConfigEntry<'a> {
    let first = inherited.first();
    let source = match own {
        Some(_) => ConfigSource::DynamicTopic,
        None => first.map_or(ConfigSource::Default, |first| first.source),
    };
    ConfigEntry {
        name,
        value: own.or(first.map(|first| first.value.as_str())),
        source,
        is_default: source == ConfigSource::Default,
        read_only,
        is_sensitive: false,
        kind,
        documentation,
        own,
        inherited,
    }
}

/// A figure that goes as a read-only setting.
pub fn figure<'a>(
    name: &'a str,
    kind: ValueType,
    value: &'a str,
    documentation: &'static str,
) -> ConfigEntry<'a> {
    ConfigEntry {
        name,
        value: Some(value),
        source: ConfigSource::Default,
        is_default: true,
        read_only: true,
        is_sensitive: false,
        kind,
        documentation,
        own: None,
        inherited: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(broker: &BrokerConfig) -> &'static Described {
        Box::leak(Box::new(Described::new(broker)))
    }

    fn topic_entry<'a>(
        broker: &BrokerConfig,
        topic: &'a TopicOverrides,
        name: &str,
    ) -> ConfigEntry<'a> {
        described(broker).topic(topic).find(|entry| entry.name == name).unwrap()
    }

    #[test]
    fn the_words_take_what_the_ledger_says() {
        let config = BrokerConfig::default();
        let mut made = None;
        let info = allocation_counter::measure(|| made = Some(Described::new(&config)));
        println!("{info:?}");
        // What the allocator adds to each of some 250 small pieces is in the rest.
        assert!(info.bytes_current as usize + 250 * 16 <= DESCRIBED_BYTES, "{info:?}");
    }

    #[test]
    fn all_33_topic_settings_of_kafka_4_3_and_ours_are_listed() {
        let topic = TopicOverrides::default();
        let entries: Vec<_> = described(&BrokerConfig::default()).topic(&topic).collect();
        assert_eq!(entries.len(), 35);
        for entry in entries {
            assert!(entry.is_default && !entry.read_only && entry.value.is_some());
        }
    }

    #[test]
    fn a_setting_of_older_kafkas_is_listed_where_it_is_set() {
        let mut topic = TopicOverrides::default();
        topic.set("message.format.version", "0.10.2").unwrap();
        let found = topic_entry(&BrokerConfig::default(), &topic, "message.format.version");
        assert_eq!(found.value, Some("0.10.2"));
    }

    #[test]
    fn an_override_hides_the_broker_and_the_broker_hides_the_default() {
        let mut broker = BrokerConfig { log_retention_ms: 7_200_000, ..BrokerConfig::default() };
        broker.given.push(("log.retention.hours", "2".to_string()));
        let mut topic = TopicOverrides::default();
        let from_broker = topic_entry(&broker, &topic, "retention.ms");
        assert_eq!(from_broker.source, ConfigSource::StaticBroker);
        assert_eq!(from_broker.value, Some("7200000"));

        topic.set("retention.ms", "5").unwrap();
        let own = topic_entry(&broker, &topic, "retention.ms");
        assert_eq!((own.source as i8, own.kind as i8), (1, 5));
        let chain: Vec<_> = own.synonyms().map(|(name, value, _)| (name, value)).collect();
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
            assert_eq!(topic_entry(&broker, &topic, name).value, Some(value));
        }
    }

    #[test]
    fn the_broker_shows_what_was_given_even_where_it_equals_the_default() {
        let mut broker = BrokerConfig::default();
        broker.given.push(("num.partitions", "1".to_string()));
        let described = described(&broker);
        let find = |name| described.broker().find(|entry| entry.name == name).unwrap();
        assert_eq!(find("num.partitions").source as i8, 4);
        assert_eq!(find("num.partitions").synonyms().len(), 2);
        assert_eq!(find("log.segment.bytes").source as i8, 5);
        assert_eq!(find("advertised.listeners").value, None);
        assert!(find("advertised.listeners").is_default && find("log.dirs").read_only);
        assert_eq!(described.broker().count(), BROKER_KEYS.len());
    }
}
