//! The log of a supervised broker: a file that cannot grow without bound.
//!
//! Promises: at most twice [`LOG_FILE_BYTES_MAX`]; a log that cannot be written stops nobody.
//! Absent: levels and times, which the lines bring along.

use crate::limits::LOG_FILE_BYTES_MAX;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where lines go.
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    bytes_max: u64,
}

impl LogFile {
    /// Appends to the file at `path`.
    pub fn open(path: &Path) -> LogFile {
        LogFile::with_limit(path, LOG_FILE_BYTES_MAX)
    }

    fn with_limit(path: &Path, bytes_max: u64) -> LogFile {
        let mut log = LogFile { path: path.to_owned(), file: None, bytes: 0, bytes_max };
        log.reopen();
        log
    }

    fn reopen(&mut self) {
        self.file = OpenOptions::new().create(true).append(true).open(&self.path).ok();
        let length = self.file.as_ref().and_then(|file| file.metadata().ok());
        self.bytes = length.map_or(0, |metadata| metadata.len());
    }

    /// Appends whole lines, or what there is of them.
    pub fn write(&mut self, text: &[u8]) {
        if self.bytes >= self.bytes_max || self.file.is_none() {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old).ok();
            self.reopen();
        }
        let Some(file) = &mut self.file else { return };
        if self.bytes < self.bytes_max && file.write_all(text).is_ok() {
            self.bytes += text.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_there_and_old_ones_make_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = LogFile::with_limit(&path, 100);
        for line in 0..1000 {
            log.write(format!("line {line}\n").as_bytes());
        }
        let (now, old) = (std::fs::read_to_string(&path).unwrap(), directory.path().join("log.1"));
        let old = std::fs::read_to_string(old).unwrap();
        assert!(now.ends_with("line 999\n"));
        assert!((now.len() + old.len()) < 250);
        let lines: Vec<String> = format!("{old}{now}").lines().map(str::to_owned).collect();
        let expected: Vec<String> =
            (1000 - lines.len()..1000).map(|line| format!("line {line}")).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_log_that_is_opened_again_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        LogFile::with_limit(&path, 100).write(b"a\n");
        LogFile::with_limit(&path, 100).write(b"b\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nobody() {
        LogFile::open(Path::new("/nonexistent/log")).write(b"a\n");
    }
}
