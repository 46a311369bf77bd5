//! The log of one partition: its segments, its offsets, and finding a batch in it.
//!
//! ```text
//! log_start            high_watermark        log_end
//!     │  sealed  │ sealed │   active │············│        offsets
//!     ▼          ▼        ▼          ▼            ▼
//!  segments[0]  [1]      [2] = last; bytes known to the journal, synced up to the high watermark
//! ```
//!
//! A segment file is record batches back to back (magic 2, see `wire::batch`), as clients send
//! and fetch them; its format version is the batches' magic. How long it is, the coordinator file
//! and the journal say: bytes behind that are what a power cut left, and are overwritten.
//!
//! Promises: reads show nothing at or above the high watermark; a failed write leaves the log as
//! it was. Absent: deciding when something is durable (`Storage`), and deleting by age or size
//! (`retention`).

use super::index::Index;
use super::journal::Lsn;
use super::journal_frame::PartitionKey;
use super::layout;
pub use super::segment::LogError;
use super::segments::{Run, Segments};
use crate::disk::{Disk, DiskError, DiskResult, FileRef, Open};
use crate::limits::{PARTITION_BOOKMARKS, SEALED_DIRTY_MAX};
use crate::wire::batch::BatchHeader;
pub use append::How;
pub use by_time::Found;
use serde::{Deserialize, Serialize};

/// What is remembered of a segment, also in the coordinator file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Bytes that belong to the log.
    pub bytes: u32,
    /// Largest timestamp in it, milliseconds since 1970; `i64::MIN` when empty.
    pub max_timestamp: i64,
    /// Seconds on the store's clock at its first append.
    pub created_age_s: u32,
    /// Seconds on the store's clock at its last append.
    pub appended_age_s: u32,
}

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Base offset of the segment.
    pub segment_base: i64,
    /// Byte position in it.
    pub position: u32,
}

/// A run of whole batches to be sent from a file.
#[derive(Clone)]
pub struct Slice {
    /// The segment's file.
    pub file: FileRef,
    /// First byte.
    pub position: u32,
    /// How many bytes; 0 when there is nothing to read.
    pub bytes: u32,
    /// The first batch's header.
    pub first: BatchHeader,
    /// The offset behind the last record of the run.
    pub next_offset: i64,
}

struct OpenSegment {
    base_offset: i64,
    log: FileRef,
    index: Index,
    /// Bytes up to here have their space, or are not known to.
    reserved: u64,
    /// The file system can reserve space.
    reserves: bool,
}

/// One partition.
pub struct Partition {
    /// Its permanent name.
    pub key: PartitionKey,
    /// Its directory.
    pub dir: layout::Dir,
    /// First offset that is served.
    pub log_start: i64,
    /// Offset behind the last durable record.
    pub high_watermark: i64,
    /// Offset behind the last record.
    pub log_end: i64,
    /// Oldest first; the last one is written to.
    pub segments: Run,
    /// Segment and end position of the last durable record.
    pub high_place: Place,
    active: Option<OpenSegment>,
    sealed: Option<OpenSegment>,
    bookmarks: [(i64, Place); PARTITION_BOOKMARKS],
    bookmark_next: usize,
    /// Where this process began to append to a segment that was there before.
    fresh: Option<Place>,
    /// See [`Partition::last_append_time`]; `None` until somebody asked.
    append_time: Option<i64>,
    /// Bytes since the last checkpoint are in the active segment.
    pub dirty: bool,
    /// Segments sealed since the last checkpoint.
    pub sealed_dirty: heapless::Vec<FileRef, SEALED_DIRTY_MAX>,
    /// A segment's name is not durable yet.
    pub names_dirty: bool,
    /// The partition's own directory may not be durable yet.
    pub dir_dirty: bool,
    dir_exists: bool,
    /// The topic is deleted; this row stays until its files are gone.
    pub removed: bool,
    /// The frame that must be durable before the files of what was given up may go.
    pub given_up: Option<Lsn>,
}

/// Bytes that a segment can have at most, also where it cannot be sealed: positions are 32 bits.
const SEGMENT_BYTES_END: u64 = i32::MAX as u64;

const NOWHERE: (i64, Place) = (-1, Place { segment_base: -1, position: 0 });

impl Partition {
    /// An empty partition; its directory appears with its first record. `None` where the table
    /// of segments knows no more partitions.
    pub fn new(key: PartitionKey, topic: &str, segments: &Segments) -> Option<Partition> {
        Some(Partition {
            key,
            dir: layout::partition_dir(topic, key.partition),
            log_start: 0,
            high_watermark: 0,
            log_end: 0,
            segments: segments.run()?,
            high_place: NOWHERE.1,
            active: None,
            sealed: None,
            bookmarks: [NOWHERE; PARTITION_BOOKMARKS],
            bookmark_next: 0,
            fresh: None,
            append_time: None,
            dirty: false,
            sealed_dirty: heapless::Vec::new(),
            names_dirty: false,
            dir_dirty: false,
            dir_exists: false,
            removed: false,
            given_up: None,
        })
    }

    /// Gives up all segments and closes their files: the topic is deleted.
    pub fn remove(&mut self) {
        self.removed = true;
        (self.active, self.sealed, self.dirty) = (None, None, false);
        (self.names_dirty, self.dir_dirty) = (false, false);
        self.sealed_dirty.clear();
        self.segments.give_up_all();
    }

    /// Whether a segment can be begun: there is a row for it, and the one that is sealed can be
    /// remembered until the next checkpoint has synced it.
    pub fn can_roll(&self) -> bool {
        self.segments.has_room() && !self.sealed_dirty.is_full()
    }

    /// Whether the active segment cannot take `bytes` more, whatever its settings say.
    pub fn is_at_end(&self, bytes: usize) -> bool {
        self.segments.last().is_none_or(|active| {
            u64::from(active.bytes) + bytes as u64 > SEGMENT_BYTES_END
                || self.log_end - active.base_offset > i64::from(u32::MAX) / 2
        })
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.all().iter().map(|s| u64::from(s.bytes)).sum()
    }

    /// Where the next batch will begin.
    pub fn end_place(&self) -> Place {
        match self.segments.last() {
            Some(s) => Place { segment_base: s.base_offset, position: s.bytes },
            None => Place { segment_base: self.log_end, position: 0 },
        }
    }

    /// Everything in the log is durable: after recovery.
    pub fn all_durable(&mut self) {
        self.set_high_watermark(self.log_end, self.end_place());
    }

    /// Records up to `offset`, ending at `place`, are durable.
    pub fn set_high_watermark(&mut self, offset: i64, place: Place) {
        self.high_watermark = offset;
        self.high_place = place;
        self.bookmark(offset, place);
    }

    fn bookmark(&mut self, offset: i64, place: Place) {
        if self.bookmarks.iter().any(|(known, _)| *known == offset) {
            return;
        }
        self.bookmarks[self.bookmark_next] = (offset, place);
        self.bookmark_next = (self.bookmark_next + 1) % PARTITION_BOOKMARKS;
    }

    /// Whether a batch of `bytes` needs a new segment.
    pub fn must_roll(&self, bytes: usize, segment_bytes: u32, segment_s: u32, age_s: u32) -> bool {
        let Some(active) = self.segments.last() else { return true };
        let too_large = u64::from(active.bytes) + bytes as u64 > u64::from(segment_bytes);
        let too_old = age_s.saturating_sub(active.created_age_s) >= segment_s;
        let too_far = self.log_end - active.base_offset > i64::from(u32::MAX) / 2;
        active.bytes > 0 && (too_large || too_old || too_far)
    }

    /// Seals the active segment and begins one at the log's end.
    ///
    /// # Errors
    /// What the disk said; the log is as before.
    pub fn roll(&mut self, disk: &dyn Disk, age_s: u32) -> DiskResult<()> {
        if !self.dir_exists {
            disk.create_dir(layout::TOPICS)?;
            disk.create_dir(&self.dir)?;
            self.dir_exists = true;
            self.dir_dirty = true;
        }
        let base_offset = self.log_end;
        let log = disk.open(&layout::segment_file(&self.dir, base_offset), Open::CreateEmpty)?;
        let reserved = self.segments.step();
        let reserves = log.reserve(0, reserved)?;
        self.names_dirty = true;
        let index_path = layout::index_file(&self.dir, base_offset);
        disk.remove_file(&index_path)?;
        let index = Index::open(disk, &index_path, base_offset, 0);
        if self.dirty || self.active.is_some() {
            self.seal_active(disk)?;
        }
        let room = self.segments.push(Segment {
            base_offset,
            bytes: 0,
            max_timestamp: i64::MIN,
            created_age_s: age_s,
            appended_age_s: age_s,
        });
        debug_assert!(room, "the caller asked can_roll");
        // All that will be in it is written by this process.
        self.segments.set_checked(self.segments.len() - 1, u32::MAX);
        self.active = Some(OpenSegment { base_offset, log, index, reserved, reserves });
        Ok(())
    }

    fn seal_active(&mut self, disk: &dyn Disk) -> DiskResult<()> {
        let Some(last) = self.segments.last() else { return Ok(()) };
        let open = self.open_active(disk)?;
        // Gives back what was reserved behind the end; failing at that costs space, not data.
        open.log.set_length(u64::from(last.bytes)).ok();
        let log = open.log.clone();
        if self.dirty
            && let Err(log) = self.sealed_dirty.push(log)
        {
            // Only while the journal is replayed: nobody waits for this sync.
            log.sync()?;
        }
        self.dirty = false;
        self.sealed = self.active.take();
        Ok(())
    }

    fn open_active(&mut self, disk: &dyn Disk) -> DiskResult<&mut OpenSegment> {
        if self.active.is_none() {
            let last = self.segments.last().ok_or(DiskError::NotFound)?;
            let open = open_segment(disk, &self.dir, &last, Open::Write)?;
            // What lies behind the log's end was never acknowledged; what is missing in front of
            // it becomes zeros, which are no batches.
            if open.log.length()? != u64::from(last.bytes) {
                open.log.set_length(u64::from(last.bytes))?;
            }
            self.dir_exists = true;
            self.active = Some(open);
        }
        self.active.as_mut().ok_or(DiskError::NotFound)
    }

    /// The file that must be synced for the active segment to be durable.
    ///
    /// # Errors
    /// What the disk said.
    pub fn active_file(&mut self, disk: &dyn Disk) -> DiskResult<FileRef> {
        Ok(self.open_active(disk)?.log.clone())
    }

    /// Gives up the segments that lie wholly before the log's start; says whether there were any.
    /// Their files can be removed by [`Partition::take_given_up`].
    pub fn drop_before_start(&mut self) -> bool {
        let mut any = false;
        while let Some(first) = self.segments.first() {
            let next = self.segments.get(1).map_or(self.log_end, |s| s.base_offset);
            let last = self.segments.len() == 1;
            if next > self.log_start || (last && first.bytes == 0) {
                break;
            }
            any = true;
            if last {
                self.active = None;
                self.dirty = false;
                self.high_place = Place { segment_base: self.log_end, position: 0 };
            }
            if self.sealed.as_ref().is_some_and(|open| open.base_offset == first.base_offset) {
                self.sealed = None;
            }
            self.segments.give_up_first();
        }
        any
    }

    /// The base offset of a segment whose files are to be removed now; it is forgotten.
    pub fn take_given_up(&mut self) -> Option<i64> {
        self.segments.take_given_up().map(|segment| segment.base_offset)
    }
}

fn open_segment(disk: &dyn Disk, dir: &str, s: &Segment, mode: Open) -> DiskResult<OpenSegment> {
    let log = disk.open(&layout::segment_file(dir, s.base_offset), mode)?;
    let index = Index::open(disk, &layout::index_file(dir, s.base_offset), s.base_offset, s.bytes);
    let (base_offset, reserved) = (s.base_offset, u64::from(s.bytes));
    Ok(OpenSegment { base_offset, log, index, reserved, reserves: false })
}

mod append;
mod append_time;
mod by_time;
mod read;
mod restore;
#[cfg(test)]
mod rot_tests;
#[cfg(test)]
mod tests;
