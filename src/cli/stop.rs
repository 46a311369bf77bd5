//! Ctrl-C and SIGTERM as a flag that the loops look at, so that a member can leave its group.
//!
//! Promises: the first signal sets the flag, the second ends the process at once with the exit
//! code a shell expects (130). Absent: `unsafe`; the signals arrive through tokio, on a thread of
//! their own that sleeps otherwise.

use std::sync::atomic::{AtomicBool, Ordering};

static STOPPED: AtomicBool = AtomicBool::new(false);

/// The exit code of a program that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Whether a signal asked us to stop.
pub fn requested() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Starts to catch signals. Where that fails they end the process, as always.
pub fn watch() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (interrupt, terminate) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
            let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if STOPPED.swap(true, Ordering::Relaxed) {
                    std::process::exit(EXIT_INTERRUPTED);
                }
            }
        });
    });
}
