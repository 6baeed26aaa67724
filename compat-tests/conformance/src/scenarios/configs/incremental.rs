//! IncrementalAlterConfigs: set, delete, append, subtract; topics, the broker, the default of all brokers.

use super::super::requests::*;
use super::tables::is;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("configs/incremental", operations),
        scenario("configs/incremental-lists", lists),
        scenario("configs/incremental-refusals", refusals),
        scenario("configs/broker-dynamic", broker_dynamic).alone(),
        scenario("configs/broker-refusals", broker_refusals).alone(),
        scenario("configs/broker-loggers", broker_loggers).alone(),
        scenario("configs/client-metrics", client_metrics).alone(),
        scenario("configs/groups", groups).alone(),
    ]
}

fn seen(play: &mut Play, kind: i8, name: &str, key: &str, value: &str) -> Done {
    play.wait(&format!("{key} is {value}"), |play| Ok(is(value)(&play.quiet(4, describe(kind, name, &[key]))?)))
}

fn operations(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    for version in 0..=1 {
        play.ask(
            "validated only",
            version,
            change(TOPIC, &topic, &[("retention.ms", SET, Some("5"))]).with_validate_only(true),
        )?;
        play.ask(
            "set two",
            version,
            change(TOPIC, &topic, &[("retention.ms", SET, Some("7")), ("flush.ms", SET, Some(" 8 "))]),
        )?;
        seen(play, TOPIC, &topic, "retention.ms", "7")?;
        play.ask("the two", 4, describe(TOPIC, &topic, &["retention.ms", "flush.ms"]).with_include_synonyms(true))?;
        play.ask(
            "one set, one deleted",
            version,
            change(TOPIC, &topic, &[("retention.ms", SET, Some("9")), ("flush.ms", DELETE, None)]),
        )?;
        seen(play, TOPIC, &topic, "retention.ms", "9")?;
        play.ask("the two", 4, describe(TOPIC, &topic, &["retention.ms", "flush.ms"]).with_include_synonyms(true))?;
        play.ask(
            "deleted, though there is a value",
            version,
            change(TOPIC, &topic, &[("retention.ms", DELETE, Some("x"))]),
        )?;
        play.ask("deleted though not set", version, change(TOPIC, &topic, &[("flush.messages", DELETE, None)]))?;
        play.ask("nothing changed", version, change(TOPIC, &topic, &[]))?;
    }
    Ok(())
}

fn lists(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let key = "cleanup.policy";
    let steps: &[(&str, i8, &str, &str)] = &[
        ("append to the default", APPEND, "compact", "delete,compact"),
        ("append what is there", APPEND, "compact", "delete,compact"),
        ("subtract one", SUBTRACT, "delete", "compact"),
        ("subtract what is not there", SUBTRACT, "delete", "compact"),
        ("append two with blanks", APPEND, " delete , compact ", "compact,delete"),
        ("set", SET, "compact", "compact"),
    ];
    for (label, operation, value, then) in steps {
        play.ask(label, 1, change(TOPIC, &topic, &[(key, *operation, Some(value))]))?;
        seen(play, TOPIC, &topic, key, then)?;
        play.ask("the list", 4, describe(TOPIC, &topic, &[key]))?;
    }
    play.ask("subtract the last", 1, change(TOPIC, &topic, &[(key, SUBTRACT, Some("compact"))]))?;
    seen(play, TOPIC, &topic, key, "")?;
    play.ask("the list", 4, describe(TOPIC, &topic, &[key]))?;
    play.ask("append what is not valid", 1, change(TOPIC, &topic, &[(key, APPEND, Some("nothing"))]))?;
    let throttled = "leader.replication.throttled.replicas";
    play.ask("append to an empty list", 1, change(TOPIC, &topic, &[(throttled, APPEND, Some("0:1"))]))?;
    seen(play, TOPIC, &topic, throttled, "0:1")?;
    play.ask("the list", 4, describe(TOPIC, &topic, &[throttled]))?;
    Ok(())
}

fn refusals(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    type Changes<'a> = &'a [(&'a str, i8, Option<&'a str>)];
    let cases: &[(&str, Changes)] = &[
        ("a bad value", &[("retention.ms", SET, Some("x"))]),
        ("a good one and a bad one", &[("flush.ms", SET, Some("5")), ("retention.ms", SET, Some("x"))]),
        ("an unknown key", &[("no.such", SET, Some("1"))]),
        ("an unknown key deleted", &[("no.such", DELETE, None)]),
        ("an empty key", &[("", SET, Some("1"))]),
        ("a null value set", &[("retention.ms", SET, None)]),
        ("a null value appended", &[("cleanup.policy", APPEND, None)]),
        ("append to what is no list", &[("retention.ms", APPEND, Some("5"))]),
        ("subtract from what is no list", &[("retention.ms", SUBTRACT, Some("5"))]),
        ("a key twice", &[("retention.ms", SET, Some("5")), ("retention.ms", SET, Some("6"))]),
        ("set and deleted", &[("retention.ms", SET, Some("5")), ("retention.ms", DELETE, None)]),
        ("operation 4", &[("retention.ms", 4, Some("5"))]),
        ("operation -1", &[("retention.ms", -1, Some("5"))]),
        (
            "keys that do not go together",
            &[("min.compaction.lag.ms", SET, Some("9")), ("max.compaction.lag.ms", SET, Some("5"))],
        ),
    ];
    for (label, changes) in cases {
        play.attempt("main", label, 1, change(TOPIC, &topic, changes))?;
    }
    let unknown = play.name("unknown");
    for name in [&*unknown, "", "..", "a/b"] {
        play.ask(&format!("the topic \"{name}\""), 1, change(TOPIC, name, &[("flush.ms", SET, Some("5"))]))?;
    }
    for kind in [0, 1, 3, 64, -1] {
        play.attempt("main", &format!("resource type {kind}"), 1, change(kind, "x", &[("a", SET, Some("b"))]))?;
    }
    let mut twice = change(TOPIC, &topic, &[("flush.ms", SET, Some("5"))]);
    twice.resources.extend(change(TOPIC, &topic, &[("flush.ms", SET, Some("6"))]).resources);
    twice.resources.extend(change(TOPIC, &unknown, &[("flush.ms", SET, Some("6"))]).resources);
    play.attempt("main", "the same resource twice, and another", 1, twice)?;
    let mut two = change(TOPIC, &topic, &[("flush.messages", SET, Some("5"))]);
    two.resources.extend(change(TOPIC, &unknown, &[("flush.ms", SET, Some("6"))]).resources);
    play.ask("a good resource and a bad one", 1, two)?;
    seen(play, TOPIC, &topic, "flush.messages", "5")?;
    play.ask("what has changed", 4, describe(TOPIC, &topic, &["flush.ms", "flush.messages", "retention.ms"]))?;
    Ok(())
}

/// Dynamic keys of one broker and of all: sources and synonyms, of the broker and of topics.
fn broker_dynamic(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let key = "log.retention.ms";
    let look = |play: &mut Play| -> Done {
        play.settle();
        play.ask(
            "the broker's key",
            4,
            describe(BROKER, "1", &[key, "log.retention.hours"]).with_include_synonyms(true),
        )?;
        play.ask("the default of brokers", 4, describe(BROKER, "", &[key]).with_include_synonyms(true))?;
        play.ask("the topic's key", 4, describe(TOPIC, &topic, &["retention.ms"]).with_include_synonyms(true))?;
        Ok(())
    };
    play.ask("validated only", 1, change(BROKER, "1", &[(key, SET, Some("1000000"))]).with_validate_only(true))?;
    play.ask("set for all brokers", 1, change(BROKER, "", &[(key, SET, Some("1000000"))]))?;
    seen(play, BROKER, "1", key, "1000000")?;
    look(play)?;
    play.ask("set for this broker", 1, change(BROKER, "1", &[(key, SET, Some("2000000"))]))?;
    seen(play, BROKER, "1", key, "2000000")?;
    look(play)?;
    play.ask("deleted for this broker", 1, change(BROKER, "1", &[(key, DELETE, None)]))?;
    seen(play, BROKER, "1", key, "1000000")?;
    look(play)?;
    play.ask("deleted for all", 1, change(BROKER, "", &[(key, DELETE, None)]))?;
    play.wait("it is gone", |play| {
        Ok(play.quiet(4, describe(BROKER, "1", &[key]))?.results[0].configs[0].value.is_none())
    })?;
    look(play)
}

fn broker_refusals(play: &mut Play) -> Done {
    for (name, key, value) in [
        ("1", "num.partitions", "5"),
        ("1", "node.id", "2"),
        ("", "log.dirs", "/tmp"),
        ("1", "log.retention.ms", "x"),
        ("1", "log.retention.ms", "-2"),
        ("", "log.retention.ms", "x"),
        ("1", "log.cleaner.threads", "0"),
        ("1", "num.io.threads", "0"),
        ("1", "num.network.threads", "1000"),
        ("1", "min.insync.replicas", "2"),
        ("1", "compression.type", "bzip2"),
        ("2", "log.retention.ms", "5"),
        ("x", "log.retention.ms", "5"),
    ] {
        let request = change(BROKER, name, &[(key, SET, Some(value))]).with_validate_only(true);
        play.attempt("main", &format!("broker \"{name}\": {key}={value}"), 1, request)?;
    }
    play.ask("append to what is no list", 1, change(BROKER, "1", &[("log.retention.ms", APPEND, Some("5"))]))?;
    play.ask("an unknown key", 1, change(BROKER, "1", &[("no.such", SET, Some("1"))]))?;
    play.wait("it is there", |play| {
        Ok(!play.quiet(4, describe(BROKER, "1", &["no.such"]))?.results[0].configs.is_empty())
    })?;
    play.ask("which is kept", 4, describe(BROKER, "1", &["no.such"]).with_include_synonyms(true))?;
    play.ask("and deleted", 1, change(BROKER, "1", &[("no.such", DELETE, None)]))?;
    Ok(())
}

fn broker_loggers(play: &mut Play) -> Done {
    for (label, name, logger, level) in [
        ("an unknown logger", "1", "no.such.logger", "DEBUG"),
        ("an unknown level", "1", "root", "LOUD"),
        ("another broker", "2", "root", "DEBUG"),
        ("no broker", "", "root", "DEBUG"),
    ] {
        play.ask(label, 1, change(8, name, &[(logger, SET, Some(level))]))?;
    }
    play.ask("append", 1, change(8, "1", &[("root", APPEND, Some("DEBUG"))]))?;
    Ok(())
}

fn client_metrics(play: &mut Play) -> Done {
    let name = play.name("subscription");
    for (label, key, value) in [
        ("interval", "interval.ms", "1000"),
        ("metrics", "metrics", "org.apache.kafka.producer,org.apache.kafka.consumer"),
        ("match", "match", "client_id=a.*"),
        ("interval too small", "interval.ms", "99"),
        ("interval too large", "interval.ms", "3600001"),
        ("a match that is none", "match", "nothing"),
        ("an unknown key", "no.such", "1"),
    ] {
        play.ask(label, 1, change(16, &name, &[(key, SET, Some(value))]))?;
    }
    seen(play, 16, &name, "match", "client_id=a.*")?;
    play.ask("the subscription", 4, describe(16, &name, &[]).with_include_synonyms(true))?;
    play.ask("append to metrics", 1, change(16, &name, &[("metrics", APPEND, Some("x"))]))?;
    play.ask("no name", 1, change(16, "", &[("interval.ms", SET, Some("1000"))]))?;
    let list = kafka_protocol::messages::ListConfigResourcesRequest::default();
    play.mine_only();
    play.ask("listed", 0, list.clone())?;
    play.ask("listed with its kind", 1, list.with_resource_types(vec![16]))?;
    play.ask(
        "all keys deleted",
        1,
        change(16, &name, &[("interval.ms", DELETE, None), ("metrics", DELETE, None), ("match", DELETE, None)]),
    )?;
    Ok(())
}

fn groups(play: &mut Play) -> Done {
    let name = play.name("group");
    for (label, key, value) in [
        ("session timeout", "consumer.session.timeout.ms", "50000"),
        ("session timeout too small", "consumer.session.timeout.ms", "1"),
        ("session timeout too large", "consumer.session.timeout.ms", "100000"),
        ("heartbeat interval", "consumer.heartbeat.interval.ms", "6000"),
        ("no number", "consumer.heartbeat.interval.ms", "x"),
        ("where shares begin", "share.auto.offset.reset", "earliest"),
        ("nowhere", "share.auto.offset.reset", "nowhere"),
        ("an unknown key", "no.such", "1"),
    ] {
        play.ask(label, 1, change(32, &name, &[(key, SET, Some(value))]))?;
    }
    seen(play, 32, &name, "share.auto.offset.reset", "earliest")?;
    play.ask("the group", 4, describe(32, &name, &[]).with_include_synonyms(true))?;
    play.ask("no name", 1, change(32, "", &[("consumer.session.timeout.ms", SET, Some("50000"))]))?;
    Ok(())
}
