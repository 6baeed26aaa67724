//! DescribeTopicPartitions (key 75), version 0 (KIP-966).
//!
//! Behaviour: topics sorted by name, up to `max.request.partition.size.limit` partitions an answer, then a cursor to go on
//! from. Without a list, all topics. No replica is ever out of sync on one node: the lists of
//! eligible leader replicas are empty.

use bytes::Bytes;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};

use super::errors::Error;
use super::metadata::TOPIC_OPERATIONS;
use super::{Api, BadRequest, Reply, Request};
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
    let mut from_partition = 0;
    if let Some(cursor) = &asked.cursor {
        if cursor.partition_index < 0 {
            return Err(BadRequest("a cursor with a negative partition".into()));
        }
        let at: &str = &cursor.topic_name;
        names.retain(|name| name.as_str() >= at);
        from_partition = cursor.partition_index;
        if !asked.topics.is_empty() && !names.iter().any(|n| n == at) {
            names.push(at.to_owned());
        }
    }
    names.sort();
    names.dedup();
    let limit = manager.config().max_request_partition_size_limit();
    let mut left = asked.response_partition_limit.clamp(1, limit.max(1)) as usize;
    let mut response = DescribeTopicPartitionsResponse::default();
    for (i, name) in names.iter().enumerate() {
        let first = match &asked.cursor {
            Some(cursor) if i == 0 && &*cursor.topic_name == name.as_str() => from_partition as usize,
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
            out.topic_authorized_operations = i32::MIN;
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
            out.eligible_leader_replicas = Some(Vec::new());
            out.last_known_elr = Some(Vec::new());
            if p.offline_reason().is_some() {
                out.offline_replicas = vec![me];
            }
            out
        })
        .collect()
}
