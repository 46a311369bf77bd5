//! Planted bugs: the mistakes that brokers have made with people's records. Each must be found.

use crate::bugs::ahead;
use crate::gateway::{Make, honest};
use crate::live_all;
use ottla::disk::sim::SimDisk;
use ottla::disk::{Disk, DiskFile, DiskResult, FileRef, Open, SyncJob};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// None.
    None,
    /// Acknowledging what is in the page cache.
    AcknowledgedWhenWritten,
    /// Forgetting that a file's name must be synced, too.
    DirectoriesNotSynced,
    /// Taking rot in the middle of a log for its torn end.
    CutAtRot,
    /// Noting as forwarded what was only sent.
    CursorBeforeAcknowledgement,
    /// Believing the wall clock.
    TimeOfTheWall,
}

impl Bug {
    /// What drives the forwarder.
    pub fn machine(self) -> Make {
        if self == Bug::CursorBeforeAcknowledgement { ahead } else { honest }
    }

    /// What stands between the broker and the disk.
    pub fn disk(self) -> fn(&SimDisk) -> Rc<dyn Disk> {
        match self {
            Bug::DirectoriesNotSynced => |disk| Rc::new(Careless(disk.clone())),
            _ => |disk| Rc::new(disk.clone()),
        }
    }
}

/// A disk that doesn't sync directories.
struct Careless(SimDisk);

/// A directory.
struct Unsynced(FileRef);

impl DiskFile for Unsynced {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> DiskResult<usize> {
        self.0.read_at(buffer, at)
    }
    fn write_at(&self, parts: &[&[u8]], at: u64) -> DiskResult<()> {
        self.0.write_at(parts, at)
    }
    fn reserve(&self, at: u64, bytes: u64) -> DiskResult<bool> {
        self.0.reserve(at, bytes)
    }
    fn set_length(&self, length: u64) -> DiskResult<()> {
        self.0.set_length(length)
    }
    fn length(&self) -> DiskResult<u64> {
        self.0.length()
    }
    fn sync(&self) -> DiskResult<()> {
        Ok(())
    }
    fn sync_job(&self) -> SyncJob {
        SyncJob::Done(Ok(()))
    }
    fn descriptor(&self) -> Option<&Arc<OwnedFd>> {
        None
    }
}

impl Disk for Careless {
    fn open(&self, path: &str, mode: Open) -> DiskResult<FileRef> {
        self.0.open(path, mode)
    }
    fn open_dir(&self, path: &str) -> DiskResult<FileRef> {
        Ok(Rc::new(Unsynced(self.0.open_dir(path)?)))
    }
    fn create_dir(&self, path: &str) -> DiskResult<()> {
        self.0.create_dir(path)
    }
    fn remove_file(&self, path: &str) -> DiskResult<()> {
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &str) -> DiskResult<()> {
        self.0.remove_dir(path)
    }
    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.0.rename(from, to)
    }
    fn list(&self, path: &str) -> DiskResult<Vec<(String, bool)>> {
        self.0.list(path)
    }
    fn temporary(&self) -> DiskResult<FileRef> {
        self.0.temporary()
    }
    fn used_bytes(&self) -> DiskResult<u64> {
        self.0.used_bytes()
    }
    fn free_bytes(&self) -> DiskResult<u64> {
        self.0.free_bytes()
    }
}

/// The bug, and lives of which at least one must see it.
const PLANTED: [(Bug, u64); 5] = [
    (Bug::AcknowledgedWhenWritten, 40),
    (Bug::DirectoriesNotSynced, 40),
    (Bug::CutAtRot, 80),
    (Bug::CursorBeforeAcknowledgement, 40),
    (Bug::TimeOfTheWall, 40),
];

#[test]
fn planted_bugs_are_found() {
    for (bug, lives) in PLANTED {
        let (_, failed) = live_all(0..lives, bug);
        println!("{bug:?}: found by {} of {lives} lives", failed.len());
        let what = failed.first().map(|(_, what)| what.lines().next().unwrap_or_default());
        println!("    {}", what.unwrap_or_default());
        assert!(what.is_some(), "{bug:?} is not found");
    }
}
