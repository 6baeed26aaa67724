//! Sealed segments in an object store: upload, manifest, read back.
//!
//! Owns the store's client, the manifests' format and the bounded cache on the disk. Knows neither topics nor the wire: a
//! partition is a key here. All input and output to the store happens on one thread with a runtime of its own, so that a
//! store that is slow or hangs holds up nobody else. Called by `topic`.

mod cache;
mod manifest;
mod stats;
mod store;
mod upload;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use cache::{Cache, ChunkKey};
pub use manifest::{Entry, MANIFEST, Manifest};
pub use stats::Stats;
pub use store::{S3Options, Store, StoreError};
pub use upload::upload;

use crate::base::Clock;
use crate::log::chunk::Chunk;

/// Downloads at the same time.
const DOWNLOADS_MAX: usize = 4;
/// Attempts of a download, a moment apart.
const ATTEMPTS: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// So long readers of a piece that could not be had are told so without another attempt.
const FAILED_FOR: Duration = Duration::from_secs(1);

type Wake = Arc<dyn Fn() + Send + Sync>;

/// What became of a read.
pub enum Read {
    Ready(Arc<Chunk>),
    /// It is on its way; `wake` will be called.
    Pending,
    Failed(String),
}

/// Reading through: pieces come from the cache, or from the store into the cache.
pub struct Tier {
    pub store: Arc<Store>,
    cache: Mutex<Cache>,
    clock: Clock,
    asked: tokio::sync::mpsc::UnboundedSender<Request>,
    waiting: Mutex<HashMap<ChunkKey, Waiting>>,
    stats: Stats,
}

struct Waiting {
    wakes: Vec<Wake>,
    /// Not on its way any more: it could not be had.
    failed: Option<(Instant, String)>,
}

struct Request {
    key: ChunkKey,
    entry: Arc<Entry>,
    folder: String,
}

/// The other end of [`Tier`], for the thread that talks to the store.
pub struct Downloads(tokio::sync::mpsc::UnboundedReceiver<Request>);

impl Tier {
    pub fn new(
        store: Store,
        cache_dir: PathBuf,
        cache_bytes: u64,
        clock: Clock,
    ) -> Result<(Arc<Tier>, Downloads), String> {
        let cache = Cache::new(cache_dir.clone(), cache_bytes).map_err(|e| format!("{}: {e}", cache_dir.display()))?;
        let (asked, requests) = tokio::sync::mpsc::unbounded_channel();
        let tier = Tier {
            store: Arc::new(store),
            cache: Mutex::new(cache),
            clock,
            asked,
            waiting: Mutex::default(),
            stats: Stats::default(),
        };
        Ok((Arc::new(tier), Downloads(requests)))
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Bytes of pieces on the disk.
    pub fn cached_bytes(&self) -> u64 {
        lock(&self.cache).bytes()
    }

    /// A piece of a segment, if it is here; else it is sent for, and `wake` called when it has come or failed.
    pub fn read(&self, folder: &str, entry: &Arc<Entry>, chunk: usize, wake: &Wake) -> Read {
        let key = ChunkKey { segment: entry.id, chunk };
        if let Some(chunk) = lock(&self.cache).get(&key) {
            return Read::Ready(chunk);
        }
        let mut waiting = lock(&self.waiting);
        match waiting.get_mut(&key) {
            Some(Waiting { failed: Some((when, why)), .. })
                if self.clock.instant().duration_since(*when) < FAILED_FOR =>
            {
                return Read::Failed(why.clone());
            }
            Some(Waiting { failed: None, wakes }) => {
                // A reader asks again whenever it is woken: its bell is there once.
                if !wakes.iter().any(|known| Arc::ptr_eq(known, wake)) {
                    wakes.push(wake.clone());
                }
                return Read::Pending;
            }
            _ => {}
        }
        // It may have come since the cache was asked.
        if let Some(chunk) = lock(&self.cache).get(&key) {
            return Read::Ready(chunk);
        }
        waiting.insert(key, Waiting { wakes: vec![wake.clone()], failed: None });
        self.send_for(key, entry, folder);
        Read::Pending
    }

    /// Sends for a piece that is going to be read soon.
    pub fn read_ahead(&self, folder: &str, entry: &Arc<Entry>, chunk: usize) {
        let key = ChunkKey { segment: entry.id, chunk };
        let mut waiting = lock(&self.waiting);
        if waiting.contains_key(&key) || lock(&self.cache).has(&key) {
            return;
        }
        waiting.insert(key, Waiting { wakes: Vec::new(), failed: None });
        self.send_for(key, entry, folder);
    }

    /// Segments that are gone: their pieces make room.
    pub fn forget(&self, segments: &[uuid::Uuid]) {
        lock(&self.cache).forget(segments);
    }

    fn send_for(&self, key: ChunkKey, entry: &Arc<Entry>, folder: &str) {
        let request = Request { key, entry: entry.clone(), folder: folder.to_owned() };
        if self.asked.send(request).is_err() {
            // The thread is gone with the broker.
            self.arrived(key, Err("the broker is stopping".into()));
        }
    }

    fn arrived(&self, key: ChunkKey, result: Result<(), String>) {
        let wakes = {
            let mut waiting = lock(&self.waiting);
            // Old failures are nobody's concern any more.
            let now = self.clock.instant();
            waiting.retain(|_, w| w.failed.as_ref().is_none_or(|(when, _)| now.duration_since(*when) < FAILED_FOR));
            let wakes = waiting.remove(&key).map(|w| w.wakes).unwrap_or_default();
            if let Err(why) = result {
                waiting.insert(key, Waiting { wakes: Vec::new(), failed: Some((now, why)) });
            }
            wakes
        };
        for wake in wakes {
            wake();
        }
    }

    /// Answers how many bytes have come.
    async fn download(&self, request: &Request) -> Result<u64, String> {
        let Request { key, entry, folder } = request;
        let row = entry.chunks.get(key.chunk).ok_or("a piece that is not there")?;
        let name = format!("{folder}/{}", entry.object("log"));
        let range = row.position..row.position + u64::from(row.bytes);
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(RETRY_AFTER * attempt).await;
            }
            match self.store.get(&name, range.clone()).await {
                Ok(bytes) if bytes.len() == row.bytes as usize && crc32c::crc32c(&bytes) == row.crc32c => {
                    lock(&self.cache).insert(*key, row, &bytes).map_err(|e| e.to_string())?;
                    return Ok(bytes.len() as u64);
                }
                Ok(_) => why = format!("{name}: the store has answered other bytes than were put there"),
                Err(error) => why = format!("{name}: {error}"),
            }
        }
        tracing::warn!(why, "a tiered segment cannot be read");
        Err(why)
    }
}

impl Downloads {
    /// Serves reads until the tier is dropped. Runs on the thread that talks to the store.
    pub async fn serve(mut self, tier: std::sync::Weak<Tier>) {
        let room = Arc::new(tokio::sync::Semaphore::new(DOWNLOADS_MAX));
        while let Some(request) = self.0.recv().await {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let Some(tier) = tier.upgrade() else { return };
            tokio::spawn(async move {
                let result = tier.download(&request).await;
                tier.stats.fetches.add(1);
                match &result {
                    Ok(bytes) => tier.stats.fetched_bytes.add(*bytes),
                    Err(_) => tier.stats.fetch_errors.add(1),
                }
                let result = result.map(drop);
                tier.arrived(request.key, result);
                drop(permit);
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
