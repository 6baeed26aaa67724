//! What is kept of a batch: codecs, timestamps, keys; and what refuses single records.

use super::super::requests::{fetch, from, produce};
use crate::batch::codec::CODECS;
use crate::batch::{Codec, batch, keyed, value};
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("produce/kept-as-sent", kept_as_sent),
        scenario("produce/recompressed", recompressed),
        scenario("produce/log-append-time", log_append_time),
        scenario("produce/timestamps", timestamps),
        scenario("produce/timestamp-bounds", timestamp_bounds),
        scenario("produce/broker-timestamp-bounds", broker_timestamp_bounds).under(Profile::Tight),
        scenario("produce/compacted", compacted),
    ]
}

fn kept_as_sent(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for codec in [&[Codec::None][..], &CODECS].concat() {
        let records = vec![
            keyed("k", "v").header("name", "text").header("", "empty name"),
            value("later").after(7),
            crate::batch::Record { value: None, ..keyed("tombstone", "") },
            crate::batch::Record { key: Some(Default::default()), ..value("") }.after(-3),
        ];
        play.ask(codec.name(), 9, produce(9, &topic, batch(play.t(), records).codec(codec).bytes()))?;
    }
    play.ask("all of them", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

/// `compression.type` of the topic decides what is kept.
fn recompressed(play: &mut Play) -> Done {
    for kept in ["uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"] {
        let topic = play.topic_with(kept, 1, &[("compression.type", kept)])?;
        for sent in [&[Codec::None][..], &CODECS].concat() {
            let records =
                batch(play.t(), vec![value("one"), value("two").after(4).header("h", "x"), value("three").after(2)]);
            play.ask(
                &format!("{} to compression.type={kept}", sent.name()),
                9,
                produce(9, &topic, records.codec(sent).bytes()),
            )?;
        }
        play.ask(&format!("what compression.type={kept} keeps"), 12, fetch(12, &topic, vec![from(0, 0)]))?;
    }
    Ok(())
}

fn log_append_time(play: &mut Play) -> Done {
    let topic = play.topic_with("a", 1, &[("message.timestamp.type", "LogAppendTime")])?;
    let records = || vec![value("one"), value("two").after(400)];
    for codec in [Codec::None, Codec::Gzip, Codec::Lz4] {
        for version in [3, 9] {
            play.ask(codec.name(), version, produce(version, &topic, batch(play.t(), records()).codec(codec).bytes()))?;
        }
    }
    play.ask("no time", 9, produce(9, &topic, batch(-1, vec![value("x")]).bytes()))?;
    play.ask(
        "the attribute set by the producer",
        9,
        produce(9, &topic, batch(play.t(), records()).attributes(8).bytes()),
    )?;
    play.ask("a time out of all bounds", 9, produce(9, &topic, batch(i64::MAX / 2, vec![value("x")]).bytes()))?;
    play.ask("what is kept", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    let both =
        play.topic_with("gzip", 1, &[("message.timestamp.type", "LogAppendTime"), ("compression.type", "gzip")])?;
    play.ask("recompressed as well", 9, produce(9, &both, batch(play.t(), records()).bytes()))?;
    play.ask("what is kept of that", 12, fetch(12, &both, vec![from(0, 0)]))?;
    Ok(())
}

fn timestamps(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for (label, base) in [
        ("no time", -1),
        ("time 0", 0),
        ("time 1", 1),
        ("time -2", -2),
        ("the smallest time", i64::MIN),
        ("the largest time", i64::MAX),
    ] {
        play.ask(label, 9, produce(9, &topic, batch(base, vec![value("x")]).bytes()))?;
    }
    play.ask(
        "LogAppendTime set by the producer",
        9,
        produce(9, &topic, batch(play.t(), vec![value("x")]).attributes(8).bytes()),
    )?;
    play.ask("and no time", 9, produce(9, &topic, batch(-1, vec![value("x")]).attributes(8).bytes()))?;
    let mixed = vec![value("x"), value("y").after(-play.t() - 1)];
    play.ask("one record has a time, the next has -1", 9, produce(9, &topic, batch(play.t(), mixed).bytes()))?;
    play.ask("what is kept", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

fn timestamp_bounds(play: &mut Play) -> Done {
    let hour_ms = 3_600_000;
    let now_ms = play.t() + hour_ms;
    let topic = play.topic("default", 1)?;
    let future = |ahead_ms: i64| batch(now_ms + ahead_ms, vec![value("x")]).bytes();
    play.names.stamp(now_ms + 2 * hour_ms, "<in two hours>");
    play.ask("half an hour ahead", 9, produce(9, &topic, future(hour_ms / 2)))?;
    for version in [3, 7, 8, 9, 13] {
        play.ask("two hours ahead", version, produce(version, &topic, future(2 * hour_ms)))?;
    }
    let bounds = [("message.timestamp.before.max.ms", "300000"), ("message.timestamp.after.max.ms", "1000")];
    let topic = play.topic_with("tight", 1, &bounds)?;
    let day_ms = 24 * hour_ms;
    play.names.stamp(now_ms - day_ms, "<a day ago>");
    play.names.stamp(now_ms + day_ms, "<in a day>");
    let records = || vec![value("a"), value("b").after(day_ms), value("c").after(2 * day_ms), value("d").after(day_ms)];
    play.ask("two of four records out of bounds", 9, produce(9, &topic, batch(now_ms - day_ms, records()).bytes()))?;
    play.ask(
        "the same, compressed",
        9,
        produce(9, &topic, batch(now_ms - day_ms, records()).codec(Codec::Gzip).bytes()),
    )?;
    play.ask("no time is never out of bounds", 9, produce(9, &topic, batch(-1, vec![value("x")]).bytes()))?;
    let topic = play.topic_with(
        "zero",
        1,
        &[("message.timestamp.before.max.ms", "0"), ("message.timestamp.after.max.ms", "0")],
    )?;
    play.ask("bounds of zero, an hour ago", 9, produce(9, &topic, batch(play.t(), vec![value("x")]).bytes()))?;
    Ok(())
}

fn broker_timestamp_bounds(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let hour_ms = 3_600_000;
    let now_ms = play.t() + hour_ms;
    play.names.stamp(now_ms - 48 * hour_ms, "<two days ago>");
    play.names.stamp(now_ms + hour_ms, "<in an hour>");
    for (label, at_ms) in
        [("an hour ago", play.t()), ("two days ago", now_ms - 48 * hour_ms), ("in an hour", now_ms + hour_ms)]
    {
        play.ask(label, 9, produce(9, &topic, batch(at_ms, vec![value("x")]).bytes()))?;
    }
    Ok(())
}

/// Without a key a record cannot be compacted: the whole batch is refused, the records named.
fn compacted(play: &mut Play) -> Done {
    for policy in ["compact", "compact,delete"] {
        let topic = play.topic_with(&policy.replace(',', "-"), 1, &[("cleanup.policy", policy)])?;
        for version in [3, 7, 8, 9, 13] {
            play.ask("no key", version, produce(version, &topic, batch(play.t(), vec![value("x")]).bytes()))?;
        }
        let mixed = || vec![keyed("a", "1"), value("2"), keyed("b", "3"), value("4")];
        for codec in [&[Codec::None][..], &CODECS].concat() {
            let records = batch(play.t(), mixed()).codec(codec);
            play.ask(
                &format!("two of four records without a key, {}", codec.name()),
                9,
                produce(9, &topic, records.bytes()),
            )?;
        }
        play.ask(
            "all with keys",
            9,
            produce(9, &topic, batch(play.t(), vec![keyed("a", "1"), keyed("", "2")]).bytes()),
        )?;
        play.ask("what is kept", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    }
    Ok(())
}
