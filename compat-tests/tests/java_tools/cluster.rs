//! The cluster, its versions, directories and elections.

use compat_tests::{kafka_tools, needs, unique};

use crate::{assert_has, file_with, path_of};

/// Keys that the tool knows and Ottla does not serve.
const UNSERVED: &str = "\
    SaslHandshake DescribeAcls CreateAcls DeleteAcls AlterReplicaLogDirs SaslAuthenticate CreateDelegationToken \
    RenewDelegationToken ExpireDelegationToken DescribeDelegationToken DescribeClientQuotas AlterClientQuotas \
    DescribeUserScramCredentials AlterUserScramCredentials DescribeQuorum UpdateFeatures UnregisterBroker \
    GetTelemetrySubscriptions PushTelemetry \
    ShareGroupHeartbeat ShareGroupDescribe ShareFetch ShareAcknowledge AddRaftVoter RemoveRaftVoter \
    InitializeShareGroupState ReadShareGroupState WriteShareGroupState DeleteShareGroupState \
    ReadShareGroupStateSummary StreamsGroupHeartbeat StreamsGroupDescribe DescribeShareGroupOffsets \
    AlterShareGroupOffsets DeleteShareGroupOffsets";

#[test]
fn versions_of_every_api() {
    let shell = shell!();
    let text = shell.run("kafka-broker-api-versions", &[]);
    let mut lines = text.lines();
    let head = format!("{} (id: 1 rack: null isFenced: false) -> (", shell.broker.bootstrap());
    assert_eq!(lines.next(), Some(&*head));
    let mut unserved = Vec::new();
    for line in lines.take_while(|line| *line != ")") {
        let (name, versions) = line.trim().trim_end_matches(',').split_once("): ").expect("an API and its versions");
        let (name, _) = name.split_once('(').expect("a name and a key");
        match versions {
            "UNSUPPORTED" => unserved.push(name),
            _ => assert!(versions.contains("[usable: "), "the tool speaks a version of each: {line}"),
        }
    }
    // The telemetry keys are Kafka's with a plug-in only.
    let expected: Vec<_> = match shell.broker.is_external() {
        true => vec!["GetTelemetrySubscriptions", "PushTelemetry"],
        false => UNSERVED.split_whitespace().collect(),
    };
    assert_eq!(unserved, expected);
    assert!(!text.contains("UNKNOWN"), "{text}");
}

#[test]
fn kafka_cluster() {
    let shell = shell!();
    let text = shell.run("kafka-cluster", &["cluster-id"]);
    let id = text.trim_end().strip_prefix("Cluster ID: ").expect("an id");
    assert_eq!(id.len(), 22, "{text}");
    if !shell.broker.is_external() {
        let properties = std::fs::read_to_string(shell.broker.data_dir().join("meta.properties")).expect("read");
        assert_has(&properties, &format!("cluster.id={id}\n"));
    }
    let bootstrap = shell.broker.bootstrap();
    let (host, port) = bootstrap.split_once(':').expect("host and port");
    for fenced in [&[][..], &["--include-fenced-brokers"]] {
        let text = shell.run("kafka-cluster", &[&["list-endpoints"], fenced].concat());
        let rows: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let head = ["ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"];
        assert_eq!(rows, [&head[..], &["1", host, port, "null", "unfenced", "broker"]]);
    }
}

#[test]
fn log_directories() {
    let shell = shell!();
    let topic = shell.filled("tools-dirs", compat_tests::now_ms());
    let described = |how: &[&str]| {
        let text = shell.run("kafka-log-dirs", &[&["--describe"], how].concat());
        let head =
            "Querying brokers for log directories information\nReceived log directory information from brokers 1\n";
        let json: serde_json::Value = serde_json::from_str(text.strip_prefix(head).expect("the head")).expect("JSON");
        assert_eq!((&json["version"], &json["brokers"][0]["broker"]), (&1.into(), &1.into()));
        assert_eq!(json["brokers"].as_array().expect("brokers").len(), 1);
        json["brokers"][0]["logDirs"].clone()
    };
    let of_topic = described(&["--topic-list", &topic]);
    assert_eq!(of_topic, described(&["--broker-list", "1", "--topic-list", &topic]));
    assert_eq!(of_topic.as_array().expect("directories").len(), 1);
    if !shell.broker.is_external() {
        assert_eq!(of_topic[0]["logDir"], shell.broker.data_dir().to_str().expect("UTF-8"));
    }
    assert!(of_topic[0]["error"].is_null());
    let mut partitions = of_topic[0]["partitions"].as_array().expect("partitions").clone();
    partitions.sort_by_key(|partition| partition["partition"].to_string());
    for (number, partition) in partitions.iter().enumerate() {
        assert_eq!(partition["partition"], format!("{topic}-{number}"));
        assert_eq!((&partition["offsetLag"], &partition["isFuture"]), (&0.into(), &false.into()));
        assert!(partition["size"].as_u64().is_some_and(|size| size > 0), "{partition}");
    }
    assert_eq!(partitions.len(), 2);
    let all = described(&[])[0]["partitions"].as_array().expect("partitions").clone();
    assert!(partitions.iter().all(|partition| all.contains(partition)), "{all:?}");
    assert_eq!(described(&["--topic-list", &unique("tools-missing")])[0]["partitions"], serde_json::json!([]));
    let missing = shell.fails("kafka-log-dirs", &["--describe", "--broker-list", "7"]);
    assert_has(&missing, "The given brokers do not exist from --broker-list: 7. Current existent brokers: 1");
}

#[test]
fn leaders_are_elected_already() {
    let shell = shell!();
    let tool = "kafka-leader-election";
    let topic = shell.filled("tools-elected", compat_tests::now_ms());
    let elected = format!("Valid replica already elected for partitions {topic}-0\n");
    for kind in ["preferred", "unclean"] {
        shell.prints(tool, &["--election-type", kind, "--topic", &topic, "--partition", "0"], &elected);
    }
    shell.prints(tool, &["--election-type", "preferred", "--all-topic-partitions"], "");
    let rows = [0, 1].map(|partition| serde_json::json!({"topic": topic, "partition": partition}));
    let file = file_with(serde_json::json!({"partitions": rows}));
    let text = shell.run(tool, &["--election-type", "preferred", "--path-to-json-file", path_of(&file)]);
    let named = text.strip_prefix("Valid replica already elected for partitions ").expect("elected already");
    let mut named: Vec<_> = named.trim_end().split(", ").collect();
    named.sort();
    assert_eq!(named, [format!("{topic}-0"), format!("{topic}-1")]);
    let missing = unique("tools-missing");
    let text = shell.fails(tool, &["--election-type", "preferred", "--topic", &missing, "--partition", "0"]);
    let why = format!("UnknownTopicOrPartitionException: No such topic as {missing}\n");
    assert_has(&text, &format!("Error completing leader election (PREFERRED) for partition: {missing}-0: "));
    assert_has(&text, &why);
}
