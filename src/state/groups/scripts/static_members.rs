//! Static members (KIP-345): processes that come back under their own name.

use super::*;

fn fixed(waiter: Waiter) -> JoinRequest<'static, Offer<'static>> {
    const NAMES: [&str; 5] = ["i0", "i1", "i2", "i3", "i4"];
    JoinRequest { instance_id: Some(NAMES[waiter as usize % 10]), ..ask(waiter) }
}

#[test]
fn a_follower_that_comes_back_takes_up_its_work_and_nobody_notices() {
    let mut script = Script::new();
    let all = script.at(0).stable_with(2, fixed);
    let back = script.at(1_000).joined(fixed(12));
    assert_eq!((back.generation, back.leader.as_str()), (2, all[0].me.as_str()));
    assert_ne!(back.me, all[1].me);
    assert!(!back.skip && back.members.is_empty());
    assert_eq!(script.sync(12, &back, &[]), Sync::Assigned(b"2".to_vec()));
    assert_eq!(script.state(), GroupState::Stable);
    assert_eq!(script.members(), [all[0].me.clone(), back.me.clone()]);
    // Its session runs from its return.
    assert_eq!(script.at(9_000).beat(&all[0]), Ok(()));
    assert_eq!(script.at(10_999).members().len(), 2);
    assert_eq!(script.at(11_000).members().len(), 1);
}

#[test]
fn a_leader_that_comes_back_is_told_to_skip_the_assignment() {
    let mut script = Script::new();
    let all = script.stable_with(2, fixed);
    let back = script.joined(fixed(1));
    assert!(back.leads() && back.skip);
    assert_eq!(back.members.len(), 2, "it leads, and needs the members for the next time");
    assert_eq!(script.sync(1, &back, &[]), Sync::Assigned(b"1".to_vec()));
    assert_eq!(script.sync(2, &all[1], &[]), Sync::Assigned(b"2".to_vec()), "nothing was lost");
}

#[test]
fn a_leader_that_cannot_be_told_is_told_that_its_former_self_leads() {
    let mut script = Script::new();
    let all = script.stable_with(2, fixed);
    let back = script.joined(JoinRequest { supports_skip_assignment: false, ..fixed(1) });
    assert_eq!(back.leader, all[0].me, "the id it had");
    assert!(!back.leads() && !back.skip && back.members.is_empty());
    assert_eq!(script.sync(1, &back, &[]), Sync::Assigned(b"1".to_vec()));
    assert_eq!(script.state(), GroupState::Stable);
    // It still leads, as its next JoinGroup shows.
    let again = JoinRequest { member_id: &back.me, ..fixed(1) };
    script.parked(again);
    assert_eq!(script.state(), GroupState::PreparingRebalance);
}

#[test]
fn who_still_uses_the_old_id_is_fenced_everywhere() {
    let mut script = Script::new();
    let all = script.stable_with(2, fixed);
    script.joined(fixed(12));
    let (old, generation) = (all[1].me.as_str(), all[1].generation);
    let fenced = Err(Refusal::FencedInstanceId);
    let name = fixed(2).instance_id;
    let now = script.now;
    assert_eq!(script.groups.heartbeat("g", old, name, generation, now), fenced);
    assert_eq!(script.groups.validate_commit("g", old, name, generation, now), fenced);
    assert_eq!(script.leave(&[(old, name)]), [fenced]);
    let refused = Join::Refused(Refusal::FencedInstanceId, old.to_owned());
    assert_eq!(script.join(JoinRequest { member_id: old, ..fixed(2) }), refused);
    let sync = SyncRequest {
        group_id: "g",
        member_id: old,
        instance_id: name,
        generation,
        protocol_type: None,
        protocol_name: None,
        assignments: offer(&[]),
        waiter: 2,
    };
    let verdict = script.groups.sync(sync, now);
    assert!(matches!(verdict, SyncVerdict::Refused(Refusal::FencedInstanceId)), "{verdict:?}");
    let unknown = script.groups.heartbeat("g", old, Some("other"), generation, now);
    assert_eq!(unknown, Err(Refusal::UnknownMemberId));
}

#[test]
fn waiting_requests_of_the_old_id_are_fenced_at_once() {
    let mut script = Script::new();
    let all = script.stable_with(3, fixed);
    let leader = JoinRequest { member_id: &all[0].me, ..fixed(1) };
    let old = script.parked(leader);
    let new = script.parked(fixed(11));
    assert_eq!(script.woken(), [1]);
    assert_eq!(script.got_refusal(old), Refusal::FencedInstanceId);
    script.parked(JoinRequest { member_id: &all[1].me, ..fixed(2) });
    let third = script.joined(JoinRequest { member_id: &all[2].me, ..fixed(3) });
    assert_eq!(script.got(new).generation, 3);
    let old = script.sync_parked(3, &third);
    // The assignment under way may name the old id, so everybody starts over.
    script.parked(fixed(13));
    assert_eq!(script.sync_result(old), Some(Sync::Refused(Refusal::FencedInstanceId)));
    assert_eq!(script.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_return_that_changes_the_chosen_protocol_makes_a_rebalance() {
    let mut script = Script::new();
    let both = [("range", &b""[..]), ("sticky", b"")];
    let with = |waiter| JoinRequest { protocols: offer(&both), ..fixed(waiter) };
    script.stable_with(2, with);
    let metadata = [("range", &b"new topics"[..]), ("sticky", b"")];
    let same = script.joined(JoinRequest { protocols: offer(&metadata), ..fixed(2) });
    assert_eq!(same.generation, 2, "metadata alone changes nothing");
    let sticky = [("sticky", &b""[..])];
    script.parked(JoinRequest { protocols: offer(&sticky), ..fixed(2) });
    assert_eq!(script.state(), GroupState::PreparingRebalance);
}

#[test]
fn static_members_stay_through_a_rebalance_they_missed() {
    let mut script = Script::new();
    let slow = |waiter| JoinRequest { session_timeout_ms: 100_000, ..fixed(waiter) };
    let all = script.at(0).stable_with(2, slow);
    let leader = script.at(1_000).parked(JoinRequest { member_id: &all[0].me, ..slow(1) });
    let leader = script.at(61_000).got(leader);
    assert_eq!(leader.members.len(), 2, "the one that is away is given work");
    let gives = [(all[1].me.as_str(), &b"later"[..])];
    script.sync(1, &leader, &gives);
    // Back in time, it takes its share up.
    let back = script.at(70_000).joined(slow(2));
    assert_eq!((back.generation, back.leader.as_str()), (3, leader.me.as_str()));
    assert_eq!(script.sync(2, &back, &[]), Sync::Assigned(b"later".to_vec()));
}

#[test]
fn a_static_member_that_neither_joins_nor_syncs_is_put_out_in_the_end() {
    let mut script = Script::new();
    let slow = |waiter| JoinRequest { session_timeout_ms: 1_000_000, ..fixed(waiter) };
    let all = script.at(0).stable_with(2, slow);
    let leader = script.at(1_000).parked(JoinRequest { member_id: &all[0].me, ..slow(1) });
    let leader = script.at(61_000).got(leader);
    script.sync(1, &leader, &[]);
    assert_eq!(script.at(120_999).members().len(), 2);
    assert_eq!(
        script.at(121_000).members(),
        [leader.me],
        "no SyncGroup within the rebalance timeout"
    );
}

#[test]
fn with_nobody_back_but_statics_away_the_rebalance_waits_on() {
    let mut script = Script::new();
    let slow = |waiter| JoinRequest { session_timeout_ms: 100_000, ..fixed(waiter) };
    let all = script.at(0).stable_with(2, slow);
    script.at(1_000).leave(&[("", fixed(1).instance_id)]);
    assert_eq!(script.state(), GroupState::PreparingRebalance);
    assert_eq!(script.at(61_000).state(), GroupState::PreparingRebalance);
    assert_eq!(script.members(), [all[1].me.clone()]);
    assert_eq!(script.at(99_999).state(), GroupState::PreparingRebalance);
    assert_eq!(script.at(100_000).state(), GroupState::Empty, "its session has ended");
}

#[test]
fn an_administrator_removes_static_members_by_their_name() {
    let mut script = Script::new();
    let all = script.stable_with(3, fixed);
    let names = [("", fixed(2).instance_id), (all[2].me.as_str(), fixed(3).instance_id)];
    assert_eq!(script.leave(&names), [Ok(()), Ok(())]);
    assert_eq!(script.members(), [all[0].me.clone()]);
    let wrong = [(all[0].me.as_str(), fixed(2).instance_id)];
    assert_eq!(script.leave(&wrong), [Err(Refusal::UnknownMemberId)]);
}

#[test]
fn a_full_group_lets_its_static_members_back_in() {
    let mut script = Script::with(GroupsConfig { size_max: 2, ..GroupsConfig::default() });
    script.stable_with(2, fixed);
    assert_eq!(script.refused(fixed(3)), Refusal::GroupMaxSizeReached);
    assert_eq!(script.joined(fixed(12)).generation, 2);
    let impostor = JoinRequest { member_id: "impostor", ..fixed(2) };
    assert_eq!(script.refused(impostor), Refusal::GroupMaxSizeReached, "that is no return");
}

#[test]
fn a_static_leader_that_is_away_leads_no_longer_but_keeps_its_work() {
    let mut script = Script::new();
    let slow = |waiter| JoinRequest { session_timeout_ms: 200_000, ..fixed(waiter) };
    let all = script.at(0).stable_with(2, slow);
    let changed = [("range", &b"changed"[..])];
    let follower = JoinRequest { member_id: &all[1].me, protocols: offer(&changed), ..slow(2) };
    let follower = script.at(1_000).parked(follower);
    let leader = script.at(61_000).got(follower);
    assert!(leader.leads());
    assert_eq!(leader.members.len(), 2);
    let gives = [(all[0].me.as_str(), &b"one"[..]), (&all[1].me, b"two")];
    assert_eq!(script.sync(2, &leader, &gives), Sync::Assigned(b"two".to_vec()));
    let back = script.at(62_000).joined(slow(1));
    assert_eq!((back.leader.as_str(), back.skip), (leader.me.as_str(), false));
    assert_eq!(script.sync(1, &back, &[]), Sync::Assigned(b"one".to_vec()));
}

#[test]
fn unread_answers_of_a_static_member_do_not_turn_into_those_of_the_next_generation() {
    let mut script = Script::new();
    let slow = |waiter| JoinRequest { session_timeout_ms: 500_000, ..fixed(waiter) };
    let all = script.at(0).stable_with(3, slow);
    let rejoin = |index: usize| JoinRequest { member_id: &all[index].me, ..slow(index as u32 + 1) };
    let leader = script.parked(rejoin(0));
    let late = script.parked(rejoin(1));
    let third = script.joined(rejoin(2));
    let waiting = script.sync_parked(3, &third);
    let leader = script.got(leader);
    script.at(1_000).sync(1, &leader, &[]);
    // Neither reads its answer; a generation goes by without them.
    let leader = script.parked(rejoin(0));
    assert_eq!(script.got(late).generation, 3);
    assert_eq!(script.sync_result(waiting), Some(Sync::Assigned(Vec::new())));
    let leader = script.at(61_000).got(leader);
    let gives = [(all[2].me.as_str(), &b"of generation 4"[..])];
    script.sync(1, &leader, &gives);
    assert_eq!((leader.generation, script.state()), (4, GroupState::Stable));
    assert_eq!(script.got_refusal(late), Refusal::UnknownMemberId);
    let refused = Sync::Refused(Refusal::RebalanceInProgress);
    assert_eq!(script.sync_result(waiting), Some(refused));
}
