//! Offsets that are committed in transactions: kept aside until the marker says what becomes of them.

use std::collections::{HashMap, HashSet};

use super::{Effects, Environment, Group, Shard, kip848};
use crate::base::ProducerId;
use crate::coordinator::GroupError;
use crate::coordinator::classic::ClassicGroup;
use crate::coordinator::offsets::{CommittedOffset, GroupOffsets, OffsetCommitRequest};

/// Offsets of open transactions, by producer and group.
#[derive(Debug, Default)]
pub struct PendingOffsets {
    by_producer: HashMap<ProducerId, HashMap<String, GroupOffsets>>,
    producers_of: HashMap<String, HashSet<ProducerId>>,
}

impl PendingOffsets {
    pub fn insert(
        &mut self,
        producer_id: ProducerId,
        group: &str,
        topic: &str,
        partition: i32,
        offset: CommittedOffset,
    ) {
        let groups = self.by_producer.entry(producer_id).or_default();
        groups.entry(group.to_owned()).or_default().insert(topic, partition, offset);
        self.producers_of.entry(group.to_owned()).or_default().insert(producer_id);
    }

    /// Forgets what any transaction has committed for a partition.
    pub fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        let Some(producers) = self.producers_of.get_mut(group) else { return };
        let by_producer = &mut self.by_producer;
        producers.retain(|producer_id| {
            let Some(groups) = by_producer.get_mut(producer_id) else { return false };
            let Some(offsets) = groups.get_mut(group) else { return false };
            offsets.remove(topic, partition);
            if !offsets.is_empty() {
                return true;
            }
            groups.remove(group);
            if groups.is_empty() {
                by_producer.remove(producer_id);
            }
            false
        });
        if producers.is_empty() {
            self.producers_of.remove(group);
        }
    }

    /// Takes everything of a transaction that ends.
    fn take(&mut self, producer_id: ProducerId) -> HashMap<String, GroupOffsets> {
        let groups = self.by_producer.remove(&producer_id).unwrap_or_default();
        for group in groups.keys() {
            if let Some(producers) = self.producers_of.get_mut(group) {
                producers.remove(&producer_id);
                if producers.is_empty() {
                    self.producers_of.remove(group);
                }
            }
        }
        groups
    }

    /// Whether any transaction of a group is open.
    pub fn has_group(&self, group: &str) -> bool {
        self.producers_of.contains_key(group)
    }

    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.producers_of.keys().map(String::as_str)
    }

    /// Group, topic and partition of everything that pends.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, i32)> {
        let groups = self.by_producer.values().flatten();
        groups.flat_map(|(group, offsets)| offsets.iter().map(move |(topic, p, _)| (group.as_str(), topic, p)))
    }

    /// What open transactions have committed of a group, each by itself.
    pub fn of_group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a GroupOffsets> {
        let producers = self.producers_of.get(group).into_iter().flatten();
        producers.filter_map(move |producer_id| self.by_producer.get(producer_id)?.get(group))
    }

    /// Whether a transaction that has committed the partition is open.
    pub fn contains(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.of_group(group).any(|offsets| offsets.get(topic, partition).is_some())
    }

    /// Every partition of a topic that is committed in an open transaction, by group.
    pub fn partitions_of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = (&'a str, i32)> {
        self.by_producer.values().flatten().flat_map(move |(group, offsets)| {
            offsets.partitions_of(topic).map(move |partition| (group.as_str(), partition))
        })
    }
}

impl Shard {
    /// TxnOffsetCommit: one result for each partition, or why nothing is committed at all. The caller has seen to it that
    /// this partition of `__consumer_offsets` is in the transaction.
    pub fn commit_in_transaction(
        &mut self,
        request: &OffsetCommitRequest,
        (producer_id, producer_epoch): (ProducerId, i16),
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.groups.get(&request.group) {
            Some(Group::Classic(group)) => group.check_transactional_commit(
                &request.member_id,
                request.instance_id.as_deref(),
                request.generation,
            )?,
            Some(Group::Consumer(group)) => {
                let committer = kip848::offsets::Committer {
                    member_id: &request.member_id,
                    instance_id: request.instance_id.as_deref(),
                    epoch: request.generation,
                    transactional: true,
                    api_version: request.version,
                };
                group.may_commit(&committer).map_err(|e| match e.name {
                    GroupError::StaleMemberEpoch => GroupError::IllegalGeneration,
                    other => other,
                })?;
            }
            None if request.generation < 0 => {
                let group = ClassicGroup::new(&request.group, effects.wall_ms);
                self.groups.insert(request.group.clone(), Group::Classic(group));
            }
            None => return Err(GroupError::IllegalGeneration),
        }
        effects.transaction = Some((producer_id, producer_epoch));
        Ok(Shard::commit_records(request, env, effects))
    }

    /// The marker of a transaction is in the log: what it has committed counts from now on, or never.
    pub fn transaction_ended(&mut self, producer_id: ProducerId, committed: bool) {
        for (group, pending) in self.pending.take(producer_id) {
            if !committed {
                continue;
            }
            let offsets = self.offsets.entry(group).or_default();
            for (topic, partition, offset) in pending.iter() {
                // A commit that came later stays.
                let later =
                    offsets.get(topic, partition).is_some_and(|known| known.record_offset >= offset.record_offset);
                if !later {
                    offsets.insert(topic, partition, offset.clone());
                }
            }
        }
    }
}
