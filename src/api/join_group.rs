//! JoinGroup (key 11), versions 0–9.
//!
//! Behaviour: joins a classic group; the answer comes when the group has gathered. A first rebalance waits for nobody, since
//! `group.initial.rebalance.delay.ms` is 0 here by default. Version notes: v1 rebalance timeout, v4 MEMBER_ID_REQUIRED (KIP-394), v5
//! instance ids (KIP-345), v7 protocol type, v8 reason, v9 skip assignment (KIP-814).

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::errors;
use super::{Api, BadRequest, Reply, Request, kept};
use crate::coordinator::GroupError;
use crate::coordinator::classic::{JoinRequest, JoinResponse};

pub const API: Api = Api { key: 11, name: "JoinGroup", versions: (0, 9), advertised_from: 0, flexible_from: 6, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: JoinGroupRequest = request.decode(body)?;
    let version = request.version;
    let responder = request.responder;
    let join = JoinRequest {
        group: kept(&asked.group_id)?,
        member_id: kept(&asked.member_id)?,
        instance_id: asked.group_instance_id.as_deref().map(kept).transpose()?,
        client_id: request.client_id.as_deref().unwrap_or_default().to_owned(),
        client_host: request.context.client_host(),
        session_timeout_ms: asked.session_timeout_ms,
        rebalance_timeout_ms: if version >= 1 { asked.rebalance_timeout_ms } else { asked.session_timeout_ms },
        protocol_type: kept(&asked.protocol_type)?,
        // Copied: members outlive the request, whose buffer a slice would keep.
        protocols: asked
            .protocols
            .into_iter()
            .map(|p| Ok((kept(&p.name)?, Bytes::copy_from_slice(&p.metadata))))
            .collect::<Result<_, BadRequest>>()?,
        requires_member_id: version >= 4,
        can_skip_assignment: version >= 9,
    };
    let (parked, answer) = oneshot::channel();
    if let Err(error) = request.broker().groups.join(&join, parked) {
        return Ok(Reply::Now(responder.frame(&encode(version, JoinResponse::error(&join.member_id, error)))));
    }
    let mut stopping = request.context.stopping.clone();
    Ok(Reply::Later(Box::pin(async move {
        let refused = |error| JoinResponse::error(&join.member_id, error);
        let response = tokio::select! {
            answered = answer => match answered {
                Ok(done) => done.committed().await.unwrap_or_else(refused),
                Err(_) => refused(GroupError::CoordinatorNotAvailable),
            },
            () = stopping.wait() => refused(GroupError::NotCoordinator),
        };
        responder.frame(&encode(version, response))
    })))
}

fn encode(version: i16, response: JoinResponse) -> JoinGroupResponse {
    let mut out = JoinGroupResponse::default();
    out.error_code = response.error.map_or(0, |e| errors::of_group(e).code());
    out.generation_id = response.generation;
    if version >= 7 {
        out.protocol_type = response.protocol_type.map(StrBytes::from_string);
        out.protocol_name = response.protocol.map(StrBytes::from_string);
    } else {
        out.protocol_type = None;
        out.protocol_name = Some(response.protocol.map(StrBytes::from_string).unwrap_or_default());
    }
    out.leader = StrBytes::from_string(response.leader);
    if version >= 9 {
        out.skip_assignment = response.skip_assignment;
    }
    out.member_id = StrBytes::from_string(response.member_id);
    out.members = response
        .members
        .into_iter()
        .map(|(id, instance, metadata)| {
            let mut member = JoinGroupResponseMember::default();
            member.member_id = StrBytes::from_string(id);
            member.group_instance_id = instance.filter(|_| version >= 5).map(StrBytes::from_string);
            member.metadata = metadata;
            member
        })
        .collect();
    out
}
