//! DescribeTopicPartitions (75): topics and partitions, in pages (KIP-966).
//!
//! Version 0, flexible.
//!
//! Topics come sorted by name, each once; a page ends after `response_partition_limit` partitions
//! (at most [`DESCRIBE_PARTITIONS_MAX`]) with a cursor at the first one that is left. An empty list
//! asks for all topics. The two lists of eligible leaders are empty, never null: Java's admin
//! trips over null although the schema allows it (protocol.md 3).

use super::shared::{OPERATIONS_OMITTED, OPERATIONS_TOPIC, name_first, sort_names, with_names};
use super::{Api, Context, Outcome, Reply};
use crate::broker::{LEADER_EPOCH, Names};
use crate::limits::DESCRIBE_PARTITIONS_MAX;
use crate::state::topics::{Topic, check_name};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};
use core::ops::Range;

/// The row.
pub const API: Api = Api {
    key: 75,
    name: "DescribeTopicPartitions",
    versions: (0, 0),
    advertised_min: 0,
    flexible: 0,
    handle,
};

/// The first partition that a page has to show, or the next one.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    topic: &'a str,
    partition: i32,
}

/// What a page says of one topic.
struct Part<'a> {
    name: &'a str,
    topic: Option<Topic<'a>>,
    partitions: Range<usize>,
}

fn read_cursor<'a>(r: &mut Reader<'a>) -> Result<Option<Cursor<'a>>, ReadError> {
    // A nullable struct: -1 is null, 1 is "here it is" (protocol.md 5).
    if r.i8("cursor")? < 0 {
        return Ok(None);
    }
    let cursor = Cursor { topic: r.string("topic_name")?, partition: r.i32("partition_index")? };
    r.tags()?;
    Ok(Some(cursor))
}

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    with_names(context, |context, names| handle_with(context, names, r, reply))
}

fn handle_with(
    context: &mut Context<'_>,
    names: &mut Names,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let count = r.array("topics")?;
    let skip = |r: &mut Reader<'_>| {
        r.string("name")?;
        r.tags()
    };
    let fits = sort_names(names, &mut r, count, skip, name_first)?;
    let list = r;
    let limit = r.i32("response_partition_limit")?;
    let cursor = read_cursor(&mut r)?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    let at = |position| name_first(list.moved_to(position));
    let mut before = None;
    let once = names.positions().map(at).filter(move |name| before.replace(*name) != Some(*name));
    let strange = cursor.is_some_and(|cursor| {
        cursor.partition < 0
            || (count > 0 && names.count(|position| at(position).cmp(cursor.topic)) == 0)
    });
    if strange || !fits {
        write_refusal(w, once);
        return Ok(Outcome::Now);
    }
    let limit = usize::try_from(limit).unwrap_or(0).clamp(1, DESCRIBE_PARTITIONS_MAX);
    let topics = context.broker.topics();
    if count == 0 {
        let all = topics.iter().map(|topic| (topic.name, Some(topic)));
        write_page(w, context.node_id(), all, cursor, limit);
    } else {
        let asked = once.map(|name| (name, topics.find(name)));
        write_page(w, context.node_id(), asked, cursor, limit);
    }
    Ok(Outcome::Now)
}

/// Writes the page that begins at `cursor`, and where the next one begins.
fn write_page<'a>(
    w: &mut Writer<'_>,
    node_id: i32,
    topics: impl Iterator<Item = (&'a str, Option<Topic<'a>>)> + Clone,
    cursor: Option<Cursor<'_>>,
    limit: usize,
) {
    let mut parts = 0;
    let next = plan(topics.clone(), cursor, limit, |_| parts += 1);
    w.array(parts);
    plan(topics, cursor, limit, |part| write_part(w, node_id, &part));
    match next {
        Some(next) => {
            w.i8(1);
            w.string(next.topic);
            w.i32(next.partition);
            w.tags();
        }
        None => w.i8(-1),
    }
    w.tags();
}

/// Visits what is on the page that begins at `cursor`, and says where the next one begins. Topics
/// are sorted by name.
fn plan<'a>(
    topics: impl Iterator<Item = (&'a str, Option<Topic<'a>>)>,
    cursor: Option<Cursor<'_>>,
    limit: usize,
    mut visit: impl FnMut(Part<'a>),
) -> Option<Cursor<'a>> {
    let mut left = limit;
    let from = cursor.map_or("", |cursor| cursor.topic);
    for (name, topic) in topics.filter(|(name, _)| *name >= from) {
        if left == 0 {
            return Some(Cursor { topic: name, partition: 0 });
        }
        let all = topic.map_or(0, |topic| topic.partitions.len());
        let first = cursor.filter(|cursor| cursor.topic == name).map_or(0, |c| c.partition);
        let first = usize::try_from(first).unwrap_or(0).min(all);
        let end = all.min(first + left);
        visit(Part { name, topic, partitions: first..end });
        if end < all {
            return Some(Cursor { topic: name, partition: end as i32 });
        }
        left -= end - first;
    }
    None
}

fn write_refusal<'a>(w: &mut Writer<'_>, names: impl Iterator<Item = &'a str> + Clone) {
    w.array(names.clone().count());
    let (code, operations) = (ErrorCode::InvalidRequest, OPERATIONS_OMITTED);
    names.for_each(|name| write_error(w, code, name, operations));
    w.i8(-1);
    w.tags();
}

fn write_error(w: &mut Writer<'_>, code: ErrorCode, name: &str, operations: i32) {
    w.error(code);
    w.nullable_string(Some(name));
    w.uuid(&[0; 16]);
    w.bool(false);
    w.array(0);
    w.i32(operations);
    w.tags();
}

fn write_part(w: &mut Writer<'_>, node_id: i32, part: &Part<'_>) {
    let Some(topic) = part.topic else {
        let code = match check_name(part.name) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        return write_error(w, code, part.name, OPERATIONS_TOPIC);
    };
    w.error(ErrorCode::None);
    w.nullable_string(Some(topic.name));
    w.uuid(&topic.id);
    w.bool(false);
    w.array(part.partitions.len());
    for partition in part.partitions.clone() {
        w.error(ErrorCode::None);
        w.i32(partition as i32);
        w.i32(node_id);
        w.i32(LEADER_EPOCH);
        for _replicas_and_isr in 0..2 {
            w.array(1);
            w.i32(node_id);
        }
        for _eligible_last_known_and_offline in 0..3 {
            w.array(0);
        }
        w.tags();
    }
    w.i32(OPERATIONS_TOPIC);
    w.tags();
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::testing::{Golden, TestBroker, golden};

    fn with_topics() -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", 3);
        test.topic("u", 2);
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, with_topics, GOLDEN);
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "0100000002ff00",
            "00000000020000027428efe333b2664103ae789e6aa1b965f40003000000000000000000010000000002\
             000000010200000001010101000000000000010000000100000000020000000102000000010101010000\
             000df800010274000000020000",
        ),
        (
            0..=0,
            "0100000002010274000000020000",
            "00000000030000027428efe333b2664103ae789e6aa1b965f40002000000000002000000010000000002\
             0000000102000000010101010000000df8000000027547526757130f4f5286c45d188009454f00020000\
             000000000000000100000000020000000102000000010101010000000df800010275000000010000",
        ),
        (
            0..=0,
            "0100000003ff00",
            "00000000020000027428efe333b2664103ae789e6aa1b965f40004000000000000000000010000000002\
             000000010200000001010101000000000000010000000100000000020000000102000000010101010000\
             00000000020000000100000000020000000102000000010101010000000df800010275000000000000",
        ),
        (
            0..=0,
            "05027500086d697373696e67000461206200027500000007d0ff00",
            "000000000400110461206200000000000000000000000000000000000100000df8000003086d69737369\
             6e6700000000000000000000000000000000000100000df8000000027547526757130f4f5286c45d1880\
             09454f000300000000000000000001000000000200000001020000000101010100000000000001000000\
             0100000000020000000102000000010101010000000df800ff00",
        ),
        (
            0..=0,
            "02027500000007d0010274000000000000",
            "0000000002002a02750000000000000000000000000000000000018000000000ff00",
        ),
    ];
}
