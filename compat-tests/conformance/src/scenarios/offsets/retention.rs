//! Offsets that expire, and groups that go with the last of them. What has expired is looked for every 200 ms here.

use std::time::Duration;

use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::alone;
use crate::scenarios::groups::requests::{describe, join, leave};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("offset-retention/own-retention", own_retention),
        scenario("offset-retention/members", members),
        scenario("offset-retention/empty-groups", empty_groups),
    ]
    .into_iter()
    .map(|scenario| scenario.under(Profile::Expiring))
    .collect()
}

const SHORT_MS: i64 = 1500;
/// Several looks for what has expired.
const LOOKED: Duration = Duration::from_millis(1200);

fn gone(play: &mut Play, group: &str, topic: &str) -> Done {
    play.wait(&format!("the offset of {topic} has expired"), |play| {
        let answer = play.quiet(5, fetch(5, group, Some(&[(topic, &[0])])))?;
        Ok(answer.topics[0].partitions[0].committed_offset == -1)
    })
}

/// Versions 2 to 4 say how long an offset is to be kept.
fn own_retention(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    for version in 2..=4 {
        let group = play.group(&format!("v{version}"))?;
        play.ask("kept as is usual", version, commit(&group, &u, 0, 2))?;
        play.ask("kept shortly", version, commit(&group, &t, 0, 1).with_retention_time_ms(SHORT_MS))?;
        play.ask("both are there", 9, fetch(9, &group, None))?;
        gone(play, &group, &t)?;
        play.ask("one has expired", 9, fetch(9, &group, None))?;
    }
    let group = play.group("last")?;
    play.ask("the only offset of a group", 2, commit(&group, &t, 0, 1).with_retention_time_ms(SHORT_MS))?;
    play.group_is(&group, "Dead")?;
    play.ask("its group has gone with it", 6, describe(&[&group]))?;
    let group = play.group("renewed")?;
    play.ask("an offset kept shortly", 2, commit(&group, &t, 0, 1).with_retention_time_ms(SHORT_MS))?;
    play.ask("committed again, kept as is usual", 9, commit(&group, &t, 0, 2))?;
    std::thread::sleep(Duration::from_millis(SHORT_MS as u64) + LOOKED);
    play.ask("it is still there", 9, fetch(9, &group, None))?;
    for (i, retention_ms) in [0, -2, i64::MAX].into_iter().enumerate() {
        let group = play.group(&format!("r{i}"))?;
        let request = commit(&group, &t, 0, 1).with_retention_time_ms(retention_ms);
        play.ask(&format!("a retention of {retention_ms} ms"), 2, request)?;
        std::thread::sleep(LOOKED);
        play.ask("what is left", 9, fetch(9, &group, None))?;
    }
    Ok(())
}

/// Offsets of topics to which a member subscribes stay.
fn members(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let group = play.group("g")?;
    let a = alone(play, &join(&group, "").subscribed(&[&t]))?;
    let both = vec![offsets(&t, &[(0, 1)]), offsets(&u, &[(0, 2)])];
    let request = commit_by(&group, (a.generation, &a.id), both).with_retention_time_ms(SHORT_MS);
    play.ask("a member commits two topics, kept shortly", 2, request)?;
    gone(play, &group, &u)?;
    std::thread::sleep(LOOKED);
    play.ask("that of the subscribed topic is still there", 9, fetch(9, &group, None))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.group_is(&group, "Dead")?;
    play.ask("it went with the member, and the group too", 9, fetch(9, &group, None))?;
    Ok(())
}

/// A group without members and offsets is forgotten at the next look.
fn empty_groups(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.group("bare")?;
    let a = alone(play, &join(&group, "a"))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.group_is(&group, "Dead")?;
    play.ask("it starts anew", 3, join(&group, "a").at(3))?;
    let group = play.group("with-offset")?;
    let a = alone(play, &join(&group, "a"))?;
    play.quiet(9, commit_by(&group, (a.generation, &a.id), vec![offsets(&t, &[(0, 1)])]))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    std::thread::sleep(LOOKED);
    play.ask("it keeps its offset, and its generation", 9, fetch(9, &group, None))?;
    play.ask("a new member", 3, join(&group, "a").at(3))?;
    Ok(())
}
