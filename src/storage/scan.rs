//! Reads the journal's frames in order, and tells a torn tail from rot in the middle.
//!
//! The next frame carries the next sequence number, in the current generation (or opens a later
//! one), and stands at one of three places: right behind the last, at the next commit boundary,
//! or at the ring's start. Where none of them holds it, one of two things has happened:
//!
//! - *torn tail*: the power went before a sync had ended. Nobody was promised this frame nor any
//!   behind it, even if some of those did survive. The log ends here.
//! - *rot*: a later frame says that this one was durable (`durable` ≥ its number). It is reported,
//!   and reading goes on at the next frame that is whole.
//!
//! Frames of earlier generations behind the tail are what an earlier cut left, and are not seen.

use super::journal::JOURNAL_HEADER_BYTES;
use super::journal_frame::{
    COMMIT_ALIGN, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, KIND_OPENED, Payload, open_payload,
};
use crate::disk::FileRef;

/// What comes next in the journal.
pub enum Step<'a> {
    /// A frame.
    Frame {
        /// Its header.
        header: FrameHeader,
        /// What it says.
        payload: Payload<'a>,
    },
    /// Frames that were durable and cannot be read any more.
    Rot {
        /// The first number missing.
        first: u64,
        /// The last number missing.
        last: u64,
    },
    /// The journal ends here.
    End,
}

/// A walk through the journal.
pub struct Scan<'a> {
    file: &'a FileRef,
    ring_bytes: u64,
    /// Where the last frame ended.
    pub position: u64,
    /// The number of the next frame.
    pub next_sequence: u64,
    /// The current generation.
    pub generation: u32,
    /// The store's clock at the last frame, seconds.
    pub age_s: u32,
    start: u64,
    payload: Vec<u8>,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Scan<'a> {
    /// A walk from ring position `head`, where frame `next_sequence` is expected.
    pub fn new(
        file: &'a FileRef,
        ring_bytes: u64,
        head: u64,
        next_sequence: u64,
        generation: u32,
    ) -> Scan<'a> {
        Scan {
            file,
            ring_bytes,
            position: head,
            next_sequence,
            generation,
            age_s: 0,
            start: head,
            payload: Vec::new(),
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// Bytes of the ring at `position`, as many of `count` as lie before the ring's end.
    fn peek(&mut self, position: u64, count: usize) -> &[u8] {
        let at = position % self.ring_bytes;
        let count = count.min((self.ring_bytes - at) as usize);
        let end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + count as u64 > end {
            let want = (64 * 1024).max(count).min((self.ring_bytes - at) as usize);
            self.window.resize(want, 0);
            match self.file.read_at(&mut self.window, JOURNAL_HEADER_BYTES + at) {
                // The file is filled a step ahead, and what it does not have yet holds no frame.
                // Zeros, so that the walk passes it without asking the file at every place.
                Ok(got) => self.window[got..].fill(0),
                // A block that cannot be read: the next place may be behind it.
                Err(_) => self.window.clear(),
            }
            self.window_at = at;
        }
        let from = (at - self.window_at) as usize;
        let to = (from + count).min(self.window.len());
        self.window.get(from..to).unwrap_or_default()
    }

    /// The header that stands at `position`, if a whole one does.
    pub fn header_at(&mut self, position: u64) -> Option<FrameHeader> {
        let left = self.ring_bytes - position % self.ring_bytes;
        let header = FrameHeader::read(self.peek(position, FRAME_HEADER_BYTES))?;
        let bytes = FRAME_HEADER_BYTES as u64 + u64::from(header.payload_bytes);
        (bytes <= left).then_some(header)
    }

    fn belongs(&self, header: &FrameHeader) -> bool {
        header.generation == self.generation
            || (header.kind == KIND_OPENED && header.generation > self.generation)
    }

    /// How far the walk may go: once around the ring.
    fn end(&self) -> u64 {
        self.start + self.ring_bytes
    }

    fn expected(&mut self) -> Option<(u64, FrameHeader)> {
        let behind = self.position.next_multiple_of(FRAME_ALIGN);
        let commit = self.position.next_multiple_of(COMMIT_ALIGN);
        let wrapped = self.position.next_multiple_of(self.ring_bytes);
        for at in [behind, commit, wrapped] {
            if at < self.end()
                && let Some(header) = self.header_at(at)
                && header.sequence == self.next_sequence
                && self.belongs(&header)
            {
                return Some((at, header));
            }
        }
        None
    }

    /// Whether nothing of this generation follows at the expected places. After an orderly stop
    /// that is known without a search through the whole ring.
    pub fn is_at_end(&mut self) -> bool {
        self.expected().is_none()
    }

    /// The first whole frame behind `position` that belongs here, and the highest number that any
    /// frame behind it vouches for.
    fn later(&mut self, position: u64) -> (Option<(u64, FrameHeader)>, u64) {
        let (mut first, mut durable) = (None, 0);
        let mut at = position.next_multiple_of(FRAME_ALIGN);
        while at < self.end() {
            if let Some(header) = self.header_at(at)
                && header.sequence > self.next_sequence
                && self.belongs(&header)
            {
                first.get_or_insert((at, header));
                durable = durable.max(header.durable);
            }
            at += FRAME_ALIGN;
        }
        (first, durable)
    }

    fn read_payload(&mut self, at: u64, header: &FrameHeader) -> bool {
        self.payload.resize(header.payload_bytes as usize, 0);
        let from = JOURNAL_HEADER_BYTES + at % self.ring_bytes + FRAME_HEADER_BYTES as u64;
        self.file.read_exact_at(&mut self.payload, from).is_ok()
            && open_payload(header, &self.payload).is_some()
    }

    /// The next step. After [`Step::End`] the walk stays there.
    pub fn step(&mut self) -> Step<'_> {
        if let Some((at, header)) = self.expected() {
            if self.read_payload(at, &header) {
                self.position = at + header.frame_bytes();
                self.next_sequence += 1;
                self.generation = header.generation;
                self.age_s = self.age_s.max(header.age_s);
                return match open_payload(&header, &self.payload) {
                    Some(payload) => Step::Frame { header, payload },
                    None => Step::End,
                };
            }
            // The header is whole, so the frame behind it can be found without a search.
            let behind = at + header.frame_bytes();
            if self.later(behind).1 >= header.sequence {
                self.position = behind;
                self.next_sequence += 1;
                return Step::Rot { first: header.sequence, last: header.sequence };
            }
            return Step::End;
        }
        let (found, durable) = self.later(self.position);
        match found {
            Some((at, header)) if durable >= self.next_sequence => {
                let first = self.next_sequence;
                self.position = at;
                self.next_sequence = header.sequence;
                // A generation that began inside the gap is taken over from the frame behind it.
                self.generation = header.generation;
                Step::Rot { first, last: header.sequence - 1 }
            }
            _ => Step::End,
        }
    }
}
