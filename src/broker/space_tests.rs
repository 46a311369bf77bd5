//! A disk that another program fills and empties, a thousand times: nothing acknowledged is lost,
//! and only producing stops while it is full.

use super::*;
use crate::config::TopicOverrides;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, DiskError};
use crate::limits::{CHECKPOINT_RETRY_MS, FULL_LOOK_MS, FULL_OVER_STEPS, SEGMENT_RESERVE_BYTES};
use crate::wire::batch;
use crate::wire::record::BatchBuilder;
use std::collections::VecDeque;
use std::rc::Rc;

const PARTITIONS: usize = 3;
const ROUNDS: u64 = 1_000;
/// Enough for a full disk to be over.
const ENOUGH: u64 = 2 * FULL_OVER_STEPS * SEGMENT_RESERVE_BYTES;
const FULL: Result<i64, ProduceError> =
    Err(ProduceError::Storage(WriteError::Disk(DiskError::NoSpace)));

/// What was acknowledged of a partition and not deleted: its offset and first byte.
type Acknowledged = [VecDeque<(i64, u8)>; PARTITIONS];

struct Life {
    disk: SimDisk,
    broker: Broker,
    now: Now,
    random: u64,
    acknowledged: Acknowledged,
    committed: i64,
}

fn start(disk: &SimDisk, now: Now) -> Opened {
    let config = BrokerConfig { journal_bytes: 1 << 20, ..BrokerConfig::default() };
    open(Rc::new(disk.clone()), config, 7, now).unwrap()
}

impl Life {
    fn new() -> Life {
        let disk = SimDisk::with_capacity(1 << 30);
        let now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };
        let broker = start(&disk, now).broker;
        let acknowledged = Acknowledged::default();
        let mut life = Life { disk, broker, now, random: 1, acknowledged, committed: 0 };
        life.sync();
        let (partitions, replication_factor) = (PARTITIONS as i32, 1);
        let overrides = TopicOverrides::default();
        let new = NewTopic { name: "t", partitions, replication_factor, overrides };
        life.broker.create_topic(new, now).unwrap();
        life.set_segment_bytes("40000");
        life
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    /// Small segments find no space when they begin, large ones while they grow.
    fn set_segment_bytes(&mut self, bytes: &str) {
        let mut overrides = TopicOverrides::default();
        overrides.set("segment.bytes", bytes).unwrap();
        let number = self.broker.topics().find("t").unwrap().number;
        self.broker.configure_topic(number, overrides, self.now).unwrap();
        self.sync();
    }

    /// What the server does between requests.
    fn sync(&mut self) {
        let now = self.now;
        self.broker.checkpoint(false, false, now).ok();
        self.broker.storage_mut().sync_all(now.mono).ok();
        while self.broker.pop_woken().is_some() {}
        assert_eq!(self.broker.storage().failed(), None);
    }

    fn wait(&mut self, ms: u64) {
        self.now.mono = self.now.mono.saturating_add(ms);
        self.now.wall_ms += ms as i64;
        self.broker.handle_timeout(self.now);
        self.sync();
    }

    /// Another program leaves so many bytes free for records; with none it leaves nothing at all.
    fn leave_free(&self, bytes: u64) {
        let reserve = self.broker.storage().quota().reserve();
        let bytes = if bytes == 0 { 0 } else { bytes + reserve };
        // A size below what is in use leaves nothing; the largest shows what that is.
        self.disk.set_capacity(1 << 40);
        let used = (1 << 40) - self.disk.free_bytes().unwrap();
        self.disk.set_capacity(used + bytes);
    }

    fn append(&mut self, partition: usize) -> Result<i64, ProduceError> {
        let mark = self.draw(256) as u8;
        let bytes = 2_000 + self.draw(9_000) as usize;
        let mut builder = BatchBuilder::new(self.now.wall_ms);
        builder.push(self.now.wall_ms, None, Some(&vec![mark; bytes]), &[]);
        let bytes = builder.finish();
        let header = batch::check(&bytes).unwrap();
        let produced = self.broker.append("t", partition as i32, &bytes, &header, self.now)?;
        self.acknowledged[partition].push_back((produced.base_offset, mark));
        Ok(produced.base_offset)
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        let offset = self.committed + 1;
        let commit = Commit { offset, leader_epoch: 0, metadata: "", retention_ms: None };
        self.broker.commit_offset("g", "t", 0, commit, self.now)?;
        self.committed = offset;
        self.sync();
        Ok(())
    }

    fn index(&self, partition: usize) -> usize {
        self.broker.find_partition("t", partition as i32).unwrap().1.index
    }

    /// Deletes all but the newest records of a partition.
    fn delete(&mut self, partition: usize) {
        let kept = self.acknowledged[partition].len().saturating_sub(12);
        self.acknowledged[partition].drain(..kept);
        if let Some((first, _)) = self.acknowledged[partition].front().copied() {
            let index = self.index(partition);
            self.broker.delete_records(index, first, self.now).unwrap();
        }
        self.sync();
    }

    /// Everything acknowledged is there, in its place, and nothing else.
    fn check(&mut self, round: u64) {
        for partition in 0..PARTITIONS {
            let index = self.index(partition);
            let mut found = VecDeque::new();
            let log = self.broker.storage().partition(index).unwrap();
            let mut offset = log.log_start;
            while let Some(slice) = self.broker.read(index, offset, 1, true).unwrap() {
                let mut bytes = vec![0; slice.first.total_bytes];
                slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).unwrap();
                let header = batch::check(&bytes).unwrap();
                let record = batch::records(&bytes, &header).next().unwrap().unwrap();
                found.push_back((slice.first.base_offset, record.value.unwrap()[0]));
                offset = slice.first.next_offset();
            }
            assert_eq!(found, self.acknowledged[partition], "round {round}, {partition}");
        }
        let committed = self.broker.groups.offsets().rows().map(|row| row.offset).max();
        assert_eq!(committed.unwrap_or(0), self.committed, "round {round}");
    }

    /// Says whether it took a second start. A cut takes what was reserved and not synced, and
    /// another program may have it then: that start writes nothing, and the next one that finds
    /// space restores everything from the journal.
    fn restart_after_a_cut(&mut self, variant: u64) -> bool {
        self.disk = self.disk.after_cut(variant);
        let Opened { mut broker, mut report } = start(&self.disk, self.now);
        let lacked_space = broker.storage().failed() == Some(DiskError::NoSpace);
        if lacked_space {
            drop(broker);
            self.leave_free(16 * SEGMENT_RESERVE_BYTES);
            Opened { broker, report } = start(&self.disk, self.now);
        }
        assert_eq!(report.notes, [""; 0]);
        self.broker = broker;
        self.sync();
        lacked_space
    }
}

#[test]
fn a_disk_that_is_filled_and_freed_a_thousand_times_loses_nothing() {
    let mut life = Life::new();
    let (mut refused, mut told, mut cuts, mut lacked_space) = ([0, 0], 0, 0, 0);
    for round in 0..ROUNDS {
        let left = life.draw(2 * SEGMENT_RESERVE_BYTES);
        life.leave_free(if round % 2 == 0 { 0 } else { left });
        let mut is_refused = false;
        for _ in 0..40 {
            let partition = life.draw(PARTITIONS as u64) as usize;
            match life.append(partition) {
                Ok(_) => life.sync(),
                answer => {
                    assert_eq!(answer, FULL, "round {round}");
                    is_refused = true;
                    refused[usize::from(round >= ROUNDS / 2)] += 1;
                }
            }
        }
        if is_refused {
            assert!(life.broker.space.poll_timeout().is_some());
            told += 1;
        }
        // Reading, committing and deleting go on; a power cut finds all of it.
        life.commit().unwrap();
        life.check(round);
        let partition = life.draw(PARTITIONS as u64) as usize;
        life.delete(partition);
        if round % 20 == 19 {
            let variant = life.draw(64);
            lacked_space += u64::from(life.restart_after_a_cut(variant));
            cuts += 1;
        }
        life.check(round);
        // The other program gives it back: the next batch of each partition is taken.
        life.leave_free(ENOUGH + PARTITIONS as u64 * SEGMENT_RESERVE_BYTES);
        for partition in 0..PARTITIONS {
            assert!(life.append(partition).is_ok(), "round {round}, {partition}");
        }
        life.sync();
        life.wait(FULL_LOOK_MS);
        assert_eq!(life.broker.space.poll_timeout(), None, "round {round}");
        (0..PARTITIONS).for_each(|partition| life.delete(partition));
        if round + 1 == ROUNDS / 2 {
            life.set_segment_bytes("4000000");
        }
    }
    let seen = (refused, told, cuts, lacked_space);
    assert!(refused.iter().all(|count| *count > 200), "{seen:?}");
    assert!(told > 100 && cuts == 50 && lacked_space > 0, "{seen:?}");
}

#[test]
fn with_no_byte_free_commits_and_deletions_go_on_for_many_journals() {
    let mut life = Life::new();
    for partition in 0..PARTITIONS {
        for _ in 0..20 {
            life.append(partition).unwrap();
        }
    }
    life.sync();
    let before = life.broker.storage().counters().checkpoints;
    for round in 0..30_000 {
        // What a deletion frees, the other program takes.
        life.leave_free(0);
        life.commit().unwrap();
        if round % 3_000 == 0 {
            life.delete(round / 3_000 % PARTITIONS);
            life.check(round as u64);
        }
    }
    let checkpoints = life.broker.storage().counters().checkpoints - before;
    assert!(checkpoints > 20, "{checkpoints}");
    life.restart_after_a_cut(0);
    life.check(1);
}

#[test]
fn a_journal_that_ran_full_because_the_disk_is_goes_on_within_a_second_of_space() {
    let mut life = Life::new();
    for partition in 0..PARTITIONS {
        life.append(partition).unwrap();
    }
    life.sync();
    // The space that is kept for the next checkpoint: without it the journal runs full.
    life.disk.remove_file("coordinator.new").unwrap();
    life.leave_free(0);
    let mut commits = 0;
    let refused = loop {
        match life.commit() {
            Ok(()) => commits += 1,
            Err(error) => break error,
        }
        assert!(commits < 100_000, "a journal of 1 MiB without a checkpoint runs full");
    };
    assert_eq!(refused, CommitError::Storage(Refusal::Busy), "which clients try again");
    assert!(commits > 100, "{commits}");
    life.wait(10 * CHECKPOINT_RETRY_MS);
    assert_eq!(life.commit(), Err(refused), "no space yet");
    life.check(0);
    life.leave_free(ENOUGH);
    // The checkpoint is tried again, and the server goes round once more.
    life.wait(CHECKPOINT_RETRY_MS);
    life.wait(0);
    const { assert!(CHECKPOINT_RETRY_MS < 1_000) };
    life.commit().unwrap();
    for partition in 0..PARTITIONS {
        life.append(partition).unwrap();
    }
    life.sync();
    life.check(1);
}
