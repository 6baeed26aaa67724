//! Debian's kcat (librdkafka 2.0.2, which predates much of today's protocol) as a subprocess.

#![allow(clippy::disallowed_methods)]

use std::io::Write;
use std::process::{Command, Stdio};

use compat_tests::batch::Batch;
use compat_tests::broker::Broker;
use compat_tests::codec::Codec;
use compat_tests::skip::has_program;
use compat_tests::{needs, now_ms, unique};

/// Runs kcat and gives its standard output.
#[track_caller]
fn kcat(broker: &Broker, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("timeout")
        .args(["30", "kcat", "-b", &broker.bootstrap(), "-X", "topic.metadata.refresh.fast.interval.ms=20"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("kcat takes its input");
    let output = child.wait_with_output().expect("kcat ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "kcat {arguments:?} ended with {}: {errors}", output.status);
    assert!(!errors.contains("ERROR"), "kcat {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("kcat prints text")
}

macro_rules! needs_kcat {
    () => {
        needs!(has_program("kcat", "-V"), "kcat is not installed");
    };
}

#[test]
fn lists_the_cluster() {
    needs_kcat!();
    let broker = Broker::any();
    let topic = unique("kcat-list");
    broker.client().create_topic(&topic, 3, &[]).expect("CreateTopics is answered");
    let text = kcat(&broker, &["-L"], "");
    assert!(text.contains("1 brokers:"), "{text}");
    assert!(text.contains("(controller)"), "{text}");
    assert!(text.contains(&format!("topic \"{topic}\" with 3 partitions:")), "{text}");

    let json: serde_json::Value = serde_json::from_str(&kcat(&broker, &["-L", "-J", "-t", &topic], "")).expect("JSON");
    assert_eq!(json["brokers"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["controllerid"], json["brokers"][0]["id"]);
    assert_eq!(json["topics"][0]["topic"], topic.as_str());
    let partitions = json["topics"][0]["partitions"].as_array().expect("partitions");
    let numbers: Vec<_> = partitions.iter().map(|partition| partition["partition"].as_i64()).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(2)]); // S4
    assert!(partitions.iter().all(|partition| partition["leader"] == json["controllerid"]), "{json}");
}

#[test]
fn produces_with_every_codec_and_reads_back() {
    needs_kcat!();
    let broker = Broker::any();
    let lines: String = (0..500).map(|n| format!("line number {n}\n")).collect();
    for codec in Codec::ALL {
        let topic = unique("kcat-codec");
        broker.client().create_topic(&topic, 1, &[]).expect("CreateTopics is answered");
        kcat(&broker, &["-P", "-t", &topic, "-z", codec.name(), "-X", "linger.ms=50"], &lines);
        assert_eq!(kcat(&broker, &["-C", "-t", &topic, "-o", "beginning", "-e", "-q"], ""), lines, "{codec:?}");
        let records = broker.client().fetch(&topic, 0, 0).expect("fetch is answered").records.expect("records");
        assert_eq!(i16::from_be_bytes([records[21], records[22]]) & 7, codec as i16, "{codec:?} in the log");
    }
}

#[test]
fn creates_a_topic_by_producing() {
    needs_kcat!();
    let broker = Broker::any();
    let topic = unique("kcat-auto");
    kcat(&broker, &["-P", "-t", &topic], "hello\n");
    assert_eq!(kcat(&broker, &["-C", "-t", &topic, "-e", "-q"], ""), "hello\n");
}

#[test]
fn carries_keys_headers_and_nulls() {
    needs_kcat!();
    let broker = Broker::any();
    let topic = unique("kcat-keys");
    broker.client().create_topic(&topic, 1, &[]).expect("CreateTopics is answered");
    let arguments = ["-P", "-t", &topic, "-K", ":", "-Z", "-H", "origin=kcat", "-H", "second=2"];
    kcat(&broker, &arguments, "key:value\nonly-key:\n");
    let format = "%k|%s|%S|%h|%p|%o\n";
    let text = kcat(&broker, &["-C", "-t", &topic, "-e", "-q", "-f", format], "");
    assert_eq!(text, "key|value|5|origin=kcat,second=2|0|0\nonly-key||-1|origin=kcat,second=2|0|1\n");
}

#[test]
fn starts_where_it_is_told() {
    needs_kcat!();
    let broker = Broker::any();
    let topic = unique("kcat-offsets");
    let mut client = broker.client();
    client.create_topic(&topic, 1, &[]).expect("CreateTopics is answered");
    let start = now_ms() - 1_000_000;
    for n in 0..20i64 {
        client.must_produce(&topic, 0, &Batch::of_values([format!("{n}")]).at(start + n * 1000));
    }
    let read = |from: &str| {
        let text = kcat(&broker, &["-C", "-t", &topic, "-p", "0", "-o", from, "-e", "-q"], "");
        text.lines().map(|line| line.parse::<i64>().expect("a number")).collect::<Vec<_>>()
    };
    let upwards = |from: i64| (from..20).collect::<Vec<_>>();
    assert_eq!(read("beginning"), upwards(0));
    assert_eq!(read("end"), upwards(20));
    assert_eq!(read("7"), upwards(7));
    assert_eq!(read("-5"), upwards(15));
    // S10
    assert_eq!(read(&format!("s@{}", start + 9000)), upwards(9));
    assert_eq!(read(&format!("s@{}", start + 9001)), upwards(10));

    let query = |timestamp: i64| kcat(&broker, &["-Q", "-t", &format!("{topic}:0:{timestamp}")], "");
    assert_eq!(query(-2), format!("{topic} [0] offset 0\n"));
    assert_eq!(query(-1), format!("{topic} [0] offset 20\n"));
    assert_eq!(query(start + 3500), format!("{topic} [0] offset 4\n"));
}

#[test]
fn idempotent_producer() {
    needs_kcat!();
    let broker = Broker::any();
    let topic = unique("kcat-idempotent");
    let lines: String = (0..1000).map(|n| format!("{n}\n")).collect();
    broker.client().create_topic(&topic, 1, &[]).expect("CreateTopics is answered");
    kcat(&broker, &["-P", "-t", &topic, "-X", "enable.idempotence=true"], &lines);
    assert_eq!(kcat(&broker, &["-C", "-t", &topic, "-e", "-q"], ""), lines);
}
