//! What std does not do to processes: end one in order, end with one's parent, have a session.
//!
//! Promises: no process id is ever guessed; a caller holds the child, is it, or has just seen it to
//! be a broker (`kafka-server-stop.sh`). A refusal by the
//! kernel leaves things as they were, and nobody who asks can do anything about it.
//! Absent: starting processes, and everything std does.

use rustix::process::{self, Pid, Signal};
use std::os::unix::fs::MetadataExt;

/// Names the supervisor's process id to the broker that it starts.
pub const SUPERVISOR_VARIABLE: &str = "OTTLA_SUPERVISOR";

/// Asks a child for an orderly end (SIGTERM).
pub fn terminate(child: &std::process::Child) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(id) = id {
        process::kill_process(id, Signal::TERM).ok();
    }
}

/// The signal of a name as `kill -s` takes it.
pub fn signal_named(name: &str) -> Option<Signal> {
    match name.strip_prefix("SIG").unwrap_or(name) {
        "TERM" | "15" => Some(Signal::TERM),
        "INT" | "2" => Some(Signal::INT),
        "KILL" | "9" => Some(Signal::KILL),
        _ => None,
    }
}

/// Sends a signal; the error is what the kernel says.
pub fn send(id: i32, signal: Signal) -> std::io::Result<()> {
    let Some(id) = Pid::from_raw(id) else { return Ok(()) };
    Ok(process::kill_process(id, signal)?)
}

/// Leaves the terminal that this process was started from, as a daemon does.
pub fn leave_terminal() {
    process::setsid().ok();
}

/// A broker whose supervisor dies ends in order: the next supervisor shall find the data free.
///
/// Returns `false` if the supervisor is gone already.
pub fn end_with_supervisor() -> bool {
    let named = std::env::var(SUPERVISOR_VARIABLE).ok().and_then(|text| text.parse().ok());
    let Some(supervisor) = named.and_then(Pid::from_raw) else { return true };
    process::set_parent_process_death_signal(Some(Signal::TERM)).ok();
    // It may have died before the kernel knew what to do about that.
    process::getppid() == Some(supervisor)
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    own_user_id() == 0
}

/// The user that this process runs as; root where there is no `/proc`, which then has to show.
pub fn own_user_id() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |own| own.uid())
}
