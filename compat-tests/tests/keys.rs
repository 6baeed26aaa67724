//! Keys of topics and of the broker away from their defaults: the effect is seen, not the value.

#![allow(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;
use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{LATEST, code, fetch_request, topic_name};
use compat_tests::wire::Client;
use compat_tests::{now_ms, wait_until};
use kafka_protocol::messages::DescribeProducersRequest;
use kafka_protocol::messages::describe_producers_request::TopicRequest;

const LIMIT: Duration = Duration::from_secs(20);
const FETCH_VERSION: i16 = 12;

#[track_caller]
fn create(client: &mut Client, configs: &[(&str, &str)]) {
    assert_eq!(client.create_topic("t", 1, configs).expect("answered"), code::NONE);
}

/// Sizes of the partition's files of that kind, by the offset in their names.
fn files(broker: &Broker, extension: &str) -> Vec<(i64, u64)> {
    let entries = std::fs::read_dir(broker.partition_dir("t", 0)).expect("a directory");
    let entries = entries.map(|entry| entry.expect("readable"));
    let entries = entries.filter(|entry| entry.path().extension().is_some_and(|found| found == extension));
    let described = entries.map(|entry| {
        let stem = entry.path().file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        (stem.expect("an offset"), entry.metadata().expect("readable").len())
    });
    let mut found: Vec<_> = described.collect();
    found.sort();
    found
}

/// The time of records counts, not that of their arrival.
#[test]
fn a_segment_rolls_by_segment_ms() {
    let broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, &[("segment.ms", "60000")]);
    let start = now_ms() - 1_000_000;
    for after in [0, 59_000, 60_000, 61_000, 100_000, 125_000] {
        client.must_produce("t", 0, &Batch::of_values([format!("{after}")]).at(start + after));
    }
    let bases: Vec<_> = files(&broker, "log").into_iter().map(|(base, _)| base).collect();
    assert_eq!(bases, [0, 3, 5], "more than a minute after a segment's first record the next one begins");
    assert_eq!(client.read_values("t", 0), ["0", "59000", "60000", "61000", "100000", "125000"]);
}

#[test]
fn a_segment_rolls_when_its_index_is_full() {
    const INDEX_BYTES: u64 = 120;
    let mut broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, &[("segment.index.bytes", &INDEX_BYTES.to_string()), ("index.interval.bytes", "1")]);
    let start = now_ms() - 1_000_000;
    for n in 0..100 {
        client.must_produce("t", 0, &Batch::of_values([format!("{n}")]).at(start + n));
    }
    let logs = files(&broker, "log");
    assert!((6..=20).contains(&logs.len()), "100 batches, ten entries of 12 bytes a segment: {logs:?}");
    assert_eq!(broker.terminate().code(), Some(0));
    for kind in ["index", "timeindex"] {
        let indexes = files(&broker, kind);
        assert!(indexes.iter().all(|(_, bytes)| *bytes <= INDEX_BYTES), "{kind}: {indexes:?}");
    }
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.read_values("t", 0), (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!((0..100).all(|n| client.offset_at("t", 0, start + n) == n));
}

#[test]
fn a_producer_is_forgotten_after_producer_id_expiration_ms() {
    let broker = Options::new()
        .set("producer.id.expiration.ms", 1500)
        .set("producer.id.expiration.check.interval.ms", 100)
        .start();
    let mut client = broker.client();
    create(&mut client, &[]);
    let (id, epoch) = client.init_producer_id().expect("answered");
    let batch = |sequence| Batch::of_values([format!("{sequence}")]).from_producer(id, epoch, sequence);
    let mut known = {
        let mut client = broker.client();
        move || {
            let topic = TopicRequest::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
            let request = DescribeProducersRequest::default().with_topics(vec![topic]);
            let answer = client.call(0, &request).expect("answered");
            let producers = &answer.topics[0].partitions[0].active_producers;
            producers.iter().map(|producer| producer.producer_id.0).collect::<Vec<_>>()
        }
    };
    assert_eq!(client.must_produce("t", 0, &batch(0)), 0);
    assert_eq!(client.must_produce("t", 0, &batch(0)), 0, "sent again: known, and not stored");
    assert_eq!(known(), [id]);
    wait_until("the producer is forgotten", LIMIT, || known().is_empty());
    // To the partition it is a new producer, which may begin anywhere.
    assert_eq!(client.must_produce("t", 0, &batch(7)), 1);
    let gap = client.produce("t", 0, batch(9).build()).expect("answered");
    assert_eq!(gap.error_code, code::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(known(), [id]);
    assert_eq!(client.offset_at("t", 0, LATEST), 2);
}

/// Opens a session, or goes on with it: error code and session id.
fn fetch_in_session(client: &mut Client, id: i32, epoch: i32) -> (i16, i32) {
    let mut request = fetch_request("t", 0, 0, 0).with_session_id(id).with_session_epoch(epoch);
    if epoch > 0 {
        request.topics.clear();
    }
    let sent = client.send(FETCH_VERSION, &request).expect("sent");
    let answer = client.receive::<kafka_protocol::messages::FetchRequest>(FETCH_VERSION, sent).expect("answered");
    (answer.error_code, answer.session_id)
}

/// Opens as many sessions as there are slots, and one in vain.
fn broker_with_full_sessions() -> (Broker, Client, Vec<i32>) {
    let broker = Options::new().set("max.incremental.fetch.session.cache.slots", 8).start();
    let mut client = broker.client();
    create(&mut client, &[]);
    let mut open = || {
        let (error, id) = fetch_in_session(&mut client, 0, 0);
        assert_eq!(error, code::NONE);
        id
    };
    let ids: Vec<_> = (0..8).map(|_| open()).collect();
    assert!(ids.iter().all(|id| *id != 0), "{ids:?}");
    assert_eq!(open(), 0, "answered in full, without a session");
    (broker, client, ids)
}

#[test]
fn fetch_sessions_are_limited_by_their_slots() {
    let (_broker, mut client, ids) = broker_with_full_sessions();
    assert!(ids.iter().all(|id| fetch_in_session(&mut client, *id, 1) == (code::NONE, *id)), "all of them go on");
    // Closed, it gives its slot away, and is unknown from then on.
    assert_eq!(fetch_in_session(&mut client, ids[0], -1), (code::NONE, 0));
    let (error, new) = fetch_in_session(&mut client, 0, 0);
    assert!(error == code::NONE && new != 0 && !ids.contains(&new), "session {new}, error {error}");
    assert_eq!(fetch_in_session(&mut client, ids[0], 2), (code::FETCH_SESSION_ID_NOT_FOUND, 0));
    assert_eq!(fetch_in_session(&mut client, ids[1], 2), (code::NONE, ids[1]));
}

/// As in Kafka, a session must have been idle for two minutes.
#[test]
#[ignore = "takes two minutes: cargo test -p compat-tests --test keys -- --ignored"]
fn an_idle_fetch_session_is_evicted() {
    let (_broker, mut client, ids) = broker_with_full_sessions();
    let mut epoch = 0;
    let mut next = |client: &mut Client| {
        epoch += 1;
        assert_eq!(fetch_in_session(client, ids[3], epoch), (code::NONE, ids[3]), "a session in use stays");
    };
    wait_until("an idle session is evicted", Duration::from_secs(180), || {
        next(&mut client);
        std::thread::sleep(Duration::from_millis(200));
        fetch_in_session(&mut client, 0, 0).1 != 0
    });
    next(&mut client);
    let gone = ids.iter().filter(|id| **id != ids[3]);
    let gone = gone.filter(|id| fetch_in_session(&mut client, **id, 1).0 == code::FETCH_SESSION_ID_NOT_FOUND).count();
    assert_eq!(gone, 1, "one made room");
}

/// What a topic does not set for itself.
#[test]
fn keys_of_the_broker_are_defaults_of_topics() {
    let broker = Options::new().set("log.segment.bytes", 1 << 20).set("message.max.bytes", 600_000).start();
    let mut client = broker.client();
    create(&mut client, &[]);
    let batch = Batch::of_values([Bytes::from(vec![b'x'; 500_000])]);
    for n in 0..5 {
        assert_eq!(client.must_produce("t", 0, &batch), n);
    }
    assert_eq!(files(&broker, "log").into_iter().map(|(base, _)| base).collect::<Vec<_>>(), [0, 2, 4]);
    let large = Batch::of_values([Bytes::from(vec![b'x'; 600_000])]).build();
    assert_eq!(client.produce("t", 0, large).expect("answered").error_code, code::MESSAGE_TOO_LARGE);
}
