//! Looking for rot before anybody reads: all segments, one after the other, a piece at a time.
//!
//! A pass begins at the first partition and ends behind the last; partitions and segments that
//! come and go meanwhile are taken as they are when it is their turn. Before a sealed segment is
//! read, the kernel is told to forget what it has of it, so that the flash is read, not the memory.
//!
//! Promises: a call reads at most so many bytes and one batch; what a pass finds is noted as what
//! a reader finds (`rot`). Absent: when, and how fast (`broker`).

use super::Storage;
use super::journal_frame::PartitionKey;

/// How far a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition that is next, or the first behind it.
    pub key: PartitionKey,
    /// The segment, or the first behind it.
    pub segment_base: i64,
    /// The byte in it, and the offset that begins there; 0: the segment's start.
    pub position: u32,
    /// See `position`.
    pub expected: i64,
}

/// Where every pass begins.
pub const START: Place = Place {
    key: PartitionKey { topic: 0, partition: 0 },
    segment_base: i64::MIN,
    position: 0,
    expected: 0,
};

/// What passes came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Passes that ended.
    pub passes: u64,
    /// Bytes of the present one.
    pub bytes: u64,
}

/// The state of the passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scrub {
    pub place: Place,
    pub scrubbed: Scrubbed,
}

impl Scrub {
    pub const NEW: Scrub = Scrub { place: START, scrubbed: Scrubbed { passes: 0, bytes: 0 } };
}

impl Storage {
    /// How far the search for rot is.
    pub fn scrubbed(&self) -> Scrubbed {
        self.scrub.scrubbed
    }

    /// Checks some `bytes_max` bytes more; true when that was the last of a pass.
    pub fn scrub(&mut self, bytes_max: u32) -> bool {
        let disk = self.disk.clone();
        let mut left = bytes_max;
        while left > 0 {
            let place = self.scrub.place;
            let Some(index) = self.partitions.from(place.key) else {
                self.scrub.place = START;
                self.scrub.scrubbed.passes += 1;
                self.scrub.scrubbed.bytes = 0;
                return true;
            };
            let Some(partition) = self.partitions.get_mut(index) else { return true };
            let key = partition.key;
            let here = if key == place.key { place } else { Place { key, ..START } };
            match partition.scrub(&*disk, &mut self.rot, here, left) {
                Some((next, bytes)) => {
                    self.scrub.place = next;
                    self.scrub.scrubbed.bytes += u64::from(bytes);
                    left = left.saturating_sub(bytes.max(1));
                }
                None => self.scrub.place = Place { key: key.following(), ..START },
            }
        }
        false
    }
}
