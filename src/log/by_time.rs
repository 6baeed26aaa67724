//! Looking up offsets by timestamp: logarithmic in the log's length through the time indexes, exact to the record.

use std::ops::ControlFlow;

use super::files::{self, FileCache};
use super::segment::{BatchAt, Segment};
use super::{LogError, Snapshot};
use crate::record::BatchHeader;
use crate::record::compress;
use crate::record::iter::Records;
use crate::record::validate::record_timestamp;

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    pub timestamp: i64,
    pub offset: i64,
    pub leader_epoch: i32,
}

impl Snapshot {
    /// The first record at or after the log start whose timestamp is at least `timestamp`.
    pub fn first_at_or_after(&self, files: &FileCache, timestamp: i64) -> Result<Option<TimestampedOffset>, LogError> {
        for (i, segment) in self.segments.iter().enumerate() {
            let next_base = self.segments.get(i + 1).map_or(self.end, |s| s.base_offset());
            if next_base <= self.log_start {
                continue;
            }
            match segment.max_timestamp(files)? {
                Some(max) if max.timestamp >= timestamp => {}
                _ => continue,
            }
            if let Some(found) = first_in(files, segment, timestamp, self.log_start)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of the log, also where the log start has moved past it, as Kafka.
    pub fn max_timestamp(&self, files: &FileCache) -> Result<Option<TimestampedOffset>, LogError> {
        let mut best: Option<(i64, i64, &Segment)> = None;
        for segment in self.segments.iter() {
            if let Some(max) = segment.max_timestamp(files)?
                && best.is_none_or(|(timestamp, _, _)| max.timestamp > timestamp)
            {
                best = Some((max.timestamp, max.offset, segment));
            }
        }
        let Some((timestamp, offset, segment)) = best else { return Ok(None) };
        let Some(batch) = segment.position_of(files, offset, segment.size())? else { return Ok(None) };
        first_record(files, segment, &batch, |_, t| t == timestamp)
    }
}

/// The first record of a segment, at or after `log_start`, with at least this timestamp.
pub(super) fn first_in(
    files: &FileCache,
    segment: &Segment,
    timestamp: i64,
    log_start: i64,
) -> Result<Option<TimestampedOffset>, LogError> {
    let mut candidates = segment.position_before_timestamp(files, timestamp)?;
    loop {
        let mut batch = None;
        segment.walk(files, candidates, |position, header| {
            if header.max_timestamp >= timestamp && header.last_offset() >= log_start {
                batch = Some(BatchAt { position, header: *header });
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        let Some(batch) = batch else { return Ok(None) };
        let found = first_record(files, segment, &batch, |offset, t| t >= timestamp && offset >= log_start)?;
        if found.is_some() {
            return Ok(found);
        }
        candidates = batch.position + batch.header.size() as u64;
    }
}

/// The first record of a batch for which `wanted(offset, timestamp)`. Opens the batch.
fn first_record(
    files: &FileCache,
    segment: &Segment,
    batch: &BatchAt,
    wanted: impl Fn(i64, i64) -> bool,
) -> Result<Option<TimestampedOffset>, LogError> {
    let corrupt =
        |why: &str| LogError::Corrupt(format!("{why} at position {} of {}", batch.position, segment.path().display()));
    let mut bytes = vec![0u8; batch.header.size()];
    let file = segment.file(files)?;
    let n = files::read_at(&file, &mut bytes, batch.position)
        .map_err(LogError::io(format_args!("reading {}", segment.path().display())))?;
    if n < bytes.len() {
        return Err(corrupt("a batch is cut short"));
    }
    let header: &BatchHeader = &batch.header;
    let records = compress::open(&bytes, header).map_err(|why| corrupt(&why.to_string()))?;
    for record in Records::new(&records, header.record_count) {
        let record = record.map_err(|_| corrupt("a malformed record"))?;
        let timestamp = record_timestamp(header, &record);
        let offset = header.base_offset + i64::from(record.offset_delta);
        if wanted(offset, timestamp) {
            return Ok(Some(TimestampedOffset { timestamp, offset, leader_epoch: header.leader_epoch }));
        }
    }
    Ok(None)
}
