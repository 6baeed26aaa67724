//! Retention: old segments go by age and size (Kafka's `UnifiedLog.deleteOldSegments`).

use std::ops::Range;

use super::segment::Segment;
use super::{Log, LogError};

/// What a topic says of how long its records stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `retention.ms`; negative for no limit
    pub ms: i64,
    /// `retention.bytes`; negative for no limit
    pub bytes: i64,
}

/// A segment, as far as retention goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// The offset behind it.
    pub end: i64,
    pub bytes: u64,
    /// Its largest timestamp, or when it was written.
    pub newest_ms: i64,
}

impl Retention {
    /// Where the log is to start: behind the segments from the first on that are too old or too much. `rows` are sealed
    /// segments in order, `all` the bytes of the log; nothing goes that ends beyond `upper`. `None` if all stay.
    pub fn first_kept(&self, rows: &[SegmentRow], all: u64, upper: i64, now_ms: i64) -> Option<i64> {
        let mut surplus = if self.bytes < 0 { -1 } else { all as i64 - self.bytes };
        let (mut by_age, mut start) = (self.ms >= 0, None);
        for row in rows {
            by_age = by_age && now_ms.saturating_sub(row.newest_ms) > self.ms;
            surplus -= row.bytes as i64;
            if row.end > upper || !by_age && surplus < 0 {
                break;
            }
            start = Some(row.end);
        }
        start
    }
}

impl Log {
    /// Drops the segments from the start on that are too old, and those that are too much, as far as they lie below
    /// `upper`, which readers have reached. Answers the new log start if it has moved. The active segment goes too, after a
    /// roll, if all its records are to go.
    pub fn apply_retention(&mut self, retention: Retention, upper: i64) -> Result<Option<i64>, LogError> {
        let mut rows = self.sealed_rows()?;
        if self.active.segment.size() > 0 {
            rows.push(self.row(&self.active.segment, self.end)?);
        }
        let now_ms = self.env.clock.wall_ms();
        let Some(start) = retention.first_kept(&rows, self.size(), upper, now_ms) else { return Ok(None) };
        if start <= self.log_start && start <= self.segments[0].base_offset() {
            return Ok(None);
        }
        if start == self.end {
            self.roll()?;
        }
        tracing::info!(dir = %self.dir.display(), log_start = start, "old segments go");
        self.advance_log_start(start);
        Ok(Some(self.log_start))
    }

    /// Drops local copies from the first on, of what lies in `copied`. The log start stays.
    pub fn drop_local(&mut self, retention: Retention, copied: Range<i64>) -> Result<(), LogError> {
        if !copied.contains(&self.segments[0].base_offset()) {
            return Ok(());
        }
        let now_ms = self.env.clock.wall_ms();
        let kept = retention.first_kept(&self.sealed_rows()?, self.size(), copied.end, now_ms);
        let Some(kept) = kept else { return Ok(()) };
        let dead = self.segments.partition_point(|segment| segment.base_offset() < kept);
        let mut list = self.segments.to_vec();
        list.drain(..dead).for_each(|segment| segment.delete_local(&self.env.files));
        self.segments = std::sync::Arc::new(list);
        Ok(())
    }

    /// When the first segment is going to be too old, in milliseconds since 1970; later than anything if it never is.
    pub fn next_expiry_ms(&self, retention: Retention) -> Result<i64, LogError> {
        if retention.ms < 0 || self.size() == 0 {
            return Ok(i64::MAX);
        }
        Ok(self.segments[0].newest_ms(&self.env.files)?.saturating_add(retention.ms))
    }

    /// All segments that are here but the active one.
    pub fn sealed_rows(&self) -> Result<Vec<SegmentRow>, LogError> {
        let sealed = self.segments.windows(2);
        sealed.map(|pair| self.row(&pair[0], pair[1].base_offset())).collect()
    }

    pub fn active_bytes(&self) -> u64 {
        self.active.segment.size()
    }

    fn row(&self, segment: &Segment, end: i64) -> Result<SegmentRow, LogError> {
        Ok(SegmentRow { end, bytes: segment.size(), newest_ms: segment.newest_ms(&self.env.files)? })
    }
}

#[cfg(test)]
mod tests;
