//! FindCoordinator (key 10), versions 0–6.
//!
//! Behaviour: this node coordinates everything. Groups and transactions themselves are not served yet
//! (docs/compatibility.md), so no internal topic is created here so far.
//! Version notes: v1 key type, v3 flexible, v4 several keys, v6 share groups (INVALID_REQUEST for a malformed key).

use bytes::Bytes;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::errors::Error;
use super::{Api, BadRequest, Reply, Request};
use crate::base::TopicId;

pub const API: Api =
    Api { key: 10, name: "FindCoordinator", versions: (0, 6), advertised_from: 0, flexible_from: 3, handle };

const SHARE: i8 = 2;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: FindCoordinatorRequest = request.decode(body)?;
    let version = request.version;
    let (host, port) = request.context.advertised();
    let node_id = BrokerId(request.broker().node_id);
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
                    Err((error, message)) => {
                        out.node_id = BrokerId(-1);
                        out.port = -1;
                        out.error_code = error.code();
                        out.error_message = Some(StrBytes::from_string(message));
                    }
                }
                out.key = key;
                out
            })
            .collect();
        return Ok(Reply::Now(request.responder.frame(&response)));
    }
    match check(version, asked.key_type, &asked.key) {
        Ok(()) => {
            response.node_id = node_id;
            response.host = StrBytes::from_string(host);
            response.port = port;
            if version >= 1 {
                response.error_message = Some(StrBytes::from_static_str("NONE"));
            }
        }
        Err((error, message)) => {
            response.node_id = BrokerId(-1);
            response.port = -1;
            response.error_code = error.code();
            if version >= 1 {
                response.error_message = Some(StrBytes::from_string(message));
            }
        }
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

fn check(version: i16, key_type: i8, key: &str) -> Result<(), (Error, String)> {
    match key_type {
        0 | 1 => Ok(()),
        SHARE if version < 6 => {
            Err((Error::InvalidRequest, "Share coordinators need version 6 of FindCoordinator.".into()))
        }
        SHARE => {
            let mut parts = key.rsplitn(3, ':');
            let partition = parts.next().and_then(|p| p.parse::<i32>().ok());
            let topic = parts.next().and_then(|t| t.parse::<TopicId>().ok());
            match (parts.next(), topic, partition) {
                (Some(group), Some(_), Some(_)) if !group.is_empty() => Ok(()),
                _ => Err((Error::InvalidRequest, format!("Invalid share partition key {key}"))),
            }
        }
        _ => Err((Error::InvalidRequest, format!("Unknown coordinator type {key_type}"))),
    }
}
