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

use super::fetch::find_at_epoch;
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
                && let Some(outcome) = context.wait_for_sync(name, index)
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
    let view = find_at_epoch(context, topic, partition, current_leader_epoch)?;
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

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, golden};
    use crate::limits::LOG_END_WAIT_MS;
    use crate::wire::record::BatchBuilder;

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, || TestBroker::with_records(1), GOLDEN);
    }

    #[test]
    fn what_is_not_synced_is_waited_for_but_not_for_ever() {
        let mut test = TestBroker::with_records(1);
        let mut batch = BatchBuilder::new(9_000);
        batch.push(9_000, None, Some(b"v"), &[]);
        test.produce("t", 0, &batch.finish());
        for (timestamp, expected) in [(super::LATEST, 3), (super::MAX_TIMESTAMP, 2), (8_000, -1)] {
            let (outcome, _) = ask(&mut test, timestamp);
            assert!(matches!(outcome, Outcome::Park(_)), "at first, {timestamp}");
            // The card stalls.
            test.now.mono = test.now.mono.saturating_add(LOG_END_WAIT_MS);
            assert_eq!(offset(&mut test, timestamp), expected, "before, {timestamp}");
        }
        test.sync();
        for (timestamp, expected) in [(super::LATEST, 4), (super::MAX_TIMESTAMP, 3), (8_000, 3)] {
            assert_eq!(offset(&mut test, timestamp), expected, "after, {timestamp}");
        }
    }

    #[test]
    fn the_largest_timestamp_is_found_among_what_is_left_and_at_the_end_of_time() {
        let mut test = TestBroker::with_records(1);
        for time in [i64::MAX, 500] {
            let mut batch = BatchBuilder::new(time);
            batch.push(time, None, Some(b"v"), &[]);
            test.produce("t", 0, &batch.finish());
            test.sync();
        }
        assert_eq!(offset(&mut test, super::MAX_TIMESTAMP), 3);
        let topic = test.broker.topics().find("t").unwrap();
        let index = test.broker.partition(topic, 0).unwrap().index;
        test.broker.delete_records(index, 4, test.now).unwrap();
        assert_eq!(offset(&mut test, super::MAX_TIMESTAMP), 4);
        test.broker.delete_records(index, 5, test.now).unwrap();
        assert_eq!(offset(&mut test, super::MAX_TIMESTAMP), -1);
    }

    fn ask(test: &mut TestBroker, timestamp: i64) -> (Outcome, Vec<u8>) {
        test.ask(2, 7, |w| {
            w.i32(-1);
            w.i8(0);
            w.array(1);
            w.string("t");
            w.array(1);
            w.i32(0);
            w.i32(-1);
            w.i64(timestamp);
            (0..3).for_each(|_| w.tags());
        })
    }

    fn offset(test: &mut TestBroker, timestamp: i64) -> i64 {
        let (outcome, bytes) = ask(test, timestamp);
        assert_eq!(outcome, Outcome::Now);
        let mut r = crate::api::testing::body(&bytes, 2, 7);
        r.i32("throttle_time_ms").unwrap();
        r.array("topics").unwrap();
        r.string("name").unwrap();
        r.array("partitions").unwrap();
        r.i32("partition_index").unwrap();
        assert_eq!(r.i16("error_code"), Ok(0));
        r.i64("timestamp").unwrap();
        r.i64("offset").unwrap()
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            1..=1,
            "ffffffff000000020001740000000800000000ffffffffffffffff00000000fffffffffffffffe000000\
             0000000000000005dc000000000000000000000bb900000000fffffffffffffffd00000000ffffffffff\
             fffffc00000000ffffffffffffffff00000009ffffffffffffffff00076d697373696e67000000010000\
             0000ffffffffffffffff",
            "0000000200017400000008000000000000ffffffffffffffff0000000000000003000000000000ffffff\
             ffffffffff000000000000000000000000000000000000000007d00000000000000001000000000000ff\
             ffffffffffffffffffffffffffffff000000000023ffffffffffffffffffffffffffffffff0000000000\
             23ffffffffffffffffffffffffffffffff000000000000ffffffffffffffff0000000000000003000000\
             090003ffffffffffffffffffffffffffffffff00076d697373696e6700000001000000000003ffffffff\
             ffffffffffffffffffffffff",
        ),
        (
            2..=3,
            "ffffffff01000000020001740000000800000000ffffffffffffffff00000000fffffffffffffffe0000\
             000000000000000005dc000000000000000000000bb900000000fffffffffffffffd00000000ffffffff\
             fffffffc00000000ffffffffffffffff00000009ffffffffffffffff00076d697373696e670000000100\
             000000ffffffffffffffff",
            "000000000000000200017400000008000000000000ffffffffffffffff00000000000000030000000000\
             00ffffffffffffffff000000000000000000000000000000000000000007d00000000000000001000000\
             000000ffffffffffffffffffffffffffffffff000000000023ffffffffffffffffffffffffffffffff00\
             0000000023ffffffffffffffffffffffffffffffff000000000000ffffffffffffffff00000000000000\
             03000000090003ffffffffffffffffffffffffffffffff00076d697373696e6700000001000000000003\
             ffffffffffffffffffffffffffffffff",
        ),
        (
            4..=5,
            "ffffffff01000000020001740000000800000000ffffffffffffffffffffffff0000000000000000ffff\
             fffffffffffe00000000ffffffff00000000000005dc00000000ffffffff0000000000000bb900000000\
             fffffffffffffffffffffffd00000000fffffffffffffffffffffffc0000000000000007ffffffffffff\
             ffff00000009ffffffffffffffffffffffff00076d697373696e670000000100000000ffffffffffffff\
             ffffffffff",
            "000000000000000200017400000008000000000000ffffffffffffffff00000000000000030000000000\
             0000000000ffffffffffffffff00000000000000000000000000000000000000000000000007d0000000\
             000000000100000000000000000000ffffffffffffffffffffffffffffffffffffffff000000000023ff\
             ffffffffffffffffffffffffffffffffffffff000000000023ffffffffffffffffffffffffffffffffff\
             ffffff00000000004bffffffffffffffffffffffffffffffffffffffff000000090003ffffffffffffff\
             ffffffffffffffffffffffffff00076d697373696e6700000001000000000003ffffffffffffffffffff\
             ffffffffffffffffffff",
        ),
        (
            6..=6,
            "ffffffff010302740900000000ffffffffffffffffffffffff000000000000000000fffffffffffffffe\
             0000000000ffffffff00000000000005dc0000000000ffffffff0000000000000bb90000000000ffffff\
             fffffffffffffffffd0000000000fffffffffffffffffffffffc000000000000000007ffffffffffffff\
             ff0000000009ffffffffffffffffffffffff0000086d697373696e670200000000ffffffffffffffffff\
             ffffff000000",
            "0000000003027409000000000000ffffffffffffffff00000000000000030000000000000000000000ff\
             ffffffffffffff0000000000000000000000000000000000000000000000000007d00000000000000001\
             0000000000000000000000ffffffffffffffffffffffffffffffffffffffff00000000000023ffffffff\
             ffffffffffffffffffffffffffffffff00000000000023ffffffffffffffffffffffffffffffffffffff\
             ff0000000000004bffffffffffffffffffffffffffffffffffffffff00000000090003ffffffffffffff\
             ffffffffffffffffffffffffff0000086d697373696e6702000000000003ffffffffffffffffffffffff\
             ffffffffffffffff000000",
        ),
        (
            7..=7,
            "ffffffff010302740900000000ffffffffffffffffffffffff000000000000000000fffffffffffffffe\
             0000000000ffffffff00000000000005dc0000000000ffffffff0000000000000bb90000000000ffffff\
             fffffffffffffffffd0000000000fffffffffffffffffffffffc000000000000000007ffffffffffffff\
             ff0000000009ffffffffffffffffffffffff0000086d697373696e670200000000ffffffffffffffffff\
             ffffff000000",
            "0000000003027409000000000000ffffffffffffffff00000000000000030000000000000000000000ff\
             ffffffffffffff0000000000000000000000000000000000000000000000000007d00000000000000001\
             0000000000000000000000ffffffffffffffffffffffffffffffffffffffff0000000000000000000000\
             00000bb800000000000000020000000000000000000023ffffffffffffffffffffffffffffffffffffff\
             ff0000000000004bffffffffffffffffffffffffffffffffffffffff00000000090003ffffffffffffff\
             ffffffffffffffffffffffffff0000086d697373696e6702000000000003ffffffffffffffffffffffff\
             ffffffffffffffff000000",
        ),
    ];
}
