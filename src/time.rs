//! Time as a value: monotonic milliseconds, and the pair of clocks that every machine is handed.
//!
//! Arithmetic saturates: a deadline can lie at the end of time, but can never wrap to the past.
//! Absent on purpose: a clock. Only the event loops read one; everything else takes `now`.

/// Monotonic milliseconds since some moment before the process started to serve.
///
/// Never compared between two runs of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The end of time: a deadline that is never due.
    pub const MAX: Millis = Millis(u64::MAX);

    /// This moment and `ms` more, at most the end of time.
    #[must_use]
    pub const fn saturating_add(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// This moment less `ms`, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, ms: u64) -> Millis {
        Millis(self.0.saturating_sub(ms))
    }

    /// Milliseconds that passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, read once per turn of an event loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines and ages.
    pub mono: Millis,
    /// Unix milliseconds as the machine believes them: for showing and for storing, never for
    /// deciding what is old (these boards boot in 1970 and jump years).
    pub wall_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Millis(u64::MAX - 1).saturating_add(5), Millis::MAX);
        assert_eq!(Millis(3).saturating_sub(5), Millis(0));
        assert_eq!(Millis(3).since(Millis(5)), 0);
        assert_eq!(Millis(9).since(Millis(5)), 4);
    }
}
