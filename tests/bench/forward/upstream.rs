//! Both ends: a real Kafka behind the counting proxy, gateways that forward to it, and librdkafka.
//!
//! Promises: Kafka names the proxy as its own address, so that nobody gets around it; what only the
//! bench asks goes past the proxy and is not counted.
//! Absent: what is measured.

use super::broker::{Broker, Contender, contenders};
use super::load::Client;
use super::options::Options;
use super::proxy::Proxy;
use super::slow::Syncs;
use ottla::client::frame::{decode, encode};
use ottla::client::messages::ByTopic;
use ottla::client::messages::offsets::{LATEST, ListOffsetsRequest};
use ottla::client::messages::produce::{PartitionBatch, ProduceRequest};
use ottla::client::messages::topics::{CreateTopicsRequest, NewTopic};
use ottla::wire::ErrorCode;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::io::Write;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// How long records may take to arrive.
const PATIENCE: Duration = Duration::from_secs(120);
/// Requests that the load has in flight.
const IN_FLIGHT: usize = 5;
/// The version of Produce that the load speaks.
const PRODUCE_VERSION: i16 = 9;

/// The world of this bench.
pub struct World {
    /// What can be started as a gateway.
    pub ottla: Contender,
    /// The link.
    pub proxy: Proxy,
    /// Where data directories are made.
    pub data: PathBuf,
    kafka: Broker,
}

impl World {
    /// Starts Kafka and the proxy before it.
    pub fn start(options: &Options) -> World {
        let mut all = contenders(options);
        let mut kafka = all.pop().expect("Kafka stands at the end");
        let proxy = Proxy::start();
        let port = proxy.address.port();
        kafka.settings.push(format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}"));
        let kafka = kafka.start(&options.data, Syncs::Own);
        proxy.lead_to(kafka.address);
        let ottla = all.swap_remove(0);
        World { ottla, proxy, data: options.data.clone(), kafka }
    }

    /// A gateway that forwards `topic` and nothing else.
    pub fn forwarding(&self, topic: &str, settings: &[&str]) -> Contender {
        let mut contender = self.ottla.clone();
        contender.settings.push(format!("forward.bootstrap.servers={}", self.proxy.address));
        contender.settings.push(format!("forward.topics={topic}"));
        contender.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
        contender
    }

    /// Creates the topic upstream.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        create_topic(&mut Client::connect(self.kafka.address), name, partitions);
    }

    /// Records of a topic upstream, all partitions together.
    pub fn arrived(&self, topic: &str, partitions: i32) -> u64 {
        ends(&mut Client::connect(self.kafka.address), topic, partitions)
    }

    /// Waits until so many records are upstream; the seconds that this took.
    pub fn wait_for(&self, topic: &str, partitions: i32, records: u64) -> f64 {
        let began = Instant::now();
        let mut client = Client::connect(self.kafka.address);
        loop {
            let arrived = ends(&mut client, topic, partitions);
            if arrived >= records {
                assert_eq!(arrived, records, "{topic}: more arrived than was sent");
                return began.elapsed().as_secs_f64();
            }
            assert!(began.elapsed() < PATIENCE, "{topic}: {arrived} of {records} have arrived");
            sleep(Duration::from_millis(10));
        }
    }

    /// A librdkafka producer on the same link.
    pub fn librdkafka(&self, settings: &[(&str, &str)]) -> BaseProducer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.proxy.address.to_string());
        settings.iter().for_each(|(name, value)| {
            config.set(*name, *value);
        });
        config.create().expect("a producer")
    }
}

/// Hands librdkafka one record, and waits where its queue is full.
pub fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &[u8]) {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value);
    while let Err((error, back)) = producer.send(record) {
        assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull));
        record = back;
        producer.poll(Duration::from_millis(1));
    }
}

/// Waits until librdkafka has an answer for everything.
pub fn flush(producer: &BaseProducer) {
    producer.flush(PATIENCE).expect("everything is acknowledged");
}

/// Creates a topic.
pub fn create_topic(client: &mut Client, name: &str, num_partitions: i32) {
    let topic = NewTopic { name, num_partitions, replication_factor: 1, configs: Vec::new() };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    for result in client.ask(&request, 4) {
        assert_eq!(result.error_code, ErrorCode::None, "{name} cannot be created");
    }
    // Kafka knows a moment later than it says so.
    sleep(Duration::from_millis(300));
}

fn ends(client: &mut Client, topic: &str, partitions: i32) -> u64 {
    let entries = (0..partitions).map(|partition| (topic, (partition, LATEST)));
    let request = ListOffsetsRequest { isolation_level: 0, topics: ByTopic::group(entries) };
    let answer = client.ask(&request, 5);
    let listed = answer.iter().flat_map(|topic| &topic.partitions);
    listed.map(|partition| partition.offset.max(0) as u64).sum()
}

/// Puts a batch of its own into each partition, again and again, and waits for the answers.
pub struct Load {
    client: Client,
    frame: Vec<u8>,
    waiting: usize,
}

impl Load {
    /// A load on this broker.
    pub fn on(broker: &Broker) -> Load {
        Load { client: Client::connect(broker.address), frame: Vec::new(), waiting: 0 }
    }

    /// The request with one batch for each partition.
    pub fn request(topic: &str, batches: &[Vec<u8>], acks: i16) -> Vec<u8> {
        let entries = batches
            .iter()
            .enumerate()
            .map(|(index, records)| (topic, PartitionBatch { index: index as i32, records }));
        let topics = ByTopic::group(entries);
        encode(&ProduceRequest { acks, timeout_ms: 30_000, topics }, PRODUCE_VERSION, 1, "load")
    }

    /// Sends a request; waits for an answer where too many are missing.
    pub fn send(&mut self, request: &[u8]) {
        self.client.socket.write_all(request).expect("the broker reads");
        self.waiting += 1;
        if self.waiting == IN_FLIGHT {
            self.receive();
        }
    }

    /// Waits for all answers.
    pub fn finish(&mut self) {
        while self.waiting > 0 {
            self.receive();
        }
    }

    fn receive(&mut self) {
        self.client.receive(&mut self.frame).expect("an answer");
        let answer =
            decode::<ProduceRequest<'_>>(&self.frame, PRODUCE_VERSION, 1).expect("Produce");
        for partition in answer.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(partition.error_code, ErrorCode::None, "the load is refused");
        }
        self.waiting -= 1;
    }
}

/// Milliseconds since 1970: brokers delete records from long ago.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

/// What a sensor says, in 100 bytes.
pub fn reading(number: u64) -> Vec<u8> {
    // Numbers that look like measurements; the same for the same `number`.
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    let digits = |shift: u32, bound: u64| (mixed >> shift) % bound;
    let mut text = format!(
        "{{\"sensor\":\"t-{:03}\",\"ts\":{},\"temperature\":{}.{:02},\"humidity\":{}.{},\
         \"v\":3.{:02}",
        digits(0, 20),
        1_700_000_000_000 + number * 10 + digits(5, 7),
        18 + digits(8, 6),
        digits(12, 100),
        40 + digits(20, 20),
        digits(26, 10),
        digits(32, 50),
    );
    while text.len() < 99 {
        text.push(' ');
    }
    text.push('}');
    text.into_bytes()
}
