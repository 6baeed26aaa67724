//! AlterPartitionReassignments (key 45), versions 0–1 (KIP-455).
//!
//! Behaviour: moving a partition to where it is succeeds at once; any other broker is unknown
//! (INVALID_REPLICA_ASSIGNMENT); a cancellation finds nothing in progress (NO_REASSIGNMENT_IN_PROGRESS).
//! Version notes: v1 whether the replication factor may change.

use bytes::Bytes;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use kafka_protocol::protocol::StrBytes;

use super::create_topics::check_replicas;
use super::errors::{Error, Refusal, refusal};
use super::{Api, BadRequest, Reply, Request};

pub const API: Api = Api {
    key: 45,
    name: "AlterPartitionReassignments",
    versions: (0, 1),
    advertised_from: 0,
    flexible_from: 0,
    handle,
};

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: AlterPartitionReassignmentsRequest = request.decode(body)?;
    let mut response = AlterPartitionReassignmentsResponse::default();
    // Without topics Kafka answers before its controller is asked, and the message is empty rather than null.
    response.error_message = asked.topics.is_empty().then(StrBytes::new);
    // Kafka's controller does not begin what is late already.
    let late = asked.timeout_ms <= 0 && !asked.topics.is_empty();
    if late {
        response.error_code = Error::RequestTimedOut.code();
    }
    if request.version >= 1 {
        response.allow_replication_factor_change = asked.allow_replication_factor_change;
    }
    for topic in asked.topics {
        let partitions = topic
            .partitions
            .iter()
            .map(|p| {
                let replicas = p.replicas.as_ref().map(|list| list.iter().map(|b| b.0).collect::<Vec<_>>());
                let mut out = ReassignablePartitionResponse::default();
                out.error_message = None;
                out.partition_index = p.partition_index;
                let outcome = match late {
                    true => Err((Error::RequestTimedOut, None)),
                    false => reassign(request, &topic.name, p.partition_index, replicas.as_deref()),
                };
                if let Err((error, message)) = outcome {
                    out.error_code = error.code();
                    out.error_message = message.map(StrBytes::from_string);
                }
                out
            })
            .collect();
        response.responses.push(ReassignableTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

fn reassign(request: &Request, topic: &str, partition: i32, replicas: Option<&[i32]>) -> Result<(), Refusal> {
    let broker = request.broker();
    let Some(topic_found) = broker.topics.topic(topic) else {
        let message = format!("Unable to find a topic named {topic}.");
        return Err(refusal(Error::UnknownTopicOrPartition, message));
    };
    if topic_found.partition(partition).is_none() {
        let message = format!("Unable to find partition {topic}:{partition}.");
        return Err(refusal(Error::UnknownTopicOrPartition, message));
    }
    match replicas {
        None => Err((Error::NoReassignmentInProgress, None)),
        Some(replicas) => check_replicas(replicas, broker.node_id),
    }
}
