//! What storage takes of the memory, and how full its tables are.

use super::behind::{self, Behind};
use super::rot::Rot;
use super::segments::Segments;
use super::sync::SyncState;
use super::table::Table;
use super::{Storage, journal_frame::COMMIT_ALIGN};
use crate::fixed::List;
use crate::limits::{COORDINATOR_PIECE_BYTES, Ledger, SEALED_DIRTY_MAX, Sizes, Usage};

/// Bytes that an open file takes of the memory: two small allocations.
const OPEN_FILE_BYTES: usize = 96;

/// Files that may be open at a time: of each partition the active segment, one that is read, their
/// indexes, those sealed since the last checkpoint, and its directory.
const FILES_EACH: usize = 5 + SEALED_DIRTY_MAX;

impl Storage {
    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let partitions = sizes.partitions;
        let each = |bytes: usize| bytes.div_ceil(partitions.max(1));
        ledger.row(
            "journal frames that wait for the disk",
            1,
            sizes.staged_bytes + COMMIT_ALIGN as usize,
            "Produce waits for the sync that is under way",
        );
        let rows = behind::rows(sizes);
        let sooner = "segments are written sooner";
        ledger.row("batches that segments lack", rows, List::<Behind>::memory(1), sooner);
        let policy = "POLICY_VIOLATION (44), with a message";
        ledger.row("partitions", partitions, each(Table::memory(partitions)), policy);
        ledger.row(
            "segments of all partitions",
            sizes.segments,
            Segments::memory(sizes.segments, partitions).div_ceil(sizes.segments.max(1)),
            "a full segment goes on growing",
        );
        let lists = each(SyncState::memory(partitions));
        ledger.row("lists for syncs, per partition", partitions, lists, "never full");
        ledger.row(
            "open files, per partition",
            partitions,
            FILES_EACH * OPEN_FILE_BYTES,
            "a full segment goes on growing until a checkpoint",
        );
        let again = "found again by each who reads there";
        ledger.row("looking for rot, and what was found", 1, Rot::memory(), again);
        ledger.row("coordinator file on its way", 1, COORDINATOR_PIECE_BYTES, "written in pieces");
    }

    /// File descriptors that storage may have open at a time.
    pub const fn files_max(sizes: &Sizes) -> usize {
        FILES_EACH * sizes.partitions + 16
    }

    /// File descriptors that storage has at least when all partitions are written: the active
    /// segment of each and its index.
    pub const fn files_min(sizes: &Sizes) -> usize {
        2 * sizes.partitions + 16
    }

    /// How full the tables are.
    pub fn usage(&self) -> impl Iterator<Item = Usage> {
        let (segments, segments_max) = self.partitions.segments.used();
        let partitions_max = self.partitions.capacity();
        let partitions = partitions_max - self.partitions.free();
        let (staged, staged_max) = (self.journal.staged_bytes(), self.options.sizes.staged_bytes);
        [
            ("partitions", partitions, partitions_max),
            ("segments", segments, segments_max),
            ("journal.memory.bytes", staged, staged_max),
        ]
        .into_iter()
        .map(|(name, used, limit)| Usage::new(name, used, limit))
    }
}
