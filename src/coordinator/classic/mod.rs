//! The classic group protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup): one group as a state machine.
//!
//! Operations change the group and leave what must happen in [`Effects`]: records to append, parked requests to answer,
//! timers to arm. Kafka's `ClassicGroup` and the classic half of its `GroupMetadataManager`, split by phase.

mod join;
mod leave;
mod member;
mod migrate;
mod rebalance;
mod sync;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use indexmap::IndexMap;

use super::GroupError;
use super::records::{ClassicGroupValue, ClassicMemberValue, GroupRecord};
use super::shard::Effects;
use super::timers::TimerKey;
pub use join::{JoinRequest, JoinResponse};
pub use leave::Leaving;
pub use member::Member;
pub use sync::{SyncRequest, SyncResponse};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassicState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl ClassicState {
    /// As ListGroups and DescribeGroups spell it.
    pub fn name(self) -> &'static str {
        match self {
            ClassicState::Empty => "Empty",
            ClassicState::PreparingRebalance => "PreparingRebalance",
            ClassicState::CompletingRebalance => "CompletingRebalance",
            ClassicState::Stable => "Stable",
        }
    }
}

/// One group. `Dead` groups are removed at once.
#[derive(Debug)]
pub struct ClassicGroup {
    pub id: String,
    state: ClassicState,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    /// Topics that the generation subscribes to, if it is one of consumers and they can be read.
    subscribed: Option<HashSet<String>>,
    members: IndexMap<String, Member>,
    /// Member ids by instance id (KIP-345).
    static_members: HashMap<String, String>,
    /// Ids that were given out and have not joined yet (KIP-394), with the end of their time.
    pending: HashMap<String, i64>,
    /// Members of this generation that have not synced yet.
    pending_sync: HashSet<String>,
    /// Wall clock of the last change of state.
    state_timestamp: i64,
    join_deadline: Option<i64>,
    sync_deadline: Option<i64>,
    /// During the initial delay: how much of it may still be added, and whether somebody came meanwhile.
    initial_delay_left_ms: Option<i64>,
    new_member_joined: bool,
}

/// Limits from the broker's configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub session_timeout_min_ms: i32,
    pub session_timeout_max_ms: i32,
    pub size_max: usize,
    pub initial_rebalance_delay_ms: i64,
    pub offset_metadata_units_max: usize,
    pub offsets_retention_ms: i64,
    pub offsets_check_interval_ms: i64,
}

impl ClassicGroup {
    pub fn new(id: &str, now_ms: i64) -> ClassicGroup {
        ClassicGroup {
            id: id.to_owned(),
            state: ClassicState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            subscribed: None,
            members: IndexMap::new(),
            static_members: HashMap::new(),
            pending: HashMap::new(),
            pending_sync: HashSet::new(),
            state_timestamp: now_ms,
            join_deadline: None,
            sync_deadline: None,
            initial_delay_left_ms: None,
            new_member_joined: false,
        }
    }

    /// The group as a record tells of it. Its members get a new session from whoever loads it.
    pub fn load(id: &str, value: ClassicGroupValue) -> ClassicGroup {
        let mut group = ClassicGroup::new(id, value.state_timestamp);
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type).filter(|t| !t.is_empty());
        group.protocol = value.protocol.clone();
        group.leader = value.leader;
        group.state = if value.members.is_empty() { ClassicState::Empty } else { ClassicState::Stable };
        for member in value.members {
            if let Some(instance) = &member.instance_id {
                group.static_members.insert(instance.clone(), member.member_id.clone());
            }
            let protocol = value.protocol.clone().unwrap_or_default();
            group.members.insert(member.member_id.clone(), Member::load(member, protocol));
        }
        group.find_subscribed();
        group
    }

    pub fn state(&self) -> ClassicState {
        self.state
    }

    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn is_empty(&self) -> bool {
        self.state == ClassicState::Empty
    }

    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub fn state_timestamp(&self) -> i64 {
        self.state_timestamp
    }

    /// Whether a member of the generation subscribes to the topic, as far as that is known: of a group of consumers whose
    /// subscriptions cannot be read, or that has no generation yet, every topic is.
    pub fn subscribes_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer_group(),
        }
    }

    /// Kafka's `ClassicGroup.computeSubscribedTopics`, once a generation.
    fn find_subscribed(&mut self) {
        let protocol = self.protocol.as_deref();
        let topics = self.members.values().map(|m| member::subscribed_topics(m.metadata(protocol.unwrap_or_default())));
        self.subscribed = match self.is_consumer_group() {
            true => topics.collect::<Option<Vec<_>>>().map(|topics| topics.into_iter().flatten().collect()),
            false => None,
        };
    }

    pub fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }

    /// Whether the member exists and the instance id is still its own.
    pub fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance) = instance_id {
            match self.static_members.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(owner) if owner != member_id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    /// Kafka's `ClassicGroup.validateOffsetCommit`.
    pub fn check_commit(&self, member_id: &str, instance_id: Option<&str>, generation: i32) -> Result<(), GroupError> {
        // From outside of the group, whoever it claims to be: only while nobody is in it.
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(GroupError::UnknownMemberId);
        }
        self.check_committer(member_id, instance_id, generation)?;
        if self.state == ClassicState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// The same for TxnOffsetCommit: its older versions name neither member nor generation.
    pub fn check_transactional_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if generation < 0 && (self.is_empty() || (member_id.is_empty() && instance_id.is_none())) {
            return Ok(());
        }
        self.check_committer(member_id, instance_id, generation)
    }

    fn check_committer(&self, member_id: &str, instance_id: Option<&str>, generation: i32) -> Result<(), GroupError> {
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        Ok(())
    }

    /// A sign of life of a member: its session begins anew.
    pub fn heard_of(&mut self, member_id: &str, now_ms: i64, effects: &mut Effects) {
        let group = self.id.clone();
        if let Some(member) = self.members.get_mut(member_id) {
            let timeout = i64::from(member.session_timeout_ms);
            member.begin_session(&group, now_ms + timeout, effects);
        }
    }

    /// Heartbeat: whether the member is in the current generation, and whether it must join again.
    pub fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now_ms: i64,
        effects: &mut Effects,
    ) -> Result<(), GroupError> {
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if self.is_empty() {
            return Err(GroupError::UnknownMemberId);
        }
        self.heard_of(member_id, now_ms, effects);
        match self.state {
            ClassicState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// All sessions begin anew: the group was loaded after a restart.
    pub fn begin_sessions(&mut self, now_ms: i64, effects: &mut Effects) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.heard_of(&id, now_ms, effects);
        }
    }

    /// A session timer of a member, or of a pending one, has run out.
    pub fn session_ended(&mut self, member_id: &str, now_ms: i64, limits: &Limits, effects: &mut Effects) {
        if let Some(deadline) = self.pending.get(member_id).copied() {
            if deadline <= now_ms {
                self.pending.remove(member_id);
                self.complete_join_if_all_are_here(now_ms, effects);
            } else {
                effects.arm(deadline, TimerKey::Session { group: self.id.clone(), member: member_id.to_owned() });
            }
            return;
        }
        let group = self.id.clone();
        let Some(member) = self.members.get_mut(member_id) else { return };
        if !member.session_timer_fired(&group, now_ms, effects) {
            return;
        }
        tracing::info!(group, member = member_id, "a member's session has ended");
        self.remove_member(member_id, effects);
        self.rebalance_after_removal(now_ms, limits, effects);
    }

    /// The record that stands for the group as it is.
    pub fn record(&self) -> GroupRecord {
        let protocol = self.protocol.clone();
        let members = self
            .members
            .values()
            .map(|m| ClassicMemberValue {
                member_id: m.id.clone(),
                instance_id: m.instance_id.clone(),
                client_id: m.client_id.clone(),
                client_host: m.client_host.clone(),
                rebalance_timeout_ms: m.rebalance_timeout_ms,
                session_timeout_ms: m.session_timeout_ms,
                subscription: protocol.as_deref().map(|p| m.metadata(p).clone()).unwrap_or_default(),
                assignment: m.assignment.clone(),
            })
            .collect();
        GroupRecord::ClassicGroup {
            group: self.id.clone(),
            value: Some(ClassicGroupValue {
                protocol_type: self.protocol_type.clone().unwrap_or_default(),
                generation: self.generation,
                protocol,
                leader: self.leader.clone(),
                state_timestamp: self.state_timestamp,
                members,
            }),
        }
    }

    fn enter(&mut self, state: ClassicState, wall_ms: i64) {
        self.state = state;
        self.state_timestamp = wall_ms;
    }

    fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|m| i64::from(m.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Forgets a member. Whatever it waits for is answered with UNKNOWN_MEMBER_ID.
    fn remove_member(&mut self, member_id: &str, effects: &mut Effects) {
        let Some(mut member) = self.members.shift_remove(member_id) else { return };
        member.answer_join(JoinResponse::error("", GroupError::UnknownMemberId), effects);
        member.answer_sync(SyncResponse::error(GroupError::UnknownMemberId), effects);
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance).is_some_and(|owner| owner == member_id)
        {
            self.static_members.remove(instance);
        }
        self.pending_sync.remove(member_id);
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Members with their subscriptions, as the leader is told.
    fn subscriptions(&self) -> Vec<(String, Option<String>, Bytes)> {
        let Some(protocol) = &self.protocol else { return Vec::new() };
        self.members.values().map(|m| (m.id.clone(), m.instance_id.clone(), m.metadata(protocol).clone())).collect()
    }
}

#[cfg(test)]
mod tests;
