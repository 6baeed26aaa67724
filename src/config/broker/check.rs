//! Rules between broker keys (Kafka's `KafkaConfig.validateValues` and the group coordinator's own checks).

use crate::config::broker::BrokerConfig;
use crate::config::error::ConfigError;
use crate::config::values::BrokerValues;

/// Checks the effective values against each other; `config` says which keys were set at start.
pub(crate) fn relations(config: &BrokerConfig, values: &impl BrokerValues) -> Result<(), ConfigError> {
    log(values)?;
    connections(config, values)?;
    replication(values)?;
    groups(values)
}

fn log(values: &impl BrokerValues) -> Result<(), ConfigError> {
    let ms = values.opt_i64("log.retention.ms");
    let retention = ms.or(values.opt_i64("log.retention.minutes")).or(values.opt_i64("log.retention.hours"));
    if retention == Some(0) {
        let message = "log.retention.ms must be unlimited (-1) or, greater than or equal to 1";
        return Err(ConfigError::requirement("log.retention.ms", "0", message));
    }
    for (key, min) in [("log.roll.ms", 1), ("log.roll.jitter.ms", 0)] {
        if let Some(number) = values.opt_i64(key).filter(|&number| number < min) {
            let message = format!("{key} must be greater than or equal to {min}");
            return Err(ConfigError::requirement(key, &number.to_string(), message));
        }
    }
    cleaner(values)?;
    for key in ["offsets.topic.compression.codec", "share.coordinator.state.topic.compression.codec"] {
        let codec = values.get_i64(key);
        if !(0..=4).contains(&codec) {
            let message = format!("Unknown compression type id: {codec}");
            return Err(ConfigError::new(key, &codec.to_string(), message).valid(&"0 to 4"));
        }
    }
    Ok(())
}

fn cleaner(values: &impl BrokerValues) -> Result<(), ConfigError> {
    let threads = values.get_i64("log.cleaner.threads");
    if threads == 0 {
        // Kafka divides by it, and says "/ by zero".
        return Err(ConfigError::invalid("log.cleaner.threads", "0", "Value must be at least 1"));
    }
    let buffer = values.get_i64("log.cleaner.dedupe.buffer.size");
    if buffer / threads <= 1024 * 1024 {
        let message = "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.";
        return Err(ConfigError::requirement("log.cleaner.dedupe.buffer.size", &buffer.to_string(), message));
    }
    Ok(())
}

fn connections(config: &BrokerConfig, values: &impl BrokerValues) -> Result<(), ConfigError> {
    let overrides = values.get_string("max.connections.per.ip.overrides").unwrap_or_default();
    for entry in overrides.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let count = entry.rsplit_once(':').and_then(|(_, count)| count.trim().parse::<i32>().ok());
        if count.is_none() {
            const KEY: &str = "max.connections.per.ip.overrides";
            let message = format!("Error parsing configuration property '{KEY}': {entry} is not host:number");
            return Err(ConfigError::new(KEY, &overrides, message));
        }
    }
    if values.max_connections_per_ip() == 0 && overrides.trim().is_empty() {
        let message =
            "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.";
        return Err(ConfigError::requirement("max.connections.per.ip", "0", message));
    }
    // Our default gives way to a larger request; only a bound that somebody chose can be too small.
    let queued = values.get_i64("queued.max.request.bytes");
    let chosen = config.set_keys().contains_key("queued.max.request.bytes");
    if chosen && queued > 0 && queued < values.socket_request_max_bytes().into() {
        let message = "queued.max.request.bytes must be larger or equal to socket.request.max.bytes";
        return Err(ConfigError::requirement("queued.max.request.bytes", &queued.to_string(), message));
    }
    Ok(())
}

fn replication(values: &impl BrokerValues) -> Result<(), ConfigError> {
    let wait = values.get_i64("replica.fetch.wait.max.ms");
    if wait > values.get_i64("replica.socket.timeout.ms") {
        let message = "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent \
                       unnecessary socket timeouts";
        return Err(ConfigError::requirement("replica.fetch.wait.max.ms", &wait.to_string(), message));
    }
    if wait > values.get_i64("replica.lag.time.max.ms") {
        let message = "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to \
                       prevent frequent changes in ISR";
        return Err(ConfigError::requirement("replica.fetch.wait.max.ms", &wait.to_string(), message));
    }
    Ok(())
}

fn groups(values: &impl BrokerValues) -> Result<(), ConfigError> {
    let protocols = values.get_list("group.coordinator.rebalance.protocols");
    if !protocols.iter().any(|protocol| protocol == "classic") {
        let message = "Disabling the 'classic' protocol is not supported.";
        let given = protocols.join(",");
        return Err(ConfigError::new("group.coordinator.rebalance.protocols", &given, message));
    }
    for kind in ["consumer", "share", "streams"] {
        for (low, what, high) in [("min", "heartbeat.interval.ms", "max"), ("min", "session.timeout.ms", "max")] {
            let least = format!("group.{kind}.{low}.{what}");
            let set = format!("group.{kind}.{what}");
            let most = format!("group.{kind}.{high}.{what}");
            at_least(values, &most, &least)?;
            at_least(values, &set, &least)?;
            at_most(values, &set, &most)?;
        }
        less(values, &format!("group.{kind}.heartbeat.interval.ms"), &format!("group.{kind}.session.timeout.ms"))?;
    }
    const LOCK: &str = "group.share.record.lock.duration.ms";
    at_least(values, "group.share.max.record.lock.duration.ms", "group.share.min.record.lock.duration.ms")?;
    at_least(values, LOCK, "group.share.min.record.lock.duration.ms")?;
    at_least(values, "group.share.max.record.lock.duration.ms", LOCK)?;
    at_least(values, "group.share.max.share.sessions", "group.share.max.size")?;
    at_most(values, "group.streams.num.standby.replicas", "group.streams.max.standby.replicas")
}

fn at_least(values: &impl BrokerValues, key: &str, bound: &str) -> Result<(), ConfigError> {
    if values.get_i64(key) >= values.get_i64(bound) {
        return Ok(());
    }
    refuse(values, key, format!("{key} must be greater than or equal to {bound}"))
}

fn at_most(values: &impl BrokerValues, key: &str, bound: &str) -> Result<(), ConfigError> {
    if values.get_i64(key) <= values.get_i64(bound) {
        return Ok(());
    }
    refuse(values, key, format!("{key} must be less than or equal to {bound}"))
}

fn less(values: &impl BrokerValues, key: &str, bound: &str) -> Result<(), ConfigError> {
    if values.get_i64(key) < values.get_i64(bound) {
        return Ok(());
    }
    refuse(values, key, format!("{key} must be less than {bound}"))
}

fn refuse(values: &impl BrokerValues, key: &str, message: String) -> Result<(), ConfigError> {
    Err(ConfigError::new(key, &values.get_i64(key).to_string(), message))
}
