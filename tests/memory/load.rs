//! The worst that clients do to a broker's memory: every table full, every buffer taken.
//!
//! Promises: it learns the limits by running into them (a Kafka error, a closed connection), so it
//! needs to know no board; it says what it filled. What fills a table goes in requests of many
//! rows, for a row each would wait for a sync each. Absent: attacks with broken bytes
//! (`tests/hostile.rs`), and what happens at the same time (`worst`).

use crate::support::raw::{self, Raw, read_produce, request};
use ottla::wire::Reader;
use ottla::wire::record::{BatchBuilder, Producer};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Rows of one request.
const ROWS: usize = 40;
/// Nobody waits longer for a board to be full.
const ROUNDS_MAX: usize = 20_000;
/// A large message, just below the 1 MiB that every board takes.
pub const LARGE_BYTES: usize = 1_000_000;
/// Pairs of producer and partition per partition: more than the four that boards remember.
const PRODUCERS: i64 = 5;
/// Connections that are tried.
const CONNECTIONS_MAX: usize = 2_000;
/// Error codes that stand for "full" here, and success.
const OK: i16 = 0;

/// Fills every table, and says what it took to do so. The members' connections come along.
pub fn fill_tables(address: SocketAddr) -> (String, Vec<TcpStream>) {
    let partitions = fill_topics(address);
    let producers = fill_producers(address, partitions);
    let offsets = fill_offsets(address, partitions);
    let members = fill_groups(address);
    let said = format!(
        "{partitions} partitions, {producers} producers, {offsets} offsets, {} members",
        members.len()
    );
    (said, members)
}

/// Fills everything, and says what it took to do so.
pub fn fill(address: SocketAddr) -> String {
    let (filled, members) = fill_tables(address);
    drop(members);
    let connections = fill_connections(address);
    format!("{filled}, {connections} connections")
}

/// A client that behaves is served.
pub fn is_served(address: SocketAddr) {
    let mut raw = Raw::connect(address);
    let answer = raw.ask(&raw::produce(1, -1, &topic(0), b"after all"));
    assert_eq!(read_produce(&answer).0, OK);
    let fetched = raw::read_fetch(&raw.ask(&raw::fetch(2, &topic(0), 0, 1, 5_000)));
    assert_eq!(fetched.error, OK);
}

/// A name as long as sensors' names are.
pub fn topic(number: usize) -> String {
    format!("plant.hall-7.line-{number:05}.temperature")
}

/// Topics of one partition until the broker wants no more.
fn fill_topics(address: SocketAddr) -> usize {
    let mut raw = Raw::connect(address);
    for first in (0..ROUNDS_MAX).step_by(ROWS) {
        // CreateTopics v2.
        let answer = raw.ask(&request(19, 2, 1, false, |w| {
            w.array(ROWS);
            for number in first..first + ROWS {
                w.string(&topic(number));
                w.i32(1);
                w.i16(1);
                w.array(0);
                w.array(0);
            }
            w.i32(10_000);
            w.bool(false);
        }));
        let mut r = Reader::new(&answer, 2, false);
        r.i32("throttle_time_ms").unwrap();
        r.array("topics").unwrap();
        for number in first..first + ROWS {
            r.string("name").unwrap();
            if r.i16("error_code").unwrap() != OK {
                assert!(number > 8, "{answer:?}");
                return number;
            }
            r.nullable_string("error_message").unwrap();
        }
    }
    panic!("no end of topics");
}

/// Idempotent producers that write to every partition, more than any board remembers.
fn fill_producers(address: SocketAddr, partitions: usize) -> usize {
    let mut raw = Raw::connect(address);
    for _ in 0..PRODUCERS {
        // InitProducerId v0.
        let answer = raw.ask(&request(22, 0, 1, false, |w| {
            w.nullable_string(None);
            w.i32(60_000);
        }));
        let mut r = Reader::new(&answer, 0, false);
        r.i32("throttle_time_ms").unwrap();
        assert_eq!(r.i16("error_code").unwrap(), OK);
        let id = r.i64("producer_id").unwrap();
        for first in (0..partitions).step_by(ROWS) {
            for base_sequence in 0..2 {
                let producer = Producer { id, epoch: 0, base_sequence };
                let mut batch = BatchBuilder::new(1_600_000_000_000).producer(producer);
                batch.push(1_600_000_000_000, None, Some(b"23.5"), &[]);
                let numbers = first..(first + ROWS).min(partitions);
                let answer = raw.ask(&produce_to(numbers, 1, &batch.finish()));
                assert_eq!(first_error(&answer), OK);
            }
        }
    }
    PRODUCERS as usize * partitions
}

/// The error of the first of an answer's partitions.
fn first_error(answer: &[u8]) -> i16 {
    let mut r = Reader::new(answer, 3, false);
    r.array("responses").unwrap();
    r.string("name").unwrap();
    r.array("partitions").unwrap();
    r.i32("index").unwrap();
    r.i16("error_code").unwrap()
}

/// One request with the same batch for each of these topics. Version 3.
pub fn produce_to(numbers: std::ops::Range<usize>, acks: i16, batch: &[u8]) -> Vec<u8> {
    request(0, 3, 2, false, |w| {
        w.nullable_string(None);
        w.i16(acks);
        w.i32(10_000);
        w.array(numbers.len());
        for number in numbers {
            w.string(&topic(number));
            w.array(1);
            w.i32(0);
            w.bytes(batch);
        }
    })
}

/// A batch of one record of this size.
pub fn batch_of(bytes: usize) -> Vec<u8> {
    let mut batch = BatchBuilder::new(1_600_000_000_000);
    batch.push(1_600_000_000_000, None, Some(&vec![1; bytes]), &[]);
    batch.finish()
}

/// Offsets of many groups until one is refused.
fn fill_offsets(address: SocketAddr, partitions: usize) -> usize {
    let mut raw = Raw::connect(address);
    let rows = ROWS.min(partitions);
    let per_group = partitions / rows * rows;
    for first in (0..2 * ROUNDS_MAX).step_by(rows) {
        // OffsetCommit v2, from outside of any generation.
        let answer = raw.ask(&request(8, 2, 1, false, |w| {
            w.string(&format!("consumer-of-everything-{}", first / per_group));
            w.i32(-1);
            w.string("");
            w.i64(-1);
            w.array(rows);
            for number in first..first + rows {
                w.string(&topic(number % per_group));
                w.array(1);
                w.i32(0);
                w.i64(1);
                w.nullable_string(Some("where it was, and why"));
            }
        }));
        let mut r = Reader::new(&answer, 2, false);
        r.array("topics").unwrap();
        for number in first..first + rows {
            r.string("name").unwrap();
            r.array("partitions").unwrap();
            r.i32("partition_index").unwrap();
            if r.i16("error_code").unwrap() != OK {
                return number;
            }
        }
    }
    panic!("no end of offsets");
}

/// JoinGroup v1, in which no member id has to be fetched first.
pub fn join(group: &str, metadata: &[u8]) -> Vec<u8> {
    request(11, 1, 1, false, |w| {
        w.string(group);
        w.i32(30_000);
        w.i32(30_000);
        w.string("");
        w.string("consumer");
        w.array(1);
        w.string("range");
        w.bytes(metadata);
    })
}

/// Members that wait for one another, with a few KiB of metadata each, until one is refused.
fn fill_groups(address: SocketAddr) -> Vec<TcpStream> {
    let metadata = vec![7u8; 3_000];
    let mut waiting = Vec::new();
    for first in (0..ROUNDS_MAX).step_by(ROWS) {
        let mut asked = Vec::new();
        for number in first..first + ROWS {
            let Ok(mut socket) = TcpStream::connect(address) else { return waiting };
            socket.write_all(&join(&format!("group-{}", number / 4), &metadata)).ok();
            socket.set_nonblocking(true).unwrap();
            asked.push(socket);
        }
        std::thread::sleep(Duration::from_millis(150));
        let before = waiting.len();
        for mut socket in asked {
            let mut head = [0; 10];
            // Whoever is alone in its group is answered at once, and most wait.
            match socket.read(&mut head) {
                Ok(10) if head[8..10] == [0, 0] => waiting.push(socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => waiting.push(socket),
                _ => {}
            }
        }
        if waiting.len() < before + ROWS {
            break;
        }
    }
    waiting
}

/// Every connection has a large request of which the end is missing, or does not read its answers.
fn fill_connections(address: SocketAddr) -> usize {
    let large = raw::produce_batch(1, -1, &topic(1), &batch_of(LARGE_BYTES));
    let mut whole = Raw::connect(address);
    for _ in 0..20 {
        assert_eq!(read_produce(&whole.ask(&large)).0, OK);
    }
    drop(whole);
    // 99 % of a request; everything there is, many times, into a socket that nobody reads; all
    // topics, many times.
    let most = large[..large.len() * 99 / 100].to_vec();
    let fetches: Vec<u8> = (0..200).flat_map(|n| raw::fetch(n, &topic(1), 0, 1, 0)).collect();
    let metadata = |n| request(3, 1, n, false, |w| w.i32(-1));
    let topics: Vec<u8> = (0..200).flat_map(metadata).collect();
    let kinds = [&most, &most, &fetches, &topics];
    let mut all = Vec::new();
    for number in 0..CONNECTIONS_MAX {
        let Ok(socket) = TcpStream::connect(address) else { break };
        socket.set_nonblocking(true).unwrap();
        all.push((socket, &kinds[number % kinds.len()][..]));
        if all.len() % 64 == 0 {
            send_some(&mut all, 4);
        }
    }
    // Beyond the limit the broker closes, this one or another.
    send_some(&mut all, 1_000);
    all.len()
}

/// As much as the other side takes within so many milliseconds, of each.
fn send_some(all: &mut [(TcpStream, &[u8])], rounds: usize) {
    for _ in 0..rounds {
        for (socket, bytes) in all.iter_mut().filter(|(_, bytes)| !bytes.is_empty()) {
            match socket.write(bytes) {
                Ok(count) => *bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *bytes = &[],
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
