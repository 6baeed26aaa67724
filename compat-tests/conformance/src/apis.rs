//! The APIs under comparison and the versions that the codec and Kafka 4.2 share.

use std::collections::BTreeMap;

use kafka_protocol::messages::*;
use kafka_protocol::protocol::Message;

use crate::by_id;

/// One API served by the broker: every version in the range is to be advertised, and to be played by at least one step.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    pub key: i16,
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
}

/// The versions of one message as the codec knows them; `ApiKey::valid_versions` overstates some.
fn api<M: Message>(key: ApiKey, name: &'static str) -> Api {
    Api { key: key as i16, name, min: M::VERSIONS.min, max: M::VERSIONS.max }
}

/// Every API that Ottla is to serve by now, by key. An API that comes later is added here, and its scenarios with it.
pub fn served() -> Vec<Api> {
    vec![
        api::<ProduceRequest>(ApiKey::Produce, "Produce"),
        api::<FetchRequest>(ApiKey::Fetch, "Fetch"),
        api::<ListOffsetsRequest>(ApiKey::ListOffsets, "ListOffsets"),
        api::<MetadataRequest>(ApiKey::Metadata, "Metadata"),
        Api { max: by_id::VERSION, ..api::<OffsetCommitRequest>(ApiKey::OffsetCommit, "OffsetCommit") },
        Api { max: by_id::VERSION, ..api::<OffsetFetchRequest>(ApiKey::OffsetFetch, "OffsetFetch") },
        api::<FindCoordinatorRequest>(ApiKey::FindCoordinator, "FindCoordinator"),
        api::<JoinGroupRequest>(ApiKey::JoinGroup, "JoinGroup"),
        api::<HeartbeatRequest>(ApiKey::Heartbeat, "Heartbeat"),
        api::<LeaveGroupRequest>(ApiKey::LeaveGroup, "LeaveGroup"),
        api::<SyncGroupRequest>(ApiKey::SyncGroup, "SyncGroup"),
        api::<DescribeGroupsRequest>(ApiKey::DescribeGroups, "DescribeGroups"),
        api::<ListGroupsRequest>(ApiKey::ListGroups, "ListGroups"),
        api::<ApiVersionsRequest>(ApiKey::ApiVersions, "ApiVersions"),
        api::<CreateTopicsRequest>(ApiKey::CreateTopics, "CreateTopics"),
        api::<DeleteTopicsRequest>(ApiKey::DeleteTopics, "DeleteTopics"),
        api::<DeleteRecordsRequest>(ApiKey::DeleteRecords, "DeleteRecords"),
        api::<InitProducerIdRequest>(ApiKey::InitProducerId, "InitProducerId"),
        api::<OffsetForLeaderEpochRequest>(ApiKey::OffsetForLeaderEpoch, "OffsetForLeaderEpoch"),
        api::<AddPartitionsToTxnRequest>(ApiKey::AddPartitionsToTxn, "AddPartitionsToTxn"),
        api::<AddOffsetsToTxnRequest>(ApiKey::AddOffsetsToTxn, "AddOffsetsToTxn"),
        api::<EndTxnRequest>(ApiKey::EndTxn, "EndTxn"),
        api::<WriteTxnMarkersRequest>(ApiKey::WriteTxnMarkers, "WriteTxnMarkers"),
        api::<TxnOffsetCommitRequest>(ApiKey::TxnOffsetCommit, "TxnOffsetCommit"),
        api::<DescribeConfigsRequest>(ApiKey::DescribeConfigs, "DescribeConfigs"),
        api::<AlterConfigsRequest>(ApiKey::AlterConfigs, "AlterConfigs"),
        api::<DescribeLogDirsRequest>(ApiKey::DescribeLogDirs, "DescribeLogDirs"),
        api::<CreatePartitionsRequest>(ApiKey::CreatePartitions, "CreatePartitions"),
        api::<DeleteGroupsRequest>(ApiKey::DeleteGroups, "DeleteGroups"),
        api::<ElectLeadersRequest>(ApiKey::ElectLeaders, "ElectLeaders"),
        api::<IncrementalAlterConfigsRequest>(ApiKey::IncrementalAlterConfigs, "IncrementalAlterConfigs"),
        api::<AlterPartitionReassignmentsRequest>(ApiKey::AlterPartitionReassignments, "AlterPartitionReassignments"),
        api::<ListPartitionReassignmentsRequest>(ApiKey::ListPartitionReassignments, "ListPartitionReassignments"),
        api::<OffsetDeleteRequest>(ApiKey::OffsetDelete, "OffsetDelete"),
        api::<DescribeClusterRequest>(ApiKey::DescribeCluster, "DescribeCluster"),
        api::<DescribeProducersRequest>(ApiKey::DescribeProducers, "DescribeProducers"),
        api::<DescribeTransactionsRequest>(ApiKey::DescribeTransactions, "DescribeTransactions"),
        api::<ListTransactionsRequest>(ApiKey::ListTransactions, "ListTransactions"),
        api::<ConsumerGroupHeartbeatRequest>(ApiKey::ConsumerGroupHeartbeat, "ConsumerGroupHeartbeat"),
        api::<ConsumerGroupDescribeRequest>(ApiKey::ConsumerGroupDescribe, "ConsumerGroupDescribe"),
        api::<ListConfigResourcesRequest>(ApiKey::ListConfigResources, "ListConfigResources"),
        api::<DescribeTopicPartitionsRequest>(ApiKey::DescribeTopicPartitions, "DescribeTopicPartitions"),
    ]
}

/// The served API of that key.
pub fn by_key(key: i16) -> Option<Api> {
    served().into_iter().find(|api| api.key == key)
}

/// The name of an API key for people, served or not.
pub fn name_of(key: i16) -> String {
    by_key(key).map_or_else(|| format!("key {key}"), |api| api.name.to_string())
}

/// Steps counted by API and version, as the transcripts name them.
pub type Count = BTreeMap<(i16, i16), usize>;

/// The table API × version × steps of some APIs, and the versions that no step plays.
pub fn table(count: &Count, apis: &[Api]) -> (String, Vec<String>) {
    let mut text = format!("{:<28} {:>5}  steps by version\n", "API", "steps");
    let mut missing = Vec::new();
    let mut total = 0;
    for api in apis {
        let steps: usize = count.iter().filter(|((key, _), _)| *key == api.key).map(|(_, steps)| steps).sum();
        total += steps;
        let mut versions = String::new();
        for version in api.min..=api.max {
            let steps = count.get(&(api.key, version)).copied().unwrap_or(0);
            versions.push_str(&format!(" v{version}:{steps}"));
            if steps == 0 {
                missing.push(format!("{} v{version}", api.name));
            }
        }
        text.push_str(&format!("{:<28} {steps:>5} {versions}\n", api.name));
    }
    text.push_str(&format!("{:<28} {total:>5}\n", "all"));
    (text, missing)
}
