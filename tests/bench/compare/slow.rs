//! Disks whose sync takes as long as that of a slow card, and what syncs cost on a given disk.
//!
//! `strace` holds up each fdatasync and fsync of the broker before it begins; with its seccomp
//! filter no other system call costs anything more (measured: 0.42 µs per write with and without).
//! It works the same way for every broker, while a preloaded library would miss those that enter
//! the kernel without the C library.
//!
//! Promises: how long a sync takes is measured through the same wrapper as the brokers.

use super::stats::quantile;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What becomes of a broker's syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// Nothing.
    Own,
    /// They are counted.
    Counted,
    /// They are counted and take so many milliseconds more.
    Slow(u32),
}

/// The argument by which this program runs itself below the wrapper.
const SYNC_LOOP: &str = "--sync-loop";

impl Syncs {
    /// The command that runs `program`; `trace` gets a line for each sync.
    ///
    /// With `-D` the tracer is the child and the broker keeps the process that we start.
    pub fn command(self, trace: &Path, program: &Path) -> Command {
        let slow = match self {
            Syncs::Own => return Command::new(program),
            Syncs::Counted => None,
            Syncs::Slow(ms) => Some(format!("inject=fdatasync,fsync:delay_enter={}", ms * 1000)),
        };
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none"]);
        command.args(["-e", "trace=fdatasync,fsync"]);
        if let Some(slow) = slow {
            command.args(["-e", &slow]);
        }
        command.arg("-o").arg(trace).arg(program);
        command
    }

    /// Whether this machine can do it.
    pub fn is_possible(self) -> bool {
        let trace = tempfile::NamedTempFile::new().expect("a temporary file");
        let status = self.command(trace.path(), Path::new("true")).status();
        status.is_ok_and(|status| status.success())
    }

    /// Seconds of a sync of a small write into a file of `directory`.
    pub fn seconds(self, directory: &Path, time: Duration) -> f64 {
        let trace = tempfile::NamedTempFile::new().expect("a temporary file");
        let itself = std::env::current_exe().expect("this program");
        let mut command = self.command(trace.path(), &itself);
        command.arg(SYNC_LOOP).arg(directory).arg(time.as_secs_f64().to_string());
        let output = command.output().expect("this program runs");
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().expect("seconds")
    }
}

/// A directory whose own syncs take no time, if there is one.
pub fn memory_directory(otherwise: &Path) -> PathBuf {
    let memory = Path::new("/dev/shm");
    if tempfile::tempdir_in(memory).is_ok() { memory.into() } else { otherwise.into() }
}

/// Whether this program is the child that [`Syncs::seconds`] has started.
pub fn was_asked_to_sync() -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(SYNC_LOOP) {
        return false;
    }
    let directory = arguments.next().expect("a directory");
    let seconds = arguments.next().and_then(|text| text.parse().ok()).expect("seconds");
    println!("{}", sync_loop(Path::new(&directory), Duration::from_secs_f64(seconds)));
    true
}

/// Seconds that a sync takes, in the middle: of a file that has its size, like a journal.
fn sync_loop(directory: &Path, time: Duration) -> f64 {
    let directory = tempfile::tempdir_in(directory).expect("a directory");
    let file = File::create(directory.path().join("ring")).expect("a file");
    file.write_all_at(&vec![1; 1 << 20], 0).expect("the disk has room");
    file.sync_all().expect("a sync");
    let (began, mut each) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let at = each.len() as u64 * 512 % (1 << 20);
        file.write_all_at(&[2; 512], at).expect("the disk has room");
        let before = Instant::now();
        file.sync_data().expect("a sync");
        each.push(before.elapsed().as_secs_f64());
    }
    quantile(&each, 0.5)
}
