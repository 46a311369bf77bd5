//! Who has what others wait for, and hardly moves: over real sockets, at the broker's own pace.
//!
//! The board is the smallest, with one batch buffer, and two of answer buffers and spill files.
//! What is stated (`SHARED_STALL_MS`, `SHARED_BYTES_PER_S`): ten seconds, and a second more for
//! every 16 KiB that move meanwhile.

use crate::attacker::Attacker;
use crate::support::process::Ottla;
use crate::support::raw::{self, Raw};
use ottla::limits::{SHARED_BYTES_PER_S, SHARED_STALL_MS};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For how long who does next to nothing may keep a buffer.
const STALL: Duration = Duration::from_millis(SHARED_STALL_MS);

/// How much later than that others may have it: machines of tests are busy.
const SLACK: Duration = Duration::from_secs(5);

/// Who waits for longer waits for a buffer that somebody holds. Holding it may have begun earlier.
const HELD: Duration = Duration::from_millis(SHARED_STALL_MS / 2);

/// When the kernels' buffers of a slow reader are full at the latest.
const FULL_WITHIN: Duration = Duration::from_secs(60);

/// Between two bites of somebody slow.
const PAUSE: Duration = Duration::from_millis(200);

fn start() -> (Ottla, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let ottla = Ottla::start_with(&data, &["--listen", "127.0.0.1:0", "--board", "pi-zero"]);
    Raw::connect(ottla.address).ask(&raw::metadata(1, "holders"));
    (ottla, dir)
}

/// Another client asks while `holders` do what they do, in turns: how long it waits.
fn waits(ottla: &Ottla, request: &[u8], mut holder: impl FnMut() + Send) -> Duration {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                holder();
                std::thread::sleep(PAUSE);
            }
        });
        let start = Instant::now();
        let mut raw = Raw::connect(ottla.address);
        raw.send(request);
        let answer = raw.receive();
        over.store(true, Ordering::Relaxed);
        assert!(answer.is_some(), "who waits for its turn is not cut off");
        start.elapsed()
    })
}

fn assert_cut_off(ottla: &Ottla, attacker: &Attacker, what: &str, waited: Duration) {
    println!("{what}: another client waited for {waited:.1?}");
    assert!(waited > HELD, "{what}: nothing was held: {waited:?}");
    assert!(waited < STALL + SLACK, "{what}: others waited for {waited:?}");
    let about = format!(" {}:", attacker.from);
    let log = ottla.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(&about)).collect();
    assert_eq!(lines.len(), 1, "one line for all of them: {lines:?}");
    assert!(lines[0].contains("too slow for a buffer"), "{lines:?}");
}

fn produce_of(bytes: usize) -> Vec<u8> {
    raw::produce(7, -1, "holders", &vec![b'h'; bytes])
}

#[test]
fn a_producer_that_drips_keeps_the_batch_buffer_for_the_stated_time_only() {
    let (ottla, _dir) = start();
    let attacker = Attacker::new(ottla.address, 201);
    let batch = produce_of(1_000_000);
    let mut slow = attacker.send(&batch[..700_000]);
    let mut at = 700_000;
    std::thread::sleep(PAUSE);
    let waited = waits(&ottla, &produce_of(900_000), || {
        slow.write_all(&batch[at..at + 100]).ok();
        at += 100;
    });
    assert_cut_off(&ottla, &attacker, "a batch buffer, dripping", waited);
}

#[test]
fn a_producer_on_a_slow_link_is_waited_for() {
    let (ottla, _dir) = start();
    let attacker = Attacker::new(ottla.address, 202);
    let batch = produce_of(1_000_000);
    // Twice as fast as it has to be.
    let bite = (2 * SHARED_BYTES_PER_S * PAUSE.as_millis() as u64 / 1_000) as usize;
    let mut at = 1_000_000 - 15 * 2 * SHARED_BYTES_PER_S as usize;
    let mut slow = attacker.send(&batch[..at]);
    std::thread::sleep(PAUSE);
    let waited = waits(&ottla, &produce_of(900_000), || {
        let end = batch.len().min(at + bite);
        slow.write_all(&batch[at..end]).ok();
        at = end;
    });
    println!("a batch buffer, slow link: another client waited for {waited:.1?}");
    assert!(waited > STALL, "it had it for longer: {waited:?}");
    let mut answer = [0; 4];
    assert!(slow.read_exact(&mut answer).is_ok(), "it was cut off: {}", ottla.log());
}

/// DescribeConfigs of so many topics, with all that is known of each setting.
fn describe(topics: usize) -> Vec<u8> {
    raw::request(32, 3, 1, false, |w| {
        w.array(topics);
        for _ in 0..topics {
            w.i8(2);
            w.string("holders");
            w.nullable_array(None);
        }
        w.bool(true);
        w.bool(true);
    })
}

/// Two who ask for answers of that size without end, and read them byte by byte.
fn slow_readers(attacker: &Attacker, request: &[u8]) -> Vec<TcpStream> {
    (0..2)
        .map(|_| {
            let mut stream = attacker.connect_with_window(4_096);
            stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            // As far as they are taken: kernels buffer requests and answers by the megabyte.
            (0..20_000).take_while(|_| stream.write_all(request).is_ok()).count();
            stream
        })
        .collect()
}

fn readers_of(number: u8, topics: usize, what: &str) {
    let (ottla, _dir) = start();
    let attacker = Attacker::new(ottla.address, number);
    let request = describe(topics);
    let mut slow = slow_readers(&attacker, &request);
    let mut one_wait = || {
        waits(&ottla, &request, || {
            slow.iter_mut().for_each(|stream| drop(stream.read(&mut [0; 10])));
        })
    };
    // Until the kernels' buffers are full nobody holds anything.
    let start = Instant::now();
    let mut waited = one_wait();
    while waited < HELD && start.elapsed() < FULL_WITHIN {
        waited = one_wait();
    }
    assert_cut_off(&ottla, &attacker, what, waited);
}

#[test]
fn clients_that_do_not_read_keep_answer_buffers_for_the_stated_time_only() {
    readers_of(203, 2, "answer buffers");
}

#[test]
fn clients_that_do_not_read_keep_spill_files_for_the_stated_time_only() {
    readers_of(204, 60, "spill files");
}
