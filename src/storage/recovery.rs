//! Start-up: the coordinator file, then the journal on top of it. Always comes up.
//!
//! | found                                   | done                                               |
//! |-----------------------------------------|----------------------------------------------------|
//! | nothing                                 | a first start: a journal and a coordinator file    |
//! | a coordinator file, a journal           | replay from its head; its time is the journal's    |
//! | only the previous or the new one whole  | the newest whole one counts; said in the report    |
//! | a coordinator file, no journal          | what the checkpoint and the segments say; reported |
//! | no coordinator file, but data           | rebuilt from the directories; said in the report   |
//! | a format newer than this binary's       | refused with a sentence; nothing is touched        |
//!
//! The replay runs twice over the journal: once to learn where it ends and which topics do not
//! survive it, once to restore. What a deleted topic left must not be restored, since a later
//! topic of the same name may own the same files by now.
//!
//! A cut during recovery is no special case: everything it writes is what the next recovery would
//! write, until the one frame that opens the new generation is durable. Only then are files
//! removed, and only then is more shown than was known durable: after a mere death of the process
//! the page cache shows frames that a power cut would still take. Where the disk refuses to make
//! them durable, the store is served as far as it is known durable, and nothing is written.

mod report;

pub use report::{OpenError, Report, TooLarge};

use super::behind::Behind;
use super::coordinator::{self, CoordinatorFile, Found, Seen, StorageState};
use super::journal::{self, FileHeader, Journal, Resume};
use super::journal_frame::{FrameHeader, KIND_OPENED, PartitionKey, Payload};
use super::partition::{Partition, Place};
use super::quota::Quota;
use super::rot::Rot;
use super::scan::{Scan, Step};
use super::scrub::Scrub;
use super::table::Table;
use super::{Counters, Options, Storage, layout, rebuild, ring_bytes, sync::SyncState};
use crate::disk::{Disk, DiskError, DiskResult, FileRef, Open};
use crate::fixed::{self, List};
use crate::limits::COORDINATOR_PIECE_BYTES;
use crate::time::Millis;
use crate::wire::batch::BatchHeader;
use std::collections::BTreeSet;
use std::rc::Rc;

/// What a change frame means for storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// A topic with partitions 0..`partitions` comes to be.
    Create {
        /// Its number.
        topic: u32,
        /// Its name.
        name: String,
        /// How many partitions.
        partitions: u32,
    },
    /// Nothing, but it names a topic: its number is taken.
    Names {
        /// Its number.
        topic: u32,
    },
    /// A topic has this many partitions now.
    Grow {
        /// Its number.
        topic: u32,
        /// How many partitions.
        partitions: u32,
    },
    /// A topic is gone.
    Remove {
        /// Its number.
        topic: u32,
    },
}

/// The state that is recovered together with the logs.
pub trait Replay {
    /// The state as of the checkpoint.
    ///
    /// # Errors
    /// The version, when it is newer than this binary.
    fn snapshot(&mut self, bytes: &[u8]) -> Result<(), u16>;
    /// What a change means for storage; changes nothing.
    fn effect(&self, change: &[u8]) -> Effect;
    /// A change that became durable.
    fn change(&mut self, change: &[u8]);
    /// A batch that became durable.
    fn batch(&mut self, key: PartitionKey, header: &BatchHeader);
    /// A topic was found as directories only; `number` is free, or was the topic's before.
    fn adopt(&mut self, number: u32, name: &str, partitions: u32);
}

/// For tests of storage alone: there is no state beside the logs.
#[cfg(test)]
pub struct Nothing;

#[cfg(test)]
impl Replay for Nothing {
    fn snapshot(&mut self, _: &[u8]) -> Result<(), u16> {
        Ok(())
    }
    fn effect(&self, _: &[u8]) -> Effect {
        Effect::None
    }
    fn change(&mut self, _: &[u8]) {}
    fn batch(&mut self, _: PartitionKey, _: &BatchHeader) {}
    fn adopt(&mut self, _: u32, _: &str, _: u32) {}
}

/// A coordinator file and its path.
type Chosen = Option<(&'static str, CoordinatorFile)>;

/// The newest whole coordinator file with its path, and whether there was one that is lost. Only
/// that one is ever in memory, and only if it is one that this board could have written.
fn choose(
    disk: &dyn Disk,
    bytes_max: usize,
    report: &mut Report,
) -> Result<(Chosen, bool), OpenError> {
    let mut whole = heapless::Vec::<(&'static str, Seen), 3>::new();
    let mut lost = false;
    let mut note = |path| {
        // A half-written new file is what a power cut leaves; no reason to worry anybody.
        if path != layout::COORDINATOR_NEW {
            lost = true;
            report.note(format!("the file '{path}' is unreadable and was left aside"));
        }
    };
    for path in [layout::COORDINATOR, layout::COORDINATOR_NEW, layout::COORDINATOR_PREVIOUS] {
        match coordinator::look(disk, path) {
            Ok(seen) => whole.push((path, seen)).unwrap_or_default(),
            Err(Found::Newer(version)) => {
                return Err(OpenError::Newer { file: "coordinator", version });
            }
            Err(Found::Unreadable) => note(path),
            Err(Found::Missing | Found::Whole(_)) => {}
        }
    }
    whole.sort_by_key(|(_, seen)| core::cmp::Reverse(seen.checkpoint));
    let mut best = None;
    for (path, seen) in whole {
        if seen.bytes > bytes_max {
            let found = seen.bytes;
            return Err(OpenError::TooLarge(TooLarge { found, ..TooLarge::COORDINATOR }));
        }
        match coordinator::read(disk, path) {
            Found::Whole(file) => {
                best = Some((path, *file));
                break;
            }
            _ => note(path),
        }
    }
    Ok((best, lost))
}

impl Storage {
    /// Opens a data directory, recovering whatever is there into `replay`. Everything recovered
    /// is durable when this returns; where the disk refuses that, what is readable is served and
    /// [`Storage::failed`] says why nothing is written.
    ///
    /// # Errors
    /// [`OpenError`]. A file that cannot be read is none: it is named in the report.
    pub fn open(
        disk: Rc<dyn Disk>,
        options: Options,
        replay: &mut dyn Replay,
        now: Millis,
    ) -> Result<(Storage, Report), OpenError> {
        let mut report = Report::default();
        let (chosen, lost) = choose(&*disk, options.sizes.coordinator_bytes(), &mut report)?;
        let found = find_journal(&*disk)?;
        // Also when the power went in the middle of the first start: no directory of a topic is
        // made before the first checkpoint has ended.
        report.first_start = chosen.is_none()
            && !lost
            && found.as_ref().is_none_or(|(file, ring)| !rebuild::has_promised(file, *ring))
            && !has_topics(&*disk)?;
        let made = report.first_start || found.is_none();
        let (file, ring) = match found {
            Some(found) if !made => found,
            _ => {
                let most = options.quota_bytes.map_or(u64::MAX, |quota| quota / 4);
                let ring = ring_bytes(options.journal_bytes.min(most));
                (journal::create_file(&*disk, ring)?, ring)
            }
        };
        let anew = disk.open(layout::SYNC_FAILED, Open::Read).is_ok();
        let settled = chosen.as_ref().map(|(path, f)| coordinator::settle(&*disk, path, f, anew));
        let mut recovery = Recovery {
            disk,
            replay,
            partitions: Table::new(options.sizes.partitions, options.sizes.segments),
            too_large: None,
            report,
            anew,
            failed: settled.and_then(Result::err),
            vouched: 0,
            stuck: BTreeSet::new(),
        };
        let start = match chosen {
            Some((_, chosen)) => {
                let start = recovery.take_snapshot(chosen, made)?;
                if made {
                    rebuild::without_journal(&mut recovery, start.age_s);
                }
                start
            }
            None if recovery.report.first_start => {
                StorageState { next_sequence: 1, ..StorageState::default() }
            }
            None => rebuild::rebuild(&mut recovery, &file, ring)?,
        };
        let resume = recovery.replay_journal(&file, ring, &start);
        if let Some(error) = recovery.too_large {
            return Err(OpenError::TooLarge(error));
        }
        recovery.finish(file, ring, resume, &start, options, now)
    }
}

fn has_topics(disk: &dyn Disk) -> DiskResult<bool> {
    match disk.list(layout::TOPICS) {
        Ok(names) => Ok(!names.is_empty()),
        Err(DiskError::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

fn find_journal(disk: &dyn Disk) -> Result<Option<(FileRef, u64)>, OpenError> {
    match disk.open(layout::JOURNAL, Open::Write) {
        Ok(file) => match journal::read_file_header(&file)? {
            FileHeader::Ring(ring) => Ok(Some((file, ring))),
            FileHeader::Newer(version) => Err(OpenError::Newer { file: "journal", version }),
            FileHeader::Unreadable => Ok(None),
        },
        Err(DiskError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Recovery under way.
pub(super) struct Recovery<'r> {
    pub(super) disk: Rc<dyn Disk>,
    pub(super) replay: &'r mut dyn Replay,
    pub(super) partitions: Table,
    /// Something has no room on this board: nothing is touched any more.
    pub(super) too_large: Option<TooLarge>,
    pub(super) report: Report,
    /// A sync failed before: what can be read may not be on the disk, so it is written again.
    anew: bool,
    /// The disk refused something that recovery needs: nothing more is written.
    pub(super) failed: Option<DiskError>,
    /// The last frame that another vouches for: what was seen behind it may be in the page cache
    /// alone, and nobody is shown it before the first sync.
    vouched: u64,
    /// Partitions that could not be restored to their ends.
    pub(super) stuck: BTreeSet<PartitionKey>,
}

impl Recovery<'_> {
    fn take_snapshot(
        &mut self,
        file: CoordinatorFile,
        journal_lost: bool,
    ) -> Result<StorageState, OpenError> {
        if journal_lost {
            self.report.note(
                "the journal is missing or unreadable: what it had of commits and settings since \
                 the last checkpoint is lost; record batches were looked for in the segments"
                    .into(),
            );
        }
        self.replay.snapshot(&file.state).map_err(|version| OpenError::Newer {
            file: "coordinator",
            version: u32::from(version),
        })?;
        let mut state = file.storage;
        let records = core::mem::take(&mut state.partitions);
        let segments = records.iter().map(|record| record.segments.len()).sum();
        if records.len() > self.partitions.capacity() {
            let found = records.len();
            return Err(OpenError::TooLarge(TooLarge { found, ..TooLarge::PARTITIONS }));
        }
        if segments > self.partitions.segments.used().1 {
            let found = segments;
            return Err(OpenError::TooLarge(TooLarge { found, ..TooLarge::SEGMENTS }));
        }
        for record in records {
            let key = PartitionKey { topic: record.topic, partition: record.partition };
            let at = self.add(key, &record.topic_name);
            if let Some(partition) = at.and_then(|at| self.partitions.get_mut(at)) {
                partition.log_start = record.log_start;
                partition.log_end = record.log_end;
                for segment in record.segments {
                    partition.segments.push(segment);
                }
                partition.all_durable();
            }
        }
        Ok(state)
    }

    /// The handle of a partition, which is made if there is none yet.
    pub(super) fn add(&mut self, key: PartitionKey, topic: &str) -> Option<usize> {
        if let Some(at) = self.partitions.find(key) {
            return Some(at);
        }
        let at = self.partitions.add(key, topic);
        if at.is_none() {
            self.too_large.get_or_insert(TooLarge::PARTITIONS);
        }
        at
    }

    /// First pass: the end of the journal, and the topics that do not live to see it.
    fn survey(&mut self, scan: &mut Scan<'_>) -> BTreeSet<u32> {
        let mut gone = BTreeSet::new();
        loop {
            match scan.step() {
                Step::Frame { payload: Payload::Change(bytes), .. } => {
                    if let Effect::Remove { topic } = self.replay.effect(bytes) {
                        gone.insert(topic);
                    }
                }
                Step::Frame { .. } => {}
                Step::Rot { first, last } => self.report.note(format!(
                    "journal frames {first} to {last} were durable and are unreadable now; \
                     their record batches were looked for in the segments"
                )),
                Step::End => return gone,
            }
        }
    }

    fn replay_journal(&mut self, file: &FileRef, ring: u64, start: &StorageState) -> Resume {
        let scan = || Scan::new(file, ring, start.head, start.next_sequence, start.generation);
        let mut first = scan();
        let gone = if start.clean && first.is_at_end() {
            BTreeSet::new()
        } else {
            self.survey(&mut first)
        };
        self.vouched = first.durable;
        let mut second = scan();
        let mut rot = self.is_cut_off(file, ring, start.head);
        while second.next_sequence < first.next_sequence {
            match second.step() {
                Step::Frame { header, payload } => self.apply(&header, payload, &gone),
                Step::Rot { .. } => rot = true,
                Step::End => break,
            }
        }
        if rot {
            self.look_behind_ends(first.age_s, false);
        }
        self.report.clean = start.clean && self.report.frames == 0;
        // An opening frame that nothing followed is overwritten by the next: starts that end
        // before they have done anything must not use up the ring.
        let (tail, next_sequence) = match first.opened_at {
            Some(at) => (at, first.next_sequence - 1),
            None => (first.position, first.next_sequence),
        };
        Resume {
            head: start.head,
            tail,
            next_sequence,
            durable: first.durable.min(next_sequence - 1),
            generation: first.generation + 1,
            age_s: start.age_s.max(first.age_s),
        }
    }

    fn apply(&mut self, header: &FrameHeader, payload: Payload<'_>, gone: &BTreeSet<u32>) {
        self.report.frames += 1;
        match payload {
            Payload::Opened => {}
            Payload::Unknown => self.report.note(format!(
                "journal frame {} is of a kind that a newer ottla wrote, and was passed over",
                header.sequence
            )),
            Payload::Change(bytes) => {
                self.apply_change(bytes, gone);
                self.replay.change(bytes);
            }
            Payload::LogStart { key, offset } => {
                if let Some(partition) = self.partition(key) {
                    partition.log_start = partition.log_start.max(offset);
                }
            }
            Payload::Batch { place, header: batch, bytes } => {
                if !gone.contains(&place.key.topic) {
                    let at = Place { segment_base: place.segment_base, position: place.position };
                    self.apply_batch(place.key, at, &batch, bytes, header.age_s);
                    if header.sequence <= self.vouched
                        && let Some(partition) = self.partition(place.key)
                    {
                        partition.all_durable();
                    }
                }
            }
        }
    }

    fn partition(&mut self, key: PartitionKey) -> Option<&mut Partition> {
        self.partitions.get_mut(self.partitions.find(key)?)
    }

    fn apply_change(&mut self, bytes: &[u8], gone: &BTreeSet<u32>) {
        match self.replay.effect(bytes) {
            Effect::None | Effect::Names { .. } => {}
            Effect::Create { topic, name, partitions } if !gone.contains(&topic) => {
                for partition in 0..partitions {
                    self.add(PartitionKey { topic, partition }, &name);
                }
            }
            Effect::Create { .. } => {}
            Effect::Grow { topic, partitions } => {
                let known = self.partitions.first_of(topic).and_then(|at| self.partitions.get(at));
                if let Some(dir) = known.map(|partition| partition.dir.clone()) {
                    let name = layout::topic_of(&dir);
                    for partition in 0..partitions {
                        self.add(PartitionKey { topic, partition }, name);
                    }
                }
            }
            Effect::Remove { topic } => {
                // The files, if any are left, are swept after the start: another topic of the
                // same name may own the directory by now.
                while let Some(at) = self.partitions.first_of(topic) {
                    self.partitions.forget(at);
                }
            }
        }
    }

    fn apply_batch(
        &mut self,
        key: PartitionKey,
        place: Place,
        header: &BatchHeader,
        bytes: Option<&[u8]>,
        age_s: u32,
    ) {
        let disk = self.disk.clone();
        if self.stuck.contains(&key) {
            return;
        }
        let Some(partition) = self.partition(key) else { return };
        if header.next_offset() <= partition.log_end {
            return;
        }
        if header.base_offset > partition.log_end {
            let adopted = partition.adopt_behind_end(&*disk, header.base_offset);
            let (dir, end) = (partition.dir.clone(), partition.log_end);
            if end < header.base_offset {
                let last = header.base_offset - 1;
                self.report.note(format!("{dir}: records {end} to {last} are unreadable"));
            }
            adopted.iter().for_each(|header| self.replay.batch(key, header));
        }
        let anew = self.anew;
        if !self.partitions.segments_have_room() {
            // Those that the log's starts have passed: their files are swept after the start.
            for partition in self.partitions.iter_mut() {
                partition.drop_before_start();
                while partition.take_given_up().is_some() {}
            }
        }
        let has_room = self.partitions.segments_have_room();
        let Some(partition) = self.partition(key) else { return };
        let newest = partition.segments.last();
        if !has_room && newest.is_none_or(|s| s.base_offset < place.segment_base) {
            self.too_large.get_or_insert(TooLarge::SEGMENTS);
            return;
        }
        let mut restored = partition.restore(&*disk, place, header, bytes, age_s, anew);
        if restored == Err(DiskError::NoSpace) {
            // What the power cut took had room. A block of it may be an index's by now.
            self.partitions.iter_mut().for_each(|partition| partition.give_up_indexes(&*disk));
            let Some(partition) = self.partition(key) else { return };
            restored = partition.restore(&*disk, place, header, bytes, age_s, anew);
        }
        let Some(partition) = self.partition(key) else { return };
        if let Err(error) = restored {
            // The journal still has it, and keeps it as long as nothing more is written.
            let (dir, offset) = (&partition.dir, header.base_offset);
            let note = format!("{dir}: records from {offset} on cannot be restored: {error}");
            self.report.note(note);
            self.stuck.insert(key);
            self.failed.get_or_insert(error);
            return;
        }
        self.report.batches += 1;
        self.replay.batch(key, header);
    }

    fn finish(
        mut self,
        file: FileRef,
        ring: u64,
        resume: Resume,
        start: &StorageState,
        options: Options,
        now: Millis,
    ) -> Result<(Storage, Report), OpenError> {
        let disk = self.disk.clone();
        for partition in self.partitions.iter_mut() {
            if let Some((first, last)) = partition.go_on_at_start() {
                let note = format!("{}: records {first} to {last} are unreadable", partition.dir);
                self.report.note(note);
            }
            partition.drop_before_start();
            while partition.take_given_up().is_some() {}
            if partition.dirty
                && let Err(error) = partition.cut_tail(&*disk)
            {
                let dir = &partition.dir;
                self.report.note(format!("{dir}: the newest segment cannot be opened: {error}"));
            }
        }
        let mut storage = Storage {
            journal: Journal::new(file, ring, resume, options.sizes.staged_bytes)?,
            sync: SyncState::new(options.sizes.partitions),
            ahead: Default::default(),
            behind: List::<Behind>::new(super::behind::rows(&options.sizes)),
            pieces: fixed::bytes(COORDINATOR_PIECE_BYTES),
            options,
            age_start_s: resume.age_s,
            started: now,
            checkpoint_number: start.checkpoint,
            failed: self.failed,
            counters: Counters::default(),
            rot: Rot::new(),
            scrub: Scrub::NEW,
            quota: Quota::new(&*self.disk, options.quota_bytes, 0),
            disk: self.disk,
            partitions: self.partitions,
        };
        storage.measure();
        let mut report = self.report;
        let opened = match storage.failed {
            None => storage.open_generation(resume, self.anew, report.first_start, now),
            Some(error) => Err(error),
        };
        match opened {
            Err(error) => {
                // Nobody is shown what may be in the page cache alone. And it may have been a sync
                // that failed, here or in `settle`.
                storage.disk.open(layout::SYNC_FAILED, Open::CreateEmpty).ok();
                storage.failed = Some(error);
                report.note(format!("nothing is written until the next start: {error}"));
            }
            Ok(()) => {
                if !report.first_start {
                    coordinator::begin_spare(&*storage.disk);
                }
                storage.partitions.iter_mut().for_each(Partition::all_durable);
                // What is removed must be given up for good, so this is last.
                if !report.clean && !report.first_start {
                    storage.sweep();
                }
            }
        }
        Ok((storage, report))
    }
}

impl Storage {
    /// Writes the one frame that makes this generation real; with it everything replayed is
    /// durable.
    fn open_generation(
        &mut self,
        resume: Resume,
        anew: bool,
        first_start: bool,
        now: Millis,
    ) -> DiskResult<()> {
        if anew {
            self.journal.write_again(resume.tail)?;
        }
        self.journal.stage(KIND_OPENED, resume.age_s, &[]);
        self.journal.write_staged()?;
        let lsn = self.journal.sync_begins();
        if first_start {
            // Nothing is there that could be lost: the first checkpoint goes before any commit.
            self.sync.want(now);
            return Ok(());
        }
        self.journal.file().sync()?;
        self.journal.sync_ended(lsn);
        if anew {
            self.disk.remove_file(layout::SYNC_FAILED)?;
        }
        Ok(())
    }
}
