//! Checkpoints: what lets WAL files go, and the offset files at the top of the data directory that Kafka's tools know.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::manager::{TopicManager, lock};
use super::metadata::{MetadataSnapshot, TopicRow};
use crate::log::{LogError, files};

/// Journalled bytes that a checkpoint makes needless.
const WAL_BYTES_MAX: u64 = 24 << 20;

const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const LOG_STARTS: &str = "log-start-offset-checkpoint";
const CLEAN_UP_TO: &str = "cleaner-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// A file of them without a row.
const NO_OFFSETS: &str = "0\n0\n";

/// The generations on the disk: WAL records above the older one's LSN are kept, so that either can serve.
#[derive(Clone, Copy, Default)]
pub struct LastCheckpoint {
    pub data_lsn: u64,
}

pub fn when_wal_is_large(manager: &TopicManager) {
    let live = manager.env.wal().live_bytes();
    if live > WAL_BYTES_MAX
        && let Err(error) = checkpoint(manager)
    {
        tracing::error!(%error, "the checkpoint failed; the write-ahead log is kept");
    }
}

/// Syncs all segments, writes the metadata snapshot, then lets WAL files go.
pub fn checkpoint(manager: &TopicManager) -> Result<(), LogError> {
    let held = manager.wal_held.load(Ordering::Relaxed);
    let data_lsn = if held { lock(&manager.last_checkpoint).data_lsn } else { manager.env.wal().last_lsn() };
    for partition in manager.topics().iter().flat_map(|topic| topic.partitions().to_vec()) {
        if partition.rests_on_wal() {
            partition.sync(&manager.env.log).inspect_err(|_| manager.wal_held.store(true, Ordering::Relaxed))?;
        }
    }
    write_snapshot_between_groups(manager, data_lsn)
}

fn write_snapshot_between_groups(manager: &TopicManager, data_lsn: u64) -> Result<(), LogError> {
    manager
        .changes
        .between_groups(move |manager| write_snapshot(manager, data_lsn))
        .unwrap_or_else(|| Err(LogError::Corrupt("the metadata thread is gone".into())))
}

/// Writes the state as of now. Runs where no metadata change is on its way.
pub fn write_snapshot(manager: &TopicManager, data_lsn: u64) -> Result<(), LogError> {
    let mut snapshot = current(manager);
    snapshot.metadata_lsn = manager.env.wal().last_lsn();
    snapshot.data_lsn = data_lsn;
    // The first one of a fresh directory says nothing that would be missed.
    let sync = manager.env.log.sync && snapshot.metadata_lsn > 0;
    // First, so that no topic of the snapshot finds the offsets of an earlier one of its name.
    write_offset_checkpoints(manager, sync)?;
    snapshot.write(&manager.env.data_dir, sync)?;
    let previous = {
        let mut last = lock(&manager.last_checkpoint);
        std::mem::replace(&mut last.data_lsn, data_lsn)
    };
    manager.env.wal().release(previous.min(data_lsn));
    Ok(())
}

fn current(manager: &TopicManager) -> MetadataSnapshot {
    let config = manager.config();
    let others = manager.other_configs();
    let mut broker_configs = BTreeMap::from([(String::new(), config.cluster_default().clone())]);
    if !config.broker().is_empty() {
        broker_configs.insert(config.fixed().node_id().to_string(), config.broker().clone());
    }
    MetadataSnapshot {
        next_producer_id: manager.producer_ids_end(),
        topics: manager.topics().iter().map(|topic| row(topic)).collect(),
        broker_configs,
        group_configs: others.groups,
        client_metrics_configs: others.client_metrics,
        kafka: manager.kafka.get().cloned(),
        ..MetadataSnapshot::default()
    }
}

fn row(topic: &super::Topic) -> TopicRow {
    let settings = topic.settings();
    let partitions = topic.partitions();
    let indexed = |p: &Arc<super::Partition>| p.index as u32;
    TopicRow {
        name: topic.name.to_string(),
        topic_id: topic.id,
        partitions: partitions.len() as u32,
        created_at_ms: topic.created_at_ms,
        configs: settings.overrides.clone(),
        configs_known: settings.known,
        directories_made: topic.directories_made(),
        log_starts: partitions
            .iter()
            .map(|p| (indexed(p), p.log_start_on_record()))
            .filter(|(_, start)| *start > 0)
            .collect(),
        leader_epochs: partitions
            .iter()
            .map(|p| (indexed(p), p.leader_epoch()))
            .filter(|(_, epoch)| *epoch > 0)
            .collect(),
    }
}

/// Writes Kafka's three offset files. We read the recovery points again, and the log starts where the metadata is lost.
pub fn write_offset_checkpoints(manager: &TopicManager, sync: bool) -> Result<(), LogError> {
    let _only = lock(&manager.offset_files);
    let mut recovery_points = Vec::new();
    let mut log_starts = Vec::new();
    let mut high_watermarks = Vec::new();
    for topic in manager.topics() {
        for partition in topic.partitions().iter() {
            let row = |offset: i64| (topic.name.clone(), partition.index, offset);
            let recovery_point = partition.recovery_point_on_record();
            if recovery_point > 0 {
                recovery_points.push(row(recovery_point));
            }
            if partition.log_start_on_record() > 0 {
                log_starts.push(row(partition.log_start_on_record()));
            }
            if partition.end_on_record() > 0 {
                high_watermarks.push(row(partition.end_on_record()));
            }
        }
    }
    let dir = &manager.env.data_dir;
    for (name, rows) in
        [(RECOVERY_POINTS, recovery_points), (LOG_STARTS, log_starts), (HIGH_WATERMARKS, high_watermarks)]
    {
        let text = offsets_text(&rows);
        let path = dir.join(name);
        let unchanged = match std::fs::read_to_string(&path) {
            Ok(old) => old == text,
            Err(_) => text == NO_OFFSETS,
        };
        if unchanged {
            continue;
        }
        files::replace(&path, text.as_bytes(), sync)
            .map_err(LogError::io(format_args!("writing {}", path.display())))?;
    }
    Ok(())
}

/// What was cleaned, by topic and partition: rows of Kafka's file.
pub fn write_cleaner_offsets(data_dir: &Path, rows: Vec<OffsetRow>) -> Result<(), LogError> {
    let path = data_dir.join(CLEAN_UP_TO);
    files::replace(&path, offsets_text(&rows).as_bytes(), false)
        .map_err(LogError::io(format_args!("writing {}", path.display())))
}

pub fn read_cleaner_offsets(data_dir: &Path) -> HashMap<(String, i32), i64> {
    read_offsets(&data_dir.join(CLEAN_UP_TO))
}

type OffsetRow = (Arc<str>, i32, i64);

fn offsets_text(rows: &[OffsetRow]) -> String {
    let mut text = format!("0\n{}\n", rows.len());
    for (topic, partition, offset) in rows {
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

/// Recovery points by partition. They only save work: an unreadable file counts as empty.
pub fn read_recovery_points(data_dir: &Path) -> HashMap<(String, i32), i64> {
    read_offsets(&data_dir.join(RECOVERY_POINTS))
}

pub fn read_log_starts(data_dir: &Path) -> HashMap<(String, i32), i64> {
    read_offsets(&data_dir.join(LOG_STARTS))
}

/// Ends of partitions, as Kafka or we wrote them last.
pub fn read_high_watermarks(data_dir: &Path) -> HashMap<(String, i32), i64> {
    read_offsets(&data_dir.join(HIGH_WATERMARKS))
}

fn read_offsets(path: &Path) -> HashMap<(String, i32), i64> {
    let Ok(text) = std::fs::read_to_string(path) else { return HashMap::new() };
    text.lines()
        .skip(2)
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let key = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
            Some((key, fields.next()?.parse().ok()?))
        })
        .collect()
}
