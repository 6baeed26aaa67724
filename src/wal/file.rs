//! The files of the journal: `<first LSN, 20 digits>.wal`, preallocated, and one `spare` for the next.
//!
//! A file begins with 32 bytes: magic, format version, first LSN, CRC-32C of those. Then records back to back:
//! length u32 of what follows the CRC, CRC-32C u32 over length and rest, LSN u64, kind u8, payload. Big-endian.
//! Behind the last record stands whatever the file held before: the LSNs there do not follow.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Kind, Replayed, WalError, failed};

const MAGIC: &[u8; 8] = b"OTTLAWAL";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 32;
/// Length, CRC, LSN and kind.
const RECORD_OVERHEAD: usize = 17;
const SPARE: &str = "spare";

#[derive(Debug)]
pub struct WalFile {
    path: PathBuf,
    file: Arc<File>,
    first_lsn: u64,
    capacity: u64,
    used: u64,
}

/// A place in a file that was set aside for one group.
pub struct Writing {
    file: Arc<File>,
    position: u64,
}

impl Writing {
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.position)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

pub struct Opened {
    pub files: Vec<WalFile>,
    pub spare: Option<WalFile>,
    pub next_lsn: u64,
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
    pub fn create(dir: &Path, first_lsn: u64, capacity: u64) -> io::Result<WalFile> {
        WalFile::create_spare(dir, capacity)?.begin(dir, first_lsn)
    }

    /// A preallocated file without content.
    pub fn create_spare(dir: &Path, capacity: u64) -> io::Result<WalFile> {
        let path = dir.join(SPARE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        if let Err(error) = allocate(&file, capacity) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(WalFile { path, file: Arc::new(file), first_lsn: 0, capacity, used: 0 })
    }

    /// Turns a spare file into the next one of the journal.
    pub fn begin(mut self, dir: &Path, first_lsn: u64) -> io::Result<WalFile> {
        self.file.write_all_at(&header(first_lsn), 0)?;
        let path = dir.join(format!("{first_lsn:020}.wal"));
        std::fs::rename(&self.path, &path)?;
        // The name must be there before a record in it counts.
        self.file.sync_all()?;
        File::open(dir)?.sync_all()?;
        self.path = path;
        self.first_lsn = first_lsn;
        self.used = HEADER_BYTES;
        Ok(self)
    }

    pub fn into_spare(mut self, dir: &Path) -> io::Result<WalFile> {
        let path = dir.join(SPARE);
        std::fs::rename(&self.path, &path)?;
        self.path = path;
        self.used = 0;
        Ok(self)
    }

    pub fn delete(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not delete a file of the write-ahead log");
        }
    }

    pub fn first_lsn(&self) -> u64 {
        self.first_lsn
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

    pub fn reserve(&mut self, bytes: u64) -> Writing {
        let position = self.used;
        self.used += bytes;
        Writing { file: self.file.clone(), position }
    }
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
    let (names, has_spare) = list(dir)?;
    let after_lsn = after_lsn.unwrap_or(names.first().map_or(0, |first| first - 1));
    let mut opened = Opened { files: Vec::new(), spare: None, next_lsn: after_lsn + 1 };
    if has_spare {
        opened.spare = WalFile::create_spare(dir, super::FILE_BYTES).ok();
    }
    let Some(first) = names.first() else { return Ok(opened) };
    if *first > after_lsn + 1 {
        return Err(WalError::Corrupt(format!(
            "{} begins with record {first}, but the metadata snapshot ends at {after_lsn}",
            dir.display()
        )));
    }
    let mut expected = *first;
    for (i, first_lsn) in names.iter().enumerate() {
        let path = dir.join(format!("{first_lsn:020}.wal"));
        let what = |why: &str| WalError::Corrupt(format!("{}: {why}", path.display()));
        let bytes = std::fs::read(&path).map_err(|e| failed(&path, e))?;
        let is_last = i + 1 == names.len();
        if bytes.get(..HEADER_BYTES as usize) != Some(&header(*first_lsn)[..]) {
            return Err(what("its header is damaged"));
        }
        if *first_lsn != expected {
            return Err(what(&format!("record {expected} should come here: records before it are missing")));
        }
        let mut at = HEADER_BYTES as usize;
        while let Some((record, size)) = decode_record(&bytes[at..]).filter(|(r, _)| r.lsn == expected) {
            if record.lsn > after_lsn {
                replay(record).map_err(|why| what(&why))?;
            }
            expected += 1;
            at += size;
        }
        if !is_last && names[i + 1] != expected {
            return Err(what(&format!("it ends before record {}, and only the last file may end torn", names[i + 1])));
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|e| failed(&path, e))?;
        opened.files.push(WalFile {
            path,
            file: Arc::new(file),
            first_lsn: *first_lsn,
            capacity: bytes.len() as u64,
            used: at as u64,
        });
    }
    opened.next_lsn = expected.max(after_lsn + 1);
    if expected <= after_lsn {
        // The snapshot is ahead of what the last file still shows: begin a new file, so that LSNs stay consecutive.
        for file in opened.files.drain(..) {
            file.delete();
        }
    }
    Ok(opened)
}

/// First LSNs of the files in order, and whether there is a spare one.
fn list(dir: &Path) -> Result<(Vec<u64>, bool), WalError> {
    let mut names = Vec::new();
    let mut has_spare = false;
    for entry in std::fs::read_dir(dir).map_err(|e| failed(dir, e))? {
        let name = entry.map_err(|e| failed(dir, e))?.file_name();
        let name = name.to_string_lossy();
        if name == SPARE {
            has_spare = true;
        } else if let Some(lsn) = name.strip_suffix(".wal").and_then(|digits| digits.parse().ok()) {
            names.push(lsn);
        }
    }
    names.sort_unstable();
    Ok((names, has_spare))
}
