//! Which records a Fetch brings: offsets, limits, epochs, isolation, what is unknown.

use kafka_protocol::messages::fetch_request::ReplicaState;
use kafka_protocol::messages::{BrokerId, FetchRequest};

use super::super::requests::*;
use crate::batch::codec::CODECS;
use crate::batch::{batch, sized, value};
use crate::play::{Done, Play, Topic, text};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("fetch/every-version", every_version),
        scenario("fetch/offsets", offsets),
        scenario("fetch/limits", limits),
        scenario("fetch/broker-limit", broker_limit).under(Profile::Tight),
        scenario("fetch/unknown", unknown),
        scenario("fetch/epochs", epochs),
        scenario("fetch/isolation", isolation),
        scenario("fetch/as-a-replica", as_a_replica),
        scenario("fetch/order", order),
        scenario("fetch/zstd", zstd),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let records = batch(play.t(), vec![value("x"), value("y").after(1)]);
    play.append(&topic, 0, records)?;
    for version in 4..=18 {
        play.ask("two partitions, one of them empty", version, fetch(version, &topic, vec![from(0, 0), from(1, 0)]))?;
        play.ask("at the end", version, fetch(version, &topic, vec![from(0, 2)]))?;
        play.ask("beyond the end", version, fetch(version, &topic, vec![from(0, 3)]))?;
        play.ask("an unknown partition", version, fetch(version, &topic, vec![from(5, 0)]))?;
        play.ask("no topics", version, fetch_topics(vec![]))?;
        let mut request = fetch(version, &topic, vec![from(0, 0)]);
        if version >= 5 {
            request.topics[0].partitions[0].log_start_offset = 7;
        }
        if version >= 11 {
            request.rack_id = text("rack-a");
        }
        if version >= 18 {
            request.topics[0].partitions[0].high_watermark = 1;
        }
        if version >= 12 {
            request.cluster_id = Some(text("another-cluster"));
        }
        play.attempt("own fields", "with the version's own fields", version, request)?;
    }
    Ok(())
}

fn offsets(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for size in [1, 3, 1, 2] {
        let records = batch(play.t(), (0..size).map(|i| value(&format!("{i} of {size}"))).collect());
        play.append(&topic, 0, records)?;
    }
    for offset in [0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -2, i64::MAX, i64::MIN] {
        play.ask(&format!("from {offset}"), 11, fetch(11, &topic, vec![from(0, offset)]))?;
    }
    play.ask("a partition twice", 11, fetch(11, &topic, vec![from(0, 0), from(0, 5)]))?;
    let twice =
        fetch_topics(vec![fetch_topic(11, &topic, vec![from(0, 6)]), fetch_topic(11, &topic, vec![from(0, 5)])]);
    play.ask("a topic twice", 11, twice)?;
    Ok(())
}

/// Batches of 200 bytes: limits cut between batches, the first is always whole.
fn limits(play: &mut Play) -> Done {
    let topic = play.topic("a", 3)?;
    let records = batch(play.t(), vec![sized(200 - 70)]);
    let bytes = records.bytes().len() as i32;
    for partition in 0..2 {
        for _ in 0..4 {
            play.append(&topic, partition, records.clone())?;
        }
    }
    let limited = |max_bytes: i32, partition_max_bytes: i32| {
        let of = |p| from(p, 0).with_partition_max_bytes(partition_max_bytes);
        fetch(11, &topic, vec![of(2), of(0), of(1)]).with_max_bytes(max_bytes)
    };
    for times in [0, 1, 2, 3, 5, 100] {
        play.ask(&format!("partition limit of {times} batches"), 11, limited(1 << 20, bytes * times))?;
        play.ask(&format!("limit of {times} batches"), 11, limited(bytes * times, 1 << 20))?;
    }
    play.ask("partition limit of a batch and a half", 11, limited(1 << 20, bytes * 3 / 2))?;
    play.ask("partition limit of a batch less a byte", 11, limited(1 << 20, bytes - 1))?;
    play.ask("limit of a batch and a half", 11, limited(bytes * 3 / 2, 1 << 20))?;
    play.ask("limit of a batch and a byte", 11, limited(bytes + 1, 1 << 20))?;
    play.ask("limit of four batches and a half", 11, limited(bytes * 9 / 2, 1 << 20))?;
    play.ask("negative limits", 11, limited(-1, -1))?;
    play.ask("a negative limit", 11, limited(-1, 1 << 20))?;
    play.ask("a negative partition limit", 11, limited(1 << 20, -1))?;
    play.ask(
        "a limit of one byte, from a later batch",
        11,
        fetch(11, &topic, vec![from(0, 2).with_partition_max_bytes(1)]).with_max_bytes(1),
    )?;
    Ok(())
}

/// `fetch.max.bytes` caps what a client asks for.
fn broker_limit(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let records = batch(play.t(), vec![sized(9_000)]);
    for partition in 0..2 {
        for _ in 0..2 {
            play.append(&topic, partition, records.clone())?;
        }
    }
    play.ask("36,000 bytes, allowed 20,000", 11, fetch(11, &topic, vec![from(0, 0), from(1, 0)]))?;
    let large = batch(play.t(), vec![sized(30_000)]);
    play.append(&topic, 0, large)?;
    play.ask("a first batch of 30,000 bytes", 11, fetch(11, &topic, vec![from(0, 2), from(1, 0)]))?;
    let request = fetch(11, &topic, vec![from(1, 0)]).with_min_bytes(1_000_000).with_max_wait_ms(300);
    play.ask("min_bytes above what is allowed", 11, request)?;
    Ok(())
}

fn unknown(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let records = batch(play.t(), vec![value("x")]);
    play.append(&topic, 0, records)?;
    let (name, id) = (play.name("unknown"), play.unknown_id());
    let unknown = Topic { name, id };
    for version in [4, 6, 7, 11, 12, 13, 17, 18] {
        let part = |topic: &Topic, p| fetch_topic(version, topic, vec![from(p, 0)]);
        play.ask("an unknown topic", version, fetch_topics(vec![part(&unknown, 0)]))?;
        play.ask(
            "an unknown topic before a known one",
            version,
            fetch_topics(vec![part(&unknown, 0), part(&topic, 0)]),
        )?;
        play.ask(
            "a known topic before an unknown one",
            version,
            fetch_topics(vec![part(&topic, 0), part(&unknown, 3)]),
        )?;
    }
    for partition in [-1, 1, i32::MAX] {
        play.ask(&format!("partition {partition}"), 12, fetch(12, &topic, vec![from(partition, 0)]))?;
    }
    for name in ["", "a/b"] {
        let nowhere = Topic { name: name.into(), id: uuid::Uuid::nil() };
        play.attempt("main", &format!("the name \"{name}\""), 12, fetch(12, &nowhere, vec![from(0, 0)]))?;
    }
    let zeros = Topic { name: String::new(), id: uuid::Uuid::nil() };
    play.attempt("main", "the id of zeros", 13, fetch(13, &zeros, vec![from(0, 0)]))?;
    Ok(())
}

fn epochs(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let records = batch(play.t(), vec![value("x"), value("y")]);
    play.append(&topic, 0, records)?;
    for version in [9, 12, 16, 18] {
        for epoch in [-1, 0, 1, -2] {
            let part = from(0, 0).with_current_leader_epoch(epoch);
            play.ask(&format!("current leader epoch {epoch}"), version, fetch(version, &topic, vec![part]))?;
        }
    }
    for version in [12, 13, 18] {
        for epoch in [0, 1, 5, -2] {
            for offset in [0, 2] {
                let part = from(0, offset).with_last_fetched_epoch(epoch);
                play.ask(
                    &format!("last fetched epoch {epoch}, from {offset}"),
                    version,
                    fetch(version, &topic, vec![part]),
                )?;
            }
        }
        let beyond = from(0, 9).with_last_fetched_epoch(0);
        play.ask("last fetched epoch 0, beyond the end", version, fetch(version, &topic, vec![beyond]))?;
    }
    Ok(())
}

fn isolation(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let records = batch(play.t(), vec![value("x")]);
    play.append(&topic, 0, records)?;
    for version in [4, 11, 12, 16] {
        for level in [0, 1, 2, -1] {
            let request = fetch(version, &topic, vec![from(0, 0), from(1, 0)]).with_isolation_level(level);
            play.attempt("main", &format!("isolation level {level}"), version, request)?;
        }
        let request = fetch(version, &topic, vec![from(1, 7), from(9, 0)]).with_isolation_level(1);
        play.ask("read committed, nothing to read", version, request)?;
    }
    Ok(())
}

fn as_a_replica(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let records = batch(play.t(), vec![value("x")]);
    play.append(&topic, 0, records)?;
    for replica in [-2, 1, 2] {
        let request: FetchRequest = fetch(11, &topic, vec![from(0, 0)]).with_replica_id(BrokerId(replica));
        play.attempt("main", &format!("as replica {replica}"), 11, request)?;
        let state = ReplicaState::default().with_replica_id(BrokerId(replica)).with_replica_epoch(1);
        let request = fetch(16, &topic, vec![from(0, 0)]).with_replica_state(state);
        play.attempt("main", &format!("as replica {replica}"), 16, request)?;
    }
    Ok(())
}

/// Answers come in the order of the request.
fn order(play: &mut Play) -> Done {
    let (a, b) = (play.topic("a", 3)?, play.topic("b", 2)?);
    let records = batch(play.t(), vec![value("x")]);
    play.append(&a, 2, records.clone())?;
    play.append(&b, 1, records)?;
    for version in [4, 12, 13] {
        let topics = vec![
            fetch_topic(version, &b, vec![from(1, 0), from(0, 0)]),
            fetch_topic(version, &a, vec![from(2, 0), from(0, 0), from(1, 0)]),
        ];
        play.ask("b before a, the last partition first", version, fetch_topics(topics))?;
        let topics = vec![
            fetch_topic(version, &a, vec![from(0, 0)]),
            fetch_topic(version, &b, vec![from(0, 0)]),
            fetch_topic(version, &a, vec![from(2, 0)]),
        ];
        play.ask("a in two parts, b between them", version, fetch_topics(topics))?;
    }
    Ok(())
}

/// Old versions were once refused zstd.
fn zstd(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for codec in CODECS {
        let records = batch(play.t(), vec![value("x")]).codec(codec);
        play.append(&topic, 0, records)?;
    }
    for version in [4, 9, 10] {
        play.ask("all codecs", version, fetch(version, &topic, vec![from(0, 0)]))?;
    }
    Ok(())
}
