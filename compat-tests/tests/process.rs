//! The command itself: how it starts, refuses, listens and stops.

#![allow(clippy::disallowed_methods)]

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use compat_tests::batch::{Batch, read_batches};
use compat_tests::broker::{Broker, Listener, Options};
use compat_tests::calls::{EARLIEST, Resource, code, fetch_request, topic_name};
use compat_tests::groups::{Member, is_not_yet};
use compat_tests::wait_until;
use compat_tests::wire::{Client, raw_frame};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{CreateTopicsRequest, FetchRequest, MetadataRequest};

#[track_caller]
fn assert_refused(options: Options, exit_code: i32, named: &[&str]) {
    let ended = options.run_to_end();
    assert_eq!(ended.code(), Some(exit_code), "{ended:?}");
    for name in named {
        assert!(ended.output.contains(name), "{name:?} is not named: {}", ended.output);
    }
}

fn with_directory() -> (Options, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    (Options::new().data_dir(directory.path()), directory)
}

fn value(broker: &Broker, key: &str) -> Option<String> {
    broker.client().config(Resource::Broker, "1", key)
}

#[test]
fn ready_line_names_the_bound_address() {
    let broker = Broker::start();
    let lines = broker.log().into_iter().filter(|line| line.contains("ready")).count();
    assert_eq!(lines, 1, "one ready line: {:?}", broker.log());
    let listeners = broker.listeners();
    assert_eq!(listeners.len(), 1, "{listeners:?}");
    assert_eq!(listeners[0].name, "PLAINTEXT");
    assert_ne!(listeners[0].port, 0, "the port that was picked");
    broker.client().assert_undisturbed();
    assert!(broker.ready_after() < Duration::from_secs(1), "ready after {:?}", broker.ready_after());
}

#[test]
fn serves_localhost_by_ipv4_and_ipv6() {
    let broker = Broker::start();
    for host in ["127.0.0.1", "localhost"] {
        Client::connect(&format!("{host}:{}", broker.port())).expect(host).assert_undisturbed();
    }
    if TcpListener::bind("[::1]:0").is_ok() {
        Client::connect(&format!("[::1]:{}", broker.port())).expect("IPv6").assert_undisturbed();
    } else {
        compat_tests::skip::skipped("serves_localhost_by_ipv4_and_ipv6 (its IPv6 half)", "this machine has no ::1");
    }
}

#[test]
fn port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let (options, _directory) = with_directory();
    assert_refused(options.port(port), 1, &[&port.to_string()]);
    // The other broker is the usual one to hold it.
    let broker = Broker::start();
    let (options, _directory) = with_directory();
    assert_refused(options.port(broker.port()), 1, &[&broker.port().to_string()]);
    broker.client().assert_undisturbed();
}

#[test]
fn bad_configuration() {
    for (key, value, valid) in [
        ("num.partitions", "many", "int"),
        ("num.partitions", "0", "1"),
        ("log.cleanup.policy", "shred", "compact"),
        ("compression.type", "rar", "zstd"),
        ("log.message.timestamp.type", "Tomorrow", "LogAppendTime"),
        ("auto.create.topics.enable", "perhaps", "true"),
        ("listeners", "INSIDE://127.0.0.1:0", "INSIDE"),
    ] {
        let (options, _directory) = with_directory();
        let ended = options.set(key, value).run_to_end();
        assert_eq!(ended.code(), Some(2), "{key}={value}: {ended:?}");
        for named in [key, value, valid] {
            let said = ended.output.to_lowercase();
            assert!(said.contains(&named.to_lowercase()), "{key}={value}: {named:?} is not named: {}", ended.output);
        }
    }
    let (options, _directory) = with_directory();
    assert_refused(options.argument("--no-such-flag"), 2, &["--no-such-flag"]);
    let (options, _directory) = with_directory();
    assert_refused(
        options.argument("--config").argument("/nowhere/server.properties"),
        2,
        &["/nowhere/server.properties"],
    );
    let (options, _directory) = with_directory();
    assert_refused(options.set("listeners", "SSL://127.0.0.1:0"), 2, &["SSL"]);
}

#[test]
fn unknown_key_is_a_warning() {
    let broker = Options::new().set("no.such.key", "7").set("num.io.threads", 3).start();
    let log = broker.log();
    let warned = |line: &&String| line.contains("WARN") && line.contains("no.such.key");
    assert_eq!(log.iter().filter(warned).count(), 1, "{log:?}");
    broker.client().assert_undisturbed();
    // What has no effect is said too, once.
    assert_eq!(log.iter().filter(|line| line.contains("num.io.threads")).count(), 1, "{log:?}");
}

#[test]
fn second_process_on_the_same_directory() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]).expect("answered");
    let (directory, pid) = (broker.data_dir().display().to_string(), broker.process_id().to_string());
    assert_refused(Options::new().data_dir(broker.data_dir()), 1, &[&directory, &pid]);
    assert_eq!(client.must_produce("t", 0, &Batch::of_values(["undisturbed"])), 0);
}

#[test]
fn sigterm_answers_what_is_parked_and_stops_cleanly() {
    // S8
    let mut broker = Options::new().set("group.initial.rebalance.delay.ms", 600_000).start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]).expect("answered");
    client.must_produce("t", 0, &Batch::of_values(["x"]));
    let mut member = Member::new("g", &["t"]).timeouts(Duration::from_secs(60), Duration::from_secs(600));
    let mut joining = broker.client();
    assert_eq!(joining.find_coordinator("g").expect("answered"), 0);
    member.ask_for_id(&mut joining).expect("answered");
    let join = member.send_join(&mut joining).expect("sent");
    assert!(!broker.data_dir().join(".kafka_cleanshutdown").exists(), "no clean mark while it runs");
    let id = client.send(12, &fetch_request("t", 0, 1, 60_000)).expect("sent");
    // The fetch is parked once another connection is served after it.
    broker.client().assert_undisturbed();
    let mut looking = broker.client();
    wait_until("the join is parked", Duration::from_secs(10), || {
        &*looking.describe_group("g").expect("answered").group_state == "PreparingRebalance"
    });
    let start = Instant::now();
    broker.request_stop();
    let answer = client.receive::<FetchRequest>(12, id).expect("the parked fetch is answered");
    assert_eq!(answer.error_code, 0);
    let joined = member.receive_join(&mut joining, join).expect("the parked join is answered");
    assert!(is_not_yet(joined.error_code), "the member looks for its coordinator anew: {}", joined.error_code);
    assert_eq!(broker.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "stopped after {:?}", start.elapsed());
    assert!(broker.data_dir().join(".kafka_cleanshutdown").exists(), "the clean mark is written");
    broker.restart();
    assert!(!broker.data_dir().join(".kafka_cleanshutdown").exists(), "the clean mark holds for one start");
    assert_eq!(broker.client().read_values("t", 0), ["x"]);
}

/// Has answers of many megabytes waiting for a client that reads none of them.
fn ask_without_reading(broker: &Broker) -> Client {
    let mut client = broker.client();
    client.create_topic("much", 1, &[]).expect("answered");
    for _ in 0..8 {
        client.must_produce("much", 0, &Batch::of_values(["x".repeat(900_000)]));
    }
    let mut deaf = broker.client();
    for _ in 0..16 {
        deaf.send(12, &fetch_request("much", 0, 0, 0)).expect("sent");
    }
    deaf
}

#[test]
fn a_client_that_takes_no_answers_does_not_hold_the_stop() {
    let mut broker = Broker::start();
    let deaf = ask_without_reading(&broker);
    // Its first answer fills the socket once others are served.
    broker.client().assert_undisturbed();
    let start = Instant::now();
    broker.request_stop();
    assert_eq!(broker.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "stopped after {:?}", start.elapsed());
    assert!(broker.data_dir().join(".kafka_cleanshutdown").exists(), "the clean mark is written");
    drop(deaf);
    broker.restart();
    assert_eq!(broker.client().read_values("much", 0).len(), 8);
}

#[test]
fn a_client_that_takes_no_answers_is_idle() {
    let broker = Options::new().set("connections.max.idle.ms", 1000).start();
    let mut deaf = ask_without_reading(&broker);
    broker.client().assert_undisturbed();
    let closed = || broker.log().iter().any(|line| line.contains("idle for connections.max.idle.ms"));
    compat_tests::wait_until("it is closed", Duration::from_secs(10), closed);
    // What the sockets held is there, and then the end.
    compat_tests::wait_until("the answers end", Duration::from_secs(10), || deaf.read_frame().is_err());
}

#[test]
fn a_request_is_carried_out_also_when_its_client_has_left() {
    let broker = Broker::start();
    let mut client = broker.client();
    let topic = |n: usize| {
        CreatableTopic::default()
            .with_name(topic_name(&format!("t{n}")))
            .with_num_partitions(1)
            .with_replication_factor(1)
    };
    let request = CreateTopicsRequest::default().with_topics((0..2000).map(topic).collect()).with_timeout_ms(30_000);
    client.send(7, &request).expect("sent");
    drop(client);
    let mut other = broker.client();
    compat_tests::wait_until("all are there", Duration::from_secs(10), || {
        other.topic_names().expect("answered").len() == 2000
    });
}

#[test]
fn ephemeral_leaves_nothing() {
    // S20
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().to_str().expect("UTF-8");
    let mut broker = Options::new().argument("--ephemeral").environment("TMPDIR", path).start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("flush.messages", "1")]).expect("answered");
    client.must_produce("t", 0, &Batch::of_values(["x"]));
    assert_eq!(client.read_values("t", 0), ["x"]);
    assert!(fs::read_dir(path).expect("readable").next().is_some(), "the data lies in TMPDIR");
    assert_eq!(broker.terminate().code(), Some(0));
    assert_eq!(fs::read_dir(path).expect("readable").count(), 0, "nothing is left");
}

#[test]
fn environment_as_the_kafka_image_reads_it() {
    let broker = Options::new()
        .environment("KAFKA_NUM_PARTITIONS", "4")
        .environment("KAFKA_LOG_RETENTION_HOURS", "11")
        .environment("KAFKA_MESSAGE_MAX_BYTES", "2000000")
        .environment("KAFKA_HEAP_OPTS", "-Xmx1g")
        .start();
    assert_eq!(value(&broker, "num.partitions").as_deref(), Some("4"));
    assert_eq!(value(&broker, "log.retention.hours").as_deref(), Some("11"));
    let topic = broker.client().topic_or_create("auto", true).expect("answered");
    let topic = if topic.error_code == 0 { topic } else { broker.client().topic("auto").expect("answered") };
    assert_eq!(topic.partitions.len(), 4); // S19
    assert!(!broker.log().iter().any(|line| line.contains("heap.opts")), "the image's own variables are no keys");
    let topic_limit = broker.client().config(Resource::Topic, "auto", "max.message.bytes");
    assert_eq!(topic_limit.as_deref(), Some("2000000"));
}

#[test]
fn later_source_wins() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = "# a comment\nnum.partitions = 2\nlog.retention.hours=22\nlog.retention.bytes=2222\nmessage.max.bytes=\\\n  222222\n";
    fs::write(file.path(), text).expect("written");
    let broker = Options::new()
        .argument("--config")
        .argument(file.path().display())
        .environment("KAFKA_LOG_RETENTION_HOURS", "33")
        .environment("KAFKA_LOG_RETENTION_BYTES", "3333")
        .set("log.retention.bytes", "4444")
        .start();
    for (key, expected) in [
        ("num.partitions", "2"),
        ("message.max.bytes", "222222"),
        ("log.retention.hours", "33"),
        ("log.retention.bytes", "4444"),
        ("log.index.interval.bytes", "4096"),
    ] {
        assert_eq!(value(&broker, key).as_deref(), Some(expected), "{key}");
    }
}

#[test]
fn several_listeners_and_what_they_advertise() {
    let broker = Options::new()
        .set("listeners", "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.1:0")
        .set("listener.security.protocol.map", "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT")
        .set("inter.broker.listener.name", "INSIDE")
        .set("advertised.listeners", "INSIDE://broker.example:9999")
        .start();
    let listeners = broker.listeners().to_vec();
    let names: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["INSIDE", "OUTSIDE"]);
    let advertised = |listener: &Listener, host: &str| {
        let mut client = Client::connect(&format!("{host}:{}", listener.port)).expect("connects");
        let brokers = client.call(12, &MetadataRequest::default().with_topics(Some(vec![]))).expect("answered").brokers;
        assert_eq!(brokers.len(), 1);
        (brokers[0].host.to_string(), brokers[0].port)
    };
    assert_eq!(advertised(&listeners[0], "127.0.0.1"), ("broker.example".to_owned(), 9999));
    // What is not advertised is answered with the address the client reached us by, whatever it is bound to.
    let broker = Options::new().set("listeners", "PLAINTEXT://0.0.0.0:0").start();
    let listener = &broker.listeners()[0];
    for address in ["127.0.0.1", "127.0.0.2"] {
        assert_eq!(advertised(listener, address), (address.to_owned(), i32::from(listener.port)));
    }
}

#[test]
fn idle_connections_are_closed() {
    let broker = Options::new().set("connections.max.idle.ms", 1500).start();
    let (mut idle, mut busy, mut parked) = (broker.client(), broker.client(), broker.client());
    busy.create_topic("t", 1, &[]).expect("answered");
    let id = parked.send(12, &fetch_request("t", 0, 0, 4000)).expect("sent");
    let start = Instant::now();
    let closed = std::thread::spawn(move || idle.is_closed_within(Duration::from_secs(10)));
    while start.elapsed() < Duration::from_secs(3) {
        busy.assert_undisturbed();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(closed.join().expect("watched"), "the idle connection is closed");
    parked.receive::<FetchRequest>(12, id).expect("one that waits for its answer is not idle");
}

#[test]
fn connections_are_limited() {
    let broker = Options::new().set("max.connections.per.ip", 3).start();
    let mut clients: Vec<_> = (0..3).map(|_| broker.client()).collect();
    clients.iter_mut().for_each(Client::assert_undisturbed);
    let refused = Client::connect(&broker.bootstrap());
    assert!(refused.is_err() || refused.is_ok_and(|mut client| client.is_closed_within(Duration::from_secs(5))));
    clients.iter_mut().for_each(Client::assert_undisturbed);
    // One goes, one may come.
    clients.pop();
    compat_tests::wait_until("there is room again", Duration::from_secs(5), || {
        Client::connect(&broker.bootstrap()).is_ok_and(|mut client| client.api_versions().is_ok())
    });

    let broker = Options::new().set("max.connections", 2).start();
    let mut clients: Vec<_> = (0..2).map(|_| broker.client()).collect();
    clients.iter_mut().for_each(Client::assert_undisturbed);
    let refused = Client::connect(&broker.bootstrap());
    assert!(refused.is_err() || refused.is_ok_and(|mut client| client.is_closed_within(Duration::from_secs(5))));
}

#[test]
fn request_larger_than_allowed_closes_the_connection() {
    let broker = Options::new().set("socket.request.max.bytes", 10_000).start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]).expect("answered");
    client.must_produce("t", 0, &Batch::of_values(["x".repeat(9_000)]));
    let sent = client.send_produce("t", 0, Batch::of_values(["x".repeat(10_000)]).build());
    assert!(sent.is_err() || client.is_closed_within(Duration::from_secs(5)));
    broker.client().assert_undisturbed();
}

#[test]
fn unknown_keys_and_versions_close_the_connection() {
    let broker = Broker::any();
    for (key, version) in [(0, 99), (1, -1), (3, 100), (4, 0), (999, 0), (-1, 0)] {
        let mut client = broker.client();
        client.send_raw(&raw_frame(key, version, 1, &[0; 40])).expect("sent");
        assert!(client.is_closed_within(Duration::from_secs(5)), "key {key} version {version}");
    }
    // ApiVersions alone answers, in the oldest form, and the connection goes on.
    let mut client = broker.client();
    client.send_raw(&raw_frame(18, 99, 77, &[2, b'x', 2, b'1', 0])).expect("sent");
    let answer = client.read_frame().expect("answered");
    assert_eq!(answer[..6], [0, 0, 0, 77, 0, 35], "correlation id and UNSUPPORTED_VERSION");
    assert_eq!(i32::from_be_bytes(answer[6..10].try_into().expect("four bytes")), 1, "one entry");
    assert_eq!(answer[10..12], [0, 18]);
    client.assert_undisturbed();
}

#[test]
fn fetch_wakes_at_the_append() {
    // S38
    let broker = Broker::any();
    let (a, b) = (compat_tests::unique("wake"), compat_tests::unique("wake"));
    let mut client = broker.client();
    for topic in [&a, &b] {
        client.create_topic(topic, 2, &[]).expect("answered");
        client.must_produce(topic, 1, &Batch::of_values(["first"]));
    }
    // One wait over two topics; an append to either ends it.
    let mut request = fetch_request(&a, 1, 1, 30_000);
    request.topics.extend(fetch_request(&b, 1, 1, 0).topics);
    for topic in [&a, &b, &b] {
        let (mut waiting, mut producer) = (broker.client(), broker.client());
        let id = waiting.send(12, &request).expect("sent");
        std::thread::sleep(Duration::from_millis(30));
        let start = Instant::now();
        let offset = producer.must_produce(topic, 1, &Batch::of_values(["second"]));
        let answer = waiting.receive::<FetchRequest>(12, id).expect("answered");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "woken after {took:?}");
        let part = answer.responses.iter().find(|found| *found.topic == *topic.as_str()).expect("the topic");
        let batches = read_batches(part.partitions[0].records.clone().unwrap_or_default()).expect("batches");
        assert_eq!(batches.last().map(|batch| batch.last_offset), Some(offset));
        // Catch up for the next turn.
        for (number, topic) in [&a, &b].into_iter().enumerate() {
            let end = producer.offset_at(topic, 1, compat_tests::calls::LATEST);
            request.topics[number].partitions[0].fetch_offset = end;
        }
    }
}

#[test]
fn fresh_directory_is_small_and_idle_process_too() {
    let broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("flush.messages", "1")]).expect("answered");
    client.must_produce("t", 0, &Batch::of_values(["x"]));
    assert_eq!(client.offset_at("t", 0, EARLIEST), 0);
    let bytes = disk_bytes(broker.data_dir());
    assert!(bytes < 16 << 20, "a fresh data directory takes {bytes} bytes");
    assert!(broker.resident_bytes() < 64 << 20, "{} bytes resident, unoptimised", broker.resident_bytes());
    let error = client.produce("nowhere", 0, Batch::of_values(["x"]).build()).expect("answered").error_code;
    assert_eq!(error, code::UNKNOWN_TOPIC_OR_PARTITION, "a produce creates nothing");
}

fn disk_bytes(directory: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path());
    let bytes = |path: std::path::PathBuf| match path.is_dir() {
        true => disk_bytes(&path),
        false => fs::metadata(&path).map_or(0, |metadata| metadata.blocks() * 512),
    };
    entries.map(bytes).sum()
}

/// The broker's log without the ready line, which is for whoever started it.
fn logged(options: Options) -> Vec<String> {
    let mut broker = options.start();
    broker.client().create_topic("t", 1, &[]).expect("answered");
    assert_eq!(broker.terminate().code(), Some(0));
    broker.log().into_iter().filter(|line| !line.contains(" ready: ")).collect()
}

#[test]
fn rust_log_chooses_what_is_logged() {
    let mentions = |lines: &[String], level: &str| lines.iter().any(|line| line.contains(&format!(" {level} ")));
    let broker = Options::new().environment("RUST_LOG", "debug").start();
    // A connection that is closed with an answer unread is reset, which only a debugger of clients wants to know.
    let mut client = broker.client();
    client.send_raw(&raw_frame(18, 0, 1, &[])).expect("sent");
    client.stream().peek(&mut [0]).expect("answered");
    drop(client);
    wait_until("the lost connection is logged", Duration::from_secs(10), || mentions(&broker.log(), "DEBUG"));
    assert!(mentions(&broker.log(), "INFO"));

    let usual = logged(Options::new());
    assert!(mentions(&usual, "INFO") && !mentions(&usual, "DEBUG"), "{usual:#?}");
    let errors = logged(Options::new().environment("RUST_LOG", "error"));
    assert!(errors.is_empty(), "nothing fails here: {errors:#?}");
}

#[test]
fn the_log_can_be_json() {
    let lines = logged(Options::new().argument("--log-format").argument("json"));
    let lines: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    let message = |line: &serde_json::Value| line["fields"]["message"].as_str().map(str::to_owned);
    assert!(lines.iter().all(|line| line["level"].is_string() && message(line).is_some()), "{lines:#?}");
    let created = lines.iter().find(|line| message(line).as_deref() == Some("creating topic"));
    assert_eq!(created.expect("a topic was created")["fields"]["topic"], "t");
}

/// The small files beside the logs, as Kafka has them: text, line by line.
#[test]
fn small_files_are_as_kafka_writes_them() {
    let mut broker = Options::new().set("node.id", 7).start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]).expect("answered");
    let id = client.topic("t").expect("answered").topic_id;
    client.must_produce("t", 0, &Batch::of_values(["a", "b", "c"]));
    assert_eq!(client.delete_records("t", 0, 2).expect("answered"), (0, 2));
    assert_eq!(broker.terminate().code(), Some(0));
    let read = |path: &str| fs::read_to_string(broker.data_dir().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    // Base64 of the id, as Kafka's `Uuid.toString`.
    let metadata = read("t-0/partition.metadata");
    let lines: Vec<_> = metadata.lines().collect();
    assert_eq!(lines[0], "version: 0");
    let told = lines[1].strip_prefix("topic_id: ").expect("a topic id");
    assert_eq!(told, base64_url(id.as_bytes()));
    assert_eq!(read("t-0/leader-epoch-checkpoint"), "0\n1\n0 2\n");
    assert_eq!(read("log-start-offset-checkpoint"), "0\n1\nt 0 2\n");
    for checkpoint in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
        assert_eq!(read(checkpoint), "0\n1\nt 0 3\n", "{checkpoint}");
    }
    let properties = read("meta.properties");
    for line in ["version=1", "node.id=7"] {
        assert!(properties.lines().any(|l| l == line), "{line}: {properties}");
    }
    for key in ["cluster.id=", "directory.id="] {
        let value = properties.lines().find_map(|line| line.strip_prefix(key)).expect("there");
        assert_eq!(value.len(), 22, "{key}{value}");
    }
}

/// Without padding.
fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = |n: usize| bytes.get(n / 8).map_or(0, |byte| byte >> (7 - n % 8) & 1);
    let digit = |d: usize| (0..6).fold(0, |value, bit| value << 1 | bits(d * 6 + bit));
    (0..(bytes.len() * 8).div_ceil(6)).map(|d| DIGITS[digit(d) as usize] as char).collect()
}
