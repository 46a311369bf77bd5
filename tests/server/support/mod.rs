//! What the end-to-end tests share: the broker's process, librdkafka's clients, and a bare socket.
//!
//! Promises: whatever a test starts is gone when it ends, also when it panics.
//! Absent: anything that knows how the broker works inside.

pub mod clients;
pub mod process;
pub mod raw;

use std::future::Future;
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
