//! One connection to an upstream broker, sans I/O: frames out, frames in, and what was asked.
//!
//! Promises: a request is begun when the one before it is with the socket, in a buffer that links
//! take in turns; answers are taken in the order of the requests, as every Kafka broker gives them,
//! into a small buffer of the link's own or the one large buffer that links share; an answer of
//! impossible length, for another request or too long for us is an error in words, never memory.
//! Absent: the socket, the clock, and what an answer means (`machine`).

use super::read_back::Scanner;
use crate::client::messages::api_versions::ApiVersion;
use crate::client::{Api, frame};
use crate::disk::FileRef;
use crate::fixed::Words;
use crate::limits::{
    FORWARD_ANSWER_WORDS_MAX, FORWARD_HOST_BYTES_MAX, FORWARD_IN_FLIGHT_MAX,
    FORWARD_LANES_PER_REQUEST,
};
use crate::state::forward::UpstreamName;
use crate::storage::PartitionKey;
use crate::time::Millis;
use crate::wire::Writer;
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

/// What is wrong with an answer, in words.
pub type AnswerWords = Words<FORWARD_ANSWER_WORDS_MAX>;

/// A broker's name or address.
pub type Host = Words<FORWARD_HOST_BYTES_MAX>;

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
    CreateTopic(UpstreamName),
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
    ReadBack(LaneRef, Scanner),
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

/// The APIs that are used, and what a broker serves of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served([Option<(i16, i16)>; SERVED.len()]);

const SERVED: [Api; 7] = [
    Api::PRODUCE,
    Api::FETCH,
    Api::LIST_OFFSETS,
    Api::METADATA,
    Api::CREATE_TOPICS,
    Api::INIT_PRODUCER_ID,
    Api::DESCRIBE_PRODUCERS,
];

impl Served {
    /// The broker serves this.
    pub fn note(&mut self, api: ApiVersion) {
        if let Some(at) = SERVED.iter().position(|known| known.key == api.api_key) {
            self.0[at] = Some((api.min_version, api.max_version));
        }
    }

    /// The highest version that both sides have.
    pub fn pick(&self, api: Api) -> Option<i16> {
        let (min, max) = self.0[SERVED.iter().position(|known| known.key == api.key)?]?;
        let version = max.min(api.version_max);
        (version >= min.max(api.version_min)).then_some(version)
    }
}

/// The one buffer for long answers.
pub struct Shared {
    /// The buffer.
    pub bytes: Box<[u8]>,
    /// Whose answer is in it, or is coming.
    pub holder: Option<LinkId>,
}

impl Shared {
    fn is_free_for(&self, link: LinkId) -> bool {
        self.holder.is_none_or(|holder| holder == link)
    }

    /// The link does not need it any more.
    pub fn release(&mut self, link: LinkId) {
        if self.holder == Some(link) {
            self.holder = None;
        }
    }
}

/// Where the bytes of the answer that is coming go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Its length is not known yet.
    Unknown,
    /// Into the small buffer.
    Small,
    /// Into the small buffer, while somebody else has the shared one.
    Waiting,
    /// Into the shared one.
    Shared,
    /// Past the scanner.
    Scanned,
    /// Nowhere: it is too long.
    Skipped,
}

/// One connection.
pub struct Link {
    /// Its name.
    pub id: LinkId,
    /// The node it leads to; `None` for an address from the configuration.
    pub node: Option<i32>,
    /// The host dialled.
    pub host: Host,
    /// The port dialled.
    pub port: u16,
    /// How far it is.
    pub state: State,
    /// What the broker serves.
    pub versions: Served,
    /// Requests without their answers, oldest first.
    pub flights: Deque<InFlight, FORWARD_IN_FLIGHT_MAX>,
    /// The version in which it is to be greeted, as soon as there is a buffer for that.
    pub greet_in: Option<i16>,
    /// Its turn for a buffer; 0 while it wants none.
    pub turn: u64,
    /// It had a buffer and nothing to say: it does not queue for one before something happens.
    pub idle: bool,
    /// The bytes of the request that is being written, and how many are with the socket. It has no
    /// capacity while no request is being written.
    pub out: Vec<u8>,
    /// See `out`.
    pub out_at: usize,
    /// What follows them from a file.
    pub body: Option<Body>,
    /// For answers that fit.
    pub small: Box<[u8]>,
    place: Place,
    length: [u8; 4],
    length_bytes: usize,
    /// Bytes of the answer without its length, and how many of them have come.
    expected: usize,
    filled: usize,
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
    /// An answer to this request; its bytes are in [`Link::small`].
    Answer(InFlight, usize),
    /// The same; its bytes are in the shared buffer, which is still the link's.
    LongAnswer(InFlight, usize),
    /// An answer to a [`Ask::ReadBack`], which was looked at as it came.
    Scanned(InFlight),
    /// An answer that was too long for us, and that we can do without.
    Skipped(InFlight),
    /// What cannot be; the words are for a person.
    Broken(AnswerWords),
}

impl Link {
    /// A connection that is to be opened.
    pub fn new(
        id: LinkId,
        node: Option<i32>,
        host: &str,
        port: u16,
        small: Box<[u8]>,
        now: Millis,
    ) -> Link {
        Link {
            id,
            node,
            host: host.into(),
            port,
            state: State::Opening,
            versions: Served::default(),
            flights: Deque::new(),
            greet_in: None,
            turn: 0,
            idle: false,
            out: Vec::new(),
            out_at: 0,
            body: None,
            small,
            place: Place::Unknown,
            length: [0; 4],
            length_bytes: 0,
            expected: 0,
            filled: 0,
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

    /// Puts a request into the buffer; `None` where it has no room there.
    pub fn ask(
        &mut self,
        (api, version): (Api, i16),
        client_id: &str,
        ask: Ask,
        now: Millis,
        body: impl FnOnce(&mut Writer<'_>),
    ) -> Option<i32> {
        self.clear_out();
        let (room, correlation) = (self.out.capacity(), self.correlation());
        let head = (api, version, correlation, client_id);
        if !frame::write(&mut self.out, room, head, body) {
            return None;
        }
        self.begun(correlation, version, ask, now);
        Some(correlation)
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

    /// When this connection has been silent for too long. While its answer waits for the shared
    /// buffer, the holder's time counts.
    pub fn deadline(&self, timeout_ms: u64) -> Option<Millis> {
        let waits = self.place == Place::Waiting;
        let late = self.flights.iter().filter(|f| f.sent && !waits).map(|f| f.deadline).min();
        let stuck = self.offered.map(|since| since.saturating_add(timeout_ms));
        late.into_iter().chain(stuck).min()
    }

    /// Bytes that [`Link::receive`] takes now.
    pub fn room(&self, shared: &Shared) -> usize {
        let small = self.small.len();
        match self.place {
            Place::Waiting if !shared.is_free_for(self.id) => 0,
            // What begins behind the answer finds room in the small buffer.
            _ => small.max(self.expected - self.filled),
        }
    }

    /// Takes bytes from the socket; returns how many of them were used, and what they made.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        shared: &mut Shared,
        deadline: Millis,
    ) -> (usize, Came) {
        let mut used = 0;
        if self.place == Place::Unknown {
            while self.length_bytes < 4 && used < bytes.len() {
                self.length[self.length_bytes] = bytes[used];
                (self.length_bytes, used) = (self.length_bytes + 1, used + 1);
            }
            if self.length_bytes < 4 {
                return (used, Came::Nothing);
            }
            if let Err(words) = self.begin_answer(shared.bytes.len()) {
                return (used, Came::Broken(words));
            }
        }
        if self.place == Place::Waiting && shared.is_free_for(self.id) {
            shared.holder = Some(self.id);
            shared.bytes[..self.filled].copy_from_slice(&self.small[..self.filled]);
            self.place = Place::Shared;
            if let Some(first) = self.flights.front_mut().filter(|first| first.sent) {
                first.deadline = deadline;
            }
        }
        let bytes = &bytes[used..];
        let room = match self.place {
            Place::Waiting => self.small.len() - self.filled,
            _ => self.expected - self.filled,
        };
        let take = room.min(bytes.len());
        let end = self.filled + take;
        match self.place {
            Place::Small | Place::Waiting => {
                self.small[self.filled..end].copy_from_slice(&bytes[..take]);
            }
            Place::Shared => shared.bytes[self.filled..end].copy_from_slice(&bytes[..take]),
            Place::Scanned => {
                let last = end == self.expected;
                if let Err(words) = self.scan(&bytes[..take], last) {
                    return (used + take, Came::Broken(words));
                }
            }
            Place::Skipped | Place::Unknown => {}
        }
        self.filled = end;
        let came = if end == self.expected { self.end_answer(shared) } else { Came::Nothing };
        (used + take, came)
    }

    /// The length of an answer is known.
    fn begin_answer(&mut self, shared_bytes: usize) -> Result<(), AnswerWords> {
        let length = usize::try_from(i32::from_be_bytes(self.length)).unwrap_or(0);
        let Some(first) = self.flights.front() else {
            return Err("sent an answer that nobody asked for".into());
        };
        if length < 4 {
            return Err("sent an answer of impossible length".into());
        }
        self.place = match &first.ask {
            Ask::ReadBack(..) => Place::Scanned,
            _ if length <= self.small.len() => Place::Small,
            _ if length <= shared_bytes => Place::Waiting,
            Ask::Metadata | Ask::Producers(_) => Place::Skipped,
            _ => {
                let words = format_args!("sent an answer of {length} bytes, which is too long");
                return Err(AnswerWords::of(words));
            }
        };
        (self.expected, self.filled) = (length, 0);
        Ok(())
    }

    fn scan(&mut self, bytes: &[u8], last: bool) -> Result<(), AnswerWords> {
        let Some(InFlight { ask: Ask::ReadBack(_, scanner), correlation, version, .. }) =
            self.flights.front_mut()
        else {
            return Err("sent an answer that nobody asked for".into());
        };
        scanner.feed(bytes, *version, *correlation, last)
    }

    /// An answer is all there.
    fn end_answer(&mut self, shared: &Shared) -> Came {
        let length = self.expected;
        let place = core::mem::replace(&mut self.place, Place::Unknown);
        (self.length_bytes, self.expected, self.filled) = (0, 0, 0);
        let Some(flight) = self.flights.pop_front() else { return Came::Nothing };
        let frame = if place == Place::Shared { &shared.bytes } else { &self.small };
        match place {
            Place::Scanned => return Came::Scanned(flight),
            Place::Skipped => return Came::Skipped(flight),
            _ => {}
        }
        let found = frame.first_chunk::<4>().map(|raw| i32::from_be_bytes(*raw));
        if found != Some(flight.correlation) {
            return Came::Broken("answered another request than the one that was asked".into());
        }
        if !flight.sent {
            return Came::Broken("answered a request that it has not got yet".into());
        }
        match place {
            Place::Shared => Came::LongAnswer(flight, length),
            _ => Came::Answer(flight, length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Millis = Millis(99);

    fn link(id: LinkId, asks: impl IntoIterator<Item = Ask>) -> Link {
        let small = crate::fixed::bytes(64);
        let mut link = Link::new(id, None, "up", 9092, small, Millis(0));
        link.out = Vec::with_capacity(100);
        for ask in asks {
            link.ask((Api::METADATA, 5), "me", ask, Millis(0), |_| {}).unwrap();
            link.transmitted(link.unsent(), 10, Millis(0));
        }
        link
    }

    fn shared() -> Shared {
        Shared { bytes: crate::fixed::bytes(1_000), holder: None }
    }

    fn answer(correlation: i32, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes().to_vec();
        frame.extend(correlation.to_be_bytes());
        frame.resize(4 + length, 7);
        frame
    }

    /// Gives a link as much as it has room for; what is left.
    fn give(link: &mut Link, shared: &mut Shared, bytes: &mut Vec<u8>, piece: usize) -> Vec<Came> {
        let mut all = Vec::new();
        while !bytes.is_empty() && link.room(shared) > 0 {
            let count = link.room(shared).min(bytes.len()).min(piece);
            let part: Vec<u8> = bytes.drain(..count).collect();
            let mut part = &part[..];
            while !part.is_empty() {
                let (used, came) = link.receive(part, shared, LATE);
                assert!(used > 0, "it took less than it had room for");
                part = &part[used..];
                if !matches!(came, Came::Nothing) {
                    all.push(came);
                }
            }
        }
        all
    }

    #[test]
    fn two_long_answers_come_one_after_the_other_and_short_ones_meanwhile() {
        for piece in [1, 7, 64, 5_000] {
            let mut shared = shared();
            let mut first = link(1, [Ask::Metadata]);
            let mut second = link(2, [Ask::Versions, Ask::Metadata, Ask::Versions]);
            let mut long = answer(1, 900);
            long.truncate(500);
            assert!(give(&mut first, &mut shared, &mut long, piece).is_empty());
            assert_eq!((shared.holder, first.deadline(10)), (Some(1), Some(LATE)));
            let mut rest = [answer(1, 20), answer(2, 700), answer(3, 30)].concat();
            let came = give(&mut second, &mut shared, &mut rest, piece);
            assert!(matches!(came[..], [Came::Answer(_, 20)]), "{came:?}");
            // Its own time does not count while it has to wait.
            assert!(!rest.is_empty() && second.deadline(10).is_none());
            let mut end = vec![7; 404];
            let came = give(&mut first, &mut shared, &mut end, piece);
            assert!(matches!(came[..], [Came::LongAnswer(_, 900)]), "{came:?}");
            assert_eq!(second.room(&shared), 0);
            shared.release(1);
            let came = give(&mut second, &mut shared, &mut rest, piece);
            assert!(matches!(came[0], Came::LongAnswer(_, 700)), "{came:?}");
            assert!(matches!(came[1], Came::Answer(_, 30)), "{came:?}");
            assert_eq!(shared.bytes[..6], [0, 0, 0, 2, 7, 7]);
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_passed_over_where_that_will_do() {
        let mut shared = shared();
        let mut link = link(1, [Ask::Metadata, Ask::Versions, Ask::Versions]);
        let mut bytes = [answer(1, 5_000), answer(2, 20)].concat();
        let came = give(&mut link, &mut shared, &mut bytes, 300);
        assert!(matches!(came[..], [Came::Skipped(_), Came::Answer(_, 20)]), "{came:?}");
        let (_, came) = link.receive(&answer(3, 5_000)[..40], &mut shared, LATE);
        assert!(matches!(came, Came::Broken(_)), "{came:?}");
    }
}
