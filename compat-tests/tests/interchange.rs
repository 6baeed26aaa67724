//! One data directory, served by Apache Kafka and by Ottla in turns: after clean stops, and after kills.

#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::Options;
use compat_tests::calls::Resource;
use compat_tests::codec::Codec;
use compat_tests::kafka_tools;
use compat_tests::kafka_tools::server::KafkaServer;
use compat_tests::wire::Client;
use compat_tests::{needs, wait_until};

#[path = "interchange/cleaned.rs"]
mod cleaned;
#[path = "interchange/copies.rs"]
mod copies;
#[path = "interchange/turns.rs"]
mod turns;

const LIMIT: Duration = Duration::from_secs(60);
const TOPICS: [(&str, i32); 3] = [("plain", 3), ("compacted", 1), ("transactional", 1)];
/// DescribeConfigs: set on the topic itself.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;

/// Ends the test, visibly, where there is no Kafka.
macro_rules! needs_kafka {
    () => {
        let jars = compat_tests::kafka_tools::jars::class_path(&[&compat_tests::kafka_tools::jars::TOOLS]);
        compat_tests::needs!(jars.is_ok(), "{}", jars.err().unwrap_or_default());
    };
}
pub(crate) use needs_kafka;

/// What clients find of our topics and groups.
#[derive(Debug, PartialEq)]
struct Seen {
    ids: BTreeMap<String, String>,
    configs: BTreeMap<String, String>,
    /// By partition.
    values: BTreeMap<String, Vec<String>>,
    committed_values: Vec<String>,
    offsets: BTreeMap<String, i64>,
}

fn look(bootstrap: &str) -> Seen {
    let mut client = Client::connect(bootstrap).expect("connects");
    let mut seen = Seen {
        ids: BTreeMap::new(),
        configs: BTreeMap::new(),
        values: BTreeMap::new(),
        committed_values: read_committed(bootstrap, "transactional"),
        offsets: BTreeMap::new(),
    };
    for topic in client.all_topics().expect("Metadata is answered") {
        let name = topic.name.expect("a name").to_string();
        if name != "ottlas" {
            seen.ids.insert(name, format!("{} of {} partitions", topic.topic_id, topic.partitions.len()));
        }
    }
    for (name, partitions) in TOPICS {
        let configs = client.describe_configs(Resource::Topic, name).expect("DescribeConfigs is answered");
        for config in configs.into_iter().filter(|config| config.config_source == DYNAMIC_TOPIC_CONFIG) {
            let value = config.value.map(|value| value.to_string()).unwrap_or_default();
            seen.configs.insert(format!("{name} {}", config.name), value);
        }
        for partition in 0..partitions {
            seen.values.insert(format!("{name}-{partition}"), client.read_values(name, partition));
            for group in ["first", "second"] {
                let offset = client.committed_offset(group, name, partition);
                seen.offsets.insert(format!("{group} {name}-{partition}"), offset);
            }
        }
    }
    seen
}

fn read_committed(bootstrap: &str, topic: &str) -> Vec<String> {
    use rdkafka::Message;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "reads-committed");
    config.set("enable.auto.commit", "false").set("enable.partition.eof", "true").set("check.crcs", "true");
    let consumer: BaseConsumer = config.set("isolation.level", "read_committed").create().expect("a consumer");
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).expect("a valid offset");
    consumer.assign(&list).expect("assign");
    let mut values = Vec::new();
    loop {
        match consumer.poll(LIMIT).expect("something in time") {
            Ok(message) => {
                values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => return values,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Two transactions of the same producer: one aborted, one committed.
fn transactions(bootstrap: &str, round: &str) {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("transactional.id", "transactor");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(LIMIT).expect("initialised");
    for outcome in ["aborted", "committed"] {
        producer.begin_transaction().expect("begun");
        for n in 0..5 {
            let value = format!("{round} {outcome} {n}");
            let record = BaseRecord::<str, str>::to("transactional").partition(0).payload(&value);
            producer.send(record).expect("queued");
        }
        producer.flush(LIMIT).expect("sent");
        match outcome {
            "aborted" => producer.abort_transaction(LIMIT).expect("aborted"),
            _ => producer.commit_transaction(LIMIT).expect("committed"),
        }
    }
}

/// One round of everything clients do. `producer` goes on where its last round ended.
fn work(bootstrap: &str, round: usize, producer: (i64, i16)) {
    let mut client = Client::connect(bootstrap).expect("connects");
    for (n, codec) in Codec::ALL.into_iter().enumerate() {
        let batch = Batch::of_values((0..20).map(|i| format!("{round} {} {i}", codec.name()))).with_codec(codec);
        client.must_produce("plain", (n % 3) as i32, &batch);
        client.must_produce("compacted", 0, &batch.keyed(format!("{round}-{}", codec.name())));
    }
    let batch = Batch::of_values([format!("{round} idempotent"), String::new()]);
    let batch = batch.from_producer(producer.0, producer.1, 2 * round as i32);
    let first = client.must_produce("plain", 1, &batch);
    assert_eq!(client.must_produce("plain", 1, &batch), first, "a retry is known, whoever had the first");
    transactions(bootstrap, &format!("round {round}"));
    for (group, offset) in [("first", 1), ("second", 2)] {
        wait_until("the coordinator is there", LIMIT, || client.find_coordinator(group).is_ok_and(|error| error == 0));
        assert_eq!(client.commit(group, "plain", 0, 10 * round as i64 + offset).expect("answered"), 0);
    }
}

/// Topics with configurations of their own.
fn create_topics(bootstrap: &str) {
    let mut client = Client::connect(bootstrap).expect("connects");
    let plain = [("segment.bytes", "1048576"), ("retention.ms", "-1"), ("index.interval.bytes", "0")];
    let compacted = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.9")];
    for ((name, partitions), configs) in TOPICS.into_iter().zip([&plain[..], &compacted[..], &[]]) {
        assert_eq!(client.create_topic(name, partitions, configs).expect("answered"), 0);
        wait_until("the topic has leaders", LIMIT, || {
            client.topic(name).is_ok_and(|t| t.error_code == 0 && t.partitions.iter().all(|p| p.error_code == 0))
        });
    }
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success());
}

/// Every file below, with what is in it.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path());
    // A running Kafka may delete some meanwhile.
    entries
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap_or_default()))
        .collect()
}

/// What Kafka says that is about files, and no news: it is told that it is no controller yet, and so on.
fn complaints(log: &str) -> Vec<&str> {
    let about_files = ["Log", "log", "index", "snapshot", "checkpoint", "epoch", "recover", "corrupt", "offset"];
    // What it sets aside, it may be writing to; and two requests of its own may want the same internal topic.
    let expected = ["Performing controller activation", "marked stray", "/ottlas-", "'TOPIC_ALREADY_EXISTS'"];
    log.lines()
        .filter(|line| line.contains(" WARN ") || line.contains(" ERROR ") || line.contains(" FATAL "))
        .filter(|line| about_files.iter().any(|word| line.contains(word)))
        .filter(|line| !expected.iter().any(|text| line.contains(text)))
        .collect()
}
