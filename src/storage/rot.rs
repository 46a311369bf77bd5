//! Rot: what of a segment is not what was written there, and the check that finds it.
//!
//! A log is a chain: each batch begins where the one before it ends, with the offset behind its
//! last record. So every byte of a segment is vouched for: a batch's CRC covers all of it but its
//! base offset, its length and its leader epoch; the first two are what the chain says, the third
//! is always the same. Where a link does not hold, the bytes from there to the next batch that
//! does are a [`Gap`]: its records are gone, nothing else is.
//!
//! The next batch is where the bad one's own length says, if one stands there; else it is looked
//! for byte by byte. A batch inside a record's value is not taken for one of the log's: the chain
//! that begins with it does not lead to the segment's end.
//!
//! Promises: [`Rot::check`] calls nothing sound that is not, whatever the bytes are; a gap is told
//! once, and is never empty. Memory is one buffer and one list; where the list is full a gap is
//! found again by each who comes by. Absent: deciding when to check (`partition::read`, `scrub`).

use super::journal_frame::PartitionKey;
use super::segment::Window;
use crate::disk::{DiskError, FileRef};
use crate::fixed::{self, List};
use crate::limits::{ROT_BUFFER_BYTES, ROT_GAPS_MAX};
use crate::wire::batch::{self, BatchHeader, HEADER_BYTES};

/// The leader epoch of every partition and every stored batch, for ever: there is one node, and no
/// epoch ever goes back (Java ignores metadata with an older epoch than it has seen).
pub const LEADER_EPOCH: i32 = 0;

/// Bytes of a device's block: what an unreadable place is passed over by.
const BLOCK_BYTES: u32 = 4096;

/// Records that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Of which partition.
    pub key: PartitionKey,
    /// In which segment.
    pub segment_base: i64,
    /// The first byte that cannot be trusted.
    pub position: u32,
    /// Where the log goes on.
    pub end: u32,
    /// The first offset that is lost.
    pub first: i64,
    /// The offset behind the last one that is lost.
    pub next: i64,
}

/// A piece of a log: where it is, how far it may be read, and what follows behind that.
#[derive(Clone, Copy)]
pub struct Stretch<'a> {
    /// The segment's file; `None` where it is gone.
    pub log: Option<&'a FileRef>,
    /// The partition.
    pub key: PartitionKey,
    /// The segment.
    pub segment_base: i64,
    /// Bytes of the segment that belong to the log.
    pub limit: u32,
    /// The offset that follows behind `limit`.
    pub next: i64,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Everything before this is sound.
    pub end: u32,
    /// The offset that begins there.
    pub next: i64,
    /// All that was asked for is sound.
    pub all: bool,
}

/// The gaps that are known, and the room for looking.
pub struct Rot {
    buffer: Box<[u8]>,
    gaps: List<Gap>,
    untold: usize,
    further: u64,
    /// The last one for which the list had no room: whoever found it goes on behind it.
    passing: Option<Gap>,
}

/// An answer of the disk that means that the bytes are gone, not that they could not be asked for.
pub const fn is_loss(error: DiskError) -> bool {
    matches!(error, DiskError::Io | DiskError::UnexpectedEnd | DiskError::NotFound)
}

/// Reads what is there at `at`; a second try where the device fails. 0: nothing can be read.
fn fill(log: &FileRef, buffer: &mut [u8], at: u32) -> Result<usize, DiskError> {
    match log.read_twice(buffer, u64::from(at)) {
        Err(error) if is_loss(error) => Ok(0),
        other => other,
    }
}

impl Rot {
    /// Nothing is known.
    pub fn new() -> Rot {
        Rot {
            buffer: fixed::bytes(ROT_BUFFER_BYTES),
            gaps: List::new(ROT_GAPS_MAX),
            untold: 0,
            further: 0,
            passing: None,
        }
    }

    /// Bytes that it takes.
    pub const fn memory() -> usize {
        ROT_BUFFER_BYTES + List::<Gap>::memory(ROT_GAPS_MAX)
    }

    /// The gaps that are known, in the order in which they were found.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// How often a gap was met that had no room in the list.
    pub fn further(&self) -> u64 {
        self.further
    }

    /// The known gap that begins at a place.
    pub fn gap_at(&self, key: PartitionKey, segment_base: i64, position: u32) -> Option<Gap> {
        let is_it = |g: &&Gap| (g.key, g.segment_base, g.position) == (key, segment_base, position);
        self.gaps.iter().chain(&self.passing).find(is_it).copied()
    }

    /// The first known gap that begins in `from..to` of a segment.
    pub fn gap_in(&self, key: PartitionKey, segment_base: i64, from: u32, to: u32) -> Option<Gap> {
        let inside = |g: &&Gap| {
            g.key == key && g.segment_base == segment_base && (from..to).contains(&g.position)
        };
        self.gaps.iter().filter(inside).min_by_key(|gap| gap.position).copied()
    }

    /// Keeps a gap; whether it had room, or was known.
    pub fn note(&mut self, gap: Gap) -> bool {
        if self.gaps.contains(&gap) {
            return true;
        }
        let kept = self.gaps.push(gap).is_ok();
        if !kept {
            self.further += 1;
            self.passing = Some(gap);
        }
        kept
    }

    /// The next gap that nobody was told of.
    pub fn take_untold(&mut self) -> Option<Gap> {
        let gap = self.gaps.get(self.untold).copied()?;
        self.untold += 1;
        Some(gap)
    }

    /// Records in the gaps that are known.
    pub fn records_lost(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.next.abs_diff(gap.first)).sum()
    }

    /// Forgets what does not matter any more: gaps for which `still` does not hold.
    pub fn retain(&mut self, still: impl Fn(&Gap) -> bool) {
        let told = self.gaps.iter().take(self.untold).filter(|gap| still(gap)).count();
        self.gaps.retain(|gap| still(gap));
        self.untold = told;
    }

    /// Reads the batches in `from..to`, the first of which has the base offset `first`, and tells
    /// how far they are sound.
    ///
    /// # Errors
    /// What the disk said, where it does not mean that the bytes are gone.
    pub fn check(
        &mut self,
        log: &FileRef,
        from: u32,
        to: u32,
        first: i64,
    ) -> Result<Checked, DiskError> {
        let (mut position, mut expected) = (from, first);
        let mut view = View { log, buffer: &mut self.buffer, to, at: from, filled: 0 };
        while position < to {
            let broken = Checked { end: position, next: expected, all: false };
            let Some(header) = view.header(position)? else { return Ok(broken) };
            if header.base_offset != expected || header.partition_leader_epoch != LEADER_EPOCH {
                return Ok(broken);
            }
            let end =
                position.saturating_add(u32::try_from(header.total_bytes).unwrap_or(u32::MAX));
            if end > to || view.crc(position + batch::CRC_FROM as u32, end)? != Some(header.crc) {
                return Ok(broken);
            }
            position = end;
            expected = header.next_offset();
        }
        Ok(Checked { end: position, next: expected, all: true })
    }

    /// What is lost where the batch with the base offset `first` should begin at `position` and
    /// does not, or is not sound.
    ///
    /// # Errors
    /// What the disk said, where it does not mean that the bytes are gone.
    pub fn measure(
        &mut self,
        stretch: &Stretch<'_>,
        position: u32,
        first: i64,
    ) -> Result<Gap, DiskError> {
        let Stretch { key, segment_base, limit, next, .. } = *stretch;
        let mut gap = Gap { key, segment_base, position, end: limit, first, next };
        let Some(log) = stretch.log else { return Ok(gap) };
        let fits = |h: &BatchHeader| h.base_offset > first && h.next_offset() <= next;
        // Where its own length says.
        let mut own = View { log, buffer: &mut self.buffer, to: limit, at: 0, filled: 0 };
        if let Some(header) = own.header(position)? {
            let behind = position + header.total_bytes as u32;
            if behind == limit {
                return Ok(gap);
            }
            if let Some(header) = own.header(behind)?.filter(fits)
                && self.is_sound(log, behind, &header)?
            {
                (gap.end, gap.next) = (behind, header.base_offset);
                return Ok(gap);
            }
        }
        // Anywhere: best where the chain goes on to the end, else where it goes on at all.
        let (mut at, mut second) = (position + 1, None);
        while let Some((found, header)) = self.next_candidate(log, at, limit)? {
            if fits(&header) && self.is_sound(log, found, &header)? {
                let end = found + header.total_bytes as u32;
                let reach = chain(log, end, limit, header.next_offset());
                if reach == (limit, next) {
                    (gap.end, gap.next) = (found, header.base_offset);
                    return Ok(gap);
                }
                if reach.0 > end {
                    second.get_or_insert((found, header.base_offset));
                }
            }
            at = found + 1;
        }
        if let Some(found) = second {
            (gap.end, gap.next) = found;
        }
        Ok(gap)
    }

    fn is_sound(
        &mut self,
        log: &FileRef,
        position: u32,
        header: &BatchHeader,
    ) -> Result<bool, DiskError> {
        let end = position + header.total_bytes as u32;
        Ok(self.check(log, position, end, header.base_offset)?.all)
    }

    /// The first place from `at` on where a batch's header may stand.
    fn next_candidate(
        &mut self,
        log: &FileRef,
        at: u32,
        limit: u32,
    ) -> Result<Option<(u32, BatchHeader)>, DiskError> {
        let mut at = at;
        while at.saturating_add(HEADER_BYTES as u32) <= limit {
            let want = self.buffer.len().min((limit - at) as usize);
            let got = fill(log, &mut self.buffer[..want], at)?;
            for (place, bytes) in self.buffer[..got].windows(HEADER_BYTES).enumerate() {
                let left = (limit - at) as usize - place;
                if let Ok(header) = batch::read_stored(bytes, LEADER_EPOCH)
                    && header.total_bytes <= left
                {
                    return Ok(Some((at + place as u32, header)));
                }
            }
            at = match got.checked_sub(HEADER_BYTES - 1) {
                Some(looked_at @ 1..) => at + looked_at as u32,
                // What cannot be read is passed over block by block.
                _ => (at / BLOCK_BYTES + 1).saturating_mul(BLOCK_BYTES),
            };
        }
        Ok(None)
    }
}

impl Default for Rot {
    fn default() -> Rot {
        Rot::new()
    }
}

/// How far the headers lead from `position` on, where `expected` should begin.
fn chain(log: &FileRef, position: u32, limit: u32, expected: i64) -> (u32, i64) {
    let (mut position, mut expected) = (position, expected);
    let mut window = Window::new(log, limit);
    while position < limit {
        match window.header(position) {
            Ok(header) if header.base_offset == expected => {
                position += header.total_bytes as u32;
                expected = header.next_offset();
            }
            _ => break,
        }
    }
    (position, expected)
}

/// A window of the buffer's size on a file.
struct View<'a> {
    log: &'a FileRef,
    buffer: &'a mut [u8],
    to: u32,
    at: u32,
    filled: usize,
}

impl View<'_> {
    fn load(&mut self, at: u32) -> Result<(), DiskError> {
        let want = self.buffer.len().min(self.to.saturating_sub(at) as usize);
        self.at = at;
        self.filled = 0;
        while self.filled < want {
            let at = at + self.filled as u32;
            match fill(self.log, &mut self.buffer[self.filled..want], at)? {
                0 => break,
                got => self.filled += got,
            }
        }
        Ok(())
    }

    /// The header at `position`, if what stands there looks like one of a batch before `to`.
    fn header(&mut self, position: u32) -> Result<Option<BatchHeader>, DiskError> {
        let inside =
            position >= self.at && (position - self.at) as usize + HEADER_BYTES <= self.filled;
        if !inside {
            self.load(position)?;
        }
        let from = (position - self.at) as usize;
        let bytes = self.buffer[..self.filled].get(from..).unwrap_or_default();
        let left = u64::from(self.to.saturating_sub(position));
        Ok(BatchHeader::read(bytes).ok().filter(|header| header.total_bytes as u64 <= left))
    }

    /// The CRC of `from..end`; `None` if that cannot be read.
    fn crc(&mut self, from: u32, end: u32) -> Result<Option<u32>, DiskError> {
        let (mut sum, mut position) = (0, from);
        while position < end {
            let inside = position >= self.at && ((position - self.at) as usize) < self.filled;
            if !inside {
                self.load(position)?;
            }
            let start = (position - self.at) as usize;
            let stop = self.filled.min((end - self.at) as usize);
            let bytes = self.buffer.get(start..stop).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(None);
            }
            sum = crate::wire::crc::crc32c_append(sum, bytes);
            position += bytes.len() as u32;
        }
        Ok(Some(sum))
    }
}
