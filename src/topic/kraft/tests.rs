use std::collections::BTreeMap;

use super::testing::*;
use super::*;
use crate::record::Codec;

fn image(data_dir: &Path) -> KraftImage {
    read(data_dir).expect("readable").expect("there")
}

fn refusal(data_dir: &Path) -> String {
    read(data_dir).expect_err("refused").to_string()
}

fn two_topics() -> Vec<Vec<u8>> {
    vec![
        topic("a", id(1)),
        config(RESOURCE_TOPIC, "a", "retention.ms", Some("1234")),
        config(RESOURCE_TOPIC, "a", "segment.bytes", Some("1048576")),
        partition(id(1), 0, 3, &[1]),
        partition(id(1), 1, 0, &[1]),
        topic("b", id(2)),
        config(RESOURCE_TOPIC, "b", "cleanup.policy", Some("compact")),
        partition(id(2), 0, 0, &[1]),
    ]
}

#[test]
fn what_is_no_kafka_directory_has_no_image() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(read(dir.path()).expect("readable"), None);
}

#[test]
fn records_add_up_to_an_image_in_every_compression() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Writer::new(dir.path());
        log.append(codec, &two_topics());
        log.roll();
        log.append(
            codec,
            &[
                partition_change(id(1), 0, Some(1)),
                partition_change(id(1), 1, None),
                config(RESOURCE_TOPIC, "a", "segment.bytes", None),
                config(RESOURCE_BROKER, "", "log.retention.ms", Some("99")),
                config(RESOURCE_BROKER, "1", "log.cleaner.threads", Some("2")),
                config(RESOURCE_GROUP, "g", "consumer.session.timeout.ms", Some("50000")),
                config(RESOURCE_CLIENT_METRICS, "m", "interval.ms", Some("1000")),
                config(8, "1", "root", Some("DEBUG")),
                producer_ids(2000),
                broker_registered(1, 13),
                broker_registered(1, 77),
                frame(20, 0, &[0]),
                frame(4711, 9, b"of a later release"),
                remove_topic(id(2)),
            ],
        );
        let found = image(dir.path());
        assert_eq!(found.topics.len(), 1);
        let a = &found.topics[&id(1)];
        assert_eq!((a.name.as_str(), a.partition_count()), ("a", 2));
        assert_eq!((a.partitions[&0].leader_epoch, a.partitions[&1].leader_epoch), (4, 0));
        assert_eq!(a.partitions[&0].replicas, [1]);
        let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(found.topic_configs, BTreeMap::from([("a".into(), one("retention.ms", "1234"))]));
        let brokers = [(String::new(), one("log.retention.ms", "99")), ("1".into(), one("log.cleaner.threads", "2"))];
        assert_eq!(found.broker_configs, BTreeMap::from(brokers));
        assert_eq!(found.group_configs["g"], one("consumer.session.timeout.ms", "50000"));
        assert_eq!(found.client_metrics_configs["m"], one("interval.ms", "1000"));
        assert_eq!((found.next_producer_id, found.broker_epochs[&1]), (2000, 77));
    }
}

#[test]
fn a_transaction_counts_when_it_has_ended_and_only_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Writer::new(dir.path());
    log.append(Codec::None, &[begin(), topic("kept", id(1)), partition(id(1), 0, 0, &[1]), end()]);
    log.append(Codec::None, &[begin(), topic("aborted", id(2)), partition(id(2), 0, 0, &[1])]);
    log.append(Codec::None, &[abort(), begin(), remove_topic(id(1))]);
    assert_eq!(image(dir.path()).topics.keys().copied().collect::<Vec<_>>(), [id(1)]);
    log.append(Codec::None, &[begin()]);
    assert!(refusal(dir.path()).contains("begins within another"));
}

#[test]
fn the_log_goes_on_from_the_newest_whole_snapshot() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Writer::new(dir.path());
    log.append(Codec::None, &two_topics());
    log.snapshot(&two_topics());
    log.append(Codec::None, &[config(RESOURCE_TOPIC, "b", "retention.ms", Some("5"))]);
    let mut second = two_topics();
    second.push(config(RESOURCE_TOPIC, "b", "retention.ms", Some("6")));
    let newest = log.snapshot(&second);
    log.append(Codec::None, &[remove_topic(id(1))]);
    let retention = |image: &KraftImage| image.topic_configs["b"]["retention.ms"].clone();
    let found = image(dir.path());
    assert_eq!((found.topics.len(), retention(&found).as_str()), (1, "6"));

    // Half a snapshot is none: the one before it, and more of the log.
    let whole = std::fs::read(&newest).expect("read");
    for length in [0, 30, whole.len() / 2, whole.len() - 1, whole.len() - 70] {
        std::fs::write(&newest, &whole[..length]).expect("written");
        let found = image(dir.path());
        assert_eq!((found.topics.len(), retention(&found).as_str()), (1, "5"), "{length} bytes");
    }
    // Where the log begins behind it, nothing is left to go on from.
    std::fs::remove_file(log.segment()).expect("removed");
    log.roll();
    log.append(Codec::None, &[remove_topic(id(2))]);
    assert!(refusal(dir.path()).contains("no snapshot reaches up to it"), "{}", refusal(dir.path()));
}

#[test]
fn a_torn_end_is_cut_and_damage_before_it_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Writer::new(dir.path());
    log.append(Codec::None, &two_topics());
    let before = std::fs::metadata(log.segment()).expect("there").len() as usize;
    log.append(Codec::None, &[remove_topic(id(1))]);
    let whole = std::fs::read(log.segment()).expect("read");
    for length in before..whole.len() {
        std::fs::write(log.segment(), &whole[..length]).expect("written");
        assert_eq!(image(dir.path()).topics.len(), 2);
    }
    let mut zeros = whole[..before].to_vec();
    zeros.resize(before + 4096, 0);
    std::fs::write(log.segment(), zeros).expect("written");
    assert_eq!(image(dir.path()).topics.len(), 2);

    let mut damaged = whole.clone();
    damaged[before - 5] ^= 1;
    std::fs::write(log.segment(), &damaged).expect("written");
    let why = refusal(dir.path());
    assert!(why.contains("00000000000000000000.log") && why.contains("damaged"), "{why}");
    // The last batch of a segment that is not the last.
    std::fs::write(log.segment(), &whole[..whole.len() - 1]).expect("written");
    log.roll();
    assert!(refusal(dir.path()).contains("damaged"));
}

#[test]
fn what_cannot_be_understood_is_refused_by_its_offset() {
    let cases = [
        (frame(2, 1, &[2, b'a']), "version 1"),
        (vec![2, 2, 0], "frame of version 2"),
        (Vec::new(), "frame version"),
        (frame(2, 0, &[200, 1, b'a']), "ends within its string"),
        (frame(2, 0, &[0]), "null for a string"),
        (topic("../etc", id(1)), "illegal"),
        (topic("", id(1)), "empty string"),
        (partition(id(9), 0, 0, &[1]), "no record before it has created"),
        (remove_topic(id(9)), "no record before it has created"),
        (end(), "has not begun"),
        (frame(3, 0, &[0xff; 5]), "partition -1"),
        (frame(5, 0, &[0xff; 3]), "int32"),
    ];
    for (value, expected) in cases {
        let dir = tempfile::tempdir().expect("a directory");
        Writer::new(dir.path()).append(Codec::None, &[value]);
        let why = refusal(dir.path());
        assert!(why.contains("offset 1: ") && (why.contains(expected) || expected == "illegal"), "{expected}: {why}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Writer::new(dir.path());
    log.append(Codec::None, &[topic("a", id(1)), partition(id(1), 7, 0, &[1])]);
    assert!(refusal(dir.path()).contains("partition 7 of a follows 0"));
}

#[test]
fn any_byte_may_be_wrong() {
    let records = [two_topics(), vec![partition_change(id(1), 0, Some(1)), producer_ids(1), broker_registered(1, 2)]];
    for value in records.concat() {
        for at in 0..value.len() {
            for bit in [1, 0x80, 0xff] {
                let mut wrong = value.clone();
                wrong[at] ^= bit;
                let _ = records::decode(&wrong);
                let _ = records::decode(&wrong[..at]);
            }
        }
    }
}
