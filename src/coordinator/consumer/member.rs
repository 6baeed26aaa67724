//! One member of a consumer group: what it subscribes to, its epoch, and what it has or must give up.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::TopicId;
use crate::coordinator::assignor::Assignment;

/// Epoch of a request to join, and of a member that has just been made.
pub const JOIN_EPOCH: i32 = 0;
/// Epoch of a request to leave for good.
pub const LEAVE_EPOCH: i32 = -1;
/// Epoch of a request of a static member to leave for a while, and of the member until it returns.
pub const STATIC_LEAVE_EPOCH: i32 = -2;

/// Where a member is on its way to the target assignment. The numbers are Kafka's, in records of type 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum MemberState {
    /// Has all of its target.
    Stable = 0,
    /// Must give up partitions before it may go on to the next epoch.
    UnrevokedPartitions = 1,
    /// Is at the target's epoch, but others still hold some of its partitions.
    UnreleasedPartitions = 2,
    /// Written by a later release.
    Unknown = 127,
}

impl MemberState {
    pub fn from_code(code: i8) -> MemberState {
        match code {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }
}

/// A protocol that a classic member offers, with its `ConsumerProtocol` subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicProtocol {
    pub name: String,
    pub metadata: Vec<u8>,
}

/// What is known of a member that uses the classic protocol inside a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMember {
    pub session_timeout_ms: i32,
    /// In the order of preference; the first is the one the member is told.
    pub protocols: Vec<ClassicProtocol>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: Arc<str>,
    pub epoch: i32,
    /// The epoch before the last bump: accepted from a member that missed the answer.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    /// -1 until the member has said it.
    pub rebalance_timeout_ms: i32,
    pub client_id: String,
    /// With a leading slash, as Kafka writes addresses.
    pub client_host: String,
    pub subscribed_topics: BTreeSet<String>,
    /// As the member gave it; "" and none mean no expression.
    pub subscribed_regex: Option<String>,
    pub server_assignor: Option<String>,
    /// What the member owns or may take now.
    pub assigned: Assignment,
    /// What it must give up, and still owns.
    pub pending_revocation: Assignment,
    pub classic: Option<ClassicMember>,
}

impl Member {
    pub fn new(id: &str) -> Member {
        Member {
            id: id.into(),
            epoch: JOIN_EPOCH,
            previous_epoch: -1,
            state: MemberState::Stable,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topics: BTreeSet::new(),
            subscribed_regex: Some(String::new()),
            server_assignor: None,
            assigned: Assignment::new(),
            pending_revocation: Assignment::new(),
            classic: None,
        }
    }

    /// The same static member under its new id: it keeps subscription and partitions and joins at epoch 0.
    pub fn returning_as(&self, id: &str) -> Member {
        Member { id: id.into(), epoch: JOIN_EPOCH, previous_epoch: 0, ..self.clone() }
    }

    pub fn uses_classic_protocol(&self) -> bool {
        self.classic.is_some()
    }

    /// The regular expression, if there is one.
    pub fn regex(&self) -> Option<&str> {
        self.subscribed_regex.as_deref().filter(|r| !r.is_empty())
    }

    /// Whether nothing is left to do at this target epoch.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// Every partition that nobody else may have now.
    pub fn held(&self) -> impl Iterator<Item = (TopicId, i32)> + '_ {
        self.assigned.iter().chain(&self.pending_revocation).flat_map(|(t, ps)| ps.iter().map(|p| (*t, *p)))
    }

    /// Moves to an epoch; the one left becomes the previous one, even if it is the same.
    pub(super) fn at_epoch(mut self, epoch: i32) -> Member {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
        self
    }
}
