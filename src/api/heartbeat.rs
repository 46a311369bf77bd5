//! Heartbeat (12): a member says that it lives, and learns whether it has to join again.
//!
//! Versions 0–4. v1 throttle_time_ms · v3 group_instance_id (KIP-345) · v4 flexible.

use super::{Api, Context, Outcome, Reply, code_of_group};
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 12, name: "Heartbeat", versions: (0, 4), advertised_min: 0, flexible: 4, handle };

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let group_id = r.string("group_id")?;
    let generation = r.i32("generation_id")?;
    let member_id = r.string("member_id")?;
    let instance_id = r.since(3, None, |r| r.nullable_string("group_instance_id"))?;
    r.tags()?;
    let groups = &mut context.broker.groups;
    let verdict = groups.heartbeat(group_id, member_id, instance_id, generation, context.now);
    reply.w.since(1, |w| w.i32(0));
    reply.w.error(verdict.map_or_else(code_of_group, |()| ErrorCode::None));
    reply.w.tags();
    Ok(Outcome::Now)
}
