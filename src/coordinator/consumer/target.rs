//! The target assignment of a group: what its assignor makes of its members at one group epoch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::member::Member;
use super::records::Change;
use super::subscription::{TopicView, topics_of};
use super::{ConsumerGroup, Limits, Moment};
use crate::base::TopicId;
use crate::coordinator::assignor::{self, Assignment, Assignor, GroupSpec, MemberSpec};

/// Computes the target for `epoch` with `updated` in the group, appends what changes of it, and returns the part of
/// `updated`. A static member that returns under another id takes over what its predecessor has.
pub(super) fn update_target(
    group: &ConsumerGroup,
    epoch: i32,
    updated: &Member,
    at: &Moment,
    records: &mut Vec<Change>,
) -> Assignment {
    let spec = specification(group, updated, at.topics);
    let mut assigned = assignor_of(group.members_with(updated), at.limits).assign(&spec);
    let mut own = Assignment::new();
    for id in spec.members.keys() {
        let assignment = assigned.remove(id).unwrap_or_default();
        if *id == *updated.id {
            own.clone_from(&assignment);
        }
        if group.target.get(id) != Some(&assignment) {
            records.push(Change::TargetMember { member_id: id.clone(), value: Some(assignment) });
        }
    }
    records.push(Change::TargetEpoch(Some(epoch)));
    own
}

/// Names and expression of a member.
type Subscribed<'a> = (&'a BTreeSet<String>, Option<&'a str>);

fn specification(group: &ConsumerGroup, updated: &Member, topics: &dyn TopicView) -> GroupSpec {
    // Members mostly subscribe to the same: they share one set.
    let mut sets: HashMap<Subscribed, Arc<BTreeSet<TopicId>>> = HashMap::new();
    let mut spec = GroupSpec::default();
    for member in group.members_with(updated) {
        let set = sets.entry((&member.subscribed_topics, member.regex())).or_insert_with(|| {
            let counts: BTreeMap<TopicId, i32> = topics_of(member, &group.resolved, topics).collect();
            let set = counts.keys().copied().collect();
            spec.partitions.extend(counts);
            Arc::new(set)
        });
        let assigned = group.target_of(&member.id, member.instance_id.as_deref()).cloned().unwrap_or_default();
        spec.members.insert(
            member.id.to_string(),
            MemberSpec { instance_id: member.instance_id.clone(), topics: set.clone(), assigned },
        );
    }
    spec
}

/// The assignor that most of these members name, of equally many the one configured first; the default if nobody names one.
fn assignor_of<'a>(members: impl Iterator<Item = &'a Member>, limits: &Limits) -> &'static dyn Assignor {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for name in members.filter_map(|m| m.server_assignor.as_deref()) {
        *votes.entry(name).or_default() += 1;
    }
    let known = || limits.assignors.iter().filter_map(|name| assignor::by_name(name));
    known()
        .rev()
        .filter(|a| votes.contains_key(a.name()))
        .max_by_key(|a| votes[a.name()])
        .or_else(|| known().next())
        .unwrap_or(assignor::ASSIGNORS[0])
}

impl ConsumerGroup {
    /// The target of a member, or of the static member that it takes the place of.
    pub(super) fn target_of(&self, member_id: &str, instance_id: Option<&str>) -> Option<&Assignment> {
        match instance_id {
            Some(instance) => self.target.get(&**self.static_members.get(instance)?),
            None => self.target.get(member_id),
        }
    }

    /// The assignor that describes the group.
    pub fn assignor_name(&self, limits: &Limits) -> &'static str {
        assignor_of(self.members.values(), limits).name()
    }
}
