//! `TopicManager`: all topics of a broker, by name and by id, and the state that metadata records change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use super::changes::{ChangeError, Changes, Touch};
use super::cleaner::Cleaner;
use super::kraft::KraftImage;
use super::metadata::{MetadataRecord, TopicRow};
use super::partition::{Partition, PartitionEnv};
use super::tiering::Tiering;
use super::upkeep::Task;
use super::{METADATA_TOPIC, Topic, TopicSettings, collision_key};
use crate::base::{Clock, ProducerId, TopicId};
use crate::config::{BrokerConfig, BrokerValues, DynamicBrokerConfig, TopicConfig};
use crate::log;
use crate::tier::{Store, Tier};

/// Directories made before a new topic is acknowledged; those of further partitions follow in the background.
const DIRECTORIES_AT_ONCE: u32 = 16;
/// Producer ids that one durable record lets be handed out (Kafka's `ProducerIdsBlock`).
const PRODUCER_ID_BLOCK: i64 = 1000;

pub type ConfigMap = BTreeMap<String, String>;

type Forget = Box<dyn Fn(&Topic) + Send + Sync>;

/// How a manager is started.
pub struct TopicManagerOptions {
    pub data_dir: PathBuf,
    /// Nothing is synced and nothing journalled: the data does not outlive the process.
    pub ephemeral: bool,
    pub clock: Clock,
    pub config: Arc<BrokerConfig>,
    /// How the directory was left by the last run.
    pub open_mode: log::OpenMode,
    pub cluster_id: String,
    /// Where segments of tiered topics go.
    pub store: Option<Store>,
    /// Called when the WAL has failed: the process must stop.
    pub on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

pub struct TopicManager {
    pub(super) env: Arc<PartitionEnv>,
    pub(super) index: RwLock<Index>,
    config: RwLock<Arc<DynamicBrokerConfig>>,
    pub(super) others: Mutex<OtherConfigs>,
    producer_ids: Mutex<ProducerIds>,
    pub(super) changes: Changes,
    /// Upkeep and cleaner: they end before the logs are closed.
    pub(super) threads_of_logs: Mutex<Vec<JoinHandle<()>>>,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
    /// Batches could not be replayed since their partition is offline: the WAL must keep them.
    pub(super) wal_held: AtomicBool,
    /// Grows with every topic that is created, grown or deleted.
    topics_version: AtomicU64,
    pub(super) last_checkpoint: Mutex<super::checkpoint::LastCheckpoint>,
    on_topic_deleted: OnceLock<Forget>,
    pub(super) cleaner: Cleaner,
    pub(super) tiering: Tiering,
    /// Held while the offset files are written: several threads do.
    pub(super) offset_files: Mutex<()>,
    /// What Kafka's own metadata says, in a data directory that Kafka has used.
    pub(super) kafka: OnceLock<KraftImage>,
}

#[derive(Default)]
pub(super) struct Index {
    pub by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    pub by_id: HashMap<TopicId, Arc<Topic>>,
    /// Names that can collide with others, by their key.
    collisions: HashMap<String, BTreeSet<Arc<str>>>,
}

impl Index {
    fn insert(&mut self, topic: &Arc<Topic>) {
        self.by_name.insert(topic.name.clone(), topic.clone());
        self.by_id.insert(topic.id, topic.clone());
        if can_collide(&topic.name) {
            self.collisions.entry(collision_key(&topic.name)).or_default().insert(topic.name.clone());
        }
    }

    fn remove(&mut self, id: TopicId) -> Option<Arc<Topic>> {
        let topic = self.by_id.remove(&id)?;
        if self.by_name.get(&topic.name).is_some_and(|named| named.id == id) {
            self.by_name.remove(&topic.name);
            let key = collision_key(&topic.name);
            if let Some(names) = self.collisions.get_mut(&key) {
                names.remove(&topic.name);
                if names.is_empty() {
                    self.collisions.remove(&key);
                }
            }
        }
        Some(topic)
    }
}

fn can_collide(name: &str) -> bool {
    name.contains(['.', '_'])
}

/// Dynamic configurations of what is neither a topic nor a broker.
#[derive(Clone, Default)]
pub struct OtherConfigs {
    pub groups: BTreeMap<String, ConfigMap>,
    pub client_metrics: BTreeMap<String, ConfigMap>,
}

/// Ids from `next` to below `end` are covered by a durable record.
#[derive(Clone, Copy, Default)]
struct ProducerIds {
    next: i64,
    end: i64,
}

impl TopicManager {
    pub(super) fn new(env: Arc<PartitionEnv>, config: DynamicBrokerConfig, changes: Changes) -> TopicManager {
        TopicManager {
            env,
            index: RwLock::default(),
            config: RwLock::new(Arc::new(config)),
            others: Mutex::default(),
            producer_ids: Mutex::default(),
            changes,
            threads_of_logs: Mutex::default(),
            threads: Mutex::default(),
            wal_held: AtomicBool::new(false),
            topics_version: AtomicU64::new(0),
            last_checkpoint: Mutex::default(),
            on_topic_deleted: OnceLock::new(),
            cleaner: Cleaner::default(),
            tiering: Tiering::default(),
            offset_files: Mutex::default(),
            kafka: OnceLock::new(),
        }
    }

    pub fn env(&self) -> &PartitionEnv {
        &self.env
    }

    /// Where sealed segments go, if they go anywhere.
    pub fn tier(&self) -> Option<&Arc<Tier>> {
        self.env.remote.get().map(|store| &store.tier)
    }

    /// Bytes of segments in the store.
    pub fn remote_bytes(&self) -> u64 {
        let tiered = self.topics().into_iter().filter(|topic| topic.settings().resolved.remote_storage_enable);
        let partitions = tiered.flat_map(|topic| topic.partitions().to_vec());
        let bytes = partitions.filter_map(|partition| partition.manifest(&self.env).ok());
        bytes.map(|manifest| manifest.entries.iter().map(|entry| entry.bytes).sum::<u64>()).sum()
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.read_index().by_name.get(name).cloned()
    }

    /// Grows with every topic that is created, grown or deleted.
    pub fn topics_version(&self) -> u64 {
        self.topics_version.load(Ordering::Acquire)
    }

    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.read_index().by_id.get(&id).cloned()
    }

    /// All topics by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.read_index().by_name.values().cloned().collect()
    }

    /// An existing topic whose name collides with `name` without being equal to it or one of `ignored`.
    pub fn colliding(&self, name: &str, ignored: &HashSet<String>) -> Option<Arc<str>> {
        if !can_collide(name) {
            return None;
        }
        let index = self.read_index();
        let mut names = index.collisions.get(&collision_key(name))?.iter();
        names.find(|n| &***n != name && !ignored.contains(&***n)).cloned()
    }

    /// Has `forget` called for every topic that is deleted from now on, before the next change. Can be set once.
    pub fn on_topic_deleted(&self, forget: impl Fn(&Topic) + Send + Sync + 'static) {
        let _ = self.on_topic_deleted.set(Box::new(forget));
    }

    pub fn config(&self) -> Arc<DynamicBrokerConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The epoch under which Kafka knows this broker, in a data directory that Kafka has used.
    pub fn kafka_broker_epoch(&self) -> Option<i64> {
        self.kafka.get()?.broker_epochs.get(&self.config().fixed().node_id()).copied()
    }

    pub fn other_configs(&self) -> OtherConfigs {
        lock(&self.others).clone()
    }

    pub fn group_config(&self, group: &str) -> Option<ConfigMap> {
        lock(&self.others).groups.get(group).cloned()
    }

    pub fn client_metrics_config(&self, subscription: &str) -> Option<ConfigMap> {
        lock(&self.others).client_metrics.get(subscription).cloned()
    }

    /// Plans a change against the committed state, makes its records durable, applies them; then `T` is the answer.
    pub async fn change<T: Send + 'static>(
        &self,
        touches: Vec<Touch>,
        plan: impl FnOnce(&TopicManager) -> (Vec<MetadataRecord>, T) + Send + 'static,
    ) -> Result<T, ChangeError> {
        self.changes.submit(touches, plan).await
    }

    /// A producer id that was never handed out before, also not before a crash.
    pub async fn next_producer_id(&self) -> Result<ProducerId, ChangeError> {
        loop {
            if let Some(id) = self.take_producer_id() {
                return Ok(id);
            }
            let plan = |manager: &TopicManager| {
                let ids = *lock(&manager.producer_ids);
                // Another request may have brought a block meanwhile.
                let records = if ids.next < ids.end {
                    Vec::new()
                } else {
                    vec![MetadataRecord::ProducerIds { next: ids.end + PRODUCER_ID_BLOCK }]
                };
                (records, ())
            };
            self.change(vec![Touch::ProducerIds], plan).await?;
        }
    }

    fn take_producer_id(&self) -> Option<ProducerId> {
        let mut ids = lock(&self.producer_ids);
        (ids.next < ids.end).then(|| {
            ids.next += 1;
            ids.next - 1
        })
    }

    /// The first id that no durable record covers.
    pub(super) fn producer_ids_end(&self) -> i64 {
        lock(&self.producer_ids).end
    }

    pub(super) fn set_producer_ids_end(&self, end: i64) {
        *lock(&self.producer_ids) = ProducerIds { next: end, end };
    }

    /// What must exist before a record may be written: the first directories of a topic show that there is room.
    pub(super) fn prepare(&self, record: &MetadataRecord) -> Result<(), ChangeError> {
        let leftovers = |name: &str, partitions: std::ops::Range<u32>, id: TopicId| {
            for partition in partitions {
                self.env.upkeep.discard_leftover(&self.env.data_dir, name, partition as i32, id);
            }
        };
        match record {
            // Its directory would be that of Kafka's metadata.
            MetadataRecord::TopicCreated { name, .. } if name == METADATA_TOPIC => {
                return Err(ChangeError::Storage(format!("{name} is no topic of ours")));
            }
            MetadataRecord::TopicCreated { name, id, partitions, .. } => {
                let id = TopicId(uuid::Uuid::from_u128(*id));
                leftovers(name, 0..*partitions, id);
                for partition in 0..(*partitions).min(DIRECTORIES_AT_ONCE) {
                    let dir = self.env.data_dir.join(format!("{name}-{partition}"));
                    if let Err(error) = log::create_dir(&dir, id) {
                        for made in 0..=partition {
                            let _ = std::fs::remove_dir_all(self.env.data_dir.join(format!("{name}-{made}")));
                        }
                        return Err(ChangeError::Storage(error.to_string()));
                    }
                }
            }
            MetadataRecord::PartitionsAdded { id, total } => {
                if let Some(topic) = self.topic_by_id(TopicId(uuid::Uuid::from_u128(*id))) {
                    leftovers(&topic.name, topic.partitions().len() as u32..*total, topic.id);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Applies a record that is durable. Also replay comes through here, and applies what a snapshot may have already.
    pub(super) fn apply(&self, record: MetadataRecord) {
        match record {
            MetadataRecord::TopicCreated { name, id, partitions, created_at_ms, configs } => {
                let id = TopicId(uuid::Uuid::from_u128(id));
                if let Some(found) = self.topic_by_id(id) {
                    // Found by a scan of the directory, or in the snapshot already.
                    self.configure_topic(&found, configs, true);
                    // The scan may have found fewer directories.
                    self.grow(&found, partitions);
                    return;
                }
                let row = TopicRow {
                    name,
                    topic_id: id,
                    partitions,
                    created_at_ms,
                    configs,
                    configs_known: true,
                    directories_made: false,
                    log_starts: BTreeMap::new(),
                    leader_epochs: BTreeMap::new(),
                };
                let topic = self.add_topic(&row, &HashMap::new());
                self.make_directories_soon(topic);
            }
            MetadataRecord::TopicDeleted { id, .. } => self.remove_topic(TopicId(uuid::Uuid::from_u128(id))),
            MetadataRecord::PartitionsAdded { id, total } => {
                if let Some(topic) = self.topic_by_id(TopicId(uuid::Uuid::from_u128(id))) {
                    self.grow(&topic, total);
                    self.make_directories_soon(topic);
                }
            }
            MetadataRecord::TopicConfig { id, configs } => {
                if let Some(topic) = self.topic_by_id(TopicId(uuid::Uuid::from_u128(id))) {
                    self.configure_topic(&topic, configs, true);
                }
            }
            MetadataRecord::BrokerConfig { broker, configs } => self.configure_broker(&broker, configs),
            MetadataRecord::GroupConfig { group, configs } => {
                set_or_remove(&mut lock(&self.others).groups, group, configs);
            }
            MetadataRecord::ClientMetricsConfig { name, configs } => {
                set_or_remove(&mut lock(&self.others).client_metrics, name, configs);
            }
            MetadataRecord::LogStart { id, partition, offset } => {
                let topic = self.topic_by_id(TopicId(uuid::Uuid::from_u128(id)));
                if let Some(partition) = topic.and_then(|t| t.partition(partition as i32)) {
                    partition.advance_log_start(offset);
                }
            }
            MetadataRecord::ProducerIds { next } => {
                let mut ids = lock(&self.producer_ids);
                if ids.end < next {
                    *ids = ProducerIds { next: ids.end, end: next };
                }
            }
            MetadataRecord::DirectoriesMade { id } => {
                if let Some(topic) = self.topic_by_id(TopicId(uuid::Uuid::from_u128(id))) {
                    topic.directories_made.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Not during replay, which may go on to tell that they were made: the start looks at the end what is still to do.
    fn make_directories_soon(&self, topic: Arc<Topic>) {
        if self.env.wal.get().is_some() {
            self.env.upkeep.send(Task::MakeDirectories(topic));
        }
    }

    pub(super) fn add_topic(&self, row: &TopicRow, recovery_points: &HashMap<(String, i32), i64>) -> Arc<Topic> {
        let name: Arc<str> = row.name.as_str().into();
        let partitions: Arc<[Arc<Partition>]> = (0..row.partitions as i32)
            .map(|index| {
                let log_start = row.log_starts.get(&(index as u32)).copied().unwrap_or(0);
                let recovery_point = recovery_points.get(&(row.name.clone(), index)).copied().unwrap_or(0);
                let partition = Partition::new(name.clone(), row.topic_id, index, log_start, recovery_point);
                partition.set_leader_epoch(row.leader_epochs.get(&(index as u32)).copied().unwrap_or(0));
                Arc::new(partition)
            })
            .collect();
        let topic = Arc::new(Topic {
            name: name.clone(),
            id: row.topic_id,
            created_at_ms: row.created_at_ms,
            partitions: RwLock::new(partitions),
            settings: RwLock::new(Arc::new(TopicSettings {
                resolved: TopicConfig::resolve(&self.config(), &row.configs),
                overrides: row.configs.clone(),
                known: row.configs_known,
            })),
            directories_made: AtomicBool::new(row.directories_made),
        });
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.insert(&topic);
        self.topics_version.fetch_add(1, Ordering::Release);
        topic
    }

    pub(super) fn grow(&self, topic: &Topic, total: u32) {
        let old = topic.partitions();
        if total as usize <= old.len() {
            return;
        }
        let grown = old
            .iter()
            .cloned()
            .chain(
                (old.len() as i32..total as i32)
                    .map(|index| Arc::new(Partition::new(topic.name.clone(), topic.id, index, 0, 0))),
            )
            .collect();
        topic.directories_made.store(false, Ordering::Relaxed);
        topic.set_partitions(grown);
        self.topics_version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn remove_topic(&self, id: TopicId) {
        let topic = {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let Some(topic) = index.remove(id) else { return };
            self.topics_version.fetch_add(1, Ordering::Release);
            topic
        };
        for partition in topic.partitions().iter() {
            partition.delete();
            self.env.upkeep.discard_directory(&self.env.data_dir, &topic.name, partition.index, id);
        }
        tracing::info!(topic = %topic.name, topic_id = %id, "topic deleted");
        if let Some(store) = self.env.remote.get() {
            self.tiering.topic_deleted(store, &topic);
        }
        if let Some(forget) = self.on_topic_deleted.get() {
            forget(&topic);
        }
    }

    pub(super) fn configure_topic(&self, topic: &Topic, overrides: ConfigMap, known: bool) {
        let resolved = TopicConfig::resolve(&self.config(), &overrides);
        let is_new = resolved != topic.settings().resolved;
        topic.set_settings(TopicSettings { overrides, resolved, known });
        if is_new {
            self.env.upkeep.ask_for_retention();
            self.cleaner.wake();
            self.tiering.wake();
        }
    }

    pub(super) fn configure_broker(&self, broker: &str, configs: ConfigMap) {
        let config = {
            let mut config = self.config.write().unwrap_or_else(PoisonError::into_inner);
            let changed =
                if broker.is_empty() { config.with_cluster_default(configs) } else { config.with_broker(configs) };
            *config = Arc::new(changed);
            config.clone()
        };
        self.env.log.producer_expiration_ms.store(config.get_i64("producer.id.expiration.ms"), Ordering::Relaxed);
        let mut any_is_new = false;
        for topic in self.topics() {
            let settings = topic.settings();
            let resolved = TopicConfig::resolve(&config, &settings.overrides);
            if resolved != settings.resolved {
                topic.set_settings(TopicSettings { resolved, ..TopicSettings::clone(&settings) });
                any_is_new = true;
            }
        }
        if any_is_new {
            self.env.upkeep.ask_for_retention();
        }
        self.cleaner.wake();
    }

    pub(super) fn read_index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_or_remove(map: &mut BTreeMap<String, ConfigMap>, name: String, configs: ConfigMap) {
    if configs.is_empty() {
        map.remove(&name);
    } else {
        map.insert(name, configs);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
