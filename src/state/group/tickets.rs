//! Answers that are owed: which connection waits for which member's join or sync, and what became
//! of it.
//!
//! A connection waits for at most one answer (requests of a connection are served in order), so a
//! ticket is kept under its waiter, and the table has a place for every connection there can be.
//! Every ticket is answered exactly once; a connection that vanished takes its ticket along and
//! nobody is woken.

use super::Refusal;
use crate::fixed::{Map, Ring};
use crate::limits::Usage;
use crate::state::members::MemberKey;

/// A connection's slot in the server's table; opaque here.
pub type Waiter = u32;

/// One wait: the connection and which of its waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) struct Ticket {
    pub(in crate::state) waiter: Waiter,
    number: u64,
}

/// What a ticket has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum Outcome {
    Pending,
    Refused(Refusal),
    /// The join or sync ended in this generation; the particulars are read from the group.
    Answered {
        generation: i32,
    },
}

/// Where the particulars of an answer are.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) struct Parked {
    number: u64,
    pub(in crate::state) group: (u32, u64),
    pub(in crate::state) member: MemberKey,
    pub(in crate::state) outcome: Outcome,
}

/// The table of waits.
#[derive(Debug)]
pub(in crate::state) struct Tickets {
    parked: Map<Waiter, Parked>,
    /// Each names a connection whose ticket was answered, so there are no more than of those.
    woken: Ring<Waiter>,
    numbers: u64,
}

impl Tickets {
    /// Room for one wait of each of so many connections.
    pub(in crate::state) fn new(connections: usize) -> Tickets {
        Tickets { parked: Map::new(connections), woken: Ring::new(connections), numbers: 0 }
    }

    /// Bytes that [`Tickets::new`] takes.
    pub(in crate::state) fn memory(connections: usize) -> usize {
        Map::<Waiter, Parked>::memory(connections) + Ring::<Waiter>::memory(connections)
    }

    /// Whether `waiter` can be parked: always, as long as waiters are places of connections.
    pub(in crate::state) fn has_room(&self, waiter: Waiter) -> bool {
        !self.parked.is_full() || self.parked.contains_key(&waiter)
    }

    /// How full the table is.
    pub(in crate::state) fn usage(&self) -> Usage {
        Usage::new("group.waits", self.parked.len(), self.parked.capacity())
    }

    /// Parks `waiter` for `member` of `group`; what it waited for before is forgotten.
    pub(in crate::state) fn park(
        &mut self,
        waiter: Waiter,
        group: (u32, u64),
        member: MemberKey,
    ) -> Ticket {
        self.forget(waiter);
        self.numbers += 1;
        let number = self.numbers;
        let parked = Parked { number, group, member, outcome: Outcome::Pending };
        let placed = self.parked.insert(waiter, parked);
        debug_assert!(placed.is_ok(), "has_room was asked");
        Ticket { waiter, number }
    }

    /// Answers a ticket and notes its connection as to be woken.
    pub(in crate::state) fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(parked) = self.parked.get_mut(&ticket.waiter) else { return };
        if parked.number == ticket.number && parked.outcome == Outcome::Pending {
            parked.outcome = outcome;
            let noted = self.woken.push_back(ticket.waiter);
            debug_assert!(noted.is_ok(), "one for each that is parked");
        }
    }

    /// What is known of a ticket; `None` if its connection has gone or waits for something else.
    pub(in crate::state) fn get(&self, ticket: Ticket) -> Option<&Parked> {
        self.parked.get(&ticket.waiter).filter(|parked| parked.number == ticket.number)
    }

    /// Drops whatever `waiter` waits for, and its wake-up.
    pub(in crate::state) fn forget(&mut self, waiter: Waiter) {
        let Some(parked) = self.parked.remove(&waiter) else { return };
        if parked.outcome != Outcome::Pending {
            self.woken.retain(|woken| *woken != waiter);
        }
    }

    /// The next connection to wake.
    pub(in crate::state) fn pop_woken(&mut self) -> Option<Waiter> {
        self.woken.pop_front()
    }

    /// Waits that have not been read to their end.
    #[cfg(test)]
    pub(in crate::state) fn len(&self) -> usize {
        self.parked.len()
    }
}
