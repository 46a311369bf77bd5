//! Names in a request, sorted where they stand: who is named twice, and who comes next.
//!
//! Promises: a list of positions in the request's bytes, allocated once at start; the names
//! themselves are read again when they are compared, so that a request of any size takes nothing.
//! Absent: what a name is; who fills the list says how one is read.

use crate::fixed::List;
use crate::limits::{Ledger, Sizes};
use core::cmp::Ordering;

/// The positions.
#[derive(Debug)]
pub struct Names(List<u32>);

impl Default for Names {
    /// One without room.
    fn default() -> Names {
        Names(List::new(0))
    }
}

impl Names {
    /// Room for as many names as a request may have.
    pub fn new(sizes: &Sizes) -> Names {
        Names(List::new(sizes.request_names))
    }

    /// The row of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let at_limit = "INVALID_REQUEST (42), with a message";
        let each = List::<u32>::memory(1);
        ledger.row("names in one request about topics", sizes.request_names, each, at_limit);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds the name that stands at a position; false if there is no room.
    #[must_use]
    pub fn push(&mut self, position: usize) -> bool {
        u32::try_from(position).is_ok_and(|position| self.0.push(position).is_ok())
    }

    /// Sorts by what `read` finds at a position.
    pub fn sort<T: Ord>(&mut self, read: impl Fn(usize) -> T) {
        self.0.sort_unstable_by_key(|at| read(*at as usize));
    }

    /// How many of the sorted names are a certain one; `order` says how the one that stands at a
    /// position compares to it.
    pub fn count(&self, order: impl Fn(usize) -> Ordering) -> usize {
        let first = self.0.partition_point(|at| order(*at as usize).is_lt());
        let end = self.0.partition_point(|at| order(*at as usize).is_le());
        end - first
    }

    /// The positions in their order.
    pub fn positions(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        self.0.iter().map(|position| *position as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_and_sorted_up_to_the_limit() {
        let sizes = Sizes { request_names: 4, ..Sizes::default() };
        let mut names = Names::new(&sizes);
        let text = ["b", "a", "b", "c"];
        assert!((0..4).all(|at| names.push(at)));
        assert!(!names.push(4));
        let read = |at: usize| text[at];
        names.sort(read);
        let sorted: Vec<_> = names.positions().map(read).collect();
        assert_eq!(sorted, ["a", "b", "b", "c"]);
        assert_eq!(
            ["a", "b", "c", "d"].map(|name| names.count(|at| read(at).cmp(name))),
            [1, 2, 1, 0]
        );
    }
}
