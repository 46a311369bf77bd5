//! Produce (0): records into the log.
//!
//! Versions 3–9, advertised as 0–9: librdkafka up to 2.11 looks for version 0 before it compresses,
//! and Apache Kafka 4 tells the same lie (KAFKA-18659). 0–2 carry magic 0 and 1 and are closed on.
//! v3 transactional_id · v5 log_start_offset · v7 zstd · v8 record_errors, error_message ·
//! v9 flexible.
//!
//! Topics with `sync=interval` have acks=-1 answered as acks=1.
//!
//! acks=0 has no answer at all; its only way to learn of an error is a closed connection, as in
//! Apache Kafka. acks=1 is answered once the record survives the process's death, acks=-1 once it
//! survives a power cut. A batch for which the journal has no room parks the request, which goes on
//! with it later; in vain for `PRODUCE_ROOM_WAIT_MS`, it gets a retriable error.
//!
//! How the request is read, in pieces if it is large: `stream`.

use super::{Api, Context, Outcome, Reply};
use crate::broker::{ProduceError, Produced};
use crate::storage::WriteError;
use crate::wire::batch::{self, BatchError, BatchHeader, Codec};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};

pub mod stream;

/// The row.
pub const API: Api =
    Api { key: 0, name: "Produce", versions: (3, 9), advertised_min: 0, flexible: 9, handle };

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    stream::Stream::new(r.version()).go_on(context, r, reply)
}

/// Error code and message of a partition that got nothing.
type Refused = (ErrorCode, Option<&'static str>);

const TOO_LARGE: Refused =
    (ErrorCode::MessageTooLarge, Some("the batch is larger than max.message.bytes"));
const KEY_MISSING: &str = "Compacted topic cannot accept message without key";

fn append(
    context: &mut Context<'_>,
    version: i16,
    topic: &str,
    partition: i32,
    records: &[u8],
    checked: bool,
) -> Result<Produced, Refused> {
    if records.is_empty() {
        return Err((ErrorCode::InvalidRecord, Some("there is no record batch")));
    }
    // One that waited for room lies where it lay: its sum was found right then.
    let header = if checked { BatchHeader::read(records) } else { batch::check(records) };
    let header = header.map_err(|error| match error {
        // Apache Kafka finds no batch there; CORRUPT_MESSAGE would be sent again.
        BatchError::Cut => (ErrorCode::InvalidRecord, Some("the batch is cut short")),
        BatchError::Length => (ErrorCode::CorruptMessage, Some("the batch's length is wrong")),
        BatchError::Crc => (ErrorCode::CorruptMessage, Some("the batch's CRC is wrong")),
        BatchError::Magic => (ErrorCode::InvalidRecord, Some("only magic 2 is accepted")),
        BatchError::Count => (ErrorCode::InvalidRecord, Some("the batch's record count is wrong")),
        BatchError::Codec => {
            (ErrorCode::UnsupportedCompressionType, Some("no such compression codec"))
        }
        BatchError::Trailing => {
            (ErrorCode::InvalidRecord, Some("exactly one batch per partition is accepted"))
        }
    })?;
    if header.codec() == Some(Codec::Zstd) && version < 7 {
        return Err((ErrorCode::UnsupportedCompressionType, Some("zstd needs Produce version 7")));
    }
    let produced = context.broker.append(topic, partition, records, &header, context.now);
    produced.map_err(|error| match error {
        ProduceError::UnknownTopicOrPartition => (ErrorCode::UnknownTopicOrPartition, None),
        ProduceError::MessageTooLarge => TOO_LARGE,
        ProduceError::InvalidRecord(what) => (ErrorCode::InvalidRecord, Some(what)),
        ProduceError::KeyMissing => (ErrorCode::InvalidRecord, Some(KEY_MISSING)),
        ProduceError::Transactional => {
            (ErrorCode::InvalidTxnState, Some("transactions are not supported by ottla"))
        }
        ProduceError::InvalidTimestamp => (ErrorCode::InvalidTimestamp, None),
        ProduceError::OutOfOrderSequence => (ErrorCode::OutOfOrderSequenceNumber, None),
        ProduceError::InvalidProducerEpoch => (ErrorCode::InvalidProducerEpoch, None),
        ProduceError::Busy => (ErrorCode::RequestTimedOut, None),
        ProduceError::Storage(WriteError::ReadOnly) => (
            ErrorCode::KafkaStorageError,
            Some("a sync failed: this broker promises nothing until it is restarted"),
        ),
        ProduceError::Storage(_) => {
            (ErrorCode::KafkaStorageError, Some("the disk is full or failed"))
        }
    })
}

fn write_partition(
    reply: &mut Reply<'_>,
    index: i32,
    records: &[u8],
    result: Result<Produced, Refused>,
) {
    let w = &mut reply.w;
    let (produced, (code, message)) = match result {
        Ok(produced) => (Some(produced), (ErrorCode::None, None)),
        Err(refused) => (None, refused),
    };
    w.i32(index);
    w.error(code);
    w.i64(produced.map_or(-1, |p| p.base_offset));
    w.since(2, |w| w.i64(produced.map_or(-1, |p| p.log_append_time_ms)));
    w.since(5, |w| w.i64(produced.map_or(-1, |p| p.log_start_offset)));
    w.since(8, |w| {
        write_record_errors(w, if message == Some(KEY_MISSING) { records } else { &[] });
        w.nullable_string(message);
    });
    w.tags();
}

/// Names the records without a key, so that a client can tell them from the others of their batch.
/// The sentence stands once behind them: Java takes that for a record that has none of its own.
fn write_record_errors(w: &mut Writer<'_>, refused: &[u8]) {
    let keyless = || {
        let header = BatchHeader::read(refused).ok();
        let records = header.map(|header| batch::records(refused, &header));
        let numbered = records.into_iter().flatten().enumerate();
        numbered.filter(|(_, record)| record.as_ref().is_ok_and(|record| record.key.is_none()))
    };
    w.array(keyless().count());
    for (batch_index, _) in keyless() {
        w.i32(batch_index as i32);
        w.nullable_string(None);
        w.tags();
    }
}

#[cfg(test)]
mod tests;
