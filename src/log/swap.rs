//! Putting a cleaned segment in the place of those that it was made of, so that a crash leaves the old or the new.
//!
//! The new files are whole, and on the disk, under `.cleaned`. Under the lock they become `.swap`, the `.log` last: with
//! that the new segment counts, and whoever finds it goes on from there ([`complete_all`], at the start). Names are Kafka's,
//! but for `<base offset>.replaced`, which says up to which offset old segments go: the last records of a run may be gone
//! from the new one, so that it cannot tell.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{self, FileCache};
use super::segment::Segment;
use super::{Log, LogError};

/// The files of a segment, the one that decides last.
const SUFFIXES: [&str; 4] = ["index", "timeindex", "txnindex", "log"];

/// A cleaned segment that waits to be put in place. Dropped, its files go.
#[derive(Debug)]
pub struct Replacement {
    dir: PathBuf,
    base_offset: i64,
    /// The offset behind the last segment that it replaces.
    end: i64,
    size: u64,
    from: Vec<Arc<Segment>>,
    done: bool,
}

impl Replacement {
    pub fn new(dir: PathBuf, base_offset: i64, end: i64, size: u64, from: Vec<Arc<Segment>>) -> Replacement {
        Replacement { dir, base_offset, end, size, from, done: false }
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.done {
            discard(&self.dir, self.base_offset);
        }
    }
}

impl Log {
    /// Puts a cleaned segment in place, unless what it replaces is not there any more. Answers the old ones, to be dropped
    /// without the lock: the disk gets their space back then. An error that is [`LogError::Corrupt`] leaves the rest to the
    /// next start.
    pub fn replace(&mut self, mut new: Replacement) -> Result<Option<Vec<Arc<Segment>>>, LogError> {
        let Some(at) = self.segments.iter().position(|s| Arc::ptr_eq(s, &new.from[0])) else { return Ok(None) };
        let after = at + new.from.len();
        let is_there = self
            .segments
            .get(at..after)
            .is_some_and(|old| old.iter().zip(&new.from).all(|(old, from)| Arc::ptr_eq(old, from)));
        // Behind it is the active segment at least.
        if !is_there || self.segments.get(after).is_none_or(|next| next.base_offset() != new.end) {
            return Ok(None);
        }
        for old in &new.from {
            old.retire()?;
        }
        let what = || format!("swapping {}", files::offset_file(&self.dir, new.base_offset, "log").display());
        prepare(&self.dir, new.base_offset).map_err(LogError::io(what()))?;
        new.done = true;
        complete(&self.dir, new.base_offset, new.end)
            .map_err(|e| LogError::Corrupt(format!("{}: {e}; the next start finishes it", what())))?;
        let mut list = self.segments.to_vec();
        let segment = Segment::existing(&self.dir, new.base_offset, new.size);
        if new.size == 0 && at > 0 {
            segment.delete_files(&self.env.files);
            list.drain(at..after);
        } else {
            segment.load_aborted();
            list.splice(at..after, [Arc::new(segment)]);
        }
        self.segments = Arc::new(list);
        Ok(Some(std::mem::take(&mut new.from)))
    }
}

pub fn cleaned(dir: &Path, base_offset: i64, suffix: &str) -> PathBuf {
    files::offset_file(dir, base_offset, &format!("{suffix}.cleaned"))
}

fn swapped(dir: &Path, base_offset: i64, suffix: &str) -> PathBuf {
    files::offset_file(dir, base_offset, &format!("{suffix}.swap"))
}

pub fn replaced_path(dir: &Path, base_offset: i64) -> PathBuf {
    files::offset_file(dir, base_offset, "replaced")
}

/// Removes what was not swapped in.
pub fn discard(dir: &Path, base_offset: i64) {
    for suffix in SUFFIXES {
        let _ = std::fs::remove_file(cleaned(dir, base_offset, suffix));
    }
    let _ = std::fs::remove_file(replaced_path(dir, base_offset));
}

/// From now on the new segment counts.
fn prepare(dir: &Path, base_offset: i64) -> io::Result<()> {
    for suffix in SUFFIXES {
        std::fs::rename(cleaned(dir, base_offset, suffix), swapped(dir, base_offset, suffix))?;
        crash_point(suffix);
    }
    Ok(())
}

/// Removes the old segments and gives the new files their names. Can be done again after any part of it.
fn complete(dir: &Path, base_offset: i64, end: i64) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        for suffix in SUFFIXES {
            if files::offset_in_name(name, suffix).is_some_and(|base| base > base_offset && base < end) {
                std::fs::remove_file(dir.join(name))?;
                crash_point("removed");
            }
        }
    }
    for suffix in SUFFIXES {
        match std::fs::rename(swapped(dir, base_offset, suffix), files::offset_file(dir, base_offset, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && suffix != "log" => {}
            other => other?,
        }
        crash_point("renamed");
    }
    let list = files::offset_file(dir, base_offset, "txnindex");
    if std::fs::metadata(&list).is_ok_and(|list| list.len() == 0) {
        std::fs::remove_file(list)?;
    }
    let _ = std::fs::remove_file(replaced_path(dir, base_offset));
    Ok(())
}

/// Finishes or forgets what a crash has left: before anything else in the directory is looked at.
pub fn complete_all(dir: &Path, names: &[String], files: &FileCache) -> Result<(), LogError> {
    let bases = |suffix: &str| names.iter().filter_map(|name| files::offset_in_name(name, suffix)).collect::<Vec<_>>();
    let what = || format!("finishing a swap in {}", dir.display());
    for base_offset in bases("log.swap") {
        let end = match std::fs::read_to_string(replaced_path(dir, base_offset)) {
            Ok(text) => text.trim().parse().map_err(|_| LogError::Corrupt(format!("{}: no end on record", what())))?,
            // Kafka's own: as Kafka, up to where its records go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => end_of_swapped(dir, base_offset, files)?,
            Err(source) => return Err(LogError::Io { what: what(), source }),
        };
        tracing::info!(dir = %dir.display(), base_offset, end, "finishing the swap of a cleaned segment");
        complete(dir, base_offset, end).map_err(LogError::io(what()))?;
    }
    for name in names {
        let is_left = [".cleaned", ".swap", ".replaced"].iter().any(|suffix| name.ends_with(suffix));
        if is_left {
            let _ = std::fs::remove_file(dir.join(name));
        }
    }
    Ok(())
}

fn end_of_swapped(dir: &Path, base_offset: i64, files: &FileCache) -> Result<i64, LogError> {
    let path = swapped(dir, base_offset, "log");
    let size = std::fs::metadata(&path).map_err(LogError::io(format_args!("reading {}", path.display())))?.len();
    let segment = Segment::at(path, dir, base_offset, size);
    let mut end = base_offset;
    segment.walk(files, 0, |_, header| {
        end = header.next_offset();
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(end)
}

/// Where tests let the process die: after a step of a swap.
#[cfg(test)]
fn crash_point(step: &str) {
    tests::crash_point(step);
}

#[cfg(not(test))]
fn crash_point(_: &str) {}

#[cfg(test)]
mod tests;
