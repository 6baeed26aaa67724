//! Members of a consumer group that use the classic protocol: JoinGroup, SyncGroup, Heartbeat and LeaveGroup for them.
//!
//! They take part in epochs and reconciliation as everybody: the generation is the member epoch, JoinGroup takes one
//! step, SyncGroup tells the assignment, and Heartbeat calls for the next JoinGroup.

use std::collections::BTreeSet;

use super::effect::{Effect, Outcome, Timer};
use super::embedded::{Subscription, read_subscription, to_ids, to_names, write_assignment};
use super::error::{GroupError, Refusal};
use super::heartbeat::{Protocol, Step, known_static, refuse_if_full, replace, unknown_member};
use super::leave::fence;
use super::member::{ClassicMember, ClassicProtocol, Member, MemberState};
use super::migrate::{self, PROTOCOL_TYPE, unreadable};
use super::{ConsumerGroup, Moment};
use crate::coordinator::assignor::Assignment;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinRequest {
    /// "" for a new member.
    pub member_id: String,
    /// The id of a new member, made up by the caller.
    pub new_member_id: String,
    /// Whether the API version makes a new dynamic member join again with its id (KIP-394).
    pub requires_known_id: bool,
    pub instance_id: Option<String>,
    pub protocol_type: String,
    pub protocols: Vec<ClassicProtocol>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub client_id: String,
    pub client_host: String,
}

/// The protocol type is `consumer`, and there is no leader.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinResponse {
    pub member_id: String,
    pub generation: i32,
    pub protocol_name: String,
}

/// JoinGroup. If the effects say that the group becomes classic, it does so with this answer.
///
/// Errors: GROUP_MAX_SIZE_REACHED, INCONSISTENT_GROUP_PROTOCOL, MEMBER_ID_REQUIRED (with `new_member_id`),
/// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, UNKNOWN_SERVER_ERROR for a subscription that cannot be read.
pub fn join(group: &mut ConsumerGroup, request: &JoinRequest, at: &Moment) -> Result<Outcome<JoinResponse>, Refusal> {
    let is_new = request.member_id.is_empty();
    let id = if is_new { &request.new_member_id } else { &request.member_id };
    refuse_if_full(group, id, at.limits)?;
    if !supports(group, request) {
        let message = format!("Member {id}'s protocols are not supported.");
        return Err(Refusal::new(GroupError::InconsistentGroupProtocol, message));
    }
    if is_new && request.requires_known_id && request.instance_id.is_none() {
        return Err(Refusal::new(GroupError::MemberIdRequired, ""));
    }
    let first = request.protocols.first().ok_or_else(unreadable)?;
    let subscription = read_subscription(&first.metadata).map_err(|_| unreadable())?;

    let mut step = Step::default();
    let replaced = request.instance_id.as_deref().and_then(|i| group.static_member(i)).cloned();
    let old = match (&request.instance_id, &replaced) {
        (Some(instance), _) if !is_new => known_static(replaced.as_ref(), instance, id)?.clone(),
        (Some(_), Some(replaced)) => {
            step.effects.push(Effect::CancelAll { member_id: replaced.id.to_string() });
            replace(group, replaced, id, &mut step.records)
        }
        _ => group.member(id).cloned().unwrap_or_else(|| Member::new(id)),
    };
    let owned = to_ids(&subscription.owned, at.topics);
    let updated = updated(&old, request, subscription);
    let member = match replaced.filter(|r| migrate::downgrades_replacing(group, r, at.limits)) {
        Some(replaced) => {
            let subscribed = step.subscribe(group, &old, &updated, at, Protocol::Classic)?;
            downgrade(&mut step, group, &replaced, updated, subscribed.bump, &owned, at)?
        }
        None => {
            let member = step.advance(group, &old, updated, Some(&owned), at, Protocol::Classic)?;
            let arm = |timer, after_ms| {
                let at_ms = at.after(after_ms);
                Effect::Arm { member_id: id.clone(), timer, at_ms }
            };
            step.effects.push(Effect::Cancel { member_id: id.clone(), timer: Timer::ClassicJoin });
            step.effects.push(arm(Timer::Session, request.session_timeout_ms));
            step.effects.push(arm(Timer::ClassicSync, request.rebalance_timeout_ms));
            member
        }
    };
    let response = JoinResponse { member_id: id.clone(), generation: member.epoch, protocol_name: first.name.clone() };
    Ok(Outcome { records: step.records, response, effects: step.effects })
}

fn updated(old: &Member, request: &JoinRequest, subscription: Subscription) -> Member {
    let timeout_ms = request.rebalance_timeout_ms;
    Member {
        instance_id: request.instance_id.clone().or(old.instance_id.clone()),
        rack_id: subscription.rack_id.or(old.rack_id.clone()),
        rebalance_timeout_ms: if timeout_ms == -1 { old.rebalance_timeout_ms } else { timeout_ms },
        subscribed_topics: subscription.topics.into_iter().collect(),
        subscribed_regex: Some(String::new()),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        classic: Some(ClassicMember {
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
        }),
        ..old.clone()
    }
}

/// The last member of the consumer protocol comes back as a classic one: so does the group.
fn downgrade(
    step: &mut Step,
    group: &mut ConsumerGroup,
    replaced: &Member,
    mut member: Member,
    bump: bool,
    owned: &Assignment,
    at: &Moment,
) -> Result<Member, Refusal> {
    step.group_epoch(group, &member, bump, at.topics);
    if !bump {
        let target = group.target_of(&member.id, member.instance_id.as_deref()).cloned().unwrap_or_default();
        let goal = (group.target_epoch, &target);
        member = step.reconcile(group, member, goal, false, Some(owned), at)?;
    }
    let mut snapshot = migrate::to_classic(group, &BTreeSet::new(), Some(&member), at.topics)?;
    snapshot.rebalance = bump;
    migrate::group_tombstones(group, Some((&replaced.id, &member.id)), &mut step.records);
    step.effects.clear();
    step.effects.extend(group.members.keys().map(|id| Effect::CancelAll { member_id: id.to_string() }));
    step.effects.push(Effect::BecomesClassic(snapshot));
    Ok(member)
}

/// A classic member must share a protocol with every classic member of the group.
fn supports(group: &ConsumerGroup, request: &JoinRequest) -> bool {
    if request.protocol_type != PROTOCOL_TYPE || request.protocols.is_empty() {
        return false;
    }
    let classic: Vec<&ClassicMember> = group.members.values().filter_map(|m| m.classic.as_ref()).collect();
    request.protocols.iter().any(|p| classic.iter().all(|c| c.protocols.iter().any(|q| q.name == p.name)))
}

/// SyncGroup: the assignment as `ConsumerProtocol` bytes, or REBALANCE_IN_PROGRESS, which also arms the join timeout.
///
/// Errors: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL.
pub fn sync(
    group: &ConsumerGroup,
    request: &SyncRequest,
    at: &Moment,
) -> Result<Outcome<Result<Vec<u8>, Refusal>>, Refusal> {
    let (member, classic) = classic_member(group, &request.member_id, request.instance_id.as_deref())?;
    same_generation(member, request.generation)?;
    let offered = classic.protocols.first().ok_or_else(unreadable)?;
    check_protocol(member, offered, request)?;
    if group.epoch > member.epoch && member.state != MemberState::UnrevokedPartitions {
        let message = format!(
            "A new rebalance is triggered in group {} and member {} should rejoin to catch up.",
            group.id, member.id
        );
        let error = Refusal::new(GroupError::RebalanceInProgress, message);
        return Ok(Outcome { records: Vec::new(), response: Err(error), effects: vec![join_timer(member, at)] });
    }
    let version = read_subscription(&offered.metadata).map_err(|_| unreadable())?.version;
    let effects = vec![
        Effect::Cancel { member_id: request.member_id.clone(), timer: Timer::ClassicSync },
        session_timer(member, classic, at),
    ];
    let assignment = write_assignment(version, &to_names(&member.assigned, at.topics));
    Ok(Outcome { records: Vec::new(), response: Ok(assignment), effects })
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncRequest {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
}

fn check_protocol(member: &Member, offered: &ClassicProtocol, request: &SyncRequest) -> Result<(), Refusal> {
    let inconsistent = |message| Err(Refusal::new(GroupError::InconsistentGroupProtocol, message));
    match (&request.protocol_type, &request.protocol_name) {
        (Some(kind), _) if kind != PROTOCOL_TYPE => inconsistent(format!(
            "The protocol type {kind} from member {} request is not equal to the group protocol type {PROTOCOL_TYPE}.",
            member.id
        )),
        (_, Some(name)) if *name != offered.name => inconsistent(format!(
            "The protocol name {name} from member {} request is not equal to the protocol name {} returned in the join response.",
            member.id, offered.name
        )),
        _ => Ok(()),
    }
}

/// Heartbeat: whether to answer REBALANCE_IN_PROGRESS, so that the member joins again.
///
/// Errors: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION.
pub fn heartbeat(
    group: &ConsumerGroup,
    member_id: &str,
    instance_id: Option<&str>,
    generation: i32,
    at: &Moment,
) -> Result<Outcome<bool>, Refusal> {
    let (member, classic) = classic_member(group, member_id, instance_id)?;
    same_generation(member, generation)?;
    let mut effects = vec![session_timer(member, classic, at)];
    let rejoin = member.epoch < group.epoch
        || match member.state {
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !waits_for_others(group, member),
            MemberState::Stable | MemberState::Unknown => false,
        };
    if rejoin {
        effects.push(join_timer(member, at));
    }
    Ok(Outcome { records: Vec::new(), response: rejoin, effects })
}

/// Whether some of the target is still held by others: joining again would gain nothing.
fn waits_for_others(group: &ConsumerGroup, member: &Member) -> bool {
    let Some(target) = group.target.get(&*member.id) else { return false };
    target.iter().any(|(topic, partitions)| {
        let assigned = member.assigned.get(topic);
        partitions.iter().any(|p| !assigned.is_some_and(|a| a.contains(p)) && !group.is_free(*topic, *p))
    })
}

/// One member of a LeaveGroup request.
#[derive(Clone, Debug, PartialEq)]
pub struct LeavingMember {
    /// "" is allowed with an instance id.
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// LeaveGroup: each member's result (UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID), in the order of the request.
pub fn leave(
    group: &ConsumerGroup,
    leaving: &[LeavingMember],
    at: &Moment,
) -> Result<Outcome<Vec<Result<(), Refusal>>>, Refusal> {
    let found: Vec<Result<&Member, Refusal>> = leaving.iter().map(|l| find_leaving(group, l)).collect();
    let ids: Vec<&str> = found.iter().flatten().map(|m| &*m.id).collect();
    let outcome = fence(group, &ids, at)?;
    Ok(outcome.with(found.into_iter().map(|f| f.map(|_| ())).collect()))
}

fn find_leaving<'a>(group: &'a ConsumerGroup, leaving: &LeavingMember) -> Result<&'a Member, Refusal> {
    match &leaving.instance_id {
        None => group.member(&leaving.member_id).ok_or_else(|| unknown_member(group, &leaving.member_id)),
        Some(instance) => {
            let existing = group.static_member(instance);
            let named = if leaving.member_id.is_empty() { existing.map_or("", |m| &m.id) } else { &leaving.member_id };
            known_static(existing, instance, named)
        }
    }
}

fn classic_member<'a>(
    group: &'a ConsumerGroup,
    member_id: &str,
    instance_id: Option<&str>,
) -> Result<(&'a Member, &'a ClassicMember), Refusal> {
    let member = match instance_id {
        None => group.member(member_id).ok_or_else(|| unknown_member(group, member_id))?,
        Some(instance) => {
            let existing = group.static_member(instance).ok_or_else(|| {
                let message = format!("Member with instance id {instance} is not a member of group {}.", group.id);
                Refusal::new(GroupError::UnknownMemberId, message)
            })?;
            known_static(Some(existing), instance, member_id)?
        }
    };
    let classic = member.classic.as_ref().ok_or_else(|| {
        let message = format!("Member {member_id} does not use the classic protocol.");
        Refusal::new(GroupError::UnknownMemberId, message)
    })?;
    Ok((member, classic))
}

fn same_generation(member: &Member, received: i32) -> Result<(), Refusal> {
    if member.epoch == received {
        return Ok(());
    }
    let message = format!(
        "The request generation id {received} is not equal to the member epoch {} of member {}.",
        member.epoch, member.id
    );
    Err(Refusal::new(GroupError::IllegalGeneration, message))
}

fn session_timer(member: &Member, classic: &ClassicMember, at: &Moment) -> Effect {
    let at_ms = at.after(classic.session_timeout_ms);
    Effect::Arm { member_id: member.id.to_string(), timer: Timer::Session, at_ms }
}

fn join_timer(member: &Member, at: &Moment) -> Effect {
    let at_ms = at.after(member.rebalance_timeout_ms);
    Effect::ArmIfAbsent { member_id: member.id.to_string(), timer: Timer::ClassicJoin, at_ms }
}
