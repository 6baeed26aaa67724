//! Transactions as Java programs see them: producers of both protocols, Kafka Streams, and Kafka's own tools.

#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use compat_tests::broker::{Broker, Options};
use compat_tests::kafka_tools::{self, Output};

#[path = "java_transactions/files.rs"]
mod files;
#[path = "java_transactions/producers.rs"]
mod producers;
#[path = "java_transactions/program.rs"]
mod program;
#[path = "java_transactions/streams.rs"]
mod streams;
#[path = "java_transactions/tools.rs"]
mod tools;

/// How long a program may take to get somewhere, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a tool against the broker.
fn try_tool(broker: &Broker, tool: &str, arguments: &[&str]) -> Output {
    let bootstrap = broker.bootstrap();
    let arguments: Vec<_> = ["--bootstrap-server", &bootstrap].iter().chain(arguments).copied().collect();
    kafka_tools::tools().expect("checked before").run(tool, &arguments, "")
}

#[track_caller]
fn tool(broker: &Broker, tool: &str, arguments: &[&str]) -> String {
    let output = try_tool(broker, tool, arguments);
    assert_eq!(output.code, 0, "{tool} {arguments:?}: {output:#?}");
    output.out
}

/// What a read_committed console consumer shows until nothing more comes: not before there are so many lines.
#[track_caller]
fn read_committed(broker: &Broker, topic: &str, at_least: usize, property: &str) -> String {
    let from = ["--topic", topic, "--from-beginning", "--isolation-level", "read_committed"];
    let arguments = [&from[..], &["--timeout-ms", "2000", "--formatter-property", property]].concat();
    shown_once(broker, &arguments, |shown| shown.lines().count() >= at_least)
}

/// What the console consumer shows, as soon as it is enough: a busy machine may make it give up early.
#[track_caller]
fn shown_once(broker: &Broker, arguments: &[&str], enough: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let shown = try_tool(broker, "kafka-console-consumer", arguments).out;
        if enough(&shown) {
            return shown;
        }
        assert!(start.elapsed() < LIMIT, "too little is shown:\n{shown}");
    }
}

/// A broker with options, unless an external one is named.
fn broker_with(options: Options) -> Broker {
    match std::env::var_os("OTTLA_TEST_BOOTSTRAP") {
        Some(_) => Broker::any(),
        None => options.start(),
    }
}

/// kill -9, a while without a broker, and the same broker again at the same address.
fn crash(broker: &mut Broker) {
    let port = broker.port();
    broker.kill();
    std::thread::sleep(Duration::from_millis(300));
    broker.restart_with(Options::new().port(port));
}
