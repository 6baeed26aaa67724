//! What transactions do to groups: offsets in them, and the markers that end them.

use super::{Done, GroupCoordinator, lock, partition_of};
use crate::base::ProducerId;
use crate::coordinator::GroupError;
use crate::coordinator::offsets::OffsetCommitRequest;
use crate::log::Origin;
use crate::record::{Marker, TransactionVersion};
use crate::topic::{Durability, PartitionError};
use crate::wal::Ticket;

impl GroupCoordinator {
    /// The partition of `__consumer_offsets` that a group belongs to, if that topic is there.
    pub fn partition_of(&self, group: &str) -> Option<i32> {
        let slots = self.internal.slots()?;
        Some(partition_of(group, slots.len()) as i32)
    }

    /// TxnOffsetCommit, by a producer in whose transaction the group's partition is.
    pub fn commit_in_transaction(
        &self,
        request: &OffsetCommitRequest,
        producer: (ProducerId, i16),
    ) -> Result<Done<Vec<Result<(), GroupError>>>, GroupError> {
        let done = self
            .run(&request.group, |shard, env, effects| shard.commit_in_transaction(request, producer, env, effects))?;
        Ok(Done { response: done.response?, durable: done.durable })
    }

    /// Appends the marker of a transaction to a partition of `__consumer_offsets`: its offsets count from now on, or never.
    pub fn end_transaction(
        &self,
        index: i32,
        (producer_id, producer_epoch): (ProducerId, i16),
        marker: Marker,
        version: TransactionVersion,
        durability: Durability,
    ) -> Result<Option<Ticket>, PartitionError> {
        let slots = self.internal.slots().ok_or(PartitionError::Deleted)?;
        let index = usize::try_from(index).map_err(|_| PartitionError::Deleted)?;
        let mut slot = lock(slots.get(index).ok_or(PartitionError::Deleted)?);
        let shard = match &mut slot.shard {
            Some(shard) => shard,
            none => none.insert(self.load(index).map_err(|e| PartitionError::Storage(e.to_string()))?),
        };
        let batch = marker
            .batch(producer_id, producer_epoch, self.clock().wall_ms(), false)
            .map_err(|e| PartitionError::Storage(e.to_string()))?;
        // A marker that cannot be appended leaves the shard as it was: there is nothing to be read anew.
        let appended = self.internal.append_batch(index, batch, Origin::Marker(version), durability)?;
        shard.transaction_ended(producer_id, marker.committed);
        Ok(appended.ticket)
    }
}
