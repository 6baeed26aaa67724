//! OffsetCommit (key 8), versions 2–9. Kafka 4.2 also serves 10 (topic ids), which the codec does not know yet.
//!
//! Behaviour: recorded in `__consumer_offsets` before the answer. Offsets are not compared with the log. Version notes:
//! v2–4 retention time, v6 leader epochs, v7 instance ids, v9 GROUP_ID_NOT_FOUND and consumer groups (KIP-848).

use bytes::Bytes;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest as Asked, OffsetCommitResponse};

use super::errors;
use super::{Api, BadRequest, Reply, Request};
use crate::coordinator::{Commit, GroupError, OffsetCommitRequest};

pub const API: Api =
    Api { key: 8, name: "OffsetCommit", versions: (2, 9), advertised_from: 2, flexible_from: 8, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: Asked = request.decode(body)?;
    let responder = request.responder;
    let topics = &request.broker().topics;
    let mut commits = Vec::new();
    // Of each partition in the request: where it stands among the commits, if its topic is there.
    let mut places = Vec::new();
    for topic in &asked.topics {
        let found = topics.topic(&topic.name);
        for partition in &topic.partitions {
            let known = found.as_ref().and_then(|t| t.partition(partition.partition_index));
            places.push(known.map(|_| commits.len()));
            if let (Some(found), Some(_)) = (&found, places.last().copied().flatten()) {
                commits.push(Commit {
                    topic: found.name.to_string(),
                    partition: partition.partition_index,
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.as_deref().unwrap_or_default().to_owned(),
                });
            }
        }
    }
    let commit = OffsetCommitRequest {
        group: asked.group_id.to_string(),
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
        let mut places = places.into_iter();
        let mut result_of = || match (places.next().flatten(), &outcome) {
            (None, _) => Err(GroupError::UnknownTopicOrPartition),
            (Some(_), Err(error)) => Err(*error),
            (Some(at), Ok(results)) => results.get(at).copied().unwrap_or(Ok(())),
        };
        let mut response = OffsetCommitResponse::default();
        for topic in asked.topics.into_iter().filter(|t| !t.partitions.is_empty()) {
            let partitions = topic
                .partitions
                .iter()
                .map(|p| {
                    let code = result_of().map_or_else(|e| errors::of_group(e).code(), |()| errors::NONE);
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(p.partition_index)
                        .with_error_code(code)
                })
                .collect();
            let out = OffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(partitions);
            response.topics.push(out);
        }
        responder.frame(&response)
    })))
}
