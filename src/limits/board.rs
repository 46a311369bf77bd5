//! The few numbers that a person chooses for a board, and every size that follows from them.
//!
//! Promises: a [`Board`] is all that decides how much memory the broker takes; [`Sizes`] names
//! every table and every pool of buffers, with its unit, why it is that large, and what a client
//! gets at its end. The same board always gives the same sizes.
//! Absent: reading profiles (`config::board`), what a row takes (the table's owner accounts for
//! it), and format limits (the module above).

use super::{
    CONNECTION_BUFFER_BYTES, CONNECTION_OUT_BYTES, FORWARD_NAME_BYTES_MAX, GROUP_ID_BYTES_MAX,
    MEMBER_METADATA_BYTES_MAX, PRODUCE_ELEMENT_BYTES_MAX, TOPIC_NAME_BYTES_MAX,
    TOPIC_SETTING_BYTES_MAX,
};

/// A MiB.
const MIB: u64 = 1 << 20;

/// The numbers of a board profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// Bytes of memory that the process may ever take, its program text included.
    ///
    /// At the limit: the broker does not start, and says which number is too large.
    pub memory_bytes: u64,
    /// Clients that are connected at the same time (`max.connections`).
    pub connections: u32,
    /// Partitions of all topics together.
    pub partitions: u32,
    /// Consumer groups, with members or with committed offsets.
    pub groups: u32,
    /// Bytes of the largest batch of records (`message.max.bytes` and a topic's own
    /// `max.message.bytes` cannot be above it).
    pub message_bytes: u32,
    /// Bytes of the journal, on the disk (`journal.bytes`). It costs no memory.
    pub journal_bytes: u32,
}

impl Board {
    /// `gateway-1g`: what is taken on any machine with 768 MB or more.
    pub const DEFAULT: Board = Board {
        memory_bytes: 10 * MIB,
        connections: 128,
        partitions: 256,
        groups: 32,
        message_bytes: 1_048_588,
        journal_bytes: 8 << 20,
    };

    /// `desktop`: for a developer's machine, and for tests that need room.
    pub const DESKTOP: Board = Board {
        memory_bytes: 64 * MIB,
        connections: 1_000,
        partitions: 4_096,
        groups: 256,
        message_bytes: 4 << 20,
        journal_bytes: 8 << 20,
    };
}

impl Default for Board {
    fn default() -> Board {
        Board::DEFAULT
    }
}

/// What every table and every pool holds at most.
///
/// Bytes are bytes of memory; the others are rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// See [`Board::memory_bytes`].
    pub memory_bytes: u64,

    /// Connections. At the limit: the one that was idle longest makes room, if one is idle; else a
    /// new one is closed, with a line in the log.
    pub connections: usize,
    /// Bytes of a connection's own input buffer.
    ///
    /// Why: nearly all requests but Produce fit. At the limit: it borrows one of the
    /// `read_buffers`.
    pub connection_in_bytes: usize,
    /// Bytes of a connection's own output buffer.
    ///
    /// Why: most answers fit. At the limit: it borrows one of the `answer_buffers`.
    pub connection_out_bytes: usize,
    /// Buffers of `READ_BUFFER_BYTES` for requests that do not fit into a small one.
    ///
    /// At the limit: the connection is not read until it is its turn.
    pub read_buffers: usize,
    /// Buffers for one batch of records each, and for other requests of that size.
    ///
    /// At the limit: the connection is not read until it is its turn.
    pub batch_buffers: usize,
    /// Bytes of each of the `batch_buffers`.
    pub batch_buffer_bytes: usize,
    /// Buffers of `OUTPUT_BYTES_MAX` for answers that do not fit into a small one.
    ///
    /// At the limit: the request is not executed until it is its turn.
    pub answer_buffers: usize,
    /// Files without a name for answers that do not fit into an answer buffer either.
    ///
    /// Why: they cost a descriptor each, and disk space only while in use. At the limit: the
    /// request is not executed until it is its turn.
    pub spill_files: usize,

    /// Bytes of the largest batch. At the limit: MESSAGE_TOO_LARGE (10).
    pub message_bytes: usize,
    /// Bytes of journal frames that wait for the next write.
    ///
    /// At the limit: Produce waits for the sync that is under way.
    pub staged_bytes: usize,

    /// Topics. At the limit: POLICY_VIOLATION (44), with a message.
    pub topics: usize,
    /// Partitions of all topics. At the limit: POLICY_VIOLATION (44), with a message.
    pub partitions: usize,
    /// Segments of all partitions.
    ///
    /// At the limit: a segment that is full goes on growing, until retention has removed others.
    pub segments: usize,
    /// Bytes of the names of all topics. At the limit: POLICY_VIOLATION (44), with a message.
    pub name_bytes: usize,
    /// Topics, resources or settings that one administrative request may name.
    ///
    /// Why: they are sorted, to see what comes twice; twice what the board has, and room for a tool
    /// that names what is not there. At the limit: INVALID_REQUEST (42), with a message.
    pub request_names: usize,
    /// Pairs of producer id and partition that are remembered.
    ///
    /// At the limit: the pair that was silent longest is forgotten, which Kafka's protocol allows.
    pub producers: usize,

    /// Groups. At the limit: one without offsets makes room if it is empty, else if nobody has come
    /// yet who was told to come back, else if all in it were silent for `MEMBER_SILENT_MS`; else
    /// GROUP_MAX_SIZE_REACHED (81) for JoinGroup, INVALID_COMMIT_OFFSET_SIZE (28) for a commit.
    pub groups: usize,
    /// Members of all groups. At the limit: one whose connection has gone during its first join
    /// makes room, else one that was silent for `MEMBER_SILENT_MS`; else GROUP_MAX_SIZE_REACHED
    /// (81).
    pub members: usize,
    /// Member ids of all groups that were handed out and not used yet (KIP-394).
    ///
    /// Why: an id is pending for one round trip. At the limit: the group that has the most forgets
    /// its oldest one, whose owner gets UNKNOWN_MEMBER_ID (25) and starts anew.
    pub pending_members: usize,
    /// Bytes of all members' names, metadata and assignments.
    ///
    /// Why: a consumer of ten topics takes some 400, and one member of the largest size fits beside
    /// them.
    /// At the limit: GROUP_MAX_SIZE_REACHED (81); for a leader's SyncGroup UNKNOWN_SERVER_ERROR
    /// (-1), as in Kafka when an assignment is too large to be stored.
    pub member_bytes: usize,
    /// Committed offsets of all groups. At the limit: INVALID_COMMIT_OFFSET_SIZE (28).
    pub offsets: usize,
    /// Bytes of topic names and metadata of all committed offsets.
    ///
    /// At the limit: INVALID_COMMIT_OFFSET_SIZE (28).
    pub offset_bytes: usize,

    /// Connections to upstream brokers at the same time.
    ///
    /// At the limit: the one that was unused for longest is closed, or the others wait.
    pub forward_links: usize,
    /// Buffers for one request to an upstream broker each.
    ///
    /// Why: a link needs one only until its request is with the socket. At the limit: links take
    /// turns.
    pub forward_requests: usize,
    /// Bytes of the one buffer for answers of upstream brokers that are longer than
    /// `FORWARD_ANSWER_BYTES`.
    ///
    /// Why: metadata, and what a leader remembers of producers; 43 bytes for each partition or
    /// producer. At the limit: metadata is asked for fewer topics at once; a leader's memory counts
    /// as none, and its log is read instead; any other answer costs the connection.
    pub forward_answer_bytes: usize,
    /// Bytes that a compressed batch may decompress to where its records must be changed on the
    /// way up: it is cut in two, or its timestamps are the broker's.
    ///
    /// Why: two buffers of this size and more. At the limit: it goes up whole, with the producers'
    /// own timestamps; records that go up twice for it are counted.
    pub forward_unpacked_bytes: usize,
    /// Whether batches that are stored in Zstandard are decompressed at all for that.
    ///
    /// Why: it takes `FORWARD_UNPACK_ZSTD_BYTES` for a moment. If not, they go up whole.
    pub forward_unpacks_zstd: bool,
    /// Partitions of upstream topics whose leaders are remembered.
    ///
    /// Why: upstream topics may have more partitions than ours. At the limit: lanes to further
    /// partitions wait, with a sentence in the log.
    pub forward_leaders: usize,
}

impl Sizes {
    /// Everything that follows from a board.
    pub fn of(board: &Board) -> Sizes {
        let small = board.memory_bytes < 8 * MIB;
        let large = board.memory_bytes >= 32 * MIB;
        let connections = board.connections as usize;
        let partitions = board.partitions as usize;
        let groups = board.groups as usize;
        let message_bytes = board.message_bytes as usize;
        let members = (8 * groups).max(64);
        let offsets = (4 * partitions).max(512);
        let shared_buffers = (connections / 32).clamp(2, 16);
        let batches = board.memory_bytes / (4 * u64::from(board.message_bytes.max(1)));
        Sizes {
            memory_bytes: board.memory_bytes,
            connections,
            connection_in_bytes: CONNECTION_BUFFER_BYTES,
            connection_out_bytes: CONNECTION_OUT_BYTES,
            read_buffers: shared_buffers,
            batch_buffers: batches.clamp(1, 8) as usize,
            batch_buffer_bytes: message_bytes + PRODUCE_ELEMENT_BYTES_MAX,
            answer_buffers: shared_buffers,
            spill_files: if small { 2 } else { 4 },
            message_bytes,
            staged_bytes: match () {
                () if small => 160 * 1024,
                () if board.memory_bytes < 16 * MIB => 400 * 1024,
                () => 512 * 1024,
            },
            topics: partitions,
            partitions,
            segments: (8 * partitions).max(1024),
            name_bytes: 64 * partitions,
            request_names: (2 * partitions).max(1024),
            producers: (4 * partitions).max(256),
            groups,
            members,
            pending_members: (2 * groups).clamp(64, 128),
            member_bytes: 512 * members + MEMBER_METADATA_BYTES_MAX,
            offsets,
            offset_bytes: 64 * offsets,
            forward_links: if small { 3 } else { 4 },
            forward_requests: if large { 4 } else { 2 },
            forward_answer_bytes: if small {
                16 * 1024
            } else if large {
                256 * 1024
            } else {
                48 * 1024
            },
            forward_unpacked_bytes: if small { 16 * 1024 } else { 64 * 1024 },
            forward_unpacks_zstd: board.memory_bytes >= 16 * MIB,
            forward_leaders: (4 * partitions).max(1024),
        }
    }
}

impl Sizes {
    /// Bytes that the coordinator file can have at most, when every table is full.
    ///
    /// Why: it is read as a whole at start, before anybody is connected, so that the buffers which
    /// nobody uses yet have room for it. Every row counts with numbers and names of the largest
    /// size. At the limit: a larger board wrote it, and the start is refused with a sentence.
    pub const fn coordinator_bytes(&self) -> usize {
        let name = TOPIC_NAME_BYTES_MAX + 3;
        let partition = name + 64 + FORWARD_NAME_BYTES_MAX + 128;
        64 * 1024
            + self.partitions * partition
            + self.segments * 40
            + self.topics * (name + TOPIC_SETTING_BYTES_MAX + 64)
            + self.offsets * (GROUP_ID_BYTES_MAX + name + 80)
            + self.offset_bytes
            + self.producers * 256
    }
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes::of(&Board::DEFAULT)
    }
}
