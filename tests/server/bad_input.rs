//! What no Kafka client sends: the connection is closed with one log line, and the broker lives.

use crate::support::process::Ottla;
use crate::support::raw::{self, Raw};

fn closes_with_one_line(bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let mut ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.send(bytes);
    assert!(raw.receive().is_none(), "it was answered");
    ottla.wait_for_log("cut off");
    // Somebody else is served as ever.
    let mut other = Raw::connect(ottla.address);
    assert_eq!(other.ask(&raw::api_versions(1))[..2], [0, 0]);
    assert!(ottla.is_alive());
    let (status, _, log) = ottla.terminate();
    assert!(status.success(), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("127.0.0.1:") && lines[0].contains("cut off"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn http() {
    closes_with_one_line(b"GET / HTTP/1.1\r\nHost: localhost:9092\r\nAccept: */*\r\n\r\n");
}

#[test]
fn tls() {
    // The start of a ClientHello: handshake, TLS 1.0 record, 512 bytes.
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.resize(517, 0x5a);
    closes_with_one_line(&hello);
}

#[test]
fn the_largest_frame() {
    closes_with_one_line(&i32::MAX.to_be_bytes());
}

#[test]
fn a_frame_just_above_the_limit() {
    // message.max.bytes is 1 MiB + 12; with what a request may have besides: just above 2 MiB.
    let length: i32 = 3 << 20;
    closes_with_one_line(&[&length.to_be_bytes()[..], &[1; 1000]].concat());
}

#[test]
fn a_produce_request_just_above_the_limit() {
    let length: i32 = (100 << 20) + 1;
    closes_with_one_line(&[&length.to_be_bytes()[..], &[0; 1000]].concat());
}

#[test]
fn a_negative_frame() {
    closes_with_one_line(&(-1i32).to_be_bytes());
}

#[test]
fn an_empty_frame() {
    closes_with_one_line(&[0; 4]);
}

#[test]
fn a_request_that_ends_in_the_middle_of_a_field() {
    closes_with_one_line(&raw::request(3, 1, 1, false, |w| {
        w.array(1);
        w.i16(10);
        w.raw(b"short");
    }));
}

#[test]
fn an_array_of_two_billion_elements() {
    closes_with_one_line(&raw::request(3, 1, 1, false, |w| w.i32(i32::MAX)));
}

#[test]
fn a_string_that_is_no_utf_8() {
    closes_with_one_line(&raw::request(3, 1, 1, false, |w| {
        w.array(1);
        w.i16(2);
        w.raw(&[0xff, 0xfe]);
    }));
}

#[test]
fn a_thousand_random_requests_leave_it_serving() {
    let dir = tempfile::tempdir().unwrap();
    let mut ottla = Ottla::start(dir.path());
    // A linear congruential generator: the same bytes in every run.
    let mut state = 7u64;
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    for n in 0..1_000 {
        let mut raw = Raw::connect(ottla.address);
        let key = (random() % 80) as i16;
        let version = (random() % 14) as i16;
        let body: Vec<u8> = (0..random() % 200).map(|_| (random() % 256) as u8).collect();
        raw.send(&raw::request(key, version, n, random() % 2 == 0, |w| w.raw(&body)));
    }
    let mut other = Raw::connect(ottla.address);
    assert_eq!(other.ask(&raw::api_versions(1))[..2], [0, 0]);
    assert!(ottla.is_alive());
    assert!(!ottla.log().contains("panicked"), "{}", ottla.log());
}
