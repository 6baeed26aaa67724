//! Brings one member from what it has to its target: it first gives up, then goes on to the target's epoch, then gets
//! what others have given up (KIP-848; Kafka's CurrentAssignmentBuilder).
//!
//! No partition is ever with two members: one that is held by another stays out of the assignment until it is free.

use std::collections::BTreeSet;

use super::error::{GroupError, Refusal};
use super::member::{Member, MemberState};
use crate::base::TopicId;
use crate::coordinator::assignor::Assignment;

/// What a reconciliation looks at.
pub(super) struct Goal<'a> {
    pub epoch: i32,
    pub target: &'a Assignment,
    /// Existing topics that the member subscribes to; everything else is given up, whatever an older target says.
    pub subscribed: BTreeSet<TopicId>,
    pub subscription_changed: bool,
    /// What the member says it owns; `None` if it did not say.
    pub owned: Option<&'a Assignment>,
    pub is_free: &'a dyn Fn(TopicId, i32) -> bool,
}

/// Errors: FENCED_MEMBER_EPOCH for a member in a state of a later release, unless it owns nothing.
pub(super) fn reconcile(member: &Member, goal: &Goal) -> Result<Member, Refusal> {
    match member.state {
        MemberState::Stable if member.epoch != goal.epoch => Ok(next(member, member.epoch, goal)),
        MemberState::Stable if goal.subscription_changed => Ok(narrow(member, goal)),
        MemberState::Stable => Ok(member.clone()),
        MemberState::UnrevokedPartitions if !owns_any(goal.owned, &member.pending_revocation) => {
            Ok(next(member, member.epoch, goal))
        }
        MemberState::UnrevokedPartitions if goal.subscription_changed => Ok(narrow(member, goal)),
        MemberState::UnrevokedPartitions => Ok(member.clone()),
        MemberState::UnreleasedPartitions => Ok(next(member, member.epoch, goal)),
        MemberState::Unknown if goal.owned.is_some_and(|owned| owned.is_empty()) => Ok(next(member, goal.epoch, goal)),
        MemberState::Unknown => Err(Refusal::new(
            GroupError::FencedMemberEpoch,
            "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.",
        )),
    }
}

/// Whether the member still owns any of `partitions`. One that did not say owns them.
fn owns_any(owned: Option<&Assignment>, partitions: &Assignment) -> bool {
    let Some(owned) = owned else { return true };
    partitions.iter().any(|(topic, ps)| owned.get(topic).is_some_and(|o| !o.is_disjoint(ps)))
}

/// A step towards the target.
fn next(member: &Member, epoch: i32, goal: &Goal) -> Member {
    let mut assigned = Assignment::new();
    let mut revoked = Assignment::new();
    let mut gained = Assignment::new();
    let mut waits = false;

    let topics: BTreeSet<&TopicId> = goal.target.keys().chain(member.assigned.keys()).collect();
    let nothing = BTreeSet::new();
    for topic in topics {
        let target = goal.target.get(topic).filter(|_| goal.subscribed.contains(topic)).unwrap_or(&nothing);
        let current = member.assigned.get(topic).unwrap_or(&nothing);
        insert(&mut assigned, topic, current.intersection(target).copied().collect());
        insert(&mut revoked, topic, current.difference(target).copied().collect());
        // What this member itself was about to give up is its own to take back.
        let own = member.pending_revocation.get(topic).unwrap_or(&nothing);
        let (free, held): (BTreeSet<i32>, BTreeSet<i32>) =
            target.difference(current).partition(|p| (goal.is_free)(*topic, **p) || own.contains(p));
        waits |= !held.is_empty();
        insert(&mut gained, topic, free);
    }

    if !revoked.is_empty() && owns_any(goal.owned, &revoked) {
        let state = MemberState::UnrevokedPartitions;
        return Member { state, assigned, pending_revocation: revoked, ..member.clone() }.at_epoch(epoch);
    }
    for (topic, partitions) in gained {
        assigned.entry(topic).or_default().extend(partitions);
    }
    let state = if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
    Member { state, assigned, pending_revocation: Assignment::new(), ..member.clone() }.at_epoch(goal.epoch)
}

/// Takes away what is not subscribed any more while the target still has it (an expression that is not resolved yet).
fn narrow(member: &Member, goal: &Goal) -> Member {
    let (assigned, gone): (Assignment, Assignment) =
        member.assigned.clone().into_iter().partition(|(topic, _)| goal.subscribed.contains(topic));
    if gone.is_empty() {
        return member.clone();
    }
    let mut revoked = member.pending_revocation.clone();
    for (topic, partitions) in gone {
        revoked.entry(topic).or_default().extend(partitions);
    }
    if owns_any(goal.owned, &revoked) {
        let state = MemberState::UnrevokedPartitions;
        return Member { state, assigned, pending_revocation: revoked, ..member.clone() };
    }
    Member { assigned, ..member.clone() }
}

fn insert(assignment: &mut Assignment, topic: &TopicId, partitions: BTreeSet<i32>) {
    if !partitions.is_empty() {
        assignment.insert(*topic, partitions);
    }
}
