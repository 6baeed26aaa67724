//! ListOffsets (2): special timestamps, look-ups by time to the record, leader epochs.

use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;

use super::requests::list_offsets;
use crate::batch::codec::CODECS;
use crate::batch::{Record, batch, value};
use crate::play::{Done, Play, Topic};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("list-offsets/every-version", every_version),
        scenario("list-offsets/special-timestamps", special_timestamps),
        scenario("list-offsets/by-time", by_time),
        scenario("list-offsets/inside-compressed-batches", inside_compressed_batches),
        scenario("list-offsets/log-append-time", log_append_time),
        scenario("list-offsets/errors", errors),
    ]
}

fn timed(offsets_ms: &[i64]) -> Vec<Record> {
    offsets_ms.iter().map(|ms| value(&format!("at {ms}")).after(*ms)).collect()
}

/// Offsets 0..6 at T+10, T+20, T+15, T+30, T+30, T+5: not sorted, the maximum twice.
fn filled(play: &mut Play) -> Done<Topic> {
    let topic = play.topic("a", 2)?;
    let batches =
        [batch(play.t(), timed(&[10, 20, 15])), batch(play.t(), timed(&[30])), batch(play.t(), timed(&[30, 5]))];
    for records in batches {
        play.append(&topic, 0, records)?;
    }
    Ok(topic)
}

fn every_version(play: &mut Play) -> Done {
    let topic = filled(play)?;
    for version in 1..=10 {
        for at in [-1, -2, play.t() + 15] {
            play.ask("latest, earliest, by time", version, list_offsets(&topic, &[(0, at)]))?;
        }
        if version >= 2 {
            play.ask("latest, read committed", version, list_offsets(&topic, &[(0, -1)]).with_isolation_level(1))?;
        }
        play.ask("two partitions, one of them empty", version, list_offsets(&topic, &[(0, -1), (1, -1)]))?;
    }
    play.ask("with a time limit", 10, list_offsets(&topic, &[(0, -1)]).with_timeout_ms(10))?;
    Ok(())
}

/// Each special timestamp from the version that has it, refused below.
fn special_timestamps(play: &mut Play) -> Done {
    let topic = filled(play)?;
    for version in [1, 4, 6, 7, 8, 9, 10] {
        for at in [-3, -4, -5, -6, -7, i64::MIN] {
            play.ask(&format!("timestamp {at}"), version, list_offsets(&topic, &[(0, at)]))?;
        }
    }
    for at in [-3, -4, -5] {
        play.ask(&format!("timestamp {at} of an empty log"), 10, list_offsets(&topic, &[(1, at)]))?;
        play.ask(
            &format!("timestamp {at}, read committed"),
            10,
            list_offsets(&topic, &[(0, at)]).with_isolation_level(1),
        )?;
    }
    Ok(())
}

fn by_time(play: &mut Play) -> Done {
    let topic = filled(play)?;
    for ms in [-1, 0, 5, 6, 10, 11, 15, 16, 20, 21, 29, 30, 31, 100] {
        play.ask(&format!("at T+{ms}"), 7, list_offsets(&topic, &[(0, play.t() + ms)]))?;
    }
    play.ask("at 0", 7, list_offsets(&topic, &[(0, 0)]))?;
    play.ask("at the end of time", 7, list_offsets(&topic, &[(0, i64::MAX)]))?;
    play.ask("of an empty log", 7, list_offsets(&topic, &[(1, play.t())]))?;
    let records = batch(-1, vec![value("no time"), value("no time")]);
    play.append(&topic, 1, records)?;
    for at in [0, -3, -1, -2] {
        play.ask(&format!("records without a time, at {at}"), 7, list_offsets(&topic, &[(1, at)]))?;
    }
    Ok(())
}

/// The answer names a record, also where the records are compressed.
fn inside_compressed_batches(play: &mut Play) -> Done {
    for codec in CODECS {
        let topic = play.topic(codec.name(), 1)?;
        for (start, times) in [(0, [1, 5, 3, 9]), (20, [1, 2, 3, 2])] {
            let records = batch(play.t() + start, timed(&times)).codec(codec);
            play.append(&topic, 0, records)?;
        }
        for ms in [0, 2, 4, 6, 9, 10, 22, 23, 24] {
            play.ask(&format!("{}, at T+{ms}", codec.name()), 7, list_offsets(&topic, &[(0, play.t() + ms)]))?;
        }
        play.ask(&format!("{}, the largest timestamp", codec.name()), 7, list_offsets(&topic, &[(0, -3)]))?;
    }
    Ok(())
}

fn log_append_time(play: &mut Play) -> Done {
    for codec in [crate::batch::Codec::None, crate::batch::Codec::Gzip] {
        let topic = play.topic_with(codec.name(), 1, &[("message.timestamp.type", "LogAppendTime")])?;
        let records = batch(play.t(), timed(&[0, 10, 5])).codec(codec);
        play.append(&topic, 0, records)?;
        for at in [play.t(), play.t() + 6, -3, i64::MAX] {
            play.ask(&format!("LogAppendTime, {}", codec.name()), 7, list_offsets(&topic, &[(0, at)]))?;
        }
    }
    Ok(())
}

fn errors(play: &mut Play) -> Done {
    let topic = filled(play)?;
    for version in [1, 3, 6, 10] {
        play.ask("an unknown partition", version, list_offsets(&topic, &[(9, -1), (-1, -1)]))?;
        play.ask("an unknown topic", version, list_offsets(&play.name("unknown"), &[(0, -1)]))?;
        play.ask("an impossible name", version, list_offsets("a/b", &[(0, -1)]))?;
        play.ask("a partition twice", version, list_offsets(&topic, &[(0, -1), (0, -2)]))?;
    }
    play.ask("no partitions", 7, list_offsets(&topic, &[]))?;
    for epoch in [0, 1, 5, -1, -2] {
        let mut request = list_offsets(&topic, &[]);
        request.topics[0]
            .partitions
            .push(ListOffsetsPartition::default().with_current_leader_epoch(epoch).with_timestamp(-1));
        play.ask(&format!("current leader epoch {epoch}"), 7, request)?;
    }
    for (version, at) in [(1, -4), (4, -5), (6, -3), (7, -7), (7, -3)] {
        let unknown = play.name("unknown");
        play.ask(&format!("timestamp {at} of an unknown topic"), version, list_offsets(&unknown, &[(0, at)]))?;
    }
    for isolation in [2, -1] {
        play.attempt(
            "main",
            &format!("isolation level {isolation}"),
            7,
            list_offsets(&topic, &[(0, -1)]).with_isolation_level(isolation),
        )?;
    }
    for replica in [-2, -3, 1, 5] {
        play.attempt(
            "main",
            &format!("as replica {replica}"),
            7,
            list_offsets(&topic, &[(0, -1)]).with_replica_id(BrokerId(replica)),
        )?;
    }
    Ok(())
}
