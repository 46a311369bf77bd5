//! Scripts: lives of groups, step by step, in which every step carries a time.
//!
//! The clock of a [`Script`] only goes where a step says, and every deadline on the way fires at
//! its own millisecond, as it would in an event loop that is never late.

mod bounds;
mod joining;
mod offsets;
mod rebalancing;
mod room;
mod static_members;

use super::*;
use crate::state::offsets::Commit;

/// What a JoinGroup came to, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) protocol_type: String,
    pub(super) protocol: String,
    pub(super) leader: String,
    pub(super) me: String,
    pub(super) skip: bool,
    /// Member id and metadata.
    pub(super) members: Vec<(String, Vec<u8>)>,
}

impl Joined {
    pub(super) fn of(answer: &JoinAnswer<'_>) -> Joined {
        let members = answer.members();
        Joined {
            generation: answer.generation,
            protocol_type: answer.protocol_type.to_owned(),
            protocol: answer.protocol_name.to_owned(),
            leader: answer.leader.to_owned(),
            me: answer.member_id.to_owned(),
            skip: answer.skip_assignment,
            members: members.map(|it| (it.member_id.to_owned(), it.metadata.to_owned())).collect(),
        }
    }

    fn leads(&self) -> bool {
        self.leader == self.me
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Join {
    Refused(Refusal, String),
    Parked(JoinTicket),
    Joined(Joined),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    Refused(Refusal),
    Parked(SyncTicket),
    Assigned(Vec<u8>),
}

/// A JoinGroup of a plain consumer, to be varied.
pub(super) fn ask(waiter: Waiter) -> JoinRequest<'static, Offer<'static>> {
    JoinRequest {
        group_id: "g",
        member_id: "",
        instance_id: None,
        client_id: "c",
        client_host: "/10.0.0.1",
        protocol_type: "consumer",
        protocols: offer(&[("range", b"")]),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        require_known_member_id: false,
        supports_skip_assignment: true,
        waiter,
    }
}

type Offered<'a> = (&'a str, &'a [u8]);

/// Protocols or assignments out of a slice, for requests that a script sends more than once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a>(&'a [Offered<'a>]);

impl<'a> Iterator for Offer<'a> {
    type Item = Offered<'a>;

    fn next(&mut self) -> Option<Offered<'a>> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}

pub(super) fn offer<'a>(offered: &'a [(&'a str, &'a [u8])]) -> Offer<'a> {
    Offer(offered)
}

/// Groups and their clock.
pub(super) struct Script {
    pub(super) groups: Groups,
    pub(super) now: Now,
}

/// As much room as no script needs that isn't about the lack of it.
pub(super) fn roomy() -> Sizes {
    Sizes {
        connections: 4_096,
        groups: 128,
        members: 256,
        member_bytes: 2 << 20,
        offsets: 16_384,
        offset_bytes: 1 << 20,
        ..Sizes::default()
    }
}

impl Script {
    fn new() -> Script {
        Script::with(GroupsConfig::default())
    }

    fn sized(sizes: &Sizes) -> Script {
        Script::of(GroupsConfig::default(), sizes)
    }

    pub(super) fn with(config: GroupsConfig) -> Script {
        Script::of(config, &roomy())
    }

    fn of(config: GroupsConfig, sizes: &Sizes) -> Script {
        let now = Now { mono: Millis(0), wall_ms: 1_700_000_000_000 };
        Script { groups: Groups::new(config, sizes, 7), now }
    }

    /// Goes to `ms`; what becomes due on the way happens on the way.
    pub(super) fn at(&mut self, ms: u64) -> &mut Script {
        assert!(ms >= self.now.mono.0, "a script goes forward");
        while let Some(due) = self.groups.poll_timeout().filter(|due| due.0 <= ms) {
            self.now.mono = self.now.mono.max(due);
            self.groups.handle_timeout(self.now, |_, _, _| true);
            let next = self.groups.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now.mono), "a timeout made no progress");
        }
        self.now.mono = Millis(ms);
        self
    }

    pub(super) fn join(&mut self, request: JoinRequest<'_, Offer<'_>>) -> Join {
        match self.groups.join(request, self.now) {
            JoinVerdict::Refused(refusal, member_id) => {
                Join::Refused(refusal, member_id.to_owned())
            }
            JoinVerdict::Parked(ticket) => Join::Parked(ticket),
            JoinVerdict::Joined(answer) => Join::Joined(Joined::of(&answer)),
        }
    }

    fn joined(&mut self, request: JoinRequest<'_, Offer<'_>>) -> Joined {
        match self.join(request) {
            Join::Joined(joined) => joined,
            other => panic!("not joined: {other:?}"),
        }
    }

    fn parked(&mut self, request: JoinRequest<'_, Offer<'_>>) -> JoinTicket {
        match self.join(request) {
            Join::Parked(ticket) => ticket,
            other => panic!("not parked: {other:?}"),
        }
    }

    fn refused(&mut self, request: JoinRequest<'_, Offer<'_>>) -> Refusal {
        match self.join(request) {
            Join::Refused(refusal, _) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The answer to a parked JoinGroup, if it is ready.
    pub(super) fn join_result(&self, ticket: JoinTicket) -> Option<Join> {
        match self.groups.join_result(ticket) {
            JoinResult::Pending => None,
            JoinResult::Refused(refusal) => Some(Join::Refused(refusal, String::new())),
            JoinResult::Joined(answer) => Some(Join::Joined(Joined::of(&answer))),
        }
    }

    fn got(&self, ticket: JoinTicket) -> Joined {
        match self.join_result(ticket) {
            Some(Join::Joined(joined)) => joined,
            other => panic!("not joined: {other:?}"),
        }
    }

    fn got_refusal(&self, ticket: JoinTicket) -> Refusal {
        match self.join_result(ticket) {
            Some(Join::Refused(refusal, _)) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// SyncGroup of the member that `joined` describes.
    pub(super) fn sync(&mut self, waiter: Waiter, joined: &Joined, gives: &[Offered<'_>]) -> Sync {
        let request = SyncRequest {
            group_id: "g",
            member_id: &joined.me,
            instance_id: None,
            generation: joined.generation,
            protocol_type: Some("consumer"),
            protocol_name: Some(&joined.protocol),
            assignments: gives.iter().copied(),
            waiter,
        };
        match self.groups.sync(request, self.now) {
            SyncVerdict::Refused(refusal) => Sync::Refused(refusal),
            SyncVerdict::Parked(ticket) => Sync::Parked(ticket),
            SyncVerdict::Assigned(answer) => Sync::Assigned(answer.assignment.to_owned()),
        }
    }

    fn sync_parked(&mut self, waiter: Waiter, joined: &Joined) -> SyncTicket {
        match self.sync(waiter, joined, &[]) {
            Sync::Parked(ticket) => ticket,
            other => panic!("not parked: {other:?}"),
        }
    }

    pub(super) fn sync_result(&self, ticket: SyncTicket) -> Option<Sync> {
        match self.groups.sync_result(ticket) {
            SyncResult::Pending => None,
            SyncResult::Refused(refusal) => Some(Sync::Refused(refusal)),
            SyncResult::Assigned(answer) => Some(Sync::Assigned(answer.assignment.to_owned())),
        }
    }

    fn beat(&mut self, joined: &Joined) -> Result<(), Refusal> {
        self.groups.heartbeat("g", &joined.me, None, joined.generation, self.now)
    }

    fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<Result<(), Refusal>> {
        let mut verdicts = Vec::new();
        let each = |_: &str, _: Option<&str>, verdict| verdicts.push(verdict);
        self.groups.leave("g", members.iter().copied(), self.now, each).unwrap();
        verdicts
    }

    fn commit_check(&mut self, joined: &Joined) -> Result<(), Refusal> {
        self.groups.validate_commit("g", &joined.me, None, joined.generation, self.now)
    }

    fn state(&self) -> GroupState {
        self.groups.describe("g").map_or(GroupState::Dead, |group| group.state())
    }

    fn members(&self) -> Vec<String> {
        let group = self.groups.describe("g");
        group.iter().flat_map(GroupView::members).map(|it| it.member_id.to_owned()).collect()
    }

    fn woken(&mut self) -> Vec<Waiter> {
        std::iter::from_fn(|| self.groups.pop_woken()).collect()
    }

    /// Members on waiters 1 to `count`, stable, each with its number as assignment; the first
    /// leads.
    fn stable(&mut self, count: u32) -> Vec<Joined> {
        self.stable_with(count, ask)
    }

    fn stable_with<'a>(
        &mut self,
        count: u32,
        request: impl Fn(Waiter) -> JoinRequest<'a, Offer<'a>>,
    ) -> Vec<Joined> {
        let first = self.joined(request(1));
        let followers: Vec<_> = (2..=count).map(|waiter| self.parked(request(waiter))).collect();
        let leader = if count == 1 {
            first
        } else {
            self.joined(JoinRequest { member_id: &first.me, ..request(1) })
        };
        let mut all = vec![leader];
        all.extend(followers.into_iter().map(|ticket| self.got(ticket)));
        let names: Vec<_> = (1..=count).map(|number| number.to_string()).collect();
        let gives = all.iter().zip(&names).map(|(it, name)| (it.me.as_str(), name.as_bytes()));
        let gives: Vec<_> = gives.collect();
        assert_eq!(self.sync(1, &all[0], &gives), Sync::Assigned(b"1".to_vec()));
        for (member, waiter) in all.iter().zip(1..).skip(1) {
            let own = waiter.to_string().into_bytes();
            assert_eq!(self.sync(waiter, member, &[]), Sync::Assigned(own));
        }
        self.woken();
        assert_eq!(self.state(), GroupState::Stable);
        all
    }
}
