//! Topics and partitions: their lifecycle, append → commit → watermark, reads, waiting readers, upkeep.
//!
//! Owns the metadata of the cluster (topics, dynamic configurations, producer ids) and its one writer. Every change is
//! durable before it is visible. Knows neither sockets nor Kafka's error codes; `api` maps the errors. Called by
//! `broker` and `api`.

mod changes;
mod checkpoint;
mod cleaner;
mod found;
mod kraft;
pub mod manager;
pub mod metadata;
mod names;
pub mod partition;
mod retention;
mod startup;
mod takeover;
mod tiering;
mod upkeep;

pub use changes::{ChangeError, Touch};
pub use manager::{TopicManager, TopicManagerOptions};
pub use metadata::{MetadataRecord, TopicRow};
pub use names::{METADATA_TOPIC, NameError, collision_key, is_internal, validate_name};
pub use partition::{
    AppendOutcome, Durability, Isolation, Partition, PartitionError, ReadOutcome, RemoteLookUp, RemoteStore,
};
pub use tiering::open_store;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::base::TopicId;
use crate::config::TopicConfig;

/// One topic. Its partitions only ever grow; readers take them as a whole in one step.
#[derive(Debug)]
pub struct Topic {
    pub name: Arc<str>,
    pub id: TopicId,
    /// Milliseconds since 1970; never changes.
    pub created_at_ms: i64,
    partitions: RwLock<Arc<[Arc<Partition>]>>,
    settings: RwLock<Arc<TopicSettings>>,
    /// Whether every directory was made; until then a missing one is no damage.
    directories_made: AtomicBool,
}

/// A topic's configuration: what was set on it, and what follows.
#[derive(Clone, Debug)]
pub struct TopicSettings {
    pub overrides: BTreeMap<String, String>,
    pub resolved: TopicConfig,
    /// False for a topic that was found without its metadata: nothing may delete its data.
    pub known: bool,
}

impl Topic {
    pub fn partitions(&self) -> Arc<[Arc<Partition>]> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        partitions.get(usize::try_from(index).ok()?).cloned()
    }

    pub fn settings(&self) -> Arc<TopicSettings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }

    fn set_partitions(&self, partitions: Arc<[Arc<Partition>]>) {
        *self.partitions.write().unwrap_or_else(PoisonError::into_inner) = partitions;
    }

    fn set_settings(&self, settings: TopicSettings) {
        let settings = Arc::new(settings);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings.clone();
        for partition in self.partitions().iter() {
            partition.reconfigure(&settings.resolved);
        }
    }

    fn directories_made(&self) -> bool {
        self.directories_made.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
