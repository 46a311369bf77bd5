//! Disks that lie, brokers that acknowledge too early, and operations that fail.

use crate::careless::{Careless, Forgotten};
use crate::check;
use crate::driver::{Acknowledge, Driver, Setup, start_time};
use crate::explore::{Plan, Tally, explore, guarded, honest};
use crate::model::End;
use crate::scenarios::Scenario;
use ottla::broker::{self, Opened};
use ottla::disk::sim::SimDisk;
use ottla::disk::{Disk, DiskError};
use std::rc::Rc;

const WRONG: Plan = Plan { every: 1, variants: 11, deeper_every: 0 };

/// Acknowledging what is written and not synced: the answer of the same explorer.
pub fn acknowledged_when_written(scenario: &'static Scenario) -> Result<Tally, String> {
    let setup = Setup { acknowledge: Acknowledge::Written, ..honest(scenario) };
    explore(scenario, &setup, WRONG)
}

/// Directories that are never synced: the answer of the same explorer.
pub fn directories_not_synced(scenario: &'static Scenario) -> Result<Tally, String> {
    let wrap: fn(&SimDisk) -> Rc<dyn Disk> =
        |disk| Rc::new(Careless(disk.clone(), Forgotten::Directories));
    explore(scenario, &Setup { wrap, ..honest(scenario) }, WRONG)
}

/// Segments that are never synced: the answer of the same explorer.
pub fn segments_not_synced(scenario: &'static Scenario) -> Result<Tally, String> {
    let wrap: fn(&SimDisk) -> Rc<dyn Disk> =
        |disk| Rc::new(Careless(disk.clone(), Forgotten::Segments));
    explore(scenario, &Setup { wrap, ..honest(scenario) }, WRONG)
}

/// Lets operations of a scenario fail, every `step`th from `first` on, one run each; returns the
/// number of runs.
///
/// # Errors
/// The first promise that was broken.
pub fn each_operation_fails(
    scenario: &'static Scenario,
    error: DiskError,
    (first, step): (u64, usize),
) -> Result<u64, String> {
    let disk = SimDisk::new();
    (scenario.script)(&mut Driver::start(&disk, &honest(scenario)));
    let mut runs = 0;
    for number in (first..disk.operations()).step_by(step) {
        runs += 1;
        guarded(|| one_fails(scenario, error, number)).map_err(|what| {
            format!("scenario '{}', {error:?} at operation {number}: {what}", scenario.name)
        })?;
    }
    Ok(runs)
}

fn one_fails(scenario: &'static Scenario, error: DiskError, number: u64) -> Result<(), String> {
    let setup = honest(scenario);
    let disk = SimDisk::new();
    disk.fail_at(number, error);
    let mut driver = Driver::start(&disk, &setup);
    (scenario.script)(&mut driver);
    let log = disk.operation_log();
    let operation = log.get(number as usize).cloned().unwrap_or_default();
    let context = |what| format!("'{operation}': {what}");
    // Where a directory could not be synced, journalling file systems go read-only (ext4 aborts
    // its journal); the simulated one goes on, and a broker started again would believe it.
    let is_file = |name: &str| operation.ends_with(name);
    let directory =
        operation.starts_with("sync") && !["journal", ".log", ".new"].into_iter().any(is_file);
    let restarted = driver.past.iter().skip(1).any(|(until, _)| *until > number);
    if directory && restarted {
        return Ok(());
    }
    if let (Some(broker), true) = (&driver.broker, operation.starts_with("sync")) {
        // A broker that was started again since has every right to acknowledge.
        if broker.storage().failed().is_none() && !restarted {
            return Err(context("a failed sync, and acknowledging goes on".into()));
        }
    }
    let at = disk.operations();
    // The process may be started again before the machine is.
    if !directory {
        start_and_check(&disk.fork(), &driver, scenario, at, End::Process)
            .map_err(|what| context(format!("process started again: {what}")))?;
    }
    for variant in [0, 1, 5 + number, 6 + number] {
        start_and_check(&disk.after_cut(variant), &driver, scenario, at, End::Power)
            .map_err(|what| context(format!("then after_cut({variant}): {what}")))?;
    }
    Ok(())
}

/// Starts a broker on what is left, checks every promise, and lives on for a while.
///
/// # Errors
/// The first promise that was broken.
pub fn start_and_check(
    disk: &SimDisk,
    driver: &Driver,
    scenario: &Scenario,
    at: u64,
    end: End,
) -> Result<(), String> {
    let (config, now) = ((scenario.config)(), start_time());
    let opened = broker::open(Rc::new(disk.clone()), config.clone(), 3, now);
    let mut opened = opened.map_err(|error| format!("does not start: {error:?}"))?;
    let Opened { broker, report } = &mut opened;
    check::everything(broker, report, driver.model_at(at), at, end, now)?;
    if end == End::Process {
        // What it serves now must survive the power, too.
        let model = driver.model_at(at).recovered(broker, at);
        let mut goes_on = Driver::adopt(disk, &honest(scenario), opened.broker, model);
        goes_on.flush();
        goes_on.checkpoint();
        goes_on.flush();
        for variant in [0, 7 + at] {
            let opened = broker::open(Rc::new(disk.after_cut(variant)), config.clone(), 4, now);
            let mut opened = opened.map_err(|error| format!("does not start: {error:?}"))?;
            let Opened { broker, report } = &mut opened;
            let (at, model) = (disk.operations(), &goes_on.model);
            check::everything(broker, report, model, at, End::Power, now)
                .map_err(|what| format!("and after_cut({variant}): {what}"))?;
        }
    }
    Ok(())
}
