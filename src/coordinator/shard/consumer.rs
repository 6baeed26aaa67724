//! Consumer groups (KIP-848) in a shard: between the pure state machine and the shard's records, timers and groups.

use bytes::Bytes;

use super::{Effects, Environment, Group, Parked, Shard};
use crate::base::TopicId;
use crate::coordinator::GroupError;
use crate::coordinator::classic::{ClassicGroup, JoinRequest, JoinResponse, Leaving, SyncRequest, SyncResponse};
use crate::coordinator::consumer::describe::DescribedGroup;
use crate::coordinator::consumer::member::{ClassicProtocol, JOIN_EPOCH};
use crate::coordinator::consumer::{
    self, Change, ConsumerGroup, Effect, HeartbeatRequest, HeartbeatResponse, Limits, Outcome, Timer, classic, migrate,
    subscription,
};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::timers::{MemberTimer, TimerKey};

/// A timer of a member: when, and what for. One entry waits for it among the shard's timers.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberDeadline {
    deadline_ms: i64,
    timer: Timer,
    /// When the waiting entry fires; it is moved if that is too early.
    armed_ms: i64,
}

/// A member that cannot be fenced now is later (Kafka tries again, too).
const FENCE_AGAIN_MS: i64 = 5_000;

fn kind(timer: Timer) -> MemberTimer {
    match timer {
        Timer::Session => MemberTimer::Session,
        Timer::Rebalance { .. } => MemberTimer::Rebalance,
        Timer::ClassicJoin => MemberTimer::ClassicJoin,
        Timer::ClassicSync => MemberTimer::ClassicSync,
    }
}

impl Shard {
    /// ConsumerGroupHeartbeat of a request that has passed `validate`.
    pub fn consumer_heartbeat(
        &mut self,
        group_id: &str,
        request: &HeartbeatRequest,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Result<HeartbeatResponse, consumer::Refusal> {
        let limits = env.consumer_limits(group_id);
        let at = env.moment(&limits, effects);
        if let Some(Group::Consumer(group)) = self.groups.get_mut(group_id) {
            let outcome = consumer::heartbeat(group, request, &at)?;
            return Ok(self.take(group_id, outcome, env, effects));
        }
        // A refused heartbeat leaves no group behind, and a classic one as it was.
        let (mut group, upgrade) = match self.groups.get(group_id) {
            Some(Group::Classic(_)) if request.member_epoch != JOIN_EPOCH => {
                let message = format!("Group {group_id} is not a consumer group.");
                return Err(consumer::Refusal::new(GroupError::GroupIdNotFound, message));
            }
            Some(Group::Classic(classic)) if !classic.is_empty() => {
                let upgraded = migrate::upgrade(group_id, &classic.snapshot(), &at)?;
                let upgrade = Outcome { records: upgraded.records, response: (), effects: upgraded.effects };
                (upgraded.group, Some(upgrade))
            }
            _ => (ConsumerGroup::new(group_id), None),
        };
        let outcome = consumer::heartbeat(&mut group, request, &at)?;
        if let Some(Group::Classic(mut classic)) = self.groups.insert(group_id.to_owned(), Group::Consumer(group)) {
            classic.give_way(effects);
            effects.records.push(GroupRecord::ClassicGroup { group: group_id.to_owned(), value: None });
        }
        if let Some(upgrade) = upgrade {
            self.take(group_id, upgrade, env, effects);
        }
        Ok(self.take(group_id, outcome, env, effects))
    }

    /// Turns an outcome into the shard's records and timers; answers its response.
    fn take<R>(&mut self, group_id: &str, outcome: Outcome<R>, env: &Environment<'_>, effects: &mut Effects) -> R {
        let records = outcome.records.into_iter();
        effects.records.extend(records.map(|change| GroupRecord::Consumer { group: group_id.to_owned(), change }));
        for effect in outcome.effects {
            self.take_effect(group_id, effect, env, effects);
        }
        outcome.response
    }

    fn take_effect(&mut self, group_id: &str, effect: Effect, env: &Environment<'_>, effects: &mut Effects) {
        let key = |member_id: &str, kind| (group_id.to_owned(), member_id.to_owned(), kind);
        match effect {
            Effect::Arm { member_id, timer, at_ms } => {
                let deadline = env.now_ms + (at_ms - effects.wall_ms);
                self.arm_member(key(&member_id, kind(timer)), timer, deadline, effects);
            }
            Effect::ArmIfAbsent { member_id, timer, at_ms } => {
                let key = key(&member_id, kind(timer));
                if !self.deadlines.contains_key(&key) {
                    self.arm_member(key, timer, env.now_ms + (at_ms - effects.wall_ms), effects);
                }
            }
            Effect::Cancel { member_id, timer } => {
                self.deadlines.remove(&key(&member_id, kind(timer)));
            }
            Effect::CancelAll { member_id } => {
                for kind in
                    [MemberTimer::Session, MemberTimer::Rebalance, MemberTimer::ClassicJoin, MemberTimer::ClassicSync]
                {
                    self.deadlines.remove(&key(&member_id, kind));
                }
            }
            Effect::ResolveRegexes => effects.resolve.push(group_id.to_owned()),
            Effect::BecomesClassic(snapshot) => {
                let mut group = ClassicGroup::from_snapshot(group_id, &snapshot, effects.wall_ms);
                effects.records.push(group.record());
                group.take_over(snapshot.rebalance, env.now_ms, env.limits, effects);
                self.groups.insert(group_id.to_owned(), Group::Classic(group));
            }
        }
    }

    fn arm_member(
        &mut self,
        key: (String, String, MemberTimer),
        timer: Timer,
        deadline_ms: i64,
        effects: &mut Effects,
    ) {
        let waiting = self.deadlines.get(&key).map(|d| d.armed_ms);
        let armed_ms = match waiting {
            Some(armed) if armed <= deadline_ms => armed,
            _ => {
                let (group, member, kind) = key.clone();
                effects.arm(deadline_ms, TimerKey::Member { group, member, kind });
                deadline_ms
            }
        };
        self.deadlines.insert(key, MemberDeadline { deadline_ms, timer, armed_ms });
    }

    /// A timer of a member fired: moved on if its deadline was, else the member is fenced.
    pub(super) fn member_timer_fired(
        &mut self,
        key: (String, String, MemberTimer),
        env: &Environment<'_>,
        effects: &mut Effects,
    ) {
        let Some(found) = self.deadlines.get(&key).copied() else { return };
        if found.deadline_ms > env.now_ms {
            self.deadlines.remove(&key);
            return self.arm_member(key, found.timer, found.deadline_ms, effects);
        }
        self.deadlines.remove(&key);
        let (group_id, member_id, _) = key;
        let limits = env.consumer_limits(&group_id);
        let at = env.moment(&limits, effects);
        let Some(Group::Consumer(group)) = self.groups.get(&group_id) else { return };
        let fenced = match found.timer {
            Timer::Rebalance { member_epoch } => {
                consumer::rebalance_timeout_expired(group, &member_id, member_epoch, &at)
            }
            _ => consumer::fence(group, &[&member_id], &at),
        };
        match fenced {
            Ok(outcome) => {
                if !outcome.records.is_empty() {
                    tracing::info!(group = group_id, member = member_id, timer = ?found.timer, "a member is fenced");
                }
                self.take(&group_id, outcome, env, effects);
            }
            Err(error) => {
                tracing::warn!(group = group_id, member = member_id, %error, "a member could not be fenced");
                let again = env.now_ms + FENCE_AGAIN_MS;
                self.arm_member((group_id, member_id, kind(found.timer)), found.timer, again, effects);
            }
        }
    }

    /// The next thing after a heartbeat that brought an expression, or after topics changed.
    pub fn resolve_regexes(&mut self, group_id: &str, env: &Environment<'_>, effects: &mut Effects) {
        let limits = env.consumer_limits(group_id);
        let at = env.moment(&limits, effects);
        if let Some(Group::Consumer(group)) = self.groups.get_mut(group_id) {
            let outcome = subscription::resolve_regexes(group, &at);
            self.take(group_id, outcome, env, effects);
        }
    }

    pub fn consumer_describe(&self, group_id: &str, env: &Environment<'_>) -> Option<DescribedGroup> {
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => {
                Some(consumer::describe::describe(group, env.topics, &env.consumer_limits(group_id)))
            }
            _ => None,
        }
    }

    /// JoinGroup of a classic client to a consumer group.
    pub(super) fn join_consumer_group(
        &mut self,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) {
        let limits = env.consumer_limits(&request.group);
        let at = env.moment(&limits, effects);
        let Some(Group::Consumer(group)) = self.groups.get_mut(&request.group) else { return };
        let asked = classic::JoinRequest {
            member_id: request.member_id.clone(),
            // As the new protocol names members: without the client id in front.
            new_member_id: TopicId::random().to_string(),
            requires_known_id: request.requires_member_id,
            instance_id: request.instance_id.clone(),
            protocol_type: request.protocol_type.clone(),
            protocols: request
                .protocols
                .iter()
                .map(|(name, metadata)| ClassicProtocol { name: name.clone(), metadata: metadata.to_vec() })
                .collect(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
        };
        let response = match classic::join(group, &asked, &at) {
            Ok(outcome) => {
                let joined = self.take(&request.group, outcome, env, effects);
                JoinResponse {
                    error: None,
                    generation: joined.generation,
                    protocol_type: Some(migrate::PROTOCOL_TYPE.to_owned()),
                    protocol: Some(joined.protocol_name),
                    leader: String::new(),
                    skip_assignment: false,
                    member_id: joined.member_id,
                    members: Vec::new(),
                }
            }
            Err(error) => {
                let id = match error.name {
                    GroupError::MemberIdRequired => &asked.new_member_id,
                    _ => &asked.member_id,
                };
                JoinResponse::error(id, error.name)
            }
        };
        effects.answer(parked, response);
    }

    pub(super) fn sync_consumer_group(
        &mut self,
        request: &SyncRequest,
        parked: Parked<SyncResponse>,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) {
        let limits = env.consumer_limits(&request.group);
        let at = env.moment(&limits, effects);
        let Some(Group::Consumer(group)) = self.groups.get(&request.group) else { return };
        let asked = classic::SyncRequest {
            member_id: request.member_id.clone(),
            instance_id: request.instance_id.clone(),
            generation: request.generation,
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol.clone(),
        };
        let first = group
            .member(&request.member_id)
            .and_then(|m| m.classic.as_ref())
            .and_then(|c| c.protocols.first())
            .map(|p| p.name.clone());
        let synced = classic::sync(group, &asked, &at);
        let result = synced.and_then(|outcome| self.take(&request.group, outcome, env, effects));
        let response = match result {
            Ok(assignment) => SyncResponse {
                error: None,
                protocol_type: Some(migrate::PROTOCOL_TYPE.to_owned()),
                protocol: first,
                assignment: Bytes::from(assignment),
            },
            Err(error) => SyncResponse::error(error.name),
        };
        effects.answer(parked, response);
    }

    pub(super) fn heartbeat_consumer_group(
        &mut self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Result<(), GroupError> {
        let limits = env.consumer_limits(group_id);
        let at = env.moment(&limits, effects);
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return Err(GroupError::UnknownMemberId) };
        let outcome = classic::heartbeat(group, member_id, instance_id, generation, &at).map_err(|e| e.name)?;
        match self.take(group_id, outcome, env, effects) {
            true => Err(GroupError::RebalanceInProgress),
            false => Ok(()),
        }
    }

    pub(super) fn leave_consumer_group(
        &mut self,
        group_id: &str,
        leaving: &[Leaving],
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let limits = env.consumer_limits(group_id);
        let at = env.moment(&limits, effects);
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return Err(GroupError::UnknownMemberId) };
        let leaving: Vec<classic::LeavingMember> = leaving
            .iter()
            .map(|l| classic::LeavingMember { member_id: l.member_id.clone(), instance_id: l.instance_id.clone() })
            .collect();
        let outcome = classic::leave(group, &leaving, &at).map_err(|e| e.name)?;
        let results = self.take(group_id, outcome, env, effects);
        Ok(results.into_iter().map(|r| r.map_err(|e| e.name)).collect())
    }

    /// Sessions and rebalances of a group that was loaded.
    pub(super) fn begin_consumer_timers(&mut self, group_id: &str, env: &Environment<'_>, effects: &mut Effects) {
        let limits: Limits = env.consumer_limits(group_id);
        let at = env.moment(&limits, effects);
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        for effect in consumer::timers_after_load(group, &at) {
            self.take_effect(group_id, effect, env, effects);
        }
    }

    /// Applies one record of a consumer group.
    pub(super) fn replay_consumer(&mut self, group_id: &str, change: &Change) {
        if change.deletes_group() {
            // After a downgrade the group is a classic one already.
            if matches!(self.groups.get(group_id), Some(Group::Consumer(_))) {
                self.groups.remove(group_id);
            }
            return;
        }
        let group =
            self.groups.entry(group_id.to_owned()).or_insert_with(|| Group::Consumer(ConsumerGroup::new(group_id)));
        if let Group::Consumer(group) = group {
            group.replay(change);
        }
    }
}
