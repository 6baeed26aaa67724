//! Pieces of tiered segments on the disk, the least recently read go first.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::log::LogError;
use crate::log::chunk::{Chunk, ChunkRow};

/// A cache must hold what a few readers are at, and what comes next.
const BYTES_MIN: u64 = 32 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkKey {
    pub segment: Uuid,
    pub chunk: usize,
}

#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    bytes_max: u64,
    bytes: u64,
    chunks: HashMap<ChunkKey, Cached>,
    /// By when they were used last.
    used: BTreeMap<u64, ChunkKey>,
    turn: u64,
}

#[derive(Debug)]
struct Cached {
    chunk: Arc<Chunk>,
    bytes: u64,
    turn: u64,
}

impl Cache {
    /// What an earlier run has left there goes.
    pub fn new(dir: PathBuf, bytes_max: u64) -> std::io::Result<Cache> {
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&dir)?,
        }
        Ok(Cache {
            dir,
            bytes_max: bytes_max.max(BYTES_MIN),
            bytes: 0,
            chunks: HashMap::new(),
            used: BTreeMap::new(),
            turn: 0,
        })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn has(&self, key: &ChunkKey) -> bool {
        self.chunks.contains_key(key)
    }

    pub fn get(&mut self, key: &ChunkKey) -> Option<Arc<Chunk>> {
        let cached = self.chunks.get_mut(key)?;
        self.used.remove(&cached.turn);
        self.turn += 1;
        cached.turn = self.turn;
        self.used.insert(self.turn, *key);
        Some(cached.chunk.clone())
    }

    /// Enters a piece. Who reads one that has to go for it reads on: its file is open.
    pub fn insert(&mut self, key: ChunkKey, row: &ChunkRow, bytes: &[u8]) -> Result<(), LogError> {
        self.remove(&key);
        while self.bytes + bytes.len() as u64 > self.bytes_max
            && let Some((_, oldest)) = self.used.pop_first()
        {
            self.remove(&oldest);
        }
        let path = self.path(&key);
        std::fs::write(&path, bytes).map_err(|source| {
            let _ = std::fs::remove_file(&path);
            LogError::Io { what: format!("writing {}", path.display()), source }
        })?;
        let chunk = Arc::new(Chunk::open(&path, row)?);
        self.turn += 1;
        self.used.insert(self.turn, key);
        self.bytes += bytes.len() as u64;
        self.chunks.insert(key, Cached { chunk, bytes: bytes.len() as u64, turn: self.turn });
        Ok(())
    }

    pub fn forget(&mut self, segments: &[Uuid]) {
        let gone: Vec<_> = self.chunks.keys().filter(|key| segments.contains(&key.segment)).copied().collect();
        gone.iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: &ChunkKey) {
        if let Some(cached) = self.chunks.remove(key) {
            self.used.remove(&cached.turn);
            self.bytes -= cached.bytes;
            let _ = std::fs::remove_file(self.path(key));
        }
    }

    fn path(&self, key: &ChunkKey) -> PathBuf {
        self.dir.join(format!("{}-{}", key.segment.simple(), key.chunk))
    }
}
