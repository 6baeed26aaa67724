//! Taking over what Kafka's own metadata says, at the start: all of it the first time, and later what Kafka has changed
//! since. Three sides are compared: what Kafka said when we looked last, what it says now, and what we say.
//!
//! Where Kafka has changed nothing, ours stands; so topics that only we know stay, and those that we have deleted are gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::kraft::{KraftImage, KraftTopic};
use super::manager::{ConfigMap, TopicManager, lock};
use super::metadata::TopicRow;
use super::{Topic, checkpoint};
use crate::base::TopicId;
use crate::log;

/// Where our producer ids begin beside a Kafka, which goes on giving out its own from where it stopped: one id given twice
/// would let a new producer's batches pass for retries of another's.
const FIRST_PRODUCER_ID: i64 = 1 << 48;
/// Ids of directories below it name none (Kafka's `DirectoryId.reserved`).
const RESERVED_DIRECTORIES: u128 = 100;

/// Takes `theirs` over, of which `base` was known already. Answers whether anything is new.
pub fn take_over(
    manager: &TopicManager,
    base: &KraftImage,
    theirs: &KraftImage,
    recovery_points: &HashMap<(String, i32), i64>,
) -> Result<bool, String> {
    let node_id = manager.config().fixed().node_id();
    check_replicas(theirs, node_id)?;
    let ground = Ground::look(manager, base, theirs, recovery_points);
    let mut changed = false;
    for (id, topic) in &base.topics {
        if !theirs.topics.contains_key(id) && manager.topic_by_id(*id).is_some() {
            tracing::info!(topic = topic.name, topic_id = %id, "Kafka has deleted the topic");
            manager.remove_topic(*id);
            changed = true;
        }
    }
    for (id, topic) in &theirs.topics {
        changed |= match manager.topic_by_id(*id) {
            Some(ours) => ground.update(&ours, topic),
            None => ground.add(*id, topic),
        };
    }
    for name in [String::new(), node_id.to_string()] {
        let config = manager.config();
        let ours = if name.is_empty() { config.cluster_default() } else { config.broker() };
        let merged = merge(base.broker_configs.get(&name), theirs.broker_configs.get(&name), ours);
        if merged != *ours {
            manager.configure_broker(&name, merged);
            changed = true;
        }
    }
    let mut others = lock(&manager.others);
    changed |= merge_all(&base.group_configs, &theirs.group_configs, &mut others.groups);
    changed |= merge_all(&base.client_metrics_configs, &theirs.client_metrics_configs, &mut others.client_metrics);
    drop(others);
    let ids_from = theirs.next_producer_id.max(FIRST_PRODUCER_ID);
    if manager.producer_ids_end() < ids_from {
        manager.set_producer_ids_end(ids_from);
        changed = true;
    }
    Ok(changed)
}

/// Of a cluster of several nodes one directory has only a part, and what is missing in it is no damage.
fn check_replicas(theirs: &KraftImage, node_id: i32) -> Result<(), String> {
    for topic in theirs.topics.values() {
        for (index, partition) in &topic.partitions {
            if !partition.replicas.contains(&node_id) {
                return Err(format!(
                    "Kafka's metadata gives {}-{index} to the nodes {:?}, not to node.id {node_id}: only the directory of a \
                     node that has a replica of every partition can be taken over",
                    topic.name, partition.replicas
                ));
            }
        }
    }
    Ok(())
}

/// What the directory says beside the metadata.
struct Ground<'a> {
    manager: &'a TopicManager,
    base: &'a KraftImage,
    theirs: &'a KraftImage,
    recovery_points: &'a HashMap<(String, i32), i64>,
    log_starts: HashMap<(String, i32), i64>,
    high_watermarks: HashMap<(String, i32), i64>,
    /// Of this data directory.
    directory_id: Option<TopicId>,
}

impl<'a> Ground<'a> {
    fn look(
        manager: &'a TopicManager,
        base: &'a KraftImage,
        theirs: &'a KraftImage,
        recovery_points: &'a HashMap<(String, i32), i64>,
    ) -> Ground<'a> {
        let dir = &manager.env.data_dir;
        Ground {
            manager,
            base,
            theirs,
            recovery_points,
            log_starts: checkpoint::read_log_starts(dir),
            high_watermarks: checkpoint::read_high_watermarks(dir),
            directory_id: directory_id(dir),
        }
    }

    fn add(&self, id: TopicId, topic: &KraftTopic) -> bool {
        let name = topic.name.as_str();
        let belongs_to = |owner: TopicId, partitions: u32| {
            (0..partitions).any(|index| log::read_topic_id(&self.dir(name, index)) == Some(owner))
        };
        // What we deleted has no directory, unless Kafka has run since and made it anew.
        if self.base.topics.contains_key(&id) && !belongs_to(id, topic.partition_count()) {
            return false;
        }
        if let Some(ours) = self.manager.topic(name) {
            let (known, kafkas) = (ours.id, id);
            if belongs_to(known, ours.partitions().len() as u32) {
                tracing::error!(topic = name, %known, %kafkas, "Kafka has another topic of this name: the directories are ours");
                return false;
            }
            tracing::error!(
                topic = name, %known, %kafkas,
                "Kafka has another topic of this name: ours gives way, what Kafka set aside of it ({name}-<partition>.<id>-stray) is kept"
            );
            self.manager.remove_topic(known);
        }
        let partitions = topic.partition_count();
        let indexes = || 0..partitions;
        let row = TopicRow {
            name: name.to_owned(),
            topic_id: id,
            partitions,
            created_at_ms: 0,
            configs: self.theirs.topic_configs.get(name).cloned().unwrap_or_default(),
            configs_known: true,
            directories_made: self.missing_ones_are_damage(topic),
            log_starts: indexes().filter_map(|p| Some((p, *self.log_starts.get(&key(name, p))?))).collect(),
            leader_epochs: topic.partitions.iter().map(|(index, p)| (*index, p.leader_epoch)).collect(),
        };
        self.manager.add_topic(&row, self.recovery_points);
        true
    }

    fn update(&self, ours: &Arc<Topic>, topic: &KraftTopic) -> bool {
        let mut changed = false;
        if topic.partition_count() as usize > ours.partitions().len() {
            self.manager.grow(ours, topic.partition_count());
            ours.directories_made.store(self.missing_ones_are_damage(topic), Ordering::Relaxed);
            changed = true;
        }
        for (index, partition) in &topic.partitions {
            let Some(here) = ours.partition(*index as i32) else { continue };
            if let Some(start) = self.log_starts.get(&key(&topic.name, *index))
                && *start > here.log_start_on_record()
            {
                here.advance_log_start(*start);
                changed = true;
            }
            here.raise_leader_epoch(partition.leader_epoch);
        }
        let settings = ours.settings();
        let configs = merge(
            self.base.topic_configs.get(&topic.name).filter(|_| self.base.topics.contains_key(&ours.id)),
            self.theirs.topic_configs.get(&topic.name),
            &settings.overrides,
        );
        if configs != settings.overrides || !settings.known {
            self.manager.configure_topic(ours, configs, true);
            changed = true;
        }
        changed
    }

    /// Kafka makes a directory at first use, so that a missing one may never have been made. It was, where an offset of it
    /// is on record; and one in another of Kafka's `log.dirs` is not ours to make.
    fn missing_ones_are_damage(&self, topic: &KraftTopic) -> bool {
        let mut missing =
            topic.partitions.iter().filter(|(index, _)| !self.dir(&topic.name, **index).is_dir()).peekable();
        if missing.peek().is_none() {
            return true;
        }
        missing.any(|(index, partition)| {
            let key = key(&topic.name, *index);
            let on_record = [&self.high_watermarks, self.recovery_points, &self.log_starts];
            let elsewhere = |id: &TopicId| id.0.as_u128() >= RESERVED_DIRECTORIES && Some(*id) != self.directory_id;
            on_record.iter().any(|offsets| offsets.get(&key).is_some_and(|offset| *offset > 0))
                || partition.directories.iter().all(elsewhere) && !partition.directories.is_empty()
        })
    }

    fn dir(&self, topic: &str, partition: u32) -> PathBuf {
        self.manager.env.data_dir.join(format!("{topic}-{partition}"))
    }
}

fn key(topic: &str, partition: u32) -> (String, i32) {
    (topic.to_owned(), partition as i32)
}

/// `directory.id` of `meta.properties` (KIP-858).
fn directory_id(data_dir: &Path) -> Option<TopicId> {
    let text = std::fs::read_to_string(data_dir.join("meta.properties")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("directory.id="))?.trim().parse().ok()
}

/// Ours, but for the keys that Kafka has set or removed since.
fn merge(base: Option<&ConfigMap>, theirs: Option<&ConfigMap>, ours: &ConfigMap) -> ConfigMap {
    let nothing = ConfigMap::new();
    let (base, theirs) = (base.unwrap_or(&nothing), theirs.unwrap_or(&nothing));
    let mut merged = ours.clone();
    for key in base.keys().chain(theirs.keys()) {
        match (base.get(key), theirs.get(key)) {
            (before, now) if before == now => {}
            (_, Some(value)) => {
                merged.insert(key.clone(), value.clone());
            }
            (_, None) => {
                merged.remove(key);
            }
        }
    }
    merged
}

fn merge_all(
    base: &BTreeMap<String, ConfigMap>,
    theirs: &BTreeMap<String, ConfigMap>,
    ours: &mut BTreeMap<String, ConfigMap>,
) -> bool {
    let before = ours.clone();
    for name in base.keys().chain(theirs.keys()) {
        let merged = merge(base.get(name), theirs.get(name), ours.get(name).unwrap_or(&ConfigMap::new()));
        if merged.is_empty() {
            ours.remove(name);
        } else {
            ours.insert(name.clone(), merged);
        }
    }
    *ours != before
}

/// Partition directories that Kafka has set aside at its start, for it knows nothing of their topics:
/// `<topic>-<partition>.<id>-stray`.
#[derive(Default)]
pub struct Strays(HashMap<TopicId, Vec<(i32, String)>>);

impl Strays {
    pub fn find(data_dir: &Path, names: &HashSet<String>) -> Strays {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for name in names {
            // The name of the topic may be cut short in it: the id in the directory says whose it is.
            if let Some((partition_dir, _)) = name.strip_suffix("-stray").and_then(|rest| rest.rsplit_once('.'))
                && let Some((_, partition)) = partition_dir.rsplit_once('-')
                && let Ok(partition) = partition.parse()
                && let Some(id) = log::read_topic_id(&data_dir.join(name))
            {
                found.entry(id).or_default().push((partition, name.clone()));
            }
        }
        Strays(found)
    }

    /// Gives the directories of one of our topics their names back.
    pub fn take_back(&self, data_dir: &Path, topic: &Topic) {
        for (partition, name) in self.0.get(&topic.id).into_iter().flatten() {
            let home = data_dir.join(format!("{}-{partition}", topic.name));
            if home.exists() {
                tracing::warn!(directory = name, topic = %topic.name, "a directory that Kafka set aside is left alone: another has its place");
                continue;
            }
            match std::fs::rename(data_dir.join(name), &home) {
                Ok(()) => tracing::info!(directory = name, topic = %topic.name, "taken back what Kafka had set aside"),
                Err(error) => tracing::error!(directory = name, %error, "could not take back what Kafka had set aside"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
