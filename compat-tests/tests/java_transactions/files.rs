//! What transactions leave behind, read by Kafka's tools: `__transaction_state`, markers, and the index of aborted ones.

use std::path::{Path, PathBuf};

use compat_tests::broker::Broker;
use compat_tests::{kafka_tools, needs, unique};
use serde_json::Value;

use crate::program::{Program, class_path, needs_tools};
use crate::{LIMIT, shown_once};

/// Empty, Ongoing, PrepareCommit, CompleteCommit, and the same with an abort.
const STATES: [i64; 7] = [0, 1, 2, 4, 1, 3, 5];

#[track_caller]
fn dump(arguments: &[&str], file: &Path) -> String {
    let all = [arguments, &["--files", file.to_str().expect("UTF-8")]].concat();
    let output = kafka_tools::tools().expect("checked before").run("kafka-dump-log", &all, "");
    assert_eq!(output.code, 0, "{output:?}");
    output.out
}

/// The state's records of this id, through the console consumer's formatter.
fn states(broker: &Broker, id: &str) -> Vec<Value> {
    let topic = ["--topic", "__transaction_state", "--command-property", "exclude.internal.topics=false"];
    let how = ["--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "2000"];
    let formatter = ["--formatter", "org.apache.kafka.tools.consumer.TransactionLogMessageFormatter"];
    let of_id = |shown: &str| -> Vec<Value> {
        let records = serde_json::Deserializer::from_str(shown).into_iter::<Value>();
        let records = records.map(|record| record.expect("JSON"));
        records.filter(|record| record["key"]["data"]["transactionalId"] == id).collect()
    };
    let arguments = [&topic[..], &how, &formatter].concat();
    of_id(&shown_once(broker, &arguments, |shown| of_id(shown).len() >= STATES.len()))
}

/// The log of `__transaction_state` that has this id.
fn state_log(broker: &Broker, id: &str) -> PathBuf {
    let logs = (0..50).map(|n| broker.partition_dir("__transaction_state", n).join("00000000000000000000.log"));
    let has_id = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(id.len()).any(|window| window == id.as_bytes())
    };
    logs.into_iter().find(has_id).expect("one has it")
}

#[test]
fn kafkas_tools_read_what_transactions_leave() {
    needs_tools!();
    let path = class_path!(TOOLS);
    let broker = Broker::any();
    let with_directory = !broker.is_external() || std::env::var_os("OTTLA_TEST_DATA_DIR").is_some();
    needs!(with_directory, "the external broker's data directory is not named");
    let (topic, id) = (unique("left-topic"), unique("left-id"));
    assert_eq!(broker.client().create_topic(&topic, 1, &[]).expect("answered"), 0);
    let mut program = Program::start(&path, "OpenTransaction", &[&broker.bootstrap(), &id, &topic]);
    program.wait_for("a transaction is open", LIMIT, |line| line == "open");
    for call in ["commit", "begin", "abort"] {
        assert_eq!(program.ask(call, LIMIT), "ok");
    }

    let shown = states(&broker, &id);
    let status = |record: &Value| record["value"]["data"]["transactionStatus"].as_i64().expect("a number");
    assert_eq!(shown.iter().map(status).collect::<Vec<_>>(), STATES);
    let ongoing = &shown[1]["value"]["data"];
    assert_eq!(ongoing["transactionPartitions"], serde_json::json!([{"topic": topic, "partitionIds": [0]}]));
    assert_eq!(ongoing["transactionTimeoutMs"], 600_000);
    assert_eq!(ongoing["clientTransactionVersion"], 2);
    let producer = ongoing["producerId"].as_i64().expect("a number");
    let epochs: Vec<_> = shown.iter().map(|record| record["value"]["data"]["producerEpoch"].as_i64()).collect();
    assert_eq!(epochs, [0, 0, 1, 1, 1, 2, 2].map(Some), "the epoch goes up when a transaction ends");

    let text = dump(&["--transaction-log-decoder"], &state_log(&broker, &id));
    let decoded: Vec<_> = text.lines().filter(|line| line.contains(&id)).collect();
    assert_eq!(decoded.len(), STATES.len(), "{text}");
    for (line, state) in decoded.iter().zip(STATES) {
        assert!(line.contains(&format!("\"producerId\":{producer},")), "{line}");
        assert!(line.contains(&format!("\"transactionStatus\":{state},")), "{line}");
    }

    let directory = broker.partition_dir(&topic, 0);
    let text = dump(&["--print-data-log"], &directory.join("00000000000000000000.log"));
    assert_eq!(text.matches("isTransactional: true isControl: false").count(), 4, "{text}");
    let markers: Vec<_> = text.lines().filter(|line| line.contains("endTxnMarker")).collect();
    assert_eq!(markers.len(), 2, "{text}");
    assert!(markers[0].starts_with("| offset: 2 ") && markers[0].contains("endTxnMarker: COMMIT coordinatorEpoch: 0"));
    assert!(markers[1].starts_with("| offset: 5 ") && markers[1].contains("endTxnMarker: ABORT coordinatorEpoch: 0"));
    let aborted = dump(&[], &directory.join("00000000000000000000.txnindex"));
    let entries: Vec<_> = aborted.lines().filter(|line| line.starts_with("version:")).collect();
    assert_eq!(
        entries,
        [format!("version: 0 producerId: {producer} firstOffset: 3 lastOffset: 5 lastStableOffset: 6")]
    );
}
