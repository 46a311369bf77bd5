//! Who has a data directory, and waiting for one who is on his way out.
//!
//! A broker that was killed while its card was writing goes on holding its lock until the card is
//! done, which may be seconds after a shell says that it is dead. Whoever starts the next one at
//! once shall not be told that another one runs.
//!
//! Promises: a broker that lives is seen at once. Absent: taking the lock (`disk::os`).

use crate::disk::DiskError;
use crate::disk::os::{LOCK_NAME, OsDisk};
use crate::limits::{LOCK_LOOK_MS, LOCK_WAIT_MS};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The process that `/proc/locks` names for the file with this inode.
fn lock_holder(locks: &str, inode: u64) -> Option<i32> {
    locks.lines().find_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, id, place, ..] = cells[..] else { return None };
        let found = place.rsplit(':').next()?.parse() == Ok(inode);
        found.then(|| id.parse().ok())?
    })
}

/// The broker that runs on a data directory.
pub fn holder(directory: &Path) -> Option<i32> {
    let inode = fs::metadata(directory.join(LOCK_NAME)).ok()?.ino();
    lock_holder(&fs::read_to_string("/proc/locks").ok()?, inode)
}

/// Whether a process is dead but for what the kernel finishes for it, or is about to be: what
/// `/proc/PID/status` says; nothing if it is gone.
fn is_ending(status: Option<&str>) -> bool {
    const SIGKILL: u64 = 1 << 8;
    let Some(status) = status else { return true };
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let pending = |name: &str| value(name).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    value("State:").is_some_and(|state| state.starts_with(['Z', 'X']))
        || ["SigPnd:", "ShdPnd:"].iter().any(|name| pending(name).unwrap_or(0) & SIGKILL != 0)
}

/// Opens the data directory for a broker.
///
/// # Errors
/// A sentence with the directory in it.
pub fn open(data: &Path) -> Result<OsDisk, String> {
    let began = Instant::now();
    let shown = data.display();
    let mut told = false;
    loop {
        let error = match OsDisk::open(data) {
            Ok(disk) => return Ok(disk),
            Err(error) => error,
        };
        if error != DiskError::Locked {
            return Err(format!("cannot use the data directory {shown}: {error}"));
        }
        let status = |id: i32| fs::read_to_string(format!("/proc/{id}/status")).ok();
        let ends = holder(data).is_none_or(|id| is_ending(status(id).as_deref()));
        if !ends || began.elapsed() >= Duration::from_millis(LOCK_WAIT_MS) {
            return Err(format!(
                "another ottla is running on the data directory {shown}; stop that one, or choose \
                 another directory with --data DIR"
            ));
        }
        if !core::mem::replace(&mut told, true) {
            log::info!("the last ottla on {shown} is still ending: waiting for it");
        }
        std::thread::sleep(Duration::from_millis(LOCK_LOOK_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_of_locks_names_the_holder() {
        let locks = "1: POSIX  ADVISORY  WRITE 18 fe:00:7 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 19 fe:00:7 0 EOF\n";
        assert_eq!(lock_holder(locks, 7), Some(19));
        assert_eq!(lock_holder(locks, 8), None);
        assert_eq!(lock_holder("", 7), None);
    }

    #[test]
    fn a_disk_that_is_open_is_held_by_us_and_we_are_alive() {
        let directory = tempfile::tempdir().unwrap();
        let disk = OsDisk::open(directory.path()).unwrap();
        assert_eq!(holder(directory.path()), Some(std::process::id() as i32));
        let began = Instant::now();
        let refused = open(directory.path()).err().unwrap();
        assert!(refused.contains("another ottla is running"));
        assert!(began.elapsed() < Duration::from_millis(LOCK_WAIT_MS), "at once");
        drop(disk);
        assert_eq!(holder(directory.path()), None);
        assert!(open(directory.path()).is_ok());
    }

    #[test]
    fn who_is_killed_or_dead_is_ending() {
        let status = |state: &str, mine: &str, shared: &str| {
            format!("Name:\tottla\nState:\t{state}\nSigPnd:\t{mine}\nShdPnd:\t{shared}\n")
        };
        let none = "0000000000000000";
        assert!(!is_ending(Some(&status("S (sleeping)", none, none))));
        assert!(!is_ending(Some(&status("D (disk sleep)", none, "0000000000004000"))), "SIGTERM");
        assert!(is_ending(Some(&status("Z (zombie)", none, none))));
        assert!(is_ending(Some(&status("D (disk sleep)", "0000000000000100", none))));
        assert!(is_ending(Some(&status("D (disk sleep)", none, "0000000000000100"))));
        assert!(is_ending(None));
    }
}
