//! What a start finds in a data directory: a generation of the metadata, directories, files of earlier releases.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::metadata::{MetadataSnapshot, TopicRow, previous_path, snapshot_path};
use super::{checkpoint, kraft};
use crate::base::TopicId;
use crate::log;

/// The newest readable generation. `None` if there is neither.
pub fn load_snapshot(data_dir: &Path) -> Result<Option<MetadataSnapshot>, String> {
    match MetadataSnapshot::read(&snapshot_path(data_dir)) {
        Ok(Some(snapshot)) => return Ok(Some(snapshot)),
        Ok(None) => {}
        Err(error) => {
            tracing::error!(%error, "the metadata snapshot is unreadable: using the previous one");
            // Kept for whoever wants to know what happened; it must not become the previous generation.
            let _ = std::fs::rename(snapshot_path(data_dir), data_dir.join("topic_metadata.damaged.json"));
        }
    }
    match MetadataSnapshot::read(&previous_path(data_dir)) {
        Ok(Some(snapshot)) => {
            tracing::warn!("the metadata comes from its previous generation and the write-ahead log");
            Ok(Some(snapshot))
        }
        Ok(None) => Ok(None),
        Err(error) => {
            tracing::error!(%error, "the previous metadata snapshot is unreadable too: scanning the directories");
            Ok(None)
        }
    }
}

/// The names of all directories but that of Kafka's metadata, which is no partition of ours.
pub fn directory_names(data_dir: &Path) -> Result<HashSet<String>, String> {
    let failed = |e: std::io::Error| format!("listing {}: {e}", data_dir.display());
    let mut names = HashSet::new();
    for entry in std::fs::read_dir(data_dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
            && name != kraft::METADATA_DIR
        {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Brings the files of a journal that earlier releases kept in `wal/` up to the data directory: Kafka refuses to start
/// where it finds a directory that is no partition.
pub fn collect_wal_files(data_dir: &Path) -> std::io::Result<()> {
    let dir = data_dir.join("wal");
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(&dir)? {
        let entry = entry?;
        std::fs::rename(entry.path(), data_dir.join(entry.file_name()))?;
    }
    std::fs::remove_dir(&dir)?;
    log::files::sync_dir(&dir)
}

/// `<topic>-<partition>`
pub fn partition_of(name: &str) -> Option<(&str, u32)> {
    let (topic, partition) = name.rsplit_once('-')?;
    if topic.is_empty() || partition.len() > 1 && partition.starts_with('0') {
        return None;
    }
    Some((topic, partition.parse().ok()?))
}

/// Topics as their directories name them: without configuration, so that nothing deletes their data.
pub fn scan_directories(data_dir: &Path, names: &HashSet<String>) -> Vec<TopicRow> {
    let log_starts = checkpoint::read_log_starts(data_dir);
    let mut found: HashMap<(String, TopicId), u32> = HashMap::new();
    for name in names {
        if let Some((topic, partition)) = partition_of(name)
            && let Some(id) = log::read_topic_id(&data_dir.join(name))
        {
            let last = found.entry((topic.to_owned(), id)).or_default();
            *last = (*last).max(partition);
        }
    }
    let mut rows: Vec<TopicRow> = found
        .into_iter()
        .map(|((name, topic_id), last)| TopicRow {
            configs: if super::is_internal(&name) {
                BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())])
            } else {
                BTreeMap::new()
            },
            configs_known: super::is_internal(&name),
            log_starts: (0..=last).filter_map(|p| Some((p, *log_starts.get(&(name.clone(), p as i32))?))).collect(),
            name,
            topic_id,
            partitions: last + 1,
            created_at_ms: 0,
            directories_made: true,
            leader_epochs: BTreeMap::new(),
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if !rows.is_empty() {
        tracing::warn!(topics = rows.len(), "no metadata snapshot: topics were found by their directories");
    }
    rows
}
