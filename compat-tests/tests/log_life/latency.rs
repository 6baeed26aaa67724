//! A measurement, run by hand, with a release build in `OTTLA_TEST_BINARY`: what a producer feels of a cleaning, and what
//! memory that takes. A ratio below 1 is no mistake: processors that the cleaner keeps awake answer sooner than those that a
//! virtual machine has put to sleep.

use std::time::{Duration, Instant};

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{Resource, code};
use compat_tests::wire::Client;
use compat_tests::{Random, wait_until};

use super::LIMIT;

const RECORDS: usize = 400_000;
const BATCH: usize = 200;
const KEYS: usize = 20_000;
const ROUNDS: usize = 5;
/// Of the offset map, and what reading and writing take.
const MEMORY_MAX: u64 = 64 << 20;
const RATIO_MAX: f64 = 1.5;

fn produce_once(client: &mut Client) -> Duration {
    let start = Instant::now();
    client.must_produce("measured", 0, &Batch::of_values(["x".repeat(100)]));
    start.elapsed()
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

fn fill(client: &mut Client, topic: &str, random: &mut Random) {
    let configs = [("segment.bytes", "1048576"), ("min.cleanable.dirty.ratio", "0.01")];
    assert_eq!(client.create_topic(topic, 1, &configs).expect("answered"), code::NONE);
    for _ in 0..RECORDS / BATCH {
        let mut batch = Batch::of_values(vec!["v".repeat(100); BATCH]);
        for record in &mut batch.records {
            record.key = Some(format!("key-{}", random.below(KEYS)).into());
        }
        client.must_produce(topic, 0, &batch);
    }
}

/// Whether all but the last segment or two have been synced, which would be felt.
fn is_synced(broker: &Broker, topic: &str) -> bool {
    let rows = std::fs::read_to_string(broker.data_dir().join("recovery-point-offset-checkpoint")).unwrap_or_default();
    let offset = rows.lines().find_map(|row| row.strip_prefix(&format!("{topic} 0 "))?.parse::<usize>().ok());
    offset.is_some_and(|offset| offset > RECORDS * 9 / 10)
}

fn cleanings(broker: &Broker, topic: &str) -> usize {
    broker.log().iter().filter(|line| line.contains("log cleaned") && line.contains(topic)).count()
}

#[test]
#[ignore = "a measurement"]
fn produce_while_400_000_records_are_cleaned() {
    let options = Options::new().set("log.cleaner.backoff.ms", 10);
    let broker = options.set("log.flush.offset.checkpoint.interval.ms", 1000).start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("measured", 1, &[]).expect("answered"), code::NONE);
    let mut random = Random::new(1);
    let (mut idle_before, mut busy, mut idle_after, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let produce = |client: &mut Client, count: usize| (0..count).map(|_| produce_once(client)).collect::<Vec<_>>();
    for round in 0..ROUNDS {
        let topic = format!("cleaned-{round}");
        fill(&mut client, &topic, &mut random);
        wait_until("sealed segments are on the disk", 4 * LIMIT, || is_synced(&broker, &topic));
        let before = broker.resident_bytes();
        idle_before.extend(produce(&mut client, 5_000));
        let altered = client.alter_config(Resource::Topic, &topic, "cleanup.policy", Some("compact"));
        assert_eq!(altered.expect("answered"), code::NONE);
        let started = Instant::now();
        while cleanings(&broker, &topic) == 0 {
            assert!(started.elapsed() < 4 * LIMIT, "it is cleaned in time");
            busy.extend(produce(&mut client, 50));
            memory = memory.max(broker.resident_bytes().saturating_sub(before));
        }
        println!("round {round}: cleaned in {:?}", started.elapsed());
        idle_after.extend(produce(&mut client, 5_000));
    }
    let count = busy.len();
    let [before, busy, after] = [&mut idle_before, &mut busy, &mut idle_after].map(|times| p99(times));
    let ratio = busy.as_secs_f64() / before.min(after).as_secs_f64();
    println!("p99 before {before:?}, while cleaning {busy:?} ({count} produces), after {after:?}: {ratio:.2} times");
    println!("memory: {} KiB more", memory >> 10);
    assert!(memory < MEMORY_MAX, "{memory} bytes more while it cleans");
    assert!(ratio < RATIO_MAX, "p99 is {ratio:.2} times what it is without");
}
