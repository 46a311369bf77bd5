//! LeaveGroup (13): members go, of their own will or an administrator's.
//!
//! Versions 0–5. v1 throttle_time_ms · v3 several members, each with its own verdict (KIP-345) ·
//! v4 flexible · v5 reason (KIP-800), which is read over.

use super::list::List;
use super::{Api, Context, Outcome, Reply, code_of_group};
use crate::state::groups::Refusal;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 13, name: "LeaveGroup", versions: (0, 5), advertised_min: 0, flexible: 4, handle };

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let group_id = r.string("group_id")?;
    if r.version() < 3 {
        let member_id = r.string("member_id")?;
        leave_one(context, group_id, member_id, reply);
        return Ok(Outcome::Now);
    }
    let members = List::read(&mut r, "members", |r| {
        let member_id = r.string("member_id")?;
        let instance_id = r.nullable_string("group_instance_id")?;
        r.since(5, None, |r| r.nullable_string("reason"))?;
        r.tags()?;
        Ok((member_id, instance_id))
    })?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    let verdicts_at = w.position();
    w.error(ErrorCode::None);
    w.array(members.len());
    let each = |member_id: &str, instance_id: Option<&str>, verdict: Result<(), Refusal>| {
        w.string(member_id);
        w.nullable_string(instance_id);
        w.error(code_of(verdict));
        w.tags();
    };
    if let Err(refusal) = context.broker.groups.leave(group_id, members, context.now, each) {
        reply.w.rewind(verdicts_at);
        reply.w.error(code_of_group(refusal));
        reply.w.array(0);
    }
    reply.w.tags();
    Ok(Outcome::Now)
}

/// Before v3: one member, whose verdict is the answer's.
fn leave_one(context: &mut Context<'_>, group_id: &str, member_id: &str, reply: &mut Reply<'_>) {
    let mut verdict = Ok(());
    let members = core::iter::once((member_id, None));
    let groups = &mut context.broker.groups;
    let whole = groups.leave(group_id, members, context.now, |_, _, its| verdict = its);
    reply.w.since(1, |w| w.i32(0));
    reply.w.error(code_of(whole.and(verdict)));
}

fn code_of(verdict: Result<(), Refusal>) -> ErrorCode {
    verdict.map_or_else(code_of_group, |()| ErrorCode::None)
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{Golden, TestBroker, golden};

    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "0001670029746573742d34323661363737392d376136362d346431612d386262382d3939313332313063\
         31363264",
            "0000",
        ),
        (0..=0, "000167000178", "0019"),
        (
            1..=1,
            "0001670029746573742d34323661363737392d376136362d346431612d386262382d3939313332313063\
         31363264",
            "000000000000",
        ),
        (1..=1, "000167000178", "000000000019"),
        (
            2..=2,
            "0001670029746573742d34323661363737392d376136362d346431612d386262382d3939313332313063\
         31363264",
            "000000000000",
        ),
        (2..=2, "000167000178", "000000000019"),
        (
            3..=3,
            "000167000000020029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264ffff0000000169",
            "000000000000000000020029746573742d34323661363737392d376136362d346431612d386262382d39\
         3931333231306331363264ffff000000000001690019",
        ),
        (
            3..=3,
            "0000000000010029746573742d34323661363737392d376136362d346431612d386262382d3939313332\
         31306331363264ffff",
            "00000000001800000000",
        ),
        (
            4..=4,
            "0267032a746573742d34323661363737392d376136362d346431612d386262382d393931333231306331\
         36326400000102690000",
            "000000000000032a746573742d34323661363737392d376136362d346431612d386262382d3939313332\
         313063313632640000000001026900190000",
        ),
        (
            4..=4,
            "01022a746573742d34323661363737392d376136362d346431612d386262382d39393133323130633136\
         3264000000",
            "0000000000180100",
        ),
        (
            5..=5,
            "0267032a746573742d34323661363737392d376136362d346431612d386262382d393931333231306331\
         363264000477687900010269000000",
            "000000000000032a746573742d34323661363737392d376136362d346431612d386262382d3939313332\
         313063313632640000000001026900190000",
        ),
        (
            5..=5,
            "01022a746573742d34323661363737392d376136362d346431612d386262382d39393133323130633136\
         326400047768790000",
            "0000000000180100",
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
