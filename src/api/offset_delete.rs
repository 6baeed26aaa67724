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
    let is_known = |topic: &str, partition: i32| topics.topic(topic).is_some_and(|t| t.partition(partition).is_some());
    let known: Vec<(String, i32)> = asked
        .topics
        .iter()
        .flat_map(|t| t.partitions.iter().map(|p| (t.name.to_string(), p.partition_index)))
        .filter(|(topic, partition)| is_known(topic, *partition))
        .collect();
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
                for topic in asked.topics.into_iter().filter(|t| !t.partitions.is_empty()) {
                    let partitions = topic
                        .partitions
                        .iter()
                        .map(|p| {
                            let key = (topic.name.to_string(), p.partition_index);
                            let code = match known.iter().position(|k| *k == key) {
                                None => Error::UnknownTopicOrPartition.code(),
                                Some(at) => results[at].map_or_else(|e| errors::of_group(e).code(), |()| errors::NONE),
                            };
                            OffsetDeleteResponsePartition::default()
                                .with_partition_index(p.partition_index)
                                .with_error_code(code)
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
