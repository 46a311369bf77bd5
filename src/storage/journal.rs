//! The journal: a ring of frames in one preallocated file, made durable by one sync for all.
//!
//! ```text
//! file:  | header 4096 B | ring ................................................. |
//! ring:       head (last checkpoint) ──► frames ──► tail     (positions grow for ever; mod size)
//! ```
//!
//! Frames gather in memory (`staged`), go to the page cache with [`Journal::write_staged`], and
//! are durable when a sync that began after that returned. Positions count from the journal's
//! birth and are taken modulo the ring's size, so that "how much is used" is a subtraction. What is
//! written stays in memory until [`Journal::let_go`]: the segments are written from there, later.
//!
//! Promises: once the ring has been written around, the file never changes its size or its blocks
//! again, so that a sync is a plain overwrite. On the first way around it is filled with zeros a
//! step ahead of the frames, in space that is reserved from the start: a first start on a slow
//! card need not wait for the whole file, and one sync in a thousand pays for a step. A frame never
//! wraps around the ring's end; nothing is written behind a *barrier* (a reference to a batch whose
//! segment is not synced yet) before it is lifted.
//! Absent: deciding when to sync (`Storage`), and reading frames back (`recovery`).

use super::journal_frame::{COMMIT_ALIGN, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader};
use crate::disk::{Disk, DiskError, DiskResult, FileRef, Open};
use crate::limits::{JOURNAL_BYTES_MAX, JOURNAL_FILL_BYTES};
use crate::storage::layout;
use crate::wire::crc32c;

/// Bytes of the file before the ring.
pub const JOURNAL_HEADER_BYTES: u64 = 4096;
const MAGIC: &[u8; 8] = b"OTTLAJRN";
/// The format that this binary writes, and the newest that it reads.
pub const JOURNAL_VERSION: u32 = 1;

/// The number of a frame: what an acknowledgement waits for.
pub type Lsn = u64;

/// Why a frame cannot be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// What is staged must be written first: room after the sync that is under way.
    Staging,
    /// The ring is full: room after the checkpoint that is under way.
    Ring,
}

/// The journal in use.
pub struct Journal {
    file: FileRef,
    ring_bytes: u64,
    generation: u32,
    next_sequence: u64,
    age_noted_s: u32,
    written: Lsn,
    durable: Lsn,
    /// Where replay would start.
    head: u64,
    /// Frames in memory, the position of the first of their bytes, and of the first that is not
    /// written yet.
    staged: Vec<u8>,
    staged_max: usize,
    staged_at: u64,
    unwritten: u64,
    /// Where writing stops, and the last frame before it.
    barrier: Option<(u64, Lsn)>,
    /// Bytes of the ring that have been written at least once.
    filled: u64,
    /// The next frame starts at a [`COMMIT_ALIGN`] boundary.
    align_next: bool,
}

/// What each sector of the journal's first block says:
/// `magic[8] version u32 ring_bytes u64 crc u32`.
///
/// It is written once and for years, and without it the whole ring would be lost: so one sector may
/// rot, or seven. (Before November 2026 only the first had it.)
fn file_header(ring_bytes: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[0..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&JOURNAL_VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&ring_bytes.to_le_bytes());
    let crc = crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What a journal file's first block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileHeader {
    /// A journal with a ring of this many bytes.
    Ring(u64),
    /// Written by a newer ottla.
    Newer(u32),
    /// Not a journal, or rotten.
    Unreadable,
}

/// The journal's first block.
fn first_block(ring_bytes: u64) -> [u8; JOURNAL_HEADER_BYTES as usize] {
    let mut block = [0; JOURNAL_HEADER_BYTES as usize];
    for sector in block.chunks_mut(COMMIT_ALIGN as usize) {
        sector[..24].copy_from_slice(&file_header(ring_bytes));
    }
    block
}

/// Reads a journal file's first block: the first sector that can be read.
///
/// # Errors
/// What the device said.
pub fn read_file_header(file: &FileRef) -> DiskResult<FileHeader> {
    let mut failed = None;
    for at in (0..JOURNAL_HEADER_BYTES).step_by(COMMIT_ALIGN as usize) {
        match read_header_sector(file, at) {
            Ok(FileHeader::Unreadable) => {}
            Err(error) => failed = failed.or(Some(error)),
            known => return known,
        }
    }
    failed.map_or(Ok(FileHeader::Unreadable), Err)
}

fn read_header_sector(file: &FileRef, at: u64) -> DiskResult<FileHeader> {
    let mut bytes = [0; 24];
    match file.read_exact_at(&mut bytes, at) {
        Err(DiskError::UnexpectedEnd) => return Ok(FileHeader::Unreadable),
        other => other?,
    }
    if &bytes[0..8] != MAGIC || crc32c(&bytes[..20]).to_le_bytes() != bytes[20..24] {
        return Ok(FileHeader::Unreadable);
    }
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if version > JOURNAL_VERSION {
        return Ok(FileHeader::Newer(version));
    }
    let mut ring = [0; 8];
    ring.copy_from_slice(&bytes[12..20]);
    let ring = u64::from_le_bytes(ring);
    if !(COMMIT_ALIGN..=JOURNAL_BYTES_MAX as u64).contains(&ring) || ring % COMMIT_ALIGN != 0 {
        return Ok(FileHeader::Unreadable);
    }
    Ok(FileHeader::Ring(ring))
}

/// Creates the journal file with all its space reserved. The caller syncs it; until the first
/// sync nothing depends on it.
///
/// # Errors
/// What the device said.
pub fn create_file(disk: &dyn Disk, ring_bytes: u64) -> DiskResult<FileRef> {
    let file = disk.open(layout::JOURNAL, Open::CreateEmpty)?;
    file.reserve(0, JOURNAL_HEADER_BYTES + ring_bytes)?;
    file.write_at(&[&first_block(ring_bytes)], 0)?;
    Ok(file)
}

/// Where a journal goes on after recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Position from which a replay starts.
    pub head: u64,
    /// Position at which the next frame goes.
    pub tail: u64,
    /// The next frame's number.
    pub next_sequence: u64,
    /// The last frame known durable. Those behind it were only seen, maybe in the page cache.
    pub durable: Lsn,
    /// The new generation.
    pub generation: u32,
    /// The store's clock, in seconds.
    pub age_s: u32,
}

impl Journal {
    /// Goes on with `file` at `resume`; what lies before is durable after the first sync. Frames
    /// take `staged_max` bytes of memory, and never more.
    ///
    /// # Errors
    /// What the device said.
    pub fn new(
        file: FileRef,
        ring_bytes: u64,
        resume: Resume,
        staged_max: usize,
    ) -> DiskResult<Journal> {
        let filled = file.length()?.saturating_sub(JOURNAL_HEADER_BYTES);
        let tail = resume.tail.next_multiple_of(COMMIT_ALIGN);
        Ok(Journal {
            filled,
            file,
            ring_bytes,
            generation: resume.generation,
            next_sequence: resume.next_sequence,
            age_noted_s: resume.age_s,
            written: resume.next_sequence - 1,
            durable: resume.durable,
            head: resume.head,
            staged: Vec::with_capacity(staged_max + COMMIT_ALIGN as usize),
            staged_max,
            staged_at: tail,
            unwritten: tail,
            barrier: None,
            align_next: false,
        })
    }

    /// The file, for syncing.
    pub fn file(&self) -> &FileRef {
        &self.file
    }

    /// The last frame staged.
    pub fn last(&self) -> Lsn {
        self.next_sequence - 1
    }

    /// The last frame in the page cache: it survives the process, not yet a power cut.
    pub fn written(&self) -> Lsn {
        self.written
    }

    /// The last frame that survives a power cut.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// This start's generation.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The ring's size in bytes.
    pub fn ring_bytes(&self) -> u64 {
        self.ring_bytes
    }

    /// Bytes of the ring that a replay would read, staged ones included.
    pub fn used(&self) -> u64 {
        // Frames that a checkpoint made superfluous may still be waiting to be written.
        self.tail().saturating_sub(self.head)
    }

    fn tail(&self) -> u64 {
        self.staged_at + self.staged.len() as u64
    }

    /// Where the next frame goes, if it has `payload_bytes`: padding before it, and its size.
    fn place(&self, payload_bytes: usize) -> (u64, u64) {
        let align = if self.align_next { COMMIT_ALIGN } else { FRAME_ALIGN };
        let mut at = self.tail().next_multiple_of(align);
        let bytes = (FRAME_HEADER_BYTES + payload_bytes) as u64;
        let left = self.ring_bytes - at % self.ring_bytes;
        if bytes > left {
            at += left;
        }
        (at - self.tail(), bytes)
    }

    /// The store's own clock as the last frame notes it, in seconds.
    pub fn age_noted_s(&self) -> u32 {
        self.age_noted_s
    }

    /// Whether a frame of `payload_bytes` can be taken; a quarter of what is left in the ring is
    /// kept for frames with `reserve`: changes that free space, and the checkpoint's own needs.
    pub fn room(&self, payload_bytes: usize, reserve: bool) -> Result<(), Full> {
        let (padding, bytes) = self.place(payload_bytes);
        let kept = if reserve { 0 } else { self.ring_bytes / 16 };
        if self.used() + padding + bytes + kept + COMMIT_ALIGN > self.ring_bytes {
            return Err(Full::Ring);
        }
        // A single frame may take all of the memory, whatever a small ring's share of it is.
        let memory = self.staged_max as u64;
        let share = memory.min(self.ring_bytes / 4);
        let (bytes, most) = match self.staged.len() as u64 {
            0 => (bytes, memory),
            staged => (staged + padding + bytes, share),
        };
        if bytes > most { Err(Full::Staging) } else { Ok(()) }
    }

    /// Stages a frame. The caller has asked [`Journal::room`].
    pub fn stage(&mut self, kind: u8, age_s: u32, parts: &[&[u8]]) -> Lsn {
        let payload_bytes = parts.iter().map(|p| p.len()).sum();
        let (padding, _) = self.place(payload_bytes);
        self.age_noted_s = age_s;
        self.align_next = false;
        self.pad(padding);
        let header = FrameHeader {
            sequence: self.next_sequence,
            durable: self.durable,
            generation: self.generation,
            payload_bytes: 0,
            payload_crc: 0,
            kind,
            age_s,
        };
        self.staged.extend_from_slice(&header.seal(parts));
        for part in parts {
            self.staged.extend_from_slice(part);
        }
        self.next_sequence += 1;
        self.last()
    }

    /// Moves the tail on by `padding`.
    fn pad(&mut self, padding: u64) {
        let all_written = self.unwritten == self.tail();
        if self.staged.is_empty() {
            self.staged_at += padding;
        } else {
            self.staged.resize(self.staged.len() + padding as usize, 0);
        }
        if all_written {
            // Writing jumps over the gap: the sector before it, which is durable, stays untouched.
            self.unwritten = self.tail();
        }
    }

    /// The position of the last `bytes` that were staged.
    pub fn position_of_last(&self, bytes: usize) -> u64 {
        self.tail() - bytes as u64
    }

    /// Bytes that are still in memory, from a position on.
    pub fn bytes_at(&self, position: u64, count: u32) -> &[u8] {
        let from = (position - self.staged_at) as usize;
        &self.staged[from..from + count as usize]
    }

    /// Bytes in memory.
    pub fn staged_bytes(&self) -> usize {
        self.staged.len()
    }

    /// Forgets the bytes that are written: nobody needs them from here any more.
    pub fn let_go(&mut self) {
        let gone = self.unwritten - self.staged_at;
        self.staged.drain(..gone as usize);
        self.staged_at = self.unwritten;
    }

    /// Holds back the frame staged last, and all behind it, until [`Journal::lift_barrier`].
    /// Returns its own number.
    pub fn raise_barrier(&mut self, frame_payload_bytes: usize) -> Lsn {
        if self.barrier.is_none() {
            let start = self.position_of_last(FRAME_HEADER_BYTES + frame_payload_bytes);
            self.barrier = Some((start, self.last() - 1));
        }
        self.last()
    }

    /// Whether frames are held back.
    pub fn has_barrier(&self) -> bool {
        self.barrier.is_some()
    }

    /// Where a barrier would have to stand now to let pass all that is staged.
    /// What is staged from now on starts in a sector of its own.
    pub fn mark(&mut self) -> (u64, Lsn) {
        self.align_next = true;
        (self.tail(), self.last())
    }

    /// Lets the frames before `mark` pass; later ones stay back if any of them is a reference
    /// (`more`), since its segment was not part of the sync that just ended.
    pub fn lift_barrier(&mut self, mark: (u64, Lsn), more: bool) {
        self.barrier = more.then_some(mark);
    }

    /// Writes what is staged, up to the barrier, into the page cache.
    ///
    /// # Errors
    /// What the device said; the frames stay staged.
    pub fn write_staged(&mut self) -> DiskResult<()> {
        let (end, lsn) = self.barrier.unwrap_or((self.tail(), self.last()));
        if end <= self.unwritten {
            return Ok(());
        }
        let at = self.unwritten % self.ring_bytes;
        let first = (end - self.unwritten).min(self.ring_bytes - at);
        self.fill(at + first)?;
        let bytes = &self.staged[(self.unwritten - self.staged_at) as usize..];
        let (first, rest) = bytes[..(end - self.unwritten) as usize].split_at(first as usize);
        self.file.write_at(&[first], JOURNAL_HEADER_BYTES + at)?;
        if !rest.is_empty() {
            self.file.write_at(&[rest], JOURNAL_HEADER_BYTES)?;
        }
        self.written = lsn;
        self.unwritten = end;
        Ok(())
    }

    /// Fills the ring with zeros up to `end` and a step beyond.
    fn fill(&mut self, end: u64) -> DiskResult<()> {
        const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
        if end <= self.filled {
            return Ok(());
        }
        let goal = (end + JOURNAL_FILL_BYTES).min(self.ring_bytes);
        while self.filled < goal {
            let count = (goal - self.filled).min(ZEROS.len() as u64);
            let zeros = &ZEROS[..count as usize];
            self.file.write_at(&[zeros], JOURNAL_HEADER_BYTES + self.filled)?;
            self.filled += count;
        }
        Ok(())
    }

    /// Writes once more what lies between head and `tail`: after a failed sync the page cache shows
    /// bytes that are not on the disk and that no sync would write.
    ///
    /// # Errors
    /// What the device said.
    pub fn write_again(&self, tail: u64) -> DiskResult<()> {
        let mut bytes = vec![0; COMMIT_ALIGN as usize];
        let mut at = self.head;
        while at < tail {
            let place = JOURNAL_HEADER_BYTES + at % self.ring_bytes;
            let count = self.file.read_twice(&mut bytes, place)?;
            self.file.write_at(&[&bytes[..count]], place)?;
            at += COMMIT_ALIGN;
        }
        self.file.write_at(&[&first_block(self.ring_bytes)], 0)
    }

    /// A sync of everything written so far begins: returns what it will make durable. Frames
    /// staged from now on start in a sector of their own.
    pub fn sync_begins(&mut self) -> Lsn {
        self.align_next = true;
        self.written
    }

    /// The sync that began with `lsn` has ended well.
    pub fn sync_ended(&mut self, lsn: Lsn) {
        debug_assert!(lsn >= self.durable && lsn <= self.written);
        self.durable = lsn;
    }

    /// Where a replay would start that needs nothing of what is staged or written now.
    pub fn checkpoint_mark(&mut self) -> (u64, u64) {
        self.align_next = true;
        (self.tail().next_multiple_of(COMMIT_ALIGN), self.next_sequence)
    }

    /// A checkpoint that needs nothing before `head` is durable.
    pub fn set_head(&mut self, head: u64) {
        debug_assert!(head >= self.head);
        self.head = head;
        // Nothing may be staged behind the mark: the next frame starts there or later.
        if self.tail() < head && self.unwritten == self.tail() {
            self.pad(head - self.tail());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::storage::journal_frame::{KIND_CHANGE, Payload};
    use crate::storage::scan::{Scan, Step};

    const RING: u64 = 16 * 1024;
    const BIRTH: Resume =
        Resume { head: 0, tail: 0, next_sequence: 1, durable: 0, generation: 1, age_s: 0 };

    fn journal(disk: &SimDisk) -> Journal {
        Journal::new(create_file(disk, RING).unwrap(), RING, BIRTH, 64 << 10).unwrap()
    }

    fn commit(journal: &mut Journal) {
        journal.write_staged().unwrap();
        let lsn = journal.sync_begins();
        journal.file().sync().unwrap();
        journal.sync_ended(lsn);
        journal.let_go();
    }

    /// The payloads that a scan from `head` on finds.
    fn found(journal: &Journal, head: u64, next_sequence: u64) -> Vec<Vec<u8>> {
        let mut scan = Scan::new(journal.file(), RING, head, next_sequence, 1);
        let mut all = Vec::new();
        loop {
            match scan.step() {
                Step::Frame { payload: Payload::Change(bytes), .. } => all.push(bytes.to_vec()),
                Step::End => return all,
                _ => panic!("something else"),
            }
        }
    }

    #[test]
    fn frames_are_found_again_however_often_the_ring_goes_around() {
        let disk = SimDisk::new();
        let mut journal = journal(&disk);
        let mut kept: Vec<Vec<u8>> = Vec::new();
        let (mut head, mut next) = (0, 1);
        for n in 0..200u32 {
            let payload = vec![n as u8; 100 + (n as usize * 37) % 700];
            assert_eq!(journal.room(payload.len(), false), Ok(()), "frame {n}");
            journal.stage(KIND_CHANGE, 0, &[&payload]);
            kept.push(payload);
            if n % 3 == 0 {
                commit(&mut journal);
                assert_eq!(found(&journal, head, next), kept, "after frame {n}");
            }
            if journal.used() * 2 > RING {
                (head, next) = journal.checkpoint_mark();
                journal.set_head(head);
                // What is staged and not written goes on, but a replay does not need it.
                kept.clear();
            }
        }
        assert!(head > 5 * RING, "the ring has been around");
        assert_eq!(disk.open("journal", Open::Read).unwrap().length(), Ok(RING + 4096));
    }

    #[test]
    fn a_full_ring_takes_nothing_until_a_checkpoint_and_keeps_a_reserve() {
        let disk = SimDisk::new();
        let mut journal = journal(&disk);
        while journal.room(400, false).is_ok() {
            journal.stage(KIND_CHANGE, 0, &[&[1; 400]]);
            commit(&mut journal);
        }
        assert_eq!(journal.room(400, false), Err(Full::Ring));
        assert_eq!(journal.room(400, true), Ok(()));
        let (head, _) = journal.checkpoint_mark();
        journal.set_head(head);
        assert_eq!((journal.used(), journal.room(400, false)), (0, Ok(())));
    }

    #[test]
    fn a_checkpoint_may_end_before_the_frames_in_front_of_it_were_written() {
        let disk = SimDisk::new();
        let mut journal = journal(&disk);
        let lsn = journal.stage(KIND_CHANGE, 0, &[&[1; 40]]);
        let (head, next) = journal.checkpoint_mark();
        journal.set_head(head);
        assert_eq!(journal.used(), 0);
        journal.stage(KIND_CHANGE, 0, &[&[2; 40]]);
        commit(&mut journal);
        assert!(journal.durable() > lsn);
        assert_eq!(found(&journal, head, next), [vec![2; 40]]);
    }

    #[test]
    fn nothing_passes_a_barrier_before_it_is_lifted() {
        let disk = SimDisk::new();
        let mut journal = journal(&disk);
        let free = journal.stage(KIND_CHANGE, 0, &[&[1; 30]]);
        journal.stage(KIND_CHANGE, 0, &[&[2; 40]]);
        let held = journal.raise_barrier(40);
        journal.stage(KIND_CHANGE, 0, &[&[3; 50]]);
        commit(&mut journal);
        assert_eq!((journal.durable(), held), (free, free + 1));
        assert_eq!(found(&journal, 0, 1), [vec![1; 30]]);
        let mark = journal.mark();
        journal.stage(KIND_CHANGE, 0, &[&[4; 60]]);
        // Another reference was staged behind the mark: the barrier moves there.
        journal.lift_barrier(mark, true);
        commit(&mut journal);
        assert_eq!(found(&journal, 0, 1), [vec![1; 30], vec![2; 40], vec![3; 50]]);
        assert_eq!(journal.durable(), mark.1);
        journal.lift_barrier(journal.barrier.unwrap(), false);
        commit(&mut journal);
        assert_eq!(found(&journal, 0, 1).len(), 4);
        assert_eq!(journal.durable(), journal.last());
    }

    #[test]
    fn what_is_staged_while_a_sync_runs_starts_in_a_sector_of_its_own() {
        let disk = SimDisk::new();
        let mut journal = journal(&disk);
        journal.stage(KIND_CHANGE, 0, &[&[1; 30]]);
        journal.write_staged().unwrap();
        journal.sync_begins();
        journal.stage(KIND_CHANGE, 0, &[&[2; 30]]);
        assert_eq!(journal.tail() - 78, COMMIT_ALIGN);
    }

    #[test]
    fn a_newer_format_and_a_rotten_header_are_told_apart() {
        let disk = SimDisk::new();
        let file = create_file(&disk, RING).unwrap();
        assert_eq!(read_file_header(&file), Ok(FileHeader::Ring(RING)));
        let mut header = file_header(RING);
        header[8] = 2;
        for sector in 0..8 {
            assert_eq!(read_file_header(&file), Ok(FileHeader::Ring(RING)), "{sector} are rotten");
            file.write_at(&[&header], sector * COMMIT_ALIGN).unwrap();
        }
        assert_eq!(read_file_header(&file), Ok(FileHeader::Unreadable));
        let crc = crc32c(&header[..20]);
        header[20..24].copy_from_slice(&crc.to_le_bytes());
        file.write_at(&[&header], 0).unwrap();
        assert_eq!(read_file_header(&file), Ok(FileHeader::Newer(2)));
    }
}
