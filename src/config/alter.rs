//! Changing dynamic configuration: the rules of IncrementalAlterConfigs (KIP-339) and AlterConfigs.
//!
//! Pure functions from what is set to what would be set; nothing is changed when they refuse.

mod resource;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::dynamic::DynamicBrokerConfig;
use super::error::ConfigError;
use super::table::{self, ConfigType, Scope};

/// What is changed. Names, and whether the resource exists, are the caller's to check; see [`check_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterTarget {
    Topic,
    /// One broker (resource name: its id).
    Broker,
    /// Every broker (broker resource with an empty name).
    ClusterDefault,
    Group,
    ClientMetrics,
}

/// What to do with one key; the discriminants are those of IncrementalAlterConfigs (`config_operation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum AlterOp {
    Set = 0,
    Delete = 1,
    Append = 2,
    Subtract = 3,
}

impl AlterOp {
    /// The operation of a code; an unknown one is UNKNOWN_SERVER_ERROR, as in Kafka.
    pub fn from_code(code: i8) -> Result<Self, AlterError> {
        match code {
            0 => Ok(Self::Set),
            1 => Ok(Self::Delete),
            2 => Ok(Self::Append),
            3 => Ok(Self::Subtract),
            _ => Err(AlterError {
                error: ErrorName::UnknownServerError,
                message: "The server experienced an unexpected error when processing the request.".to_owned(),
            }),
        }
    }
}

/// One operation on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    pub op: AlterOp,
    pub key: String,
    /// Needed by every operation but `Delete`.
    pub value: Option<String>,
}

/// Kafka's name of the error an alteration is refused with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorName {
    /// INVALID_CONFIG, 40.
    InvalidConfig,
    /// INVALID_REQUEST, 42.
    InvalidRequest,
    /// UNKNOWN_SERVER_ERROR, -1.
    UnknownServerError,
}

/// Why an alteration is refused, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterError {
    pub error: ErrorName,
    pub message: String,
}

impl AlterError {
    fn config(message: impl Into<String>) -> Self {
        Self { error: ErrorName::InvalidConfig, message: message.into() }
    }

    fn request(message: impl Into<String>) -> Self {
        Self { error: ErrorName::InvalidRequest, message: message.into() }
    }
}

impl fmt::Display for AlterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AlterError {}

impl From<ConfigError> for AlterError {
    fn from(error: ConfigError) -> Self {
        Self::config(error.message)
    }
}

/// The longest value that can be set, in bytes; longer ones are INVALID_CONFIG.
pub const VALUE_BYTES_MAX: usize = i16::MAX as usize;

/// Refuses resources without a name where Kafka does (INVALID_REQUEST): all but brokers.
pub fn check_name(target: AlterTarget, name: &str) -> Result<(), AlterError> {
    let message = match target {
        _ if !name.is_empty() => return Ok(()),
        AlterTarget::Broker | AlterTarget::ClusterDefault => return Ok(()),
        AlterTarget::Topic => "Default topic resources are not allowed.",
        AlterTarget::Group => "Default group resources are not allowed.",
        AlterTarget::ClientMetrics => "Subscription name can't be empty",
    };
    Err(AlterError::request(message))
}

/// What would be set after these operations on what is set now.
///
/// All or nothing. Refuses with INVALID_REQUEST a key given twice, a missing value and whatever a broker would not
/// take; with INVALID_CONFIG values that do not fit the key, unknown topic and group keys, APPEND and SUBTRACT on keys
/// that are no lists, and values over [`VALUE_BYTES_MAX`].
pub fn apply_incremental(
    broker: &DynamicBrokerConfig,
    target: AlterTarget,
    current: &BTreeMap<String, String>,
    alterations: &[Alteration],
) -> Result<BTreeMap<String, String>, AlterError> {
    let mut seen = BTreeSet::new();
    if !alterations.iter().all(|alteration| seen.insert(&alteration.key)) {
        return Err(AlterError::request("Error due to duplicate config keys"));
    }
    refuse_nulls(alterations.iter().filter(|one| one.op != AlterOp::Delete).map(|one| (&one.key, &one.value)))?;
    let mut next = current.clone();
    for alteration in alterations {
        let given = alteration.value.as_deref().unwrap_or_default();
        let value = match alteration.op {
            AlterOp::Set => given.to_owned(),
            AlterOp::Delete => {
                next.remove(&alteration.key);
                continue;
            }
            AlterOp::Append | AlterOp::Subtract => combined(target, &next, alteration, given)?,
        };
        next.insert(alteration.key.clone(), value);
    }
    let touched: Vec<&str> = alterations.iter().map(|alteration| alteration.key.as_str()).collect();
    resource::check(broker, target, current, &next, &touched)?;
    Ok(next)
}

/// What would be set after AlterConfigs: these keys, and nothing of what is set now.
pub fn replace_all(
    broker: &DynamicBrokerConfig,
    target: AlterTarget,
    current: &BTreeMap<String, String>,
    entries: &[(String, Option<String>)],
) -> Result<BTreeMap<String, String>, AlterError> {
    let mut seen = BTreeSet::new();
    if !entries.iter().all(|(key, _)| seen.insert(key)) {
        return Err(AlterError::request("Error due to duplicate config keys"));
    }
    refuse_nulls(entries.iter().map(|(key, value)| (key, value)))?;
    let set = |(key, value): &(String, Option<String>)| (key.clone(), value.clone().unwrap_or_default());
    let next = entries.iter().map(set).collect();
    let touched: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    resource::check(broker, target, current, &next, &touched)?;
    Ok(next)
}

fn refuse_nulls<'a>(entries: impl Iterator<Item = (&'a String, &'a Option<String>)>) -> Result<(), AlterError> {
    let nulls: Vec<&str> = entries.filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
    if nulls.is_empty() {
        return Ok(());
    }
    Err(AlterError::request(format!("Null value not supported for : {}", nulls.join(", "))))
}

/// A list with entries added that it lacks, or without those it has; it starts from what is set, else Kafka's default.
fn combined(
    target: AlterTarget,
    current: &BTreeMap<String, String>,
    alteration: &Alteration,
    given: &str,
) -> Result<String, AlterError> {
    let name = alteration.key.as_str();
    let key = table::find(scope_of(target), name);
    // Kafka's schema of client-metrics keys does not know which of them are lists.
    let list = key.is_some_and(|key| key.kind == ConfigType::List) && target != AlterTarget::ClientMetrics;
    if !list {
        return Err(not_a_list(target, alteration));
    }
    let parts =
        |text: &str| -> Vec<String> { text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect() };
    let base = current.get(name).map(String::as_str).or(key.and_then(|key| key.default)).unwrap_or_default();
    let mut entries = parts(base);
    for part in parts(given) {
        match alteration.op {
            AlterOp::Append if !entries.contains(&part) => entries.push(part),
            AlterOp::Subtract => entries.retain(|entry| *entry != part),
            _ => {}
        }
    }
    Ok(entries.join(","))
}

fn not_a_list(target: AlterTarget, alteration: &Alteration) -> AlterError {
    let name = &alteration.key;
    let append = alteration.op == AlterOp::Append;
    if matches!(target, AlterTarget::Broker | AlterTarget::ClusterDefault) {
        let verb = if append { "append" } else { "subtract" };
        return AlterError::config(format!("Config value {verb} is not allowed for config key: {name}"));
    }
    let verb = if append { "APPEND" } else { "SUBTRACT" };
    AlterError::config(format!("Can't {verb} to key {name} because its type is not LIST."))
}

fn scope_of(target: AlterTarget) -> Scope {
    match target {
        AlterTarget::Topic => Scope::Topic,
        AlterTarget::Broker | AlterTarget::ClusterDefault => Scope::Broker,
        AlterTarget::Group => Scope::Group,
        AlterTarget::ClientMetrics => Scope::ClientMetrics,
    }
}
