//! One shard: the groups and offsets of one partition of `__consumer_offsets`, as operations over plain state.

mod admin;
mod consumer;
mod effects;
mod offsets;
mod transactions;

use std::collections::HashMap;

use super::GroupError;
use super::classic::{ClassicGroup, JoinRequest, JoinResponse, Leaving, SyncRequest, SyncResponse};
use super::consumer as kip848;
use super::offsets::{GroupOffsets, tombstone};
use super::records::GroupRecord;
use super::timers::{MemberTimer, TimerKey, Timers};
use crate::base::ProducerId;
pub use admin::{DescribedGroup, DescribedMember, GroupListing};
pub use effects::{Effects, Environment, Parked};
pub use transactions::PendingOffsets;

/// A group by its protocol.
#[derive(Debug)]
enum Group {
    Classic(ClassicGroup),
    Consumer(kip848::ConsumerGroup),
}

impl Group {
    fn is_empty(&self) -> bool {
        match self {
            Group::Classic(group) => group.is_empty(),
            Group::Consumer(group) => group.is_empty(),
        }
    }
}

/// The state that records add up to, and the soft state around it.
#[derive(Debug, Default)]
pub struct Shard {
    groups: HashMap<String, Group>,
    offsets: HashMap<String, GroupOffsets>,
    pending: PendingOffsets,
    /// Timers of members of consumer groups.
    deadlines: HashMap<(String, String, MemberTimer), consumer::MemberDeadline>,
    pub timers: Timers,
}

impl Shard {
    pub fn join(
        &mut self,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) {
        let refused = |error| JoinResponse::error(&request.member_id, error);
        if request.group.is_empty() {
            return effects.answer(parked, refused(GroupError::InvalidGroupId));
        }
        let bounds = env.limits.session_timeout_min_ms..=env.limits.session_timeout_max_ms;
        if !bounds.contains(&request.session_timeout_ms) {
            return effects.answer(parked, refused(GroupError::InvalidSessionTimeout));
        }
        if let Some(Group::Consumer(group)) = self.groups.get(&request.group) {
            if !group.is_empty() {
                return self.join_consumer_group(request, parked, env, effects);
            }
            // An empty group follows whoever comes first.
            if request.member_id.is_empty() {
                self.delete_consumer_group(&request.group, effects);
            }
        }
        if !matches!(self.groups.get(&request.group), Some(Group::Classic(_))) {
            if !request.member_id.is_empty() {
                return effects.answer(parked, refused(GroupError::UnknownMemberId));
            }
            let group = ClassicGroup::new(&request.group, effects.wall_ms);
            effects.records.push(group.record());
            self.groups.insert(request.group.clone(), Group::Classic(group));
        }
        if let Some(Group::Classic(group)) = self.groups.get_mut(&request.group) {
            group.join(request, parked, env.now_ms, env.limits, effects);
        }
    }

    pub fn sync(
        &mut self,
        request: &SyncRequest,
        parked: Parked<SyncResponse>,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) {
        let refused = if request.group.is_empty() { GroupError::InvalidGroupId } else { GroupError::UnknownMemberId };
        match self.groups.get_mut(&request.group) {
            Some(Group::Classic(group)) if !request.group.is_empty() => {
                group.sync(request, parked, env.now_ms, effects);
            }
            Some(Group::Consumer(_)) => self.sync_consumer_group(request, parked, env, effects),
            _ => effects.answer(parked, SyncResponse::error(refused)),
        }
    }

    pub fn heartbeat(
        &mut self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Result<(), GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        match self.groups.get_mut(group) {
            None => Err(GroupError::UnknownMemberId),
            Some(Group::Classic(group)) => group.heartbeat(member_id, instance_id, generation, env.now_ms, effects),
            Some(Group::Consumer(_)) => {
                self.heartbeat_consumer_group(group, member_id, instance_id, generation, env, effects)
            }
        }
    }

    /// One result for each who leaves.
    pub fn leave(
        &mut self,
        group: &str,
        leaving: &[Leaving],
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        match self.groups.get_mut(group) {
            None => Ok(vec![Err(GroupError::UnknownMemberId); leaving.len()]),
            Some(Group::Classic(group)) => Ok(group.leave(leaving, env.now_ms, env.limits, effects)),
            Some(Group::Consumer(_)) => self.leave_consumer_group(group, leaving, env, effects),
        }
    }

    /// Whatever a timer is for.
    pub fn timer_fired(&mut self, key: TimerKey, env: &Environment<'_>, effects: &mut Effects) {
        let (now_ms, limits) = (env.now_ms, env.limits);
        match key {
            TimerKey::Session { group, member } => {
                if let Some(Group::Classic(group)) = self.groups.get_mut(&group) {
                    group.session_ended(&member, now_ms, limits, effects);
                }
            }
            TimerKey::Join { group } => {
                if let Some(Group::Classic(group)) = self.groups.get_mut(&group) {
                    group.join_timed_out(now_ms, limits, effects);
                }
            }
            TimerKey::Sync { group } => {
                if let Some(Group::Classic(group)) = self.groups.get_mut(&group) {
                    group.sync_timed_out(now_ms, limits, effects);
                }
            }
            TimerKey::Member { group, member, kind } => self.member_timer_fired((group, member, kind), env, effects),
            TimerKey::Expiry => {
                self.expire(limits, effects);
                effects.arm(now_ms.saturating_add(limits.offsets_check_interval_ms), TimerKey::Expiry);
            }
        }
    }

    /// Applies a record that was appended: the only way in which offsets and consumer groups change. Classic groups have
    /// changed before.
    pub fn replay(&mut self, record: &GroupRecord, offset: i64, transaction: Option<ProducerId>) {
        match record {
            GroupRecord::Offset { .. } => self.replay_offset(record, offset, transaction),
            GroupRecord::Consumer { group, change } => self.replay_consumer(group, change),
            GroupRecord::ClassicGroup { .. } => {}
        }
    }

    /// Applies a record of the log while the shard is loaded.
    pub fn load(&mut self, record: GroupRecord, offset: i64, transaction: Option<ProducerId>) {
        match record {
            GroupRecord::ClassicGroup { group, value: Some(value) } => {
                self.groups.insert(group.clone(), Group::Classic(ClassicGroup::load(&group, value)));
            }
            GroupRecord::ClassicGroup { group, value: None } => {
                // After an upgrade the group goes on as one of the new protocol.
                if matches!(self.groups.get(&group), Some(Group::Classic(_))) {
                    self.groups.remove(&group);
                }
            }
            other => self.replay(&other, offset, transaction),
        }
    }

    /// After the last record: offsets of topics that are gone go too, members get a new session. A group of which there
    /// is nothing but offsets is one that nobody has joined.
    pub fn loaded(&mut self, env: &Environment<'_>, effects: &mut Effects) {
        for (group, committed) in &self.offsets {
            for (topic, partitions) in committed.topics().filter(|(topic, _)| env.topics.topic(topic).is_none()) {
                effects.records.extend(partitions.keys().map(|partition| tombstone(group, topic, *partition)));
            }
            if !self.groups.contains_key(group) {
                self.groups.insert(group.clone(), Group::Classic(ClassicGroup::new(group, effects.wall_ms)));
            }
        }
        for (group, topic, partition) in self.pending.iter().filter(|(_, topic, _)| env.topics.topic(topic).is_none()) {
            effects.records.push(tombstone(group, topic, partition));
        }
        for group in self.pending.groups() {
            if !self.groups.contains_key(group) {
                self.groups.insert(group.to_owned(), Group::Classic(ClassicGroup::new(group, effects.wall_ms)));
            }
        }
        let ids: Vec<String> = self.groups.keys().cloned().collect();
        for id in ids {
            match self.groups.get_mut(&id) {
                Some(Group::Classic(group)) => group.begin_sessions(env.now_ms, effects),
                _ => self.begin_consumer_timers(&id, env, effects),
            }
        }
        effects.arm(env.now_ms.saturating_add(env.limits.offsets_check_interval_ms), TimerKey::Expiry);
    }
}
