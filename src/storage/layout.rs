//! Where everything lies in the data directory.
//!
//! ```text
//! lock                    held by the kernel while a broker runs
//! coordinator             node, topics, offsets, producers, as of the last checkpoint
//! coordinator.previous    the one before
//! coordinator.new         space for the next one, or a checkpoint that was being written when the
//!                         power went (`coordinator.spare` for a moment)
//! journal                 what has become durable since the checkpoint
//! sync-failed             a sync failed; recovery writes everything anew
//! topics/<name>-<partition>/<base offset, 20 digits>.log     record batches, back to back
//! topics/<name>-<partition>/<base offset, 20 digits>.index   a cache, see `index`
//! ```
//!
//! These are Kafka's own names where Kafka has one. Nothing else is read from the directory.

use crate::limits::{OFFSET_PLAUSIBLE_MAX, TOPIC_PARTITIONS_PLAUSIBLE_MAX};
use core::fmt::Write;

/// The journal's path.
pub const JOURNAL: &str = "journal";
/// The coordinator file's path.
pub const COORDINATOR: &str = "coordinator";
/// The coordinator file while it is being written.
pub const COORDINATOR_NEW: &str = "coordinator.new";
/// The coordinator file before the previous one, on its way to be the next new one.
pub const COORDINATOR_SPARE: &str = "coordinator.spare";
/// The coordinator file of the checkpoint before the last.
pub const COORDINATOR_PREVIOUS: &str = "coordinator.previous";
/// An empty file that says that a sync failed, so that what the page cache shows may not be on
/// the disk, whatever a later sync says.
pub const SYNC_FAILED: &str = "sync-failed";
/// The directory of all partitions.
pub const TOPICS: &str = "topics";

/// The directory of one partition, as a path: a topic's name has 249 bytes at most.
pub type Dir = heapless::String<268>;

/// The path of a file in a partition's directory.
pub type Path = heapless::String<300>;

/// The directory of one partition.
pub fn partition_dir(topic: &str, partition: u32) -> Dir {
    let mut dir = Dir::new();
    // What does not fit is no legal name, and no file is found by what is left of it.
    write!(dir, "{TOPICS}/{topic}-{partition}").ok();
    dir
}

/// The topic's name in a partition's directory.
pub fn topic_of(dir: &str) -> &str {
    let name = dir.strip_prefix(TOPICS).and_then(|name| name.strip_prefix('/'));
    name.and_then(partition_of).map_or("", |(topic, _)| topic)
}

/// The segment file in `dir` whose first offset is `base_offset`.
pub fn segment_file(dir: &str, base_offset: i64) -> Path {
    let mut path = Path::new();
    write!(path, "{dir}/{base_offset:020}.log").ok();
    path
}

/// The index beside that segment.
pub fn index_file(dir: &str, base_offset: i64) -> Path {
    let mut path = Path::new();
    write!(path, "{dir}/{base_offset:020}.index").ok();
    path
}

/// The base offset in a segment's file name; `None` for any other name.
pub fn segment_base(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|base| *base <= OFFSET_PLAUSIBLE_MAX)
}

/// Topic and partition in a partition directory's name; `None` for any other name.
pub fn partition_of(dir_name: &str) -> Option<(&str, u32)> {
    let (topic, partition) = dir_name.rsplit_once('-')?;
    let partition = partition.parse().ok().filter(|p| *p < TOPIC_PARTITIONS_PLAUSIBLE_MAX)?;
    Some((topic, partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        assert_eq!(segment_base("00000000000000000042.log"), Some(42));
        assert_eq!(segment_base("42.log"), None);
        assert_eq!(segment_base("0000000000000000004x.log"), None);
        assert_eq!(partition_of("a-b-7"), Some(("a-b", 7)));
        assert_eq!(partition_of("plain"), None);
        assert_eq!(topic_of(&partition_dir("a-b", 7)), "a-b");
        let longest = "x".repeat(249);
        let dir = partition_dir(&longest, 4095);
        assert!(topic_of(&dir) == longest && index_file(&dir, i64::MAX).ends_with(".index"));
        assert_eq!(partition_of("t-4294967295"), None, "nobody made so many partitions");
        assert_eq!(segment_base("09223372036854775807.log"), None, "no log ends there");
        assert_eq!(segment_file(&partition_dir("t", 0), 5), "topics/t-0/00000000000000000005.log");
    }
}
