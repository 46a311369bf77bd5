//! DeleteGroups (42): groups without members go, and with them what they committed.
//!
//! Versions 0–2. v1 nothing new · v2 flexible.
//!
//! The answer waits until the deletions survive a power cut. A group named twice is not found the
//! second time; Apache Kafka answers once, and no client names one twice.

use super::list::List;
use super::{Api, Context, Outcome, Reply, code_of_commit};
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 42, name: "DeleteGroups", versions: (0, 2), advertised_min: 0, flexible: 2, handle };

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let group_ids = List::read(&mut r, "groups_names", |r| r.string("group_name"))?;
    r.tags()?;
    let w = &mut reply.w;
    let mut last: Option<Lsn> = None;
    w.i32(0);
    w.array(group_ids.len());
    for group_id in group_ids {
        let done = context.broker.delete_group(group_id, context.now);
        w.string(group_id);
        w.error(done.map_or_else(code_of_commit, |_| ErrorCode::None));
        w.tags();
        last = last.max(done.ok());
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}
