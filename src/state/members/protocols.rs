//! The protocols that a member offers, packed into one string.
//!
//! ```text
//! ┌─────────────┬──────┬─────────────────┬──────────┬ ─ ─
//! │ length: u16 │ name │   length: u32   │ metadata │ the next one
//! └─────────────┴──────┴─────────────────┴──────────┴ ─ ─
//! ```

use crate::state::group::Protocols;

/// Bytes of a protocol beside its name and its metadata.
const HEADS_BYTES: usize = 2 + 4;

/// Bytes that protocols take.
pub(in crate::state) fn bytes<'a>(protocols: impl Protocols<'a>) -> usize {
    protocols.map(|(name, metadata)| HEADS_BYTES + name.len() + metadata.len()).sum()
}

/// Writes protocols into exactly as much room as they take.
pub(super) fn pack<'a>(protocols: impl Protocols<'a>, room: &mut [u8]) {
    let mut at = 0;
    let mut write = |bytes: &[u8]| {
        room[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    for (name, metadata) in protocols {
        // Names and metadata are far shorter (`limits`).
        write(&(name.len() as u16).to_ne_bytes());
        write(name.as_bytes());
        write(&(metadata.len() as u32).to_ne_bytes());
        write(metadata);
    }
}

/// Names and metadata, in the order in which they were offered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iter<'a>(&'a [u8]);

impl<'a> Iter<'a> {
    pub(super) fn new(packed: &'a [u8]) -> Iter<'a> {
        Iter(packed)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_ne_bytes(*length)))?;
        let (length, rest) = rest.split_first_chunk()?;
        let (metadata, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        self.0 = rest;
        Some((name, metadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_come_back_in_their_order() {
        let offered: [(&str, &[u8]); 3] = [("range", b"meta"), ("", b""), ("sticky", &[7; 300])];
        let mut packed = vec![0; bytes(offered.iter().copied())];
        pack(offered.iter().copied(), &mut packed);
        let read: Vec<_> = Iter::new(&packed).collect();
        assert_eq!(read, offered.map(|(name, metadata)| (name.as_bytes(), metadata)));
        assert_eq!(Iter::new(&packed[..packed.len() - 1]).count(), 2, "cut short");
    }
}
