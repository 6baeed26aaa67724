//! A directory of ours, without anything of Kafka's: its tool reads every file, and copied partitions serve in a Kafka.

use super::*;

#[test]
fn kafka_reads_every_file_and_serves_copies() {
    needs_kafka!();
    let tools = kafka_tools::tools();
    needs!(tools.is_ok(), "{}", tools.err().unwrap_or_default());
    let tools = kafka_tools::tools().expect("checked before");

    let dir = tempfile::Builder::new().prefix("interchange-").tempdir().expect("a directory");
    let ours = dir.path().join("ours");
    let mut broker = Options::new().data_dir(&ours).start();
    create_topics(&broker.bootstrap());
    let producer = broker.client().init_producer_id().expect("an id");
    for round in 0..3 {
        work(&broker.bootstrap(), round, producer);
        let large = Batch::of_values((0..6).map(|_| "x".repeat(100_000)));
        broker.client().must_produce("plain", 0, &large);
    }
    let seen = look(&broker.bootstrap());
    assert_eq!(broker.terminate().code(), Some(0));
    assert!(!ours.join("__cluster_metadata-0").exists());

    let mut files = Vec::new();
    for entry in std::fs::read_dir(&ours).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert!(path.join("partition.metadata").exists(), "{} is no partition", path.display());
            files.extend(contents(&path).into_keys());
        }
    }
    for suffix in [".log", ".index", ".timeindex", ".txnindex", ".snapshot"] {
        let with_suffix: Vec<&str> = files.iter().map(String::as_str).filter(|f| f.ends_with(suffix)).collect();
        assert!(!with_suffix.is_empty(), "no {suffix} in {files:?}");
        for flags in [&["--deep-iteration"][..], &["--index-sanity-check"], &["--verify-index-only"]] {
            let list = with_suffix.join(",");
            let arguments = [flags, &["--files", &list]].concat();
            let output = tools.run("kafka-dump-log", &arguments, "");
            let all = format!("{}{}", output.out, output.err);
            assert_eq!(output.code, 0, "{suffix} {flags:?}: {all}");
            for complaint in ["Mismatch", "Non-consecutive", "corrupt", "invalid bytes", "not found", "failed", "rror:"]
            {
                assert!(!all.contains(complaint), "{suffix} {flags:?}: {all}");
            }
        }
    }

    let theirs = dir.path().join("theirs");
    KafkaServer::format(dir.path(), &theirs);
    let kafka = KafkaServer::start(dir.path(), &theirs);
    create_topics(&kafka.bootstrap());
    kafka.stop();
    for (name, partitions) in TOPICS {
        for partition in 0..partitions {
            let target = theirs.join(format!("{name}-{partition}"));
            let identity = std::fs::read(target.join("partition.metadata")).expect("read");
            std::fs::remove_dir_all(&target).expect("removed");
            copy(&ours.join(format!("{name}-{partition}")), &target);
            std::fs::write(target.join("partition.metadata"), identity).expect("written");
        }
    }
    let kafka = KafkaServer::start(dir.path(), &theirs);
    let found = look_at_topics(&kafka.bootstrap());
    assert_eq!(found, seen.values);
    assert_eq!(read_committed(&kafka.bootstrap(), "transactional"), seen.committed_values);
    let mut client = kafka.client();
    let batch = Batch::of_values(["3 idempotent", ""]).from_producer(producer.0, producer.1, 6);
    client.must_produce("plain", 1, &batch);
    transactions(&kafka.bootstrap(), "in Kafka");
    assert_eq!(complaints(&kafka.stop()), Vec::<&str>::new());
}

fn look_at_topics(bootstrap: &str) -> BTreeMap<String, Vec<String>> {
    let mut client = Client::connect(bootstrap).expect("connects");
    let partitions = TOPICS.into_iter().flat_map(|(name, count)| (0..count).map(move |partition| (name, partition)));
    partitions.map(|(name, p)| (format!("{name}-{p}"), client.read_values(name, p))).collect()
}
