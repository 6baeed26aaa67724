//! ListPartitionReassignments (key 46), version 0.
//!
//! Behaviour: no replica ever moves on one node: the list is empty.

use bytes::Bytes;
use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 46, name: "ListPartitionReassignments", versions: (0, 0), advertised_from: 0, flexible_from: 0, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let _: ListPartitionReassignmentsRequest = request.decode(body)?;
    Ok(Reply::Now(request.responder.frame(&ListPartitionReassignmentsResponse::default().with_error_message(None))))
}
