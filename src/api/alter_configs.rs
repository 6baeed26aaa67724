//! AlterConfigs (key 33), versions 0–2.
//!
//! Behaviour: replaces everything that is set on a resource: keys that are not named go back to their defaults. A resource
//! named twice is INVALID_REQUEST, where Kafka never answers. Version notes: none that show.

use bytes::Bytes;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::configs::{Change, Resource, alter_each};
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 33, name: "AlterConfigs", versions: (0, 2), advertised_from: 0, flexible_from: 2, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: AlterConfigsRequest = request.decode(body)?;
    let responder = request.responder;
    let broker = request.broker().clone();
    let changes = asked.resources.into_iter().map(|resource| {
        let entries = resource.configs.into_iter().map(|c| (c.name.to_string(), c.value.map(|v| v.to_string())));
        let change = Change::Replace(entries.collect());
        (Resource { kind: resource.resource_type, name: resource.resource_name.to_string() }, change)
    });
    let changes: Vec<_> = changes.collect();
    Ok(Reply::carried_out(async move {
        let answers = alter_each(&broker, changes, asked.validate_only).await;
        let answers = answers.into_iter().map(|altered| {
            AlterConfigsResourceResponse::default()
                .with_resource_type(altered.resource.kind)
                .with_resource_name(StrBytes::from_string(altered.resource.name))
                .with_error_code(altered.error_code)
                .with_error_message(altered.error_message)
        });
        responder.frame(&AlterConfigsResponse::default().with_responses(answers.collect()))
    }))
}
