use super::*;
use crate::config::broker::BrokerConfigBuilder;

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn this_broker_wins_over_the_cluster_over_the_file() {
    let fixed = BrokerConfigBuilder::new().set("max.connections", "1").build().unwrap().0;
    let config = DynamicBrokerConfig::new(Arc::new(fixed));
    assert_eq!(config.max_connections(), 1);
    let config = config.with_cluster_default(set(&[("max.connections", "2")]));
    assert_eq!(config.max_connections(), 2);
    let config = config.with_broker(set(&[("max.connections", "3")]));
    assert_eq!(config.max_connections(), 3);
    assert_eq!(config.with_broker(BTreeMap::new()).max_connections(), 2);
}

#[test]
fn a_fresh_cluster_carries_min_insync_replicas() {
    let fixed = BrokerConfigBuilder::new().set("min.insync.replicas", "2").build().unwrap().0;
    let config = DynamicBrokerConfig::new(Arc::new(fixed));
    assert_eq!(config.cluster_default(), &set(&[("min.insync.replicas", "2")]));
}

#[test]
fn a_value_that_cannot_be_read_is_passed_over() {
    let config = DynamicBrokerConfig::new(Arc::new(BrokerConfig::defaults()));
    assert_eq!(config.with_broker(set(&[("max.connections", "many")])).max_connections(), i32::MAX);
}
