//! Offsets of consumer groups: commits and fetches with member epochs.

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use crate::scenarios::offsets::requests::{commit, commit_by, fetch, offsets};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-offsets/commit", commits),
        scenario("consumer-offsets/fetch", fetches),
        scenario("consumer-offsets/after-the-members", after),
        scenario("consumer-offsets/deleted-topic", deleted_topic),
    ]
}

fn commits(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("g")?;
    let epoch = two(play, &group, &t)?;
    let by = |epoch, member| commit_by(&group, (epoch, member), vec![offsets(&t, &[(0, 7)])]);
    for version in 2..=9 {
        play.ask("a member", version, by(epoch, "a"))?;
        play.ask("the epoch before", version, by(epoch - 1, "a"))?;
        play.ask("the epoch to come", version, by(epoch + 1, "a"))?;
        play.ask("an unknown member", version, by(epoch, "x"))?;
        play.ask("no member", version, by(epoch, ""))?;
        play.ask("a simple consumer beside the members", version, by(-1, ""))?;
        play.ask("epoch -1 of a member", version, by(-1, "a"))?;
    }
    play.ask("epoch -2 of a member", 9, by(-2, "a"))?;
    play.ask("a member as an instance", 9, by(epoch, "a").with_group_instance_id(Some(text("i"))))?;
    play.ask(
        "a partition that it does not own",
        9,
        commit_by(&group, (epoch, "a"), vec![offsets(&t, &[(1, 1), (2, 2), (3, 3), (4, 4)])]),
    )?;
    play.ask("what was committed", 9, fetch(9, &group, None))?;
    // The epochs of a member that has not revoked yet.
    let group = play.consumer_group("revoking")?;
    joined(play, first(&group, "a", &[&t]))?;
    joined(play, first(&group, "b", &[&t]))?;
    play.quiet(1, beat(&group, "a", 1))?;
    play.ask("a member that is to revoke", 9, commit_by(&group, (1, "a"), vec![offsets(&t, &[(3, 1)])]))?;
    play.ask(
        "the group's epoch, which is not its own yet",
        9,
        commit_by(&group, (2, "a"), vec![offsets(&t, &[(3, 2)])]),
    )?;
    Ok(())
}

/// OffsetFetch v9 says who asks.
fn fetches(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("g")?;
    let epoch = two(play, &group, &t)?;
    play.quiet(9, commit_by(&group, (epoch, "a"), vec![offsets(&t, &[(0, 7)])]))?;
    let by = |member: Option<&str>, epoch: i32| {
        let mut request = fetch(9, &group, Some(&[(&t, &[0])]));
        request.groups[0].member_id = member.map(text);
        request.groups[0].member_epoch = epoch;
        request
    };
    play.ask("a member", 9, by(Some("a"), epoch))?;
    play.ask("the epoch before", 9, by(Some("a"), epoch - 1))?;
    play.ask("the epoch to come", 9, by(Some("a"), epoch + 1))?;
    play.ask("an unknown member", 9, by(Some("x"), epoch))?;
    play.ask("an empty member id", 9, by(Some(""), epoch))?;
    play.ask("a member, epoch -1", 9, by(Some("a"), -1))?;
    play.ask("nobody, epoch -1", 9, by(None, -1))?;
    let mut all = by(Some("a"), epoch - 1);
    all.groups[0].topics = None;
    play.ask("everything, with the epoch before", 9, all)?;
    let mut several = by(Some("a"), epoch - 1);
    several.groups.extend(by(None, -1).groups);
    play.ask("twice the group, one of them late", 9, several)?;
    for version in 1..=8 {
        play.ask("who says nothing of itself", version, fetch(version, &group, Some(&[(&t, &[0])])))?;
    }
    Ok(())
}

fn after(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    play.quiet(9, commit_by(&group, (1, "a"), vec![offsets(&t, &[(0, 1)])]))?;
    play.quiet(1, beat(&group, "a", -1))?;
    for version in [2, 8, 9] {
        play.ask("the member that has left", version, commit_by(&group, (1, "a"), vec![offsets(&t, &[(0, 2)])]))?;
        play.ask("a simple consumer", version, commit(&group, &t, 0, 3))?;
    }
    play.ask("what was committed", 9, fetch(9, &group, None))?;
    let simple = play.consumer_group("simple")?;
    play.quiet(9, commit(&simple, &t, 0, 5))?;
    play.ask("a member joins a simple group", 1, first(&simple, "a", &[&t]))?;
    play.ask("the offset from before", 9, fetch(9, &simple, None))?;
    Ok(())
}

fn deleted_topic(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t, &u]))?;
    play.quiet(9, commit_by(&group, (1, "a"), vec![offsets(&t, &[(0, 1)]), offsets(&u, &[(0, 2)])]))?;
    play.delete(&t)?;
    play.ask_until("one of two topics is deleted", 9, fetch(9, &group, None), |a| a.groups[0].topics.len() == 1)?;
    Ok(())
}
