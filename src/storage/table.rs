//! The table of all partitions: rows with handles that stay, found by their keys.
//!
//! Promises: allocated once, for so many partitions as the board has. A partition of a deleted
//! topic is not seen any more, but keeps its row until its files are gone.
//! Absent: when that is (`sync`).

use super::journal::Lsn;
use super::partition::Partition;
use super::segments::Segments;
use super::{PartitionIndex, PartitionKey, layout};
use crate::fixed::List;

/// All partitions.
pub struct Table {
    rows: List<Option<Partition>>,
    /// Those that are seen, in the order of their keys.
    by_key: List<(PartitionKey, u32)>,
    /// The segments of all.
    pub segments: Segments,
}

impl Table {
    /// A table for so many partitions with so many segments.
    pub fn new(partitions: usize, segments: usize) -> Table {
        let (rows, by_key) = (List::new(partitions), List::new(partitions));
        Table { rows, by_key, segments: Segments::new(segments, partitions) }
    }

    /// Bytes that the rows of `partitions` take, but for their segments.
    pub const fn memory(partitions: usize) -> usize {
        List::<Option<Partition>>::memory(partitions)
            + List::<(PartitionKey, u32)>::memory(partitions)
    }

    /// How many rows there are.
    pub fn capacity(&self) -> usize {
        self.rows.capacity()
    }

    /// Whether another segment has a row.
    pub fn segments_have_room(&self) -> bool {
        let (used, all) = self.segments.used();
        used < all
    }

    /// How many partitions are seen.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many rows are free.
    pub fn free(&self) -> usize {
        self.rows.capacity() - self.rows.iter().flatten().count()
    }

    fn place(&self, key: PartitionKey) -> Result<usize, usize> {
        self.by_key.binary_search_by_key(&key, |(known, _)| *known)
    }

    /// The handle of a partition.
    pub fn find(&self, key: PartitionKey) -> Option<PartitionIndex> {
        self.by_key.get(self.place(key).ok()?).map(|(_, index)| *index as usize)
    }

    /// The handle of the first partition of a topic.
    pub fn first_of(&self, topic: u32) -> Option<PartitionIndex> {
        let at = self.by_key.partition_point(|(key, _)| key.topic < topic);
        let (key, index) = self.by_key.get(at)?;
        (key.topic == topic).then_some(*index as usize)
    }

    /// The handle of the first partition whose key is `key` or behind it.
    pub fn from(&self, key: PartitionKey) -> Option<PartitionIndex> {
        let at = self.by_key.partition_point(|(known, _)| *known < key);
        self.by_key.get(at).map(|(_, index)| *index as usize)
    }

    /// The partition behind a handle.
    pub fn get(&self, index: PartitionIndex) -> Option<&Partition> {
        self.rows.get(index)?.as_ref().filter(|partition| !partition.removed)
    }

    /// The partition behind a handle.
    pub fn get_mut(&mut self, index: PartitionIndex) -> Option<&mut Partition> {
        self.rows.get_mut(index)?.as_mut().filter(|partition| !partition.removed)
    }

    /// All partitions with their handles.
    pub fn iter(&self) -> impl Iterator<Item = (PartitionIndex, &Partition)> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(index, row)| Some((index, row.as_ref().filter(|p| !p.removed)?)))
    }

    /// All partitions.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        self.rows.iter_mut().flatten().filter(|partition| !partition.removed)
    }

    /// All partitions in the order of their keys.
    pub fn in_order(&self) -> impl Iterator<Item = &Partition> {
        self.by_key.iter().filter_map(|(_, index)| self.get(*index as usize))
    }

    /// Adds a partition; `None` if there is no room.
    pub fn add(&mut self, key: PartitionKey, topic: &str) -> Option<PartitionIndex> {
        let at = self.place(key).err()?;
        let index = match self.rows.iter().position(Option::is_none) {
            Some(index) => index,
            None => {
                self.rows.push(None).ok()?;
                self.rows.len() - 1
            }
        };
        self.rows[index] = Some(Partition::new(key, topic, &self.segments)?);
        self.by_key.insert(at, (key, index as u32)).ok()?;
        Some(index)
    }

    /// Makes a partition invisible; its row stays until [`Table::take_removed`], and its files may
    /// go when `lsn` is durable.
    pub fn remove(&mut self, index: PartitionIndex, lsn: Lsn) {
        let Some(Some(partition)) = self.rows.get_mut(index) else { return };
        partition.remove();
        partition.given_up = Some(lsn);
        let key = partition.key;
        if let Ok(at) = self.place(key) {
            self.by_key.remove(at);
        }
    }

    /// Forgets a partition at once.
    pub fn forget(&mut self, index: PartitionIndex) {
        self.remove(index, 0);
        if let Some(row) = self.rows.get_mut(index) {
            *row = None;
        }
    }

    /// Whether a directory of this deleted topic still waits for its removal.
    pub fn removes_topic(&self, topic: &str) -> bool {
        let mut gone = self.rows.iter().flatten().filter(|partition| partition.removed);
        gone.any(|partition| layout::topic_of(&partition.dir) == topic)
    }

    /// Visits what was given up with frame `lsn` or before: its directory, and each segment that
    /// is to be removed; then once more, without a segment, if the directory goes too. Returns
    /// how many partitions that were.
    pub fn take_given_up(&mut self, lsn: Lsn, mut visit: impl FnMut(&str, Option<i64>)) -> usize {
        let mut count = 0;
        for row in self.rows.iter_mut() {
            let Some(partition) = row else { continue };
            if partition.given_up.is_none_or(|given_up| given_up > lsn) {
                continue;
            }
            partition.given_up = None;
            count += 1;
            while let Some(base) = partition.take_given_up() {
                visit(&partition.dir, Some(base));
            }
            if partition.removed {
                visit(&partition.dir, None);
                *row = None;
            }
        }
        count
    }
}
