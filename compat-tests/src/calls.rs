//! The requests that most tests need, each at one fixed version, as methods of `Client`.
//!
//! An `io::Error` is a connection that broke; what the broker answered is in the value.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::batch::{Batch, Record, read_batches};
use crate::wire::Client;

pub const PRODUCE_VERSION: i16 = 9;
pub const FETCH_VERSION: i16 = 12;

/// Kafka's error codes, as far as tests name them.
pub mod code {
    pub const NONE: i16 = 0;
    pub const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub const CORRUPT_MESSAGE: i16 = 2;
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    pub const NOT_LEADER_OR_FOLLOWER: i16 = 6;
    pub const MESSAGE_TOO_LARGE: i16 = 10;
    pub const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
    pub const INVALID_TOPIC_EXCEPTION: i16 = 17;
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
    pub const INVALID_PARTITIONS: i16 = 37;
    pub const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
    pub const KAFKA_STORAGE_ERROR: i16 = 56;
    pub const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
    pub const UNKNOWN_TOPIC_ID: i16 = 100;
}

pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;

#[derive(Clone, Copy)]
pub enum Resource {
    Topic = 2,
    Broker = 4,
    Group = 32,
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Client {
    pub fn api_versions(&mut self) -> io::Result<Vec<ApiVersion>> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("compat-tests"))
            .with_client_software_version(text("1"));
        Ok(self.call(3, &request)?.api_keys)
    }

    /// Every topic there is.
    pub fn all_topics(&mut self) -> io::Result<Vec<MetadataResponseTopic>> {
        let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        Ok(self.call(12, &request)?.topics)
    }

    pub fn topic_names(&mut self) -> io::Result<Vec<String>> {
        let mut names: Vec<_> =
            self.all_topics()?.into_iter().filter_map(|topic| Some(topic.name?.to_string())).collect();
        names.sort();
        Ok(names)
    }

    pub fn topic(&mut self, name: &str) -> io::Result<MetadataResponseTopic> {
        self.topic_or_create(name, false)
    }

    pub fn topic_or_create(&mut self, name: &str, create: bool) -> io::Result<MetadataResponseTopic> {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(create);
        first(self.call(12, &request)?.topics)
    }

    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> io::Result<i16> {
        let config = |(key, value): &(&str, &str)| {
            CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(-1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        Ok(first(self.call(7, &request)?.topics)?.error_code)
    }

    pub fn delete_topic(&mut self, name: &str) -> io::Result<i16> {
        let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
        let request = DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        Ok(first(self.call(6, &request)?.responses)?.error_code)
    }

    pub fn create_partitions(&mut self, name: &str, total: i32) -> io::Result<i16> {
        let topic =
            CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(total).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        Ok(first(self.call(3, &request)?.results)?.error_code)
    }

    pub fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> io::Result<PartitionProduceResponse> {
        let id = self.send_produce(topic, partition, batch)?;
        self.receive_produce(id)
    }

    pub fn send_produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> io::Result<i32> {
        self.send(PRODUCE_VERSION, &produce_request(topic, partition, batch))
    }

    pub fn receive_produce(&mut self, correlation_id: i32) -> io::Result<PartitionProduceResponse> {
        let answer = self.receive::<ProduceRequest>(PRODUCE_VERSION, correlation_id)?;
        first(first(answer.responses)?.partition_responses)
    }

    /// Produces and expects the offset: the way most tests fill a topic.
    #[track_caller]
    pub fn must_produce(&mut self, topic: &str, partition: i32, batch: &Batch) -> i64 {
        let mut answer = self.produce(topic, partition, batch.build()).expect("produce is answered");
        // Apache Kafka answers CreateTopics before the leader knows of it; Ottla may not.
        let not_yet = [code::NOT_LEADER_OR_FOLLOWER, code::UNKNOWN_TOPIC_OR_PARTITION];
        while not_yet.contains(&answer.error_code) && crate::broker::is_stand_in() {
            answer = self.produce(topic, partition, batch.build()).expect("produce is answered");
        }
        assert_eq!(answer.error_code, 0, "produce to {topic}-{partition}: {:?}", answer.error_message);
        answer.base_offset
    }

    /// Answers at once with what is there.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> io::Result<PartitionData> {
        self.fetch_waiting(topic, partition, offset, 0)
    }

    pub fn fetch_waiting(&mut self, topic: &str, partition: i32, offset: i64, wait: i32) -> io::Result<PartitionData> {
        let id = self.send(FETCH_VERSION, &fetch_request(topic, partition, offset, wait))?;
        let answer = self.receive::<FetchRequest>(FETCH_VERSION, id)?;
        if answer.error_code != 0 {
            return Err(io::Error::other(format!("Fetch answered error {}", answer.error_code)));
        }
        first(first(answer.responses)?.partitions)
    }

    /// Every record from `offset` to the high watermark, checksums and order verified.
    #[track_caller]
    pub fn read_from(&mut self, topic: &str, partition: i32, offset: i64) -> Vec<Record> {
        let (mut next, mut records) = (offset, Vec::new());
        loop {
            let data = self.fetch(topic, partition, next).expect("fetch is answered");
            assert_eq!(data.error_code, 0, "fetch of {topic}-{partition} at {next}");
            let batches = read_batches(data.records.unwrap_or_default()).expect("whole batches with right checksums");
            for batch in &batches {
                assert!(
                    batch.last_offset >= next,
                    "a batch of {topic}-{partition} ends at {} < {next}",
                    batch.last_offset
                );
                records.extend(batch.records.iter().filter(|record| record.offset >= next).cloned());
                next = batch.last_offset + 1;
            }
            if next >= data.high_watermark {
                return records;
            }
            assert!(!batches.is_empty(), "{topic}-{partition} gives nothing at {next} below {}", data.high_watermark);
        }
    }

    /// From the start of the log.
    #[track_caller]
    pub fn read_all(&mut self, topic: &str, partition: i32) -> Vec<Record> {
        let start = self.offset_at(topic, partition, EARLIEST);
        self.read_from(topic, partition, start)
    }

    /// The values of `read_all`, as text.
    #[track_caller]
    pub fn read_values(&mut self, topic: &str, partition: i32) -> Vec<String> {
        let value = |record: Record| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned();
        self.read_all(topic, partition).into_iter().map(value).collect()
    }

    /// Error code, offset and timestamp.
    pub fn list_offset(&mut self, topic: &str, partition: i32, timestamp: i64) -> io::Result<(i16, i64, i64)> {
        let partition = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        // The lowest version that knows the special timestamp.
        let version = if timestamp < -3 { 9 } else { 7 };
        let answer = self.call(version, &ListOffsetsRequest::default().with_topics(vec![topic]))?;
        let found = first(first(answer.topics)?.partitions)?;
        Ok((found.error_code, found.offset, found.timestamp))
    }

    #[track_caller]
    pub fn offset_at(&mut self, topic: &str, partition: i32, timestamp: i64) -> i64 {
        let (error, offset, _) = self.list_offset(topic, partition, timestamp).expect("ListOffsets is answered");
        assert_eq!(error, 0, "ListOffsets {timestamp} of {topic}-{partition}");
        offset
    }

    /// Error code and low watermark.
    pub fn delete_records(&mut self, topic: &str, partition: i32, before: i64) -> io::Result<(i16, i64)> {
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(before);
        let topic = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let result = first(first(self.call(2, &request)?.topics)?.partitions)?;
        Ok((result.error_code, result.low_watermark))
    }

    /// Sets one key, or deletes it. The broker's resource name is its id, "" for all brokers.
    pub fn alter_config(&mut self, kind: Resource, name: &str, key: &str, value: Option<&str>) -> io::Result<i16> {
        let config = AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(i8::from(value.is_none()))
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind as i8)
            .with_resource_name(text(name))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        Ok(first(self.call(1, &request)?.responses)?.error_code)
    }

    pub fn describe_configs(&mut self, kind: Resource, name: &str) -> io::Result<Vec<DescribeConfigsResourceResult>> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind as i8)
            .with_resource_name(text(name))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
        let result = first(self.call(4, &request)?.results)?;
        match result.error_code {
            0 => Ok(result.configs),
            error => Err(io::Error::other(format!("DescribeConfigs of {name}: error {error}"))),
        }
    }

    /// The value in force, whatever its source.
    #[track_caller]
    pub fn config(&mut self, kind: Resource, name: &str, key: &str) -> Option<String> {
        let configs = self.describe_configs(kind, name).expect("DescribeConfigs is answered");
        let entry = configs.into_iter().find(|entry| &*entry.name == key);
        entry.and_then(|entry| Some(entry.value?.to_string()))
    }

    /// Producer id and epoch of an idempotent producer.
    pub fn init_producer_id(&mut self) -> io::Result<(i64, i16)> {
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        let mut answer = self.call(4, &request)?;
        // Every client tries again while ids are being fetched.
        for _ in 0..100 {
            if answer.error_code != code::COORDINATOR_LOAD_IN_PROGRESS {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            answer = self.call(4, &request)?;
        }
        match answer.error_code {
            0 => Ok((answer.producer_id.0, answer.producer_epoch)),
            error => Err(io::Error::other(format!("InitProducerId: error {error}"))),
        }
    }

    /// Whether the broker answers this connection quickly: other clients' misdeeds must not be felt here.
    #[track_caller]
    pub fn assert_undisturbed(&mut self) {
        self.set_answer_limit(Duration::from_secs(3));
        let keys = self.api_versions().expect("another connection is undisturbed");
        assert!(keys.iter().any(|key| key.api_key == 0), "ApiVersions names Produce");
        self.set_answer_limit(Duration::from_secs(30));
    }
}

pub fn produce_request(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

pub fn fetch_request(topic: &str, partition: i32, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition =
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(8 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(32 << 20)
        .with_topics(vec![topic])
}

fn first<T>(items: Vec<T>) -> io::Result<T> {
    items.into_iter().next().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an answer without its item"))
}
