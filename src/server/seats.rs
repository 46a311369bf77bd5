//! The seats: a fixed number of connections, and who makes room when all are taken.
//!
//! ```text
//! gives its seat up, of each class the address with the most connections first, and of these the
//! connection that did nothing for longest:
//!   0. who never asked anything, silent for SILENT_MS or there for FIRST_REQUEST_MS
//!   1. who never asked anything, from the newcomer's own address or one over its share
//!   2. who only waits (for its client, for records, for its group), of an address over its share
//!   3. who has asked, and for whom nothing was done and nothing moved for DISPLACE_IDLE_MS
//!   4. anybody of an address over its share
//! ```
//!
//! An address is over its share when it has more than half of all seats; its own newcomers take
//! no seat from others then, but from who never asked.
//!
//! Promises: memory and wake handles are allocated at the start and used again; a flood of
//! connections that ask nothing displaces nobody who does; one address, whatever it does, leaves
//! half of the seats to others.
//! Absent: sockets, and logging.

use super::shared::SeatMemory;
use crate::broker::Slot;
use crate::limits::{DISPLACE_IDLE_MS, FIRST_REQUEST_MS, SILENT_MS, Sizes};
use crate::time::Millis;
use core::mem::size_of;
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use tokio::sync::Notify;

/// What is known about whoever sits there.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// From where.
    address: IpAddr,
    /// Connections from there, this one among them.
    neighbours: usize,
    /// Since when.
    came: Millis,
    /// When its socket last moved a byte.
    moved: Millis,
    /// It has sent a whole request.
    asked: bool,
    /// What has to happen for it to go on.
    state: State,
    /// It was asked to leave.
    leaving: bool,
    /// It is in the list of those who wait for a sync.
    awaits_sync: bool,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its client: only that can bring anything on.
    Client,
    /// Records, or its group.
    Others,
    /// Something is being done for it.
    Work,
}

/// Somebody wants a seat.
#[derive(Clone, Copy, Debug)]
struct Newcomer {
    address: IpAddr,
    is_over: bool,
    now: Millis,
}

/// Who has an IPv6 address has all those of its network's last 64 bits.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

impl Guest {
    /// Whether it gives its seat up: its class, the lower the sooner. `is_over` says that its
    /// address has more than its share.
    fn class(&self, newcomer: Newcomer, is_over: bool) -> Option<u8> {
        let now = newcomer.now;
        let (there, silent) = (now.since(self.came), now.since(self.moved));
        let own = self.address == newcomer.address;
        let idle = self.state == State::Client && silent >= DISPLACE_IDLE_MS;
        match self.asked {
            false if silent >= SILENT_MS || there >= FIRST_REQUEST_MS => Some(0),
            // Who opens connections faster than that pays for it alone.
            false if own || is_over => Some(1),
            true if is_over && !own && self.state != State::Work => Some(2),
            true if idle && (own || !newcomer.is_over) => Some(3),
            true if is_over && !own => Some(4),
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
        let memory = self.seats[at].memory.take()?;
        let address = host(address);
        let neighbours = self.count(address) + 1;
        self.seats[at].guest = Some(Guest {
            address,
            neighbours,
            came: now,
            moved: now,
            asked: false,
            state: State::Client,
            leaving: false,
            awaits_sync: false,
        });
        self.tell_neighbours(address, neighbours);
        self.taken += 1;
        let seat = &self.seats[at];
        Some((at as Slot, seat.wake.clone(), memory))
    }

    /// Its guest is gone.
    pub fn leave(&mut self, slot: Slot, memory: SeatMemory) {
        let Some(seat) = self.seats.get_mut(slot as usize) else { return };
        seat.memory = Some(memory);
        self.taken -= 1;
        if let Some(gone) = seat.guest.take() {
            self.tell_neighbours(gone.address, gone.neighbours - 1);
        }
    }

    /// How many come from there.
    fn count(&self, address: IpAddr) -> usize {
        let guests = self.seats.iter().filter_map(|seat| seat.guest);
        guests.filter(|guest| guest.address == address).count()
    }

    /// There are so many from that address now.
    fn tell_neighbours(&mut self, address: IpAddr, neighbours: usize) {
        let guests = self.seats.iter_mut().filter_map(|seat| seat.guest.as_mut());
        let those = guests.filter(|guest| guest.address == address);
        those.for_each(|guest| guest.neighbours = neighbours);
    }

    /// Whether so many of one address are more than its share.
    fn is_over(&self, count: usize) -> bool {
        count > self.seats.len() / 2
    }

    /// Who makes room for a connection from `newcomer`, if anybody does: it is asked to leave,
    /// once.
    pub fn displace(&mut self, newcomer: IpAddr, now: Millis) -> Option<Slot> {
        let address = host(newcomer);
        let newcomer = Newcomer { address, is_over: self.is_over(self.count(address)), now };
        let guests = self.seats.iter().enumerate().filter_map(|(at, seat)| Some((at, seat.guest?)));
        let ready = guests.filter(|(_, guest)| !guest.leaving).filter_map(|(at, guest)| {
            let class = guest.class(newcomer, self.is_over(guest.neighbours))?;
            Some((class, Reverse(guest.neighbours), guest.moved, at))
        });
        let (.., at) = ready.min()?;
        if let Some(guest) = &mut self.seats[at].guest {
            guest.leaving = true;
        }
        Some(at as Slot)
    }

    /// What a session found when it looked at its connection. Whether it was asked to leave.
    pub fn note(&mut self, slot: Slot, moved: Millis, asked: bool, state: State) -> bool {
        let guest = self.seats.get_mut(slot as usize).and_then(|seat| seat.guest.as_mut());
        guest.is_some_and(|guest| {
            (guest.moved, guest.state) = (moved, state);
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
    const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));

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
        for address in [HERE, HERE, THERE, THERE] {
            seats.take(address, Millis(0)).unwrap();
        }
        // 0 and 1 have asked, 2 waits for its records, 3 is silent.
        let states = [(0, 200, State::Client), (1, 100, State::Client), (2, 50, State::Others)];
        for (slot, moved, state) in states {
            assert!(!seats.note(slot, Millis(moved), true, state));
        }
        assert_eq!(seats.displace(ELSEWHERE, Millis(500)), None, "too soon for anybody");
        assert_eq!(seats.displace(ELSEWHERE, Millis(10_000)), Some(3));
        assert_eq!(seats.displace(ELSEWHERE, Millis(10_000)), Some(1));
        assert!(seats.note(1, Millis(100), true, State::Client), "it was asked to leave");
        assert_eq!(seats.displace(ELSEWHERE, Millis(10_000)), Some(0));
        assert_eq!(seats.displace(ELSEWHERE, Millis(10_000)), None, "each is asked once");
    }

    #[test]
    fn a_first_request_that_comes_drop_by_drop_keeps_no_seat() {
        let mut seats = seats(2);
        seats.take(HERE, Millis(0)).unwrap();
        seats.take(THERE, Millis(0)).unwrap();
        seats.note(1, Millis(0), true, State::Work);
        seats.note(0, Millis(9_999), false, State::Client);
        assert_eq!(seats.displace(ELSEWHERE, Millis(9_999)), None);
        seats.note(0, Millis(10_000), false, State::Client);
        assert_eq!(seats.displace(ELSEWHERE, Millis(10_000)), Some(0));
    }

    /// Five of HERE that have asked and are in these states since then, and one of THERE.
    fn over_its_share(states: [(u64, State); 5]) -> Seats {
        let mut seats = seats(6);
        for (at, (moved, state)) in states.into_iter().enumerate() {
            seats.take(HERE, Millis(0)).unwrap();
            seats.note(at as Slot, Millis(moved), true, state);
        }
        seats.take(THERE, Millis(0)).unwrap();
        seats.note(5, Millis(0), true, State::Client);
        seats
    }

    #[test]
    fn an_address_with_more_than_half_of_the_seats_gives_up_what_waits_for_longest() {
        let polls = [40, 20, 60, 30, 50].map(|moved| (moved, State::Others));
        let mut seats = over_its_share(polls);
        for gone in [1, 3] {
            assert_eq!(seats.displace(ELSEWHERE, Millis(100)), Some(gone));
            let memory = SeatMemory::for_all(&Sizes::default()).next().unwrap();
            seats.leave(gone, memory);
            seats.take(ELSEWHERE, Millis(100)).unwrap();
            seats.note(gone, Millis(100), true, State::Others);
        }
        assert_eq!(seats.displace(ELSEWHERE, Millis(200)), None, "half of them is its share");
    }

    #[test]
    fn its_busy_connections_are_the_last_to_go_and_nobody_elses_go_before() {
        let mut states = [50, 40, 30, 20, 10].map(|moved| (moved, State::Work));
        states[1].1 = State::Client;
        let mut seats = over_its_share(states);
        assert_eq!(seats.displace(ELSEWHERE, Millis(100)), Some(1), "its own idle one");
        assert_eq!(seats.displace(ELSEWHERE, Millis(100)), Some(4), "the oldest busy one");
    }

    #[test]
    fn a_newcomer_of_an_address_over_its_share_takes_no_idle_seat_of_others() {
        let mut seats = over_its_share([(9_000, State::Others); 5]);
        assert_eq!(seats.displace(HERE, Millis(10_000)), None);
        // While one from elsewhere would be given a seat.
        assert_eq!(seats.displace(ELSEWHERE, Millis(10_000)), Some(0));
    }

    #[test]
    fn of_several_idle_ones_the_address_with_the_most_connections_loses_one() {
        let mut seats = seats(5);
        for (at, address) in [THERE, HERE, HERE, ELSEWHERE, ELSEWHERE].into_iter().enumerate() {
            seats.take(address, Millis(0)).unwrap();
            let idle = if at < 3 { State::Client } else { State::Work };
            seats.note(at as Slot, Millis(at as u64), true, idle);
        }
        assert_eq!(seats.displace(ELSEWHERE, Millis(9_000)), Some(1));
    }

    #[test]
    fn addresses_of_one_network_of_version_6_are_one() {
        let addresses = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "::ffff:10.0.0.1"];
        let [one, other, elsewhere, mapped] = addresses.map(|text| host(text.parse().unwrap()));
        assert_eq!(one, other);
        assert_ne!(one, elsewhere);
        assert_eq!(mapped, HERE);
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
        seats.note(0, Millis(0), true, State::Client);
        // All within a second, so that nobody of them was silent for long.
        for at in [9_000, 9_100] {
            seats.take(THERE, Millis(at)).unwrap();
        }
        assert_eq!(seats.displace(THERE, Millis(9_200)), Some(1), "the flood's own first one");
        assert_eq!(seats.displace(THERE, Millis(9_300)), Some(2));
        assert_eq!(seats.displace(THERE, Millis(9_400)), None, "an idle one of another address");
        assert_eq!(seats.displace(ELSEWHERE, Millis(9_400)), Some(0), "nobody else is left");
    }
}
