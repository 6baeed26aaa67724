//! Requests over configurations that many make at once.

use super::super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![scenario("configs/races", races)]
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
