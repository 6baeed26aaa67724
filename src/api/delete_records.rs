//! DeleteRecords (key 21), versions 0–2.
//!
//! Behaviour: moves the log start up to an offset (-1: the high watermark); durable when the answer leaves, also through a
//! kill (Kafka can undo it). Segments below go at once.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::delete_records_request::DeleteRecordsTopic;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::errors::{self, Error};
use super::later::side_by_side;
use super::{Api, BadRequest, Reply, Request, repeats};
use crate::broker::BrokerState;
use crate::topic::{MetadataRecord, Partition, Topic, Touch, collision_key};

pub const API: Api =
    Api { key: 21, name: "DeleteRecords", versions: (0, 2), advertised_from: 0, flexible_from: 2, handle };

const TO_HIGH_WATERMARK: i64 = -1;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DeleteRecordsRequest = request.decode(body)?;
    let responder = request.responder;
    let broker = request.broker().clone();
    Ok(Reply::carried_out(async move {
        let topics = repeats::once_each(asked.topics);
        let topics = side_by_side(topics.into_iter().map(|topic| delete(&broker, topic))).await;
        responder.frame(&DeleteRecordsResponse::default().with_topics(topics))
    }))
}

/// Deletes from the partitions of one topic, in one change.
async fn delete(broker: &Arc<BrokerState>, asked: DeleteRecordsTopic) -> DeleteRecordsTopicResult {
    let found = broker.topics.topic(&asked.name);
    let goals: Vec<(i32, Result<Goal, Error>)> = asked
        .partitions
        .iter()
        .map(|p| {
            let topic = found.as_deref().ok_or(Error::UnknownTopicOrPartition);
            (p.partition_index, topic.and_then(|topic| goal(broker, topic, p.partition_index, p.offset)))
        })
        .collect();
    let moved = match &found {
        Some(topic) => move_log_starts(broker, topic, &goals).await,
        None => Ok(()),
    };
    let partitions = goals.into_iter().map(|(index, goal)| {
        let low = goal.and_then(|goal| match goal {
            Goal::IsThere(log_start) => Ok(log_start),
            // Another request may have moved it further meanwhile.
            Goal::Move(partition, offset) => moved.map(|()| partition.log_start_on_record().max(offset)),
        });
        let (low_watermark, code) = low.map_or_else(|error| (-1, error.code()), |low| (low, errors::NONE));
        DeleteRecordsPartitionResult::default()
            .with_partition_index(index)
            .with_low_watermark(low_watermark)
            .with_error_code(code)
    });
    let partitions = partitions.collect();
    DeleteRecordsTopicResult::default().with_name(asked.name).with_partitions(partitions)
}

/// What is to become of the log start of a partition.
enum Goal {
    IsThere(i64),
    Move(Arc<Partition>, i64),
}

fn goal(broker: &BrokerState, topic: &Topic, index: i32, offset: i64) -> Result<Goal, Error> {
    let partition = topic.partition(index).ok_or(Error::UnknownTopicOrPartition)?;
    if topic.is_internal() {
        return Err(Error::InvalidTopicException);
    }
    let settings = topic.settings();
    if settings.resolved.cleanup_compact && !settings.resolved.cleanup_delete {
        return Err(Error::PolicyViolation);
    }
    let offsets = partition.offsets(broker.topics.env(), &settings.resolved).map_err(|e| errors::of_partition(&e))?;
    let offset = if offset == TO_HIGH_WATERMARK { offsets.high_watermark } else { offset };
    if offset < 0 || offset > offsets.high_watermark {
        return Err(Error::OffsetOutOfRange);
    }
    if offset <= offsets.log_start {
        return Ok(Goal::IsThere(offsets.log_start));
    }
    Ok(Goal::Move(partition, offset))
}

async fn move_log_starts(
    broker: &BrokerState,
    topic: &Topic,
    goals: &[(i32, Result<Goal, Error>)],
) -> Result<(), Error> {
    let id = topic.id;
    let records = goals.iter().filter_map(|(index, goal)| match goal {
        Ok(Goal::Move(_, offset)) => {
            Some(MetadataRecord::LogStart { id: id.0.as_u128(), partition: *index as u32, offset: *offset })
        }
        _ => None,
    });
    let records: Vec<MetadataRecord> = records.collect();
    if records.is_empty() {
        return Ok(());
    }
    broker
        .topics
        .change(vec![Touch::Topic(collision_key(&topic.name))], move |manager| match manager.topic_by_id(id) {
            Some(_) => (records, Ok(())),
            None => (Vec::new(), Err(Error::UnknownTopicOrPartition)),
        })
        .await
        .unwrap_or_else(|e| Err(errors::of_change(&e)))
}
