//! Rows that leave in the order in which they came.

use core::mem::size_of;
use std::collections::VecDeque;

/// A queue that never grows.
#[derive(Debug)]
pub struct Ring<T> {
    rows: VecDeque<T>,
    capacity: usize,
}

impl<T> Ring<T> {
    /// A queue for `capacity` rows.
    pub fn new(capacity: usize) -> Ring<T> {
        Ring { rows: VecDeque::with_capacity(capacity), capacity }
    }

    /// Bytes that a queue for `capacity` rows takes.
    pub const fn memory(capacity: usize) -> usize {
        capacity * size_of::<T>()
    }

    /// Adds a row at the end.
    ///
    /// # Errors
    /// The row, if the queue is full.
    pub fn push_back(&mut self, row: T) -> Result<(), T> {
        if self.is_full() {
            return Err(row);
        }
        self.rows.push_back(row);
        Ok(())
    }

    /// Adds a row in front of all others.
    ///
    /// # Errors
    /// The row, if the queue is full.
    pub fn push_front(&mut self, row: T) -> Result<(), T> {
        if self.is_full() {
            return Err(row);
        }
        self.rows.push_front(row);
        Ok(())
    }

    /// Takes the first row out.
    pub fn pop_front(&mut self) -> Option<T> {
        self.rows.pop_front()
    }

    /// The first row.
    pub fn front(&self) -> Option<&T> {
        self.rows.front()
    }

    /// The first row, to be changed.
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.rows.front_mut()
    }

    /// The last row.
    pub fn back(&self) -> Option<&T> {
        self.rows.back()
    }

    /// The last row, to be changed.
    pub fn back_mut(&mut self) -> Option<&mut T> {
        self.rows.back_mut()
    }

    /// All rows, the first one first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator + Clone {
        self.rows.iter()
    }

    /// All rows, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> + ExactSizeIterator {
        self.rows.iter_mut()
    }

    /// Keeps the rows that `wanted` says yes to, in their order.
    pub fn retain(&mut self, wanted: impl FnMut(&T) -> bool) {
        self.rows.retain(wanted);
    }

    /// Takes all rows out.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there is no room for another row.
    pub fn is_full(&self) -> bool {
        self.rows.len() == self.capacity
    }

    /// How many rows there can be.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_hands_the_row_back_and_goes_around() {
        let mut ring = Ring::new(2);
        for row in 0..10 {
            ring.push_back(row).unwrap();
            ring.push_back(row + 100).unwrap();
            assert_eq!(ring.push_back(7), Err(7));
            assert_eq!(ring.pop_front(), Some(row));
            assert_eq!(ring.pop_front(), Some(row + 100));
        }
        assert!(ring.is_empty());
    }
}
