//! DeleteTopics (key 20), versions 1–6.
//!
//! Behaviour: durable and invisible everywhere when the answer leaves; the disk is freed behind. A topic created anew
//! under the name is another topic.
//! Version notes: v3 TOPIC_DELETION_DISABLED (INVALID_REQUEST before), v5 messages, v6 topics by id.

use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error, Refusal, UNKNOWN_PARTITION_TEXT, refusal};
use super::later::side_by_side;
use super::{Api, BadRequest, Reply, Request};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::config::BrokerValues;
use crate::topic::{MetadataRecord, Topic, Touch, collision_key};

pub const API: Api =
    Api { key: 20, name: "DeleteTopics", versions: (1, 6), advertised_from: 1, flexible_from: 4, handle };

const UNKNOWN_ID_TEXT: &str = "This server does not host this topic ID.";

/// One topic as it is named.
struct Named {
    name: Option<TopicName>,
    id: TopicId,
}

type Outcome = (Option<TopicName>, TopicId, Result<(), Refusal>);

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DeleteTopicsRequest = request.decode(body)?;
    let version = request.version;
    let named: Vec<Named> = if version >= 6 {
        asked.topics.into_iter().map(|t| Named { name: t.name, id: TopicId(t.topic_id) }).collect()
    } else {
        asked.topic_names.into_iter().map(|name| Named { name: Some(name), id: TopicId::ZERO }).collect()
    };
    let responder = request.responder;
    let broker = request.broker().clone();
    let refused = if !broker.topics.config().get_bool("delete.topic.enable") {
        Some(if version >= 3 { Error::TopicDeletionDisabled } else { Error::InvalidRequest })
    } else if asked.timeout_ms <= 0 {
        // Kafka's controller does not begin what is late already.
        Some(Error::RequestTimedOut)
    } else {
        None
    };
    if let Some(error) = refused {
        let outcomes = named.into_iter().map(|n| (n.name, n.id, Err((error, None)))).collect();
        return Ok(Reply::Now(responder.frame(&answer(version, outcomes))));
    }
    Ok(Reply::carried_out(async move {
        let (mut outcomes, found) = find(&broker, named);
        outcomes.extend(side_by_side(found.into_iter().map(|topic| delete(&broker, topic))).await);
        responder.frame(&answer(version, outcomes))
    }))
}

/// Finds what is meant, and refuses what cannot be meant (Kafka's `ControllerApis.deleteTopics`).
fn find(broker: &BrokerState, named: Vec<Named>) -> (Vec<Outcome>, Vec<Arc<Topic>>) {
    let mut outcomes = Vec::new();
    let mut names: IndexMap<TopicName, usize> = IndexMap::new();
    let mut ids: IndexMap<TopicId, usize> = IndexMap::new();
    let invalid = |message: &str| Err(refusal(Error::InvalidRequest, message));
    for Named { name, id } in named {
        match name {
            Some(name) if id.is_zero() => *names.entry(name).or_default() += 1,
            Some(name) => {
                outcomes.push((Some(name), id, invalid("You may not specify both topic name and topic id.")));
            }
            None if id.is_zero() => outcomes.push((None, id, invalid("Neither topic name nor id were specified."))),
            None => *ids.entry(id).or_default() += 1,
        }
    }
    let mut found: IndexMap<TopicId, Arc<Topic>> = IndexMap::new();
    for (id, times) in &ids {
        match broker.topics.topic_by_id(*id) {
            _ if *times > 1 => outcomes.push((None, *id, invalid("Duplicate topic id."))),
            None => outcomes.push((None, *id, Err(refusal(Error::UnknownTopicId, UNKNOWN_ID_TEXT)))),
            Some(topic) => {
                found.insert(*id, topic);
            }
        }
    }
    for (name, times) in names {
        match broker.topics.topic(&name) {
            _ if times > 1 => outcomes.push((Some(name), TopicId::ZERO, invalid("Duplicate topic name."))),
            None => outcomes.push((Some(name), TopicId::ZERO, unknown_partition())),
            Some(topic) if ids.contains_key(&topic.id) => {
                found.shift_remove(&topic.id);
                let message = "The provided topic name maps to an ID that was already supplied.";
                outcomes.push((Some(name), topic.id, invalid(message)));
            }
            Some(topic) => {
                found.insert(topic.id, topic);
            }
        }
    }
    (outcomes, found.into_values().collect())
}

fn unknown_partition() -> Result<(), Refusal> {
    Err(refusal(Error::UnknownTopicOrPartition, UNKNOWN_PARTITION_TEXT))
}

async fn delete(broker: &Arc<BrokerState>, topic: Arc<Topic>) -> Outcome {
    let id = topic.id;
    let record = MetadataRecord::TopicDeleted { name: topic.name.to_string(), id: id.0.as_u128() };
    let result = broker
        .topics
        .change(vec![Touch::Topic(collision_key(&topic.name))], move |manager| match manager.topic_by_id(id) {
            Some(_) => (vec![record], Ok(())),
            // Another request was faster.
            None => (Vec::new(), unknown_partition()),
        })
        .await
        .unwrap_or_else(|e| Err(refusal(errors::of_change(&e), e.to_string())));
    let id = if result.is_ok() { id } else { TopicId::ZERO };
    (Some(super::owned(&topic.name).into()), id, result)
}

fn answer(version: i16, outcomes: Vec<Outcome>) -> DeleteTopicsResponse {
    let mut response = DeleteTopicsResponse::default();
    response.responses = outcomes
        .into_iter()
        .map(|(name, id, result)| {
            let mut out = DeletableTopicResult::default();
            out.error_message = None;
            out.name = name.or_else(|| (version < 6).then(TopicName::default));
            if version >= 6 {
                out.topic_id = id.0;
            }
            if let Err((error, message)) = result {
                out.error_code = error.code();
                if version >= 5 {
                    out.error_message = message.map(StrBytes::from_string);
                }
            }
            out
        })
        .collect();
    response
}
