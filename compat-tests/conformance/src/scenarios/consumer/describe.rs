//! ConsumerGroupDescribe, and what the APIs of classic groups say of consumer groups.

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::alone;
use crate::scenarios::groups::requests as classic;
use crate::scenarios::offsets::requests as offsets;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("consumer-describe/unknown", unknown),
        scenario("consumer-describe/states", states),
        scenario("consumer-describe/members", members),
        scenario("consumer-describe/as-classic-apis-see-it", as_classic),
        scenario("consumer-describe/listed", listed),
        scenario("consumer-describe/deleted", deleted),
    ]
}

fn unknown(play: &mut Play) -> Done {
    let (absent, group) = (play.consumer_group("absent")?, play.consumer_group("classic")?);
    alone(play, &classic::join(&group, "a"))?;
    for version in [0, 1] {
        play.ask("an absent group", version, describe(&[&absent]))?;
        play.ask("an empty group id", version, describe(&[""]))?;
        play.ask("a classic group", version, describe(&[&group]))?;
        play.ask("none", version, describe(&[]))?;
        play.ask("with operations", version, describe(&[&absent]).with_include_authorized_operations(true))?;
    }
    let simple = play.consumer_group("simple")?;
    let t = play.topic("t", 1)?;
    play.quiet(9, offsets::commit(&simple, &t, 0, 1))?;
    play.ask("a simple group", 1, describe(&[&simple]))?;
    Ok(())
}

fn states(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.consumer_group("g")?;
    let look = |play: &mut Play, label: &str| -> Done {
        for version in [0, 1] {
            play.ask(label, version, describe(&[&group]))?;
        }
        Ok(())
    };
    joined(play, first(&group, "a", &[&t]))?;
    look(play, "one member")?;
    joined(play, first(&group, "b", &[&t]))?;
    look(play, "another has come")?;
    let told = play.quiet(1, beat(&group, "a", 1))?;
    look(play, "the first is to revoke")?;
    let kept = assigned(&told).concat();
    play.quiet(1, owning(&group, "a", 1, &[(&t, &kept)]))?;
    look(play, "it has revoked")?;
    play.quiet(1, beat(&group, "b", 2))?;
    look(play, "the other has got it")?;
    play.quiet(1, beat(&group, "a", -1))?;
    look(play, "the first has left")?;
    play.quiet(1, beat(&group, "b", -1))?;
    look(play, "nobody is left")?;
    play.quiet(2, classic::delete(&[&group]))?;
    look(play, "deleted")
}

fn members(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let (one, two) = (play.consumer_group("one")?, play.consumer_group("two")?);
    play.client_id("another-client");
    let request = first(&one, "a", &[&t, "no-such-topic"]);
    joined(play, request.with_instance_id(Some(text("i"))).with_rack_id(Some(text("r"))))?;
    play.client_id("conformance");
    joined(play, first(&two, "b", &[]).with_server_assignor(Some(text("range"))))?;
    for version in [0, 1] {
        play.ask("two groups, one of them twice", version, describe(&[&two, &one, &two]))?;
    }
    play.ask("with operations", 1, describe(&[&one]).with_include_authorized_operations(true))?;
    Ok(())
}

fn as_classic(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    joined(play, first(&group, "a", &[&t]))?;
    for version in 0..=6 {
        play.ask("DescribeGroups", version, classic::describe(&[&group]))?;
    }
    play.ask("a classic heartbeat", 4, classic::heartbeat(&group, 1, "a"))?;
    play.ask("a classic sync", 5, classic::sync(5, &group, 1, "a", &[]))?;
    play.ask("a classic leave", 5, classic::leave(5, &group, "a"))?;
    play.ask("a classic leave of an unknown member", 5, classic::leave(5, &group, "x"))?;
    play.ask("the group", 1, describe(&[&group]))?;
    Ok(())
}

fn listed(play: &mut Play) -> Done {
    play.mine_only();
    let t = play.topic("t", 2)?;
    let (stable, waiting, empty) =
        (play.consumer_group("stable")?, play.consumer_group("waiting")?, play.consumer_group("empty")?);
    joined(play, first(&stable, "a", &[&t]))?;
    joined(play, first(&waiting, "a", &[&t]))?;
    joined(play, first(&waiting, "b", &[&t]))?;
    joined(play, first(&empty, "a", &[&t]))?;
    play.quiet(1, beat(&empty, "a", -1))?;
    for version in 0..=5 {
        play.ask("three groups", version, classic::list(&[], &[]))?;
    }
    for states in [&["Stable"][..], &["Reconciling"], &["reconciling"], &["Assigning"], &["Empty"], &["Dead"]] {
        play.ask(&format!("states {states:?}"), 5, classic::list(states, &[]))?;
    }
    for types in [&["consumer"][..], &["CONSUMER"], &["classic"], &["classic", "consumer"]] {
        play.ask(&format!("types {types:?}"), 5, classic::list(&[], types))?;
    }
    Ok(())
}

fn deleted(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let group = play.consumer_group("g")?;
    let epoch = joined(play, first(&group, "a", &[&t]))?;
    let both = vec![offsets::offsets(&t, &[(0, 1)]), offsets::offsets(&u, &[(0, 2)])];
    play.quiet(9, offsets::commit_by(&group, (epoch, "a"), both))?;
    play.ask("delete a group with a member", 2, classic::delete(&[&group]))?;
    play.ask(
        "delete the offset of a subscribed topic, and another",
        0,
        offsets::delete(&group, &[(&t, &[0]), (&u, &[0])]),
    )?;
    play.quiet(1, beat(&group, "a", -1))?;
    play.ask("what is left", 9, offsets::fetch(9, &group, None))?;
    play.ask("delete the empty group", 2, classic::delete(&[&group]))?;
    play.ask("its offsets", 9, offsets::fetch(9, &group, None))?;
    play.ask("it starts anew", 1, first(&group, "a", &[&t]))?;
    Ok(())
}
