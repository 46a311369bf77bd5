//! A whole data directory in which something changed: the broker starts, and nothing is lost but
//! what was touched.
//!
//! `ROT_EVERY=1 cargo test --lib rot_tests` flips every bit and cuts at every length; without,
//! every so-manieth is taken.

use super::*;
use crate::config::TopicOverrides;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, Open};
use crate::limits::RING_BYTES_MIN;
use crate::wire::batch;
use crate::wire::record::BatchBuilder;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const NOW: Now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };
const TOPICS: [&str; 4] = ["alpha", "beta", "gamma", STAMPED];
/// The one whose times are the broker's.
const STAMPED: &str = "stamped";

/// Times and values by offset, of each topic.
type Records = BTreeMap<&'static str, BTreeMap<i64, (i64, String)>>;

fn config() -> BrokerConfig {
    BrokerConfig { journal_bytes: RING_BYTES_MIN as u32, ..BrokerConfig::default() }
}

fn start(disk: &SimDisk) -> Opened {
    open(Rc::new(disk.clone()), config(), 7, NOW).expect("it starts, whatever has rotted")
}

fn sync(broker: &mut Broker) {
    broker.checkpoint(false, false, NOW).ok();
    broker.storage_mut().sync_all(NOW.mono).ok();
}

/// Appends a batch when the clock says `wall_ms`; its first offset, and its time in the log.
fn append(broker: &mut Broker, topic: &str, values: &[String], wall_ms: i64) -> (i64, i64) {
    let now = Now { wall_ms, ..NOW };
    let mut builder = BatchBuilder::new(wall_ms);
    for value in values {
        builder.push(wall_ms, None, Some(value.as_bytes()), &[]);
    }
    let bytes = builder.finish();
    let header = batch::check(&bytes).unwrap();
    let produced = broker.append(topic, 0, &bytes, &header, now).or_else(|_| {
        // The journal is full.
        broker.checkpoint(true, false, NOW).expect("a checkpoint");
        sync(broker);
        broker.append(topic, 0, &bytes, &header, now)
    });
    let produced = produced.unwrap();
    sync(broker);
    let stamp = produced.log_append_time_ms;
    (produced.base_offset, if topic == STAMPED { stamp } else { wall_ms })
}

/// About 64 KiB in all: several segments of each topic, a journal that went around, checkpoints.
fn filled(disk: &SimDisk) -> Records {
    let mut broker = start(disk).broker;
    let mut records = Records::new();
    for name in TOPICS {
        let whose = if name == STAMPED { "LogAppendTime" } else { "CreateTime" };
        let own = [("segment.bytes", Some("4096")), ("message.timestamp.type", Some(whose))];
        let overrides = TopicOverrides::from_pairs(own, &config()).unwrap();
        let new = NewTopic { name, partitions: 1, replication_factor: 1, overrides };
        broker.create_topic(new, NOW).unwrap();
        sync(&mut broker);
    }
    for turn in 0..30 {
        for (at, topic) in TOPICS.iter().enumerate() {
            let count = 1 + (turn + at) % 3;
            let values: Vec<String> = (0..count)
                .map(|n| format!("{topic} {turn} {n} {}", "x".repeat(turn * 37 % 211)))
                .collect();
            // A clock that is also set back.
            let wall_ms = NOW.wall_ms + 1_000 * (turn as i64 * 7 % 30);
            let (base, time) = append(&mut broker, topic, &values, wall_ms);
            let known = records.entry(topic).or_default();
            known.extend((base..).zip(values.into_iter().map(|value| (time, value))));
        }
    }
    records
}

/// The same after an orderly stop: the journal has no copies that would mend a segment's end.
fn stopped(disk: &SimDisk) -> SimDisk {
    let disk = copy(disk);
    let mut broker = start(&disk).broker;
    broker.checkpoint(true, true, NOW).expect("a checkpoint");
    sync(&mut broker);
    disk
}

/// What a broker serves, read from offset 0 in pieces.
fn served(broker: &mut Broker, topic: &str) -> BTreeMap<i64, (i64, String)> {
    let mut found = BTreeMap::new();
    let Some(known) = broker.topics().find(topic) else { return found };
    let view = broker.partition(known, 0).unwrap();
    let mut offset = view.log_start_offset;
    while let Some(slice) = broker.read(view.index, offset, 700, true).expect("no error either") {
        let mut bytes = vec![0; slice.bytes as usize];
        slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).unwrap();
        let mut left = &bytes[..];
        while !left.is_empty() {
            let header = batch::check_stored(left).expect("only what is sound is served");
            for record in batch::records(&left[..header.total_bytes], &header) {
                let record = record.expect("a sound record");
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                let offset = header.base_offset + i64::from(record.offset_delta);
                found.insert(offset, (header.max_timestamp, value));
            }
            left = &left[header.total_bytes..];
        }
        assert!(slice.next_offset > offset, "a reader goes on");
        offset = slice.next_offset;
    }
    found
}

/// Every file of the directory and its length.
fn files(disk: &SimDisk) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for (name, is_dir) in disk.list(&dir).unwrap() {
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            if is_dir {
                dirs.push(path);
            } else {
                let length = disk.open(&path, Open::Read).unwrap().length().unwrap();
                all.push((path, length));
            }
        }
    }
    all.sort();
    all
}

/// A copy of the disk, for one accident.
fn copy(disk: &SimDisk) -> SimDisk {
    let new = SimDisk::new();
    for (path, length) in files(disk) {
        for (at, _) in path.match_indices('/') {
            new.create_dir(&path[..at]).unwrap();
        }
        let mut bytes = vec![0; length as usize];
        disk.open(&path, Open::Read).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        let file = new.open(&path, Open::CreateEmpty).unwrap();
        file.write_at(&[&bytes], 0).unwrap();
    }
    new
}

/// The offsets of a topic of which somebody was told that they are lost.
fn told(broker: &Broker, topic: &str) -> BTreeSet<i64> {
    let known = broker.topics().find(topic).expect("topics stay");
    let index = broker.partition(known, 0).unwrap().index;
    let rot = broker.storage().rot();
    assert_eq!(rot.further(), 0, "all of them are remembered");
    let own = rot.gaps().iter().filter(|gap| broker.storage().find(gap.key) == Some(index));
    own.flat_map(|gap| gap.first..gap.next).collect()
}

/// Starts on what is left, and checks: whatever is served is right, no more is missing than `most`
/// batches of the topic to which the file belongs, and what is told as lost is what is lost.
fn judge(disk: &SimDisk, records: &Records, path: &str, most: usize, what: &str) -> usize {
    let Opened { mut broker, .. } = start(disk);
    let mut lost = 0;
    for topic in TOPICS {
        let found = served(&mut broker, topic);
        let known = &records[topic];
        for (offset, record) in &found {
            assert_eq!(known.get(offset), Some(record), "{what}: {topic} {offset}");
        }
        let missing: BTreeSet<i64> =
            known.keys().filter(|at| !found.contains_key(at)).copied().collect();
        let mut expected = missing.clone();
        if path.contains(&format!("{topic}-0/")) && path.ends_with(".log") {
            // Batches have three records at most.
            assert!(missing.len() <= most.saturating_mul(3), "{what}: {missing:?} of {topic}");
        } else if path == "journal" && !missing.is_empty() {
            // The last frames: nothing tells them from what a cut tore. A sector has four at most.
            let end = *known.keys().next_back().unwrap();
            let at_the_end = missing.iter().copied().eq(end + 1 - missing.len() as i64..=end);
            assert!(at_the_end && missing.len() <= 3 * 4, "{what}: {missing:?} of {topic}");
            expected.clear();
        } else {
            assert_eq!(missing, BTreeSet::new(), "{what}: of {topic}");
        }
        assert_eq!(told(&broker, topic), expected, "{what}: {topic} told otherwise than lost");
        lost += missing.len();
        // And it goes on, with times that do not run back, nor ahead for what rotted.
        let (base, time) = append(&mut broker, topic, &["new".to_owned()], NOW.wall_ms);
        assert!(base > found.keys().next_back().map_or(-1, |last| *last), "{what}");
        if topic == STAMPED {
            let least = found.values().next_back().map_or(NOW.wall_ms, |(time, _)| *time);
            let most = known.values().next_back().unwrap().0;
            assert!((least..=most).contains(&time), "{what}: {time} behind {least}, of {most}");
        }
    }
    lost
}

fn every(default: u64) -> u64 {
    std::env::var("ROT_EVERY").map_or(default, |n| n.parse().expect("a number"))
}

#[test]
fn whichever_bit_of_a_data_directory_flips_at_most_one_batch_is_lost() {
    let disk = SimDisk::new();
    let records = filled(&disk);
    let (mut flips, mut lost) = (0, 0);
    for (path, length) in files(&disk) {
        // A stride that is no multiple of eight meets every bit of bytes.
        for bit in (0..length * 8).step_by(every(331) as usize) {
            let disk = copy(&disk);
            let file = disk.open(&path, Open::Write).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, bit / 8).unwrap();
            file.write_at(&[&[byte[0] ^ 1 << (bit % 8)]], bit / 8).unwrap();
            lost += judge(&disk, &records, &path, 1, &format!("bit {bit} of {path}"));
            flips += 1;
        }
    }
    assert!(flips > 1_000 && lost > 100, "{flips} flips lost {lost} records");
}

#[test]
fn behind_a_lost_end_times_go_on_from_those_that_are_left() {
    let disk = SimDisk::new();
    let records = filled(&disk);
    let disk = stopped(&disk);
    let of_topic = |(path, _): &(String, u64)| path.contains(STAMPED) && path.ends_with(".log");
    let (path, length) = files(&disk).into_iter().rfind(of_topic).unwrap();
    for from in (0..length).step_by(every(61) as usize) {
        let spoilt = copy(&disk);
        let file = spoilt.open(&path, Open::Write).unwrap();
        file.write_at(&[&vec![0xa5; (length - from) as usize]], from).unwrap();
        let lost = judge(&spoilt, &records, &path, usize::MAX, &format!("{path} from {from} on"));
        assert!(lost > 0, "{path} from {from} on");
    }
    for bit in (0..length * 8).step_by(every(31) as usize) {
        let spoilt = copy(&disk);
        let file = spoilt.open(&path, Open::Write).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit / 8).unwrap();
        file.write_at(&[&[byte[0] ^ 1 << (bit % 8)]], bit / 8).unwrap();
        let lost = judge(&spoilt, &records, &path, 1, &format!("bit {bit} of {path}, stopped"));
        assert!(lost > 0, "bit {bit} of {path}");
    }
    disk.remove_file(&path).unwrap();
    judge(&disk, &records, &path, usize::MAX, &format!("without {path}"));
}

#[test]
fn zeroed_and_swapped_sectors_cuts_and_lost_files_cost_what_they_touch() {
    let disk = SimDisk::new();
    let records = filled(&disk);
    for (path, length) in files(&disk) {
        let all = usize::MAX;
        for at in (0..length).step_by(512) {
            let sector = 512.min(length - at) as usize;
            let spoilt = copy(&disk);
            let file = spoilt.open(&path, Open::Write).unwrap();
            file.write_at(&[&vec![0; sector]], at).unwrap();
            judge(&spoilt, &records, &path, 8, &format!("zeros at {at} of {path}"));
            // What stood elsewhere in the file stands here now.
            let spoilt = copy(&disk);
            let file = spoilt.open(&path, Open::Write).unwrap();
            let mut other = vec![0; sector];
            if file.read_exact_at(&mut other, (at + 1024) % length.max(1)).is_ok() {
                file.write_at(&[&other], at).unwrap();
                judge(&spoilt, &records, &path, 8, &format!("a foreign sector at {at} of {path}"));
            }
        }
        for cut in (0..length).step_by(every(97) as usize) {
            let disk = copy(&disk);
            disk.open(&path, Open::Write).unwrap().set_length(cut).unwrap();
            judge(&disk, &records, &path, all, &format!("{path} cut to {cut}"));
        }
        let disk = copy(&disk);
        disk.remove_file(&path).unwrap();
        judge(&disk, &records, &path, all, &format!("without {path}"));
    }
}
