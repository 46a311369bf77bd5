//! CreatePartitions (37): more partitions for a topic.
//!
//! Versions 0–3. v2 flexible.
//!
//! Promises: the answer waits until the partitions would survive a power cut. A manual assignment
//! is accepted if it names this node for every new partition.

use super::shared::{Refused, error_of, read_assignment, repeated};
use super::{Api, Context, Outcome, Reply};
use crate::broker::Refusal;
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 37,
    name: "CreatePartitions",
    versions: (0, 3),
    advertised_min: 0,
    flexible: 2,
    handle,
};

/// One topic of a request.
struct Wanted<'a> {
    name: &'a str,
    count: i32,
    /// How many partitions the manual assignment has; `None` if there is no assignment.
    assigned: Result<Option<usize>, Refused>,
}

fn read_topic<'a>(r: &mut Reader<'a>, node_id: i32) -> Result<Wanted<'a>, ReadError> {
    let name = r.string("name")?;
    let count = r.i32("count")?;
    let assignments = r.nullable_array("assignments")?;
    let mut assigned = Ok(assignments);
    for _ in 0..assignments.unwrap_or(0) {
        let one = read_assignment(r, node_id)?;
        assigned = assigned.and_then(|count| one.map(|()| count));
        r.tags()?;
    }
    r.tags()?;
    Ok(Wanted { name, count, assigned })
}

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let node_id = context.node_id();
    let count = r.array("topics")?;
    let mut topics = r;
    let twice = repeated((0..count).map(|_| Ok(read_topic(&mut r, node_id)?.name)))?;
    r.i32("timeout_ms")?;
    let validate_only = r.bool("validate_only")?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    let mut last = None;
    for _ in 0..count {
        let wanted = read_topic(&mut topics, node_id)?;
        let name = wanted.name;
        let result = if twice.contains(name) {
            let message = "the request names this topic more than once";
            Err(Refused::new(ErrorCode::InvalidRequest, message))
        } else {
            create(context, wanted, validate_only)
        };
        let (code, message) = error_of(&result);
        w.string(name);
        w.error(code);
        w.nullable_string(message);
        w.tags();
        last = last.max(result.ok().flatten());
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

fn create(
    context: &mut Context<'_>,
    wanted: Wanted<'_>,
    validate_only: bool,
) -> Result<Option<Lsn>, Refused> {
    let topic = context.broker.topics().find(wanted.name);
    let topic = topic.ok_or(Refusal::UnknownTopicOrPartition)?;
    let (number, before) = (topic.number, topic.partitions.len());
    let count = context.broker.check_partitions(number, wanted.count).map_err(|refusal| {
        let mut refused = Refused::from(refusal);
        if refusal == Refusal::InvalidPartitions {
            refused.message =
                format!("the topic has {before} partitions, and there can only be more of them");
        }
        refused
    })?;
    let new = count as usize - before;
    if let Some(assigned) = wanted.assigned?
        && assigned != new
    {
        let message = format!("{new} partitions are new, but {assigned} are assigned");
        return Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    if validate_only {
        return Ok(None);
    }
    Ok(Some(context.broker.add_partitions(number, wanted.count, context.now)?))
}
