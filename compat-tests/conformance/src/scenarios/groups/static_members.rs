//! Static members (KIP-345): an instance id that outlives member ids.

use super::member::{Member, alone, two, two_joined};
use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("static-members/join", first_join),
        scenario("static-members/replaced-when-stable", replaced_when_stable),
        scenario("static-members/leader-replaced", leader_replaced),
        scenario("static-members/changed", changed),
        scenario("static-members/replaced-while-joining", replaced_while_joining),
        scenario("static-members/replaced-while-syncing", replaced_while_syncing),
        scenario("static-members/fenced", fenced),
        scenario("static-members/unknown", unknown),
    ]
}

/// No id is required: the instance has one.
fn first_join(play: &mut Play) -> Done {
    for version in 5..=9 {
        let group = play.group(&format!("v{version}"))?;
        let answer = play.ask("a static member joins", version, join(&group, "a").instance("i").at(version))?;
        let (id, sync_version) = (answer.member_id.to_string(), version.min(5));
        let request = sync(sync_version, &group, answer.generation_id, &id, &[(&id, "all")]);
        play.ask("it syncs", sync_version, request.with_group_instance_id(Some(text("i"))))?;
        play.ask("the group", version.min(6), describe(&[&group]))?;
        let beat = heartbeat(&group, answer.generation_id, &id).with_group_instance_id(Some(text("i")));
        play.ask("its heartbeat", 4, beat)?;
        play.ask("it joins again by its id", version, join(&group, "a").instance("i").member(&id).at(version))?;
    }
    let group = play.group("empty-instance")?;
    play.ask("an empty instance id", 9, join(&group, "a").instance("").at(9))?;
    Ok(())
}

/// A follower that comes back as a new process takes its old place, and nobody else notices.
fn replaced_when_stable(play: &mut Play) -> Done {
    for version in [5, 7, 9] {
        let group = play.group(&format!("v{version}"))?;
        let (a, b) = two(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
        let answer =
            play.ask_on("new b", "the instance comes back", version, join(&group, "b").instance("i").at(version))?;
        let id = answer.member_id.to_string();
        play.ask("the group", 5, describe(&[&group]))?;
        play.ask("the leader's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
        play.ask_on("new b", "its heartbeat", 4, heartbeat(&group, b.generation, &id))?;
        play.ask_on("new b", "its sync brings the old assignment", 5, sync(5, &group, b.generation, &id, &[]))?;
        play.ask_on("b", "the old process's heartbeat", 4, heartbeat(&group, b.generation, &b.id))?;
        let beat = heartbeat(&group, b.generation, &b.id).with_group_instance_id(Some(text("i")));
        play.ask_on("b", "the old process's heartbeat with its instance id", 4, beat)?;
    }
    Ok(())
}

fn leader_replaced(play: &mut Play) -> Done {
    for version in [5, 8, 9] {
        let group = play.group(&format!("v{version}"))?;
        let (_, b) = two(play, &join(&group, "a").instance("i"), &join(&group, "b"))?;
        let answer =
            play.ask("the leading instance comes back", version, join(&group, "a").instance("i").at(version))?;
        let id = answer.member_id.to_string();
        play.ask("its sync", 5, sync(5, &group, answer.generation_id, &id, &[(&id, "new")]))?;
        play.ask("the group", 5, describe(&[&group]))?;
        play.ask_on("b", "the follower's heartbeat", 4, heartbeat(&group, b.generation, &b.id))?;
        play.ask_on("b", "the follower joins again", 9, join(&group, "b").member(&b.id).at(9))?;
        let again = play.park("main", 9, join(&group, "a").instance("i").member(&id).at(9))?;
        play.ask_on("b", "the follower joins as the leader has", 9, join(&group, "b").member(&b.id).at(9))?;
        play.wakes("the leader joins by its id, which rebalances", again)?;
    }
    Ok(())
}

/// An instance that comes back with other metadata or protocols.
fn changed(play: &mut Play) -> Done {
    let group = play.group("metadata")?;
    let (a, _) = two(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
    play.ask_on("new b", "with other metadata", 9, join(&group, "new").instance("i").at(9))?;
    play.ask("the leader's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("the group", 5, describe(&[&group]))?;

    let group = play.group("protocol")?;
    let both: &[(&str, &str)] = &[("range", "a"), ("sticky", "a")];
    let first = join(&group, "").protocols(both);
    let (a, _) = two(play, &first, &join(&group, "").protocols(both).instance("i"))?;
    let sticky = join(&group, "").protocols(&[("sticky", "b")]).instance("i");
    let joining = play.park("new b", 9, sticky.at(9))?;
    play.ask("the leader's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("the leader joins again", 9, first.member(&a.id).at(9))?;
    play.wakes("with a protocol that changes the selection", joining)?;

    let group = play.group("inconsistent")?;
    two(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
    let sticky = join(&group, "").protocols(&[("sticky", "b")]).instance("i");
    play.ask_on("new b", "with a protocol that nobody else knows", 9, sticky.at(9))?;
    play.ask("the group", 5, describe(&[&group]))?;

    let group = play.group("timeouts")?;
    let a = alone(play, &join(&group, "a").instance("i"))?;
    play.ask("with other timeouts", 9, join(&group, "a").instance("i").session(10_000).rebalance(5_000).at(9))?;
    play.ask("the process before", 4, heartbeat(&group, a.generation, &a.id))?;
    Ok(())
}

fn replaced_while_joining(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
    let old = play.park("b", 9, join(&group, "new").instance("i").member(&b.id).at(9))?;
    let new = play.park("new b", 9, join(&group, "b").instance("i").at(9))?;
    play.wakes("the old process's join", old)?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    play.wakes("the new process's join", new)?;
    Ok(())
}

fn replaced_while_syncing(play: &mut Play) -> Done {
    let group = play.group("syncing")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
    let old = play.park("b", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    let new = play.park("new b", 9, join(&group, "b").instance("i").at(9))?;
    play.wakes("the old process's sync", old)?;
    play.ask("the leader's sync", 5, sync(5, &group, a.generation, &a.id, &[(&a.id, "all")]))?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    play.wakes("the new process's join", new)?;
    Ok(())
}

/// Error 82 on every call of the process that was replaced.
fn fenced(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (_, b) = two(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
    play.ask_on("new b", "the instance comes back", 9, join(&group, "b").instance("i").at(9))?;
    let instance = || Some(text("i"));
    let Member { id, generation } = b;
    for version in [3, 4] {
        let beat = heartbeat(&group, generation, &id).with_group_instance_id(instance());
        play.ask_on("b", "its heartbeat", version, beat)?;
    }
    for version in 3..=5 {
        let request = sync(version, &group, generation, &id, &[]).with_group_instance_id(instance());
        play.ask_on("b", "its sync", version, request)?;
        play.ask_on("b", "it leaves", version, leave_all(&group, &[(&id, Some("i"))]))?;
    }
    for version in [5, 7, 9] {
        play.ask_on("b", "it joins again", version, join(&group, "b").instance("i").member(&id).at(version))?;
    }
    play.ask_on("b", "it joins without its instance id", 9, join(&group, "b").member(&id).at(9))?;
    let beat = heartbeat(&group, generation - 1, &id).with_group_instance_id(instance());
    play.ask_on("b", "its heartbeat of the generation before", 4, beat)?;
    play.ask("the group", 5, describe(&[&group]))?;
    Ok(())
}

fn unknown(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let nobody = || Some(text("nobody"));
    play.ask("an instance with an id joins an absent group", 9, join(&group, "a").instance("i").member("x").at(9))?;
    let a = alone(play, &join(&group, "a").instance("i"))?;
    play.ask("an unknown instance with a member's id", 9, join(&group, "a").instance("nobody").member(&a.id).at(9))?;
    let request = heartbeat(&group, a.generation, &a.id);
    play.ask("heartbeat of an unknown instance", 4, request.clone().with_group_instance_id(nobody()))?;
    play.ask(
        "heartbeat of an instance without id",
        4,
        heartbeat(&group, a.generation, "").with_group_instance_id(Some(text("i"))),
    )?;
    let request = sync(5, &group, a.generation, &a.id, &[]).with_group_instance_id(nobody());
    play.ask("sync of an unknown instance", 5, request)?;
    play.ask("the group", 5, describe(&[&group]))?;
    play.ask("the instance is removed", 5, leave_all(&group, &[("", Some("i"))]))?;
    let beat = heartbeat(&group, a.generation, &a.id).with_group_instance_id(Some(text("i")));
    play.ask("its heartbeat", 4, beat)?;
    play.ask("it joins again by its old id", 9, join(&group, "a").instance("i").member(&a.id).at(9))?;
    play.ask("it joins anew", 9, join(&group, "a").instance("i").at(9))?;
    Ok(())
}
