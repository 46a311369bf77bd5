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
//! [`tickets::Ticket`]. Absent on purpose: the new group protocol (KIP-848) and persistence of
//! members; after a restart they are told UNKNOWN_MEMBER_ID and join anew.

pub(in crate::state) mod join;
mod subscription;
pub(in crate::state) mod sync;
pub(in crate::state) mod tickets;

pub use join::{JoinAnswer, JoinRequest, MemberView, Protocols};
pub use sync::{Assignments, SyncAnswer, SyncRequest};
pub use tickets::Waiter;

use super::members::{Member, MemberKey, Members};
use crate::time::Millis;
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

/// What an event may touch besides its group.
pub(super) struct Context<'c> {
    pub(super) tickets: &'c mut Tickets,
    pub(super) now: Millis,
    pub(super) initial_rebalance_delay_ms: u64,
    /// Kafka's `group.max.size`.
    pub(super) size_max: usize,
    /// How many bytes more all members together may hold.
    pub(super) bytes_free: usize,
}

/// A member id that was handed out and not used yet (KIP-394).
#[derive(Debug)]
struct PendingMember {
    member_id: String,
    deadline: Millis,
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
    id: String,
    /// Slot in the table of groups, and a number that no other group ever had.
    place: (usize, u64),
    state: GroupState,
    generation: i32,
    protocol_type: Option<String>,
    protocol_name: Option<String>,
    leader: Option<MemberKey>,
    /// The id that a static leader had before it was replaced, for one answer (see `join.rs`).
    former_member_id: String,
    members: Members,
    pending: Vec<PendingMember>,
    join_timer: Option<JoinTimer>,
    sync_deadline: Option<Millis>,
    /// Somebody came during the initial delay, which extends it.
    new_member_added: bool,
    empty_since: Millis,
}

impl Group {
    pub(super) fn new(id: &str, place: (usize, u64), now: Millis) -> Group {
        Group {
            id: id.to_owned(),
            place,
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            former_member_id: String::new(),
            members: Members::default(),
            pending: Vec::new(),
            join_timer: None,
            sync_deadline: None,
            new_member_added: false,
            empty_since: now,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
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

    pub(super) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub(super) fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    /// Nobody is in it and nobody is about to come.
    pub(super) fn is_unused(&self) -> bool {
        self.state == GroupState::Empty && self.pending.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.members.bytes()
    }

    fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }

    /// The earliest moment at which something must happen without being asked for.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let members = self.members.iter().filter_map(Member::deadline);
        let pending = self.pending.iter().map(|pending| pending.deadline);
        let timers = self.join_timer.map(|timer| timer.deadline).into_iter().chain(self.sync_due());
        members.chain(pending).chain(timers).min()
    }

    /// The deadline for SyncGroup, while somebody owes one.
    fn sync_due(&self) -> Option<Millis> {
        self.sync_deadline.filter(|_| self.members.iter().any(|member| member.sync_pending))
    }

    /// Lets everything happen that is due, in the order in which it became due.
    ///
    /// It ends: each turn removes somebody or moves a timer to after `now`.
    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(due) = self.deadline().filter(|deadline| *deadline <= cx.now) {
            if let Some(index) = self.pending.iter().position(|pending| pending.deadline == due) {
                self.pending.remove(index);
                self.complete_if_all_joined(cx);
            } else if let Some(key) = self.members.find_key(|it| it.deadline() == Some(due)) {
                self.remove_member(key, cx);
                self.member_gone(cx);
            } else if let Some(timer) = self.join_timer.filter(|timer| timer.deadline == due) {
                self.join_timer_fired(timer, cx);
            } else {
                self.sync_timer_fired(cx);
            }
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
        while let Some(key) = self.members.find_key(|member| member.sync_pending) {
            self.remove_member(key, cx);
        }
        self.sync_deadline = None;
        self.prepare_rebalance(cx);
    }

    /// Takes a member out; what it still waits for is answered with UNKNOWN_MEMBER_ID, so that a
    /// client that is alive joins anew. (Kafka leaves a parked SyncGroup of such a member without
    /// an answer.)
    fn remove_member(&mut self, key: MemberKey, cx: &mut Context<'_>) {
        let Some(member) = self.members.remove(key) else { return };
        for ticket in member.join.into_iter().chain(member.sync) {
            cx.tickets.answer(ticket, Outcome::Refused(Refusal::UnknownMemberId));
        }
        if self.leader == Some(key) {
            self.leader = self.members.find_key(|_| true);
        }
    }

    /// After a member died: the others share its work, or need not wait for it any longer.
    fn member_gone(&mut self, cx: &mut Context<'_>) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            _ => self.complete_if_all_joined(cx),
        }
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.iter().all(|member| member.join.is_some())
    }

    fn complete_if_all_joined(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::PreparingRebalance && self.all_joined() {
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
        let timeout_ms = self.members.rebalance_timeout_ms();
        if initial && cx.initial_rebalance_delay_ms > 0 {
            let delay_ms = cx.initial_rebalance_delay_ms;
            let left_ms = timeout_ms.saturating_sub(delay_ms);
            let deadline = cx.now.saturating_add(delay_ms);
            self.join_timer = Some(JoinTimer { deadline, initial: Some((delay_ms, left_ms)) });
        } else if initial || self.all_joined() {
            // Kafka's delay of 0 completes a first rebalance at the next tick, whoever is pending.
            self.complete_join(cx);
        } else {
            self.restart_join_timer(cx);
        }
    }

    fn restart_join_timer(&mut self, cx: &Context<'_>) {
        let timeout_ms = self.members.rebalance_timeout_ms().max(1);
        self.join_timer =
            Some(JoinTimer { deadline: cx.now.saturating_add(timeout_ms), initial: None });
    }

    /// Ends the wait for members and starts the next generation with those that joined.
    ///
    /// Dynamic members that did not join again are thrown out. Static ones stay until their session
    /// ends (KIP-345): they may be restarting, and keep what they had.
    fn complete_join(&mut self, cx: &mut Context<'_>) {
        self.join_timer = None;
        while let Some(key) =
            self.members.find_key(|it| it.join.is_none() && it.instance_id.is_none())
        {
            self.remove_member(key, cx);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members are left and none of them came: wait on, until one does or all
            // sessions have ended.
            self.restart_join_timer(cx);
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.protocol_name = None;
            self.state = GroupState::Empty;
            self.empty_since = cx.now;
            return;
        }
        self.protocol_name = self.members.select_protocol().map(str::to_owned);
        assert!(self.protocol_name.is_some(), "every join kept one protocol in common");
        self.state = GroupState::CompletingRebalance;
        let outcome = Outcome::Answered { generation: self.generation };
        for member in self.members.iter_mut() {
            if let Some(ticket) = member.join.take() {
                cx.tickets.answer(ticket, outcome);
            }
            member.touch(cx.now);
            member.is_new = false;
            member.sync_pending = true;
        }
        let timeout_ms = self.members.rebalance_timeout_ms().max(1);
        self.sync_deadline = Some(cx.now.saturating_add(timeout_ms));
    }

    /// Kafka's `maybeElectNewJoinedLeader`: the leader must be somebody who listens.
    fn elect_joined_leader(&mut self) -> bool {
        let leader = self.leader.and_then(|key| self.members.get(key));
        if leader.is_some_and(|leader| leader.join.is_some()) {
            return true;
        }
        let joined = self.members.find_key(|member| member.join.is_some());
        self.leader = joined.or(self.leader);
        joined.is_some()
    }

    /// Tells everybody who waits for an assignment that none will come.
    fn reset_assignments(&mut self, refusal: Refusal, cx: &mut Context<'_>) {
        for member in self.members.iter_mut() {
            member.assignment.clear();
            if let Some(ticket) = member.sync.take() {
                cx.tickets.answer(ticket, Outcome::Refused(refusal));
                member.touch(cx.now);
            }
        }
    }

    /// Whether the ids belong together and to a member (`ClassicGroup.validateMember`).
    fn find_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<MemberKey, Refusal> {
        if let Some(instance_id) = instance_id {
            let owner = self.members.by_instance(instance_id).ok_or(Refusal::UnknownMemberId)?;
            if owner.member_id != member_id {
                return Err(Refusal::FencedInstanceId);
            }
        }
        self.members.by_id(member_id).map(|member| member.key).ok_or(Refusal::UnknownMemberId)
    }

    /// Whether OffsetDelete must leave `topic` alone (`ClassicGroup.isSubscribedToTopic`). A
    /// consumer group whose subscriptions cannot be read counts as subscribed to everything.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        if !self.is_consumer_group() || self.members.is_empty() {
            return false;
        }
        let Some(protocol_name) = &self.protocol_name else { return true };
        self.members.iter().any(|member| {
            let metadata = member.metadata(protocol_name);
            metadata.and_then(|it| subscription::names_topic(it, topic)).unwrap_or(true)
        })
    }

    /// From when the age of committed offsets counts (`ClassicGroup.offsetExpirationCondition`):
    /// `None` if they don't expire now, `Some(None)` from each commit, `Some(Some(_))` from that
    /// moment.
    pub(super) fn offsets_age_base(&self) -> Option<Option<Millis>> {
        match self.state {
            // Never had members: each commit ages for itself.
            GroupState::Empty if self.protocol_type.is_none() => Some(None),
            GroupState::Empty => Some(Some(self.empty_since)),
            // What the group no longer subscribes to ages from its commit.
            GroupState::Stable if self.is_consumer_group() => Some(None),
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
