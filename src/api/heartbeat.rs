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

#[cfg(test)]
mod tests {
    use crate::api::testing::{Golden, TestBroker, golden};

    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "000167000000010029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264",
            "0000",
        ),
        (
            0..=0,
            "000167000000020029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264",
            "0016",
        ),
        (
            1..=1,
            "000167000000010029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264",
            "000000000000",
        ),
        (
            1..=1,
            "000167000000020029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264",
            "000000000016",
        ),
        (
            2..=2,
            "000167000000010029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264",
            "000000000000",
        ),
        (
            2..=2,
            "000167000000020029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264",
            "000000000016",
        ),
        (
            3..=3,
            "000167000000010029746573742d34323661363737392d376136362d346431612d386262382d39393133\
         3231306331363264ffff",
            "000000000000",
        ),
        (3..=3, "00016700000002000178000169", "000000000019"),
        (
            4..=4,
            "0267000000012a746573742d34323661363737392d376136362d346431612d386262382d393931333231\
         3063313632640000",
            "00000000000000",
        ),
        (
            4..=4,
            "0267000000022a746573742d34323661363737392d376136362d346431612d386262382d393931333231\
         306331363264026900",
            "00000000001900",
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
