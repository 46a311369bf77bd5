//! What a start says of what it found: why it cannot go on, and what a person should know.

use crate::disk::DiskError;
use crate::limits::RECOVERY_NOTES_MAX;
use core::fmt;

/// Why a data directory cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// A file was written by a newer ottla.
    Newer {
        /// Which.
        file: &'static str,
        /// In which format.
        version: u32,
    },
    /// The disk refused even what start-up needs.
    Disk(DiskError),
    /// The directory was written with a larger board.
    TooLarge(TooLarge),
}

/// What a directory has more of than the board has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// What it is, in the plural.
    pub what: &'static str,
    /// How many there are at least; 0 where nobody has counted them.
    pub found: usize,
}

impl TooLarge {
    /// More segments than rows for them.
    pub const SEGMENTS: TooLarge = TooLarge { what: "segments", found: 0 };
    /// A coordinator file with more than all tables have room for.
    pub const COORDINATOR: TooLarge = TooLarge { what: "bytes of tables", found: 0 };
    /// More partitions than rows for them.
    pub const PARTITIONS: TooLarge = TooLarge { what: "partitions", found: 0 };
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        OpenError::Disk(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Newer { file, version } => write!(
                f,
                "the file '{file}' has format {version}, which a newer ottla wrote; start that one"
            ),
            OpenError::Disk(error) => write!(f, "{error}"),
            OpenError::TooLarge(TooLarge { what, found }) => {
                f.write_str("the data directory holds ")?;
                match found {
                    0 => write!(f, "more {what}")?,
                    found => write!(f, "{found} {what}, more")?,
                }
                write!(
                    f,
                    " than this board has room for: start with a larger one \
                     (`ottla limits --board NAME` shows what each holds); nothing was removed"
                )
            }
        }
    }
}

/// What start-up found, for one log line and for tests.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// This directory was empty.
    pub first_start: bool,
    /// The last stop was an orderly one.
    pub clean: bool,
    /// Journal frames replayed.
    pub frames: u64,
    /// Record batches among them.
    pub batches: u64,
    /// The coordinator file had to be rebuilt from the directories.
    pub rebuilt: bool,
    /// There was a coordinator file, and no journal that could be read.
    pub journal_lost: bool,
    /// What could not be read, one sentence each.
    pub notes: Vec<String>,
}

impl Report {
    /// Adds a sentence about something that could not be read.
    pub fn note(&mut self, text: String) {
        if self.notes.len() < RECOVERY_NOTES_MAX {
            self.notes.push(text);
        }
    }
}
