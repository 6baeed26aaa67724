//! One partition: its log behind one short lock, its high watermark, and who waits for it.
//!
//! Opened at first use, so that an idle partition costs neither a file nor a buffer.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::metadata::{KIND_BARRIER, KIND_BATCH};
use super::upkeep::{Task, Upkeep};
use crate::base::TopicId;
use crate::base::waiters::{WaitList, Waiter};
use crate::config::TopicConfig;
use crate::log::{
    self, AppendError, Appended, Log, LogConfig, LogEnv, LogError, OpenMode, Region, Snapshot, TimestampedOffset,
};
use crate::record::PreparedBatch;
use crate::wal::{Ticket, Wal, WalError};

/// What all partitions of a broker share.
pub struct PartitionEnv {
    pub data_dir: PathBuf,
    pub log: LogEnv,
    /// Set once replay is done; nothing is appended before.
    pub wal: OnceLock<Wal>,
    pub upkeep: Upkeep,
    /// How logs that were not opened yet were left by the last run.
    pub open_mode: OpenMode,
}

impl PartitionEnv {
    pub fn wal(&self) -> &Wal {
        self.wal.get().expect("set at the end of replay, before anything is served")
    }
}

#[derive(Debug)]
pub struct Partition {
    pub topic: Arc<str>,
    pub topic_id: TopicId,
    pub index: i32,
    state: Mutex<State>,
    waiters: WaitList,
    leader_epoch: AtomicI32,
    /// On record before the log is opened; see [`Partition::log_start_on_record`].
    log_start: AtomicI64,
    recovery_point: AtomicI64,
    /// The end of a log that was closed.
    closed_end: AtomicI64,
    /// Closed by this process for want of use: its files are whole.
    closed_in_order: AtomicBool,
    offline: AtomicBool,
}

enum State {
    /// Not used since the broker started.
    Closed,
    Open(Box<OpenLog>),
    /// KAFKA_STORAGE_ERROR until the broker is started again.
    Offline(String),
    Deleted,
}

struct OpenLog {
    log: Log,
    /// Readers see what lies below: with durable topics it follows the WAL, else the end of the log.
    high_watermark: i64,
    settings: Settings,
    /// Whether everything before the next append is on the disk or in the WAL.
    wal_continuous: bool,
    /// Batches that the WAL has refused.
    wal_breaks: u32,
    /// The end of the last batch that went through the WAL.
    journalled_end: i64,
    unflushed_messages: i64,
    /// Since [`Partition::close_if_idle`] last asked.
    used: bool,
}

impl OpenLog {
    fn offsets(&self) -> Offsets {
        let high_watermark = self.high_watermark;
        Offsets {
            log_start: self.log.log_start(),
            high_watermark,
            last_stable_offset: self.log.first_open_transaction().map_or(high_watermark, |o| o.min(high_watermark)),
            end: self.log.end(),
            leader_epoch: self.log.leader_epoch(),
        }
    }
}

#[derive(Clone, Copy)]
struct Settings {
    flush_messages: i64,
}

#[derive(Debug)]
pub enum PartitionError {
    /// The topic was deleted: UNKNOWN_TOPIC_OR_PARTITION.
    Deleted,
    /// KAFKA_STORAGE_ERROR
    Storage(String),
    Append(AppendError),
    /// OFFSET_OUT_OF_RANGE
    OffsetOutOfRange {
        log_start: i64,
        end: i64,
    },
}

impl fmt::Display for PartitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartitionError::Deleted => f.write_str("the topic was deleted"),
            PartitionError::Storage(why) => f.write_str(why),
            PartitionError::Append(error) => error.fmt(f),
            PartitionError::OffsetOutOfRange { log_start, end } => {
                write!(f, "the offset is not within {log_start} and {end}")
            }
        }
    }
}

impl From<LogError> for PartitionError {
    fn from(error: LogError) -> Self {
        PartitionError::Storage(error.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// A batch that was appended. With a ticket it is acknowledged once that is committed.
pub struct AppendOutcome {
    pub appended: Appended,
    pub log_start: i64,
    pub ticket: Option<Ticket>,
}

/// Where a partition stands, and what of it may be sent.
#[derive(Clone, Debug)]
pub struct ReadOutcome {
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start: i64,
    pub region: Option<Region>,
}

/// The offsets of a partition at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    pub log_start: i64,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub end: i64,
    pub leader_epoch: i32,
}

impl Partition {
    pub fn new(topic: Arc<str>, topic_id: TopicId, index: i32, log_start: i64, recovery_point: i64) -> Partition {
        Partition {
            topic,
            topic_id,
            index,
            state: Mutex::new(State::Closed),
            waiters: WaitList::default(),
            leader_epoch: AtomicI32::new(0),
            log_start: AtomicI64::new(log_start),
            recovery_point: AtomicI64::new(recovery_point),
            closed_end: AtomicI64::new(0),
            closed_in_order: AtomicBool::new(false),
            offline: AtomicBool::new(false),
        }
    }

    pub fn dir_name(&self) -> String {
        self.to_string()
    }

    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch.load(Ordering::Relaxed)
    }

    pub fn set_leader_epoch(&self, epoch: i32) {
        self.leader_epoch.store(epoch, Ordering::Relaxed);
    }

    /// Whether the partition is known to be unusable. Asks for no lock.
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
    }

    pub fn set_offline(&self, why: String) {
        let mut state = self.lock();
        if matches!(*state, State::Closed | State::Open(_)) {
            tracing::error!(partition = %self.dir_name(), why, "the partition is offline");
            self.go_offline(&mut state, why);
        }
    }

    fn go_offline(&self, state: &mut State, why: String) {
        *state = State::Offline(why);
        self.offline.store(true, Ordering::Relaxed);
    }

    /// Appends one prepared batch: sequence check, offset, write, and, for a durable topic, its place in the WAL, all
    /// under the same lock. Wakes waiting readers when the batch is readable at once.
    pub fn append(
        self: &Arc<Self>,
        env: &PartitionEnv,
        config: &TopicConfig,
        batch: &PreparedBatch,
    ) -> Result<AppendOutcome, PartitionError> {
        let journalled = |flush_messages: i64| flush_messages == 1 && env.wal().is_enabled();
        if journalled(config.flush_messages) && !env.wal().has_room_for_batches() {
            return Err(PartitionError::Storage(WalError::NoSpace.to_string()));
        }
        let mut state = self.opened(env, config)?;
        let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
        let through_wal = journalled(open.settings.flush_messages);
        if through_wal && !open.wal_continuous {
            if let Err(error) = open.log.flush() {
                return Err(self.sync_failed(&mut state, error));
            }
            open.wal_continuous = true;
        }
        let segments = open.log.segment_count();
        let appended = open.log.append(batch).map_err(|e| match e {
            AppendError::Storage(error) => error.into(),
            other => PartitionError::Append(other),
        })?;
        let log_start = open.log.log_start();
        if appended.duplicate {
            // It may still be on its way to the disk: wait for whatever was appended last.
            let ticket = if through_wal && open.high_watermark < open.log.end() {
                Some(self.append_to_wal(env, open, KIND_BARRIER, &[], appended.end)?)
            } else {
                None
            };
            return Ok(AppendOutcome { appended, log_start, ticket });
        }
        let mut ticket = None;
        if through_wal {
            ticket = Some(self.journal(env, open, batch, &appended)?);
        } else {
            open.wal_continuous = false;
            open.unflushed_messages += i64::from(batch.header.last_offset_delta) + 1;
            if open.unflushed_messages >= open.settings.flush_messages {
                if let Err(error) = open.log.flush() {
                    return Err(self.sync_failed(&mut state, error));
                }
                open.unflushed_messages = 0;
            }
            open.high_watermark = appended.end;
        }
        let rolled = open.log.segment_count() > segments;
        drop(state);
        if rolled {
            env.upkeep.send(Task::Sync(self.clone()));
        }
        if ticket.is_none() {
            self.waiters.wake_all();
        }
        Ok(AppendOutcome { appended, log_start, ticket })
    }

    fn journal(
        self: &Arc<Self>,
        env: &PartitionEnv,
        open: &mut OpenLog,
        batch: &PreparedBatch,
        appended: &Appended,
    ) -> Result<Ticket, PartitionError> {
        let mut head = batch.head;
        crate::record::batch::assign(&mut head, appended.base_offset, open.log.leader_epoch());
        let payload: [&[u8]; 4] = [self.topic_id.0.as_bytes(), &(self.index as u32).to_be_bytes(), &head, &batch.body];
        open.journalled_end = appended.end;
        self.append_to_wal(env, open, KIND_BATCH, &payload, appended.end)
    }

    /// Once it is on the disk, so is everything below `end`.
    fn append_to_wal(
        self: &Arc<Self>,
        env: &PartitionEnv,
        open: &mut OpenLog,
        kind: u8,
        payload: &[&[u8]],
        end: i64,
    ) -> Result<Ticket, PartitionError> {
        let (partition, breaks) = (self.clone(), open.wal_breaks);
        let on_commit = Box::new(move |result: &Result<(), WalError>| partition.committed(end, breaks, result.is_ok()));
        env.wal().append(kind, payload, Some(on_commit)).map_err(|error| {
            open.wal_continuous = false;
            PartitionError::Storage(error.to_string())
        })
    }

    /// The group with a batch of this partition is decided. `breaks` is how many batches had been refused when it was
    /// appended: one that stands behind a refused one has a gap before it in the WAL, so the log must be on the disk itself.
    fn committed(&self, end: i64, breaks: u32, ok: bool) {
        let mut state = self.lock();
        if let State::Open(open) = &mut *state {
            if !ok {
                open.wal_continuous = false;
                open.wal_breaks += 1;
            } else if breaks == open.wal_breaks {
                open.high_watermark = open.high_watermark.max(end);
            } else if let Err(error) = open.log.flush() {
                self.go_offline(&mut state, format!("a batch behind a refused one could not be synced: {error}"));
            } else {
                open.high_watermark = open.high_watermark.max(end);
            }
        }
        drop(state);
        self.waiters.wake_all();
    }

    /// A sync that fails for good has perhaps lost what was acknowledged, and the next one would not say so.
    fn sync_failed(&self, state: &mut State, error: LogError) -> PartitionError {
        if !is_passing(&error) {
            tracing::error!(partition = %self.dir_name(), %error, "a sync has failed: the partition is offline");
            self.go_offline(state, error.to_string());
        }
        error.into()
    }

    /// What a fetch at `offset` gets now: at most `bytes_max` bytes, the first batch whole if `whole_first`.
    pub fn read(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        offset: i64,
        isolation: Isolation,
        bytes_max: u64,
        whole_first: bool,
    ) -> Result<ReadOutcome, PartitionError> {
        let (offsets, snapshot) = self.snapshot(env, config, offset)?;
        if offset < offsets.log_start || offset > offsets.end {
            return Err(PartitionError::OffsetOutOfRange { log_start: offsets.log_start, end: offsets.end });
        }
        let upper = match isolation {
            Isolation::ReadUncommitted => offsets.high_watermark,
            Isolation::ReadCommitted => offsets.last_stable_offset,
        };
        let region = snapshot.read(&env.log.files, offset, upper, bytes_max, whole_first)?;
        Ok(ReadOutcome {
            high_watermark: offsets.high_watermark,
            last_stable_offset: offsets.last_stable_offset,
            log_start: offsets.log_start,
            region,
        })
    }

    pub fn offsets(&self, env: &PartitionEnv, config: &TopicConfig) -> Result<Offsets, PartitionError> {
        let state = self.opened(env, config)?;
        let State::Open(open) = &*state else { return Err(PartitionError::Deleted) };
        Ok(open.offsets())
    }

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

    /// The first record at or after the log start with at least this timestamp, below what `isolation` lets be read.
    pub fn offset_for_timestamp(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        timestamp: i64,
        isolation: Isolation,
    ) -> Result<Option<TimestampedOffset>, PartitionError> {
        let (offsets, snapshot) = self.snapshot(env, config, -1)?;
        let upper = match isolation {
            Isolation::ReadUncommitted => offsets.high_watermark,
            Isolation::ReadCommitted => offsets.last_stable_offset,
        };
        let found = snapshot.first_at_or_after(&env.log.files, timestamp)?;
        Ok(found.filter(|f| f.offset < upper))
    }

    /// The first record with the largest timestamp.
    pub fn max_timestamp(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
    ) -> Result<Option<TimestampedOffset>, PartitionError> {
        let (_, snapshot) = self.snapshot(env, config, -1)?;
        Ok(snapshot.max_timestamp(&env.log.files)?)
    }

    fn snapshot(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        offset: i64,
    ) -> Result<(Offsets, Snapshot), PartitionError> {
        let state = self.opened(env, config)?;
        let State::Open(open) = &*state else { return Err(PartitionError::Deleted) };
        Ok((open.offsets(), open.log.snapshot(offset)))
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

    /// Appends a batch from the WAL: skipped if it is there, appended if it comes next.
    pub fn replay(
        &self,
        env: &PartitionEnv,
        config: &TopicConfig,
        batch: &PreparedBatch,
    ) -> Result<(), PartitionError> {
        let mut state = self.opened(env, config)?;
        let State::Open(open) = &mut *state else { return Err(PartitionError::Deleted) };
        open.journalled_end = open.journalled_end.max(batch.header.next_offset());
        let end = open.log.end();
        if batch.header.last_offset() < end || batch.header.last_offset() < open.log.log_start() {
            return Ok(());
        }
        if batch.header.base_offset < end && open.log.is_empty() {
            // The log was lost, and its start lies within this batch.
            open.log.begin_anew(batch.header.base_offset)?;
        }
        let end = open.log.end();
        if batch.header.base_offset != end {
            return Err(PartitionError::Storage(format!(
                "the write-ahead log has a batch at offset {} of {}, whose log ends at {end}",
                batch.header.base_offset,
                self.dir_name()
            )));
        }
        open.high_watermark = open.log.append_replayed(batch)?;
        Ok(())
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

    pub fn reconfigure(&self, config: &TopicConfig) {
        if let State::Open(open) = &mut *self.lock() {
            open.settings = Settings { flush_messages: config.flush_messages };
            open.log.set_config(log_config(config));
        }
    }

    /// Ends the partition with its topic: whoever waits is woken and finds it gone.
    pub fn delete(&self) {
        *self.lock() = State::Deleted;
        self.waiters.wake_all();
    }

    pub fn is_open(&self) -> bool {
        matches!(&*self.lock(), State::Open(_))
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

    pub fn register(&self, waiter: &Arc<Waiter>) {
        self.waiters.register(waiter);
    }

    pub fn unregister(&self, waiter: &Arc<Waiter>) {
        self.waiters.remove(waiter);
    }

    /// The state with the log open in it, or why that cannot be.
    fn opened(&self, env: &PartitionEnv, config: &TopicConfig) -> Result<MutexGuard<'_, State>, PartitionError> {
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

    fn open(&self, env: &PartitionEnv, config: &TopicConfig) -> Result<OpenLog, LogError> {
        let dir = env.data_dir.join(self.dir_name());
        log::create_dir(&dir, self.topic_id)?;
        if log::read_topic_id(&dir).is_some_and(|id| id != self.topic_id) {
            return Err(LogError::Corrupt(format!("{} belongs to another topic id", dir.display())));
        }
        let (log, _report) = Log::open(
            &dir,
            env.log.clone(),
            log_config(config),
            if self.closed_in_order.load(Ordering::Relaxed) { OpenMode::Clean } else { env.open_mode },
            self.log_start.load(Ordering::Relaxed),
            self.recovery_point.load(Ordering::Relaxed),
        )?;
        self.leader_epoch.store(log.leader_epoch(), Ordering::Relaxed);
        Ok(OpenLog {
            high_watermark: log.end(),
            log,
            settings: Settings { flush_messages: config.flush_messages },
            wal_continuous: false,
            wal_breaks: 0,
            journalled_end: 0,
            unflushed_messages: 0,
            used: true,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failed opening may go better next time: no room, or too many open files.
fn is_passing(error: &LogError) -> bool {
    match error {
        LogError::Io { source, .. } => {
            matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EMFILE | libc::ENFILE))
        }
        LogError::Corrupt(_) => false,
    }
}

fn log_config(config: &TopicConfig) -> LogConfig {
    LogConfig {
        segment_bytes: u64::from(config.segment_bytes),
        segment_ms: config.segment_ms,
        index_interval_bytes: u64::from(config.index_interval_bytes),
        index_bytes_max: u64::from(config.segment_index_bytes),
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Closed => "Closed",
            State::Open(_) => "Open",
            State::Offline(_) => "Offline",
            State::Deleted => "Deleted",
        })
    }
}
