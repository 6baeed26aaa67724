//! The part of a partition that lies in a remote store: its manifest, reads through it, and which local copies may go.
//!
//! The manifest is changed by the upkeep (retention) and by the thread that copies; one at a time, each change on record
//! before it counts. Readers take it as a whole.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::read::{Asked, Isolation, ReadOutcome};
use super::{Partition, PartitionEnv, PartitionError, State};
use crate::config::TopicConfig;
use crate::log::chunk::{Chunk, SealedSegment, read_aborted};
use crate::log::{AbortedTransaction, LogError, Retention, SegmentRow, Snapshot, TimestampedOffset};
use crate::tier::{Entry, Manifest, Read, Tier};

/// Where a broker's tiered segments are.
pub struct RemoteStore {
    pub tier: Arc<Tier>,
    /// The folder of this cluster.
    pub folder: String,
}

#[derive(Default)]
pub struct Remote {
    /// Held over a change, with the write of its record.
    changing: Mutex<()>,
    /// `None`: not read yet.
    manifest: RwLock<Option<Arc<Manifest>>>,
    wake: OnceLock<Arc<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remote")
    }
}

/// What a look-up in the store brings.
pub enum RemoteLookUp<T> {
    Found(T),
    /// Being fetched: waiters of the partition are woken when it is here, or cannot be had.
    Pending,
}

impl Partition {
    /// What of it is in a remote store.
    pub fn manifest(&self, env: &PartitionEnv) -> Result<Arc<Manifest>, LogError> {
        if let Some(manifest) = &*self.remote.manifest.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(manifest.clone());
        }
        let read = Arc::new(Manifest::read(&env.data_dir.join(self.dir_name()), self.topic_id)?);
        let mut manifest = self.remote.manifest.write().unwrap_or_else(PoisonError::into_inner);
        Ok(manifest.get_or_insert(read).clone())
    }

    /// Changes it: on record first, then for readers.
    fn change_manifest<T>(
        &self,
        env: &PartitionEnv,
        change: impl FnOnce(&mut Manifest) -> T,
    ) -> Result<T, PartitionError> {
        let _changing = self.remote.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut manifest = Manifest::clone(&*self.manifest(env)?);
        let before = manifest.clone();
        let result = change(&mut manifest);
        if manifest == before {
            return Ok(result);
        }
        if matches!(&*self.lock(), State::Deleted) {
            return Err(PartitionError::Deleted);
        }
        manifest.write(&env.data_dir.join(self.dir_name()), self.topic_id, env.log.sync)?;
        *self.remote.manifest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(manifest));
        Ok(result)
    }

    /// The folder of its objects.
    pub fn remote_folder(&self, store: &RemoteStore) -> String {
        format!("{}/{}-{}/{}", store.folder, self.topic, self.topic_id, self.index)
    }

    /// Segments that are sealed, on the disk, readable to everybody, and not in the store yet.
    pub fn to_be_copied(&self, env: &PartitionEnv, config: &TopicConfig) -> Result<Vec<SealedSegment>, PartitionError> {
        if !self.is_open() && crate::log::segments_in(&env.data_dir.join(self.dir_name())).unwrap_or(0) < 2 {
            return Ok(Vec::new());
        }
        let manifest = self.manifest(env)?;
        if self.with_log(env, config, |log| log.has_unsynced_sealed())? {
            self.sync(&env.log)?;
        }
        let mut state = self.opened(env, config)?;
        let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
        // By segments, not by the log start: that may lie in the middle of one.
        Ok(open.log.sealed(manifest.end().unwrap_or(0), open.last_stable_offset())?)
    }

    /// A segment is in the store, whole: from now on its local copy may go.
    pub fn copied(&self, env: &PartitionEnv, entry: Entry) -> Result<(), PartitionError> {
        self.change_manifest(env, |manifest| {
            if manifest.end().is_some_and(|end| end != entry.base_offset) {
                // What is between was never copied, and is gone: nobody can read across.
                manifest.drop_below(i64::MAX);
            }
            manifest.entries.push(Arc::new(entry));
        })
    }

    /// Objects that were to be deleted are.
    pub fn collected(&self, env: &PartitionEnv, objects: &[String]) -> Result<(), PartitionError> {
        self.change_manifest(env, |manifest| manifest.garbage.retain(|object| !objects.contains(object)))
    }

    /// Retention of a tiered log: over all of it by the topic's limits, and here by the local ones, which touch what is in
    /// the store already and nothing else. Answers whether objects are to be deleted.
    pub fn apply_tiered_retention(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        retention: Retention,
    ) -> Result<bool, PartitionError> {
        let manifest = self.manifest(env)?;
        if !self.is_open() && manifest.entries.is_empty() && self.size_on_disk(env).is_none_or(|bytes| bytes == 0) {
            return Ok(false);
        }
        let mut start = {
            let mut state = self.opened(env, config)?;
            let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
            let rows = rows(&manifest, &open.log.sealed_rows()?, open.log.local_start());
            let all = rows.iter().map(|row| row.bytes).sum::<u64>() + open.log.active_bytes();
            let upper = if config.remote_log_copy_disable { open.high_watermark } else { manifest.end().unwrap_or(0) };
            let now_ms = env.log.clock.wall_ms();
            retention.first_kept(&rows, all, upper, now_ms).unwrap_or(0).max(open.log.log_start())
        };
        if !config.remote_storage_enable {
            // Ended, with `remote.log.delete.on.disable`: what is here is all there is.
            start = start.max(self.with_log(env, config, |log| log.local_start())?);
        }
        let dropped = self.change_manifest(env, |manifest| manifest.drop_below(start))?;
        let dir = env.data_dir.join(self.dir_name());
        let local = local_retention(config);
        let manifest = self.manifest(env)?;
        {
            let mut state = self.opened(env, config)?;
            let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
            open.log.advance_log_start(start);
            self.log_start.fetch_max(open.log.log_start(), Ordering::Relaxed);
            if let Some(copied) = manifest.range().filter(|_| config.remote_storage_enable) {
                open.log.drop_local(local, copied)?;
            }
        }
        for entry in dropped.iter().filter(|entry| entry.has_aborted) {
            let _ = std::fs::remove_file(crate::log::files::offset_file(&dir, entry.base_offset, "txnindex"));
        }
        if let Some(store) = env.remote.get() {
            store.tier.forget(&dropped.iter().map(|entry| entry.id).collect::<Vec<_>>());
        }
        if !dropped.is_empty() {
            self.waiters.wake_all();
        }
        Ok(!manifest.garbage.is_empty())
    }

    /// Reads what lies before the first local segment.
    pub(super) fn read_remote(
        &self,
        env: &PartitionEnv,
        snapshot: &Snapshot,
        asked: &Asked,
        outcome: ReadOutcome,
    ) -> Result<ReadOutcome, PartitionError> {
        let manifest = self.manifest(env)?;
        let store = env.remote.get().ok_or_else(no_store)?;
        let mut next = asked.offset;
        while let Some((at, entry)) = manifest.find(next) {
            let number = entry.chunk_of(next);
            let RemoteLookUp::Found(chunk) = self.chunk(store, entry, number)? else {
                return Ok(ReadOutcome { is_pending: true, ..outcome });
            };
            self.read_ahead(store, &manifest, at, number);
            let end = entry.chunks.get(number + 1).map_or(entry.end, |chunk| chunk.first_offset);
            let Some(region) = chunk.read(&env.log.files, next, asked.bytes_max, asked.whole_first)? else {
                next = end;
                continue;
            };
            let mut aborted = Vec::new();
            if asked.isolation == Isolation::ReadCommitted {
                collect_aborted(&env.data_dir.join(self.dir_name()), &manifest.entries[at..], next, end, &mut aborted);
                snapshot.aborted_between(next, end, &mut aborted);
            }
            return Ok(ReadOutcome { region, aborted, ..outcome });
        }
        Ok(outcome)
    }

    /// The first remote record at or behind the log start with at least this timestamp.
    pub(super) fn remote_offset_for_timestamp(
        &self,
        env: &PartitionEnv,
        timestamp: i64,
        snapshot: &Snapshot,
    ) -> Result<RemoteLookUp<Option<TimestampedOffset>>, PartitionError> {
        if snapshot.local_start <= snapshot.log_start {
            return Ok(RemoteLookUp::Found(None));
        }
        let manifest = self.manifest(env)?;
        for entry in manifest.entries.iter().filter(|e| e.end > snapshot.log_start && e.newest_ms >= timestamp) {
            for (number, row) in entry.chunks.iter().enumerate().filter(|(_, row)| row.newest_ms >= timestamp) {
                let end = entry.chunks.get(number + 1).map_or(entry.end, |chunk| chunk.first_offset);
                if end <= snapshot.log_start || row.first_offset >= snapshot.local_start {
                    continue;
                }
                let store = env.remote.get().ok_or_else(no_store)?;
                let RemoteLookUp::Found(chunk) = self.chunk(store, entry, number)? else {
                    return Ok(RemoteLookUp::Pending);
                };
                let found = chunk.first_at_or_after(&env.log.files, timestamp, snapshot.log_start)?;
                if found.is_some() {
                    return Ok(RemoteLookUp::Found(found));
                }
            }
        }
        Ok(RemoteLookUp::Found(None))
    }

    fn chunk(
        &self,
        store: &RemoteStore,
        entry: &Arc<Entry>,
        number: usize,
    ) -> Result<RemoteLookUp<Arc<Chunk>>, PartitionError> {
        let wake = self.remote.wake.get_or_init(|| {
            let waiters = self.waiters.clone();
            Arc::new(move || waiters.wake_all())
        });
        match store.tier.read(&self.remote_folder(store), entry, number, wake) {
            Read::Ready(chunk) => Ok(RemoteLookUp::Found(chunk)),
            Read::Pending => Ok(RemoteLookUp::Pending),
            Read::Failed(why) => Err(PartitionError::Storage(why)),
        }
    }

    /// Who reads one piece reads the next.
    fn read_ahead(&self, store: &RemoteStore, manifest: &Manifest, at: usize, number: usize) {
        let folder = self.remote_folder(store);
        let entry = &manifest.entries[at];
        if number + 1 < entry.chunks.len() {
            store.tier.read_ahead(&folder, entry, number + 1);
        } else if let Some(next) = manifest.entries.get(at + 1) {
            store.tier.read_ahead(&folder, next, 0);
        }
    }
}

fn no_store() -> PartitionError {
    PartitionError::Storage("its records are in a remote store, and none is configured".into())
}

/// The limits of what is kept here: -2 says as for all of it.
fn local_retention(config: &TopicConfig) -> Retention {
    let or = |local: i64, all: i64| if local == -2 { all } else { local };
    Retention {
        ms: or(config.local_retention_ms, config.retention_ms),
        bytes: or(config.local_retention_bytes, config.retention_bytes),
    }
}

/// Sealed segments from the start of the log on: those that are remote only, then those that are here.
fn rows(manifest: &Manifest, local: &[SegmentRow], local_start: i64) -> Vec<SegmentRow> {
    let remote = manifest.entries.iter().filter(|entry| entry.end <= local_start);
    let row = |entry: &Arc<Entry>| SegmentRow { end: entry.end, bytes: entry.bytes, newest_ms: entry.newest_ms };
    remote.map(row).chain(local.iter().copied()).collect()
}

/// As [`Snapshot::aborted_between`], of segments whose records are remote: their lists are still here.
fn collect_aborted(
    dir: &std::path::Path,
    entries: &[Arc<Entry>],
    offset: i64,
    upper: i64,
    found: &mut Vec<AbortedTransaction>,
) {
    for entry in entries.iter().filter(|entry| entry.has_aborted) {
        for aborted in read_aborted(dir, entry.base_offset) {
            if aborted.last_offset >= offset && aborted.first_offset < upper {
                found.push(aborted);
            }
            if aborted.last_stable_offset >= upper {
                return;
            }
        }
    }
}
