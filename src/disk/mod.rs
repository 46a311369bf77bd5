//! The only door to the file system: a data directory, its files, and what makes them durable.
//!
//! Two implementations: [`os`] (the real one, through `rustix`) and [`sim`] (a disk in memory
//! that can lose power). The storage layer is written against the traits here and cannot tell
//! them apart, so that what the power-cut tests prove holds for the code that runs on a board.
//!
//! What is promised, and nothing more, is what a real disk promises:
//! - A write is visible to reads at once, and durable once a later [`DiskFile::sync`] (or its
//!   [`SyncJob`]) returned `Ok`. Until then any subset of it may survive a power cut, torn at
//!   512 bytes.
//! - A created, renamed or removed name is durable once a later [`Disk::open_dir`]'s sync returned
//!   `Ok`. Until then the name may be as before or as after.
//! - After a *failed* sync nothing is known about the bytes it covered, and a second sync proves
//!   nothing: the kernel has dropped the dirty pages. The storage layer stops acknowledging.
//!
//! Paths are relative to the data directory and use `/`. Nothing here retries, waits or reads a
//! clock, but for `EINTR` and short writes, which are finished here, and a read that failed, which
//! is tried once more. No sync and no write ever is.

pub mod os;
pub mod sim;
pub mod socket;

use core::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// Why a disk operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space left, or a quota reached (`ENOSPC`, `EDQUOT`).
    NoSpace,
    /// The device failed (`EIO`).
    Io,
    /// The file system is read-only (`EROFS`).
    ReadOnly,
    /// No such file or directory.
    NotFound,
    /// The name exists already, or a directory to remove is not empty.
    Exists,
    /// Not permitted (`EACCES`, `EPERM`).
    Denied,
    /// The file is shorter than what was asked for.
    UnexpectedEnd,
    /// Another process holds the lock.
    Locked,
    /// Anything else, with its `errno`.
    Other(i32),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::NoSpace => f.write_str("no space left on the device"),
            DiskError::Io => f.write_str("the device reported an input/output error"),
            DiskError::ReadOnly => f.write_str("the file system is read-only"),
            DiskError::NotFound => f.write_str("no such file or directory"),
            DiskError::Exists => f.write_str("the name exists already or is not empty"),
            DiskError::Denied => f.write_str("permission denied"),
            DiskError::UnexpectedEnd => f.write_str("the file is too short"),
            DiskError::Locked => f.write_str("another process has it locked"),
            DiskError::Other(errno) => write!(f, "system error {errno}"),
        }
    }
}

impl std::error::Error for DiskError {}

/// The result of a disk operation.
pub type DiskResult<T> = Result<T, DiskError>;

/// An open file; clones share it, and it stays readable after its name is gone.
pub type FileRef = Rc<dyn DiskFile>;

/// How [`Disk::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Must exist; reading only.
    Read,
    /// Must exist; reading and writing.
    Write,
    /// Created when missing, emptied when not; reading and writing.
    CreateEmpty,
    /// Created when missing, kept as it is when not; reading and writing.
    CreateOrKeep,
}

/// A sync that can be handed to the helper thread: everything written to the file, or every name
/// created in the directory, before [`SyncJob::run`] starts is durable when it returns `Ok`.
pub enum SyncJob {
    /// [`os::sync_descriptor`] on this descriptor.
    Os(Arc<OwnedFd>),
    /// Sleeps this long first, then syncs: a slow card for tests.
    Slow(core::time::Duration, Arc<OwnedFd>),
    /// Already done, with this result: the simulated disk syncs in place.
    Done(DiskResult<()>),
}

impl SyncJob {
    /// Runs the sync; blocks for as long as the device takes.
    ///
    /// # Errors
    /// Whatever the device said. See the module's third promise.
    pub fn run(self) -> DiskResult<()> {
        match self {
            SyncJob::Os(descriptor) => os::sync_descriptor(&descriptor),
            SyncJob::Slow(pause, descriptor) => {
                std::thread::sleep(pause);
                os::sync_descriptor(&descriptor)
            }
            SyncJob::Done(result) => result,
        }
    }
}

/// One open file (or directory, for syncing alone).
pub trait DiskFile {
    /// Reads into `buffer` from byte `at` on; returns how many bytes there were (0 at the end).
    ///
    /// # Errors
    /// What the device said.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> DiskResult<usize>;

    /// Writes all of `parts`, one behind the other, from byte `at` on.
    ///
    /// # Errors
    /// What the device said; any part of the bytes may have been written.
    fn write_at(&self, parts: &[&[u8]], at: u64) -> DiskResult<()>;

    /// Reserves space for `bytes` from `at` on without changing the file's length, so that
    /// writing there cannot run out of space. Returns false for file systems that cannot do that.
    ///
    /// # Errors
    /// [`DiskError::NoSpace`] above all.
    fn reserve(&self, at: u64, bytes: u64) -> DiskResult<bool>;

    /// Cuts the file, or lengthens it with zeros, to `length` bytes.
    ///
    /// # Errors
    /// What the device said.
    fn set_length(&self, length: u64) -> DiskResult<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the device said.
    fn length(&self) -> DiskResult<u64>;

    /// Whoever reads these bytes next shall read the device, if the system has them in memory
    /// and they are not to be written. A hint.
    fn forget(&self, at: u64, bytes: u64) {
        let _ = (at, bytes);
    }

    /// Makes what was written so far durable, in place: for start-up and for simulated disks.
    ///
    /// # Errors
    /// What the device said; see the module's third promise.
    fn sync(&self) -> DiskResult<()>;

    /// The same, to be run elsewhere.
    fn sync_job(&self) -> SyncJob;

    /// The descriptor to `sendfile` from, where there is one.
    fn descriptor(&self) -> Option<&Arc<OwnedFd>>;

    /// [`DiskFile::read_at`], and once more where the device failed: a single hiccup of a bus must
    /// not make a good block a rotten one. What fails twice is for the caller to judge.
    ///
    /// # Errors
    /// What the device said the second time.
    fn read_twice(&self, buffer: &mut [u8], at: u64) -> DiskResult<usize> {
        match self.read_at(buffer, at) {
            Err(DiskError::Io) => self.read_at(buffer, at),
            result => result,
        }
    }

    /// Fills `buffer` from byte `at` on.
    ///
    /// # Errors
    /// [`DiskError::UnexpectedEnd`] when the file ends before, or what the device said.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> DiskResult<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_twice(&mut buffer[done..], at + done as u64)? {
                0 => return Err(DiskError::UnexpectedEnd),
                count => done += count,
            }
        }
        Ok(())
    }
}

/// A path that stays within the data directory, or [`DiskError::Denied`].
///
/// No caller passes another: topic names are checked when they arrive. This is the second lock on
/// that door, because behind it lies the whole file system.
fn confined(path: &str) -> DiskResult<&str> {
    if path.starts_with('/') || path.split('/').any(|name| name == "..") {
        return Err(DiskError::Denied);
    }
    Ok(path)
}

/// A data directory.
pub trait Disk {
    /// Opens a file. A new name is durable after a sync of its directory, not before.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] where it must exist, or what the device said.
    fn open(&self, path: &str, mode: Open) -> DiskResult<FileRef>;

    /// Opens a directory in order to sync it; `""` is the data directory itself.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], or what the device said.
    fn open_dir(&self, path: &str) -> DiskResult<FileRef>;

    /// Creates a directory; one that exists already is fine. Parents must exist.
    ///
    /// # Errors
    /// What the device said.
    fn create_dir(&self, path: &str) -> DiskResult<()>;

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// What the device said.
    fn remove_file(&self, path: &str) -> DiskResult<()>;

    /// Removes an empty directory; one that is not there is fine.
    ///
    /// # Errors
    /// [`DiskError::Exists`] when it is not empty, or what the device said.
    fn remove_dir(&self, path: &str) -> DiskResult<()>;

    /// Renames a file, replacing what had the new name, atomically.
    ///
    /// # Errors
    /// What the device said.
    fn rename(&self, from: &str, to: &str) -> DiskResult<()>;

    /// The names in a directory and whether each is a directory, in no order.
    ///
    /// # Errors
    /// [`DiskError::NotFound`], or what the device said.
    fn list(&self, path: &str) -> DiskResult<Vec<(String, bool)>>;

    /// A file without a name, for bytes that nobody needs after a restart. It is never synced, and
    /// gone with its last handle.
    ///
    /// # Errors
    /// What the device said.
    fn temporary(&self) -> DiskResult<FileRef>;

    /// Bytes that all files and directories take, as `du` counts them.
    ///
    /// # Errors
    /// What the device said.
    fn used_bytes(&self) -> DiskResult<u64>;

    /// Bytes that can still be written by this user.
    ///
    /// # Errors
    /// What the device said; also where the file system does not know.
    fn free_bytes(&self) -> DiskResult<u64>;

    /// Bytes that this process has caused to be sent to devices since its start, as the kernel
    /// counts them, whole pages; `None` where nobody counts.
    fn written_bytes(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One random operation; what it answered, as text.
    fn step(disk: &dyn Disk, held: &mut Vec<FileRef>, random: u64) -> String {
        let paths = ["a", "b", "t", "t/a", "t/b", "t/u", "t/u/a", "a/b", "../a", "t//a"];
        let path = paths[(random >> 8) as usize % paths.len()];
        let other = paths[(random >> 16) as usize % paths.len()];
        let at = (random >> 24) % 9_000;
        let count = (random >> 40) % 9_000;
        let mode = [Open::Read, Open::Write, Open::CreateEmpty, Open::CreateOrKeep];
        let mode = mode[(random >> 20) as usize % 4];
        let pick = (random >> 32) as usize % held.len().max(1);
        match (random % 13, held.get(pick)) {
            (0, _) => format!("{:?}", disk.create_dir(path)),
            (1, _) => format!("{:?}", disk.remove_file(path)),
            (2, _) => format!("{:?}", disk.remove_dir(path)),
            // Directories may only be renamed on a real file system.
            (3, _) if disk.open_dir(path).is_ok() || disk.open_dir(other).is_ok() => String::new(),
            (3, _) => format!("{:?}", disk.rename(path, other)),
            (4, _) => {
                let names = disk.list(path).map(|mut names| {
                    names.sort();
                    names
                });
                format!("{names:?}")
            }
            (5, _) => format!("{:?}", disk.open_dir(path).and_then(|file| file.sync())),
            (6 | 7, _) => match disk.open(path, mode) {
                Ok(file) => {
                    held.push(file);
                    "open".to_owned()
                }
                Err(error) => format!("{error:?}"),
            },
            (8 | 9, Some(file)) => {
                let bytes = vec![random as u8; count as usize];
                format!("{:?}", file.write_at(&[&bytes, b"", b"tail"], at))
            }
            (10, Some(file)) => {
                let mut buffer = vec![1; count as usize];
                format!("{:?} {buffer:?}", file.read_at(&mut buffer, at))
            }
            (11, Some(file)) => format!("{:?} {:?}", file.set_length(at), file.sync()),
            (12, Some(file)) => {
                let reserved = file.reserve(at, count + 1);
                // A directory's length means nothing, and it cannot be reserved in.
                format!("{reserved:?} {:?}", reserved.and_then(|_| file.length()))
            }
            _ => String::new(),
        }
    }

    #[test]
    fn the_simulated_disk_answers_as_the_real_one_does() {
        for seed in 1..=40_u64 {
            let directory = tempfile::tempdir().unwrap();
            let real = os::OsDisk::open(directory.path()).unwrap();
            let simulated = sim::SimDisk::new();
            let (mut real_files, mut simulated_files) = (Vec::new(), Vec::new());
            let mut random = seed;
            for number in 0..150 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed * 2 + 1);
                let draw = random >> 3 ^ random << 40;
                let expected = step(&real, &mut real_files, draw);
                let answer = step(&simulated, &mut simulated_files, draw);
                assert!(expected == answer, "seed {seed}, step {number}: {expected} or {answer}");
            }
        }
    }
}
