//! Which partitions are in a transaction: adding them, and asking before something is appended.

use std::collections::BTreeSet;

use super::state::{Producer, TopicPartition};
use super::{Shard, Slot, TransactionCoordinator, TransactionError};
use crate::record::TransactionVersion;
use crate::topic::Durability;

/// What is done with partitions that are not in the transaction yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// They are refused: their producer adds partitions by itself.
    Check,
    /// They are added (KIP-890).
    Add,
}

impl TransactionCoordinator {
    /// AddPartitionsToTxn and AddOffsetsToTxn. The record need not be on the disk before the answer, and goes there with
    /// the next one: whatever rests on it stands behind it in the WAL.
    pub fn add(
        &self,
        id: &str,
        producer: Producer,
        partitions: &BTreeSet<TopicPartition>,
        version: TransactionVersion,
    ) -> Result<(), TransactionError> {
        if id.is_empty() {
            return Err(TransactionError::InvalidRequest);
        }
        self.run(id, |this, index, slot| this.add_in(index, slot, id, producer, partitions, version))
    }

    fn add_in(
        &self,
        index: usize,
        slot: &mut Slot<Shard>,
        id: &str,
        producer: Producer,
        partitions: &BTreeSet<TopicPartition>,
        version: TransactionVersion,
    ) -> Result<(), TransactionError> {
        let now_ms = self.clock().wall_ms();
        let known = self.loaded(index, slot)?.get(id).ok_or(TransactionError::InvalidProducerIdMapping)?;
        if let Some(next) = known.with_partitions(producer, partitions.iter(), version, now_ms)? {
            let durability = Durability::always_if(self.rests_on_wal(&next.partitions)).with_the_next();
            self.record(index, slot, id, next, durability)?;
        }
        Ok(())
    }

    /// Which of the partitions are in the transaction.
    pub fn verify(
        &self,
        id: &str,
        producer: Producer,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeSet<TopicPartition>, TransactionError> {
        self.within(id, producer, partitions, Verification::Check, |members| members)
    }

    /// Runs `then` with those of the partitions that are in the transaction, or why none is. The transaction cannot end
    /// before it returns: what it appends is followed by the marker.
    pub fn within<T>(
        &self,
        id: &str,
        producer: Producer,
        partitions: &BTreeSet<TopicPartition>,
        verification: Verification,
        then: impl FnOnce(Result<BTreeSet<TopicPartition>, TransactionError>) -> T,
    ) -> T {
        let mut then = Some(then);
        let done = self.run(id, |this, index, slot| {
            // A record that adds partitions goes to the disk with what is appended to them.
            let _together = this.topics().env().wal().together();
            let members = if id.is_empty() {
                Err(TransactionError::InvalidRequest)
            } else if verification == Verification::Add {
                this.add_in(index, slot, id, producer, partitions, TransactionVersion::V2)
                    .and_then(|()| this.members(index, slot, id, producer, partitions))
            } else {
                this.members(index, slot, id, producer, partitions)
            };
            Ok(then.take().map(|then| then(members)))
        });
        match (done, then) {
            (Ok(Some(done)), _) => done,
            (Err(error), Some(then)) => then(Err(error)),
            (Ok(None), _) | (Err(_), None) => unreachable!("taken once, where the operation is run"),
        }
    }

    fn members(
        &self,
        index: usize,
        slot: &mut Slot<Shard>,
        id: &str,
        producer: Producer,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeSet<TopicPartition>, TransactionError> {
        let known = self.loaded(index, slot)?.get(id).ok_or(TransactionError::InvalidProducerIdMapping)?;
        known.check_member(producer)?;
        Ok(partitions.intersection(&known.partitions).cloned().collect())
    }
}
