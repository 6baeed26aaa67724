//! The phases of a rebalance: gathering members, electing, a new generation.

use super::{ClassicGroup, ClassicState, JoinResponse, Limits, SyncResponse};
use crate::coordinator::GroupError;
use crate::coordinator::shard::Effects;
use crate::coordinator::timers::TimerKey;

impl ClassicGroup {
    /// Begins to gather the members, unless that is going on already.
    pub(super) fn prepare_rebalance(&mut self, now_ms: i64, limits: &Limits, effects: &mut Effects) {
        if self.state == ClassicState::PreparingRebalance {
            return self.complete_join_if_all_are_here(now_ms, effects);
        }
        // Whoever waits for an assignment of the old generation must join again.
        if self.state == ClassicState::CompletingRebalance {
            let group = self.id.clone();
            for member in self.members.values_mut() {
                member.assignment = bytes::Bytes::new();
                if member.answer_sync(SyncResponse::error(GroupError::RebalanceInProgress), effects) {
                    let timeout = i64::from(member.session_timeout_ms);
                    member.begin_session(&group, now_ms + timeout, effects);
                }
            }
        }
        self.sync_deadline = None;
        self.pending_sync.clear();
        let initial = self.is_empty();
        self.enter(ClassicState::PreparingRebalance, effects.wall_ms);
        let delay = limits.initial_rebalance_delay_ms;
        if initial && delay > 0 {
            // Others may be about to come: wait for them, longer with each that does, up to the rebalance timeout.
            self.new_member_joined = false;
            self.initial_delay_left_ms = Some((self.rebalance_timeout_ms() - delay).max(0));
            return self.arm_join(now_ms + delay, effects);
        }
        if initial {
            // A first rebalance waits for nobody, also not for ids that were given out.
            return self.complete_join(now_ms, effects);
        }
        if self.all_have_joined() {
            self.complete_join(now_ms, effects);
        } else {
            self.arm_join(now_ms + self.rebalance_timeout_ms(), effects);
        }
    }

    /// Ends the gathering if nobody is missing. During the initial delay only time ends it.
    pub(super) fn complete_join_if_all_are_here(&mut self, now_ms: i64, effects: &mut Effects) {
        let gathering = self.state == ClassicState::PreparingRebalance && self.initial_delay_left_ms.is_none();
        if gathering && self.all_have_joined() {
            self.complete_join(now_ms, effects);
        }
    }

    pub(super) fn rebalance_after_removal(&mut self, now_ms: i64, limits: &Limits, effects: &mut Effects) {
        match self.state {
            ClassicState::Empty => {}
            ClassicState::PreparingRebalance => self.complete_join_if_all_are_here(now_ms, effects),
            _ => self.prepare_rebalance(now_ms, limits, effects),
        }
    }

    fn all_have_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(super::Member::is_awaiting_join)
    }

    fn arm_join(&mut self, deadline: i64, effects: &mut Effects) {
        self.join_deadline = Some(deadline);
        effects.arm(deadline, TimerKey::Join { group: self.id.clone() });
    }

    /// The join timer has run out.
    pub fn join_timed_out(&mut self, now_ms: i64, limits: &Limits, effects: &mut Effects) {
        if self.state != ClassicState::PreparingRebalance || self.join_deadline.is_none_or(|d| d > now_ms) {
            return;
        }
        if let Some(left) = self.initial_delay_left_ms
            && left > 0
            && std::mem::take(&mut self.new_member_joined)
        {
            let more = left.min(limits.initial_rebalance_delay_ms);
            self.initial_delay_left_ms = Some(left - more);
            return self.arm_join(now_ms + more, effects);
        }
        self.complete_join(now_ms, effects);
    }

    /// The next generation, of those who have joined. Static members who have not stay.
    fn complete_join(&mut self, now_ms: i64, effects: &mut Effects) {
        self.join_deadline = None;
        self.initial_delay_left_ms = None;
        let absent: Vec<String> = self
            .members
            .values()
            .filter(|m| !m.is_awaiting_join() && m.instance_id.is_none())
            .map(|m| m.id.clone())
            .collect();
        for id in absent {
            self.remove_member(&id, effects);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // Only static members are left, and none of them has joined: wait on, their sessions decide.
            return self.arm_join(now_ms + self.rebalance_timeout_ms(), effects);
        }
        self.generation += 1;
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.find_subscribed();
            self.enter(ClassicState::Empty, effects.wall_ms);
            effects.records.push(self.record());
            return;
        }
        self.protocol = self.select_protocol();
        self.find_subscribed();
        self.enter(ClassicState::CompletingRebalance, effects.wall_ms);
        self.answer_joins(now_ms, effects);
        let deadline = now_ms + self.rebalance_timeout_ms();
        self.sync_deadline = Some(deadline);
        effects.arm(deadline, TimerKey::Sync { group: self.id.clone() });
    }

    fn answer_joins(&mut self, now_ms: i64, effects: &mut Effects) {
        let subscriptions = self.subscriptions();
        let answers: Vec<(String, JoinResponse)> = self
            .members
            .keys()
            .map(|id| {
                let members = if self.is_leader(id) { subscriptions.clone() } else { Vec::new() };
                (id.clone(), self.joined(id, members))
            })
            .collect();
        self.pending_sync = self.members.keys().cloned().collect();
        let group = self.id.clone();
        for (id, response) in answers {
            if let Some(member) = self.members.get_mut(&id) {
                member.answer_join(response, effects);
                member.is_new = false;
                let timeout = i64::from(member.session_timeout_ms);
                member.begin_session(&group, now_ms + timeout, effects);
            }
        }
    }

    /// The leader stays if it has joined; else the first who has.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &String| self.members.get(id).is_some_and(super::Member::is_awaiting_join);
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        match self.members.values().find(|m| m.is_awaiting_join()) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Each member votes for the first of its protocols that all support; most votes win.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let Some((choice, _)) = member.protocols.iter().find(|(name, _)| self.all_support(name)) else { continue };
            match votes.iter_mut().find(|(name, _)| name == choice) {
                Some((_, n)) => *n += 1,
                None => votes.push((choice, 1)),
            }
        }
        let most = votes.iter().map(|(_, n)| *n).max()?;
        votes.iter().find(|(_, n)| *n == most).map(|(name, _)| (*name).to_owned())
    }
}
