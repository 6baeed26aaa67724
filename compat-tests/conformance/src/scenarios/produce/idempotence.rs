//! Idempotent producers, sequence by sequence. Producer ids are the scenarios' own: the broker takes any.

use super::super::requests::{delete_records, fetch, from, produce, produce_to};
use crate::batch::{Batch, Codec, batch, value};
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("produce/idempotent-sequences", sequences),
        scenario("produce/idempotent-window", window),
        scenario("produce/idempotent-epochs", epochs),
        scenario("produce/idempotent-without-epoch", without_epoch),
        scenario("produce/idempotent-wrap", wrap),
        scenario("produce/idempotent-partitions", partitions),
        scenario("produce/idempotent-refused", refused),
        scenario("produce/idempotent-first-sequence", first_sequence),
        scenario("produce/idempotent-after-delete-records", after_delete_records),
        scenario("produce/idempotent-duplicates", duplicates),
    ]
}

fn records(play: &Play, count: usize, id: i64, epoch: i16, sequence: i32) -> Batch {
    batch(play.t(), (0..count).map(|i| value(&format!("{sequence}+{i}"))).collect()).producer(id, epoch, sequence)
}

fn sequences(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let id = 4_000_001;
    for (label, sequence, count) in [
        ("the first", 0, 1),
        ("the next", 1, 3),
        ("a gap", 5, 1),
        ("the one that was due", 4, 1),
        ("a duplicate of the last", 4, 1),
        ("a duplicate of the one before", 1, 3),
        ("part of a batch that was written", 2, 1),
        ("a batch that begins with what was written", 4, 2),
        ("the same start as a longer one", 1, 2),
        ("the next", 5, 2),
        ("sequence 0 again, as at first", 0, 1),
        ("sequence 0 with more records", 0, 2),
    ] {
        let records = records(play, count, id, 0, sequence).bytes();
        play.ask(&format!("{label}: sequence {sequence}, {count} records"), 9, produce(9, &topic, records))?;
    }
    play.ask("what has been written", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

/// The last five batches are remembered.
fn window(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for sequence in 0..7 {
        let records = records(play, 1, 4_100_001, 0, sequence);
        play.append(&topic, 0, records)?;
    }
    for sequence in (0..7).rev() {
        let records = records(play, 1, 4_100_001, 0, sequence).bytes();
        play.ask(&format!("sequence {sequence} of 0..7 again"), 9, produce(9, &topic, records))?;
    }
    let records = records(play, 1, 4_100_001, 0, 7).bytes();
    play.ask("the next", 9, produce(9, &topic, records))?;
    Ok(())
}

/// A batch without an epoch is taken, but not where it has to be built anew.
fn without_epoch(play: &mut Play) -> Done {
    let plain = play.topic("plain", 1)?;
    let gzip = play.topic_with("gzip", 1, &[("compression.type", "gzip")])?;
    for (topic, id) in [(&plain, 4_300_001), (&gzip, 4_300_002)] {
        for (label, producer, epoch, sequence) in [
            ("epoch -1", id, -1, 0),
            ("a duplicate without an epoch", id, -1, 0),
            ("another sequence without an epoch", id, -1, 7),
            ("epoch 0, not from 0", id, 0, 5),
            ("and on", id, 0, 6),
            ("epoch 1, not from 0", id, 1, 5),
            ("producer id -2 without an epoch", -2, -1, 0),
            ("producer id -2 without a sequence", -2, 0, -1),
        ] {
            let records = records(play, 1, producer, epoch, sequence).bytes();
            play.attempt("main", label, 9, produce(9, topic, records))?;
        }
        play.ask("what has been written", 12, fetch(12, topic, vec![from(0, 0)]))?;
    }
    Ok(())
}

fn epochs(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let id = 4_200_001;
    for (label, epoch, sequence) in [
        ("the first", 3, 0),
        ("the next", 3, 1),
        ("a lower epoch", 2, 2),
        ("a lower epoch, sequence 0", 2, 0),
        ("a lower epoch, a duplicate otherwise", 2, 1),
        ("a higher epoch, not from 0", 4, 2),
        ("the old epoch still goes on", 3, 2),
        ("a higher epoch from 0", 5, 0),
        ("the old epoch no longer", 3, 3),
        ("a duplicate of the old epoch", 3, 2),
        ("the new epoch goes on", 5, 1),
        ("the highest epoch", i16::MAX, 0),
        ("epoch -1", -1, 0),
        ("epoch -2", -2, 0),
    ] {
        let records = records(play, 1, id, epoch, sequence).bytes();
        play.attempt("main", &format!("{label}: epoch {epoch}, sequence {sequence}"), 9, produce(9, &topic, records))?;
    }
    play.ask("what has been written", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

/// Sequences go on from 0 after 2^31-1, also inside a batch.
fn wrap(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let id = 4_300_001;
    for (label, sequence, count) in [
        ("a first sequence near the end", i32::MAX - 2, 1),
        ("over the end", i32::MAX - 1, 4),
        ("the next after 0 and 1", 2, 1),
        ("the batch over the end again", i32::MAX - 1, 4),
        ("the one near the end again", i32::MAX - 2, 1),
        ("sequence 0", 0, 1),
    ] {
        let records = records(play, count, id, 0, sequence).bytes();
        play.ask(label, 9, produce(9, &topic, records))?;
    }
    for (label, sequence) in [("the very end", i32::MAX), ("then 0", 0), ("the end again", i32::MAX)] {
        let records = records(play, 1, id + 1, 0, sequence).bytes();
        play.ask(label, 9, produce(9, &topic, records))?;
    }
    Ok(())
}

/// Every partition has its own sequences, every producer its own.
fn partitions(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let (one, two) = (4_400_001, 4_400_002);
    for (label, id, partition, sequence) in [
        ("one to 0", one, 0, 0),
        ("one to 1", one, 1, 0),
        ("two to 0", two, 0, 0),
        ("one to 0, the next", one, 0, 1),
        ("two to 0, a gap", two, 0, 2),
        ("one to 1, a duplicate", one, 1, 0),
    ] {
        let records = records(play, 1, id, 0, sequence).bytes();
        play.ask(label, 9, produce_to(9, &topic, vec![(partition, records)]))?;
    }
    let good = records(play, 1, one, 0, 1).bytes();
    let bad = records(play, 1, one, 0, 9).bytes();
    play.ask("a good one to 1 and a gap to 0 in one request", 9, produce_to(9, &topic, vec![(1, good), (0, bad)]))?;
    Ok(())
}

/// A batch that is refused for another reason leaves the sequence where it was.
fn refused(play: &mut Play) -> Done {
    let topic = play.topic_with("a", 1, &[("max.message.bytes", "500")])?;
    let id = 4_500_001;
    play.ask("the first", 9, produce(9, &topic, records(play, 1, id, 0, 0).bytes()))?;
    let broken = records(play, 1, id, 0, 1).with(|b| b.crc = Some(1)).bytes();
    play.ask("the next, with a wrong checksum", 9, produce(9, &topic, broken))?;
    let large = batch(play.t(), vec![crate::batch::sized(900)]).producer(id, 0, 1).bytes();
    play.ask("the next, too large", 9, produce(9, &topic, large))?;
    play.ask("the next, as it should be", 9, produce(9, &topic, records(play, 1, id, 0, 1).bytes()))?;
    let large = batch(play.t(), vec![crate::batch::sized(900)]).producer(id, 0, 1).bytes();
    play.ask("a duplicate, but for its size", 9, produce(9, &topic, large))?;
    Ok(())
}

/// Of a producer that the partition does not know any sequence is the first, whatever the version.
fn first_sequence(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for version in [3, 9, 11, 12, 13] {
        let id = 4_600_000 + i64::from(version);
        play.ask("the first sequence is 5", version, produce(version, &topic, records(play, 1, id, 0, 5).bytes()))?;
        play.ask("then 6", version, produce(version, &topic, records(play, 1, id, 0, 6).bytes()))?;
        play.ask("then 0", version, produce(version, &topic, records(play, 1, id, 0, 0).bytes()))?;
    }
    Ok(())
}

fn after_delete_records(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let id = 4_700_001;
    for sequence in 0..2 {
        let records = records(play, 1, id, 0, sequence);
        play.append(&topic, 0, records)?;
    }
    play.ask("all records are deleted", 2, delete_records(&topic, &[(0, -1)]))?;
    play.ask("a duplicate of one that is deleted", 9, produce(9, &topic, records(play, 1, id, 0, 1).bytes()))?;
    play.ask("the next", 9, produce(9, &topic, records(play, 1, id, 0, 2).bytes()))?;
    play.ask("a gap", 9, produce(9, &topic, records(play, 1, id, 0, 9).bytes()))?;
    Ok(())
}

/// What a duplicate is answered with, and what makes it one.
fn duplicates(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let append_time = play.topic_with("b", 1, &[("message.timestamp.type", "LogAppendTime")])?;
    let id = 4_800_001;
    for version in [3, 5, 9, 13] {
        let epoch = version;
        let first = records(play, 2, id, epoch, 0);
        play.ask("a batch", version, produce(version, &topic, first.bytes()))?;
        play.ask("and again", version, produce(version, &topic, first.bytes()))?;
        play.ask("to a topic with LogAppendTime", version, produce(version, &append_time, first.bytes()))?;
        play.ask("and again", version, produce(version, &append_time, first.bytes()))?;
    }
    let first = records(play, 2, id, 13, 0);
    play.ask(
        "the same sequences, other records",
        9,
        produce(9, &topic, first.clone().with(|b| b.records = vec![value("p"), value("q")]).bytes()),
    )?;
    play.ask("the same, compressed", 9, produce(9, &topic, first.clone().codec(Codec::Gzip).bytes()))?;
    play.ask("the same, later", 9, produce(9, &topic, first.clone().with(|b| b.base_timestamp += 5).bytes()))?;
    play.ask("acks=1", 9, produce(9, &topic, first.bytes()).with_acks(1))?;
    Ok(())
}
