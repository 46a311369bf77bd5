//! The disk has no space for records: since when, and when it has again.
//!
//! Every append asks for its space anew, so producing works as soon as there is some, whoever took
//! it; nothing here decides that. This is for the person who reads the log: one line when it begins
//! and one when it is over, however many producers try again how often.
//!
//! It is over when there is room again *and* nobody was refused for a while: free space alone
//! says nothing where a quota of the system is reached (`EDQUOT`), and a producer whose segment
//! has its space reserved goes on while another one is refused.
//!
//! Absent: other errors of the disk, and checkpoints, which wait by themselves.

use crate::limits::{DROPPED_SAY_MS, FULL_LOOK_MS};
use crate::time::Millis;

/// Whether the disk is full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Space {
    full: Option<Full>,
    /// Segments and bytes that went for want of room, and how many of them nobody was told of.
    dropped: (u64, u64),
    untold: (u64, u64),
    told: Option<Millis>,
}

#[derive(Clone, Copy, Debug)]
struct Full {
    since: Millis,
    look_at: Millis,
    refused: u64,
}

impl Space {
    /// A batch found no space; says whether it is the first.
    pub fn refused(&mut self, now: Millis) -> bool {
        let first = self.full.is_none();
        let full = self.full.get_or_insert(Full { since: now, look_at: now, refused: 0 });
        full.refused += 1;
        full.look_at = now.saturating_add(FULL_LOOK_MS);
        first
    }

    /// When to look next.
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.full.map(|full| full.look_at)
    }

    /// Segments with so many bytes went for want of room. Now and then: how many since the last
    /// time.
    pub fn dropped(&mut self, segments: u64, bytes: u64, now: Millis) -> Option<(u64, u64)> {
        self.dropped = (self.dropped.0 + segments, self.dropped.1 + bytes);
        self.untold = (self.untold.0 + segments, self.untold.1 + bytes);
        if self.told.is_some_and(|told| now.since(told) < DROPPED_SAY_MS) {
            return None;
        }
        self.told = Some(now);
        Some(core::mem::take(&mut self.untold))
    }

    /// Segments and bytes that went for want of room since the start.
    pub fn dropped_in_all(&self) -> (u64, u64) {
        self.dropped
    }

    /// Whether records are refused.
    pub fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Looks, if it is time: `has_room` says whether there is room again. Once it is over, for how
    /// many milliseconds there was no space and how many batches were refused.
    pub fn look(&mut self, now: Millis, has_room: impl FnOnce() -> bool) -> Option<(u64, u64)> {
        let full = self.full.as_mut().filter(|full| full.look_at <= now)?;
        if !has_room() {
            full.look_at = now.saturating_add(FULL_LOOK_MS);
            return None;
        }
        let over = (now.since(full.since), full.refused);
        self.full = None;
        Some(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_once_and_over_once_whoever_tries_how_often() {
        let mut space = Space::default();
        assert_eq!(space.poll_timeout(), None);
        assert_eq!(space.look(Millis(5), || true), None);
        assert!(space.refused(Millis(10)));
        for at in 11..500 {
            assert!(!space.refused(Millis(at)));
        }
        let look_at = 499 + FULL_LOOK_MS;
        assert_eq!(space.poll_timeout(), Some(Millis(look_at)));
        // Free space is not looked at before its time: a quota may be what is full.
        assert_eq!(space.look(Millis(look_at - 1), || unreachable!()), None);
        assert_eq!(space.look(Millis(look_at), || false), None);
        let look_at = look_at + FULL_LOOK_MS;
        assert_eq!(space.poll_timeout(), Some(Millis(look_at)));
        let over = space.look(Millis(look_at), || true);
        assert_eq!(over, Some((look_at - 10, 490)));
        assert_eq!((space.poll_timeout(), space.look(Millis(9_999), || false)), (None, None));
        assert!(space.refused(Millis(10_000)), "and then anew");
    }

    #[test]
    fn what_went_is_told_now_and_then_and_counted_always() {
        let mut space = Space::default();
        assert_eq!(space.dropped(2, 100, Millis(10)), Some((2, 100)));
        assert_eq!(space.dropped(1, 50, Millis(20)), None);
        assert_eq!(space.dropped(3, 30, Millis(9 + DROPPED_SAY_MS)), None);
        assert_eq!(space.dropped(1, 1, Millis(10 + DROPPED_SAY_MS)), Some((5, 81)));
        assert_eq!(space.dropped_in_all(), (7, 181));
    }
}
