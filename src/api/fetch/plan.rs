//! What a fetch would answer now: one row a partition.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use crate::api::errors::{self, Error, NONE};
use crate::base::waiters::Waiter;
use crate::broker::BrokerState;
use crate::broker::sessions::{FetchSession, PartitionKey, Wanted};
use crate::log::{EpochEnd, Region};
use crate::topic::{Isolation, Partition, PartitionError, Topic};

/// Makes plans for one request.
pub struct Planner {
    pub broker: Arc<BrokerState>,
    pub version: i16,
    pub isolation: Isolation,
    pub bytes_max: i32,
    /// Asks as a replica, which nobody here is.
    pub is_replica: bool,
    pub wanted: Vec<(PartitionKey, Wanted)>,
}

/// One partition's part of the answer.
pub struct Row {
    pub key: PartitionKey,
    pub error: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start: i64,
    pub diverging: Option<EpochEnd>,
    /// `None` is null: what a reader of uncommitted records gets.
    pub aborted: Option<Vec<(i64, i64)>>,
    pub region: Option<Region>,
}

pub struct Plan {
    pub rows: Vec<Row>,
    bytes: usize,
    /// An error, or a divergence, that ends the wait at once.
    ends_wait: bool,
}

impl Plan {
    /// Whether the answer need not wait any longer.
    pub fn is_enough(&self, bytes_min: i32) -> bool {
        self.ends_wait || self.rows.is_empty() || self.bytes as i64 >= i64::from(bytes_min)
    }
}

/// Waits on all partitions of a plan until dropped.
pub struct Registration {
    waiter: Arc<Waiter>,
    partitions: Vec<Arc<Partition>>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        for partition in &self.partitions {
            partition.unregister(&self.waiter);
        }
    }
}

impl Planner {
    pub fn plan(&self) -> Plan {
        let mut plan = Plan { rows: Vec::with_capacity(self.wanted.len()), bytes: 0, ends_wait: false };
        let mut bytes_left = self.bytes_max as u64;
        let mut unknown = 0;
        for (key, wanted) in &self.wanted {
            let row = self.row(key, wanted, bytes_left, plan.bytes == 0);
            let length = row.region.as_ref().map_or(0, |r| r.length);
            plan.bytes += length;
            bytes_left = bytes_left.saturating_sub(length as u64);
            let is_unknown =
                row.error == Error::UnknownTopicOrPartition.code() || row.error == Error::UnknownTopicId.code();
            unknown += usize::from(is_unknown);
            // An unknown partition beside others that can be read does not end their wait.
            plan.ends_wait |= (row.error != NONE && !is_unknown) || row.diverging.is_some();
            plan.rows.push(row);
        }
        plan.ends_wait |= unknown == self.wanted.len();
        plan
    }

    pub fn register(&self, waiter: &Arc<Waiter>) -> Registration {
        let partitions: Vec<_> = self.wanted.iter().filter_map(|(key, _)| self.find(key).ok()).map(|f| f.1).collect();
        for partition in &partitions {
            partition.register(waiter);
        }
        Registration { waiter: waiter.clone(), partitions }
    }

    fn find(&self, key: &PartitionKey) -> Result<(Arc<Topic>, Arc<Partition>), Error> {
        let topic = if self.version >= 13 {
            self.broker.topics.topic_by_id(key.topic_id).ok_or(Error::UnknownTopicId)?
        } else {
            self.broker.topics.topic(&key.topic).ok_or(Error::UnknownTopicOrPartition)?
        };
        let partition = topic.partition(key.partition).ok_or(Error::UnknownTopicOrPartition)?;
        Ok((topic, partition))
    }

    fn row(&self, key: &PartitionKey, wanted: &Wanted, bytes_left: u64, first: bool) -> Row {
        let (topic, partition) = match self.find(key) {
            Ok(found) => found,
            Err(error) => return Row::error(key, error, Some(Vec::new())),
        };
        if self.is_replica {
            return Row::error(key, Error::NotLeaderOrFollower, None);
        }
        match self.read(&topic, &partition, key, wanted, bytes_left, first) {
            Ok(row) => row,
            Err(error) => Row::error(key, error, None),
        }
    }

    fn read(
        &self,
        topic: &Topic,
        partition: &Partition,
        key: &PartitionKey,
        wanted: &Wanted,
        bytes_left: u64,
        first: bool,
    ) -> Result<Row, Error> {
        let failed = |e: PartitionError| errors::of_partition(&e);
        let env = self.broker.topics.env();
        let settings = topic.settings();
        if wanted.current_leader_epoch != -1 {
            let current = partition.offsets(env, &settings.resolved).map_err(failed)?.leader_epoch;
            if let Some(error) = errors::check_leader_epoch(wanted.current_leader_epoch, current) {
                return Err(error);
            }
        }
        let mut row = Row::error(key, Error::Unknown(NONE), None);
        if self.isolation == Isolation::ReadCommitted {
            row.aborted = Some(Vec::new());
        }
        if wanted.last_fetched_epoch >= 0 {
            match self.divergence(partition, wanted, &settings.resolved).map_err(failed)? {
                Divergence::None => {}
                Divergence::Unknown => return Err(Error::OffsetOutOfRange),
                Divergence::At(end) => {
                    let offsets = partition.offsets(env, &settings.resolved).map_err(failed)?;
                    row.high_watermark = offsets.high_watermark;
                    row.last_stable_offset = offsets.last_stable_offset;
                    row.log_start = offsets.log_start;
                    row.diverging = Some(end);
                    return Ok(row);
                }
            }
        }
        let bytes_max = bytes_left.min(wanted.bytes_max.max(0) as u64);
        let read = partition
            .read(env, &settings.resolved, wanted.fetch_offset, self.isolation, bytes_max, first)
            .map_err(failed)?;
        row.high_watermark = read.high_watermark;
        row.last_stable_offset = read.last_stable_offset;
        row.log_start = read.log_start;
        row.region = read.region;
        Ok(row)
    }

    fn divergence(
        &self,
        partition: &Partition,
        wanted: &Wanted,
        config: &crate::config::TopicConfig,
    ) -> Result<Divergence, PartitionError> {
        partition.with_log(self.broker.topics.env(), config, |log| match log.epoch_end(wanted.last_fetched_epoch) {
            None => Divergence::Unknown,
            Some(end) if end.end_offset < wanted.fetch_offset || end.epoch < wanted.last_fetched_epoch => {
                Divergence::At(end)
            }
            Some(_) => Divergence::None,
        })
    }
}

enum Divergence {
    None,
    /// The epoch is above any of ours.
    Unknown,
    At(EpochEnd),
}

impl Row {
    pub fn error(key: &PartitionKey, error: Error, aborted: Option<Vec<(i64, i64)>>) -> Row {
        Row {
            key: key.clone(),
            error: error.code(),
            high_watermark: -1,
            last_stable_offset: -1,
            log_start: -1,
            diverging: None,
            aborted,
            region: None,
        }
    }

    /// Enters the row into the session; answers whether an incremental answer must have it.
    pub fn tell(&self, session: &mut FetchSession) -> bool {
        let has_data = self.region.is_some();
        let must = session.tell(&self.key, self.high_watermark, self.log_start, has_data, self.error != NONE);
        must || self.diverging.is_some()
    }

    pub fn topic(&self) -> (&StrBytes, crate::base::TopicId) {
        (&self.key.topic, self.key.topic_id)
    }
}
