//! Everything at once: full tables, large produce streams, consumers of everything, consumers that
//! hardly read, groups that never come to rest, and bytes that are no request.
//!
//! Promises: each kind of client goes on for the whole time, over new connections where the broker
//! closed the old one; it says how often each was served. Absent: which of them is served how fast
//! (`tests/hostile.rs`).

use super::load::{self, batch_of, join, produce_to, topic};
use crate::support::raw::{self, request};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Clients of each kind.
const PRODUCERS: usize = 6;
const CONSUMERS: usize = 100;
const SLOW_CONSUMERS: usize = 20;
const MEMBERS: usize = 8;
const HOSTILE: usize = 4;
/// Bytes of the batches that are sent, and how many one request has: 8 MB.
const BATCH_BYTES: usize = 1_000_000;
const BATCHES: usize = 8;
/// How long nobody waits for an answer.
const PATIENCE: Duration = Duration::from_millis(700);

/// What was done while it lasted.
#[derive(Default)]
struct Done {
    produced: AtomicUsize,
    fetched: AtomicUsize,
    read_slowly: AtomicUsize,
    joined: AtomicUsize,
    broken: AtomicUsize,
}

/// Fills the tables, and then lets everybody loose.
pub fn worst(address: SocketAddr, time: Duration) -> String {
    let (filled, members) = load::fill_tables(address);
    drop(members);
    let done = Done::default();
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        let done = &done;
        for _ in 0..PRODUCERS {
            scope.spawn(move || again(until, || produce(address, until, done)));
        }
        for _ in 0..CONSUMERS / 10 {
            scope.spawn(move || again(until, || fetch_everything(address, until, done)));
        }
        scope.spawn(move || again(until, || read_slowly(address, until, done)));
        for number in 0..MEMBERS {
            scope.spawn(move || again(until, || rejoin(address, number, done)));
        }
        for number in 0..HOSTILE {
            scope.spawn(move || again(until, || be_hostile(address, number, done)));
        }
    });
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let produced = count(&done.produced);
    assert!(produced > 0 && count(&done.fetched) > 0, "nobody was served");
    format!(
        "{filled}; {produced} requests of 8 MB, {} fetches of everything, {} KiB read slowly, {} \
         joins, {} broken connections",
        count(&done.fetched),
        count(&done.read_slowly),
        count(&done.joined),
        count(&done.broken)
    )
}

/// Over and over; one round ends when its connection does.
fn again(until: Instant, mut round: impl FnMut() -> std::io::Result<()>) {
    while Instant::now() < until {
        if round().is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn dial(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Reads one answer, and throws it away. Its bytes.
fn answer(socket: &mut TcpStream) -> std::io::Result<usize> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    let mut left = length;
    let mut piece = [0; 16 * 1024];
    while left > 0 {
        let count = left.min(piece.len());
        socket.read_exact(&mut piece[..count])?;
        left -= count;
    }
    Ok(length)
}

fn produce(address: SocketAddr, until: Instant, done: &Done) -> std::io::Result<()> {
    let bytes = produce_to(0..BATCHES, -1, &batch_of(BATCH_BYTES));
    let mut socket = dial(address)?;
    while Instant::now() < until {
        socket.write_all(&bytes)?;
        answer(&mut socket)?;
        done.produced.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Fetch v4 of the first topics from their beginnings, as much as there is.
fn everything() -> Vec<u8> {
    request(1, 4, 3, false, |w| {
        w.i32(-1);
        w.i32(0);
        w.i32(1);
        w.i32(i32::MAX);
        w.i8(0);
        w.array(BATCHES);
        for number in 0..BATCHES {
            w.string(&topic(number));
            w.array(1);
            w.i32(0);
            w.i64(0);
            w.i32(i32::MAX);
        }
    })
}

/// Ten consumers on one thread: all ask, then all are read.
fn fetch_everything(address: SocketAddr, until: Instant, done: &Done) -> std::io::Result<()> {
    let mut sockets: Vec<TcpStream> = (0..10).filter_map(|_| dial(address).ok()).collect();
    let bytes = everything();
    while Instant::now() < until {
        sockets.retain_mut(|socket| socket.write_all(&bytes).is_ok());
        sockets.retain_mut(|socket| {
            let read = answer(socket).is_ok_and(|bytes| bytes > 1_000);
            done.fetched.fetch_add(usize::from(read), Ordering::Relaxed);
            read
        });
        if sockets.len() < 3 {
            break;
        }
    }
    Ok(())
}

/// Consumers of which each takes a KiB now and then.
fn read_slowly(address: SocketAddr, until: Instant, done: &Done) -> std::io::Result<()> {
    let bytes = [everything(), request(3, 1, 9, false, |w| w.i32(-1))].concat().repeat(20);
    let mut sockets = Vec::new();
    for _ in 0..SLOW_CONSUMERS {
        let mut socket = dial(address)?;
        socket.set_nonblocking(true)?;
        socket.write_all(&bytes).ok();
        sockets.push(socket);
    }
    let mut piece = [0; 1024];
    while Instant::now() < until && !sockets.is_empty() {
        sockets.retain_mut(|socket| match socket.read(&mut piece) {
            Ok(0) => false,
            Ok(_) => done.read_slowly.fetch_add(1, Ordering::Relaxed) < usize::MAX,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        });
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A member that joins a group of others, waits for a while, and is gone.
fn rejoin(address: SocketAddr, number: usize, done: &Done) -> std::io::Result<()> {
    let mut socket = dial(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(30 + 10 * number as u64)))?;
    socket.write_all(&join(&format!("group-{}", number % 2), &vec![3; 3_000 + 100 * number]))?;
    done.joined.fetch_add(1, Ordering::Relaxed);
    answer(&mut socket).map(drop)
}

/// Bytes that are no request, in the ways that there are.
fn be_hostile(address: SocketAddr, number: usize, done: &Done) -> std::io::Result<()> {
    let large = raw::produce_batch(1, -1, &topic(1), &batch_of(BATCH_BYTES));
    let bytes = match number % 4 {
        0 => vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 3, 0, 0, 0, 0],
        1 => large[..large.len() * 99 / 100].to_vec(),
        2 => b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".repeat(100),
        // A claim of 2^31-1 topics.
        _ => request(3, 1, 1, false, |w| {
            w.i32(i32::MAX);
            w.raw(&[9; 5_000]);
        }),
    };
    let mut socket = dial(address)?;
    done.broken.fetch_add(1, Ordering::Relaxed);
    socket.write_all(&bytes)?;
    answer(&mut socket).map(drop)
}
