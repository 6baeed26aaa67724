//! DeleteRecords (key 21), versions 0–2.
//!
//! Behaviour: moves the log start up to an offset (-1: the high watermark); durable when the answer leaves, also through a
//! kill (Kafka can undo it). Segments below go at once.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request, repeats};
use crate::broker::BrokerState;
use crate::topic::{MetadataRecord, Touch, collision_key};

pub const API: Api =
    Api { key: 21, name: "DeleteRecords", versions: (0, 2), advertised_from: 0, flexible_from: 2, handle };

const TO_HIGH_WATERMARK: i64 = -1;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DeleteRecordsRequest = request.decode(body)?;
    let responder = request.responder;
    let broker = request.broker().clone();
    Ok(Reply::Later(Box::pin(async move {
        let mut response = DeleteRecordsResponse::default();
        for topic in repeats::once_each(asked.topics) {
            let mut partitions = Vec::new();
            for p in topic.partitions {
                let mut out = DeleteRecordsPartitionResult::default();
                out.partition_index = p.partition_index;
                out.low_watermark = -1;
                match delete(&broker, &topic.name, p.partition_index, p.offset).await {
                    Ok(low_watermark) => out.low_watermark = low_watermark,
                    Err(error) => out.error_code = error.code(),
                }
                partitions.push(out);
            }
            response.topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
        }
        responder.frame(&response)
    })))
}

async fn delete(broker: &Arc<BrokerState>, topic: &str, index: i32, offset: i64) -> Result<i64, Error> {
    let found = broker.topics.topic(topic).ok_or(Error::UnknownTopicOrPartition)?;
    let partition = found.partition(index).ok_or(Error::UnknownTopicOrPartition)?;
    if found.is_internal() {
        return Err(Error::InvalidTopicException);
    }
    let settings = found.settings();
    if settings.resolved.cleanup_compact && !settings.resolved.cleanup_delete {
        return Err(Error::PolicyViolation);
    }
    let offsets = partition.offsets(broker.topics.env(), &settings.resolved).map_err(|e| errors::of_partition(&e))?;
    let offset = if offset == TO_HIGH_WATERMARK { offsets.high_watermark } else { offset };
    if offset < 0 || offset > offsets.high_watermark {
        return Err(Error::OffsetOutOfRange);
    }
    if offset <= offsets.log_start {
        return Ok(offsets.log_start);
    }
    let record = MetadataRecord::LogStart { id: found.id.0.as_u128(), partition: index as u32, offset };
    let id = found.id;
    let deleted = broker
        .topics
        .change(vec![Touch::Topic(collision_key(topic))], move |manager| match manager.topic_by_id(id) {
            Some(_) => (vec![record], Ok(())),
            None => (Vec::new(), Err(Error::UnknownTopicOrPartition)),
        })
        .await
        .map_err(|e| errors::of_change(&e))?;
    deleted?;
    // Another request may have moved it further meanwhile.
    Ok(partition.log_start_on_record().max(offset))
}
