//! The only place where a group's durable state changes.

use std::collections::HashMap;
use std::sync::Arc;

use super::ConsumerGroup;
use super::member::{LEAVE_EPOCH, Member, MemberState};
use super::records::{Change, CurrentAssignment, MemberMetadata};
use crate::base::TopicId;
use crate::coordinator::assignor::Assignment;

impl ConsumerGroup {
    /// Applies one committed record, in the order of the log. After a compaction some of a member's records may be
    /// missing; whatever remains is applied.
    pub fn replay(&mut self, change: &Change) {
        match change {
            Change::Group(Some(group)) => {
                self.epoch = group.epoch;
                self.metadata_hash = group.metadata_hash;
            }
            // The runtime drops the whole group.
            Change::Group(None) => {}
            Change::PartitionMetadata { exists } => self.has_partition_metadata = *exists,
            Change::Member { member_id, value: Some(metadata) } => self.replay_member(member_id, metadata),
            Change::Member { member_id, value: None } => self.remove(member_id),
            Change::TargetEpoch(epoch) => self.target_epoch = epoch.unwrap_or(-1),
            Change::TargetMember { member_id, value: Some(assignment) } => {
                self.target.insert(member_id.clone(), assignment.clone());
            }
            Change::TargetMember { member_id, value: None } => {
                self.target.remove(member_id);
            }
            Change::CurrentAssignment { member_id, value } => self.replay_current(member_id, value.as_ref()),
            Change::Regex { regex, value: Some(resolved) } => {
                self.resolved.insert(regex.clone(), resolved.clone());
            }
            Change::Regex { regex, value: None } => {
                self.resolved.remove(regex);
            }
        }
    }

    fn replay_member(&mut self, member_id: &str, metadata: &MemberMetadata) {
        let mut member = self.members.get(member_id).cloned().unwrap_or_else(|| Member::new(member_id));
        metadata.apply_to(&mut member);
        self.put(member);
    }

    fn replay_current(&mut self, member_id: &str, current: Option<&CurrentAssignment>) {
        let known = self.members.get(member_id).cloned();
        let member = match (known, current) {
            (known, Some(current)) => Member {
                epoch: current.epoch,
                previous_epoch: current.previous_epoch,
                state: MemberState::from_code(current.state),
                assigned: current.assigned.clone(),
                pending_revocation: current.pending_revocation.clone(),
                ..known.unwrap_or_else(|| Member::new(member_id))
            },
            (Some(known), None) => Member {
                epoch: LEAVE_EPOCH,
                previous_epoch: LEAVE_EPOCH,
                assigned: Assignment::new(),
                pending_revocation: Assignment::new(),
                ..known
            },
            (None, None) => return,
        };
        self.put(member);
    }

    fn put(&mut self, member: Member) {
        if let Some(old) = self.members.get(&member.id) {
            release(&mut self.holders, old);
        }
        for partition in member.held() {
            self.holders.insert(partition, member.id.clone());
        }
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    fn remove(&mut self, member_id: &str) {
        let Some(member) = self.members.remove(member_id) else { return };
        release(&mut self.holders, &member);
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance) == Some(&member.id)
        {
            self.static_members.remove(instance);
        }
    }
}

/// Frees what a member holds. A partition that has gone to another member meanwhile stays with that one.
fn release(holders: &mut HashMap<(TopicId, i32), Arc<str>>, member: &Member) {
    for partition in member.held() {
        if holders.get(&partition) == Some(&member.id) {
            holders.remove(&partition);
        }
    }
}
