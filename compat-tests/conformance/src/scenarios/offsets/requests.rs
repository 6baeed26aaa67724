//! Requests about offsets in a line, each with only the fields that its version has.

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest};

use crate::play::{text, topic_name};
use crate::scenarios::groups::requests::group_id;

/// OffsetCommit by somebody: (generation, member). A simple group's is (-1, "").
pub fn commit_by(
    group: &str,
    (generation, member): (i32, &str),
    topics: Vec<OffsetCommitRequestTopic>,
) -> OffsetCommitRequest {
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member))
        .with_topics(topics)
}

/// OffsetCommit of one partition of a simple group.
pub fn commit(group: &str, topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    commit_by(group, (-1, ""), vec![offsets(topic, &[(partition, offset)])])
}

/// (partition, offset) of a topic, without metadata.
pub fn offsets(topic: &str, partitions: &[(i32, i64)]) -> OffsetCommitRequestTopic {
    let partitions = partitions.iter().map(|(partition, offset)| at(*partition, *offset, Some(""))).collect();
    OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(partitions)
}

pub fn with_metadata(topic: &str, partitions: &[(i32, i64, Option<&str>)]) -> OffsetCommitRequestTopic {
    let partitions =
        partitions.iter().map(|(partition, offset, metadata)| at(*partition, *offset, *metadata)).collect();
    OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(partitions)
}

fn at(partition: i32, offset: i64, metadata: Option<&str>) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(metadata.map(text))
}

/// OffsetFetch of one group; `None` asks for everything.
pub fn fetch(version: i16, group: &str, topics: Option<&[(&str, &[i32])]>) -> OffsetFetchRequest {
    if version >= 8 {
        return fetch_groups(&[(group, topics)]);
    }
    let topics = topics.map(|topics| {
        topics
            .iter()
            .map(|(name, partitions)| {
                OffsetFetchRequestTopic::default()
                    .with_name(topic_name(name))
                    .with_partition_indexes(partitions.to_vec())
            })
            .collect()
    });
    OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(topics)
}

/// A group, and of which topics.
pub type Asked<'a> = (&'a str, Option<&'a [(&'a str, &'a [i32])]>);

/// OffsetFetch of several groups, from version 8 on.
pub fn fetch_groups(groups: &[Asked]) -> OffsetFetchRequest {
    let groups = groups
        .iter()
        .map(|(group, topics)| {
            let topics = topics.map(|topics| {
                topics
                    .iter()
                    .map(|(name, partitions)| {
                        OffsetFetchRequestTopics::default()
                            .with_name(topic_name(name))
                            .with_partition_indexes(partitions.to_vec())
                    })
                    .collect()
            });
            OffsetFetchRequestGroup::default()
                .with_group_id(group_id(group))
                .with_member_id(None)
                .with_member_epoch(-1)
                .with_topics(topics)
        })
        .collect();
    OffsetFetchRequest::default().with_groups(groups)
}

pub fn delete(group: &str, topics: &[(&str, &[i32])]) -> OffsetDeleteRequest {
    let topics = topics
        .iter()
        .map(|(name, partitions)| {
            let partitions =
                partitions.iter().map(|p| OffsetDeleteRequestPartition::default().with_partition_index(*p)).collect();
            OffsetDeleteRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        })
        .collect();
    OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(topics)
}
