//! A disk without room: nothing acknowledged is lost, reads go on, and service comes back by itself.

#![allow(clippy::disallowed_methods)]

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{EARLIEST, code};
use compat_tests::groups::{Member, assignment, code as group_code};
use compat_tests::needs;
use compat_tests::wire::Client;

#[path = "transactions/producer.rs"]
#[allow(dead_code)]
mod producer;
#[path = "transactions/readers.rs"]
#[allow(dead_code)]
mod readers;

/// Room for the WAL and a few segments.
const DISK_MIB: u64 = 48;
const VALUE_BYTES: usize = 50_000;

/// A tmpfs of its own, unmounted when it goes.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Result<SmallDisk, String> {
        let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
        let text = |text: &str| CString::new(text).expect("no zero byte");
        let path = text(directory.path().to_str().expect("UTF-8"));
        let options = text(&format!("size={DISK_MIB}m"));
        let kind = text("tmpfs");
        // SAFETY: live strings that end in zero.
        let result = unsafe { libc::mount(kind.as_ptr(), path.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        match result {
            0 => Ok(SmallDisk { directory }),
            _ => Err(format!("a tmpfs cannot be mounted here: {}", std::io::Error::last_os_error())),
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Fills what is left but for `kib`.
    fn hog_all_but(&self, kib: usize) -> PathBuf {
        let path = self.directory.path().join("hog");
        let mut file = File::options().append(true).create(true).open(&path).expect("created");
        let chunk = vec![1; 64 << 10];
        while file.write_all(&chunk).is_ok() {}
        let length = file.metadata().expect("open").len();
        file.set_len(length.saturating_sub((kib << 10) as u64)).expect("cut");
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = CString::new(self.directory.path().to_str().expect("UTF-8")).expect("no zero byte");
        // SAFETY: a live string that ends in zero.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

macro_rules! small_disk {
    () => {{
        let disk = SmallDisk::mount();
        needs!(disk.is_ok(), "{}", disk.err().unwrap_or_default());
        disk.unwrap_or_else(|_| unreachable!())
    }};
}

fn start(disk: &SmallDisk) -> Broker {
    Options::new().data_dir(disk.data_dir()).set("log.segment.delete.delay.ms", 100).start()
}

fn value(topic: &str, n: usize) -> String {
    format!("{topic}:{n}:{}", "v".repeat(VALUE_BYTES))
}

/// Produces until refused, and gives the count of acknowledged records.
fn fill(client: &mut Client, topic: &str) -> usize {
    for n in 0..2 * DISK_MIB as usize * 1024 * 1024 / VALUE_BYTES {
        let answer = client.produce(topic, 0, Batch::of_values([value(topic, n)]).build()).expect("answered");
        match answer.error_code {
            0 => assert_eq!(answer.base_offset, n as i64),
            error => {
                assert_eq!(error, code::KAFKA_STORAGE_ERROR, "{:?}", answer.error_message);
                return n;
            }
        }
    }
    panic!("the disk never filled");
}

#[track_caller]
fn assert_holds(client: &mut Client, topic: &str, count: usize) {
    let values = client.read_values(topic, 0);
    assert!(values.len() >= count, "{} of {count} acknowledged records of {topic}", values.len());
    for (n, found) in values.iter().enumerate().take(count) {
        assert!(*found == value(topic, n), "record {n} of {topic}");
    }
}

fn create(client: &mut Client, topic: &str, durable: bool) {
    let flush = if durable { "1" } else { "9223372036854775807" };
    let configs = [("segment.bytes", "1048576"), ("flush.messages", flush)];
    assert_eq!(client.create_topic(topic, 1, &configs).expect("answered"), 0);
}

#[test]
fn produce_is_refused_and_comes_back_when_there_is_room() {
    for durable in [false, true] {
        let disk = small_disk!();
        let mut broker = start(&disk);
        let mut client = broker.client();
        create(&mut client, "t", durable);
        let hog = disk.hog_all_but(6 << 10);
        let mut count = fill(&mut client, "t");
        assert!(count > 5, "{count} records before the disk was full");
        assert_holds(&mut client, "t", count);
        // Refused again and again, unless a checkpoint has let go of something meanwhile.
        for _ in 0..5 {
            let answer = client.produce("t", 0, Batch::of_values([value("t", count)]).build()).expect("answered");
            match answer.error_code {
                0 => count += 1,
                error => assert_eq!(error, code::KAFKA_STORAGE_ERROR),
            }
        }
        std::fs::remove_file(&hog).expect("removed");
        compat_tests::wait_until("service comes back by itself", Duration::from_secs(10), || {
            let answer = client.produce("t", 0, Batch::of_values([value("t", count)]).build()).expect("answered");
            answer.error_code == 0
        });
        assert_holds(&mut client, "t", count + 1);
        broker.restart();
        assert_holds(&mut broker.client(), "t", count + 1);
    }
}

#[test]
fn deleting_makes_room() {
    for durable in [false, true] {
        deleting_makes_room_on(durable);
    }
}

fn deleting_makes_room_on(durable: bool) {
    let disk = small_disk!();
    let broker = start(&disk);
    let mut client = broker.client();
    create(&mut client, "t", durable);
    create(&mut client, "other", false);
    client.must_produce("other", 0, &Batch::of_values([value("other", 0)]));
    let count = fill(&mut client, "t");
    assert!(count > 100, "{count} records before the disk was full");

    // S36
    let (error, low) = client.delete_records("t", 0, count as i64 - 5).expect("answered");
    assert_eq!((error, low), (0, count as i64 - 5));
    assert_eq!(client.offset_at("t", 0, EARLIEST), count as i64 - 5);
    compat_tests::wait_until("the segments' room is free again", Duration::from_secs(10), || {
        client.produce("t", 0, Batch::of_values([value("t", count)]).build()).expect("answered").error_code == 0
    });
    let records = client.read_all("t", 0);
    assert_eq!(records.first().map(|record| record.offset), Some(count as i64 - 5));

    fill_up(&mut client, "t");
    // S17
    assert_eq!(client.delete_topic("t").expect("answered"), 0);
    compat_tests::wait_until("the topic's room is free again", Duration::from_secs(10), || {
        client.produce("other", 0, Batch::of_values([value("other", 1)]).build()).expect("answered").error_code == 0
    });
    assert_holds(&mut client, "other", 2);
}

fn fill_up(client: &mut Client, topic: &str) {
    for _ in 0..2 * DISK_MIB as usize * 1024 * 1024 / VALUE_BYTES {
        let answer = client.produce(topic, 0, Batch::of_values(["f".repeat(VALUE_BYTES)]).build()).expect("answered");
        if answer.error_code != 0 {
            return;
        }
    }
    panic!("the disk never filled");
}

#[test]
fn crash_and_start_on_a_full_disk_serves_reads() {
    for durable in [false, true] {
        let disk = small_disk!();
        let mut broker = start(&disk);
        let mut client = broker.client();
        create(&mut client, "t", durable);
        let hog = disk.hog_all_but(6 << 10);
        let count = fill(&mut client, "t");
        for left in ["killed", "stopped", "as by a crash of the machine"] {
            match left {
                // A stop on a full disk need not be clean, but it must come.
                "stopped" => assert!(broker.terminate().code().is_some()),
                "killed" => broker.kill(),
                _ => {
                    broker.kill();
                    std::fs::write(disk.data_dir().join(".ottla_running"), "another boot").expect("it has a page");
                }
            }
            disk.hog_all_but(0);
            broker.restart();
            assert_holds(&mut broker.client(), "t", count);
        }
        std::fs::remove_file(&hog).expect("removed");
        let mut client = broker.client();
        compat_tests::wait_until("service comes back by itself", Duration::from_secs(10), || {
            client.produce("t", 0, Batch::of_values(["x"]).build()).expect("answered").error_code == 0
        });
        assert_holds(&mut client, "t", count);
    }
}

#[test]
fn creating_a_topic_is_whole_or_refused() {
    // S3
    let disk = small_disk!();
    let mut broker = start(&disk);
    let mut client = broker.client();
    create(&mut client, "t", false);
    let hog = disk.hog_all_but(0);
    let error = client.create_topic("wide", 5000, &[]).expect("answered");
    let listed = client.topic_names().expect("answered").contains(&"wide".to_owned());
    assert_eq!(listed, error == 0, "answered {error}");
    broker.kill();
    std::fs::remove_file(Path::new(&hog)).expect("removed");
    broker.restart();
    let mut client = broker.client();
    if error != 0 {
        assert_eq!(client.topic_names().expect("answered"), ["t"]);
        assert_eq!(client.create_topic("wide", 5000, &[]).expect("answered"), 0, "a retry works");
    }
    assert_eq!(client.topic("wide").expect("answered").partitions.len(), 5000);
    assert_eq!(client.must_produce("wide", 4999, &Batch::of_values(["x"])), 0);
}

#[test]
fn a_group_stays_as_its_log_has_it_and_goes_on_when_there_is_room() {
    let disk = small_disk!();
    let mut broker = start(&disk);
    let mut client = broker.client();
    create(&mut client, "t", false);
    assert_eq!(client.find_coordinator("g").expect("answered"), 0);
    let mut member = Member::new("g", &["t"]);
    member.join_alone(&mut client, "t", 1);
    let hog = disk.hog_all_but(6 << 10);
    fill(&mut client, "t");
    let mut refused = 1;
    let error = loop {
        match member.commit(&mut client, "t", 0, refused).expect("answered") {
            0 => refused += 1,
            error => break error,
        }
        assert!(refused < 10_000, "the disk never filled");
    };
    assert_eq!(error, group_code::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(client.committed_offset("g", "t", 0), refused - 1, "what was refused is not there");
    let described = client.describe_group("g").expect("answered");
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Stable", 1));
    assert_eq!(member.heartbeat(&mut client).expect("answered"), 0);
    // A new generation cannot be written: nobody is told of one.
    let mut second = Member::new("g", &["t"]);
    let mut other = broker.client();
    second.ask_for_id(&mut other).expect("answered");
    let joining = second.send_join(&mut other).expect("sent");
    compat_tests::wait_until("the member is to join again", Duration::from_secs(10), || {
        member.heartbeat(&mut client).expect("answered") == group_code::REBALANCE_IN_PROGRESS
    });
    let rejoined = member.join(&mut client).expect("answered");
    let joined = second.receive_join(&mut other, joining).expect("answered");
    assert_eq!((rejoined.error_code, joined.error_code), (0, 0));
    let both = [(member.id.clone(), assignment("t", &[0])), (second.id.clone(), assignment("t", &[]))];
    let synced = member.sync(&mut client, &both).expect("answered");
    assert_eq!(synced.error_code, group_code::COORDINATOR_NOT_AVAILABLE);

    std::fs::remove_file(&hog).expect("removed");
    compat_tests::wait_until("commits are accepted again", Duration::from_secs(10), || {
        client.commit("other", "t", 0, 7).expect("answered") == 0
    });
    broker.kill();
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.committed_offset("g", "t", 0), refused - 1);
    assert_eq!(client.committed_offset("other", "t", 0), 7);
    let described = client.describe_group("g").expect("answered");
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Stable", 1), "the generation before");
}

/// What is decided is carried out once there is room, by itself where the decision found room.
#[test]
fn transactions_end_when_there_is_room() {
    use producer::{Producer, Protocol};
    for (durable, protocol) in [(false, Protocol::First), (false, Protocol::Second), (true, Protocol::Second)] {
        let disk = small_disk!();
        let mut broker = start(&disk);
        let mut client = broker.client();
        create(&mut client, "t", durable);
        let mut committed = Producer::new("commits", protocol).started(&mut client);
        let mut open = Producer::new("stays-open", protocol).started(&mut client);
        for producer in [&mut committed, &mut open] {
            producer.must_add(&mut client, "t", &[0]);
            producer.must_produce(&mut client, "t", 0, &value(&producer.name.clone(), 0));
        }
        let hog = disk.hog_all_but(0);
        for _ in 0..5 {
            let answer = committed.end(&mut client, protocol.end_version(), true).expect("answered");
            // Refused, decided, or decided before.
            assert!([0, 15, 51].contains(&answer.error_code), "{answer:?}");
        }
        std::fs::remove_file(&hog).expect("removed");
        committed.must_end(&mut client, true);
        let seen = |client: &mut Client| readers::committed_values(client, "t", 0);
        compat_tests::wait_until("the committed record is there", Duration::from_secs(10), || {
            seen(&mut client) == [value("commits", 0)]
        });
        broker.kill();
        broker.restart();
        let mut client = broker.client();
        assert_eq!(seen(&mut client), [value("commits", 0)]);
        open.must_end(&mut client, false);
        compat_tests::wait_until("the aborted one has ended", Duration::from_secs(10), || {
            readers::markers(&mut client, "t", 0).len() == 2
        });
        assert_eq!(seen(&mut client), [value("commits", 0)]);
    }
}
