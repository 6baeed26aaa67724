//! DeleteTopics (key 20), versions 1–6.
//!
//! Behaviour: durable and invisible everywhere when the answer leaves; the disk is freed behind. A topic created anew
//! under the name is another topic.
//! Version notes: v3 TOPIC_DELETION_DISABLED (INVALID_REQUEST before), v5 messages, v6 topics by id.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::create_topics::{Refusal, refusal};
use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::config::BrokerValues;
use crate::topic::{MetadataRecord, Touch, collision_key};

pub const API: Api =
    Api { key: 20, name: "DeleteTopics", versions: (1, 6), advertised_from: 1, flexible_from: 4, handle };

/// One topic as it is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    if !broker.topics.config().get_bool("delete.topic.enable") {
        let error = if version >= 3 { Error::TopicDeletionDisabled } else { Error::InvalidRequest };
        let message = "This version does not support topic deletion.";
        let outcomes = named.into_iter().map(|n| (n.name, n.id, Err(refusal(error, message)))).collect();
        return Ok(Reply::Now(responder.frame(&answer(version, outcomes))));
    }
    Ok(Reply::Later(Box::pin(async move {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for named in check(&broker, named, &mut outcomes) {
            outcomes.push(delete(&broker, named).await);
        }
        responder.frame(&answer(version, outcomes))
    })))
}

/// Sorts out what cannot be meant; answers what is left to delete.
fn check(broker: &BrokerState, named: Vec<Named>, outcomes: &mut Vec<Outcome>) -> Vec<Named> {
    let mut seen = HashSet::new();
    let mut duplicates = HashSet::new();
    for topic in &named {
        let id = match &topic.name {
            Some(name) if topic.id.is_zero() => broker.topics.topic(name).map_or(topic.id, |t| t.id),
            _ => topic.id,
        };
        let key = if id.is_zero() { (topic.name.clone(), id) } else { (None, id) };
        if !seen.insert(key.clone()) {
            duplicates.insert(key);
        }
    }
    let mut left = Vec::new();
    let mut refused = HashSet::new();
    for topic in named {
        let id = match &topic.name {
            Some(name) if topic.id.is_zero() => broker.topics.topic(name).map_or(topic.id, |t| t.id),
            _ => topic.id,
        };
        let key = if id.is_zero() { (topic.name.clone(), id) } else { (None, id) };
        let refuse = |message: &str| Err(refusal(Error::InvalidRequest, message));
        if topic.name.is_some() && !topic.id.is_zero() {
            outcomes.push((topic.name, topic.id, refuse("You may not specify both topic name and topic id.")));
        } else if topic.name.is_none() && topic.id.is_zero() {
            outcomes.push((None, topic.id, refuse("Neither topic name nor id were specified.")));
        } else if duplicates.contains(&key) {
            if refused.insert(topic.clone()) {
                let message = if topic.name.is_some() { "Duplicate topic name." } else { "Duplicate topic id." };
                outcomes.push((topic.name, topic.id, refuse(message)));
            }
        } else {
            left.push(topic);
        }
    }
    left
}

async fn delete(broker: &Arc<BrokerState>, named: Named) -> Outcome {
    let touched = match &named.name {
        Some(name) => name.to_string(),
        None => broker.topics.topic_by_id(named.id).map_or(String::new(), |t| t.name.to_string()),
    };
    let wanted = named.clone();
    let result = broker
        .topics
        .change(vec![Touch::Topic(collision_key(&touched))], move |manager| {
            let found = match &wanted.name {
                Some(name) => manager.topic(name).ok_or(Error::UnknownTopicOrPartition),
                None => manager.topic_by_id(wanted.id).ok_or(Error::UnknownTopicId),
            };
            match found {
                Ok(topic) => {
                    let record =
                        MetadataRecord::TopicDeleted { name: topic.name.to_string(), id: topic.id.0.as_u128() };
                    (vec![record], Ok((topic.name.clone(), topic.id)))
                }
                Err(error) => (Vec::new(), Err((error, None))),
            }
        })
        .await
        .unwrap_or_else(|e| Err((errors::of_change(&e), Some(e.to_string()))));
    match result {
        Ok((name, id)) => (Some(super::owned(&name).into()), id, Ok(())),
        Err(refusal) => (named.name, named.id, Err(refusal)),
    }
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
                    let message = message.unwrap_or_else(|| match error {
                        Error::UnknownTopicId => "This server does not host this topic ID.".into(),
                        _ => "This server does not host this topic-partition.".into(),
                    });
                    out.error_message = Some(StrBytes::from_string(message));
                }
            }
            out
        })
        .collect();
    response
}
