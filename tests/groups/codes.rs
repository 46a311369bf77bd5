//! The error codes and bounds that the rules speak of.

pub const UNKNOWN_SERVER_ERROR: i16 = -1;
pub const ILLEGAL_GENERATION: i16 = 22;
pub const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
pub const UNKNOWN_MEMBER_ID: i16 = 25;
pub const INVALID_SESSION_TIMEOUT: i16 = 26;
pub const REBALANCE_IN_PROGRESS: i16 = 27;
pub const NON_EMPTY_GROUP: i16 = 68;
pub const GROUP_ID_NOT_FOUND: i16 = 69;
pub const MEMBER_ID_REQUIRED: i16 = 79;
pub const GROUP_MAX_SIZE_REACHED: i16 = 81;
pub const FENCED_INSTANCE_ID: i16 = 82;
pub const GROUP_SUBSCRIBED_TO_TOPIC: i16 = 86;

/// `group.min.session.timeout.ms`, which the brokers of these tests are given.
pub const SESSION_TIMEOUT_MS_MIN: i32 = 100;
/// `group.max.session.timeout.ms`, as it is by default.
pub const SESSION_TIMEOUT_MS_MAX: i32 = 30 * 60 * 1000;
/// `group.max.size`, which the brokers are given: as many as there are actors at most.
pub const GROUP_SIZE_MAX: usize = 5;
