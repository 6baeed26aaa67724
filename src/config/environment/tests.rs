use super::{is_bitnamis, key_of, listeners_from_advertised};

#[test]
fn underscores_become_dots_underscores_and_hyphens() {
    let cases = [
        ("KAFKA_NUM_PARTITIONS", "num.partitions"),
        ("KAFKA_LISTENER_NAME_MY___NAME_SSL_CLIENT_AUTH", "listener.name.my-name.ssl.client.auth"),
        ("KAFKA_A__B", "a_b"),
        ("KAFKA_A____B", "a-.b"),
        ("KAFKA_LOG4J_LOGGER", "log4j.logger"),
        ("KAFKA_Log_Dirs", "log.dirs"),
    ];
    for (variable, key) in cases {
        assert_eq!(key_of(variable).as_deref(), Some(key));
    }
}

#[test]
fn variables_of_the_scripts_are_no_keys() {
    for variable in ["KAFKA_HEAP_OPTS", "KAFKA_VERSION", "KAFKA_JMX_HOSTNAME", "KAFKA_", "KAFKA", "PATH", "kafka_x"] {
        assert_eq!(key_of(variable), None, "{variable}");
    }
}

#[test]
fn bitnamis_variables_have_a_rule_of_their_own() {
    let cases = [
        ("KAFKA_CFG_NUM_PARTITIONS", "num.partitions"),
        ("KAFKA_CFG_LISTENER_NAME_SASL_SSL_SCRAM", "listener.name.sasl_ssl.scram"),
        ("KAFKA_CFG_LISTENER_NAME_SASL_PLAINTEXT_X", "listener.name.sasl_plaintext.x"),
        ("KAFKA_CFG_A__B", "a..b"),
    ];
    for (variable, key) in cases {
        assert_eq!(key_of(variable).as_deref(), Some(key));
        assert!(is_bitnamis(variable), "{variable}");
    }
    assert_eq!(key_of("KAFKA_CFG_"), None);
    assert!(!is_bitnamis("KAFKA_NUM_PARTITIONS"));
}

#[test]
fn advertised_names_and_ports_are_bound_everywhere() {
    assert_eq!(
        listeners_from_advertised("PLAINTEXT://host:9092, IN://[::1]:19092,"),
        "PLAINTEXT://0.0.0.0:9092,IN://0.0.0.0:19092"
    );
}
