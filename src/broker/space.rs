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

use crate::limits::{FULL_LOOK_MS, FULL_OVER_BYTES};
use crate::time::Millis;

/// Whether the disk is full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Space {
    full: Option<Full>,
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

    /// Looks, if it is time: `free` gives the bytes that can be written. Once it is over, for how
    /// many milliseconds there was no space and how many batches were refused.
    pub fn look(&mut self, now: Millis, free: impl FnOnce() -> u64) -> Option<(u64, u64)> {
        let full = self.full.as_mut().filter(|full| full.look_at <= now)?;
        if free() < FULL_OVER_BYTES {
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
        assert_eq!(space.look(Millis(5), || u64::MAX), None);
        assert!(space.refused(Millis(10)));
        for at in 11..500 {
            assert!(!space.refused(Millis(at)));
        }
        let look_at = 499 + FULL_LOOK_MS;
        assert_eq!(space.poll_timeout(), Some(Millis(look_at)));
        // Free space is not looked at before its time: a quota may be what is full.
        assert_eq!(space.look(Millis(look_at - 1), || unreachable!()), None);
        assert_eq!(space.look(Millis(look_at), || FULL_OVER_BYTES - 1), None);
        let look_at = look_at + FULL_LOOK_MS;
        assert_eq!(space.poll_timeout(), Some(Millis(look_at)));
        let over = space.look(Millis(look_at), || FULL_OVER_BYTES);
        assert_eq!(over, Some((look_at - 10, 490)));
        assert_eq!((space.poll_timeout(), space.look(Millis(9_999), || 0)), (None, None));
        assert!(space.refused(Millis(10_000)), "and then anew");
    }
}
