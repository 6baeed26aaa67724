//! AlterConfigs: what is not named is reset.

use kafka_protocol::messages::AlterConfigsRequest;

use super::super::requests::*;
use super::tables::is;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("configs/alter", replaces),
        scenario("configs/alter-refusals", refusals),
        scenario("configs/alter-errors", errors),
    ]
}

const KEYS: &[&str] = &["retention.ms", "segment.bytes", "cleanup.policy"];

fn replaces(play: &mut Play) -> Done {
    let topic = play.topic_with("a", 1, &[("retention.ms", "1000"), ("segment.bytes", "2000000")])?;
    for (version, retention) in [(0, "11"), (1, "12"), (2, "13")] {
        play.ask(
            "validated only",
            version,
            alter(TOPIC, &topic, &[("retention.ms", Some("5"))]).with_validate_only(true),
        )?;
        play.ask(
            "one key named, the others reset",
            version,
            alter(TOPIC, &topic, &[("retention.ms", Some(retention))]),
        )?;
        play.wait("the change is seen", |play| {
            Ok(is(retention)(&play.quiet(4, describe(TOPIC, &topic, &["retention.ms"]))?))
        })?;
        play.ask("the three keys", 4, describe(TOPIC, &topic, KEYS))?;
    }
    play.ask("none named, all reset", 2, alter(TOPIC, &topic, &[]))?;
    play.wait("the change is seen", |play| {
        Ok(is("604800000")(&play.quiet(4, describe(TOPIC, &topic, &["retention.ms"]))?))
    })?;
    play.ask("the three keys", 4, describe(TOPIC, &topic, KEYS))?;
    Ok(())
}

fn refusals(play: &mut Play) -> Done {
    let topic = play.topic_with("a", 1, &[("retention.ms", "1000")])?;
    for (label, configs) in [
        ("a bad value", &[("retention.ms", Some("x"))][..]),
        ("a good one and a bad one", &[("retention.ms", Some("5")), ("segment.bytes", Some("x"))]),
        ("an unknown key", &[("no.such", Some("1"))]),
        ("a null value", &[("retention.ms", None)]),
        ("an empty value", &[("retention.ms", Some(""))]),
        ("a key twice", &[("retention.ms", Some("5")), ("retention.ms", Some("6"))]),
        ("keys that do not go together", &[("min.compaction.lag.ms", Some("9")), ("max.compaction.lag.ms", Some("5"))]),
    ] {
        play.attempt("main", label, 2, alter(TOPIC, &topic, configs).with_validate_only(label == "a key twice"))?;
    }
    play.ask("nothing has changed", 4, describe(TOPIC, &topic, &["retention.ms"]))?;
    Ok(())
}

fn errors(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let unknown = play.name("unknown");
    for name in [&*unknown, "", "..", "a/b"] {
        play.ask(&format!("the topic \"{name}\""), 2, alter(TOPIC, name, &[("flush.ms", Some("5"))]))?;
    }
    for name in ["2", "x"] {
        play.ask(&format!("the broker \"{name}\""), 2, alter(BROKER, name, &[]).with_validate_only(true))?;
    }
    for kind in [0, 1, 3, 64, -1] {
        play.attempt("main", &format!("resource type {kind}"), 2, alter(kind, "x", &[]))?;
    }
    play.ask("nothing", 2, AlterConfigsRequest::default())?;
    let mut twice = alter(TOPIC, &topic, &[("flush.ms", Some("5"))]);
    twice.resources.extend(alter(TOPIC, &topic, &[("flush.ms", Some("6"))]).resources);
    play.attempt_briefly("twice", "the same resource twice", 2, twice)?;
    Ok(())
}
