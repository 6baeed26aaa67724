//! JoinGroup of a member that is in the group already, in every state of the group.

use super::member::{alone, two, two_joined};
use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("rejoin/stable", stable),
        scenario("rejoin/completing", completing),
        scenario("rejoin/preparing", preparing),
        scenario("rejoin/twice", twice),
        scenario("rejoin/under-a-sync", under_a_sync),
        scenario("rejoin/lower-versions", lower_versions),
    ]
}

/// A follower with the same metadata is only told; anything else rebalances.
fn stable(play: &mut Play) -> Done {
    let group = play.group("follower")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    play.ask_on("b", "the follower with the same metadata", 9, join(&group, "b").member(&b.id).at(9))?;
    play.ask("the group is still stable", 5, describe(&[&group]))?;
    play.ask_on("b", "its assignment is still there", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    play.ask("the leader's heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    let changed = play.park("b", 9, join(&group, "new").member(&b.id).at(9))?;
    play.ask("the leader's heartbeat after a change", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    play.wakes("the follower with other metadata", changed)?;

    let group = play.group("leader")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    let parked = play.park("main", 9, join(&group, "a").member(&a.id).at(9))?;
    play.ask_on("b", "the follower's heartbeat", 4, heartbeat(&group, b.generation, &b.id))?;
    play.ask_on("b", "the follower joins again", 9, join(&group, "b").member(&b.id).at(9))?;
    play.wakes("the leader with the same metadata", parked)?;

    let group = play.group("more-protocols")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    let more = join(&group, "").protocols(&[("range", "b"), ("sticky", "b")]).member(&b.id);
    let parked = play.park("b", 9, more.at(9))?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    play.wakes("the follower with one protocol more", parked)?;
    Ok(())
}

fn completing(play: &mut Play) -> Done {
    let group = play.group("same")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    play.ask("the leader with the same metadata", 9, join(&group, "a").member(&a.id).at(9))?;
    play.ask_on("b", "the follower with the same metadata", 9, join(&group, "b").member(&b.id).at(9))?;
    play.ask("the group", 5, describe(&[&group]))?;
    play.ask("an unknown member", 9, join(&group, "a").member("x").at(9))?;
    let changed = play.park("b", 9, join(&group, "new").member(&b.id).at(9))?;
    play.ask("the leader's heartbeat after a change", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("the leader's sync after a change", 5, sync(5, &group, a.generation, &a.id, &[]))?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    play.wakes("the follower with other metadata", changed)?;

    let group = play.group("third")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let c = play.park("c", 3, join(&group, "c").at(3))?;
    play.ask("the leader's sync, as a third has come", 5, sync(5, &group, a.generation, &a.id, &[]))?;
    let parked = play.park("b", 3, join(&group, "b").member(&b.id).at(3))?;
    play.ask("the leader joins again", 3, join(&group, "a").member(&a.id).at(3))?;
    play.wakes("the follower", parked)?;
    play.wakes("the third", c)?;
    Ok(())
}

/// What members hear while the group waits for one of them.
fn preparing(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    let c = play.park("c", 3, join(&group, "c").at(3))?;
    play.group_is(&group, "PreparingRebalance")?;
    play.ask("a heartbeat", 4, heartbeat(&group, a.generation, &a.id))?;
    play.ask("a heartbeat of the generation before", 4, heartbeat(&group, a.generation - 1, &a.id))?;
    play.ask("a heartbeat of the generation to come", 4, heartbeat(&group, a.generation + 1, &a.id))?;
    play.ask("a heartbeat of an unknown member", 4, heartbeat(&group, a.generation, "x"))?;
    play.ask("a sync", 5, sync(5, &group, a.generation, &a.id, &[]))?;
    play.ask("a sync of the generation to come", 5, sync(5, &group, a.generation + 1, &a.id, &[]))?;
    play.ask("a sync of an unknown member", 5, sync(5, &group, a.generation, "x", &[]))?;
    play.ask("the group", 6, describe(&[&group]))?;
    let mut parked = play.park("main", 3, join(&group, "a").member(&a.id).at(3))?;
    play.ask_on("other", "the heartbeat of one that waits", 4, heartbeat(&group, a.generation, &a.id))?;
    play.still_parked("it waits", &mut parked)?;
    // The follower: whom of two Kafka makes the leader when the leader goes is chance.
    play.ask_on("b", "the last leaves instead", 3, leave(3, &group, &b.id))?;
    play.wakes("a", parked)?;
    play.wakes("c", c)?;
    Ok(())
}

/// The same member waits on two connections: the later request takes the earlier one's place.
fn twice(play: &mut Play) -> Done {
    let group = play.group("member")?;
    let (a, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    let mut earlier = play.park("b", 9, join(&group, "b1").member(&b.id).at(9))?;
    let later = play.park("b again", 9, join(&group, "b2").member(&b.id).at(9))?;
    play.still_parked("the earlier request", &mut earlier)?;
    play.ask("the leader joins again", 9, join(&group, "a").member(&a.id).at(9))?;
    play.wakes("the later request", later)?;
    play.still_parked("the earlier request after the rebalance", &mut earlier)?;
    Ok(())
}

/// A member waits in SyncGroup when a rebalance begins.
fn under_a_sync(play: &mut Play) -> Done {
    let group = play.group("new-member")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let syncing = play.park("b", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    let c = play.park("c", 3, join(&group, "c").at(3))?;
    play.wakes("a sync as a third member comes", syncing)?;
    play.close("c");
    drop((a, c));

    let group = play.group("own-rejoin")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let mut syncing = play.park("b", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    play.ask_on("b again", "it joins again with the same metadata", 9, join(&group, "b").member(&b.id).at(9))?;
    play.still_parked("its sync", &mut syncing)?;
    play.ask("the leader syncs", 5, sync(5, &group, a.generation, &a.id, &[(&b.id, "all b")]))?;
    play.wakes("its sync now", syncing)?;

    let group = play.group("leaving-leader")?;
    let (a, b) = two_joined(play, &join(&group, "a"), &join(&group, "b"))?;
    let syncing = play.park("b", 5, sync(5, &group, b.generation, &b.id, &[]))?;
    play.ask("the leader leaves", 5, leave(5, &group, &a.id))?;
    play.wakes("a sync as the leader leaves", syncing)?;
    Ok(())
}

/// The answer to a member that joins again in a stable group, where versions differ.
fn lower_versions(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (_, b) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    for version in 0..=9 {
        play.ask_on("b", "the follower with the same metadata", version, join(&group, "b").member(&b.id).at(version))?;
    }
    let group = play.group("alone")?;
    let a = alone(play, &join(&group, "a"))?;
    for version in 0..=9 {
        let answer = play.ask("the only member", version, join(&group, "a").member(&a.id).at(version))?;
        play.quiet(3, sync(3, &group, answer.generation_id, &a.id, &[]))?;
    }
    Ok(())
}
