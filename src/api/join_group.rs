//! JoinGroup (11): a member comes, or comes back, and learns who leads.
//!
//! Versions 0–9. v1 rebalance_timeout_ms (before: the session timeout, KAFKA-8653) ·
//! v2 throttle_time_ms · v4 member ids are asked back (KIP-394) · v5 group_instance_id (KIP-345) ·
//! v6 flexible · v7 protocol_type in the answer, protocol_name nullable (KIP-559) ·
//! v8 reason · v9 skip_assignment (KIP-800).
//!
//! The request is parked until the group has agreed on a generation; run again, it only looks up
//! what became of it. All rules are the group's (`state/group.rs`). The reason is read over.

use super::list::List;
use super::{Api, Context, Outcome, Parked, Reply, Waiting, code_of_group};
use crate::state::groups::{JoinAnswer, JoinRequest, JoinResult, JoinVerdict, Refusal};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};
use std::fmt::Write as _;

/// The row.
pub const API: Api =
    Api { key: 11, name: "JoinGroup", versions: (0, 9), advertised_min: 0, flexible: 6, handle };

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    if let Some(parked @ Parked { waiting: Waiting::Join(ticket), .. }) = context.parked {
        match context.broker.groups.join_result(ticket) {
            JoinResult::Pending => return Ok(Outcome::Park(parked)),
            JoinResult::Refused(refusal) => write_refused(&mut reply.w, refusal, ""),
            JoinResult::Joined(answer) => write_joined(&mut reply.w, answer),
        }
        context.broker.groups.release(context.peer.slot);
        return Ok(Outcome::Now);
    }
    let mut client_host = heapless::String::<64>::new();
    // As Java's InetAddress prints itself, and so what scripts expect of `--describe --members`.
    write!(client_host, "/{}", context.peer.address.ip().to_canonical()).ok();
    let mut request = read_request(r)?;
    request.client_id = context.client_id;
    request.client_host = &client_host;
    request.waiter = context.peer.slot;
    match context.broker.groups.join(request, context.now) {
        JoinVerdict::Refused(refusal, member_id) => {
            write_refused(&mut reply.w, refusal, member_id);
        }
        JoinVerdict::Joined(answer) => write_joined(&mut reply.w, answer),
        JoinVerdict::Parked(ticket) => {
            return Ok(Outcome::Park(Parked { waiting: Waiting::Join(ticket), deadline: None }));
        }
    }
    Ok(Outcome::Now)
}

type Protocols<'a> = List<'a, (&'a str, &'a [u8])>;

/// What the bytes say; who asks is filled in by the caller.
fn read_request(mut r: Reader<'_>) -> Result<JoinRequest<'_, Protocols<'_>>, ReadError> {
    let version = r.version();
    let group_id = r.string("group_id")?;
    let session_timeout_ms = r.i32("session_timeout_ms")?;
    let request = JoinRequest {
        group_id,
        session_timeout_ms,
        rebalance_timeout_ms: r.since(1, session_timeout_ms, |r| r.i32("rebalance_timeout_ms"))?,
        member_id: r.string("member_id")?,
        instance_id: r.since(5, None, |r| r.nullable_string("group_instance_id"))?,
        protocol_type: r.string("protocol_type")?,
        protocols: List::read(&mut r, "protocols", |r| {
            let name = r.string("name")?;
            let metadata = r.bytes("metadata")?;
            r.tags()?;
            Ok((name, metadata))
        })?,
        require_known_member_id: version >= 4,
        supports_skip_assignment: version >= 9,
        client_id: "",
        client_host: "",
        waiter: 0,
    };
    r.since(8, None, |r| r.nullable_string("reason"))?;
    r.tags()?;
    Ok(request)
}

fn write_refused(w: &mut Writer<'_>, refusal: Refusal, member_id: &str) {
    w.since(2, |w| w.i32(0));
    w.error(code_of_group(refusal));
    w.i32(-1);
    w.since(7, |w| w.nullable_string(None));
    // The protocol's name may be null since v7 only, and is.
    w.nullable_string(if w.version() < 7 { Some("") } else { None });
    w.string("");
    w.since(9, |w| w.bool(false));
    w.string(member_id);
    w.array(0);
    w.tags();
}

fn write_joined(w: &mut Writer<'_>, answer: JoinAnswer<'_>) {
    w.since(2, |w| w.i32(0));
    w.error(ErrorCode::None);
    w.i32(answer.generation);
    w.since(7, |w| w.nullable_string(Some(answer.protocol_type)));
    w.string(answer.protocol_name);
    w.string(answer.leader);
    w.since(9, |w| w.bool(answer.skip_assignment));
    w.string(answer.member_id);
    let members = answer.members();
    w.array(members.len());
    for member in members {
        w.string(member.member_id);
        w.since(5, |w| w.nullable_string(member.instance_id));
        w.bytes(member.metadata);
        w.tags();
    }
    w.tags();
}
