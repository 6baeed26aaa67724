//! ListOffsets (key 2), versions 1–10. Kafka 4.2 also serves 11, which the codec does not know yet.
//!
//! Behaviour: the special timestamps, or the first record at or after a timestamp, exact to the record also inside a
//! compressed batch. What lies at or beyond what the isolation level lets be read counts as not found. A look-up by time
//! that leads into a remote store waits for it, up to the request's timeout (v10) or
//! `remote.list.offsets.request.timeout.ms`: then REQUEST_TIMED_OUT.
//! Version notes: v2 isolation level, v4 leader epochs, v7 -3 largest timestamp (of what is here), v8 -4 earliest local,
//! v9 -5 latest tiered, v10 timeout.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::errors::{self, Error};
use super::waiting::Waiting;
use super::{Api, BadRequest, Reply, Request, repeats};
use crate::config::{BrokerValues, TopicConfig};
use crate::log::TimestampedOffset;
use crate::topic::partition::PartitionEnv;
use crate::topic::{Isolation, Partition, PartitionError, RemoteLookUp, TopicManager};

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
    let manager = request.broker().topics.clone();
    let look_ups = LookUps {
        manager: manager.clone(),
        version: request.version,
        isolation,
        replica_id: asked.replica_id.0,
        duplicates: duplicates(&asked.topics),
        topics: repeats::once_each(asked.topics),
    };
    let (response, pending) = look_ups.answer();
    if pending.is_empty() {
        return Ok(Reply::Now(request.responder.frame(&response)));
    }
    let configured = manager.config().get_i64("remote.list.offsets.request.timeout.ms");
    let wait_ms = if request.version >= 10 { i64::from(asked.timeout_ms).max(0) } else { configured };
    let responder = request.responder;
    let mut stopping = request.context.stopping.clone();
    Ok(Reply::Later(Box::pin(async move {
        let waiting = Waiting::on(pending);
        let deadline = tokio::time::sleep(Duration::from_millis(wait_ms as u64));
        tokio::pin!(deadline);
        let response = loop {
            // Asked after registering: what has come in between is seen here or wakes the waiter.
            let (response, pending) = look_ups.answer();
            if pending.is_empty() {
                break response;
            }
            tokio::select! {
                () = waiting.woken() => {}
                () = &mut deadline => break response,
                () = stopping.wait() => break response,
            }
        };
        drop(waiting);
        responder.frame(&response)
    })))
}

/// What one request asks for.
struct LookUps {
    manager: Arc<TopicManager>,
    version: i16,
    /// `None`: a level that nobody knows.
    isolation: Option<Isolation>,
    replica_id: i32,
    duplicates: HashSet<(TopicName, i32)>,
    topics: Vec<ListOffsetsTopic>,
}

impl LookUps {
    /// The answer as of now, and the partitions that wait for a remote store: REQUEST_TIMED_OUT if this is sent.
    fn answer(&self) -> (ListOffsetsResponse, Vec<Arc<Partition>>) {
        let mut response = ListOffsetsResponse::default();
        let mut pending = Vec::new();
        for topic in &self.topics {
            let partitions = topic
                .partitions
                .iter()
                .map(|p| {
                    let duplicate = self.duplicates.contains(&(topic.name.clone(), p.partition_index));
                    let found = match self.isolation {
                        _ if duplicate => Err(Error::InvalidRequest),
                        None => Err(Error::UnknownServerError),
                        Some(isolation) => self.look_up(&topic.name, p, isolation),
                    };
                    let mut out = ListOffsetsPartitionResponse::default();
                    out.partition_index = p.partition_index;
                    let found = match found {
                        Ok(Found::Offset(found)) => found,
                        Ok(Found::Pending(partition)) => {
                            pending.push(partition);
                            out.error_code = Error::RequestTimedOut.code();
                            NOT_FOUND
                        }
                        Err(error) => {
                            out.error_code = error.code();
                            NOT_FOUND
                        }
                    };
                    out.timestamp = found.timestamp;
                    out.offset = found.offset;
                    out.leader_epoch = if self.version >= 4 { found.leader_epoch } else { -1 };
                    out
                })
                .collect();
            let name = topic.name.clone();
            response.topics.push(ListOffsetsTopicResponse::default().with_name(name).with_partitions(partitions));
        }
        (response, pending)
    }

    fn look_up(&self, topic: &str, asked: &ListOffsetsPartition, isolation: Isolation) -> Result<Found, Error> {
        // Refused before anything is looked up.
        if !is_served(asked.timestamp, self.version) {
            return Err(Error::UnsupportedVersion);
        }
        let topic = self.manager.topic(topic).ok_or(Error::UnknownTopicOrPartition)?;
        let partition = topic.partition(asked.partition_index).ok_or(Error::UnknownTopicOrPartition)?;
        let failed = |e: PartitionError| errors::of_partition(&e);
        let env = self.manager.env();
        let config = &topic.settings().resolved;
        let offsets = partition.offsets(env, config).map_err(failed)?;
        if let Some(error) = errors::check_leader_epoch(asked.current_leader_epoch, offsets.leader_epoch) {
            return Err(error);
        }
        let at = |offset: i64| TimestampedOffset { timestamp: -1, offset, leader_epoch: offsets.leader_epoch };
        let found = match asked.timestamp {
            LATEST if self.replica_id != CONSUMER => at(offsets.end),
            LATEST => at(offsets.visible_to(isolation)),
            EARLIEST => in_its_epoch(&partition, env, config, offsets.log_start)?,
            EARLIEST_LOCAL => in_its_epoch(&partition, env, config, offsets.local_start)?,
            MAX_TIMESTAMP => {
                let found = partition.max_timestamp(env, config).map_err(failed)?;
                found.filter(|found| found.offset < offsets.visible_to(isolation)).unwrap_or(NOT_FOUND)
            }
            LATEST_TIERED => match partition.manifest(env).map_err(|e| failed(e.into()))?.entries.last() {
                Some(last) => {
                    TimestampedOffset { timestamp: -1, offset: last.end - 1, leader_epoch: last.leader_epoch }
                }
                None => NOT_FOUND,
            },
            timestamp => match partition.offset_for_timestamp(env, config, timestamp, isolation).map_err(failed)? {
                RemoteLookUp::Found(found) => found.unwrap_or(NOT_FOUND),
                RemoteLookUp::Pending => return Ok(Found::Pending(partition)),
            },
        };
        Ok(Found::Offset(found))
    }
}

enum Found {
    Offset(TimestampedOffset),
    Pending(Arc<Partition>),
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

/// An offset, with the leader epoch in force there.
fn in_its_epoch(
    partition: &Partition,
    env: &PartitionEnv,
    config: &TopicConfig,
    offset: i64,
) -> Result<TimestampedOffset, Error> {
    let epoch = partition.with_log(env, config, |log| log.epoch_of(offset)).map_err(|e| errors::of_partition(&e))?;
    Ok(TimestampedOffset { timestamp: -1, offset, leader_epoch: epoch })
}
