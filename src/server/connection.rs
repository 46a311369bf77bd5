//! One connection without its socket: frames in, answers out, in order.
//!
//! ```text
//! input:   [ frame | frame | half a fra..]        one small buffer, or a borrowed large one
//! output:  [ sent | released | held back until written/synced | ... ]   + pieces of files
//! ```
//!
//! Promises: answers leave in the order of their requests; one that waits for a sync holds back
//! all behind it, while up to `PRODUCE_IN_FLIGHT_MAX` such requests are worked on. A buffer grows
//! by bytes that arrived, never by a number that a frame claims. A parked request keeps its bytes
//! and is run again when the connection is woken. A Produce request that is larger than a batch is
//! taken while it arrives, and until it is answered nothing else is looked at; its answer grows
//! behind those that may leave.
//! Absent: reading, writing and waiting (`session`).

use crate::api::{self, Broken, Buffers, FilePiece, Frame, Outcome, Parked, Partly, Peer, Stream};
use crate::broker::Broker;
use crate::limits::{
    CONNECTION_BUFFER_BYTES, OUTPUT_BYTES_MAX, PRODUCE_ELEMENT_BYTES_MAX, PRODUCE_IN_FLIGHT_MAX,
    READ_AHEAD_BYTES, REQUEST_OVERHEAD_BYTES,
};
use crate::storage::Lsn;
use crate::time::{Millis, Now};

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    Now,
    Written(Lsn),
    Synced(Lsn),
}

/// An answer's end in the output, and what has to be true before it may leave.
#[derive(Clone, Copy, Debug)]
struct Mark {
    end: usize,
    release: Release,
}

/// Why a connection is closed, apart from the client's own wish.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// A frame length that is negative or above the limit.
    FrameLength(i32),
    /// The request cannot be answered.
    Broken(Broken),
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Fault::FrameLength(length) => {
                write!(
                    f,
                    "a request of {length} bytes; no Kafka client, or one that does not know the \
                     limits here"
                )
            }
            Fault::Broken(broken) => write!(f, "{broken}"),
        }
    }
}

/// Where input goes: `bytes[start..end]` is not worked on yet.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled all the room there was: there may be more.
    filled_up: bool,
}

impl Input {
    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Moves what is there to the front of `larger`, and gives back the old buffer.
    fn move_to(&mut self, mut larger: Vec<u8>) -> Vec<u8> {
        let count = self.end - self.start;
        if larger.len() < count {
            larger.resize(count, 0);
        }
        larger[..count].copy_from_slice(self.filled());
        (self.start, self.end) = (0, count);
        core::mem::replace(&mut self.bytes, larger)
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }
}

/// What a request may have in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    /// Any at all.
    any: usize,
    /// One that is no Produce.
    other: usize,
    /// A Produce that is waited for as a whole.
    whole: usize,
}

/// The request that is arriving.
#[derive(Clone, Copy, Debug)]
struct Arriving {
    /// Its length, the length field included.
    bytes: usize,
    /// It is taken while it arrives.
    streamed: bool,
}

impl Arriving {
    /// Bytes of it that have to be here before it is looked at.
    fn needed(self) -> usize {
        // The header of a request that is not waited for has to fit into a small buffer.
        if self.streamed { self.bytes.min(CONNECTION_BUFFER_BYTES) } else { self.bytes }
    }
}

/// A Produce request of which a part is answered.
#[derive(Clone, Copy, Debug)]
struct Begun {
    stream: Stream,
    /// Bytes of it that are not done with, whether they are here or not.
    left: usize,
    /// So many of them have to be here before it gets on.
    needed: usize,
    /// Where in the output its answer begins.
    answer: usize,
}

/// What [`Connection::work`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// A record was taken that waits for no sync: what is staged must be written.
    pub must_write: bool,
    /// Requests that were answered or parked.
    pub requests: usize,
    /// Answers among them that wait for a sync.
    pub after_sync: u32,
}

/// A connection.
pub struct Connection {
    peer: Peer,
    limits: Limits,
    input: Input,
    /// The connection's own small buffer, while `input` has a large one.
    small: Option<Vec<u8>>,
    output: Vec<u8>,
    pieces: Vec<FilePiece>,
    marks: heapless::Deque<Mark, PRODUCE_IN_FLIGHT_MAX>,
    /// Bytes of `output` that are sent, and bytes of the first piece that are.
    sent: usize,
    piece_sent: u32,
    /// Bytes of `output` that may be sent.
    released: usize,
    parked: Option<Parked>,
    begun: Option<Begun>,
}

fn limits(broker: &Broker) -> Limits {
    let any = broker.config().socket_request_max_bytes as usize;
    let batch = broker.message_bytes_max();
    let (other, whole) = (batch + REQUEST_OVERHEAD_BYTES, batch + PRODUCE_ELEMENT_BYTES_MAX);
    Limits { any, other, whole }
}

/// What may be sent next.
pub enum Send<'a> {
    /// These bytes.
    Bytes {
        /// The bytes.
        bytes: &'a [u8],
        /// Part of a file follows at once.
        more: bool,
    },
    /// This part of a file: `count` bytes from `position` on.
    File {
        /// The file.
        piece: &'a FilePiece,
        /// Where to go on.
        position: u64,
        /// How much is left.
        count: usize,
    },
    /// Nothing now.
    Nothing,
}

impl Connection {
    /// A new connection.
    pub fn new(peer: Peer) -> Connection {
        let bytes = vec![0; CONNECTION_BUFFER_BYTES];
        Connection {
            peer,
            limits: Limits::default(),
            input: Input { bytes, start: 0, end: 0, filled_up: false },
            small: None,
            output: Vec::new(),
            pieces: Vec::new(),
            marks: heapless::Deque::new(),
            sent: 0,
            piece_sent: 0,
            released: 0,
            parked: None,
            begun: None,
        }
    }

    /// The request whose first bytes are here; `None` while they do not tell what it is.
    fn arriving(&self) -> Result<Option<Arriving>, Fault> {
        let input = self.input.filled();
        let Some(length) = input.first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(*length);
        let fault = Fault::FrameLength(length);
        let Limits { any, other, whole } = self.limits;
        let bytes = usize::try_from(length).ok().filter(|bytes| (8..=any).contains(bytes));
        let bytes = bytes.ok_or(fault)?;
        let mut streamed = false;
        if bytes > whole {
            let Some(key) = input.get(4..6) else { return Ok(None) };
            streamed = key == [0, 0];
            if !streamed && bytes > other {
                return Err(fault);
            }
        }
        Ok(Some(Arriving { bytes: 4 + bytes, streamed }))
    }

    /// Bytes of input that have to be here before something can be done; `None` while that is not
    /// known.
    fn needed(&self) -> Result<Option<usize>, Fault> {
        match &self.begun {
            Some(begun) => Ok(Some(begun.needed.min(begun.left))),
            None => Ok(self.arriving()?.map(Arriving::needed)),
        }
    }

    /// Whether the frame that is arriving needs a large buffer that it does not have.
    ///
    /// # Errors
    /// [`Fault::FrameLength`].
    pub fn needs_large_buffer(&self) -> Result<bool, Fault> {
        let needed = self.needed()?.unwrap_or(0);
        Ok(self.small.is_none() && needed > CONNECTION_BUFFER_BYTES)
    }

    /// Gives it one.
    pub fn give_large_buffer(&mut self, buffer: Vec<u8>) {
        self.small = Some(self.input.move_to(buffer));
    }

    /// Whether it has a large buffer with nothing in it.
    pub fn can_spare_large_buffer(&self) -> bool {
        self.small.is_some() && self.input.filled().is_empty()
    }

    /// Takes the large buffer back whatever is in it: nothing of worth, or the connection is
    /// closed.
    pub fn take_large_buffer(&mut self) -> Option<Vec<u8>> {
        let small = self.small.take()?;
        (self.input.start, self.input.end) = (0, 0);
        Some(self.input.move_to(small))
    }

    /// Where the next bytes from the socket go; empty when no more are wanted now. `ahead` lets
    /// the next requests come into a large buffer together with this one.
    ///
    /// # Errors
    /// [`Fault::FrameLength`].
    pub fn room(&mut self, ahead: bool) -> Result<&mut [u8], Fault> {
        let needed = self.needed()?.unwrap_or(CONNECTION_BUFFER_BYTES);
        self.input.compact();
        let input = &mut self.input;
        if self.small.is_none() {
            return Ok(&mut input.bytes[input.end..]);
        }
        // If others wait, only this frame, or the next batch of one that is taken while it
        // arrives, so that the buffer is free again when it is done; and as much room as has
        // arrived already, so that a claim alone costs nobody memory.
        let frame = match &self.begun {
            Some(begun) => needed.max(CONNECTION_BUFFER_BYTES).min(begun.left),
            None => needed,
        };
        let frame = frame.max(input.end);
        let wanted = if ahead { frame.max(READ_AHEAD_BYTES) } else { frame };
        let had = input.bytes.len() << u32::from(input.filled_up);
        let step = wanted.min((input.end * 2).max(4 * CONNECTION_BUFFER_BYTES).max(had));
        if input.bytes.len() < step {
            input.bytes.resize(step, 0);
        }
        Ok(&mut input.bytes[input.end..step])
    }

    /// `count` bytes have come into [`Connection::room`].
    pub fn received(&mut self, count: usize) {
        self.input.end += count;
        self.input.filled_up = self.input.end == self.input.bytes.len();
    }

    /// Whether nothing at all is going on.
    pub fn is_idle(&self) -> bool {
        self.parked.is_none() && self.output.is_empty() && self.input.filled().is_empty()
    }

    /// Whether only the client can bring this on: by sending the rest of a request, or by reading
    /// its answers. A request that waits for a large buffer is not its fault.
    pub fn is_clients_turn(&self) -> bool {
        self.parked.is_none()
            && self.marks.is_empty()
            && !self.needs_large_buffer().unwrap_or(false)
    }

    /// Whether it has borrowed a large buffer, which others may be waiting for.
    pub fn has_large_buffer(&self) -> bool {
        self.small.is_some()
    }

    /// Whether answers or a parked request are waiting for a sync to end.
    pub fn awaits_sync(&self) -> bool {
        let parked = self.parked.map(|parked| parked.waiting);
        let waits = matches!(parked, Some(api::Waiting::Room | api::Waiting::Synced(_)));
        waits || !self.marks.is_empty()
    }

    /// Until when the parked request waits.
    pub fn deadline(&self) -> Option<Millis> {
        self.parked.and_then(|parked| parked.deadline)
    }

    /// Whether a request is parked.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Whether everything that was answered has been sent.
    pub fn is_flushed(&self) -> bool {
        let begun = self.begun.is_some_and(|begun| begun.answer == self.sent);
        self.output.is_empty() || (begun && self.pieces.is_empty())
    }

    /// Whether a request is answered in part.
    pub fn is_midway(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether [`Connection::work`] would get on: a whole request is here, and nothing is in its
    /// way.
    pub fn can_work(&self) -> bool {
        // A fault is work, too.
        self.parked.is_none() && self.has_enough().unwrap_or(true) && self.may_answer()
    }

    fn has_enough(&self) -> Result<bool, Fault> {
        Ok(self.needed()?.is_some_and(|needed| needed <= self.input.filled().len()))
    }

    /// Whether there is room for an answer. One that is begun has it.
    fn may_answer(&self) -> bool {
        let room = self.output.len() - self.sent < OUTPUT_BYTES_MAX && !self.marks.is_full();
        room || self.begun.is_some()
    }

    /// Answers what has arrived, as far as it goes; a parked request is looked at again.
    ///
    /// # Errors
    /// [`Fault`]: send what is released, then close.
    pub fn work(
        &mut self,
        broker: &mut Broker,
        now: Now,
        advertised: Option<(&str, u16)>,
    ) -> Result<Worked, Fault> {
        let mut worked = Worked::default();
        self.limits = limits(broker);
        while self.may_answer() && self.has_enough()? {
            worked.requests += 1;
            let release = match self.answer(broker, now, advertised)? {
                Outcome::Park(_) | Outcome::Partly(_) => break,
                Outcome::Silent => {
                    worked.must_write = true;
                    None
                }
                Outcome::AfterWrite(lsn) => {
                    worked.must_write = true;
                    Some(Release::Written(lsn))
                }
                Outcome::AfterSync(lsn) => {
                    worked.after_sync += 1;
                    Some(Release::Synced(lsn))
                }
                Outcome::Now | Outcome::Close(_) => Some(Release::Now),
            };
            if let Some(release) = release {
                self.mark(release);
            }
            // A topic that this very request created may take larger ones.
            self.limits = limits(broker);
        }
        Ok(worked)
    }

    /// Answers the request whose turn it is, or as much of it as is here.
    fn answer(
        &mut self,
        broker: &mut Broker,
        now: Now,
        advertised: Option<(&str, u16)>,
    ) -> Result<Outcome, Fault> {
        let (parked, begun) = (self.parked.take(), self.begun.take());
        let (skip, left) = match begun {
            Some(begun) => (0, begun.left),
            None => (4, self.arriving()?.map_or(0, |arriving| arriving.bytes - 4)),
        };
        let answer = begun.map_or(self.output.len(), |begun| begun.answer);
        let input = self.input.filled().get(skip..).unwrap_or_default();
        let frame = Frame::of(input, left);
        let buffers = Buffers { bytes: &mut self.output, pieces: &mut self.pieces };
        let outcome = match begun {
            Some(begun) => api::go_on(broker, now, self.peer, begun.stream, frame, answer, buffers),
            None => api::answer(broker, now, self.peer, advertised, parked, frame, buffers),
        };
        let outcome = outcome.map_err(Fault::Broken)?;
        match outcome {
            Outcome::Park(parked) => self.parked = Some(parked),
            Outcome::Partly(Partly { stream, consumed, needed, parked }) => {
                self.input.start += skip + consumed;
                self.begun = Some(Begun { stream, left: left - consumed, needed, answer });
                self.parked = parked;
            }
            _ => {
                self.input.start += skip + left;
                // What was sent while an answer grew that nobody gets now.
                self.tidy();
            }
        }
        Ok(outcome)
    }

    fn mark(&mut self, release: Release) {
        let end = self.output.len();
        match self.marks.back_mut() {
            // What waits for nothing of its own leaves with the answer before it.
            Some(last) if release == Release::Now => last.end = end,
            None if release == Release::Now => self.released = end,
            _ => {
                // `may_answer` has seen that there is room.
                self.marks.push_back(Mark { end, release }).ok();
            }
        }
    }

    /// Frames up to `written` survive the process, up to `durable` a power cut: releases the
    /// answers that waited for that. Returns how many of them waited for a sync.
    pub fn release(&mut self, written: Lsn, durable: Lsn) -> u32 {
        let mut synced = 0;
        while let Some(mark) = self.marks.front().copied() {
            let free = match mark.release {
                Release::Now => true,
                Release::Written(lsn) => lsn <= written,
                Release::Synced(lsn) => lsn <= durable,
            };
            if !free {
                break;
            }
            synced += u32::from(matches!(mark.release, Release::Synced(_)));
            self.released = mark.end;
            self.marks.pop_front();
        }
        synced
    }

    /// What to send next.
    pub fn next_send(&self) -> Send<'_> {
        match self.pieces.first() {
            Some(piece) if self.is_next(piece) => Send::File {
                piece,
                position: u64::from(piece.slice.position) + u64::from(self.piece_sent),
                count: (piece.slice.bytes - self.piece_sent) as usize,
            },
            first => {
                let stop = first.map_or(self.released, |piece| piece.at.min(self.released));
                match self.output.get(self.sent..stop) {
                    Some(bytes) if !bytes.is_empty() => {
                        let more = first.is_some_and(|piece| piece.at == stop);
                        Send::Bytes { bytes, more }
                    }
                    _ => Send::Nothing,
                }
            }
        }
    }

    /// Whether it is this piece's turn. No answer begins with a piece, so one that stands where
    /// the released bytes end belongs to a released answer.
    fn is_next(&self, piece: &FilePiece) -> bool {
        piece.at == self.sent && piece.at <= self.released
    }

    /// `count` bytes of what [`Connection::next_send`] named have been sent.
    pub fn sent(&mut self, count: usize) {
        match self.pieces.first() {
            Some(piece) if self.is_next(piece) => {
                self.piece_sent += count as u32;
                if self.piece_sent == piece.slice.bytes {
                    self.pieces.remove(0);
                    self.piece_sent = 0;
                }
            }
            _ => self.sent += count,
        }
        self.tidy();
    }

    /// Gives the output's memory back once it is sent.
    fn tidy(&mut self) {
        if self.sent == self.output.len() && self.pieces.is_empty() {
            self.output.clear();
            self.output.shrink_to(CONNECTION_BUFFER_BYTES);
            (self.sent, self.released) = (0, 0);
        } else if self.sent > OUTPUT_BYTES_MAX {
            let gone = self.sent;
            self.output.drain(..gone);
            self.pieces.iter_mut().for_each(|piece| piece.at -= gone);
            self.marks.iter_mut().for_each(|mark| mark.end -= gone);
            if let Some(begun) = &mut self.begun {
                begun.answer -= gone;
            }
            (self.sent, self.released) = (0, self.released - gone);
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

#[cfg(test)]
mod tests;
