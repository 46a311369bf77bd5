//! OffsetDelete (47): a group forgets how far it has read in some partitions (KIP-496).
//!
//! Version 0, never flexible. The error code comes first here, the throttle time second.
//!
//! What concerns the whole group is said at the top, without topics. Partitions that don't exist
//! and topics that a member subscribes to are refused one by one. The answer waits until the
//! deletions survive a power cut.

use super::{Api, Context, NEVER, Outcome, Reply, code_of_commit, code_of_group};
use crate::state::groups::Refusal;
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 47,
    name: "OffsetDelete",
    versions: (0, 0),
    advertised_min: 0,
    flexible: NEVER,
    handle,
};

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let group_id = r.string("group_id")?;
    let refused = if group_id.is_empty() {
        // Only commits, fetches and DeleteGroups know a group without a name.
        Some(Refusal::InvalidGroupId)
    } else {
        context.broker.groups.validate_offset_delete(group_id).err()
    };
    reply.w.error(refused.map_or(ErrorCode::None, code_of_group));
    reply.w.i32(0);
    if refused.is_some() {
        reply.w.array(0);
        return Ok(Outcome::Now);
    }
    let mut last: Option<Lsn> = None;
    let topics = r.array("topics")?;
    reply.w.array(topics);
    for _ in 0..topics {
        let topic = r.string("name")?;
        reply.w.string(topic);
        let partitions = r.array("partitions")?;
        reply.w.array(partitions);
        for _ in 0..partitions {
            let partition = r.i32("partition_index")?;
            let done = delete(context, group_id, topic, partition);
            reply.w.i32(partition);
            reply.w.error(done.err().unwrap_or(ErrorCode::None));
            last = last.max(done.ok());
        }
    }
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

fn delete(
    context: &mut Context<'_>,
    group_id: &str,
    topic: &str,
    partition: i32,
) -> Result<Lsn, ErrorCode> {
    let broker = &mut *context.broker;
    broker.find_partition(topic, partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    broker.delete_offset(group_id, topic, partition, context.now).map_err(code_of_commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Golden, TestBroker, golden, hex};
    use crate::state::offsets::Commit;

    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "00036f6c6400000001000174000000020000000000000009",
            "0000000000000000000100017400000002000000000000000000090003",
        ),
        (0..=0, "00026e6e00000001000174000000020000000000000009", "00450000000000000000"),
        (0..=0, "000000000001000174000000020000000000000009", "00180000000000000000"),
    ];

    fn with_commits() -> TestBroker {
        let mut test = TestBroker::new();
        test.create_topic("t");
        test.create_topic("u");
        let commit = Commit { offset: 5, leader_epoch: 3, metadata: "m", retention_ms: None };
        for topic in ["t", "u"] {
            test.broker.commit_offset("old", topic, 0, commit, test.now).unwrap();
        }
        test.sync();
        test
    }

    #[test]
    fn the_only_version_reads_and_writes_as_kafka_does() {
        golden(&API, with_commits, GOLDEN);
    }

    #[test]
    fn the_answer_waits_until_the_deletion_is_durable_and_nothing_else_goes() {
        let mut test = with_commits();
        let (outcome, _) = test.ask(47, 0, |w| w.raw(&hex(GOLDEN[0].1)));
        assert!(matches!(outcome, Outcome::AfterSync(_)));
        let offsets = test.broker.groups.offsets();
        assert!(offsets.get("old", "t", 0).is_none());
        assert!(offsets.get("old", "u", 0).is_some());
    }

    #[test]
    fn a_topic_that_members_subscribe_to_is_refused_by_partition() {
        let mut test = with_commits();
        // Its subscription cannot be read, so it counts as one to everything.
        test.stable_member();
        let commit = Commit { offset: 5, leader_epoch: 3, metadata: "m", retention_ms: None };
        test.broker.commit_offset("g", "t", 0, commit, test.now).unwrap();
        let (outcome, answer) = test.ask(47, 0, |w| {
            w.string("g");
            w.array(1);
            w.string("t");
            w.array(1);
            w.i32(0);
        });
        assert_eq!(outcome, Outcome::Now);
        assert_eq!(answer, hex("0000 00000000 00000001 000174 00000001 00000000 0056"));
    }
}
