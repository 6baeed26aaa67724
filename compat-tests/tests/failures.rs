//! "Failures that must not return": each was seen in a broker of this design; the test's name is the row's.
//! Rows shown elsewhere: corrupt metadata, missing partition dir, log shorter than index (`damage.rs`); 8x
//! CreatePartitions(20), 40 parallel creates, names (`concurrency.rs`).

#![allow(clippy::disallowed_methods)]

use std::fs::{self, DirEntry, File};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{EARLIEST, LATEST, Resource, code};
use compat_tests::skip::has_program;
use compat_tests::wire::{Client, encode_frame};
use compat_tests::{needs, now_ms, spawn, wait_until};
use kafka_protocol::messages::MetadataRequest;

#[path = "transactions/producer.rs"]
#[allow(dead_code)]
mod producer;
#[path = "transactions/readers.rs"]
#[allow(dead_code)]
mod readers;

const DURABLE: [(&str, &str); 1] = [("flush.messages", "1")];

#[track_caller]
fn create(client: &mut Client, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    assert_eq!(client.create_topic(topic, partitions, configs).expect("answered"), code::NONE, "create {topic}");
}

fn produce_five(client: &mut Client, topic: &str) -> Vec<String> {
    let values: Vec<_> = (0..5).map(|n| format!("value-{n}")).collect();
    for value in &values {
        client.must_produce(topic, 0, &Batch::of_values([value.clone()]));
    }
    values
}

#[test]
fn produce_5_kill_9_fetch() {
    // S26 S29
    let mut broker = Broker::start();
    for (topic, configs) in [("default", &[][..]), ("durable", &DURABLE[..])] {
        let mut client = broker.client();
        create(&mut client, topic, 1, configs);
        let values = produce_five(&mut client, topic);
        let raw = client.fetch(topic, 0, 0).expect("answered").records;
        broker.restart();
        assert_eq!(broker.client().read_values(topic, 0), values);
        assert_eq!(broker.client().fetch(topic, 0, 0).expect("answered").records, raw, "byte for byte");
    }
}

#[test]
fn same_restart_produce() {
    let mut broker = Broker::start();
    for (topic, configs) in [("default", &[][..]), ("durable", &DURABLE[..])] {
        let mut client = broker.client();
        create(&mut client, topic, 1, configs);
        produce_five(&mut client, topic);
        broker.restart();
        let mut client = broker.client();
        assert_eq!(client.must_produce(topic, 0, &Batch::of_values(["sixth"])), 5);
        assert_eq!(client.read_from(topic, 0, 5).len(), 1);
    }
}

#[test]
fn roll_segments_kill_9() {
    let mut broker = Broker::start();
    for (topic, durable) in [("default", "9223372036854775807"), ("durable", "1")] {
        let mut client = broker.client();
        create(&mut client, topic, 1, &[("segment.bytes", "1048576"), ("flush.messages", durable)]);
        let value = |n: i64| format!("{n}-{}", "x".repeat(200_000));
        for n in 0..40 {
            assert_eq!(client.must_produce(topic, 0, &Batch::of_values([value(n)])), n);
        }
        broker.restart();
        let mut client = broker.client();
        let values = client.read_values(topic, 0);
        assert_eq!(values.len(), 40);
        assert!(values.iter().enumerate().all(|(n, found)| *found == value(n as i64)));
        // S7: across segment boundaries, from the middle.
        assert_eq!(client.read_from(topic, 0, 17).first().map(|record| record.offset), Some(17));
    }
}

#[test]
fn nested_kill_9_during_recovery_x10() {
    // S28
    let mut broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, "default", 1, &[("segment.bytes", "1048576")]);
    create(&mut client, "durable", 1, &DURABLE);
    for n in 0..300 {
        let batch = Batch::of_values([format!("{n}-{}", "y".repeat(20_000))]);
        client.must_produce("default", 0, &batch);
        client.must_produce("durable", 0, &batch);
    }
    let before = ["default", "durable"].map(|topic| client.read_all(topic, 0));
    for n in 0..10 {
        broker.start_and_kill(Duration::from_millis(1 + n * 2));
    }
    broker.restart();
    let mut client = broker.client();
    assert!(before == ["default", "durable"].map(|topic| client.read_all(topic, 0)), "identical after ten kills");
    assert_eq!(client.must_produce("durable", 0, &Batch::of_values(["next"])), 300);
}

#[test]
fn delete_and_recreate() {
    // S1 S17 S32
    let mut broker = Options::new().set("log.segment.delete.delay.ms", 100).start();
    let mut client = broker.client();
    create(&mut client, "t", 1, &DURABLE);
    let old = client.topic("t").expect("answered").topic_id;
    produce_five(&mut client, "t");
    assert_eq!(client.delete_topic("t").expect("answered"), code::NONE);
    let gone = client.produce("t", 0, Batch::of_values(["late"]).build()).expect("answered");
    assert_eq!(gone.error_code, code::UNKNOWN_TOPIC_OR_PARTITION);
    create(&mut client, "t", 1, &DURABLE);
    let new = client.topic("t").expect("answered").topic_id;
    assert_ne!(old, new);
    for after_crash in [false, true] {
        if after_crash {
            broker.restart();
        }
        let mut client = broker.client();
        assert_eq!(client.topic("t").expect("answered").topic_id, new);
        assert_eq!(client.offset_at("t", 0, LATEST), 0, "after a crash: {after_crash}");
        assert_eq!(client.fetch("t", 0, 0).expect("answered").high_watermark, 0);
    }
    let leftovers = || {
        let entries = std::fs::read_dir(broker.data_dir()).expect("a directory");
        entries.filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().ends_with("-delete"))).count()
    };
    wait_until("the deleted directories are purged", Duration::from_secs(20), || leftovers() == 0);
}

#[test]
fn delete_records_and_restart() {
    // S36
    let mut broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, "t", 1, &[]);
    produce_five(&mut client, "t");
    assert_eq!(client.delete_records("t", 0, 3).expect("answered"), (code::NONE, 3));
    for clean in [false, true] {
        if clean {
            assert_eq!(broker.terminate().code(), Some(0));
        }
        broker.restart();
        let mut client = broker.client();
        assert_eq!(client.offset_at("t", 0, EARLIEST), 3, "after a clean stop: {clean}");
        assert_eq!(client.fetch("t", 0, 0).expect("answered").error_code, code::OFFSET_OUT_OF_RANGE);
        assert_eq!(client.read_from("t", 0, 3).len(), 2);
    }
    let mut client = broker.client();
    assert_eq!(client.delete_records("t", 0, 6).expect("answered").0, code::OFFSET_OUT_OF_RANGE, "above the end");
    assert_eq!(client.delete_records("t", 0, -1).expect("answered"), (code::NONE, 5), "-1 is the high watermark");
}

#[test]
fn alter_config_and_restart() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, "t", 1, &[]);
    let alter = |client: &mut Client, kind, name: &str, key: &str, value| {
        assert_eq!(client.alter_config(kind, name, key, value).expect("answered"), code::NONE, "{key}");
    };
    alter(&mut client, Resource::Topic, "t", "retention.ms", Some("1234567"));
    alter(&mut client, Resource::Broker, "1", "log.cleaner.threads", Some("2"));
    alter(&mut client, Resource::Broker, "", "log.retention.ms", Some("7654321"));
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.config(Resource::Topic, "t", "retention.ms").as_deref(), Some("1234567"));
    assert_eq!(client.config(Resource::Broker, "1", "log.cleaner.threads").as_deref(), Some("2"));
    assert_eq!(client.config(Resource::Broker, "1", "log.retention.ms").as_deref(), Some("7654321"));
    alter(&mut client, Resource::Topic, "t", "retention.ms", None);
    broker.restart();
    assert_eq!(broker.client().config(Resource::Topic, "t", "retention.ms").as_deref(), Some("7654321"));
}

#[test]
fn idempotent_a_0_then_b_0() {
    let mut broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, "a", 2, &[]);
    create(&mut client, "b", 1, &[]);
    let (id, epoch) = client.init_producer_id().expect("answered");
    let batch = |value: &'static str, sequence| Batch::of_values([value]).from_producer(id, epoch, sequence);
    client.must_produce("a", 0, &batch("to a-0", 0));
    client.must_produce("a", 1, &batch("to a-1", 0));
    client.must_produce("b", 0, &batch("to b-0", 0));
    assert_eq!(client.read_values("b", 0), ["to b-0"]);
    assert_eq!(client.read_values("a", 1), ["to a-1"]);
    // The producer's state survives kill -9: a duplicate is answered with its offset and not stored, a gap is refused.
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.must_produce("b", 0, &batch("to b-0", 0)), 0);
    let gap = client.produce("b", 0, batch("gap", 7).build()).expect("answered");
    assert_eq!(gap.error_code, code::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(client.must_produce("b", 0, &batch("second", 1)), 1);
    assert_eq!(client.read_values("b", 0), ["to b-0", "second"]);
    // A recreated topic is another topic, to a producer too.
    client.delete_topic("b").expect("answered");
    create(&mut client, "b", 1, &[]);
    client.must_produce("b", 0, &batch("new b", 0));
    assert_eq!(client.read_values("b", 0), ["new b"]);
}

/// Ids are handed out in blocks: what a crash leaves of one is lost, never given again.
#[test]
fn a_producer_id_is_given_once_across_kills() {
    let mut broker = Broker::start();
    let mut ids = std::collections::BTreeSet::new();
    for life in 1..=6 {
        // Some lives give none.
        for _ in 0..(life % 3) * 7 {
            let (id, epoch) = broker.client().init_producer_id().expect("answered");
            assert_eq!(epoch, 0);
            assert!(ids.insert(id), "{id} was given before life {life}: {ids:?}");
        }
        broker.restart();
    }
    assert_eq!(ids.len(), 42);
}

#[test]
fn list_offsets_by_time_300k_records() {
    // S10 S35
    let broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, "t", 1, &[]);
    let start = now_ms() - 1_000_000;
    for batch in 0..300i64 {
        let mut built = Batch::of_values((0..1000).map(|n| format!("{n:0100}")));
        for (n, record) in built.records.iter_mut().enumerate() {
            record.timestamp = start + batch * 1000 + n as i64;
        }
        client.must_produce("t", 0, &built);
    }
    let mut times: Vec<_> = (0..200i64)
        .map(|n| {
            let target = (n * 7919 * 31) % 300_000;
            let asked = Instant::now();
            assert_eq!(client.offset_at("t", 0, start + target), target);
            asked.elapsed()
        })
        .collect();
    times.sort();
    // Other tests run beside this one: the best quarter tells what a look-up costs.
    assert!(times[50] < Duration::from_millis(1), "a look-up by time takes {:?}", times[50]);
}

#[test]
fn one_connection_acks_all_latency() {
    let broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, "t", 1, &DURABLE);
    let file = File::create(broker.data_dir().join("probe")).expect("the data directory is writable");
    let mut device = Vec::new();
    let mut produce = Vec::new();
    let batch = Batch::of_values(["x".repeat(1024)]);
    for n in 0..100 {
        let start = Instant::now();
        file.write_all_at(&[n as u8; 1200], n * 1200).expect("written");
        file.sync_data().expect("synced");
        device.push(start.elapsed());
        let start = Instant::now();
        client.must_produce("t", 0, &batch);
        produce.push(start.elapsed());
    }
    device.sort();
    produce.sort();
    // The failure was a timer of 50 ms; the exact cost is the benchmarks' business.
    let limit = device[50] + Duration::from_millis(5);
    assert!(produce[25] < limit, "a durable produce takes {:?}, a bare sync {:?}", produce[25], device[50]);
}

#[test]
fn restart_after_kill_9_with_a_million_records() {
    // S22
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let mut broker = Options::new().port(port).start();
    let mut client = broker.client();
    create(&mut client, "t", 1, &[]);
    create(&mut client, "durable", 1, &DURABLE);
    let batch = Batch::of_values((0..1000).map(|n| format!("{n:0100}"))).build();
    for _ in 0..1000 {
        assert_eq!(client.produce("t", 0, batch.clone()).expect("answered").error_code, 0);
    }
    for _ in 0..80 {
        client.must_produce("durable", 0, &Batch::of_values((0..100).map(|n| format!("{n:0100}"))));
    }
    broker.kill();
    // Whoever gets through during the recovery sees everything or nothing.
    let early = std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Ok(mut client) = Client::connect(&format!("127.0.0.1:{port}")) {
                return client.list_offset("t", 0, LATEST).expect("answered");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("nobody listens on {port}");
    });
    broker.restart();
    let mut restarts = vec![broker.ready_after()];
    let (error, offset, _) = early.join().expect("the early client");
    assert_eq!((error, offset), (0, 1_000_000));
    let mut client = broker.client();
    assert_eq!(client.offset_at("durable", 0, LATEST), 8000);
    assert_eq!(client.read_from("t", 0, 999_500).len(), 500);
    // The median: on a busy machine a process may wait long for its first turn.
    for _ in 0..4 {
        broker.restart();
        restarts.push(broker.ready_after());
    }
    restarts.sort();
    assert!(restarts[2] < Duration::from_secs(1), "ready after {restarts:?}");
    assert_eq!(broker.client().offset_at("t", 0, LATEST), 1_000_000);
}

/// Whether strace may trace here; some containers forbid it.
fn can_trace() -> bool {
    has_program("strace", "-V")
        && Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|s| s.success())
}

#[test]
fn fsyncs_per_200_single_produces() {
    needs!(can_trace(), "strace is not installed or may not trace");
    let trace = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = trace.path().to_str().expect("UTF-8").to_owned();
    let strace = ["strace", "-D", "-f", "-q", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o", &path];
    let broker = Options::new().wrapped_in(&strace).start();
    let syncs = || std::fs::read_to_string(&path).expect("readable").lines().filter(|l| l.contains("sync")).count();
    let mut client = broker.client();
    create(&mut client, "t", 1, &DURABLE);
    let before = syncs();
    for n in 0..200 {
        client.must_produce("t", 0, &Batch::of_values([format!("{n}")]));
    }
    let sequential = syncs() - before;
    // A checkpoint may fall into the count.
    assert!((200..=210).contains(&sequential), "{sequential} syncs for 200 produces, one after the other");
    let before = syncs();
    for _ in 0..20 {
        let ids: Vec<_> = (0..16)
            .map(|n| client.send_produce("t", 0, Batch::of_values([format!("{n}")]).build()).expect("sent"))
            .collect();
        for id in ids {
            assert_eq!(client.receive_produce(id).expect("answered").error_code, 0);
        }
    }
    let grouped = syncs() - before;
    assert!(grouped <= 200, "{grouped} syncs for 320 produces, 16 at a time: groups commit together");
}

/// Begin, produce and commit: the batch with the partition that it adds, the decision, the marker with the end.
#[test]
fn fsyncs_per_transaction() {
    use producer::{Producer, Protocol};
    needs!(can_trace(), "strace is not installed or may not trace");
    for (key, value, configs) in [("log.flush.interval.messages", "1", &[][..]), ("num.partitions", "1", &DURABLE)] {
        let (broker, trace) = traced(Options::new().set(key, value), "fsync,fdatasync");
        let mut client = broker.client();
        create(&mut client, "t", 1, configs);
        for protocol in Protocol::BOTH {
            let mut producer = Producer::new(&format!("{protocol:?}"), protocol).started(&mut client);
            let mut transaction = || {
                producer.must_produce(&mut client, "t", 0, "x");
                producer.must_end(&mut client, true);
            };
            transaction();
            let before = lines_with(&trace, "sync(");
            (0..50).for_each(|_| transaction());
            let count = lines_with(&trace, "sync(") - before;
            // What comes after the last answer may be missing; three at most, where none can go together, and a checkpoint may
            // fall into the count.
            assert!((99..=180).contains(&count), "{count} syncs for 50 transactions, {key}, {protocol:?}");
        }
    }
}

/// The broker's key does what `flush.messages` does, for topics that say nothing else.
#[test]
fn log_flush_interval_messages_syncs_before_the_answer() {
    needs!(can_trace(), "strace is not installed or may not trace");
    let trace = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = trace.path().to_str().expect("UTF-8").to_owned();
    let strace = ["strace", "-D", "-f", "-q", "-e", "trace=fsync,fdatasync", "-o", &path];
    let broker = Options::new().set("log.flush.interval.messages", 1).wrapped_in(&strace).start();
    let syncs = || fs::read_to_string(&path).expect("readable").lines().filter(|l| l.contains("sync")).count();
    let mut client = broker.client();
    create(&mut client, "synced", 1, &[]);
    create(&mut client, "unsynced", 1, &[("flush.messages", "9223372036854775807")]);
    for (topic, least, most) in [("synced", 50, 60), ("unsynced", 0, 10)] {
        let before = syncs();
        for n in 0..50 {
            client.must_produce(topic, 0, &Batch::of_values([format!("{n}")]));
        }
        let count = syncs() - before;
        assert!((least..=most).contains(&count), "{count} syncs for 50 produces to `{topic}`");
    }
}

/// A broker under strace, and the system calls of these names that it has made, each with the path of its file.
fn traced(options: Options, calls: &str) -> (Broker, tempfile::NamedTempFile) {
    let trace = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = trace.path().to_str().expect("UTF-8").to_owned();
    let calls = format!("trace={calls}");
    let broker = options.wrapped_in(&["strace", "-D", "-f", "-q", "-y", "-e", &calls, "-o", &path]).start();
    (broker, trace)
}

fn lines_with(trace: &tempfile::NamedTempFile, what: &str) -> usize {
    fs::read_to_string(trace.path()).expect("readable").lines().filter(|line| line.contains(what)).count()
}

/// Each of these is on the disk when its answer leaves.
#[test]
fn changes_of_metadata_are_synced_before_they_are_answered() {
    needs!(can_trace(), "strace is not installed or may not trace");
    let (broker, trace) = traced(Options::new(), "fsync,fdatasync");
    let mut client = broker.client();
    let synced = |what: &str, change: &mut dyn FnMut() -> i16| {
        let before = lines_with(&trace, "sync(");
        assert_eq!(change(), code::NONE, "{what}");
        assert!(lines_with(&trace, "sync(") > before, "{what} was answered before it was synced");
    };
    synced("CreateTopics", &mut || client.create_topic("t", 2, &[]).expect("answered"));
    client.must_produce("t", 0, &Batch::of_values(["a", "b"]));
    synced("CreatePartitions", &mut || client.create_partitions("t", 3).expect("answered"));
    synced("AlterConfigs", &mut || {
        client.alter_config(Resource::Topic, "t", "retention.ms", Some("1000")).expect("answered")
    });
    synced("DeleteRecords", &mut || client.delete_records("t", 0, 1).expect("answered").0);
    synced("DeleteTopics", &mut || client.delete_topic("t").expect("answered"));
}

#[test]
fn an_ephemeral_broker_never_syncs_and_another_does_at_its_stop() {
    needs!(can_trace(), "strace is not installed or may not trace");
    for ephemeral in [true, false] {
        let options = if ephemeral { Options::new().argument("--ephemeral") } else { Options::new() };
        let (mut broker, trace) = traced(options, "fsync,fdatasync,syncfs,sync_file_range,msync,sync");
        let mut client = broker.client();
        create(&mut client, "durable", 1, &DURABLE);
        create(&mut client, "t", 1, &[]);
        client.must_produce("t", 0, &Batch::of_values(["x"]));
        for n in 0..50 {
            client.must_produce("durable", 0, &Batch::of_values([format!("{n}")]));
        }
        let logs = || lines_with(&trace, "/t-0/") + lines_with(&trace, "syncfs(");
        assert_eq!(logs(), 0, "a plain topic is not synced while the broker runs");
        assert_eq!(broker.terminate().code(), Some(0));
        if ephemeral {
            assert_eq!(lines_with(&trace, "sync"), 0);
        } else {
            assert!(logs() > 0, "the logs are synced at the stop");
        }
    }
}

/// TCP_NODELAY on what is accepted, and one write for the answers that are ready together.
#[test]
fn answers_that_are_ready_together_leave_together() {
    needs!(can_trace(), "strace is not installed or may not trace");
    let (broker, trace) = traced(Options::new(), "setsockopt,sendmsg,sendto,write,writev");
    let mut client = broker.client();
    client.assert_undisturbed();
    assert!(lines_with(&trace, "TCP_NODELAY, [1]") > 0);
    let frame = |id| encode_frame(id, "together", 12, &MetadataRequest::default().with_topics(Some(vec![])));
    let frames: Vec<u8> = (1..=64).flat_map(|id| frame(id).expect("encodes").to_vec()).collect();
    let sent = || ["sendmsg(", "sendto(", "writev("].map(|call| lines_with(&trace, call)).iter().sum::<usize>();
    let before = sent();
    client.send_raw(&frames).expect("sent");
    (0..64).for_each(|_| drop(client.read_frame().expect("answered")));
    let writes = sent() - before;
    assert!((1..=8).contains(&writes), "{writes} writes for 64 answers");
}

/// Lets every sync of the process fail from now on.
fn fail_syncs(broker: &Broker) -> Result<Child, String> {
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-q",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:error=EIO",
    ]);
    strace.arg("-p").arg(broker.process_id().to_string()).stderr(Stdio::null());
    let mut child = spawn::spawn(strace).map_err(|e| e.to_string())?;
    let tasks = format!("/proc/{}/task", broker.process_id());
    let is_traced = |task: DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    };
    for _ in 0..1000 {
        if fs::read_dir(&tasks).map_err(|e| e.to_string())?.flatten().all(is_traced) {
            return Ok(child);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("strace may not attach here: {status}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err("strace does not attach".to_owned())
}

#[test]
fn failed_sync_acknowledges_nothing_more() {
    // S27
    needs!(has_program("strace", "-V"), "strace is not installed");
    let mut broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, "t", 1, &DURABLE);
    for n in 0..20 {
        client.must_produce("t", 0, &Batch::of_values([format!("{n}")]));
    }
    let strace = fail_syncs(&broker);
    needs!(strace.is_ok(), "{}", strace.err().unwrap_or_default());
    for n in 20..30 {
        let answer = client.produce("t", 0, Batch::of_values([format!("{n}")]).build());
        assert!(!answer.is_ok_and(|answer| answer.error_code == 0), "acknowledged, though the sync failed");
    }
    let ended = broker.wait();
    assert_eq!(ended.code(), Some(1), "the process stops: {ended:?}");
    broker.restart_with(Options::new());
    let values = broker.client().read_values("t", 0);
    assert!(values.len() >= 20, "{} of 20 acknowledged records", values.len());
    assert!(values.iter().enumerate().all(|(n, value)| *value == n.to_string()), "{values:?}");
}

#[test]
fn ten_thousand_partitions_log_little() {
    // S39
    let mut broker = Broker::start();
    let mut client = broker.client();
    create(&mut client, "wide", 10_000, &[]);
    for partition in [0, 5000, 9999] {
        client.must_produce("wide", partition, &Batch::of_values(["x"]));
    }
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.topic("wide").expect("answered").partitions.len(), 10_000);
    assert_eq!(client.offset_at("wide", 9999, LATEST), 1);
    let lines = broker.log();
    assert!(lines.len() < 100, "{} lines of log", lines.len());
}
