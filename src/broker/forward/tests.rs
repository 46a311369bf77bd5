//! Rows, wakes and what is set aside, on a simulated disk.

use super::*;
use crate::broker::open;
use crate::config::{BrokerConfig, TopicOverrides};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::state::forward::ForwardCommand;
use crate::time::Millis;
use crate::wire::record::{BatchBuilder, Producer};
use std::rc::Rc;

const NOW: Now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };

fn later(ms: u64) -> Now {
    Now { mono: NOW.mono.saturating_add(ms), wall_ms: NOW.wall_ms + ms as i64 }
}

fn config() -> BrokerConfig {
    let mut config = BrokerConfig { journal_bytes: 256 * 1024, ..BrokerConfig::default() };
    config.forward.bootstrap_servers = vec![("up".to_owned(), 9092)];
    config.forward.topics_exclude = vec!["private*".to_owned()];
    config
}

fn start(disk: &SimDisk) -> Broker {
    let mut broker = open(Rc::new(disk.clone()), config(), 7, NOW).unwrap().broker;
    sync(&mut broker);
    broker
}

fn sync(broker: &mut Broker) {
    broker.storage_mut().sync_all(NOW.mono).ok();
}

fn create(broker: &mut Broker, name: &str, partitions: i32) -> u32 {
    let new = NewTopic { name, partitions, replication_factor: -1, ..NewTopic::default() };
    broker.create_topic(new, NOW).unwrap();
    broker.topics().find(name).unwrap().number
}

fn batch_of(value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(1_000);
    builder.push(1_000, None, Some(value), &[]);
    builder.finish()
}

fn append(broker: &mut Broker, topic: &str, value: &[u8]) {
    let bytes = batch_of(value);
    let header = batch::check(&bytes).unwrap();
    broker.append(topic, 0, &bytes, &header, NOW).unwrap();
}

fn key(topic: u32) -> PartitionKey {
    PartitionKey { topic, partition: 0 }
}

fn row(topic: u32, cursor: i64) -> ForwardRow {
    ForwardRow { upstream_topic: "up".into(), ..ForwardRow::new(topic, 0, cursor) }
}

fn wakes(broker: &mut Broker) -> Vec<PartitionKey> {
    let mut woken = Vec::new();
    broker.take_forward_wakes(|key| woken.push(key));
    woken
}

/// A broker whose topic "t" has four records, and its number.
fn with_records(disk: &SimDisk) -> (Broker, u32) {
    let mut broker = start(disk);
    let number = create(&mut broker, "t", 1);
    for value in [b"a", b"b", b"c", b"d"] {
        append(&mut broker, "t", value);
    }
    sync(&mut broker);
    (broker, number)
}

#[test]
fn a_saved_row_survives_the_power_and_a_noted_one_does_not() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    let lsn = broker.save_forward(&row(number, 1), NOW).unwrap();
    assert!(broker.storage().durable() < lsn);
    assert_eq!(broker.storage().sync_deadline(), Some(NOW.mono));
    sync(&mut broker);
    assert!(broker.storage().durable() >= lsn);
    broker.note_forward(&row(number, 3));
    assert_eq!(broker.forward_row(key(number)), Some(&row(number, 3)));
    assert_eq!(start(&disk.after_cut(0)).forward_row(key(number)), Some(&row(number, 1)));
}

#[test]
fn a_checkpoint_takes_what_was_only_noted_and_the_head() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    let head = ForwardHead { cluster_id: "upstream".into(), paused: true };
    broker.save_forward_head(head.clone(), NOW).unwrap();
    broker.note_forward(&row(number, 3));
    broker.checkpoint(true, true, NOW).unwrap();
    sync(&mut broker);
    let again = start(&disk.after_cut(0));
    assert_eq!(again.forward_row(key(number)), Some(&row(number, 3)));
    assert_eq!(again.forwarding().head(), &head);
}

#[test]
fn a_journalled_row_wants_no_sync_and_rides_along_with_the_next() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    broker.journal_forward(&row(number, 2), NOW).unwrap();
    assert_eq!(broker.storage().sync_deadline(), None);
    assert!(broker.storage().wanted() < broker.storage().last());
    append(&mut broker, "t", b"e");
    // One more that comes while the sync is under way does not ask for another one either.
    let file = broker.storage_mut().start_sync(later(1_000).mono).unwrap();
    broker.journal_forward(&row(number, 4), NOW).unwrap();
    broker.storage_mut().finish_sync(file.sync(), NOW.mono);
    assert_eq!(broker.storage().sync_deadline(), None);
    assert_eq!(start(&disk.after_cut(0)).forward_row(key(number)), Some(&row(number, 2)));
}

#[test]
fn lazy_frames_without_end_make_room_for_themselves() {
    let (mut broker, number) = with_records(&SimDisk::new());
    let mut refused = 0;
    for cursor in 0..5_000 {
        refused += u32::from(broker.journal_forward(&row(number, cursor % 4), NOW).is_err());
        if broker.storage().checkpoint_due() {
            broker.checkpoint(false, false, NOW).unwrap();
            sync(&mut broker);
        }
    }
    assert_eq!(refused, 0);
}

#[test]
fn rows_of_a_deleted_topic_go_with_it() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    broker.save_forward(&row(number, 1), NOW).unwrap();
    broker.delete_topic(number, NOW).unwrap();
    assert_eq!(broker.save_forward(&row(number, 1), NOW), Err(Refusal::UnknownTopicOrPartition));
    assert!(broker.journal_forward(&row(number, 1), NOW).is_err());
    broker.note_forward(&row(number, 1));
    assert_eq!(broker.forward_row(key(number)), None);
    sync(&mut broker);
    assert_eq!(start(&disk.after_cut(0)).forwarding().rows().count(), 0);
}

#[test]
fn a_log_that_ends_before_the_cursor_gets_a_new_producer_id() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    let ahead = ForwardRow { producer_id: 5, producer_epoch: 1, ..row(number, 9) };
    broker.save_forward(&ahead, NOW).unwrap();
    sync(&mut broker);
    let opened = open(Rc::new(disk), config(), 7, NOW).unwrap();
    let row = opened.broker.forward_row(key(number)).unwrap();
    assert_eq!((row.cursor, row.sequence_base, row.producer_id), (4, 4, -1));
    assert_eq!(opened.report.notes.len(), 1, "{:?}", opened.report.notes);
}

#[test]
fn forwarded_partitions_are_named_once_when_their_records_become_durable() {
    let mut broker = start(&SimDisk::new());
    let number = create(&mut broker, "t", 2);
    create(&mut broker, "private-1", 1);
    assert!(broker.forward_pending(), "a new topic");
    assert_eq!(wakes(&mut broker), []);
    assert!(!broker.forward_pending());
    append(&mut broker, "t", b"a");
    append(&mut broker, "private-1", b"a");
    assert_eq!(wakes(&mut broker), []);
    for _ in 0..2 {
        sync(&mut broker);
        while broker.pop_woken().is_some() {}
        append(&mut broker, "t", b"b");
    }
    assert!(broker.forward_pending());
    assert_eq!(wakes(&mut broker), [key(number)]);
    assert_eq!(wakes(&mut broker), []);
    sync(&mut broker);
    assert_eq!(wakes(&mut broker), [key(number)], "without pop_woken as well");
}

#[test]
fn a_command_a_pause_and_topics_are_pending_until_they_are_looked_at() {
    let mut broker = start(&SimDisk::new());
    let number = create(&mut broker, "t", 1);
    broker.add_partitions(number, 2, NOW).unwrap();
    broker.delete_topic(number, NOW).unwrap();
    assert_eq!(broker.topics_version(), 3);
    wakes(&mut broker);
    let paused = ForwardHead { paused: true, ..ForwardHead::default() };
    broker.save_forward_head(paused.clone(), NOW).unwrap();
    assert!(broker.forward_pending());
    wakes(&mut broker);
    broker.save_forward_head(ForwardHead { cluster_id: "c".into(), ..paused }, NOW).unwrap();
    assert!(!broker.forward_pending(), "the forwarder's own");
    let seek = ForwardCommand::Seek { topic: 1, partition: 0, offset: 0 };
    broker.forwarding_mut().command(seek);
    assert!(broker.forward_pending());
    assert_eq!(broker.forwarding_mut().take_command(), Some(seek));
    assert!(!broker.forward_pending());
}

#[test]
fn nothing_is_collected_while_forwarding_is_off() {
    let disk = SimDisk::new();
    let plain = BrokerConfig { journal_bytes: 256 * 1024, ..BrokerConfig::default() };
    let mut broker = open(Rc::new(disk), plain, 7, NOW).unwrap().broker;
    sync(&mut broker);
    create(&mut broker, "t", 1);
    append(&mut broker, "t", b"a");
    sync(&mut broker);
    assert!(!broker.forward_pending());
    assert_eq!(wakes(&mut broker), []);
}

/// A topic whose every record is a segment of its own, and too old at once.
fn short_lived(broker: &mut Broker, name: &str) -> u32 {
    let number = create(broker, name, 1);
    let pairs = [("segment.bytes", Some("14")), ("retention.ms", Some("0"))];
    let own = TopicOverrides::from_pairs(pairs, &config()).unwrap();
    broker.configure_topic(number, own, NOW).unwrap();
    for value in [&[b'x'; 4_000], &[b'y'; 4_000], &[b'z'; 4_000]] {
        append(broker, name, value);
        sync(broker);
    }
    number
}

fn log_start(broker: &Broker, topic: &str) -> i64 {
    broker.find_partition(topic, 0).unwrap().1.log_start_offset
}

#[test]
fn retention_leaves_what_is_not_forwarded_yet_and_makes_the_row_last_first() {
    let disk = SimDisk::new();
    let mut broker = start(&disk);
    let number = short_lived(&mut broker, "t");
    let private = short_lived(&mut broker, "private-1");
    assert_ne!(number, private);
    broker.apply_retention(later(100_000));
    assert_eq!(log_start(&broker, "t"), 0, "no row yet");
    assert_eq!(log_start(&broker, "private-1"), 3);
    broker.note_forward(&row(number, 2));
    broker.apply_retention(later(100_000));
    assert_eq!(log_start(&broker, "t"), 2);
    sync(&mut broker);
    let again = start(&disk.after_cut(0));
    assert_eq!(log_start(&again, "t"), 2);
    assert_eq!(again.forward_row(key(number)), Some(&row(number, 2)), "it was only noted");
}

#[test]
fn a_client_may_delete_what_is_not_forwarded() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    broker.note_forward(&row(number, 1));
    let index = broker.find_partition("t", 0).unwrap().1.index;
    broker.delete_records(index, 3, NOW).unwrap();
    sync(&mut broker);
    let again = start(&disk.after_cut(0));
    assert_eq!(log_start(&again, "t"), 3);
    assert_eq!(again.forward_row(key(number)).unwrap().cursor, 1);
}

/// All bytes of a topic's first partition.
fn bytes_of(broker: &mut Broker, topic: &str, partition: i32) -> Vec<u8> {
    let view = broker.find_partition(topic, partition).unwrap().1;
    let slice = broker.read(view.index, view.log_start_offset, u32::MAX, true).unwrap().unwrap();
    let mut bytes = vec![0; slice.bytes as usize];
    slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).unwrap();
    bytes
}

#[test]
fn what_is_set_aside_is_the_batch_byte_for_byte_but_for_its_place() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    broker.add_partitions(number, 2, NOW).unwrap();
    let mut stored = bytes_of(&mut broker, "t", 0);
    let last = BatchBytes::split(&stored).last().unwrap().clone();
    let lsn = broker.set_aside(number, 1, &last, NOW).unwrap();
    broker.set_aside(number, 1, &last, NOW).unwrap();
    sync(&mut broker);
    assert!(broker.storage().durable() >= lsn);
    let found = bytes_of(&mut broker, "t.rejected", 1);
    let found = BatchBytes::split(&found);
    assert_eq!(found.len(), 2);
    for (offset, batch) in found.iter().enumerate() {
        assert_eq!(batch[..8], (offset as i64).to_be_bytes());
        assert_eq!(batch[8..], last[8..]);
    }
    assert!(!broker.forwards(broker.topics().find("t.rejected").unwrap()));
    assert_eq!(broker.topics().find("t.rejected").unwrap().partitions.len(), 2);
    // It can be grown later.
    broker.add_partitions(number, 3, NOW).unwrap();
    broker.set_aside(number, 2, &last, NOW).unwrap();
    assert_eq!(broker.topics().find("t.rejected").unwrap().partitions.len(), 3);
    // What is not what it was is not vouched for.
    *stored.last_mut().unwrap() ^= 1;
    let rotten = BatchBytes::split(&stored).last().unwrap().clone();
    assert_eq!(broker.set_aside(number, 0, &rotten, NOW), Err(Refusal::CorruptBatch));
    let gone = broker.set_aside(99, 0, &last, NOW);
    assert_eq!(gone, Err(Refusal::UnknownTopicOrPartition));
}

#[test]
fn the_batch_that_was_set_aside_last_is_known_again_after_a_crash() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    let (one, other) = (batch_of(b"one"), batch_of(b"other"));
    assert!(!broker.is_set_aside(number, 0, &one), "there is no such topic yet");
    broker.set_aside(number, 0, &one, NOW).unwrap();
    broker.set_aside(number, 0, &other, NOW).unwrap();
    sync(&mut broker);
    let mut again = start(&disk.after_cut(0));
    let mut moved = other.clone();
    // Its place in the log is not part of what it is.
    moved[7] = 9;
    moved[15] = 9;
    assert!(again.is_set_aside(number, 0, &moved));
    assert!(!again.is_set_aside(number, 0, &one), "that is not the last one");
    assert!(!again.is_set_aside(number, 7, &other));
}

#[test]
fn a_large_batch_that_is_set_aside_survives_the_power() {
    let disk = SimDisk::new();
    let (mut broker, number) = with_records(&disk);
    let large = batch_of(&vec![7; 2_000_000]);
    let lsn = broker.set_aside(number, 0, &large, NOW).unwrap();
    sync(&mut broker);
    assert!(broker.storage().durable() >= lsn);
    let mut again = start(&disk.after_cut(0));
    assert!(bytes_of(&mut again, "t.rejected", 0)[16..] == large[16..]);
}

#[test]
fn a_repeated_batch_does_not_wait_for_a_row_that_waits_for_a_sync() {
    let (mut broker, number) = with_records(&SimDisk::new());
    let mut builder =
        BatchBuilder::new(1_000).producer(Producer { id: 5, epoch: 0, base_sequence: 0 });
    builder.push(1_000, None, Some(b"v"), &[]);
    let bytes = builder.finish();
    let header = batch::check(&bytes).unwrap();
    broker.append("t", 0, &bytes, &header, NOW).unwrap();
    sync(&mut broker);
    broker.journal_forward(&row(number, 1), NOW).unwrap();
    let again = broker.append("t", 0, &bytes, &header, NOW).unwrap();
    assert!(again.lsn <= broker.storage().durable());
}

#[test]
fn without_a_coordinator_file_no_topic_gets_the_row_of_another() {
    let disk = SimDisk::new();
    let mut broker = start(&disk);
    for name in ["other", "zeta", "last"] {
        create(&mut broker, name, 1);
        append(&mut broker, name, b"a");
    }
    let number = broker.topics().find("last").unwrap().number;
    // Nothing in the ring says any more which topic has which number, but for this one's batches.
    for _ in 0..100 {
        append(&mut broker, "other", &[b'x'; 5_000]);
        broker.checkpoint(false, false, NOW).unwrap();
        sync(&mut broker);
    }
    broker.save_forward(&row(number, 1), NOW).unwrap();
    sync(&mut broker);
    for path in disk.list("").unwrap().into_iter().filter(|(path, _)| path.starts_with("coord")) {
        disk.remove_file(&path.0).unwrap();
    }
    let opened = open(Rc::new(disk), config(), 7, NOW).unwrap();
    assert!(opened.report.rebuilt && opened.broker.forwarding().rows_lost);
    assert_eq!(opened.broker.topics().len(), 3);
    assert_eq!(opened.broker.forwarding().rows().count(), 0);
}

/// Batches one behind the other.
struct BatchBytes;

impl BatchBytes {
    fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut batches = Vec::new();
        while let Ok(header) = batch::BatchHeader::read(bytes) {
            let (one, rest) = bytes.split_at(header.total_bytes);
            batches.push(one.to_vec());
            bytes = rest;
        }
        batches
    }
}
