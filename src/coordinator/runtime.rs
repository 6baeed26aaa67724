//! The runtime under the shards: which partition a group belongs to, appending its records, loading, timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::classic::{JoinRequest, JoinResponse, Leaving, Limits, SyncRequest, SyncResponse};
use super::consumer::describe::DescribedGroup as DescribedConsumerGroup;
use super::consumer::{self, HeartbeatRequest, HeartbeatResponse, MigrationPolicy};
use super::offsets::{GroupOffsets, OffsetCommitRequest};
use super::records::GroupRecord;
use super::shard::{DescribedGroup, Effects, Environment, GroupListing, Parked, Shard, Topics};
use super::{GroupError, OFFSETS_TOPIC};
use crate::base::{Clock, TopicId};
use crate::config::{BrokerValues, DynamicBrokerConfig};
use crate::record::build::{BatchFields, NewRecord, build};
use crate::record::compress::{Codec, DECOMPRESSED_BYTES_MAX, decompress};
use crate::record::iter::Records;
use crate::record::{BatchHeader, HEADER_BYTES, PreparedBatch};
use crate::topic::{Isolation, MetadataRecord, Topic, TopicManager, Touch};
use crate::wal::Ticket;

/// A response, and what must be on the disk before it leaves.
#[derive(Debug)]
pub struct Done<R> {
    pub response: R,
    pub durable: Option<Arc<Ticket>>,
}

impl<R> Done<R> {
    /// The response once its records are committed.
    pub async fn committed(self) -> Result<R, GroupError> {
        match self.durable {
            None => Ok(self.response),
            Some(ticket) => match ticket.committed().await {
                Ok(()) => Ok(self.response),
                Err(_) => Err(GroupError::CoordinatorNotAvailable),
            },
        }
    }
}

/// All groups of the broker.
pub struct GroupCoordinator {
    topics: Arc<TopicManager>,
    clock: Clock,
    limits: Mutex<Option<(Arc<DynamicBrokerConfig>, Limits)>>,
    /// One a partition of the internal topic; set once that exists.
    shards: OnceLock<Vec<Mutex<Slot>>>,
    wakeups: Mutex<Wakeups>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Slot {
    /// `None` until it is first used.
    shard: Option<Shard>,
    /// The wake-up that the timer thread knows of.
    scheduled: Option<i64>,
}

#[derive(Default)]
struct Wakeups {
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    stopping: bool,
}

/// Bytes of the internal topic that are read at once while a shard is loaded.
const LOAD_BYTES: u64 = 1 << 20;

impl GroupCoordinator {
    /// Starts the thread of the timers.
    pub fn start(topics: Arc<TopicManager>, clock: Clock) -> std::io::Result<Arc<GroupCoordinator>> {
        let coordinator = Arc::new(GroupCoordinator {
            topics,
            clock,
            limits: Mutex::default(),
            shards: OnceLock::new(),
            wakeups: Mutex::default(),
            wake: Condvar::new(),
            thread: Mutex::default(),
        });
        let weak = Arc::downgrade(&coordinator);
        let thread = std::thread::Builder::new().name("groups".into()).spawn(move || run_timers(&weak))?;
        *lock(&coordinator.thread) = Some(thread);
        Ok(coordinator)
    }

    pub fn stop(&self) {
        lock(&self.wakeups).stopping = true;
        self.wake.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }

    /// Creates the internal topic if it is not there, with the partitions of `offsets.topic.num.partitions`.
    pub async fn ensure_topic(&self) -> Result<(), GroupError> {
        if self.topics.topic(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        let config = self.topics.config();
        let partitions = config.get_i32("offsets.topic.num.partitions").max(1) as u32;
        let segment_bytes = config.get_i64("offsets.topic.segment.bytes");
        let created_at_ms = self.clock.wall_ms();
        let touches = vec![Touch::Topic(OFFSETS_TOPIC.to_owned())];
        self.topics
            .change(touches, move |manager| {
                if manager.topic(OFFSETS_TOPIC).is_some() {
                    return (Vec::new(), ());
                }
                let configs = [
                    ("cleanup.policy", "compact".to_owned()),
                    ("compression.type", "producer".to_owned()),
                    ("segment.bytes", segment_bytes.to_string()),
                ];
                let record = MetadataRecord::TopicCreated {
                    name: OFFSETS_TOPIC.to_owned(),
                    id: TopicId::random().0.as_u128(),
                    partitions,
                    created_at_ms,
                    configs: configs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
                };
                (vec![record], ())
            })
            .await
            .map_err(|_| GroupError::CoordinatorNotAvailable)
    }

    /// Joins; the answer comes through `parked`.
    pub fn join(&self, request: &JoinRequest, parked: Parked<JoinResponse>) -> Result<(), GroupError> {
        self.run(&request.group, |shard, env, effects| shard.join(request, parked, env, effects))?;
        Ok(())
    }

    /// Syncs; the answer comes through `parked`.
    pub fn sync(&self, request: &SyncRequest, parked: Parked<SyncResponse>) -> Result<(), GroupError> {
        self.run(&request.group, |shard, env, effects| shard.sync(request, parked, env, effects))?;
        Ok(())
    }

    pub fn heartbeat(
        &self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        self.run(group, |shard, env, effects| shard.heartbeat(group, member_id, instance_id, generation, env, effects))?
            .response
    }

    pub fn leave(&self, group: &str, leaving: &[Leaving]) -> Result<Done<Vec<Result<(), GroupError>>>, GroupError> {
        flatten(self.run(group, |shard, env, effects| shard.leave(group, leaving, env, effects))?)
    }

    pub fn commit(&self, request: &OffsetCommitRequest) -> Result<Done<Vec<Result<(), GroupError>>>, GroupError> {
        flatten(self.run(&request.group, |shard, env, effects| shard.commit(request, env, effects))?)
    }

    /// What a group has committed; nothing for an unknown one. A member of a consumer group that asks with its epoch must
    /// be in that epoch.
    pub fn committed(&self, group: &str, member_id: Option<&str>, epoch: i32) -> Result<GroupOffsets, GroupError> {
        let done = self.run(group, |shard, _, _| {
            shard.may_fetch(group, member_id, epoch)?;
            Ok(shard.committed(group).cloned().unwrap_or_default())
        })?;
        done.response
    }

    /// ConsumerGroupHeartbeat, checked and with a member id.
    pub fn consumer_heartbeat(
        &self,
        group: &str,
        request: &HeartbeatRequest,
    ) -> Result<Done<Result<HeartbeatResponse, consumer::GroupError>>, GroupError> {
        self.run(group, |shard, env, effects| shard.consumer_heartbeat(group, request, env, effects))
    }

    pub fn consumer_describe(&self, group: &str) -> Result<Option<DescribedConsumerGroup>, GroupError> {
        Ok(self.run(group, |shard, env, _| shard.consumer_describe(group, env))?.response)
    }

    /// The limits of one consumer group: the broker's keys, the group's own configuration over them.
    pub fn consumer_limits(&self, group: &str) -> consumer::Limits {
        let config = self.topics.config();
        let own = self.topics.group_config(group);
        let int = |key: &str| {
            let set = own.as_ref().and_then(|own| own.get(key)).and_then(|v| v.trim().parse().ok());
            set.unwrap_or_else(|| config.get_i32(&format!("group.{key}")))
        };
        let policy = config.get_string("group.consumer.migration.policy").unwrap_or_default().to_lowercase();
        consumer::Limits {
            members_max: usize::try_from(config.get_i32("group.consumer.max.size")).unwrap_or(0),
            classic_members_max: usize::try_from(config.get_i32("group.max.size")).unwrap_or(0),
            session_timeout_ms: int("consumer.session.timeout.ms"),
            heartbeat_interval_ms: int("consumer.heartbeat.interval.ms"),
            regex_refresh_ms: i64::from(config.get_i32("group.consumer.regex.refresh.interval.ms")),
            assignors: config.get_list("group.consumer.assignors"),
            migration: MigrationPolicy {
                upgrade: matches!(policy.as_str(), "bidirectional" | "upgrade"),
                downgrade: matches!(policy.as_str(), "bidirectional" | "downgrade"),
            },
        }
    }

    pub fn describe(&self, group: &str) -> Result<Option<DescribedGroup>, GroupError> {
        Ok(self.run(group, |shard, _, _| shard.describe(group))?.response)
    }

    /// "classic" or "consumer"; `None` for a group that is not there.
    pub fn group_type(&self, group: &str) -> Result<Option<&'static str>, GroupError> {
        Ok(self.run(group, |shard, _, _| shard.group_type(group))?.response)
    }

    /// Every group there is.
    pub fn list(&self) -> Result<Vec<GroupListing>, GroupError> {
        let Some(shards) = self.shards() else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for index in 0..shards.len() {
            all.extend(self.run_on(index, |shard, _, _| shard.list().collect::<Vec<_>>())?.response);
        }
        Ok(all)
    }

    pub fn delete(&self, group: &str) -> Result<Done<()>, GroupError> {
        flatten(self.run(group, |shard, _, effects| shard.delete(group, effects))?)
    }

    pub fn delete_offsets(
        &self,
        group: &str,
        partitions: &[(String, i32)],
    ) -> Result<Done<Vec<Result<(), GroupError>>>, GroupError> {
        flatten(self.run(group, |shard, _, effects| shard.delete_offsets(group, partitions, effects))?)
    }

    /// Offsets committed for a deleted topic go with it. Shards that are not loaded find out when they are.
    pub fn topic_deleted(&self, topic: &str) {
        let Some(shards) = self.shards.get() else { return };
        for (index, slot) in shards.iter().enumerate() {
            if lock(slot).shard.is_some() {
                let _ = self.run_on(index, |shard, _, effects| shard.topic_deleted(topic, effects));
            }
        }
    }

    /// The limits of the configuration in force; read anew when that changes.
    fn limits(&self) -> Limits {
        let config = self.topics.config();
        let mut known = lock(&self.limits);
        if let Some((of, limits)) = &*known
            && Arc::ptr_eq(of, &config)
        {
            return *limits;
        }
        let limits = Limits {
            session_timeout_min_ms: config.get_i32("group.min.session.timeout.ms"),
            session_timeout_max_ms: config.get_i32("group.max.session.timeout.ms"),
            size_max: usize::try_from(config.get_i32("group.max.size")).unwrap_or(0),
            initial_rebalance_delay_ms: config.get_i64("group.initial.rebalance.delay.ms"),
            offset_metadata_units_max: usize::try_from(config.get_i32("offset.metadata.max.bytes")).unwrap_or(0),
            offsets_retention_ms: config.get_i64("offsets.retention.minutes").saturating_mul(60_000),
            offsets_check_interval_ms: config.get_i64("offsets.retention.check.interval.ms"),
        };
        *known = Some((config, limits));
        limits
    }

    /// Runs something in the surroundings of an operation.
    fn within<T>(&self, operation: impl FnOnce(&Environment<'_>) -> T) -> T {
        operation(&Environment {
            now_ms: self.clock.timer_ms(),
            limits: &self.limits(),
            topics: &Known(&self.topics),
            limits_of: &|group| self.consumer_limits(group),
        })
    }

    fn shards(&self) -> Option<&Vec<Mutex<Slot>>> {
        if let Some(shards) = self.shards.get() {
            return Some(shards);
        }
        let partitions = self.topics.topic(OFFSETS_TOPIC)?.partitions().len();
        Some(self.shards.get_or_init(|| (0..partitions).map(|_| Mutex::default()).collect()))
    }

    fn run<T>(
        &self,
        group: &str,
        operation: impl FnOnce(&mut Shard, &Environment<'_>, &mut Effects) -> T,
    ) -> Result<Done<T>, GroupError> {
        let shards = self.shards().ok_or(GroupError::NotCoordinator)?;
        self.run_on(partition_of(group, shards.len()), operation)
    }

    /// Runs one operation on a shard: the records it leaves are appended under the same lock, so that their order is that
    /// of the operations; then the answers go out.
    fn run_on<T>(
        &self,
        index: usize,
        operation: impl FnOnce(&mut Shard, &Environment<'_>, &mut Effects) -> T,
    ) -> Result<Done<T>, GroupError> {
        let shards = self.shards().ok_or(GroupError::NotCoordinator)?;
        let mut slot = lock(shards.get(index).ok_or(GroupError::NotCoordinator)?);
        if slot.shard.is_none() {
            slot.shard = Some(self.load(index)?);
        }
        let Slot { shard: Some(shard), scheduled } = &mut *slot else { return Err(GroupError::NotCoordinator) };
        let mut effects = Effects::new(self.clock.wall_ms());
        let response = self.within(|env| operation(shard, env, &mut effects));
        let mut durable = self.finish(index, shard, &mut effects)?;
        for group in std::mem::take(&mut effects.resolve) {
            self.within(|env| shard.resolve_regexes(&group, env, &mut effects));
            durable = self.finish(index, shard, &mut effects)?.or(durable);
        }
        self.schedule(index, shard, scheduled);
        drop(slot);
        effects.send_answers(durable.as_ref());
        Ok(Done { response, durable })
    }

    /// Appends the records of an operation, applies those of offsets, arms its timers.
    fn finish(
        &self,
        index: usize,
        shard: &mut Shard,
        effects: &mut Effects,
    ) -> Result<Option<Arc<Ticket>>, GroupError> {
        for (deadline, key) in effects.take_armed() {
            shard.timers.arm(deadline, key);
        }
        if effects.records.is_empty() {
            return Ok(None);
        }
        let records = std::mem::take(&mut effects.records);
        let ticket = self.append(index, &records, effects.wall_ms)?;
        for record in &records {
            shard.replay(record);
        }
        Ok(ticket.map(Arc::new))
    }

    fn append(&self, index: usize, records: &[GroupRecord], wall_ms: i64) -> Result<Option<Ticket>, GroupError> {
        let unavailable = |why: &dyn std::fmt::Display| {
            tracing::error!(partition = index, why = %why, "a group's records could not be appended");
            GroupError::CoordinatorNotAvailable
        };
        let topic = self.topics.topic(OFFSETS_TOPIC).ok_or(GroupError::NotCoordinator)?;
        let partition = topic.partition(index as i32).ok_or(GroupError::NotCoordinator)?;
        let records: Vec<NewRecord> = records.iter().map(|r| r.encode(wall_ms)).collect();
        let batch = build(&BatchFields::default(), &records).map_err(|e| unavailable(&e))?;
        let batch = PreparedBatch::trusted(batch.into()).ok_or_else(|| unavailable(&"a malformed batch"))?;
        let outcome =
            partition.append(self.topics.env(), &topic.settings().resolved, &batch).map_err(|e| unavailable(&e))?;
        Ok(outcome.ticket)
    }

    /// Reads the partition from its start and replays what is there.
    fn load(&self, index: usize) -> Result<Shard, GroupError> {
        let topic = self.topics.topic(OFFSETS_TOPIC).ok_or(GroupError::NotCoordinator)?;
        let mut shard = Shard::default();
        self.replay_partition(&topic, index, &mut shard).map_err(|why| {
            tracing::error!(partition = index, why, "a shard of groups could not be loaded");
            GroupError::CoordinatorNotAvailable
        })?;
        let mut effects = Effects::new(self.clock.wall_ms());
        self.within(|env| shard.loaded(env, &mut effects));
        self.finish(index, &mut shard, &mut effects)?;
        Ok(shard)
    }

    fn replay_partition(&self, topic: &Topic, index: usize, shard: &mut Shard) -> Result<(), String> {
        let partition = topic.partition(index as i32).ok_or("no such partition")?;
        let (env, settings) = (self.topics.env(), topic.settings());
        let offsets = partition.offsets(env, &settings.resolved).map_err(|e| e.to_string())?;
        let mut next = offsets.log_start;
        while next < offsets.end {
            let read = partition
                .read(env, &settings.resolved, next, Isolation::ReadUncommitted, LOAD_BYTES, true)
                .map_err(|e| e.to_string())?;
            let Some(region) = read.region else { break };
            let mut bytes = vec![0; region.length];
            region.file.read_exact_at(&mut bytes, region.position).map_err(|e| e.to_string())?;
            let before = next;
            for batch in batches(&bytes) {
                load_batch(batch, shard)?;
                next = BatchHeader::read(batch).map_or(next, |h| h.next_offset().max(next));
            }
            if next == before {
                return Err(format!("no batch at offset {next}"));
            }
        }
        Ok(())
    }

    /// Tells the timer thread of an earlier deadline.
    fn schedule(&self, index: usize, shard: &Shard, scheduled: &mut Option<i64>) {
        let Some(earliest) = shard.timers.earliest() else { return };
        if scheduled.is_some_and(|known| known <= earliest) {
            return;
        }
        *scheduled = Some(earliest);
        lock(&self.wakeups).heap.push(Reverse((earliest, index)));
        self.wake.notify_one();
    }

    /// Runs the timers of a shard whose time has come.
    fn run_due(&self, index: usize) {
        if let Some(slot) = self.shards.get().and_then(|shards| shards.get(index)) {
            lock(slot).scheduled = None;
        }
        let fired = self.run_on(index, |shard, env, effects| {
            while let Some(key) = shard.timers.take_due(env.now_ms) {
                shard.timer_fired(key, env, effects);
            }
        });
        if let Err(error) = fired {
            tracing::error!(partition = index, %error, "the timers of a shard could not be run");
        }
    }
}

/// The thread: sleeps until the earliest deadline, or until there is an earlier one.
fn run_timers(coordinator: &Weak<GroupCoordinator>) {
    loop {
        let Some(this) = coordinator.upgrade() else { return };
        let due = {
            let mut wakeups = lock(&this.wakeups);
            loop {
                if wakeups.stopping {
                    return;
                }
                let now = this.clock.timer_ms();
                match wakeups.heap.peek() {
                    Some(Reverse((deadline, index))) if *deadline <= now => {
                        let index = *index;
                        wakeups.heap.pop();
                        break index;
                    }
                    Some(Reverse((deadline, _))) => {
                        let wait = Duration::from_millis((*deadline - now) as u64);
                        wakeups = this.wake.wait_timeout(wakeups, wait).unwrap_or_else(PoisonError::into_inner).0;
                    }
                    None => wakeups = this.wake.wait(wakeups).unwrap_or_else(PoisonError::into_inner),
                }
            }
        };
        this.run_due(due);
    }
}

struct Known<'a>(&'a TopicManager);

impl consumer::TopicView for Known<'_> {
    fn version(&self) -> u64 {
        self.0.topics_version()
    }

    fn topic(&self, name: &str) -> Option<(TopicId, i32)> {
        self.0.topic(name).map(|t| (t.id, t.partitions().len() as i32))
    }

    fn topic_name(&self, id: TopicId) -> Option<String> {
        self.0.topic_by_id(id).map(|t| t.name.to_string())
    }

    fn names(&self) -> Vec<String> {
        self.0.topics().iter().map(|t| t.name.to_string()).collect()
    }
}

impl Topics for Known<'_> {
    fn is_current(&self, topic: &str, commit_timestamp: i64) -> bool {
        self.0.topic(topic).is_some_and(|t| t.created_at_ms <= commit_timestamp)
    }
}

fn flatten<T>(done: Done<Result<T, GroupError>>) -> Result<Done<T>, GroupError> {
    Ok(Done { response: done.response?, durable: done.durable })
}

/// The partition of a group: Java's `String.hashCode`, without its sign.
fn partition_of(group: &str, partitions: usize) -> usize {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let hash = if hash == i32::MIN { 0 } else { hash.abs() };
    hash as usize % partitions.max(1)
}

/// Whole batches, back to back.
fn batches(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let header = BatchHeader::read(bytes)?;
        if !header.is_plausible() || header.size() > bytes.len() {
            return None;
        }
        let (batch, rest) = bytes.split_at(header.size());
        bytes = rest;
        Some(batch)
    })
}

fn load_batch(batch: &[u8], shard: &mut Shard) -> Result<(), String> {
    let header = BatchHeader::read(batch).ok_or("no batch")?;
    if header.is_control() {
        return Ok(());
    }
    let codec = Codec::from_bits(header.codec_bits()).ok_or("an unknown codec")?;
    let records = decompress(codec, &batch[HEADER_BYTES..], DECOMPRESSED_BYTES_MAX).map_err(|e| format!("{e:?}"))?;
    for record in Records::new(&records, header.record_count) {
        let record = record.map_err(|e| e.0.to_owned())?;
        match record.key.map(|key| GroupRecord::decode(key, record.value)) {
            Some(Ok(Some(loaded))) => shard.load(loaded),
            Some(Err(malformed)) => {
                tracing::warn!(offset = header.base_offset, %malformed, "skipped a record of a group")
            }
            Some(Ok(None)) | None => {}
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn groups_go_to_the_partitions_that_kafka_gives_them() {
        // From `Math.abs("…".hashCode()) % 50` in Java.
        for (group, partition) in [("", 0), ("a", 47), ("console-consumer-1", 24), ("my-group", 12)] {
            assert_eq!(partition_of(group, 50), partition, "{group}");
        }
    }
}
