//! LeaveGroup: one member, several, by instance id, in every state.

use super::member::{alone, joined, two, two_joined};
use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("leave-group/every-version", every_version),
        scenario("leave-group/batches", batches),
        scenario("leave-group/while-joining", while_joining),
        scenario("leave-group/leaders", leaders),
        scenario("leave-group/pending", pending),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let absent = play.group("absent")?;
    for version in 0..=5 {
        play.ask("an empty group id", version, leave(version, "", "x"))?;
        play.ask("an absent group", version, leave(version, &absent, "x"))?;
        let group = play.group(&format!("v{version}"))?;
        let a = alone(play, &join(&group, "a"))?;
        play.ask("an unknown member", version, leave(version, &group, "x"))?;
        play.ask("no member id", version, leave(version, &group, ""))?;
        play.ask("the only member", version, leave(version, &group, &a.id))?;
        play.ask("once more", version, leave(version, &group, &a.id))?;
        play.ask("the group", 5, describe(&[&group]))?;
    }
    Ok(())
}

fn batches(play: &mut Play) -> Done {
    for version in 3..=5 {
        let group = play.group(&format!("v{version}"))?;
        let (a, b) = two(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
        play.ask("nobody", version, leave_all(&group, &[]))?;
        let strangers = [("x", None), ("", Some("nobody")), ("x", Some("nobody")), ("", None)];
        play.ask("strangers", version, leave_all(&group, &strangers))?;
        play.ask(
            "the instance with another's id",
            version,
            leave_all(&group, &[("x", Some("i")), (&a.id, Some("i"))]),
        )?;
        play.ask("a dynamic member with an instance id", version, leave_all(&group, &[(&a.id, Some("j"))]))?;
        play.ask("the group is as it was", 5, describe(&[&group]))?;
        play.ask("by instance, and a stranger", version, leave_all(&group, &[("", Some("i")), ("x", None)]))?;
        play.ask(
            "both, one of them gone, one twice",
            version,
            leave_all(&group, &[(&b.id, Some("i")), (&a.id, None), (&a.id, None)]),
        )?;
        play.ask("the empty group", 5, describe(&[&group]))?;
    }
    let group = play.group("with-ids")?;
    let (a, b) = two(play, &join(&group, "a").instance("i"), &join(&group, "b").instance("j"))?;
    let reasons = leave_all(&group, &[(&a.id, Some("i")), (&b.id, None)]);
    play.ask("a static member with both ids, another by its member id alone", 5, reasons)?;
    play.ask("the group", 5, describe(&[&group]))?;
    Ok(())
}

/// Members that leave while they, or others, wait in JoinGroup.
fn while_joining(play: &mut Play) -> Done {
    let group = play.group("itself")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    let joining = play.park("b", 9, join(&group, "new").member(&b.id).at(9))?;
    play.ask_on("b again", "a member that waits leaves", 5, leave(5, &group, &b.id))?;
    play.wakes("its own join", joining)?;
    play.ask("the other's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("the other joins again", 9, join(&group, "a").member(&a.id).at(9))?;

    let group = play.group("last")?;
    let a = joined(play, &join(&group, "a"))?;
    let joining = play.park("b", 3, join(&group, "b").at(3))?;
    play.ask("the only other leaves", 3, leave(3, &group, &a.id))?;
    play.wakes("the join of the one that stays", joining)?;

    let group = play.group("closed")?;
    let a = alone(play, &join(&group, "a"))?;
    let joining = play.park("b", 3, join(&group, "b").at(3))?;
    play.close("b");
    drop(joining);
    let mut waiting = play.park("main", 3, join(&group, "a").member(&a.id).at(3))?;
    play.still_parked("a member whose connection is gone still counts as joined", &mut waiting)?;
    Ok(())
}

/// Who leads when the leader goes.
fn leaders(play: &mut Play) -> Done {
    let group = play.group("stable")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    play.ask("the leader leaves", 5, leave(5, &group, &a.id))?;
    play.ask("the group", 5, describe(&[&group]))?;
    play.ask_on("b", "the follower's sync", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    play.ask_on("b", "the follower leads", 9, join(&group, "b").member(&b.id).at(9))?;

    let group = play.group("completing")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    play.ask_on("b", "the follower leaves", 5, leave(5, &group, &b.id))?;
    play.ask("the leader's sync", 5, sync(5, &group, a.generation, &a.id, &[(&a.id, "all")]))?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    Ok(())
}

/// An id that was given and never joined leaves: all others rebalance.
fn pending(play: &mut Play) -> Done {
    let group = play.group("stable")?;
    let a = alone(play, &join(&group, "a"))?;
    let given = play.ask_on("b", "an id is given to b", 9, join(&group, "b").at(9))?.member_id;
    play.ask("no rebalance yet", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask_on("b", "b leaves", 5, leave(5, &group, &given))?;
    play.ask("a is to join again", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("it does", 9, join(&group, "a").member(&a.id).at(9))?;

    let group = play.group("completing")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let mut waiting = play.park("b", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    let given = play.ask_on("c", "an id is given to c", 9, join(&group, "c").at(9))?.member_id;
    play.still_parked("b waits for the leader", &mut waiting)?;
    play.ask_on("c", "c leaves", 5, leave(5, &group, &given))?;
    play.wakes("b is to join again", waiting)?;
    play.ask("the leader's sync", 5, sync(5, &group, a.generation, &a.id, &[(&a.id, "all")]))?;
    Ok(())
}
