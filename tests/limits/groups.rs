//! Groups, their members, and what they commit.

use crate::support::PATIENCE;
use crate::support::clients::{consumer, create_topic};
use crate::support::process::Ottla;
use crate::support::raw::{self, Raw};
use ottla::config::board_named;
use ottla::limits::{OFFSET_METADATA_BYTES_MAX, Sizes};
use ottla::wire::Reader;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BOARD: &str = "pi-zero";

const NONE: i16 = 0;
const INVALID_COMMIT_OFFSET_SIZE: i16 = 28;
const MEMBER_ID_REQUIRED: i16 = 79;
const GROUP_MAX_SIZE_REACHED: i16 = 81;

struct Test {
    ottla: Ottla,
    sizes: Sizes,
    /// A connection for what needs no other.
    raw: Raw,
    _directory: TempDir,
}

impl Test {
    /// A broker with this board, and a topic "t" of so many partitions.
    fn start(partitions: i32, settings: &[&str]) -> Test {
        let directory = tempfile::tempdir().unwrap();
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--board", BOARD];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
        let ottla = Ottla::start_with(directory.path(), &arguments);
        create_topic(&ottla.bootstrap(), "t", partitions, &[]);
        let sizes = Sizes::of(&board_named(BOARD).unwrap());
        let raw = Raw::connect(ottla.address);
        Test { ottla, sizes, raw, _directory: directory }
    }

    /// OffsetCommit v2 of one partition by nobody in particular.
    fn commit(&mut self, group_id: &str, partition: i32, metadata: &str) -> i16 {
        let answer = self.raw.ask(&raw::request(8, 2, 1, false, |w| {
            w.string(group_id);
            w.i32(-1);
            w.string("");
            w.i64(-1);
            w.array(1);
            w.string("t");
            w.array(1);
            w.i32(partition);
            w.i64(7);
            w.string(metadata);
        }));
        i16::from_be_bytes(*answer.last_chunk().unwrap())
    }

    /// The same of many partitions at once, in a newer version: how many were taken.
    fn commit_all(&mut self, group_id: &str, partitions: core::ops::Range<i32>) -> usize {
        let answer = self.raw.ask(&raw::request(8, 7, 1, false, |w| {
            w.string(group_id);
            w.i32(-1);
            w.string("");
            w.nullable_string(None);
            w.array(1);
            w.string("t");
            w.array(partitions.len());
            for partition in partitions {
                w.i32(partition);
                w.i64(7);
                w.i32(-1);
                w.string("");
            }
        }));
        let mut r = Reader::new(&answer, 7, false);
        r.i32("throttle_time_ms").unwrap();
        r.array("topics").unwrap();
        r.string("name").unwrap();
        let taken = (0..r.array("partitions").unwrap()).filter(|_| {
            r.i32("partition_index").unwrap();
            let error = r.i16("error_code").unwrap();
            assert!(error == NONE || error == INVALID_COMMIT_OFFSET_SIZE, "{error}");
            error == NONE
        });
        taken.count()
    }

    /// OffsetDelete of one partition.
    fn delete_offset(&mut self, group_id: &str, partition: i32) -> i16 {
        let answer = self.raw.ask(&raw::request(47, 0, 1, false, |w| {
            w.string(group_id);
            w.array(1);
            w.string("t");
            w.array(1);
            w.i32(partition);
        }));
        i16::from_be_bytes(*answer.last_chunk().unwrap())
    }

    fn delete_group(&mut self, group_id: &str) -> i16 {
        let answer = self.raw.ask(&raw::request(42, 0, 1, false, |w| {
            w.array(1);
            w.string(group_id);
        }));
        i16::from_be_bytes(*answer.last_chunk().unwrap())
    }

    fn heartbeat(&mut self, group_id: &str, member_id: &str, generation: i32) -> i16 {
        let answer = self.raw.ask(&raw::request(12, 0, 1, false, |w| {
            w.string(group_id);
            w.i32(generation);
            w.string(member_id);
        }));
        i16::from_be_bytes(*answer.last_chunk().unwrap())
    }

    fn join(&mut self, version: i16, group_id: &str, metadata: &[u8]) -> (i16, String) {
        self.raw.send(&join(version, group_id, metadata));
        joined(&mut self.raw, version)
    }
}

/// A JoinGroup of version 3, which lets everybody in, or 4, which gives an id first.
fn join(version: i16, group_id: &str, metadata: &[u8]) -> Vec<u8> {
    raw::request(11, version, 1, false, |w| {
        w.string(group_id);
        w.i32(1_800_000);
        w.i32(1_800_000);
        w.string("");
        w.string("consumer");
        w.array(1);
        w.string("range");
        w.bytes(metadata);
    })
}

/// Error code and member id of a JoinGroup's answer.
fn joined(raw: &mut Raw, version: i16) -> (i16, String) {
    let (_, answer) = raw.receive().unwrap();
    let mut r = Reader::new(&answer, version, false);
    r.i32("throttle_time_ms").unwrap();
    let error = r.i16("error_code").unwrap();
    r.i32("generation_id").unwrap();
    r.string("protocol_name").unwrap();
    r.string("leader").unwrap();
    (error, r.string("member_id").unwrap().to_owned())
}

#[test]
fn one_group_more_is_refused_and_one_that_is_deleted_makes_room() {
    let mut test = Test::start(2, &[]);
    for number in 0..test.sizes.groups {
        assert_eq!(test.commit(&format!("g{number}"), 0, ""), NONE);
    }
    assert_eq!(test.commit("late", 0, ""), INVALID_COMMIT_OFFSET_SIZE);
    assert_eq!(test.join(3, "late", b"").0, GROUP_MAX_SIZE_REACHED);
    assert_eq!(test.join(4, "late", b"").0, GROUP_MAX_SIZE_REACHED);
    assert_eq!(test.commit("g3", 1, ""), NONE, "those that are there go on");
    assert_eq!(test.join(3, "g4", b"").0, NONE);
    assert_eq!(test.delete_group("g3"), NONE);
    let (error, member_id) = test.join(3, "late", b"");
    assert_eq!((error, test.heartbeat("late", &member_id, 1)), (NONE, NONE));
    assert_eq!(test.commit("g3", 0, ""), INVALID_COMMIT_OFFSET_SIZE);
}

#[test]
fn a_real_client_is_told_that_its_commit_found_no_room() {
    let mut test = Test::start(1, &[]);
    for number in 0..test.sizes.groups {
        assert_eq!(test.commit(&format!("g{number}"), 0, ""), NONE);
    }
    let late = consumer(&test.ottla.bootstrap(), &[("group.id", "late")]);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Offset(5)).unwrap();
    let told = late.commit(&list, CommitMode::Sync);
    let no_room = RDKafkaErrorCode::InvalidCommitOffsetSize;
    assert_eq!(told, Err(KafkaError::ConsumerCommit(no_room)));
    assert_eq!(test.delete_group("g0"), NONE);
    late.commit(&list, CommitMode::Sync).unwrap();
    let kept = late.committed_offsets(list, PATIENCE).unwrap();
    assert_eq!(kept.elements()[0].offset(), Offset::Offset(5));
}

#[test]
fn one_offset_more_is_refused_and_those_that_are_kept_go_on() {
    let partitions = 64;
    let mut test = Test::start(partitions, &[]);
    let groups = test.sizes.offsets.div_ceil(partitions as usize);
    assert!(groups < test.sizes.groups, "groups are not what is full first");
    for number in 0..groups {
        let left = test.sizes.offsets - number * partitions as usize;
        let taken = test.commit_all(&format!("g{number}"), 0..partitions);
        assert_eq!(taken, left.min(partitions as usize));
    }
    assert_eq!(test.commit("late", 0, ""), INVALID_COMMIT_OFFSET_SIZE);
    assert_eq!(test.commit("g0", 5, "again"), NONE);
    assert_eq!(test.delete_offset("g1", 7), NONE);
    assert_eq!(test.commit("late", 0, ""), NONE);
    assert_eq!(test.commit("g1", 7, ""), INVALID_COMMIT_OFFSET_SIZE);
}

#[test]
fn one_byte_of_metadata_more_is_refused_and_an_offset_without_any_is_not() {
    let mut test = Test::start(64, &[]);
    let long = "m".repeat(OFFSET_METADATA_BYTES_MAX);
    let whole = test.sizes.offset_bytes / long.len();
    for partition in 0..whole as i32 {
        assert_eq!(test.commit("g", partition, &long), NONE);
    }
    let rest = &long[..test.sizes.offset_bytes % long.len()];
    assert_eq!(test.commit("g", 60, rest), NONE);
    assert_eq!(test.commit("g", 61, "m"), INVALID_COMMIT_OFFSET_SIZE);
    assert_eq!(test.commit("g", 61, ""), NONE);
    assert_eq!(test.commit("g", 0, &long), NONE, "no more than before");
    assert_eq!(test.commit("g", 0, &long[1..]), NONE);
    assert_eq!(test.commit("g", 61, "m"), NONE);
    assert_eq!(test.commit("g", 62, "m"), INVALID_COMMIT_OFFSET_SIZE);
}

#[test]
fn one_member_more_is_refused_and_one_that_leaves_makes_room() {
    let mut test = Test::start(1, &["group.initial.rebalance.delay.ms=1000"]);
    // One that waits has a connection of its own; so they come in groups, one after the other.
    let at_once = test.sizes.connections - 8;
    let mut left = test.sizes.members;
    let mut last = (String::new(), String::new());
    for number in 0.. {
        let group_id = format!("g{number}");
        let count = left.min(at_once);
        let mut waiting: Vec<Raw> = (0..count).map(|_| Raw::connect(test.ottla.address)).collect();
        waiting.iter_mut().for_each(|raw| raw.send(&join(3, &group_id, b"")));
        left -= count;
        if left == 0 {
            // All of them are in, and wait.
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(test.join(3, &group_id, b"").0, GROUP_MAX_SIZE_REACHED);
            assert_eq!(test.join(3, "late", b"").0, GROUP_MAX_SIZE_REACHED);
        }
        for raw in &mut waiting {
            let (error, member_id) = joined(raw, 3);
            assert_eq!(error, NONE);
            last = (group_id.clone(), member_id);
        }
        if left == 0 {
            break;
        }
    }
    assert_eq!(test.join(3, "late", b"").0, GROUP_MAX_SIZE_REACHED);
    assert_eq!(test.heartbeat(&last.0, &last.1, 1), NONE);
    let leave = raw::request(13, 0, 1, false, |w| {
        w.string(&last.0);
        w.string(&last.1);
    });
    assert_eq!(test.raw.ask(&leave), [0, 0]);
    assert_eq!(test.join(3, "late", b"").0, NONE);
    assert_eq!(test.join(3, "later", b"").0, GROUP_MAX_SIZE_REACHED);
}

#[test]
fn a_member_whose_metadata_finds_no_room_is_refused_and_smaller_ones_get_in() {
    let mut test = Test::start(1, &[]);
    let metadata = vec![7; 60_000];
    let fit = test.sizes.member_bytes / (metadata.len() + 200);
    for number in 0..fit {
        assert_eq!(test.join(3, &format!("g{number}"), &metadata).0, NONE);
    }
    assert_eq!(test.join(3, "late", &metadata).0, GROUP_MAX_SIZE_REACHED);
    assert_eq!(test.join(3, "late", b"small").0, NONE);
}

/// Whose connection goes while it waits leaves nothing that anybody could use.
#[test]
fn members_that_come_and_vanish_take_nobodys_place_for_long() {
    let mut test = Test::start(1, &[]);
    let (error, worker) = test.join(3, "g", b"");
    assert_eq!(error, NONE);
    for number in 0..3 * test.sizes.members {
        let mut raw = Raw::connect(test.ottla.address);
        raw.send(&join(3, "g", &[7; 500]));
        if number % 16 == 0 {
            // The place is free when the broker has seen that the connection is gone.
            drop(raw);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert_eq!(test.heartbeat("g", &worker, 1), 27, "asked to join again, and not thrown out");
    let late = (0..50).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        (test.join(3, "late", b"").0 == NONE).then_some(())
    });
    assert_eq!(late, Some(()));
}

#[test]
fn a_flood_of_new_groups_and_ids_disturbs_nobody() {
    let mut test = Test::start(1, &[]);
    let (error, worker) = test.join(3, "work", b"");
    assert_eq!(error, NONE);
    let floods = 20;
    let mut slowest = Duration::ZERO;
    for flood in 0..floods {
        let mut attacker = Raw::connect(test.ottla.address);
        let ids = (0..250).map(|number| match number % 2 {
            0 => join(4, &format!("flood{flood}-{number}"), b""),
            _ => join(4, "one", b""),
        });
        attacker.send(&ids.collect::<Vec<_>>().concat());
        let start = Instant::now();
        assert_eq!(test.heartbeat("work", &worker, 1), NONE);
        slowest = slowest.max(start.elapsed());
        for _ in 0..250 {
            assert_eq!(joined(&mut attacker, 4).0, MEMBER_ID_REQUIRED);
        }
        // Whoever comes after it gets in.
        let (error, id) = test.join(3, "late", b"");
        assert_eq!((error, test.heartbeat("late", &id, 1)), (NONE, NONE));
        let leave = raw::request(13, 0, 1, false, |w| {
            w.string("late");
            w.string(&id);
        });
        assert_eq!(test.raw.ask(&leave), [0, 0]);
    }
    println!("{} requests of a flood, the slowest heartbeat {slowest:?}", 250 * floods);
}
