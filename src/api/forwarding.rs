//! What of forwarding goes over the wire: figures, and the settings that steer it.
//!
//! Kafka has no request for either, and we invent none: the figures are read-only settings of the
//! broker resource in DescribeConfigs, named `ottla.status.forward.*`, and IncrementalAlterConfigs
//! sets `ottla.forward.paused` and `ottla.forward.seek` there. A pause lasts, also over a restart;
//! a seek is an order, done once, when the forwarder comes by.
//!
//! Promises: settings of one request are all taken or none; figures take no memory.

use super::Context;
use super::describe_configs::Visit;
use super::shared::Refused;
use crate::broker::{Backlog, Broker, TopicFigures};
use crate::config::{AlterOperation, ValueType};
use crate::fixed::Words;
use crate::limits::{FIGURE_NAME_BYTES_MAX, FORWARD_NEXT_BYTES_MAX};
use crate::state::forward::{ForwardCommand, ForwardHead};
use crate::state::topics::Topic;
use crate::storage::Lsn;
use crate::wire::ErrorCode;
use core::fmt::{self, Write};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Says that nothing is to be sent, or that it goes on.
const PAUSED: &str = "ottla.forward.paused";
/// Says where partitions go on: `topic:partition:offset`, with commas between them.
const SEEK: &str = "ottla.forward.seek";

/// What the name of a topic's figure begins with.
const TOPIC: &str = "ottla.status.forward.topic.";

fn topic_figure(topic: &str) -> Words<FIGURE_NAME_BYTES_MAX> {
    Words::of(format_args!("{TOPIC}{topic}"))
}

/// The figures but for the state and those of single topics; none where nothing is forwarded.
pub fn figures(context: &Context<'_>, visit: Visit<'_>) {
    let (broker, now) = (&context.broker, context.now);
    if broker.config().forward.bootstrap_servers.is_empty() {
        return;
    }
    let (long, text) = (ValueType::Long, ValueType::String);
    let forwarding = broker.forwarding();
    let next_try = forwarding.next_try.map_or(-1, |at| at.since(now.mono) as i64);
    let since = forwarding.since_wall_ms;
    let doc = "Since when, in milliseconds since 1970 by the machine's clock.";
    visit("ottla.status.forward.since.ms", long, format_args!("{since}"), doc);
    let doc = "Milliseconds until the next try; -1 while none is due.";
    visit("ottla.status.forward.next.try.ms", long, format_args!("{next_try}"), doc);
    let (error, doc) = (forwarding.error(), "The last error in words.");
    visit("ottla.status.forward.error", text, format_args!("{error}"), doc);
    let cluster_id = forwarding.head().cluster_id.as_str();
    let doc = "The upstream cluster's id; empty while unknown.";
    visit("ottla.status.forward.upstream", text, format_args!("{cluster_id}"), doc);
    let backlog = broker.forward_backlog();
    let today = "Bytes sent upstream on this day (UTC) since start.";
    let rejected = "Records that upstream refuses for good, set aside.";
    for (name, value, doc) in [
        ("ottla.status.forward.bytes.up", forwarding.bytes_up, "Bytes sent upstream since start."),
        ("ottla.status.forward.bytes.today", forwarding.bytes_today(now), today),
        (
            "ottla.status.forward.rate",
            forwarding.rate.rate(now.mono),
            "Bytes per second sent upstream lately.",
        ),
        (
            "ottla.status.forward.backlog.records",
            backlog.records,
            "Records that still have to go upstream.",
        ),
        ("ottla.status.forward.backlog.bytes", backlog.bytes, "Their bytes, about."),
        ("ottla.status.forward.rejected", backlog.rejected, rejected),
        ("ottla.status.forward.repeated", backlog.repeated, "Records that may be twice upstream."),
    ] {
        visit(name, long, format_args!("{value}"), doc);
    }
}

/// How many topics' figures are wanted.
pub fn topics_wanted(context: &Context<'_>, wanted: impl Fn(&str) -> bool) -> usize {
    context.broker.forwarded_topics().filter(|topic| wanted(&topic_figure(topic.name))).count()
}

/// The wanted ones of the figures of single topics.
pub fn topics(context: &mut Context<'_>, wanted: impl Fn(&str) -> bool, visit: Visit<'_>) {
    let mut place = 0;
    while let Some(topic) = context.broker.topics().nth(place) {
        place += 1;
        let (number, name) = (topic.number, topic_figure(topic.name));
        if !context.broker.forwards(topic) || !wanted(&name) {
            continue;
        }
        let Some(figures) = context.broker.forward_figures(number, context.now) else { continue };
        let line = TopicLine { broker: context.broker, number, figures };
        let doc = "How one topic's forwarding is.";
        visit(&name, ValueType::String, format_args!("{line}"), doc);
    }
}

/// A topic's figures in one line.
struct TopicLine<'a> {
    broker: &'a Broker,
    number: u32,
    figures: TopicFigures,
}

impl fmt::Display for TopicLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TopicFigures { backlog, bytes_up, rate, state, error } = &self.figures;
        let Some(topic) = self.broker.topics().get(self.number) else { return Ok(()) };
        let [prefix, name] = self.broker.config().forward.upstream_topic_parts(topic.name);
        let Backlog { records, bytes, rejected, repeated, .. } = backlog;
        let oldest_ms = backlog.oldest_ms.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
        write!(
            f,
            "upstream={prefix}{name};records={records};bytes={bytes};oldest.ms={oldest_ms};\
             rate={rate};sent={bytes_up};rejected={rejected};repeated={repeated}"
        )?;
        let mut next = Bytes(0);
        write_next(self.broker, &topic, &mut next)?;
        if next.0 <= FORWARD_NEXT_BYTES_MAX {
            f.write_str(";next=")?;
            write_next(self.broker, &topic, f)?;
        }
        write!(f, ";state={}", state.as_text())?;
        match (*error, ErrorCode::from_i16(*error)) {
            (0, _) => Ok(()),
            (_, Some(code)) => write!(f, ", {}", code.name()),
            (_, None) => write!(f, ", error {error}"),
        }
    }
}

/// The next offsets of a topic's partitions, with commas between them.
fn write_next(broker: &Broker, topic: &Topic<'_>, to: &mut dyn Write) -> fmt::Result {
    broker.forward_next(topic).enumerate().try_for_each(|(at, next)| {
        let comma = if at == 0 { "" } else { "," };
        write!(to, "{comma}{next}")
    })
}

/// Counts bytes of text.
struct Bytes(usize);

impl Write for Bytes {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
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
