//! Requests over configurations that many make at once, and what is refused first of several reasons.

use super::super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![scenario("configs/races", races), scenario("configs/unknown-topic", unknown_topic)]
}

/// What is wrong with the request itself is said first.
fn unknown_topic(play: &mut Play) -> Done {
    let unknown = play.name("unknown");
    for (label, changes) in [
        ("append to what is no list", &[("retention.ms", APPEND, Some("5"))][..]),
        ("subtract from what is no list", &[("retention.ms", SUBTRACT, Some("5"))]),
        ("append to an unknown key", &[("no.such", APPEND, Some("5"))]),
        ("append to a list", &[("cleanup.policy", APPEND, Some("compact"))]),
        ("append a bad value to a list", &[("cleanup.policy", APPEND, Some("nothing"))]),
        ("a good value", &[("flush.ms", SET, Some("5"))]),
        ("a key twice", &[("flush.ms", SET, Some("5")), ("flush.ms", SET, Some("6"))]),
        ("null", &[("flush.ms", SET, None)]),
        ("a bad value", &[("flush.ms", SET, Some("x"))]),
        ("an unknown key", &[("no.such", SET, Some("x"))]),
        ("an unknown operation", &[("flush.ms", 9, Some("5"))]),
    ] {
        play.attempt("main", label, 1, change(TOPIC, &unknown, changes))?;
    }
    for (label, configs) in [
        ("a key twice", &[("flush.ms", Some("5")), ("flush.ms", Some("6"))][..]),
        ("null", &[("flush.ms", None)]),
        ("a good value", &[("flush.ms", Some("5"))]),
        ("a bad value", &[("flush.ms", Some("x"))]),
    ] {
        play.attempt("main", label, 2, alter(TOPIC, &unknown, configs))?;
    }
    Ok(())
}

/// Eight that set different keys: all of them hold.
fn races(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let keys = [
        "retention.ms",
        "flush.ms",
        "flush.messages",
        "segment.ms",
        "segment.jitter.ms",
        "index.interval.bytes",
        "delete.retention.ms",
        "max.message.bytes",
    ];
    let requests = keys.iter().map(|key| change(TOPIC, &topic, &[(key, SET, Some("12345"))])).collect();
    play.race("eight keys at once", 1, requests)?;
    play.wait("all are seen", |play| {
        let answer = play.quiet(4, describe(TOPIC, &topic, &keys))?;
        Ok(answer.results[0].configs.iter().all(|c| c.value.as_deref() == Some("12345")))
    })?;
    play.ask("all of them hold", 4, describe(TOPIC, &topic, &keys))?;
    Ok(())
}
