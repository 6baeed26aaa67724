//! What clients find in a compacted log once it is cleaned: batch by batch, header by header.

use kafka_protocol::messages::IncrementalAlterConfigsRequest;

use super::requests::{change, delete_records, fetch, from, list_offsets};
use super::transactions::requests::TRANSACTIONAL;
use crate::batch::codec::CODECS;
use crate::batch::{Batch, Record, batch, keyed, read, value};
use crate::play::{Done, Play, Topic};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("cleaning/plain", plain),
        scenario("cleaning/codecs", codecs),
        scenario("cleaning/tombstones", tombstones),
        scenario("cleaning/producers", producers),
        scenario("cleaning/transactions", transactions),
        scenario("cleaning/open-transaction", open_transaction),
        scenario("cleaning/append-time", append_time),
        scenario("cleaning/policy-altered", policy_altered),
        scenario("cleaning/with-a-log-start", with_a_log_start),
    ]
    .into_iter()
    .map(|scenario| scenario.under(Profile::Cleaning))
    .collect()
}

/// Segments end a second of record time after their first record; a horizon lies an hour ahead.
const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.ms", "1000"), ("delete.retention.ms", "3600000")];
/// Values that say by their absence that the cleaner was there.
const OLD: &str = "old";

fn compacted(play: &mut Play) -> Done<Topic> {
    play.topic_with("c", 1, &COMPACTED)
}

fn put(play: &mut Play, topic: &Topic, after_ms: i64, records: Vec<Record>) -> Done {
    put_batch(play, topic, batch(play.t() + after_ms, records))
}

fn put_batch(play: &mut Play, topic: &Topic, batch: Batch) -> Done {
    play.append(topic, 0, batch).map(drop)
}

fn tombstone(key: &str) -> Record {
    Record { value: None, ..keyed(key, "") }
}

/// Seals all that is there: this is of a later second.
fn seal(play: &mut Play, topic: &Topic, round: i64) -> Done {
    put(play, topic, 100_000 * round, vec![keyed("sealing", "x")])
}

/// Waits until no record has the value that was replaced.
fn cleaned(play: &mut Play, topic: &Topic) -> Done {
    let request = fetch(11, topic, vec![from(0, 0)]);
    play.wait("the log is cleaned", |play| {
        let answer = play.quiet(11, request.clone())?;
        let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
        Ok(read::keys_and_values(&records).iter().all(|(_, value)| value.as_deref() != Some(OLD.as_bytes())))
    })
}

fn look(play: &mut Play, topic: &Topic, offsets: &[i64]) -> Done {
    for offset in offsets {
        play.ask(&format!("fetch from {offset}"), 11, fetch(11, topic, vec![from(0, *offset)]))?;
    }
    for timestamp in [-1, -2, -3, -4, -5] {
        play.ask(&format!("ListOffsets {timestamp}"), 9, list_offsets(topic, &[(0, timestamp)]))?;
    }
    for after in [0, 2, 5, 9, 50_000, 100_000, 100_001] {
        let at = play.t() + after;
        play.ask(&format!("the first at T+{after}"), 5, list_offsets(topic, &[(0, at)]))?;
    }
    Ok(())
}

fn plain(play: &mut Play) -> Done {
    let topic = compacted(play)?;
    put(
        play,
        &topic,
        0,
        vec![keyed("a", OLD), keyed("b", "stays").after(1).header("h", "v"), keyed("c", OLD).after(2)],
    )?;
    put(play, &topic, 3, vec![keyed("a", OLD)])?;
    put(play, &topic, 4, vec![keyed("d", ""), keyed("e", "last").after(3)])?;
    put(play, &topic, 8, vec![keyed("c", "new"), keyed("a", "new").after(1)])?;
    seal(play, &topic, 1)?;
    cleaned(play, &topic)?;
    look(play, &topic, &[0, 1, 2, 3, 4, 5, 7, 8])?;
    // Once more, over what was cleaned before.
    put(play, &topic, 100_001, vec![keyed("b", OLD), keyed("b", "newer")])?;
    seal(play, &topic, 2)?;
    cleaned(play, &topic)?;
    look(play, &topic, &[0, 3, 8])
}

fn codecs(play: &mut Play) -> Done {
    let topic = compacted(play)?;
    for codec in CODECS {
        let name = format!("{codec:?}");
        let records = vec![
            keyed(&name, OLD),
            keyed(&format!("{name}-stays"), &"v".repeat(100)).after(1).header("h", "v"),
            keyed(&name, "new").after(2),
        ];
        put_batch(play, &topic, batch(play.t(), records).codec(codec))?;
        put_batch(play, &topic, batch(play.t() + 5, vec![keyed("whole", OLD)]).codec(codec))?;
    }
    put(play, &topic, 9, vec![keyed("whole", "new")])?;
    seal(play, &topic, 1)?;
    cleaned(play, &topic)?;
    look(play, &topic, &[0, 5, 12, 13])
}

fn tombstones(play: &mut Play) -> Done {
    let topic = compacted(play)?;
    put(play, &topic, 0, vec![keyed("a", OLD), keyed("stays", "v").after(1), tombstone("never-there").after(2)])?;
    put(play, &topic, 5, vec![tombstone("a")])?;
    put(play, &topic, 6, vec![tombstone("again")])?;
    put(play, &topic, 7, vec![keyed("again", "back")])?;
    seal(play, &topic, 1)?;
    cleaned(play, &topic)?;
    look(play, &topic, &[0, 3, 4])?;
    // The horizon stays when it is cleaned again.
    put(play, &topic, 100_001, vec![keyed("b", OLD), keyed("b", "newer")])?;
    seal(play, &topic, 2)?;
    cleaned(play, &topic)?;
    look(play, &topic, &[0])
}

/// The last batch of every producer stays, without records if it must.
fn producers(play: &mut Play) -> Done {
    let topic = compacted(play)?;
    let t = play.t();
    let of = |id: i64, epoch: i16, sequence: i32, records: Vec<Record>| {
        batch(t, records).producer(1_000_000 + id, epoch, sequence)
    };
    put_batch(play, &topic, of(1, 0, 0, vec![keyed("a", OLD), keyed("b", OLD)]))?;
    put_batch(play, &topic, of(1, 0, 2, vec![keyed("a", OLD), keyed("b", OLD)]))?;
    put_batch(play, &topic, of(2, 3, 0, vec![keyed("a", OLD)]))?;
    put_batch(play, &topic, of(2, 4, 0, vec![keyed("b", OLD)]))?;
    put_batch(play, &topic, of(3, 0, 0, vec![keyed("a", "new"), keyed("b", "new"), tombstone("c")]))?;
    seal(play, &topic, 1)?;
    cleaned(play, &topic)?;
    look(play, &topic, &[0, 3])?;
    // What was sent before is still known, and goes on.
    let again = of(1, 0, 2, vec![keyed("a", OLD), keyed("b", OLD)]);
    play.ask("the last batch of a producer once more", 9, super::requests::produce(9, &topic, again.bytes()))?;
    let next = of(1, 0, 4, vec![keyed("d", "next")]);
    play.ask("the next one", 9, super::requests::produce(9, &topic, next.bytes()))?;
    let gap = of(2, 4, 5, vec![keyed("d", "next")]);
    play.ask("one too far", 9, super::requests::produce(9, &topic, gap.bytes()))?;
    Ok(())
}

/// A batch of the second protocol, keyed.
fn append_in(
    play: &mut Play,
    producer: &super::transactions::requests::Producer,
    topic: &Topic,
    sequence: i32,
    records: Vec<Record>,
) -> Done {
    let batch = batch(play.t(), records).attributes(TRANSACTIONAL).producer(producer.id, producer.epoch, sequence);
    play.wait("a batch is appended in its transaction", |play| {
        let request = producer.produce_to(12, topic, vec![(0, batch.bytes())]);
        Ok(play.quiet(12, request)?.responses[0].partition_responses[0].error_code == 0)
    })
}

fn transactions(play: &mut Play) -> Done {
    let topic = compacted(play)?;
    let (a, b) = (play.producer("a")?, play.producer("b")?);
    put(play, &topic, 0, vec![keyed("good", "committed before"), keyed("k", OLD)])?;
    append_in(play, &a, &topic, 0, vec![keyed("good", "aborted"), keyed("k", "aborted")])?;
    play.end(&a, false)?;
    append_in(play, &b, &topic, 0, vec![keyed("k", OLD), keyed("t", OLD)])?;
    play.end(&b, true)?;
    append_in(play, &b, &topic, 2, vec![keyed("t", "in the second")])?;
    append_in(play, &a, &topic, 2, vec![keyed("t", "aborted")])?;
    play.end(&b, true)?;
    play.end(&a, false)?;
    put(play, &topic, 9, vec![keyed("k", "new")])?;
    let committed = |play: &mut Play, offset: i64| {
        let request = fetch(12, &topic, vec![from(0, offset)]).with_isolation_level(1);
        play.ask(&format!("committed records from {offset}"), 12, request).map(drop)
    };
    seal(play, &topic, 1)?;
    cleaned(play, &topic)?;
    for offset in [0, 2, 5, 9] {
        committed(play, offset)?;
    }
    // The markers have nothing left to end: with the next cleaning they get a horizon.
    put(play, &topic, 100_001, vec![keyed("b", OLD), keyed("b", "newer")])?;
    seal(play, &topic, 2)?;
    cleaned(play, &topic)?;
    for offset in [0, 2, 5, 9] {
        committed(play, offset)?;
    }
    look(play, &topic, &[0])
}

/// Nothing at or behind an open transaction is cleaned.
fn open_transaction(play: &mut Play) -> Done {
    let topic = compacted(play)?;
    let producer = play.producer("id")?;
    put(play, &topic, 0, vec![keyed("a", OLD)])?;
    put(play, &topic, 1, vec![keyed("a", "first")])?;
    seal(play, &topic, 1)?;
    cleaned(play, &topic)?;
    append_in(play, &producer, &topic, 0, vec![keyed("a", "open")])?;
    seal(play, &topic, 2)?;
    put(play, &topic, 200_001, vec![keyed("a", OLD)])?;
    put(play, &topic, 200_002, vec![keyed("a", "last")])?;
    seal(play, &topic, 3)?;
    look(play, &topic, &[0])?;
    play.end(&producer, true)?;
    seal(play, &topic, 4)?;
    cleaned(play, &topic)?;
    look(play, &topic, &[0])
}

/// Records have the broker's time; that a segment ends is seen by size here.
fn append_time(play: &mut Play) -> Done {
    let configs = [
        ("cleanup.policy", "compact"),
        ("message.timestamp.type", "LogAppendTime"),
        ("internal.segment.bytes", "500"),
        ("delete.retention.ms", "3600000"),
    ];
    let topic = play.topic_with("c", 1, &configs)?;
    put(play, &topic, 0, vec![keyed("a", OLD), keyed("b", "stays"), tombstone("c")])?;
    put(play, &topic, 0, vec![keyed("a", "new")])?;
    // Of a later millisecond, so that the largest timestamp is its own.
    std::thread::sleep(std::time::Duration::from_millis(20));
    put(play, &topic, 0, vec![keyed("sealing", &"x".repeat(400))])?;
    cleaned(play, &topic)?;
    for offset in [0, 3] {
        play.ask(&format!("fetch from {offset}"), 11, fetch(11, &topic, vec![from(0, offset)]))?;
    }
    play.ask("the largest timestamp", 7, list_offsets(&topic, &[(0, -3)]))?;
    Ok(())
}

/// What has no key has no place in a compacted log.
fn policy_altered(play: &mut Play) -> Done {
    let topic = play.topic_with("c", 1, &[("segment.ms", "1000"), ("retention.ms", "-1")])?;
    put(play, &topic, 0, vec![value(OLD), keyed("a", OLD), keyed("", "an empty key")])?;
    put(play, &topic, 1, vec![value(OLD)])?;
    put(play, &topic, 2, vec![keyed("a", "new")])?;
    seal(play, &topic, 1)?;
    let to_compact: IncrementalAlterConfigsRequest = change(2, &topic, &[("cleanup.policy", 0, Some("compact"))]);
    play.ask("compacted from now on", 1, to_compact)?;
    cleaned(play, &topic)?;
    look(play, &topic, &[0, 3])
}

/// Records below the log start are nobody's concern.
fn with_a_log_start(play: &mut Play) -> Done {
    let configs = [COMPACTED[1], COMPACTED[2], ("cleanup.policy", "compact,delete"), ("retention.ms", "-1")];
    let topic = play.topic_with("c", 1, &configs)?;
    for after in 0..6 {
        put(play, &topic, after, vec![keyed(&format!("k{}", after % 2), if after < 4 { OLD } else { "new" })])?;
    }
    play.ask("records are deleted up to 1", 2, delete_records(&topic, &[(0, 1)]))?;
    seal(play, &topic, 1)?;
    cleaned_from(play, &topic, 1)?;
    look(play, &topic, &[0, 1, 2, 4])?;
    play.ask("up to 5", 2, delete_records(&topic, &[(0, 5)]))?;
    look(play, &topic, &[4, 5])
}

fn cleaned_from(play: &mut Play, topic: &Topic, start: i64) -> Done {
    let request = fetch(11, topic, vec![from(0, start)]);
    play.wait("the log is cleaned", |play| {
        let answer = play.quiet(11, request.clone())?;
        let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
        Ok(read::keys_and_values(&records).iter().all(|(_, value)| value.as_deref() != Some(OLD.as_bytes())))
    })
}
