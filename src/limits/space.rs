//! Limits of how much of the disk is used, of what is said when it is full, and of reading one that
//! dies.
//!
//! Absent: the quota itself, which is a setting.

/// Milliseconds without a refusal after which a full disk is looked at again.
///
/// Why: one line in the log when it begins and one when it is over, not one per producer's retry.
/// Producing does not wait for that look: each batch asks the disk.
pub const FULL_LOOK_MS: u64 = 1_000;

/// Steps of a segment's reserved space for which there must be room for a full disk to count as
/// having space again.
///
/// Why: with less the next batch could be refused at once.
pub const FULL_OVER_STEPS: u64 = 2;

/// Milliseconds between two lines that say how many segments went for want of room.
///
/// Why: a store that is always full drops some every few minutes, or seconds; one line says it.
pub const DROPPED_SAY_MS: u64 = 60_000;

/// Bytes of the smallest `disk.quota.bytes`.
///
/// Why: the smallest journal, three coordinator files, the reserve, and half of it for records.
/// At the limit: a smaller value is an error in the configuration.
pub const DISK_QUOTA_BYTES_MIN: u64 = 1 << 20;

/// So much of the store is kept for what is no record, and as much goes at a time where old
/// records go for new ones.
///
/// Why: little enough for nobody to miss it, much enough for files not to be counted often.
pub const QUOTA_PARTS: u64 = 64;

/// Bytes that are kept for what is no record, at least and at most.
///
/// Why: growing coordinator files, indexes and directories between two counts of the files; the
/// system itself wants some room, too.
/// At the limit: records are refused, or old ones go (`full.policy`); the rest goes on.
pub const QUOTA_RESERVE_BYTES: (u64, u64) = (64 << 10, 16 << 20);

/// Milliseconds between two counts of the files by those who find no room, unless files went.
///
/// Why: counting asks for each file; a thousand refused producers must not do that.
pub const QUOTA_COUNT_MS: u64 = 1_000;

/// Bytes of the smallest segment that a small store makes of larger ones.
///
/// Why: four blocks; with less a segment's index would be as large.
/// At the limit: a store with very many partitions drops more at a time.
pub const SEGMENT_ADAPTED_BYTES_MIN: u64 = 16 << 10;

/// Bytes by which recovery reserves space ahead.
///
/// Why: after a power cut the disk may be full of others' files, so no more than is needed.
pub const RECOVERY_RESERVE_BYTES: u64 = 16 << 10;

/// Milliseconds after which a checkpoint that found no space for its coordinator file is tried
/// again.
///
/// Why: where the journal has run full meanwhile, everything shall go on within a second of space
/// being there again; trying more often would only wear the card.
pub const CHECKPOINT_RETRY_MS: u64 = 500;

/// Bytes that the space for the next coordinator file has, beyond half as much again as the last.
///
/// Why: checkpoints go on for long where the disk is full, also where new groups commit offsets.
/// At the limit: a checkpoint waits for space, and when the journal is full, so do commits.
pub const COORDINATOR_SPARE_BYTES: u64 = 16 * 1024;

/// Bytes that `ottla log salvage` reads at a time.
///
/// Why: large enough for a card's own pace, small beside the tables that it recovers into.
pub const SALVAGE_PIECE_BYTES: usize = 1 << 20;

/// Bytes that it gives up at a time where the device cannot read.
///
/// Why: a page, below which the kernel reads nothing.
pub const SALVAGE_BLOCK_BYTES: usize = 4096;
