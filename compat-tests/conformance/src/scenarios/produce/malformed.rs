//! Batches that are wrong in one way each.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

use super::super::requests::{fetch, from, produce};
use crate::batch::codec::CODECS;
use crate::batch::{Batch, Codec, Record, batch, keyed, value, varint};
use crate::play::{Done, Play, Topic, topic_name};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("produce/malformed", malformed),
        scenario("produce/malformed-headers", malformed_headers),
        scenario("produce/malformed-records", malformed_records),
        scenario("produce/malformed-compression", malformed_compression),
        scenario("produce/malformed-compression-opened", malformed_compression_opened),
        scenario("produce/zstd-came-later", zstd_came_later),
        scenario("produce/old-formats", old_formats),
    ]
}

fn good(play: &Play) -> Batch {
    batch(play.t(), vec![value("x"), value("y")])
}

/// How many batches there are, and how they are cut.
fn malformed(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let whole = good(play).bytes();
    let two = Bytes::from([&whole[..], &whole[..]].concat());
    let with_garbage = |garbage: &[u8]| Bytes::from([&whole[..], garbage].concat());
    for (label, bytes) in [
        ("no batch at all", Bytes::new()),
        ("two batches", two),
        ("a batch cut by one byte", whole.slice(..whole.len() - 1)),
        ("a header cut in half", whole.slice(..30)),
        ("eleven bytes", whole.slice(..11)),
        ("sixteen bytes", whole.slice(..16)),
        ("one byte of garbage after the batch", with_garbage(&[7])),
        ("twelve bytes of garbage after the batch", with_garbage(&[0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0])),
        ("twenty zero bytes after the batch", with_garbage(&[0; 20])),
        ("random bytes", Bytes::from_static(b"this is not a batch of records, whatever it may look like to a parser")),
    ] {
        play.attempt("main", label, 9, produce(9, &topic, bytes))?;
    }
    let null = PartitionProduceData::default().with_index(0).with_records(None);
    let data = TopicProduceData::default().with_name(topic_name(&topic)).with_partition_data(vec![null]);
    play.attempt_briefly(
        "null",
        "null records",
        9,
        ProduceRequest::default().with_acks(-1).with_timeout_ms(500).with_topic_data(vec![data]),
    )?;
    play.ask("what has been written", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

fn malformed_headers(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    type Change = fn(&mut Batch);
    let cases: &[(&str, Change)] = &[
        ("base offset 5", |b| b.base_offset = 5),
        ("base offset -1", |b| b.base_offset = -1),
        ("leader epoch 7", |b| b.leader_epoch = 7),
        ("a wrong checksum", |b| b.crc = Some(1)),
        ("magic 3", |b| b.magic = 3),
        ("magic -1", |b| b.magic = -1),
        ("magic 1 over a batch of format 2", |b| b.magic = 1),
        ("magic 0 over a batch of format 2", |b| b.magic = 0),
        ("length 0", |b| b.length = Some(0)),
        ("length 10", |b| b.length = Some(10)),
        ("length -1", |b| b.length = Some(-1)),
        ("length 48", |b| b.length = Some(48)),
        ("length 49, so that no record is in it", |b| b.length = Some(49)),
        ("length 2^31-1", |b| b.length = Some(i32::MAX)),
        ("codec 5", |b| b.attributes = 5),
        ("codec 7", |b| b.codec = Codec::Seven),
        ("an unknown attribute bit", |b| b.attributes = 1 << 9),
        ("the delete horizon bit", |b| b.attributes = 1 << 6),
        ("a control batch", |b| b.attributes = 32),
        ("a control batch in a transaction", |b| b.attributes = 48),
        ("count 1 of two", |b| b.count = Some(1)),
        ("count 3 of two", |b| b.count = Some(3)),
        ("count 0", |b| b.count = Some(0)),
        ("count -1", |b| b.count = Some(-1)),
        ("last offset delta 0", |b| b.last_offset_delta = Some(0)),
        ("last offset delta 5", |b| b.last_offset_delta = Some(5)),
        ("last offset delta -1", |b| b.last_offset_delta = Some(-1)),
        ("no records, but a good header", |b| {
            b.records.clear();
            b.last_offset_delta = Some(0);
        }),
        ("no records and count 0", |b| b.records.clear()),
        ("a maximum timestamp that is too high", |b| b.max_timestamp = Some(b.base_timestamp + 500)),
        ("a maximum timestamp of -1", |b| b.max_timestamp = Some(-1)),
        ("a producer id without a sequence", |b| b.producer_id = 3_200_001),
        ("a sequence without a producer id", |b| b.base_sequence = 0),
        ("an epoch without a producer id", |b| b.producer_epoch = 0),
        ("producer id -2", |b| b.producer_id = -2),
    ];
    for (label, change) in cases {
        play.attempt("main", label, 9, produce(9, &topic, good(play).with(change).bytes()))?;
    }
    play.ask("what has been written", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

/// A record from raw parts: its claimed length and its bytes.
fn raw_record(length: i64, body: &[u8]) -> Bytes {
    let mut out = Vec::new();
    varint(&mut out, length);
    out.extend_from_slice(body);
    out.into()
}

fn body(parts: &[i64]) -> Vec<u8> {
    let mut out = vec![0];
    parts.iter().for_each(|part| varint(&mut out, *part));
    out
}

/// The framing inside a batch, uncompressed and compressed: the second is not looked into unless the topic needs it.
fn malformed_records(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    // timestamp delta, offset delta, key length, value length, headers
    let fine = body(&[0, 0, -1, -1, 0]);
    let cases: Vec<(&str, Bytes)> = vec![
        ("a record without anything in it", raw_record(0, &[])),
        ("length -1", raw_record(-1, &fine)),
        ("a length that is one too small", raw_record(fine.len() as i64 - 1, &fine)),
        ("a length that is one too large", raw_record(fine.len() as i64 + 1, &fine)),
        ("a length beyond the batch", raw_record(1 << 20, &fine)),
        ("a varint without end", Bytes::from_static(&[0xff; 12])),
        ("key length -2", raw_record(6, &body(&[0, 0, -2, -1, 0]))),
        ("key length beyond the record", raw_record(6, &body(&[0, 0, 50, -1, 0]))),
        ("value length -2", raw_record(6, &body(&[0, 0, -1, -2, 0]))),
        ("value length beyond the record", raw_record(6, &body(&[0, 0, -1, 50, 0]))),
        ("-1 headers", raw_record(6, &body(&[0, 0, -1, -1, -1]))),
        ("fifty headers that are not there", raw_record(6, &body(&[0, 0, -1, -1, 50]))),
        ("a header with key length -1", raw_record(8, &body(&[0, 0, -1, -1, 1, -1, -1]))),
        ("a header with an empty key and null value", raw_record(8, &body(&[0, 0, -1, -1, 1, 0, -1]))),
        ("record attributes", raw_record(6, &[7, 0, 0, 1, 1, 0])),
        ("offset delta 5", raw_record(6, &body(&[0, 5, -1, -1, 0]))),
        ("offset delta -1", raw_record(6, &body(&[0, -1, -1, -1, 0]))),
        ("a timestamp delta below zero", raw_record(7, &body(&[-500, 0, -1, -1, 0]))),
    ];
    for (label, payload) in &cases {
        let broken = batch(play.t(), vec![]).with(|b| {
            (b.count, b.last_offset_delta, b.payload) = (Some(1), Some(0), Some(payload.clone()));
        });
        play.attempt("main", label, 9, produce(9, &topic, broken.bytes()))?;
    }
    let tail = good(play).with(|b| b.payload_tail = Bytes::from_static(&[0, 0, 0]));
    play.attempt("main", "bytes after the last record", 9, produce(9, &topic, tail.bytes()))?;
    let swapped = vec![Record { offset_delta: Some(1), ..value("a") }, Record { offset_delta: Some(0), ..value("b") }];
    play.attempt("main", "offset deltas in the wrong order", 9, produce(9, &topic, batch(play.t(), swapped).bytes()))?;
    let twice = vec![Record { offset_delta: Some(0), ..value("a") }, Record { offset_delta: Some(0), ..value("b") }];
    play.attempt("main", "the same offset delta twice", 9, produce(9, &topic, batch(play.t(), twice).bytes()))?;
    play.ask("what has been written", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

/// A topic that keeps what it is sent: Kafka opens compressed batches all the same.
fn malformed_compression(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    broken_inside(play, &topic)
}

/// A compacted topic: every record is looked at.
fn malformed_compression_opened(play: &mut Play) -> Done {
    let topic = play.topic_with("a", 1, &[("cleanup.policy", "compact")])?;
    broken_inside(play, &topic)
}

/// Compressed batches whose header is right and whose inside is not.
fn broken_inside(play: &mut Play, topic: &Topic) -> Done {
    let keyed = |offset_delta| Record { offset_delta, ..keyed("k", "v") };
    for codec in CODECS {
        let good = batch(play.t(), vec![keyed(None), keyed(None)]).codec(codec);
        let gaps = batch(play.t(), vec![keyed(Some(7)), keyed(Some(9))]).codec(codec);
        let cases = [
            ("noise", good.clone().with(|b| b.payload = Some(Bytes::from_static(b"not what the codec says")))),
            ("nothing", good.clone().with(|b| b.payload = Some(Bytes::new()))),
            (
                "fewer records than the header says",
                good.clone().with(|b| (b.count, b.last_offset_delta) = (Some(5), Some(4))),
            ),
            ("bytes after the last record", good.with(|b| b.payload_tail = Bytes::from_static(&[0, 0, 0]))),
            ("offset deltas with gaps", gaps),
        ];
        for (label, broken) in cases {
            play.attempt("main", &format!("{}: {label}", codec.name()), 9, produce(9, topic, broken.bytes()))?;
        }
    }
    Ok(())
}

fn zstd_came_later(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for version in [3, 6, 7] {
        let zstd = good(play).codec(Codec::Zstd).bytes();
        play.ask("zstd, which came with version 7", version, produce(version, &topic, zstd))?;
    }
    Ok(())
}

/// Messages of formats 0 and 1, which no version that is served may carry.
fn old_formats(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for magic in [0u8, 1] {
        let mut message = BytesMut::new();
        message.put_u8(magic);
        message.put_u8(0);
        if magic == 1 {
            message.put_i64(play.t());
        }
        message.put_i32(-1);
        message.put_i32(1);
        message.put_u8(b'x');
        let mut crc = flate2::Crc::new();
        crc.update(&message);
        let mut set = BytesMut::new();
        set.put_i64(0);
        set.put_i32(message.len() as i32 + 4);
        set.put_u32(crc.sum());
        set.put_slice(&message);
        for version in [3, 9] {
            play.attempt(
                "main",
                &format!("a message of format {magic}"),
                version,
                produce(version, &topic, set.clone().freeze()),
            )?;
        }
    }
    Ok(())
}
