//! For the handlers' tests: a whole broker on a simulated disk, asked with bytes.

use super::{Api, Buffers, Frame, Outcome, Parked, Partly, Peer, answer, find, go_on};
use crate::broker::{self, Broker, NewTopic, Slot};
use crate::config::BrokerConfig;
use crate::disk::sim::SimDisk;
use crate::time::{Millis, Now};
use crate::wire::batch;
use crate::wire::record::BatchBuilder;
use crate::wire::{Reader, Writer};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A broker with a disk and a clock of its own.
pub struct TestBroker {
    /// The broker.
    pub broker: Broker,
    /// Both clocks; move them by hand.
    pub now: Now,
    /// What the last request of each connection was parked for, if it was; handed back by
    /// [`TestBroker::again`].
    pub parked: BTreeMap<Slot, Parked>,
    /// The Produce request of each connection that is parked midway.
    begun: BTreeMap<Slot, Begun>,
}

/// A request that is answered in part.
struct Begun {
    partly: Partly,
    answer: Vec<u8>,
    consumed: usize,
}

impl Default for TestBroker {
    fn default() -> Self {
        TestBroker::new()
    }
}

impl TestBroker {
    /// A first start.
    pub fn new() -> TestBroker {
        TestBroker::with(TestBroker::config())
    }

    /// A first start, and a topic `t` with three records in the first of its partitions.
    pub fn with_records(partitions: i32) -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", partitions);
        test.three_records("t", 0);
        test
    }

    /// The configuration of [`TestBroker::new`].
    pub fn config() -> BrokerConfig {
        BrokerConfig { journal_bytes: 256 * 1024, ..BrokerConfig::default() }
    }

    /// A first start with this configuration.
    pub fn with(config: BrokerConfig) -> TestBroker {
        let now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };
        let disk = Rc::new(SimDisk::new());
        let opened = broker::open(disk, config, 42, now).expect("a simulated disk opens");
        let mut test = TestBroker {
            broker: opened.broker,
            now,
            parked: BTreeMap::new(),
            begun: BTreeMap::new(),
        };
        test.sync();
        test
    }

    /// Runs all syncs that are due at any time: everything staged is durable afterwards.
    pub fn sync(&mut self) {
        let storage = self.broker.storage_mut();
        storage.want_sync(self.now.mono);
        while let Some(file) = storage.start_sync(self.now.mono) {
            storage.finish_sync(file.sync(), self.now.mono);
        }
    }

    /// Creates a topic, durably.
    pub fn topic(&mut self, name: &str, partitions: i32) {
        let new = NewTopic { name, partitions, replication_factor: -1, ..NewTopic::default() };
        self.broker.create_topic(new, self.now).expect("a new topic");
        self.sync();
    }

    /// Appends a batch, which is not synced.
    pub fn produce(&mut self, topic: &str, partition: i32, batch: &[u8]) {
        let header = batch::check(batch).expect("a good batch");
        self.broker.append(topic, partition, batch, &header, self.now).expect("appended");
    }

    /// Appends records with the timestamps 1000, 2000 and 3000, durably.
    pub fn three_records(&mut self, topic: &str, partition: i32) {
        let mut batch = BatchBuilder::new(1_000);
        for time in [1_000, 2_000, 3_000] {
            batch.push(time, None, Some(b"v"), &[]);
        }
        self.produce(topic, partition, &batch.finish());
        self.sync();
    }

    /// Sends a request whose body `write` fills, and returns outcome and the response's body: what
    /// stands behind frame length, correlation id and header tags. File pieces are spliced in.
    pub fn ask(
        &mut self,
        key: i16,
        version: i16,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> (Outcome, Vec<u8>) {
        let frame = request(key, version, write);
        self.ask_raw(&frame)
    }

    /// A topic of one partition.
    pub fn create_topic(&mut self, name: &str) {
        let new = NewTopic { name, partitions: 1, replication_factor: 1, ..NewTopic::default() };
        self.broker.create_topic(new, self.now).expect("a fresh name");
        self.sync();
    }

    /// A client on connection 0 joins group "g" and leads it, in generation 1: its member id.
    pub fn member(&mut self) -> String {
        let (_, answer) = self.ask(11, 0, |w| {
            w.string("g");
            w.i32(10_000);
            w.string("");
            w.string("consumer");
            w.array(2);
            w.string("range");
            w.bytes(&[1, 2]);
            w.string("rr");
            w.bytes(&[3]);
        });
        let mut r = Reader::new(&answer, 0, false);
        assert_eq!(r.i16("error"), Ok(0));
        r.i32("generation").expect("a generation");
        r.string("protocol").expect("a protocol");
        r.string("leader").expect("a leader").to_owned()
    }

    /// The same, and it has assigned itself the byte 9: the group is stable.
    pub fn stable_member(&mut self) -> String {
        let member_id = self.member();
        let (_, answer) = self.ask(14, 0, |w| {
            w.string("g");
            w.i32(1);
            w.string(&member_id);
            w.array(1);
            w.string(&member_id);
            w.bytes(&[9]);
        });
        assert_eq!(answer, [0, 0, 0, 0, 0, 1, 9]);
        member_id
    }

    /// Runs a parked request again.
    pub fn again(&mut self, frame: &[u8]) -> (Outcome, Vec<u8>) {
        self.ask_raw(frame)
    }

    /// Sends a whole request, header included, without its frame length.
    pub fn ask_raw(&mut self, frame: &[u8]) -> (Outcome, Vec<u8>) {
        self.ask_from(0, frame)
    }

    /// The same over a connection of one's choice. A parked request has to be sent again, as the
    /// server does.
    pub fn ask_from(&mut self, slot: Slot, frame: &[u8]) -> (Outcome, Vec<u8>) {
        let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
        let parked = self.parked.remove(&slot);
        let begun = self.begun.remove(&slot);
        let mut consumed = 0;
        let outcome = match begun {
            Some(begun) => {
                (bytes, consumed) = (begun.answer, begun.consumed);
                let rest = Frame::whole(&frame[consumed..]);
                let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
                let stream = begun.partly.stream;
                go_on(&mut self.broker, self.now, peer(slot), stream, rest, 0, buffers)
            }
            None => {
                let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
                let frame = Frame::whole(frame);
                answer(&mut self.broker, self.now, peer(slot), None, parked, frame, buffers)
            }
        };
        let outcome = outcome.expect("the request is not malformed");
        match outcome {
            Outcome::Park(parked) => {
                self.parked.insert(slot, parked);
            }
            Outcome::Partly(partly) => {
                let answer = core::mem::take(&mut bytes);
                let consumed = consumed + partly.consumed;
                self.begun.insert(slot, Begun { partly, answer, consumed });
            }
            _ => {}
        }
        if bytes.is_empty() {
            return (outcome, bytes);
        }
        for piece in pieces.iter().rev() {
            let mut part = vec![0; piece.bytes as usize];
            piece.file.read_exact_at(&mut part, u64::from(piece.position)).expect("read");
            bytes.splice(piece.at..piece.at, part);
        }
        let mut length = [0; 4];
        length.copy_from_slice(&bytes[..4]);
        assert_eq!(i32::from_be_bytes(length) as usize, bytes.len() - 4, "the frame's length");
        let key = i16::from_be_bytes([frame[0], frame[1]]);
        let version = i16::from_be_bytes([frame[2], frame[3]]);
        let flexible = find(key).is_some_and(|api| version >= api.flexible);
        let header = if flexible && key != super::API_VERSIONS_KEY { 9 } else { 8 };
        (outcome, bytes.split_off(header))
    }
}

/// Who asks in tests.
pub fn peer(slot: Slot) -> Peer {
    let address = "127.0.0.1:4000".parse().expect("an address");
    let local = "127.0.0.1:9092".parse().expect("an address");
    Peer { slot, address, local }
}

/// Versions, and the bodies of a request and of its response that are the same in all of them,
/// as Kafka's own classes write them.
pub type Golden = (RangeInclusive<i16>, &'static str, &'static str);

/// Sends each request to a broker of its own and compares the answer byte for byte; together the
/// cases name every version of the API. Then the request's ruins are sent: see [`hostile`].
pub fn golden(api: &Api, prepare: impl Fn() -> TestBroker, cases: &[Golden]) {
    for version in api.versions.0..=api.versions.1 {
        let of_version = cases.iter().filter(|(versions, _, _)| versions.contains(&version));
        let mut count = 0;
        for (_, request_body, response) in of_version {
            let mut test = prepare();
            let frame = request(api.key, version, |w| w.raw(&hex(request_body)));
            let (_, body) = test.ask_raw(&frame);
            assert_eq!(to_hex(&body), to_hex(&hex(response)), "{} v{version}", api.name);
            hostile(&mut test, &frame);
            count += 1;
        }
        assert_ne!(count, 0, "{} v{version} has no golden bytes", api.name);
    }
}

/// Sends a request cut at each byte, and with random bytes in random places: answers and refusals
/// are both fine, panics are not.
pub fn hostile(test: &mut TestBroker, frame: &[u8]) {
    let mut send = |frame: &[u8]| {
        let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
        let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
        // Whether it was readable is not asked.
        let frame = Frame::whole(frame);
        answer(&mut test.broker, test.now, peer(0), None, None, frame, buffers).ok();
    };
    for length in 4..frame.len() {
        send(&frame[..length]);
    }
    let mut state = 42;
    for _ in 0..300 {
        let mut bent = frame.to_vec();
        for _ in 0..=random(&mut state) % 3 {
            let at = 4 + random(&mut state) as usize % (bent.len() - 4);
            bent[at] = random(&mut state) as u8;
        }
        send(&bent);
    }
}

/// SplitMix64, for tests that want the same chaos every time.
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Hexadecimal digits of bytes.
fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole request without its frame length.
pub fn request(key: i16, version: i16, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let flexible = find(key).is_some_and(|api| version >= api.flexible);
    let mut frame = Vec::new();
    let mut w = Writer::new(&mut frame, version, false);
    w.i16(key);
    w.i16(version);
    w.i32(7);
    w.string("test");
    let mut w = Writer::new(&mut frame, version, flexible);
    w.tags();
    write(&mut w);
    frame
}

/// A cursor over a response's body.
pub fn body(bytes: &[u8], key: i16, version: i16) -> Reader<'_> {
    Reader::new(bytes, version, find(key).is_some_and(|api| version >= api.flexible))
}

/// Bytes from hexadecimal digits, blanks between them ignored: golden bytes.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |p: &[u8]| u8::from_str_radix(core::str::from_utf8(p).expect("digits"), 16);
    digits.chunks(2).map(|p| pair(p).expect("two digits")).collect()
}
