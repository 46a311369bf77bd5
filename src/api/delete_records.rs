//! DeleteRecords (21): a log's start moves forward.
//!
//! Versions 0–2. v2 flexible.
//!
//! -1 means "up to the high watermark". Records before the new start are not served any more from
//! this moment on; whole segments of them are deleted when the move is durable, and so is the
//! answer given. `timeout_ms` has no meaning: there are no followers to wait for.

use super::{Api, Context, Outcome, Reply, code_of};
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 21,
    name: "DeleteRecords",
    versions: (0, 2),
    advertised_min: 0,
    flexible: 2,
    handle,
};

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    if let Some(outcome) = wait_for_sync(context, r)? {
        return Ok(outcome);
    }
    let w = &mut reply.w;
    w.i32(0);
    let mut last = None;
    let topics = r.array("topics")?;
    w.array(topics);
    for _ in 0..topics {
        let name = r.string("name")?;
        w.string(name);
        let partitions = r.array("partitions")?;
        w.array(partitions);
        for _ in 0..partitions {
            let index = r.i32("partition_index")?;
            let offset = r.i64("offset")?;
            r.tags()?;
            let result = delete(context, name, index, offset);
            last = last.max(result.ok().map(|(_, lsn)| lsn));
            w.i32(index);
            w.i64(result.map_or(-1, |(low_watermark, _)| low_watermark));
            w.error(result.err().unwrap_or(ErrorCode::None));
            w.tags();
        }
        r.tags()?;
        w.tags();
    }
    r.i32("timeout_ms")?;
    r.tags()?;
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

/// Before anything is deleted: records that are there but not synced yet count as well, once they
/// are.
fn wait_for_sync(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
) -> Result<Option<Outcome>, ReadError> {
    for _ in 0..r.array("topics")? {
        let name = r.string("name")?;
        for _ in 0..r.array("partitions")? {
            let index = r.i32("partition_index")?;
            r.i64("offset")?;
            r.tags()?;
            if let Some(outcome) = context.wait_for_sync(name, index) {
                return Ok(Some(outcome));
            }
        }
        r.tags()?;
    }
    Ok(None)
}

/// The new low watermark and the frame that makes it durable.
fn delete(
    context: &mut Context<'_>,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<(i64, Lsn), ErrorCode> {
    let found = context.broker.find_partition(topic, partition);
    let (topic, view) = found.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let policy = topic.config.cleanup_policy;
    if policy.compact && !policy.delete {
        // `Partition.deleteRecordsOnLeader`: such a topic is a table, whose rows are not trimmed.
        return Err(ErrorCode::PolicyViolation);
    }
    context.broker.delete_records(view.index, offset, context.now).map_err(code_of)
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, golden};
    use crate::config::TopicOverrides;

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, || TestBroker::with_records(2), GOLDEN);
    }

    #[test]
    fn a_move_is_waited_for_and_a_compacted_topic_is_not_trimmed() {
        let mut test = TestBroker::with_records(2);
        let ask = |test: &mut TestBroker| {
            test.ask(21, 0, |w| {
                w.array(1);
                w.string("t");
                w.array(1);
                w.i32(0);
                w.i64(2);
                w.i32(1000);
            })
        };
        let (number, config) =
            (test.broker.topics().find("t").unwrap().number, test.broker.config().clone());
        let compact = [("cleanup.policy", Some("compact"))];
        let compact = TopicOverrides::from_pairs(compact, &config).unwrap();
        test.broker.configure_topic(number, compact, test.now).unwrap();
        let (outcome, bytes) = ask(&mut test);
        assert_eq!((outcome, bytes.last()), (Outcome::Now, Some(&44)));
        test.broker.configure_topic(number, TopicOverrides::default(), test.now).unwrap();
        let (outcome, bytes) = ask(&mut test);
        assert!(matches!(outcome, Outcome::AfterSync(lsn) if lsn > 0));
        assert_eq!(bytes.last(), Some(&0));
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            0..=1,
            "000000010001740000000300000000000000000000000200000001ffffffffffffffff00000009000000\
             000000000100001388",
            "000000000000000100017400000003000000000000000000000002000000000001000000000000000000\
             0000000009ffffffffffffffff0003",
        ),
        (
            0..=1,
            "000000010001740000000100000000000000000000000400001388",
            "00000000000000010001740000000100000000ffffffffffffffff0001",
        ),
        (
            2..=2,
            "020274040000000000000000000000020000000001ffffffffffffffff00000000090000000000000001\
             00000000138800",
            "000000000202740400000000000000000000000200000000000001000000000000000000000000000009\
             ffffffffffffffff0003000000",
        ),
        (
            2..=2,
            "0202740200000000000000000000000400000000138800",
            "000000000202740200000000ffffffffffffffff0001000000",
        ),
    ];
}
