use super::*;

fn map(text: &str) -> ProtocolMap {
    parse_protocol_map(text).unwrap()
}

fn parse(text: &str) -> Result<Vec<Listener>, ConfigError> {
    let protocols = map("PLAINTEXT:PLAINTEXT,FOO:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL");
    let listeners = parse_listeners("listeners", text, &protocols)?;
    check_distinct("listeners", text, &listeners, false)?;
    Ok(listeners)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().message
}

#[test]
fn endpoints_are_read_as_kafka_reads_them() {
    let listeners = parse(" plaintext://:9092 , Foo://[::1]:19092,SSL://host-1.local:0,").unwrap();
    let shown: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["PLAINTEXT://:9092", "FOO://[::1]:19092", "SSL://host-1.local:0"]);
    assert_eq!(listeners[1].host.as_deref(), Some("::1"));
    assert_eq!((listeners[0].host.as_deref(), listeners[2].protocol), (None, SecurityProtocol::Ssl));
    assert_eq!(parse("PLAINTEXT://::1:9092").unwrap()[0].host.as_deref(), Some("::1"));
}

#[test]
fn what_is_no_endpoint_is_named() {
    for bad in ["PLAINTEXT://h", "PLAINTEXT://h:x", ":9092", "PLAINTEXT:9092", "PLAINTEXT://a b:1", "FOO://h:99999"] {
        let expected =
            format!("Error creating broker listeners from '[{bad}]': Unable to parse {bad} to a broker endpoint");
        assert_eq!(refusal(bad), expected);
    }
    assert_eq!(
        refusal("PLAINTEXT://:9092,BAR://:9094"),
        "Error creating broker listeners from '[PLAINTEXT://:9092, BAR://:9094]': \
         No security protocol defined for listener BAR"
    );
}

#[test]
fn names_and_ports_are_distinct() {
    assert_eq!(
        refusal("PLAINTEXT://:9092,plaintext://:9094"),
        "requirement failed: Each listener must have a different name, listeners: \
         [PLAINTEXT://:9092, plaintext://:9094]"
    );
    assert_eq!(
        refusal("PLAINTEXT://:9092,FOO://:9092"),
        "requirement failed: Each listener must have a different port, listeners: [PLAINTEXT://:9092, FOO://:9092]"
    );
    assert_eq!(
        refusal("PLAINTEXT://127.0.0.1:9092,FOO://127.0.0.2:9092"),
        "requirement failed: If you have two listeners on the same port then one needs to be IPv4 and the other \
         IPv6, listeners: [PLAINTEXT://127.0.0.1:9092, FOO://127.0.0.2:9092], port: 9092"
    );
    assert!(parse("PLAINTEXT://127.0.0.1:9092,FOO://[::1]:9092").is_ok());
    assert!(parse("PLAINTEXT://:0,FOO://:0").is_ok());
}

#[test]
fn protocol_maps_are_read_in_any_case() {
    let protocols = map(" plaintext : plaintext , IN:sasl_ssl,");
    assert_eq!(protocols["PLAINTEXT"], SecurityProtocol::Plaintext);
    assert_eq!(protocols["IN"], SecurityProtocol::SaslSsl);
    let refused = parse_protocol_map("PLAINTEXT:BAR").unwrap_err();
    assert_eq!(refused.message, "Invalid security protocol `BAR` defined in listener.security.protocol.map");
    assert!(parse_protocol_map("FOO").is_err());
}
