//! Finding a record by its time.
//!
//! Promises: takes no memory, however large a batch is: of its records only the heads are read,
//! through the window that walks over batches too. Absent: looking into compressed batches, which
//! would take memory that their sender chooses; the first record of such a one stands for all.

use super::Partition;
use crate::disk::Disk;
use crate::storage::segment::{LogError, Window, read_header};
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
        timestamp: i64,
        from: i64,
    ) -> Result<Option<Found>, LogError> {
        for at in 0..self.segments.len() {
            let Some(segment) = self.segments.get(at) else { break };
            let limit = self.readable(at);
            let gone = self.segments.get(at + 1).is_some_and(|next| next.base_offset <= from);
            if gone || segment.max_timestamp < timestamp || limit == 0 {
                continue;
            }
            let open = self.open_at(disk, at)?;
            // Both rule out what lies before them, so the later one is where to begin.
            let by_time = open.index.last_where(|e| e.max_timestamp_before < timestamp);
            let relative = from - segment.base_offset;
            let by_offset = open.index.last_where(|e| i64::from(e.relative_offset) <= relative);
            let mut position = by_time.position.max(by_offset.position);
            if read_header(&open.log, position, limit).is_err() {
                position = 0;
            }
            let mut window = Window::new(&open.log, limit);
            while position < limit {
                let header = window.header(position)?;
                // Its only record that fits may lie before `from`: then the search goes on.
                if header.max_timestamp >= timestamp
                    && header.next_offset() > from
                    && let Some(found) =
                        record_in_batch(&mut window, position, &header, timestamp, from)?
                {
                    return Ok(Some(found));
                }
                position += header.total_bytes as u32;
            }
        }
        Ok(None)
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
