//! A checkpoint's steps: the segments, the new coordinator file, and the directory.
//!
//! Promises: as in the module above. A checkpoint that fails without a failed sync is tried again.

use super::*;

impl Storage {
    /// Whether half of the journal is used, so that [`Storage::begin_checkpoint`] is due.
    pub fn checkpoint_due(&self) -> bool {
        self.sync.checkpoint.is_none()
            && self.failed.is_none()
            && self.sync.no_space_until.is_none()
            && (self.sync.wants_checkpoint || self.journal.used() * 2 >= self.journal.ring_bytes())
    }

    /// Whether a checkpoint waits for the disk to have space again: nobody should wait for it.
    pub fn lacks_space(&self) -> bool {
        self.sync.no_space_until.is_some()
            || self.sync.checkpoint.as_ref().is_some_and(|c| c.retry_at.is_some())
    }

    /// Whether a checkpoint is under way, or is to be begun as soon as the disk has space.
    pub fn is_checkpointing(&self) -> bool {
        self.sync.checkpoint.is_some() || self.sync.wants_checkpoint
    }

    /// Begins a checkpoint of this very moment; `state` writes the state's part of the coordinator
    /// file, twice the same. `clean` says that nothing will be written afterwards. Where the disk
    /// is full none is begun, and [`Storage::lacks_space`] says so for a while.
    ///
    /// # Errors
    /// [`WriteError::Busy`] while one is under way, or what the disk said; none is begun then.
    pub fn begin_checkpoint(
        &mut self,
        state: &dyn Fn(&mut Pieces<'_>),
        clean: bool,
        now: Millis,
    ) -> Result<(), WriteError> {
        self.writable()?;
        if self.sync.checkpoint.is_some() {
            // Its list of files is what makes its coordinator file true.
            return Err(WriteError::Busy);
        }
        self.write_segments()?;
        self.sync.wants_checkpoint = false;
        let listed = self.list_checkpoint_files();
        let was_listed = listed.is_ok();
        match listed.and_then(|()| self.write_coordinator_file(state, clean, now)) {
            Ok(checkpoint) => self.sync.checkpoint = Some(checkpoint),
            Err(DiskError::NoSpace) => {
                // Nothing is lost by waiting; deletions may free space meanwhile.
                self.sync.checkpoint_files.clear();
                self.sync.wants_checkpoint = true;
                self.sync.no_space_until = Some(now.saturating_add(CHECKPOINT_RETRY_MS));
                return Ok(());
            }
            Err(error) => {
                self.sync.checkpoint_files.clear();
                if was_listed || self.checkpoint_number == 0 {
                    // Nothing may be promised before the first coordinator file is there.
                    self.fail(error);
                }
                return Err(error.into());
            }
        }
        for partition in self.partitions.iter_mut() {
            partition.dirty = false;
            partition.sealed_dirty.clear();
            partition.names_dirty = false;
            partition.dir_dirty = false;
        }
        Ok(())
    }

    /// Lists everything that was written since the last checkpoint.
    fn list_checkpoint_files(&mut self) -> DiskResult<()> {
        let files = &mut self.sync.checkpoint_files;
        let mut dirs_dirty = false;
        let disk = &*self.disk;
        for partition in self.partitions.iter_mut() {
            if partition.dirty {
                add(files, partition.active_file(disk)?)?;
            }
            for sealed in &partition.sealed_dirty {
                add(files, sealed.clone())?;
            }
            if partition.names_dirty {
                add(files, disk.open_dir(&partition.dir)?)?;
            }
            dirs_dirty |= partition.dir_dirty;
        }
        if dirs_dirty {
            add(files, disk.open_dir(layout::TOPICS)?)?;
        }
        if self.checkpoint_number == 0 {
            // A coordinator file without its journal would look like an accident.
            add(files, self.journal.file().clone())?;
        }
        if dirs_dirty || self.checkpoint_number == 0 {
            add(files, disk.open_dir("")?)?;
        }
        Ok(())
    }

    /// Writes the coordinator file of this moment, but for its header.
    fn write_coordinator_file(
        &mut self,
        state: &dyn Fn(&mut Pieces<'_>),
        clean: bool,
        now: Millis,
    ) -> DiskResult<Checkpoint> {
        let (head, next_sequence) = self.journal.checkpoint_mark();
        let number = self.checkpoint_number + 1;
        let (generation, age_s) = (self.journal.generation(), self.age_s(now));
        let mut counted = Pieces::counting(&mut self.pieces);
        state(&mut counted);
        let state_bytes = counted.bytes();
        let new = self.disk.open(layout::COORDINATOR_NEW, Open::CreateOrKeep)?;
        let mut pieces = Pieces::writing(&mut self.pieces, &new);
        // In the order of `CoordinatorFile`'s fields, and of `StorageState`'s.
        pieces.put(&(number, head, next_sequence, generation, age_s, clean));
        pieces.put_count(self.partitions.in_order().count());
        for partition in self.partitions.in_order() {
            let topic = layout::topic_of(&partition.dir);
            pieces.put(&(partition.key.topic, topic, partition.key.partition));
            pieces.put(&(partition.log_start, partition.log_end));
            let segments = partition.segments.all();
            pieces.put_count(segments.len());
            segments.iter().for_each(|segment| pieces.put(segment));
        }
        pieces.put_count(state_bytes);
        state(&mut pieces);
        let bytes = pieces.bytes() as u64;
        let header = pieces.finish()?;
        Ok(Checkpoint { number, head, new, header, bytes, placed: None, retry_at: None })
    }

    pub(super) fn checkpoint_step(
        &mut self,
        now: Millis,
    ) -> DiskResult<Option<(UnderWay, FileRef)>> {
        let Some(checkpoint) = &mut self.sync.checkpoint else { return Ok(None) };
        if checkpoint.retry_at.is_some_and(|retry_at| now < retry_at) {
            return Ok(None);
        }
        if let Some(file) = self.sync.checkpoint_files.last() {
            return Ok(Some((UnderWay::CheckpointFile, file.clone())));
        }
        if let Some(dir) = &checkpoint.placed {
            return Ok(Some((UnderWay::CoordinatorPlaced, dir.clone())));
        }
        // Frames before the mark need not be durable themselves: all they say is in this file and
        // in the segments that were just synced. Answers still wait for the journal's own sync.
        match checkpoint.new.write_at(&[&checkpoint.header], 0) {
            Ok(()) => Ok(Some((UnderWay::CoordinatorNew, checkpoint.new.clone()))),
            Err(DiskError::NoSpace) => {
                // Nothing is lost by waiting; deletions may free space meanwhile.
                checkpoint.retry_at = Some(now.saturating_add(CHECKPOINT_RETRY_MS));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn coordinator_synced(&mut self, step: UnderWay) -> DiskResult<()> {
        if step == UnderWay::CoordinatorNew {
            let dir = coordinator::put_in_place(&*self.disk)?;
            if let Some(checkpoint) = &mut self.sync.checkpoint {
                checkpoint.placed = Some(dir);
            }
            return Ok(());
        }
        if let Some(checkpoint) = self.sync.checkpoint.take() {
            self.checkpoint_number = checkpoint.number;
            self.journal.set_head(checkpoint.head);
            coordinator::keep_spare(&*self.disk, checkpoint.bytes);
            // The three of them may have grown by as much as one has; rarely by anything.
            self.quota.note(checkpoint.bytes / 16);
            self.counters.checkpoints += 1;
        }
        Ok(())
    }
}
