//! From our errors to Kafka's codes: one exhaustive match an error type.

use kafka_protocol::error::ResponseError;

use crate::log::AppendError;
use crate::record::Rejection;
use crate::topic::{ChangeError, PartitionError};

pub use kafka_protocol::error::ResponseError as Error;

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

pub fn of_partition(error: &PartitionError) -> Error {
    match error {
        PartitionError::Deleted => ResponseError::UnknownTopicOrPartition,
        PartitionError::Storage(_) => ResponseError::KafkaStorageError,
        PartitionError::OffsetOutOfRange { .. } => ResponseError::OffsetOutOfRange,
        PartitionError::Append(error) => match error {
            AppendError::OutOfOrderSequence(_) => ResponseError::OutOfOrderSequenceNumber,
            AppendError::InvalidProducerEpoch(_) => ResponseError::InvalidProducerEpoch,
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

/// Kafka's check of a leader epoch that a client claims to know; -1 claims nothing.
pub fn check_leader_epoch(claimed: i32, current: i32) -> Option<Error> {
    match claimed {
        -1 => None,
        claimed if claimed < current => Some(ResponseError::FencedLeaderEpoch),
        claimed if claimed > current => Some(ResponseError::UnknownLeaderEpoch),
        _ => None,
    }
}
