//! What ends without a request: sessions, rebalances, ids that nobody used. Timeouts are a few hundred milliseconds here.

use std::time::Duration;

use super::member::{alone, joined, two, two_joined};
use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("group-expiry/session", session),
        scenario("group-expiry/session-bounds", session_bounds),
        scenario("group-expiry/last-session", last_session),
        scenario("group-expiry/heartbeats-extend", heartbeats_extend),
        scenario("group-expiry/rebalance-timeout", rebalance_timeout),
        scenario("group-expiry/static-kept-in-a-rebalance", static_kept),
        scenario("group-expiry/never-synced", never_synced),
        scenario("group-expiry/leader-never-synced", leader_never_synced),
        scenario("group-expiry/pending", pending),
        scenario("group-expiry/static-session", static_session),
    ]
    .into_iter()
    .map(|scenario| scenario.under(Profile::Groups))
    .collect()
}

const SHORT_MS: i32 = 400;

/// One of two falls silent.
fn session(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b").session(SHORT_MS))?;
    play.ask("both are there", 5, describe(&[&group]))?;
    play.group_is(&group, "PreparingRebalance")?;
    play.ask("one has fallen silent", 5, describe(&[&group]))?;
    play.ask_on("b", "its heartbeat", 4, heartbeat(&group, b.generation, &b.id))?;
    play.ask("the other's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("the other joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    play.ask_on("b", "the silent one joins again by its id", 9, join(&group, "b").member(&b.id).at(9))?;
    Ok(())
}

fn session_bounds(play: &mut Play) -> Done {
    for (i, session_ms) in [99, 100, 60_000, 60_001].into_iter().enumerate() {
        let group = play.group(&format!("g{i}"))?;
        play.ask(&format!("a session of {session_ms} ms"), 3, join(&group, "a").session(session_ms).at(3))?;
    }
    Ok(())
}

fn last_session(play: &mut Play) -> Done {
    let group = play.group("stable")?;
    let a = alone(play, &join(&group, "a").session(SHORT_MS))?;
    play.group_is(&group, "Empty")?;
    play.ask("the group", 6, describe(&[&group]))?;
    play.ask("its heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("a new member", 3, join(&group, "b").at(3))?;

    let group = play.group("completing")?;
    joined(play, &join(&group, "a").session(SHORT_MS))?;
    play.group_is(&group, "Empty")?;
    play.ask("a group whose only member never synced", 6, describe(&[&group]))?;
    Ok(())
}

/// Heartbeats, and waiting in JoinGroup, keep a session alive.
fn heartbeats_extend(play: &mut Play) -> Done {
    let group = play.group("heartbeats")?;
    let a = alone(play, &join(&group, "a").session(1000))?;
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(500));
        play.ask("a heartbeat each half of the session", 4, heartbeat(&group, a.generation, &a.id))?;
    }
    let group = play.group("joining")?;
    let a = alone(play, &join(&group, "a"))?;
    let mut waiting = play.park("b", 3, join(&group, "b").session(SHORT_MS).at(3))?;
    std::thread::sleep(Duration::from_millis(1000));
    play.still_parked("who waits in JoinGroup needs no heartbeats", &mut waiting)?;
    play.ask("the other joins again", 3, join(&group, "a").member(&a.id).at(3))?;
    play.wakes("it is still a member", waiting)?;
    Ok(())
}

/// A member that does not join again in time is left behind.
fn rebalance_timeout(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let a = alone(play, &join(&group, "a").rebalance(SHORT_MS))?;
    let joining = play.start("b", 3, join(&group, "b").rebalance(SHORT_MS).at(3))?;
    play.wakes("the other leads after the rebalance timeout", joining)?;
    play.ask("the heartbeat of the one left behind", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("its heartbeat of the new generation", 4, heartbeat(&group, a.generation + 1, &a.id))?;
    play.ask("it joins by its old id", 9, join(&group, "a").member(&a.id).at(9))?;
    play.ask("the group", 5, describe(&[&group]))?;

    let group = play.group("nobody")?;
    let (a, b) = two(play, &join(&group, "a").rebalance(SHORT_MS), &join(&group, "b").rebalance(SHORT_MS))?;
    play.ask_on("b", "one leaves", 5, leave(5, &group, &b.id))?;
    play.group_is(&group, "Empty")?;
    play.ask("nobody joins again", 5, describe(&[&group]))?;
    play.ask("the heartbeat of the one left behind", 4, heartbeat(&group, a.generation, &a.id))?;
    Ok(())
}

/// A static member that does not join again stays until its session ends.
fn static_kept(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let a = alone(play, &join(&group, "a").instance("i").rebalance(SHORT_MS))?;
    let joining = play.start("b", 3, join(&group, "b").rebalance(SHORT_MS).at(3))?;
    let Some(answer) = play.wakes("the other after the rebalance timeout", joining)? else { return Ok(()) };
    play.ask("the group", 5, describe(&[&group]))?;
    play.ask("the heartbeat of the static one", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("its heartbeat of the new generation", 4, heartbeat(&group, answer.generation_id, &a.id))?;
    play.ask_on(
        "b",
        "the other's sync",
        3,
        sync(3, &group, answer.generation_id, &answer.member_id, &[(&answer.member_id, "all")]),
    )?;
    play.ask("the group now", 5, describe(&[&group]))?;
    Ok(())
}

/// Who joins and never syncs is removed once the rebalance timeout has passed.
fn never_synced(play: &mut Play) -> Done {
    let group = play.group("follower")?;
    let patient = |name| join(&group, name).rebalance(800);
    let (a, b) = two_joined(play, &patient("a"), &patient("b"))?;
    play.ask("the leader syncs", 5, sync(5, &group, a.generation, &a.id, &[(&a.id, "half")]))?;
    play.group_is(&group, "PreparingRebalance")?;
    play.ask("the follower never did", 5, describe(&[&group]))?;
    play.ask_on("b", "its heartbeat", 4, heartbeat(&group, b.generation, &b.id))?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    Ok(())
}

fn leader_never_synced(play: &mut Play) -> Done {
    let group = play.group("leader")?;
    let patient = |name| join(&group, name).rebalance(800);
    let (a, b) = two_joined(play, &patient("a"), &patient("b"))?;
    let syncing = play.start("b", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    play.wakes("the follower's sync once the leader is given up", syncing)?;
    play.ask("the group", 5, describe(&[&group]))?;
    play.ask("the leader's sync", 5, sync(5, &group, a.generation, &a.id, &[(&a.id, "half")]))?;
    play.ask_on("b", "the follower leads", 9, join(&group, "b").member(&b.id).at(9))?;
    Ok(())
}

/// An id that was given is good for one session.
fn pending(play: &mut Play) -> Done {
    let group = play.group("first")?;
    let given = play.ask("an id is given", 9, join(&group, "a").session(SHORT_MS).at(9))?.member_id;
    std::thread::sleep(Duration::from_millis(900));
    play.ask("it is used too late", 9, join(&group, "a").member(&given).at(9))?;

    let group = play.group("second")?;
    let a = alone(play, &join(&group, "a"))?;
    let given = play.ask_on("b", "an id is given", 9, join(&group, "b").session(1000).at(9))?.member_id;
    let waiting = play.park("main", 9, join(&group, "new").member(&a.id).at(9))?;
    play.wakes("a rebalance waits no longer than the pending member's session", waiting)?;
    play.ask_on("b", "it is used too late", 9, join(&group, "b").member(&given).at(9))?;
    Ok(())
}

fn static_session(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b").instance("i").session(SHORT_MS))?;
    play.group_is(&group, "PreparingRebalance")?;
    play.ask("the instance has fallen silent", 5, describe(&[&group]))?;
    play.ask_on("b", "it joins by its old id", 9, join(&group, "b").instance("i").member(&b.id).at(9))?;
    let joining = play.park("b", 9, join(&group, "b").instance("i").at(9))?;
    play.ask("the other joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    play.wakes("it joins anew", joining)?;
    Ok(())
}
