//! What the end-to-end tests share: the broker's process, librdkafka's clients, and a bare socket.
//!
//! Promises: whatever a test starts is gone when it ends, also when it panics.
//! Absent: anything that knows how the broker works inside.

pub mod clients;
pub mod process;
pub mod raw;

use process::{Ottla, run_to_end};
use std::future::Future;
use std::process::Command;
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

/// Runs librdkafka's admin futures, which need no runtime but something that polls them.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Runs a command of the binary: whether it succeeded, and what it said.
pub fn ottla(arguments: &[&str]) -> (bool, String) {
    let output = run_to_end(Command::new(env!("CARGO_BIN_EXE_ottla")).args(arguments));
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// What `ottla status` says of a broker.
pub fn status(broker: &Ottla) -> String {
    ottla(&["status", "--bootstrap-server", &broker.bootstrap()]).1
}
