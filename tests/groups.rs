//! The life of consumer groups: random members of every version do right and wrong, and every
//! answer of the broker is compared with what the rules allow.
//!
//! A life is a seed: who does what, one thing after another over real sockets. The rules are a
//! machine of their own (`groups/rules.rs`), written from Apache Kafka's coordinator, and Apache
//! Kafka itself is judged by them as well: `tests/groups/live`. Where the two brokers differ on
//! purpose stands in `groups/differences.rs`.
//!
//! `SEED=n cargo test --test groups` lives one life again, `SEED=n..m` as many as one likes. What
//! holds inside of the state machine is tested there (`src/state/groups`); here it is what clients
//! see.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says what is wrong")]

#[path = "groups/actors.rs"]
mod actors;
#[path = "groups/canaries.rs"]
mod canaries;
#[path = "groups/choices.rs"]
mod choices;
#[path = "groups/codec.rs"]
mod codec;
#[path = "groups/codes.rs"]
mod codes;
#[path = "groups/connection.rs"]
mod connection;
#[path = "groups/differences.rs"]
mod differences;
#[path = "groups/life.rs"]
mod life;
#[path = "groups/looks.rs"]
mod looks;
#[path = "groups/messages.rs"]
mod messages;
#[path = "groups/names.rs"]
mod names;
#[path = "server/support/process.rs"]
#[expect(dead_code, reason = "most of it is for the tests of the server")]
mod process;
#[path = "groups/rules.rs"]
mod rules;
#[path = "groups/sessions.rs"]
mod sessions;
#[path = "groups/worlds.rs"]
mod worlds;

use connection::{Connection, PATIENCE};
use differences::{Broker, KNOWN_DIFFERENCES};
use life::{Lived, PARTITIONS, Plan};
use process::Ottla;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Lives at a time: most of a life is waiting for the broker's disk.
const AT_A_TIME: usize = 12;

/// For `process.rs`.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(data: &std::path::Path) -> Ottla {
    let settings = [
        format!("group.min.session.timeout.ms={}", codes::SESSION_TIMEOUT_MS_MIN),
        format!("group.max.size={}", codes::GROUP_SIZE_MAX),
        "group.initial.rebalance.delay.ms=0".to_owned(),
    ];
    let mut arguments = vec!["--listen", "127.0.0.1:0"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    let ottla = Ottla::start_with(data, &arguments);
    looks::create_topic(&mut Connection::open(ottla.address), PARTITIONS);
    ottla
}

fn plan(seed: u64, timed: bool, broker: Broker, address: SocketAddr) -> Plan {
    Plan { seed, steps: if timed { 60 } else { 80 }, timed, broker, address }
}

/// The seeds to live: `default`, or what `SEED` asks for.
fn seeds(default: Range<u64>) -> Vec<u64> {
    let Ok(asked) = std::env::var("SEED") else { return default.collect() };
    let number = |text: &str| text.parse().expect("SEED=n or SEED=n..m");
    match asked.split_once("..") {
        Some((first, end)) => (number(first)..number(end)).collect(),
        None => vec![number(&asked)],
    }
}

/// Lives them all, several at a time; the first that went wrong is told in full.
fn live_all(plans: &[Plan]) -> Vec<Lived> {
    let next = AtomicUsize::new(0);
    let live_some = || {
        let plans = std::iter::from_fn(|| plans.get(next.fetch_add(1, Ordering::Relaxed)));
        plans.map(|plan| life::live(*plan)).collect::<Vec<_>>()
    };
    let verdicts: Vec<Result<Lived, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(live_some)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("told above")).collect()
    });
    let failed: Vec<&String> = verdicts.iter().filter_map(|it| it.as_ref().err()).collect();
    if let Some(first) = failed.first() {
        println!("{first}");
        for story in &failed {
            println!("{}\n", &story[story.find("\nseed ").unwrap_or(0)..]);
        }
        panic!("{} lives went wrong; again: SEED=n cargo test --test groups", failed.len());
    }
    verdicts.into_iter().filter_map(Result::ok).collect()
}

/// No row of the table is there for nothing.
fn all_differences_were_met(lived: &[Lived]) {
    for (difference, kafka, ottla, reason) in KNOWN_DIFFERENCES {
        let met = lived.iter().filter(|life| life.met.contains(&difference)).count();
        println!("{met:4} lives: Apache Kafka {kafka}; ottla {ottla}: {reason}");
        assert!(met > 0, "{difference:?} was not met");
    }
}

/// What was answered, and how often: a rule that no life comes by is not tested.
fn everything_was_answered(lived: &[Lived]) {
    let mut counts: BTreeMap<(&str, i16), usize> = BTreeMap::new();
    let answers = lived.iter().flat_map(|life| life.answers());
    answers.for_each(|answer| *counts.entry(answer).or_default() += 1);
    println!("{counts:?}");
    for (name, codes) in ANSWERS {
        for code in *codes {
            assert!(counts.contains_key(&(name, *code)), "no {name} was answered {code}");
        }
    }
}

/// By request, the error codes that some life must have seen.
const ANSWERS: &[(&str, &[i16])] = &[
    ("JoinGroup", &[0, 23, 25, 26, 79, 81, 82]),
    ("SyncGroup", &[0, 22, 23, 25, 27, 82]),
    ("Heartbeat", &[0, 22, 25, 27, 82]),
    ("LeaveGroup", &[0, 25, 82]),
    ("OffsetCommit", &[0, 22, 25, 27, 82]),
    ("DeleteGroups", &[0, 68, 69]),
    ("OffsetDelete", &[0, 68, 69, 86]),
];

/// What must have happened by itself in some life.
const TIMERS: [&str; 4] =
    ["session", "session of a static member", "id that was handed out", "sync of the leader"];

#[test]
fn whatever_members_do_the_answers_keep_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = start(dir.path());
    let seeds = seeds(0..300);
    let plans = seeds.iter().map(|seed| plan(*seed, false, Broker::Ottla, ottla.address));
    let lived = live_all(&plans.collect::<Vec<_>>());
    if seeds.len() > 1 {
        all_differences_were_met(&lived);
        everything_was_answered(&lived);
    }
}

/// Sessions end, rebalances and syncs run out of time, ids that were handed out expire.
#[test]
fn whatever_takes_too_long_ends_as_the_rules_say() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = start(dir.path());
    let seeds = seeds(1_000..1_050);
    let plans = seeds.iter().map(|seed| plan(*seed, true, Broker::Ottla, ottla.address));
    let lived = live_all(&plans.collect::<Vec<_>>());
    for timer in TIMERS {
        let fired = lived.iter().filter(|life| life.fired.contains(timer)).count();
        println!("{fired:4} lives: {timer}");
        assert!(fired > 0 || seeds.len() == 1, "{timer} never ran out");
    }
}

#[test]
fn every_lie_in_an_answer_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = start(dir.path());
    for seed in seeds(2_000..2_010) {
        let life = life::live(plan(seed, false, Broker::Ottla, ottla.address)).unwrap();
        let told = canaries::tell_lies(&life).unwrap_or_else(|it| panic!("seed {seed}: {it}"));
        assert!(told > 500, "seed {seed}: only {told} lies");
    }
}

/// The rules are Apache Kafka's: they must hold for it as well.
#[test]
#[ignore = "needs an Apache Kafka: tests/groups/live"]
fn live_against_apache_kafka() {
    let address = std::env::var("OTTLA_GROUPS_KAFKA").expect("OTTLA_GROUPS_KAFKA=host:port");
    let address: SocketAddr = address.parse().expect("an address");
    let mut connection = Connection::open(address);
    looks::create_topic(&mut connection, PARTITIONS);
    looks::await_coordinator(&mut connection);
    let mut seeds = [seeds(0..200), seeds(1_000..1_030)].concat();
    seeds.dedup();
    let plans = seeds.iter().map(|seed| plan(*seed, *seed >= 1_000, Broker::Kafka, address));
    let lived = live_all(&plans.collect::<Vec<_>>());
    if seeds.len() > 2 {
        all_differences_were_met(&lived);
        everything_was_answered(&lived);
    }
}
