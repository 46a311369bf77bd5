//! Topics and their settings, through librdkafka's admin client.

use crate::support::clients::{admin, consumer, create_topic, produce_texts, read_all, text};
use crate::support::process::{Ottla, port_for_restarts};
use crate::support::{PATIENCE, block_on, wait_until};
use rdkafka::admin::{
    AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE))
}

/// The partitions of a topic, or `None` when there is no such topic. Asking creates nothing.
fn partitions(bootstrap: &str, topic: &str) -> Option<usize> {
    let metadata = consumer(bootstrap, &[]).fetch_metadata(None, PATIENCE).unwrap();
    let topic = metadata.topics().iter().find(|known| known.name() == topic)?;
    Some(topic.partitions().len())
}

fn setting(bootstrap: &str, topic: &str, key: &str) -> String {
    let described =
        block_on(admin(bootstrap).describe_configs(&[ResourceSpecifier::Topic(topic)], &options()));
    let resource = described.unwrap().remove(0).unwrap();
    resource.get(key).unwrap().value.clone().unwrap()
}

#[test]
fn a_topic_is_created_described_altered_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let port = port_for_restarts();
    let ottla = Ottla::start_on(dir.path(), port);
    let bootstrap = ottla.bootstrap();
    let settings = [("retention.ms", "86400000"), ("max.message.bytes", "2000000")];
    create_topic(&bootstrap, "made", 3, &settings);
    assert_eq!(partitions(&bootstrap, "made"), Some(3));
    assert_eq!(setting(&bootstrap, "made", "retention.ms"), "86400000");
    assert_eq!(setting(&bootstrap, "made", "max.message.bytes"), "2000000");
    assert_eq!(setting(&bootstrap, "made", "cleanup.policy"), "delete");

    let change = AlterConfig::new(ResourceSpecifier::Topic("made")).set("retention.ms", "3600000");
    let changed = block_on(admin(&bootstrap).alter_configs(&[change], &options())).unwrap();
    assert!(changed[0].is_ok(), "{changed:?}");
    assert_eq!(setting(&bootstrap, "made", "retention.ms"), "3600000");
    // The old request replaces all settings: what it does not name has its default again.
    assert_ne!(setting(&bootstrap, "made", "max.message.bytes"), "2000000");

    let more = NewPartitions::new("made", 5);
    let grown = block_on(admin(&bootstrap).create_partitions(&[more], &options())).unwrap();
    assert_eq!(grown, [Ok("made".to_string())]);
    assert_eq!(partitions(&bootstrap, "made"), Some(5));

    // All of that was promised, so a kill changes nothing.
    ottla.kill();
    let ottla = Ottla::start_on(dir.path(), port);
    assert_eq!(partitions(&bootstrap, "made"), Some(5));
    assert_eq!(setting(&bootstrap, "made", "retention.ms"), "3600000");

    produce_texts(&bootstrap, "made", &["gone soon"]);
    let deleted = block_on(admin(&bootstrap).delete_topics(&["made"], &options())).unwrap();
    assert_eq!(deleted, [Ok("made".to_string())]);
    assert_eq!(partitions(&bootstrap, "made"), None);
    wait_until("the files to be gone", || {
        let topics = std::fs::read_dir(dir.path().join("topics")).unwrap();
        topics.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with("made-"))
    });
    ottla.kill();
    let ottla = Ottla::start_on(dir.path(), port);
    assert_eq!(partitions(&ottla.bootstrap(), "made"), None);
    // A new one of the same name begins at 0.
    produce_texts(&bootstrap, "made", &["new"]);
    let records = read_all(&bootstrap, "made", 0);
    assert_eq!((records.len(), text(&records[0])), (1, "new"));
}

fn creation_fails_with(new: &NewTopic<'_>, bootstrap: &str, code: RDKafkaErrorCode) {
    let created = block_on(admin(bootstrap).create_topics([new], &options())).unwrap();
    assert_eq!(created, [Err((new.name.to_string(), code))]);
}

#[test]
fn what_cannot_be_created_is_refused_with_kafkas_codes() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let bootstrap = ottla.bootstrap();
    create_topic(&bootstrap, "there", 1, &[]);
    let one = || TopicReplication::Fixed(1);
    let again = NewTopic::new("there", 1, one());
    creation_fails_with(&again, &bootstrap, RDKafkaErrorCode::TopicAlreadyExists);
    let three = NewTopic::new("three", 1, TopicReplication::Fixed(3));
    creation_fails_with(&three, &bootstrap, RDKafkaErrorCode::InvalidReplicationFactor);
    let name = NewTopic::new("no spaces please", 1, one());
    creation_fails_with(&name, &bootstrap, RDKafkaErrorCode::InvalidTopic);
    let setting = NewTopic::new("set", 1, one()).set("retention.ms", "for ever");
    creation_fails_with(&setting, &bootstrap, RDKafkaErrorCode::InvalidConfig);
    let deleted = block_on(admin(&bootstrap).delete_topics(&["never was"], &options())).unwrap();
    let code = RDKafkaErrorCode::UnknownTopicOrPartition;
    assert_eq!(deleted, [Err(("never was".to_string(), code))]);
    let fewer = NewPartitions::new("there", 1);
    let shrunk = block_on(admin(&bootstrap).create_partitions(&[fewer], &options())).unwrap();
    assert_eq!(shrunk, [Err(("there".to_string(), RDKafkaErrorCode::InvalidPartitions))]);
    assert_eq!(partitions(&bootstrap, "three"), None);
}

#[test]
fn any_replication_factor_passes_where_the_switch_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let set = ["--listen", "127.0.0.1:0", "--set", "replication.factor.accept.any=true"];
    let ottla = Ottla::start_with(dir.path(), &set);
    let three = NewTopic::new("three", 1, TopicReplication::Fixed(3));
    let created = block_on(admin(&ottla.bootstrap()).create_topics([&three], &options())).unwrap();
    assert_eq!(created, [Ok("three".to_string())]);
    let metadata = consumer(&ottla.bootstrap(), &[]).fetch_metadata(None, PATIENCE).unwrap();
    assert_eq!(metadata.topics()[0].partitions()[0].replicas().len(), 1);
}

#[test]
fn a_check_alone_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let new = NewTopic::new("perhaps", 1, TopicReplication::Fixed(1));
    let check = options().validate_only(true);
    let created = block_on(admin(&ottla.bootstrap()).create_topics([&new], &check)).unwrap();
    assert_eq!(created, [Ok("perhaps".to_string())]);
    assert_eq!(partitions(&ottla.bootstrap(), "perhaps"), None);
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    let dir = tempfile::tempdir().unwrap();
    let port = port_for_restarts();
    let ottla = Ottla::start_on(dir.path(), port);
    let bootstrap = ottla.bootstrap();
    produce_texts(&bootstrap, "cut", &["0", "1", "2", "3", "4"]);
    let mut up_to = TopicPartitionList::new();
    up_to.add_partition_offset("cut", 0, Offset::Offset(3)).unwrap();
    let cut = block_on(admin(&bootstrap).delete_records(&up_to, &options())).unwrap();
    assert_eq!(cut.find_partition("cut", 0).unwrap().offset(), Offset::Offset(3));
    let first = |bootstrap: &str| read_all(bootstrap, "cut", 0)[0].clone();
    assert_eq!(text(&first(&bootstrap)), "3");
    ottla.kill();
    let ottla = Ottla::start_on(dir.path(), port);
    assert_eq!(text(&first(&ottla.bootstrap())), "3");
}

#[test]
fn the_brokers_own_settings_are_described() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let broker = ResourceSpecifier::Broker(1);
    let answer = block_on(admin(&ottla.bootstrap()).describe_configs(&[broker], &options()));
    let resource = answer.unwrap().remove(0).unwrap();
    assert_eq!(resource.get("num.partitions").unwrap().value.as_deref(), Some("1"));
    assert!(resource.entries.len() > 20, "{} settings", resource.entries.len());
}
