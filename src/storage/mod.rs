//! Records on flash: one journal for all partitions, segments per partition, a coordinator file.
//!
//! A record's way, and what a power cut after each step leaves:
//!
//! 1. [`Storage::append`] gives the batch its place in a segment, with the space reserved, and
//!    stages a journal frame with it — nothing of it is promised; recovery overwrites what is
//!    behind the journal's end.
//! 2. [`Storage::write_staged`] hands the frames to the page cache — survives the process's death.
//! 3. [`Storage::start_sync`] names a file, the caller syncs it on the helper thread, and
//!    [`Storage::finish_sync`] takes the result: frames are durable, high watermarks move, waiting
//!    answers go out. Meanwhile the segments are written, from the journal's memory (`behind`) —
//!    recovery writes what they lack from the journal.
//! 4. At half a journal a checkpoint syncs the segments and replaces the coordinator file —
//!    the journal before it is given up.
//!
//! A batch of `LARGE_BATCH_BYTES` and more skips the journal: its segment is synced first, then
//! only a reference goes into the journal. So bulk data is written once, at the price of a second
//! sync in its commit. Where the two ways cost the same is the sync's time times the card's
//! bandwidth: 128 KiB on the virtual disk where `cargo bench --bench large_batch` was run (a
//! reference took 2.1 times as long at 4 KiB, 1.4 at 64 KiB, 1.05 at 128 KiB, 0.8 at 256 KiB), and
//! about the same, reckoned, on a card with 10 ms and 15 MB/s.
//!
//! Promises: nothing is called durable before a sync that began after it was written returned
//! `Ok`; after one failed sync nothing is called durable any more (the kernel forgets dirty pages
//! that it could not write). One sync is under way at a time, and beside the journal's that of a
//! large batch (`ahead`).
//! Absent: threads, clocks, and the meaning of [`Storage::stage_change`]'s bytes.

mod account;
mod ahead;
mod behind;
pub mod coordinator;
pub mod index;
pub mod journal;
pub mod journal_frame;
pub mod layout;
pub mod partition;
pub mod quota;
mod rebuild;
pub mod recovery;
pub mod retention;
pub mod rot;
pub mod scan;
mod scrub;
pub mod segment;
pub mod segments;
mod sweep;
mod sync;
mod table;

use crate::disk::{Disk, DiskError};
use crate::fixed::List;
use crate::limits::{RING_BYTES_MIN, SEGMENTS_BEHIND_BYTES, Sizes};
use crate::time::Millis;
use crate::wire::batch::{HEADER_BYTES, Stamped};
use ahead::AheadState;
use behind::Behind;
use journal::{Full, Journal};
use journal_frame::{
    BatchPlace, KIND_BATCH, KIND_CHANGE, KIND_LOG_START, KIND_REFERENCE, PLACE_BYTES,
    log_start_payload,
};
use partition::{Found, How, LogError, Partition, Place, Slice};
use quota::Quota;
use std::rc::Rc;
use sync::SyncState;
use table::Table;

pub use journal::Lsn;
pub use journal_frame::PartitionKey;
pub use scrub::Scrubbed;

/// Which partition, as a short-lived handle: valid until the partition is removed.
pub type PartitionIndex = usize;

/// What storage needs to know at start.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of the journal's ring, at a first start.
    pub journal_bytes: u64,
    /// Bytes that all files may take.
    pub quota_bytes: Option<u64>,
    /// Milliseconds from an append that nobody waits for to its sync.
    pub flush_interval_ms: u64,
    /// Milliseconds between the beginnings of two commits at least.
    pub flush_pause_ms: u64,
    /// Bytes from which on a batch is synced in its segment instead of being carried in the
    /// journal; never more than a sixteenth of the ring.
    pub large_batch_bytes: usize,
    /// How large the tables and buffers are.
    pub sizes: Sizes,
}

/// How a partition wants to be written.
#[derive(Clone, Copy, Debug)]
pub struct SegmentPolicy {
    /// Bytes at which a segment is full.
    pub segment_bytes: u32,
    /// Seconds after which a segment is full.
    pub segment_s: u32,
}

/// Why storage refuses to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// No room before the sync that is under way has ended: try again then.
    Busy,
    /// The disk refused this write; what is there is safe.
    Disk(DiskError),
    /// A sync failed: nothing can be promised until a restart.
    ReadOnly,
}

impl From<DiskError> for WriteError {
    fn from(error: DiskError) -> Self {
        WriteError::Disk(error)
    }
}

impl From<Full> for WriteError {
    fn from(_: Full) -> Self {
        WriteError::Busy
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: i64,
    /// Durable together with this frame.
    pub lsn: Lsn,
}

/// Counters that a person may ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Syncs that ended well.
    pub syncs: u64,
    /// Checkpoints since start.
    pub checkpoints: u64,
    /// When the last journal sync ended.
    pub last_sync: Option<Millis>,
    /// How long it took, in milliseconds.
    pub last_sync_took_ms: u64,
}

/// The storage layer in use.
pub struct Storage {
    disk: Rc<dyn Disk>,
    journal: Journal,
    partitions: Table,
    sync: SyncState,
    /// Large batches that are synced first.
    ahead: AheadState,
    /// What the segments lack yet, oldest first.
    behind: List<Behind>,
    /// The coordinator file on its way to the disk.
    pieces: Box<[u8]>,
    options: Options,
    /// The store's clock at start, and the monotonic time of the start.
    age_start_s: u32,
    started: Millis,
    checkpoint_number: u64,
    failed: Option<DiskError>,
    counters: Counters,
    rot: rot::Rot,
    scrub: scrub::Scrub,
    quota: Quota,
}

impl Storage {
    /// The disk it works on.
    pub fn disk(&self) -> &Rc<dyn Disk> {
        &self.disk
    }

    /// The last frame staged: everything up to now is durable together with it.
    pub fn last(&self) -> Lsn {
        self.journal.last()
    }

    /// The last frame that survives the death of the process.
    pub fn written(&self) -> Lsn {
        self.journal.written()
    }

    /// The last frame that survives a power cut.
    pub fn durable(&self) -> Lsn {
        self.journal.durable()
    }

    /// Why nothing can be acknowledged any more, if a sync failed.
    pub fn failed(&self) -> Option<DiskError> {
        self.failed
    }

    /// Counters since start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Seconds on the store's own clock: time for which a broker was seen running here. A wrong
    /// wall clock cannot move it (architecture.md 7).
    pub fn age_s(&self, now: Millis) -> u32 {
        let running = now.since(self.started) / 1000;
        self.age_start_s.saturating_add(u32::try_from(running).unwrap_or(u32::MAX))
    }

    /// The store's own clock as the last frame notes it: what counts if the power goes now.
    pub fn age_noted_s(&self) -> u32 {
        self.journal.age_noted_s()
    }

    /// When the broker stamped a partition's last batch, see [`Partition::last_append_time`].
    pub fn last_append_time(&mut self, index: PartitionIndex) -> i64 {
        let disk = self.disk.clone();
        let Some(partition) = self.partitions.get_mut(index) else { return i64::MIN };
        partition.last_append_time(&*disk, &mut self.rot)
    }

    /// The partition behind a handle.
    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        self.partitions.get(index)
    }

    /// The handle of a partition.
    pub fn find(&self, key: PartitionKey) -> Option<PartitionIndex> {
        self.partitions.find(key)
    }

    /// How many partitions can be added now. Those of a topic that was deleted keep their places
    /// until their files are gone.
    pub fn partitions_free(&self) -> usize {
        self.partitions.free()
    }

    /// Makes room for a partition; nothing is written before its first record. `None` if there
    /// is none, see [`Storage::partitions_free`].
    pub fn add_partition(&mut self, key: PartitionKey, topic: &str) -> Option<PartitionIndex> {
        self.partitions.add(key, topic)
    }

    /// Forgets all partitions of a topic at once; their files go when `lsn`, the frame that says
    /// so, is durable. Until then a power cut brings the topic back whole.
    pub fn remove_topic(&mut self, topic: u32, lsn: Lsn) {
        while let Some(index) = self.partitions.first_of(topic) {
            self.keep_promise_to_references(index);
            self.sync.forget(index);
            self.ahead.forget(index);
            self.behind.retain(|behind| behind.index != index);
            self.rot.retain(|gap| gap.key.topic != topic);
            self.partitions.remove(index, lsn);
            self.sync.removals += 1;
        }
    }

    /// Whether files of a deleted topic of this name are still waiting for their removal.
    pub fn is_being_removed(&self, topic: &str) -> bool {
        self.sync.removals > 0 && self.partitions.removes_topic(topic)
    }

    fn large_batch_bytes(&self) -> usize {
        let ring = usize::try_from(self.journal.ring_bytes() / 16).unwrap_or(usize::MAX);
        self.options.large_batch_bytes.min(ring).min(self.options.sizes.staged_bytes / 2)
    }

    /// Whether a change of `bytes` has room, after what is staged was written if need be.
    fn make_room(&mut self, bytes: usize) -> Result<(), WriteError> {
        if self.journal.room(bytes, true) == Err(Full::Staging) {
            // Nobody else may come by to make room.
            self.write_staged()?;
            self.write_segments()?;
        }
        Ok(self.journal.room(bytes, true)?)
    }

    fn writable(&self) -> Result<(), WriteError> {
        if self.failed.is_some() { Err(WriteError::ReadOnly) } else { Ok(()) }
    }

    /// Appends one checked batch. It is durable with the returned frame's number.
    ///
    /// `stamp` gives the batch its place: it is called with the base offset.
    ///
    /// # Errors
    /// [`WriteError`]; the log is as before.
    pub fn append<'b>(
        &mut self,
        index: PartitionIndex,
        policy: SegmentPolicy,
        now: Millis,
        stamp: impl FnOnce(i64) -> Option<Stamped<'b>>,
    ) -> Result<Appended, WriteError> {
        self.ahead.begin();
        self.writable()?;
        let age_s = self.age_s(now);
        let large = self.large_batch_bytes();
        let base_offset =
            self.partition(index).ok_or(WriteError::Disk(DiskError::NotFound))?.log_end;
        let stamped = stamp(base_offset).ok_or(WriteError::Disk(DiskError::UnexpectedEnd))?;
        let header = stamped.header().map_err(|_| WriteError::Disk(DiskError::UnexpectedEnd))?;
        let payload = PLACE_BYTES + stamped.len().min(large);
        if self.journal.room(payload, false) == Err(Full::Staging) || self.behind.is_full() {
            self.write_staged()?;
            self.write_segments()?;
        }
        let inline = stamped.len() < large && self.journal.room(payload, false).is_ok();
        if !inline {
            self.journal.room(PLACE_BYTES + HEADER_BYTES, false)?;
            if !self.sync.may_refer() {
                return Err(WriteError::Busy);
            }
        }
        let segment_bytes = self.segment_bytes(policy.segment_bytes);
        let partition = self.partition(index).ok_or(WriteError::Disk(DiskError::NotFound))?;
        let mut rolls = partition.must_roll(stamped.len(), segment_bytes, policy.segment_s, age_s);
        if rolls && !partition.can_roll() {
            // The segment goes on growing, until retention or a checkpoint has made room.
            let (sealed, at_end) =
                (partition.sealed_dirty.is_full(), partition.is_at_end(stamped.len()));
            self.sync.wants_checkpoint |= sealed;
            if at_end {
                return Err(WriteError::Busy);
            }
            rolls = false;
        }
        if rolls && self.checkpoint_number == 0 {
            // Directories without a coordinator file would look like an accident to the next
            // start. The first checkpoint goes before everything else and ends soon.
            return Err(WriteError::Busy);
        }
        match self.partition(index).map_or(0, |partition| partition.growth(stamped.len(), rolls)) {
            0 => {}
            growth => self.quota.take(&*self.disk, growth, now)?,
        }
        if rolls {
            self.write_segments()?;
        }
        if inline {
            self.ahead.note_small(now);
        }
        let ahead = stamped.len() >= large && !rolls && self.is_ahead(index, &stamped, now)?;
        let disk = &*self.disk;
        let Some(partition) = self.partitions.get_mut(index) else {
            return Err(WriteError::Disk(DiskError::NotFound));
        };
        if rolls {
            partition.roll(disk, age_s)?;
        }
        let how = if ahead {
            How::There
        } else if inline {
            How::Later
        } else {
            How::Now
        };
        let (place, later) = match partition.append(disk, &stamped, &header, age_s, how) {
            // The active segment's file is gone: the log goes on in a new one.
            Err(DiskError::NotFound) if partition.can_roll() => {
                partition.roll(disk, age_s)?;
                partition.append(disk, &stamped, &header, age_s, how)?
            }
            other => other?,
        };
        let Place { segment_base, position } = place;
        let place = BatchPlace { key: partition.key, segment_base, position }.encode();
        let [head, rest] = stamped.parts();
        let lsn = if inline {
            self.journal.stage(KIND_BATCH, age_s, &[&place, head, rest])
        } else {
            let lsn = self.journal.stage(KIND_REFERENCE, age_s, &[&place, head]);
            if !ahead {
                self.sync.refer(index, stamped.len());
                self.journal.raise_barrier(PLACE_BYTES + HEADER_BYTES);
            }
            lsn
        };
        if later {
            let at = self.journal.position_of_last(stamped.len());
            let bytes = stamped.len() as u32;
            let behind = Behind { index, position, bytes, at };
            debug_assert!(!self.behind.is_full(), "room was made above");
            self.behind.push(behind).ok();
        }
        self.sync.appended(index, lsn, now, self.options.flush_interval_ms);
        Ok(Appended { base_offset, lsn })
    }

    /// Whether a change of `bytes` would be taken now.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn room_for_change(&mut self, bytes: usize) -> Result<(), WriteError> {
        self.writable()?;
        self.make_room(bytes)
    }

    /// Stages a change of what the coordinator file holds. It is durable with the returned
    /// frame's number, at the latest after `log.flush.interval.ms`; see [`Storage::want_sync`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing is staged then.
    pub fn stage_change(&mut self, bytes: &[u8], now: Millis) -> Result<Lsn, WriteError> {
        self.writable()?;
        self.make_room(bytes.len())?;
        self.ahead.note_small(now);
        let lsn = self.journal.stage(KIND_CHANGE, self.age_s(now), &[bytes]);
        self.sync.want_frame(lsn, now.saturating_add(self.options.flush_interval_ms));
        Ok(lsn)
    }

    /// Stages a change that may wait for the next sync, whenever somebody else wants one. In the
    /// journal it stands behind what was staged before it and in front of what comes later: a
    /// power cut that leaves a later frame leaves this one too.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is staged then.
    pub fn stage_lazily(&mut self, bytes: &[u8], now: Millis) -> Result<Lsn, WriteError> {
        self.writable()?;
        self.make_room(bytes.len())?;
        Ok(self.journal.stage(KIND_CHANGE, self.age_s(now), &[bytes]))
    }

    /// Moves the start of a partition's log forward to `offset` (at most the high watermark).
    /// Whole segments before it are deleted once the returned frame is durable.
    ///
    /// # Errors
    /// [`WriteError`]; nothing moves then.
    pub fn move_log_start(
        &mut self,
        index: PartitionIndex,
        offset: i64,
        now: Millis,
    ) -> Result<Lsn, WriteError> {
        self.writable()?;
        let age_s = self.age_s(now);
        let Some(partition) = self.partition(index) else {
            return Err(WriteError::Disk(DiskError::NotFound));
        };
        let offset = offset.min(partition.high_watermark);
        if offset <= partition.log_start {
            return Ok(self.wanted());
        }
        let payload = log_start_payload(partition.key, offset);
        self.make_room(payload.len())?;
        let lsn = self.journal.stage(KIND_LOG_START, age_s, &[&payload]);
        if let Some(partition) = self.partitions.get_mut(index) {
            partition.log_start = offset;
            let key = partition.key;
            if partition.drop_before_start() && partition.given_up.replace(lsn).is_none() {
                self.sync.removals += 1;
            }
            // As long as its segment is there: a walk to what lies behind comes by, and what has
            // rotted there may say that it holds the records from the new start on.
            let oldest = partition.segments.first().map_or(i64::MAX, |first| first.base_offset);
            self.rot.retain(|gap| gap.key != key || gap.segment_base >= oldest);
        }
        self.sync.want_frame(lsn, now.saturating_add(self.options.flush_interval_ms));
        Ok(lsn)
    }

    /// Hands staged frames to the page cache, so that they survive the death of the process.
    ///
    /// # Errors
    /// What the disk said; nothing can be promised any more then.
    pub fn write_staged(&mut self) -> Result<(), WriteError> {
        self.writable()?;
        if let Err(error) = self.journal.write_staged() {
            self.failed = Some(error);
            return Err(WriteError::ReadOnly);
        }
        if self.journal.staged_bytes() >= SEGMENTS_BEHIND_BYTES {
            self.write_segments()?;
        }
        Ok(())
    }

    /// Somebody waits: a sync shall begin at `by` at the latest.
    pub fn want_sync(&mut self, by: Millis) {
        if self.journal.durable() < self.journal.last() {
            self.sync.want_frame(self.journal.last(), by);
        }
    }

    /// Reads batches, see [`Partition::read`].
    ///
    /// # Errors
    /// [`LogError`].
    pub fn read(
        &mut self,
        index: PartitionIndex,
        offset: i64,
        bytes_max: u32,
        at_least_one: bool,
    ) -> Result<Option<Slice>, LogError> {
        let disk = self.disk.clone();
        match self.partitions.get_mut(index) {
            Some(partition) => {
                partition.read(&*disk, &mut self.rot, offset, bytes_max, at_least_one)
            }
            None => Err(LogError::OutOfRange),
        }
    }

    /// Finds a record by time, see [`Partition::record_at_time`].
    ///
    /// # Errors
    /// [`LogError`].
    pub fn record_at_time(
        &mut self,
        index: PartitionIndex,
        timestamp: i64,
        from: i64,
    ) -> Result<Option<Found>, LogError> {
        let disk = self.disk.clone();
        match self.partitions.get_mut(index) {
            Some(partition) => partition.record_at_time(&*disk, &mut self.rot, timestamp, from),
            None => Err(LogError::OutOfRange),
        }
    }

    /// What is rotten.
    pub fn rot(&self) -> &rot::Rot {
        &self.rot
    }

    /// The next gap that nobody was told of.
    pub fn take_untold_gap(&mut self) -> Option<rot::Gap> {
        self.rot.take_untold()
    }

    /// All partitions with their handles.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, &Partition)> {
        self.partitions.iter()
    }
}

/// Rounds a configured journal size to what the ring can have.
pub fn ring_bytes(journal_bytes: u64) -> u64 {
    journal_bytes.max(RING_BYTES_MIN).next_multiple_of(4096)
}
