//! What these tests take from the end-to-end tests: the broker's process and a bare socket.

#[path = "../server/support/process.rs"]
pub mod process;
#[path = "../server/support/raw.rs"]
pub mod raw;

use std::time::{Duration, Instant};

/// How long anything may take that takes milliseconds. Machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `done` says so.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
