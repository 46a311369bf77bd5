//! ListGroups (16): all groups, or those in certain states.
//!
//! Versions 0–4. v1 throttle_time_ms · v3 flexible · v4 states_filter, group_state (KIP-518).
//!
//! States are compared without regard to case and blanks around them, as in Apache Kafka; one that
//! does not exist matches no group. The order is none in particular.

use super::list::List;
use super::{Api, Context, Outcome, Reply};
use crate::state::groups::GroupState;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 16, name: "ListGroups", versions: (0, 4), advertised_min: 0, flexible: 3, handle };

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let wanted = if r.version() < 4 { Wanted::default() } else { read_filter(&mut r)? };
    r.tags()?;
    let groups = &context.broker.groups;
    let listed = || groups.list().filter(|group| wanted.has(group.state()));
    let w = &mut reply.w;
    w.since(1, |w| w.i32(0));
    w.error(ErrorCode::None);
    w.array(listed().count());
    for group in listed() {
        w.string(group.group_id());
        w.string(group.protocol_type());
        w.since(4, |w| w.string(group.state().name()));
        w.tags();
    }
    w.tags();
    Ok(Outcome::Now)
}

/// The states that a filter names.
#[derive(Clone, Copy, Default)]
struct Wanted {
    filtered: bool,
    empty: bool,
    preparing: bool,
    completing: bool,
    stable: bool,
}

impl Wanted {
    fn has(self, state: GroupState) -> bool {
        !self.filtered
            || match state {
                GroupState::Empty => self.empty,
                GroupState::PreparingRebalance => self.preparing,
                GroupState::CompletingRebalance => self.completing,
                GroupState::Stable => self.stable,
                GroupState::Dead => false,
            }
    }
}

fn read_filter(r: &mut Reader<'_>) -> Result<Wanted, ReadError> {
    let mut wanted = Wanted::default();
    for name in List::read(r, "states_filter", |r| r.string("state"))? {
        let is = |state: GroupState| name.trim().eq_ignore_ascii_case(state.name());
        wanted.filtered = true;
        wanted.empty |= is(GroupState::Empty);
        wanted.preparing |= is(GroupState::PreparingRebalance);
        wanted.completing |= is(GroupState::CompletingRebalance);
        wanted.stable |= is(GroupState::Stable);
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{Golden, TestBroker, golden};

    const GOLDEN: &[Golden] = &[
        (0..=0, "", "0000000000010001670008636f6e73756d6572"),
        (1..=1, "", "000000000000000000010001670008636f6e73756d6572"),
        (2..=2, "", "000000000000000000010001670008636f6e73756d6572"),
        (3..=3, "00", "00000000000002026709636f6e73756d65720000"),
        (4..=4, "0100", "00000000000002026709636f6e73756d657207537461626c650000"),
        (
            4..=4,
            "0305446561640920735441424c452000",
            "00000000000002026709636f6e73756d657207537461626c650000",
        ),
        (
            4..=4,
            "0406456d70747913507265706172696e67526562616c616e6365096e6f6e73656e736500",
            "0000000000000100",
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
