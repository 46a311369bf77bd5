//! What is remembered of idempotent producers, so that a repeated batch is recognised.
//!
//! Per partition and producer id: the epoch and the last five batches (KIP-98,
//! `ProducerStateEntry`). The table has a fixed size; when it is full the entry that was silent
//! longest makes room. That is safe: a producer id without an entry may begin with any sequence
//! number, as in Kafka after its own expiry (KIP-360).
//!
//! Absent: handing out ids (`broker`), transactions.

use crate::fixed::{Map, Slab};
use crate::limits::{Ledger, PRODUCER_BATCHES, Sizes, Usage};
use serde::{Deserialize, Serialize};

/// Why a batch is not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceError {
    /// The epoch is older than one seen before.
    InvalidEpoch,
    /// The sequence number does not follow the last one.
    OutOfOrder,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Append it.
    New,
    /// It is here already.
    Duplicate(Batch),
}

/// One remembered batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Sequence number of the first record.
    pub first_sequence: i32,
    /// Sequence number of the last record.
    pub last_sequence: i32,
    /// Offset of the first record.
    pub base_offset: i64,
    /// Largest timestamp, milliseconds since 1970.
    pub timestamp: i64,
}

/// What a batch says about its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Producer id, at least 0.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence number of the first record, at least 0.
    pub first_sequence: i32,
    /// Sequence number of the last record.
    pub last_sequence: i32,
}

/// A partition's permanent name: the topic's number and the partition's index.
pub type PartitionName = (u32, u32);

/// One producer on one partition, also in the coordinator file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerRow {
    /// The topic's number.
    pub topic: u32,
    /// The partition's index.
    pub partition: u32,
    /// Producer id.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// The last batches, oldest first.
    pub batches: heapless::Vec<Batch, PRODUCER_BATCHES>,
}

/// A producer in the table, and its neighbours in the order of use.
#[derive(Debug)]
struct Entry {
    row: ProducerRow,
    older: Option<u32>,
    newer: Option<u32>,
}

/// All producers, in a table that never grows.
#[derive(Debug)]
pub struct Producers {
    entries: Slab<Entry>,
    by_key: Map<(PartitionName, i64), u32>,
    oldest: Option<u32>,
    newest: Option<u32>,
}

impl Default for Producers {
    fn default() -> Self {
        Producers::new(Sizes::default().producers)
    }
}

/// The sequence number after `sequence`: 2^31-1 is followed by 0.
const fn following(sequence: i32) -> i32 {
    if sequence == i32::MAX { 0 } else { sequence + 1 }
}

impl Producers {
    /// An empty table for `capacity` entries.
    pub fn new(capacity: usize) -> Producers {
        let capacity = capacity.max(1);
        let (entries, by_key) = (Slab::new(capacity), Map::new(capacity));
        Producers { entries, by_key, oldest: None, newest: None }
    }

    /// What [`Producers::new`] allocates.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let count = sizes.producers.max(1);
        let bytes = Slab::<Entry>::memory(count) + Map::<(PartitionName, i64), u32>::memory(count);
        let at_limit = "the producer that was silent longest is forgotten";
        ledger.row("producers on partitions", count, bytes.div_ceil(count), at_limit);
    }

    /// How full the table is.
    pub fn usage(&self) -> Usage {
        let (used, limit) = (self.len() as u64, self.entries.capacity() as u64);
        Usage { name: "producers", used, limit }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Judges a batch before it is appended.
    ///
    /// # Errors
    /// [`SequenceError`]. Authority: `ProducerAppendInfo.checkSequence`.
    pub fn check(&self, partition: PartitionName, claim: Claim) -> Result<Verdict, SequenceError> {
        let found = self.by_key.get(&(partition, claim.id)).and_then(|at| self.entries.get(*at));
        let Some(Entry { row, .. }) = found else { return Ok(Verdict::New) };
        if claim.epoch < row.epoch {
            return Err(SequenceError::InvalidEpoch);
        }
        if claim.epoch > row.epoch {
            let fresh = claim.first_sequence == 0;
            return if fresh { Ok(Verdict::New) } else { Err(SequenceError::OutOfOrder) };
        }
        let same = |b: &&Batch| {
            b.first_sequence == claim.first_sequence && b.last_sequence == claim.last_sequence
        };
        if let Some(batch) = row.batches.iter().find(same) {
            return Ok(Verdict::Duplicate(*batch));
        }
        match row.batches.last() {
            Some(last) if following(last.last_sequence) != claim.first_sequence => {
                Err(SequenceError::OutOfOrder)
            }
            _ => Ok(Verdict::New),
        }
    }

    /// Remembers a batch that was appended.
    pub fn record(&mut self, partition: PartitionName, claim: Claim, base_offset: i64, time: i64) {
        let key = (partition, claim.id);
        let at = self.by_key.get(&key).copied().or_else(|| {
            self.add(ProducerRow {
                topic: partition.0,
                partition: partition.1,
                id: claim.id,
                epoch: claim.epoch,
                batches: heapless::Vec::new(),
            })
        });
        let Some(at) = at else { return };
        self.unlink(at);
        self.link_newest(at);
        let Some(entry) = self.entries.get_mut(at) else { return };
        if entry.row.epoch != claim.epoch {
            entry.row.epoch = claim.epoch;
            entry.row.batches.clear();
        }
        if entry.row.batches.is_full() {
            entry.row.batches.remove(0);
        }
        let batch = Batch {
            first_sequence: claim.first_sequence,
            last_sequence: claim.last_sequence,
            base_offset,
            timestamp: time,
        };
        entry.row.batches.push(batch).ok();
    }

    /// Adds an entry as the newest; the oldest makes room.
    fn add(&mut self, row: ProducerRow) -> Option<u32> {
        if self.entries.is_full()
            && let Some(oldest) = self.oldest
        {
            self.remove(oldest);
        }
        let key = ((row.topic, row.partition), row.id);
        let at = self.entries.insert(Entry { row, older: None, newer: None }).ok()?;
        self.by_key.insert(key, at).ok();
        self.link_newest(at);
        Some(at)
    }

    fn remove(&mut self, at: u32) {
        self.unlink(at);
        if let Some(Entry { row, .. }) = self.entries.remove(at) {
            self.by_key.remove(&((row.topic, row.partition), row.id));
        }
    }

    fn link_newest(&mut self, at: u32) {
        let before = self.newest.replace(at);
        if let Some(entry) = self.entries.get_mut(at) {
            (entry.older, entry.newer) = (before, None);
        }
        match before.and_then(|before| self.entries.get_mut(before)) {
            Some(entry) => entry.newer = Some(at),
            None => self.oldest = Some(at),
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(entry) = self.entries.get(at) else { return };
        let (older, newer) = (entry.older, entry.newer);
        match older.and_then(|older| self.entries.get_mut(older)) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.entries.get_mut(newer)) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
    }

    /// Forgets the producers of a deleted topic.
    pub fn forget_topic(&mut self, topic: u32) {
        let mut next = self.oldest;
        while let Some(at) = next {
            let entry = self.entries.get(at);
            next = entry.and_then(|entry| entry.newer);
            if entry.is_some_and(|entry| entry.row.topic == topic) {
                self.remove(at);
            }
        }
    }

    /// The producers of one partition, in no order.
    pub fn of_partition(&self, partition: PartitionName) -> impl Iterator<Item = &ProducerRow> {
        let rows = self.entries.iter().map(|(_, entry)| &entry.row);
        rows.filter(move |row| (row.topic, row.partition) == partition)
    }

    /// All rows, those silent longest first, for the coordinator file.
    pub fn rows(&self) -> impl Iterator<Item = &ProducerRow> + Clone {
        let oldest = self.oldest.and_then(|at| self.entries.get(at));
        let newer = |entry: &&Entry| entry.newer.and_then(|at| self.entries.get(at));
        core::iter::successors(oldest, newer).map(|entry| &entry.row)
    }

    /// Puts a row of the coordinator file back, as the one that was used last.
    pub fn restore(&mut self, row: ProducerRow) {
        if let Some(at) = self.by_key.get(&((row.topic, row.partition), row.id)).copied() {
            self.remove(at);
        }
        self.add(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionName = (1, 0);

    fn claim(epoch: i16, first: i32, last: i32) -> Claim {
        Claim { id: 9, epoch, first_sequence: first, last_sequence: last }
    }

    fn with_batches(count: i32) -> Producers {
        let mut producers = Producers::new(4);
        for n in 0..count {
            let next = claim(0, n * 10, n * 10 + 9);
            assert_eq!(producers.check(P, next), Ok(Verdict::New));
            producers.record(P, next, i64::from(n) * 10, 0);
        }
        producers
    }

    #[test]
    fn any_of_the_last_five_batches_is_a_duplicate_and_older_ones_are_out_of_order() {
        let producers = with_batches(7);
        for n in 2..7 {
            let again = claim(0, n * 10, n * 10 + 9);
            let first = Batch {
                first_sequence: n * 10,
                last_sequence: n * 10 + 9,
                base_offset: i64::from(n) * 10,
                timestamp: 0,
            };
            assert_eq!(producers.check(P, again), Ok(Verdict::Duplicate(first)));
        }
        assert_eq!(producers.check(P, claim(0, 10, 19)), Err(SequenceError::OutOfOrder));
    }

    #[test]
    fn gaps_and_old_epochs_are_refused_and_a_new_epoch_starts_at_zero() {
        let producers = with_batches(2);
        assert_eq!(producers.check(P, claim(0, 30, 39)), Err(SequenceError::OutOfOrder));
        assert_eq!(producers.check(P, claim(-1, 20, 29)), Err(SequenceError::InvalidEpoch));
        assert_eq!(producers.check(P, claim(1, 20, 29)), Err(SequenceError::OutOfOrder));
        assert_eq!(producers.check(P, claim(1, 0, 9)), Ok(Verdict::New));
    }

    #[test]
    fn sequences_wrap() {
        let mut producers = Producers::new(4);
        producers.record(P, claim(0, i32::MAX - 1, i32::MAX), 0, 0);
        assert_eq!(producers.check(P, claim(0, 0, 4)), Ok(Verdict::New));
        assert_eq!(producers.check(P, claim(0, 1, 4)), Err(SequenceError::OutOfOrder));
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere_and_the_quietest_makes_room() {
        let mut producers = with_batches(1);
        for id in 100..103 {
            producers.record(P, Claim { id, ..claim(0, 50, 50) }, 0, 0);
        }
        producers.record(P, claim(0, 10, 19), 10, 0);
        producers.record(P, Claim { id: 200, ..claim(0, 5, 5) }, 0, 0);
        assert_eq!(producers.len(), 4);
        let verdict = producers.check(P, claim(0, 10, 19));
        assert!(matches!(verdict, Ok(Verdict::Duplicate(Batch { base_offset: 10, .. }))));
        let evicted = Claim { id: 100, ..claim(0, 777, 777) };
        assert_eq!(producers.check(P, evicted), Ok(Verdict::New));
    }

    #[test]
    fn rows_restore_to_the_same_verdicts() {
        let before = with_batches(6);
        let mut after = Producers::new(4);
        before.rows().for_each(|row| after.restore(row.clone()));
        assert!(before.rows().eq(after.rows()));
        for n in 0..8 {
            let again = claim(0, n * 10, n * 10 + 9);
            assert_eq!(before.check(P, again), after.check(P, again));
        }
    }

    #[test]
    fn a_flood_of_ids_over_topics_that_come_and_go_keeps_table_and_order_in_step() {
        let mut producers = Producers::new(50);
        let mut expected: Vec<(u32, i64)> = Vec::new();
        let mut seed = 3u64;
        for round in 0..20_000u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (topic, id) = ((seed >> 40) as u32 % 7, (seed >> 50) as i64 % 30);
            let sequence = round as i32;
            if round % 500 == 499 {
                producers.forget_topic(topic);
                expected.retain(|known| known.0 != topic);
            } else {
                let claim = Claim { id, ..claim(0, sequence, sequence) };
                let counted = allocation_counter::measure(|| {
                    producers.record((topic, 0), claim, 0, 0);
                });
                assert_eq!(counted.count_total, 0);
                expected.retain(|known| *known != (topic, id));
                expected.push((topic, id));
                if expected.len() > 50 {
                    expected.remove(0);
                }
            }
            let rows: Vec<_> = producers.rows().map(|row| (row.topic, row.id)).collect();
            assert_eq!(rows, expected);
            assert_eq!((producers.len(), producers.by_key.len()), (rows.len(), rows.len()));
        }
    }
}
