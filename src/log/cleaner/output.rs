//! The new segment of a run, in files that count for nothing before they are swapped in.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::aborted::{AbortedIndex, AbortedTransaction};
use crate::log::files;
use crate::log::indexes::Indexes;
use crate::log::segment::Segment;
use crate::log::swap::{self, Replacement};
use crate::log::{LogConfig, LogEnv, LogError};
use crate::record::BatchHeader;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 256 << 10;

pub struct Output {
    dir: PathBuf,
    base_offset: i64,
    end: i64,
    file: BufWriter<File>,
    size: u64,
    indexes: Indexes,
    index_interval_bytes: u64,
    aborted: AbortedIndex,
    /// Nothing is left behind unless it is finished.
    finished: bool,
}

impl Output {
    /// For offsets from `base_offset` to below `end`.
    pub fn create(dir: &Path, base_offset: i64, end: i64, config: &LogConfig) -> Result<Output, LogError> {
        let path = swap::cleaned(dir, base_offset, "log");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(LogError::io(format_args!("creating {}", path.display())))?;
        let beside = |suffix| swap::cleaned(dir, base_offset, suffix);
        Ok(Output {
            dir: dir.to_owned(),
            base_offset,
            end,
            file: BufWriter::with_capacity(WRITE_BYTES, file),
            size: 0,
            indexes: Indexes::in_files(beside("index"), beside("timeindex"), base_offset),
            index_interval_bytes: config.index_interval_bytes,
            aborted: AbortedIndex::empty(beside("txnindex"), true),
            finished: false,
        })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes one whole batch; answers its bytes.
    pub fn batch(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let header = BatchHeader::read(bytes).ok_or_else(|| io::Error::other("no batch was made"))?;
        if self.size + bytes.len() as u64 > u64::from(u32::MAX) {
            return Err(io::Error::other("the cleaned segment does not fit into one"));
        }
        self.file.write_all(bytes)?;
        self.indexes.enter(&header, self.size, bytes.len() as u64, self.index_interval_bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len() as u64)
    }

    pub fn aborted(&mut self, transaction: AbortedTransaction) {
        self.aborted.push(transaction);
    }

    /// Brings the files to the disk; they take the place of `from`.
    pub fn finish(mut self, from: Vec<Arc<Segment>>, env: &LogEnv) -> Result<Replacement, LogError> {
        self.write_out(env).map_err(LogError::io(format_args!(
            "writing {}",
            swap::cleaned(&self.dir, self.base_offset, "log").display()
        )))?;
        self.finished = true;
        Ok(Replacement::new(self.dir.clone(), self.base_offset, self.end, self.size, from))
    }

    fn write_out(&mut self, env: &LogEnv) -> io::Result<()> {
        self.file.flush()?;
        self.indexes.finish()?;
        self.aborted.finish()?;
        // An old list must not stay for want of a new one.
        let list = swap::cleaned(&self.dir, self.base_offset, "txnindex");
        if !list.exists() {
            File::create(&list)?;
        }
        let replaced = swap::replaced_path(&self.dir, self.base_offset);
        files::replace(&replaced, self.end.to_string().as_bytes(), env.sync)?;
        if env.sync {
            self.file.get_ref().sync_data()?;
            File::open(&list)?.sync_data()?;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.finished {
            swap::discard(&self.dir, self.base_offset);
        }
    }
}
