//! `flush.ms` acts by itself (Kafka needs `log.flush.scheduler.interval.ms` too), and on its own topics only.

use compat_tests::batch::Batch;
use compat_tests::broker::Options;
use compat_tests::{calls::code, wait_until};

use super::LIMIT;

#[test] // S8
fn records_are_synced_by_flush_ms_without_another_append() {
    let broker = Options::new().set("log.flush.offset.checkpoint.interval.ms", 1000).start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("synced", 1, &[("flush.ms", "50")]).expect("answered"), code::NONE);
    assert_eq!(client.create_topic("plain", 1, &[]).expect("answered"), code::NONE);
    for topic in ["plain", "synced"] {
        client.must_produce(topic, 0, &Batch::of_values(vec!["value"; 7]));
    }
    let path = broker.data_dir().join("recovery-point-offset-checkpoint");
    let rows = || std::fs::read_to_string(&path).unwrap_or_default();
    wait_until("the recovery point is at the end", LIMIT, || rows().lines().any(|row| row == "synced 0 7"));
    assert!(!rows().contains("plain"), "{}", rows());
    // A topic that gets the key later is seen to as well.
    let altered = client.alter_config(compat_tests::calls::Resource::Topic, "plain", "flush.ms", Some("20"));
    assert_eq!(altered.expect("answered"), code::NONE);
    client.must_produce("plain", 0, &Batch::of_values(["value"]));
    wait_until("the other one too", LIMIT, || rows().lines().any(|row| row == "plain 0 8"));
}
