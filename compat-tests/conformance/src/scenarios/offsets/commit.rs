//! OffsetCommit: who may commit, and what.

use std::time::Duration;

use kafka_protocol::messages::OffsetFetchRequest;

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::{Member, alone, two, two_joined};
use crate::scenarios::groups::requests::{heartbeat, join, leave, subscription, sync};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("offset-commit/every-version", every_version),
        scenario("offset-commit/absent-group", absent_group),
        scenario("offset-commit/members", members),
        scenario("offset-commit/empty-group", empty_group),
        scenario("offset-commit/rebalancing", rebalancing),
        scenario("offset-commit/static-members", static_members),
        scenario("offset-commit/metadata", metadata),
        scenario("offset-commit/small-metadata", small_metadata).under(Profile::Groups),
        scenario("offset-commit/topics", topics),
        scenario("offset-commit/numbers", numbers),
        scenario("offset-commit/keeps-the-session", keeps_the_session).under(Profile::Groups),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let topic = play.topic("t", 2)?;
    for version in 2..=9 {
        let group = play.group(&format!("simple-v{version}"))?;
        let one = offsets(&topic, &[(0, 10), (1, 20)]);
        play.ask("a simple group", version, commit_by(&group, (-1, ""), vec![one]))?;
        play.ask("its offsets", 9, fetch(9, &group, None))?;
        let group = play.group(&format!("v{version}"))?;
        let a = alone(play, &join(&group, "a"))?;
        let mut request = commit_by(&group, (a.generation, &a.id), vec![offsets(&topic, &[(1, 5)])]);
        if version >= 6 {
            request.topics[0].partitions[0].committed_leader_epoch = 3;
        }
        play.ask("a member", version, request)?;
        play.ask("its offsets", 7, fetch(7, &group, None))?;
        play.ask("no topics", version, commit_by(&group, (a.generation, &a.id), vec![]))?;
        play.ask(
            "a topic without partitions",
            version,
            commit_by(&group, (a.generation, &a.id), vec![offsets(&topic, &[])]),
        )?;
    }
    Ok(())
}

/// Without a group only a simple one may commit; before version 9 the error is another.
fn absent_group(play: &mut Play) -> Done {
    let topic = play.topic("t", 1)?;
    let group = play.group("g")?;
    for version in 2..=9 {
        let by = |who| commit_by(&group, who, vec![offsets(&topic, &[(0, 1)])]);
        play.ask("generation 1 of nobody", version, by((1, "")))?;
        play.ask("generation 0 of a member", version, by((0, "x")))?;
        if version >= 7 {
            let request = by((1, "x")).with_group_instance_id(Some(text("i")));
            play.ask("an instance", version, request)?;
        }
    }
    play.ask("nothing was committed", 9, fetch(9, &group, None))?;
    play.ask("generation -2 of nobody", 9, commit_by(&group, (-2, ""), vec![offsets(&topic, &[(0, 1)])]))?;
    play.ask("generation -1 of a member", 9, commit_by(&group, (-1, "x"), vec![offsets(&topic, &[(0, 2)])]))?;
    let instance = commit(&group, &topic, 0, 3).with_group_instance_id(Some(text("i")));
    play.ask("generation -1 of an instance", 9, instance)?;
    play.ask("what was committed", 9, fetch(9, &group, None))?;
    for version in [2, 8, 9] {
        play.ask("an empty group id", version, commit("", &topic, 0, 4))?;
        play.ask("generation 1 of a member of it", version, commit_by("", (1, "x"), vec![offsets(&topic, &[(0, 5)])]))?;
    }
    play.ask("the offsets of the empty group id", 9, fetch(9, "", None))?;
    Ok(())
}

fn members(play: &mut Play) -> Done {
    let topic = play.topic("t", 1)?;
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    let by = |generation, member: &str| commit_by(&group, (generation, member), vec![offsets(&topic, &[(0, 7)])]);
    for version in [2, 6, 8, 9] {
        play.ask("the leader", version, by(a.generation, &a.id))?;
        play.ask("the follower", version, by(b.generation, &b.id))?;
        play.ask("the generation before", version, by(a.generation - 1, &a.id))?;
        play.ask("the generation to come", version, by(a.generation + 1, &a.id))?;
        play.ask("generation -1 of a member", version, by(-1, &a.id))?;
        play.ask("an unknown member", version, by(a.generation, "x"))?;
        play.ask("no member", version, by(a.generation, ""))?;
        play.ask("a simple consumer beside the members", version, by(-1, ""))?;
        play.ask("generation -2 of nobody", version, by(-2, ""))?;
    }
    play.ask("what was committed", 9, fetch(9, &group, None))?;
    let connect = play.group("connect")?;
    let worker = alone(play, &join(&connect, "a").kind("connect"))?;
    let request = commit_by(&connect, (worker.generation, &worker.id), vec![offsets(&topic, &[(0, 1)])]);
    // The helper syncs with version 3, which names no protocol.
    play.ask("a member of another type", 9, request)?;
    Ok(())
}

/// After the members have gone: zombies, and simple consumers.
fn empty_group(play: &mut Play) -> Done {
    let topic = play.topic("t", 1)?;
    let group = play.group("g")?;
    let a = alone(play, &join(&group, "a"))?;
    let by = |generation, member: &str| commit_by(&group, (generation, member), vec![offsets(&topic, &[(0, 7)])]);
    play.quiet(9, by(a.generation, &a.id))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    for version in [2, 6, 8, 9] {
        play.ask("the member that has left", version, by(a.generation, &a.id))?;
        play.ask("the new generation of that member", version, by(a.generation + 1, &a.id))?;
        play.ask("the new generation of nobody", version, by(a.generation + 1, ""))?;
        play.ask("generation -1 of that member", version, by(-1, &a.id))?;
    }
    play.ask("a simple consumer", 9, commit(&group, &topic, 0, 9))?;
    play.ask("what was committed", 9, fetch(9, &group, None))?;
    let simple = play.group("simple")?;
    play.quiet(9, commit(&simple, &topic, 0, 1))?;
    play.ask("a simple group joined", 3, join(&simple, "a").at(3))?;
    play.ask("a simple consumer in the group that is joined", 9, commit(&simple, &topic, 0, 2))?;
    play.ask("what was committed before", 9, fetch(9, &simple, None))?;
    Ok(())
}

fn rebalancing(play: &mut Play) -> Done {
    let topic = play.topic("t", 1)?;
    let group = play.group("g")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let by = |generation, member: &str| commit_by(&group, (generation, member), vec![offsets(&topic, &[(0, 7)])]);
    for version in [2, 8, 9] {
        play.ask("CompletingRebalance: a member", version, by(a.generation, &a.id))?;
        play.ask("CompletingRebalance: the generation before", version, by(a.generation - 1, &a.id))?;
        play.ask("CompletingRebalance: a simple consumer", version, by(-1, ""))?;
    }
    play.quiet(3, sync(3, &group, a.generation, &a.id, &[]))?;
    let c = play.park("c", 3, join(&group, "c").at(3))?;
    play.group_is(&group, "PreparingRebalance")?;
    for version in [2, 8, 9] {
        play.ask("PreparingRebalance: a member", version, by(a.generation, &a.id))?;
        play.ask("PreparingRebalance: the generation to come", version, by(a.generation + 1, &a.id))?;
        play.ask("PreparingRebalance: a simple consumer", version, by(-1, ""))?;
    }
    play.quiet(3, leave(3, &group, &a.id))?;
    play.quiet(3, leave(3, &group, &b.id))?;
    let Some(c) = play.wakes("the third leads", c)? else { return Ok(()) };
    play.ask("a zombie of the old generation", 9, by(a.generation, &a.id))?;
    play.ask("the third before its sync", 9, by(c.generation_id, &c.member_id))?;
    let given = play.quiet(9, join(&group, "d").at(9))?.member_id;
    play.ask("a pending member", 9, by(c.generation_id, &given))?;
    play.ask("a pending member, generation -1", 9, by(-1, &given))?;
    play.ask("what was committed", 9, fetch(9, &group, None))?;
    Ok(())
}

fn static_members(play: &mut Play) -> Done {
    let topic = play.topic("t", 1)?;
    let group = play.group("g")?;
    let (_, b) = two(play, &join(&group, "a"), &join(&group, "b").instance("i"))?;
    let Member { id: old, generation } = b;
    let by = |member: &str, instance: &str| {
        commit_by(&group, (generation, member), vec![offsets(&topic, &[(0, 7)])])
            .with_group_instance_id(Some(text(instance)))
    };
    for version in 7..=9 {
        play.ask("a static member", version, by(&old, "i"))?;
        play.ask("its instance with another's id", version, by("x", "i"))?;
        play.ask("an unknown instance", version, by(&old, "j"))?;
    }
    let new = play.quiet(9, join(&group, "b").instance("i").at(9))?.member_id;
    play.names.member(&new);
    for version in 7..=9 {
        play.ask("the process that was replaced", version, by(&old, "i"))?;
        play.ask("the new process", version, by(&new, "i"))?;
    }
    play.ask(
        "the replaced process without its instance id",
        9,
        commit_by(&group, (generation, &old), vec![offsets(&topic, &[(0, 1)])]),
    )?;
    play.ask(
        "the new process without its instance id",
        9,
        commit_by(&group, (generation, &new), vec![offsets(&topic, &[(0, 2)])]),
    )?;
    Ok(())
}

/// `offset.metadata.max.bytes` is 4096; too much of it refuses only its own partition.
fn metadata(play: &mut Play) -> Done {
    let topic = play.topic("t", 3)?;
    let group = play.group("g")?;
    let (long, longer) = ("m".repeat(4096), "m".repeat(4097));
    for version in [2, 8, 9] {
        let parts = [(0, 1, Some(long.as_str())), (1, 2, Some(longer.as_str())), (2, 3, None)];
        play.ask("long, too long, null", version, commit_by(&group, (-1, ""), vec![with_metadata(&topic, &parts)]))?;
    }
    let answer = play.quiet(7, fetch(7, &group, None))?;
    let mut kept: Vec<(i32, i64, usize)> = answer.topics[0]
        .partitions
        .iter()
        .map(|p| (p.partition_index, p.committed_offset, p.metadata.as_ref().map_or(0, |m| m.len())))
        .collect();
    kept.sort_unstable();
    play.note::<OffsetFetchRequest>("partitions, offsets and lengths of what was kept", 7, format!("{kept:?}"));
    Ok(())
}

/// Here the limit is 100: of bytes or of characters?
fn small_metadata(play: &mut Play) -> Done {
    let topic = play.topic("t", 4)?;
    let group = play.group("g")?;
    let (letters, umlauts, more) = ("a".repeat(100), "ä".repeat(100), "ä".repeat(101));
    let parts =
        [(0, 1, Some(letters.as_str())), (1, 2, Some(umlauts.as_str())), (2, 3, Some(more.as_str())), (3, 4, Some(""))];
    play.ask(
        "100 letters, 100 and 101 umlauts, none",
        9,
        commit_by(&group, (-1, ""), vec![with_metadata(&topic, &parts)]),
    )?;
    play.ask("what was kept", 9, fetch(9, &group, None))?;
    Ok(())
}

fn topics(play: &mut Play) -> Done {
    let topic = play.topic("t", 2)?;
    let other = play.topic("u", 1)?;
    let group = play.group("g")?;
    let by = |topics| commit_by(&group, (-1, ""), topics);
    for version in [2, 8, 9] {
        play.ask("an unknown topic", version, by(vec![offsets("no-such-topic", &[(0, 1)])]))?;
        play.ask("an unknown partition", version, by(vec![offsets(&topic, &[(2, 1)])]))?;
        play.ask("partition -1", version, by(vec![offsets(&topic, &[(-1, 1)])]))?;
        play.ask("an illegal name", version, by(vec![offsets("a/b", &[(0, 1)])]))?;
        play.ask("no name", version, by(vec![offsets("", &[(0, 1)])]))?;
        let mixed =
            vec![offsets(&topic, &[(0, 1), (7, 1)]), offsets("no-such-topic", &[(0, 1)]), offsets(&other, &[(0, 2)])];
        play.ask("good and unknown ones", version, by(mixed))?;
        play.ask("a topic twice", version, by(vec![offsets(&topic, &[(0, 3)]), offsets(&topic, &[(1, 4)])]))?;
        play.ask("a partition twice", version, by(vec![offsets(&topic, &[(0, 5), (0, 6)])]))?;
    }
    play.ask("what was committed", 9, fetch(9, &group, None))?;
    play.ask("an internal topic", 9, by(vec![offsets("__consumer_offsets", &[(0, 1)])]))?;
    let absent = play.group("absent")?;
    play.ask(
        "a wrong generation beside an unknown topic",
        9,
        commit_by(&absent, (3, "x"), vec![offsets("no-such-topic", &[(0, 1)])]),
    )?;
    play.ask(
        "a wrong generation beside two topics",
        9,
        commit_by(&absent, (3, "x"), vec![offsets("no-such-topic", &[(0, 1)]), offsets(&topic, &[(0, 1)])]),
    )?;
    Ok(())
}

/// Offsets are not compared with the log, nor leader epochs with the leader's.
fn numbers(play: &mut Play) -> Done {
    let topic = play.topic("t", 1)?;
    let group = play.group("g")?;
    for offset in [0, 1_000_000, i64::MAX, -1, -2, i64::MIN] {
        play.ask(&format!("offset {offset}"), 9, commit(&group, &topic, 0, offset))?;
        play.ask("as it was kept", 9, fetch(9, &group, Some(&[(&topic, &[0])])))?;
    }
    for epoch in [0, 7, i32::MAX, -2, i32::MIN] {
        let mut request = commit(&group, &topic, 0, 5);
        request.topics[0].partitions[0].committed_leader_epoch = epoch;
        play.ask(&format!("leader epoch {epoch}"), 9, request)?;
        play.ask("as it was kept", 9, fetch(9, &group, Some(&[(&topic, &[0])])))?;
    }
    play.ask("an old version forgets the leader epoch", 5, commit(&group, &topic, 0, 6))?;
    play.ask("as it was kept", 9, fetch(9, &group, Some(&[(&topic, &[0])])))?;
    Ok(())
}

/// A commit counts as a heartbeat.
fn keeps_the_session(play: &mut Play) -> Done {
    let topic = play.topic("t", 1)?;
    let group = play.group("g")?;
    let mut member = join(&group, "a").session(1000);
    member.protocols = vec![("range", subscription(&[&topic]))];
    let a = alone(play, &member)?;
    for offset in 0..4 {
        std::thread::sleep(Duration::from_millis(500));
        let request = commit_by(&group, (a.generation, &a.id), vec![offsets(&topic, &[(0, offset)])]);
        play.ask("a commit each half of the session", 9, request)?;
    }
    play.ask("still a member", 4, heartbeat(&group, a.generation, &a.id))?;
    Ok(())
}
