//! How much a greedy client costs others: `cargo bench --bench fairness [-- --quick]`.
//!
//! A well-behaved client asks for three things in turn, one after the other: a record produced with
//! acks=all, a fetch of it, a heartbeat. It does so alone and beside each greedy client, in turns
//! that follow each other closely, so that the machine's noise hits all of them; the figures to
//! look at are the ratios of one run.
//!
//! Promises: the broker is the real binary with its defaults, once on a directory of the target's
//! disk, once in memory (`/dev/shm`, where there is one): what remains there is the event loop's
//! and the processor's share, the rest is the disk's.
//! Absent: thresholds. Nothing here passes or fails by time.

#[path = "greedy.rs"]
mod greedy;
#[expect(dead_code, reason = "the end-to-end tests need more of it")]
#[path = "../../hostile/support.rs"]
mod support;

use greedy::{GREEDY, Greedy};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::process::Ottla;
use support::raw::{self, Raw};

/// Turns that alone and beside each greedy client take.
const ROUNDS: usize = 5;

/// What the well-behaved client asks.
const KINDS: [&str; 3] = ["produce acks=all", "fetch", "heartbeat"];

/// The well-behaved client.
struct Client {
    raw: Raw,
    offset: i64,
}

/// Times by kind.
type Times = [Vec<Duration>; 3];

impl Client {
    fn start(ottla: &Ottla) -> Client {
        let mut raw = Raw::connect(ottla.address);
        raw.ask(&raw::metadata(1, "good"));
        Client { raw, offset: 0 }
    }

    fn ask(&mut self, kind: usize, times: &mut Times, request: &[u8]) {
        let start = Instant::now();
        self.raw.ask(request);
        times[kind].push(start.elapsed());
    }

    /// Asks until `time` is over.
    fn run(&mut self, time: Duration, times: &mut Times) {
        let heartbeat = raw::request(12, 0, 3, false, |w| {
            w.string("good-group");
            w.i32(1);
            w.string("nobody");
        });
        let start = Instant::now();
        while start.elapsed() < time {
            self.ask(0, times, &raw::produce(1, -1, "good", &[b'g'; 100]));
            self.ask(1, times, &raw::fetch(2, "good", self.offset, 1, 1_000));
            self.ask(2, times, &heartbeat);
            self.offset += 1;
        }
    }
}

/// One part of a hundred of the sorted times.
fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

/// Runs the well-behaved client beside a greedy one.
fn beside(
    ottla: &Ottla,
    client: &mut Client,
    greedy: &Greedy,
    time: Duration,
    times: &mut Times,
) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let (address, run, seen) = (ottla.address, greedy.run, stop.clone());
    let worker = std::thread::spawn(move || run(address, &seen));
    // It needs a moment to fill what it can fill.
    std::thread::sleep(Duration::from_millis(100));
    client.run(time, times);
    stop.store(true, Ordering::Relaxed);
    worker.join().expect("the greedy client ends")
}

/// Alone and beside each greedy client, in a directory of `place`.
fn measure(name: &str, place: &Path, time: Duration) {
    let dir = tempfile::tempdir_in(place).expect("a directory");
    let ottla = Ottla::start(dir.path());
    greedy::prepare(ottla.address);
    let mut client = Client::start(&ottla);
    client.run(time, &mut Times::default());
    println!(
        "{:<29}{:<18}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        format!("{name}, beside"),
        "",
        "alone",
        "p50 ms",
        "x",
        "alone",
        "p99 ms",
        "x"
    );
    for greedy in GREEDY {
        let (mut alone, mut together) = (Times::default(), Times::default());
        let mut done = 0;
        for _ in 0..ROUNDS {
            client.run(time / 2, &mut alone);
            done += beside(&ottla, &mut client, greedy, time / 2, &mut together);
        }
        for (kind, name) in KINDS.iter().enumerate() {
            print!("{:<29}{name:<18}", if kind == 0 { greedy.name } else { "" });
            for percent in [50, 99] {
                let quiet = percentile(&mut alone[kind], percent);
                let busy = percentile(&mut together[kind], percent);
                print!("{quiet:>9.3}{busy:>9.3}{:>9.2}", busy / quiet);
            }
            println!();
        }
        println!("{:<29}({done} requests, streams or answers of the greedy client)", "");
    }
    let peak = ottla.peak_memory();
    println!("memory at most: {:.1} MiB", peak as f64 / f64::from(1 << 20));
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let time = Duration::from_millis(if quick { 300 } else { 2_000 });
    measure("disk", Path::new(env!("CARGO_TARGET_TMPDIR")), time);
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        measure("memory", memory, time);
    }
}
