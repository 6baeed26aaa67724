//! Produce (key 0), versions 3–13; advertised from 0, as Kafka does (KAFKA-18659: older librdkafka takes a higher minimum
//! for a broker that cannot compress). Versions 0–2 close the connection.
//!
//! Behaviour: each partition's batch is checked against its topic's rules and appended; acks 1 and -1 are the same on one
//! node. A topic that asks for durability is answered once its batch is synced, and the connection's next request does
//! not wait for that. Never creates a topic.
//! Version notes: v5 log start offset, v7 zstd, v8 record errors and messages, v10 current leader (never needed here), v11
//! transactional batches fail with TRANSACTION_ABORTABLE, v12 adds partitions to transactions by itself, v13 topic ids.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request, repeats};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::config::{CompressionType, TimestampType, TopicConfig};
use crate::log::AppendError;
use crate::record::{self, BatchHeader, Codec, PreparedBatch, Rejection, Rules, validate};
use crate::topic::{Partition, PartitionError, Topic};
use crate::wal::Ticket;

pub const API: Api = Api { key: 0, name: "Produce", versions: (3, 13), advertised_from: 0, flexible_from: 9, handle };

/// Kafka's own tools may write to internal topics under this client id.
const ADMIN_CLIENT_ID: &str = "__admin_client";

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ProduceRequest = request.decode(body)?;
    let acks = asked.acks;
    let mut produced = Produced { tickets: Vec::new(), any_error: false };
    if let Some((error, message)) = refuse_all(&asked) {
        return Ok(refused(request, asked, error, message));
    }
    let mut response = ProduceResponse::default();
    response.responses = Vec::with_capacity(asked.topic_data.len());
    for data in repeats::once_each(asked.topic_data) {
        let topic = if request.version >= 13 {
            request.broker().topics.topic_by_id(TopicId(data.topic_id))
        } else {
            request.broker().topics.topic(&data.name)
        };
        let mut partitions = Vec::with_capacity(data.partition_data.len());
        for partition in data.partition_data {
            let index = partition.index;
            let outcome = produce_one(request, topic.as_deref(), partition, acks, &mut produced.tickets);
            produced.any_error |= outcome.is_err();
            partitions.push(answer(request.version, index, outcome));
        }
        let mut topic_response = TopicProduceResponse::default();
        topic_response.name = data.name;
        topic_response.topic_id = data.topic_id;
        topic_response.partition_responses = partitions;
        response.responses.push(topic_response);
    }
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

/// What refuses the request as a whole: Kafka looks for transactions first, and so at the first batch of each partition.
fn refuse_all(asked: &ProduceRequest) -> Option<(Error, Option<String>)> {
    for partition in asked.topic_data.iter().flat_map(|t| &t.partition_data) {
        let Some(records) = &partition.records else { continue };
        match validate::first_header(records) {
            Ok(Some(header)) if header.is_transactional() => {
                return Some(match asked.transactional_id {
                    None => (Error::TransactionalIdAuthorizationFailed, None),
                    // No transactional id was ever initialised: transactions are not served.
                    Some(_) => (Error::InvalidProducerIdMapping, None),
                });
            }
            Ok(_) => {}
            Err(Rejection::Corrupt(message)) => return Some((Error::CorruptMessage, Some(message))),
            Err(other) => return Some((errors::of_rejection(&other), None)),
        }
    }
    None
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

fn produce_one(
    request: &Request,
    topic: Option<&Topic>,
    data: PartitionProduceData,
    acks: i16,
    tickets: &mut Vec<Waiting>,
) -> Result<Taken, Refused> {
    let refuse = |error| Refused::new(error, None);
    let unknown = if request.version >= 13 { Error::UnknownTopicId } else { Error::UnknownTopicOrPartition };
    let topic = topic.ok_or_else(|| refuse(unknown))?;
    let partition = topic.partition(data.index).ok_or_else(|| refuse(Error::UnknownTopicOrPartition))?;
    let records = data.records.unwrap_or_default();
    let batch = validate::sole_batch(&records).map_err(|r| rejected(r, -1))?;
    if request.version < 7 && BatchHeader::read(&batch).is_some_and(|h| h.codec_bits() == Codec::Zstd.bits()) {
        return Err(refuse(Error::UnsupportedCompressionType));
    }
    if !(-1..=1).contains(&acks) {
        return Err(refuse(Error::InvalidRequiredAcks));
    }
    if topic.is_internal() && request.client_id.as_deref() != Some(ADMIN_CLIENT_ID) {
        return Err(refuse(Error::InvalidTopicException));
    }
    let broker = request.broker();
    let settings = topic.settings();
    let config = &settings.resolved;
    let log_start = || partition.offsets(broker.topics.env(), config).map_or(-1, |o| o.log_start);
    let prepared = prepare(broker, &partition, config, batch).map_err(|r| rejected(r, log_start()))?;
    let outcome = partition.append(broker.topics.env(), config, &prepared).map_err(|e| append_failed(&e, log_start))?;
    if let Some(ticket) = outcome.ticket {
        tickets.push(Waiting { topic: topic.name.clone(), topic_id: topic.id, partition: data.index, ticket });
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
    if let PartitionError::Append(AppendError::OutOfOrderSequence(_) | AppendError::InvalidProducerEpoch(_)) = error {
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
