//! ElectLeaders (key 43), versions 0–2.
//!
//! Behaviour: the one replica leads already: ELECTION_NOT_NEEDED for each partition that is named; where all are meant
//! (null), every topic without a partition, since only elections that were needed are told of.
//! Version notes: v1 election type (preferred or unclean).

use bytes::Bytes;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::errors::{Error, refusal};
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 43, name: "ElectLeaders", versions: (0, 2), advertised_from: 0, flexible_from: 2, handle };

/// Preferred and unclean.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ElectLeadersRequest = request.decode(body)?;
    let known_type = request.version == 0 || ELECTION_TYPES.contains(&asked.election_type);
    let manager = &request.broker().topics;
    // What refuses the request as a whole, with its message. Kafka's controller does not begin what is late already.
    let refused = if !known_type {
        Some((Error::InvalidRequest, Some(format!("Unknown election type {}", asked.election_type))))
    } else {
        (asked.timeout_ms <= 0).then_some((Error::RequestTimedOut, None))
    };
    let mut response = ElectLeadersResponse::default();
    if let Some((error, _)) = &refused {
        response.error_code = error.code();
    } else if asked.topic_partitions.is_none() {
        response.replica_election_results = manager
            .topics()
            .iter()
            .map(|t| ReplicaElectionResult::default().with_topic(TopicName(super::owned(&t.name))))
            .collect();
    }
    for topic in asked.topic_partitions.unwrap_or_default() {
        let found = manager.topic(&topic.topic);
        let results = topic
            .partitions
            .iter()
            .map(|index| {
                let (error, message) = refused.clone().unwrap_or_else(|| match &found {
                    None => refusal(Error::UnknownTopicOrPartition, format!("No such topic as {}", *topic.topic)),
                    Some(found) if found.partition(*index).is_none() => {
                        let message = format!("No such partition as {}-{index}", *topic.topic);
                        refusal(Error::UnknownTopicOrPartition, message)
                    }
                    Some(_) => refusal(Error::ElectionNotNeeded, "Leader election not needed for topic partition."),
                });
                PartitionResult::default()
                    .with_partition_id(*index)
                    .with_error_code(error.code())
                    .with_error_message(message.map(StrBytes::from_string))
            })
            .collect();
        response
            .replica_election_results
            .push(ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(results));
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}
