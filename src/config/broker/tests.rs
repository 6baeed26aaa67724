use super::*;

fn build(pairs: &[&str]) -> Result<(BrokerConfig, Vec<Notice>), ConfigError> {
    let builder = pairs.iter().try_fold(BrokerConfigBuilder::new(), |builder, pair| builder.override_with(pair));
    builder.and_then(BrokerConfigBuilder::build)
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
    assert_eq!(config.inter_broker_listener_name(), Some("PLAINTEXT"));
}
