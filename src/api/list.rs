//! Lists inside requests that a layer below walks more than once.
//!
//! Reading checks every element; walking cannot fail afterwards, and copies nothing. Absent:
//! storage of any kind, a list is a bookmark in the request's bytes.

use crate::wire::{ReadError, Reader};

/// A list that was read through once without an error.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    r: Reader<'a>,
    left: usize,
    read: fn(&mut Reader<'a>) -> Result<T, ReadError>,
}

impl<'a, T> List<'a, T> {
    /// Reads count and elements, and leaves the cursor behind them.
    ///
    /// # Errors
    /// What was wrong, and in which field.
    pub fn read(
        r: &mut Reader<'a>,
        field: &'static str,
        read: fn(&mut Reader<'a>) -> Result<T, ReadError>,
    ) -> Result<List<'a, T>, ReadError> {
        let left = r.array(field)?;
        let start = *r;
        for _ in 0..left {
            read(r)?;
        }
        Ok(List { r: start, left, read })
    }
}

impl<T> Iterator for List<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        (self.read)(&mut self.r).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for List<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_can_be_walked_again_and_knows_its_length() {
        let bytes = [0, 0, 0, 2, 0, 1, b'a', 0, 1, b'b', 9];
        let mut r = Reader::new(&bytes, 0, false);
        let list = List::read(&mut r, "names", |r| r.string("name")).unwrap();
        assert_eq!(r.rest(), &[9]);
        assert_eq!(list.len(), 2);
        assert_eq!(list.collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(list.last(), Some("b"));
    }

    #[test]
    fn a_list_that_ends_early_is_refused_before_anything_is_done_with_it() {
        let bytes = [0, 0, 0, 2, 0, 1, b'a', 0, 9];
        let mut r = Reader::new(&bytes, 0, false);
        assert!(List::read(&mut r, "names", |r| r.string("name")).is_err());
    }
}
