//! Where the logs of a broker that does not run begin and end, for `ottla log check`.
//!
//! The last checkpoint says it, and the journal which topics and records were deleted since then.
//! What the journal took since then moves no end here: a start writes that into the segments again,
//! so that nothing of it is lost for having rotted there.
//!
//! Promises: reads only; where no coordinator file is whole, or the journal has rotted, nothing
//! is known, and nothing is called lost for it. Absent: batches that went by the journal
//! (`KIND_REFERENCE`) since the checkpoint.

use crate::disk::{Disk, Open};
use crate::state::coordinator_file::Change;
use crate::storage::coordinator::{self, CoordinatorFile, Found};
use crate::storage::journal::{self, FileHeader};
use crate::storage::journal_frame::{PartitionKey, Payload};
use crate::storage::layout;
use crate::storage::scan::{Scan, Step};
use std::collections::BTreeMap;

/// What is known of one partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// First offset that is served.
    pub start: i64,
    /// Offset behind the last record of the checkpoint.
    pub end: i64,
    /// The segment in which that stands, and the byte behind it.
    pub last: Option<(i64, u32)>,
}

/// The partitions by the names of their directories.
pub fn known(disk: &dyn Disk) -> BTreeMap<String, Known> {
    let paths = [layout::COORDINATOR, layout::COORDINATOR_NEW, layout::COORDINATOR_PREVIOUS];
    let files = paths.into_iter().filter_map(|path| match coordinator::read(disk, path) {
        Found::Whole(file) => Some(file),
        _ => None,
    });
    let Some(file) = files.max_by_key(|file| file.storage.checkpoint) else {
        return BTreeMap::new();
    };
    let mut partitions: BTreeMap<PartitionKey, (String, Known)> = BTreeMap::new();
    for record in &file.storage.partitions {
        let key = PartitionKey { topic: record.topic, partition: record.partition };
        let last = record.segments.last().map(|segment| (segment.base_offset, segment.bytes));
        let known = Known { start: record.log_start, end: record.log_end, last };
        partitions.insert(key, (format!("{}-{}", record.topic_name, record.partition), known));
    }
    without_what_was_deleted(disk, &file, &mut partitions);
    partitions.into_values().collect()
}

fn without_what_was_deleted(
    disk: &dyn Disk,
    file: &CoordinatorFile,
    partitions: &mut BTreeMap<PartitionKey, (String, Known)>,
) {
    let journal = disk.open(layout::JOURNAL, Open::Read);
    let journal = journal.and_then(|file| Ok((journal::read_file_header(&file)?, file)));
    let Ok((FileHeader::Ring(ring), journal)) = journal else { return partitions.clear() };
    let start = &file.storage;
    let mut scan = Scan::new(&journal, ring, start.head, start.next_sequence, start.generation);
    if start.clean && scan.is_at_end() {
        return;
    }
    loop {
        match scan.step() {
            Step::Frame { payload: Payload::Change(bytes), .. } => {
                if let Some(Change::TopicDeleted { number }) = Change::decode(bytes) {
                    partitions.retain(|key, _| key.topic != number);
                }
            }
            Step::Frame { payload: Payload::LogStart { key, offset }, .. } => {
                if let Some((_, known)) = partitions.get_mut(&key) {
                    known.start = known.start.max(offset);
                }
            }
            Step::Frame { .. } => {}
            // A deletion may have stood there.
            Step::Rot { .. } => return partitions.clear(),
            Step::End => return,
        }
    }
}
