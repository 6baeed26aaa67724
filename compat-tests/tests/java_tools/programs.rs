//! The programs that measure, verify and reset: each produces or consumes by itself.

use compat_tests::{kafka_tools, needs, now_ms, unique};
use serde_json::{Value, json};

use crate::groups::rows;
use crate::{Shell, assert_has};

/// Lines of JSON by their `name`.
fn events(text: &str) -> Vec<(String, Value)> {
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let named = |event: Value| (event["name"].as_str().expect("a name").to_owned(), event);
    text.lines().map(parse).map(named).collect()
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| &**name).collect()
}

fn only<'a>(events: &'a [(String, Value)], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event.0 == name).map(|event| &event.1).collect()
}

impl Shell {
    fn topic(&self, name: &str, partitions: i32) -> String {
        let topic = unique(name);
        assert_eq!(self.broker.client().create_topic(&topic, partitions, &[]).expect("answered"), 0);
        topic
    }
}

#[test]
fn performance_of_producer_and_consumer() {
    let shell = shell!();
    let topic = shell.topic("tools-perf", 1);
    let produce = |how: &[&str]| {
        let all = ["--topic", &topic, "--record-size", "100", "--throughput", "-1"];
        let text = shell.run("kafka-producer-perf-test", &[&all[..], how].concat());
        text.lines().last().expect("a summary").to_owned()
    };
    assert_has(&produce(&["--num-records", "2000", "--command-property", "acks=all"]), "2000 records sent, ");
    let id = unique("tools-perf-id");
    let transactional = ["--transactional-id", &id, "--transaction-duration-ms", "50"];
    let summary = produce(&[&["--num-records", "500"], &transactional[..]].concat());
    assert_has(&summary, "500 records sent, ");
    assert_has(&summary, "ms 99.9th.");
    let described = shell.run("kafka-transactions", &["describe", "--transactional-id", &id]);
    assert_has(&described, "CompleteCommit");

    let group = unique("tools-perf-group");
    let all = ["--topic", &topic, "--group", &group, "--timeout", "20000"];
    let text = shell.run("kafka-consumer-perf-test", &[&["--num-records", "2500"], &all[..]].concat());
    let lines: Vec<_> = text.lines().collect();
    let head = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
                fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";
    assert_eq!((lines.len(), lines[0]), (2, head), "no warning: {text}");
    assert_eq!(lines[1].split(", ").nth(4), Some("2500"), "{text}");
    // What follows asks for more than there is.
    let again = ["--num-records", "1", "--topic", &topic, "--group", &group, "--timeout", "500", "--hide-header"];
    let text = shell.run("kafka-consumer-perf-test", &again);
    assert_has(&text, "WARNING: Exiting before consuming the expected number of records: timeout (500 ms) exceeded.");
}

#[test]
fn verifiable_producer_and_consumers() {
    let shell = shell!();
    let topic = shell.topic("tools-verifiable", 1);
    let to_topic = ["--topic", &topic];
    let prefixed = ["--max-messages", "5", "--acks", "-1", "--value-prefix", "7"];
    let sent = events(&shell.run("kafka-verifiable-producer", &[&to_topic[..], &prefixed].concat()));
    let acknowledged = only(&sent, "producer_send_success");
    for (n, event) in acknowledged.iter().enumerate() {
        assert_eq!((&event["offset"], &event["value"]), (&json!(n), &json!(format!("7.{n}"))));
        assert_eq!((&event["topic"], &event["partition"], &event["key"]), (&json!(topic), &json!(0), &Value::Null));
    }
    assert_eq!(acknowledged.len(), 5);
    let frame = [names(&sent)[0], names(&sent)[6], names(&sent)[7]];
    assert_eq!(frame, ["startup_complete", "shutdown_complete", "tool_data"]);
    assert_eq!((&sent[7].1["sent"], &sent[7].1["acked"]), (&json!(5), &json!(5)));

    let keyed =
        ["--max-messages", "3", "--acks", "0", "--repeating-keys", "2", "--message-create-time", "1700000000000"];
    let sent = events(&shell.run("kafka-verifiable-producer", &[&to_topic[..], &keyed].concat()));
    let acknowledged = only(&sent, "producer_send_success");
    let keys: Vec<_> = acknowledged.iter().map(|event| (&event["key"], &event["offset"])).collect();
    assert_eq!(keys, [(&json!("0"), &json!(-1)), (&json!("1"), &json!(-1)), (&json!("0"), &json!(-1))]);
    assert_has(
        &shell.run("kafka-get-offsets", &["--topic", &topic, "--time", "1700000000000"]),
        &format!("{topic}:0:0\n"),
    );

    for protocol in ["classic", "consumer"] {
        let group = unique("tools-verifiable-group");
        let how = ["--group-id", &group, "--max-messages", "8", "--reset-policy", "earliest", "--verbose"];
        let all = [&to_topic[..], &how, &["--group-protocol", protocol]].concat();
        let seen = events(&shell.run("kafka-verifiable-consumer", &all));
        let here = json!([{"topic": topic, "partition": 0}]);
        for name in ["partitions_assigned", "partitions_revoked"] {
            // By the consumer protocol a member may be given nothing at first.
            let last = only(&seen, name).last().copied().expect("an event");
            assert_eq!(last["partitions"], here, "{protocol}: {name}");
        }
        let values: Vec<_> = only(&seen, "record_data").iter().map(|event| event["value"].clone()).collect();
        assert_eq!(values, ["7.0", "7.1", "7.2", "7.3", "7.4", "0", "1", "2"], "{protocol}");
        let committed = only(&seen, "offsets_committed").last().copied().expect("a commit");
        assert_eq!(committed["offsets"], json!([{"topic": topic, "partition": 0, "offset": 8}]));
        assert_eq!(committed["success"], true);
        let described = shell.try_groups(&["--describe", "--group", &group]);
        assert_eq!(rows(&described.out, "GROUP")[0][1..6], [&topic, "0", "8", "8", "0"], "{protocol}");
    }
}

#[test]
fn transactional_message_copier() {
    let shell = shell!();
    let (from, to) = (shell.filled("tools-copied", now_ms()), shell.topic("tools-copies", 1));
    let (id, group) = (unique("tools-copier"), unique("tools-copiers"));
    let places = ["--input-topic", &from, "--input-partition", "0", "--output-topic", &to, "--consumer-group", &group];
    let how = ["--transactional-id", &id, "--max-messages", "10", "--transaction-size", "4"];
    // It has no --bootstrap-server.
    let bootstrap = shell.broker.bootstrap();
    let all = [&["--broker-list", &bootstrap], &places[..], &how].concat();
    let output = kafka_tools::tools().expect("checked before").run("transactional-message-copier", &all, "");
    assert_eq!(output.code, 0, "{output:?}");
    let last: Value = serde_json::from_str(output.out.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["stage"], &last["totalProcessed"]), (&json!("ShutdownComplete"), &json!(10)));
    assert_eq!((&last["consumed"], &last["remaining"]), (&json!(10), &json!(0)));
    let read = ["--topic", &to, "--partition", "0", "--offset", "earliest", "--isolation-level", "read_committed"];
    let text =
        shell.run("kafka-console-consumer", &[&read[..], &["--max-messages", "10", "--timeout-ms", "20000"]].concat());
    let expected: String = (0..10).map(|n| format!("0-{n}\n")).collect();
    assert_eq!(text, expected);
    assert_eq!(shell.offsets(&group, &from), [10, -1]);
}

#[test]
fn latency_from_end_to_end() {
    let shell = shell!();
    let topic = unique("tools-latency");
    let all = ["--topic", &topic, "--num-records", "20", "--record-size", "100"];
    let keyed = ["--record-key-size", "10", "--num-headers", "2", "--record-header-key-size", "5"];
    for (first, how) in [
        (true, vec!["--producer-acks", "all"]),
        (false, [&["--producer-acks", "1"], &keyed[..], &["--record-header-size", "6"]].concat()),
    ] {
        let text = shell.run("kafka-e2e-latency", &[&all[..], &how].concat());
        let created = format!(
            "Topic \"{topic}\" does not exist. Will create topic with 1 partition(s) and replication factor = 1\n"
        );
        assert_eq!(text.starts_with(&created), first, "{text}");
        assert_has(&text, "Avg latency: ");
        assert_has(&text, "Percentiles: 50th = ");
    }
    assert_eq!(shell.broker.client().offset_at(&topic, 0, -1), 40);
}

#[test]
fn replicas_are_verified() {
    let shell = shell!();
    let topic = shell.filled("tools-verified", now_ms());
    let bootstrap = shell.broker.bootstrap();
    let all = ["--broker-list", &bootstrap, "--topics-include", &topic, "--time", "-2", "--report-interval-ms", "200"];
    let tools = kafka_tools::tools().expect("checked before");
    let output = tools.run_until("kafka-replica-verification", &all, "", "among 2 partitions");
    assert_eq!(output.code, 0, "{output:?}");
    assert_has(&output.out, "verification process is started\n");
    assert_has(&output.out, "max lag is 0 for partition ");
}

#[test]
fn a_streams_application_is_reset() {
    let shell = shell!();
    let topic = shell.filled("tools-streamed", now_ms());
    let application = shell.committed(&topic);
    let reset = |input: &str, how: &[&str]| {
        let of_application = ["--application-id", &application, "--input-topics", input];
        shell.try_run("kafka-streams-application-reset", &[&of_application[..], how].concat(), "")
    };
    let to = |first: i64, second: i64, internal: &str| {
        format!(
            "Reset-offsets for input topics [{topic}]\n\
             Following input topics offsets will be reset to (for consumer group {application})\n\
             Topic: {topic} Partition: 0 Offset: {first}\nTopic: {topic} Partition: 1 Offset: {second}\nDone.\n\
             Deleting inferred internal topics [{internal}]\nDone.\n"
        )
    };
    let resets = |how: &[&str], first: i64, second: i64| {
        let output = reset(&topic, how);
        let mut lines: Vec<_> = output.out.lines().map(str::to_owned).collect();
        // Partitions come in any order.
        lines[2..4].sort();
        assert_eq!((lines.join("\n") + "\n", output.code), (to(first, second, ""), 0), "{how:?}: {}", output.err);
        assert_eq!(shell.offsets(&application, &topic), [first, second]);
    };
    let planned = reset(&topic, &["--dry-run"]);
    assert_has(
        &planned.out,
        "----Dry run displays the actions which will be performed when running Streams Reset Tool----\n",
    );
    assert_has(&planned.out, &format!("Topic: {topic} Partition: 0 Offset: 0\n"));
    assert_eq!(shell.offsets(&application, &topic), [4, 2]);
    resets(&["--shift-by", "2"], 6, 4);
    resets(&["--to-offset", "3"], 3, 3);
    resets(&["--to-latest"], 10, 5);
    resets(&["--by-duration", "PT1H"], 0, 0);
    resets(&["--to-latest"], 10, 5);
    resets(&[], 0, 0);

    let internal = ["store-changelog", "by-repartition"].map(|end| format!("{application}-{end}"));
    for topic in &internal {
        assert_eq!(shell.broker.client().create_topic(topic, 1, &[]).expect("answered"), 0);
    }
    let output = reset(&topic, &[]);
    assert!(
        internal.iter().all(|topic| output.out.contains(topic)) && output.code == 0,
        "both are deleted: {output:?}"
    );
    let left = shell.broker.client().topic_names().expect("answered");
    assert!(internal.iter().all(|topic| !left.contains(topic)), "{left:?}");

    let missing = unique("tools-missing");
    let output = reset(&missing, &[]);
    assert_eq!(output.code, 1);
    assert_has(&output.out, &format!("Following input topics are not found, skipping them\nTopic: {missing}\n"));
}
