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
    let known = broker.topics().find(topic).and_then(|it| broker.partition(it, partition));
    known.ok_or(ErrorCode::UnknownTopicOrPartition)?;
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
