//! One segment: a `.log` file of batches, back to back, with its indexes.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::aborted::{AbortedIndex, AbortedTransaction};
use super::files::{self, FileCache, Region};
use super::index::{OffsetEntry, TimeEntry};
use super::indexes::Indexes;
use super::scan::scan;
use super::{CompletedTransaction, LogError};
use crate::record::{BatchHeader, HEADER_BYTES, Marker};

#[derive(Debug)]
pub struct Segment {
    base_offset: i64,
    path: PathBuf,
    /// Bytes of whole batches; changes by append and truncation only, both under the partition's lock.
    size: AtomicU64,
    handle: Mutex<Handle>,
    indexes: Mutex<Indexes>,
    aborted: Mutex<AbortedIndex>,
}

/// Bytes of a control batch that are looked at: more than Kafka's markers have.
const MARKER_BYTES_MAX: usize = 256;

#[derive(Debug)]
enum Handle {
    /// The active segment keeps its file open.
    Open(Arc<File>),
    OnDemand(Weak<File>),
}

/// A batch found in a segment.
#[derive(Clone, Copy, Debug)]
pub struct BatchAt {
    pub position: u64,
    pub header: BatchHeader,
}

impl Segment {
    /// A new, empty segment with its file open. Leftovers of the same name are cut.
    pub fn create(dir: &Path, base_offset: i64) -> Result<Segment, LogError> {
        let path = files::offset_file(dir, base_offset, "log");
        let what = || format!("creating {}", path.display());
        let file = files::open_read_write(&path).map_err(LogError::io(what()))?;
        file.set_len(0).map_err(LogError::io(what()))?;
        let mut segment = Segment::existing(dir, base_offset, 0);
        segment.handle = Mutex::new(Handle::Open(Arc::new(file)));
        segment.indexes = Mutex::new(Indexes::empty(dir, base_offset));
        segment.forget_aborted(false);
        Ok(segment)
    }

    /// A segment that is there, `size` bytes long.
    pub fn existing(dir: &Path, base_offset: i64, size: u64) -> Segment {
        Segment::at(files::offset_file(dir, base_offset, "log"), dir, base_offset, size)
    }

    /// The same, with its records in a file of another name.
    pub fn at(path: PathBuf, dir: &Path, base_offset: i64, size: u64) -> Segment {
        Segment {
            base_offset,
            path,
            size: AtomicU64::new(size),
            handle: Mutex::new(Handle::OnDemand(Weak::new())),
            indexes: Mutex::new(Indexes::existing(dir, base_offset)),
            aborted: Mutex::new(AbortedIndex::existing(files::offset_file(dir, base_offset, "txnindex"))),
        }
    }

    /// Takes the segment out of its log: whoever still reads it keeps what it has now. The files of its name may be
    /// another's from now on, so that its index is made anew in memory, if one is needed at all.
    pub fn retire(&self) -> Result<(), LogError> {
        self.hold_open()?;
        self.load_aborted();
        let mut unmade = Indexes::in_memory(self.base_offset);
        unmade.max_known = false;
        self.set_indexes(unmade);
        Ok(())
    }

    /// Indexes a segment that nobody writes to, for this object alone, and keeps its file open.
    pub fn index_in_memory(&self) -> Result<(), LogError> {
        let file = self.hold_open()?;
        self.forget_aborted(false);
        self.set_indexes(Indexes::in_memory(self.base_offset));
        let reached = self.index_anew(&file)?;
        if reached != self.size() {
            return Err(LogError::Corrupt(format!("no batch at position {reached} of {}", self.path.display())));
        }
        Ok(())
    }

    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// The file, opened if need be.
    pub fn file(&self, cache: &FileCache) -> Result<Arc<File>, LogError> {
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        match &*handle {
            Handle::Open(file) => return Ok(file.clone()),
            Handle::OnDemand(weak) => {
                if let Some(file) = weak.upgrade() {
                    return Ok(file);
                }
            }
        }
        let file = Arc::new(self.open()?);
        *handle = Handle::OnDemand(Arc::downgrade(&file));
        cache.keep(file.clone());
        Ok(file)
    }

    fn open(&self) -> Result<File, LogError> {
        // Never created here: a segment that is gone must be an error, not an empty file.
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(LogError::io(format_args!("opening {}", self.path.display())))
    }

    /// Keeps the file open from now on, for the active segment.
    pub fn hold_open(&self) -> Result<Arc<File>, LogError> {
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Handle::Open(file) = &*handle {
            return Ok(file.clone());
        }
        let file = Arc::new(self.open()?);
        *handle = Handle::Open(file.clone());
        Ok(file)
    }

    /// Lets go of the file of a segment that is sealed now; readers may still hold it.
    pub fn let_go(&self, cache: &FileCache) {
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Handle::Open(file) = &*handle {
            let file = file.clone();
            *handle = Handle::OnDemand(Arc::downgrade(&file));
            cache.keep(file);
        }
    }

    pub fn sync(&self, cache: &FileCache) -> Result<(), LogError> {
        let what = || format!("syncing {}", self.path.display());
        self.file(cache)?.sync_data().map_err(LogError::io(what()))?;
        self.lock_aborted().sync().map_err(LogError::io(what()))
    }

    /// Enters a transaction that a marker in this segment has aborted; `open` is the first one still open.
    pub fn aborted(&self, transaction: &CompletedTransaction, open: Option<i64>) {
        self.lock_aborted().push(AbortedTransaction {
            producer_id: transaction.producer_id,
            first_offset: transaction.first_offset,
            last_offset: transaction.last_offset,
            last_stable_offset: open.unwrap_or(transaction.last_offset + 1),
        });
    }

    /// Reads the list of aborted transactions, if that was not done.
    pub fn load_aborted(&self) {
        self.lock_aborted().entries();
    }

    pub fn has_aborted(&self) -> bool {
        !self.lock_aborted().entries().is_empty()
    }

    /// Adds the aborted transactions that a reader of `offset..upper` must know of; answers whether there can be no more
    /// of them in later segments.
    pub fn collect_aborted(&self, offset: i64, upper: i64, found: &mut Vec<AbortedTransaction>) -> bool {
        for entry in self.lock_aborted().entries() {
            if entry.last_offset >= offset && entry.first_offset < upper {
                found.push(*entry);
            }
            if entry.last_stable_offset >= upper {
                return true;
            }
        }
        false
    }

    /// Begins the list of aborted transactions anew, to be filled by whoever walks the segment.
    pub fn forget_aborted(&self, has_file: bool) {
        let path = self.path.with_extension("txnindex");
        *self.lock_aborted() = AbortedIndex::empty(path, has_file);
    }

    pub fn finish_aborted(&self) -> Result<(), LogError> {
        let what = format_args!("writing the aborted transactions of {}", self.path.display());
        self.lock_aborted().finish().map_err(LogError::io(what))
    }

    /// The offset of the first index entry at or behind `position`.
    pub fn offset_at(&self, position: u64) -> Option<i64> {
        self.lock().offsets.first_at_position(position)
    }

    /// The marker in a control batch at `position`.
    pub fn marker_at(&self, file: &File, position: u64, header: &BatchHeader) -> Option<Marker> {
        if !header.is_control() {
            return None;
        }
        let mut bytes = [0; MARKER_BYTES_MAX];
        let bytes = &mut bytes[..header.size().min(MARKER_BYTES_MAX)];
        let read = files::read_at(file, bytes, position).ok()?;
        Marker::read_batch(&bytes[..read])
    }

    /// Enters a batch that was written at the segment's end. `interval` is `index.interval.bytes`.
    pub fn appended(&self, header: &BatchHeader, bytes: u64, interval: u64) {
        let position = self.size();
        self.size.store(position + bytes, Ordering::Release);
        self.lock().enter(header, position, bytes, interval);
    }

    pub fn index_bytes(&self) -> u64 {
        let mut indexes = self.lock();
        indexes.offsets.bytes().max(indexes.times.bytes())
    }

    /// Writes what the indexes still hold in memory, with the closing entry of the time index.
    pub fn finish_indexes(&self) -> Result<(), LogError> {
        let what = format_args!("writing the indexes of {}", self.path.display());
        self.lock().finish().map_err(LogError::io(what))?;
        self.finish_aborted()
    }

    /// The first batch whose last offset is at least `offset`, below `bytes_end`.
    pub fn position_of(&self, cache: &FileCache, offset: i64, bytes_end: u64) -> Result<Option<BatchAt>, LogError> {
        if bytes_end == 0 {
            return Ok(None);
        }
        let file = self.file(cache)?;
        if let Some(entry) = self.lock().offsets.floor(offset)
            && let Ok(found) = self.search(&file, u64::from(entry.position), Some(entry), offset, bytes_end)
        {
            return Ok(found);
        }
        let start = self.checked_floor(&file, offset)?;
        self.search(&file, start, None, offset, bytes_end)
    }

    /// Walks from `start` to the batch that holds `offset`. With an index entry, the batch there must be the one it names.
    fn search(
        &self,
        file: &File,
        start: u64,
        entry: Option<OffsetEntry>,
        offset: i64,
        bytes_end: u64,
    ) -> Result<Option<BatchAt>, LogError> {
        let mut found = None;
        let mut lands = entry.is_none();
        let end = scan(file, start, bytes_end, |position, header| {
            if !lands && entry.is_some_and(|e| e.offset != header.last_offset()) {
                return ControlFlow::Break(());
            }
            lands = true;
            if header.last_offset() >= offset {
                found = Some(BatchAt { position, header: *header });
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .map_err(LogError::io(format_args!("reading {}", self.path.display())))?;
        if !lands || (found.is_none() && end < bytes_end) {
            return Err(LogError::Corrupt(format!("no batch at position {end} of {}", self.path.display())));
        }
        Ok(found)
    }

    /// A position at or before the batch that contains `offset`, from the index if the batch it names is there; an index
    /// that does not fit is built anew.
    fn checked_floor(&self, file: &File, offset: i64) -> Result<u64, LogError> {
        let size = self.size();
        let floor = self.lock().offsets.floor(offset);
        match floor {
            Some(entry) if self.lands(file, entry) => return Ok(u64::from(entry.position)),
            None if size <= REBUILD_ABOVE_BYTES || self.lock().offsets.last().is_some() => return Ok(0),
            // The first batch has no entry, however large it is.
            None if self.is_one_batch(file) => return Ok(0),
            _ => {}
        }
        self.rebuild_indexes(file)?;
        Ok(self.lock().offsets.floor(offset).map_or(0, |e| u64::from(e.position)))
    }

    /// Like [`Segment::position_of`], but only as near as the index leads.
    pub fn floor_position(&self, cache: &FileCache, offset: i64) -> Result<u64, LogError> {
        self.checked_floor(&*self.file(cache)?, offset)
    }

    fn lands(&self, file: &File, entry: OffsetEntry) -> bool {
        self.header_at(file, u64::from(entry.position)).is_some_and(|h| h.last_offset() == entry.offset)
    }

    fn is_one_batch(&self, file: &File) -> bool {
        self.header_at(file, 0).is_some_and(|h| h.size() as u64 >= self.size())
    }

    /// The header there, if it may be one.
    fn header_at(&self, file: &File, position: u64) -> Option<BatchHeader> {
        let mut bytes = [0u8; HEADER_BYTES];
        let whole = position + HEADER_BYTES as u64 <= self.size()
            && files::read_at(file, &mut bytes, position).is_ok_and(|n| n == HEADER_BYTES);
        BatchHeader::read(&bytes).filter(|header| whole && header.is_plausible())
    }

    fn rebuild_indexes(&self, file: &File) -> Result<(), LogError> {
        if !self.lock().are_in_memory() {
            tracing::warn!(segment = %self.path.display(), "an index does not fit its log: rebuilding it");
        }
        self.index_anew(file).map(|_| ())
    }

    /// Makes the indexes anew, where they were; answers the position after the last whole batch.
    fn index_anew(&self, file: &File) -> Result<u64, LogError> {
        let mut indexes = self.new_indexes();
        let reached = scan(file, 0, self.size(), |position, header| {
            indexes.enter(header, position, header.size() as u64, REBUILT_INTERVAL_BYTES);
            ControlFlow::Continue(())
        })
        .map_err(LogError::io(format_args!("reading {}", self.path.display())))?;
        self.set_indexes(indexes);
        Ok(reached)
    }

    /// The largest timestamp in the segment, with the last offset of the batch that set it. `None` if it is empty.
    pub fn max_timestamp(&self, cache: &FileCache) -> Result<Option<TimeEntry>, LogError> {
        {
            let indexes = self.lock();
            if indexes.max_known {
                return Ok(indexes.max);
            }
        }
        if self.size() == 0 {
            self.set_indexes(self.new_indexes());
            return Ok(None);
        }
        let last = self.lock().times.last();
        if let Some(entry) = last
            && let Ok(Some(batch)) = self.position_of(cache, entry.offset, self.size())
            && batch.header.last_offset() == entry.offset
            && batch.header.max_timestamp == entry.timestamp
        {
            let mut indexes = self.lock();
            indexes.max = Some(entry);
            indexes.max_known = true;
            return Ok(Some(entry));
        }
        self.rebuild_indexes(&*self.file(cache)?)?;
        Ok(self.lock().max)
    }

    /// The largest timestamp, or, where records have none, when the file was last written, in milliseconds since 1970.
    pub fn newest_ms(&self, cache: &FileCache) -> Result<i64, LogError> {
        if let Some(max) = self.max_timestamp(cache)?.filter(|max| max.timestamp >= 0) {
            return Ok(max.timestamp);
        }
        let what = || format!("reading {}", self.path.display());
        let written = self.file(cache)?.metadata().and_then(|m| m.modified()).map_err(LogError::io(what()))?;
        Ok(written.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
    }

    pub fn first_batch(&self, cache: &FileCache) -> Result<Option<BatchHeader>, LogError> {
        let mut first = None;
        self.walk(cache, 0, |_, header| {
            first = Some(*header);
            ControlFlow::Break(())
        })?;
        Ok(first)
    }

    /// The largest timestamp of the first batch, where it has one; else later than anything.
    pub fn oldest_ms(&self, cache: &FileCache) -> Result<i64, LogError> {
        let first = self.first_batch(cache)?.map(|header| header.max_timestamp);
        Ok(first.filter(|timestamp| *timestamp > 0).unwrap_or(i64::MAX))
    }

    /// A position before which no batch has a timestamp of `timestamp` or more.
    pub fn position_before_timestamp(&self, cache: &FileCache, timestamp: i64) -> Result<u64, LogError> {
        let Some(entry) = self.lock().times.floor(timestamp - 1) else { return Ok(0) };
        match self.position_of(cache, entry.offset, self.size())? {
            Some(b) if b.header.last_offset() == entry.offset && b.header.max_timestamp == entry.timestamp => {
                Ok(b.position)
            }
            _ => Ok(0),
        }
    }

    /// What may be sent from `position` on, where a batch of `first_bytes` begins; see [`super::Snapshot::read`].
    pub fn region(
        &self,
        cache: &FileCache,
        position: u64,
        first_bytes: u64,
        bytes_end: u64,
        bytes_max: u64,
        whole_first: bool,
    ) -> Result<Option<Region>, LogError> {
        let mut length = (bytes_end - position).min(bytes_max);
        let first = first_bytes.min(bytes_end - position);
        if first > length {
            if !whole_first {
                return Ok(None);
            }
            length = first;
        }
        Ok(Some(Region { file: self.file(cache)?, position, length: length as usize }))
    }

    /// Walks the headers from `from` on; answers the position after the last whole batch.
    pub fn walk(
        &self,
        cache: &FileCache,
        from: u64,
        step: impl FnMut(u64, &BatchHeader) -> ControlFlow<()>,
    ) -> Result<u64, LogError> {
        let file = self.file(cache)?;
        scan(&file, from, self.size(), step).map_err(LogError::io(format_args!("reading {}", self.path.display())))
    }

    /// Cuts the file at `size` and forgets the indexes beyond by rebuilding them.
    pub fn truncate(&self, cache: &FileCache, size: u64) -> Result<(), LogError> {
        let file = self.file(cache)?;
        file.set_len(size).map_err(LogError::io(format_args!("truncating {}", self.path.display())))?;
        self.size.store(size, Ordering::Release);
        Ok(())
    }

    /// Empty indexes for this segment, to be filled by whoever walks it.
    pub fn new_indexes(&self) -> Indexes {
        if self.lock().are_in_memory() {
            return Indexes::in_memory(self.base_offset);
        }
        Indexes::empty(self.path.parent().unwrap_or(Path::new(".")), self.base_offset)
    }

    pub fn set_indexes(&self, indexes: Indexes) {
        *self.lock() = indexes;
    }

    /// Removes the files. Who reads them goes on reading.
    pub fn delete_files(&self, cache: &FileCache) {
        self.forget_handle(cache);
        self.remove_files(&["log", "index", "timeindex", "txnindex"]);
    }

    /// As [`Segment::delete_files`], of a segment that is in a remote store: its aborted transactions are asked here.
    pub fn delete_local(&self, cache: &FileCache) {
        if self.has_aborted() {
            self.forget_handle(cache);
            self.remove_files(&["log", "index", "timeindex"]);
        } else {
            self.delete_files(cache);
        }
    }

    fn forget_handle(&self, cache: &FileCache) {
        if let Handle::OnDemand(weak) = &*self.handle.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(file) = weak.upgrade()
        {
            cache.forget(&file);
        }
        if let Err(error) = self.retire() {
            tracing::warn!(segment = %self.path.display(), %error, "a dropped segment could not be kept for its readers");
        }
    }

    fn remove_files(&self, suffixes: &[&str]) {
        for suffix in suffixes {
            let path = self.path.with_extension(suffix);
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "could not delete a file of a dropped segment");
            }
        }
    }

    fn lock_aborted(&self) -> MutexGuard<'_, AbortedIndex> {
        self.aborted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Indexes> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Segments up to this size are walked from their start rather than indexed anew when their index is empty.
const REBUILD_ABOVE_BYTES: u64 = 64 << 10;
/// Spacing of a rebuilt index: Kafka's default `index.interval.bytes`.
const REBUILT_INTERVAL_BYTES: u64 = 4096;
