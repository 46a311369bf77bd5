//! Every bound, in one place: its unit, why this value, and what a client gets at it.
//!
//! *Format limits* are facts of the protocol or of our files. *Board limits* follow from the few
//! numbers of a board's profile ([`Board`]): [`Sizes`] has every table and every pool of buffers.
//! No number in another file sizes a table, a buffer, a queue or a retry.

mod board;
mod forward;
mod ledger;
mod server;
mod space;

pub use board::{Board, Sizes};
pub use forward::*;
pub use ledger::{Ledger, LedgerRow, PROGRAM_BYTES, STACK_BYTES, Usage};
pub use server::*;
pub use space::*;

// ---- Format limits -----------------------------------------------------------------------------

/// Bytes of a topic name (Kafka's `Topic.MAX_NAME_LENGTH`).
///
/// At the limit: INVALID_TOPIC_EXCEPTION (17).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Batches remembered per producer and partition, for recognising a repeated one.
///
/// Why: clients keep up to five idempotent requests in flight (`ProducerStateEntry`, KIP-98).
pub const PRODUCER_BATCHES: usize = 5;

// ---- Storage -----------------------------------------------------------------------------------

/// Bytes from which on a batch is synced in its segment instead of being carried in the journal.
///
/// Why: measured with `cargo bench --bench large_batch`, see `storage/mod.rs`.
pub const LARGE_BATCH_BYTES: usize = 128 * 1024;

/// Bytes of large batches that one commit has to sync in their segments, at which the next ones
/// wait for it to begin.
///
/// Why: whoever waits for a small record waits for that sync as well: 40 ms at 100 MB/s. Commits
/// of that size already cost little more per byte than larger ones. At the limit: the Produce
/// request is parked, and its connection is not read.
pub const UNSYNCED_LARGE_BYTES: usize = 4 * 1024 * 1024;

/// Milliseconds after a small record or change for which large batches are synced one by one,
/// before the journal refers to them, so that no small one waits for them.
///
/// Why: a sensor writes once a second or more often; alone, large batches share their syncs.
pub const SMALL_RECENT_MS: u64 = 2_000;

/// Large batches that may stand behind the ends of logs, waiting for their sync.
///
/// Why: as many as there are batch buffers at most. At the limit: a batch goes the usual way.
pub const AHEAD_BATCHES: usize = 8;

/// Bytes by which the journal is written ahead of its frames on the first way around.
///
/// Why: a first start need not wait for the whole file; one sync in a thousand pays for a step.
pub const JOURNAL_FILL_BYTES: u64 = 1024 * 1024;

/// Bytes of the smallest ring that the journal's code can work with.
///
/// Why: the power-cut tests use such ones, to see many checkpoints. What a person may configure is
/// `JOURNAL_BYTES_MIN`.
pub const RING_BYTES_MIN: u64 = 16 * 1024;

/// Bytes of a segment between two entries of its index.
///
/// Why: a lookup reads at most this much; an entry is a write of its own, a quarter of a producer's
/// writes if there is one for every 16 KiB.
pub const INDEX_INTERVAL_BYTES: u32 = 64 * 1024;

/// Bytes in the journal's memory at which the segments are brought up to date.
///
/// Why: a write of that size costs little more than one of a single record, and no request waits
/// for it noticeably.
pub const SEGMENTS_BEHIND_BYTES: usize = 128 * 1024;

/// Bytes by which a segment's space is reserved ahead of writing, in a large store.
///
/// Why: running out of space is found at these steps, never in the middle of a batch, and a topic
/// with ten records does not take a whole segment of an SD card.
pub const SEGMENT_RESERVE_BYTES: u64 = 1024 * 1024;

/// Bytes of the buffer through which segments are checked for rot.
///
/// Why: batches are checked as they pass, so it only has to be worth a call. There is one.
pub const ROT_BUFFER_BYTES: usize = 16 * 1024;

/// Places in the segments that are known to be rotten.
///
/// Why: a card with more of them is to be replaced. At the limit: a further one is found again,
/// and passed over again, by each who reads there; `ottla status` counts that.
pub const ROT_GAPS_MAX: usize = 64;

/// Bytes that are checked for rot at most before an answer to one fetch is sent from a segment that
/// was not checked since the start.
///
/// Why: the event loop waits for it, some ms on a slow card. At the limit: the answer ends there,
/// and the consumer asks on.
pub const ROT_CHECK_BYTES_MAX: u32 = 1024 * 1024;

/// Milliseconds between two turns of the background search for rot.
///
/// Why: with 1 MiB a second a turn reads 256 KiB, some 10 ms of a slow card.
pub const SCRUB_TURN_MS: u64 = 250;

/// Places of batches that a partition remembers, so that sequential readers need no lookup.
///
/// Why: as many readers as a partition of a gateway has. At the limit: the place that was
/// remembered first is forgotten, and its reader's next fetch looks into the index.
pub const PARTITION_BOOKMARKS: usize = 4;

/// Milliseconds of rest for the disk, at least and at most, before records are synced for a
/// consumer that waits for them.
///
/// Why: a consumer at the end of the log shall not wait for `log.flush.interval.ms`, and one record
/// after a silence shall not wait at all; but with a consumer there, every record of a stream would
/// become a sync of its own.
pub const FETCH_SYNC_PAUSE_MS: (u64, u64) = (2, 25);

/// That rest, in times of the last sync.
///
/// Why: four fifths of a card's time are left for those who wait for `acks=all`.
pub const FETCH_SYNC_PAUSE_SYNCS: u64 = 4;

/// Milliseconds from an offset commit to the sync that it starts itself.
///
/// Why: the commits of a whole group come together after a rebalance, and share one sync then.
pub const COMMIT_SYNC_MS: u64 = 50;

/// Sentences that a recovery report holds at most.
///
/// Why: a card that is rotten all over would fill the log. At the limit: the rest is not said.
pub const RECOVERY_NOTES_MAX: usize = 32;

/// Seconds between two looks for expired segments, at most.
///
/// Why: the look costs nothing where no segment is closed, and tests set short retentions.
pub const RETENTION_CHECK_S: u64 = 5;

/// Connections that a partition remembers as waiting for its records.
///
/// At the limit: the others are woken whenever the partition moves, together with everybody else
/// who found no place.
pub const PARTITION_WAITERS: usize = 6;

/// The share of a sync's time for which the next one is put off at most, so that clients which were
/// just answered are part of it: one in so many.
///
/// Why: an eighth costs a client that gains nothing by it little, and is 1.2 ms on a card that
/// takes 10 ms: enough for a local client's next request.
pub const GATHER_SHARE: u32 = 8;

/// The longest time spent looking at the sockets for them.
///
/// Why: only where a timer would be too coarse, since looking takes the CPU from the clients.
pub const GATHER_LOOKS_MAX: core::time::Duration = core::time::Duration::from_micros(250);

/// Syncs between two tries whether waiting pays now, while it did not the last time.
///
/// Why: a try costs an eighth of a sync; one in sixteen is less than a hundredth of the time.
pub const GATHER_PROBE_INTERVAL: u32 = 16;

// ---- Stopping and answering --------------------------------------------------------------------

/// Bytes of the stack of the helper thread that looks up names.
///
/// Why: the C library's resolver has its answers there.
pub const HELPER_STACK_BYTES: usize = 128 * 1024;

/// Bytes of the stack of each of the two helper threads that sync.
///
/// Why: `fdatasync` needs next to none; this is room for the runtime's own frames.
pub const SYNC_STACK_BYTES: usize = 48 * 1024;

/// Milliseconds for an orderly stop.
///
/// At the limit: the process ends without its last checkpoint, and the next start replays.
pub const STOP_MS: u64 = 1_900;

/// Parts of files in one Fetch answer.
///
/// At the limit: the remaining partitions come back empty, and the client asks again.
pub const RESPONSE_FILES_MAX: usize = 64;

/// Bytes of records in one Fetch answer.
///
/// Why: what clients ask for by default (Java's `fetch.max.bytes`); it costs no memory here.
/// At the limit: the answer is smaller than asked for, which is always legal.
pub const FETCH_BYTES_MAX: usize = 50 * 1024 * 1024;

/// Milliseconds that ListOffsets and DeleteRecords wait for the sync of records that are there.
///
/// At the limit: the answer does not count them yet.
pub const LOG_END_WAIT_MS: u64 = 2_000;

/// Milliseconds that a batch of a Produce request waits for room in the journal.
///
/// Why: a checkpoint on a slow card takes seconds; clients give up after 30.
/// At the limit: REQUEST_TIMED_OUT (7), which clients retry.
pub const PRODUCE_ROOM_WAIT_MS: u64 = 15_000;

// ---- Topics and producers ----------------------------------------------------------------------

/// Producer ids that one journal frame sets aside, so that not every InitProducerId needs a sync.
///
/// Why: ids are 63 bits; a restart skips what was left of a block.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// Producer ids beyond this one were not handed out here, whatever a client claims.
///
/// Why: at a block a millisecond it takes 35 years to get there.
pub const PRODUCER_ID_PLAUSIBLE_MAX: i64 = 1 << 50;

// ---- Consumer groups ---------------------------------------------------------------------------

/// Members of one group (Kafka's `group.max.size`).
///
/// Why: a gateway serves tens of consumers, and the table is scanned linearly. While a rebalance
/// is prepared a table holds up to twice as many rows, because only members that rejoined count
/// (as in Kafka), and those that did not are thrown out when it ends.
/// At the limit: JoinGroup answers GROUP_MAX_SIZE_REACHED (81).
pub const GROUP_MEMBERS_MAX: usize = 64;

/// Member ids of one group that were handed out with MEMBER_ID_REQUIRED and not yet used (KIP-394).
///
/// Why: as many as could join. At the limit: the oldest is forgotten; its owner, should it still
/// come, gets UNKNOWN_MEMBER_ID (25) and starts anew.
pub const GROUP_MEMBERS_PENDING_MAX: usize = 64;

/// Protocols (assignors) that one member offers.
///
/// Why: clients offer one to four. At the limit: INCONSISTENT_GROUP_PROTOCOL (23).
pub const MEMBER_PROTOCOLS_MAX: usize = 16;

/// Bytes that one member may bring: names and metadata of all its protocols together.
///
/// Why: a subscription is its topic names and, for sticky assignors, the partitions owned; Connect
/// and Streams send a few KiB. At the limit: JoinGroup answers GROUP_MAX_SIZE_REACHED (81).
pub const MEMBER_METADATA_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a group id. Kafka has no limit of its own but the 32,767 of the wire format.
///
/// Why: the same as for topic names and more than tools generate. At the limit: INVALID_GROUP_ID
/// (24).
pub const GROUP_ID_BYTES_MAX: usize = 249;

/// Bytes of a `group.instance.id` (clients hold it to the rule of topic names), of a protocol type
/// and of a protocol name.
///
/// At the limit: INVALID_REQUEST (42) for the instance id, INCONSISTENT_GROUP_PROTOCOL (23) for the
/// others.
pub const GROUP_NAME_BYTES_MAX: usize = 249;

/// Bytes of a member id.
///
/// Why: the broker makes them, of an instance id or of what it keeps of a client id, `-` and an
/// UUID.
pub const MEMBER_ID_BYTES_MAX: usize = GROUP_NAME_BYTES_MAX + 37;

/// Milliseconds of silence after which a member may lose its place, where all places are taken and
/// somebody else asks for one.
///
/// Why: clients send heartbeats every 3 s unless told otherwise, and 15 s are the most one sees; a
/// session may last half an hour, and whoever floods the broker with members shall not shut
/// everybody out for as long. At the limit: its next request is answered UNKNOWN_MEMBER_ID (25),
/// and it joins anew.
pub const MEMBER_SILENT_MS: u64 = 60_000;

/// Bytes of client id and client host that a member keeps, to be shown by DescribeGroups and as the
/// first part of its member id.
///
/// At the limit: cut off, silently.
pub const CLIENT_ID_BYTES_KEPT: usize = 128;

/// Assignments that are looked at in a leader's SyncGroup.
///
/// Why: a leader names each member once. At the limit: the rest is ignored.
pub const GROUP_ASSIGNMENTS_MAX: usize = 4 * GROUP_MEMBERS_MAX;

/// Milliseconds after which a *new* member that waits for its first join to end is given up.
///
/// Why: it has no id yet and cannot heartbeat, so its session says nothing. Kafka's constant
/// (`GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`). At the limit:
/// UNKNOWN_MEMBER_ID (25).
pub const GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// Milliseconds between two looks for expired offsets and groups that nobody needs.
///
/// Why: Kafka's default of `offsets.retention.check.interval.ms`; a look scans all offsets.
pub const OFFSETS_RETENTION_CHECK_INTERVAL_MS: u64 = 10 * 60 * 1000;

/// Bytes of the metadata of one committed offset (Kafka's `offset.metadata.max.bytes`).
///
/// At the limit: OFFSET_METADATA_TOO_LARGE (12).
pub const OFFSET_METADATA_BYTES_MAX: usize = 4096;

// ---- Configuration -----------------------------------------------------------------------------

/// Bytes of a configuration file.
///
/// Why: Kafka's own `server.properties` has 7 KB; a file of this size is something else.
/// At the limit: `serve` says so and does not start.
pub const CONFIG_FILE_BYTES_MAX: usize = 1 << 20;

/// Bytes of the value of one setting, of the broker or of a topic.
///
/// Why: the longest that make sense are lists of listeners and of throttled replicas; a topic
/// keeps its values in memory and in the coordinator file.
/// At the limit: a client gets INVALID_CONFIG (40); in a file it is an error that names the line.
pub const CONFIG_VALUE_BYTES_MAX: usize = 1024;

/// Bytes of a setting's name that are worth comparing with known names for a suggestion.
///
/// Why: the comparison takes time with the square of it; Kafka's longest name has 66.
/// At the limit: the message has no "did you mean".
pub const CONFIG_NAME_BYTES_MAX: usize = 96;

/// Entries of `listeners`, and of `--listen`.
///
/// Why: a gateway has a handful of interfaces; each listener is a socket that is always polled.
/// At the limit: `serve` says so and does not start.
pub const LISTENERS_MAX: usize = 16;

/// Bytes of the smallest segment that is really made.
///
/// Why: one block of the file system. Tutorials set `segment.bytes` to 100, so smaller values
/// are accepted, and count as this.
/// At the limit: nothing a client could see, but for fewer segments.
pub const SEGMENT_BYTES_MIN: u32 = 4096;

/// Bytes of the smallest `journal.bytes`.
///
/// Why: a quarter of the smallest store. A checkpoint begins when half of it is full, so that a
/// small one means many; a batch goes through it up to a sixteenth of its size, larger ones take
/// two syncs.
/// At the limit: a smaller value is an error in the configuration.
pub const JOURNAL_BYTES_MIN: i64 = 256 << 10;

/// Bytes of the largest `journal.bytes`.
///
/// Why: it is written whole at the first start, and read whole after a power cut.
/// At the limit: a larger value is an error in the configuration.
pub const JOURNAL_BYTES_MAX: i64 = 1 << 30;

/// The largest `max.connections`.
///
/// Why: file descriptors, and the table of connections that is allocated at start.
/// At the limit: a larger value is an error in the configuration.
pub const MAX_CONNECTIONS_MAX: i64 = 65_535;

// The disk.

/// Slices handed to one `pwritev`.
///
/// Why: it bounds an array on the stack (the kernel would take 1,024), and a journal frame has a
/// header, a batch in a few pieces, and padding.
/// At the limit: more parts take more calls; a client sees nothing.
pub const WRITE_PARTS_MAX: usize = 16;

// ---- The command line --------------------------------------------------------------------------

/// Milliseconds until a tool gives up connecting to one address.
///
/// Why: on a local network an answer takes milliseconds; a person waits no longer than this.
/// At the limit: the next address is tried, then one sentence says which one does not answer.
pub const CLI_CONNECT_TIMEOUT_MS: u64 = 5_000;

/// Bytes of one response that a tool takes.
///
/// Why: Kafka's consumers ask for at most 50 MiB, and a larger single batch is rare.
/// At the limit: the connection is given up with a sentence; nothing was allocated for it.
pub const CLI_RESPONSE_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Bytes that a tool asks for in one fetch.
///
/// Why: small enough to be printed within a heartbeat, large enough to hide the round trip.
/// At the limit: the rest comes with the next fetch.
pub const CLI_FETCH_BYTES_MAX: i32 = 8 * 1024 * 1024;

/// Bytes that the records of one fetched batch may decompress to.
///
/// Why: a board's memory; Kafka's producers make batches of 1 MiB at most unless told otherwise.
/// At the limit: the tool ends with a sentence that names partition and offset.
pub const CLI_DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of one line on the standard input of `ottla produce`.
///
/// Why: a record cannot be larger than a broker's `message.max.bytes`, and nobody sets that higher.
/// At the limit: the tool ends with a sentence that names the line.
pub const CLI_LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Lines read ahead of what `ottla produce` has sent.
///
/// Why: enough to fill a batch while the one before is on its way.
/// At the limit: standard input is not read any further until there is room.
pub const CLI_LINES_AHEAD_MAX: usize = 4_096;

/// How often a tool asks again for what a broker says will be there soon.
///
/// Why: with the pause between two tries these are 15 s; a fresh Kafka needs some seconds to make
/// its offsets topic. At the limit: one sentence with the broker's own reason.
pub const CLI_RETRIES_MAX: u32 = 75;

/// Milliseconds between two tries.
///
/// Why: short for a person, long for a broker. At the limit: not applicable.
pub const CLI_RETRY_PAUSE_MS: u64 = 200;

/// Bytes of one segment file that `ottla log dump` holds in memory: one batch.
///
/// Why: a batch larger than this cannot have been produced through any sensible
/// `message.max.bytes`. At the limit: the dump says so and ends there.
pub const CLI_BATCH_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Parentheses inside parentheses in a topic pattern.
///
/// Why: nobody writes more, and the parser uses the stack.
/// At the limit: the pattern is refused.
pub const CLI_PATTERN_NESTING_MAX: usize = 16;

/// Bytes of records that `ottla produce` holds before it sends them, over all partitions.
///
/// Why: one request carries them all, and brokers take requests of a few MiB.
/// At the limit: the batches are sent before they are full.
pub const CLI_PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Milliseconds of the longest pause before a batch is tried again.
///
/// Why: a broker that restarts is back within seconds. At the limit: the pause grows no further.
pub const CLI_RETRY_PAUSE_MS_MAX: u64 = 1_000;

// ---- Describing and creating topics ------------------------------------------------------------

/// Partitions in one page of DescribeTopicPartitions (Kafka's `max.request.partition.size.limit`).
///
/// Why: a page is some 60 KB then. At the limit: the page ends with a cursor, and the client asks
/// for the next one.
pub const DESCRIBE_PARTITIONS_MAX: usize = 2000;

// ---- Answers about groups ----------------------------------------------------------------------

/// Bytes of a client's address in text, a slash in front, as DescribeGroups shows it.
///
/// Why: an IPv6 address takes 39, one that embeds an IPv4 address 45. At the limit: it is cut off.
pub const CLIENT_HOST_BYTES_MAX: usize = 48;

// ---- Forwarding: batches -----------------------------------------------------------------------

/// Plain bytes of one block of an LZ4 frame.
///
/// Why: the smallest size that a frame can name, and what librdkafka and Java's producer take; the
/// compressor's buffer is one block.
pub const FORWARD_LZ4_BLOCK_BYTES: usize = 64 * 1024;

// ---- The service --------------------------------------------------------------------------------

/// Milliseconds of the shortest pause before a broker that ended is started again.
///
/// Why: long enough that a broker which ends at once does not keep the machine busy.
pub const RESTART_PAUSE_MS_MIN: u64 = 1_000;

/// Milliseconds of the longest such pause; each is twice the one before.
///
/// Why: a card that is put back, or an address that comes late, is found within a minute; and
/// nobody is on site to start what has given up. At the limit: the pause grows no further.
pub const RESTART_PAUSE_MS_MAX: u64 = 60_000;

/// Milliseconds after which a broker that ran is taken for one that works.
///
/// Why: what fails for a reason that stays fails sooner. At the limit: the pauses begin anew.
pub const RESTART_SETTLED_MS: u64 = 60_000;

/// Milliseconds that a broker may take to accept its first connection.
///
/// Why: a full journal of the largest size is read in less by the slowest board. At the limit: the
/// supervisor ends it and starts it again.
pub const START_MS_MAX: u64 = 600_000;

/// Milliseconds that a broker may take to end when asked to.
///
/// Why: ten times [`STOP_MS`], for a card that stalls. At the limit: it is killed, and the next
/// start replays.
pub const STOP_MS_MAX: u64 = 20_000;

/// Milliseconds without a word of the event loop after which it is taken for hung.
///
/// Why: a write may wait for a card that stalls, which takes a few seconds and never this long.
/// At the limit: the broker is killed and started again.
pub const WATCHDOG_MS: u64 = 60_000;

/// Bytes of the log that the supervisor keeps, and above which `kafka-server-start.sh -daemon`
/// begins a new one; the one before it is kept as well.
///
/// Why: years of events of a broker that is well, and no card fills up with those of a sick one.
/// At the limit: the file is renamed to `….1`, over the last one of this name.
pub const LOG_FILE_BYTES_MAX: u64 = 1 << 20;

// ---- Tables of storage -------------------------------------------------------------------------

/// Segments that a partition seals between two checkpoints.
///
/// Why: each is an open file that the next checkpoint syncs.
/// At the limit: a checkpoint is due, and until it has begun the active segment goes on growing.
pub const SEALED_DIRTY_MAX: usize = 4;

/// Bytes of the buffer through which the coordinator file is written.
///
/// Why: a few writes for a full board; the file itself may be larger than the memory.
pub const COORDINATOR_PIECE_BYTES: usize = 16 * 1024;

/// Bytes of the buffer in which a change is encoded for the journal.
///
/// Why: the largest are a topic with all of its own settings and a commit with its metadata.
pub const CHANGE_BYTES: usize = 16 * 1024;

// ---- What recovery believes --------------------------------------------------------------------

/// The largest number of a frame or a checkpoint, and position in the journal's endless ring.
///
/// Why: a million a second for a hundred thousand years. Beyond it a file is unreadable, whatever
/// its sum says: whoever counted on from there would overflow, and not start.
pub const COUNT_PLAUSIBLE_MAX: u64 = 1 << 62;

/// The largest generation, number of a topic, and age of a store in seconds.
///
/// Why: one a second for 60 years. Beyond it a file is unreadable.
pub const NUMBER_PLAUSIBLE_MAX: u32 = 1 << 31;

/// The largest offset in a log, and the largest producer id that a file may claim.
///
/// Why: a million records a second for 30,000 years. Beyond it a file is unreadable.
pub const OFFSET_PLAUSIBLE_MAX: i64 = 1 << 60;

/// Partitions of one topic that a file or a directory's name may claim.
///
/// Why: more than any board has; `topics/t-4294967295` shall not make four billion of them.
pub const TOPIC_PARTITIONS_PLAUSIBLE_MAX: u32 = 1 << 14;

// Topics and their settings.

/// Bytes of a topic's own settings: for each its number, two bytes of length, and its value.
///
/// Why: all of Kafka's 33 settings at once, with the longest numbers; every topic's row has them.
/// At the limit: INVALID_CONFIG (40), with a message.
pub const TOPIC_SETTING_BYTES_MAX: usize = 512;

/// Bytes of all settings of topics and of the broker as text, with where they come from.
///
/// Why: some 140 rows of a few words. They are made once, at start.
/// At the limit: there is none; it is what settings take, and a test measures it.
pub const DESCRIBED_BYTES: usize = 40 * 1024;

/// Bytes of a figure in DescribeConfigs (`ottla.status.*`) while it becomes text.
///
/// Why: the longest names every table with what is in use of it.
/// At the limit: the text ends there.
pub const FIGURE_BYTES_MAX: usize = 8 * 1024;

/// Settings that CreateTopics may have for one topic, the repeated ones counted.
///
/// Why: there are 33; of what is repeated the last one counts, and to find it they are read again.
/// At the limit: INVALID_CONFIG (40), with a message.
pub const TOPIC_CONFIGS_MAX: usize = 128;

/// Files that the process has open beside those of partitions and connections.
///
/// Why: listeners, the journal, the lock, the event loop, files for large answers, links upstream.
/// At the limit: there is none; it is what is added up.
pub const FILES_OF_THE_PROCESS: usize = 32;

// --- clock ---------------------------------------------------------------------------------------

/// Milliseconds by which the wall clock must leave the other one between two looks, to count as a
/// jump.
///
/// Why: looks are some five seconds apart, and a clock that is being corrected gently (chrony: 8 %
/// at most) leaves it by 0.4 s in that time.
pub const CLOCK_JUMP_MS: u64 = 1_000;

/// Milliseconds between two lines in the log about jumps of the clock.
///
/// Why: a clock that jumps a thousand times an hour must not fill the card.
pub const CLOCK_TOLD_MS: u64 = 60_000;

/// A clock that shows less was never set: 2018-11-20, when Kafka 2.1.0 came out.
///
/// Why: without a battery it begins in 1970, or when the system was built.
pub const CLOCK_SET_MS: i64 = 1_542_672_000_000;

/// Seconds of the store's own clock after which the journal notes it, if nothing else is written.
///
/// Why: what is not noted when the power goes did not pass, and records would be kept that much
/// longer. Six syncs an hour of a broker that does nothing are 0.6 MB a day.
pub const AGE_NOTE_S: u32 = 600;
