//! From classic groups to consumer groups and back: with members, and without.

use super::requests::*;
use crate::play::{Done, Play, Topic, text};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::{Member, alone, joined as joined_classic};
use crate::scenarios::groups::requests::{self as classic, Join, heartbeat, join, leave};
use crate::scenarios::offsets::requests::{commit_by, fetch, offsets};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("group-migration/empty-groups", empty_groups),
        scenario("group-migration/upgrade", upgrade),
        scenario("group-migration/downgrade", downgrade),
        scenario("group-migration/classic-joins", classic_joins),
        scenario("group-migration/in-place", in_place),
        scenario("group-migration/refusals", refusals),
        scenario("group-migration/static", static_members),
        scenario("group-migration/commits", commits),
    ]
}

/// The only member of a stable classic group, which owns all partitions of a topic.
fn classic_owner(play: &mut Play, member: &Join, topic: &Topic, partitions: &[i32]) -> Done<Member> {
    let a = joined_classic(play, member)?;
    let all = assignment(&[(topic, partitions)]);
    play.quiet(3, sync_with(3, &member.group, a.generation, &a.id, &[(&a.id, all)]))?;
    Ok(a)
}

/// A group without members is of the type of whoever comes next.
fn empty_groups(play: &mut Play) -> Done {
    play.mine_only();
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    let a = alone(play, &join(&group, "").subscribed(&[&t]))?;
    play.quiet(9, commit_by(&group, (a.generation, &a.id), vec![offsets(&t, &[(0, 1)])]))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.ask("a consumer joins an emptied classic group", 1, first(&group, "a", &[&t]))?;
    play.ask("it is a consumer group now", 5, classic::list(&[], &[]))?;
    play.ask("its offsets are still there", 9, fetch(9, &group, None))?;
    play.quiet(1, beat(&group, "a", -1))?;
    play.ask("a classic member joins the emptied consumer group", 3, join(&group, "").subscribed(&[&t]).at(3))?;
    play.ask("it is a classic group now", 5, classic::list(&[], &[]))?;
    play.ask("and its offsets are still there", 9, fetch(9, &group, None))?;
    let group = play.consumer_group("other")?;
    let a = alone(play, &join(&group, "a").kind("connect"))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.ask("a consumer joins an emptied group of another type", 1, first(&group, "a", &[&t]))?;
    Ok(())
}

/// A consumer joins a classic group whose member is there: the group is upgraded, and the classic member goes on in it.
fn upgrade(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("g")?;
    let member = join(&group, "").subscribed(&[&t]);
    let a = classic_owner(play, &member, &t, &[0, 1, 2, 3])?;
    play.ask_on("b", "a consumer joins", 1, first(&group, "b", &[&t]))?;
    play.ask("the group", 1, describe(&[&group]))?;
    play.ask("as DescribeGroups has it", 6, classic::describe(&[&group]))?;
    play.ask_on("b", "the consumer waits", 1, beat(&group, "b", a.generation + 1))?;
    play.ask("the classic member's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("its sync", 5, classic::sync(5, &group, a.generation, &a.id, &[]))?;
    let answer = play.ask("it joins again", 9, member.clone().member(&a.id).at(9))?;
    play.ask("the group while it rebalances", 1, describe(&[&group]))?;
    play.ask("it syncs", 5, classic::sync(5, &group, answer.generation_id, &a.id, &[]))?;
    play.ask("its heartbeat", 4, heartbeat(&group, answer.generation_id, &a.id))?;
    play.ask_on("b", "the consumer's heartbeat", 1, beat(&group, "b", a.generation + 1))?;
    play.ask("the group at the end", 1, describe(&[&group]))?;
    Ok(())
}

/// The last consumer leaves: what is left is a classic group again.
fn downgrade(play: &mut Play) -> Done {
    play.mine_only();
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    let member = join(&group, "").subscribed(&[&t]);
    let a = classic_owner(play, &member, &t, &[0, 1])?;
    play.quiet(1, first(&group, "b", &[&t]))?;
    play.ask("a group of both kinds", 5, classic::list(&[], &[]))?;
    play.ask_on("b", "the only consumer leaves", 1, beat(&group, "b", -1))?;
    play.ask("a classic group", 5, classic::list(&[], &[]))?;
    play.ask("the group", 6, classic::describe(&[&group]))?;
    play.ask("the classic member's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("it joins again", 9, member.member(&a.id).at(9))?;
    Ok(())
}

/// A classic member joins a group of consumers.
fn classic_joins(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    for version in [0, 4, 9] {
        let group = play.consumer_group(&format!("v{version}"))?;
        joined(play, first(&group, "a", &[&t]))?;
        let mut member = join(&group, "").subscribed(&[&t]);
        let mut answer = play.ask("a classic member joins", version, member.at(version))?;
        if answer.error_code == 79 {
            member.member = answer.member_id.to_string();
            answer = play.ask("with the id that was given", version, member.at(version))?;
        }
        let (generation, id) = (answer.generation_id, answer.member_id.to_string());
        let sync_version = version.min(5);
        play.ask("it syncs", sync_version, classic::sync(sync_version, &group, generation, &id, &[]))?;
        play.ask("its heartbeat", version.min(4), heartbeat(&group, generation, &id))?;
        play.ask("the consumer is to give up one", 1, owning(&group, "a", 1, &[(&t, &[0, 1])]))?;
        play.ask("the consumer has given it up", 1, owning(&group, "a", 1, &[(&t, &[0])]))?;
        play.ask("its heartbeat now", version.min(4), heartbeat(&group, generation, &id))?;
        let answer = play.ask("it joins again", version, member.clone().member(&id).at(version))?;
        play.ask("it syncs again", sync_version, classic::sync(sync_version, &group, answer.generation_id, &id, &[]))?;
        play.ask("the group", 1, describe(&[&group]))?;
        play.ask("it leaves", version.min(5), leave(version.min(5), &group, &id))?;
        play.ask("the consumer alone", 1, beat(&group, "a", 2))?;
    }
    Ok(())
}

/// The same member id changes its protocol.
fn in_place(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("to-consumer")?;
    let member = join(&group, "").subscribed(&[&t]);
    let a = classic_owner(play, &member, &t, &[0, 1])?;
    play.ask("a classic member sends a consumer's first heartbeat", 1, first(&group, &a.id, &[&t]))?;
    play.ask("the group", 1, describe(&[&group]))?;
    let group = play.consumer_group("to-classic")?;
    joined(play, first(&group, "a", &[&t]))?;
    joined(play, first(&group, "b", &[&t]))?;
    play.ask("a consumer joins as a classic member", 9, join(&group, "").subscribed(&[&t]).member("a").at(9))?;
    play.ask("the group", 1, describe(&[&group]))?;
    play.ask("its heartbeat as a consumer", 1, beat(&group, "a", 1))?;
    Ok(())
}

fn refusals(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    for version in [0, 4, 9] {
        play.ask("another type", version, join(&group, "a").kind("connect").at(version))?;
        play.ask("no protocols", version, join(&group, "a").protocols(&[]).at(version))?;
        play.ask("an unknown member", version, join(&group, "").subscribed(&[&t]).member("x").at(version))?;
        play.ask("a subscription that cannot be read", version, join(&group, "a").at(version))?;
        play.ask("too short a session", version, join(&group, "").subscribed(&[&t]).session(1).at(version))?;
    }
    let group = play.consumer_group("classic")?;
    alone(play, &join(&group, "a"))?;
    play.ask("a consumer joins members whose subscription cannot be read", 1, first(&group, "b", &[&t]))?;
    let group = play.consumer_group("preparing")?;
    classic_owner(play, &join(&group, "").subscribed(&[&t]), &t, &[0])?;
    let parked = play.park("c", 3, join(&group, "").subscribed(&[&t]).at(3))?;
    play.ask("a consumer joins a classic group that prepares a rebalance", 1, first(&group, "b", &[&t]))?;
    play.wakes("the classic member that waited", parked)?;
    Ok(())
}

fn static_members(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    joined(play, first(&group, "b", &[&t]).with_instance_id(Some(text("i"))))?;
    play.ask(
        "a classic process of an instance that is there",
        9,
        join(&group, "").subscribed(&[&t]).instance("i").at(9),
    )?;
    play.quiet(1, beat(&group, "b", -2).with_instance_id(Some(text("i"))))?;
    play.ask("and of one that left for a while", 9, join(&group, "").subscribed(&[&t]).instance("i").at(9))?;
    play.ask("the group", 1, describe(&[&group]))?;
    play.ask("a consumer process of it", 1, first(&group, "c", &[&t]).with_instance_id(Some(text("i"))))?;
    Ok(())
}

/// Commits of classic members in a consumer group have the old errors.
fn commits(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    let a = classic_owner(play, &join(&group, "").subscribed(&[&t]), &t, &[0, 1])?;
    play.quiet(1, first(&group, "b", &[&t]))?;
    for version in [2, 8, 9] {
        let by = |generation| commit_by(&group, (generation, &a.id), vec![offsets(&t, &[(0, 1)])]);
        play.ask("its generation", version, by(a.generation))?;
        play.ask("the generation before", version, by(a.generation - 1))?;
        play.ask("the generation to come", version, by(a.generation + 1))?;
    }
    let mut request = fetch(9, &group, None);
    request.groups[0].member_id = Some(text(&a.id));
    request.groups[0].member_epoch = a.generation + 1;
    play.ask("a fetch with the generation to come", 9, request)?;
    Ok(())
}
