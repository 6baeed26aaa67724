//! DescribeProducers (key 61), version 0 (KIP-664).
//!
//! Behaviour: who wrote to a partition lately with a producer id, as the log remembers them.

use bytes::Bytes;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error, UNKNOWN_PARTITION_TEXT};
use super::{Api, BadRequest, Reply, Request};
use crate::log::ActiveProducer;
use crate::topic::validate_name;

pub const API: Api =
    Api { key: 61, name: "DescribeProducers", versions: (0, 0), advertised_from: 0, flexible_from: 0, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DescribeProducersRequest = request.decode(body)?;
    let mut response = DescribeProducersResponse::default();
    for topic in asked.topics {
        let partitions = topic
            .partition_indexes
            .iter()
            .map(|index| {
                let mut out = PartitionResponse::default();
                out.error_message = None;
                out.partition_index = *index;
                match producers(request, &topic.name, *index) {
                    Ok(list) => out.active_producers = list.into_iter().map(state).collect(),
                    Err((error, message)) => {
                        out.error_code = error.code();
                        out.error_message = message.map(StrBytes::from_string);
                    }
                }
                out
            })
            .collect();
        response.topics.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

fn producers(request: &Request, topic: &str, index: i32) -> Result<Vec<ActiveProducer>, (Error, Option<String>)> {
    if let Err(why) = validate_name(topic) {
        return Err((Error::InvalidTopicException, Some(why.0)));
    }
    let manager = &request.broker().topics;
    let Some(topic) = manager.topic(topic) else {
        return Err((Error::UnknownTopicOrPartition, Some(UNKNOWN_PARTITION_TEXT.into())));
    };
    let Some(partition) = topic.partition(index) else { return Err((Error::UnknownTopicOrPartition, None)) };
    partition
        .with_log(manager.env(), &topic.settings().resolved, |log| log.active_producers())
        .map_err(|e| (errors::of_partition(&e), Some(e.to_string())))
}

fn state(producer: ActiveProducer) -> ProducerState {
    let mut out = ProducerState::default();
    out.producer_id = ProducerId(producer.producer_id);
    out.producer_epoch = i32::from(producer.epoch);
    out.last_sequence = producer.last_sequence;
    out.last_timestamp = producer.last_timestamp;
    out.coordinator_epoch = producer.coordinator_epoch;
    out.current_txn_start_offset = producer.open_transaction.unwrap_or(-1);
    out
}
