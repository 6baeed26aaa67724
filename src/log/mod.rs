//! One partition's native log on disk, in Kafka's own files: segments, indexes, producer state, recovery.
//!
//! Everything but the `.log` files is a cache of them. Indexes are hints: each look-up checks the batch it lands on.
//! Synchronous: the caller holds the partition's lock for what takes `&mut Log`. Never knows topic names beyond its
//! directory, nor tokio, nor wire messages. Called by `topic` only.

pub mod aborted;
mod append;
mod by_time;
pub mod chunk;
pub mod cleaner;
mod epochs;
pub mod files;
pub mod index;
mod indexes;
mod producers;
mod recovery;
mod retention;
mod scan;
mod segment;
mod swap;
pub mod verify;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub use aborted::AbortedTransaction;
pub use append::{AppendError, Appended};
pub use by_time::TimestampedOffset;
pub use epochs::EpochEnd;
use epochs::LeaderEpochs;
pub use files::{FileCache, Region, segment_bytes, segments_in};
use producers::Producers;
pub use producers::{ActiveProducer, CompletedTransaction, Origin};
pub use recovery::{OpenMode, RecoveryReport};
pub use retention::{Retention, SegmentRow};
pub use scan::read_batches;
use segment::Segment;
pub use swap::Replacement;

use crate::base::{Clock, ProducerId, TopicId};
use crate::record::{BatchHeader, TransactionVersion};

/// What the log needs to know of its topic's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`
    pub segment_bytes: u64,
    /// `segment.ms`, and `max.compaction.lag.ms` of a compacted topic if it is less; compared with record timestamps, not
    /// with the clock
    pub segment_ms: i64,
    /// `segment.jitter.ms`: a segment may end up to so much earlier.
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`
    pub index_interval_bytes: u64,
    /// `segment.index.bytes`: a full index rolls the segment
    pub index_bytes_max: u64,
}

/// What all logs of a broker share.
#[derive(Clone)]
pub struct LogEnv {
    pub clock: Clock,
    pub files: Arc<FileCache>,
    /// False for an ephemeral broker: nothing is ever synced.
    pub sync: bool,
    /// `producer.id.expiration.ms`
    pub producer_expiration_ms: Arc<AtomicI64>,
}

#[derive(Debug)]
pub enum LogError {
    Io { what: String, source: io::Error },
    Corrupt(String),
}

impl LogError {
    /// Says what failed; the text is made only then.
    pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> LogError {
        move |source| LogError::Io { what: what.to_string(), source }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Io { what, source } => write!(f, "{what}: {source}"),
            LogError::Corrupt(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for LogError {}

/// One open partition log.
pub struct Log {
    dir: PathBuf,
    env: LogEnv,
    config: LogConfig,
    /// Oldest first, never empty; the last one is active. Replaced as a whole, so that readers keep what they saw. Of a
    /// tiered log the first may lie behind the log start: what comes before it is elsewhere.
    segments: Arc<Vec<Arc<Segment>>>,
    active: append::Active,
    log_start: i64,
    end: i64,
    /// Offsets below are on the disk itself, not only in the page cache.
    recovery_point: i64,
    producers: Producers,
    epochs: LeaderEpochs,
    /// Whether any segment may have aborted transactions.
    any_aborted: bool,
}

/// What a reader takes under the lock; all else it does without.
#[derive(Clone)]
pub struct Snapshot {
    segments: Arc<Vec<Arc<Segment>>>,
    pub log_start: i64,
    pub end: i64,
    /// Bytes of the active segment that belong to offsets below `end`.
    active_bytes: u64,
    any_aborted: bool,
    /// Offsets below are elsewhere, if they are anywhere.
    pub local_start: i64,
    /// Position and size of the batch at the asked offset, if it is one of the last appended.
    hint: Option<(u64, u64)>,
}

impl Log {
    pub fn log_start(&self) -> i64 {
        self.log_start
    }

    /// The offset of the next record (Kafka's log end offset).
    pub fn end(&self) -> i64 {
        self.end
    }

    /// The first offset that is here, not in a remote store.
    pub fn local_start(&self) -> i64 {
        self.segments[0].base_offset().max(self.log_start)
    }

    pub fn recovery_point(&self) -> i64 {
        self.recovery_point
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn leader_epoch(&self) -> i32 {
        self.epochs.latest()
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|s| s.size()).sum()
    }

    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// The first offset of a transaction that is still open.
    pub fn first_open_transaction(&self) -> Option<i64> {
        self.producers.first_open_transaction()
    }

    /// Whether the producer of this batch has a transaction open here, in the batch's epoch.
    pub fn has_open_transaction(&self, header: &BatchHeader) -> bool {
        self.producers.has_open_transaction(header)
    }

    /// A client's batch that would have begun a transaction was refused.
    pub fn transaction_refused(&mut self, header: &BatchHeader, version: TransactionVersion) {
        self.producers.refused(header, version, self.env.clock.wall_ms());
    }

    /// What is known of one producer.
    pub fn producer(&self, producer_id: ProducerId) -> Option<ActiveProducer> {
        self.producers.of(producer_id)
    }

    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        self.producers.active()
    }

    pub fn expire_producers(&mut self) {
        let expiration_ms = self.env.producer_expiration_ms.load(Ordering::Relaxed);
        self.producers.expire(self.env.clock.wall_ms(), expiration_ms);
    }

    /// The largest id of a producer that is remembered here.
    pub fn largest_producer_id(&self) -> Option<ProducerId> {
        self.producers.active().last().map(|producer| producer.producer_id)
    }

    /// Begins a new leader epoch at the end, unless there is nothing in the log. Answers the epoch in force.
    pub fn begin_epoch(&mut self) -> Result<i32, LogError> {
        if !self.is_empty() {
            self.epochs.begin(self.epochs.latest() + 1, self.end)?;
        }
        Ok(self.epochs.latest())
    }

    /// Begins `epoch` at the end. It is above the one in force.
    pub fn raise_epoch(&mut self, epoch: i32) -> Result<(), LogError> {
        self.epochs.begin(epoch, self.end)
    }

    /// Whether no record is left in it.
    pub fn is_empty(&self) -> bool {
        self.log_start == self.end
    }

    /// Drops every segment and goes on at `offset`. The log start stays.
    pub fn begin_anew(&mut self, offset: i64) -> Result<(), LogError> {
        for segment in self.segments.iter() {
            segment.delete_files(&self.env.files);
        }
        self.end = offset;
        self.recovery_point = self.recovery_point.min(offset);
        self.producers = Producers::default();
        self.producers.write_snapshot(&self.dir, offset, &[offset], false)?;
        let segment = Arc::new(Segment::create(&self.dir, offset)?);
        let file = segment.hold_open()?;
        self.segments = Arc::new(vec![segment.clone()]);
        self.active = append::Active::new(segment, file, None, self.env.clock.wall_ms());
        Ok(())
    }

    /// The end of `epoch` as OffsetForLeaderEpoch answers it (KIP-101); `None` if it is unknown.
    pub fn epoch_end(&self, epoch: i32) -> Option<EpochEnd> {
        self.epochs.end_of(epoch, self.end)
    }

    /// The epoch in which the record at `offset` was appended.
    pub fn epoch_of(&self, offset: i64) -> i32 {
        self.epochs.of(offset)
    }

    /// Takes what a read of `offset` needs.
    pub fn snapshot(&self, offset: i64) -> Snapshot {
        Snapshot {
            segments: self.segments.clone(),
            log_start: self.log_start,
            end: self.end,
            active_bytes: self.active.segment.size(),
            any_aborted: self.any_aborted,
            local_start: self.local_start(),
            hint: self.active.position_of(offset),
        }
    }

    /// Moves the log start up to `offset` and drops the segments that lie below it. The caller has made the new start
    /// durable.
    pub fn advance_log_start(&mut self, offset: i64) {
        if offset <= self.log_start {
            return;
        }
        self.log_start = offset.min(self.end);
        if self.log_start == self.end && self.active.segment.size() > 0 {
            // The active segment is all below the start: roll, so that its space is freed too.
            if let Err(error) = self.roll() {
                tracing::warn!(dir = %self.dir.display(), %error, "could not roll the log after its records were deleted");
            }
        }
        self.drop_what_is_below_start();
    }

    fn drop_what_is_below_start(&mut self) {
        self.epochs.truncate_below(self.log_start);
        let dead = self.segments.windows(2).take_while(|pair| pair[1].base_offset() <= self.log_start).count();
        if dead == 0 {
            return;
        }
        let mut list = self.segments.to_vec();
        list.drain(..dead).for_each(|segment| segment.delete_files(&self.env.files));
        self.segments = Arc::new(list);
    }

    /// Syncs everything up to the end; afterwards the recovery point is there.
    pub fn flush(&mut self) -> Result<(), LogError> {
        if self.recovery_point >= self.end {
            return Ok(());
        }
        if self.env.sync {
            for segment in self.segments.iter().rev() {
                segment.sync(&self.env.files)?;
                if segment.base_offset() <= self.recovery_point {
                    break;
                }
            }
        }
        self.recovery_point = self.end;
        Ok(())
    }

    /// What must be synced to bring the recovery point to `end`, for syncing outside the lock.
    pub fn unsynced(&self) -> Unsynced {
        let first = self.segments.partition_point(|s| s.base_offset() <= self.recovery_point).saturating_sub(1);
        let segments = if self.recovery_point < self.end { self.segments[first..].to_vec() } else { Vec::new() };
        Unsynced { segments, end: self.end }
    }

    /// Told after [`Unsynced::sync`] succeeded.
    pub fn synced_up_to(&mut self, end: i64) {
        self.recovery_point = self.recovery_point.max(end.min(self.end));
    }

    /// Makes the files whole: indexes, and the producer snapshot. Not synced: both can be made again from the batches.
    pub fn finish(&mut self) -> Result<(), LogError> {
        self.active.segment.finish_indexes()?;
        self.producers.write_snapshot(&self.dir, self.end, &[self.active.segment.base_offset()], false)
    }

    /// Ends the log's life in this process, with everything that counts on the disk.
    pub fn close(&mut self) -> Result<(), LogError> {
        self.finish()?;
        self.flush()
    }
}

/// Files to be synced without holding the partition's lock.
pub struct Unsynced {
    segments: Vec<Arc<Segment>>,
    end: i64,
}

impl Unsynced {
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Answers the offset up to which all is on the disk.
    pub fn sync(&self, files: &FileCache) -> Result<i64, LogError> {
        for segment in &self.segments {
            segment.sync(files)?;
        }
        Ok(self.end)
    }
}

/// What may be sent, and the number of the segment that it lies in.
pub struct Found {
    pub region: Region,
    segment: usize,
}

impl Snapshot {
    /// The aborted transactions of the segments that are here which overlap `offset..upper`.
    pub fn aborted_between(&self, offset: i64, upper: i64, aborted: &mut Vec<AbortedTransaction>) {
        for segment in self.segments.iter().filter(|s| self.any_aborted && s.has_aborted()) {
            if segment.collect_aborted(offset, upper, aborted) {
                break;
            }
        }
    }

    /// The aborted transactions that a reader of `offset` must know of to read what was found. As Kafka's, the list goes
    /// on to the next entry of the offset index behind it.
    pub fn aborted(&self, offset: i64, found: &Found) -> Vec<AbortedTransaction> {
        let mut aborted = Vec::new();
        if !self.any_aborted {
            return aborted;
        }
        let segments = &self.segments[found.segment..];
        let region_end = found.region.position + found.region.length as u64;
        let mut upper = None;
        for segment in segments {
            // Looked up only where there is something to bound.
            let bound = || match (segments[0].offset_at(region_end), segments.get(1)) {
                (Some(offset), _) => offset,
                (None, Some(next)) => next.base_offset(),
                (None, None) => self.end,
            };
            if !segment.has_aborted() {
                continue;
            }
            if segment.collect_aborted(offset, *upper.get_or_insert_with(bound), &mut aborted) {
                break;
            }
        }
        aborted
    }

    /// Where the batch that contains `offset` begins and how much may be sent: whole batches up to `upper` (exclusive),
    /// at most `bytes_max` bytes, but the first batch whole if `whole_first`. `None` if there is nothing to send.
    /// `offset` lies in `log_start..=end`.
    pub fn read(
        &self,
        files: &FileCache,
        offset: i64,
        upper: i64,
        bytes_max: u64,
        whole_first: bool,
    ) -> Result<Option<Found>, LogError> {
        if offset >= upper {
            return Ok(None);
        }
        let mut at = self.segments.partition_point(|s| s.base_offset() <= offset).saturating_sub(1);
        let mut hint = self.hint.filter(|_| at + 1 == self.segments.len());
        while let Some(segment) = self.segments.get(at) {
            let is_active = at + 1 == self.segments.len();
            let mut bytes_end = if is_active { self.active_bytes } else { segment.size() };
            if let Some(next) = self.segments.get(at + 1)
                && next.base_offset() < upper
            {
                // The bound lies in a later segment: all of this one may be sent.
            } else if upper < self.end {
                bytes_end = segment.position_of(files, upper, bytes_end)?.map_or(bytes_end, |b| b.position);
            }
            let start = match hint.take() {
                Some(found) => Some(found),
                None => segment.position_of(files, offset, bytes_end)?.map(|b| (b.position, b.header.size() as u64)),
            };
            if let Some((position, bytes)) = start.filter(|(position, _)| *position < bytes_end) {
                let region = segment.region(files, position, bytes, bytes_end, bytes_max, whole_first)?;
                return Ok(region.map(|region| Found { region, segment: at }));
            }
            // Nothing at or after the offset here (compaction took it): go on with the next segment.
            at += 1;
        }
        Ok(None)
    }
}

/// Creates the directory of a partition with its `partition.metadata`; what exists is kept.
pub fn create_dir(dir: &Path, topic_id: TopicId) -> Result<(), LogError> {
    let what = || format!("creating {}", dir.display());
    match std::fs::create_dir(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(LogError::Io { what: what(), source: e }),
    }
    let path = dir.join(files::PARTITION_METADATA);
    if !path.exists() {
        std::fs::write(&path, format!("version: 0\ntopic_id: {topic_id}\n")).map_err(LogError::io(what()))?;
    }
    Ok(())
}

/// The topic id in a directory's `partition.metadata`, if it has a readable one.
pub fn read_topic_id(dir: &Path) -> Option<TopicId> {
    let text = std::fs::read_to_string(dir.join(files::PARTITION_METADATA)).ok()?;
    text.lines().find_map(|line| line.strip_prefix("topic_id:"))?.trim().parse().ok()
}

#[cfg(test)]
pub(crate) mod tests;
