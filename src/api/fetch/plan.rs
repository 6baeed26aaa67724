//! What a fetch would answer now: one row a partition.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use crate::api::errors::{self, Error, NONE};
use crate::api::waiting::Waiting;
use crate::broker::BrokerState;
use crate::broker::sessions::{Answered, FetchSession, PartitionKey, Target, Wanted};
use crate::log::{EpochEnd, Region};
use crate::topic::{Isolation, Partition, PartitionError, Topic};

/// Makes plans for one request.
pub struct Planner {
    pub broker: Arc<BrokerState>,
    version: i16,
    isolation: Isolation,
    bytes_max: i32,
    /// Asks as a replica, which nobody here is.
    is_replica: bool,
    /// Those that can be read, then those that were unknown from the start.
    targets: Vec<(Target, Found)>,
}

/// What a partition was when the request came. It stays that for the whole request: one that is deleted meanwhile ends
/// the wait, one that appears meanwhile does not count.
enum Found {
    Partition(Arc<Topic>, Arc<Partition>),
    /// Known to nobody: told last, and not worth an end of the wait.
    Unknown(Error),
    /// Another topic has the name now.
    Replaced,
}

/// One partition's part of the answer.
pub struct Row {
    pub key: PartitionKey,
    /// The topic's name, where the request has its id.
    name: Option<Arc<str>>,
    pub error: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start: i64,
    pub diverging: Option<EpochEnd>,
    /// The leader's id and epoch: told from v16 on with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH.
    pub leader: Option<(i32, i32)>,
    /// `None` is null: what a reader of uncommitted records gets.
    pub aborted: Option<Vec<(i64, i64)>>,
    pub region: Option<Region>,
    is_pending: bool,
}

pub struct Plan {
    pub rows: Vec<Row>,
    bytes: usize,
    /// An error, or a divergence, that ends the wait at once.
    ends_wait: bool,
    /// Something is on its way from a remote store.
    pub is_pending: bool,
}

impl Plan {
    /// Whether the answer need not wait any longer.
    pub fn is_enough(&self, bytes_min: i32) -> bool {
        // What comes from a remote store comes with the next fetch, if there is anything for this one.
        let bytes_min = if self.is_pending { 1 } else { bytes_min };
        self.ends_wait || self.rows.is_empty() || self.bytes as i64 >= i64::from(bytes_min)
    }
}

impl Planner {
    pub fn new(
        broker: Arc<BrokerState>,
        version: i16,
        isolation: Isolation,
        bytes_max: i32,
        is_replica: bool,
        targets: Vec<Target>,
    ) -> Planner {
        let find = |mut target: Target| {
            let found = find(&broker, version, &mut target);
            (target, found)
        };
        let mut targets: Vec<_> = targets.into_iter().map(find).collect();
        if targets.iter().any(|(_, found)| found.is_unknown()) {
            // A stable sort: each kind keeps its order.
            targets.sort_by_key(|(_, found)| match found {
                Found::Partition(..) | Found::Replaced => 0,
                Found::Unknown(Error::UnknownTopicId) => 1,
                Found::Unknown(_) => 2,
            });
        }
        Planner { broker, version, isolation, bytes_max, is_replica, targets }
    }

    pub fn wanted(&self) -> impl Iterator<Item = (PartitionKey, Wanted)> {
        self.targets.iter().map(|(target, _)| (target.key.clone(), target.wanted))
    }

    pub fn plan(&self) -> Plan {
        let mut plan =
            Plan { rows: Vec::with_capacity(self.targets.len()), bytes: 0, ends_wait: false, is_pending: false };
        let mut bytes_left = self.bytes_max as u64;
        let mut unknown = 0;
        for (target, found) in &self.targets {
            let row = self.row(target, found, bytes_left, plan.bytes == 0);
            let length = row.region.as_ref().map_or(0, |r| r.length);
            plan.bytes += length;
            bytes_left = bytes_left.saturating_sub(length as u64);
            unknown += usize::from(found.is_unknown());
            plan.ends_wait |= (row.error != NONE && !found.is_unknown()) || row.diverging.is_some();
            plan.is_pending |= row.is_pending;
            plan.rows.push(row);
        }
        plan.ends_wait |= unknown == self.targets.len();
        plan
    }

    /// Waits on all of its partitions.
    pub fn wait(&self) -> Waiting {
        let partitions = self.targets.iter().filter_map(|(_, found)| match found {
            Found::Partition(_, partition) => Some(partition.clone()),
            Found::Unknown(_) | Found::Replaced => None,
        });
        Waiting::on(partitions.collect())
    }

    fn row(&self, target: &Target, found: &Found, bytes_left: u64, first: bool) -> Row {
        let outcome = match found {
            Found::Unknown(error) => Ok(Row::error(&target.key, *error, Some(Vec::new()))),
            Found::Replaced => Err(Error::InconsistentTopicId),
            Found::Partition(..) if self.is_replica => Err(Error::NotLeaderOrFollower),
            Found::Partition(topic, partition) => {
                self.read(topic, partition, &target.key, &target.wanted, bytes_left, first)
            }
        };
        let mut row = outcome.unwrap_or_else(|error| Row::error(&target.key, error, None));
        row.name.clone_from(&target.name);
        let moved = [Error::NotLeaderOrFollower.code(), Error::FencedLeaderEpoch.code()].contains(&row.error);
        if let (true, Found::Partition(_, partition)) = (moved && self.version >= 16, found) {
            row.leader = Some((self.broker.node_id, partition.leader_epoch()));
        }
        row
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
        // Any negative epoch claims nothing, other than in ListOffsets.
        if wanted.current_leader_epoch >= 0 {
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
        let first = first || wanted.bytes_max < 0;
        let read = partition
            .read(env, &settings.resolved, wanted.fetch_offset, self.isolation, bytes_max, first)
            .map_err(failed)?;
        if wanted.bytes_max < 0 && read.region.is_some() {
            // Kafka's read throws, but only where there is something to read.
            return Err(Error::UnknownServerError);
        }
        row.high_watermark = read.high_watermark;
        row.last_stable_offset = read.last_stable_offset;
        row.log_start = read.log_start;
        row.region = read.region;
        row.is_pending = read.is_pending;
        if let Some(aborted) = &mut row.aborted {
            *aborted = read.aborted.iter().map(|a| (a.producer_id, a.first_offset)).collect();
        }
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

/// Finds a partition by its topic's name, or by its id and then, if that is gone, by the name it had.
fn find(broker: &BrokerState, version: i16, target: &mut Target) -> Found {
    let key = &target.key;
    let topic = if version >= 13 {
        let topic = broker.topics.topic_by_id(key.topic_id);
        match (&topic, &target.name) {
            (Some(topic), None) => target.name = Some(topic.name.clone()),
            (None, None) => return Found::Unknown(Error::UnknownTopicId),
            (None, Some(name)) if is_there(broker, name, key.partition) => return Found::Replaced,
            _ => {}
        }
        topic
    } else {
        broker.topics.topic(&key.topic)
    };
    match topic.and_then(|topic| Some((topic.partition(key.partition)?, topic))) {
        Some((partition, topic)) => Found::Partition(topic, partition),
        None => Found::Unknown(Error::UnknownTopicOrPartition),
    }
}

fn is_there(broker: &BrokerState, topic: &str, partition: i32) -> bool {
    broker.topics.topic(topic).is_some_and(|t| t.partition(partition).is_some())
}

impl Found {
    fn is_unknown(&self) -> bool {
        matches!(self, Found::Unknown(_))
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
            name: None,
            error: error.code(),
            high_watermark: -1,
            last_stable_offset: -1,
            log_start: -1,
            diverging: None,
            leader: None,
            aborted,
            region: None,
            is_pending: false,
        }
    }

    /// Enters the row into the session; answers whether an incremental answer must have it.
    pub fn tell(&self, session: &mut FetchSession) -> bool {
        let must = session.tell(&Answered {
            key: &self.key,
            name: self.name.as_ref(),
            high_watermark: self.high_watermark,
            log_start: self.log_start,
            has_data: self.region.is_some(),
            error: self.error != NONE,
        });
        must || self.diverging.is_some()
    }

    pub fn topic(&self) -> (&StrBytes, crate::base::TopicId) {
        (&self.key.topic, self.key.topic_id)
    }
}
