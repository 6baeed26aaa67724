//! Group commit: one journal for metadata changes and for batches of topics that want durability before the answer.
//!
//! Owns the files `<data dir>/<number>.wal`, log sequence numbers (LSNs) that never restart, and the thread that writes and
//! syncs. Knows nothing of what a payload means. Called by `topic`.
//!
//! A group is what was appended while the one before it was being synced: no timer. The first sync error is final.

mod file;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::Notify;

use file::WalFile;

/// Bytes of the first WAL file.
pub const FIRST_FILE_BYTES: u64 = 4 << 20;
/// Bytes of those that follow.
pub const FILE_BYTES: u64 = 8 << 20;
/// What batches leave free in the last file when there is no room for another: metadata changes still fit then.
const METADATA_RESERVE_BYTES: u64 = FIRST_FILE_BYTES / 2;

/// What a record is, for whoever replays it.
pub type Kind = u8;
/// Stands for a record that was refused for want of space: LSNs follow each other without a gap. Nobody replays it.
const KIND_REFUSED: Kind = 0;

#[derive(Clone, Debug)]
pub enum WalError {
    /// The disk is full; a later append may succeed.
    NoSpace,
    /// Writing or syncing failed: nothing more will be accepted.
    Failed(String),
    /// What was found cannot be the journal of this directory.
    Corrupt(String),
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalError::NoSpace => f.write_str("no space left for the write-ahead log"),
            WalError::Failed(what) => write!(f, "the write-ahead log has failed: {what}"),
            WalError::Corrupt(what) => write!(f, "the write-ahead log does not fit: {what}"),
        }
    }
}

impl std::error::Error for WalError {}

/// One record as replay sees it.
pub struct Replayed<'a> {
    pub lsn: u64,
    pub kind: Kind,
    pub payload: &'a [u8],
}

/// Called once the group of a record is on the disk, or is known to have failed.
pub type OnCommit = Box<dyn FnOnce(&Result<(), WalError>) + Send>;

/// Who is told what happens on the WAL's thread.
pub trait Observer: Send + Sync {
    /// Writing or syncing failed: nothing more will be accepted. Told once.
    fn failed(&self, what: &str);
    /// A new file was begun: a checkpoint may be worth its while.
    fn rolled(&self);
}

/// The open journal. Clones share it.
#[derive(Clone)]
pub struct Wal {
    shared: Option<Arc<Shared>>,
}

pub(crate) struct Shared {
    dir: PathBuf,
    state: Mutex<State>,
    work: Condvar,
    /// Signalled when nobody makes a spare file any more.
    prepared: Condvar,
    /// Set when there is no spare file and little room: batches must wait for space.
    low_space: AtomicBool,
    syncs: AtomicU64,
    observer: Box<dyn Observer>,
}

struct State {
    next_lsn: u64,
    /// The last LSN in the files.
    written_lsn: u64,
    next_number: u64,
    building: Group,
    files: Vec<WalFile>,
    spare: Option<WalFile>,
    /// Somebody is making the spare file, whose number is `next_number`.
    preparing: bool,
    failed: Option<String>,
    closing: bool,
    writer: Option<JoinHandle<()>>,
    /// Guards of [`Wal::together`].
    held: usize,
    /// Whether something in the group that is being built is not to wait.
    due: bool,
}

/// Records that are written and synced together.
#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    first_lsn: u64,
    last_lsn: u64,
    members: Vec<OnCommit>,
    outcome: Arc<Outcome>,
}

/// How a group ended, for those who wait.
#[derive(Debug, Default)]
struct Outcome {
    result: Mutex<Option<Result<(), WalError>>>,
    decided: Condvar,
    notify: Notify,
}

/// One appended record, to be waited for.
#[derive(Debug)]
pub struct Ticket {
    pub lsn: u64,
    outcome: Option<Arc<Outcome>>,
}

impl Ticket {
    /// Waits on the calling thread until the record is on the disk.
    pub fn wait(&self) -> Result<(), WalError> {
        let Some(outcome) = &self.outcome else { return Ok(()) };
        let mut result = lock(&outcome.result);
        loop {
            if let Some(result) = &*result {
                return result.clone();
            }
            result = outcome.decided.wait(result).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub async fn committed(&self) -> Result<(), WalError> {
        let Some(outcome) = &self.outcome else { return Ok(()) };
        loop {
            let notified = outcome.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(result) = &*lock(&outcome.result) {
                return result.clone();
            }
            notified.await;
        }
    }
}

impl Outcome {
    fn decide(&self, result: Result<(), WalError>) {
        *lock(&self.result) = Some(result);
        self.decided.notify_all();
        self.notify.notify_waiters();
    }
}

impl Wal {
    /// A journal that keeps nothing: every append counts as committed. For ephemeral brokers.
    pub fn disabled() -> Wal {
        Wal { shared: None }
    }

    /// Whether `dir` holds files of a journal.
    pub fn is_in(dir: &Path) -> bool {
        file::list(dir).is_ok_and(|numbers| !numbers.is_empty())
    }

    /// Opens the journal in `dir`, replays every record with an LSN above `after_lsn` in order (`None`: all there are),
    /// and goes on behind the last one, or behind `last_lsn` if that is known to have been given out. A torn end of the
    /// last file is cut; anything else that does not fit is an error.
    pub fn open(
        dir: &Path,
        after_lsn: Option<u64>,
        last_lsn: u64,
        replay: impl FnMut(Replayed<'_>) -> Result<(), String>,
        observer: Box<dyn Observer>,
    ) -> Result<Wal, WalError> {
        let opened = file::open_all(dir, after_lsn, replay)?;
        let files = opened.files;
        let mut next_number = opened.next_number;
        let spare = match opened.spare {
            Some(spare) => Some(spare),
            None if files.is_empty() => {
                let first = WalFile::create_spare(dir, next_number, FIRST_FILE_BYTES).map_err(|e| failed(dir, e))?;
                next_number += 1;
                Some(first)
            }
            None => None,
        };
        let low_space = spare.is_none() && files.last().is_some_and(|f| f.room() < METADATA_RESERVE_BYTES);
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            state: Mutex::new(State {
                next_lsn: opened.next_lsn.max(last_lsn + 1),
                written_lsn: opened.next_lsn - 1,
                next_number,
                building: Group::default(),
                files,
                spare,
                preparing: false,
                failed: None,
                closing: false,
                writer: None,
                held: 0,
                due: false,
            }),
            work: Condvar::new(),
            prepared: Condvar::new(),
            low_space: AtomicBool::new(low_space),
            syncs: AtomicU64::new(0),
            observer,
        });
        let for_thread = shared.clone();
        let writer = std::thread::Builder::new()
            .name("wal".into())
            .spawn(move || writer::run(&for_thread))
            .map_err(|e| failed(dir, e))?;
        shared.lock().writer = Some(writer);
        Ok(Wal { shared: Some(shared) })
    }

    pub fn is_enabled(&self) -> bool {
        self.shared.is_some()
    }

    /// Appends a record made of `parts` to the group that is being built. `on_commit` runs on the WAL's thread once the
    /// group is synced, before anybody who waits for the ticket goes on.
    pub fn append(&self, kind: Kind, parts: &[&[u8]], on_commit: Option<OnCommit>) -> Result<Ticket, WalError> {
        self.append_record(kind, parts, on_commit, true)
    }

    /// The same, but nothing is written for its sake: it goes with the next record that is.
    pub fn append_with_the_next(
        &self,
        kind: Kind,
        parts: &[&[u8]],
        on_commit: Option<OnCommit>,
    ) -> Result<Ticket, WalError> {
        self.append_record(kind, parts, on_commit, false)
    }

    fn append_record(
        &self,
        kind: Kind,
        parts: &[&[u8]],
        on_commit: Option<OnCommit>,
        due: bool,
    ) -> Result<Ticket, WalError> {
        let Some(shared) = &self.shared else {
            if let Some(on_commit) = on_commit {
                on_commit(&Ok(()));
            }
            return Ok(Ticket { lsn: 0, outcome: None });
        };
        let mut state = shared.lock();
        if let Some(what) = &state.failed {
            return Err(WalError::Failed(what.clone()));
        }
        let lsn = state.next_lsn;
        state.next_lsn += 1;
        let group = &mut state.building;
        if group.bytes.is_empty() {
            group.first_lsn = lsn;
        }
        group.last_lsn = lsn;
        file::encode_record(&mut group.bytes, lsn, kind, parts);
        group.members.extend(on_commit);
        let ticket = Ticket { lsn, outcome: Some(group.outcome.clone()) };
        let due = due || group.bytes.len() > WAITING_BYTES_MAX;
        state.due |= due;
        drop(state);
        if due {
            shared.work.notify_one();
        }
        Ok(ticket)
    }

    /// What is appended until the guard is dropped is written and synced as one group, where that is soon: whoever holds
    /// it must not wait for a ticket.
    pub fn together(&self) -> Together<'_> {
        if let Some(shared) = &self.shared {
            shared.lock().held += 1;
        }
        Together(self)
    }

    /// Whether a batch may be appended, or must be refused to leave room for metadata changes. Looks for space again
    /// where there was none, which takes its time: not to be asked under a partition's lock.
    pub fn has_room_for_batches(&self) -> bool {
        let Some(shared) = &self.shared else { return true };
        if !shared.low_space.load(Ordering::Relaxed) {
            return true;
        }
        let mut state = shared.lock();
        if state.preparing {
            // Somebody is making room right now: whether that works shows soon.
            while state.preparing {
                state = shared.prepared.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
        } else {
            drop(state);
            self.prepare_spare();
        }
        !shared.low_space.load(Ordering::Relaxed)
    }

    /// Makes the next file ready, if it is not: then beginning it costs no time. Errors show when it is needed.
    pub fn prepare_spare(&self) {
        let Some(shared) = &self.shared else { return };
        let number = {
            let mut state = shared.lock();
            if state.spare.is_some() || state.preparing {
                return;
            }
            state.preparing = true;
            state.next_number
        };
        let spare = WalFile::create_spare(&shared.dir, number, FILE_BYTES)
            .and_then(|mut spare| spare.sync_name(&shared.dir).map(|()| spare));
        let mut state = shared.lock();
        state.preparing = false;
        shared.prepared.notify_all();
        match spare {
            Ok(spare) => {
                state.next_number += 1;
                state.spare = Some(spare);
                shared.low_space.store(false, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(%error, "no further file for the write-ahead log can be made ready"),
        }
    }

    /// The LSN of the last record appended so far; 0 if there is none.
    pub fn last_lsn(&self) -> u64 {
        self.shared.as_ref().map_or(0, |s| s.lock().next_lsn - 1)
    }

    /// Bytes in files that are still needed.
    pub fn live_bytes(&self) -> u64 {
        self.shared.as_ref().map_or(0, |s| s.lock().files.iter().map(WalFile::used).sum())
    }

    /// How often the journal was synced since it was opened.
    pub fn syncs(&self) -> u64 {
        self.shared.as_ref().map_or(0, |s| s.syncs.load(Ordering::Relaxed))
    }

    /// A checkpoint made all records up to `lsn` needless: files that hold no later ones are recycled or deleted.
    pub fn release(&self, lsn: u64) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.lock();
        while state.files.len() > 1 && state.files[1].first_lsn() <= lsn + 1 {
            let old = state.files.remove(0);
            if state.spare.is_none() && !state.preparing && old.capacity() == FILE_BYTES {
                let number = state.next_number;
                state.spare = old.into_spare(&shared.dir, number).ok();
                if state.spare.is_some() {
                    state.next_number += 1;
                    shared.low_space.store(false, Ordering::Relaxed);
                }
            } else {
                old.delete();
            }
        }
    }

    /// Syncs what was appended and ends the thread. Later appends fail.
    pub fn close(&self) {
        let Some(shared) = &self.shared else { return };
        let writer = {
            let mut state = shared.lock();
            state.closing = true;
            state.writer.take()
        };
        shared.work.notify_one();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

/// Bytes that may wait for something that is due.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// See [`Wal::together`].
pub struct Together<'a>(&'a Wal);

impl Drop for Together<'_> {
    fn drop(&mut self) {
        let Some(shared) = &self.0.shared else { return };
        let mut state = shared.lock();
        state.held -= 1;
        let due = state.held == 0 && state.due;
        drop(state);
        if due {
            shared.work.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(dir: &Path, error: io::Error) -> WalError {
    if is_out_of_space(&error) { WalError::NoSpace } else { WalError::Failed(format!("{}: {error}", dir.display())) }
}

/// No room, or too many open files: it may go better next time.
fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests;
