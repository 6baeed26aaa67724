//! Why a group request is refused, by Kafka's names.

use std::fmt;

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
    UnknownTopicId,
    FencedMemberEpoch,
    StaleMemberEpoch,
    InvalidRegularExpression,
    InvalidRequest,
    UnreleasedInstanceId,
    UnsupportedAssignor,
    UnsupportedVersion,
    UnknownServerError,
    InvalidProducerEpoch,
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
