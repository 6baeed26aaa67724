//! OffsetForLeaderEpoch (23).

use kafka_protocol::messages::{BrokerId, OffsetForLeaderEpochRequest};

use super::requests::epoch_ends;
use crate::batch::{batch, value};
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![scenario("leader-epochs/every-version", every_version), scenario("leader-epochs/errors", errors)]
}

fn every_version(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let records = batch(play.t(), vec![value("x"), value("y")]);
    play.append(&topic, 0, records)?;
    for version in 2..=4 {
        for epoch in [0, 1, 7, -1, -2, i32::MAX] {
            play.ask(&format!("the end of epoch {epoch}"), version, epoch_ends(version, &topic, &[(0, -1, epoch)]))?;
        }
        play.ask("of an empty partition", version, epoch_ends(version, &topic, &[(1, -1, 0)]))?;
        play.ask("both", version, epoch_ends(version, &topic, &[(1, 0, 0), (0, 0, 0)]))?;
    }
    Ok(())
}

fn errors(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for version in 2..=4 {
        for current in [0, 1, -2] {
            play.ask(
                &format!("current leader epoch {current}"),
                version,
                epoch_ends(version, &topic, &[(0, current, 0)]),
            )?;
        }
        play.ask("an unknown partition", version, epoch_ends(version, &topic, &[(3, -1, 0)]))?;
        play.ask("an unknown topic", version, epoch_ends(version, &play.name("unknown"), &[(0, -1, 0)]))?;
        play.ask("no topics", version, OffsetForLeaderEpochRequest::default())?;
    }
    for replica in [-2, 1] {
        let request = epoch_ends(4, &topic, &[(0, -1, 0)]).with_replica_id(BrokerId(replica));
        play.ask(&format!("as replica {replica}"), 4, request)?;
    }
    Ok(())
}
