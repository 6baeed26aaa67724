//! What clients ask of groups: one method a request, each an operation on the group's shard.

use super::{Done, GroupCoordinator};
use crate::coordinator::GroupError;
use crate::coordinator::PendingOffsets;
use crate::coordinator::classic::{JoinRequest, JoinResponse, Leaving, SyncRequest, SyncResponse};
use crate::coordinator::consumer::describe::DescribedGroup as DescribedConsumerGroup;
use crate::coordinator::consumer::{self, HeartbeatRequest, HeartbeatResponse};
use crate::coordinator::offsets::{GroupOffsets, OffsetCommitRequest};
use crate::coordinator::shard::{DescribedGroup, GroupListing, Parked};

/// What a group has committed, and what open transactions may commit.
#[derive(Clone, Copy)]
pub struct Committed<'a> {
    pub offsets: Option<&'a GroupOffsets>,
    pub pending: &'a PendingOffsets,
}

impl GroupCoordinator {
    /// Joins; the answer comes through `parked`.
    pub fn join(&self, request: &JoinRequest, parked: Parked<JoinResponse>) -> Result<(), GroupError> {
        self.run(&request.group, |shard, env, effects| shard.join(request, parked, env, effects))?;
        Ok(())
    }

    /// Syncs; the answer comes through `parked`.
    pub fn sync(&self, request: &SyncRequest, parked: Parked<SyncResponse>) -> Result<(), GroupError> {
        self.run(&request.group, |shard, env, effects| shard.sync(request, parked, env, effects))?;
        Ok(())
    }

    pub fn heartbeat(
        &self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        self.run(group, |shard, env, effects| shard.heartbeat(group, member_id, instance_id, generation, env, effects))?
            .response
    }

    pub fn leave(&self, group: &str, leaving: &[Leaving]) -> Result<Done<Vec<Result<(), GroupError>>>, GroupError> {
        flatten(self.run(group, |shard, env, effects| shard.leave(group, leaving, env, effects))?)
    }

    pub fn commit(&self, request: &OffsetCommitRequest) -> Result<Done<Vec<Result<(), GroupError>>>, GroupError> {
        flatten(self.run(&request.group, |shard, env, effects| shard.commit(request, env, effects))?)
    }

    /// Reads what a group has committed; nothing for an unknown one. A member of a consumer group that asks with its
    /// epoch must be in that epoch.
    pub fn committed<T>(
        &self,
        group: &str,
        member_id: Option<&str>,
        epoch: i32,
        read: impl FnOnce(Committed<'_>) -> T,
    ) -> Result<T, GroupError> {
        let done = self.run(group, |shard, _, _| {
            shard.may_fetch(group, member_id, epoch)?;
            Ok(read(Committed { offsets: shard.committed(group), pending: shard.pending() }))
        })?;
        done.response
    }

    /// ConsumerGroupHeartbeat, checked and with a member id.
    pub fn consumer_heartbeat(
        &self,
        group: &str,
        request: &HeartbeatRequest,
    ) -> Result<Done<Result<HeartbeatResponse, consumer::Refusal>>, GroupError> {
        self.run(group, |shard, env, effects| shard.consumer_heartbeat(group, request, env, effects))
    }

    pub fn consumer_describe(&self, group: &str) -> Result<Option<DescribedConsumerGroup>, GroupError> {
        Ok(self.run(group, |shard, env, _| shard.consumer_describe(group, env))?.response)
    }

    pub fn describe(&self, group: &str) -> Result<Option<DescribedGroup>, GroupError> {
        Ok(self.run(group, |shard, _, _| shard.describe(group))?.response)
    }

    /// "classic" or "consumer"; `None` for a group that is not there.
    pub fn group_type(&self, group: &str) -> Result<Option<&'static str>, GroupError> {
        Ok(self.run(group, |shard, _, _| shard.group_type(group))?.response)
    }

    /// Every group there is.
    pub fn list(&self) -> Result<Vec<GroupListing>, GroupError> {
        let Some(shards) = self.internal.slots() else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for index in 0..shards.len() {
            all.extend(self.run_on(index, |shard, _, _| shard.list().collect::<Vec<_>>())?.response);
        }
        Ok(all)
    }

    pub fn delete(&self, group: &str) -> Result<Done<()>, GroupError> {
        flatten(self.run(group, |shard, _, effects| shard.delete(group, effects))?)
    }

    pub fn delete_offsets(
        &self,
        group: &str,
        partitions: &[(String, i32)],
    ) -> Result<Done<Vec<Result<(), GroupError>>>, GroupError> {
        flatten(self.run(group, |shard, _, effects| shard.delete_offsets(group, partitions, effects))?)
    }
}

fn flatten<T>(done: Done<Result<T, GroupError>>) -> Result<Done<T>, GroupError> {
    Ok(Done { response: done.response?, durable: done.durable })
}
