//! What clients find once retention has moved the log start.

use super::requests::{change, delete_records, fetch, from, list_offsets};
use crate::batch::{batch, keyed, sized, value};
use crate::play::{Done, Play, Topic};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("retention/by-time", by_time),
        scenario("retention/by-size", by_size),
        scenario("retention/everything", everything),
        scenario("retention/kept", kept),
        scenario("retention/time-of-the-segment", time_of_the_segment),
    ]
    .into_iter()
    .map(|scenario| scenario.under(Profile::Cleaning))
    .collect()
}

const TOPIC: i8 = 2;
/// Records of one second go into one segment.
const SECONDS: (&str, &str) = ("segment.ms", "1000");

/// Three segments: of an hour ago, of half an hour ago, of now.
fn three(play: &mut Play, name: &str, configs: &[(&str, &str)]) -> Done<Topic> {
    let configs: Vec<_> = configs.iter().chain(&[SECONDS]).copied().collect();
    let topic = play.topic_with(name, 1, &configs)?;
    for after in [0, 1, 2, 1_800_000, 1_800_001, 3_590_000, 3_590_001] {
        let at = play.t() + after;
        play.names.stamp(at, &format!("T+{after}"));
        play.append(&topic, 0, batch(at, vec![value(&format!("T+{after}"))]))?;
    }
    Ok(topic)
}

fn starts_at(play: &mut Play, topic: &Topic, start: i64) -> Done {
    let request = list_offsets(topic, &[(0, -2)]);
    play.wait(&format!("the log starts at {start}"), |play| {
        Ok(play.quiet(5, request.clone())?.topics[0].partitions[0].offset == start)
    })
}

fn look(play: &mut Play, topic: &Topic, offsets: &[i64]) -> Done {
    for offset in offsets {
        play.ask(&format!("fetch from {offset}"), 11, fetch(11, topic, vec![from(0, *offset)]))?;
    }
    for timestamp in [-1, -2, -3, -4, -5] {
        play.ask(&format!("ListOffsets {timestamp}"), 9, list_offsets(topic, &[(0, timestamp)]))?;
    }
    for after in [0, 1_800_000, 1_800_001, 3_590_001, 3_590_002] {
        let at = play.t() + after;
        play.ask(&format!("the first at T+{after}"), 5, list_offsets(topic, &[(0, at)]))?;
    }
    Ok(())
}

fn by_time(play: &mut Play) -> Done {
    let topic = three(play, "r", &[])?;
    look(play, &topic, &[0, 3])?;
    play.ask("fifty minutes", 1, change(TOPIC, &topic, &[("retention.ms", 0, Some("3000000"))]))?;
    starts_at(play, &topic, 3)?;
    look(play, &topic, &[2, 3, 5])?;
    play.ask("records are deleted below the start", 2, delete_records(&topic, &[(0, 1)]))?;
    play.ask("and above it", 2, delete_records(&topic, &[(0, 4)]))?;
    look(play, &topic, &[3, 4])?;
    play.ask("ten minutes", 1, change(TOPIC, &topic, &[("retention.ms", 0, Some("600000"))]))?;
    starts_at(play, &topic, 5)?;
    look(play, &topic, &[4, 5])
}

fn by_size(play: &mut Play) -> Done {
    let configs = [("internal.segment.bytes", "2000"), ("retention.ms", "-1")];
    let topic = play.topic_with("r", 1, &configs)?;
    for after in 0..10 {
        play.append(&topic, 0, batch(play.t() + after, vec![sized(900)]))?;
    }
    play.ask("five thousand bytes", 1, change(TOPIC, &topic, &[("retention.bytes", 0, Some("5000"))]))?;
    starts_at(play, &topic, 4)?;
    look(play, &topic, &[3, 4])?;
    play.ask(
        "of which the next goes over",
        9,
        super::requests::produce(9, &topic, batch(play.t(), vec![sized(900)]).bytes()),
    )?;
    play.append(&topic, 0, batch(play.t() + 20, vec![sized(900)]))?;
    starts_at(play, &topic, 6)?;
    look(play, &topic, &[5, 6])
}

/// The active segment goes too, and the offsets go on.
fn everything(play: &mut Play) -> Done {
    let topic = three(play, "r", &[])?;
    play.ask("a second", 1, change(TOPIC, &topic, &[("retention.ms", 0, Some("1000"))]))?;
    starts_at(play, &topic, 7)?;
    look(play, &topic, &[6, 7])?;
    let records = batch(play.t() + 3_600_000, vec![value("next")]).bytes();
    play.ask("for ever", 1, change(TOPIC, &topic, &[("retention.ms", 0, Some("-1"))]))?;
    play.settle();
    play.ask("the next record goes on from there", 9, super::requests::produce(9, &topic, records))?;
    look(play, &topic, &[7])
}

/// Neither a compacted topic nor one without a policy loses anything by age; a sibling shows that time has passed.
fn kept(play: &mut Play) -> Done {
    let compacted =
        play.topic_with("compacted", 1, &[SECONDS, ("cleanup.policy", "compact"), ("retention.ms", "1000")])?;
    let nothing = play.topic_with("nothing", 1, &[SECONDS, ("cleanup.policy", ""), ("retention.ms", "1000")])?;
    for topic in [&compacted, &nothing] {
        for after in [0, 1, 5000] {
            play.append(topic, 0, batch(play.t() + after, vec![keyed(&format!("k{after}"), "v")]))?;
        }
    }
    let sibling = three(play, "sibling", &[("retention.ms", "1000")])?;
    starts_at(play, &sibling, 7)?;
    for topic in [&compacted, &nothing] {
        play.ask("the earliest", 5, list_offsets(topic, &[(0, -2)]))?;
        play.ask("all is there", 11, fetch(11, topic, vec![from(0, 0)]))?;
    }
    Ok(())
}

/// A segment is as old as its newest record, wherever that stands.
fn time_of_the_segment(play: &mut Play) -> Done {
    let topic = play.topic_with("r", 1, &[("internal.segment.bytes", "2000"), ("segment.ms", "604800000")])?;
    for after in [3_590_000, 0, 1, 2, 3, 4, 5] {
        play.append(&topic, 0, batch(play.t() + after, vec![sized(900)]))?;
    }
    play.ask("ten minutes", 1, change(TOPIC, &topic, &[("retention.ms", 0, Some("600000"))]))?;
    // The first segment has a young record: nothing behind it goes either.
    let sibling = three(play, "sibling", &[("retention.ms", "1000")])?;
    starts_at(play, &sibling, 7)?;
    look(play, &topic, &[0])
}
