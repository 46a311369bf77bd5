//! Hostile input: attacks on a real `ottla serve`, one after the other, and who suffers from them.
//!
//! After each attack, while it still holds its connections: a well-behaved client has a record
//! synced and fetched within `SERVED_WITHIN`, memory has not grown by more than the attack's row
//! says, the process lives, and the log has one line per kind of event, about the attacker's own
//! address. The table of figures is printed at the end.
//!
//! Beside that, each with a broker of its own: who keeps a shared buffer (`holders`), and one
//! address that wants all seats (`shares`).
//!
//! Absent: fuzzing (`tests/fuzz`), fairness under load (`cargo bench --bench fairness`), what each
//! table does when it is full (`tests/limits.rs`).

#![expect(clippy::unwrap_used, reason = "a panic is how a test says what is wrong")]

#[path = "hostile/attacker.rs"]
mod attacker;
#[path = "hostile/batches.rs"]
mod batches;
#[expect(dead_code, reason = "descriptions of answers are read, too")]
#[path = "hostile/corpus.rs"]
mod corpus;
#[path = "hostile/fields.rs"]
mod fields;
#[path = "hostile/floods.rs"]
mod floods;
#[path = "hostile/frames.rs"]
mod frames;
#[path = "hostile/holders.rs"]
mod holders;
#[path = "hostile/shares.rs"]
mod shares;
#[path = "hostile/slow.rs"]
mod slow;
#[expect(dead_code, reason = "the end-to-end tests need more of it")]
#[path = "hostile/support.rs"]
mod support;
#[path = "hostile/victim.rs"]
mod victim;

use attacker::{Attacker, Held};
use std::fmt::Write;
use std::time::{Duration, Instant};
use victim::{Memory, Served, Victim};

/// How long the well-behaved client may wait for a record to be synced and fetched.
const SERVED_WITHIN: Duration = Duration::from_millis(100);

/// How long a new client may wait while an attack holds its connections: as long as a seat may be
/// kept by somebody who asks nothing (`SILENT_MS`, `FIRST_REQUEST_MS`).
const GREETED_WITHIN: Duration = Duration::from_secs(12);

/// Bytes by which memory may grow in an attack that fills no table.
///
/// Why: tables and buffers that were not used before are resident from their first use on; pages
/// of the allocator.
const GROWTH_BYTES: i64 = 768 * 1024;

/// The same, for one that fills a table to its end.
const TABLE_BYTES: i64 = 2 * 1024 * 1024;

/// Bytes of memory, but for the binary's own, that the process may have after everything: what the
/// default board has for all in all.
const MEMORY_BYTES: u64 = 10 << 20;

/// What the log has to say about an attacker.
#[derive(Clone, Copy, PartialEq)]
enum Said {
    /// Nothing: it broke no rule.
    Nothing,
    /// One line of each kind.
    Once,
    /// As many, or none: whether a rule was broken, or all seats were taken for a moment, depends
    /// on time.
    Perhaps,
}

/// Name, attack, bytes by which memory may grow, lines in the log.
type Row = (&'static str, fn(&Attacker) -> Held, i64, Said);

const ATTACKS: &[Row] = &[
    ("frame sizes", frames::sizes, GROWTH_BYTES, Said::Once),
    ("truncated requests", frames::truncated, GROWTH_BYTES, Said::Perhaps),
    ("dripping requests", frames::dripping, GROWTH_BYTES, Said::Perhaps),
    ("TLS, HTTP, zeros", frames::others, GROWTH_BYTES, Said::Once),
    ("random bodies", frames::random_bodies, GROWTH_BYTES, Said::Once),
    ("lengths and counts", fields::lengths, GROWTH_BYTES, Said::Once),
    ("tag buffers", fields::tags, GROWTH_BYTES, Said::Once),
    ("names", fields::names, GROWTH_BYTES, Said::Once),
    ("noise in requests", fields::noise, GROWTH_BYTES, Said::Once),
    ("lying batches", batches::lying_batches, GROWTH_BYTES, Said::Nothing),
    ("tight loops", floods::tight_loops, GROWTH_BYTES, Said::Nothing),
    ("10,000 pipelined", floods::pipelined, GROWTH_BYTES, Said::Nothing),
    ("never read records", slow::consumers, GROWTH_BYTES, Said::Nothing),
    ("never read answers", slow::askers, GROWTH_BYTES, Said::Perhaps),
    ("stop at 99 %", slow::producers, GROWTH_BYTES, Said::Perhaps),
    ("half-open", slow::half_open, GROWTH_BYTES, Said::Perhaps),
    ("2,000 connections", slow::two_thousand, GROWTH_BYTES, Said::Once),
    ("2,000 that ask", slow::two_thousand_asking, GROWTH_BYTES, Said::Once),
    ("joins and commits", floods::joins, TABLE_BYTES, Said::Nothing),
    ("producer ids", floods::producer_ids, TABLE_BYTES, Said::Nothing),
    ("topics", floods::topics, TABLE_BYTES, Said::Nothing),
];

/// What an attack did.
struct Figures {
    text: String,
    failures: Vec<String>,
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Waits for a new client to be served, as long as that may take.
fn greeted(victim: &Victim) -> Result<Duration, String> {
    let start = Instant::now();
    loop {
        match victim.greet() {
            Ok(_) => return Ok(start.elapsed()),
            Err(why) if start.elapsed() > GREETED_WITHIN => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn run(victim: &mut Victim, number: u8, row: &Row) -> Figures {
    let (name, attack, growth_max, said) = *row;
    let attacker = Attacker::new(victim.ottla.address, number);
    let before = victim.memory();
    let start = Instant::now();
    let (held, meanwhile) = victim.while_it_asks(|| attack(&attacker));
    let took = start.elapsed();
    let mut failures = Vec::new();
    let mut fail = |what: String| failures.push(format!("{name}: {what}"));
    let worst = meanwhile.unwrap_or_else(|what| {
        fail(format!("the well-behaved client, meanwhile: {what}"));
        Duration::ZERO
    });
    let Served { best, median } = victim.serve(SERVED_WITHIN).unwrap_or_else(|what| {
        fail(format!("the well-behaved client: {what}"));
        Served::default()
    });
    if best > SERVED_WITHIN {
        fail(format!("the well-behaved client was served in {best:?} at best"));
    }
    let new = greeted(victim).unwrap_or_else(|what| {
        fail(format!("a new client: {what}"));
        Duration::MAX
    });
    drop(held);
    let after: Memory = victim.memory();
    let grown = after.grown_since(&before);
    if grown > growth_max {
        fail(format!("memory grew by {} KiB", grown / 1024));
    }
    let lines = victim.lines_about(attacker.from);
    let repeated = lines.iter().filter(|(_, count)| **count > 1 + took.as_secs() as usize / 60);
    for (kind, count) in repeated {
        fail(format!("{count} lines in the log about {kind:?}"));
    }
    if said == Said::Nothing && !lines.is_empty() || said == Said::Once && lines.is_empty() {
        fail(format!("in the log: {lines:?}"));
    }
    let mut text = format!("{name:<20}");
    let (connections, requests) = (attacker.connections.get(), attacker.requests.get());
    write!(text, "{connections:>7}{requests:>8}{:>9.0}", milliseconds(took)).unwrap();
    let times = [best, median, worst].map(milliseconds);
    write!(text, "{:>8.2}{:>8.2}{:>8.0}", times[0], times[1], times[2]).unwrap();
    write!(text, "{:>8.0}", new.as_secs_f64().min(99.0) * 1e3).unwrap();
    write!(text, "{:>8}{:>9}", grown / 1024, (after.resident - after.file) / 1024).unwrap();
    write!(text, "{:>7}", lines.values().sum::<usize>()).unwrap();
    Figures { text, failures }
}

/// Enough descriptors for two thousand connections, if the system allows that.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
}

#[test]
fn whoever_attacks_others_are_served_and_memory_stays_as_it_is() {
    raise_descriptor_limit();
    let mut victim = Victim::start();
    let wanted = std::env::var("OTTLA_ATTACK").unwrap_or_default();
    let mut failures = Vec::new();
    let mut table = format!(
        "{:<20}{:>7}{:>8}{:>9}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}{:>7}\n",
        "attack",
        "conns",
        "sent",
        "took ms",
        "best",
        "median",
        "worst",
        "new ms",
        "+KiB",
        "anon KiB",
        "lines"
    );
    for (number, row) in ATTACKS.iter().enumerate().filter(|(_, row)| row.0.contains(&wanted)) {
        let figures = run(&mut victim, number as u8 + 1, row);
        table = table + &figures.text + "\n";
        println!("{}", figures.text);
        failures.extend(figures.failures);
        if !victim.ottla.is_alive() {
            failures.push(format!("{}: the process ended", row.0));
            break;
        }
    }
    let Memory { resident, file, .. } = victim.memory();
    if resident - file > MEMORY_BYTES {
        failures.push(format!("in the end it has {} KiB", (resident - file) / 1024));
    }
    let log = victim.ottla.log();
    if log.contains("panicked") {
        failures.push("somebody panicked".to_owned());
    }
    // A line of ours begins with a time of its own.
    let forged = |line: &&str| line.contains(fields::FORGED) && line.contains("2026-01-01T00:00");
    if let Some(line) = log.lines().find(forged) {
        failures.push(format!("a name became a line of the log: {line}"));
    }
    let around: Vec<_> = std::fs::read_dir(victim.directory()).unwrap().flatten().collect();
    if around.len() != 1 {
        failures.push(format!("files outside of the data directory: {around:?}"));
    }
    println!("{table}");
    assert!(failures.is_empty(), "{table}\n{}", failures.join("\n"));
}

#[test]
fn a_flood_of_connections_takes_no_seat_from_who_is_silent_for_a_while() {
    raise_descriptor_limit();
    let victim = Victim::start();
    let mut silent = support::raw::Raw::connect(victim.ottla.address);
    silent.ask(&support::raw::api_versions(1));
    // From five seconds on (`DISPLACE_IDLE_MS`) a seat may go to a new client.
    std::thread::sleep(Duration::from_millis(5_500));
    let attacker = Attacker::new(victim.ottla.address, 99);
    let held: Held = (0..300).map(|_| attacker.connect()).collect();
    silent.ask(&support::raw::api_versions(2));
    drop(held);
}
