//! What our cleaner has written, in Kafka's hands: its tool reads the files, and a Kafka serves a copy.

use bytes::Bytes;
use compat_tests::batch::Record;
use compat_tests::now_ms;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::*;

const TOPIC: &str = "cleaned";
const CONFIGS: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("internal.segment.bytes", "20000"), ("min.cleanable.dirty.ratio", "0.01")];

/// Keyed records in transactions, every third of which aborts.
fn transact(bootstrap: &str) {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("transactional.id", "cleaned");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(LIMIT).expect("initialised");
    for round in 0..30 {
        producer.begin_transaction().expect("begun");
        for n in 0..5 {
            let (key, value) = (format!("transactional-{n}"), format!("{round}-{}", "t".repeat(300)));
            producer.send(BaseRecord::to(TOPIC).partition(0).key(&key).payload(&value)).expect("queued");
        }
        producer.flush(LIMIT).expect("sent");
        if round % 3 == 2 {
            producer.abort_transaction(LIMIT).expect("aborted");
        } else {
            producer.commit_transaction(LIMIT).expect("committed");
        }
    }
}

/// Offset, key and value of every record.
fn records(client: &mut Client) -> Vec<(i64, Option<Bytes>, Option<Bytes>, i64)> {
    let records = client.read_all(TOPIC, 0).into_iter();
    records.map(|record| (record.offset, record.key, record.value, record.timestamp)).collect()
}

#[test] // S9 S26
fn kafka_reads_and_serves_what_was_cleaned() {
    needs_kafka!();
    let tools = kafka_tools::tools();
    needs!(tools.is_ok(), "{}", tools.err().unwrap_or_default());
    let tools = kafka_tools::tools().expect("checked before");

    let dir = tempfile::Builder::new().prefix("interchange-").tempdir().expect("a directory");
    let ours = dir.path().join("ours");
    let mut broker = Options::new().set("log.cleaner.backoff.ms", 50).data_dir(&ours).start();
    let mut client = broker.client();
    assert_eq!(client.create_topic(TOPIC, 1, &CONFIGS).expect("answered"), 0);
    let producer = client.init_producer_id().expect("an id");
    for n in 0..200 {
        let batch =
            Batch::of_values((0..4).map(|i| format!("{n}-{i}-{}", "v".repeat(100)))).keyed(format!("{}", n % 20));
        client.must_produce(
            TOPIC,
            0,
            &batch.with_codec(Codec::ALL[n % 5]).from_producer(producer.0, producer.1, 4 * n as i32),
        );
    }
    let tombstone = Record { key: Some("7".into()), timestamp: now_ms(), ..Record::default() };
    client.must_produce(TOPIC, 0, &Batch { records: vec![tombstone], ..Batch::default() });
    transact(&broker.bootstrap());
    for _ in 0..4 {
        client.must_produce(TOPIC, 0, &Batch::of_values(["f".repeat(9_000)]).keyed("filler"));
    }
    wait_until("it is cleaned", LIMIT, || client.read_all(TOPIC, 0).len() < 80);
    let committed = read_committed(&broker.bootstrap(), TOPIC);
    assert_eq!(broker.terminate().code(), Some(0));
    broker.restart();
    let found = records(&mut broker.client());
    assert_eq!(read_committed(&broker.bootstrap(), TOPIC), committed);
    assert_eq!(broker.terminate().code(), Some(0));

    let partition = ours.join(format!("{TOPIC}-0"));
    let files: Vec<String> = contents(&partition).into_keys().collect();
    for suffix in [".log", ".index", ".timeindex", ".txnindex", ".snapshot"] {
        let list = files.iter().filter(|file| file.ends_with(suffix)).cloned().collect::<Vec<_>>().join(",");
        assert!(!list.is_empty(), "no {suffix} in {files:?}");
        for flags in [&["--deep-iteration"][..], &["--index-sanity-check"], &["--verify-index-only"]] {
            let output = tools.run("kafka-dump-log", &[flags, &["--files", &list]].concat(), "");
            let all = format!("{}{}", output.out, output.err);
            assert_eq!(output.code, 0, "{suffix} {flags:?}: {all}");
            // Gaps are what cleaning leaves: it tells of them in its own logs too.
            for complaint in ["Mismatch", "corrupt", "invalid bytes", "not found", "failed", "rror:"] {
                assert!(!all.contains(complaint), "{suffix} {flags:?}: {all}");
            }
        }
    }

    let theirs = dir.path().join("theirs");
    KafkaServer::format(dir.path(), &theirs);
    let kafka = KafkaServer::start(dir.path(), &theirs);
    assert_eq!(kafka.client().create_topic(TOPIC, 1, &CONFIGS).expect("answered"), 0);
    wait_until("the topic has a leader", LIMIT, || {
        kafka.client().topic(TOPIC).is_ok_and(|topic| topic.error_code == 0)
    });
    kafka.stop();
    let target = theirs.join(format!("{TOPIC}-0"));
    let identity = std::fs::read(target.join("partition.metadata")).expect("read");
    std::fs::remove_dir_all(&target).expect("removed");
    copy(&partition, &target);
    std::fs::write(target.join("partition.metadata"), identity).expect("written");
    let kafka = KafkaServer::start(dir.path(), &theirs);
    assert_eq!(records(&mut kafka.client()), found);
    assert_eq!(read_committed(&kafka.bootstrap(), TOPIC), committed);
    // The producer's last batch has lost its records and not what it says of the producer.
    let next = Batch::of_values(["next"]).keyed("next").from_producer(producer.0, producer.1, 800);
    kafka.client().must_produce(TOPIC, 0, &next);
    assert_eq!(complaints(&kafka.stop()), Vec::<&str>::new());
}
