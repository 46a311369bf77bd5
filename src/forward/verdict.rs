//! What an upstream broker's error about a batch means for the lane that sent it.
//!
//! Promises: every code of Kafka's has exactly one meaning here; what is not known is tried again,
//! because a record that is still here can be sent later, and one that was dropped cannot.
//! Absent: how a lane acts on it (`lane`).

use crate::wire::ErrorCode;

/// What to do about an answer to a Produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, and replicated.
    Done,
    /// It is not there; the same again later, maybe to another broker.
    Retry {
        /// Who leads may have changed.
        metadata: bool,
    },
    /// It may be there: find out before anything else is sent.
    Doubt {
        /// Who leads may have changed.
        metadata: bool,
        /// What upstream knows of our sequence is not what we know: a new epoch afterwards.
        epoch: bool,
    },
    /// No retry cures it.
    Rejected,
    /// It did not arrive as it should; rejected if that happens again.
    Corrupt,
}

/// The meaning of `code` as an answer about a batch.
pub fn of(code: ErrorCode) -> Verdict {
    use ErrorCode as E;
    match code {
        E::None => Verdict::Done,
        // The batch, and nothing around it, is what upstream does not want.
        E::MessageTooLarge
        | E::RecordListTooLarge
        | E::InvalidTimestamp
        | E::InvalidRecord
        | E::PolicyViolation
        | E::UnsupportedForMessageFormat
        | E::UnsupportedCompressionType => Verdict::Rejected,
        // A flipped bit on the way, or on our card: once more, then it is the batch.
        E::CorruptMessage => Verdict::Corrupt,
        // Appended by the leader, and nobody knows for how long; or a broker-side surprise, after
        // which the same is true.
        E::RequestTimedOut | E::NotEnoughReplicasAfterAppend | E::UnknownServerError => {
            Verdict::Doubt { metadata: false, epoch: false }
        }
        // The leader has gone, or its disk or the topic, while the batch waited to be replicated
        // (DelayedProduce); these may come before the append as well.
        E::UnknownTopicOrPartition | E::NotLeaderOrFollower | E::KafkaStorageError => {
            Verdict::Doubt { metadata: true, epoch: false }
        }
        E::DuplicateSequenceNumber
        | E::OutOfOrderSequenceNumber
        | E::InvalidProducerEpoch
        | E::UnknownProducerId
        | E::ProducerFenced
        | E::InvalidProducerIdMapping
        | E::InvalidTxnState => Verdict::Doubt { metadata: false, epoch: true },
        E::LeaderNotAvailable
        | E::ReplicaNotAvailable
        | E::FencedLeaderEpoch
        | E::UnknownLeaderEpoch
        | E::UnknownTopicId
        | E::InconsistentTopicId
        | E::NetworkException => Verdict::Retry { metadata: true },
        _ => Verdict::Retry { metadata: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passing_is_retried_and_what_is_not_is_rejected() {
        assert_eq!(of(ErrorCode::None), Verdict::Done);
        let authorization = of(ErrorCode::TopicAuthorizationFailed);
        assert_eq!(authorization, Verdict::Retry { metadata: false });
        assert_eq!(of(ErrorCode::ThrottlingQuotaExceeded), Verdict::Retry { metadata: false });
        assert_eq!(of(ErrorCode::LeaderNotAvailable), Verdict::Retry { metadata: true });
        assert_eq!(of(ErrorCode::MessageTooLarge), Verdict::Rejected);
        assert_eq!(of(ErrorCode::NotEnoughReplicas), Verdict::Retry { metadata: false });
    }

    #[test]
    fn what_may_be_there_is_never_just_sent_again() {
        for code in [
            ErrorCode::RequestTimedOut,
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::OutOfOrderSequenceNumber,
            ErrorCode::UnknownProducerId,
            ErrorCode::DuplicateSequenceNumber,
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::KafkaStorageError,
        ] {
            assert!(matches!(of(code), Verdict::Doubt { .. }), "{}", code.name());
        }
    }
}
