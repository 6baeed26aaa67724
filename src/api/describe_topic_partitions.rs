//! DescribeTopicPartitions (key 75), version 0 (KIP-966).
//!
//! Behaviour: topics sorted by name, up to `max.request.partition.size.limit` partitions an answer, then a cursor to go on
//! from; a cursor that no such answer could have given is INVALID_REQUEST. Without a list, all topics. No other replica is
//! eligible on one node.

use bytes::Bytes;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};

use super::errors::Error;
use super::metadata::TOPIC_OPERATIONS;
use super::{Api, BadRequest, Frame, Reply, Request};
use crate::config::BrokerValues;
use crate::topic::{Topic, validate_name};

pub const API: Api =
    Api { key: 75, name: "DescribeTopicPartitions", versions: (0, 0), advertised_from: 0, flexible_from: 0, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DescribeTopicPartitionsRequest = request.decode(body)?;
    let manager = &request.broker().topics;
    let mut names: Vec<String> = if asked.topics.is_empty() {
        manager.topics().iter().map(|t| t.name.to_string()).collect()
    } else {
        asked.topics.iter().map(|t| t.name.to_string()).collect()
    };
    names.sort();
    names.dedup();
    if let Some(cursor) = &asked.cursor {
        let at: &str = &cursor.topic_name;
        names.retain(|name| name.as_str() >= at);
        // A cursor goes on where an answer to the same request ended: with one of its topics.
        let is_asked_for = asked.topics.is_empty() || names.first().is_some_and(|first| first == at);
        if cursor.partition_index < 0 || !is_asked_for {
            return Ok(Reply::Now(refused(request, &asked, Error::InvalidRequest)));
        }
    }
    if names.iter().any(String::is_empty) {
        return Ok(Reply::Now(refused(request, &asked, Error::UnknownServerError)));
    }
    let limit = manager.config().max_request_partition_size_limit();
    let mut left = asked.response_partition_limit.clamp(1, limit.max(1)) as usize;
    let mut response = DescribeTopicPartitionsResponse::default();
    for (i, name) in names.iter().enumerate() {
        let first = match &asked.cursor {
            Some(cursor) if i == 0 && &*cursor.topic_name == name.as_str() => cursor.partition_index as usize,
            _ => 0,
        };
        if left == 0 {
            response.next_cursor = Some(cursor(name, 0));
            break;
        }
        let mut out = DescribeTopicPartitionsResponseTopic::default();
        out.name = Some(TopicName(super::owned(name)));
        out.topic_authorized_operations = TOPIC_OPERATIONS;
        let Some(topic) = manager.topic(name) else {
            let error = if validate_name(name).is_err() {
                Error::InvalidTopicException
            } else {
                Error::UnknownTopicOrPartition
            };
            out.error_code = error.code();
            response.topics.push(out);
            continue;
        };
        out.topic_id = topic.id.0;
        out.is_internal = topic.is_internal();
        let total = topic.partitions().len();
        out.partitions = partitions(&topic, request.broker().node_id, first, left);
        left -= out.partitions.len();
        let next = first + out.partitions.len();
        response.topics.push(out);
        if next < total {
            response.next_cursor = Some(cursor(name, next as i32));
            break;
        }
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// The request as a whole is refused: there is no error but that of every topic.
fn refused(request: &Request, asked: &DescribeTopicPartitionsRequest, error: Error) -> Frame {
    let mut response = DescribeTopicPartitionsResponse::default();
    response.topics = asked
        .topics
        .iter()
        .map(|topic| {
            DescribeTopicPartitionsResponseTopic::default()
                .with_error_code(error.code())
                .with_name(Some(topic.name.clone()))
        })
        .collect();
    request.responder.frame(&response)
}

fn cursor(topic: &str, partition: i32) -> Cursor {
    Cursor::default().with_topic_name(TopicName(super::owned(topic))).with_partition_index(partition)
}

fn partitions(topic: &Topic, node_id: i32, first: usize, max: usize) -> Vec<DescribeTopicPartitionsResponsePartition> {
    let me = BrokerId(node_id);
    topic
        .partitions()
        .iter()
        .skip(first)
        .take(max)
        .map(|p| {
            let mut out = DescribeTopicPartitionsResponsePartition::default();
            out.partition_index = p.index;
            out.leader_id = me;
            out.leader_epoch = p.leader_epoch();
            out.replica_nodes = vec![me];
            out.isr_nodes = vec![me];
            // Empty, not null: the feature is on, and nobody else is eligible.
            out.eligible_leader_replicas = Some(Vec::new());
            out.last_known_elr = Some(Vec::new());
            if p.is_offline() {
                out.offline_replicas = vec![me];
            }
            out
        })
        .collect()
}
