//! SyncGroup (14): the leader hands in the assignment, everybody gets a share.
//!
//! Versions 0–5. v1 throttle_time_ms · v3 group_instance_id (KIP-345) · v4 flexible ·
//! v5 protocol_type and protocol_name, both ways (KIP-559).
//!
//! Followers are parked until the leader's request has come; run again, a request only looks up
//! what became of it.

use super::list::List;
use super::{Api, Context, Outcome, Parked, Reply, Waiting, code_of_group};
use crate::state::groups::{Refusal, SyncAnswer, SyncRequest, SyncResult, SyncVerdict};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};

/// The row.
pub const API: Api =
    Api { key: 14, name: "SyncGroup", versions: (0, 5), advertised_min: 0, flexible: 4, handle };

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    if let Some(parked @ Parked { waiting: Waiting::Sync(ticket), .. }) = context.parked {
        match context.broker.groups.sync_result(ticket) {
            SyncResult::Pending => return Ok(Outcome::Park(parked)),
            SyncResult::Refused(refusal) => write_refused(&mut reply.w, refusal),
            SyncResult::Assigned(answer) => write_assigned(&mut reply.w, answer),
        }
        context.broker.groups.release(context.peer.slot);
        return Ok(Outcome::Now);
    }
    let version = r.version();
    let mut request = read_request(r)?;
    request.waiter = context.peer.slot;
    // Nullable on the wire, but not optional (`areMandatoryProtocolTypeAndNamePresent`).
    let unnamed = request.protocol_type.is_none() || request.protocol_name.is_none();
    if version >= 5 && unnamed {
        write_refused(&mut reply.w, Refusal::InconsistentGroupProtocol);
        return Ok(Outcome::Now);
    }
    match context.broker.groups.sync(request, context.now) {
        SyncVerdict::Refused(refusal) => write_refused(&mut reply.w, refusal),
        SyncVerdict::Assigned(answer) => write_assigned(&mut reply.w, answer),
        SyncVerdict::Parked(ticket) => {
            return Ok(Outcome::Park(Parked { waiting: Waiting::Sync(ticket), deadline: None }));
        }
    }
    Ok(Outcome::Now)
}

type Assignments<'a> = List<'a, (&'a str, &'a [u8])>;

/// What the bytes say; who asks is filled in by the caller.
fn read_request(mut r: Reader<'_>) -> Result<SyncRequest<'_, Assignments<'_>>, ReadError> {
    let request = SyncRequest {
        group_id: r.string("group_id")?,
        generation: r.i32("generation_id")?,
        member_id: r.string("member_id")?,
        instance_id: r.since(3, None, |r| r.nullable_string("group_instance_id"))?,
        protocol_type: r.since(5, None, |r| r.nullable_string("protocol_type"))?,
        protocol_name: r.since(5, None, |r| r.nullable_string("protocol_name"))?,
        assignments: List::read(&mut r, "assignments", |r| {
            let member_id = r.string("member_id")?;
            let assignment = r.bytes("assignment")?;
            r.tags()?;
            Ok((member_id, assignment))
        })?,
        waiter: 0,
    };
    r.tags()?;
    Ok(request)
}

fn write_refused(w: &mut Writer<'_>, refusal: Refusal) {
    w.since(1, |w| w.i32(0));
    w.error(code_of_group(refusal));
    w.since(5, |w| {
        w.nullable_string(None);
        w.nullable_string(None);
    });
    w.bytes(&[]);
    w.tags();
}

fn write_assigned(w: &mut Writer<'_>, answer: SyncAnswer<'_>) {
    w.since(1, |w| w.i32(0));
    w.error(ErrorCode::None);
    w.since(5, |w| {
        w.nullable_string(Some(answer.protocol_type));
        w.nullable_string(Some(answer.protocol_name));
    });
    w.bytes(answer.assignment);
    w.tags();
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{Golden, TestBroker, golden};

    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "000167000000010029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264000000010029746573742d34323661363737392d376136362d346431612d38626238\
         2d3939313332313063313632640000000109",
            "00000000000109",
        ),
        (0..=0, "0001670000000100017800000000", "001900000000"),
        (
            1..=1,
            "000167000000010029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264000000010029746573742d34323661363737392d376136362d346431612d38626238\
         2d3939313332313063313632640000000109",
            "0000000000000000000109",
        ),
        (1..=1, "0001670000000100017800000000", "00000000001900000000"),
        (
            2..=2,
            "000167000000010029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264000000010029746573742d34323661363737392d376136362d346431612d38626238\
         2d3939313332313063313632640000000109",
            "0000000000000000000109",
        ),
        (2..=2, "0001670000000100017800000000", "00000000001900000000"),
        (
            3..=3,
            "000167000000010029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264ffff000000010029746573742d34323661363737392d376136362d346431612d3862\
         62382d3939313332313063313632640000000109",
            "0000000000000000000109",
        ),
        (3..=3, "0001670000000100017800016900000000", "00000000001900000000"),
        (
            4..=4,
            "0267000000012a746573742d34323661363737392d376136362d346431612d386262382d393931333231\
         30633136326400022a746573742d34323661363737392d376136362d346431612d386262382d39393133\
         323130633136326402090000",
            "000000000000020900",
        ),
        (4..=4, "026700000001027802690100", "0000000000190100"),
        (
            5..=5,
            "0267000000012a746573742d34323661363737392d376136362d346431612d386262382d393931333231\
         3063313632640009636f6e73756d65720672616e6765022a746573742d34323661363737392d37613636\
         2d346431612d386262382d39393133323130633136326402090000",
            "00000000000009636f6e73756d65720672616e6765020900",
        ),
        (5..=5, "0267000000010278026909636f6e73756d65720672616e67650100", "00000000001900000100"),
        (
            5..=5,
            "0267000000012a746573742d34323661363737392d376136362d346431612d386262382d393931333231\
         3063313632640009636f6e73756d6572000100",
            "00000000001700000100",
        ),
        (
            5..=5,
            "0267000000012a746573742d34323661363737392d376136362d346431612d386262382d393931333231\
         3063313632640008636f6e6e6563740672616e67650100",
            "00000000001700000100",
        ),
    ];

    fn with_member() -> TestBroker {
        let mut test = TestBroker::new();
        test.member();
        test
    }

    #[test]
    fn every_version_reads_and_writes_as_kafka_does() {
        golden(&super::API, with_member, GOLDEN);
    }
}
