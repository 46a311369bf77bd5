//! Where a connection's answers stand until they are sent: its own small buffer, an answer buffer
//! while they are larger, and a spill file behind that.
//!
//! ```text
//! positions:  0 ........ base ................ base + spilled ....... length
//!             [ memory   |   the file         |   memory, from base on ]
//! ```
//!
//! Positions count all bytes, wherever they are; parts of segments ([`Pieces`]) stand between them.
//! Promises: nothing is allocated; patching, cutting and reading back work across memory and file.
//! An answer that finds no room says what it waits for.
//! Absent: the order of answers, and what may leave (`connection`).

use super::pool::Pool;
use super::shared::{Block, Shared};
use crate::api::{FilePiece, Pieces};
use crate::broker::Slot;
use crate::disk::{DiskResult, FileRef};
use crate::fixed::List;
use crate::wire::Sink;

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// An answer buffer.
    Answer,
    /// A spill file.
    Spill,
    /// That what stands before it is sent.
    Drained,
}

/// The part of the output that is in a file.
struct Spill {
    file: FileRef,
    /// Where in the output it begins.
    base: usize,
    bytes: usize,
}

/// The output.
pub struct Output {
    own: Block,
    large: Option<Block>,
    /// Bytes in memory.
    filled: usize,
    spill: Option<Spill>,
}

/// A run of output that lies in one place.
pub enum Run<'a> {
    /// In memory.
    Memory(&'a [u8]),
    /// In a file: so many bytes from a position on.
    File(&'a FileRef, u64, usize),
}

impl Output {
    /// With this buffer of its own.
    pub fn new(own: Block) -> Output {
        Output { own, large: None, filled: 0, spill: None }
    }

    /// Bytes that are in it.
    pub fn length(&self) -> usize {
        self.filled + self.spilled()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length() == 0
    }

    /// Bytes that still go into the buffer that it has.
    pub fn room(&self) -> usize {
        self.memory().len() - self.filled
    }

    /// Whether it has an answer buffer.
    pub fn is_large(&self) -> bool {
        self.large.is_some()
    }

    /// Whether a part of it is in a file.
    pub fn is_spilled(&self) -> bool {
        self.spill.is_some()
    }

    fn spilled(&self) -> usize {
        self.spill.as_ref().map_or(0, |spill| spill.bytes)
    }

    fn base(&self) -> usize {
        self.spill.as_ref().map_or(self.filled, |spill| spill.base)
    }

    fn memory(&self) -> &[u8] {
        self.large.as_deref().unwrap_or(self.own)
    }

    fn memory_mut(&mut self) -> &mut [u8] {
        match &mut self.large {
            Some(large) => large,
            None => self.own,
        }
    }

    /// The longest run from `from` to at most `to`.
    pub fn run(&self, from: usize, to: usize) -> Run<'_> {
        let (base, spilled) = (self.base(), self.spilled());
        match &self.spill {
            Some(spill) if (base..base + spilled).contains(&from) => {
                Run::File(&spill.file, (from - base) as u64, to.min(base + spilled) - from)
            }
            Some(_) if from >= base + spilled => {
                Run::Memory(self.memory().get(from - spilled..to - spilled).unwrap_or_default())
            }
            Some(_) => Run::Memory(self.memory().get(from..to.min(base)).unwrap_or_default()),
            None => Run::Memory(self.memory().get(from..to).unwrap_or_default()),
        }
    }

    /// Forgets the first `sent` bytes, if that is cheap; how many it forgot.
    pub fn compact(&mut self, sent: usize) -> usize {
        if self.spill.is_some() || sent == 0 {
            return 0;
        }
        let filled = self.filled;
        self.memory_mut().copy_within(sent..filled, 0);
        self.filled -= sent;
        sent
    }

    /// Everything is sent, or nobody wants it: the shared memory goes back.
    pub fn clear(&mut self, slot: Slot, shared: &mut Shared) {
        self.filled = 0;
        if let Some(large) = self.large.take() {
            shared.answer.give_back(slot, large);
        }
        self.give_spill_back(slot, shared);
    }

    /// Gives a file back in which nothing is left.
    pub fn tidy(&mut self, slot: Slot, shared: &mut Shared) {
        if self.spilled() == 0 {
            self.give_spill_back(slot, shared);
        }
    }

    fn give_spill_back(&mut self, slot: Slot, shared: &mut Shared) {
        if let Some(spill) = self.spill.take() {
            // Its pages go before they are written. If not, the next one overwrites them.
            spill.file.set_length(0).ok();
            shared.spill.give_back(slot, spill.file);
        }
    }

    /// Its own buffer; everything else is given back.
    pub fn end(mut self, slot: Slot, shared: &mut Shared) -> Block {
        self.clear(slot, shared);
        self.own
    }

    fn enlarge(&mut self, large: Block) {
        large[..self.filled].copy_from_slice(&self.own[..self.filled]);
        self.large = Some(large);
    }

    /// Moves what stands in memory behind `base` to the file.
    fn flush(&mut self) -> DiskResult<()> {
        let Some(spill) = &mut self.spill else { return Ok(()) };
        let memory = self.large.as_deref().unwrap_or(self.own);
        let part = &memory[spill.base..self.filled];
        spill.file.write_at(&[part], spill.bytes as u64)?;
        spill.bytes += part.len();
        self.filled = spill.base;
        Ok(())
    }
}

/// The output while one answer is written, with what it may borrow.
pub struct Sheet<'a> {
    output: &'a mut Output,
    answer: &'a mut Pool<Block>,
    spill: &'a mut Pool<FileRef>,
    slot: Slot,
    /// Where the answer begins.
    start: usize,
    /// Its room was seen to be there, whatever stands before it.
    sure: bool,
    /// What it waits for, if it found no room.
    want: &'a mut Option<Want>,
}

impl<'a> Sheet<'a> {
    /// For the answer that begins at `start`.
    pub fn new(
        output: &'a mut Output,
        pools: (&'a mut Pool<Block>, &'a mut Pool<FileRef>),
        slot: Slot,
        start: usize,
        sure: bool,
        want: &'a mut Option<Want>,
    ) -> Sheet<'a> {
        let (answer, spill) = pools;
        Sheet { output, answer, spill, slot, start, sure, want }
    }

    fn wants(&mut self, want: Want) -> bool {
        *self.want = Some(want);
        false
    }

    /// Makes room for some more bytes.
    fn grow(&mut self) -> bool {
        if self.output.large.is_none() {
            return match self.answer.take(self.slot) {
                Some(large) => {
                    self.output.enlarge(large);
                    true
                }
                None => self.wants(Want::Answer),
            };
        }
        if self.output.spill.is_none() {
            if self.start > 0 && !self.sure {
                return self.wants(Want::Drained);
            }
            let Some(file) = self.spill.take(self.slot) else { return self.wants(Want::Spill) };
            self.output.spill = Some(Spill { file, base: self.start, bytes: 0 });
        }
        // If the disk takes nothing, the answer is too large.
        self.output.flush().is_ok()
    }
}

impl Sink for Sheet<'_> {
    fn length(&self) -> usize {
        self.output.length()
    }

    fn append(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let count = bytes.len().min(self.output.room());
            let (part, rest) = bytes.split_at(count);
            let filled = self.output.filled;
            self.output.memory_mut()[filled..filled + count].copy_from_slice(part);
            self.output.filled += count;
            if rest.is_empty() {
                return true;
            }
            bytes = rest;
            if !self.grow() {
                return false;
            }
        }
    }

    fn overwrite(&mut self, position: usize, bytes: &[u8]) {
        let (base, spilled) = (self.output.base(), self.output.spilled());
        for (at, byte) in (position..).zip(bytes) {
            let place = match &self.output.spill {
                Some(spill) if (base..base + spilled).contains(&at) => {
                    // One that fails has failed before: the answer is not sent.
                    spill.file.write_at(&[&[*byte]], (at - base) as u64).ok();
                    continue;
                }
                _ if at >= base + spilled => at - spilled,
                _ => at,
            };
            if let Some(place) = self.output.memory_mut().get_mut(place) {
                *place = *byte;
            }
        }
    }

    fn read_back(&self, position: usize, buffer: &mut [u8]) -> usize {
        let end = self.length().min(position + buffer.len());
        let mut at = position;
        while at < end {
            let into = &mut buffer[at - position..end - position];
            at += match self.output.run(at, end) {
                Run::Memory([]) => break,
                Run::Memory(part) => {
                    into[..part.len()].copy_from_slice(part);
                    part.len()
                }
                Run::File(file, from, count) => match file.read_twice(&mut into[..count], from) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => count,
                },
            };
        }
        at.saturating_sub(position)
    }

    fn cut(&mut self, position: usize) {
        let output = &mut *self.output;
        match &mut output.spill {
            Some(spill) if position < spill.base + spill.bytes => {
                output.filled = spill.base.min(position);
                spill.bytes = position.saturating_sub(spill.base);
            }
            _ => output.filled = position - output.spilled(),
        }
    }

    fn ensure(&mut self, bytes: usize) -> bool {
        while bytes > self.output.room() {
            if self.output.is_spilled() {
                return true;
            }
            if !self.grow() {
                return false;
            }
        }
        true
    }
}

/// Parts of files in the output, in order.
pub struct PieceList {
    own: List<FilePiece>,
    table: Option<List<FilePiece>>,
}

impl PieceList {
    /// With this list of its own.
    pub fn new(own: List<FilePiece>) -> PieceList {
        PieceList { own, table: None }
    }

    /// The pieces.
    pub fn list(&self) -> &List<FilePiece> {
        self.table.as_ref().unwrap_or(&self.own)
    }

    /// The pieces.
    pub fn list_mut(&mut self) -> &mut List<FilePiece> {
        self.table.as_mut().unwrap_or(&mut self.own)
    }

    /// Goes back to its own list, if it is empty.
    pub fn tidy(&mut self, slot: Slot, tables: &mut Pool<List<FilePiece>>) {
        if self.list().is_empty()
            && let Some(table) = self.table.take()
        {
            tables.give_back(slot, table);
        }
    }

    /// Its own list, empty.
    pub fn end(mut self, slot: Slot, tables: &mut Pool<List<FilePiece>>) -> List<FilePiece> {
        self.list_mut().clear();
        self.tidy(slot, tables);
        self.own
    }
}

/// The pieces while one answer is written.
pub struct PieceSheet<'a> {
    /// The pieces.
    pub pieces: &'a mut PieceList,
    /// Where there are larger lists.
    pub tables: &'a mut Pool<List<FilePiece>>,
    /// Whose.
    pub slot: Slot,
}

impl Pieces for PieceSheet<'_> {
    fn count(&self) -> usize {
        self.pieces.list().len()
    }

    fn has_room(&mut self) -> bool {
        if self.pieces.table.is_none()
            && self.pieces.own.is_full()
            && self.tables.can_take(self.slot)
        {
            self.pieces.table = self.tables.take(self.slot);
            let PieceList { own, table } = &mut *self.pieces;
            // It is larger.
            table.iter_mut().for_each(|table| own.drain(..).for_each(|p| drop(table.push(p))));
        }
        !self.pieces.list().is_full()
    }

    fn push(&mut self, piece: FilePiece) {
        // There is room: the caller has asked.
        self.pieces.list_mut().push(piece).ok();
    }

    fn cut(&mut self, count: usize) {
        self.pieces.list_mut().truncate(count);
    }
}
