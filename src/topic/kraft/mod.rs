//! Reading the metadata that a Kafka in KRaft mode keeps in `__cluster_metadata-0`: a snapshot, and the log behind it.
//!
//! Owns what those records say, as an image of topics, configurations and producer ids. Never writes there: Kafka starts
//! on the directory again. What does not fit is an error, for a guess could delete data. Called by `startup`.

mod files;
mod records;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::manager::ConfigMap;
use crate::base::TopicId;
use crate::log::LogError;
use records::Change;

/// The directory, beside those of the partitions.
pub const METADATA_DIR: &str = "__cluster_metadata-0";

/// Resource types of a ConfigRecord (Kafka's `ConfigResource.Type`).
const RESOURCE_TOPIC: i8 = 2;
const RESOURCE_BROKER: i8 = 4;
const RESOURCE_CLIENT_METRICS: i8 = 16;
const RESOURCE_GROUP: i8 = 32;

/// A change of a partition that leaves its leader names this one (Kafka's `NO_LEADER_CHANGE`).
const LEADER_UNCHANGED: i32 = -2;
/// Records of one transaction that are kept until its end (Kafka's controller makes at most 10,000 at once).
const TRANSACTION_RECORDS_MAX: usize = 1_000_000;

/// What the metadata says, as of its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KraftImage {
    pub topics: BTreeMap<TopicId, KraftTopic>,
    /// By name of the topic; also of such as are being created.
    pub topic_configs: BTreeMap<String, ConfigMap>,
    /// By node id in decimals; "" is the cluster-wide default.
    pub broker_configs: BTreeMap<String, ConfigMap>,
    pub group_configs: BTreeMap<String, ConfigMap>,
    pub client_metrics_configs: BTreeMap<String, ConfigMap>,
    /// Kafka may have handed out every producer id below.
    pub next_producer_id: i64,
    /// By node id; what Kafka expects to find again in its mark of a clean stop.
    pub broker_epochs: BTreeMap<i32, i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KraftTopic {
    pub name: String,
    pub partitions: BTreeMap<u32, KraftPartition>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KraftPartition {
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    /// Where each replica lies; empty before KIP-858.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<TopicId>,
}

impl KraftTopic {
    /// Partitions are numbered from 0 without a gap.
    pub fn partition_count(&self) -> u32 {
        self.partitions.last_key_value().map_or(0, |(index, _)| index + 1)
    }
}

/// Reads `__cluster_metadata-0`; `Ok(None)` where there is none. An error names the file and what is wrong with it.
pub fn read(data_dir: &Path) -> Result<Option<KraftImage>, LogError> {
    let dir = data_dir.join(METADATA_DIR);
    if !dir.is_dir() {
        return Ok(None);
    }
    let (mut image, end) = match files::newest_snapshot(&dir)? {
        Some(snapshot) => (replay_snapshot(&snapshot)?, snapshot.end_offset),
        None => (KraftImage::default(), 0),
    };
    let mut open: Option<Vec<Change>> = None;
    files::walk_log(&dir, end, |value| step(&mut image, &mut open, value))?;
    // A transaction without its end never was: Kafka's next controller aborts it.
    Ok(Some(image))
}

fn replay_snapshot(snapshot: &files::Snapshot) -> Result<KraftImage, LogError> {
    let mut image = KraftImage::default();
    let mut open = None;
    snapshot.walk(|value| step(&mut image, &mut open, value))?;
    Ok(image)
}

/// Takes one record. `open` holds the changes of the transaction that has begun and not ended (KIP-868).
fn step(image: &mut KraftImage, open: &mut Option<Vec<Change>>, value: &[u8]) -> Result<(), String> {
    let Some(change) = records::decode(value)? else { return Ok(()) };
    match (change, &mut *open) {
        (Change::Begin, None) => *open = Some(Vec::new()),
        (Change::Begin, Some(_)) => return Err("a transaction begins within another".into()),
        (Change::End, Some(_)) => {
            for change in open.take().unwrap_or_default() {
                apply(image, change)?;
            }
        }
        (Change::Abort, Some(_)) => *open = None,
        (Change::End | Change::Abort, None) => return Err("a transaction ends that has not begun".into()),
        (change, Some(changes)) => {
            if changes.len() >= TRANSACTION_RECORDS_MAX {
                return Err(format!("a transaction of more than {TRANSACTION_RECORDS_MAX} records"));
            }
            changes.push(change);
        }
        (change, None) => apply(image, change)?,
    }
    Ok(())
}

fn apply(image: &mut KraftImage, change: Change) -> Result<(), String> {
    match change {
        Change::Topic { name, id } => {
            super::validate_name(&name).map_err(|e| e.0)?;
            image.topics.insert(id, KraftTopic { name, partitions: BTreeMap::new() });
        }
        Change::Partition { topic, index, partition } => {
            let found = image.topics.get_mut(&topic).ok_or_else(|| unknown(topic))?;
            // Also a bound on what a damaged number could have us reserve.
            if index != found.partition_count() && !found.partitions.contains_key(&index) {
                return Err(format!("partition {index} of {} follows {}", found.name, found.partition_count()));
            }
            found.partitions.insert(index, partition);
        }
        Change::PartitionChanged { topic, index, leader, replicas, directories } => {
            let found = image.topics.get_mut(&topic).ok_or_else(|| unknown(topic))?;
            let partition = found
                .partitions
                .get_mut(&index)
                .ok_or_else(|| format!("a change of partition {index} of {}, which has fewer", found.name))?;
            if leader != LEADER_UNCHANGED {
                partition.leader_epoch += 1;
            }
            if let Some(replicas) = replicas {
                partition.replicas = replicas;
            }
            if let Some(directories) = directories {
                partition.directories = directories;
            }
        }
        Change::RemoveTopic { id } => {
            let removed = image.topics.remove(&id).ok_or_else(|| unknown(id))?;
            image.topic_configs.remove(&removed.name);
        }
        Change::Config { resource_type, resource, key, value } => {
            let of_type = match resource_type {
                RESOURCE_TOPIC => &mut image.topic_configs,
                RESOURCE_BROKER => &mut image.broker_configs,
                RESOURCE_CLIENT_METRICS => &mut image.client_metrics_configs,
                RESOURCE_GROUP => &mut image.group_configs,
                _ => return Ok(()),
            };
            set(of_type, resource, key, value);
        }
        Change::ProducerIds { next } => image.next_producer_id = image.next_producer_id.max(next),
        Change::BrokerRegistered { node, epoch } => {
            image.broker_epochs.insert(node, epoch);
        }
        Change::Begin | Change::End | Change::Abort => {}
    }
    Ok(())
}

fn set(of_type: &mut BTreeMap<String, ConfigMap>, resource: String, key: String, value: Option<String>) {
    match value {
        Some(value) => {
            of_type.entry(resource).or_default().insert(key, value);
        }
        None => {
            if let Some(configs) = of_type.get_mut(&resource) {
                configs.remove(&key);
                if configs.is_empty() {
                    of_type.remove(&resource);
                }
            }
        }
    }
}

fn unknown(topic: TopicId) -> String {
    format!("a record of topic id {topic}, which no record before it has created")
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
