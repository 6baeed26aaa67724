//! Produce at every version, and what is refused before a batch is looked at: acks, topics, sizes.

use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::{ProduceRequest, TransactionalId};

use super::super::requests::{fetch, from, offsets_topic, produce, produce_named, produce_to};
use crate::batch::{Codec, batch, sized, value};
use crate::play::{Done, Play, Topic, text};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("produce/every-version", every_version),
        scenario("produce/acks", acks),
        scenario("produce/topics", topics),
        scenario("produce/sizes", sizes),
        scenario("produce/segment-size", segment_size),
        scenario("produce/broker-limits", broker_limits).under(Profile::Tuned),
        scenario("produce/transactional", transactional),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    for version in 3..=13 {
        let records = batch(play.t(), vec![value("x"), value("y").after(1)]).bytes();
        play.ask("two records", version, produce(version, &topic, records.clone()))?;
        play.ask(
            "two partitions",
            version,
            produce_to(version, &topic, vec![(1, records.clone()), (0, records.clone())]),
        )?;
        play.ask(
            "an unknown partition beside a good one",
            version,
            produce_to(version, &topic, vec![(7, records.clone()), (0, records)]),
        )?;
        let broken = batch(play.t(), vec![value("x")]).with(|b| b.count = Some(2)).bytes();
        play.ask("a batch that is refused", version, produce(version, &topic, broken))?;
    }
    let version_zero_to_two = batch(play.t(), vec![value("x")]).bytes();
    for version in [0, 1, 2] {
        let body = crate::wire::body(&produce(3, &topic, version_zero_to_two.clone()), 3)?;
        let frame = play.frame("old", 0, version, 1, &body)?;
        play.raw("old", &format!("version {version}, which is advertised and refused"), &frame)?;
    }
    Ok(())
}

fn acks(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let records = batch(play.t(), vec![value("x")]).bytes();
    for acks in [1, -1, 2, -2, i16::MAX] {
        play.ask(&format!("acks={acks}"), 9, produce(9, &topic, records.clone()).with_acks(acks))?;
    }
    for version in [3, 9, 13] {
        play.unanswered("zero", "acks=0", version, produce(version, &topic, records.clone()).with_acks(0))?;
    }
    play.settle();
    play.ask("what acks=0 has written is there", 12, fetch(12, &topic, vec![from(0, 2)]))?;
    play.unanswered(
        "zero",
        "acks=0 to an unknown topic",
        9,
        produce_named(&play.name("unknown"), 0, records.clone()).with_acks(0),
    )?;
    let broken = batch(play.t(), vec![value("x")]).with(|b| b.crc = Some(1)).bytes();
    play.unanswered("zero", "acks=0, a wrong checksum", 9, produce(9, &topic, broken).with_acks(0))?;
    play.unanswered("zero", "acks=0, no topics", 9, ProduceRequest::default().with_acks(0))?;
    for timeout in [0, -1, i32::MIN] {
        play.ask(&format!("timeout {timeout}"), 9, produce(9, &topic, records.clone()).with_timeout_ms(timeout))?;
    }
    let single = play.topic_with("two-replicas", 1, &[("min.insync.replicas", "2")])?;
    play.ask("min.insync.replicas=2 on one replica, acks=all", 9, produce(9, &single, records.clone()))?;
    play.ask("and acks=1", 9, produce(9, &single, records).with_acks(1))?;
    Ok(())
}

fn topics(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let records = batch(play.t(), vec![value("x")]).bytes();
    let unknown_name = play.name("unknown");
    for name in [&*unknown_name, "", "..", "a/b"] {
        play.ask(&format!("the name \"{name}\""), 9, produce_named(name, 0, records.clone()))?;
    }
    for partition in [1, -1, i32::MAX] {
        play.ask(&format!("partition {partition}"), 9, produce_named(&topic, partition, records.clone()))?;
    }
    let unknown = Topic { name: "unknown".into(), id: play.unknown_id() };
    play.ask("an unknown id", 13, produce(13, &unknown, records.clone()))?;
    play.ask(
        "the id of zeros",
        13,
        produce(13, &Topic { name: String::new(), id: uuid::Uuid::nil() }, records.clone()),
    )?;
    let mut both = produce(13, &unknown, records.clone());
    both.topic_data.extend(produce(13, &topic, records.clone()).topic_data);
    play.ask("an unknown id beside a known one", 13, both)?;
    let mut two = produce(9, &topic, records.clone());
    two.topic_data.extend(produce_named(&unknown_name, 0, records.clone()).topic_data);
    play.ask("an unknown topic beside a known one", 9, two)?;
    play.ask("a partition twice", 9, produce_to(9, &topic, vec![(0, records.clone()), (0, records.clone())]))?;
    let mut twice = produce(9, &topic, records.clone());
    twice.topic_data.extend(produce(9, &topic, records.clone()).topic_data);
    play.ask("a topic twice", 9, twice)?;
    play.ask("no topics", 9, ProduceRequest::default().with_acks(-1))?;
    let empty = ProduceRequest::default()
        .with_acks(-1)
        .with_topic_data(vec![TopicProduceData::default().with_name(crate::play::topic_name(&topic))]);
    play.ask("a topic without partitions", 9, empty)?;
    offsets_topic(play)?;
    play.ask("an internal topic", 9, produce_named("__consumer_offsets", 0, records.clone()))?;
    play.ask("how many have been written", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

/// `max.message.bytes` counts a whole batch, its twelve bytes of offset and length included.
fn sizes(play: &mut Play) -> Done {
    let topic = play.topic_with("small", 1, &[("max.message.bytes", "200")])?;
    let of_bytes = |play: &Play, total: usize| {
        let records = |size| batch(play.t(), vec![sized(size)]);
        let overhead = records(60).bytes().len() - 60;
        records(total - overhead).bytes()
    };
    for total in [130, 199, 200, 201, 202] {
        let bytes = of_bytes(play, total);
        play.ask(&format!("{} bytes, allowed 200", bytes.len()), 9, produce(9, &topic, bytes))?;
    }
    for codec in crate::batch::codec::CODECS {
        let bytes = batch(play.t(), vec![sized(1000)]).codec(codec).bytes();
        play.ask(&format!("1,000 bytes that {} makes small", codec.name()), 9, produce(9, &topic, bytes))?;
    }
    let recompressed =
        play.topic_with("recompressed", 1, &[("max.message.bytes", "200"), ("compression.type", "uncompressed")])?;
    let bytes = batch(play.t(), vec![sized(1000)]).codec(Codec::Gzip).bytes();
    play.ask("small when it comes, large when decompressed", 9, produce(9, &recompressed, bytes))?;
    let gzipped = play.topic_with("gzipped", 1, &[("max.message.bytes", "200"), ("compression.type", "gzip")])?;
    let bytes = batch(play.t(), vec![sized(1000)]).bytes();
    play.ask("large when it comes, small when compressed", 9, produce(9, &gzipped, bytes))?;
    let plain = play.topic("plain", 1)?;
    // 72 bytes are the batch around a value of this size.
    for size in [1_048_588 - 72, 1_048_588 - 71, 1_048_588] {
        let bytes = batch(play.t(), vec![sized(size)]).bytes();
        play.ask(&format!("{} bytes, allowed 1,048,588", bytes.len()), 9, produce(9, &plain, bytes))?;
    }
    let zero = play.topic_with("zero", 1, &[("max.message.bytes", "0")])?;
    play.ask("max.message.bytes=0", 9, produce(9, &zero, of_bytes(play, 130)))?;
    Ok(())
}

fn segment_size(play: &mut Play) -> Done {
    let topic = play.topic_with("a", 1, &[("segment.bytes", "1048576"), ("max.message.bytes", "5000000")])?;
    for size in [1_048_576 - 72, 1_048_576 - 71, 2_000_000] {
        let bytes = batch(play.t(), vec![sized(size)]).bytes();
        play.ask(&format!("a batch of {} bytes, segments of 1,048,576", bytes.len()), 9, produce(9, &topic, bytes))?;
    }
    Ok(())
}

/// `message.max.bytes` and the other defaults of the broker hold for topics that set nothing.
fn broker_limits(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    play.ask(
        "1,500 bytes where 2,000 are allowed",
        9,
        produce(9, &topic, batch(play.t(), vec![crate::batch::keyed("k", &"x".repeat(1500))]).bytes()),
    )?;
    play.ask(
        "2,500 bytes",
        9,
        produce(9, &topic, batch(play.t(), vec![crate::batch::keyed("k", &"x".repeat(2500))]).bytes()),
    )?;
    play.ask("compacted by default: no key", 9, produce(9, &topic, batch(play.t(), vec![value("x")]).bytes()))?;
    play.ask("what is kept: gzip, the broker's time", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    let larger = play.topic_with("larger", 1, &[("max.message.bytes", "5000"), ("cleanup.policy", "delete")])?;
    play.ask(
        "2,500 bytes where the topic allows 5,000",
        9,
        produce(9, &larger, batch(play.t(), vec![sized(2500)]).bytes()),
    )?;
    Ok(())
}

/// Transactions are not served yet: the batch's shape is judged, nothing is opened.
fn transactional(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let records = batch(play.t(), vec![value("x")]).producer(3_100_001, 0, 0).attributes(16).bytes();
    play.ask("a transactional batch without a transactional id", 9, produce(9, &topic, records))?;
    let plain = batch(play.t(), vec![value("x")]).producer(3_100_002, 0, 0).bytes();
    let id = Some(TransactionalId(text("some-id")));
    play.ask("a transactional id, but a plain batch", 9, produce(9, &topic, plain).with_transactional_id(id))?;
    Ok(())
}
