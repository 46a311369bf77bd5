//! The log: one line an event on standard error.
//!
//! `LEVEL message`, with the time in front unless systemd's journal or syslog adds its own, and
//! with colour only on a terminal. Nothing is logged per request, so it needs no buffer.

use super::time_text::format_utc;
use crate::disk::os::wall_ms;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::{IsTerminal, Write};

struct Logger {
    colour: bool,
    time: bool,
}

static PLAIN: Logger = Logger { colour: false, time: false };
static TIMED: Logger = Logger { colour: false, time: true };
static COLOURED: Logger = Logger { colour: true, time: true };

/// Starts logging at `level` ("off" to "trace").
pub fn start(level: &str) {
    let level = level.parse().unwrap_or(LevelFilter::Info);
    // systemd sets this for what it connects to its journal, which knows the time itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let logger = match (std::io::stderr().is_terminal(), journal) {
        (true, _) => &COLOURED,
        (false, true) => &PLAIN,
        (false, false) => &TIMED,
    };
    // A second start, in tests, keeps the first logger.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug | Level::Trace => "\x1b[90m",
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ottla")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (on, off) = if self.colour { (colour(record.level()), "\x1b[0m") } else { ("", "") };
        let mut out = std::io::stderr().lock();
        if self.time {
            write!(out, "{} ", format_utc(wall_ms())).ok();
        }
        // A closed standard error is no reason to stop serving.
        writeln!(out, "{on}{:5}{off} {}", record.level(), record.args()).ok();
    }

    fn flush(&self) {}
}
