//! `kafka-server-stop.sh`: ends the broker of this machine.
//!
//! Promises: like Kafka's script it ends every broker that this user may end and that runs this
//! program, by the signal in `SIGNAL` (TERM); unlike it, it returns when they have ended, or after
//! ten seconds. Absent: `--process-role` and `--node-id`: there is one role.

use super::broker_process::{brokers, parent_command};
use crate::cli::{note, process};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A broker ends within two seconds; a card that stalls may take longer.
const WAIT: Duration = Duration::from_secs(10);

/// How often we look whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the command.
pub fn run() -> ExitCode {
    let found = brokers();
    if found.is_empty() {
        writeln!(std::io::stdout(), "No kafka server to stop").ok();
        return ExitCode::FAILURE;
    }
    let name = std::env::var("SIGNAL").unwrap_or_else(|_| "TERM".to_owned());
    let Some(signal) = process::signal_named(&name) else {
        note(&format!("ottla: SIGNAL={name}: TERM, INT or KILL"));
        return ExitCode::FAILURE;
    };
    let mut code = ExitCode::SUCCESS;
    for id in &found {
        if is_service(parent_command(*id).as_deref().unwrap_or_default()) {
            note(&format!(
                "ottla: {id} is run by a service, which may start it again; \
                 `service ottla stop` (or `systemctl stop ottla`) ends both."
            ));
        }
        if let Err(error) = process::send(*id, signal) {
            note(&format!("ottla: process {id}: {error}"));
            code = ExitCode::FAILURE;
        }
    }
    let end = Instant::now() + WAIT;
    while Instant::now() < end && brokers().iter().any(|id| found.contains(id)) {
        std::thread::sleep(LOOK);
    }
    code
}

/// Whether the command line of a broker's parent is a supervisor's.
fn is_service(command_line: &[u8]) -> bool {
    let mut words = command_line.split(|byte| *byte == 0);
    let first = words.next().unwrap_or_default();
    first.ends_with(b"systemd") || words.next() == Some(b"supervise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_is_known_by_its_command_line() {
        assert!(is_service(b"/usr/local/bin/ottla\0supervise\0"));
        assert!(is_service(b"/lib/systemd/systemd\0--system\0"));
        assert!(!is_service(b"-bash\0"));
        assert!(!is_service(b""));
    }
}
