//! Cuts a scenario at every operation, in many variants, and looks at what comes up.

use crate::check::{self, Verdict};
use crate::driver::{Driver, Setup, start_time};
use crate::model::{End, Model, Moment};
use crate::scenarios::Scenario;
use ottla::broker::{self, Opened};
use ottla::disk::sim::SimDisk;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// How thoroughly to look.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of so many operations, one is cut at.
    pub every: usize,
    /// Variants of what survives, per operation.
    pub variants: u64,
    /// Of so many crash states, one has its own recovery cut at every operation; 0 for none.
    pub deeper_every: u64,
}

/// What was looked at.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The scenario.
    pub name: &'static str,
    /// Its operations.
    pub operations: u64,
    /// Those that a cut came right before.
    pub cut_at: u64,
    /// Disks on which a broker was started.
    pub states: u64,
    /// Those among them that were left by a cut in a recovery.
    pub deep: u64,
    /// Kinds of operation that were cut at.
    pub kinds: BTreeSet<String>,
}

/// The configuration with which brokers are started on what is left.
pub fn honest(scenario: &Scenario) -> Setup {
    Setup {
        config: (scenario.config)(),
        acknowledge: crate::driver::Acknowledge::Durable,
        wrap: |disk| Rc::new(disk.clone()),
    }
}

/// One crash state that is being looked at.
struct Explorer<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    tally: Tally,
}

/// Runs a scenario once, and starts a broker on everything that a cut can leave of it.
///
/// # Errors
/// The first promise that was broken, with all it takes to see it again.
pub fn explore(scenario: &Scenario, setup: &Setup, plan: Plan) -> Result<Tally, String> {
    let disk = SimDisk::new();
    disk.record();
    let mut driver = Driver::start(&disk, setup);
    (scenario.script)(&mut driver);
    let operations = disk.operations();
    let log = disk.operation_log();
    let kinds = log.iter().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    let tally = Tally { name: scenario.name, operations, kinds, ..Tally::default() };
    let mut explorer = Explorer { scenario, plan, tally };
    for report in &driver.reports {
        check_notes(&report.notes).map_err(|what| format!("{}: {what}", scenario.name))?;
    }
    for at in (0..=operations).step_by(plan.every) {
        let cut = disk.recorded(at).expect("recorded from the start");
        explorer.moment(&cut, driver.model_at(at), at).map_err(|what| {
            let tail = &log[(at as usize).saturating_sub(12)..at as usize];
            format!(
                "scenario '{}', cut at operation {at} of {operations}, {what}\n  before it: {}",
                scenario.name,
                tail.join("\n             ")
            )
        })?;
        explorer.tally.cut_at += u64::from(at < operations);
    }
    Ok(explorer.tally)
}

fn check_notes(notes: &[String]) -> Verdict {
    if notes.is_empty() { Ok(()) } else { Err(format!("a restart reported {notes:?}")) }
}

impl Explorer<'_> {
    fn moment(&mut self, cut: &SimDisk, model: &Model, at: Moment) -> Verdict {
        // The process alone can die, too: then nothing of what was written is lost.
        let killed = self.state(&cut.fork(), model, at, End::Process);
        killed.map_err(|what| format!("process killed: {what}"))?;
        let variants = if cut.unsynced() == 0 { 1 } else { self.plan.variants };
        for variant in 0..variants {
            let number = crash_number(variant, at);
            let what = self.state(&cut.after_cut(number), model, at, End::Power);
            what.map_err(|what| format!("after_cut({number}): {what}"))?;
        }
        Ok(())
    }

    /// Starts a broker on one disk, looks at it, lives on for a while, and cuts once more.
    fn state(&mut self, disk: &SimDisk, model: &Model, at: Moment, end: End) -> Verdict {
        self.tally.states += 1;
        let number = self.tally.states;
        let deeper = self.plan.deeper_every > 0 && number.is_multiple_of(self.plan.deeper_every);
        let before = disk.operations();
        if deeper {
            disk.record();
        }
        let mut opened = self.open_and_check(disk, model, at, end)?;
        let after = opened.1;
        if number.is_multiple_of(3) {
            let model = model.recovered(&opened.0.broker, at);
            let states = live_on(disk, &honest(self.scenario), opened.0, model, number);
            self.tally.states += states.map_err(|what| format!("living on: {what}"))?;
        } else {
            opened.0.broker.figures.connections = 0;
        }
        if deeper {
            for second in before..after {
                let cut = disk.recorded(second).expect("recorded");
                for variant in [0, 1, 5 + number + second] {
                    self.tally.states += 1;
                    self.tally.deep += 1;
                    let again = cut.after_cut(variant);
                    let verdict = self.open_and_check(&again, model, at, End::Power);
                    verdict.map(|_| ()).map_err(|what| {
                        let log = disk.operation_log();
                        let log = &log[..(second as usize).min(log.len())];
                        format!(
                            "recovery cut at its operation {second} after {before}, \
                             after_cut({variant}): {what}\n  recovery: {log:?}"
                        )
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The broker, and how many operations the disk had seen when it was up.
    fn open_and_check(
        &self,
        disk: &SimDisk,
        model: &Model,
        at: Moment,
        end: End,
    ) -> Result<(Opened, Moment), String> {
        let now = start_time();
        let config = (self.scenario.config)();
        let seed = u128::from(at) + 1_000_000;
        guarded(|| {
            let opened = broker::open(Rc::new(disk.clone()), config, seed, now);
            let mut opened = opened.map_err(|error| format!("does not start: {error:?}"))?;
            let up = disk.operations();
            let Opened { broker, report } = &mut opened;
            check::everything(broker, report, model, at, end, now)?;
            Ok((opened, up))
        })
    }
}

/// Which crash the nth variant is: nothing, everything, one of the other plain ones, and from
/// there on by turns torn sectors, any order of sectors, any writes, and a prefix or one file.
fn crash_number(variant: u64, at: Moment) -> u64 {
    match variant {
        0 | 1 => variant,
        2 => 2 + at % 3,
        _ => {
            let kind = (variant + at) % 4;
            let kind = if kind == 3 { 3 + at / 4 % 2 } else { kind };
            5 * (1 + at * 3 + variant) + kind
        }
    }
}

/// A panic is a broken promise like any other.
pub fn guarded<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// The broker takes new records, and what it acknowledges now survives the next cut. Returns how
/// many disks were looked at.
pub fn live_on(
    disk: &SimDisk,
    setup: &Setup,
    opened: Opened,
    model: Model,
    seed: u64,
) -> Result<u64, String> {
    let driver = guarded(|| {
        let mut driver = Driver::adopt(disk, setup, opened.broker, model);
        let broker = driver.broker.as_ref().expect("adopted");
        let topics = broker.topics().iter().map(|t| (t.name.to_owned(), t.partitions.len() as i32));
        let topics: Vec<(String, i32)> = topics.collect();
        driver.create("after", 1);
        for (name, partitions) in &topics {
            for partition in 0..*partitions {
                driver.append(name, partition, 2, 120);
                driver.append(name, partition, 1, 1_100 * (seed % 2) as usize);
                driver.commit(name, partition, 5);
            }
        }
        driver.append("after", 0, 1, 50);
        driver.flush();
        Ok(driver)
    })?;
    if driver.troubled {
        return Err("something was refused".into());
    }
    let at = disk.operations();
    let variants = [0, 5 + seed];
    for variant in variants {
        let crashed = disk.after_cut(variant);
        let now = start_time();
        guarded(|| {
            let opened = broker::open(Rc::new(crashed), setup.config.clone(), 9, now);
            let mut opened = opened.map_err(|error| format!("does not start: {error:?}"))?;
            let Opened { broker, report } = &mut opened;
            check::everything(broker, report, &driver.model, at, End::Power, now)
        })
        .map_err(|what| format!("then after_cut({variant}): {what}"))?;
    }
    Ok(variants.len() as u64)
}
