//! The load generator: a bare socket that speaks Kafka's protocol with frames made beforehand.
//!
//! Promises: while a measurement runs it encodes nothing and allocates nothing, so that one core
//! of load keeps a broker busy; every answer's error code is looked at.
//! Absent: anything that a real client does besides (batching, compression, retries).

use ottla::client::Request;
use ottla::client::frame::{decode, encode};
use ottla::client::messages::ByTopic;
use ottla::client::messages::metadata::MetadataRequest;
use ottla::client::messages::produce::{PartitionBatch, ProduceRequest};
use ottla::client::messages::topics::{CreateTopicsRequest, DeleteTopicsRequest, NewTopic};
use ottla::wire::ErrorCode;
use ottla::wire::record::BatchBuilder;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Client {
    /// The socket, for whoever sends frames of its own.
    pub socket: TcpStream,
}

/// One batch and what is in it.
#[derive(Clone, Debug)]
pub struct Batch {
    /// As it is sent.
    pub bytes: Vec<u8>,
    /// How many records.
    pub records: usize,
}

impl Batch {
    /// So many records of `record_bytes` each.
    pub fn of_records(records: usize, record_bytes: usize) -> Batch {
        let mut builder = BatchBuilder::new(1_700_000_000_000);
        // Nothing compresses here, so that any bytes will do; all the same would do as well.
        let value: Vec<u8> = (0..record_bytes).map(|at| (at * 31 % 251) as u8).collect();
        for _ in 0..records {
            builder.push(1_700_000_000_000, None, Some(&value), &[]);
        }
        Batch { bytes: builder.finish(), records }
    }

    /// As many records as `batch_bytes` can hold.
    pub fn of_bytes(batch_bytes: usize, record_bytes: usize) -> Batch {
        let mut records = batch_bytes / record_bytes;
        loop {
            let batch = Batch::of_records(records.max(1), record_bytes);
            if batch.bytes.len() <= batch_bytes || records <= 1 {
                return batch;
            }
            records -= 1;
        }
    }

    /// The request that sends it to partition 0.
    pub fn request(&self, topic: &str, acks: i16) -> Vec<u8> {
        let partitions = vec![PartitionBatch { index: 0, records: &self.bytes }];
        let topics = vec![ByTopic { name: topic, partitions }];
        encode(&ProduceRequest { acks, timeout_ms: 30_000, topics }, PRODUCE_VERSION, 1, "bench")
    }
}

/// The highest version of Produce that our client side writes; Apache Kafka 4 serves 3 to 13.
const PRODUCE_VERSION: i16 = 9;

impl Client {
    /// Connects; a broker that is not there yet, or not ready, is `None`.
    pub fn try_connect(address: SocketAddr) -> Option<Client> {
        let socket = TcpStream::connect(address).ok()?;
        socket.set_nodelay(true).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut client = Client { socket };
        let request = MetadataRequest { topics: None, allow_auto_topic_creation: false };
        let metadata = client.try_ask(&request, 4)?;
        (!metadata.brokers.is_empty()).then_some(client)
    }

    /// Connects to a broker that runs.
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("the broker answers")
    }

    fn try_ask<R: Request>(&mut self, request: &R, version: i16) -> Option<R::Response> {
        self.socket.write_all(&encode(request, version, 7, "bench")).ok()?;
        let mut frame = Vec::new();
        self.receive(&mut frame).ok()?;
        decode::<R>(&frame, version, 7).ok()
    }

    /// Asks and waits for the answer.
    pub fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.try_ask(request, version).expect("an answer")
    }

    /// Reads one frame without its length.
    pub fn receive(&mut self, frame: &mut Vec<u8>) -> std::io::Result<()> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        frame.resize(u32::from_be_bytes(length) as usize, 0);
        self.socket.read_exact(frame)
    }

    /// Creates a topic of one partition, waits until it takes records, and says its name, which no
    /// topic had before: Apache Kafka deletes in the background.
    pub fn create_topic(&mut self, settings: &[(&'static str, &'static str)]) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = &format!("bench-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let configs = settings.to_vec();
        let topic = NewTopic { name, num_partitions: 1, replication_factor: 1, configs };
        let (topics, timeout_ms) = (vec![topic], 30_000);
        let request = CreateTopicsRequest { topics, timeout_ms, validate_only: false };
        for result in self.ask(&request, 4) {
            assert_eq!(result.error_code, ErrorCode::None, "{name} cannot be created");
        }
        let batch = Batch::of_records(1, 1);
        let topics = [(&**name, PartitionBatch { index: 0, records: &batch.bytes })];
        let topics = ByTopic::group(topics);
        let request = ProduceRequest { acks: 1, timeout_ms: 30_000, topics };
        let began = Instant::now();
        // A Kafka that has just created a topic does not know for a moment that it leads it.
        while self.ask(&request, PRODUCE_VERSION)[0].partitions[0].error_code != ErrorCode::None {
            assert!(began.elapsed() < PATIENCE, "{name} takes no records");
            std::thread::sleep(Duration::from_millis(10));
        }
        name.clone()
    }

    /// Deletes a topic.
    pub fn delete_topic(&mut self, name: &str) {
        self.ask(&DeleteTopicsRequest { topic_names: vec![name], timeout_ms: 30_000 }, 3);
    }

    /// Sends `request` again and again, `in_flight` of them before the first answer, until `time`
    /// is over; then waits for the last answers. Each request is a write of its own, as clients
    /// do it.
    pub fn pipeline(&mut self, request: &[u8], in_flight: usize, time: Duration) -> Sent {
        let began = Instant::now();
        let mut answers = Answers::default();
        for _ in 0..in_flight {
            self.socket.write_all(request).expect("the broker reads");
        }
        let (mut requests, mut waiting) = (0, in_flight);
        while waiting > 0 {
            let arrived = answers.read(&mut self.socket);
            requests += arrived as u64;
            waiting -= arrived;
            if began.elapsed() < time {
                for _ in 0..arrived {
                    self.socket.write_all(request).expect("the broker reads");
                }
                waiting += arrived;
            }
        }
        Sent { requests, seconds: began.elapsed().as_secs_f64() }
    }
}

/// What [`Client::pipeline`] did.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Requests that were answered.
    pub requests: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
}

/// Takes answers to Produce apart as they come.
pub struct Answers {
    buffer: Vec<u8>,
    filled: usize,
    /// The first answer's length; all others are like it.
    length: usize,
}

impl Default for Answers {
    fn default() -> Answers {
        Answers { buffer: vec![0; 16 * 1024], filled: 0, length: 0 }
    }
}

impl Answers {
    /// Reads once; how many answers are complete now.
    pub fn read(&mut self, socket: &mut impl Read) -> usize {
        let count = socket.read(&mut self.buffer[self.filled..]).expect("an answer");
        assert_ne!(count, 0, "the broker has closed the connection");
        self.filled += count;
        let mut start = 0;
        let mut answers = 0;
        while let Some(length) = self.buffer[start..self.filled].first_chunk::<4>() {
            let end = start + 4 + u32::from_be_bytes(*length) as usize;
            if end > self.filled {
                break;
            }
            self.check(start + 4, end);
            answers += 1;
            start = end;
        }
        self.buffer.copy_within(start..self.filled, 0);
        self.filled -= start;
        answers
    }

    /// Decodes the first answer; compares the error code of the others.
    fn check(&mut self, start: usize, end: usize) {
        let frame = &self.buffer[start..end];
        if self.length == 0 {
            self.length = frame.len();
            let answer = decode::<ProduceRequest<'_>>(frame, PRODUCE_VERSION, 1).expect("Produce");
            let result = &answer[0].partitions[0];
            assert_eq!(result.error_code, ErrorCode::None, "{:?}", result.error_message);
        }
        // Correlation id, tags, count, name, count, index: then the code.
        let name = usize::from(frame[6]);
        assert_eq!(frame[6 + name + 5..][..2], [0, 0], "a produce request failed");
        assert_eq!(frame.len(), self.length, "an answer unlike the first one");
    }
}
