//! When a segment ends by time, and when the age of records makes the cleaner come or stay away.

use std::path::Path;

use compat_tests::batch::Batch;
use compat_tests::broker::Broker;
use compat_tests::calls::code;
use compat_tests::wire::Client;
use compat_tests::{now_ms, wait_until};

use super::{LIMIT, busy_options};

const HOUR_MS: i64 = 3_600_000;

fn put(client: &mut Client, topic: &str, key: &str, at: i64) {
    client.must_produce(topic, 0, &Batch::of_values(["value"]).keyed(key.to_owned()).at(at));
}

/// The base offsets of the segments.
fn segments(dir: &Path) -> Vec<i64> {
    let entries = std::fs::read_dir(dir).expect("the partition has a directory").flatten();
    let logs = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "log"));
    let mut bases: Vec<i64> = logs.filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).collect();
    bases.sort();
    bases
}

#[test] // S35
fn segments_end_by_the_time_of_their_records() {
    let broker = Broker::start();
    let mut client = broker.client();
    let start = now_ms() - HOUR_MS;
    assert_eq!(client.create_topic("rolls", 1, &[("segment.ms", "1000")]).expect("answered"), code::NONE);
    // Earlier ones do not end it, nor does one of exactly a second later.
    for after in [0, 999, 500, 1000, 1001, 2001, 2002, 60_000] {
        put(&mut client, "rolls", "k", start + after);
    }
    assert_eq!(segments(&broker.partition_dir("rolls", 0)), [0, 4, 6, 7]);
}

#[test]
fn jitter_ends_segments_sooner_and_never_later() {
    let broker = Broker::start();
    let mut client = broker.client();
    let start = now_ms() - HOUR_MS;
    let mut ends = std::collections::BTreeSet::new();
    for n in 0..8 {
        let topic = format!("jitter-{n}");
        let configs = [("segment.ms", "100000"), ("segment.jitter.ms", "90000")];
        assert_eq!(client.create_topic(&topic, 1, &configs).expect("answered"), code::NONE);
        for after in (0..=101).map(|seconds| seconds * 1000) {
            put(&mut client, &topic, "k", start + after);
        }
        let first_end = segments(&broker.partition_dir(&topic, 0))[1];
        assert!((11..=101).contains(&first_end), "{topic} has its first segment for {first_end} seconds");
        ends.insert(first_end);
    }
    assert!(ends.len() > 1, "segments of several partitions do not end together: {ends:?}");
}

/// Overwrites the same key, an hour ago and now, so that the dirty share is below the topic's ratio.
fn aging(client: &mut Client, topic: &str, configs: &[(&str, &str)]) {
    let compacted = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "1")];
    let configs: Vec<_> = compacted.iter().chain(configs).copied().collect();
    assert_eq!(client.create_topic(topic, 1, &configs).expect("answered"), code::NONE);
    for _ in 0..10 {
        put(client, topic, "k", now_ms() - HOUR_MS);
    }
    put(client, topic, "k", now_ms());
}

#[test]
fn max_compaction_lag_has_a_topic_cleaned_in_time() {
    let broker = busy_options().start();
    let mut client = broker.client();
    aging(&mut client, "waits", &[]);
    aging(&mut client, "in-time", &[("max.compaction.lag.ms", "60000")]);
    // The key ends the segment, though segment.ms is a week.
    assert_eq!(segments(&broker.partition_dir("in-time", 0)), [0, 10]);
    wait_until("it is cleaned", LIMIT, || client.read_all("in-time", 0).len() == 2);
    assert_eq!(client.read_all("waits", 0).len(), 11);
}

#[test]
fn min_compaction_lag_keeps_the_cleaner_from_young_records() {
    let broker = busy_options().start();
    let mut client = broker.client();
    let configs = [
        ("cleanup.policy", "compact"),
        ("internal.segment.bytes", "2000"),
        ("min.compaction.lag.ms", "1800000"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    assert_eq!(client.create_topic("young", 1, &configs).expect("answered"), code::NONE);
    let old = now_ms() - HOUR_MS;
    let value = |n: i32| Batch::of_values([format!("{n}-{}", "v".repeat(500))]).keyed("k");
    let young = (0..60).map(|n| {
        let batch = if n < 30 { value(n).at(old) } else { value(n).at(now_ms()) };
        client.must_produce("young", 0, &batch)
    });
    assert_eq!(young.last(), Some(59));
    let kept = |client: &mut Client| -> Vec<i64> {
        client.read_all("young", 0).into_iter().map(|record| record.offset).collect()
    };
    wait_until("the old ones are cleaned", LIMIT, || kept(&mut client).len() < 36);
    let left = kept(&mut client);
    assert!(left.ends_with(&(30..60).collect::<Vec<_>>()), "every young one is there: {left:?}");
    // Once it may, it comes.
    let altered =
        client.alter_config(compat_tests::calls::Resource::Topic, "young", "min.compaction.lag.ms", Some("0"));
    assert_eq!(altered.expect("answered"), code::NONE);
    wait_until("all but the last segment are cleaned", LIMIT, || kept(&mut client).len() < 8);
}
