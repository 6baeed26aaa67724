//! Many clients changing the same thing at once, and names at the edge of what is allowed.

#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use compat_tests::batch::{Batch, read_batches};
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{LATEST, code, fetch_request, topic_name};
use compat_tests::wire::Client;
use compat_tests::{SetOnDrop, unique, wait_until};
use kafka_protocol::messages::{FetchRequest, produce_request};
use uuid::Uuid;

/// Runs `work` on so many connections at the same moment.
fn at_once<T: Send>(broker: &Broker, connections: usize, work: impl Fn(usize, &mut Client) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(connections);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|n| {
                let (mut client, start, work) = (broker.client(), &start, &work);
                scope.spawn(move || {
                    start.wait();
                    work(n, &mut client)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no client fails")).collect()
    })
}

#[test]
fn eight_times_create_partitions_20() {
    // S11
    let broker = Broker::any();
    let topic = unique("grown");
    let mut client = broker.client();
    client.create_topic(&topic, 2, &[]).expect("answered");
    client.must_produce(&topic, 1, &Batch::of_values(["kept"]));
    let answers = at_once(&broker, 8, |_, client| client.create_partitions(&topic, 20).expect("answered"));
    let count = |wanted| answers.iter().filter(|error| **error == wanted).count();
    assert_eq!((count(code::NONE), count(code::INVALID_PARTITIONS)), (1, 7), "{answers:?}");
    let partitions = client.topic(&topic).expect("answered").partitions;
    let mut numbers: Vec<_> = partitions.iter().map(|partition| partition.partition_index).collect();
    numbers.sort();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    assert_eq!(client.read_values(&topic, 1), ["kept"]);
}

#[test]
fn forty_parallel_creates() {
    // S13 S21
    let mut broker = Broker::start();
    let names: Vec<_> = (0..40).map(|n| format!("topic-{n}")).collect();
    let answers = at_once(&broker, 40, |n, client| client.create_topic(&names[n], 3, &[]).expect("answered"));
    assert!(answers.iter().all(|error| *error == code::NONE), "{answers:?}");
    broker.restart();
    let found = broker.client().all_topics().expect("answered");
    let found: BTreeSet<_> =
        found.iter().map(|t| (t.name.as_ref().expect("named").to_string(), t.partitions.len())).collect();
    assert_eq!(found, names.iter().map(|name| (name.clone(), 3)).collect());
}

#[test]
fn fifty_clients_create_the_same_topic_by_metadata() {
    // S14 S15
    let broker = Options::new().set("num.partitions", 3).start();
    let unknown = broker.client().topic("auto").expect("answered");
    assert_eq!(unknown.error_code, code::UNKNOWN_TOPIC_OR_PARTITION, "not asked to create");
    assert!(broker.client().topic_names().expect("answered").is_empty());
    // Kafka answers the very first with an error and creates behind it; to create first is as good.
    at_once(&broker, 50, |_, client| client.topic_or_create("auto", true).expect("answered"));
    let topics = at_once(&broker, 50, |_, client| client.topic_or_create("auto", true).expect("answered"));
    let ids: BTreeSet<_> = topics.iter().map(|topic| topic.topic_id).collect();
    assert_eq!(ids.len(), 1, "one topic");
    assert!(topics.iter().all(|topic| topic.error_code == 0 && topic.partitions.len() == 3), "{topics:?}");
    assert_eq!(broker.client().topic_names().expect("answered"), ["auto"]);
}

#[test]
fn names_at_the_edge() {
    let broker = Broker::any();
    let mut client = broker.client();
    let long = "n".repeat(249);
    for name in ["_schemas", ".x", "a..b", "__double", "UPPER.and-dash", &long] {
        assert_eq!(client.create_topic(name, 1, &[]).expect("answered"), code::NONE, "{name:?}");
        assert_eq!(client.must_produce(name, 0, &Batch::of_values(["x"])), 0, "{name:?}");
    }
    let too_long = "n".repeat(250);
    for name in [".", "..", &too_long, "a/b", "", "a b", "ä", "a:b"] {
        let error = client.create_topic(name, 1, &[]).expect("answered");
        assert_eq!(error, code::INVALID_TOPIC_EXCEPTION, "{name:?}");
    }
    assert_eq!(
        client.create_topic("a__b", 1, &[]).expect("answered"),
        code::INVALID_TOPIC_EXCEPTION,
        "collides with a..b"
    );
    assert_eq!(client.create_topic("a..b", 1, &[]).expect("answered"), code::TOPIC_ALREADY_EXISTS);
    for name in ["_schemas", ".x", "a..b", "__double", "UPPER.and-dash", &long] {
        assert_eq!(client.delete_topic(name).expect("answered"), code::NONE, "{name:?}");
    }
}

#[test]
fn names_at_the_edge_survive_a_crash() {
    // S24
    let mut broker = Broker::start();
    let names = [".x", "_schemas", "a..b", "x-0", "x-0-delete", "y.-delete"];
    for name in names {
        assert_eq!(broker.client().create_topic(name, 1, &[]).expect("answered"), code::NONE, "{name:?}");
        broker.client().must_produce(name, 0, &Batch::of_values([name]));
    }
    broker.restart();
    assert_eq!(broker.client().topic_names().expect("answered"), names);
    assert!(names.iter().all(|name| broker.client().read_values(name, 0) == [*name]));
}

#[test]
fn delete_and_recreate_under_a_running_producer_and_consumer() {
    // S17
    const LIFE_LIMIT: Duration = Duration::from_secs(20);
    let broker = Broker::start();
    let mut admin = broker.client();
    let generation = AtomicI64::new(0);
    // Acknowledged in this life of the topic, and read in it.
    let (produced, fetched) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let create = |admin: &mut Client| {
        assert_eq!(admin.create_topic("t", 1, &[]).expect("answered"), code::NONE);
        admin.topic("t").expect("answered").topic_id
    };
    let mut id = create(&mut admin);
    let (acknowledged, values) = std::thread::scope(|scope| {
        // Both know the topic's id and send it: after the deletion it names nothing.
        let producer = scope.spawn(|| produce_by_id(broker.client(), &generation, &produced, &stop));
        let consumer = scope.spawn(|| fetch_until(broker.client(), &fetched, &stop));
        let ending = SetOnDrop(&stop);
        for n in 1..=20 {
            produced.store(0, Ordering::SeqCst);
            fetched.store(0, Ordering::SeqCst);
            wait_until("some was produced and some read", LIFE_LIMIT, || {
                produced.load(Ordering::SeqCst) >= 5 && fetched.load(Ordering::SeqCst) >= 5
            });
            assert_eq!(admin.delete_topic("t").expect("answered"), code::NONE);
            generation.store(n, Ordering::SeqCst);
            id = create(&mut admin);
            let values = admin.read_values("t", 0);
            assert!(values.iter().all(|value| value.starts_with(&format!("{n}:"))), "generation {n} has {values:?}");
        }
        produced.store(0, Ordering::SeqCst);
        wait_until("some was produced to the last", LIFE_LIMIT, || produced.load(Ordering::SeqCst) >= 50);
        drop(ending);
        let acknowledged = producer.join().expect("the producer is undisturbed");
        consumer.join().expect("the consumer is undisturbed");
        (acknowledged, admin.read_values("t", 0))
    });
    let ids: BTreeSet<_> = acknowledged.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids.len(), 21, "every life of the topic took records");
    let mut last: Vec<_> = acknowledged.into_iter().filter(|(of, ..)| *of == id).collect();
    assert!(last.len() >= 50, "{} records in the last life", last.len());
    last.sort_by_key(|(_, offset, _)| *offset);
    assert!(last.iter().enumerate().all(|(n, (_, offset, _))| *offset == n as i64), "{last:?}");
    assert_eq!(values, last.into_iter().map(|(.., value)| value).collect::<Vec<_>>(), "all that was acknowledged");
}

/// Produces with the topic's id until told to stop: the id, offset and value of all that was acknowledged.
fn produce_by_id(
    mut client: Client,
    generation: &AtomicI64,
    produced: &AtomicU64,
    stop: &AtomicBool,
) -> Vec<(Uuid, i64, String)> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        // Read before the id: it may be older than the topic, never newer.
        let sent_in = generation.load(Ordering::SeqCst);
        let topic = client.topic("t").expect("answered");
        if topic.error_code != code::NONE || generation.load(Ordering::SeqCst) != sent_in {
            continue;
        }
        for _ in 0..50 {
            let value = format!("{sent_in}:{}", acknowledged.len());
            let partition = produce_request::PartitionProduceData::default()
                .with_records(Some(Batch::of_values([value.clone()]).build()));
            let data = produce_request::TopicProduceData::default()
                .with_topic_id(topic.topic_id)
                .with_partition_data(vec![partition]);
            let request = kafka_protocol::messages::ProduceRequest::default()
                .with_acks(-1)
                .with_timeout_ms(1000)
                .with_topic_data(vec![data]);
            let answer = client.call(13, &request).expect("answered");
            let answer = &answer.responses[0].partition_responses[0];
            match answer.error_code {
                code::NONE => {
                    acknowledged.push((topic.topic_id, answer.base_offset, value));
                    produced.fetch_add(1, Ordering::SeqCst);
                }
                code::UNKNOWN_TOPIC_OR_PARTITION | code::UNKNOWN_TOPIC_ID => break,
                error => panic!("produce by id: {error}"),
            }
        }
    }
    acknowledged
}

/// Reads on, and from the start whenever the topic is another.
fn fetch_until(mut client: Client, fetched: &AtomicU64, stop: &AtomicBool) {
    let mut offset = 0;
    while !stop.load(Ordering::SeqCst) {
        let data = client.fetch_waiting("t", 0, offset, 20).expect("answered");
        match data.error_code {
            code::NONE => {
                let batches = read_batches(data.records.unwrap_or_default()).expect("whole batches");
                offset = batches.last().map_or(offset, |batch| batch.last_offset + 1);
                fetched.fetch_add(batches.len() as u64, Ordering::SeqCst);
            }
            code::OFFSET_OUT_OF_RANGE | code::UNKNOWN_TOPIC_OR_PARTITION => offset = 0,
            error => panic!("fetch: {error}"),
        }
    }
}

#[test]
fn parked_fetch_ends_when_its_topic_goes() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]).expect("answered");
    let id = client.send(12, &fetch_request("t", 0, 0, 25_000)).expect("sent");
    let start = Instant::now();
    // The fetch is parked once another connection is served after it.
    broker.client().assert_undisturbed();
    assert_eq!(broker.client().delete_topic("t").expect("answered"), code::NONE);
    let answer = client.receive::<FetchRequest>(12, id).expect("answered");
    assert_eq!(answer.responses[0].partitions[0].error_code, code::UNKNOWN_TOPIC_OR_PARTITION);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn growth_does_not_hold_back_producers() {
    // S2
    let broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]).expect("answered");
    let done = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::SeqCst) {
                let start = Instant::now();
                client.must_produce("t", 0, &Batch::of_values(["x"]));
                slowest = slowest.max(start.elapsed());
            }
            slowest
        });
        let ending = SetOnDrop(&done);
        let mut admin = broker.client();
        for total in (50..=1000).step_by(50) {
            assert_eq!(admin.create_partitions("t", total).expect("answered"), code::NONE);
        }
        drop(ending);
        load.join().expect("the producer is undisturbed")
    });
    assert!(slowest < Duration::from_millis(500), "a produce took {slowest:?} while the topic grew");
}

#[test]
fn many_producers_leave_no_gap_and_no_double() {
    // S5 S6
    let broker = Broker::any();
    let topic = unique("dense");
    broker.client().create_topic(&topic, 1, &[]).expect("answered");
    let answers = at_once(&broker, 10, |n, client| {
        let produce =
            |m: i64| client.must_produce(&topic, 0, &Batch::of_values((0..=m % 3).map(|r| format!("{n}:{m}:{r}"))));
        (0..100).map(produce).collect::<Vec<_>>()
    });
    let records = broker.client().read_all(&topic, 0);
    assert!(records.iter().enumerate().all(|(n, record)| record.offset == n as i64));
    assert_eq!(broker.client().offset_at(&topic, 0, LATEST), records.len() as i64);
    for (n, offsets) in answers.iter().enumerate() {
        for (m, offset) in offsets.iter().enumerate() {
            let value = records[*offset as usize].value.as_deref();
            assert_eq!(value, Some(format!("{n}:{m}:0").as_bytes()));
        }
    }
}

#[test]
fn one_bad_partition_does_not_fail_the_others() {
    // S5
    let broker = Broker::any();
    let topic = unique("beside");
    let mut client = broker.client();
    client.create_topic(&topic, 1, &[]).expect("answered");
    client.must_produce(&topic, 0, &Batch::of_values(["first"]));
    let partition = |index| {
        let batch = Batch::of_values(["x"]).build();
        produce_request::PartitionProduceData::default().with_index(index).with_records(Some(batch))
    };
    let topics = produce_request::TopicProduceData::default()
        .with_name(topic_name(&topic))
        .with_partition_data(vec![partition(99), partition(0)]);
    let request = kafka_protocol::messages::ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(1000)
        .with_topic_data(vec![topics]);
    let answer = client.call(9, &request).expect("answered");
    let mut results: Vec<_> =
        answer.responses[0].partition_responses.iter().map(|p| (p.index, p.error_code, p.base_offset)).collect();
    results.sort();
    assert_eq!(results, [(0, code::NONE, 1), (99, code::UNKNOWN_TOPIC_OR_PARTITION, -1)]);
}
