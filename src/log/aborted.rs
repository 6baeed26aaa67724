//! Aborted transactions of one segment, in Kafka's `.txnindex` format: what a reader of committed records must skip. A
//! segment without any has no such file.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::base::ProducerId;

/// A transaction whose marker lies in the segment and says abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: ProducerId,
    pub first_offset: i64,
    /// The offset of the marker.
    pub last_offset: i64,
    /// The last stable offset once it had ended: no later transaction begins below.
    pub last_stable_offset: i64,
}

const VERSION: i16 = 0;
const ENTRY_BYTES: usize = 34;

impl AbortedTransaction {
    pub const BYTES: usize = ENTRY_BYTES;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&VERSION.to_be_bytes());
        for field in [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    /// `None` if it is none.
    pub fn decode(entry: &[u8]) -> Option<AbortedTransaction> {
        let (version, fields) = entry.split_first_chunk::<2>()?;
        let mut fields = fields.chunks_exact(8).map(|f| i64::from_be_bytes(f.try_into().expect("eight bytes")));
        let mut field = || fields.next();
        let decoded = AbortedTransaction {
            producer_id: field()?,
            first_offset: field()?,
            last_offset: field()?,
            last_stable_offset: field()?,
        };
        (i16::from_be_bytes(*version) == VERSION && decoded.first_offset <= decoded.last_offset).then_some(decoded)
    }
}

/// The aborted transactions of a segment, by the offsets of their markers. Read at first use.
#[derive(Debug)]
pub struct AbortedIndex {
    path: PathBuf,
    entries: Option<Vec<AbortedTransaction>>,
    /// Entries that are in the file.
    written: usize,
    /// Whether there may be a file.
    has_file: bool,
}

impl AbortedIndex {
    /// Over whatever the file holds; nothing is read yet.
    pub fn existing(path: PathBuf) -> AbortedIndex {
        AbortedIndex { path, entries: None, written: 0, has_file: true }
    }

    /// One that begins empty; what a file of that name holds is replaced.
    pub fn empty(path: PathBuf, has_file: bool) -> AbortedIndex {
        AbortedIndex { path, entries: Some(Vec::new()), written: 0, has_file }
    }

    pub fn entries(&mut self) -> &[AbortedTransaction] {
        self.load()
    }

    /// Adds an entry. If it cannot be written now, [`AbortedIndex::finish`] tries again.
    pub fn push(&mut self, entry: AbortedTransaction) {
        self.load().push(entry);
        let _ = self.write();
    }

    /// Brings the file up to date. There is none where there are no entries.
    pub fn finish(&mut self) -> io::Result<()> {
        let count = match &self.entries {
            // Not looked at: the file is as it was.
            None => return Ok(()),
            Some(entries) => entries.len(),
        };
        if count == 0 && !std::mem::take(&mut self.has_file) {
            return Ok(());
        }
        if count == 0 {
            return match std::fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            };
        }
        self.write()?;
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len((count * ENTRY_BYTES) as u64)
    }

    /// Syncs the file, if there is one.
    pub fn sync(&self) -> io::Result<()> {
        if !self.has_file {
            return Ok(());
        }
        match std::fs::File::open(&self.path) {
            Ok(file) => file.sync_data(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(entries) = &self.entries else { return Ok(()) };
        let new = &entries[self.written..];
        if new.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(new.len() * ENTRY_BYTES);
        for entry in new {
            entry.encode(&mut bytes);
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?;
        file.write_all_at(&bytes, (self.written * ENTRY_BYTES) as u64)?;
        self.written = entries.len();
        self.has_file = true;
        Ok(())
    }

    fn load(&mut self) -> &mut Vec<AbortedTransaction> {
        if self.entries.is_none() {
            let bytes = std::fs::read(&self.path).unwrap_or_default();
            let entries: Vec<_> = bytes.chunks_exact(ENTRY_BYTES).map_while(AbortedTransaction::decode).collect();
            if entries.len() * ENTRY_BYTES != bytes.len() {
                tracing::warn!(path = %self.path.display(), "an index of aborted transactions ends early");
            }
            self.written = entries.len();
            self.entries = Some(entries);
        }
        self.entries.get_or_insert_default()
    }
}
