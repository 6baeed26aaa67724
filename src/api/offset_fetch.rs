//! OffsetFetch (key 9), versions 1–9. Kafka 4.2 also serves 10 (topic ids), which the codec does not know yet.
//!
//! Behaviour: what a group has committed; -1 where it has not. There are no transactional commits yet that `require_stable`
//! would have to wait for. Version notes: v2 all topics (null) and a top-level error, v7 require stable, v8 several groups.

use bytes::Bytes;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::errors;
use super::{Api, BadRequest, Reply, Request};
use crate::coordinator::{CommittedOffset, GroupOffsets};

pub const API: Api =
    Api { key: 9, name: "OffsetFetch", versions: (1, 9), advertised_from: 1, flexible_from: 6, handle };

/// One topic with its partitions, each with what is committed.
type TopicOffsets = (TopicName, Vec<(i32, Option<CommittedOffset>)>);

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: OffsetFetchRequest = request.decode(body)?;
    let version = request.version;
    let mut response = OffsetFetchResponse::default();
    if version >= 8 {
        for group in asked.groups {
            let wanted = group.topics.map(|t| t.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let mut out = OffsetFetchResponseGroup::default();
            let (member, epoch) =
                if version >= 9 { (group.member_id.as_deref(), group.member_epoch) } else { (None, -1) };
            match fetch(request, &group.group_id, (member, epoch), wanted) {
                Ok(topics) => out.topics = topics.into_iter().map(grouped).collect(),
                Err(code) => out.error_code = code,
            }
            out.group_id = group.group_id;
            response.groups.push(out);
        }
        return Ok(Reply::Now(request.responder.frame(&response)));
    }
    let wanted: Option<Vec<(TopicName, Vec<i32>)>> =
        asked.topics.map(|t| t.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
    match fetch(request, &asked.group_id, (None, -1), wanted.clone()) {
        Ok(topics) => response.topics = topics.into_iter().map(|t| single(t, errors::NONE)).collect(),
        Err(code) if version >= 2 => response.error_code = code,
        Err(code) => {
            let none =
                |(name, partitions): (TopicName, Vec<i32>)| (name, partitions.into_iter().map(|p| (p, None)).collect());
            response.topics = wanted.unwrap_or_default().into_iter().map(|topic| single(none(topic), code)).collect();
        }
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// What is committed for the wanted partitions, or for all that there is (`None`). An error is its code.
fn fetch(
    request: &Request,
    group: &str,
    (member_id, epoch): (Option<&str>, i32),
    wanted: Option<Vec<(TopicName, Vec<i32>)>>,
) -> Result<Vec<TopicOffsets>, i16> {
    let read = |committed: &GroupOffsets| match wanted {
        Some(wanted) => wanted
            .into_iter()
            .map(|(name, partitions)| {
                let of = |p: i32| (p, committed.get(&name, p).cloned());
                let partitions = partitions.into_iter().map(of).collect();
                (name, partitions)
            })
            .collect(),
        None => committed
            .topics()
            .map(|(name, partitions)| {
                let partitions = partitions.iter().map(|(p, offset)| (*p, Some(offset.clone()))).collect();
                (TopicName(StrBytes::from_string(name.to_owned())), partitions)
            })
            .collect(),
    };
    request.broker().groups.committed(group, member_id, epoch, read).map_err(|e| errors::of_group(e).code())
}

/// Offset, leader epoch and metadata as they are told.
fn told(offset: Option<CommittedOffset>) -> (i64, i32, Option<StrBytes>) {
    match offset {
        Some(o) => (o.offset, o.leader_epoch, Some(StrBytes::from_string(o.metadata))),
        None => (-1, -1, Some(StrBytes::new())),
    }
}

fn single((name, partitions): TopicOffsets, code: i16) -> OffsetFetchResponseTopic {
    let partitions = partitions
        .into_iter()
        .map(|(index, offset)| {
            let mut out = OffsetFetchResponsePartition::default();
            out.partition_index = index;
            (out.committed_offset, out.committed_leader_epoch, out.metadata) = told(offset);
            out.error_code = code;
            out
        })
        .collect();
    OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
}

fn grouped((name, partitions): TopicOffsets) -> OffsetFetchResponseTopics {
    let partitions = partitions
        .into_iter()
        .map(|(index, offset)| {
            let mut out = OffsetFetchResponsePartitions::default();
            out.partition_index = index;
            (out.committed_offset, out.committed_leader_epoch, out.metadata) = told(offset);
            out
        })
        .collect();
    OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
}
