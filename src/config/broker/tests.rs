use super::*;

fn build(pairs: &[&str]) -> Result<(BrokerConfig, Vec<Notice>), ConfigError> {
    let builder = pairs.iter().try_fold(BrokerConfigBuilder::new(), |builder, pair| builder.override_with(pair));
    builder.and_then(BrokerConfigBuilder::build)
}

fn config(pairs: &[&str]) -> BrokerConfig {
    build(pairs).unwrap().0
}

fn refusal(pairs: &[&str]) -> String {
    build(pairs).unwrap_err().to_string()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn an_unconfigured_broker_listens_on_localhost() {
    let (config, notices) = build(&[]).unwrap();
    assert_eq!(notices, []);
    let listeners: Vec<String> = config.listeners().iter().map(ToString::to_string).collect();
    assert_eq!(listeners, ["PLAINTEXT://localhost:9092"]);
    assert_eq!(config.advertised("PLAINTEXT"), None);
    assert_eq!(config.log_dir(), PathBuf::from("./ottla-data"));
    assert_eq!((config.node_id(), config.num_partitions()), (1, 1));
    assert_eq!(config.get_i32("broker.id"), 1);
    assert_eq!(config.inter_broker_listener_name(), Some("PLAINTEXT"));
    assert_eq!(config.queued_max_request_bytes(), 128 << 20);
}

#[test]
fn later_layers_win() {
    let environment =
        variables(&[("KAFKA_NUM_PARTITIONS", "3"), ("KAFKA_LOG_DIRS", "/env"), ("CLUSTER_ID", "abc"), ("PATH", "/")]);
    let (config, _) = BrokerConfigBuilder::new()
        .properties("num.partitions=2\nlog.dirs=/file\nbroker.rack=r1\n")
        .unwrap()
        .environment(environment)
        .override_with("num.partitions=4")
        .unwrap()
        .build()
        .unwrap();
    assert_eq!((config.num_partitions(), config.log_dir()), (4, PathBuf::from("/env")));
    assert_eq!((config.rack().as_deref(), config.fresh_cluster_id()), (Some("r1"), Some("abc")));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = BrokerConfigBuilder::new().properties_file(Path::new("/no/such/server.properties")).unwrap_err();
    assert!(error.to_string().contains("/no/such/server.properties"), "{error}");
}

#[test]
fn notices_name_each_key_once() {
    let pairs =
        ["num.io.threads=3", "zookeeper.connect=x", "num.io.threads=4", "listener.name.foo.ssl.client.auth=none"];
    let (_, notices) = build(&pairs).unwrap();
    let shown: Vec<String> = notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "listener.name.foo.ssl.client.auth is accepted without effect",
            "num.io.threads is accepted without effect",
            "zookeeper.connect is not a known configuration key: ignored",
        ]
    );
    let (config, notices) = build(&["log.dirs=/a,/b"]).unwrap();
    assert_eq!(config.log_dir(), PathBuf::from("/a"));
    assert_eq!(notices[0].to_string(), "only the first log directory is used: /a, not /b");
}

#[test]
fn log_dir_serves_where_log_dirs_is_not_set() {
    assert_eq!(config(&["log.dir=/one"]).log_dir(), PathBuf::from("/one"));
    assert_eq!(config(&["log.dir=/one", "log.dirs=/two"]).log_dir(), PathBuf::from("/two"));
}

#[test]
fn a_bad_value_names_key_value_and_what_is_valid() {
    assert_eq!(
        refusal(&["num.partitions=abc"]),
        "Invalid value abc for configuration num.partitions: Not a number of type INT (valid: int, at least 1)"
    );
    assert_eq!(
        refusal(&["log.retention.ms=0"]),
        "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"
    );
    assert_eq!(refusal(&["node.id=1", "broker.id=2"]), "You must set `node.id` to the same value as `broker.id`.");
    assert_eq!(
        refusal(&["group.consumer.session.timeout.ms=10"]),
        "group.consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"
    );
    assert_eq!(
        refusal(&["queued.max.request.bytes=10"]),
        "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"
    );
    assert_eq!(
        refusal(&["offsets.topic.compression.codec=9"]),
        "Unknown compression type id: 9 (offsets.topic.compression.codec=9) (valid: 0 to 4)"
    );
}

#[test]
fn our_bound_on_requests_gives_way_to_a_larger_request() {
    let config = config(&["socket.request.max.bytes=200000000"]);
    assert_eq!(config.queued_max_request_bytes(), 200_000_000);
    let unbounded = self::config(&["queued.max.request.bytes=-1"]);
    assert_eq!(unbounded.queued_max_request_bytes(), -1);
}

#[test]
fn either_id_sets_both() {
    assert_eq!(config(&["broker.id=7"]).node_id(), 7);
    assert_eq!(config(&["node.id=7"]).get_i32("broker.id"), 7);
}

#[test]
fn the_listeners_of_a_test_container_are_understood() {
    let environment = variables(&[
        ("KAFKA_LISTENERS", "PLAINTEXT://0.0.0.0:9092,BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094"),
        ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:32768,BROKER://4b1f:9093"),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_NODE_ID", "1"),
    ]);
    let (config, notices) = BrokerConfigBuilder::new().environment(environment).build().unwrap();
    assert_eq!(notices, []);
    assert_eq!(config.listeners().len(), 3);
    assert!(config.is_controller_listener("controller") && !config.is_controller_listener("BROKER"));
    assert_eq!(config.advertised("plaintext").unwrap().to_string(), "PLAINTEXT://localhost:32768");
    assert_eq!(config.advertised("CONTROLLER"), None);
    assert_eq!(config.inter_broker_listener_name(), Some("BROKER"));
}

#[test]
fn an_environment_that_only_advertises_binds_everywhere() {
    let environment = variables(&[("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://kafka:9092")]);
    let (config, _) = BrokerConfigBuilder::new().environment(environment).build().unwrap();
    assert_eq!(config.listeners()[0].to_string(), "PLAINTEXT://0.0.0.0:9092");
    assert_eq!(config.advertised("PLAINTEXT").unwrap().host.as_deref(), Some("kafka"));
}

#[test]
fn controllers_speak_plaintext_unless_a_map_says_otherwise() {
    let listeners = "listeners=PLAINTEXT://:9092,CONTROLLER://:9093,";
    assert_eq!(config(&[listeners]).listeners().len(), 2);
    let undefined = refusal(&[listeners, "listener.security.protocol.map=PLAINTEXT:PLAINTEXT"]);
    assert!(undefined.contains("No security protocol defined for listener CONTROLLER"), "{undefined}");
    let undefined = refusal(&["listeners=PLAINTEXT://:9092,FOO://:9094"]);
    assert!(undefined.contains("No security protocol defined for listener FOO"), "{undefined}");
}

#[test]
fn secure_listeners_are_refused_by_name() {
    for protocol in ["SSL", "SASL_PLAINTEXT", "SASL_SSL"] {
        let refused = refusal(&[&format!("listeners={protocol}://:9092")]);
        let expected =
            format!("security protocol {protocol} of listener {protocol} is not supported yet: only PLAINTEXT");
        assert!(refused.starts_with(&expected), "{refused}");
    }
}

#[test]
fn what_is_advertised_can_be_reached_and_is_bound() {
    let message = "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.";
    assert_eq!(refusal(&["advertised.listeners=PLAINTEXT://0.0.0.0:9092"]), message);
    assert_eq!(config(&["listeners=PLAINTEXT://0.0.0.0:9092"]).advertised("PLAINTEXT"), None);
    let refused = refusal(&[
        "listeners=PLAINTEXT://:9092",
        "advertised.listeners=PLAINTEXT://h:9092,FOO://h:1",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,FOO:PLAINTEXT",
    ]);
    assert!(refused.contains("Found PLAINTEXT,FOO. The valid options"), "{refused}");
    let own_address = config(&["advertised.listeners=PLAINTEXT://:9092"]);
    assert_eq!(own_address.advertised("PLAINTEXT").unwrap().host, None);
}

#[test]
fn the_inter_broker_listener_is_one_of_the_map() {
    assert_eq!(
        refusal(&["inter.broker.listener.name=FOO"]),
        "Listener with name FOO defined in inter.broker.listener.name not found in listener.security.protocol.map."
    );
    let both = ["inter.broker.listener.name=PLAINTEXT", "security.inter.broker.protocol=PLAINTEXT"];
    assert_eq!(
        refusal(&both),
        "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set."
    );
}

#[test]
fn who_advertises_is_reachable() {
    let config = config(&["advertised.listeners=PLAINTEXT://kafka:32768"]);
    assert_eq!(config.listeners()[0].to_string(), "PLAINTEXT://:9092");
}

#[test]
fn secrets_are_not_printed() {
    let config = config(&["ssl.key.password=hush", "confluent.key=hush", "broker.rack=r1"]);
    let printed = format!("{config:?}");
    assert!(!printed.contains("hush") && printed.contains("r1"), "{printed}");
    let value = format!("{:?}", config.value("ssl.key.password"));
    assert!(!value.contains("hush"), "{value}");
}

#[test]
fn bitnamis_variables_count_more_and_a_trailing_comma_does_not() {
    let environment = variables(&[
        ("KAFKA_CFG_LISTENERS", "PLAINTEXT://:9092,CONTROLLER://:9093,"),
        ("KAFKA_LISTENERS", "PLAINTEXT://:1"),
        ("KAFKA_CFG_ADVERTISED_LISTENERS", "PLAINTEXT://h:9092,"),
        ("KAFKA_KRAFT_CLUSTER_ID", "abc"),
        ("KAFKA_BROKER_ID", "7"),
    ]);
    let (config, notices) = BrokerConfigBuilder::new().environment(environment).build().unwrap();
    assert_eq!(notices, []);
    assert_eq!(config.listeners().iter().map(|one| one.port).collect::<Vec<_>>(), [9092, 9093]);
    assert_eq!(config.advertised("PLAINTEXT").unwrap().host.as_deref(), Some("h"));
    assert_eq!((config.cluster_id(), config.fresh_cluster_id(), config.node_id()), (None, Some("abc"), 7));
}

#[test]
fn the_exposed_port_is_bound_too_where_listeners_are_derived() {
    let built = |variables_set: &[(&str, &str)]| {
        let builder = BrokerConfigBuilder::new().environment(variables(variables_set)).exposed_port(9092);
        builder.build().unwrap().0.also_bound().map(ToString::to_string)
    };
    let advertised = ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:39092");
    assert_eq!(built(&[advertised]).as_deref(), Some("PLAINTEXT://:9092"));
    assert_eq!(built(&[advertised, ("KAFKA_LISTENERS", "PLAINTEXT://:39092")]), None);
    assert_eq!(built(&[("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:9092")]), None);
    assert_eq!(built(&[]), None);
}

#[test]
fn a_quorum_of_several_nodes_is_said_to_be_none() {
    let voters = |text: &str| {
        let environment = variables(&[("KAFKA_CONTROLLER_QUORUM_VOTERS", text)]);
        let notices = BrokerConfigBuilder::new().environment(environment).build().unwrap().1;
        notices.into_iter().filter(|notice| matches!(notice, Notice::OtherNodes { .. })).collect::<Vec<_>>()
    };
    assert_eq!(voters("1@a:9093"), []);
    assert_eq!(voters("1@a:9093,2@b:9093"), [Notice::OtherNodes { voters: "1@a:9093,2@b:9093".to_owned() }]);
}
