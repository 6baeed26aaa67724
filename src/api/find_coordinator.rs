//! FindCoordinator (key 10), versions 0–6.
//!
//! Behaviour: this node coordinates everything; the first to ask for a group makes `__consumer_offsets`, the first to ask
//! for a transactional id `__transaction_state`, and is answered once it is there, where Kafka says
//! COORDINATOR_NOT_AVAILABLE meanwhile.
//! Version notes: v1 key type, v3 flexible, v4 several keys, v6 share groups (INVALID_REQUEST for a malformed key).

use bytes::Bytes;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::errors::{Error, INVALID_REQUEST_TEXT};
use super::{Api, BadRequest, Context, Frame, Reply, Request, Responder};
use crate::base::TopicId;
use crate::coordinator::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};

pub const API: Api =
    Api { key: 10, name: "FindCoordinator", versions: (0, 6), advertised_from: 0, flexible_from: 3, handle };

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: FindCoordinatorRequest = request.decode(body)?;
    let broker = request.broker();
    let internal = match asked.key_type {
        GROUP => OFFSETS_TOPIC,
        TRANSACTION => TRANSACTIONS_TOPIC,
        _ => return Ok(Reply::Now(answer(&request.context, request.responder, asked))),
    };
    if broker.topics.topic(internal).is_some() {
        return Ok(Reply::Now(answer(&request.context, request.responder, asked)));
    }
    // The first to ask makes the internal topic.
    let (context, responder) = (request.context.clone(), request.responder);
    Ok(Reply::Later(Box::pin(async move {
        let made = if asked.key_type == GROUP {
            context.broker.groups.ensure_topic().await.map_err(|e| e.to_string())
        } else {
            context.broker.transactions.ensure_topic().await.map_err(|e| e.to_string())
        };
        if let Err(error) = made {
            tracing::error!(error, internal, "an internal topic could not be created");
        }
        answer(&context, responder, asked)
    })))
}

fn answer(context: &Context, responder: Responder, asked: FindCoordinatorRequest) -> Frame {
    let version = responder.version;
    let (host, port) = context.advertised();
    let node_id = BrokerId(context.broker.node_id);
    let mut response = FindCoordinatorResponse::default();
    if version >= 4 {
        response.coordinators = asked
            .coordinator_keys
            .into_iter()
            .map(|key| {
                let mut out = Coordinator::default();
                match check(version, asked.key_type, &key) {
                    Ok(()) => {
                        out.node_id = node_id;
                        out.host = super::owned(&host);
                        out.port = port;
                        out.error_message = Some(StrBytes::new());
                    }
                    Err(message) => {
                        out.node_id = BrokerId(-1);
                        out.port = -1;
                        out.error_code = Error::InvalidRequest.code();
                        out.error_message = Some(StrBytes::from_static_str(message));
                    }
                }
                out.key = key;
                out
            })
            .collect();
        return responder.frame(&response);
    }
    let message = match check(version, asked.key_type, &asked.key) {
        Ok(()) => {
            response.node_id = node_id;
            response.host = StrBytes::from_string(host);
            response.port = port;
            "NONE"
        }
        Err(_) => {
            response.node_id = BrokerId(-1);
            response.port = -1;
            response.error_code = Error::InvalidRequest.code();
            INVALID_REQUEST_TEXT
        }
    };
    if version >= 1 {
        response.error_message = Some(StrBytes::from_static_str(message));
    }
    responder.frame(&response)
}

/// Refuses a key with the message that Kafka has for it from v4 on: INVALID_REQUEST.
fn check(version: i16, key_type: i8, key: &str) -> Result<(), &'static str> {
    match key_type {
        GROUP | TRANSACTION => Ok(()),
        SHARE if version >= 6 && is_share_key(key) => Ok(()),
        SHARE => Err(""),
        _ => Err(INVALID_REQUEST_TEXT),
    }
}

/// `group:topicId:partition`
fn is_share_key(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let partition = parts.next().and_then(|p| p.parse::<i32>().ok());
    let topic = parts.next().and_then(|t| t.parse::<TopicId>().ok());
    let group = parts.next().filter(|group| !group.is_empty());
    partition.is_some() && topic.is_some() && group.is_some()
}
