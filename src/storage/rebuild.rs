//! The last resort: no coordinator file can be read, or no journal, so the directories and the
//! segments have to speak.
//!
//! Every partition directory becomes a partition again, its segments in the order of their names;
//! the last one is read to find where its whole batches end. What only the coordinator file knew
//! (topic ids, settings, offsets, producers) is as the journal still tells it, or as at a first
//! start. The report says so.
//!
//! Promises: no segment is deleted or cut here. This reads one segment per partition, so it takes
//! longer than a normal start; that is the price of the accident, not of every start.

use super::coordinator::StorageState;
use super::journal::JOURNAL_HEADER_BYTES;
use super::journal_frame::{FRAME_ALIGN, FrameHeader, PartitionKey, Payload};
use super::layout;
use super::partition::Segment;
use super::recovery::{Effect, OpenError, Recovery, TooLarge};
use super::scan::Scan;
use crate::disk::{Disk, DiskError, FileRef, Open};
use std::collections::BTreeMap;

/// Whether anything in the ring was ever promised: its frames vouch for durable ones.
pub(super) fn has_promised(file: &FileRef, ring: u64) -> bool {
    frames(file, ring).iter().any(|(_, header)| header.durable > 0)
}

/// Fills `recovery` from the directories.
pub(super) fn rebuild(
    recovery: &mut Recovery<'_>,
    file: &FileRef,
    ring: u64,
) -> Result<StorageState, OpenError> {
    recovery.report.rebuilt = true;
    recovery.report.note(
        "no coordinator file is readable: topics were rebuilt from their directories; their ids, \
         settings and committed offsets are lost where the journal does not tell them"
            .into(),
    );
    match recovery.disk.list(layout::TOPICS) {
        Ok(_) | Err(DiskError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let topics = topics_of(&*recovery.disk);
    let frames = frames(file, ring);
    let mut scan = Scan::new(file, ring, 0, 0, 0);
    let (numbers, mut unused) = topic_numbers(recovery, &mut scan, &frames);
    for (topic, partitions) in topics {
        // A number that some frame means another topic by would mix up the two.
        let number = numbers.get(&topic).copied().unwrap_or(unused);
        unused = unused.max(number + 1);
        recovery.replay.adopt(number, &topic, partitions);
        for partition in 0..partitions {
            adopt_partition(recovery, PartitionKey { topic: number, partition }, &topic);
        }
    }
    let Some((head, first)) = first_frame(&frames) else {
        return Ok(StorageState { next_sequence: 1, ..StorageState::default() });
    };
    Ok(StorageState {
        head,
        next_sequence: first.sequence,
        generation: first.generation,
        age_s: first.age_s,
        ..StorageState::default()
    })
}

/// The journal is lost, the last checkpoint is not: takes up what segments have behind it, and the
/// directories of topics that it does not know. One that was deleted since then is back.
pub(super) fn without_journal(recovery: &mut Recovery<'_>, age_s: u32) {
    recovery.report.journal_lost = true;
    let disk = recovery.disk.clone();
    recovery.look_behind_ends(age_s, true);
    let known: Vec<String> =
        recovery.partitions.iter().map(|(_, partition)| partition.dir.to_string()).collect();
    let unused = recovery.partitions.iter().map(|(_, p)| p.key.topic + 1).max().unwrap_or(1);
    let is_new = |name: &str| !known.iter().any(|dir| layout::topic_of(dir) == name);
    let topics = topics_of(&*disk).into_iter().filter(|(name, _)| is_new(name));
    for (number, (topic, partitions)) in (unused..).zip(topics) {
        recovery.replay.adopt(number, &topic, partitions);
        for partition in 0..partitions {
            adopt_partition(recovery, PartitionKey { topic: number, partition }, &topic);
        }
    }
}

impl Recovery<'_> {
    /// Whether the file ends before what was written there at the last checkpoint.
    pub(super) fn is_cut_off(&mut self, file: &FileRef, ring: u64, head: u64) -> bool {
        let least = JOURNAL_HEADER_BYTES + head.min(ring);
        let is_short = file.length().is_ok_and(|length| length < least);
        let is_cut_off = is_short && !self.report.journal_lost;
        if is_cut_off {
            self.report.note(
                "the journal is cut off: what it had of commits and settings since the last \
                 checkpoint may be lost; record batches were looked for in the segments"
                    .into(),
            );
        }
        is_cut_off
    }

    /// After rot in the journal: a batch whose frame is gone, and that no later frame follows in
    /// its partition, may stand whole behind the partition's end. (Where only the journal's very
    /// last frames have rotted nothing tells that from what a power cut tore, and nobody looks.)
    ///
    /// `anywhere`: also in a partition of which no segment is known. Where the journal is whole,
    /// what stands there may be another topic's that had the name before.
    pub(super) fn look_behind_ends(&mut self, age_s: u32, anywhere: bool) {
        let disk = self.disk.clone();
        for partition in self.partitions.iter_mut() {
            if self.stuck.contains(&partition.key) {
                continue;
            }
            loop {
                let adopted = partition.adopt_behind_end(&*disk, i64::MAX);
                adopted.iter().for_each(|header| self.replay.batch(partition.key, header));
                // No frame carries it: the segment has to.
                if !adopted.is_empty()
                    && let Err(error) = partition.sync_last(&*disk)
                {
                    self.failed.get_or_insert(error);
                    break;
                }
                if !partition.adopt_next_segment(&*disk, age_s, anywhere) {
                    break;
                }
            }
        }
    }
}

/// The topics that have directories, and how many partitions those are of.
fn topics_of(disk: &dyn Disk) -> BTreeMap<String, u32> {
    let mut topics: BTreeMap<String, u32> = BTreeMap::new();
    for (dir, is_dir) in disk.list(layout::TOPICS).unwrap_or_default() {
        if let (true, Some((topic, partition))) = (is_dir, layout::partition_of(&dir)) {
            let count = topics.entry(topic.to_owned()).or_default();
            *count = (*count).max(partition + 1);
        }
    }
    topics
}

/// All that looks like a frame in the ring: position and header, in the order of their numbers.
fn frames(file: &FileRef, ring: u64) -> Vec<(u64, FrameHeader)> {
    let mut scan = Scan::new(file, ring, 0, 0, 0);
    let (mut frames, mut from) = (Vec::new(), 0);
    while let Some(at) = scan.next_magic(from, ring) {
        frames.extend(scan.header_at(at).map(|header| (at, header)));
        from = at + FRAME_ALIGN;
    }
    frames.sort_by_key(|(_, header)| (header.sequence, header.generation));
    frames
}

/// The oldest frame of the newest run: where a replay can begin.
fn first_frame(frames: &[(u64, FrameHeader)]) -> Option<(u64, FrameHeader)> {
    let newest = frames.last()?.1.generation;
    let mut first = frames.len() - 1;
    while first > 0 {
        let (before, this) = (frames[first - 1].1, frames[first].1);
        if before.sequence + 1 != this.sequence || before.generation > newest {
            break;
        }
        first -= 1;
    }
    Some(frames[first])
}

/// The numbers of topics whose creation is still in the ring, and one that no frame names.
fn topic_numbers(
    recovery: &Recovery<'_>,
    scan: &mut Scan<'_>,
    frames: &[(u64, FrameHeader)],
) -> (BTreeMap<String, u32>, u32) {
    let (mut numbers, mut unused) = (BTreeMap::new(), 1);
    for (at, header) in frames {
        let seen = match scan.payload(*at, header) {
            Some(Payload::Batch { place, .. }) => place.key.topic,
            Some(Payload::LogStart { key, .. }) => key.topic,
            Some(Payload::Change(change)) => match recovery.replay.effect(change) {
                Effect::Create { topic, name, .. } => {
                    numbers.insert(name, topic);
                    topic
                }
                Effect::Grow { topic, .. } | Effect::Names { topic } => topic,
                Effect::Remove { topic } => {
                    numbers.retain(|_, number| *number != topic);
                    topic
                }
                Effect::None => 0,
            },
            _ => 0,
        };
        unused = unused.max(seen.saturating_add(1));
    }
    (numbers, unused)
}

fn adopt_partition(recovery: &mut Recovery<'_>, key: PartitionKey, topic: &str) {
    let disk = recovery.disk.clone();
    let Some(at) = recovery.add(key, topic) else { return };
    let dir = layout::partition_dir(topic, key.partition);
    let names = disk.list(&dir).unwrap_or_default();
    let mut bases: Vec<i64> = names.iter().filter_map(|(n, _)| layout::segment_base(n)).collect();
    bases.sort_unstable();
    let Some(partition) = recovery.partitions.get_mut(at) else { return };
    partition.log_start = bases.first().copied().unwrap_or(0);
    partition.log_end = partition.log_start;
    for (n, base) in bases.iter().enumerate() {
        let length = disk
            .open(&layout::segment_file(&dir, *base), Open::Read)
            .and_then(|file| file.length())
            .unwrap_or(0);
        let last = n + 1 == bases.len();
        let has_room = partition.segments.push(Segment {
            base_offset: *base,
            bytes: if last { 0 } else { u32::try_from(length).unwrap_or(u32::MAX) },
            max_timestamp: if last { i64::MIN } else { i64::MAX },
            created_age_s: 0,
            appended_age_s: 0,
        });
        if !has_room {
            recovery.too_large.get_or_insert(TooLarge::SEGMENTS);
            return;
        }
        partition.log_end = *base;
    }
    for header in partition.adopt_behind_end(&*disk, i64::MAX) {
        recovery.replay.batch(key, &header);
    }
}
