//! Tiered storage over a directory, and over a real S3 server: what clients see when sealed segments lie in a store, and when the store is gone.

#![allow(clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "transactions/producer.rs"]
mod producer;
#[allow(dead_code)]
#[path = "transactions/readers.rs"]
mod readers;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use compat_tests::batch::{Batch, read_batches};
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{EARLIEST, LATEST, Resource, code};
use compat_tests::s3_server::{self, S3Server};
use compat_tests::wire::Client;
use compat_tests::{Random, needs, now_ms, wait_until};
use producer::{Producer, Protocol};
use readers::committed_values;

const LIMIT: Duration = Duration::from_secs(30);
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const TIERED: [(&str, &str); 3] =
    [("remote.storage.enable", "true"), ("internal.segment.bytes", "20000"), ("local.retention.bytes", "1")];

struct Fixture {
    broker: Broker,
    store: tempfile::TempDir,
}

fn options(store: &Path) -> Options {
    Options::new()
        .set("remote.log.storage.system.enable", true)
        .set("ottla.remote.store.url", format!("file://{}", store.display()))
        .set("remote.log.manager.task.interval.ms", 200)
        .set("log.initial.task.delay.ms", 0)
        .set("log.retention.check.interval.ms", 100)
}

impl Fixture {
    fn new() -> Fixture {
        let store = tempfile::tempdir().expect("a temporary directory");
        Fixture { broker: options(store.path()).start(), store }
    }

    /// Every object, by its path in the store.
    fn objects(&self) -> Vec<PathBuf> {
        fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => walk(&path, found),
                    path => found.push(path),
                }
            }
        }
        let mut found = Vec::new();
        walk(self.store.path(), &mut found);
        found
    }

    fn local_segments(&self, topic: &str) -> usize {
        let entries = std::fs::read_dir(self.broker.partition_dir(topic, 0)).expect("listed").flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "log")).count()
    }
}

/// Two hundred records a second apart, over several segments; what is sealed goes to the store and only there.
fn fill(fixture: &Fixture, client: &mut Client, topic: &str, configs: &[(&str, &str)]) -> Vec<String> {
    let configs: Vec<_> = TIERED.iter().chain(configs).copied().collect();
    assert_eq!(client.create_topic(topic, 1, &configs).expect("answered"), code::NONE);
    let start = now_ms() - 1_000_000;
    let values: Vec<String> = (0..200).map(|n| format!("{n}-{}", "v".repeat(1_000))).collect();
    for (n, value) in values.iter().enumerate() {
        client.must_produce(topic, 0, &Batch::of_values([value.clone()]).at(start + n as i64 * 1_000));
    }
    wait_until("what is sealed is in the store alone", LIMIT, || fixture.local_segments(topic) == 1);
    values
}

#[test] // S34
fn readers_do_not_see_where_the_records_are() {
    let fixture = Fixture::new();
    let mut client = fixture.broker.client();
    let values = fill(&fixture, &mut client, "tiered", &[]);
    let local = client.offset_at("tiered", 0, EARLIEST_LOCAL);
    assert_eq!((client.offset_at("tiered", 0, EARLIEST), client.offset_at("tiered", 0, LATEST)), (0, 200));
    assert!(local > 150, "{local}");
    assert_eq!(client.offset_at("tiered", 0, LATEST_TIERED), local - 1);
    assert_eq!(client.read_values("tiered", 0), values);
    let first = client.read_all("tiered", 0)[0].timestamp;
    for offset in [0, 1, 77, local - 1, local, 199] {
        let found = client.list_offset("tiered", 0, first + offset * 1_000).expect("answered");
        assert_eq!((found.0, found.1), (code::NONE, offset), "by time");
        let from = client.read_from("tiered", 0, offset);
        assert_eq!(from[0].offset, offset);
        assert_eq!(from.len() as i64, 200 - offset);
    }
    let suffixes: std::collections::BTreeSet<_> =
        fixture.objects().iter().filter_map(|path| Some(path.extension()?.to_str()?.to_owned())).collect();
    for suffix in ["log", "index", "timeindex", "snapshot"] {
        assert!(suffixes.contains(suffix), "{suffix} is in the store: {suffixes:?}");
    }
}

#[test] // S34
fn everything_is_there_after_a_stop_and_after_a_kill_and_goes_on() {
    let mut fixture = Fixture::new();
    let mut client = fixture.broker.client();
    let mut values = fill(&fixture, &mut client, "tiered", &[]);
    for round in 0..4 {
        if round % 2 == 0 {
            fixture.broker.kill();
        } else {
            fixture.broker.terminate();
        }
        fixture.broker.restart();
        let mut client = fixture.broker.client();
        assert_eq!(client.read_values("tiered", 0), values, "round {round}");
        for n in 0..30 {
            let value = format!("round {round}, {n}, {}", "v".repeat(1_000));
            client.must_produce("tiered", 0, &Batch::of_values([value.clone()]));
            values.push(value);
        }
    }
    wait_until("the new ones went there too", LIMIT, || fixture.local_segments("tiered") == 1);
    assert_eq!(fixture.broker.client().read_values("tiered", 0), values);
}

#[test]
fn without_the_store_what_is_here_is_served_and_nothing_is_lost() {
    let mut fixture = Fixture::new();
    let mut client = fixture.broker.client();
    let values = fill(&fixture, &mut client, "tiered", &[]);
    let local = client.offset_at("tiered", 0, EARLIEST_LOCAL);
    fixture.broker.terminate();
    let away = fixture.store.path().with_extension("away");
    std::fs::rename(fixture.store.path(), &away).expect("moved away");
    // A store that is not configured, then one that has lost everything, then the right one again.
    for options in [Options::new(), options(fixture.store.path())] {
        fixture.broker.restart_with(options.port(0));
        let mut client = fixture.broker.client();
        assert_eq!(client.offset_at("tiered", 0, EARLIEST), 0);
        assert_eq!(client.read_from("tiered", 0, local).len() as i64, 200 - local);
        let fetched = client.fetch_waiting("tiered", 0, 0, 5_000).expect("answered");
        assert_eq!(fetched.error_code, code::KAFKA_STORAGE_ERROR);
        assert_eq!(client.create_topic(&compat_tests::unique("other"), 1, &[]).expect("answered"), code::NONE);
        fixture.broker.terminate();
    }
    let _ = std::fs::remove_dir_all(fixture.store.path());
    std::fs::rename(&away, fixture.store.path()).expect("moved back");
    fixture.broker.restart_with(options(fixture.store.path()).port(0));
    let mut client = fixture.broker.client();
    wait_until("all is read again", LIMIT, || {
        client.fetch_waiting("tiered", 0, 0, 1_000).is_ok_and(|data| data.error_code == code::NONE)
    });
    assert_eq!(client.read_values("tiered", 0), values);
}

#[test]
fn nothing_local_goes_while_the_store_takes_nothing() {
    let store = tempfile::tempdir().expect("a temporary directory");
    let broker = options(store.path()).start();
    // A directory that is a file takes nothing.
    std::fs::remove_dir_all(store.path()).expect("removed");
    std::fs::write(store.path(), "not a directory").expect("written");
    let fixture = Fixture { broker, store };
    let mut client = fixture.broker.client();
    assert_eq!(client.create_topic("tiered", 1, &TIERED).expect("answered"), code::NONE);
    let values: Vec<String> = (0..100).map(|n| format!("{n}-{}", "v".repeat(1_000))).collect();
    for value in &values {
        client.must_produce("tiered", 0, &Batch::of_values([value.clone()]));
    }
    wait_until("a copy has failed", LIMIT, || fixture.broker.log().iter().any(|l| l.contains("remote store fails")));
    assert!(fixture.local_segments("tiered") > 4);
    assert_eq!(client.read_values("tiered", 0), values);
    std::fs::remove_file(fixture.store.path()).expect("removed");
    std::fs::create_dir(fixture.store.path()).expect("made");
    wait_until("then they are copied", LIMIT, || fixture.local_segments("tiered") == 1);
    assert_eq!(client.read_values("tiered", 0), values);
}

#[test]
fn retention_deletion_of_records_and_of_topics_reach_the_store() {
    let fixture = Fixture::new();
    let mut client = fixture.broker.client();
    fill(&fixture, &mut client, "tiered", &[]);
    let all = fixture.objects().len();
    assert_eq!(client.delete_records("tiered", 0, 60).expect("answered"), (code::NONE, 60));
    wait_until("objects below have gone", LIMIT, || fixture.objects().len() < all);
    assert_eq!(client.fetch("tiered", 0, 59).expect("answered").error_code, code::OFFSET_OUT_OF_RANGE);
    assert_eq!(client.read_from("tiered", 0, 60).len(), 140);
    let after_delete = fixture.objects().len();
    let altered = client.alter_config(Resource::Topic, "tiered", "retention.bytes", Some("90000"));
    assert_eq!(altered.expect("answered"), code::NONE);
    wait_until("and those that are too much", LIMIT, || fixture.objects().len() < after_delete);
    wait_until("the log starts later", LIMIT, || client.offset_at("tiered", 0, EARLIEST) > 60);
    let start = client.offset_at("tiered", 0, EARLIEST);
    assert_eq!(client.read_from("tiered", 0, start).len() as i64, 200 - start);
    assert_eq!(client.delete_topic("tiered").expect("answered"), code::NONE);
    wait_until("nothing is left in the store", LIMIT, || fixture.objects().is_empty());
}

/// The log may start in the middle of a segment: all of that is copied before it may go.
#[test]
fn a_segment_in_which_the_log_starts_is_copied_too() {
    let fixture = Fixture::new();
    let mut client = fixture.broker.client();
    assert_eq!(client.create_topic("tiered", 1, &TIERED).expect("answered"), code::NONE);
    let values: Vec<String> = (0..100).map(|n| format!("{n}-{}", "v".repeat(1_000))).collect();
    for (n, value) in values.iter().enumerate() {
        client.must_produce("tiered", 0, &Batch::of_values([value.clone()]));
        if n == 9 {
            assert_eq!(client.delete_records("tiered", 0, 5).expect("answered"), (code::NONE, 5));
        }
    }
    wait_until("what is sealed is in the store alone", LIMIT, || fixture.local_segments("tiered") == 1);
    assert_eq!(client.offset_at("tiered", 0, EARLIEST), 5);
    assert_eq!(client.read_values("tiered", 0), values[5..]);
}

#[test]
fn tiering_ends_with_its_data_or_not_at_all() {
    let fixture = Fixture::new();
    let mut client = fixture.broker.client();
    fill(&fixture, &mut client, "tiered", &[]);
    let local = client.offset_at("tiered", 0, EARLIEST_LOCAL);
    let off = client.alter_config(Resource::Topic, "tiered", "remote.storage.enable", Some("false"));
    assert_eq!(off.expect("answered"), INVALID_CONFIG, "not without its data");
    let compact = client.alter_config(Resource::Topic, "tiered", "cleanup.policy", Some("compact"));
    assert_eq!(compact.expect("answered"), INVALID_CONFIG);
    let too_much = client.alter_config(Resource::Topic, "tiered", "retention.bytes", Some("0"));
    assert_eq!(too_much.expect("answered"), INVALID_CONFIG, "less than local.retention.bytes");
    for (key, value) in [("remote.log.delete.on.disable", "true"), ("remote.storage.enable", "false")] {
        assert_eq!(client.alter_config(Resource::Topic, "tiered", key, Some(value)).expect("answered"), code::NONE);
    }
    wait_until("nothing is left in the store", LIMIT, || fixture.objects().is_empty());
    assert_eq!(client.offset_at("tiered", 0, EARLIEST), local);
    assert_eq!(client.read_from("tiered", 0, local).len() as i64, 200 - local);
    let elsewhere = Broker::start();
    let refused = elsewhere.client().create_topic("tiered", 1, &[("remote.storage.enable", "true")]);
    assert_eq!(refused.expect("answered"), INVALID_CONFIG, "where nothing is tiered");
}

const INVALID_CONFIG: i16 = 40;

#[test] // S34
fn segments_go_to_s3_and_come_back() {
    let program = s3_server::program();
    needs!(program.is_ok(), "no S3 server: {}", program.err().unwrap_or_default());
    let mut server = S3Server::start(&program.expect("checked before"));
    let nowhere = tempfile::tempdir().expect("a temporary directory");
    let options = options(nowhere.path())
        .set("ottla.remote.store.url", format!("s3://{}/some/prefix", s3_server::BUCKET))
        .set("ottla.remote.store.s3.endpoint", &server.endpoint)
        .set("ottla.remote.store.s3.region", "us-east-1")
        .set("ottla.remote.store.s3.path.style", true)
        .environment("AWS_ACCESS_KEY_ID", s3_server::ACCESS_KEY)
        .environment("AWS_SECRET_ACCESS_KEY", s3_server::SECRET_KEY);
    let mut fixture = Fixture { broker: options.start(), store: nowhere };
    let mut client = fixture.broker.client();
    let values = fill(&fixture, &mut client, "tiered", &[]);
    let read = |client: &mut Client| {
        wait_until("the first piece is here", LIMIT, || {
            client.fetch_waiting("tiered", 0, 0, 1_000).is_ok_and(|data| data.records.is_some_and(|r| !r.is_empty()))
        });
        client.read_values("tiered", 0)
    };
    assert_eq!(read(&mut client), values);
    fixture.broker.kill();
    fixture.broker.restart();
    let mut client = fixture.broker.client();
    assert_eq!(read(&mut client), values, "after a kill");
    // The server is gone: what is here goes on.
    server.kill();
    let local = client.offset_at("tiered", 0, EARLIEST_LOCAL);
    assert_eq!(client.must_produce("tiered", 0, &Batch::of_values(["next"])), 200);
    assert_eq!(client.read_from("tiered", 0, local).len() as i64, 201 - local);
}

#[test] // S34, with S33's transactions
fn aborted_transactions_are_skipped_in_the_store_too() {
    let mut fixture = Fixture::new();
    let mut client = fixture.broker.client();
    assert_eq!(client.create_topic("tiered", 1, &TIERED).expect("answered"), code::NONE);
    let mut producer = Producer::new("id", Protocol::Second).started(&mut client);
    let mut committed = Vec::new();
    for n in 0..120 {
        let value = format!("{n}-{}", "v".repeat(500));
        producer.must_produce(&mut client, "tiered", 0, &value);
        producer.must_end(&mut client, n % 3 > 0);
        if n % 3 > 0 {
            committed.push(value);
        }
    }
    wait_until("what is sealed is in the store alone", LIMIT, || fixture.local_segments("tiered") == 1);
    for _ in 0..2 {
        let mut client = fixture.broker.client();
        wait_until("its first piece is here", LIMIT, || {
            client.fetch_waiting("tiered", 0, 0, 1_000).is_ok_and(|data| data.records.is_some_and(|r| !r.is_empty()))
        });
        assert_eq!(committed_values(&mut client, "tiered", 0), committed);
        fixture.broker.kill();
        fixture.broker.restart();
    }
}

/// A kill at any moment of a copy leaves a record that is read once, and in the end no object that nothing refers to.
#[test]
fn kills_while_segments_are_copied_lose_nothing_and_leave_nothing_behind() {
    let mut fixture = Fixture::new();
    let mut client = fixture.broker.client();
    assert_eq!(client.create_topic("tiered", 1, &TIERED).expect("answered"), code::NONE);
    let mut random = Random::new(5);
    let mut values = Vec::new();
    for kill in 0..10 {
        for n in 0..60 {
            let value = format!("{kill}, {n}, {}", "v".repeat(1_000));
            client.must_produce("tiered", 0, &Batch::of_values([value.clone()]));
            values.push(value);
        }
        std::thread::sleep(Duration::from_millis(random.below(30) as u64));
        fixture.broker.kill();
        fixture.broker.restart();
        client = fixture.broker.client();
    }
    wait_until("what is sealed is in the store alone", LIMIT, || fixture.local_segments("tiered") == 1);
    assert_eq!(client.read_values("tiered", 0), values);
    let manifest = fixture.broker.partition_dir("tiered", 0).join("remote-segments.json");
    let named = || -> Vec<String> {
        let text = std::fs::read_to_string(&manifest).expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let entries = manifest["body"]["entries"].as_array().expect("a list").clone();
        let mut names: Vec<_> = entries
            .iter()
            .flat_map(|entry| {
                let base = entry["base_offset"].as_i64().expect("an offset");
                let id = entry["id"].as_str().expect("an id").replace('-', "");
                let suffixes = entry["objects"].as_array().expect("a list").clone();
                suffixes.into_iter().map(move |s| format!("{base:020}-{id}.{}", s.as_str().expect("a suffix")))
            })
            .collect();
        names.sort();
        names
    };
    wait_until("the store has what the manifest names, and no more", LIMIT, || {
        let mut objects: Vec<_> = fixture
            .objects()
            .iter()
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect();
        objects.sort();
        objects == named()
    });
}

/// Bytes of the log that eight readers read from the store at once, in MiB: `OTTLA_TIERED_MIB` makes it larger.
const READ_MIB: usize = 96;

#[test] // S34, S35
fn eight_readers_from_the_start_need_little_memory_and_do_not_hold_up_the_tail() {
    let mib = std::env::var("OTTLA_TIERED_MIB").map_or(READ_MIB, |mib| mib.parse().expect("a number"));
    let store = tempfile::tempdir().expect("a temporary directory");
    // Of the smallest size that is taken: 32 MiB.
    let broker = options(store.path()).set("ottla.remote.cache.bytes", 0).start();
    let fixture = Fixture { broker, store };
    let mut client = fixture.broker.client();
    let configs = [TIERED[0], TIERED[2], ("segment.bytes", "8388608")];
    assert_eq!(client.create_topic("tiered", 1, &configs).expect("answered"), code::NONE);
    let value = "v".repeat(256 << 10);
    for _ in 0..mib * 4 {
        client.must_produce("tiered", 0, &Batch::of_values([value.clone()]));
    }
    wait_until("what is sealed is in the store alone", LIMIT * 10, || fixture.local_segments("tiered") == 1);
    let end = client.offset_at("tiered", 0, EARLIEST_LOCAL);
    let before = fixture.broker.resident_bytes();
    let (done, peak) = (AtomicUsize::new(0), AtomicU64::new(0));
    let slowest = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (mut client, mut next) = (fixture.broker.client(), 0);
                while next < end {
                    let data = client.fetch_waiting("tiered", 0, next, 5_000).expect("answered");
                    assert_eq!(data.error_code, code::NONE);
                    let batches = read_batches(data.records.unwrap_or_default()).expect("whole batches");
                    if let Some(last) = batches.last() {
                        assert!(batches[0].base_offset == next, "nothing is left out");
                        next = last.last_offset + 1;
                    }
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        let mut times = Vec::new();
        while done.load(Ordering::SeqCst) < 8 {
            let begun = Instant::now();
            client.must_produce("tiered", 0, &Batch::of_values(["tail"]));
            times.push(begun.elapsed());
            peak.fetch_max(fixture.broker.resident_bytes(), Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
        }
        times.sort();
        times[times.len() * 99 / 100]
    });
    let grown = peak.load(Ordering::SeqCst).saturating_sub(before);
    println!("{mib} MiB, eight readers: p99 of produce at the tail {slowest:?}, {} KiB more memory", grown >> 10);
    // Four downloads of a piece each, and what is on its way to readers; never the log.
    assert!(grown < 80 << 20, "{grown} bytes more");
    let cached =
        std::fs::read_dir(fixture.broker.data_dir().join("remote-log-index-cache")).expect("a cache").flatten();
    let cached: u64 = cached.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
    assert!(cached > 0 && cached <= 32 << 20, "the cache keeps to its bound: {cached} bytes");
    assert!(slowest < Duration::from_secs(1), "the tail goes on: {slowest:?}");
}
