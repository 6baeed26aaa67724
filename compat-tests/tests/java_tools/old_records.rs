//! Retention and compaction through Kafka's tools, and Kafka's own test of a compacting broker.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::Options;
use compat_tests::calls::{EARLIEST, code};
use compat_tests::kafka_tools::{self, jars};
use compat_tests::{needs, now_ms, spawn, wait_until};

use crate::{Shell, assert_has};

const LIMIT: Duration = Duration::from_secs(60);
const HOUR_MS: i64 = 3_600_000;

macro_rules! needs_tools {
    () => {
        let tools = kafka_tools::tools();
        needs!(tools.is_ok(), "{}", tools.err().unwrap_or_default());
    };
}

fn quick() -> Options {
    Options::new().set("log.cleaner.backoff.ms", 50).set("log.initial.task.delay.ms", 0)
}

impl Shell {
    /// What kafka-get-offsets says of partition 0.
    fn offset(&self, topic: &str, time: &str) -> i64 {
        let text = self.run("kafka-get-offsets", &["--topic", topic, "--time", time]);
        let number = text.trim().strip_prefix(&format!("{topic}:0:")).and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("an offset of {topic} at {time}: {text}"))
    }
}

#[test] // S10 S36
fn retention_is_altered_and_records_are_deleted() {
    needs_tools!();
    // The check interval is Kafka's five minutes: what is altered acts at once.
    let shell = Shell { broker: Options::new().start() };
    let mut client = shell.broker.client();
    let small = [("internal.segment.bytes", "2000")];
    assert_eq!(client.create_topic("aged", 1, &small).expect("answered"), code::NONE);
    let start = now_ms() - HOUR_MS;
    for n in 0..40 {
        let at = if n < 20 { start + n } else { start + HOUR_MS - 60_000 + n };
        client.must_produce("aged", 0, &Batch::of_values(["x".repeat(500)]).at(at));
    }
    let of_topic = ["--alter", "--entity-type", "topics", "--entity-name", "aged"];
    let alter = [&of_topic[..], &["--add-config", "retention.ms=600000"]].concat();
    assert_has(&shell.run("kafka-configs", &alter), "Completed updating config for topic aged.");
    wait_until("old segments have gone", LIMIT, || client.offset_at("aged", 0, EARLIEST) > 0);
    let first = shell.offset("aged", "-2");
    assert!((15..=20).contains(&first), "whole segments of old records have gone: {first}");
    assert_eq!((shell.offset("aged", "-1"), shell.offset("aged", "-3")), (40, 39));
    assert_eq!(shell.offset("aged", &start.to_string()), first, "the first record that is left");
    assert_eq!(shell.offset("aged", &(start + HOUR_MS - 60_000 + 30).to_string()), 30);

    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut delete = |offset: i64| {
        let rows =
            serde_json::json!({"version": 1, "partitions": [{"topic": "aged", "partition": 0, "offset": offset}]});
        file.as_file_mut().set_len(0).expect("emptied");
        std::io::Seek::rewind(&mut file).expect("rewound");
        write!(file, "{rows}").expect("written");
        shell.run("kafka-delete-records", &["--offset-json-file", file.path().to_str().expect("UTF-8")])
    };
    assert_has(&delete(33), "partition: aged-0\tlow_watermark: 33");
    assert_eq!((shell.offset("aged", "-2"), shell.offset("aged", &start.to_string())), (33, 33));
    assert_has(&delete(-1), "partition: aged-0\tlow_watermark: 40");
    assert_eq!((shell.offset("aged", "-2"), shell.offset("aged", "-1")), (40, 40));
}

#[test] // S9 S10
fn offsets_by_time_of_a_cleaned_topic() {
    needs_tools!();
    let shell = Shell { broker: quick().start() };
    let mut client = shell.broker.client();
    let configs =
        [("cleanup.policy", "compact"), ("internal.segment.bytes", "5000"), ("min.cleanable.dirty.ratio", "0.01")];
    assert_eq!(client.create_topic("cleaned", 1, &configs).expect("answered"), code::NONE);
    let start = now_ms() - HOUR_MS;
    for n in 0..60 {
        let key = if n % 20 == 7 { format!("stays-{n}") } else { format!("key-{}", n % 3) };
        client.must_produce("cleaned", 0, &Batch::of_values(["x".repeat(500)]).keyed(key).at(start + n));
    }
    wait_until("it is cleaned", LIMIT, || client.read_all("cleaned", 0).len() < 20);
    let left = client.read_all("cleaned", 0);
    for at in [0, 7, 8, 27, 28, 40, 59] {
        let wanted = left.iter().find(|record| record.timestamp >= start + at).expect("a later one").offset;
        assert_eq!(shell.offset("cleaned", &(start + at).to_string()), wanted, "the first at T+{at}");
    }
    let ends = ["-1", "-2", "-3"].map(|time| shell.offset("cleaned", time));
    assert_eq!(ends, [60, 0, 59]);
}

/// Kafka's system test of log compaction: what is consumed of the topics must be the last of what was produced.
#[test] // S9 S33
fn kafkas_log_compaction_tester() {
    let path = jars::class_path(&[&jars::COMPACTION_TESTER]);
    needs!(path.is_ok(), "{}", path.err().unwrap_or_default());
    let options = quick().set("log.segment.bytes", 1_048_576).set("log.cleaner.min.cleanable.ratio", 0.1);
    let broker = options.start();
    let mut command = std::process::Command::new("java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]).arg(path.expect("checked before"));
    command.args(["kafka.tools.LogCompactionTester", "--bootstrap-server", &broker.bootstrap()]);
    command.args(["--messages", "80000", "--duplicates", "10", "--percent-deletes", "10", "--sleep", "1"]);
    let output = tempfile::NamedTempFile::new().expect("a temporary file");
    let file = || Stdio::from(output.reopen().expect("opened"));
    command.stdin(Stdio::null()).stdout(file()).stderr(Stdio::null());
    let mut child = spawn::spawn(command).expect("java starts");
    let status = spawn::wait(&mut child, 3 * LIMIT).expect("it ends in time");
    let text = std::fs::read_to_string(output.path()).expect("read");
    assert!(status.success(), "{text}");
    assert_has(&text, "values, 0 mismatches.");
    assert_has(&text, "Data verification is completed");
    // It must have had something to verify.
    assert!(broker.log().iter().any(|line| line.contains("log cleaned")), "the topic was cleaned meanwhile");
}
