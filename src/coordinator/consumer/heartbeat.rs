//! ConsumerGroupHeartbeat: join, stay, and take one step towards the target.

use super::effect::{Effect, Outcome, Timer};
use super::error::{GroupError, Refusal};
use super::leave::leave;
use super::member::{JOIN_EPOCH, LEAVE_EPOCH, Member, MemberState, STATIC_LEAVE_EPOCH};
use super::reconcile::{Goal, reconcile};
use super::records::Change;
use super::subscription::{RegexChange, TopicView, metadata_hash, topic_ids, update_regex};
use super::target::update_target;
use super::{ConsumerGroup, Limits, Moment};
use crate::coordinator::assignor::Assignment;

/// A heartbeat without its group. What is `None` (or -1) has not changed since the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeartbeatRequest {
    /// Never empty here: whoever joins without an id was given one.
    pub member_id: String,
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    /// -1 for unchanged.
    pub rebalance_timeout_ms: i32,
    pub subscribed_topics: Option<Vec<String>>,
    pub subscribed_regex: Option<String>,
    pub server_assignor: Option<String>,
    pub owned: Option<Assignment>,
    pub client_id: String,
    pub client_host: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatResponse {
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// `None`: as before.
    pub assignment: Option<Assignment>,
}

/// Handles one valid heartbeat (see `validate`). A group without records is passed as `ConsumerGroup::new`.
///
/// Errors: GROUP_ID_NOT_FOUND, GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID,
/// FENCED_INSTANCE_ID, INVALID_REGULAR_EXPRESSION.
pub fn heartbeat(
    group: &mut ConsumerGroup,
    request: &HeartbeatRequest,
    at: &Moment,
) -> Result<Outcome<HeartbeatResponse>, Refusal> {
    if matches!(request.member_epoch, LEAVE_EPOCH | STATIC_LEAVE_EPOCH) {
        return leave(group, request, at);
    }
    let joins = request.member_epoch == JOIN_EPOCH;
    if group.epoch == 0 && !joins {
        let message = format!("Consumer group {} not found.", group.id);
        return Err(Refusal::new(GroupError::GroupIdNotFound, message));
    }
    refuse_if_full(group, &request.member_id, at.limits)?;

    let mut records = Vec::new();
    let old = match &request.instance_id {
        None => dynamic_member(group, request, joins)?,
        Some(instance) => static_member(group, request, instance, joins, &mut records)?,
    };
    let updated = updated(&old, request);
    let mut step = Step { records, effects: Vec::new() };
    if joins && let Some(replaced) = request.instance_id.as_deref().and_then(|i| group.static_member(i)) {
        step.effects.push(Effect::CancelAll { member_id: replaced.id.to_string() });
    }
    let member = step.advance(group, &old, updated, request.owned.as_ref(), at, Protocol::Consumer)?;

    let at_ms = at.after(at.limits.session_timeout_ms);
    step.effects.push(Effect::Arm { member_id: request.member_id.clone(), timer: Timer::Session, at_ms });

    // A full request is how a member says that it lost the last answer.
    let full = request.rebalance_timeout_ms != -1
        && (request.subscribed_topics.is_some() || request.subscribed_regex.is_some())
        && request.owned.is_some();
    let tell = joins || full || member.assigned != old.assigned;
    let response = HeartbeatResponse {
        member_id: member.id.to_string(),
        member_epoch: member.epoch,
        heartbeat_interval_ms: at.limits.heartbeat_interval_ms,
        assignment: tell.then_some(member.assigned),
    };
    Ok(Outcome { records: step.records, response, effects: step.effects })
}

pub(super) fn refuse_if_full(group: &ConsumerGroup, member_id: &str, limits: &Limits) -> Result<(), Refusal> {
    if group.members.len() < limits.members_max || group.members.contains_key(member_id) {
        return Ok(());
    }
    let message = format!("The consumer group has reached its maximum capacity of {} members.", limits.members_max);
    Err(Refusal::new(GroupError::GroupMaxSizeReached, message))
}

fn dynamic_member(group: &ConsumerGroup, request: &HeartbeatRequest, joins: bool) -> Result<Member, Refusal> {
    let member = match group.members.get(&*request.member_id) {
        Some(member) => member.clone(),
        None if joins => Member::new(&request.member_id),
        None => return Err(unknown_member(group, &request.member_id)),
    };
    check_epoch(&member, request.member_epoch, request.owned.as_ref())?;
    Ok(member)
}

fn static_member(
    group: &ConsumerGroup,
    request: &HeartbeatRequest,
    instance_id: &str,
    joins: bool,
    records: &mut Vec<Change>,
) -> Result<Member, Refusal> {
    let existing = group.static_member(instance_id);
    if joins {
        let Some(existing) = existing else {
            return Ok(group
                .members
                .get(&*request.member_id)
                .cloned()
                .unwrap_or_else(|| Member::new(&request.member_id)));
        };
        if !existing.uses_classic_protocol() && existing.epoch != STATIC_LEAVE_EPOCH {
            let message = format!(
                "Static member {} with instance id {instance_id} cannot join the group because the instance id is owned by {} member.",
                request.member_id, existing.id
            );
            return Err(Refusal::new(GroupError::UnreleasedInstanceId, message));
        }
        return Ok(replace(group, existing, &request.member_id, records));
    }
    let existing = known_static(existing, instance_id, &request.member_id)?;
    check_epoch(existing, request.member_epoch, request.owned.as_ref())?;
    Ok(existing.clone())
}

/// Puts a static member's successor in its place.
pub(super) fn replace(group: &ConsumerGroup, old: &Member, new_id: &str, records: &mut Vec<Change>) -> Member {
    let new = old.returning_as(new_id);
    tombstones(&old.id, records);
    records.push(Change::member(&new));
    let target = group.target.get(&*old.id).cloned().unwrap_or_default();
    records.push(Change::TargetMember { member_id: new_id.into(), value: Some(target) });
    records.push(Change::current(&new));
    new
}

/// The records that remove a member, in the order that `replay` relies on.
pub(super) fn tombstones(member_id: &str, records: &mut Vec<Change>) {
    records.push(Change::CurrentAssignment { member_id: member_id.into(), value: None });
    records.push(Change::TargetMember { member_id: member_id.into(), value: None });
    records.push(Change::Member { member_id: member_id.into(), value: None });
}

/// Errors: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.
pub(super) fn known_static<'a>(
    existing: Option<&'a Member>,
    instance_id: &str,
    member_id: &str,
) -> Result<&'a Member, Refusal> {
    let Some(existing) = existing else {
        return Err(Refusal::new(GroupError::UnknownMemberId, format!("Instance id {instance_id} is unknown.")));
    };
    if *existing.id != *member_id {
        let message =
            format!("Static member {member_id} with instance id {instance_id} was fenced by member {}.", existing.id);
        return Err(Refusal::new(GroupError::FencedInstanceId, message));
    }
    Ok(existing)
}

pub(super) fn unknown_member(group: &ConsumerGroup, member_id: &str) -> Refusal {
    let message = format!("Member {member_id} is not a member of group {}.", group.id);
    Refusal::new(GroupError::UnknownMemberId, message)
}

/// The epoch before the last one is accepted from a member that owns nothing it may not own: it missed the answer.
fn check_epoch(member: &Member, received: i32, owned: Option<&Assignment>) -> Result<(), Refusal> {
    if received == JOIN_EPOCH || received == member.epoch {
        return Ok(());
    }
    let retries = received == member.previous_epoch && owned.is_some_and(|o| is_within(o, &member.assigned));
    if received < member.epoch && retries {
        return Ok(());
    }
    let relation = if received > member.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {relation} member epoch ({received}) than the one known by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
        member.epoch
    );
    Err(Refusal::new(GroupError::FencedMemberEpoch, message))
}

fn is_within(owned: &Assignment, assigned: &Assignment) -> bool {
    owned.iter().all(|(topic, partitions)| assigned.get(topic).is_some_and(|a| partitions.is_subset(a)))
}

fn updated(old: &Member, request: &HeartbeatRequest) -> Member {
    let mut member = old.clone();
    // Whoever sends this request speaks the consumer protocol, whatever it spoke before.
    member.classic = None;
    member.client_id.clone_from(&request.client_id);
    member.client_host.clone_from(&request.client_host);
    if request.rebalance_timeout_ms != -1 {
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(topics) = &request.subscribed_topics {
        member.subscribed_topics = topics.iter().cloned().collect();
    }
    let given = [
        (&request.instance_id, &mut member.instance_id),
        (&request.rack_id, &mut member.rack_id),
        (&request.subscribed_regex, &mut member.subscribed_regex),
        (&request.server_assignor, &mut member.server_assignor),
    ];
    for (new, field) in given {
        if new.is_some() {
            field.clone_from(new);
        }
    }
    member
}

/// How the member that takes a step talks to us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Consumer,
    Classic,
}

/// Records and effects of one request, as they come together.
#[derive(Default)]
pub(super) struct Step {
    pub records: Vec<Change>,
    pub effects: Vec<Effect>,
}

impl Step {
    /// The common part of a heartbeat and of a classic member's join: subscription, group epoch, target, reconciliation.
    pub fn advance(
        &mut self,
        group: &mut ConsumerGroup,
        old: &Member,
        updated: Member,
        owned: Option<&Assignment>,
        at: &Moment,
        protocol: Protocol,
    ) -> Result<Member, Refusal> {
        let subscription = self.subscribe(group, old, &updated, at, protocol)?;
        let epoch = self.group_epoch(group, &updated, subscription.bump, at.topics);
        let (target_epoch, target) = if epoch > group.target_epoch {
            (epoch, update_target(group, epoch, &updated, at, &mut self.records))
        } else {
            let target = group.target_of(&updated.id, updated.instance_id.as_deref());
            (group.target_epoch, target.cloned().unwrap_or_default())
        };
        self.reconcile(group, updated, (target_epoch, &target), subscription.changed, owned, at)
    }

    /// Records what changed of the member and its expression.
    pub fn subscribe(
        &mut self,
        group: &ConsumerGroup,
        old: &Member,
        updated: &Member,
        at: &Moment,
        protocol: Protocol,
    ) -> Result<Subscription, Refusal> {
        if updated != old {
            self.records.push(Change::member(updated));
        }
        let names_changed = updated.subscribed_topics != old.subscribed_topics;
        let (regex, resolve) = update_regex(group, old, updated, at, &mut self.records)?;
        if resolve {
            self.effects.push(Effect::ResolveRegexes);
        }
        let changed = names_changed || regex != RegexChange::None;
        let bump = match protocol {
            // An expression that is not resolved yet bumps the epoch once it is.
            Protocol::Consumer => group.epoch == 0 || names_changed || regex == RegexChange::ChangedAndResolved,
            Protocol::Classic => changed,
        };
        Ok(Subscription { changed, bump })
    }

    /// The group's epoch after this request: bumped for a changed subscription, or for changed topics.
    pub fn group_epoch(
        &mut self,
        group: &mut ConsumerGroup,
        updated: &Member,
        bump: bool,
        topics: &dyn TopicView,
    ) -> i32 {
        let seen = group.seen.metadata;
        let version = topics.version();
        // An epoch ahead of the group's was never committed: what was seen with it does not count.
        let stale = seen.is_none_or(|(v, epoch)| v != version || epoch > group.epoch);
        // An expression about to be resolved brings the epoch itself: until then its topics are missing in the hash.
        let resolving = || {
            let mut regexes = group.members_with(updated).filter_map(Member::regex);
            regexes.any(|regex| !group.resolved.contains_key(regex))
        };
        if !bump && (!stale || resolving()) {
            return group.epoch;
        }
        let hash = metadata_hash(group.members_with(updated), &group.resolved, topics);
        let mut epoch = group.epoch;
        if bump || hash != group.metadata_hash {
            epoch += 1;
            self.records.push(Change::group(epoch, hash));
        }
        if group.has_partition_metadata {
            self.records.push(Change::PartitionMetadata { exists: false });
        }
        group.seen.metadata = Some((version, epoch));
        epoch
    }

    pub fn reconcile(
        &mut self,
        group: &ConsumerGroup,
        member: Member,
        (epoch, target): (i32, &Assignment),
        subscription_changed: bool,
        owned: Option<&Assignment>,
        at: &Moment,
    ) -> Result<Member, Refusal> {
        if !subscription_changed && member.is_reconciled_to(epoch) {
            return Ok(member);
        }
        let goal = Goal {
            epoch,
            target,
            subscribed: topic_ids(&member, &group.resolved, at.topics),
            subscription_changed,
            owned,
            is_free: &|topic, partition| group.is_free(topic, partition),
        };
        let reconciled = reconcile(&member, &goal)?;
        if reconciled == member {
            return Ok(member);
        }
        self.records.push(Change::current(&reconciled));
        if !reconciled.uses_classic_protocol() {
            self.effects.push(rebalance_timer(&reconciled, at));
        }
        Ok(reconciled)
    }
}

/// What a request did to the subscription of its member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    pub changed: bool,
    /// Whether that alone bumps the group's epoch.
    pub bump: bool,
}

/// A member that must give something up has its rebalance timeout for it.
pub(super) fn rebalance_timer(member: &Member, at: &Moment) -> Effect {
    let member_id = member.id.to_string();
    let timer = Timer::Rebalance { member_epoch: member.epoch };
    if member.state == MemberState::UnrevokedPartitions {
        Effect::Arm { member_id, timer, at_ms: at.after(member.rebalance_timeout_ms) }
    } else {
        Effect::Cancel { member_id, timer }
    }
}
