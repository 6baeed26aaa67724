//! Many transactions on one partition, many partitions in one transaction, many transactional ids.

use std::collections::BTreeMap;
use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::Broker;
use compat_tests::calls::LATEST;
use compat_tests::wire::Client;
use compat_tests::{Random, wait_until};
use kafka_protocol::messages::{EndTxnRequest, InitProducerIdRequest};

use crate::producer::*;
use crate::readers::*;

const LIMIT: Duration = Duration::from_secs(120);
const TOPIC: &str = "sized";

fn begin(partitions: i32) -> (Broker, Client) {
    let broker = quick_options().start();
    let mut client = broker.client();
    client.set_answer_limit(LIMIT);
    assert_eq!(client.create_topic(TOPIC, partitions, &[]).expect("answered"), 0);
    (broker, client)
}

const OPEN: usize = 200;

/// The last stable offset is where the first open transaction begins, whichever ends next.
#[test]
fn two_hundred_open_transactions_on_one_partition() {
    let seed = 21;
    let mut random = Random::new(seed);
    let (_broker, mut client) = begin(1);
    // First offset to producer.
    let mut open: BTreeMap<i64, Producer> = BTreeMap::new();
    let mut committed: BTreeMap<i64, String> = BTreeMap::new();
    for number in 0..OPEN {
        let mut producer = Producer::new(&format!("open-{number}"), Protocol::BOTH[number % 2]).started(&mut client);
        let offset = producer.must_produce(&mut client, TOPIC, 0, &format!("{number} a"));
        open.insert(offset, producer);
        if random.below(4) == 0 {
            let plain = format!("{number} plain");
            committed.insert(client.must_produce(TOPIC, 0, &Batch::of_values([plain.clone()])), plain);
        }
        assert_eq!(last_stable_offset(&mut client, TOPIC, 0), 0, "the first is open");
    }
    let mut step = 0;
    while !open.is_empty() {
        step += 1;
        let firsts: Vec<_> = open.keys().copied().collect();
        let first = firsts[random.below(firsts.len())];
        let mut producer = open.remove(&first).expect("open");
        let value = |letter: &str| format!("{} {letter}", &producer.name["open-".len()..]);
        let (a, b) = (value("a"), value("b"));
        let commit = random.below(3) != 0;
        let second = (random.below(2) == 0).then(|| producer.must_produce(&mut client, TOPIC, 0, &b));
        producer.must_end(&mut client, commit);
        if commit {
            committed.insert(first, a);
            committed.extend(second.map(|second| (second, b)));
        }
        let end = client.offset_at(TOPIC, 0, LATEST);
        let expected = open.keys().next().copied().unwrap_or(end);
        assert_eq!(last_stable_offset(&mut client, TOPIC, 0), expected, "seed {seed}, step {step}");
        if step % 20 == 0 || open.is_empty() {
            let visible = committed.range(..expected).map(|(_, value)| value.clone());
            let found = committed_values(&mut client, TOPIC, 0);
            assert_eq!(found, visible.collect::<Vec<_>>(), "seed {seed}, step {step}");
        }
    }
    let markers = check_markers(&read_log(&mut client, TOPIC, 0), TOPIC);
    assert_eq!(markers.all_with_data(TOPIC), OPEN);
}

const WIDE: i32 = 500;

fn assert_wide(client: &mut Client, expected: &[(i64, bool)], values: &[&str], what: &str) {
    for partition in 0..WIDE {
        assert_eq!(markers(client, TOPIC, partition), expected, "{what}, partition {partition}");
        assert_eq!(committed_values(client, TOPIC, partition), values, "{what}, partition {partition}");
        let end = client.offset_at(TOPIC, partition, LATEST);
        assert_eq!(last_stable_offset(client, TOPIC, partition), end, "{what}, partition {partition}");
    }
}

fn produce_wide(client: &mut Client, producer: &mut Producer, value: &str) {
    if producer.protocol == Protocol::First {
        producer.must_add(client, TOPIC, &(0..WIDE).collect::<Vec<_>>());
    }
    let version = producer.protocol.produce_version();
    for partition in 0..WIDE {
        let answer = producer.produce(client, version, TOPIC, partition, value).expect("answered");
        assert_eq!(answer.error_code, code::NONE, "partition {partition}");
    }
}

#[test]
fn a_transaction_over_five_hundred_partitions() {
    let (_broker, mut client) = begin(WIDE);
    let (mut expected, mut values) = (Vec::new(), Vec::new());
    for protocol in Protocol::BOTH {
        let mut producer = Producer::new(&format!("wide-{protocol:?}"), protocol).started(&mut client);
        for commit in [true, false] {
            produce_wide(&mut client, &mut producer, "value");
            producer.must_end(&mut client, commit);
            expected.push((producer.id, commit));
            values.extend(commit.then_some("value"));
        }
        assert_wide(&mut client, &expected, &values, &format!("{protocol:?}"));
    }
}

/// The process is killed while it writes the markers: the next one writes those that are missing, and no other.
#[test]
fn five_hundred_markers_are_written_once_though_the_broker_is_killed() {
    let seed = 23;
    let mut random = Random::new(seed);
    let (mut broker, mut client) = begin(WIDE);
    let mut producer = Producer::new("wide", Protocol::Second).started(&mut client);
    let (mut expected, mut values, mut halfway) = (Vec::new(), Vec::new(), 0);
    for round in 0..6 {
        let what = format!("seed {seed}, round {round}");
        let commit = round % 2 == 0;
        produce_wide(&mut client, &mut producer, "value");
        let request = producer.end_request(commit);
        let mut lost = broker.client();
        lost.send(5, &request).expect("sent");
        // The kill falls when the first so many markers are there.
        let reached = random.below(WIDE as usize / 2) as i32;
        wait_until("some markers are written", LIMIT, || {
            let data = client.fetch(TOPIC, reached, 2 * round + 1);
            data.is_ok_and(|data| data.high_watermark > 2 * round + 1)
        });
        broker.kill();
        halfway += usize::from(lost.read_frame().is_err());
        broker.restart();
        client = broker.client();
        let answer = until_free(|| client.call::<EndTxnRequest>(5, &request), |a| a.error_code).expect("answered");
        assert_eq!(answer.error_code, code::NONE, "{what}");
        producer.ended(&answer);
        expected.push((producer.id, commit));
        values.extend(commit.then_some("value"));
        assert_wide(&mut client, &expected, &values, &what);
    }
    println!("seed {seed}: {halfway} of 6 answers were lost");
}

const IDS: usize = 10_000;
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 64;
const SAMPLE: usize = 200;

fn name_of(number: usize) -> String {
    format!("id-{number}")
}

/// InitProducerId for a share of the ids, many in flight at once; id and epoch of each.
fn initialise(mut client: Client, numbers: impl Iterator<Item = usize>) -> Vec<(usize, (i64, i16))> {
    client.set_answer_limit(LIMIT);
    let numbers: Vec<_> = numbers.collect();
    let mut found = Vec::new();
    for chunk in numbers.chunks(IN_FLIGHT) {
        let request = |number: &usize| Producer::new(&name_of(*number), Protocol::Second).init_request();
        let sent: Vec<_> =
            chunk.iter().map(|number| client.send(INIT_VERSION, &request(number)).expect("sent")).collect();
        for (number, id) in chunk.iter().zip(sent) {
            let answer = client.receive::<InitProducerIdRequest>(INIT_VERSION, id).expect("answered");
            assert_eq!(answer.error_code, code::NONE, "InitProducerId of {}", name_of(*number));
            found.push((*number, (answer.producer_id.0, answer.producer_epoch)));
        }
    }
    found
}

#[test]
fn ten_thousand_transactional_ids() {
    let (mut broker, mut client) = begin(1);
    find_coordinator(&mut client, "any");
    let all: Vec<_> = std::thread::scope(|scope| {
        let share = |first| (first..IDS).step_by(CONNECTIONS);
        let shares: Vec<_> = (0..CONNECTIONS)
            .map(|first| {
                let client = broker.client();
                scope.spawn(move || initialise(client, share(first)))
            })
            .collect();
        shares.into_iter().flat_map(|share| share.join().expect("a share ends")).collect()
    });
    let ids: std::collections::HashSet<_> = all.iter().map(|(_, (id, _))| *id).collect();
    assert_eq!(ids.len(), IDS, "each has a producer id of its own");
    assert!(all.iter().all(|(_, (_, epoch))| *epoch == 0), "none was there before");
    broker.kill();
    broker.restart();
    println!("ready after {:?}", broker.ready_after());
    let mut client = broker.client();
    client.set_answer_limit(LIMIT);
    let states = list_transactions(&mut client);
    assert_eq!(states.len(), IDS);
    assert!(states.values().all(|state| state == "Empty"));
    let mut random = Random::new(25);
    let known: BTreeMap<_, _> = all.into_iter().collect();
    let sample: std::collections::BTreeSet<_> = (0..SAMPLE).map(|_| random.below(IDS)).collect();
    for (number, (id, epoch)) in initialise(broker.client(), sample.into_iter()) {
        assert_eq!((id, epoch), (known[&number].0, 1), "{}", name_of(number));
    }
    let mut one = Producer::new(&name_of(7), Protocol::Second).started(&mut client);
    one.must_produce(&mut client, TOPIC, 0, "one");
    one.must_end(&mut client, true);
    assert_eq!(committed_values(&mut client, TOPIC, 0), ["one"]);
}
