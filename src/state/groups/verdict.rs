//! What the table of groups answers: verdicts on requests, results of parked ones, views of groups.
//!
//! Answers borrow from the group they are about; nothing is copied until it is written to a client.

use crate::state::group::tickets::Ticket;
use crate::state::group::{Group, GroupState, JoinAnswer, MemberView, Refusal, SyncAnswer, Tables};

/// A JoinGroup that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinTicket(Ticket);

impl JoinTicket {
    pub(super) fn new(ticket: Ticket) -> JoinTicket {
        JoinTicket(ticket)
    }

    pub(super) fn ticket(self) -> Ticket {
        self.0
    }
}

/// A SyncGroup that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTicket(Ticket);

impl SyncTicket {
    pub(super) fn new(ticket: Ticket) -> SyncTicket {
        SyncTicket(ticket)
    }

    pub(super) fn ticket(self) -> Ticket {
        self.0
    }
}

/// The verdict on a JoinGroup.
#[derive(Clone, Debug)]
pub enum JoinVerdict<'a> {
    /// No, and the member id that goes with it.
    Refused(Refusal, &'a str),
    /// The answer comes later.
    Parked(JoinTicket),
    /// The member is in.
    Joined(JoinAnswer<'a>),
}

/// What became of a parked JoinGroup.
#[derive(Clone, Debug)]
pub enum JoinResult<'a> {
    /// Not ready yet.
    Pending,
    /// No; the member id of the answer is empty.
    Refused(Refusal),
    /// The member is in.
    Joined(JoinAnswer<'a>),
}

/// The verdict on a SyncGroup.
#[derive(Clone, Copy, Debug)]
pub enum SyncVerdict<'a> {
    /// No.
    Refused(Refusal),
    /// The answer comes later.
    Parked(SyncTicket),
    /// Here it is.
    Assigned(SyncAnswer<'a>),
}

/// What became of a parked SyncGroup.
#[derive(Clone, Copy, Debug)]
pub enum SyncResult<'a> {
    /// Not ready yet.
    Pending,
    /// No.
    Refused(Refusal),
    /// Here it is.
    Assigned(SyncAnswer<'a>),
}

/// One group as DescribeGroups and ListGroups show it.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    group: &'a Group,
    tables: &'a Tables,
}

impl<'a> GroupView<'a> {
    pub(super) fn new(group: &'a Group, tables: &'a Tables) -> GroupView<'a> {
        GroupView { group, tables }
    }

    /// Its id.
    #[must_use]
    pub fn group_id(&self) -> &'a str {
        self.group.id(self.tables)
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> GroupState {
        self.group.state()
    }

    /// "consumer", "connect", …; empty for a group that only ever committed offsets.
    #[must_use]
    pub fn protocol_type(&self) -> &'a str {
        self.group.protocol_type(self.tables).unwrap_or("")
    }

    /// The generation's protocol (`protocol_data`); empty unless the group is stable, as in Kafka.
    #[must_use]
    pub fn protocol_data(&self) -> &'a str {
        self.stable_protocol().unwrap_or("")
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.group.generation()
    }

    /// Its members; their metadata is shown only while the group is stable, as in Kafka.
    pub fn members(&self) -> impl ExactSizeIterator<Item = MemberView<'a>> + Clone + use<'a> {
        let protocol_name = self.stable_protocol();
        let members = &self.tables.members;
        let rows = members.iter(self.group.roll());
        rows.map(move |member| MemberView::new(members, member, protocol_name))
    }

    fn stable_protocol(&self) -> Option<&'a str> {
        let stable = self.group.state() == GroupState::Stable;
        self.group.protocol_name(self.tables).filter(|_| stable)
    }
}
