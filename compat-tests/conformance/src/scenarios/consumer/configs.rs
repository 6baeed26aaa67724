//! Configurations of groups: resource type 32 of the Configs APIs, and what they change.

use kafka_protocol::messages::ListConfigResourcesRequest;

use super::requests::*;
use crate::play::{Done, Play, Stop};
use crate::run::{Scenario, scenario};
use crate::scenarios::requests::{APPEND, DELETE, SET, SUBTRACT, alter, change, describe as describe_configs};

/// Kafka's resource type.
pub const GROUP: i8 = 32;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("group-configs/defaults", defaults),
        scenario("group-configs/changed", changed),
        scenario("group-configs/invalid", invalid),
        scenario("group-configs/heartbeat-interval", heartbeat_interval),
        scenario("group-configs/listed", listed),
    ]
}

/// Sets configurations without recording, and waits until they are seen.
pub fn set(play: &mut Play, group: &str, configs: &[(&str, &str)]) -> Done {
    let changes: Vec<_> = configs.iter().map(|(key, value)| (*key, SET, Some(*value))).collect();
    let answer = play.quiet(1, change(GROUP, group, &changes))?;
    if answer.responses[0].error_code != 0 {
        return Err(Stop(format!("cannot configure {group}: {answer:?}")));
    }
    seen(play, group, configs)
}

fn seen(play: &mut Play, group: &str, configs: &[(&str, &str)]) -> Done {
    let keys: Vec<&str> = configs.iter().map(|(key, _)| *key).collect();
    play.wait("the configuration is seen", |play| {
        let answer = play.quiet(4, describe_configs(GROUP, group, &keys))?;
        let value = |key: &str| answer.results[0].configs.iter().find(|c| c.name.as_str() == key)?.value.clone();
        Ok(configs.iter().all(|(key, expected)| value(key).as_deref() == Some(*expected)))
    })
}

fn defaults(play: &mut Play) -> Done {
    let group = play.group("g")?;
    for version in [1, 4] {
        play.ask("a group that nobody has configured", version, describe_configs(GROUP, &group, &[]))?;
    }
    let some = describe_configs(GROUP, &group, &["consumer.session.timeout.ms", "no.such.key"]);
    play.ask(
        "one key, and an unknown one, with synonyms",
        4,
        some.with_include_synonyms(true).with_include_documentation(true),
    )?;
    play.ask("no name", 4, describe_configs(GROUP, "", &[]))?;
    Ok(())
}

fn changed(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let (session, interval) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    play.ask("set one", 1, change(GROUP, &group, &[(session, SET, Some("50000"))]))?;
    seen(play, &group, &[(session, "50000")])?;
    play.ask(
        "as it is described",
        4,
        describe_configs(GROUP, &group, &[session, interval]).with_include_synonyms(true),
    )?;
    play.ask("set the other", 0, change(GROUP, &group, &[(interval, SET, Some("6000"))]))?;
    seen(play, &group, &[(session, "50000"), (interval, "6000")])?;
    play.ask("delete one", 1, change(GROUP, &group, &[(session, DELETE, None)]))?;
    seen(play, &group, &[(session, "45000")])?;
    play.ask("as they are described", 4, describe_configs(GROUP, &group, &[session, interval]))?;
    play.ask("only validate", 1, change(GROUP, &group, &[(session, SET, Some("55000"))]).with_validate_only(true))?;
    play.ask("alter them all at once", 2, alter(GROUP, &group, &[(session, Some("46000"))]))?;
    seen(play, &group, &[(session, "46000"), (interval, "5000")])?;
    play.ask("as they are described after that", 4, describe_configs(GROUP, &group, &[session, interval]))?;
    Ok(())
}

fn invalid(play: &mut Play) -> Done {
    let group = play.group("g")?;
    let attempt = |play: &mut Play, key: &str, operation: i8, value: Option<&str>| -> Done {
        let label = format!("{key} {} {value:?}", ["set", "delete", "append", "subtract"][operation as usize]);
        play.ask(&label, 1, change(GROUP, &group, &[(key, operation, value)])).map(drop)
    };
    for value in ["44999", "60001", "x", "", "-1"] {
        attempt(play, "consumer.session.timeout.ms", SET, Some(value))?;
    }
    attempt(play, "consumer.session.timeout.ms", SET, None)?;
    attempt(play, "consumer.session.timeout.ms", APPEND, Some("1"))?;
    attempt(play, "consumer.session.timeout.ms", SUBTRACT, Some("1"))?;
    for value in ["4999", "15001", "x"] {
        attempt(play, "consumer.heartbeat.interval.ms", SET, Some(value))?;
    }
    attempt(play, "no.such.key", SET, Some("1"))?;
    attempt(play, "no.such.key", DELETE, None)?;
    attempt(play, "share.auto.offset.reset", SET, Some("nowhere"))?;
    attempt(play, "share.isolation.level", SET, Some("read_everything"))?;
    play.ask("no name", 1, change(GROUP, "", &[("consumer.session.timeout.ms", SET, Some("50000"))]))?;
    play.ask("alter: an invalid value", 2, alter(GROUP, &group, &[("consumer.session.timeout.ms", Some("1"))]))?;
    play.ask("alter: an unknown key", 2, alter(GROUP, &group, &[("no.such.key", Some("1"))]))?;
    Ok(())
}

/// Members are told the interval of their group.
fn heartbeat_interval(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.consumer_group("g")?;
    play.ask("as is usual", 1, first(&group, "a", &[&t]))?;
    set(play, &group, &[("consumer.heartbeat.interval.ms", "7000")])?;
    play.settle();
    play.ask("as it was set", 1, beat(&group, "a", 1))?;
    play.ask("a member that joins", 1, first(&group, "b", &[&t]))?;
    play.ask("a member that leaves", 1, beat(&group, "b", -1))?;
    Ok(())
}

fn listed(play: &mut Play) -> Done {
    play.mine_only();
    let (configured, plain) = (play.group("configured")?, play.group("plain")?);
    joined(play, first(&plain, "a", &["no-such-topic"]))?;
    set(play, &configured, &[("consumer.session.timeout.ms", "50000")])?;
    for types in [vec![], vec![GROUP], vec![2, GROUP]] {
        play.ask(&format!("types {types:?}"), 1, ListConfigResourcesRequest::default().with_resource_types(types))?;
    }
    Ok(())
}
