//! Subscriptions by regular expression (version 1): the broker resolves them, a moment after it has answered.

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use kafka_protocol::messages::ConsumerGroupHeartbeatResponse;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-regex/matching", matching),
        scenario("consumer-regex/invalid", invalid),
        scenario("consumer-regex/changed", changed),
        scenario("consumer-regex/with-names", with_names),
    ]
}

fn has_partitions(answer: &ConsumerGroupHeartbeatResponse) -> bool {
    answer.assignment.as_ref().is_some_and(|a| !a.topic_partitions.is_empty())
}

fn matching(play: &mut Play) -> Done {
    let (t, _) = (play.topic("t", 2)?, play.topic("other", 1)?);
    let patterns = [play.name("t"), play.name("t.*"), play.name("[s-t]"), format!("(?:{}|nothing)", play.name("t"))];
    for (i, pattern) in patterns.iter().enumerate() {
        let group = play.consumer_group(&format!("g{i}"))?;
        let epoch = play.ask(&format!("pattern {i}"), 1, first_by_regex(&group, "a", pattern))?.member_epoch;
        // Resolved on the way or just after: the epochs on the way there are chance.
        let mut epoch = epoch;
        play.wait("the expression is resolved", |play| {
            let answer = play.quiet(1, first_by_regex(&group, "a", pattern).with_member_epoch(epoch))?;
            epoch = answer.member_epoch;
            Ok(has_partitions(&answer))
        })?;
        play.ask("resolved", 1, owning(&group, "a", epoch, &[(&t, &[0, 1])]))?;
        play.ask("the group", 1, describe(&[&group]))?;
    }
    let group = play.consumer_group("nothing")?;
    play.ask("a pattern that matches nothing", 1, first_by_regex(&group, "a", "no-such-topic-at-all"))?;
    play.ask("its heartbeat", 1, beat(&group, "a", 1))?;
    Ok(())
}

/// RE2's syntax, not Java's.
fn invalid(play: &mut Play) -> Done {
    let group = play.consumer_group("g")?;
    let patterns = ["[", "(", "*", "a(?=b)", "(a)\\1", "a{2,1}", "\\", "", "(?<name>a", "a++", "\\p{IsGreek}"];
    for pattern in patterns {
        play.ask(&format!("the pattern \"{pattern}\""), 1, first_by_regex(&group, "a", pattern))?;
    }
    joined(play, first_by_regex(&group, "a", "no-such-topic-at-all"))?;
    play.ask(
        "a member changes to an invalid one",
        1,
        beat(&group, "a", 1).with_subscribed_topic_regex(Some(text("["))),
    )?;
    Ok(())
}

fn changed(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let group = play.consumer_group("g")?;
    let mut epoch = joined(play, first_by_regex(&group, "a", &t))?;
    let until_assigned = |play: &mut Play, epoch: &mut i32| {
        play.wait("the expression is resolved", |play| {
            let answer = play.quiet(1, beat(&group, "a", *epoch))?;
            *epoch = answer.member_epoch.max(*epoch);
            let look = play.quiet(1, describe(&[&group]))?;
            Ok(look.groups[0].members[0].target_assignment.topic_partitions.len() == 1
                && look.groups[0].group_state.as_str() != "Assigning")
        })
    };
    until_assigned(play, &mut epoch)?;
    play.ask("one expression", 1, describe(&[&group]))?;
    let request = beat(&group, "a", epoch).with_subscribed_topic_regex(Some(text(&u)));
    play.quiet(1, request)?;
    play.wait("the other topic is the target", |play| {
        let answer = play.quiet(1, beat(&group, "a", epoch))?;
        epoch = answer.member_epoch.max(epoch);
        let look = play.quiet(1, describe(&[&group]))?;
        let target = &look.groups[0].members[0].target_assignment.topic_partitions;
        Ok(target.len() == 1 && target[0].topic_name.as_str() == &*u)
    })?;
    play.ask("another expression", 1, describe(&[&group]))?;
    let none = beat(&group, "a", epoch).with_subscribed_topic_regex(Some(text("")));
    play.ask("none any more", 1, none)?;
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}

fn with_names(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let group = play.consumer_group("g")?;
    let mut epoch = joined(play, first(&group, "a", &[&t]).with_subscribed_topic_regex(Some(text(&u))))?;
    play.wait("both are the target", |play| {
        let answer = play.quiet(1, beat(&group, "a", epoch))?;
        epoch = answer.member_epoch.max(epoch);
        let look = play.quiet(1, describe(&[&group]))?;
        Ok(look.groups[0].members[0].target_assignment.topic_partitions.len() == 2)
    })?;
    play.ask("a name and an expression", 1, describe(&[&group]))?;
    Ok(())
}
