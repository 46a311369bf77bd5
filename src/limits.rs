//! Every bound of the program: its unit, why this value, and what happens at it.
//!
//! Promises: no other file holds a bare capacity.
//!
//! Absent: what a person may set (`config`); this file only bounds it.

// ---- config ------------------------------------------------------------------------------------

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
/// Why: batches up to 64 KiB are carried in the journal, half of it triggers a checkpoint.
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
