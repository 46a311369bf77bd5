//! Consumer groups: rebalances, commits, questions and floods of those who never come back.
//!
//! Promises: after the first of them no round touches the heap, and each is made of whole answers
//! of the newest versions, checked one by one.

use crate::NONE;
use crate::client::{Count, World};
use crate::group_requests::*;
use crate::requests::Ask;

/// Members of the group that rebalances, each on a connection of its own; the first one leads.
const MEMBERS: usize = 3;
/// Rebalances that are counted: some 20 requests each.
const REBALANCES: usize = 1_500;
/// Lives of a group that only commits, from its first commit to its deletion: five requests each.
const LIVES: usize = 2_500;
/// JoinGroups of a flood.
const FLOOD: usize = 10_000;

/// What comes over which connection, and what it may be answered.
type Line = (usize, Ask);

struct Cast {
    ids: Vec<String>,
    generation: i32,
}

impl Cast {
    /// The first member comes alone, the others join it.
    fn new(world: &mut World) -> Cast {
        let mut cast = Cast { ids: Vec::new(), generation: 0 };
        for _ in 0..MEMBERS {
            cast.enter(world);
        }
        cast
    }

    fn client(index: usize) -> usize {
        index + 1
    }

    /// One more member: its id, its join, everybody else's join, everybody's sync.
    fn enter(&mut self, world: &mut World) -> Count {
        let newcomer = Cast::client(self.ids.len());
        let mut count = world.scene(&[(newcomer, join("cast", "", MEMBER_ID_REQUIRED))]);
        self.ids.push(member_id_in(world.answers(newcomer)));
        let mut lines = self.each(|id| join("cast", id, 0));
        lines.rotate_right(1);
        count += world.scene(&lines);
        self.generation += 1;
        count += self.share(world);
        count
    }

    /// Followers wait for the leader's assignment.
    fn share(&self, world: &mut World) -> Count {
        let shares: Vec<_> = (0..self.ids.len()).map(|n| vec![n as u8; 10 + 7 * n]).collect();
        let gives: Vec<_> =
            self.ids.iter().zip(&shares).map(|(id, share)| (id.as_str(), &share[..])).collect();
        let gives_of = |id: &str| if id == self.ids[0] { &gives[..] } else { &[] };
        let mut lines = self.each(|id| sync("cast", id, self.generation, gives_of(id)));
        lines.rotate_left(1);
        world.scene(&lines)
    }

    /// The last one leaves, and the others go on without it.
    fn leave(&mut self, world: &mut World) -> Count {
        let index = self.ids.len() - 1;
        let mut count = world.scene(&[(Cast::client(index), leave("cast", &self.ids[index]))]);
        self.ids.pop();
        let beats =
            |cast: &Cast, code: i16| cast.each(|id| beat("cast", id, cast.generation, code));
        count += world.scene(&beats(self, REBALANCE_IN_PROGRESS));
        count += world.scene(&self.each(|id| join("cast", id, 0)));
        self.generation += 1;
        count += self.share(world);
        count += world.scene(&beats(self, 0));
        count
    }

    /// The same from every member.
    fn each(&self, ask: impl Fn(&str) -> Ask) -> Vec<Line> {
        let ids = self.ids.iter().enumerate();
        ids.map(|(index, id)| (Cast::client(index), ask(id))).collect()
    }
}

#[test]
fn rebalances_in_which_members_come_and_go() {
    let mut world = World::new();
    let mut cast = Cast::new(&mut world);
    let mut cost = NONE;
    for round in 0..REBALANCES / 2 {
        let count = cast.leave(&mut world);
        let again = cast.enter(&mut world);
        // The first one of each kind finds buffers that have not been used.
        if round > 0 {
            cost += count;
            cost += again;
        }
    }
    assert_eq!(cast.generation as usize, MEMBERS + REBALANCES / 2 * 2);
    assert_eq!(cost, NONE);
}

#[test]
fn members_whose_sessions_end() {
    let mut world = World::new();
    let mut cast = Cast::new(&mut world);
    let mut cost = NONE;
    for round in 0..200 {
        cast.ids.pop();
        let mut count = NONE;
        for code in [0, 0, 0, REBALANCE_IN_PROGRESS] {
            count += world.pass(SESSION_TIMEOUT_MS / 4 + 500);
            count += world.scene(&cast.each(|id| beat("cast", id, cast.generation, code)));
        }
        count += world.scene(&cast.each(|id| join("cast", id, 0)));
        cast.generation += 1;
        count += cast.share(&mut world);
        count += cast.enter(&mut world);
        if round > 0 {
            cost += count;
        }
    }
    assert_eq!(cost, NONE);
}

#[test]
fn groups_that_commit_and_are_deleted() {
    let mut world = World::new();
    let mut cost = NONE;
    for number in 0..LIVES {
        // Names and metadata of many lengths: places are found for all of them.
        let group = format!("simple-{}", "x".repeat(number * 31 % 200));
        let note = "n".repeat(number * 17 % 90);
        let lines = [
            (0, simple_commit(&group, 1, &note)),
            (0, simple_commit(&group, 2, "")),
            (0, offset_fetch(&group, false)),
            (0, offset_fetch(&group, true)),
            (0, offset_delete(&group)),
            (0, simple_commit(&group, 3, &note)),
            (0, delete_group(&group)),
        ];
        let count = world.scene(&lines);
        world.checkpoint();
        // The journal's own memory has its largest size after a while, see `WARM_UP`.
        if number >= crate::WARM_UP / lines.len() {
            cost += count;
        }
    }
    assert_eq!(cost, NONE);
}

#[test]
fn groups_that_are_listed_and_described() {
    let mut world = World::new();
    let cast = Cast::new(&mut world);
    let mut cost = NONE;
    for round in 0..5_000 {
        let mut lines = cast.each(|id| beat("cast", id, cast.generation, 0));
        lines.extend([(0, list_groups()), (0, describe_groups(&["cast", "g"]))]);
        let count = world.scene(&lines);
        if round > 0 {
            cost += count;
        }
    }
    assert_eq!(cost, NONE);
}

#[test]
fn a_flood_of_new_groups_and_of_members_that_never_come_back() {
    let mut world = World::new();
    let mut cost = NONE;
    for number in 0..FLOOD {
        let new_group = format!("flood-{}-{number}", "x".repeat(number % 200));
        let count = world.scene(&[
            (1, join(&new_group, "", MEMBER_ID_REQUIRED)),
            (2, join("one", "", MEMBER_ID_REQUIRED)),
        ]);
        if number > 0 {
            cost += count;
        }
    }
    let worker = world.member.clone();
    cost += world.scene(&[(0, crate::requests::heartbeat(&worker))]);
    assert_eq!(cost, NONE);
}
