//! A topic's configuration, resolved to plain values.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use super::dynamic::DynamicBrokerConfig;
use super::error::ConfigError;
use super::table::{self, ConfigKey, Scope};
use super::value::{self, Value};
use super::values::BrokerValues;

/// Every topic key with its effective value. Sizes in bytes, times in milliseconds, `i64::MAX` for never.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// Old segments go by age and size. With neither this nor `cleanup_compact` everything is kept forever.
    pub cleanup_delete: bool,
    /// Of each key the last record stays; records without a key are refused.
    pub cleanup_compact: bool,
    pub compression_type: CompressionType,
    /// 1 to 9, -1 for the codec's default.
    pub compression_gzip_level: i32,
    /// 1 to 17.
    pub compression_lz4_level: i32,
    /// -131072 to 22.
    pub compression_zstd_level: i32,
    /// How long tombstones and transaction markers outlive cleaning.
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    /// Records between syncs: 1 is durable before acknowledged.
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: u32,
    pub local_retention_bytes: i64,
    pub local_retention_ms: i64,
    pub max_compaction_lag_ms: i64,
    /// The largest batch accepted, as sent.
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    /// 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub preallocate: bool,
    pub remote_log_copy_disable: bool,
    pub remote_log_delete_on_disable: bool,
    pub remote_storage_enable: bool,
    /// Per partition; -1 for no limit.
    pub retention_bytes: i64,
    /// -1 for no limit.
    pub retention_ms: i64,
    /// Before a new segment begins. At least 1 MiB, but for the internal key `internal.segment.bytes`.
    pub segment_bytes: u32,
    pub segment_index_bytes: u32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election_enable: bool,
}

/// The codec a topic stores batches in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressionType {
    /// Whatever the producer chose: batches stay as sent.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Which time a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

impl fmt::Display for TimestampType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        })
    }
}

impl TopicConfig {
    /// The topic's own values where set, else what the broker's keys give.
    ///
    /// Overrides have passed [`validate`]; one that has not (from an older data directory) counts as not set.
    pub fn resolve(broker: &DynamicBrokerConfig, overrides: &BTreeMap<String, String>) -> Self {
        let values = Resolver { broker, overrides };
        let policy = values.of("cleanup.policy");
        let has = |name: &str| policy.as_list().iter().any(|entry| entry == name);
        Self {
            cleanup_delete: has("delete"),
            cleanup_compact: has("compact"),
            compression_type: match values.text("compression.type").as_str() {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => CompressionType::Gzip,
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4,
                "zstd" => CompressionType::Zstd,
                _ => CompressionType::Producer,
            },
            compression_gzip_level: values.int("compression.gzip.level"),
            compression_lz4_level: values.int("compression.lz4.level"),
            compression_zstd_level: values.int("compression.zstd.level"),
            delete_retention_ms: values.long("delete.retention.ms"),
            file_delete_delay_ms: values.long("file.delete.delay.ms"),
            flush_messages: values.long("flush.messages"),
            flush_ms: values.long("flush.ms"),
            index_interval_bytes: values.size("index.interval.bytes"),
            local_retention_bytes: values.long("local.retention.bytes"),
            local_retention_ms: values.long("local.retention.ms"),
            max_compaction_lag_ms: values.long("max.compaction.lag.ms"),
            max_message_bytes: values.int("max.message.bytes"),
            message_timestamp_after_max_ms: values.long("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: values.long("message.timestamp.before.max.ms"),
            message_timestamp_type: match values.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: values.of("min.cleanable.dirty.ratio").as_f64().unwrap_or(0.5),
            min_compaction_lag_ms: values.long("min.compaction.lag.ms"),
            min_insync_replicas: values.int("min.insync.replicas"),
            preallocate: values.flag("preallocate"),
            remote_log_copy_disable: values.flag("remote.log.copy.disable"),
            remote_log_delete_on_disable: values.flag("remote.log.delete.on.disable"),
            remote_storage_enable: values.flag("remote.storage.enable"),
            retention_bytes: values.long("retention.bytes"),
            retention_ms: values.long("retention.ms"),
            segment_bytes: match values.of("internal.segment.bytes") {
                Value::Null => values.size("segment.bytes"),
                internal => internal.as_i64().and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(u32::MAX),
            },
            segment_index_bytes: values.size("segment.index.bytes"),
            segment_jitter_ms: values.long("segment.jitter.ms"),
            segment_ms: values.long("segment.ms"),
            unclean_leader_election_enable: values.flag("unclean.leader.election.enable"),
        }
    }
}

/// Checks a topic's overrides: each by itself, then together with the broker's defaults. Errors are INVALID_CONFIG.
pub fn validate(broker: &DynamicBrokerConfig, overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (name, text) in overrides {
        let key = table::find(Scope::Topic, name)
            .ok_or_else(|| ConfigError::new(name, text, format!("Unknown topic config name: {name}")))?;
        value::parse(key, name, text)?;
    }
    let config = TopicConfig::resolve(broker, overrides);
    let (min, max) = (config.min_compaction_lag_ms, config.max_compaction_lag_ms);
    if min > max {
        let message =
            format!("conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})");
        return Err(ConfigError::new("min.compaction.lag.ms", &min.to_string(), message));
    }
    if config.remote_storage_enable {
        validate_tiered(broker, &config)?;
    }
    Ok(())
}

/// The rules of a tiered topic (Kafka's `LogConfig`).
fn validate_tiered(broker: &DynamicBrokerConfig, config: &TopicConfig) -> Result<(), ConfigError> {
    let refuse = |message: &str| Err(ConfigError::new("remote.storage.enable", "true", message));
    if !broker.get_bool("remote.log.storage.system.enable") {
        return refuse(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        );
    }
    if config.cleanup_compact {
        return refuse(
            "Remote log storage only supports topics with cleanup.policy=delete or cleanup.policy being an empty list.",
        );
    }
    let rows = [
        ("local.retention.bytes", config.local_retention_bytes, "retention.bytes", config.retention_bytes),
        ("local.retention.ms", config.local_retention_ms, "retention.ms", config.retention_ms),
    ];
    for (local, here, all, whole) in rows {
        if here != -2 && here < 0 && whole >= 0 {
            let message = format!("Value must not be -1 as {all} value is set as {whole}.");
            return Err(ConfigError::invalid(local, &here.to_string(), &message));
        }
        if whole >= 0 && here > whole {
            let message = format!("Value must not be more than {all} property value: {whole}");
            return Err(ConfigError::invalid(local, &here.to_string(), &message));
        }
        if config.remote_log_copy_disable && here != -2 && here != whole {
            return refuse(&format!(
                "When `remote.log.copy.disable` is set to true, the `{local}` and `{all}` must be set to the identical value \
                 because there will be no more logs copied to the remote storage."
            ));
        }
    }
    Ok(())
}

/// Whether a topic's tiering may be ended by going over from `current` to `next`: only together with its data.
pub fn validate_end_of_tiering(
    broker: &DynamicBrokerConfig,
    current: &BTreeMap<String, String>,
    next: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    let (current, next) = (TopicConfig::resolve(broker, current), TopicConfig::resolve(broker, next));
    if current.remote_storage_enable && !next.remote_storage_enable && !next.remote_log_delete_on_disable {
        let message = "It is invalid to disable remote storage without deleting remote data. If you want to keep the \
                       remote data and turn to read only, please set \
                       `remote.storage.enable=true,remote.log.copy.disable=true`. If you want to disable remote storage \
                       and delete all remote data, please set \
                       `remote.storage.enable=false,remote.log.delete.on.disable=true`.";
        return Err(ConfigError::new("remote.storage.enable", "false", message));
    }
    Ok(())
}

/// The value a topic key has when the topic does not set it: that of the first broker synonym that has one.
pub(super) fn default_of(broker: &DynamicBrokerConfig, key: &ConfigKey) -> Value {
    for synonym in key.synonyms {
        match broker.value(synonym.name) {
            Value::Null => {}
            Value::List(entries) => return Value::List(entries),
            set => match (set.as_i64(), key.kind) {
                (Some(number), table::ConfigType::Long) => return Value::Long(scaled(number, synonym.factor)),
                _ => return set,
            },
        }
    }
    value::parse_default(key)
}

/// Converts a unit; every negative time means no limit.
fn scaled(number: i64, factor: i64) -> i64 {
    if factor != 1 && number < 0 { -1 } else { number.saturating_mul(factor) }
}

struct Resolver<'a> {
    broker: &'a DynamicBrokerConfig,
    overrides: &'a BTreeMap<String, String>,
}

impl Resolver<'_> {
    fn of(&self, name: &str) -> Value {
        let key = table::find(Scope::Topic, name).expect("a test resolves every topic key");
        let own = self.overrides.get(name).and_then(|text| value::parse(key, name, text).ok());
        own.unwrap_or_else(|| default_of(self.broker, key))
    }

    fn long(&self, name: &str) -> i64 {
        self.of(name).as_i64().expect("a test resolves every topic key")
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).expect("int keys are parsed as 32 bits")
    }

    /// A byte count whose key admits no negative values.
    fn size(&self, name: &str) -> u32 {
        u32::try_from(self.long(name)).expect("validators of sizes start at zero or above")
    }

    fn flag(&self, name: &str) -> bool {
        self.of(name).as_bool().expect("a test resolves every topic key")
    }

    fn text(&self, name: &str) -> String {
        self.of(name).to_string()
    }
}
