//! From a data directory to a running manager: snapshot, or the one before, or a scan; then the WAL; then the threads.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use super::found::{collect_wal_files, directory_names, load_snapshot, partition_of, scan_directories};
use super::kraft::{self, KraftImage};
use super::manager::{TopicManager, TopicManagerOptions, lock};
use super::metadata::{KIND_BATCH, KIND_METADATA, MetadataRecord, MetadataSnapshot};
use super::partition::{Partition, PartitionEnv};
use super::takeover::{self, Strays};
use super::upkeep::{self, Task};
use super::{PartitionError, RemoteStore, changes, checkpoint, cleaner, tiering};
use crate::base::TopicId;
use crate::config::{BrokerValues, DynamicBrokerConfig, TopicConfig};
use crate::log::{self, FileCache, LogEnv, OpenMode};
use crate::record::PreparedBatch;
use crate::tier::Tier;
use crate::wal::{Observer, Replayed, Wal};

/// Logs that are synced one after the other at a stop; beyond, one call for all is faster.
const SYNCED_ONE_BY_ONE_MAX: usize = 256;
/// Pieces of tiered segments that readers have asked for. Kafka has a directory of that name, and lets it alone.
const REMOTE_CACHE: &str = "remote-log-index-cache";
/// Sealed segments that are kept open for readers.
const SEALED_FILES_OPEN_MAX: usize = 64;

impl TopicManager {
    /// Recovers what is in the data directory and starts. An error names what does not fit.
    pub fn start(mut options: TopicManagerOptions) -> Result<Arc<TopicManager>, String> {
        let (upkeep, upkeep_queue) = upkeep::queue();
        let (changes, change_queue) = changes::channel();
        let config = DynamicBrokerConfig::new(options.config.clone());
        let env = Arc::new(PartitionEnv {
            data_dir: options.data_dir.clone(),
            log: LogEnv {
                clock: options.clock.clone(),
                files: Arc::new(FileCache::new(SEALED_FILES_OPEN_MAX)),
                sync: !options.ephemeral,
                producer_expiration_ms: Arc::new(AtomicI64::new(config.get_i64("producer.id.expiration.ms"))),
            },
            wal: OnceLock::new(),
            upkeep,
            remote: OnceLock::new(),
            open_mode: options.open_mode,
        });
        let downloads = match options.store.take() {
            Some(store) => {
                let cache_bytes = config.get_i64("ottla.remote.cache.bytes").max(0) as u64;
                let cache_dir = options.data_dir.join(REMOTE_CACHE);
                let (tier, downloads) = Tier::new(store, cache_dir, cache_bytes, options.clock.clone())?;
                let _ = env.remote.set(RemoteStore { tier, folder: options.cluster_id.clone() });
                Some(downloads)
            }
            None => None,
        };
        let manager = Arc::new(TopicManager::new(env, config, changes));
        if options.ephemeral {
            let _ = manager.env.wal.set(Wal::disabled());
        } else {
            manager.recover(&options)?;
        }
        let failed = |e: std::io::Error| format!("starting a thread: {e}");
        let mut threads = vec![upkeep_queue.spawn(manager.clone()).map_err(failed)?];
        if manager.config().get_bool("log.cleaner.enable") {
            threads.push(cleaner::spawn(manager.clone()).map_err(failed)?);
        }
        if let Some(downloads) = downloads {
            threads.push(tiering::spawn(manager.clone(), downloads).map_err(failed)?);
        }
        lock(&manager.threads_of_logs).extend(threads);
        lock(&manager.threads).push(change_queue.spawn(manager.clone()).map_err(failed)?);
        Ok(manager)
    }

    fn recover(&self, options: &TopicManagerOptions) -> Result<(), String> {
        let recovery_points = checkpoint::read_recovery_points(&options.data_dir);
        let kafka = kraft::read(&options.data_dir).map_err(|e| format!("reading Kafka's metadata: {e}"))?;
        let names = directory_names(&options.data_dir)?;
        let found = load_snapshot(&options.data_dir)?;
        let after_lsn = found.as_ref().map(|s| s.data_lsn.min(s.metadata_lsn));
        collect_wal_files(&options.data_dir).map_err(|e| format!("moving the write-ahead log: {e}"))?;
        let never_ours = found.is_none() && kafka.is_some() && !Wal::is_in(&options.data_dir);
        let snapshot = match found {
            Some(snapshot) => snapshot,
            // Kafka's metadata is all there is. A directory that it does not name was deleted with its topic.
            None if never_ours => MetadataSnapshot::default(),
            None => MetadataSnapshot { topics: scan_directories(&options.data_dir, &names), ..Default::default() },
        };
        for row in &snapshot.topics {
            self.add_topic(row, &recovery_points);
        }
        for (broker, configs) in &snapshot.broker_configs {
            self.configure_broker(broker, configs.clone());
        }
        {
            let mut others = lock(&self.others);
            others.groups = snapshot.group_configs.clone();
            others.client_metrics = snapshot.client_metrics_configs.clone();
        }
        self.set_producer_ids_end(snapshot.next_producer_id);
        lock(&self.last_checkpoint).data_lsn = snapshot.data_lsn;
        let base = snapshot.kafka.clone().unwrap_or_default();
        if let Some(kafka) = kafka.as_ref().filter(|_| after_lsn.is_none()) {
            takeover::take_over(self, &KraftImage::default(), kafka, &recovery_points)?;
        }
        let strays = Strays::find(&options.data_dir, &names);
        for topic in self.topics() {
            strays.take_back(&options.data_dir, &topic);
        }
        let deleted_by_kafka = |id: &&TopicId| kafka.as_ref().is_some_and(|kafka| !kafka.topics.contains_key(*id));
        let deleted: HashSet<TopicId> = base.topics.keys().filter(deleted_by_kafka).copied().collect();
        self.mark_missing_directories(&directory_names(&options.data_dir)?, &deleted);
        let mut replay =
            Replay { manager: self, snapshot: &snapshot, strays: &strays, orphans: BTreeMap::new(), deleted };
        let on_fatal = options.on_fatal.clone();
        let observer = Box::new(WalObserver { env: Arc::downgrade(&self.env), on_fatal });
        let last_lsn = snapshot.metadata_lsn.max(snapshot.data_lsn);
        let wal = Wal::open(&options.data_dir, after_lsn, last_lsn, |record| replay.record(record), observer)
            .map_err(|e| e.to_string())?;
        if let Some((id, lsn)) = replay.orphans.iter().next() {
            return Err(format!(
                "the write-ahead log has a batch (record {lsn}) of topic id {id}, which no metadata names"
            ));
        }
        // What replay handed out is used up: ids between are lost, never given twice.
        self.set_producer_ids_end(self.producer_ids_end());
        let _ = self.env.wal.set(wal);
        let mut is_new = after_lsn.is_none();
        if let Some(kafka) = kafka.as_ref().filter(|_| after_lsn.is_some()) {
            is_new |= takeover::take_over(self, &base, kafka, &recovery_points)?;
        }
        if let Some(kafka) = kafka.or(snapshot.kafka) {
            is_new |= kafka != base;
            let _ = self.kafka.set(kafka);
        }
        self.mark_missing_directories(&directory_names(&options.data_dir)?, &HashSet::new());
        self.sweep_directories(&names);
        if options.open_mode == OpenMode::MachineDied {
            self.mend_all_logs()?;
        }
        if after_lsn.is_none() && !never_ours {
            self.raise_producer_ids()?;
        }
        if is_new {
            checkpoint::write_snapshot(self, snapshot.data_lsn).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// A directory that was made and is gone is damage: the partition is offline, the others keep their numbers.
    fn mark_missing_directories(&self, names: &HashSet<String>, deleted: &HashSet<TopicId>) {
        for topic in self.topics().iter().filter(|t| t.directories_made() && !deleted.contains(&t.id)) {
            for partition in topic.partitions().iter() {
                let name = partition.dir_name();
                if !names.contains(&name) && !partition.is_offline() {
                    partition.set_offline(format!("the directory {name} is missing"));
                }
            }
        }
    }

    /// Purges what deletions left behind and finishes the making of directories.
    fn sweep_directories(&self, names: &HashSet<String>) {
        for name in names.iter().filter(|n| n.ends_with("-delete")) {
            self.env.upkeep.send(Task::Purge(self.env.data_dir.join(name)));
        }
        let mut unknown = 0;
        for name in names {
            if let Some((topic, _)) = partition_of(name)
                && self.topic(topic).is_none()
                && self.env.data_dir.join(name).join(log::files::PARTITION_METADATA).exists()
            {
                unknown += 1;
            }
        }
        if unknown > 0 {
            tracing::warn!(directories = unknown, "partition directories of unknown topics are left alone");
        }
        for topic in self.topics().into_iter().filter(|t| !t.directories_made()) {
            self.env.upkeep.send(Task::MakeDirectories(topic));
        }
    }

    /// After a crash of the machine every log is mended before it is served, so that a second crash finds it whole.
    ///
    /// Topics that Kafka knows too stay in its epoch, as they do in a Kafka of one node: it would go on in a smaller one
    /// than ours, which clients that have seen ours would not believe.
    fn mend_all_logs(&self) -> Result<(), String> {
        self.each_log(|partition, config| match self.kafka.get() {
            Some(kafka) if kafka.topics.contains_key(&partition.topic_id) => {
                partition.with_log(&self.env, config, |_| ())
            }
            _ => partition.begin_epoch_after_crash(&self.env, config),
        })
    }

    /// Without a snapshot nobody knows which producer ids were handed out, but for those that the logs remember.
    fn raise_producer_ids(&self) -> Result<(), String> {
        let mut end = self.producer_ids_end();
        self.each_log(|partition, config| {
            let largest = partition.with_log(&self.env, config, |log| log.largest_producer_id())?;
            end = end.max(largest.map_or(0, |id| id + 1));
            Ok(())
        })?;
        self.set_producer_ids_end(end);
        Ok(())
    }

    /// Opens every log that there is, one after the other. One that is offline is left out; any other error ends it.
    fn each_log(
        &self,
        mut step: impl FnMut(&Partition, &TopicConfig) -> Result<(), PartitionError>,
    ) -> Result<(), String> {
        for topic in self.topics() {
            let settings = topic.settings();
            for partition in topic.partitions().iter() {
                if !self.env.data_dir.join(partition.dir_name()).is_dir() {
                    continue;
                }
                let closed = !partition.is_open();
                match step(partition, &settings.resolved) {
                    Err(error) if !partition.is_offline() => return Err(format!("{partition}: {error}")),
                    _ if closed => {
                        if let Err(error) = partition.close_in_order() {
                            tracing::warn!(%partition, %error, "a log that was looked at could not be closed");
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Stops the threads, closes every log in order and writes the last checkpoint. Errors are logged: what could not
    /// be closed is recovered at the next start. Answers whether all went well.
    pub fn stop(&self) -> bool {
        let mut clean = true;
        self.env.upkeep.stop();
        self.cleaner.stop();
        self.tiering.stop();
        for thread in std::mem::take(&mut *lock(&self.threads_of_logs)) {
            clean &= thread.join().is_ok();
        }
        clean &= self.close_all_logs();
        self.changes.stop();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            clean &= thread.join().is_ok();
        }
        if self.env.wal().is_enabled() {
            let held = self.wal_held.load(Ordering::Relaxed);
            let data_lsn =
                if held || !clean { lock(&self.last_checkpoint).data_lsn } else { self.env.wal().last_lsn() };
            if let Err(error) = checkpoint::write_snapshot(self, data_lsn) {
                tracing::error!(%error, "could not write the metadata snapshot; the write-ahead log has it all");
                clean = false;
            }
            self.env.wal().close();
        }
        clean
    }
}

impl TopicManager {
    /// Closes every log and brings them to the disk: one by one, or, where they are many, the file system as a whole.
    fn close_all_logs(&self) -> bool {
        let mut clean = true;
        let topics = self.topics();
        let open = topics.iter().map(|t| t.partitions().iter().filter(|p| p.is_open()).count()).sum::<usize>();
        let one_by_one = open <= SYNCED_ONE_BY_ONE_MAX;
        for partition in topics.iter().flat_map(|t| t.partitions().to_vec()) {
            if let Err(error) = partition.close(one_by_one) {
                tracing::error!(%partition, %error, "could not close the log in order");
                clean = false;
            }
        }
        if !one_by_one
            && self.env.log.sync
            && let Err(error) = log::files::sync_file_system(&self.env.data_dir)
        {
            tracing::error!(%error, "could not sync the file system of the data directory");
            clean = false;
        }
        clean
    }
}

struct WalObserver {
    env: std::sync::Weak<PartitionEnv>,
    on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Observer for WalObserver {
    fn failed(&self, what: &str) {
        (self.on_fatal)(what);
    }

    fn rolled(&self) {
        if let Some(env) = self.env.upgrade() {
            env.upkeep.send(Task::Checkpoint);
        }
    }
}

/// Applies WAL records to what the snapshot gave.
struct Replay<'a> {
    manager: &'a TopicManager,
    snapshot: &'a MetadataSnapshot,
    strays: &'a Strays,
    /// Topic ids of batches that nobody knows, until their deletion turns up.
    orphans: BTreeMap<TopicId, u64>,
    /// Topics that were deleted, here or by Kafka since. What was being produced to one meanwhile may stand behind its deletion.
    deleted: HashSet<TopicId>,
}

impl Replay<'_> {
    fn record(&mut self, record: Replayed<'_>) -> Result<(), String> {
        match record.kind {
            KIND_METADATA if record.lsn > self.snapshot.metadata_lsn => {
                let record = MetadataRecord::decode(record.payload)?;
                if let MetadataRecord::TopicDeleted { id, .. } = &record {
                    let id = TopicId(uuid::Uuid::from_u128(*id));
                    self.orphans.remove(&id);
                    self.deleted.insert(id);
                }
                let created = match &record {
                    MetadataRecord::TopicCreated { id, .. } => Some(TopicId(uuid::Uuid::from_u128(*id))),
                    _ => None,
                };
                self.manager.apply(record);
                if let Some(topic) = created.and_then(|id| self.manager.topic_by_id(id)) {
                    self.strays.take_back(&self.manager.env.data_dir, &topic);
                }
                Ok(())
            }
            KIND_BATCH if record.lsn > self.snapshot.data_lsn => self.batch(&record),
            _ => Ok(()),
        }
    }

    fn batch(&mut self, record: &Replayed<'_>) -> Result<(), String> {
        let malformed = || format!("record {} is no batch", record.lsn);
        let (head, batch) = record.payload.split_at_checked(20).ok_or_else(malformed)?;
        let id = TopicId(uuid::Uuid::from_slice(&head[..16]).map_err(|_| malformed())?);
        let partition = u32::from_be_bytes(head[16..].try_into().map_err(|_| malformed())?);
        let batch = PreparedBatch::trusted(bytes::Bytes::copy_from_slice(batch)).ok_or_else(malformed)?;
        let Some(topic) = self.manager.topic_by_id(id) else {
            // Up to the snapshot's metadata an unknown topic is one that was deleted since.
            if record.lsn > self.snapshot.metadata_lsn && !self.deleted.contains(&id) {
                self.orphans.entry(id).or_insert(record.lsn);
            }
            return Ok(());
        };
        let Some(partition) = topic.partition(partition as i32) else {
            return Err(format!(
                "record {} is for partition {partition} of {}, which has fewer",
                record.lsn, topic.name
            ));
        };
        if self.deleted.contains(&id) {
            return Ok(());
        }
        if partition.is_offline() {
            self.manager.wal_held.store(true, Ordering::Relaxed);
            return Ok(());
        }
        match partition.replay(&self.manager.env, &topic.settings().resolved, &batch) {
            Ok(()) | Err(PartitionError::Deleted) => Ok(()),
            Err(_) if partition.is_offline() => {
                self.manager.wal_held.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
