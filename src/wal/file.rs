//! The files of the journal: `<number, 20 digits>.wal`, numbered without gaps, preallocated; the last one may be a spare
//! that was not begun.
//!
//! A file begins with 32 bytes: magic, format version, first LSN, CRC-32C of those. They are written with the first group,
//! so that beginning a file costs no sync of its own. Then records back to back: length u32 of what follows the CRC,
//! CRC-32C u32 over length and rest, LSN u64, kind u8, payload. Big-endian. Behind the last record, and in a spare, stands
//! whatever the file held before: the LSNs there do not follow.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{KIND_REFUSED, Kind, Replayed, WalError, failed};

const MAGIC: &[u8; 8] = b"OTTLAWAL";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 32;
/// Length, CRC, LSN and kind.
const RECORD_OVERHEAD: usize = 17;

#[derive(Debug)]
pub struct WalFile {
    path: PathBuf,
    file: Arc<File>,
    number: u64,
    /// 0 for a spare.
    first_lsn: u64,
    capacity: u64,
    used: u64,
    /// Whether the file's name is known to be on the disk.
    name_synced: bool,
}

/// A place in a file that was set aside for one group.
pub struct Writing {
    file: Arc<File>,
    position: u64,
    /// For the first group of a file: its header.
    header: Option<[u8; HEADER_BYTES as usize]>,
    /// The directory, while it must be synced as well.
    dir: Option<PathBuf>,
}

impl Writing {
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if let Some(header) = &self.header {
            self.file.write_all_at(header, 0)?;
        }
        self.file.write_all_at(bytes, self.position)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        match &self.dir {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}

pub struct Opened {
    pub files: Vec<WalFile>,
    pub spare: Option<WalFile>,
    pub next_lsn: u64,
    pub next_number: u64,
}

/// Adds one record to a group's bytes.
pub fn encode_record(out: &mut Vec<u8>, lsn: u64, kind: Kind, parts: &[&[u8]]) {
    let payload: usize = parts.iter().map(|p| p.len()).sum();
    let start = out.len();
    out.extend_from_slice(&((payload + 9) as u32).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&lsn.to_be_bytes());
    out.push(kind);
    for part in parts {
        out.extend_from_slice(part);
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..start + 4]), &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_be_bytes());
}

/// One record off the front of `bytes`, with its size; `None` if there is no whole one with its CRC.
fn decode_record(bytes: &[u8]) -> Option<(Replayed<'_>, usize)> {
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let size = length.checked_add(8)?;
    if size < RECORD_OVERHEAD || bytes.len() < size {
        return None;
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[8..size]);
    if crc.to_be_bytes() != bytes[4..8] {
        return None;
    }
    let lsn = u64::from_be_bytes(bytes[8..16].try_into().ok()?);
    Some((Replayed { lsn, kind: bytes[16], payload: &bytes[RECORD_OVERHEAD..size] }, size))
}

impl WalFile {
    /// A preallocated file without content.
    pub fn create_spare(dir: &Path, number: u64, capacity: u64) -> io::Result<WalFile> {
        let path = path_of(dir, number);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        if let Err(error) = allocate(&file, capacity) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(WalFile { path, file: Arc::new(file), number, first_lsn: 0, capacity, used: 0, name_synced: false })
    }

    /// Turns a file that is no longer needed into a spare.
    pub fn into_spare(self, dir: &Path, number: u64) -> io::Result<WalFile> {
        let path = path_of(dir, number);
        std::fs::rename(&self.path, &path)?;
        Ok(WalFile { path, number, first_lsn: 0, used: 0, name_synced: false, ..self })
    }

    /// Brings the name to the disk ahead of the first use.
    pub fn sync_name(&mut self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()?;
        self.name_synced = true;
        Ok(())
    }

    /// A spare becomes the next file of the journal.
    pub fn begin(&mut self, first_lsn: u64) {
        self.first_lsn = first_lsn;
        self.used = HEADER_BYTES;
    }

    pub fn delete(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not delete a file of the write-ahead log");
        }
    }

    pub fn first_lsn(&self) -> u64 {
        self.first_lsn
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    /// The capacity that a group of `bytes` needs.
    pub fn bytes_for(bytes: u64) -> u64 {
        HEADER_BYTES + bytes
    }

    pub fn reserve(&mut self, bytes: u64, dir: &Path) -> Writing {
        let position = self.used;
        self.used += bytes;
        let dir = (!std::mem::replace(&mut self.name_synced, true)).then(|| dir.to_owned());
        let header = (position == HEADER_BYTES).then(|| header(self.first_lsn));
        Writing { file: self.file.clone(), position, header, dir }
    }
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.wal"))
}

fn header(first_lsn: u64) -> [u8; HEADER_BYTES as usize] {
    let mut out = [0u8; HEADER_BYTES as usize];
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_be_bytes());
    out[12..20].copy_from_slice(&first_lsn.to_be_bytes());
    let crc = crc32c::crc32c(&out[..20]);
    out[20..24].copy_from_slice(&crc.to_be_bytes());
    out
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    if file.metadata()?.len() >= bytes {
        return Ok(());
    }
    // SAFETY: the descriptor is open for the time of the call.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Opens all files of the journal and replays the records above `after_lsn`.
pub fn open_all(
    dir: &Path,
    after_lsn: Option<u64>,
    mut replay: impl FnMut(Replayed<'_>) -> Result<(), String>,
) -> Result<Opened, WalError> {
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let numbers = list(dir)?;
    let mut opened = Opened { files: Vec::new(), spare: None, next_lsn: 0, next_number: 1 };
    let mut expected = None;
    for (i, number) in numbers.iter().enumerate() {
        let path = path_of(dir, *number);
        let what = |why: &str| WalError::Corrupt(format!("{}: {why}", path.display()));
        if i > 0 && numbers[i - 1] + 1 != *number {
            return Err(what("a file before it is missing"));
        }
        let bytes = std::fs::read(&path).map_err(|e| failed(&path, e))?;
        let first_lsn = read_header(&bytes).filter(|lsn| expected.is_none_or(|e| e == *lsn));
        let mut file = open(&path, *number, bytes.len() as u64).map_err(|e| failed(&path, e))?;
        let Some(first_lsn) = first_lsn else {
            check_spare(&bytes, expected, i + 1 == numbers.len()).map_err(what)?;
            opened.spare = Some(file);
            break;
        };
        if let (None, Some(after)) = (expected, after_lsn)
            && first_lsn > after + 1
        {
            return Err(what(&format!("it begins with record {first_lsn}, but the metadata snapshot ends at {after}")));
        }
        file.begin(first_lsn);
        let mut next = first_lsn;
        while let Some((record, size)) = decode_record(&bytes[file.used as usize..]).filter(|(r, _)| r.lsn == next) {
            if record.kind != KIND_REFUSED && after_lsn.is_none_or(|after| record.lsn > after) {
                replay(record).map_err(|why| what(&why))?;
            }
            next += 1;
            file.used += size as u64;
        }
        expected = Some(next);
        opened.files.push(file);
    }
    opened.next_number = numbers.last().map_or(1, |n| n + 1);
    let found = expected.unwrap_or(1);
    opened.next_lsn = found.max(after_lsn.unwrap_or(0) + 1);
    if opened.next_lsn > found {
        // The snapshot is ahead of what the last file still shows: begin a new file, so that LSNs stay consecutive.
        for file in opened.files.drain(..) {
            file.delete();
        }
    }
    Ok(opened)
}

fn open(path: &Path, number: u64, capacity: u64) -> io::Result<WalFile> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let path = path.to_owned();
    Ok(WalFile { path, file: Arc::new(file), number, first_lsn: 0, capacity, used: 0, name_synced: true })
}

fn read_header(bytes: &[u8]) -> Option<u64> {
    let found = bytes.get(..HEADER_BYTES as usize)?;
    let first_lsn = u64::from_be_bytes(found[12..20].try_into().ok()?);
    (found == header(first_lsn)).then_some(first_lsn)
}

/// A file whose header is not the next one must be the last, and must hold nothing that belongs here.
fn check_spare(bytes: &[u8], expected: Option<u64>, is_last: bool) -> Result<(), &'static str> {
    if !is_last {
        return Err("it ends early, and only the last file may end torn");
    }
    let first = bytes.get(HEADER_BYTES as usize..).and_then(decode_record);
    if let (Some((record, _)), Some(expected)) = (first, expected)
        && record.lsn == expected
    {
        return Err("its header is damaged");
    }
    Ok(())
}

/// The numbers of the files in order.
pub fn list(dir: &Path) -> Result<Vec<u64>, WalError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| failed(dir, e))? {
        let name = entry.map_err(|e| failed(dir, e))?.file_name();
        if let Some(number) = name.to_string_lossy().strip_suffix(".wal").and_then(|digits| digits.parse().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}
