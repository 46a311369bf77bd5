//! DescribeGroups (15): state, protocol and members of groups.
//!
//! Versions 0–5. v1 throttle_time_ms · v3 authorized_operations · v4 group_instance_id (KIP-345) ·
//! v5 flexible.
//!
//! A group that does not exist is "Dead" without an error, as in Apache Kafka up to v5. Metadata of
//! members and the protocol are shown while the group is stable only.

use super::list::List;
use super::shared::{OPERATIONS_GROUP, operations_if};
use super::{Api, Context, Outcome, Reply};
use crate::state::groups::{GroupState, GroupView};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};

/// The row.
pub const API: Api = Api {
    key: 15,
    name: "DescribeGroups",
    versions: (0, 5),
    advertised_min: 0,
    flexible: 5,
    handle,
};

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let group_ids = List::read(&mut r, "groups", |r| r.string("group"))?;
    let asked = r.since(3, false, |r| r.bool("include_authorized_operations"))?;
    r.tags()?;
    let w = &mut reply.w;
    w.since(1, |w| w.i32(0));
    w.array(group_ids.len());
    for group_id in group_ids {
        w.error(ErrorCode::None);
        w.string(group_id);
        match context.broker.groups.describe(group_id) {
            Some(group) => write_group(w, group),
            None => write_dead(w),
        }
        w.since(3, |w| w.i32(operations_if(asked, OPERATIONS_GROUP)));
        w.tags();
    }
    w.tags();
    Ok(Outcome::Now)
}

fn write_dead(w: &mut Writer<'_>) {
    w.string(GroupState::Dead.name());
    w.string("");
    w.string("");
    w.array(0);
}

fn write_group(w: &mut Writer<'_>, group: GroupView<'_>) {
    w.string(group.state().name());
    w.string(group.protocol_type());
    w.string(group.protocol_data());
    let members = group.members();
    w.array(members.len());
    for member in members {
        w.string(member.member_id);
        w.since(4, |w| w.nullable_string(member.instance_id));
        w.string(member.client_id);
        w.string(member.client_host);
        w.bytes(member.metadata);
        w.bytes(member.assignment);
        w.tags();
    }
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{Golden, TestBroker, golden};

    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "0000000200016700026e6e",
            "0000000200000001670006537461626c650008636f6e73756d6572000572616e67650000000100297465\
         73742d34323661363737392d376136362d346431612d386262382d393931333231306331363264000474\
         657374000a2f3132372e302e302e310000000201020000000109000000026e6e00044465616400000000\
         00000000",
        ),
        (
            1..=1,
            "0000000200016700026e6e",
            "000000000000000200000001670006537461626c650008636f6e73756d6572000572616e676500000001\
         0029746573742d34323661363737392d376136362d346431612d386262382d3939313332313063313632\
         64000474657374000a2f3132372e302e302e310000000201020000000109000000026e6e000444656164\
         0000000000000000",
        ),
        (
            2..=2,
            "0000000200016700026e6e",
            "000000000000000200000001670006537461626c650008636f6e73756d6572000572616e676500000001\
         0029746573742d34323661363737392d376136362d346431612d386262382d3939313332313063313632\
         64000474657374000a2f3132372e302e302e310000000201020000000109000000026e6e000444656164\
         0000000000000000",
        ),
        (
            3..=3,
            "0000000200016700026e6e01",
            "000000000000000200000001670006537461626c650008636f6e73756d6572000572616e676500000001\
         0029746573742d34323661363737392d376136362d346431612d386262382d3939313332313063313632\
         64000474657374000a2f3132372e302e302e31000000020102000000010900000d48000000026e6e0004\
         44656164000000000000000000000d48",
        ),
        (
            4..=4,
            "0000000200016700026e6e01",
            "000000000000000200000001670006537461626c650008636f6e73756d6572000572616e676500000001\
         0029746573742d34323661363737392d376136362d346431612d386262382d3939313332313063313632\
         64ffff000474657374000a2f3132372e302e302e31000000020102000000010900000d48000000026e6e\
         000444656164000000000000000000000d48",
        ),
        (
            5..=5,
            "030267036e6e0100",
            "00000000030000026707537461626c6509636f6e73756d65720672616e6765022a746573742d34323661\
         363737392d376136362d346431612d386262382d3939313332313063313632640005746573740b2f3132\
         372e302e302e3103010202090000000d48000000036e6e054465616401010100000d480000",
        ),
    ];

    fn with_stable_member() -> TestBroker {
        let mut test = TestBroker::new();
        test.stable_member();
        test
    }

    #[test]
    fn every_version_reads_and_writes_as_kafka_does() {
        golden(&super::API, with_stable_member, GOLDEN);
    }
}
