//! Transactional producers of kafka-clients 4.2 (KIP-890's second part) and 3.9 (what came before).

use std::collections::BTreeMap;

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::{needs, unique};

use crate::program::{Clients, NEW, OLD, Program, needs_tools};
use crate::{LIMIT, broker_with, crash, read_committed};

const PARTITIONS: i32 = 3;
const RECORDS: usize = 3000;

fn keeps_its_promises(clients: &Clients) {
    let path = compat_tests::kafka_tools::jars::class_path(&[clients.jars]);
    needs!(path.is_ok(), "{}", path.err().unwrap_or_default());
    let path = path.expect("checked before");
    let options = Options::new().set("transaction.abort.timed.out.transaction.cleanup.interval.ms", 300);
    let broker = broker_with(options);
    let (bootstrap, prefix) = (broker.bootstrap(), unique("java-transactions"));
    let arguments = [&*bootstrap, &prefix, clients.group_protocol, clients.transaction_version];
    Program::start(&path, "Transactions", &arguments).finish(2 * LIMIT);
}

#[test]
fn a_producer_of_4_2() {
    keeps_its_promises(&NEW);
}

#[test]
fn a_producer_of_3_9() {
    keeps_its_promises(&OLD);
}

/// The values of each partition, in their order, as the console consumer shows them.
fn by_partition(shown: &str) -> BTreeMap<String, Vec<String>> {
    let mut partitions = BTreeMap::<_, Vec<_>>::new();
    for line in shown.lines() {
        let (partition, value) = line.split_once('\t').expect("partition and value");
        partitions.entry(partition.to_owned()).or_default().push(value.to_owned());
    }
    partitions
}

/// Consumes, transforms and produces while the broker is killed twice: the output is the input, once and in order.
fn survives_kills(clients: &Clients) {
    needs_tools!();
    let path = compat_tests::kafka_tools::jars::class_path(&[clients.jars]);
    needs!(path.is_ok(), "{}", path.err().unwrap_or_default());
    let path = path.expect("checked before");
    let mut broker = Broker::start();
    let (input, output) = (unique("pipeline-input"), unique("pipeline-output"));
    let mut client = broker.client();
    for topic in [&input, &output] {
        assert_eq!(client.create_topic(topic, PARTITIONS, &[]).expect("answered"), 0);
    }
    let mut expected = BTreeMap::<_, Vec<_>>::new();
    for first in (0..RECORDS).step_by(20) {
        let partition = (first / 20) as i32 % PARTITIONS;
        let values: Vec<_> = (first..first + 20).map(|n| format!("value-{n}")).collect();
        let done = values.iter().map(|value| format!("{value}-done"));
        expected.entry(format!("Partition:{partition}")).or_default().extend(done);
        client.must_produce(&input, partition, &Batch::of_values(values));
    }

    let (bootstrap, count) = (broker.bootstrap(), RECORDS.to_string());
    let mut pipeline =
        Program::start(&path, "Pipeline", &[&bootstrap, &input, &output, clients.group_protocol, &count]);
    for part in [RECORDS / 3, RECORDS * 2 / 3] {
        let far =
            |line: &str| line.strip_prefix("committed ").is_some_and(|n| n.parse::<usize>().expect("a count") > part);
        pipeline.wait_for("it gets on", LIMIT, far);
        crash(&mut broker);
    }
    pipeline.wait_for("the end", LIMIT, |line| line.starts_with("finished"));
    pipeline.finish(LIMIT);

    let committed = by_partition(&read_committed(&broker, &output, RECORDS, "print.partition=true"));
    for (partition, values) in &expected {
        let seen = committed.get(partition).map(Vec::as_slice).unwrap_or_default();
        let differs = values.iter().zip(seen).position(|(a, b)| a != b);
        assert_eq!(differs.map(|at| (&values[at], &seen[at])), None, "{partition}");
        assert_eq!(seen.len(), values.len(), "{partition}");
    }
    let ends: i64 = (0..PARTITIONS).map(|partition| broker.client().offset_at(&output, partition, -1)).sum();
    assert!(ends > RECORDS as i64 * 11 / 10, "what was aborted is in the log: {ends}");
}

#[test]
fn a_pipeline_of_4_2_over_kills_of_the_broker() {
    survives_kills(&NEW);
}

#[test]
fn a_pipeline_of_3_9_over_kills_of_the_broker() {
    survives_kills(&OLD);
}
