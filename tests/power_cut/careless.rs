//! Disks that lie: some syncs do nothing.

use ottla::disk::sim::SimDisk;
use ottla::disk::{Disk, DiskFile, DiskResult, FileRef, Open, SyncJob};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// A disk on which some syncs do nothing.
pub struct Careless(pub SimDisk, pub Forgotten);

/// Whose syncs.
#[derive(Clone, Copy, PartialEq)]
pub enum Forgotten {
    /// The mistake of everybody who forgot it.
    Directories,
    /// What large batches live on.
    Segments,
}

/// A file or a directory that is not synced.
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
        let file = self.0.open(path, mode)?;
        let forgotten = self.1 == Forgotten::Segments && path.ends_with(".log");
        Ok(if forgotten { Rc::new(Unsynced(file)) } else { file })
    }
    fn open_dir(&self, path: &str) -> DiskResult<FileRef> {
        let directory = self.0.open_dir(path)?;
        let forgotten = self.1 == Forgotten::Directories;
        Ok(if forgotten { Rc::new(Unsynced(directory)) } else { directory })
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
