//! What is durable about the cluster: records of changes for the WAL, and the snapshot they add up to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kraft::KraftImage;
use crate::base::TopicId;
use crate::log::LogError;
use crate::log::files;

/// Kinds of WAL records.
pub const KIND_METADATA: u8 = 1;
pub const KIND_BATCH: u8 = 2;
/// No content: whoever waits for it waits for everything before it.
pub const KIND_BARRIER: u8 = 3;

/// One change, as it stands in the WAL. Variants are only ever added: their order is the format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MetadataRecord {
    TopicCreated {
        name: String,
        id: u128,
        partitions: u32,
        created_at_ms: i64,
        configs: BTreeMap<String, String>,
    },
    TopicDeleted {
        name: String,
        id: u128,
    },
    PartitionsAdded {
        id: u128,
        total: u32,
    },
    TopicConfig {
        id: u128,
        configs: BTreeMap<String, String>,
    },
    /// `broker` is "" for the cluster-wide default.
    BrokerConfig {
        broker: String,
        configs: BTreeMap<String, String>,
    },
    GroupConfig {
        group: String,
        configs: BTreeMap<String, String>,
    },
    ClientMetricsConfig {
        name: String,
        configs: BTreeMap<String, String>,
    },
    LogStart {
        id: u128,
        partition: u32,
        offset: i64,
    },
    /// Producer ids below `next` may have been handed out.
    ProducerIds {
        next: i64,
    },
    /// All directories of the topic were made: from now on a missing one is damage.
    DirectoriesMade {
        id: u128,
    },
}

/// Envelope of a record: the version says how to read the rest.
const RECORD_VERSION: u8 = 1;

impl MetadataRecord {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![RECORD_VERSION];
        out.extend(postcard::to_stdvec(self).expect("records have no unserialisable parts"));
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<MetadataRecord, String> {
        match bytes.split_first() {
            Some((&RECORD_VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| format!("a metadata record: {e}")),
            Some((version, _)) => {
                Err(format!("a metadata record of version {version}, which this release cannot read"))
            }
            None => Err("an empty metadata record".into()),
        }
    }
}

/// One topic in the snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicRow {
    pub name: String,
    pub topic_id: TopicId,
    pub partitions: u32,
    pub created_at_ms: i64,
    pub configs: BTreeMap<String, String>,
    #[serde(default = "yes")]
    pub configs_known: bool,
    #[serde(default)]
    pub directories_made: bool,
    /// Log starts above 0, by partition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_starts: BTreeMap<u32, i64>,
    /// Leader epochs above 0, by partition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leader_epochs: BTreeMap<u32, i32>,
}

fn yes() -> bool {
    true
}

/// The whole state at one moment: what `topic_metadata.json` holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetadataSnapshot {
    /// Metadata records up to this LSN are in here.
    pub metadata_lsn: u64,
    /// Batches up to this LSN are synced in their segments.
    pub data_lsn: u64,
    pub next_producer_id: i64,
    pub topics: Vec<TopicRow>,
    pub broker_configs: BTreeMap<String, BTreeMap<String, String>>,
    pub group_configs: BTreeMap<String, BTreeMap<String, String>>,
    pub client_metrics_configs: BTreeMap<String, BTreeMap<String, String>>,
    /// What `__cluster_metadata-0` said when it was read last: what differs from it later, Kafka has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KraftImage>,
}

#[derive(Serialize, Deserialize)]
struct SnapshotFile {
    format: String,
    version: u32,
    crc32c: u32,
    snapshot: MetadataSnapshot,
}

const FORMAT: &str = "ottla topic metadata";
const VERSION: u32 = 1;

pub fn snapshot_path(data_dir: &Path) -> PathBuf {
    data_dir.join("topic_metadata.json")
}

pub fn previous_path(data_dir: &Path) -> PathBuf {
    data_dir.join("topic_metadata.previous.json")
}

impl MetadataSnapshot {
    /// Reads one generation: `Ok(None)` if there is no file, `Err` if it cannot be what was written.
    pub fn read(path: &Path) -> Result<Option<MetadataSnapshot>, String> {
        let Some(bytes) = files::read_optional(path).map_err(|e| e.to_string())? else { return Ok(None) };
        let file: SnapshotFile = serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        if file.format != FORMAT || file.version != VERSION {
            return Err(format!("{}: version {} of {:?} is unknown", path.display(), file.version, file.format));
        }
        if checksum(&file.snapshot) != file.crc32c {
            return Err(format!("{}: its checksum does not fit", path.display()));
        }
        Ok(Some(file.snapshot))
    }

    /// Replaces the current generation and keeps the one before it.
    pub fn write(&self, data_dir: &Path, sync: bool) -> Result<(), LogError> {
        let path = snapshot_path(data_dir);
        let file =
            SnapshotFile { format: FORMAT.into(), version: VERSION, crc32c: checksum(self), snapshot: self.clone() };
        let text = serde_json::to_string_pretty(&file).expect("a snapshot has no unserialisable parts");
        let what = || format!("writing {}", path.display());
        // Only a readable generation is worth keeping as the previous one.
        if let Ok(Some(_)) = MetadataSnapshot::read(&path) {
            let previous = previous_path(data_dir);
            let _ = std::fs::remove_file(&previous);
            if let Err(source) = std::fs::hard_link(&path, &previous) {
                return Err(LogError::Io { what: what(), source });
            }
        }
        files::replace(&path, text.as_bytes(), sync).map_err(LogError::io(what()))
    }
}

fn checksum(snapshot: &MetadataSnapshot) -> u32 {
    crc32c::crc32c(&serde_json::to_vec(snapshot).expect("a snapshot has no unserialisable parts"))
}
