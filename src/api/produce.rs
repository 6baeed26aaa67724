//! Produce (key 0), versions 3–13; advertised from 0, as Kafka does (KAFKA-18659: older librdkafka takes a higher minimum
//! for a broker that cannot compress). Versions 0–2 close the connection.
//!
//! Behaviour: each partition's batch is checked against its topic's rules and appended; acks 1 and -1 are the same on one
//! node. A topic that asks for durability is answered once its batch is synced, and the connection's next request does
//! not wait for that. Never creates a topic.
//! Version notes: v5 log start offset, v7 zstd, v8 record errors and messages, v10 current leader (never needed here), v11
//! TRANSACTION_ABORTABLE for a batch whose partition is not in its transaction, v12 adds partitions to transactions by itself, v13 topic ids.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request, repeats};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::config::{BrokerValues, CompressionType, TimestampType, TopicConfig};
use crate::coordinator::TransactionError;
use crate::coordinator::transaction::state::{Producer, TopicPartition};
use crate::coordinator::transaction::{Members, Verification};
use crate::log::{AppendError, Origin};
use crate::record::{self, BatchHeader, Codec, PreparedBatch, Rejection, Rules, TransactionVersion, validate};
use crate::topic::{Partition, PartitionError, Topic};
use crate::wal::Ticket;

pub const API: Api = Api { key: 0, name: "Produce", versions: (3, 13), advertised_from: 0, flexible_from: 9, handle };

/// First version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 11;
/// First version that adds partitions to the transaction by itself.
const ADDS_FROM: i16 = 12;

/// Kafka's own tools may write to internal topics under this client id.
const ADMIN_CLIENT_ID: &str = "__admin_client";

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ProduceRequest = request.decode(body)?;
    let acks = asked.acks;
    let producer = match look_at_transaction(&asked) {
        Ok(producer) => producer,
        Err((error, message)) => return Ok(refused(request, asked, error, message)),
    };
    let topics = repeats::once_each(asked.topic_data);
    let mut produced = Produced { tickets: Vec::new(), any_error: false };
    let mut response = match (producer, asked.transactional_id) {
        (Some(producer), Some(id)) => produce_in_transaction(request, &id, producer, topics, acks, &mut produced),
        _ => produce(request, topics, acks, &Membership::default(), &mut produced),
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

/// What the coordinator says of partitions where a batch would begin its transaction.
#[derive(Default)]
struct Membership {
    asked: BTreeSet<TopicPartition>,
    answer: Option<Result<Members, TransactionError>>,
    version: Option<TransactionVersion>,
}

impl Membership {
    /// Whether a batch may be appended to the partition, as one that the coordinator knows of or as one that goes on.
    fn check(&self, topic: &str, partition: i32) -> Result<Origin, TransactionError> {
        let Some(answer) = &self.answer else { return Ok(Origin::CLIENT) };
        let place = (topic.to_owned(), partition);
        if !self.asked.contains(&place) {
            return Ok(Origin::CLIENT);
        }
        match answer {
            Err(error) => Err(*error),
            Ok(members) if members.partitions.contains(&place) => Ok(Origin::Client { verified: self.version }),
            Ok(_) => Err(TransactionError::TransactionAbortable),
        }
    }
}

/// Produces batches of a transaction. Where one would begin it in its partition, the transaction's coordinator is asked,
/// or told, and the transaction cannot end before the batch is appended.
fn produce_in_transaction(
    request: &Request,
    id: &str,
    producer: Producer,
    topics: Vec<TopicProduceData>,
    acks: i16,
    produced: &mut Produced,
) -> ProduceResponse {
    let broker = request.broker();
    let adds = request.version >= ADDS_FROM;
    let mut membership = Membership {
        asked: begun_by(request, &topics),
        answer: None,
        version: Some(if adds { TransactionVersion::V2 } else { TransactionVersion::V1 }),
    };
    if membership.asked.is_empty() {
        return produce(request, topics, acks, &membership, produced);
    }
    if !adds && !broker.topics.config().get_bool("transaction.partition.verification.enable") {
        membership.answer = Some(Ok(Members { partitions: membership.asked.clone(), durable: false }));
        return produce(request, topics, acks, &membership, produced);
    }
    let verification = if adds { Verification::Add } else { Verification::Check };
    let asked = membership.asked.clone();
    broker.transactions.within(id, producer, &asked, verification, |answer| {
        membership.answer = Some(answer);
        produce(request, topics, acks, &membership, produced)
    })
}

/// Partitions where a batch would begin its producer's transaction.
fn begun_by(request: &Request, topics: &[TopicProduceData]) -> BTreeSet<TopicPartition> {
    let mut begun = BTreeSet::new();
    for data in topics {
        let Some(topic) = find(request, data) else { continue };
        for partition_data in &data.partition_data {
            let header = partition_data.records.as_ref().and_then(|records| BatchHeader::read(records));
            let Some(header) = header.filter(|h| h.is_transactional() && h.has_producer()) else { continue };
            let Some(partition) = topic.partition(partition_data.index) else { continue };
            if check_batch(request, partition_data.records.clone().unwrap_or_default()).is_err() {
                continue;
            }
            let (env, settings) = (request.broker().topics.env(), topic.settings());
            let is_open = partition.with_log(env, &settings.resolved, |log| log.has_open_transaction(&header));
            if !is_open.unwrap_or(true) {
                begun.insert((topic.name.to_string(), partition_data.index));
            }
        }
    }
    begun
}

fn find(request: &Request, data: &TopicProduceData) -> Option<Arc<Topic>> {
    if request.version >= 13 {
        request.broker().topics.topic_by_id(TopicId(data.topic_id))
    } else {
        request.broker().topics.topic(&data.name)
    }
}

fn produce(
    request: &Request,
    topics: Vec<TopicProduceData>,
    acks: i16,
    membership: &Membership,
    produced: &mut Produced,
) -> ProduceResponse {
    let mut response = ProduceResponse::default();
    response.responses = Vec::with_capacity(topics.len());
    for data in topics {
        let topic = find(request, &data);
        let mut partitions = Vec::with_capacity(data.partition_data.len());
        for partition in data.partition_data {
            let index = partition.index;
            let outcome = produce_one(request, topic.as_deref(), partition, acks, membership, &mut produced.tickets);
            produced.any_error |= outcome.is_err();
            partitions.push(answer(request.version, index, outcome));
        }
        let mut topic_response = TopicProduceResponse::default();
        topic_response.name = data.name;
        topic_response.topic_id = data.topic_id;
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

/// Looks for transactions first, and so at the first batch of each partition: whose transaction the request is in, or
/// what refuses it as a whole.
fn look_at_transaction(asked: &ProduceRequest) -> Result<Option<Producer>, (Error, Option<String>)> {
    let mut producer = None;
    for partition in asked.topic_data.iter().flat_map(|t| &t.partition_data) {
        let Some(records) = &partition.records else { continue };
        match validate::first_header(records) {
            Ok(Some(header)) if header.is_transactional() => {
                if asked.transactional_id.is_none() {
                    return Err((Error::TransactionalIdAuthorizationFailed, None));
                }
                let this = Producer { id: header.producer_id, epoch: header.producer_epoch };
                // Without a producer id it is in nobody's transaction, and taken as it is.
                if header.has_producer() && *producer.get_or_insert(this) != this {
                    let message = "Transactional records contained more than one producer ID";
                    return Err((Error::InvalidProducerIdMapping, Some(message.into())));
                }
            }
            Ok(_) => {}
            Err(Rejection::Corrupt(message)) => return Err((Error::CorruptMessage, Some(message))),
            Err(other) => return Err((errors::of_rejection(&other), None)),
        }
    }
    Ok(producer)
}

/// Why a batch does not get into its transaction, in words that clients of that version know.
fn not_in_transaction(version: i16, error: TransactionError) -> Refused {
    let abortable = version >= ABORTABLE_FROM;
    match error {
        TransactionError::TransactionAbortable if !abortable => {
            Refused::new(Error::InvalidTxnState, Some("Partition was not added to the transaction".into()))
        }
        // Producers of before try again after this one, without asking for metadata.
        TransactionError::ConcurrentTransactions if version < ADDS_FROM => unverified("CONCURRENT_TRANSACTIONS"),
        TransactionError::CoordinatorNotAvailable => unverified("COORDINATOR_NOT_AVAILABLE"),
        TransactionError::NotCoordinator => unverified("NOT_COORDINATOR"),
        other => Refused::new(errors::of_transaction_for(other, false), None),
    }
}

fn unverified(why: &str) -> Refused {
    let message = format!("Unable to verify the partition has been added to the transaction. Underlying error: {why}");
    Refused::new(Error::NotEnoughReplicas, Some(message))
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

fn produce_one(
    request: &Request,
    topic: Option<&Topic>,
    data: PartitionProduceData,
    acks: i16,
    membership: &Membership,
    tickets: &mut Vec<Waiting>,
) -> Result<Taken, Refused> {
    let refuse = |error| Refused::new(error, None);
    let unknown = if request.version >= 13 { Error::UnknownTopicId } else { Error::UnknownTopicOrPartition };
    let topic = topic.ok_or_else(|| refuse(unknown))?;
    let partition = topic.partition(data.index).ok_or_else(|| refuse(Error::UnknownTopicOrPartition))?;
    let batch = check_batch(request, data.records.unwrap_or_default())?;
    let broker = request.broker();
    let settings = topic.settings();
    let config = &settings.resolved;
    let origin = membership.check(&topic.name, data.index).map_err(|error| {
        if let Some(header) = BatchHeader::read(&batch) {
            let _ = partition.with_log(broker.topics.env(), config, |log| log.transaction_refused(&header));
        }
        not_in_transaction(request.version, error)
    })?;
    if !(-1..=1).contains(&acks) {
        return Err(refuse(Error::InvalidRequiredAcks));
    }
    if topic.is_internal() && request.client_id.as_deref() != Some(ADMIN_CLIENT_ID) {
        return Err(refuse(Error::InvalidTopicException));
    }
    let log_start = || partition.offsets(broker.topics.env(), config).map_or(-1, |o| o.log_start);
    let prepared = prepare(broker, &partition, config, batch).map_err(|r| rejected(r, log_start()))?;
    let outcome =
        partition.append(broker.topics.env(), config, &prepared, origin).map_err(|e| append_failed(&e, log_start))?;
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
