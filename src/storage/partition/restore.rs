//! The part of a partition that recovery needs: what the journal has goes back into the segments.
//!
//! Promises: what stands in a segment already is not written again; files that a power cut took
//! are made anew. Absent: reading the journal (`recovery`), and deciding what is to be believed.

use super::{Open, Partition, Place, Segment, open_segment};
use crate::disk::{Disk, DiskError, DiskResult, FileRef};
use crate::storage::layout;
use crate::storage::segment::{read_batch, read_header};
use crate::wire::batch::{BatchHeader, check_stored};

/// Whether these bytes are there already, looked at in pieces.
fn stands_at(log: &FileRef, bytes: &[u8], at: u64) -> bool {
    let mut there = [0; 4096];
    bytes.chunks(there.len()).zip(0_u64..).all(|(piece, number)| {
        let there = &mut there[..piece.len()];
        log.read_exact_at(there, at + number * 4096).is_ok() && there == piece
    })
}

impl Partition {
    /// A copy from the journal: makes sure that the batch `bytes` stands at `place`, creating the
    /// segment if the power cut took it. `None` means that the bytes are there already. `anew`
    /// writes also what seems to be there.
    ///
    /// # Errors
    /// What the disk said.
    pub fn restore(
        &mut self,
        disk: &dyn Disk,
        place: Place,
        header: &BatchHeader,
        bytes: Option<&[u8]>,
        age_s: u32,
        anew: bool,
    ) -> DiskResult<()> {
        if self.segments.last().is_none_or(|s| s.base_offset < place.segment_base) {
            if self.active.is_some() || self.dirty {
                match self.seal_active(disk) {
                    // A batch that only the segment had, and the segment was deleted before the
                    // power cut: the frame that moved the log's start comes later.
                    Err(DiskError::NotFound) => (self.active, self.dirty) = (None, false),
                    other => other?,
                }
            }
            if !self.segments.has_room() {
                return Err(DiskError::NoSpace);
            }
            self.make_segment_file(disk, place.segment_base)?;
            self.segments.push(Segment {
                base_offset: place.segment_base,
                bytes: place.position,
                max_timestamp: i64::MIN,
                created_age_s: age_s,
                appended_age_s: age_s,
            });
        }
        if let Some(bytes) = bytes {
            let log = self.open_log(disk)?;
            if anew || !stands_at(&log, bytes, u64::from(place.position)) {
                log.write_at(&[bytes], u64::from(place.position))?;
            }
            // Before an index takes the last block.
            self.open_for_restore(disk)?;
        }
        self.note_appended(place, header, age_s);
        Ok(())
    }

    /// Takes up whole batches that stand behind the log's end without a gap, as long as they
    /// begin before `until`, and returns their headers: for recovery, where the journal's frames
    /// are lost but the segment may still have what they carried.
    pub fn adopt_behind_end(&mut self, disk: &dyn Disk, until: i64) -> Vec<BatchHeader> {
        let mut adopted = Vec::new();
        let mut buffer = Vec::new();
        let Some(last) = self.segments.last() else { return adopted };
        let path = layout::segment_file(&self.dir, last.base_offset);
        let Ok(log) = disk.open(&path, Open::Read) else { return adopted };
        let length = u32::try_from(log.length().unwrap_or(0)).unwrap_or(u32::MAX);
        let mut position = last.bytes;
        while let Ok(header) = read_header(&log, position, length) {
            let whole = read_batch(&log, position, &header, &mut buffer).is_ok()
                && check_stored(&buffer).is_ok();
            if !whole || header.base_offset != self.log_end || header.base_offset >= until {
                break;
            }
            let place = Place { segment_base: last.base_offset, position };
            self.note_appended(place, &header, last.appended_age_s);
            position += header.total_bytes as u32;
            adopted.push(header);
        }
        adopted
    }

    /// Takes up the segment that begins at the log's end, if there is a file of that name with a
    /// batch that does; whether there was, and room for it.
    pub fn adopt_next_segment(&mut self, disk: &dyn Disk, age_s: u32, anywhere: bool) -> bool {
        let base_offset = self.log_end;
        let is_later = match self.segments.last() {
            Some(last) => last.base_offset < base_offset,
            None => anywhere,
        };
        let path = layout::segment_file(&self.dir, base_offset);
        let begins = || {
            let log = disk.open(&path, Open::Read).ok()?;
            let header = read_header(&log, 0, u32::MAX).ok()?;
            Some(header.base_offset == base_offset)
        };
        if !is_later || begins() != Some(true) {
            return false;
        }
        self.segments.push(Segment {
            base_offset,
            bytes: 0,
            max_timestamp: i64::MIN,
            created_age_s: age_s,
            appended_age_s: age_s,
        })
    }

    /// Room for records: removes the indexes, which are caches.
    pub fn give_up_indexes(&mut self, disk: &dyn Disk) {
        (self.active, self.sealed) = (None, None);
        for segment in self.segments.all().iter() {
            disk.remove_file(&layout::index_file(&self.dir, segment.base_offset)).ok();
        }
    }

    /// Makes the last segment durable.
    ///
    /// # Errors
    /// What the disk said.
    pub fn sync_last(&mut self, disk: &dyn Disk) -> DiskResult<()> {
        self.open_for_restore(disk)?.sync()
    }

    fn make_segment_file(&mut self, disk: &dyn Disk, base_offset: i64) -> DiskResult<()> {
        disk.create_dir(layout::TOPICS)?;
        disk.create_dir(&self.dir)?;
        self.dir_exists = true;
        self.dir_dirty = true;
        self.names_dirty = true;
        disk.open(&layout::segment_file(&self.dir, base_offset), Open::CreateOrKeep)?;
        Ok(())
    }

    /// The newest segment's file, whether or not it is open as a whole.
    fn open_log(&mut self, disk: &dyn Disk) -> DiskResult<FileRef> {
        if let Some(open) = &self.active {
            return Ok(open.log.clone());
        }
        let base_offset = self.segments.last().ok_or(DiskError::NotFound)?.base_offset;
        let path = layout::segment_file(&self.dir, base_offset);
        match disk.open(&path, Open::Write) {
            Err(DiskError::NotFound) => {
                self.make_segment_file(disk, base_offset)?;
                disk.open(&path, Open::Write)
            }
            other => other,
        }
    }

    fn open_for_restore(&mut self, disk: &dyn Disk) -> DiskResult<FileRef> {
        if self.active.is_none() {
            self.open_log(disk)?;
            let last = self.segments.last().ok_or(DiskError::NotFound)?;
            let open = open_segment(disk, &self.dir, &last, Open::Write)?;
            self.active = Some(open);
        }
        Ok(self.active.as_ref().ok_or(DiskError::NotFound)?.log.clone())
    }

    /// A log that was told to start behind its end, for rot took the records in between: it goes on
    /// at its start, or what is appended next would lie in front of it. The offsets that are lost.
    pub fn go_on_at_start(&mut self) -> Option<(i64, i64)> {
        let lost = (self.log_end, self.log_start - 1);
        (lost.0 <= lost.1).then(|| {
            self.log_end = self.log_start;
            lost
        })
    }

    /// Cuts off what lies behind the end of the last segment: after recovery, once per partition
    /// that the journal named.
    ///
    /// # Errors
    /// What the disk said.
    pub fn cut_tail(&mut self, disk: &dyn Disk) -> DiskResult<()> {
        self.active = None;
        if self.segments.is_empty() { Ok(()) } else { self.open_active(disk).map(|_| ()) }
    }
}
