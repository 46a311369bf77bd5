//! The large input buffers that all connections share, and who waits for one.
//!
//! Promises: at most `REQUEST_BUFFERS` of them exist; while one is free and somebody waits, those
//! at the head of the queue have been told, whoever else came or left in between. A connection
//! stands in the queue once, and leaves it when it has its buffer or is gone. While nobody waits,
//! a connection may keep the buffer that it has between two requests.
//! Absent: waking (the caller does that), and what is in a buffer.

use crate::broker::Slot;
use crate::limits::{CONNECTION_BUFFER_BYTES, REQUEST_BUFFERS};

/// The buffers.
#[derive(Debug)]
pub struct LargeBuffers {
    free: Vec<Vec<u8>>,
    /// Who has the others.
    holders: heapless::Vec<Slot, REQUEST_BUFFERS>,
    /// How many more may be made.
    left: usize,
    waiting: Vec<Slot>,
    /// Whether one was lent since [`LargeBuffers::trim`].
    used: bool,
}

impl LargeBuffers {
    /// None is made yet.
    pub fn new() -> LargeBuffers {
        LargeBuffers {
            free: Vec::new(),
            holders: heapless::Vec::new(),
            left: REQUEST_BUFFERS,
            waiting: Vec::new(),
            used: false,
        }
    }

    /// A buffer for the connection in `slot`, if there is one left; else it is in the queue.
    pub fn borrow(&mut self, slot: Slot) -> Option<Vec<u8>> {
        let buffer = match self.free.pop() {
            Some(buffer) => buffer,
            None if self.left > 0 => {
                self.left -= 1;
                vec![0; 4 * CONNECTION_BUFFER_BYTES]
            }
            None => {
                if !self.waiting.contains(&slot) {
                    self.waiting.push(slot);
                }
                return None;
            }
        };
        self.forget(slot);
        // There is a place in the list for each buffer that exists.
        self.holders.push(slot).ok();
        self.used = true;
        Some(buffer)
    }

    /// Whether somebody waits for whom there is no buffer: who has one shall not keep it.
    pub fn are_wanted(&self) -> bool {
        self.waiting.len() > self.free.len()
    }

    /// Who has a buffer.
    pub fn holders(&self) -> &[Slot] {
        &self.holders
    }

    /// Gives the memory of buffers back that nobody needed since this was last called: what a
    /// burst took does not stay taken, and a steady load allocates nothing.
    pub fn trim(&mut self) {
        if !core::mem::take(&mut self.used) {
            self.left += self.free.len();
            self.free = Vec::new();
        }
    }

    /// The connection in `slot` needs its buffer no more: wake [`LargeBuffers::next`].
    pub fn give_back(&mut self, slot: Slot, buffer: Vec<u8>) {
        self.holders.retain(|holder| *holder != slot);
        self.free.push(buffer);
    }

    /// A connection does not wait any more: wake [`LargeBuffers::next`], for it may have been told
    /// of a buffer that it never took.
    pub fn forget(&mut self, slot: Slot) {
        self.waiting.retain(|waiting| *waiting != slot);
    }

    /// Those for whom there is a buffer. They stay in the queue until they take it.
    pub fn next(&self) -> impl Iterator<Item = Slot> + '_ {
        self.waiting.iter().copied().take(self.free.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(buffers: &LargeBuffers) -> Vec<Slot> {
        buffers.next().collect()
    }

    /// All buffers are lent, to slots from 100 on; slots 1 and 2 wait, and 1 looked twice.
    fn all_lent() -> (LargeBuffers, Vec<Vec<u8>>) {
        let mut buffers = LargeBuffers::new();
        let count = REQUEST_BUFFERS as Slot;
        let lent = (100..100 + count).map(|slot| buffers.borrow(slot).unwrap()).collect();
        for slot in [1, 1, 2, 1] {
            assert_eq!(buffers.borrow(slot), None);
        }
        (buffers, lent)
    }

    fn give_back_last(buffers: &mut LargeBuffers, lent: &mut Vec<Vec<u8>>) {
        let buffer = lent.pop().unwrap();
        buffers.give_back(100 + lent.len() as Slot, buffer);
    }

    fn give_back_all(buffers: &mut LargeBuffers, mut lent: Vec<Vec<u8>>) {
        while !lent.is_empty() {
            give_back_last(buffers, &mut lent);
        }
    }

    #[test]
    fn who_has_one_is_told_when_it_is_wanted() {
        let (mut buffers, mut lent) = all_lent();
        assert!(buffers.are_wanted());
        assert_eq!(buffers.holders(), (100..100 + REQUEST_BUFFERS as Slot).collect::<Vec<_>>());
        give_back_last(&mut buffers, &mut lent);
        assert!(buffers.are_wanted(), "two wait, one is free");
        give_back_last(&mut buffers, &mut lent);
        assert!(!buffers.are_wanted(), "there is one for each");
        buffers.borrow(2).unwrap();
        assert!(buffers.holders().contains(&2));
    }

    #[test]
    fn who_looked_twice_is_told_once_and_then_it_is_the_next_ones_turn() {
        let (mut buffers, mut lent) = all_lent();
        give_back_last(&mut buffers, &mut lent);
        assert_eq!(next(&buffers), [1]);
        let first = buffers.borrow(1).unwrap();
        assert!(next(&buffers).is_empty());
        buffers.give_back(1, first);
        assert_eq!(next(&buffers), [2], "a second entry of the first one would take its turn");
    }

    #[test]
    fn a_buffer_that_its_waiter_never_took_goes_to_the_next() {
        let (mut buffers, mut lent) = all_lent();
        give_back_last(&mut buffers, &mut lent);
        assert_eq!(next(&buffers), [1]);
        // It was told, but its client went away.
        buffers.forget(1);
        assert_eq!(next(&buffers), [2]);
    }

    #[test]
    fn who_is_overtaken_keeps_its_place() {
        let (mut buffers, mut lent) = all_lent();
        give_back_last(&mut buffers, &mut lent);
        let overtaker = buffers.borrow(3).unwrap();
        assert_eq!(buffers.borrow(1), None);
        buffers.give_back(3, overtaker);
        assert_eq!(next(&buffers), [1]);
        give_back_all(&mut buffers, lent);
        assert_eq!(next(&buffers), [1, 2]);
    }

    #[test]
    fn what_is_not_needed_for_a_while_is_given_back_and_can_be_lent_again() {
        let (mut buffers, lent) = all_lent();
        give_back_all(&mut buffers, lent);
        buffers.trim();
        assert_eq!(buffers.free.len(), REQUEST_BUFFERS, "used a moment ago");
        buffers.trim();
        assert!(buffers.free.is_empty());
        assert_eq!(buffers.left, REQUEST_BUFFERS);
        assert!(buffers.borrow(1).is_some());
    }
}
