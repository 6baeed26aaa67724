//! DeleteRecords (21): the log start moves, and every API sees it.

use kafka_protocol::messages::DeleteRecordsRequest;

use super::requests::{delete_records, fetch, from, list_offsets, offsets_topic, produce};
use crate::batch::{batch, value};
use crate::play::{Done, Play, Topic};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("delete-records/every-version", every_version),
        scenario("delete-records/bounds", bounds),
        scenario("delete-records/inside-a-batch", inside_a_batch),
        scenario("delete-records/policies", policies),
        scenario("delete-records/several", several),
    ]
}

/// A topic with ten records in ten batches, timestamps a millisecond apart.
fn ten(play: &mut Play, topic: &str) -> Done<Topic> {
    let topic = play.topic(topic, 1)?;
    for i in 0..10 {
        let records = batch(play.t() + i, vec![value(&format!("v{i}"))]);
        play.append(&topic, 0, records)?;
    }
    Ok(topic)
}

fn every_version(play: &mut Play) -> Done {
    let topic = ten(play, "a")?;
    for version in 0..=2 {
        let offset = 2 + i64::from(version) * 2;
        play.ask("to an offset", version, delete_records(&topic, &[(0, offset)]))?;
        play.ask("to the same offset again", version, delete_records(&topic, &[(0, offset)]))?;
        play.ask("the earliest and the first by time", 5, list_offsets(&topic, &[(0, -2), (0, -1)]).clone())?;
        play.ask("by time, before what is left", 5, list_offsets(&topic, &[(0, play.t())]))?;
        play.ask("the earliest", 5, list_offsets(&topic, &[(0, -2)]))?;
        play.ask("the largest timestamp", 7, list_offsets(&topic, &[(0, -3)]))?;
        play.ask("fetch before the log start", 11, fetch(11, &topic, vec![from(0, offset - 1)]))?;
        play.ask("fetch at the log start", 11, fetch(11, &topic, vec![from(0, offset)]))?;
    }
    Ok(())
}

fn bounds(play: &mut Play) -> Done {
    let topic = ten(play, "a")?;
    for offset in [0, -2, i64::MIN, 11, i64::MAX, 3, 2, 10] {
        play.ask(&format!("to {offset}"), 2, delete_records(&topic, &[(0, offset)]))?;
    }
    play.ask("all of ten are gone", 5, list_offsets(&topic, &[(0, -2)]))?;
    play.ask("fetch from the end", 11, fetch(11, &topic, vec![from(0, 10)]))?;
    play.ask("the largest timestamp of nothing", 7, list_offsets(&topic, &[(0, -3)]))?;
    let records = batch(play.t(), vec![value("next")]).bytes();
    play.ask("the next record goes on from there", 9, produce(9, &topic, records))?;
    play.ask("-1 is the high watermark", 2, delete_records(&topic, &[(0, -1)]))?;
    play.ask("an unknown partition", 2, delete_records(&topic, &[(1, 0), (-1, 0)]))?;
    play.ask("an unknown topic", 2, delete_records(&play.name("unknown"), &[(0, 0)]))?;
    play.ask("an empty name", 2, delete_records("", &[(0, 0)]))?;
    play.ask("no partitions", 2, delete_records(&topic, &[]))?;
    play.ask("no topics", 2, DeleteRecordsRequest::default())?;
    play.ask("no time", 2, delete_records(&topic, &[(0, -1)]).with_timeout_ms(0))?;
    Ok(())
}

/// A batch that holds the new log start stays whole.
fn inside_a_batch(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let records = batch(play.t(), (0..5).map(|i| value(&format!("v{i}")).after(i)).collect());
    play.append(&topic, 0, records)?;
    play.ask("to the middle of the batch", 2, delete_records(&topic, &[(0, 3)]))?;
    play.ask("fetch at the log start", 11, fetch(11, &topic, vec![from(0, 3)]))?;
    play.ask("fetch before it, inside the same batch", 11, fetch(11, &topic, vec![from(0, 2)]))?;
    play.ask("by a time before it, inside the same batch", 5, list_offsets(&topic, &[(0, play.t() + 1)]))?;
    play.ask("by a time after it", 5, list_offsets(&topic, &[(0, play.t() + 4)]))?;
    Ok(())
}

fn policies(play: &mut Play) -> Done {
    for policy in ["compact", "compact,delete", "delete"] {
        let topic = play.topic_with(&policy.replace(',', "-"), 1, &[("cleanup.policy", policy)])?;
        let records = batch(play.t(), vec![crate::batch::keyed("k", "v")]);
        play.append(&topic, 0, records)?;
        play.ask(&format!("cleanup.policy={policy}"), 2, delete_records(&topic, &[(0, 1)]))?;
    }
    offsets_topic(play)?;
    play.ask("an internal topic", 2, delete_records("__consumer_offsets", &[(0, 0)]))?;
    Ok(())
}

fn several(play: &mut Play) -> Done {
    let topic = play.topic("a", 3)?;
    let records = batch(play.t(), vec![value("x"), value("y")]);
    play.append(&topic, 0, records.clone())?;
    play.append(&topic, 2, records)?;
    play.ask("three partitions, one of them empty", 2, delete_records(&topic, &[(0, 1), (1, -1), (2, 5)]))?;
    play.ask("a partition twice", 2, delete_records(&topic, &[(2, 1), (2, 2)]))?;
    Ok(())
}
