//! DeleteGroups (key 42), versions 0–2.
//!
//! Behaviour: an empty group goes with its offsets; one with members stays (NON_EMPTY_GROUP).

use bytes::Bytes;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::errors;
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 42, name: "DeleteGroups", versions: (0, 2), advertised_from: 0, flexible_from: 2, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DeleteGroupsRequest = request.decode(body)?;
    let responder = request.responder;
    // A group that is named twice is deleted, and answered, once.
    let groups: indexmap::IndexSet<_> = asked.groups_names.into_iter().collect();
    let deleted: Vec<_> = groups
        .into_iter()
        .map(|group| {
            let done = request.broker().groups.delete(&group);
            (group, done)
        })
        .collect();
    Ok(Reply::Later(Box::pin(async move {
        let mut response = DeleteGroupsResponse::default();
        for (group, done) in deleted {
            let result = match done {
                Ok(done) => done.committed().await,
                Err(error) => Err(error),
            };
            let code = result.map_or_else(|e| errors::of_group(e).code(), |()| errors::NONE);
            response.results.push(DeletableGroupResult::default().with_group_id(group).with_error_code(code));
        }
        responder.frame(&response)
    })))
}
