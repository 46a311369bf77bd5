//! Where ottla answers otherwise than Apache Kafka 4.3.0, on purpose, and why.
//!
//! Promises: every row is met by the lives (checked there), so that none outlives its reason.

/// Whose answers are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    Ottla,
    Kafka,
}

/// A row of [`KNOWN_DIFFERENCES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    SyncOfARemovedMember,
    SyncOutdoneByANewerOne,
    JoinOutdoneByANewerOne,
    OnlyAPendingIdLeft,
    GroupOfARefusedJoin,
    PendingIdWithAnInstance,
    IdOfAFencedJoin,
    ReturnToAFullGroup,
}

/// Which, what Kafka does, what ottla does, and why.
pub const KNOWN_DIFFERENCES: [(Difference, &str, &str, &str); 8] = [
    (
        Difference::SyncOfARemovedMember,
        "leaves its parked SyncGroup without an answer for ever",
        "answers UNKNOWN_MEMBER_ID",
        "a client that is alive joins anew instead of waiting for its request timeout",
    ),
    (
        Difference::SyncOutdoneByANewerOne,
        "leaves the older SyncGroup of the same member without an answer for ever",
        "answers REBALANCE_IN_PROGRESS",
        "every request is answered; whoever still listens joins again",
    ),
    (
        Difference::JoinOutdoneByANewerOne,
        "leaves the older JoinGroup of the same member without an answer for ever",
        "answers UNKNOWN_MEMBER_ID",
        "every request is answered; whoever still listens joins anew",
    ),
    (
        Difference::OnlyAPendingIdLeft,
        "rebalances a group whose members all stayed",
        "goes on",
        "nobody's share has changed; Kafka before 4.0 went on as well",
    ),
    (
        Difference::GroupOfARefusedJoin,
        "keeps an empty group that never had a member after a refused JoinGroup",
        "keeps nothing",
        "a refused request costs no memory",
    ),
    (
        Difference::PendingIdWithAnInstance,
        "answers UNKNOWN_SERVER_ERROR after an exception",
        "answers UNKNOWN_MEMBER_ID",
        "the id was handed to a dynamic member; a client can act on this code",
    ),
    (
        Difference::IdOfAFencedJoin,
        "tells a waiting JoinGroup that is fenced the id that it had",
        "leaves the id empty",
        "the id means nothing any more, and is not kept for an answer in which nobody reads it",
    ),
    (
        Difference::ReturnToAFullGroup,
        "turns a static member away that comes back to a full group",
        "lets it in",
        "it takes its own place",
    ),
];
