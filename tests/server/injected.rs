//! System calls of the real binary that fail: strace answers instead of the kernel.
//!
//! A broker that runs is attached to, and is let go again: that the fault is over is part of a
//! test. Left out with a line where strace is missing or may not trace. Absent: short writes,
//! because strace can only claim one that did not happen (`disk::os` has tests for these).

use crate::support::clients::{read_all, text};
use crate::support::process::Ottla;
use crate::support::raw::{self, Raw, read_produce};
use crate::support::{status, wait_until};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const STORAGE_ERROR: i16 = 56;
const WRITES: &str = "pwrite64,pwritev,pwritev2";

/// strace, attached; it lets go when this does.
struct Injected(Child);

impl Injected {
    /// `None`, and a line that says why, where that cannot be.
    fn into(ottla: &Ottla, calls: &str, fault: &str) -> Option<Injected> {
        let strace = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:{fault}"), "-p", &ottla.id().to_string()])
            .stderr(Stdio::piped())
            .spawn();
        let mut strace = match strace {
            Ok(strace) => strace,
            Err(error) => {
                println!("left out: strace: {error}");
                return None;
            }
        };
        let mut line = String::new();
        BufReader::new(strace.stderr.take().unwrap()).read_line(&mut line).unwrap();
        if line.contains("attached") {
            return Some(Injected(strace));
        }
        println!("left out: {line}");
        strace.wait().unwrap();
        None
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        // SIGTERM, so that it lets go in order.
        let strace = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(strace, rustix::process::Signal::TERM).ok();
        self.0.wait().ok();
    }
}

/// Produces with acks=all on a new connection: the error, or `None` where it was closed.
fn produce(ottla: &Ottla, value: &str) -> Option<i16> {
    produce_to(ottla, "t", value)
}

fn produce_to(ottla: &Ottla, topic: &str, value: &str) -> Option<i16> {
    let mut raw = Raw::connect(ottla.address);
    raw.send(&raw::produce(3, -1, topic, value.as_bytes()));
    raw.receive().map(|(_, answer)| read_produce(&answer).0)
}

fn values(ottla: &Ottla) -> Vec<String> {
    read_all(&ottla.bootstrap(), "t", 0).iter().map(|it| text(it).to_owned()).collect()
}

/// What one fault did.
struct Seen {
    /// The producer that met it.
    first: Option<i16>,
    /// The next one.
    second: Option<i16>,
    /// `ottla status` after both.
    status: String,
    /// A producer after the fault was over.
    after: Option<i16>,
    /// What the log says.
    log: String,
}

/// A record before, two that meet the fault, and one after it; then the broker is killed and
/// started again, and everything that was acknowledged is there, and it takes records.
fn see(calls: &str, fault: &str) -> Option<Seen> {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    Raw::connect(ottla.address).ask(&raw::metadata(1, "t"));
    assert_eq!(produce(&ottla, "before"), Some(0));
    let injected = Injected::into(&ottla, calls, fault)?;
    let first = produce(&ottla, "first");
    let second = produce(&ottla, "second");
    // Reading goes on, whatever happened.
    assert_eq!(values(&ottla)[0], "before");
    let status = status(&ottla);
    drop(injected);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let after = produce(&ottla, "after");
    let log = ottla.log();
    ottla.kill();
    let ottla = Ottla::start(dir.path());
    let there = values(&ottla);
    for (value, answer) in
        [("before", Some(0)), ("first", first), ("second", second), ("after", after)]
    {
        let found = there.iter().filter(|it| *it == value).count();
        assert!(found == 1 || (found == 0 && answer != Some(0)), "{value} {answer:?}: {there:?}");
    }
    assert_eq!(produce(&ottla, "again"), Some(0), "after a restart it writes");
    wait_until("the last record", || values(&ottla).last().is_some_and(|it| it == "again"));
    Some(Seen { first, second, status, after, log })
}

/// Nothing is acknowledged, and it says so, until the next start.
fn stops(calls: &str, fault: &str) {
    let Some(seen) = see(calls, fault) else { return };
    // Nobody knows what became of the first record.
    assert_eq!((seen.first, seen.second), (None, Some(STORAGE_ERROR)));
    assert_eq!(seen.after, Some(STORAGE_ERROR), "it came back by itself");
    let said = seen.status.lines().find(|line| line.starts_with("storage")).unwrap_or_default();
    assert!(said.len() > "storage".len() && !said.ends_with(" ok"), "{}", seen.status);
    assert!(seen.log.contains("ERROR"), "{}", seen.log);
}

#[test]
fn a_failed_sync_ends_acknowledging_until_the_next_start() {
    stops("fdatasync", "error=EIO:when=1");
}

#[test]
fn a_failed_write_ends_acknowledging_until_the_next_start() {
    stops(WRITES, "error=EIO:when=1");
    stops(WRITES, "error=EROFS:when=1");
    // Where room was taken before, this is no full disk.
    stops(WRITES, "error=ENOSPC:when=1");
    // A write that makes no progress and says nothing.
    stops(WRITES, "retval=0:when=1");
}

/// Room is taken with `fallocate` before anything is written there.
#[test]
fn a_full_device_refuses_and_takes_records_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    Raw::connect(ottla.address).ask(&raw::metadata(1, "t"));
    assert_eq!(produce(&ottla, "before"), Some(0));
    let Some(injected) = Injected::into(&ottla, "fallocate", "error=ENOSPC") else { return };
    let large = "x".repeat(100_000);
    let mut taken = 0;
    while produce(&ottla, &large) == Some(0) {
        taken += 1;
        assert!(taken < 1_000, "it wants no room");
    }
    assert_eq!(produce(&ottla, &large), Some(STORAGE_ERROR), "refused, not cut off");
    let said = status(&ottla);
    assert!(said.contains("FULL"), "{said}");
    drop(injected);
    wait_until("room is found", || produce(&ottla, &large) == Some(0));
    let there = values(&ottla).len();
    assert!(there >= taken + 2, "{there} of {taken} and 2");
    ottla.kill();
    let ottla = Ottla::start(dir.path());
    assert_eq!(values(&ottla).len(), there);
    println!("{taken} taken, then none until there was room");
}

#[test]
fn interrupted_calls_go_on() {
    for calls in [WRITES, "fdatasync", "fallocate", "pread64"] {
        let Some(seen) = see(calls, "error=EINTR:when=1") else { return };
        assert_eq!((seen.first, seen.second, seen.after), (Some(0), Some(0), Some(0)));
    }
}

#[test]
fn a_read_that_fails_once_is_read_again() {
    let Some(seen) = see("pread64", "error=EIO:when=1") else { return };
    assert_eq!((seen.first, seen.second, seen.after), (Some(0), Some(0), Some(0)));
    assert!(!seen.log.contains("WARN") && !seen.log.contains("ERROR"), "{}", seen.log);
}

#[test]
fn a_new_topic_takes_nothing_where_no_file_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    Raw::connect(ottla.address).ask(&raw::metadata(1, "t"));
    assert_eq!(produce(&ottla, "before"), Some(0));
    let Some(injected) = Injected::into(&ottla, "openat,mkdirat", "error=EROFS") else { return };
    Raw::connect(ottla.address).ask(&raw::metadata(1, "new"));
    let new = produce_to(&ottla, "new", "nowhere");
    let old = produce(&ottla, "during");
    let said = status(&ottla);
    drop(injected);
    assert_eq!((new, old), (Some(STORAGE_ERROR), Some(0)), "{said}");
    assert!(said.contains("storage      ok"), "{said}");
    assert_eq!(values(&ottla)[0], "before");
    ottla.kill();
    let ottla = Ottla::start(dir.path());
    let there = values(&ottla);
    assert_eq!(there, ["before", "during"]);
    Raw::connect(ottla.address).ask(&raw::metadata(1, "new"));
    assert_eq!(produce_to(&ottla, "new", "again"), Some(0));
}
