//! One function per promise: what must hold of a broker that has just come up.

use crate::model::{End, Log, LogKey, Model, Moment, Sent, Step};
use ottla::broker::{Broker, FetchError, PartitionView};
use ottla::state::forward::ForwardRow;
use ottla::storage::PartitionKey;
use ottla::storage::partition::Slice;
use ottla::storage::recovery::Report;
use ottla::time::Now;
use ottla::wire::batch;

/// What is wrong, in words.
pub type Verdict = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// Everything that is promised.
pub fn everything(
    broker: &mut Broker,
    report: &Report,
    model: &Model,
    at: Moment,
    end: End,
    now: Now,
) -> Verdict {
    nothing_is_reported_unreadable(report)?;
    topics_are_as_acknowledged(broker, model, at, end)?;
    logs_hold_what_was_acknowledged_and_seen(broker, model, at, end)?;
    offsets_are_as_acknowledged(broker, model, at, end)?;
    cursors_are_as_acknowledged(broker, model, at, end)?;
    nothing_is_gone_that_was_not_forwarded(broker)?;
    repeated_batches_are_recognised(broker, model, now)?;
    producer_ids_are_new(broker, model, at, now)
}

/// A power cut is nothing unusual.
fn nothing_is_reported_unreadable(report: &Report) -> Verdict {
    ensure(report.notes.is_empty() && !report.rebuilt, || format!("reported: {:?}", report.notes))
}

/// Names lead to the topics they should, with the ids they had.
fn topics_are_as_acknowledged(broker: &Broker, model: &Model, at: Moment, end: End) -> Verdict {
    for (name, register) in &model.topics {
        let found = broker.topics().find(name).map(|topic| topic.id);
        ensure(register.allowed(at, end).any(|allowed| *allowed == found), || {
            format!("topic {name}: found {found:?}, the steps are {register:?}")
        })?;
    }
    for topic in broker.topics().iter() {
        ensure(model.topics.contains_key(topic.name), || format!("a topic {}?", topic.name))?;
        let missing = (0..topic.partitions.len() as i32).find(|p| {
            broker.partition(topic, *p).is_none() || !model.logs.contains_key(&(topic.id, *p))
        });
        ensure(missing.is_none(), || format!("{}: no partition {missing:?}", topic.name))?;
    }
    Ok(())
}

fn logs(broker: &Broker) -> Vec<(LogKey, PartitionView)> {
    let partitions = |topic| {
        let topic: ottla::state::topics::Topic<'_> = topic;
        let count = topic.partitions.len() as i32;
        (0..count).filter_map(move |p| Some(((topic.id, p), broker.partition(topic, p)?)))
    };
    broker.topics().iter().flat_map(partitions).collect()
}

/// Per partition: a prefix of what was sent, byte for byte, with all that was acknowledged and
/// seen; the start where it was put; every offset can be fetched.
fn logs_hold_what_was_acknowledged_and_seen(
    broker: &mut Broker,
    model: &Model,
    at: Moment,
    end: End,
) -> Verdict {
    for (key, view) in logs(broker) {
        let Some(log) = model.logs.get(&key) else { continue };
        let name = broker.storage().partition(view.index).map(|p| p.dir.clone());
        one_log(broker, log, view, at, end).map_err(|what| format!("{name:?}: {what}"))?;
    }
    Ok(())
}

fn one_log(broker: &mut Broker, log: &Log, view: PartitionView, at: Moment, end: End) -> Verdict {
    let start = view.log_start_offset;
    ensure(log.start.allowed(at, end).any(|allowed| *allowed == start), || {
        format!("starts at {start}, the steps are {:?}", log.start)
    })?;
    let (least, most) = log.bounds(at, end);
    let seen = log.seen.iter().filter(|(since, _)| *since <= at).map(|(_, hw)| *hw).max();
    let top = view.high_watermark;
    ensure(top == view.log_end_offset, || format!("{view:?}: not all of it is visible"))?;
    ensure(top >= log.end_of(least), || {
        format!("ends at {top}, but up to {} was acknowledged", log.end_of(least))
    })?;
    ensure(top >= seen.unwrap_or(0), || format!("ends at {top}, but {seen:?} was seen"))?;
    let count = (0..=most).rev().find(|count| log.end_of(*count) == top);
    let count = count.ok_or_else(|| format!("ends at {top}, which no batch does"))?;
    let expected = log.batches[..count].iter().map(|step| &step.value);
    let expected: Vec<&Sent> = expected.filter(|sent| sent.header.next_offset() > start).collect();
    whole_log(broker, view, &expected)?;
    every_offset(broker, view, &expected)
}

fn bytes_of(slice: &Slice) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; slice.bytes as usize];
    let read = slice.file.read_exact_at(&mut bytes, u64::from(slice.position));
    read.map(|()| bytes).map_err(|error| format!("a slice cannot be read: {error}"))
}

/// Fetches all of it, like a consumer that starts at the beginning.
fn whole_log(broker: &mut Broker, view: PartitionView, expected: &[&Sent]) -> Verdict {
    let mut offset = view.log_start_offset;
    let mut found = Vec::new();
    while offset < view.high_watermark {
        let slice = broker.read(view.index, offset, 3_000, true);
        let slice = slice.map_err(|e| format!("offset {offset}: {e:?}"))?;
        let slice = slice.ok_or_else(|| format!("offset {offset}: nothing"))?;
        let bytes = bytes_of(&slice)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let header = batch::check_stored(rest).map_err(|e| format!("{offset}: {e:?}"))?;
            offset = header.next_offset();
            rest = &rest[header.total_bytes..];
        }
        found.extend_from_slice(&bytes);
    }
    let wanted: Vec<u8> = expected.iter().flat_map(|sent| sent.stored.iter().copied()).collect();
    ensure(found == wanted, || {
        format!("other bytes than were sent: {} and {}", found.len(), wanted.len())
    })
}

/// Fetches from each offset, and one beyond both ends.
fn every_offset(broker: &mut Broker, view: PartitionView, expected: &[&Sent]) -> Verdict {
    for sent in expected {
        for offset in sent.base_offset.max(view.log_start_offset)..sent.header.next_offset() {
            let slice = broker.read(view.index, offset, 1, true);
            let first = slice.map_err(|e| format!("offset {offset}: {e:?}"))?.map(|s| s.first);
            ensure(first == Some(sent.header), || format!("offset {offset}: {first:?}"))?;
        }
    }
    let at_end = broker.read(view.index, view.high_watermark, 1, true);
    ensure(matches!(at_end, Ok(None)), || "something lies at the end".into())?;
    for outside in [view.log_start_offset - 1, view.high_watermark + 1] {
        let found = broker.read(view.index, outside, 1, true);
        ensure(matches!(found, Err(FetchError::OffsetOutOfRange)), || format!("{outside}: read"))?;
    }
    Ok(())
}

/// Committed offsets are where the last acknowledged commit put them, or a later one.
fn offsets_are_as_acknowledged(broker: &Broker, model: &Model, at: Moment, end: End) -> Verdict {
    for (key, register) in &model.offsets {
        let found = broker.groups.offsets().get(&key.0, &key.1, key.2).map(|row| row.offset);
        ensure(register.allowed(at, end).any(|allowed| *allowed == found), || {
            format!("offset of {key:?}: found {found:?}, the steps are {register:?}")
        })?;
    }
    Ok(())
}

/// A lane's row is as new as when it last became durable, or newer.
fn cursors_are_as_acknowledged(broker: &Broker, model: &Model, at: Moment, end: End) -> Verdict {
    for ((id, partition), register) in &model.cursors {
        // A deleted topic takes its rows along; that it may be gone is another promise.
        let Some(topic) = broker.topics().find_id(id) else { continue };
        let key = PartitionKey { topic: topic.number, partition: *partition as u32 };
        let found = broker.forward_row(key).map(|row| row.cursor);
        ensure(register.allowed(at, end).any(|allowed| *allowed == found), || {
            format!("cursor of {}-{partition}: found {found:?}, of {register:?}", topic.name)
        })?;
    }
    let there = |row: &ForwardRow| broker.topics().get(row.topic).is_some();
    let stray = broker.forwarding().rows().find(|row| !there(row));
    ensure(stray.is_none(), || format!("a row without a topic: {stray:?}"))
}

/// Where something is forwarded (in no such scenario a client deletes records), no log begins
/// behind what its row says is upstream: that would be taken for records that were lost.
fn nothing_is_gone_that_was_not_forwarded(broker: &Broker) -> Verdict {
    for topic in broker.topics().iter().filter(|topic| broker.forwards(*topic)) {
        for partition in 0..topic.partitions.len() as i32 {
            let Some(view) = broker.partition(topic, partition) else { continue };
            let key = PartitionKey { topic: topic.number, partition: partition as u32 };
            let cursor = broker.forward_row(key).map_or(0, |row| row.cursor);
            ensure(view.log_start_offset <= cursor, || {
                format!("{}-{partition}: {view:?}, but the cursor is {cursor}", topic.name)
            })?;
        }
    }
    Ok(())
}

/// The last five batches of a producer are known, with their offsets.
fn repeated_batches_are_recognised(broker: &mut Broker, model: &Model, now: Now) -> Verdict {
    for (key, view) in logs(broker) {
        let Some(log) = model.logs.get(&key) else { continue };
        let topic = broker.topics().find_id(&key.0).map(|t| t.name.to_owned()).unwrap_or_default();
        let there = |step: &&Step<Sent>| step.value.base_offset < view.log_end_offset;
        let of_producers = log.batches.iter().filter(there).map(|step| &step.value);
        let mut sent: Vec<&Sent> = of_producers.filter(|s| s.header.has_producer_id()).collect();
        sent.sort_by_key(|s| (s.header.producer_id, s.base_offset));
        for one in sent.chunk_by(|a, b| a.header.producer_id == b.header.producer_id) {
            for again in one.iter().rev().take(5) {
                let header = batch::check(&again.raw).expect("as it was sent");
                let answer = broker.append(&topic, key.1, &again.raw, &header, now);
                let offset = answer.map(|produced| produced.base_offset);
                ensure(offset == Ok(again.base_offset), || {
                    format!("{topic}: {:?} sent again: {offset:?}", again.header)
                })?;
            }
        }
        let end = broker.storage().partition(view.index).map(|p| p.log_end);
        ensure(end == Some(view.log_end_offset), || format!("{topic}: a repeated batch is in it"))?;
    }
    Ok(())
}

/// No producer id is handed out twice.
fn producer_ids_are_new(broker: &mut Broker, model: &Model, at: Moment, now: Now) -> Verdict {
    let (id, _) = broker.init_producer_id(now).map_err(|refusal| format!("{refusal:?}"))?;
    let before = model.producer_ids.iter().any(|(since, known)| *since <= at && *known == id);
    ensure(!before, || format!("producer id {id} was handed out before"))
}
