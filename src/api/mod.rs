//! The Kafka surface: one file per API key, and the one table that everything derives from.
//!
//! A request's way: [`answer`] reads the header, finds the row, and hands a cursor, a writer and
//! the [`Context`] to the row's handler, which reads, acts and writes in one go, each field once,
//! in Kafka's order. ApiVersions, dispatch, header versions, `ottla apis` and the README's table
//! derive from [`TABLE`]. Adding a key is one file and two lines here.
//!
//! Promises: no handler waits. One that has to says [`Outcome::Park`] and is run again, from the
//! request's first byte, when its connection is woken or its time is over; or it says
//! [`Outcome::AfterSync`], and its answer is held back until that frame is durable. Only Produce
//! takes a request of which a part is here, says [`Outcome::Partly`], and goes on from there.
//! Absent: sockets, clocks, and threads (`server`).

pub mod alter_configs;
pub mod api_versions;
mod codes;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_producers;
pub mod describe_topic_partitions;
pub mod fetch;
pub mod find_coordinator;
mod forwarding;
#[cfg(test)]
mod group_life;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
mod list;
pub mod list_groups;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
#[cfg(test)]
mod property;
mod room;
mod shared;
pub mod sync_group;
#[cfg(test)]
pub mod testing;

pub use codes::{code_of, code_of_commit, code_of_fetch, code_of_group};
pub use produce::stream::{Partly, Stream};
pub use room::{Room, room};

use crate::broker::{Broker, Slot};
use crate::disk::FileRef;
use crate::limits::{LOG_END_WAIT_MS, RESPONSE_BYTES_MAX, RESPONSE_FILES_MAX};
use crate::state::groups::{JoinTicket, SyncTicket};
use crate::storage::Lsn;
use crate::storage::partition::Slice;
use crate::time::{Millis, Now};
use crate::wire::{ErrorCode, ReadError, Reader, RequestHeader, Sink, Writer};
use std::net::SocketAddr;

/// One API key.
pub struct Api {
    /// Kafka's number.
    pub key: i16,
    /// Kafka's name.
    pub name: &'static str,
    /// Lowest and highest version that is answered.
    pub versions: (i16, i16),
    /// Lowest version that ApiVersions names; below `versions.0` only for Produce.
    pub advertised_min: i16,
    /// First version with compact types and tag buffers; `NEVER` if none.
    pub flexible: i16,
    /// Answers a request.
    pub handle: Handler,
}

/// For [`Api::flexible`]: no version is.
pub const NEVER: i16 = i16::MAX;

/// Reads a request, acts, writes the answer.
pub type Handler = fn(&mut Context<'_>, Reader<'_>, &mut Reply<'_>) -> Result<Outcome, ReadError>;

/// All served APIs, in the order of their keys.
pub const TABLE: &[Api] = &[
    produce::API,
    fetch::API,
    list_offsets::API,
    metadata::API,
    offset_commit::API,
    offset_fetch::API,
    find_coordinator::API,
    join_group::API,
    heartbeat::API,
    leave_group::API,
    sync_group::API,
    describe_groups::API,
    list_groups::API,
    api_versions::API,
    create_topics::API,
    delete_topics::API,
    delete_records::API,
    init_producer_id::API,
    offset_for_leader_epoch::API,
    describe_configs::API,
    alter_configs::API,
    create_partitions::API,
    delete_groups::API,
    incremental_alter_configs::API,
    offset_delete::API,
    describe_cluster::API,
    describe_producers::API,
    describe_topic_partitions::API,
];

/// The row of an API key.
pub fn find(key: i16) -> Option<&'static Api> {
    TABLE.binary_search_by_key(&key, |api| api.key).ok().map(|at| &TABLE[at])
}

/// Whether a version of an API is flexible; an unknown version of ApiVersions counts as flexible,
/// since its header has to be read in order to answer it (KIP-511).
fn is_flexible(key: i16, version: i16) -> bool {
    find(key).is_some_and(|api| version >= api.flexible)
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The connection's place in the server's table.
    pub slot: Slot,
    /// Where the client is.
    pub address: SocketAddr,
    /// The local address that it dialled.
    pub local: SocketAddr,
}

/// What a parked request waits for, handed back to its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A fetch for records.
    Fetch,
    /// A produce for room in the journal.
    Room,
    /// A produce with more to do, for its next turn.
    Turn,
    /// A question about a log's end for the sync of what is there already.
    Synced(Lsn),
    /// A join for the group.
    Join(JoinTicket),
    /// A sync for the leader's assignment.
    Sync(SyncTicket),
}

/// A parked request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// For what.
    pub waiting: Waiting,
    /// Until when at the latest; `None` for as long as it takes.
    pub deadline: Option<Millis>,
}

/// What a handler may use.
pub struct Context<'a> {
    /// The broker.
    pub broker: &'a mut Broker,
    /// Both clocks.
    pub now: Now,
    /// Who asks.
    pub peer: Peer,
    /// What the client calls itself; empty if it doesn't.
    pub client_id: &'a str,
    /// Host and port to be advertised, where `advertised.listeners` says so; else the dialled
    /// address.
    pub advertised: Option<(&'a str, u16)>,
    /// What the request was parked for, when it is run again.
    pub parked: Option<Parked>,
}

impl Context<'_> {
    /// Writes host (string) and port (int32) that clients shall dial: the local address of the very
    /// socket that this client dialled, unless `advertised.listeners` says otherwise.
    pub fn write_address(&self, w: &mut Writer<'_>) {
        use std::fmt::Write as _;
        match self.advertised {
            Some((host, port)) => {
                w.string(host);
                w.i32(i32::from(port));
            }
            None => {
                let mut host = heapless::String::<64>::new();
                // An IPv4 client of a dual-stack socket shall not be told a mapped IPv6 address.
                write!(host, "{}", self.peer.local.ip().to_canonical()).ok();
                w.string(&host);
                w.i32(i32::from(self.peer.local.port()));
            }
        }
    }

    /// A question about where a log ends: if records are there that no sync has covered yet, the
    /// answer waits for one, as a parked fetch does, so that a client which was told "acks=1"
    /// finds what it wrote. On a stalled card it is answered without them after a while.
    pub fn wait_for_sync(&mut self, topic: &str, partition: i32) -> Option<Outcome> {
        let (_, view) = self.broker.find_partition(topic, partition)?;
        let storage = self.broker.storage();
        if view.log_end_offset == view.high_watermark || storage.failed().is_some() {
            return None;
        }
        let (lsn, deadline) = match self.parked {
            Some(Parked { waiting: Waiting::Synced(lsn), deadline }) => (lsn, deadline),
            _ => {
                let at = self.now.mono.saturating_add(LOG_END_WAIT_MS);
                (storage.wanted(), Some(at))
            }
        };
        if lsn <= storage.durable() || deadline.is_some_and(|at| at <= self.now.mono) {
            return None;
        }
        self.broker.storage_mut().hurry(view.index);
        Some(Outcome::Park(Parked { waiting: Waiting::Synced(lsn), deadline }))
    }

    /// The node id of this one node, which is leader, coordinator and controller.
    pub fn node_id(&self) -> i32 {
        self.broker.config().node_id
    }
}

/// A run of bytes that goes into the answer straight from a file.
#[derive(Clone)]
pub struct FilePiece {
    /// Where in the answer, counted from the start of the connection's buffer.
    pub at: usize,
    /// The file.
    pub file: FileRef,
    /// First byte.
    pub position: u32,
    /// How many bytes.
    pub bytes: u32,
}

/// Where an answer's parts of files are kept.
pub trait Pieces {
    /// How many there are.
    fn count(&self) -> usize;

    /// Whether one more can be taken up.
    fn has_room(&mut self) -> bool;

    /// Takes one up; there has to be room.
    fn push(&mut self, piece: FilePiece);

    /// Forgets all but the first `count`.
    fn cut(&mut self, count: usize);
}

impl Pieces for Vec<FilePiece> {
    fn count(&self) -> usize {
        self.len()
    }

    fn has_room(&mut self) -> bool {
        self.len() < RESPONSE_FILES_MAX
    }

    fn push(&mut self, piece: FilePiece) {
        Vec::push(self, piece);
    }

    fn cut(&mut self, count: usize) {
        self.truncate(count);
    }
}

/// An answer under construction.
pub struct Reply<'a> {
    /// The bytes.
    pub w: Writer<'a>,
    /// Where in the connection's buffer it begins.
    start: usize,
    pieces: &'a mut dyn Pieces,
    first_piece: usize,
    piece_bytes: usize,
}

impl<'a> Reply<'a> {
    /// One that begins at `start` of the buffer, where some of it may stand already.
    fn new(buffers: Buffers<'a>, start: usize, version: i16, flexible: bool) -> Reply<'a> {
        let Buffers { bytes, pieces } = buffers;
        let w = Writer::bounded(bytes, version, flexible, start + RESPONSE_BYTES_MAX);
        Reply { w, start, first_piece: pieces.count(), pieces, piece_bytes: 0 }
    }
}

impl Reply<'_> {
    /// Whether one more piece of a file can be taken up.
    pub fn has_room_for_file(&mut self) -> bool {
        self.pieces.has_room()
    }

    /// Puts `slice` here, without copying it. The caller has written its length.
    pub fn file(&mut self, slice: Slice) {
        let Slice { file, position, bytes, .. } = slice;
        self.piece_bytes += bytes as usize;
        self.pieces.push(FilePiece { at: self.w.position(), file, position, bytes });
    }
}

/// What is to happen with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Send it.
    Now,
    /// Send it once this frame has survived the process (acks=1).
    AfterWrite(Lsn),
    /// Send it once this frame has survived a power cut.
    AfterSync(Lsn),
    /// Forget what was written; run the request again later.
    Park(Parked),
    /// Keep what was written, and let the request go on ([`go_on`]) when more of it is here, or
    /// when it is woken.
    Partly(Partly),
    /// There is none (acks=0).
    Silent,
    /// There is none, and the connection is closed: the only way to say "error" with acks=0.
    Close(&'static str),
}

/// Why a connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The request cannot be read.
    Malformed(i16, ReadError),
    /// An API key, or a version of it, that is not served. Apache Kafka closes as well.
    Unsupported(i16, i16),
    /// The answer would be larger than `RESPONSE_BYTES_MAX`.
    TooLarge(i16),
    /// The handler's own reason.
    Refused(&'static str),
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = |key: i16| find(key).map_or("request", |api| api.name);
        match self {
            Broken::Malformed(key, error) => write!(f, "{}: {error}", name(*key)),
            Broken::Unsupported(key, version) => {
                write!(f, "API key {key} version {version} is not served here")
            }
            Broken::TooLarge(key) => write!(f, "{}: the answer would be too large", name(*key)),
            Broken::Refused(reason) => f.write_str(reason),
        }
    }
}

/// Everything but the bytes that an answer needs: buffers that the connection owns.
pub struct Buffers<'a> {
    /// The answer is appended here, its frame length included.
    pub bytes: &'a mut dyn Sink,
    /// Parts of files that belong into it.
    pub pieces: &'a mut dyn Pieces,
}

/// A request without its frame length, from the first byte that is not done with.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What is here.
    pub bytes: &'a [u8],
    /// How many bytes are still to come. Only Produce may be told of any.
    pub beyond: usize,
}

impl<'a> Frame<'a> {
    /// All of it is here.
    pub fn whole(bytes: &'a [u8]) -> Frame<'a> {
        Frame { bytes, beyond: 0 }
    }

    /// It has `length` bytes, and so much of it is here as `input` holds.
    pub fn of(input: &'a [u8], length: usize) -> Frame<'a> {
        let here = input.len().min(length);
        Frame { bytes: &input[..here], beyond: length - here }
    }
}

/// Answers one request, of which the header is here. On [`Outcome::Park`], [`Outcome::Silent`] and
/// on errors the buffers are as before.
///
/// # Errors
/// [`Broken`]: close the connection.
pub fn answer(
    broker: &mut Broker,
    now: Now,
    peer: Peer,
    advertised: Option<(&str, u16)>,
    parked: Option<Parked>,
    frame: Frame<'_>,
    buffers: Buffers<'_>,
) -> Result<Outcome, Broken> {
    let bytes = frame.bytes;
    let key = i16::from_be_bytes([*bytes.first().unwrap_or(&0), *bytes.get(1).unwrap_or(&0)]);
    let malformed = |error| Broken::Malformed(key, error);
    let (header, r) = RequestHeader::read(bytes, is_flexible).map_err(malformed)?;
    let header_bytes = bytes.len() - r.rest().len();
    let unsupported = Broken::Unsupported(header.api_key, header.api_version);
    let api = find(header.api_key).ok_or(unsupported)?;
    let (low, high) = api.versions;
    let served = (low..=high).contains(&header.api_version);
    let negotiating = api.key == API_VERSIONS_KEY;
    if !served && !negotiating {
        return Err(unsupported);
    }
    // An unknown version of ApiVersions is answered in version 0 (KIP-511).
    let version = if served { header.api_version } else { 0 };
    let flexible = served && version >= api.flexible;
    let start = buffers.bytes.length();
    let mut reply = Reply::new(buffers, start, version, flexible);
    reply.w.i32(0);
    reply.w.i32(header.correlation_id);
    // ApiVersions always answers with header v0: a client reads it before it knows the broker.
    if !negotiating {
        reply.w.tags();
    }
    let mut context =
        Context { broker, now, peer, client_id: header.client_id, advertised, parked };
    let outcome = if served {
        (api.handle)(&mut context, r.with_beyond(frame.beyond), &mut reply)
    } else {
        reply.w.error(ErrorCode::UnsupportedVersion);
        reply.w.array(1);
        write_range(&mut reply.w, api);
        Ok(Outcome::Now)
    };
    let outcome = finish(api.key, outcome, reply)?;
    Ok(match outcome {
        Outcome::Partly(p) => Outcome::Partly(Partly { consumed: header_bytes + p.consumed, ..p }),
        outcome => outcome,
    })
}

/// Goes on with a request that came to [`Outcome::Partly`]. Its answer begins at `start`, and
/// `frame` is what follows the bytes that were done with.
///
/// # Errors
/// As [`answer`].
pub fn go_on(
    broker: &mut Broker,
    now: Now,
    peer: Peer,
    stream: Stream,
    frame: Frame<'_>,
    start: usize,
    buffers: Buffers<'_>,
) -> Result<Outcome, Broken> {
    let (version, flexible) = (stream.version(), stream.flexible());
    let mut reply = Reply::new(buffers, start, version, flexible);
    let mut context = Context { broker, now, peer, client_id: "", advertised: None, parked: None };
    let r = Reader::new(frame.bytes, version, flexible).with_beyond(frame.beyond);
    let outcome = stream.go_on(&mut context, r, &mut reply);
    finish(produce::API.key, outcome, reply)
}

/// Makes a frame of what a handler has written, or takes it back.
fn finish(
    key: i16,
    outcome: Result<Outcome, ReadError>,
    mut reply: Reply<'_>,
) -> Result<Outcome, Broken> {
    let too_large = reply.w.overflowed();
    let length = reply.w.position() - reply.start - 4 + reply.piece_bytes;
    reply.w.patch_i32(reply.start, i32::try_from(length).unwrap_or(i32::MAX));
    let result = match outcome {
        Err(error) => Err(Broken::Malformed(key, error)),
        Ok(Outcome::Close(reason)) => Err(Broken::Refused(reason)),
        Ok(_) if too_large => Err(Broken::TooLarge(key)),
        Ok(outcome) => Ok(outcome),
    };
    if matches!(result, Err(_) | Ok(Outcome::Park(_) | Outcome::Silent)) {
        reply.w.rewind(reply.start);
        reply.pieces.cut(reply.first_piece);
    }
    result
}

/// The API key of ApiVersions, which is special in three ways: see [`answer`].
pub const API_VERSIONS_KEY: i16 = 18;

/// Writes key, lowest and highest version, as ApiVersions lists them.
pub fn write_range(w: &mut Writer<'_>, api: &Api) {
    w.i16(api.key);
    w.i16(api.advertised_min);
    w.i16(api.versions.1);
    w.tags();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_ranges_make_sense() {
        assert!(TABLE.windows(2).all(|pair| pair[0].key < pair[1].key));
        for api in TABLE {
            assert!(api.advertised_min <= api.versions.0 && api.versions.0 <= api.versions.1);
            assert!(api.advertised_min == api.versions.0 || api.key == 0, "{}", api.name);
        }
    }
}
