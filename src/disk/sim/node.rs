//! What a simulated disk consists of: inodes, and the changes to them that are not durable yet.
//!
//! An inode is separate from its names, as on a real file system: a removed file stays readable
//! through its handles, and a new file under an old name is another inode. A file keeps what a
//! reader sees apart from what is on the platter, and the changes between the two in order.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::content::Content;

/// An inode's number: its place in the table.
pub(super) type InodeId = usize;

/// The root directory's inode.
pub(super) const ROOT: InodeId = 0;

/// How far an unsynced change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// In the page cache; the next sync makes it durable.
    Dirty,
    /// A sync of it failed: the kernel takes it for clean, and no later sync proves anything about
    /// it (Linux has dropped the dirty mark; see "fsyncgate", PostgreSQL, 2018).
    Doomed,
    /// Durable, but behind a doomed change, so that it cannot be merged yet.
    Synced,
}

/// One unsynced change to a file, with the number of the operation that made it.
#[derive(Clone)]
pub(super) struct FileChange {
    pub(super) order: u64,
    pub(super) fate: Fate,
    pub(super) effect: FileEffect,
}

/// What a change does to a file.
#[derive(Clone)]
pub(super) enum FileEffect {
    Write { at: u64, bytes: Rc<[u8]> },
    Length(u64),
    Reserve { at: u64, bytes: u64 },
}

impl FileEffect {
    fn apply(&self, content: &mut Content) {
        match self {
            FileEffect::Write { at, bytes } => {
                content.overlay(bytes, *at);
                content.lengthen(at + bytes.len() as u64);
            }
            FileEffect::Length(length) => content.set_length(*length),
            FileEffect::Reserve { at, bytes } => content.reserve(*at, *bytes),
        }
    }
}

/// A file: what readers see, what is durable, and the changes in between, oldest first.
#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) visible: Rc<Content>,
    pub(super) durable: Rc<Content>,
    pub(super) pending: Vec<FileChange>,
}

impl File {
    /// A file as it is found after the power came back.
    pub(super) fn durable(content: Content) -> File {
        let content = Rc::new(content);
        File { visible: Rc::clone(&content), durable: content, pending: Vec::new() }
    }

    /// Changes the file for readers; durable later.
    pub(super) fn change(&mut self, order: u64, effect: FileEffect) {
        effect.apply(Rc::make_mut(&mut self.visible));
        self.pending.push(FileChange { order, fate: Fate::Dirty, effect });
    }

    /// A sync that worked (`Synced`) or failed (`Doomed`).
    pub(super) fn settle(&mut self, fate: Fate) {
        for change in self.pending.iter_mut().filter(|change| change.fate == Fate::Dirty) {
            change.fate = fate;
        }
        if self.pending.iter().all(|change| change.fate == Fate::Synced) {
            // The usual case, and then the two are equal without applying anything.
            self.durable = Rc::clone(&self.visible);
            self.pending.clear();
            return;
        }
        let settled = self.pending.iter().take_while(|change| change.fate == Fate::Synced).count();
        for change in self.pending.drain(..settled) {
            change.effect.apply(Rc::make_mut(&mut self.durable));
        }
    }
}

/// A directory's names.
pub(super) type Names = BTreeMap<Rc<str>, InodeId>;

/// A directory: the names that can be looked up, and those that are durable.
#[derive(Clone, Default)]
pub(super) struct Directory {
    pub(super) visible: Names,
    pub(super) durable: Names,
}

/// An inode.
#[derive(Clone)]
pub(super) enum Node {
    File(File),
    Directory(Directory),
}

/// Where a name stands.
pub(super) type Place = (InodeId, Rc<str>);

/// One unsynced change to names, with the number of the operation that made it.
#[derive(Clone)]
pub(super) struct NameChange {
    pub(super) order: u64,
    pub(super) fate: Fate,
    pub(super) effect: NameEffect,
}

/// What a change does to names; each happens wholly or not at all.
#[derive(Clone)]
pub(super) enum NameEffect {
    Link {
        place: Place,
        inode: InodeId,
    },
    /// `directory` is what was removed, if it was a directory.
    Unlink {
        place: Place,
        directory: Option<InodeId>,
    },
    Move {
        from: Place,
        to: Place,
        inode: InodeId,
    },
}

impl NameEffect {
    /// The names it changes.
    pub(super) fn places(&self) -> [Option<&Place>; 2] {
        match self {
            NameEffect::Link { place, .. } | NameEffect::Unlink { place, .. } => {
                [Some(place), None]
            }
            NameEffect::Move { from, to, .. } => [Some(from), Some(to)],
        }
    }

    /// The directory that it removes.
    pub(super) fn removes_directory(&self) -> Option<InodeId> {
        match self {
            NameEffect::Unlink { directory, .. } => *directory,
            _ => None,
        }
    }

    /// The directories it depends on: those whose names it changes, and the one it removes.
    fn directories(&self) -> impl Iterator<Item = InodeId> {
        let parents = self.places().into_iter().flatten().map(|(directory, _)| *directory);
        parents.chain(self.removes_directory())
    }

    /// Applies it to the names that `of` picks.
    pub(super) fn apply(&self, nodes: &mut [Rc<Node>], of: fn(&mut Directory) -> &mut Names) {
        let mut names = |directory: InodeId, edit: &dyn Fn(&mut Names)| {
            if let Node::Directory(directory) = Rc::make_mut(&mut nodes[directory]) {
                edit(of(directory));
            }
        };
        let link = |name: &Rc<str>, inode| {
            let name = Rc::clone(name);
            move |names: &mut Names| {
                names.insert(Rc::clone(&name), inode);
            }
        };
        match self {
            NameEffect::Link { place, inode } => names(place.0, &link(&place.1, *inode)),
            NameEffect::Unlink { place, .. } => names(place.0, &|names| {
                names.remove(&place.1);
            }),
            NameEffect::Move { from, to, inode } => {
                names(from.0, &|names| {
                    names.remove(&from.1);
                });
                names(to.0, &link(&to.1, *inode));
            }
        }
    }
}

/// A directory's sync that worked (`Synced`) or failed (`Doomed`).
///
/// It covers every change to the directory, a rename across two directories as a whole, and so
/// that nothing durable hangs in the air, what happened before in the other of the two as well.
pub(super) fn settle_names(
    nodes: &mut [Rc<Node>],
    pending: &mut Vec<NameChange>,
    directory: InodeId,
    fate: Fate,
) {
    let mut covered = BTreeSet::from([directory]);
    for change in pending.iter_mut().rev() {
        if change.effect.directories().any(|directory| covered.contains(&directory)) {
            covered.extend(change.effect.directories());
            if change.fate == Fate::Dirty {
                change.fate = fate;
            }
        }
    }
    // Merge what no undecided earlier change of the same directories stands before.
    let mut undecided = BTreeSet::new();
    pending.retain(|change| {
        let free = change.effect.directories().all(|directory| !undecided.contains(&directory));
        if change.fate == Fate::Synced && free {
            change.effect.apply(nodes, |directory| &mut directory.durable);
            return false;
        }
        undecided.extend(change.effect.directories());
        true
    });
}
