//! Reading batches in a segment file: one header, one batch, a walk over many or their records.
//!
//! Promises: nothing beyond the given limit is taken for a batch, and no header is trusted for
//! more than its own checks say. Absent: which segment, and where in it (`partition`, `index`).

use crate::disk::{DiskError, FileRef};
use crate::wire::batch::{BatchHeader, HEADER_BYTES};
use crate::wire::record::RecordHead;

/// Why an append or a read failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogError {
    /// The offset is before the log's start or behind its end.
    OutOfRange,
    /// The disk refused.
    Disk(DiskError),
    /// The bytes in the segment are not the batches they should be.
    Rotten {
        /// The segment.
        segment_base: i64,
        /// Where in it.
        position: u32,
    },
}

impl From<DiskError> for LogError {
    fn from(error: DiskError) -> Self {
        LogError::Disk(error)
    }
}

/// Reads the header of the batch at `position`, which must lie before `limit` as a whole.
///
/// # Errors
/// What the disk said, or that there is no batch.
pub fn read_header(log: &FileRef, position: u32, limit: u32) -> Result<BatchHeader, LogError> {
    let mut bytes = [0; HEADER_BYTES];
    let rotten = LogError::Rotten { segment_base: -1, position };
    match log.read_exact_at(&mut bytes, u64::from(position)) {
        Err(DiskError::UnexpectedEnd) => return Err(rotten),
        other => other?,
    }
    match BatchHeader::read(&bytes) {
        Ok(header) if u64::from(position) + header.total_bytes as u64 <= u64::from(limit) => {
            Ok(header)
        }
        _ => Err(rotten),
    }
}

/// Reads the whole batch at `position`.
///
/// # Errors
/// What the disk said.
pub fn read_batch(
    log: &FileRef,
    position: u32,
    header: &BatchHeader,
    buffer: &mut Vec<u8>,
) -> Result<(), LogError> {
    buffer.clear();
    buffer.resize(header.total_bytes, 0);
    Ok(log.read_exact_at(buffer, u64::from(position))?)
}

/// Walks over small batches, or over the records of one, with one read for many heads.
pub struct Window<'a> {
    log: &'a FileRef,
    limit: u32,
    at: u32,
    filled: usize,
    bytes: [u8; 4096],
}

impl<'a> Window<'a> {
    /// A walk through `log` up to `limit`.
    pub fn new(log: &'a FileRef, limit: u32) -> Self {
        Window { log, limit, at: 0, filled: 0, bytes: [0; 4096] }
    }

    /// The header of the batch at `position`.
    ///
    /// # Errors
    /// What the disk said, or that there is no batch.
    pub fn header(&mut self, position: u32) -> Result<BatchHeader, LogError> {
        let rotten = LogError::Rotten { segment_base: -1, position };
        match BatchHeader::read(self.bytes(position, HEADER_BYTES)?) {
            Ok(h) if u64::from(position) + h.total_bytes as u64 <= u64::from(self.limit) => Ok(h),
            _ => Err(rotten),
        }
    }

    /// The head of the record at `position`, which must lie before `end` as a whole; `None` where
    /// there is no such record.
    ///
    /// # Errors
    /// What the disk said.
    pub fn record(&mut self, position: u32, end: u32) -> Result<Option<RecordHead>, LogError> {
        let left = end.saturating_sub(position) as usize;
        let bytes = self.bytes(position, RecordHead::BYTES_MAX.min(left))?;
        let head = RecordHead::read(&bytes[..bytes.len().min(left)]).ok();
        Ok(head.filter(|head| head.total_bytes <= left))
    }

    /// What there is from `position` on: at least `wanted` bytes, unless the file ends before.
    fn bytes(&mut self, position: u32, wanted: usize) -> Result<&[u8], LogError> {
        let inside = position >= self.at && (position - self.at) as usize + wanted <= self.filled;
        if !inside {
            self.at = position;
            self.filled = self.log.read_twice(&mut self.bytes, u64::from(position))?;
        }
        let from = (position - self.at) as usize;
        Ok(self.bytes[..self.filled].get(from..).unwrap_or_default())
    }
}
