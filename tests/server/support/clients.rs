//! librdkafka's producer, consumer and admin client, set up as the tests like them.
//!
//! Promises: nothing waits longer than `PATIENCE`.

use super::{PATIENCE, block_on, wait_until};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, OwnedMessage};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What every client of `bootstrap` is told.
pub fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        .set("log_level", "0");
    config
}

/// What became of one record: its number and its place.
pub type Delivery = (usize, Result<(i32, i64), KafkaError>);

/// Collects what became of the records.
#[derive(Clone, Default)]
pub struct Deliveries {
    list: Arc<Mutex<Vec<Delivery>>>,
}

impl Deliveries {
    /// All so far, in the order in which they were acknowledged.
    pub fn all(&self) -> Vec<Delivery> {
        self.list.lock().expect("nobody panics with it").clone()
    }

    /// How many so far.
    pub fn len(&self) -> usize {
        self.list.lock().expect("nobody panics with it").len()
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Box<usize>) {
        let what = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.list.lock().expect("nobody panics with it").push((*number, what));
    }
}

/// A record with a number, for [`Producer::send`].
pub type Record<'a> = BaseRecord<'a, [u8], [u8], Box<usize>>;

/// A producer that remembers what became of its records.
pub struct Producer {
    inner: ThreadedProducer<Deliveries>,
    /// What became of them.
    pub deliveries: Deliveries,
}

impl Producer {
    /// A producer with these settings besides the usual ones.
    pub fn new(bootstrap: &str, settings: &[(&str, &str)]) -> Producer {
        let mut config = config(bootstrap);
        config.set("linger.ms", "0");
        settings.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        let deliveries = Deliveries::default();
        let inner = config.create_with_context(deliveries.clone()).expect("a producer");
        Producer { inner, deliveries }
    }

    /// The client inside.
    pub fn inner(&self) -> &ThreadedProducer<Deliveries> {
        &self.inner
    }

    /// Hands a record over; waits while the client's queue is full.
    pub fn send(&self, mut record: Record<'_>) {
        let start = Instant::now();
        loop {
            match self.inner.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    assert!(start.elapsed() < PATIENCE, "the queue stays full");
                    record = back;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => panic!("send: {error}"),
            }
        }
    }

    /// Hands over `text` under `number`, without a key, for partition 0.
    pub fn send_text(&self, topic: &str, number: usize, text: &str) {
        let record = BaseRecord::with_opaque_to(topic, Box::new(number));
        self.send(record.partition(0).payload(text.as_bytes()));
    }

    /// Waits until something has become of all records.
    pub fn flush(&self) {
        self.inner.flush(PATIENCE).expect("everything is answered in time");
    }

    /// Waits, and expects every record to have been taken; the offsets by number.
    pub fn flush_all_ok(&self) -> Vec<(usize, i32, i64)> {
        self.flush();
        let place = |(number, result): Delivery| {
            let (partition, offset) = result.unwrap_or_else(|e| panic!("record {number}: {e}"));
            (number, partition, offset)
        };
        self.deliveries.all().into_iter().map(place).collect()
    }
}

/// Produces `texts` to partition 0 of `topic`, with acks=all.
pub fn produce_texts<S: AsRef<str>>(bootstrap: &str, topic: &str, texts: &[S]) {
    let producer = Producer::new(bootstrap, &[("acks", "all")]);
    texts.iter().enumerate().for_each(|(n, text)| producer.send_text(topic, n, text.as_ref()));
    producer.flush_all_ok();
}

/// A consumer with these settings; without a `group.id` it has one that nobody else uses.
pub fn consumer(bootstrap: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(bootstrap);
    config
        .set("group.id", "alone")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "200");
    settings.iter().for_each(|(key, value)| {
        config.set(*key, *value);
    });
    config.create().expect("a consumer")
}

/// A consumer of one partition, from `offset` on, outside of any group.
pub fn reader(bootstrap: &str, topic: &str, partition: i32, offset: Offset) -> BaseConsumer {
    let consumer = consumer(bootstrap, &[]);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset).expect("an offset");
    consumer.assign(&list).expect("an assignment");
    consumer
}

/// The next record, or `None` when none came within `timeout`.
pub fn poll(consumer: &BaseConsumer, timeout: Duration) -> Option<OwnedMessage> {
    let start = Instant::now();
    while start.elapsed() < timeout {
        match consumer.poll(Duration::from_millis(20)) {
            Some(Ok(message)) => return Some(message.detach()),
            // A broker that restarts; librdkafka tries again by itself.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut,
            ))) => {}
            Some(Err(error)) => panic!("consume: {error}"),
            None => {}
        }
    }
    None
}

/// The next `count` records.
pub fn take(consumer: &BaseConsumer, count: usize) -> Vec<OwnedMessage> {
    let next = |n| poll(consumer, PATIENCE).unwrap_or_else(|| panic!("{n} of {count} records"));
    (0..count).map(next).collect()
}

/// All records of a partition, from its first to its high watermark as it is now.
pub fn read_all(bootstrap: &str, topic: &str, partition: i32) -> Vec<OwnedMessage> {
    let consumer = reader(bootstrap, topic, partition, Offset::Beginning);
    let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).expect("watermarks");
    let mut records: Vec<OwnedMessage> = Vec::new();
    while records.last().map_or(low, |last| last.offset() + 1) < high {
        records.extend(take(&consumer, 1));
    }
    records
}

/// Waits until the high watermark of partition 0 is `offset`: what is not synced is not seen.
pub fn wait_for_high_watermark(bootstrap: &str, topic: &str, offset: i64) {
    let consumer = consumer(bootstrap, &[]);
    wait_until("the high watermark", || {
        consumer.fetch_watermarks(topic, 0, PATIENCE).is_ok_and(|(_, high)| high >= offset)
    });
}

/// A record's value as text.
pub fn text(message: &OwnedMessage) -> &str {
    message.payload_view::<str>().expect("a value").expect("UTF-8")
}

/// An admin client.
pub fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    config(bootstrap).create().expect("an admin client")
}

/// Creates a topic.
pub fn create_topic(bootstrap: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let created = block_on(admin(bootstrap).create_topics([&new], &AdminOptions::new()));
    let created = created.expect("an answer");
    assert_eq!(created, [Ok(topic.to_string())]);
}

/// Whether a topic is there; asking does not create it.
pub fn topic_exists(bootstrap: &str, topic: &str) -> bool {
    let metadata = consumer(bootstrap, &[]).fetch_metadata(None, PATIENCE);
    metadata.is_ok_and(|metadata| metadata.topics().iter().any(|found| found.name() == topic))
}
