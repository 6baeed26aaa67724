//! Kafka begins, Ottla goes on, Kafka again, Ottla again.

use std::path::PathBuf;

use super::*;

#[derive(Clone, Copy, PartialEq)]
enum End {
    Clean,
    Kill,
}

struct Turns {
    _dir: tempfile::TempDir,
    home: PathBuf,
    data: PathBuf,
    end: End,
}

impl Turns {
    fn new(end: End) -> Turns {
        let dir = tempfile::Builder::new().prefix("interchange-").tempdir().expect("a directory");
        let (home, data) = (dir.path().to_owned(), dir.path().join("data"));
        KafkaServer::format(&home, &data);
        Turns { _dir: dir, home, data, end }
    }

    fn kafka(&self, turn: impl FnOnce(&str)) {
        let server = KafkaServer::start(&self.home, &self.data);
        turn(&server.bootstrap());
        let log = if self.end == End::Clean { server.stop() } else { server.kill() };
        assert_eq!(complaints(&log), Vec::<&str>::new());
    }

    /// Ottla leaves what is Kafka's own as it is.
    fn ottla(&self, turn: impl FnOnce(&str)) {
        let kafkas = || {
            let mut files = contents(&self.data.join("__cluster_metadata-0"));
            for name in ["meta.properties", "bootstrap.checkpoint"] {
                files.insert(name.to_owned(), std::fs::read(self.data.join(name)).expect("read"));
            }
            files
        };
        let before = kafkas();
        let mut broker = Options::new().data_dir(&self.data).start();
        turn(&broker.bootstrap());
        match self.end {
            End::Clean => assert_eq!(broker.terminate().code(), Some(0)),
            End::Kill => broker.kill(),
        }
        assert!(before == kafkas(), "something of Kafka's was changed");
    }
}

fn in_turns(end: End) {
    let turns = Turns::new(end);
    let (mut producer, mut seen) = ((0, 0), None);
    turns.kafka(|bootstrap| {
        create_topics(bootstrap);
        producer = Client::connect(bootstrap).and_then(|mut client| client.init_producer_id()).expect("an id");
        work(bootstrap, 0, producer);
        seen = Some(look(bootstrap));
        // The next reader has both a snapshot and what the log has behind it.
        let is_snapshot = |name: &String| name.ends_with(".checkpoint");
        let metadata = turns.data.join("__cluster_metadata-0");
        wait_until("the metadata has a snapshot", LIMIT, || contents(&metadata).keys().any(is_snapshot));
        let refused = Options::new().data_dir(&turns.data).run_to_end();
        assert!(refused.output.contains("in use, by a Kafka probably"), "{refused:?}");
    });
    let first = seen.expect("looked");
    assert_eq!(first.committed_values.len(), 5, "{:?}", first.committed_values);
    assert_eq!(first.offsets["second plain-0"], 2);

    let mut seen = None;
    turns.ottla(|bootstrap| {
        assert_eq!(look(bootstrap), first);
        let mut client = Client::connect(bootstrap).expect("connects");
        let mine = client.init_producer_id().expect("an id");
        assert!(mine.0 > producer.0 + 1_000_000, "Kafka goes on giving out its own: {mine:?}");
        work(bootstrap, 1, producer);
        assert_eq!(client.delete_records("plain", 2, 7).expect("answered"), (0, 7));
        assert_eq!(client.create_topic("ottlas", 2, &[("retention.ms", "-1")]).expect("answered"), 0);
        client.must_produce("ottlas", 1, &Batch::of_values(["kept"]));
        assert_eq!(client.alter_config(Resource::Topic, "plain", "retention.bytes", Some("99999999")).expect("ok"), 0);
        seen = Some(look(bootstrap));
    });
    let mut second = seen.expect("looked");
    assert_eq!(second.configs.remove("plain retention.bytes").as_deref(), Some("99999999"));

    let mut seen = None;
    turns.kafka(|bootstrap| {
        let mut found = look(bootstrap);
        if end == End::Kill {
            // Kafka learns of deleted records by a file that is written now and then.
            found.values.insert("plain-2".into(), second.values["plain-2"].clone());
        }
        assert_eq!(found, second);
        work(bootstrap, 2, producer);
        let mut client = Client::connect(bootstrap).expect("connects");
        assert_eq!(client.create_topic("kafkas", 1, &[("retention.ms", "5000000")]).expect("answered"), 0);
        assert_eq!(client.delete_topic("compacted").expect("answered"), 0);
        assert_eq!(client.alter_config(Resource::Topic, "plain", "retention.ms", Some("-2")).expect("ok"), 40);
        assert_eq!(client.alter_config(Resource::Topic, "plain", "retention.ms", Some("99999999")).expect("ok"), 0);
        wait_until("the topic is there", LIMIT, || client.topic("kafkas").is_ok_and(|t| t.error_code == 0));
        client.must_produce("kafkas", 0, &Batch::of_values(["new"]));
        seen = Some(["plain-0", "plain-1"].map(|name| {
            let (topic, partition) = name.split_once('-').expect("has one");
            client.read_values(topic, partition.parse().expect("a number"))
        }));
    });
    let plain = seen.expect("looked");

    turns.ottla(|bootstrap| {
        let mut client = Client::connect(bootstrap).expect("connects");
        let mut names = client.topic_names().expect("answered");
        names.retain(|name| !name.starts_with("__"));
        names.sort();
        assert_eq!(names, ["kafkas", "ottlas", "plain", "transactional"]);
        assert_eq!([0, 1].map(|partition| client.read_values("plain", partition)), plain);
        assert_eq!(client.read_values("kafkas", 0), ["new"]);
        assert_eq!(client.read_values("ottlas", 1), ["kept"], "what Kafka set aside was taken back");
        assert_eq!(read_committed(bootstrap, "transactional").len(), 15);
        assert_eq!(client.offset_at("plain", 2, -2), 7);
        let mut config = |topic: &str, key: &str| client.config(Resource::Topic, topic, key).expect("a value");
        assert_eq!(config("plain", "retention.ms"), "99999999");
        assert_eq!(config("plain", "retention.bytes"), "99999999");
        assert_eq!(config("kafkas", "retention.ms"), "5000000");
        assert_eq!(client.committed_offset("first", "plain", 0), 21);
    });
}

#[test]
fn after_clean_stops() {
    needs_kafka!();
    in_turns(End::Clean);
}

#[test]
fn after_kills() {
    needs_kafka!();
    in_turns(End::Kill);
}
