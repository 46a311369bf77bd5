//! Crashes of the real binary: power cuts under ext4, and `kill -9` under load.
//!
//! `POWER_CUT_FS_STATES=15000` and `POWER_CUT_FS_KILLS=1000` make long runs of it. The cuts need
//! root, /dev/fuse and loop devices, and are left out with a line where they are missing.
//!
//! Absent: file systems other than ext4; what the simulated disk knows of (`tests/power_cut.rs`).

#![cfg(not(target_env = "musl"))]

#[path = "power_cut_fs/cuts.rs"]
mod cuts;
#[path = "power_cut_fs/fuse.rs"]
mod fuse;
#[path = "power_cut_fs/load.rs"]
mod load;
#[expect(dead_code, reason = "what the other end-to-end tests need")]
#[path = "server/support/process.rs"]
mod process;
#[expect(dead_code, reason = "what the other end-to-end tests need")]
#[path = "server/support/raw.rs"]
mod raw;

use load::{Load, check};
use process::Ottla;
use std::time::{Duration, Instant};

/// How long anything may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
}

#[test]
fn whatever_a_cut_leaves_of_ext4_has_every_acknowledged_record() {
    let scratch = tempfile::tempdir().unwrap();
    let recording = match cuts::record(scratch.path(), 2_000) {
        Ok(recording) => recording,
        Err(what) => {
            println!("left out, as this machine does not allow it: {what}");
            return;
        }
    };
    let (length, flushes, told) = (recording.len(), recording.flushes, recording.told());
    println!("{told} records acknowledged, {length} writes and flushes, {flushes} flushes");
    assert!(flushes > 100, "only {flushes} flushes");
    let begun = Instant::now();
    let states = setting("POWER_CUT_FS_STATES", 300);
    let found = recording.replay(scratch.path(), states, false).unwrap();
    println!("{states} crash states, {found} records found, {:?}", begun.elapsed());
    assert!(found > states, "only {found} records to find");
    // A device that lies loses something, and that is seen.
    let lie = recording.replay(scratch.path(), 20, true).unwrap_err();
    println!("caught: {}", lie.lines().next().unwrap_or_default());
}

#[test]
fn kill_9_again_and_again_loses_nothing_acknowledged() {
    let (dir, mut random) = (tempfile::tempdir().unwrap(), Random(9));
    let (mut all, mut last) = (Vec::new(), 0);
    let kills = setting("POWER_CUT_FS_KILLS", 30);
    for round in 0..kills {
        let ottla = Ottla::start(dir.path());
        check(ottla.address, all[last..].iter()).unwrap_or_else(|what| panic!("{round}: {what}"));
        last = all.len();
        // Topics of several rounds in turn, so that logs grow over many kills.
        let name = format!("kill-{}", round / 10 % 5);
        let load = Load::start(ottla.address, &name, 4, &[-1, 1], || 0);
        wait_until("an acknowledged record", || load.count() > 0);
        std::thread::sleep(Duration::from_millis(random.below(120) as u64));
        ottla.kill();
        all.extend(load.end());
    }
    let ottla = Ottla::start(dir.path());
    let found = check(ottla.address, all.iter()).unwrap();
    println!("{kills} kills, {found} acknowledged records found");
    assert!(found > kills, "only {found} records");
}
