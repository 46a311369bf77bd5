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
    let known = broker.topics().find(topic).and_then(|it| broker.partition(it, partition));
    known.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    broker.delete_offset(group_id, topic, partition, context.now).map_err(code_of_commit)
}
