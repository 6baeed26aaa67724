//! SyncGroup and Heartbeat: errors in every state, and assignments that do not fit the members.

use super::member::{alone, joined, two, two_joined};
use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("sync-group/refusals", refusals),
        scenario("sync-group/named-protocols", named_protocols),
        scenario("sync-group/assignments", assignments),
        scenario("sync-group/twice", twice),
        scenario("sync-group/leaves", leaves),
        scenario("heartbeat/refusals", heartbeats),
    ]
}

fn refusals(play: &mut Play) -> Done {
    let absent = play.group("absent")?;
    let group = play.group("g")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    for version in 0..=5 {
        play.ask("an empty group id", version, sync(version, "", 1, "x", &[]))?;
        play.ask("an absent group", version, sync(version, &absent, 1, "x", &[]))?;
        play.ask("an unknown member", version, sync(version, &group, a.generation, "x", &[]))?;
        play.ask("no member", version, sync(version, &group, a.generation, "", &[]))?;
        play.ask("another generation", version, sync(version, &group, a.generation + 1, &a.id, &[]))?;
        play.ask("generation -1", version, sync(version, &group, -1, &a.id, &[]))?;
    }
    play.quiet(3, sync(3, &group, a.generation, &a.id, &[(&a.id, "half")]))?;
    play.ask("stable: another generation", 5, sync(5, &group, a.generation - 1, &b.id, &[]))?;
    play.ask("stable: an unknown member", 5, sync(5, &group, a.generation, "x", &[]))?;
    play.quiet(3, leave_all(&group, &[(&a.id, None), (&b.id, None)]))?;
    play.ask("empty: a member that has left", 5, sync(5, &group, a.generation, &a.id, &[]))?;
    Ok(())
}

/// Version 5 names type and protocol, and both must be the group's.
fn named_protocols(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let a = joined(play, &join(&group, "a"))?;
    let request = sync(5, &group, a.generation, &a.id, &[(&a.id, "all")]);
    for kind in [None, Some(""), Some("connect")] {
        play.ask(&format!("type {kind:?}"), 5, request.clone().with_protocol_type(kind.map(text)))?;
    }
    for name in [None, Some(""), Some("sticky")] {
        play.ask(&format!("protocol {name:?}"), 5, request.clone().with_protocol_name(name.map(text)))?;
    }
    play.ask("neither", 5, request.clone().with_protocol_type(None).with_protocol_name(None))?;
    play.ask("both right", 5, request.clone())?;
    play.ask("another type of a stable group", 5, request.clone().with_protocol_type(Some(text("connect"))))?;
    play.ask("another protocol of a stable group", 5, request.with_protocol_name(Some(text("sticky"))))?;
    Ok(())
}

fn assignments(play: &mut Play) -> Done {
    let cases: [(&str, &[(&str, &str)]); 5] = [
        ("for nobody", &[]),
        ("for one of two", &[("a", "all")]),
        ("for an unknown member", &[("a", "half"), ("b", "half"), ("x", "none")]),
        ("twice for the same", &[("a", "first"), ("a", "second"), ("b", "half")]),
        ("that are empty", &[("a", ""), ("b", "")]),
    ];
    for (i, (label, assigned)) in cases.into_iter().enumerate() {
        let group = play.group(&format!("g{i}"))?;
        let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
        let id = |name: &'static str| match name {
            "a" => a.id.clone(),
            "b" => b.id.clone(),
            other => other.to_string(),
        };
        let assigned: Vec<(String, &str)> = assigned.iter().map(|(name, part)| (id(name), *part)).collect();
        let assigned: Vec<(&str, &str)> = assigned.iter().map(|(id, part)| (id.as_str(), *part)).collect();
        play.ask(&format!("assignments {label}"), 5, sync(5, &group, a.generation, &a.id, &assigned))?;
        play.ask_on("b", "the follower's part", 5, sync(5, &group, b.generation, &b.id, &[]))?;
        play.ask("the group", 5, describe(&[&group]))?;
    }
    let group = play.group("follower")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let parked = play.park("b", 5, sync(5, &group, b.generation, &b.id, &[(&a.id, "stolen"), (&b.id, "stolen")]))?;
    play.ask("the leader decides", 5, sync(5, &group, a.generation, &a.id, &[(&a.id, "a"), (&b.id, "b")]))?;
    play.wakes("a follower's own assignments do not count", parked)?;
    Ok(())
}

fn twice(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    play.ask("the leader again, with other assignments", 5, sync(5, &group, a.generation, &a.id, &[(&a.id, "new")]))?;
    play.ask_on("b", "the follower again", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    let group = play.group("parked")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let mut earlier = play.park("b", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    let later = play.park("b again", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    play.still_parked("the earlier of two requests", &mut earlier)?;
    play.ask("the leader", 5, sync(5, &group, a.generation, &a.id, &[(&b.id, "all")]))?;
    play.wakes("the later of two requests", later)?;
    play.still_parked("the earlier of two requests after it", &mut earlier)?;
    Ok(())
}

/// A member leaves while it waits for the leader.
fn leaves(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let mut waiting = play.park("b", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    play.ask_on("b again", "it leaves", 5, leave(5, &group, &b.id))?;
    play.still_parked("its sync", &mut waiting)?;
    play.ask("the leader's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    Ok(())
}

fn heartbeats(play: &mut Play) -> Done {
    let absent = play.group("absent")?;
    let group = play.group("g")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    for version in 0..=4 {
        play.ask("an empty group id", version, heartbeat("", 1, "x"))?;
        play.ask("an absent group", version, heartbeat(&absent, 1, "x"))?;
        play.ask("an unknown member", version, heartbeat(&group, a.generation, "x"))?;
        play.ask("no member", version, heartbeat(&group, a.generation, ""))?;
        play.ask("another generation", version, heartbeat(&group, a.generation + 1, &a.id))?;
        play.ask("generation -1", version, heartbeat(&group, -1, &a.id))?;
        play.ask("before the sync", version, heartbeat(&group, a.generation, &a.id))?;
    }
    play.quiet(3, sync(3, &group, a.generation, &a.id, &[]))?;
    play.ask("stable, though the follower has not synced", 4, heartbeat(&group, b.generation, &b.id))?;
    play.ask("stable: the generation before", 4, heartbeat(&group, b.generation - 1, &b.id))?;
    play.quiet(3, leave_all(&group, &[(&a.id, None), (&b.id, None)]))?;
    play.ask("empty: a member that has left", 4, heartbeat(&group, a.generation, &a.id))?;
    let instance = heartbeat(&group, a.generation, &a.id).with_group_instance_id(Some(text("i")));
    play.ask("empty: an instance that never was", 4, instance)?;
    let group = play.group("stable")?;
    let a = alone(play, &join(&group, "a"))?;
    let instance = heartbeat(&group, a.generation, &a.id).with_group_instance_id(Some(text("i")));
    play.ask("a member that has no instance id, with one", 4, instance)?;
    Ok(())
}
