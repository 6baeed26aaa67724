//! `kafka-reassign-partitions`: where there is one broker, everything is where it should be.

use std::sync::{Mutex, MutexGuard, PoisonError};

use compat_tests::{kafka_tools, needs, now_ms, unique};
use serde_json::{Value, json};

use crate::{Shell, assert_has, file_with, path_of};

const TOOL: &str = "kafka-reassign-partitions";

/// The rates of throttles are the broker's: where it is shared, each verification clears them for all.
fn alone() -> MutexGuard<'static, ()> {
    static RATES: Mutex<()> = Mutex::new(());
    RATES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both partitions of the topic on this broker, with more said of the first.
fn plan(topic: &str, broker: i32, more: Value) -> String {
    let mut rows = [0, 1].map(|partition| json!({"topic": topic, "partition": partition, "replicas": [broker]}));
    rows[0].as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"version": 1, "partitions": rows}).to_string()
}

impl Shell {
    #[track_caller]
    fn reassign(&self, action: &str, plan: &str, how: &[&str]) -> String {
        let file = file_with(plan);
        self.run(TOOL, &[&[action, "--reassignment-json-file", path_of(&file)], how].concat())
    }

    #[track_caller]
    fn does_not_reassign(&self, action: &str, plan: &str) -> String {
        let file = file_with(plan);
        self.fails(TOOL, &[action, "--reassignment-json-file", path_of(&file)])
    }

    fn configs_of(&self, kind: &str, name: &str, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let describe = ["--describe", "--entity-type", kind, "--entity-name", name];
        self.until("kafka-configs", &describe, what, holds)
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_reassignment_to_where_it_is() {
    let shell = shell!();
    let _alone = alone();
    let topic = shell.filled("tools-moved", now_ms());
    let here = plan(&topic, 1, json!({}));

    let file = file_with(json!({"version": 1, "topics": [{"topic": topic}]}));
    for brokers in ["1", "1,2"] {
        let text =
            shell.run(TOOL, &["--generate", "--topics-to-move-json-file", path_of(&file), "--broker-list", brokers]);
        assert_has(&text, "Current partition replica assignment\n{");
        assert_has(&text, "\n\nProposed partition reassignment configuration\n{");
        let documents = json_lines(&text);
        assert_eq!(documents.len(), 2, "{text}");
        for (document, directory) in documents.iter().zip([None, Some("any")]) {
            for (number, partition) in document["partitions"].as_array().expect("partitions").iter().enumerate() {
                assert_eq!((&partition["topic"], &partition["partition"]), (&json!(topic), &json!(number)));
                assert_eq!(partition["replicas"], json!([1]));
                let said = partition["log_dirs"][0].as_str().expect("a directory");
                assert!(directory.map_or(said.starts_with('/'), |directory| said == directory), "{document}");
            }
        }
    }

    let text = shell.reassign("--execute", &here, &[]);
    let current = json_lines(&text).remove(0);
    assert_eq!(current["partitions"].as_array().expect("partitions").len(), 2);
    assert_has(&text, "Save this to use as the --reassignment-json-file option during rollback\n");
    assert_has(&text, &format!("Successfully started partition reassignments for {topic}-0,{topic}-1\n"));
    let completed = format!(
        "Status of partition reassignment:\nReassignment of partition {topic}-0 is completed.\n\
         Reassignment of partition {topic}-1 is completed.\n"
    );
    let cleared =
        format!("Clearing broker-level throttles on broker 1\nClearing topic-level throttles on topic {topic}\n");
    assert_eq!(shell.reassign("--verify", &here, &[]), format!("{completed}\n{cleared}"));
    shell.prints(TOOL, &["--list"], "No partition reassignments found.\n");
    let none =
        "None of the specified partition reassignments are active.\nNone of the specified partition moves are active.";
    assert_eq!(shell.reassign("--cancel", &here, &[]), format!("{none}{cleared}"));
    assert_eq!(shell.reassign("--cancel", &here, &["--preserve-throttles"]), none);
}

#[test]
fn throttles_are_set_and_cleared() {
    let shell = shell!();
    let _alone = alone();
    let topic = shell.filled("tools-throttled", now_ms());
    let here = plan(&topic, 1, json!({}));
    let text = shell.reassign("--execute", &here, &["--throttle", "10000000"]);
    assert_has(&text, "Warning: You must run --verify periodically, until the reassignment completes");
    assert_has(&text, "The inter-broker throttle limit was set to 10000000 B/s\n");
    let lines: String = [("follower", ""), ("leader", "0:1,1:1")]
        .map(|(side, value)| format!("{side}.replication.throttled.replicas={value}"))
        .map(|set| format!("  {set} sensitive=false synonyms={{DYNAMIC_TOPIC_CONFIG:{set}}}\n"))
        .concat();
    let head = format!("Dynamic configs for topic {topic} are:\n");
    let set = format!("{head}{lines}");
    shell.configs_of("topics", &topic, "both throttles", |text| text == set);
    let rates = |text: &str| text.contains("leader.replication.throttled.rate=");
    shell.configs_of("brokers", "1", "a rate", rates);
    let text = shell.reassign("--verify", &here, &["--preserve-throttles"]);
    assert!(!text.contains("Clearing"), "{text}");
    shell.configs_of("topics", &topic, "both throttles still", |text| text == set);
    shell.configs_of("brokers", "1", "a rate still", rates);
    assert_has(&shell.reassign("--verify", &here, &[]), "Clearing broker-level throttles on broker 1\n");
    shell.configs_of("topics", &topic, "nothing more", |text| text == head);
    shell.configs_of("brokers", "1", "no rate", |text| !text.contains("throttled"));
}

#[test]
fn rates_of_throttles_are_described() {
    let shell = shell!();
    let _alone = alone();
    let entity = ["--entity-type", "brokers", "--entity-name", "1"];
    for key in [
        "leader.replication.throttled.rate",
        "follower.replication.throttled.rate",
        "replica.alter.log.dirs.io.max.bytes.per.second",
    ] {
        let line = format!("{key}=10000000");
        shell.run("kafka-configs", &[&["--alter", "--add-config", &line], &entity[..]].concat());
        let described = shell.configs_of("brokers", "1", key, |text| text.contains(key));
        let refused = [("soon", "Not a number of type LONG"), ("-5", "Value must be at least ")].map(|(value, why)| {
            let bad = format!("{key}={value}");
            let output =
                shell.try_run("kafka-configs", &[&["--alter", "--add-config", &bad], &entity[..]].concat(), "");
            (format!("Invalid value {value} for configuration {key}: {why}"), output)
        });
        shell.run("kafka-configs", &[&["--alter", "--delete-config", key], &entity[..]].concat());
        assert_has(&described, &format!("  {line} sensitive=false synonyms={{DYNAMIC_BROKER_CONFIG:{line}}}\n"));
        for (why, output) in refused {
            assert_eq!(output.code, 1, "{output:?}");
            assert_has(&output.err, &why);
        }
    }
}

#[test]
fn reassignments_are_refused() {
    let shell = shell!();
    let _alone = alone();
    let topic = shell.filled("tools-unmoved", now_ms());
    let text = shell.does_not_reassign("--execute", &plan(&topic, 2, json!({})));
    assert_has(&text, "Error: Unknown broker id 2\n");

    let missing = unique("tools-missing");
    let nowhere = plan(&missing, 1, json!({}));
    let text = shell.does_not_reassign("--execute", &nowhere);
    assert_has(&text, &format!("UnknownTopicOrPartitionException: Topic {missing} not found.\n"));
    let text = shell.does_not_reassign("--verify", &nowhere);
    let state =
        format!("There is no active reassignment of partition {missing}-0, but replica set is  rather than 1.\n");
    assert_has(&text, &state);

    let elsewhere = plan(&topic, 1, json!({"log_dirs": ["/nowhere"]}));
    let text = shell.does_not_reassign("--execute", &elsewhere);
    assert_has(&text, &format!("Error: Failed to alter dir for {topic}-0-1\n"));
    // There is one directory, and nothing to choose.
    assert_has(
        &text,
        match shell.broker.is_external() {
            true => "LogDirNotFoundException: The user-specified log directory is not found in the broker config.",
            false => "UnsupportedVersionException: The node does not support ALTER_REPLICA_LOG_DIRS",
        },
    );
    let text = shell.reassign("--verify", &elsewhere, &[]);
    assert_has(&text, &format!("Partition {topic}-0 on broker 1 is not being moved from log dir /"));
}
