//! SyncGroup: the leader brings the assignment, everybody takes it along.

use std::collections::HashMap;

use bytes::Bytes;

use super::{ClassicGroup, ClassicState, Limits};
use crate::coordinator::GroupError;
use crate::coordinator::shard::{Effects, Parked};

#[derive(Clone, Debug)]
pub struct SyncRequest {
    pub group: String,
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    /// From v5 on what the member believes to be in; `None` is not checked.
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignments: HashMap<String, Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncResponse {
    pub error: Option<GroupError>,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

impl SyncResponse {
    pub fn error(error: GroupError) -> SyncResponse {
        SyncResponse { error: Some(error), protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

impl ClassicGroup {
    pub fn sync(&mut self, request: &SyncRequest, parked: Parked<SyncResponse>, now_ms: i64, effects: &mut Effects) {
        if let Err(error) = self.check_sync(request) {
            return effects.answer(parked, SyncResponse::error(error));
        }
        let id = &request.member_id;
        self.pending_sync.remove(id);
        match self.state {
            ClassicState::Empty => effects.answer(parked, SyncResponse::error(GroupError::UnknownMemberId)),
            ClassicState::PreparingRebalance => {
                effects.answer(parked, SyncResponse::error(GroupError::RebalanceInProgress));
            }
            ClassicState::CompletingRebalance => {
                if let Some(member) = self.members.get_mut(id) {
                    member.park_sync(parked);
                }
                if self.is_leader(id) {
                    self.assign(&request.assignments, now_ms, effects);
                }
            }
            ClassicState::Stable => {
                effects.answer(parked, self.assigned(&self.members[id].assignment));
                self.heard_of(id, now_ms, effects);
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |asked: &Option<String>, ours: &Option<String>| asked.is_some() && asked != ours;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// The leader's word: recorded, then told to all who wait for it.
    fn assign(&mut self, assignments: &HashMap<String, Bytes>, now_ms: i64, effects: &mut Effects) {
        for member in self.members.values_mut() {
            // Copied: a slice would keep the leader's whole request in memory.
            let assignment = assignments.get(&member.id).map(|a| Bytes::copy_from_slice(a));
            member.assignment = assignment.unwrap_or_default();
        }
        self.enter(ClassicState::Stable, effects.wall_ms);
        effects.records.push(self.record());
        let group = self.id.clone();
        let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
        for member in self.members.values_mut() {
            let response = SyncResponse {
                error: None,
                protocol_type: protocol_type.clone(),
                protocol: protocol.clone(),
                assignment: member.assignment.clone(),
            };
            member.answer_sync(response, effects);
            let timeout = i64::from(member.session_timeout_ms);
            member.begin_session(&group, now_ms + timeout, effects);
        }
    }

    fn assigned(&self, assignment: &Bytes) -> SyncResponse {
        SyncResponse {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: assignment.clone(),
        }
    }

    /// The sync timer has run out: whoever has not synced is out.
    pub fn sync_timed_out(&mut self, now_ms: i64, limits: &Limits, effects: &mut Effects) {
        if self.sync_deadline.is_none_or(|d| d > now_ms) {
            return;
        }
        self.sync_deadline = None;
        let in_generation = matches!(self.state, ClassicState::CompletingRebalance | ClassicState::Stable);
        if !in_generation || self.pending_sync.is_empty() {
            return;
        }
        let missing: Vec<String> = self.pending_sync.drain().collect();
        for id in missing {
            tracing::info!(group = self.id, member = id, "a member has not synced within its rebalance timeout");
            self.remove_member(&id, effects);
        }
        self.prepare_rebalance(now_ms, limits, effects);
    }
}
