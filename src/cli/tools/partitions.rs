//! Partitions of topics and their offsets: what several commands ask for.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};

use super::ToolError;
use crate::client::{Client, ClientError, To, topic_name};

/// ListOffsets before version 11 reads them as offsets of the log.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;

/// A partition as Kafka's tools write it in lists.
pub type Partition = (String, i32);

pub fn name_of(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_ref().map_or("", |name| name.0.as_str())
}

/// The leader of each partition of these topics.
pub fn leaders(client: &mut Client, topics: &[&str]) -> Result<BTreeMap<Partition, i32>, ToolError> {
    client
        .retried(|client| {
            let metadata = client.metadata(Some(topics))?;
            let mut leaders = BTreeMap::new();
            for found in &metadata.topics {
                ClientError::check(found.error_code, None)?;
                for partition in &found.partitions {
                    ClientError::check(partition.error_code, None)?;
                    leaders.insert((name_of(found).to_owned(), partition.partition_index), partition.leader_id.0);
                }
            }
            Ok(leaders)
        })
        .map_err(ToolError::from)
}

/// Where each partition is at a timestamp, or at one of Kafka's special ones. An offset of -1: nothing is there.
pub fn offsets_at(
    client: &mut Client,
    leaders: &BTreeMap<Partition, i32>,
    timestamp: i64,
    read_committed: bool,
) -> Result<BTreeMap<Partition, i64>, ToolError> {
    let mut offsets = BTreeMap::new();
    let nodes: std::collections::BTreeSet<i32> = leaders.values().copied().collect();
    for node in nodes {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for ((topic, partition), _) in leaders.iter().filter(|(_, leader)| **leader == node) {
            let wanted = ListOffsetsPartition::default()
                .with_partition_index(*partition)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp);
            topics.entry(topic).or_default().push(wanted);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(partitions)
        });
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(i8::from(read_committed))
            .with_topics(topics.collect());
        let answer = client.call(To::Node(node), i16::MAX, &request)?;
        for topic in &answer.topics {
            for partition in &topic.partitions {
                ClientError::check(partition.error_code, None)?;
                offsets.insert((topic.name.0.to_string(), partition.partition_index), partition.offset);
            }
        }
    }
    Ok(offsets)
}

/// A regular expression over whole names; commas are alternatives, as in Kafka's `IncludeList`.
pub fn whole_name(pattern: &str) -> Result<regex::Regex, ToolError> {
    let pattern = pattern.trim().replace(',', "|");
    regex::Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|e| ToolError::Usage(format!("{pattern} is no regular expression: {e}")))
}
