//! Committed offsets and the groups around them: who may delete, what expires, what survives a
//! restart.

use super::*;

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

impl Script {
    fn commit(&mut self, group_id: &str, topic: &str, offset: i64) {
        let commit = Commit { offset, leader_epoch: -1, metadata: "m", retention_ms: None };
        self.groups.commit_offset(group_id, topic, 0, commit, self.now).unwrap();
    }

    fn committed(&self, topic: &str) -> Option<i64> {
        self.groups.offsets().get("g", topic, 0).map(|row| row.offset)
    }

    /// Beats for `member` every five seconds up to `ms`, exclusively.
    fn alive_until(&mut self, ms: u64, member: &Joined) {
        for at in (self.now.mono.0..ms).step_by(5_000) {
            assert_eq!(self.at(at).beat(member), Ok(()));
        }
    }
}

fn subscribed(topics: &[&str]) -> Vec<u8> {
    let mut metadata = vec![0, 1];
    metadata.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        metadata.extend((topic.len() as i16).to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    metadata
}

#[test]
fn a_simple_commit_makes_a_group_that_lists_without_a_type() {
    let mut script = Script::new();
    assert_eq!(script.groups.validate_commit("g", "", None, -1, script.now), Ok(()));
    script.commit("g", "t", 5);
    let group = script.groups.list().next().unwrap();
    assert_eq!((group.group_id(), group.state().name(), group.protocol_type()), ("g", "Empty", ""));
    assert_eq!(group.members().len(), 0);
    assert_eq!(script.committed("t"), Some(5));
}

#[test]
fn the_empty_group_id_may_commit_as_it_always_could() {
    let mut script = Script::new();
    assert_eq!(script.groups.validate_commit("", "", None, -1, script.now), Ok(()));
    script.commit("", "t", 5);
    assert_eq!(script.groups.delete_group(""), Ok(()));
}

#[test]
fn offsets_expire_a_retention_after_the_group_became_empty() {
    let mut script = Script::new();
    let all = script.at(0).stable(1);
    script.commit("g", "t", 5);
    script.alive_until(2 * HOUR, &all[0]);
    script.leave(&[(&all[0].me, None)]);
    let emptied = script.now.mono.0;
    assert_eq!(script.at(emptied + 7 * DAY - 1).committed("t"), Some(5));
    // The first look after the retention takes them and then the group.
    script.at(emptied + 7 * DAY + 600_000);
    assert_eq!(script.committed("t"), None);
    assert!(script.groups.is_empty());
    assert_eq!(script.groups.poll_timeout(), None, "nothing left to wait for");
}

#[test]
fn commits_of_a_simple_group_expire_each_by_its_own_age() {
    let mut script = Script::new();
    script.commit("g", "old", 1);
    script.at(3 * DAY).commit("g", "new", 2);
    script.at(7 * DAY + 600_000);
    assert_eq!((script.committed("old"), script.committed("new")), (None, Some(2)));
    script.at(10 * DAY + 600_000);
    assert!(script.groups.is_empty());
}

#[test]
fn a_retention_of_the_commit_wins_over_the_groups() {
    let mut script = Script::new();
    let brief = Commit { offset: 1, leader_epoch: -1, metadata: "", retention_ms: Some(HOUR) };
    script.groups.commit_offset("g", "t", 0, brief, script.now).unwrap();
    script.commit("g", "u", 2);
    script.at(HOUR - 1);
    assert_eq!(script.committed("t"), Some(1));
    script.at(HOUR + 600_000);
    assert_eq!((script.committed("t"), script.committed("u")), (None, Some(2)));
}

#[test]
fn a_stable_consumer_group_keeps_what_it_subscribes_to_and_loses_the_rest() {
    let retention = GroupsConfig { offsets_retention_ms: HOUR, ..GroupsConfig::default() };
    let mut script = Script::with(retention);
    let metadata = subscribed(&["mine"]);
    let protocols = [("range", &metadata[..])];
    let all =
        script.stable_with(1, |waiter| JoinRequest { protocols: offer(&protocols), ..ask(waiter) });
    script.commit("g", "mine", 1);
    script.commit("g", "given up", 2);
    script.alive_until(2 * HOUR, &all[0]);
    assert_eq!((script.committed("mine"), script.committed("given up")), (Some(1), None));
}

#[test]
fn other_protocol_types_lose_nothing_while_they_live() {
    let retention = GroupsConfig { offsets_retention_ms: HOUR, ..GroupsConfig::default() };
    let mut script = Script::with(retention);
    let connect = JoinRequest { protocol_type: "connect", ..ask(1) };
    let joined = script.joined(connect);
    script.commit("g", "t", 1);
    for at in (0..2 * HOUR).step_by(5_000) {
        script.at(at).beat(&joined).unwrap();
        if at == 0 {
            let sync = SyncRequest {
                group_id: "g",
                member_id: &joined.me,
                instance_id: None,
                generation: 1,
                protocol_type: Some("connect"),
                protocol_name: Some("range"),
                assignments: offer(&[]),
                waiter: 1,
            };
            assert!(matches!(script.groups.sync(sync, script.now), SyncVerdict::Assigned(_)));
        }
    }
    assert_eq!(script.committed("t"), Some(1));
}

#[test]
fn a_group_without_offsets_goes_at_the_next_look() {
    let mut script = Script::new();
    let all = script.at(0).stable(1);
    script.leave(&[(&all[0].me, None)]);
    assert_eq!(script.at(599_999).state(), GroupState::Empty);
    assert_eq!(script.at(600_000).state(), GroupState::Dead);
}

#[test]
fn ages_start_anew_at_a_restart_whatever_the_clock_says() {
    let mut script = Script::new();
    script.commit("g", "t", 5);
    let mut restarted = Script::new();
    restarted.now.wall_ms = 4_000_000_000_000;
    for row in script.groups.offsets().rows() {
        restarted.groups.restore_offset(&row, restarted.now).unwrap();
    }
    let row = restarted.groups.offsets().get("g", "t", 0).unwrap();
    assert_eq!((row.offset, row.metadata), (5, "m"));
    assert_eq!(row.commit_wall_ms, 1_700_000_000_000);
    assert_eq!(restarted.state(), GroupState::Empty);
    restarted.at(7 * DAY - 600_001);
    assert_eq!(restarted.committed("t"), Some(5));
    assert_eq!(restarted.at(7 * DAY + 600_000).committed("t"), None);
}

#[test]
fn groups_are_deleted_only_when_nobody_is_in_them() {
    let mut script = Script::new();
    assert_eq!(script.groups.delete_group("g"), Err(Refusal::GroupIdNotFound));
    let all = script.stable(1);
    script.commit("g", "t", 5);
    assert_eq!(script.groups.delete_group("g"), Err(Refusal::NonEmptyGroup));
    script.leave(&[(&all[0].me, None)]);
    assert_eq!(script.groups.delete_group("g"), Ok(()));
    assert_eq!((script.state(), script.committed("t")), (GroupState::Dead, None));
    assert_eq!(script.groups.delete_group("g"), Err(Refusal::GroupIdNotFound));
}

#[test]
fn offsets_of_subscribed_topics_cannot_be_deleted() {
    let mut script = Script::new();
    assert_eq!(script.groups.validate_offset_delete("g"), Err(Refusal::GroupIdNotFound));
    let (ours, theirs) = (subscribed(&["a"]), subscribed(&["b", "c"]));
    script.stable_with(2, |waiter| {
        let protocols: &'static [Offered<'static>] = match waiter {
            1 => Vec::leak(vec![("range", &*Vec::leak(ours.clone()))]),
            _ => Vec::leak(vec![("range", &*Vec::leak(theirs.clone()))]),
        };
        JoinRequest { protocols: offer(protocols), ..ask(waiter) }
    });
    script.commit("g", "a", 1);
    script.commit("g", "d", 1);
    for topic in ["a", "b", "c"] {
        let verdict = script.groups.delete_offset("g", topic, 0);
        assert_eq!(verdict, Err(Refusal::GroupSubscribedToTopic), "{topic}");
    }
    assert_eq!(script.groups.delete_offset("g", "d", 0), Ok(true));
    assert_eq!(script.groups.delete_offset("g", "d", 0), Ok(false));
    assert_eq!(script.committed("a"), Some(1));
}

#[test]
fn unreadable_subscriptions_count_as_everything_and_empty_groups_as_nothing() {
    let mut script = Script::new();
    let all = script.stable(1);
    script.commit("g", "t", 1);
    let subscribed = Err(Refusal::GroupSubscribedToTopic);
    assert_eq!(script.groups.delete_offset("g", "t", 0), subscribed, "empty metadata");
    script.leave(&[(&all[0].me, None)]);
    assert_eq!(script.groups.delete_offset("g", "t", 0), Ok(true));
}

#[test]
fn offsets_of_a_live_connect_group_cannot_be_deleted_at_all() {
    let mut script = Script::new();
    script.joined(JoinRequest { protocol_type: "connect", ..ask(1) });
    assert_eq!(script.groups.validate_offset_delete("g"), Err(Refusal::NonEmptyGroup));
    assert_eq!(script.groups.delete_offset("g", "t", 0), Err(Refusal::NonEmptyGroup));
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let mut script = Script::new();
    script.commit("g", "t", 1);
    script.commit("h", "t", 1);
    script.commit("h", "u", 1);
    assert_eq!(script.groups.topic_deleted("t"), 2);
    assert_eq!(script.groups.offsets().len(), 1);
}

#[test]
fn groups_are_described_with_metadata_only_while_stable() {
    let mut script = Script::new();
    assert!(script.groups.describe("g").is_none());
    let metadata = [("range", &b"meta"[..])];
    let all = script.stable_with(1, |waiter| JoinRequest {
        protocols: offer(&metadata),
        instance_id: Some("i"),
        ..ask(waiter)
    });
    let group = script.groups.describe("g").unwrap();
    assert_eq!((group.state().name(), group.protocol_data()), ("Stable", "range"));
    assert_eq!((group.protocol_type(), group.generation()), ("consumer", 1));
    let member = group.members().next().unwrap();
    let expected = MemberView {
        member_id: &all[0].me,
        instance_id: Some("i"),
        client_id: "c",
        client_host: "/10.0.0.1",
        metadata: b"meta",
        assignment: b"1",
    };
    assert_eq!(member, expected);
    script.parked(JoinRequest { protocols: offer(&metadata), ..ask(2) });
    let group = script.groups.describe("g").unwrap();
    assert_eq!((group.state().name(), group.protocol_data()), ("PreparingRebalance", ""));
    assert_eq!(group.members().len(), 2);
    assert!(group.members().all(|member| member.metadata.is_empty()));
}
