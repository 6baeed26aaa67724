//! `__consumer_offsets` as Kafka writes it: every record of a group, after each thing that happens to it.

use kafka_protocol::messages::{MetadataRequest, OffsetFetchRequest};

use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::{alone, two};
use crate::scenarios::groups::requests::{self as groups, join, leave, sync};
use crate::scenarios::requests::{TOPIC, describe, metadata};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("offsets-topic/as-a-topic", as_a_topic),
        scenario("offsets-topic/classic-group", classic_group),
        scenario("offsets-topic/two-members", two_members),
        scenario("offsets-topic/static-member", static_member),
        scenario("offsets-topic/commits", commits),
        scenario("offsets-topic/deleted", deleted),
        scenario("offsets-topic/expired", expired).under(Profile::Expiring),
    ]
}

fn as_a_topic(play: &mut Play) -> Done {
    play.group("g")?;
    for version in [0, 9, 13] {
        let mut request = metadata(version, Some(&["__consumer_offsets"]));
        request.include_topic_authorized_operations = version >= 8;
        let answer = play.quiet(version, request)?;
        let topic = &answer.topics[0];
        let shape = format!(
            "error {}, internal {}, {} partitions, operations {}",
            topic.error_code,
            topic.is_internal,
            topic.partitions.len(),
            topic.topic_authorized_operations
        );
        play.note::<MetadataRequest>("the topic", version, shape);
    }
    let keys = ["cleanup.policy", "compression.type", "segment.bytes", "retention.ms", "min.insync.replicas"];
    play.ask("its configuration", 4, describe(TOPIC, "__consumer_offsets", &keys).with_include_synonyms(true))?;
    Ok(())
}

fn classic_group(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.group("g")?;
    let given = play.quiet(9, join(&group, "").subscribed(&[&t]).at(9))?.member_id;
    play.names.member(&given);
    // The first record of a group is written some time after this answer, and after that to the join.
    let member = join(&group, "").subscribed(&[&t]).member(&given);
    let answer = play.quiet(9, member.at(9))?;
    play.quiet(5, sync(5, &group, answer.generation_id, &given, &[(&given, "all")]))?;
    play.group_log("it has synced", &group)?;
    play.quiet(9, commit_by(&group, (answer.generation_id, &given), vec![offsets(&t, &[(0, 5)])]))?;
    play.quiet(9, member.at(9))?;
    play.group_log("it has committed and joined again", &group)?;
    play.quiet(5, leave(5, &group, &given))?;
    play.group_log("it has left before its sync", &group)?;
    play.quiet(2, groups::delete(&[&group]))?;
    play.group_log("the group is deleted", &group)?;
    Ok(())
}

fn two_members(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b").rebalance(20_000).session(10_000))?;
    play.group_log("two members are stable", &group)?;
    play.quiet(5, leave(5, &group, &b.id))?;
    play.group_log("one has left", &group)?;
    play.quiet(3, join(&group, "a").member(&a.id).at(3))?;
    play.group_log("the other has joined again", &group)?;
    let connect = play.group("connect")?;
    alone(play, &join(&connect, "a").kind("connect").protocols(&[("compatible", "x"), ("eager", "y")]))?;
    play.group_log("a group of another type", &connect)?;
    Ok(())
}

fn static_member(play: &mut Play) -> Done {
    let group = play.group("g")?;
    alone(play, &join(&group, "a").instance("i"))?;
    let new = play.quiet(9, join(&group, "a").instance("i").at(9))?.member_id;
    play.names.member(&new);
    play.group_log("a static member was replaced", &group)?;
    let newest = play.quiet(9, join(&group, "b").instance("i").at(9))?.member_id;
    play.names.member(&newest);
    play.group_log("replaced with other metadata", &group)?;
    play.quiet(5, groups::leave_all(&group, &[("", Some("i"))]))?;
    play.group_log("it was removed", &group)?;
    Ok(())
}

/// Every form of a commit.
fn commits(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 2)?, play.topic("u", 1)?);
    let group = play.group("g")?;
    play.quiet(2, commit(&group, &t, 0, 1).with_retention_time_ms(3_600_000))?;
    play.quiet(2, commit(&group, &t, 0, 2))?;
    play.quiet(5, commit(&group, &t, 0, 3))?;
    let mut request = commit(&group, &t, 0, 4);
    request.topics[0].partitions[0].committed_leader_epoch = 7;
    play.quiet(6, request)?;
    let null = with_metadata(&t, &[(0, 5, None), (1, 6, Some("words"))]);
    play.quiet(9, commit_by(&group, (-1, ""), vec![null, offsets(&u, &[(0, 7)])]))?;
    play.quiet(9, commit_by(&group, (-1, ""), vec![offsets("no-such-topic", &[(0, 8)])]))?;
    play.group_log("commits of a simple group", &group)?;
    let answer = play.quiet(9, fetch(9, &group, Some(&[(&t, &[0])])))?;
    play.note::<OffsetFetchRequest>(
        "null metadata as it is fetched",
        9,
        format!("{:?}", answer.groups[0].topics[0].partitions[0].metadata),
    );
    Ok(())
}

fn deleted(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let group = play.group("g")?;
    play.quiet(9, commit_by(&group, (-1, ""), vec![offsets(&t, &[(0, 1)]), offsets(&u, &[(0, 2)])]))?;
    play.quiet(0, delete(&group, &[(&t, &[0])]))?;
    play.group_log("an offset was deleted", &group)?;
    play.quiet(0, delete(&group, &[(&t, &[0])]))?;
    play.group_log("deleted again", &group)?;
    play.delete(&u)?;
    play.wait("the offsets of the topic are gone", |play| {
        Ok(play.quiet(9, fetch(9, &group, None))?.groups[0].topics.is_empty())
    })?;
    play.group_log("the other's topic was deleted", &group)?;
    play.quiet(2, groups::delete(&[&group]))?;
    play.group_log("the group was deleted", &group)?;
    Ok(())
}

fn expired(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let simple = play.group("simple")?;
    play.quiet(2, commit(&simple, &t, 0, 1).with_retention_time_ms(300))?;
    let bare = play.group("bare")?;
    let a = alone(play, &join(&bare, "a"))?;
    play.quiet(3, leave(3, &bare, &a.id))?;
    play.group_is(&simple, "Dead")?;
    play.group_log("a simple group whose offset has expired", &simple)?;
    play.group_is(&bare, "Dead")?;
    play.group_log("a group without members and offsets", &bare)?;
    Ok(())
}
