//! DescribeProducers (61): what is remembered of the idempotent producers of a partition (KIP-664).
//!
//! Version 0, flexible. Absent: transactions, so that coordinator epoch and start offset are -1.

use super::{Api, Context, Outcome, Reply};
use crate::state::producers::ProducerRow;
use crate::wire::{ErrorCode, ReadError, Reader, Writer};

/// The row.
pub const API: Api = Api {
    key: 61,
    name: "DescribeProducers",
    versions: (0, 0),
    advertised_min: 0,
    flexible: 0,
    handle,
};

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let w = &mut reply.w;
    w.i32(0);
    let topics = r.array("topics")?;
    w.array(topics);
    for _ in 0..topics {
        let name = r.string("name")?;
        w.string(name);
        let partitions = r.array("partition_indexes")?;
        w.array(partitions);
        for _ in 0..partitions {
            let index = r.i32("partition_indexes")?;
            write_partition(context, w, name, index);
            w.tags();
        }
        r.tags()?;
        w.tags();
    }
    r.tags()?;
    w.tags();
    Ok(Outcome::Now)
}

fn write_partition(context: &Context<'_>, w: &mut Writer<'_>, topic: &str, index: i32) {
    w.i32(index);
    let topic = context.broker.topics().find(topic);
    let found = topic.filter(|topic| context.broker.partition(topic, index).is_some());
    let Some(topic) = found else {
        w.error(ErrorCode::UnknownTopicOrPartition);
        w.nullable_string(Some("there is no such topic or partition"));
        w.array(0);
        return;
    };
    let mut producers: Vec<&ProducerRow> = context.broker.producers_of(topic, index).collect();
    producers.sort_unstable_by_key(|row| row.id);
    w.error(ErrorCode::None);
    w.nullable_string(None);
    w.array(producers.len());
    for row in producers {
        let last = row.batches.last();
        w.i64(row.id);
        w.i32(i32::from(row.epoch));
        w.i32(last.map_or(-1, |batch| batch.last_sequence));
        w.i64(last.map_or(-1, |batch| batch.timestamp));
        w.i32(-1);
        w.i64(-1);
        w.tags();
    }
}
