//! Rows with a number that stays theirs for as long as they exist.

use core::mem::size_of;

#[derive(Debug)]
enum Place<T> {
    Used(T),
    /// The free place after this one.
    Free(Option<u32>),
}

/// A table of rows; a row's key is used again after its removal.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Place<T>>,
    capacity: usize,
    first_free: Option<u32>,
    len: usize,
}

impl<T> Slab<T> {
    /// A table for `capacity` rows.
    pub fn new(capacity: usize) -> Slab<T> {
        Slab { places: Vec::with_capacity(capacity), capacity, first_free: None, len: 0 }
    }

    /// Bytes that a table for `capacity` rows takes.
    pub const fn memory(capacity: usize) -> usize {
        capacity * size_of::<Place<T>>()
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The row, if the table is full.
    pub fn insert(&mut self, row: T) -> Result<u32, T> {
        let key = match self.first_free {
            Some(key) => {
                let place = &mut self.places[key as usize];
                let Place::Free(next) = *place else { return Err(row) };
                self.first_free = next;
                *place = Place::Used(row);
                key
            }
            None if self.places.len() < self.capacity => {
                self.places.push(Place::Used(row));
                self.places.len() as u32 - 1
            }
            None => return Err(row),
        };
        self.len += 1;
        Ok(key)
    }

    /// The row of `key`.
    pub fn get(&self, key: u32) -> Option<&T> {
        match self.places.get(key as usize) {
            Some(Place::Used(row)) => Some(row),
            _ => None,
        }
    }

    /// The row of `key`, to be changed.
    pub fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        match self.places.get_mut(key as usize) {
            Some(Place::Used(row)) => Some(row),
            _ => None,
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: u32) -> Option<T> {
        let place = self.places.get_mut(key as usize)?;
        if matches!(place, Place::Free(_)) {
            return None;
        }
        let Place::Used(row) = core::mem::replace(place, Place::Free(self.first_free)) else {
            return None;
        };
        self.first_free = Some(key);
        self.len -= 1;
        Some(row)
    }

    /// All rows, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> + Clone {
        self.places.iter().enumerate().filter_map(|(key, place)| match place {
            Place::Used(row) => Some((key as u32, row)),
            Place::Free(_) => None,
        })
    }

    /// All rows, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.places.iter_mut().enumerate().filter_map(|(key, place)| match place {
            Place::Used(row) => Some((key as u32, row)),
            Place::Free(_) => None,
        })
    }

    /// Keys lie below this number: all that were ever used do.
    pub fn keys_end(&self) -> u32 {
        self.places.len() as u32
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is no room for another row.
    pub fn is_full(&self) -> bool {
        self.len == self.capacity
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
    fn keys_stay_and_places_are_used_again_up_to_the_capacity() {
        let mut slab = Slab::new(3);
        let keys = ["a", "b", "c"].map(|row| slab.insert(row).unwrap());
        assert_eq!(keys, [0, 1, 2]);
        assert_eq!(slab.insert("d"), Err("d"));
        assert_eq!(slab.remove(1), Some("b"));
        assert_eq!(slab.remove(1), None);
        assert_eq!(slab.remove(0), Some("a"));
        assert_eq!(slab.get(2), Some(&"c"));
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.insert("e"), Ok(0));
        assert_eq!(slab.insert("f"), Ok(1));
        assert!(slab.is_full());
        let rows: Vec<_> = slab.iter().collect();
        assert_eq!(rows, [(0, &"e"), (1, &"f"), (2, &"c")]);
        assert_eq!(slab.get(3), None);
    }
}
