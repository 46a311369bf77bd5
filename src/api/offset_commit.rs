//! OffsetCommit (8): a group notes how far it has read.
//!
//! Versions 2–8. retention_time_ms in 2–4 only · v3 throttle_time_ms · v6 committed_leader_epoch ·
//! v7 group_instance_id (KIP-345) · v8 flexible.
//!
//! The answer waits until the offsets survive a power cut; many commits share one sync. Metadata
//! is kept verbatim, null as "". As in Apache Kafka the group is asked only if at least one of the
//! partitions exists, and then once for the whole request. Refused partitions do not keep others
//! from being committed.

use super::{Api, Context, Outcome, Reply, code_of_commit, code_of_group};
use crate::broker::CommitError;
use crate::state::groups::Refusal;
use crate::state::offsets::Commit;
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 8, name: "OffsetCommit", versions: (2, 8), advertised_min: 2, flexible: 8, handle };

/// A request, but for its partitions.
struct Request<'a> {
    group_id: &'a str,
    generation: i32,
    member_id: &'a str,
    instance_id: Option<&'a str>,
    retention_ms: Option<u64>,
    /// What the group said, once it was asked.
    verdict: Option<Result<(), Refusal>>,
}

fn read_request<'a>(r: &mut Reader<'a>) -> Result<Request<'a>, ReadError> {
    Ok(Request {
        group_id: r.string("group_id")?,
        generation: r.i32("generation_id_or_member_epoch")?,
        member_id: r.string("member_id")?,
        instance_id: r.since(7, None, |r| r.nullable_string("group_instance_id"))?,
        // -1 asks for what the broker is configured to.
        retention_ms: r.within(2, 4, -1, |r| r.i64("retention_time_ms"))?.try_into().ok(),
        verdict: None,
    })
}

fn read_partition<'a>(r: &mut Reader<'a>) -> Result<(i32, Commit<'a>), ReadError> {
    let partition = r.i32("partition_index")?;
    let commit = Commit {
        offset: r.i64("committed_offset")?,
        leader_epoch: r.since(6, -1, |r| r.i32("committed_leader_epoch"))?,
        metadata: r.nullable_string("committed_metadata")?.unwrap_or_default(),
        retention_ms: None,
    };
    r.tags()?;
    Ok((partition, commit))
}

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let mut request = read_request(&mut r)?;
    let mut last: Option<Lsn> = None;
    reply.w.since(3, |w| w.i32(0));
    let topics = r.array("topics")?;
    reply.w.array(topics);
    for _ in 0..topics {
        let topic = r.string("name")?;
        reply.w.string(topic);
        let partitions = r.array("partitions")?;
        reply.w.array(partitions);
        for _ in 0..partitions {
            let (partition, mut commit) = read_partition(&mut r)?;
            commit.retention_ms = request.retention_ms;
            let done = commit_partition(context, &mut request, topic, partition, commit);
            reply.w.i32(partition);
            reply.w.error(done.err().unwrap_or(ErrorCode::None));
            reply.w.tags();
            last = last.max(done.ok());
        }
        r.tags()?;
        reply.w.tags();
    }
    r.tags()?;
    reply.w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

fn commit_partition(
    context: &mut Context<'_>,
    request: &mut Request<'_>,
    topic: &str,
    partition: i32,
    commit: Commit<'_>,
) -> Result<Lsn, ErrorCode> {
    let now = context.now;
    let broker = &mut *context.broker;
    broker.find_partition(topic, partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let &mut Request { group_id, member_id, instance_id, generation, .. } = request;
    let verdict = *request.verdict.get_or_insert_with(|| {
        broker.groups.validate_commit(group_id, member_id, instance_id, generation, now)
    });
    verdict.map_err(|refusal| match refusal {
        // Where the group's own row finds no room it is the commit that is too large.
        Refusal::GroupsFull => code_of_commit(CommitError::Group(refusal)),
        refusal => code_of_group(refusal),
    })?;
    broker.commit_offset(group_id, topic, partition, commit, now).map_err(code_of_commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Golden, TestBroker, golden, hex, request};

    const GOLDEN: &[Golden] = &[
        (
            2..=2,
            "000167ffffffff0000000000000000ea6000000001000174000000020000000000000000000000050001\
         6d000000090000000000000005ffff",
            "0000000100017400000002000000000000000000090003",
        ),
        (
            3..=3,
            "000167ffffffff0000000000000000ea6000000001000174000000020000000000000000000000050001\
         6d000000090000000000000005ffff",
            "000000000000000100017400000002000000000000000000090003",
        ),
        (
            4..=4,
            "000167ffffffff0000000000000000ea6000000001000174000000020000000000000000000000050001\
         6d000000090000000000000005ffff",
            "000000000000000100017400000002000000000000000000090003",
        ),
        (
            5..=5,
            "000167ffffffff0000000000010001740000000200000000000000000000000500016d00000009000000\
         0000000005ffff",
            "000000000000000100017400000002000000000000000000090003",
        ),
        (
            6..=6,
            "000167ffffffff000000000001000174000000020000000000000000000000050000000000016d000000\
         090000000000000005ffffffffffff",
            "000000000000000100017400000002000000000000000000090003",
        ),
        (
            7..=7,
            "000167ffffffff0000ffff00000001000174000000020000000000000000000000050000000000016d00\
         0000090000000000000005ffffffffffff",
            "000000000000000100017400000002000000000000000000090003",
        ),
        (
            8..=8,
            "0267ffffffff01000202740300000000000000000000000500000000026d000000000900000000000000\
         05ffffffff00000000",
            "000000000202740300000000000000000000090003000000",
        ),
        (
            2..=2,
            "00036e657700000003000178ffffffffffffffff00000001000174000000010000000000000000000000\
         05ffff",
            "0000000100017400000001000000000016",
        ),
        (
            7..=7,
            "00036e6577000000030001780001690000000100017400000001000000000000000000000005ffffffff\
         ffff",
            "000000000000000100017400000001000000000016",
        ),
        (
            8..=8,
            "046e6577000000030278026902027402000000000000000000000005ffffffff00000000",
            "0000000002027402000000000016000000",
        ),
    ];

    fn with_topic() -> TestBroker {
        let mut test = TestBroker::new();
        test.create_topic("t");
        test
    }

    #[test]
    fn every_version_reads_and_writes_as_kafka_does() {
        golden(&API, with_topic, GOLDEN);
    }

    /// One partition of topic "t", version 8, from outside any group.
    fn commit(test: &mut TestBroker, partition: i32, metadata: &str) -> (Outcome, Vec<u8>) {
        test.ask(8, 8, |w| {
            w.string("g");
            w.i32(-1);
            w.string("");
            w.nullable_string(None);
            w.array(1);
            w.string("t");
            w.array(1);
            w.i32(partition);
            w.i64(5);
            w.i32(0);
            w.nullable_string(Some(metadata));
            (0..3).for_each(|_| w.tags());
        })
    }

    #[test]
    fn an_answer_waits_for_the_sync_of_what_was_committed_and_only_then() {
        let mut test = with_topic();
        let (outcome, _) = commit(&mut test, 0, "m");
        let Outcome::AfterSync(lsn) = outcome else { panic!("{outcome:?}") };
        assert!(lsn > test.broker.storage().durable());
        test.sync();
        assert!(lsn <= test.broker.storage().durable());
        assert_eq!(commit(&mut test, 9, "m").0, Outcome::Now, "there is no such partition");
    }

    #[test]
    fn metadata_of_4096_bytes_is_taken_and_one_more_is_too_large() {
        let mut test = with_topic();
        let code = |answer: &[u8]| i16::from_be_bytes([answer[12], answer[13]]);
        assert_eq!(code(&commit(&mut test, 0, &"m".repeat(4096)).1), 0);
        let (outcome, answer) = commit(&mut test, 0, &"m".repeat(4097));
        assert_eq!((code(&answer), outcome), (12, Outcome::Now));
        let kept = test.broker.groups.offsets().get("g", "t", 0).unwrap();
        assert_eq!(kept.metadata.len(), 4096);
    }

    #[test]
    fn an_outsider_does_not_commit_for_a_group_that_has_members() {
        let mut test = with_topic();
        test.member();
        let (outcome, answer) = commit(&mut test, 0, "m");
        assert_eq!((answer[12..14].to_vec(), outcome), (vec![0, 25], Outcome::Now));
    }

    #[test]
    fn a_group_is_not_asked_about_partitions_that_do_not_exist() {
        let mut test = with_topic();
        test.member();
        assert_eq!(commit(&mut test, 9, "m").1[12..14], [0, 3]);
    }

    #[test]
    fn a_retention_of_its_own_is_kept_in_versions_2_to_4() {
        for version in 2..=8 {
            let mut test = with_topic();
            let (_, body, _) = GOLDEN[version as usize - 2];
            test.ask_raw(&request(8, version, |w| w.raw(&hex(body))));
            let kept = test.broker.groups.offsets().get("g", "t", 0).unwrap();
            assert_eq!(kept.retention_ms, (version < 5).then_some(60_000), "version {version}");
        }
    }
}
