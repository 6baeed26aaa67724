//! The tables: every key of topics and brokers with type, default, source, synonyms. Each once; single keys at every version.

use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse, ListConfigResourcesRequest};

use super::super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("configs/every-version", every_version),
        scenario("configs/topic-table", topic_table),
        scenario("configs/topic-table-tuned", topic_table).under(Profile::Tuned),
        scenario("configs/broker-table", broker_table),
        scenario("configs/broker-table-tuned", broker_table).under(Profile::Tuned),
        scenario("configs/topic-sources", topic_sources),
        scenario("configs/describe-errors", describe_errors),
        scenario("configs/other-resources", other_resources),
        scenario("configs/list-resources", list_resources),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let topic = play.topic_with("a", 1, &[("retention.ms", "1000"), ("cleanup.policy", "compact")])?;
    for version in 1..=4 {
        let keys = &["retention.ms", "cleanup.policy", "segment.bytes", "no.such"];
        play.ask("some keys of a topic", version, describe(TOPIC, &topic, keys))?;
        play.ask("with synonyms", version, describe(TOPIC, &topic, keys).with_include_synonyms(true))?;
        if version >= 3 {
            play.ask("with documentation", version, describe(TOPIC, &topic, keys).with_include_documentation(true))?;
        }
        play.ask(
            "some keys of the broker",
            version,
            describe(BROKER, "1", &["num.partitions", "log.retention.ms", "log.retention.hours", "node.id"]),
        )?;
    }
    Ok(())
}

fn topic_table(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    play.ask("every key of a topic", 4, describe(TOPIC, &topic, &[]).with_include_synonyms(true))?;
    Ok(())
}

fn broker_table(play: &mut Play) -> Done {
    play.ask("every key of the broker", 4, describe(BROKER, "1", &[]).with_include_synonyms(true))?;
    play.ask("every dynamic default", 4, describe(BROKER, "", &[]).with_include_synonyms(true))?;
    Ok(())
}

fn topic_sources(play: &mut Play) -> Done {
    let topic = play.topic_with(
        "a",
        1,
        &[("min.insync.replicas", "1"), ("compression.type", "lz4"), ("segment.bytes", "5000000")],
    )?;
    let keys = &[
        "min.insync.replicas",
        "compression.type",
        "segment.bytes",
        "retention.ms",
        "message.timestamp.type",
        "flush.ms",
    ];
    play.ask(
        "set on the topic, by the broker, by nobody",
        4,
        describe(TOPIC, &topic, keys).with_include_synonyms(true),
    )?;
    play.ask("an empty list of keys", 4, {
        let mut request = describe(TOPIC, &topic, keys);
        request.resources[0].configuration_keys = Some(vec![]);
        request
    })?;
    play.ask("a key twice", 4, describe(TOPIC, &topic, &["flush.ms", "flush.ms"]))?;
    Ok(())
}

fn describe_errors(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let unknown = play.name("unknown");
    for name in [&*unknown, "", "..", "a/b"] {
        play.ask(&format!("the topic \"{name}\""), 4, describe(TOPIC, name, &["flush.ms"]))?;
    }
    for name in ["2", "-1", "x", "01", "1 "] {
        play.ask(&format!("the broker \"{name}\""), 4, describe(BROKER, name, &["num.partitions"]))?;
    }
    for kind in [0, 1, 3, 5, 64, -1] {
        play.attempt("main", &format!("resource type {kind}"), 4, describe(kind, "x", &[]))?;
    }
    let mut several = describe(TOPIC, &topic, &["flush.ms"]);
    several.resources.extend(describe(TOPIC, &unknown, &["flush.ms"]).resources);
    several.resources.extend(describe(BROKER, "1", &["num.partitions"]).resources);
    play.ask("two topics and the broker", 4, several)?;
    let mut twice = describe(TOPIC, &topic, &["flush.ms"]);
    twice.resources.extend(describe(TOPIC, &topic, &["flush.messages"]).resources);
    play.ask("a topic twice", 4, twice)?;
    play.ask("nothing", 4, DescribeConfigsRequest::default())?;
    Ok(())
}

/// Broker loggers, client metrics, groups.
fn other_resources(play: &mut Play) -> Done {
    for (kind, name) in [(8, ""), (8, "2"), (16, ""), (16, "no-such"), (32, "")] {
        play.ask(
            &format!("resource type {kind}, \"{name}\""),
            4,
            describe(kind, name, &[]).with_include_synonyms(true),
        )?;
    }
    play.ask("a group that nobody knows", 4, describe(32, "no-such", &[]).with_include_synonyms(true))?;
    Ok(())
}

fn list_resources(play: &mut Play) -> Done {
    play.mine_only();
    play.topic("a", 1)?;
    play.topic("b", 1)?;
    let of = |kinds: &[i8]| ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
    play.ask("client metrics, the only kind of version 0", 0, of(&[]))?;
    for kinds in [&[][..], &[2], &[4], &[8], &[16], &[32], &[2, 2], &[2, 4, 16]] {
        play.ask(&format!("kinds {kinds:?}"), 1, of(kinds))?;
    }
    for kind in [0, 1, 3, 64, -1] {
        play.attempt("main", &format!("kind {kind}"), 1, of(&[kind]))?;
    }
    Ok(())
}

/// Whether a described key has that value.
pub fn is(value: &str) -> impl Fn(&DescribeConfigsResponse) -> bool + use<> {
    let value = value.to_string();
    move |answer| answer.results[0].configs.first().is_some_and(|c| c.value.as_deref() == Some(value.as_str()))
}
