//! Work that nobody waits for, on one thread of its own: directories of new partitions, purging of deleted ones, syncs of
//! sealed segments and by `flush.ms`, checkpoints, retention, expiry of producers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::manager::{TopicManager, lock};
use super::metadata::MetadataRecord;
use super::{Partition, Topic, checkpoint, retention};
use crate::base::TopicId;
use crate::config::BrokerValues;
use crate::log;

/// Logs that stay open however idle they are.
const OPEN_LOGS_KEPT: usize = 256;
const INTERVAL_MS_MIN: i64 = 10;
/// A directory name has at most this many bytes.
const NAME_BYTES_MAX: usize = 255;

pub enum Task {
    MakeDirectories(Arc<Topic>),
    /// A renamed directory of a deleted partition.
    Purge(PathBuf),
    /// A segment was sealed: bring it to the disk.
    Sync(Arc<Partition>),
    /// By then the partition is to be synced (`flush.ms`).
    FlushAt(Instant, Arc<Partition>),
    /// Something was configured: look what is to go now.
    Retention,
    /// The WAL has begun a new file.
    Checkpoint,
    Stop,
}

/// The way to the thread. Sending never waits.
pub struct Upkeep {
    sender: Mutex<Sender<Task>>,
    stopping: AtomicBool,
    /// A [`Task::Retention`] is on its way: many that ask get one look.
    retention_asked: AtomicBool,
}

pub struct UpkeepQueue(Receiver<Task>);

pub fn queue() -> (Upkeep, UpkeepQueue) {
    let (sender, receiver) = channel();
    let (stopping, retention_asked) = (AtomicBool::new(false), AtomicBool::new(false));
    (Upkeep { sender: Mutex::new(sender), stopping, retention_asked }, UpkeepQueue(receiver))
}

impl Upkeep {
    pub fn send(&self, task: Task) {
        let _ = lock(&self.sender).send(task);
    }

    /// Has retention look at all logs soon: something was configured, or copied.
    pub fn ask_for_retention(&self) {
        if !self.retention_asked.swap(true, Ordering::Relaxed) {
            self.send(Task::Retention);
        }
    }

    /// Ends the thread after the task it is at, whatever else waits: the next start takes it up again.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.send(Task::Stop);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Sets aside a directory that stands where one of the new topic `id` is to be made: it was made for a topic whose
    /// creation a crash cut off, and that never was.
    pub fn discard_leftover(&self, data_dir: &Path, topic: &str, partition: i32, id: TopicId) {
        let found = log::read_topic_id(&data_dir.join(format!("{topic}-{partition}")));
        if let Some(other) = found.filter(|found| *found != id) {
            self.discard_directory(data_dir, topic, partition, other);
        }
    }

    /// Renames the directory of a deleted partition, so that its name is free at once, and has it purged. Leaves a
    /// directory alone that belongs to another topic id.
    pub fn discard_directory(&self, data_dir: &Path, topic: &str, partition: i32, id: TopicId) {
        let dir = data_dir.join(format!("{topic}-{partition}"));
        if !dir.exists() || log::read_topic_id(&dir).is_some_and(|found| found != id) {
            return;
        }
        let suffix = format!("-{partition}.{}-delete", uuid::Uuid::new_v4().simple());
        let kept = topic.len().min(NAME_BYTES_MAX - suffix.len());
        let renamed = data_dir.join(format!("{}{suffix}", &topic[..kept]));
        match std::fs::rename(&dir, &renamed) {
            Ok(()) => self.send(Task::Purge(renamed)),
            Err(error) => {
                tracing::error!(dir = %dir.display(), %error, "could not set the directory of a deleted partition aside");
            }
        }
    }
}

impl UpkeepQueue {
    pub fn spawn(self, manager: Arc<TopicManager>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("upkeep".into()).spawn(move || self.run(&manager))
    }

    fn run(self, manager: &TopicManager) {
        let clock = manager.env.log.clock.clone();
        let mut next_expiry = clock.instant();
        let mut last_checkpoint = clock.instant();
        let mut next_retention = clock.instant() + interval(manager, "log.initial.task.delay.ms");
        let mut flushes: BTreeMap<(Instant, usize), Arc<Partition>> = BTreeMap::new();
        loop {
            if manager.env.upkeep.is_stopping() {
                return;
            }
            let next_checkpoint = last_checkpoint + interval(manager, "log.flush.offset.checkpoint.interval.ms");
            if clock.instant() >= next_checkpoint {
                last_checkpoint = clock.instant();
                close_idle_logs(manager);
                if let Err(error) = checkpoint::write_offset_checkpoints(manager, manager.env.log.sync) {
                    tracing::warn!(%error, "could not write an offset checkpoint");
                }
                checkpoint::when_wal_is_large(manager);
            }
            if clock.instant() >= next_expiry {
                next_expiry = clock.instant() + interval(manager, "producer.id.expiration.check.interval.ms");
                expire_producers(manager);
            }
            if clock.instant() >= next_retention {
                retention::apply_to_all(manager);
                next_retention = clock.instant() + interval(manager, "log.retention.check.interval.ms");
            }
            while let Some(due) = flushes.first_entry().filter(|due| due.key().0 <= clock.instant()) {
                flush(manager, &due.remove());
            }
            let next_flush = flushes.first_key_value().map(|((at, _), _)| *at);
            let next = [Some(next_checkpoint), Some(next_expiry), Some(next_retention), next_flush]
                .into_iter()
                .flatten()
                .min();
            let wait = next.unwrap_or(next_checkpoint).saturating_duration_since(clock.instant());
            match self.0.recv_timeout(wait) {
                Ok(Task::MakeDirectories(topic)) => make_directories(manager, &topic),
                Ok(Task::Purge(dir)) => purge(&dir),
                Ok(Task::Sync(partition)) => {
                    let synced = partition.sync(&manager.env.log);
                    // What is on the disk may be copied.
                    manager.tiering.wake();
                    if let Err(error) = synced {
                        // What the WAL has of it must stay there.
                        manager.wal_held.store(true, Ordering::Relaxed);
                        tracing::error!(partition = %partition.dir_name(), %error, "could not sync a sealed segment");
                    }
                }
                Ok(Task::FlushAt(at, partition)) => {
                    flushes.insert((at, Arc::as_ptr(&partition) as usize), partition);
                }
                Ok(Task::Retention) => {
                    manager.env.upkeep.retention_asked.store(false, Ordering::Relaxed);
                    next_retention = next_retention.min(clock.instant());
                }
                Ok(Task::Checkpoint) => {
                    manager.env.wal().prepare_spare();
                    checkpoint::when_wal_is_large(manager);
                }
                Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// An interval as configured, but never so short that the thread does nothing else.
fn interval(manager: &TopicManager, key: &str) -> Duration {
    Duration::from_millis(manager.config().get_i64(key).max(INTERVAL_MS_MIN) as u64)
}

fn flush(manager: &TopicManager, partition: &Arc<Partition>) {
    if let Err(error) = partition.flush_is_due(&manager.env) {
        manager.wal_held.store(true, Ordering::Relaxed);
        tracing::error!(%partition, %error, "could not sync a log by flush.ms");
    }
}

fn make_directories(manager: &TopicManager, topic: &Arc<Topic>) {
    if topic.directories_made() {
        return;
    }
    let partitions = topic.partitions();
    for partition in partitions.iter() {
        if manager.env.upkeep.is_stopping() {
            return;
        }
        if manager.topic_by_id(topic.id).is_none() {
            break;
        }
        if let Err(error) = log::create_dir(&manager.env.data_dir.join(partition.dir_name()), topic.id) {
            // The first use of the partition tries again.
            tracing::warn!(partition = %partition.dir_name(), %error, "could not make the directory of a new partition");
            return;
        }
    }
    if manager.topic_by_id(topic.id).is_none() {
        // Deleted while the directories were made: the deletion may have missed some.
        for partition in partitions.iter() {
            manager.env.upkeep.discard_directory(&manager.env.data_dir, &topic.name, partition.index, topic.id);
        }
        return;
    }
    // From that record on a missing directory counts as damage.
    if manager.env.log.sync
        && let Err(error) = log::files::sync_dir(&manager.env.data_dir.join(&*topic.name))
    {
        tracing::warn!(topic = %topic.name, %error, "could not sync the data directory");
        return;
    }
    let record = MetadataRecord::DirectoriesMade { id: topic.id.0.as_u128() };
    let count = partitions.len();
    let topic = topic.clone();
    manager.changes.between_groups(move |manager| {
        if topic.partitions().len() == count
            && manager.env.wal().append(super::metadata::KIND_METADATA, &[&record.encode()], None).is_ok()
        {
            manager.apply(record);
        }
    });
}

fn purge(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir) {
        tracing::error!(dir = %dir.display(), %error, "could not purge the directory of a deleted partition");
    }
}

/// An open log costs a descriptor and a few kilobytes: those that nobody used for a whole interval are closed when there
/// are many.
fn close_idle_logs(manager: &TopicManager) {
    let topics = manager.topics();
    let open = |topic: &Arc<Topic>| topic.partitions().iter().filter(|p| p.is_open()).count();
    if topics.iter().map(open).sum::<usize>() <= OPEN_LOGS_KEPT {
        return;
    }
    for topic in topics {
        for partition in topic.partitions().iter() {
            if let Err(error) = partition.close_if_idle(&manager.env.log) {
                tracing::warn!(partition = %partition, %error, "an idle log could not be closed");
            }
        }
    }
}

fn expire_producers(manager: &TopicManager) {
    for topic in manager.topics() {
        for partition in topic.partitions().iter() {
            partition.with_open_log(|log| log.expire_producers());
        }
    }
}
