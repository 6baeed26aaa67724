//! Requests in a line, each with only the fields that its version has.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig as IncrementalConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use uuid::Uuid;

use crate::play::{Done, Play, Topic, text, topic_name};
use bytes::Bytes;

/// Kafka's resource types.
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;

/// Metadata of named topics (`None`: of all), without creating any where the version can say so.
pub fn metadata(version: i16, topics: Option<&[&str]>) -> MetadataRequest {
    let topics = topics
        .map(|names| names.iter().map(|n| MetadataRequestTopic::default().with_name(Some(topic_name(n)))).collect());
    MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(version < 4)
}

pub fn metadata_by_id(ids: &[Uuid]) -> MetadataRequest {
    let topics = ids.iter().map(|id| MetadataRequestTopic::default().with_topic_id(*id).with_name(None)).collect();
    MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(false)
}

/// Produce to partitions of one topic, acks=all.
pub fn produce_to(version: i16, topic: &Topic, partitions: Vec<(i32, Bytes)>) -> ProduceRequest {
    let data = partitions
        .into_iter()
        .map(|(index, records)| PartitionProduceData::default().with_index(index).with_records(Some(records)))
        .collect();
    let data = TopicProduceData::default().with_partition_data(data);
    let data = if version >= 13 { data.with_topic_id(topic.id) } else { data.with_name(topic_name(topic)) };
    ProduceRequest::default().with_acks(-1).with_timeout_ms(20_000).with_topic_data(vec![data])
}

/// Produce to partition 0 of one topic, acks=all.
pub fn produce(version: i16, topic: &Topic, records: Bytes) -> ProduceRequest {
    produce_to(version, topic, vec![(0, records)])
}

/// Produce to a topic by a name that may not exist.
pub fn produce_named(name: &str, partition: i32, records: Bytes) -> ProduceRequest {
    produce_to(9, &Topic { name: name.into(), id: Uuid::nil() }, vec![(partition, records)])
}

/// One partition to fetch from an offset, as much as there is.
pub fn from(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(1 << 20)
}

/// Topics to fetch, by id from version 13.
pub fn fetch_topic(version: i16, topic: &Topic, partitions: Vec<FetchPartition>) -> FetchTopic {
    let data = FetchTopic::default().with_partitions(partitions);
    if version >= 13 { data.with_topic_id(topic.id) } else { data.with_topic(topic_name(topic)) }
}

/// Fetch that does not wait.
pub fn fetch(version: i16, topic: &Topic, partitions: Vec<FetchPartition>) -> FetchRequest {
    fetch_topics(vec![fetch_topic(version, topic, partitions)])
}

pub fn fetch_topics(topics: Vec<FetchTopic>) -> FetchRequest {
    FetchRequest::default()
        .with_max_wait_ms(0)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(topics)
}

pub fn forgotten(version: i16, topic: &Topic, partitions: &[i32]) -> ForgottenTopic {
    let data = ForgottenTopic::default().with_partitions(partitions.to_vec());
    if version >= 13 { data.with_topic_id(topic.id) } else { data.with_topic(topic_name(topic)) }
}

/// ListOffsets of partitions with timestamps.
pub fn list_offsets(topic: &str, asked: &[(i32, i64)]) -> ListOffsetsRequest {
    let partitions = asked
        .iter()
        .map(|(p, at)| ListOffsetsPartition::default().with_partition_index(*p).with_timestamp(*at))
        .collect();
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
    ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
}

/// OffsetForLeaderEpoch of partitions: (partition, current epoch, epoch asked for).
pub fn epoch_ends(version: i16, topic: &str, asked: &[(i32, i32, i32)]) -> OffsetForLeaderEpochRequest {
    let partitions = asked
        .iter()
        .map(|(partition, current, epoch)| {
            OffsetForLeaderPartition::default()
                .with_partition(*partition)
                .with_current_leader_epoch(*current)
                .with_leader_epoch(*epoch)
        })
        .collect();
    let topic = OffsetForLeaderTopic::default().with_topic(topic_name(topic)).with_partitions(partitions);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    if version >= 3 { request.with_replica_id(BrokerId(-1)) } else { request }
}

/// A topic to create.
pub fn creatable(name: &str, partitions: i32, replicas: i16, configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let configs = configs
        .iter()
        .map(|(k, v)| CreatableTopicConfig::default().with_name(text(k)).with_value(v.map(text)))
        .collect();
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
        .with_configs(configs)
}

/// A topic to create with its replicas assigned: (partition, brokers).
pub fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments
        .iter()
        .map(|(partition, brokers)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(*partition)
                .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
        })
        .collect();
    creatable(name, -1, -1, &[]).with_assignments(assignments)
}

pub fn create(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(20_000)
}

/// DeleteTopics by name at any version.
pub fn delete(version: i16, names: &[&str]) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(20_000);
    if version >= 6 {
        let topics = names.iter().map(|n| DeleteTopicState::default().with_name(Some(topic_name(n)))).collect();
        return request.with_topics(topics);
    }
    request.with_topic_names(names.iter().map(|n| topic_name(n)).collect())
}

pub fn delete_by_id(ids: &[Uuid]) -> DeleteTopicsRequest {
    let topics = ids.iter().map(|id| DeleteTopicState::default().with_name(None).with_topic_id(*id)).collect();
    DeleteTopicsRequest::default().with_timeout_ms(20_000).with_topics(topics)
}

/// CreatePartitions of one topic, with the replicas of the new partitions or without.
pub fn grow(topic: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsRequest {
    let assignments = assignments.map(|all| {
        let ids = |brokers: &&[i32]| brokers.iter().copied().map(BrokerId).collect();
        all.iter().map(|brokers| CreatePartitionsAssignment::default().with_broker_ids(ids(brokers))).collect()
    });
    let topic =
        CreatePartitionsTopic::default().with_name(topic_name(topic)).with_count(count).with_assignments(assignments);
    CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(20_000)
}

pub fn delete_records(topic: &str, offsets: &[(i32, i64)]) -> DeleteRecordsRequest {
    let partitions = offsets
        .iter()
        .map(|(p, o)| DeleteRecordsPartition::default().with_partition_index(*p).with_offset(*o))
        .collect();
    let topic = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
    DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(20_000)
}

/// DescribeConfigs of one resource; no keys means all of them.
pub fn describe(kind: i8, name: &str, keys: &[&str]) -> DescribeConfigsRequest {
    let keys = (!keys.is_empty()).then(|| keys.iter().map(|k| text(k)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    DescribeConfigsRequest::default().with_resources(vec![resource])
}

/// AlterConfigs of one resource: what is not named is reset.
pub fn alter(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsRequest {
    let configs =
        configs.iter().map(|(k, v)| AlterableConfig::default().with_name(text(k)).with_value(v.map(text))).collect();
    let resource =
        AlterConfigsResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configs(configs);
    AlterConfigsRequest::default().with_resources(vec![resource])
}

pub const SET: i8 = 0;
pub const DELETE: i8 = 1;
pub const APPEND: i8 = 2;
pub const SUBTRACT: i8 = 3;

/// IncrementalAlterConfigs of one resource: (key, operation, value).
pub fn change(kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> IncrementalAlterConfigsRequest {
    let configs = changes
        .iter()
        .map(|(key, operation, value)| {
            IncrementalConfig::default()
                .with_name(text(key))
                .with_config_operation(*operation)
                .with_value(value.map(text))
        })
        .collect();
    let resource =
        IncrementalResource::default().with_resource_type(kind).with_resource_name(text(name)).with_configs(configs);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

/// Makes sure that `__consumer_offsets` is there: Kafka creates it when a coordinator is asked for.
pub fn offsets_topic(play: &mut Play) -> Done {
    play.wait("the internal topic is there", |play| {
        let find = FindCoordinatorRequest::default().with_key(text("g"));
        Ok(play.quiet(3, find)?.error_code != ResponseError::CoordinatorNotAvailable.code())
    })
}
