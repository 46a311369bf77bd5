//! The committed offsets of all groups: (group id, topic, partition) → offset.
//!
//! Rows, names and metadata have their places from the start, iteration is sorted by group, topic
//! and partition. Age is time that this process saw pass (`Now::mono`): a wrong clock deletes
//! nothing, and after a restart every age starts anew.
//!
//! Absent on purpose: who may commit (that is `group.rs`), and durability (the rows travel as
//! [`OffsetRow`] through the journal and the coordinator file).

mod names;
mod views;

use serde::{Deserialize, Serialize};

use super::group::Refusal;
use crate::fixed::{List, Slab, Text, Texts};
use crate::limits::{GROUP_ID_BYTES_MAX, Ledger, OFFSET_METADATA_BYTES_MAX, Sizes, Usage};
use crate::time::{Millis, Now};
use names::Names;

pub use views::Partitions;

/// What a group committed for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedOffset<'a> {
    /// The next offset the group wants to read.
    pub offset: i64,
    /// The leader epoch of the last record it read, -1 if it didn't say.
    pub leader_epoch: i32,
    /// What the client attached, given back verbatim.
    pub metadata: &'a str,
    /// When, by the wall clock of that moment; shown, never reckoned with.
    pub commit_wall_ms: i64,
    /// The `retention_time_ms` of OffsetCommit v2 to v4, if the client set one.
    pub retention_ms: Option<u64>,
    /// When, in the time of this process; a restored row counts from the restart.
    committed_at: Millis,
}

impl CommittedOffset<'_> {
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

/// One row in memory.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Places of the names.
    group: u32,
    topic: u32,
    partition: i32,
    leader_epoch: i32,
    offset: i64,
    commit_wall_ms: i64,
    /// -1 for none: the wire's own way, and half as large as an `Option`.
    retention_ms: i64,
    committed_at: Millis,
    /// None if it is empty, as it nearly always is.
    metadata: Option<Text>,
}

impl Row {
    fn shown<'a>(&self, metadata: &'a Texts) -> CommittedOffset<'a> {
        CommittedOffset {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.map_or("", |text| metadata.str(text)),
            commit_wall_ms: self.commit_wall_ms,
            retention_ms: u64::try_from(self.retention_ms).ok(),
            committed_at: self.committed_at,
        }
    }
}

/// The store.
#[derive(Debug)]
pub struct Offsets {
    groups: Names,
    topics: Names,
    rows: Slab<Row>,
    /// The rows' places, by group id, topic and partition.
    order: List<u32>,
    metadata: Texts,
    metadata_bytes: usize,
    metadata_bytes_max: usize,
}

impl Offsets {
    /// An empty store. All memory that it will ever have is taken here.
    #[must_use]
    pub fn new(sizes: &Sizes) -> Offsets {
        Offsets {
            groups: Names::new(sizes.groups, GROUP_ID_BYTES_MAX * sizes.groups),
            topics: Names::new(sizes.topics, sizes.name_bytes),
            rows: Slab::new(sizes.offsets),
            order: List::new(sizes.offsets),
            metadata: Texts::new(sizes.offsets, sizes.offset_bytes),
            metadata_bytes: 0,
            metadata_bytes_max: sizes.offset_bytes,
        }
    }

    /// What [`Offsets::new`] allocates.
    pub(super) fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let row = Slab::<Row>::memory(1) + List::<u32>::memory(1) + Texts::memory(1, 0);
        let commit = "OffsetCommit: INVALID_COMMIT_OFFSET_SIZE";
        ledger.row("committed offsets", sizes.offsets, row, commit);
        ledger.row("metadata of committed offsets", sizes.offset_bytes, 1, commit);
        let groups = Names::memory(sizes.groups, GROUP_ID_BYTES_MAX * sizes.groups);
        let topics = Names::memory(sizes.topics, sizes.name_bytes);
        ledger.row("names in committed offsets", groups + topics, 1, commit);
    }

    /// How full the tables are.
    pub(super) fn usage(&self) -> [Usage; 2] {
        [
            Usage::new("group.offsets", self.rows.len(), self.rows.capacity()),
            Usage::new("group.offsets.bytes", self.metadata_bytes, self.metadata_bytes_max),
        ]
    }

    /// Rows in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is committed at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What `group_id` committed for one partition.
    #[must_use]
    pub fn get(&self, group_id: &str, topic: &str, partition: i32) -> Option<CommittedOffset<'_>> {
        let row = self.find(group_id, topic, partition)?;
        self.rows.get(row).map(|row| row.shown(&self.metadata))
    }

    /// The row's place.
    fn find(&self, group_id: &str, topic: &str, partition: i32) -> Option<u32> {
        let (group, topic) = (self.groups.find(group_id)?, self.topics.find(topic)?);
        let at = self.position(group, topic, partition).ok()?;
        self.order.get(at).copied()
    }

    /// Where the row is in the order, or would have to be.
    fn position(&self, group: u32, topic: u32, partition: i32) -> Result<usize, usize> {
        self.order.binary_search_by(|row| {
            let Some(row) = self.rows.get(*row) else { return core::cmp::Ordering::Less };
            let by_group = self.groups.compare(row.group, group);
            let by_topic = || self.topics.compare(row.topic, topic);
            by_group.then_with(by_topic).then_with(|| row.partition.cmp(&partition))
        })
    }

    /// The rows of a group, in their order.
    fn rows_of(&self, group_id: &str) -> &[u32] {
        let Some(group) = self.groups.find(group_id) else { return &[] };
        let by_group = |row: &u32| {
            let row = self.rows.get(*row);
            row.map_or(core::cmp::Ordering::Less, |row| self.groups.compare(row.group, group))
        };
        let start = self.order.partition_point(|row| by_group(row).is_lt());
        let count = self.order[start..].partition_point(|row| by_group(row).is_le());
        &self.order[start..start + count]
    }

    /// Whether `group_id` committed anything.
    #[must_use]
    pub fn has_group(&self, group_id: &str) -> bool {
        self.groups.find(group_id).is_some()
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
        let known = self.find(group_id, topic, partition);
        let old = known.and_then(|row| self.rows.get(row)).and_then(|row| row.metadata);
        let old_bytes = old.map_or(0, |text| self.metadata.get(text).len());
        let metadata_bytes = self.metadata_bytes - old_bytes + commit.metadata.len();
        if metadata_bytes > self.metadata_bytes_max {
            return Err(Refusal::OffsetsFull);
        }
        let row = match known {
            Some(row) => row,
            None => self.add(group_id, topic, partition).ok_or(Refusal::OffsetsFull)?,
        };
        let metadata = self.keep_metadata(old, commit.metadata);
        self.metadata_bytes = metadata_bytes;
        if let Some(row) = self.rows.get_mut(row) {
            row.offset = commit.offset;
            row.leader_epoch = commit.leader_epoch;
            row.metadata = metadata;
            row.commit_wall_ms = now.wall_ms;
            // Three hundred million years are for ever.
            let retention_ms = commit.retention_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
            row.retention_ms = retention_ms.unwrap_or(-1);
            row.committed_at = now.mono;
        }
        Ok(())
    }

    /// Puts metadata in the place of older one. There is room: the bytes were counted, and there is
    /// a place for each row.
    fn keep_metadata(&mut self, old: Option<Text>, metadata: &str) -> Option<Text> {
        match old {
            Some(text) if metadata.is_empty() => {
                self.metadata.free(text);
                None
            }
            Some(text) => {
                let fits = self.metadata.replace(text, metadata.as_bytes());
                debug_assert!(fits, "it was counted");
                Some(text)
            }
            None if metadata.is_empty() => None,
            None => self.metadata.put(metadata.as_bytes()),
        }
    }

    /// Makes a row; `None` if there is no room, and then nothing has changed.
    fn add(&mut self, group_id: &str, topic: &str, partition: i32) -> Option<u32> {
        if self.rows.is_full() {
            return None;
        }
        let group = self.groups.take(group_id)?;
        let Some(topic) = self.topics.take(topic) else {
            self.groups.give(group);
            return None;
        };
        let row = Row {
            group,
            topic,
            partition,
            leader_epoch: -1,
            offset: 0,
            commit_wall_ms: 0,
            retention_ms: -1,
            committed_at: Millis(0),
            metadata: None,
        };
        let at = self.position(group, topic, partition).unwrap_or_else(|at| at);
        let row = self.rows.insert(row).ok()?;
        self.order.insert(at, row).ok()?;
        Some(row)
    }

    /// Forgets one row; says whether it was there.
    pub(super) fn remove(&mut self, group_id: &str, topic: &str, partition: i32) -> bool {
        let names = self.groups.find(group_id).zip(self.topics.find(topic));
        let at = names.and_then(|(group, topic)| self.position(group, topic, partition).ok());
        let Some(row) = at.and_then(|at| self.order.remove(at)) else { return false };
        self.forget(row);
        true
    }

    /// Forgets a row that is in the order no longer.
    fn forget(&mut self, row: u32) {
        let Some(row) = self.rows.remove(row) else { return };
        self.groups.give(row.group);
        self.topics.give(row.topic);
        if let Some(text) = row.metadata {
            self.metadata_bytes -= self.metadata.get(text).len();
            self.metadata.free(text);
        }
    }

    /// Forgets all rows of a group; says how many there were.
    pub(super) fn remove_group(&mut self, group_id: &str) -> usize {
        let before = self.rows.len();
        self.retain_in(group_id, |_, _, _| false);
        before - self.rows.len()
    }

    /// Forgets all rows of a topic in all groups; says how many there were.
    pub(super) fn remove_topic(&mut self, topic: &str) -> usize {
        let before = self.rows.len();
        if let Some(topic) = self.topics.find(topic) {
            self.retain(|row, _| row.topic != topic);
        }
        before - self.rows.len()
    }

    /// Keeps the rows of one group that `keep` wants.
    pub(super) fn retain_in(
        &mut self,
        group_id: &str,
        mut keep: impl FnMut(&str, i32, &CommittedOffset<'_>) -> bool,
    ) {
        let Some(group) = self.groups.find(group_id) else { return };
        self.retain(|row, store| {
            let topic = || store.topics.get(row.topic);
            row.group != group || keep(topic(), row.partition, &row.shown(&store.metadata))
        });
    }

    /// Keeps the rows that `keep` wants, in their order.
    fn retain(&mut self, mut keep: impl FnMut(&Row, &Offsets) -> bool) {
        let mut kept = 0;
        for at in 0..self.order.len() {
            let place = self.order[at];
            match self.rows.get(place) {
                Some(row) if keep(row, self) => {
                    self.order[kept] = place;
                    kept += 1;
                }
                _ => self.forget(place),
            }
        }
        self.order.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn now(mono: u64) -> Now {
        Now { mono: Millis(mono), wall_ms: 1_700_000_000_000 }
    }

    fn commit(offset: i64, metadata: &str) -> Commit<'_> {
        Commit { offset, leader_epoch: 3, metadata, retention_ms: None }
    }

    /// Room for more than any test needs.
    fn roomy() -> Sizes {
        Sizes { offsets: 16_384, offset_bytes: 1 << 20, ..Sizes::default() }
    }

    fn audit(offsets: &Offsets) {
        assert_eq!(offsets.rows().count(), offsets.len());
        let bytes: usize = offsets.rows().map(|row| row.metadata.len()).sum();
        assert_eq!(bytes, offsets.metadata_bytes);
        let keys = || offsets.rows().map(|row| (row.group_id, row.topic, row.partition));
        assert!(keys().is_sorted());
        let groups: BTreeSet<_> = keys().map(|key| key.0).collect();
        let topics: BTreeSet<_> = keys().map(|key| key.1).collect();
        assert_eq!((groups.len(), topics.len()), (offsets.groups.len(), offsets.topics.len()));
    }

    #[test]
    fn a_commit_is_given_back_whole_and_replaced_by_the_next() {
        let mut offsets = Offsets::new(&roomy());
        offsets.commit("g", "t", 2, commit(7, "hello"), now(5)).unwrap();
        let row = offsets.get("g", "t", 2).unwrap();
        assert_eq!((row.offset, row.leader_epoch, row.metadata), (7, 3, "hello"));
        assert_eq!(row.commit_wall_ms, 1_700_000_000_000);
        offsets.commit("g", "t", 2, commit(9, ""), now(6)).unwrap();
        assert_eq!(offsets.get("g", "t", 2).unwrap().offset, 9);
        assert_eq!(offsets.len(), 1);
        assert!(offsets.get("g", "t", 1).is_none() && offsets.get("x", "t", 2).is_none());
        audit(&offsets);
    }

    #[test]
    fn rows_of_a_group_come_sorted_by_topic_and_partition() {
        let mut offsets = Offsets::new(&roomy());
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
        let mut offsets = Offsets::new(&roomy());
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
        let mut offsets = Offsets::new(&roomy());
        for partition in 0..roomy().offsets {
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
        assert_eq!(stored as usize, roomy().offset_bytes / OFFSET_METADATA_BYTES_MAX);
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
        let mut offsets = Offsets::new(&roomy());
        offsets.commit("g", "t", 2, commit(7, "hello"), now(5)).unwrap();
        let retention = Commit { retention_ms: Some(60_000), ..commit(8, "") };
        offsets.commit("g", "u", 0, retention, now(5)).unwrap();
        let bytes = postcard::to_stdvec(&offsets.rows().collect::<Vec<_>>()).unwrap();
        let rows: Vec<OffsetRow<'_>> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(rows, offsets.rows().collect::<Vec<_>>());
        assert_eq!(rows[1].retention_ms, Some(60_000));
    }
}
