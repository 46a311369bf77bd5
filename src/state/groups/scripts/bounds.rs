//! What happens at each limit, and one past it.

use super::*;
use crate::limits::{
    CLIENT_ID_BYTES_KEPT, GROUP_MEMBERS_PENDING_MAX, GROUP_NAME_BYTES_MAX,
    MEMBER_METADATA_BYTES_MAX, MEMBER_PROTOCOLS_MAX,
};

impl Script {
    /// The books must agree with what they describe.
    pub(in crate::state::groups) fn audit(&self) {
        let (groups, tables) = (&self.groups, &self.groups.tables);
        assert_eq!(groups.order.len(), groups.groups.len());
        let ids = groups.order.iter().map(|slot| groups.groups.get(*slot).unwrap().id(tables));
        assert!(ids.is_sorted());
        let mut members = 0;
        let mut bytes = 0;
        for (slot, group) in groups.groups.iter() {
            assert_eq!(groups.deadlines[slot as usize], group.deadline(tables));
            let rows = tables.members.iter(group.roll());
            assert_eq!(rows.clone().count(), group.roll().len());
            members += rows.clone().count();
            bytes += rows.map(|row| tables.members.row_bytes(row)).sum::<usize>();
        }
        assert_eq!(tables.members.rows_used().0, members);
        assert_eq!(tables.members.bytes_used().0, bytes);
        let free = |slot: usize| groups.groups.get(slot as u32).is_none();
        let dead = groups.deadlines.iter().enumerate().filter(|(slot, _)| free(*slot));
        assert!(dead.into_iter().all(|(_, deadline)| deadline.is_none()));
        assert!(
            groups.usage().all(|it| it.used <= it.limit),
            "{:?}",
            Vec::from_iter(groups.usage())
        );
    }
}

#[test]
fn a_full_group_refuses_one_more() {
    let mut script = Script::with(GroupsConfig { size_max: 3, ..GroupsConfig::default() });
    let all = script.stable(3);
    assert_eq!(script.refused(ask(4)), Refusal::GroupMaxSizeReached);
    assert_eq!(script.state(), GroupState::Stable);
    script.leave(&[(&all[2].me, None)]);
    script.parked(ask(4));
}

#[test]
fn of_a_full_group_in_rebalance_the_last_to_join_again_is_put_out() {
    let mut script = Script::with(GroupsConfig { size_max: 2, ..GroupsConfig::default() });
    let first = script.joined(ask(1));
    script.parked(ask(2));
    let third = script.parked(ask(3));
    let late = JoinRequest { member_id: &first.me, ..ask(1) };
    assert_eq!(script.join(late), Join::Refused(Refusal::GroupMaxSizeReached, String::new()));
    assert_eq!(script.members().len(), 2);
    assert_eq!(script.beat(&first), Err(Refusal::UnknownMemberId));
    // As in Kafka that alone completes nothing; nor does one who leaves and was not there.
    assert_eq!(script.leave(&[(&first.me, None)]), [Err(Refusal::UnknownMemberId)]);
    assert_eq!(script.state(), GroupState::PreparingRebalance);
    // The rebalance timeout does.
    assert_eq!(script.at(60_000).got(third).generation, 2);
    script.audit();
}

#[test]
fn a_full_group_does_not_wait_for_an_id_that_it_refused() {
    let mut script = Script::with(GroupsConfig { size_max: 2, ..GroupsConfig::default() });
    let first = script.joined(ask(1));
    let asks_back = |waiter| JoinRequest { require_known_member_id: true, ..ask(waiter) };
    let mut new_id = |waiter| match script.join(asks_back(waiter)) {
        Join::Refused(Refusal::MemberIdRequired, id) => id,
        other => panic!("{other:?}"),
    };
    let (second, third) = (new_id(2), new_id(3));
    script.parked(JoinRequest { member_id: &second, ..ask(2) });
    let again = JoinRequest { member_id: &first.me, ..ask(1) };
    script.parked(again);
    let refused = script.refused(JoinRequest { member_id: &third, ..ask(3) });
    assert_eq!(refused, Refusal::GroupMaxSizeReached);
    assert_eq!(script.joined(again).generation, 2, "all who are left have joined");
    script.audit();
}

#[test]
fn rows_are_bounded_even_while_members_come_and_vanish() {
    let mut script = Script::new();
    for waiter in 0..10 * GROUP_MEMBERS_MAX as u32 {
        script.join(ask(waiter));
        script.groups.connection_closed(waiter);
        assert!(script.members().len() <= 2 * GROUP_MEMBERS_MAX);
    }
    script.audit();
    assert_eq!(script.groups.tickets.len(), 0, "nobody is there to be answered");
}

#[test]
fn of_too_many_pending_ids_the_oldest_is_forgotten() {
    let mut script = Script::new();
    let request = JoinRequest { require_known_member_id: true, ..ask(1) };
    let mut ids = Vec::new();
    for _ in 0..=GROUP_MEMBERS_PENDING_MAX {
        let Join::Refused(Refusal::MemberIdRequired, id) = script.join(request) else { panic!() };
        ids.push(id);
    }
    let first = JoinRequest { member_id: &ids[0], ..request };
    assert_eq!(script.refused(first), Refusal::UnknownMemberId);
    script.joined(JoinRequest { member_id: &ids[1], ..request });
}

#[test]
fn groups_are_bounded_and_useless_ones_make_room() {
    let mut script = Script::new();
    let names: Vec<_> = (0..=roomy().groups).map(|number| format!("g{number}")).collect();
    let commit = Commit { offset: 1, leader_epoch: -1, metadata: "", retention_ms: None };
    for name in &names[..roomy().groups] {
        script.groups.commit_offset(name, "t", 0, commit, script.now).unwrap();
    }
    let late = JoinRequest { group_id: &names[roomy().groups], ..ask(1) };
    assert_eq!(script.refused(late), Refusal::GroupsFull);
    let simple = script.groups.validate_commit(&names[roomy().groups], "", None, -1, script.now);
    assert_eq!(simple, Err(Refusal::GroupsFull));
    script.groups.remove_offset("g5", "t", 0);
    script.joined(late);
    assert!(script.groups.describe("g5").is_none());
    script.audit();
    let long = "g".repeat(GROUP_ID_BYTES_MAX + 1);
    let refused = script.refused(JoinRequest { group_id: &long, ..ask(1) });
    assert_eq!(refused, Refusal::InvalidGroupId);
    let simple = script.groups.validate_commit(&long, "", None, -1, script.now);
    assert_eq!(simple, Err(Refusal::InvalidGroupId));
}

#[test]
fn what_a_member_may_bring_is_bounded() {
    let mut script = Script::new();
    let names: Vec<_> = (0..=MEMBER_PROTOCOLS_MAX).map(|number| number.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let request = JoinRequest { protocols: offer(&many), ..ask(1) };
    assert_eq!(script.refused(request), Refusal::InconsistentGroupProtocol);
    script.joined(JoinRequest { protocols: offer(&many[1..]), ..ask(1) });
    let large = vec![0; MEMBER_METADATA_BYTES_MAX];
    let request = [("range", &large[..])];
    let request = JoinRequest { group_id: "h", protocols: offer(&request), ..ask(2) };
    assert_eq!(script.refused(request), Refusal::GroupMaxSizeReached);
    let long = "n".repeat(GROUP_NAME_BYTES_MAX + 1);
    let request = JoinRequest { group_id: "h", instance_id: Some(&long), ..ask(2) };
    assert_eq!(script.refused(request), Refusal::InvalidInstanceId);
    let request = [(long.as_str(), &b""[..])];
    let request = JoinRequest { group_id: "h", protocols: offer(&request), ..ask(2) };
    assert_eq!(script.refused(request), Refusal::InconsistentGroupProtocol);
    let request = JoinRequest { group_id: "h", protocol_type: &long, ..ask(2) };
    assert_eq!(script.refused(request), Refusal::InconsistentGroupProtocol);
    assert!(script.groups.describe("h").is_none());
    let chatty = "ä".repeat(CLIENT_ID_BYTES_KEPT);
    let joined = script.joined(JoinRequest { group_id: "h", client_id: &chatty, ..ask(2) });
    assert_eq!(joined.me.len(), CLIENT_ID_BYTES_KEPT + 37);
    script.audit();
}

#[test]
fn when_memory_for_members_is_used_up_newcomers_are_refused_and_members_go_on() {
    let mut script = Script::new();
    let large = vec![0; MEMBER_METADATA_BYTES_MAX - 1000];
    let protocols = [("range", &large[..])];
    let names: Vec<_> = (0..roomy().groups).map(|number| format!("g{number}")).collect();
    let mut last = None;
    let count = names.iter().zip(1..).take_while(|(name, waiter)| {
        let heavy = JoinRequest { group_id: name, protocols: offer(&protocols), ..ask(*waiter) };
        match script.join(heavy) {
            Join::Joined(joined) => last = Some(joined),
            other => assert_eq!(other, Join::Refused(Refusal::GroupMaxSizeReached, String::new())),
        }
        script.audit();
        script.groups.describe(name).is_some()
    });
    let count = count.count();
    assert_eq!(count, roomy().member_bytes / MEMBER_METADATA_BYTES_MAX);
    let member = last.unwrap();
    let again = JoinRequest {
        group_id: &names[count - 1],
        member_id: &member.me,
        protocols: offer(&protocols),
        ..ask(500)
    };
    assert_eq!(script.joined(again).generation, 1);
}

#[test]
fn assignments_that_do_not_fit_are_refused_to_all_and_all_start_over() {
    let mut script = Script::new();
    let all = script.stable(2);
    let leader = script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    let follower = script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
    let leader = script.got(leader);
    let waiting = script.sync_parked(2, &follower);
    let huge = vec![0; roomy().member_bytes];
    let refused = Sync::Refused(Refusal::AssignmentTooLarge);
    assert_eq!(script.sync(1, &leader, &[(&leader.me, &huge)]), refused);
    assert_eq!(script.sync_result(waiting), Some(refused));
    assert_eq!(script.state(), GroupState::PreparingRebalance);
    script.audit();
}

#[test]
fn an_answer_that_was_written_leaves_nothing_behind() {
    let mut script = Script::new();
    let first = script.joined(ask(1));
    let ticket = script.parked(ask(2));
    assert_eq!(script.groups.tickets.len(), 1);
    script.joined(JoinRequest { member_id: &first.me, ..ask(1) });
    assert_eq!(script.got(ticket), script.got(ticket), "an answer can be read twice");
    script.groups.release(2);
    assert_eq!(script.groups.tickets.len(), 0);
    assert!(script.woken().is_empty());
}
