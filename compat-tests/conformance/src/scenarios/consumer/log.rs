//! Consumer groups in `__consumer_offsets`, record by record.

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::{alone, joined as joined_classic};
use crate::scenarios::groups::requests::{self as classic, join, leave};
use crate::scenarios::offsets::requests::{commit_by, offsets};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-log/one-member", one_member),
        scenario("consumer-log/reconciliation", reconciliation),
        scenario("consumer-log/static-member", static_member),
        scenario("consumer-log/regex", regex),
        scenario("consumer-log/converted", converted),
        scenario("consumer-log/migration", migration),
    ]
}

fn one_member(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]).with_rack_id(Some(text("r"))).with_server_assignor(Some(text("range"))))?;
    play.group_log("it has joined", &group)?;
    play.quiet(9, commit_by(&group, (1, "a"), vec![offsets(&t, &[(0, 5)])]))?;
    play.quiet(1, owning(&group, "a", 1, &[(&t, &[0, 1])]))?;
    play.group_log("it has committed", &group)?;
    play.quiet(1, beat(&group, "a", -1))?;
    play.group_log("it has left", &group)?;
    play.quiet(2, classic::delete(&[&group]))?;
    play.group_log("the group is deleted", &group)?;
    Ok(())
}

fn reconciliation(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("g")?;
    two(play, &group, &t)?;
    play.group_log("two members are stable", &group)?;
    Ok(())
}

fn static_member(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]).with_instance_id(Some(text("i"))))?;
    play.quiet(1, beat(&group, "a", -2).with_instance_id(Some(text("i"))))?;
    play.group_log("it has left for a while", &group)?;
    joined(play, first(&group, "b", &[&t]).with_instance_id(Some(text("i"))))?;
    play.group_log("it has come back", &group)?;
    Ok(())
}

fn regex(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    let mut epoch = joined(play, first_by_regex(&group, "a", &t))?;
    play.wait("the expression is resolved", |play| {
        let answer = play.quiet(1, beat(&group, "a", epoch))?;
        epoch = answer.member_epoch.max(epoch);
        Ok(play.quiet(1, describe(&[&group]))?.groups[0].members[0].assignment.topic_partitions.len() == 1)
    })?;
    play.group_log("resolved", &group)?;
    play.quiet(1, beat(&group, "a", -1))?;
    play.group_log("it has left", &group)?;
    Ok(())
}

/// Empty groups that change their type.
fn converted(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    let a = alone(play, &join(&group, "").subscribed(&[&t]))?;
    play.quiet(9, commit_by(&group, (a.generation, &a.id), vec![offsets(&t, &[(0, 1)])]))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    joined(play, first(&group, "a", &[&t]))?;
    play.group_log("classic, then consumer", &group)?;
    play.quiet(1, beat(&group, "a", -1))?;
    alone(play, &join(&group, "").subscribed(&[&t]))?;
    play.group_log("and classic again", &group)?;
    Ok(())
}

fn migration(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    let member = join(&group, "").subscribed(&[&t]);
    let a = joined_classic(play, &member)?;
    let all = assignment(&[(&t, &[0, 1])]);
    play.quiet(3, sync_with(3, &group, a.generation, &a.id, &[(&a.id, all)]))?;
    play.quiet(1, first(&group, "b", &[&t]))?;
    play.group_log("a consumer has joined the classic member", &group)?;
    play.quiet(1, beat(&group, "b", -1))?;
    play.group_log("the consumer has left", &group)?;
    Ok(())
}
