//! `flush.ms` acts by itself (Kafka needs `log.flush.scheduler.interval.ms` too), and on its own topics only.

use std::process::Command;

use compat_tests::batch::Batch;
use compat_tests::broker::Options;
use compat_tests::calls::code;
use compat_tests::skip::has_program;
use compat_tests::{needs, wait_until};

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

/// The system calls themselves: which files are synced while records are produced.
#[test]
fn flush_ms_syncs_its_own_topics_and_no_other_waits_for_a_disk() {
    let can_trace = has_program("strace", "-V")
        && Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success());
    needs!(can_trace, "strace is not installed or may not trace");
    let trace = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = trace.path().to_str().expect("UTF-8").to_owned();
    let strace = ["strace", "-D", "-f", "-q", "-y", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", &path];
    let broker = Options::new().wrapped_in(&strace).start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("synced", 1, &[("flush.ms", "50")]).expect("answered"), code::NONE);
    assert_eq!(client.create_topic("plain", 1, &[]).expect("answered"), code::NONE);
    let syncs_of = |topic: &str| {
        let place = format!("{topic}-0/00000000000000000000.log");
        let text = std::fs::read_to_string(&path).expect("readable");
        text.lines().filter(|line| line.contains(&place)).count()
    };
    for _ in 0..300 {
        client.must_produce("plain", 0, &Batch::of_values(["value"]));
    }
    client.must_produce("synced", 0, &Batch::of_values(["value"]));
    wait_until("it is synced without another append", LIMIT, || syncs_of("synced") == 1);
    // What comes within the time of one sync shares it.
    for _ in 0..300 {
        client.must_produce("synced", 0, &Batch::of_values(["value"]));
    }
    wait_until("that is synced too", LIMIT, || syncs_of("synced") >= 2);
    assert!(syncs_of("synced") < 100, "{} syncs for 301 produces", syncs_of("synced"));
    assert_eq!(syncs_of("plain"), 0, "{}", std::fs::read_to_string(&path).expect("readable"));
}
