//! OffsetCommit (key 8), versions 2–10.
//!
//! Behaviour: recorded in `__consumer_offsets` before the answer. Offsets are not compared with the log. Version notes:
//! v2–4 retention time, v6 leader epochs, v7 instance ids, v9 GROUP_ID_NOT_FOUND and consumer groups (KIP-848),
//! v10 topics by id (UNKNOWN_TOPIC_ID).

use bytes::Bytes;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest as Asked, OffsetCommitResponse};

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request, by_id, kept};
use crate::base::TopicId;
use crate::coordinator::{Commit, GroupError, OffsetCommitRequest};

pub const API: Api =
    Api { key: 8, name: "OffsetCommit", versions: (2, by_id::VERSION), advertised_from: 2, flexible_from: 8, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let goes_by_id = request.version == by_id::VERSION;
    let asked: Asked = if goes_by_id { by_id::decode(body, by_id::COMMIT_REQUEST)? } else { request.decode(body)? };
    let responder = request.responder;
    let topics = &request.broker().topics;
    let mut commits = Vec::new();
    // Of each partition in the request: where it stands among the commits, or why it does not.
    let mut places: Vec<Result<usize, Error>> = Vec::new();
    for topic in &asked.topics {
        let (found, unknown) = match by_id::id_of(&topic.name).filter(|_| goes_by_id) {
            Some(id) => (topics.topic_by_id(id), Error::UnknownTopicId),
            None => (topics.topic(&topic.name), Error::UnknownTopicOrPartition),
        };
        for partition in &topic.partitions {
            let Some(found) = &found else {
                places.push(Err(unknown));
                continue;
            };
            if found.partition(partition.partition_index).is_none() {
                places.push(Err(Error::UnknownTopicOrPartition));
                continue;
            }
            places.push(Ok(commits.len()));
            commits.push(Commit {
                topic: found.name.to_string(),
                topic_id: if goes_by_id { found.id } else { TopicId::ZERO },
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: kept(partition.committed_metadata.as_deref().unwrap_or_default())?,
            });
        }
    }
    let commit = OffsetCommitRequest {
        group: kept(&asked.group_id)?,
        member_id: asked.member_id.to_string(),
        instance_id: asked.group_instance_id.as_ref().map(|i| i.to_string()),
        generation: asked.generation_id_or_member_epoch,
        retention_ms: if request.version <= 4 { asked.retention_time_ms } else { -1 },
        version: request.version,
        commits,
    };
    let nothing = commit.commits.is_empty() && !places.is_empty();
    let outcome = if nothing { None } else { Some(request.broker().groups.commit(&commit)) };
    Ok(Reply::Later(Box::pin(async move {
        let outcome = match outcome {
            None => Ok(Vec::new()),
            Some(Ok(done)) => done.committed().await,
            Some(Err(error)) => Err(error),
        };
        let mut codes = codes(places, outcome.map_err(errors::of_group));
        let mut response = OffsetCommitResponse::default();
        for topic in asked.topics.into_iter().filter(|t| !t.partitions.is_empty()) {
            let partitions = topic
                .partitions
                .iter()
                .map(|p| {
                    let code = codes.next().unwrap_or(errors::NONE);
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(p.partition_index)
                        .with_error_code(code)
                })
                .collect();
            let out = OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions);
            response.topics.push(out);
        }
        if goes_by_id {
            return by_id::frame(&responder, &response, by_id::COMMIT_RESPONSE);
        }
        responder.frame(&response)
    })))
}

/// The codes of a commit's partitions in the order of the request: `places` says of each where it stands among the commits,
/// or why it does not.
pub(super) fn codes(
    places: Vec<Result<usize, Error>>,
    outcome: Result<Vec<Result<(), GroupError>>, Error>,
) -> impl Iterator<Item = i16> {
    places.into_iter().map(move |place| match (place, &outcome) {
        (Err(unknown), _) => unknown.code(),
        (Ok(_), Err(error)) => error.code(),
        (Ok(at), Ok(results)) => match results.get(at) {
            Some(Err(error)) => errors::of_group(*error).code(),
            _ => errors::NONE,
        },
    })
}
