//! Which connections wait for records of which partition.
//!
//! A partition remembers a few waiting connections; when there are more, all of them are woken
//! whenever it moves. Waking one for nothing costs it a look, so entries of fetches that were
//! answered meanwhile need no removal.

use crate::fixed::{List, Ring};
use crate::limits::{Ledger, PARTITION_WAITERS, Sizes};
use crate::storage::PartitionIndex;

/// A connection's place in the server's table.
pub type Slot = u32;

#[derive(Debug, Default)]
struct Waiters {
    slots: heapless::Vec<Slot, PARTITION_WAITERS>,
    overflowed: bool,
}

/// The waiting connections.
#[derive(Debug)]
pub struct Waiting {
    by_partition: List<Waiters>,
    /// Everybody who waits where there was no room.
    crowd: List<Slot>,
    woken: Ring<Slot>,
    /// Everybody is to be woken: this slot next. Where a list has no room, that is said instead.
    everybody: Option<Slot>,
    connections: usize,
}

impl Waiting {
    /// Room for `sizes`: each connection waits once in the crowd, and is woken once at a time.
    pub fn new(sizes: &Sizes) -> Waiting {
        let mut by_partition = List::new(sizes.partitions);
        while by_partition.push(Waiters::default()).is_ok() {}
        let (crowd, woken) = (List::new(sizes.connections), Ring::new(2 * sizes.connections));
        Waiting { by_partition, crowd, woken, everybody: None, connections: sizes.connections }
    }

    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let bytes = List::<Waiters>::memory(1);
        let more = "all that wait are woken for each of them";
        ledger.row("waiting fetches, per partition", sizes.partitions, bytes, more);
        let bytes =
            List::<Slot>::memory(sizes.connections) + Ring::<Slot>::memory(2 * sizes.connections);
        ledger.row("waiting fetches, all", 1, bytes, more);
    }

    /// A connection waits for records of a partition.
    pub fn wait(&mut self, index: PartitionIndex, slot: Slot) {
        let Some(waiters) = self.by_partition.get_mut(index) else { return };
        if waiters.slots.contains(&slot) {
            return;
        }
        if waiters.slots.push(slot).is_err() {
            waiters.overflowed = true;
            if !self.crowd.contains(&slot) && self.crowd.push(slot).is_err() {
                self.everybody = Some(0);
            }
        }
    }

    /// Whether anybody waits for a partition.
    pub fn any(&self, index: PartitionIndex) -> bool {
        self.by_partition.get(index).is_some_and(|w| !w.slots.is_empty())
    }

    /// A partition moved.
    pub fn wake(&mut self, index: PartitionIndex) {
        let Some(waiters) = self.by_partition.get_mut(index) else { return };
        for slot in &waiters.slots {
            if self.woken.push_back(*slot).is_err() {
                self.everybody = Some(0);
            }
        }
        waiters.slots.clear();
        if core::mem::take(&mut waiters.overflowed) {
            for slot in self.crowd.drain(..) {
                if self.woken.push_back(slot).is_err() {
                    self.everybody = Some(0);
                }
            }
        }
    }

    /// The next connection to be woken.
    pub fn pop(&mut self) -> Option<Slot> {
        if let Some(slot) = self.woken.pop_front() {
            return Some(slot);
        }
        let slot = self.everybody?;
        let next = slot + 1;
        self.everybody = ((next as usize) < self.connections).then_some(next);
        Some(slot)
    }

    /// A connection is gone. What its fetches left with the partitions wakes whoever has its place
    /// by then once for nothing, which costs a look.
    pub fn forget(&mut self, slot: Slot) {
        self.crowd.retain(|s| *s != slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_woken_even_past_the_limit() {
        let mut waiting = Waiting::new(&Sizes::default());
        for slot in 0..PARTITION_WAITERS as u32 + 5 {
            waiting.wait(3, slot);
            waiting.wait(3, slot);
        }
        assert!(waiting.any(3) && !waiting.any(0));
        waiting.wake(3);
        let mut woken: Vec<_> = core::iter::from_fn(|| waiting.pop()).collect();
        woken.sort_unstable();
        assert_eq!(woken, (0..PARTITION_WAITERS as u32 + 5).collect::<Vec<_>>());
        assert!(!waiting.any(3));
    }

    #[test]
    fn a_closed_connections_place_is_woken_for_nothing_once() {
        let mut waiting = Waiting::new(&Sizes::default());
        waiting.wait(0, 7);
        waiting.forget(7);
        waiting.wake(0);
        assert_eq!((waiting.pop(), waiting.pop()), (Some(7), None), "a look for nothing");
    }

    #[test]
    fn where_lists_have_no_room_everybody_is_woken_and_nothing_is_allocated() {
        let sizes = Sizes { connections: 4, partitions: 4, ..Sizes::default() };
        let mut waiting = Waiting::new(&sizes);
        let seen = allocation_counter::measure(|| {
            for round in 0..1_000 {
                for index in 0..4 {
                    (0..4).for_each(|slot| waiting.wait(index, slot));
                }
                (0..4).for_each(|index| waiting.wake(index));
                let mut woken = [0; 4];
                while let Some(slot) = waiting.pop() {
                    woken[slot as usize] += 1;
                }
                assert!(woken.iter().all(|times| *times > 0), "round {round}: {woken:?}");
            }
        });
        assert_eq!(seen.count_total, 0);
    }
}
