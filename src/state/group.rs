//! One group of the classic protocol: members come, agree on a generation, work, and go.
//!
//! ```text
//!            first join                all joined, or time is up
//!   Empty ───────────────▶ PreparingRebalance ───────────────▶ CompletingRebalance
//!     ▲                      │          ▲   ▲                     │     │
//!     └──── nobody is left ──┘          │   └─ join, leave, death ┘     │ leader's SyncGroup
//!                                       └───── join, leave, death ── Stable ◀┘
//! ```
//!
//! It does what Apache Kafka 4's coordinator does for classic groups (`GroupMetadataManager`,
//! `classic.ClassicGroup`), rule by rule; where it differs the comment says so. This file holds the
//! states, the timers and the turns of a rebalance; `group/join.rs` and `group/sync.rs` hold what
//! the requests do.
//!
//! Nothing here waits or reads a clock: time is an argument, an answer that is not ready is a
//! [`tickets::Ticket`]. Nor is anything allocated: members, ids and names of all groups are rows of
//! [`Tables`]. Absent on purpose: the new group protocol (KIP-848) and persistence of
//! members; after a restart they are told UNKNOWN_MEMBER_ID and join anew.

pub(in crate::state) mod join;
pub(in crate::state) mod pending;
mod subscription;
pub(in crate::state) mod sync;
pub(in crate::state) mod tickets;

pub use join::{JoinAnswer, JoinRequest, MemberView, Protocols};
pub use sync::{Assignments, SyncAnswer, SyncRequest};
pub use tickets::Waiter;

use super::members::{Member, MemberKey, Members, Roll};
use crate::fixed::{Text, Texts};
use crate::limits::{GROUP_ID_BYTES_MAX, GROUP_NAME_BYTES_MAX, MEMBER_ID_BYTES_MAX, Sizes};
use crate::time::Millis;
use pending::Pending;
use tickets::{Outcome, Ticket, Tickets};

/// Why a group request was not granted. `api` maps each to the error code in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such member, or no such group (UNKNOWN_MEMBER_ID 25). The client forgets its id and joins
    /// anew.
    UnknownMemberId,
    /// The member lives in another generation (ILLEGAL_GENERATION 22).
    IllegalGeneration,
    /// Join again (REBALANCE_IN_PROGRESS 27). Never an answer to JoinGroup.
    RebalanceInProgress,
    /// No protocol or another protocol type in common with the group (INCONSISTENT_GROUP_PROTOCOL
    /// 23).
    InconsistentGroupProtocol,
    /// Join again with the member id that comes along (MEMBER_ID_REQUIRED 79, KIP-394).
    MemberIdRequired,
    /// Another process took over this `group.instance.id` (FENCED_INSTANCE_ID 82, KIP-345).
    FencedInstanceId,
    /// Outside `group.min.session.timeout.ms` … `group.max.session.timeout.ms`
    /// (INVALID_SESSION_TIMEOUT 26).
    InvalidSessionTimeout,
    /// The group, or the memory for members, is full (GROUP_MAX_SIZE_REACHED 81).
    GroupMaxSizeReached,
    /// There is no room for one more group (JoinGroup: GROUP_MAX_SIZE_REACHED 81; OffsetCommit:
    /// INVALID_COMMIT_OFFSET_SIZE 28).
    GroupsFull,
    /// Empty where it must not be, or longer than we keep (INVALID_GROUP_ID 24).
    InvalidGroupId,
    /// The `group.instance.id` is longer than we keep (INVALID_REQUEST 42).
    InvalidInstanceId,
    /// There is no such group (GROUP_ID_NOT_FOUND 69).
    GroupIdNotFound,
    /// The group has members (NON_EMPTY_GROUP 68).
    NonEmptyGroup,
    /// A member subscribes to the topic (GROUP_SUBSCRIBED_TO_TOPIC 86).
    GroupSubscribedToTopic,
    /// The leader's assignments don't fit in memory (UNKNOWN_SERVER_ERROR -1, as Kafka where they
    /// don't fit in a record).
    AssignmentTooLarge,
    /// The metadata of a committed offset is longer than `offset.metadata.max.bytes`
    /// (OFFSET_METADATA_TOO_LARGE 12).
    OffsetMetadataTooLarge,
    /// There is no room for one more committed offset (INVALID_COMMIT_OFFSET_SIZE 28).
    OffsetsFull,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// No members; lingers for its committed offsets.
    Empty,
    /// Members are asked to join again.
    PreparingRebalance,
    /// All joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
    /// Does not exist: what DescribeGroups v0 to v5 calls an unknown group. No group is ever in it.
    Dead,
}

impl GroupState {
    /// Kafka's name, as in DescribeGroups and ListGroups.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// A member id, wherever one is on its way.
pub(super) type MemberId = heapless::String<MEMBER_ID_BYTES_MAX>;

/// What all groups share, allocated at start.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) members: Members,
    pub(super) pending: Pending,
    /// Ids, protocol types and protocols of groups: there is room for the longest ones.
    names: Texts,
    /// The id that was handed out last, for one answer.
    pub(super) handed_out: MemberId,
    /// The id that a static leader had before it was replaced, for one answer (see `join.rs`).
    former_member_id: MemberId,
}

/// Strings of a group: its id, its protocol type, its protocol.
const TEXTS_PER_GROUP: usize = 3;

/// Bytes of those.
const NAME_BYTES_PER_GROUP: usize = GROUP_ID_BYTES_MAX + 2 * GROUP_NAME_BYTES_MAX;

impl Tables {
    pub(super) fn new(sizes: &Sizes) -> Tables {
        let (texts, bytes) = (TEXTS_PER_GROUP * sizes.groups, NAME_BYTES_PER_GROUP * sizes.groups);
        Tables {
            members: Members::new(sizes),
            pending: Pending::new(sizes.pending_members),
            names: Texts::new(texts, bytes),
            handed_out: MemberId::new(),
            former_member_id: MemberId::new(),
        }
    }

    /// Bytes of the names of one group.
    pub(super) fn names_memory() -> usize {
        Texts::memory(TEXTS_PER_GROUP, NAME_BYTES_PER_GROUP)
    }
}

/// What an event may touch besides its group.
pub(super) struct Context<'c> {
    pub(super) tables: &'c mut Tables,
    pub(super) tickets: &'c mut Tickets,
    pub(super) now: Millis,
    pub(super) initial_rebalance_delay_ms: u64,
    /// Kafka's `group.max.size`.
    pub(super) size_max: usize,
}

/// When the rebalance that is being prepared ends at the latest.
#[derive(Clone, Copy, Debug)]
struct JoinTimer {
    deadline: Millis,
    /// In a group's first rebalance: the delay that runs, and what is left to extend it by.
    initial: Option<(u64, u64)>,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    id: Text,
    /// Its place in the table of groups, and a number that no other group ever had.
    place: (u32, u64),
    state: GroupState,
    generation: i32,
    protocol_type: Option<Text>,
    protocol_name: Option<Text>,
    leader: Option<MemberKey>,
    roll: Roll,
    join_timer: Option<JoinTimer>,
    sync_deadline: Option<Millis>,
    /// Somebody came during the initial delay, which extends it.
    new_member_added: bool,
    empty_since: Millis,
}

impl Group {
    /// A group without members; `None` if there is no room for its id.
    pub(super) fn new(
        id: &str,
        place: (u32, u64),
        now: Millis,
        tables: &mut Tables,
    ) -> Option<Group> {
        Some(Group {
            id: tables.names.put(id.as_bytes())?,
            place,
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            roll: Roll::default(),
            join_timer: None,
            sync_deadline: None,
            new_member_added: false,
            empty_since: now,
        })
    }

    /// Gives back all that it holds; who waits for it learns that it is gone.
    pub(super) fn dissolve(&mut self, tables: &mut Tables, tickets: &mut Tickets) {
        while let Some(key) = tables.members.find_key(self.roll, |_| true) {
            self.take_out(key, tables, tickets);
        }
        tables.pending.remove_group(self.place.0);
        for text in [Some(self.id), self.protocol_type, self.protocol_name].into_iter().flatten() {
            tables.names.free(text);
        }
    }

    /// The number of a group that is in its place now.
    pub(super) fn placed(&mut self, slot: u32) {
        self.place.0 = slot;
    }

    pub(super) fn id<'a>(&self, tables: &'a Tables) -> &'a str {
        tables.names.str(self.id)
    }

    /// Its id, for comparing.
    pub(super) fn id_bytes<'a>(&self, tables: &'a Tables) -> &'a [u8] {
        tables.names.get(self.id)
    }

    pub(super) fn number(&self) -> u64 {
        self.place.1
    }

    pub(super) fn state(&self) -> GroupState {
        self.state
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    pub(super) fn protocol_type<'a>(&self, tables: &'a Tables) -> Option<&'a str> {
        self.protocol_type.map(|text| tables.names.str(text))
    }

    pub(super) fn protocol_name<'a>(&self, tables: &'a Tables) -> Option<&'a str> {
        self.protocol_name.map(|text| tables.names.str(text))
    }

    /// Its members' chain.
    pub(super) fn roll(&self) -> Roll {
        self.roll
    }

    /// Nobody is in it; somebody may be about to come.
    pub(super) fn is_empty(&self) -> bool {
        self.state == GroupState::Empty
    }

    /// Nobody is in it and nobody is about to come.
    pub(super) fn is_unused(&self, tables: &Tables) -> bool {
        self.is_empty() && tables.pending.is_none(self.place.0)
    }

    /// Whether it ever had members.
    pub(super) fn is_fresh(&self) -> bool {
        self.protocol_type.is_none()
    }

    fn is_consumer_group(&self, tables: &Tables) -> bool {
        self.protocol_type(tables) == Some("consumer")
    }

    /// The earliest moment at which something must happen without being asked for.
    pub(super) fn deadline(&self, tables: &Tables) -> Option<Millis> {
        let members = tables.members.iter(self.roll).filter_map(Member::deadline);
        let timers = [
            tables.pending.deadline(self.place.0),
            self.join_timer.map(|timer| timer.deadline),
            self.sync_due(tables),
        ];
        members.chain(timers.into_iter().flatten()).min()
    }

    /// The deadline for SyncGroup, while somebody owes one.
    fn sync_due(&self, tables: &Tables) -> Option<Millis> {
        let owed = || tables.members.iter(self.roll).any(|member| member.sync_pending);
        self.sync_deadline.filter(|_| owed())
    }

    /// Lets everything happen that is due, in the order in which it became due.
    ///
    /// It ends: each turn removes somebody or moves a timer to after `now`.
    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(due) = self.deadline(cx.tables).filter(|deadline| *deadline <= cx.now) {
            let is_due = |member: &Member| member.deadline() == Some(due);
            if cx.tables.pending.remove_due(self.place.0, due) {
                self.complete_if_all_joined(cx);
            } else if let Some(key) = cx.tables.members.find_key(self.roll, is_due) {
                self.expel(key, cx);
            } else if let Some(timer) = self.join_timer.filter(|timer| timer.deadline == due) {
                self.join_timer_fired(timer, cx);
            } else {
                self.sync_timer_fired(cx);
            }
        }
    }

    /// Takes a member out that was not heard of; the others share its work.
    pub(super) fn expel(&mut self, key: MemberKey, cx: &mut Context<'_>) {
        self.remove_member(key, cx);
        self.member_gone(cx);
    }

    /// Forgets the oldest id that was handed out, to make room.
    pub(super) fn forget_pending(&mut self, cx: &mut Context<'_>) {
        if cx.tables.pending.remove_oldest(self.place.0) {
            self.complete_if_all_joined(cx);
        }
    }

    /// Kafka's `tryCompleteInitialRebalanceElseSchedule`: while new members keep coming, a first
    /// rebalance waits a little longer, at most the rebalance timeout.
    fn join_timer_fired(&mut self, timer: JoinTimer, cx: &mut Context<'_>) {
        match timer.initial {
            Some((delay_ms, remaining_ms)) if self.new_member_added && remaining_ms > 0 => {
                self.new_member_added = false;
                let next_delay_ms = cx.initial_rebalance_delay_ms.min(remaining_ms).max(1);
                let left_ms = remaining_ms.saturating_sub(delay_ms);
                let deadline = cx.now.saturating_add(next_delay_ms);
                self.join_timer =
                    Some(JoinTimer { deadline, initial: Some((next_delay_ms, left_ms)) });
            }
            _ => self.complete_join(cx),
        }
    }

    /// Kafka's `expirePendingSync`: who was told of the generation and did not sync is thrown out,
    /// static members as well.
    fn sync_timer_fired(&mut self, cx: &mut Context<'_>) {
        while let Some(key) = cx.tables.members.find_key(self.roll, |it| it.sync_pending) {
            self.remove_member(key, cx);
        }
        self.sync_deadline = None;
        self.prepare_rebalance(cx);
    }

    /// Takes a member out; what it still waits for is answered with UNKNOWN_MEMBER_ID, so that a
    /// client that is alive joins anew. (Kafka leaves a parked SyncGroup of such a member without
    /// an answer.)
    fn remove_member(&mut self, key: MemberKey, cx: &mut Context<'_>) {
        self.take_out(key, cx.tables, cx.tickets);
    }

    fn take_out(&mut self, key: MemberKey, tables: &mut Tables, tickets: &mut Tickets) {
        let Some(owed) = tables.members.remove(&mut self.roll, key) else { return };
        for ticket in owed.join.into_iter().chain(owed.sync) {
            tickets.answer(ticket, Outcome::Refused(Refusal::UnknownMemberId));
        }
        if self.leader == Some(key) {
            self.leader = tables.members.find_key(self.roll, |_| true);
        }
    }

    /// After a member died: the others share its work, or need not wait for it any longer.
    fn member_gone(&mut self, cx: &mut Context<'_>) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            _ => self.complete_if_all_joined(cx),
        }
    }

    fn all_joined(&self, tables: &Tables) -> bool {
        let joined = |member: &Member| member.join.is_some();
        tables.pending.is_none(self.place.0) && tables.members.iter(self.roll).all(joined)
    }

    fn complete_if_all_joined(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::PreparingRebalance && self.all_joined(cx.tables) {
            self.complete_join(cx);
        }
    }

    /// Kafka's `maybePrepareRebalanceOrCompleteJoin`.
    fn rebalance_or_complete(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::PreparingRebalance {
            self.maybe_complete_join(cx);
        } else {
            self.prepare_rebalance(cx);
        }
    }

    /// Kafka's `maybeCompleteJoinPhase`: a group's first rebalance takes its delay even when all
    /// have joined.
    fn maybe_complete_join(&mut self, cx: &mut Context<'_>) {
        if self.join_timer.is_none_or(|timer| timer.initial.is_none()) {
            self.complete_if_all_joined(cx);
        }
    }

    /// Asks everybody to join again.
    fn prepare_rebalance(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.reset_assignments(Refusal::RebalanceInProgress, cx);
        }
        self.sync_deadline = None;
        let initial = self.state == GroupState::Empty;
        self.state = GroupState::PreparingRebalance;
        self.new_member_added = false;
        let timeout_ms = cx.tables.members.rebalance_timeout_ms(self.roll);
        if initial && cx.initial_rebalance_delay_ms > 0 {
            let delay_ms = cx.initial_rebalance_delay_ms;
            let left_ms = timeout_ms.saturating_sub(delay_ms);
            let deadline = cx.now.saturating_add(delay_ms);
            self.join_timer = Some(JoinTimer { deadline, initial: Some((delay_ms, left_ms)) });
        } else if initial || self.all_joined(cx.tables) {
            // Kafka's delay of 0 completes a first rebalance at the next tick, whoever is pending.
            self.complete_join(cx);
        } else {
            self.restart_join_timer(cx);
        }
    }

    fn restart_join_timer(&mut self, cx: &Context<'_>) {
        let timeout_ms = cx.tables.members.rebalance_timeout_ms(self.roll).max(1);
        self.join_timer =
            Some(JoinTimer { deadline: cx.now.saturating_add(timeout_ms), initial: None });
    }

    /// Ends the wait for members and starts the next generation with those that joined.
    ///
    /// Dynamic members that did not join again are thrown out. Static ones stay until their session
    /// ends (KIP-345): they may be restarting, and keep what they had.
    fn complete_join(&mut self, cx: &mut Context<'_>) {
        self.join_timer = None;
        let stayed_away = |it: &Member| it.join.is_none() && !it.is_static;
        while let Some(key) = cx.tables.members.find_key(self.roll, stayed_away) {
            self.remove_member(key, cx);
        }
        if !self.roll.is_empty() && !self.elect_joined_leader(cx.tables) {
            // Only static members are left and none of them came: wait on, until one does or all
            // sessions have ended.
            self.restart_join_timer(cx);
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.roll.is_empty() {
            self.set_protocol(None, cx.tables);
            self.state = GroupState::Empty;
            self.empty_since = cx.now;
            return;
        }
        let mut chosen = heapless::Vec::<u8, GROUP_NAME_BYTES_MAX>::new();
        let name = cx.tables.members.select_protocol(self.roll);
        assert!(
            name.is_some_and(|name| chosen.extend_from_slice(name).is_ok()),
            "every join kept one protocol in common"
        );
        self.set_protocol(Some(&chosen), cx.tables);
        self.state = GroupState::CompletingRebalance;
        let outcome = Outcome::Answered { generation: self.generation };
        cx.tables.members.each(self.roll, |member| {
            if let Some(ticket) = member.join.take() {
                cx.tickets.answer(ticket, outcome);
            }
            member.touch(cx.now);
            member.is_new = false;
            member.sync_pending = true;
        });
        let timeout_ms = cx.tables.members.rebalance_timeout_ms(self.roll).max(1);
        self.sync_deadline = Some(cx.now.saturating_add(timeout_ms));
    }

    /// The protocol of the generation.
    fn set_protocol(&mut self, name: Option<&[u8]>, tables: &mut Tables) {
        set_name(&mut self.protocol_name, name, &mut tables.names);
    }

    /// Kafka's `maybeElectNewJoinedLeader`: the leader must be somebody who listens.
    fn elect_joined_leader(&mut self, tables: &Tables) -> bool {
        let leader = self.leader.and_then(|key| tables.members.get(key));
        if leader.is_some_and(|leader| leader.join.is_some()) {
            return true;
        }
        let joined = tables.members.find_key(self.roll, |member| member.join.is_some());
        self.leader = joined.or(self.leader);
        joined.is_some()
    }

    /// Tells everybody who waits for an assignment that none will come.
    fn reset_assignments(&mut self, refusal: Refusal, cx: &mut Context<'_>) {
        cx.tables.members.unassign(self.roll);
        cx.tables.members.each(self.roll, |member| {
            if let Some(ticket) = member.sync.take() {
                cx.tickets.answer(ticket, Outcome::Refused(refusal));
                member.touch(cx.now);
            }
        });
    }

    /// Whether the ids belong together and to a member (`ClassicGroup.validateMember`).
    fn find_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        members: &Members,
    ) -> Result<MemberKey, Refusal> {
        if let Some(instance_id) = instance_id {
            let owner = members.by_instance(self.roll, instance_id);
            let owner = owner.ok_or(Refusal::UnknownMemberId)?;
            if members.member_id(owner) != member_id {
                return Err(Refusal::FencedInstanceId);
            }
        }
        let member = members.by_id(self.roll, member_id);
        member.map(|member| member.key).ok_or(Refusal::UnknownMemberId)
    }

    /// Whether OffsetDelete must leave `topic` alone (`ClassicGroup.isSubscribedToTopic`). A
    /// consumer group whose subscriptions cannot be read counts as subscribed to everything.
    pub(super) fn is_subscribed(&self, topic: &str, tables: &Tables) -> bool {
        if !self.is_consumer_group(tables) || self.roll.is_empty() {
            return false;
        }
        let Some(protocol_name) = self.protocol_name(tables) else { return true };
        tables.members.iter(self.roll).any(|member| {
            let metadata = tables.members.metadata(member, protocol_name.as_bytes());
            metadata.and_then(|it| subscription::names_topic(it, topic)).unwrap_or(true)
        })
    }

    /// From when the age of committed offsets counts (`ClassicGroup.offsetExpirationCondition`):
    /// `None` if they don't expire now, `Some(None)` from each commit, `Some(Some(_))` from that
    /// moment.
    pub(super) fn offsets_age_base(&self, tables: &Tables) -> Option<Option<Millis>> {
        match self.state {
            // Never had members: each commit ages for itself.
            GroupState::Empty if self.protocol_type.is_none() => Some(None),
            GroupState::Empty => Some(Some(self.empty_since)),
            // What the group no longer subscribes to ages from its commit.
            GroupState::Stable if self.is_consumer_group(tables) => Some(None),
            _ => None,
        }
    }
}

/// Answers whoever holds the ticket that a newer request of the same member pushes out.
fn supersede(slot: &mut Option<Ticket>, ticket: Ticket, refusal: Refusal, tickets: &mut Tickets) {
    if let Some(old) = slot.replace(ticket) {
        tickets.answer(old, Outcome::Refused(refusal));
    }
}

/// Puts another name, or none, into a place for one. There is room for every name that a request
/// may bring.
fn set_name(place: &mut Option<Text>, name: Option<&[u8]>, names: &mut Texts) {
    if let Some(old) = place.take() {
        names.free(old);
    }
    *place = name.and_then(|name| names.put(name));
}
