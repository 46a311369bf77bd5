//! Rows that are found by a small key.

use core::borrow::Borrow;
use core::hash::Hash;
use core::mem::size_of;
use std::collections::HashMap;

/// A hash table that never grows.
///
/// It is allocated for twice its capacity: removals leave marks, and a table that is not half full
/// is cleaned of them in place. The hash is keyed (SipHash), so that nobody can choose keys that
/// collide.
#[derive(Debug)]
pub struct Map<K, V> {
    rows: HashMap<K, V>,
    capacity: usize,
}

/// The places of a table that takes `count` entries: a power of two, seven eighths of it in use.
const fn places(count: usize) -> usize {
    if count < 4 {
        4
    } else if count < 8 {
        8
    } else {
        (count * 8 / 7).next_power_of_two()
    }
}

impl<K: Copy + Hash + Eq, V> Map<K, V> {
    /// A table for `capacity` rows.
    pub fn new(capacity: usize) -> Map<K, V> {
        Map { rows: HashMap::with_capacity(2 * capacity), capacity }
    }

    /// Bytes that a table for `capacity` rows takes: per place a row and one byte, and a group of
    /// bytes at the end.
    pub const fn memory(capacity: usize) -> usize {
        if capacity == 0 {
            return 0;
        }
        let places = places(2 * capacity);
        places * size_of::<(K, V)>() + places + 2 * 16
    }

    /// Adds a row, or replaces the value of one.
    ///
    /// # Errors
    /// Both, if the row is not there and the table is full.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>, (K, V)> {
        if self.is_full() && !self.rows.contains_key(&key) {
            return Err((key, value));
        }
        Ok(self.rows.insert(key, value))
    }

    /// The value of `key`.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.rows.get_mut(key)
    }

    /// Whether there is a row of `key`.
    pub fn contains_key(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.rows.remove(key)
    }

    /// All rows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.rows.iter()
    }

    /// Keeps the rows that `wanted` says yes to.
    pub fn retain(&mut self, wanted: impl FnMut(&K, &mut V) -> bool) {
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
        self.rows.len() >= self.capacity
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
    fn a_table_that_is_always_full_never_allocates_and_takes_what_memory_says() {
        for capacity in [1usize, 3, 5, 8, 100, 448, 449, 1000] {
            let mut map = None;
            let made =
                allocation_counter::measure(|| map = Some(Map::<u64, [u64; 3]>::new(capacity)));
            assert!(
                made.bytes_total as usize <= Map::<u64, [u64; 3]>::memory(capacity),
                "{capacity}: {made:?}"
            );
            let mut map = map.unwrap();
            let used = allocation_counter::measure(|| {
                for key in 0..20 * capacity as u64 + 20 {
                    if map.is_full() {
                        assert!(map.insert(key, [0; 3]).is_err());
                        assert!(map.remove(&(key - capacity as u64)).is_some());
                    }
                    assert_eq!(map.insert(key, [key; 3]), Ok(None));
                }
            });
            assert_eq!(used.count_total, 0, "{capacity}");
            assert_eq!(map.len(), capacity);
        }
    }
}
