//! The broker under attack, its memory, its log, and a well-behaved client of it.
//!
//! Promises: memory is read from the kernel, not asked of the broker; a figure of time is that of
//! several tries, of which the best decides, because the machines of tests are busy.

use crate::support::process::Ottla;
use crate::support::raw::{self, Raw, read_fetch, read_produce};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Times that the well-behaved client asks.
const TRIES: usize = 7;

/// Rounds of that, if the first ones were slow: the machine may have been busy.
const ROUNDS: usize = 4;

/// Between two records while an attack is under way, as consumers ask.
const PAUSE: Duration = Duration::from_millis(250);

/// Topic of the well-behaved client.
const TOPIC: &str = "good";

/// What the process has of memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// At most, so far.
    pub peak: u64,
    pub resident: u64,
    /// The part of it that is the binary's file: as much of it as was used until now.
    pub file: u64,
}

impl Memory {
    /// What it had at most since `before`, but for parts of the binary that were used first now.
    pub fn grown_since(&self, before: &Memory) -> i64 {
        let grown = |now: u64, then: u64| now as i64 - then as i64;
        (grown(self.peak, before.peak) - grown(self.file, before.file).max(0)).max(0)
    }
}

/// How the well-behaved client is served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served {
    pub best: Duration,
    pub median: Duration,
}

/// The broker, and the client that it has besides.
pub struct Victim {
    pub ottla: Ottla,
    client: Raw,
    sent: i64,
    dir: TempDir,
}

impl Victim {
    /// A broker on the default board, warmed up.
    pub fn start() -> Victim {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let arguments = ["--listen", "127.0.0.1:0", "--board", "gateway-1g"];
        let ottla = Ottla::start_with(&data, &arguments);
        let mut client = Raw::connect(ottla.address);
        client.ask(&raw::metadata(1, TOPIC));
        let mut victim = Victim { ottla, client, sent: 0, dir };
        victim.warm_up();
        victim
    }

    /// Large requests and answers, so that what is used for the first time was used.
    fn warm_up(&mut self) {
        let large = vec![b'x'; 1_000_000];
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let mut raw = Raw::connect(self.ottla.address);
                let large = large.clone();
                std::thread::spawn(move || {
                    raw.ask(&raw::metadata(1, "warm"));
                    for n in 0..4 {
                        raw.ask(&raw::produce(n, -1, "warm", &large));
                        raw.ask(&raw::fetch(n, "warm", 0, 1, 100));
                    }
                })
            })
            .collect();
        asking.into_iter().for_each(|one| one.join().unwrap());
        for _ in 0..50 {
            self.ask_once().unwrap();
        }
    }

    /// The directory that is all the broker may write into, and what is around it.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// What the kernel says.
    pub fn memory(&self) -> Memory {
        Memory {
            peak: self.ottla.memory("VmHWM"),
            resident: self.ottla.memory("VmRSS"),
            file: self.ottla.memory("RssFile"),
        }
    }

    /// A record to the disk and back, on the connection that it has had all the time.
    pub fn ask_once(&mut self) -> Result<Duration, String> {
        let start = Instant::now();
        let value = self.sent.to_be_bytes();
        let id = self.sent as i32;
        self.client.send(&raw::produce(id, -1, TOPIC, &value));
        let (_, answer) = self.client.receive().ok_or("its connection was closed")?;
        let (error, offset) = read_produce(&answer);
        if (error, offset) != (0, self.sent) {
            return Err(format!("produced at {offset} with error {error}, not at {}", self.sent));
        }
        self.client.send(&raw::fetch(id, TOPIC, offset, 1, 1_000));
        let (_, answer) = self.client.receive().ok_or("its connection was closed")?;
        let fetched = read_fetch(&answer);
        if fetched.error != 0 || !fetched.records.windows(8).any(|window| window == value) {
            return Err(format!("it did not get what it sent: error {}", fetched.error));
        }
        self.sent += 1;
        Ok(start.elapsed())
    }

    /// Runs an attack while the client has a record synced and fetched every now and then: the
    /// longest that one took.
    pub fn while_it_asks<R>(
        &mut self,
        attack: impl FnOnce() -> R,
    ) -> (R, Result<Duration, String>) {
        let over = AtomicBool::new(false);
        let asking = Mutex::new(self);
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut victim = asking.lock().unwrap();
                let mut worst = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    match victim.ask_once() {
                        Ok(time) => worst = worst.max(time),
                        Err(what) => {
                            victim.connect_again();
                            return Err(what);
                        }
                    }
                    std::thread::park_timeout(PAUSE);
                }
                Ok(worst)
            });
            let done = attack();
            over.store(true, Ordering::Relaxed);
            client.thread().unpark();
            (done, client.join().unwrap())
        })
    }

    /// Its connection is gone: the next one, for the next attack.
    fn connect_again(&mut self) {
        self.client = Raw::connect(self.ottla.address);
        // What was sent last may have been taken or not.
        self.client.send(&raw::fetch(0, TOPIC, self.sent, 1, 0));
        if let Some((_, answer)) = self.client.receive() {
            self.sent = read_fetch(&answer).high_watermark;
        }
    }

    /// How it is served now; asked again if that was too slow.
    pub fn serve(&mut self, within: Duration) -> Result<Served, String> {
        let mut served = Served::default();
        for _ in 0..ROUNDS {
            let mut times = Vec::new();
            for _ in 0..TRIES {
                match self.ask_once() {
                    Ok(time) => times.push(time),
                    Err(what) => {
                        self.connect_again();
                        return Err(what);
                    }
                }
            }
            times.sort();
            served = Served { best: times[0], median: times[TRIES / 2] };
            if served.best <= within {
                break;
            }
        }
        Ok(served)
    }

    /// A new client connects and asks for the versions: how long that takes.
    pub fn greet(&self) -> Result<Duration, String> {
        let mut times = Vec::new();
        for n in 0..3 {
            let start = Instant::now();
            let mut raw = Raw::connect(self.ottla.address);
            raw.send(&raw::api_versions(n));
            raw.receive().ok_or("a new connection was closed")?;
            times.push(start.elapsed());
        }
        Ok(*times.iter().min().unwrap())
    }

    /// The lines about an address, by kind: what they begin with.
    pub fn lines_about(&self, address: Ipv4Addr) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        let text = format!(" {address}:");
        for line in self.ottla.log().lines() {
            let Some((_, rest)) = line.split_once(&text) else { continue };
            let said = rest.split_once(": ").map_or("", |(_, said)| said);
            let end = said.find([',', ':']).unwrap_or(said.len());
            let kind = match said {
                // Two kinds: what cannot be answered, and who stopped or was too slow.
                _ if said.starts_with("cut off:") => "cut off: ".to_owned(),
                _ => said[..end.max(said.len().min(18))].to_owned(),
            };
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }
}
