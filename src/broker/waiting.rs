//! Which connections wait for records of which partition.
//!
//! A partition remembers a few waiting connections; when there are more, all of them are woken
//! whenever it moves. Waking one for nothing costs it a look, so entries of fetches that were
//! answered meanwhile need no removal.

use crate::limits::PARTITION_WAITERS;
use crate::storage::PartitionIndex;
use std::collections::VecDeque;

/// A connection's place in the server's table.
pub type Slot = u32;

#[derive(Debug, Default)]
struct Waiters {
    slots: heapless::Vec<Slot, PARTITION_WAITERS>,
    overflowed: bool,
}

/// The waiting connections.
#[derive(Debug, Default)]
pub struct Waiting {
    by_partition: Vec<Waiters>,
    /// Everybody who waits where there was no room.
    crowd: Vec<Slot>,
    woken: VecDeque<Slot>,
}

impl Waiting {
    /// A connection waits for records of a partition.
    pub fn wait(&mut self, index: PartitionIndex, slot: Slot) {
        if self.by_partition.len() <= index {
            self.by_partition.resize_with(index + 1, Waiters::default);
        }
        let waiters = &mut self.by_partition[index];
        if waiters.slots.contains(&slot) {
            return;
        }
        if waiters.slots.push(slot).is_err() {
            waiters.overflowed = true;
            if !self.crowd.contains(&slot) {
                self.crowd.push(slot);
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
        self.woken.extend(waiters.slots.iter());
        waiters.slots.clear();
        if core::mem::take(&mut waiters.overflowed) {
            self.woken.extend(self.crowd.drain(..));
        }
    }

    /// The next connection to be woken.
    pub fn pop(&mut self) -> Option<Slot> {
        self.woken.pop_front()
    }

    /// A connection is gone.
    pub fn forget(&mut self, slot: Slot) {
        for waiters in &mut self.by_partition {
            waiters.slots.retain(|s| *s != slot);
        }
        self.crowd.retain(|s| *s != slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_woken_even_past_the_limit() {
        let mut waiting = Waiting::default();
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
    fn a_closed_connection_is_not_woken() {
        let mut waiting = Waiting::default();
        waiting.wait(0, 7);
        waiting.forget(7);
        waiting.wake(0);
        assert_eq!(waiting.pop(), None);
    }
}
