//! What one upstream replica remembers of producers: Kafka's rules, to the letter.
//!
//! Authority: `ProducerStateManager`, `ProducerStateEntry` and `ProducerAppendInfo` of Kafka 4.3;
//! for old brokers `ProducerAppendInfo` of Kafka 1.0.

use crate::codes::{
    DUPLICATE_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER,
    UNKNOWN_PRODUCER_ID,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a batch says about its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub id: i64,
    pub epoch: i16,
    pub first: i32,
    pub last: i32,
}

/// One of the last five batches of a producer.
#[derive(Clone, Copy, Debug)]
pub struct Remembered {
    pub first: i32,
    pub last: i32,
    pub base_offset: i64,
    pub next_offset: i64,
}

/// One producer.
#[derive(Clone, Debug)]
pub struct Entry {
    pub epoch: i16,
    pub batches: VecDeque<Remembered>,
    pub last_timestamp: i64,
}

impl Entry {
    /// The last sequence number.
    pub fn last(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last)
    }
}

/// All producers of a partition, as one replica knows them.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    pub entries: BTreeMap<i64, Entry>,
}

/// What becomes of a batch that is not refused.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    New,
    Duplicate(Remembered),
}

/// Batches that are remembered (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
const BATCHES: usize = 5;

impl Producers {
    /// Judges a batch from a client.
    pub fn judge(&self, claim: Claim, old_broker: bool) -> Result<Verdict, i16> {
        let Some(entry) = self.entries.get(&claim.id) else {
            let unknown = old_broker && claim.first != 0;
            return if unknown { Err(UNKNOWN_PRODUCER_ID) } else { Ok(Verdict::New) };
        };
        if entry.epoch == claim.epoch {
            let same = |b: &&Remembered| (b.first, b.last) == (claim.first, claim.last);
            if let Some(batch) = entry.batches.iter().find(same) {
                return Ok(Verdict::Duplicate(*batch));
            }
        }
        if claim.epoch < entry.epoch {
            return Err(INVALID_PRODUCER_EPOCH);
        }
        if claim.epoch > entry.epoch {
            let fresh = claim.first == 0;
            return if fresh { Ok(Verdict::New) } else { Err(OUT_OF_ORDER_SEQUENCE_NUMBER) };
        }
        let last = entry.last();
        if claim.first == last.wrapping_add(1) || (claim.first == 0 && last == i32::MAX) {
            return Ok(Verdict::New);
        }
        let first = entry.batches.front().map_or(0, |batch| batch.first);
        if old_broker && claim.last < first {
            return Err(DUPLICATE_SEQUENCE_NUMBER);
        }
        Err(OUT_OF_ORDER_SEQUENCE_NUMBER)
    }

    /// Remembers a batch that is in the log, from a client or from the leader.
    pub fn remember(&mut self, claim: Claim, base_offset: i64, next_offset: i64, timestamp: i64) {
        let entry = self.entries.entry(claim.id).or_insert_with(|| Entry {
            epoch: claim.epoch,
            batches: VecDeque::new(),
            last_timestamp: timestamp,
        });
        if entry.epoch != claim.epoch {
            entry.epoch = claim.epoch;
            entry.batches.clear();
        }
        if entry.batches.len() == BATCHES {
            entry.batches.pop_front();
        }
        let Claim { first, last, .. } = claim;
        entry.batches.push_back(Remembered { first, last, base_offset, next_offset });
        entry.last_timestamp = timestamp;
    }

    /// Forgets those whose last batch is dated too long ago, but for the `kept` ones.
    pub fn expire(&mut self, wall_ms: i64, expiration_ms: i64, kept: &BTreeSet<i64>) {
        self.entries.retain(|id, entry| {
            wall_ms - entry.last_timestamp < expiration_ms || kept.contains(id)
        });
    }
}

#[test]
fn producers_are_judged_as_kafka_judges_them() {
    let claim = |epoch, first, last| Claim { id: 7, epoch, first, last };
    let mut producers = Producers::default();
    assert!(matches!(producers.judge(claim(3, 40, 41), false), Ok(Verdict::New)));
    assert_eq!(producers.judge(claim(3, 40, 41), true).unwrap_err(), UNKNOWN_PRODUCER_ID);
    for at in 0..7 {
        assert!(matches!(producers.judge(claim(3, at, at), true), Ok(Verdict::New)));
        producers.remember(claim(3, at, at), i64::from(at), i64::from(at) + 1, 1000);
    }
    let judge = |epoch, first, last, old| producers.judge(claim(epoch, first, last), old);
    assert!(matches!(judge(3, 2, 2, false), Ok(Verdict::Duplicate(b)) if b.base_offset == 2));
    assert_eq!(judge(3, 1, 1, false).unwrap_err(), OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(judge(3, 1, 1, true).unwrap_err(), DUPLICATE_SEQUENCE_NUMBER);
    assert_eq!(judge(3, 2, 3, false).unwrap_err(), OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(judge(3, 8, 8, false).unwrap_err(), OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(judge(2, 7, 7, false).unwrap_err(), INVALID_PRODUCER_EPOCH);
    assert_eq!(judge(4, 7, 7, false).unwrap_err(), OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert!(matches!(judge(4, 0, 3, false), Ok(Verdict::New)));
    let none = BTreeSet::new();
    producers.expire(3000, 2001, &none);
    producers.expire(3000, 2000, &BTreeSet::from([7]));
    assert_eq!(producers.entries.len(), 1);
    producers.expire(3000, 2000, &none);
    assert_eq!(producers.entries.len(), 0);
}
