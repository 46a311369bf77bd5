//! ListOffsets (2), OffsetCommit (8), OffsetFetch (9), OffsetDelete (47), DeleteRecords (21).

use super::{
    ByTopic, TopicResult, read_error, read_nullable, read_topics, visit_topics, write_by_topic,
    write_topics,
};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Writer};

/// The timestamp that asks for the end of the log.
pub const LATEST: i64 = -1;
/// The timestamp that asks for the start of the log.
pub const EARLIEST: i64 = -2;
/// The timestamp that asks for the record with the largest timestamp (KIP-734, v7).
pub const MAX_TIMESTAMP: i64 = -3;

/// Asks for offsets by time.
#[derive(Clone, Debug)]
pub struct ListOffsetsRequest<'a> {
    /// 0: everything; 1: committed transactions only.
    pub isolation_level: i8,
    /// Partition number and timestamp (or [`LATEST`], [`EARLIEST`], [`MAX_TIMESTAMP`]).
    pub topics: Vec<ByTopic<'a, (i32, i64)>>,
}

/// An offset by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The partition.
    pub partition_index: i32,
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The timestamp of the record found, or -1.
    pub timestamp: i64,
    /// The offset, or -1 when there is no record as young as that.
    pub offset: i64,
}

impl Request for ListOffsetsRequest<'_> {
    const API: Api = Api::LIST_OFFSETS;
    type Response = Vec<TopicResult<ListedOffset>>;

    fn write(&self, w: &mut Writer<'_>) {
        w.i32(-1);
        w.since(2, |w| w.i8(self.isolation_level));
        write_topics(w, &self.topics, |w, (index, timestamp)| {
            w.i32(*index);
            w.since(4, |w| w.i32(-1));
            w.i64(*timestamp);
            w.tags();
        });
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.since(2, 0, |r| r.i32("throttle_time_ms"))?;
        read_topics(r, read_listed)
    }
}

fn read_listed(r: &mut Reader<'_>) -> Read<ListedOffset> {
    let listed = ListedOffset {
        partition_index: r.i32("partition_index")?,
        error_code: read_error(r, "error_code")?,
        timestamp: r.i64("timestamp")?,
        offset: r.i64("offset")?,
    };
    r.since(4, -1, |r| r.i32("leader_epoch"))?;
    r.tags()?;
    Ok(listed)
}

/// Writes the question for these partitions' offsets at one time, transactions or not.
pub fn write_list_offsets<'n>(
    w: &mut Writer<'_>,
    partitions: &(impl Iterator<Item = (&'n str, i32)> + Clone),
    timestamp: i64,
) {
    w.i32(-1);
    w.since(2, |w| w.i8(0));
    write_by_topic(w, partitions, |w, index| {
        w.i32(index);
        w.since(4, |w| w.i32(-1));
        w.i64(timestamp);
        w.tags();
    });
    w.tags();
}

/// Reads the answer partition by partition, and holds none of it.
///
/// # Errors
/// The field that is malformed.
pub fn visit_listed<'a>(
    r: &mut Reader<'a>,
    mut visit: impl FnMut(&'a str, ListedOffset),
) -> Read<()> {
    r.since(2, 0, |r| r.i32("throttle_time_ms"))?;
    visit_topics(r, |r, topic| {
        visit(topic, read_listed(r)?);
        Ok(())
    })
}

/// One offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartition<'a> {
    /// The partition.
    pub partition_index: i32,
    /// The next offset to consume.
    pub committed_offset: i64,
    /// Anything the client wants back.
    pub committed_metadata: Option<&'a str>,
}

/// Commits offsets.
#[derive(Clone, Debug)]
pub struct OffsetCommitRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The generation, or -1 from outside the group.
    pub generation_id: i32,
    /// The member, or empty from outside the group.
    pub member_id: &'a str,
    /// The static member's name.
    pub group_instance_id: Option<&'a str>,
    /// The offsets.
    pub topics: Vec<ByTopic<'a, CommitPartition<'a>>>,
}

impl Request for OffsetCommitRequest<'_> {
    const API: Api = Api::OFFSET_COMMIT;
    type Response = Vec<TopicResult<(i32, ErrorCode)>>;

    fn write(&self, w: &mut Writer<'_>) {
        w.string(self.group_id);
        w.i32(self.generation_id);
        w.string(self.member_id);
        w.since(7, |w| w.nullable_string(self.group_instance_id));
        w.within(2, 4, |w| w.i64(-1));
        write_topics(w, &self.topics, |w, partition| {
            w.i32(partition.partition_index);
            w.i64(partition.committed_offset);
            w.since(6, |w| w.i32(-1));
            w.nullable_string(partition.committed_metadata);
            w.tags();
        });
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.since(3, 0, |r| r.i32("throttle_time_ms"))?;
        read_topics(r, read_partition_error)
    }
}

fn read_partition_error(r: &mut Reader<'_>) -> Read<(i32, ErrorCode)> {
    let entry = (r.i32("partition_index")?, read_error(r, "error_code")?);
    r.tags()?;
    Ok(entry)
}

/// Asks for committed offsets.
#[derive(Clone, Debug)]
pub struct OffsetFetchRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The partitions; all with an offset if `None`.
    pub topics: Option<Vec<ByTopic<'a, i32>>>,
}

/// One committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The partition.
    pub partition_index: i32,
    /// The next offset to consume, or -1.
    pub committed_offset: i64,
    /// What the client wanted back.
    pub metadata: Option<String>,
    /// What went wrong.
    pub error_code: ErrorCode,
}

/// Committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchResponse {
    /// The offsets.
    pub topics: Vec<TopicResult<FetchedOffset>>,
    /// What went wrong with the whole request.
    pub error_code: ErrorCode,
}

impl Request for OffsetFetchRequest<'_> {
    const API: Api = Api::OFFSET_FETCH;
    type Response = OffsetFetchResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.string(self.group_id);
        match &self.topics {
            None => w.nullable_array(None),
            Some(topics) => write_topics(w, topics, |w, index| w.i32(*index)),
        }
        w.since(7, |w| w.bool(false));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<OffsetFetchResponse> {
        r.since(3, 0, |r| r.i32("throttle_time_ms"))?;
        let topics = read_topics(r, |r| {
            let partition_index = r.i32("partition_index")?;
            let committed_offset = r.i64("committed_offset")?;
            r.since(5, -1, |r| r.i32("committed_leader_epoch"))?;
            let metadata = read_nullable(r, "metadata")?;
            let error_code = read_error(r, "partition error_code")?;
            r.tags()?;
            Ok(FetchedOffset { partition_index, committed_offset, metadata, error_code })
        })?;
        let error_code = read_error(r, "error_code")?;
        Ok(OffsetFetchResponse { topics, error_code })
    }
}

/// Forgets committed offsets.
#[derive(Clone, Debug)]
pub struct OffsetDeleteRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The partitions.
    pub topics: Vec<ByTopic<'a, i32>>,
}

/// What became of an [`OffsetDeleteRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetDeleteResponse {
    /// What went wrong with the whole request.
    pub error_code: ErrorCode,
    /// What became of each partition.
    pub topics: Vec<TopicResult<(i32, ErrorCode)>>,
}

impl Request for OffsetDeleteRequest<'_> {
    const API: Api = Api::OFFSET_DELETE;
    type Response = OffsetDeleteResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.string(self.group_id);
        write_topics(w, &self.topics, |w, index| w.i32(*index));
    }

    fn read_response(r: &mut Reader<'_>) -> Read<OffsetDeleteResponse> {
        let error_code = read_error(r, "error_code")?;
        r.i32("throttle_time_ms")?;
        Ok(OffsetDeleteResponse { error_code, topics: read_topics(r, read_partition_error)? })
    }
}

/// Deletes records in front of an offset.
#[derive(Clone, Debug)]
pub struct DeleteRecordsRequest<'a> {
    /// Partition number, and the first offset to keep (-1: keep none).
    pub topics: Vec<ByTopic<'a, (i32, i64)>>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

/// What became of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedRecords {
    /// The partition.
    pub partition_index: i32,
    /// The first offset there is now.
    pub low_watermark: i64,
    /// What went wrong.
    pub error_code: ErrorCode,
}

impl Request for DeleteRecordsRequest<'_> {
    const API: Api = Api::DELETE_RECORDS;
    type Response = Vec<TopicResult<DeletedRecords>>;

    fn write(&self, w: &mut Writer<'_>) {
        write_topics(w, &self.topics, |w, (index, offset)| {
            w.i32(*index);
            w.i64(*offset);
            w.tags();
        });
        w.i32(self.timeout_ms);
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.i32("throttle_time_ms")?;
        read_topics(r, |r| {
            let deleted = DeletedRecords {
                partition_index: r.i32("partition_index")?,
                low_watermark: r.i64("low_watermark")?,
                error_code: read_error(r, "error_code")?,
            };
            r.tags()?;
            Ok(deleted)
        })
    }
}
