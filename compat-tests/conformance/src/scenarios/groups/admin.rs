//! DescribeGroups, ListGroups, DeleteGroups.

use super::member::{alone, joined, two_joined};
use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("describe-groups/unknown", unknown),
        scenario("describe-groups/states", states),
        scenario("describe-groups/several", several),
        scenario("list-groups/every-version", list_every_version),
        scenario("list-groups/filters", filters),
        scenario("delete-groups/every-version", delete_every_version),
        scenario("delete-groups/states", delete_states),
    ]
}

fn unknown(play: &mut Play) -> Done {
    let group = play.group("g")?;
    for version in 0..=6 {
        play.ask("an unknown group", version, describe(&[&group]))?;
        play.ask("an empty group id", version, describe(&[""]))?;
        play.ask("no group", version, describe(&[]))?;
        if version >= 3 {
            let request = describe(&[&group]).with_include_authorized_operations(true);
            play.ask("with operations", version, request)?;
        }
    }
    Ok(())
}

/// The same group in each of its states, in every version.
fn states(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let look = |play: &mut Play, state: &str| -> Done {
        for version in [0, 3, 5, 6] {
            play.ask(state, version, describe(&[&group]))?;
        }
        Ok(())
    };
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
    look(play, "CompletingRebalance")?;
    play.quiet(3, sync(3, &group, a.generation, &a.id, &[(&a.id, "half a"), (&b.id, "half b")]))?;
    look(play, "Stable")?;
    for version in 0..=6 {
        play.ask("Stable", version, describe(&[&group]))?;
    }
    let request = describe(&[&group]).with_include_authorized_operations(true);
    play.ask("Stable, with operations", 6, request)?;
    let joining = play.start("b", 9, join(&group, "new").instance("i").member(&b.id).at(9))?;
    play.group_is(&group, "PreparingRebalance")?;
    look(play, "PreparingRebalance")?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.ended(joining)?;
    look(play, "CompletingRebalance once more")?;
    play.quiet(3, leave(3, &group, &b.id))?;
    look(play, "Empty")?;
    play.quiet(2, delete(&[&group]))?;
    look(play, "deleted")
}

fn several(play: &mut Play) -> Done {
    let (one, two) = (play.group("one")?, play.group("two")?);
    let absent = play.group("absent")?;
    alone(play, &join(&one, "a"))?;
    play.client_id("another-client");
    joined(play, &join(&two, "b"))?;
    play.client_id("conformance");
    for version in [0, 5, 6] {
        play.ask("two and an absent one", version, describe(&[&two, &absent, &one]))?;
        play.ask("the same twice", version, describe(&[&one, &one]))?;
    }
    Ok(())
}

fn list_every_version(play: &mut Play) -> Done {
    play.mine_only();
    let stable = play.group("stable")?;
    play.ask("no group", 5, list(&[], &[]))?;
    let a = alone(play, &join(&stable, "a"))?;
    let (completing, connect) = (play.group("completing")?, play.group("connect")?);
    joined(play, &join(&completing, "a"))?;
    joined(play, &join(&connect, "a").kind("connect"))?;
    for version in 0..=5 {
        play.ask("three groups", version, list(&[], &[]))?;
    }
    play.quiet(3, leave(3, &stable, &a.id))?;
    play.ask("one is empty", 5, list(&[], &[]))?;
    play.quiet(2, delete(&[&stable]))?;
    play.ask("it is deleted", 5, list(&[], &[]))?;
    Ok(())
}

fn filters(play: &mut Play) -> Done {
    play.mine_only();
    let (stable, completing, preparing, empty) =
        (play.group("stable")?, play.group("completing")?, play.group("preparing")?, play.group("empty")?);
    alone(play, &join(&stable, "a"))?;
    joined(play, &join(&completing, "a"))?;
    alone(play, &join(&preparing, "a"))?;
    play.start("b", 3, join(&preparing, "b").at(3))?;
    play.group_is(&preparing, "PreparingRebalance")?;
    let gone = alone(play, &join(&empty, "a"))?;
    play.quiet(3, leave(3, &empty, &gone.id))?;
    let states: [&[&str]; 13] = [
        &["Stable"],
        &["stable"],
        &["STABLE"],
        &["Empty"],
        &["CompletingRebalance"],
        &["PreparingRebalance"],
        &["preparingrebalance"],
        &["Dead"],
        &["Assigning", "Reconciling"],
        &["Stable", "Empty", "Stable"],
        &["Stable", "no such state"],
        &["no such state"],
        &[""],
    ];
    for version in [4, 5] {
        for states in states {
            play.ask(&format!("states {states:?}"), version, list(states, &[]))?;
        }
    }
    let types: [&[&str]; 9] = [
        &["classic"],
        &["Classic"],
        &["CLASSIC"],
        &["consumer"],
        &["share"],
        &["streams"],
        &["classic", "consumer"],
        &["no such type"],
        &[""],
    ];
    for types in types {
        play.ask(&format!("types {types:?}"), 5, list(&[], types))?;
    }
    play.ask("a state and a type", 5, list(&["Stable"], &["classic"]))?;
    play.ask("a state and another type", 5, list(&["Stable"], &["consumer"]))?;
    Ok(())
}

fn delete_every_version(play: &mut Play) -> Done {
    let absent = play.group("absent")?;
    for version in 0..=2 {
        let group = play.group(&format!("v{version}"))?;
        let a = alone(play, &join(&group, "a"))?;
        play.ask("a group with a member", version, delete(&[&group]))?;
        play.quiet(3, leave(3, &group, &a.id))?;
        play.ask("an empty group, an absent one, none", version, delete(&[&group, &absent, ""]))?;
        play.ask("once more", version, delete(&[&group]))?;
        play.ask("nothing", version, delete(&[]))?;
        play.ask("it is gone", 6, describe(&[&group]))?;
    }
    Ok(())
}

fn delete_states(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let given = play.quiet(9, join(&group, "a").at(9))?.member_id;
    play.ask("a pending member only", 2, delete(&[&group]))?;
    play.ask("the id that was given", 9, join(&group, "a").member(&given).at(9))?;
    let group = play.group("states")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    play.ask("CompletingRebalance", 2, delete(&[&group]))?;
    play.quiet(3, sync(3, &group, a.generation, &a.id, &[]))?;
    play.ask("Stable", 2, delete(&[&group]))?;
    play.quiet(3, leave(3, &group, &b.id))?;
    play.ask("PreparingRebalance", 2, delete(&[&group]))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.ask("Empty, twice in one request", 2, delete(&[&group, &group]))?;
    Ok(())
}
