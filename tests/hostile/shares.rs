//! One address that wants all seats.

use crate::attacker::{Attacker, Held};
use crate::support::process::Ottla;
use crate::support::raw::{self, Raw};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Seats of the smallest board.
const SEATS: usize = 32;

/// How long a newcomer may wait: the machines of tests are busy.
const WITHIN: Duration = Duration::from_secs(1);

fn start() -> (Ottla, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let ottla = Ottla::start_with(&data, &["--listen", "127.0.0.1:0", "--board", "pi-zero"]);
    Attacker::new(ottla.address, 250).pipeline(&[raw::metadata(1, "shares")]);
    (ottla, dir)
}

fn is_open(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Newcomers from another address, one after the other: all that fit into half of the seats are
/// served at once, and keep their seats.
fn newcomers(ottla: &Ottla) -> Vec<Raw> {
    let mut all = Vec::new();
    let mut slowest = Duration::ZERO;
    for n in 0..SEATS as i32 / 2 {
        let start = Instant::now();
        let mut raw = Raw::connect(ottla.address);
        raw.send(&raw::api_versions(n));
        assert!(raw.receive().is_some(), "newcomer {n} was refused: {}", ottla.log());
        slowest = slowest.max(start.elapsed());
        all.push(raw);
    }
    println!("the slowest of {} newcomers was served in {slowest:.1?}", all.len());
    assert!(slowest < WITHIN, "{slowest:?}");
    for (n, raw) in (100..).zip(&mut all) {
        raw.ask(&raw::api_versions(n));
    }
    all
}

/// Asks and waits until the broker has all requests.
fn settled(held: &Held) {
    assert_eq!(held.len(), SEATS);
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn long_fetches_of_one_address_leave_half_of_the_seats_to_others() {
    let (ottla, _dir) = start();
    let attacker = Attacker::new(ottla.address, 1);
    let fetch = raw::fetch(1, "shares", 0, 1, i32::MAX);
    let mut held: Held = (0..SEATS)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(3));
            attacker.send(&fetch)
        })
        .collect();
    settled(&held);
    assert!(held.iter_mut().all(is_open), "the seats are all its own: {}", ottla.log());
    let others = newcomers(&ottla);
    let open: Vec<bool> = held.iter_mut().map(is_open).collect();
    assert_eq!(open.iter().filter(|open| **open).count(), SEATS / 2);
    assert!(!open[0] && open[SEATS - 1], "who waited for longest went first: {open:?}");
    // What it asks from now on costs nobody else a seat.
    let more: Held = (0..SEATS).map(|_| attacker.send(&fetch)).collect();
    std::thread::sleep(Duration::from_millis(100));
    for (n, mut raw) in (200..).zip(others) {
        raw.ask(&raw::api_versions(n));
    }
    drop(more);
    let about = format!(" {}:", attacker.from);
    let log = ottla.log();
    let kinds = ["closed to make room", "refused"];
    let counts = kinds.map(|kind| {
        log.lines().filter(|line| line.contains(&about) && line.contains(kind)).count()
    });
    assert_eq!(counts, [1, 1], "one line for each kind: {log}");
}

#[test]
fn joins_of_one_address_leave_half_of_the_seats_to_others() {
    let (ottla, _dir) = start();
    let attacker = Attacker::new(ottla.address, 2);
    let join = |group: &str| {
        raw::request(11, 3, 1, false, |w| {
            w.string(group);
            w.i32(30_000);
            w.i32(30_000);
            w.string("");
            w.string("consumer");
            w.array(1);
            w.string("range");
            w.bytes(b"x");
        })
    };
    let held: Held =
        (0..SEATS).map(|n| attacker.send(&join(&format!("shares-{}", n % 3)))).collect();
    settled(&held);
    newcomers(&ottla);
}

#[test]
fn tight_loops_of_one_address_leave_half_of_the_seats_to_others() {
    let (ottla, _dir) = start();
    let attacker = Attacker::new(ottla.address, 3);
    // So many that none is ever at rest, as their answers are not read.
    let ask: Vec<u8> = (0..20_000).flat_map(|n| raw::metadata(n, "shares")).collect();
    let held: Held = (0..SEATS)
        .map(|_| {
            let mut stream = attacker.connect_with_window(4_096);
            stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
            stream.write_all(&ask).ok();
            stream
        })
        .collect();
    settled(&held);
    newcomers(&ottla);
}
