//! All groups of the coordinator: found by id, woken by time, gone when nobody needs them, together
//! with the offsets they committed.
//!
//! A request that must wait is parked: the verdict carries a ticket, [`Groups::pop_woken`] names
//! the connections whose answers became ready, and `*_result` reads them. All memory is taken at
//! start. [`Groups::poll_timeout`] says when [`Groups::handle_timeout`] wants to be called; it
//! looks at one cached deadline per group.
//!
//! Absent on purpose: the rules of a group (`group.rs`), committed offsets (`groups/commits.rs`),
//! who makes room where a table is full (`groups/room.rs`), journalling.

mod commits;
mod member_ids;
mod room;
mod verdict;

use super::group::join::{EchoedId, JoinStep};
use super::group::sync::SyncStep;
use super::group::tickets::{Outcome, Parked, Ticket, Tickets};
use super::group::{Assignments, Context, Group, Protocols, Tables};
use super::offsets::Offsets;
use crate::fixed::{List, Slab};
use crate::limits::{
    GROUP_ID_BYTES_MAX, GROUP_MEMBERS_MAX, OFFSETS_RETENTION_CHECK_INTERVAL_MS, Sizes,
};
use crate::time::{Millis, Now};
use member_ids::MemberIds;

pub use verdict::{GroupView, JoinResult, JoinTicket, JoinVerdict};
pub use verdict::{SyncResult, SyncTicket, SyncVerdict};

pub use super::group::{
    GroupState, JoinAnswer, JoinRequest, MemberView, Refusal, SyncAnswer, SyncRequest, Waiter,
};

/// What the configuration decides.
#[derive(Clone, Copy, Debug)]
pub struct GroupsConfig {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`; never more than [`GROUP_MEMBERS_MAX`].
    pub size_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: u64,
}

impl Default for GroupsConfig {
    /// Kafka's defaults but for the initial delay, which is 0: on a gateway nobody starts fifty
    /// consumers at once.
    fn default() -> GroupsConfig {
        GroupsConfig {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 30 * 60 * 1000,
            initial_rebalance_delay_ms: 0,
            size_max: GROUP_MEMBERS_MAX,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
        }
    }
}

/// All groups.
#[derive(Debug)]
pub struct Groups {
    config: GroupsConfig,
    groups: Slab<Group>,
    /// Places of all groups, sorted by id.
    order: List<u32>,
    /// The deadline of the group in each place.
    deadlines: Box<[Option<Millis>]>,
    next_sweep: Option<Millis>,
    tables: Tables,
    tickets: Tickets,
    offsets: Offsets,
    numbers: u64,
    random: MemberIds,
}

impl Groups {
    /// No groups. `seed` makes member ids unlike those of other runs; it need not be secret.
    #[must_use]
    pub fn new(config: GroupsConfig, sizes: &Sizes, seed: u128) -> Groups {
        let size_max = config.size_max.clamp(1, GROUP_MEMBERS_MAX);
        Groups {
            config: GroupsConfig { size_max, ..config },
            groups: Slab::new(sizes.groups),
            order: List::new(sizes.groups),
            deadlines: vec![None; sizes.groups].into_boxed_slice(),
            next_sweep: None,
            tables: Tables::new(sizes),
            tickets: Tickets::new(sizes.connections),
            offsets: Offsets::new(sizes),
            numbers: 0,
            random: MemberIds::new(seed),
        }
    }

    /// JoinGroup.
    #[expect(clippy::needless_pass_by_value, reason = "a request is built for one call")]
    pub fn join<'a, P: Protocols<'a>>(
        &'a mut self,
        request: JoinRequest<'a, P>,
        now: Now,
    ) -> JoinVerdict<'a> {
        let slot = match self.slot_to_join(&request, now) {
            Ok(slot) => slot,
            Err(refusal) => return JoinVerdict::Refused(refusal, request.member_id),
        };
        self.tickets.forget(request.waiter);
        self.make_room_to_join(slot, &request, now);
        let mut random = std::mem::take(&mut self.random);
        let new_member_id = |name: &str| random.next(name);
        let step = self.on_group(slot, now, |group, cx| group.join(&request, new_member_id, cx));
        self.random = random;
        let unknown = JoinVerdict::Refused(Refusal::UnknownMemberId, "");
        match step {
            JoinStep::Refused(refusal, echoed) => {
                self.remove_if_useless(slot);
                let member_id = match echoed {
                    EchoedId::None => "",
                    EchoedId::Request => request.member_id,
                    EchoedId::New => &self.tables.handed_out,
                };
                JoinVerdict::Refused(refusal, member_id)
            }
            JoinStep::Parked(ticket) => match self.settled(ticket) {
                None => JoinVerdict::Parked(JoinTicket::new(ticket)),
                Some(parked) => match self.read_join(parked) {
                    Ok(answer) => JoinVerdict::Joined(answer),
                    Err(refusal) => JoinVerdict::Refused(refusal, ""),
                },
            },
            JoinStep::Current(key) => {
                let group = self.groups.get(slot);
                let answer = group.and_then(|group| group.join_answer(key, &self.tables));
                answer.map_or(unknown, JoinVerdict::Joined)
            }
            JoinStep::Returned(key, hidden) => {
                let (group, tables) = (self.groups.get(slot), &self.tables);
                let answer = group.and_then(|it| it.join_answer_of_returned(key, hidden, tables));
                answer.map_or(unknown, JoinVerdict::Joined)
            }
        }
    }

    /// What became of a parked JoinGroup. Can be read again until the connection parks anew, is
    /// closed, or is [released](Groups::release).
    #[must_use]
    pub fn join_result(&self, ticket: JoinTicket) -> JoinResult<'_> {
        match self.tickets.get(ticket.ticket()) {
            None => JoinResult::Refused(Refusal::UnknownMemberId),
            Some(parked) if parked.outcome == Outcome::Pending => JoinResult::Pending,
            Some(parked) => match self.read_join(*parked) {
                Ok(answer) => JoinResult::Joined(answer),
                Err(refusal) => JoinResult::Refused(refusal),
            },
        }
    }

    /// SyncGroup.
    #[expect(clippy::needless_pass_by_value, reason = "a request is built for one call")]
    pub fn sync<'a, A: Assignments<'a>>(
        &'a mut self,
        request: SyncRequest<'a, A>,
        now: Now,
    ) -> SyncVerdict<'a> {
        if let Err(refusal) = check_group_id(request.group_id) {
            return SyncVerdict::Refused(refusal);
        }
        let Some(slot) = self.find(request.group_id) else {
            return SyncVerdict::Refused(Refusal::UnknownMemberId);
        };
        if !self.tickets.has_room(request.waiter) {
            return SyncVerdict::Refused(Refusal::RebalanceInProgress);
        }
        self.tickets.forget(request.waiter);
        match self.on_group(slot, now, |group, cx| group.sync(&request, cx)) {
            SyncStep::Refused(refusal) => SyncVerdict::Refused(refusal),
            SyncStep::Parked(ticket) => match self.settled(ticket) {
                None => SyncVerdict::Parked(SyncTicket::new(ticket)),
                Some(parked) => match self.read_sync(parked) {
                    Ok(answer) => SyncVerdict::Assigned(answer),
                    Err(refusal) => SyncVerdict::Refused(refusal),
                },
            },
            SyncStep::Assigned(key) => {
                let group = self.groups.get(slot);
                let answer = group.and_then(|group| group.sync_answer(key, &self.tables));
                answer.map_or(SyncVerdict::Refused(Refusal::UnknownMemberId), SyncVerdict::Assigned)
            }
        }
    }

    /// What became of a parked SyncGroup; see [`Groups::join_result`].
    #[must_use]
    pub fn sync_result(&self, ticket: SyncTicket) -> SyncResult<'_> {
        match self.tickets.get(ticket.ticket()) {
            None => SyncResult::Refused(Refusal::UnknownMemberId),
            Some(parked) if parked.outcome == Outcome::Pending => SyncResult::Pending,
            Some(parked) => match self.read_sync(*parked) {
                Ok(answer) => SyncResult::Assigned(answer),
                Err(refusal) => SyncResult::Refused(refusal),
            },
        }
    }

    /// Heartbeat.
    pub fn heartbeat(
        &mut self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> Result<(), Refusal> {
        check_group_id(group_id)?;
        let slot = self.find(group_id).ok_or(Refusal::UnknownMemberId)?;
        self.on_session(slot, |group, tables| {
            group.heartbeat(member_id, instance_id, generation, tables, now.mono)
        })
    }

    /// LeaveGroup: `each` is called with the verdict on every member (member id, instance id), in
    /// order.
    ///
    /// LeaveGroup v0 to v2 names one member and answers its refusal at the top.
    pub fn leave<'r>(
        &mut self,
        group_id: &str,
        members: impl Iterator<Item = (&'r str, Option<&'r str>)>,
        now: Now,
        mut each: impl FnMut(&'r str, Option<&'r str>, Result<(), Refusal>),
    ) -> Result<(), Refusal> {
        check_group_id(group_id)?;
        let Some(slot) = self.find(group_id) else {
            for (member_id, instance_id) in members {
                each(member_id, instance_id, Err(Refusal::UnknownMemberId));
            }
            return Ok(());
        };
        self.on_group(slot, now, |group, cx| {
            // None as long as nobody left; as in Kafka a request in vain completes no rebalance.
            let mut gone = None;
            for (member_id, instance_id) in members {
                let verdict = group.leave(member_id, instance_id, cx);
                gone = gone.max(verdict.ok());
                each(member_id, instance_id, verdict.map(|_| ()));
            }
            if let Some(member_gone) = gone {
                group.left(member_gone, cx);
            }
        });
        Ok(())
    }

    /// DeleteGroups of one group: it goes with its offsets if it has no members.
    pub fn delete_group(&mut self, group_id: &str) -> Result<(), Refusal> {
        let group = self.get(group_id).ok_or(Refusal::GroupIdNotFound)?;
        if group.state() != GroupState::Empty {
            return Err(Refusal::NonEmptyGroup);
        }
        self.offsets.remove_group(group_id);
        if let Some(slot) = self.find(group_id) {
            self.remove(slot);
        }
        Ok(())
    }

    /// One group; `None` is what DescribeGroups v0 to v5 calls Dead.
    #[must_use]
    pub fn describe(&self, group_id: &str) -> Option<GroupView<'_>> {
        self.get(group_id).map(|group| GroupView::new(group, &self.tables))
    }

    /// All groups, in no particular order.
    pub fn list(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.groups.iter().map(|(_, group)| GroupView::new(group, &self.tables))
    }

    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// When [`Groups::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.deadlines.iter().flatten().copied().chain(self.next_sweep).min()
    }

    /// Lets everything happen that is due by `now`. Committed offsets that have expired are
    /// forgotten if `forget` says, for group, topic and partition, that this was noted down.
    pub fn handle_timeout(&mut self, now: Now, forget: impl FnMut(&str, &str, i32) -> bool) {
        for slot in 0..self.groups.keys_end() {
            if self.deadlines[slot as usize].is_some_and(|deadline| deadline <= now.mono) {
                self.on_group(slot, now, |group, cx| group.handle_timeout(cx));
            }
        }
        if self.next_sweep.is_some_and(|sweep| sweep <= now.mono) {
            self.sweep(now, forget);
        }
    }

    /// The next connection whose parked answer became ready. Each is named once.
    pub fn pop_woken(&mut self) -> Option<Waiter> {
        self.tickets.pop_woken()
    }

    /// The answer was written; nothing is kept for this connection any longer.
    pub fn release(&mut self, waiter: Waiter) {
        self.tickets.forget(waiter);
    }

    /// A connection vanished: nobody is woken for it. Its member lives on until its session ends,
    /// and counts as joined if it was waiting, as in Kafka.
    pub fn connection_closed(&mut self, waiter: Waiter) {
        self.tickets.forget(waiter);
    }

    /// The group of a JoinGroup that passed the checks which need no group.
    fn slot_to_join<'a, P: Protocols<'a>>(
        &mut self,
        request: &JoinRequest<'a, P>,
        now: Now,
    ) -> Result<u32, Refusal> {
        check_group_id(request.group_id)?;
        let session_timeout_ms = request.session_timeout_ms;
        if session_timeout_ms < self.config.session_timeout_ms_min
            || session_timeout_ms > self.config.session_timeout_ms_max
        {
            return Err(Refusal::InvalidSessionTimeout);
        }
        request.check()?;
        if !self.tickets.has_room(request.waiter) {
            return Err(Refusal::GroupMaxSizeReached);
        }
        match self.find(request.group_id) {
            Some(slot) => Ok(slot),
            None if request.member_id.is_empty() => self.create(request.group_id, now),
            None => Err(Refusal::UnknownMemberId),
        }
    }

    /// Lets an event happen to one group, and keeps the books: its deadline.
    fn on_group<T>(
        &mut self,
        slot: u32,
        now: Now,
        event: impl FnOnce(&mut Group, &mut Context<'_>) -> T,
    ) -> T {
        let group = self.groups.get_mut(slot).expect("a slot in use");
        let mut cx = Context {
            tables: &mut self.tables,
            tickets: &mut self.tickets,
            now: now.mono,
            initial_rebalance_delay_ms: self.config.initial_rebalance_delay_ms,
            size_max: self.config.size_max,
        };
        let verdict = event(group, &mut cx);
        self.deadlines[slot as usize] = group.deadline(&self.tables);
        verdict
    }

    /// The same for an event that can only prolong a session: nothing but the deadline changes.
    fn on_session<T>(&mut self, slot: u32, event: impl FnOnce(&mut Group, &mut Tables) -> T) -> T {
        let group = self.groups.get_mut(slot).expect("a slot in use");
        let verdict = event(group, &mut self.tables);
        self.deadlines[slot as usize] = group.deadline(&self.tables);
        verdict
    }

    /// A ticket that was answered within the very request that took it: read at once, nobody is
    /// woken.
    fn settled(&mut self, ticket: Ticket) -> Option<Parked> {
        let parked = *self.tickets.get(ticket)?;
        if parked.outcome == Outcome::Pending {
            return None;
        }
        self.tickets.forget(ticket.waiter);
        Some(parked)
    }

    /// The group and generation that an answer belongs to, if they still are what they were.
    fn answered(&self, parked: Parked) -> Result<(&Group, bool), Refusal> {
        let generation = match parked.outcome {
            Outcome::Answered { generation } => generation,
            Outcome::Refused(refusal) => return Err(refusal),
            Outcome::Pending => return Err(Refusal::UnknownMemberId),
        };
        let (slot, number) = parked.group;
        let group = self.groups.get(slot);
        let group = group.filter(|group| group.number() == number);
        let group = group.ok_or(Refusal::UnknownMemberId)?;
        Ok((group, group.generation() == generation))
    }

    fn read_join(&self, parked: Parked) -> Result<JoinAnswer<'_>, Refusal> {
        let (group, is_current) = self.answered(parked)?;
        // A generation that ended before its answer was read has no use for this member any more.
        // It is not told REBALANCE_IN_PROGRESS, which Java clients before 2.5 don't expect here.
        let answer = group.join_answer(parked.member, &self.tables).filter(|_| is_current);
        answer.ok_or(Refusal::UnknownMemberId)
    }

    fn read_sync(&self, parked: Parked) -> Result<SyncAnswer<'_>, Refusal> {
        let (group, is_current) = self.answered(parked)?;
        let answer = group.sync_answer(parked.member, &self.tables);
        let answer = answer.ok_or(Refusal::UnknownMemberId)?;
        if is_current { Ok(answer) } else { Err(Refusal::RebalanceInProgress) }
    }

    /// Where the group is in the order, or would have to be.
    fn position(&self, group_id: &str) -> Result<usize, usize> {
        self.order.binary_search_by(|slot| {
            let group = self.groups.get(*slot);
            group.map_or(&[][..], |it| it.id_bytes(&self.tables)).cmp(group_id.as_bytes())
        })
    }

    fn find(&self, group_id: &str) -> Option<u32> {
        self.order.get(self.position(group_id).ok()?).copied()
    }

    fn get(&self, group_id: &str) -> Option<&Group> {
        self.find(group_id).and_then(|slot| self.groups.get(slot))
    }

    fn create(&mut self, group_id: &str, now: Now) -> Result<u32, Refusal> {
        if group_id.len() > GROUP_ID_BYTES_MAX {
            return Err(Refusal::InvalidGroupId);
        }
        if self.groups.is_full() && !self.make_room_for_group(now) {
            return Err(Refusal::GroupsFull);
        }
        let number = self.numbers + 1;
        let group = Group::new(group_id, (0, number), now.mono, &mut self.tables);
        let group = group.ok_or(Refusal::GroupsFull)?;
        let at = self.position(group_id).unwrap_or_else(|at| at);
        let slot = self.groups.insert(group).map_err(|_| Refusal::GroupsFull)?;
        if let Some(group) = self.groups.get_mut(slot) {
            group.placed(slot);
        }
        let placed = self.order.insert(at, slot);
        debug_assert!(placed.is_ok(), "as many places as groups");
        self.numbers = number;
        let next_sweep = now.mono.saturating_add(OFFSETS_RETENTION_CHECK_INTERVAL_MS);
        self.next_sweep.get_or_insert(next_sweep);
        Ok(slot)
    }

    fn remove(&mut self, slot: u32) {
        let Some(group) = self.groups.get(slot) else { return };
        if let Ok(at) = self.position(group.id(&self.tables)) {
            self.order.remove(at);
        }
        if let Some(mut group) = self.groups.remove(slot) {
            group.dissolve(&mut self.tables, &mut self.tickets);
        }
        self.deadlines[slot as usize] = None;
    }

    /// Nobody is in it, nobody is about to come, and it has committed nothing.
    fn is_useless(&self, slot: u32) -> bool {
        let has_offsets = |group: &Group| self.offsets.has_group(group.id(&self.tables));
        let group = self.groups.get(slot);
        group.is_some_and(|group| group.is_unused(&self.tables) && !has_offsets(group))
    }

    /// A refused JoinGroup leaves no group behind that was made for it.
    fn remove_if_useless(&mut self, slot: u32) {
        if self.groups.get(slot).is_some_and(Group::is_fresh) && self.is_useless(slot) {
            self.remove(slot);
        }
    }
}

/// Group management needs an id; only commits, fetches and deletion know the empty one (Kafka's
/// `isGroupIdNotEmpty`).
fn check_group_id(group_id: &str) -> Result<(), Refusal> {
    if group_id.is_empty() || group_id.len() > GROUP_ID_BYTES_MAX {
        return Err(Refusal::InvalidGroupId);
    }
    Ok(())
}

#[cfg(test)]
mod life;
#[cfg(test)]
mod scripts;
