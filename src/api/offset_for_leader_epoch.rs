//! OffsetForLeaderEpoch (key 23), versions 2–4.
//!
//! Behaviour (KIP-101, KIP-320): the end of the largest epoch that is at most the one asked for; the log's end for the
//! latest; -1 and -1, without an error, for an epoch above it.
//! Version notes: v3 replica id (-1 for consumers).

use bytes::Bytes;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request};
use crate::log::EpochEnd;

pub const API: Api =
    Api { key: 23, name: "OffsetForLeaderEpoch", versions: (2, 4), advertised_from: 2, flexible_from: 4, handle };

/// A consumer that knows no epoch asks with this one.
const UNDEFINED_EPOCH: i32 = -1;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: OffsetForLeaderEpochRequest = request.decode(body)?;
    let mut response = OffsetForLeaderEpochResponse::default();
    for topic in asked.topics {
        let partitions = topic
            .partitions
            .iter()
            .map(|p| {
                let mut out = EpochEndOffset::default();
                out.partition = p.partition;
                match end_of(request, &topic.topic, p.partition, p.current_leader_epoch, p.leader_epoch) {
                    Ok(Some(end)) => {
                        out.leader_epoch = end.epoch;
                        out.end_offset = end.end_offset;
                    }
                    Ok(None) => {}
                    Err(error) => out.error_code = error.code(),
                }
                out
            })
            .collect();
        response.topics.push(OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions));
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

fn end_of(
    request: &Request,
    topic: &str,
    partition: i32,
    claimed_epoch: i32,
    epoch: i32,
) -> Result<Option<EpochEnd>, Error> {
    let manager = &request.broker().topics;
    let topic = manager.topic(topic).ok_or(Error::UnknownTopicOrPartition)?;
    let partition = topic.partition(partition).ok_or(Error::UnknownTopicOrPartition)?;
    partition
        .with_log(manager.env(), &topic.settings().resolved, |log| {
            match errors::check_leader_epoch(claimed_epoch, log.leader_epoch()) {
                Some(error) => Err(error),
                None if epoch == UNDEFINED_EPOCH => Ok(None),
                None => Ok(log.epoch_end(epoch)),
            }
        })
        .map_err(|e| errors::of_partition(&e))?
}
