//! How much of the disk records may take.
//!
//! ```text
//!  disk.quota.bytes:   [ files as du counts them ......... | room for records | reserve ]
//!  without it:         [ whatever else is on the file system | room for records | reserve ]
//! ```
//!
//! Nothing keeps books of every block. What grows takes from a budget, never less than it can come
//! to; when that is used up, the files are counted, which brings back what was taken too much and
//! what was removed meanwhile. So the quota holds whatever a file system takes for itself, and
//! counting is rare. The reserve is for all that is no record: checkpoints, directories, indexes.
//! Other programs' files count at each step: what is free on the file system is asked for.
//!
//! Small stores get small segments and small steps of reserved space, so that what retention or a
//! full quota drops is a small part of what there is.
//!
//! Promises: with a quota the files never take more, as long as what is no record grows by less
//! than the reserve between two counts. Absent: which records go when it is full (`broker::full`).

use super::Storage;
use super::partition::{Partition, Segment};
use crate::disk::{Disk, DiskError, DiskResult};
use crate::limits::{
    FULL_OVER_STEPS, QUOTA_COUNT_MS, QUOTA_PARTS, QUOTA_RESERVE_BYTES, SEGMENT_ADAPTED_BYTES_MIN,
    SEGMENT_RESERVE_BYTES,
};
use crate::time::Millis;

/// What counts as free where nobody says what is: enough for segments as they are configured.
const UNKNOWN: u64 = 1 << 40;

/// A block of the file system.
const BLOCK: u64 = 4096;

/// What is left, and how that is known.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// `disk.quota.bytes`.
    quota: Option<u64>,
    /// Bytes of the store that everything is measured by: the quota, or what was free at the start
    /// and taken by records.
    total: u64,
    /// What the files took when they were counted, and what was taken since at most.
    used: u64,
    counted: Option<Millis>,
    /// Files were removed or cut since.
    freed: bool,
}

/// What may be taken of so many bytes in all stays below this part of them.
const fn reserve(total: u64) -> u64 {
    let (least, most) = QUOTA_RESERVE_BYTES;
    let part = total / QUOTA_PARTS;
    if part < least {
        least
    } else if part > most {
        most
    } else {
        part
    }
}

impl Quota {
    /// Of a store with so many bytes of records.
    pub fn new(disk: &dyn Disk, quota: Option<u64>, bytes: u64) -> Quota {
        let free = disk.free_bytes().unwrap_or(UNKNOWN);
        let total = quota.unwrap_or(bytes.saturating_add(free));
        Quota { quota, total, used: 0, counted: None, freed: false }
    }

    /// The configured quota.
    pub fn quota(&self) -> Option<u64> {
        self.quota
    }

    /// Bytes that the files take, at most; only known with a quota.
    pub fn used(&self) -> Option<u64> {
        self.counted.and(self.quota).map(|_| self.used)
    }

    /// Bytes that records leave to the rest.
    pub fn reserve(&self) -> u64 {
        reserve(self.total)
    }

    /// Files were removed or cut: the next one who finds no room counts again.
    pub fn freed(&mut self) {
        self.freed = true;
    }

    /// Bytes that all may take but for the reserve.
    fn most(&self) -> u64 {
        self.total.saturating_sub(self.reserve())
    }

    /// Bytes that the file system has for records.
    fn free(&self, disk: &dyn Disk) -> u64 {
        // Who cannot say what is free says so when it is not.
        disk.free_bytes().map_or(u64::MAX, |free| free.saturating_sub(self.reserve()))
    }

    fn count(&mut self, disk: &dyn Disk, now: Millis) {
        if let Ok(used) = disk.used_bytes() {
            (self.used, self.counted, self.freed) = (used, Some(now), false);
        }
    }

    /// Bytes that records may take now.
    pub fn room(&mut self, disk: &dyn Disk, now: Millis) -> u64 {
        let free = self.free(disk);
        if self.quota.is_none() {
            return free;
        }
        let due = self.counted.is_none_or(|at| now.since(at) >= QUOTA_COUNT_MS);
        if self.freed || due {
            self.count(disk, now);
        }
        free.min(self.most().saturating_sub(self.used))
    }

    /// Takes `bytes` for records.
    ///
    /// # Errors
    /// [`DiskError::NoSpace`]; nothing is taken.
    pub fn take(&mut self, disk: &dyn Disk, bytes: u64, now: Millis) -> DiskResult<()> {
        let fits = self.counted.is_some() && self.used.saturating_add(bytes) <= self.most();
        let room = match self.quota {
            Some(_) if !fits => self.room(disk, now),
            _ => self.free(disk),
        };
        if bytes > room {
            return Err(DiskError::NoSpace);
        }
        self.used = self.used.saturating_add(bytes);
        Ok(())
    }

    /// Something that is no record took `bytes`.
    pub fn note(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
    }

    /// Bytes by which the store is larger than it may be, after the quota was lowered.
    pub fn excess(&mut self, disk: &dyn Disk, now: Millis) -> u64 {
        if self.quota.is_none() {
            return 0;
        }
        self.room(disk, now);
        self.used.saturating_sub(self.most())
    }

    /// Bytes that are let go of at a time when there is no room: enough for some time.
    pub fn goal(&self) -> u64 {
        self.total / QUOTA_PARTS
    }

    /// Bytes at which a segment is full, of a store with so many partitions and a table for so many
    /// segments: what is configured, and no more than a part of a partition's share.
    pub fn segment_bytes(&self, configured: u32, partitions: usize, segments: usize) -> u32 {
        let share = self.total / (8 * partitions.max(1) as u64);
        let table = 2 * self.total / segments.max(1) as u64;
        let most = share.max(table).max(SEGMENT_ADAPTED_BYTES_MIN);
        configured.min(u32::try_from(most).unwrap_or(u32::MAX))
    }

    /// Bytes by which a segment's space is reserved ahead.
    pub fn step(&self, partitions: usize) -> u64 {
        let share = self.total / (64 * partitions.max(1) as u64);
        (share / BLOCK * BLOCK).clamp(BLOCK, SEGMENT_RESERVE_BYTES)
    }
}

impl Storage {
    /// How much of the disk records may take.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Bytes that records may take now.
    pub fn room(&mut self, now: Millis) -> u64 {
        self.quota.room(&*self.disk, now)
    }

    /// Whether there is so much room that a full disk is over.
    pub fn has_room_again(&mut self, now: Millis) -> bool {
        let step = with_overhead(self.partitions.segments.step());
        self.room(now) >= FULL_OVER_STEPS * step
    }

    /// Bytes by which the files take more than they may.
    pub fn excess(&mut self, now: Millis) -> u64 {
        self.quota.excess(&*self.disk, now)
    }

    /// Whether files wait for their removal.
    pub fn frees_room(&self) -> bool {
        self.sync.removals > 0
    }

    /// Measures the store anew where nothing else says how large it may be, and suits the steps of
    /// reserved space to that.
    pub fn measure(&mut self) {
        if self.quota.quota.is_none() {
            let bytes = self.partitions.iter().map(|(_, partition)| partition.bytes()).sum();
            self.quota = Quota::new(&*self.disk, None, bytes);
        }
        self.partitions.segments.set_step(self.quota.step(self.partitions.len()));
    }

    /// Bytes at which a segment is full that may have so many.
    pub(super) fn segment_bytes(&self, configured: u32) -> u32 {
        let (_, segments) = self.partitions.segments.used();
        self.quota.segment_bytes(configured, self.partitions.len(), segments)
    }

    /// A partition's oldest segment, if it may go, and where the log starts without it. The one
    /// that is written to may only go where it is larger than any that would be begun now.
    pub fn oldest_segment(&self, partition: &Partition) -> Option<(Segment, i64)> {
        let segments = partition.segments.all();
        let first = *segments.first()?;
        match segments.get(1) {
            Some(next) => Some((first, next.base_offset)),
            None if first.bytes > self.segment_bytes(u32::MAX) => Some((first, partition.log_end)),
            None => None,
        }
    }
}

/// What so many bytes more of a segment come to at most: whole blocks, its index, and what the file
/// system writes down about them.
pub const fn with_overhead(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK) + (bytes / 128).next_multiple_of(BLOCK) + BLOCK
}

/// What a new segment takes besides, and its directory, if it is the first one.
pub const fn begin_overhead(has_directory: bool) -> u64 {
    if has_directory { BLOCK } else { 4 * BLOCK }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Open;
    use crate::disk::sim::SimDisk;

    const NOW: Millis = Millis(5_000);

    #[test]
    fn what_is_taken_never_comes_to_more_than_the_quota_and_what_is_removed_comes_back() {
        let disk = SimDisk::new();
        let file = disk.open("f", Open::CreateEmpty).unwrap();
        file.reserve(0, 100 * BLOCK).unwrap();
        let mut quota = Quota::new(&disk, Some(1 << 20), 0);
        assert_eq!(quota.used(), None, "nobody asked yet");
        let mut taken = 0;
        while quota.take(&disk, 3 * BLOCK, NOW).is_ok() {
            // Less than was taken for it: that comes back with the next count.
            taken += 2 * BLOCK;
            file.reserve(0, 100 * BLOCK + taken).unwrap();
            assert!(disk.used_bytes().unwrap() <= (1 << 20) - quota.reserve());
        }
        assert!(taken < 130 * BLOCK);
        let later = NOW.saturating_add(QUOTA_COUNT_MS);
        assert_eq!(quota.take(&disk, 3 * BLOCK, later), Ok(()), "counted again");
        while quota.take(&disk, 3 * BLOCK, later).is_ok() {}
        drop(file);
        disk.remove_file("f").unwrap();
        assert_eq!(quota.take(&disk, 3 * BLOCK, later), Err(DiskError::NoSpace));
        quota.freed();
        assert_eq!(quota.take(&disk, 200 * BLOCK, later), Ok(()));
        assert_eq!(quota.used(), Some(200 * BLOCK));
    }

    #[test]
    fn without_a_quota_what_is_free_counts_but_for_the_reserve() {
        let disk = SimDisk::with_capacity(64 << 20);
        let mut quota = Quota::new(&disk, None, 0);
        assert_eq!(quota.reserve(), 1 << 20);
        assert_eq!(quota.room(&disk, NOW), 63 << 20);
        assert_eq!(quota.take(&disk, 63 << 20, NOW), Ok(()));
        let other = disk.open("other program", Open::CreateEmpty).unwrap();
        other.reserve(0, 32 << 20).unwrap();
        assert_eq!(quota.take(&disk, 31 << 20, NOW), Ok(()));
        assert_eq!(quota.take(&disk, (31 << 20) + 1, NOW), Err(DiskError::NoSpace));
        assert_eq!((quota.used(), quota.excess(&disk, NOW)), (None, 0));
    }

    #[test]
    fn segments_and_steps_suit_the_store() {
        let disk = SimDisk::with_capacity(1 << 40);
        let large = Quota::new(&disk, None, 0);
        assert_eq!(large.segment_bytes(16 << 20, 256, 2_048), 16 << 20);
        assert_eq!(large.step(256), SEGMENT_RESERVE_BYTES);
        let small = Quota::new(&disk, Some(20 << 20), 0);
        assert_eq!(small.segment_bytes(16 << 20, 50, 2_048), 52_428);
        assert_eq!(small.step(50), BLOCK);
        assert_eq!(small.segment_bytes(16_000, 1, 2_048), 16_000, "never more than configured");
        let least = Quota::new(&disk, Some(1 << 20), 0);
        assert_eq!(least.segment_bytes(16 << 20, 1, 2_048), 1 << 17);
        assert_eq!(least.segment_bytes(16 << 20, 100, 2_048) as u64, SEGMENT_ADAPTED_BYTES_MIN);
        // A table with few rows must do for all of the store.
        assert_eq!(large.segment_bytes(u32::MAX, 1 << 20, 1_000), 2_199_023_255);
    }
}
