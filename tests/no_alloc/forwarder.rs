//! The forwarder: what it allocates when it is made, and that nothing follows.
//!
//! The machine runs against an upstream cluster of two brokers that is played here, on the real
//! disk, with rows that ride along with syncs; counted is what happens inside its calls, and
//! nothing of what upstream, the producers or the syncs do.
//!
//! Promises: the numbers are those of batches that were acknowledged. Absent: whether the records
//! are right (`tests/forward`), and the event loop's part of a connection.

use crate::NONE;
use crate::client::Count;
use ottla::broker::{self, Broker, NewTopic};
use ottla::config::{BrokerConfig, ForwardCompression, ForwardConfig};
use ottla::disk::os::OsDisk;
use ottla::forward::{Action, Event, Forwarder, LinkId};
use ottla::limits::{Board, Ledger, Sizes};
use ottla::state::forward::Forwarding;
use ottla::time::{Millis, Now};
use ottla::wire::batch::{self, BatchHeader};
use ottla::wire::record::BatchBuilder;
use ottla::wire::{Reader, Writer};
use std::collections::BTreeMap;
use std::rc::Rc;
use tempfile::TempDir;

/// Partitions of the one topic; the two brokers lead every second one.
const PARTITIONS: i32 = 6;
/// Batches of each codec that are counted.
const BATCHES: u64 = 10_000;

/// Names and numbers of the metadata that upstream tells beside our own: a large cluster.
#[derive(Clone, Copy, Default)]
struct Crowd {
    brokers: i32,
    partitions: i32,
}

struct World {
    broker: Broker,
    machine: Forwarder,
    now: Now,
    /// Bytes of requests that are not whole yet, by link.
    asked: BTreeMap<LinkId, Vec<u8>>,
    /// Records that upstream has, by partition.
    ends: Vec<i64>,
    /// Batches that were acknowledged.
    batches: u64,
    count: Count,
    crowd: Crowd,
    /// Bytes that the machine had allocated at most, and has, beyond those at the beginning.
    bytes: i64,
    bytes_max: i64,
    _directory: TempDir,
}

fn config(board: &Board, compression_type: ForwardCompression) -> BrokerConfig {
    let forward = ForwardConfig {
        bootstrap_servers: vec![("one".to_owned(), 9092)],
        linger_ms: 0,
        compression_type,
        retry_backoff_ms: 10,
        retry_backoff_max_ms: 20,
        ..ForwardConfig::default()
    };
    BrokerConfig { forward, ..BrokerConfig::of(board) }
}

/// Calls the machine, and counts what that does to the heap.
macro_rules! counted {
    ($world:expr, $call:expr) => {{
        let mut result = None;
        let info = allocation_counter::measure(|| result = Some($call));
        let frees = info.count_total as i64 - info.count_current;
        $world.count += Count { allocations: info.count_total, frees: frees as u64 };
        $world.bytes_max = $world.bytes_max.max($world.bytes + info.bytes_max as i64);
        $world.bytes += info.bytes_current;
        result.expect("it was called")
    }};
}

impl World {
    fn new(config: BrokerConfig) -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = OsDisk::open(directory.path()).expect("a data directory");
        let now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };
        let mut broker = broker::open(Rc::new(disk), config, 42, now).expect("it opens").broker;
        sync(&mut broker, now);
        let new = NewTopic { name: "t", partitions: PARTITIONS, ..NewTopic::default() };
        broker.create_topic(NewTopic { replication_factor: 1, ..new }, now).expect("a topic");
        sync(&mut broker, now);
        let (mut bytes, mut bytes_max, mut machine) = (0, 0, None);
        let info = allocation_counter::measure(|| {
            machine = Some(Forwarder::new(&mut broker, 3, now));
        });
        (bytes, bytes_max) = (bytes + info.bytes_current, bytes_max.max(info.bytes_max as i64));
        World {
            broker,
            machine: machine.expect("it was made"),
            now,
            asked: BTreeMap::new(),
            ends: vec![0; PARTITIONS as usize],
            batches: 0,
            count: NONE,
            crowd: Crowd::default(),
            bytes,
            bytes_max,
            _directory: directory,
        }
    }

    fn event(&mut self, event: Event<'_>) {
        counted!(self, self.machine.handle(&mut self.broker, event, self.now));
    }

    /// A batch of one record for each partition.
    fn produce(&mut self) {
        for partition in 0..PARTITIONS {
            let offset = self.ends[partition as usize];
            let value = format!("{{\"sensor\":\"t-{partition}\",\"value\":{:>90}}}", offset * 7919);
            let mut builder = BatchBuilder::new(self.now.wall_ms);
            builder.push(self.now.wall_ms, None, Some(value.as_bytes()), &[]);
            let sent = builder.finish();
            let header = batch::check(&sent).expect("a batch");
            let appended = self.broker.append("t", partition, &sent, &header, self.now);
            appended.expect("there is room");
        }
    }

    /// Everything that follows, until nothing does.
    fn settle(&mut self) {
        for _ in 0..200 {
            sync(&mut self.broker, self.now);
            if self.broker.forward_pending() {
                self.event(Event::Tick);
            }
            let mut moved = false;
            while let Some(action) = counted!(self, self.machine.poll_action()) {
                moved = true;
                match action {
                    Action::Connect { link, .. } => {
                        self.asked.insert(link, Vec::new());
                        self.event(Event::Connected(link));
                    }
                    Action::Close { link } => drop(self.asked.remove(&link)),
                }
            }
            let links: Vec<LinkId> = self.asked.keys().copied().collect();
            for link in links {
                moved |= self.exchange(link);
            }
            if !moved && !self.broker.forward_pending() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Takes what a link sends, and answers every request that is whole.
    fn exchange(&mut self, link: LinkId) -> bool {
        let (broker, now) = (&mut self.broker, self.now);
        let sent = counted!(self, self.machine.transmit(broker, link, now).len());
        if sent == 0 {
            return false;
        }
        // The same once more, outside of what is counted: nothing was taken yet.
        let bytes = self.machine.transmit(&mut self.broker, link, self.now).to_vec();
        counted!(self, self.machine.transmitted(link, bytes.len(), self.now));
        let asked = self.asked.entry(link).or_default();
        asked.extend_from_slice(&bytes);
        let mut answers = Vec::new();
        while let Some(length) = self.asked[&link].first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some(request) = self.asked[&link].get(4..4 + length) else { break };
            let request = request.to_vec();
            answers.extend(self.answer(&request));
            self.asked.get_mut(&link).expect("it is there").drain(..4 + length);
        }
        let mut rest = &answers[..];
        while !rest.is_empty() && self.asked.contains_key(&link) {
            let room = self.machine.room(link).min(rest.len());
            assert!(room > 0, "nobody else holds the buffer here");
            let (first, behind) = rest.split_at(room);
            self.event(Event::Received(link, first));
            rest = behind;
        }
        true
    }

    /// What upstream answers, as a whole frame.
    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let mut r = Reader::new(request, 0, false);
        let (key, version) = (
            r.i16("key").expect("what the forwarder writes is whole"),
            r.i16("version").expect("what the forwarder writes is whole"),
        );
        let mut frame = vec![0; 4];
        let mut r = Reader::new(&request[4..], version, false);
        let correlation = r.i32("correlation_id").expect("what the forwarder writes is whole");
        r.string("client_id").expect("what the forwarder writes is whole");
        let mut w = Writer::new(&mut frame, version, key == 18 && version >= 3);
        w.i32(correlation);
        match key {
            18 => {
                w.i16(0);
                let served = [(0, 8), (1, 11), (2, 2), (3, 5), (18, 3), (19, 4), (22, 1)];
                w.array(served.len());
                for (api, version_max) in served {
                    w.i16(api);
                    w.i16(0);
                    w.i16(version_max);
                    w.tags();
                }
                w.i32(0);
                w.tags();
            }
            3 => self.metadata(&mut w),
            2 => self.offsets(&mut r, &mut w),
            22 => {
                w.i32(0);
                w.i16(0);
                w.i64(4_000);
                w.i16(0);
            }
            0 => self.produced(&mut r, &mut w),
            other => panic!("request {other}"),
        }
        let length = frame.len() as u32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame
    }

    fn metadata(&self, w: &mut Writer<'_>) {
        w.i32(0);
        w.array(2 + self.crowd.brokers as usize);
        for id in 0..2 + self.crowd.brokers {
            w.i32(id);
            w.string(["one", "two", "an.other.broker.of.a.large.cluster"][id.min(2) as usize]);
            w.i32(9092);
            w.nullable_string(None);
        }
        w.nullable_string(Some("upstream"));
        w.i32(0);
        w.array(1);
        w.i16(0);
        w.string("t");
        w.bool(false);
        let partitions = PARTITIONS + self.crowd.partitions;
        w.array(partitions as usize);
        for partition in 0..partitions {
            w.i16(0);
            w.i32(partition);
            w.i32(partition % 2);
            for _ in 0..2 {
                w.array(1);
                w.i32(partition % 2);
            }
            w.array(0);
        }
    }

    fn offsets(&self, r: &mut Reader<'_>, w: &mut Writer<'_>) {
        r.i32("replica_id").expect("what the forwarder writes is whole");
        r.i8("isolation_level").expect("what the forwarder writes is whole");
        w.i32(0);
        w.array(r.array("topics").expect("what the forwarder writes is whole"));
        w.string(r.string("topic").expect("what the forwarder writes is whole"));
        let count = r.array("partitions").expect("what the forwarder writes is whole");
        w.array(count);
        for _ in 0..count {
            let partition = r.i32("partition").expect("what the forwarder writes is whole");
            r.i64("timestamp").expect("what the forwarder writes is whole");
            w.i32(partition);
            w.i16(0);
            w.i64(-1);
            w.i64(self.ends[partition as usize]);
        }
    }

    fn produced(&mut self, r: &mut Reader<'_>, w: &mut Writer<'_>) {
        r.nullable_string("transactional_id").expect("what the forwarder writes is whole");
        r.i16("acks").expect("what the forwarder writes is whole");
        r.i32("timeout_ms").expect("what the forwarder writes is whole");
        w.array(r.array("topics").expect("what the forwarder writes is whole"));
        w.string(r.string("topic").expect("what the forwarder writes is whole"));
        let count = r.array("partitions").expect("what the forwarder writes is whole");
        w.array(count);
        for _ in 0..count {
            let partition = r.i32("index").expect("what the forwarder writes is whole");
            let batch = r.bytes("records").expect("what the forwarder writes is whole");
            let header = BatchHeader::read(batch).expect("a batch");
            let end = &mut self.ends[partition as usize];
            w.i32(partition);
            w.i16(0);
            w.i64(*end);
            w.i64(-1);
            w.i64(0);
            w.array(0);
            w.nullable_string(None);
            *end += i64::from(header.records_count);
            self.batches += 1;
        }
        w.i32(0);
    }

    /// So many batches on, with time going by.
    fn run(&mut self, batches: u64) {
        let end = self.batches + batches;
        while self.batches < end {
            let before = self.batches;
            self.produce();
            // Rows ride along with what is not synced yet.
            self.event(Event::Tick);
            self.settle();
            self.now.mono = self.now.mono.saturating_add(250);
            self.now.wall_ms += 250;
            self.event(Event::Tick);
            self.settle();
            assert!(self.batches > before, "nothing goes up");
        }
    }
}

fn sync(broker: &mut Broker, now: Now) {
    broker.storage_mut().write_staged().expect("a disk");
    broker.storage_mut().want_sync(now.mono);
    while let Some(file) = broker.storage_mut().start_sync(now.mono) {
        // Not really: what is counted does not depend on it.
        drop(file);
        broker.storage_mut().finish_sync(Ok(()), now.mono);
    }
    while broker.pop_woken().is_some() {}
    broker.checkpoint(false, false, now).ok();
}

#[test]
fn batches_go_up_and_nothing_is_allocated() {
    for codec in [ForwardCompression::Producer, ForwardCompression::Gzip, ForwardCompression::Lz4] {
        let mut world = World::new(config(&Board::DESKTOP, codec));
        world.settle();
        world.run(1_000);
        assert!(world.asked.len() >= 2, "two brokers lead");
        // Lists and maps that are there are as large as they will be from the start.
        let (before, start) = (world.batches, world.ends.clone());
        world.count = NONE;
        world.run(BATCHES);
        let codec = codec.as_text();
        println!("{codec}: {} batches, {:?}", world.batches - before, world.count);
        assert_eq!(world.count, NONE, "{codec}");
        assert!(world.ends.iter().zip(&start).all(|(end, start)| end > start));
        let up = world.broker.forwarding().rows().map(|row| row.cursor).sum::<i64>();
        assert_eq!(up, world.ends.iter().sum(), "every row has moved");
    }
}

#[test]
fn with_zstd_it_takes_what_the_ledger_says() {
    let config = config(&Board::DESKTOP, ForwardCompression::Zstd);
    let ledger = ledger(&config);
    let mut world = World::new(config);
    world.run(1_000);
    println!("zstd: {} bytes at most, {} accounted for", world.bytes_max, ledger);
    assert!(world.bytes_max <= ledger, "{} of {ledger}", world.bytes_max);
}

/// Bytes that are accounted for, but for what the event loop takes.
fn ledger(config: &BrokerConfig) -> i64 {
    let mut ledger = Ledger::default();
    Forwarder::account(&config.sizes, &config.forward, &mut ledger);
    ledger.bytes() as i64
}

#[test]
fn making_it_takes_what_the_ledger_says_and_a_storm_of_reconnections_no_more() {
    let pi_zero =
        Board { memory_bytes: 6 << 20, connections: 32, partitions: 64, ..Board::DEFAULT };
    for board in [pi_zero, Board::DEFAULT, Board::DESKTOP] {
        let config = config(&board, ForwardCompression::Lz4);
        let accounted = ledger(&config);
        let sizes = Sizes::of(&board);
        let mut world = World::new(config);
        println!("{} of {accounted} bytes", world.bytes_max);
        assert!(world.bytes_max <= accounted, "{} of {accounted}", world.bytes_max);
        let least = accounted * if sizes.forward_unpacks_zstd { 6 } else { 8 } / 10;
        assert!(world.bytes_max >= least, "it is accounted for twice: {}", world.bytes_max);
        // The longest answers that are taken: 35 bytes for each partition.
        let partitions = (sizes.forward_answer_bytes / 36) as i32 - 300;
        world.crowd = Crowd { brokers: 150, partitions };
        for round in 0..100_u64 {
            world.produce();
            world.settle();
            let links: Vec<LinkId> = world.asked.keys().copied().collect();
            for link in links.into_iter().filter(|link| u64::from(*link) % 3 != round % 3) {
                world.asked.remove(&link);
                world.event(Event::Closed(link, "gone"));
            }
            world.now.mono = world.now.mono.saturating_add(40);
            world.event(Event::Tick);
            world.settle();
        }
        assert!(world.batches > 100, "{} batches", world.batches);
        assert!(world.bytes_max <= accounted, "{} of {accounted}", world.bytes_max);
        assert_eq!(world.count, NONE, "nothing was allocated after the start");
    }
}

#[test]
fn what_is_kept_of_lanes_takes_what_the_ledger_says() {
    for board in [Board::DEFAULT, Board::DESKTOP] {
        let sizes = Sizes::of(&board);
        let mut ledger = Ledger::default();
        Forwarding::account(&sizes, &mut ledger);
        let mut kept = None;
        let made = allocation_counter::measure(|| kept = Some(Forwarding::new(&sizes)));
        assert!(made.bytes_max <= ledger.bytes() && made.bytes_max * 10 > ledger.bytes() * 8);
    }
}
