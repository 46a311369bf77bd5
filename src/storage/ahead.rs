//! Large batches whose bytes are synced before anything refers to them.
//!
//! ```text
//!  append ──► bytes at the log's end, Busy ──► their sync, beside the journal's ──► append again:
//!             not part of the log                                                    a frame alone
//! ```
//!
//! A reference that is staged before its segment is synced holds back all frames behind it: who
//! waits for one small record waits for the megabytes of others. While somebody appends small
//! records, a large batch therefore goes this way; else the usual one, where many share a sync.
//!
//! Promises: the log is as before until the bytes are on the disk, and a frame that refers to them
//! then needs no other file's sync. Whatever takes its place in between (another batch, a new
//! segment) sends the batch the usual way. No file is synced here that a commit
//! or a checkpoint is about to sync, or is syncing: of two syncs of one file only the first is told
//! of an error.
//! Absent: who asks again (the caller of [`Storage::append`], which was told `Busy`).

use super::partition::Place;
use super::{PartitionIndex, Storage, WriteError};
use crate::disk::{DiskResult, FileRef, Open};
use crate::limits::{AHEAD_BATCHES, SMALL_RECENT_MS};
use crate::storage::layout;
use crate::time::Millis;
use crate::wire::batch::{HEADER_BYTES, Stamped};

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// So many bytes are written.
    Writing(usize),
    Written,
    UnderWay,
    Synced,
}

/// A batch whose bytes are at the end of a log, and no part of it.
struct Ahead {
    index: PartitionIndex,
    place: Place,
    bytes: usize,
    /// With its base offset and its sum: what tells it from any other.
    header: [u8; HEADER_BYTES],
    step: Step,
}

/// Those of all partitions.
#[derive(Default)]
pub struct AheadState {
    batches: heapless::Vec<Ahead, AHEAD_BATCHES>,
    /// Somebody calls [`Storage::start_ahead`].
    in_use: bool,
    under_way: bool,
    /// Whoever was told `Busy` last may try again at once.
    goes_on: bool,
    /// When a small frame was staged last.
    small: Option<Millis>,
}

impl AheadState {
    /// A sync of a segment is under way here.
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Nobody was told anything yet.
    pub fn begin(&mut self) {
        self.goes_on = false;
    }

    /// Somebody appended little.
    pub fn note_small(&mut self, now: Millis) {
        self.small = Some(now);
    }

    /// The partition is gone.
    pub fn forget(&mut self, index: PartitionIndex) {
        self.batches.retain(|ahead| ahead.index != index);
    }

    /// A sync failed: nothing is promised any more.
    pub fn clear(&mut self) {
        self.batches.clear();
    }
}

impl Storage {
    /// From now on the caller of [`Storage::start_sync`] calls [`Storage::start_ahead`] too.
    pub fn sync_ahead(&mut self) {
        self.ahead.in_use = true;
    }

    /// Whether a sync may go beside those of commits and checkpoints, and no barrier is up: behind
    /// one a frame would wait all the same.
    fn may_go_ahead(&self) -> bool {
        !self.journal.has_barrier() && !self.sync.syncs_segments()
    }

    /// Whether this large batch stands synced at its place. If not, it may be put there now.
    ///
    /// # Errors
    /// [`WriteError::Busy`]: it is there and not synced yet.
    pub(super) fn is_ahead(
        &mut self,
        index: PartitionIndex,
        batch: &Stamped<'_>,
        now: Millis,
    ) -> Result<bool, WriteError> {
        let Some(partition) = self.partitions.get_mut(index).filter(|_| self.ahead.in_use) else {
            return Ok(false);
        };
        let (place, bytes, [head, _]) = (partition.end_place(), batch.len(), batch.parts());
        let names = partition.names_dirty || partition.dir_dirty;
        let batches = &self.ahead.batches;
        if let Some(at) = batches.iter().position(|ahead| ahead.index == index) {
            let ahead = &batches[at];
            let same = ahead.place == place && ahead.bytes == bytes && ahead.header == head;
            let step = ahead.step;
            match step {
                Step::Writing(done) if same => return self.write_piece(at, batch, done),
                Step::Written | Step::UnderWay if same => return Err(WriteError::Busy),
                _ => {}
            }
            self.ahead.batches.swap_remove(at);
            return Ok(same && !names);
        }
        let recently = |small| now.since(small) < SMALL_RECENT_MS;
        if !self.ahead.small.is_some_and(recently) {
            return Ok(false);
        }
        if !self.may_go_ahead() {
            // Another reference would keep the barrier up for ever.
            return Err(WriteError::Busy);
        }
        if names {
            return Ok(false);
        }
        let Ok(header) = <[u8; HEADER_BYTES]>::try_from(head) else { return Ok(false) };
        let ahead = Ahead { index, place, bytes, header, step: Step::Writing(0) };
        if self.ahead.batches.is_full()
            && let Some(at) = self.ahead.batches.iter().position(|a| a.step != Step::UnderWay)
        {
            // Its client is gone, since there are no more buffers than places.
            self.ahead.batches.remove(at);
        }
        if self.ahead.batches.push(ahead).is_err() {
            return Ok(false);
        }
        self.write_piece(self.ahead.batches.len() - 1, batch, 0)
    }

    /// Writes the next piece of a batch behind its log's end: a turn of the event loop shall be
    /// short.
    fn write_piece(
        &mut self,
        at: usize,
        batch: &Stamped<'_>,
        done: usize,
    ) -> Result<bool, WriteError> {
        let to = batch.len().min(done + self.large_batch_bytes());
        let Storage { ahead, partitions, disk, .. } = self;
        let one = &mut ahead.batches[at];
        let partition = partitions.get_mut(one.index);
        let written = partition.map(|partition| partition.write_ahead(&**disk, batch, done..to));
        if !matches!(written, Some(Ok(()))) {
            // The usual way finds that too, and knows what to do.
            ahead.batches.swap_remove(at);
            return Ok(false);
        }
        ahead.goes_on = to < batch.len();
        one.step = if ahead.goes_on { Step::Writing(to) } else { Step::Written };
        Err(WriteError::Busy)
    }

    /// Whether whoever was told `Busy` last need not wait for a sync, but may try again as soon as
    /// others had their turn.
    pub fn goes_on(&self) -> bool {
        self.ahead.goes_on
    }

    /// Whether [`Storage::start_ahead`] would name a file.
    pub fn wants_ahead(&self) -> bool {
        let written = |ahead: &Ahead| ahead.step == Step::Written;
        !self.ahead.under_way
            && self.failed.is_none()
            && self.ahead.batches.iter().any(written)
            && self.may_go_ahead()
    }

    /// The file of a large batch to be synced now, beside what [`Storage::start_sync`] names. The
    /// caller syncs it and then calls [`Storage::finish_ahead`].
    pub fn start_ahead(&mut self) -> Option<FileRef> {
        if !self.wants_ahead() {
            return None;
        }
        let first = self.ahead.batches.iter_mut().find(|ahead| ahead.step == Step::Written)?;
        first.step = Step::UnderWay;
        let partition = self.partitions.get_mut(first.index)?;
        match partition.active_file(&*self.disk) {
            Ok(file) => {
                self.ahead.under_way = true;
                Some(file)
            }
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Whether what [`Storage::start_ahead`] named is being synced.
    pub fn is_syncing_ahead(&self) -> bool {
        self.ahead.is_under_way()
    }

    /// Takes the result of the sync that [`Storage::start_ahead`] began. Who was told `Busy` shall
    /// try again.
    pub fn finish_ahead(&mut self, result: DiskResult<()>) {
        self.ahead.under_way = false;
        if let Err(error) = result {
            self.disk.open(layout::SYNC_FAILED, Open::CreateEmpty).ok();
            return self.fail(error);
        }
        self.counters.syncs += 1;
        let under_way = self.ahead.batches.iter_mut().filter(|ahead| ahead.step == Step::UnderWay);
        under_way.for_each(|ahead| ahead.step = Step::Synced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::limits::{Sizes, UNSYNCED_LARGE_BYTES};
    use crate::storage::recovery::Nothing;
    use crate::storage::{Appended, Options, PartitionKey, SegmentPolicy};
    use crate::wire::record::BatchBuilder;
    use std::rc::Rc;

    const NOW: Millis = Millis(10_000);
    const POLICY: SegmentPolicy = SegmentPolicy { segment_bytes: 1 << 30, segment_s: 1 << 30 };

    struct Test {
        storage: Storage,
        /// For the small and for the large.
        partitions: [PartitionIndex; 2],
    }

    impl Test {
        /// Batches of 4 KiB are large, and names are durable.
        fn new() -> Test {
            let options = Options {
                journal_bytes: 1 << 20,
                quota_bytes: None,
                flush_interval_ms: 1_000,
                flush_pause_ms: 0,
                large_batch_bytes: 4_096,
                sizes: Sizes::default(),
            };
            let opened = Storage::open(Rc::new(SimDisk::new()), options, &mut Nothing, NOW);
            let (mut storage, _) = opened.map_err(|_| "it opens").unwrap();
            storage.sync_ahead();
            let partitions = [0, 1].map(|partition| {
                storage.add_partition(PartitionKey { topic: 1, partition }, "t").unwrap()
            });
            let mut test = Test { storage, partitions };
            test.storage.begin_checkpoint(&|_| {}, false, NOW).unwrap();
            test.sync();
            for partition in partitions {
                test.append(partition, 10).unwrap();
            }
            test.sync();
            test.storage.begin_checkpoint(&|_| {}, false, NOW).unwrap();
            test.sync();
            test
        }

        fn append_at(
            &mut self,
            index: PartitionIndex,
            bytes: usize,
            now: Millis,
        ) -> Result<Appended, WriteError> {
            let mut builder = BatchBuilder::new(0);
            builder.push(0, None, Some(&vec![bytes as u8; bytes]), &[]);
            let batch = builder.finish();
            self.storage.append(index, POLICY, now, |base| Stamped::new(&batch, base, 0, None))
        }

        fn append(&mut self, index: PartitionIndex, bytes: usize) -> Result<Appended, WriteError> {
            self.append_at(index, bytes, NOW)
        }

        /// Appends until all of it is written; it is not synced then.
        fn write_large(&mut self, bytes: usize) {
            for _ in 0..100 {
                assert_eq!(self.append(self.partitions[1], bytes), Err(WriteError::Busy));
                if !self.storage.goes_on() {
                    return;
                }
            }
            panic!("it never ends");
        }

        /// Syncs all that is to be synced: how many files those were.
        fn sync(&mut self) -> usize {
            let mut count = 0;
            self.storage.want_sync(NOW);
            while let Some(file) = self.storage.start_sync(NOW) {
                self.storage.finish_sync(file.sync(), NOW);
                count += 1;
            }
            count
        }
    }

    #[test]
    fn a_small_batch_does_not_wait_for_a_large_one_and_the_large_one_needs_no_more_than_it() {
        let mut test = Test::new();
        let [small, large] = test.partitions;
        test.append(small, 10).unwrap();
        test.write_large(20_000);
        let file = test.storage.start_ahead().unwrap();
        assert!(test.storage.start_ahead().is_none(), "one at a time");
        let appended = test.append(small, 10).unwrap();
        assert_eq!(test.sync(), 1, "the journal's");
        assert!(test.storage.durable() >= appended.lsn);
        assert_eq!(test.append(large, 20_000), Err(WriteError::Busy), "it is being synced");
        test.storage.finish_ahead(file.sync());
        let end = test.storage.partition(large).unwrap().log_end;
        let appended = test.append(large, 20_000).unwrap();
        assert_eq!(appended.base_offset, end);
        assert_eq!(test.sync(), 1, "the journal's");
        assert!(test.storage.durable() >= appended.lsn);
        assert_eq!(test.storage.partition(large).unwrap().high_watermark, end + 1);
    }

    #[test]
    fn while_nobody_appends_little_large_batches_share_their_syncs_up_to_a_limit() {
        let mut test = Test::new();
        let (large, later) = (test.partitions[1], Millis(NOW.0 + SMALL_RECENT_MS));
        let most = UNSYNCED_LARGE_BYTES / 30_000;
        let count = (0..2 * most).take_while(|_| test.append_at(large, 30_000, later).is_ok());
        assert!((most - 1..=most + 1).contains(&count.count()));
        assert!(!test.storage.wants_ahead());
        test.storage.want_sync(later);
        assert!(test.storage.start_sync(later).is_some());
        test.append_at(large, 30_000, later).unwrap();
    }

    #[test]
    fn of_two_large_batches_in_one_place_both_are_appended() {
        let mut test = Test::new();
        let [small, large] = test.partitions;
        test.append(small, 10).unwrap();
        test.write_large(20_000);
        let file = test.storage.start_ahead().unwrap();
        let other = test.append(large, 30_000).unwrap();
        // The other one's commit would sync the file that is being synced: which of the two syncs
        // would be told of an error?
        assert!(test.storage.start_sync(NOW).is_none() && test.storage.sync_deadline().is_none());
        test.storage.finish_ahead(file.sync());
        assert_eq!(test.append(large, 20_000), Err(WriteError::Busy), "a barrier is up");
        assert_eq!(test.sync(), 2, "the segment's, then the journal's");
        assert!(test.storage.durable() >= other.lsn);
        test.write_large(20_000);
        let file = test.storage.start_ahead().unwrap();
        test.storage.finish_ahead(file.sync());
        let appended = test.append(large, 20_000).unwrap();
        assert_eq!(appended.base_offset, other.base_offset + 1);
    }

    #[test]
    fn a_checkpoint_waits_for_a_large_batch_and_a_large_batch_for_a_checkpoint() {
        let mut test = Test::new();
        let [small, large] = test.partitions;
        test.append(small, 10).unwrap();
        test.write_large(20_000);
        let file = test.storage.start_ahead().unwrap();
        test.storage.begin_checkpoint(&|_| {}, false, NOW).unwrap();
        test.append(small, 10).unwrap();
        assert_eq!(test.sync(), 1, "a commit does not wait");
        assert!(test.storage.sync_deadline().is_none());
        test.storage.finish_ahead(file.sync());
        assert!(test.sync() > 2, "the checkpoint's");
        test.append(large, 20_000).unwrap();
        test.storage.begin_checkpoint(&|_| {}, false, NOW).unwrap();
        assert_eq!(test.append(large, 20_000), Err(WriteError::Busy));
        assert!(!test.storage.wants_ahead());
        test.sync();
        test.write_large(20_000);
    }

    #[test]
    fn a_sync_that_failed_is_the_last() {
        let mut test = Test::new();
        let [small, large] = test.partitions;
        test.append(small, 10).unwrap();
        test.write_large(20_000);
        test.storage.start_ahead().unwrap();
        test.storage.finish_ahead(Err(crate::disk::DiskError::Io));
        assert!(test.storage.failed().is_some());
        assert_eq!(test.append(large, 20_000), Err(WriteError::ReadOnly));
    }

    #[test]
    fn those_whose_clients_are_gone_keep_no_place() {
        let mut test = Test::new();
        let [small, _] = test.partitions;
        test.append(small, 10).unwrap();
        for bytes in 0..3 * AHEAD_BATCHES {
            // Each time another batch; the one before is overwritten or was given up.
            let index = test.partitions[bytes % 2];
            test.append(index, 20_000 + bytes).ok();
            assert!(test.storage.ahead.batches.len() <= 2);
        }
    }
}
