//! ElectLeaders (key 43), versions 0–2.
//!
//! Behaviour: the one replica leads already: ELECTION_NOT_NEEDED for each partition that is named; where all are meant
//! (null), every topic without a partition, since only elections that were needed are told of.
//! Version notes: v1 election type (preferred or unclean).

use bytes::Bytes;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::errors::Error;
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 43, name: "ElectLeaders", versions: (0, 2), advertised_from: 0, flexible_from: 2, handle };

/// Preferred and unclean.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ElectLeadersRequest = request.decode(body)?;
    let known_type = request.version == 0 || ELECTION_TYPES.contains(&asked.election_type);
    let manager = &request.broker().topics;
    let mut response = ElectLeadersResponse::default();
    if !known_type {
        response.error_code = Error::InvalidRequest.code();
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
                let (error, message) = match &found {
                    _ if !known_type => {
                        (Error::InvalidRequest, format!("Unknown election type {}", asked.election_type))
                    }
                    None => (Error::UnknownTopicOrPartition, format!("No such topic as {}", *topic.topic)),
                    Some(found) if found.partition(*index).is_none() => {
                        (Error::UnknownTopicOrPartition, format!("No such partition as {}-{index}", *topic.topic))
                    }
                    Some(_) => (Error::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned()),
                };
                PartitionResult::default()
                    .with_partition_id(*index)
                    .with_error_code(error.code())
                    .with_error_message(Some(StrBytes::from_string(message)))
            })
            .collect();
        response
            .replica_election_results
            .push(ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(results));
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}
