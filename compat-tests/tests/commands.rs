//! `ottla topics`, `produce`, `consume` and the others against a running broker, and beside Kafka's tools.

#![allow(clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use compat_tests::broker::{Broker, Options, binary_path};
use compat_tests::calls::LATEST;
use compat_tests::kafka_tools::tools;
use compat_tests::{needs, spawn, unique, wait_until};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Ends by itself long before, unless something is wrong.
const LIMIT: Duration = Duration::from_secs(60);

struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn command(line: &[&str]) -> Command {
    let mut command = Command::new(binary_path());
    command.args(line).env_remove("RUST_LOG").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn finish(mut child: Child) -> Ended {
    fn collected(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
        std::thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).expect("text");
            text
        })
    }
    let out = collected(child.stdout.take().expect("piped"));
    let err = collected(child.stderr.take().expect("piped"));
    let status = spawn::wait(&mut child, LIMIT);
    if status.is_none() {
        spawn::signal(&child, libc::SIGKILL);
    }
    let (out, err) = (out.join().expect("read"), err.join().expect("read"));
    Ended { code: status.expect("it ends").code().unwrap_or(-1), out, err }
}

/// Runs `ottla NAME --bootstrap-server … ARGUMENTS` with lines on its standard input.
#[track_caller]
fn run_with(broker: &Broker, name: &str, arguments: &[&str], input: &str) -> Ended {
    let bootstrap = broker.bootstrap();
    let line = [&[name, "--bootstrap-server", &bootstrap], arguments].concat();
    let mut child = spawn::spawn(command(&line)).expect("the command starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the command reads");
    finish(child)
}

#[track_caller]
fn run(broker: &Broker, name: &str, arguments: &[&str]) -> Ended {
    run_with(broker, name, arguments, "")
}

/// What a command that goes well prints.
#[track_caller]
fn printed(broker: &Broker, name: &str, arguments: &[&str]) -> String {
    let ended = run(broker, name, arguments);
    assert_eq!(ended.code, 0, "{name} {arguments:?}: {}{}", ended.out, ended.err);
    ended.out
}

#[track_caller]
fn refused(broker: &Broker, name: &str, arguments: &[&str], why: &str) {
    let ended = run(broker, name, arguments);
    assert_eq!(ended.code, 1, "{name} {arguments:?}: {}{}", ended.out, ended.err);
    assert!(ended.err.contains(why), "{name} {arguments:?} says: {}", ended.err);
}

#[test]
fn topics_live_and_go() {
    let broker = Broker::start();
    assert_eq!(printed(&broker, "topics", &["--create", "--topic", "a", "--partitions", "2"]), "Created topic a.\n");
    refused(&broker, "topics", &["--create", "--topic", "a"], "Topic 'a' already exists.");
    assert_eq!(printed(&broker, "topics", &["--create", "--topic", "a", "--if-not-exists"]), "");
    let three = ["--create", "--topic", "b", "--replication-factor", "3"];
    refused(&broker, "topics", &three, "only 1 broker(s) are registered");
    refused(&broker, "topics", &["--create", "--topic", "b", "--config", "no.such=1"], "no.such");
    printed(&broker, "topics", &["--create", "--topic", "b", "--config", "cleanup.policy=compact"]);
    assert_eq!(printed(&broker, "topics", &["--list"]), "a\nb\n");
    assert_eq!(printed(&broker, "topics", &["--list", "--json"]), "[\"a\",\"b\"]\n");
    refused(&broker, "topics", &["--alter", "--topic", "a", "--partitions", "1"], "would not be an increase");
    assert_eq!(printed(&broker, "topics", &["--alter", "--topic", "a", "--partitions", "3"]), "");
    assert_eq!(printed(&broker, "topics", &["--describe", "--under-replicated-partitions"]), "");
    let described = printed(&broker, "topics", &["--describe", "--json"]);
    let described: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(described[0]["partitionCount"], 3);
    assert_eq!(described[1]["configs"]["cleanup.policy"], "compact");
    assert_eq!(printed(&broker, "topics", &["--delete", "--topic", "a|b"]), "");
    assert_eq!(printed(&broker, "topics", &["--list"]), "");
    refused(&broker, "topics", &["--delete", "--topic", "a"], "Topic 'a' does not exist as expected");
    assert_eq!(printed(&broker, "topics", &["--delete", "--topic", "a", "--if-exists"]), "");
}

#[test]
fn lines_become_records_and_come_back() {
    let broker = Broker::start();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let produce = [
            "--topic",
            codec,
            "--compression-codec",
            codec,
            "--partition",
            "0",
            "--property",
            "parse.key=true",
            "--property",
            "parse.headers=true",
            "--property",
            "null.marker=NULL",
        ];
        let ended = run_with(&broker, "produce", &produce, "h:1,i:\tk\tv\n\tk2\tNULL\n\tk3\t\nh:é\t\tlast");
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{}", ended.out);
        let consume = [
            "--topic",
            codec,
            "--from-beginning",
            "--max-messages",
            "4",
            "--property",
            "print.key=true",
            "--property",
            "print.headers=true",
            "--property",
            "print.offset=true",
            "--property",
            "print.partition=true",
        ];
        let lines = "Partition:0\tOffset:0\th:1,i:\tk\tv\nPartition:0\tOffset:1\tNO_HEADERS\tk2\tnull\n\
                     Partition:0\tOffset:2\tNO_HEADERS\tk3\t\nPartition:0\tOffset:3\th:é\t\tlast\n";
        assert_eq!(printed(&broker, "consume", &consume), lines);
    }
    let from = ["--topic", "gzip", "--partition", "0", "--offset", "3", "--max-messages", "1", "--json"];
    let record: serde_json::Value = serde_json::from_str(&printed(&broker, "consume", &from)).expect("JSON");
    assert_eq!((&record["offset"], &record["value"]), (&3.into(), &"last".into()));
    // A line that cannot be read ends it; those before it are there.
    let broken = ["--topic", "broken", "--property", "parse.key=true", "--property", "key.separator=:"];
    let ended = run_with(&broker, "produce", &broken, "a:b\nno separator\nc:d\n");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("No key separator found on line number 2"), "{}", ended.err);
    assert_eq!(broker.client().offset_at("broken", 0, LATEST), 1);
}

#[test]
fn a_large_input_arrives_whole_and_in_order() {
    let broker = Broker::start();
    let lines: String = (0..20_000).map(|n| format!("line {n} {}\n", "x".repeat(n % 300))).collect();
    assert_eq!(run_with(&broker, "produce", &["--topic", "t"], &lines).code, 0);
    let out = printed(
        &broker,
        "consume",
        &["--topic", "t", "--from-beginning", "--timeout-ms", "2000", "--max-messages", "20000"],
    );
    assert!(out == lines, "{} bytes of {}", out.len(), lines.len());
    let long = "y".repeat(2_000_000);
    let ended = run_with(&broker, "produce", &["--topic", "t"], &long);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("MESSAGE_TOO_LARGE"), "{}", ended.err);
}

/// Puts each value into the topic `t` in a transaction of its own, which is committed or not.
fn transactions(broker: &Broker, values: &[(&str, bool)]) {
    let bootstrap = broker.bootstrap();
    let mut config = ClientConfig::new();
    let producer: BaseProducer =
        config.set("bootstrap.servers", &bootstrap).set("transactional.id", "commands").create().expect("a producer");
    producer.init_transactions(LIMIT).expect("a producer id");
    for (value, commits) in values {
        producer.begin_transaction().expect("begun");
        producer.send(BaseRecord::<(), str>::to("t").payload(value).partition(0)).map_err(|(e, _)| e).expect("queued");
        // What is aborted is in the log all the same.
        producer.flush(LIMIT).expect("produced");
        if *commits { producer.commit_transaction(LIMIT) } else { producer.abort_transaction(LIMIT) }.expect("ended");
    }
}

#[test]
fn lines_are_refused_one_by_one() {
    let broker = Broker::start();
    printed(&broker, "topics", &["--create", "--topic", "small", "--config", "max.message.bytes=1000"]);
    let lines: String = (0..100).map(|n| format!("{n:050}\n")).collect();
    let ended = run_with(&broker, "produce", &["--topic", "small"], &lines);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "what is too large together goes in parts");
    let out = printed(&broker, "consume", &["--topic", "small", "--from-beginning", "--max-messages", "100"]);
    assert!(out == lines);
    let ended = run_with(&broker, "produce", &["--topic", "small"], &format!("a\n{}\nb\n", "x".repeat(2000)));
    assert_eq!(ended.code, 1);
    assert_eq!(broker.client().offset_at("small", 0, LATEST), 101, "the line before is there");
}

#[test]
fn a_restart_of_the_broker_is_waited_for() {
    let mut broker = Broker::start();
    let port = broker.port();
    printed(&broker, "topics", &["--create", "--topic", "t"]);
    let reader = member(&broker, "t", "g");
    let bootstrap = broker.bootstrap();
    let line = ["produce", "--bootstrap-server", &bootstrap, "--topic", "t"];
    let mut producer = spawn::spawn(command(&line)).expect("the command starts");
    let mut input = producer.stdin.take().expect("piped");
    let committed = |broker: &Broker| broker.client().committed_offset("g", "t", 0);
    for n in 0..3 {
        input.write_all(format!("{n}\n").as_bytes()).expect("the command reads");
        wait_until("the record is read", LIMIT, || committed(&broker) == n + 1);
        broker.kill();
        // A line that comes while nobody is there.
        if n == 2 {
            input.write_all(b"3\n").expect("the command reads");
        }
        broker.restart_with(Options::new().data_dir(broker.data_dir()).port(port));
    }
    wait_until("the last record is read", LIMIT, || committed(&broker) == 4);
    drop(input);
    assert_eq!(finish(producer).code, 0);
    spawn::signal(&reader, libc::SIGTERM);
    let ended = finish(reader);
    assert_eq!((ended.code, ended.out.as_str()), (0, "0\n1\n2\n3\n"), "{}", ended.err);
}

#[test]
fn only_what_was_printed_is_committed() {
    let broker = Broker::start();
    run_with(&broker, "produce", &["--topic", "t"], &"line\n".repeat(500));
    let group = ["--topic", "t", "--from-beginning", "--group"];
    assert_eq!(
        printed(&broker, "consume", &[&group[..], &["few", "--max-messages", "7"]].concat()),
        "line\n".repeat(7)
    );
    assert_eq!(broker.client().committed_offset("few", "t", 0), 7);
    let bootstrap = broker.bootstrap();
    let line = [&["consume", "--bootstrap-server", &bootstrap], &group[..], &["full"]].concat();
    let mut command = command(&line);
    command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it"));
    let mut child = spawn::spawn(command).expect("the command starts");
    let status = spawn::wait(&mut child, LIMIT).expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert_eq!(broker.client().committed_offset("full", "t", 0), -1);
}

#[test]
fn only_what_is_committed_is_read() {
    let broker = Broker::start();
    transactions(&broker, &[("one", true), ("two", false), ("three", true)]);
    let read = |level: &str| {
        printed(
            &broker,
            "consume",
            &["--topic", "t", "--from-beginning", "--timeout-ms", "1000", "--isolation-level", level],
        )
    };
    assert_eq!(read("read_committed"), "one\nthree\n");
    assert_eq!(read("read_uncommitted"), "one\ntwo\nthree\n");
}

/// A consumer that runs until it is told to stop.
fn member(broker: &Broker, topic: &str, group: &str) -> Child {
    let bootstrap = broker.bootstrap();
    let line = ["consume", "--bootstrap-server", &bootstrap, "--topic", topic, "--group", group, "--from-beginning"];
    let mut child = spawn::spawn(command(&line)).expect("the command starts");
    drop(child.stdin.take());
    child
}

#[test]
fn two_members_share_resume_and_are_described() {
    let broker = Broker::start();
    let (topic, group) = (unique("shared"), unique("group"));
    printed(&broker, "topics", &["--create", "--topic", &topic, "--partitions", "4"]);
    let members = [member(&broker, &topic, &group), member(&broker, &topic, &group)];
    let described = |more: &[&str]| run(&broker, "groups", &[&["--describe", "--group", &group], more].concat());
    wait_until("each member has two partitions", LIMIT, || {
        let described: serde_json::Value = serde_json::from_str(&described(&["--json"]).out).unwrap_or_default();
        let shares: Vec<usize> = described[0]["members"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|member| member["assignment"].as_array().map_or(0, Vec::len))
            .collect();
        shares == [2, 2]
    });
    for partition in 0..4 {
        let number = partition.to_string();
        run_with(
            &broker,
            "produce",
            &["--topic", &topic, "--partition", &number],
            &format!("{partition}a\n{partition}b\n"),
        );
    }
    let committed =
        |broker: &Broker| (0..4).map(|p| broker.client().committed_offset(&group, &topic, p)).collect::<Vec<_>>();
    wait_until("all is committed", LIMIT, || committed(&broker) == [2; 4]);
    let rows = described(&[]).out;
    assert_eq!(rows.lines().filter(|line| line.contains(&topic)).count(), 4, "{rows}");
    let state = described(&["--state"]).out;
    assert!(state.contains("uniform") && state.contains("Stable") && state.trim_end().ends_with('2'), "{state}");
    let reset = ["--reset-offsets", "--group", &group, "--all-topics", "--to-earliest", "--execute"];
    refused(&broker, "groups", &reset, "but the current state is Stable");
    refused(&broker, "groups", &["--delete", "--group", &group], "NON_EMPTY_GROUP");
    let mut seen = Vec::new();
    for child in members {
        spawn::signal(&child, libc::SIGINT);
        let ended = finish(child);
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert_eq!(ended.out.lines().count(), 4, "two partitions each: {}", ended.out);
        seen.extend(ended.out.lines().map(str::to_owned).collect::<Vec<_>>());
    }
    seen.sort();
    assert_eq!(seen, ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"]);

    let listed = printed(&broker, "groups", &["--list", "--state"]);
    assert!(listed.contains("Empty"), "they have left: {listed}");
    let shift =
        ["--reset-offsets", "--group", &group, "--topic", &format!("{topic}:0,1"), "--shift-by", "-1", "--execute"];
    let rows = printed(&broker, "groups", &shift);
    assert_eq!(rows.lines().filter(|line| line.ends_with(" 1")).count(), 2, "{rows}");
    assert_eq!(committed(&broker), [1, 1, 2, 2]);
    let resumed = ["--topic", &topic, "--group", &group, "--max-messages", "2"];
    let mut lines: Vec<_> = printed(&broker, "consume", &resumed).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["0b", "1b"]);
    let exported =
        printed(&broker, "groups", &["--reset-offsets", "--group", &group, "--all-topics", "--to-latest", "--export"]);
    assert_eq!(exported.lines().count(), 4, "{exported}");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), exported.replace(",2\n", ",0\n")).expect("written");
    let path = file.path().display().to_string();
    printed(&broker, "groups", &["--reset-offsets", "--group", &group, "--from-file", &path, "--execute"]);
    assert_eq!(committed(&broker), [0; 4]);
    printed(&broker, "groups", &["--delete-offsets", "--group", &group, "--topic", &format!("{topic}:3")]);
    assert_eq!(committed(&broker), [0, 0, 0, -1]);
    let deleted = printed(&broker, "groups", &["--delete", "--group", &group]);
    assert_eq!(deleted, format!("Deletion of requested consumer groups ('{group}') was successful.\n"));
    refused(&broker, "groups", &["--describe", "--group", &group], "does not exist");
}

#[test]
fn configurations_are_altered_and_described() {
    let broker = Broker::start();
    printed(&broker, "topics", &["--create", "--topic", "t"]);
    let alter = ["--alter", "--entity-type", "topics", "--entity-name", "t", "--add-config"];
    let done =
        printed(&broker, "configs", &[&alter[..], &["retention.ms=5000,cleanup.policy=[compact,delete]"]].concat());
    assert_eq!(done, "Completed updating config for topic t.\n");
    let described = printed(&broker, "configs", &["--describe", "--topic", "t"]);
    let lines = "Dynamic configs for topic t are:\n  \
                 cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, \
                 DEFAULT_CONFIG:log.cleanup.policy=delete}\n  \
                 retention.ms=5000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=5000}\n";
    assert_eq!(described, lines);
    refused(&broker, "configs", &[&alter[..], &["retention.ms=soon"]].concat(), "retention.ms");
    printed(&broker, "configs", &["--alter", "--topic", "t", "--delete-config", "retention.ms,cleanup.policy"]);
    assert_eq!(printed(&broker, "configs", &["--describe", "--topic", "t"]), "Dynamic configs for topic t are:\n");
    printed(&broker, "configs", &["--alter", "--broker", "1", "--add-config", "log.cleaner.threads=2"]);
    assert!(printed(&broker, "configs", &["--describe", "--broker", "1"]).contains("log.cleaner.threads=2"));
    refused(&broker, "configs", &["--describe", "--entity-type", "users"], "not served");
}

#[test]
fn offsets_versions_ids_and_health() {
    let broker = Broker::start();
    run_with(&broker, "produce", &["--topic", "t", "--partition", "0"], "a\nb\n");
    assert_eq!(printed(&broker, "get-offsets", &["--topic", "t"]), "t:0:2\n");
    assert_eq!(printed(&broker, "get-offsets", &["--topic", "t", "--time", "earliest"]), "t:0:0\n");
    assert!(printed(&broker, "api-versions", &[]).contains("\tProduce(0): 0 to 13 [usable: 13],\n"));
    let id = printed(&broker, "cluster", &["cluster-id"]);
    assert_eq!(id.trim().strip_prefix("Cluster ID: ").map(str::len), Some(22), "{id}");
    assert!(printed(&broker, "health", &[]).starts_with("healthy: 1 broker(s)"));
    refused(&broker, "health", &["--no-such-option"], "no-such-option");
    let nobody = finish(spawn::spawn(command(&["health", "--bootstrap-server", "127.0.0.1:1"])).expect("started"));
    assert_eq!(nobody.code, 1);
    assert!(nobody.err.contains("127.0.0.1:1: Connection refused"), "{}", nobody.err);
}

#[test]
fn formatting_gives_the_cluster_id_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let storage = |arguments: &[&str], cluster_id: Option<&str>| {
        let mut command = command(&[&["storage"], arguments].concat());
        command.env("KAFKA_LOG_DIRS", directory.path()).env_remove("CLUSTER_ID");
        if let Some(id) = cluster_id {
            command.env("CLUSTER_ID", id);
        }
        finish(spawn::spawn(command).expect("started"))
    };
    let id = storage(&["random-uuid"], None).out.trim().to_owned();
    assert_eq!(id.len(), 22);
    assert_eq!(storage(&["info"], None).code, 1);
    // In an image the environment says it.
    assert_eq!(storage(&["format", "-t", &id, "-c", "/no/such/file"], Some("4L6g3nShT-eMCtK--X86sw")).code, 0);
    assert!(storage(&["info"], None).out.contains("cluster.id=4L6g3nShT-eMCtK--X86sw"));
    let again = storage(&["format", "-t", &id, "-c", "/no/such/file"], None);
    assert!(again.code == 1 && again.err.contains("is already formatted"), "{}", again.err);
    assert_eq!(storage(&["format", "-t", &id, "-c", "/no/such/file", "--ignore-formatted"], None).code, 0);
    let scram = ["format", "-t", &id, "--add-scram", "SCRAM-SHA-256=[name=a,password=b]"];
    assert!(storage(&scram, None).err.contains("SASL is not served"));
    // Another id in the environment is for fresh directories: this one starts, with its own.
    let broker = compat_tests::broker::Options::new().data_dir(directory.path()).environment("CLUSTER_ID", &id).start();
    assert!(printed(&broker, "cluster", &["cluster-id"]).contains("4L6g3nShT-eMCtK--X86sw"));
}

/// The same lines through our command and Kafka's tool, against the same broker: the same words, and a failure for a failure.
#[test]
fn the_words_are_those_of_kafkas_tools() {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(why) => {
            needs!(false, "{why}");
            return;
        }
    };
    let broker = Broker::start();
    printed(&broker, "topics", &["--create", "--topic", "a", "--partitions", "2", "--config", "retention.ms=99999999"]);
    printed(&broker, "topics", &["--create", "--topic", "b"]);
    run_with(&broker, "produce", &["--topic", "a", "--partition", "0", "--property", "parse.key=true"], "k\tv\nk\tw\n");
    printed(&broker, "configs", &["--alter", "--broker", "1", "--add-config", "log.cleaner.threads=2"]);
    for (ours, kafkas, arguments) in [
        ("topics", "kafka-topics", &["--list"][..]),
        ("topics", "kafka-topics", &["--describe"]),
        ("topics", "kafka-topics", &["--describe", "--topic", "a"]),
        ("topics", "kafka-topics", &["--describe", "--under-replicated-partitions"]),
        ("topics", "kafka-topics", &["--describe", "--topics-with-overrides"]),
        ("configs", "kafka-configs", &["--describe", "--entity-type", "topics", "--entity-name", "a"]),
        ("configs", "kafka-configs", &["--describe", "--entity-type", "topics", "--entity-name", "a", "--all"]),
        ("configs", "kafka-configs", &["--describe", "--entity-type", "brokers", "--entity-name", "1"]),
        ("configs", "kafka-configs", &["--describe", "--broker-defaults"]),
        ("get-offsets", "kafka-get-offsets", &["--topic", "a"]),
        ("get-offsets", "kafka-get-offsets", &["--time", "-2"]),
        ("get-offsets", "kafka-get-offsets", &["--topic", "a", "--time", "99999999999999"]),
        ("api-versions", "kafka-broker-api-versions", &[]),
        ("cluster", "kafka-cluster", &["cluster-id"]),
        (
            "consume",
            "kafka-console-consumer",
            &[
                "--topic",
                "a",
                "--partition",
                "0",
                "--offset",
                "0",
                "--max-messages",
                "2",
                "--formatter-property",
                "print.key=true",
                "--formatter-property",
                "print.timestamp=true",
                "--formatter-property",
                "print.offset=true",
                "--formatter-property",
                "print.partition=true",
            ],
        ),
    ] {
        let bootstrap = broker.bootstrap();
        // kafka-cluster takes its command first.
        let words: Vec<&str> = match arguments {
            [first, rest @ ..] if !first.starts_with('-') => {
                [&[*first], rest, &["--bootstrap-server", &bootstrap]].concat()
            }
            all => [&["--bootstrap-server", &bootstrap], all].concat(),
        };
        let theirs = tools.run(kafkas, &words, "");
        let text = |text: &str| text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
        let mine = run(&broker, ours, arguments);
        if ours == "api-versions" {
            // Kafka's tool also names what the broker does not serve.
            let served = |out: &str| {
                let lines = out.lines().filter(|line| line.contains("usable"));
                lines.map(|line| line.trim_end_matches(',').to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(served(&mine.out), served(&theirs.out));
            continue;
        }
        assert_eq!(text(&mine.out), text(&theirs.out), "{ours} {arguments:?}: {}", mine.err);
        assert_eq!(mine.code, theirs.code, "{ours} {arguments:?}");
    }
    for (ours, kafkas, arguments) in [
        ("topics", "kafka-topics", &["--create", "--topic", "a"][..]),
        ("topics", "kafka-topics", &["--create", "--topic", "c", "--partitions", "-1"]),
        ("topics", "kafka-topics", &["--describe", "--topic", "nope"]),
        ("topics", "kafka-topics", &["--alter", "--topic", "a", "--partitions", "1"]),
        ("topics", "kafka-topics", &["--list", "--partitions", "3"]),
        ("configs", "kafka-configs", &["--alter", "--topic", "a", "--delete-config", "no.such.key"]),
        ("configs", "kafka-configs", &["--alter", "--topic", "a", "--broker", "1", "--add-config", "a=b"]),
        (
            "consume",
            "kafka-console-consumer",
            &["--topic", "a", "--partition", "0", "--offset", "-1", "--timeout-ms", "100"],
        ),
        ("get-offsets", "kafka-get-offsets", &["--topic", "nope"]),
    ] {
        let bootstrap = broker.bootstrap();
        let words = [&["--bootstrap-server", &bootstrap], arguments].concat();
        let theirs = tools.run(kafkas, &words, "");
        let mine = run(&broker, ours, arguments);
        assert_eq!((mine.code, theirs.code), (1, 1), "{ours} {arguments:?}: {} / {}", mine.err, theirs.err);
    }
}

#[test]
fn dumps_say_what_kafkas_tool_says() {
    let tools = match tools() {
        Ok(tools) => tools,
        Err(why) => {
            needs!(false, "{why}");
            return;
        }
    };
    let mut broker = Broker::start();
    let produce =
        ["--topic", "t", "--partition", "0", "--property", "parse.key=true", "--property", "parse.headers=true"];
    run_with(&broker, "produce", &produce, "h:1,i:2\tk\tv\n\tk2\tw\n");
    run_with(&broker, "produce", &["--topic", "t", "--compression-codec", "zstd"], &"line\n".repeat(3));
    transactions(&broker, &[("x", true), ("y", false)]);
    assert!(broker.terminate().status.success());
    let directory = broker.partition_dir("t", 0);
    let mut compared = 0;
    for entry in std::fs::read_dir(&directory).expect("there").flatten() {
        let path = entry.path().display().to_string();
        if ![".log", ".index", ".timeindex", ".txnindex", ".snapshot"].iter().any(|end| path.ends_with(end)) {
            continue;
        }
        let arguments = ["--files", &path, "--print-data-log"];
        let kafkas = tools.run("kafka-dump-log", &arguments, "").out;
        let ours = finish(spawn::spawn(command(&[&["dump-log"], &arguments[..]].concat())).expect("started"));
        assert_eq!(ours.code, 0, "{}", ours.err);
        assert_eq!(ours.out, kafkas, "{path}");
        compared += 1;
    }
    assert!(compared >= 4, "{compared} files in {}", directory.display());
}
