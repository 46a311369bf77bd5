//! The wall clock, watched: whether it was ever set, and how far it jumps.
//!
//! These boards have no clock that goes on without power: they wake up in 1970 and jump when the
//! network comes. Nothing that ottla decides rests on the wall clock (architecture.md 7); a person
//! who reads timestamps wants to know all the same.
//!
//! Promises: a jump is seen at the next look, whatever its size and direction; the log has one line
//! of it, and at most one a minute. Absent: whether the clock is *right*, which nobody can know.

use crate::limits::{CLOCK_JUMP_MS, CLOCK_SET_MS, CLOCK_TOLD_MS};
use crate::time::{Millis, Now};
use core::fmt;

/// What the wall clock has done since start.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    last: Now,
    jumps: u64,
    last_jump: Option<(Millis, i64)>,
    told: Option<Millis>,
    untold: u64,
}

impl WallClock {
    /// Begins to watch.
    pub fn new(now: Now) -> WallClock {
        if !is_set(now.wall_ms) {
            log::warn!(
                "this machine's clock is not set; records that the broker stamps get its times all \
                 the same, nothing is deleted by it"
            );
        }
        WallClock { last: now, jumps: 0, last_jump: None, told: None, untold: 0 }
    }

    /// Looks at the clock.
    pub fn look(&mut self, now: Now) {
        let passed = i64::try_from(now.mono.since(self.last.mono)).unwrap_or(i64::MAX);
        let shown = now.wall_ms.saturating_sub(self.last.wall_ms);
        let jump = shown.saturating_sub(passed);
        self.last = now;
        if jump.unsigned_abs() >= CLOCK_JUMP_MS {
            self.jumps += 1;
            self.untold += 1;
            self.last_jump = Some((now.mono, jump));
        }
        let quiet = self.told.is_none_or(|told| now.mono.since(told) >= CLOCK_TOLD_MS);
        if self.untold > 0
            && quiet
            && let Some((_, jump)) = self.last_jump
        {
            let further = Further(self.untold - 1);
            log::warn!(
                "the machine's clock jumped by {}{further}; ages, sessions and timeouts don't \
                 follow it",
                Span(jump)
            );
            self.told = Some(now.mono);
            self.untold = 0;
        }
    }

    /// Whether it shows a time at which this program can run.
    pub fn is_set(&self) -> bool {
        is_set(self.last.wall_ms)
    }

    /// Jumps since start.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// When the last jump was seen, and how far it went, in milliseconds.
    pub fn last_jump(&self) -> Option<(Millis, i64)> {
        self.last_jump
    }
}

/// Whether a clock that shows this was ever set.
pub fn is_set(wall_ms: i64) -> bool {
    wall_ms >= CLOCK_SET_MS
}

struct Further(u64);

impl fmt::Display for Further {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " (and {count} times before, since the last line like this)"),
        }
    }
}

/// Milliseconds in words, with a sign.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let seconds = self.0.unsigned_abs() / 1000;
        match (seconds / 86_400, seconds / 3_600, seconds / 60) {
            (0, 0, 0) => write!(f, "{sign}{seconds} s"),
            (0, 0, minutes) => write!(f, "{sign}{minutes} min"),
            (0, hours, minutes) => write!(f, "{sign}{hours} h {} min", minutes % 60),
            (days, hours, _) => write!(f, "{sign}{days} days {} h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64, wall_ms: i64) -> Now {
        Now { mono: Millis(mono), wall_ms }
    }

    #[test]
    fn a_clock_that_runs_a_little_fast_or_slow_does_not_jump_and_one_that_is_set_does() {
        let mut clock = WallClock::new(at(1_000, 5_000));
        assert!(!clock.is_set());
        for turn in 1..1_000 {
            // 8 % too fast: as fast as chrony slews.
            clock.look(at(1_000 + turn * 5_000, 5_000 + turn as i64 * 5_400));
        }
        assert_eq!((clock.jumps(), clock.last_jump()), (0, None));
        let last = clock.last;
        clock.look(at(last.mono.0 + 5_000, CLOCK_SET_MS + 77));
        assert!(clock.is_set());
        assert_eq!(clock.jumps(), 1);
        let jump = CLOCK_SET_MS + 77 - last.wall_ms - 5_000;
        assert_eq!(clock.last_jump(), Some((Millis(last.mono.0 + 5_000), jump)));
        clock.look(at(last.mono.0 + 5_001, i64::MIN));
        clock.look(at(last.mono.0 + 5_002, i64::MAX));
        assert_eq!(clock.jumps(), 3);
    }

    #[test]
    fn a_thousand_jumps_are_a_line_a_minute() {
        let mut clock = WallClock::new(at(0, CLOCK_SET_MS));
        let mut lines = 0;
        for turn in 1..=1_000 {
            let told = clock.told;
            clock.look(at(turn * 3_600, CLOCK_SET_MS + (turn as i64 % 7) * 86_400_000));
            lines += u32::from(clock.told != told);
        }
        assert_eq!(clock.jumps(), 1_000);
        assert!((50..=60).contains(&lines), "{lines} lines in an hour");
    }

    #[test]
    fn spans_have_a_sign_and_two_units_at_most() {
        let text = |ms| Span(ms).to_string();
        assert_eq!(text(-1_500), "-1 s");
        assert_eq!(text(119_000), "+1 min");
        assert_eq!(text(-7_260_000), "-2 h 1 min");
        assert_eq!(text(50 * 365 * 86_400_000 + 3_600_000), "+18250 days 1 h");
        assert!(text(i64::MIN).starts_with("-106751991167 days"));
    }
}
