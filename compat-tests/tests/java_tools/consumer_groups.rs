//! The same tools with groups of KIP-848: `kafka-consumer-groups`, `kafka-groups` and the console consumer.

use std::time::Duration;

use compat_tests::consumer_groups::ConsumerMember;
use compat_tests::wire::Client;
use compat_tests::{kafka_tools, needs, now_ms, unique, wait_until};

use crate::groups::rows;
use crate::{Shell, assert_has};

const LIMIT: Duration = Duration::from_secs(10);

/// A member that owns both partitions, and has said so.
fn member(shell: &Shell, group: &str, topic: &str) -> (Client, ConsumerMember) {
    let mut client = shell.broker.client();
    assert_eq!(client.find_coordinator(group).expect("answered"), 0);
    let mut member = ConsumerMember::new(group, topic, "tools-member");
    wait_until("the member owns both partitions", LIMIT, || {
        !member.heartbeat(&mut client).expect("answered without an error") && member.owned.len() == 2
    });
    (client, member)
}

/// The row of a group in a table, without the group.
fn row(text: &str, group: &str) -> Option<Vec<String>> {
    rows(text, "GROUP").into_iter().find(|row| row[0] == group).map(|row| row[1..].to_vec())
}

#[test]
fn console_consumer_by_the_consumer_protocol() {
    let shell = shell!();
    let topic = shell.filled("tools-consumer", now_ms());
    let group = unique("tools-consumer-group");
    let consume = |count: &str| {
        let arguments = ["--topic", &topic, "--group", &group, "--from-beginning", "--max-messages", count];
        let protocol = ["--command-property", "group.protocol=consumer", "--timeout-ms", "20000"];
        shell.run("kafka-console-consumer", &[&arguments[..], &protocol].concat())
    };
    let mut seen: Vec<_> = consume("9").lines().map(str::to_owned).collect();
    assert_eq!(seen.len(), 9);
    assert_eq!(shell.offsets(&group, &topic).iter().sum::<i64>(), 9, "what was shown is committed");
    let listed = shell.groups(&["--list", "--type", "consumer", "--state"]);
    assert_eq!(row(&listed, &group).expect("listed"), ["Consumer", "Empty"], "it left when it was done");
    // It resumes there, from the beginning or not.
    seen.extend(consume("6").lines().map(str::to_owned));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 15, "every record once: {seen:?}");
    assert_eq!(shell.offsets(&group, &topic), [10, 5]);
}

#[test]
fn consumer_protocol_groups_are_listed_and_described() {
    let shell = shell!();
    let topic = shell.filled("tools-described", now_ms());
    let group = unique("tools-consumer-group");
    let (mut client, member) = member(&shell, &group, &topic);
    assert_eq!(member.commit(&mut client, 0, 4).expect("answered"), 0);
    let epoch = member.epoch.to_string();

    assert_eq!(row(&shell.groups(&["--list", "--type"]), &group).expect("listed"), ["Consumer"]);
    let both = shell.groups(&["--list", "--type", "consumer", "--state", "stable"]);
    assert_eq!(row(&both, &group).expect("listed"), ["Consumer", "Stable"]);
    assert_eq!(row(&shell.groups(&["--list", "--type", "classic", "--state"]), &group), None);
    for filter in [&[][..], &["--group-type", "consumer"], &["--consumer"], &["--protocol", "consumer"]] {
        let listed = shell.run("kafka-groups", &[&["--list"], filter].concat());
        assert_eq!(row(&listed, &group).expect("listed"), ["Consumer", "consumer"], "{filter:?}");
    }
    assert_eq!(row(&shell.run("kafka-groups", &["--list", "--group-type", "classic"]), &group), None);

    let describe = |extra: &[&str]| shell.groups(&[&["--describe", "--group", &group][..], extra].concat());
    let mut offsets = rows(&describe(&[]), "GROUP");
    offsets.sort();
    let owner = ["tools-member", "/127.0.0.1", "compat-tests"];
    assert_eq!(offsets[0], [&[&*group, &topic, "0", "4", "10", "6"], &owner[..]].concat());
    assert_eq!(offsets[1], [&[&*group, &topic, "1", "-", "5", "-"], &owner[..]].concat());
    assert_has(&describe(&["--offsets", "--verbose"]), "LEADER-EPOCH");
    let members = describe(&["--members"]);
    assert_eq!(row(&members, &group).expect("a member"), [&owner[..], &["2"]].concat());
    let verbose = describe(&["--members", "--verbose"]);
    let both = format!("{topic}:0,1");
    assert_has(&verbose, "CURRENT-EPOCH");
    assert_eq!(row(&verbose, &group).expect("a member")[3..], ["2", &epoch, &both, &epoch, &both]);
    // Before the strategy stand the coordinator's address and id.
    let state = row(&describe(&["--state"]), &group).expect("a state");
    assert_eq!(state[2..], ["uniform", "Stable", "1"]);
    let verbose = describe(&["--state", "--verbose"]);
    assert_has(&verbose, "TARGET-ASSIGNMENT-EPOCH");
    assert_eq!(row(&verbose, &group).expect("a state")[2..], ["uniform", "Stable", &epoch, &epoch, "1"]);

    assert_eq!(member.leave(&mut client).expect("answered"), 0);
    let described = shell.try_groups(&["--describe", "--group", &group]);
    assert_eq!(row(&described.out, &group).expect("a row")[1..], ["0", "4", "10", "6", "-", "-", "-"]);
    assert_has(&format!("{}{}", described.out, described.err), "has no active members");
    assert_eq!(row(&describe(&["--state"]), &group).expect("a state")[2..], ["uniform", "Empty", "0"]);
}

#[test]
fn consumer_protocol_groups_are_reset_and_deleted() {
    let shell = shell!();
    let start = now_ms() - 3_600_000;
    let topic = shell.filled("tools-reset", start);
    let group = unique("tools-consumer-group");
    let (mut client, member) = member(&shell, &group, &topic);
    assert_eq!(member.commit(&mut client, 0, 4).expect("answered"), 0);
    let reset = |how: &[&str]| {
        let of_topic = ["--reset-offsets", "--group", &group, "--topic", &topic, "--execute"];
        let output = shell.try_groups(&[&of_topic[..], how].concat());
        (shell.offsets(&group, &topic), format!("{}{}", output.out, output.err))
    };
    let refused = |arguments: &[&str], reason: &str| {
        let output = shell.try_groups(arguments);
        assert_has(&format!("{}{}", output.out, output.err), reason);
        assert_eq!(shell.offsets(&group, &topic), [4, -1]);
    };
    let delete = ["--delete", "--group", &group];
    let delete_offsets = ["--delete-offsets", "--group", &group, "--topic", &topic];

    // While somebody is in it, nothing is reset or deleted.
    let (offsets, text) = reset(&["--to-latest"]);
    assert_has(&text, "can only be reset if the group");
    assert_eq!(offsets, [4, -1]);
    refused(&delete, "GroupNotEmptyException");
    refused(&delete_offsets, "GroupSubscribedToTopicException");
    assert_eq!(member.leave(&mut client).expect("answered"), 0);

    assert_eq!(reset(&["--to-latest"]).0, [10, 5]);
    assert_eq!(reset(&["--shift-by", "-2"]).0, [8, 3]);
    assert_eq!(reset(&["--to-earliest"]).0, [0, 0]);
    assert_eq!(row(&shell.groups(&["--list", "--type"]), &group).expect("listed"), ["Consumer"], "its type stays");
    // A member goes on from there.
    let (mut client, member) = self::member(&shell, &group, &topic);
    assert_eq!(member.commit(&mut client, 1, 5).expect("answered"), 0);
    assert_eq!(member.leave(&mut client).expect("answered"), 0);
    assert_eq!(shell.offsets(&group, &topic), [0, 5]);

    let one = format!("{topic}:1");
    assert_has(&shell.groups(&["--delete-offsets", "--group", &group, "--topic", &one]), "Successful");
    assert_eq!(shell.offsets(&group, &topic), [0, -1]);
    assert_has(&shell.groups(&delete), "was successful");
    assert_eq!(row(&shell.run("kafka-groups", &["--list"]), &group), None);
    assert_eq!(shell.offsets(&group, &topic), [-1, -1]);
    let again = shell.try_groups(&delete);
    assert_has(&format!("{}{}", again.out, again.err), "GroupIdNotFoundException");
}
