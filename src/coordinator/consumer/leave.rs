//! How members go: by their own request, by a timeout, or fenced by the coordinator.

use std::collections::BTreeSet;

use super::effect::{Effect, Outcome, Timer};
use super::error::{GroupError, Refusal};
use super::heartbeat::{
    HeartbeatRequest, HeartbeatResponse, known_static, rebalance_timer, tombstones, unknown_member,
};
use super::member::{Member, MemberState, STATIC_LEAVE_EPOCH};
use super::migrate;
use super::records::Change;
use super::subscription::metadata_hash;
use super::{ConsumerGroup, Moment};
use crate::coordinator::assignor::Assignment;

/// A heartbeat with epoch -1 or -2.
pub(super) fn leave(
    group: &ConsumerGroup,
    request: &HeartbeatRequest,
    at: &Moment,
) -> Result<Outcome<HeartbeatResponse>, Refusal> {
    if group.epoch == 0 {
        return Err(Refusal::new(GroupError::GroupIdNotFound, format!("Group {} not found.", group.id)));
    }
    let response = HeartbeatResponse {
        member_id: request.member_id.clone(),
        member_epoch: request.member_epoch,
        heartbeat_interval_ms: 0,
        assignment: None,
    };
    let member = match &request.instance_id {
        None => group.members.get(&*request.member_id).ok_or_else(|| unknown_member(group, &request.member_id))?,
        Some(instance) => known_static(group.static_member(instance), instance, &request.member_id)?,
    };
    if request.instance_id.is_some() && request.member_epoch == STATIC_LEAVE_EPOCH {
        // It keeps its partitions until its session ends: nobody else gets them meanwhile.
        let away = Member { epoch: STATIC_LEAVE_EPOCH, pending_revocation: Assignment::new(), ..member.clone() };
        return Ok(Outcome { records: vec![Change::current(&away)], response, effects: Vec::new() });
    }
    Ok(fence(group, &[&member.id], at)?.with(response))
}

/// Removes members: who left, or whose session, join or sync timeout ended. Ids that are not members are skipped.
///
/// Errors: GROUP_ID_NOT_FOUND if only classic members remain and their subscriptions cannot be read.
pub fn fence(group: &ConsumerGroup, member_ids: &[&str], at: &Moment) -> Result<Outcome<()>, Refusal> {
    let mut outcome = Outcome { records: Vec::new(), response: (), effects: Vec::new() };
    let gone: BTreeSet<&str> = member_ids.iter().copied().filter(|id| group.members.contains_key(*id)).collect();
    if gone.is_empty() {
        return Ok(outcome);
    }
    outcome.effects.extend(gone.iter().map(|id| Effect::CancelAll { member_id: (*id).into() }));
    if migrate::downgrades_without(group, &gone, at.limits) {
        let snapshot = migrate::to_classic(group, &gone, None, at.topics)?;
        migrate::group_tombstones(group, None, &mut outcome.records);
        outcome.effects.extend(
            group
                .members
                .keys()
                .filter(|id| !gone.contains(&***id))
                .map(|id| Effect::CancelAll { member_id: id.to_string() }),
        );
        outcome.effects.push(Effect::BecomesClassic(snapshot));
        return Ok(outcome);
    }
    for id in &gone {
        tombstones(id, &mut outcome.records);
    }
    let remaining = || group.members.values().filter(|m| !gone.contains(&*m.id));
    let used: BTreeSet<&str> = remaining().filter_map(Member::regex).collect();
    let unused: BTreeSet<&str> =
        group.members.values().filter_map(Member::regex).filter(|r| !used.contains(r)).collect();
    for regex in unused {
        outcome.records.push(Change::Regex { regex: regex.into(), value: None });
    }
    let hash = metadata_hash(remaining(), &group.resolved, at.topics);
    outcome.records.push(Change::group(group.epoch + 1, hash));
    Ok(outcome)
}

/// A rebalance timer went off: the member is fenced if it has not moved on from the epoch that the timer was armed in.
pub fn rebalance_timeout_expired(
    group: &ConsumerGroup,
    member_id: &str,
    member_epoch: i32,
    at: &Moment,
) -> Result<Outcome<()>, Refusal> {
    let stuck = group.members.get(member_id).is_some_and(|m| m.epoch == member_epoch);
    let fenced: &[&str] = if stuck { &[member_id] } else { &[] };
    fence(group, fenced, at)
}

/// The timers of a group that was loaded after a restart: everybody gets a whole session, and who must give something up
/// a whole rebalance timeout. Classic members have the group's session timeout, as in Kafka, until their next request.
pub fn timers_after_load(group: &ConsumerGroup, at: &Moment) -> Vec<Effect> {
    let mut effects = Vec::new();
    for member in group.members.values() {
        let member_id = member.id.to_string();
        let at_ms = at.after(at.limits.session_timeout_ms);
        effects.push(Effect::Arm { member_id, timer: Timer::Session, at_ms });
        if member.state == MemberState::UnrevokedPartitions {
            effects.push(rebalance_timer(member, at));
        }
    }
    effects
}
