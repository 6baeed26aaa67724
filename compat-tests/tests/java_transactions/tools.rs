//! `kafka-transactions`, as an operator uses it.

use std::ffi::OsStr;

use compat_tests::batch::Batch;
use compat_tests::broker::Broker;
use compat_tests::calls::topic_name;
use compat_tests::unique;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use crate::program::{Program, class_path, needs_tools};
use crate::{LIMIT, tool, try_tool};

const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;
const FIRST: &str = "first of the transaction";
const SECOND: &str = "second of the transaction";

/// A topic and a Java producer with a transaction open on its first partition.
struct Open {
    broker: Broker,
    topic: String,
    id: String,
    program: Program,
}

impl Open {
    fn start(class_path: &OsStr) -> Open {
        let broker = Broker::any();
        let (topic, id) = (unique("open-topic"), unique("open-id"));
        assert_eq!(broker.client().create_topic(&topic, 2, &[]).expect("answered"), 0);
        let mut program = Program::start(class_path, "OpenTransaction", &[&broker.bootstrap(), &id, &topic]);
        program.wait_for("a transaction is open", LIMIT, |line| line == "open");
        Open { broker, topic, id, program }
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        tool(&self.broker, "kafka-transactions", arguments)
    }

    /// Fails, and says why.
    #[track_caller]
    fn refused(&self, arguments: &[&str], reason: &str) {
        let output = try_tool(&self.broker, "kafka-transactions", arguments);
        assert_eq!(output.code, 1, "{output:?}");
        assert!(format!("{}{}", output.out, output.err).contains(reason), "{output:?}");
    }

    /// The rows of a listing that are of this transaction: the coordinator, the producer, the state.
    fn listed(&self, arguments: &[&str]) -> Vec<Vec<String>> {
        let mut rows = table(&self.run(&[&["list"], arguments].concat()), "TransactionalId");
        rows.retain(|row| row[0] == self.id);
        rows
    }

    fn described(&self) -> Vec<String> {
        let mut rows = table(&self.run(&["describe", "--transactional-id", &self.id]), "CoordinatorId");
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// The producers of the first partition.
    fn producers(&self, arguments: &[&str]) -> Vec<Vec<String>> {
        let of_first = ["describe-producers", "--topic", &self.topic, "--partition", "0"];
        table(&self.run(&[&of_first, arguments].concat()), "ProducerId")
    }

    fn call(&mut self, name: &str) -> String {
        self.program.ask(name, LIMIT)
    }

    /// Another producer's record after what is there.
    fn append(&self, value: &'static str) -> i64 {
        self.broker.client().must_produce(&self.topic, 0, &Batch::of_values([value]))
    }

    /// A read_committed consumer sees this and comes to the end of the log.
    #[track_caller]
    fn sees(&self, values: &[&str]) {
        let count = values.len().to_string();
        let from = ["--topic", &self.topic, "--partition", "0", "--offset", "earliest"];
        let how = ["--isolation-level", "read_committed", "--max-messages", &count, "--timeout-ms", "20000"];
        let shown = tool(&self.broker, "kafka-console-consumer", &[&from[..], &how].concat());
        assert_eq!(shown.lines().collect::<Vec<_>>(), values);
        assert_eq!(self.end(READ_COMMITTED), self.end(READ_UNCOMMITTED));
    }

    /// Where the first partition ends for readers of this isolation.
    fn end(&self, isolation: i8) -> i64 {
        let partition = ListOffsetsPartition::default().with_timestamp(-1);
        let topic = ListOffsetsTopic::default().with_name(topic_name(&self.topic)).with_partitions(vec![partition]);
        // Replicas are told the end of the log whatever they ask for.
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        let request = request.with_isolation_level(isolation);
        let answer = self.broker.client().call(7, &request).expect("ListOffsets is answered");
        answer.topics[0].partitions[0].offset
    }
}

/// The rows under a line that begins with this word. The cells are padded and stand between tabs.
#[track_caller]
fn table(text: &str, first: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim_end_matches('\t').split('\t').map(|cell| cell.trim().to_owned()).collect();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(first));
    assert!(lines.next().is_some(), "no line starts with {first:?} in:\n{text}");
    lines.map(cells).collect()
}

#[test]
fn an_open_transaction_is_listed_and_described() {
    needs_tools!();
    let path = class_path!(TOOLS);
    let mut open = Open::start(&path);
    let listed = open.listed(&[]);
    let producer = listed[0][2].clone();
    let row = vec![vec![open.id.clone(), "1".to_owned(), producer.clone(), "Ongoing".to_owned()]];
    assert_eq!(listed, row);
    let pattern = format!("{}.*|nobody", open.id);
    assert_eq!(open.listed(&["--transactional-id-pattern", &pattern]), row);
    assert_eq!(open.listed(&["--transactional-id-pattern", "open-i"]).len(), 0, "the whole id matches");
    open.refused(&["list", "--transactional-id-pattern", "(["], "Failed to list transactions");
    assert_eq!(open.listed(&["--duration-filter", "1"]), row);
    assert_eq!(open.listed(&["--duration-filter", "600000"]).len(), 0);

    let described = open.described();
    assert_eq!(described[..6], ["1", &open.id, &producer, "0", "Ongoing", "600000"]);
    assert!(described[6].parse::<i64>().is_ok_and(|start| start <= compat_tests::now_ms()), "{described:?}");
    assert!(described[7].parse::<i64>().is_ok_and(|duration| duration > 0), "{described:?}");
    assert_eq!(described[8], format!("{}-0", open.topic));
    open.refused(&["describe", "--transactional-id", &unique("nobody")], "because the ID could not be found");

    for broker in [&[][..], &["--broker-id", "1"]] {
        let producers = open.producers(broker);
        assert_eq!(producers.len(), 1);
        assert_eq!(producers[0][..4], [&producer, "0", "-1", "1"], "producer, epoch, coordinator epoch, last sequence");
        assert!(producers[0][4].parse::<i64>().is_ok_and(|time| time <= compat_tests::now_ms()), "{producers:?}");
        assert_eq!(producers[0][5], "0", "where its transaction begins");
    }
    let second = open.run(&["describe-producers", "--topic", &open.topic, "--partition", "1"]);
    assert_eq!(table(&second, "ProducerId").len(), 0);
    for place in [&["--broker-id", "1"][..], &["--topic", &open.topic], &["--topic", &open.topic, "--partition", "0"]] {
        let hanging = open.run(&[&["find-hanging", "--max-transaction-timeout", "0"], place].concat());
        assert_eq!(table(&hanging, "Topic").len(), 0, "its coordinator knows of it");
    }

    assert_eq!(open.call("commit"), "ok");
    assert_eq!(open.listed(&[])[0][3], "CompleteCommit");
    let described = open.described();
    assert_eq!(described[..6], ["1", &open.id, &producer, "1", "CompleteCommit", "600000"]);
    assert_eq!(described[8], "", "its partitions");
    let producers = open.producers(&[]);
    assert_eq!((&*producers[0][1], &*producers[0][2], &*producers[0][5]), ("1", "0", "None"));
}

#[test]
fn an_open_transaction_is_aborted() {
    needs_tools!();
    let path = class_path!(TOOLS);
    let mut open = Open::start(&path);
    open.append("after the first");
    assert_eq!(open.end(READ_COMMITTED), 0);
    let topic = open.topic.clone();
    let abort = ["abort", "--topic", &topic, "--partition", "0"];
    let run = |open: &Open, arguments: &[&str]| open.run(&[&abort[..], arguments].concat());

    // By the offset where it begins.
    let missed = try_tool(&open.broker, "kafka-transactions", &[&abort[..], &["--start-offset", "1"]].concat());
    let text = format!("{}{}", missed.out, missed.err);
    assert!(text.contains("Could not find any open transactions starting at offset 1 on partition"), "{missed:?}");
    run(&open, &["--start-offset", "0"]);
    open.sees(&["after the first"]);
    assert_eq!(open.producers(&[])[0][5], "None");
    assert_eq!(open.listed(&[])[0][3], "Ongoing", "its coordinator was not asked");
    assert_eq!(open.call("commit"), "ok");
    open.sees(&["after the first"]);

    // By its producer, as with brokers that cannot describe producers.
    assert_eq!(open.call("begin"), "ok");
    open.append("after the second");
    let producer = open.producers(&[]).remove(0);
    assert!(open.end(READ_COMMITTED) < open.end(READ_UNCOMMITTED));
    let epochs = ["--producer-epoch", &producer[1], "--coordinator-epoch", "0"];
    run(&open, &[&["--producer-id", &producer[0]], &epochs[..]].concat());
    open.sees(&["after the first", "after the second"]);
    assert_eq!(open.call("abort"), "ok");

    // With all that is read, the producer can go on.
    assert_eq!(open.call("begin"), "ok");
    assert_eq!(open.call("commit"), "ok");
    open.sees(&["after the first", "after the second", FIRST, SECOND]);
}

#[test]
fn a_transaction_is_terminated_by_force() {
    needs_tools!();
    let path = class_path!(TOOLS);
    let mut open = Open::start(&path);
    open.append("after it");
    assert_eq!(open.end(READ_COMMITTED), 0);
    let terminate = |open: &Open, id: &str| open.run(&["forceTerminateTransaction", "--transactionalId", id]);
    let id = open.id.clone();
    terminate(&open, &id);
    open.sees(&["after it"]);
    assert_eq!(open.listed(&[])[0][3], "Empty");
    assert!(open.call("commit").contains("ProducerFencedException"));
    let epoch: i16 = open.described()[3].parse().expect("an epoch");
    terminate(&open, &id);
    assert_eq!(open.described()[3], (epoch + 1).to_string());
    assert_eq!(open.described()[5], "30000", "the timeout of the tool's own producer");
    terminate(&open, &unique("nobody"));
}
