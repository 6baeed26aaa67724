//! Retention: old segments go by age and size (Kafka's `UnifiedLog.deleteOldSegments`).

use super::{Log, LogError};

/// What a topic says of how long its records stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `retention.ms`; negative for no limit
    pub ms: i64,
    /// `retention.bytes`; negative for no limit
    pub bytes: i64,
}

impl Log {
    /// Drops the segments from the start on that are too old, and those that are too much, as far as they lie below
    /// `upper`, which readers have reached. Answers the new log start if it has moved. The active segment goes too, after a
    /// roll, if all its records are to go.
    pub fn apply_retention(&mut self, retention: Retention, upper: i64) -> Result<Option<i64>, LogError> {
        let dead = self.count_expired(retention, upper)?;
        if dead == 0 {
            return Ok(None);
        }
        if dead == self.segments.len() {
            self.roll()?;
        }
        let start = self.segments[dead].base_offset();
        tracing::info!(dir = %self.dir.display(), segments = dead, log_start = start, "old segments go");
        self.advance_log_start(start);
        Ok(Some(start))
    }

    /// When the first segment is going to be too old, in milliseconds since 1970; later than anything if it never is.
    pub fn next_expiry_ms(&self, retention: Retention) -> Result<i64, LogError> {
        if retention.ms < 0 || self.size() == 0 {
            return Ok(i64::MAX);
        }
        Ok(self.segments[0].newest_ms(&self.env.files)?.saturating_add(retention.ms))
    }

    fn count_expired(&self, retention: Retention, upper: i64) -> Result<usize, LogError> {
        let now_ms = self.env.clock.wall_ms();
        let mut surplus = if retention.bytes < 0 { -1 } else { self.size() as i64 - retention.bytes };
        let mut by_age = retention.ms >= 0;
        for (at, segment) in self.segments.iter().enumerate() {
            let end = self.segments.get(at + 1).map_or(self.end, |next| next.base_offset());
            let is_empty_and_active = segment.size() == 0 && at + 1 == self.segments.len();
            if end > upper || is_empty_and_active {
                return Ok(at);
            }
            by_age = by_age && now_ms.saturating_sub(segment.newest_ms(&self.env.files)?) > retention.ms;
            surplus -= segment.size() as i64;
            if !by_age && surplus < 0 {
                return Ok(at);
            }
        }
        Ok(self.segments.len())
    }
}

#[cfg(test)]
mod tests;
