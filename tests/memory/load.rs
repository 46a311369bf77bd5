//! The worst that clients do to a broker's memory: every table full, every buffer taken.
//!
//! Promises: it learns the limits by running into them (a Kafka error, a closed connection), so it
//! needs to know no board; it says what it filled. Absent: attacks with broken bytes
//! (`tests/hostile.rs`).

use crate::support::raw::{self, Raw, read_produce, request};
use ottla::wire::Reader;
use ottla::wire::record::{BatchBuilder, Producer};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nobody waits longer for a board to be full.
const ROUNDS_MAX: usize = 20_000;
/// A large message, just below the 1 MiB that every board takes.
const LARGE_BYTES: usize = 1_000_000;
/// Larger boards would take minutes; their table of producers is filled to a part.
const PRODUCERS_MAX: usize = 2_100;
/// Error codes that stand for "full" here, and success.
const OK: i16 = 0;

/// Fills everything, and says what it took to do so.
pub fn fill(address: SocketAddr) -> String {
    let partitions = fill_topics(address);
    let producers = fill_producers(address, partitions);
    let offsets = fill_offsets(address, partitions);
    let members = fill_groups(address);
    let connections = fill_connections(address);
    format!(
        "{partitions} partitions, {producers} producers, {offsets} offsets, {members} members, \
         {connections} connections"
    )
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
fn topic(number: usize) -> String {
    format!("plant.hall-7.line-{number:05}.temperature")
}

/// Topics of one partition until the broker wants no more.
fn fill_topics(address: SocketAddr) -> usize {
    let mut raw = Raw::connect(address);
    for number in 0..ROUNDS_MAX {
        // CreateTopics v2.
        let answer = raw.ask(&request(19, 2, 1, false, |w| {
            w.array(1);
            w.string(&topic(number));
            w.i32(1);
            w.i16(1);
            w.array(0);
            w.array(0);
            w.i32(10_000);
            w.bool(false);
        }));
        let mut r = Reader::new(&answer, 2, false);
        r.i32("throttle_time_ms").unwrap();
        r.array("topics").unwrap();
        r.string("name").unwrap();
        if r.i16("error_code").unwrap() != OK {
            assert!(number > 8, "{answer:?}");
            return number;
        }
    }
    panic!("no end of topics");
}

/// Idempotent producers, twice as many as the boards up to 10 MiB remember.
fn fill_producers(address: SocketAddr, partitions: usize) -> usize {
    let mut raw = Raw::connect(address);
    let count = (8 * partitions).min(PRODUCERS_MAX);
    for number in 0..count {
        // InitProducerId v0.
        let answer = raw.ask(&request(22, 0, 1, false, |w| {
            w.nullable_string(None);
            w.i32(60_000);
        }));
        let mut r = Reader::new(&answer, 0, false);
        r.i32("throttle_time_ms").unwrap();
        assert_eq!(r.i16("error_code").unwrap(), OK);
        let id = r.i64("producer_id").unwrap();
        for round in 0..2 {
            let producer = Producer { id, epoch: 0, base_sequence: round };
            let mut batch = BatchBuilder::new(1_600_000_000_000).producer(producer);
            batch.push(1_600_000_000_000, None, Some(b"23.5"), &[]);
            let name = topic(number % partitions);
            let answer = raw.ask(&raw::produce_batch(2, 1, &name, &batch.finish()));
            assert_eq!(read_produce(&answer).0, OK);
        }
    }
    count
}

/// Offsets of many groups until one is refused.
fn fill_offsets(address: SocketAddr, partitions: usize) -> usize {
    let mut raw = Raw::connect(address);
    for number in 0..ROUNDS_MAX {
        // OffsetCommit v2, from outside of any generation.
        let answer = raw.ask(&request(8, 2, 1, false, |w| {
            w.string(&format!("consumer-of-everything-{}", number / partitions));
            w.i32(-1);
            w.string("");
            w.i64(-1);
            w.array(1);
            w.string(&topic(number % partitions));
            w.array(1);
            w.i32(0);
            w.i64(1);
            w.nullable_string(Some("where it was, and why"));
        }));
        let mut r = Reader::new(&answer, 2, false);
        r.array("topics").unwrap();
        r.string("name").unwrap();
        r.array("partitions").unwrap();
        r.i32("partition_index").unwrap();
        if r.i16("error_code").unwrap() != OK {
            return number;
        }
    }
    panic!("no end of offsets");
}

/// Members that wait for one another, with a few KiB of metadata each, until one is refused.
fn fill_groups(address: SocketAddr) -> usize {
    let metadata = vec![7u8; 3_000];
    let mut waiting = Vec::new();
    for number in 0..ROUNDS_MAX {
        let Ok(mut socket) = TcpStream::connect(address) else { break };
        socket.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        // JoinGroup v1: no member id has to be fetched first.
        let join = request(11, 1, 1, false, |w| {
            w.string(&format!("group-{}", number / 4));
            w.i32(30_000);
            w.i32(30_000);
            w.string("");
            w.string("consumer");
            w.array(1);
            w.string("range");
            w.bytes(&metadata);
        });
        socket.write_all(&join).ok();
        let mut head = [0; 10];
        // Whoever is alone in its group is answered at once.
        if let Ok(count) = socket.read(&mut head)
            && (count < 10 || head[8..10] != [0, 0])
        {
            break;
        }
        waiting.push(socket);
    }
    waiting.len()
}

/// Every connection has a large request of which the end is missing, or does not read its answers.
fn fill_connections(address: SocketAddr) -> usize {
    let mut batch = BatchBuilder::new(1_600_000_000_000);
    batch.push(1_600_000_000_000, None, Some(&vec![1; LARGE_BYTES]), &[]);
    let large = raw::produce_batch(1, -1, &topic(1), &batch.finish());
    let mut all = Vec::new();
    let mut whole = Raw::connect(address);
    for _ in 0..20 {
        assert_eq!(read_produce(&whole.ask(&large)).0, OK);
    }
    drop(whole);
    for number in 0..2_000 {
        let Ok(mut socket) = TcpStream::connect(address) else { break };
        socket.set_nonblocking(true).unwrap();
        let bytes = match number % 4 {
            // 99 % of a request.
            0 | 1 => large[..large.len() * 99 / 100].to_vec(),
            // Everything there is, many times, into a socket that nobody reads.
            2 => (0..200).flat_map(|n| raw::fetch(n, &topic(1), 0, 1, 0)).collect(),
            // All topics, many times.
            _ => (0..200).flat_map(|n| request(3, 1, n, false, |w| w.i32(-1))).collect(),
        };
        send_some(&mut socket, &bytes);
        // Beyond the limit the broker closes, this one or another.
        all.push((socket, bytes));
    }
    std::thread::sleep(Duration::from_millis(1_500));
    all.len()
}

/// As much as the other side takes just now.
fn send_some(socket: &mut TcpStream, mut bytes: &[u8]) {
    for _ in 0..40 {
        match socket.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return,
        }
        if bytes.is_empty() {
            return;
        }
    }
}
