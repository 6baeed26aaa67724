//! Requests of the consumer protocol in a line, and members that are there before a scenario begins.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Encodable;

use crate::play::{Done, Play, Stop, Topic, text, topic_name};
use crate::scenarios::groups::requests::{group_id, sync};

/// A topic, and partitions of it.
pub type Owned<'a> = (&'a Topic, &'a [i32]);

/// A heartbeat that says nothing new.
pub fn beat(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

/// The first heartbeat of a member, which subscribes to topics.
pub fn first(group: &str, member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    beat(group, member, 0)
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|t| topic_name(t)).collect()))
        .with_topic_partitions(Some(vec![]))
}

/// The first heartbeat of a member that subscribes by a regular expression.
pub fn first_by_regex(group: &str, member: &str, regex: &str) -> ConsumerGroupHeartbeatRequest {
    let mut request = first(group, member, &[]).with_subscribed_topic_regex(Some(text(regex)));
    request.subscribed_topic_names = None;
    request
}

/// A heartbeat that says what the member owns.
pub fn owning(group: &str, member: &str, epoch: i32, owned: &[Owned]) -> ConsumerGroupHeartbeatRequest {
    beat(group, member, epoch).with_topic_partitions(Some(partitions(owned)))
}

pub fn partitions(owned: &[Owned]) -> Vec<TopicPartitions> {
    owned
        .iter()
        .map(|(topic, partitions)| {
            TopicPartitions::default().with_topic_id(topic.id).with_partitions(partitions.to_vec())
        })
        .collect()
}

pub fn describe(groups: &[&str]) -> ConsumerGroupDescribeRequest {
    ConsumerGroupDescribeRequest::default().with_group_ids(groups.iter().map(|g| group_id(g)).collect())
}

/// Joins without recording; the epoch that the member has now.
pub fn joined(play: &mut Play, request: ConsumerGroupHeartbeatRequest) -> Done<i32> {
    let answer = play.quiet(1, request)?;
    if answer.error_code != 0 {
        return Err(Stop(format!("cannot join: {answer:?}")));
    }
    Ok(answer.member_epoch)
}

/// Two members `a` and `b` of a stable group, each with two of the four partitions of a topic: the epoch of both.
pub fn two(play: &mut Play, group: &str, topic: &Topic) -> Done<i32> {
    joined(play, first(group, "a", &[topic]))?;
    joined(play, first(group, "b", &[topic]))?;
    // `a` learns that it keeps two partitions, gives up the others, and `b` gets those.
    let told = play.quiet(1, beat(group, "a", 1))?;
    let kept = assigned(&told);
    let kept: Vec<Owned> = kept.iter().map(|partitions| (topic, partitions.as_slice())).collect();
    play.quiet(1, owning(group, "a", told.member_epoch, &kept))?;
    let told = play.quiet(1, beat(group, "b", 2))?;
    let got = assigned(&told);
    let got: Vec<Owned> = got.iter().map(|partitions| (topic, partitions.as_slice())).collect();
    joined(play, owning(group, "b", told.member_epoch, &got))
}

/// The partitions of an answer, topic by topic.
pub fn assigned(answer: &ConsumerGroupHeartbeatResponse) -> Vec<Vec<i32>> {
    let assignment = answer.assignment.clone().unwrap_or_default();
    assignment.topic_partitions.into_iter().map(|topic| topic.partitions).collect()
}

/// An assignment of the classic consumer protocol at version 1, as its bytes.
pub fn assignment(partitions: &[(&str, &[i32])]) -> Bytes {
    let topics = partitions
        .iter()
        .map(|(topic, partitions)| {
            TopicPartition::default().with_topic(topic_name(topic)).with_partitions(partitions.to_vec())
        })
        .collect();
    let mut out = BytesMut::from(&1i16.to_be_bytes()[..]);
    let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(topics);
    assignment.encode(&mut out, 1).expect("an assignment can be encoded");
    out.freeze()
}

/// SyncGroup of a classic leader with real assignments.
pub fn sync_with(
    version: i16,
    group: &str,
    generation: i32,
    member: &str,
    assigned: &[(&str, Bytes)],
) -> SyncGroupRequest {
    let assignments = assigned
        .iter()
        .map(|(member, bytes)| {
            SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(bytes.clone())
        })
        .collect();
    sync(version, group, generation, member, &[]).with_assignments(assignments)
}
