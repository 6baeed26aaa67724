//! `kafka-configs` of groups, client metrics and what is not there; `kafka-client-metrics`.

use compat_tests::{kafka_tools, needs, unique};

use crate::assert_has;

const TOOL: &str = "kafka-configs";

#[test]
fn configurations_of_groups_and_client_metrics() {
    let shell = shell!();
    for (kind, noun, scope, key) in [
        ("groups", "group", "DYNAMIC_GROUP_CONFIG", "consumer.session.timeout.ms"),
        ("client-metrics", "client-metric", "DYNAMIC_CLIENT_METRICS_CONFIG", "interval.ms"),
    ] {
        let name = unique("tools-entity");
        let entity = ["--entity-type", kind, "--entity-name", &name];
        let run = |how: &[&str], expected: &str| shell.prints(TOOL, &[how, &entity].concat(), expected);
        let completed = format!("Completed updating config for {noun} {name}.\n");
        let value = format!("{key}=50000");
        run(&["--alter", "--add-config", &value], &completed);
        let described =
            format!("Dynamic configs for {noun} {name} are:\n  {value} sensitive=false synonyms={{{scope}:{value}}}\n");
        let of_kind = ["--describe", "--entity-type", kind];
        shell.until(TOOL, &of_kind, &name, |text| text.contains(&described));
        run(&["--describe"], &described);
        run(&["--alter", "--delete-config", key], &completed);
        // Kafka goes on to name a group that has nothing set any more.
        shell.until(TOOL, &of_kind, "nothing set", |text| !text.contains(&described));
        let bad = ["--alter", "--add-config", "nosuch=1"];
        let refused = shell.fails(TOOL, &[&bad[..], &entity].concat());
        assert_has(&refused, "nosuch");
    }
}

#[test]
fn configurations_are_refused() {
    let shell = shell!();
    let topic = unique("tools-unaltered");
    shell.run("kafka-topics", &["--create", "--topic", &topic]);
    let missing = unique("tools-missing");
    shell.prints(
        TOOL,
        &["--describe", "--entity-type", "topics", "--entity-name", &missing],
        &format!("The topic '{missing}' doesn't exist and doesn't have dynamic config.\n"),
    );
    let refused = |entity: &[&str], how: [&str; 2], why: &str| {
        let text = shell.fails(TOOL, &[&["--alter"], entity, &how].concat());
        assert_has(&text, why);
    };
    let of_topic = ["--entity-type", "topics", "--entity-name", &topic];
    refused(
        &of_topic,
        ["--add-config", "nosuch=1"],
        "InvalidConfigurationException: Unknown topic config name: nosuch",
    );
    let soon =
        "InvalidConfigurationException: Invalid value soon for configuration retention.ms: Not a number of type LONG";
    refused(&of_topic, ["--add-config", "retention.ms=soon"], soon);
    refused(&of_topic, ["--delete-config", "segment.ms"], "Invalid config(s): segment.ms");
    let absent = ["--entity-type", "topics", "--entity-name", &missing];
    refused(&absent, ["--add-config", "retention.ms=1"], "UnknownTopicOrPartitionException");
    let broker = ["--entity-type", "brokers", "--entity-name", "1"];
    let fixed = "InvalidRequestException: Cannot update these configs dynamically: Set(node.id)";
    refused(&broker, ["--add-config", "node.id=4"], fixed);
    shell.prints(TOOL, &["--describe", "--topic", &topic], &format!("Dynamic configs for topic {topic} are:\n"));
}

#[test]
fn client_metrics() {
    let shell = shell!();
    let tool = "kafka-client-metrics";
    let name = unique("tools-metrics");
    let of_name = ["--name", &name];
    let set = ["--metrics", "org.apache.kafka.", "--interval", "30000", "--match", "client_id=x"];
    let altered = format!("Altered client metrics config for {name}.\n");
    shell.prints(tool, &[&["--alter"], &of_name[..], &set].concat(), &altered);
    let described = format!(
        "Client metrics configs for {name} are:\n  interval.ms=30000\n  match=client_id=x\n  metrics=org.apache.kafka.\n"
    );
    shell.until(tool, &["--describe"], &name, |text| text.contains(&described));
    shell.prints(tool, &["--describe", "--name", &name], &described);
    assert!(shell.run(tool, &["--list"]).lines().any(|line| line == name));
    let deleted = format!("Deleted client metrics config for {name}.\n");
    shell.prints(tool, &["--delete", "--name", &name], &deleted);
    shell.until(tool, &["--list"], "nothing of it", |text| text.lines().all(|line| line != name));
    let gone = format!("The client metric resource {name} doesn't exist and doesn't have dynamic config.\n");
    shell.prints(tool, &["--describe", "--name", &name], &gone);
    shell.prints(tool, &["--delete", "--name", &name], &deleted);
}
