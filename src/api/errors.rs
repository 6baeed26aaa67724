//! From our errors to Kafka's codes: one exhaustive match an error type.

use kafka_protocol::error::ResponseError;

use crate::coordinator::{GroupError, TransactionError};
use crate::log::AppendError;
use crate::record::Rejection;
use crate::topic::{ChangeError, PartitionError};

pub use kafka_protocol::error::ResponseError as Error;

/// What Kafka says of INVALID_REQUEST and UNKNOWN_TOPIC_OR_PARTITION where it has nothing more exact to say.
pub const INVALID_REQUEST_TEXT: &str = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.";
pub const UNKNOWN_PARTITION_TEXT: &str = "This server does not host this topic-partition.";

/// INVALID_REGULAR_EXPRESSION, which the codec's list lacks.
pub const INVALID_REGULAR_EXPRESSION: i16 = 128;

/// No error.
pub const NONE: i16 = 0;

pub fn of_rejection(rejection: &Rejection) -> Error {
    match rejection {
        Rejection::Corrupt(_) => ResponseError::CorruptMessage,
        Rejection::InvalidRecord(..) => ResponseError::InvalidRecord,
        Rejection::InvalidTimestamp(..) => ResponseError::InvalidTimestamp,
        Rejection::TooLarge(_) => ResponseError::MessageTooLarge,
        Rejection::Unreadable(_) => ResponseError::UnknownServerError,
    }
}

/// An error with its message.
pub type Refusal = (Error, Option<String>);

pub fn refusal(error: Error, message: impl Into<String>) -> Refusal {
    (error, Some(message.into()))
}

pub fn of_partition(error: &PartitionError) -> Error {
    match error {
        PartitionError::Deleted => ResponseError::UnknownTopicOrPartition,
        PartitionError::Storage(_) => ResponseError::KafkaStorageError,
        PartitionError::OffsetOutOfRange { .. } => ResponseError::OffsetOutOfRange,
        PartitionError::Append(error) => match error {
            AppendError::OutOfOrderSequence(_) => ResponseError::OutOfOrderSequenceNumber,
            AppendError::InvalidProducerEpoch(_) => ResponseError::InvalidProducerEpoch,
            AppendError::InvalidTransactionState(_) => ResponseError::InvalidTxnState,
            AppendError::CoordinatorFenced(_) => ResponseError::TransactionCoordinatorFenced,
            AppendError::LargerThanSegment { .. } => ResponseError::RecordListTooLarge,
            AppendError::Storage(_) => ResponseError::KafkaStorageError,
        },
    }
}

pub fn of_change(error: &ChangeError) -> Error {
    match error {
        ChangeError::Storage(_) => ResponseError::KafkaStorageError,
        ChangeError::Stopped => ResponseError::CoordinatorNotAvailable,
    }
}

pub fn of_group(error: GroupError) -> Error {
    match error {
        GroupError::CoordinatorNotAvailable => ResponseError::CoordinatorNotAvailable,
        GroupError::NotCoordinator => ResponseError::NotCoordinator,
        GroupError::InvalidGroupId => ResponseError::InvalidGroupId,
        GroupError::UnknownMemberId => ResponseError::UnknownMemberId,
        GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
        GroupError::InconsistentGroupProtocol => ResponseError::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
        GroupError::RebalanceInProgress => ResponseError::RebalanceInProgress,
        GroupError::MemberIdRequired => ResponseError::MemberIdRequired,
        GroupError::GroupMaxSizeReached => ResponseError::GroupMaxSizeReached,
        GroupError::FencedInstanceId => ResponseError::FencedInstanceId,
        GroupError::GroupIdNotFound => ResponseError::GroupIdNotFound,
        GroupError::NonEmptyGroup => ResponseError::NonEmptyGroup,
        GroupError::GroupSubscribedToTopic => ResponseError::GroupSubscribedToTopic,
        GroupError::OffsetMetadataTooLarge => ResponseError::OffsetMetadataTooLarge,
        GroupError::UnknownTopicOrPartition => ResponseError::UnknownTopicOrPartition,
        GroupError::UnknownTopicId => ResponseError::UnknownTopicId,
        GroupError::FencedMemberEpoch => ResponseError::FencedMemberEpoch,
        GroupError::StaleMemberEpoch => ResponseError::StaleMemberEpoch,
        GroupError::InvalidRegularExpression => ResponseError::Unknown(INVALID_REGULAR_EXPRESSION),
        GroupError::InvalidRequest => ResponseError::InvalidRequest,
        GroupError::UnreleasedInstanceId => ResponseError::UnreleasedInstanceId,
        GroupError::UnsupportedAssignor => ResponseError::UnsupportedAssignor,
        GroupError::UnsupportedVersion => ResponseError::UnsupportedVersion,
        GroupError::UnknownServerError => ResponseError::UnknownServerError,
        GroupError::InvalidProducerEpoch => ResponseError::InvalidProducerEpoch,
    }
}

pub fn of_transaction(error: TransactionError) -> Error {
    match error {
        TransactionError::CoordinatorNotAvailable => ResponseError::CoordinatorNotAvailable,
        TransactionError::NotCoordinator => ResponseError::NotCoordinator,
        TransactionError::InvalidRequest => ResponseError::InvalidRequest,
        TransactionError::InvalidTransactionTimeout => ResponseError::InvalidTransactionTimeout,
        TransactionError::InvalidProducerIdMapping => ResponseError::InvalidProducerIdMapping,
        TransactionError::InvalidTxnState => ResponseError::InvalidTxnState,
        TransactionError::ProducerFenced => ResponseError::ProducerFenced,
        TransactionError::ConcurrentTransactions => ResponseError::ConcurrentTransactions,
        TransactionError::TransactionalIdNotFound => ResponseError::TransactionalIdNotFound,
        TransactionError::TransactionAbortable => ResponseError::TransactionAbortable,
    }
}

/// The same for a client that does not know PRODUCER_FENCED: INVALID_PRODUCER_EPOCH does that for it.
pub fn of_transaction_for(error: TransactionError, knows_fenced: bool) -> Error {
    match error {
        TransactionError::ProducerFenced if !knows_fenced => ResponseError::InvalidProducerEpoch,
        other => of_transaction(other),
    }
}

/// Kafka's check of a leader epoch that a client claims to know; -1 claims nothing.
pub fn check_leader_epoch(claimed: i32, current: i32) -> Option<Error> {
    match claimed {
        -1 => None,
        claimed if claimed < current => Some(ResponseError::FencedLeaderEpoch),
        claimed if claimed > current => Some(ResponseError::UnknownLeaderEpoch),
        _ => None,
    }
}
