//! The two indexes of a segment together, as batches are entered in them.

use std::path::{Path, PathBuf};

use super::files;
use super::index::{OffsetEntry, SparseIndex, TimeEntry};
use crate::record::BatchHeader;

/// The two indexes of a segment, and what must be known to add to them.
#[derive(Debug)]
pub struct Indexes {
    pub offsets: SparseIndex<OffsetEntry>,
    pub times: SparseIndex<TimeEntry>,
    /// The largest timestamp of the segment and the last offset of the batch that set it, once known.
    pub max: Option<TimeEntry>,
    pub max_known: bool,
    bytes_since_entry: u64,
}

impl Indexes {
    /// Over whatever the files hold; nothing is read yet.
    pub fn existing(dir: &Path, base_offset: i64) -> Indexes {
        Indexes {
            offsets: SparseIndex::existing(files::offset_file(dir, base_offset, "index"), base_offset),
            times: SparseIndex::existing(files::offset_file(dir, base_offset, "timeindex"), base_offset),
            max: None,
            max_known: false,
            bytes_since_entry: 0,
        }
    }

    pub fn empty(dir: &Path, base_offset: i64) -> Indexes {
        let file = |suffix| files::offset_file(dir, base_offset, suffix);
        Indexes::in_files(file("index"), file("timeindex"), base_offset)
    }

    /// Whether they have no files.
    pub fn are_in_memory(&self) -> bool {
        self.offsets.is_in_memory()
    }

    /// Empty ones that have no files.
    pub fn in_memory(base_offset: i64) -> Indexes {
        Indexes {
            offsets: SparseIndex::in_memory(base_offset),
            times: SparseIndex::in_memory(base_offset),
            max: None,
            max_known: true,
            bytes_since_entry: 0,
        }
    }

    /// Empty ones, to be written to these files.
    pub fn in_files(offsets: PathBuf, times: PathBuf, base_offset: i64) -> Indexes {
        Indexes {
            offsets: SparseIndex::empty(offsets, base_offset),
            times: SparseIndex::empty(times, base_offset),
            max: None,
            max_known: true,
            bytes_since_entry: 0,
        }
    }

    /// Kafka's `LogSegment.append`: one entry after every more than `interval` bytes.
    pub fn enter(&mut self, header: &BatchHeader, position: u64, bytes: u64, interval: u64) {
        if self.max_known && self.max.is_none_or(|max| header.max_timestamp > max.timestamp) {
            self.max = Some(TimeEntry { timestamp: header.max_timestamp, offset: header.last_offset() });
        }
        if self.bytes_since_entry > interval {
            self.offsets.push(OffsetEntry { offset: header.last_offset(), position: position as u32 });
            if let Some(max) = self.max {
                self.times.push(max);
            }
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += bytes;
    }

    /// Writes what is still in memory, with the closing entry of the time index.
    pub fn finish(&mut self) -> std::io::Result<()> {
        if let (true, Some(max)) = (self.max_known, self.max) {
            self.times.push(max);
        }
        self.offsets.finish()?;
        self.times.finish()
    }
}
