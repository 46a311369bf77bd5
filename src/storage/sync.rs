//! Which file is synced next, and what each finished sync makes true.
//!
//! ```text
//!           references staged                    journal written
//!  idle ──► Segments(files…) ──► all synced ──► Journal(lsn) ──► durable: watermarks, removals
//!   │
//!   └─────► Checkpoint: Segments+directories ──► coordinator.new ──► directory ──► head moves
//! ```
//!
//! A commit goes before the next step of a checkpoint, so that nobody who waits for an
//! acknowledgement waits for fifty segments. One sync is under way at a time, but for that of a
//! large batch beside the journal's (`ahead`).

mod checkpoint;

use super::coordinator::{self, Pieces};
use super::journal::Lsn;
use super::layout;
use super::partition::{Partition, Place};
use super::{PartitionIndex, Storage, WriteError};
use crate::disk::{Disk, DiskError, DiskResult, FileRef, Open};
use crate::fixed::List;
use crate::limits::{
    CHECKPOINT_RETRY_MS, FETCH_SYNC_PAUSE_MS, FETCH_SYNC_PAUSE_SYNCS, SEALED_DIRTY_MAX,
    UNSYNCED_LARGE_BYTES,
};
use crate::time::Millis;

/// What the sync that is under way is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnderWay {
    /// A file that staged references point into.
    Segment,
    /// The journal, up to this frame.
    Journal(Lsn),
    /// A file of the checkpoint's list.
    CheckpointFile,
    /// The new coordinator file.
    CoordinatorNew,
    /// The directory, after the renames.
    CoordinatorPlaced,
}

/// A checkpoint under way. Its coordinator file was written when it began, but for the header that
/// makes it count.
struct Checkpoint {
    number: u64,
    /// Where the journal's replay begins afterwards.
    head: u64,
    new: FileRef,
    header: [u8; coordinator::HEADER_BYTES],
    /// Bytes of the file.
    bytes: u64,
    /// The directory in which the new coordinator file has its name already.
    placed: Option<FileRef>,
    /// There was no space for the header; not tried again before this.
    retry_at: Option<Millis>,
}

/// Files of one partition that may have to be synced at a time: the active segment, those sealed
/// since the last checkpoint, the directory.
const FILES_EACH: usize = 2 + SEALED_DIRTY_MAX;

/// Files that are not a partition's: the journal, the directory of all partitions, the data
/// directory; twice, as a commit may take over a checkpoint's.
const FILES_MORE: usize = 8;

/// The part of [`Storage`] that knows about syncs.
pub struct SyncState {
    under_way: Option<UnderWay>,
    /// When the last sync began.
    began: Millis,
    deadline: Option<Millis>,
    /// No commit begins before this.
    next_commit: Millis,
    dirty: List<PartitionIndex>,
    dirty_since: List<Option<Millis>>,
    referred: List<PartitionIndex>,
    /// Bytes that they point to, but for those of the commit that is under way.
    referred_bytes: usize,
    /// Files of deleted topics that staged references point into.
    orphans: List<FileRef>,
    committing: List<(PartitionIndex, i64, Place)>,
    advanced: List<PartitionIndex>,
    /// By partition: whether it is in `advanced`.
    is_advanced: List<bool>,
    /// A commit whose segments are being synced, with what it may write into the journal then.
    bulk: Option<(u64, Lsn)>,
    bulk_files: List<FileRef>,
    checkpoint: Option<Checkpoint>,
    checkpoint_files: List<FileRef>,
    /// A checkpoint found no space; none is begun before this.
    no_space_until: Option<Millis>,
    /// A checkpoint is due, however little of the journal is used.
    pub wants_checkpoint: bool,
    /// Partitions with files that go once a frame is durable.
    pub removals: usize,
    /// The last frame that wants a sync; what was staged lazily behind it waits for the next one.
    wanted: Lsn,
}

impl SyncState {
    /// Room for so many partitions.
    pub fn new(partitions: usize) -> SyncState {
        let files = FILES_EACH * partitions + FILES_MORE;
        let (mut dirty_since, mut is_advanced) = (List::new(partitions), List::new(partitions));
        while dirty_since.push(None).is_ok() && is_advanced.push(false).is_ok() {}
        SyncState {
            under_way: None,
            began: Millis::default(),
            deadline: None,
            next_commit: Millis::default(),
            dirty: List::new(partitions),
            dirty_since,
            referred: List::new(partitions),
            referred_bytes: 0,
            orphans: List::new(files),
            committing: List::new(partitions),
            advanced: List::new(partitions),
            is_advanced,
            bulk: None,
            bulk_files: List::new(2 * files),
            checkpoint: None,
            checkpoint_files: List::new(files),
            no_space_until: None,
            wants_checkpoint: false,
            removals: 0,
            wanted: 0,
        }
    }

    /// Bytes that the lists for so many partitions take.
    pub const fn memory(partitions: usize) -> usize {
        List::<FileRef>::memory(4 * (FILES_EACH * partitions + FILES_MORE))
            + 3 * List::<PartitionIndex>::memory(partitions)
            + List::<Option<Millis>>::memory(partitions)
            + List::<(PartitionIndex, i64, Place)>::memory(partitions)
            + List::<bool>::memory(partitions)
    }

    /// A sync shall begin at `by` at the latest.
    pub fn want(&mut self, by: Millis) {
        self.deadline = Some(self.deadline.map_or(by, |known| known.min(by)));
    }

    /// This frame shall not wait longer than until `by`.
    pub fn want_frame(&mut self, lsn: Lsn, by: Millis) {
        self.wanted = self.wanted.max(lsn);
        self.want(by);
    }

    /// A batch was appended.
    pub fn appended(
        &mut self,
        index: PartitionIndex,
        lsn: Lsn,
        now: Millis,
        flush_interval_ms: u64,
    ) {
        if self.dirty_since[index].is_none() {
            self.dirty_since[index] = Some(now);
            self.dirty.push(index).ok();
        }
        self.want_frame(lsn, now.saturating_add(flush_interval_ms));
    }

    /// Whether references to more may be staged: each sync shall end soon.
    pub fn may_refer(&self) -> bool {
        self.referred_bytes < UNSYNCED_LARGE_BYTES
    }

    /// Whether files of partitions are being synced, or are about to be.
    pub fn syncs_segments(&self) -> bool {
        self.bulk.is_some() || !self.checkpoint_files.is_empty()
    }

    /// A reference to so many bytes in this partition's active segment was staged.
    pub fn refer(&mut self, index: PartitionIndex, bytes: usize) {
        self.referred_bytes += bytes;
        if !self.referred.contains(&index) {
            self.referred.push(index).ok();
        }
    }

    /// Since when the partition has records that no commit has taken up.
    pub fn dirty_since(&self, index: PartitionIndex) -> Option<Millis> {
        self.dirty_since.get(index).copied().flatten()
    }

    /// The partition is gone.
    pub fn forget(&mut self, index: PartitionIndex) {
        self.dirty.retain(|i| *i != index);
        self.referred.retain(|i| *i != index);
        self.advanced.retain(|i| *i != index);
        if let Some(listed) = self.is_advanced.get_mut(index) {
            *listed = false;
        }
        self.committing.retain(|(i, _, _)| *i != index);
        if let Some(since) = self.dirty_since.get_mut(index) {
            *since = None;
        }
    }
}

/// Lists the files that must be synced before a reference into this partition may be written.
fn bulk_files(
    disk: &dyn Disk,
    partition: &mut Partition,
    files: &mut List<FileRef>,
) -> DiskResult<()> {
    add(files, partition.active_file(disk)?)?;
    for sealed in &partition.sealed_dirty {
        add(files, sealed.clone())?;
    }
    if partition.names_dirty {
        add(files, disk.open_dir(&partition.dir)?)?;
    }
    if partition.dir_dirty {
        add(files, disk.open_dir(layout::TOPICS)?)?;
        add(files, disk.open_dir("")?)?;
    }
    partition.names_dirty = false;
    partition.dir_dirty = false;
    Ok(())
}

/// Lists a file; where there is no room (many topics deleted in the middle of large batches), it is
/// synced at once.
fn add(files: &mut List<FileRef>, file: FileRef) -> DiskResult<()> {
    match files.push(file) {
        Ok(()) => Ok(()),
        Err(file) => file.sync(),
    }
}

impl Storage {
    /// A fetch waits at the end of this partition: what is there already is synced soon. At once
    /// if it has been quiet; else after a pause, so that a card has most of its time for others.
    pub fn hurry(&mut self, index: PartitionIndex) {
        let Some(since) = self.sync.dirty_since(index) else { return };
        let pause = self.counters.last_sync_took_ms.saturating_mul(FETCH_SYNC_PAUSE_SYNCS);
        let pause = pause.clamp(FETCH_SYNC_PAUSE_MS.0, FETCH_SYNC_PAUSE_MS.1);
        let rested = self.counters.last_sync.map(|last| last.saturating_add(pause));
        self.sync.want(rested.map_or(since, |rested| rested.max(since)));
    }

    /// The last frame that is synced soon without anybody asking: the last one, but for those of
    /// [`Storage::stage_lazily`]. Who waits for what is there already waits for this one.
    pub fn wanted(&self) -> Lsn {
        self.sync.wanted.max(self.journal.durable())
    }

    /// When the next sync should begin; `None` while one is under way or nothing needs one.
    pub fn sync_deadline(&self) -> Option<Millis> {
        if self.sync.under_way.is_some() || self.failed.is_some() {
            return None;
        }
        if self.sync.bulk.is_some() {
            return Some(Millis(0));
        }
        if self.ahead.is_under_way() && self.journal.has_barrier() {
            return None;
        }
        let step = self.sync.checkpoint.as_ref().map(|c| c.retry_at.unwrap_or(Millis(0)));
        let step = step.filter(|_| !self.checkpoint_waits());
        let again = match self.sync.no_space_until {
            None if self.sync.wants_checkpoint && self.sync.checkpoint.is_none() => Some(Millis(0)),
            until => until,
        };
        // The first checkpoint of all goes before any commit, also where it has to wait for space.
        let is_first = self.checkpoint_number == 0 && self.is_checkpointing();
        let commit = self.sync.deadline.filter(|_| !is_first);
        let commit = commit.map(|deadline| deadline.max(self.sync.next_commit));
        [step, again, commit].into_iter().flatten().min()
    }

    /// Partitions whose high watermark moved since this was last asked.
    pub fn take_advanced(&mut self, mut visit: impl FnMut(PartitionIndex)) {
        for index in self.sync.advanced.drain(..) {
            self.sync.is_advanced[index] = false;
            visit(index);
        }
    }

    /// The file to be synced next, if it is time. The caller syncs it (everything written to it
    /// before this call counts) and then calls [`Storage::finish_sync`].
    pub fn start_sync(&mut self, now: Millis) -> Option<FileRef> {
        if self.sync.under_way.is_some() || self.failed.is_some() {
            return None;
        }
        if self.ahead.is_under_way() && self.journal.has_barrier() {
            // It ends soon.
            return None;
        }
        if self.sync.no_space_until.is_some_and(|until| until <= now) {
            self.sync.no_space_until = None;
        }
        match self.choose(now) {
            Ok(chosen) => {
                let (under_way, file) = chosen?;
                self.sync.under_way = Some(under_way);
                self.sync.began = now;
                Some(file)
            }
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    fn choose(&mut self, now: Millis) -> DiskResult<Option<(UnderWay, FileRef)>> {
        if self.sync.bulk.is_some() {
            return match self.sync.bulk_files.last() {
                Some(file) => Ok(Some((UnderWay::Segment, file.clone()))),
                None => self.begin_journal_sync(),
            };
        }
        // The first checkpoint of all gives the directory its cluster id: before any promise.
        if self.checkpoint_number == 0 && self.sync.checkpoint.is_some() {
            return self.checkpoint_step(now);
        }
        if self.checkpoint_number == 0 && self.sync.wants_checkpoint {
            return Ok(None);
        }
        let due =
            self.sync.deadline.is_some_and(|deadline| deadline.max(self.sync.next_commit) <= now);
        if due && self.journal.durable() < self.journal.last() {
            self.sync.next_commit = now.saturating_add(self.options.flush_pause_ms);
            return self.begin_commit();
        }
        if due {
            self.sync.deadline = None;
        }
        if self.checkpoint_waits() { Ok(None) } else { self.checkpoint_step(now) }
    }

    /// Whether the checkpoint's next file has to wait for a large batch's sync.
    fn checkpoint_waits(&self) -> bool {
        self.ahead.is_under_way() && !self.sync.checkpoint_files.is_empty()
    }

    /// What the partitions hold now becomes visible with the journal's sync that is prepared.
    fn take_dirty(&mut self) {
        for index in self.sync.dirty.drain(..) {
            self.sync.dirty_since[index] = None;
            if let Some(partition) = self.partitions.get(index) {
                let commit = (index, partition.log_end, partition.end_place());
                // One for each partition that is dirty, and no commit is under way.
                self.sync.committing.push(commit).ok();
            }
        }
    }

    /// A partition is about to go while references into it are staged. They will be written with
    /// the next commit, and a cut may keep them and lose the deletion behind them: then what they
    /// point to must be there.
    pub(super) fn keep_promise_to_references(&mut self, index: PartitionIndex) {
        if self.sync.referred.contains(&index)
            && let Some(partition) = self.partitions.get_mut(index)
            && let Err(error) = bulk_files(&*self.disk, partition, &mut self.sync.orphans)
        {
            self.fail(error);
        }
    }

    fn begin_commit(&mut self) -> DiskResult<Option<(UnderWay, FileRef)>> {
        self.sync.deadline = None;
        // What stands before the barrier is written first, so that the mark stays where it is.
        self.journal.write_staged()?;
        if !self.journal.has_barrier() {
            return self.begin_journal_sync();
        }
        let mark = self.journal.mark();
        self.take_dirty();
        self.sync.referred_bytes = 0;
        let SyncState { bulk_files: files, orphans, referred, checkpoint_files, .. } =
            &mut self.sync;
        for file in orphans.drain(..) {
            add(files, file)?;
        }
        for index in referred.drain(..) {
            if let Some(partition) = self.partitions.get_mut(index) {
                bulk_files(&*self.disk, partition, files)?;
            }
        }
        // A name or a sealed segment that this commit needs may be on the checkpoint's list.
        for file in checkpoint_files.drain(..) {
            add(files, file)?;
        }
        let first = files.last().cloned();
        self.sync.bulk = Some(mark);
        match first {
            Some(file) => Ok(Some((UnderWay::Segment, file))),
            None => self.begin_journal_sync(),
        }
    }

    fn begin_journal_sync(&mut self) -> DiskResult<Option<(UnderWay, FileRef)>> {
        if let Some(mark) = self.sync.bulk.take() {
            let more = !self.sync.referred.is_empty() || !self.sync.orphans.is_empty();
            self.journal.lift_barrier(mark, more);
        }
        // With a barrier left, only what was there at the mark is part of this sync.
        if !self.journal.has_barrier() {
            self.take_dirty();
        }
        self.journal.write_staged()?;
        let lsn = self.journal.sync_begins();
        Ok(Some((UnderWay::Journal(lsn), self.journal.file().clone())))
    }

    /// Syncs in place all that there is to be synced, one after the other: for tools and tests. A
    /// server does that beside its work.
    ///
    /// # Errors
    /// Why nothing can be promised any more.
    pub fn sync_all(&mut self, now: Millis) -> DiskResult<()> {
        self.want_sync(now);
        while let Some(file) = self.start_sync(now) {
            self.finish_sync(file.sync(), now);
            self.want_sync(now);
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Takes the result of the sync that was under way.
    pub fn finish_sync(&mut self, result: DiskResult<()>, now: Millis) {
        let Some(under_way) = self.sync.under_way.take() else { return };
        if let Err(error) = result {
            // Should this process be started again before the machine is, the next one sees the
            // bytes in the page cache and must not believe a sync of them.
            self.disk.open(layout::SYNC_FAILED, Open::CreateEmpty).ok();
            return self.fail(error);
        }
        self.counters.syncs += 1;
        let done = match under_way {
            UnderWay::Segment => {
                self.sync.bulk_files.pop();
                Ok(())
            }
            UnderWay::Journal(lsn) => {
                self.counters.last_sync = Some(now);
                self.counters.last_sync_took_ms = now.since(self.sync.began);
                self.journal_synced(lsn, now)
            }
            UnderWay::CheckpointFile => {
                self.sync.checkpoint_files.pop();
                Ok(())
            }
            UnderWay::CoordinatorNew | UnderWay::CoordinatorPlaced => {
                self.coordinator_synced(under_way)
            }
        };
        if let Err(error) = done {
            self.fail(error);
        }
    }

    fn journal_synced(&mut self, lsn: Lsn, now: Millis) -> DiskResult<()> {
        // What becomes visible now is read from there.
        self.catch_up()?;
        self.journal.sync_ended(lsn);
        for (index, offset, place) in self.sync.committing.drain(..) {
            if let Some(partition) = self.partitions.get_mut(index) {
                partition.set_high_watermark(offset, place);
                if !core::mem::replace(&mut self.sync.is_advanced[index], true) {
                    self.sync.advanced.push(index).ok();
                }
            }
        }
        self.run_removals(lsn);
        if self.journal.durable() < self.sync.wanted && self.sync.deadline.is_none() {
            self.sync.want(now.saturating_add(self.options.flush_interval_ms));
        }
        Ok(())
    }

    fn run_removals(&mut self, lsn: Lsn) {
        if self.sync.removals == 0 {
            return;
        }
        self.quota.freed();
        let disk = &*self.disk;
        self.sync.removals -= self.partitions.take_given_up(lsn, |dir, base| {
            // What cannot be removed now is swept at a later start.
            match base {
                Some(base) => {
                    disk.remove_file(&layout::segment_file(dir, base)).ok();
                    disk.remove_file(&layout::index_file(dir, base)).ok();
                }
                None => {
                    disk.remove_dir(dir).ok();
                }
            }
        });
    }

    pub(super) fn fail(&mut self, error: DiskError) {
        self.sync.under_way = None;
        self.sync.bulk = None;
        self.sync.checkpoint = None;
        self.sync.bulk_files.clear();
        self.sync.checkpoint_files.clear();
        self.ahead.clear();
        self.failed = Some(error);
    }
}
