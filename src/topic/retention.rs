//! Retention over all topics: what `retention.ms` and `retention.bytes` have done with goes.

use super::manager::TopicManager;
use super::partition::{Partition, PartitionError};
use crate::config::TopicConfig;
use crate::log::Retention;

/// Looks at every partition whose topic has a known configuration. One that cannot be looked at disturbs no other.
pub fn apply_to_all(manager: &TopicManager) {
    for topic in manager.topics() {
        let settings = topic.settings();
        let Some(retention) = retention_of(&settings.resolved).filter(|_| settings.known) else { continue };
        for partition in topic.partitions().iter().filter(|p| !p.is_offline()) {
            match apply(manager, &settings.resolved, partition, retention) {
                Ok(()) | Err(PartitionError::Deleted) => {}
                Err(error) => tracing::warn!(%partition, %error, "retention cannot look at a log"),
            }
        }
        if manager.env.upkeep.is_stopping() {
            return;
        }
    }
}

fn apply(
    manager: &TopicManager,
    config: &TopicConfig,
    partition: &Partition,
    retention: Retention,
) -> Result<(), PartitionError> {
    // What was tiered and is no more has its copies deleted, where there is a store to delete them from.
    let is_tiered = config.remote_storage_enable
        || manager.env.remote.get().is_some() && !partition.manifest(&manager.env)?.entries.is_empty();
    if !is_tiered {
        return partition.apply_retention(&manager.env, config, retention);
    }
    if partition.apply_tiered_retention(&manager.env, config, retention)? {
        manager.tiering.wake();
    }
    Ok(())
}

/// `None` for a topic that only compacts, or keeps everything.
fn retention_of(config: &TopicConfig) -> Option<Retention> {
    config.cleanup_delete.then_some(Retention { ms: config.retention_ms, bytes: config.retention_bytes })
}
