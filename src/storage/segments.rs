//! The segments of all partitions in one table, so that a busy partition may have many.
//!
//! A partition's segments stand behind each other, oldest first, as its *run*. A new one is put at
//! its run's end and an old one taken from its front; what stands behind moves by one row. That
//! happens once in 16 MiB or once in an hour, and costs as much as copying the table.
//!
//! Promises: the table never grows; a segment whose file waits for its removal keeps its row until
//! the file is gone. Absent: what a full table means (`Storage::append` lets a segment grow).

use super::partition::Segment;
use crate::fixed::{List, Slab};
use crate::limits::RECOVERY_RESERVE_BYTES;
use core::cell::{Ref, RefCell};
use std::rc::Rc;

/// Where a partition's rows are: so many from `start` on, the first `given_up` of them invisible.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: usize,
    count: usize,
    given_up: usize,
}

#[derive(Debug)]
struct Table {
    rows: List<Segment>,
    /// How far each of them was checked for rot since the start.
    checked: List<u32>,
    places: Slab<Place>,
    /// See [`Segments::set_step`].
    step: u64,
}

impl Table {
    /// Rows from `from` on have moved by one or more: so have the runs that begin there.
    fn moved(&mut self, from: usize, but: u32, by: isize) {
        for (at, place) in self.places.iter_mut() {
            if at != but && place.start >= from {
                place.start = place.start.saturating_add_signed(by);
            }
        }
    }
}

/// The table; clones share it.
#[derive(Clone, Debug)]
pub struct Segments(Rc<RefCell<Table>>);

impl Segments {
    /// A table for so many segments of so many partitions.
    pub fn new(segments: usize, partitions: usize) -> Segments {
        let (rows, checked) = (List::new(segments), List::new(segments));
        let places = Slab::new(partitions);
        let step = RECOVERY_RESERVE_BYTES;
        Segments(Rc::new(RefCell::new(Table { rows, checked, places, step })))
    }

    /// Bytes that the table takes.
    pub const fn memory(segments: usize, partitions: usize) -> usize {
        List::<Segment>::memory(segments)
            + List::<u32>::memory(segments)
            + Slab::<Place>::memory(partitions)
            + size_of::<RefCell<Table>>()
            + 2 * size_of::<usize>()
    }

    /// By so many bytes space is reserved ahead in each of them from now on.
    pub fn set_step(&self, step: u64) {
        self.0.borrow_mut().step = step;
    }

    /// By so many bytes space is reserved ahead.
    pub fn step(&self) -> u64 {
        self.0.borrow().step
    }

    /// How many segments there are, and how many there can be.
    pub fn used(&self) -> (usize, usize) {
        let table = self.0.borrow();
        (table.rows.len(), table.rows.capacity())
    }

    /// An empty run; `None` if all are taken.
    pub fn run(&self) -> Option<Run> {
        let at = self.0.borrow_mut().places.insert(Place::default()).ok()?;
        Some(Run { table: self.clone(), at })
    }
}

/// The segments of one partition, oldest first.
#[derive(Debug)]
pub struct Run {
    table: Segments,
    at: u32,
}

impl Run {
    fn place(&self) -> Place {
        self.table.0.borrow().places.get(self.at).copied().unwrap_or_default()
    }

    /// By so many bytes space is reserved ahead.
    pub fn step(&self) -> u64 {
        self.table.step()
    }

    /// All of them, for as long as nothing is changed.
    pub fn all(&self) -> Ref<'_, [Segment]> {
        let Place { start, count, given_up } = self.place();
        Ref::map(self.table.0.borrow(), |table| {
            table.rows.get(start + given_up..start + count).unwrap_or_default()
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let place = self.place();
        place.count - place.given_up
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one at `at`, from the oldest on.
    pub fn get(&self, at: usize) -> Option<Segment> {
        self.all().get(at).copied()
    }

    /// The oldest.
    pub fn first(&self) -> Option<Segment> {
        self.all().first().copied()
    }

    /// The newest.
    pub fn last(&self) -> Option<Segment> {
        self.all().last().copied()
    }

    /// Changes the newest.
    pub fn change_last(&self, change: impl FnOnce(&mut Segment)) {
        let place = self.place();
        if place.count > place.given_up
            && let Some(row) = self.table.0.borrow_mut().rows.get_mut(place.start + place.count - 1)
        {
            change(row);
        }
    }

    /// Up to which byte the one at `at` is known to be sound, or its gaps to be known.
    pub fn checked(&self, at: usize) -> u32 {
        let place = self.place();
        let table = self.table.0.borrow();
        table.checked.get(place.start + place.given_up + at).copied().unwrap_or(0)
    }

    /// The one at `at` was checked up to `bytes`.
    pub fn set_checked(&self, at: usize, bytes: u32) {
        let place = self.place();
        let mut table = self.table.0.borrow_mut();
        if let Some(known) = table.checked.get_mut(place.start + place.given_up + at) {
            *known = bytes;
        }
    }

    /// Whether another one has room.
    pub fn has_room(&self) -> bool {
        !self.table.0.borrow().rows.is_full()
    }

    /// Adds one at the end; false if the table is full.
    pub fn push(&self, segment: Segment) -> bool {
        let mut table = self.table.0.borrow_mut();
        let mut place = table.places.get(self.at).copied().unwrap_or_default();
        if place.count == 0 {
            place.start = table.rows.len();
        }
        let behind = place.start + place.count;
        if table.rows.insert(behind, segment).is_err() {
            return false;
        }
        // As many places as rows.
        table.checked.insert(behind, 0).ok();
        table.moved(behind, self.at, 1);
        place.count += 1;
        if let Some(known) = table.places.get_mut(self.at) {
            *known = place;
        }
        true
    }

    /// Makes the oldest invisible; its row stays until [`Run::take_given_up`].
    pub fn give_up_first(&self) {
        if let Some(place) = self.table.0.borrow_mut().places.get_mut(self.at) {
            place.given_up = place.count.min(place.given_up + 1);
        }
    }

    /// Makes all of them invisible.
    pub fn give_up_all(&self) {
        if let Some(place) = self.table.0.borrow_mut().places.get_mut(self.at) {
            place.given_up = place.count;
        }
    }

    /// Takes the row of the oldest segment that was given up.
    pub fn take_given_up(&self) -> Option<Segment> {
        let mut table = self.table.0.borrow_mut();
        let place = table.places.get(self.at).copied()?;
        if place.given_up == 0 {
            return None;
        }
        let segment = table.rows.remove(place.start)?;
        table.checked.remove(place.start);
        table.moved(place.start + 1, self.at, -1);
        if let Some(known) = table.places.get_mut(self.at) {
            (known.count, known.given_up) = (place.count - 1, place.given_up - 1);
        }
        Some(segment)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.give_up_all();
        while self.take_given_up().is_some() {}
        self.table.0.borrow_mut().places.remove(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(base_offset: i64) -> Segment {
        Segment { base_offset, bytes: 1, max_timestamp: 0, created_age_s: 0, appended_age_s: 0 }
    }

    #[test]
    fn runs_that_grow_and_shrink_side_by_side_keep_what_is_theirs_without_allocating() {
        let table = Segments::new(40, 5);
        let runs: Vec<Run> = core::iter::from_fn(|| table.run()).collect();
        assert_eq!(runs.len(), 5);
        let mut expected: [(i64, i64); 5] = [(0, 0); 5];
        let mut random = 1_u64;
        let seen = allocation_counter::measure(|| {
            for _ in 0..20_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (random >> 33) as usize % 5;
                let (run, (first, end)) = (&runs[at], &mut expected[at]);
                match (random >> 40) % 5 {
                    0 | 1 if run.push(segment(*end)) => *end += 1,
                    2 if first < end => {
                        run.give_up_first();
                        *first += 1;
                    }
                    3 => drop(run.take_given_up()),
                    _ => {}
                }
                for (run, (first, end)) in runs.iter().zip(&expected) {
                    assert!(run.all().iter().map(|s| s.base_offset).eq(*first..*end));
                    assert_eq!(run.len() as i64, end - first);
                }
            }
        });
        assert_eq!(seen.count_total, 0);
        drop(runs);
        assert_eq!(table.used(), (0, 40));
    }

    #[test]
    fn a_full_table_takes_no_more_until_a_row_is_free() {
        let table = Segments::new(2, 2);
        let (a, b) = (table.run().unwrap(), table.run().unwrap());
        assert!(table.run().is_none());
        assert!(a.push(segment(0)) && b.push(segment(5)) && !a.push(segment(1)));
        assert!(!a.has_room());
        b.give_up_first();
        assert!(!a.push(segment(1)), "its file is still there");
        assert_eq!(b.take_given_up().map(|s| s.base_offset), Some(5));
        assert!(a.push(segment(1)) && a.last() == Some(segment(1)));
    }
}
