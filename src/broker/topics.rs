//! Creating, changing and deleting topics.
//!
//! The frame goes into the journal first; files appear with the first record and go when the
//! deletion is durable. In between a name is taken, so that no two topics share a directory.

use super::{Broker, Refusal};
use crate::config::{EffectiveTopicConfig, TopicOverrides};
use crate::limits::TOPIC_NAME_BYTES_MAX;
use crate::state::coordinator_file::{Change, TopicRow};
use crate::state::topics::{NewRow, check_name};
use crate::storage::{Lsn, PartitionKey};
use crate::time::Now;
use core::ops::Range;
use std::borrow::Cow;

/// A topic to be created.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions; -1 takes `num.partitions`.
    pub partitions: i32,
    /// How many replicas; -1 and 1 are one.
    pub replication_factor: i16,
    /// Settings of its own.
    pub overrides: TopicOverrides,
}

impl Broker {
    /// Whether a topic could be created, and with how many partitions.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_new_topic(&self, new: &NewTopic<'_>) -> Result<u32, Refusal> {
        check_name(new.name).map_err(Refusal::InvalidTopicName)?;
        if self.topics.find(new.name).is_some() {
            return Err(Refusal::TopicExists);
        }
        if self.storage.is_being_removed(new.name) {
            return Err(Refusal::TopicGoing);
        }
        let partitions = match new.partitions {
            -1 => self.config.num_partitions,
            n => n,
        };
        let partitions = u32::try_from(partitions).map_err(|_| Refusal::InvalidPartitions)?;
        if partitions == 0 {
            return Err(Refusal::InvalidPartitions);
        }
        let one = matches!(new.replication_factor, -1 | 1);
        let any = self.config.replication_factor_accept_any && new.replication_factor > 0;
        if !one && !any {
            return Err(Refusal::InvalidReplicationFactor);
        }
        self.check_room(new.name.len(), partitions as usize)?;
        Ok(partitions)
    }

    /// Whether the tables have room for a new topic with a name (0 bytes: for no other topic), and
    /// for so many partitions more.
    fn check_room(&self, name_bytes: usize, partitions: usize) -> Result<(), Refusal> {
        let sizes = &self.config.sizes;
        if name_bytes > 0 && self.topics.len() >= sizes.topics {
            return Err(Refusal::NoRoom("topics", sizes.topics));
        }
        if self.topics.name_bytes() + name_bytes > sizes.name_bytes {
            return Err(Refusal::NoRoom("bytes of names", sizes.name_bytes));
        }
        if self.topics.partitions() + partitions > sizes.partitions {
            return Err(Refusal::NoRoom("partitions", sizes.partitions));
        }
        // Those that were deleted keep their places until their files are gone: soon.
        if self.storage.partitions_free() < partitions {
            return Err(Refusal::TopicGoing);
        }
        Ok(())
    }

    /// Creates a topic. It may be announced once the returned frame is durable; records sent to
    /// it before become durable together with it or later.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn create_topic(&mut self, new: NewTopic<'_>, now: Now) -> Result<Lsn, Refusal> {
        let partitions = self.check_new_topic(&new)?;
        let row = TopicRow {
            number: self.next_topic,
            name: Cow::Borrowed(new.name),
            id: self.ids.uuid(),
            partitions,
            overrides: new.overrides,
        };
        let change = Change::TopicCreated(row);
        let lsn = self.stage(&change, now)?;
        self.topics_lsn = lsn;
        self.next_topic += 1;
        self.topics_version += 1;
        log::info!("topic {} created with {partitions} partitions", new.name);
        if let Change::TopicCreated(row) = &change {
            let has_room = self.insert_topic(row);
            debug_assert!(has_room, "check_new_topic has made sure of it");
        }
        Ok(lsn)
    }

    /// Puts a topic into the tables; its partitions are found or made. Whether all had room.
    pub(super) fn insert_topic(&mut self, row: &TopicRow<'_>) -> bool {
        let TopicRow { number, id, overrides, .. } = *row;
        let config = EffectiveTopicConfig::new(&self.config, &overrides);
        let new = NewRow { number, name: &row.name, id, overrides, config };
        self.topics.insert(&new) && self.add_handles(number, &row.name, 0..row.partitions)
    }

    /// Finds or makes partitions of a topic that is in the table. Whether all had room.
    fn add_handles(&mut self, number: u32, name: &str, partitions: Range<u32>) -> bool {
        let forwarded = self.config.forward.forwards(name);
        for partition in partitions {
            let key = PartitionKey { topic: number, partition };
            let known = self.storage.find(key);
            let added = known.or_else(|| self.storage.add_partition(key, name));
            let Some(index) = added.filter(|index| self.topics.extend(number, *index)) else {
                return false;
            };
            self.wakes.follow(index, forwarded);
        }
        true
    }

    /// Deletes a topic with everything that was committed for it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn delete_topic(&mut self, number: u32, now: Now) -> Result<Lsn, Refusal> {
        self.topics.get(number).ok_or(Refusal::UnknownTopicOrPartition)?;
        let lsn = self.stage(&Change::TopicDeleted { number }, now)?;
        self.topics_lsn = lsn;
        if let Some(topic) = self.topics.get(number) {
            self.groups.topic_deleted(topic.name);
            log::info!("topic {} deleted", topic.name);
        }
        // Whoever waits for its records shall learn that there will be none.
        let waiting = &mut self.waiting;
        self.topics.remove(number, |index| waiting.wake(index));
        self.storage.remove_topic(number, lsn);
        self.producers.forget_topic(number);
        self.forwarding.forget_topic(number);
        self.topics_version += 1;
        Ok(lsn)
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// [`Refusal::InvalidPartitions`] unless `count` is more than it has.
    pub fn check_partitions(&self, number: u32, count: i32) -> Result<u32, Refusal> {
        let topic = self.topics.get(number).ok_or(Refusal::UnknownTopicOrPartition)?;
        let before = topic.partitions.len();
        let count = u32::try_from(count).map_err(|_| Refusal::InvalidPartitions)?;
        if count as usize <= before {
            return Err(Refusal::InvalidPartitions);
        }
        self.check_room(0, count as usize - before)?;
        Ok(count)
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// As [`Broker::check_partitions`], or storage's.
    pub fn add_partitions(&mut self, number: u32, count: i32, now: Now) -> Result<Lsn, Refusal> {
        let count = self.check_partitions(number, count)?;
        let lsn = self.stage(&Change::PartitionsAdded { number, partitions: count }, now)?;
        self.topics_lsn = lsn;
        let Some(topic) = self.topics.get(number) else { return Ok(lsn) };
        let before = topic.partitions.len() as u32;
        let mut name = [0; TOPIC_NAME_BYTES_MAX];
        let Some(name) = copy(topic.name, &mut name) else { return Ok(lsn) };
        let has_room = self.add_handles(number, name, before..count);
        debug_assert!(has_room, "check_partitions has made sure of it");
        self.topics_version += 1;
        log::info!("topic {name} has {count} partitions now");
        Ok(lsn)
    }

    /// Replaces a topic's own settings, which are checked already.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn configure_topic(
        &mut self,
        number: u32,
        overrides: TopicOverrides,
        now: Now,
    ) -> Result<Lsn, Refusal> {
        let topic = self.topics.get(number).ok_or(Refusal::UnknownTopicOrPartition)?;
        log::info!("topic {} has new settings", topic.name);
        let change = Change::TopicConfigured { number, overrides };
        let lsn = self.stage(&change, now)?;
        self.topics.configure(number, &self.config, overrides);
        Ok(lsn)
    }
}

/// A name that outlives the row it stands in.
fn copy<'a>(name: &str, room: &'a mut [u8; TOPIC_NAME_BYTES_MAX]) -> Option<&'a str> {
    let room = room.get_mut(..name.len())?;
    room.copy_from_slice(name.as_bytes());
    core::str::from_utf8(room).ok()
}
