//! `retention.ms` and `retention.bytes`, altered while the broker runs, and what they leave alone.

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{EARLIEST, LATEST, Resource, code};
use compat_tests::wire::Client;
use compat_tests::{now_ms, wait_until};

use super::{LIMIT, busy_options, bytes_on_disk};

const HOUR_MS: i64 = 3_600_000;
const SMALL: (&str, &str) = ("internal.segment.bytes", "10000");

/// A topic over several segments, all of whose records are an hour old.
fn old_topic(client: &mut Client, topic: &str, configs: &[(&str, &str)]) -> i64 {
    let configs: Vec<_> = configs.iter().chain(&[SMALL]).copied().collect();
    assert_eq!(client.create_topic(topic, 1, &configs).expect("answered"), code::NONE);
    fill(client, topic)
}

fn fill(client: &mut Client, topic: &str) -> i64 {
    for i in 0..60 {
        let batch = Batch::of_values(vec!["x".repeat(500); 2]).keyed(format!("key-{i}")).at(now_ms() - HOUR_MS);
        client.must_produce(topic, 0, &batch);
    }
    client.offset_at(topic, 0, LATEST)
}

fn await_start(client: &mut Client, topic: &str, wanted: i64) {
    wait_until(&format!("{topic} starts at {wanted}"), LIMIT, || client.offset_at(topic, 0, EARLIEST) == wanted);
}

#[test] // S36
fn retention_altered_live_acts_at_once_and_outlives_a_kill() {
    // The check interval is Kafka's five minutes: the change itself has it done.
    let mut broker = Broker::start();
    let mut client = broker.client();
    let end = old_topic(&mut client, "aged", &[]);
    assert_eq!((client.offset_at("aged", 0, EARLIEST), end), (0, 120));
    assert_eq!(client.alter_config(Resource::Topic, "aged", "retention.ms", Some("60000")).expect("answered"), 0);
    await_start(&mut client, "aged", end);
    assert_eq!(client.fetch("aged", 0, 0).expect("answered").error_code, code::OFFSET_OUT_OF_RANGE);
    assert_eq!(bytes_on_disk(&broker.partition_dir("aged", 0)), 0);
    broker.kill();
    broker.restart();
    let mut client = broker.client();
    assert_eq!((client.offset_at("aged", 0, EARLIEST), client.offset_at("aged", 0, LATEST)), (end, end));
    assert_eq!(client.must_produce("aged", 0, &Batch::of_values(["next"])), end);
}

#[test] // S36
fn retention_by_size_leaves_what_fits() {
    let broker = Broker::start();
    let mut client = broker.client();
    let end = old_topic(&mut client, "large", &[("retention.ms", "-1")]);
    assert_eq!(client.alter_config(Resource::Topic, "large", "retention.bytes", Some("25000")).expect("answered"), 0);
    wait_until("old segments have gone", LIMIT, || client.offset_at("large", 0, EARLIEST) > 0);
    let start = client.offset_at("large", 0, EARLIEST);
    let left = bytes_on_disk(&broker.partition_dir("large", 0));
    assert!((25_000..35_000).contains(&left), "{left} bytes are left: as few whole segments as are enough");
    assert_eq!(client.read_all("large", 0).len() as i64, end - start);
}

#[test]
fn the_brokers_retention_altered_live_acts_on_topics_that_have_none_of_their_own() {
    let broker = Broker::start();
    let mut client = broker.client();
    let end = old_topic(&mut client, "follows", &[]);
    old_topic(&mut client, "own", &[("retention.ms", "-1")]);
    assert_eq!(client.alter_config(Resource::Broker, "", "log.retention.ms", Some("60000")).expect("answered"), 0);
    await_start(&mut client, "follows", end);
    assert_eq!(client.offset_at("own", 0, EARLIEST), 0);
}

#[test]
fn a_log_that_nobody_has_opened_loses_its_old_records_too() {
    let mut broker = Broker::start();
    old_topic(&mut broker.client(), "closed", &[]);
    broker.terminate();
    let dir = broker.partition_dir("closed", 0);
    assert!(bytes_on_disk(&dir) > 50_000);
    broker.restart_with(busy_options().set("log.retention.ms", 60_000));
    wait_until("the files have gone", LIMIT, || bytes_on_disk(&dir) == 0);
}

#[test]
fn the_policy_says_whether_age_counts() {
    let broker = busy_options().start();
    let mut client = broker.client();
    let both = old_topic(&mut client, "both", &[("cleanup.policy", "compact,delete"), ("retention.ms", "1000")]);
    old_topic(&mut client, "compacted", &[("cleanup.policy", "compact"), ("retention.ms", "1000")]);
    old_topic(&mut client, "kept", &[("cleanup.policy", ""), ("retention.ms", "1000")]);
    await_start(&mut client, "both", both);
    for topic in ["compacted", "kept"] {
        assert_eq!(client.offset_at(topic, 0, EARLIEST), 0, "{topic}");
        let keys: std::collections::BTreeSet<_> =
            client.read_all(topic, 0).into_iter().map(|record| record.key).collect();
        assert_eq!(keys.len(), 60, "{topic}: every key is there");
    }
}

#[test] // S24: without its configuration nobody knows what may go
fn a_topic_that_was_found_without_its_metadata_is_left_alone() {
    let mut broker = Options::new().start();
    let mut client = broker.client();
    old_topic(&mut client, "deleted-by-age", &[("retention.ms", "-1")]);
    old_topic(&mut client, "compacted", &[("cleanup.policy", "compact")]);
    broker.terminate();
    let bytes = |broker: &Broker, topic| bytes_on_disk(&broker.partition_dir(topic, 0));
    let before = ["deleted-by-age", "compacted"].map(|topic| bytes(&broker, topic));
    for name in ["topic_metadata.json", "topic_metadata.previous.json"] {
        let _ = std::fs::remove_file(broker.data_dir().join(name));
    }
    for entry in std::fs::read_dir(broker.data_dir()).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "wal") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    broker.restart_with(busy_options().set("log.retention.ms", 1000));
    let mut client = broker.client();
    // Retention and cleaner are at work.
    let end = old_topic(&mut client, "new", &[]);
    await_start(&mut client, "new", end);
    old_topic(&mut client, "new-compacted", &[("cleanup.policy", "compact")]);
    let full = 120;
    wait_until("the new one is cleaned", LIMIT, || client.read_all("new-compacted", 0).len() < full);
    assert_eq!(["deleted-by-age", "compacted"].map(|topic| bytes(&broker, topic)), before);
    assert_eq!(client.read_all("compacted", 0).len(), full);
}
