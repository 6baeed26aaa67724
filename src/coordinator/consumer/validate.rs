//! Checks of a heartbeat that need no group.

use super::Limits;
use super::error::{GroupError, Refusal};
use super::heartbeat::HeartbeatRequest;
use super::member::{JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH};

/// Checks a request as it came; `version` is the API version. Up to version 0 a joining member may leave its id empty:
/// the caller makes one up after this.
///
/// Errors: INVALID_REQUEST, UNSUPPORTED_ASSIGNOR.
pub fn validate(group_id: &str, request: &HeartbeatRequest, version: i16, limits: &Limits) -> Result<(), Refusal> {
    let epoch = request.member_epoch;
    if version >= 1 || epoch > 0 || epoch == LEAVE_EPOCH {
        not_blank(Some(&request.member_id), "MemberId can't be empty.")?;
    }
    not_blank(Some(group_id), "GroupId can't be empty.")?;
    not_blank(request.instance_id.as_deref(), "InstanceId can't be empty.")?;
    not_blank(request.rack_id.as_deref(), "RackId can't be empty.")?;
    if epoch == JOIN_EPOCH {
        require(request.rebalance_timeout_ms != -1, "RebalanceTimeoutMs must be provided in first request.")?;
        let owns_nothing = request.owned.as_ref().is_some_and(|owned| owned.is_empty());
        require(owns_nothing, "TopicPartitions must be empty when (re-)joining.")?;
        require(
            request.subscribed_topics.is_some() || request.subscribed_regex.is_some(),
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        )?;
    } else if epoch == STATIC_LEAVE_EPOCH {
        require(request.instance_id.is_some(), "InstanceId can't be null.")?;
    } else {
        require(epoch > STATIC_LEAVE_EPOCH, "MemberEpoch is invalid.")?;
    }
    match &request.server_assignor {
        Some(name) if !limits.assignors.contains(name) => {
            let known = limits.assignors.join(", ");
            let message = format!("ServerAssignor {name} is not supported. Supported assignors: {known}.");
            Err(Refusal::new(GroupError::UnsupportedAssignor, message))
        }
        _ => Ok(()),
    }
}

fn require(holds: bool, message: &str) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::new(GroupError::InvalidRequest, message)) }
}

fn not_blank(text: Option<&str>, message: &str) -> Result<(), Refusal> {
    require(text.is_none_or(|t| !t.trim().is_empty()), message)
}
