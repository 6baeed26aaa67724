//! What of a partition is on the disk and on record, and how its log is closed.

use std::sync::atomic::Ordering;

use super::{OpenLog, Partition, PartitionEnv, State, is_passing};
use crate::log::{self, Log, LogEnv, LogError};

impl Partition {
    /// Bytes of its segments, without opening them; `None` if it is unusable.
    pub fn size_on_disk(&self, env: &PartitionEnv) -> Option<u64> {
        match &*self.lock() {
            State::Open(open) => Some(open.log.size()),
            State::Closed => match log::segment_bytes(&env.data_dir.join(self.dir_name())) {
                Ok(bytes) => Some(bytes),
                // It has no directory before it is first used.
                Err(error) => (error.kind() == std::io::ErrorKind::NotFound).then_some(0),
            },
            State::Deleted | State::Offline(_) => None,
        }
    }

    /// The log start is at `offset` from now on; that is durable already.
    pub fn advance_log_start(&self, offset: i64) {
        self.log_start.fetch_max(offset, Ordering::Relaxed);
        if let State::Open(open) = &mut *self.lock() {
            open.log.advance_log_start(offset);
        }
        self.waiters.wake_all();
    }

    /// The log start of an open log, else the one on record.
    pub fn log_start_on_record(&self) -> i64 {
        self.log_start.load(Ordering::Relaxed)
    }

    pub fn recovery_point_on_record(&self) -> i64 {
        self.with_open_log(|log| log.recovery_point()).unwrap_or(self.recovery_point.load(Ordering::Relaxed))
    }

    pub fn end_on_record(&self) -> i64 {
        self.with_open_log(|log| log.end()).unwrap_or(self.closed_end.load(Ordering::Relaxed))
    }

    /// Whether records are acknowledged that are on the disk in the WAL only.
    pub fn rests_on_wal(&self) -> bool {
        matches!(&*self.lock(), State::Open(open) if open.journalled_end > open.log.recovery_point())
    }

    /// Syncs the log without holding its lock meanwhile.
    pub fn sync(&self, env: &LogEnv) -> Result<(), LogError> {
        let Some(unsynced) = self.with_open_log(|log| log.unsynced()) else { return Ok(()) };
        if !env.sync || unsynced.is_empty() {
            return Ok(());
        }
        match unsynced.sync(&env.files) {
            Ok(end) => {
                self.with_open_log(|log| log.synced_up_to(end));
                Ok(())
            }
            Err(error) => {
                if !is_passing(&error) {
                    self.set_offline(format!("a sync has failed: {error}"));
                }
                Err(error)
            }
        }
    }

    /// Closes the log if nobody used it since this was last asked; the next use opens it again.
    pub fn close_if_idle(&self, env: &LogEnv) -> Result<(), LogError> {
        let is_idle = |open: &OpenLog| !open.used && open.high_watermark == open.log.end();
        {
            let mut state = self.lock();
            let State::Open(open) = &mut *state else { return Ok(()) };
            let was_idle = is_idle(open);
            open.used = false;
            if !was_idle {
                return Ok(());
            }
        }
        // Not under the lock; what comes meanwhile keeps it open.
        self.sync(env)?;
        let mut state = self.lock();
        match &*state {
            State::Open(open) if is_idle(open) => self.close_open(&mut state),
            _ => Ok(()),
        }
    }

    /// Closes an open log; the next use opens it again.
    pub fn close_in_order(&self) -> Result<(), LogError> {
        self.close_open(&mut self.lock())
    }

    fn close_open(&self, state: &mut State) -> Result<(), LogError> {
        let State::Open(open) = state else { return Ok(()) };
        // Synced as well: a checkpoint asks open logs only.
        open.log.close()?;
        self.note_closed(&open.log);
        self.closed_in_order.store(true, Ordering::Relaxed);
        *state = State::Closed;
        Ok(())
    }

    fn note_closed(&self, log: &Log) {
        self.recovery_point.store(log.recovery_point(), Ordering::Relaxed);
        self.log_start.fetch_max(log.log_start(), Ordering::Relaxed);
        self.closed_end.store(log.end(), Ordering::Relaxed);
    }

    /// Closes an open log in order, synced unless the caller does that for all of them. Later use finds the partition
    /// offline.
    pub fn close(&self, sync: bool) -> Result<(), LogError> {
        let mut state = self.lock();
        if let State::Open(open) = &mut *state {
            let result = if sync { open.log.close() } else { open.log.finish() };
            self.note_closed(&open.log);
            self.go_offline(&mut state, "the broker is stopping".into());
            return result;
        }
        Ok(())
    }
}
