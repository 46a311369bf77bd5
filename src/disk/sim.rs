//! A disk in memory that can lose power, run full and fail: what the power-cut tests run on.
//!
//! It promises exactly what the traits promise and no more. A file's sync makes its bytes and its
//! length durable, but not its name; a directory's sync makes its names durable, but nothing of
//! what is in the files. A file whose name was never durable is gone with its data; one that was
//! removed may be back. After a failed sync the bytes it covered count as clean: reads still see
//! them, and no later sync makes them durable.
//!
//! Every operation that changes something or makes it durable has a number, counted from 0, and a
//! test can pull the plug at one ([`SimDisk::cut_at`]) or let one fail ([`SimDisk::fail_at`]).
//! [`SimDisk::after_cut`] gives the disk that the next start finds, in as many variants as wanted,
//! each the same whenever it is asked for again. A test that only cuts need not run its scenario
//! once per operation: [`SimDisk::record`] keeps the state before each.
//!
//! Deliberately absent: time, threads, access rights, rot of data at rest, two names for one file.

mod content;
mod crash;
mod file;
mod node;

use core::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

pub use crash::Crash;

use super::{Disk, DiskError, DiskResult, FileRef, Open, confined};
use content::Content;
use file::SimFile;
use node::{Directory, File, FileEffect, InodeId, NameChange, NameEffect, Node, Place, ROOT};

/// Linux's number for "not a directory", which [`super::os`] would report too.
const NOT_A_DIRECTORY: DiskError = DiskError::Other(20);

/// Linux's number for "is a directory".
const IS_A_DIRECTORY: DiskError = DiskError::Other(21);

/// The size that [`SimDisk::new`] reports: nobody fills it.
const CAPACITY_BYTES_DEFAULT: u64 = 1 << 40;

/// A simulated disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
}

/// One operation in the log, formatted only when somebody reads it.
#[derive(Clone)]
struct Operation {
    what: &'static str,
    path: Rc<str>,
    /// Position and count, or the length, for those operations that have them.
    range: Option<(u64, u64)>,
}

/// Everything there is to one disk. A clone shares all content, and copies what it changes.
#[derive(Clone)]
struct State {
    nodes: Vec<Rc<Node>>,
    names: Vec<NameChange>,
    /// How many handles each inode has: a removed file keeps its space until the last is gone.
    handles: BTreeMap<InodeId, u32>,
    capacity_bytes: Option<u64>,
    operations: u64,
    reads: u64,
    log: Vec<Operation>,
    cut_at: Option<u64>,
    is_cut: bool,
    faults: BTreeMap<u64, DiskError>,
    read_faults: BTreeMap<u64, DiskError>,
    recorded: Option<Vec<State>>,
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk that never runs full.
    #[must_use]
    pub fn new() -> SimDisk {
        SimDisk::of(State::of(vec![Rc::new(Node::Directory(Directory::default()))], None))
    }

    /// An empty disk of this size. Space is given out in blocks of 4 KiB, reserved or written;
    /// names take none.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> SimDisk {
        let disk = SimDisk::new();
        disk.state.borrow_mut().capacity_bytes = Some(bytes);
        disk
    }

    fn of(state: State) -> SimDisk {
        SimDisk { state: Rc::new(RefCell::new(state)) }
    }

    /// Changes the size; one below what is in use leaves nothing free.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.borrow_mut().capacity_bytes = Some(bytes);
    }

    /// The power goes off as operation `number` starts: that one and everything after it fails
    /// with [`DiskError::Io`], reads too, and nothing more reaches the disk, for ever.
    pub fn cut_at(&self, number: u64) {
        self.state.borrow_mut().cut_at = Some(number);
    }

    /// Whether the power went off.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.state.borrow().is_cut
    }

    /// Operation `number` fails with this error, once. A failed write has written half of its
    /// bytes; a failed sync has given up what it covered; anything else has not happened.
    pub fn fail_at(&self, number: u64, error: DiskError) {
        self.state.borrow_mut().faults.insert(number, error);
    }

    /// Read `number` fails with this error, once.
    pub fn fail_read_at(&self, number: u64, error: DiskError) {
        self.state.borrow_mut().read_faults.insert(number, error);
    }

    /// How many operations were carried out, or failed on demand.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.borrow().operations
    }

    /// How many reads there were.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.state.borrow().reads
    }

    /// The operations since the disk was made, for failure messages: `write journal 4096+512`.
    #[must_use]
    pub fn operation_log(&self) -> Vec<String> {
        let line = |Operation { what, path, range }: &Operation| match range {
            Some((at, bytes)) => format!("{what} {path} {at}+{bytes}"),
            None => format!("{what} {path}"),
        };
        self.state.borrow().log.iter().map(line).collect()
    }

    /// How many operations have an effect that is not durable.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        let state = self.state.borrow();
        crash::unsynced(&state.nodes, &state.names).len()
    }

    /// The disk that is found after a power cut now, in variant `number` of as many as wanted.
    /// The first five are those of [`Crash`] that need no seed.
    #[must_use]
    pub fn after_cut(&self, number: u64) -> SimDisk {
        self.crash(Crash::numbered(number, self.unsynced()))
    }

    /// The disk that is found after a power cut now. This disk stays as it is.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> SimDisk {
        let state = self.state.borrow();
        let nodes = crash::survivors(&state.nodes, &state.names, crash);
        SimDisk::of(State::of(nodes, state.capacity_bytes))
    }

    /// An independent copy as it is now, with what is unsynced, the counts and the planned faults.
    /// Handles stay with the original.
    #[must_use]
    pub fn fork(&self) -> SimDisk {
        let state = self.state.borrow();
        SimDisk::of(State {
            reads: state.reads,
            log: state.log.clone(),
            cut_at: state.cut_at,
            is_cut: state.is_cut,
            faults: state.faults.clone(),
            read_faults: state.read_faults.clone(),
            ..state.snapshot()
        })
    }

    /// From now on keeps the state before each operation, for [`SimDisk::recorded`].
    pub fn record(&self) {
        let mut state = self.state.borrow_mut();
        let skipped = State::of(Vec::new(), None);
        state.recorded = Some(vec![skipped; state.operations as usize]);
    }

    /// The disk as it was when operation `number` was about to start, as if cut there; the disk as
    /// it is now for the number that comes next. `None` when that was not recorded.
    #[must_use]
    pub fn recorded(&self, number: u64) -> Option<SimDisk> {
        let state = self.state.borrow();
        let recorded = state.recorded.as_ref()?;
        if number == state.operations {
            return Some(SimDisk::of(state.snapshot()));
        }
        let found = recorded.get(usize::try_from(number).ok()?)?;
        (!found.nodes.is_empty()).then(|| SimDisk::of(found.clone()))
    }

    fn handle(&self, path: &str, inode: InodeId, writable: bool) -> FileRef {
        Rc::new(SimFile::new(&self.state, path, inode, writable))
    }

    fn running(&self) -> DiskResult<RefMut<'_, State>> {
        let state = self.state.borrow_mut();
        if state.is_cut { Err(DiskError::Io) } else { Ok(state) }
    }
}

impl State {
    fn of(nodes: Vec<Rc<Node>>, capacity_bytes: Option<u64>) -> State {
        State {
            nodes,
            names: Vec::new(),
            handles: BTreeMap::new(),
            capacity_bytes,
            operations: 0,
            reads: 0,
            log: Vec::new(),
            cut_at: None,
            is_cut: false,
            faults: BTreeMap::new(),
            read_faults: BTreeMap::new(),
            recorded: None,
        }
    }

    /// A copy without what a crash doesn't need; copying the log each time would be quadratic.
    fn snapshot(&self) -> State {
        State {
            names: self.names.clone(),
            operations: self.operations,
            ..State::of(self.nodes.clone(), self.capacity_bytes)
        }
    }

    /// Counts an operation that is about to happen. The result says whether the power is on, and
    /// with which error the operation has to fail.
    fn begin(
        &mut self,
        what: &'static str,
        path: &Rc<str>,
        range: Option<(u64, u64)>,
    ) -> DiskResult<Option<DiskError>> {
        let number = self.operations;
        if self.is_cut || self.cut_at.is_some_and(|cut_at| cut_at <= number) {
            self.is_cut = true;
            return Err(DiskError::Io);
        }
        if self.recorded.is_some() {
            let snapshot = self.snapshot();
            self.recorded.get_or_insert_default().push(snapshot);
        }
        self.operations += 1;
        self.log.push(Operation { what, path: Rc::clone(path), range });
        Ok(self.faults.remove(&number))
    }

    /// The same for an operation that doesn't happen at all when it fails.
    fn begin_whole(&mut self, what: &'static str, path: &str) -> DiskResult<()> {
        match self.begin(what, &Rc::from(path), None)? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The number of the operation that is being carried out.
    fn order(&self) -> u64 {
        self.operations.saturating_sub(1)
    }

    fn find(&self, path: &str) -> DiskResult<InodeId> {
        let mut inode = ROOT;
        for name in confined(path)?.split('/').filter(|name| !name.is_empty()) {
            inode = *self.directory(inode)?.visible.get(name).ok_or(DiskError::NotFound)?;
        }
        Ok(inode)
    }

    /// Where a path's last name stands; its directory must exist.
    fn place(&self, path: &str) -> DiskResult<Place> {
        let (parent, name) = confined(path)?.rsplit_once('/').unwrap_or(("", path));
        let parent = self.find(parent)?;
        self.directory(parent)?;
        if name.is_empty() { Err(DiskError::NotFound) } else { Ok((parent, Rc::from(name))) }
    }

    fn lookup(&self, place: &Place) -> DiskResult<Option<InodeId>> {
        Ok(self.directory(place.0)?.visible.get(&place.1).copied())
    }

    fn directory(&self, inode: InodeId) -> DiskResult<&Directory> {
        match self.nodes[inode].as_ref() {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(NOT_A_DIRECTORY),
        }
    }

    fn file(&self, inode: InodeId) -> DiskResult<&File> {
        match self.nodes[inode].as_ref() {
            Node::File(file) => Ok(file),
            Node::Directory(_) => Err(IS_A_DIRECTORY),
        }
    }

    fn file_mut(&mut self, inode: InodeId) -> DiskResult<&mut File> {
        match Rc::make_mut(&mut self.nodes[inode]) {
            Node::File(file) => Ok(file),
            Node::Directory(_) => Err(IS_A_DIRECTORY),
        }
    }

    fn change_file(&mut self, inode: InodeId, effect: FileEffect) -> DiskResult<()> {
        let order = self.order();
        self.file_mut(inode)?.change(order, effect);
        Ok(())
    }

    fn change_names(&mut self, effect: NameEffect) {
        effect.apply(&mut self.nodes, |directory| &mut directory.visible);
        self.names.push(NameChange { order: self.order(), fate: node::Fate::Dirty, effect });
    }

    fn create(&mut self, place: Place, node: Node) -> InodeId {
        let inode = self.nodes.len();
        self.nodes.push(Rc::new(node));
        self.change_names(NameEffect::Link { place, inode });
        inode
    }

    /// Fails when the disk has not so much space left.
    fn check_space(&self, missing: impl Fn(&Content) -> u64, inode: InodeId) -> DiskResult<()> {
        let Some(capacity_bytes) = self.capacity_bytes else { return Ok(()) };
        let missing = missing(&self.file(inode)?.visible);
        if missing > 0 && self.space_bytes() + missing > capacity_bytes {
            return Err(DiskError::NoSpace);
        }
        Ok(())
    }

    /// The space of all files that have a name or a handle.
    fn space_bytes(&self) -> u64 {
        self.bytes_of(self.handles.keys().copied().collect())
    }

    /// The space of all files that have a name.
    fn named_bytes(&self) -> u64 {
        self.bytes_of(Vec::new())
    }

    /// The space of these files and all that have a name.
    fn bytes_of(&self, mut used: Vec<InodeId>) -> u64 {
        let mut open = vec![ROOT];
        while let Some(inode) = open.pop() {
            match self.nodes[inode].as_ref() {
                Node::File(_) => used.push(inode),
                Node::Directory(directory) => open.extend(directory.visible.values()),
            }
        }
        used.sort_unstable();
        used.dedup();
        used.iter()
            .filter_map(|inode| self.file(*inode).ok())
            .map(|f| f.visible.space_bytes())
            .sum()
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &str, mode: Open) -> DiskResult<FileRef> {
        let mut state = self.running()?;
        let place = state.place(path)?;
        let inode = match (state.lookup(&place)?, mode) {
            (None, Open::Read | Open::Write) => return Err(DiskError::NotFound),
            (None, Open::CreateEmpty | Open::CreateOrKeep) => {
                state.begin_whole("create", path)?;
                state.create(place, Node::File(File::default()))
            }
            (Some(inode), Open::Read) => inode,
            (Some(inode), Open::Write | Open::CreateOrKeep) => {
                state.file(inode)?;
                inode
            }
            (Some(inode), Open::CreateEmpty) => {
                state.file(inode)?;
                state.begin_whole("empty", path)?;
                state.change_file(inode, FileEffect::Length(0))?;
                inode
            }
        };
        drop(state);
        Ok(self.handle(path, inode, mode != Open::Read))
    }

    fn open_dir(&self, path: &str) -> DiskResult<FileRef> {
        let state = self.running()?;
        let inode = state.find(path)?;
        state.directory(inode)?;
        drop(state);
        Ok(self.handle(path, inode, false))
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        let mut state = self.running()?;
        let place = state.place(path)?;
        if let Some(inode) = state.lookup(&place)? {
            return state.directory(inode).map(|_| ());
        }
        state.begin_whole("create_dir", path)?;
        state.create(place, Node::Directory(Directory::default()));
        Ok(())
    }

    fn remove_file(&self, path: &str) -> DiskResult<()> {
        let mut state = self.running()?;
        let Some((place, inode)) = find_if_there(&state, path)? else { return Ok(()) };
        state.file(inode)?;
        state.begin_whole("remove", path)?;
        state.change_names(NameEffect::Unlink { place, directory: None });
        Ok(())
    }

    fn remove_dir(&self, path: &str) -> DiskResult<()> {
        let mut state = self.running()?;
        let Some((place, inode)) = find_if_there(&state, path)? else { return Ok(()) };
        if !state.directory(inode)?.visible.is_empty() {
            return Err(DiskError::Exists);
        }
        state.begin_whole("remove_dir", path)?;
        state.change_names(NameEffect::Unlink { place, directory: Some(inode) });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        let mut state = self.running()?;
        let (from, to) = (confined(from)?, confined(to)?);
        let (from_place, to_place) = (state.place(from)?, state.place(to)?);
        let inode = state.lookup(&from_place)?.ok_or(DiskError::NotFound)?;
        if let Some(replaced) = state.lookup(&to_place)? {
            // Renaming a directory over another is more than the trait promises.
            state.file(inode)?;
            state.file(replaced)?;
        }
        state.begin_whole("rename", &format!("{from} to {to}"))?;
        if from_place != to_place {
            state.change_names(NameEffect::Move { from: from_place, to: to_place, inode });
        }
        Ok(())
    }

    fn list(&self, path: &str) -> DiskResult<Vec<(String, bool)>> {
        let state = self.running()?;
        let names = &state.directory(state.find(path)?)?.visible;
        let is_directory = |inode: &InodeId| state.directory(*inode).is_ok();
        Ok(names.iter().map(|(name, inode)| (name.to_string(), is_directory(inode))).collect())
    }

    fn temporary(&self) -> DiskResult<FileRef> {
        let mut state = self.running()?;
        let inode = state.nodes.len();
        state.nodes.push(Rc::new(Node::File(File::default())));
        drop(state);
        Ok(self.handle("temporary", inode, true))
    }

    fn used_bytes(&self) -> DiskResult<u64> {
        Ok(self.running()?.named_bytes())
    }

    fn free_bytes(&self) -> DiskResult<u64> {
        let state = self.running()?;
        let capacity_bytes = state.capacity_bytes.unwrap_or(CAPACITY_BYTES_DEFAULT);
        Ok(capacity_bytes.saturating_sub(state.space_bytes()))
    }
}

/// What removing looks for: nothing there, not even the directory, is fine.
fn find_if_there(state: &State, path: &str) -> DiskResult<Option<(Place, InodeId)>> {
    let place = match state.place(path) {
        Err(DiskError::NotFound) => return Ok(None),
        place => place?,
    };
    Ok(state.lookup(&place)?.map(|inode| (place, inode)))
}

#[cfg(test)]
mod tests;
