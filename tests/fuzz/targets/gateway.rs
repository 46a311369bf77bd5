//! A broker on a simulated disk, asked with bytes as the server asks it, and judged by its answers.
//!
//! Promises: a parked request is run again as the server would; every answer is read strictly by
//! the descriptions of `differential/`; what one request makes the broker hold is bounded.

use super::{memory, schema};
use ottla::api::{
    API_VERSIONS_KEY, Broken, Buffers, FilePiece, Frame, Outcome, Parked, Peer, answer, find, go_on,
};
use ottla::broker::{self, Broker, NewTopic, Slot};
use ottla::config::BrokerConfig;
use ottla::disk::Disk;
use ottla::disk::sim::SimDisk;
use ottla::limits::{Board, MEMBER_METADATA_BYTES_MAX, RESPONSE_BYTES_MAX, Sizes};
use ottla::time::{Millis, Now};
use ottla::wire::record::BatchBuilder;
use ottla::wire::{RequestHeader, Writer, batch};
use std::rc::Rc;

/// What one request may make this thread hold: an answer of the largest size, in a buffer that
/// grows by doubling and is copied, and tables that grow by doubling.
const REQUEST_BYTES_MAX: usize = 4 * RESPONSE_BYTES_MAX;
/// How often a request that is parked is run again.
const TRIES_MAX: usize = 40;
/// The topic that a fuzzer is not told to touch.
const PROBE: &str = "probe";

/// A broker with a disk and a clock of its own.
pub struct Gateway {
    pub disk: SimDisk,
    pub broker: Broker,
    pub now: Now,
}

/// A small journal, so that it runs full and around, and small tables, so that they do.
///
/// A start is most of what an input costs, and it makes every table: with those of a real board
/// (256 partitions) a second had room for a quarter of the inputs.
pub fn config() -> BrokerConfig {
    let board = Board {
        connections: 8,
        partitions: 24,
        groups: 6,
        message_bytes: 16 * 1024,
        ..Board::DEFAULT
    };
    let mut config = BrokerConfig { journal_bytes: 32 * 1024, ..BrokerConfig::of(&board) };
    config.sizes = Sizes {
        segments: 96,
        producers: 24,
        members: 16,
        pending_members: 8,
        member_bytes: MEMBER_METADATA_BYTES_MAX + 4 * 1024,
        offsets: 64,
        offset_bytes: 4 * 1024,
        staged_bytes: 64 * 1024,
        ..config.sizes
    };
    config
}

/// How the broker's clock begins.
pub fn start_time() -> Now {
    Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 }
}

thread_local! {
    static PREPARED: SimDisk = {
        let disk = SimDisk::new();
        let mut gateway = Gateway::open(&disk, config());
        for (name, partitions) in [("t", 2), ("u", 1), (PROBE, 1)] {
            gateway.topic(name, partitions);
        }
        gateway.records("t", 0, 3);
        gateway.records("u", 0, 1);
        gateway.broker.checkpoint(true, true, gateway.now).ok();
        gateway.sync();
        disk
    };
}

impl Gateway {
    /// One that was prepared: `t` with two partitions and records in the first, `u` with one, and
    /// the topic that it is probed by.
    pub fn prepared() -> Gateway {
        schema::forget();
        let disk = PREPARED.with(SimDisk::fork);
        Gateway::open(&disk, config())
    }

    /// Starts a broker; it always starts.
    pub fn open(disk: &SimDisk, config: BrokerConfig) -> Gateway {
        Gateway::open_as(disk, config, 42)
    }

    /// The same, with ids of its own.
    pub fn open_as(disk: &SimDisk, config: BrokerConfig, seed: u128) -> Gateway {
        let now = start_time();
        let shared: Rc<dyn Disk> = Rc::new(disk.clone());
        let opened = broker::open(shared, config, seed, now).expect("it always starts");
        Gateway { disk: disk.clone(), broker: opened.broker, now }
    }

    /// Creates a topic, durably.
    pub fn topic(&mut self, name: &str, partitions: i32) {
        let new = NewTopic { name, partitions, replication_factor: -1, ..NewTopic::default() };
        self.broker.create_topic(new, self.now).expect("a new topic");
        self.sync();
    }

    /// Appends a batch of so many records, durably.
    pub fn records(&mut self, topic: &str, partition: i32, count: i64) {
        let mut batch = BatchBuilder::new(1_000);
        (0..count).for_each(|at| batch.push(1_000 + at, Some(b"k"), Some(b"v"), &[]));
        let bytes = batch.finish();
        let header = batch::check(&bytes).expect("a good batch");
        self.broker.append(topic, partition, &bytes, &header, self.now).expect("appended");
        self.sync();
    }

    /// Runs all syncs that are due at any time, and a checkpoint where one is due.
    pub fn sync(&mut self) {
        for _ in 0..64 {
            let storage = self.broker.storage_mut();
            storage.write_staged().ok();
            storage.want_sync(self.now.mono);
            while let Some(file) = self.broker.storage_mut().start_sync(self.now.mono) {
                let result = file.sync();
                self.broker.storage_mut().finish_sync(result, self.now.mono);
            }
            while self.broker.pop_woken().is_some() {}
            if !self.broker.storage().checkpoint_due() {
                return;
            }
            self.broker.checkpoint(false, false, self.now).ok();
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.saturating_add(ms);
        self.now.wall_ms = self.now.wall_ms.saturating_add(ms as i64);
        self.broker.handle_timeout(self.now);
        while self.broker.pop_woken().is_some() {}
    }

    /// Sends a request without its frame length, and waits for what it waits for. The whole answer
    /// behind its frame length, with the pieces of files in place; `None` where there is none.
    pub fn ask(&mut self, slot: Slot, frame: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let mut asking = Asking::new(slot, frame);
        for _ in 0..TRIES_MAX {
            if let Some(answer) = asking.step(self, frame.len())? {
                return Ok(answer.inspect(|answer| asking.judge(frame, answer)));
            }
            asking.wait(self);
        }
        // It waits for others, for as long as they please: the client goes.
        self.broker.connection_closed(slot);
        Ok(None)
    }

    /// A good record is taken, durably, and comes back. Only where the fuzzer has found the topic
    /// and changed or removed it, there is nothing to be said.
    pub fn still_serves(&mut self) {
        let untouched = |broker: &Broker| {
            let topic = broker.topics().find(PROBE)?;
            topic.overrides.is_empty().then(|| broker.find_partition(PROBE, 0))?.map(|(_, v)| v)
        };
        let Some(before) = untouched(&self.broker) else { return };
        self.pass(60_000);
        self.sync();
        let mut sent = BatchBuilder::new(5_000);
        sent.push(5_000, Some(b"key"), Some(b"still here"), &[]);
        let sent = sent.finish();
        let frame = frame(0, 8, |w| {
            w.nullable_string(None);
            w.i16(-1);
            w.i32(1_000);
            w.array(1);
            w.string(PROBE);
            w.array(1);
            w.i32(0);
            w.bytes(&sent);
        });
        self.ask(7, &frame).expect("a good request").expect("an answer");
        let after = untouched(&self.broker).expect("it was there");
        assert_eq!(after.log_end_offset, before.log_end_offset + 1, "a good record is taken");
        assert_eq!(after.high_watermark, after.log_end_offset, "and it is durable");
        let read = self.broker.read(after.index, before.log_end_offset, 1 << 20, true);
        let slice = read.expect("the log can be read").expect("there is a record");
        let mut bytes = vec![0; slice.bytes as usize];
        slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).expect("it can be read");
        batch::check_stored(&bytes).expect("and it is whole");
        assert_eq!(bytes[batch::HEADER_BYTES..], sent[batch::HEADER_BYTES..]);
    }
}

/// A whole request without its frame length.
pub fn frame(key: i16, version: i16, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let flexible = find(key).is_some_and(|api| version >= api.flexible);
    let mut frame = Vec::new();
    let mut w = Writer::new(&mut frame, version, false);
    w.i16(key);
    w.i16(version);
    w.i32(7);
    w.string("fuzz");
    let mut w = Writer::new(&mut frame, version, flexible);
    w.tags();
    write(&mut w);
    frame
}

/// Bytes of the header in front of a request's body; `None` where it cannot be read.
pub fn header_bytes(frame: &[u8]) -> Option<usize> {
    let flexible = |key, version| find(key).is_some_and(|api| version >= api.flexible);
    let (_, body) = RequestHeader::read(frame, flexible).ok()?;
    Some(frame.len() - body.rest().len())
}

/// A request under way.
pub struct Asking<'a> {
    slot: Slot,
    frame: &'a [u8],
    parked: Option<Parked>,
    begun: Option<ottla::api::Partly>,
    consumed: usize,
    answer: Vec<u8>,
    pieces: Vec<FilePiece>,
    /// The log has to be durable up to here, or has not.
    pub after_sync: bool,
}

fn peer(slot: Slot) -> Peer {
    let address = "127.0.0.1:4000".parse().expect("an address");
    let local = "127.0.0.1:9092".parse().expect("an address");
    Peer { slot, address, local }
}

impl<'a> Asking<'a> {
    /// Nothing of it is worked on yet.
    pub fn new(slot: Slot, frame: &'a [u8]) -> Asking<'a> {
        Asking {
            slot,
            frame,
            parked: None,
            begun: None,
            consumed: 0,
            answer: Vec::new(),
            pieces: Vec::new(),
            after_sync: false,
        }
    }

    /// Bytes that have to be here before [`Asking::step`] gets on.
    pub fn wants(&self) -> usize {
        let needed = self.begun.as_ref().map_or(0, |begun| begun.needed);
        (self.consumed + needed).min(self.frame.len())
    }

    /// Whether it waits for something else than bytes.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some() || self.begun.as_ref().is_some_and(|begun| begun.parked.is_some())
    }

    /// Runs it with the first `here` bytes; `Some` when it is done, with its answer if it has one.
    pub fn step(
        &mut self,
        gateway: &mut Gateway,
        here: usize,
    ) -> Result<Option<Option<Vec<u8>>>, Broken> {
        let Asking { slot, frame, .. } = *self;
        let rest = &frame[self.consumed..here];
        let frame = Frame { bytes: rest, beyond: self.frame.len() - here };
        let (parked, begun) = (self.parked.take(), self.begun.take());
        let buffers = Buffers { bytes: &mut self.answer, pieces: &mut self.pieces };
        let (broker, now) = (&mut gateway.broker, gateway.now);
        let outcome = memory::bounded("a request", REQUEST_BYTES_MAX, || match begun {
            Some(begun) => go_on(broker, now, peer(slot), begun.stream, frame, 0, buffers),
            None => answer(broker, now, peer(slot), None, parked, frame, buffers),
        });
        gateway.broker.storage_mut().write_staged().ok();
        match outcome? {
            Outcome::Park(parked) => {
                assert!(self.answer.is_empty() && self.pieces.is_empty());
                assert!(parked.deadline.is_none_or(|at| at > now.mono), "parked until the past");
                self.parked = Some(parked);
                return Ok(None);
            }
            Outcome::Partly(partly) => {
                let parked = partly.parked;
                assert!(parked.is_none_or(|p| p.deadline.is_none_or(|at| at > now.mono)));
                self.consumed += partly.consumed;
                assert!(parked.is_some() || self.consumed + partly.needed > here, "it could go on");
                self.begun = Some(partly);
                return Ok(None);
            }
            Outcome::Silent => {
                assert!(self.answer.is_empty() && self.pieces.is_empty());
                return Ok(Some(None));
            }
            Outcome::Close(_) => panic!("an error is to be returned"),
            Outcome::AfterSync(_) => self.after_sync = true,
            Outcome::Now | Outcome::AfterWrite(_) => {}
        }
        if self.after_sync {
            gateway.sync();
        }
        Ok(Some(Some(self.whole())))
    }

    /// Waits for what it waits for: first a sync, then the end of its patience.
    pub fn wait(&mut self, gateway: &mut Gateway) {
        gateway.sync();
        let begun = self.begun.as_ref().and_then(|begun| begun.parked);
        let deadline = self.parked.or(begun).and_then(|parked| parked.deadline);
        let ms = deadline.map_or(1_000, |at| at.since(gateway.now.mono));
        gateway.pass(ms.min(400_000));
    }

    /// The answer behind its frame length.
    fn whole(&mut self) -> Vec<u8> {
        let mut bytes = core::mem::take(&mut self.answer);
        for piece in self.pieces.drain(..).rev() {
            let mut part = vec![0; piece.bytes as usize];
            let from = u64::from(piece.position);
            piece.file.read_exact_at(&mut part, from).expect("a piece that is there");
            bytes.splice(piece.at..piece.at, part);
        }
        let length = bytes.first_chunk::<4>().map_or(0, |length| i32::from_be_bytes(*length));
        assert_eq!(length as usize + 4, bytes.len(), "the frame's length");
        bytes.split_off(4)
    }

    /// The answer is one to this request, and every byte of it belongs to a field.
    fn judge(&self, frame: &[u8], answer: &[u8]) {
        let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let (key, version) = (number(0), number(2));
        assert_eq!(answer[..4], frame[4..8], "the correlation id");
        let api = find(key).expect("only what is served is answered");
        let served = (api.versions.0..=api.versions.1).contains(&version);
        // An unknown version of ApiVersions is answered in version 0 (KIP-511).
        let version = if served { version } else { 0 };
        let tagged = version >= api.flexible && key != API_VERSIONS_KEY;
        let body = &answer[4 + usize::from(tagged)..];
        if let Err(what) = schema::is_well_formed(key, version, body) {
            panic!("{} v{version}: {what} in {body:02x?}", api.name);
        }
    }
}
