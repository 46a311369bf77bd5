//! DescribeProducers (61): what is remembered of the idempotent producers of a partition (KIP-664).
//!
//! Version 0, flexible. Absent: transactions, so that coordinator epoch and start offset are -1.

use super::shared::Refused;
use super::{Api, Context, Outcome, Reply};
use crate::broker::Refusal;
use crate::state::topics::check_name;
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
    let Some((topic, _)) = context.broker.find_partition(topic, index) else {
        let refusal = match check_name(topic) {
            Ok(()) => Refusal::UnknownTopicOrPartition,
            Err(what) => Refusal::InvalidTopicName(what),
        };
        let refused = Refused::from(refusal);
        w.error(refused.code);
        w.nullable_string(Some(&refused.message));
        w.array(0);
        return;
    };
    // In no order, as in Kafka, which asks a hash map.
    let producers = || context.broker.producers_of(topic, index);
    w.error(ErrorCode::None);
    w.nullable_string(None);
    w.array(producers().count());
    for row in producers() {
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

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::testing::{Golden, TestBroker, golden};
    use crate::wire::record::{BatchBuilder, Producer};

    fn with_producers() -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", 2);
        for (id, epoch, base_sequence) in [(5, 2, 0), (9, 0, 7)] {
            let producer = Producer { id, epoch, base_sequence };
            let mut batch = BatchBuilder::new(1_000).producer(producer);
            for time in [1_000, 2_000, 3_000] {
                batch.push(time, None, Some(b"v"), &[]);
            }
            test.produce("t", 0, &batch.finish());
        }
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, with_producers, GOLDEN);
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[(
        0..=0,
        "020274040000000000000001000000090000",
        "00000000020274040000000000000003000000000000000500000002000000020000000000000bb8ffff\
             ffffffffffffffffffff00000000000000000900000000000000090000000000000bb8ffffffffffffff\
             ffffffffff0000000000010000000100000000090003247468657265206973206e6f207375636820746f\
             706963206f7220706172746974696f6e01000000",
    )];
}
