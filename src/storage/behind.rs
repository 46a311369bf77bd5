//! What the journal has and the segments lack yet.
//!
//! A batch that the journal carries is written into its segment later, with others, from the
//! journal's own memory: one call for many small batches, and none at all between a request and
//! its answer.
//!
//! Promises: the segments have everything below the high watermark, and everything that a
//! checkpoint counts on; at most about `SEGMENTS_BEHIND_BYTES` lag behind. Whatever ends the
//! process before, recovery writes them from the journal. Space was reserved when the batch was
//! appended.
//! Absent: large batches, which the journal only refers to, and file systems that cannot reserve
//! space: those are written at once (`Storage::append`).

use super::{PartitionIndex, Storage, WriteError};
use crate::disk::DiskResult;
use crate::limits::{Sizes, WRITE_PARTS_MAX};

/// A batch whose bytes are in the journal's memory only.
#[derive(Clone, Copy, Debug)]
pub struct Behind {
    /// Whose it is.
    pub index: PartitionIndex,
    /// Where it belongs in the active segment.
    pub position: u32,
    /// How long it is.
    pub bytes: u32,
    /// Where it stands in the journal.
    pub at: u64,
}

/// Rows for what lies in the journal's memory. Where batches are so small that there are more of
/// them, the segments are written sooner.
pub const fn rows(sizes: &Sizes) -> usize {
    sizes.staged_bytes / 256 + 1
}

impl Storage {
    /// Writes what the segments lack. The committer calls it while the disk is busy with a sync.
    ///
    /// # Errors
    /// [`WriteError::ReadOnly`]: nothing can be promised any more.
    pub fn write_segments(&mut self) -> Result<(), WriteError> {
        match self.catch_up() {
            Ok(()) => Ok(()),
            Err(error) => {
                self.fail(error);
                Err(WriteError::ReadOnly)
            }
        }
    }

    pub(super) fn catch_up(&mut self) -> DiskResult<()> {
        // Batches of one partition stand behind each other then, in the order of their places.
        self.behind.sort_unstable_by_key(|behind| (behind.index, behind.position));
        let mut rest = &self.behind[..];
        while let Some(first) = rest.first() {
            let mut parts: [&[u8]; WRITE_PARTS_MAX] = [&[]; WRITE_PARTS_MAX];
            let (mut count, mut end) = (0, first.position);
            for behind in rest.iter().take(WRITE_PARTS_MAX) {
                if behind.index != first.index || behind.position != end {
                    break;
                }
                parts[count] = self.journal.bytes_at(behind.at, behind.bytes);
                end += behind.bytes;
                count += 1;
            }
            if let Some(partition) = self.partitions.get_mut(first.index) {
                partition.write(&*self.disk, &parts[..count], first.position)?;
            }
            rest = &rest[count..];
        }
        self.behind.clear();
        self.journal.let_go();
        Ok(())
    }
}
