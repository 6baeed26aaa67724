//! Fetches that wait: what ends the wait, and what does not.

use std::time::Duration;

use kafka_protocol::messages::FetchRequest;

use super::super::requests::*;
use crate::batch::{batch, sized, value};
use crate::play::{Done, LONG_WAIT_MS, Play, Topic};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("fetch/waits", waits),
        scenario("fetch/wakes-on-append", wakes_on_append),
        scenario("fetch/wakes-on-min-bytes", wakes_on_min_bytes),
        scenario("fetch/wakes-many", wakes_many),
        scenario("fetch/wakes-on-changes", wakes_on_changes),
        scenario("fetch/does-not-wait", does_not_wait),
        scenario("fetch/waits-in-a-session", waits_in_a_session),
        scenario("fetch/wait-holds-back-its-connection", holds_back),
    ]
}

const SHORT_MS: i32 = 400;
const SHORT: Duration = Duration::from_millis(SHORT_MS as u64);

fn waiting(request: FetchRequest, max_wait_ms: i32, min_bytes: i32) -> FetchRequest {
    request.with_max_wait_ms(max_wait_ms).with_min_bytes(min_bytes)
}

fn one(play: &mut Play, topic: &Topic, partition: i32) -> Done {
    let records = batch(play.t(), vec![value("x")]);
    play.append(topic, partition, records).map(drop)
}

/// Nothing comes: the answer after `max_wait_ms`.
fn waits(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    for version in [4, 11, 13, 18] {
        play.ask_waiting(
            "nothing to read",
            version,
            waiting(fetch(version, &topic, vec![from(0, 0), from(1, 0)]), SHORT_MS, 1),
            SHORT,
        )?;
    }
    one(play, &topic, 0)?;
    let request = |offset, min_bytes| waiting(fetch(12, &topic, vec![from(0, offset)]), SHORT_MS, min_bytes);
    play.ask_waiting("less than min_bytes", 12, request(0, 10_000), SHORT)?;
    play.ask_waiting("at the end", 12, request(1, 1), SHORT)?;
    play.ask_waiting(
        "an unknown partition beside an empty one",
        12,
        waiting(fetch(12, &topic, vec![from(1, 0), from(9, 0)]), SHORT_MS, 1),
        SHORT,
    )?;
    play.ask_waiting(
        "a partition limit of zero",
        12,
        waiting(fetch(12, &topic, vec![from(0, 0).with_partition_max_bytes(0)]), SHORT_MS, 1),
        SHORT,
    )?;
    Ok(())
}

/// What is answered at once, although the client would wait.
fn does_not_wait(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    one(play, &topic, 0)?;
    let (name, id) = (play.name("unknown"), play.unknown_id());
    let unknown = Topic { name, id };
    let long = Duration::from_secs(10);
    let at = |partition, offset| fetch(12, &topic, vec![from(partition, offset)]);
    for (label, request) in [
        ("records enough", waiting(at(0, 0), 10_000, 1)),
        ("min_bytes 0 at the end", waiting(at(1, 0), 10_000, 0)),
        ("min_bytes -1 at the end", waiting(at(1, 0), 10_000, -1)),
        ("max_wait 0", waiting(at(1, 0), 0, 1)),
        ("max_wait -1", waiting(at(1, 0), -1, 1)),
        ("an offset out of range", waiting(at(1, 5), 10_000, 1)),
        (
            "an offset out of range beside an empty partition",
            waiting(fetch(12, &topic, vec![from(1, 0), from(0, 7)]), 10_000, 1),
        ),
        ("an unknown partition alone", waiting(at(9, 0), 10_000, 1)),
        ("an unknown topic alone", waiting(fetch(12, &unknown, vec![from(0, 0)]), 10_000, 1)),
        ("no partitions", waiting(fetch_topics(vec![]), 10_000, 1)),
        ("a wrong leader epoch", waiting(fetch(12, &topic, vec![from(1, 0).with_current_leader_epoch(7)]), 10_000, 1)),
    ] {
        play.ask_waiting(label, 12, request, long)?;
    }
    play.ask_waiting("an unknown id alone", 13, waiting(fetch(13, &unknown, vec![from(0, 0)]), 10_000, 1), long)?;
    play.ask_waiting(
        "more than max_bytes is never waited for",
        12,
        waiting(at(0, 0), 10_000, 1 << 20).with_max_bytes(10),
        long,
    )?;
    Ok(())
}

fn wakes_on_append(play: &mut Play) -> Done {
    let topic = play.topic("a", 3)?;
    for version in [4, 7, 12, 13, 17, 18] {
        let latest = play.quiet(5, list_offsets(&topic, &[(1, -1)]))?.topics[0].partitions[0].offset;
        let request = waiting(fetch(version, &topic, vec![from(0, 0), from(1, latest)]), LONG_WAIT_MS, 1);
        let mut parked = play.park("reader", version, request)?;
        one(play, &topic, 2)?;
        play.still_parked("an append to a partition that is not asked for", &mut parked)?;
        one(play, &topic, 1)?;
        play.wakes("an append to one that is", parked)?;
    }
    Ok(())
}

/// Bytes are counted over all partitions of the request.
fn wakes_on_min_bytes(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let records = batch(play.t(), vec![sized(130)]);
    let bytes = records.bytes().len() as i32;
    let request = waiting(fetch(12, &topic, vec![from(0, 0), from(1, 0)]), LONG_WAIT_MS, bytes * 3);
    let mut parked = play.park("reader", 12, request)?;
    play.append(&topic, 0, records.clone())?;
    play.still_parked("one batch of three", &mut parked)?;
    play.append(&topic, 1, records.clone())?;
    play.still_parked("two batches of three, in two partitions", &mut parked)?;
    play.append(&topic, 0, records.clone())?;
    play.wakes("three batches", parked)?;
    let request = waiting(fetch(12, &topic, vec![from(1, 1)]), LONG_WAIT_MS, bytes + 1);
    let mut parked = play.park("reader", 12, request)?;
    play.append(&topic, 1, records.clone())?;
    play.still_parked("one byte is missing", &mut parked)?;
    play.append(&topic, 1, records)?;
    play.wakes("no longer", parked)?;
    Ok(())
}

fn wakes_many(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let request = waiting(fetch(12, &topic, vec![from(0, 0)]), LONG_WAIT_MS, 1);
    let readers: Vec<_> =
        (0..5).map(|i| play.park(&format!("reader {i}"), 12, request.clone())).collect::<Result<_, _>>()?;
    let elsewhere = waiting(fetch(12, &topic, vec![from(1, 0)]), LONG_WAIT_MS, 1);
    let mut other = play.park("elsewhere", 12, elsewhere)?;
    one(play, &topic, 0)?;
    for (i, reader) in readers.into_iter().enumerate() {
        play.wakes(&format!("one append wakes reader {i}"), reader)?;
    }
    play.still_parked("who reads elsewhere waits", &mut other)?;
    one(play, &topic, 1)?;
    play.wakes("until there is something there", other)?;
    Ok(())
}

/// Changes other than appends.
fn wakes_on_changes(play: &mut Play) -> Done {
    let topic = play.topic("deleted", 1)?;
    for version in [12, 13] {
        let topic = play.topic(&format!("deleted-v{version}"), 1)?;
        let parked =
            play.park("reader", version, waiting(fetch(version, &topic, vec![from(0, 0)]), LONG_WAIT_MS, 1))?;
        play.delete(&topic)?;
        play.wakes("its topic is deleted", parked)?;
    }
    one(play, &topic, 0)?;
    let mut parked = play.park("reader", 12, waiting(fetch(12, &topic, vec![from(0, 1)]), LONG_WAIT_MS, 1))?;
    play.quiet(2, delete_records(&topic, &[(0, 1)]))?;
    play.still_parked("DeleteRecords before its offset", &mut parked)?;
    play.quiet(3, grow(&topic, 2, None))?;
    play.settled(&topic, 2)?;
    play.still_parked("its topic grows", &mut parked)?;
    play.quiet(1, change(TOPIC, &topic, &[("retention.ms", SET, Some("100000000"))]))?;
    play.still_parked("its topic is configured", &mut parked)?;
    let broken = batch(play.t(), vec![value("x")]).with(|b| b.crc = Some(3)).bytes();
    play.quiet(9, produce(9, &topic, broken))?;
    play.still_parked("a batch that is refused", &mut parked)?;
    one(play, &topic, 0)?;
    play.wakes("an append", parked)?;
    let request = waiting(fetch(12, &topic, vec![from(0, 2)]), LONG_WAIT_MS, 1);
    let parked = play.park("reader", 12, request)?;
    let records = batch(play.t(), vec![value("x")]).producer(5_000_001, 0, 0).bytes();
    play.quiet(9, produce(9, &topic, records.clone()).with_acks(1))?;
    play.wakes("an append with acks=1", parked)?;
    let request = waiting(fetch(12, &topic, vec![from(0, 3)]), LONG_WAIT_MS, 1);
    let mut parked = play.park("reader", 12, request)?;
    play.quiet(9, produce(9, &topic, records))?;
    play.still_parked("a duplicate that is not appended", &mut parked)?;
    one(play, &topic, 0)?;
    play.wakes("an append again", parked)?;
    Ok(())
}

fn waits_in_a_session(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    let open = fetch(12, &topic, vec![from(0, 0), from(1, 0)]).with_session_epoch(0);
    let id = play.ask("open", 12, open)?.session_id;
    let next = |epoch| waiting(fetch_topics(vec![]).with_session_id(id).with_session_epoch(epoch), LONG_WAIT_MS, 1);
    let parked = play.park("main", 12, next(1))?;
    one(play, &topic, 1)?;
    play.wakes("a record in a partition of the session", parked)?;
    let short = waiting(fetch_topics(vec![]).with_session_id(id).with_session_epoch(2), SHORT_MS, 100_000);
    play.ask_waiting("less than min_bytes", 12, short, SHORT)?;
    let taken = waiting(fetch(12, &topic, vec![from(1, 1)]).with_session_id(id).with_session_epoch(3), SHORT_MS, 1);
    play.ask_waiting("taken: nothing new", 12, taken, SHORT)?;
    Ok(())
}

/// One request at a time on a connection: what is sent behind a waiting fetch waits with it.
fn holds_back(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let fetch = play.park("main", 12, waiting(fetch(12, &topic, vec![from(0, 0)]), LONG_WAIT_MS, 1))?;
    let mut behind = play.park("main", 9, metadata(9, Some(&[])))?;
    play.still_parked("a request behind a waiting fetch", &mut behind)?;
    one(play, &topic, 0)?;
    play.wakes("the fetch first", fetch)?;
    play.wakes("then what was behind it", behind)?;
    Ok(())
}
