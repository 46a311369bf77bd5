//! Brokers among the processes of this machine.
//!
//! Promises: only processes that run this very program, and run the broker, are found: never a
//! tool of ours, never another program of the same name. Absent: processes of other users, whose
//! program the kernel does not name (root sees all).

use std::fs;
use std::path::{Path, PathBuf};

/// The file behind a process.
fn program(id: &str) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{id}/exe")).ok()?;
    // An upgrade has put another file in its place.
    let text = path.to_str()?.strip_suffix(" (deleted)").map(PathBuf::from);
    Some(text.unwrap_or(path))
}

/// Whether a command line, its words ended by NUL, is a broker's.
fn is_broker(command_line: &[u8]) -> bool {
    let mut words = command_line.split(|byte| *byte == 0);
    let called = words.next().and_then(|word| std::str::from_utf8(word).ok()).unwrap_or_default();
    let name = Path::new(called).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    matches!(name, "kafka-server-start.sh" | "kafka-server-start") || words.next() == Some(b"serve")
}

/// The process ids of all brokers that run this program.
pub fn brokers() -> Vec<i32> {
    let own = program("self");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found: Vec<i32> = processes
        .filter_map(|entry| {
            let name = entry.file_name();
            let id: i32 = name.to_str()?.parse().ok()?;
            let command_line = fs::read(entry.path().join("cmdline")).ok()?;
            let ours = own.is_some() && program(name.to_str()?) == own;
            (ours && is_broker(&command_line)).then_some(id)
        })
        .filter(|id| u32::try_from(*id) != Ok(std::process::id()))
        .collect();
    found.sort_unstable();
    found
}

/// The broker that a process supervises, seen from the broker: who started it.
pub fn parent_command(id: i32) -> Option<Vec<u8>> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
    fs::read(format!("/proc/{parent}/cmdline")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_broker_is_a_broker() {
        for line in [
            &b"ottla\0serve\0"[..],
            b"/usr/bin/ottla\0serve\0--data\0d\0",
            b"/opt/kafka/bin/kafka-server-start.sh\0config/server.properties\0",
        ] {
            assert!(is_broker(line));
        }
        for line in [
            &b"ottla\0consume\0--topic\0serve\0"[..],
            b"kafka-topics.sh\0--list\0",
            b"/bin/sh\0kafka-server-start.sh\0",
            b"",
        ] {
            assert!(!is_broker(line));
        }
    }

    #[test]
    fn a_test_is_not_a_broker() {
        assert_eq!(brokers(), [0; 0]);
        assert!(parent_command(std::process::id() as i32).is_some());
    }
}
