//! Reconciliation: who owns what on the way to the target, revoke before assign.

use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-reconcile/two-members", two_members),
        scenario("consumer-reconcile/three-members", three_members),
        scenario("consumer-reconcile/leaving", leaving),
        scenario("consumer-reconcile/owned", owned),
        scenario("consumer-reconcile/more-members-than-partitions", more_members),
    ]
}

fn two_members(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("g")?;
    play.ask_on("a", "a joins", 1, first(&group, "a", &[&t]))?;
    play.ask_on("b", "b joins, and waits for partitions", 1, first(&group, "b", &[&t]))?;
    play.ask("describe while b waits", 1, describe(&[&group]))?;
    play.ask_on("b", "b still waits", 1, owning(&group, "b", 2, &[]))?;
    let told = play.ask_on("a", "a is told what it keeps", 1, owning(&group, "a", 1, &[(&t, &[0, 1, 2, 3])]))?;
    let kept = assigned(&told).concat();
    play.ask("describe while a revokes", 1, describe(&[&group]))?;
    play.ask_on("b", "b still waits for a", 1, beat(&group, "b", 2))?;
    play.ask_on("a", "a has given them up", 1, owning(&group, "a", 1, &[(&t, &kept)]))?;
    let told = play.ask_on("b", "b gets them", 1, beat(&group, "b", 2))?;
    let got = assigned(&told).concat();
    play.ask_on("b", "b owns them", 1, owning(&group, "b", 2, &[(&t, &got)]))?;
    play.ask_on("a", "nothing new for a", 1, owning(&group, "a", 2, &[(&t, &kept)]))?;
    play.ask("describe the stable group", 1, describe(&[&group]))?;
    play.ask_on("b", "b leaves", 1, beat(&group, "b", -1))?;
    play.ask("describe before a knows", 1, describe(&[&group]))?;
    play.ask_on("a", "a gets all again", 1, beat(&group, "a", 2))?;
    play.ask("describe once more", 1, describe(&[&group]))?;
    Ok(())
}

fn three_members(play: &mut Play) -> Done {
    let t = play.topic("t", 6)?;
    let group = play.consumer_group("g")?;
    play.ask_on("a", "a joins", 1, first(&group, "a", &[&t]))?;
    play.ask_on("b", "b joins", 1, first(&group, "b", &[&t]))?;
    play.ask_on("c", "c joins before a has given anything up", 1, first(&group, "c", &[&t]))?;
    let told = play.ask_on("a", "a goes straight to the latest target", 1, beat(&group, "a", 1))?;
    let kept = assigned(&told).concat();
    play.ask_on("c", "c's heartbeat", 1, beat(&group, "c", 3))?;
    play.ask_on("b", "b's heartbeat", 1, beat(&group, "b", 2))?;
    play.ask_on("a", "a has given them up", 1, owning(&group, "a", 1, &[(&t, &kept)]))?;
    play.ask("describe", 1, describe(&[&group]))?;
    play.ask_on("b", "b gets its part", 1, beat(&group, "b", 3))?;
    play.ask_on("c", "c gets its part", 1, beat(&group, "c", 3))?;
    play.ask("describe the stable group", 1, describe(&[&group]))?;
    play.ask_on("a", "a leaves", 1, beat(&group, "a", -1))?;
    play.ask_on("b", "b gets its part of a's", 1, beat(&group, "b", 3))?;
    play.ask_on("c", "c gets its part of a's", 1, beat(&group, "c", 3))?;
    Ok(())
}

/// A member goes while another waits for its partitions, and while it revokes.
fn leaving(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("while-waited-for")?;
    joined(play, first(&group, "a", &[&t]))?;
    joined(play, first(&group, "b", &[&t]))?;
    play.ask_on("a", "a leaves", 1, beat(&group, "a", -1))?;
    play.ask_on("b", "b has all", 1, beat(&group, "b", 2))?;

    let group = play.consumer_group("newcomer")?;
    joined(play, first(&group, "a", &[&t]))?;
    joined(play, first(&group, "b", &[&t]))?;
    play.ask_on("a", "a is told to revoke", 1, beat(&group, "a", 1))?;
    play.ask_on("b", "b leaves before it got any", 1, beat(&group, "b", -1))?;
    play.ask_on("a", "a may keep what it has not given up", 1, owning(&group, "a", 1, &[(&t, &[0, 1, 2, 3])]))?;
    play.ask_on("a", "a with what it was told to keep", 1, owning(&group, "a", 1, &[(&t, &[0, 1])]))?;
    play.ask("the group", 1, describe(&[&group]))?;

    let group = play.consumer_group("last")?;
    joined(play, first(&group, "a", &[&t]))?;
    play.ask("the only member leaves", 1, beat(&group, "a", -1))?;
    play.ask("the group", 1, describe(&[&group]))?;
    play.ask("another joins", 1, first(&group, "b", &[&t]))?;
    Ok(())
}

/// What members claim to own.
fn owned(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 4)?, play.topic("u", 1)?);
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    play.ask("less than it has", 1, owning(&group, "a", 1, &[(&t, &[0])]))?;
    play.ask("more than there is", 1, owning(&group, "a", 1, &[(&t, &[0, 1, 2, 3, 4])]))?;
    play.ask("another topic", 1, owning(&group, "a", 1, &[(&u, &[0])]))?;
    play.ask("nothing", 1, owning(&group, "a", 1, &[]))?;
    play.ask("all of it", 1, owning(&group, "a", 1, &[(&t, &[3, 2, 1, 0])]))?;
    joined(play, first(&group, "b", &[&t]))?;
    play.ask("some of what it is to give up", 1, owning(&group, "a", 1, &[(&t, &[0, 1, 2])]))?;
    play.ask("none", 1, owning(&group, "a", 1, &[]))?;
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}

fn more_members(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    for member in ["a", "b", "c"] {
        play.ask_on(member, &format!("{member} joins"), 1, first(&group, member, &[&t]))?;
    }
    play.ask_on("a", "a keeps the only partition", 1, beat(&group, "a", 1))?;
    play.ask("the group", 1, describe(&[&group]))?;
    play.ask_on("a", "a leaves", 1, beat(&group, "a", -1))?;
    play.ask_on("c", "c's heartbeat", 1, beat(&group, "c", 3))?;
    play.ask_on("b", "b's heartbeat", 1, beat(&group, "b", 2))?;
    play.ask("the group without a", 1, describe(&[&group]))?;
    Ok(())
}
