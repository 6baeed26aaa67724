//! Consumer groups of KIP-848: epochs, target assignments, reconciliation, and classic members among them.
//!
//! Owns [`ConsumerGroup`] and its records. Requests ([`heartbeat`], [`classic`]) read the group and return an
//! [`Outcome`]; [`ConsumerGroup::replay`] alone changes what is durable. Never appends, arms a timer or reads a clock
//! itself: the coordinator's runtime does, as the effects say.

pub mod classic;
pub mod describe;
pub mod effect;
pub mod embedded;
pub mod error;
pub mod heartbeat;
mod leave;
pub mod member;
pub mod migrate;
pub mod offsets;
mod reconcile;
pub mod records;
mod replay;
pub mod subscription;
mod target;
mod validate;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use effect::{Effect, Outcome, Timer};
pub use error::Refusal;
pub use heartbeat::{HeartbeatRequest, HeartbeatResponse, heartbeat};
pub use leave::{fence, rebalance_timeout_expired, timers_after_load};
pub use member::{Member, MemberState};
pub use records::{Change, ResolvedRegex};
pub use subscription::TopicView;
pub use validate::validate;

use crate::base::TopicId;
use crate::coordinator::assignor::Assignment;

/// Which ways groups move between the protocols (`group.consumer.migration.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationPolicy {
    pub upgrade: bool,
    pub downgrade: bool,
}

/// The configuration that applies to one group: the broker's, with the group's own (resource type 32) over it.
#[derive(Clone, Debug)]
pub struct Limits {
    pub members_max: usize,
    pub classic_members_max: usize,
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    pub regex_refresh_ms: i64,
    /// Names that a member may ask for, the default first.
    pub assignors: Vec<String>,
    pub migration: MigrationPolicy,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            members_max: i32::MAX as usize,
            classic_members_max: i32::MAX as usize,
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            regex_refresh_ms: 600_000,
            assignors: vec!["uniform".into(), "range".into()],
            migration: MigrationPolicy { upgrade: true, downgrade: true },
        }
    }
}

/// What a request is handled against.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    pub topics: &'a dyn TopicView,
    pub limits: &'a Limits,
    pub now_ms: i64,
}

impl Moment<'_> {
    fn after(&self, ms: i32) -> i64 {
        self.now_ms + i64::from(ms)
    }
}

/// Kafka's names, as ListGroups and ConsumerGroupDescribe have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    Empty,
    /// The target assignment is older than the group's epoch.
    Assigning,
    /// Some member is not at its target.
    Reconciling,
    Stable,
}

impl GroupState {
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::Assigning => "Assigning",
            GroupState::Reconciling => "Reconciling",
            GroupState::Stable => "Stable",
        }
    }
}

/// One group. Durable state changes by [`ConsumerGroup::replay`] only.
#[derive(Debug)]
pub struct ConsumerGroup {
    id: String,
    /// 0 in a group that has no record yet.
    epoch: i32,
    metadata_hash: i64,
    /// Group epoch that the target was made for; -1 once it is deleted.
    target_epoch: i32,
    target: BTreeMap<String, Assignment>,
    members: BTreeMap<Arc<str>, Member>,
    /// Member ids by instance id.
    static_members: HashMap<String, Arc<str>>,
    /// Who holds a partition, assigned or still to be revoked.
    holders: HashMap<(TopicId, i32), Arc<str>>,
    resolved: BTreeMap<String, ResolvedRegex>,
    /// A record of type 4, which Kafka before 4.1 wrote, is there and wants its tombstone.
    has_partition_metadata: bool,
    seen: Seen,
}

/// Soft state: what was last compared with the topics. Lost by a restart, which compares once more.
#[derive(Debug, Default)]
struct Seen {
    /// Version of the topics, and the group epoch after the comparison.
    metadata: Option<(u64, i32)>,
    /// Version of the topics that the expressions were resolved against.
    regexes: Option<u64>,
}

impl ConsumerGroup {
    /// A group without records.
    pub fn new(id: &str) -> ConsumerGroup {
        ConsumerGroup {
            id: id.into(),
            epoch: 0,
            metadata_hash: 0,
            target_epoch: 0,
            target: BTreeMap::new(),
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            holders: HashMap::new(),
            resolved: BTreeMap::new(),
            has_partition_metadata: false,
            seen: Seen::default(),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub fn static_member(&self, instance_id: &str) -> Option<&Member> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    pub fn target(&self, member_id: &str) -> Option<&Assignment> {
        self.target.get(member_id)
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.target_epoch {
            GroupState::Assigning
        } else if self.members.values().all(|m| m.is_reconciled_to(self.target_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// Whether a partition is held by nobody.
    fn is_free(&self, topic: TopicId, partition: i32) -> bool {
        !self.holders.contains_key(&(topic, partition))
    }

    fn classic_members(&self) -> usize {
        self.members.values().filter(|m| m.uses_classic_protocol()).count()
    }
}

#[cfg(test)]
mod tests;
