//! What becomes of old records: retention and cleaning, as far as a partition's lock is needed for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{OpenLog, Partition, PartitionEnv, PartitionError, State};
use crate::config::TopicConfig;
use crate::log::cleaner::{Cleanable, CleanerRules, Cleaning};
use crate::log::{LogError, Replacement, Retention};

impl Partition {
    /// Drops segments that are too old or too much. A log that is not open is left alone until it can have any.
    pub fn apply_retention(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        retention: Retention,
    ) -> Result<(), PartitionError> {
        let was_open = self.is_open();
        if !was_open {
            if self.retention_due_ms.load(Ordering::Relaxed) > env.log.clock.wall_ms() {
                return Ok(());
            }
            if self.size_on_disk(env).is_none_or(|bytes| bytes == 0) {
                self.retention_due_ms.store(i64::MAX, Ordering::Relaxed);
                return Ok(());
            }
        }
        let moved = {
            let mut state = self.opened(env, config)?;
            let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
            let moved = open.log.apply_retention(retention, open.high_watermark)?;
            if let Some(start) = moved {
                self.log_start.fetch_max(start, Ordering::Relaxed);
            }
            self.retention_due_ms.store(open.log.next_expiry_ms(retention)?, Ordering::Relaxed);
            // What we opened may go again, if nobody else uses it meanwhile.
            open.used &= was_open;
            moved.is_some()
        };
        if moved {
            self.waiters.wake_all();
        }
        if !was_open {
            self.close_if_idle(&env.log)?;
        }
        Ok(())
    }

    /// Retention looks at the log again, even if it is closed.
    pub fn retention_may_be_due(&self) {
        self.retention_due_ms.store(0, Ordering::Relaxed);
    }

    /// How much there is to clean; nothing at all in a log that is not open and has one segment only.
    pub fn cleanable(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        first_dirty: Option<i64>,
        rules: &CleanerRules,
    ) -> Result<Option<Cleanable>, PartitionError> {
        if !self.is_open() && crate::log::segments_in(&env.data_dir.join(self.dir_name())).unwrap_or(0) < 2 {
            return Ok(None);
        }
        let mut state = self.opened(env, config)?;
        let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
        let stable = open.last_stable_offset();
        Ok(Some(open.log.cleanable(first_dirty, stable, rules)?))
    }

    /// Takes what a cleaning needs.
    pub fn begin_cleaning(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        cleanable: &Cleanable,
    ) -> Result<Cleaning, PartitionError> {
        self.with_log(env, config, |log| log.begin_cleaning(cleanable))
    }

    /// Puts a cleaned segment in place; false if the log has changed too much meanwhile.
    pub fn replace(&self, env: &PartitionEnv, new: Replacement) -> Result<bool, LogError> {
        let old = {
            let mut state = self.lock();
            let State::Open(open) = &mut *state else { return Ok(false) };
            open.used = true;
            match open.log.replace(new) {
                Ok(old) => old,
                Err(error @ LogError::Corrupt(_)) => {
                    tracing::error!(partition = %self, %error, "the partition is offline");
                    self.go_offline(&mut state, error.to_string());
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        };
        let Some(old) = old else { return Ok(false) };
        // The last reader of the old files lets go of them, which takes its time; not under the lock.
        drop(old);
        if env.log.sync {
            let dir = env.data_dir.join(self.dir_name());
            crate::log::files::sync_dir(&dir.join(crate::log::files::PARTITION_METADATA))
                .map_err(LogError::io(format_args!("syncing {}", dir.display())))?;
        }
        Ok(true)
    }

    /// Brings to the disk what `flush.ms` says must go there by now.
    pub fn flush_is_due(self: &Arc<Self>, env: &PartitionEnv) -> Result<(), LogError> {
        if let State::Open(open) = &mut *self.lock() {
            open.flush_is_queued = false;
        }
        self.sync(&env.log)
    }
}

impl OpenLog {
    /// Whether `flush.ms` is to be seen to for what was just appended.
    pub(super) fn needs_flush_at(&mut self, env: &PartitionEnv) -> Option<std::time::Duration> {
        let flush_ms = self.settings.flush_ms;
        if self.flush_is_queued || flush_ms == i64::MAX || !env.log.sync {
            return None;
        }
        self.flush_is_queued = true;
        Some(std::time::Duration::from_millis(flush_ms.max(0) as u64))
    }
}
