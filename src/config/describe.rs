//! What DescribeConfigs says of a resource: every key with its value, where that comes from, and what lies beneath it.
//!
//! Follows Kafka's `ConfigHelper`. Keys come sorted by name, where Kafka's order is that of a hash map.

#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::dynamic::DynamicBrokerConfig;
use super::table::{self, ConfigKey, ConfigType, Scope};
use super::topic;
use super::value::{self, Value};
use super::values::BrokerValues;

/// Where a value comes from; the discriminants are those of DescribeConfigs v1+ (`config_source`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ConfigSource {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    ClientMetrics = 7,
    Group = 8,
}

/// One key of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` is null: not set and without default, or sensitive.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
    pub sensitive: bool,
    pub kind: ConfigType,
    /// What would supply the value, strongest first; the first one does.
    pub synonyms: Vec<ConfigSynonym>,
    pub doc: &'static str,
}

/// One layer that holds a value for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    pub name: String,
    pub value: Option<String>,
    pub source: ConfigSource,
}

/// A broker by its id: every key that is not internal, and whatever else was set.
pub fn broker(config: &DynamicBrokerConfig) -> Vec<ConfigEntry> {
    let described = table::keys(Scope::Broker).values().filter(|key| !key.internal).map(|key| key.name);
    let set = [config.fixed().set_keys(), config.cluster_default(), config.broker()];
    let mut names: BTreeSet<&str> = described.collect();
    names.extend(set.iter().flat_map(|layer| layer.keys()).map(String::as_str));
    let entry = |name: &str| {
        let synonyms = broker_synonyms(config, name);
        let value = match table::find(Scope::Broker, name) {
            Some(_) => non_null(config.value(name)),
            None => synonyms.first().and_then(|synonym| synonym.value.clone()),
        };
        broker_entry(name, value, synonyms)
    };
    names.into_iter().map(entry).collect()
}

/// The cluster-wide default (broker resource with an empty name): only what is set there.
pub fn cluster_default(config: &DynamicBrokerConfig) -> Vec<ConfigEntry> {
    let entry = |(name, text): (&String, &String)| {
        let mut synonyms = broker_synonyms(config, name);
        synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        broker_entry(name, Some(text.clone()), synonyms)
    };
    config.cluster_default().iter().map(entry).collect()
}

/// A topic with these overrides.
pub fn topic(config: &DynamicBrokerConfig, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
    let keys = table::keys(Scope::Topic).values();
    let shown = keys.filter(|key| !key.internal || overrides.contains_key(key.name));
    let entry = |key: &&ConfigKey| {
        let own = overrides.get(key.name).and_then(|text| value::parse(key, key.name, text).ok());
        let mut synonyms = key.synonyms.first().map(|first| broker_synonyms(config, first.name)).unwrap_or_default();
        if let Some(own) = &own {
            synonyms.insert(0, synonym(key.name, Some(own.to_string()), ConfigSource::Topic));
        }
        resource_entry(key, own.unwrap_or_else(|| topic::default_of(config, key)), synonyms)
    };
    shown.map(entry).collect()
}

/// A topic with these overrides as CreateTopics answers it (Kafka's `KafkaConfigSchema`): what was set stands as it was
/// given, and a value counts as the broker's under any of the names it may have there.
pub fn created_topic(config: &DynamicBrokerConfig, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
    let layers = layers(config);
    let mut entries = topic(config, overrides);
    for entry in &mut entries {
        if let Some(given) = overrides.get(&entry.name) {
            entry.value = Some(given.clone());
        } else if let Some(key) = table::find(Scope::Topic, &entry.name) {
            let set = layers.iter().find(|(layer, _)| key.synonyms.iter().any(|s| layer.contains_key(s.name)));
            entry.source = set.map_or(ConfigSource::Default, |(_, source)| *source);
        }
    }
    entries
}

/// A group with these overrides, whether or not it exists; its defaults are the broker's `group.*` values.
pub fn group(config: &DynamicBrokerConfig, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
    let entry = |key: &&ConfigKey| {
        let own = overrides.get(key.name).and_then(|text| value::parse(key, key.name, text).ok());
        let source = if own.is_some() { ConfigSource::Group } else { ConfigSource::Default };
        let value = own.unwrap_or_else(|| group_default(config, key));
        let synonyms = vec![synonym(key.name, Some(value.to_string()), source)];
        resource_entry(key, value, synonyms)
    };
    table::keys(Scope::Group).values().map(entry).collect()
}

/// A client-metrics subscription with these overrides.
pub fn client_metrics(overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
    let entry = |key: &&ConfigKey| {
        let own = overrides.get(key.name).and_then(|text| value::parse(key, key.name, text).ok());
        let source = ConfigSource::ClientMetrics;
        let synonyms = own.iter().map(|own| synonym(key.name, Some(own.to_string()), source)).collect();
        resource_entry(key, own.unwrap_or_else(|| value::parse_default(key)), synonyms)
    };
    table::keys(Scope::ClientMetrics).values().map(entry).collect()
}

/// The value a group key has when the group does not set it: that of `group.<key>` where the broker has one.
pub fn group_default(config: &DynamicBrokerConfig, key: &ConfigKey) -> Value {
    let broker_key = format!("group.{}", key.name);
    match table::find(Scope::Broker, &broker_key) {
        Some(_) => config.value(&broker_key),
        None => value::parse_default(key),
    }
}

fn broker_entry(name: &str, value: Option<String>, synonyms: Vec<ConfigSynonym>) -> ConfigEntry {
    let exact = table::find(Scope::Broker, name);
    let row = exact.or_else(|| table::find_broker(name));
    // What Kafka cannot type it takes for a secret.
    let sensitive = row.is_none_or(ConfigKey::is_sensitive);
    ConfigEntry {
        name: name.to_owned(),
        value: value.filter(|_| !sensitive),
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        read_only: exact.is_none_or(|key| key.mode == table::UpdateMode::ReadOnly),
        sensitive,
        kind: row.map_or(ConfigType::Unknown, |key| key.kind),
        synonyms,
        doc: exact.map_or("", |key| key.doc),
    }
}

fn resource_entry(key: &ConfigKey, value: Value, synonyms: Vec<ConfigSynonym>) -> ConfigEntry {
    ConfigEntry {
        name: key.name.to_owned(),
        value: non_null(value),
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        read_only: false,
        sensitive: key.is_sensitive(),
        kind: key.kind,
        synonyms,
        doc: key.doc,
    }
}

/// Every layer's value under every name of a broker key, layer by layer; what comes before the key's own name is left
/// out (Kafka's `configSynonyms`: `log.retention.hours` alone therefore does not show under `log.retention.ms`).
fn broker_synonyms(config: &DynamicBrokerConfig, name: &str) -> Vec<ConfigSynonym> {
    let names = names_of(name);
    let sensitive = table::find_broker(name).is_none_or(ConfigKey::is_sensitive);
    let shown = |text: &str| (!sensitive).then(|| text.to_owned());
    let mut found = Vec::new();
    for (layer, source) in layers(config) {
        let set = names.iter().filter_map(|name| layer.get(*name).map(|text| (*name, text)));
        found.extend(set.map(|(name, text)| synonym(name, shown(text), source)));
    }
    for name in names {
        if let Some(default) = table::find(Scope::Broker, name).and_then(|key| key.effective_default()) {
            found.push(synonym(name, shown(default), ConfigSource::Default));
        }
    }
    let above = found.iter().position(|synonym| synonym.name == name).unwrap_or(found.len());
    found.split_off(above)
}

/// Where a broker key may be set, strongest first.
fn layers(config: &DynamicBrokerConfig) -> [(&BTreeMap<String, String>, ConfigSource); 3] {
    [
        (config.broker(), ConfigSource::DynamicBroker),
        (config.cluster_default(), ConfigSource::DynamicDefaultBroker),
        (config.fixed().set_keys(), ConfigSource::StaticBroker),
    ]
}

/// The names under which a broker key's value may be given (Kafka's `brokerConfigSynonyms`).
fn names_of(name: &str) -> Vec<&str> {
    match name {
        "log.roll.ms" | "log.roll.hours" => vec!["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => vec!["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => vec![name, "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            vec!["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        _ => match table::find_broker(name) {
            Some(base) if base.name != name => vec![name, base.name],
            _ => vec![name],
        },
    }
}

fn synonym(name: &str, value: Option<String>, source: ConfigSource) -> ConfigSynonym {
    ConfigSynonym { name: name.to_owned(), value, source }
}

fn non_null(value: Value) -> Option<String> {
    match value {
        Value::Null | Value::Password(_) => None,
        value => Some(value.to_string()),
    }
}
