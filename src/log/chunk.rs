//! Pieces of a segment that can be read by themselves: whole batches, back to back. A tiered segment is read back piece by
//! piece; the file of a piece is a segment of its own.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::aborted::{self, AbortedTransaction};
use super::by_time::{TimestampedOffset, first_in};
use super::files::{self, FileCache, Region};
use super::scan::read_batches;
use super::segment::Segment;
use super::{Log, LogError};

/// A sealed segment as it lies in its directory.
#[derive(Clone, Debug)]
pub struct SealedSegment {
    pub base_offset: i64,
    /// The offset behind it.
    pub end: i64,
    pub bytes: u64,
    /// The largest timestamp, or when it was written.
    pub newest_ms: i64,
    pub dir: PathBuf,
    /// Leader epochs in force in it, with their starts.
    pub epochs: Vec<(i32, i64)>,
}

/// One piece of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRow {
    pub first_offset: i64,
    pub position: u64,
    pub bytes: u32,
    pub crc32c: u32,
    pub newest_ms: i64,
}

impl SealedSegment {
    pub fn file(&self, suffix: &str) -> PathBuf {
        files::offset_file(&self.dir, self.base_offset, suffix)
    }

    /// The producers at its end, where that is still known.
    pub fn producers(&self) -> PathBuf {
        files::offset_file(&self.dir, self.end, "snapshot")
    }

    /// Its pieces, of about so many bytes each. A segment that is not whole batches to its end is an error.
    pub fn chunks(&self, bytes_about: u32) -> io::Result<Vec<ChunkRow>> {
        let file = File::open(self.file("log"))?;
        let mut chunks: Vec<ChunkRow> = Vec::new();
        let reached = read_batches(&file, self.bytes, |position, header, bytes| {
            let size = bytes.len() as u32;
            match chunks.last_mut() {
                Some(last) if last.bytes + size <= bytes_about => {
                    last.bytes += size;
                    last.crc32c = crc32c::crc32c_append(last.crc32c, bytes);
                    last.newest_ms = last.newest_ms.max(header.max_timestamp);
                }
                _ => chunks.push(ChunkRow {
                    first_offset: header.base_offset,
                    position,
                    bytes: size,
                    crc32c: crc32c::crc32c(bytes),
                    newest_ms: header.max_timestamp,
                }),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if reached != self.bytes {
            return Err(io::Error::other(format!("no batch at position {reached} of {}", self.file("log").display())));
        }
        Ok(chunks)
    }
}

impl Log {
    /// Whether there are sealed segments that are not known to be on the disk, as after a kill.
    pub fn has_unsynced_sealed(&self) -> bool {
        self.env.sync && self.recovery_point < self.active.segment.base_offset()
    }

    /// Sealed segments from `from` on that end at or below `stable` and are on the disk.
    pub fn sealed(&self, from: i64, stable: i64) -> Result<Vec<SealedSegment>, LogError> {
        let durable = if self.env.sync { self.recovery_point } else { self.end };
        let mut sealed = Vec::new();
        for pair in self.segments.windows(2) {
            let (segment, end) = (&pair[0], pair[1].base_offset());
            if segment.base_offset() < from || segment.size() == 0 {
                continue;
            }
            if end > stable.min(durable) {
                break;
            }
            sealed.push(SealedSegment {
                base_offset: segment.base_offset(),
                end,
                bytes: segment.size(),
                newest_ms: segment.newest_ms(&self.env.files)?,
                dir: self.dir.clone(),
                epochs: self.epochs.between(segment.base_offset(), end),
            });
        }
        Ok(sealed)
    }
}

/// The file of a piece, open for reading.
#[derive(Debug)]
pub struct Chunk {
    segment: Segment,
}

impl Chunk {
    /// Over a file that nobody changes. Its index is made now, and kept in memory.
    pub fn open(path: &Path, row: &ChunkRow) -> Result<Chunk, LogError> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let segment = Segment::at(path.to_owned(), dir, row.first_offset, u64::from(row.bytes));
        segment.index_in_memory()?;
        Ok(Chunk { segment })
    }

    /// As [`super::Snapshot::read`]; `None` if everything at or behind the offset lies further on.
    pub fn read(
        &self,
        files: &FileCache,
        offset: i64,
        bytes_max: u64,
        whole_first: bool,
    ) -> Result<Option<Option<Region>>, LogError> {
        let end = self.segment.size();
        let Some(batch) = self.segment.position_of(files, offset, end)? else { return Ok(None) };
        let first = batch.header.size() as u64;
        self.segment.region(files, batch.position, first, end, bytes_max, whole_first).map(Some)
    }

    /// The first record from `log_start` on with at least this timestamp.
    pub fn first_at_or_after(
        &self,
        files: &FileCache,
        timestamp: i64,
        log_start: i64,
    ) -> Result<Option<TimestampedOffset>, LogError> {
        first_in(files, &self.segment, timestamp, log_start)
    }
}

/// The aborted transactions of a segment whose records are elsewhere.
pub fn read_aborted(dir: &Path, base_offset: i64) -> Vec<AbortedTransaction> {
    aborted::AbortedIndex::existing(files::offset_file(dir, base_offset, "txnindex")).entries().to_vec()
}
