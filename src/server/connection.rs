//! One connection without its socket: frames in, answers out, in order.
//!
//! ```text
//! input:   [ frame | frame | half a fra..]        its own small buffer, or a borrowed one
//! output:  [ sent | released | held back until written/synced | ... ]   + pieces of files
//! ```
//!
//! Promises: answers leave in the order of their requests; one that waits for a sync holds back
//! all behind it, while up to `PRODUCE_IN_FLIGHT_MAX` such requests are worked on. Nothing is
//! allocated, whatever a frame claims. A parked request keeps its bytes and is run again when the
//! connection is woken. No request is begun whose answer might find no room, unless it can be run
//! again, or stop midway. A Produce request that is larger than a read buffer is taken while it
//! arrives, and until it is answered nothing else is looked at; its answer grows behind those that
//! may leave.
//! Absent: reading, writing and waiting (`session`).

mod sending;

pub use sending::Send;

use super::input::{Input, Size};
use super::output::{Output, PieceList, PieceSheet, Sheet, Want};
use super::shared::{SeatMemory, Shared};
use crate::api::{
    self, Broken, Buffers, Frame, Outcome, Parked, Partly, Peer, Room, Stream, Waiting, room,
};
use crate::broker::Broker;
use crate::limits::{
    CONNECTION_BUFFER_BYTES, OUTPUT_BYTES_MAX, OUTPUT_ROOM_BYTES, PRODUCE_IN_FLIGHT_MAX,
    READ_BUFFER_BYTES, Sizes, TURN_BYTES, TURN_REQUESTS,
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
    output: Output,
    pieces: PieceList,
    marks: heapless::Deque<Mark, PRODUCE_IN_FLIGHT_MAX>,
    /// Bytes of `output` that are sent, and bytes of the first piece that are.
    sent: usize,
    piece_sent: u32,
    /// Bytes of `output` that may be sent.
    released: usize,
    parked: Option<Parked>,
    begun: Option<Begun>,
    /// What the next answer waits for, and how much stood before it when it began to.
    starved: Option<(Want, usize)>,
}

fn limits(broker: &Broker) -> Limits {
    let any = broker.config().socket_request_max_bytes as usize;
    let other = broker.config().sizes.batch_buffer_bytes - 4;
    Limits { any, other, whole: READ_BUFFER_BYTES - 4 }
}

impl Connection {
    /// A new connection with its seat's memory.
    pub fn new(peer: Peer, memory: SeatMemory) -> Connection {
        Connection {
            peer,
            limits: Limits::default(),
            input: Input::new(memory.input),
            output: Output::new(memory.output),
            pieces: PieceList::new(memory.pieces),
            marks: heapless::Deque::new(),
            sent: 0,
            piece_sent: 0,
            released: 0,
            parked: None,
            begun: None,
            starved: None,
        }
    }

    /// The end: gives everything back that it has.
    pub fn end(self, shared: &mut Shared) -> SeatMemory {
        let slot = self.peer.slot;
        shared.forget(slot);
        SeatMemory {
            input: self.input.end(slot, shared),
            output: self.output.end(slot, shared),
            pieces: self.pieces.end(slot, &mut shared.tables),
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

    /// The buffer that the frame which is arriving needs, if it does not have such a one.
    ///
    /// # Errors
    /// [`Fault::FrameLength`].
    pub fn needs_buffer(&self) -> Result<Option<Size>, Fault> {
        let size = self.input.size_for(self.needed()?.unwrap_or(0));
        Ok((size > self.input.size()).then_some(size))
    }

    /// Takes the buffer that it needs; false if it has to wait for it.
    ///
    /// # Errors
    /// [`Fault::FrameLength`].
    pub fn take_buffer(&mut self, shared: &mut Shared) -> Result<bool, Fault> {
        match self.needs_buffer()? {
            None => Ok(true),
            Some(size) => Ok(self.input.enlarge(size, self.peer.slot, shared)),
        }
    }

    /// Whether it has a shared input buffer with nothing in it.
    pub fn can_spare_buffer(&self) -> bool {
        self.input.size() != Size::Own && self.input.filled().is_empty()
    }

    /// Gives an input buffer back that holds nothing.
    pub fn spare_buffer(&mut self, shared: &mut Shared) {
        if self.can_spare_buffer() {
            self.input.shrink(self.peer.slot, shared);
        }
    }

    /// Whether somebody waits for an input buffer such as it has.
    pub fn input_is_wanted(&self, shared: &Shared) -> bool {
        self.input.is_wanted(shared)
    }

    /// Whether somebody waits for such memory as its answers stand in.
    pub fn output_is_wanted(&self, shared: &Shared) -> bool {
        (self.output.is_large() && shared.answer.is_wanted())
            || (self.output.is_spilled() && shared.spill.is_wanted())
    }

    /// Where the next bytes from the socket go; empty when no more are wanted now. `ahead` lets
    /// the next requests come into a shared buffer together with this one.
    ///
    /// # Errors
    /// [`Fault::FrameLength`].
    pub fn room(&mut self, ahead: bool) -> Result<&mut [u8], Fault> {
        let needed = self.needed()?.unwrap_or(CONNECTION_BUFFER_BYTES);
        let filled = self.input.filled().len();
        if self.input.size() == Size::Own {
            return Ok(self.input.room(usize::MAX));
        }
        // If others wait, only this frame, or the next batch of one that is taken while it
        // arrives, so that the buffer is free again when it is done.
        let frame = match &self.begun {
            Some(begun) => needed.max(CONNECTION_BUFFER_BYTES).min(begun.left),
            None => needed,
        };
        let wanted = if ahead { frame.max(READ_BUFFER_BYTES) } else { frame };
        Ok(self.input.room(wanted.min(filled + TURN_BYTES)))
    }

    /// `count` bytes have come into [`Connection::room`].
    pub fn received(&mut self, count: usize) {
        self.input.received(count);
    }

    /// Bytes of the input buffer that it has.
    pub fn input_capacity(&self) -> usize {
        self.input.capacity()
    }

    /// Whether nothing at all is going on.
    pub fn is_idle(&self) -> bool {
        self.parked.is_none() && self.output.is_empty() && self.input.filled().is_empty()
    }

    /// Whether only the client can bring this on: by sending the rest of a request, or by reading
    /// its answers. A request that waits for a buffer is not its fault.
    pub fn is_clients_turn(&self) -> bool {
        self.parked.is_none()
            && self.marks.is_empty()
            && !matches!(self.starved, Some((Want::Answer | Want::Spill, _)))
            && self.needs_buffer().map_or(true, |size| size.is_none())
    }

    /// Whether all that it asked is answered but for a request that waits for records or for its
    /// group.
    pub fn is_polling(&self) -> bool {
        let waiting = self.parked.map(|parked| parked.waiting);
        let polls = matches!(waiting, Some(Waiting::Fetch | Waiting::Join(_) | Waiting::Sync(_)));
        polls && self.marks.is_empty()
    }

    /// Whether it has borrowed an input buffer, which others may be waiting for.
    pub fn has_shared_buffer(&self) -> bool {
        self.input.size() != Size::Own
    }

    /// A fetch that waits for records with a shared buffer is answered at once: others wait for
    /// the buffer.
    pub fn hurry(&mut self, now: Millis) {
        if let Some(parked) = &mut self.parked
            && parked.waiting == Waiting::Fetch
            && self.input.size() != Size::Own
        {
            parked.deadline = Some(now);
        }
    }

    /// Whether answers or a parked request are waiting for a sync to end.
    pub fn awaits_sync(&self) -> bool {
        let parked = self.parked.map(|parked| parked.waiting);
        let waits = matches!(parked, Some(Waiting::Room | Waiting::Synced(_)));
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
        self.output.is_empty() || (begun && self.pieces.list().is_empty())
    }

    /// Whether a request is answered in part.
    pub fn is_midway(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether [`Connection::work`] would get on: a whole request is here, and nothing is in its
    /// way.
    pub fn can_work(&self, shared: &Shared) -> bool {
        let ready = self.parked.is_none_or(|parked| parked.waiting == Waiting::Turn);
        // A fault is work, too.
        ready && self.has_enough().unwrap_or(true) && self.may_answer(shared)
    }

    fn has_enough(&self) -> Result<bool, Fault> {
        Ok(self.needed()?.is_some_and(|needed| needed <= self.input.filled().len()))
    }

    /// Whether there is room for the beginning of an answer. One that is begun has it.
    fn may_answer(&self, shared: &Shared) -> bool {
        let slot = self.peer.slot;
        if let Some((want, before)) = self.starved {
            // What stood before the answer may have taken the room that it found missing.
            let granted = match want {
                Want::Answer => shared.answer.can_take(slot),
                Want::Spill => shared.spill.can_take(slot),
                Want::Drained => before == 0,
            };
            return granted || (before > 0 && self.is_flushed());
        }
        let room = !self.output.is_spilled()
            && self.output.room() + self.sent >= OUTPUT_ROOM_BYTES
            && !self.pieces.list().is_full()
            && !self.marks.is_full();
        room || self.begun.is_some()
    }

    /// Answers what has arrived, as far as it goes in one turn; a parked request is looked at
    /// again.
    ///
    /// # Errors
    /// [`Fault`]: send what is released, then close.
    pub fn work(
        &mut self,
        broker: &mut Broker,
        now: Now,
        advertised: Option<(&str, u16)>,
        shared: &mut Shared,
    ) -> Result<Worked, Fault> {
        let mut worked = Worked::default();
        self.limits = limits(broker);
        while worked.requests < TURN_REQUESTS && self.may_answer(shared) && self.has_enough()? {
            if !self.has_room_beforehand(&broker.config().sizes, shared)? {
                break;
            }
            worked.requests += 1;
            let Some(outcome) = self.answer(broker, now, advertised, shared)? else { break };
            let release = match outcome {
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
        }
        Ok(worked)
    }

    /// Whether the next answer is sure to find room, if it has to be; else it waits for that.
    fn has_room_beforehand(&mut self, sizes: &Sizes, shared: &mut Shared) -> Result<bool, Fault> {
        self.compact();
        if self.begun.is_some() {
            return Ok(true);
        }
        let bytes = self.arriving()?.map_or(0, |arriving| arriving.bytes);
        let Some(Room::Bytes(bytes)) = self.next_room(bytes, sizes) else { return Ok(true) };
        let slot = self.peer.slot;
        let missing = if bytes <= self.output.room() {
            None
        } else if !self.output.is_large() && !shared.answer.can_take(slot) {
            shared.answer.wait(slot);
            Some(Want::Answer)
        } else if bytes > OUTPUT_BYTES_MAX - self.output.length() && !shared.spill.can_take(slot) {
            shared.spill.wait(slot);
            Some(Want::Spill)
        } else {
            None
        };
        self.starved = missing.map(|want| (want, self.output.length()));
        Ok(missing.is_none())
    }

    /// What the answer to the request in front, of so many bytes, needs.
    fn next_room(&self, bytes: usize, sizes: &Sizes) -> Option<Room> {
        let key = self.input.filled().get(4..)?.first_chunk::<2>()?;
        Some(room(i16::from_be_bytes(*key), bytes, sizes))
    }

    /// Moves what is not sent to the front, if it is little or there is little room behind it.
    fn compact(&mut self) {
        let little = self.output.length() - self.sent <= CONNECTION_BUFFER_BYTES;
        if self.sent == 0 || (self.output.room() >= OUTPUT_BYTES_MAX / 2 && !little) {
            return;
        }
        let gone = self.output.compact(self.sent);
        self.pieces.list_mut().iter_mut().for_each(|piece| piece.at -= gone);
        self.marks.iter_mut().for_each(|mark| mark.end -= gone);
        if let Some(begun) = &mut self.begun {
            begun.answer -= gone;
        }
        (self.sent, self.released) = (self.sent - gone, self.released - gone);
    }

    /// Answers the request whose turn it is, or as much of it as is here; `None` if its answer
    /// found no room and is tried again.
    fn answer(
        &mut self,
        broker: &mut Broker,
        now: Now,
        advertised: Option<(&str, u16)>,
        shared: &mut Shared,
    ) -> Result<Option<Outcome>, Fault> {
        let (parked, begun) = (self.parked, self.begun);
        let (skip, left) = match begun {
            Some(begun) => (0, begun.left),
            None => (4, self.arriving()?.map_or(0, |arriving| arriving.bytes - 4)),
        };
        let before = self.output.length();
        let start = begun.map_or(before, |begun| begun.answer);
        let input = self.input.filled().get(skip..).unwrap_or_default();
        let sizes = &broker.config().sizes;
        let sure = begun.is_none() && matches!(self.next_room(left, sizes), Some(Room::Bytes(_)));
        let frame = Frame::of(input, left);
        let (slot, mut want) = (self.peer.slot, None);
        let Shared { answer, spill, tables, .. } = &mut *shared;
        let mut bytes = Sheet::new(&mut self.output, (answer, spill), slot, start, sure, &mut want);
        let mut pieces = PieceSheet { pieces: &mut self.pieces, tables, slot };
        let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
        let outcome = match begun {
            Some(begun) => api::go_on(broker, now, self.peer, begun.stream, frame, start, buffers),
            None => api::answer(broker, now, self.peer, advertised, parked, frame, buffers),
        };
        self.starved = want.map(|want| (want, self.before_answer(start)));
        if want.is_none() {
            // It may have found its room elsewhere.
            shared.answer.forget(slot);
            shared.spill.forget(slot);
        }
        self.output.tidy(slot, shared);
        self.pieces.tidy(slot, &mut shared.tables);
        if want.is_some() && !sure && matches!(outcome, Err(Broken::TooLarge(_))) {
            // As if it had not been looked at.
            return Ok(None);
        }
        let outcome = outcome.map_err(Fault::Broken)?;
        (self.parked, self.begun) = (None, None);
        match outcome {
            Outcome::Park(parked) => {
                self.parked = Some(parked);
                self.keep_little(left, shared);
            }
            Outcome::Partly(Partly { stream, consumed, needed, parked }) => {
                self.input.consume(skip + consumed);
                self.begun = Some(Begun { stream, left: left - consumed, needed, answer: start });
                self.parked = parked;
            }
            _ => {
                self.input.consume(skip + left);
                // What was sent while an answer grew that nobody gets now.
                self.tidy(shared);
            }
        }
        Ok(Some(outcome))
    }

    /// Bytes that have to be sent before the answer that begins at `start` has all the room.
    fn before_answer(&self, start: usize) -> usize {
        start.saturating_sub(self.sent)
    }

    /// A join or a sync that waits, maybe for minutes, is run again for its ticket alone: it keeps
    /// no shared buffer for the rest of the request.
    fn keep_little(&mut self, left: usize, shared: &mut Shared) {
        const KEPT: usize = CONNECTION_BUFFER_BYTES / 4;
        let waiting = self.parked.map(|parked| parked.waiting);
        let tickets = matches!(waiting, Some(Waiting::Join(_) | Waiting::Sync(_)));
        // Key, version, correlation id, and the client's name, which all has to stay.
        let name = self.input.filled().get(12..).and_then(|name| name.first_chunk::<2>());
        let named = name.map_or(0, |name| i16::from_be_bytes(*name).max(0) as usize);
        if !tickets || self.input.size() == Size::Own || left <= KEPT || named > KEPT / 2 {
            return;
        }
        self.input.shorten(4 + KEPT, 4 + left);
        self.input.overwrite(&(KEPT as i32).to_be_bytes());
        if self.input.filled().len() <= CONNECTION_BUFFER_BYTES {
            self.input.shrink(self.peer.slot, shared);
        }
    }

    fn mark(&mut self, release: Release) {
        let end = self.output.length();
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

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_room;
