//! Member epochs: who is in time, who is late, who is fenced.

use super::requests::*;
use crate::play::{Done, Play, topic_name};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-epochs/fenced", fenced),
        scenario("consumer-epochs/previous", previous),
        scenario("consumer-epochs/rejoin", rejoin),
        scenario("consumer-epochs/subscriptions", subscriptions),
    ]
}

fn fenced(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("g")?;
    let epoch = two(play, &group, &t)?;
    for version in [0, 1] {
        play.ask("the epoch to come", version, beat(&group, "a", epoch + 1))?;
        play.ask("the first epoch", version, beat(&group, "a", 1))?;
        play.ask("the greatest epoch", version, beat(&group, "a", i32::MAX))?;
        play.ask("the right epoch", version, beat(&group, "a", epoch))?;
    }
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}

/// An answer that was lost: the epoch before is good for one that owns no more than it was assigned.
fn previous(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    joined(play, first(&group, "b", &[&t]))?;
    let told = play.ask("a is to give up two", 1, owning(&group, "a", 1, &[(&t, &[0, 1, 2, 3])]))?;
    let kept = assigned(&told).concat();
    play.ask("a still has all", 1, owning(&group, "a", 1, &[(&t, &[0, 1, 2, 3])]))?;
    play.ask("a says nothing", 1, beat(&group, "a", 1))?;
    play.ask("a has given them up", 1, owning(&group, "a", 1, &[(&t, &kept)]))?;
    play.ask("the epoch before, with what it has", 1, owning(&group, "a", 1, &[(&t, &kept)]))?;
    play.ask("the epoch before, with less", 1, owning(&group, "a", 1, &[(&t, &kept[..1])]))?;
    play.ask("the epoch before, with nothing", 1, owning(&group, "a", 1, &[]))?;
    play.ask("the epoch before, with all", 1, owning(&group, "a", 1, &[(&t, &[0, 1, 2, 3])]))?;
    play.ask("the epoch before, without a word", 1, beat(&group, "a", 1))?;
    play.ask("its epoch", 1, beat(&group, "a", 2))?;
    Ok(())
}

/// Epoch 0 of a member that is there already.
fn rejoin(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    let group = play.consumer_group("g")?;
    let epoch = two(play, &group, &t)?;
    play.ask("a joins again", 1, first(&group, "a", &[&t]))?;
    play.ask("a joins again, for no topics", 1, first(&group, "a", &[]))?;
    play.ask("the epoch before", 1, beat(&group, "a", epoch))?;
    play.ask("b's heartbeat", 1, beat(&group, "b", epoch))?;
    play.ask("the group", 1, describe(&[&group]))?;
    play.ask("b leaves", 1, beat(&group, "b", -1))?;
    play.ask("a's heartbeat", 1, beat(&group, "a", epoch))?;
    play.ask("b's heartbeat after it has left", 1, beat(&group, "b", epoch))?;
    Ok(())
}

/// What a member changes while it is there.
fn subscriptions(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 2)?, play.topic("u", 1)?);
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    let subscribed = |epoch, topics: &[&str]| {
        beat(&group, "a", epoch).with_subscribed_topic_names(Some(topics.iter().map(|t| topic_name(t)).collect()))
    };
    play.ask("another topic too", 1, subscribed(1, &[&t, &u]))?;
    play.ask("the same in another order", 1, subscribed(2, &[&u, &t]))?;
    play.ask("one less", 1, subscribed(2, &[&u]))?;
    play.ask("it has given it up", 1, owning(&group, "a", 2, &[(&u, &[0])]))?;
    play.ask("none", 1, subscribed(3, &[]))?;
    play.ask("it has nothing", 1, owning(&group, "a", 3, &[]))?;
    play.ask("an unknown topic", 1, subscribed(4, &["no-such-topic"]))?;
    play.ask("another rebalance timeout", 1, beat(&group, "a", 5).with_rebalance_timeout_ms(5_000))?;
    play.ask("another rack", 1, beat(&group, "a", 5).with_rack_id(Some(crate::play::text("r"))))?;
    play.client_id("another-client");
    play.ask("another client id", 1, beat(&group, "a", 5))?;
    play.client_id("conformance");
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}
