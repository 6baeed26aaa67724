//! Whole lives of classic groups: members on one, two and three connections, in every version.

use super::member::alone;
use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("group-lives/every-version", every_version),
        scenario("group-lives/two-members", two_members),
        scenario("group-lives/three-members", three_members),
        scenario("group-lives/generations", generations),
        scenario("group-lives/other-types", other_types),
    ]
}

/// One member comes, stays, joins again, goes.
fn every_version(play: &mut Play) -> Done {
    for version in 0..=9 {
        let group = play.group(&format!("v{version}"))?;
        let (sync_version, heartbeat_version) = (version.min(5), version.min(4));
        let mut member = join(&group, "a").reason("first");
        let mut answer = play.ask("join", version, member.at(version))?;
        if answer.error_code == 79 {
            member.member = answer.member_id.to_string();
            answer = play.ask("join with the id that was given", version, member.at(version))?;
        }
        member.member = answer.member_id.to_string();
        let (generation, id) = (answer.generation_id, member.member.clone());
        play.ask("sync", sync_version, sync(sync_version, &group, generation, &id, &[(&id, "all")]))?;
        play.ask("heartbeat", heartbeat_version, heartbeat(&group, generation, &id))?;
        play.ask("describe", version.min(6), describe(&[&group]))?;
        let generation = play.ask("join again", version, member.at(version))?.generation_id;
        play.ask("sync again", sync_version, sync(sync_version, &group, generation, &id, &[(&id, "all again")]))?;
        play.ask("leave", version.min(5), leave(version.min(5), &group, &id))?;
        play.ask("describe the empty group", version.min(6), describe(&[&group]))?;
    }
    Ok(())
}

/// A second member comes: it waits in JoinGroup for the first to join again, and in SyncGroup for the leader's assignments.
fn two_members(play: &mut Play) -> Done {
    for version in [0, 2, 5, 7, 9] {
        let group = play.group(&format!("v{version}"))?;
        let first = join(&group, "a");
        let a = alone(play, &first)?;
        let mut second = join(&group, "b");
        if version >= 4 {
            second.member = play.ask_on("b", "b is given an id", version, second.at(version))?.member_id.to_string();
        }
        let b = play.park("b", version, second.at(version))?;
        play.group_is(&group, "PreparingRebalance")?;
        play.ask("a's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
        play.ask("describe while b waits", 5, describe(&[&group]))?;
        let lead = play.ask("a joins again and leads", version, first.clone().member(&a.id).at(version))?;
        let Some(follow) = play.wakes("b follows", b)? else { return Ok(()) };
        let (generation, b_id) = (lead.generation_id, follow.member_id.to_string());
        play.ask("describe before the assignment", 5, describe(&[&group]))?;
        let sync_version = version.min(5);
        let b = play.park("b", sync_version, sync(sync_version, &group, generation, &b_id, &[]))?;
        let assigned = [(a.id.as_str(), "half a"), (b_id.as_str(), "half b")];
        play.ask("a syncs", sync_version, sync(sync_version, &group, generation, &a.id, &assigned))?;
        play.wakes("b has its assignment", b)?;
        play.ask("describe the stable group", 5, describe(&[&group]))?;
        play.ask_on("b", "b's heartbeat", 4, heartbeat(&group, generation, &b_id))?;
        play.ask("a leaves", sync_version, leave(sync_version, &group, &a.id))?;
        play.ask_on("b", "b's heartbeat after a has left", 4, heartbeat(&group, generation, &b_id))?;
        let second = second.member(&b_id);
        let generation = play.ask_on("b", "b joins again and leads", version, second.at(version))?.generation_id;
        let own = [(b_id.as_str(), "all")];
        play.ask_on("b", "b syncs", sync_version, sync(sync_version, &group, generation, &b_id, &own))?;
    }
    Ok(())
}

/// Two wait for a third, in JoinGroup and then in SyncGroup.
fn three_members(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let first = join(&group, "a");
    let a = alone(play, &first)?;
    let mut waiting = Vec::new();
    for name in ["b", "c"] {
        let mut member = join(&group, name);
        member.member = play.ask_on(name, "an id is given", 9, member.at(9))?.member_id.to_string();
        waiting.push(play.park(name, 9, member.at(9))?);
    }
    for parked in &mut waiting {
        play.still_parked("it waits for a", parked)?;
    }
    let lead = play.ask("a joins again and leads", 9, first.clone().member(&a.id).at(9))?;
    let mut ids = Vec::new();
    for parked in waiting {
        ids.extend(play.wakes("a follower", parked)?.map(|answer| answer.member_id.to_string()));
    }
    let generation = lead.generation_id;
    let mut waiting = Vec::new();
    for (name, id) in ["b", "c"].into_iter().zip(&ids) {
        waiting.push(play.park(name, 5, sync(5, &group, generation, id, &[]))?);
    }
    for parked in &mut waiting {
        play.still_parked("it waits for the assignments", parked)?;
    }
    let assigned = [(a.id.as_str(), "third a"), (ids[0].as_str(), "third b"), (ids[1].as_str(), "third c")];
    play.ask("a syncs", 5, sync(5, &group, generation, &a.id, &assigned))?;
    for parked in waiting {
        play.wakes("the assignment", parked)?;
    }
    // One goes; of the two others the leader joins again first, and waits for the follower.
    play.ask_on("b", "b leaves", 5, leave(5, &group, &ids[0]))?;
    let leader = play.park("main", 9, first.member(&a.id).at(9))?;
    play.ask_on("c", "c's heartbeat", 4, heartbeat(&group, generation, &ids[1]))?;
    play.ask_on("c", "c joins again", 9, join(&group, "c").member(&ids[1]).at(9))?;
    play.wakes("a still leads", leader)?;
    Ok(())
}

/// The generation rises over an empty group, and starts anew once the group is deleted.
fn generations(play: &mut Play) -> Done {
    let group = play.group("g")?;
    for round in ["first", "second", "third"] {
        let a = play.ask(&format!("the {round} join"), 3, join(&group, "a").at(3))?;
        play.ask("leave before the sync", 3, leave(3, &group, &a.member_id))?;
        play.ask("describe", 5, describe(&[&group]))?;
    }
    play.ask("delete", 2, delete(&[&group]))?;
    play.ask("a join to the new group", 3, join(&group, "a").at(3))?;
    Ok(())
}

/// Groups of Connect workers, schema registries and others: any type, any bytes.
fn other_types(play: &mut Play) -> Done {
    for kind in ["connect", "sr", "x"] {
        let group = play.group(kind)?;
        let member = join(&group, "").kind(kind).protocols(&[("sessioned", "\0\u{1}meta"), ("compatible", "")]);
        let answer = play.ask("join", 3, member.at(3))?;
        let id = answer.member_id.to_string();
        play.ask("sync", 3, sync(3, &group, answer.generation_id, &id, &[(&id, "\0\0work")]))?;
        play.ask("describe", 5, describe(&[&group]))?;
        play.ask("a consumer joins", 3, join(&group, "b").at(3))?;
    }
    let group = play.group("changing")?;
    let member = alone(play, &join(&group, "a"))?;
    play.quiet(3, leave(3, &group, &member.id))?;
    play.ask("another type joins the emptied group", 3, join(&group, "a").kind("connect").at(3))?;
    play.ask("describe it", 5, describe(&[&group]))?;
    Ok(())
}
