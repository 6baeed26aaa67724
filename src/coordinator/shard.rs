//! One shard: the groups and offsets of one partition of `__consumer_offsets`, as operations over plain state.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::GroupError;
use super::classic::{
    ClassicGroup, ClassicState, JoinRequest, JoinResponse, Leaving, Limits, SyncRequest, SyncResponse,
};
use super::offsets::{self, Commit, CommittedOffset, GroupOffsets, OffsetCommitRequest};
use super::records::GroupRecord;
use super::runtime::Done;
use super::timers::{TimerKey, Timers};
use crate::wal::Ticket;

/// A request that waits for its answer.
pub type Parked<R> = oneshot::Sender<Done<R>>;

type Answer = Box<dyn FnOnce(Option<Arc<Ticket>>) + Send>;

/// What an operation leaves to be done: records first, then, once they are committed, the answers.
pub struct Effects {
    pub wall_ms: i64,
    pub records: Vec<GroupRecord>,
    answers: Vec<Answer>,
    armed: Vec<(i64, TimerKey)>,
}

impl Effects {
    pub fn new(wall_ms: i64) -> Effects {
        Effects { wall_ms, records: Vec::new(), answers: Vec::new(), armed: Vec::new() }
    }

    pub fn answer<R: Send + 'static>(&mut self, parked: Parked<R>, response: R) {
        self.answers.push(Box::new(move |durable| {
            // Whoever asked may be gone.
            let _ = parked.send(Done { response, durable });
        }));
    }

    pub fn arm(&mut self, deadline_ms: i64, key: TimerKey) {
        self.armed.push((deadline_ms, key));
    }

    pub fn take_armed(&mut self) -> Vec<(i64, TimerKey)> {
        std::mem::take(&mut self.armed)
    }

    /// Sends every answer; each waits for the ticket before it leaves the broker.
    pub fn send_answers(self, durable: Option<&Arc<Ticket>>) {
        for answer in self.answers {
            answer(durable.cloned());
        }
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects").field("records", &self.records).field("armed", &self.armed).finish_non_exhaustive()
    }
}

/// What a shard may ask about topics.
pub trait TopicNames {
    /// Whether offsets committed at `commit_timestamp` can be this topic's: it is there, and was then.
    fn is_current(&self, topic: &str, commit_timestamp: i64) -> bool;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl GroupState {
    /// As ListGroups and DescribeGroups spell it.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
        }
    }
}

impl From<ClassicState> for GroupState {
    fn from(state: ClassicState) -> GroupState {
        match state {
            ClassicState::Empty => GroupState::Empty,
            ClassicState::PreparingRebalance => GroupState::PreparingRebalance,
            ClassicState::CompletingRebalance => GroupState::CompletingRebalance,
            ClassicState::Stable => GroupState::Stable,
        }
    }
}

/// One row of ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub group: String,
    pub protocol_type: String,
    pub state: GroupState,
}

/// One group of DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    pub state: GroupState,
    pub protocol_type: String,
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

/// The state that records add up to, and the soft state around it.
#[derive(Debug, Default)]
pub struct Shard {
    groups: HashMap<String, ClassicGroup>,
    offsets: HashMap<String, GroupOffsets>,
    pub timers: Timers,
}

impl Shard {
    pub fn join(
        &mut self,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) {
        let refused = |error| JoinResponse::error(&request.member_id, error);
        if request.group.is_empty() {
            return effects.answer(parked, refused(GroupError::InvalidGroupId));
        }
        let bounds = limits.session_timeout_min_ms..=limits.session_timeout_max_ms;
        if !bounds.contains(&request.session_timeout_ms) {
            return effects.answer(parked, refused(GroupError::InvalidSessionTimeout));
        }
        if !self.groups.contains_key(&request.group) {
            if !request.member_id.is_empty() {
                return effects.answer(parked, refused(GroupError::UnknownMemberId));
            }
            let group = ClassicGroup::new(&request.group, effects.wall_ms);
            effects.records.push(group.record());
            self.groups.insert(request.group.clone(), group);
        }
        let group = self.groups.get_mut(&request.group).expect("there, or made just now");
        group.join(request, parked, now_ms, limits, effects);
    }

    pub fn sync(&mut self, request: &SyncRequest, parked: Parked<SyncResponse>, now_ms: i64, effects: &mut Effects) {
        let refused = if request.group.is_empty() { GroupError::InvalidGroupId } else { GroupError::UnknownMemberId };
        match self.groups.get_mut(&request.group) {
            Some(group) if !request.group.is_empty() => group.sync(request, parked, now_ms, effects),
            _ => effects.answer(parked, SyncResponse::error(refused)),
        }
    }

    pub fn heartbeat(
        &mut self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now_ms: i64,
        effects: &mut Effects,
    ) -> Result<(), GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let group = self.groups.get_mut(group).ok_or(GroupError::UnknownMemberId)?;
        group.heartbeat(member_id, instance_id, generation, now_ms, effects)
    }

    /// One result for each who leaves.
    pub fn leave(
        &mut self,
        group: &str,
        leaving: &[Leaving],
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let Some(group) = self.groups.get_mut(group) else {
            return Ok(vec![Err(GroupError::UnknownMemberId); leaving.len()]);
        };
        Ok(leaving.iter().map(|one| group.leave(one, now_ms, limits, effects)).collect())
    }

    /// One result for each partition, or why nothing is committed at all.
    pub fn commit(
        &mut self,
        request: &OffsetCommitRequest,
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.groups.get_mut(&request.group) {
            Some(group) => {
                group.check_commit(&request.member_id, request.instance_id.as_deref(), request.generation)?;
                if matches!(group.state(), ClassicState::Stable | ClassicState::PreparingRebalance) {
                    group.heard_of(&request.member_id, now_ms, effects);
                }
            }
            None if request.generation < 0 => {
                self.groups.insert(request.group.clone(), ClassicGroup::new(&request.group, effects.wall_ms));
            }
            None if request.version >= 9 => return Err(GroupError::GroupIdNotFound),
            None => return Err(GroupError::IllegalGeneration),
        }
        let results = request
            .commits
            .iter()
            .map(|commit: &Commit| {
                // Kafka counts the units of a Java string.
                if commit.metadata.encode_utf16().count() > limits.offset_metadata_units_max {
                    return Err(GroupError::OffsetMetadataTooLarge);
                }
                effects.records.push(offsets::record_of(&request.group, commit, effects.wall_ms, request.retention_ms));
                Ok(())
            })
            .collect();
        Ok(results)
    }

    pub fn committed(&self, group: &str) -> Option<&GroupOffsets> {
        self.offsets.get(group)
    }

    pub fn describe(&self, group: &str) -> Option<DescribedGroup> {
        let group = self.groups.get(group)?;
        let stable = group.state() == ClassicState::Stable;
        let protocol = if stable { group.protocol() } else { None };
        Some(DescribedGroup {
            state: group.state().into(),
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: group
                .members()
                .map(|m| DescribedMember {
                    member_id: m.id.clone(),
                    instance_id: m.instance_id.clone(),
                    client_id: m.client_id.clone(),
                    client_host: m.client_host.clone(),
                    metadata: protocol.map(|p| m.metadata(p).clone()).unwrap_or_default(),
                    assignment: m.assignment.clone(),
                })
                .collect(),
        })
    }

    pub fn list(&self) -> impl Iterator<Item = GroupListing> {
        self.groups.values().map(|group| GroupListing {
            group: group.id.clone(),
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            state: group.state().into(),
        })
    }

    pub fn delete(&mut self, group: &str, effects: &mut Effects) -> Result<(), GroupError> {
        let found = self.groups.get(group).ok_or(GroupError::GroupIdNotFound)?;
        if !found.is_empty() {
            return Err(GroupError::NonEmptyGroup);
        }
        self.delete_with_offsets(group, effects);
        Ok(())
    }

    fn delete_with_offsets(&mut self, group: &str, effects: &mut Effects) {
        for (topic, partition) in self.offsets.get(group).into_iter().flat_map(|o| o.keys()) {
            effects.records.push(offsets::tombstone(group, topic, *partition));
        }
        effects.records.push(GroupRecord::ClassicGroup { group: group.to_owned(), value: None });
        self.groups.remove(group);
    }

    /// One result for each partition, or why none is deleted.
    pub fn delete_offsets(
        &mut self,
        group: &str,
        partitions: &[(String, i32)],
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let found = self.groups.get(group).ok_or(GroupError::GroupIdNotFound)?;
        if !found.is_empty() && !found.is_consumer_group() {
            return Err(GroupError::NonEmptyGroup);
        }
        let committed = self.offsets.get(group);
        let results = partitions
            .iter()
            .map(|(topic, partition)| {
                if !found.is_empty() && found.subscribes_to(topic) {
                    return Err(GroupError::GroupSubscribedToTopic);
                }
                if committed.is_some_and(|o| o.contains_key(&(topic.clone(), *partition))) {
                    effects.records.push(offsets::tombstone(group, topic, *partition));
                }
                Ok(())
            })
            .collect();
        Ok(results)
    }

    /// Forgets what was committed for a topic that is gone.
    pub fn topic_deleted(&mut self, topic: &str, effects: &mut Effects) {
        for (group, committed) in &self.offsets {
            for (of, partition) in committed.keys().filter(|(t, _)| t == topic) {
                effects.records.push(offsets::tombstone(group, of, *partition));
            }
        }
    }

    /// Whatever a timer is for.
    pub fn timer_fired(&mut self, key: TimerKey, now_ms: i64, limits: &Limits, effects: &mut Effects) {
        match key {
            TimerKey::Session { group, member } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.session_ended(&member, now_ms, limits, effects);
                }
            }
            TimerKey::Join { group } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.join_timed_out(now_ms, limits, effects);
                }
            }
            TimerKey::Sync { group } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.sync_timed_out(now_ms, limits, effects);
                }
            }
            TimerKey::Expiry => {
                self.expire(limits, effects);
                effects.arm(now_ms + limits.offsets_check_interval_ms, TimerKey::Expiry);
            }
        }
    }

    /// Offsets past their retention, and groups that are left with nothing.
    fn expire(&mut self, limits: &Limits, effects: &mut Effects) {
        let mut gone = Vec::new();
        for (id, group) in &self.groups {
            let committed = self.offsets.get(id);
            let mut left = 0;
            for ((topic, partition), offset) in committed.into_iter().flatten() {
                if is_expired(group, topic, offset, effects.wall_ms, limits.offsets_retention_ms) {
                    effects.records.push(offsets::tombstone(id, topic, *partition));
                } else {
                    left += 1;
                }
            }
            if left == 0 && group.is_empty() && !group.has_pending() {
                gone.push(id.clone());
            }
        }
        for id in gone {
            effects.records.push(GroupRecord::ClassicGroup { group: id.clone(), value: None });
            self.groups.remove(&id);
        }
    }

    /// Applies an offset record: the only way in which offsets change. A group of which there is nothing but offsets is
    /// one nobody has joined.
    pub fn replay_offset(&mut self, record: &GroupRecord) {
        let GroupRecord::Offset { group, topic, partition, value } = record else { return };
        let key = (topic.clone(), *partition);
        match value {
            Some(value) => {
                self.offsets.entry(group.clone()).or_default().insert(key, value.clone().into());
            }
            None => {
                if let Some(committed) = self.offsets.get_mut(group) {
                    committed.remove(&key);
                    if committed.is_empty() {
                        self.offsets.remove(group);
                    }
                }
            }
        }
    }

    /// Applies a record of the log while the shard is loaded.
    pub fn load(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::Offset { .. } => self.replay_offset(&record),
            GroupRecord::ClassicGroup { group, value: Some(value) } => {
                self.groups.insert(group.clone(), ClassicGroup::load(&group, value));
            }
            GroupRecord::ClassicGroup { group, value: None } => {
                self.groups.remove(&group);
            }
        }
    }

    /// After the last record: offsets of topics that are gone go too, members get a new session.
    pub fn loaded(&mut self, topics: &dyn TopicNames, now_ms: i64, limits: &Limits, effects: &mut Effects) {
        for (group, committed) in &self.offsets {
            for ((topic, partition), offset) in committed {
                if !topics.is_current(topic, offset.commit_timestamp) {
                    effects.records.push(offsets::tombstone(group, topic, *partition));
                }
            }
            if !self.groups.contains_key(group) {
                self.groups.insert(group.clone(), ClassicGroup::new(group, effects.wall_ms));
            }
        }
        for group in self.groups.values_mut() {
            group.begin_sessions(now_ms, effects);
        }
        effects.arm(now_ms + limits.offsets_check_interval_ms, TimerKey::Expiry);
    }
}

/// Kafka's `OffsetExpirationConditionImpl`, for classic groups.
fn is_expired(group: &ClassicGroup, topic: &str, offset: &CommittedOffset, wall_ms: i64, retention_ms: i64) -> bool {
    let base = if group.protocol_type().is_none() {
        offset.commit_timestamp
    } else if group.is_empty() {
        group.state_timestamp().max(offset.commit_timestamp)
    } else if group.is_consumer_group() && group.state() == ClassicState::Stable && !group.subscribes_to(topic) {
        offset.commit_timestamp
    } else {
        return false;
    };
    if offset.expire_timestamp != offsets::NO_EXPIRY {
        return wall_ms >= offset.expire_timestamp;
    }
    wall_ms - base >= retention_ms
}
