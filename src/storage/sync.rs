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
//! acknowledgement waits for fifty segments. One sync is under way at a time.

use super::coordinator::{self, CoordinatorFile, PartitionRecord, StorageState};
use super::journal::Lsn;
use super::layout;
use super::partition::Place;
use super::{PartitionIndex, Storage, WriteError};
use crate::disk::{DiskError, DiskResult, FileRef, Open};
use crate::limits::{CHECKPOINT_RETRY_MS, FETCH_SYNC_PAUSE_MS, FETCH_SYNC_PAUSE_SYNCS};
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

/// A commit whose segments are being synced.
struct Bulk {
    files: Vec<FileRef>,
    mark: (u64, Lsn),
}

/// A checkpoint under way.
struct Checkpoint {
    files: Vec<FileRef>,
    file: CoordinatorFile,
    /// The directory in which the new coordinator file has its name already.
    placed: Option<FileRef>,
    /// There was no space for the new coordinator file; not tried again before this.
    retry_at: Option<Millis>,
}

/// Files to remove once a frame is durable.
struct Removal {
    lsn: Lsn,
    dir: String,
    bases: Vec<i64>,
    dir_too: bool,
}

/// The part of [`Storage`] that knows about syncs.
#[derive(Default)]
pub struct SyncState {
    under_way: Option<UnderWay>,
    /// When the last sync began.
    began: Millis,
    deadline: Option<Millis>,
    /// No commit begins before this.
    next_commit: Millis,
    dirty: Vec<PartitionIndex>,
    dirty_since: Vec<Option<Millis>>,
    referred: Vec<PartitionIndex>,
    /// Files of deleted topics that staged references point into.
    orphans: Vec<FileRef>,
    committing: Vec<(PartitionIndex, i64, Place)>,
    advanced: Vec<PartitionIndex>,
    bulk: Option<Bulk>,
    checkpoint: Option<Checkpoint>,
    removals: Vec<Removal>,
    /// The last frame that wants a sync; what was staged lazily behind it waits for the next one.
    wanted: Lsn,
}

impl SyncState {
    /// Makes room for `partitions`, so that appends do not allocate.
    pub fn reserve(&mut self, partitions: usize) {
        self.dirty_since.resize(self.dirty_since.len().max(partitions), None);
        for list in [&mut self.dirty, &mut self.referred, &mut self.advanced] {
            list.reserve(partitions.saturating_sub(list.len()));
        }
        self.committing.reserve(partitions.saturating_sub(self.committing.len()));
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
            self.dirty.push(index);
        }
        self.want_frame(lsn, now.saturating_add(flush_interval_ms));
    }

    /// A reference into this partition's active segment was staged.
    pub fn refer(&mut self, index: PartitionIndex) {
        if !self.referred.contains(&index) {
            self.referred.push(index);
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
        self.committing.retain(|(i, _, _)| *i != index);
        if let Some(since) = self.dirty_since.get_mut(index) {
            *since = None;
        }
    }

    /// Files to remove once `lsn` is durable.
    pub fn remove_files(&mut self, lsn: Lsn, dir: String, bases: Vec<i64>, dir_too: bool) {
        self.removals.push(Removal { lsn, dir, bases, dir_too });
    }

    /// Whether a directory of this topic waits for its removal.
    pub fn removes_topic(&self, topic: &str) -> bool {
        self.removals.iter().any(|r| {
            let name = r.dir.strip_prefix(layout::TOPICS).and_then(|d| d.strip_prefix('/'));
            r.dir_too && name.and_then(layout::partition_of).is_some_and(|(t, _)| t == topic)
        })
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
        let step = self.sync.checkpoint.as_ref().map(|c| c.retry_at.unwrap_or(Millis(0)));
        let commit = self.sync.deadline.map(|deadline| deadline.max(self.sync.next_commit));
        [step, commit].into_iter().flatten().min()
    }

    /// Partitions whose high watermark moved since this was last asked.
    pub fn take_advanced(&mut self, mut visit: impl FnMut(PartitionIndex)) {
        self.sync.advanced.drain(..).for_each(&mut visit);
    }

    /// The file to be synced next, if it is time. The caller syncs it (everything written to it
    /// before this call counts) and then calls [`Storage::finish_sync`].
    pub fn start_sync(&mut self, now: Millis) -> Option<FileRef> {
        if self.sync.under_way.is_some() || self.failed.is_some() {
            return None;
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
        if let Some(bulk) = &self.sync.bulk {
            return match bulk.files.last() {
                Some(file) => Ok(Some((UnderWay::Segment, file.clone()))),
                None => self.begin_journal_sync(),
            };
        }
        // The first checkpoint of all gives the directory its cluster id: before any promise.
        if self.checkpoint_number == 0 && self.sync.checkpoint.is_some() {
            return self.checkpoint_step(now);
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
        self.checkpoint_step(now)
    }

    /// What the partitions hold now becomes visible with the journal's sync that is prepared.
    fn take_dirty(&mut self) {
        for index in self.sync.dirty.drain(..) {
            self.sync.dirty_since[index] = None;
            if let Some(partition) = &self.partitions[index] {
                self.sync.committing.push((index, partition.log_end, partition.end_place()));
            }
        }
    }

    /// Lists the files that must be synced before a reference into this partition may be written.
    fn bulk_files(&mut self, index: PartitionIndex, files: &mut Vec<FileRef>) -> DiskResult<()> {
        let disk = self.disk.clone();
        let Some(partition) = &mut self.partitions[index] else { return Ok(()) };
        files.push(partition.active_file(&*disk)?);
        files.extend(partition.sealed_dirty.iter().cloned());
        if partition.names_dirty {
            files.push(disk.open_dir(&partition.dir)?);
        }
        if partition.dir_dirty {
            files.push(disk.open_dir(layout::TOPICS)?);
            files.push(disk.open_dir("")?);
        }
        partition.names_dirty = false;
        partition.dir_dirty = false;
        Ok(())
    }

    /// A partition is about to go while references into it are staged. They will be written with
    /// the next commit, and a cut may keep them and lose the deletion behind them: then what they
    /// point to must be there.
    pub(super) fn keep_promise_to_references(&mut self, index: PartitionIndex) {
        if self.sync.referred.contains(&index) {
            let mut files = core::mem::take(&mut self.sync.orphans);
            let listed = self.bulk_files(index, &mut files);
            self.sync.orphans = files;
            if let Err(error) = listed {
                self.fail(error);
            }
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
        let mut files = core::mem::take(&mut self.sync.orphans);
        // Both lists keep their memory for the next commit.
        let mut referred = core::mem::take(&mut self.sync.referred);
        for index in referred.drain(..) {
            self.bulk_files(index, &mut files)?;
        }
        self.sync.referred = referred;
        if let Some(checkpoint) = &mut self.sync.checkpoint {
            // A name or a sealed segment that this commit needs may be on the checkpoint's list.
            files.append(&mut checkpoint.files);
        }
        let first = files.last().cloned();
        self.sync.bulk = Some(Bulk { files, mark });
        match first {
            Some(file) => Ok(Some((UnderWay::Segment, file))),
            None => self.begin_journal_sync(),
        }
    }

    fn begin_journal_sync(&mut self) -> DiskResult<Option<(UnderWay, FileRef)>> {
        if let Some(bulk) = self.sync.bulk.take() {
            let more = !self.sync.referred.is_empty() || !self.sync.orphans.is_empty();
            self.journal.lift_barrier(bulk.mark, more);
            if self.sync.orphans.is_empty() {
                // All its files are synced: the empty list goes back to where it came from.
                self.sync.orphans = bulk.files;
            }
        }
        // With a barrier left, only what was there at the mark is part of this sync.
        if !self.journal.has_barrier() {
            self.take_dirty();
        }
        self.journal.write_staged()?;
        let lsn = self.journal.sync_begins();
        Ok(Some((UnderWay::Journal(lsn), self.journal.file().clone())))
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
                if let Some(bulk) = &mut self.sync.bulk {
                    bulk.files.pop();
                }
                Ok(())
            }
            UnderWay::Journal(lsn) => {
                self.counters.last_sync = Some(now);
                self.counters.last_sync_took_ms = now.since(self.sync.began);
                self.journal_synced(lsn, now)
            }
            UnderWay::CheckpointFile => {
                if let Some(checkpoint) = &mut self.sync.checkpoint {
                    checkpoint.files.pop();
                }
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
            if let Some(partition) = &mut self.partitions[index] {
                partition.set_high_watermark(offset, place);
                self.sync.advanced.push(index);
            }
        }
        self.run_removals(lsn);
        if self.journal.durable() < self.sync.wanted && self.sync.deadline.is_none() {
            self.sync.want(now.saturating_add(self.options.flush_interval_ms));
        }
        Ok(())
    }

    fn run_removals(&mut self, lsn: Lsn) {
        let due = self.sync.removals.iter().filter(|r| r.lsn <= lsn).count();
        for removal in self.sync.removals.drain(..due) {
            for base in &removal.bases {
                // What cannot be removed now is swept at a later start.
                self.disk.remove_file(&layout::segment_file(&removal.dir, *base)).ok();
                self.disk.remove_file(&layout::index_file(&removal.dir, *base)).ok();
            }
            if removal.dir_too {
                self.disk.remove_dir(&removal.dir).ok();
            }
        }
    }

    pub(super) fn fail(&mut self, error: DiskError) {
        self.sync.under_way = None;
        self.sync.bulk = None;
        self.sync.checkpoint = None;
        self.failed = Some(error);
    }

    /// Whether half of the journal is used, so that [`Storage::begin_checkpoint`] is due.
    pub fn checkpoint_due(&self) -> bool {
        self.sync.checkpoint.is_none()
            && self.failed.is_none()
            && self.journal.used() * 2 >= self.journal.ring_bytes()
    }

    /// Whether a checkpoint waits for the disk to have space again: nobody should wait for it.
    pub fn lacks_space(&self) -> bool {
        self.sync.checkpoint.as_ref().is_some_and(|c| c.retry_at.is_some())
    }

    /// Whether a checkpoint is under way.
    pub fn is_checkpointing(&self) -> bool {
        self.sync.checkpoint.is_some()
    }

    /// Begins a checkpoint of this very moment; `state` is the state's part of the coordinator
    /// file. `clean` says that nothing will be written afterwards.
    ///
    /// # Errors
    /// [`WriteError::Busy`] while one is under way, or what the disk said; none is begun then.
    pub fn begin_checkpoint(
        &mut self,
        state: Vec<u8>,
        clean: bool,
        now: Millis,
    ) -> Result<(), WriteError> {
        self.writable()?;
        if self.sync.checkpoint.is_some() {
            // Its list of files is what makes its coordinator file true.
            return Err(WriteError::Busy);
        }
        self.write_segments()?;
        let files = self.checkpoint_files()?;
        for partition in self.partitions.iter_mut().flatten() {
            partition.dirty = false;
            partition.sealed_dirty.clear();
            partition.names_dirty = false;
            partition.dir_dirty = false;
        }
        let (head, next_sequence) = self.journal.checkpoint_mark();
        let storage = StorageState {
            checkpoint: self.checkpoint_number + 1,
            head,
            next_sequence,
            generation: self.journal.generation(),
            age_s: self.age_s(now),
            clean,
            partitions: self.records(),
        };
        let file = CoordinatorFile { storage, state };
        self.sync.checkpoint = Some(Checkpoint { files, file, placed: None, retry_at: None });
        Ok(())
    }

    /// Everything that was written since the last checkpoint.
    fn checkpoint_files(&mut self) -> DiskResult<Vec<FileRef>> {
        let mut files = Vec::new();
        let mut dirs_dirty = false;
        let disk = self.disk.clone();
        for partition in self.partitions.iter_mut().flatten() {
            if partition.dirty {
                files.push(partition.active_file(&*disk)?);
            }
            files.extend(partition.sealed_dirty.iter().cloned());
            if partition.names_dirty {
                files.push(disk.open_dir(&partition.dir)?);
            }
            dirs_dirty |= partition.dir_dirty;
        }
        if dirs_dirty {
            files.push(disk.open_dir(layout::TOPICS)?);
        }
        if self.checkpoint_number == 0 {
            // A coordinator file without its journal would look like an accident.
            files.push(self.journal.file().clone());
        }
        if dirs_dirty || self.checkpoint_number == 0 {
            files.push(disk.open_dir("")?);
        }
        Ok(files)
    }

    fn records(&self) -> Vec<PartitionRecord> {
        let record = |(key, index): (&super::PartitionKey, &PartitionIndex)| {
            let partition = self.partitions[*index].as_ref()?;
            Some(PartitionRecord {
                topic: key.topic,
                topic_name: self.names.get(&key.topic)?.clone(),
                partition: key.partition,
                log_start: partition.log_start,
                log_end: partition.log_end,
                segments: partition.segments.clone(),
            })
        };
        self.by_key.iter().filter_map(record).collect()
    }

    fn checkpoint_step(&mut self, now: Millis) -> DiskResult<Option<(UnderWay, FileRef)>> {
        let Some(checkpoint) = &mut self.sync.checkpoint else { return Ok(None) };
        if checkpoint.retry_at.is_some_and(|retry_at| now < retry_at) {
            return Ok(None);
        }
        if let Some(file) = checkpoint.files.last() {
            return Ok(Some((UnderWay::CheckpointFile, file.clone())));
        }
        if let Some(dir) = &checkpoint.placed {
            return Ok(Some((UnderWay::CoordinatorPlaced, dir.clone())));
        }
        // Frames before the mark need not be durable themselves: all they say is in this file and
        // in the segments that were just synced. Answers still wait for the journal's own sync.
        match coordinator::write_new(&*self.disk, &checkpoint.file) {
            Ok(new) => Ok(Some((UnderWay::CoordinatorNew, new))),
            Err(DiskError::NoSpace) => {
                // Nothing is lost by waiting; deletions may free space meanwhile.
                checkpoint.retry_at = Some(now.saturating_add(CHECKPOINT_RETRY_MS));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn coordinator_synced(&mut self, step: UnderWay) -> DiskResult<()> {
        if step == UnderWay::CoordinatorNew {
            let dir = coordinator::put_in_place(&*self.disk)?;
            if let Some(checkpoint) = &mut self.sync.checkpoint {
                checkpoint.placed = Some(dir);
            }
            return Ok(());
        }
        if let Some(checkpoint) = self.sync.checkpoint.take() {
            self.checkpoint_number = checkpoint.file.storage.checkpoint;
            self.journal.set_head(checkpoint.file.storage.head);
            self.counters.checkpoints += 1;
        }
        Ok(())
    }
}
