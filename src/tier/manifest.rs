//! Which segments of a partition are in the store: a file in its directory. What it names is there, whole and verified;
//! what it does not name counts for nothing.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::TopicId;
use crate::log::chunk::ChunkRow;
use crate::log::{LogError, files};

pub const MANIFEST: &str = "remote-segments.json";
const VERSION: u32 = 1;

/// One segment in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Makes the names of its objects unlike those of any other attempt.
    pub id: Uuid,
    pub base_offset: i64,
    /// The offset behind it.
    pub end: i64,
    pub bytes: u64,
    pub newest_ms: i64,
    /// The leader epoch in force at its end.
    pub leader_epoch: i32,
    pub has_aborted: bool,
    /// Suffixes of its objects: Kafka's.
    pub objects: Vec<String>,
    pub chunks: Vec<ChunkRow>,
}

impl Entry {
    /// The name of one of its objects, in its partition's folder.
    pub fn object(&self, suffix: &str) -> String {
        format!("{:020}-{}.{suffix}", self.base_offset, self.id.simple())
    }

    /// The piece in which `offset` is to be looked for.
    pub fn chunk_of(&self, offset: i64) -> usize {
        self.chunks.partition_point(|chunk| chunk.first_offset <= offset).saturating_sub(1)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// By offset, without gaps.
    pub entries: Vec<Arc<Entry>>,
    /// Objects that are to be deleted yet, in the partition's folder.
    pub garbage: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct ManifestFile {
    version: u32,
    topic_id: TopicId,
    crc32c: u32,
    body: Body,
}

#[derive(Serialize, Deserialize)]
struct Body {
    entries: Vec<Arc<Entry>>,
    garbage: Vec<String>,
}

impl Manifest {
    /// The first offset in the store.
    pub fn start(&self) -> Option<i64> {
        self.entries.first().map(|entry| entry.base_offset)
    }

    /// The offset behind the last one in the store.
    pub fn end(&self) -> Option<i64> {
        self.entries.last().map(|entry| entry.end)
    }

    /// From the first offset in the store to behind the last one; all between is there.
    pub fn range(&self) -> Option<Range<i64>> {
        Some(self.start()?..self.end()?)
    }

    /// The entry in which `offset` is, with its number.
    pub fn find(&self, offset: i64) -> Option<(usize, &Arc<Entry>)> {
        let at = self.entries.partition_point(|entry| entry.end <= offset);
        self.entries.get(at).filter(|entry| entry.base_offset <= offset).map(|entry| (at, entry))
    }

    /// Takes the entries that end at or below `start` out; their objects are to be deleted.
    pub fn drop_below(&mut self, start: i64) -> Vec<Arc<Entry>> {
        let dead = self.entries.partition_point(|entry| entry.end <= start);
        let dead: Vec<_> = self.entries.drain(..dead).collect();
        for entry in &dead {
            self.garbage.extend(entry.objects.iter().map(|suffix| entry.object(suffix)));
        }
        dead
    }

    /// What is on record; nothing if there is no record, or it is another topic's.
    pub fn read(dir: &Path, topic_id: TopicId) -> Result<Manifest, LogError> {
        let path = dir.join(MANIFEST);
        let Some(bytes) = files::read_optional(&path)? else { return Ok(Manifest::default()) };
        let damaged = |why: String| LogError::Corrupt(format!("{}: {why}", path.display()));
        let file: ManifestFile = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if file.version != VERSION {
            return Err(damaged(format!("version {} is unknown", file.version)));
        }
        if checksum(&file.body) != file.crc32c {
            return Err(damaged("its checksum does not fit".into()));
        }
        if file.topic_id != topic_id {
            return Ok(Manifest::default());
        }
        Ok(Manifest { entries: file.body.entries, garbage: file.body.garbage })
    }

    /// Puts this on record. What it names counts from then on.
    pub fn write(&self, dir: &Path, topic_id: TopicId, sync: bool) -> Result<(), LogError> {
        let body = Body { entries: self.entries.clone(), garbage: self.garbage.clone() };
        let file = ManifestFile { version: VERSION, topic_id, crc32c: checksum(&body), body };
        let text = serde_json::to_vec(&file).expect("a manifest has no unserialisable parts");
        let path = dir.join(MANIFEST);
        files::replace(&path, &text, sync).map_err(LogError::io(format_args!("writing {}", path.display())))
    }
}

fn checksum(body: &Body) -> u32 {
    crc32c::crc32c(&serde_json::to_vec(body).expect("a manifest has no unserialisable parts"))
}
