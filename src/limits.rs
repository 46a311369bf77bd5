//! Every bound of the broker: its unit, why this value, and what a client gets at it.
//!
//! No capacity is a bare number anywhere else.

// ---- Consumer groups (state/group.rs, members.rs, groups.rs, offsets.rs) ----

/// Groups that exist at the same time, with members or with committed offsets.
///
/// Why: a gateway serves tens of consumers; an empty group costs about 400 bytes.
/// At the limit: empty groups without offsets make room first; then JoinGroup of a new group answers
/// GROUP_MAX_SIZE_REACHED (81), a first OffsetCommit INVALID_COMMIT_OFFSET_SIZE (28).
pub const GROUPS_MAX: usize = 128;

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

/// Bytes of all members of all groups: table rows, ids, metadata and assignments.
///
/// Why: the product of the limits above is far beyond a small board, real use is far below: a
/// member costs about 1 KiB. At the limit: JoinGroup answers GROUP_MAX_SIZE_REACHED (81), the
/// leader's SyncGroup UNKNOWN_SERVER_ERROR (-1), as Kafka when an assignment is too large to store.
pub const MEMBERS_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a group id. Kafka has no limit of its own but the 32,767 of the wire format.
///
/// Why: the same as for topic names and more than tools generate. At the limit: INVALID_GROUP_ID (24).
pub const GROUP_ID_BYTES_MAX: usize = 249;

/// Bytes of a `group.instance.id` (clients hold it to the rule of topic names), of a protocol type
/// and of a protocol name.
///
/// At the limit: INVALID_REQUEST (42) for the instance id, INCONSISTENT_GROUP_PROTOCOL (23) for the others.
pub const GROUP_NAME_BYTES_MAX: usize = 249;

/// Bytes of client id and client host that a member keeps, to be shown by DescribeGroups and as the first
/// part of its member id.
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
/// (`GroupCoordinatorConfig.CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`). At the limit: UNKNOWN_MEMBER_ID (25).
pub const GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// Milliseconds between two looks for expired offsets and groups that nobody needs.
///
/// Why: Kafka's default of `offsets.retention.check.interval.ms`; a look scans all offsets.
pub const OFFSETS_RETENTION_CHECK_INTERVAL_MS: u64 = 10 * 60 * 1000;

/// Committed offsets of all groups: rows of (group, topic, partition).
///
/// Why: 128 groups on 128 partitions each; a row costs about 100 bytes.
/// At the limit: OffsetCommit of a new row answers INVALID_COMMIT_OFFSET_SIZE (28), which fails that
/// commit and neither retries for ever nor ends the consumer; rows that exist go on.
pub const OFFSETS_MAX: usize = 16_384;

/// Bytes of the metadata of one committed offset (Kafka's `offset.metadata.max.bytes`).
///
/// At the limit: OFFSET_METADATA_TOO_LARGE (12).
pub const OFFSET_METADATA_BYTES_MAX: usize = 4096;

/// Bytes of the metadata of all committed offsets.
///
/// Why: metadata is nearly always empty (Streams stores some ten bytes); the product of the two limits
/// above would be 64 MiB. At the limit: INVALID_COMMIT_OFFSET_SIZE (28).
pub const OFFSETS_METADATA_BYTES_MAX: usize = 1024 * 1024;
