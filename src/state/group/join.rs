//! What JoinGroup does to a group, and what it is answered with.
//!
//! Known members, unknown ones, ids handed out beforehand (KIP-394), static members that come back
//! (KIP-345). The `reason` of JoinGroup v8 is for logs only and does not come here.

use super::pending::UUID_BYTES;
use super::tickets::{Outcome, Ticket, Waiter};
use super::{Context, Group, GroupState, MemberId, Refusal, Tables, set_name, supersede};
use crate::limits::{
    GROUP_MEMBERS_PENDING_MAX, GROUP_NAME_BYTES_MAX, GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS,
    MEMBER_METADATA_BYTES_MAX, MEMBER_PROTOCOLS_MAX,
};
use crate::state::members::{Iter, Member, MemberKey, Members, kept, protocols_bytes};

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
        protocols_bytes(self.protocols.clone())
    }

    /// Bytes that a new row for it takes at most: also an instance id or client id, twice, an UUID,
    /// and a host.
    fn row_bytes(&self) -> usize {
        let names = self.instance_id.map_or(0, str::len) * 2 + kept(self.client_id).len() * 2;
        names + UUID_BYTES + kept(self.client_host).len() + self.protocols_bytes()
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
    /// The one that was handed out just now.
    New,
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
    pub(in crate::state) fn new(
        members: &'a Members,
        member: &'a Member,
        protocol_name: Option<&str>,
    ) -> MemberView<'a> {
        let metadata = protocol_name.and_then(|name| members.metadata(member, name.as_bytes()));
        MemberView {
            member_id: members.member_id(member),
            instance_id: members.instance_id(member),
            client_id: members.client_id(member),
            client_host: members.client_host(member),
            metadata: metadata.unwrap_or_default(),
            assignment: members.assignment(member),
        }
    }
}

/// A JoinGroup that succeeded.
#[derive(Clone, Debug)]
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
    tables: &'a Tables,
    /// All of them if this is the leader.
    members: Iter<'a>,
}

impl<'a> JoinAnswer<'a> {
    /// The members with their metadata if this is the leader, else none. `len` is exact.
    pub fn members(&self) -> impl ExactSizeIterator<Item = MemberView<'a>> + Clone + use<'a> {
        let (members, protocol_name) = (&self.tables.members, self.protocol_name);
        self.members.clone().map(move |it| MemberView::new(members, it, Some(protocol_name)))
    }
}

impl Group {
    /// JoinGroup (`classicGroupJoinToClassicGroup`). `new_member_id` is used if the member needs
    /// one.
    pub(in crate::state) fn join<'a, P: Protocols<'a>>(
        &mut self,
        request: &JoinRequest<'a, P>,
        new_member_id: impl FnOnce(&str) -> MemberId,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        let known = cx.tables.members.by_id(self.roll, request.member_id).map(|it| it.key);
        if !self.accepts(request, known, cx) {
            // In the middle of a rebalance the last to come back are the ones that are put out, and
            // an id that was handed out has been used: nobody waits for it any longer.
            if let Some(key) = known {
                self.remove_member(key, cx);
            }
            cx.tables.pending.remove(self.place.0, request.member_id);
            return JoinStep::Refused(Refusal::GroupMaxSizeReached, EchoedId::None);
        }
        let unknown = request.member_id.is_empty();
        if !self.supports_protocols(request, cx.tables) {
            let echoed = if unknown { EchoedId::None } else { EchoedId::Request };
            return JoinStep::Refused(Refusal::InconsistentGroupProtocol, echoed);
        }
        if !unknown {
            return self.join_known(request, cx);
        }
        match request.instance_id {
            Some(instance_id) => {
                let member_id = new_member_id(instance_id);
                let row = cx.tables.members.by_instance(self.roll, instance_id);
                match row.map(|member| member.key) {
                    Some(key) => self.join_returned(key, request, &member_id, cx),
                    None => self.add_member(request, &member_id, cx),
                }
            }
            None => {
                let member_id = new_member_id(kept(request.client_id));
                if request.require_known_member_id {
                    return self.add_pending(request, member_id, cx);
                }
                self.add_member(request, &member_id, cx)
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
        let members = &cx.tables.members;
        let row = known.and_then(|key| members.get(key)).or(self.returning(request, cx.tables));
        let fits = match self.state {
            GroupState::PreparingRebalance => {
                row.is_some_and(|member| member.join.is_some())
                    || members.joined_count(self.roll) < cx.size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                row.is_some() || self.roll.len() < cx.size_max
            }
            GroupState::Empty | GroupState::Dead => true,
        };
        let rows = row.is_some() || self.roll.len() < cx.size_max.saturating_mul(2);
        fits && rows && !self.lacks_room(request, cx.tables)
    }

    /// The static member as which the request comes back.
    fn returning<'a, 'm, P: Protocols<'a>>(
        &self,
        request: &JoinRequest<'a, P>,
        tables: &'m Tables,
    ) -> Option<&'m Member> {
        let instance_id = request.instance_id.filter(|_| request.member_id.is_empty());
        instance_id.and_then(|id| tables.members.by_instance(self.roll, id))
    }

    /// Whether the tables of all groups have too few rows or bytes left for what the member brings.
    pub(in crate::state) fn lacks_room<'a, P: Protocols<'a>>(
        &self,
        request: &JoinRequest<'a, P>,
        tables: &Tables,
    ) -> bool {
        let members = &tables.members;
        let known = members.by_id(self.roll, request.member_id);
        match known.or(self.returning(request, tables)) {
            Some(row) => {
                let more = request.protocols_bytes().saturating_sub(members.protocols_bytes(row));
                more > members.bytes_free()
            }
            None => members.is_full() || request.row_bytes() > members.bytes_free(),
        }
    }

    /// `ClassicGroup.supportsProtocols`.
    fn supports_protocols<'a, P: Protocols<'a>>(
        &self,
        request: &JoinRequest<'a, P>,
        tables: &Tables,
    ) -> bool {
        let mut protocols = request.protocols.clone();
        if self.state == GroupState::Empty {
            return !request.protocol_type.is_empty() && protocols.next().is_some();
        }
        self.protocol_type(tables) == Some(request.protocol_type)
            && protocols.any(|(name, _)| tables.members.all_offer(self.roll, name.as_bytes()))
    }

    /// `classicGroupJoinNewDynamicMember`, first round: an id to come back with.
    fn add_pending<'a, P: Protocols<'a>>(
        &mut self,
        request: &JoinRequest<'a, P>,
        member_id: MemberId,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        let pending = &mut cx.tables.pending;
        if pending.count(self.place.0) >= GROUP_MEMBERS_PENDING_MAX {
            pending.remove_oldest(self.place.0);
        }
        let deadline = cx.now.saturating_add(request.session_timeout());
        if !pending.add(self.place.0, &member_id, deadline) {
            return JoinStep::Refused(Refusal::GroupMaxSizeReached, EchoedId::None);
        }
        cx.tables.handed_out = member_id;
        JoinStep::Refused(Refusal::MemberIdRequired, EchoedId::New)
    }

    /// `addMemberThenRebalanceOrCompleteJoin`.
    fn add_member<'a, P: Protocols<'a>>(
        &mut self,
        request: &JoinRequest<'a, P>,
        member_id: &str,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        let was_empty = self.roll.is_empty();
        let Some(key) = cx.tables.members.add(&mut self.roll, member_id, request) else {
            return JoinStep::Refused(Refusal::GroupMaxSizeReached, EchoedId::None);
        };
        self.new_member_added |= self.state == GroupState::PreparingRebalance
            && self.join_timer.is_some_and(|timer| timer.initial.is_some());
        if was_empty {
            let name = Some(request.protocol_type.as_bytes());
            set_name(&mut self.protocol_type, name, &mut cx.tables.names);
        }
        let ticket = cx.tickets.park(request.waiter, self.place, key);
        let member = cx.tables.members.get_mut(key).expect("added above");
        member.join = Some(ticket);
        member.session_deadline = cx.now.saturating_add(GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS);
        member.heard_at = cx.now;
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
        if request.instance_id.is_none()
            && cx.tables.pending.remove(self.place.0, request.member_id)
        {
            return self.add_member(request, request.member_id, cx);
        }
        let members = &cx.tables.members;
        let key = match self.find_member(request.member_id, request.instance_id, members) {
            Ok(key) => key,
            Err(refusal) => return JoinStep::Refused(refusal, EchoedId::Request),
        };
        let member = members.get(key).expect("found above");
        let unchanged = members.matches(member, request.protocols.clone());
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
        cx.tables.members.update(key, request);
        let member = cx.tables.members.get_mut(key).expect("the caller found it");
        member.heard_at = cx.now;
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
        member_id: &str,
        cx: &mut Context<'_>,
    ) -> JoinStep {
        let members = &mut cx.tables.members;
        let member = members.get(old_key).expect("the caller found it");
        let mut former = MemberId::new();
        former.push_str(members.member_id(member)).ok();
        let key = members.rename(old_key, member_id).expect("as long an id as the old one");
        let member = members.get_mut(key).expect("renamed above");
        for ticket in member.join.take().into_iter().chain(member.sync.take()) {
            cx.tickets.answer(ticket, Outcome::Refused(Refusal::FencedInstanceId));
        }
        member.is_new = false;
        cx.tables.former_member_id = former;
        let was_leader = self.leader == Some(old_key);
        if was_leader {
            self.leader = Some(key);
        }
        let ticket = self.park_join(key, request, cx);
        let member = cx.tables.members.get_mut(key).expect("renamed above");
        member.touch(cx.now);
        match self.state {
            GroupState::Stable if self.agrees(cx.tables) => {
                let member = cx.tables.members.get_mut(key).expect("renamed above");
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

    /// Whether a vote would choose the protocol that the group has.
    fn agrees(&self, tables: &Tables) -> bool {
        let chosen = tables.members.select_protocol(self.roll);
        chosen == self.protocol_name.map(|text| tables.names.get(text))
    }

    /// The answer about the current generation; `None` if the member is gone.
    pub(in crate::state) fn join_answer<'a>(
        &self,
        key: MemberKey,
        tables: &'a Tables,
    ) -> Option<JoinAnswer<'a>> {
        let members = &tables.members;
        let member = members.get(key)?;
        let leader = self.leader.and_then(|leader| members.get(leader));
        // A follower of a stable group that asks again is no leader; a leader gets the members.
        let leads = self.leader == Some(key);
        Some(JoinAnswer {
            generation: self.generation,
            protocol_type: self.protocol_type(tables).unwrap_or(""),
            protocol_name: self.protocol_name(tables).unwrap_or(""),
            leader: leader.map_or("", |leader| members.member_id(leader)),
            member_id: members.member_id(member),
            skip_assignment: false,
            tables,
            members: if leads { members.iter(self.roll) } else { Iter::NONE },
        })
    }

    /// The answer to a static member that came back to a stable group. If it leads, it is told to
    /// skip the assignment; before v9 that is said by naming its former id as the leader.
    pub(in crate::state) fn join_answer_of_returned<'a>(
        &self,
        key: MemberKey,
        hidden: bool,
        tables: &'a Tables,
    ) -> Option<JoinAnswer<'a>> {
        let answer = self.join_answer(key, tables)?;
        Some(if hidden {
            JoinAnswer { leader: &tables.former_member_id, members: Iter::NONE, ..answer }
        } else {
            JoinAnswer { skip_assignment: self.leader == Some(key), ..answer }
        })
    }
}
