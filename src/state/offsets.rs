//! The committed offsets of all groups: (group id, topic, partition) → offset.
//!
//! A commit of a row that exists allocates nothing, the number of rows and the bytes of their
//! metadata are bounded, and iteration is sorted by topic and partition. Age is time that this
//! process saw pass (`Now::mono`): a wrong clock deletes nothing, and after a restart every age
//! starts anew.
//!
//! Absent on purpose: who may commit (that is `group.rs`), and durability (the rows travel as
//! [`OffsetRow`] through the journal and the coordinator file).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::group::Refusal;
use crate::limits::{OFFSET_METADATA_BYTES_MAX, OFFSETS_MAX, OFFSETS_METADATA_BYTES_MAX};
use crate::time::{Millis, Now};

/// What a group committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset the group wants to read.
    pub offset: i64,
    /// The leader epoch of the last record it read, -1 if it didn't say.
    pub leader_epoch: i32,
    /// What the client attached, given back verbatim.
    pub metadata: String,
    /// When, by the wall clock of that moment; shown, never reckoned with.
    pub commit_wall_ms: i64,
    /// The `retention_time_ms` of OffsetCommit v2 to v4, if the client set one.
    pub retention_ms: Option<u64>,
    /// When, in the time of this process; a restored row counts from the restart.
    committed_at: Millis,
}

impl CommittedOffset {
    /// Kafka's `OffsetExpirationConditionImpl`: a retention of the commit's own wins over the
    /// group's clock.
    pub(super) fn is_expired(&self, base: Option<Millis>, retention_ms: u64, now: Millis) -> bool {
        match self.retention_ms {
            Some(own_ms) => now.since(self.committed_at) >= own_ms,
            None => now.since(base.unwrap_or(self.committed_at)) >= retention_ms,
        }
    }
}

/// One commit as a client sends it.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The next offset the group wants to read.
    pub offset: i64,
    /// The leader epoch of the last record it read, -1 if unknown.
    pub leader_epoch: i32,
    /// What the client attached.
    pub metadata: &'a str,
    /// `retention_time_ms` of OffsetCommit v2 to v4, `None` where the field is -1 or absent.
    pub retention_ms: Option<u64>,
}

/// One row as journal and coordinator file keep it; borrows its text from the store or from the
/// bytes read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRow<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's index.
    pub partition: i32,
    /// See [`CommittedOffset::offset`].
    pub offset: i64,
    /// See [`CommittedOffset::leader_epoch`].
    pub leader_epoch: i32,
    /// See [`CommittedOffset::metadata`].
    pub metadata: &'a str,
    /// See [`CommittedOffset::commit_wall_ms`].
    pub commit_wall_ms: i64,
    /// See [`CommittedOffset::retention_ms`].
    pub retention_ms: Option<u64>,
}

/// The rows of one topic in one group, by partition.
pub type Partitions = BTreeMap<i32, CommittedOffset>;
type Topics = BTreeMap<String, Partitions>;

/// The store.
#[derive(Debug, Default)]
pub struct Offsets {
    groups: BTreeMap<String, Topics>,
    rows: usize,
    metadata_bytes: usize,
}

impl Offsets {
    /// Rows in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether nothing is committed at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// What `group_id` committed for one partition.
    #[must_use]
    pub fn get(&self, group_id: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.groups.get(group_id)?.get(topic)?.get(&partition)
    }

    /// Whether `group_id` committed anything.
    #[must_use]
    pub fn has_group(&self, group_id: &str) -> bool {
        self.groups.contains_key(group_id)
    }

    /// Everything `group_id` committed, by topic and partition.
    pub fn of_group<'a>(
        &'a self,
        group_id: &str,
    ) -> impl Iterator<Item = (&'a str, i32, &'a CommittedOffset)> + use<'a> {
        let topics = self.groups.get(group_id).into_iter().flatten();
        topics.flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, row)| (topic.as_str(), *partition, row))
        })
    }

    /// The topics that `group_id` committed for, each with its partitions: the shape of an
    /// OffsetFetch answer.
    pub fn topics_of_group<'a>(
        &'a self,
        group_id: &str,
    ) -> impl ExactSizeIterator<Item = (&'a str, &'a Partitions)> + Clone + use<'a> {
        static NONE: Topics = Topics::new();
        let topics = self.groups.get(group_id).unwrap_or(&NONE);
        topics.iter().map(|(topic, partitions)| (topic.as_str(), partitions))
    }

    /// Everything, for the coordinator file.
    pub fn rows(&self) -> impl Iterator<Item = OffsetRow<'_>> {
        self.groups.keys().flat_map(|group_id| {
            self.of_group(group_id).map(|(topic, partition, row)| OffsetRow {
                group_id,
                topic,
                partition,
                offset: row.offset,
                leader_epoch: row.leader_epoch,
                metadata: &row.metadata,
                commit_wall_ms: row.commit_wall_ms,
                retention_ms: row.retention_ms,
            })
        })
    }

    /// Stores one commit. On refusal nothing has changed.
    pub(super) fn commit(
        &mut self,
        group_id: &str,
        topic: &str,
        partition: i32,
        commit: Commit<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        if commit.metadata.len() > OFFSET_METADATA_BYTES_MAX {
            return Err(Refusal::OffsetMetadataTooLarge);
        }
        let old = self.get(group_id, topic, partition);
        let old_bytes = old.map_or(0, |row| row.metadata.len());
        let metadata_bytes = self.metadata_bytes - old_bytes + commit.metadata.len();
        // A commit that frees bytes is taken even when a restored store is over its limit.
        let grows = commit.metadata.len() > old_bytes;
        if (old.is_none() && self.rows >= OFFSETS_MAX)
            || (grows && metadata_bytes > OFFSETS_METADATA_BYTES_MAX)
        {
            return Err(Refusal::OffsetsFull);
        }
        self.rows += usize::from(old.is_none());
        self.metadata_bytes = metadata_bytes;
        let row = self.row_mut(group_id, topic, partition);
        row.offset = commit.offset;
        row.leader_epoch = commit.leader_epoch;
        row.metadata.clear();
        row.metadata.push_str(commit.metadata);
        row.commit_wall_ms = now.wall_ms;
        row.retention_ms = commit.retention_ms;
        row.committed_at = now.mono;
        Ok(())
    }

    /// The row, made if it is not there; keys are only copied when they are new.
    fn row_mut(&mut self, group_id: &str, topic: &str, partition: i32) -> &mut CommittedOffset {
        if !self.groups.contains_key(group_id) {
            self.groups.insert(group_id.to_owned(), Topics::new());
        }
        let topics = self.groups.get_mut(group_id).expect("inserted above");
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), Partitions::new());
        }
        let partitions = topics.get_mut(topic).expect("inserted above");
        partitions.entry(partition).or_insert_with(|| CommittedOffset {
            offset: 0,
            leader_epoch: -1,
            metadata: String::new(),
            commit_wall_ms: 0,
            retention_ms: None,
            committed_at: Millis(0),
        })
    }

    /// Forgets one row; says whether it was there.
    pub(super) fn remove(&mut self, group_id: &str, topic: &str, partition: i32) -> bool {
        let before = self.rows;
        self.retain_in(group_id, |row_topic, row_partition, _| {
            row_topic != topic || row_partition != partition
        });
        before != self.rows
    }

    /// Forgets all rows of a group; says how many there were.
    pub(super) fn remove_group(&mut self, group_id: &str) -> usize {
        let before = self.rows;
        self.retain_in(group_id, |_, _, _| false);
        before - self.rows
    }

    /// Forgets all rows of a topic in all groups; says how many there were.
    pub(super) fn remove_topic(&mut self, topic: &str) -> usize {
        let before = self.rows;
        for topics in self.groups.values_mut() {
            if let Some(partitions) = topics.remove(topic) {
                self.rows -= partitions.len();
                self.metadata_bytes -=
                    partitions.values().map(|row| row.metadata.len()).sum::<usize>();
            }
        }
        self.groups.retain(|_, topics| !topics.is_empty());
        before - self.rows
    }

    /// Keeps the rows of one group that `keep` wants, and no empty maps.
    pub(super) fn retain_in(
        &mut self,
        group_id: &str,
        mut keep: impl FnMut(&str, i32, &CommittedOffset) -> bool,
    ) {
        let Some(topics) = self.groups.get_mut(group_id) else { return };
        topics.retain(|topic, partitions| {
            partitions.retain(|partition, row| {
                let kept = keep(topic, *partition, row);
                if !kept {
                    self.rows -= 1;
                    self.metadata_bytes -= row.metadata.len();
                }
                kept
            });
            !partitions.is_empty()
        });
        if topics.is_empty() {
            self.groups.remove(group_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(mono: u64) -> Now {
        Now { mono: Millis(mono), wall_ms: 1_700_000_000_000 }
    }

    fn commit(offset: i64, metadata: &str) -> Commit<'_> {
        Commit { offset, leader_epoch: 3, metadata, retention_ms: None }
    }

    fn audit(offsets: &Offsets) {
        assert_eq!(offsets.rows().count(), offsets.len());
        let bytes: usize = offsets.rows().map(|row| row.metadata.len()).sum();
        assert_eq!(bytes, offsets.metadata_bytes);
        assert!(offsets.groups.values().all(|topics| !topics.is_empty()));
        assert!(offsets.groups.values().flat_map(BTreeMap::values).all(|parts| !parts.is_empty()));
    }

    #[test]
    fn a_commit_is_given_back_whole_and_replaced_by_the_next() {
        let mut offsets = Offsets::default();
        offsets.commit("g", "t", 2, commit(7, "hello"), now(5)).unwrap();
        let row = offsets.get("g", "t", 2).unwrap();
        assert_eq!((row.offset, row.leader_epoch, row.metadata.as_str()), (7, 3, "hello"));
        assert_eq!(row.commit_wall_ms, 1_700_000_000_000);
        offsets.commit("g", "t", 2, commit(9, ""), now(6)).unwrap();
        assert_eq!(offsets.get("g", "t", 2).unwrap().offset, 9);
        assert_eq!(offsets.len(), 1);
        assert!(offsets.get("g", "t", 1).is_none() && offsets.get("x", "t", 2).is_none());
        audit(&offsets);
    }

    #[test]
    fn rows_of_a_group_come_sorted_by_topic_and_partition() {
        let mut offsets = Offsets::default();
        for (topic, partition) in [("b", 1), ("a", 10), ("b", 0), ("a", 2)] {
            offsets.commit("g", topic, partition, commit(1, ""), now(0)).unwrap();
        }
        offsets.commit("other", "a", 0, commit(1, ""), now(0)).unwrap();
        let seen: Vec<_> = offsets.of_group("g").map(|(topic, part, _)| (topic, part)).collect();
        assert_eq!(seen, [("a", 2), ("a", 10), ("b", 0), ("b", 1)]);
        let counts: Vec<_> = offsets.topics_of_group("g").map(|(t, p)| (t, p.len())).collect();
        assert_eq!(counts, [("a", 2), ("b", 2)]);
        assert_eq!(offsets.topics_of_group("nobody").len(), 0);
    }

    #[test]
    fn rows_leave_by_row_by_group_and_by_topic() {
        let mut offsets = Offsets::default();
        for group_id in ["g", "h"] {
            for topic in ["a", "b"] {
                for partition in 0..3 {
                    offsets.commit(group_id, topic, partition, commit(1, "xy"), now(0)).unwrap();
                }
            }
        }
        assert!(offsets.remove("g", "a", 1));
        assert!(!offsets.remove("g", "a", 1));
        audit(&offsets);
        assert_eq!(offsets.remove_topic("a"), 5);
        audit(&offsets);
        assert_eq!(offsets.remove_group("h"), 3);
        assert!(!offsets.has_group("h") && offsets.has_group("g"));
        assert_eq!(offsets.remove_topic("b"), 3);
        assert!(offsets.is_empty() && !offsets.has_group("g"));
        audit(&offsets);
    }

    #[test]
    fn at_the_limits_new_rows_are_refused_and_old_ones_go_on() {
        let mut offsets = Offsets::default();
        for partition in 0..OFFSETS_MAX {
            offsets.commit("g", "t", partition as i32, commit(1, ""), now(0)).unwrap();
        }
        assert_eq!(offsets.commit("g", "u", 0, commit(1, ""), now(0)), Err(Refusal::OffsetsFull));
        assert!(!offsets.topics_of_group("g").any(|(topic, _)| topic == "u"));
        offsets.commit("g", "t", 0, commit(2, ""), now(0)).unwrap();
        let long = "m".repeat(OFFSET_METADATA_BYTES_MAX);
        let mut stored = 0;
        while offsets.commit("g", "t", stored, commit(3, &long), now(0)).is_ok() {
            stored += 1;
        }
        assert_eq!(stored as usize, OFFSETS_METADATA_BYTES_MAX / OFFSET_METADATA_BYTES_MAX);
        offsets.commit("g", "t", 0, commit(4, &long), now(0)).unwrap();
        offsets.commit("g", "t", 0, commit(5, ""), now(0)).unwrap();
        let too_long = "m".repeat(OFFSET_METADATA_BYTES_MAX + 1);
        let refused = offsets.commit("g", "t", 0, commit(6, &too_long), now(0));
        assert_eq!(refused, Err(Refusal::OffsetMetadataTooLarge));
        assert_eq!(offsets.get("g", "t", 0).unwrap().offset, 5);
        audit(&offsets);
    }

    #[test]
    fn rows_survive_the_coordinator_file() {
        let mut offsets = Offsets::default();
        offsets.commit("g", "t", 2, commit(7, "hello"), now(5)).unwrap();
        let retention = Commit { retention_ms: Some(60_000), ..commit(8, "") };
        offsets.commit("g", "u", 0, retention, now(5)).unwrap();
        let bytes = postcard::to_stdvec(&offsets.rows().collect::<Vec<_>>()).unwrap();
        let rows: Vec<OffsetRow<'_>> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(rows, offsets.rows().collect::<Vec<_>>());
        assert_eq!(rows[1].retention_ms, Some(60_000));
    }
}
