//! Reads that fail once, with `EIO`: in the life of a scenario, at a start, and while serving.
//!
//! A read that fails once is neither rot nor the end of a file: it is tried once more where it
//! matters, nothing is cut off, and everything is there as soon as the device answers again, also
//! after a start that gave up.

use crate::check;
use crate::driver::{Driver, start_time};
use crate::explore::{guarded, honest};
use crate::faults::start_and_check;
use crate::model::End;
use crate::scenarios::Scenario;
use ottla::broker::{self, Opened};
use ottla::disk::DiskError;
use ottla::disk::sim::SimDisk;
use std::rc::Rc;

type Runs = Result<u64, String>;

/// One run for each chosen read.
fn each(
    scenario: &Scenario,
    reads: u64,
    (first, step): (u64, usize),
    run: impl Fn(u64) -> Result<(), String>,
) -> Runs {
    let mut runs = 0;
    for number in (first..reads).step_by(step) {
        runs += 1;
        guarded(|| run(number))
            .map_err(|what| format!("scenario '{}', read {number}: {what}", scenario.name))?;
    }
    Ok(runs)
}

/// A scenario that was run to its end.
fn lived(scenario: &Scenario, fails: Option<u64>) -> (SimDisk, Driver) {
    let disk = SimDisk::new();
    if let Some(number) = fails {
        disk.fail_read_at(number, DiskError::Io);
    }
    let mut driver = Driver::start(&disk, &honest(scenario));
    (scenario.script)(&mut driver);
    (disk, driver)
}

/// Reads of a broker at work: of segments that are rolled, of restarts within the scenario.
///
/// # Errors
/// The first promise that was broken.
pub fn while_it_lives(scenario: &'static Scenario, chosen: (u64, usize)) -> Runs {
    let reads = lived(scenario, None).0.reads();
    each(scenario, reads, chosen, |number| {
        let (disk, driver) = lived(scenario, Some(number));
        let at = disk.operations();
        start_and_check(&disk.fork(), &driver, scenario, at, End::Process)
            .map_err(|what| format!("process started again: {what}"))?;
        for variant in [0, 1, 5 + number] {
            start_and_check(&disk.after_cut(variant), &driver, scenario, at, End::Power)
                .map_err(|what| format!("then after_cut({variant}): {what}"))?;
        }
        Ok(())
    })
}

/// Reads of a start, after a `kill -9` and after a power cut.
///
/// # Errors
/// The first promise that was broken.
pub fn at_a_start(scenario: &'static Scenario, chosen: (u64, usize)) -> Runs {
    let (disk, driver) = lived(scenario, None);
    let at = disk.operations();
    let (killed, cut) = (disk.fork(), disk.after_cut(1));
    let mut runs = 0;
    for (left, end) in [(killed, End::Process), (cut, End::Power)] {
        let whole = left.fork();
        let before = whole.reads();
        open(&whole, scenario)?;
        runs += each(scenario, whole.reads() - before, chosen, |number| {
            let left = left.fork();
            left.fail_read_at(before + number, DiskError::Io);
            // Started or not, it has cut nothing off that the next start could miss.
            let first = open(&left, scenario).map(drop);
            start_and_check(&left, &driver, scenario, at, end)
                .map_err(|what| format!("{end:?}, the start {first:?}, and then: {what}"))
        })?;
    }
    Ok(runs)
}

/// Reads of fetches: the same broker serves everything a moment later.
///
/// # Errors
/// The first promise that was broken.
pub fn while_serving(scenario: &'static Scenario, chosen: (u64, usize)) -> Runs {
    let (disk, driver) = lived(scenario, None);
    let (at, now) = (disk.operations(), start_time());
    let model = driver.model_at(at);
    let whole = disk.fork();
    let mut opened = open(&whole, scenario)?;
    let before = whole.reads();
    let Opened { broker, report } = &mut opened;
    check::everything(broker, report, model, at, End::Process, now)?;
    each(scenario, whole.reads() - before, chosen, |number| {
        let disk = disk.fork();
        let mut opened = open(&disk, scenario)?;
        disk.fail_read_at(disk.reads() + number, DiskError::Io);
        let Opened { broker, report } = &mut opened;
        let first = check::everything(broker, report, model, at, End::Process, now);
        let again = check::everything(broker, report, model, at, End::Process, now);
        again.map_err(|what| format!("answered {first:?}, and then: {what}"))
    })
}

fn open(disk: &SimDisk, scenario: &Scenario) -> Result<Opened, String> {
    let opened = broker::open(Rc::new(disk.clone()), (scenario.config)(), 3, start_time());
    opened.map_err(|error| format!("{error:?}"))
}
