//! Lines of Kafka's log that Testcontainers' modules and others wait for on standard output.

use std::io::Write;

use crate::base::Clock;

/// What a Kafka says once it serves: the first two in KRaft mode, the third in the old mode with ZooKeeper.
pub fn say_started(clock: &Clock, node_id: i32) {
    say(
        clock,
        &format!(
            "[BrokerLifecycleManager id={node_id}] The broker has been unfenced. Transitioning from RECOVERY to RUNNING. \
             (kafka.server.BrokerLifecycleManager)"
        ),
    );
    say(clock, &format!("[KafkaRaftServer nodeId={node_id}] Kafka Server started (kafka.server.KafkaRaftServer)"));
    say(clock, &format!("[KafkaServer id={node_id}] started (kafka.server.KafkaServer)"));
}

/// With ZooKeeper: before anybody has changed what is advertised.
pub fn say_waiting(clock: &Clock) {
    say(clock, "Creating new log file (kafka.log.LogManager)");
}

/// With ZooKeeper: some seconds later, when who wanted to change what is advertised has done so.
pub fn say_settled(clock: &Clock) {
    say(clock, "Checking need to trigger auto leader balancing (kafka.controller.KafkaController)");
}

/// Whoever read the lines may have gone.
fn say(clock: &Clock, line: &str) {
    let time = chrono::DateTime::from_timestamp_millis(clock.wall_ms()).unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "[{}] INFO {line}", time.format("%Y-%m-%d %H:%M:%S,%3f"));
}
