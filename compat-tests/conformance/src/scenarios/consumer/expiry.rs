//! Sessions and rebalances that end by themselves. The group's own configuration makes them short.

use std::time::Duration;

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use crate::scenarios::consumer::configs::set;
use crate::server::Profile;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-expiry/session", session),
        scenario("consumer-expiry/static-session", static_session),
        scenario("consumer-expiry/revocation", revocation),
    ]
    .into_iter()
    .map(|scenario| scenario.under(Profile::Groups))
    .collect()
}

fn short_sessions(play: &mut Play, group: &str) -> Done {
    set(play, group, &[("consumer.session.timeout.ms", "600"), ("consumer.heartbeat.interval.ms", "200")])?;
    play.settle();
    Ok(())
}

/// Waits until the group has that many members.
fn members(play: &mut Play, group: &str, count: usize) -> Done {
    play.wait(&format!("{group} has {count} members"), |play| {
        Ok(play.quiet(1, describe(&[group]))?.groups[0].members.len() == count)
    })
}

fn session(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    short_sessions(play, &group)?;
    play.ask("a joins", 1, first(&group, "a", &[&t]))?;
    play.ask("b joins", 1, first(&group, "b", &[&t]))?;
    // a stays, and keeps one partition, until b is gone: that its epoch follows shows that it has heard of it.
    let mut epoch = 1;
    play.wait("a is alone", |play| {
        std::thread::sleep(Duration::from_millis(50));
        epoch = joined(play, owning(&group, "a", epoch, &[(&t, &[0])]))?;
        Ok(epoch == 3)
    })?;
    play.ask("b has fallen silent", 1, beat(&group, "b", 2))?;
    members(play, &group, 0)?;
    play.ask("a too", 1, describe(&[&group]))?;
    play.ask("a's heartbeat", 1, beat(&group, "a", 3))?;
    play.ask("a joins again", 1, first(&group, "a", &[&t]))?;
    Ok(())
}

/// A static member that left for a while does not stay for ever.
fn static_session(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    short_sessions(play, &group)?;
    let of = |request: ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("i")));
    joined(play, of(first(&group, "a", &[&t])))?;
    play.ask("it leaves for a while", 1, of(beat(&group, "a", -2)))?;
    members(play, &group, 0)?;
    play.ask("it was away for too long", 1, describe(&[&group]))?;
    play.ask("it joins anew", 1, of(first(&group, "b", &[&t])))?;
    Ok(())
}

/// Who does not give up partitions in time is fenced, heartbeats or not.
fn revocation(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]).with_rebalance_timeout_ms(500))?;
    joined(play, first(&group, "b", &[&t]))?;
    play.ask("a is to give up one", 1, owning(&group, "a", 1, &[(&t, &[0, 1])]))?;
    members(play, &group, 1)?;
    play.ask("a was too slow", 1, owning(&group, "a", 1, &[(&t, &[0, 1])]))?;
    play.ask("b has all", 1, beat(&group, "b", 2))?;
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}
