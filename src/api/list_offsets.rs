//! ListOffsets (key 2), versions 1–10. Kafka 4.2 also serves 11, which the codec does not know yet.
//!
//! Behaviour: the special timestamps, or the first record at or after a timestamp, exact to the record also inside a
//! compressed batch. What lies at or beyond what the isolation level lets be read counts as not found.
//! Version notes: v2 isolation level, v4 leader epochs, v7 -3 largest timestamp, v8 -4 earliest local, v9 -5 latest
//! tiered, v10 timeout (nothing here waits for a remote store).

use std::collections::HashSet;

use bytes::Bytes;
use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request, repeats};
use crate::log::TimestampedOffset;
use crate::topic::{Isolation, PartitionError};

pub const API: Api =
    Api { key: 2, name: "ListOffsets", versions: (1, 10), advertised_from: 1, flexible_from: 6, handle };

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// The replica id of a consumer. Replicas (and Kafka's own tools, with -2) read to the end of the log.
const CONSUMER: i32 = -1;

/// Timestamp, offset and leader epoch of an answer; -1 each for none.
const NOT_FOUND: TimestampedOffset = TimestampedOffset { timestamp: -1, offset: -1, leader_epoch: -1 };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ListOffsetsRequest = request.decode(body)?;
    let isolation = match asked.isolation_level {
        0 => Some(Isolation::ReadUncommitted),
        1 => Some(Isolation::ReadCommitted),
        _ => None,
    };
    let duplicates = duplicates(&asked.topics);
    let mut response = ListOffsetsResponse::default();
    for topic in repeats::once_each(asked.topics) {
        let partitions = topic
            .partitions
            .iter()
            .map(|p| {
                let duplicate = duplicates.contains(&(topic.name.clone(), p.partition_index));
                let found = match isolation {
                    _ if duplicate => Err(Error::InvalidRequest),
                    None => Err(Error::UnknownServerError),
                    Some(isolation) => look_up(
                        request,
                        &topic.name,
                        p.partition_index,
                        p.current_leader_epoch,
                        p.timestamp,
                        isolation,
                        asked.replica_id.0,
                    ),
                };
                let mut out = ListOffsetsPartitionResponse::default();
                out.partition_index = p.partition_index;
                let found = found.unwrap_or_else(|error| {
                    out.error_code = error.code();
                    NOT_FOUND
                });
                out.timestamp = found.timestamp;
                out.offset = found.offset;
                out.leader_epoch = if request.version >= 4 { found.leader_epoch } else { -1 };
                out
            })
            .collect();
        response.topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// Partitions that are named twice: INVALID_REQUEST, once.
fn duplicates(topics: &[ListOffsetsTopic]) -> HashSet<(TopicName, i32)> {
    if repeats::is_plain(topics) {
        return HashSet::new();
    }
    let mut seen = HashSet::new();
    let named = topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), p.partition_index)));
    named.filter(|partition| !seen.insert(partition.clone())).collect()
}

fn look_up(
    request: &Request,
    topic: &str,
    partition: i32,
    claimed_epoch: i32,
    timestamp: i64,
    isolation: Isolation,
    replica_id: i32,
) -> Result<TimestampedOffset, Error> {
    // Refused before anything is looked up.
    if !is_served(timestamp, request.version) {
        return Err(Error::UnsupportedVersion);
    }
    let manager = &request.broker().topics;
    let topic = manager.topic(topic).ok_or(Error::UnknownTopicOrPartition)?;
    let partition = topic.partition(partition).ok_or(Error::UnknownTopicOrPartition)?;
    let failed = |e: PartitionError| errors::of_partition(&e);
    let env = manager.env();
    let settings = topic.settings();
    let offsets = partition.offsets(env, &settings.resolved).map_err(failed)?;
    if let Some(error) = errors::check_leader_epoch(claimed_epoch, offsets.leader_epoch) {
        return Err(error);
    }
    let at = |offset: i64| TimestampedOffset { timestamp: -1, offset, leader_epoch: offsets.leader_epoch };
    match timestamp {
        LATEST if replica_id != CONSUMER => Ok(at(offsets.end)),
        LATEST => Ok(at(offsets.visible_to(isolation))),
        EARLIEST | EARLIEST_LOCAL => earliest(&partition, request, &settings.resolved, offsets.log_start),
        MAX_TIMESTAMP => {
            let found = partition.max_timestamp(env, &settings.resolved).map_err(failed)?;
            Ok(found.filter(|found| found.offset < offsets.visible_to(isolation)).unwrap_or(NOT_FOUND))
        }
        LATEST_TIERED => Ok(NOT_FOUND),
        timestamp => {
            let found = partition.offset_for_timestamp(env, &settings.resolved, timestamp, isolation);
            Ok(found.map_err(failed)?.unwrap_or(NOT_FOUND))
        }
    }
}

/// Whether a version knows a timestamp; negative ones have meanings of their own.
fn is_served(timestamp: i64, version: i16) -> bool {
    match timestamp {
        LATEST | EARLIEST | 0.. => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        _ => false,
    }
}

/// The log start, with the leader epoch in force there.
fn earliest(
    partition: &crate::topic::Partition,
    request: &Request,
    config: &crate::config::TopicConfig,
    log_start: i64,
) -> Result<TimestampedOffset, Error> {
    let epoch = partition
        .with_log(request.broker().topics.env(), config, |log| log.epoch_of(log_start))
        .map_err(|e| errors::of_partition(&e))?;
    Ok(TimestampedOffset { timestamp: -1, offset: log_start, leader_epoch: epoch })
}
