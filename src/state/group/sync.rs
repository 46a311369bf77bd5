//! What SyncGroup, Heartbeat, LeaveGroup and OffsetCommit do to a group.

use super::tickets::{Outcome, Ticket, Waiter};
use super::{Context, Group, GroupState, Refusal, Tables, supersede};
use crate::limits::GROUP_ASSIGNMENTS_MAX;
use crate::state::members::{Member, MemberKey};
use crate::time::Millis;

/// The assignments of a leader's SyncGroup, member id and bytes; walked several times.
pub trait Assignments<'a>: Iterator<Item = (&'a str, &'a [u8])> + Clone {}

impl<'a, I: Iterator<Item = (&'a str, &'a [u8])> + Clone> Assignments<'a> for I {}

/// A SyncGroup.
#[derive(Clone, Copy, Debug)]
pub struct SyncRequest<'a, A> {
    /// The group.
    pub group_id: &'a str,
    /// The member.
    pub member_id: &'a str,
    /// Its `group.instance.id` (v3 and later).
    pub instance_id: Option<&'a str>,
    /// The generation it was told of.
    pub generation: i32,
    /// The protocol type it believes in (v5 and later).
    pub protocol_type: Option<&'a str>,
    /// The protocol it believes in (v5 and later).
    pub protocol_name: Option<&'a str>,
    /// What the leader gives to whom; empty from others.
    pub assignments: A,
    /// The connection to wake when a parked answer is ready.
    pub waiter: Waiter,
}

/// A SyncGroup that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncAnswer<'a> {
    /// The group's protocol type (v5 and later).
    pub protocol_type: &'a str,
    /// The generation's protocol (v5 and later).
    pub protocol_name: &'a str,
    /// What the leader gave this member.
    pub assignment: &'a [u8],
}

/// What came of a SyncGroup.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) enum SyncStep {
    Refused(Refusal),
    Parked(Ticket),
    Assigned(MemberKey),
}

impl Group {
    /// SyncGroup (`classicGroupSyncToClassicGroup`).
    pub(in crate::state) fn sync<'a, A: Assignments<'a>>(
        &mut self,
        request: &SyncRequest<'a, A>,
        cx: &mut Context<'_>,
    ) -> SyncStep {
        let key = match self.check_sync(request, cx.tables) {
            Ok(key) => key,
            Err(refusal) => return SyncStep::Refused(refusal),
        };
        let member = cx.tables.members.get_mut(key).expect("found above");
        member.sync_pending = false;
        if self.state == GroupState::Stable {
            return SyncStep::Assigned(key);
        }
        let ticket = cx.tickets.park(request.waiter, self.place, key);
        supersede(&mut member.sync, ticket, Refusal::RebalanceInProgress, cx.tickets);
        if self.leader == Some(key) {
            self.assign(request, cx);
        }
        SyncStep::Parked(ticket)
    }

    /// `validateSyncGroup`; past it the group is stable or waits for the leader.
    fn check_sync<'a, A: Assignments<'a>>(
        &self,
        request: &SyncRequest<'a, A>,
        tables: &Tables,
    ) -> Result<MemberKey, Refusal> {
        let key = self.find_member(request.member_id, request.instance_id, &tables.members)?;
        if request.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        let differs = |theirs: Option<&str>, ours: Option<&str>| {
            theirs.zip(ours).is_some_and(|(theirs, ours)| theirs != ours)
        };
        if differs(request.protocol_type, self.protocol_type(tables))
            || differs(request.protocol_name, self.protocol_name(tables))
        {
            return Err(Refusal::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::CompletingRebalance | GroupState::Stable => Ok(key),
            _ => Err(Refusal::RebalanceInProgress),
        }
    }

    /// The leader has spoken: everybody has an assignment, an empty one if it forgot them.
    fn assign<'a, A: Assignments<'a>>(
        &mut self,
        request: &SyncRequest<'a, A>,
        cx: &mut Context<'_>,
    ) {
        let given_to = |member_id: &str| {
            // The last one counts, as in Kafka's map.
            let given = request.assignments.clone().take(GROUP_ASSIGNMENTS_MAX);
            given
                .filter(|(id, _)| *id == member_id)
                .last()
                .map_or(&[][..], |(_, assignment)| assignment)
        };
        let members = &mut cx.tables.members;
        let bytes_of = |member: &Member| given_to(members.member_id(member)).len();
        let old: usize = members.iter(self.roll).map(|it| members.assignment(it).len()).sum();
        let new: usize = members.iter(self.roll).map(bytes_of).sum();
        if new > members.bytes_free() + old {
            // As Kafka when the assignments cannot be stored: all are told, and all join again.
            self.reset_assignments(Refusal::AssignmentTooLarge, cx);
            self.prepare_rebalance(cx);
            return;
        }
        // First all of the old ones go, so that the new ones fit whatever their order.
        members.unassign(self.roll);
        members.assign_each(self.roll, given_to);
        self.state = GroupState::Stable;
        let outcome = Outcome::Answered { generation: self.generation };
        members.each(self.roll, |member| {
            if let Some(ticket) = member.sync.take() {
                cx.tickets.answer(ticket, outcome);
                member.touch(cx.now);
            }
        });
    }

    /// The answer to SyncGroup in the current generation; `None` if the member is gone.
    pub(in crate::state) fn sync_answer<'a>(
        &self,
        key: MemberKey,
        tables: &'a Tables,
    ) -> Option<SyncAnswer<'a>> {
        let member = tables.members.get(key)?;
        Some(SyncAnswer {
            protocol_type: self.protocol_type(tables).unwrap_or(""),
            protocol_name: self.protocol_name(tables).unwrap_or(""),
            assignment: tables.members.assignment(member),
        })
    }

    /// Heartbeat (`classicGroupHeartbeatToClassicGroup`).
    pub(in crate::state) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        tables: &mut Tables,
        now: Millis,
    ) -> Result<(), Refusal> {
        let key = self.find_member(member_id, instance_id, &tables.members)?;
        if generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        touch(key, tables, now);
        match self.state {
            GroupState::PreparingRebalance => Err(Refusal::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// One member of a LeaveGroup; [`Group::left`] follows once for all of them. Says whether a
    /// member, not only a pending id, has gone.
    pub(in crate::state) fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Refusal> {
        if cx.tables.pending.remove(self.place.0, member_id) {
            return Ok(false);
        }
        let members = &cx.tables.members;
        let key = if member_id.is_empty() {
            // An administrator removes a static member whose id he doesn't know.
            let member = instance_id.and_then(|id| members.by_instance(self.roll, id));
            member.map(|member| member.key).ok_or(Refusal::UnknownMemberId)?
        } else {
            self.find_member(member_id, instance_id, members)?
        };
        self.remove_member(key, cx);
        Ok(true)
    }

    /// After a LeaveGroup: the others share the work, or the rebalance under way may be complete.
    ///
    /// Kafka 4 rebalances a stable group also when just a pending id left; we don't, nobody's work
    /// has changed.
    pub(in crate::state) fn left(&mut self, member_gone: bool, cx: &mut Context<'_>) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance if member_gone => {
                self.prepare_rebalance(cx);
            }
            GroupState::PreparingRebalance => self.maybe_complete_join(cx),
            _ => {}
        }
    }

    /// Whether an OffsetCommit is to be taken (`ClassicGroup.validateOffsetCommit`); a member's
    /// commit counts as a heartbeat.
    pub(in crate::state) fn validate_commit(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        tables: &mut Tables,
        now: Millis,
    ) -> Result<(), Refusal> {
        if self.state == GroupState::Empty && generation < 0 {
            return Ok(());
        }
        let key = self.find_member(member_id, instance_id, &tables.members)?;
        if generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        if self.state == GroupState::CompletingRebalance {
            return Err(Refusal::RebalanceInProgress);
        }
        touch(key, tables, now);
        Ok(())
    }

    /// `ClassicGroup.validateOffsetDelete`.
    pub(in crate::state) fn validate_offset_delete(&self, tables: &Tables) -> Result<(), Refusal> {
        if self.state == GroupState::Empty || self.is_consumer_group(tables) {
            return Ok(());
        }
        Err(Refusal::NonEmptyGroup)
    }
}

/// A member was heard of.
fn touch(key: MemberKey, tables: &mut Tables, now: Millis) {
    if let Some(member) = tables.members.get_mut(key) {
        member.touch(now);
    }
}
