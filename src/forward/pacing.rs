//! How fast and how often: the bandwidth cap, and the pause before the next try.
//!
//! Promises: over any span of time the bucket lets through the rate times the span, and its burst
//! more; a pause grows to its maximum and never beyond, and two gateways that lost the same
//! upstream do not come back in step.
//! Absent: a clock, and what is sent.

use crate::limits::{FORWARD_BURST_BYTES_MIN, FORWARD_BURST_MS};
use crate::time::Millis;

/// A token bucket on bytes that a socket took.
#[derive(Debug)]
pub struct TokenBucket {
    /// Bytes per second; 0 is no cap.
    rate: u64,
    burst: u64,
    /// Thousandths of a byte that may go now. Below zero after a request that was begun whole.
    tokens: i64,
    filled: Millis,
}

impl TokenBucket {
    /// A full bucket of `rate` bytes per second, 0 for no cap. The burst is what flows in
    /// [`FORWARD_BURST_MS`], at least [`FORWARD_BURST_BYTES_MIN`].
    pub fn new(rate: u64, now: Millis) -> TokenBucket {
        let burst = (rate.saturating_mul(FORWARD_BURST_MS) / 1000).max(FORWARD_BURST_BYTES_MIN);
        TokenBucket { rate, burst, tokens: thousandths(burst), filled: now }
    }

    /// Whether there is a cap at all.
    pub fn is_capped(&self) -> bool {
        self.rate > 0
    }

    /// Bytes that one request should have at most, so that a more urgent one need not wait for
    /// longer than about a second.
    pub fn request_bytes(&self, wanted: usize) -> usize {
        if self.rate == 0 {
            return wanted;
        }
        let second = usize::try_from(self.rate).unwrap_or(usize::MAX);
        wanted.min(second.max(FORWARD_BURST_BYTES_MIN as usize))
    }

    fn fill(&mut self, now: Millis) {
        let gained = now.since(self.filled).saturating_mul(self.rate);
        self.filled = self.filled.max(now);
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_add(gained).min(thousandths(self.burst));
    }

    /// How many of `wanted` bytes may go now. Less than all of them goes only in pieces of half
    /// the burst and more, so that a slow link is not filled with headers of tiny packets.
    pub fn allowed(&mut self, wanted: usize, now: Millis) -> usize {
        if self.rate == 0 {
            return wanted;
        }
        self.fill(now);
        let have = usize::try_from(self.tokens / 1000).unwrap_or(0);
        if have >= wanted {
            wanted
        } else if have as u64 >= self.burst / 2 {
            have
        } else {
            0
        }
    }

    /// The socket took so many bytes.
    pub fn take(&mut self, bytes: usize) {
        if self.rate > 0 {
            self.tokens = self.tokens.saturating_sub(thousandths(bytes as u64));
        }
    }

    /// When [`TokenBucket::allowed`] lets some of `wanted` bytes through, if not now.
    pub fn due(&mut self, wanted: usize, now: Millis) -> Option<Millis> {
        if wanted == 0 || self.allowed(wanted, now) > 0 {
            return None;
        }
        let needed = thousandths((wanted as u64).min(self.burst / 2)).saturating_sub(self.tokens);
        let needed = u64::try_from(needed).unwrap_or(0);
        Some(now.saturating_add(needed.div_ceil(self.rate.max(1)).max(1)))
    }
}

fn thousandths(bytes: u64) -> i64 {
    i64::try_from(bytes.saturating_mul(1000)).unwrap_or(i64::MAX)
}

/// Random numbers for jitter and nothing else (splitmix64).
#[derive(Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// The same numbers from the same seed.
    pub fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Milliseconds to wait after the `attempts`-th failure in a row (from 1): `first_ms`, twice
    /// as long each time, at most `longest_ms`; then between 80 and 120 % of that (as Java's
    /// clients since KIP-580), but never above `longest_ms`.
    pub fn pause_ms(&mut self, attempts: u32, first_ms: u64, longest_ms: u64) -> u64 {
        let doubled = first_ms.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        let pause = doubled.min(longest_ms);
        let percent = 80 + self.next() % 41;
        (pause.saturating_mul(percent) / 100).clamp(1, longest_ms.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_seconds_let_through_the_rate_and_one_burst() {
        let rate = 32 * 1024;
        let mut bucket = TokenBucket::new(rate, Millis(0));
        let (mut sent, mut now) = (0, Millis(0));
        while now < Millis(30_000) {
            let part = bucket.allowed(1 << 20, now);
            bucket.take(part);
            sent += part as u64;
            now = bucket.due(1 << 20, now).unwrap_or(now.saturating_add(1));
        }
        let ideal = rate * 30;
        assert!(sent >= ideal * 98 / 100 && sent <= ideal + rate / 2, "{sent} of {ideal}");
    }

    #[test]
    fn no_cap_is_no_cap_and_asks_for_no_timer() {
        let mut bucket = TokenBucket::new(0, Millis(0));
        assert_eq!(bucket.allowed(usize::MAX, Millis(0)), usize::MAX);
        bucket.take(1 << 30);
        assert_eq!(bucket.due(100, Millis(0)), None);
    }

    #[test]
    fn pauses_double_and_stay_below_the_longest() {
        let mut jitter = Jitter::new(1);
        let pauses: Vec<u64> = (1..40).map(|n| jitter.pause_ms(n, 500, 60_000)).collect();
        assert!((400..=600).contains(&pauses[0]), "{pauses:?}");
        assert!((800..=1200).contains(&pauses[1]), "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| (48_000..=60_000).contains(pause)), "{pauses:?}");
        assert!(pauses[10..].iter().any(|pause| *pause != pauses[10]), "jitter: {pauses:?}");
    }
}
