//! OffsetDelete (47).

use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::{alone, two, two_joined};
use crate::scenarios::groups::requests::{describe, join, leave, sync};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("offset-delete/simple-groups", simple_groups),
        scenario("offset-delete/of-a-generation", of_a_generation),
        scenario("offset-delete/states", states),
        scenario("offset-delete/subscribed", subscribed),
        scenario("offset-delete/other-types", other_types),
    ]
}

fn simple_groups(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 2)?, play.topic("u", 1)?);
    let (group, absent) = (play.group("g")?, play.group("absent")?);
    play.quiet(9, commit_by(&group, (-1, ""), vec![offsets(&t, &[(0, 1), (1, 2)]), offsets(&u, &[(0, 3)])]))?;
    play.ask("an absent group", 0, delete(&absent, &[(&t, &[0])]))?;
    play.ask("an absent group, no topics", 0, delete(&absent, &[]))?;
    play.ask("an empty group id", 0, delete("", &[(&t, &[0])]))?;
    play.ask("no topics", 0, delete(&group, &[]))?;
    play.ask("no partitions", 0, delete(&group, &[(&t, &[])]))?;
    play.ask("unknown ones", 0, delete(&group, &[(&t, &[2, -1]), ("no-such-topic", &[0]), ("", &[0])]))?;
    play.ask("everything is still there", 9, fetch(9, &group, None))?;
    play.ask("one partition, and an unknown one", 0, delete(&group, &[(&t, &[1, 2])]))?;
    play.ask("it is gone", 9, fetch(9, &group, None))?;
    play.ask("the same again", 0, delete(&group, &[(&t, &[1])]))?;
    play.ask("a topic and a partition twice", 0, delete(&group, &[(&t, &[0, 0]), (&t, &[0])]))?;
    play.ask("the last", 0, delete(&group, &[(&u, &[0])]))?;
    play.ask("the group without offsets", 6, describe(&[&group]))?;
    Ok(())
}

fn states(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.group("g")?;
    let given = play.quiet(9, join(&group, "a").at(9))?.member_id;
    play.ask("a pending member only", 0, delete(&group, &[(&t, &[0])]))?;
    play.quiet(5, leave(5, &group, &given))?;
    let (a, b) = two_joined(play, &join(&group, "").subscribed(&[&t]), &join(&group, "").subscribed(&[&t]))?;
    play.ask("CompletingRebalance", 0, delete(&group, &[(&t, &[0])]))?;
    play.quiet(3, sync(3, &group, a.generation, &a.id, &[]))?;
    play.ask("Stable", 0, delete(&group, &[(&t, &[0])]))?;
    play.quiet(9, commit_by(&group, (a.generation, &a.id), vec![offsets(&t, &[(0, 1)])]))?;
    play.quiet(3, leave(3, &group, &b.id))?;
    play.ask("PreparingRebalance", 0, delete(&group, &[(&t, &[0])]))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.ask("Empty", 0, delete(&group, &[(&t, &[0])]))?;
    play.ask("its offsets", 9, fetch(9, &group, None))?;
    Ok(())
}

/// Of a group of consumers only the offsets of topics that none of them subscribes to go.
fn subscribed(play: &mut Play) -> Done {
    let (t, u, v) = (play.topic("t", 1)?, play.topic("u", 1)?, play.topic("v", 1)?);
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "").subscribed(&[&t]), &join(&group, "").subscribed(&[&u]))?;
    let all = vec![offsets(&t, &[(0, 1)]), offsets(&u, &[(0, 2)]), offsets(&v, &[(0, 3)])];
    play.quiet(9, commit_by(&group, (a.generation, &a.id), all))?;
    let topics: &[(&str, &[i32])] = &[(&t, &[0, 1]), (&u, &[0]), (&v, &[0]), ("no-such-topic", &[0])];
    play.ask("two subscribed topics, one that is not, one unknown", 0, delete(&group, topics))?;
    play.ask("what is left", 9, fetch(9, &group, None))?;
    play.quiet(3, leave(3, &group, &b.id))?;
    play.quiet(3, join(&group, "").subscribed(&[&t]).member(&a.id).at(3))?;
    play.ask("its only subscriber has gone", 0, delete(&group, &[(&u, &[0])]))?;
    let unreadable = play.group("unreadable")?;
    let a = alone(play, &join(&unreadable, "a"))?;
    play.quiet(9, commit_by(&unreadable, (a.generation, &a.id), vec![offsets(&t, &[(0, 1)])]))?;
    play.ask("a member whose subscription cannot be read", 0, delete(&unreadable, &[(&t, &[0])]))?;
    Ok(())
}

fn other_types(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.group("connect")?;
    let a = alone(play, &join(&group, "a").kind("connect"))?;
    play.quiet(8, commit_by(&group, (a.generation, &a.id), vec![offsets(&t, &[(0, 1)])]))?;
    play.ask("a group of another type", 0, delete(&group, &[(&t, &[0])]))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.ask("the same, empty", 0, delete(&group, &[(&t, &[0])]))?;
    play.ask("its offsets", 9, fetch(9, &group, None))?;
    Ok(())
}

/// A topic is subscribed to as long as the generation is that did, also when its subscriber has left.
fn of_a_generation(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "").subscribed(&[&t]), &join(&group, "").subscribed(&[&u]))?;
    let offsets = vec![offsets(&t, &[(0, 1)]), offsets(&u, &[(0, 2)])];
    play.quiet(9, commit_by(&group, (a.generation, &a.id), offsets))?;
    play.ask("b leaves", 3, leave(3, &group, &b.id))?;
    play.ask("while a is to join again", 0, delete(&group, &[(&t, &[0]), (&u, &[0])]))?;
    play.quiet(3, join(&group, "").subscribed(&[&t]).member(&a.id).at(3))?;
    play.ask("once it has", 0, delete(&group, &[(&t, &[0]), (&u, &[0])]))?;
    play.ask("what is left", 9, fetch(9, &group, None))?;
    Ok(())
}
