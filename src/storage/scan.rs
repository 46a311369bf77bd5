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
    COMMIT_ALIGN, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, KIND_OPENED, MAGIC, Payload,
    open_payload,
};
use crate::disk::FileRef;

/// Places where the next frame can stand.
const PLACES: usize = 3;

/// Words that [`magic_in`] passes at a time.
const BLOCK_WORDS: usize = 64;

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
            match self.file.read_twice(&mut self.window, JOURNAL_HEADER_BYTES + at) {
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

    /// The next place from `at` on, before `end`, where something stands that begins like a frame.
    pub(super) fn next_magic(&mut self, mut at: u64, end: u64) -> Option<u64> {
        let filled = self.file.length().map_or(u64::MAX, |all| all - JOURNAL_HEADER_BYTES.min(all));
        while at < end {
            let place = at % self.ring_bytes;
            if place >= filled {
                // The ring was never written there.
                at += self.ring_bytes - place;
                continue;
            }
            let mut here = FRAME_ALIGN;
            if !self.peek(at, FRAME_ALIGN as usize).is_empty() {
                let window = &self.window[(place - self.window_at) as usize..];
                let (words, _) = window.as_chunks::<{ FRAME_ALIGN as usize }>();
                match magic_in(words) {
                    Some(words) => {
                        let found = at + words as u64 * FRAME_ALIGN;
                        return (found < end).then_some(found);
                    }
                    None => here = (words.len() as u64 * FRAME_ALIGN).max(FRAME_ALIGN),
                }
            }
            at += here;
        }
        None
    }

    /// The earliest frame after the missing one, if any frame vouches that the missing one was
    /// durable. Frames of this generation (and those that open another) speak first; only where
    /// they don't, those of later generations, whose opening frame must be rotten then.
    fn later(&mut self) -> Option<(u64, FrameHeader)> {
        let (mut own, mut newer) = (Candidate::default(), Candidate::default());
        let mut at = self.position.next_multiple_of(FRAME_ALIGN);
        let end = self.position + self.ring_bytes;
        while let Some(found) = self.next_magic(at, end) {
            at = found;
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

/// The first of these words that begins like a frame.
///
/// Where the magic's first byte does not occur at all, which is most of a ring that is zeros or
/// was filled a step ahead, one search for a byte passes the block.
fn magic_in(words: &[[u8; FRAME_ALIGN as usize]]) -> Option<usize> {
    let mut blocks = words.chunks(BLOCK_WORDS).enumerate();
    blocks.find_map(|(number, block)| {
        let may_hold = block.as_flattened().contains(&MAGIC[0]);
        let word = may_hold.then(|| block.iter().position(|word| word.starts_with(MAGIC)))??;
        Some(number * BLOCK_WORDS + word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Journal, Resume, create_file};
    use super::super::journal_frame::KIND_CHANGE;
    use super::*;
    use crate::disk::sim::SimDisk;

    const RING: u64 = 16 * 1024;

    /// A journal with a few commits of the first generation: frame n has 600 bytes of n.
    struct Sample {
        file: FileRef,
        /// Positions of the frames, the first being number 1.
        at: Vec<u64>,
    }

    fn generation(file: &FileRef, resume: Resume, frames: u8) -> Vec<u64> {
        let mut journal = Journal::new(file.clone(), RING, resume, 64 << 10).unwrap();
        let mut at = Vec::new();
        for n in 0..=frames {
            let opened = n == 0;
            let payload = vec![resume.next_sequence as u8 + n; if opened { 0 } else { 600 }];
            let kind = if opened { KIND_OPENED } else { KIND_CHANGE };
            journal.stage(kind, 0, &[&payload]);
            journal.write_staged().unwrap();
            at.push(resume.head + journal.used() - 48 - payload.len() as u64);
            let lsn = journal.sync_begins();
            journal.sync_ended(lsn);
        }
        at
    }

    fn sample() -> Sample {
        let file = create_file(&SimDisk::new(), RING).unwrap();
        let resume =
            Resume { head: 0, tail: 0, next_sequence: 1, durable: 0, generation: 1, age_s: 0 };
        let at = generation(&file, resume, 6);
        Sample { file, at }
    }

    impl Sample {
        /// The next generation, which begins behind frame `last`.
        fn reopened_behind(&mut self, last: usize, number: u32, frames: u8) {
            let tail = self.at[last - 1] + 48 + if last == 1 { 0 } else { 600 };
            let resume = Resume {
                head: 0,
                tail,
                next_sequence: last as u64 + 1,
                durable: last as u64,
                generation: number,
                age_s: 0,
            };
            self.at.truncate(last);
            self.at.extend(generation(&self.file, resume, frames));
        }

        fn spoil(&self, position: u64) {
            self.file.write_at(&[b"rot"], JOURNAL_HEADER_BYTES + position).unwrap();
        }

        /// Numbers of the frames found; a gap is told as its two ends, negative.
        fn steps(&self) -> Vec<i64> {
            let mut scan = Scan::new(&self.file, RING, 0, 1, 0);
            let mut steps = Vec::new();
            loop {
                match scan.step() {
                    Step::Frame { header, .. } => steps.push(header.sequence as i64),
                    Step::Rot { first, last } => steps.extend([-(first as i64), -(last as i64)]),
                    Step::End => return steps,
                }
            }
        }
    }

    #[test]
    fn a_torn_last_frame_ends_the_log_silently() {
        let sample = sample();
        assert_eq!(sample.steps(), [1, 2, 3, 4, 5, 6, 7]);
        sample.spoil(sample.at[6] + 300);
        assert_eq!(sample.steps(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn frames_behind_a_torn_one_are_not_seen_unless_they_vouch_for_it() {
        // The last frame says that number 5 was durable, but not number 6.
        let sample = sample();
        sample.spoil(sample.at[5]);
        assert_eq!(sample.steps(), [1, 2, 3, 4, 5, -6, -6, 7]);
        let sample = self::sample();
        sample.spoil(sample.at[6]);
        assert_eq!(sample.steps(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn rot_in_the_middle_is_reported_and_what_follows_is_read() {
        for in_frame in [0, 20, 100, 600] {
            let sample = sample();
            sample.spoil(sample.at[2] + in_frame);
            sample.spoil(sample.at[3]);
            let steps = sample.steps();
            assert_eq!(steps.first_chunk(), Some(&[1, 2, -3, -4]));
            assert_eq!(steps.last_chunk(), Some(&[5, 6, 7]));
        }
    }

    #[test]
    fn a_torn_frame_whose_header_is_whole_does_not_hide_the_next_generation() {
        let mut sample = sample();
        sample.spoil(sample.at[4] + 400);
        // A power cut: nothing vouches for number 5, the journal goes on behind number 4.
        for stale in &sample.at[5..] {
            sample.spoil(*stale);
        }
        sample.reopened_behind(4, 2, 2);
        assert_eq!(sample.steps(), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn stale_frames_of_an_earlier_generation_are_not_seen() {
        let mut sample = sample();
        // Numbers 3 to 7 of generation 1 stay behind the two frames of generation 2.
        sample.reopened_behind(2, 2, 1);
        assert_eq!(sample.steps(), [1, 2, 3, 4]);
        sample.reopened_behind(4, 3, 0);
        assert_eq!(sample.steps(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_rotten_opening_frame_does_not_hide_its_generation() {
        let mut sample = sample();
        sample.reopened_behind(7, 2, 3);
        sample.spoil(sample.at[7]);
        assert_eq!(sample.steps(), [1, 2, 3, 4, 5, 6, 7, -8, -8, 9, 10, 11]);
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut seed = 7u64;
        let file = create_file(&SimDisk::new(), RING).unwrap();
        for _ in 0..20 {
            let mut noise = vec![0; RING as usize];
            for byte in &mut noise {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (seed >> 56) as u8;
            }
            file.write_at(&[&noise], JOURNAL_HEADER_BYTES).unwrap();
            let mut scan = Scan::new(&file, RING, seed % RING, 1, 0);
            while !matches!(scan.step(), Step::End) {}
        }
    }
}
