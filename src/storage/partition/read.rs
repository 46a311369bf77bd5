//! Reading a partition's log: from an offset to batches, past what is rotten.
//!
//! A walk goes from batch to batch and knows at each place which offset must begin there, so that
//! it sees where the chain is broken. A reader at a gap goes on behind it: the offsets stay, and
//! clients know such logs from compaction.
//!
//! Promises: what is returned was checked since this process started, or written by it (see
//! `rot`); a reader in front of a gap is never stuck. The first read of a segment costs its CRCs,
//! as far as `scrub` was not there before; later ones cost nothing.

use super::{OpenSegment, Partition, Place, Slice, open_segment};
use crate::disk::{Disk, DiskResult, Open};
use crate::limits::ROT_CHECK_BYTES_MAX;
use crate::storage::rot::{Checked, Gap, Rot, Stretch, is_loss};
use crate::storage::scrub;
use crate::storage::segment::{LogError, Window, read_header};
use crate::wire::batch::BatchHeader;

/// Where a walk stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// Which segment.
    pub(super) at: usize,
    pub(super) position: u32,
    /// The offset that must begin there.
    pub(super) expected: i64,
    /// The place comes from the index or a bookmark, and is not proved yet.
    hinted: bool,
    /// The batch from which it came here.
    before: Option<(u32, i64)>,
}

impl Walk {
    pub(super) fn begin(at: usize, position: u32, expected: i64, hinted: bool) -> Walk {
        Walk { at, position, expected, hinted, before: None }
    }

    /// On to the next batch.
    pub(super) fn step(&mut self, header: &BatchHeader) {
        self.before = Some((self.position, self.expected));
        self.position += header.total_bytes as u32;
        self.expected = header.next_offset();
    }

    pub(super) fn pass(&mut self, gap: &Gap) {
        (self.position, self.expected, self.before) = (gap.end, gap.next, None);
    }
}

impl Partition {
    fn segment_at(&self, offset: i64) -> Option<usize> {
        self.segments.all().partition_point(|s| s.base_offset <= offset).checked_sub(1)
    }

    pub(super) fn open_at(&mut self, disk: &dyn Disk, at: usize) -> DiskResult<&mut OpenSegment> {
        use crate::disk::DiskError::NotFound;
        if at + 1 == self.segments.len() {
            return self.open_active(disk);
        }
        let segment = self.segments.get(at).ok_or(NotFound)?;
        if self.sealed.as_ref().is_none_or(|open| open.base_offset != segment.base_offset) {
            self.sealed = Some(open_segment(disk, &self.dir, &segment, Open::Read)?);
        }
        self.sealed.as_mut().ok_or(NotFound)
    }

    /// Bytes of segment `at` that may be read: all, or up to the high watermark.
    pub(super) fn readable(&self, at: usize) -> u32 {
        let Some(segment) = self.segments.get(at) else { return 0 };
        match segment.base_offset.cmp(&self.high_place.segment_base) {
            core::cmp::Ordering::Less => segment.bytes,
            core::cmp::Ordering::Equal => self.high_place.position,
            core::cmp::Ordering::Greater => 0,
        }
    }

    /// The offset behind what may be read of segment `at`.
    fn readable_next(&self, at: usize) -> i64 {
        let following = self.segments.get(at + 1).map(|s| s.base_offset);
        following.unwrap_or(i64::MAX).min(self.high_watermark)
    }

    fn is_checked(&self, at: usize, from: u32, to: u32) -> bool {
        let base = self.segments.get(at).map(|s| s.base_offset);
        let fresh = self.fresh.is_some_and(|p| Some(p.segment_base) == base && p.position <= from);
        fresh || to <= self.segments.checked(at)
    }

    /// What lies in `from..to` of segment `at` was checked.
    fn note_checked(&mut self, at: usize, from: u32, to: u32) {
        let (known, base) = (self.segments.checked(at), self.segments.get(at));
        if from > known || to <= known {
            return;
        }
        let meets_fresh = self.fresh.is_some_and(|fresh| {
            base.is_some_and(|s| s.base_offset == fresh.segment_base) && to >= fresh.position
        });
        // From there on everything was written by this process.
        self.segments.set_checked(at, if meets_fresh { u32::MAX } else { to });
    }

    /// Measures the gap at a place and keeps it.
    pub(super) fn find_gap(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        at: usize,
        position: u32,
        first: i64,
    ) -> Result<Gap, LogError> {
        let segment = self.segments.get(at).ok_or(LogError::OutOfRange)?;
        let (key, limit, next) = (self.key, self.readable(at), self.readable_next(at));
        let log = match self.open_at(disk, at) {
            Ok(open) => Some(open.log.clone()),
            Err(error) if is_loss(error) => None,
            Err(error) => return Err(error.into()),
        };
        let segment_base = segment.base_offset;
        let stretch = Stretch { log: log.as_ref(), key, segment_base, limit, next };
        let gap = rot.measure(&stretch, position, first)?;
        if rot.note(gap) {
            self.note_checked(at, position, gap.end);
        }
        Ok(gap)
    }

    /// The header of the batch where the walk stands, after what is rotten was passed; `None` at
    /// the end of what may be read of the segment.
    pub(super) fn look(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        walk: &mut Walk,
    ) -> Result<Option<BatchHeader>, LogError> {
        let base_offset = self.segments.get(walk.at).ok_or(LogError::OutOfRange)?.base_offset;
        loop {
            let limit = self.readable(walk.at);
            if walk.position >= limit {
                return Ok(None);
            }
            if let Some(gap) = rot.gap_at(self.key, base_offset, walk.position) {
                walk.pass(&gap);
                continue;
            }
            let found = match self.open_at(disk, walk.at) {
                Ok(open) => read_header(&open.log, walk.position, limit),
                Err(error) => Err(error.into()),
            };
            match found {
                Ok(header) if header.base_offset == walk.expected => {
                    walk.hinted = false;
                    return Ok(Some(header));
                }
                Err(LogError::Disk(error)) if !is_loss(error) => return Err(error.into()),
                _ if walk.hinted => {
                    // The index or a bookmark led astray: from the segment's start, once.
                    if let Ok(open) = self.open_at(disk, walk.at) {
                        open.index.clear();
                    }
                    *walk = Walk::begin(walk.at, 0, base_offset, false);
                }
                _ => {
                    let gap = self.broken_link(disk, rot, walk)?;
                    walk.pass(&gap);
                }
            }
        }
    }

    /// The gap where the chain is broken: the batch where the walk stands is not the one that the
    /// batch before it announced, so one of the two is rotten.
    fn broken_link(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        walk: &Walk,
    ) -> Result<Gap, LogError> {
        if let Some((position, first)) = walk.before {
            let log = self.open_at(disk, walk.at)?.log.clone();
            if !rot.check(&log, position, walk.position, first)?.all {
                return self.find_gap(disk, rot, walk.at, position, first);
            }
        }
        self.find_gap(disk, rot, walk.at, walk.position, walk.expected)
    }

    /// A walk that begins at or before the batch that holds `offset`, in segment `at`.
    fn walk_to(&mut self, disk: &dyn Disk, at: usize, offset: i64) -> Walk {
        let base = self.segments.get(at).map_or(0, |s| s.base_offset);
        let limit = self.readable(at);
        let bookmark = self.bookmarks.iter().find(|(known, place)| {
            *known == offset && place.segment_base == base && place.position < limit
        });
        if let Some((_, place)) = bookmark {
            return Walk::begin(at, place.position, offset, true);
        }
        let start = Walk::begin(at, 0, base, false);
        let Ok(open) = self.open_at(disk, at) else { return start };
        let entry = open.index.last_where(|e| i64::from(e.relative_offset) <= offset - base);
        let expected = base + i64::from(entry.relative_offset);
        Walk::begin(at, entry.position, expected, entry.position > 0)
    }

    /// Finds the batch that holds `offset`, or else the first one behind it; `None` where there
    /// is none that may be read.
    fn locate(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        offset: i64,
    ) -> Result<Option<(Walk, BatchHeader)>, LogError> {
        for at in self.segment_at(offset).unwrap_or(0)..self.segments.len() {
            if self.readable(at) == 0 {
                continue;
            }
            let mut walk = self.walk_to(disk, at, offset);
            while let Some(header) = self.look(disk, rot, &mut walk)? {
                if header.next_offset() > offset {
                    return Ok(Some((walk, header)));
                }
                walk.step(&header);
            }
        }
        Ok(None)
    }

    /// The batches from the one that holds `offset` on, whole ones only, up to `bytes_max` bytes,
    /// but at least the first if `at_least_one`; where that one is lost, from the next on. `None`
    /// when `offset` is the high watermark, or nothing that is sound follows.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] outside the log, or what the disk said.
    pub fn read(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        offset: i64,
        bytes_max: u32,
        at_least_one: bool,
    ) -> Result<Option<Slice>, LogError> {
        if offset < self.log_start || offset > self.high_watermark {
            return Err(LogError::OutOfRange);
        }
        let mut offset = offset;
        while offset < self.high_watermark {
            let Some((walk, first)) = self.locate(disk, rot, offset)? else { break };
            let (end, next_offset) =
                self.extent(disk, rot, &walk, &first, bytes_max, at_least_one)?;
            let checked = self.sound(disk, rot, &walk, end, next_offset)?;
            if end > walk.position && checked.end == walk.position {
                // Even the first one is not sound.
                let gap = self.find_gap(disk, rot, walk.at, walk.position, walk.expected)?;
                offset = offset.max(gap.next);
                continue;
            }
            let position = walk.position;
            let place = Place { segment_base: self.base_of(walk.at), position: checked.end };
            if checked.end < self.readable(walk.at) {
                self.bookmark(checked.next, place);
            } else if let Some(next) = self.segments.get(walk.at + 1) {
                let start = Place { segment_base: next.base_offset, position: 0 };
                self.bookmark(next.base_offset, start);
            }
            let file = self.open_at(disk, walk.at)?.log.clone();
            let bytes = checked.end - position;
            return Ok(Some(Slice { file, position, bytes, first, next_offset: checked.next }));
        }
        Ok(None)
    }

    pub(super) fn base_of(&self, at: usize) -> i64 {
        self.segments.get(at).map_or(-1, |segment| segment.base_offset)
    }

    /// How far an answer may go that begins with the batch `first`, where the walk stands: the
    /// byte behind its last batch, and the offset behind that.
    fn extent(
        &mut self,
        disk: &dyn Disk,
        rot: &Rot,
        walk: &Walk,
        first: &BatchHeader,
        bytes_max: u32,
        at_least_one: bool,
    ) -> Result<(u32, i64), LogError> {
        let (position, limit) = (walk.position, self.readable(walk.at));
        let first_bytes = first.total_bytes as u32;
        let mut wanted = if at_least_one { bytes_max.max(first_bytes) } else { bytes_max };
        if !self.is_checked(walk.at, position, position.saturating_add(wanted).min(limit)) {
            wanted = wanted.min(ROT_CHECK_BYTES_MAX.max(first_bytes));
        }
        let whole = (limit, self.readable_next(walk.at));
        let (end, next) = if wanted < limit - position {
            self.boundary(disk, walk, position + wanted)?
        } else {
            whole
        };
        // A file system check may have cut the file off: nobody is promised bytes that are not
        // there, though they were checked before.
        let is_sealed = walk.at + 1 < self.segments.len();
        let there = if is_sealed { self.open_at(disk, walk.at)?.log.length()? } else { u64::MAX };
        if u64::from(end) > there {
            self.segments.set_checked(walk.at, self.segments.checked(walk.at).min(there as u32));
        }
        // Behind a segment's last batch the next segment begins; before that a gap may.
        match rot.gap_in(self.key, self.base_of(walk.at), position, end) {
            Some(gap) => Ok((gap.position, gap.first)),
            None => Ok((end, next)),
        }
    }

    /// The batches from where the walk stands to `end`, as far as they are sound. `next` is the
    /// offset behind them.
    pub(super) fn sound(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        walk: &Walk,
        end: u32,
        next: i64,
    ) -> Result<Checked, LogError> {
        let all = Checked { end, next, all: true };
        if self.is_checked(walk.at, walk.position, end) {
            return Ok(all);
        }
        let log = self.open_at(disk, walk.at)?.log.clone();
        let checked = rot.check(&log, walk.position, end, walk.expected)?;
        self.note_checked(walk.at, walk.position, checked.end);
        Ok(checked)
    }

    /// The last batch boundary that is not behind `to`, from where the walk stands, and the offset
    /// that begins there.
    fn boundary(&mut self, disk: &dyn Disk, walk: &Walk, to: u32) -> Result<(u32, i64), LogError> {
        let (from, limit, base) = (walk.position, self.readable(walk.at), self.base_of(walk.at));
        let open = self.open_at(disk, walk.at)?;
        let entry = open.index.last_where(|e| e.position <= to);
        let mut window = Window::new(&open.log, limit);
        let (mut position, mut expected) = (from, walk.expected);
        let offset = base + i64::from(entry.relative_offset);
        if entry.position >= from
            && window.header(entry.position).is_ok_and(|header| header.base_offset == offset)
        {
            (position, expected) = (entry.position, offset);
            if position > from && position - from >= (to - from) / 4 * 3 {
                // As good as what was asked for: no walk to get the rest.
                return Ok((position, expected));
            }
        }
        while position < limit {
            // What stands in front of what is no batch can be served all the same.
            let Ok(header) = window.header(position) else { break };
            let end = position + header.total_bytes as u32;
            if header.base_offset != expected || end > to {
                break;
            }
            (position, expected) = (end, header.next_offset());
        }
        Ok((position, expected))
    }

    /// Checks some `bytes_max` bytes more from a place on, whatever was checked before, and at
    /// least one batch. Returns where to go on and how many bytes were read; `None` behind the
    /// last segment. What the disk refuses otherwise than by losing it is left for the next pass.
    pub fn scrub(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        place: scrub::Place,
        bytes_max: u32,
    ) -> Option<(scrub::Place, u32)> {
        let at = self.segments.all().partition_point(|s| s.base_offset < place.segment_base);
        let segment_base = self.segments.get(at)?.base_offset;
        let mut walk = Walk::begin(at, 0, segment_base, false);
        if segment_base == place.segment_base && place.position > 0 {
            (walk.position, walk.expected) = (place.position, place.expected);
        }
        let following = scrub::Place {
            segment_base: segment_base.saturating_add(1),
            position: 0,
            expected: 0,
            ..place
        };
        let Ok(Some(header)) = self.look(disk, rot, &mut walk) else { return Some((following, 0)) };
        let from = walk.position;
        let to = from.saturating_add(bytes_max.max(header.total_bytes as u32));
        let Ok((end, _)) = self.boundary(disk, &walk, to) else { return Some((following, 0)) };
        let Ok(log) = self.open_at(disk, at).map(|open| open.log.clone()) else {
            return Some((following, 0));
        };
        if at + 1 < self.segments.len() {
            log.forget(u64::from(from), u64::from(end - from));
        }
        let Ok(checked) = rot.check(&log, from, end, walk.expected) else {
            return Some((following, 0));
        };
        self.note_checked(at, from, checked.end);
        (walk.position, walk.expected) = (checked.end, checked.next);
        if !checked.all {
            match self.find_gap(disk, rot, at, checked.end, checked.next) {
                Ok(gap) => walk.pass(&gap),
                Err(_) => return Some((following, end - from)),
            }
        }
        let Walk { position, expected, .. } = walk;
        Some((scrub::Place { segment_base, position, expected, ..place }, end - from))
    }
}
