use super::*;
use crate::config::defaults::OWN_DEFAULTS;
use crate::config::value;

const SCOPES: [Scope; 4] = [Scope::Broker, Scope::Topic, Scope::Group, Scope::ClientMetrics];

#[test]
fn every_default_is_valid_and_every_key_has_words() {
    for scope in SCOPES {
        for (name, key) in keys(scope) {
            for text in key.default.into_iter().chain(key.effective_default()) {
                value::parse(key, name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            assert!(key.doc.ends_with('.'), "{name}: {}", key.doc);
        }
    }
}

#[test]
fn the_table_has_every_key_of_kafka_once_and_six_of_our_own() {
    assert_eq!(SCOPES.map(|scope| keys(scope).len()), [350, 34, 11, 3]);
    let rows = [cluster::KEYS, broker::KEYS, log::KEYS, group::KEYS, remote::KEYS, security::KEYS, sasl::KEYS];
    assert_eq!(rows.iter().map(|rows| rows.len()).sum::<usize>(), keys(Scope::Broker).len());
}

#[test]
fn synonyms_and_own_defaults_name_broker_keys() {
    for key in keys(Scope::Topic).values() {
        for synonym in key.synonyms {
            assert!(find(Scope::Broker, synonym.name).is_some(), "{}", synonym.name);
        }
    }
    for own in OWN_DEFAULTS {
        assert!(find(Scope::Broker, own.key).is_some(), "{}", own.key);
    }
}

#[test]
fn listener_prefixes_are_looked_through() {
    let name = |text| find_broker(text).map(|key| key.name);
    assert_eq!(name("listener.name.foo.max.connections"), Some("max.connections"));
    assert_eq!(name("listener.name.foo.scram-sha-256.sasl.jaas.config"), Some("sasl.jaas.config"));
    assert_eq!(name("listener.name.foo.no.such.key"), None);
    assert_eq!(name("zookeeper.connect"), None);
}
