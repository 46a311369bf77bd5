//! How generations follow each other, and what happens to those who are late, silent or gone.

use super::*;

#[test]
fn followers_wait_for_the_leaders_assignment() {
    let mut script = Script::new();
    let first = script.at(0).joined(ask(1));
    let ticket = script.at(10).parked(ask(2));
    assert_eq!(script.state(), GroupState::PreparingRebalance);
    assert_eq!(script.beat(&first), Err(Refusal::RebalanceInProgress));
    let leader = script.at(20).joined(JoinRequest { member_id: &first.me, ..ask(1) });
    assert_eq!((leader.generation, leader.members.len()), (2, 2));
    assert_eq!(script.woken(), [2]);
    let follower = script.got(ticket);
    assert_eq!((follower.generation, follower.leads()), (2, false));
    assert!(follower.members.is_empty());
    let waiting = script.at(30).sync_parked(2, &follower);
    assert_eq!(script.sync_result(waiting), None);
    let gives = [(leader.me.as_str(), &b"p0"[..]), (&follower.me, b"p1")];
    assert_eq!(script.at(40).sync(1, &leader, &gives), Sync::Assigned(b"p0".to_vec()));
    assert_eq!(script.woken(), [2]);
    assert_eq!(script.sync_result(waiting), Some(Sync::Assigned(b"p1".to_vec())));
    assert_eq!(script.state(), GroupState::Stable);
    // A lost answer is asked for again.
    assert_eq!(script.at(50).sync(2, &follower, &[]), Sync::Assigned(b"p1".to_vec()));
}

#[test]
fn a_member_that_the_leader_forgot_gets_an_empty_assignment() {
    let mut script = Script::new();
    let all = script.stable(2);
    let leader = script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
    let leader = script.got(leader);
    let gives = [(leader.me.as_str(), &b"x"[..]), ("stranger", b"y")];
    assert_eq!(script.sync(1, &leader, &gives), Sync::Assigned(b"x".to_vec()));
    let follower = Joined { generation: leader.generation, ..all[1].clone() };
    assert_eq!(script.sync(2, &follower, &[]), Sync::Assigned(Vec::new()));
}

#[test]
fn syncs_are_checked_against_member_generation_protocol_and_state() {
    let mut script = Script::new();
    let all = script.stable(2);
    let stranger = Joined { me: "who".into(), ..all[0].clone() };
    assert_eq!(script.sync(1, &stranger, &[]), Sync::Refused(Refusal::UnknownMemberId));
    let old = Joined { generation: 1, ..all[0].clone() };
    assert_eq!(script.sync(1, &old, &[]), Sync::Refused(Refusal::IllegalGeneration));
    let other = Joined { protocol: "sticky".into(), ..all[0].clone() };
    assert_eq!(script.sync(1, &other, &[]), Sync::Refused(Refusal::InconsistentGroupProtocol));
    let request = SyncRequest {
        group_id: "g",
        member_id: &all[0].me,
        instance_id: None,
        generation: all[0].generation,
        protocol_type: Some("connect"),
        protocol_name: None,
        assignments: offer(&[]),
        waiter: 1,
    };
    let sync = |script: &mut Script, request| match script.groups.sync(request, script.now) {
        SyncVerdict::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(sync(&mut script, request), Refusal::InconsistentGroupProtocol);
    let nowhere = SyncRequest { group_id: "h", ..request };
    assert_eq!(sync(&mut script, nowhere), Refusal::UnknownMemberId);
    let nameless = SyncRequest { group_id: "", ..request };
    assert_eq!(sync(&mut script, nameless), Refusal::InvalidGroupId);
    script.parked(ask(3));
    assert_eq!(script.sync(1, &all[0], &[]), Sync::Refused(Refusal::RebalanceInProgress));
}

#[test]
fn members_that_do_not_join_again_in_time_are_put_out() {
    let mut script = Script::new();
    let all = script.at(0).stable(3);
    let newcomer = script.at(1_000).parked(ask(4));
    let second = script.at(2_000).parked(JoinRequest { member_id: &all[1].me, ..ask(2) });
    // The leader and the third keep their sessions alive and never join.
    for at in (5_000..61_000).step_by(5_000) {
        for member in [&all[0], &all[2]] {
            assert_eq!(script.at(at).beat(member), Err(Refusal::RebalanceInProgress));
        }
    }
    assert_eq!(script.at(60_999).join_result(second), None);
    let second = script.at(61_000).got(second);
    assert!(second.leads(), "somebody who came leads now");
    assert_eq!(script.got(newcomer).leader, second.me);
    assert_eq!(script.members(), [second.me, script.got(newcomer).me]);
    assert_eq!(script.beat(&all[0]), Err(Refusal::UnknownMemberId));
}

#[test]
fn a_silent_member_loses_its_session_and_the_others_rebalance() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    for at in [3_000, 6_000, 9_000] {
        assert_eq!(script.at(at).beat(&all[0]), Ok(()));
    }
    assert_eq!(script.at(9_999).state(), GroupState::Stable);
    assert_eq!(script.at(10_000).state(), GroupState::PreparingRebalance);
    assert_eq!(script.beat(&all[1]), Err(Refusal::UnknownMemberId));
    let alone = script.at(10_500).joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    assert_eq!((alone.generation, alone.members.len()), (3, 1));
}

#[test]
fn the_last_members_death_empties_the_group() {
    let mut script = Script::new();
    let all = script.at(0).stable(1);
    assert_eq!(script.at(9_999).beat(&all[0]), Ok(()));
    assert_eq!(script.at(19_998).state(), GroupState::Stable);
    assert_eq!(script.at(19_999).state(), GroupState::Empty);
    assert_eq!(script.beat(&all[0]), Err(Refusal::UnknownMemberId));
}

#[test]
fn who_waits_for_a_rebalance_does_not_lose_its_session_meanwhile() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    let waiting = script.at(1_000).parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    for at in (5_000..60_000).step_by(5_000) {
        assert_eq!(script.at(at).beat(&all[1]), Err(Refusal::RebalanceInProgress));
    }
    assert_eq!(script.at(60_999).join_result(waiting), None);
    let alone = script.at(61_000).got(waiting);
    assert_eq!(alone.members.len(), 1);
    // After the answer its session starts anew.
    assert_eq!(script.at(70_999).members().len(), 1);
    assert_eq!(script.at(71_000).state(), GroupState::Empty);
}

#[test]
fn a_leader_that_dies_before_its_sync_makes_a_new_rebalance() {
    let mut script = Script::new();
    let all = script.at(0).stable(3);
    let leader = script.at(100).parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    script.at(110).parked(JoinRequest { member_id: &all[1].me, ..ask(2) });
    script.at(120).joined(JoinRequest { member_id: &all[2].me, ..ask(3) });
    let second = Joined { generation: 3, ..all[1].clone() };
    let third = Joined { generation: 3, ..all[2].clone() };
    assert_eq!(script.got(leader).generation, 3);
    let waiting = [script.sync_parked(2, &second), script.sync_parked(3, &third)];
    script.woken();
    assert_eq!(script.at(10_119).sync_result(waiting[0]), None);
    script.at(10_120);
    assert_eq!(script.woken(), [2, 3]);
    for ticket in waiting {
        assert_eq!(script.sync_result(ticket), Some(Sync::Refused(Refusal::RebalanceInProgress)));
    }
    let ticket = script.at(10_200).parked(JoinRequest { member_id: &all[1].me, ..ask(2) });
    script.at(10_300).joined(JoinRequest { member_id: &all[2].me, ..ask(3) });
    let new_leader = script.got(ticket);
    assert_eq!((new_leader.generation, new_leader.members.len()), (4, 2));
    assert!(new_leader.leads());
}

#[test]
fn a_leader_that_only_heartbeats_is_put_out_when_its_sync_is_overdue() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    let leader = script.at(1_000).parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    let follower = script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
    let waiting = script.sync_parked(2, &follower);
    let leader = script.got(leader);
    for at in (5_000..61_000).step_by(5_000) {
        assert_eq!(script.at(at).beat(&leader), Ok(()), "heartbeats are fine in between");
    }
    assert_eq!(script.at(60_999).sync_result(waiting), None);
    let refused = Some(Sync::Refused(Refusal::RebalanceInProgress));
    assert_eq!(script.at(61_000).sync_result(waiting), refused);
    assert_eq!(script.members(), [all[1].me.clone()]);
}

#[test]
fn a_follower_that_never_syncs_is_put_out_of_a_stable_group() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    let leader = script.at(1_000).parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    let follower = script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
    let leader = script.got(leader);
    script.sync(1, &leader, &[]);
    assert_eq!(script.state(), GroupState::Stable);
    for at in (5_000..61_000).step_by(5_000) {
        assert_eq!(script.at(at).beat(&leader), Ok(()));
        assert_eq!(script.beat(&follower), Ok(()));
    }
    assert_eq!(script.at(61_000).state(), GroupState::PreparingRebalance);
    assert_eq!(script.members(), [leader.me]);
}

#[test]
fn the_leader_of_a_stable_group_can_ask_for_a_rebalance_a_follower_cannot() {
    let mut script = Script::new();
    let all = script.stable(2);
    let same = script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
    assert_eq!((same.generation, same.members.len()), (2, 0));
    assert_eq!(script.state(), GroupState::Stable);
    script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    assert_eq!(script.state(), GroupState::PreparingRebalance);
}

#[test]
fn changed_metadata_makes_a_rebalance_in_any_state() {
    let mut script = Script::new();
    let all = script.stable(2);
    let changed = [("range", &b"new"[..])];
    let other = JoinRequest { member_id: &all[1].me, protocols: offer(&changed), ..ask(2) };
    let ticket = script.parked(other);
    let leader = script.joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    assert_eq!(leader.members[1], (all[1].me.clone(), b"new".to_vec()));
    assert_eq!(script.got(ticket).generation, 3);
    // In CompletingRebalance the same again is answered at once, something new starts over.
    assert_eq!(script.joined(other).generation, 3);
    let again = script.joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    assert_eq!(
        (again.generation, again.members.len()),
        (3, 2),
        "the leader gets the members again"
    );
    let newer = JoinRequest { protocols: offer(&[("range", b"newer")]), ..other };
    script.parked(newer);
    assert_eq!(script.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_join_in_the_middle_sends_those_who_sync_back() {
    let mut script = Script::new();
    let all = script.stable(2);
    script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    let follower = script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
    let waiting = script.sync_parked(2, &follower);
    script.parked(ask(3));
    assert_eq!(script.sync_result(waiting), Some(Sync::Refused(Refusal::RebalanceInProgress)));
}

#[test]
fn consecutive_rebalances_of_cooperative_members_need_no_timeout() {
    let mut script = Script::new();
    let mut all = script.at(0).stable(3);
    // Each round the metadata says what is still owned, so each sync is followed by another round.
    for round in 0..5u8 {
        let owned = [round];
        let protocols = [("range", &owned[..])];
        let again = |waiter: usize, member_id| JoinRequest {
            member_id,
            protocols: offer(&protocols),
            ..ask(waiter as u32)
        };
        let first = script.parked(again(1, &all[0].me));
        let second = script.parked(again(2, &all[1].me));
        all[2] = script.joined(again(3, &all[2].me.clone()));
        (all[0], all[1]) = (script.got(first), script.got(second));
        assert!(all.iter().all(|it| it.generation == 3 + i32::from(round)));
        let waiting = script.sync_parked(2, &all[1]);
        let me = all[0].me.clone();
        assert_eq!(script.sync(1, &all[0], &[(&me, &owned)]), Sync::Assigned(owned.to_vec()));
        assert_eq!(script.sync_result(waiting), Some(Sync::Assigned(Vec::new())));
        assert_eq!(script.sync(3, &all[2], &[]), Sync::Assigned(Vec::new()));
    }
}

#[test]
fn leaving_is_answered_per_member_and_rebalances_once() {
    let mut script = Script::new();
    let all = script.stable(3);
    let verdicts = script.leave(&[
        (&all[0].me, None),
        ("who", None),
        ("", Some("nobody")),
        ("", None),
        (&all[1].me, None),
    ]);
    let unknown = Err(Refusal::UnknownMemberId);
    assert_eq!(verdicts, [Ok(()), unknown, unknown, unknown, Ok(())]);
    assert_eq!(script.state(), GroupState::PreparingRebalance);
    let alone = script.joined(JoinRequest { member_id: &all[2].me, ..ask(3) });
    assert_eq!((alone.generation, alone.leads()), (3, true));
    assert_eq!(script.leave(&[(&all[2].me, None)]), [Ok(())]);
    assert_eq!(script.state(), GroupState::Empty);
    assert_eq!(script.leave(&[(&all[2].me, None)]), [unknown]);
}

#[test]
fn a_pending_id_leaves_without_disturbing_a_stable_group() {
    let mut script = Script::new();
    script.stable(1);
    let request = JoinRequest { require_known_member_id: true, ..ask(2) };
    let Join::Refused(_, member_id) = script.join(request) else { panic!() };
    assert_eq!(script.leave(&[(&member_id, None)]), [Ok(())]);
    assert_eq!(script.state(), GroupState::Stable);
    assert_eq!(script.leave(&[(&member_id, None)]), [Err(Refusal::UnknownMemberId)]);
}

#[test]
fn a_member_that_is_taken_out_while_it_waits_is_told() {
    let mut script = Script::new();
    let all = script.stable(3);
    let joining = script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    assert_eq!(script.leave(&[(&all[0].me, None)]), [Ok(())]);
    assert_eq!(script.got_refusal(joining), Refusal::UnknownMemberId);
    script.parked(JoinRequest { member_id: &all[1].me, ..ask(2) });
    let third = script.joined(JoinRequest { member_id: &all[2].me, ..ask(3) });
    let syncing = script.sync_parked(3, &third);
    assert_eq!(script.leave(&[(&all[2].me, None)]), [Ok(())]);
    assert_eq!(script.sync_result(syncing), Some(Sync::Refused(Refusal::UnknownMemberId)));
}

#[test]
fn the_leave_of_the_one_everybody_waits_for_completes_the_rebalance() {
    let mut script = Script::new();
    let all = script.stable(2);
    let waiting = script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    script.leave(&[(&all[1].me, None)]);
    assert_eq!(script.got(waiting).members.len(), 1);
}

#[test]
fn a_vanished_connection_is_not_woken_and_its_member_counts_as_joined() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    let gone = script.at(1_000).parked(JoinRequest { member_id: &all[1].me, ..changed(2) });
    script.groups.connection_closed(2);
    let leader = script.at(2_000).joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    assert_eq!(leader.members.len(), 2);
    assert!(script.woken().is_empty());
    assert_eq!(script.got_refusal(gone), Refusal::UnknownMemberId);
    script.sync(1, &leader, &[]);
    assert_eq!(script.at(11_999).beat(&leader), Ok(()));
    assert_eq!(script.at(12_000).members(), [leader.me], "its session ran from the answer");
}

fn changed(waiter: Waiter) -> JoinRequest<'static, Offer<'static>> {
    JoinRequest { protocols: offer(&[("range", b"changed")]), ..ask(waiter) }
}

#[test]
fn a_second_join_of_the_same_member_takes_the_place_of_the_first() {
    let mut script = Script::new();
    let all = script.stable(2);
    let old = script.parked(JoinRequest { member_id: &all[1].me, ..changed(2) });
    let new = script.parked(JoinRequest { member_id: &all[1].me, ..changed(9) });
    assert_eq!(script.woken(), [2]);
    assert_eq!(script.got_refusal(old), Refusal::UnknownMemberId);
    script.joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    assert_eq!(script.got(new).generation, 3);
}

#[test]
fn an_answer_that_is_read_late_is_still_of_its_generation() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    let late = script.parked(JoinRequest { member_id: &all[1].me, ..changed(2) });
    script.joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    let newcomer = script.at(10).parked(ask(3));
    assert_eq!(script.state(), GroupState::PreparingRebalance);
    let joined = script.got(late);
    assert_eq!(joined.generation, 3);
    assert_eq!(script.sync(9, &joined, &[]), Sync::Refused(Refusal::RebalanceInProgress));
    script.at(20).parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    // Its join of generation 4 never comes, and its session ends: generation 3 is over for it.
    assert_eq!(script.at(10_000).got(newcomer).generation, 4);
    assert_eq!(script.got_refusal(late), Refusal::UnknownMemberId);
}

#[test]
fn an_answer_that_is_read_late_names_a_leader_that_is_there() {
    let mut script = Script::new();
    let all = script.stable(2);
    let late = script.parked(JoinRequest { member_id: &all[1].me, ..changed(2) });
    script.joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    script.leave(&[(&all[0].me, None)]);
    let joined = script.got(late);
    assert_eq!((joined.generation, joined.leads()), (3, true));
}

#[test]
fn an_answer_is_not_taken_from_another_group_in_the_same_place() {
    let mut script = Script::new();
    let all = script.stable(2);
    let late = script.parked(JoinRequest { member_id: &all[1].me, ..changed(9) });
    let joined = script.joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    script.leave(&[(&all[0].me, None), (&all[1].me, None)]);
    script.groups.delete_group("g").unwrap();
    let others = script.stable(2);
    script.parked(JoinRequest { member_id: &others[0].me, ..ask(1) });
    let other = script.joined(JoinRequest { member_id: &others[1].me, ..ask(2) });
    assert_eq!(other.generation, joined.generation);
    assert_eq!(script.got_refusal(late), Refusal::UnknownMemberId);
}

#[test]
fn a_session_starts_anew_with_the_assignment() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    let leader = script.at(1_000).parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    let follower = script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
    let leader = script.got(leader);
    let waiting = script.sync_parked(2, &follower);
    script.at(10_000).beat(&leader).unwrap();
    // The follower waits longer than its session lasts.
    script.at(15_000).sync(1, &leader, &[]);
    assert_eq!(script.sync_result(waiting), Some(Sync::Assigned(Vec::new())));
    script.at(20_000).beat(&leader).unwrap();
    assert_eq!(script.at(24_999).state(), GroupState::Stable);
    assert_eq!(script.at(25_000).members(), [leader.me]);
}

#[test]
fn commits_are_taken_from_members_except_while_an_assignment_is_awaited() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    assert_eq!(script.commit_check(&all[0]), Ok(()));
    let old = Joined { generation: 1, ..all[0].clone() };
    assert_eq!(script.commit_check(&old), Err(Refusal::IllegalGeneration));
    let stranger = Joined { me: "who".into(), ..all[0].clone() };
    assert_eq!(script.commit_check(&stranger), Err(Refusal::UnknownMemberId));
    let simple = Joined { me: String::new(), generation: -1, ..all[0].clone() };
    assert_eq!(script.commit_check(&simple), Err(Refusal::UnknownMemberId), "it has members");
    script.parked(JoinRequest { member_id: &all[1].me, ..changed(2) });
    assert_eq!(script.commit_check(&all[0]), Ok(()), "before it joins again it may still commit");
    let leader = script.joined(JoinRequest { member_id: &all[0].me, ..ask(1) });
    assert_eq!(script.commit_check(&leader), Err(Refusal::RebalanceInProgress));
    script.sync(1, &leader, &[]);
    assert_eq!(script.commit_check(&leader), Ok(()));
    let nowhere = script.groups.validate_commit("h", "who", None, 3, script.now);
    assert_eq!(nowhere, Err(Refusal::IllegalGeneration));
    assert_eq!(script.groups.validate_commit("h", "", None, -1, script.now), Ok(()));
    assert_eq!(script.groups.describe("h").unwrap().state(), GroupState::Empty);
}

#[test]
fn a_members_commit_is_a_sign_of_life() {
    let mut script = Script::new();
    let all = script.at(0).stable(1);
    for at in (8_000..80_000).step_by(8_000) {
        assert_eq!(script.at(at).commit_check(&all[0]), Ok(()));
    }
    assert_eq!(script.at(89_999).state(), GroupState::Empty);
}

#[test]
fn heartbeats_are_checked_against_group_member_and_generation() {
    let mut script = Script::new();
    let all = script.stable(1);
    let old = Joined { generation: 0, ..all[0].clone() };
    assert_eq!(script.beat(&old), Err(Refusal::IllegalGeneration));
    let nowhere = script.groups.heartbeat("h", "who", None, 1, script.now);
    assert_eq!(nowhere, Err(Refusal::UnknownMemberId));
    let nameless = script.groups.heartbeat("", "who", None, 1, script.now);
    assert_eq!(nameless, Err(Refusal::InvalidGroupId));
}
