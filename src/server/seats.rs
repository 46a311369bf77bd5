//! The seats: a fixed number of connections, and who makes room when all are taken.
//!
//! ```text
//! gives its seat up, the one that did so for longest first:
//!   1. who never asked anything, silent for SILENT_MS or there for FIRST_REQUEST_MS
//!   2. who never asked anything and comes from the newcomer's own address
//!   3. who has asked, and for whom nothing was done and nothing moved for DISPLACE_IDLE_MS
//! ```
//!
//! Promises: memory and wake handles are allocated at the start and used again; a flood of
//! connections that ask nothing displaces nobody who does.
//! Absent: sockets, and logging.

use super::shared::SeatMemory;
use crate::broker::Slot;
use crate::limits::{DISPLACE_IDLE_MS, FIRST_REQUEST_MS, SILENT_MS, Sizes};
use crate::time::Millis;
use core::mem::size_of;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::Notify;

/// What is known about whoever sits there.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// From where.
    address: IpAddr,
    /// Since when.
    came: Millis,
    /// When its socket last moved a byte.
    moved: Millis,
    /// It has sent a whole request.
    asked: bool,
    /// Only the client can bring anything on.
    clients_turn: bool,
    /// It was asked to leave.
    leaving: bool,
    /// It is in the list of those who wait for a sync.
    awaits_sync: bool,
}

impl Guest {
    /// Whether it gives its seat up to somebody from `newcomer`: its class, the lower the sooner.
    fn class(&self, newcomer: IpAddr, now: Millis) -> Option<u8> {
        let (there, silent) = (now.since(self.came), now.since(self.moved));
        match self.asked {
            false if silent >= SILENT_MS || there >= FIRST_REQUEST_MS => Some(0),
            // Who opens connections faster than that pays for it alone.
            false if self.address == newcomer => Some(1),
            true if self.clients_turn && silent >= DISPLACE_IDLE_MS => Some(2),
            _ => None,
        }
    }
}

struct Seat {
    wake: Rc<Notify>,
    /// While nobody sits there.
    memory: Option<SeatMemory>,
    guest: Option<Guest>,
}

/// All seats.
pub struct Seats {
    seats: Box<[Seat]>,
    taken: usize,
}

impl Seats {
    /// As many as the board has.
    pub fn new(sizes: &Sizes) -> Seats {
        let seat =
            |memory| Seat { wake: Rc::new(Notify::new()), memory: Some(memory), guest: None };
        Seats { seats: SeatMemory::for_all(sizes).map(seat).collect(), taken: 0 }
    }

    /// Bytes of a seat without its buffers: its row, its wake handle and its places in lists.
    pub const fn memory() -> usize {
        size_of::<Seat>() + size_of::<Notify>() + 4 * size_of::<usize>() + 2 * size_of::<Slot>()
    }

    /// How many are taken, and how many there are.
    pub fn taken(&self) -> (usize, usize) {
        (self.taken, self.seats.len())
    }

    /// A free seat, with what belongs to it.
    pub fn take(&mut self, address: IpAddr, now: Millis) -> Option<(Slot, Rc<Notify>, SeatMemory)> {
        let at = self.seats.iter().position(|seat| seat.memory.is_some())?;
        let seat = &mut self.seats[at];
        let memory = seat.memory.take()?;
        seat.guest = Some(Guest {
            address,
            came: now,
            moved: now,
            asked: false,
            clients_turn: true,
            leaving: false,
            awaits_sync: false,
        });
        self.taken += 1;
        Some((at as Slot, seat.wake.clone(), memory))
    }

    /// Its guest is gone.
    pub fn leave(&mut self, slot: Slot, memory: SeatMemory) {
        if let Some(seat) = self.seats.get_mut(slot as usize) {
            seat.memory = Some(memory);
            seat.guest = None;
            self.taken -= 1;
        }
    }

    /// Who makes room for a connection from `newcomer`, if anybody does: it is asked to leave,
    /// once.
    pub fn displace(&mut self, newcomer: IpAddr, now: Millis) -> Option<Slot> {
        let order = |(_, guest): &(usize, Guest)| (guest.class(newcomer, now), guest.moved);
        let guests = self.seats.iter().enumerate().filter_map(|(at, seat)| Some((at, seat.guest?)));
        let ready =
            guests.filter(|(_, guest)| !guest.leaving && guest.class(newcomer, now).is_some());
        let (at, _) = ready.min_by_key(order)?;
        if let Some(guest) = &mut self.seats[at].guest {
            guest.leaving = true;
        }
        Some(at as Slot)
    }

    /// What a session found when it looked at its connection. Whether it was asked to leave.
    pub fn note(&mut self, slot: Slot, moved: Millis, asked: bool, clients_turn: bool) -> bool {
        let guest = self.seats.get_mut(slot as usize).and_then(|seat| seat.guest.as_mut());
        guest.is_some_and(|guest| {
            (guest.moved, guest.clients_turn) = (moved, clients_turn);
            guest.asked |= asked;
            guest.leaving
        })
    }

    /// Whether the guest comes to the list of those who wait for a sync only now.
    pub fn begins_to_await_sync(&mut self, slot: Slot) -> bool {
        let guest = self.seats.get_mut(slot as usize).and_then(|seat| seat.guest.as_mut());
        guest.is_some_and(|guest| !core::mem::replace(&mut guest.awaits_sync, true))
    }

    /// The guest is taken off that list, and told.
    pub fn sync_ended(&mut self, slot: Slot) {
        if let Some(guest) = self.seats.get_mut(slot as usize).and_then(|seat| seat.guest.as_mut())
        {
            guest.awaits_sync = false;
        }
        self.wake(slot);
    }

    /// Something happened for this one.
    pub fn wake(&self, slot: Slot) {
        if let Some(seat) = self.seats.get(slot as usize).filter(|seat| seat.guest.is_some()) {
            seat.wake.notify_one();
        }
    }

    /// Something happened for all.
    pub fn wake_all(&self) {
        let taken = self.seats.iter().filter(|seat| seat.guest.is_some());
        taken.for_each(|seat| seat.wake.notify_one());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn seats(count: usize) -> Seats {
        Seats::new(&Sizes { connections: count, ..Sizes::default() })
    }

    #[test]
    fn there_are_as_many_as_the_board_has_and_they_are_used_again() {
        let mut seats = seats(2);
        let (first, _, memory) = seats.take(HERE, Millis(0)).unwrap();
        let (second, _, _) = seats.take(HERE, Millis(0)).unwrap();
        assert_eq!((first, second), (0, 1));
        assert!(seats.take(HERE, Millis(0)).is_none());
        assert_eq!(seats.taken(), (2, 2));
        seats.leave(first, memory);
        assert_eq!(seats.take(HERE, Millis(0)).unwrap().0, first);
    }

    #[test]
    fn who_never_asked_makes_room_first_and_then_who_was_idle_longest() {
        let mut seats = seats(4);
        (0..4).for_each(|_| drop(seats.take(HERE, Millis(0))));
        // 0 and 1 have asked, 2 waits for its records, 3 is silent.
        for (slot, moved, turn) in [(0, 200, true), (1, 100, true), (2, 50, false)] {
            assert!(!seats.note(slot, Millis(moved), true, turn));
        }
        assert_eq!(seats.displace(THERE, Millis(500)), None, "too soon for anybody");
        assert_eq!(seats.displace(THERE, Millis(10_000)), Some(3));
        assert_eq!(seats.displace(THERE, Millis(10_000)), Some(1));
        assert!(seats.note(1, Millis(100), true, true), "it was asked to leave");
        assert_eq!(seats.displace(THERE, Millis(10_000)), Some(0));
        assert_eq!(seats.displace(THERE, Millis(10_000)), None, "each is asked once");
    }

    #[test]
    fn a_first_request_that_comes_drop_by_drop_keeps_no_seat() {
        let mut seats = seats(1);
        seats.take(HERE, Millis(0)).unwrap();
        seats.note(0, Millis(9_999), false, true);
        assert_eq!(seats.displace(THERE, Millis(9_999)), None);
        seats.note(0, Millis(10_000), false, true);
        assert_eq!(seats.displace(THERE, Millis(10_000)), Some(0));
    }

    #[test]
    fn nobody_is_told_of_a_sync_twice() {
        let mut seats = seats(1);
        seats.take(HERE, Millis(0)).unwrap();
        assert!(seats.begins_to_await_sync(0));
        assert!(!seats.begins_to_await_sync(0));
        seats.sync_ended(0);
        assert!(seats.begins_to_await_sync(0));
    }

    #[test]
    fn a_flood_from_one_address_takes_no_seat_from_another() {
        let mut seats = seats(3);
        seats.take(HERE, Millis(0)).unwrap();
        seats.note(0, Millis(0), true, true);
        // All within a second, so that nobody of them was silent for long.
        for at in [9_000, 9_100] {
            seats.take(THERE, Millis(at)).unwrap();
        }
        assert_eq!(seats.displace(THERE, Millis(9_200)), Some(1), "the flood's own first one");
        assert_eq!(seats.displace(THERE, Millis(9_300)), Some(2));
        assert_eq!(seats.displace(THERE, Millis(9_400)), Some(0), "nobody else is left");
    }
}
