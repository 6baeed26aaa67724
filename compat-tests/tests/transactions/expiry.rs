//! What is forgotten by itself: transactional ids that nobody uses, and offsets of topics that are gone.

use std::time::Duration;

use compat_tests::broker::Options;
use compat_tests::wait_until;

use crate::producer::{Producer, Protocol, code};
use crate::readers::{fetch_offset, list_transactions};

const LIMIT: Duration = Duration::from_secs(20);

/// `transactional.id.expiration.ms` counts from the last use; an id with an open transaction stays.
#[test]
fn unused_ids_are_forgotten() {
    let mut broker = Options::new()
        .set("transactional.id.expiration.ms", 1000)
        .set("transaction.remove.expired.transaction.cleanup.interval.ms", 100)
        .start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]).expect("answered"), code::NONE);
    let unused = Producer::new("unused", Protocol::Second).started(&mut client);
    let mut ended = Producer::new("ended", Protocol::First).started(&mut client);
    ended.must_produce(&mut client, "t", 0, "x");
    ended.must_end(&mut client, true);
    let mut open = Producer::new("open", Protocol::Second).started(&mut client);
    open.must_produce(&mut client, "t", 0, "x");
    wait_until("the others are forgotten", LIMIT, || {
        let mut left: Vec<String> = list_transactions(&mut client).into_keys().collect();
        left.sort();
        left == ["open"]
    });
    // Also by the log.
    broker.kill();
    broker.restart();
    let mut client = broker.client();
    let left: Vec<String> = list_transactions(&mut client).into_keys().collect();
    assert_eq!(left, ["open"]);
    open.must_end(&mut client, true);
    // A new life of the id begins with another producer id.
    let again = Producer::new("unused", Protocol::Second).started(&mut client);
    assert!(again.id != unused.id && again.epoch == 0, "{unused:?}, then {again:?}");
}

/// Offsets that were committed in a transaction go with their topic, also those that pend.
#[test]
fn offsets_go_with_their_topic() {
    for kill in [false, true] {
        let mut broker = Options::new().start();
        let mut client = broker.client();
        for topic in ["gone", "stays"] {
            assert_eq!(client.create_topic(topic, 1, &[]).expect("answered"), code::NONE);
        }
        let mut producer = Producer::new("commits", Protocol::Second).started(&mut client);
        assert_eq!(client.find_coordinator("g").expect("answered"), 0);
        for topic in ["gone", "stays"] {
            producer.must_commit_offset(&mut client, "g", (topic, 0), 5);
        }
        assert_eq!(client.delete_topic("gone").expect("answered"), code::NONE);
        if kill {
            broker.kill();
            broker.restart();
            client = broker.client();
        }
        assert_eq!(client.create_topic("gone", 1, &[]).expect("answered"), code::NONE);
        producer.must_end(&mut client, true);
        assert_eq!(fetch_offset(&mut client, "g", ("gone", 0), true), (code::NONE, -1));
        assert_eq!(fetch_offset(&mut client, "g", ("stays", 0), true), (code::NONE, 5));
    }
}

/// Keys away from their defaults: where the states of transactions lie, and whether a batch is verified.
#[test]
fn keys_have_an_effect() {
    let broker = Options::new()
        .set("transaction.state.log.num.partitions", 3)
        .set("transaction.state.log.segment.bytes", 1_048_576)
        .set("transaction.max.timeout.ms", 5000)
        .set("transaction.partition.verification.enable", false)
        .start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]).expect("answered"), code::NONE);
    let mut producer = Producer::new("unverified", Protocol::First).timing_out_after(Duration::from_secs(5));
    producer = producer.started(&mut client);
    let late = Producer::new("late", Protocol::First).timing_out_after(Duration::from_millis(5001));
    let refused = late.init(&mut client, crate::producer::INIT_VERSION).expect("answered");
    assert_eq!(refused.error_code, 50, "INVALID_TRANSACTION_TIMEOUT");
    // Its partition was never added.
    let produced = producer.produce(&mut client, Protocol::First.produce_version(), "t", 0, "x").expect("answered");
    assert_eq!(produced.error_code, code::NONE);
    let directories = |prefix: &str| {
        let all = std::fs::read_dir(broker.data_dir()).expect("listed").flatten();
        all.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count()
    };
    assert_eq!(directories("__transaction_state-"), 3);
    let rows = client.describe_configs(compat_tests::calls::Resource::Topic, "__transaction_state").expect("answered");
    let segment = rows.iter().find(|config| &*config.name == "segment.bytes").expect("described");
    assert_eq!(segment.value.as_deref(), Some("1048576"));
}
