//! When the next sync should begin: group commit gathers those who were just answered.
//!
//! ```text
//!   sync ──► answers go out ──► their clients' next requests come in ──► sync of all of them
//!                          └─ pause: a share of a sync's time at most ─┘
//! ```
//!
//! Clients with one request in flight each fall into two groups otherwise that take turns: a sync
//! begun at once carries only those who came while the last one ran, and the throughput is 0.6 of
//! what the disk allows. Waiting for those who were answered a moment ago makes them one group.
//!
//! Promises: the wait ends as soon as they are all back, and never takes longer than a share of the
//! time that a sync takes; a lone client is waited for by nobody, since its own return ends the
//! wait. Clients that do not come back within it (sensors with one record a second) are noticed,
//! and then nobody waits, but for a try now and then.
//! Absent: clocks, and waiting itself (`committer`).

use crate::limits::{GATHER_PROBE_INTERVAL, GATHER_SHARE};
use std::time::Duration;

/// A ratio of 1.
const ONE: u32 = 256;

/// The state of gathering.
#[derive(Debug)]
pub struct Gather {
    /// Which sync's answers are being counted.
    round: u64,
    answered: u32,
    returned: u32,
    /// A sync's usual time.
    sync: Duration,
    /// How many of those who were answered usually come back in time, in parts of [`ONE`].
    success: u32,
    /// Rounds without a pause since the last one with.
    skipped: u32,
    /// This round has a pause.
    pausing: bool,
}

/// What a connection was answered in a round: so many further requests may be expected of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    round: u64,
    requests: u32,
}

impl Gather {
    /// Nothing is known yet.
    pub fn new() -> Gather {
        Gather {
            round: 0,
            answered: 0,
            returned: 0,
            sync: Duration::ZERO,
            success: ONE,
            skipped: 0,
            pausing: false,
        }
    }

    /// A sync has ended that took `took`: its answers are about to go out.
    /// How long the next one should be put off at most.
    pub fn sync_ended(&mut self, took: Duration) -> Duration {
        self.end_round();
        self.round += 1;
        (self.answered, self.returned) = (0, 0);
        self.sync = if self.sync.is_zero() { took } else { (self.sync * 3 + took) / 4 };
        self.pausing = self.success >= ONE / 2 || self.skipped >= GATHER_PROBE_INTERVAL;
        self.skipped = if self.pausing { 0 } else { self.skipped + 1 };
        if self.pausing { self.sync / GATHER_SHARE } else { Duration::ZERO }
    }

    /// The next sync begins: how well did waiting do?
    fn end_round(&mut self) {
        if self.pausing && self.answered > 0 {
            let success = ONE * self.returned / self.answered;
            self.success = (self.success * 3 + success) / 4;
        }
    }

    /// `requests` of a connection were answered by the sync that ended.
    pub fn answered(&mut self, expected: &mut Expected, requests: u32) {
        if expected.round != self.round {
            *expected = Expected { round: self.round, requests: 0 };
        }
        expected.requests += requests;
        self.answered += requests;
    }

    /// `requests` of a connection wait for the next sync. Returns whether now all are back.
    pub fn returned(&mut self, expected: &mut Expected, requests: u32) -> bool {
        if expected.round != self.round {
            return false;
        }
        let back = requests.min(expected.requests);
        expected.requests -= back;
        self.returned += back;
        back > 0 && !self.is_incomplete()
    }

    /// A connection is gone: it is not waited for any more. Returns whether now all are back.
    pub fn left(&mut self, expected: &mut Expected) -> bool {
        self.returned(expected, u32::MAX)
    }

    /// Whether somebody who was answered is not back yet.
    pub fn is_incomplete(&self) -> bool {
        self.returned < self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_millis(10);

    /// A round in which `clients` are answered and `back` of them come back in time.
    fn round(gather: &mut Gather, clients: u32, back: u32) -> Duration {
        let pause = gather.sync_ended(SYNC);
        let mut expected = vec![Expected::default(); clients as usize];
        expected.iter_mut().for_each(|e| gather.answered(e, 1));
        for (index, one) in expected.iter_mut().take(back as usize).enumerate() {
            let all = gather.returned(one, 1);
            assert_eq!(all, index as u32 + 1 == clients);
        }
        assert_eq!(gather.is_incomplete(), back < clients);
        pause
    }

    #[test]
    fn who_was_answered_is_waited_for_a_share_of_a_sync() {
        let mut gather = Gather::new();
        for _ in 0..5 {
            assert_eq!(round(&mut gather, 32, 32), SYNC / GATHER_SHARE);
        }
    }

    #[test]
    fn a_lone_client_ends_the_wait_by_its_return() {
        let mut gather = Gather::new();
        gather.sync_ended(SYNC);
        let mut expected = Expected::default();
        gather.answered(&mut expected, 1);
        assert!(gather.is_incomplete());
        assert!(gather.returned(&mut expected, 1));
        assert!(!gather.returned(&mut expected, 1), "what was not expected ends nothing");
    }

    #[test]
    fn clients_that_do_not_come_back_are_not_waited_for_but_for_a_try() {
        let mut gather = Gather::new();
        let waits = (0..200).filter(|_| !round(&mut gather, 1, 0).is_zero()).count();
        assert!(waits <= 5 + 200 / GATHER_PROBE_INTERVAL as usize, "{waits}");
        // And when they do, a few tries later it is known.
        let zero = (0..200).filter(|_| round(&mut gather, 8, 8).is_zero()).count();
        assert!(zero <= 5 * GATHER_PROBE_INTERVAL as usize, "{zero}");
        assert!(!round(&mut gather, 8, 8).is_zero());
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let mut gather = Gather::new();
        gather.sync_ended(SYNC);
        let (mut one, mut other) = (Expected::default(), Expected::default());
        gather.answered(&mut one, 3);
        gather.answered(&mut other, 1);
        assert!(!gather.returned(&mut other, 5));
        assert!(gather.left(&mut one));
        gather.sync_ended(SYNC);
        assert!(!gather.left(&mut one), "an earlier round's business");
    }
}
