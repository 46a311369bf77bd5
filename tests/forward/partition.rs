//! One upstream partition: a leader, followers that fetch with a delay, a high watermark.
//!
//! Kafka's replication in small: what a follower has is known to the leader with the follower's
//! *next* fetch, and a follower learns the high watermark with its next fetch, so that a new
//! leader begins with an old one. Divergent tails are cut where logs part (KIP-101).
//! Promises: a clean election loses nothing that was committed. Absent: segments, transactions.

use crate::codes::NOT_ENOUGH_REPLICAS;
use crate::producers::{Claim, Producers, Verdict};
use std::rc::Rc;

/// A batch in a log.
#[derive(Clone, Debug)]
pub struct Stored {
    pub base: i64,
    pub next: i64,
    pub leader_epoch: i32,
    pub claim: Option<Claim>,
    pub timestamp: i64,
    pub bytes: Rc<[u8]>,
}

/// One copy of the partition.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    pub log: Vec<Stored>,
    pub high_watermark: i64,
    pub producers: Producers,
    /// When it fetches next.
    fetches_at: u64,
    /// When it last had everything the leader had.
    caught_up_at: u64,
    /// The leader changed: its log may have parted from the leader's.
    may_have_parted: bool,
    /// It does not fetch before this.
    pub stalled_until: u64,
}

impl Replica {
    /// The offset behind the last batch.
    pub fn end(&self) -> i64 {
        self.log.last().map_or(0, |batch| batch.next)
    }

    fn take(&mut self, batch: Stored) {
        if let Some(claim) = batch.claim {
            self.producers.remember(claim, batch.base, batch.next, batch.timestamp);
        }
        self.log.push(batch);
    }

    /// Rebuilds what is remembered of producers from the log, as after a truncation or a restart.
    pub fn reload_producers(&mut self) {
        self.producers = Producers::default();
        for batch in &self.log {
            if let Some(claim) = batch.claim {
                self.producers.remember(claim, batch.base, batch.next, batch.timestamp);
            }
        }
    }

    fn cut(&mut self, batches: usize) {
        if batches < self.log.len() {
            self.log.truncate(batches);
            self.reload_producers();
            self.high_watermark = self.high_watermark.min(self.end());
        }
    }
}

/// Where a batch ended up.
#[derive(Clone, Copy, Debug)]
pub struct Appended {
    pub base: i64,
    pub next: i64,
    pub duplicate: bool,
}

/// A partition.
#[derive(Clone, Debug)]
pub struct Partition {
    pub replicas: Vec<Replica>,
    pub leader: Option<usize>,
    /// Who led before, for metadata that lags.
    pub led_before: Option<usize>,
    pub moved_at: u64,
    pub leader_epoch: i32,
    /// Where the leader's epoch begins: before this is committed, its high watermark may be old.
    epoch_start: i64,
    pub in_sync: Vec<bool>,
    known_end: Vec<i64>,
    /// Records before this were deleted.
    pub log_start: i64,
}

/// How a partition's replicas behave.
#[derive(Clone, Copy, Debug)]
pub struct Replication {
    pub factor: usize,
    pub in_sync_min: usize,
    pub fetch_ms: u64,
    pub lag_ms_max: u64,
}

impl Partition {
    /// An empty one, led by replica `leader`.
    pub fn new(factor: usize, leader: usize) -> Partition {
        Partition {
            replicas: vec![Replica::default(); factor],
            leader: Some(leader),
            led_before: None,
            moved_at: 0,
            leader_epoch: 0,
            epoch_start: 0,
            in_sync: vec![true; factor],
            known_end: vec![0; factor],
            log_start: 0,
        }
    }

    /// The leader's copy.
    pub fn leading(&self) -> Option<&Replica> {
        Some(&self.replicas[self.leader?])
    }

    /// What consumers may see, from the leader.
    pub fn high_watermark(&self) -> i64 {
        self.leading().map_or(0, |leader| leader.high_watermark)
    }

    /// How many are in sync.
    pub fn in_sync_count(&self) -> usize {
        self.in_sync.iter().filter(|it| **it).count()
    }

    /// Whether the high watermark is known to be that of the leader's own epoch.
    pub fn watermark_is_current(&self) -> bool {
        self.high_watermark() >= self.epoch_start
    }

    /// Appends a client's batch at the leader.
    pub fn append(
        &mut self,
        bytes: &[u8],
        claim: Option<Claim>,
        (records, timestamp): (i64, i64),
        old_broker: bool,
        replication: Replication,
    ) -> Result<Appended, i16> {
        if self.in_sync_count() < replication.in_sync_min {
            return Err(NOT_ENOUGH_REPLICAS);
        }
        let leader_epoch = self.leader_epoch;
        let leader = self.leader.expect("asked of the leader");
        let replica = &mut self.replicas[leader];
        if let Some(claim) = claim
            && let Verdict::Duplicate(found) = replica.producers.judge(claim, old_broker)?
        {
            let (base, next) = (found.base_offset, found.next_offset);
            return Ok(Appended { base, next, duplicate: true });
        }
        let base = replica.end();
        let mut bytes = bytes.to_vec();
        bytes[..8].copy_from_slice(&base.to_be_bytes());
        bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
        let next = base + records;
        let bytes = bytes.into();
        replica.take(Stored { base, next, leader_epoch, claim, timestamp, bytes });
        self.known_end[leader] = next;
        self.advance();
        Ok(Appended { base, next, duplicate: false })
    }

    /// Moves the leader's high watermark to what everybody in sync is known to have.
    fn advance(&mut self) {
        let Some(leader) = self.leader else { return };
        let in_sync = (0..self.replicas.len()).filter(|at| self.in_sync[*at]);
        let known =
            |at: usize| if at == leader { self.replicas[at].end() } else { self.known_end[at] };
        let least = in_sync.map(known).min().unwrap_or(0);
        let replica = &mut self.replicas[leader];
        replica.high_watermark = replica.high_watermark.max(least);
    }

    /// Lets followers fetch whose time has come.
    pub fn replicate(&mut self, now: u64, up: &[bool], replication: Replication) {
        let Some(leader) = self.leader else { return };
        let up = &up[..self.replicas.len()];
        for (at, is_up) in up.iter().enumerate() {
            let follower = &self.replicas[at];
            let due = follower.fetches_at <= now && follower.stalled_until <= now;
            if at == leader || !is_up || !due {
                continue;
            }
            self.fetch(at, leader, now);
            self.replicas[at].fetches_at = now + replication.fetch_ms;
        }
        let leader_end = self.replicas[leader].end();
        for (at, is_up) in up.iter().enumerate() {
            let follower = &self.replicas[at];
            let caught_up = self.known_end[at] >= leader_end && *is_up;
            if at == leader || caught_up {
                self.replicas[at].caught_up_at = now;
            } else if self.in_sync[at] && now > follower.caught_up_at + replication.lag_ms_max {
                self.in_sync[at] = false;
            }
            if !self.in_sync[at] && *is_up && self.known_end[at] >= self.high_watermark() {
                self.in_sync[at] |= self.known_end[at] >= self.epoch_start;
            }
        }
        self.advance();
    }

    /// When a follower does something next; `None` while there is nothing for them to do.
    pub fn replicates_at(&self, up: &[bool]) -> Option<u64> {
        let leader = self.leader?;
        let (end, watermark) = (self.replicas[leader].end(), self.replicas[leader].high_watermark);
        let behind = |at: &usize| {
            let follower = &self.replicas[*at];
            let same = follower.end() == end && follower.high_watermark == watermark;
            up[*at] && *at != leader && !(same && watermark == end && self.in_sync[*at])
        };
        let times = (0..self.replicas.len()).filter(behind).map(|at| {
            let follower = &self.replicas[at];
            follower.fetches_at.max(follower.stalled_until)
        });
        let lagging = (0..self.replicas.len()).any(|at| !up[at] && self.in_sync[at]);
        let shrink = lagging.then_some(self.replicas[leader].caught_up_at + 100);
        times.chain(shrink).min()
    }

    fn fetch(&mut self, at: usize, leader: usize, _now: u64) {
        if self.replicas[at].may_have_parted {
            self.replicas[at].may_have_parted = false;
            let common = {
                let (mine, theirs) = (&self.replicas[at].log, &self.replicas[leader].log);
                let same = |(a, b): &(&Stored, &Stored)| {
                    (a.base, a.leader_epoch) == (b.base, b.leader_epoch)
                };
                mine.iter().zip(theirs).take_while(same).count()
            };
            self.replicas[at].cut(common);
        }
        let have = self.replicas[at].log.len();
        self.known_end[at] = self.replicas[at].end();
        // The answer carries the watermark as it is now, with what this very fetch said.
        self.advance();
        let watermark = self.replicas[leader].high_watermark;
        let new: Vec<Stored> = self.replicas[leader].log.get(have..).unwrap_or_default().to_vec();
        let follower = &mut self.replicas[at];
        new.into_iter().for_each(|batch| follower.take(batch));
        follower.high_watermark = watermark.min(follower.end());
    }

    /// Makes another replica the leader, or none.
    pub fn elect(&mut self, leader: Option<usize>, now: u64) {
        if self.leader == leader {
            return;
        }
        self.led_before = self.leader;
        self.moved_at = now;
        self.leader = leader;
        let Some(leader) = leader else { return };
        self.leader_epoch += 1;
        self.epoch_start = self.replicas[leader].end();
        if !self.in_sync[leader] {
            // Unclean: nobody else counts.
            self.in_sync.fill(false);
            self.in_sync[leader] = true;
        }
        for (at, replica) in self.replicas.iter_mut().enumerate() {
            replica.may_have_parted = at != leader;
            replica.caught_up_at = now;
            self.known_end[at] = if at == leader { replica.end() } else { -1 };
        }
        self.advance();
    }

    /// The server of a replica is gone: another one in sync takes over, if there is one.
    pub fn server_gone(&mut self, server: usize, up: &[bool], now: u64) {
        if self.leader == Some(server) {
            let able = |at: &usize| *at != server && up[*at] && self.in_sync[*at];
            let next = (0..self.replicas.len()).find(able);
            if next.is_some() {
                self.in_sync[server] = false;
            }
            self.elect(next, now);
        } else if self.in_sync_count() > 1 {
            self.in_sync[server] = false;
            self.advance();
        }
    }

    /// The server of a replica is back.
    pub fn server_back(&mut self, server: usize, now: u64) {
        let replica = &mut self.replicas[server];
        replica.reload_producers();
        replica.may_have_parted = true;
        if self.leader.is_none() && self.in_sync[server] {
            self.elect(Some(server), now);
        }
    }
}
