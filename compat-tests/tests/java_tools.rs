//! Apache Kafka's own command line tools, as an operator uses them.

#![allow(clippy::disallowed_methods)]

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::codec::Codec;
use compat_tests::kafka_tools::{self, Output};
use compat_tests::{Random, needs, unique, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

struct Shell {
    broker: Broker,
}

impl Shell {
    /// Runs a tool against the broker.
    fn try_run(&self, tool: &str, arguments: &[&str], input: &str) -> Output {
        let bootstrap = self.broker.bootstrap();
        let to_broker = ["--bootstrap-server", &bootstrap];
        // This one has its action first.
        let arguments = match tool {
            "kafka-cluster" => [arguments, &to_broker].concat(),
            _ => [&to_broker, arguments].concat(),
        };
        kafka_tools::tools().expect("checked before").run(tool, &arguments, input)
    }

    /// It fails, and this is what it prints.
    #[track_caller]
    fn fails(&self, tool: &str, arguments: &[&str]) -> String {
        let output = self.try_run(tool, arguments, "");
        assert_eq!(output.code, 1, "{tool} {arguments:?}: {output:#?}");
        format!("{}{}", output.out, output.err)
    }

    /// It writes this, and nothing of an error.
    #[track_caller]
    fn prints(&self, tool: &str, arguments: &[&str], expected: &str) {
        let output = self.try_run(tool, arguments, "");
        assert_eq!((&*output.out, output.code), (expected, 0), "{tool} {arguments:?}: {}", output.err);
    }

    #[track_caller]
    fn run(&self, tool: &str, arguments: &[&str]) -> String {
        self.run_with(tool, arguments, "")
    }

    #[track_caller]
    fn run_with(&self, tool: &str, arguments: &[&str], input: &str) -> String {
        let output = self.try_run(tool, arguments, input);
        assert_eq!(output.code, 0, "{tool} {arguments:?}: {output:#?}");
        output.out
    }

    /// Runs a tool until it prints what is awaited: a Kafka shows what was altered a moment later.
    #[track_caller]
    fn until(&self, tool: &str, arguments: &[&str], what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        wait_until(&format!("{tool} {arguments:?} shows {what}"), LIMIT, || {
            text = self.run(tool, arguments);
            holds(&text)
        });
        text
    }
}

/// A file that holds this text, for a tool to read.
fn file_with(text: impl std::fmt::Display) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    write!(file, "{text}").expect("written");
    file
}

fn path_of(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("UTF-8")
}

#[track_caller]
fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is missing in:\n{text}");
}

macro_rules! shell {
    () => {{
        let tools = kafka_tools::tools();
        needs!(tools.is_ok(), "{}", tools.err().unwrap_or_default());
        $crate::Shell { broker: compat_tests::broker::Broker::any() }
    }};
}

#[path = "java_tools/cluster.rs"]
mod cluster;
#[path = "java_tools/configs.rs"]
mod configs;
#[path = "java_tools/console.rs"]
mod console;
#[path = "java_tools/consumer_groups.rs"]
mod consumer_groups;
#[path = "java_tools/files.rs"]
mod files;
#[path = "java_tools/groups.rs"]
mod groups;
#[path = "java_tools/offsets.rs"]
mod offsets;
#[path = "java_tools/old_records.rs"]
mod old_records;
#[path = "java_tools/programs.rs"]
mod programs;
#[path = "java_tools/reassignment.rs"]
mod reassignment;
#[path = "java_tools/topics.rs"]
mod topics;
#[path = "java_tools/unserved.rs"]
mod unserved;

#[test]
fn kafka_topics() {
    // S1 S4 S11 S13 S16 S17
    let shell = shell!();
    let topic = unique("tools-topics");
    let create = ["--create", "--topic", &topic, "--partitions", "3", "--config", "retention.ms=3600000"];
    assert_has(&shell.run("kafka-topics", &create), &format!("Created topic {topic}."));
    let again = shell.try_run("kafka-topics", &create, "");
    assert_eq!(again.code, 1);
    assert_has(&again.out, "already exists");
    shell.run("kafka-topics", &["--create", "--topic", &topic, "--if-not-exists"]);
    assert!(shell.run("kafka-topics", &["--list"]).lines().any(|line| line == topic));

    let described = shell.run("kafka-topics", &["--describe", "--topic", &topic]);
    assert_has(&described, &format!("Topic: {topic}\tTopicId: "));
    assert_has(&described, "PartitionCount: 3\tReplicationFactor: 1");
    assert_has(&described, "retention.ms=3600000");
    for partition in 0..3 {
        let line = format!("Partition: {partition}\tLeader: 1\tReplicas: 1\tIsr: 1");
        assert_has(&described, &line);
    }
    shell.run("kafka-topics", &["--alter", "--topic", &topic, "--partitions", "5"]);
    assert_has(&shell.run("kafka-topics", &["--describe", "--topic", &topic]), "PartitionCount: 5");
    let shrink = shell.try_run("kafka-topics", &["--alter", "--topic", &topic, "--partitions", "2"], "");
    assert_eq!(shrink.code, 1, "{shrink:?}");
    assert_eq!(shell.run("kafka-topics", &["--describe", "--unavailable-partitions"]).trim(), "");

    shell.run("kafka-topics", &["--delete", "--topic", &topic]);
    assert!(shell.run("kafka-topics", &["--list"]).lines().all(|line| line != topic));
    let missing = shell.try_run("kafka-topics", &["--describe", "--topic", &topic], "");
    assert_eq!(missing.code, 1, "{missing:?}");
}

#[test]
fn console_producer_and_consumer() {
    let shell = shell!();
    let topic = unique("tools-console");
    shell.run("kafka-topics", &["--create", "--topic", &topic, "--partitions", "2"]);
    let lines: String = (0..50).map(|n| format!("key-{n}:value-{n}\n")).collect();
    let keyed = ["--topic", &topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=:"];
    for codec in Codec::ALL {
        let compression = ["--compression-codec", codec.name()];
        let arguments: Vec<_> = keyed.iter().chain(&compression).copied().collect();
        shell.run_with("kafka-console-producer", &arguments, &lines);
    }
    let mut client = shell.broker.client();
    let ends = [0, 1].map(|partition| client.offset_at(&topic, partition, -1));
    assert_eq!(ends[0] + ends[1], 250);
    let mut seen = 0;
    for partition in 0..2 {
        let (number, count) = (partition.to_string(), ends[partition as usize].to_string());
        let arguments = [
            "--topic",
            &topic,
            "--partition",
            &number,
            "--offset",
            "earliest",
            "--max-messages",
            &count,
            "--timeout-ms",
            "20000",
            "--formatter-property",
            "print.key=true",
            "--formatter-property",
            "print.offset=true",
        ];
        let text = shell.run("kafka-console-consumer", &arguments);
        for (offset, line) in text.lines().enumerate() {
            let (position, rest) = line.split_once('\t').expect("offset, key, value");
            assert_eq!(position, format!("Offset:{offset}"));
            let (key, value) = rest.split_once('\t').expect("key and value");
            assert_eq!(key.replace("key", "value"), value);
            seen += 1;
        }
    }
    assert_eq!(seen, 250);
    let from = (ends[0] - 3).to_string();
    let arguments =
        ["--topic", &topic, "--partition", "0", "--offset", &from, "--max-messages", "3", "--timeout-ms", "20000"];
    assert_eq!(shell.run("kafka-console-consumer", &arguments).lines().count(), 3);
}

#[test]
fn kafka_configs() {
    let shell = shell!();
    let topic = unique("tools-configs");
    shell.run("kafka-topics", &["--create", "--topic", &topic]);
    let of_topic = ["--entity-type", "topics", "--entity-name", &topic];
    let with = |arguments: &[&'static str], entity: &[&str]| {
        let all: Vec<_> = arguments.iter().chain(entity).copied().collect();
        shell.run("kafka-configs", &all)
    };
    let alter = ["--alter", "--add-config", "retention.ms=1234567,cleanup.policy=[compact,delete]"];
    assert_has(&with(&alter, &of_topic), &format!("Completed updating config for topic {topic}."));
    let described = with(&["--describe"], &of_topic);
    assert_has(&described, "retention.ms=1234567 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1234567");
    assert_has(&described, "cleanup.policy=compact,delete");
    let all = with(&["--describe", "--all"], &of_topic);
    for (key, value) in
        [("segment.bytes", "1073741824"), ("max.message.bytes", "1048588"), ("flush.messages", "9223372036854775807")]
    {
        assert_has(&all, &format!("{key}={value} sensitive=false"));
    }
    assert_has(&all, "DEFAULT_CONFIG:log.segment.bytes=1073741824");
    with(&["--alter", "--delete-config", "retention.ms"], &of_topic);
    assert!(!with(&["--describe"], &of_topic).contains("retention.ms"));
    let bad = ["--alter", "--add-config", "retention.ms=soon"];
    let all: Vec<_> = bad.iter().chain(&of_topic).copied().collect();
    assert_ne!(shell.try_run("kafka-configs", &all, "").code, 0);

    let of_broker = ["--entity-type", "brokers", "--entity-name", "1"];
    let all = with(&["--describe", "--all"], &of_broker);
    for key in ["num.partitions=1", "log.retention.hours=168", "auto.create.topics.enable=true", "node.id=1"] {
        assert_has(&all, key);
    }
    with(&["--alter", "--add-config", "log.cleaner.threads=2"], &of_broker);
    assert_has(
        &with(&["--describe"], &of_broker),
        "log.cleaner.threads=2 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG",
    );
    with(&["--alter", "--delete-config", "log.cleaner.threads"], &of_broker);
    assert!(!with(&["--describe"], &of_broker).contains("log.cleaner.threads"));
    let defaults = ["--entity-type", "brokers", "--entity-default"];
    with(&["--alter", "--add-config", "log.retention.ms=99999999"], &defaults);
    assert_has(&with(&["--describe"], &defaults), "log.retention.ms=99999999");
    with(&["--alter", "--delete-config", "log.retention.ms"], &defaults);
}

#[test]
fn offsets_and_deleted_records() {
    // S10 S36
    let shell = shell!();
    let topic = unique("tools-offsets");
    shell.run("kafka-topics", &["--create", "--topic", &topic, "--partitions", "2"]);
    let mut client = shell.broker.client();
    let start = compat_tests::now_ms() - 60_000;
    for n in 0..10 {
        client.must_produce(&topic, 0, &Batch::of_values([format!("{n}")]).at(start + n * 1000));
    }
    let offsets = |time: &str| shell.run("kafka-get-offsets", &["--topic", &topic, "--time", time]);
    assert_eq!(offsets("latest"), format!("{topic}:0:10\n{topic}:1:0\n"));
    assert_eq!(offsets("earliest"), format!("{topic}:0:0\n{topic}:1:0\n"));
    assert_has(&offsets("max-timestamp"), &format!("{topic}:0:9\n"));
    assert_has(&offsets(&(start + 2500).to_string()), &format!("{topic}:0:3\n"));
    assert_has(&offsets("earliest-local"), &format!("{topic}:0:0\n"));
    assert_eq!(offsets("latest-tiered"), "", "nothing is tiered");

    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let delete = serde_json::json!({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 4}]});
    write!(file, "{delete}").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    let deleted = shell.run("kafka-delete-records", &["--offset-json-file", path]);
    assert_has(&deleted, &format!("partition: {topic}-0\tlow_watermark: 4"));
    assert_eq!(offsets("earliest"), format!("{topic}:0:4\n{topic}:1:0\n"));
}

#[test]
fn cluster_tools() {
    let shell = shell!();
    let topic = unique("tools-cluster");
    shell.run("kafka-topics", &["--create", "--topic", &topic]);
    shell.broker.client().must_produce(&topic, 0, &Batch::of_values(["x".repeat(5000)]));

    let versions = shell.run("kafka-broker-api-versions", &[]);
    assert_has(&versions, "Produce(0): 0 to ");
    for api in
        ["Fetch(1): 4 to ", "ApiVersions(18): 0 to 4", "CreateTopics(19): 2 to 7", "DescribeTopicPartitions(75): 0"]
    {
        assert_has(&versions, api);
    }
    let dirs = shell.run("kafka-log-dirs", &["--describe", "--topic-list", &topic]);
    let json = dirs.lines().find(|line| line.starts_with('{')).expect("a line of JSON");
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let directory = &json["brokers"][0]["logDirs"][0];
    assert!(directory["error"].is_null(), "{json}");
    let partition = &directory["partitions"][0];
    assert_eq!(partition["partition"], format!("{topic}-0"));
    assert!(partition["size"].as_u64().is_some_and(|size| size > 5000), "{json}");
    assert_eq!(partition["offsetLag"], 0);

    let election = ["--election-type", "preferred", "--topic", &topic, "--partition", "0"];
    assert_has(&shell.run("kafka-leader-election", &election), "Valid replica already elected for partitions");
    assert_has(&shell.run("kafka-reassign-partitions", &["--list"]), "No partition reassignments found.");
}

#[test]
fn kafka_dump_log_reads_our_files() {
    // S26
    let tools = kafka_tools::tools();
    needs!(tools.is_ok(), "{}", tools.err().unwrap_or_default());
    let tools = kafka_tools::tools().expect("checked before");
    let broker = match Broker::any() {
        external if external.is_external() => external,
        _ => Options::new().set("log.index.interval.bytes", 1).start(),
    };
    let topic = unique("tools-dump");
    let mut client = broker.client();
    let configs = [("segment.bytes", "1048576"), ("index.interval.bytes", "1000")];
    client.create_topic(&topic, 1, &configs).expect("CreateTopics is answered");
    let (producer, epoch) = client.init_producer_id().expect("InitProducerId");
    let start = compat_tests::now_ms() - 500_000;
    let mut random = Random::new(1);
    for n in 0..300 {
        let codec = Codec::ALL[n % 5];
        let value: String = (0..9000).map(|_| char::from(b'!' + random.below(90) as u8)).collect();
        let batch = Batch::of_values([format!("first-{n}"), value]).keyed(format!("key-{n}")).with_codec(codec);
        let batch = batch.at(start + n as i64 * 1000).from_producer(producer, epoch, n as i32 * 2);
        client.must_produce(&topic, 0, &batch);
    }
    let directory = broker.partition_dir(&topic, 0);
    let files = |extension: &str| {
        let entries = std::fs::read_dir(&directory).expect("the partition has a directory");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path().display().to_string()).collect();
        paths.retain(|path| path.ends_with(extension));
        paths.sort();
        paths
    };
    let logs = files(".log");
    assert!(logs.len() > 1, "the segment has rolled: {logs:?}");
    let output = tools.run("kafka-dump-log", &["--deep-iteration", "--print-data-log", "--files", &logs.join(",")], "");
    assert_eq!(output.code, 0, "{output:?}");
    let complaint =
        |line: &&str| ["Mismatches", "Non-consecutive", "corrupt", "invalid bytes"].iter().any(|c| line.contains(c));
    assert_eq!(output.out.lines().find(complaint), None);
    let mut records = output.out.lines().filter(|line| line.starts_with("| offset: "));
    for n in 0..300 {
        let first = records.next().expect("two records a batch");
        assert_has(first, &format!("| offset: {} ", n * 2));
        assert_has(first, &format!("key: key-{n} payload: first-{n}"));
        records.next().expect("two records a batch");
    }
    assert!(records.next().is_none());
    assert_has(&output.out, &format!("producerId: {producer} producerEpoch: {epoch}"));

    // The state of producers where each segment but the first begins.
    let snapshots = files(".snapshot");
    assert!(snapshots.len() >= logs.len() - 1, "{snapshots:?} for {logs:?}");
    for snapshot in snapshots {
        let output = tools.run("kafka-dump-log", &["--files", &snapshot], "");
        assert_eq!(output.code, 0, "{output:?}");
        assert_has(&output.out, &format!("producerId: {producer} producerEpoch: {epoch}"));
        let base: i32 = Path::new(&snapshot).file_stem().and_then(|s| s.to_str()?.parse().ok()).expect("an offset");
        assert_has(&output.out, &format!("lastSequence: {}", base - 1));
    }

    // Kafka's tool takes the file of an active segment only once it is trimmed: the sealed ones it must like.
    for index in [files(".index"), files(".timeindex")] {
        let sealed = &index[..logs.len() - 1];
        let output = tools.run("kafka-dump-log", &["--files", &sealed.join(","), "--verify-index-only"], "");
        assert_eq!(output.code, 0, "{output:?}");
        assert!(!output.out.contains("Mismatches") && !output.out.contains("not found"), "{}", output.out);
        let output = tools.run("kafka-dump-log", &["--files", &sealed[0]], "");
        let entries = output.out.lines().filter(|line| line.contains("offset: ")).count();
        assert!(entries > 10, "an index has entries: {}", output.out);
    }
}
