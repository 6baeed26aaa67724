//! Committed offsets: where they stay, where they go, and what may not be one.

use std::time::Duration;

use compat_tests::broker::{Broker, Options};
use compat_tests::calls::Resource;
use compat_tests::groups::{Member, code, is_not_yet};
use compat_tests::unique;
use compat_tests::wire::Client;

/// A topic of one partition and a group with a member that owns it.
fn member_of(client: &mut Client, name: &str) -> (String, Member) {
    let topic = unique(name);
    assert_eq!(client.create_topic(&topic, 1, &[]).expect("answered"), 0);
    let group = unique("group");
    assert_eq!(client.find_coordinator(&group).expect("answered"), 0);
    let mut member = Member::new(&group, &[&topic]);
    member.join_alone(client, &topic, 1);
    (topic, member)
}

/// "10 OffsetCommit + kill -9": the tenth is there, whether or not each was synced.
#[test]
fn the_last_of_ten_commits_survives_a_kill() {
    for flush_messages in [None, Some("1")] {
        let mut broker = Broker::start();
        let mut client = broker.client();
        let (topic, member) = member_of(&mut client, "ten");
        if flush_messages.is_some() {
            let error = client.alter_config(Resource::Topic, "__consumer_offsets", "flush.messages", flush_messages);
            assert_eq!(error.expect("answered"), 0);
        }
        for offset in 1..=10 {
            let metadata = format!("the {offset}th");
            let error = member.commit_with(&mut client, &topic, 0, offset, &metadata).expect("answered");
            assert_eq!(error, 0, "commit {offset}");
        }
        assert_eq!(client.commit("by-hand", &topic, 0, 77).expect("answered"), 0);
        broker.kill();
        broker.restart();
        let mut client = broker.client();
        let found = client.committed(&member.group, &topic, 0).expect("answered");
        assert_eq!((found.committed_offset, found.metadata.as_deref()), (10, Some("the 10th")));
        assert_eq!(client.committed_offset("by-hand", &topic, 0), 77);
        // The member never noticed: same id, same generation.
        assert_eq!(member.heartbeat(&mut client).expect("answered"), 0);
        assert_eq!(member.commit(&mut client, &topic, 0, 11).expect("answered"), 0);
        assert_eq!(client.committed_offset(&member.group, &topic, 0), 11);
    }
}

#[test]
fn a_recreated_topic_has_no_committed_offset() {
    let broker = Broker::any();
    let mut client = broker.client();
    let (topic, group) = (unique("recreated"), unique("group"));
    client.create_topic(&topic, 1, &[]).expect("answered");
    assert_eq!(client.find_coordinator(&group).expect("answered"), 0);
    assert_eq!(client.commit(&group, &topic, 0, 5).expect("answered"), 0);
    assert_eq!(client.committed_offset(&group, &topic, 0), 5);
    assert_eq!(client.delete_topic(&topic).expect("answered"), 0);
    compat_tests::wait_until("the topic is created anew", Duration::from_secs(20), || {
        client.create_topic(&topic, 1, &[]).expect("answered") == 0
    });
    compat_tests::wait_until("the committed offset is gone", Duration::from_secs(20), || {
        client.committed_offset(&group, &topic, 0) == -1
    });
    assert_eq!(client.commit(&group, &topic, 0, 1).expect("answered"), 0);
    assert_eq!(client.committed_offset(&group, &topic, 0), 1);
}

/// The same over a kill right after the deletion: the offset does not come back.
#[test]
fn a_deleted_topics_offset_stays_away_after_a_kill() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("gone", 2, &[]).expect("answered");
    assert_eq!(client.find_coordinator("group").expect("answered"), 0);
    for partition in 0..2 {
        assert_eq!(client.commit("group", "gone", partition, 5).expect("answered"), 0);
    }
    assert_eq!(client.delete_topic("gone").expect("answered"), 0);
    assert_eq!(client.create_topic("gone", 2, &[]).expect("answered"), 0);
    assert_eq!(client.commit("group", "gone", 1, 1).expect("answered"), 0);
    broker.kill();
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.committed_offset("group", "gone", 0), -1);
    assert_eq!(client.committed_offset("group", "gone", 1), 1);
}

/// Kafka puts no rule on a group's name but that it is not empty, where members join.
#[test]
fn a_group_may_have_any_name() {
    let mut broker = Broker::any();
    let topic = unique("names");
    broker.client().create_topic(&topic, 1, &[]).expect("answered");
    let long = "x".repeat(10_000);
    let names = [
        "with spaces and\ttabs\nand lines",
        "/../../etc/passwd",
        "Grüße, 世界 🦀",
        "\u{0}\u{1}\u{7f}",
        "a:b:c,d;e=f",
        "__consumer_offsets",
        ".",
        "..",
        " ",
        &long,
    ];
    let mut client = broker.client();
    for (offset, name) in names.iter().enumerate() {
        assert_eq!(client.find_coordinator(name).expect("answered"), 0, "{name:?}");
        let mut member = Member::new(name, &[&topic]);
        member.join_alone(&mut client, &topic, 1);
        assert_eq!(member.commit(&mut client, &topic, 0, offset as i64).expect("answered"), 0, "{name:?}");
        assert_eq!(member.leave(&mut client).expect("answered"), 0, "{name:?}");
    }
    // A commit, too, may come from the group with no name; a member may not.
    assert_eq!(client.commit("", &topic, 0, 99).expect("answered"), 0);
    let nameless = client.call(9, &Member::new("", &[&topic]).join_request()).expect("answered");
    assert_eq!(nameless.error_code, code::INVALID_GROUP_ID);
    if !broker.is_external() {
        broker.kill();
        broker.restart();
        client = broker.client();
    }
    let listed = client.list_groups().expect("answered");
    for (offset, name) in names.iter().enumerate() {
        assert_eq!(client.committed_offset(name, &topic, 0), offset as i64, "{name:?}");
        assert!(listed.iter().any(|group| group.group_id.0.as_str() == *name), "{name:?} is listed");
        let described = client.describe_group(name).expect("answered");
        assert_eq!((described.error_code, &*described.group_state), (0, "Empty"), "{name:?}");
        assert_eq!(client.delete_group(name).expect("answered"), 0, "{name:?}");
    }
    let listed = client.list_groups().expect("answered");
    assert!(names.iter().all(|name| listed.iter().all(|group| group.group_id.0.as_str() != *name)));
}

#[test]
fn metadata_has_a_limit() {
    let broker = Broker::any();
    let mut client = broker.client();
    let (topic, member) = member_of(&mut client, "metadata");
    let mut commit = |length: usize, offset: i64| {
        member.commit_with(&mut client, &topic, 0, offset, &"m".repeat(length)).expect("answered")
    };
    assert_eq!(commit(4096, 1), 0);
    assert_eq!(commit(4097, 2), code::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(commit(30_000, 3), code::OFFSET_METADATA_TOO_LARGE);
    let found = client.committed(&member.group, &topic, 0).expect("answered");
    assert_eq!(found.committed_offset, 1);
    assert_eq!(found.metadata.map(|metadata| metadata.len()), Some(4096));
}

#[test]
fn the_limit_on_metadata_can_be_set() {
    let broker = Options::new().set("offset.metadata.max.bytes", 10).start();
    let mut client = broker.client();
    let (topic, member) = member_of(&mut client, "metadata");
    assert_eq!(member.commit_with(&mut client, &topic, 0, 1, "0123456789").expect("answered"), 0);
    let refused = member.commit_with(&mut client, &topic, 0, 2, "0123456789a").expect("answered");
    assert_eq!(refused, code::OFFSET_METADATA_TOO_LARGE);
}

#[test]
fn a_live_group_keeps_its_offsets() {
    let broker = Broker::any();
    let mut client = broker.client();
    let (topic, member) = member_of(&mut client, "kept");
    assert_eq!(member.commit(&mut client, &topic, 0, 3).expect("answered"), 0);
    assert_eq!(client.delete_offset(&member.group, &topic, 0).expect("answered"), code::GROUP_SUBSCRIBED_TO_TOPIC);
    assert_eq!(client.delete_group(&member.group).expect("answered"), code::NON_EMPTY_GROUP);
    assert_eq!(client.committed_offset(&member.group, &topic, 0), 3);
    assert_eq!(member.leave(&mut client).expect("answered"), 0);
    assert_eq!(client.delete_offset(&member.group, &topic, 0).expect("answered"), 0);
    assert_eq!(client.committed_offset(&member.group, &topic, 0), -1);
    assert_eq!(client.delete_group(&member.group).expect("answered"), 0);
    assert_eq!(client.delete_group(&member.group).expect("answered"), code::GROUP_ID_NOT_FOUND);
    assert_eq!(client.delete_offset(&member.group, &topic, 0).expect("answered"), code::GROUP_ID_NOT_FOUND);
}

/// A deleted group stays deleted over a kill, and its name may be used anew.
#[test]
fn a_deleted_group_stays_deleted_after_a_kill() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    let (topic, member) = member_of(&mut client, "deleted");
    assert_eq!(member.commit(&mut client, &topic, 0, 3).expect("answered"), 0);
    assert_eq!(member.leave(&mut client).expect("answered"), 0);
    assert_eq!(client.delete_group(&member.group).expect("answered"), 0);
    broker.kill();
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.committed_offset(&member.group, &topic, 0), -1);
    let listed = client.list_groups().expect("answered");
    assert!(listed.iter().all(|group| group.group_id.0.as_str() != member.group), "{listed:?}");
    let error = member.heartbeat(&mut client).expect("answered");
    assert!(error == code::UNKNOWN_MEMBER_ID && !is_not_yet(error), "heartbeat in a deleted group: {error}");
    let mut again = Member::new(&member.group, &[&topic]);
    again.join_alone(&mut client, &topic, 1);
    assert_eq!(again.commit(&mut client, &topic, 0, 1).expect("answered"), 0);
}
