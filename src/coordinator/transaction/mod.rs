//! Transactions: one state a transactional id, in shards over the internal topic `__transaction_state`.
//!
//! The decision to commit or abort is on record before the first marker is written; what is still owed after a crash is
//! found by what each partition knows of the producer. Called by `api`, through `broker`; calls `GroupCoordinator` for
//! the markers of committed offsets, never the other way round.

mod ending;
mod error;
mod listing;
mod membership;
mod records;
mod shard;
pub mod state;
mod timers;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::GroupCoordinator;
use super::internal::{AppendedRecords, InternalTopic, Loaded, Slot, lock, partition_of};
use crate::base::{Clock, ProducerId};
use crate::config::BrokerValues;
use crate::record::build::BatchFields;
use crate::topic::{Durability, TopicManager};
use crate::wal::Ticket;
pub use ending::{Decided, Ending, MarkerError};
pub use error::TransactionError;
pub use listing::{DescribedTransaction, IdPattern, ListFilter, TransactionListing};
pub use membership::Verification;
pub use records::by_topic;
use shard::Shard;
use state::{Init, Producer, Transaction};

/// The internal topic that holds it all.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// All transactions of the broker.
pub struct TransactionCoordinator {
    internal: InternalTopic<Shard>,
    groups: Arc<GroupCoordinator>,
    /// On the clock of timers: sweeps are so many intervals after it.
    started_ms: i64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What became of InitProducerId.
#[derive(Debug)]
pub enum Initialised {
    /// To be answered once that is on the disk.
    Producer(Producer, Option<Ticket>),
    /// CONCURRENT_TRANSACTIONS: the open transaction is aborted first, and has to be decided on the disk.
    Aborting(Decided),
    NeedsProducerId,
}

impl TransactionCoordinator {
    /// Starts the thread that loads the transactions, writes markers still owed and runs the timeouts.
    pub fn start(
        topics: Arc<TopicManager>,
        groups: Arc<GroupCoordinator>,
        clock: Clock,
    ) -> std::io::Result<Arc<TransactionCoordinator>> {
        let coordinator = Arc::new(TransactionCoordinator {
            started_ms: clock.timer_ms(),
            internal: InternalTopic::new(TRANSACTIONS_TOPIC, topics.clone(), clock),
            groups,
            thread: Mutex::default(),
        });
        let weak = Arc::downgrade(&coordinator);
        topics.on_topic_deleted(move |topic| {
            if let Some(coordinator) = weak.upgrade()
                && &*topic.name == TRANSACTIONS_TOPIC
            {
                coordinator.internal.forget();
            }
        });
        let this = coordinator.clone();
        let timers = move || this.internal.run_timers(|index| this.run_due(index));
        let thread = std::thread::Builder::new().name("transactions".into()).spawn(timers)?;
        *lock(&coordinator.thread) = Some(thread);
        Ok(coordinator)
    }

    pub fn stop(&self) {
        self.internal.stop_timers();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }

    /// Creates the internal topic if it is not there, with the partitions of `transaction.state.log.num.partitions`.
    pub async fn ensure_topic(&self) -> Result<(), TransactionError> {
        let config = self.topics().config();
        let configs = vec![
            ("unclean.leader.election.enable", "false".to_owned()),
            ("compression.type", "uncompressed".to_owned()),
            ("cleanup.policy", "compact".to_owned()),
            ("min.insync.replicas", config.get_i32("transaction.state.log.min.isr").to_string()),
            ("segment.bytes", config.get_i32("transaction.state.log.segment.bytes").to_string()),
        ];
        let partitions = config.get_i32("transaction.state.log.num.partitions").max(1) as u32;
        self.internal.ensure(partitions, configs).await.map_err(|_| TransactionError::CoordinatorNotAvailable)
    }

    fn topics(&self) -> &Arc<TopicManager> {
        &self.internal.topics
    }

    fn clock(&self) -> &Clock {
        &self.internal.clock
    }

    /// InitProducerId with a transactional id. `new_id` is a producer id to be used if one is needed.
    pub fn init(
        &self,
        id: &str,
        timeout_ms: i32,
        expected: Option<Producer>,
        new_id: Option<ProducerId>,
    ) -> Result<Initialised, TransactionError> {
        if id.is_empty() {
            return Err(TransactionError::InvalidRequest);
        }
        let longest = self.topics().config().get_i32("transaction.max.timeout.ms");
        if timeout_ms <= 0 || timeout_ms > longest {
            return Err(TransactionError::InvalidTransactionTimeout);
        }
        self.run(id, |this, index, slot| {
            let shard = this.loaded(index, slot)?;
            let now_ms = this.clock().wall_ms();
            match state::init(shard.get(id), timeout_ms, expected, new_id, now_ms)? {
                Init::NeedsProducerId => Ok(Initialised::NeedsProducerId),
                Init::AbortFirst(next) => Ok(Initialised::Aborting(this.decide(index, slot, id, next)?)),
                Init::Next(next) => {
                    let producer = Producer { id: next.producer_id, epoch: next.producer_epoch };
                    let ticket = this.record(index, slot, id, next, Durability::AsConfigured)?;
                    Ok(Initialised::Producer(producer, ticket))
                }
            }
        })
    }

    /// Runs an operation on the shard of a transactional id.
    fn run<T>(
        &self,
        id: &str,
        operation: impl FnOnce(&TransactionCoordinator, usize, &mut Slot<Shard>) -> Result<T, TransactionError>,
    ) -> Result<T, TransactionError> {
        let slots = self.internal.slots().ok_or(TransactionError::NotCoordinator)?;
        let index = partition_of(id, slots.len());
        let mut slot = lock(slots.get(index).ok_or(TransactionError::NotCoordinator)?);
        let result = operation(self, index, &mut slot);
        self.reschedule(index, &mut slot);
        result
    }

    fn loaded<'a>(&self, index: usize, slot: &'a mut Slot<Shard>) -> Result<&'a mut Shard, TransactionError> {
        match &mut slot.shard {
            Some(shard) => Ok(shard),
            none => Ok(none.insert(self.load(index)?)),
        }
    }

    /// Reads the partition from its start and replays what is there.
    fn load(&self, index: usize) -> Result<Shard, TransactionError> {
        let mut shard = Shard::default();
        let replayed = self.internal.read(index, |loaded| {
            let Loaded::Record { offset, key, value, .. } = loaded else { return };
            match records::decode(key, value) {
                Ok(Some((id, transaction))) => shard.set(&id, transaction),
                Ok(None) => {}
                Err(malformed) => tracing::warn!(offset, %malformed, "skipped a record of a transaction"),
            }
        });
        replayed.map_err(|why| {
            tracing::error!(partition = index, why, "a shard of transactions could not be loaded");
            TransactionError::CoordinatorNotAvailable
        })?;
        shard.owe_what_is_prepared();
        Ok(shard)
    }

    /// Puts the next state of an id on record, and then in force.
    fn record(
        &self,
        index: usize,
        slot: &mut Slot<Shard>,
        id: &str,
        next: Transaction,
        durability: Durability,
    ) -> Result<Option<Ticket>, TransactionError> {
        let now_ms = self.clock().wall_ms();
        let record = records::encode(id, Some(&next), now_ms);
        let appended = self.internal.append(index, &BatchFields::default(), &[record], durability);
        let AppendedRecords { ticket, .. } = appended.map_err(|error| {
            tracing::error!(partition = index, %error, "the state of a transaction could not be appended");
            // Whether it is in the log is what the log says.
            slot.shard = None;
            TransactionError::CoordinatorNotAvailable
        })?;
        if let Some(shard) = &mut slot.shard {
            shard.set(id, Some(next));
        }
        Ok(ticket)
    }
}
