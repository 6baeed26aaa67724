//! Committed offsets in a shard: commit, fetch, delete, expire.

use super::{Effects, Environment, Group, PendingOffsets, Shard, kip848};
use crate::base::ProducerId;
use crate::coordinator::GroupError;
use crate::coordinator::classic::{ClassicGroup, ClassicState, Limits};
use crate::coordinator::offsets::{self, Commit, CommittedOffset, GroupOffsets, OffsetCommitRequest};
use crate::coordinator::records::GroupRecord;

impl Shard {
    /// One result for each partition, or why nothing is committed at all.
    pub fn commit(
        &mut self,
        request: &OffsetCommitRequest,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.groups.get_mut(&request.group) {
            Some(Group::Classic(group)) => {
                group.check_commit(&request.member_id, request.instance_id.as_deref(), request.generation)?;
                if matches!(group.state(), ClassicState::Stable | ClassicState::PreparingRebalance) {
                    group.heard_of(&request.member_id, env.now_ms, effects);
                }
            }
            Some(Group::Consumer(group)) => {
                let committer = kip848::offsets::Committer {
                    member_id: &request.member_id,
                    instance_id: request.instance_id.as_deref(),
                    epoch: request.generation,
                    transactional: false,
                    api_version: request.version,
                };
                group.may_commit(&committer).map_err(|e| e.name)?;
            }
            None if request.generation < 0 => {
                let group = ClassicGroup::new(&request.group, effects.wall_ms);
                self.groups.insert(request.group.clone(), Group::Classic(group));
            }
            None if request.version >= 9 => return Err(GroupError::GroupIdNotFound),
            None => return Err(GroupError::IllegalGeneration),
        }
        Ok(Shard::commit_records(request, env, effects))
    }

    /// A record for each partition that may be committed.
    pub(super) fn commit_records(
        request: &OffsetCommitRequest,
        env: &Environment<'_>,
        effects: &mut Effects,
    ) -> Vec<Result<(), GroupError>> {
        let each = request.commits.iter().map(|commit: &Commit| {
            // Kafka counts the units of a Java string.
            if commit.metadata.encode_utf16().count() > env.limits.offset_metadata_units_max {
                return Err(GroupError::OffsetMetadataTooLarge);
            }
            // Looked up here: what is committed before the topic goes, goes with it (`topic_deleted`).
            match env.topics.topic(&commit.topic) {
                None => return Err(GroupError::UnknownTopicOrPartition),
                Some((id, _)) if !commit.topic_id.is_zero() && commit.topic_id != id => {
                    return Err(GroupError::UnknownTopicId);
                }
                Some(_) => {}
            }
            effects.records.push(offsets::record_of(request, commit, effects.wall_ms));
            Ok(())
        });
        each.collect()
    }

    /// Whether this member may ask what the group has committed (OffsetFetch v9 and later).
    pub fn may_fetch(&self, group: &str, member_id: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        match self.groups.get(group) {
            Some(Group::Consumer(group)) => Ok(group.may_fetch(member_id, epoch).map_err(|e| e.name)?),
            _ => Ok(()),
        }
    }

    pub fn committed(&self, group: &str) -> Option<&GroupOffsets> {
        self.offsets.get(group)
    }

    pub fn pending(&self) -> &PendingOffsets {
        &self.pending
    }

    /// One result for each partition, or why none is deleted.
    pub fn delete_offsets(
        &mut self,
        group: &str,
        partitions: &[(String, i32)],
        effects: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let found = self.groups.get(group).ok_or(GroupError::GroupIdNotFound)?;
        if let Group::Classic(classic) = found
            && !classic.is_empty()
            && !classic.is_consumer_group()
        {
            return Err(GroupError::NonEmptyGroup);
        }
        let subscribes = |topic: &str| match found {
            Group::Classic(group) => group.subscribes_to(topic),
            Group::Consumer(group) => group.is_subscribed_to(topic),
        };
        let committed = self.offsets.get(group);
        let mut looked_at: Option<(&str, bool)> = None;
        let results = partitions
            .iter()
            .map(|(topic, partition)| {
                // Partitions come topic by topic.
                let subscribed = match looked_at {
                    Some((last, subscribed)) if last == topic => subscribed,
                    _ => subscribes(topic),
                };
                looked_at = Some((topic, subscribed));
                if subscribed {
                    return Err(GroupError::GroupSubscribedToTopic);
                }
                let pending = self.pending.contains(group, topic, *partition);
                if pending || committed.is_some_and(|o| o.get(topic, *partition).is_some()) {
                    effects.records.push(offsets::tombstone(group, topic, *partition));
                }
                Ok(())
            })
            .collect();
        Ok(results)
    }

    /// Forgets what was committed for a topic that is gone.
    pub fn topic_deleted(&mut self, topic: &str, effects: &mut Effects) {
        for (group, committed) in &self.offsets {
            let gone = committed.partitions_of(topic).map(|partition| offsets::tombstone(group, topic, partition));
            effects.records.extend(gone);
        }
        let pending = self.pending.partitions_of(topic);
        effects.records.extend(pending.map(|(group, partition)| offsets::tombstone(group, topic, partition)));
    }

    /// Offsets past their retention, and groups that are left with nothing.
    pub(super) fn expire(&mut self, limits: &Limits, effects: &mut Effects) {
        let mut gone = Vec::new();
        for (id, group) in &self.groups {
            let committed = self.offsets.get(id);
            let mut left = 0;
            for (topic, partitions) in committed.into_iter().flat_map(GroupOffsets::topics) {
                let retention = Retention::of(group, topic);
                for (partition, offset) in partitions {
                    let over = retention.is_over(offset, effects.wall_ms, limits.offsets_retention_ms);
                    if over && !self.pending.contains(id, topic, *partition) {
                        effects.records.push(offsets::tombstone(id, topic, *partition));
                    } else {
                        left += 1;
                    }
                }
            }
            let pending = matches!(group, Group::Classic(group) if group.has_pending());
            if left == 0 && group.is_empty() && !pending && !self.pending.has_group(id) {
                gone.push(id.clone());
            }
        }
        for id in gone {
            self.delete_group(&id, effects);
        }
    }

    /// Applies a record at its offset in the log, of a producer's transaction or of none.
    pub(super) fn replay_offset(&mut self, record: &GroupRecord, offset: i64, transaction: Option<ProducerId>) {
        let GroupRecord::Offset { group, topic, partition, value } = record else { return };
        match (value, transaction) {
            (Some(value), Some(producer_id)) => {
                let committed = CommittedOffset::of(value.clone(), offset);
                self.pending.insert(producer_id, group, topic, *partition, committed);
            }
            (Some(value), None) => {
                if !self.offsets.contains_key(group) {
                    self.offsets.insert(group.clone(), GroupOffsets::default());
                }
                if let Some(committed) = self.offsets.get_mut(group) {
                    committed.insert(topic, *partition, CommittedOffset::of(value.clone(), offset));
                }
            }
            (None, _) => {
                if let Some(committed) = self.offsets.get_mut(group) {
                    committed.remove(topic, *partition);
                    if committed.is_empty() {
                        self.offsets.remove(group);
                    }
                }
                self.pending.remove(group, topic, *partition);
            }
        }
    }
}

/// From when on a group no longer needs what it has committed for a topic (Kafka's `OffsetExpirationConditionImpl`).
#[derive(Clone, Copy)]
enum Retention {
    Needed,
    FromCommit,
    /// From the later of the commit and this time.
    From(i64),
}

impl Retention {
    fn of(group: &Group, topic: &str) -> Retention {
        match group {
            Group::Consumer(group) if group.is_subscribed_to(topic) => Retention::Needed,
            Group::Consumer(_) => Retention::FromCommit,
            Group::Classic(group) if group.protocol_type().is_none() => Retention::FromCommit,
            Group::Classic(group) if group.is_empty() => Retention::From(group.state_timestamp()),
            Group::Classic(group)
                if group.is_consumer_group()
                    && group.state() == ClassicState::Stable
                    && !group.subscribes_to(topic) =>
            {
                Retention::FromCommit
            }
            Group::Classic(_) => Retention::Needed,
        }
    }

    fn is_over(self, offset: &CommittedOffset, wall_ms: i64, retention_ms: i64) -> bool {
        let begin = match self {
            Retention::Needed => return false,
            Retention::FromCommit => offset.commit_timestamp,
            Retention::From(timestamp) => timestamp.max(offset.commit_timestamp),
        };
        if offset.expire_timestamp != offsets::NO_EXPIRY {
            return wall_ms >= offset.expire_timestamp;
        }
        wall_ms - begin >= retention_ms
    }
}
