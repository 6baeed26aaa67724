//! The life of a topic as a second connection sees it: what one client changes, the other finds changed.

use std::time::Duration;

use kafka_protocol::messages::FetchRequest;

use super::requests::*;
use crate::batch::{batch, value};
use crate::play::{Done, LONG_WAIT_MS, Play, Topic};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("lifecycle/seen-by-another", seen_by_another),
        scenario("lifecycle/recreated", recreated),
        scenario("lifecycle/deleted-under-a-producer", deleted_under_a_producer),
        scenario("lifecycle/configs-take-effect", configs_take_effect),
    ]
}

fn seen_by_another(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let records = batch(play.t(), vec![value("one")]).bytes();
    play.ask_on("writer", "written on one connection", 9, produce(9, &topic, records))?;
    play.ask_on("reader", "read on another", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    play.ask_on("admin", "grown on a third", 3, grow(&topic, 2, None))?;
    play.settled(&topic, 2)?;
    play.ask_on("reader", "seen as grown", 9, metadata(9, Some(&[&topic])))?;
    play.ask_on("reader", "the new partition is empty", 12, fetch(12, &topic, vec![from(1, 0)]))?;
    play.ask_on("admin", "cut", 2, delete_records(&topic, &[(0, 1)]))?;
    play.ask_on("reader", "seen as cut", 12, fetch(12, &topic, vec![from(0, 0), from(0, 1)]))?;
    play.ask_on("admin", "deleted", 4, delete(4, &[&topic]))?;
    play.gone(&topic)?;
    play.ask_on("reader", "seen as gone", 9, metadata(9, Some(&[&topic])))?;
    play.ask_on("reader", "nothing to read", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    let records = batch(play.t(), vec![value("late")]).bytes();
    play.ask_on("writer", "nothing to write to", 9, produce(9, &topic, records))?;
    Ok(())
}

/// A topic of the same name is a new topic: empty, with a new id; what knows the old id is told so.
fn recreated(play: &mut Play) -> Done {
    let old = play.topic("a", 1)?;
    let records = batch(play.t(), vec![value("old")]).producer(3_000_001, 0, 0);
    play.append(&old, 0, records)?;
    play.delete(&old)?;
    play.names.uuid(old.id, "<id a>");
    play.ask("create it again", 5, create(vec![creatable(&old, 1, 1, &[])]))?;
    play.settled(&old, 1)?;
    let answer = play.quiet(12, metadata(12, Some(&[&old])))?;
    let new = Topic { name: old.name.clone(), id: answer.topics[0].topic_id };
    play.names.uuid(new.id, "<new id a>");
    play.ask("its metadata", 12, metadata(12, Some(&[&new])))?;
    play.ask("it is empty", 12, fetch(12, &new, vec![from(0, 0)]))?;
    play.ask("the old offset is out of range", 12, fetch(12, &new, vec![from(0, 1)]))?;
    play.ask("fetch by the old id", 13, fetch(13, &old, vec![from(0, 0)]))?;
    play.ask("produce by the old id", 13, produce(13, &old, batch(play.t(), vec![value("x")]).bytes()))?;
    play.ask("fetch by the new id", 13, fetch(13, &new, vec![from(0, 0)]))?;
    let records = batch(play.t(), vec![value("new")]).producer(3_000_001, 0, 1);
    play.ask("the producer of the old one goes on with its next sequence", 9, produce(9, &new, records.bytes()))?;
    play.ask("what it has written", 13, fetch(13, &new, vec![from(0, 0)]))?;
    Ok(())
}

fn deleted_under_a_producer(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let other = play.topic("b", 1)?;
    let mut request: FetchRequest =
        fetch_topics(vec![fetch_topic(12, &topic, vec![from(0, 0)]), fetch_topic(12, &other, vec![from(0, 0)])]);
    request.max_wait_ms = LONG_WAIT_MS;
    let parked = play.park("reader", 12, request)?;
    play.delete(&topic)?;
    play.wakes("a waiting fetch ends when one of its topics is deleted", parked)?;
    let records = batch(play.t(), vec![value("x")]).bytes();
    play.ask("produce by name", 9, produce(9, &topic, records.clone()))?;
    play.ask("produce by id", 13, produce(13, &topic, records))?;
    Ok(())
}

fn configs_take_effect(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let big = || vec![crate::batch::sized(1000)];
    play.ask("a large record", 9, produce(9, &topic, batch(play.t(), big()).bytes()))?;
    play.ask_on(
        "admin",
        "max.message.bytes is lowered",
        1,
        change(TOPIC, &topic, &[("max.message.bytes", SET, Some("500"))]),
    )?;
    let description = describe(TOPIC, &topic, &["max.message.bytes"]);
    play.ask_until("seen as lowered", 4, description.clone(), |a| {
        a.results[0].configs[0].value.as_deref() == Some("500")
    })?;
    std::thread::sleep(Duration::from_millis(100));
    play.settle();
    play.ask("the large record again", 9, produce(9, &topic, batch(play.t(), big()).bytes()))?;
    play.ask_on("admin", "reset", 1, change(TOPIC, &topic, &[("max.message.bytes", DELETE, None)]))?;
    play.ask_until("seen as reset", 4, description, |a| a.results[0].configs[0].config_source == 5)?;
    play.settle();
    play.ask("and once more", 9, produce(9, &topic, batch(play.t(), big()).bytes()))?;
    play.ask_on(
        "admin",
        "LogAppendTime",
        1,
        change(TOPIC, &topic, &[("message.timestamp.type", SET, Some("LogAppendTime"))]),
    )?;
    let description = describe(TOPIC, &topic, &["message.timestamp.type"]);
    play.ask_until("seen as set", 4, description, |a| {
        a.results[0].configs[0].value.as_deref() == Some("LogAppendTime")
    })?;
    play.settle();
    play.ask("with the broker's time", 9, produce(9, &topic, batch(play.t(), vec![value("x")]).bytes()))?;
    Ok(())
}
