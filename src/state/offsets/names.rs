//! Names that many rows share: each is kept once, for as long as a row uses it.

use crate::fixed::{List, Slab, Text, Texts};
use core::cmp::Ordering;

#[derive(Clone, Copy, Debug)]
struct Name {
    text: Text,
    /// Rows that use it.
    uses: u32,
}

/// The names.
#[derive(Debug)]
pub(super) struct Names {
    names: Slab<Name>,
    /// Their places, sorted by what they say.
    order: List<u32>,
    texts: Texts,
}

impl Names {
    pub(super) fn new(count: usize, bytes: usize) -> Names {
        Names { names: Slab::new(count), order: List::new(count), texts: Texts::new(count, bytes) }
    }

    /// Bytes that [`Names::new`] takes.
    pub(super) fn memory(count: usize, bytes: usize) -> usize {
        let places = Slab::<Name>::memory(count) + List::<u32>::memory(count);
        places + Texts::memory(count, bytes)
    }

    fn bytes(&self, name: u32) -> &[u8] {
        self.names.get(name).map_or(&[], |name| self.texts.get(name.text))
    }

    /// What a name says.
    pub(super) fn get(&self, name: u32) -> &str {
        self.names.get(name).map_or("", |name| self.texts.str(name.text))
    }

    /// Which comes first.
    pub(super) fn compare(&self, one: u32, other: u32) -> Ordering {
        if one == other {
            return Ordering::Equal;
        }
        self.bytes(one).cmp(self.bytes(other))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.order.binary_search_by(|known| self.bytes(*known).cmp(name.as_bytes()))
    }

    /// A name's place, if a row uses it.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.order.get(self.position(name).ok()?).copied()
    }

    /// One row more uses the name; `None` if it is new and there is no room for it.
    pub(super) fn take(&mut self, name: &str) -> Option<u32> {
        let at = match self.position(name) {
            Ok(at) => {
                let place = *self.order.get(at)?;
                self.names.get_mut(place)?.uses += 1;
                return Some(place);
            }
            Err(at) => at,
        };
        if self.names.is_full() {
            return None;
        }
        let text = self.texts.put(name.as_bytes())?;
        let place = self.names.insert(Name { text, uses: 1 }).ok()?;
        self.order.insert(at, place).ok()?;
        Some(place)
    }

    /// One row less uses the name.
    pub(super) fn give(&mut self, place: u32) {
        let Some(name) = self.names.get_mut(place) else { return };
        name.uses -= 1;
        if name.uses > 0 {
            return;
        }
        let text = name.text;
        if let Some(at) = self.order.iter().position(|known| *known == place) {
            self.order.remove(at);
        }
        self.names.remove(place);
        self.texts.free(text);
    }

    /// How many names there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lives_as_long_as_a_row_uses_it() {
        let mut names = Names::new(2, 2);
        let (b, a) = (names.take("b").unwrap(), names.take("a").unwrap());
        assert_eq!(names.take("b"), Some(b));
        assert_eq!(names.take("c"), None, "two are two");
        assert_eq!((names.compare(a, b), names.compare(b, b)), (Ordering::Less, Ordering::Equal));
        names.give(b);
        assert_eq!((names.find("b"), names.get(b)), (Some(b), "b"));
        names.give(b);
        assert_eq!((names.find("b"), names.find("a"), names.len()), (None, Some(a), 1));
        assert_eq!(names.take("0123456789abcdefgh"), None, "two bytes, and two heads");
        assert!(names.take("c").is_some());
    }
}
