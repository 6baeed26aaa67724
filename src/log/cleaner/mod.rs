//! Compaction of one log (Kafka's `Cleaner`): of each key the last record stays, what transactions have aborted goes, and
//! tombstones and markers go once they were there long enough. Offsets stay as they are.
//!
//! A [`Cleaning`] works on sealed segments that nobody changes, without any lock: it reads the keys of the part that is
//! not clean yet into an [`OffsetMap`], then writes run after run of segments anew. [`super::swap`] puts a run in place.

mod offset_map;
mod output;
#[cfg(test)]
pub(super) mod tests;
mod transactions;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use offset_map::OffsetMap;
use output::Output;
use transactions::{Ended, Transactions};

use super::scan::read_batches;
use super::segment::Segment;
use super::swap::Replacement;
use super::{Log, LogConfig, LogEnv, LogError};
use crate::base::ProducerId;
use crate::record::filter::{self, Filtered, Wanted};
use crate::record::iter::Records;
use crate::record::{BatchHeader, Marker};

/// What a topic and a broker say of cleaning.
#[derive(Clone, Debug)]
pub struct CleanerRules {
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`
    pub min_lag_ms: i64,
    /// `max.compaction.lag.ms`
    pub max_lag_ms: i64,
    /// `log.cleaner.dedupe.buffer.size`
    pub map_bytes_max: u64,
    /// `log.cleaner.io.buffer.load.factor`
    pub map_load_factor: f64,
}

/// How much of a log there is to clean (Kafka's `LogToClean`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// Below lies what was cleaned before.
    pub first_dirty: i64,
    /// From here on nothing may be cleaned yet.
    pub first_uncleanable: i64,
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
    /// Something has waited for longer than `max.compaction.lag.ms`.
    pub overdue: bool,
}

impl Cleanable {
    /// The share of what is dirty, 0 to 1.
    pub fn ratio(&self) -> f64 {
        let all = self.clean_bytes + self.dirty_bytes;
        if all == 0 { 0.0 } else { self.dirty_bytes as f64 / all as f64 }
    }
}

/// What a cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// The log is clean below; not all of it was cleaned if this is short of [`Cleanable::first_uncleanable`].
    pub first_dirty: i64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub records_before: u64,
    pub records_after: u64,
}

#[derive(Debug)]
pub enum CleanError {
    /// The log cannot be cleaned as it is.
    Log(LogError),
    /// Told to stop, or the log has changed meanwhile: no harm, another time.
    Abandoned,
}

impl fmt::Display for CleanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CleanError::Log(error) => error.fmt(f),
            CleanError::Abandoned => f.write_str("abandoned"),
        }
    }
}

impl From<LogError> for CleanError {
    fn from(error: LogError) -> Self {
        CleanError::Log(error)
    }
}

/// Is told of bytes read and written, and may wait, or break the work off.
pub type Pace<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// The last thing that is known of a producer: its batch stays, be it empty, as long as the producer is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastOfProducer {
    pub epoch: i16,
    /// `None` if only a marker is known.
    pub data_offset: Option<i64>,
}

impl Log {
    /// What could be cleaned now. `stable`: below it every transaction has ended and every reader may read.
    pub fn cleanable(
        &self,
        first_dirty: Option<i64>,
        stable: i64,
        rules: &CleanerRules,
    ) -> Result<Cleanable, LogError> {
        let now_ms = self.env.clock.wall_ms();
        let active = self.active.segment.base_offset();
        let first = self.segments[0].base_offset().max(self.log_start);
        let first_dirty = first_dirty.filter(|offset| (first..=active).contains(offset)).unwrap_or(first);
        let mut first_uncleanable = stable.min(active);
        let mut oldest_ms = i64::MAX;
        let dirty_from = self.segments.partition_point(|s| s.base_offset() <= first_dirty).saturating_sub(1);
        for segment in self.segments[dirty_from..].iter().filter(|s| s.base_offset() < active) {
            if rules.min_lag_ms > 0 && segment.newest_ms(&self.env.files)? > now_ms.saturating_sub(rules.min_lag_ms) {
                first_uncleanable = first_uncleanable.min(segment.base_offset());
            }
            if rules.max_lag_ms < i64::MAX {
                oldest_ms = oldest_ms.min(segment.oldest_ms(&self.env.files)?);
            }
        }
        let (mut clean_bytes, mut dirty_bytes) = (0, 0);
        for (at, segment) in self.segments.iter().enumerate() {
            // One that is dirty from its middle on counts twice, as in Kafka.
            if segment.base_offset() < first_dirty {
                clean_bytes += segment.size();
            }
            // Nothing at all where a transaction holds up the rest of the segment in which the clean part ends.
            if at >= dirty_from && segment.base_offset() < first_uncleanable && first_dirty < first_uncleanable {
                dirty_bytes += segment.size();
            }
        }
        let overdue = oldest_ms != i64::MAX && now_ms.saturating_sub(oldest_ms) > rules.max_lag_ms;
        Ok(Cleanable { first_dirty, first_uncleanable, clean_bytes, dirty_bytes, overdue })
    }

    /// Takes what cleaning needs; the lock is not needed afterwards.
    pub fn begin_cleaning(&self, cleanable: &Cleanable) -> Cleaning {
        let end = self.segments.partition_point(|s| s.base_offset() < cleanable.first_uncleanable);
        Cleaning {
            dir: self.dir.clone(),
            env: self.env.clone(),
            config: self.config.clone(),
            segments: self.segments.clone(),
            count: end.min(self.segments.len() - 1),
            first_dirty: cleanable.first_dirty,
            first_uncleanable: cleanable.first_uncleanable,
            last_of: self.producers.last_of_each(),
        }
    }
}

/// One pass over the sealed segments of a log.
pub struct Cleaning {
    dir: PathBuf,
    env: LogEnv,
    config: LogConfig,
    /// All of the log.
    segments: Arc<Vec<Arc<Segment>>>,
    /// How many of them may be cleaned.
    count: usize,
    first_dirty: i64,
    first_uncleanable: i64,
    last_of: HashMap<ProducerId, LastOfProducer>,
}

impl Cleaning {
    /// Does it. `replace` puts a run of new segments in the place of old ones, and says whether the log let it.
    pub fn run(
        &self,
        rules: &CleanerRules,
        pace: Pace<'_>,
        replace: &mut dyn FnMut(Replacement) -> Result<bool, LogError>,
    ) -> Result<Cleaned, CleanError> {
        let mut cleaned = Cleaned::default();
        let map = self.read_keys(rules, pace)?;
        if map.latest() < 0 {
            cleaned.first_dirty = self.first_uncleanable;
            return Ok(cleaned);
        }
        cleaned.first_dirty = map.latest() + 1;
        let now_ms = self.env.clock.wall_ms();
        let mut filtering = Filtering {
            map: &map,
            transactions: Transactions::new(self.aborted(0)),
            last_of: &self.last_of,
            now_ms,
            horizon_ms: now_ms.saturating_add(rules.delete_retention_ms),
        };
        let count = self.segments[..self.count].partition_point(|s| s.base_offset() <= map.latest());
        let mut at = 0;
        while at < count {
            let length = self.run_length(at, count);
            let run = &self.segments[at..at + length];
            let end = self.segments[at + length].base_offset();
            let mut output = Output::create(&self.dir, run[0].base_offset(), end, &self.config)?;
            for segment in run {
                self.copy(segment, &mut filtering, &mut output, &mut cleaned, pace)?;
            }
            cleaned.bytes_before += run.iter().map(|s| s.size()).sum::<u64>();
            cleaned.bytes_after += output.size();
            let replacement = output.finish(run.to_vec(), &self.env)?;
            if !replace(replacement)? {
                return Err(CleanError::Abandoned);
            }
            at += length;
        }
        Ok(cleaned)
    }

    /// Enters the keys of what is dirty, as far as the map goes.
    fn read_keys(&self, rules: &CleanerRules, pace: Pace<'_>) -> Result<OffsetMap, CleanError> {
        let from = self.segments[..self.count].partition_point(|s| s.base_offset() <= self.first_dirty);
        let dirty = &self.segments[from.saturating_sub(1)..self.count];
        let mut records = 0u64;
        for segment in dirty {
            segment.walk(&self.env.files, 0, |_, header| {
                records += if header.last_offset() < self.first_dirty { 0 } else { header.record_count.max(0) as u64 };
                ControlFlow::Continue(())
            })?;
        }
        let mut map = OffsetMap::new(records, rules.map_bytes_max, rules.map_load_factor);
        let mut transactions = Transactions::new(self.aborted(self.first_dirty));
        for segment in dirty {
            let file = segment.file(&self.env.files)?;
            let (mut full, mut stopped) = (false, false);
            let what = || format!("reading {}", segment.path().display());
            read_batches(&file, segment.size(), |position, header, bytes| {
                if pace(bytes.len() as u64).is_break() {
                    stopped = true;
                    return Ok(ControlFlow::Break(()));
                }
                if header.base_offset >= self.first_uncleanable {
                    return Ok(ControlFlow::Break(()));
                }
                if header.last_offset() < self.first_dirty {
                    return Ok(ControlFlow::Continue(()));
                }
                if header.is_control() {
                    transactions.ended(header, Marker::read_batch(bytes));
                } else if !transactions.is_aborted(header) && !self.enter(&mut map, header, bytes, position)? {
                    full = true;
                    return Ok(ControlFlow::Break(()));
                }
                map.know_up_to(header.last_offset());
                Ok(ControlFlow::Continue(()))
            })
            .map_err(LogError::io(what()))?;
            if stopped {
                return Err(CleanError::Abandoned);
            }
            if full {
                break;
            }
        }
        Ok(map)
    }

    /// Enters the keys of one batch; false if the map was full before its end.
    fn enter(&self, map: &mut OffsetMap, header: &BatchHeader, bytes: &[u8], position: u64) -> io::Result<bool> {
        let body = filter::open(bytes, header).map_err(|e| unreadable(&e, position))?;
        for record in Records::new(&body, header.record_count) {
            let record = record.map_err(|malformed| unreadable(&malformed.0, position))?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            let Some(key) = record.key.filter(|_| offset >= self.first_dirty) else { continue };
            if !map.put(key, offset) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many segments from `at` on go into one: no more than a segment may have.
    fn run_length(&self, at: usize, count: usize) -> usize {
        let base = self.segments[at].base_offset();
        let (mut bytes, mut index_bytes) = (0, 0);
        let mut fits = |segment: &Arc<Segment>, end: i64| {
            bytes += segment.size();
            index_bytes += segment.index_bytes();
            bytes <= self.config.segment_bytes
                && index_bytes <= self.config.index_bytes_max
                && end - base <= i64::from(i32::MAX)
        };
        let ends = self.segments[at + 1..].iter().map(|next| next.base_offset());
        let length = self.segments[at..count].iter().zip(ends).take_while(|(segment, end)| fits(segment, *end)).count();
        length.max(1)
    }

    /// Copies what stays of one segment.
    fn copy(
        &self,
        segment: &Segment,
        filtering: &mut Filtering<'_>,
        output: &mut Output,
        cleaned: &mut Cleaned,
        pace: Pace<'_>,
    ) -> Result<(), CleanError> {
        let file = segment.file(&self.env.files)?;
        let mut stopped = false;
        let reached = read_batches(&file, segment.size(), |position, header, bytes| {
            cleaned.records_before += header.record_count.max(0) as u64;
            let (kept, aborted) = filtering.batch(header, bytes).map_err(|e| unreadable(&e, position))?;
            let written = match &kept {
                Filtered::Gone => 0,
                Filtered::Unchanged => {
                    cleaned.records_after += header.record_count.max(0) as u64;
                    output.batch(bytes)?
                }
                Filtered::Changed { batch, records } => {
                    cleaned.records_after += *records as u64;
                    output.batch(batch)?
                }
            };
            if let Some(transaction) = aborted {
                output.aborted(transaction);
            }
            stopped = pace(bytes.len() as u64 + written).is_break();
            Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .map_err(LogError::io(format_args!("cleaning {}", segment.path().display())))?;
        match stopped {
            true => Err(CleanError::Abandoned),
            false if reached < segment.size() => {
                let what = format!("no batch at position {reached} of {}", segment.path().display());
                Err(CleanError::Log(LogError::Corrupt(what)))
            }
            false => Ok(()),
        }
    }

    /// Every aborted transaction that ends at or behind `from`.
    fn aborted(&self, from: i64) -> Vec<super::AbortedTransaction> {
        let mut aborted = Vec::new();
        // The marker may stand behind what may be cleaned.
        for segment in self.segments.iter() {
            segment.collect_aborted(from, i64::MAX, &mut aborted);
        }
        aborted
    }
}

fn unreadable(why: &dyn fmt::Display, position: u64) -> io::Error {
    io::Error::other(format!("the batch at position {position} cannot be cleaned: {why}"))
}

/// What decides over batches and records.
struct Filtering<'a> {
    map: &'a OffsetMap,
    transactions: Transactions,
    last_of: &'a HashMap<ProducerId, LastOfProducer>,
    now_ms: i64,
    /// The horizon of what is seen the first time.
    horizon_ms: i64,
}

impl Filtering<'_> {
    /// What stays of a batch, and the row of its transaction if it is a marker that readers need one for.
    fn batch(
        &mut self,
        header: &BatchHeader,
        bytes: &[u8],
    ) -> io::Result<(Filtered, Option<super::AbortedTransaction>)> {
        let mut aborted = None;
        let idle = if header.is_control() {
            match self.transactions.ended(header, Marker::read_batch(bytes)) {
                Ended::Idle => true,
                Ended::Needed(transaction) => {
                    aborted = transaction;
                    false
                }
            }
        } else {
            self.transactions.is_aborted(header)
        };
        let horizon = header.delete_horizon_ms();
        let is_past_horizon = horizon.is_some_and(|horizon| horizon <= self.now_ms);
        let wanted = Wanted {
            records: !idle || header.is_control() && !is_past_horizon,
            empty: self.is_last_of_producer(header),
            idle_marker: idle && header.is_control(),
        };
        let map = self.map;
        let kept = filter::filter(bytes, header, wanted, self.horizon_ms, |offset, record| {
            if header.is_control() || offset > map.latest() {
                return true;
            }
            // Compaction has no place for what has no key.
            let Some(key) = record.key else { return false };
            let is_last = map.get(key).is_none_or(|last| offset >= last);
            is_last && (record.value.is_some() || !is_past_horizon)
        })?;
        Ok((kept, aborted))
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        header.has_producer()
            && self.last_of.get(&header.producer_id).is_some_and(|last| match last.data_offset {
                Some(offset) => header.last_offset() == offset,
                None => header.is_control() && header.producer_epoch == last.epoch,
            })
    }
}
