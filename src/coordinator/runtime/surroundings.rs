//! What operations look at besides their shard: limits, topics, the time.

use std::sync::Arc;

use super::{GroupCoordinator, lock};
use crate::base::TopicId;
use crate::config::{BrokerValues, DynamicBrokerConfig};
use crate::coordinator::classic;
use crate::coordinator::consumer::{self, MigrationPolicy};
use crate::coordinator::shard::Environment;
use crate::topic::TopicManager;

/// The limits of a configuration: read once.
pub(super) struct ConfiguredLimits {
    of: Arc<DynamicBrokerConfig>,
    classic: classic::Limits,
    consumer: Arc<consumer::Limits>,
}

impl ConfiguredLimits {
    fn read(config: Arc<DynamicBrokerConfig>) -> ConfiguredLimits {
        let size = |key: &str| usize::try_from(config.get_i32(key)).unwrap_or(0);
        let policy = config.get_string("group.consumer.migration.policy").unwrap_or_default().to_lowercase();
        ConfiguredLimits {
            classic: classic::Limits {
                session_timeout_min_ms: config.get_i32("group.min.session.timeout.ms"),
                session_timeout_max_ms: config.get_i32("group.max.session.timeout.ms"),
                size_max: size("group.max.size"),
                initial_rebalance_delay_ms: config.get_i64("group.initial.rebalance.delay.ms"),
                offset_metadata_units_max: size("offset.metadata.max.bytes"),
                offsets_retention_ms: config.get_i64("offsets.retention.minutes").saturating_mul(60_000),
                offsets_check_interval_ms: config.get_i64("offsets.retention.check.interval.ms"),
            },
            consumer: Arc::new(consumer::Limits {
                members_max: size("group.consumer.max.size"),
                classic_members_max: size("group.max.size"),
                session_timeout_ms: config.get_i32("group.consumer.session.timeout.ms"),
                heartbeat_interval_ms: config.get_i32("group.consumer.heartbeat.interval.ms"),
                regex_refresh_ms: i64::from(config.get_i32("group.consumer.regex.refresh.interval.ms")),
                assignors: config.get_list("group.consumer.assignors"),
                migration: MigrationPolicy {
                    upgrade: matches!(policy.as_str(), "bidirectional" | "upgrade"),
                    downgrade: matches!(policy.as_str(), "bidirectional" | "downgrade"),
                },
            }),
            of: config,
        }
    }
}

impl GroupCoordinator {
    /// The limits of the configuration in force; read anew when that changes.
    fn limits(&self) -> (classic::Limits, Arc<consumer::Limits>) {
        let config = self.topics().config();
        let mut known = lock(&self.limits);
        let current = match known.take() {
            Some(current) if Arc::ptr_eq(&current.of, &config) => current,
            _ => ConfiguredLimits::read(config),
        };
        let current = known.insert(current);
        (current.classic, current.consumer.clone())
    }

    /// Runs something in the surroundings of an operation.
    pub(super) fn within<T>(&self, operation: impl FnOnce(&Environment<'_>) -> T) -> T {
        let (limits, _) = self.limits();
        operation(&Environment {
            now_ms: self.clock().timer_ms(),
            limits: &limits,
            topics: &Known(self.topics()),
            limits_of: &|group| self.consumer_limits(group),
        })
    }

    /// The limits of one consumer group: the broker's keys, the group's own configuration over them.
    pub fn consumer_limits(&self, group: &str) -> consumer::Limits {
        let (_, limits) = self.limits();
        let mut limits = consumer::Limits::clone(&limits);
        if let Some(own) = self.topics().group_config(group) {
            let set = |key: &str, limit: &mut i32| {
                if let Some(value) = own.get(key).and_then(|value| value.trim().parse().ok()) {
                    *limit = value;
                }
            };
            set("consumer.session.timeout.ms", &mut limits.session_timeout_ms);
            set("consumer.heartbeat.interval.ms", &mut limits.heartbeat_interval_ms);
        }
        limits
    }
}

struct Known<'a>(&'a TopicManager);

impl consumer::TopicView for Known<'_> {
    fn version(&self) -> u64 {
        self.0.topics_version()
    }

    fn topic(&self, name: &str) -> Option<(TopicId, i32)> {
        self.0.topic(name).map(|t| (t.id, t.partitions().len() as i32))
    }

    fn topic_name(&self, id: TopicId) -> Option<String> {
        self.0.topic_by_id(id).map(|t| t.name.to_string())
    }

    fn names(&self) -> Vec<String> {
        self.0.topics().iter().map(|t| t.name.to_string()).collect()
    }
}
