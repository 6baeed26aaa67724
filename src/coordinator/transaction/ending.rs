//! The end of a transaction: the decision on record first, then a marker in each of its partitions, then the end.

use std::collections::BTreeSet;

use super::state::{End, Producer, State, TopicPartition, Transaction};
use super::{Shard, Slot, TransactionCoordinator, TransactionError};
use crate::base::ProducerId;
use crate::config::TimestampType;
use crate::coordinator::OFFSETS_TOPIC;
use crate::log::{AppendError, Origin};
use crate::record::{Marker, PreparedBatch, TransactionVersion};
use crate::topic::{Durability, PartitionError};
use crate::wal::Ticket;

/// Markers that could not be written are tried again this much later, and then twice as much, up to a few seconds.
const RETRY_AFTER_MS: i64 = 200;
const RETRY_DOUBLINGS: u32 = 5;

/// Why a marker was not written.
pub type MarkerError = PartitionError;

/// What became of EndTxn.
#[derive(Debug)]
pub enum Ending {
    /// It has ended so before; the id and epoch in force.
    Already(Producer),
    Decided(Decided),
    NeedsProducerId,
}

/// A transaction whose end is decided: once that is on the disk, [`TransactionCoordinator::complete`] writes its markers.
#[derive(Debug)]
pub struct Decided {
    id: String,
    /// Id and epoch of its producer afterwards.
    pub producer: Producer,
    /// `None`: the markers are written.
    ticket: Option<Ticket>,
}

impl Decided {
    pub fn is_complete(&self) -> bool {
        self.ticket.is_none()
    }
}

impl TransactionCoordinator {
    /// EndTxn. `new_id` is a producer id to be used if one is needed.
    pub fn end(
        &self,
        id: &str,
        producer: Producer,
        commit: bool,
        version: TransactionVersion,
        new_id: Option<ProducerId>,
    ) -> Result<Ending, TransactionError> {
        if id.is_empty() {
            return Err(TransactionError::InvalidRequest);
        }
        if commit {
            self.sync_what_is_not_in_the_wal(id)?;
        }
        self.run(id, |this, index, slot| {
            let shard = this.loaded(index, slot)?;
            let known = shard.get(id).ok_or(TransactionError::InvalidProducerIdMapping)?;
            match known.end(producer, commit, version, new_id, this.clock().wall_ms())? {
                End::NeedsProducerId => Ok(Ending::NeedsProducerId),
                End::Already => Ok(Ending::Already(Producer { id: known.producer_id, epoch: known.producer_epoch })),
                End::Prepared(next) => Ok(Ending::Decided(this.decide(index, slot, id, next)?)),
            }
        })
    }

    /// Writes the markers of a transaction once its decision is on the disk.
    pub async fn complete(&self, decided: &Decided) -> Result<(), TransactionError> {
        let Some(ticket) = &decided.ticket else { return Ok(()) };
        self.after_decision(&decided.id, ticket.committed().await.is_ok())
    }

    /// The same, waiting on the calling thread.
    pub(super) fn complete_now(&self, decided: &Decided) -> Result<(), TransactionError> {
        let Some(ticket) = &decided.ticket else { return Ok(()) };
        self.after_decision(&decided.id, ticket.wait().is_ok())
    }

    fn after_decision(&self, id: &str, on_disk: bool) -> Result<(), TransactionError> {
        self.run(id, |this, index, slot| {
            if !on_disk {
                // What is in the log counts: it is read anew, and its timers go on from there.
                slot.shard = None;
                return Err(TransactionError::CoordinatorNotAvailable);
            }
            let shard = this.loaded(index, slot)?;
            if let Some(owed) = shard.owed(id) {
                owed.decided = true;
            } else if shard.get(id).is_some_and(|t| t.state == State::Ongoing) {
                // Lost with what was read anew meanwhile.
                return Err(TransactionError::CoordinatorNotAvailable);
            }
            this.write_owed(index, slot, id);
            Ok(())
        })
    }

    /// Puts a decision on record. Where it need not wait for the disk, the markers follow at once.
    pub(super) fn decide(
        &self,
        index: usize,
        slot: &mut Slot<Shard>,
        id: &str,
        next: Transaction,
    ) -> Result<Decided, TransactionError> {
        let after = next.completed(0);
        let producer = Producer { id: after.producer_id, epoch: after.producer_epoch };
        let durability = Durability::always_if(self.rests_on_wal(&next.partitions));
        let ticket = self.record(index, slot, id, next, durability)?;
        if let Some(shard) = &mut slot.shard {
            shard.owe(id, ticket.is_none());
        }
        if ticket.is_none() {
            self.write_owed(index, slot, id);
        }
        Ok(Decided { id: id.to_owned(), producer, ticket })
    }

    /// Before a transaction is committed of which a part goes through the WAL: the rest of it is brought to the disk.
    fn sync_what_is_not_in_the_wal(&self, id: &str) -> Result<(), TransactionError> {
        let partitions = self.run(id, |this, index, slot| {
            let open = this.loaded(index, slot)?.get(id).filter(|t| t.state == State::Ongoing);
            Ok(open.filter(|t| this.rests_on_wal(&t.partitions)).map(|t| t.partitions.clone()).unwrap_or_default())
        })?;
        let env = self.topics().env();
        for (name, index) in &partitions {
            let Some(topic) = self.topics().topic(name) else { continue };
            let plain = topic.settings().resolved.flush_messages != 1;
            if let Some(partition) = topic.partition(*index).filter(|_| plain)
                && let Err(error) = partition.sync(&env.log)
            {
                tracing::error!(id, topic = name, partition = index, %error, "a transaction could not be synced");
                return Err(TransactionError::CoordinatorNotAvailable);
            }
        }
        Ok(())
    }

    /// Whether any of the partitions asks for durability before the answer: then all of the transaction goes through the
    /// WAL, so that a crash of the machine cannot keep one half of it.
    pub(super) fn rests_on_wal(&self, partitions: &BTreeSet<TopicPartition>) -> bool {
        let mut last: Option<(&str, bool)> = None;
        partitions.iter().any(|(name, _)| match last {
            Some((topic, durable)) if topic == name => durable,
            _ => {
                let topic = self.topics().topic(name);
                let durable = topic.is_some_and(|t| t.settings().resolved.flush_messages == 1);
                last = Some((name, durable));
                durable
            }
        })
    }

    /// Writes the markers that a decided transaction still owes, and then its end. What fails is tried again.
    pub(super) fn write_owed(&self, index: usize, slot: &mut Slot<Shard>, id: &str) {
        let Some(shard) = &mut slot.shard else { return };
        let (Some(transaction), Some(owed)) = (shard.get(id).cloned(), shard.owed(id).cloned()) else { return };
        let partition = self.topics().topic(super::TRANSACTIONS_TOPIC).and_then(|t| t.partition(index as i32));
        if let (true, Some(partition)) = (owed.found, &partition)
            && let Err(error) = partition.sync(&self.topics().env().log)
        {
            // The decision may be in the page cache only.
            tracing::error!(id, %error, "the decision of a transaction could not be synced");
            shard.retry_ms = Some(self.clock().timer_ms() + RETRY_AFTER_MS);
            return;
        }
        let marker = Marker {
            committed: transaction.state == State::PrepareCommit,
            coordinator_epoch: partition.map_or(0, |p| p.leader_epoch()),
        };
        let producer = (transaction.producer_id, transaction.producer_epoch);
        let durability = Durability::always_if(self.rests_on_wal(&transaction.partitions));
        let together = self.topics().env().wal().together();
        let mut left = BTreeSet::new();
        for place in owed.partitions {
            if owed.found && !self.is_open(&place, producer.0) {
                continue;
            }
            match self.write_marker(&place, producer, marker, transaction.version, durability) {
                // Gone, or past it by other means: there is nothing to end.
                Ok(_) | Err(PartitionError::Deleted) => {}
                Err(PartitionError::Append(
                    error @ (AppendError::InvalidProducerEpoch(_) | AppendError::CoordinatorFenced(_)),
                )) => {
                    tracing::warn!(id, partition = ?place, %error, "a marker is out of date");
                }
                Err(error) => {
                    tracing::error!(id, partition = ?place, %error, "a marker could not be written");
                    left.insert(place);
                }
            }
        }
        let ended = left.is_empty() && {
            let next = transaction.completed(self.clock().wall_ms());
            self.record(index, slot, id, next, durability).is_ok()
        };
        drop(together);
        let Some(shard) = &mut slot.shard else { return };
        if ended {
            shard.owes_nothing_for(id);
        } else {
            let mut attempts = 0;
            if let Some(owed) = shard.owed(id) {
                (owed.partitions, owed.found) = (left, true);
                attempts = owed.attempts;
                owed.attempts += 1;
            }
            let at = self.clock().timer_ms() + (RETRY_AFTER_MS << attempts.min(RETRY_DOUBLINGS));
            shard.retry_ms = Some(shard.retry_ms.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// Whether the producer has a transaction open in a partition.
    fn is_open(&self, (topic, partition): &TopicPartition, producer_id: ProducerId) -> bool {
        let Some(topic) = self.topics().topic(topic) else { return false };
        let Some(partition) = topic.partition(*partition) else { return false };
        let producer =
            partition.with_log(self.topics().env(), &topic.settings().resolved, |log| log.producer(producer_id));
        // Unusable now: asked again when its marker is tried.
        producer.map_or(true, |producer| producer.is_some_and(|p| p.open_transaction.is_some()))
    }

    /// Appends a marker to one partition.
    pub fn write_marker(
        &self,
        (name, index): &TopicPartition,
        producer: (ProducerId, i16),
        marker: Marker,
        version: TransactionVersion,
        durability: Durability,
    ) -> Result<Option<Ticket>, MarkerError> {
        if name == OFFSETS_TOPIC {
            return self.groups.end_transaction(*index, producer, marker, version, durability);
        }
        let storage = |why: &dyn std::fmt::Display| PartitionError::Storage(why.to_string());
        let topic = self.topics().topic(name).ok_or(PartitionError::Deleted)?;
        let partition = topic.partition(*index).ok_or(PartitionError::Deleted)?;
        let (env, settings) = (self.topics().env(), topic.settings());
        let by_broker = settings.resolved.message_timestamp_type == TimestampType::LogAppendTime;
        let now_ms = self.clock().wall_ms();
        let batch = marker.batch(producer.0, producer.1, now_ms, by_broker).map_err(|e| storage(&e))?;
        let batch = PreparedBatch::trusted(batch.into()).ok_or_else(|| storage(&"a malformed marker"))?;
        let outcome = partition.append_in(env, &settings.resolved, &batch, Origin::Marker(version), durability)?;
        Ok(outcome.ticket)
    }
}
