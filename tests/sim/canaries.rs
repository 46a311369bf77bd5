//! Planted bugs: the mistakes that brokers have made with people's records. Each must be found.

use crate::bugs::ahead;
use crate::careless::{Careless, Forgotten};
use crate::gateway::{Make, honest};
use crate::live_all;
use ottla::disk::Disk;
use ottla::disk::sim::SimDisk;
use std::rc::Rc;

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
            Bug::DirectoriesNotSynced => {
                |disk| Rc::new(Careless(disk.clone(), Forgotten::Directories))
            }
            _ => |disk| Rc::new(disk.clone()),
        }
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
