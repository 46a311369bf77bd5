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

/// Places where the next frame can stand.
const PLACES: usize = 3;

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
    /// The highest number that any frame vouches for.
    pub durable: u64,
    /// The position of the last frame, if that one opens a generation.
    pub opened_at: Option<u64>,
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
            durable: next_sequence.saturating_sub(1),
            opened_at: None,
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

    /// The header of the next frame at one of the places where it can stand; see [`Scan::step`]
    /// for why there may be more than one.
    fn candidate(&mut self, place: usize) -> Option<(u64, FrameHeader)> {
        let align = [FRAME_ALIGN, COMMIT_ALIGN, self.ring_bytes][place];
        let at = self.position.next_multiple_of(align);
        let header = if at < self.end() { self.header_at(at)? } else { return None };
        let fits = header.sequence == self.next_sequence && self.belongs(&header);
        fits.then_some((at, header))
    }

    /// Whether nothing of this generation follows at the expected places. After an orderly stop
    /// that is known without a search through the whole ring.
    pub fn is_at_end(&mut self) -> bool {
        (0..PLACES).all(|place| self.candidate(place).is_none())
    }

    /// The earliest frame after the missing one, if any frame vouches that the missing one was
    /// durable. Frames of this generation (and those that open another) speak first; only where
    /// they don't, those of later generations, whose opening frame must be rotten then.
    fn later(&mut self) -> Option<(u64, FrameHeader)> {
        let (mut own, mut newer) = (Candidate::default(), Candidate::default());
        let mut at = self.position.next_multiple_of(FRAME_ALIGN);
        let end = self.position + self.ring_bytes;
        while at < end {
            if let Some(header) = self.header_at(at)
                && header.sequence > self.next_sequence
            {
                if self.belongs(&header) {
                    own.consider(at, header);
                } else if header.generation > self.generation {
                    newer.consider(at, header);
                }
            }
            at += FRAME_ALIGN;
        }
        let vouched = |candidate: Candidate| {
            candidate.first.filter(|_| candidate.durable >= self.next_sequence)
        };
        vouched(own).or_else(|| vouched(newer))
    }

    /// What the frame at `at` says, if its payload is whole.
    pub fn payload(&mut self, at: u64, header: &FrameHeader) -> Option<Payload<'_>> {
        if self.read_payload(at, header) { open_payload(header, &self.payload) } else { None }
    }

    fn read_payload(&mut self, at: u64, header: &FrameHeader) -> bool {
        self.payload.resize(header.payload_bytes as usize, 0);
        let from = JOURNAL_HEADER_BYTES + at % self.ring_bytes + FRAME_HEADER_BYTES as u64;
        self.file.read_exact_at(&mut self.payload, from).is_ok()
            && open_payload(header, &self.payload).is_some()
    }

    /// The next step. After [`Step::End`] the walk stays there.
    ///
    /// Of the places where the next frame can stand several may hold its number: where a cut tore
    /// a frame, its whole header stays behind the last frame for ever, and the next generation
    /// begins with the same number in the next sector. The one whose payload is whole is it.
    pub fn step(&mut self) -> Step<'_> {
        for place in 0..PLACES {
            if let Some((at, header)) = self.candidate(place)
                && self.read_payload(at, &header)
            {
                self.position = at + header.frame_bytes();
                self.next_sequence += 1;
                self.generation = header.generation;
                self.age_s = self.age_s.max(header.age_s);
                self.durable = self.durable.max(header.durable);
                self.opened_at = (header.kind == KIND_OPENED).then_some(at);
                return match open_payload(&header, &self.payload) {
                    Some(payload) => Step::Frame { header, payload },
                    None => Step::End,
                };
            }
        }
        match self.later() {
            Some((at, header)) => {
                let first = self.next_sequence;
                self.position = at;
                self.start = at;
                self.next_sequence = header.sequence;
                // A generation that began inside the gap is taken over from the frame behind it.
                self.generation = header.generation;
                self.opened_at = None;
                Step::Rot { first, last: header.sequence - 1 }
            }
            None => Step::End,
        }
    }
}

/// What a search behind a missing frame has found.
#[derive(Default)]
struct Candidate {
    first: Option<(u64, FrameHeader)>,
    durable: u64,
}

impl Candidate {
    fn consider(&mut self, at: u64, header: FrameHeader) {
        // The lowest number is next, not the nearest place: the ring goes around. Of two with the
        // same number the later generation is the one that counted.
        let rank = |h: &FrameHeader| (h.sequence, core::cmp::Reverse(h.generation));
        if self.first.as_ref().is_none_or(|(_, first)| rank(&header) < rank(first)) {
            self.first = Some((at, header));
        }
        self.durable = self.durable.max(header.durable);
    }
}
