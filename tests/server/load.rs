//! Many clients, large requests, slow readers: everybody is served, in order.

use crate::support::clients::{Producer, consumer, create_topic, take};
use crate::support::process::Ottla;
use crate::support::raw::{self, Raw, read_fetch, read_produce};
use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// More than the broker has large buffers for.
const CLIENTS: usize = 20;

#[test]
fn more_clients_with_large_requests_than_there_are_buffers_are_all_served() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    Raw::connect(ottla.address).ask(&raw::metadata(1, "large"));
    let address = ottla.address;
    let client = move |n: usize| {
        let mut raw = Raw::connect(address);
        let value = vec![n as u8; 400_000];
        let request = raw::produce(1, -1, "large", &value);
        for _ in 0..3 {
            assert_eq!(read_produce(&raw.ask(&request)).0, 0);
        }
    };
    let threads: Vec<_> = (0..CLIENTS).map(|n| std::thread::spawn(move || client(n))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut raw = Raw::connect(address);
    let fetched = read_fetch(&raw.ask(&raw::fetch(2, "large", 0, 1, 5_000)));
    assert_eq!(fetched.high_watermark, 3 * CLIENTS as i64);
}

#[test]
fn large_requests_in_a_row_are_answered_in_order_to_a_client_that_reads_late() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "large"));
    let mut requests = Vec::new();
    for n in 0..20 {
        requests.extend(raw::produce(n, -1, "large", &vec![n as u8; 300_000]));
    }
    raw.send(&requests);
    for n in 0..20 {
        let (correlation_id, answer) = raw.receive().unwrap();
        assert_eq!((correlation_id, read_produce(&answer)), (n, (0, i64::from(n))));
    }
    // 50 answers of 300 kB each, which the client lets pile up before it reads the first.
    let fetches: Vec<u8> =
        (0..50).flat_map(|n| raw::fetch(n, "large", i64::from(n % 20), 1, 0)).collect();
    raw.send(&fetches);
    std::thread::sleep(Duration::from_millis(300));
    // Meanwhile somebody else is served.
    assert_eq!(Raw::connect(ottla.address).ask(&raw::api_versions(1))[..2], [0, 0]);
    for n in 0..50 {
        let (correlation_id, answer) = raw.receive().unwrap();
        assert_eq!(correlation_id, n);
        let fetched = read_fetch(&answer);
        // The first batch is the one that was asked for, whole.
        let offset = i64::from_be_bytes(fetched.records[..8].try_into().unwrap());
        assert_eq!(offset, i64::from(n % 20));
        assert!(fetched.records.len() > 300_000);
        assert_eq!(fetched.records[200_000], (n % 20) as u8);
    }
}

#[test]
fn a_request_that_trickles_in_byte_by_byte_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    for byte in raw::api_versions(5) {
        raw.send(&[byte]);
    }
    assert_eq!(raw.receive().unwrap().0, 5);
    raw.ask(&raw::metadata(1, "t"));
    // And a large one in odd pieces, so that it crosses from the small buffer into a large one.
    for piece in raw::produce(6, -1, "t", &vec![7; 100_000]).chunks(3_333) {
        raw.send(piece);
    }
    let (correlation_id, answer) = raw.receive().unwrap();
    assert_eq!((correlation_id, read_produce(&answer)), (6, (0, 0)));
}

#[test]
fn one_consumer_reads_many_partitions_of_many_topics() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let bootstrap = ottla.bootstrap();
    let topics = ["many-a", "many-b", "many-c", "many-d"];
    topics.iter().for_each(|topic| create_topic(&bootstrap, topic, 24, &[]));
    let producer = Producer::new(&bootstrap, &[("linger.ms", "20")]);
    for n in 0..4 * 24 * 20 {
        let value = n.to_string();
        let record = BaseRecord::with_opaque_to(topics[n % 4], Box::new(n));
        producer.send(record.partition((n / 4 % 24) as i32).payload(value.as_bytes()));
    }
    producer.flush_all_ok();
    let member = consumer(&bootstrap, &[("group.id", "wide")]);
    member.subscribe(&topics).unwrap();
    let mut ends: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for record in take(&member, 4 * 24 * 20) {
        let end = ends.entry((record.topic().to_string(), record.partition())).or_default();
        assert_eq!(record.offset(), *end);
        *end += 1;
    }
    assert!(ends.len() == 4 * 24 && ends.values().all(|end| *end == 20), "{ends:?}");
}

#[test]
fn a_hundred_clients_that_wait_for_the_same_record_all_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut producer = Raw::connect(ottla.address);
    producer.ask(&raw::metadata(1, "t"));
    let mut waiting: Vec<Raw> = (0..100).map(|_| Raw::connect(ottla.address)).collect();
    waiting.iter_mut().for_each(|raw| raw.send(&raw::fetch(1, "t", 0, 1, 25_000)));
    assert!(waiting[99].is_silent(Duration::from_millis(200)));
    let start = Instant::now();
    producer.ask(&raw::produce(2, -1, "t", b"for all"));
    for raw in &mut waiting {
        let (_, answer) = raw.receive().unwrap();
        assert!(read_fetch(&answer).records.ends_with(b"for all\0"));
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_connection_on_which_nothing_happens_is_closed_and_one_that_waits_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let set = ["--listen", "127.0.0.1:0", "--set", "connections.max.idle.ms=500"];
    let ottla = Ottla::start_with(dir.path(), &set);
    let mut waiting = Raw::connect(ottla.address);
    waiting.ask(&raw::metadata(1, "t"));
    waiting.send(&raw::fetch(2, "t", 0, 1, 1_500));
    let mut idle = Raw::connect(ottla.address);
    idle.ask(&raw::api_versions(1));
    let start = Instant::now();
    assert!(idle.receive().is_none());
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    assert_eq!(waiting.receive().unwrap().0, 2);
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_request_is_closed_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let set = ["--listen", "127.0.0.1:0", "--set", "connections.max.idle.ms=500"];
    let ottla = Ottla::start_with(dir.path(), &set);
    Raw::connect(ottla.address).ask(&raw::metadata(1, "t"));
    // As many as there are large buffers, each with half of a large request.
    let half = &raw::produce(1, -1, "t", &vec![1; 100_000])[..50_000];
    let mut stuck: Vec<Raw> = (0..8).map(|_| Raw::connect(ottla.address)).collect();
    stuck.iter_mut().for_each(|raw| raw.send(half));
    assert!(stuck[7].is_silent(Duration::from_millis(200)));
    let mut other = Raw::connect(ottla.address);
    assert_eq!(read_produce(&other.ask(&raw::produce(2, -1, "t", &vec![2; 100_000]))).0, 0);
    stuck.iter_mut().for_each(|raw| assert!(raw.receive().is_none()));
}
