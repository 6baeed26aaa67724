//! The sparse indexes of a segment in Kafka's formats: `.index` (offset to position) and `.timeindex` (timestamp to
//! offset). Entries wait in memory until there is a page of them; the file may lag behind, and recovery makes up for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Entries that wait in memory before they are written.
const TAIL_ENTRIES_MAX: usize = 512;

/// What an index keeps: fixed-size entries in ascending order of their key.
pub trait Entry: Copy {
    const BYTES: usize;
    /// Decodes one entry of a segment that starts at `base_offset`.
    fn decode(bytes: &[u8], base_offset: i64) -> Self;
    fn encode(&self, base_offset: i64, out: &mut Vec<u8>);
    fn key(&self) -> i64;
}

/// The batch whose last offset is `offset` begins at `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    pub offset: i64,
    pub position: u32,
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn decode(b: &[u8], base_offset: i64) -> Self {
        let relative = i32::from_be_bytes([b[0], b[1], b[2], b[3]]);
        let position = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
        OffsetEntry { offset: base_offset + i64::from(relative), position }
    }

    fn encode(&self, base_offset: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&((self.offset - base_offset) as i32).to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn key(&self) -> i64 {
        self.offset
    }
}

/// No record up to `offset`, the last one of the batch that set it, has a timestamp above `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    pub timestamp: i64,
    pub offset: i64,
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn decode(b: &[u8], base_offset: i64) -> Self {
        let timestamp = i64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        let relative = i32::from_be_bytes([b[8], b[9], b[10], b[11]]);
        TimeEntry { timestamp, offset: base_offset + i64::from(relative) }
    }

    fn encode(&self, base_offset: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&((self.offset - base_offset) as i32).to_be_bytes());
    }

    fn key(&self) -> i64 {
        self.timestamp
    }
}

#[derive(Debug)]
pub struct SparseIndex<E> {
    path: PathBuf,
    base_offset: i64,
    /// Entries in the file; `None` until it is first looked at.
    on_disk: Option<u64>,
    tail: Vec<E>,
    last: Option<E>,
    /// The entries that were looked at last, with the number of the first: readers move forward.
    page: Option<(u64, Vec<E>)>,
}

impl SparseIndex<OffsetEntry> {
    /// The offset of the first entry whose batch begins at or behind `position`.
    pub fn first_at_position(&mut self, position: u64) -> Option<i64> {
        let is_before = |e: &OffsetEntry| u64::from(e.position) < position;
        let on_disk = self.load();
        if let Ok(file) = File::open(&self.path) {
            let (mut low, mut high) = (0, on_disk);
            while low < high {
                let middle = low + (high - low) / 2;
                if is_before(&self.read_entry(&file, middle)?) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            if low < on_disk {
                return Some(self.read_entry(&file, low)?.offset);
            }
        }
        self.tail.get(self.tail.partition_point(is_before)).map(|e| e.offset)
    }
}

impl<E: Entry> SparseIndex<E> {
    /// An index over whatever the file holds; nothing is read yet.
    pub fn existing(path: PathBuf, base_offset: i64) -> SparseIndex<E> {
        SparseIndex { path, base_offset, on_disk: None, tail: Vec::new(), last: None, page: None }
    }

    /// An index that begins empty and is never written.
    pub fn in_memory(base_offset: i64) -> SparseIndex<E> {
        SparseIndex::empty(PathBuf::new(), base_offset)
    }

    pub fn is_in_memory(&self) -> bool {
        self.path.as_os_str().is_empty()
    }

    /// An index that begins empty; an old file is overwritten when entries are first written.
    pub fn empty(path: PathBuf, base_offset: i64) -> SparseIndex<E> {
        SparseIndex { path, base_offset, on_disk: Some(0), tail: Vec::new(), last: None, page: None }
    }

    pub fn bytes(&mut self) -> u64 {
        (self.load() + self.tail.len() as u64) * E::BYTES as u64
    }

    /// Adds an entry if its key is above the last one's.
    pub fn push(&mut self, entry: E) {
        self.load();
        if self.last.is_some_and(|last| entry.key() <= last.key()) {
            return;
        }
        self.tail.push(entry);
        self.last = Some(entry);
        if self.tail.len() >= TAIL_ENTRIES_MAX && !self.is_in_memory() {
            // A failure here costs only the hint; `finish` will tell.
            let _ = self.write_tail();
        }
    }

    pub fn last(&mut self) -> Option<E> {
        self.load();
        self.last
    }

    /// The last entry whose key is at most `key`. `None` also where the file cannot be read: it is a hint.
    pub fn floor(&mut self, key: i64) -> Option<E> {
        let on_disk = self.load();
        let in_tail = self.tail.partition_point(|e| e.key() <= key);
        if in_tail > 0 {
            return Some(self.tail[in_tail - 1]);
        }
        if on_disk == 0 {
            return None;
        }
        if let Some(found) = self.floor_in_page(key, on_disk) {
            return Some(found);
        }
        let file = File::open(&self.path).ok()?;
        let (mut low, mut high) = (0, on_disk);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.read_entry(&file, middle)?.key() <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let found = low.checked_sub(1)?;
        let page = self.read_page(&file, found, on_disk)?;
        let entry = page.first().copied();
        self.page = Some((found, page));
        entry
    }

    /// The floor of `key`, if the page shows that it is: the entry after it is there too.
    fn floor_in_page(&self, key: i64, on_disk: u64) -> Option<E> {
        let (first, page) = self.page.as_ref()?;
        let n = page.partition_point(|e| e.key() <= key);
        let is_last_of_all = first + n as u64 == on_disk && self.tail.is_empty();
        let next_in_tail = first + n as u64 == on_disk && self.tail.first().is_some_and(|e| e.key() > key);
        if n == 0 || (n == page.len() && !is_last_of_all && !next_in_tail) {
            return None;
        }
        Some(page[n - 1])
    }

    fn read_page(&self, file: &File, first: u64, on_disk: u64) -> Option<Vec<E>> {
        let count = (on_disk - first).min(TAIL_ENTRIES_MAX as u64) as usize;
        let mut bytes = vec![0u8; count * E::BYTES];
        file.read_exact_at(&mut bytes, first * E::BYTES as u64).ok()?;
        Some(bytes.chunks_exact(E::BYTES).map(|b| E::decode(b, self.base_offset)).collect())
    }

    /// Brings the file up to date and to its true length.
    pub fn finish(&mut self) -> io::Result<()> {
        self.load();
        self.write_tail()?;
        let length = self.on_disk.unwrap_or(0) * E::BYTES as u64;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
        }
        Ok(())
    }

    fn load(&mut self) -> u64 {
        if let Some(n) = self.on_disk {
            return n;
        }
        let mut entries = 0;
        if let Ok(file) = File::open(&self.path) {
            entries = file.metadata().map_or(0, |m| m.len()) / E::BYTES as u64;
            // Kafka preallocates the index of an active segment with zeros: the entries end where they begin.
            let is_entry = |e: &E| e.key() != 0 && e.key() != self.base_offset;
            if entries > 0 && !self.read_entry(&file, entries - 1).is_some_and(|e| is_entry(&e)) {
                entries = self.count_before_zeros(&file, entries);
            }
            self.last = entries.checked_sub(1).and_then(|n| self.read_entry(&file, n));
        }
        self.on_disk = Some(entries);
        entries
    }

    fn count_before_zeros(&self, file: &File, entries: u64) -> u64 {
        let (mut low, mut high) = (0, entries);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.read_entry(file, middle) {
                Some(e) if e.key() != 0 && e.key() != self.base_offset => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    fn read_entry(&self, file: &File, n: u64) -> Option<E> {
        let mut bytes = [0u8; 16];
        file.read_exact_at(&mut bytes[..E::BYTES], n * E::BYTES as u64).ok()?;
        Some(E::decode(&bytes[..E::BYTES], self.base_offset))
    }

    fn write_tail(&mut self) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.tail.len() * E::BYTES);
        for entry in &self.tail {
            entry.encode(self.base_offset, &mut bytes);
        }
        let on_disk = self.on_disk.unwrap_or(0);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        file.write_all_at(&bytes, on_disk * E::BYTES as u64)?;
        self.on_disk = Some(on_disk + self.tail.len() as u64);
        self.tail.clear();
        Ok(())
    }
}
