//! JoinGroup: who may join, and what that sets off.

use bytes::Bytes;

use super::{ClassicGroup, ClassicState, Limits, Member};
use crate::coordinator::GroupError;
use crate::coordinator::shard::{Effects, Parked};
use crate::coordinator::timers::TimerKey;

/// A member that has joined cannot send heartbeats before it is answered: it gets this long (Kafka's
/// `CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`).
const NEW_MEMBER_TIMEOUT_MS: i64 = 5 * 60 * 1000;

#[derive(Clone, Debug)]
pub struct JoinRequest {
    pub group: String,
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    pub protocols: Vec<(String, Bytes)>,
    /// Whether the client understands MEMBER_ID_REQUIRED (v4 and later).
    pub requires_member_id: bool,
    /// Whether the client can skip an assignment (v9 and later, KIP-814).
    pub can_skip_assignment: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinResponse {
    pub error: Option<GroupError>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    pub member_id: String,
    /// For the leader: id, instance id and subscription of every member.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

impl JoinResponse {
    pub fn error(member_id: &str, error: GroupError) -> JoinResponse {
        JoinResponse {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: Vec::new(),
        }
    }
}

/// Bytes of `-` and a UUID.
const ID_SUFFIX_BYTES: usize = 37;

/// As long as a record can say of it, however long the prefix is.
fn new_member_id(prefix: &str) -> String {
    let mut end = prefix.len().min(i16::MAX as usize - ID_SUFFIX_BYTES);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &prefix[..end], uuid::Uuid::new_v4())
}

impl ClassicGroup {
    /// Joins, or parks the request until the group has gathered. Refusals are answered at once.
    pub fn join(
        &mut self,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) {
        let refused = |error| JoinResponse::error(&request.member_id, error);
        if !self.accepts(&request.member_id, limits) {
            // Nobody's id: Kafka takes even that of an old member away.
            return effects.answer(parked, JoinResponse::error("", GroupError::GroupMaxSizeReached));
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return effects.answer(parked, refused(GroupError::InconsistentGroupProtocol));
        }
        if request.member_id.is_empty() {
            self.join_without_id(request, parked, now_ms, limits, effects);
        } else {
            self.join_with_id(request, parked, now_ms, limits, effects);
        }
    }

    fn join_without_id(
        &mut self,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) {
        let new_id = new_member_id(request.instance_id.as_deref().unwrap_or(&request.client_id));
        match &request.instance_id {
            Some(instance) if self.static_members.contains_key(instance) => {
                self.replace_static_member(&instance.clone(), &new_id, request, parked, now_ms, limits, effects);
            }
            None if request.requires_member_id => {
                let deadline = now_ms + i64::from(request.session_timeout_ms);
                self.pending.insert(new_id.clone(), deadline);
                effects.arm(deadline, TimerKey::Session { group: self.id.clone(), member: new_id.clone() });
                effects.answer(parked, JoinResponse::error(&new_id, GroupError::MemberIdRequired));
            }
            _ => self.add_member(&new_id, request, parked, now_ms, limits, effects),
        }
    }

    fn join_with_id(
        &mut self,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) {
        let id = &request.member_id;
        if self.pending.contains_key(id) && request.instance_id.is_none() {
            return self.add_member(id, request, parked, now_ms, limits, effects);
        }
        if let Err(error) = self.check_member(id, request.instance_id.as_deref()) {
            return effects.answer(parked, JoinResponse::error(id, error));
        }
        let same = self.members[id].protocols == request.protocols;
        match self.state {
            ClassicState::PreparingRebalance => {
                self.update_member(request, parked, now_ms, effects);
                self.complete_join_if_all_are_here(now_ms, effects);
            }
            // Asked again, since the answer was lost perhaps: the current generation once more.
            ClassicState::CompletingRebalance if same => {
                let members = if self.is_leader(id) { self.subscriptions() } else { Vec::new() };
                effects.answer(parked, self.joined(id, members));
            }
            ClassicState::Stable if same && !self.is_leader(id) => {
                effects.answer(parked, self.joined(id, Vec::new()));
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.update_member(request, parked, now_ms, effects);
                self.prepare_rebalance(now_ms, limits, effects);
            }
            ClassicState::Empty => effects.answer(parked, JoinResponse::error(id, GroupError::UnknownMemberId)),
        }
    }

    /// What a member of the current generation is told.
    pub(super) fn joined(&self, member_id: &str, members: Vec<(String, Option<String>, Bytes)>) -> JoinResponse {
        JoinResponse {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members,
        }
    }

    fn add_member(
        &mut self,
        id: &str,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) {
        self.pending.remove(id);
        let mut member = Member::new(id, request);
        member.park_join(parked);
        member.begin_session(&self.id, now_ms + NEW_MEMBER_TIMEOUT_MS, effects);
        if let Some(instance) = &request.instance_id {
            self.static_members.insert(instance.clone(), id.to_owned());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| id.to_owned());
        self.members.insert(id.to_owned(), member);
        self.new_member_joined = true;
        self.prepare_rebalance(now_ms, limits, effects);
    }

    pub(super) fn update_member(
        &mut self,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        now_ms: i64,
        effects: &mut Effects,
    ) {
        let group = self.id.clone();
        let Some(member) = self.members.get_mut(&request.member_id) else { return };
        member.protocols = request.protocols.clone();
        member.session_timeout_ms = request.session_timeout_ms;
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.park_join(parked);
        // One that was never answered keeps its longer time.
        if !member.is_new {
            member.begin_session(&group, now_ms + i64::from(request.session_timeout_ms), effects);
        }
    }

    /// A static member has come back as another process (KIP-345): the old one is fenced. In a stable group whose protocol
    /// would stay the same nothing else changes.
    #[expect(clippy::too_many_arguments, reason = "the request, who it is, and the surroundings of every operation")]
    fn replace_static_member(
        &mut self,
        instance: &str,
        new_id: &str,
        request: &JoinRequest,
        parked: Parked<JoinResponse>,
        now_ms: i64,
        limits: &Limits,
        effects: &mut Effects,
    ) {
        let leader_before = self.leader.clone().unwrap_or_default();
        let old_id = self.static_members.insert(instance.to_owned(), new_id.to_owned()).unwrap_or_default();
        let Some((at, _, mut member)) = self.members.shift_remove_full(&old_id) else {
            return self.add_member(new_id, request, parked, now_ms, limits, effects);
        };
        member.answer_join(JoinResponse::error(&old_id, GroupError::FencedInstanceId), effects);
        member.answer_sync(super::SyncResponse::error(GroupError::FencedInstanceId), effects);
        member.protocols = request.protocols.clone();
        member.id = new_id.to_owned();
        member.client_id = request.client_id.clone();
        member.client_host = request.client_host.clone();
        member.session_timeout_ms = request.session_timeout_ms;
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.rearm();
        member.begin_session(&self.id, now_ms + i64::from(request.session_timeout_ms), effects);
        self.members.shift_insert(at, new_id.to_owned(), member);
        if self.pending_sync.remove(&old_id) {
            self.pending_sync.insert(new_id.to_owned());
        }
        if self.is_leader(&old_id) {
            self.leader = Some(new_id.to_owned());
        }
        let stays = self.state == ClassicState::Stable && self.select_protocol() == self.protocol;
        if stays {
            effects.records.push(self.record());
            let is_leader = self.is_leader(new_id);
            let response = if request.can_skip_assignment {
                let members = if is_leader { self.subscriptions() } else { Vec::new() };
                JoinResponse { skip_assignment: is_leader, ..self.joined(new_id, members) }
            } else {
                // The leader's old id: a client that does not know KIP-814 must not take itself for the leader.
                JoinResponse { leader: leader_before, ..self.joined(new_id, Vec::new()) }
            };
            return effects.answer(parked, response);
        }
        if let Some(member) = self.members.get_mut(new_id) {
            member.park_join(parked);
        }
        match self.state {
            ClassicState::PreparingRebalance => self.complete_join_if_all_are_here(now_ms, effects),
            _ => self.prepare_rebalance(now_ms, limits, effects),
        }
    }

    /// Kafka's `acceptJoiningMember`: `group.max.size` holds, but for those who are in already.
    fn accepts(&self, member_id: &str, limits: &Limits) -> bool {
        match self.state {
            ClassicState::Empty => true,
            ClassicState::PreparingRebalance => {
                let awaiting = self.members.values().filter(|m| m.is_awaiting_join()).count();
                self.members.get(member_id).is_some_and(Member::is_awaiting_join) || awaiting < limits.size_max
            }
            _ => self.members.contains_key(member_id) || self.members.len() < limits.size_max,
        }
    }

    /// The first member brings type and protocols; the others must share the type and at least one protocol with all.
    fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(|(name, _)| self.all_support(name))
    }

    pub(super) fn all_support(&self, protocol: &str) -> bool {
        self.members.values().all(|m| m.protocols.iter().any(|(name, _)| name == protocol))
    }
}
