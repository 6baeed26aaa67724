//! HTTP beside the Kafka protocol: health and metrics.

#![allow(clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::calls::code;
use compat_tests::wait_until;

const LIMIT: Duration = Duration::from_secs(30);

/// `host:port` of the console, from the line that says that the broker has started.
fn console(broker: &Broker) -> String {
    let mut found = None;
    wait_until("the broker says where its console is", LIMIT, || {
        let log = broker.log().join("\n");
        found = log.split_once("console=").map(|(_, rest)| rest.split_whitespace().next().unwrap_or("").to_owned());
        found.is_some()
    });
    found.expect("just found")
}

/// Sends bytes and reads what is answered until the other side closes.
fn exchange(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(LIMIT)).expect("a time-out");
    stream.write_all(request).expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status line and body.
fn get(address: &str, method: &str, path: &str) -> (String, String) {
    let answer =
        exchange(address, format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn figure(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Files below a directory.
fn objects(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { objects(&entry.path()) } else { 1 }).sum()
}

#[test]
fn it_answers_what_it_has_and_refuses_the_rest() {
    let broker = Options::new().set("ottla.console.listener", "127.0.0.1:0").start();
    let address = console(&broker);
    assert_eq!(get(&address, "GET", "/health"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    let (_, before) = get(&address, "GET", "/metrics");
    assert_eq!(figure(&before, "kafka_controller_kafkacontroller_globaltopiccount"), Some(0));
    assert_eq!(broker.client().create_topic("t", 3, &[]).expect("answered"), code::NONE);
    let (status, page) = get(&address, "GET", "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(figure(&page, "kafka_controller_kafkacontroller_globaltopiccount"), Some(1));
    assert_eq!(figure(&page, "kafka_server_replicamanager_partitioncount"), Some(3));
    assert!(!page.contains("remotecopy"), "there is no remote store");
    assert_eq!(get(&address, "GET", "/").0, "HTTP/1.1 404 Not Found");
    assert_eq!(get(&address, "POST", "/metrics").0, "HTTP/1.1 405 Method Not Allowed");
    for garbage in [&b"\x00\x01\x02\r\n\r\n"[..], b"GET\r\n\r\n", &[b'x'; 1 << 20]] {
        let answer = exchange(&address, garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:.100}");
    }
    broker.client().assert_undisturbed();
}

#[test]
fn many_silent_connections_hold_up_neither_stop_nor_clients() {
    let mut broker = Options::new().set("ottla.console.listener", "127.0.0.1:0").start();
    let address = console(&broker);
    let silent: Vec<TcpStream> = (0..150).map(|_| TcpStream::connect(&address).expect("connected")).collect();
    broker.client().assert_undisturbed();
    assert!(broker.terminate().status.success());
    drop(silent);
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound").to_string();
    let ended = Options::new().set("ottla.console.listener", &address).try_start().err().expect("it does not start");
    assert!(ended.output.contains("ottla.console.listener"), "{}", ended.output);
    let none = Broker::start();
    assert!(!none.log().join("\n").contains("console="), "none unless asked for");
}

#[test]
fn tiering_is_counted() {
    let store = tempfile::tempdir().expect("a temporary directory");
    let broker = Options::new()
        .set("remote.log.storage.system.enable", true)
        .set("ottla.remote.store.url", format!("file://{}", store.path().display()))
        .set("remote.log.manager.task.interval.ms", 50)
        .set("log.initial.task.delay.ms", 0)
        .set("log.retention.check.interval.ms", 50)
        .set("ottla.console.listener", "127.0.0.1:0")
        .start();
    let address = console(&broker);
    let mut client = broker.client();
    let configs =
        [("remote.storage.enable", "true"), ("internal.segment.bytes", "20000"), ("local.retention.bytes", "1")];
    assert_eq!(client.create_topic("t", 1, &configs).expect("answered"), code::NONE);
    for n in 0..100 {
        client.must_produce("t", 0, &Batch::of_values([format!("{n}-{}", "v".repeat(1_000))]));
    }
    let of = |name: &str| {
        let (_, page) = get(&address, "GET", "/metrics");
        figure(&page, &format!("kafka_server_brokertopicmetrics_{name}")).unwrap_or_else(|| panic!("{name}: {page}"))
    };
    let local = |broker: &Broker| {
        let entries = std::fs::read_dir(broker.partition_dir("t", 0)).expect("listed").flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "log")).count()
    };
    wait_until("what is sealed is in the store alone", LIMIT, || local(&broker) == 1);
    let (copies, bytes) = (of("remotecopyrequests_total"), of("remotecopybytes_total"));
    assert!(copies >= 4 && bytes >= 80_000, "{copies} copies of {bytes} bytes");
    assert_eq!((of("remotelogsizebytes"), of("remotecopyerrors_total")), (bytes, 0));
    assert_eq!(of("remotefetchrequests_total"), 0);
    assert_eq!(client.read_values("t", 0).len(), 100);
    assert_eq!((of("remotefetchbytes_total"), of("remotefetcherrors_total")), (bytes, 0), "each piece once");
    let there = objects(store.path());
    assert!(there >= copies, "{there} objects of {copies} segments");
    assert_eq!(client.delete_topic("t").expect("answered"), code::NONE);
    wait_until("the objects are deleted", LIMIT, || objects(store.path()) == 0);
    wait_until("and counted", LIMIT, || of("remotedeleterequests_total") == there);
    assert_eq!((of("remotelogsizebytes"), of("remotedeleteerrors_total")), (0, 0));
    // The store goes: what cannot be copied is counted.
    assert_eq!(client.create_topic("u", 1, &configs).expect("answered"), code::NONE);
    std::fs::remove_dir_all(store.path()).expect("removed");
    std::fs::write(store.path(), b"no directory").expect("written");
    for n in 0..30 {
        client.must_produce("u", 0, &Batch::of_values([format!("{n}-{}", "v".repeat(1_000))]));
    }
    wait_until("a failure is counted", LIMIT, || of("remotecopyerrors_total") > 0);
    std::fs::remove_file(store.path()).expect("removed");
}
