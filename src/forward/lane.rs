//! A lane: one local partition's way up, and what has to be known before its next batch may go.
//!
//! ```text
//!  Target ──► ProducerId ──► UpstreamOffset ──► Saving ──► Ready ⇄ (a batch in flight)
//!    which      InitProducerId   ListOffsets       │  ▲        │ unanswered, 7, 20, 45, …
//!    partition                                     ▼  │        ▼
//!                                     the row is durable     Doubt ──► ReadBack
//!                                                     DescribeProducers   Fetch, headers alone
//! ```
//!
//! Promises: whatever stands in a batch's header (producer id, epoch, and which local offset has
//! sequence 0) was durable in the row before the batch was sent; the cursor moves by an answer of
//! upstream's that it has the records and has replicated them, and by nothing else; the next batch
//! goes when it is known what became of the one before.
//! Absent: bytes and sockets.

use super::link::LinkId;
use crate::fixed::Text;
use crate::limits::FORWARD_CUT_STEP;
use crate::state::forward::ForwardRow;
use crate::storage::{Lsn, PartitionIndex, PartitionKey};
use crate::time::Millis;

/// A batch on its way, or a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flight {
    /// The link.
    pub link: LinkId,
    /// The request it is in.
    pub correlation: i32,
    /// Its first local offset, or that of the question.
    pub first: i64,
    /// The local offset behind it.
    pub next: i64,
    /// How many stored batches are in it; 0 for a question.
    pub batches: u32,
    /// Its bytes as it goes up.
    pub bytes: u64,
    /// It is the stored batch as it stands, neither merged nor compressed.
    pub stored: bool,
}

/// Looking for our batches in upstream's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Upstream offset to read next.
    pub at: i64,
    /// The local offset behind what was found.
    pub found: i64,
    /// Upstream has deleted the beginning: what is not found may have been there.
    pub partial: bool,
    /// Where upstream's log begins is being asked for.
    pub ask_start: bool,
    /// Whether upstream's log goes on to this offset is being asked for; -1: no.
    pub probe: i64,
    /// Upstream's log ended before this or here after the doubt arose; `i64::MAX`: unknown.
    pub limit: i64,
    /// The local offset behind the last batch of ours that was seen; -1 while there is none.
    pub seen: i64,
    /// Upstream's log was cut below what it acknowledged, and begins here; -1: it was not.
    pub start: i64,
    /// How far in front of that the search began.
    pub step: i64,
}

impl ReadBack {
    /// The search in a log that was cut below `acknowledged` and begins at `start`.
    pub fn cut_at(self, start: i64, acknowledged: i64) -> ReadBack {
        let step = FORWARD_CUT_STEP;
        let at = acknowledged.saturating_sub(step).max(start);
        ReadBack { at, start, step, seen: -1, probe: -1, ask_start: false, ..self }
    }

    /// The search from further back; `None` where it began at the log's beginning.
    pub fn further(self, acknowledged: i64) -> Option<ReadBack> {
        let before = acknowledged.saturating_sub(self.step).max(self.start);
        let step = self.step.saturating_mul(4);
        let at = acknowledged.saturating_sub(step).max(self.start);
        (before > self.start).then_some(ReadBack { at, step, probe: -1, limit: i64::MAX, ..self })
    }
}

/// What a lane needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// To know which upstream partition it goes to.
    Target,
    /// A producer id of its own.
    ProducerId,
    /// The end of upstream's log, so that there is a place to read back from.
    UpstreamOffset,
    /// Its row to be durable.
    Saving(Lsn),
    /// Its row to be taken by the journal, which had no room.
    Save,
    /// To know what upstream has: DescribeProducers.
    Doubt,
    /// To know that upstream still has what it acknowledged: where its log ends.
    UpstreamEnd,
    /// The same as `Doubt` by reading upstream's log.
    ReadBack(ReadBack),
    /// A place for the batch that upstream refused for good.
    Aside {
        /// Its first local offset.
        first: i64,
        /// The local offset behind it.
        next: i64,
    },
    /// Nothing but records.
    Ready,
    /// A person.
    Stopped,
}

/// One lane.
#[derive(Debug)]
pub struct Lane {
    /// The local partition.
    pub key: PartitionKey,
    /// Storage's handle of it.
    pub index: PartitionIndex,
    /// Tells this lane from another that used the same place in the table.
    pub serial: u32,
    /// The local topic's name, among the machine's names.
    pub name: Text,
    /// Its priority: higher goes first.
    pub class: i32,
    /// What is persisted of it, as it is now.
    pub row: ForwardRow,
    /// The next local offset to send: the cursor, or ahead of it where upstream said that it has
    /// more, but not that it is replicated.
    pub next: i64,
    /// The local offset behind everything that this process ever sent.
    pub sent: i64,
    /// What it needs next.
    pub phase: Phase,
    /// What it is waiting for an answer to.
    pub flight: Option<Flight>,
    /// Nothing before this time: something failed.
    pub not_before: Millis,
    /// How often in a row.
    pub attempts: u32,
    /// When a connection was lost that batches had gone to, and the local offset behind them.
    pub lost: Option<(Millis, i64)>,
    /// Since when records wait that were not sent yet; for `forward.linger.ms`.
    pub pending: Option<Millis>,
    /// Stored batches up to this local offset go one by one: a merged one was refused.
    pub alone_until: i64,
    /// Its next batch had no room behind those of others: it begins the next request.
    pub first: bool,
    /// Since this process began, upstream has acknowledged something or something was set aside.
    pub moved: bool,
    /// The batch that begins here goes whole though the local log begins within it: it cannot be
    /// cut. -1 while there is none.
    pub whole: i64,
    /// The epoch is to be raised before the next batch: upstream's idea of our sequence is off.
    pub new_epoch: bool,
    /// The first local offset of a batch that arrived corrupt once.
    pub corrupt: i64,
    /// Since when the row is newer than its last frame in the journal.
    pub dirty: Option<Millis>,
    /// What is wrong: a sum of its words, to know them again; 0 when nothing is.
    pub trouble: u64,
    /// That was said in the log.
    pub trouble_told: bool,
    /// Kafka's code of what upstream refused with last.
    pub error: i16,
    /// A person wants it to go on here.
    pub seek: Option<i64>,
    /// Records are more than `forward.linger.ms` old, or enough for a whole request.
    pub full: bool,
    /// How often in a row upstream did not let its log be read.
    pub refused: u32,
    /// The link that it has asked something: another one may lead to an upstream that was put
    /// back to an older state.
    pub asked_on: Option<LinkId>,
    /// Who leads its upstream partition, as of this version of what is known of the cluster.
    pub leader: (u64, Option<i32>),
    /// Records came: see whether it is `full` now.
    pub check_full: bool,
}

/// Sequence numbers wrap to 0 behind `i32::MAX` (Kafka's `DefaultRecordBatch.incrementSequence`).
const SEQUENCES: i64 = 1 << 31;

/// The local offset behind the record with sequence number `last`, as near to `near` as it can be:
/// a sequence number says it modulo 2³¹.
pub fn offset_behind(last: i32, sequence_base: i64, near: i64) -> i64 {
    let behind = i64::from(last) + 1;
    let delta = (behind - near.wrapping_sub(sequence_base)).rem_euclid(SEQUENCES);
    if delta > SEQUENCES / 2 { near + delta - SEQUENCES } else { near + delta }
}

impl Lane {
    /// A lane that continues where `row` stands.
    pub fn new(
        row: ForwardRow,
        index: PartitionIndex,
        serial: u32,
        name: Text,
        class: i32,
    ) -> Lane {
        let key = PartitionKey { topic: row.topic, partition: row.partition };
        let phase = if row.stopped { Phase::Stopped } else { Phase::Target };
        Lane {
            key,
            index,
            serial,
            name,
            class,
            next: row.cursor,
            sent: row.cursor,
            row,
            phase,
            flight: None,
            not_before: Millis(0),
            attempts: 0,
            lost: None,
            // What is there at the start has waited long enough.
            pending: Some(Millis(0)),
            alone_until: 0,
            first: false,
            moved: false,
            whole: -1,
            new_epoch: false,
            corrupt: -1,
            dirty: None,
            trouble: 0,
            trouble_told: false,
            error: 0,
            seek: None,
            full: false,
            refused: 0,
            asked_on: None,
            leader: (0, None),
            check_full: true,
        }
    }

    /// There are new records.
    pub fn woken(&mut self, now: Millis) {
        self.pending.get_or_insert(now);
        self.check_full = true;
    }

    /// What comes once it is known where the lane goes.
    pub fn next_phase(&self) -> Phase {
        if self.row.stopped {
            Phase::Stopped
        } else if self.row.producer_id < 0 {
            Phase::ProducerId
        } else if self.row.upstream_offset < 0 {
            Phase::UpstreamOffset
        } else if self.row.settled {
            Phase::Ready
        } else {
            Phase::Doubt
        }
    }

    /// Forgets who the lane was to upstream: the next batch goes under a new producer id, to
    /// wherever the lane is aimed then. What may be unanswered cannot be found any more.
    pub fn start_anew(&mut self) {
        self.row.producer_id = -1;
        self.row.upstream_offset = -1;
        self.row.upstream_topic_id = [0; 16];
        self.row.settled = true;
        self.next = self.row.cursor;
        self.new_epoch = false;
        if self.phase != Phase::Stopped {
            self.phase = Phase::Target;
        }
    }

    /// A batch's answer: upstream has everything before `next`, whose last record it put before
    /// `upstream_offset`.
    pub fn acknowledged(&mut self, next: i64, upstream_offset: Option<i64>, now: Millis) {
        self.moved = true;
        // Upstream knows the producer: what comes late is told from new.
        self.lost = None;
        self.row.cursor = self.row.cursor.max(next);
        self.next = self.next.max(self.row.cursor);
        if let Some(offset) = upstream_offset {
            self.row.upstream_offset = offset;
        }
        self.attempts = 0;
        self.corrupt = -1;
        self.dirty.get_or_insert(now);
    }

    /// Raises the epoch: the local offset `first` has sequence 0 from now on. `false` where the
    /// epochs of this id are used up. The row must be durable before the next batch.
    #[must_use]
    pub fn raise_epoch(&mut self, first: i64) -> bool {
        self.new_epoch = false;
        self.row.cursor = first;
        self.next = first;
        let Some(epoch) = self.row.producer_epoch.checked_add(1) else { return false };
        self.row.producer_epoch = epoch;
        self.row.sequence_base = first;
        true
    }

    /// Whether something that was sent may have arrived without our knowing.
    pub fn in_doubt(&self) -> bool {
        self.phase != Phase::Ready && !self.row.settled
            || self.flight.is_some_and(|flight| flight.batches > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::batch::sequence_at;

    #[test]
    fn an_offset_is_found_again_from_its_sequence_wherever_it_wrapped() {
        for base in [0, 5, 1 << 40] {
            for at in [0, 1, 1000, SEQUENCES - 1, SEQUENCES, 5 * SEQUENCES + 7] {
                for near in [at, at + 1, (at - 900).max(0), at + 900] {
                    let last = sequence_at(base + at, base);
                    assert_eq!(offset_behind(last, base, base + near), base + at + 1);
                }
            }
        }
    }
}
