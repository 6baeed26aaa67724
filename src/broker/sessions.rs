//! Incremental fetch sessions (KIP-227): what a consumer asked for last time, so that it need not say it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;

use crate::base::TopicId;

/// A session idle for this long gives its slot to a new one (`FetchSession.scala`, 2 minutes).
const EVICT_IDLE_AFTER: Duration = Duration::from_secs(120);

/// `FetchSessionCache` has that many shards.
const CACHE_PARTS: usize = 8;

/// A partition as requests name it: by topic name up to Fetch v12, by id from v13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionKey {
    pub topic: StrBytes,
    pub topic_id: TopicId,
    pub partition: i32,
}

/// What a consumer wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub fetch_offset: i64,
    pub bytes_max: i32,
    pub current_leader_epoch: i32,
    pub last_fetched_epoch: i32,
}

/// What it was told last: an incremental answer leaves out what has not changed.
#[derive(Clone, Copy, Debug)]
struct Told {
    high_watermark: i64,
    log_start: i64,
}

#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    told: Told,
    /// The name under which the topic of an id was found once.
    name: Option<Arc<str>>,
}

impl Entry {
    fn new(wanted: Wanted) -> Entry {
        Entry { wanted, told: Told { high_watermark: -1, log_start: -1 }, name: None }
    }
}

/// A partition that a session wants.
#[derive(Clone, Debug)]
pub struct Target {
    pub key: PartitionKey,
    pub wanted: Wanted,
    /// The name under which the topic of an id was found once.
    pub name: Option<Arc<str>>,
}

/// What an answer says of a partition.
pub struct Answered<'a> {
    pub key: &'a PartitionKey,
    pub name: Option<&'a Arc<str>>,
    pub high_watermark: i64,
    pub log_start: i64,
    pub has_data: bool,
    pub error: bool,
}

#[derive(Debug)]
pub struct FetchSession {
    pub id: i32,
    pub uses_topic_ids: bool,
    /// The epoch the next request must carry.
    epoch: i32,
    partitions: IndexMap<PartitionKey, Entry>,
    last_used: Instant,
}

pub struct FetchSessions {
    slots: usize,
    map: Mutex<HashMap<i32, Arc<Mutex<FetchSession>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// FETCH_SESSION_ID_NOT_FOUND
    NotFound,
    /// INVALID_FETCH_SESSION_EPOCH
    InvalidEpoch,
    /// FETCH_SESSION_TOPIC_ID_ERROR
    TopicId,
}

/// The next epoch: positive, wrapping to 1.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

impl FetchSessions {
    /// Kafka divides the slots among eight parts and leaves out what remains.
    pub fn new(slots: usize) -> FetchSessions {
        FetchSessions { slots: slots / CACHE_PARTS * CACHE_PARTS, map: Mutex::default() }
    }

    /// Opens a session over these partitions; `None` if every slot is in use.
    pub fn open(
        &self,
        partitions: impl Iterator<Item = (PartitionKey, Wanted)>,
        uses_topic_ids: bool,
        now: Instant,
    ) -> Option<Arc<Mutex<FetchSession>>> {
        let mut map = lock(&self.map);
        if map.len() >= self.slots && !evict(&mut map, now) {
            return None;
        }
        let mut id = 0;
        while id == 0 || map.contains_key(&id) {
            id = (uuid::Uuid::new_v4().as_u128() as i32) & i32::MAX;
        }
        let session = Arc::new(Mutex::new(FetchSession {
            id,
            uses_topic_ids,
            epoch: 1,
            partitions: partitions.map(|(key, wanted)| (key, Entry::new(wanted))).collect(),
            last_used: now,
        }));
        map.insert(id, session.clone());
        Some(session)
    }

    pub fn close(&self, id: i32) {
        lock(&self.map).remove(&id);
    }

    /// The session of an incremental request, with its changes entered. `Ok(None)`: nothing was left of it, so it is
    /// closed and the request stands alone.
    pub fn update(
        &self,
        id: i32,
        epoch: i32,
        uses_topic_ids: bool,
        wanted: impl Iterator<Item = (PartitionKey, Wanted)>,
        forgotten: impl Iterator<Item = PartitionKey>,
        now: Instant,
    ) -> Result<Option<Arc<Mutex<FetchSession>>>, SessionError> {
        let found = lock(&self.map).get(&id).cloned().ok_or(SessionError::NotFound)?;
        {
            let mut session = lock(&found);
            if session.epoch != epoch {
                return Err(SessionError::InvalidEpoch);
            }
            if session.uses_topic_ids != uses_topic_ids {
                return Err(SessionError::TopicId);
            }
            for (key, wanted) in wanted {
                match session.partitions.get_mut(&key) {
                    Some(entry) => entry.wanted = wanted,
                    None => {
                        session.partitions.insert(key, Entry::new(wanted));
                    }
                }
            }
            for key in forgotten {
                session.partitions.shift_remove(&key);
            }
            session.last_used = now;
            session.epoch = next_epoch(epoch);
            if session.partitions.is_empty() {
                drop(session);
                self.close(id);
                return Ok(None);
            }
        }
        Ok(Some(found))
    }
}

impl FetchSession {
    /// Everything the session wants, in the order in which it is answered.
    pub fn targets(&self) -> Vec<Target> {
        let target = |(key, entry): (&PartitionKey, &Entry)| Target {
            key: key.clone(),
            wanted: entry.wanted,
            name: entry.name.clone(),
        };
        self.partitions.iter().map(target).collect()
    }

    /// Enters what is about to be told of a partition; answers whether it must be told at all.
    pub fn tell(&mut self, answered: &Answered<'_>) -> bool {
        let Some(entry) = self.partitions.get_mut(answered.key) else { return true };
        let told = &mut entry.told;
        let changed = told.high_watermark != answered.high_watermark || told.log_start != answered.log_start;
        // After an error the partition is told again in any case, once it goes away.
        told.high_watermark = if answered.error { -1 } else { answered.high_watermark };
        told.log_start = answered.log_start;
        if entry.name.is_none() {
            entry.name = answered.name.cloned();
        }
        changed || answered.has_data || answered.error
    }

    /// Moves a partition that was told with data to the end, so that others come first next time.
    pub fn move_last(&mut self, key: &PartitionKey) {
        if let Some(at) = self.partitions.get_index_of(key) {
            self.partitions.move_index(at, self.partitions.len() - 1);
        }
    }
}

fn evict(map: &mut HashMap<i32, Arc<Mutex<FetchSession>>>, now: Instant) -> bool {
    let oldest = map.iter().map(|(id, s)| (lock(s).last_used, *id)).min();
    match oldest {
        Some((last_used, id)) if now.duration_since(last_used) > EVICT_IDLE_AFTER => {
            map.remove(&id);
            true
        }
        _ => false,
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
