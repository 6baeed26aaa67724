//! Committed offsets of the groups of one shard.

use std::collections::BTreeMap;

use super::records::{GroupRecord, OffsetValue};
use crate::base::TopicId;

/// One partition's commit, as a client asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    pub topic: String,
    /// Where the request named it; else zero.
    pub topic_id: TopicId,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// A commit request: who, and what.
#[derive(Clone, Debug)]
pub struct OffsetCommitRequest {
    pub group: String,
    pub member_id: String,
    pub instance_id: Option<String>,
    /// Generation of a classic group, member epoch of a consumer group; -1 from outside of any.
    pub generation: i32,
    /// -1: by `offsets.retention.minutes`.
    pub retention_ms: i64,
    pub version: i16,
    pub commits: Vec<Commit>,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
    pub commit_timestamp: i64,
    pub expire_timestamp: i64,
    /// Of the topic when it was committed, where that is known; else zero.
    pub topic_id: TopicId,
    /// Where its record is in the log: of two commits the later one counts, whenever their transactions end.
    pub record_offset: i64,
}

/// Not to expire at a certain time, but by `offsets.retention.minutes`.
pub const NO_EXPIRY: i64 = -1;

/// What one group has committed: by topic, then by partition. No topic is there without a partition.
#[derive(Debug, Default)]
pub struct GroupOffsets(BTreeMap<String, BTreeMap<i32, CommittedOffset>>);

impl GroupOffsets {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.0.get(topic)?.get(&partition)
    }

    pub fn topics(&self) -> impl Iterator<Item = (&str, &BTreeMap<i32, CommittedOffset>)> {
        self.0.iter().map(|(topic, partitions)| (topic.as_str(), partitions))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, i32, &CommittedOffset)> {
        self.topics().flat_map(|(topic, partitions)| partitions.iter().map(move |(p, offset)| (topic, *p, offset)))
    }

    pub fn partitions_of(&self, topic: &str) -> impl Iterator<Item = i32> {
        self.0.get(topic).into_iter().flat_map(|partitions| partitions.keys().copied())
    }

    pub fn insert(&mut self, topic: &str, partition: i32, offset: CommittedOffset) {
        match self.0.get_mut(topic) {
            Some(partitions) => drop(partitions.insert(partition, offset)),
            None => drop(self.0.insert(topic.to_owned(), BTreeMap::from([(partition, offset)]))),
        }
    }

    pub fn remove(&mut self, topic: &str, partition: i32) {
        let Some(partitions) = self.0.get_mut(topic) else { return };
        partitions.remove(&partition);
        if partitions.is_empty() {
            self.0.remove(topic);
        }
    }
}

pub fn record_of(request: &OffsetCommitRequest, commit: &Commit, now_ms: i64) -> GroupRecord {
    let retention_ms = request.retention_ms;
    GroupRecord::Offset {
        group: request.group.clone(),
        topic: commit.topic.clone(),
        partition: commit.partition,
        value: Some(OffsetValue {
            offset: commit.offset,
            leader_epoch: commit.leader_epoch,
            metadata: commit.metadata.clone(),
            commit_timestamp: now_ms,
            // Wraps, as Kafka's does: an endless retention ends at once.
            expire_timestamp: if retention_ms == -1 { NO_EXPIRY } else { now_ms.wrapping_add(retention_ms) },
            topic_id: commit.topic_id,
        }),
    }
}

pub fn tombstone(group: &str, topic: &str, partition: i32) -> GroupRecord {
    GroupRecord::Offset { group: group.to_owned(), topic: topic.to_owned(), partition, value: None }
}

impl CommittedOffset {
    pub fn of(value: OffsetValue, record_offset: i64) -> CommittedOffset {
        CommittedOffset {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata,
            commit_timestamp: value.commit_timestamp,
            expire_timestamp: value.expire_timestamp,
            topic_id: value.topic_id,
            record_offset,
        }
    }
}
