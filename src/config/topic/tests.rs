use std::sync::Arc;

use super::*;
use crate::config::broker::{BrokerConfig, BrokerConfigBuilder};

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn broker(properties: &str) -> DynamicBrokerConfig {
    let (fixed, _) = BrokerConfigBuilder::new().properties(properties).unwrap().build().unwrap();
    DynamicBrokerConfig::new(Arc::new(fixed))
}

#[test]
fn an_untouched_topic_has_kafkas_defaults() {
    let config = TopicConfig::resolve(&broker(""), &BTreeMap::new());
    assert!(config.cleanup_delete && !config.cleanup_compact);
    assert_eq!(config.compression_type, CompressionType::Producer);
    assert_eq!((config.segment_bytes, config.segment_ms), (1 << 30, 604_800_000));
    assert_eq!((config.retention_ms, config.retention_bytes), (604_800_000, -1));
    assert_eq!((config.max_message_bytes, config.min_insync_replicas), (1_048_588, 1));
    assert_eq!((config.flush_messages, config.flush_ms), (i64::MAX, i64::MAX));
    assert_eq!(config.message_timestamp_type, TimestampType::CreateTime);
    assert_eq!(config.message_timestamp_after_max_ms, 3_600_000);
}

#[test]
fn every_key_can_be_set_on_the_topic() {
    let set = [
        ("cleanup.policy", "compact,delete"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "-7"),
        ("segment.bytes", "2097152"),
        ("message.timestamp.type", "LogAppendTime"),
        ("flush.messages", "1"),
        ("retention.ms", "-1"),
        ("min.cleanable.dirty.ratio", "0.1"),
        ("preallocate", "true"),
    ];
    let config = TopicConfig::resolve(&broker(""), &overrides(&set));
    assert!(config.cleanup_compact && config.cleanup_delete && config.preallocate);
    assert_eq!((config.compression_type, config.compression_zstd_level), (CompressionType::Zstd, -7));
    assert_eq!((config.segment_bytes, config.flush_messages, config.retention_ms), (2_097_152, 1, -1));
    assert_eq!(config.message_timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(config.min_cleanable_dirty_ratio, 0.1);
    let kept = TopicConfig::resolve(&broker(""), &overrides(&[("cleanup.policy", "")]));
    assert!(!kept.cleanup_compact && !kept.cleanup_delete);
    let small = TopicConfig::resolve(&broker(""), &overrides(&[("internal.segment.bytes", "100")]));
    assert_eq!(small.segment_bytes, 100);
}

#[test]
fn times_come_from_the_finest_unit_that_is_set() {
    let retention = |properties: &str| TopicConfig::resolve(&broker(properties), &BTreeMap::new()).retention_ms;
    assert_eq!(retention("log.retention.hours=2"), 7_200_000);
    assert_eq!(retention("log.retention.hours=2\nlog.retention.minutes=3"), 180_000);
    assert_eq!(retention("log.retention.hours=2\nlog.retention.minutes=3\nlog.retention.ms=4"), 4);
    assert_eq!(retention("log.retention.hours=-1"), -1);
    let config = TopicConfig::resolve(&broker("log.roll.hours=1\nlog.roll.jitter.hours=1"), &BTreeMap::new());
    assert_eq!((config.segment_ms, config.segment_jitter_ms), (3_600_000, 3_600_000));
    let config = TopicConfig::resolve(&broker("log.flush.scheduler.interval.ms=9"), &BTreeMap::new());
    assert_eq!(config.flush_ms, 9);
}

#[test]
fn dynamic_broker_values_reach_the_topic() {
    let fixed = Arc::new(BrokerConfig::defaults());
    let dynamic = DynamicBrokerConfig::new(fixed)
        .with_cluster_default(overrides(&[("message.max.bytes", "2"), ("log.retention.ms", "5")]))
        .with_broker(overrides(&[("message.max.bytes", "3")]));
    let config = TopicConfig::resolve(&dynamic, &BTreeMap::new());
    assert_eq!((config.max_message_bytes, config.retention_ms), (3, 5));
}

#[test]
fn overrides_are_checked_together_with_the_broker() {
    let refusal = |pairs: &[(&str, &str)]| validate(&broker(""), &overrides(pairs)).unwrap_err().message;
    assert_eq!(refusal(&[("nokey", "1")]), "Unknown topic config name: nokey");
    assert_eq!(
        refusal(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]),
        "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"
    );
    assert_eq!(
        refusal(&[("remote.storage.enable", "true")]),
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
    );
    assert_eq!(validate(&broker(""), &overrides(&[("retention.ms", " 12 ")])), Ok(()));
}
