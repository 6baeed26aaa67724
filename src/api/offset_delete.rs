//! OffsetDelete (key 47), version 0 (KIP-496).
//!
//! Behaviour: forgets commits of partitions; those of topics that the group still subscribes to are kept
//! (GROUP_SUBSCRIBED_TO_TOPIC).

use bytes::Bytes;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 47, name: "OffsetDelete", versions: (0, 0), advertised_from: 0, flexible_from: i16::MAX, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: OffsetDeleteRequest = request.decode(body)?;
    let responder = request.responder;
    let topics = &request.broker().topics;
    let mut known: Vec<(String, i32)> = Vec::new();
    // Where in `known` each partition is; `None`: there is no such partition.
    let mut places: Vec<Option<usize>> = Vec::new();
    for topic in &asked.topics {
        let found = topics.topic(&topic.name);
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let exists = found.as_ref().is_some_and(|t| t.partition(index).is_some());
            places.push(exists.then_some(known.len()));
            if exists {
                known.push((topic.name.to_string(), index));
            }
        }
    }
    let outcome = request.broker().groups.delete_offsets(&asked.group_id, &known);
    Ok(Reply::Later(Box::pin(async move {
        let outcome = match outcome {
            Ok(done) => done.committed().await,
            Err(error) => Err(error),
        };
        let mut response = OffsetDeleteResponse::default();
        match outcome {
            Err(error) => response.error_code = errors::of_group(error).code(),
            Ok(results) => {
                let mut places = places.into_iter();
                let mut code = || match places.next().flatten().and_then(|at| results.get(at)) {
                    None => Error::UnknownTopicOrPartition.code(),
                    Some(result) => result.map_or_else(|e| errors::of_group(e).code(), |()| errors::NONE),
                };
                for topic in asked.topics.into_iter().filter(|t| !t.partitions.is_empty()) {
                    let partitions = topic
                        .partitions
                        .iter()
                        .map(|p| {
                            OffsetDeleteResponsePartition::default()
                                .with_partition_index(p.partition_index)
                                .with_error_code(code())
                        })
                        .collect();
                    let out = OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions);
                    response.topics.push(out);
                }
            }
        }
        responder.frame(&response)
    })))
}
