//! A classic group as plain values, for the move to a consumer group and back (KIP-848).

use bytes::Bytes;

use super::{ClassicGroup, ClassicState, JoinResponse, Limits, Member, SyncResponse};
use crate::coordinator::GroupError;
use crate::coordinator::consumer::member::ClassicProtocol;
use crate::coordinator::consumer::migrate::{ClassicSnapshot, ClassicSnapshotMember};
use crate::coordinator::records::ClassicMemberValue;
use crate::coordinator::shard::Effects;

impl ClassicGroup {
    pub fn snapshot(&self) -> ClassicSnapshot {
        let protocol =
            |(name, metadata): &(String, Bytes)| ClassicProtocol { name: name.clone(), metadata: metadata.to_vec() };
        ClassicSnapshot {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_name: self.protocol.clone().unwrap_or_default(),
            members: self
                .members
                .values()
                .map(|m| ClassicSnapshotMember {
                    member_id: m.id.clone(),
                    instance_id: m.instance_id.clone(),
                    client_id: m.client_id.clone(),
                    client_host: m.client_host.clone(),
                    session_timeout_ms: m.session_timeout_ms,
                    rebalance_timeout_ms: m.rebalance_timeout_ms,
                    protocols: m.protocols.iter().map(protocol).collect(),
                    assignment: m.assignment.to_vec(),
                })
                .collect(),
            rebalance: false,
        }
    }

    /// The group that a consumer group turns into when its last member of the new protocol has left.
    pub fn from_snapshot(id: &str, snapshot: &ClassicSnapshot, wall_ms: i64) -> ClassicGroup {
        let mut group = ClassicGroup::new(id, wall_ms);
        group.generation = snapshot.generation;
        group.protocol_type = Some(snapshot.protocol_type.clone());
        group.protocol = Some(snapshot.protocol_name.clone()).filter(|p| !p.is_empty());
        group.leader = snapshot.members.first().map(|m| m.member_id.clone());
        group.state = if snapshot.members.is_empty() { ClassicState::Empty } else { ClassicState::Stable };
        for m in &snapshot.members {
            if let Some(instance) = &m.instance_id {
                group.static_members.insert(instance.clone(), m.member_id.clone());
            }
            let value = ClassicMemberValue {
                member_id: m.member_id.clone(),
                instance_id: m.instance_id.clone(),
                client_id: m.client_id.clone(),
                client_host: m.client_host.clone(),
                rebalance_timeout_ms: m.rebalance_timeout_ms,
                session_timeout_ms: m.session_timeout_ms,
                subscription: Bytes::new(),
                assignment: Bytes::copy_from_slice(&m.assignment),
            };
            let mut member = Member::load(value, String::new());
            member.protocols =
                m.protocols.iter().map(|p| (p.name.clone(), Bytes::copy_from_slice(&p.metadata))).collect();
            group.members.insert(m.member_id.clone(), member);
        }
        group.find_subscribed();
        group
    }

    /// Begins the life of a group made by [`ClassicGroup::from_snapshot`].
    pub fn take_over(&mut self, rebalance: bool, now_ms: i64, limits: &Limits, effects: &mut Effects) {
        self.begin_sessions(now_ms, effects);
        if rebalance && !self.is_empty() {
            self.prepare_rebalance(now_ms, limits, effects);
        }
    }

    /// Whoever waits must join again, as a member of the consumer group that takes over.
    pub fn give_way(&mut self, effects: &mut Effects) {
        for member in self.members.values_mut() {
            let id = member.id.clone();
            member.answer_join(JoinResponse::error(&id, GroupError::RebalanceInProgress), effects);
            member.answer_sync(SyncResponse::error(GroupError::RebalanceInProgress), effects);
        }
    }
}
