//! Produce requests far larger than the broker's memory for one: as kafkajs, sarama and franz-go
//! send them.

use crate::support::clients::create_topic;
use crate::support::process::Ottla;
use crate::support::raw::{self, Raw, read_fetch, read_produce};
use crate::support::wait_until;
use ottla::wire::Reader;
use ottla::wire::record::BatchBuilder;

const MIB: u64 = 1 << 20;

fn batch(bytes: usize) -> Vec<u8> {
    let mut batch = BatchBuilder::new(1_600_000_000_000);
    batch.push(1_600_000_000_000, None, Some(&vec![b'x'; bytes]), &[]);
    batch.finish()
}

/// One request with `batches` for the partitions of a topic, in turn. Version 7.
fn produce(correlation_id: i32, topic: &str, partitions: i32, batches: &[&[u8]]) -> Vec<u8> {
    raw::request(0, 7, correlation_id, false, |w| {
        w.nullable_string(None);
        w.i16(-1);
        w.i32(10_000);
        w.array(1);
        w.string(topic);
        w.array(batches.len());
        for (batch, index) in batches.iter().zip((0..partitions).cycle()) {
            w.i32(index);
            w.bytes(batch);
        }
    })
}

/// Error code and base offset of each batch.
fn read_answer(answer: &[u8]) -> Vec<(i16, i64)> {
    let mut r = Reader::new(answer, 7, false);
    assert_eq!(r.array("responses"), Ok(1));
    r.string("name").unwrap();
    let count = r.array("partition_responses").unwrap();
    let mut read = || {
        r.i32("index")?;
        let result = (r.i16("error_code")?, r.i64("base_offset")?);
        r.take("log_append_time_ms, log_start_offset", 16)?;
        Ok::<_, ottla::wire::ReadError>(result)
    };
    (0..count).map(|_| read().unwrap()).collect()
}

#[test]
fn fifty_mebibytes_for_a_hundred_partitions_take_the_memory_of_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    create_topic(&ottla.bootstrap(), "t", 100, &[]);
    let mut raw = Raw::connect(ottla.address);
    let batch = batch(512 * 1024);
    let request = produce(2, "t", 100, &[&batch[..]; 100]);
    assert!(request.len() as u64 > 50 * MIB);
    raw.ask(&raw::produce(1, -1, "t", b"first"));
    let before = ottla.peak_memory();
    let answer = read_answer(&raw.ask(&request));
    let grown = ottla.peak_memory() - before;
    let expected = (0..100).map(|partition| (0, i64::from(partition == 0)));
    assert!(answer.iter().copied().eq(expected), "{answer:?}");
    assert!(grown < 8 * MIB, "the broker has grown by {grown} bytes");
    let fetched = read_fetch(&raw.ask(&raw::fetch(3, "t", 1, 1, 5_000)));
    assert_eq!((fetched.error, fetched.high_watermark), (0, 2));
    assert!(fetched.records[61..] == batch[61..]);
}

#[test]
fn a_request_larger_than_the_journal_waits_for_room_as_often_as_it_must() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["--listen", "127.0.0.1:0", "--set", "journal.bytes=2097152"];
    let ottla = Ottla::start_with(dir.path(), &settings);
    create_topic(&ottla.bootstrap(), "t", 3, &[("segment.bytes", "1000000")]);
    let batch = batch(30_000);
    let mut raw = Raw::connect(ottla.address);
    let answer = read_answer(&raw.ask(&produce(1, "t", 3, &[&batch[..]; 300])));
    assert!(answer.iter().copied().eq((0..300).map(|n| (0, n / 3))), "{answer:?}");
}

#[test]
fn a_batch_above_the_limit_is_refused_by_name_and_the_connection_stays() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "t"));
    let (small, huge) = (batch(10), batch(2_700_000));
    let answer = read_answer(&raw.ask(&produce(2, "t", 1, &[&huge, &small])));
    assert_eq!(answer, [(10, -1), (0, 0)]);
    assert_eq!(read_produce(&raw.ask(&raw::produce(3, -1, "t", b"next"))), (0, 1));
}

#[test]
fn of_a_client_that_goes_away_in_the_middle_stays_what_had_come_whole() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "t"));
    let batch = batch(500_000);
    let request = produce(2, "t", 1, &[&batch[..]; 10]);
    raw.send(&request[..request.len() / 2]);
    drop(raw);
    let mut raw = Raw::connect(ottla.address);
    wait_until("the four batches that had come", || {
        read_fetch(&raw.ask(&raw::fetch(3, "t", 0, 0, 0))).high_watermark == 4
    });
    assert_eq!(read_produce(&raw.ask(&raw::produce(4, -1, "t", b"next"))), (0, 4));
}
