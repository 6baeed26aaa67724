//! A small valid body of every request served, at each version: what hostile tests cut, bend and overwrite.
//!
//! Bodies ask, never change, where the request allows it (`validate_only`), so that thousands of them leave a broker
//! as it was. They name the topic `hostile`.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Encodable;
use uuid::Uuid;

use crate::batch::Batch;
use crate::calls::{fetch_request, produce_request, text, topic_name};

pub const TOPIC: &str = "hostile";

/// The body, or `None` for a request that has no sample yet: whoever serves a new one adds it here.
pub fn body(key: ApiKey, version: i16, topic_id: Uuid) -> Option<Bytes> {
    let name = || topic_name(TOPIC);
    match key {
        // The codec ends at version 9, where topics go by name.
        ApiKey::OffsetCommit | ApiKey::OffsetFetch if version == 10 => {
            let mut body = body(key, 9, topic_id)?.to_vec();
            let name = [&[TOPIC.len() as u8 + 1], TOPIC.as_bytes()].concat();
            let at = body.windows(name.len()).position(|window| window == name)?;
            body.splice(at..at + name.len(), topic_id.into_bytes());
            Some(body.into())
        }
        ApiKey::Produce => {
            let mut request = produce_request(TOPIC, 0, Batch::of_values(["one", "two"]).keyed("k").build());
            if version >= 13 {
                request.topic_data[0].name = TopicName::default();
                request.topic_data[0].topic_id = topic_id;
            }
            encode(&request, version)
        }
        ApiKey::Fetch => {
            let mut request = fetch_request(TOPIC, 0, 0, 0).with_min_bytes(0).with_max_bytes(10_000);
            request.topics[0].partitions[0].partition_max_bytes = 10_000;
            if version >= 13 {
                request.topics[0].topic = TopicName::default();
                request.topics[0].topic_id = topic_id;
            }
            encode(&request, version)
        }
        ApiKey::ListOffsets => {
            let partition = list_offsets_request::ListOffsetsPartition::default().with_timestamp(-1);
            let topic =
                list_offsets_request::ListOffsetsTopic::default().with_name(name()).with_partitions(vec![partition]);
            encode(&ListOffsetsRequest::default().with_topics(vec![topic]), version)
        }
        ApiKey::Metadata => {
            let topic = metadata_request::MetadataRequestTopic::default().with_name(Some(name()));
            let request = MetadataRequest::default().with_topics(Some(vec![topic]));
            encode(&request.with_allow_auto_topic_creation(version < 4), version)
        }
        ApiKey::FindCoordinator if version < 4 => {
            encode(&FindCoordinatorRequest::default().with_key(text("g")), version)
        }
        ApiKey::FindCoordinator => {
            encode(&FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g"), text("h")]), version)
        }
        ApiKey::ApiVersions if version < 3 => encode(&ApiVersionsRequest::default(), version),
        ApiKey::ApiVersions => {
            let request = ApiVersionsRequest::default().with_client_software_name(text("sample"));
            encode(&request.with_client_software_version(text("1.0")), version)
        }
        ApiKey::CreateTopics => {
            let config = create_topics_request::CreatableTopicConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("1000")));
            let topic = create_topics_request::CreatableTopic::default()
                .with_name(topic_name("not-created"))
                .with_num_partitions(2)
                .with_replication_factor(1)
                .with_configs(vec![config]);
            let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000);
            encode(&request.with_validate_only(true), version)
        }
        ApiKey::DeleteTopics => {
            let request = DeleteTopicsRequest::default().with_timeout_ms(1000);
            let unknown = topic_name("not-there");
            if version < 6 {
                encode(&request.with_topic_names(vec![unknown]), version)
            } else {
                let topic = delete_topics_request::DeleteTopicState::default().with_name(Some(unknown));
                encode(&request.with_topics(vec![topic]), version)
            }
        }
        ApiKey::DeleteRecords => {
            let partition = delete_records_request::DeleteRecordsPartition::default().with_offset(0);
            let topic = delete_records_request::DeleteRecordsTopic::default()
                .with_name(name())
                .with_partitions(vec![partition]);
            encode(&DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000), version)
        }
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default().with_transactional_id(None);
            encode(&request.with_transaction_timeout_ms(1000), version)
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partition = offset_for_leader_epoch_request::OffsetForLeaderPartition::default().with_leader_epoch(0);
            let topic = offset_for_leader_epoch_request::OffsetForLeaderTopic::default()
                .with_topic(name())
                .with_partitions(vec![partition]);
            encode(&OffsetForLeaderEpochRequest::default().with_topics(vec![topic]), version)
        }
        ApiKey::CreatePartitions => {
            let topic = create_partitions_request::CreatePartitionsTopic::default()
                .with_name(name())
                .with_count(3)
                .with_assignments(None);
            let request = CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000);
            encode(&request.with_validate_only(true), version)
        }
        _ => cluster_body(key, version),
    }
}

fn cluster_body(key: ApiKey, version: i16) -> Option<Bytes> {
    let name = || topic_name(TOPIC);
    match key {
        ApiKey::DescribeConfigs => {
            let resource = describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(TOPIC))
                .with_configuration_keys(Some(vec![text("retention.ms")]));
            encode(&DescribeConfigsRequest::default().with_resources(vec![resource]), version)
        }
        ApiKey::AlterConfigs => {
            let config = alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("1000")));
            let resource = alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(TOPIC))
                .with_configs(vec![config]);
            let request = AlterConfigsRequest::default().with_resources(vec![resource]);
            encode(&request.with_validate_only(true), version)
        }
        ApiKey::IncrementalAlterConfigs => {
            let config = incremental_alter_configs_request::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("1000")));
            let resource = incremental_alter_configs_request::AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(TOPIC))
                .with_configs(vec![config]);
            let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
            encode(&request.with_validate_only(true), version)
        }
        ApiKey::DescribeLogDirs => {
            let topic = describe_log_dirs_request::DescribableLogDirTopic::default()
                .with_topic(name())
                .with_partitions(vec![0, 1]);
            encode(&DescribeLogDirsRequest::default().with_topics(Some(vec![topic])), version)
        }
        ApiKey::ElectLeaders => {
            let topic = elect_leaders_request::TopicPartitions::default().with_topic(name()).with_partitions(vec![0]);
            let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic]));
            encode(&request.with_timeout_ms(1000), version)
        }
        ApiKey::AlterPartitionReassignments => {
            let partition = alter_partition_reassignments_request::ReassignablePartition::default().with_replicas(None);
            let topic = alter_partition_reassignments_request::ReassignableTopic::default()
                .with_name(name())
                .with_partitions(vec![partition]);
            encode(&AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]), version)
        }
        ApiKey::ListPartitionReassignments => {
            let topic = list_partition_reassignments_request::ListPartitionReassignmentsTopics::default()
                .with_name(name())
                .with_partition_indexes(vec![0]);
            encode(&ListPartitionReassignmentsRequest::default().with_topics(Some(vec![topic])), version)
        }
        ApiKey::DescribeCluster => encode(&DescribeClusterRequest::default(), version),
        ApiKey::DescribeProducers => {
            let topic =
                describe_producers_request::TopicRequest::default().with_name(name()).with_partition_indexes(vec![0]);
            encode(&DescribeProducersRequest::default().with_topics(vec![topic]), version)
        }
        ApiKey::ListConfigResources if version == 0 => encode(&ListConfigResourcesRequest::default(), version),
        ApiKey::ListConfigResources => {
            encode(&ListConfigResourcesRequest::default().with_resource_types(vec![2, 4]), version)
        }
        ApiKey::DescribeTopicPartitions => {
            let topic = describe_topic_partitions_request::TopicRequest::default().with_name(name());
            let cursor = describe_topic_partitions_request::Cursor::default().with_topic_name(name());
            let request = DescribeTopicPartitionsRequest::default().with_topics(vec![topic]);
            encode(&request.with_response_partition_limit(10).with_cursor(Some(cursor)), version)
        }
        _ => group_body(key, version),
    }
}

/// Requests of consumer groups. None of them joins: an answer that waits would hold the test up.
fn group_body(key: ApiKey, version: i16) -> Option<Bytes> {
    let group = || GroupId(text("hostile-group"));
    match key {
        ApiKey::JoinGroup => {
            let protocol = join_group_request::JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(Bytes::from_static(b"\0\0"));
            let request = JoinGroupRequest::default()
                .with_group_id(group())
                .with_session_timeout_ms(10_000)
                .with_member_id(text("nobody"))
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol]);
            encode(&if version >= 1 { request.with_rebalance_timeout_ms(10_000) } else { request }, version)
        }
        ApiKey::SyncGroup => {
            let assignment = sync_group_request::SyncGroupRequestAssignment::default().with_member_id(text("nobody"));
            let request = SyncGroupRequest::default()
                .with_group_id(group())
                .with_member_id(text("nobody"))
                .with_assignments(vec![assignment]);
            encode(&request, version)
        }
        ApiKey::Heartbeat => {
            encode(&HeartbeatRequest::default().with_group_id(group()).with_member_id(text("nobody")), version)
        }
        ApiKey::LeaveGroup if version < 3 => {
            encode(&LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("nobody")), version)
        }
        ApiKey::LeaveGroup => {
            let member = leave_group_request::MemberIdentity::default().with_member_id(text("nobody"));
            encode(&LeaveGroupRequest::default().with_group_id(group()).with_members(vec![member]), version)
        }
        ApiKey::OffsetCommit => {
            let partition = offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(1);
            let topic = offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(topic_name(TOPIC))
                .with_partitions(vec![partition]);
            let request = OffsetCommitRequest::default()
                .with_group_id(group())
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topic]);
            encode(&request, version)
        }
        ApiKey::OffsetFetch if version < 8 => {
            let topic = offset_fetch_request::OffsetFetchRequestTopic::default()
                .with_name(topic_name(TOPIC))
                .with_partition_indexes(vec![0, 1]);
            encode(&OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic])), version)
        }
        ApiKey::OffsetFetch => {
            let topic = offset_fetch_request::OffsetFetchRequestTopics::default()
                .with_name(topic_name(TOPIC))
                .with_partition_indexes(vec![0, 1]);
            let wanted = offset_fetch_request::OffsetFetchRequestGroup::default()
                .with_group_id(group())
                .with_topics(Some(vec![topic]));
            encode(&OffsetFetchRequest::default().with_groups(vec![wanted]), version)
        }
        ApiKey::OffsetDelete => {
            let partition = offset_delete_request::OffsetDeleteRequestPartition::default();
            let topic = offset_delete_request::OffsetDeleteRequestTopic::default()
                .with_name(topic_name("not-there"))
                .with_partitions(vec![partition]);
            encode(&OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![topic]), version)
        }
        ApiKey::DescribeGroups => {
            encode(&DescribeGroupsRequest::default().with_groups(vec![group(), GroupId(text("not-there"))]), version)
        }
        ApiKey::ListGroups => {
            let request = ListGroupsRequest::default();
            encode(&if version >= 4 { request.with_states_filter(vec![text("Stable")]) } else { request }, version)
        }
        ApiKey::DeleteGroups => {
            encode(&DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("not-there"))]), version)
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let request = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group())
                .with_member_id(text("nobody"))
                .with_member_epoch(7)
                .with_topic_partitions(None);
            encode(&request.with_subscribed_topic_names(Some(vec![topic_name(TOPIC)])), version)
        }
        ApiKey::ConsumerGroupDescribe => {
            encode(&ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]), version)
        }
        _ => transaction_body(key, version),
    }
}

/// Of a transactional id that nobody has.
fn transaction_body(key: ApiKey, version: i16) -> Option<Bytes> {
    let (id, producer) = (TransactionalId(text("nobody")), ProducerId(7));
    let group = GroupId(text("g"));
    match key {
        ApiKey::AddPartitionsToTxn => {
            let topic = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
                .with_name(topic_name(TOPIC))
                .with_partitions(vec![0]);
            let request = AddPartitionsToTxnRequest::default();
            let request = if version < 4 {
                request
                    .with_v3_and_below_transactional_id(id)
                    .with_v3_and_below_producer_id(producer)
                    .with_v3_and_below_topics(vec![topic])
            } else {
                request.with_transactions(vec![
                    add_partitions_to_txn_request::AddPartitionsToTxnTransaction::default()
                        .with_transactional_id(id)
                        .with_producer_id(producer)
                        .with_verify_only(true)
                        .with_topics(vec![topic]),
                ])
            };
            encode(&request, version)
        }
        ApiKey::AddOffsetsToTxn => {
            let request = AddOffsetsToTxnRequest::default().with_transactional_id(id).with_producer_id(producer);
            encode(&request.with_group_id(group), version)
        }
        ApiKey::EndTxn => {
            let request = EndTxnRequest::default().with_transactional_id(id).with_producer_id(producer);
            encode(&request.with_committed(true), version)
        }
        ApiKey::WriteTxnMarkers => {
            let topic = write_txn_markers_request::WritableTxnMarkerTopic::default()
                .with_name(topic_name("no-such-topic"))
                .with_partition_indexes(vec![0]);
            let marker = write_txn_markers_request::WritableTxnMarker::default()
                .with_producer_id(producer)
                .with_topics(vec![topic]);
            encode(&WriteTxnMarkersRequest::default().with_markers(vec![marker]), version)
        }
        ApiKey::TxnOffsetCommit => {
            let partition = txn_offset_commit_request::TxnOffsetCommitRequestPartition::default()
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(text("m")));
            let topic = txn_offset_commit_request::TxnOffsetCommitRequestTopic::default()
                .with_name(topic_name(TOPIC))
                .with_partitions(vec![partition]);
            let request = TxnOffsetCommitRequest::default()
                .with_transactional_id(id)
                .with_group_id(group)
                .with_producer_id(producer)
                .with_generation_id(-1)
                .with_topics(vec![topic]);
            encode(&request, version)
        }
        ApiKey::DescribeTransactions => {
            encode(&DescribeTransactionsRequest::default().with_transactional_ids(vec![id]), version)
        }
        ApiKey::ListTransactions => {
            let mut request = ListTransactionsRequest::default()
                .with_state_filters(vec![text("Ongoing")])
                .with_producer_id_filters(vec![producer])
                .with_duration_filter(-1);
            if version >= 2 {
                request.transactional_id_pattern = Some(text("no.*"));
            }
            encode(&request, version)
        }
        _ => None,
    }
}

/// `None` at a version that the codec does not know (Produce 0-2 are advertised and served by nobody).
fn encode(request: &impl Encodable, version: i16) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).ok()?;
    Some(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fit_their_versions() {
        // The codec's own table overstates three of these by a version or two.
        for key in [ApiKey::Produce, ApiKey::Fetch, ApiKey::Metadata, ApiKey::CreateTopics, ApiKey::DescribeConfigs] {
            let range = key.valid_versions();
            for version in range.min.max(if key == ApiKey::Produce { 3 } else { 0 })..=range.max {
                assert!(body(key, version, Uuid::from_u128(7)).is_some(), "{key:?} version {version}");
            }
        }
    }
}
