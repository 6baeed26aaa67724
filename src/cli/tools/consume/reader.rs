//! Partitions read from positions of our own, with or without a group.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, FetchRequest};

use super::WAIT;
use crate::cli::tools::options::Options;
use crate::cli::tools::partitions::{self, Partition, name_of, whole_name};
use crate::cli::tools::{ToolError, failed, usage};
use crate::client::{Client, ClientError, ConsumedRecord, To, records_of, topic_name};

const FETCH_BYTES: i32 = 8 << 20;
/// Topics go by name up to here.
const VERSION_MAX: i16 = 12;

/// Which partitions are read: those of topics by name, also of topics and partitions that come later.
pub struct Wanted {
    topic: Option<String>,
    pattern: Option<regex::Regex>,
    partition: Option<i32>,
}

impl Wanted {
    pub fn new(client: &mut Client, options: &Options) -> Result<Wanted, ToolError> {
        let wanted = Wanted {
            topic: options.get("topic").map(str::to_owned),
            pattern: options.get("include").map(whole_name).transpose()?,
            partition: options.number("partition")?,
        };
        match (&wanted.topic, &wanted.pattern) {
            (Some(topic), None) => client.create_by_itself(topic)?,
            (None, Some(_)) => {}
            _ => return usage("Exactly one of --include/--topic is required."),
        }
        Ok(wanted)
    }

    pub fn topics(&self, client: &mut Client) -> Result<Vec<String>, ToolError> {
        let Some(pattern) = &self.pattern else { return Ok(self.topic.iter().cloned().collect()) };
        let metadata = client.metadata(None)?;
        let found = metadata.topics.iter().filter(|topic| !topic.is_internal && pattern.is_match(name_of(topic)));
        Ok(found.map(|topic| name_of(topic).to_owned()).collect())
    }
}

/// Reads partitions from positions of its own.
pub struct Reader {
    pub client: Client,
    pub wanted: Wanted,
    pub positions: BTreeMap<Partition, i64>,
    pub leaders: BTreeMap<Partition, i32>,
    pub read_committed: bool,
    /// Where to read what has no position.
    pub reset: i64,
}

impl Reader {
    /// Places every partition: at an offset that is asked for, or where the reset says.
    pub fn begin(&mut self, offset: Option<&str>) -> Result<(), ToolError> {
        self.look_up()?;
        let all: Vec<Partition> = self.leaders.keys().cloned().collect();
        match offset {
            Some("earliest") => self.reset = partitions::EARLIEST,
            Some("latest") => self.reset = partitions::LATEST,
            Some(number) => {
                let Some(offset) = number.parse::<i64>().ok().filter(|offset| *offset >= 0) else {
                    return usage(format!("The provided offset value '{number}' is incorrect."));
                };
                self.positions.extend(all.into_iter().map(|partition| (partition, offset)));
                return Ok(());
            }
            None => {}
        }
        self.place(&all, self.reset)
    }

    /// Looks up who leads what is wanted; answers the partitions that are new.
    pub fn look_up(&mut self) -> Result<Vec<Partition>, ToolError> {
        let names = self.wanted.topics(&mut self.client)?;
        let mut leaders = partitions::leaders(&mut self.client, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        if let Some(only) = self.wanted.partition {
            leaders.retain(|(_, partition), _| *partition == only);
            if leaders.is_empty() {
                return failed(format!("partition {only} does not exist"));
            }
        }
        let new = leaders.keys().filter(|partition| !self.leaders.contains_key(partition)).cloned().collect();
        self.leaders = leaders;
        Ok(new)
    }

    /// Puts these at a timestamp, or at the beginning or the end.
    pub fn place(&mut self, these: &[Partition], at: i64) -> Result<(), ToolError> {
        let of_these = |partition: &Partition| these.contains(partition);
        let leaders = self.leaders.iter().filter(|(partition, _)| of_these(partition));
        let leaders = leaders.map(|(partition, leader)| (partition.clone(), *leader)).collect();
        let offsets = partitions::offsets_at(&mut self.client, &leaders, at, self.read_committed)?;
        self.positions.extend(offsets);
        Ok(())
    }

    /// Records that are there, or come within a moment; in the order of their partitions.
    pub fn poll(&mut self) -> Result<Vec<(Partition, ConsumedRecord)>, ToolError> {
        if self.positions.is_empty() {
            std::thread::sleep(WAIT);
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let nodes: BTreeSet<i32> =
            self.positions.keys().filter_map(|partition| self.leaders.get(partition)).copied().collect();
        let wait = WAIT.as_millis() as i32 / nodes.len().max(1) as i32;
        for node in nodes {
            let mut topics: BTreeMap<&str, Vec<FetchPartition>> = BTreeMap::new();
            for (partition, position) in &self.positions {
                if self.leaders.get(partition) == Some(&node) {
                    let wanted = FetchPartition::default()
                        .with_partition(partition.1)
                        .with_current_leader_epoch(-1)
                        .with_fetch_offset(*position)
                        .with_log_start_offset(-1)
                        .with_partition_max_bytes(FETCH_BYTES / 8);
                    topics.entry(&partition.0).or_default().push(wanted);
                }
            }
            let topics = topics
                .into_iter()
                .map(|(topic, list)| FetchTopic::default().with_topic(topic_name(topic)).with_partitions(list));
            let request = FetchRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_max_wait_ms(wait.max(1))
                .with_min_bytes(1)
                .with_max_bytes(FETCH_BYTES)
                .with_isolation_level(i8::from(self.read_committed))
                .with_session_id(0)
                .with_session_epoch(-1)
                .with_topics(topics.collect());
            let answer = self.client.call(To::Node(node), VERSION_MAX, &request)?;
            ClientError::check(answer.error_code, None)?;
            for topic in answer.responses {
                for data in topic.partitions {
                    let partition = (topic.topic.0.to_string(), data.partition_index);
                    self.take(partition, &data, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    fn take(
        &mut self,
        partition: Partition,
        data: &PartitionData,
        found: &mut Vec<(Partition, ConsumedRecord)>,
    ) -> Result<(), ToolError> {
        match ClientError::check(data.error_code, None) {
            Err(error) if error.is(ResponseError::OffsetOutOfRange) => return self.place(&[partition], self.reset),
            other => other?,
        }
        let Some(position) = self.positions.get(&partition).copied() else { return Ok(()) };
        let mut aborted: Vec<(i64, i64)> =
            data.aborted_transactions.iter().flatten().map(|t| (t.first_offset, t.producer_id.0)).collect();
        aborted.sort_unstable();
        let mut open = BTreeSet::new();
        let (records, next) = records_of(data.records.as_deref().unwrap_or_default(), position, |header| {
            // A transaction is aborted from its first offset up to its marker.
            while let Some((_, producer)) = aborted.first().filter(|(first, _)| *first <= header.last_offset()) {
                open.insert(*producer);
                aborted.remove(0);
            }
            match header.is_control() {
                true => open.remove(&header.producer_id),
                false => header.is_transactional() && open.contains(&header.producer_id),
            }
        })?;
        found.extend(records.into_iter().map(|record| (partition.clone(), record)));
        self.positions.insert(partition, next);
        Ok(())
    }
}
