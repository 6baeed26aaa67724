//! ConsumerGroupHeartbeat: requests that no group would take.

use super::requests::*;
use crate::play::{Done, Play, text, topic_name};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::alone;
use crate::scenarios::groups::requests::join;
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-heartbeat/every-version", every_version),
        scenario("consumer-heartbeat/malformed", malformed),
        scenario("consumer-heartbeat/strangers", strangers),
        scenario("consumer-heartbeat/member-ids", member_ids),
        scenario("consumer-heartbeat/full", full).under(Profile::Groups),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let t = play.topic("t", 3)?;
    for version in [0, 1] {
        let group = play.consumer_group(&format!("v{version}"))?;
        play.ask("join", version, first(&group, "a", &[&t]))?;
        play.ask("nothing new", version, beat(&group, "a", 1))?;
        play.ask("everything it owns", version, owning(&group, "a", 1, &[(&t, &[0, 1, 2])]))?;
        play.ask("everything it is", version, first(&group, "a", &[&t]).with_member_epoch(1))?;
        play.ask("describe", version, describe(&[&group]))?;
        play.ask("leave", version, beat(&group, "a", -1))?;
        play.ask("leave again", version, beat(&group, "a", -1))?;
        play.ask("describe the empty group", version, describe(&[&group]))?;
        play.ask("join again", version, first(&group, "a", &[&t]))?;
    }
    Ok(())
}

/// Error 42, and its messages.
fn malformed(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    for version in [0, 1] {
        let good = || first(&group, "a", &[&t]);
        play.ask("an empty group id", version, first("", "a", &[&t]))?;
        play.ask("a blank group id", version, first("  ", "a", &[&t]))?;
        play.ask("an empty instance id", version, good().with_instance_id(Some(text(""))))?;
        play.ask("an empty rack", version, good().with_rack_id(Some(text(""))))?;
        play.ask("no rebalance timeout", version, good().with_rebalance_timeout_ms(-1))?;
        play.ask("a rebalance timeout of 0", version, good().with_rebalance_timeout_ms(0))?;
        play.ask("no partitions", version, good().with_topic_partitions(None))?;
        play.ask("partitions owned already", version, good().with_topic_partitions(Some(partitions(&[(&t, &[0])]))))?;
        play.ask("no subscription", version, good().with_subscribed_topic_names(None))?;
        play.ask("epoch -3", version, beat(&group, "a", -3))?;
        play.ask("epoch -2 without instance id", version, beat(&group, "a", -2))?;
        play.ask("an empty member id, epoch 1", version, beat(&group, "", 1))?;
        play.ask("an empty member id, epoch -1", version, beat(&group, "", -1))?;
        play.ask("an empty member id, epoch -2", version, beat(&group, "", -2).with_instance_id(Some(text("i"))))?;
        for assignor in ["", "sticky", "Uniform"] {
            play.ask(
                &format!("the assignor \"{assignor}\""),
                version,
                good().with_server_assignor(Some(text(assignor))),
            )?;
        }
    }
    play.ask("an empty member id, epoch 0", 1, first(&group, "", &[&t]))?;
    play.ask("a blank member id", 1, first(&group, " ", &[&t]))?;
    play.ask("an empty list of topics", 1, first(&group, "empty", &[]))?;
    play.ask("an illegal topic name", 1, first(&group, "illegal", &["a/b", ""]))?;
    Ok(())
}

fn strangers(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let (group, absent, classic) =
        (play.consumer_group("g")?, play.consumer_group("absent")?, play.consumer_group("classic")?);
    joined(play, first(&group, "a", &[&t]))?;
    for version in [0, 1] {
        play.ask("an absent group, epoch 1", version, beat(&absent, "a", 1))?;
        play.ask("an absent group, epoch -1", version, beat(&absent, "a", -1))?;
        play.ask("an absent group, epoch -2", version, beat(&absent, "a", -2).with_instance_id(Some(text("i"))))?;
        play.ask("an unknown member, epoch 1", version, beat(&group, "x", 1))?;
        play.ask("an unknown member, epoch -1", version, beat(&group, "x", -1))?;
        play.ask("an unknown instance, epoch -2", version, beat(&group, "a", -2).with_instance_id(Some(text("i"))))?;
        play.ask("an unknown instance, epoch 1", version, beat(&group, "a", 1).with_instance_id(Some(text("i"))))?;
    }
    alone(play, &join(&classic, "a").kind("connect"))?;
    play.ask("a member in a group of another type", 1, first(&classic, "a", &[&t]))?;
    play.ask("epoch 1 in a group of another type", 1, beat(&classic, "a", 1))?;
    play.ask("leave a group of another type", 1, beat(&classic, "a", -1))?;
    play.ask("unknown topics only", 1, first(&group, "b", &["no-such-topic"]))?;
    Ok(())
}

/// Version 0 lets the broker choose the id.
fn member_ids(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    let id = play.ask("no member id at version 0", 0, first(&group, "", &[&t]))?.member_id.unwrap_or_default();
    play.ask("with the id that was given", 0, beat(&group, &id, 1))?;
    play.ask("and at version 1", 1, beat(&group, &id, 1))?;
    let long = "m".repeat(300);
    play.ask("an id of 300 characters", 1, first(&group, &long, &[&t]))?;
    let mut duplicate = first(&group, "twice", &[&t, &t]);
    duplicate.subscribed_topic_names.get_or_insert_default().push(topic_name("no-such-topic"));
    play.ask("a topic twice, and one unknown", 1, duplicate)?;
    Ok(())
}

/// `group.consumer.max.size`, which is 3 here.
fn full(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    for member in ["a", "b", "c"] {
        joined(play, first(&group, member, &[&t]))?;
    }
    for version in [0, 1] {
        play.ask("a fourth member", version, first(&group, "d", &[&t]))?;
        play.ask("a fourth, static member", version, first(&group, "d", &[&t]).with_instance_id(Some(text("i"))))?;
    }
    play.ask("one of the three joins again", 1, first(&group, "c", &[&t]))?;
    play.ask("one leaves", 1, beat(&group, "a", -1))?;
    play.ask("there is a place", 1, first(&group, "d", &[&t]))?;
    Ok(())
}
