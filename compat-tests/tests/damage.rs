//! Files lost, cut and overwritten while the broker was down: what can be served is, nothing wrong is.

#![allow(clippy::disallowed_methods)]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use compat_tests::batch::{Batch, read_batches};
use compat_tests::broker::{Broker, binary_path};
use compat_tests::calls::{LATEST, Resource, code};
use compat_tests::wire::Client;

const METADATA: &str = "topic_metadata.json";
const PREVIOUS_METADATA: &str = "topic_metadata.previous.json";
const SEGMENT: [(&str, &str); 2] = [("segment.bytes", "1048576"), ("index.interval.bytes", "1000")];

/// Topics `kept` (3 partitions, its own configuration) and `single`, and one that was deleted.
fn broker_with_topics() -> (Broker, Shape) {
    let broker = Broker::start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("kept", 3, &[("retention.ms", "7654321")]).expect("answered"), 0);
    assert_eq!(client.create_topic("deleted", 2, &[]).expect("answered"), 0);
    assert_eq!(client.create_topic("single", 1, &[]).expect("answered"), 0);
    for partition in 0..3 {
        for n in 0..10 {
            client.must_produce("kept", partition, &Batch::of_values([format!("{partition}:{n}")]));
        }
    }
    client.must_produce("deleted", 0, &Batch::of_values(["gone"]));
    assert_eq!(client.delete_topic("deleted").expect("answered"), 0);
    let shape = shape(&mut client);
    (broker, shape)
}

type Shape = Vec<(String, String, usize, Vec<String>)>;

/// Names, ids, partition counts and first values of all topics.
fn shape(client: &mut Client) -> Shape {
    let mut topics: Vec<_> = client
        .all_topics()
        .expect("Metadata is answered")
        .into_iter()
        .map(|topic| {
            let name = topic.name.expect("a name").to_string();
            let values = (0..topic.partitions.len() as i32).flat_map(|p| client.read_values(&name, p)).collect();
            (name, topic.topic_id.to_string(), topic.partitions.len(), values)
        })
        .collect();
    topics.sort();
    topics
}

/// Ends the broker, in order or by kill -9.
#[track_caller]
fn stop(broker: &mut Broker, clean: bool) {
    match clean {
        true => assert_eq!(broker.terminate().code(), Some(0)),
        false => broker.kill(),
    }
}

/// Starts again after `damage`; the same topics, ids, partitions and records are there, whatever the way of stopping.
fn survives_damage_of_metadata(keeps_configuration: bool, damage: impl Fn(&Path)) {
    for clean in [true, false] {
        let (mut broker, before) = broker_with_topics();
        // A stop writes a generation: two of them know all that is compared.
        for late in ["late-1", "late-2"] {
            stop(&mut broker, true);
            broker.restart();
            assert_eq!(broker.client().create_topic(late, 1, &[]).expect("answered"), 0);
            assert_eq!(broker.client().delete_topic(late).expect("answered"), 0);
        }
        stop(&mut broker, clean);
        damage(broker.data_dir());
        broker.restart();
        let mut client = broker.client();
        assert_eq!(shape(&mut client), before, "after a clean stop: {clean}");
        if keeps_configuration {
            assert_eq!(client.config(Resource::Topic, "kept", "retention.ms").as_deref(), Some("7654321"));
        }
        // The directory is whole again: the next start finds the same.
        broker.restart();
        assert_eq!(shape(&mut broker.client()), before, "at the second start");
    }
}

#[test]
fn corrupt_metadata() {
    // S21 S23 and "corrupt metadata" of the failures: a deleted topic does not return
    survives_damage_of_metadata(true, |directory| {
        fs::write(directory.join(METADATA), "{\"version\": 1, \"topics\": [{\"na").expect("written");
    });
}

#[test]
fn flipped_byte_in_metadata() {
    survives_damage_of_metadata(true, |directory| {
        let path = directory.join(METADATA);
        let mut bytes = fs::read(&path).expect("the metadata file exists");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("written");
    });
}

#[test]
fn half_written_metadata() {
    survives_damage_of_metadata(true, |directory| {
        let path = directory.join(METADATA);
        let bytes = fs::read(&path).expect("the metadata file exists");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    });
}

#[test]
fn lost_metadata() {
    survives_damage_of_metadata(true, |directory| {
        fs::remove_file(directory.join(METADATA)).expect("the metadata file exists");
    });
}

#[test]
fn lost_metadata_in_all_generations() {
    // S24: the directories themselves name topic, id and partition
    survives_damage_of_metadata(false, |directory| {
        fs::remove_file(directory.join(METADATA)).expect("the metadata file exists");
        fs::remove_file(directory.join(PREVIOUS_METADATA)).expect("the generation before it exists");
    });
}

#[test]
fn missing_partition_dir() {
    // S5 S24
    let (mut broker, before) = broker_with_topics();
    for clean in [true, false] {
        stop(&mut broker, clean);
        let directory = broker.partition_dir("kept", 1);
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("removed");
        }
        broker.restart();
        let mut client = broker.client();
        let topic = client.topic("kept").expect("answered");
        assert_eq!(topic.partitions.len(), 3, "nobody is renumbered");
        assert_eq!(Some(&topic.topic_id.to_string()), before.iter().find(|t| t.0 == "kept").map(|t| &t.1));
        for partition in [0, 2] {
            let expected: Vec<_> = (0..10).map(|n| format!("{partition}:{n}")).collect();
            assert_eq!(client.read_values("kept", partition), expected);
        }
        let produced = client.produce("kept", 1, Batch::of_values(["lost?"]).build()).expect("answered");
        assert_eq!(produced.error_code, code::KAFKA_STORAGE_ERROR);
        assert_eq!(client.fetch("kept", 1, 0).expect("answered").error_code, code::KAFKA_STORAGE_ERROR);
        assert!(!directory.exists(), "no empty partition in place of the lost one");
    }
    // Deleting the topic is the way out.
    let mut client = broker.client();
    assert_eq!(client.delete_topic("kept").expect("answered"), 0);
    assert_eq!(client.create_topic("kept", 3, &[]).expect("answered"), 0);
    assert_eq!(client.must_produce("kept", 1, &Batch::of_values(["new"])), 0);
}

#[test]
fn topic_that_cannot_be_opened_is_offline_not_forgotten() {
    // S25
    let (mut broker, _) = broker_with_topics();
    broker.kill();
    let (directory, aside) = (broker.partition_dir("single", 0), broker.data_dir().join("aside"));
    fs::rename(&directory, &aside).expect("renamed");
    fs::write(&directory, "not a directory").expect("written");
    broker.restart();
    let mut client = broker.client();
    let answer = client.produce("single", 0, Batch::of_values(["x"]).build()).expect("answered");
    assert_eq!(answer.error_code, code::KAFKA_STORAGE_ERROR);
    assert_eq!(client.create_topic("another", 1, &[]).expect("answered"), 0);
    broker.kill();
    fs::remove_file(&directory).expect("removed");
    fs::rename(&aside, &directory).expect("renamed");
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.must_produce("single", 0, &Batch::of_values(["back"])), 0);
    assert!(client.topic_names().expect("answered").contains(&"another".to_owned()));
}

/// A topic of 40 batches of 100 kB over several segments.
fn broker_with_segments() -> Broker {
    let broker = Broker::start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &SEGMENT).expect("answered"), 0);
    let start = compat_tests::now_ms() - 100_000;
    for n in 0..40i64 {
        let batch = Batch::of_values([format!("{n}:{}", "z".repeat(100_000))]).at(start + n * 1000);
        client.must_produce("t", 0, &batch);
    }
    assert!(segments(&broker, "log").len() > 2);
    broker
}

fn segments(broker: &Broker, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(broker.partition_dir("t", 0)).expect("a directory");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

fn index_files(broker: &Broker) -> Vec<PathBuf> {
    ["index", "timeindex"].iter().flat_map(|extension| segments(broker, extension)).collect()
}

/// Bytes of the batch at the front.
fn batch_bytes(bytes: &[u8]) -> usize {
    12 + i32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")) as usize
}

/// `ottla verify`: its exit code, and all it says.
fn verify(broker: &Broker) -> (Option<i32>, String) {
    let output = Command::new(binary_path()).arg("verify").arg("--data-dir").arg(broker.data_dir()).output();
    let output = output.expect("`ottla verify` runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

/// Every record by offset, and every look-up by offset and by time.
#[track_caller]
fn assert_all_found(broker: &Broker, count: i64) {
    let mut client = broker.client();
    let records = client.read_all("t", 0);
    assert_eq!(records.len() as i64, count);
    for (n, record) in records.iter().enumerate() {
        assert_eq!(record.offset, n as i64);
        assert!(record.value.as_ref().is_some_and(|value| value.starts_with(format!("{n}:").as_bytes())));
        assert_eq!(client.offset_at("t", 0, record.timestamp), record.offset, "by time");
        let data = client.fetch("t", 0, record.offset).expect("answered");
        let batches = read_batches(data.records.expect("records")).expect("right checksums");
        assert_eq!(batches[0].base_offset, record.offset, "by offset");
    }
    assert_eq!(client.must_produce("t", 0, &Batch::of_values([format!("{count}:")])), count);
}

fn append(path: &Path, bytes: &[u8]) {
    let length = fs::metadata(path).expect("exists").len();
    OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(bytes, length)).expect("appended");
}

#[test]
fn log_shorter_than_index() {
    // The log's last batches are gone, its indexes still name them. Even a mark of a clean stop does not make them right.
    for clean in [false, true] {
        let mut broker = broker_with_segments();
        stop(&mut broker, clean);
        let log = segments(&broker, "log").pop().expect("a segment");
        let length = fs::metadata(&log).expect("exists").len();
        assert!(length > 150_000, "two batches in the last segment");
        OpenOptions::new().write(true).open(&log).and_then(|file| file.set_len(length - 150_000)).expect("cut");
        broker.restart();
        // The last batch is cut off and the one before it torn: all up to there survive.
        assert_eq!(broker.client().offset_at("t", 0, LATEST), 38);
        assert_all_found(&broker, 38);
    }
}

#[test]
fn torn_last_batch() {
    for clean in [false, true] {
        let mut broker = broker_with_segments();
        stop(&mut broker, clean);
        let torn = Batch { base_offset: 40, ..Batch::of_values(["torn ".repeat(5000)]) }.build();
        append(&segments(&broker, "log").pop().expect("a segment"), &torn[..torn.len() / 2]);
        if clean {
            fs::remove_file(broker.data_dir().join(".kafka_cleanshutdown")).expect("the clean mark exists");
        }
        broker.restart();
        assert_all_found(&broker, 40);
        broker.restart();
        assert_all_found(&broker, 41);
    }
}

#[test]
fn garbage_in_an_index() {
    for clean in [false, true] {
        let mut broker = broker_with_segments();
        stop(&mut broker, clean);
        let mut random = compat_tests::Random::new(7);
        for path in index_files(&broker) {
            let length = fs::metadata(&path).expect("exists").len().clamp(240, 100_000) as usize;
            let mut garbage = vec![0; length];
            random.fill(&mut garbage);
            fs::write(&path, garbage).expect("written");
        }
        broker.restart();
        assert_all_found(&broker, 40);
    }
}

#[test]
fn plausible_but_wrong_index() {
    // Entries in order that point into the middle of batches, after a clean stop.
    let mut broker = broker_with_segments();
    stop(&mut broker, true);
    for path in segments(&broker, "index") {
        let entries = (1..9u32).flat_map(|n| [n.to_be_bytes(), (n * 77_777).to_be_bytes()]).flatten();
        fs::write(&path, entries.collect::<Vec<u8>>()).expect("written");
    }
    broker.restart();
    assert_all_found(&broker, 40);
}

#[test]
fn lost_indexes() {
    let mut broker = broker_with_segments();
    stop(&mut broker, true);
    for path in index_files(&broker) {
        fs::remove_file(path).expect("removed");
    }
    broker.restart();
    assert_all_found(&broker, 40);
}

#[test]
fn flipped_byte_in_a_sealed_segment() {
    for clean in [true, false] {
        let mut broker = broker_with_segments();
        stop(&mut broker, clean);
        let log = segments(&broker, "log").swap_remove(1);
        let first: i64 = log.file_stem().and_then(|stem| stem.to_str()).expect("a name").parse().expect("an offset");
        let bytes = fs::read(&log).expect("readable");
        let second_batch = batch_bytes(&bytes) as u64;
        let at = second_batch + 5000;
        let file = OpenOptions::new().write(true).open(&log).expect("writable");
        file.write_all_at(&[bytes[at as usize] ^ 0x20], at).expect("written");

        broker.restart();
        let mut client = broker.client();
        assert_eq!(client.offset_at("t", 0, LATEST), 40, "recovery is undisturbed");
        for offset in (0..40).filter(|offset| *offset != first + 1) {
            let data = client.fetch("t", 0, offset).expect("answered");
            assert_eq!(data.error_code, 0, "offset {offset}");
            let records = data.records.expect("records");
            let batch = read_batches(records.slice(..batch_bytes(&records))).expect("a right checksum").remove(0);
            assert_eq!(batch.base_offset, offset);
        }
        let damaged = client.fetch("t", 0, first + 1).expect("answered");
        let read = damaged.records.map(read_batches);
        assert!(damaged.error_code != 0 || read.is_none_or(|read| read.is_err()), "the client can see the damage");

        broker.kill();
        let (code, text) = verify(&broker);
        assert_eq!(code, Some(1), "{text}");
        let line = text.lines().find(|line| line.contains(log.file_name().and_then(|n| n.to_str()).expect("a name")));
        let line = line.unwrap_or_else(|| panic!("the segment is named: {text}"));
        assert!(line.contains("t-0"), "{line}");
        assert!(line.contains(&format!("position {second_batch}")), "{line}");
        assert!(line.contains(&format!("offset {}", first + 1)), "{line}");
    }
}

#[test]
fn verify_of_a_sound_directory_finds_nothing() {
    let mut broker = broker_with_segments();
    broker.kill();
    let (code, text) = verify(&broker);
    assert_eq!(code, Some(0), "{text}");
}
