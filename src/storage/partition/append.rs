//! How a batch gets into a log.
//!
//! Promises: a write that failed leaves the log as it was; space is found before anything is
//! written. Absent: frames of the journal, and when bytes are durable (`Storage`).

use super::{OpenSegment, Partition, Place};
use crate::disk::{Disk, DiskError, DiskResult};
use crate::storage::index::Entry;
use crate::storage::quota::{begin_overhead, with_overhead};
use crate::wire::batch::{BatchHeader, HEADER_BYTES, Stamped};
use core::ops::Range;

/// When a batch's bytes get into the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Now.
    Now,
    /// Later, if their space is certain: the caller has them.
    Later,
    /// They are there: see [`Partition::write_ahead`].
    There,
}

impl Partition {
    /// Puts a batch at the log's end, into the active segment. Returns whether its bytes are left
    /// to be written with [`Partition::write`].
    ///
    /// # Errors
    /// What the disk said; the log is as before.
    pub fn append(
        &mut self,
        disk: &dyn Disk,
        batch: &Stamped<'_>,
        header: &BatchHeader,
        age_s: u32,
        how: How,
    ) -> DiskResult<(Place, bool)> {
        let segment = self.segments.last().ok_or(DiskError::NotFound)?;
        let later = how == How::Later && self.reserve(disk, batch.len())?.reserves;
        if how != How::There && !later {
            self.write_ahead(disk, batch, 0..batch.len())?;
        }
        let place = Place { segment_base: segment.base_offset, position: segment.bytes };
        self.note_appended(place, header, age_s);
        Ok((place, later))
    }

    /// Bytes that an append of `bytes` takes of the disk, at most.
    pub fn growth(&self, bytes: usize, rolls: bool) -> u64 {
        let (bytes, step) = (bytes as u64, self.segments.step());
        if rolls {
            return with_overhead(bytes.next_multiple_of(step)) + begin_overhead(self.dir_exists);
        }
        let end = self.segments.last().map_or(0, |last| u64::from(last.bytes));
        let reserved = self.active.as_ref().map_or(end, |open| open.reserved);
        if end + bytes <= reserved {
            return 0;
        }
        with_overhead((end + bytes).next_multiple_of(step).saturating_sub(reserved))
    }

    /// Reserves space for so many bytes behind the log's end.
    fn reserve(&mut self, disk: &dyn Disk, bytes: usize) -> DiskResult<&mut OpenSegment> {
        let end = u64::from(self.segments.last().ok_or(DiskError::NotFound)?.bytes);
        let step = self.segments.step();
        let open = self.open_active(disk)?;
        if end + bytes as u64 > open.reserved {
            let ahead = (end + bytes as u64).next_multiple_of(step);
            open.reserves = open.log.reserve(end, ahead - end)?;
            open.reserved = ahead;
        }
        Ok(open)
    }

    /// Writes these bytes of a batch to where it belongs behind the log's end. It is no part of it.
    ///
    /// # Errors
    /// What the disk said.
    pub fn write_ahead(
        &mut self,
        disk: &dyn Disk,
        batch: &Stamped<'_>,
        range: Range<usize>,
    ) -> DiskResult<()> {
        let end = self.segments.last().ok_or(DiskError::NotFound)?.bytes;
        let log = &self.reserve(disk, batch.len())?.log;
        let [head, rest] = batch.parts();
        let head = &head[range.start.min(HEADER_BYTES)..range.end.min(HEADER_BYTES)];
        let behind = |at: usize| at.saturating_sub(HEADER_BYTES);
        let rest = &rest[behind(range.start)..behind(range.end)];
        log.write_at(&[head, rest], u64::from(end) + range.start as u64)
    }

    /// Writes the bytes of batches that were appended before, into the active segment.
    ///
    /// # Errors
    /// What the disk said.
    pub fn write(&mut self, disk: &dyn Disk, parts: &[&[u8]], position: u32) -> DiskResult<()> {
        self.open_active(disk)?.log.write_at(parts, u64::from(position))
    }

    /// Takes up a batch that lies at `place`, at the end of the last segment.
    pub fn note_appended(&mut self, place: Place, header: &BatchHeader, age_s: u32) {
        let Some(mut segment) = self.segments.last() else { return };
        if let Some(open) = &mut self.active
            && open.index.wants(place.position)
        {
            open.index.add(Entry {
                relative_offset: (header.base_offset - segment.base_offset) as u32,
                position: place.position,
                max_timestamp_before: segment.max_timestamp,
            });
        }
        segment.bytes = place.position + header.total_bytes as u32;
        segment.max_timestamp = segment.max_timestamp.max(header.max_timestamp);
        segment.appended_age_s = age_s;
        if header.is_log_append_time() {
            self.append_time = Some(header.max_timestamp);
        } else if self.append_time.is_some() {
            self.append_time = Some(i64::MIN);
        }
        self.segments.change_last(|last| *last = segment);
        self.log_end = header.next_offset();
        self.dirty = true;
    }
}
