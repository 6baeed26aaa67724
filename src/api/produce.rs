//! Produce (key 0), versions 3–13; advertised from 0, as Kafka does (KAFKA-18659: older librdkafka takes a higher minimum
//! for a broker that cannot compress). Versions 0–2 close the connection.
//!
//! Behaviour: each partition's batch is checked against its topic's rules and appended; acks 1 and -1 are the same on one
//! node. A topic that asks for durability is answered once its batch is synced, and the connection's next request does
//! not wait for that. Never creates a topic.
//! Version notes: v5 log start offset, v7 zstd, v8 record errors and messages, v10 current leader (never needed here), v11
//! TRANSACTION_ABORTABLE for a batch whose partition is not in its transaction, v12 adds partitions to transactions by itself, v13 topic ids.

mod transaction;

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request, repeats};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::config::{CompressionType, TimestampType, TopicConfig};
use crate::log::AppendError;
use crate::record::{self, BatchHeader, Codec, PreparedBatch, Rejection, Rules, validate};
use crate::topic::{Partition, PartitionError, Topic, TopicSettings};
use crate::wal::Ticket;
use transaction::{Membership, append_in_transaction};

pub const API: Api = Api { key: 0, name: "Produce", versions: (3, 13), advertised_from: 0, flexible_from: 9, handle };

/// Kafka's own tools may write to internal topics under this client id.
const ADMIN_CLIENT_ID: &str = "__admin_client";

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ProduceRequest = request.decode(body)?;
    let acks = asked.acks;
    let producer = match transaction::look_at(&asked) {
        Ok(producer) => producer,
        Err((error, message)) => return Ok(refused(request, asked, error, message)),
    };
    let topics = repeats::once_each(asked.topic_data).into_iter().map(|t| check(request, t, acks)).collect();
    let mut produced = Produced { tickets: Vec::new(), any_error: false };
    let mut response = match (producer, asked.transactional_id) {
        (Some(producer), Some(id)) => append_in_transaction(request, &id, producer, topics, &mut produced),
        _ => append(request, topics, &Membership::default(), &mut produced),
    };
    if acks == 0 {
        return Ok(if produced.any_error { Reply::Close } else { Reply::Nothing });
    }
    let responder = request.responder;
    if produced.tickets.is_empty() {
        return Ok(Reply::Now(responder.frame(&response)));
    }
    Ok(Reply::Durable(Box::pin(async move {
        for waiting in produced.tickets {
            if let Err(error) = waiting.ticket.committed().await {
                fail(&mut response, &waiting, &error.to_string());
            }
        }
        responder.frame(&response)
    })))
}

fn find(request: &Request, data: &TopicProduceData) -> Option<Arc<Topic>> {
    if request.version >= 13 {
        request.broker().topics.topic_by_id(TopicId(data.topic_id))
    } else {
        request.broker().topics.topic(&data.name)
    }
}

/// A topic of a request, each of its batches looked at.
struct CheckedTopic {
    name: TopicName,
    id: Uuid,
    partitions: Vec<(i32, Result<Checked, Refused>)>,
}

/// A batch, and where it is to go.
struct Checked {
    topic: Arc<Topic>,
    partition: Arc<Partition>,
    settings: Arc<TopicSettings>,
    /// `None` if it is too short to have one.
    header: Option<BatchHeader>,
    /// Ready to be appended, or what is wrong with it: that counts for less than whose transaction it is in.
    prepared: Result<PreparedBatch, Refused>,
}

fn check(request: &Request, data: TopicProduceData, acks: i16) -> CheckedTopic {
    let topic = find(request, &data);
    let each = data.partition_data.into_iter();
    let partitions = each.map(|p| (p.index, check_one(request, topic.as_ref(), p, acks))).collect();
    CheckedTopic { name: data.name, id: data.topic_id, partitions }
}

fn append(
    request: &Request,
    topics: Vec<CheckedTopic>,
    membership: &Membership,
    produced: &mut Produced,
) -> ProduceResponse {
    let mut response = ProduceResponse::default();
    response.responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (index, checked) in topic.partitions {
            let outcome = checked.and_then(|checked| append_one(request, checked, membership, &mut produced.tickets));
            produced.any_error |= outcome.is_err();
            partitions.push(answer(request.version, index, outcome));
        }
        let mut topic_response = TopicProduceResponse::default();
        topic_response.name = topic.name;
        topic_response.topic_id = topic.id;
        topic_response.partition_responses = partitions;
        response.responses.push(topic_response);
    }
    response
}

struct Produced {
    tickets: Vec<Waiting>,
    any_error: bool,
}

/// A partition whose batch is on its way to the disk.
struct Waiting {
    topic: Arc<str>,
    topic_id: TopicId,
    partition: i32,
    ticket: Ticket,
}

/// Why one partition's batch was not taken.
struct Refused {
    error: Error,
    message: Option<String>,
    record_errors: Vec<record::validate::RecordError>,
    log_start: i64,
}

impl Refused {
    fn new(error: Error, message: Option<String>) -> Refused {
        Refused { error, message, record_errors: Vec::new(), log_start: -1 }
    }
}

struct Taken {
    base_offset: i64,
    log_append_time_ms: i64,
    log_start: i64,
}

/// The one batch that a partition is sent, where that does not depend on the partition.
fn check_batch(request: &Request, records: Bytes) -> Result<Bytes, Refused> {
    let batch = validate::sole_batch(&records).map_err(|r| rejected(r, -1))?;
    if request.version < 7 && BatchHeader::read(&batch).is_some_and(|h| h.codec_bits() == Codec::Zstd.bits()) {
        return Err(Refused::new(Error::UnsupportedCompressionType, None));
    }
    Ok(batch)
}

fn refused(request: &Request, asked: ProduceRequest, error: Error, message: Option<String>) -> Reply {
    if asked.acks == 0 {
        return Reply::Close;
    }
    let mut response = ProduceResponse::default();
    for data in asked.topic_data {
        let refusal = || Err(Refused::new(error, message.clone()));
        let rows = data.partition_data.iter().map(|p| answer(request.version, p.index, refusal())).collect();
        let topic = TopicProduceResponse::default().with_name(data.name).with_topic_id(data.topic_id);
        response.responses.push(topic.with_partition_responses(rows));
    }
    Reply::Now(request.responder.frame(&response))
}

fn check_one(
    request: &Request,
    topic: Option<&Arc<Topic>>,
    data: PartitionProduceData,
    acks: i16,
) -> Result<Checked, Refused> {
    let refuse = |error| Refused::new(error, None);
    let unknown = if request.version >= 13 { Error::UnknownTopicId } else { Error::UnknownTopicOrPartition };
    let topic = topic.ok_or_else(|| refuse(unknown))?;
    let partition = topic.partition(data.index).ok_or_else(|| refuse(Error::UnknownTopicOrPartition))?;
    let batch = check_batch(request, data.records.unwrap_or_default())?;
    let header = BatchHeader::read(&batch);
    let broker = request.broker();
    let settings = topic.settings();
    let prepared = if !(-1..=1).contains(&acks) {
        Err(refuse(Error::InvalidRequiredAcks))
    } else if topic.is_internal() && request.client_id.as_deref() != Some(ADMIN_CLIENT_ID) {
        Err(refuse(Error::InvalidTopicException))
    } else {
        let log_start = || partition.offsets(broker.topics.env(), &settings.resolved).map_or(-1, |o| o.log_start);
        prepare(broker, &partition, &settings.resolved, batch).map_err(|r| rejected(r, log_start()))
    };
    Ok(Checked { topic: topic.clone(), partition, settings, header, prepared })
}

fn append_one(
    request: &Request,
    checked: Checked,
    membership: &Membership,
    tickets: &mut Vec<Waiting>,
) -> Result<Taken, Refused> {
    let Checked { topic, partition, settings, header, prepared } = checked;
    let (env, config) = (request.broker().topics.env(), &settings.resolved);
    let origin = membership.check(&topic.name, partition.index).map_err(|error| {
        if let Some(header) = &header {
            let _ = partition
                .with_log(env, config, |log| log.transaction_refused(header, transaction::version(request.version)));
        }
        transaction::not_a_member(request.version, error)
    })?;
    let log_start = || partition.offsets(env, config).map_or(-1, |o| o.log_start);
    let outcome = partition.append(env, config, &prepared?, origin).map_err(|e| append_failed(&e, log_start))?;
    if let Some(ticket) = outcome.ticket {
        tickets.push(Waiting { topic: topic.name.clone(), topic_id: topic.id, partition: partition.index, ticket });
    }
    let log_append_time = config.message_timestamp_type == TimestampType::LogAppendTime;
    Ok(Taken {
        base_offset: outcome.appended.base_offset,
        log_append_time_ms: if log_append_time || outcome.appended.duplicate {
            outcome.appended.max_timestamp
        } else {
            -1
        },
        log_start: outcome.log_start,
    })
}

/// Checks the batch against the topic's rules.
fn prepare(
    broker: &BrokerState,
    partition: &Arc<Partition>,
    config: &TopicConfig,
    batch: Bytes,
) -> Result<PreparedBatch, Rejection> {
    let rules = Rules {
        partition: &**partition,
        max_message_bytes: config.max_message_bytes,
        timestamp_type: match config.message_timestamp_type {
            TimestampType::CreateTime => record::TimestampType::CreateTime,
            TimestampType::LogAppendTime => record::TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.message_timestamp_before_max_ms,
        timestamp_after_max_ms: config.message_timestamp_after_max_ms,
        compacted: config.cleanup_compact,
        stored_codec: match config.compression_type {
            CompressionType::Producer => None,
            CompressionType::Uncompressed => Some((Codec::None, 0)),
            CompressionType::Gzip => Some((Codec::Gzip, config.compression_gzip_level)),
            CompressionType::Snappy => Some((Codec::Snappy, 0)),
            CompressionType::Lz4 => Some((Codec::Lz4, config.compression_lz4_level)),
            CompressionType::Zstd => Some((Codec::Zstd, config.compression_zstd_level)),
        },
        now_ms: broker.clock.wall_ms(),
    };
    validate::prepare(batch, &rules)
}

/// What is told of a rejection: a message only where single records are named, and the log start only of those errors
/// that Kafka does not treat as ordinary ones.
fn rejected(rejection: Rejection, log_start: i64) -> Refused {
    let error = errors::of_rejection(&rejection);
    match rejection {
        Rejection::InvalidRecord(message, records) | Rejection::InvalidTimestamp(message, records) => {
            let message = (!records.is_empty()).then_some(message);
            Refused { error, message, record_errors: records, log_start }
        }
        Rejection::Corrupt(_) | Rejection::TooLarge(_) => Refused::new(error, None),
        Rejection::Unreadable(_) => Refused { log_start, ..Refused::new(error, None) },
    }
}

fn append_failed(error: &PartitionError, log_start: impl FnOnce() -> i64) -> Refused {
    let mut refused = Refused::new(errors::of_partition(error), None);
    if let PartitionError::Append(
        AppendError::OutOfOrderSequence(_)
        | AppendError::InvalidProducerEpoch(_)
        | AppendError::InvalidTransactionState(_),
    ) = error
    {
        refused.log_start = log_start();
    }
    refused
}

fn answer(version: i16, index: i32, outcome: Result<Taken, Refused>) -> PartitionProduceResponse {
    let mut out = PartitionProduceResponse::default();
    out.index = index;
    out.error_message = None;
    match outcome {
        Ok(taken) => {
            out.base_offset = taken.base_offset;
            out.log_append_time_ms = taken.log_append_time_ms;
            out.log_start_offset = taken.log_start;
        }
        Err(refused) => {
            out.error_code = refused.error.code();
            out.base_offset = -1;
            out.log_append_time_ms = -1;
            out.log_start_offset = refused.log_start;
            if version >= 8 {
                out.error_message = refused.message.map(StrBytes::from_string);
                out.record_errors = refused
                    .record_errors
                    .into_iter()
                    .map(|e| {
                        BatchIndexAndErrorMessage::default()
                            .with_batch_index(e.batch_index)
                            .with_batch_index_error_message(e.message.map(StrBytes::from_string))
                    })
                    .collect();
            }
        }
    }
    if version < 5 {
        out.log_start_offset = -1;
    }
    out
}

/// Turns the answer of a batch that did not reach the disk into KAFKA_STORAGE_ERROR.
fn fail(response: &mut ProduceResponse, waiting: &Waiting, why: &str) {
    tracing::error!(topic = %waiting.topic, partition = waiting.partition, why, "a batch could not be made durable");
    for topic in &mut response.responses {
        if *topic.name.0 != *waiting.topic && topic.topic_id != waiting.topic_id.0 {
            continue;
        }
        for partition in topic.partition_responses.iter_mut().filter(|p| p.index == waiting.partition) {
            partition.error_code = Error::KafkaStorageError.code();
            partition.base_offset = -1;
            partition.log_append_time_ms = -1;
        }
    }
}
