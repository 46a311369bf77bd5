//! The last resort: no coordinator file can be read, so the directories have to speak.
//!
//! Every partition directory becomes a partition again, its segments in the order of their names;
//! the last one is read to find where its whole batches end. What only the coordinator file knew
//! (topic ids, settings, offsets, producers) is as the journal still tells it, or as at a first
//! start. The report says so.
//!
//! Promises: no segment is deleted or cut here. This reads one segment per partition, so it takes
//! longer than a normal start; that is the price of the accident, not of every start.

use super::coordinator::StorageState;
use super::journal_frame::{FRAME_ALIGN, FrameHeader, KIND_OPENED, PartitionKey};
use super::layout;
use super::partition::Segment;
use super::recovery::{OpenError, Recovery};
use super::scan::Scan;
use crate::disk::{DiskError, FileRef, Open};
use std::collections::BTreeMap;

/// Fills `recovery` from the directories; `lost` says that there was a coordinator file once.
pub(super) fn rebuild(
    recovery: &mut Recovery<'_>,
    file: &FileRef,
    ring: u64,
    lost: bool,
) -> Result<StorageState, OpenError> {
    let dirs = match recovery.disk.list(layout::TOPICS) {
        Ok(dirs) => dirs,
        Err(DiskError::NotFound) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let made_now = recovery.report.first_start;
    let first_frame = if made_now { None } else { first_frame(file, ring) };
    let opened_only = first_frame.is_none_or(|(_, header)| header.kind == KIND_OPENED);
    if !lost && dirs.is_empty() && opened_only {
        // Also when the power went in the middle of the first start.
        recovery.report.first_start = true;
        return Ok(StorageState { next_sequence: 1, ..StorageState::default() });
    }
    recovery.report.first_start = false;
    recovery.report.rebuilt = true;
    recovery.report.note(
        "no coordinator file is readable: topics were rebuilt from their directories; their ids, \
         settings and committed offsets are lost where the journal does not tell them"
            .into(),
    );
    let mut topics: BTreeMap<String, u32> = BTreeMap::new();
    for (dir, is_dir) in &dirs {
        if let (true, Some((topic, partition))) = (is_dir, layout::partition_of(dir)) {
            let count = topics.entry(topic.to_owned()).or_default();
            *count = (*count).max(partition + 1);
        }
    }
    for (topic, partitions) in topics {
        let number = recovery.replay.adopt(&topic, partitions);
        for partition in 0..partitions {
            adopt_partition(recovery, PartitionKey { topic: number, partition }, &topic);
        }
    }
    let Some((head, first)) = first_frame else {
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

/// The oldest frame of the newest run in the ring: where a replay can begin.
fn first_frame(file: &FileRef, ring: u64) -> Option<(u64, FrameHeader)> {
    let mut frames: Vec<(u64, FrameHeader)> = Vec::new();
    let mut scan = Scan::new(file, ring, 0, 0, 0);
    let mut at = 0;
    while at < ring {
        if let Some(header) = scan.header_at(at) {
            frames.push((at, header));
        }
        at += FRAME_ALIGN;
    }
    frames.sort_by_key(|(_, header)| (header.sequence, header.generation));
    let newest = frames.last()?.1.generation;
    let mut first = frames.len() - 1;
    while first > 0 {
        let (_, before) = frames[first - 1];
        let (_, this) = frames[first];
        if before.sequence + 1 != this.sequence || before.generation > newest {
            break;
        }
        first -= 1;
    }
    Some(frames[first])
}

fn adopt_partition(recovery: &mut Recovery<'_>, key: PartitionKey, topic: &str) {
    let disk = recovery.disk.clone();
    let at = recovery.add(key, topic);
    let dir = layout::partition_dir(topic, key.partition);
    let names = disk.list(&dir).unwrap_or_default();
    let mut bases: Vec<i64> = names.iter().filter_map(|(n, _)| layout::segment_base(n)).collect();
    bases.sort_unstable();
    let Some(partition) = &mut recovery.partitions[at] else { return };
    partition.log_start = bases.first().copied().unwrap_or(0);
    partition.log_end = partition.log_start;
    for (n, base) in bases.iter().enumerate() {
        let length = disk
            .open(&layout::segment_file(&dir, *base), Open::Read)
            .and_then(|file| file.length())
            .unwrap_or(0);
        let last = n + 1 == bases.len();
        partition.segments.push(Segment {
            base_offset: *base,
            bytes: if last { 0 } else { u32::try_from(length).unwrap_or(u32::MAX) },
            max_timestamp: if last { i64::MIN } else { i64::MAX },
            created_age_s: 0,
            appended_age_s: 0,
        });
        partition.log_end = *base;
    }
    for header in partition.adopt_behind_end(&*disk, i64::MAX) {
        recovery.replay.batch(key, &header);
    }
}
