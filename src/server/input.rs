//! Where a connection's requests arrive: its own small buffer, or a larger one while it needs it.
//!
//! Promises: nothing is allocated; what is there moves along from buffer to buffer.
//! Absent: when one is needed (`connection`).

use super::pool::Pool;
use super::shared::{Block, Shared};
use crate::broker::Slot;
use crate::limits::READ_BUFFER_BYTES;

/// How large a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// The connection's own.
    Own,
    /// A read buffer.
    Read,
    /// A batch buffer.
    Batch,
}

/// `bytes[start..end]` is not worked on yet.
pub struct Input {
    own: Block,
    shared: Option<Block>,
    size: Size,
    start: usize,
    end: usize,
}

impl Input {
    /// With this buffer of its own.
    pub fn new(own: Block) -> Input {
        Input { own, shared: None, size: Size::Own, start: 0, end: 0 }
    }

    /// The smallest buffer that takes `bytes`.
    pub fn size_for(&self, bytes: usize) -> Size {
        match bytes {
            bytes if bytes <= self.own.len() => Size::Own,
            bytes if bytes <= READ_BUFFER_BYTES => Size::Read,
            _ => Size::Batch,
        }
    }

    /// Which it has.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What has arrived and is not worked on.
    pub fn filled(&self) -> &[u8] {
        let bytes = self.shared.as_deref().unwrap_or(self.own);
        &bytes[self.start..self.end]
    }

    fn bytes(&mut self) -> &mut [u8] {
        match &mut self.shared {
            Some(shared) => shared,
            None => self.own,
        }
    }

    /// So many bytes are worked on.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Room for up to `wanted` bytes in all, behind what is there.
    pub fn room(&mut self, wanted: usize) -> &mut [u8] {
        let (start, end) = (self.start, self.end);
        if start > 0 {
            self.bytes().copy_within(start..end, 0);
            (self.start, self.end) = (0, end - start);
        }
        let end = self.end;
        let bytes = self.bytes();
        let wanted = wanted.clamp(end, bytes.len());
        &mut bytes[end..wanted]
    }

    /// So many bytes have come into [`Input::room`].
    pub fn received(&mut self, count: usize) {
        self.end += count;
    }

    /// Bytes of the buffer it has.
    pub fn capacity(&self) -> usize {
        self.shared.as_deref().map_or(self.own.len(), <[u8]>::len)
    }

    /// Keeps only the first `kept` bytes of the `length` next ones.
    pub fn shorten(&mut self, kept: usize, length: usize) {
        let (start, end) = (self.start, self.end);
        self.bytes().copy_within(start + length..end, start + kept);
        self.end -= length - kept;
    }

    /// Overwrites the next bytes.
    pub fn overwrite(&mut self, with: &[u8]) {
        let start = self.start;
        self.bytes()[start..start + with.len()].copy_from_slice(with);
    }

    fn pool(size: Size, shared: &mut Shared) -> Option<&mut Pool<Block>> {
        match size {
            Size::Own => None,
            Size::Read => Some(&mut shared.read),
            Size::Batch => Some(&mut shared.batch),
        }
    }

    /// Whether somebody waits for one such as it has.
    pub fn is_wanted(&self, shared: &Shared) -> bool {
        match self.size {
            Size::Own => false,
            Size::Read => shared.read.is_wanted(),
            Size::Batch => shared.batch.is_wanted(),
        }
    }

    /// Takes a larger buffer, if it is the connection's turn; else it is in the queue.
    pub fn enlarge(&mut self, size: Size, slot: Slot, shared: &mut Shared) -> bool {
        let taken = Input::pool(size, shared).and_then(|pool| pool.take(slot));
        let Some(larger) = taken else { return false };
        self.change(size, Some(larger), slot, shared);
        true
    }

    /// Goes back to its own buffer; what is there has to fit.
    pub fn shrink(&mut self, slot: Slot, shared: &mut Shared) {
        if self.size != Size::Own {
            self.change(Size::Own, None, slot, shared);
        }
    }

    fn change(&mut self, size: Size, mut to: Option<Block>, slot: Slot, shared: &mut Shared) {
        let count = self.end - self.start;
        let from = self.shared.take();
        let filled = match &from {
            Some(from) => &from[self.start..self.end],
            None => &self.own[self.start..self.end],
        };
        match (&mut to, &from) {
            (Some(to), _) => to[..count].copy_from_slice(filled),
            (None, Some(from)) => self.own[..count].copy_from_slice(&from[self.start..self.end]),
            (None, None) => self.own.copy_within(self.start..self.end, 0),
        }
        if let (Some(from), Some(pool)) = (from, Input::pool(self.size, shared)) {
            pool.give_back(slot, from);
        }
        (self.shared, self.size, self.start, self.end) = (to, size, 0, count);
    }

    /// Its own buffer; the shared one is given back.
    pub fn end(mut self, slot: Slot, shared: &mut Shared) -> Block {
        (self.start, self.end) = (0, 0);
        self.shrink(slot, shared);
        self.own
    }
}
