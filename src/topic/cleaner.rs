//! The thread that cleans compacted topics (Kafka's `LogCleaner` and `LogCleanerManager`): always the log with the largest
//! share of what is dirty, then `log.cleaner.backoff.ms` of rest if there was none.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::manager::{TopicManager, lock};
use super::partition::{Partition, PartitionError};
use super::{Topic, checkpoint};
use crate::base::{Clock, TopicId};
use crate::config::{BrokerValues, DynamicBrokerConfig, TopicConfig};
use crate::log::cleaner::{CleanError, Cleanable, Cleaned, CleanerRules};

/// Kafka's maps and ours have entries of the same size, but no smaller buffer than this is of any use.
const MAP_BYTES_MIN: i64 = 64 << 10;
/// The cleaner is in nobody's way: it gets the time that others leave.
const NICENESS: i32 = 10;
/// A wait for the sake of the I/O rate is cut up so that a stop needs no longer.
const PACE_WAIT: Duration = Duration::from_millis(50);

type Key = (TopicId, i32);

/// The way to the thread.
#[derive(Default)]
pub struct Cleaner {
    stopping: AtomicBool,
    woken: Mutex<bool>,
    wake: Condvar,
}

impl Cleaner {
    /// Has it look again now: something was configured.
    pub fn wake(&self) {
        *lock(&self.woken) = true;
        self.wake.notify_all();
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn rest(&self, time: Duration) {
        let woken = lock(&self.woken);
        let waited = self.wake.wait_timeout_while(woken, time, |woken| !*woken).unwrap_or_else(PoisonError::into_inner);
        let (mut woken, _) = waited;
        *woken = false;
    }
}

pub fn spawn(manager: Arc<TopicManager>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("cleaner".into()).spawn(move || {
        // SAFETY: a plain system call; on Linux 0 is the calling thread. Where it is refused nothing is lost.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
        Work::new(&manager).run();
    })
}

struct Work<'a> {
    manager: &'a TopicManager,
    /// Below is clean.
    first_dirty: HashMap<Key, i64>,
    /// Logs that could not be cleaned: nobody tries again before the next start.
    uncleanable: HashSet<Key>,
}

/// A log that is worth cleaning.
struct Found {
    topic: Arc<Topic>,
    partition: Arc<Partition>,
    cleanable: Cleanable,
}

impl<'a> Work<'a> {
    fn new(manager: &'a TopicManager) -> Work<'a> {
        let rows = checkpoint::read_cleaner_offsets(&manager.env.data_dir);
        let key_of = |(name, partition): &(String, i32)| Some((manager.topic(name)?.id, *partition));
        let first_dirty = rows.iter().filter_map(|(row, offset)| Some((key_of(row)?, *offset))).collect();
        Work { manager, first_dirty, uncleanable: HashSet::new() }
    }

    fn run(&mut self) {
        while !self.manager.cleaner.is_stopping() {
            match self.filthiest() {
                Some(found) => self.clean(&found),
                None => self.rest(),
            }
        }
    }

    fn rest(&self) {
        let backoff = self.manager.config().get_i64("log.cleaner.backoff.ms").max(1);
        self.manager.cleaner.rest(Duration::from_millis(backoff as u64));
    }

    fn filthiest(&mut self) -> Option<Found> {
        let broker = self.manager.config();
        let mut best: Option<Found> = None;
        for topic in self.manager.topics() {
            let settings = topic.settings();
            if !settings.known || !settings.resolved.cleanup_compact {
                continue;
            }
            let rules = rules(&settings.resolved, &broker);
            for partition in topic.partitions().iter().filter(|p| !p.is_offline()) {
                let key = (topic.id, partition.index);
                if self.uncleanable.contains(&key) {
                    continue;
                }
                let first_dirty = self.first_dirty.get(&key).copied();
                match partition.cleanable(&self.manager.env, &settings.resolved, first_dirty, &rules) {
                    Ok(Some(cleanable)) if is_worth_it(&cleanable, &settings.resolved) => {
                        if best.as_ref().is_none_or(|best| cleanable.ratio() > best.cleanable.ratio()) {
                            best = Some(Found { topic: topic.clone(), partition: partition.clone(), cleanable });
                        }
                    }
                    Ok(_) | Err(PartitionError::Deleted) => {}
                    Err(error) => tracing::warn!(%partition, %error, "the cleaner cannot look at a log"),
                }
            }
        }
        best
    }

    fn clean(&mut self, found: &Found) {
        let Found { topic, partition, cleanable } = found;
        let key = (topic.id, partition.index);
        let started = self.manager.env.log.clock.instant();
        match self.pass(topic, partition, cleanable) {
            Ok(cleaned) => {
                tracing::info!(
                    %partition, bytes_before = cleaned.bytes_before, bytes_after = cleaned.bytes_after,
                    records_before = cleaned.records_before, records_after = cleaned.records_after,
                    clean_up_to = cleaned.first_dirty, ms = started.elapsed().as_millis() as u64, "log cleaned"
                );
                if cleaned.first_dirty <= cleanable.first_dirty {
                    // No step forward: it would be chosen for ever.
                    self.uncleanable.insert(key);
                }
                self.first_dirty.insert(key, cleaned.first_dirty);
                self.write_checkpoint();
            }
            Err(CleanError::Abandoned) => self.rest(),
            Err(CleanError::Log(error)) if super::partition::is_passing(&error) => {
                tracing::warn!(%partition, %error, "a log could not be cleaned now");
                self.rest();
            }
            // Deleted meanwhile: its files have gone.
            Err(CleanError::Log(_)) if self.manager.topic_by_id(topic.id).is_none() => {}
            Err(CleanError::Log(error)) => {
                tracing::error!(%partition, %error, "a log cannot be cleaned: it stays as it is");
                self.uncleanable.insert(key);
            }
        }
    }

    fn pass(&self, topic: &Topic, partition: &Arc<Partition>, cleanable: &Cleanable) -> Result<Cleaned, CleanError> {
        let env = &self.manager.env;
        // After a crash of the machine producers are read from the recovery point on: what is cleaned must lie before it,
        // since a marker that a snapshot still waits for may go.
        partition.sync(&env.log)?;
        checkpoint::write_offset_checkpoints(self.manager, env.log.sync)?;
        let settings = topic.settings();
        let broker = self.manager.config();
        let rules = rules(&settings.resolved, &broker);
        let cleaning = match partition.begin_cleaning(env, &settings.resolved, cleanable) {
            Ok(cleaning) => cleaning,
            Err(_) => return Err(CleanError::Abandoned),
        };
        let mut pace = Pace::new(env.log.clock.clone());
        let rate = broker.value("log.cleaner.io.max.bytes.per.second").as_f64().unwrap_or(f64::MAX);
        let mut step = |bytes| pace.step(bytes, rate, || self.manager.cleaner.is_stopping());
        cleaning.run(&rules, &mut step, &mut |new| partition.replace(env, new))
    }

    /// Kafka's file: it only saves work.
    fn write_checkpoint(&mut self) {
        let manager = self.manager;
        self.first_dirty.retain(|(id, _), _| manager.topic_by_id(*id).is_some());
        let rows = self.first_dirty.iter().filter_map(|((id, partition), offset)| {
            Some((manager.topic_by_id(*id)?.name.clone(), *partition, *offset))
        });
        if let Err(error) = checkpoint::write_cleaner_offsets(&manager.env.data_dir, rows.collect()) {
            tracing::warn!(%error, "could not write the cleaner's checkpoint");
        }
    }
}

fn is_worth_it(cleanable: &Cleanable, config: &TopicConfig) -> bool {
    cleanable.dirty_bytes > 0 && (cleanable.overdue || cleanable.ratio() > config.min_cleanable_dirty_ratio)
}

fn rules(topic: &TopicConfig, broker: &DynamicBrokerConfig) -> CleanerRules {
    CleanerRules {
        delete_retention_ms: topic.delete_retention_ms,
        min_lag_ms: topic.min_compaction_lag_ms,
        max_lag_ms: topic.max_compaction_lag_ms,
        map_bytes_max: broker.get_i64("log.cleaner.dedupe.buffer.size").max(MAP_BYTES_MIN) as u64,
        map_load_factor: broker.value("log.cleaner.io.buffer.load.factor").as_f64().unwrap_or(0.9),
    }
}

/// Keeps to a number of bytes a second (Kafka's `Throttler`).
struct Pace {
    clock: Clock,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(clock: Clock) -> Pace {
        let since = clock.instant();
        Pace { clock, since, bytes: 0 }
    }

    fn step(&mut self, bytes: u64, rate: f64, is_stopping: impl Fn() -> bool) -> ControlFlow<()> {
        self.bytes += bytes;
        loop {
            if is_stopping() {
                return ControlFlow::Break(());
            }
            let due = self.bytes as f64 / rate.max(1.0);
            let ahead = due - self.clock.instant().duration_since(self.since).as_secs_f64();
            if ahead <= 0.0 {
                return ControlFlow::Continue(());
            }
            std::thread::sleep(Duration::from_secs_f64(ahead.min(1.0)).min(PACE_WAIT));
        }
    }
}

#[cfg(test)]
mod tests;
