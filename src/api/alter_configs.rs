//! AlterConfigs (key 33), versions 0–2.
//!
//! Behaviour: replaces everything that is set on a resource: keys that are not named go back to their defaults. A resource
//! named twice is INVALID_REQUEST, where Kafka never answers. Version notes: none that show.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::configs::{Resource, of_alter};
use super::create_topics::{Refusal, refusal};
use super::errors::Error;
use super::incremental_alter_configs::apply;
use super::{Api, BadRequest, Reply, Request};
use crate::broker::BrokerState;
use crate::config::alter;

pub const API: Api =
    Api { key: 33, name: "AlterConfigs", versions: (0, 2), advertised_from: 0, flexible_from: 2, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: AlterConfigsRequest = request.decode(body)?;
    let responder = request.responder;
    let broker = request.broker().clone();
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for resource in &asked.resources {
        let key = (resource.resource_type, resource.resource_name.clone());
        if !seen.insert(key.clone()) {
            twice.insert(key);
        }
    }
    Ok(Reply::Later(Box::pin(async move {
        let mut response = AlterConfigsResponse::default();
        for resource in asked.resources {
            let mut out = AlterConfigsResourceResponse::default();
            out.resource_type = resource.resource_type;
            out.resource_name = resource.resource_name.clone();
            let result = if twice.contains(&(resource.resource_type, resource.resource_name.clone())) {
                Err(refusal(Error::InvalidRequest, "Each resource must appear at most once."))
            } else {
                replace(&broker, resource, asked.validate_only).await
            };
            out.error_message = None;
            if let Err((error, message)) = result {
                out.error_code = error.code();
                out.error_message = message.map(StrBytes::from_string);
            }
            response.responses.push(out);
        }
        responder.frame(&response)
    })))
}

async fn replace(broker: &Arc<BrokerState>, asked: AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let resource = Resource { kind: asked.resource_type, name: asked.resource_name.to_string() };
    let target = resource.target(broker)?;
    alter::check_name(target, &resource.name).map_err(of_alter)?;
    let entries: Vec<(String, Option<String>)> =
        asked.configs.into_iter().map(|c| (c.name.to_string(), c.value.map(|v| v.to_string()))).collect();
    apply(broker, resource, validate_only, move |config, current| {
        alter::replace_all(config, target, current, &entries).map_err(of_alter)
    })
    .await
}
