//! Why a group request is refused, by Kafka's names.

use std::fmt;

use super::consumer::ErrorName;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupError {
    CoordinatorNotAvailable,
    NotCoordinator,
    InvalidGroupId,
    UnknownMemberId,
    IllegalGeneration,
    InconsistentGroupProtocol,
    InvalidSessionTimeout,
    RebalanceInProgress,
    MemberIdRequired,
    GroupMaxSizeReached,
    FencedInstanceId,
    GroupIdNotFound,
    NonEmptyGroup,
    GroupSubscribedToTopic,
    OffsetMetadataTooLarge,
    UnknownTopicOrPartition,
    FencedMemberEpoch,
    StaleMemberEpoch,
    InvalidRegularExpression,
    InvalidRequest,
    UnreleasedInstanceId,
    UnsupportedAssignor,
    UnsupportedVersion,
    UnknownServerError,
}

impl From<ErrorName> for GroupError {
    fn from(name: ErrorName) -> GroupError {
        match name {
            ErrorName::FencedInstanceId => GroupError::FencedInstanceId,
            ErrorName::FencedMemberEpoch => GroupError::FencedMemberEpoch,
            ErrorName::GroupIdNotFound => GroupError::GroupIdNotFound,
            ErrorName::GroupMaxSizeReached => GroupError::GroupMaxSizeReached,
            ErrorName::IllegalGeneration => GroupError::IllegalGeneration,
            ErrorName::InconsistentGroupProtocol => GroupError::InconsistentGroupProtocol,
            ErrorName::InvalidRegularExpression => GroupError::InvalidRegularExpression,
            ErrorName::InvalidRequest => GroupError::InvalidRequest,
            ErrorName::MemberIdRequired => GroupError::MemberIdRequired,
            ErrorName::NonEmptyGroup => GroupError::NonEmptyGroup,
            ErrorName::RebalanceInProgress => GroupError::RebalanceInProgress,
            ErrorName::StaleMemberEpoch => GroupError::StaleMemberEpoch,
            ErrorName::UnknownMemberId => GroupError::UnknownMemberId,
            ErrorName::UnknownServerError => GroupError::UnknownServerError,
            ErrorName::UnreleasedInstanceId => GroupError::UnreleasedInstanceId,
            ErrorName::UnsupportedAssignor => GroupError::UnsupportedAssignor,
            ErrorName::UnsupportedVersion => GroupError::UnsupportedVersion,
        }
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
