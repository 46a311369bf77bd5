//! ListOffsets (2): where a log begins and ends, and where a moment lies in it.
//!
//! Versions 1–7. v2 isolation_level, throttle_time_ms · v4 current_leader_epoch, leader_epoch ·
//! v6 flexible · v7 timestamp -3, the record with the largest timestamp.
//!
//! -1 is the high watermark, which is the last stable offset too, so that both isolation levels
//! get the same; -2 is the log's start. Where a record is found its own timestamp is answered;
//! where none is, offset and timestamp are -1: Java rejects a valid offset without a timestamp.
//! Records that no sync has covered yet are not there; a question that they would matter to brings
//! the sync forward and waits for it, so that whoever was told "acks=1" finds what they wrote.
//! In a compressed batch the first record stands for all, see [`Broker::offset_for_time`].
//! Absent: the timestamps of tiered storage (-4 and below), which later versions define.
//!
//! [`Broker::offset_for_time`]: crate::broker::Broker::offset_for_time

use super::fetch::check_leader_epoch;
use super::{Api, Context, Outcome, Reply, code_of_fetch};
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 2, name: "ListOffsets", versions: (1, 7), advertised_min: 1, flexible: 6, handle };

/// Asks for the high watermark (`ListOffsetsRequest.LATEST_TIMESTAMP`).
pub const LATEST: i64 = -1;
/// Asks for the log's start.
pub const EARLIEST: i64 = -2;
/// Asks for the record with the largest timestamp (KIP-734).
pub const MAX_TIMESTAMP: i64 = -3;

/// What is answered for a partition.
struct Found {
    timestamp: i64,
    offset: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found { timestamp: -1, offset: -1, leader_epoch: -1 };

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    r.i32("replica_id")?;
    r.since(2, 0, |r| r.i8("isolation_level"))?;
    let w = &mut reply.w;
    w.since(2, |w| w.i32(0));
    let topics = r.array("topics")?;
    w.array(topics);
    for _ in 0..topics {
        let name = r.string("name")?;
        w.string(name);
        let partitions = r.array("partitions")?;
        w.array(partitions);
        for _ in 0..partitions {
            let index = r.i32("partition_index")?;
            let current_leader_epoch = r.since(4, -1, |r| r.i32("current_leader_epoch"))?;
            let timestamp = r.i64("timestamp")?;
            r.tags()?;
            let version = r.version();
            if timestamp != EARLIEST
                && let Some(outcome) = wait_for_sync(context, name, index)
            {
                return Ok(outcome);
            }
            let result = find(context, version, name, index, current_leader_epoch, timestamp);
            let (code, found) = match result {
                Ok(found) => (ErrorCode::None, found),
                Err(code) => (code, NOTHING),
            };
            w.i32(index);
            w.error(code);
            w.i64(found.timestamp);
            w.i64(found.offset);
            w.since(4, |w| w.i32(found.leader_epoch));
            w.tags();
        }
        r.tags()?;
        w.tags();
    }
    r.tags()?;
    w.tags();
    Ok(Outcome::Now)
}

fn wait_for_sync(context: &mut Context<'_>, topic: &str, partition: i32) -> Option<Outcome> {
    let topic = context.broker.topics().find(topic)?;
    let view = context.broker.partition(topic, partition)?;
    context.wait_for_sync(&view)
}

fn find(
    context: &mut Context<'_>,
    version: i16,
    topic: &str,
    partition: i32,
    current_leader_epoch: i32,
    timestamp: i64,
) -> Result<Found, ErrorCode> {
    let least = if version >= 7 { MAX_TIMESTAMP } else { EARLIEST };
    if timestamp < least {
        // As Apache Kafka 4.3 does (`ReplicaManager.fetchOffset`).
        return Err(ErrorCode::UnsupportedVersion);
    }
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let topic = context.broker.topics().find(topic).ok_or(unknown)?;
    let view = context.broker.partition(topic, partition).ok_or(unknown)?;
    check_leader_epoch(current_leader_epoch, view.leader_epoch)?;
    let at = |offset, timestamp| Found { timestamp, offset, leader_epoch: view.leader_epoch };
    let found = match timestamp {
        LATEST => return Ok(at(view.high_watermark, -1)),
        EARLIEST => return Ok(at(view.log_start_offset, -1)),
        MAX_TIMESTAMP => context.broker.offset_of_max_timestamp(view.index),
        _ => context.broker.offset_for_time(view.index, timestamp),
    };
    let found = found.map_err(code_of_fetch)?;
    // What a power cut could take back is shown to nobody.
    let visible = found.filter(|(offset, _)| *offset < view.high_watermark);
    Ok(visible.map_or(NOTHING, |(offset, timestamp)| at(offset, timestamp)))
}
