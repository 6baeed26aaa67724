//! The runtime under the shards: which partition a group belongs to, appending its records, loading, timers.

mod load;
mod requests;
mod surroundings;
mod wakeups;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use super::records::GroupRecord;
use super::shard::{Effects, Environment, Shard};
use super::{GroupError, OFFSETS_TOPIC};
use crate::base::{Clock, TopicId};
use crate::config::BrokerValues;
use crate::record::PreparedBatch;
use crate::record::build::{BatchFields, NewRecord, build};
use crate::topic::{MetadataRecord, Topic, TopicManager, Touch};
use crate::wal::Ticket;
use surroundings::ConfiguredLimits;
use wakeups::Wakeups;

/// A response, and what must be on the disk before it leaves.
#[derive(Debug)]
pub struct Done<R> {
    pub response: R,
    pub durable: Option<Arc<Ticket>>,
}

impl<R> Done<R> {
    /// The response once its records are committed.
    pub async fn committed(self) -> Result<R, GroupError> {
        match self.durable {
            None => Ok(self.response),
            Some(ticket) => match ticket.committed().await {
                Ok(()) => Ok(self.response),
                Err(_) => Err(GroupError::CoordinatorNotAvailable),
            },
        }
    }
}

/// All groups of the broker.
pub struct GroupCoordinator {
    topics: Arc<TopicManager>,
    clock: Clock,
    limits: Mutex<Option<ConfiguredLimits>>,
    /// One a partition of the internal topic, while that exists.
    shards: RwLock<Option<Shards>>,
    wakeups: Wakeups,
    thread: Mutex<Option<JoinHandle<()>>>,
}

type Shards = Arc<[Mutex<Slot>]>;

#[derive(Default)]
struct Slot {
    /// `None` until it is first used, and after an append has failed.
    shard: Option<Shard>,
    /// The wake-up that the timer thread knows of.
    scheduled: Option<i64>,
}

/// After a shard could not be loaded or written it is tried again this much later, for the sake of its timers.
const RELOAD_AFTER_MS: i64 = 5_000;

impl GroupCoordinator {
    /// Starts the thread that loads the groups and runs their timers.
    pub fn start(topics: Arc<TopicManager>, clock: Clock) -> std::io::Result<Arc<GroupCoordinator>> {
        let coordinator = Arc::new(GroupCoordinator {
            topics: topics.clone(),
            clock,
            limits: Mutex::default(),
            shards: RwLock::default(),
            wakeups: Wakeups::default(),
            thread: Mutex::default(),
        });
        let weak = Arc::downgrade(&coordinator);
        topics.on_topic_deleted(move |topic| {
            if let Some(coordinator) = weak.upgrade() {
                coordinator.topic_deleted(topic);
            }
        });
        let this = coordinator.clone();
        let thread = std::thread::Builder::new().name("groups".into()).spawn(move || this.run_timers())?;
        *lock(&coordinator.thread) = Some(thread);
        Ok(coordinator)
    }

    pub fn stop(&self) {
        self.wakeups.stop();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }

    /// Creates the internal topic if it is not there, with the partitions of `offsets.topic.num.partitions`.
    pub async fn ensure_topic(&self) -> Result<(), GroupError> {
        if self.topics.topic(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        let config = self.topics.config();
        let partitions = config.get_i32("offsets.topic.num.partitions").max(1) as u32;
        let segment_bytes = config.get_i64("offsets.topic.segment.bytes");
        let created_at_ms = self.clock.wall_ms();
        let touches = vec![Touch::Topic(OFFSETS_TOPIC.to_owned())];
        self.topics
            .change(touches, move |manager| {
                if manager.topic(OFFSETS_TOPIC).is_some() {
                    return (Vec::new(), ());
                }
                let configs = [
                    ("cleanup.policy", "compact".to_owned()),
                    ("compression.type", "producer".to_owned()),
                    ("segment.bytes", segment_bytes.to_string()),
                ];
                let record = MetadataRecord::TopicCreated {
                    name: OFFSETS_TOPIC.to_owned(),
                    id: TopicId::random().0.as_u128(),
                    partitions,
                    created_at_ms,
                    configs: configs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
                };
                (vec![record], ())
            })
            .await
            .map_err(|_| GroupError::CoordinatorNotAvailable)
    }

    /// Offsets committed for a deleted topic go with it: the topic is not to be found any more, and none of its name is
    /// created before this returns.
    fn topic_deleted(&self, topic: &Topic) {
        if &*topic.name == OFFSETS_TOPIC {
            *self.shards.write().unwrap_or_else(PoisonError::into_inner) = None;
            return;
        }
        for index in 0..self.shards().map_or(0, |shards| shards.len()) {
            let forgotten = self.run_on(index, |shard, _, effects| shard.topic_deleted(&topic.name, effects));
            if let Err(error) = forgotten {
                tracing::error!(topic = %topic.name, partition = index, %error, "offsets of a deleted topic are left");
            }
        }
    }

    fn shards(&self) -> Option<Shards> {
        if let Some(shards) = &*self.shards.read().unwrap_or_else(PoisonError::into_inner) {
            return Some(shards.clone());
        }
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        let partitions = self.topics.topic(OFFSETS_TOPIC)?.partitions().len();
        Some(shards.get_or_insert_with(|| (0..partitions).map(|_| Mutex::default()).collect()).clone())
    }

    fn run<T>(
        &self,
        group: &str,
        operation: impl FnOnce(&mut Shard, &Environment<'_>, &mut Effects) -> T,
    ) -> Result<Done<T>, GroupError> {
        let shards = self.shards().ok_or(GroupError::NotCoordinator)?;
        self.run_on(partition_of(group, shards.len()), operation)
    }

    /// Runs one operation on a shard: the records it leaves are appended under the same lock, so that their order is that
    /// of the operations; then the answers go out.
    fn run_on<T>(
        &self,
        index: usize,
        operation: impl FnOnce(&mut Shard, &Environment<'_>, &mut Effects) -> T,
    ) -> Result<Done<T>, GroupError> {
        let shards = self.shards().ok_or(GroupError::NotCoordinator)?;
        let mut slot = lock(shards.get(index).ok_or(GroupError::NotCoordinator)?);
        let mut effects = Effects::new(self.clock.wall_ms());
        match self.run_in(&mut slot, index, operation, &mut effects) {
            Ok(done) => {
                drop(slot);
                effects.send_answers(done.durable.as_ref());
                Ok(done)
            }
            Err(error) => {
                // The state is ahead of the log: it is read anew. Who waits is told so by the dropped answers.
                slot.shard = None;
                self.schedule(index, &mut slot, Some(self.clock.timer_ms() + RELOAD_AFTER_MS));
                Err(error)
            }
        }
    }

    fn run_in<T>(
        &self,
        slot: &mut Slot,
        index: usize,
        operation: impl FnOnce(&mut Shard, &Environment<'_>, &mut Effects) -> T,
        effects: &mut Effects,
    ) -> Result<Done<T>, GroupError> {
        let shard = match &mut slot.shard {
            Some(shard) => shard,
            none => none.insert(self.load(index)?),
        };
        let response = self.within(|env| operation(shard, env, effects));
        let mut durable = self.finish(index, shard, effects)?;
        for group in std::mem::take(&mut effects.resolve) {
            self.within(|env| shard.resolve_regexes(&group, env, effects));
            durable = self.finish(index, shard, effects)?.or(durable);
        }
        let earliest = shard.timers.earliest();
        self.schedule(index, slot, earliest);
        Ok(Done { response, durable })
    }

    /// Appends the records of an operation, applies those of offsets, arms its timers.
    fn finish(
        &self,
        index: usize,
        shard: &mut Shard,
        effects: &mut Effects,
    ) -> Result<Option<Arc<Ticket>>, GroupError> {
        for (deadline, key) in effects.take_armed() {
            shard.timers.arm(deadline, key);
        }
        if effects.records.is_empty() {
            return Ok(None);
        }
        let records = std::mem::take(&mut effects.records);
        let ticket = self.append(index, &records, effects.wall_ms)?;
        for record in &records {
            shard.replay(record);
        }
        Ok(ticket.map(Arc::new))
    }

    fn append(&self, index: usize, records: &[GroupRecord], wall_ms: i64) -> Result<Option<Ticket>, GroupError> {
        let unavailable = |why: &dyn std::fmt::Display| {
            tracing::error!(partition = index, why = %why, "a group's records could not be appended");
            GroupError::CoordinatorNotAvailable
        };
        let topic = self.topics.topic(OFFSETS_TOPIC).ok_or(GroupError::NotCoordinator)?;
        let partition = topic.partition(index as i32).ok_or(GroupError::NotCoordinator)?;
        let records: Vec<NewRecord> = records.iter().map(|r| r.encode(wall_ms)).collect();
        let batch = build(&BatchFields::default(), &records).map_err(|e| unavailable(&e))?;
        let batch = PreparedBatch::trusted(batch.into()).ok_or_else(|| unavailable(&"a malformed batch"))?;
        let outcome =
            partition.append(self.topics.env(), &topic.settings().resolved, &batch).map_err(|e| unavailable(&e))?;
        Ok(outcome.ticket)
    }
}

/// The partition of a group: Java's `String.hashCode`, without its sign.
fn partition_of(group: &str, partitions: usize) -> usize {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let hash = if hash == i32::MIN { 0 } else { hash.abs() };
    hash as usize % partitions.max(1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn groups_go_to_the_partitions_that_kafka_gives_them() {
        // From `Math.abs("…".hashCode()) % 50` in Java.
        for (group, partition) in [("", 0), ("a", 47), ("console-consumer-1", 24), ("my-group", 12)] {
            assert_eq!(partition_of(group, 50), partition, "{group}");
        }
    }
}
