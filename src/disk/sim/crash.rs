//! What a simulated disk looks like after the power came back: which unsynced changes survived.
//!
//! Deterministic: the same disk and the same [`Crash`] give the same outcome. Nothing is kept
//! between draws; each is a mix of the seed and of what it is drawn for, so that a change survives
//! or not independently of how many others were asked about before.
//!
//! Sectors of 512 bytes are atomic, as on every disk and card sold today; in half of the torn
//! crashes it is pages of 4 KiB, as on most of flash, and all of one comes or none of it. Which
//! sectors of a write arrive is arbitrary, and so is whether the new length does: a length without
//! its data reads as zeros, data beyond the surviving length is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::content::Content;
use super::node::{
    Directory, Fate, File, FileChange, FileEffect, InodeId, NameChange, Node, Place, ROOT,
};

/// What a disk writes wholly or not at all.
const SECTOR_BYTES: u64 = 512;

/// Sectors of a page, where a disk writes pages.
const PAGE_SECTORS: u64 = 8;

/// Which of the unsynced changes survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// So many of them in the order in which they were made, data and names together.
    Prefix(usize),
    /// All names and lengths and no data: the file that is there and full of zeros.
    MetadataOnly,
    /// All data and lengths and no names: the file that was never there.
    DataOnly,
    /// All names, and of the data only the newest write.
    LastWrite,
    /// All names, and of the data only that of one file.
    OneFile(u64),
    /// Any writes, each whole, with or without their lengths; per directory the first few changes.
    Subset(u64),
    /// Any sectors of any writes; per *name* the first few changes, so that directories come out
    /// as on a file system without a journal. The harshest.
    Torn(u64),
    /// Per sector the state after any of its writes, lengths and names in order: what a kernel
    /// that writes back pages as it likes can leave, exactly.
    Writeback(u64),
}

impl Crash {
    /// The crash of this number: first those that need no dice, one each, then for ever the others.
    pub(super) fn numbered(number: u64, unsynced: usize) -> Crash {
        match number {
            0 => Crash::Nothing,
            1 => Crash::Everything,
            2 => Crash::MetadataOnly,
            3 => Crash::DataOnly,
            4 => Crash::LastWrite,
            seed => match seed % 5 {
                0 => Crash::Torn(seed),
                1 => Crash::Writeback(seed),
                2 => Crash::Subset(seed),
                3 => Crash::Prefix((mix(seed) % (unsynced as u64 + 1)) as usize),
                _ => Crash::OneFile(seed),
            },
        }
    }
}

/// Scrambles a number: one round of xorshift-multiply (the finalizer of SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn draw(seed: u64, what: u64, which: u64) -> u64 {
    mix(seed ^ mix(what ^ mix(which)))
}

/// The numbers of the unsynced operations, oldest first.
pub(super) fn unsynced(nodes: &[Rc<Node>], names: &[NameChange]) -> Vec<u64> {
    let of_names = names.iter().filter(|change| change.fate != Fate::Synced);
    let mut orders: Vec<u64> = of_names.map(|change| change.order).collect();
    for (_, file) in files(nodes) {
        let changes = file.pending.iter().filter(|change| change.fate != Fate::Synced);
        orders.extend(changes.map(|change| change.order));
    }
    orders.sort_unstable();
    orders
}

/// The inodes after the power came back, all that is in them durable.
pub(super) fn survivors(nodes: &[Rc<Node>], names: &[NameChange], crash: Crash) -> Vec<Rc<Node>> {
    let dice = Dice::new(nodes, names, crash);
    let mut after = nodes.to_vec();
    for (change, survives) in names.iter().zip(dice.names(names)) {
        if survives {
            change.effect.apply(&mut after, |directory| &mut directory.durable);
        }
    }
    let reachable = reachable(&after);
    let nobody = Rc::new(Node::File(File::default()));
    for (inode, node) in after.iter_mut().enumerate() {
        let found = match node.as_ref() {
            _ if !reachable.contains(&inode) => Rc::clone(&nobody),
            Node::File(file) if file.pending.is_empty() => continue,
            Node::File(file) => Rc::new(Node::File(File::durable(dice.content(inode, file)))),
            Node::Directory(Directory { visible, durable }) if visible == durable => continue,
            Node::Directory(Directory { durable, .. }) => Rc::new(Node::Directory(Directory {
                visible: durable.clone(),
                durable: durable.clone(),
            })),
        };
        *node = found;
    }
    after
}

/// The inodes that durable names lead to.
fn reachable(nodes: &[Rc<Node>]) -> BTreeSet<InodeId> {
    let mut reached = BTreeSet::from([ROOT]);
    let mut open = vec![ROOT];
    while let Some(inode) = open.pop() {
        if let Node::Directory(directory) = nodes[inode].as_ref() {
            let new = directory.durable.values().filter(|inode| reached.insert(**inode));
            open.extend(new.copied());
        }
    }
    reached
}

fn files(nodes: &[Rc<Node>]) -> impl Iterator<Item = (InodeId, &File)> {
    nodes.iter().enumerate().filter_map(|(inode, node)| match node.as_ref() {
        Node::File(file) => Some((inode, file)),
        Node::Directory(_) => None,
    })
}

/// What of one write survives.
enum Sectors {
    All,
    None,
    Some,
}

/// A crash with what it has to know about the whole disk.
struct Dice {
    crash: Crash,
    /// [`Crash::Prefix`]: operations from this one on are lost.
    limit: u64,
    /// [`Crash::LastWrite`]: the operation; [`Crash::OneFile`]: the inode.
    chosen: u64,
    /// Of eight random changes, how many survive: a storm and a trickle leave different damage.
    survive_of_8: u64,
}

impl Dice {
    fn new(nodes: &[Rc<Node>], names: &[NameChange], crash: Crash) -> Dice {
        let mut dice = Dice { crash, limit: 0, chosen: 0, survive_of_8: 4 };
        match crash {
            Crash::Prefix(count) => {
                dice.limit = unsynced(nodes, names).get(count).copied().unwrap_or(u64::MAX);
            }
            Crash::LastWrite => {
                let changes = files(nodes).flat_map(|(_, file)| &file.pending);
                let writes = changes
                    .filter(|change| matches!(change.effect, FileEffect::Write { .. }))
                    .map(|change| change.order);
                dice.chosen = writes.max().unwrap_or(u64::MAX);
            }
            Crash::OneFile(seed) => {
                let dirty: Vec<InodeId> = files(nodes)
                    .filter(|(_, file)| !file.pending.is_empty())
                    .map(|(inode, _)| inode)
                    .collect();
                let pick = mix(seed) % (dirty.len() as u64).max(1);
                dice.chosen = dirty.get(pick as usize).map_or(u64::MAX, |inode| *inode as u64);
            }
            Crash::Subset(seed) | Crash::Torn(seed) => {
                dice.survive_of_8 = 1 + draw(seed, 0, 0) % 7;
            }
            _ => {}
        }
        dice
    }

    /// Which of the unsynced changes to names survive.
    fn names(&self, names: &[NameChange]) -> Vec<bool> {
        let chosen = |survives: &dyn Fn(&NameChange) -> bool| {
            names.iter().map(|change| change.fate == Fate::Synced || survives(change)).collect()
        };
        match self.crash {
            Crash::Nothing | Crash::DataOnly => chosen(&|_| false),
            Crash::Everything | Crash::MetadataOnly | Crash::LastWrite | Crash::OneFile(_) => {
                chosen(&|_| true)
            }
            Crash::Prefix(_) => chosen(&|change| change.order < self.limit),
            Crash::Subset(seed) | Crash::Writeback(seed) => {
                names_in_order(names, seed, |(directory, _)| (*directory, Rc::from("")))
            }
            Crash::Torn(seed) => names_in_order(names, seed, Place::clone),
        }
    }

    /// What a file holds after the cut.
    fn content(&self, inode: InodeId, file: &File) -> Content {
        let mut content = Content::clone(&file.durable);
        let count = file.pending.len() as u64;
        for (index, change) in file.pending.iter().enumerate() {
            let index = index as u64;
            let metadata =
                change.fate == Fate::Synced || self.metadata(inode, change, index, count);
            match &change.effect {
                FileEffect::Length(length) if metadata => content.set_length(*length),
                FileEffect::Reserve { at, bytes } if metadata => content.reserve(*at, *bytes),
                FileEffect::Length(_) | FileEffect::Reserve { .. } => {}
                FileEffect::Write { at, bytes } => {
                    match self.sectors(inode, change) {
                        Sectors::All => content.overlay(bytes, *at),
                        Sectors::None => {}
                        Sectors::Some => overlay_sectors(&mut content, *at, bytes, |sector| {
                            self.sector(inode, change.order, sector, index, count)
                        }),
                    }
                    if metadata {
                        content.lengthen(self.end(change, *at, bytes.len() as u64));
                    }
                }
            }
        }
        content.clip();
        content
    }

    /// Whether the length (or the reservation) that a change brings survives.
    fn metadata(&self, inode: InodeId, change: &FileChange, index: u64, count: u64) -> bool {
        match self.crash {
            Crash::Nothing => false,
            Crash::Everything | Crash::MetadataOnly | Crash::DataOnly => true,
            Crash::Prefix(_) => change.order < self.limit,
            Crash::LastWrite => change.order == self.chosen,
            Crash::OneFile(_) => inode as u64 == self.chosen,
            Crash::Subset(seed) => match self.sectors(inode, change) {
                Sectors::All => !draw(seed, change.order, 1).is_multiple_of(8),
                _ => draw(seed, change.order, 1).is_multiple_of(4),
            },
            Crash::Torn(seed) => !draw(seed, change.order, u64::MAX).is_multiple_of(4),
            Crash::Writeback(seed) => index < draw(seed, inode as u64, u64::MAX) % (count + 1),
        }
    }

    /// How long a write makes the file whose length survived: a torn one may stop at any sector.
    fn end(&self, change: &FileChange, at: u64, bytes: u64) -> u64 {
        match self.crash {
            Crash::Torn(seed)
                if change.fate != Fate::Synced
                    && draw(seed, change.order, u64::MAX - 1).is_multiple_of(3) =>
            {
                let cut = draw(seed, change.order, u64::MAX - 2) % (bytes + 1);
                (at + cut) / SECTOR_BYTES * SECTOR_BYTES
            }
            _ => at + bytes,
        }
    }

    /// What of a write's data survives.
    fn sectors(&self, inode: InodeId, change: &FileChange) -> Sectors {
        let survives = match self.crash {
            _ if change.fate == Fate::Synced => true,
            Crash::Nothing | Crash::MetadataOnly => false,
            Crash::Everything | Crash::DataOnly => true,
            Crash::Prefix(_) => change.order < self.limit,
            Crash::LastWrite => change.order == self.chosen,
            Crash::OneFile(_) => inode as u64 == self.chosen,
            Crash::Subset(seed) => draw(seed, change.order, 0) % 8 < self.survive_of_8,
            Crash::Torn(_) | Crash::Writeback(_) => return Sectors::Some,
        };
        if survives { Sectors::All } else { Sectors::None }
    }

    /// Whether one sector of a write survives, in the crashes that tear writes.
    fn sector(&self, inode: InodeId, order: u64, sector: u64, index: u64, count: u64) -> bool {
        match self.crash {
            Crash::Torn(seed) => {
                let pages = draw(seed, 0, 1).is_multiple_of(2);
                let piece = if pages { sector / PAGE_SECTORS } else { sector };
                draw(seed, order, piece) % 8 < self.survive_of_8
            }
            Crash::Writeback(seed) => index < draw(seed, inode as u64, sector) % (count + 1),
            _ => false,
        }
    }
}

/// Overlays the sectors of a write that survive, runs of them at once.
fn overlay_sectors(content: &mut Content, at: u64, bytes: &[u8], survives: impl Fn(u64) -> bool) {
    let end = at + bytes.len() as u64;
    let mut run = at;
    let mut position = at;
    while position < end {
        let sector = position / SECTOR_BYTES;
        let stop = end.min((sector + 1) * SECTOR_BYTES);
        if !survives(sector) {
            content.overlay(&bytes[(run - at) as usize..(position - at) as usize], run);
            run = stop;
        }
        position = stop;
    }
    content.overlay(&bytes[(run - at) as usize..], run);
}

/// Lets the first few changes of each key survive; one that has two keys (a rename) only with both,
/// and the removal of a directory only with everything that happened in it before.
fn names_in_order(names: &[NameChange], seed: u64, key: fn(&Place) -> Place) -> Vec<bool> {
    let keys = |change: &NameChange| -> Vec<Place> {
        let mut keys: Vec<Place> = change.effect.places().into_iter().flatten().map(key).collect();
        keys.dedup(); // A rename within one directory has that twice.
        keys
    };
    let undecided = names.iter().filter(|change| change.fate != Fate::Synced);
    let mut left: BTreeMap<Place, u64> = BTreeMap::new();
    for place in undecided.flat_map(keys) {
        *left.entry(place).or_default() += 1;
    }
    for (index, count) in left.values_mut().enumerate() {
        *count = draw(seed, u64::MAX, index as u64) % (*count + 1);
    }
    let mut stopped: BTreeSet<InodeId> = BTreeSet::new();
    let decide = |change: &NameChange| {
        if change.fate == Fate::Synced {
            return true;
        }
        let emptied = change.effect.removes_directory();
        let survives =
            keys(change).iter().all(|place| left.get(place).is_some_and(|left| *left > 0))
                && emptied.is_none_or(|directory| !stopped.contains(&directory));
        for place in keys(change) {
            if survives {
                left.entry(place).and_modify(|left| *left -= 1);
            } else {
                stopped.insert(place.0);
                left.insert(place, 0);
            }
        }
        survives
    };
    names.iter().map(decide).collect()
}
