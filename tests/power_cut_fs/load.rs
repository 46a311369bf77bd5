//! Clients that write, what they were told, and whether it is still there.

use crate::raw::{self, Raw, read_fetch, read_produce};
use ottla::wire::batch;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// An acknowledged record.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its topic.
    pub topic: String,
    /// Its offset.
    pub offset: i64,
    /// Its value.
    pub value: Vec<u8>,
    /// What the clock said when the answer was there.
    pub at: usize,
}

/// Records that a client sends to one topic before it goes on to the next.
const RECORDS_PER_TOPIC: usize = 400;

/// Clients under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Told>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// `clients` clients with topics `NAME-client-number`, each with one of these `acks`.
    pub fn start(
        address: SocketAddr,
        name: &str,
        clients: usize,
        acks: &[i16],
        clock: impl Fn() -> usize + Send + Clone + 'static,
    ) -> Load {
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let client = |number: usize| {
            let (stop, told, clock) = (stop.clone(), told.clone(), clock.clone());
            let (name, acks) = (format!("{name}-{number}"), acks[number % acks.len()]);
            std::thread::spawn(move || {
                let mut raw = Raw::connect(address);
                for n in 0.. {
                    let topic = format!("{name}-{}", n / RECORDS_PER_TOPIC);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if n % RECORDS_PER_TOPIC == 0 {
                        raw.send(&raw::metadata(n as i32, &topic));
                        if raw.receive().is_none() {
                            return;
                        }
                    }
                    let value = value(&topic, n);
                    raw.send(&raw::produce(n as i32, acks, &topic, &value));
                    let Some((_, answer)) = raw.receive() else { return };
                    let (error, offset) = read_produce(&answer);
                    if error == 0 {
                        let at = clock();
                        let mut told = told.lock().expect("nobody panics with it");
                        told.push(Told { topic, offset, value, at });
                    }
                }
            })
        };
        let threads = (0..clients).map(client).collect();
        Load { stop, told, threads }
    }

    /// How many records were acknowledged so far.
    pub fn count(&self) -> usize {
        self.told.lock().expect("nobody panics with it").len()
    }

    /// Waits for the clients: told to stop, or because the broker is gone.
    pub fn end(self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // One whose answer was cut off in its middle has panicked; what it was told counts.
            thread.join().ok();
        }
        std::mem::take(&mut self.told.lock().expect("nobody panics with it"))
    }
}

/// Small ones mostly, some larger than a page, a few as large as what bypasses the journal.
fn value(topic: &str, n: usize) -> Vec<u8> {
    let bytes = match n % 50 {
        49 => 150_000,
        19 | 39 => 9_000,
        other => 20 + other * 7,
    };
    let mut value = format!("{topic} {n} ").into_bytes();
    value.extend((0..bytes).map(|at| (at * 31 + n) as u8));
    value
}

/// Reads every topic that somebody was told of, from the first such offset to the end: whole
/// batches in order, and in them what was acknowledged.
///
/// # Errors
/// The first record that is missing, or other than it was.
pub fn check<'a>(
    address: SocketAddr,
    told: impl Iterator<Item = &'a Told>,
) -> Result<usize, String> {
    let mut told: Vec<&Told> = told.collect();
    told.sort_by_key(|it| (&it.topic, it.offset));
    let mut raw = Raw::connect(address);
    for of_topic in told.chunk_by(|a, b| a.topic == b.topic) {
        let (topic, mut offset) = (&of_topic[0].topic, of_topic[0].offset);
        let mut wanted = of_topic.iter().peekable();
        loop {
            let fetched = read_fetch(&raw.ask(&raw::fetch(1, topic, offset, 1, 0)));
            if fetched.error != 0 {
                return Err(format!("{topic} at {offset}: error {}", fetched.error));
            }
            let mut rest = &fetched.records[..];
            let before = offset;
            while !rest.is_empty() {
                let header = match batch::check_stored(rest) {
                    Err(batch::BatchError::Cut) if offset > before => break,
                    result => result.map_err(|error| format!("{topic} at {offset}: {error:?}"))?,
                };
                let bytes = &rest[..header.total_bytes];
                if header.base_offset != offset {
                    return Err(format!("{topic}: {} after {offset}", header.base_offset));
                }
                if let Some(it) = wanted.next_if(|it| it.offset == offset) {
                    // One record in a batch; behind its value stands that it has no headers.
                    let end = &bytes[..bytes.len() - 1];
                    if !end.ends_with(&it.value) {
                        return Err(format!("{topic} at {offset}: another record"));
                    }
                }
                offset = header.next_offset();
                rest = &rest[header.total_bytes..];
            }
            if offset == before {
                break;
            }
        }
        if let Some(it) = wanted.next() {
            return Err(format!("{topic} ends at {offset}, {} was acknowledged", it.offset));
        }
    }
    Ok(told.len())
}
