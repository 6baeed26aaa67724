//! The broker's assignors: which one a group uses, and what each of them makes of one topic. What a topic's partitions of several members are is
//! compared for one topic only: topic ids are chance, and Kafka's assignors go by them.

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-assignors/range", range),
        scenario("consumer-assignors/uniform", uniform),
        scenario("consumer-assignors/votes", votes),
        scenario("consumer-assignors/different-subscriptions", different_subscriptions),
        scenario("consumer-assignors/racks", racks),
    ]
}

fn target_of(play: &mut Play, assignor: &str, members: &[&str], partitions: i32) -> Done {
    let t = play.topic(&format!("{assignor}-{partitions}-{}", members.len()), partitions)?;
    let group = play.consumer_group(&format!("{assignor}-{partitions}-{}", members.len()))?;
    for member in members {
        joined(play, first(&group, member, &[&t]).with_server_assignor(Some(text(assignor))))?;
    }
    play.ask(&format!("{} members, {partitions} partitions", members.len()), 1, describe(&[&group]))?;
    Ok(())
}

/// Ranges follow the members' ids, not the order in which they came.
fn range(play: &mut Play) -> Done {
    target_of(play, "range", &["b", "a"], 5)?;
    target_of(play, "range", &["c", "a", "b"], 7)?;
    let (t, u) = (play.topic("t", 3)?, play.topic("u", 2)?);
    let group = play.consumer_group("two-topics")?;
    for member in ["b", "a"] {
        joined(play, first(&group, member, &[&t, &u]).with_server_assignor(Some(text("range"))))?;
    }
    play.ask("two topics of three and two partitions", 1, describe(&[&group]))?;
    Ok(())
}

fn uniform(play: &mut Play) -> Done {
    target_of(play, "uniform", &["b", "a"], 5)?;
    target_of(play, "uniform", &["c", "a", "b"], 7)?;
    Ok(())
}

/// Most members decide; who names none has the default.
fn votes(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    play.ask("nobody names one", 1, describe(&[&group]))?;
    joined(play, first(&group, "b", &[&t]).with_server_assignor(Some(text("range"))))?;
    play.ask("one names range", 1, describe(&[&group]))?;
    joined(play, first(&group, "c", &[&t]).with_server_assignor(Some(text("uniform"))))?;
    joined(play, first(&group, "d", &[&t]).with_server_assignor(Some(text("uniform"))))?;
    play.ask("two name uniform", 1, describe(&[&group]))?;
    play.ask("a member changes its mind", 1, beat(&group, "a", 1).with_server_assignor(Some(text("range"))))?;
    play.ask("an assignor that is unknown", 1, beat(&group, "a", 1).with_server_assignor(Some(text("sticky"))))?;
    Ok(())
}

fn different_subscriptions(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 2)?, play.topic("u", 2)?);
    for assignor in ["uniform", "range"] {
        let group = play.consumer_group(assignor)?;
        joined(play, first(&group, "a", &[&t]).with_server_assignor(Some(text(assignor))))?;
        joined(play, first(&group, "b", &[&u]).with_server_assignor(Some(text(assignor))))?;
        play.ask(&format!("{assignor}: each has a topic of its own"), 1, describe(&[&group]))?;
    }
    Ok(())
}

fn racks(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    play.ask("a member with a rack", 1, first(&group, "a", &[&t]).with_rack_id(Some(text("r1"))))?;
    play.ask("another rack", 1, first(&group, "b", &[&t]).with_rack_id(Some(text("r2"))))?;
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}
