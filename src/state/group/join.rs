//! What JoinGroup does to a group, and what it is answered with.
//!
//! Known members, unknown ones, ids handed out beforehand (KIP-394), static members that come back
//! (KIP-345). The `reason` of JoinGroup v8 is for logs only and does not come here.

use super::tickets::{Outcome, Ticket, Waiter};
use super::{Context, Group, GroupState, PendingMember, Refusal, supersede};
use crate::limits::{
    GROUP_MEMBERS_PENDING_MAX, GROUP_NAME_BYTES_MAX, GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS,
    MEMBER_METADATA_BYTES_MAX, MEMBER_PROTOCOLS_MAX,
};
use crate::state::members::{Member, MemberKey, kept, protocol_bytes};

/// `-` and an UUID in text.
const UUID_BYTES: usize = 37;

/// The protocols of a JoinGroup, name and metadata, in the member's order of preference; walked
/// several times.
pub trait Protocols<'a>: Iterator<Item = (&'a str, &'a [u8])> + Clone {}

impl<'a, I: Iterator<Item = (&'a str, &'a [u8])> + Clone> Protocols<'a> for I {}

/// A JoinGroup.
#[derive(Clone, Copy, Debug)]
pub struct JoinRequest<'a, P> {
    /// The group; it is made if the member id is empty.
    pub group_id: &'a str,
    /// Empty for a member that has none yet.
    pub member_id: &'a str,
    /// `group.instance.id` of a static member (v5 and later).
    pub instance_id: Option<&'a str>,
    /// From the request header; the first part of a new member id.
    pub client_id: &'a str,
    /// Where the client calls from, for DescribeGroups. Kafka writes `/10.0.0.7`.
    pub client_host: &'a str,
    /// "consumer", "connect", anything else.
    pub protocol_type: &'a str,
    /// What the member can do.
    pub protocols: P,
    /// As sent.
    pub session_timeout_ms: i32,
    /// As sent; v0 has none and uses the session timeout (KAFKA-8653).
    pub rebalance_timeout_ms: i32,
    /// v4 and later (KIP-394).
    pub require_known_member_id: bool,
    /// v9 and later (KIP-800): the answer can tell a leader not to assign anew.
    pub supports_skip_assignment: bool,
    /// The connection to wake when a parked answer is ready.
    pub waiter: Waiter,
}

impl<'a, P: Protocols<'a>> JoinRequest<'a, P> {
    pub(in crate::state) fn session_timeout(&self) -> u64 {
        u64::try_from(self.session_timeout_ms).unwrap_or(0)
    }

    pub(in crate::state) fn rebalance_timeout(&self) -> u64 {
        u64::try_from(self.rebalance_timeout_ms).unwrap_or(0)
    }

    /// Bytes that its protocols take in a row.
    fn protocols_bytes(&self) -> usize {
        self.protocols.clone().map(|(name, metadata)| protocol_bytes(name, metadata)).sum()
    }

    /// Bytes that a new row for it takes: also an instance id or client id, twice, an UUID, and a
    /// host.
    fn row_bytes(&self) -> usize {
        let names = self.instance_id.map_or(0, str::len) * 2 + kept(self.client_id).len() * 2;
        let host = kept(self.client_host).len();
        size_of::<Member>() + names + UUID_BYTES + host + self.protocols_bytes()
    }

    /// What no group would take.
    pub(in crate::state) fn check(&self) -> Result<(), Refusal> {
        if self.instance_id.is_some_and(|id| id.len() > GROUP_NAME_BYTES_MAX) {
            return Err(Refusal::InvalidInstanceId);
        }
        let too_long = |name: &str| name.len() > GROUP_NAME_BYTES_MAX;
        let mut names = self.protocols.clone().map(|(name, _)| name);
        if too_long(self.protocol_type)
            || names.any(too_long)
            || self.protocols.clone().nth(MEMBER_PROTOCOLS_MAX).is_some()
        {
            return Err(Refusal::InconsistentGroupProtocol);
        }
        if self.protocols_bytes() > MEMBER_METADATA_BYTES_MAX {
            return Err(Refusal::GroupMaxSizeReached);
        }
        Ok(())
    }
}

/// Which member id goes with a refused JoinGroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum EchoedId {
    None,
    Request,
    /// The newest pending one.
    Pending,
}

/// What came of a JoinGroup.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) enum JoinStep {
    Refused(Refusal, EchoedId),
    Parked(Ticket),
    /// Nothing changes: the member is told of the current generation.
    Current(MemberKey),
    /// A static member came back and nothing changes; see [`Group::join_answer_of_returned`].
    Returned(MemberKey, bool),
}

/// One member as the leader or DescribeGroups sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView<'a> {
    /// Its id.
    pub member_id: &'a str,
    /// Its `group.instance.id`.
    pub instance_id: Option<&'a str>,
    /// The client id of the connection that it joined by.
    pub client_id: &'a str,
    /// Where it joined from.
    pub client_host: &'a str,
    /// What it said under the protocol of the generation; empty in DescribeGroups unless the group
    /// is stable.
    pub metadata: &'a [u8],
    /// What the leader gave it.
    pub assignment: &'a [u8],
}

impl<'a> MemberView<'a> {
    pub(in crate::state) fn new(member: &'a Member, protocol_name: Option<&str>) -> MemberView<'a> {
        MemberView {
            member_id: &member.member_id,
            instance_id: member.instance_id.as_deref(),
            client_id: &member.client_id,
            client_host: &member.client_host,
            metadata: protocol_name.and_then(|name| member.metadata(name)).unwrap_or(&[]),
            assignment: &member.assignment,
        }
    }
}

/// A JoinGroup that succeeded.
#[derive(Clone, Copy, Debug)]
pub struct JoinAnswer<'a> {
    /// The generation.
    pub generation: i32,
    /// The group's protocol type (v7 and later).
    pub protocol_type: &'a str,
    /// The protocol that the vote chose.
    pub protocol_name: &'a str,
    /// The member id of the leader.
    pub leader: &'a str,
    /// The member's own id.
    pub member_id: &'a str,
    /// The leader must not assign anew (v9 and later).
    pub skip_assignment: bool,
    group: Option<&'a Group>,
}

impl<'a> JoinAnswer<'a> {
    /// The members with their metadata if this is the leader, else none. `len` is exact.
    pub fn members(&self) -> impl ExactSizeIterator<Item = MemberView<'a>> + Clone + use<'a> {
        let protocol_name = self.protocol_name;
        let members = self.group.map(|group| group.members.iter()).unwrap_or_default();
        members.map(move |member| MemberView::new(member, Some(protocol_name)))
    }
}

impl Group {
    /// JoinGroup (`classicGroupJoinToClassicGroup`). `new_member_id` is used if the member needs
    /// one.
    pub(in crate::state) fn join<'a, P: Protocols<'a>>(
        &mut self,
        request: &JoinRequest<'a, P>,
        new_member_id: impl FnOnce(&str) -> String,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        let known = self.members.by_id(request.member_id).map(|member| member.key);
        if !self.accepts(request, known, cx) {
            // In the middle of a rebalance the last to come back are the ones that are put out, and
            // an id that was handed out has been used: nobody waits for it any longer.
            if let Some(key) = known {
                self.remove_member(key, cx);
            }
            self.pending.retain(|pending| pending.member_id != request.member_id);
            return JoinStep::Refused(Refusal::GroupMaxSizeReached, EchoedId::None);
        }
        let unknown = request.member_id.is_empty();
        if !self.supports_protocols(request) {
            let echoed = if unknown { EchoedId::None } else { EchoedId::Request };
            return JoinStep::Refused(Refusal::InconsistentGroupProtocol, echoed);
        }
        if !unknown {
            return self.join_known(request, cx);
        }
        match request.instance_id {
            Some(instance_id) => {
                let member_id = new_member_id(instance_id);
                match self.members.by_instance(instance_id).map(|member| member.key) {
                    Some(key) => self.join_returned(key, request, member_id, cx),
                    None => self.add_member(request, member_id, cx),
                }
            }
            None => {
                let member_id = new_member_id(kept(request.client_id));
                if request.require_known_member_id {
                    return self.add_pending(request, member_id, cx);
                }
                self.add_member(request, member_id, cx)
            }
        }
    }

    /// Kafka's `acceptJoiningMember`, and our own bounds on rows and bytes.
    ///
    /// A static member that comes back to a full group is let in, which Kafka forgets: it needs no
    /// new row.
    fn accepts<'a, P: Protocols<'a>>(
        &self,
        request: &JoinRequest<'a, P>,
        known: Option<MemberKey>,
        cx: &Context<'_>,
    ) -> bool {
        let returning = request.instance_id.filter(|_| request.member_id.is_empty());
        let instance = returning.and_then(|id| self.members.by_instance(id));
        let row = known.and_then(|key| self.members.get(key)).or(instance);
        let fits = match self.state {
            GroupState::PreparingRebalance => {
                row.is_some_and(|member| member.join.is_some())
                    || self.members.joined_count() < cx.size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                row.is_some() || self.members.len() < cx.size_max
            }
            GroupState::Empty | GroupState::Dead => true,
        };
        let rows = row.is_some() || self.members.len() < cx.size_max.saturating_mul(2);
        let needed = match row {
            Some(row) => request.protocols_bytes().saturating_sub(row.protocols_bytes()),
            None => request.row_bytes(),
        };
        fits && rows && needed <= cx.bytes_free
    }

    /// `ClassicGroup.supportsProtocols`.
    fn supports_protocols<'a, P: Protocols<'a>>(&self, request: &JoinRequest<'a, P>) -> bool {
        let mut protocols = request.protocols.clone();
        if self.state == GroupState::Empty {
            return !request.protocol_type.is_empty() && protocols.next().is_some();
        }
        self.protocol_type.as_deref() == Some(request.protocol_type)
            && protocols.any(|(name, _)| self.members.all_offer(name))
    }

    /// `classicGroupJoinNewDynamicMember`, first round: an id to come back with.
    fn add_pending<'a, P: Protocols<'a>>(
        &mut self,
        request: &JoinRequest<'a, P>,
        member_id: String,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        if self.pending.len() >= GROUP_MEMBERS_PENDING_MAX {
            self.pending.remove(0);
        }
        let deadline = cx.now.saturating_add(request.session_timeout());
        self.pending.push(PendingMember { member_id, deadline });
        JoinStep::Refused(Refusal::MemberIdRequired, EchoedId::Pending)
    }

    /// `addMemberThenRebalanceOrCompleteJoin`.
    fn add_member<'a, P: Protocols<'a>>(
        &mut self,
        request: &JoinRequest<'a, P>,
        member_id: String,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        self.new_member_added |= self.state == GroupState::PreparingRebalance
            && self.join_timer.is_some_and(|timer| timer.initial.is_some());
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.to_owned());
        }
        let place = self.place;
        let member = self.members.add(member_id, request);
        let (key, ticket) = (member.key, cx.tickets.park(request.waiter, place, member.key));
        member.join = Some(ticket);
        member.session_deadline = cx.now.saturating_add(GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.leader = self.leader.or(Some(key));
        self.rebalance_or_complete(cx);
        JoinStep::Parked(ticket)
    }

    /// `classicGroupJoinExistingMember`.
    fn join_known<'a, P: Protocols<'a>>(
        &mut self,
        request: &JoinRequest<'a, P>,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        let pending = self.pending.iter().position(|it| it.member_id == request.member_id);
        if let Some(index) = pending.filter(|_| request.instance_id.is_none()) {
            let member_id = self.pending.remove(index).member_id;
            return self.add_member(request, member_id, cx);
        }
        let key = match self.find_member(request.member_id, request.instance_id) {
            Ok(key) => key,
            Err(refusal) => return JoinStep::Refused(refusal, EchoedId::Request),
        };
        let member = self.members.get(key).expect("found above");
        let unchanged = member.matches(request.protocols.clone());
        // The same again in a generation under way: it missed the answer, or has nothing to change.
        // The leader of a stable group means it, though: the topics may have changed.
        let current = match self.state {
            GroupState::CompletingRebalance => unchanged,
            GroupState::Stable => unchanged && self.leader != Some(key),
            _ => false,
        };
        if current { JoinStep::Current(key) } else { self.rejoin(key, request, cx) }
    }

    /// `updateMemberThenRebalanceOrCompleteJoin`.
    fn rejoin<'a, P: Protocols<'a>>(
        &mut self,
        key: MemberKey,
        request: &JoinRequest<'a, P>,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        let ticket = self.park_join(key, request, cx);
        self.rebalance_or_complete(cx);
        JoinStep::Parked(ticket)
    }

    /// Takes over what the member says now and lets it wait.
    fn park_join<'a, P: Protocols<'a>>(
        &mut self,
        key: MemberKey,
        request: &JoinRequest<'a, P>,
        cx: &mut Context<'_>,
    ) -> Ticket {
        let ticket = cx.tickets.park(request.waiter, self.place, key);
        let member = self.members.get_mut(key).expect("the caller found it");
        member.update(request);
        supersede(&mut member.join, ticket, Refusal::UnknownMemberId, cx.tickets);
        ticket
    }

    /// `updateStaticMemberThenRebalanceOrCompleteJoin`: a static member came back without its id.
    /// It gets a new one, whoever still uses the old one is fenced, and if the protocol stays
    /// nobody else notices.
    fn join_returned<'a, P: Protocols<'a>>(
        &mut self,
        old_key: MemberKey,
        request: &JoinRequest<'a, P>,
        member_id: String,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        let key = self.members.next_key();
        let member = self.members.get_mut(old_key).expect("the caller found it");
        for ticket in member.join.take().into_iter().chain(member.sync.take()) {
            cx.tickets.answer(ticket, Outcome::Refused(Refusal::FencedInstanceId));
        }
        member.key = key;
        member.is_new = false;
        self.former_member_id = std::mem::replace(&mut member.member_id, member_id);
        let was_leader = self.leader == Some(old_key);
        if was_leader {
            self.leader = Some(key);
        }
        let ticket = self.park_join(key, request, cx);
        let member = self.members.get_mut(key).expect("renamed above");
        member.touch(cx.now);
        match self.state {
            GroupState::Stable if self.members.select_protocol() == self.protocol_name() => {
                let member = self.members.get_mut(key).expect("renamed above");
                member.join = None;
                cx.tickets.forget(request.waiter);
                // Who cannot be told to skip the assignment is told that its former self leads.
                let hidden = was_leader && !request.supports_skip_assignment;
                return JoinStep::Returned(key, hidden);
            }
            // The leader may already assign to the old id, which would leave the new one without.
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            _ => self.maybe_complete_join(cx),
        }
        JoinStep::Parked(ticket)
    }

    /// The answer about the current generation; `None` if the member is gone.
    pub(in crate::state) fn join_answer(&self, key: MemberKey) -> Option<JoinAnswer<'_>> {
        let member = self.members.get(key)?;
        let leader = self.leader.and_then(|leader| self.members.get(leader));
        // A follower of a stable group that asks again is no leader; a leader gets the members.
        Some(JoinAnswer {
            generation: self.generation,
            protocol_type: self.protocol_type.as_deref().unwrap_or(""),
            protocol_name: self.protocol_name.as_deref().unwrap_or(""),
            leader: leader.map_or("", |leader| leader.member_id.as_str()),
            member_id: &member.member_id,
            skip_assignment: false,
            group: (self.leader == Some(key)).then_some(self),
        })
    }

    /// The answer to a static member that came back to a stable group. If it leads, it is told to
    /// skip the assignment; before v9 that is said by naming its former id as the leader.
    pub(in crate::state) fn join_answer_of_returned(
        &self,
        key: MemberKey,
        hidden: bool,
    ) -> Option<JoinAnswer<'_>> {
        let answer = self.join_answer(key)?;
        Some(if hidden {
            JoinAnswer { leader: &self.former_member_id, group: None, ..answer }
        } else {
            JoinAnswer { skip_assignment: self.leader == Some(key), ..answer }
        })
    }

    /// The id that was handed out last.
    pub(in crate::state) fn newest_pending_id(&self) -> &str {
        self.pending.last().map_or("", |pending| pending.member_id.as_str())
    }
}
