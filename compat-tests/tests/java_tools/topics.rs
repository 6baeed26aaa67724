//! What else `kafka-topics` lists, describes, creates, alters and refuses.

use compat_tests::{kafka_tools, needs, now_ms, unique};

use crate::{Shell, assert_has};

const TOOL: &str = "kafka-topics";

/// What `--describe` prints of a partition.
fn line(topic: &str, partition: i32) -> String {
    format!("\tTopic: {topic}\tPartition: {partition}\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \n")
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

impl Shell {
    fn topic_id(&self, topic: &str) -> String {
        let described = self.run(TOOL, &["--describe", "--topic", topic]);
        let id = described.split('\t').find_map(|cell| cell.strip_prefix("TopicId: ")).expect("an id");
        assert_eq!(id.len(), 22, "{described}");
        id.to_owned()
    }

    /// The lines of all topics whose names begin so, sorted: topics come in any order.
    fn described(&self, prefix: &str, how: &[&str]) -> Vec<String> {
        sorted(&self.run(TOOL, &[&["--describe", "--topic", &format!("{prefix}.*")], how].concat()))
    }
}

#[test]
fn topics_are_described() {
    let shell = shell!();
    let prefix = unique("tools-described");
    let (first, second) = (format!("{prefix}-a"), format!("{prefix}-b"));
    shell.prints(TOOL, &["--create", "--topic", &first], &format!("Created topic {first}.\n"));
    let create = ["--create", "--topic", &second, "--replica-assignment", "1,1", "--config", "retention.ms=1234"];
    shell.prints(TOOL, &create, &format!("Created topic {second}.\n"));
    let (first_id, second_id) = (shell.topic_id(&first), shell.topic_id(&second));
    let head = |topic: &str, id: &str, count: i32, configs: &str| {
        format!("Topic: {topic}\tTopicId: {id}\tPartitionCount: {count}\tReplicationFactor: 1\tConfigs: {configs}\n")
    };
    // The cluster has min.insync.replicas set for all, so that every topic shows it.
    let first_head = head(&first, &first_id, 1, "min.insync.replicas=1");
    let second_head = head(&second, &second_id, 2, "min.insync.replicas=1,retention.ms=1234");
    let of_second = format!("{second_head}{}{}", line(&second, 0), line(&second, 1));
    let of_both = format!("{first_head}{}{of_second}", line(&first, 0));

    assert_eq!(shell.described(&prefix, &[]), sorted(&of_both));
    assert_eq!(
        shell.described(&prefix, &["--partition-size-limit-per-response", "1"]),
        sorted(&of_both),
        "page by page"
    );
    assert_eq!(shell.described(&prefix, &["--topics-with-overrides"]), sorted(&format!("{first_head}{second_head}")));
    // Asked by id the tool uses Metadata, which says nothing of eligible leaders.
    let unknown = of_second.replace("Elr: \t", "Elr: N/A\t").replace("LastKnownElr: \n", "LastKnownElr: N/A\n");
    shell.prints(TOOL, &["--describe", "--topic-id", &second_id], &unknown);
    let missing = shell.fails(TOOL, &["--describe", "--topic-id", "AbAAAAAAAAAAAAAAAAAAAQ"]);
    assert_has(&missing, "TopicId 'AbAAAAAAAAAAAAAAAAAAAQ' does not exist as expected");

    for none in ["--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"] {
        assert_eq!(shell.described(&prefix, &[none]), [""; 0], "{none}");
    }
    let lines = format!("{}{}{}", line(&first, 0), line(&second, 0), line(&second, 1));
    assert_eq!(shell.described(&prefix, &["--at-min-isr-partitions"]), sorted(&lines));
}

#[test]
fn internal_topics_are_excluded() {
    let shell = shell!();
    let topic = shell.filled("tools-internal", now_ms());
    shell.committed(&topic);
    let has = |text: &str, name: &str| text.lines().any(|line| line == name);
    let all = shell.run(TOOL, &["--list"]);
    assert!(has(&all, &topic) && has(&all, "__consumer_offsets"), "{all}");
    let own = shell.run(TOOL, &["--list", "--exclude-internal"]);
    assert!(has(&own, &topic) && !has(&own, "__consumer_offsets"), "{own}");
    assert_has(&shell.run(TOOL, &["--describe"]), "Topic: __consumer_offsets\t");
    let own = shell.run(TOOL, &["--describe", "--exclude-internal"]);
    assert_has(&own, &format!("Topic: {topic}\t"));
    assert!(!own.contains("__consumer_offsets"), "{own}");
}

#[test]
fn topics_are_not_created() {
    let shell = shell!();
    let topic = unique("tools.refused");
    let colliding = topic.replace('.', "_");
    shell.run(TOOL, &["--create", "--topic", &topic]);
    let refused = |name: &str, how: &[&str], why: &str| {
        let text = shell.fails(TOOL, &[&["--create", "--topic", name], how].concat());
        assert_has(&text, &format!("Error while executing topic command : {why}\n"));
    };
    let other = unique("tools-refused");
    refused(&topic, &[], &format!("Topic '{topic}' already exists."));
    refused(&colliding, &[], &format!("Topic '{colliding}' collides with existing topic: {topic}"));
    refused(
        &other,
        &["--replication-factor", "3"],
        "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only \
         1 broker(s) are registered.",
    );
    refused(&other, &["--partitions", "0"], "The partitions must be greater than 0");
    let assignment = "The manual partition assignment includes broker 2, but no such broker is registered.";
    refused(&other, &["--replica-assignment", "2"], assignment);
    refused(&other, &["--replica-assignment", "1:1"], "Partition replica lists may not contain duplicate entries: 1");
    refused(&other, &["--config", "nosuch=1"], "Unknown topic config name: nosuch");
    let invalid = "Invalid value soon for configuration retention.ms: Not a number of type LONG";
    refused(&other, &["--config", "retention.ms=soon"], invalid);
    let name = "Topic name is invalid: 'bad name' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
    refused("bad name", &[], name);
    refused("..", &[], "Topic name is invalid: '..' is not allowed");
    assert!(shell.run(TOOL, &["--list"]).lines().all(|line| line != other && line != colliding));
}

#[test]
fn topics_are_altered_and_deleted_by_pattern() {
    let shell = shell!();
    let prefix = unique("tools-pattern");
    let topics = ["a", "b"].map(|end| format!("{prefix}-{end}"));
    for topic in &topics {
        shell.run(TOOL, &["--create", "--topic", topic]);
    }
    let both = format!("{prefix}-[ab]");
    shell.prints(TOOL, &["--alter", "--topic", &both, "--partitions", "3"], "");
    for topic in &topics {
        assert_has(&shell.run(TOOL, &["--describe", "--topic", topic]), "PartitionCount: 3");
    }
    let refused = |how: &[&str], why: &str| {
        let text = shell.fails(TOOL, &[&["--alter", "--topic", &topics[0]], how].concat());
        assert_has(&text, &format!("Error while executing topic command : {why}\n"));
    };
    let shrinking = format!("The topic {} currently has 3 partition(s); 2 would not be an increase.", topics[0]);
    refused(&["--partitions", "2"], &shrinking);
    refused(&["--partitions", "3"], "Topic already has 3 partition(s).");
    let assignment = "The manual partition assignment includes broker 2, but no such broker is registered.";
    refused(&["--partitions", "4", "--replica-assignment", "1,1,1,2"], assignment);
    let missing = format!("{prefix}-missing");
    let absent = format!("Error while executing topic command : Topic '{missing}' does not exist as expected\n");
    for action in [&["--alter", "--partitions", "5"][..], &["--describe"], &["--delete"]] {
        assert_has(&shell.fails(TOOL, &[action, &["--topic", &missing]].concat()), &absent);
        shell.prints(TOOL, &[action, &["--topic", &missing, "--if-exists"]].concat(), "");
    }
    let id = shell.topic_id(&topics[0]);
    shell.prints(TOOL, &["--delete", "--topic", &both], "");
    shell.prints(TOOL, &["--list", "--topic", &both], "\n");
    shell.run(TOOL, &["--create", "--topic", &topics[0]]);
    assert_ne!(shell.topic_id(&topics[0]), id, "made anew");
}
