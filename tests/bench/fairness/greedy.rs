//! Clients that want all there is.

use crate::support::raw::{self, Raw};
use ottla::wire::record::BatchBuilder;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a greedy client does until it is told to stop; how often it got it.
pub struct Greedy {
    pub name: &'static str,
    pub run: fn(SocketAddr, &AtomicBool) -> u64,
}

/// All of them.
pub const GREEDY: &[Greedy] = &[
    Greedy { name: "10,000 pipelined metadata", run: metadata },
    Greedy { name: "10,000 pipelined records", run: records },
    Greedy { name: "fetches of 50 MiB", run: fetches },
    Greedy { name: "a tight loop of versions", run: tight },
    Greedy { name: "a streamed produce of 50 MiB", run: streamed },
];

/// Topic of the greedy.
const TOPIC: &str = "greedy";

/// 24 MiB to be fetched.
pub fn prepare(address: SocketAddr) {
    let mut raw = Raw::connect(address);
    for topic in [TOPIC, "greedy-small", "greedy-stream"] {
        raw.ask(&raw::metadata(1, topic));
    }
    for n in 0..24 {
        raw.ask(&raw::produce(n, 1, TOPIC, &vec![b'x'; 1_000_000]));
    }
}

/// Sends `bytes` again and again as far as the socket takes them, and reads whatever comes:
/// the rounds that were sent, or what was read.
fn flood(address: SocketAddr, bytes: &[u8], stop: &AtomicBool) -> u64 {
    let mut socket = TcpStream::connect(address).expect("it accepts");
    socket.set_nonblocking(true).expect("a socket");
    let mut answers = vec![0; 256 * 1024];
    let (mut at, mut rounds) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let mut moved = false;
        match socket.write(&bytes[at..]) {
            Ok(count) => {
                at += count;
                moved = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the greedy client was cut off: {error}"),
        }
        if at == bytes.len() {
            (at, rounds) = (0, rounds + 1);
        }
        match socket.read(&mut answers) {
            Ok(0) => panic!("the greedy client was cut off"),
            Ok(_) => moved = true,
            Err(_) => {}
        }
        if !moved {
            // One thread of its own, but not a processor.
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    rounds
}

fn metadata(address: SocketAddr, stop: &AtomicBool) -> u64 {
    let requests: Vec<_> = (0..10_000).map(|n| raw::metadata(n, TOPIC)).collect();
    flood(address, &requests.concat(), stop) * 10_000
}

fn records(address: SocketAddr, stop: &AtomicBool) -> u64 {
    let ask = |n| raw::produce(n, -1, "greedy-small", &[b'r'; 100]);
    let requests: Vec<_> = (0..10_000).map(ask).collect();
    flood(address, &requests.concat(), stop) * 10_000
}

fn fetches(address: SocketAddr, stop: &AtomicBool) -> u64 {
    let fetch = raw::request(1, 4, 1, false, |w| {
        w.i32(-1);
        w.i32(0);
        w.i32(1);
        w.i32(i32::MAX);
        w.i8(0);
        w.array(1);
        w.string(TOPIC);
        w.array(1);
        w.i32(0);
        w.i64(0);
        w.i32(i32::MAX);
    });
    flood(address, &fetch, stop)
}

fn tight(address: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut raw = Raw::connect(address);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        raw.ask(&raw::api_versions(1));
        count += 1;
    }
    count
}

/// A request of 50 batches of 1 MB for as many elements of the same partition.
fn streamed(address: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut batch = BatchBuilder::new(0);
    batch.push(0, None, Some(&vec![b's'; 1_000_000]), &[]);
    let batch = batch.finish();
    let request = raw::request(0, 3, 1, false, |w| {
        w.nullable_string(None);
        w.i16(1);
        w.i32(30_000);
        w.array(50);
        for _ in 0..50 {
            w.string("greedy-stream");
            w.array(1);
            w.i32(0);
            w.bytes(&batch);
        }
    });
    flood(address, &request, stop)
}
