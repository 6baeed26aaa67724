use std::collections::BTreeMap;

use super::*;
use crate::log::{OpenMode, Origin};
use crate::record::Codec;
use crate::topic::kraft::testing::*;
use crate::topic::tests::{batch, create, remove_wal, start, try_start};
use crate::topic::{MetadataRecord, Touch};

const TOPIC: i8 = 2;

fn put_dir(data_dir: &Path, name: &str, id: TopicId) {
    log::create_dir(&data_dir.join(name), id).expect("created");
}

/// Kafka's directory with the topics `plain` (two partitions) and `gone`.
fn kafkas() -> (tempfile::TempDir, Writer) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Writer::new(dir.path());
    let records = [
        topic("plain", id(1)),
        config(TOPIC, "plain", "retention.ms", Some("1000")),
        config(TOPIC, "plain", "segment.bytes", Some("1048576")),
        partition(id(1), 0, 4, &[1]),
        partition(id(1), 1, 4, &[1]),
        topic("gone", id(2)),
        partition(id(2), 0, 0, &[1]),
        config(4, "", "log.retention.ms", Some("7")),
        producer_ids(3000),
        broker_registered(1, 55),
    ];
    log.append(Codec::None, &records);
    for (name, id) in [("plain-0", id(1)), ("plain-1", id(1)), ("gone-0", id(2))] {
        put_dir(dir.path(), name, id);
    }
    (dir, log)
}

fn overrides(manager: &TopicManager, topic: &str) -> ConfigMap {
    manager.topic(topic).expect("there").settings().overrides.clone()
}

async fn configure(manager: &TopicManager, topic: &str, configs: &[(&str, &str)]) {
    let id = manager.topic(topic).expect("there").id.0.as_u128();
    let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let record = MetadataRecord::TopicConfig { id, configs };
    manager.change(vec![Touch::Topic(topic.into())], move |_| (vec![record], ())).await.expect("changed");
}

async fn delete(manager: &TopicManager, topic: &str) {
    let id = manager.topic(topic).expect("there").id.0.as_u128();
    let record = MetadataRecord::TopicDeleted { name: topic.into(), id };
    manager.change(vec![Touch::Topic(topic.into())], move |_| (vec![record], ())).await.expect("changed");
}

fn map(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
}

#[tokio::test]
async fn a_directory_of_kafkas_is_taken_over_and_its_metadata_left() {
    let (dir, log) = kafkas();
    std::fs::write(dir.path().join("log-start-offset-checkpoint"), "0\n1\nplain 1 8\n").expect("written");
    put_dir(dir.path(), "left-over-0", id(9));
    let before = std::fs::read(log.segment()).expect("read");
    let manager = start(dir.path());
    assert_eq!(manager.topics().iter().map(|t| t.name.to_string()).collect::<Vec<_>>(), ["gone", "plain"]);
    let plain = manager.topic("plain").expect("there");
    assert_eq!((plain.id, plain.partitions().len(), plain.settings().known), (id(1), 2, true));
    assert_eq!(overrides(&manager, "plain"), map(&[("retention.ms", "1000"), ("segment.bytes", "1048576")]));
    let partition = plain.partition(1).expect("there");
    assert_eq!((partition.leader_epoch(), partition.log_start_on_record()), (4, 8));
    let offsets = partition.offsets(manager.env(), &plain.settings().resolved).expect("usable");
    assert_eq!((offsets.leader_epoch, offsets.end), (4, 8), "the log goes on in the epoch that clients know");
    assert_eq!(manager.config().cluster_default().get("log.retention.ms").map(String::as_str), Some("7"));
    assert!(manager.next_producer_id().await.expect("an id") >= FIRST_PRODUCER_ID);
    assert_eq!(manager.kafka_broker_epoch(), Some(55));
    assert!(manager.stop());
    assert_eq!(std::fs::read(log.segment()).expect("read"), before);
    assert!(dir.path().join("left-over-0").is_dir());

    // Our own metadata is damaged beyond use: Kafka's is there still, and what only we knew is found by its directory.
    let manager = start(dir.path());
    create(&manager, "ours", 1).await;
    assert!(manager.stop());
    for name in ["topic_metadata.json", "topic_metadata.previous.json"] {
        std::fs::write(dir.path().join(name), "{").expect("written");
    }
    let manager = start(dir.path());
    assert!(manager.topic("ours").is_some());
    assert_eq!(overrides(&manager, "plain").len(), 2);
    assert!(manager.stop());
}

#[tokio::test]
async fn what_kafka_changes_later_is_taken_over_and_what_we_changed_stays() {
    let (dir, mut log) = kafkas();
    let manager = start(dir.path());
    configure(&manager, "plain", &[("retention.ms", "2000"), ("flush.messages", "1")]).await;
    create(&manager, "ours", 2).await;
    assert!(manager.stop());

    // Nothing new: ours stands.
    let manager = start(dir.path());
    assert_eq!(overrides(&manager, "plain"), map(&[("retention.ms", "2000"), ("flush.messages", "1")]));
    drop(manager);

    // Killed. Kafka runs, sets aside what it does not know, deletes, creates and configures.
    std::fs::rename(dir.path().join("ours-1"), dir.path().join("ours-1.0123456789abcdef-stray")).expect("renamed");
    std::fs::rename(dir.path().join("gone-0"), dir.path().join("gone-0.0123456789abcdef-delete")).expect("renamed");
    let records = [
        remove_topic(id(2)),
        topic("gone", id(3)),
        partition(id(3), 0, 0, &[1]),
        config(TOPIC, "plain", "max.message.bytes", Some("5000")),
        config(TOPIC, "plain", "segment.bytes", None),
        partition(id(1), 2, 0, &[1]),
        partition_change(id(1), 0, Some(1)),
        config(4, "", "log.retention.ms", None),
        config(32, "g", "consumer.session.timeout.ms", Some("50000")),
    ];
    log.append(Codec::Zstd, &records);
    for (name, id) in [("plain-2", id(1)), ("gone-0", id(3))] {
        put_dir(dir.path(), name, id);
    }
    for restart in 0..3 {
        if restart == 2 {
            remove_wal(dir.path());
        }
        let manager = start(dir.path());
        let expected = map(&[("retention.ms", "2000"), ("flush.messages", "1"), ("max.message.bytes", "5000")]);
        assert_eq!(overrides(&manager, "plain"), expected);
        let plain = manager.topic("plain").expect("there");
        assert_eq!((plain.partitions().len(), plain.partition(0).expect("there").leader_epoch()), (3, 5));
        assert_eq!(manager.topic("gone").expect("made anew").id, id(3));
        assert!(manager.topic_by_id(id(2)).is_none());
        let ours = manager.topic("ours").expect("stays");
        assert!(ours.partitions().iter().all(|p| !p.is_offline()), "what Kafka set aside was taken back");
        assert_eq!(manager.config().cluster_default().get("log.retention.ms"), None);
        assert!(manager.group_config("g").is_some());
        assert!(manager.stop());
    }
    assert!(dir.path().join("ours-1").is_dir() && dir.path().join("gone-0").is_dir());
}

#[tokio::test]
async fn a_crash_of_the_machine_leaves_topics_in_kafkas_epoch() {
    let (dir, _log) = kafkas();
    let manager = start(dir.path());
    create(&manager, "ours", 1).await;
    let append = |manager: &TopicManager, name: &str| {
        let topic = manager.topic(name).expect("there");
        let (partition, config) = (topic.partition(0).expect("there"), topic.settings().resolved.clone());
        partition.append(manager.env(), &config, &batch(1), Origin::CLIENT).expect("appended");
    };
    for name in ["plain", "ours"] {
        append(&manager, name);
    }
    assert!(manager.stop());
    let manager = try_start(dir.path(), OpenMode::MachineDied).expect("starts");
    let epoch = |name: &str| manager.topic(name).expect("there").partition(0).expect("there").leader_epoch();
    assert_eq!((epoch("plain"), epoch("ours")), (4, 1), "Kafka would go on in 4");
    assert!(manager.stop());
}

#[tokio::test]
async fn what_we_deleted_stays_deleted_unless_kafka_made_it_anew() {
    let (dir, _log) = kafkas();
    let manager = start(dir.path());
    delete(&manager, "gone").await;
    assert!(manager.stop());
    let manager = start(dir.path());
    assert!(manager.topic("gone").is_none());
    assert!(manager.stop());
    // Kafka knows it still, and makes its directory at its start.
    put_dir(dir.path(), "gone-0", id(2));
    let manager = start(dir.path());
    assert_eq!(manager.topic("gone").expect("it is back").id, id(2));
    assert!(manager.stop());
}

#[tokio::test]
async fn of_two_topics_with_one_name_the_one_with_the_directories_stays() {
    let (dir, mut log) = kafkas();
    let manager = start(dir.path());
    let ours = create(&manager, "both", 1).await;
    assert!(manager.stop());
    log.append(Codec::None, &[topic("both", id(5)), partition(id(5), 0, 0, &[1])]);
    let manager = start(dir.path());
    assert_eq!(manager.topic("both").expect("there").id, ours);
    assert!(manager.stop());
    std::fs::rename(dir.path().join("both-0"), dir.path().join("both-0.0123456789abcdef-stray")).expect("renamed");
    put_dir(dir.path(), "both-0", id(5));
    let manager = start(dir.path());
    assert_eq!(manager.topic("both").expect("there").id, id(5));
    assert!(manager.stop());
    assert!(dir.path().join("both-0.0123456789abcdef-stray").is_dir(), "nothing is lost");
}

#[test]
fn a_missing_directory_is_damage_where_it_had_something() {
    let (dir, _log) = kafkas();
    std::fs::remove_dir_all(dir.path().join("plain-1")).expect("removed");
    std::fs::remove_dir_all(dir.path().join("gone-0")).expect("removed");
    std::fs::write(dir.path().join("replication-offset-checkpoint"), "0\n1\nplain 1 8\n").expect("written");
    let manager = start(dir.path());
    let offline =
        |topic: &str, index| manager.topic(topic).expect("there").partition(index).expect("there").is_offline();
    assert!(offline("plain", 1) && !offline("plain", 0) && !offline("gone", 0));
    assert!(manager.stop());
}

#[test]
fn what_cannot_be_taken_over_is_refused() {
    let (dir, mut log) = kafkas();
    log.append(Codec::None, &[topic("spread", id(6)), partition(id(6), 0, 0, &[2, 3])]);
    let refusal = |dir: &Path| try_start(dir, OpenMode::Clean).err().expect("refused");
    assert!(refusal(dir.path()).contains("gives spread-0 to the nodes [2, 3]"), "{}", refusal(dir.path()));
    let (dir, log) = kafkas();
    let mut bytes = std::fs::read(log.segment()).expect("read");
    bytes[20] ^= 1;
    std::fs::write(log.segment(), bytes).expect("written");
    let why = refusal(dir.path());
    assert!(why.contains("__cluster_metadata-0") && why.contains("damaged"), "{why}");
    assert!(!dir.path().join("topic_metadata.json").exists());
}
