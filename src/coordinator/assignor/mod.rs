//! Server-side assignors: who of a group gets which partitions (KIP-848, `group.consumer.assignors`).
//!
//! Pure functions of the specification: the same input gives the same assignment in every run, so that a restart or a
//! replay never moves a partition. They know nothing of epochs: `consumer::reconcile` brings members to the target.

mod mixed;
mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::TopicId;

pub use range::Range;
pub use uniform::Uniform;

/// Partitions by topic. A topic without partitions is never in it.
pub type Assignment = BTreeMap<TopicId, BTreeSet<i32>>;

/// One member as an assignor sees it.
#[derive(Clone, Debug, Default)]
pub struct MemberSpec {
    pub instance_id: Option<String>,
    /// Existing topics only.
    pub topics: Arc<BTreeSet<TopicId>>,
    /// What the member has in the current target.
    pub assigned: Assignment,
}

/// A group as an assignor sees it.
#[derive(Clone, Debug, Default)]
pub struct GroupSpec {
    pub members: BTreeMap<String, MemberSpec>,
    /// Partition counts of every topic that a member names.
    pub partitions: BTreeMap<TopicId, i32>,
}

impl GroupSpec {
    fn partition_count(&self, topic: &TopicId) -> i32 {
        self.partitions.get(topic).copied().unwrap_or(0)
    }

    /// Whether all members subscribe to the same topics.
    fn is_homogeneous(&self) -> bool {
        let mut topics = self.members.values().map(|m| &m.topics);
        let Some(first) = topics.next() else { return true };
        topics.all(|t| Arc::ptr_eq(t, first) || t == first)
    }
}

pub trait Assignor: Sync {
    /// As clients name it in `ServerAssignor`.
    fn name(&self) -> &'static str;

    /// Assigns every partition of every subscribed topic to exactly one of its subscribers. Members without any
    /// partition may be absent from the result.
    fn assign(&self, spec: &GroupSpec) -> BTreeMap<String, Assignment>;
}

/// Every assignor there is; the first is the default, as in Kafka.
pub const ASSIGNORS: &[&dyn Assignor] = &[&Uniform, &Range];

pub fn by_name(name: &str) -> Option<&'static dyn Assignor> {
    ASSIGNORS.iter().copied().find(|a| a.name() == name)
}

/// Adds one partition.
pub fn add(assignment: &mut Assignment, topic: TopicId, partition: i32) {
    assignment.entry(topic).or_default().insert(partition);
}

#[cfg(test)]
mod tests;
