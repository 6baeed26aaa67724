//! ListGroups (key 16), versions 0–5.
//!
//! Behaviour: every group there is. Filters match in any case; a name that nobody has matches nothing. Version notes: v4
//! filter by state (KIP-518), v5 by type (KIP-848).

use bytes::Bytes;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::errors;
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 16, name: "ListGroups", versions: (0, 5), advertised_from: 0, flexible_from: 3, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ListGroupsRequest = request.decode(body)?;
    let version = request.version;
    let matches =
        |filter: &[StrBytes], name: &str| filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(name));
    let mut response = ListGroupsResponse::default();
    match request.broker().groups.list() {
        Err(error) => response.error_code = errors::of_group(error).code(),
        Ok(groups) => {
            response.groups = groups
                .into_iter()
                .filter(|g| matches(&asked.states_filter, g.state) && matches(&asked.types_filter, g.group_type))
                .map(|g| {
                    let mut out = ListedGroup::default();
                    out.group_id = GroupId(StrBytes::from_string(g.group));
                    out.protocol_type = StrBytes::from_string(g.protocol_type);
                    if version >= 4 {
                        out.group_state = StrBytes::from_static_str(g.state);
                    }
                    if version >= 5 {
                        out.group_type = StrBytes::from_static_str(g.group_type);
                    }
                    out
                })
                .collect();
        }
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}
