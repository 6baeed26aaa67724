//! DescribeGroups (key 15), versions 0–6.
//!
//! Behaviour: classic groups with their members; subscriptions are told in Stable only. An unknown group is "Dead", from v6
//! on with GROUP_ID_NOT_FOUND. Version notes: v3 authorised operations, v4 instance ids, v6 message.

use bytes::Bytes;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup as Out, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request};
use crate::coordinator::DescribedGroup;

pub const API: Api =
    Api { key: 15, name: "DescribeGroups", versions: (0, 6), advertised_from: 0, flexible_from: 5, handle };

/// Every operation that a group knows, as bits: there is no authorizer.
pub const GROUP_OPERATIONS: i32 = 3400;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DescribeGroupsRequest = request.decode(body)?;
    let version = request.version;
    let with_operations = version >= 3 && asked.include_authorized_operations;
    let mut response = DescribeGroupsResponse::default();
    for group in asked.groups {
        let mut out = Out::default();
        out.error_message = None;
        match request.broker().groups.describe(&group) {
            Ok(Some(found)) => describe(&mut out, found, version),
            Ok(None) => {
                let other = request.broker().groups.group_type(&group).ok().flatten();
                unknown(&mut out, &group, other.is_some(), version);
            }
            Err(error) => {
                out.error_code = errors::of_group(error).code();
                out.group_state = StrBytes::new();
            }
        }
        if with_operations && out.error_code == errors::NONE {
            out.authorized_operations = GROUP_OPERATIONS;
        }
        out.group_id = group;
        response.groups.push(out);
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// No group of that name, or one of the new protocol.
fn unknown(out: &mut Out, group: &GroupId, is_other: bool, version: i16) {
    out.group_state = StrBytes::from_static_str("Dead");
    if version >= 6 {
        out.error_code = Error::GroupIdNotFound.code();
        out.error_message = Some(StrBytes::from_string(match is_other {
            true => format!("Group {} is not a classic group.", **group),
            false => format!("Group {} not found.", **group),
        }));
    }
}

fn describe(out: &mut Out, group: DescribedGroup, version: i16) {
    out.group_state = StrBytes::from_static_str(group.state.name());
    out.protocol_type = StrBytes::from_string(group.protocol_type);
    out.protocol_data = StrBytes::from_string(group.protocol);
    out.members = group
        .members
        .into_iter()
        .map(|m| {
            let mut out = DescribedGroupMember::default();
            out.member_id = StrBytes::from_string(m.member_id);
            out.group_instance_id = m.instance_id.filter(|_| version >= 4).map(StrBytes::from_string);
            out.client_id = StrBytes::from_string(m.client_id);
            out.client_host = StrBytes::from_string(m.client_host);
            out.member_metadata = m.metadata;
            out.member_assignment = m.assignment;
            out
        })
        .collect();
}
