//! Finding a record by its time.
//!
//! Promises: takes no memory, however large a batch is: of its records only the heads are read,
//! through the window that walks over batches too, after the batch was checked. What is rotten is
//! passed over, as by readers (`read`). Absent: looking into compressed batches, which would take
//! memory that their sender chooses; the first record of such a one stands for all.

use super::Partition;
use super::read::Walk;
use crate::disk::Disk;
use crate::storage::rot::Rot;
use crate::storage::segment::{LogError, Window};
use crate::wire::batch::{BatchHeader, Codec, HEADER_BYTES};

/// A record that was found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970. Of a compressed batch the largest one, unless that
    /// of the first record fits.
    pub timestamp: i64,
}

impl Partition {
    /// The first record at or behind offset `from` whose timestamp is at least `timestamp`.
    ///
    /// # Errors
    /// What is wrong with a segment.
    pub fn record_at_time(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        timestamp: i64,
        from: i64,
    ) -> Result<Option<Found>, LogError> {
        for at in 0..self.segments.len() {
            let Some(segment) = self.segments.get(at) else { break };
            let gone = self.segments.get(at + 1).is_some_and(|next| next.base_offset <= from);
            if gone || segment.max_timestamp < timestamp || self.readable(at) == 0 {
                continue;
            }
            let mut walk = self.walk_by_time(disk, at, timestamp, from);
            while let Some(header) = self.look(disk, rot, &mut walk)? {
                if header.max_timestamp < timestamp || header.next_offset() <= from {
                    walk.step(&header);
                    continue;
                }
                let (position, end) = (walk.position, walk.position + header.total_bytes as u32);
                if !self.sound(disk, rot, &walk, end, header.next_offset())?.all {
                    let gap = self.find_gap(disk, rot, at, position, walk.expected)?;
                    walk.pass(&gap);
                    continue;
                }
                let mut window = Window::new(&self.open_at(disk, at)?.log, end);
                if let Some(found) =
                    record_in_batch(&mut window, position, &header, timestamp, from)?
                {
                    return Ok(Some(found));
                }
                // Its only record that fits lies before `from`.
                walk.step(&header);
            }
        }
        Ok(None)
    }

    /// A walk that begins before the first batch of segment `at` that may be looked for.
    fn walk_by_time(&mut self, disk: &dyn Disk, at: usize, timestamp: i64, from: i64) -> Walk {
        let base = self.base_of(at);
        let start = Walk::begin(at, 0, base, false);
        let Ok(open) = self.open_at(disk, at) else { return start };
        // Both rule out what lies before them, so the later one is where to begin.
        let by_time = open.index.last_where(|e| e.max_timestamp_before < timestamp);
        let by_offset = open.index.last_where(|e| i64::from(e.relative_offset) <= from - base);
        let entry = if by_time.position > by_offset.position { by_time } else { by_offset };
        let expected = base + i64::from(entry.relative_offset);
        Walk::begin(at, entry.position, expected, entry.position > 0)
    }
}

/// The first such record of the batch at `position`.
fn record_in_batch(
    window: &mut Window<'_>,
    position: u32,
    header: &BatchHeader,
    timestamp: i64,
    from: i64,
) -> Result<Option<Found>, LogError> {
    if header.codec() != Some(Codec::None) {
        let first_fits = header.base_timestamp >= timestamp && !header.is_log_append_time();
        let timestamp = if first_fits { header.base_timestamp } else { header.max_timestamp };
        return Ok(Some(Found { offset: header.base_offset.max(from), timestamp }));
    }
    let end = position + header.total_bytes as u32;
    let mut at = position + HEADER_BYTES as u32;
    for _ in 0..header.records_count {
        let Some(head) = window.record(at, end)? else { break };
        let found = Found {
            offset: header.base_offset.saturating_add(i64::from(head.offset_delta)),
            timestamp: header.timestamp(head.timestamp_delta),
        };
        if found.timestamp >= timestamp && found.offset >= from {
            return Ok(Some(found));
        }
        at += head.total_bytes as u32;
    }
    Ok(None)
}
