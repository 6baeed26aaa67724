//! LeaveGroup (key 13), versions 0–5.
//!
//! Behaviour: members leave, or are removed; the rest rebalances. Version notes: v3 several members, by instance id too; v5
//! reasons.

use bytes::Bytes;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::errors;
use super::{Api, BadRequest, Reply, Request};
use crate::coordinator::classic::Leaving;

pub const API: Api =
    Api { key: 13, name: "LeaveGroup", versions: (0, 5), advertised_from: 0, flexible_from: 4, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: LeaveGroupRequest = request.decode(body)?;
    let version = request.version;
    let responder = request.responder;
    let leaving: Vec<Leaving> = if version >= 3 {
        asked
            .members
            .iter()
            .map(|m| Leaving {
                member_id: m.member_id.to_string(),
                instance_id: m.group_instance_id.as_ref().map(|i| i.to_string()),
            })
            .collect()
    } else {
        vec![Leaving { member_id: asked.member_id.to_string(), instance_id: None }]
    };
    let left = request.broker().groups.leave(&asked.group_id, &leaving);
    Ok(Reply::Later(Box::pin(async move {
        let left = match left {
            Ok(done) => done.committed().await,
            Err(error) => Err(error),
        };
        let mut response = LeaveGroupResponse::default();
        match left {
            Err(error) => response.error_code = errors::of_group(error).code(),
            Ok(results) if version < 3 => {
                let result = results.into_iter().next().unwrap_or(Ok(()));
                response.error_code = result.map_or_else(|e| errors::of_group(e).code(), |()| errors::NONE);
            }
            Ok(results) => {
                response.members = asked
                    .members
                    .into_iter()
                    .zip(results)
                    .map(|(member, result)| {
                        let mut out = MemberResponse::default();
                        out.member_id = member.member_id;
                        out.group_instance_id = member.group_instance_id;
                        out.error_code = result.map_or_else(|e| errors::of_group(e).code(), |()| errors::NONE);
                        out
                    })
                    .collect();
            }
        }
        responder.frame(&response)
    })))
}
