//! For the handlers' tests: a whole broker on a simulated disk, asked with bytes.

use super::{Api, Buffers, Outcome, Parked, Peer, answer, find};
use crate::broker::{self, Broker, NewTopic};
use crate::config::BrokerConfig;
use crate::disk::sim::SimDisk;
use crate::time::{Millis, Now};
use crate::wire::batch;
use crate::wire::record::BatchBuilder;
use crate::wire::{Reader, Writer};
use core::ops::RangeInclusive;
use std::rc::Rc;

/// A broker with a disk and a clock of its own.
pub struct TestBroker {
    /// The broker.
    pub broker: Broker,
    /// Both clocks; move them by hand.
    pub now: Now,
    /// What the last request was parked for, if it was; handed back by [`TestBroker::again`].
    pub parked: Option<Parked>,
}

impl TestBroker {
    /// A first start.
    pub fn new() -> TestBroker {
        TestBroker::with(TestBroker::config())
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
        let mut test = TestBroker { broker: opened.broker, now, parked: None };
        test.sync();
        test
    }

    /// Runs all syncs that are due at any time: everything staged is durable afterwards.
    pub fn sync(&mut self) {
        let storage = self.broker.storage_mut();
        storage.want_sync(self.now.mono);
        while let Some(file) = storage.start_sync(Millis(u64::MAX)) {
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

    /// Runs a parked request again.
    pub fn again(&mut self, frame: &[u8]) -> (Outcome, Vec<u8>) {
        self.ask_raw(frame)
    }

    /// Sends a whole request, header included, without its frame length.
    pub fn ask_raw(&mut self, frame: &[u8]) -> (Outcome, Vec<u8>) {
        let address = "127.0.0.1:4000".parse().expect("an address");
        let local = "127.0.0.1:9092".parse().expect("an address");
        let peer = Peer { slot: 0, address, local };
        let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
        let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
        let parked = self.parked.take();
        let outcome = answer(&mut self.broker, self.now, peer, None, parked, frame, buffers)
            .expect("the request is not malformed");
        if let Outcome::Park(parked) = outcome {
            self.parked = Some(parked);
        }
        if bytes.is_empty() {
            return (outcome, bytes);
        }
        for piece in pieces.iter().rev() {
            let mut part = vec![0; piece.slice.bytes as usize];
            piece
                .slice
                .file
                .read_exact_at(&mut part, u64::from(piece.slice.position))
                .expect("read");
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

/// Versions, and the bodies of a request and of its response that are the same in all of them.
pub type Golden = (RangeInclusive<i16>, &'static str, &'static str);

/// Asks a fresh broker for each case; together the cases name every version of the API.
pub fn golden(api: &Api, prepare: impl Fn() -> TestBroker, cases: &[Golden]) {
    for version in api.versions.0..=api.versions.1 {
        let of_version = cases.iter().filter(|(versions, _, _)| versions.contains(&version));
        let mut count = 0;
        for (_, request, response) in of_version {
            let (_, body) = prepare().ask(api.key, version, |w| w.raw(&hex(request)));
            assert_eq!(to_hex(&body), to_hex(&hex(response)), "{} v{version}", api.name);
            count += 1;
        }
        assert_ne!(count, 0, "{} v{version} has no golden bytes", api.name);
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
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
