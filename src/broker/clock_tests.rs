//! A wall clock that jumps as it likes: nothing but timestamps follows it.

use super::*;
use crate::config::TopicOverrides;
use crate::disk::sim::SimDisk;
use crate::limits::RING_BYTES_MIN;
use crate::wire::batch;
use crate::wire::record::BatchBuilder;
use std::collections::BTreeMap;
use std::rc::Rc;

const CUT_EVERY: u64 = 97;
const RETENTION_S: u64 = 1_200;
const SEGMENT_S: u64 = 60;

/// A broker with one topic, and what was written when.
struct World {
    disk: SimDisk,
    broker: Broker,
    /// Time that really passed, in milliseconds.
    real: u64,
    /// At which real time this broker was started: its own clock begins there.
    started: u64,
    wall_ms: i64,
    /// Real time of each record.
    written: BTreeMap<i64, u64>,
    random: u64,
}

fn config() -> BrokerConfig {
    BrokerConfig { journal_bytes: RING_BYTES_MIN as u32, ..BrokerConfig::default() }
}

impl World {
    fn new(settings: &[(&str, &str)]) -> World {
        let disk = SimDisk::new();
        let now = Now { mono: Millis(0), wall_ms: 0 };
        let mut broker = open(Rc::new(disk.clone()), config(), 7, now).unwrap().broker;
        let own = settings.iter().map(|(key, value)| (*key, Some(*value)));
        let overrides = TopicOverrides::from_pairs(own, &config()).unwrap();
        let new =
            NewTopic { name: "t", partitions: 1, replication_factor: 1, ..NewTopic::default() };
        broker.create_topic(NewTopic { overrides, ..new }, now).unwrap();
        let mut world = World {
            disk,
            broker,
            real: 0,
            started: 0,
            wall_ms: 0,
            written: BTreeMap::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        };
        world.sync();
        world
    }

    fn now(&self) -> Now {
        Now { mono: Millis(self.real - self.started), wall_ms: self.wall_ms }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// So much time passes really; on the wall it may be anything.
    fn pass(&mut self, ms: u64) {
        self.real += ms;
        self.wall_ms = match self.random() % 4 {
            0 => self.random() as i64 % (100 * 365 * 86_400_000),
            1 => self.random() as i64,
            _ => self.wall_ms.saturating_add(ms as i64),
        };
        let now = self.now();
        self.broker.handle_timeout(now);
        self.sync();
    }

    fn sync(&mut self) {
        let now = self.now();
        self.broker.checkpoint(false, false, now).ok();
        self.broker.storage_mut().sync_all(now.mono).ok();
    }

    fn append(&mut self) -> Produced {
        let mut builder = BatchBuilder::new(self.wall_ms.max(0));
        builder.push(self.wall_ms.max(0), None, Some(b"v"), &[]);
        let bytes = builder.finish();
        let header = batch::check(&bytes).unwrap();
        let produced = self.broker.append("t", 0, &bytes, &header, self.now()).unwrap();
        self.written.insert(produced.base_offset, self.real);
        produced
    }

    /// The power goes, and comes back after a time that nobody knows.
    fn cut(&mut self) {
        let variant = self.random() % 64;
        self.disk = self.disk.after_cut(variant);
        let bytes = self.disk.clone();
        self.real += self.random() % 10_000_000;
        self.started = self.real;
        self.wall_ms = 0;
        let now = self.now();
        self.broker = open(Rc::new(bytes), config(), 7, now).unwrap().broker;
        self.sync();
    }

    fn log_start(&self) -> i64 {
        let topic = self.broker.topics().find("t").unwrap();
        self.broker.partition(topic, 0).unwrap().log_start_offset
    }
}

#[test]
fn no_record_goes_a_second_early_and_none_is_kept_for_ever_however_the_clock_jumps() {
    let retention = (RETENTION_S * 1_000).to_string();
    let segment = (SEGMENT_S * 1_000).to_string();
    let mut world = World::new(&[("retention.ms", &retention), ("segment.ms", &segment)]);
    for _ in 0..4_000 {
        world.pass(3_600);
        world.append();
        world.sync();
        let start = world.log_start();
        let first_gone = world.written.range(..start).next_back().map(|(_, at)| *at);
        if let Some(at) = first_gone {
            assert!(world.real - at >= RETENTION_S * 1_000, "a record of {} ms", world.real - at);
        }
        let oldest = world.written.range(start..).next().map(|(_, at)| world.real - at);
        // Its segment is appended to for so long, and somebody looks every five seconds.
        let at_most = (RETENTION_S + SEGMENT_S + 15) * 1_000;
        assert!(oldest.is_none_or(|age| age <= at_most), "a record of {oldest:?} ms is there");
    }
    assert!(world.log_start() > 3_000);
    assert!(world.broker.clock().jumps() > 1_000);
}

#[test]
fn times_of_the_broker_never_run_backwards_within_a_log_also_over_restarts() {
    let mut world = World::new(&[("message.timestamp.type", "LogAppendTime")]);
    let mut last = i64::MIN;
    for turn in 0..1_000 {
        world.pass(3_600);
        // Higher and higher, but not every time.
        world.wall_ms = world.real as i64 + (world.random() % 100_000_000) as i64;
        let time = world.append().log_append_time_ms;
        assert!(time >= last.max(world.wall_ms), "{time} behind {last}");
        last = time;
        world.sync();
        if turn % CUT_EVERY == 0 {
            world.cut();
        }
    }
}

#[test]
fn a_board_that_is_cut_off_every_hour_and_writes_nothing_forgets_its_records_all_the_same() {
    let retention = (RETENTION_S * 10_000).to_string();
    let mut world = World::new(&[("retention.ms", &retention)]);
    world.append();
    world.sync();
    let mut hours = 0;
    while world.log_start() == 0 {
        for _ in 0..720 {
            world.pass(5_000);
        }
        world.cut();
        hours += 1;
        assert!(hours < 8, "the store's clock stands still");
    }
    // 3 h 20 min, less what the journal had not noted: ten minutes of each hour at most.
    assert!(hours >= 3, "after {hours} hours");
}
