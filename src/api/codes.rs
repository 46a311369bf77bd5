//! Refusals of the layers below → Kafka's error codes: the one place.

use crate::broker::{CommitError, FetchError, Refusal};
use crate::state::groups::Refusal as GroupRefusal;
use crate::wire::ErrorCode;

/// The code of a refusal about topics, partitions and producers.
pub fn code_of(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        Refusal::UnknownTopicId => ErrorCode::UnknownTopicId,
        Refusal::TopicExists | Refusal::TopicGoing => ErrorCode::TopicAlreadyExists,
        Refusal::InvalidTopicName(_) => ErrorCode::InvalidTopicException,
        Refusal::InvalidPartitions => ErrorCode::InvalidPartitions,
        Refusal::InvalidReplicationFactor => ErrorCode::InvalidReplicationFactor,
        Refusal::NoRoom(..) => ErrorCode::PolicyViolation,
        Refusal::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
        // Both are retriable: the client tries again after its back-off.
        Refusal::Busy => ErrorCode::RequestTimedOut,
        Refusal::CorruptBatch => ErrorCode::CorruptMessage,
        Refusal::Storage => ErrorCode::KafkaStorageError,
    }
}

/// The code of a refusal about reading.
pub fn code_of_fetch(error: FetchError) -> ErrorCode {
    match error {
        FetchError::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        FetchError::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
        FetchError::Storage => ErrorCode::KafkaStorageError,
    }
}

/// The code of a refusal about groups; where one has two codes this is JoinGroup's.
pub fn code_of_group(refusal: GroupRefusal) -> ErrorCode {
    match refusal {
        GroupRefusal::UnknownMemberId => ErrorCode::UnknownMemberId,
        GroupRefusal::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupRefusal::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupRefusal::InconsistentGroupProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupRefusal::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupRefusal::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupRefusal::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupRefusal::GroupMaxSizeReached | GroupRefusal::GroupsFull => {
            ErrorCode::GroupMaxSizeReached
        }
        GroupRefusal::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupRefusal::InvalidInstanceId => ErrorCode::InvalidRequest,
        GroupRefusal::GroupIdNotFound => ErrorCode::GroupIdNotFound,
        GroupRefusal::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupRefusal::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupRefusal::AssignmentTooLarge => ErrorCode::UnknownServerError,
        GroupRefusal::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupRefusal::OffsetsFull => ErrorCode::InvalidCommitOffsetSize,
    }
}

/// The code of a commit that was not taken.
pub fn code_of_commit(error: CommitError) -> ErrorCode {
    match error {
        CommitError::Group(GroupRefusal::GroupsFull) => ErrorCode::InvalidCommitOffsetSize,
        CommitError::Group(refusal) => code_of_group(refusal),
        // OffsetCommit knows COORDINATOR_LOAD_IN_PROGRESS as "again, a little later".
        CommitError::Storage(Refusal::Busy) => ErrorCode::CoordinatorLoadInProgress,
        CommitError::Storage(refusal) => code_of(refusal),
    }
}
