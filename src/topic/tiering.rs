//! The thread that talks to the remote store: copies sealed segments, fetches what readers ask for, deletes what is not
//! needed any more. A store that is slow or gone holds up this thread and nobody else.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::manager::{TopicManager, lock};
use super::partition::{Partition, PartitionError, RemoteStore};
use super::{Topic, TopicSettings};
use crate::base::TopicId;
use crate::config::BrokerConfig;
use crate::config::BrokerValues;
use crate::tier::{Downloads, S3Options, Store, StoreError, upload};

/// Characters of a topic id at the end of a folder's name.
const ID_CHARS: usize = 22;

/// The way to the thread.
#[derive(Default)]
pub struct Tiering {
    stopping: AtomicBool,
    wake: tokio::sync::Notify,
    stop: tokio::sync::Notify,
    /// Folders of deleted topics.
    deleted: Mutex<Vec<String>>,
}

impl Tiering {
    /// There may be something to copy or to delete.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.stop.notify_one();
    }

    /// The objects of a deleted topic are to go.
    pub fn topic_deleted(&self, store: &RemoteStore, topic: &Topic) {
        lock(&self.deleted).push(format!("{}/{}-{}", store.folder, topic.name, topic.id));
        self.wake();
    }
}

/// The store that a broker's configuration names. An error says what is wrong with it.
pub fn open_store(config: &BrokerConfig) -> Result<Option<Store>, String> {
    if !config.get_bool("remote.log.storage.system.enable") {
        return Ok(None);
    }
    let Some(url) = config.get_string("ottla.remote.store.url") else {
        return Err("remote.log.storage.system.enable is true, but ottla.remote.store.url names no store".into());
    };
    let s3 = S3Options {
        endpoint: config.get_string("ottla.remote.store.s3.endpoint"),
        region: config.get_string("ottla.remote.store.s3.region"),
        path_style: config.get_bool("ottla.remote.store.s3.path.style"),
    };
    Store::open(&url, &s3).map(Some).map_err(|why| format!("ottla.remote.store.url: {why}"))
}

pub fn spawn(manager: Arc<TopicManager>, downloads: Downloads) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("tiering".into()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "nothing is tiered: the runtime of the thread does not start"),
        };
        let Some(store) = manager.env.remote.get() else { return };
        runtime.block_on(async {
            tokio::spawn(downloads.serve(Arc::downgrade(&store.tier)));
            let work = Work { manager: &manager, store, sweep: true };
            tokio::select! {
                () = work.run() => {}
                () = manager.tiering.stop.notified() => {}
            }
        });
        // A call of the store that hangs is not waited for.
        runtime.shutdown_background();
    })
}

struct Work<'a> {
    manager: &'a TopicManager,
    store: &'a RemoteStore,
    /// There may be objects that no manifest names: at the start, and after a copy that failed.
    sweep: bool,
}

impl Work<'_> {
    async fn run(mut self) {
        let mut failures = 0u32;
        loop {
            failures = if self.round().await { 0 } else { failures.saturating_add(1) };
            let config = self.manager.config();
            let every = Duration::from_millis(config.get_i64("remote.log.manager.task.interval.ms").max(1) as u64);
            if failures == 0 {
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    () = self.manager.tiering.wake.notified() => {}
                }
            } else {
                let backoff = config.get_i64("remote.log.manager.task.retry.backoff.ms").max(1) as u64;
                let most = config.get_i64("remote.log.manager.task.retry.backoff.max.ms").max(1) as u64;
                tokio::time::sleep(Duration::from_millis((backoff << failures.min(16)).min(most))).await;
            }
        }
    }

    /// Everything there is to do now; false if the store failed at any of it.
    async fn round(&mut self) -> bool {
        let mut well = self.delete_topics().await;
        for topic in self.manager.topics() {
            let settings = topic.settings();
            for partition in topic.partitions().iter().filter(|p| !p.is_offline()) {
                match self.partition(partition, &settings).await {
                    Ok(()) | Err(Trouble::Partition(PartitionError::Deleted)) => {}
                    Err(Trouble::Partition(error)) => {
                        tracing::warn!(%partition, %error, "tiering cannot look at a log")
                    }
                    Err(Trouble::Store(error)) => {
                        tracing::warn!(%partition, %error, "the remote store fails; local copies are kept");
                        self.sweep = true;
                        // The others would fail in the same way, one after the other.
                        return false;
                    }
                }
            }
        }
        if self.sweep {
            match self.sweep().await {
                Ok(()) => self.sweep = false,
                Err(error) => {
                    tracing::warn!(%error, "the remote store could not be swept");
                    well = false;
                }
            }
        }
        well
    }

    async fn partition(&self, partition: &Arc<Partition>, settings: &TopicSettings) -> Result<(), Trouble> {
        let (env, config) = (&*self.manager.env, &settings.resolved);
        let folder = partition.remote_folder(self.store);
        if settings.known && config.remote_storage_enable && !config.remote_log_copy_disable {
            for segment in partition.to_be_copied(env, config)? {
                let stats = self.store.tier.stats();
                let copied = upload(&self.store.tier.store, &folder, &segment).await;
                // Dropped meanwhile.
                if matches!(&copied, Err(StoreError::File(error)) if error.kind() == std::io::ErrorKind::NotFound) {
                    break;
                }
                stats.copies.add(1);
                let entry = copied.inspect_err(|_| stats.copy_errors.add(1))?;
                stats.copied_bytes.add(entry.bytes);
                partition.copied(env, entry)?;
                tracing::debug!(%partition, base_offset = segment.base_offset, bytes = segment.bytes, "segment copied");
                // Its local copy may be one too many.
                self.manager.env.upkeep.ask_for_retention();
            }
        }
        let garbage = partition.manifest(env).map_err(PartitionError::from)?.garbage.clone();
        if garbage.is_empty() {
            return Ok(());
        }
        for object in &garbage {
            self.delete(&format!("{folder}/{object}")).await?;
        }
        Ok(partition.collected(env, &garbage)?)
    }

    async fn delete_topics(&self) -> bool {
        let folders = std::mem::take(&mut *lock(&self.manager.tiering.deleted));
        for (at, folder) in folders.iter().enumerate() {
            if let Err(error) = self.delete_folder(folder).await {
                tracing::warn!(folder, %error, "the objects of a deleted topic cannot be deleted yet");
                lock(&self.manager.tiering.deleted).extend_from_slice(&folders[at..]);
                return false;
            }
        }
        true
    }

    /// A topic's folder, with those of its partitions.
    async fn delete_folder(&self, folder: &str) -> Result<(), StoreError> {
        for partition in self.store.tier.store.list(folder).await?.folders {
            let folder = format!("{folder}/{partition}");
            self.store.tier.store.remove_unfinished(&folder)?;
            for object in self.store.tier.store.list(&folder).await?.objects {
                self.delete(&format!("{folder}/{object}")).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, object: &str) -> Result<(), StoreError> {
        let stats = self.store.tier.stats();
        stats.deletes.add(1);
        self.store.tier.store.delete(object).await.inspect_err(|_| stats.delete_errors.add(1))
    }

    /// Deletes what no manifest names: left by a crash, or by a deletion that could not be carried out. Nothing is copied
    /// meanwhile, by this broker, and nobody else writes to the folder of this cluster.
    async fn sweep(&self) -> Result<(), StoreError> {
        let topics = self.manager.topics();
        // Where topics were found without their metadata, one that is missing may still be somebody's.
        let all_known = topics.iter().all(|topic| topic.settings().known);
        for folder in self.store.tier.store.list(&self.store.folder).await?.folders {
            let id = folder.len().checked_sub(ID_CHARS).and_then(|at| folder.get(at..)?.parse::<TopicId>().ok());
            let Some(id) = id else { continue };
            let path = format!("{}/{folder}", self.store.folder);
            match self.manager.topic_by_id(id) {
                None if all_known => {
                    tracing::info!(folder, "objects of a topic that is gone are deleted");
                    self.delete_folder(&path).await?;
                }
                None => {}
                Some(topic) => self.sweep_topic(&topic).await?,
            }
        }
        Ok(())
    }

    async fn sweep_topic(&self, topic: &Topic) -> Result<(), StoreError> {
        for partition in topic.partitions().iter().filter(|p| !p.is_offline()) {
            let Ok(manifest) = partition.manifest(&self.manager.env) else { continue };
            let named: HashSet<String> = manifest
                .entries
                .iter()
                .flat_map(|entry| entry.objects.iter().map(|suffix| entry.object(suffix)))
                .collect();
            if manifest.entries.is_empty() && self.begins_elsewhere(topic, partition) {
                tracing::error!(%partition, "its record of what is in the remote store is lost: nothing there is touched");
                continue;
            }
            let folder = partition.remote_folder(self.store);
            self.store.tier.store.remove_unfinished(&folder)?;
            for object in self.store.tier.store.list(&folder).await?.objects {
                if !named.contains(&object) {
                    tracing::info!(folder, object, "an object that nothing refers to is deleted");
                    self.delete(&format!("{folder}/{object}")).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the first records are not here: then they may be in the store.
    fn begins_elsewhere(&self, topic: &Topic, partition: &Partition) -> bool {
        let settings = topic.settings();
        partition.with_log(&self.manager.env, &settings.resolved, |log| log.local_start() > 0).unwrap_or(true)
    }
}

enum Trouble {
    Partition(PartitionError),
    Store(StoreError),
}

impl From<PartitionError> for Trouble {
    fn from(error: PartitionError) -> Trouble {
        Trouble::Partition(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}
