//! How much room an answer may need, known before its request is looked at.
//!
//! A request that changes something is not begun before its answer is sure to find room, since it
//! could not be run a second time. One that only asks is run, and if its answer found no room it is
//! run again later. A Produce request stops between two batches and goes on.
//! Absent: where the room comes from (`server`).

use crate::limits::Sizes;

/// What an answer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// At most so many bytes, which have to be there before the request is begun.
    Bytes(usize),
    /// Nobody knows; the request can be run again.
    Again,
    /// It is asked for step by step, with [`crate::wire::Writer::ensure`].
    Steps,
}

/// What every answer has, whatever the request: header, throttle time, one error.
const HEAD: usize = 128;

/// What the answer to a request of `bytes` bytes needs.
///
/// The factors are the largest element of an answer per smallest element of a request: CreateTopics
/// lists all settings of each topic, errors come with a sentence.
pub fn room(key: i16, bytes: usize, sizes: &Sizes) -> Room {
    let echoed = |factor: usize| Room::Bytes(HEAD + factor.saturating_mul(bytes));
    match key {
        0 => Room::Steps,
        // What a leader learns of its members, and what it has assigned to one.
        11 | 14 => Room::Bytes(sizes.member_bytes + 16 * HEAD),
        // Heartbeat, InitProducerId.
        12 | 22 => Room::Bytes(HEAD),
        // OffsetCommit, LeaveGroup, DeleteRecords, DeleteGroups, OffsetDelete.
        8 | 13 | 21 | 42 | 47 => echoed(3),
        // DeleteTopics, AlterConfigs, CreatePartitions, IncrementalAlterConfigs.
        20 | 33 | 37 | 44 => echoed(64),
        // CreateTopics: some 4 KiB for each topic, which takes at least ten bytes to be asked for.
        19 => echoed(400),
        _ => Room::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TABLE;

    #[test]
    fn what_changes_something_has_its_room_beforehand() {
        let sizes = Sizes::default();
        let again: Vec<&str> = TABLE
            .iter()
            .filter(|api| room(api.key, 100, &sizes) == Room::Again)
            .map(|api| api.name)
            .collect();
        assert_eq!(
            again,
            [
                "Fetch",
                "ListOffsets",
                "Metadata",
                "OffsetFetch",
                "FindCoordinator",
                "DescribeGroups",
                "ListGroups",
                "ApiVersions",
                "OffsetForLeaderEpoch",
                "DescribeConfigs",
                "DescribeCluster",
                "DescribeProducers",
                "DescribeTopicPartitions",
            ]
        );
    }
}
