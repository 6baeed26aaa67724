//! ListOffsets (key 2), versions 1–10. Kafka 4.2 also serves 11, which the codec does not know yet.
//!
//! Behaviour: the special timestamps, or the first record at or after a timestamp, exact to the record also inside a
//! compressed batch. What lies at or beyond what the isolation level lets be read counts as not found.
//! Version notes: v2 isolation level, v4 leader epochs, v7 -3 largest timestamp, v8 -4 earliest local, v9 -5 latest
//! tiered, v10 timeout (nothing here waits for a remote store).

use std::collections::HashSet;

use bytes::Bytes;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request};
use crate::log::TimestampedOffset;
use crate::topic::{Isolation, PartitionError};

pub const API: Api =
    Api { key: 2, name: "ListOffsets", versions: (1, 10), advertised_from: 1, flexible_from: 6, handle };

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// The replica id of an ordinary client. Whoever claims to be a replica, or debugs, is told the end of the log.
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
    let mut seen = HashSet::new();
    let mut duplicates = HashSet::new();
    for topic in &asked.topics {
        for partition in &topic.partitions {
            let key = (topic.name.clone(), partition.partition_index);
            if !seen.insert(key.clone()) {
                duplicates.insert(key);
            }
        }
    }
    let mut response = ListOffsetsResponse::default();
    for topic in &asked.topics {
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
        response
            .topics
            .push(ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions));
    }
    Ok(Reply::Now(request.responder.frame(&response)))
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
    let version = request.version;
    let at = |offset: i64| TimestampedOffset { timestamp: -1, offset, leader_epoch: offsets.leader_epoch };
    match timestamp {
        LATEST if replica_id != CONSUMER => Ok(at(offsets.end)),
        LATEST => Ok(at(match isolation {
            Isolation::ReadUncommitted => offsets.high_watermark,
            Isolation::ReadCommitted => offsets.last_stable_offset,
        })),
        EARLIEST => earliest(&partition, request, &settings.resolved, offsets.log_start),
        EARLIEST_LOCAL if version >= 8 => earliest(&partition, request, &settings.resolved, offsets.log_start),
        MAX_TIMESTAMP if version >= 7 => {
            Ok(partition.max_timestamp(env, &settings.resolved).map_err(failed)?.unwrap_or(NOT_FOUND))
        }
        LATEST_TIERED if version >= 9 => Ok(NOT_FOUND),
        ..0 => Err(Error::UnsupportedVersion),
        timestamp => {
            let found = partition.offset_for_timestamp(env, &settings.resolved, timestamp, isolation);
            Ok(found.map_err(failed)?.unwrap_or(NOT_FOUND))
        }
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
