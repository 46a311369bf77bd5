//! Produce (0) and InitProducerId (22): records on their way in.

use super::{
    ByTopic, TopicResult, read_error, read_list, read_nullable, read_topics, write_topics,
};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Writer};

/// One batch for one partition.
#[derive(Clone, Debug)]
pub struct PartitionBatch<'a> {
    /// The partition.
    pub index: i32,
    /// One record batch of magic 2.
    pub records: &'a [u8],
}

/// Appends batches.
#[derive(Clone, Debug)]
pub struct ProduceRequest<'a> {
    /// 0: no answer at all; 1: written; -1: synced.
    pub acks: i16,
    /// How long the broker may take.
    pub timeout_ms: i32,
    /// The batches.
    pub topics: Vec<ByTopic<'a, PartitionBatch<'a>>>,
}

/// What became of one partition's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceResult {
    /// The partition.
    pub index: i32,
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The offset of the first record.
    pub base_offset: i64,
    /// The broker's time in milliseconds since 1970, or -1.
    pub log_append_time_ms: i64,
    /// The records that are to blame, and why.
    pub record_errors: Vec<(i32, Option<String>)>,
    /// What went wrong, in words.
    pub error_message: Option<String>,
}

impl Request for ProduceRequest<'_> {
    const API: Api = Api::PRODUCE;
    type Response = Vec<TopicResult<ProduceResult>>;

    fn write(&self, w: &mut Writer<'_>) {
        w.nullable_string(None);
        w.i16(self.acks);
        w.i32(self.timeout_ms);
        write_topics(w, &self.topics, |w, partition| {
            w.i32(partition.index);
            w.bytes(partition.records);
            w.tags();
        });
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        read_topics(r, |r| {
            let index = r.i32("index")?;
            let error_code = read_error(r, "error_code")?;
            let base_offset = r.i64("base_offset")?;
            let log_append_time_ms = r.i64("log_append_time_ms")?;
            r.since(5, -1, |r| r.i64("log_start_offset"))?;
            let record_errors = r.since(8, Vec::new(), |r| {
                read_list(r, "record_errors", |r| {
                    let error = (r.i32("batch_index")?, read_nullable(r, "batch_index_error")?);
                    r.tags()?;
                    Ok(error)
                })
            })?;
            let error_message = r.since(8, None, |r| read_nullable(r, "error_message"))?;
            r.tags()?;
            Ok(ProduceResult {
                index,
                error_code,
                base_offset,
                log_append_time_ms,
                record_errors,
                error_message,
            })
        })
    }
}

/// Asks for a producer id, for idempotence.
#[derive(Clone, Copy, Debug)]
pub struct InitProducerIdRequest;

/// A producer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitProducerIdResponse {
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
}

impl Request for InitProducerIdRequest {
    const API: Api = Api::INIT_PRODUCER_ID;
    type Response = InitProducerIdResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.nullable_string(None);
        // Without a transactional id the timeout means nothing; Java sends its maximum.
        w.i32(i32::MAX);
        w.since(3, |w| w.i64(-1));
        w.since(3, |w| w.i16(-1));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<InitProducerIdResponse> {
        r.i32("throttle_time_ms")?;
        Ok(InitProducerIdResponse {
            error_code: read_error(r, "error_code")?,
            producer_id: r.i64("producer_id")?,
            producer_epoch: r.i16("producer_epoch")?,
        })
    }
}
