//! Bounds of connections: their seats, the buffers that they share, and how long they may keep one.
//!
//! How many there are of each follows from the board ([`super::Sizes`]).

// ---- Start -------------------------------------------------------------------------------------

/// Milliseconds for which a start waits for a broker that was killed and still holds the data
/// directory.
///
/// Why: it holds it until the card has done what it was doing, which takes a cheap one seconds.
/// At the limit: the start is refused with a sentence.
pub const LOCK_WAIT_MS: u64 = 15_000;

/// Milliseconds between two looks for that.
///
/// Why: mostly it is over at the first look.
pub const LOCK_LOOK_MS: u64 = 20;

// ---- Input -------------------------------------------------------------------------------------

/// Bytes of a connection's own input buffer.
///
/// Why: nearly all requests but Produce fit. At the limit: the request borrows a read buffer.
pub const CONNECTION_BUFFER_BYTES: usize = 4 * 1024;

/// Bytes of a read buffer: requests up to this size are waited for as a whole, and the next ones
/// are read together with one.
///
/// Why: a producer with five requests in flight is read with one or two calls instead of ten.
/// At the limit: a Produce request is taken batch by batch, while it arrives; a batch that is
/// larger, and any other request, borrows a batch buffer.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Milliseconds for which a connection keeps a read or batch buffer that nobody waits for and that
/// it does not use.
///
/// Why: the next large request comes soon from a producer at work; a second later it has stopped.
pub const LARGE_BUFFER_KEEP_MS: u64 = 1_000;

/// Bytes of input or output after which it is another connection's turn.
///
/// Why: a turn of the event loop costs about as much as handling 4 KiB, and copying 64 KiB takes
/// as long as a small request. At the limit: the connection goes on when all others had a turn.
pub const TURN_BYTES: usize = READ_BUFFER_BYTES;

/// Requests after which it is another connection's turn.
///
/// Why: as many as a producer has in flight; an answer costs from one to some ten microseconds.
/// At the limit: the connection goes on when all others had a turn.
pub const TURN_REQUESTS: usize = 8;

/// Bytes that may stand between two batches of a Produce request: topic name, tagged fields.
///
/// Why: a string has at most 32 KiB in the versions before 9, and nobody sends tagged fields.
/// At the limit: the connection is closed, with one log line.
pub const PRODUCE_ELEMENT_BYTES_MAX: usize = 64 * 1024;

// ---- Output ------------------------------------------------------------------------------------

/// Bytes of a connection's own output buffer.
///
/// Why: most answers fit, since records go out straight from files. At the limit: the answer
/// borrows an answer buffer, before its request is begun if it could not be run twice.
pub const CONNECTION_OUT_BYTES: usize = 2 * 1024;

/// Bytes of an answer buffer.
///
/// Why: Metadata of a thousand partitions takes 60 KB. At the limit: the answer goes on in a spill
/// file, up to [`RESPONSE_BYTES_MAX`].
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a connection's output that have to be free before a request is looked at.
///
/// Why: every answer begins with 8 bytes and most have less. At the limit: what is there is sent.
pub const OUTPUT_ROOM_BYTES: usize = 256;

/// Bytes of an answer, but for what goes out straight from files.
///
/// Why: DescribeConfigs of all topics is the largest; it grows with our own tables only.
/// At the limit: the connection is closed, with one log line.
pub const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Parts of files that a connection has a place for of its own, and with one of the shared tables.
///
/// Why: a consumer of few partitions needs no more. At the limit: the remaining partitions come
/// back empty, and the client asks again.
pub const CONNECTION_FILES: usize = 4;

/// Answers of one connection that may wait for a sync at the same time.
///
/// Why: clients keep up to five Produce requests in flight; one more batch per sync pays.
/// At the limit: its further requests wait in the socket.
pub const PRODUCE_IN_FLIGHT_MAX: usize = 8;

/// Bytes of one element of a Produce answer: a partition's offsets and its error in words, or a
/// topic but for its name.
///
/// Why: the longest sentence has 80 bytes.
pub const PRODUCE_ANSWER_BYTES_MAX: usize = 224;

// ---- Patience ----------------------------------------------------------------------------------

/// Milliseconds without a byte after which a client that stopped in the middle of a request, with
/// a shared buffer or a half-taken Produce request, is cut off even if nobody waits for it.
///
/// Why: 30 s are what clients wait for an answer, too (`request.timeout.ms`).
/// At the limit: the connection is closed, with one log line.
pub const REQUEST_STALL_MS: u64 = 30_000;

/// Milliseconds for which a client may keep a shared buffer that others wait for, however slow it
/// is; its bytes buy more, at [`SHARED_BYTES_PER_S`].
///
/// Why: longer than a radio's pause. At the limit: the connection is closed, with one log line.
pub const SHARED_STALL_MS: u64 = 10_000;

/// Bytes per second that a client has to send, or to take, to keep a shared buffer that others wait
/// for beyond [`SHARED_STALL_MS`].
///
/// Why: a batch of 1 MiB may take 75 s then, which a slow mobile link can do.
pub const SHARED_BYTES_PER_S: u64 = 16 * 1024;

/// Milliseconds after which a connection that never asked anything makes room for a new one, when
/// all seats are taken.
///
/// Why: a client's first request follows its connection at once, or a radio's round trip later.
/// At the limit: the new connection is refused.
pub const SILENT_MS: u64 = 1_000;

/// Milliseconds from its connection to a client's first whole request, when all seats are taken.
///
/// Why: who sends that drop by drop is no client.
pub const FIRST_REQUEST_MS: u64 = 10_000;

/// Milliseconds after which a connection that has asked something before, and for which nothing is
/// being done, makes room for a new one, when all seats are taken.
///
/// Why: a consumer asks every half second, a member of a group every three; a producer that is
/// silent for longer connects again without losing anything.
/// At the limit: the new connection is refused.
pub const DISPLACE_IDLE_MS: u64 = 5_000;

/// Turns of the event loop that a new connection waits for the seat of one that makes room.
///
/// Why: it takes two. At the limit: the new connection is refused.
pub const SEATS_YIELDS: usize = 4;

// ---- What is said about clients ----------------------------------------------------------------

/// Pairs of address and kind of event that are remembered, so that each is in the log once a
/// minute.
///
/// Why: 60 bytes each, more than a site has machines. At the limit: events of further addresses
/// are counted together.
pub const CLIENT_NOTES: usize = 64;

/// Milliseconds between two log lines of the same kind about clients of one address.
///
/// Why: a broken device connects ten times a second, for years.
/// At the limit: the next line says how many were left out.
pub const CLIENT_NOTE_MS: u64 = 60_000;

/// Figures of the server that `ottla status` shows as used and limit.
pub const SERVER_USAGES: usize = 5;

/// Bytes that the event loop allocates for an accepted connection: its task, its registration with
/// epoll, its place in the runtime's lists. It gives them back when the connection ends.
///
/// Why: tests/no_alloc measures 1,950 without optimization, on 64 bits; less on 32.
pub const CONNECTION_TASK_BYTES: usize = 2_560;
