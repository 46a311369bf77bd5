//! What of forwarding goes over the wire: figures, and the settings that steer it.
//!
//! Kafka has no request for either, and we invent none: the figures are read-only settings of the
//! broker resource in DescribeConfigs, named `ottla.status.forward.*`, and IncrementalAlterConfigs
//! sets `ottla.forward.paused` and `ottla.forward.seek` there. A pause lasts, also over a restart;
//! a seek is an order, done once, when the forwarder comes by.
//!
//! Promises: settings of one request are all taken or none.

use super::Context;
use super::shared::Refused;
use crate::broker::{Broker, TopicFigures};
use crate::config::{AlterOperation, ValueType};
use crate::limits::FORWARD_NEXT_BYTES_MAX;
use crate::state::forward::{ForwardCommand, ForwardHead};
use crate::storage::Lsn;
use crate::wire::ErrorCode;
use core::fmt::Write;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Says that nothing is to be sent, or that it goes on.
const PAUSED: &str = "ottla.forward.paused";
/// Says where partitions go on: `topic:partition:offset`, with commas between them.
const SEEK: &str = "ottla.forward.seek";

/// A figure of forwarding.
pub struct Figure {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub kind: ValueType,
    /// Its value.
    pub value: String,
    /// What it is.
    pub documentation: &'static str,
}

fn figure(
    name: impl Into<Cow<'static, str>>,
    kind: ValueType,
    value: String,
    documentation: &'static str,
) -> Figure {
    Figure { name: name.into(), kind, value, documentation }
}

/// The figures but for the state; none where nothing is forwarded.
pub fn figures(context: &mut Context<'_>) -> Vec<Figure> {
    let now = context.now;
    let text = |name, value: &str, doc| figure(name, ValueType::String, value.to_owned(), doc);
    let mut entries = Vec::new();
    if context.broker.config().forward.bootstrap_servers.is_empty() {
        return entries;
    }
    let topics = context.broker.forward_topics(now);
    let sum = |of: fn(&TopicFigures) -> u64| topics.iter().map(of).sum::<u64>().to_string();
    let long = |name, value: String, doc| figure(name, ValueType::Long, value, doc);
    let forwarding = context.broker.forwarding();
    let next_try = forwarding.next_try.map_or(-1, |at| at.since(now.mono) as i64);
    entries.extend([
        long(
            "ottla.status.forward.since.ms",
            forwarding.since_wall_ms.to_string(),
            "Since when, in milliseconds since 1970 by the machine's clock.",
        ),
        long(
            "ottla.status.forward.next.try.ms",
            next_try.to_string(),
            "Milliseconds until the next try; -1 while none is due.",
        ),
        text("ottla.status.forward.error", forwarding.error(), "The last error in words."),
        text(
            "ottla.status.forward.upstream",
            &forwarding.head().cluster_id,
            "The upstream cluster's id; empty while unknown.",
        ),
        long(
            "ottla.status.forward.bytes.up",
            forwarding.bytes_up.to_string(),
            "Bytes sent upstream since start.",
        ),
        long(
            "ottla.status.forward.bytes.today",
            forwarding.bytes_today(now).to_string(),
            "Bytes sent upstream on this day (UTC) since start.",
        ),
        long(
            "ottla.status.forward.rate",
            forwarding.rate.rate(now.mono).to_string(),
            "Bytes per second sent upstream lately.",
        ),
        long(
            "ottla.status.forward.backlog.records",
            sum(|t| t.backlog.records),
            "Records that still have to go upstream.",
        ),
        long("ottla.status.forward.backlog.bytes", sum(|t| t.backlog.bytes), "Their bytes, about."),
        long(
            "ottla.status.forward.rejected",
            sum(|t| t.backlog.rejected),
            "Records that upstream refuses for good, set aside.",
        ),
        long(
            "ottla.status.forward.repeated",
            sum(|t| t.backlog.repeated),
            "Records that may be twice upstream.",
        ),
    ]);
    entries.extend(topics.iter().map(|topic| {
        let name = format!("ottla.status.forward.topic.{}", topic.name);
        figure(name, ValueType::String, topic_text(topic), "How one topic's forwarding is.")
    }));
    entries
}

/// A topic's figures in one line.
fn topic_text(topic: &TopicFigures) -> String {
    let backlog = &topic.backlog;
    let oldest_ms = backlog.oldest_ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let mut text = format!(
        "upstream={};records={};bytes={};oldest.ms={oldest_ms};rate={};sent={};rejected={};\
         repeated={}",
        topic.upstream,
        backlog.records,
        backlog.bytes,
        topic.rate,
        topic.bytes_up,
        backlog.rejected,
        backlog.repeated,
    );
    let next: Vec<String> = topic.next.iter().map(i64::to_string).collect();
    let next = next.join(",");
    // A value of the older versions holds 32767 bytes.
    if next.len() <= FORWARD_NEXT_BYTES_MAX {
        write!(text, ";next={next}").ok();
    }
    write!(text, ";state={}", topic.state.as_text()).ok();
    if topic.error != 0 {
        match ErrorCode::from_i16(topic.error) {
            Some(code) => write!(text, ", {}", code.name()).ok(),
            None => write!(text, ", error {}", topic.error).ok(),
        };
    }
    text
}

fn invalid(message: impl Into<Cow<'static, str>>) -> Refused {
    Refused::new(ErrorCode::InvalidConfig, message)
}

/// What a request asks for.
#[derive(Default)]
struct Wanted {
    paused: Option<bool>,
    seeks: Vec<ForwardCommand>,
}

/// Steers the forwarder by settings of the broker resource; `None` where one of them is another
/// setting of the broker. The frame is that of a pause or its end.
///
/// # Errors
/// INVALID_CONFIG and a sentence; nothing is done then.
pub fn steer(
    context: &mut Context<'_>,
    operations: &[(&str, AlterOperation, Option<&str>)],
    validate_only: bool,
) -> Option<Result<Option<Lsn>, Refused>> {
    let ours = |name: &str| name == PAUSED || name == SEEK;
    if operations.is_empty() || !operations.iter().all(|(name, _, _)| ours(name)) {
        return None;
    }
    let wanted = wanted(context.broker, operations);
    Some(wanted.and_then(|wanted| {
        if validate_only {
            return Ok(None);
        }
        let mut lsn = None;
        if let Some(paused) = wanted.paused {
            let head = ForwardHead { paused, ..context.broker.forwarding().head().clone() };
            lsn = Some(context.broker.save_forward_head(head, context.now)?);
            let what = if paused { "paused" } else { "resumed" };
            log::info!("forwarding: {what} by {}", context.peer.address);
        }
        if !wanted.seeks.is_empty() {
            // The forwarder says of each one where it goes on.
            let (count, who) = (wanted.seeks.len(), context.peer.address);
            log::info!("forwarding: {who} seeks in {count} of the partitions");
        }
        for seek in wanted.seeks {
            context.broker.forwarding_mut().command(seek);
        }
        Ok(lsn)
    }))
}

fn wanted(
    broker: &Broker,
    operations: &[(&str, AlterOperation, Option<&str>)],
) -> Result<Wanted, Refused> {
    if broker.config().forward.bootstrap_servers.is_empty() {
        return Err(invalid("nothing is forwarded here: forward.bootstrap.servers is not set"));
    }
    let mut wanted = Wanted::default();
    let mut named = BTreeSet::new();
    for (name, operation, value) in operations {
        if !named.insert(*name) {
            return Err(invalid(format!("{name}: named twice")));
        }
        match (*name, operation, *value) {
            (PAUSED, AlterOperation::Delete, _) => wanted.paused = Some(false),
            (PAUSED, AlterOperation::Set, Some(value)) => {
                let paused = match value.to_ascii_lowercase().as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(invalid(format!("{PAUSED} = {value}: must be true or false"))),
                };
                wanted.paused = Some(paused);
            }
            (SEEK, AlterOperation::Set, Some(value)) => wanted.seeks = seeks(broker, value)?,
            (name, _, _) => return Err(invalid(format!("{name}: can only be set to a value"))),
        }
    }
    Ok(wanted)
}

fn seeks(broker: &Broker, value: &str) -> Result<Vec<ForwardCommand>, Refused> {
    let mut seeks = Vec::new();
    let mut named = BTreeSet::new();
    for part in value.split(',').map(str::trim) {
        let seek =
            seek(broker, part).map_err(|what| invalid(format!("{SEEK}: {part:?}: {what}")))?;
        let ForwardCommand::Seek { topic, partition, .. } = seek;
        if !named.insert((topic, partition)) {
            return Err(invalid(format!("{SEEK}: {part:?}: the partition is named twice")));
        }
        seeks.push(seek);
    }
    Ok(seeks)
}

/// One `topic:partition:offset`; -1 is the end of the log and -2 its beginning, as in ListOffsets.
fn seek(broker: &Broker, part: &str) -> Result<ForwardCommand, String> {
    let mut fields = part.split(':');
    let (Some(name), Some(partition), Some(offset), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err("must be topic:partition:offset".to_owned());
    };
    let number: u32 = partition.parse().map_err(|_| format!("no partition {partition:?}"))?;
    let offset: i64 = offset.parse().map_err(|_| format!("no offset {offset:?}"))?;
    let topic = broker.topics().find(name).ok_or_else(|| format!("there is no topic {name:?}"))?;
    let view = i32::try_from(number).ok().and_then(|number| broker.partition(topic, number));
    let view = view.ok_or_else(|| format!("{name} has no partition {number}"))?;
    if !broker.forwards(topic) {
        return Err(format!("{name} is not forwarded; see forward.topics"));
    }
    let (first, end) = (view.log_start_offset, view.high_watermark);
    let offset = match offset {
        -1 => end,
        -2 => first,
        offset if (first..=end).contains(&offset) => offset,
        offset => return Err(format!("the log has the offsets {first} to {end}, not {offset}")),
    };
    Ok(ForwardCommand::Seek { topic: topic.number, partition: number, offset })
}

#[cfg(test)]
mod tests;
