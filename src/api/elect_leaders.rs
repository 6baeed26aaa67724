//! ElectLeaders (key 43), versions 0–2.
//!
//! Behaviour: the one replica leads already: ELECTION_NOT_NEEDED for each partition that is named; nothing to report when
//! all are meant (null). Version notes: v1 election type.

use bytes::Bytes;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use kafka_protocol::protocol::StrBytes;

use super::errors::Error;
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 43, name: "ElectLeaders", versions: (0, 2), advertised_from: 0, flexible_from: 2, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ElectLeadersRequest = request.decode(body)?;
    let mut response = ElectLeadersResponse::default();
    for topic in asked.topic_partitions.unwrap_or_default() {
        let found = request.broker().topics.topic(&topic.topic);
        let results = topic
            .partitions
            .iter()
            .map(|index| {
                let (error, message) = match &found {
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
