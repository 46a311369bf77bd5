//! Fetch (1): records out of the log.
//!
//! Versions 3–12. v3 is one step below Apache Kafka 4: Telegraf's default consumer speaks it.
//! v4 isolation_level, last_stable_offset, aborted_transactions · v5 log_start_offset · v7 sessions
//! (KIP-227, refused for ever with id 0) · v9 current_leader_epoch · v11 rack and preferred replica
//! · v12 flexible, last_fetched_epoch. Zstandard batches go out in every version: KIP-110 would
//! have them refused before v10, but Apache Kafka 4.3 sends them, and kafka-python 2.0.2 (v4) reads
//! them.
//!
//! Whole batches only, the first one holding the offset that was asked for, sent from the page
//! cache without passing through here. Nothing at or above the high watermark is shown, and that
//! is the synced offset. Long polling parks the request; a fetch of what is not synced yet brings
//! the next sync forward, parked or not.

use super::{Api, Context, Outcome, Parked, Reply, Waiting, code_of_fetch};
use crate::broker::{FetchError, PartitionView};
use crate::limits::FETCH_BYTES_MAX;
use crate::storage::partition::Slice;
use crate::wire::{ErrorCode, ReadError, Reader, Writer};

/// The row.
pub const API: Api =
    Api { key: 1, name: "Fetch", versions: (3, 12), advertised_min: 3, flexible: 12, handle };

/// What a request asks for, but for its partitions.
struct Request {
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
    session_id: i32,
    session_epoch: i32,
}

/// One partition of a request.
struct Wanted {
    partition: i32,
    current_leader_epoch: i32,
    fetch_offset: i64,
    partition_max_bytes: i32,
}

fn read_request(r: &mut Reader<'_>) -> Result<Request, ReadError> {
    r.i32("replica_id")?;
    let max_wait_ms = r.i32("max_wait_ms")?;
    let min_bytes = r.i32("min_bytes")?;
    let max_bytes = r.i32("max_bytes")?;
    r.since(4, 0, |r| r.i8("isolation_level"))?;
    Ok(Request {
        max_wait_ms,
        min_bytes,
        max_bytes,
        session_id: r.since(7, 0, |r| r.i32("session_id"))?,
        session_epoch: r.since(7, -1, |r| r.i32("session_epoch"))?,
    })
}

fn read_partition(r: &mut Reader<'_>) -> Result<Wanted, ReadError> {
    let partition = r.i32("partition")?;
    let current_leader_epoch = r.since(9, -1, |r| r.i32("current_leader_epoch"))?;
    let fetch_offset = r.i64("fetch_offset")?;
    r.since(12, -1, |r| r.i32("last_fetched_epoch"))?;
    r.since(5, -1, |r| r.i64("log_start_offset"))?;
    let partition_max_bytes = r.i32("partition_max_bytes")?;
    r.tags()?;
    Ok(Wanted { partition, current_leader_epoch, fetch_offset, partition_max_bytes })
}

/// What the partitions add up to.
struct Sum {
    bytes: usize,
    records: u64,
    bytes_max: usize,
    failed: bool,
    /// A partition has more than this answer takes: it would not get fuller by waiting.
    more: bool,
    partitions: usize,
}

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let request = read_request(&mut r)?;
    let body = r;
    reply.w.i32(0);
    if request.session_id != 0 && request.session_epoch > 0 {
        // No session was ever given out: the client falls back to full fetches.
        reply.w.error(ErrorCode::FetchSessionIdNotFound);
        reply.w.i32(0);
        reply.w.array(0);
        reply.w.tags();
        return Ok(Outcome::Now);
    }
    reply.w.since(7, |w| {
        w.error(ErrorCode::None);
        w.i32(0);
    });
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(FETCH_BYTES_MAX);
    let mut sum =
        Sum { bytes: 0, records: 0, bytes_max, failed: false, more: false, partitions: 0 };
    write_topics(context, &mut r, reply, &mut sum)?;
    reply.w.tags();
    // More than max_bytes will never come (`KafkaApis.handleFetchRequest` has the same minimum).
    let bytes_min = usize::try_from(request.min_bytes).unwrap_or(0).min(bytes_max);
    let enough = sum.bytes >= bytes_min || sum.more;
    if enough || sum.failed || sum.partitions == 0 || request.max_wait_ms <= 0 {
        return Ok(done(context, &sum));
    }
    let now = context.now.mono;
    let deadline = match context.parked {
        Some(Parked { deadline: Some(deadline), .. }) => deadline,
        _ => now.saturating_add(request.max_wait_ms as u64),
    };
    if deadline <= now {
        return Ok(done(context, &sum));
    }
    wait(context, body)?;
    Ok(Outcome::Park(Parked { waiting: Waiting::Fetch, deadline: Some(deadline) }))
}

fn done(context: &mut Context<'_>, sum: &Sum) -> Outcome {
    context.broker.figures.bytes_out += sum.bytes as u64;
    context.broker.figures.records_out += sum.records;
    Outcome::Now
}

/// Asks to be woken for every partition of the request.
fn wait(context: &mut Context<'_>, mut r: Reader<'_>) -> Result<(), ReadError> {
    for _ in 0..r.array("topics")? {
        let topic = r.string("topic")?;
        for _ in 0..r.array("partitions")? {
            let wanted = read_partition(&mut r)?;
            if let Ok(view) = find(context, topic, &wanted) {
                context.broker.wait_for_records(view.index, context.peer.slot);
            }
        }
        r.tags()?;
    }
    Ok(())
}

fn write_topics(
    context: &mut Context<'_>,
    r: &mut Reader<'_>,
    reply: &mut Reply<'_>,
    sum: &mut Sum,
) -> Result<(), ReadError> {
    let topics = r.array("topics")?;
    reply.w.array(topics);
    for _ in 0..topics {
        let topic = r.string("topic")?;
        reply.w.string(topic);
        let partitions = r.array("partitions")?;
        reply.w.array(partitions);
        for _ in 0..partitions {
            let wanted = read_partition(r)?;
            sum.partitions += 1;
            answer_partition(context, topic, &wanted, reply, sum);
        }
        r.tags()?;
        reply.w.tags();
    }
    Ok(())
}

fn find(context: &Context<'_>, topic: &str, wanted: &Wanted) -> Result<PartitionView, ErrorCode> {
    find_at_epoch(context, topic, wanted.partition, wanted.current_leader_epoch)
}

/// The offsets of a partition, for a client that knows this leader epoch of it.
///
/// # Errors
/// UNKNOWN_TOPIC_OR_PARTITION, or what [`check_leader_epoch`] says.
pub fn find_at_epoch(
    context: &Context<'_>,
    topic: &str,
    partition: i32,
    current_leader_epoch: i32,
) -> Result<PartitionView, ErrorCode> {
    let found = context.broker.find_partition(topic, partition);
    let (_, view) = found.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    check_leader_epoch(current_leader_epoch, view.leader_epoch)?;
    Ok(view)
}

/// Compares the leader epoch that a client knows (-1: none) with the partition's (KIP-320).
///
/// # Errors
/// FENCED_LEADER_EPOCH for an older one, UNKNOWN_LEADER_EPOCH for a newer one.
pub fn check_leader_epoch(known: i32, current: i32) -> Result<(), ErrorCode> {
    match known {
        -1 => Ok(()),
        epoch if epoch < current => Err(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > current => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

fn read(
    context: &mut Context<'_>,
    view: &PartitionView,
    wanted: &Wanted,
    reply: &mut Reply<'_>,
    sum: &mut Sum,
) -> Result<Option<Slice>, ErrorCode> {
    let at_least_one = sum.bytes == 0;
    let left = sum.bytes_max.saturating_sub(sum.bytes);
    let max = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left) as u32;
    let none_left = (max == 0 && !at_least_one) || !reply.has_room_for_file();
    let offset = wanted.fetch_offset;
    let inside = (view.log_start_offset..=view.high_watermark).contains(&offset);
    if (view.high_watermark..view.log_end_offset).contains(&offset) {
        // Not only for who waits: a consumer with fetch.max.wait.ms=0 (kafka-e2e-latency) asks
        // again and again, and one with a busy partition beside this one never waits either.
        context.broker.storage_mut().hurry(view.index);
    }
    if none_left && inside {
        sum.more |= offset < view.high_watermark;
        return Ok(None);
    }
    let slice = context.broker.read(view.index, offset, max, at_least_one);
    let slice = slice.map_err(|error| match error {
        // Above the high watermark but in the log: a consumer that is ahead of the sync waits.
        FetchError::OffsetOutOfRange
            if (view.high_watermark..=view.log_end_offset).contains(&offset) =>
        {
            ErrorCode::None
        }
        error => code_of_fetch(error),
    });
    if let Ok(Some(slice)) = &slice {
        // Cut by a limit, maybe to nothing, or at the end of a segment.
        sum.more |= slice.next_offset < view.high_watermark;
    }
    match slice {
        Err(ErrorCode::None) => Ok(None),
        other => Ok(other?.filter(|slice| slice.bytes > 0)),
    }
}

fn answer_partition(
    context: &mut Context<'_>,
    topic: &str,
    wanted: &Wanted,
    reply: &mut Reply<'_>,
    sum: &mut Sum,
) {
    let found = find(context, topic, wanted);
    let view = found.ok();
    let slice = found.and_then(|view| read(context, &view, wanted, reply, sum));
    let code = slice.as_ref().err().copied().unwrap_or(ErrorCode::None);
    sum.failed |= code != ErrorCode::None;
    write_head(&mut reply.w, wanted.partition, code, view.filter(|_| code == ErrorCode::None));
    match slice {
        Ok(Some(slice)) => {
            sum.bytes += slice.bytes as usize;
            sum.records += u64::try_from(slice.next_offset - wanted.fetch_offset).unwrap_or(0);
            reply.w.records_length(slice.bytes as usize);
            reply.file(slice);
        }
        _ => reply.w.bytes(&[]),
    }
    reply.w.tags();
}

fn write_head(w: &mut Writer<'_>, partition: i32, code: ErrorCode, view: Option<PartitionView>) {
    let high_watermark = view.map_or(-1, |v| v.high_watermark);
    w.i32(partition);
    w.error(code);
    w.i64(high_watermark);
    w.since(4, |w| w.i64(high_watermark));
    w.since(5, |w| w.i64(view.map_or(-1, |v| v.log_start_offset)));
    w.since(4, |w| w.array(0));
    w.since(11, |w| w.i32(-1));
}

#[cfg(test)]
mod tests;
