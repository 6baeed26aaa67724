//! IncrementalAlterConfigs (key 44), versions 0–1 (KIP-339).
//!
//! Behaviour: SET, DELETE, APPEND and SUBTRACT on keys of a resource, all of them or none; durable and in effect when the
//! answer leaves. Version notes: none that show.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::configs::{Resource, of_alter};
use super::create_topics::{Refusal, refusal};
use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request};
use crate::broker::BrokerState;
use crate::config::DynamicBrokerConfig;
use crate::config::alter::{self, AlterOp, Alteration};

pub const API: Api =
    Api { key: 44, name: "IncrementalAlterConfigs", versions: (0, 1), advertised_from: 0, flexible_from: 1, handle };

type ConfigMap = BTreeMap<String, String>;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: IncrementalAlterConfigsRequest = request.decode(body)?;
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
        let mut response = IncrementalAlterConfigsResponse::default();
        for resource in asked.resources {
            let mut out = AlterConfigsResourceResponse::default();
            out.resource_type = resource.resource_type;
            out.resource_name = resource.resource_name.clone();
            let result = if twice.contains(&(resource.resource_type, resource.resource_name.clone())) {
                Err(refusal(Error::InvalidRequest, "Each resource must appear at most once."))
            } else {
                alter_one(&broker, resource, asked.validate_only).await
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

async fn alter_one(broker: &Arc<BrokerState>, asked: AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let resource = Resource { kind: asked.resource_type, name: asked.resource_name.to_string() };
    let target = resource.target(broker)?;
    alter::check_name(target, &resource.name).map_err(of_alter)?;
    let mut alterations = Vec::with_capacity(asked.configs.len());
    for config in asked.configs {
        alterations.push(Alteration {
            op: AlterOp::from_code(config.config_operation).map_err(of_alter)?,
            key: config.name.to_string(),
            value: config.value.map(|v| v.to_string()),
        });
    }
    apply(broker, resource, validate_only, move |config, current| {
        alter::apply_incremental(config, target, current, &alterations).map_err(of_alter)
    })
    .await
}

/// Replaces what is set on a resource by what `next` makes of it. What is wrong with the request itself is said also where
/// there is no such resource.
pub(super) async fn apply(
    broker: &Arc<BrokerState>,
    resource: Resource,
    validate_only: bool,
    next: impl FnOnce(&DynamicBrokerConfig, &ConfigMap) -> Result<ConfigMap, Refusal> + Send + 'static,
) -> Result<(), Refusal> {
    broker
        .topics
        .change(vec![resource.touch()], move |manager| {
            let current = resource.current(manager);
            let planned = next(&manager.config(), current.as_ref().unwrap_or(&ConfigMap::new()));
            match planned.and_then(|configs| current.map(|_| configs)) {
                Ok(configs) if !validate_only => (Vec::from_iter(resource.record(manager, configs)), Ok(())),
                Ok(_) => (Vec::new(), Ok(())),
                Err(refusal) => (Vec::new(), Err(refusal)),
            }
        })
        .await
        .unwrap_or_else(|e| Err((errors::of_change(&e), Some(e.to_string()))))
}
