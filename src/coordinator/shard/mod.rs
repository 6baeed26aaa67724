//! One shard: the groups and offsets of one partition of `__consumer_offsets`, as operations over plain state.

mod consumer;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::GroupError;
use super::classic::{
    ClassicGroup, ClassicState, JoinRequest, JoinResponse, Leaving, Limits, SyncRequest, SyncResponse,
};
use super::consumer as kip848;
use super::offsets::{self, Commit, CommittedOffset, GroupOffsets, OffsetCommitRequest};
use super::records::GroupRecord;
use super::runtime::Done;
use super::timers::{MemberTimer, TimerKey, Timers};
use crate::wal::Ticket;

/// A request that waits for its answer.
pub type Parked<R> = oneshot::Sender<Done<R>>;

type Answer = Box<dyn FnOnce(Option<Arc<Ticket>>) + Send>;

/// What an operation leaves to be done: records first, then, once they are committed, the answers.
pub struct Effects {
    pub wall_ms: i64,
    pub records: Vec<GroupRecord>,
    /// Groups whose regular expressions are to be resolved next.
    pub resolve: Vec<String>,
    answers: Vec<Answer>,
    armed: Vec<(i64, TimerKey)>,
}

impl Effects {
    pub fn new(wall_ms: i64) -> Effects {
        Effects { wall_ms, records: Vec::new(), resolve: Vec::new(), answers: Vec::new(), armed: Vec::new() }
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

/// What an operation may look at besides the shard.
pub struct Environment<'a> {
    /// On the clock of timers.
    pub now_ms: i64,
    pub limits: &'a Limits,
    pub topics: &'a dyn Topics,
    /// The limits of one consumer group: the broker's, with the group's own configuration over them.
    pub limits_of: &'a dyn Fn(&str) -> kip848::Limits,
}

impl Environment<'_> {
    fn consumer_limits(&self, group: &str) -> kip848::Limits {
        (self.limits_of)(group)
    }

    /// Consumer groups count in wall-clock time, which some of their records carry.
    fn moment<'a>(&'a self, limits: &'a kip848::Limits, effects: &Effects) -> kip848::Moment<'a> {
        kip848::Moment { topics: self.topics, limits, now_ms: effects.wall_ms }
    }
}

/// What a shard may ask about topics.
pub trait Topics: kip848::TopicView {
    /// Whether offsets committed at `commit_timestamp` can be this topic's: it is there, and was then.
    fn is_current(&self, topic: &str, commit_timestamp: i64) -> bool;
}

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
    pub state: &'static str,
    pub group_type: &'static str,
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
    groups: HashMap<String, Group>,
    offsets: HashMap<String, GroupOffsets>,
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
            Some(Group::Classic(group)) => {
                Ok(leaving.iter().map(|one| group.leave(one, env.now_ms, env.limits, effects)).collect())
            }
            Some(Group::Consumer(_)) => self.leave_consumer_group(group, leaving, env, effects),
        }
    }

    /// One result for each partition, or why nothing is committed at all.
    pub fn commit(
        &mut self,
        request: &OffsetCommitRequest,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.groups.get_mut(&request.group) {
            Some(Group::Classic(group)) => {
                group.check_commit(&request.member_id, request.instance_id.as_deref(), request.generation)?;
                if matches!(group.state(), ClassicState::Stable | ClassicState::PreparingRebalance) {
                    group.heard_of(&request.member_id, env.now_ms, effects);
                }
            }
            Some(Group::Consumer(group)) => {
                let committer = kip848::offsets::Committer {
                    member_id: &request.member_id,
                    instance_id: request.instance_id.as_deref(),
                    epoch: request.generation,
                    transactional: false,
                    api_version: request.version,
                };
                group.may_commit(&committer).map_err(|e| e.name)?;
            }
            None if request.generation < 0 => {
                let group = ClassicGroup::new(&request.group, effects.wall_ms);
                self.groups.insert(request.group.clone(), Group::Classic(group));
            }
            None if request.version >= 9 => return Err(GroupError::GroupIdNotFound),
            None => return Err(GroupError::IllegalGeneration),
        }
        let results = request
            .commits
            .iter()
            .map(|commit: &Commit| {
                // Kafka counts the units of a Java string.
                if commit.metadata.encode_utf16().count() > env.limits.offset_metadata_units_max {
                    return Err(GroupError::OffsetMetadataTooLarge);
                }
                effects.records.push(offsets::record_of(request, commit, effects.wall_ms));
                Ok(())
            })
            .collect();
        Ok(results)
    }

    /// Whether this member may ask what the group has committed (OffsetFetch v9 and later).
    pub fn may_fetch(&self, group: &str, member_id: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        match self.groups.get(group) {
            Some(Group::Consumer(group)) => Ok(group.may_fetch(member_id, epoch).map_err(|e| e.name)?),
            _ => Ok(()),
        }
    }

    pub fn committed(&self, group: &str) -> Option<&GroupOffsets> {
        self.offsets.get(group)
    }

    /// The type of a group, "classic" or "consumer"; `None` if there is none of that name.
    pub fn group_type(&self, group: &str) -> Option<&'static str> {
        self.groups.get(group).map(|group| match group {
            Group::Classic(_) => "classic",
            Group::Consumer(_) => "consumer",
        })
    }

    /// A classic group; one of the new protocol is unknown here, as in Kafka.
    pub fn describe(&self, group: &str) -> Option<DescribedGroup> {
        let Group::Classic(group) = self.groups.get(group)? else { return None };
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
        self.groups.iter().map(|(id, group)| match group {
            Group::Classic(group) => GroupListing {
                group: id.clone(),
                protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
                state: GroupState::from(group.state()).name(),
                group_type: "classic",
            },
            Group::Consumer(group) => GroupListing {
                group: id.clone(),
                protocol_type: kip848::migrate::PROTOCOL_TYPE.to_owned(),
                state: group.state().name(),
                group_type: "consumer",
            },
        })
    }

    pub fn delete(&mut self, group: &str, effects: &mut Effects) -> Result<(), GroupError> {
        let found = self.groups.get(group).ok_or(GroupError::GroupIdNotFound)?;
        if !found.is_empty() {
            return Err(GroupError::NonEmptyGroup);
        }
        for (topic, partition) in self.offsets.get(group).into_iter().flat_map(|o| o.keys()) {
            effects.records.push(offsets::tombstone(group, topic, *partition));
        }
        self.delete_group(group, effects);
        Ok(())
    }

    fn delete_group(&mut self, group: &str, effects: &mut Effects) {
        match self.groups.get(group) {
            Some(Group::Consumer(_)) => self.delete_consumer_group(group, effects),
            Some(Group::Classic(_)) => {
                effects.records.push(GroupRecord::ClassicGroup { group: group.to_owned(), value: None });
                self.groups.remove(group);
            }
            None => {}
        }
    }

    fn delete_consumer_group(&mut self, group: &str, effects: &mut Effects) {
        let Some(Group::Consumer(found)) = self.groups.remove(group) else { return };
        let mut changes = Vec::new();
        kip848::migrate::group_tombstones(&found, None, &mut changes);
        let record = |change| GroupRecord::Consumer { group: group.to_owned(), change };
        effects.records.extend(changes.into_iter().map(record));
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
        if let Group::Classic(classic) = found
            && !classic.is_empty()
            && !classic.is_consumer_group()
        {
            return Err(GroupError::NonEmptyGroup);
        }
        let subscribes = |topic: &str| match found {
            Group::Classic(group) => !group.is_empty() && group.subscribes_to(topic),
            Group::Consumer(group) => group.is_subscribed_to(topic),
        };
        let committed = self.offsets.get(group);
        let results = partitions
            .iter()
            .map(|(topic, partition)| {
                if subscribes(topic) {
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
            let pending = matches!(group, Group::Classic(group) if group.has_pending());
            if left == 0 && group.is_empty() && !pending {
                gone.push(id.clone());
            }
        }
        for id in gone {
            self.delete_group(&id, effects);
        }
    }

    /// Applies a record that was appended: the only way in which offsets and consumer groups change. Classic groups have
    /// changed before.
    pub fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { .. } => self.replay_offset(record),
            GroupRecord::Consumer { group, change } => self.replay_consumer(group, change),
            GroupRecord::ClassicGroup { .. } => {}
        }
    }

    fn replay_offset(&mut self, record: &GroupRecord) {
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
            GroupRecord::ClassicGroup { group, value: Some(value) } => {
                self.groups.insert(group.clone(), Group::Classic(ClassicGroup::load(&group, value)));
            }
            GroupRecord::ClassicGroup { group, value: None } => {
                // After an upgrade the group goes on as one of the new protocol.
                if matches!(self.groups.get(&group), Some(Group::Classic(_))) {
                    self.groups.remove(&group);
                }
            }
            other => self.replay(&other),
        }
    }

    /// After the last record: offsets of topics that are gone go too, members get a new session. A group of which there
    /// is nothing but offsets is one that nobody has joined.
    pub fn loaded(&mut self, env: &Environment<'_>, effects: &mut Effects) {
        for (group, committed) in &self.offsets {
            for ((topic, partition), offset) in committed {
                if !env.topics.is_current(topic, offset.commit_timestamp) {
                    effects.records.push(offsets::tombstone(group, topic, *partition));
                }
            }
            if !self.groups.contains_key(group) {
                self.groups.insert(group.clone(), Group::Classic(ClassicGroup::new(group, effects.wall_ms)));
            }
        }
        let ids: Vec<String> = self.groups.keys().cloned().collect();
        for id in ids {
            match self.groups.get_mut(&id) {
                Some(Group::Classic(group)) => group.begin_sessions(env.now_ms, effects),
                _ => self.begin_consumer_timers(&id, env, effects),
            }
        }
        effects.arm(env.now_ms + env.limits.offsets_check_interval_ms, TimerKey::Expiry);
    }
}

/// Kafka's `OffsetExpirationConditionImpl`, .
fn is_expired(group: &Group, topic: &str, offset: &CommittedOffset, wall_ms: i64, retention_ms: i64) -> bool {
    let base = match group {
        Group::Consumer(group) if group.is_subscribed_to(topic) => return false,
        Group::Consumer(_) => offset.commit_timestamp,
        Group::Classic(group) => match retention_base(group, topic, offset) {
            Some(base) => base,
            None => return false,
        },
    };
    if offset.expire_timestamp != offsets::NO_EXPIRY {
        return wall_ms >= offset.expire_timestamp;
    }
    wall_ms - base >= retention_ms
}

/// From when on the offsets of a classic group are no longer needed; `None` while they are.
fn retention_base(group: &ClassicGroup, topic: &str, offset: &CommittedOffset) -> Option<i64> {
    if group.protocol_type().is_none() {
        Some(offset.commit_timestamp)
    } else if group.is_empty() {
        Some(group.state_timestamp().max(offset.commit_timestamp))
    } else if group.is_consumer_group() && group.state() == ClassicState::Stable && !group.subscribes_to(topic) {
        Some(offset.commit_timestamp)
    } else {
        None
    }
}
