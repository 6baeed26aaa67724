//! Heartbeat (key 12), versions 0–4.
//!
//! Behaviour: keeps a member's session; REBALANCE_IN_PROGRESS tells it to join again. Version notes: v3 instance ids.

use bytes::Bytes;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::errors;
use super::{Api, BadRequest, Reply, Request};

pub const API: Api = Api { key: 12, name: "Heartbeat", versions: (0, 4), advertised_from: 0, flexible_from: 4, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: HeartbeatRequest = request.decode(body)?;
    let result = request.broker().groups.heartbeat(
        &asked.group_id,
        &asked.member_id,
        asked.group_instance_id.as_deref(),
        asked.generation_id,
    );
    let mut response = HeartbeatResponse::default();
    response.error_code = result.map_or_else(|e| errors::of_group(e).code(), |()| errors::NONE);
    Ok(Reply::Now(request.responder.frame(&response)))
}
