//! The bytes of one simulated file: sparse, copied on write, with the space it takes.
//!
//! A copy costs one reference per 4 KiB block that is not zero, so that tens of thousands of crash
//! states of a disk with a journal of a mebibyte cost seconds in a debug build, not minutes. Bytes
//! beyond the length are zero, but for the time between [`Content::overlay`] and the
//! [`Content::lengthen`] or [`Content::clip`] that follows it.

use std::collections::BTreeMap;
use std::rc::Rc;

/// What the file's bytes are kept in, and what space is given out in.
const BLOCK_BYTES: u64 = 4096;

type Block = [u8; BLOCK_BYTES as usize];

static ZEROS: Block = [0; BLOCK_BYTES as usize];

/// What a file holds.
#[derive(Clone, Default)]
pub(super) struct Content {
    /// By block number; what is missing reads as zeros.
    blocks: BTreeMap<u64, Rc<Block>>,
    length: u64,
    /// Where space is taken, written or reserved: `start..end` in bytes, whole blocks, disjoint.
    space: Vec<(u64, u64)>,
}

impl Content {
    /// The file's length.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The space the file takes.
    pub(super) fn space_bytes(&self) -> u64 {
        self.space.iter().map(|(start, end)| end - start).sum()
    }

    /// How much more space the file would take with these bytes written or reserved.
    pub(super) fn space_missing(&self, at: u64, bytes: u64) -> u64 {
        let (start, end) = whole_blocks(at, bytes);
        let overlap = |&(from, to): &(u64, u64)| to.min(end).saturating_sub(from.max(start));
        end - start - self.space.iter().map(overlap).sum::<u64>()
    }

    /// Takes space without changing anything else.
    pub(super) fn reserve(&mut self, at: u64, bytes: u64) {
        if bytes == 0 || self.space_missing(at, bytes) == 0 {
            return;
        }
        let (mut start, mut end) = whole_blocks(at, bytes);
        self.space.retain(|&(from, to)| {
            let apart = to < start || from > end;
            if !apart {
                start = start.min(from);
                end = end.max(to);
            }
            apart
        });
        self.space.push((start, end));
    }

    /// Reads up to the length; returns how many bytes there were.
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> usize {
        let available = self.length.saturating_sub(at).min(buffer.len() as u64);
        for (range, block, within) in pieces(at, available) {
            let bytes = self.blocks.get(&block).map_or(&ZEROS, |block| block.as_ref());
            let count = range.len();
            buffer[range].copy_from_slice(&bytes[within..within + count]);
        }
        available as usize
    }

    /// Puts bytes in their place, whatever the length is and without changing it.
    pub(super) fn overlay(&mut self, bytes: &[u8], at: u64) {
        self.reserve(at, bytes.len() as u64);
        for (range, block, within) in pieces(at, bytes.len() as u64) {
            let piece = &bytes[range];
            if piece == &ZEROS[..piece.len()] {
                // A journal is filled with zeros first; those need not take memory.
                if piece.len() == ZEROS.len() {
                    self.blocks.remove(&block);
                    continue;
                }
                if !self.blocks.contains_key(&block) {
                    continue;
                }
            }
            let slot = self.blocks.entry(block).or_insert_with(|| Rc::new(ZEROS));
            Rc::make_mut(slot)[within..within + piece.len()].copy_from_slice(piece);
        }
    }

    /// Makes the file at least this long.
    pub(super) fn lengthen(&mut self, length: u64) {
        self.length = self.length.max(length);
    }

    /// Cuts or lengthens the file; cutting gives up the space behind, reserved or not.
    pub(super) fn set_length(&mut self, length: u64) {
        let shrinks = length < self.length;
        self.length = length;
        if shrinks {
            self.clip();
            let (_, limit) = whole_blocks(0, length);
            self.space.retain_mut(|(start, end)| {
                *end = limit.min(*end);
                start < end
            });
        }
    }

    /// Drops what lies beyond the length.
    pub(super) fn clip(&mut self) {
        let (whole, rest) = (self.length / BLOCK_BYTES, (self.length % BLOCK_BYTES) as usize);
        let mut beyond = self.blocks.split_off(&whole);
        if rest > 0
            && let Some(mut last) = beyond.remove(&whole)
        {
            if last[rest..] != ZEROS[rest..] {
                Rc::make_mut(&mut last)[rest..].fill(0);
            }
            self.blocks.insert(whole, last);
        }
    }
}

/// Splits bytes at block borders: where in the bytes, which block, where in the block.
fn pieces(at: u64, bytes: u64) -> impl Iterator<Item = (core::ops::Range<usize>, u64, usize)> {
    let end = at + bytes;
    let mut position = at;
    core::iter::from_fn(move || {
        (position < end).then(|| {
            let block = position / BLOCK_BYTES;
            let stop = end.min((block + 1) * BLOCK_BYTES);
            let range = (position - at) as usize..(stop - at) as usize;
            let within = (position % BLOCK_BYTES) as usize;
            position = stop;
            (range, block, within)
        })
    })
}

fn whole_blocks(at: u64, bytes: u64) -> (u64, u64) {
    if bytes == 0 {
        return (at, at);
    }
    (at / BLOCK_BYTES * BLOCK_BYTES, (at + bytes).next_multiple_of(BLOCK_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &Content) -> Vec<u8> {
        let mut bytes = vec![7; content.length() as usize + 3];
        let count = content.read(&mut bytes, 0);
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn it_agrees_with_a_plain_vector_under_random_writes_and_cuts() {
        let mut content = Content::default();
        let mut model: Vec<u8> = Vec::new();
        let mut random = 1_u64;
        for step in 0..400_u64 {
            random = super::super::crash::mix(random + step);
            let at = random % 10_000;
            let count = (random >> 20) % 9_000;
            match (random >> 40) % 4 {
                0 => {
                    content.set_length(at);
                    model.resize(at as usize, 0);
                }
                choice => {
                    // Zeros as well, because they are kept differently.
                    let bytes = vec![(choice - 1) as u8; count as usize];
                    content.overlay(&bytes, at);
                    content.lengthen(at + count);
                    model.resize(model.len().max((at + count) as usize), 0);
                    model[at as usize..(at + count) as usize].copy_from_slice(&bytes);
                }
            }
            assert!(all(&content) == model, "differs after step {step}");
        }
    }

    #[test]
    fn a_copy_is_not_changed_by_writing_to_the_original() {
        let mut content = Content::default();
        content.overlay(b"before", 0);
        content.lengthen(6);
        let copy = content.clone();
        content.overlay(b"after!", 0);
        assert_eq!(all(&copy), b"before");
    }

    #[test]
    fn what_was_written_beyond_the_length_is_gone_after_clipping() {
        let mut content = Content::default();
        content.overlay(&[1; 6000], 0);
        content.lengthen(100);
        content.clip();
        content.lengthen(6000);
        let mut expected = vec![0; 6000];
        expected[..100].fill(1);
        assert!(all(&content) == expected);
    }

    #[test]
    fn space_is_counted_once_in_whole_blocks_and_given_back_by_cutting() {
        let mut content = Content::default();
        assert_eq!(content.space_missing(100, 5000), 8192);
        content.overlay(&[0; 10], 100);
        assert_eq!(content.space_bytes(), 4096);
        content.reserve(12_288, 1);
        assert_eq!(content.space_missing(0, 16_384), 8192);
        content.reserve(0, 16_384);
        assert_eq!((content.space_bytes(), content.space.len()), (16_384, 1));
        content.lengthen(110);
        content.set_length(50);
        assert_eq!(content.space_bytes(), 4096);
        content.set_length(0);
        assert_eq!(content.space_bytes(), 0);
    }
}
