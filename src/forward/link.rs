//! One connection to an upstream broker, sans I/O: frames out, frames in, and what was asked.
//!
//! Promises: a request is begun when the one before it is with the socket, so that one buffer of a
//! request's size is enough; answers are taken in the order of the requests, as every Kafka broker
//! gives them; an answer of impossible length, for another request or too long for us is an error
//! in words, never memory.
//! Absent: the socket, the clock, and what an answer means (`machine`).

use super::read_back::Scanner;
use crate::client::messages::api_versions::ApiVersionsRequest;
use crate::client::{Api, Request, Versions, frame};
use crate::disk::FileRef;
use crate::limits::{FORWARD_IN_FLIGHT_MAX, FORWARD_LANES_PER_REQUEST, FORWARD_RESPONSE_BYTES_MAX};
use crate::storage::PartitionKey;
use crate::time::Millis;
use heapless::Deque;

/// Names a connection: never used twice.
pub type LinkId = u32;

/// A lane, and which one it was when something was asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneRef {
    /// Its local partition.
    pub key: PartitionKey,
    /// Its serial number.
    pub serial: u32,
}

/// The lanes that one request is about.
pub type LaneRefs = heapless::Vec<LaneRef, FORWARD_LANES_PER_REQUEST>;

/// What a request asked for.
#[derive(Debug)]
pub enum Ask {
    /// What the broker serves.
    Versions,
    /// Who is where.
    Metadata,
    /// A topic to be made.
    CreateTopic(String),
    /// A producer id for a lane.
    ProducerId(LaneRef),
    /// Where upstream's logs begin or end.
    Offsets {
        /// For whom.
        lanes: LaneRefs,
        /// The beginning instead of the end.
        start: bool,
    },
    /// What upstream remembers of our producer ids.
    Producers(LaneRefs),
    /// A piece of upstream's log.
    ReadBack(LaneRef, Box<Scanner>),
    /// Batches to be taken.
    Produce(LaneRefs),
}

/// A request without its answer.
#[derive(Debug)]
pub struct InFlight {
    /// Its number.
    pub correlation: i32,
    /// Its version.
    pub version: i16,
    /// What it asked for.
    pub ask: Ask,
    /// All of it went to the socket.
    pub sent: bool,
    /// When the answer is late; counted from the moment when it was sent.
    pub deadline: Millis,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The socket is being opened.
    Opening,
    /// Asked what the broker serves.
    Greeting,
    /// Takes requests.
    Ready,
}

/// The rest of a batch that is sent from its file.
pub struct Body {
    /// The segment.
    pub file: FileRef,
    /// The next byte.
    pub position: u64,
    /// Bytes left.
    pub left: usize,
}

/// One connection.
pub struct Link {
    /// Its name.
    pub id: LinkId,
    /// The node it leads to; `None` for an address from the configuration.
    pub node: Option<i32>,
    /// The host dialled.
    pub host: String,
    /// The port dialled.
    pub port: u16,
    /// How far it is.
    pub state: State,
    /// What the broker serves.
    pub versions: Versions,
    /// Requests without their answers, oldest first.
    pub flights: Deque<InFlight, FORWARD_IN_FLIGHT_MAX>,
    /// The bytes of the request that is being written, and how many are with the socket.
    pub out: Vec<u8>,
    /// See `out`.
    pub out_at: usize,
    /// What follows them from a file.
    pub body: Option<Body>,
    input: Vec<u8>,
    /// Bytes of the answer that is being read back, behind those that came.
    streaming: usize,
    next_correlation: i32,
    /// Since when bytes have been offered to a socket that takes none.
    pub offered: Option<Millis>,
    /// The last time something was asked or answered.
    pub used: Millis,
}

/// What came.
#[derive(Debug)]
pub enum Came {
    /// Not a whole answer yet.
    Nothing,
    /// An answer: the request, and the frame without its length. To be given back.
    Answer(InFlight, Vec<u8>),
    /// An answer to a [`Ask::ReadBack`], which was looked at as it came.
    Scanned(InFlight),
    /// What cannot be; the words are for a person.
    Broken(String),
}

impl Link {
    /// A connection that is to be opened.
    pub fn new(id: LinkId, node: Option<i32>, host: String, port: u16, now: Millis) -> Link {
        Link {
            id,
            node,
            host,
            port,
            state: State::Opening,
            versions: Versions::default(),
            flights: Deque::new(),
            out: Vec::new(),
            out_at: 0,
            body: None,
            input: Vec::new(),
            streaming: 0,
            next_correlation: 1,
            offered: None,
            used: now,
        }
    }

    /// Whether a new request can be begun.
    pub fn is_free(&self) -> bool {
        self.out_at == self.out.len() && self.body.is_none() && !self.flights.is_full()
    }

    /// Whether it takes requests of the machine's.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && self.is_free()
    }

    /// Bytes that are not with the socket yet.
    pub fn unsent(&self) -> usize {
        self.out.len() - self.out_at + self.body.as_ref().map_or(0, |body| body.left)
    }

    /// The number of the next request.
    pub fn correlation(&mut self) -> i32 {
        let number = self.next_correlation;
        self.next_correlation = if number == i32::MAX { 1 } else { number + 1 };
        number
    }

    /// Puts a request into the buffer, if the broker serves it.
    pub fn ask<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        client_id: &str,
        ask: Ask,
        now: Millis,
    ) -> i32 {
        let correlation = self.correlation();
        let bytes = frame::encode(request, version, correlation, client_id);
        self.clear_out();
        self.out.extend_from_slice(&bytes);
        self.begun(correlation, version, ask, now);
        correlation
    }

    /// Makes the buffer ready for the bytes of a request.
    pub fn clear_out(&mut self) {
        self.out.clear();
        self.out_at = 0;
    }

    /// The request in the buffer is complete.
    pub fn begun(&mut self, correlation: i32, version: i16, ask: Ask, now: Millis) {
        let deadline = Millis::MAX;
        self.used = now;
        let flight = InFlight { correlation, version, ask, sent: false, deadline };
        // The caller has asked `is_free`.
        let refused = self.flights.push_back(flight).is_err();
        debug_assert!(!refused, "a request more than FORWARD_IN_FLIGHT_MAX");
    }

    /// The first thing that is said.
    pub fn greet(&mut self, version: i16, client_id: &str, now: Millis) {
        self.state = State::Greeting;
        let request = ApiVersionsRequest {
            client_software_name: "ottla",
            client_software_version: env!("CARGO_PKG_VERSION"),
        };
        self.ask(&request, version, client_id, Ask::Versions, now);
    }

    /// The highest version of `api` that both sides have, at most `highest`.
    pub fn version(&self, api: Api, highest: i16) -> Option<i16> {
        self.versions.pick(Api { version_max: api.version_max.min(highest), ..api })
    }

    /// The socket took `bytes` of what it was offered.
    pub fn transmitted(&mut self, bytes: usize, timeout_ms: u64, now: Millis) {
        self.out_at = (self.out_at + bytes).min(self.out.len());
        if bytes > 0 {
            self.offered = None;
        }
        if self.unsent() == 0
            && let Some(last) = self.flights.back_mut()
            && !last.sent
        {
            last.sent = true;
            last.deadline = now.saturating_add(timeout_ms);
        }
    }

    /// When this connection has been silent for too long.
    pub fn deadline(&self, timeout_ms: u64) -> Option<Millis> {
        let late = self.flights.iter().filter(|f| f.sent).map(|f| f.deadline).min();
        let stuck = self.offered.map(|since| since.saturating_add(timeout_ms));
        late.into_iter().chain(stuck).min()
    }

    /// Takes bytes from the socket; returns how many of them were used, and what they made.
    pub fn receive(&mut self, bytes: &[u8]) -> (usize, Came) {
        let mut used = 0;
        if self.streaming == 0 {
            while self.input.len() < 4 && used < bytes.len() {
                self.input.push(bytes[used]);
                used += 1;
            }
            let Some(head) = self.input.first_chunk::<4>() else { return (used, Came::Nothing) };
            let length = i32::from_be_bytes(*head);
            let Some(first) = self.flights.front() else {
                return (used, Came::Broken("sent an answer that nobody asked for".into()));
            };
            let length = usize::try_from(length).unwrap_or(0);
            if length < 4 {
                return (used, Came::Broken("sent an answer of impossible length".into()));
            }
            if matches!(first.ask, Ask::ReadBack(..)) {
                self.streaming = length;
                self.input.clear();
            } else if length > FORWARD_RESPONSE_BYTES_MAX {
                let words = format!("sent an answer of {length} bytes, which is too long for us");
                return (used, Came::Broken(words));
            } else {
                let missing = (length + 4 - self.input.len()).min(bytes.len() - used);
                self.input.extend_from_slice(&bytes[used..used + missing]);
                used += missing;
                if self.input.len() < length + 4 {
                    return (used, Came::Nothing);
                }
                let mut frame = core::mem::take(&mut self.input);
                frame.drain(..4);
                return (used, self.answer(frame));
            }
        }
        let take = self.streaming.min(bytes.len() - used);
        self.streaming -= take;
        let last = self.streaming == 0;
        let Some(InFlight { ask: Ask::ReadBack(_, scanner), correlation, version, .. }) =
            self.flights.front_mut()
        else {
            return (used, Came::Broken("sent an answer that nobody asked for".into()));
        };
        let scanned = scanner.feed(&bytes[used..used + take], *version, *correlation, last);
        if let Err(words) = scanned {
            return (used + take, Came::Broken(words));
        }
        if !last {
            return (used + take, Came::Nothing);
        }
        let came = self.flights.pop_front().map_or(Came::Nothing, Came::Scanned);
        (used + take, came)
    }

    fn answer(&mut self, frame: Vec<u8>) -> Came {
        let Some(flight) = self.flights.pop_front() else { return Came::Nothing };
        let found = frame.first_chunk::<4>().map(|raw| i32::from_be_bytes(*raw));
        if found != Some(flight.correlation) {
            return Came::Broken("answered another request than the one that was asked".into());
        }
        if !flight.sent {
            return Came::Broken("answered a request that it has not got yet".into());
        }
        Came::Answer(flight, frame)
    }

    /// Takes a frame's buffer back, for the next answer.
    pub fn give_back(&mut self, mut frame: Vec<u8>) {
        frame.clear();
        if self.input.capacity() < frame.capacity() && self.input.is_empty() {
            self.input = frame;
        }
    }
}
