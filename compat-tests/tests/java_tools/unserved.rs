//! Tools whose APIs Ottla does not serve: each must say so itself, in its words for it. When an API is served, its line
//! here goes and a test of the tool comes. Kafka's answer stands beside ours, for runs against a Kafka.

use compat_tests::{kafka_tools, needs, unique};

use crate::{Shell, assert_has, file_with, path_of};

/// An exit code, and what is among the words.
type Says<'a> = (i32, &'a str);

impl Shell {
    #[track_caller]
    fn says(&self, tool: &str, arguments: &[&str], ottla: Says, kafka: Says) {
        let output = self.try_run(tool, arguments, "");
        let (code, words) = if self.broker.is_external() { kafka } else { ottla };
        assert_eq!(output.code, code, "{tool} {arguments:?}: {output:#?}");
        assert_has(&format!("{}{}", output.out, output.err), words);
    }
}

fn unsupported(api: &str) -> String {
    format!("UnsupportedVersionException: The node does not support {api}")
}

#[test]
fn access_control_and_delegation_tokens() {
    let shell = shell!();
    let topic = unique("tools-guarded");
    let rule = ["--allow-principal", "User:bob", "--operation", "read", "--topic", &topic, "--force"];
    for (action, api) in [("--list", "DESCRIBE_ACLS"), ("--add", "DESCRIBE_ACLS"), ("--remove", "DELETE_ACLS")] {
        let arguments = if action == "--list" { vec![action] } else { [&[action], &rule[..]].concat() };
        let disabled = "SecurityDisabledException: No Authorizer is configured";
        shell.says("kafka-acls", &arguments, (1, &unsupported(api)), (1, disabled));
    }
    let file = file_with("");
    for (action, api) in [
        (&["--create", "--max-life-time-period", "-1"][..], "CREATE_DELEGATION_TOKEN"),
        (&["--describe"], "DESCRIBE_DELEGATION_TOKEN"),
        (&["--renew", "--renew-time-period", "-1", "--hmac", "AAAA"], "RENEW_DELEGATION_TOKEN"),
        (&["--expire", "--expiry-time-period", "-1", "--hmac", "AAAA"], "EXPIRE_DELEGATION_TOKEN"),
    ] {
        let arguments = [action, &["--command-config", path_of(&file)]].concat();
        let refused = "UnsupportedByAuthenticationException: Delegation Token requests are not allowed on PLAINTEXT";
        shell.says("kafka-delegation-tokens", &arguments, (1, &unsupported(api)), (1, refused));
    }
}

#[test]
fn users_and_quotas() {
    let shell = shell!();
    let name = unique("tools-user");
    let quotas = unsupported("DESCRIBE_CLIENT_QUOTAS");
    let scram = unsupported("ALTER_USER_SCRAM_CREDENTIALS");
    for (kind, config, why) in [
        ("users", "SCRAM-SHA-256=[iterations=8192,password=x]", &scram),
        ("users", "producer_byte_rate=1024", &quotas),
        ("clients", "consumer_byte_rate=1024", &quotas),
        ("ips", "connection_creation_rate=100", &quotas),
    ] {
        let entity = ["--entity-type", kind, "--entity-name", if kind == "ips" { "127.0.0.9" } else { &name }];
        let alter = [&["--alter", "--add-config", config], &entity[..]].concat();
        shell.says("kafka-configs", &alter, (1, why), (0, "Completed updating config for "));
        let describe = [&["--describe"], &entity[..]].concat();
        shell.says("kafka-configs", &describe, (1, &quotas), (0, ""));
    }
    // There is no log4j.
    let none = "InvalidRequestException: There are no broker loggers: RUST_LOG chooses what is logged";
    let loggers = ["--describe", "--entity-type", "broker-loggers", "--entity-name", "1"];
    shell.says("kafka-configs", &loggers, (1, none), (0, "Dynamic configs for broker-logger 1 are:\n"));
}

#[test]
fn features_and_quorum() {
    let shell = shell!();
    let described = shell.run("kafka-features", &["describe"]);
    let mut features = described.lines().map(|line| line.rsplit_once("\tEpoch: ").expect("an epoch").0);
    for (name, levels) in [
        ("eligible.leader.replicas.version", "0 1 1"),
        ("group.version", "0 1 1"),
        ("kraft.version", "0 1 0"),
        ("metadata.version", "3.3-IV3 4.2-IV1 4.2-IV1"),
        ("share.version", "0 1 1"),
        ("streams.version", "0 1 1"),
        ("transaction.version", "0 2 2"),
    ] {
        // These two would promise their groups.
        if ["share.version", "streams.version"].contains(&name) && !shell.broker.is_external() {
            continue;
        }
        let levels: Vec<_> = levels.split(' ').collect();
        let expected = format!(
            "Feature: {name}\tSupportedMinVersion: {}\tSupportedMaxVersion: {}\tFinalizedVersionLevel: {}",
            levels[0], levels[1], levels[2]
        );
        assert_eq!(features.next(), Some(&*expected));
    }
    assert_eq!(features.next(), None);
    let tool = "kafka-features";
    let unserved = "Can not upgrade group.version to 1. The node does not support UPDATE_FEATURES";
    let upgrade = ["upgrade", "--feature", "group.version=1", "--dry-run"];
    shell.says(tool, &upgrade, (1, unserved), (0, "group.version can be upgraded to 1.\n"));
    let unserved = "Could not upgrade metadata.version to 30. The node does not support UPDATE_FEATURES";
    let upgrade = ["upgrade", "--feature", "metadata.version=30"];
    shell.says(tool, &upgrade, (1, unserved), (1, "Invalid update version 30 for feature metadata.version."));

    let quorum = unsupported("DESCRIBE_QUORUM");
    let tool = "kafka-metadata-quorum";
    shell.says(tool, &["describe", "--status"], (1, &quorum), (0, "LeaderId:               1\n"));
    shell.says(tool, &["describe", "--replication"], (1, &quorum), (0, "Leader"));
    let remove = ["remove-controller", "--controller-id", "1", "--controller-directory-id", "AAAAAAAAAAAAAAAAAAAAAQ"];
    let fixed = "Cluster doesn't support removing voter because the kraft.version feature is 0";
    shell.says(tool, &remove, (1, &unsupported("REMOVE_RAFT_VOTER")), (1, fixed));
    let unserved = "The target cluster does not support the broker unregistration API.\n";
    let unknown = "BrokerIdNotRegisteredException: Broker ID 7 is not currently registered";
    shell.says("kafka-cluster", &["unregister", "--id", "7"], (0, unserved), (1, unknown));
}

#[test]
fn offsets_that_wait_for_tiered_storage() {
    let shell = shell!();
    let topic = unique("tools-pending");
    shell.run("kafka-topics", &["--create", "--topic", &topic]);
    let unserved = format!(
        "Skip getting offsets for topic-partition {topic}-0 due to error: {} with version in range [11,11]. The supported \
         range is [1,10].\n",
        "org.apache.kafka.common.errors.UnsupportedVersionException: The node does not support LIST_OFFSETS"
    );
    for time in ["-6", "earliest-pending-upload"] {
        shell.says("kafka-get-offsets", &["--topic", &topic, "--time", time], (0, &unserved), (0, ""));
    }
}

#[test]
fn share_groups() {
    let shell = shell!();
    let topic = shell.filled("tools-shared", compat_tests::now_ms());
    let group = unique("tools-share");
    let tool = "kafka-share-groups";
    let of_group = ["--group", &group];
    let describe = unsupported("SHARE_GROUP_DESCRIBE");
    let missing = format!("GroupIdNotFoundException: Group {group} not found.");
    for what in [&[][..], &["--members"], &["--state"]] {
        shell.says(tool, &[&["--describe"], &of_group[..], what].concat(), (0, &describe), (0, &missing));
    }
    let reset = ["--reset-offsets", "--topic", &topic, "--to-earliest", "--dry-run"];
    let unserved = "The node does not support SHARE_GROUP_DESCRIBE";
    shell.says(tool, &[&reset, &of_group[..]].concat(), (1, unserved), (0, &topic));
    let delete = ["--delete-offsets", "--topic", &topic];
    let unserved = "Error: The node does not support DELETE_SHARE_GROUP_OFFSETS";
    shell.says(
        tool,
        &[&delete, &of_group[..]].concat(),
        (0, unserved),
        (0, &format!("Error: Group {group} not found.")),
    );
    let listed = shell.run("kafka-groups", &["--list", "--share"]);
    assert!(listed.starts_with("GROUP ") && !listed.contains(&group), "listings are served: {listed}");

    // These ask by log lines and exit codes alone: nothing comes, and the first two call that success.
    let ready = ["--topic", &topic, "--group", &group, "--timeout-ms", "1000"];
    shell.says("kafka-console-share-consumer", &ready, (0, "Processed a total of 0 messages"), (0, "a total of 0"));
    let verifiable = ["--topic", &topic, "--group-id", &group, "--max-messages", "1"];
    let verifiable = [&verifiable[..], &["--offset-reset-strategy", "earliest"]].concat();
    shell.says("kafka-verifiable-share-consumer", &verifiable, (0, "shutdown_complete"), (0, "records_consumed"));
    let perf = ["--topic", &topic, "--group", &group, "--num-records", "1", "--timeout", "5000"];
    let cluster = "UnsupportedVersionException: The cluster does not support the share group protocol";
    shell.says("kafka-share-consumer-perf-test", &perf, (1, cluster), (0, "start.time, end.time"));
}

#[test]
fn streams_groups() {
    let shell = shell!();
    let group = unique("tools-streams");
    let of_group = ["--group", &group];
    let tool = "kafka-streams-groups";
    let describe = unsupported("STREAMS_GROUP_DESCRIBE");
    let missing = format!("GroupIdNotFoundException: Group {group} not found.");
    for what in [&[][..], &["--members"], &["--state"]] {
        shell.says(tool, &[&["--describe"], &of_group[..], what].concat(), (1, &describe), (1, &missing));
    }
    let topic = shell.filled("tools-streams-topic", compat_tests::now_ms());
    let empty = shell.committed(&topic);
    let reset = ["--reset-offsets", "--group", &empty, "--input-topic", &topic, "--to-earliest", "--dry-run"];
    shell.says(tool, &reset, (1, &describe), (0, "NEW-OFFSET"));
    let absent = format!("Group '{group}' does not exist or is not a streams group.");
    shell.says(tool, &[&["--delete"], &of_group[..]].concat(), (0, &absent), (0, &absent));
    let listed = shell.run("kafka-groups", &["--list", "--streams"]);
    assert!(listed.starts_with("GROUP ") && !listed.contains(&group), "listings are served: {listed}");
}
