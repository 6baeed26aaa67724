//! The files of `__cluster_metadata-0`: snapshots `<end offset, 20 digits>-<epoch, 10 digits>.checkpoint` (KIP-630), and the
//! segments of the log. Both hold batches, which are checked one by one.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::log::{LogError, files};
use crate::record::batch::{self, BatchHeader, HEADER_BYTES};
use crate::record::compress;
use crate::record::iter::Records;

pub struct Snapshot {
    path: PathBuf,
    /// The first offset that is not in it.
    pub end_offset: i64,
}

impl Snapshot {
    /// Calls `take` with the value of each record.
    pub fn walk(&self, mut take: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), LogError> {
        let mut batches = Batches::open(&self.path)?;
        let mut ended = false;
        while let Some((header, bytes)) = batches.next()? {
            // A footer ends it: nothing is missing then.
            ended = header.is_control();
            each_value(&header, bytes, 0, &mut take).map_err(|why| batches.corrupt(&why))?;
        }
        match ended && batches.at_end() {
            true => Ok(()),
            false => Err(batches.corrupt("the snapshot is not whole")),
        }
    }
}

/// The newest snapshot that is whole. Without a readable one there may still be all of the log.
pub fn newest_snapshot(dir: &Path) -> Result<Option<Snapshot>, LogError> {
    let mut found: Vec<(i64, i64, PathBuf)> = Vec::new();
    for name in files::names(dir)? {
        if let Some((end_offset, epoch)) = snapshot_name(&name) {
            found.push((end_offset, epoch, dir.join(name)));
        }
    }
    found.sort();
    for (end_offset, _, path) in found.into_iter().rev() {
        let snapshot = Snapshot { path, end_offset };
        match snapshot.walk(|_| Ok(())) {
            Ok(()) => return Ok(Some(snapshot)),
            Err(error @ LogError::Io { .. }) => return Err(error),
            Err(error) => tracing::warn!(%error, "a metadata snapshot of Kafka's is unreadable: using an older one"),
        }
    }
    Ok(None)
}

fn snapshot_name(name: &str) -> Option<(i64, i64)> {
    let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(offset, 20) || !digits(epoch, 10) {
        return None;
    }
    Some((offset.parse().ok()?, epoch.parse().ok()?))
}

/// Calls `take` with the value of each record of the log from offset `from` on. The last segment may end torn.
pub fn walk_log(dir: &Path, from: i64, mut take: impl FnMut(&[u8]) -> Result<(), String>) -> Result<(), LogError> {
    let mut bases: Vec<i64> = files::names(dir)?.iter().filter_map(|name| files::offset_in_name(name, "log")).collect();
    bases.sort_unstable();
    // Those before the last one that begins at or below `from` have nothing to say.
    let first = bases.partition_point(|base| *base <= from).saturating_sub(1);
    let Some(start) = bases.get(first) else { return Ok(()) };
    if *start > from {
        let why = format!("{}: the log begins at offset {start}, and no snapshot reaches up to it", dir.display());
        return Err(LogError::Corrupt(why));
    }
    let mut next = *start;
    for (i, base) in bases.iter().enumerate().skip(first) {
        let mut batches = Batches::open(&files::offset_file(dir, *base, "log"))?;
        if *base != next {
            return Err(batches.corrupt(&format!("it should begin at offset {next}")));
        }
        while let Some((header, bytes)) = batches.next()? {
            if header.base_offset != next {
                let why = format!("offset {} follows where {next} is due", header.base_offset);
                return Err(batches.corrupt(&why));
            }
            next = header.next_offset();
            if header.last_offset() >= from {
                each_value(&header, bytes, from, &mut take).map_err(|why| batches.corrupt(&why))?;
            }
        }
        if !batches.at_end() && (i + 1 < bases.len() || batches.goes_on()?) {
            return Err(batches.corrupt("a batch within it is damaged"));
        }
    }
    Ok(())
}

/// Calls `take` with the values of the records of a batch that are at or above `from`; control records are none.
fn each_value(
    header: &BatchHeader,
    bytes: &[u8],
    from: i64,
    take: &mut impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    if header.is_control() {
        return Ok(());
    }
    let at = |offset: i64, why: &dyn std::fmt::Display| format!("offset {offset}: {why}");
    let records = compress::open(bytes, header).map_err(|why| at(header.base_offset, &why))?;
    for record in Records::new(&records, header.record_count) {
        let record = record.map_err(|e| at(header.base_offset, &e.0))?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        if offset >= from
            && let Some(value) = record.value
        {
            take(value).map_err(|why| at(offset, &why))?;
        }
    }
    Ok(())
}

/// The batches of a file, one after the other.
struct Batches {
    path: PathBuf,
    file: File,
    size: u64,
    position: u64,
    batch: Vec<u8>,
}

impl Batches {
    fn open(path: &Path) -> Result<Batches, LogError> {
        let opened = File::open(path).and_then(|file| file.metadata().map(|m| (file, m.len())));
        let (file, size) = opened.map_err(LogError::io(format_args!("reading {}", path.display())))?;
        Ok(Batches { path: path.to_owned(), file, size, position: 0, batch: Vec::new() })
    }

    /// The next batch that is whole and whose CRC fits; `None` where there is none.
    fn next(&mut self) -> Result<Option<(BatchHeader, &[u8])>, LogError> {
        let Some(header) = self.read(self.position)? else { return Ok(None) };
        self.position += header.size() as u64;
        Ok(Some((header, &self.batch)))
    }

    fn read(&mut self, position: u64) -> Result<Option<BatchHeader>, LogError> {
        let Some(header) = self.header(position)? else { return Ok(None) };
        if !header.is_plausible() || position + header.size() as u64 > self.size {
            return Ok(None);
        }
        self.batch.resize(header.size(), 0);
        let read = files::read_at(&self.file, &mut self.batch, position);
        let whole = read.map_err(LogError::io(format_args!("reading {}", self.path.display())))? == self.batch.len();
        Ok((whole && batch::crc_matches(&self.batch)).then_some(header))
    }

    fn header(&self, position: u64) -> Result<Option<BatchHeader>, LogError> {
        let mut head = [0; HEADER_BYTES];
        let read = files::read_at(&self.file, &mut head, position);
        let read = read.map_err(LogError::io(format_args!("reading {}", self.path.display())))?;
        Ok(BatchHeader::read(&head[..read]))
    }

    fn at_end(&self) -> bool {
        self.position == self.size
    }

    /// Whether a whole batch stands behind the damaged one at the position: then that is no torn end.
    fn goes_on(&mut self) -> Result<bool, LogError> {
        match self.header(self.position)? {
            Some(header) if header.size() >= HEADER_BYTES => {
                Ok(self.read(self.position + header.size() as u64)?.is_some())
            }
            _ => Ok(false),
        }
    }

    fn corrupt(&self, why: &str) -> LogError {
        LogError::Corrupt(format!("{}: {why}", self.path.display()))
    }
}
