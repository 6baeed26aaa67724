//! The runtime under the shards: which partition a group belongs to, appending its records, loading, timers.

mod requests;
mod surroundings;
mod transactions;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::internal::{InternalTopic, Loaded, RELOAD_AFTER_MS, Slot, lock, partition_of};
use super::records::GroupRecord;
use super::shard::{Effects, Environment, Shard};
use super::{GroupError, OFFSETS_TOPIC};
use crate::base::Clock;
use crate::config::BrokerValues;
use crate::log::AppendError;
use crate::record::build::{BatchFields, NewRecord};
use crate::topic::{Durability, PartitionError, Topic, TopicManager};
use crate::wal::Ticket;
use surroundings::ConfiguredLimits;

pub use requests::Committed;

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
    internal: InternalTopic<Shard>,
    limits: Mutex<Option<ConfiguredLimits>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl GroupCoordinator {
    /// Starts the thread that loads the groups and runs their timers.
    pub fn start(topics: Arc<TopicManager>, clock: Clock) -> std::io::Result<Arc<GroupCoordinator>> {
        let coordinator = Arc::new(GroupCoordinator {
            internal: InternalTopic::new(OFFSETS_TOPIC, topics.clone(), clock),
            limits: Mutex::default(),
            thread: Mutex::default(),
        });
        let weak = Arc::downgrade(&coordinator);
        topics.on_topic_deleted(move |topic| {
            if let Some(coordinator) = weak.upgrade() {
                coordinator.topic_deleted(topic);
            }
        });
        let this = coordinator.clone();
        let timers = move || this.internal.run_timers(|index| this.run_due(index));
        let thread = std::thread::Builder::new().name("groups".into()).spawn(timers)?;
        *lock(&coordinator.thread) = Some(thread);
        Ok(coordinator)
    }

    pub fn stop(&self) {
        self.internal.stop_timers();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }

    /// Creates the internal topic if it is not there, with the partitions of `offsets.topic.num.partitions`.
    pub async fn ensure_topic(&self) -> Result<(), GroupError> {
        let config = self.topics().config();
        let configs = vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", config.get_i64("offsets.topic.segment.bytes").to_string()),
        ];
        let partitions = config.get_i32("offsets.topic.num.partitions").max(1) as u32;
        self.internal.ensure(partitions, configs).await.map_err(|_| GroupError::CoordinatorNotAvailable)
    }

    fn topics(&self) -> &Arc<TopicManager> {
        &self.internal.topics
    }

    fn clock(&self) -> &Clock {
        &self.internal.clock
    }

    /// Offsets committed for a deleted topic go with it: the topic is not to be found any more, and none of its name is
    /// created before this returns.
    fn topic_deleted(&self, topic: &Topic) {
        if &*topic.name == OFFSETS_TOPIC {
            self.internal.forget();
            return;
        }
        for index in 0..self.internal.slots().map_or(0, |shards| shards.len()) {
            let forgotten = self.run_on(index, |shard, _, effects| shard.topic_deleted(&topic.name, effects));
            if let Err(error) = forgotten {
                tracing::error!(topic = %topic.name, partition = index, %error, "offsets of a deleted topic are left");
            }
        }
    }

    fn run<T>(
        &self,
        group: &str,
        operation: impl FnOnce(&mut Shard, &Environment<'_>, &mut Effects) -> T,
    ) -> Result<Done<T>, GroupError> {
        let shards = self.internal.slots().ok_or(GroupError::NotCoordinator)?;
        self.run_on(partition_of(group, shards.len()), operation)
    }

    /// Runs one operation on a shard: the records it leaves are appended under the same lock, so that their order is that
    /// of the operations; then the answers go out.
    fn run_on<T>(
        &self,
        index: usize,
        operation: impl FnOnce(&mut Shard, &Environment<'_>, &mut Effects) -> T,
    ) -> Result<Done<T>, GroupError> {
        let shards = self.internal.slots().ok_or(GroupError::NotCoordinator)?;
        let mut slot = lock(shards.get(index).ok_or(GroupError::NotCoordinator)?);
        let mut effects = Effects::new(self.clock().wall_ms());
        match self.run_in(&mut slot, index, operation, &mut effects) {
            Ok(done) => {
                drop(slot);
                effects.send_answers(done.durable.as_ref());
                Ok(done)
            }
            // Offsets of a producer that was fenced in the log itself: nothing has changed.
            Err(GroupError::InvalidProducerEpoch) => Err(GroupError::InvalidProducerEpoch),
            Err(error) => {
                // The state is ahead of the log: it is read anew. Who waits is told so by the dropped answers.
                slot.shard = None;
                self.internal.schedule(index, &mut slot, Some(self.clock().timer_ms() + RELOAD_AFTER_MS));
                Err(error)
            }
        }
    }

    fn run_in<T>(
        &self,
        slot: &mut Slot<Shard>,
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
        self.internal.schedule(index, slot, earliest);
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
        let encoded: Vec<NewRecord> = records.iter().map(|r| r.encode(effects.wall_ms)).collect();
        let fields = match effects.transaction {
            None => BatchFields::default(),
            // Kafka numbers them from 0 each time: nobody sends them again.
            Some((producer_id, producer_epoch)) => BatchFields {
                transactional: true,
                producer_id,
                producer_epoch,
                base_sequence: 0,
                ..BatchFields::default()
            },
        };
        let appended = self.internal.append(index, &fields, &encoded, Durability::AsConfigured).map_err(|error| {
            if let PartitionError::Append(AppendError::InvalidProducerEpoch(_)) = error {
                return GroupError::InvalidProducerEpoch;
            }
            tracing::error!(partition = index, %error, "a group's records could not be appended");
            GroupError::CoordinatorNotAvailable
        })?;
        for (offset, record) in (appended.base_offset..).zip(&records) {
            shard.replay(record, offset, effects.transaction.map(|(producer_id, _)| producer_id));
        }
        Ok(appended.ticket.map(Arc::new))
    }

    /// Reads the partition from its start and replays what is there.
    fn load(&self, index: usize) -> Result<Shard, GroupError> {
        let mut shard = Shard::default();
        let replayed = self.internal.read(index, |loaded| match loaded {
            Loaded::Marker { batch, marker } => shard.transaction_ended(batch.producer_id, marker.committed),
            Loaded::Record { batch, offset, key, value } => match GroupRecord::decode(key, value) {
                Ok(Some(record)) => {
                    let transaction = batch.is_transactional().then_some(batch.producer_id);
                    shard.load(record, offset, transaction);
                }
                Ok(None) => {}
                Err(malformed) => tracing::warn!(offset, %malformed, "skipped a record of a group"),
            },
        });
        replayed.map_err(|why| {
            tracing::error!(partition = index, why, "a shard of groups could not be loaded");
            GroupError::CoordinatorNotAvailable
        })?;
        let mut effects = Effects::new(self.clock().wall_ms());
        self.within(|env| shard.loaded(env, &mut effects));
        // Leftovers that cannot be deleted now are when it is loaded the next time.
        let _ = self.finish(index, &mut shard, &mut effects);
        Ok(shard)
    }

    /// Runs the timers of a shard whose time has come.
    fn run_due(&self, index: usize) {
        // One an operation: what a timer does to a consumer group is seen by the next only once it is replayed.
        loop {
            let fired = self.run_on(index, |shard, env, effects| {
                let due = shard.timers.take_due(env.now_ms);
                due.map(|key| shard.timer_fired(key, env, effects))
            });
            match fired {
                Ok(done) if done.response.is_some() => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(partition = index, %error, "the timers of a shard could not be run");
                    return;
                }
            }
        }
    }
}
