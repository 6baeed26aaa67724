//! Appending: sequence check, offset, one positional write, index entries, and rolling to a new segment.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::files::write_all_at;
use super::segment::Segment;
use super::{CompletedTransaction, Log, LogError, Origin};
use crate::record::batch::assign;
use crate::record::{BatchHeader, Marker, PreparedBatch};

/// Batches whose position is remembered, so that a reader at the tail needs no look-up.
const RECENT_BATCHES: usize = 8;

/// The segment that is written to, with what only writing needs.
pub(super) struct Active {
    pub segment: Arc<Segment>,
    pub file: Arc<File>,
    /// The largest timestamp of the first batch: rolling by time counts from it.
    pub first_timestamp: Option<i64>,
    /// Wall clock when the segment was begun, for records without timestamps.
    pub created_ms: i64,
    recent: [(i64, u64, u64); RECENT_BATCHES],
    next_recent: usize,
    /// Where between 0 and the topic's jitter this segment is, of 2^32.
    jitter: u32,
}

impl Active {
    pub fn new(segment: Arc<Segment>, file: Arc<File>, first_timestamp: Option<i64>, created_ms: i64) -> Active {
        Active {
            segment,
            file,
            first_timestamp,
            created_ms,
            recent: [(-1, 0, 0); RECENT_BATCHES],
            next_recent: 0,
            jitter: RandomState::new().hash_one(created_ms) as u32,
        }
    }

    /// How much earlier than others this segment ends.
    fn jitter_ms(&self, jitter_ms: i64) -> i64 {
        ((i128::from(jitter_ms) * i128::from(self.jitter)) >> 32) as i64
    }

    /// Position and size of the batch that begins at `offset`, if it was appended lately.
    pub fn position_of(&self, offset: i64) -> Option<(u64, u64)> {
        self.recent.iter().find(|(base, ..)| *base == offset).map(|(_, position, bytes)| (*position, *bytes))
    }

    fn remember(&mut self, base_offset: i64, position: u64, bytes: u64) {
        self.recent[self.next_recent] = (base_offset, position, bytes);
        self.next_recent = (self.next_recent + 1) % RECENT_BATCHES;
    }
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    /// The offset after the batch.
    pub end: i64,
    /// The largest timestamp of the stored batch.
    pub max_timestamp: i64,
    /// The batch was appended before; nothing was written now.
    pub duplicate: bool,
    /// The transaction that it has ended here.
    pub completed: Option<CompletedTransaction>,
}

#[derive(Debug)]
pub enum AppendError {
    /// OUT_OF_ORDER_SEQUENCE_NUMBER
    OutOfOrderSequence(String),
    /// INVALID_PRODUCER_EPOCH
    InvalidProducerEpoch(String),
    /// INVALID_TXN_STATE
    InvalidTransactionState(String),
    /// TRANSACTION_COORDINATOR_FENCED
    CoordinatorFenced(String),
    /// RECORD_LIST_TOO_LARGE: the batch is larger than a segment.
    LargerThanSegment { bytes: usize, segment_bytes: u64 },
    /// KAFKA_STORAGE_ERROR. Nothing was appended; the next append may succeed.
    Storage(LogError),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::OutOfOrderSequence(message)
            | AppendError::InvalidProducerEpoch(message)
            | AppendError::InvalidTransactionState(message)
            | AppendError::CoordinatorFenced(message) => f.write_str(message),
            AppendError::LargerThanSegment { bytes, segment_bytes } => write!(
                f,
                "Message batch size is {bytes} bytes in append to a partition, which exceeds the maximum configured segment size of {segment_bytes}."
            ),
            AppendError::Storage(error) => error.fmt(f),
        }
    }
}

impl Log {
    /// Appends one prepared batch at the end of the log. All or nothing: a failed write leaves neither a record nor a
    /// gap in the offsets.
    pub fn append(&mut self, batch: &PreparedBatch, origin: Origin) -> Result<Appended, AppendError> {
        let header = &batch.header;
        let marker = marker_of(batch);
        if batch.size() as u64 > self.config.segment_bytes {
            return Err(AppendError::LargerThanSegment {
                bytes: batch.size(),
                segment_bytes: self.config.segment_bytes,
            });
        }
        if header.has_producer()
            && let Some(earlier) = self.producers.check(header, marker.as_ref(), origin, self.end, &DirName(self))?
        {
            return Ok(Appended {
                base_offset: earlier.base_offset,
                end: self.end,
                max_timestamp: earlier.timestamp,
                duplicate: true,
                completed: None,
            });
        }
        let (end, completed) =
            self.write(batch, marker.as_ref(), self.epochs.latest()).map_err(AppendError::Storage)?;
        Ok(Appended {
            base_offset: end - i64::from(header.last_offset_delta) - 1,
            end,
            max_timestamp: header.max_timestamp,
            duplicate: false,
            completed,
        })
    }

    /// Appends a batch that was appended before, in the epoch that it had. Answers the new end.
    pub fn append_replayed(&mut self, batch: &PreparedBatch) -> Result<i64, LogError> {
        let epoch = batch.header.leader_epoch;
        if epoch > self.epochs.latest() {
            self.epochs.begin(epoch, self.end)?;
        }
        Ok(self.write(batch, marker_of(batch).as_ref(), epoch)?.0)
    }

    fn write(
        &mut self,
        batch: &PreparedBatch,
        marker: Option<&Marker>,
        leader_epoch: i32,
    ) -> Result<(i64, Option<CompletedTransaction>), LogError> {
        if self.should_roll(batch) {
            self.roll()?;
        }
        let base_offset = self.end;
        let mut head = batch.head;
        assign(&mut head, base_offset, leader_epoch);
        let position = self.active.segment.size();
        if let Err(source) = write_all_at(&self.active.file, [&head, &batch.body], position) {
            // What was written of it lies beyond the segment's size and is overwritten next; cut it if that goes.
            let _ = self.active.file.set_len(position);
            let what = format!("appending to {}", self.active.segment.path().display());
            return Err(LogError::Io { what, source });
        }
        let header = BatchHeader { base_offset, leader_epoch, ..batch.header };
        self.active.segment.appended(&header, batch.size() as u64, self.config.index_interval_bytes);
        self.active.remember(base_offset, position, batch.size() as u64);
        if self.active.first_timestamp.is_none() {
            self.active.first_timestamp = Some(header.max_timestamp);
        }
        let completed = self.producers.appended(&header, marker);
        if let Some(aborted) = completed.filter(|c| !c.committed) {
            self.any_aborted = true;
            self.active.segment.aborted(&aborted, self.producers.first_open_transaction());
        }
        self.end = header.next_offset();
        Ok((self.end, completed))
    }

    /// Kafka's `LogSegment.shouldRoll`.
    fn should_roll(&self, batch: &PreparedBatch) -> bool {
        let segment = &self.active.segment;
        let size = segment.size();
        if size == 0 {
            return false;
        }
        if size + batch.size() as u64 > self.config.segment_bytes {
            return true;
        }
        let waited_ms = match self.active.first_timestamp {
            Some(first) if first >= 0 => batch.header.max_timestamp.saturating_sub(first),
            _ => self.env.clock.wall_ms() - self.active.created_ms,
        };
        let last_offset = self.end + i64::from(batch.header.last_offset_delta);
        waited_ms > self.config.segment_ms - self.active.jitter_ms(self.config.segment_jitter_ms)
            || last_offset - segment.base_offset() > i64::from(i32::MAX)
            || segment.index_bytes() + 12 > self.config.index_bytes_max
    }

    /// Seals the active segment and begins a new one at the end of the log. Does nothing if it is empty.
    pub fn roll(&mut self) -> Result<(), LogError> {
        if self.active.segment.size() == 0 {
            return Ok(());
        }
        self.active.segment.finish_indexes()?;
        let keep = [self.active.segment.base_offset(), self.end];
        self.producers.write_snapshot(&self.dir, self.end, &keep, false)?;
        let segment = Arc::new(Segment::create(&self.dir, self.end)?);
        let file = segment.hold_open()?;
        self.active.segment.let_go(&self.env.files);
        let mut list = self.segments.to_vec();
        list.push(segment.clone());
        self.segments = Arc::new(list);
        self.active = Active::new(segment, file, None, self.env.clock.wall_ms());
        Ok(())
    }

    /// How many segments there are: one more after each roll.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }
}

/// The marker in a control batch.
fn marker_of(batch: &PreparedBatch) -> Option<Marker> {
    if batch.header.is_control() { Marker::read(&batch.body) } else { None }
}

/// Writes the name of the log's directory, which is the name of its partition.
struct DirName<'a>(&'a Log);

impl fmt::Display for DirName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.dir.file_name().unwrap_or_default().to_string_lossy())
    }
}
