//! Lines of Kafka's log that Testcontainers' modules and others wait for on standard output.

use crate::base::Clock;

/// What a Kafka says once it serves: the first two in KRaft mode, the others in the old mode with ZooKeeper.
pub fn text(clock: &Clock, node_id: i32) -> String {
    let time = chrono::DateTime::from_timestamp_millis(clock.wall_ms()).unwrap_or_default();
    let time = time.format("%Y-%m-%d %H:%M:%S,%3f");
    [
        format!(
            "[BrokerLifecycleManager id={node_id}] The broker has been unfenced. Transitioning from RECOVERY to RUNNING. \
             (kafka.server.BrokerLifecycleManager)"
        ),
        format!("[KafkaRaftServer nodeId={node_id}] Kafka Server started (kafka.server.KafkaRaftServer)"),
        format!("[KafkaServer id={node_id}] started (kafka.server.KafkaServer)"),
        "Creating new log file (kafka.log.LogManager)".to_owned(),
        "Checking need to trigger auto leader balancing (kafka.controller.KafkaController)".to_owned(),
    ]
    .into_iter()
    .map(|line| format!("[{time}] INFO {line}\n"))
    .collect()
}
