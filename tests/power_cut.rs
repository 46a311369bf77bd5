//! What a power cut leaves, at every moment: the broker on a simulated disk.
//!
//! A scenario is run once and recorded; then a broker is started on every disk that a cut at any
//! of its operations could have left, and everything that the first one promised is checked
//! (`check`). To look closer at one failure, take scenario, operation and `after_cut` number from
//! its message.

#[path = "power_cut/careless.rs"]
mod careless;
#[path = "power_cut/check.rs"]
mod check;
#[path = "power_cut/driver.rs"]
mod driver;
#[path = "power_cut/explore.rs"]
mod explore;
#[path = "power_cut/faults.rs"]
mod faults;
#[path = "power_cut/model.rs"]
mod model;
#[path = "power_cut/read_faults.rs"]
mod read_faults;
#[path = "power_cut/scenarios.rs"]
mod scenarios;

use explore::{Plan, Tally, explore, honest};
use ottla::disk::DiskError;
use scenarios::{ALL, Scenario, named};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const PLAN: Plan = Plan { every: 1, variants: 7, deeper_every: 101 };

/// Where an emulated CPU is slow, POWER_CUT_EVERY=n looks at every nth operation.
fn every_nth() -> usize {
    std::env::var("POWER_CUT_EVERY").map_or(1, |n| n.parse().expect("a number of operations"))
}

/// For a long run, POWER_CUT_VARIANTS=n looks at n variants of what survives, per operation.
fn variants() -> u64 {
    let number = std::env::var("POWER_CUT_VARIANTS");
    number.map_or(PLAN.variants, |n| n.parse().expect("a number of variants"))
}

fn run_all(run: impl Fn(&'static Scenario) -> Result<Tally, String> + Sync) -> Vec<Tally> {
    let chosen = std::env::var("POWER_CUT_SCENARIO").ok();
    let wanted = |s: &&Scenario| chosen.as_deref().is_none_or(|name| s.name == name);
    let scenarios: Vec<&'static Scenario> = ALL.iter().filter(wanted).collect();
    let (next, tallies) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match run(scenario) {
                        Ok(tally) => tallies.lock().expect("no thread panics").push(tally),
                        Err(what) => broken.lock().expect("no thread panics").push(what),
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().expect("no thread panics");
    assert!(broken.is_empty(), "broken promises:\n{}", broken.join("\n\n"));
    tallies.into_inner().expect("no thread panics")
}

#[test]
fn whatever_a_cut_leaves_of_any_scenario_comes_up_with_all_that_was_promised() {
    let started = std::time::Instant::now();
    let plan = Plan { every: every_nth(), variants: variants(), ..PLAN };
    let tallies = run_all(|scenario| {
        let begun = std::time::Instant::now();
        let tally = explore::guarded(|| explore(scenario, &honest(scenario), plan))?;
        println!(
            "{:24} {:5} operations {:6} crash states ({:5} of recoveries) {:5} ms",
            tally.name,
            tally.operations,
            tally.states,
            tally.deep,
            begun.elapsed().as_millis()
        );
        Ok(tally)
    });
    let states: u64 = tallies.iter().map(|tally| tally.states).sum();
    println!("{states} crash states in {} ms", started.elapsed().as_millis());
    let operations: u64 = tallies.iter().map(|tally| tally.operations).sum();
    let cut_at: u64 = tallies.iter().map(|tally| tally.cut_at).sum();
    println!("{cut_at} of {operations} operations were cut at");
    let kinds: BTreeSet<&str> =
        tallies.iter().flat_map(|tally| &tally.kinds).map(String::as_str).collect();
    if tallies.len() == ALL.len() && plan.every == 1 {
        assert!(states >= 50_000 || variants() < PLAN.variants, "only {states} crash states");
        assert_eq!(cut_at, operations, "operations that no cut came before");
        let all = ["create", "create_dir", "remove", "remove_dir", "rename"];
        let all = all.into_iter().chain(["reserve", "set_length", "sync", "write"]);
        assert_eq!(kinds, all.collect());
    }
}

/// Both wrong variants are wrong everywhere; a few scenarios show that the checker sees it.
const SHORT: [&str; 5] = [
    "group commit",
    "large batches",
    "large before references",
    "topics come and go",
    "idempotent producers",
];

#[test]
fn a_broker_that_acknowledges_before_the_sync_is_caught() {
    for name in SHORT {
        let found = faults::acknowledged_when_written(named(name)).unwrap_err();
        println!("{name}: caught: {}", found.lines().next().unwrap_or_default());
    }
}

#[test]
fn a_disk_that_does_not_sync_directories_is_caught() {
    for name in SHORT {
        let found = faults::directories_not_synced(named(name)).unwrap_err();
        println!("{name}: caught: {}", found.lines().next().unwrap_or_default());
    }
}

#[test]
fn a_disk_that_does_not_sync_segments_is_caught() {
    for name in ["large batches", "large before references", "mixed, large ahead"] {
        let found = faults::segments_not_synced(named(name)).unwrap_err();
        println!("{name}: caught: {}", found.lines().next().unwrap_or_default());
    }
}

/// Every call fails once; where POWER_CUT_EVERY takes a sample, the first moves on from day to day.
fn sample() -> (u64, usize) {
    let today = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400);
    (today % every_nth() as u64, every_nth())
}

fn runs_of(run: impl Fn(&'static Scenario) -> Result<u64, String> + Sync) -> u64 {
    let tally = |scenario: &'static Scenario| {
        Ok(Tally { name: scenario.name, states: run(scenario)?, ..Tally::default() })
    };
    run_all(tally).iter().map(|tally| tally.states).sum()
}

#[test]
fn whichever_operation_fails_nothing_acknowledged_is_lost() {
    let (first, every) = sample();
    for error in [DiskError::NoSpace, DiskError::Io, DiskError::ReadOnly] {
        let runs = runs_of(|s| faults::each_operation_fails(s, error, (first, every)));
        println!("{error:?}: {runs} runs, each {every} operations from {first} on");
    }
}

#[test]
fn whichever_read_fails_nothing_is_lost_or_forgotten() {
    let (first, every) = sample();
    let lived = runs_of(|s| read_faults::while_it_lives(s, (first, every)));
    let started = runs_of(|s| read_faults::at_a_start(s, (first, every)));
    let served = runs_of(|s| read_faults::while_serving(s, (first, every)));
    println!("{lived} reads of lives, {started} of starts, {served} of fetches failed");
}
