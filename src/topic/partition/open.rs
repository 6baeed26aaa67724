//! Opening a log at its first use, and running something on an open one.

use std::collections::VecDeque;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use super::{OpenLog, Partition, PartitionEnv, PartitionError, Settings, State, is_passing};
use crate::config::TopicConfig;
use crate::log::{self, Log, LogConfig, LogError, OpenMode};

impl Partition {
    /// The state with the log open in it, or why that cannot be.
    pub(super) fn opened(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
    ) -> Result<MutexGuard<'_, State>, PartitionError> {
        let mut state = self.lock();
        match &mut *state {
            State::Open(open) => {
                open.used = true;
                return Ok(state);
            }
            State::Deleted => return Err(PartitionError::Deleted),
            State::Offline(why) => return Err(PartitionError::Storage(why.clone())),
            State::Closed => {}
        }
        match self.open(env, config) {
            Ok(open) => {
                *state = State::Open(Box::new(open));
                Ok(state)
            }
            Err(error) if is_passing(&error) => Err(error.into()),
            Err(error) => {
                let why = error.to_string();
                tracing::error!(partition = %self.dir_name(), why, "the partition cannot be opened: it is offline");
                self.go_offline(&mut state, why.clone());
                Err(PartitionError::Storage(why))
            }
        }
    }

    /// Runs `f` on the log, opened if need be.
    pub fn with_log<T>(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        f: impl FnOnce(&mut Log) -> T,
    ) -> Result<T, PartitionError> {
        let mut state = self.opened(env, config)?;
        match &mut *state {
            State::Open(open) => Ok(f(&mut open.log)),
            _ => Err(PartitionError::Deleted),
        }
    }

    /// Runs `f` on the log if it is open.
    pub fn with_open_log<T>(&self, f: impl FnOnce(&mut Log) -> T) -> Option<T> {
        match &mut *self.lock() {
            State::Open(open) => Some(f(&mut open.log)),
            _ => None,
        }
    }

    /// The machine went down: whatever readers saw beyond the end is gone, and a new epoch lets them find out (KIP-101).
    pub fn begin_epoch_after_crash(&self, env: &PartitionEnv, config: &TopicConfig) -> Result<(), PartitionError> {
        match self.with_log(env, config, |log| log.begin_epoch())? {
            Ok(epoch) => self.leader_epoch.store(epoch, Ordering::Relaxed),
            // A full disk must not keep its records from being read, and deleted.
            Err(error) if is_passing(&error) => {
                tracing::warn!(partition = %self.dir_name(), %error, "no new leader epoch after the crash of the machine");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    pub fn reconfigure(&self, config: &TopicConfig) {
        self.retention_may_be_due();
        if let State::Open(open) = &mut *self.lock() {
            open.settings = Settings::of(config);
            open.log.set_config(log_config(config));
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(&*self.lock(), State::Open(_))
    }

    /// No epoch that clients may have seen is taken back: they would not believe in a smaller one.
    pub(super) fn catch_up_with_epoch(&self, log: &mut Log) {
        let on_record = self.leader_epoch.load(Ordering::Relaxed);
        if on_record > log.leader_epoch()
            && let Err(error) = log.raise_epoch(on_record)
        {
            tracing::warn!(partition = %self.dir_name(), %error, "the leader epoch on record could not begin");
        }
        self.leader_epoch.store(log.leader_epoch(), Ordering::Relaxed);
    }

    fn open(&self, env: &PartitionEnv, config: &TopicConfig) -> Result<OpenLog, LogError> {
        let dir = env.data_dir.join(self.dir_name());
        log::create_dir(&dir, self.topic_id)?;
        if log::read_topic_id(&dir).is_some_and(|id| id != self.topic_id) {
            return Err(LogError::Corrupt(format!("{} belongs to another topic id", dir.display())));
        }
        let manifest = self.manifest(env)?;
        let (mut log, _report) = Log::open(
            &dir,
            env.log.clone(),
            log_config(config),
            if self.closed_in_order.load(Ordering::Relaxed) { OpenMode::Clean } else { env.open_mode },
            self.log_start.load(Ordering::Relaxed),
            self.recovery_point.load(Ordering::Relaxed),
            manifest.range(),
        )?;
        self.catch_up_with_epoch(&mut log);
        Ok(OpenLog {
            high_watermark: log.end(),
            log,
            ended: VecDeque::new(),
            settings: Settings::of(config),
            wal_continuous: false,
            wal_breaks: 0,
            journalled_end: 0,
            unflushed_messages: 0,
            flush_is_queued: false,
            used: true,
        })
    }
}

impl Settings {
    fn of(config: &TopicConfig) -> Settings {
        Settings { flush_messages: config.flush_messages, flush_ms: config.flush_ms }
    }
}

fn log_config(config: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: u64::from(config.segment_bytes),
        segment_ms: if config.cleanup_compact {
            config.segment_ms.min(config.max_compaction_lag_ms)
        } else {
            config.segment_ms
        },
        segment_jitter_ms: config.segment_jitter_ms.min(config.segment_ms),
        index_interval_bytes: u64::from(config.index_interval_bytes),
        index_bytes_max: u64::from(config.segment_index_bytes),
    }
}
