//! ConsumerGroupDescribe (key 69), versions 0–1 (KIP-848).
//!
//! Behaviour: consumer groups with epochs, members, current and target assignment. Version notes: v1 member types.

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup as Out, Member, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::describe_groups::GROUP_OPERATIONS;
use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request};
use crate::coordinator::consumer::describe::{DescribedGroup, DescribedMember, DescribedTopic};

pub const API: Api =
    Api { key: 69, name: "ConsumerGroupDescribe", versions: (0, 1), advertised_from: 0, flexible_from: 0, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ConsumerGroupDescribeRequest = request.decode(body)?;
    let mut response = ConsumerGroupDescribeResponse::default();
    for group in asked.group_ids {
        let mut out = Out::default();
        out.error_message = None;
        if group.is_empty() {
            out.error_code = Error::InvalidGroupId.code();
        } else {
            match request.broker().groups.consumer_describe(&group) {
                Ok(Some(found)) => {
                    describe(&mut out, found, request.version);
                    if asked.include_authorized_operations {
                        out.authorized_operations = GROUP_OPERATIONS;
                    }
                }
                Ok(None) => {
                    out.error_code = Error::GroupIdNotFound.code();
                    let message = match request.broker().groups.group_type(&group) {
                        Ok(Some(_)) => format!("Group {} is not a consumer group.", *group),
                        _ => format!("Group {} not found.", *group),
                    };
                    out.error_message = Some(StrBytes::from_string(message));
                }
                Err(error) => out.error_code = errors::of_group(error).code(),
            }
        }
        out.group_id = group;
        response.groups.push(out);
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

fn describe(out: &mut Out, group: DescribedGroup, version: i16) {
    out.group_state = StrBytes::from_static_str(group.state.name());
    out.group_epoch = group.epoch;
    out.assignment_epoch = group.target_epoch;
    out.assignor_name = StrBytes::from_string(group.assignor);
    out.members = group.members.into_iter().map(|m| member(m, version)).collect();
}

fn member(member: DescribedMember, version: i16) -> Member {
    let mut out = Member::default();
    out.member_id = StrBytes::from_string(member.member_id);
    out.instance_id = member.instance_id.map(StrBytes::from_string);
    out.rack_id = member.rack_id.map(StrBytes::from_string);
    out.member_epoch = member.epoch;
    out.client_id = StrBytes::from_string(member.client_id);
    out.client_host = StrBytes::from_string(member.client_host);
    out.subscribed_topic_names =
        member.subscribed_topics.into_iter().map(|t| TopicName(StrBytes::from_string(t))).collect();
    out.subscribed_topic_regex = member.subscribed_regex.map(StrBytes::from_string);
    out.assignment = assignment(member.assigned);
    out.target_assignment = assignment(member.target);
    if version >= 1 {
        out.member_type = member.member_type;
    }
    out
}

fn assignment(topics: Vec<DescribedTopic>) -> Assignment {
    let topics = topics.into_iter().map(|t| {
        TopicPartitions::default()
            .with_topic_id(t.topic_id.0)
            .with_topic_name(TopicName(StrBytes::from_string(t.name)))
            .with_partitions(t.partitions)
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
