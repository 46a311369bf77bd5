//! Every served API key, each with a load of its own that is counted. A key that is served and has
//! no row here fails the test. Everything is to be forwarded, so that what the broker notes and
//! tells of that is counted too.

use crate::administration::{
    alter_configs, create_partitions, create_topics, delete_records, delete_topics,
    describe_configs, incremental_alter_configs,
};
use crate::client::{Count, SEGMENT_ALLOCATIONS_MAX, World};
use crate::group_requests::{
    MEMBER_ID_REQUIRED, delete_group, join, leave, member_id_in, offset_delete, simple_commit, sync,
};
use crate::requests::{self, Ask, Producing};
use crate::{NONE, WARM_UP, requests_counted};
use ottla::api::TABLE;

/// What a key is asked in one step, given the number of the step; what has to come before and
/// after is counted as well.
type Step = fn(&mut World, usize) -> Count;

fn one(world: &mut World, ask: Ask) -> Count {
    world.scene(&[(0, ask)])
}

/// Creates a topic, does something with it, deletes it.
fn with_topic(world: &mut World, step: usize, asks: impl FnOnce(&str) -> Vec<Ask>) -> Count {
    let name = format!("topic-{}", step % 7);
    let mut count = one(world, create_topics(&[&name], false));
    for ask in asks(&name) {
        count += one(world, ask);
    }
    count += one(world, delete_topics(&[&name]));
    count
}

/// A member joins a group of its own, syncs, and leaves.
fn with_member(world: &mut World, _: usize) -> Count {
    let mut count = one(world, join("one", "", MEMBER_ID_REQUIRED));
    let id = member_id_in(world.answers(0));
    count += one(world, join("one", &id, 0));
    let mut r = join("", "", 0).body(world.answers(0));
    r.i32("throttle_time_ms").expect("it was checked");
    r.i16("error_code").expect("it was checked");
    let generation = r.i32("generation_id").expect("a generation");
    count += one(world, sync("one", &id, generation, &[(&id, &[1, 2])]));
    count += one(world, leave("one", &id));
    count
}

/// Each key: how often it is asked, and how.
const CASES: &[(i16, usize, Step)] = &[
    (0, 5, |world, step| {
        let mut producing = Producing::starting_at(-1, 100, 5 * step as i32);
        let asks: Vec<Ask> = (0..5).map(|_| producing.next()).collect();
        let (count, opened) = world.round(&asks);
        // Two files that are opened by name, counted by themselves, see `crate`.
        assert!(!opened || count.allocations <= SEGMENT_ALLOCATIONS_MAX, "{count:?}");
        if opened { NONE } else { count }
    }),
    (1, 1, |world, step| one(world, requests::fetch(step as i64 % 20, 0))),
    (2, 1, |world, step| {
        // The ends, the largest moment, and moments that lie in the log and behind it.
        let moments = [-1, -2, -3, 900, 1_000, 1_001];
        one(world, requests::list_offsets(moments[step % moments.len()]))
    }),
    (3, 1, |world, _| one(world, requests::metadata())),
    (8, 1, |world, step| {
        let member = world.member.clone();
        one(world, requests::offset_commit(&member, step as i64))
    }),
    (9, 1, |world, _| one(world, requests::offset_fetch())),
    (10, 1, |world, _| one(world, requests::find_coordinator())),
    (11, 4, with_member),
    (12, 1, |world, _| {
        let member = world.member.clone();
        one(world, requests::heartbeat(&member))
    }),
    (13, 4, with_member),
    (14, 4, with_member),
    (15, 1, |world, _| one(world, requests::describe_groups())),
    (16, 1, |world, _| one(world, requests::list_groups())),
    (18, 1, |world, _| one(world, requests::api_versions())),
    (19, 2, |world, step| with_topic(world, step, |_| Vec::new())),
    (20, 2, |world, step| with_topic(world, step, |_| Vec::new())),
    (21, 1, |world, _| one(world, delete_records("t", -1))),
    (22, 1, |world, _| one(world, requests::init_producer_id())),
    (23, 1, |world, _| one(world, requests::offset_for_leader_epoch())),
    (32, 2, |world, _| {
        let mut count = one(world, describe_configs(2, "t", None));
        count += one(world, describe_configs(4, "1", None));
        count
    }),
    (33, 1, |world, _| one(world, alter_configs("t"))),
    (37, 3, |world, step| with_topic(world, step, |name| vec![create_partitions(name, 4)])),
    (42, 2, |world, _| {
        let mut count = one(world, simple_commit("gone", 1, "note"));
        count += one(world, delete_group("gone"));
        count
    }),
    (44, 1, |world, _| one(world, incremental_alter_configs("t"))),
    (47, 2, |world, _| {
        let mut count = one(world, simple_commit("some", 1, "note"));
        count += one(world, offset_delete("some"));
        count
    }),
    (60, 1, |world, _| one(world, requests::describe_cluster())),
    (61, 1, |world, _| one(world, requests::describe_producers())),
    (75, 1, |world, _| one(world, requests::describe_topic_partitions())),
];

#[test]
fn every_served_key_has_a_case() {
    let served: Vec<i16> = TABLE.iter().map(|api| api.key).collect();
    let counted: Vec<i16> = CASES.iter().map(|(key, _, _)| *key).collect();
    assert_eq!(counted, served);
}

#[test]
fn no_key_allocates_or_frees() {
    for (key, requests, step) in CASES {
        let mut world = World::forwarding();
        world.fill(20);
        let (warm_up, counted) = (WARM_UP / requests, requests_counted() / requests);
        let mut cost = NONE;
        for number in 0..warm_up + counted {
            let count = step(&mut world, number);
            // Counted by itself, see `crate`.
            world.checkpoint();
            if number >= warm_up {
                cost += count;
            }
        }
        println!("API key {key}: {} requests, {cost:?}", counted * requests);
        assert_eq!(cost, NONE, "API key {key}, {} requests", counted * requests);
    }
}
