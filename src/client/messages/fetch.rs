//! Fetch (1): records on their way out. No fetch session: every request names all its partitions.

use super::{ByTopic, TopicResult, read_error, read_list, read_topics, write_topics};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Writer};

/// From where to fetch one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// The partition.
    pub partition: i32,
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// At most this many bytes of this partition (but for a first batch that is larger).
    pub partition_max_bytes: i32,
}

/// Asks for records.
#[derive(Clone, Debug)]
pub struct FetchRequest<'a> {
    /// How long the broker may wait for `min_bytes`.
    pub max_wait_ms: i32,
    /// Answer as soon as so much is there.
    pub min_bytes: i32,
    /// At most this many bytes in all.
    pub max_bytes: i32,
    /// 0: everything; 1: committed transactions only.
    pub isolation_level: i8,
    /// The partitions.
    pub topics: Vec<ByTopic<'a, FetchPartition>>,
}

/// What came of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition.
    pub partition_index: i32,
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The offset behind the last record that may be seen.
    pub high_watermark: i64,
    /// The offset behind the last record of a decided transaction.
    pub last_stable_offset: i64,
    /// The first offset there is, or -1.
    pub log_start_offset: i64,
    /// Producer id and first offset of each aborted transaction in `records`.
    pub aborted_transactions: Vec<(i64, i64)>,
    /// Whole batches, and perhaps the start of one more.
    pub records: Vec<u8>,
}

/// What came of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse {
    /// What went wrong with the whole request.
    pub error_code: ErrorCode,
    /// The partitions.
    pub topics: Vec<TopicResult<FetchedPartition>>,
}

impl Request for FetchRequest<'_> {
    const API: Api = Api::FETCH;
    type Response = FetchResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.i32(-1);
        w.i32(self.max_wait_ms);
        w.i32(self.min_bytes);
        w.i32(self.max_bytes);
        w.i8(self.isolation_level);
        // Session 0 in epoch -1 asks for a full answer and no session (KIP-227).
        w.since(7, |w| w.i32(0));
        w.since(7, |w| w.i32(-1));
        write_topics(w, &self.topics, |w, partition| {
            w.i32(partition.partition);
            w.since(9, |w| w.i32(-1));
            w.i64(partition.fetch_offset);
            w.since(12, |w| w.i32(-1));
            w.since(5, |w| w.i64(-1));
            w.i32(partition.partition_max_bytes);
            w.tags();
        });
        w.since(7, |w| w.array(0));
        w.since(11, |w| w.string(""));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<FetchResponse> {
        r.i32("throttle_time_ms")?;
        let error_code = r.since(7, ErrorCode::None, |r| read_error(r, "error_code"))?;
        r.since(7, 0, |r| r.i32("session_id"))?;
        let topics = read_topics(r, read_partition)?;
        Ok(FetchResponse { error_code, topics })
    }
}

fn read_partition(r: &mut Reader<'_>) -> Read<FetchedPartition> {
    let partition_index = r.i32("partition_index")?;
    let error_code = read_error(r, "partition error_code")?;
    let high_watermark = r.i64("high_watermark")?;
    let last_stable_offset = r.i64("last_stable_offset")?;
    let log_start_offset = r.since(5, -1, |r| r.i64("log_start_offset"))?;
    let aborted_transactions = read_list(r, "aborted_transactions", |r| {
        let aborted = (r.i64("producer_id")?, r.i64("first_offset")?);
        r.tags()?;
        Ok(aborted)
    })?;
    r.since(11, -1, |r| r.i32("preferred_read_replica"))?;
    let records = r.nullable_bytes("records")?.unwrap_or_default().to_vec();
    r.tags()?;
    Ok(FetchedPartition {
        partition_index,
        error_code,
        high_watermark,
        last_stable_offset,
        log_start_offset,
        aborted_transactions,
        records,
    })
}
