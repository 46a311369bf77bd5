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

/// No row: the end of the chain.
const NONE: u32 = u32::MAX;

/// A row in the chain of all, from the one that was silent longest to the one heard last.
#[derive(Debug)]
struct Entry {
    row: ProducerRow,
    before: u32,
    behind: u32,
}

/// All producers.
#[derive(Debug)]
pub struct Producers {
    by_key: Map<(PartitionName, i64), u32>,
    entries: Slab<Entry>,
    oldest: u32,
    newest: u32,
}

/// The sequence number after `sequence`: 2^31-1 is followed by 0.
const fn following(sequence: i32) -> i32 {
    if sequence == i32::MAX { 0 } else { sequence + 1 }
}

impl Producers {
    /// An empty table for `capacity` entries.
    pub fn new(capacity: usize) -> Producers {
        let (by_key, entries) = (Map::new(capacity), Slab::new(capacity));
        Producers { by_key, entries, oldest: NONE, newest: NONE }
    }

    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let count = sizes.producers;
        let bytes = Slab::<Entry>::memory(count) + Map::<(PartitionName, i64), u32>::memory(count);
        ledger.row(
            "idempotent producers, per partition",
            count,
            bytes.div_ceil(count.max(1)),
            "the one that was silent longest is forgotten, as in Kafka after a week",
        );
    }

    /// How full the table is.
    pub fn usage(&self) -> Usage {
        Usage::new("producers", self.entries.len(), self.entries.capacity())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, partition: PartitionName, id: i64) -> Option<u32> {
        self.by_key.get(&(partition, id)).copied()
    }

    /// Takes a row out of the chain.
    fn unlink(&mut self, at: u32) {
        let Some(entry) = self.entries.get(at) else { return };
        let (before, behind) = (entry.before, entry.behind);
        match self.entries.get_mut(before) {
            Some(entry) => entry.behind = behind,
            None => self.oldest = behind,
        }
        match self.entries.get_mut(behind) {
            Some(entry) => entry.before = before,
            None => self.newest = before,
        }
    }

    /// Puts a row that is in no chain at its end: it was heard just now.
    fn link(&mut self, at: u32) {
        let newest = self.newest;
        if let Some(entry) = self.entries.get_mut(at) {
            (entry.before, entry.behind) = (newest, NONE);
        }
        match self.entries.get_mut(newest) {
            Some(entry) => entry.behind = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }

    fn forget(&mut self, at: u32) {
        self.unlink(at);
        if let Some(Entry { row, .. }) = self.entries.remove(at) {
            self.by_key.remove(&((row.topic, row.partition), row.id));
        }
    }

    /// Adds a row, heard just now; the one that was silent longest makes room.
    fn add(&mut self, row: ProducerRow) -> Option<u32> {
        if self.entries.is_full() {
            self.forget(self.oldest);
        }
        let key = ((row.topic, row.partition), row.id);
        let at = self.entries.insert(Entry { row, before: NONE, behind: NONE }).ok()?;
        self.by_key.insert(key, at).ok()?;
        self.link(at);
        Some(at)
    }

    /// Judges a batch before it is appended.
    ///
    /// # Errors
    /// [`SequenceError`]. Authority: `ProducerAppendInfo.checkSequence`.
    pub fn check(&self, partition: PartitionName, claim: Claim) -> Result<Verdict, SequenceError> {
        let found = self.find(partition, claim.id).and_then(|at| self.entries.get(at));
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
        let at = match self.find(partition, claim.id) {
            Some(at) => {
                self.unlink(at);
                self.link(at);
                Some(at)
            }
            None => self.add(ProducerRow {
                topic: partition.0,
                partition: partition.1,
                id: claim.id,
                epoch: claim.epoch,
                batches: heapless::Vec::new(),
            }),
        };
        let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) else { return };
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

    /// Forgets the producers of a deleted topic.
    pub fn forget_topic(&mut self, topic: u32) {
        for at in 0..self.entries.keys_end() {
            if self.entries.get(at).is_some_and(|entry| entry.row.topic == topic) {
                self.forget(at);
            }
        }
    }

    /// The producers of one partition, in no order.
    pub fn of_partition(&self, partition: PartitionName) -> impl Iterator<Item = &ProducerRow> {
        let rows = self.entries.iter().map(|(_, entry)| &entry.row);
        rows.filter(move |r| (r.topic, r.partition) == partition)
    }

    /// All rows, those silent longest first, for the coordinator file.
    pub fn rows(&self) -> impl Iterator<Item = &ProducerRow> + Clone {
        let at = |at: u32| self.entries.get(at);
        let chain = core::iter::successors(at(self.oldest), move |entry| at(entry.behind));
        chain.map(|entry| &entry.row)
    }

    /// Puts a row of the coordinator file back.
    pub fn restore(&mut self, row: ProducerRow) {
        if let Some(at) = self.find((row.topic, row.partition), row.id) {
            self.forget(at);
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
        before.rows().cloned().for_each(|row| after.restore(row));
        for n in 0..8 {
            let again = claim(0, n * 10, n * 10 + 9);
            assert_eq!(before.check(P, again), after.check(P, again));
        }
    }

    #[test]
    fn a_full_table_forgets_the_quietest_in_their_order_and_allocates_nothing() {
        let mut producers = Producers::new(8);
        let seen = allocation_counter::measure(|| {
            for n in 0..10_000_i64 {
                let id = n * 7 % 13;
                let sequence = n as i32;
                producers.record(P, Claim { id, ..claim(0, sequence, sequence) }, n, 0);
                assert_eq!(producers.rows().last().map(|row| row.id), Some(id));
                if n % 500 == 499 {
                    producers.forget_topic(P.0);
                    assert!(producers.is_empty() && producers.rows().next().is_none());
                }
            }
        });
        assert_eq!(seen.count_total, 0);
        for id in 100..109 {
            producers.record(P, Claim { id, ..claim(0, 0, 0) }, 0, 0);
        }
        let ids: Vec<_> = producers.rows().map(|row| row.id).collect();
        assert_eq!(ids, (101..109).collect::<Vec<_>>());
        assert_eq!(producers.usage(), Usage { name: "producers", used: 8, limit: 8 });
    }

    #[test]
    fn the_table_takes_what_the_ledger_says() {
        let sizes = Sizes::default();
        let mut ledger = Ledger::default();
        Producers::account(&sizes, &mut ledger);
        let mut made = None;
        let seen = allocation_counter::measure(|| made = Some(Producers::new(sizes.producers)));
        assert!(seen.bytes_total <= ledger.bytes(), "{seen:?}, {} accounted", ledger.bytes());
        assert!(ledger.bytes() < seen.bytes_total * 11 / 10);
    }
}
