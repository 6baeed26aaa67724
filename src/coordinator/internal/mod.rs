//! An internal topic whose partitions are shards of a coordinator's state: which one a key belongs to, appending its
//! records, reading them again, and when which shard is to be looked after.
//!
//! A shard is used by one operation at a time, and its records are appended under the same lock, so that their order is
//! that of the operations.

mod load;
mod wakeups;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::base::{Clock, TopicId};
use crate::log::Origin;
use crate::record::PreparedBatch;
use crate::record::build::{BatchFields, NewRecord, build};
use crate::topic::{ChangeError, Durability, MetadataRecord, PartitionError, TopicManager, Touch};
use crate::wal::Ticket;
pub use load::Loaded;
use wakeups::Wakeups;

/// After a shard could not be loaded or written it is tried again this much later, for the sake of its timers.
pub const RELOAD_AFTER_MS: i64 = 5_000;

pub struct InternalTopic<S> {
    pub topics: Arc<TopicManager>,
    pub clock: Clock,
    name: &'static str,
    /// One a partition of the topic, while that exists.
    slots: RwLock<Option<Slots<S>>>,
    wakeups: Wakeups,
}

pub type Slots<S> = Arc<[Mutex<Slot<S>>]>;

pub struct Slot<S> {
    /// `None` until it is first used, and after an append has failed.
    pub shard: Option<S>,
    /// The wake-up that the timer thread knows of.
    scheduled: Option<i64>,
}

impl<S> Default for Slot<S> {
    fn default() -> Slot<S> {
        Slot { shard: None, scheduled: None }
    }
}

/// Records that could be appended, with where they begin and what must be on the disk before an answer leaves.
pub struct AppendedRecords {
    pub base_offset: i64,
    pub ticket: Option<Ticket>,
}

impl<S> InternalTopic<S> {
    pub fn new(name: &'static str, topics: Arc<TopicManager>, clock: Clock) -> InternalTopic<S> {
        InternalTopic { topics, clock, name, slots: RwLock::default(), wakeups: Wakeups::default() }
    }

    /// Creates the topic if it is not there.
    pub async fn ensure(&self, partitions: u32, configs: Vec<(&'static str, String)>) -> Result<(), ChangeError> {
        if self.topics.topic(self.name).is_some() {
            return Ok(());
        }
        let (name, created_at_ms) = (self.name, self.clock.wall_ms());
        let touches = vec![Touch::Topic(name.to_owned())];
        self.topics
            .change(touches, move |manager| {
                if manager.topic(name).is_some() {
                    return (Vec::new(), ());
                }
                let record = MetadataRecord::TopicCreated {
                    name: name.to_owned(),
                    id: TopicId::random().0.as_u128(),
                    partitions,
                    created_at_ms,
                    configs: configs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
                };
                (vec![record], ())
            })
            .await
    }

    /// The topic is gone.
    pub fn forget(&self) {
        *self.slots.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The shards, if the topic is there.
    pub fn slots(&self) -> Option<Slots<S>> {
        if let Some(slots) = &*self.slots.read().unwrap_or_else(PoisonError::into_inner) {
            return Some(slots.clone());
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let partitions = self.topics.topic(self.name)?.partitions().len();
        Some(slots.get_or_insert_with(|| (0..partitions).map(|_| Mutex::default()).collect()).clone())
    }

    /// Appends one batch of records to a partition.
    pub fn append(
        &self,
        index: usize,
        fields: &BatchFields,
        records: &[NewRecord],
        durability: Durability,
    ) -> Result<AppendedRecords, PartitionError> {
        let batch = build(fields, records).map_err(|e| PartitionError::Storage(e.to_string()))?;
        self.append_batch(index, batch, Origin::Coordinator, durability)
    }

    pub fn append_batch(
        &self,
        index: usize,
        batch: Vec<u8>,
        origin: Origin,
        durability: Durability,
    ) -> Result<AppendedRecords, PartitionError> {
        let malformed = || PartitionError::Storage("a malformed batch".into());
        let topic = self.topics.topic(self.name).ok_or(PartitionError::Deleted)?;
        let partition = topic.partition(index as i32).ok_or(PartitionError::Deleted)?;
        let batch = PreparedBatch::trusted(batch.into()).ok_or_else(malformed)?;
        let outcome = partition.append_in(self.topics.env(), &topic.settings().resolved, &batch, origin, durability)?;
        Ok(AppendedRecords { base_offset: outcome.appended.base_offset, ticket: outcome.ticket })
    }
}

/// The partition of a key among so many: Java's `String.hashCode`, without its sign.
pub fn partition_of(key: &str, partitions: usize) -> usize {
    let hash = key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let hash = if hash == i32::MIN { 0 } else { hash.abs() };
    hash as usize % partitions.max(1)
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn keys_go_to_the_partitions_that_kafka_gives_them() {
        // From `Math.abs("…".hashCode()) % 50` in Java.
        for (group, partition) in [("", 0), ("a", 47), ("console-consumer-1", 24), ("my-group", 12)] {
            assert_eq!(partition_of(group, 50), partition, "{group}");
        }
    }
}
