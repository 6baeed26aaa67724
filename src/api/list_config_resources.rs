//! ListConfigResources (key 74), versions 0–1 (KIP-1142).
//!
//! Behaviour: the resources that have, or may have, a configuration: topics, this broker, groups and client-metrics
//! subscriptions with values set. Version notes: v0 client-metrics only, v1 by types (none: all).

use bytes::Bytes;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;

use super::configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::errors::Error;
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 74, name: "ListConfigResources", versions: (0, 1), advertised_from: 0, flexible_from: 0, handle };

const ALL: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ListConfigResourcesRequest = request.decode(body)?;
    let version = request.version;
    let types = match version {
        0 => vec![CLIENT_METRICS],
        _ if asked.resource_types.is_empty() => ALL.to_vec(),
        _ => asked.resource_types,
    };
    let mut response = ListConfigResourcesResponse::default();
    if types.iter().any(|t| !ALL.contains(t)) {
        response.error_code = Error::UnsupportedVersion.code();
        return Ok(Reply::Now(request.responder.frame(&response)));
    }
    let broker = request.broker();
    let others = broker.topics.other_configs();
    for kind in ALL.into_iter().filter(|kind| types.contains(kind)) {
        let names: Vec<String> = match kind {
            TOPIC => broker.topics.topics().iter().map(|t| t.name.to_string()).collect(),
            BROKER | BROKER_LOGGER => vec![broker.node_id.to_string()],
            CLIENT_METRICS => others.client_metrics.keys().cloned().collect(),
            _ => others.groups.keys().cloned().collect(),
        };
        response.config_resources.extend(names.into_iter().map(|name| {
            let mut out = ConfigResource::default();
            out.resource_name = StrBytes::from_string(name);
            if version >= 1 {
                out.resource_type = kind;
            }
            out
        }));
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}
