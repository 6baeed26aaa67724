//! OffsetFetch (key 9), versions 1–10.
//!
//! Behaviour: what a group has committed; -1 where it has not. With `require_stable` a partition that an open transaction
//! has committed is UNSTABLE_OFFSET_COMMIT. Version notes: v2 all topics (null) and a top-level error, v7 require stable, v8 several groups,
//! v10 topics by id (UNKNOWN_TOPIC_ID).

use bytes::Bytes;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request, by_id};
use crate::base::TopicId;
use crate::coordinator::{Committed, CommittedOffset, GroupOffsets};

pub const API: Api =
    Api { key: 9, name: "OffsetFetch", versions: (1, by_id::VERSION), advertised_from: 1, flexible_from: 6, handle };

/// What is told of a partition: its offset if there is one, or that an open transaction has committed it.
#[derive(Clone)]
enum Told {
    Committed(Option<CommittedOffset>),
    Unstable,
}

/// One topic with its partitions.
type TopicOffsets = (TopicName, Vec<(i32, Told)>);

/// Who asks: a member with its epoch, if it says so, and whether only stable offsets will do.
#[derive(Clone, Copy)]
struct Asking<'a> {
    member_id: Option<&'a str>,
    epoch: i32,
    require_stable: bool,
}

/// Topics with partitions that are asked for.
type Wanted = Vec<(TopicName, Vec<i32>)>;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let version = request.version;
    let goes_by_id = version == by_id::VERSION;
    let asked: OffsetFetchRequest =
        if goes_by_id { by_id::decode(body, by_id::FETCH_REQUEST)? } else { request.decode(body)? };
    let mut response = OffsetFetchResponse::default();
    if version >= 8 {
        for group in asked.groups {
            let wanted: Option<Wanted> =
                group.topics.map(|t| t.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
            let mut out = OffsetFetchResponseGroup::default();
            let (member_id, epoch) =
                if version >= 9 { (group.member_id.as_deref(), group.member_epoch) } else { (None, -1) };
            let asking = Asking { member_id, epoch, require_stable: asked.require_stable };
            let fetched = if goes_by_id {
                fetch_by_id(request, &group.group_id, asking, wanted)
            } else {
                let fetched = fetch(request, &group.group_id, asking, wanted);
                fetched.map(|topics| topics.into_iter().map(|topic| grouped(topic, errors::NONE)).collect())
            };
            match fetched {
                Ok(topics) => out.topics = topics,
                Err(code) => out.error_code = code,
            }
            out.group_id = group.group_id;
            response.groups.push(out);
        }
        return Ok(Reply::Now(if goes_by_id {
            by_id::frame(&request.responder, &response, by_id::FETCH_RESPONSE)
        } else {
            request.responder.frame(&response)
        }));
    }
    let wanted: Option<Wanted> = asked.topics.map(|t| t.into_iter().map(|t| (t.name, t.partition_indexes)).collect());
    let asking = Asking { member_id: None, epoch: -1, require_stable: asked.require_stable };
    match fetch(request, &asked.group_id, asking, wanted.clone()) {
        Ok(topics) => response.topics = topics.into_iter().map(|t| single(t, errors::NONE)).collect(),
        Err(code) if version >= 2 => response.error_code = code,
        Err(code) => {
            let none = |(name, partitions): (TopicName, Vec<i32>)| {
                (name, partitions.into_iter().map(|p| (p, Told::Committed(None))).collect())
            };
            response.topics = wanted.unwrap_or_default().into_iter().map(|topic| single(none(topic), code)).collect();
        }
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// As [`fetch`], with topics by id. Those that are not there come last, each of their partitions UNKNOWN_TOPIC_ID.
fn fetch_by_id(
    request: &Request,
    group: &str,
    asking: Asking<'_>,
    wanted: Option<Wanted>,
) -> Result<Vec<OffsetFetchResponseTopics>, i16> {
    let manager = &request.broker().topics;
    let Some(wanted) = wanted else {
        let all = fetch(request, group, asking, None)?.into_iter();
        return Ok(all
            .filter_map(|(name, rows)| Some(grouped((by_id::name_of(manager.topic(&name)?.id), rows), errors::NONE)))
            .collect());
    };
    let (mut known, mut ids, mut unknown): (Wanted, Vec<TopicId>, Vec<_>) = Default::default();
    for (name, partitions) in wanted {
        match by_id::id_of(&name).and_then(|id| manager.topic_by_id(id)) {
            Some(topic) => {
                ids.push(topic.id);
                known.push((TopicName(super::owned(&topic.name)), partitions));
            }
            None => {
                let rows = partitions.into_iter().map(|p| (p, Told::Committed(None))).collect();
                unknown.push(grouped((name, rows), Error::UnknownTopicId.code()));
            }
        }
    }
    let fetched = fetch(request, group, asking, Some(known))?.into_iter().zip(ids).map(|((_, mut rows), id)| {
        for (_, told) in &mut rows {
            // Committed for an earlier topic of the name.
            if let Told::Committed(offset) = told {
                offset.take_if(|o| !o.topic_id.is_zero() && o.topic_id != id);
            }
        }
        grouped((by_id::name_of(id), rows), errors::NONE)
    });
    Ok(fetched.chain(unknown).collect())
}

/// What is committed for the wanted partitions, or for all that there is (`None`). An error is its code.
fn fetch(request: &Request, group: &str, asking: Asking<'_>, wanted: Option<Wanted>) -> Result<Vec<TopicOffsets>, i16> {
    let read = |committed: Committed<'_>| {
        let of = |topic: &str, partition: i32| {
            if asking.require_stable && committed.pending.contains(group, topic, partition) {
                return (partition, Told::Unstable);
            }
            (partition, Told::Committed(committed.offsets.and_then(|o| o.get(topic, partition).cloned())))
        };
        match wanted {
            Some(wanted) => wanted
                .into_iter()
                .map(|(name, partitions)| {
                    let rows = partitions.into_iter().map(|p| of(&name, p)).collect();
                    (name, rows)
                })
                .collect(),
            None => committed
                .offsets
                .into_iter()
                .flat_map(GroupOffsets::topics)
                .map(|(name, partitions)| {
                    let rows = partitions.keys().map(|p| of(name, *p)).collect();
                    (TopicName(StrBytes::from_string(name.to_owned())), rows)
                })
                .collect(),
        }
    };
    let groups = &request.broker().groups;
    groups.committed(group, asking.member_id, asking.epoch, read).map_err(|e| errors::of_group(e).code())
}

/// Offset, leader epoch, metadata and error code as they are told; `code` is that of the whole topic.
fn told(told: Told, code: i16) -> (i64, i32, Option<StrBytes>, i16) {
    match told {
        Told::Committed(Some(o)) => (o.offset, o.leader_epoch, Some(StrBytes::from_string(o.metadata)), code),
        Told::Committed(None) => (-1, -1, Some(StrBytes::new()), code),
        Told::Unstable => (-1, -1, Some(StrBytes::new()), Error::UnstableOffsetCommit.code()),
    }
}

fn single((name, partitions): TopicOffsets, code: i16) -> OffsetFetchResponseTopic {
    let partitions = partitions
        .into_iter()
        .map(|(index, offset)| {
            let mut out = OffsetFetchResponsePartition::default();
            out.partition_index = index;
            (out.committed_offset, out.committed_leader_epoch, out.metadata, out.error_code) = told(offset, code);
            out
        })
        .collect();
    OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
}

fn grouped((name, partitions): TopicOffsets, code: i16) -> OffsetFetchResponseTopics {
    let partitions = partitions
        .into_iter()
        .map(|(index, offset)| {
            let mut out = OffsetFetchResponsePartitions::default();
            out.partition_index = index;
            (out.committed_offset, out.committed_leader_epoch, out.metadata, out.error_code) = told(offset, code);
            out
        })
        .collect();
    OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
}
