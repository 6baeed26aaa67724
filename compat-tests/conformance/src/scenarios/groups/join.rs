//! JoinGroup: who may join, and what is refused.

use super::member::{alone, joined, two};
use super::requests::*;
use kafka_protocol::messages::JoinGroupRequest;

use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("join-group/refusals", refusals),
        scenario("join-group/session-bounds", session_bounds),
        scenario("join-group/id-required", id_required),
        scenario("join-group/pending-members", pending_members),
        scenario("join-group/inconsistent", inconsistent),
        scenario("join-group/votes", votes),
        scenario("join-group/full", full).under(Profile::Groups),
        scenario("join-group/names", names),
    ]
}

fn refusals(play: &mut Play) -> Done {
    let group = play.group("g")?;
    for version in [0, 2, 3, 4, 6, 7, 9] {
        play.ask("an empty group id", version, join("", "a").at(version))?;
        play.ask("an unknown member, an absent group", version, join(&group, "a").member("x").at(version))?;
    }
    play.ask("the group is still absent", 5, describe(&[&group]))?;
    let a = alone(play, &join(&group, "a"))?;
    for version in [0, 3, 4, 7, 9] {
        play.ask("an unknown member, a stable group", version, join(&group, "a").member("x").at(version))?;
    }
    play.quiet(3, leave(3, &group, &a.id))?;
    play.ask("a member that has left", 9, join(&group, "a").member(&a.id).at(9))?;
    Ok(())
}

/// The bounds of `group.min.session.timeout.ms` and `group.max.session.timeout.ms`; those of the rebalance timeout.
fn session_bounds(play: &mut Play) -> Done {
    for (i, session_ms) in [5_999, 6_000, 1_800_000, 1_800_001, 0, -1, i32::MAX, i32::MIN].into_iter().enumerate() {
        let group = play.group(&format!("s{i}"))?;
        play.ask(&format!("a session of {session_ms} ms"), 3, join(&group, "a").session(session_ms).at(3))?;
    }
    let group = play.group("versions")?;
    for version in [0, 1, 4, 5, 6, 7, 8, 9] {
        play.ask("too short a session", version, join(&group, "a").session(1).at(version))?;
    }
    for (i, rebalance_ms) in [0, -1, i32::MAX, i32::MIN].into_iter().enumerate() {
        let group = play.group(&format!("r{i}"))?;
        play.ask(
            &format!("a rebalance timeout of {rebalance_ms} ms"),
            3,
            join(&group, "a").rebalance(rebalance_ms).at(3),
        )?;
    }
    Ok(())
}

/// KIP-394: from version 4 on a member is given an id first.
fn id_required(play: &mut Play) -> Done {
    for version in [4, 5, 9] {
        let group = play.group(&format!("v{version}"))?;
        let given = play.ask("a first join", version, join(&group, "a").at(version))?.member_id;
        play.ask("heartbeat of a pending member", 4, heartbeat(&group, 0, &given))?;
        play.ask("heartbeat of generation -1", 4, heartbeat(&group, -1, &given))?;
        play.ask("sync of a pending member", 5, sync(5, &group, 0, &given, &[]))?;
        play.ask("join by another's id", version, join(&group, "a").member("x").at(version))?;
        play.ask("join at an old version with the id", 0, join(&group, "a").member(&given).at(0))?;
    }
    play.client_id("");
    let group = play.group("no-client-id")?;
    play.ask("a client without a name", 9, join(&group, "a").at(9))?;
    play.client_id("a client, with blanks/and-dashes");
    let group = play.group("strange-client-id")?;
    play.ask("a client with a strange name", 9, join(&group, "a").at(9))?;
    Ok(())
}

/// Ids that were given and not used yet. No group is described here: Kafka shows one that has pending members only now as Empty, now as Dead.
fn pending_members(play: &mut Play) -> Done {
    let group = play.group("only")?;
    let given = play.ask("an id is given", 9, join(&group, "a").at(9))?.member_id;
    play.ask("it leaves", 5, leave(5, &group, &given))?;
    play.ask("it joins", 9, join(&group, "a").member(&given).at(9))?;

    let group = play.group("first-rebalance")?;
    play.ask_on("b", "an id is given to b", 9, join(&group, "b").at(9))?;
    let given = play.ask("an id is given to a", 9, join(&group, "a").at(9))?.member_id;
    play.ask("a does not wait for b", 9, join(&group, "a").member(&given).at(9))?;

    let group = play.group("later-rebalance")?;
    let a = alone(play, &join(&group, "a"))?;
    let given = play.ask_on("b", "an id is given to b", 9, join(&group, "b").at(9))?.member_id;
    play.ask("no rebalance yet", 4, heartbeat(&group, a.generation, &a.id))?;
    let mut waiting = play.park("main", 9, join(&group, "new").member(&a.id).at(9))?;
    play.still_parked("a's rebalance waits for b", &mut waiting)?;
    play.ask_on("b", "b joins", 9, join(&group, "b").member(&given).at(9))?;
    play.wakes("a leads", waiting)?;

    let group = play.group("leaving")?;
    let a = alone(play, &join(&group, "a"))?;
    let given = play.ask_on("b", "an id is given to b", 9, join(&group, "b").at(9))?.member_id;
    let waiting = play.park("main", 9, join(&group, "new").member(&a.id).at(9))?;
    play.ask_on("b", "b leaves", 5, leave(5, &group, &given))?;
    play.wakes("a does not wait any longer", waiting)?;
    Ok(())
}

/// Error 23: a type or protocols that do not go with the group.
fn inconsistent(play: &mut Play) -> Done {
    let group = play.group("new")?;
    for version in [3, 4, 9] {
        play.ask("no type", version, join(&group, "a").kind("").at(version))?;
        play.ask("no protocols", version, join(&group, "a").protocols(&[]).at(version))?;
    }
    let group = play.group("old")?;
    let a = alone(play, &join(&group, "a"))?;
    for version in [0, 3, 4, 5, 6, 7, 9] {
        play.ask("another type", version, join(&group, "b").kind("connect").at(version))?;
        play.ask("another protocol", version, join(&group, "b").protocols(&[("sticky", "b")]).at(version))?;
    }
    play.ask("no type", 3, join(&group, "b").kind("").at(3))?;
    play.ask("no protocols", 3, join(&group, "b").protocols(&[]).at(3))?;
    play.ask(
        "another protocol of the member itself",
        9,
        join(&group, "a").member(&a.id).protocols(&[("sticky", "a")]).at(9),
    )?;
    play.ask("another type of the member itself", 9, join(&group, "a").member(&a.id).kind("x").at(9))?;
    play.ask("the group", 6, describe(&[&group]))?;
    let group = play.group("two")?;
    let (a, _) = two(play, &join(&group, "a").protocols(&[("range", "1"), ("sticky", "2")]), &join(&group, "b"))?;
    play.ask("a protocol that only one of two knows", 3, join(&group, "c").protocols(&[("sticky", "c")]).at(3))?;
    play.ask("that one goes", 3, leave(3, &group, &a.id))?;
    play.ask("and again", 3, join(&group, "c").protocols(&[("sticky", "c")]).at(3))?;
    Ok(())
}

/// Every member votes for the first of its protocols that all know.
fn votes(play: &mut Play) -> Done {
    type Protocols = &'static [(&'static str, &'static str)];
    let cases: [(&str, Protocols, Protocols); 4] = [
        ("the same order", &[("range", "1"), ("sticky", "2")], &[("range", "3"), ("sticky", "4")]),
        ("one in common", &[("range", "1"), ("sticky", "2")], &[("roundrobin", "3"), ("sticky", "4")]),
        ("a draw of range and sticky", &[("range", "1"), ("sticky", "2")], &[("sticky", "3"), ("range", "4")]),
        (
            "a draw of roundrobin and range",
            &[("roundrobin", "1"), ("range", "2")],
            &[("range", "3"), ("roundrobin", "4")],
        ),
    ];
    for (i, (label, first, second)) in cases.into_iter().enumerate() {
        let group = play.group(&format!("g{i}"))?;
        let first = join(&group, "").protocols(first);
        let a = joined(play, &first)?;
        let b = play.park("b", 3, join(&group, "").protocols(second).at(3))?;
        play.ask(label, 9, first.member(&a.id).at(9))?;
        play.wakes("as the follower sees it", b)?;
    }
    let group = play.group("majority")?;
    let first = join(&group, "").protocols(&[("range", "1"), ("sticky", "2")]);
    let a = joined(play, &first)?;
    let mut waiting = Vec::new();
    for name in ["b", "c"] {
        let protocols: Protocols =
            if name == "b" { &[("sticky", "3"), ("range", "4")] } else { &[("sticky", "5"), ("range", "6")] };
        waiting.push(play.park(name, 3, join(&group, "").protocols(protocols).at(3))?);
    }
    play.ask("two for sticky, one for range", 9, first.member(&a.id).at(9))?;
    for parked in waiting {
        play.wakes("as a follower sees it", parked)?;
    }
    Ok(())
}

/// `group.max.size`, which is 3 here. While a rebalance is prepared those count that have joined it, and otherwise all members.
fn full(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    let c = play.park("c", 3, join(&group, "c").at(3))?;
    let b_joins = play.park("b", 3, join(&group, "b").member(&b.id).at(3))?;
    play.ask("a joins again", 3, join(&group, "a").member(&a.id).at(3))?;
    play.wakes("b joins again", b_joins)?;
    play.wakes("c follows", c)?;
    for version in [0, 3, 4, 5, 6, 7, 9] {
        play.ask_on("d", "a fourth member", version, join(&group, "d").at(version))?;
    }
    play.ask_on("d", "a fourth, static member", 9, join(&group, "d").instance("d").at(9))?;
    play.ask_on("b", "one of the three", 9, join(&group, "b").member(&b.id).at(9))?;
    play.ask("a leaves", 3, leave(3, &group, &a.id))?;
    let given = play.ask_on("d", "an id while two of three must join again", 9, join(&group, "d").at(9))?.member_id;
    let other = play.ask_on("e", "an id for a fifth", 9, join(&group, "e").at(9))?.member_id;
    let d = play.park("d", 9, join(&group, "d").member(&given).at(9))?;
    let e = play.park("e", 9, join(&group, "e").member(&other).at(9))?;
    let c = play.park("c", 3, join(&group, "c").at(3))?;
    play.ask_on("f", "one too many, three having joined", 9, join(&group, "f").at(9))?;
    play.ask_on("b", "one of the old members, three others having joined", 9, join(&group, "b").member(&b.id).at(9))?;
    drop((c, d, e));
    for waiting in ["b", "c", "d", "e"] {
        play.close(waiting);
    }

    let group = play.group("late")?;
    let short = |name| join(&group, name).rebalance(800);
    let (a, b) = two(play, &short("a"), &short("b"))?;
    let c = play.start("c", 3, short("c").at(3))?;
    play.group_is(&group, "PreparingRebalance")?;
    let d = play.start("d", 3, short("d").at(3))?;
    let b = play.start("b", 3, short("b").member(&b.id).at(3))?;
    // Which of them is one too many is a matter of threads.
    let a = play.quiet(3, short("a").member(&a.id).at(3))?;
    let answers = [a, play.ended(b)?, play.ended(c)?, play.ended(d)?];
    let mut outcomes = answers.map(|answer| {
        let leads = if answer.member_id == answer.leader && answer.error_code == 0 { ", leads" } else { "" };
        format!("error {}, generation {}{leads}", answer.error_code, answer.generation_id)
    });
    outcomes.sort();
    play.note::<JoinGroupRequest>("the four", 3, outcomes.join("; "));
    Ok(())
}

/// Any string names a group.
fn names(play: &mut Play) -> Done {
    for name in ["with blanks and /", "ünïcödé ☃", "a:b\"c'", "..", "\u{1}control"] {
        let group = play.group(name)?;
        let answer = play.ask(&format!("a member of \"{}\"", name.escape_debug()), 3, join(&group, "a").at(3))?;
        play.ask("describe", 5, describe(&[&group]))?;
        play.ask("leave", 3, leave(3, &group, &answer.member_id))?;
        play.ask("delete", 2, delete(&[&group]))?;
    }
    let group = play.group(&"long".repeat(500))?;
    play.ask("a member of a group of 2,000 characters", 3, join(&group, "a").at(3))?;
    Ok(())
}
