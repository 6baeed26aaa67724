//! `kafka-get-offsets` with every time and every choice of partitions; `kafka-delete-records` and what it refuses.

use compat_tests::{kafka_tools, needs, now_ms, unique};

use crate::{assert_has, file_with, path_of};

const TOOL: &str = "kafka-get-offsets";

#[test]
fn offsets_at_every_time() {
    let shell = shell!();
    let start = now_ms() - 60_000;
    let topic = shell.filled("tools-times", start);
    let both = |first: i32, second: i32| format!("{topic}:0:{first}\n{topic}:1:{second}\n");
    let after_third = (start + 2500).to_string();
    let after_fifth = (start + 4500).to_string();
    for (time, expected) in [
        ("-1", both(10, 5)),
        ("latest", both(10, 5)),
        ("-2", both(0, 0)),
        ("earliest", both(0, 0)),
        ("-3", both(9, 4)),
        ("max-timestamp", both(9, 4)),
        ("-4", both(0, 0)),
        ("earliest-local", both(0, 0)),
        ("-5", String::new()),
        ("latest-tiered", String::new()),
        ("1", both(0, 0)),
        (&*after_third, both(3, 3)),
        (&*after_fifth, format!("{topic}:0:5\n")),
        ("99999999999999", String::new()),
    ] {
        shell.prints(TOOL, &["--topic", &topic, "--time", time], &expected);
    }
    shell.prints(TOOL, &["--topic", &topic], &both(10, 5));
    assert_has(&shell.fails(TOOL, &["--topic", &topic, "--time", "soon"]), "Malformed time argument soon");
}

#[test]
fn offsets_of_chosen_partitions() {
    let shell = shell!();
    let topic = shell.filled("tools-chosen", now_ms());
    shell.committed(&topic);
    let first = format!("{topic}:0:10\n");
    let second = format!("{topic}:1:5\n");
    shell.prints(TOOL, &["--topic", &topic, "--partitions", "1"], &second);
    for (chosen, expected) in [
        (format!("{topic}:0"), &first),
        (format!("{topic}:1-"), &second),
        (format!("{topic}:-1"), &first),
        (format!("nothing,{topic}:0-2"), &format!("{first}{second}")),
        (format!("{}.*:0", &topic[..topic.len() - 1]), &first),
    ] {
        shell.prints(TOOL, &["--topic-partitions", &chosen], expected);
    }
    let all = shell.run(TOOL, &[]);
    assert_has(&all, &format!("{first}{second}"));
    assert_eq!(all.lines().filter(|line| line.starts_with("__consumer_offsets:")).count(), 50);
    let own = shell.run(TOOL, &["--exclude-internal-topics"]);
    assert_has(&own, &format!("{first}{second}"));
    assert!(!own.contains("__consumer_offsets"), "{own}");
    let none = shell.fails(TOOL, &["--topic", &unique("tools-missing")]);
    assert_has(&none, "Could not match any topic-partitions with the specified filters");
}

#[test]
fn records_are_deleted_or_not() {
    let shell = shell!();
    let topic = shell.filled("tools-cut", now_ms());
    let delete = |first: i64, second: i64| {
        let rows = [(0, first), (1, second)]
            .map(|(partition, offset)| serde_json::json!({"topic": topic, "partition": partition, "offset": offset}));
        let file = file_with(serde_json::json!({"version": 1, "partitions": rows}));
        shell.run("kafka-delete-records", &["--offset-json-file", path_of(&file)])
    };
    let deleted = delete(2, 99);
    assert_has(&deleted, "Executing records delete operation\nRecords delete operation completed:\n");
    assert_has(&deleted, &format!("partition: {topic}-0\tlow_watermark: 2\n"));
    let outside = "error: org.apache.kafka.common.errors.OffsetOutOfRangeException: The requested offset is not within the \
                   range of offsets maintained by the server.";
    assert_has(&deleted, &format!("partition: {topic}-1\t{outside}\n"));
    let deleted = delete(1, -1);
    assert_has(&deleted, &format!("partition: {topic}-0\tlow_watermark: 2\n"));
    assert_has(&deleted, &format!("partition: {topic}-1\tlow_watermark: 5\n"));
    shell.prints(TOOL, &["--topic", &topic, "--time", "earliest"], &format!("{topic}:0:2\n{topic}:1:5\n"));

    let twice = serde_json::json!({"topic": topic, "partition": 0, "offset": 3});
    let file = file_with(serde_json::json!({"version": 1, "partitions": [twice, twice]}));
    let refused = shell.fails("kafka-delete-records", &["--offset-json-file", path_of(&file)]);
    assert_has(&refused, "Offset json file contains duplicate topic partitions");
}
