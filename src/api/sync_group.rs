//! SyncGroup (key 14), versions 0–5.
//!
//! Behaviour: the leader brings the assignment of the generation, all members are answered with their part once it is
//! recorded. Version notes: v3 instance ids, v5 protocol type and name, checked.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::errors;
use super::{Api, BadRequest, Reply, Request};
use crate::coordinator::GroupError;
use crate::coordinator::classic::{SyncRequest, SyncResponse};

pub const API: Api = Api { key: 14, name: "SyncGroup", versions: (0, 5), advertised_from: 0, flexible_from: 4, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: SyncGroupRequest = request.decode(body)?;
    let version = request.version;
    let responder = request.responder;
    let text = |s: Option<StrBytes>| s.map(|s| s.to_string());
    // From v5 on both names are mandatory (`SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent`).
    if version >= 5 && (asked.protocol_type.is_none() || asked.protocol_name.is_none()) {
        let response = SyncResponse::error(GroupError::InconsistentGroupProtocol);
        return Ok(Reply::Now(responder.frame(&encode(version, response))));
    }
    let sync = SyncRequest {
        group: asked.group_id.to_string(),
        member_id: asked.member_id.to_string(),
        instance_id: text(asked.group_instance_id),
        generation: asked.generation_id,
        protocol_type: text(asked.protocol_type).filter(|_| version >= 5),
        protocol: text(asked.protocol_name).filter(|_| version >= 5),
        assignments: asked
            .assignments
            .into_iter()
            .map(|a| (a.member_id.to_string(), a.assignment))
            .collect::<HashMap<_, _>>(),
    };
    let (parked, answer) = oneshot::channel();
    if let Err(error) = request.broker().groups.sync(&sync, parked) {
        return Ok(Reply::Now(responder.frame(&encode(version, SyncResponse::error(error)))));
    }
    let mut stopping = request.context.stopping.clone();
    Ok(Reply::Later(Box::pin(async move {
        let response = tokio::select! {
            answered = answer => match answered {
                Ok(done) => done.committed().await.unwrap_or_else(SyncResponse::error),
                Err(_) => SyncResponse::error(GroupError::CoordinatorNotAvailable),
            },
            () = stopping.wait() => SyncResponse::error(GroupError::NotCoordinator),
        };
        responder.frame(&encode(version, response))
    })))
}

fn encode(version: i16, response: SyncResponse) -> SyncGroupResponse {
    let mut out = SyncGroupResponse::default();
    out.error_code = response.error.map_or(0, |e| errors::of_group(e).code());
    out.protocol_type = response.protocol_type.filter(|_| version >= 5).map(StrBytes::from_string);
    out.protocol_name = response.protocol.filter(|_| version >= 5).map(StrBytes::from_string);
    out.assignment = response.assignment;
    out
}
