//! Where our defaults differ from Kafka's, and why. Nothing else may.

/// A default of our own.
pub struct OwnDefault {
    pub key: &'static str,
    pub value: &'static str,
    pub reason: &'static str,
}

/// All of them, in the order the documentation lists them.
pub const OWN_DEFAULTS: &[OwnDefault] = &[
    own("node.id", "1", "Kafka requires it; one broker needs no thought about it"),
    own("process.roles", "broker,controller", "Kafka requires it; there is only one role here"),
    own("controller.listener.names", "CONTROLLER", "Kafka requires it; this is the name every example uses"),
    own("listeners", "PLAINTEXT://localhost:9092", "reachable from this machine only until told otherwise"),
    own("log.dirs", "./ottla-data", "data stays with the project that started the broker and survives a reboot"),
    own("queued.max.request.bytes", "134217728", "memory of requests in flight is always bounded, here by 128 MiB"),
    own("group.initial.rebalance.delay.ms", "0", "a test's only consumer should not wait three seconds for others"),
    own("offsets.topic.replication.factor", "1", SINGLE),
    own("transaction.state.log.replication.factor", "1", SINGLE),
    own("transaction.state.log.min.isr", "1", SINGLE),
    own("share.coordinator.state.topic.replication.factor", "1", SINGLE),
    own("share.coordinator.state.topic.min.isr", "1", SINGLE),
];

const SINGLE: &str = "one broker holds one replica";

/// Our default of a broker key, where it differs from Kafka's.
pub fn own_default(key: &str) -> Option<&'static str> {
    OWN_DEFAULTS.iter().find(|own| own.key == key).map(|own| own.value)
}

const fn own(key: &'static str, value: &'static str, reason: &'static str) -> OwnDefault {
    OwnDefault { key, value, reason }
}
