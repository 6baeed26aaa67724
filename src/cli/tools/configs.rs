//! `ottla configs`, as kafka-configs.

use std::io::Write;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;

use super::options::{Options, Spec};
use super::partitions::name_of;
use super::{ToolError, client, failed, output, print_json, usage};
use crate::client::{Client, ClientError, To};
use crate::config::properties;

const SPEC: Spec = Spec {
    help: "\
Usage: ottla configs --bootstrap-server HOST:PORT --describe ENTITY [--all]
       ottla configs --bootstrap-server HOST:PORT --alter ENTITY [--add-config K=V,K=[A,B]] [--add-config-file FILE]
                     [--delete-config K,K]

ENTITY: --entity-type topics|brokers|groups|client-metrics --entity-name NAME (brokers also --entity-default), or
--topic NAME, --broker ID, --broker-defaults, --group NAME, --client-metrics NAME.
--all shows defaults too; --json prints JSON.",
    values: &[
        "entity-type",
        "entity-name",
        "topic",
        "broker",
        "group",
        "client-metrics",
        "add-config",
        "add-config-file",
        "delete-config",
    ],
    flags: &["describe", "alter", "all", "entity-default", "broker-defaults", "json"],
    optional_values: &[],
};

/// Kafka's numbers of resource types.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;

pub struct Resource {
    kind: i8,
    name: String,
}

impl Resource {
    pub fn topic(name: &str) -> Resource {
        Resource { kind: TOPIC, name: name.to_owned() }
    }

    /// As the sentences of Kafka's tool name it.
    fn shown(&self) -> String {
        let kind = match self.kind {
            TOPIC => "topic",
            BROKER => "broker",
            GROUP => "group",
            _ => "client-metric",
        };
        if self.kind == BROKER && self.name.is_empty() {
            return "brokers in the cluster".to_owned();
        }
        format!("{kind} {}", self.name)
    }

    fn to(&self) -> Result<To<'static>, ToolError> {
        match self.kind {
            BROKER if !self.name.is_empty() => match self.name.parse() {
                Ok(id) => Ok(To::Node(id)),
                Err(_) => failed(format!(
                    "The entity name for brokers must be a valid integer broker id, found: {}",
                    self.name
                )),
            },
            _ => Ok(To::Any),
        }
    }
}

/// One value with where it comes from.
pub struct Entry {
    pub name: String,
    value: Option<String>,
    is_sensitive: bool,
    source: i8,
    synonyms: Vec<String>,
}

impl Entry {
    pub fn is_default(&self) -> bool {
        self.source == 5
    }

    /// Whether it is set on that resource itself.
    fn is_own(&self, resource: &Resource) -> bool {
        let wanted = match resource.kind {
            TOPIC => 1,
            BROKER if resource.name.is_empty() => 3,
            BROKER => 2,
            CLIENT_METRICS => 7,
            _ => 8,
        };
        self.source == wanted
    }

    pub fn shown(&self) -> String {
        self.value.clone().unwrap_or_else(|| "null".to_owned())
    }
}

/// Kafka's names of where a value comes from.
fn source_name(source: i8) -> &'static str {
    match source {
        1 => "DYNAMIC_TOPIC_CONFIG",
        2 => "DYNAMIC_BROKER_CONFIG",
        3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        4 => "STATIC_BROKER_CONFIG",
        5 => "DEFAULT_CONFIG",
        6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
        7 => "DYNAMIC_CLIENT_METRICS_CONFIG",
        8 => "DYNAMIC_GROUP_CONFIG",
        _ => "UNKNOWN",
    }
}

pub fn run(arguments: &[String]) -> Result<(), ToolError> {
    let options = Options::parse(&SPEC, arguments)?;
    let action = options.action(&["describe", "alter"])?;
    let entities = ["entity-type", "topic", "broker", "broker-defaults", "group", "client-metrics"];
    if entities.iter().filter(|name| options.has(name)).count() > 1 {
        return usage("Only one entity can be described or altered at a time");
    }
    if action == "describe" {
        options.refuse(&["add-config", "add-config-file", "delete-config"], action)?;
    } else {
        options.refuse(&["all", "json"], action)?;
    }
    let mut client = client(&options)?;
    if action == "describe" { show(&mut client, &options) } else { alter(&mut client, &options) }
}

/// What the options name. `None`: all of a kind.
fn entity(options: &Options) -> Result<(i8, Option<String>), ToolError> {
    for (option, kind) in [("topic", TOPIC), ("broker", BROKER), ("group", GROUP), ("client-metrics", CLIENT_METRICS)] {
        if let Some(name) = options.get(option) {
            return Ok((kind, Some(name.to_owned())));
        }
    }
    if options.has("broker-defaults") {
        return Ok((BROKER, Some(String::new())));
    }
    let kind = match options.required("entity-type")? {
        "topics" => TOPIC,
        "brokers" => BROKER,
        "groups" => GROUP,
        "client-metrics" => CLIENT_METRICS,
        kind @ ("users" | "clients" | "ips" | "broker-loggers") => {
            return failed(format!("--entity-type {kind} is not served (UNSUPPORTED_VERSION)"));
        }
        other => return usage(format!("Invalid entity type {other}")),
    };
    let name =
        if options.has("entity-default") { Some(String::new()) } else { options.get("entity-name").map(str::to_owned) };
    Ok((kind, name))
}

/// The values of one resource, sorted by name.
pub fn describe(client: &mut Client, resource: &Resource, synonyms: bool) -> Result<Vec<Entry>, ToolError> {
    let wanted = DescribeConfigsResource::default()
        .with_resource_type(resource.kind)
        .with_resource_name(StrBytes::from_string(resource.name.clone()))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![wanted]).with_include_synonyms(synonyms);
    let answer = client.call(resource.to()?, i16::MAX, &request)?;
    let Some(result) = answer.results.first() else { return failed("the broker has answered for no resource") };
    ClientError::check(result.error_code, result.error_message.as_ref())?;
    Ok(entries(result))
}

fn entries(result: &DescribeConfigsResult) -> Vec<Entry> {
    let mut entries: Vec<Entry> = result
        .configs
        .iter()
        .map(|config| Entry {
            name: config.name.to_string(),
            value: config.value.as_ref().map(ToString::to_string),
            is_sensitive: config.is_sensitive,
            source: config.config_source,
            synonyms: config
                .synonyms
                .iter()
                .map(|one| {
                    let value = one.value.as_ref().map_or_else(|| "null".to_owned(), ToString::to_string);
                    format!("{}:{}={value}", source_name(one.source), &*one.name)
                })
                .collect(),
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn show(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let (kind, name) = entity(options)?;
    let names = match name {
        Some(name) => vec![name],
        None => all_of(client, kind)?,
    };
    let all = options.has("all");
    let mut out = output();
    let mut json = Vec::new();
    for name in names {
        let resource = Resource { kind, name };
        let mut entries = describe(client, &resource, true)?;
        if !all {
            entries.retain(|entry| entry.is_own(&resource));
        }
        if options.has("json") {
            let values: serde_json::Map<_, _> = entries
                .iter()
                .map(|entry| {
                    let value = serde_json::json!({"value": entry.value, "source": source_name(entry.source)});
                    (entry.name.clone(), value)
                })
                .collect();
            json.push(serde_json::json!({"entity": resource.name, "configs": values}));
            continue;
        }
        match (all, kind == BROKER && resource.name.is_empty()) {
            (true, false) => writeln!(out, "All configs for {} are:", resource.shown())?,
            (true, true) => writeln!(out, "All default configs for {} are:", resource.shown())?,
            (false, false) => writeln!(out, "Dynamic configs for {} are:", resource.shown())?,
            (false, true) => writeln!(out, "Default configs for {} are:", resource.shown())?,
        }
        for entry in entries {
            writeln!(
                out,
                "  {}={} sensitive={} synonyms={{{}}}",
                entry.name,
                entry.shown(),
                entry.is_sensitive,
                entry.synonyms.join(", ")
            )?;
        }
    }
    if options.has("json") {
        print_json(&mut out, &json.into())?;
    }
    Ok(out.flush()?)
}

fn all_of(client: &mut Client, kind: i8) -> Result<Vec<String>, ToolError> {
    match kind {
        TOPIC => {
            let metadata = client.metadata(None)?;
            let mut names: Vec<String> = metadata.topics.iter().map(|topic| name_of(topic).to_owned()).collect();
            names.sort();
            Ok(names)
        }
        BROKER => {
            let mut names: Vec<String> = client.brokers()?.keys().map(i32::to_string).collect();
            names.push(String::new());
            Ok(names)
        }
        _ => usage("an entity name must be specified with --describe of this type"),
    }
}

fn alter(client: &mut Client, options: &Options) -> Result<(), ToolError> {
    let (kind, name) = entity(options)?;
    let Some(name) = name else {
        return usage("an entity name must be specified with --alter");
    };
    let resource = Resource { kind, name };
    let removed: Vec<String> =
        options.all("delete-config").iter().flat_map(|list| list.split(',')).map(|key| key.trim().to_owned()).collect();
    if !removed.is_empty() {
        let set = describe(client, &resource, false)?;
        let is_set = |key: &String| set.iter().any(|entry| entry.name == *key && entry.is_own(&resource));
        let unset: Vec<&str> = removed.iter().filter(|key| !is_set(key)).map(String::as_str).collect();
        if !unset.is_empty() {
            return failed(format!("Invalid config(s): {}", unset.join(",")));
        }
    }
    let mut changes = Vec::new();
    if let Some(file) = options.get("add-config-file") {
        let text = std::fs::read_to_string(file).map_err(|e| ToolError::Failed(format!("{file}: {e}")))?;
        let set = properties::parse(&text).map_err(|e| ToolError::Failed(e.to_string()))?;
        changes.extend(set.into_iter().map(|(key, value)| (key, Some(value))));
    }
    for list in options.all("add-config") {
        changes.extend(added(list)?.into_iter().map(|(key, value)| (key, Some(value))));
    }
    changes.extend(removed.into_iter().map(|key| (key, None)));
    if changes.is_empty() {
        return usage(
            "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter",
        );
    }
    let configs = changes.into_iter().map(|(key, value)| {
        AlterableConfig::default()
            .with_name(StrBytes::from_string(key))
            .with_config_operation(if value.is_some() { SET } else { DELETE })
            .with_value(value.map(StrBytes::from_string))
    });
    let wanted = AlterConfigsResource::default()
        .with_resource_type(resource.kind)
        .with_resource_name(StrBytes::from_string(resource.name.clone()))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![wanted]);
    let answer = client.call(resource.to()?, i16::MAX, &request)?;
    for result in &answer.responses {
        ClientError::check(result.error_code, result.error_message.as_ref())?;
    }
    let mut out = output();
    if resource.kind == BROKER && resource.name.is_empty() {
        writeln!(out, "Completed updating default config for {}.", resource.shown())?;
    } else {
        writeln!(out, "Completed updating config for {}.", resource.shown())?;
    }
    Ok(out.flush()?)
}

/// `k=v,k=[a,b]`: values in brackets may have commas.
fn added(list: &str) -> Result<Vec<(String, String)>, ToolError> {
    let mut found = Vec::new();
    let mut rest = list;
    while !rest.trim().is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            return usage(format!(
                "Invalid entity config: all configs to be added must be in the format \"key=val\": {list}"
            ));
        };
        let (value, after) = match after.strip_prefix('[') {
            Some(inside) => {
                let Some((value, after)) = inside.split_once(']') else {
                    return usage(format!("a bracket is not closed: {list}"));
                };
                (value, after.strip_prefix(',').unwrap_or(after))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((key.trim().to_owned(), value.to_owned()));
        rest = after;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_brackets_keep_their_commas() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            added("a=1,listeners=[X://h:1,Y://h:2],b=c=d").expect("parsed"),
            [pair("a", "1"), pair("listeners", "X://h:1,Y://h:2"), pair("b", "c=d")]
        );
        assert_eq!(added("a=[x]").expect("parsed"), [pair("a", "x")]);
        assert_eq!(added("a=").expect("parsed"), [pair("a", "")]);
        assert!(added("a=[x").is_err());
        assert!(added("a").is_err());
    }
}
