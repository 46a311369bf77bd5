//! A handle on a simulated file or directory.
//!
//! It holds the inode, not the name, so that it goes on working after a rename or a removal; after
//! the power cut everything on it fails for ever. Directories can be synced and nothing else.

use core::cell::{RefCell, RefMut};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use super::node::{Fate, FileEffect, InodeId, Node, settle_names};
use super::{IS_A_DIRECTORY, State};
use crate::disk::{DiskError, DiskFile, DiskResult, SyncJob};

/// Linux's number for "bad file descriptor": writing where reading was asked for.
const BAD_DESCRIPTOR: DiskError = DiskError::Other(9);

/// Linux's number for "invalid argument": `ftruncate` says this instead.
const INVALID_ARGUMENT: DiskError = DiskError::Other(22);

/// Linux's number for "file too large".
const FILE_TOO_LARGE: DiskError = DiskError::Other(27);

/// Positions are signed 64-bit numbers in every kernel interface.
const POSITION_MAX: u64 = i64::MAX as u64;

/// An open file or directory of a [`super::SimDisk`].
pub(super) struct SimFile {
    state: Rc<RefCell<State>>,
    path: Rc<str>,
    inode: InodeId,
    writable: bool,
}

impl SimFile {
    pub(super) fn new(
        state: &Rc<RefCell<State>>,
        path: &str,
        inode: InodeId,
        writable: bool,
    ) -> SimFile {
        *state.borrow_mut().handles.entry(inode).or_default() += 1;
        SimFile { state: Rc::clone(state), path: Rc::from(path), inode, writable }
    }

    fn running(&self) -> DiskResult<RefMut<'_, State>> {
        let state = self.state.borrow_mut();
        if state.is_cut { Err(DiskError::Io) } else { Ok(state) }
    }

    fn check_range(&self, at: u64, bytes: u64) -> DiskResult<()> {
        if !self.writable {
            return Err(BAD_DESCRIPTOR);
        }
        match at.checked_add(bytes) {
            Some(end) if end <= POSITION_MAX => Ok(()),
            _ => Err(FILE_TOO_LARGE),
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        if let Some(count) = state.handles.get_mut(&self.inode) {
            *count -= 1;
            if *count == 0 {
                state.handles.remove(&self.inode);
            }
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> DiskResult<usize> {
        let mut state = self.running()?;
        let number = state.reads;
        state.reads += 1;
        if let Some(error) = state.read_faults.remove(&number) {
            return Err(error);
        }
        Ok(state.file(self.inode)?.visible.read(buffer, at))
    }

    fn write_at(&self, parts: &[&[u8]], at: u64) -> DiskResult<()> {
        let mut bytes = parts.concat();
        let count = bytes.len() as u64;
        let mut state = self.running()?;
        self.check_range(at, count)?;
        if count == 0 {
            return Ok(());
        }
        let fault = state.begin("write", &self.path, Some((at, count)))?;
        if fault.is_some() {
            bytes.truncate(bytes.len() / 2);
        } else {
            state.check_space(|content| content.space_missing(at, count), self.inode)?;
        }
        if !bytes.is_empty() {
            state.change_file(self.inode, FileEffect::Write { at, bytes: bytes.into() })?;
        }
        fault.map_or(Ok(()), Err)
    }

    fn reserve(&self, at: u64, bytes: u64) -> DiskResult<bool> {
        let mut state = self.running()?;
        self.check_range(at, bytes)?;
        if bytes == 0 {
            return Ok(true);
        }
        if let Some(error) = state.begin("reserve", &self.path, Some((at, bytes)))? {
            return Err(error);
        }
        state.check_space(|content| content.space_missing(at, bytes), self.inode)?;
        state.change_file(self.inode, FileEffect::Reserve { at, bytes })?;
        Ok(true)
    }

    fn set_length(&self, length: u64) -> DiskResult<()> {
        let mut state = self.running()?;
        if !self.writable || length > POSITION_MAX {
            return Err(INVALID_ARGUMENT);
        }
        if let Some(error) = state.begin("set_length", &self.path, Some((0, length)))? {
            return Err(error);
        }
        state.change_file(self.inode, FileEffect::Length(length))
    }

    fn length(&self) -> DiskResult<u64> {
        let state = self.running()?;
        match state.file(self.inode) {
            Ok(file) => Ok(file.visible.length()),
            Err(IS_A_DIRECTORY) => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn sync(&self) -> DiskResult<()> {
        let mut state = self.running()?;
        let fault = state.begin("sync", &self.path, None)?;
        let fate = if fault.is_some() { Fate::Doomed } else { Fate::Synced };
        let State { nodes, names, .. } = &mut *state;
        if let Node::File(_) = nodes[self.inode].as_ref() {
            state.file_mut(self.inode)?.settle(fate);
        } else {
            settle_names(nodes, names, self.inode, fate);
        }
        fault.map_or(Ok(()), Err)
    }

    fn sync_job(&self) -> SyncJob {
        SyncJob::Done(self.sync())
    }

    fn descriptor(&self) -> Option<&Arc<OwnedFd>> {
        None
    }
}
