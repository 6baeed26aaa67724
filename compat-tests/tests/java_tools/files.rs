//! The tools that read files of a data directory instead of asking a broker.

use compat_tests::broker::{Broker, is_stand_in};
use compat_tests::kafka_tools::{self, Output};
use compat_tests::{needs, now_ms};

use crate::{Shell, assert_has, file_with, path_of};

fn tool(name: &str, arguments: &[&str]) -> Output {
    kafka_tools::tools().expect("checked before").run(name, arguments, "")
}

#[test]
fn kafka_storage() {
    let tools = kafka_tools::tools();
    needs!(tools.is_ok(), "{}", tools.err().unwrap_or_default());
    let random = tool("kafka-storage", &["random-uuid"]);
    assert_eq!((random.out.trim_end().len(), random.code), (22, 0), "{random:?}");
    let mapping = tool("kafka-storage", &["version-mapping"]);
    assert_has(&mapping.out, "metadata.version=29 (4.2-IV1)\n");
    if is_stand_in() {
        return;
    }

    let broker = Broker::start();
    let directory = broker.data_dir().display().to_string();
    let properties = file_with(format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n\
         listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n\
         log.dirs={directory}\n"
    ));
    let meta = std::fs::read_to_string(broker.data_dir().join("meta.properties")).expect("read");
    let mut facts: Vec<_> = meta.lines().filter(|line| line.contains('=')).collect();
    facts.sort();
    let info = tool("kafka-storage", &["info", "-c", path_of(&properties)]);
    let expected = format!("Found log directory:\n  {directory}\n\nFound metadata: {{{}}}\n\n", facts.join(", "));
    assert_eq!((info.out, info.code), (expected, 0), "{}", info.err);

    // A directory that is in use it leaves alone.
    let format = ["format", "-t", "b3R0bGEtaW50ZXJjaGFuZw", "-c", path_of(&properties)];
    for how in [&[][..], &["--ignore-formatted"]] {
        let refused = tool("kafka-storage", &[&format[..], how].concat());
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_has(&refused.err, "Invalid cluster.id in: ");
    }
    assert_eq!(std::fs::read_to_string(broker.data_dir().join("meta.properties")).expect("read"), meta);
}

#[test]
fn kafka_dump_log_decodes_offsets() {
    let tools = kafka_tools::tools();
    needs!(tools.is_ok(), "{}", tools.err().unwrap_or_default());
    if is_stand_in() {
        return;
    }
    let shell = Shell { broker: Broker::start() };
    let topic = shell.filled("tools-decoded", now_ms());
    let group = shell.committed(&topic);
    let logs = (0..50).map(|partition| shell.broker.partition_dir("__consumer_offsets", partition));
    let logs = logs.map(|directory| directory.join("00000000000000000000.log")).filter(|log| log.exists());
    let files = logs.map(|log| log.display().to_string()).collect::<Vec<_>>().join(",");
    let dumped = tool("kafka-dump-log", &["--offsets-decoder", "--files", &files]);
    assert_eq!(dumped.code, 0, "{dumped:?}");
    for (partition, offset) in [(0, 4), (1, 2)] {
        let key = format!(r#"{{"group":"{group}","topic":"{topic}","partition":{partition}}}"#);
        let line = dumped.out.lines().find(|line| line.contains(&key)).expect("the commit is decoded");
        assert_has(line, r#"key: {"type":"1","data":"#);
        assert_has(line, &format!(r#""data":{{"offset":{offset},"#));
    }
    // Headers of batches without their records, the first bytes of a file alone, records without their headers.
    let log = shell.broker.partition_dir(&topic, 0).join("00000000000000000000.log").display().to_string();
    let headers = tool("kafka-dump-log", &["--files", &log]);
    assert_eq!(headers.out.lines().filter(|line| line.starts_with("baseOffset: ")).count(), 10, "{headers:?}");
    assert!(!headers.out.contains("| offset"));
    let few = tool("kafka-dump-log", &["--max-bytes", "200", "--files", &log]);
    let count = few.out.lines().filter(|line| line.starts_with("baseOffset: ")).count();
    assert!((1..10).contains(&count), "{few:?}");
    let plain = tool("kafka-dump-log", &["--print-data-log", "--skip-record-metadata", "--files", &log]);
    let values: Vec<_> =
        plain.out.lines().filter_map(|line| line.split_once("payload: ")).map(|(_, value)| value).collect();
    assert_eq!(values, (0..10).map(|n| format!("0-{n}")).collect::<Vec<_>>());
    assert!(!plain.out.contains("| offset"), "{}", plain.out);
}
