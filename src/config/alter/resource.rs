//! Whether a resource may be left with a set of values, by the kind of resource.

use std::collections::BTreeMap;

use super::{AlterError, AlterTarget, VALUE_BYTES_MAX};
use crate::config::broker::check;
use crate::config::describe;
use crate::config::dynamic::DynamicBrokerConfig;
use crate::config::error::ConfigError;
use crate::config::table::{self, Scope, UpdateMode};
use crate::config::topic;
use crate::config::value::{self, Value};
use crate::config::values::BrokerValues;

/// Checks `next`, which differs from `current` by the `touched` keys at most.
pub(super) fn check(
    broker: &DynamicBrokerConfig,
    target: AlterTarget,
    current: &BTreeMap<String, String>,
    next: &BTreeMap<String, String>,
    touched: &[&str],
) -> Result<(), AlterError> {
    if touched.iter().filter_map(|key| next.get(*key)).any(|value| value.len() > VALUE_BYTES_MAX) {
        let message = format!(
            "The configuration value cannot be added because it exceeds the maximum value size of {VALUE_BYTES_MAX} \
             bytes."
        );
        return Err(AlterError::config(message));
    }
    match target {
        AlterTarget::Topic => {
            topic::validate(broker, next)?;
            Ok(topic::validate_end_of_tiering(broker, current, next)?)
        }
        AlterTarget::Broker => {
            check_broker(broker, &broker.with_broker(next.clone()), next, touched, true)?;
            if touched.contains(&MIN_INSYNC) {
                let message = "Broker-level min.insync.replicas cannot be altered while ELR is enabled.";
                return Err(AlterError::config(message));
            }
            Ok(())
        }
        AlterTarget::ClusterDefault => {
            check_broker(broker, &broker.with_cluster_default(next.clone()), next, touched, false)?;
            if current.contains_key(MIN_INSYNC) && !next.contains_key(MIN_INSYNC) {
                let message = "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.";
                return Err(AlterError::config(message));
            }
            Ok(())
        }
        AlterTarget::Group => check_group(broker, next),
        AlterTarget::ClientMetrics => check_client_metrics(next),
    }
}

/// Eligible leader replicas (KIP-966, on in 4.2) need one value for the whole cluster.
const MIN_INSYNC: &str = "min.insync.replicas";

/// Fixed in a Kafka of today. With ZooKeeper it could be changed while the broker ran (KIP-226), and set-ups for it do.
const ADVERTISED: &str = "advertised.listeners";

/// Kafka's `DynamicBrokerConfig.validate`: which keys may change, each by itself, then all together.
fn check_broker(
    current: &DynamicBrokerConfig,
    next: &DynamicBrokerConfig,
    set: &BTreeMap<String, String>,
    touched: &[&str],
    one_broker: bool,
) -> Result<(), AlterError> {
    // The order of the request first: it is how the answer names several keys.
    let mut names: Vec<&str> = touched.iter().copied().filter(|name| set.contains_key(*name)).collect();
    names.extend(set.keys().map(String::as_str).filter(|name| !touched.contains(name)));
    let moves_addresses = one_broker && current.fixed().is_with_zookeeper();
    if moves_addresses {
        names.retain(|name| *name != ADVERTISED);
        if let Some(text) = set.get(ADVERTISED) {
            current.fixed().check_advertised(text).map_err(|error| AlterError::request(error.message))?;
        }
    }
    let refused = |which: fn(&str) -> bool, what: &str| {
        let found: Vec<&str> = names.iter().copied().filter(|name| which(name)).collect();
        if found.is_empty() { Ok(()) } else { Err(AlterError::request(format!("{what}({})", found.join(", ")))) }
    };
    refused(is_read_only, "Cannot update these configs dynamically: Set")?;
    let per_listener = "These security configs can be dynamically updated only per-listener using the listener prefix: \
                        HashSet";
    refused(is_listener_secret, per_listener)?;
    for (name, text) in set {
        if let Some(key) = table::find_broker(name) {
            // Kafka takes the listener prefix off before it looks.
            value::parse(key, key.name, text).map_err(|error| AlterError::request(error.message))?;
        }
    }
    if !one_broker {
        let message = "Cannot update these configs at default cluster level, broker id must be specified: Set";
        refused(is_per_broker, message)?;
    }
    check::relations(current.fixed(), next).map_err(|error| AlterError::request(error.message))?;
    check_reconfiguration(current, next).map_err(|error| {
        // Kafka reports these as an exception inside an exception; tools show the text, so it stays.
        let inner = error.message;
        AlterError::request(format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: {inner} for configuration Invalid dynamic \
             configuration"
        ))
    })
}

fn is_read_only(name: &str) -> bool {
    table::find(Scope::Broker, name).is_some_and(|key| key.mode == UpdateMode::ReadOnly)
}

fn is_per_broker(name: &str) -> bool {
    table::find_broker(name).is_some_and(|key| key.mode == UpdateMode::PerBroker)
}

/// Kafka's `DynamicSecurityConfigs`: stores and their secrets.
fn is_listener_secret(name: &str) -> bool {
    name == "ssl.key.password" || name.starts_with("ssl.keystore.") || name.starts_with("ssl.truststore.")
}

/// Thread pools that a running Kafka grows to at most double and shrinks to at least half.
const THREAD_POOLS: [&str; 9] = [
    "num.network.threads",
    "num.io.threads",
    "num.replica.fetchers",
    "num.recovery.threads.per.data.dir",
    "background.threads",
    "remote.log.reader.threads",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
];

/// What a running broker refuses to become.
fn check_reconfiguration(current: &DynamicBrokerConfig, next: &DynamicBrokerConfig) -> Result<(), ConfigError> {
    for key in THREAD_POOLS {
        let (from, to) = (current.get_i64(key), next.get_i64(key));
        let problem = match to {
            _ if to < from / 2 => format!("value should be at least half the current value {from}"),
            _ if to > from * 2 => format!("value should not be greater than double the current value {from}"),
            _ => continue,
        };
        let message = format!("Dynamic thread count update validation failed for {key}={to}, {problem}");
        return Err(ConfigError::new(key, &to.to_string(), message));
    }
    let (from, to) = (current.get_i64("log.cleaner.threads"), next.get_i64("log.cleaner.threads"));
    let problem = match to {
        _ if to < from / 2 => Some("reduced to less than half"),
        _ if to > from * 2 => Some("increased to more than double"),
        _ => None,
    };
    if let Some(problem) = problem {
        let message = format!("Log cleaner threads cannot be {problem} the current value {from}");
        return Err(ConfigError::new("log.cleaner.threads", &to.to_string(), message));
    }
    check_local_retention(next)?;
    check_listeners(current, next)
}

/// What stays on this machine cannot be more than what stays at all; -2 follows the whole, -1 is no limit.
fn check_local_retention(next: &DynamicBrokerConfig) -> Result<(), ConfigError> {
    let whole_ms = match table::find(Scope::Topic, "retention.ms").map(|key| topic::default_of(next, key)) {
        Some(Value::Long(ms)) => ms,
        _ => -1,
    };
    for (local, whole, most) in [
        ("log.local.retention.ms", "log.retention.ms", whole_ms),
        ("log.local.retention.bytes", "log.retention.bytes", next.get_i64("log.retention.bytes")),
    ] {
        let value = next.get_i64(local);
        if most == -1 || value == -2 {
            continue;
        }
        let text = value.to_string();
        if value == -1 {
            let message = format!("Value must not be -1 as {whole} value is set as {most}.");
            return Err(ConfigError::invalid(local, &text, &message));
        }
        if value > most {
            let message = format!("Value must not be more than {whole} property value: {most}");
            return Err(ConfigError::invalid(local, &text, &message));
        }
    }
    Ok(())
}

/// Listeners are opened at start: what they are made of cannot change under them.
fn check_listeners(current: &DynamicBrokerConfig, next: &DynamicBrokerConfig) -> Result<(), ConfigError> {
    let Some(listener) = current.fixed().listeners().first() else { return Ok(()) };
    let keys = table::keys(Scope::Broker).values().filter(|key| key.mode == UpdateMode::PerBroker);
    for key in keys {
        let to = next.value(key.name);
        if current.value(key.name) != to {
            let message = format!(
                "Configs cannot be updated dynamically for existing listener ListenerName({}), restart broker or \
                 create a new listener for update",
                listener.name
            );
            return Err(ConfigError::new(key.name, &to.to_string(), message));
        }
    }
    Ok(())
}

/// Kafka's `GroupConfig.validate`: known keys, each by itself, then within what the broker allows.
fn check_group(broker: &DynamicBrokerConfig, next: &BTreeMap<String, String>) -> Result<(), AlterError> {
    if let Some(name) = next.keys().find(|name| table::find(Scope::Group, name).is_none()) {
        return Err(AlterError::config(format!("Unknown group config name: {name}")));
    }
    for (name, text) in next {
        if let Some(key) = table::find(Scope::Group, name) {
            value::parse(key, name, text)?;
        }
    }
    let value = |name: &str| -> i64 {
        let Some(key) = table::find(Scope::Group, name) else { return 0 };
        let own = next.get(name).and_then(|text| value::parse(key, name, text).ok());
        own.unwrap_or_else(|| describe::group_default(broker, key)).as_i64().unwrap_or(0)
    };
    let bounded = [
        ("consumer.heartbeat.interval.ms", "group.consumer", "heartbeat.interval.ms"),
        ("consumer.session.timeout.ms", "group.consumer", "session.timeout.ms"),
        ("share.heartbeat.interval.ms", "group.share", "heartbeat.interval.ms"),
        ("share.session.timeout.ms", "group.share", "session.timeout.ms"),
        ("share.record.lock.duration.ms", "group.share", "record.lock.duration.ms"),
        ("streams.heartbeat.interval.ms", "group.streams", "heartbeat.interval.ms"),
        ("streams.session.timeout.ms", "group.streams", "session.timeout.ms"),
    ];
    for (key, prefix, what) in bounded {
        let (least, most) = (format!("{prefix}.min.{what}"), format!("{prefix}.max.{what}"));
        if value(key) < broker.get_i64(&least) {
            return Err(AlterError::config(format!("{key} must be greater than or equal to {least}")));
        }
        if value(key) > broker.get_i64(&most) {
            return Err(AlterError::config(format!("{key} must be less than or equal to {most}")));
        }
    }
    let (standbys, most) = ("streams.num.standby.replicas", "group.streams.max.standby.replicas");
    if value(standbys) > broker.get_i64(most) {
        return Err(AlterError::config(format!("{standbys} must be less than or equal to {most}")));
    }
    for kind in ["consumer", "share", "streams"] {
        let (session, heartbeat) = (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
        if value(&session) <= value(&heartbeat) {
            return Err(AlterError::config(format!("{session} must be greater than {heartbeat}")));
        }
    }
    Ok(())
}

/// Kafka's `ClientMetricsConfigs.validate` (KIP-714).
fn check_client_metrics(next: &BTreeMap<String, String>) -> Result<(), AlterError> {
    const INTERVAL_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;
    if let Some(name) = next.keys().find(|name| table::find(Scope::ClientMetrics, name).is_none()) {
        return Err(AlterError::request(format!("Unknown client metrics configuration: {name}")));
    }
    for (name, text) in next {
        let Some(key) = table::find(Scope::ClientMetrics, name) else { continue };
        let value = value::parse(key, name, text)?;
        if let Some(interval) = value.as_i64().filter(|interval| !INTERVAL_MS.contains(interval)) {
            let message =
                format!("Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 (1 hour)");
            return Err(AlterError::request(message));
        }
        if name == "match"
            && let Some(entry) = value.as_list().iter().find(|entry| !is_client_match(entry))
        {
            return Err(AlterError::config(format!("Illegal client matching pattern: {entry}")));
        }
    }
    Ok(())
}

/// `attribute=regular expression`; of the expression only what is plainly unfinished is found here.
fn is_client_match(entry: &str) -> bool {
    const ATTRIBUTES: [&str; 6] = [
        "client_id",
        "client_instance_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    ];
    let Some((attribute, pattern)) = entry.split_once('=') else { return false };
    ATTRIBUTES.contains(&attribute.trim()) && is_balanced(pattern.trim())
}

/// Whether groups and classes are closed, nothing ends in a backslash, and nothing begins with a repetition.
fn is_balanced(pattern: &str) -> bool {
    let (mut groups, mut in_class) = (0_usize, false);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => return false,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => groups += 1,
            ')' if !in_class && groups == 0 => return false,
            ')' if !in_class => groups -= 1,
            _ => {}
        }
    }
    groups == 0 && !in_class && !pattern.is_empty() && !pattern.starts_with(['*', '+', '?'])
}
