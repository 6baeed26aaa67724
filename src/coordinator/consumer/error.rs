//! Why a request was refused, by Kafka's error names. `api` maps them to codes.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorName {
    FencedInstanceId,
    FencedMemberEpoch,
    GroupIdNotFound,
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    InvalidRegularExpression,
    InvalidRequest,
    MemberIdRequired,
    NonEmptyGroup,
    RebalanceInProgress,
    StaleMemberEpoch,
    UnknownMemberId,
    UnknownServerError,
    UnreleasedInstanceId,
    UnsupportedAssignor,
    UnsupportedVersion,
}

/// A refusal. The message is Kafka's, where it reaches clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupError {
    pub name: ErrorName,
    pub message: String,
}

impl GroupError {
    pub fn new(name: ErrorName, message: impl Into<String>) -> GroupError {
        GroupError { name, message: message.into() }
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.name, self.message)
    }
}

impl std::error::Error for GroupError {}
