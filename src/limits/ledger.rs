//! The memory ledger: what the broker allocates at start, row by row, and how full it is.
//!
//! Promises: the owner of a table writes the row beside the code that allocates it, so that the
//! sum is what is allocated (tests/limits compares them). What lies outside the tables is one
//! stated constant, [`PROGRAM_BYTES`].
//! Absent: who prints it (`cli::limits`), and sizes (`Sizes`).

/// Bytes of what is not in the ledger: program text that was touched, the stacks of the event
/// loop's thread and of the one that looks up names, the event loop, the settings.
///
/// Why: measured as the static binary's high-water mark beside the ledger's sum, see README,
/// "Limits".
pub const PROGRAM_BYTES: u64 = 3 * 1024 * 1024;

/// Bytes of stack that the thread of the event loop takes at most.
///
/// Why: the kernel gives 132 KiB at first, and more was never taken by `tests/memory.rs`, where
/// everything happens at once: nothing there calls itself, and no array on the stack has more than
/// a few KiB. Counted in [`PROGRAM_BYTES`].
pub const STACK_BYTES: u64 = 256 * 1024;

/// One row of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// What it is, in a person's words.
    pub what: &'static str,
    /// How many there are.
    pub count: u64,
    /// Bytes of each.
    pub bytes_each: u64,
    /// What a client gets, or what happens, when all are in use.
    pub at_limit: &'static str,
}

impl LedgerRow {
    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.bytes_each)
    }
}

/// All rows.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    rows: Vec<LedgerRow>,
}

impl Ledger {
    /// Adds `count` things of `bytes_each`.
    pub fn row(
        &mut self,
        what: &'static str,
        count: usize,
        bytes_each: usize,
        at_limit: &'static str,
    ) {
        let (count, bytes_each) = (count as u64, bytes_each as u64);
        self.rows.push(LedgerRow { what, count, bytes_each, at_limit });
    }

    /// The rows, in the order in which they were added.
    pub fn rows(&self) -> &[LedgerRow] {
        &self.rows
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        self.rows.iter().map(LedgerRow::bytes).fold(0, u64::saturating_add)
    }
}

/// How full a table or a pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What it is, as `ottla status` names it: lower case, dots between words.
    pub name: &'static str,
    /// How much of it is in use now, in rows or bytes.
    pub used: u64,
    /// How much there is.
    pub limit: u64,
}

impl Usage {
    /// So much of a table is in use, in rows or bytes.
    pub fn new(name: &'static str, used: usize, limit: usize) -> Usage {
        Usage { name, used: used as u64, limit: limit as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_counts_times_bytes() {
        let mut ledger = Ledger::default();
        ledger.row("a", 3, 100, "waits");
        ledger.row("b", 1, 7, "waits");
        assert_eq!(ledger.bytes(), 307);
        assert_eq!(ledger.rows()[0].bytes(), 300);
    }
}
