//! What scenarios need before they begin: topics, records, ids. Nothing here is recorded.

use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Done, Play, Stop};
use crate::batch::Batch;

const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// Kafka shows a change before the log itself has taken it.
const SETTLE: Duration = Duration::from_millis(150);

pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_string())
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A topic that exists. It stands for its name wherever a name is asked for.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
}

impl std::ops::Deref for Topic {
    type Target = str;
    fn deref(&self) -> &str {
        &self.name
    }
}

impl Play {
    /// Creates a topic of the scenario.
    pub fn topic(&mut self, topic: &str, partitions: i32) -> Done<Topic> {
        self.topic_with(topic, partitions, &[])
    }

    pub fn topic_with(&mut self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Done<Topic> {
        let name = self.name(topic);
        let configs = configs
            .iter()
            .map(|(key, value)| CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value))))
            .collect();
        let creatable = CreatableTopic::default()
            .with_name(topic_name(&name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs);
        let request = CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(20_000);
        let answer = self.quiet(5, request)?;
        if answer.topics.first().is_none_or(|t| t.error_code != 0) {
            return Err(Stop(format!("cannot create {name}: {answer:?}")));
        }
        self.settled(&name, partitions)?;
        let id = self.id(&name)?;
        self.topics.push(name.clone());
        Ok(Topic { name, id })
    }

    /// Waits until every partition of a topic can be written and read.
    pub fn settled(&mut self, topic: &str, partitions: i32) -> Done {
        let asked = (0..partitions)
            .map(|p| ListOffsetsPartition::default().with_partition_index(p).with_timestamp(-1))
            .collect();
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(asked)]);
        self.wait(&format!("{topic} has {partitions} partitions"), |play| {
            let answer = play.quiet(3, request.clone())?;
            Ok(answer.topics.iter().all(|t| t.partitions.iter().all(|p| p.error_code == 0)))
        })?;
        self.id(topic).map(drop)
    }

    /// Waits until a deleted topic is gone, from listings and from the log.
    pub fn gone(&mut self, topic: &str) -> Done {
        let asked = vec![ListOffsetsPartition::default().with_timestamp(-1)];
        let offsets = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(asked)]);
        let metadata = metadata_of(topic);
        self.wait(&format!("{topic} is gone"), |play| {
            let unlisted = play.quiet(9, metadata.clone())?.topics.iter().all(|t| t.error_code == 3);
            let answer = play.quiet(3, offsets.clone())?;
            Ok(unlisted && answer.topics.iter().all(|t| t.partitions.iter().all(|p| p.error_code == 3)))
        })
    }

    pub fn delete(&mut self, topic: &str) -> Done {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(topic)]).with_timeout_ms(20_000);
        self.quiet(4, request)?;
        self.topics.retain(|known| known != topic);
        self.gone(topic)
    }

    /// After a change that a broker may apply late: a moment for the log to follow.
    pub fn settle(&self) {
        if self.target().settles_late {
            std::thread::sleep(SETTLE);
        }
    }

    pub fn wait(&mut self, what: &str, mut holds: impl FnMut(&mut Play) -> Done<bool>) -> Done {
        let deadline = Instant::now() + SETTLED_WITHIN;
        while !holds(self)? {
            if Instant::now() > deadline {
                return Err(Stop(format!("waited in vain until {what}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The id of a topic, known from here on by the topic's short name.
    pub fn id(&mut self, topic: &str) -> Done<Uuid> {
        let answer = self.quiet(12, metadata_of(topic))?;
        let id = answer.topics.first().map(|t| t.topic_id).unwrap_or_default();
        let short = topic.strip_prefix(&format!("{}-", self.prefix())).unwrap_or(topic).to_string();
        self.names.uuid(id, format!("<id {short}>"));
        Ok(id)
    }

    /// Appends a batch and returns its base offset.
    pub fn append(&mut self, topic: &str, partition: i32, batch: Batch) -> Done<i64> {
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.bytes()));
        let data = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
        let answer =
            self.quiet(9, ProduceRequest::default().with_acks(-1).with_timeout_ms(20_000).with_topic_data(vec![data]))?;
        match answer.responses.first().and_then(|t| t.partition_responses.first()) {
            Some(partition) if partition.error_code == 0 => Ok(partition.base_offset),
            other => Err(Stop(format!("cannot append to {topic}: {other:?}"))),
        }
    }
}

fn metadata_of(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
}
