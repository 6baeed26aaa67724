//! Keys of the dynamic resources: groups (KIP-848, KIP-932, KIP-1071) and client metrics (KIP-714).

use super::ConfigType::*;
use super::Support::*;
use super::Validator::{Any, AtLeast, OneOf, ShareAutoOffsetReset};
use super::{ConfigKey, Validator, resource_key};

/// Group keys; a group without them follows the broker keys of the same meaning.
#[rustfmt::skip]
pub(super) const GROUP_KEYS: &[ConfigKey] = &[
    resource_key("consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), &[],
        Accepted, ""),
    resource_key("consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1), &[],
        Accepted, ""),
    resource_key("share.auto.offset.reset", String, Some("latest"), ShareAutoOffsetReset, &[],
        Accepted, ""),
    resource_key("share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), &[],
        Accepted, ""),
    resource_key("share.isolation.level", String, Some("read_uncommitted"), OneOf(&["read_committed", "read_uncommitted"]), &[],
        Accepted, ""),
    resource_key("share.record.lock.duration.ms", Int, Some("30000"), AtLeast(1000), &[],
        Accepted, ""),
    resource_key("share.session.timeout.ms", Int, Some("45000"), AtLeast(1), &[],
        Accepted, ""),
    resource_key("streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), &[],
        Accepted, ""),
    resource_key("streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0), &[],
        Accepted, ""),
    resource_key("streams.num.standby.replicas", Int, Some("0"), AtLeast(0), &[],
        Accepted, ""),
    resource_key("streams.session.timeout.ms", Int, Some("45000"), AtLeast(1), &[],
        Accepted, ""),
];

/// Client-metrics subscription keys.
#[rustfmt::skip]
pub(super) const CLIENT_METRICS_KEYS: &[ConfigKey] = &[
    resource_key("interval.ms", Int, Some("300000"), Any, &[],
        Accepted, ""),
    resource_key("match", List, Some(""), Validator::List, &[],
        Accepted, ""),
    resource_key("metrics", List, Some(""), Validator::List, &[],
        Accepted, ""),
];
