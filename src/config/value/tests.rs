use super::*;
use crate::config::table::{Scope, find};

fn read(scope: Scope, name: &str, text: &str) -> Result<String, String> {
    let key = find(scope, name).unwrap();
    parse(key, name, text).map(|value| value.to_string()).map_err(|error| error.message)
}

#[test]
fn broker_values_are_read_as_kafka_reads_them() {
    let cases: &[(&str, &str, Result<&str, &str>)] = &[
        ("num.partitions", " 5 ", Ok("5")),
        ("num.partitions", "+5", Ok("5")),
        ("num.partitions", "", Err("Invalid value  for configuration num.partitions: Not a number of type INT")),
        ("num.partitions", "0", Err("Invalid value 0 for configuration num.partitions: Value must be at least 1")),
        (
            "num.partitions",
            "99999999999",
            Err("Invalid value 99999999999 for configuration num.partitions: Not a number of type INT"),
        ),
        ("auto.create.topics.enable", " TRUE ", Ok("true")),
        (
            "auto.create.topics.enable",
            "yes",
            Err("Invalid value yes for configuration auto.create.topics.enable: Expected value to be either true or \
                 false"),
        ),
        (
            "offsets.topic.replication.factor",
            "70000",
            Err("Invalid value 70000 for configuration offsets.topic.replication.factor: Not a number of type SHORT"),
        ),
        ("log.dirs", "", Err("Configuration 'log.dirs' must not be empty. Valid values include: any non-empty value")),
        ("log.dirs", "a,", Err("Configuration 'log.dirs' values must not be empty.")),
        ("log.dirs", "a, b ,a", Ok("a,b")),
        (
            "process.roles",
            "",
            Err("Configuration 'process.roles' must not be empty. Valid values include: [broker, controller]"),
        ),
        ("group.consumer.migration.policy", "Disabled", Ok("Disabled")),
        (
            "group.consumer.migration.policy",
            "x",
            Err("Invalid value x for configuration group.consumer.migration.policy: String must be one of (case \
                 insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL"),
        ),
        (
            "remote.log.manager.task.retry.jitter",
            "-1",
            Err("Invalid value -1.0 for configuration remote.log.manager.task.retry.jitter: Value must be at least 0"),
        ),
        (
            "controller.quorum.voters",
            "x",
            Err("Invalid configuration value for controller.quorum.voters. Each entry should be in the form \
                 `{id}@{host}:{port}`."),
        ),
        ("controller.quorum.voters", "1@localhost:9094", Ok("1@localhost:9094")),
        ("ssl.key.password", "secret", Ok("[hidden]")),
    ];
    for &(name, text, expected) in cases {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(read(Scope::Broker, name, text), expected, "{name}={text}");
    }
}

#[test]
fn doubles_are_printed_as_java_prints_them() {
    let cases = [
        ("12345678.9", "1.23456789E7"),
        ("1e7", "1.0E7"),
        ("9999999", "9999999.0"),
        ("1e-4", "1.0E-4"),
        ("2e-3", "0.002"),
        ("123456789012345680", "1.2345678901234568E17"),
        ("-0.0", "-0.0"),
        ("0", "0.0"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("100f", "100.0"),
        (".5", "0.5"),
        ("5.", "5.0"),
        ("1.7976931348623157E308", "1.7976931348623157E308"),
    ];
    for (text, printed) in cases {
        assert_eq!(read(Scope::Broker, "log.cleaner.io.max.bytes.per.second", text).as_deref(), Ok(printed));
    }
    for text in ["", "x", "inf", "nan", "1_0"] {
        assert!(read(Scope::Broker, "log.cleaner.io.max.bytes.per.second", text).is_err(), "{text}");
    }
}

#[test]
fn throttled_replicas_and_offset_resets_have_their_own_forms() {
    let throttled = |text| read(Scope::Topic, "leader.replication.throttled.replicas", text);
    assert_eq!(throttled(" 1:2 , 3:4"), Ok("1:2,3:4".to_owned()));
    assert_eq!((throttled("*"), throttled("")), (Ok("*".to_owned()), Ok(String::new())));
    let message = throttled("*,1:2").unwrap_err();
    assert!(message.starts_with("Invalid value [*, 1:2] for configuration leader."), "{message}");
    assert!(throttled("-1:2").is_err() && throttled("1").is_err());

    let reset = |text| read(Scope::Group, "share.auto.offset.reset", text).is_ok();
    for good in ["earliest", "latest", "by_duration:PT1H", "by_duration:P1D", "by_duration:P1DT2H3M4.5S"] {
        assert!(reset(good), "{good}");
    }
    for bad in ["none", "EARLIEST", "by_duration:", "by_duration:xx", "by_duration:-PT1H", "by_duration:P1DT"] {
        assert!(!reset(bad), "{bad}");
    }
}
