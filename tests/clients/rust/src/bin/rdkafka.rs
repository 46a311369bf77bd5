//! rdkafka: librdkafka, built from source, and a Rust interface to it.

use ottla_rust_clients as matrix;
use ottla_rust_clients::{
    Answer, Client, Consumer, Failure, Group, Membership, Placed, Producer, Record, Result,
    Settings,
};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupMemberInfo;
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const SECONDS: Duration = Duration::from_secs(15);

struct Rdkafka {
    runtime: Runtime,
    admin: AdminClient<DefaultClientContext>,
    /// For questions that belong to no group.
    asking: BaseConsumer,
}

fn main() {
    matrix::run(Rdkafka {
        runtime: Runtime::new().expect("a runtime"),
        admin: config(&[]).create().expect("an admin client"),
        asking: config(&[("group.id", "unused")]).create().expect("a consumer"),
    })
}

fn config(settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", matrix::bootstrap());
    config.set("reconnect.backoff.max.ms", "500");
    // Connections that break are part of the test.
    config.set("log_level", "2");
    settings.iter().for_each(|(key, value)| {
        config.set(*key, *value);
    });
    config
}

fn coded(code: RDKafkaErrorCode) -> Failure {
    Failure { code: code as i32 as i16, text: code.to_string() }
}

fn failure(error: KafkaError) -> Failure {
    let code = error.rdkafka_error_code().map_or(0, |code| code as i32 as i16);
    Failure { code, text: error.to_string() }
}

struct Answers;

impl ClientContext for Answers {}

impl ProducerContext<NoCustomPartitioner> for Answers {
    type DeliveryOpaque = Box<(usize, Sender<Answer>)>;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: Self::DeliveryOpaque) {
        let result = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(failure(error.clone())),
        };
        opaque.1.send((opaque.0, result)).ok();
    }
}

struct Sending(ThreadedProducer<Answers>);

impl Producer for Sending {
    fn send(
        &self,
        topic: &str,
        partition: i32,
        records: Vec<(usize, Record)>,
        answers: &Sender<Answer>,
    ) {
        for (number, record) in records {
            let headers =
                record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                });
            let opaque = Box::new((number, answers.clone()));
            let mut next = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, opaque)
                .partition(partition)
                .payload(&record.value)
                .timestamp(record.time_ms)
                .headers(headers);
            next.key = record.key.as_deref();
            loop {
                match self.0.send(next) {
                    Ok(()) => break,
                    Err((error, back))
                        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) =>
                    {
                        next = back;
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    Err((error, back)) => {
                        back.delivery_opaque.1.send((number, Err(failure(error)))).ok();
                        break;
                    }
                }
            }
        }
    }
}

/// A consumer, and an error that came right behind records: those are handed out first, since the
/// client's position has moved past them.
struct Reading(BaseConsumer, Option<Failure>);

impl Consumer for Reading {
    fn poll(&mut self, wait: Duration) -> Result<Vec<Placed>> {
        if let Some(failure) = self.1.take() {
            return Err(failure);
        }
        let (mut placed, end) = (Vec::new(), Instant::now() + wait);
        while let Some(message) = self.0.poll(match placed.is_empty() {
            true => end.saturating_duration_since(Instant::now()),
            false => Duration::ZERO,
        }) {
            let message = match message.map_err(failure) {
                Ok(message) => message,
                Err(failure) if placed.is_empty() => return Err(failure),
                Err(failure) => {
                    self.1 = Some(failure);
                    break;
                }
            };
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            placed.push(Placed {
                partition: message.partition(),
                offset: message.offset(),
                record: Record {
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().unwrap_or_default().to_vec(),
                    headers: headers
                        .map(|header| (header.key.into(), header.value.unwrap_or_default().into()))
                        .collect(),
                    time_ms: message.timestamp().to_millis().unwrap_or(-1),
                },
            });
            if placed.len() == 10_000 {
                break;
            }
        }
        Ok(placed)
    }

    fn commit(&mut self) -> Result<()> {
        match self.0.commit_consumer_state(CommitMode::Sync) {
            Err(error) if error.rdkafka_error_code() != Some(RDKafkaErrorCode::NoOffset) => {
                Err(failure(error))
            }
            _ => Ok(()),
        }
    }
}

fn list(topic: &str, partition: i32, offset: i64) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(failure)?;
    Ok(list)
}

fn first_offset(list: &TopicPartitionList) -> Result<i64> {
    let elements = list.elements();
    let element = elements.first().ok_or(Failure { code: 0, text: "no answer".into() })?;
    element.error().map_err(failure)?;
    Ok(element.offset().to_raw().unwrap_or(-1))
}

/// Partitions of an assignment: version, then topics with their partitions.
fn assigned(member: &GroupMemberInfo) -> usize {
    let bytes = member.assignment().unwrap_or_default();
    let count = |at: usize| {
        let raw = bytes.get(at..at + 4).and_then(|raw| raw.try_into().ok());
        raw.map_or(0, i32::from_be_bytes) as usize
    };
    let (mut at, mut partitions) = (6, 0);
    for _ in 0..count(2) {
        let name = bytes.get(at..at + 2).and_then(|raw| raw.try_into().ok());
        at += 2 + name.map_or(0, u16::from_be_bytes) as usize;
        partitions += count(at);
        at += 4 + 4 * count(at);
    }
    partitions
}

/// The only answer of an admin call that was about one thing.
fn only<T>(answers: std::result::Result<Vec<T>, KafkaError>) -> Result<T> {
    let mut answers = answers.map_err(failure)?;
    answers.pop().ok_or(Failure { code: 0, text: "no answer".into() })
}

impl Client for Rdkafka {
    fn name(&self) -> String {
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        format!("rdkafka {} (librdkafka {librdkafka})", matrix::locked("rdkafka"))
    }

    fn prefix(&self) -> &'static str {
        "rdkafka"
    }

    fn skip(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let options = AdminOptions::new();
        let created = self.admin.create_topics([&new], &options);
        let created = only(self.runtime.block_on(created))?;
        created.map(|_| ()).map_err(|(_, code)| coded(code))
    }

    fn topics(&self) -> Result<BTreeMap<String, usize>> {
        let metadata = self.asking.fetch_metadata(None, SECONDS).map_err(failure)?;
        let topics = metadata.topics().iter();
        Ok(topics.map(|topic| (topic.name().into(), topic.partitions().len())).collect())
    }

    fn settings(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let resource = ResourceSpecifier::Topic(topic);
        let options = AdminOptions::new();
        let described = self.admin.describe_configs([&resource], &options);
        let described = only(self.runtime.block_on(described))?.map_err(coded)?;
        let entries = described.entries.into_iter();
        Ok(entries.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect())
    }

    fn alter(&self, topic: &str, key: &str, value: &str) -> Result<()> {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
        let options = AdminOptions::new();
        let altered = self.admin.alter_configs([&change], &options);
        let altered = only(self.runtime.block_on(altered))?;
        altered.map(|_| ()).map_err(|(_, code)| coded(code))
    }

    fn add_partitions(&self, topic: &str, total: usize) -> Result<()> {
        let new = NewPartitions::new(topic, total);
        let options = AdminOptions::new();
        let added = self.admin.create_partitions([&new], &options);
        only(self.runtime.block_on(added))?.map(|_| ()).map_err(|(_, code)| coded(code))
    }

    fn delete_records(&self, topic: &str, before: i64) -> Result<()> {
        let list = list(topic, 0, before)?;
        let options = AdminOptions::new();
        let deleted = self.admin.delete_records(&list, &options);
        first_offset(&self.runtime.block_on(deleted).map_err(failure)?).map(|_| ())
    }

    fn delete_topic(&self, topic: &str) -> Result<()> {
        let options = AdminOptions::new();
        let deleted = self.admin.delete_topics(&[topic], &options);
        only(self.runtime.block_on(deleted))?.map(|_| ()).map_err(|(_, code)| coded(code))
    }

    fn offset_at(&self, topic: &str, time_ms: i64) -> Result<i64> {
        let found = self.asking.offsets_for_times(list(topic, 0, time_ms)?, SECONDS);
        first_offset(&found.map_err(failure)?)
    }

    fn groups(&self) -> Result<Vec<String>> {
        let list = self.asking.fetch_group_list(None, SECONDS).map_err(failure)?;
        Ok(list.groups().iter().map(|group| group.name().into()).collect())
    }

    fn group(&self, group: &str) -> Result<Group> {
        let list = self.asking.fetch_group_list(Some(group), SECONDS).map_err(failure)?;
        Ok(list.groups().first().map_or_else(Group::default, |group| Group {
            state: group.state().into(),
            protocol: group.protocol().into(),
            partitions: group.members().iter().map(assigned).collect(),
        }))
    }

    fn committed(&self, group: &str, topic: &str) -> Result<i64> {
        let consumer: BaseConsumer = config(&[("group.id", group)]).create().map_err(failure)?;
        let offsets = consumer.committed_offsets(list(topic, 0, 0)?, SECONDS);
        first_offset(&offsets.map_err(failure)?)
    }

    fn delete_group(&self, group: &str) -> Result<()> {
        let options = AdminOptions::new();
        let deleted = self.admin.delete_groups(&[group], &options);
        only(self.runtime.block_on(deleted))?.map(|_| ()).map_err(|(_, code)| coded(code))
    }

    fn producer(&self, settings: Settings) -> Result<Box<dyn Producer>> {
        let idempotent = if settings.idempotent { "true" } else { "false" };
        let config = config(&[
            ("compression.type", settings.codec),
            ("acks", settings.acks),
            ("enable.idempotence", idempotent),
            // Without idempotence a retry may overtake.
            ("max.in.flight.requests.per.connection", if settings.idempotent { "5" } else { "1" }),
        ]);
        let producer = config.create_with_context(Answers).map_err(failure)?;
        Ok(Box::new(Sending(producer)))
    }

    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn Consumer>> {
        let consumer: BaseConsumer = config(&[("group.id", "unused")]).create().map_err(failure)?;
        consumer.assign(&list(topic, partition, offset)?).map_err(failure)?;
        Ok(Box::new(Reading(consumer, None)))
    }

    fn member(&self, membership: &Membership) -> Result<Box<dyn Consumer>> {
        let strategy = if membership.cooperative { "cooperative-sticky" } else { "range" };
        let mut config = config(&[
            ("group.id", &membership.group),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "300"),
            ("partition.assignment.strategy", strategy),
        ]);
        if let Some(instance) = membership.instance {
            config.set("group.instance.id", instance);
        }
        let consumer: BaseConsumer = config.create().map_err(failure)?;
        consumer.subscribe(&[&membership.topic]).map_err(failure)?;
        Ok(Box::new(Reading(consumer, None)))
    }
}
