//! A measurement, run by hand, with a release build in `OTTLA_TEST_BINARY`: what a producer feels of a cleaning, and what
//! memory that takes.

use std::time::{Duration, Instant};

use compat_tests::Random;
use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{Resource, code};
use compat_tests::wire::Client;

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

fn cleanings(broker: &Broker, topic: &str) -> usize {
    broker.log().iter().filter(|line| line.contains("log cleaned") && line.contains(topic)).count()
}

#[test]
#[ignore = "a measurement"]
fn produce_while_400_000_records_are_cleaned() {
    let broker = Options::new().set("log.cleaner.backoff.ms", 10).start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("measured", 1, &[]).expect("answered"), code::NONE);
    let mut random = Random::new(1);
    let (mut idle, mut busy, mut memory) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let topic = format!("cleaned-{round}");
        fill(&mut client, &topic, &mut random);
        let before = broker.resident_bytes();
        let started = Instant::now();
        let mut quiet: Vec<_> = (0..5_000).map(|_| produce_once(&mut client)).collect();
        let altered = client.alter_config(Resource::Topic, &topic, "cleanup.policy", Some("compact"));
        assert_eq!(altered.expect("answered"), code::NONE);
        let cleaning = Instant::now();
        let mut loaded = Vec::new();
        while cleanings(&broker, &topic) == 0 {
            assert!(started.elapsed() < 4 * LIMIT, "it is cleaned in time");
            loaded.extend((0..50).map(|_| produce_once(&mut client)));
            memory = memory.max(broker.resident_bytes().saturating_sub(before));
        }
        let (took, count) = (cleaning.elapsed(), loaded.len());
        println!(
            "round {round}: p99 idle {:?}, while cleaning {:?}, of {count} in {took:?}",
            p99(&mut quiet),
            p99(&mut loaded)
        );
        idle.extend(quiet);
        busy.extend(loaded);
    }
    let (idle, busy) = (p99(&mut idle), p99(&mut busy));
    let ratio = busy.as_secs_f64() / idle.as_secs_f64();
    println!("p99 idle {idle:?}, while cleaning {busy:?}: {ratio:.2} times; memory {} KiB more", memory >> 10);
    assert!(memory < MEMORY_MAX, "{memory} bytes more while it cleans");
    assert!(ratio < RATIO_MAX, "p99 is {ratio:.2} times what it is without");
}
