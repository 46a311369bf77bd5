//! Rows in an order of their own, which move when others come and go.

use core::mem::size_of;
use core::ops::{Deref, DerefMut};

/// A vector that never grows. Sorted tables use it with `binary_search_by`.
#[derive(Debug)]
pub struct List<T> {
    rows: Vec<T>,
    capacity: usize,
}

impl<T> List<T> {
    /// A list for `capacity` rows.
    pub fn new(capacity: usize) -> List<T> {
        List { rows: Vec::with_capacity(capacity), capacity }
    }

    /// Bytes that a list for `capacity` rows takes.
    pub const fn memory(capacity: usize) -> usize {
        capacity * size_of::<T>()
    }

    /// Adds a row at the end.
    ///
    /// # Errors
    /// The row, if the list is full.
    pub fn push(&mut self, row: T) -> Result<(), T> {
        if self.is_full() {
            return Err(row);
        }
        self.rows.push(row);
        Ok(())
    }

    /// Adds a row in front of the one at `at`, or at the end.
    ///
    /// # Errors
    /// The row, if the list is full.
    pub fn insert(&mut self, at: usize, row: T) -> Result<(), T> {
        if self.is_full() {
            return Err(row);
        }
        self.rows.insert(at.min(self.rows.len()), row);
        Ok(())
    }

    /// Takes the row at `at` out; those behind it move up.
    pub fn remove(&mut self, at: usize) -> Option<T> {
        (at < self.rows.len()).then(|| self.rows.remove(at))
    }

    /// Takes the row at `at` out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) -> Option<T> {
        (at < self.rows.len()).then(|| self.rows.swap_remove(at))
    }

    /// Takes the last row out.
    pub fn pop(&mut self) -> Option<T> {
        self.rows.pop()
    }

    /// Keeps the rows that `wanted` says yes to.
    pub fn retain(&mut self, wanted: impl FnMut(&T) -> bool) {
        self.rows.retain(wanted);
    }

    /// Keeps the first `count` rows.
    pub fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
    }

    /// Takes the rows of `range` out.
    pub fn drain(
        &mut self,
        range: impl core::ops::RangeBounds<usize>,
    ) -> impl Iterator<Item = T> + '_ {
        self.rows.drain(range)
    }

    /// Takes all rows out.
    pub fn clear(&mut self) {
        self.rows.clear();
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

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.rows
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_takes_nothing_and_never_moves() {
        let mut list = List::new(3);
        let at = list.as_ptr();
        for row in [3, 1, 2] {
            let place = list.binary_search(&row).unwrap_err();
            list.insert(place, row).unwrap();
        }
        assert_eq!(*list, [1, 2, 3]);
        assert_eq!(list.push(4), Err(4));
        assert_eq!(list.insert(0, 4), Err(4));
        assert_eq!(list.remove(3), None);
        assert_eq!(list.remove(0), Some(1));
        list.push(9).unwrap();
        assert_eq!(list.drain(1..).collect::<Vec<_>>(), [3, 9]);
        assert_eq!(list.as_ptr(), at);
    }
}
