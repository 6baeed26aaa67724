//! Between the protocols: a classic group becomes a consumer group when a member of the new protocol joins it, and goes
//! back when the last of these has left (KIP-848, "Migration").

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{Effect, Timer};
use super::embedded::{read_assignment, read_subscription, to_ids, to_names, write_assignment};
use super::error::{GroupError, Refusal};
use super::member::{ClassicMember, ClassicProtocol, Member};
use super::records::{Change, CurrentAssignment};
use super::subscription::{TopicView, metadata_hash};
use super::{ConsumerGroup, Limits, Moment};
use crate::base::TopicId;
use crate::coordinator::assignor::Assignment;

/// The `protocol_type` of groups that can be migrated.
pub const PROTOCOL_TYPE: &str = "consumer";

/// A classic group, as plain values.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicSnapshot {
    pub generation: i32,
    pub protocol_type: String,
    /// The protocol that was voted for.
    pub protocol_name: String,
    pub members: Vec<ClassicSnapshotMember>,
    /// After a downgrade: whether the members must rebalance, because what they have is not what they should have.
    pub rebalance: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ClassicSnapshotMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocols: Vec<ClassicProtocol>,
    /// `ConsumerProtocol` bytes; empty for none.
    pub assignment: Vec<u8>,
}

/// What a classic group turns into.
pub struct Upgraded {
    pub group: ConsumerGroup,
    /// To be appended after the tombstone of the classic group; `group` has them applied.
    pub records: Vec<Change>,
    /// Sessions of the members, which go on with the classic protocol.
    pub effects: Vec<Effect>,
}

/// Makes a consumer group of a classic one that has members. Pending joins and syncs of the classic group are to be
/// answered REBALANCE_IN_PROGRESS by the caller.
///
/// Errors: GROUP_ID_NOT_FOUND if it may not be upgraded, or its members' bytes cannot be read.
pub fn upgrade(group_id: &str, classic: &ClassicSnapshot, at: &Moment) -> Result<Upgraded, Refusal> {
    let refused = |why: &str| {
        let message = format!("Cannot upgrade classic group {group_id} to consumer group because {why}.");
        Refusal::new(GroupError::GroupIdNotFound, message)
    };
    if !at.limits.migration.upgrade {
        return Err(refused("online upgrade is disabled"));
    }
    if classic.protocol_type != PROTOCOL_TYPE {
        return Err(refused("the group does not use the consumer embedded protocol"));
    }
    if classic.members.len() > at.limits.members_max {
        return Err(refused("the group size exceeds the consumer group maximum size"));
    }
    let mut members = Vec::with_capacity(classic.members.len());
    // A careless client-side assignor may have given a partition to two members: the first keeps it.
    let mut taken: BTreeSet<(TopicId, i32)> = BTreeSet::new();
    for member in &classic.members {
        let mut modern = modern_member(member, classic, at.topics, &refused)?;
        for (topic, partitions) in &mut modern.assigned {
            partitions.retain(|p| taken.insert((*topic, *p)));
        }
        modern.assigned.retain(|_, partitions| !partitions.is_empty());
        members.push(modern);
    }

    let mut records: Vec<Change> = members.iter().map(Change::member).collect();
    let hash = metadata_hash(members.iter(), &BTreeMap::new(), at.topics);
    records.push(Change::group(classic.generation, hash));
    records.extend(
        members.iter().map(|m| Change::TargetMember { member_id: m.id.to_string(), value: Some(m.assigned.clone()) }),
    );
    records.push(Change::TargetEpoch(Some(classic.generation)));
    records.extend(members.iter().map(Change::current));

    let mut group = ConsumerGroup::new(group_id);
    records.iter().for_each(|record| group.replay(record));
    let effects = classic.members.iter().map(|m| Effect::Arm {
        member_id: m.member_id.clone(),
        timer: Timer::Session,
        at_ms: at.after(m.session_timeout_ms),
    });
    Ok(Upgraded { group, records, effects: effects.collect() })
}

fn modern_member(
    member: &ClassicSnapshotMember,
    classic: &ClassicSnapshot,
    topics: &dyn TopicView,
    refused: &dyn Fn(&str) -> Refusal,
) -> Result<Member, Refusal> {
    let malformed = || refused("the embedded consumer protocol is malformed");
    let protocol = member.protocols.iter().find(|p| p.name == classic.protocol_name).ok_or_else(malformed)?;
    let subscription = read_subscription(&protocol.metadata).map_err(|_| malformed())?;
    let assigned = if member.assignment.is_empty() {
        Assignment::new()
    } else {
        let (partitions, user_data) = read_assignment(&member.assignment).map_err(|_| malformed())?;
        if user_data {
            return Err(refused(
                "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade",
            ));
        }
        to_ids(&partitions, topics)
    };
    Ok(Member {
        epoch: classic.generation,
        previous_epoch: classic.generation,
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topics: subscription.topics.into_iter().collect(),
        assigned,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
        ..Member::new(&member.member_id)
    })
}

pub(super) fn unreadable() -> Refusal {
    let message = "The server experienced an unexpected error when processing the request.";
    Refusal::new(GroupError::UnknownServerError, message)
}

/// Whether the group goes back to the classic protocol once `gone` are out of it.
pub(super) fn downgrades_without(group: &ConsumerGroup, gone: &BTreeSet<&str>, limits: &Limits) -> bool {
    let remaining = group.members.len() - gone.len();
    remaining > 0
        && group.members.values().all(|m| m.uses_classic_protocol() || gone.contains(&*m.id))
        && limits.migration.downgrade
        && remaining <= limits.classic_members_max
}

/// Whether the group goes back to the classic protocol once a classic member has taken the place of `replaced`.
pub(super) fn downgrades_replacing(group: &ConsumerGroup, replaced: &Member, limits: &Limits) -> bool {
    !replaced.uses_classic_protocol()
        && group.classic_members() == group.members.len() - 1
        && limits.migration.downgrade
        && group.members.len() <= limits.classic_members_max
}

/// The classic group of what remains; `joining` takes the place of the static member with its instance id.
pub(super) fn to_classic(
    group: &ConsumerGroup,
    gone: &BTreeSet<&str>,
    joining: Option<&Member>,
    topics: &dyn TopicView,
) -> Result<ClassicSnapshot, Refusal> {
    let replaced = joining.and_then(|j| group.static_member(j.instance_id.as_deref()?)).map(|m| m.id.clone());
    let stays = |m: &&Member| !gone.contains(&*m.id) && Some(&m.id) != replaced.as_ref();
    let members: Vec<&Member> = group.members.values().filter(stays).chain(joining).collect();
    let protocol_name = vote(&members).ok_or_else(unreadable)?;
    let snapshot = |member: &&Member| {
        let classic = member.classic.as_ref()?;
        let metadata = &classic.protocols.iter().find(|p| p.name == protocol_name)?.metadata;
        let version = read_subscription(metadata).ok()?.version;
        let target = group.target_of(&member.id, member.instance_id.as_deref()).cloned().unwrap_or_default();
        Some(ClassicSnapshotMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            session_timeout_ms: classic.session_timeout_ms,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            protocols: classic.protocols.clone(),
            assignment: write_assignment(version, &to_names(&target, topics)),
        })
    };
    let members = members.iter().map(snapshot).collect::<Option<Vec<_>>>().ok_or_else(|| {
        let message = format!("Cannot downgrade the classic group {}: a member's subscription is malformed.", group.id);
        Refusal::new(GroupError::GroupIdNotFound, message)
    })?;
    Ok(ClassicSnapshot {
        generation: group.epoch,
        protocol_type: PROTOCOL_TYPE.into(),
        protocol_name,
        members,
        rebalance: joining.is_none(),
    })
}

/// Each member votes for the first of its protocols that all support.
fn vote(members: &[&Member]) -> Option<String> {
    let offers: Vec<&Vec<ClassicProtocol>> =
        members.iter().filter_map(|m| Some(&m.classic.as_ref()?.protocols)).collect();
    let all_support = |name: &str| offers.iter().all(|offer| offer.iter().any(|p| p.name == name));
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for offer in &offers {
        let first = offer.iter().find(|p| all_support(&p.name))?;
        *votes.entry(&first.name).or_default() += 1;
    }
    votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.into())
}

/// The records that delete a whole group. `replaced` names a member that earlier records of the same batch have put
/// under another id.
pub fn group_tombstones(group: &ConsumerGroup, replaced: Option<(&str, &str)>, records: &mut Vec<Change>) {
    let ids: Vec<String> = group
        .members
        .keys()
        .map(|id| match replaced {
            Some((old, new)) if **id == *old => new.into(),
            _ => id.to_string(),
        })
        .collect();
    let none: Option<CurrentAssignment> = None;
    records.extend(ids.iter().map(|id| Change::CurrentAssignment { member_id: id.clone(), value: none.clone() }));
    records.extend(ids.iter().map(|id| Change::TargetMember { member_id: id.clone(), value: None }));
    records.push(Change::TargetEpoch(None));
    records.extend(ids.iter().map(|id| Change::Member { member_id: id.clone(), value: None }));
    records.extend(group.resolved.keys().map(|regex| Change::Regex { regex: regex.clone(), value: None }));
    records.push(Change::PartitionMetadata { exists: false });
    records.push(Change::Group(None));
}
