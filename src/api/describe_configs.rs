//! DescribeConfigs (key 32), versions 1–4.
//!
//! Behaviour: every key of a topic, this broker, the cluster default, a group or a client-metrics subscription, with value,
//! source, synonyms and type. An unknown group or subscription has its defaults. Broker loggers are not described: there
//! is no log4j here (INVALID_REQUEST).
//! Version notes: v1 synonyms, v3 types and documentation.

use bytes::Bytes;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::errors::{Error, INVALID_REQUEST_TEXT, Refusal, refusal};
use super::{Api, BadRequest, Reply, Request};
use crate::broker::BrokerState;
use crate::config::describe::{self, ConfigEntry};
use crate::topic::validate_name;

pub const API: Api =
    Api { key: 32, name: "DescribeConfigs", versions: (1, 4), advertised_from: 1, flexible_from: 4, handle };

/// Entries of one answer: those of every topic that a broker is made for, and no more than memory has room for.
const ENTRIES_MAX: usize = 1_000_000;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DescribeConfigsRequest = request.decode(body)?;
    let version = request.version;
    let with_docs = version >= 3 && asked.include_documentation;
    let mut response = DescribeConfigsResponse::default();
    let mut entries_left = ENTRIES_MAX;
    for resource in asked.resources {
        let mut out = DescribeConfigsResult::default();
        match entries(request.broker(), &resource) {
            Ok(entries) => {
                out.error_message = Some(StrBytes::new());
                out.configs = entries
                    .into_iter()
                    .filter(|e| is_asked_for(&resource, &e.name))
                    .map(|e| result(e, version, asked.include_synonyms, with_docs))
                    .collect();
                entries_left = entries_left
                    .checked_sub(out.configs.len())
                    .ok_or_else(|| BadRequest(format!("asks for more than {ENTRIES_MAX} entries")))?;
            }
            Err((error, message)) => {
                out.error_code = error.code();
                out.error_message = Some(message.map(StrBytes::from_string).unwrap_or_default());
            }
        }
        out.resource_type = resource.resource_type;
        out.resource_name = resource.resource_name;
        response.results.push(out);
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// No list, or an empty one, asks for every key.
fn is_asked_for(resource: &DescribeConfigsResource, name: &str) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|k| &**k == name),
        _ => true,
    }
}

fn entries(broker: &BrokerState, resource: &DescribeConfigsResource) -> Result<Vec<ConfigEntry>, Refusal> {
    let manager = &broker.topics;
    let config = manager.config();
    let name: &str = &resource.resource_name;
    match resource.resource_type {
        TOPIC => match manager.topic(name) {
            Some(topic) => Ok(describe::topic(&config, &topic.settings().overrides)),
            None => match validate_name(name) {
                Ok(()) => Err((Error::UnknownTopicOrPartition, None)),
                Err(why) => Err(refusal(Error::InvalidTopicException, why.0)),
            },
        },
        BROKER if name.is_empty() => Ok(describe::cluster_default(&config)),
        BROKER => {
            let Ok(id) = name.parse::<i32>() else {
                let message = format!("Broker id must be an integer, but it is: {name}");
                return Err(refusal(Error::InvalidRequest, message));
            };
            if id != broker.node_id {
                let message =
                    format!("Unexpected broker id, expected {} or empty string, but received {name}", broker.node_id);
                return Err(refusal(Error::InvalidRequest, message));
            }
            Ok(describe::broker(&config))
        }
        CLIENT_METRICS if name.is_empty() => {
            Err(refusal(Error::InvalidRequest, "Client metrics subscription name must not be empty"))
        }
        CLIENT_METRICS => Ok(describe::client_metrics(&manager.client_metrics_config(name).unwrap_or_default())),
        GROUP if name.is_empty() => Err(refusal(Error::InvalidRequest, "Group name must not be empty")),
        GROUP => Ok(describe::group(&config, &manager.group_config(name).unwrap_or_default())),
        BROKER_LOGGER => {
            Err(refusal(Error::InvalidRequest, "There are no broker loggers: RUST_LOG chooses what is logged"))
        }
        _ => Err((Error::InvalidRequest, Some(INVALID_REQUEST_TEXT.into()))),
    }
}

fn result(entry: ConfigEntry, version: i16, with_synonyms: bool, with_docs: bool) -> DescribeConfigsResourceResult {
    let mut out = DescribeConfigsResourceResult::default();
    out.name = StrBytes::from_string(entry.name);
    out.value = entry.value.map(StrBytes::from_string);
    out.read_only = entry.read_only;
    out.config_source = entry.source as i8;
    out.is_sensitive = entry.sensitive;
    if with_synonyms {
        out.synonyms = entry
            .synonyms
            .into_iter()
            .map(|s| {
                DescribeConfigsSynonym::default()
                    .with_name(StrBytes::from_string(s.name))
                    .with_value(s.value.map(StrBytes::from_string))
                    .with_source(s.source as i8)
            })
            .collect();
    }
    out.documentation = None;
    if version >= 3 {
        out.config_type = entry.kind as i8;
        if with_docs {
            out.documentation = Some(StrBytes::from_static_str(entry.doc));
        }
    }
    out
}
