//! Static members of the consumer protocol: an instance id, and epoch -2 for a member that means to come back.

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-static/comes-back", comes_back),
        scenario("consumer-static/leaves", leaves),
        scenario("consumer-static/refusals", refusals),
    ]
}

fn of(instance: &str, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest {
    request.with_instance_id(Some(text(instance)))
}

fn comes_back(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    for version in [0, 1] {
        let group = play.consumer_group(&format!("v{version}"))?;
        joined(play, of("i", first(&group, "a", &[&t])))?;
        joined(play, of("j", first(&group, "b", &[&t])))?;
        let told = play.quiet(1, beat(&group, "a", 1))?;
        let kept = assigned(&told).concat();
        play.quiet(1, owning(&group, "a", 1, &[(&t, &kept)]))?;
        play.quiet(1, beat(&group, "b", 2))?;
        play.ask("it leaves for a while", version, of("j", beat(&group, "b", -2)))?;
        play.ask("the group without it", version, describe(&[&group]))?;
        play.ask("the other's heartbeat: nothing is redistributed", version, beat(&group, "a", 2))?;
        play.ask("it leaves for a while again", version, of("j", beat(&group, "b", -2)))?;
        play.ask("it comes back as another member", version, of("j", first(&group, "c", &[&t])))?;
        play.ask("the group with it", version, describe(&[&group]))?;
        play.ask("its heartbeat", version, of("j", beat(&group, "c", 2)))?;
        play.ask("its heartbeat without instance id", version, beat(&group, "c", 2))?;
        play.ask("the member that it was", version, of("j", beat(&group, "b", 2)))?;
    }
    Ok(())
}

fn leaves(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 2)?, play.topic("u", 1)?);
    let group = play.consumer_group("for-good")?;
    joined(play, of("i", first(&group, "a", &[&t])))?;
    play.ask("for good", 1, of("i", beat(&group, "a", -1)))?;
    play.ask("the group", 1, describe(&[&group]))?;
    let group = play.consumer_group("without-instance")?;
    joined(play, of("i", first(&group, "a", &[&t])))?;
    play.ask("for good, without its instance id", 1, beat(&group, "a", -1))?;
    let group = play.consumer_group("another-subscription")?;
    joined(play, of("i", first(&group, "a", &[&t])))?;
    play.quiet(1, of("i", beat(&group, "a", -2)))?;
    play.ask("it comes back with another subscription", 1, of("i", first(&group, "b", &[&u])))?;
    play.ask("the group", 1, describe(&[&group]))?;
    let group = play.consumer_group("same-member")?;
    joined(play, of("i", first(&group, "a", &[&t])))?;
    play.quiet(1, of("i", beat(&group, "a", -2)))?;
    play.ask("its heartbeat though it has left", 1, of("i", beat(&group, "a", 1)))?;
    play.ask("it comes back as the same member", 1, of("i", first(&group, "a", &[&t])))?;
    Ok(())
}

fn refusals(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    joined(play, of("i", first(&group, "a", &[&t])))?;
    joined(play, first(&group, "dynamic", &[&t]))?;
    for version in [0, 1] {
        play.ask("the instance is still there", version, of("i", first(&group, "b", &[&t])))?;
        play.ask("another member's heartbeat as the instance", version, of("i", beat(&group, "b", 1)))?;
        play.ask("another member leaves as the instance", version, of("i", beat(&group, "b", -1)))?;
        play.ask("another member leaves it for a while", version, of("i", beat(&group, "b", -2)))?;
        play.ask("a member as another instance", version, of("j", beat(&group, "a", 1)))?;
        play.ask("a dynamic member as an instance", version, of("j", beat(&group, "dynamic", 2)))?;
        play.ask("a dynamic member leaves for a while", version, of("j", beat(&group, "dynamic", -2)))?;
    }
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}
