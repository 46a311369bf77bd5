//! The table of topics: names, numbers, ids, partition handles and settings.
//!
//! Promises: a topic's number and id are never used twice, so that a re-created topic is another
//! one to everybody (KIP-516); names are valid by Kafka's rule before they get here.
//! Absent: the logs themselves; a partition is a handle here.

use crate::config::{BrokerConfig, EffectiveTopicConfig, TopicOverrides};
use crate::limits::{Ledger, Sizes, TOPIC_NAME_BYTES_MAX, Usage};
use std::collections::BTreeMap;

/// Storage's handle of one partition.
pub type PartitionHandle = usize;

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its number: permanent, local, never used twice.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its id (KIP-516): random, permanent, never zero.
    pub id: [u8; 16],
    /// Storage's handle of each partition.
    pub partitions: Vec<PartitionHandle>,
    /// Settings of its own.
    pub overrides: TopicOverrides,
    /// All settings, as they take effect.
    pub config: EffectiveTopicConfig,
}

/// All topics, in the order of their names.
#[derive(Debug, Default)]
pub struct Topics {
    by_name: BTreeMap<String, u32>,
    by_number: BTreeMap<u32, Topic>,
    partitions: usize,
    name_bytes: usize,
    setting_bytes: usize,
    message_bytes_max: u32,
}

impl Topics {
    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// How many partitions all topics have.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Bytes of all names.
    pub fn name_bytes(&self) -> usize {
        self.name_bytes
    }

    /// Bytes of all topics' own settings.
    pub fn setting_bytes(&self) -> usize {
        self.setting_bytes
    }

    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let policy = "POLICY_VIOLATION (44), with a message";
        // Trees whose nodes are half full at worst; the allocator's own bytes are in the factor.
        let each = 2 * (size_of::<Topic>() + size_of::<(u32, String, u32)>()) + 64;
        ledger.row("topics", sizes.topics, each, policy);
        ledger.row("handles of topics' partitions", sizes.partitions, 16, policy);
        ledger.row("names of topics", sizes.name_bytes, 2, policy);
        ledger.row("topics' own settings", sizes.setting_bytes, 2, policy);
    }

    /// How full the tables are.
    pub fn usage(&self, sizes: &Sizes) -> [Usage; 3] {
        [
            ("topics", self.len(), sizes.topics),
            ("topics.name.bytes", self.name_bytes, sizes.name_bytes),
            ("topics.setting.bytes", self.setting_bytes, sizes.setting_bytes),
        ]
        .map(|(name, used, limit)| Usage::new(name, used, limit))
    }

    /// All topics in the order of their numbers.
    pub fn in_order_of_numbers(&self) -> impl Iterator<Item = &Topic> {
        self.by_number.values()
    }

    /// Bytes of the largest batch that any topic takes (`max.message.bytes`); 0 without topics.
    pub fn message_bytes_max(&self) -> u32 {
        self.message_bytes_max
    }

    fn note_sizes(&mut self) {
        let sizes = self.by_number.values().map(|topic| topic.config.max_message_bytes);
        self.message_bytes_max = sizes.max().unwrap_or(0);
    }

    /// The topic of this name.
    pub fn find(&self, name: &str) -> Option<&Topic> {
        self.by_number.get(self.by_name.get(name)?)
    }

    /// The topic with this id.
    pub fn find_id(&self, id: &[u8; 16]) -> Option<&Topic> {
        self.by_number.values().find(|topic| topic.id == *id)
    }

    /// The topic with this number.
    pub fn get(&self, number: u32) -> Option<&Topic> {
        self.by_number.get(&number)
    }

    /// All topics in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values().filter_map(|number| self.by_number.get(number))
    }

    /// Adds a topic.
    pub fn insert(&mut self, topic: Topic) {
        self.partitions += topic.partitions.len();
        self.name_bytes += topic.name.len();
        self.setting_bytes += topic.overrides.bytes();
        self.by_name.insert(topic.name.clone(), topic.number);
        self.by_number.insert(topic.number, topic);
        self.note_sizes();
    }

    /// Removes a topic.
    pub fn remove(&mut self, number: u32) -> Option<Topic> {
        let topic = self.by_number.remove(&number)?;
        self.by_name.remove(&topic.name);
        self.partitions -= topic.partitions.len();
        self.name_bytes -= topic.name.len();
        self.setting_bytes -= topic.overrides.bytes();
        self.note_sizes();
        Some(topic)
    }

    /// Adds partitions to a topic.
    pub fn extend(&mut self, number: u32, handles: impl IntoIterator<Item = PartitionHandle>) {
        if let Some(topic) = self.by_number.get_mut(&number) {
            let before = topic.partitions.len();
            topic.partitions.extend(handles);
            self.partitions += topic.partitions.len() - before;
        }
    }

    /// Replaces a topic's own settings.
    pub fn configure(&mut self, number: u32, broker: &BrokerConfig, overrides: TopicOverrides) {
        if let Some(topic) = self.by_number.get_mut(&number) {
            topic.config = EffectiveTopicConfig::new(broker, &overrides);
            self.setting_bytes -= topic.overrides.bytes();
            self.setting_bytes += overrides.bytes();
            topic.overrides = overrides;
        }
        self.note_sizes();
    }
}

/// Kafka's rule for topic names (`Topic.validate`): what is wrong with `name`, in words.
///
/// # Errors
/// One sentence for a person.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() {
        Err("the empty string is not allowed as a topic name")
    } else if name == "." || name == ".." {
        Err("'.' and '..' are not allowed as topic names")
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        Err("a topic name may not be longer than 249 characters")
    } else if !name.bytes().all(legal) {
        Err("a topic name may only hold ASCII letters, digits, '.', '_' and '-'")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rule() {
        for good in ["a", "A.b_c-9", &"x".repeat(249)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "a\0", &"x".repeat(250)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
