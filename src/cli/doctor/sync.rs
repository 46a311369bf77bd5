//! How long a sync takes, measured; and whether that can be true of such a medium.
//!
//! Promises: the scratch file loses its name before anything is written, so that it vanishes with
//! this process however that ends; all its blocks are written and synced before the clock runs, as
//! the journal's are. Absent: a proof. A card that acknowledges from its cache looks like a fast
//! one; only a power cut tells.

use super::disk::Medium;
use super::finding::Finding;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of the scratch file, and of one write: a small commit of the journal.
const FILE_BYTES: usize = 256 * 1024;
const WRITE_BYTES: usize = 4096;

/// Syncs at most, and how long they may take together.
const SYNCS: usize = 100;
const MEASURE: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    pub p50_us: u64,
    pub p99_us: u64,
    /// What was written could be read.
    pub read_back: bool,
}

/// Writes and syncs in `directory`.
///
/// # Errors
/// What the system said.
pub fn measure(directory: &Path) -> std::io::Result<Measured> {
    let path = directory.join(format!(".ottla-doctor-{}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    let mut expected = vec![0; FILE_BYTES];
    file.write_all_at(&expected, 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(SYNCS);
    let begun = Instant::now();
    for round in 0..SYNCS {
        let at = round * WRITE_BYTES % FILE_BYTES;
        let part = &mut expected[at..at + WRITE_BYTES];
        part.fill((round as u8).wrapping_mul(31).wrapping_add(1));
        let before = Instant::now();
        file.write_all_at(part, at as u64)?;
        file.sync_data()?;
        times.push(u64::try_from(before.elapsed().as_micros()).unwrap_or(u64::MAX));
        if begun.elapsed() >= MEASURE {
            break;
        }
    }
    let mut found = vec![0; FILE_BYTES];
    file.read_exact_at(&mut found, 0)?;
    times.sort_unstable();
    let rank = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok(Measured { p50_us: rank(50), p99_us: rank(99), read_back: found == expected })
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:02} ms", us / 1000, us % 1000 / 10)
}

/// The shortest sync that a medium can do in truth: a disk that turns has to come round (7,200
/// turns a minute: 4 ms on average); the flash of an SD card or an eMMC takes some 300 µs to take
/// a page, and its controller writes more than one.
fn shortest_us(medium: Medium) -> u64 {
    match medium {
        Medium::Turns => 1_000,
        Medium::Card => 300,
        Medium::Other => 0,
    }
}

/// What the figures mean.
pub fn judge(measured: Measured, medium: Medium) -> Vec<Finding> {
    let Measured { p50_us, p99_us, read_back } = measured;
    let figures = format!("p50 {}, p99 {}", milliseconds(p50_us), milliseconds(p99_us));
    let mut findings = Vec::new();
    if !read_back {
        findings.push(Finding::fail(
            "sync",
            "what was written reads back differently: this medium is broken",
            "Replace it before anything is stored on it.",
        ));
    }
    findings.push(if p50_us < shortest_us(medium) {
        Finding::warn(
            "sync",
            format!(
                "{figures}: faster than such a medium can write; it may acknowledge from a cache \
                 that a power cut empties"
            ),
            "Cut the power under load and look at what is missing; use another card if it lies.",
        )
    } else if p99_us > 1_000_000 {
        Finding::warn(
            "sync",
            format!("{figures}: every acks=all waits that long now and then"),
            "A worn or slow card; one with an A1 or A2 mark, or an industrial one, is faster.",
        )
    } else {
        Finding::ok(
            "sync",
            format!("{figures} for 4 KiB; that it keeps them, only a power cut proves"),
        )
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn the_scratch_file_is_gone_and_was_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let measured = measure(directory.path()).unwrap();
        assert!(measured.read_back && measured.p50_us <= measured.p99_us);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(measure(&directory.path().join("missing")).is_err());
    }

    #[test]
    fn what_is_too_fast_or_too_slow_is_told() {
        let level = |p50_us, p99_us, medium| {
            judge(Measured { p50_us, p99_us, read_back: true }, medium)[0].level
        };
        assert_eq!(level(80, 90, Medium::Turns), Level::Warn);
        assert_eq!(level(80, 90, Medium::Card), Level::Warn);
        assert_eq!(level(80, 90, Medium::Other), Level::Ok);
        assert_eq!(level(4_000, 40_000, Medium::Card), Level::Ok);
        assert_eq!(level(4_000, 1_400_000, Medium::Card), Level::Warn);
        let broken = Measured { p50_us: 4_000, p99_us: 5_000, read_back: false };
        assert_eq!(judge(broken, Medium::Card)[0].level, Level::Fail);
    }

    #[test]
    fn times_are_milliseconds_with_two_digits() {
        assert_eq!(milliseconds(12_345), "12.34 ms");
        assert_eq!(milliseconds(50), "0.05 ms");
    }
}
