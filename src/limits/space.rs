//! Limits of what is said about a full disk, and when a checkpoint tries it again.
//!
//! Absent: how much of the disk may be used.

use super::SEGMENT_RESERVE_BYTES;

/// Milliseconds without a refusal after which a full disk is looked at again.
///
/// Why: one line in the log when it begins and one when it is over, not one per producer's retry.
/// Producing does not wait for that look: each batch asks the disk.
pub const FULL_LOOK_MS: u64 = 1_000;

/// Bytes that must be free for a full disk to count as having space again.
///
/// Why: two steps of [`SEGMENT_RESERVE_BYTES`]; with less the next batch could be refused at once.
pub const FULL_OVER_BYTES: u64 = 2 * SEGMENT_RESERVE_BYTES;

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
