//! The one table of every key that Apache Kafka 4.2.1 knows, and what this broker does with it.
//!
//! Names, types, defaults and valid values are those a running Kafka 4.2.1 reports. To start honouring a key,
//! change `Accepted` to `Honoured` in its row; the generated documentation and the start-up notices follow.

mod broker;
mod cluster;
mod group;
mod log;
mod remote;
mod resources;
mod sasl;
mod security;
mod topic;
mod validator;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use validator::Validator;

/// The type of a key's value; the discriminants are those of DescribeConfigs v3+ (`config_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    Unknown = 0,
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

impl ConfigType {
    /// Kafka's name of the type, as its error messages print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// Whether a broker key can change while the broker runs, and on whom (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only at start.
    ReadOnly,
    /// On one broker, never as the cluster-wide default.
    PerBroker,
    /// On one broker or as the cluster-wide default.
    ClusterWide,
}

/// What this broker does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// The broker acts on it.
    Honoured,
    /// Checked, kept and described, but nothing changes.
    Accepted,
}

/// A broker key that supplies a topic key's default: its name, and what one unit of it is in units of the topic key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    /// Factor from the broker key's unit to the topic key's (hours to milliseconds: 3,600,000); 1 otherwise.
    pub factor: i64,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    pub name: &'static str,
    pub kind: ConfigType,
    /// Kafka's default in its string form; `None` is null (or, for the three keys Kafka requires, absent).
    pub default: Option<&'static str>,
    pub valid: Validator,
    /// When a broker key can change; topic, group and client-metrics keys always can.
    pub mode: UpdateMode,
    pub support: Support,
    /// Settable but never described: Kafka's own internal keys, and Ottla's own.
    pub internal: bool,
    /// Topic keys only: the broker keys that supply the default, first the one that decides.
    pub synonyms: &'static [Synonym],
    pub doc: &'static str,
}

impl ConfigKey {
    /// Passwords are described without their value.
    pub fn is_sensitive(&self) -> bool {
        self.kind == ConfigType::Password
    }

    /// The default this broker uses: our own where we differ, else Kafka's (see [`super::defaults`]).
    pub fn effective_default(&self) -> Option<&'static str> {
        super::defaults::own_default(self.name).or(self.default)
    }

    const fn internal(mut self) -> Self {
        self.internal = true;
        self
    }
}

/// Which table a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Broker,
    Topic,
    Group,
    ClientMetrics,
}

/// Every key of a scope, sorted by name, internal ones included.
pub fn keys(scope: Scope) -> &'static BTreeMap<&'static str, &'static ConfigKey> {
    static BROKER: LazyLock<BTreeMap<&str, &ConfigKey>> = LazyLock::new(|| {
        index(&[cluster::KEYS, broker::KEYS, log::KEYS, group::KEYS, remote::KEYS, security::KEYS, sasl::KEYS])
    });
    static TOPIC: LazyLock<BTreeMap<&str, &ConfigKey>> = LazyLock::new(|| index(&[topic::KEYS]));
    static GROUP: LazyLock<BTreeMap<&str, &ConfigKey>> = LazyLock::new(|| index(&[resources::GROUP_KEYS]));
    static CLIENT_METRICS: LazyLock<BTreeMap<&str, &ConfigKey>> =
        LazyLock::new(|| index(&[resources::CLIENT_METRICS_KEYS]));
    match scope {
        Scope::Broker => &BROKER,
        Scope::Topic => &TOPIC,
        Scope::Group => &GROUP,
        Scope::ClientMetrics => &CLIENT_METRICS,
    }
}

/// The row of one key, if the scope has it.
pub fn find(scope: Scope, name: &str) -> Option<&'static ConfigKey> {
    keys(scope).get(name).copied()
}

/// The row behind a broker key, looking through a listener prefix: `listener.name.<listener>.<key>` and
/// `listener.name.<listener>.<mechanism>.<key>` are checked and described like `<key>`.
pub fn find_broker(name: &str) -> Option<&'static ConfigKey> {
    if let Some(key) = find(Scope::Broker, name) {
        return Some(key);
    }
    let (_, rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    find(Scope::Broker, rest).or_else(|| find(Scope::Broker, rest.split_once('.')?.1))
}

fn index(slices: &[&'static [ConfigKey]]) -> BTreeMap<&'static str, &'static ConfigKey> {
    slices.iter().flat_map(|rows| rows.iter()).map(|key| (key.name, key)).collect()
}

/// A row for a broker key.
const fn key(
    name: &'static str,
    kind: ConfigType,
    default: Option<&'static str>,
    valid: Validator,
    mode: UpdateMode,
    support: Support,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey { name, kind, default, valid, mode, support, internal: false, synonyms: &[], doc }
}

/// A row for a topic, group or client-metrics key.
const fn resource_key(
    name: &'static str,
    kind: ConfigType,
    default: Option<&'static str>,
    valid: Validator,
    synonyms: &'static [Synonym],
    support: Support,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey { name, kind, default, valid, mode: UpdateMode::ClusterWide, support, internal: false, synonyms, doc }
}

/// A broker key in the topic key's own unit.
const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn minutes(name: &'static str) -> Synonym {
    Synonym { name, factor: 60_000 }
}

const fn hours(name: &'static str) -> Synonym {
    Synonym { name, factor: 3_600_000 }
}
