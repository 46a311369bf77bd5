//! A broker on the real disk and its connections, without sockets: bytes in, syncs, bytes out.
//!
//! Promises: does what the server does, in its order (`server::session`, `server::committer`), on
//! this one thread, with real syncs; counts what that does to the heap, and nothing of what only
//! the test does. Time is moved by hand.

use crate::requests::{self, Ask, Producing};
use crate::{IN_FLIGHT, RECORD_BYTES};
use ottla::api::Peer;
use ottla::broker::{self, Broker, NewTopic};
use ottla::config::{BrokerConfig, ForwardConfig};
use ottla::disk::os::OsDisk;
use ottla::server::connection::{Connection, Send};
use ottla::server::shared::{SeatMemory, Shared};
use ottla::time::{Millis, Now};
use std::ops::AddAssign;
use std::rc::Rc;
use tempfile::TempDir;

/// Connections that wait for the same records in [`World::wait_and_wake`].
pub const CONSUMERS: usize = 5;

/// What a request allocates that begins or opens a segment: two names, two files, places in lists.
pub const SEGMENT_ALLOCATIONS_MAX: u64 = 11;
/// What a checkpoint of one topic, one group and one producer allocates.
pub const CHECKPOINT_ALLOCATIONS_MAX: u64 = 28;

/// What was done to the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Allocations; one that grows is one more, and a free.
    pub allocations: u64,
    /// Frees.
    pub frees: u64,
}

impl Count {
    /// What `work` does to the heap.
    pub fn of(work: impl FnOnce()) -> Count {
        let info = allocation_counter::measure(work);
        let frees = info.count_total as i64 - info.count_current;
        Count { allocations: info.count_total, frees: frees as u64 }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.allocations += other.allocations;
        self.frees += other.frees;
    }
}

struct Client {
    connection: Connection,
    /// What it was answered in this round.
    answers: Vec<u8>,
}

/// The broker and its clients.
pub struct World {
    broker: Broker,
    now: Now,
    clients: Vec<Client>,
    /// What the server's connections share.
    shared: Shared,
    /// The group's one member.
    pub member: String,
    /// Base offset of the segment that was read last.
    read_segment: i64,
    _directory: TempDir,
}

impl World {
    /// A broker with a topic "t" of one partition, and a stable group "g".
    pub fn new() -> World {
        World::with(BrokerConfig::default())
    }

    /// The same, and everything is to be forwarded: figures and wishes of the forwarder are there,
    /// but not the machine itself, see `forwarder`.
    pub fn forwarding() -> World {
        let bootstrap_servers = vec![("upstream".to_owned(), 9092)];
        let forward = ForwardConfig { bootstrap_servers, ..ForwardConfig::default() };
        World::with(BrokerConfig { forward, ..BrokerConfig::default() })
    }

    fn with(config: BrokerConfig) -> World {
        // The search for rot opens files when it likes, which takes 96 bytes each time.
        let config = BrokerConfig { log_scrub_bytes_per_second: 0, ..config };
        let directory = tempfile::tempdir().expect("a directory");
        let disk = OsDisk::open(directory.path()).expect("a data directory");
        let now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };
        let opened = broker::open(Rc::new(disk), config, 42, now);
        let broker = opened.expect("it opens").broker;
        let sizes = broker.config().sizes;
        let shared = Shared::new(&sizes, &**broker.storage().disk());
        let client = |(slot, memory)| {
            let address = "127.0.0.1:4000".parse().expect("an address");
            let local = "127.0.0.1:9092".parse().expect("an address");
            let connection = Connection::new(Peer { slot, address, local }, memory);
            Client { connection, answers: Vec::with_capacity(1 << 20) }
        };
        let mut world = World {
            broker,
            now,
            clients: (0..=CONSUMERS as u32).zip(SeatMemory::for_all(&sizes)).map(client).collect(),
            shared,
            member: String::new(),
            read_segment: -1,
            _directory: directory,
        };
        world.commit();
        let new =
            NewTopic { name: "t", partitions: 1, replication_factor: 1, ..NewTopic::default() };
        world.broker.create_topic(new, now).expect("a new topic");
        world.commit();
        let join = requests::join_group();
        world.round(std::slice::from_ref(&join));
        let mut r = join.body(&world.clients[0].answers);
        r.i32("throttle_time_ms").expect("it was checked");
        r.i16("error_code").expect("it was checked");
        assert_eq!(r.i32("generation_id"), Ok(1));
        r.string("protocol_name").expect("a protocol");
        world.member = r.string("leader").expect("the member itself").to_owned();
        let sync = requests::sync_group(&world.member);
        world.round(&[sync]);
        world
    }

    /// Puts records into the log.
    pub fn fill(&mut self, records: usize) {
        let mut producing = Producing::new(-1, RECORD_BYTES);
        for _ in 0..records.div_ceil(IN_FLIGHT) {
            let asks: Vec<Ask> = (0..IN_FLIGHT).map(|_| producing.next()).collect();
            self.round(&asks);
            self.checkpoint();
        }
    }

    /// Sends requests over one connection, in flight together, until all are answered. Returns
    /// what that did to the heap, and whether a segment was begun or an older one opened.
    pub fn round(&mut self, asks: &[Ask]) -> (Count, bool) {
        let segments = self.segments();
        self.clients[0].answers.clear();
        let count = Count::of(|| {
            for ask in asks {
                self.arrive(0, &ask.frame);
            }
            self.finish(0, asks.len());
        });
        self.check(0, asks);
        let mut opened = segments != self.segments();
        for offset in asks.iter().filter_map(|ask| ask.offset) {
            let segment = self.segment_of(offset);
            opened |= segment != self.read_segment;
            self.read_segment = segment;
        }
        (count, opened)
    }

    /// Requests over several connections, one after the other, some of which wait for others: they
    /// are answered in the end. Returns what that did to the heap.
    pub fn scene(&mut self, lines: &[(usize, Ask)]) -> Count {
        self.clients.iter_mut().for_each(|client| client.answers.clear());
        let count = Count::of(|| {
            for (client, ask) in lines {
                self.arrive(*client, &ask.frame);
            }
            for client in 0..self.clients.len() {
                self.finish(client, lines.iter().filter(|line| line.0 == client).count());
            }
        });
        for client in 0..self.clients.len() {
            let asks = lines.iter().filter(|line| line.0 == client);
            let answers = frames(&self.clients[client].answers);
            assert_eq!(answers.clone().count(), asks.clone().count());
            asks.zip(answers).for_each(|((_, ask), answer)| ask.check(answer));
        }
        count
    }

    /// What a client was answered last, frame lengths included.
    pub fn answers(&self, client: usize) -> &[u8] {
        &self.clients[client].answers
    }

    /// Time goes by.
    pub fn pass(&mut self, ms: u64) -> Count {
        self.now.mono = self.now.mono.saturating_add(ms);
        Count::of(|| self.broker.handle_timeout(self.now))
    }

    /// Consumers wait at the log's end, each on a connection of its own, until `record` comes.
    pub fn wait_and_wake(&mut self, record: &Ask) -> Count {
        let end = self.broker.find_partition("t", 0).map_or(0, |(_, view)| view.high_watermark);
        let fetch = requests::fetch(end, 1_000_000_000);
        self.clients.iter_mut().for_each(|client| client.answers.clear());
        let count = Count::of(|| {
            for consumer in 1..=CONSUMERS {
                self.arrive(consumer, &fetch.frame);
                assert!(self.clients[consumer].connection.is_parked());
            }
            self.arrive(0, &record.frame);
            self.finish(0, 1);
            for consumer in 1..=CONSUMERS {
                self.finish(consumer, 1);
            }
        });
        self.check(0, std::slice::from_ref(record));
        for consumer in 1..=CONSUMERS {
            self.check(consumer, std::slice::from_ref(&fetch));
        }
        // The log's first record begins its first segment.
        if end == 0 { Count { allocations: 0, frees: 0 } } else { count }
    }

    /// Runs a checkpoint if one is due, as the committer does before each sync.
    pub fn checkpoint(&mut self) -> Option<Count> {
        self.broker.storage().checkpoint_due().then(|| {
            Count::of(|| {
                self.broker.checkpoint(false, false, self.now).expect("none is under way");
                while self.broker.storage().is_checkpointing() {
                    self.commit();
                }
            })
        })
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.broker.storage().partitions().map(|(_, partition)| partition.segments.len()).sum()
    }

    fn segment_of(&self, offset: i64) -> i64 {
        let (_, partition) = self.broker.storage().partitions().next().expect("one partition");
        let before = |s: &&ottla::storage::partition::Segment| s.base_offset <= offset;
        partition.segments.all().iter().rfind(before).map_or(0, |segment| segment.base_offset)
    }

    /// Bytes come in from a client and are worked on.
    fn arrive(&mut self, client: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let connection = &mut self.clients[client].connection;
            assert!(connection.take_buffer(&mut self.shared).expect("a good frame"), "one is left");
            let room = connection.room(true).expect("a good frame");
            let count = room.len().min(bytes.len());
            assert!(count > 0, "no room though nothing is in the way");
            room[..count].copy_from_slice(&bytes[..count]);
            connection.received(count);
            bytes = &bytes[count..];
            self.work(client);
        }
        self.clients[client].connection.spare_buffer(&mut self.shared);
    }

    /// What a session does when it is looked at.
    fn work(&mut self, client: usize) {
        let (broker, client) = (&mut self.broker, &mut self.clients[client]);
        client.connection.release(broker.storage().written(), broker.storage().durable());
        let shared = &mut self.shared;
        let worked =
            client.connection.work(broker, self.now, None, shared).expect("a good request");
        if worked.must_write {
            broker.storage_mut().write_staged().expect("written");
        }
        client.connection.release(broker.storage().written(), broker.storage().durable());
        loop {
            let count = match client.connection.next_send() {
                Send::Nothing => break,
                Send::Bytes { bytes, .. } => {
                    client.answers.extend_from_slice(bytes);
                    bytes.len()
                }
                Send::File { file, position, count } => {
                    let start = client.answers.len();
                    client.answers.resize(start + count, 0);
                    let part = &mut client.answers[start..];
                    file.read_exact_at(part, position).expect("read");
                    count
                }
            };
            client.connection.sent(count, shared);
        }
        self.wake();
    }

    /// What the server does after work: those who waited are looked at again.
    fn wake(&mut self) {
        while let Some(slot) = self.broker.pop_woken() {
            self.work(slot as usize);
        }
    }

    /// What the committer does: syncs, until nothing is left to be synced.
    fn commit(&mut self) {
        while let Some(deadline) = self.broker.storage().sync_deadline() {
            self.now.mono = self.now.mono.max(deadline);
            let storage = self.broker.storage_mut();
            let Some(file) = storage.start_sync(self.now.mono) else { break };
            let job = file.sync_job();
            storage.write_segments().expect("written");
            storage.finish_sync(job.run(), self.now.mono);
            self.wake();
        }
    }

    /// Syncs until a client has so many answers. A moment passes.
    fn finish(&mut self, client: usize, answers: usize) {
        self.now.mono = self.now.mono.saturating_add(1);
        if self.broker.poll_timeout().is_some_and(|at| at <= self.now.mono) {
            self.broker.handle_timeout(self.now);
        }
        self.work(client);
        if self.broker.storage().sync_deadline().is_some_and(|at| at <= self.now.mono) {
            self.commit();
        }
        while frames(&self.clients[client].answers).count() < answers {
            self.commit();
            self.work(client);
        }
    }

    /// Looks at a client's answers.
    fn check(&self, client: usize, asks: &[Ask]) {
        let answers = &self.clients[client].answers;
        assert_eq!(frames(answers).count(), asks.len());
        asks.iter().zip(frames(answers)).for_each(|(ask, answer)| ask.check(answer));
    }
}

/// The whole frames in what was received.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    std::iter::from_fn(move || {
        let length = i32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
        let (frame, rest) = bytes.split_at_checked(4 + length)?;
        bytes = rest;
        Some(frame)
    })
}
