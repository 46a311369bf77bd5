//! rskafka: records and topics, no groups; it knows acks=all only.

use chrono::DateTime;
use ottla_rust_clients as matrix;
use ottla_rust_clients::{
    Answer, Client, Consumer, Failure, Group, Membership, Placed, Producer, Record, Result,
    Settings,
};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client as Kafka, ClientBuilder};
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

const NO_CALL: &str = "it has no such call";
const NO_GROUPS: &str = "it has no groups";

/// Everything but a call's own arguments.
#[derive(Clone)]
struct Shared {
    runtime: Arc<Runtime>,
    kafka: Arc<Kafka>,
}

struct Rskafka(Shared);

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let kafka = runtime
        .block_on(ClientBuilder::new(vec![matrix::bootstrap()]).build())
        .expect("the broker is there");
    matrix::run(Rskafka(Shared { runtime: Arc::new(runtime), kafka: Arc::new(kafka) }))
}

fn failure(error: Error) -> Failure {
    let code = match &error {
        Error::ServerError { protocol_error, .. } => match protocol_error {
            ProtocolError::UnknownTopicOrPartition => 3,
            ProtocolError::MessageTooLarge => 10,
            ProtocolError::TopicAlreadyExists => 36,
            _ => -1,
        },
        _ => 0,
    };
    Failure { code, text: error.to_string() }
}

impl Shared {
    fn partition(&self, topic: &str, partition: i32) -> Result<PartitionClient> {
        let client = self.kafka.partition_client(topic, partition, UnknownTopicHandling::Retry);
        self.runtime.block_on(client).map_err(failure)
    }
}

struct Sending {
    shared: Shared,
    compression: Compression,
    partitions: Mutex<HashMap<(String, i32), Arc<PartitionClient>>>,
}

impl Sending {
    fn partition(&self, topic: &str, partition: i32) -> Result<Arc<PartitionClient>> {
        let mut known = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (topic.to_owned(), partition);
        if let Some(client) = known.get(&name) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(self.shared.partition(topic, partition)?);
        known.insert(name, Arc::clone(&client));
        Ok(client)
    }
}

impl Producer for Sending {
    fn send(
        &self,
        topic: &str,
        partition: i32,
        records: Vec<(usize, Record)>,
        answers: &Sender<Answer>,
    ) {
        let (numbers, records): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        let records = records.into_iter().map(|record| rskafka::record::Record {
            key: record.key,
            value: Some(record.value),
            headers: record.headers,
            timestamp: DateTime::from_timestamp_millis(record.time_ms).unwrap_or_default(),
        });
        let result = self.partition(topic, partition).and_then(|client| {
            let sent = client.produce(records.collect(), self.compression);
            self.shared.runtime.block_on(sent).map(|_| ()).map_err(failure)
        });
        for number in numbers {
            answers.send((number, result.clone())).ok();
        }
    }
}

struct Reading {
    shared: Shared,
    client: PartitionClient,
    partition: i32,
    next: i64,
}

impl Consumer for Reading {
    fn poll(&mut self, wait: Duration) -> Result<Vec<Placed>> {
        let wait_ms = wait.as_millis() as i32;
        let fetched = self.client.fetch_records(self.next, 1..10_000_000, wait_ms);
        let (records, _) = self.shared.runtime.block_on(fetched).map_err(failure)?;
        let placed = records.into_iter().map(|seen| Placed {
            partition: self.partition,
            offset: seen.offset,
            record: Record {
                key: seen.record.key,
                value: seen.record.value.unwrap_or_default(),
                headers: seen.record.headers,
                time_ms: seen.record.timestamp.timestamp_millis(),
            },
        });
        let placed: Vec<_> = placed.collect();
        self.next = placed.last().map_or(self.next, |last| last.offset + 1);
        Ok(placed)
    }

    fn commit(&mut self) -> Result<()> {
        missing()
    }
}

fn missing<T>() -> Result<T> {
    Err(Failure { code: 0, text: "it has no such call".into() })
}

impl Client for Rskafka {
    fn name(&self) -> String {
        format!("rskafka {}", matrix::locked("rskafka"))
    }

    fn prefix(&self) -> &'static str {
        "rskafka"
    }

    fn skip(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("topics: describe", NO_CALL),
            ("topics: alter settings", NO_CALL),
            ("topics: add partitions", NO_CALL),
            ("produce: acks 0", "it always asks for acks=all"),
            ("produce: acks 1", "it always asks for acks=all"),
            ("produce: idempotent", "it has none"),
            ("groups: commit, stop and resume", NO_GROUPS),
            ("groups: second member joins and leaves", NO_GROUPS),
            ("groups: cooperative", NO_GROUPS),
            ("groups: static member", NO_GROUPS),
            ("groups: list, describe, delete", NO_GROUPS),
            ("errors: delete a group with members", NO_GROUPS),
        ]
    }

    fn create_topic(&self, topic: &str, partitions: i32, _: &[(&str, &str)]) -> Result<()> {
        let controller = self.0.kafka.controller_client().map_err(failure)?;
        let created = controller.create_topic(topic, partitions, 1, 5_000);
        self.0.runtime.block_on(created).map_err(failure)
    }

    fn topics(&self) -> Result<BTreeMap<String, usize>> {
        let topics = self.0.runtime.block_on(self.0.kafka.list_topics()).map_err(failure)?;
        Ok(topics.into_iter().map(|topic| (topic.name, topic.partitions.len())).collect())
    }

    fn settings(&self, _: &str) -> Result<BTreeMap<String, String>> {
        missing()
    }

    fn alter(&self, _: &str, _: &str, _: &str) -> Result<()> {
        missing()
    }

    fn add_partitions(&self, _: &str, _: usize) -> Result<()> {
        missing()
    }

    fn delete_records(&self, topic: &str, before: i64) -> Result<()> {
        let client = self.0.partition(topic, 0)?;
        self.0.runtime.block_on(client.delete_records(before, 5_000)).map_err(failure)
    }

    fn delete_topic(&self, topic: &str) -> Result<()> {
        let controller = self.0.kafka.controller_client().map_err(failure)?;
        self.0.runtime.block_on(controller.delete_topic(topic, 5_000)).map_err(failure)
    }

    fn offset_at(&self, topic: &str, time_ms: i64) -> Result<i64> {
        let client = self.0.partition(topic, 0)?;
        let time = DateTime::from_timestamp_millis(time_ms).unwrap_or_default();
        self.0.runtime.block_on(client.get_offset(OffsetAt::Timestamp(time))).map_err(failure)
    }

    fn groups(&self) -> Result<Vec<String>> {
        missing()
    }

    fn group(&self, _: &str) -> Result<Group> {
        missing()
    }

    fn committed(&self, _: &str, _: &str) -> Result<i64> {
        missing()
    }

    fn delete_group(&self, _: &str) -> Result<()> {
        missing()
    }

    fn producer(&self, settings: Settings) -> Result<Box<dyn Producer>> {
        let compression = match settings.codec {
            "gzip" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            _ => Compression::NoCompression,
        };
        let (shared, partitions) = (self.0.clone(), Mutex::default());
        Ok(Box::new(Sending { shared, compression, partitions }))
    }

    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn Consumer>> {
        let client = self.0.partition(topic, partition)?;
        Ok(Box::new(Reading { shared: self.0.clone(), client, partition, next: offset }))
    }

    fn member(&self, _: &Membership) -> Result<Box<dyn Consumer>> {
        missing()
    }
}
