//! Tests of the group's requests together: several connections to one broker, woken as the server
//! wakes them.
//!
//! Each step is a request or a wake-up, in the order in which a server would see them. The rules
//! themselves are tested on the state machine; here it is parking, waking and answering.

use super::testing::{TestBroker, body, request};
use super::{Outcome, Waiting};
use crate::broker::Slot;
use crate::wire::Reader;

const JOIN: i16 = 11;
const HEARTBEAT: i16 = 12;
const LEAVE: i16 = 13;
const SYNC: i16 = 14;

/// A JoinGroup v9 for group "g".
fn join(member_id: &str, instance_id: Option<&str>) -> Vec<u8> {
    request(JOIN, 9, |w| {
        w.string("g");
        w.i32(10_000);
        w.i32(20_000);
        w.string(member_id);
        w.nullable_string(instance_id);
        w.string("consumer");
        w.array(1);
        w.string("range");
        w.bytes(&[1]);
        w.tags();
        w.nullable_string(None);
        w.tags();
    })
}

/// A SyncGroup v5 for group "g".
fn sync(member_id: &str, generation: i32, assignments: &[(&str, u8)]) -> Vec<u8> {
    request(SYNC, 5, |w| {
        w.string("g");
        w.i32(generation);
        w.string(member_id);
        w.nullable_string(None);
        w.nullable_string(Some("consumer"));
        w.nullable_string(Some("range"));
        w.array(assignments.len());
        for (to, byte) in assignments {
            w.string(to);
            w.bytes(&[*byte]);
            w.tags();
        }
        w.tags();
    })
}

/// What a JoinGroup v9 was answered.
#[derive(Debug, PartialEq, Eq)]
struct Joined {
    code: i16,
    generation: i32,
    leader: String,
    skip_assignment: bool,
    member_id: String,
    members: usize,
}

fn joined(answer: &[u8]) -> Joined {
    let mut r = body(answer, JOIN, 9);
    r.i32("throttle").unwrap();
    let code = r.i16("error").unwrap();
    let generation = r.i32("generation").unwrap();
    r.nullable_string("protocol_type").unwrap();
    r.nullable_string("protocol_name").unwrap();
    Joined {
        code,
        generation,
        leader: r.string("leader").unwrap().to_owned(),
        skip_assignment: r.bool("skip_assignment").unwrap(),
        member_id: r.string("member_id").unwrap().to_owned(),
        members: r.array("members").unwrap(),
    }
}

/// Error code and assignment of a SyncGroup v5.
fn assigned(answer: &[u8]) -> (i16, Vec<u8>) {
    let mut r: Reader<'_> = body(answer, SYNC, 5);
    r.i32("throttle").unwrap();
    let code = r.i16("error").unwrap();
    r.nullable_string("protocol_type").unwrap();
    r.nullable_string("protocol_name").unwrap();
    (code, r.bytes("assignment").unwrap().to_vec())
}

fn heartbeat(test: &mut TestBroker, slot: Slot, member_id: &str, generation: i32) -> i16 {
    let frame = request(HEARTBEAT, 0, |w| {
        w.string("g");
        w.i32(generation);
        w.string(member_id);
    });
    let (_, answer) = test.ask_from(slot, &frame);
    i16::from_be_bytes([answer[0], answer[1]])
}

/// Sends a request that has to be parked.
fn parks(test: &mut TestBroker, slot: Slot, frame: &[u8]) {
    let (outcome, answer) = test.ask_from(slot, frame);
    let Outcome::Park(parked) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(parked.waiting, Waiting::Join(_) | Waiting::Sync(_)));
    assert_eq!(parked.deadline, None, "the group's own timers end the wait");
    assert!(answer.is_empty());
}

/// Sends a request that has to be answered.
fn answers(test: &mut TestBroker, slot: Slot, frame: &[u8]) -> Vec<u8> {
    let (outcome, answer) = test.ask_from(slot, frame);
    assert_eq!(outcome, Outcome::Now);
    answer
}

/// The server's part: the next connection to wake is `slot`; its request is run again.
fn wakes(test: &mut TestBroker, slot: Slot, frame: &[u8]) -> Vec<u8> {
    assert_eq!(test.broker.pop_woken(), Some(slot));
    answers(test, slot, frame)
}

/// A new member comes over `slot` and gets its id (KIP-394).
fn new_id(test: &mut TestBroker, slot: Slot) -> String {
    let answer = joined(&answers(test, slot, &join("", None)));
    assert_eq!(answer.code, 79);
    answer.member_id
}

/// Two members over connections 1 and 2, the first one leading, in generation 2; nobody synced.
fn two_members(test: &mut TestBroker) -> (String, String) {
    let one = new_id(test, 1);
    let first = joined(&answers(test, 1, &join(&one, None)));
    assert_eq!((first.generation, first.members), (1, 1));
    let two = new_id(test, 2);
    parks(test, 2, &join(&two, None));
    assert_eq!(test.broker.pop_woken(), None);
    assert_eq!(heartbeat(test, 1, &one, 1), 27, "asked to join again");
    let leader = joined(&answers(test, 1, &join(&one, None)));
    assert_eq!((leader.generation, leader.members, &leader.leader), (2, 2, &one));
    let follower = joined(&wakes(test, 2, &join(&two, None)));
    assert_eq!((follower.generation, follower.members, &follower.leader), (2, 0, &one));
    assert_eq!(follower.member_id, two);
    (one, two)
}

/// The same, with the assignments 7 and 8.
fn two_stable_members(test: &mut TestBroker) -> (String, String) {
    let (one, two) = two_members(test);
    parks(test, 2, &sync(&two, 2, &[]));
    let leaders = answers(test, 1, &sync(&one, 2, &[(&one, 7), (&two, 8)]));
    assert_eq!(assigned(&leaders), (0, vec![7]));
    assert_eq!(assigned(&wakes(test, 2, &sync(&two, 2, &[]))), (0, vec![8]));
    (one, two)
}

#[test]
fn a_second_member_parks_until_the_first_comes_back_and_both_get_their_share() {
    let mut test = TestBroker::new();
    let (one, two) = two_stable_members(&mut test);
    assert_eq!(heartbeat(&mut test, 1, &one, 2), 0);
    assert_eq!(heartbeat(&mut test, 2, &two, 2), 0);
    assert_eq!(test.broker.pop_woken(), None);
}

/// Without an id to recognise it by, a request that joined again would make a third member.
#[test]
fn a_request_that_is_run_again_does_not_join_again() {
    let mut test = TestBroker::new();
    let one = test.member();
    let second = request(JOIN, 0, |w| {
        w.string("g");
        w.i32(10_000);
        w.string("");
        w.string("consumer");
        w.array(1);
        w.string("range");
        w.bytes(&[1]);
    });
    parks(&mut test, 2, &second);
    parks(&mut test, 2, &second);
    answers(&mut test, 1, &join(&one, None));
    let answer = wakes(&mut test, 2, &second);
    assert_eq!(answer[..6], [0, 0, 0, 0, 0, 2], "no error, generation 2");
    assert_eq!(test.broker.groups.describe("g").unwrap().members().len(), 2);
}

#[test]
fn who_leaves_sets_the_others_free_to_go_on() {
    let mut test = TestBroker::new();
    let (one, two) = two_stable_members(&mut test);
    let leave = request(LEAVE, 0, |w| {
        w.string("g");
        w.string(&two);
    });
    assert_eq!(answers(&mut test, 2, &leave), [0, 0]);
    assert_eq!(heartbeat(&mut test, 1, &one, 2), 27);
    let alone = joined(&answers(&mut test, 1, &join(&one, None)));
    assert_eq!((alone.generation, alone.members), (3, 1));
    assert_eq!(heartbeat(&mut test, 2, &two, 2), 25);
}

#[test]
fn a_leader_that_dies_before_its_sync_sets_the_follower_free_to_rebalance() {
    let mut test = TestBroker::new();
    let (one, two) = two_members(&mut test);
    parks(&mut test, 2, &sync(&two, 2, &[]));
    test.broker.connection_closed(1);
    test.now.mono = test.now.mono.saturating_add(10_001);
    test.broker.handle_timeout(test.now);
    let told = assigned(&wakes(&mut test, 2, &sync(&two, 2, &[])));
    assert_eq!(told, (27, vec![]));
    let leader = joined(&answers(&mut test, 2, &join(&two, None)));
    assert_eq!((leader.generation, leader.members, leader.leader), (3, 1, two));
    assert_eq!(heartbeat(&mut test, 1, &one, 2), 25);
}

#[test]
fn a_parked_join_ends_with_the_rebalance_timeout_of_those_who_stay_away() {
    let mut test = TestBroker::new();
    let one = new_id(&mut test, 1);
    answers(&mut test, 1, &join(&one, None));
    let two = new_id(&mut test, 2);
    parks(&mut test, 2, &join(&two, None));
    let due = test.broker.groups.poll_timeout().unwrap();
    test.now.mono = due;
    test.broker.handle_timeout(test.now);
    let leader = joined(&wakes(&mut test, 2, &join(&two, None)));
    assert_eq!((leader.generation, leader.members, leader.leader), (2, 1, two));
}

#[test]
fn a_connection_that_closed_while_parked_is_not_woken() {
    let mut test = TestBroker::new();
    let one = new_id(&mut test, 1);
    answers(&mut test, 1, &join(&one, None));
    let two = new_id(&mut test, 2);
    parks(&mut test, 2, &join(&two, None));
    test.broker.connection_closed(2);
    test.parked.clear();
    answers(&mut test, 1, &join(&one, None));
    assert_eq!(test.broker.pop_woken(), None);
}

#[test]
fn a_static_leader_that_comes_back_keeps_its_place_and_fences_its_former_self() {
    let mut test = TestBroker::new();
    let first = joined(&answers(&mut test, 1, &join("", Some("i"))));
    assert_eq!((first.code, first.generation, first.members), (0, 1, 1));
    let id = first.member_id;
    let share = assigned(&answers(&mut test, 1, &sync(&id, 1, &[(&id, 7)])));
    assert_eq!(share, (0, vec![7]));
    let back = joined(&answers(&mut test, 2, &join("", Some("i"))));
    assert_eq!((back.code, back.generation, back.skip_assignment), (0, 1, true));
    assert_ne!(back.member_id, id);
    let share = assigned(&answers(&mut test, 2, &sync(&back.member_id, 1, &[])));
    assert_eq!(share, (0, vec![7]), "the same without a rebalance");
    assert_eq!(joined(&answers(&mut test, 1, &join(&id, Some("i")))).code, 82);
}

/// A client that lost patience asks again over another connection: the older request ends, and
/// does not push the newer one out in turn.
#[test]
fn of_two_syncs_of_one_member_the_newer_gets_the_assignment() {
    let mut test = TestBroker::new();
    let (one, two) = two_members(&mut test);
    parks(&mut test, 2, &sync(&two, 2, &[]));
    parks(&mut test, 3, &sync(&two, 2, &[]));
    assert_eq!(assigned(&wakes(&mut test, 2, &sync(&two, 2, &[]))), (27, vec![]));
    answers(&mut test, 1, &sync(&one, 2, &[(&one, 7), (&two, 8)]));
    assert_eq!(assigned(&wakes(&mut test, 3, &sync(&two, 2, &[]))), (0, vec![8]));
}
