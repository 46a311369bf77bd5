//! The whole broker's life: clients, groups, the forwarder and upstream, years of it in a minute.
//!
//! A life is a list of steps drawn from a seed: records of all sizes, commits, deletions, power
//! cuts in the middle of anything, disks that fail, fill up and rot, a clock that jumps, a link
//! that comes and goes. Time is virtual. All along, and once everything works again, a checker
//! looks after each promise of the README (`sim/check.rs`). Of a life that breaks one, steps are
//! left out for as long as it still does; what is left is told.
//!
//! `SEED=n cargo test --test sim` lives one again, `SIM_LIVES=n` as many as that, and with
//! `SIM_TRACE=1` each tells its story.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says what is wrong")]

#[path = "forward/answers.rs"]
mod answers;
#[expect(dead_code, reason = "the lives of the forwarder use the rest")]
#[path = "forward/bugs.rs"]
mod bugs;
#[expect(dead_code, reason = "the lives of the forwarder use the rest")]
#[path = "forward/cluster.rs"]
mod cluster;
#[expect(dead_code, reason = "the lives of the forwarder use the rest")]
#[path = "forward/codes.rs"]
mod codes;
#[path = "forward/found.rs"]
mod found;
#[path = "forward/gateway.rs"]
mod gateway;
#[path = "forward/lives.rs"]
mod lives;
#[path = "forward/network.rs"]
mod network;
#[path = "forward/partition.rs"]
mod partition;
#[path = "forward/producers.rs"]
mod producers;
#[path = "forward/random.rs"]
mod random;
#[path = "forward/reads.rs"]
mod reads;
#[path = "forward/records.rs"]
mod records;
#[path = "forward/requests.rs"]
mod requests;
#[expect(dead_code, reason = "the lives of the forwarder use the rest")]
#[path = "forward/truth.rs"]
mod truth;
#[expect(dead_code, reason = "the lives of the forwarder use the rest")]
#[path = "forward/world.rs"]
mod world;

#[path = "power_cut/careless.rs"]
mod careless;

#[path = "sim/calm.rs"]
mod calm;
#[path = "sim/canaries.rs"]
mod canaries;
#[path = "sim/check.rs"]
mod check;
#[path = "sim/life.rs"]
mod life;
#[path = "sim/lived.rs"]
mod lived;
#[path = "sim/rot.rs"]
mod rot;
#[path = "sim/shrink.rs"]
mod shrink;
#[path = "sim/steps.rs"]
mod steps;

use canaries::Bug;
use lived::Lived;
use steps::{Plan, Step};

/// Lives of a run, unless it is said otherwise.
const LIVES: u64 = 400;

/// Beyond those of a run: lives that a change was made for.
const REMEMBERED: &[u64] = &[
    // The header of a batch had rotted that said how many records it holds: as soon as the log's
    // start was moved behind it, it was served in place of the one that held the new start.
    2_263,
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Lives these steps; a panic is the verdict.
fn guarded(plan: &Plan, steps: &[Step], bug: Bug, trace: bool) -> Result<Lived, String> {
    lives::guarded(|| life::live(plan, steps, bug, trace))
}

/// Lives many, on all processors: what came of them, and which went wrong.
fn live_all(seeds: core::ops::Range<u64>, bug: Bug) -> (Vec<Lived>, Vec<(u64, String)>) {
    std::panic::set_hook(Box::new(|_| {}));
    lives::live_all(seeds, |seed| {
        let plan = Plan::new(seed);
        life::live(&plan, &plan.steps, bug, false)
    })
}

/// A life that broke a promise, in as few steps as do it.
fn tell(seed: u64, what: &str) -> String {
    let plan = Plan::new(seed);
    std::panic::set_hook(Box::new(|_| {}));
    let (steps, again) =
        shrink::shrink(&plan.steps, what, |steps| guarded(&plan, steps, Bug::None, false).err());
    let _ = std::panic::take_hook();
    let count = plan.steps.len();
    let lines: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
    format!(
        "seed {seed}: {what}\n{} of its {count} steps are enough for: {again}\n  {:?}\n{}",
        steps.len(),
        plan.shape,
        lines.join("\n")
    )
}

#[test]
fn whatever_happens_in_years_every_promise_holds() {
    let began = std::time::Instant::now();
    if let Some(seed) = number("SEED") {
        let plan = Plan::new(seed);
        let trace = std::env::var_os("SIM_TRACE").is_some();
        match guarded(&plan, &plan.steps, Bug::None, trace) {
            Ok(lived) => println!("{lived:?}"),
            Err(what) => panic!("{}", tell(seed, &what)),
        }
        return;
    }
    let lives = number("SIM_LIVES").unwrap_or(LIVES);
    let (mut lived, mut failed) = live_all(0..lives, Bug::None);
    for seed in REMEMBERED.iter().filter(|seed| **seed >= lives) {
        let (one, wrong) = live_all(*seed..*seed + 1, Bug::None);
        lived.extend(one);
        failed.extend(wrong);
    }
    let mut sum = Lived::default();
    lived.iter().for_each(|one| sum.add(one));
    let years = sum.virtual_ms as f64 / (365.25 * 86_400_000.0);
    println!(
        "{} lives, {years:.1} years in {} ms: {sum:?}",
        lived.len(),
        began.elapsed().as_millis()
    );
    if let Some((seed, what)) = failed.first() {
        for (seed, what) in &failed {
            println!("seed {seed}: {}", what.lines().next().unwrap_or_default());
        }
        panic!("{} lives broke a promise\n{}", failed.len(), tell(*seed, what));
    }
    if lives >= LIVES {
        let rare = sum.rare();
        assert!(rare.is_empty(), "no life came by: {rare:?}");
    }
}
