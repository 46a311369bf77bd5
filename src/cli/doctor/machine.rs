//! The machine: memory, descriptors, clock, and whether a service starts the broker.
//!
//! Promises: read from `/proc`, `/sys` and `/etc`; the parsers are pure. Absent: the kernel's own
//! word on whether the clock is synchronised (adjtimex), which no safe call gives.

use super::finding::Finding;
use crate::cli::board::{mebibytes, meminfo_row};
use crate::cli::serve::files_needed;
use crate::cli::time_text::format_utc;
use crate::config::BrokerConfig;
use crate::disk::os::wall_ms;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// 2025-01-01: no clock was right before this program was written.
const WRITTEN_MS: i64 = 1_735_689_600_000;

/// All there is to say.
pub fn check(config: &BrokerConfig) -> Vec<Finding> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let group = group_limit(&read("/proc/self/cgroup"));
    let memory = config.sizes.memory_bytes;
    let mut findings = judge_memory(&read("/proc/meminfo"), &read("/proc/swaps"), group, memory);
    findings.extend(judge_descriptors(&read("/proc/self/limits"), files_needed(config)));
    let newest = newest_ms(&config.log_dir);
    let synchronised = Path::new("/run/systemd/timesync/synchronized").exists();
    findings.push(judge_clock(wall_ms(), newest, synchronised));
    findings.push(service(Path::new("/")));
    findings
}

/// What the control group of this process allows, if it is of version 2.
fn group_limit(cgroup: &str) -> Option<u64> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let path = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')).join("memory.max");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn judge_memory(meminfo: &str, swaps: &str, group: Option<u64>, needed: u64) -> Vec<Finding> {
    let subject = "memory";
    let (Some(total), Some(free)) =
        (meminfo_row(meminfo, "MemTotal"), meminfo_row(meminfo, "MemAvailable"))
    else {
        return vec![Finding::note(subject, "the kernel does not say how much there is", "")];
    };
    let text = format!("{} free of {}", mebibytes(free), mebibytes(total));
    let text = format!("{text}; the broker takes {} at most", mebibytes(needed));
    let mut findings = vec![if free < needed {
        let advice = "End other programs, or choose a smaller board (--board).";
        Finding::warn(subject, format!("{text}, which may not be there"), advice)
    } else {
        Finding::ok(subject, text)
    }];
    if let Some(limit) = group.filter(|limit| *limit < needed) {
        findings.push(Finding::fail(
            subject,
            format!("the control group allows {} only: the kernel would end it", mebibytes(limit)),
            "Raise MemoryMax of the service, or choose a smaller board (--board).",
        ));
    }
    let swap: Vec<&str> = swaps.lines().skip(1).filter_map(|l| l.split(' ').next()).collect();
    if swap.iter().any(|name| !name.contains("zram")) {
        let text = format!("swap on {}: it wears a card, and makes answers late", swap.join(", "));
        findings.push(Finding::note(subject, text, "Use zram, or none."));
    }
    findings
}

fn judge_descriptors(limits: &str, (least, most): (u64, u64)) -> Option<Finding> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    // The broker raises the soft limit to the hard one.
    let hard = line.split_whitespace().nth(1)?.parse().unwrap_or(u64::MAX);
    let allowed = format!("{hard} open files are allowed");
    let advice =
        "Raise LimitNOFILE of the service (ulimit -Hn), or choose a smaller board (--board).";
    Some(if hard < least {
        let text = format!("{allowed}; the broker does not start with less than {least}");
        Finding::fail("files", text, advice)
    } else if hard < most {
        let text = format!("{allowed}; with everything in use the broker needs {most}");
        Finding::warn("files", text, advice)
    } else {
        Finding::ok("files", format!("{allowed}; the broker needs {most} at most"))
    })
}

/// The youngest change of this program and of what the broker keeps.
fn newest_ms(directory: &Path) -> i64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = files.chain(std::env::current_exe());
    all.filter_map(|path| Some(fs::metadata(path).ok()?.mtime() * 1000)).max().unwrap_or(0)
}

fn judge_clock(now_ms: i64, newest_ms: i64, synchronised: bool) -> Finding {
    const HOUR_MS: i64 = 3_600_000;
    let shown = format_utc(now_ms);
    let advice = "Install chrony or systemd-timesyncd, or fit a clock battery (RTC). Retention is \
                  not harmed: it counts running time.";
    if now_ms < WRITTEN_MS {
        let text = format!("it says {shown}, which is before this program was written");
        return Finding::warn("clock", text, advice);
    }
    if now_ms < newest_ms - HOUR_MS {
        let text = format!("it says {shown}, but files here are from {}", format_utc(newest_ms));
        return Finding::warn("clock", text, advice);
    }
    match synchronised {
        true => Finding::ok("clock", format!("{shown}, synchronised")),
        false => Finding::ok("clock", format!("{shown}; who sets it cannot be seen from here")),
    }
}

/// Whether an init starts the broker at boot. `root` is `/`.
fn service(root: &Path) -> Finding {
    let there = |path: &str| root.join(path).exists();
    let units = ["etc/systemd/system", "lib/systemd/system", "usr/lib/systemd/system"];
    let unit = units.iter().any(|path| there(&format!("{path}/ottla.service")));
    if !unit && !there("etc/init.d/ottla") {
        let advice = "`ottla install` makes one; nothing to do if you start it yourself.";
        return Finding::note("service", "none: nothing starts the broker at boot", advice);
    }
    let linked = |directory: &str| {
        let names = fs::read_dir(root.join(directory)).into_iter().flatten().flatten();
        let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.any(|name| name == "ottla" || (name.starts_with('S') && name.ends_with("ottla")))
    };
    let enabled = there("etc/systemd/system/multi-user.target.wants/ottla.service")
        || ["etc/rc2.d", "etc/rc3.d", "etc/rc.d", "etc/rc.d/rc3.d", "etc/runlevels/default"]
            .into_iter()
            .any(linked);
    match enabled {
        true => Finding::ok("service", "installed, and started at boot"),
        false => Finding::warn(
            "service",
            "installed, but not started at boot",
            "systemctl enable ottla (or: chkconfig ottla on; rc-update add ottla)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    const MEMINFO: &str = "MemTotal:         441084 kB\nMemAvailable:     102400 kB\n";

    fn worst(findings: &[Finding]) -> Level {
        findings.iter().map(|finding| finding.level).max().unwrap()
    }

    #[test]
    fn memory_is_measured_against_what_the_broker_takes() {
        let mebibyte = 1 << 20;
        let zram = "Filename Type Size\n/dev/zram0 partition 100\n";
        let card = "Filename Type Size\n/var/swap file 100\n";
        let level = |swaps, group, needed| worst(&judge_memory(MEMINFO, swaps, group, needed));
        assert_eq!(level("", None, 10 * mebibyte), Level::Ok);
        assert_eq!(level(zram, None, 10 * mebibyte), Level::Ok);
        assert_eq!(level(card, None, 10 * mebibyte), Level::Note);
        assert_eq!(level("", None, 200 * mebibyte), Level::Warn);
        assert_eq!(level("", Some(8 * mebibyte), 10 * mebibyte), Level::Fail);
        assert_eq!(worst(&judge_memory("", "", None, 0)), Level::Note);
    }

    #[test]
    fn the_hard_limit_of_files_counts() {
        let limits = "Limit  Soft  Hard  Units\nMax open files    1024    4096    files\n";
        assert_eq!(judge_descriptors(limits, (1_000, 2_000)).unwrap().level, Level::Ok);
        assert_eq!(judge_descriptors(limits, (1_000, 5_000)).unwrap().level, Level::Warn);
        // `serve` does not start there: `check_descriptors`.
        assert_eq!(judge_descriptors(limits, (5_000, 9_000)).unwrap().level, Level::Fail);
        let unlimited = "Max open files    1024    unlimited    files\n";
        assert_eq!(judge_descriptors(unlimited, (5_000, 9_000)).unwrap().level, Level::Ok);
        assert_eq!(judge_descriptors("", (1, 1)), None);
    }

    #[test]
    fn a_clock_that_lags_behind_its_own_files_is_wrong() {
        let today = WRITTEN_MS + 1;
        assert_eq!(judge_clock(0, 0, true).level, Level::Warn);
        assert_eq!(judge_clock(today, today + 7_200_000, true).level, Level::Warn);
        assert_eq!(judge_clock(today, today, true).level, Level::Ok);
    }

    #[test]
    fn a_service_is_installed_and_enabled_or_not() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(service(root.path()).level, Level::Note);
        fs::create_dir_all(root.path().join("etc/init.d")).unwrap();
        fs::create_dir_all(root.path().join("etc/rc3.d")).unwrap();
        fs::write(root.path().join("etc/init.d/ottla"), "").unwrap();
        assert_eq!(service(root.path()).level, Level::Warn);
        fs::write(root.path().join("etc/rc3.d/S85ottla"), "").unwrap();
        assert_eq!(service(root.path()).level, Level::Ok);
    }
}
