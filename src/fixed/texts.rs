//! Byte strings of any length in one block of memory.
//!
//! ```text
//! block:   [ head | bytes | head | bytes (freed) | head | bytes |        free        ]
//! spans:   handle → where its bytes begin, and how many they are
//! ```
//!
//! New strings go to the end. When the end is reached and freed ones lie in between, all that live
//! move together, which costs one pass over the block; so there are no holes that nothing fits in,
//! and what was promised can be used to the last byte.
//! Absent: destructors. A [`Text`] is a number; whoever put it frees it, once.

use core::mem::size_of;

/// The handle of a string. It is good until it is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Text(u32);

/// Bytes in front of each string: its handle and its length.
const HEAD_BYTES: usize = 8;

/// In the place of a handle: this string was freed.
const FREED: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
enum Span {
    Used {
        /// Where the bytes begin, behind their head.
        start: u32,
        len: u32,
    },
    Free {
        next: Option<u32>,
    },
}

/// The strings.
#[derive(Debug)]
pub struct Texts {
    block: Box<[u8]>,
    /// What lies behind is free.
    end: usize,
    /// Bytes of the strings that live, their heads included.
    live: usize,
    spans: Vec<Span>,
    texts_max: usize,
    first_free: Option<u32>,
    len: usize,
}

impl Texts {
    /// Bytes that each string takes in the block beside its own.
    pub const HEAD_BYTES: usize = HEAD_BYTES;

    /// Room for `texts_max` strings with `bytes_max` bytes in all.
    pub fn new(texts_max: usize, bytes_max: usize) -> Texts {
        // Positions are 32 bits wide; no board comes near.
        let block = (bytes_max + texts_max * HEAD_BYTES).min(u32::MAX as usize);
        Texts {
            block: super::bytes(block),
            end: 0,
            live: 0,
            spans: Vec::with_capacity(texts_max),
            texts_max,
            first_free: None,
            len: 0,
        }
    }

    /// Bytes that [`Texts::new`] takes.
    pub const fn memory(texts_max: usize, bytes_max: usize) -> usize {
        bytes_max + texts_max * (HEAD_BYTES + size_of::<Span>())
    }

    /// Stores a string; `None` if there is no room for it, and then nothing has changed.
    #[must_use]
    pub fn put(&mut self, bytes: &[u8]) -> Option<Text> {
        self.put_with(bytes.len(), |room| room.copy_from_slice(bytes))
    }

    /// Stores a string of `count` bytes that `fill` writes, in the place where it stays. `fill`
    /// finds any bytes there, and is not called if there is no room.
    #[must_use]
    pub fn put_with(&mut self, count: usize, fill: impl FnOnce(&mut [u8])) -> Option<Text> {
        if self.len == self.texts_max || !self.has_room(count, 0) {
            return None;
        }
        let index = match self.first_free {
            Some(index) => {
                let Span::Free { next } = self.spans[index as usize] else { return None };
                self.first_free = next;
                index
            }
            None => {
                self.spans.push(Span::Free { next: None });
                self.spans.len() as u32 - 1
            }
        };
        self.write(index, count, fill);
        self.len += 1;
        Some(Text(index))
    }

    /// Whether `count` bytes would fit if `leaving` bytes, heads included, were freed before.
    fn has_room(&self, count: usize, leaving: usize) -> bool {
        self.live - leaving + count + HEAD_BYTES <= self.block.len()
    }

    /// Writes at the end, for a handle that has no bytes now. There is room.
    fn write(&mut self, index: u32, count: usize, fill: impl FnOnce(&mut [u8])) {
        let whole = HEAD_BYTES + count;
        if self.end + whole > self.block.len() {
            self.compact();
        }
        let at = self.end;
        self.block[at..at + 4].copy_from_slice(&index.to_ne_bytes());
        self.block[at + 4..at + 8].copy_from_slice(&(count as u32).to_ne_bytes());
        fill(&mut self.block[at + HEAD_BYTES..at + whole]);
        let (start, len) = ((at + HEAD_BYTES) as u32, count as u32);
        self.spans[index as usize] = Span::Used { start, len };
        self.end += whole;
        self.live += whole;
    }

    fn head(&self, at: usize) -> (u32, usize) {
        let word = |at: usize| {
            let bytes = self.block[at..at + 4].first_chunk().copied().unwrap_or_default();
            u32::from_ne_bytes(bytes)
        };
        (word(at), word(at + 4) as usize)
    }

    /// Moves all that live to the front.
    fn compact(&mut self) {
        let (mut from, mut to) = (0, 0);
        while from < self.end {
            let (index, len) = self.head(from);
            let whole = HEAD_BYTES + len;
            if index != FREED {
                self.block.copy_within(from..from + whole, to);
                let start = (to + HEAD_BYTES) as u32;
                self.spans[index as usize] = Span::Used { start, len: len as u32 };
                to += whole;
            }
            from += whole;
        }
        self.end = to;
    }

    fn span(&self, text: Text) -> Option<(usize, usize)> {
        match self.spans.get(text.0 as usize) {
            Some(Span::Used { start, len }) => Some((*start as usize, *len as usize)),
            _ => None,
        }
    }

    /// The bytes of a string; none of one that was freed.
    pub fn get(&self, text: Text) -> &[u8] {
        self.span(text).map_or(&[], |(start, len)| &self.block[start..start + len])
    }

    /// The string, if it is UTF-8; else the empty one.
    pub fn str(&self, text: Text) -> &str {
        core::str::from_utf8(self.get(text)).unwrap_or_default()
    }

    /// Gives a handle other bytes; `false` if there is no room for them, and then it has its old
    /// ones.
    #[must_use]
    pub fn replace(&mut self, text: Text, bytes: &[u8]) -> bool {
        self.replace_with(text, bytes.len(), |room| room.copy_from_slice(bytes))
    }

    /// Gives a handle `count` other bytes that `fill` writes, see [`Texts::put_with`].
    #[must_use]
    pub fn replace_with(&mut self, text: Text, count: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        let Some((start, len)) = self.span(text) else { return false };
        if len == count {
            fill(&mut self.block[start..start + len]);
            return true;
        }
        if !self.has_room(count, HEAD_BYTES + len) {
            return false;
        }
        self.release(start, len);
        self.write(text.0, count, fill);
        true
    }

    /// Marks the bytes of a string as freed.
    fn release(&mut self, start: usize, len: usize) {
        let head = start - HEAD_BYTES;
        self.block[head..head + 4].copy_from_slice(&FREED.to_ne_bytes());
        self.live -= HEAD_BYTES + len;
        if start + len == self.end {
            self.end = head;
        }
    }

    /// Forgets a string. A handle that was freed before is left alone.
    pub fn free(&mut self, text: Text) {
        let Some((start, len)) = self.span(text) else { return };
        self.release(start, len);
        self.spans[text.0 as usize] = Span::Free { next: self.first_free };
        self.first_free = Some(text.0);
        self.len -= 1;
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in use, what each string takes beside its own included.
    pub fn used_bytes(&self) -> usize {
        self.live
    }

    /// Bytes there are, what each string takes beside its own included.
    pub fn bytes_max(&self) -> usize {
        self.block.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_was_promised_can_be_used_to_the_last_byte() {
        let mut texts = Texts::new(4, 100);
        let all: Vec<_> = (0..4).map(|n| texts.put(&[n; 25]).unwrap()).collect();
        assert_eq!(texts.put(b""), None, "four is four");
        texts.free(all[1]);
        assert_eq!(texts.put(&[9; 26]), None, "one byte too many");
        assert!(!texts.replace(all[2], &[9; 60]));
        assert_eq!(texts.get(all[2]), [2; 25]);
        assert!(texts.replace(all[2], &[9; 50]), "its own bytes make room");
        for (text, bytes) in [(all[0], &[0; 25][..]), (all[2], &[9; 50]), (all[3], &[3; 25])] {
            assert_eq!(texts.get(text), bytes);
        }
        assert_eq!((texts.len(), texts.used_bytes()), (3, 100 + 3 * HEAD_BYTES));
    }

    #[test]
    fn a_freed_string_is_empty_and_freeing_it_again_does_nothing() {
        let mut texts = Texts::new(2, 10);
        let text = texts.put(b"one").unwrap();
        texts.free(text);
        texts.free(text);
        assert_eq!((texts.get(text), texts.len(), texts.used_bytes()), (&[][..], 0, 0));
        assert!(!texts.replace(text, b"two"));
    }

    #[test]
    fn strings_keep_their_bytes_through_a_long_random_life_without_allocating() {
        const BYTES: usize = 2_000;
        let mut texts = Texts::new(50, BYTES);
        let mut known: BTreeMap<u32, (u8, usize)> = BTreeMap::new();
        let mut seed = 7u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        let filler: Vec<u8> = vec![0; 200];
        let mut compactions = 0;
        for round in 0..100_000 {
            let (fill, len) = (round as u8, random(200));
            let mut bytes = filler.clone();
            bytes.truncate(len);
            bytes.fill(fill);
            let end = texts.end;
            let victim = known.keys().nth(random(known.len().max(1))).copied();
            let choice = random(3);
            let mut put = None;
            let counted = allocation_counter::measure(|| match (choice, victim) {
                (0, Some(victim)) => texts.free(Text(victim)),
                (1, Some(victim)) if texts.replace(Text(victim), &bytes) => put = Some(victim),
                _ => put = texts.put(&bytes).map(|text| text.0),
            });
            assert_eq!(counted.count_total, 0);
            compactions += usize::from(texts.end < end);
            match (choice, victim, put) {
                (0, Some(victim), _) => drop(known.remove(&victim)),
                (_, _, Some(index)) => drop(known.insert(index, (fill, len))),
                _ => {}
            }
            let live: usize = known.values().map(|(_, len)| HEAD_BYTES + len).sum();
            assert_eq!((known.len(), live), (texts.len(), texts.used_bytes()));
            for (index, (fill, len)) in &known {
                let bytes = texts.get(Text(*index));
                assert!(bytes.len() == *len && bytes.iter().all(|byte| byte == fill), "{index}");
            }
        }
        assert!(compactions > 1_000, "{compactions}");
    }
}
