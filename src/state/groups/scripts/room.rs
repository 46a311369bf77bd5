//! What happens when a table of all groups is full: who makes room, who is refused, and for how
//! long a flood shuts others out.

use super::*;
use crate::limits::{Ledger, MEMBER_SILENT_MS, PROGRAM_BYTES};

/// Small tables: four groups, six members, four ids.
fn tight() -> Sizes {
    Sizes { groups: 4, members: 6, pending_members: 4, member_bytes: 4096, ..roomy() }
}

fn asks_back<'a>(waiter: Waiter, group_id: &'a str) -> JoinRequest<'a, Offer<'a>> {
    JoinRequest { group_id, require_known_member_id: true, ..ask(waiter) }
}

impl Script {
    /// First round of a JoinGroup v4: the id to come back with.
    fn promised(&mut self, request: JoinRequest<'_, Offer<'_>>) -> String {
        match self.join(request) {
            Join::Refused(Refusal::MemberIdRequired, id) => id,
            other => panic!("no id: {other:?}"),
        }
    }

    fn exists(&self, group_id: &str) -> bool {
        self.groups.describe(group_id).is_some()
    }

    fn used(&self, name: &str) -> u64 {
        let mut usage = self.groups.usage();
        usage.find(|it| it.name == name).map_or(0, |it| it.used)
    }
}

#[test]
fn a_flood_of_new_groups_that_never_come_back_takes_only_its_own_places() {
    let mut script = Script::sized(&tight());
    let worker = script.stable(1).remove(0);
    for number in 0..10_000 {
        let name = format!("flood{number}");
        script.promised(asks_back(number, &name));
        assert!(script.groups.len() <= 4);
        if number % 100 == 0 {
            script.audit();
            assert_eq!(script.beat(&worker), Ok(()));
        }
        // Whoever comes in the middle of it gets in.
        if number % 1_000 == 0 {
            let id = script.promised(asks_back(7, "late"));
            script.joined(JoinRequest { member_id: &id, ..asks_back(7, "late") });
            script
                .groups
                .leave("late", [(&*id, None)].into_iter(), script.now, |_, _, _| ())
                .unwrap();
        }
    }
    assert_eq!(script.used("group.members.pending"), 3);
    script.audit();
}

#[test]
fn a_flood_of_ids_in_one_group_costs_no_other_group_its_own() {
    let mut script = Script::sized(&tight());
    let ours = script.promised(asks_back(1, "ours"));
    let first = script.promised(asks_back(2, "flood"));
    for _ in 0..1_000 {
        script.promised(asks_back(2, "flood"));
        script.audit();
    }
    let late = JoinRequest { member_id: &first, ..asks_back(2, "flood") };
    assert_eq!(script.refused(late), Refusal::UnknownMemberId, "the oldest was forgotten");
    script.joined(JoinRequest { member_id: &ours, ..asks_back(1, "ours") });
}

#[test]
fn a_rebalance_does_not_wait_for_an_id_that_made_room() {
    let mut script = Script::sized(&tight());
    let all = script.stable(1);
    script.promised(asks_back(2, "g"));
    let leader = script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    for name in ["a", "b", "c"] {
        script.promised(asks_back(3, name));
    }
    assert_eq!(script.join_result(leader), None);
    // Each group has one, and "g" has the oldest.
    script.promised(asks_back(3, "a"));
    assert_eq!(script.got(leader).generation, all[0].generation + 1);
    assert_eq!(script.woken(), [1]);
    script.audit();
}

#[test]
fn groups_whose_members_are_silent_make_room_and_those_at_work_do_not() {
    let mut script = Script::sized(&tight());
    let names = ["one", "two", "three", "four"];
    let long = |waiter, group_id| JoinRequest {
        group_id,
        session_timeout_ms: 1_800_000,
        rebalance_timeout_ms: 1_800_000,
        ..ask(waiter)
    };
    let mut ids = Vec::new();
    for (name, waiter) in names.into_iter().zip(1..) {
        ids.push(script.at(waiter.into()).joined(long(waiter, name)).me);
    }
    let late = long(9, "late");
    assert_eq!(script.at(MEMBER_SILENT_MS).refused(late), Refusal::GroupsFull);
    let beat = script.groups.heartbeat("one", &ids[0], None, 1, script.now);
    assert_eq!(beat, Ok(()));
    let commit = Commit { offset: 1, leader_epoch: -1, metadata: "", retention_ms: None };
    script.groups.commit_offset("two", "t", 0, commit, script.now).unwrap();
    assert_eq!(script.at(MEMBER_SILENT_MS + 2).refused(late), Refusal::GroupsFull);
    script.at(MEMBER_SILENT_MS + 3).joined(late);
    let there = ["one", "two", "three", "four", "late"].map(|name| script.exists(name));
    assert_eq!(there, [true, true, false, true, true]);
    let beat = script.groups.heartbeat("three", &ids[2], None, 1, script.now);
    assert_eq!(beat, Err(Refusal::UnknownMemberId));
    script.audit();
}

#[test]
fn of_a_full_table_of_members_those_go_first_whose_connection_went_with_their_first_join() {
    let mut script = Script::sized(&tight());
    let first = script.joined(ask(1));
    for waiter in 2..=6 {
        script.parked(ask(waiter));
    }
    let late = JoinRequest { group_id: "h", ..ask(7) };
    assert_eq!(script.refused(late), Refusal::GroupMaxSizeReached);
    assert!(!script.exists("h"), "a refused request leaves no group behind");
    script.groups.connection_closed(4);
    script.joined(late);
    assert_eq!((script.members().len(), script.used("group.members")), (5, 6));
    script.audit();
    // Members of the table go on.
    let again = JoinRequest { member_id: &first.me, ..ask(1) };
    assert_eq!(script.joined(again).members.len(), 5);
}

#[test]
fn a_member_that_is_silent_loses_its_place_to_a_new_one_and_the_others_share_its_work() {
    let mut script = Script::sized(&Sizes { members: 2, ..tight() });
    let long = |waiter| JoinRequest { session_timeout_ms: 1_800_000, ..ask(waiter) };
    let all = script.stable_with(2, long);
    let late = JoinRequest { group_id: "h", ..ask(3) };
    script.at(MEMBER_SILENT_MS - 1).beat(&all[0]).unwrap();
    assert_eq!(script.refused(late), Refusal::GroupMaxSizeReached);
    script.at(MEMBER_SILENT_MS).joined(late);
    assert_eq!(script.members(), [all[0].me.clone()]);
    assert_eq!(script.beat(&all[0]), Err(Refusal::RebalanceInProgress));
    assert_eq!(script.beat(&all[1]), Err(Refusal::UnknownMemberId));
    script.audit();
}

/// One who waits for the others is not silent, however long it takes.
#[test]
fn a_member_that_waits_over_an_open_connection_keeps_its_place() {
    let mut script = Script::sized(&Sizes { members: 2, ..tight() });
    let patient = |waiter| JoinRequest {
        rebalance_timeout_ms: 3_600_000,
        session_timeout_ms: 200_000,
        ..ask(waiter)
    };
    let first = script.joined(patient(1));
    script.parked(patient(2));
    script.at(100_000).beat(&first).unwrap_err();
    let late = JoinRequest { group_id: "h", ..ask(3) };
    assert_eq!(script.at(150_000).refused(late), Refusal::GroupMaxSizeReached);
}

#[test]
fn bytes_of_members_are_full_at_the_limit_and_not_before() {
    let own = "c-00000000-0000-4000-8000-000000000000".len() + "c".len() + "/10.0.0.1".len();
    let of_protocol = 2 + "range".len() + 4;
    let metadata = vec![7; 1_000];
    let bytes = own + of_protocol + metadata.len();
    for (member_bytes, fits) in [(2 * bytes, true), (2 * bytes - 1, false)] {
        let mut script = Script::sized(&Sizes { member_bytes, ..tight() });
        let protocols = [("range", &metadata[..])];
        let heavy = |waiter, group_id| JoinRequest {
            group_id,
            protocols: offer(&protocols),
            ..ask(waiter)
        };
        script.joined(heavy(1, "a"));
        let second = script.join(heavy(2, "b"));
        assert_eq!(matches!(second, Join::Joined(_)), fits);
        let refused = Join::Refused(Refusal::GroupMaxSizeReached, String::new());
        assert!(fits || second == refused);
        script.audit();
    }
}

#[test]
fn assignments_may_take_the_last_byte_in_any_order() {
    let mut script = Script::sized(&tight());
    let all = script.stable(2);
    let free = script.groups.tables.members.bytes_free();
    let both = free + 2;
    // First one has nearly all, then the other.
    for (ours, theirs) in [(both, 0), (0, both), (both / 2, both - both / 2)] {
        let leader = script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
        let follower = script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
        let leader = script.got(leader);
        let (ours, theirs) = (vec![1; ours], vec![2; theirs]);
        let gives = [(&*leader.me, &ours[..]), (&*follower.me, &theirs[..])];
        assert_eq!(script.sync(1, &leader, &gives), Sync::Assigned(ours.clone()));
        assert_eq!(script.sync(2, &follower, &[]), Sync::Assigned(theirs.clone()));
        assert_eq!(script.groups.tables.members.bytes_free(), 0);
        script.audit();
    }
    let leader = script.parked(JoinRequest { member_id: &all[0].me, ..ask(1) });
    script.joined(JoinRequest { member_id: &all[1].me, ..ask(2) });
    let leader = script.got(leader);
    let one_more = vec![0; both + 1];
    let refused = Sync::Refused(Refusal::AssignmentTooLarge);
    assert_eq!(script.sync(1, &leader, &[(&leader.me, &one_more)]), refused);
}

#[test]
fn more_waits_than_connections_are_refused() {
    let mut script = Script::sized(&Sizes { connections: 1, ..tight() });
    script.joined(ask(1));
    script.parked(ask(2));
    assert_eq!(script.refused(ask(3)), Refusal::GroupMaxSizeReached);
    script.groups.connection_closed(2);
    script.parked(ask(3));
}

#[test]
fn groups_take_as_much_memory_as_they_account_for() {
    let board = |name| Sizes::of(&crate::config::board_named(name).unwrap());
    let shipped = ["pi-zero", "gateway-1g", "desktop"].map(board);
    for sizes in shipped.into_iter().chain([tight(), roomy()]) {
        let mut ledger = Ledger::default();
        Groups::account(&sizes, &mut ledger);
        let mut groups = None;
        let config = GroupsConfig::default();
        let made = allocation_counter::measure(|| groups = Some(Groups::new(config, &sizes, 7)));
        assert!(made.bytes_total <= ledger.bytes(), "{} of {}", made.bytes_total, ledger.bytes());
        assert!(ledger.bytes() <= made.bytes_total + 512, "and hardly more");
        assert!(ledger.bytes() < sizes.memory_bytes - PROGRAM_BYTES);
        for row in ledger.rows() {
            println!("{:>8} × {:>4} = {:>8}  {}", row.count, row.bytes_each, row.bytes(), row.what);
        }
        println!("{:>26}", ledger.bytes());
    }
}
