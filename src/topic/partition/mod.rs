//! One partition: its log behind one short lock, its high watermark, and who waits for it.
//!
//! Opened at first use, so that an idle partition costs neither a file nor a buffer. By purpose: [`open`], [`append`],
//! [`read`], [`disk`]: what is synced, on record and closed, [`life`]: what becomes of old records,
//! and [`remote`]: what of it is in a remote store.

mod append;
mod disk;
mod life;
mod open;
mod read;
mod remote;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::upkeep::Upkeep;
use crate::base::TopicId;
use crate::base::waiters::{WaitList, Waiter};
use crate::log::{AppendError, Log, LogEnv, LogError, OpenMode};
use crate::wal::Wal;
pub use append::{AppendOutcome, Durability};
pub use read::{Isolation, Offsets, ReadOutcome};
pub use remote::{Remote, RemoteLookUp, RemoteStore};

/// What all partitions of a broker share.
pub struct PartitionEnv {
    pub data_dir: PathBuf,
    pub log: LogEnv,
    /// Set once replay is done; nothing is appended before.
    pub wal: OnceLock<Wal>,
    pub upkeep: Upkeep,
    /// Not set where nothing is tiered.
    pub remote: OnceLock<RemoteStore>,
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
    waiters: Arc<WaitList>,
    leader_epoch: AtomicI32,
    /// On record before the log is opened; see [`Partition::log_start_on_record`].
    log_start: AtomicI64,
    recovery_point: AtomicI64,
    /// The end of a log that was closed.
    closed_end: AtomicI64,
    /// Closed by this process for want of use: its files are whole.
    closed_in_order: AtomicBool,
    remote: Remote,
    /// Until then retention finds nothing in the closed log, in milliseconds since 1970.
    retention_due_ms: AtomicI64,
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
    /// First and last offsets of transactions whose markers are not below the high watermark yet.
    ended: VecDeque<(i64, i64)>,
    settings: Settings,
    /// Whether everything before the next append is on the disk or in the WAL.
    wal_continuous: bool,
    /// Batches that the WAL has refused.
    wal_breaks: u32,
    /// The end of the last batch that went through the WAL.
    journalled_end: i64,
    unflushed_messages: i64,
    /// Somebody is to sync it by `flush.ms`.
    flush_is_queued: bool,
    /// Since [`Partition::close_if_idle`] last asked.
    used: bool,
}

#[derive(Clone, Copy)]
struct Settings {
    flush_messages: i64,
    flush_ms: i64,
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

impl Partition {
    pub fn new(topic: Arc<str>, topic_id: TopicId, index: i32, log_start: i64, recovery_point: i64) -> Partition {
        Partition {
            topic,
            topic_id,
            index,
            state: Mutex::new(State::Closed),
            waiters: Arc::default(),
            remote: Remote::default(),
            leader_epoch: AtomicI32::new(0),
            log_start: AtomicI64::new(log_start),
            recovery_point: AtomicI64::new(recovery_point),
            closed_end: AtomicI64::new(0),
            closed_in_order: AtomicBool::new(false),
            retention_due_ms: AtomicI64::new(0),
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

    /// The epoch that Kafka's metadata has come to: the log begins it, at once or when it is opened, as a leader would.
    pub fn raise_leader_epoch(&self, epoch: i32) {
        self.leader_epoch.fetch_max(epoch, Ordering::Relaxed);
        if let State::Open(open) = &mut *self.lock() {
            self.catch_up_with_epoch(&mut open.log);
        }
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

    /// Ends the partition with its topic: whoever waits is woken and finds it gone.
    pub fn delete(&self) {
        *self.lock() = State::Deleted;
        self.waiters.wake_all();
    }

    pub fn register(&self, waiter: &Arc<Waiter>) {
        self.waiters.register(waiter);
    }

    pub fn unregister(&self, waiter: &Arc<Waiter>) {
        self.waiters.remove(waiter);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failed opening may go better next time: no room, or too many open files.
pub(in crate::topic) fn is_passing(error: &LogError) -> bool {
    match error {
        LogError::Io { source, .. } => {
            matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EMFILE | libc::ENFILE))
        }
        LogError::Corrupt(_) => false,
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
