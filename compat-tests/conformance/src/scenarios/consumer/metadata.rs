//! What groups do when their topics come, grow and go.

use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::scenarios::requests::{creatable, create, grow};
use kafka_protocol::messages::ConsumerGroupHeartbeatResponse;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-metadata/created", created),
        scenario("consumer-metadata/grown", grown),
        scenario("consumer-metadata/deleted", deleted),
    ]
}

fn changed(answer: &ConsumerGroupHeartbeatResponse) -> bool {
    answer.assignment.is_some()
}

fn created(play: &mut Play) -> Done {
    let name = play.name("t");
    let group = play.consumer_group("g")?;
    play.ask("a topic that is not there yet", 1, first(&group, "a", &[&name]))?;
    play.ask("nothing yet", 1, beat(&group, "a", 1))?;
    play.quiet(5, create(vec![creatable(&name, 2, 1, &[])]))?;
    play.settled(&name, 2)?;
    play.ask_until("the topic has come", 1, beat(&group, "a", 1), changed)?;
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}

fn grown(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    joined(play, first(&group, "b", &[&t]))?;
    play.quiet(1, beat(&group, "a", 1))?;
    play.quiet(3, grow(&t, 3, None))?;
    play.settled(&t, 3)?;
    play.ask_until("b gets of the new partitions", 1, beat(&group, "b", 2), changed)?;
    play.ask_until("a too", 1, beat(&group, "a", 2), |answer| answer.member_epoch > 2)?;
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}

fn deleted(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 2)?, play.topic("u", 1)?);
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t, &u]))?;
    play.delete(&t)?;
    play.ask_until("one of two is gone", 1, beat(&group, "a", 1), changed)?;
    play.ask("it gives up what is gone", 1, owning(&group, "a", 1, &[(&u, &[0])]))?;
    play.ask("the group", 1, describe(&[&group]))?;
    play.delete(&u)?;
    play.ask_until("both are gone", 1, beat(&group, "a", 2), changed)?;
    play.ask("it has nothing", 1, owning(&group, "a", 2, &[]))?;
    Ok(())
}
