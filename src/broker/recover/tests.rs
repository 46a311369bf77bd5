//! Accidents: files that are lost, rotten, or of another version, and starts that come to nothing.

use super::*;
use crate::broker::NewTopic;
use crate::config::TopicOverrides;
use crate::disk::sim::SimDisk;
use crate::disk::{DiskError, Open};
use crate::limits::{PRODUCER_BATCHES, RING_BYTES_MIN, Sizes, TOPIC_SETTING_BYTES_MAX};
use crate::state::forward::ForwardRow;
use crate::state::producers::ProducerRow;
use crate::storage::coordinator::{self, CoordinatorFile, PartitionRecord, StorageState};
use crate::storage::partition::Segment;
use crate::time::Millis;
use crate::wire::batch;
use crate::wire::record::{BatchBuilder, Producer};

const NOW: Now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };

fn config() -> BrokerConfig {
    BrokerConfig { journal_bytes: RING_BYTES_MIN as u32, ..BrokerConfig::default() }
}

fn start(disk: &SimDisk) -> Opened {
    open(Rc::new(disk.clone()), config(), 7, NOW).unwrap()
}

fn sync(broker: &mut Broker) {
    broker.checkpoint(false, false, NOW).ok();
    broker.storage_mut().sync_all(NOW.mono).ok();
}

fn checkpoint(broker: &mut Broker) {
    broker.checkpoint(true, false, NOW).unwrap();
    sync(broker);
}

fn append(broker: &mut Broker, topic: &str, value: &str, producer: Option<Producer>) {
    let mut builder = BatchBuilder::new(NOW.wall_ms);
    if let Some(producer) = producer {
        builder = builder.producer(producer);
    }
    builder.push(NOW.wall_ms, None, Some(value.as_bytes()), &[]);
    let bytes = builder.finish();
    let header = batch::check(&bytes).unwrap();
    broker.append(topic, 0, &bytes, &header, NOW).unwrap();
}

/// The values of a topic's only partition.
fn values(broker: &mut Broker, topic: &str) -> Vec<String> {
    let view = broker.partition(broker.topics().find(topic).unwrap(), 0).unwrap();
    let (mut offset, mut values) = (view.log_start_offset, Vec::new());
    while let Ok(Some(slice)) = broker.read(view.index, offset, 1, true) {
        let mut bytes = vec![0; slice.bytes as usize];
        slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).unwrap();
        for record in batch::records(&bytes, &slice.first).flatten() {
            values.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
        }
        offset = slice.first.next_offset();
    }
    values
}

fn create(broker: &mut Broker, name: &str) {
    let new = NewTopic { name, partitions: 1, replication_factor: 1, ..NewTopic::default() };
    broker.create_topic(new, NOW).unwrap();
}

/// "zeta" is older than "alpha"; each has one record before the last checkpoint and one behind.
fn two_topics(disk: &SimDisk) {
    let mut broker = start(disk).broker;
    sync(&mut broker);
    for name in ["zeta", "alpha"] {
        create(&mut broker, name);
        append(&mut broker, name, &format!("{name} 1"), None);
    }
    sync(&mut broker);
    checkpoint(&mut broker);
    append(&mut broker, "zeta", "zeta 2", None);
    append(&mut broker, "alpha", "alpha 2", None);
    sync(&mut broker);
}

fn spoil(disk: &SimDisk, path: &str, at: u64) {
    disk.open(path, Open::Write).unwrap().write_at(&[b"rot"], at).unwrap();
}

#[test]
fn with_no_coordinator_file_left_every_record_is_found_under_its_own_name() {
    for remove in [true, false] {
        let disk = SimDisk::new();
        two_topics(&disk);
        for path in ["coordinator", "coordinator.previous"] {
            if remove { disk.remove_file(path).unwrap() } else { spoil(&disk, path, 30) }
        }
        for again in [false, true] {
            let Opened { mut broker, report } = start(&disk);
            assert_eq!(report.rebuilt, !again, "{report:?}");
            for name in ["zeta", "alpha"] {
                let wanted = (1..=2 + i32::from(again)).map(|n| format!("{name} {n}"));
                assert_eq!(values(&mut broker, name), wanted.collect::<Vec<_>>());
                append(&mut broker, name, &format!("{name} {}", 3 + i32::from(again)), None);
            }
            sync(&mut broker);
        }
    }
}

#[test]
fn a_rotten_coordinator_file_is_replaced_by_the_one_before_it_and_both_are_whole_again() {
    let disk = SimDisk::new();
    two_topics(&disk);
    spoil(&disk, "coordinator", 30);
    let Opened { mut broker, report } = start(&disk);
    assert!(!report.rebuilt && report.notes.len() == 1, "{report:?}");
    assert_eq!(values(&mut broker, "zeta"), ["zeta 1", "zeta 2"]);
    checkpoint(&mut broker);
    let Opened { mut broker, report } = start(&disk);
    assert_eq!(report.notes, [""; 0]);
    assert_eq!(values(&mut broker, "alpha"), ["alpha 1", "alpha 2"]);
}

#[test]
fn a_lost_journal_costs_no_record_and_the_next_one_lasts() {
    for rotten in [false, true] {
        let disk = SimDisk::new();
        two_topics(&disk);
        if rotten {
            (0..8).for_each(|sector| spoil(&disk, "journal", sector * 512 + 9));
        } else {
            disk.remove_file("journal").unwrap();
        }
        let Opened { mut broker, report } = start(&disk);
        assert!(!report.first_start && report.notes.len() == 1, "{report:?}");
        assert_eq!(values(&mut broker, "zeta"), ["zeta 1", "zeta 2"]);
        append(&mut broker, "zeta", "zeta 3", None);
        sync(&mut broker);
        for variant in 0..20 {
            let Opened { mut broker, report } = start(&disk.after_cut(variant));
            assert_eq!(report.notes, [""; 0]);
            assert_eq!(values(&mut broker, "zeta"), ["zeta 1", "zeta 2", "zeta 3"]);
        }
    }
}

#[test]
fn with_the_journal_lost_topics_and_segments_since_the_checkpoint_are_found() {
    let disk = SimDisk::new();
    two_topics(&disk);
    let mut broker = start(&disk).broker;
    let small = TopicOverrides::from_pairs([("segment.bytes", Some("4096"))], &config()).unwrap();
    let new = NewTopic { name: "late", partitions: 1, replication_factor: 1, overrides: small };
    broker.create_topic(new, NOW).unwrap();
    let number = broker.topics().find("zeta").unwrap().number;
    let small = TopicOverrides::from_pairs([("segment.bytes", Some("4096"))], &config()).unwrap();
    broker.configure_topic(number, small, NOW).unwrap();
    sync(&mut broker);
    let long = |n: usize| format!("{n} {}", "x".repeat(1_500));
    for n in 0..4 {
        append(&mut broker, "late", &long(n), None);
        append(&mut broker, "zeta", &long(n), None);
        sync(&mut broker);
    }
    drop(broker);
    disk.remove_file("journal").unwrap();
    for _ in 0..2 {
        let mut broker = start(&disk).broker;
        let late: Vec<String> = (0..4).map(long).collect();
        assert_eq!(values(&mut broker, "late"), late);
        assert_eq!(values(&mut broker, "zeta")[2..], late);
        assert_eq!(values(&mut broker, "alpha"), ["alpha 1", "alpha 2"]);
        sync(&mut broker);
    }
}

#[test]
fn rot_in_a_durable_frame_is_reported_and_the_segments_copy_is_taken() {
    let disk = SimDisk::new();
    two_topics(&disk);
    let mut broker = start(&disk).broker;
    append(&mut broker, "zeta", "zeta 3", None);
    sync(&mut broker);
    let log = disk.operation_log();
    let frame = log.iter().rev().find_map(|l| l.strip_prefix("write journal ")).unwrap();
    let at: u64 = frame.split('+').next().unwrap().parse().unwrap();
    append(&mut broker, "zeta", "zeta 4", None);
    sync(&mut broker);
    spoil(&disk, "journal", at + 3);
    let Opened { mut broker, report } = start(&disk);
    assert_eq!(report.notes.len(), 1, "{report:?}");
    assert_eq!(values(&mut broker, "zeta"), ["zeta 1", "zeta 2", "zeta 3", "zeta 4"]);
}

#[test]
fn a_log_whose_records_rotted_goes_on_behind_its_start() {
    let disk = SimDisk::new();
    let mut broker = start(&disk).broker;
    sync(&mut broker);
    create(&mut broker, "t");
    sync(&mut broker);
    append(&mut broker, "t", "gone", None);
    sync(&mut broker);
    let log = disk.operation_log();
    let frame = log.iter().rev().find_map(|l| l.strip_prefix("write journal ")).unwrap();
    let at: u64 = frame.split('+').next().unwrap().parse().unwrap();
    let view = |broker: &Broker| {
        let topic = broker.topics().find("t").unwrap();
        broker.partition(topic, 0).unwrap()
    };
    let index = view(&broker).index;
    broker.delete_records(index, -1, NOW).unwrap();
    sync(&mut broker);
    drop(broker);
    spoil(&disk, "journal", at + 3);
    disk.remove_file("topics/t-0/00000000000000000000.log").ok();
    let Opened { mut broker, report } = start(&disk);
    assert!(report.notes.iter().any(|note| note.contains("records 0 to 0")), "{report:?}");
    assert_eq!((view(&broker).log_start_offset, view(&broker).log_end_offset), (1, 1));
    append(&mut broker, "t", "kept", None);
    sync(&mut broker);
    assert_eq!(values(&mut broker, "t"), ["kept"]);
}

#[test]
fn a_format_of_the_future_is_refused_and_nothing_is_touched() {
    for (path, at) in [("coordinator", 8), ("journal", 8)] {
        let disk = SimDisk::new();
        two_topics(&disk);
        let file = disk.open(path, Open::Write).unwrap();
        file.write_at(&[&[9]], at).unwrap();
        let length = file.length().unwrap() as usize;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let (crc, at) = match path {
            "journal" => (crate::wire::crc32c(&bytes[..20]), 20),
            _ => (crate::wire::crc::crc32c_parts(&[&bytes[8..16], &bytes[20..]]), 16),
        };
        file.write_at(&[&crc.to_le_bytes()], at).unwrap();
        let before = disk.operations();
        let Err(error) = open(Rc::new(disk.clone()), config(), 7, NOW) else { panic!("opened") };
        assert!(error.to_string().contains("newer"), "{error}");
        assert_eq!(disk.operations(), before);
    }
}

#[test]
fn starts_that_come_to_nothing_do_not_run_the_ring_full() {
    let disk = SimDisk::new();
    two_topics(&disk);
    for _ in 0..100 {
        drop(start(&disk));
    }
    let Opened { mut broker, report } = start(&disk);
    assert_eq!(report.notes, [""; 0]);
    assert_eq!(values(&mut broker, "zeta"), ["zeta 1", "zeta 2"]);
    assert!(!broker.storage().checkpoint_due());
}

#[test]
fn a_disk_without_room_for_the_restored_records_is_served_and_loses_nothing() {
    let disk = SimDisk::new();
    two_topics(&disk);
    // The data behind the checkpoint is only in the journal now.
    let disk = (0..40).map(|v| disk.after_cut(v)).find(lacks_records).unwrap();
    // It fails until not even room made of the indexes, which are caches, helps the first record.
    let one_stuck = |fails: u64| {
        let full = disk.fork();
        let writes = full.operations();
        (1..fails).for_each(|n| full.fail_at(writes + n, DiskError::NoSpace));
        let opened = start(&full);
        opened.broker.storage().failed().is_some().then_some((full, opened))
    };
    let (full, Opened { mut broker, report }) = (4..20).find_map(one_stuck).unwrap();
    assert!(!report.notes.is_empty(), "{report:?}");
    assert_eq!(values(&mut broker, "alpha")[0], "alpha 1");
    let Opened { mut broker, report } = start(&full);
    assert_eq!(report.notes, [""; 0]);
    for name in ["zeta", "alpha"] {
        assert_eq!(values(&mut broker, name), [format!("{name} 1"), format!("{name} 2")]);
    }
}

fn lacks_records(disk: &SimDisk) -> bool {
    let length = |name: &str| {
        let path = format!("topics/{name}-0/00000000000000000000.log");
        disk.open(&path, Open::Read).unwrap().length().unwrap()
    };
    length("zeta") < 100 && length("alpha") < 100
}

#[test]
fn a_clients_invented_producer_id_neither_ends_a_start_nor_uses_up_the_others() {
    let disk = SimDisk::new();
    two_topics(&disk);
    let mut broker = start(&disk).broker;
    let producer = Producer { id: i64::MAX, epoch: 0, base_sequence: 0 };
    append(&mut broker, "zeta", "zeta 3", Some(producer));
    sync(&mut broker);
    let mut broker = start(&disk).broker;
    let (id, _) = broker.init_producer_id(NOW).unwrap();
    assert!(id < 1_000_000, "{id}");
    for path in ["coordinator", "coordinator.previous"] {
        disk.remove_file(path).unwrap();
    }
    let mut broker = start(&disk).broker;
    assert!(broker.init_producer_id(NOW).unwrap().0 < 1_000_000);
}

#[test]
fn what_a_cut_brought_back_of_deleted_topics_is_swept_away() {
    let disk = SimDisk::new();
    two_topics(&disk);
    let mut broker = start(&disk).broker;
    let number = broker.topics().find("zeta").unwrap().number;
    broker.delete_topic(number, NOW).unwrap();
    sync(&mut broker);
    checkpoint(&mut broker);
    assert_eq!(disk.list("topics").unwrap().len(), 1);
    // The removal of the names was never synced.
    let cut = disk.after_cut(0);
    assert_eq!(cut.list("topics").unwrap().len(), 2);
    let Opened { report, .. } = start(&cut);
    assert_eq!(report.notes, [""; 0]);
    assert_eq!(cut.list("topics").unwrap().len(), 1);
}

#[test]
fn a_second_checkpoint_waits_for_the_first() {
    let disk = SimDisk::new();
    two_topics(&disk);
    let mut broker = start(&disk).broker;
    append(&mut broker, "zeta", "zeta 3", None);
    broker.checkpoint(true, false, NOW).unwrap();
    assert_eq!(broker.checkpoint(true, true, NOW), Err(crate::broker::Refusal::Busy));
    sync(&mut broker);
    assert_eq!(broker.checkpoint(true, true, NOW), Ok(()));
    sync(&mut broker);
    let Opened { mut broker, report } = start(&disk.after_cut(0));
    assert!(report.clean);
    assert_eq!(values(&mut broker, "zeta").len(), 3);
}

#[test]
fn a_checkpoint_without_space_is_tried_again_and_holds_up_nobody() {
    let disk = SimDisk::new();
    two_topics(&disk);
    let mut broker = start(&disk).broker;
    sync(&mut broker);
    append(&mut broker, "zeta", "zeta 3", None);
    // What is kept for the next one.
    disk.remove_file("coordinator.new").unwrap();
    disk.set_capacity(0);
    broker.checkpoint(true, false, NOW).unwrap();
    sync(&mut broker);
    assert!(broker.storage().lacks_space());
    append(&mut broker, "zeta", "zeta 4", None);
    sync(&mut broker);
    assert_eq!(broker.storage().durable(), broker.storage().last());
    assert_eq!(broker.storage().failed(), None);
    let now = NOW.mono.saturating_add(crate::limits::CHECKPOINT_RETRY_MS);
    assert_eq!(broker.storage().sync_deadline(), Some(now));
    disk.set_capacity(1 << 30);
    assert!(broker.storage_mut().start_sync(now).is_none(), "the time has come");
    assert_eq!(broker.storage().sync_deadline(), Some(Millis(0)));
    broker.checkpoint(false, false, NOW).unwrap();
    while let Some(file) = broker.storage_mut().start_sync(now) {
        broker.storage_mut().finish_sync(file.sync(), now);
    }
    assert!(!broker.storage().lacks_space() && !broker.storage().is_checkpointing());
}

fn commit(broker: &mut Broker, group_id: &str, now: Now) -> bool {
    let commit = crate::state::offsets::Commit {
        offset: 5,
        leader_epoch: -1,
        metadata: "",
        retention_ms: None,
    };
    broker.commit_offset(group_id, "t", 0, commit, now).is_ok()
}

fn committed(broker: &Broker) -> Vec<String> {
    broker.groups.offsets().rows().map(|row| row.group_id.to_owned()).collect()
}

/// Where one that had expired came back, there would be no room for one that was acknowledged.
#[test]
fn an_offset_that_expired_is_gone_after_a_restart_too_and_its_place_is_anothers() {
    let sizes = Sizes { groups: 1, ..Sizes::default() };
    let config = || BrokerConfig { sizes, offsets_retention_minutes: 60, ..config() };
    let disk = SimDisk::new();
    let mut broker = open(Rc::new(disk.clone()), config(), 7, NOW).unwrap().broker;
    sync(&mut broker);
    create(&mut broker, "t");
    assert!(commit(&mut broker, "old", NOW));
    assert!(!commit(&mut broker, "new", NOW));
    let mono = NOW.mono.saturating_add(2 * 60 * 60_000);
    broker.handle_timeout(Now { mono, ..NOW });
    assert!(commit(&mut broker, "new", Now { mono, ..NOW }));
    sync(&mut broker);
    drop(broker);
    let Opened { broker, report } = open(Rc::new(disk), config(), 7, NOW).unwrap();
    assert_eq!(committed(&broker), ["new"]);
    assert_eq!(report.notes.len(), 0, "{report:?}");
}

#[test]
fn a_smaller_board_says_what_it_has_no_room_for() {
    let disk = SimDisk::new();
    let mut broker = start(&disk).broker;
    sync(&mut broker);
    create(&mut broker, "t");
    for group_id in ["a", "b", "c"] {
        assert!(commit(&mut broker, group_id, NOW));
    }
    sync(&mut broker);
    drop(broker);
    let sizes = Sizes { groups: 2, ..Sizes::default() };
    let config = BrokerConfig { sizes, ..config() };
    let Opened { broker, report } = open(Rc::new(disk), config, 7, NOW).unwrap();
    assert_eq!(committed(&broker), ["a", "b"]);
    assert!(report.notes[0].starts_with("1 commits of offsets found no room"), "{report:?}");
}

#[test]
fn a_coordinator_file_larger_than_all_tables_is_not_read_unless_a_newer_one_is_there() {
    let disk = SimDisk::new();
    let mut broker = start(&disk).broker;
    sync(&mut broker);
    drop(broker);
    let large = |checkpoint| {
        let storage = StorageState { checkpoint, next_sequence: 1, ..StorageState::default() };
        let state = vec![0; Sizes::default().coordinator_bytes()];
        coordinator::encode(&CoordinatorFile { storage, state })
    };
    let put = |path, bytes: &[u8]| {
        let file = disk.open(path, Open::CreateEmpty).unwrap();
        file.write_at(&[bytes], 0).unwrap();
    };
    // What a larger board left there before.
    put("coordinator.previous", &large(0));
    assert_eq!(start(&disk).report.notes, Vec::<String>::new());
    put("coordinator.previous", &large(1_000));
    let error = open(Rc::new(disk.clone()), config(), 7, NOW).err().unwrap();
    assert!(error.to_string().contains("bytes of tables, more than this board"), "{error}");
    // A length that has rotted takes no memory either.
    let mut rotten = large(1_000);
    rotten[12..16].fill(0xff);
    put("coordinator.previous", &rotten);
    let notes = start(&disk).report.notes;
    assert!(notes[0].contains("'coordinator.previous' is unreadable"), "{notes:?}");
}

#[test]
fn rows_with_the_largest_numbers_and_names_fit_the_coordinator_files_limit() {
    let bytes = |row: Result<Vec<u8>, postcard::Error>| row.unwrap().len();
    let (name, long) = ("n".repeat(249), i64::MAX);
    let segment = Segment {
        base_offset: long,
        bytes: u32::MAX,
        max_timestamp: long,
        created_age_s: u32::MAX,
        appended_age_s: u32::MAX,
    };
    let partition = PartitionRecord {
        topic: u32::MAX,
        topic_name: name.clone(),
        partition: u32::MAX,
        log_start: long,
        log_end: long,
        segments: Vec::new(),
    };
    let forward = ForwardRow {
        upstream_topic: "u".repeat(255).as_str().into(),
        upstream_topic_id: [255; 16],
        upstream_partition: i32::MIN,
        producer_id: long,
        producer_epoch: i16::MIN,
        sequence_base: i64::MIN,
        upstream_offset: long,
        rejected: u64::MAX,
        repeated: u64::MAX,
        ..ForwardRow::new(u32::MAX, u32::MAX, long)
    };
    let offset = OffsetRow {
        group_id: &name,
        topic: &name,
        partition: i32::MAX,
        offset: long,
        leader_epoch: i32::MAX,
        metadata: "",
        commit_wall_ms: long,
        retention_ms: Some(u64::MAX),
    };
    let batch = crate::state::producers::Batch {
        first_sequence: i32::MAX,
        last_sequence: i32::MAX,
        base_offset: long,
        timestamp: long,
    };
    let producer = ProducerRow {
        topic: u32::MAX,
        partition: u32::MAX,
        id: long,
        epoch: i16::MAX,
        batches: core::iter::repeat_n(batch, PRODUCER_BATCHES).collect(),
    };
    let none = Sizes {
        partitions: 0,
        segments: 0,
        topics: 0,
        offsets: 0,
        offset_bytes: 0,
        producers: 0,
        ..Sizes::default()
    };
    let of = |sizes: Sizes| sizes.coordinator_bytes() - none.coordinator_bytes();
    let partitions = bytes(postcard::to_stdvec(&partition)) + bytes(postcard::to_stdvec(&forward));
    assert!(partitions <= of(Sizes { partitions: 1, ..none }), "{partitions}");
    assert!(bytes(postcard::to_stdvec(&segment)) <= of(Sizes { segments: 1, ..none }));
    assert!(bytes(postcard::to_stdvec(&offset)) <= of(Sizes { offsets: 1, ..none }));
    assert!(bytes(postcard::to_stdvec(&producer)) <= of(Sizes { producers: 1, ..none }));
    let overrides = TopicOverrides::default();
    let topic = TopicRow {
        number: u32::MAX,
        name: name.into(),
        id: [9; 16],
        partitions: u32::MAX,
        overrides,
    };
    // A setting is stored with one byte less than in memory.
    let topics = bytes(postcard::to_stdvec(&topic)) + TOPIC_SETTING_BYTES_MAX;
    assert!(topics <= of(Sizes { topics: 1, ..none }), "{topics}");
}
