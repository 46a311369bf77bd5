//! The coordinator file: what stands in for ZooKeeper, `myid`, `zoo.cfg` and `meta.properties`.
//!
//! ```text
//!  0 magic "OTLCOORD" | 8 version u32 | 12 payload_bytes u32 | 16 crc u32 (of 8..16, payload)
//! 20 payload: postcard of `CoordinatorFile` = storage's part, then the state's part as bytes
//! ```
//!
//! It is the picture of one moment, the last checkpoint; what came later is in the journal, from
//! `head` on. Replacing it, and what a power cut after each step leaves:
//!
//! 1. every segment and directory written since the last checkpoint is synced — the old file counts
//!    (`coordinator.new` is written at the same moment, but for its header: it does not count)
//! 2. the header is written and `coordinator.new` synced — it counts once it is whole: all it names
//!    is there
//! 3. `coordinator` is renamed to `coordinator.previous` — the newest whole one of the three counts
//! 4. `coordinator.new` is renamed to `coordinator`
//! 5. the directory is synced; only now is the journal before `head` given up
//!
//! The file before the previous one is not removed: it becomes the next `coordinator.new`, without
//! a header, with more space than the next checkpoint needs. So checkpoints go on where the disk is
//! full, and with them everything that the journal takes: commits, deletions, forwarding.
//!
//! Absent: the meaning of the state's part (`state::coordinator_file`).

use super::layout;
use super::partition::Segment;
use crate::disk::{Disk, DiskError, DiskResult, FileRef, Open};
use crate::limits::{
    COORDINATOR_SPARE_BYTES, COUNT_PLAUSIBLE_MAX, NUMBER_PLAUSIBLE_MAX, OFFSET_PLAUSIBLE_MAX,
    TOPIC_PARTITIONS_PLAUSIBLE_MAX,
};
use crate::wire::crc::{crc32c, crc32c_combine, crc32c_parts};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"OTLCOORD";
/// The format that this binary writes, and the newest that it reads.
pub const COORDINATOR_VERSION: u32 = 1;
/// Bytes in front of the payload.
pub const HEADER_BYTES: usize = 20;

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorFile {
    /// Storage's part.
    pub storage: StorageState,
    /// The state's part, as `state::coordinator_file` encodes it.
    pub state: Vec<u8>,
}

/// Storage's part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageState {
    /// Checkpoints since the directory was born.
    pub checkpoint: u64,
    /// Where in the journal's ring a replay begins.
    pub head: u64,
    /// The number of the frame that stands there.
    pub next_sequence: u64,
    /// The generation that wrote the checkpoint.
    pub generation: u32,
    /// Seconds of observed running time.
    pub age_s: u32,
    /// Nothing was written to the journal afterwards: an orderly stop.
    pub clean: bool,
    /// All partitions.
    pub partitions: Vec<PartitionRecord>,
}

/// One partition at the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// The topic's number.
    pub topic: u32,
    /// The topic's name, which names the directory.
    pub topic_name: String,
    /// The partition's index.
    pub partition: u32,
    /// First offset that is served.
    pub log_start: i64,
    /// Offset behind the last record.
    pub log_end: i64,
    /// Its segments, oldest first.
    pub segments: Vec<Segment>,
}

/// What was found under one of the three names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole file.
    Whole(Box<CoordinatorFile>),
    /// Nothing.
    Missing,
    /// Something that fails its checks.
    Unreadable,
    /// A file of a newer ottla.
    Newer(u32),
}

/// The bytes of a coordinator file.
pub fn encode(file: &CoordinatorFile) -> Vec<u8> {
    let payload = postcard::to_stdvec(file).unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&COORDINATOR_VERSION.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    let crc = crc32c_parts(&[&bytes[8..16], &payload]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}

/// The header of a file with a payload of so many bytes and this CRC.
fn header(payload_bytes: usize, payload_crc: u32) -> DiskResult<[u8; HEADER_BYTES]> {
    let mut header = [0; HEADER_BYTES];
    let length = u32::try_from(payload_bytes).map_err(|_| DiskError::NoSpace)?;
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&COORDINATOR_VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c_combine(crc32c(&header[8..16]), payload_crc, payload_bytes);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    Ok(header)
}

/// A payload that is written piece by piece, through one buffer: it may be larger than the memory.
pub struct Pieces<'a> {
    /// Where the pieces go; `None` counts them only.
    file: Option<&'a FileRef>,
    buffer: &'a mut [u8],
    filled: usize,
    written: usize,
    crc: u32,
    failed: Option<DiskError>,
}

impl<'a> Pieces<'a> {
    /// Counts the bytes.
    pub fn counting(buffer: &'a mut [u8]) -> Pieces<'a> {
        Pieces { file: None, buffer, filled: 0, written: 0, crc: 0, failed: None }
    }

    /// Writes them behind the header's place.
    pub fn writing(buffer: &'a mut [u8], file: &'a FileRef) -> Pieces<'a> {
        Pieces { file: Some(file), buffer, filled: 0, written: 0, crc: 0, failed: None }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.written + self.filled
    }

    /// Adds a value.
    pub fn put<T: Serialize + ?Sized>(&mut self, value: &T) {
        if postcard::serialize_with_flavor(value, PiecesFlavor(self)).is_err() {
            // No type of ours does that.
            self.failed.get_or_insert(DiskError::Io);
        }
    }

    /// Adds the number of rows that follow.
    pub fn put_count(&mut self, count: usize) {
        self.put(&(count as u64));
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.buffer.len() - self.filled;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer[self.filled..self.filled + now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == self.buffer.len() {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let piece = &self.buffer[..self.filled];
        if let (Some(file), None) = (self.file, self.failed) {
            self.crc = crc32c_combine(self.crc, crc32c(piece), piece.len());
            self.failed = file.write_at(&[piece], (HEADER_BYTES + self.written) as u64).err();
        }
        self.written += self.filled;
        self.filled = 0;
    }

    /// Writes what is left, and says what the header must be.
    ///
    /// # Errors
    /// What the disk said to any of the pieces.
    pub fn finish(mut self) -> DiskResult<[u8; HEADER_BYTES]> {
        self.flush();
        match self.failed {
            Some(error) => Err(error),
            None => header(self.written, self.crc),
        }
    }
}

/// What `postcard` writes into.
struct PiecesFlavor<'a, 'b>(&'a mut Pieces<'b>);

impl postcard::ser_flavors::Flavor for PiecesFlavor<'_, '_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.add(&[byte]);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.add(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// What a header says. Every version has the same one, so that its CRC tells a newer version from a
/// rotten number.
struct Header {
    version: u32,
    /// Bytes of the payload.
    length: usize,
    /// Over version, length and payload.
    crc: u32,
}

impl Header {
    /// To be asked when the CRC was right.
    fn check_version(&self) -> Result<(), Found> {
        if self.version > COORDINATOR_VERSION { Err(Found::Newer(self.version)) } else { Ok(()) }
    }
}

fn read_header(header: &[u8; HEADER_BYTES]) -> Result<Header, Found> {
    let [a, b, c, d, e, f, g, h, version @ .., _, _, _, _, _, _, _, _] = *header;
    if [a, b, c, d, e, f, g, h] != *MAGIC {
        return Err(Found::Unreadable);
    }
    let [.., l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    Ok(Header {
        version: u32::from_le_bytes(version),
        length: u32::from_le_bytes([l0, l1, l2, l3]) as usize,
        crc: u32::from_le_bytes([c0, c1, c2, c3]),
    })
}

/// Reads the bytes of a coordinator file.
pub fn decode(bytes: &[u8]) -> Found {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Found::Unreadable;
    };
    let known = match read_header(header) {
        Ok(known) => known,
        Err(found) => return found,
    };
    let Some(payload) = payload.get(..known.length) else { return Found::Unreadable };
    if crc32c_parts(&[&header[8..16], payload]) != known.crc {
        return Found::Unreadable;
    }
    if let Err(newer) = known.check_version() {
        return newer;
    }
    match postcard::from_bytes(payload) {
        Ok(file) if is_plausible(&file) => Found::Whole(Box::new(file)),
        _ => Found::Unreadable,
    }
}

/// Whether recovery can count on from these numbers.
fn is_plausible(file: &CoordinatorFile) -> bool {
    let state = &file.storage;
    let segment = |pair: &[Segment]| pair[0].base_offset < pair[1].base_offset;
    let partition = |p: &PartitionRecord| {
        let (first, last) = (p.segments.first(), p.segments.last());
        p.partition < TOPIC_PARTITIONS_PLAUSIBLE_MAX
            && p.topic <= NUMBER_PLAUSIBLE_MAX
            && 0 <= p.log_start
            && p.log_start <= p.log_end
            && p.log_end <= OFFSET_PLAUSIBLE_MAX
            && first.is_none_or(|first| first.base_offset >= 0)
            && last.is_none_or(|last| last.base_offset <= p.log_end)
            && p.segments.windows(2).all(segment)
    };
    (1..=COUNT_PLAUSIBLE_MAX).contains(&state.next_sequence)
        && state.head <= COUNT_PLAUSIBLE_MAX
        && state.checkpoint <= COUNT_PLAUSIBLE_MAX
        && state.generation <= NUMBER_PLAUSIBLE_MAX
        && state.age_s <= NUMBER_PLAUSIBLE_MAX
        && state.partitions.iter().all(partition)
}

/// Reads one of the three files into memory.
pub fn read(disk: &dyn Disk, path: &str) -> Found {
    let bytes = disk.open(path, Open::Read).and_then(|file| {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let Ok(Header { length, .. }) = read_header(&header) else { return Ok(header.to_vec()) };
        // What stands behind the payload is none of it, and a length that rotted takes no memory.
        let there = usize::try_from(file.length()?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; there.min(HEADER_BYTES.saturating_add(length))];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    });
    match bytes {
        Ok(bytes) => decode(&bytes),
        Err(DiskError::NotFound) => Found::Missing,
        Err(_) => Found::Unreadable,
    }
}

/// What there is to say of a file without keeping it in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which checkpoint it is.
    pub checkpoint: u64,
    /// Bytes of the file.
    pub bytes: usize,
}

/// Looks through one of the three files, piece by piece, as far as its CRC goes.
///
/// # Errors
/// What was found instead of a whole file.
pub fn look(disk: &dyn Disk, path: &str) -> Result<Seen, Found> {
    let unreadable = |error| match error {
        DiskError::NotFound => Found::Missing,
        _ => Found::Unreadable,
    };
    let file = disk.open(path, Open::Read).map_err(unreadable)?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).map_err(unreadable)?;
    let known = read_header(&header)?;
    let length = known.length;
    let (mut checkpoint, mut sum, mut done) = (None, crc32c(&header[8..16]), 0);
    let mut piece = [0; 4096];
    while done < length {
        let piece = &mut piece[..(length - done).min(4096)];
        file.read_exact_at(piece, (HEADER_BYTES + done) as u64).map_err(unreadable)?;
        // It is the first number.
        checkpoint = checkpoint.or_else(|| postcard::take_from_bytes(piece).ok().map(|it| it.0));
        sum = crc32c_combine(sum, crc32c(piece), piece.len());
        done += piece.len();
    }
    if sum != known.crc {
        return Err(Found::Unreadable);
    }
    known.check_version()?;
    let checkpoint = checkpoint.ok_or(Found::Unreadable)?;
    Ok(Seen { checkpoint, bytes: HEADER_BYTES + length })
}

/// Step 2, but for the sync, which is the caller's.
///
/// # Errors
/// What the disk said.
pub fn write_new(disk: &dyn Disk, file: &CoordinatorFile) -> DiskResult<FileRef> {
    // The space that was kept for it is not given up: on a full disk there is no other.
    let new = disk.open(layout::COORDINATOR_NEW, Open::CreateOrKeep)?;
    new.write_at(&[&encode(file)], 0)?;
    Ok(new)
}

/// Space for the next one, if there is some: half as much again as this one of `bytes` took. As
/// long as there is no previous one, whose space is that of the next but one, for that as well. The
/// directory is synced: nothing but `coordinator.new` is that file.
pub fn keep_spare(disk: &dyn Disk, bytes: u64) {
    let space = (bytes + bytes / 2 + COORDINATOR_SPARE_BYTES).next_multiple_of(4096);
    let keep = |path| {
        if let Ok(spare) = disk.open(path, Open::CreateOrKeep) {
            // Two checkpoints old, it must not count again; should this be lost, a newer one
            // counts.
            spare.write_at(&[&[0; HEADER_BYTES]], 0).ok();
            spare.reserve(0, space).ok();
        }
    };
    keep(layout::COORDINATOR_NEW);
    if matches!(disk.open(layout::COORDINATOR_PREVIOUS, Open::Read), Err(DiskError::NotFound)) {
        keep(layout::COORDINATOR_SPARE);
    }
}

/// The same at a start. What is there under that name may be another name of the file that counts,
/// as a power cut left it, so it goes first.
pub fn begin_spare(disk: &dyn Disk) {
    disk.remove_file(layout::COORDINATOR_NEW).ok();
    disk.remove_file(layout::COORDINATOR_SPARE).ok();
    let bytes = disk.open(layout::COORDINATOR, Open::Read).and_then(|file| file.length());
    keep_spare(disk, bytes.unwrap_or_default());
}

/// Steps 3 and 4; returns the directory, to be synced for step 5.
///
/// # Errors
/// What the disk said.
pub fn put_in_place(disk: &dyn Disk) -> DiskResult<FileRef> {
    let rename = |from, to| match disk.rename(from, to) {
        Err(DiskError::NotFound) => Ok(false),
        other => other.map(|()| true),
    };
    rename(layout::COORDINATOR_PREVIOUS, layout::COORDINATOR_SPARE)?;
    rename(layout::COORDINATOR, layout::COORDINATOR_PREVIOUS)?;
    disk.rename(layout::COORDINATOR_NEW, layout::COORDINATOR)?;
    rename(layout::COORDINATOR_SPARE, layout::COORDINATOR_NEW)?;
    disk.open_dir("")
}

/// Makes the file that a start has chosen the one and durable `coordinator`, before anything is
/// built upon it. It was found at `path`, but maybe only in the page cache: the process before may
/// have died in the middle of the five steps. Without this the next checkpoint would overwrite
/// the only copy, or a power cut would bring back an older one, whose journal is given up.
///
/// `anew`: a sync failed, so that what is seen may not be there; everything is written again.
///
/// # Errors
/// What the disk said.
pub fn settle(disk: &dyn Disk, path: &str, file: &CoordinatorFile, anew: bool) -> DiskResult<()> {
    if anew {
        write_new(disk, file)?.sync()?;
        put_in_place(disk)?;
    } else if path == layout::COORDINATOR_NEW {
        disk.open(path, Open::Write)?.sync()?;
        put_in_place(disk)?;
    } else if path == layout::COORDINATOR_PREVIOUS {
        // `coordinator` is missing or rotten; renamed to `.previous` it would take the last copy.
        disk.rename(path, layout::COORDINATOR)?;
    }
    disk.open_dir("")?.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CoordinatorFile {
        let segment = Segment {
            base_offset: 4,
            bytes: 99,
            max_timestamp: -1,
            created_age_s: 1,
            appended_age_s: 2,
        };
        let record = PartitionRecord {
            topic: 1,
            topic_name: "t".into(),
            partition: 0,
            log_start: 4,
            log_end: 9,
            segments: vec![segment],
        };
        let storage = StorageState { checkpoint: 3, next_sequence: 1, ..StorageState::default() };
        let storage = StorageState { partitions: vec![record], ..storage };
        CoordinatorFile { storage, state: vec![1, 2, 3] }
    }

    #[test]
    fn numbers_that_recovery_cannot_count_on_from_are_no_file() {
        let with = |spoil: fn(&mut StorageState)| {
            let mut file = sample();
            spoil(&mut file.storage);
            decode(&encode(&file))
        };
        assert!(matches!(with(|_| ()), Found::Whole(_)));
        for spoil in [
            |s: &mut StorageState| s.next_sequence = 0,
            |s: &mut StorageState| s.next_sequence = u64::MAX,
            |s: &mut StorageState| s.head = u64::MAX,
            |s: &mut StorageState| s.checkpoint = u64::MAX,
            |s: &mut StorageState| s.generation = u32::MAX,
            |s: &mut StorageState| s.partitions[0].log_end = i64::MAX,
            |s: &mut StorageState| s.partitions[0].log_start = 10,
            |s: &mut StorageState| s.partitions[0].segments[0].base_offset = -1,
            |s: &mut StorageState| s.partitions[0].partition = u32::MAX,
        ] {
            assert_eq!(with(spoil), Found::Unreadable);
        }
    }

    #[test]
    fn a_file_comes_back_and_every_flipped_bit_or_cut_of_it_is_found() {
        let bytes = encode(&sample());
        assert_eq!(decode(&bytes), Found::Whole(Box::new(sample())));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad), Found::Unreadable, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(!matches!(decode(&bytes[..end]), Found::Whole(_)), "cut at {end}");
        }
    }

    #[test]
    fn a_newer_format_is_named_and_a_version_that_rotted_is_none() {
        let mut bytes = encode(&sample());
        bytes[8] = 2;
        assert_eq!(decode(&bytes), Found::Unreadable);
        let crc = crc32c_parts(&[&bytes[8..16], &bytes[HEADER_BYTES..]]);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes), Found::Newer(2));
    }
}
