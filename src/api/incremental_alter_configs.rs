//! IncrementalAlterConfigs (key 44), versions 0–1 (KIP-339).
//!
//! Behaviour: SET, DELETE, APPEND and SUBTRACT on keys of a resource, all of them or none; durable and in effect when the
//! answer leaves. Version notes: none that show.

use bytes::Bytes;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::configs::{Change, Resource, alter_each};
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 44, name: "IncrementalAlterConfigs", versions: (0, 1), advertised_from: 0, flexible_from: 1, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: IncrementalAlterConfigsRequest = request.decode(body)?;
    let responder = request.responder;
    let broker = request.broker().clone();
    let changes = asked.resources.into_iter().map(|resource| {
        let steps = resource.configs.into_iter();
        let steps = steps.map(|c| (c.config_operation, c.name.to_string(), c.value.map(|v| v.to_string())));
        let change = Change::Incremental(steps.collect());
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
        responder.frame(&IncrementalAlterConfigsResponse::default().with_responses(answers.collect()))
    }))
}
