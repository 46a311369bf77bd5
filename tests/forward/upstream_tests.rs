//! The simulated upstream is what the machine is judged by: it is tested itself.

use crate::cluster::{Age, Cluster, Settings};
use crate::codes::*;
use crate::partition::Replication;
use crate::random::Random;
use crate::records::{GOOD, INVALID, mark};
use crate::requests::key;
use ottla::wire::batch::{self, BatchHeader};
use ottla::wire::record::{BatchBuilder, Producer};
use ottla::wire::{Reader, Writer};

fn settings(age: Age, servers: usize, in_sync_min: usize) -> Settings {
    Settings {
        age,
        servers,
        replication: Replication { factor: servers, in_sync_min, fetch_ms: 10, lag_ms_max: 1_000 },
        expiration_ms: 60_000,
        expiry_check_ms: 1_000,
        message_bytes_max: 10_000,
        metadata_lag_ms: 0,
        write_only: false,
        creates_topics: false,
    }
}

fn cluster(age: Age, servers: usize, in_sync_min: usize) -> Cluster {
    let mut cluster = Cluster::new(settings(age, servers, in_sync_min), 1, Random::new(3));
    cluster.create("t", 1, 0);
    cluster.handed_out.insert(7);
    cluster
}

fn batch(first: u32, records: u32, letter: u8) -> Vec<u8> {
    let producer = Producer { id: 7, epoch: 0, base_sequence: first as i32 };
    let mut builder = BatchBuilder::new(1_700_000_000_000).producer(producer);
    for number in first..first + records {
        builder.push(1_700_000_000_000, None, Some(&mark(1, number, letter)), &[]);
    }
    builder.finish()
}

fn frame(key: i16, version: i16, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes, version, false);
    w.i16(key);
    w.i16(version);
    w.i32(9);
    w.string("me");
    write(&mut w);
    bytes
}

fn produce(batch: &[u8]) -> Vec<u8> {
    frame(key::PRODUCE, 3, |w| {
        w.nullable_string(None);
        w.i16(-1);
        w.i32(300);
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
        w.bytes(batch);
    })
}

/// Error and base offset of the one answer there is, if there is one.
fn answered(cluster: &mut Cluster) -> Option<(i16, i64)> {
    let mut answers = cluster.take_answers();
    let (_, bytes) = answers.pop()?;
    assert!(answers.is_empty());
    let mut r = Reader::new(&bytes[4..], 3, false);
    assert_eq!(r.i32("correlation_id"), Ok(9));
    assert_eq!((r.array("topics"), r.string("topic")), (Ok(1), Ok("t")));
    assert_eq!((r.array("partitions"), r.i32("partition")), (Ok(1), Ok(0)));
    let answer = (r.i16("error_code").unwrap(), r.i64("base_offset").unwrap());
    assert_eq!((r.i64("log_append_time"), r.i32("throttle_time_ms")), (Ok(-1), Ok(0)));
    assert!(r.rest().is_empty());
    Some(answer)
}

fn run(cluster: &mut Cluster, from: u64, to: u64) {
    (from..=to).for_each(|now| cluster.tick(now));
}

#[test]
fn a_batch_is_answered_when_every_follower_in_sync_has_it() {
    let mut cluster = cluster(Age::New, 3, 2);
    cluster.handle(0, 1, &produce(&batch(0, 2, GOOD)), 100);
    assert_eq!(answered(&mut cluster), None);
    run(&mut cluster, 100, 105);
    assert_eq!(answered(&mut cluster), None, "they have it, but who knows");
    run(&mut cluster, 106, 130);
    assert_eq!(answered(&mut cluster), Some((NONE, 0)));
    // The same again, and what lies behind a hole.
    cluster.handle(0, 1, &produce(&batch(0, 2, GOOD)), 131);
    assert_eq!(answered(&mut cluster), Some((NONE, 0)));
    cluster.handle(0, 1, &produce(&batch(3, 1, GOOD)), 132);
    assert_eq!(answered(&mut cluster), Some((OUT_OF_ORDER_SEQUENCE_NUMBER, -1)));
    cluster.handle(1, 1, &produce(&batch(2, 1, GOOD)), 133);
    assert_eq!(answered(&mut cluster), Some((NOT_LEADER_OR_FOLLOWER, -1)));
    cluster.handle(0, 1, &produce(&batch(2, 1, INVALID)), 134);
    assert_eq!(answered(&mut cluster), Some((INVALID_RECORD, -1)));
}

#[test]
fn a_batch_whose_followers_stall_is_there_and_not_there() {
    let mut cluster = cluster(Age::New, 2, 1);
    run(&mut cluster, 0, 100);
    cluster.topics.get_mut("t").unwrap().partitions[0].replicas[1].stalled_until = 1_000;
    cluster.handle(0, 1, &produce(&batch(0, 2, GOOD)), 100);
    run(&mut cluster, 100, 399);
    assert_eq!(answered(&mut cluster), None);
    run(&mut cluster, 400, 400);
    assert_eq!(answered(&mut cluster), Some((REQUEST_TIMED_OUT, -1)));
    let partition = cluster.topics.get_mut("t").unwrap().partitions.pop().unwrap();
    assert_eq!((partition.leading().unwrap().end(), partition.high_watermark()), (2, 0));
    // The follower takes over: it never had it, and the old leader forgets it.
    cluster.topics.get_mut("t").unwrap().partitions.push(partition);
    cluster.topics.get_mut("t").unwrap().partitions[0].elect(Some(1), 401);
    run(&mut cluster, 1_000, 1_100);
    let partition = &cluster.topics["t"].partitions[0];
    assert_eq!((partition.leading().unwrap().end(), partition.replicas[0].end()), (0, 0));
    assert!(partition.replicas[0].producers.entries.is_empty());
}

#[test]
fn whatever_was_committed_survives_every_clean_election() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut cluster = cluster(Age::New, 3, 1);
        let mut committed = 0;
        let mut next = 0;
        for now in 0..2_000 {
            cluster.tick(now);
            let led_by = cluster.topics["t"].partitions[0].leader;
            match random.below(40) {
                0 => cluster.move_leader(false, now),
                1 => {
                    let at = random.below(3) as usize;
                    let until = now + random.below(900);
                    let partition = &mut cluster.topics.get_mut("t").unwrap().partitions[0];
                    partition.replicas[at].stalled_until = until;
                }
                2 if cluster.up.iter().all(|up| *up) => {
                    cluster.server_gone(random.below(3) as usize, now);
                }
                3 => {
                    if let Some(at) = cluster.up.iter().position(|up| !up) {
                        cluster.server_back(at, now);
                    }
                }
                4..10 if led_by.is_some() => {
                    cluster.handle(led_by.unwrap(), 1, &produce(&batch(next, 1, GOOD)), now);
                }
                _ => {}
            }
            if let Some(at) = cluster.topics["t"].partitions[0].leader {
                let replica = &cluster.topics["t"].partitions[0].replicas[at];
                let entry = replica.producers.entries.get(&7);
                next = entry.map_or(0, |entry| entry.last() as u32 + 1);
            }
            for (_, bytes) in cluster.take_answers() {
                let error = i16::from_be_bytes([bytes[23], bytes[24]]);
                let base = i64::from_be_bytes(*bytes[25..].first_chunk().unwrap());
                if error == NONE {
                    committed = committed.max(base + 1);
                }
            }
            if let Some(leader) = cluster.topics["t"].partitions[0].leading() {
                assert!(leader.end() >= committed, "seed {seed}, {now} ms");
                assert!(leader.high_watermark <= leader.end());
            }
        }
        assert!(committed > 5, "seed {seed}: {committed}");
    }
}

#[test]
fn a_fetch_ends_at_the_watermark_and_may_end_within_a_batch() {
    let mut cluster = cluster(Age::Middle, 1, 1);
    for at in 0..3 {
        cluster.handle(0, 1, &produce(&batch(at * 2, 2, GOOD)), 100);
        assert_eq!(answered(&mut cluster), Some((NONE, i64::from(at) * 2)));
    }
    let size = batch(0, 2, GOOD).len();
    let fetch = |cluster: &mut Cluster, offset: i64, bytes_max: usize| {
        let request = frame(key::FETCH, 4, |w| {
            w.i32(-1);
            w.i32(0);
            w.i32(0);
            w.i32(bytes_max as i32);
            w.i8(0);
            w.array(1);
            w.string("t");
            w.array(1);
            w.i32(0);
            w.i64(offset);
            w.i32(bytes_max as i32);
        });
        cluster.handle(0, 1, &request, 200);
        let (_, bytes) = cluster.take_answers().pop().unwrap();
        let mut r = Reader::new(&bytes[8..], 4, false);
        r.i32("throttle_time_ms").unwrap();
        assert_eq!((r.array("topics"), r.string("topic")), (Ok(1), Ok("t")));
        assert_eq!((r.array("partitions"), r.i32("partition")), (Ok(1), Ok(0)));
        let error = r.i16("error_code").unwrap();
        r.i64("high_watermark").unwrap();
        r.i64("last_stable_offset").unwrap();
        assert_eq!(r.nullable_array("aborted_transactions"), Ok(None));
        (error, r.bytes("records").unwrap().to_vec())
    };
    let (error, records) = fetch(&mut cluster, 3, size + 10);
    assert_eq!((error, records.len()), (NONE, size + 10));
    assert_eq!(BatchHeader::read(&records).unwrap().base_offset, 2);
    assert!(batch::check_stored(&records).is_ok());
    assert_eq!(fetch(&mut cluster, 0, 1).1.len(), size);
    assert_eq!(fetch(&mut cluster, 6, 1_000), (NONE, Vec::new()));
    assert_eq!(fetch(&mut cluster, 7, 1_000).0, OFFSET_OUT_OF_RANGE);
}

#[test]
fn producers_are_forgotten_by_the_time_of_their_last_record() {
    let mut cluster = cluster(Age::Old, 1, 1);
    cluster.handle(0, 1, &produce(&batch(0, 2, GOOD)), 100);
    assert_eq!(answered(&mut cluster), Some((NONE, 0)));
    cluster.tick(59_999);
    cluster.handle(0, 1, &produce(&batch(2, 2, GOOD)), 59_999);
    assert_eq!(answered(&mut cluster), Some((NONE, 2)));
    cluster.tick(60_999);
    assert_eq!(cluster.wakes_at(), None);
    cluster.handle(0, 1, &produce(&batch(4, 2, GOOD)), 60_999);
    assert_eq!(answered(&mut cluster), Some((UNKNOWN_PRODUCER_ID, -1)));
}
