//! A store with a quota: what goes for new records, and that files never take more.

use super::*;
use crate::config::{FullPolicy, TopicOverrides};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, DiskError};
use crate::state::forward::ForwardRow;
use crate::storage::PartitionKey;
use crate::wire::batch;
use crate::wire::record::BatchBuilder;
use std::collections::BTreeMap;
use std::rc::Rc;

const MIB: i64 = 1 << 20;
const FULL: Result<i64, ProduceError> =
    Err(ProduceError::Storage(WriteError::Disk(DiskError::NoSpace)));

struct Life {
    disk: SimDisk,
    broker: Broker,
    config: BrokerConfig,
    now: Now,
    quota: u64,
    /// Offset and first byte of what was acknowledged, by topic.
    acknowledged: BTreeMap<String, BTreeMap<i64, u8>>,
    random: u64,
}

impl Life {
    /// Topics whose names begin with `up` are forwarded.
    fn new(quota: i64, topics: &[(&str, FullPolicy)]) -> Life {
        let disk = SimDisk::new();
        let now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };
        let mut config = BrokerConfig { disk_quota_bytes: quota, ..BrokerConfig::default() };
        config.forward.bootstrap_servers = vec![("up".to_owned(), 9092)];
        config.forward.topics = vec!["up*".to_owned()];
        let broker = open(Rc::new(disk.clone()), config.clone(), 7, now).unwrap().broker;
        let (acknowledged, quota) = (BTreeMap::new(), quota as u64);
        let mut life = Life { disk, broker, config, now, quota, acknowledged, random: 1 };
        life.sync();
        for (name, policy) in topics {
            let mut overrides = TopicOverrides::default();
            overrides.set("full.policy", policy.as_text()).unwrap();
            let new = NewTopic { name, partitions: 1, replication_factor: 1, overrides };
            life.broker.create_topic(new, now).unwrap();
            life.acknowledged.insert((*name).to_owned(), BTreeMap::new());
        }
        life.sync();
        life
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    /// What the server does between requests.
    fn sync(&mut self) {
        let now = self.now;
        self.broker.checkpoint(false, false, now).ok();
        self.broker.storage_mut().sync_all(now.mono).ok();
        while self.broker.pop_woken().is_some() {}
        assert_eq!(self.broker.storage().failed(), None);
        let used = self.disk.used_bytes().unwrap();
        assert!(used <= self.quota, "{used} bytes of {}", self.quota);
        self.now.mono = now.mono.saturating_add(50);
    }

    /// One batch, as often as the producer's request would be woken to try again.
    fn append(&mut self, topic: &str, bytes: usize) -> Result<i64, ProduceError> {
        let mark = self.draw(256) as u8;
        let mut builder = BatchBuilder::new(self.now.wall_ms);
        builder.push(self.now.wall_ms, None, Some(&vec![mark; bytes]), &[]);
        let batch = builder.finish();
        let header = batch::check(&batch).unwrap();
        for _ in 0..20 {
            let produced = self.broker.append(topic, 0, &batch, &header, self.now);
            self.sync();
            match produced {
                Err(ProduceError::Busy) => {}
                Err(error) => return Err(error),
                Ok(produced) => {
                    let known = self.acknowledged.get_mut(topic).unwrap();
                    known.insert(produced.base_offset, mark);
                    return Ok(produced.base_offset);
                }
            }
        }
        panic!("no room comes of it");
    }

    /// Appends until nothing more is taken, `most` batches at most.
    fn fill(&mut self, topic: &str, most: usize) -> usize {
        (0..most).take_while(|_| self.append(topic, 3_000).is_ok()).count()
    }

    /// Upstream has everything before this offset.
    fn forwarded(&mut self, topic: &str, cursor: i64) {
        let topic = self.broker.topics().find(topic).unwrap().number;
        let row = ForwardRow { upstream_topic: "u".into(), ..ForwardRow::new(topic, 0, cursor) };
        self.broker.note_forward(&row);
    }

    fn starts_at(&self, topic: &str) -> i64 {
        self.broker.find_partition(topic, 0).unwrap().1.log_start_offset
    }

    fn end(&self, topic: &str) -> i64 {
        self.broker.find_partition(topic, 0).unwrap().1.log_end_offset
    }

    /// Everything acknowledged from the log's start on is there, and nothing else.
    fn check(&mut self) {
        for (topic, mut known) in self.acknowledged.clone() {
            let view = self.broker.find_partition(&topic, 0).unwrap().1;
            known.retain(|offset, _| *offset >= view.log_start_offset);
            let (mut found, mut offset) = (BTreeMap::new(), view.log_start_offset);
            while let Some(slice) = self.broker.read(view.index, offset, 1, true).unwrap() {
                let mut bytes = vec![0; slice.first.total_bytes];
                slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).unwrap();
                let header = batch::check_stored(&bytes).unwrap();
                let record = batch::records(&bytes, &header).next().unwrap().unwrap();
                found.insert(slice.first.base_offset, record.value.unwrap()[0]);
                offset = slice.first.next_offset();
            }
            assert_eq!(found, known, "{topic}");
        }
    }

    fn restart(&mut self, variant: u64) {
        self.disk = self.disk.after_cut(variant);
        let opened = open(Rc::new(self.disk.clone()), self.config.clone(), 7, self.now).unwrap();
        assert_eq!(opened.report.notes, [""; 0]);
        self.broker = opened.broker;
        self.sync();
    }
}

use FullPolicy::{DropForwardedFirst, DropOldest, Reject};

#[test]
fn reject_refuses_and_drops_nobodys() {
    let all = [("new", Reject), ("old", DropOldest), ("up", DropForwardedFirst)];
    let mut life = Life::new(2 * MIB, &all);
    assert_eq!([life.fill("old", 50), life.fill("up", 50)], [50, 50]);
    life.forwarded("up", 50);
    assert!(life.fill("new", 10_000) > 100);
    assert_eq!(life.append("new", 3_000), FULL);
    assert_eq!([life.starts_at("old"), life.starts_at("up"), life.starts_at("new")], [0, 0, 0]);
    life.check();
}

#[test]
fn by_default_what_is_upstream_goes_oldest_first_and_then_new_records_are_refused() {
    let all = [("new", DropForwardedFirst), ("kept", Reject), ("up", DropForwardedFirst)];
    let mut life = Life::new(2 * MIB, &[&all[..], &[("old", DropOldest)]].concat());
    assert_eq!([life.fill("up", 150), life.fill("kept", 20), life.fill("old", 20)], [150, 20, 20]);
    life.forwarded("up", 101);
    let taken = life.fill("new", 10_000);
    assert_eq!(life.append("new", 3_000), FULL);
    let start = life.starts_at("up");
    assert!((60..=101).contains(&start), "{start}: whole segments of what is upstream");
    assert!(taken > 200, "{taken}");
    assert_eq!([life.starts_at("old"), life.starts_at("kept"), life.starts_at("new")], [0, 0, 0]);
    // More goes upstream, and as much is taken.
    life.forwarded("up", 150);
    assert!(life.fill("new", 10_000) > 20);
    assert!(life.starts_at("up") > start);
    life.check();
}

#[test]
fn drop_oldest_takes_what_is_upstream_first_and_then_the_oldest_of_its_kind() {
    let all = [("new", DropOldest), ("old", DropOldest), ("kept", Reject)];
    let mut life = Life::new(2 * MIB, &[&all[..], &[("up", DropForwardedFirst)]].concat());
    assert_eq!(
        [life.fill("old", 100), life.fill("up", 100), life.fill("kept", 50)],
        [100, 100, 50]
    );
    life.forwarded("up", 60);
    while life.starts_at("old") == 0 {
        life.append("new", 3_000).unwrap();
    }
    assert!((20..=60).contains(&life.starts_at("up")), "that went first");
    let start = life.starts_at("up");
    assert_eq!(life.fill("new", 1_000), 1_000, "there always is an oldest one");
    assert_eq!(life.starts_at("up"), start, "the rest is not upstream");
    let left = life.end("old") - life.starts_at("old");
    assert!((1..20).contains(&left), "{left}: but for the segment that is written to");
    assert!(life.starts_at("new") > 500);
    assert_eq!(life.starts_at("kept"), 0);
    life.check();
}

#[test]
fn retention_goes_by_itself_and_never_takes_what_is_not_upstream() {
    let mut life = Life::new(2 * MIB, &[("plain", Reject), ("up", DropForwardedFirst)]);
    assert_eq!([life.fill("plain", 100), life.fill("up", 100)], [100, 100]);
    for name in ["plain", "up"] {
        let topic = life.broker.topics().find(name).unwrap();
        let (number, mut overrides) = (topic.number, *topic.overrides);
        overrides.set("retention.bytes", "50000").unwrap();
        life.broker.configure_topic(number, overrides, life.now).unwrap();
    }
    life.forwarded("up", 50);
    life.broker.apply_retention(life.now);
    life.sync();
    assert!(life.starts_at("plain") > 40, "reject is about want of room alone");
    assert!((20..=50).contains(&life.starts_at("up")));
    life.forwarded("up", 0);
    life.broker.apply_retention(life.now);
    life.check();
}

#[test]
fn the_smallest_store_keeps_its_quota_through_a_thousand_rounds_with_power_cuts() {
    let topics = ["a", "b", "c", "up1", "up2", "kept"];
    let policies = [DropOldest, DropOldest, DropOldest, DropForwardedFirst, DropOldest, Reject];
    let all: Vec<_> = topics.into_iter().zip(policies).collect();
    let mut life = Life::new(MIB, &all);
    assert!(life.broker.storage().quota().quota() == Some(1 << 20));
    let (mut refused, mut taken, mut dropped) = (0, 0, 0);
    for round in 0..1_000 {
        // One that keeps all it has would leave nothing to the others.
        let some = if life.acknowledged["kept"].len() < 30 { 6 } else { 5 };
        let topic = topics[life.draw(some) as usize];
        let bytes = match life.draw(20) {
            0 => 40_000,
            _ => 100 + life.draw(4_000) as usize,
        };
        match life.append(topic, bytes) {
            Ok(_) => taken += 1,
            error => {
                assert_eq!(error, FULL);
                assert_eq!(topic, "up1", "round {round}");
                refused += 1;
            }
        }
        let cursor = life.end("up1") * 3 / 4;
        life.forwarded("up1", cursor);
        // Commits go on, whatever there is room for.
        let commit = Commit { offset: round, leader_epoch: 0, metadata: "", retention_ms: None };
        life.broker.commit_offset("g", "a", 0, commit, life.now).unwrap();
        life.sync();
        if round % 50 == 49 {
            life.check();
            dropped += life.broker.space().dropped_in_all().0;
            life.restart(round as u64);
            life.check();
        }
    }
    assert!(taken > 900, "{refused} refused, {taken} taken");
    assert!(dropped > 50, "{dropped} segments went");
    // What has come goes by segments: nobody's topic was dropped whole.
    for topic in ["a", "b", "c", "up2"] {
        assert!(life.end(topic) - life.starts_at(topic) > 3, "{topic}");
    }
    assert_eq!(life.starts_at("kept"), 0);
}

#[test]
fn a_quota_that_was_lowered_is_kept_soon() {
    let mut life = Life::new(8 * MIB, &[("a", DropOldest), ("kept", Reject)]);
    assert_eq!([life.fill("a", 1_000), life.fill("kept", 10)], [1_000, 10]);
    assert_eq!(life.starts_at("a"), 0);
    life.config.disk_quota_bytes = 4 * MIB;
    life.restart(0);
    life.quota = 4 << 20;
    assert!(life.disk.used_bytes().unwrap() > 0);
    life.broker.handle_timeout(life.now);
    life.sync();
    assert!(life.starts_at("a") > 0);
    assert_eq!(life.fill("a", 1_000), 1_000);
    assert_eq!(life.starts_at("kept"), 0);
    life.check();
}

#[test]
fn a_deleted_topic_makes_room_and_a_full_store_lets_topics_be_deleted() {
    let mut life = Life::new(2 * MIB, &[("a", Reject), ("b", Reject)]);
    life.fill("a", 10_000);
    assert_eq!(life.append("b", 3_000), FULL);
    let number = life.broker.topics().find("a").unwrap().number;
    life.broker.delete_topic(number, life.now).unwrap();
    life.acknowledged.remove("a");
    life.sync();
    assert!(life.fill("b", 100) == 100, "at once");
    let key = PartitionKey { topic: number, partition: 0 };
    assert_eq!(life.broker.storage().find(key), None);
    life.check();
}
