//! Things that all connections share, a fixed number of each, and who waits for one.
//!
//! Promises: nothing is allocated after the start. Who waits is served in the order in which it
//! came; nobody overtakes. While one is free and somebody waits, those at the head of the queue
//! are named by [`Pool::next`], whoever else came or left in between. A connection stands in the
//! queue once, and leaves it when it has what it wants, wants it no more, or is gone.
//! Absent: waking (the caller does that), and what the things are.

use crate::broker::Slot;
use crate::fixed::{List, Ring};
use crate::limits::Usage;

/// A number of things of one kind.
#[derive(Debug)]
pub struct Pool<T> {
    free: List<T>,
    /// Who has the others.
    holders: List<Slot>,
    waiting: Ring<Slot>,
    /// Somebody came to the queue, or something was given back: see [`Pool::take_moved`].
    moved: bool,
}

impl<T> Pool<T> {
    /// These things, for so many connections.
    pub fn new(things: impl ExactSizeIterator<Item = T>, connections: usize) -> Pool<T> {
        let mut free = List::new(things.len());
        // There is a place for each.
        things.for_each(|thing| drop(free.push(thing)));
        let holders = List::new(free.capacity());
        Pool { free, holders, waiting: Ring::new(connections), moved: false }
    }

    /// Bytes of memory of [`Pool::new`], but for the things themselves.
    pub const fn memory(count: usize, connections: usize) -> usize {
        List::<T>::memory(count) + List::<Slot>::memory(count) + Ring::<Slot>::memory(connections)
    }

    /// Whether the connection in `slot` would get one now: there is one more than people in front
    /// of it.
    pub fn can_take(&self, slot: Slot) -> bool {
        let in_front = self.waiting.iter().position(|waiting| *waiting == slot);
        in_front.unwrap_or(self.waiting.len()) < self.free.len()
    }

    /// One for the connection in `slot`, if it is its turn; else it is in the queue.
    pub fn take(&mut self, slot: Slot) -> Option<T> {
        if !self.can_take(slot) {
            self.wait(slot);
            return None;
        }
        self.forget(slot);
        let thing = self.free.pop()?;
        self.holders.push(slot).ok();
        self.moved = true;
        Some(thing)
    }

    /// The connection in `slot` waits for one.
    pub fn wait(&mut self, slot: Slot) {
        if !self.waiting.iter().any(|waiting| *waiting == slot) {
            // There is a place for every connection.
            self.waiting.push_back(slot).ok();
            self.moved = true;
        }
    }

    /// Whether somebody waits for whom there is none: who has one shall not keep it.
    pub fn is_wanted(&self) -> bool {
        self.waiting.len() > self.free.len()
    }

    /// Who has one.
    pub fn holders(&self) -> &[Slot] {
        &self.holders
    }

    /// The connection in `slot` needs its one no more.
    pub fn give_back(&mut self, slot: Slot, thing: T) {
        if let Some(at) = self.holders.iter().position(|holder| *holder == slot) {
            self.holders.swap_remove(at);
        }
        // There is a place for each.
        self.free.push(thing).ok();
        self.moved = true;
    }

    /// A connection does not wait any more. It may have been told of one that it never took.
    pub fn forget(&mut self, slot: Slot) {
        if !self.waiting.is_empty() {
            let before = self.waiting.len();
            self.waiting.retain(|waiting| *waiting != slot);
            self.moved |= self.waiting.len() < before;
        }
    }

    /// Whether there may be somebody to be woken since the last call.
    pub fn take_moved(&mut self) -> bool {
        core::mem::take(&mut self.moved)
    }

    /// Those for whom there is one. They stay in the queue until they take it.
    pub fn next(&self) -> impl Iterator<Item = Slot> + '_ {
        self.waiting.iter().copied().take(self.free.len())
    }

    /// How many are in use.
    pub fn usage(&self, name: &'static str) -> Usage {
        Usage::new(name, self.holders.len(), self.free.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u32 = 3;

    fn next(pool: &Pool<u32>) -> Vec<Slot> {
        pool.next().collect()
    }

    /// All are lent, to slots from 100 on; slots 1 and 2 wait, and 1 looked twice.
    fn all_lent() -> (Pool<u32>, Vec<u32>) {
        let mut pool = Pool::new(0..COUNT, 10);
        let lent = (100..100 + COUNT).map(|slot| pool.take(slot).unwrap()).collect();
        for slot in [1, 1, 2, 1] {
            assert_eq!(pool.take(slot), None);
        }
        (pool, lent)
    }

    fn give_back_last(pool: &mut Pool<u32>, lent: &mut Vec<u32>) {
        let thing = lent.pop().unwrap();
        pool.give_back(100 + lent.len() as Slot, thing);
    }

    #[test]
    fn who_has_one_is_told_when_it_is_wanted() {
        let (mut pool, mut lent) = all_lent();
        assert!(pool.is_wanted());
        assert_eq!(pool.holders(), (100..100 + COUNT).collect::<Vec<_>>());
        give_back_last(&mut pool, &mut lent);
        assert!(pool.is_wanted(), "two wait, one is free");
        give_back_last(&mut pool, &mut lent);
        assert!(!pool.is_wanted(), "there is one for each");
        pool.take(2).unwrap();
        assert!(pool.holders().contains(&2));
    }

    #[test]
    fn who_looked_twice_is_told_once_and_then_it_is_the_next_ones_turn() {
        let (mut pool, mut lent) = all_lent();
        give_back_last(&mut pool, &mut lent);
        assert_eq!(next(&pool), [1]);
        let first = pool.take(1).unwrap();
        assert!(next(&pool).is_empty());
        pool.give_back(1, first);
        assert_eq!(next(&pool), [2], "a second entry of the first one would take its turn");
    }

    #[test]
    fn what_its_waiter_never_took_goes_to_the_next() {
        let (mut pool, mut lent) = all_lent();
        give_back_last(&mut pool, &mut lent);
        assert_eq!(next(&pool), [1]);
        // It was told, but its client went away.
        pool.forget(1);
        assert_eq!(next(&pool), [2]);
        assert!(pool.take_moved());
        assert!(!pool.take_moved());
    }

    #[test]
    fn nobody_overtakes() {
        let (mut pool, mut lent) = all_lent();
        give_back_last(&mut pool, &mut lent);
        assert_eq!(pool.take(3), None, "it came last");
        assert_eq!(pool.take(2), None);
        assert!(pool.take(1).is_some());
        give_back_last(&mut pool, &mut lent);
        give_back_last(&mut pool, &mut lent);
        assert_eq!(next(&pool), [2, 3]);
        assert!(pool.can_take(3) && pool.take(3).is_some(), "there is one for each");
        assert!(!pool.can_take(4), "the last one is for the second");
    }

    #[test]
    fn it_never_holds_more_than_it_had_and_counts_what_is_used() {
        let (mut pool, lent) = all_lent();
        assert_eq!(pool.usage("a"), Usage { name: "a", used: 3, limit: 3 });
        for (slot, thing) in (100..).zip(lent) {
            pool.give_back(slot, thing);
        }
        assert_eq!(pool.usage("a").used, 0);
    }
}
