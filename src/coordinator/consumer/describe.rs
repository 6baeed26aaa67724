//! ConsumerGroupDescribe: a group as its tools see it.

use super::member::Member;
use super::subscription::TopicView;
use super::{ConsumerGroup, GroupState, Limits};
use crate::base::TopicId;
use crate::coordinator::assignor::Assignment;

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedGroup {
    pub group_id: String,
    pub state: GroupState,
    pub epoch: i32,
    pub target_epoch: i32,
    pub assignor: String,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub epoch: i32,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topics: Vec<String>,
    pub subscribed_regex: Option<String>,
    pub assigned: Vec<DescribedTopic>,
    pub target: Vec<DescribedTopic>,
    /// 0 classic, 1 consumer (version 1 of the API).
    pub member_type: i8,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedTopic {
    pub topic_id: TopicId,
    pub name: String,
    pub partitions: Vec<i32>,
}

/// Describes a group. Topics that are gone are left out.
pub fn describe(group: &ConsumerGroup, topics: &dyn TopicView, limits: &Limits) -> DescribedGroup {
    DescribedGroup {
        group_id: group.id.clone(),
        state: group.state(),
        epoch: group.epoch,
        target_epoch: group.target_epoch,
        assignor: group.assignor_name(limits).into(),
        members: group.members().map(|m| describe_member(m, group.target(&m.id), topics)).collect(),
    }
}

fn describe_member(member: &Member, target: Option<&Assignment>, topics: &dyn TopicView) -> DescribedMember {
    DescribedMember {
        member_id: member.id.to_string(),
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        epoch: member.epoch,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topics: member.subscribed_topics.iter().cloned().collect(),
        subscribed_regex: member.subscribed_regex.clone(),
        assigned: describe_assignment(&member.assigned, topics),
        target: target.map(|t| describe_assignment(t, topics)).unwrap_or_default(),
        member_type: if member.uses_classic_protocol() { 0 } else { 1 },
    }
}

fn describe_assignment(assignment: &Assignment, topics: &dyn TopicView) -> Vec<DescribedTopic> {
    let named = assignment.iter().filter_map(|(id, partitions)| Some((id, topics.topic_name(*id)?, partitions)));
    named
        .map(|(id, name, partitions)| DescribedTopic {
            topic_id: *id,
            name,
            partitions: partitions.iter().copied().collect(),
        })
        .collect()
}
