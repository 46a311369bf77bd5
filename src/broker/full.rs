//! Room for new records where there is none: which old ones go.
//!
//! | `full.policy` of the new record      | goes, the oldest first                      | then    |
//! |--------------------------------------|---------------------------------------------|---------|
//! | `drop-forwarded-first` (the default) | segments that are upstream as a whole       | refused |
//! | `drop-oldest`                        | these; then any of topics with that policy  | refused |
//! | `reject`                             | nothing                                     | refused |
//!
//! What goes is never a topic's with `reject`. What is not upstream goes only from topics with
//! `drop-oldest`, also where it was to be forwarded: that is what the word asks for.
//! Retention goes first and by itself: what has had its time takes no room (`storage::retention`).
//!
//! Promises: a log's start moves as with retention: a frame of the journal first, files behind it.
//! Whole segments go, and no more than some for a while; the segment that is written to only goes
//! where it is larger than any that would be begun now.
//! Absent: how much room there is (`storage::quota`).

use super::Broker;
use super::forward::move_log_start;
use crate::config::FullPolicy;
use crate::disk::DiskError;
use crate::storage::{PartitionIndex, WriteError};
use crate::time::Now;

/// A segment that may go.
#[derive(Clone, Copy)]
struct Victim {
    index: PartitionIndex,
    /// It is upstream; then seconds on the store's clock at its last append.
    order: (bool, u32),
    /// The log's start without it.
    start: i64,
    bytes: u64,
}

impl Broker {
    /// Why a record of a topic with this policy was not taken: where it found no room and some is
    /// on its way, that is worth another try.
    pub(super) fn or_busy(
        &mut self,
        error: WriteError,
        policy: FullPolicy,
        now: Now,
    ) -> WriteError {
        match error {
            WriteError::Disk(DiskError::NoSpace) if self.make_room(policy, now) => WriteError::Busy,
            other => other,
        }
    }

    /// Somebody with this policy found no room. Says whether some is on its way: the next sync, or
    /// the one behind it, brings it.
    fn make_room(&mut self, policy: FullPolicy, now: Now) -> bool {
        if policy == FullPolicy::Reject || self.storage.failed().is_some() {
            return false;
        }
        if self.storage.frees_room() {
            self.storage.want_sync(now.mono);
            return true;
        }
        let goal = self.storage.quota().goal();
        self.drop_segments(policy, goal, now) > 0
    }

    /// The store is larger than its quota, which was lowered, or takes in what its file system did.
    pub(super) fn keep_quota(&mut self, now: Now) {
        let excess = self.storage.excess(now.mono);
        if excess > 0 && !self.storage.frees_room() {
            self.drop_segments(FullPolicy::DropOldest, excess, now);
        }
    }

    /// Lets segments of at least `goal` bytes go, as far as there are such: how many bytes those
    /// are.
    fn drop_segments(&mut self, policy: FullPolicy, goal: u64, now: Now) -> u64 {
        let (mut bytes, mut segments) = (0, 0);
        while bytes < goal
            && let Some(victim) = self.next_victim(policy)
        {
            let (storage, buffer) = (&mut self.storage, &mut self.change_bytes);
            let place = (victim.index, victim.start);
            let moved = move_log_start(storage, &self.forwarding, buffer, place, now);
            let start = self.storage.partition(victim.index).map(|partition| partition.log_start);
            if moved.is_err() || start != Some(victim.start) {
                break;
            }
            bytes += victim.bytes;
            segments += 1;
        }
        if segments > 0 {
            self.storage.want_sync(now.mono);
            if let Some((segments, bytes)) = self.space.dropped(segments, bytes, now.mono) {
                log::warn!(
                    "there is no room for new records: {segments} of the oldest segments with \
                     {bytes} bytes went, as full.policy says"
                );
            }
        }
        bytes
    }

    /// The segment that goes next.
    fn next_victim(&self, policy: FullPolicy) -> Option<Victim> {
        let mut first: Option<Victim> = None;
        for topic in self.topics.iter() {
            let own = topic.config.full_policy;
            if own == FullPolicy::Reject {
                continue;
            }
            for (number, index) in topic.partitions.iter().enumerate() {
                let Some(partition) = self.storage.partition(*index) else { continue };
                let Some((segment, start)) = self.storage.oldest_segment(partition) else {
                    continue;
                };
                // A topic that is not forwarded has nothing upstream.
                let upstream = self.protected_from(topic, number).unwrap_or(0);
                let forwarded = start <= upstream;
                let any = [own, policy] == [FullPolicy::DropOldest; 2];
                if start > partition.high_watermark || !(forwarded || any) {
                    continue;
                }
                let order = (!forwarded, segment.appended_age_s);
                if first.is_none_or(|known| order < known.order) {
                    let bytes = u64::from(segment.bytes);
                    first = Some(Victim { index: *index, order, start, bytes });
                }
            }
        }
        first
    }
}
