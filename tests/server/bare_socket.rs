//! What the protocol promises and no client library lets a test see.

use crate::support::process::Ottla;
use crate::support::raw::{self, Raw, read_fetch, read_produce};
use std::time::{Duration, Instant};

#[test]
fn acks_0_gets_no_byte_back() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "t"));
    raw.send(&raw::produce(2, 0, "t", b"quiet"));
    assert!(raw.is_silent(Duration::from_millis(300)));
    // The next answer is the next request's, not one that came late.
    let (correlation_id, _) = {
        raw.send(&raw::api_versions(3));
        raw.receive().unwrap()
    };
    assert_eq!(correlation_id, 3);
    let fetched = read_fetch(&raw.ask(&raw::fetch(4, "t", 0, 1, 5_000)));
    assert_eq!((fetched.error, fetched.high_watermark), (0, 1));
}

#[test]
fn acks_0_has_only_a_closed_connection_to_tell_of_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let set = ["--listen", "127.0.0.1:0", "--set", "auto.create.topics.enable=false"];
    let ottla = Ottla::start_with(dir.path(), &set);
    let mut raw = Raw::connect(ottla.address);
    raw.send(&raw::produce(1, 0, "nowhere", b"lost"));
    assert!(raw.receive().is_none());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "t"));
    // Those that wait for a sync hold back those behind them that could be answered at once.
    let mut requests = Vec::new();
    for round in 0..10 {
        let id = 100 * round;
        for n in 0..6 {
            requests.extend(raw::produce(id + n, -1, "t", b"in order"));
        }
        requests.extend(raw::api_versions(id + 6));
        requests.extend(raw::produce(id + 7, 1, "t", b"at once"));
        requests.extend(raw::metadata(id + 8, "t"));
        requests.extend(raw::produce(id + 9, 0, "t", b"no answer"));
        requests.extend(raw::produce(id + 10, -1, "t", b"in order"));
    }
    raw.send(&requests);
    for round in 0..10i32 {
        for n in [0, 1, 2, 3, 4, 5, 6, 7, 8, 10] {
            let (correlation_id, body) = raw.receive().unwrap();
            assert_eq!(correlation_id, 100 * round + n);
            if matches!(n, 0..=5 | 7 | 10) {
                let offset = i64::from(9 * round + if n == 10 { 8 } else { n.min(6) });
                assert_eq!(read_produce(&body), (0, offset));
            }
        }
    }
}

#[test]
fn more_requests_at_once_than_may_wait_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "t"));
    for acks in [1, -1] {
        // No byte follows that could wake the connection for what it has already.
        let requests: Vec<u8> = (0..25).flat_map(|n| raw::produce(n, acks, "t", b"x")).collect();
        raw.send(&requests);
        for n in 0..25 {
            assert_eq!(raw.receive().unwrap().0, n, "acks={acks}");
        }
    }
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    for version in [5, 99, i16::MAX] {
        let answer = raw.ask(&raw::request(18, version, 7, true, |w| {
            w.string("a client from the future");
            w.string("99");
            w.tags();
        }));
        // UNSUPPORTED_VERSION, and one row: ApiVersions itself, from version 0 (KIP-511).
        assert_eq!(answer[..10], [0, 35, 0, 0, 0, 1, 0, 18, 0, 0]);
        assert_eq!(answer.len(), 12);
    }
    // On the same connection goes the version that it named.
    assert_eq!(raw.ask(&raw::api_versions(8))[..2], [0, 0]);
}

#[test]
fn what_is_not_served_closes_the_connection() {
    // Transactions, an unknown key, versions that are too new, and those that are only advertised.
    for (key, version) in [(24, 0), (999, 0), (-1, 0), (3, 99), (3, -1), (0, 2), (0, 99)] {
        // A broker says such a thing of an address once a minute.
        let dir = tempfile::tempdir().unwrap();
        let ottla = Ottla::start(dir.path());
        let mut raw = Raw::connect(ottla.address);
        raw.send(&raw::request(key, version, 1, false, |w| w.raw(&[0; 40])));
        assert!(raw.receive().is_none(), "key {key} version {version} was answered");
        let line = format!("key {key} version {version}");
        ottla.wait_for_log(&line);
    }
}

#[test]
fn bytes_behind_the_last_field_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    let answer = raw.ask(&raw::request(18, 0, 1, false, |w| w.raw(&[0xab; 17])));
    assert_eq!(answer[..2], [0, 0]);
    let mut produce = raw::produce(2, -1, "t", b"x");
    raw.ask(&raw::metadata(3, "t"));
    produce.extend_from_slice(&[7; 5]);
    let length = produce.len() as i32 - 4;
    produce[..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(read_produce(&raw.ask(&produce)), (0, 0));
}

#[test]
fn a_long_poll_wakes_when_there_is_data() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut producer = Raw::connect(ottla.address);
    producer.ask(&raw::metadata(1, "t"));
    let mut consumer = Raw::connect(ottla.address);
    let start = Instant::now();
    consumer.send(&raw::fetch(1, "t", 0, 1, 25_000));
    assert!(consumer.is_silent(Duration::from_millis(200)));
    assert_eq!(read_produce(&producer.ask(&raw::produce(2, -1, "t", b"awake"))), (0, 0));
    let (_, answer) = consumer.receive().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let fetched = read_fetch(&answer);
    assert_eq!((fetched.error, fetched.high_watermark), (0, 1));
    assert!(fetched.records.ends_with(b"awake\0"));
}

#[test]
fn a_long_poll_ends_with_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "t"));
    let start = Instant::now();
    let fetched = read_fetch(&raw.ask(&raw::fetch(2, "t", 0, 1, 400)));
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((fetched.error, fetched.records.len()), (0, 0));
    // Less than was asked for is sent when the time is over.
    raw.ask(&raw::produce(3, -1, "t", b"little"));
    let start = Instant::now();
    let fetched = read_fetch(&raw.ask(&raw::fetch(4, "t", 0, 100_000, 400)));
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    assert!(fetched.records.ends_with(b"little\0"));
    // And enough is sent at once.
    let start = Instant::now();
    let bytes = fetched.records.len() as i32;
    assert!(!read_fetch(&raw.ask(&raw::fetch(5, "t", 0, bytes, 20_000))).records.is_empty());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_fetch_that_waits_brings_the_sync_forward() {
    let dir = tempfile::tempdir().unwrap();
    let set = ["--listen", "127.0.0.1:0", "--set", "log.flush.interval.ms=10000"];
    let ottla = Ottla::start_with(dir.path(), &set);
    let mut producer = Raw::connect(ottla.address);
    producer.ask(&raw::metadata(1, "t"));
    // Nobody waits: what is not synced is not shown, though it is acknowledged.
    assert_eq!(read_produce(&producer.ask(&raw::produce(2, 1, "t", b"first"))), (0, 0));
    let mut consumer = Raw::connect(ottla.address);
    let fetched = read_fetch(&consumer.ask(&raw::fetch(3, "t", 0, 1, 0)));
    assert_eq!((fetched.high_watermark, fetched.records.len()), (0, 0));
    // Somebody waits already when the record comes.
    for n in 0..3 {
        let start = Instant::now();
        consumer.send(&raw::fetch(10 + n, "t", i64::from(n), 1, 9_000));
        if n > 0 {
            assert!(consumer.is_silent(Duration::from_millis(50)));
            producer.ask(&raw::produce(20 + n, 1, "t", b"next"));
        }
        let (_, answer) = consumer.receive().unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "{n}: {:?}", start.elapsed());
        assert_eq!(read_fetch(&answer).high_watermark, i64::from(n) + 1);
    }
}

#[test]
fn a_damaged_batch_is_refused_and_the_connection_lives() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "t"));
    let mut batch = ottla::wire::record::BatchBuilder::new(0);
    batch.push(0, None, Some(b"value"), &[]);
    let good = batch.finish();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    // CORRUPT_MESSAGE for the CRC; INVALID_RECORD for a batch that is cut short.
    assert_eq!(read_produce(&raw.ask(&raw::produce_batch(2, -1, "t", &damaged))).0, 2);
    let cut = &good[..good.len() - 1];
    assert_eq!(read_produce(&raw.ask(&raw::produce_batch(3, -1, "t", cut))).0, 87);
    // INVALID_RECORD for an old format, for nothing at all, and for two batches.
    let mut old = good.clone();
    old[16] = 1;
    assert_eq!(read_produce(&raw.ask(&raw::produce_batch(4, -1, "t", &old))).0, 87);
    assert_eq!(read_produce(&raw.ask(&raw::produce_batch(5, -1, "t", &[]))).0, 87);
    let two = [&good[..], &good[..]].concat();
    assert_eq!(read_produce(&raw.ask(&raw::produce_batch(6, -1, "t", &two))).0, 87);
    // INVALID_REQUIRED_ACKS.
    assert_eq!(read_produce(&raw.ask(&raw::produce(7, 2, "t", b"x"))).0, 21);
    assert_eq!(read_produce(&raw.ask(&raw::produce_batch(8, -1, "t", &good))), (0, 0));
}
