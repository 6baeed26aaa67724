//! Keys of the dynamic resources: groups (KIP-848, KIP-932, KIP-1071) and client metrics (KIP-714).

use super::ConfigType::*;
use super::Support::*;
use super::Validator::{Any, AtLeast, OneOf, ShareAutoOffsetReset};
use super::{ConfigKey, Validator, resource_key};

/// Group keys; a group without them follows the broker keys of the same meaning.
#[rustfmt::skip]
pub(super) const GROUP_KEYS: &[ConfigKey] = &[
    resource_key("consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), &[],
        Accepted, "Time between heartbeats of members, in ms."),
    resource_key("consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1), &[],
        Accepted, "Silence after which a member is removed, in ms."),
    resource_key("share.auto.offset.reset", String, Some("latest"), ShareAutoOffsetReset, &[],
        Accepted, "Where a share group without offsets starts to read."),
    resource_key("share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), &[],
        Accepted, "Time between heartbeats of members, in ms."),
    resource_key("share.isolation.level", String, Some("read_uncommitted"), OneOf(&["read_committed", "read_uncommitted"]), &[],
        Accepted, "Whether a share group reads records of open transactions."),
    resource_key("share.record.lock.duration.ms", Int, Some("30000"), AtLeast(1000), &[],
        Accepted, "Time a member has for a record it was given, in ms."),
    resource_key("share.session.timeout.ms", Int, Some("45000"), AtLeast(1), &[],
        Accepted, "Silence after which a member is removed, in ms."),
    resource_key("streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), &[],
        Accepted, "Time between heartbeats of members, in ms."),
    resource_key("streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0), &[],
        Accepted, "Time a new streams group waits for more members, in ms."),
    resource_key("streams.num.standby.replicas", Int, Some("0"), AtLeast(0), &[],
        Accepted, "Standby replicas of a task."),
    resource_key("streams.session.timeout.ms", Int, Some("45000"), AtLeast(1), &[],
        Accepted, "Silence after which a member is removed, in ms."),
];

/// Client-metrics subscription keys.
#[rustfmt::skip]
pub(super) const CLIENT_METRICS_KEYS: &[ConfigKey] = &[
    resource_key("interval.ms", Int, Some("300000"), Any, &[],
        Accepted, "Time between a client's pushes, 100 to 3600000 ms."),
    resource_key("match", List, Some(""), Validator::List, &[],
        Accepted, "Which clients push: attribute=regular expression entries; empty is all."),
    resource_key("metrics", List, Some(""), Validator::List, &[],
        Accepted, "Prefixes of the metrics pushed; * is all, empty is none."),
];
