//! Names of the files in a partition directory, positional input and output, and handles opened on demand.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::LogError;

pub const PARTITION_METADATA: &str = "partition.metadata";
pub const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// A piece of a segment that can be sent without being read.
#[derive(Clone, Debug)]
pub struct Region {
    pub file: Arc<File>,
    pub position: u64,
    pub length: usize,
}

/// `<base offset, 20 digits>.<suffix>` in `dir`.
pub fn offset_file(dir: &Path, base_offset: i64, suffix: &str) -> PathBuf {
    dir.join(format!("{base_offset:020}.{suffix}"))
}

/// The offset in a file name of [`offset_file`], if it has that suffix.
pub fn offset_in_name(name: &str, suffix: &str) -> Option<i64> {
    let digits = name.strip_suffix(suffix)?.strip_suffix('.')?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// Bytes of all segments in the directory of a log that is not open.
pub fn segment_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| offset_in_name(name, "log").is_some()) {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// The names in a directory, but for such as are no text.
pub fn names(dir: &Path) -> Result<Vec<String>, LogError> {
    let list = || -> io::Result<Vec<String>> {
        std::fs::read_dir(dir)?
            .filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose())
            .collect()
    };
    list().map_err(LogError::io(format_args!("listing {}", dir.display())))
}

/// How many segments are in the directory of a log that is not open.
pub fn segments_in(dir: &Path) -> Result<usize, LogError> {
    Ok(names(dir)?.iter().filter(|name| offset_in_name(name, "log").is_some()).count())
}

/// Writes all of `parts` at `position`, in one call where the system takes it.
pub fn write_all_at(file: &File, parts: [&[u8]; 2], position: u64) -> io::Result<()> {
    let total = parts[0].len() + parts[1].len();
    let slices = parts.map(|p| libc::iovec { iov_base: p.as_ptr() as *mut _, iov_len: p.len() });
    let written = loop {
        // SAFETY: both slices live through the call and are only read by it.
        let n = unsafe { libc::pwritev(file.as_raw_fd(), slices.as_ptr(), 2, position as libc::off_t) };
        if n >= 0 {
            break n as usize;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    };
    if written == total {
        return Ok(());
    }
    // A short write: the rest piece by piece, which also tells the reason (a full disk, mostly).
    let mut at = written;
    let mut skip = written;
    for part in parts {
        let from = skip.min(part.len());
        skip -= from;
        file.write_all_at(&part[from..], position + at as u64)?;
        at += part.len() - from;
    }
    Ok(())
}

/// Reads up to `buffer.len()` bytes at `position`; fewer only at the end of the file.
pub fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], position + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Replaces a file so that a crash leaves the old or the new content: temporary file, sync, rename, directory sync.
pub fn replace(path: &Path, content: &[u8], sync: bool) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    if sync {
        file.sync_all()?;
    }
    std::fs::rename(&temporary, path)?;
    if sync { sync_dir(path) } else { Ok(()) }
}

/// Syncs the directory that holds `path`, so that its name is there after a power cut.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Syncs everything on the file system that holds `path`.
pub fn sync_file_system(path: &Path) -> io::Result<()> {
    let dir = File::open(path)?;
    // SAFETY: the descriptor is open for the time of the call.
    match unsafe { libc::syncfs(dir.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads the whole file, or nothing if it does not exist.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(LogError::Io { what: format!("reading {}", path.display()), source: e }),
    }
}

pub fn open_read_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Handles of sealed segments that were read lately. A segment holds only a weak reference, so the number of open files
/// does not grow with the number of segments.
#[derive(Debug)]
pub struct FileCache {
    recent: Mutex<VecDeque<Arc<File>>>,
    files_max: usize,
}

impl FileCache {
    pub fn new(files_max: usize) -> FileCache {
        FileCache { recent: Mutex::new(VecDeque::new()), files_max }
    }

    pub fn keep(&self, file: Arc<File>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= self.files_max {
            recent.pop_front();
        }
        recent.push_back(file);
    }

    pub fn forget(&self, file: &Arc<File>) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).retain(|f| !Arc::ptr_eq(f, file));
    }
}
