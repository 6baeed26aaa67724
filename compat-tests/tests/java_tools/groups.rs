//! `kafka-consumer-groups`, `kafka-groups`, the console consumer with a group, and the formatters that read
//! `__consumer_offsets` itself.

use std::io::Write;

use compat_tests::batch::Batch;
use compat_tests::groups::Member;
use compat_tests::kafka_tools::{self, Output};
use compat_tests::{needs, now_ms, unique};

use crate::{Shell, assert_has};

/// Rows of a table by the first words of its columns.
pub fn rows(text: &str, header: &str) -> Vec<Vec<String>> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(header));
    assert!(lines.next().is_some(), "no line starts with {header:?} in:\n{text}");
    lines.take_while(|line| !line.trim().is_empty()).map(words).collect()
}

impl Shell {
    pub fn groups(&self, arguments: &[&str]) -> String {
        self.run("kafka-consumer-groups", arguments)
    }

    pub fn try_groups(&self, arguments: &[&str]) -> Output {
        self.try_run("kafka-consumer-groups", arguments, "")
    }

    /// A topic of two partitions with ten records in the first and five in the second, a second apart since `start`.
    pub fn filled(&self, name: &str, start: i64) -> String {
        let topic = unique(name);
        let mut client = self.broker.client();
        client.create_topic(&topic, 2, &[]).expect("answered");
        for (partition, count) in [(0, 10), (1, 5)] {
            for n in 0..count {
                let batch = Batch::of_values([format!("{partition}-{n}")]).at(start + n * 1000);
                client.must_produce(&topic, partition, &batch);
            }
        }
        topic
    }

    /// A group without members that has committed 4 and 2.
    pub fn committed(&self, topic: &str) -> String {
        let group = unique("tools-group");
        let mut client = self.broker.client();
        assert_eq!(client.find_coordinator(&group).expect("answered"), 0);
        for (partition, offset) in [(0, 4), (1, 2)] {
            assert_eq!(client.commit(&group, topic, partition, offset).expect("answered"), 0);
        }
        group
    }

    pub fn offsets(&self, group: &str, topic: &str) -> [i64; 2] {
        let mut client = self.broker.client();
        [0, 1].map(|partition| client.committed_offset(group, topic, partition))
    }
}

/// A member that owns both partitions, as `--describe` shows it.
fn member(shell: &Shell, group: &str, topic: &str) -> (compat_tests::wire::Client, Member) {
    let mut client = shell.broker.client();
    assert_eq!(client.find_coordinator(group).expect("answered"), 0);
    let mut member = Member::new(group, &[topic]).instance("tools-instance");
    member.join_alone(&mut client, topic, 2);
    (client, member)
}

#[test]
fn console_consumer_in_a_group() {
    let shell = shell!();
    let topic = shell.filled("tools-grouped", now_ms());
    let group = unique("tools-console-group");
    let consume = |count: &str| {
        let arguments = ["--topic", &topic, "--group", &group, "--from-beginning", "--max-messages", count];
        shell.run("kafka-console-consumer", &[&arguments[..], &["--timeout-ms", "20000"]].concat())
    };
    let mut seen: Vec<_> = consume("9").lines().map(str::to_owned).collect();
    assert_eq!(seen.len(), 9);
    assert_eq!(shell.offsets(&group, &topic).iter().sum::<i64>(), 9, "what was shown is committed");
    // It resumes there, from the beginning or not.
    seen.extend(consume("6").lines().map(str::to_owned));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 15, "every record once: {seen:?}");
    assert_eq!(shell.offsets(&group, &topic), [10, 5]);
    let state = rows(&shell.groups(&["--describe", "--group", &group, "--state"]), "GROUP");
    assert_eq!(state[0][0], group);
    assert!(state[0].contains(&"Empty".to_owned()), "{state:?}");
}

#[test]
fn consumer_groups_lists() {
    let shell = shell!();
    let topic = shell.filled("tools-listed", now_ms());
    let (empty, stable) = (shell.committed(&topic), unique("tools-stable"));
    let (mut client, member) = member(&shell, &stable, &topic);
    let has = |text: &str, group: &str| text.lines().any(|line| line.split_whitespace().next() == Some(group));
    let listed = shell.groups(&["--list"]);
    assert!(has(&listed, &empty) && has(&listed, &stable), "{listed}");
    let states = shell.groups(&["--list", "--state"]);
    let state_of =
        |group: &str| rows(&states, "GROUP").into_iter().find(|row| row[0] == group).map(|row| row[1].clone());
    assert_eq!((state_of(&empty).as_deref(), state_of(&stable).as_deref()), (Some("Empty"), Some("Stable")));
    let only = shell.groups(&["--list", "--state", "stable"]);
    assert!(has(&only, &stable) && !has(&only, &empty), "{only}");
    let types = shell.groups(&["--list", "--type", "classic"]);
    assert!(has(&types, &stable) && has(&types, &empty), "{types}");
    assert!(!has(&shell.groups(&["--list", "--type", "consumer"]), &stable));

    let listed = shell.run("kafka-groups", &["--list"]);
    let row = rows(&listed, "GROUP").into_iter().find(|row| row[0] == stable).expect("listed");
    assert_eq!(row[1..], ["Classic", "consumer"]);
    let row = rows(&listed, "GROUP").into_iter().find(|row| row[0] == empty).expect("listed");
    assert_eq!(row[1], "Classic", "a group of commits alone has no protocol");
    assert!(has(&shell.run("kafka-groups", &["--list", "--group-type", "classic"]), &stable));
    assert!(has(&shell.run("kafka-groups", &["--list", "--consumer"]), &stable));
    assert!(!has(&shell.run("kafka-groups", &["--list", "--share"]), &stable));
    assert_eq!(member.leave(&mut client).expect("answered"), 0);
}

#[test]
fn consumer_groups_describes() {
    let shell = shell!();
    let topic = shell.filled("tools-described", now_ms());
    let group = unique("tools-group");
    let (mut client, member) = member(&shell, &group, &topic);
    assert_eq!(member.commit(&mut client, &topic, 0, 4).expect("answered"), 0);
    let describe = |extra: &[&str]| shell.groups(&[&["--describe", "--group", &group][..], extra].concat());

    let offsets = rows(&describe(&[]), "GROUP");
    let row = |partition: &str| offsets.iter().find(|row| row[2] == partition).expect("a row for every partition");
    let common = |partition: &str| [&row(partition)[..2], &row(partition)[6..]].concat();
    assert_eq!(row("0")[..6], [&group, &topic, "0", "4", "10", "6"]);
    assert_eq!(row("1")[..6], [&group, &topic, "1", "-", "5", "-"]);
    for partition in ["0", "1"] {
        assert_eq!(common(partition), [&group, &topic, &member.id, "/127.0.0.1", "compat-tests"]);
    }
    let members = rows(&describe(&["--members"]), "GROUP");
    assert_eq!(members.len(), 1);
    assert_eq!(members[0], [&group, &member.id, "tools-instance", "/127.0.0.1", "compat-tests", "2"]);
    let verbose = describe(&["--members", "--verbose"]);
    assert_has(&verbose, &format!("{topic}:0,1"));
    let state = rows(&describe(&["--state"]), "GROUP");
    let row = &state[0];
    assert_eq!(row[0], group);
    assert_eq!(row[row.len() - 3..], ["range", "Stable", "1"], "{state:?}");
    let verbose = describe(&["--state", "--verbose"]);
    assert_has(&verbose, "Stable");
    let verbose = describe(&["--offsets", "--verbose"]);
    assert_has(&verbose, "LEADER-EPOCH");

    let all = shell.groups(&["--describe", "--all-groups", "--state"]);
    assert_has(&all, &group);
    assert_eq!(member.leave(&mut client).expect("answered"), 0);
    client.find_coordinator(&group).expect("answered");

    // A group without members, and one that is not there.
    let simple = shell.committed(&topic);
    let described = shell.try_groups(&["--describe", "--group", &simple]);
    assert_eq!(described.code, 0, "{described:?}");
    let offsets = rows(&described.out, "GROUP");
    let row = offsets.iter().find(|row| row[2] == "0").expect("a row");
    assert_eq!(row[..9], [&simple, &topic, "0", "4", "10", "6", "-", "-", "-"]);
    assert_has(&format!("{}{}", described.out, described.err), "has no active members");
    let unknown = shell.try_groups(&["--describe", "--group", "tools-not-there"]);
    assert_has(&unknown.out, "GroupIdNotFoundException: Group tools-not-there not found.");
}

#[test]
fn consumer_groups_resets_offsets() {
    let shell = shell!();
    let start = now_ms() - 3_600_000;
    let topic = shell.filled("tools-reset", start);
    let group = shell.committed(&topic);
    let of_topic = ["--reset-offsets", "--group", &group, "--topic", &topic];
    let reset = |how: &[&str]| {
        let text = shell.groups(&[&of_topic[..], how, &["--execute"]].concat());
        let planned: Vec<_> = rows(&text, "GROUP").into_iter().map(|row| (row[2].clone(), row[3].clone())).collect();
        let offsets = shell.offsets(&group, &topic);
        for (partition, offset) in planned {
            assert_eq!(offsets[partition.parse::<usize>().expect("a number")].to_string(), offset, "{how:?}: {text}");
        }
        offsets
    };
    // Planned only, it changes nothing.
    let plan = shell.groups(&[&of_topic[..], &["--to-earliest", "--dry-run"]].concat());
    assert!(rows(&plan, "GROUP").iter().all(|row| row[3] == "0"), "{plan}");
    assert_eq!(shell.offsets(&group, &topic), [4, 2]);

    assert_eq!(reset(&["--to-current"]), [4, 2]);
    assert_eq!(reset(&["--shift-by", "2"]), [6, 4]);
    assert_eq!(reset(&["--shift-by", "-3"]), [3, 1]);
    assert_eq!(reset(&["--shift-by", "-100"]), [0, 0]);
    assert_eq!(reset(&["--to-latest"]), [10, 5]);
    assert_eq!(reset(&["--to-offset", "7"]), [7, 5], "no further than the end");
    assert_eq!(reset(&["--to-earliest"]), [0, 0]);
    // Half a second past the third record: the fourth is the first not older.
    let moment = iso(start + 2500);
    assert_eq!(reset(&["--to-datetime", &moment]), [3, 3]);
    assert_eq!(reset(&["--by-duration", "PT2H"]), [0, 0]);
    assert_eq!(reset(&["--by-duration", "PT0S"]), [10, 5]);
    // One partition alone.
    let one = format!("{topic}:1");
    shell.groups(&["--reset-offsets", "--group", &group, "--topic", &one, "--to-offset", "1", "--execute"]);
    assert_eq!(shell.offsets(&group, &topic), [10, 1]);
    shell.groups(&["--reset-offsets", "--group", &group, "--all-topics", "--shift-by", "-1", "--execute"]);
    assert_eq!(shell.offsets(&group, &topic), [9, 0]);
    // Out to a file and back from it.
    let export = shell.groups(&[&of_topic[..], &["--to-offset", "3", "--export", "--dry-run"]].concat());
    let lines: String = export.lines().filter(|line| line.contains(&topic)).map(|line| format!("{line}\n")).collect();
    assert_eq!(lines.lines().count(), 2, "{export}");
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(lines.as_bytes()).expect("written");
    let path = file.path().to_str().expect("UTF-8");
    shell.groups(&["--reset-offsets", "--group", &group, "--from-file", path, "--execute"]);
    assert_eq!(shell.offsets(&group, &topic), [3, 3]);

    // A group that was never there comes to be by it; one with members is left alone.
    let fresh = unique("tools-fresh");
    shell.groups(&["--reset-offsets", "--group", &fresh, "--topic", &topic, "--to-latest", "--execute"]);
    assert_eq!(shell.offsets(&fresh, &topic), [10, 5]);
    let live = unique("tools-live");
    let (mut client, member) = member(&shell, &live, &topic);
    assert_eq!(member.commit(&mut client, &topic, 0, 4).expect("answered"), 0);
    let arguments = ["--reset-offsets", "--group", &live, "--topic", &topic, "--to-latest", "--execute"];
    let refused = shell.try_groups(&arguments);
    assert_has(&format!("{}{}", refused.out, refused.err), "inactive");
    assert_eq!(shell.offsets(&live, &topic)[0], 4);
}

#[test]
fn consumer_groups_deletes() {
    let shell = shell!();
    let topic = shell.filled("tools-deleted", now_ms());
    let group = shell.committed(&topic);
    let one = format!("{topic}:1");
    let deleted = shell.groups(&["--delete-offsets", "--group", &group, "--topic", &one]);
    assert_has(&deleted, "Successful");
    assert_eq!(shell.offsets(&group, &topic), [4, -1]);
    shell.groups(&["--delete-offsets", "--group", &group, "--topic", &topic]);
    assert_eq!(shell.offsets(&group, &topic), [-1, -1]);

    let group = shell.committed(&topic);
    assert_has(&shell.groups(&["--delete", "--group", &group]), "was successful");
    assert!(shell.groups(&["--list"]).lines().all(|line| line.trim() != group));
    assert_eq!(shell.offsets(&group, &topic), [-1, -1]);
    let again = shell.try_groups(&["--delete", "--group", &group]);
    assert_has(&format!("{}{}", again.out, again.err), "GroupIdNotFoundException");

    let live = unique("tools-live");
    let (mut client, member) = member(&shell, &live, &topic);
    assert_eq!(member.commit(&mut client, &topic, 0, 4).expect("answered"), 0);
    let refused = shell.try_groups(&["--delete", "--group", &live]);
    assert_has(&format!("{}{}", refused.out, refused.err), "GroupNotEmptyException");
    let refused = shell.try_groups(&["--delete-offsets", "--group", &live, "--topic", &topic]);
    assert_has(&format!("{}{}", refused.out, refused.err), "subscribed");
    assert_eq!(shell.offsets(&live, &topic)[0], 4);
}

/// The console consumer reads the internal topic with Kafka's own formatters: keys and values are Kafka's.
#[test]
fn formatters_read_the_offsets_topic() {
    let shell = shell!();
    let topic = shell.filled("tools-formatted", now_ms());
    let group = unique("tools-group");
    let (mut client, member) = member(&shell, &group, &topic);
    assert_eq!(member.commit_with(&mut client, &topic, 0, 4, "a note").expect("answered"), 0);
    assert_eq!(member.commit(&mut client, &topic, 1, 2).expect("answered"), 0);
    assert_eq!(member.leave(&mut client).expect("answered"), 0);
    let read = |formatter: &str| {
        let class = format!("org.apache.kafka.tools.consumer.{formatter}");
        let arguments = ["--topic", "__consumer_offsets", "--from-beginning", "--formatter", &class];
        let more = ["--command-property", "exclude.internal.topics=false", "--timeout-ms", "3000"];
        let output = shell.try_run("kafka-console-consumer", &[&arguments[..], &more].concat(), "");
        // The formatters put nothing between two records.
        let values = serde_json::Deserializer::from_str(&output.out).into_iter::<serde_json::Value>();
        let of_group = |value: &serde_json::Value| value["key"]["data"]["group"] == *group;
        let found: Vec<_> = values.map(|value| value.expect("JSON")).filter(of_group).collect();
        assert!(!found.is_empty(), "{formatter} says nothing of {group}: {output:?}");
        found
    };
    let offsets = read("OffsetsMessageFormatter");
    let commit = offsets.iter().find(|value| value["key"]["data"]["partition"] == 0).expect("partition 0");
    assert_eq!(commit["key"]["data"]["topic"], *topic);
    assert_eq!(
        (&commit["value"]["data"]["offset"], &commit["value"]["data"]["metadata"]),
        (&4.into(), &"a note".into())
    );
    assert_eq!(offsets.len(), 2);

    let metadata = read("GroupMetadataMessageFormatter");
    let stable =
        metadata.iter().find(|value| value["value"]["data"]["members"].as_array().is_some_and(|m| m.len() == 1));
    let data = &stable.expect("the generation with a member")["value"]["data"];
    assert_eq!((&data["protocolType"], &data["protocol"]), (&"consumer".into(), &"range".into()));
    assert_eq!(data["members"][0]["memberId"], *member.id);
    assert_eq!(data["members"][0]["groupInstanceId"], "tools-instance");
}

/// `2026-01-02T03:04:05.678`, UTC.
fn iso(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Howard Hinnant's civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * month_index + 2) / 5 + 1, (month_index + 2) % 12 + 1);
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, milliseconds) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}")
}
