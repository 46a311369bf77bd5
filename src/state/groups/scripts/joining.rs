//! Who gets in, with which id, and by which protocol.

use super::*;

#[test]
fn the_first_member_leads_and_its_assignment_makes_the_group_stable() {
    let mut script = Script::new();
    let first = script.at(10).joined(JoinRequest {
        protocols: offer(&[("range", b"meta"), ("sticky", b"other")]),
        ..ask(1)
    });
    assert_eq!(first.generation, 1);
    assert_eq!((first.protocol.as_str(), first.protocol_type.as_str()), ("range", "consumer"));
    assert!(first.leads() && !first.skip);
    assert_eq!(first.members, [(first.me.clone(), b"meta".to_vec())]);
    assert_eq!(script.state(), GroupState::CompletingRebalance);
    let given = script.at(20).sync(1, &first, &[(&first.me, b"all")]);
    assert_eq!(given, Sync::Assigned(b"all".to_vec()));
    assert_eq!(script.state(), GroupState::Stable);
    assert_eq!(script.beat(&first), Ok(()));
    assert!(script.woken().is_empty(), "who is answered at once is not woken");
}

#[test]
fn member_ids_are_the_client_id_or_instance_id_and_an_uuid() {
    let mut script = Script::new();
    let first = script.joined(ask(1));
    let (name, uuid) = first.me.split_once('-').unwrap();
    assert_eq!(name, "c");
    assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert_eq!(&uuid[14..15], "4");
    let fixed = JoinRequest { group_id: "h", instance_id: Some("fix"), client_id: "x", ..ask(2) };
    let second = script.joined(fixed);
    assert!(second.me.starts_with("fix-"));
    assert_ne!(first.me.split_once('-').unwrap().1, second.me.split_once('-').unwrap().1);
}

#[test]
fn a_dynamic_member_must_come_back_with_the_id_it_is_given() {
    let mut script = Script::new();
    let request = JoinRequest { require_known_member_id: true, ..ask(1) };
    let Join::Refused(Refusal::MemberIdRequired, member_id) = script.at(0).join(request) else {
        panic!("KIP-394")
    };
    assert!(member_id.starts_with("c-"));
    assert!(script.members().is_empty() && script.state() == GroupState::Empty);
    let joined = script.at(5).joined(JoinRequest { member_id: &member_id, ..request });
    assert_eq!((joined.me, joined.generation), (member_id, 1));
}

#[test]
fn an_id_that_is_not_used_within_the_session_timeout_is_forgotten() {
    let mut script = Script::new();
    let request = JoinRequest { require_known_member_id: true, ..ask(1) };
    let Join::Refused(_, member_id) = script.at(0).join(request) else { panic!() };
    let back = JoinRequest { member_id: &member_id, ..request };
    let Join::Refused(refusal, echoed) = script.at(10_000).join(back) else { panic!() };
    assert_eq!((refusal, &echoed), (Refusal::UnknownMemberId, &member_id));
}

#[test]
fn a_rebalance_waits_for_an_id_that_is_pending_until_it_expires() {
    let mut script = Script::new();
    let all = script.at(0).stable(2);
    let newcomer = JoinRequest { require_known_member_id: true, ..ask(3) };
    script.at(1_000).refused(newcomer);
    assert_eq!(script.state(), GroupState::Stable, "an id alone disturbs nobody");
    let leader = script.at(2_000).parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    let other = script.at(3_000).parked(JoinRequest { member_id: &all[1].me, ..ask(2) });
    assert_eq!(script.at(10_999).join_result(leader), None);
    assert_eq!(script.at(11_000).got(leader).generation, all[0].generation + 1);
    assert_eq!(script.got(other).members, []);
    assert_eq!(script.woken(), [1, 2]);
}

#[test]
fn a_static_member_needs_no_second_round() {
    let mut script = Script::new();
    let request = JoinRequest { instance_id: Some("i"), require_known_member_id: true, ..ask(1) };
    assert_eq!(script.joined(request).generation, 1);
}

#[test]
fn unknown_ids_are_refused_and_make_no_group() {
    let mut script = Script::new();
    let stranger = JoinRequest { member_id: "who", ..ask(1) };
    let refused = Join::Refused(Refusal::UnknownMemberId, "who".to_owned());
    assert_eq!(script.join(stranger), refused);
    assert!(script.groups.is_empty());
    script.stable(1);
    assert_eq!(script.join(stranger), refused);
}

#[test]
fn requests_that_no_group_would_take_leave_no_group_behind() {
    let mut script = Script::new();
    assert_eq!(script.refused(JoinRequest { group_id: "", ..ask(1) }), Refusal::InvalidGroupId);
    for session_timeout_ms in [5_999, 1_800_001, -1] {
        let request = JoinRequest { session_timeout_ms, ..ask(1) };
        assert_eq!(script.refused(request), Refusal::InvalidSessionTimeout);
    }
    let mute = JoinRequest { protocols: offer(&[]), ..ask(1) };
    assert_eq!(script.refused(mute), Refusal::InconsistentGroupProtocol);
    let shapeless = JoinRequest { protocol_type: "", ..ask(1) };
    assert_eq!(script.refused(shapeless), Refusal::InconsistentGroupProtocol);
    assert!(script.groups.is_empty());
    assert_eq!(script.groups.poll_timeout().map(|it| it.0), Some(600_000), "only the sweep");
}

#[test]
fn a_member_that_shares_no_protocol_or_has_another_type_is_refused() {
    let mut script = Script::new();
    let all = script.stable(2);
    let request = JoinRequest { protocols: offer(&[("cooperative-sticky", b"")]), ..ask(3) };
    assert_eq!(script.refused(request), Refusal::InconsistentGroupProtocol);
    let request = JoinRequest { protocol_type: "connect", ..ask(3) };
    assert_eq!(script.refused(request), Refusal::InconsistentGroupProtocol);
    let known = JoinRequest {
        member_id: &all[1].me,
        protocols: offer(&[("cooperative-sticky", b"")]),
        ..ask(2)
    };
    let refused = Join::Refused(Refusal::InconsistentGroupProtocol, all[1].me.clone());
    assert_eq!(script.join(known), refused);
    assert_eq!(script.state(), GroupState::Stable);
}

#[test]
fn an_empty_group_takes_any_protocol_type() {
    let mut script = Script::new();
    let all = script.stable(1);
    script.leave(&[(&all[0].me, None)]);
    assert_eq!(script.state(), GroupState::Empty);
    let joined = script.joined(JoinRequest { protocol_type: "connect", ..ask(1) });
    assert_eq!((joined.protocol_type.as_str(), joined.generation), ("connect", 3));
}

#[test]
fn the_protocol_with_most_votes_among_those_that_all_offer_wins() {
    let mut script = Script::new();
    let all = [("a", &b"1a"[..]), ("b", b"1b"), ("c", b"1c")];
    let others = [("x", &b""[..]), ("c", b"2c"), ("b", b"2b")];
    let first = script.joined(JoinRequest { protocols: offer(&all), ..ask(1) });
    let second = script.parked(JoinRequest { protocols: offer(&others), ..ask(2) });
    let third = script.parked(JoinRequest { protocols: offer(&others), ..ask(3) });
    let again = JoinRequest { member_id: &first.me, protocols: offer(&all), ..ask(1) };
    let leader = script.joined(again);
    // b has the leader's vote (nobody else knows a), c has two; x is not common.
    assert_eq!(leader.protocol, "c");
    assert_eq!(
        leader.members.iter().map(|it| &it.1[..]).collect::<Vec<_>>(),
        [b"1c", b"2c", b"2c"]
    );
    assert_eq!((script.got(second).protocol, script.got(third).protocol), ("c".into(), "c".into()));
}

#[test]
fn a_tie_goes_to_the_preference_of_the_longest_standing_member() {
    let mut script = Script::new();
    let ab = [("a", &b""[..]), ("b", b"")];
    let ba = [("b", &b""[..]), ("a", b"")];
    let first = script.joined(JoinRequest { protocols: offer(&ab), ..ask(1) });
    script.parked(JoinRequest { protocols: offer(&ba), ..ask(2) });
    let again = JoinRequest { member_id: &first.me, protocols: offer(&ab), ..ask(1) };
    assert_eq!(script.joined(again).protocol, "a");
}

#[test]
fn the_initial_delay_gathers_members_and_is_extended_by_newcomers() {
    let config = GroupsConfig { initial_rebalance_delay_ms: 3_000, ..GroupsConfig::default() };
    let mut script = Script::with(config);
    let first = script.at(0).parked(ask(1));
    let second = script.at(2_000).parked(ask(2));
    assert_eq!(script.at(3_000).join_result(first), None, "somebody came: another delay");
    let third = script.at(5_000).parked(ask(3));
    assert_eq!(script.at(8_999).join_result(first), None);
    let leader = script.at(9_000).got(first);
    assert_eq!((leader.generation, leader.members.len()), (1, 3));
    assert_eq!(script.got(second).leader, leader.me);
    assert_eq!(script.got(third).generation, 1);
}

#[test]
fn the_initial_delay_is_extended_no_further_than_the_rebalance_timeout() {
    let config = GroupsConfig { initial_rebalance_delay_ms: 3_000, ..GroupsConfig::default() };
    let mut script = Script::with(config);
    let quick = |waiter| JoinRequest { rebalance_timeout_ms: 7_000, ..ask(waiter) };
    let first = script.at(0).parked(quick(1));
    for (at, waiter) in [(1_000, 2), (4_000, 3), (6_500, 4)] {
        script.at(at).parked(quick(waiter));
    }
    // 3 s, 3 s more, and the last second of the seven.
    assert_eq!(script.at(6_999).join_result(first), None);
    assert_eq!(script.at(7_000).got(first).members.len(), 4);
}

#[test]
fn a_new_member_whose_first_join_never_ends_is_given_up_after_five_minutes() {
    let mut script = Script::new();
    let patient = |waiter| JoinRequest { rebalance_timeout_ms: 3_600_000, ..ask(waiter) };
    let first = script.at(0).joined(patient(1));
    script.sync(1, &first, &[]);
    let second = script.at(1_000).parked(patient(2));
    for at in (2_000..301_000).step_by(5_000) {
        assert_eq!(script.at(at).beat(&first), Err(Refusal::RebalanceInProgress));
    }
    assert_eq!(script.at(300_999).join_result(second), None);
    assert_eq!(script.at(301_000).got_refusal(second), Refusal::UnknownMemberId);
    assert_eq!(script.woken(), [2]);
    assert_eq!(script.members(), [first.me]);
}
