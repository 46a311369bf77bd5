//! The sparse index beside a segment: from offset and from time to a byte position.
//!
//! ```text
//! file:   magic "OTIX" | version u32 | base_offset i64 | entries
//! entry:  relative_offset u32 | position u32 | max_timestamp_before i64      (little-endian)
//! ```
//!
//! An entry names a batch: its base offset relative to the segment's, its position, and the
//! largest timestamp of all batches before it. One is added per `INDEX_INTERVAL_BYTES` of log.
//!
//! Promises nothing: the file is a cache, never synced. A reader checks what it is told against
//! the log, and falls back to the segment's start; a bad or missing index is begun anew.

use crate::disk::{Disk, DiskResult, FileRef, Open};
use crate::limits::INDEX_INTERVAL_BYTES;

const MAGIC: &[u8; 4] = b"OTIX";
/// The format that this binary writes, and the only one that it reads.
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 16;
const ENTRY_BYTES: u64 = 16;
/// Entries that are read at a time: those of a segment of 16 MiB.
const BLOCK_ENTRIES: usize = 256;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Base offset of the batch, relative to the segment's.
    pub relative_offset: u32,
    /// Its byte position.
    pub position: u32,
    /// The largest timestamp before it in the segment, milliseconds since 1970.
    pub max_timestamp_before: i64,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY_BYTES as usize] {
        let mut bytes = [0; ENTRY_BYTES as usize];
        bytes[0..4].copy_from_slice(&self.relative_offset.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.position.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.max_timestamp_before.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES as usize]) -> Entry {
        let [a, b, c, d, e, f, g, h, time @ ..] = *bytes;
        Entry {
            relative_offset: u32::from_le_bytes([a, b, c, d]),
            position: u32::from_le_bytes([e, f, g, h]),
            max_timestamp_before: i64::from_le_bytes(time),
        }
    }
}

/// An open index.
pub struct Index {
    file: Option<FileRef>,
    entries: u64,
    last: Entry,
}

const START: Entry = Entry { relative_offset: 0, position: 0, max_timestamp_before: i64::MIN };

impl Index {
    /// Opens the index at `path` of a segment that is `segment_bytes` long; whatever is not an
    /// ascending list of entries within the segment is cut off.
    pub fn open(disk: &dyn Disk, path: &str, base_offset: i64, segment_bytes: u32) -> Index {
        let mut index = Index { file: None, entries: 0, last: START };
        if index.load(disk, path, base_offset, segment_bytes).is_err() {
            index = Index { file: None, entries: 0, last: START };
        }
        index
    }

    fn load(&mut self, disk: &dyn Disk, path: &str, base: i64, bytes: u32) -> DiskResult<()> {
        let file = disk.open(path, Open::CreateOrKeep)?;
        let mut wanted = [0; HEADER_BYTES as usize];
        wanted[0..4].copy_from_slice(MAGIC);
        wanted[4..8].copy_from_slice(&VERSION.to_le_bytes());
        wanted[8..16].copy_from_slice(&base.to_le_bytes());
        let mut header = [0; HEADER_BYTES as usize];
        if file.read_twice(&mut header, 0)? < header.len() || header != wanted {
            file.set_length(0)?;
            file.write_at(&[&wanted], 0)?;
        }
        let entries = file.length()?.saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
        self.file = Some(file);
        for at in 0..entries {
            let Some(entry) = self.entry(at) else { break };
            let ascends = entry.relative_offset > self.last.relative_offset
                && entry.position > self.last.position
                && entry.max_timestamp_before >= self.last.max_timestamp_before;
            if !ascends || entry.position >= bytes {
                break;
            }
            self.entries = at + 1;
            self.last = entry;
        }
        Ok(())
    }

    fn entry(&self, at: u64) -> Option<Entry> {
        let mut bytes = [0; ENTRY_BYTES as usize];
        self.file.as_ref()?.read_exact_at(&mut bytes, HEADER_BYTES + at * ENTRY_BYTES).ok()?;
        Some(Entry::decode(&bytes))
    }

    /// Whether the batch at `position` is far enough from the last entry to get one of its own.
    pub fn wants(&self, position: u32) -> bool {
        position.saturating_sub(self.last.position) >= INDEX_INTERVAL_BYTES
    }

    /// Adds an entry. A failure costs later lookups time and nothing else.
    pub fn add(&mut self, entry: Entry) {
        let Some(file) = &self.file else { return };
        if file.write_at(&[&entry.encode()], HEADER_BYTES + self.entries * ENTRY_BYTES).is_ok() {
            self.entries += 1;
            self.last = entry;
        }
    }

    /// Forgets all entries: the log disagreed with one of them.
    pub fn clear(&mut self) {
        self.entries = 0;
        self.last = START;
    }

    /// The last entry for which `fits` holds, entries being sorted so that it holds for a prefix;
    /// the segment's start when there is none.
    pub fn last_where(&self, fits: impl Fn(&Entry) -> bool) -> Entry {
        let (mut low, mut high, mut found) = (0, self.entries, START);
        // What fits into one read is searched in memory.
        while high - low > BLOCK_ENTRIES as u64 {
            let middle = low + (high - low) / 2;
            match self.entry(middle) {
                Some(entry) if fits(&entry) => {
                    found = entry;
                    low = middle + 1;
                }
                _ => high = middle,
            }
        }
        let mut block = [0; BLOCK_ENTRIES * ENTRY_BYTES as usize];
        let block = &mut block[..((high - low) * ENTRY_BYTES) as usize];
        let at = HEADER_BYTES + low * ENTRY_BYTES;
        let read = self.file.as_ref().is_some_and(|file| file.read_exact_at(block, at).is_ok());
        let (entries, _) = block.as_chunks::<{ ENTRY_BYTES as usize }>();
        let count = if read { entries.partition_point(|e| fits(&Entry::decode(e))) } else { 0 };
        count.checked_sub(1).map_or(found, |last| Entry::decode(&entries[last]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn entry(n: u32) -> Entry {
        let position = n * INDEX_INTERVAL_BYTES;
        Entry { relative_offset: n, position, max_timestamp_before: i64::from(n) * 10 }
    }

    #[test]
    fn entries_are_found_again_after_reopening() {
        let disk = SimDisk::new();
        let mut index = Index::open(&disk, "i", 100, 0);
        for n in 1..=9 {
            assert!(index.wants(entry(n).position));
            index.add(entry(n));
            assert!(!index.wants(entry(n).position + 1));
        }
        let index = Index::open(&disk, "i", 100, u32::MAX);
        assert_eq!(index.last_where(|e| e.relative_offset <= 5), entry(5));
        assert_eq!(index.last_where(|e| e.relative_offset == 0), START);
        assert_eq!(index.last_where(|e| e.max_timestamp_before < 75), entry(7));
    }

    #[test]
    fn every_entry_is_found_in_an_index_of_several_blocks() {
        let disk = SimDisk::new();
        let mut index = Index::open(&disk, "i", 0, 0);
        for n in 1..=3 * BLOCK_ENTRIES as u32 + 5 {
            index.add(entry(n));
            assert_eq!(index.last_where(|_| true), entry(n));
        }
        for n in 1..=3 * BLOCK_ENTRIES as u32 + 5 {
            assert_eq!(index.last_where(|e| e.relative_offset <= n), entry(n));
        }
        assert_eq!(index.last_where(|_| false), START);
    }

    #[test]
    fn entries_behind_the_segments_end_are_cut_off() {
        let disk = SimDisk::new();
        let mut index = Index::open(&disk, "i", 0, 0);
        (1..=9).for_each(|n| index.add(entry(n)));
        let index = Index::open(&disk, "i", 0, entry(4).position + 1);
        assert_eq!(index.last_where(|_| true), entry(4));
    }

    #[test]
    fn another_segments_index_is_begun_anew() {
        let disk = SimDisk::new();
        let mut index = Index::open(&disk, "i", 0, 0);
        index.add(entry(1));
        assert_eq!(Index::open(&disk, "i", 7, u32::MAX).last_where(|_| true), START);
    }
}
