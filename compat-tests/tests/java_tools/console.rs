//! What the console producer reads and what the console consumer prints of it.

use compat_tests::{kafka_tools, needs, unique};

use crate::{Shell, assert_has};

const CONSUMER: &str = "kafka-console-consumer";
const PATIENCE: [&str; 2] = ["--timeout-ms", "20000"];
/// With no more to come, the consumer waits this long for nothing.
const BRIEFLY: [&str; 2] = ["--timeout-ms", "1000"];

/// `flag` before each of the properties.
fn each<'a>(flag: &'a str, properties: &[&'a str]) -> Vec<&'a str> {
    properties.iter().flat_map(|property| [flag, property]).collect()
}

impl Shell {
    /// Writes lines with keys, headers and codecs of all sorts; offset, headers, key and value are those of `PRINTED`.
    fn spoken(&self, name: &str) -> String {
        let topic = unique(name);
        self.run("kafka-topics", &["--create", "--topic", &topic]);
        let say = |properties: &[&str], how: &[&str], lines: &str| {
            let to_topic = [&["--topic", &topic], how, &each("--reader-property", properties)].concat();
            self.run_with("kafka-console-producer", &to_topic, lines);
        };
        let headed = ["parse.key=true", "key.separator=:", "parse.headers=true"];
        say(&headed, &["--command-property", "acks=all"], "h1:v1,h2:v2\tkey1:value 1\nh1:\tkey2:\n");
        let other = ["parse.key=true", "parse.headers=true", "headers.delimiter=|", "headers.separator=;"];
        let more = ["headers.key.separator==", "key.separator=+", "null.marker=NIL"];
        say(&[&other[..], &more].concat(), &[], "h1=v1;h2=NIL|key3+NIL\nNIL|NIL+v4\n");
        say(&["parse.key=true", "ignore.error=true"], &[], "no separator\n");
        say(&[], &["--compression-codec", "gzip", "--request-required-acks", "1", "--sync"], "one\ntwo\n");
        say(&[], &["--request-required-acks", "0"], "zero\n");
        topic
    }

    /// Prints what there is in a topic of one partition, from an offset on.
    fn read(&self, topic: &str, from: &str, how: &[&str]) -> String {
        self.run(CONSUMER, &[&["--topic", topic, "--partition", "0", "--offset", from], how].concat())
    }
}

const PRINTED: [&str; 8] = [
    "h1:v1,h2:v2\tkey1\tvalue 1",
    "h1:\tkey2\t",
    "h1:v1,h2:null\tkey3\tnull",
    "NO_HEADERS\tnull\tv4",
    "NO_HEADERS\tnull\tno separator",
    "NO_HEADERS\tnull\tone",
    "NO_HEADERS\tnull\ttwo",
    "NO_HEADERS\tnull\tzero",
];

#[test]
fn console_consumer_prints_what_is_asked_for() {
    let shell = shell!();
    let topic = shell.spoken("tools-printed");
    let all = ["print.key=true", "print.offset=true", "print.partition=true", "print.headers=true"];
    let eight = [&["--max-messages", "8"], &PATIENCE[..], &each("--formatter-property", &all)].concat();
    let lines = PRINTED.iter().enumerate();
    let expected: String = lines.map(|(offset, line)| format!("Partition:0\tOffset:{offset}\t{line}\n")).collect();
    assert_eq!(shell.read(&topic, "earliest", &eight), expected);
    // The isolation level makes no difference without transactions.
    let committed = [&eight[..], &["--isolation-level", "read_committed"]].concat();
    assert_eq!(shell.read(&topic, "0", &committed), expected);

    let form = [
        "print.key=true",
        "print.value=false",
        "print.headers=true",
        "print.epoch=true",
        "print.delivery=true",
        "key.separator=|",
        "line.separator=;",
        "headers.separator=+",
        "null.literal=(none)",
    ];
    let three = [&["--max-messages", "3"], &PATIENCE[..], &each("--formatter-property", &form)].concat();
    let expected = "Delivery:NOT_PRESENT|Epoch:NOT_PRESENT|h1:v1+h2:v2|key1;\
                    Delivery:NOT_PRESENT|Epoch:NOT_PRESENT|h1:|key2;\
                    Delivery:NOT_PRESENT|Epoch:NOT_PRESENT|h1:v1+h2:(none)|key3;";
    assert_eq!(shell.read(&topic, "earliest", &three), expected);

    let time = each("--formatter-property", &["print.timestamp=true"]);
    let text = shell.read(&topic, "7", &[&["--max-messages", "1"], &PATIENCE[..], &time].concat());
    let (time, value) = text.trim_end().split_once('\t').expect("time and value");
    let time = time.strip_prefix("CreateTime:").and_then(|time| time.parse::<i64>().ok()).expect("a time");
    assert_eq!(value, "zero");
    assert!((0..60_000).contains(&(compat_tests::now_ms() - time)), "{text}");
}

#[test]
fn console_consumer_starts_and_stops_where_it_is_told() {
    let shell = shell!();
    let topic = shell.spoken("tools-places");
    let counted = |arguments: &[&str]| {
        let output = shell.try_run(CONSUMER, arguments, "");
        assert_eq!(output.code, 0, "{output:?}");
        (output.out.lines().map(str::to_owned).collect::<Vec<_>>(), output.err.trim().to_owned())
    };
    let of_partition = ["--topic", &topic, "--partition", "0"];
    let from = |offset: &str, how: &[&str]| counted(&[&of_partition[..], &["--offset", offset], how].concat());
    let (lines, said) = from("5", &[&["--max-messages", "2"], &PATIENCE[..]].concat());
    assert_eq!((lines, &*said), (vec!["one".to_owned(), "two".to_owned()], "Processed a total of 2 messages"));
    let nothing = (vec![], "Processed a total of 0 messages".to_owned());
    assert_eq!(from("latest", &BRIEFLY), nothing);
    assert_eq!(from("99", &BRIEFLY), nothing, "past the end is the end");
    let strict = [&BRIEFLY[..], &["--command-property", "auto.offset.reset=none"]].concat();
    assert_eq!(from("99", &strict), nothing);
    assert_eq!(counted(&[&["--topic", &topic, "--partition", "7"], &BRIEFLY[..]].concat()), nothing);
    let without = shell.fails(CONSUMER, &["--topic", &topic, "--offset", "3"]);
    assert_has(&without, "The partition is required when offset is specified.");

    // Topics by pattern; nothing printed, everything counted.
    let pattern = format!("{topic}|{topic}-other");
    let all = ["--include", &pattern, "--from-beginning", "--max-messages", "8"];
    let silent = ["--formatter", "org.apache.kafka.tools.consumer.NoOpMessageFormatter"];
    let (lines, said) = counted(&[&all[..], &silent, &PATIENCE].concat());
    assert_eq!((lines.len(), &*said), (0, "Processed a total of 8 messages"));
}

#[test]
fn console_producer_refuses_and_creates() {
    let shell = shell!();
    let topic = unique("tools-created");
    shell.run_with("kafka-console-producer", &["--topic", &topic], "first\n");
    let read = [&["--max-messages", "1"], &PATIENCE[..]].concat();
    assert_eq!(shell.read(&topic, "earliest", &read), "first\n", "the topic came to be by it");

    let keyed = ["--topic", &topic, "--reader-property", "parse.key=true"];
    let output = shell.try_run("kafka-console-producer", &keyed, "nokey\n");
    assert_eq!(output.code, 1);
    assert_has(&output.err, "No key separator found on line number 1: 'nokey'");
    let headed = ["--topic", &topic, "--reader-property", "parse.headers=true"];
    let output = shell.try_run("kafka-console-producer", &headed, "h\tvalue\n");
    assert_eq!(output.code, 1);
    assert_has(&output.err, "No header key separator found in pair 'h' on line number 1");
    assert_eq!(shell.broker.client().offset_at(&topic, 0, -1), 1, "nothing of it was written");
}
