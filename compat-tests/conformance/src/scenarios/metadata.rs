//! Metadata (3): listings, names and ids, creation on first use, authorised operations.

use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use uuid::Uuid;

use super::requests::{metadata, metadata_by_id};
use crate::play::{Done, Play, topic_name};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("metadata/every-version", every_version),
        scenario("metadata/by-id", by_id),
        scenario("metadata/names", names),
        scenario("metadata/creates", creates),
        scenario("metadata/creates-races", creates_races),
        scenario("metadata/internal-topics", internal_topics),
        scenario("metadata/creates-not", creates_not).under(Profile::Tuned),
        scenario("metadata/authorized-operations", authorized_operations),
    ]
}

fn every_version(play: &mut Play) -> Done {
    play.mine_only();
    let topic = play.topic("a", 2)?;
    let unknown = play.name("unknown");
    for version in 0..=13 {
        play.ask("one topic", version, metadata(version, Some(&[&topic])))?;
        if version >= 4 {
            play.ask("one that is there, one that is not", version, metadata(version, Some(&[&unknown, &topic])))?;
        }
        let all = if version == 0 { Some(&[][..]) } else { None };
        play.ask("all topics", version, metadata(version, all))?;
        if version >= 1 {
            play.ask("no topics", version, metadata(version, Some(&[])))?;
        }
    }
    play.ask("the same topic twice", 9, metadata(9, Some(&[&topic, &topic])))?;
    Ok(())
}

fn by_id(play: &mut Play) -> Done {
    let (a, b) = (play.topic("a", 1)?, play.topic("b", 1)?);
    let unknown = play.unknown_id();
    for version in [10, 11] {
        play.attempt("main", "by id, where ids are not served yet", version, metadata_by_id(&[a.id]))?;
    }
    for version in [12, 13] {
        play.ask("by id", version, metadata_by_id(&[a.id]))?;
        play.ask("two ids", version, metadata_by_id(&[b.id, a.id]))?;
        play.ask("an unknown id", version, metadata_by_id(&[unknown]))?;
        play.ask("an unknown id and a known one", version, metadata_by_id(&[unknown, a.id]))?;
        play.attempt("main", "neither name nor id", version, metadata_by_id(&[Uuid::nil()]))?;
        let both = MetadataRequestTopic::default().with_topic_id(a.id).with_name(Some(topic_name(&b)));
        let request = MetadataRequest::default().with_topics(Some(vec![both])).with_allow_auto_topic_creation(false);
        play.attempt("main", "the id of one and the name of another", version, request.clone())?;
        let known = MetadataRequestTopic::default().with_name(Some(topic_name(&b)));
        let mixed =
            request.with_topics(Some(vec![known, MetadataRequestTopic::default().with_topic_id(a.id).with_name(None)]));
        play.attempt("main", "one by name and one by id", version, mixed)?;
    }
    play.attempt("main", "the same id twice", 12, metadata_by_id(&[a.id, a.id]))?;
    Ok(())
}

fn names(play: &mut Play) -> Done {
    play.topic("with_underscore", 1)?;
    let long = "x".repeat(250);
    let cases = ["", ".", "..", "a/b", "a b", "ä", &long];
    for name in cases {
        play.ask(
            &format!("the name \"{}\", without creation", &name[..name.len().min(10)]),
            9,
            metadata(9, Some(&[name])),
        )?;
    }
    for name in cases {
        let request = metadata(9, Some(&[name])).with_allow_auto_topic_creation(true);
        play.ask(&format!("the name \"{}\", to be created", &name[..name.len().min(10)]), 9, request)?;
    }
    let collides = play.name("with.underscore");
    for label in ["a name that collides with an existing one", "and once more"] {
        play.ask(label, 9, metadata(9, Some(&[&collides])).with_allow_auto_topic_creation(true))?;
    }
    Ok(())
}

/// The first request for an unknown topic makes Kafka create it; a later one finds it.
fn creates(play: &mut Play) -> Done {
    for version in [0, 1, 4, 9, 13] {
        let name = play.name(&format!("by-v{version}"));
        let request = metadata(version, Some(&[&name])).with_allow_auto_topic_creation(true);
        let there = |answer: &kafka_protocol::messages::MetadataResponse| {
            answer.topics.iter().all(|t| t.error_code == 0 && t.partitions.iter().all(|p| p.error_code == 0))
        };
        play.ask("the first request", version, request.clone())?;
        play.wait("the topic is there", |play| Ok(there(&play.quiet(version, request.clone())?)))?;
        play.id(&name)?;
        play.ask("the same request a moment later", version, request)?;
    }
    let name = play.name("longest").to_string();
    let longest = format!("{name}{}", "x".repeat(249 - name.len()));
    play.ask("a name of 249 characters", 9, metadata(9, Some(&[&longest])).with_allow_auto_topic_creation(true))?;
    for name in ["_underscore", "-dash", ".dot", "a..b"] {
        let name = format!("{name}-{}", play.prefix());
        let request = metadata(9, Some(&[&name])).with_allow_auto_topic_creation(true);
        play.ask(&format!("the name {name}"), 9, request.clone())?;
        play.ask_until("is there a moment later", 9, request, |a| a.topics.iter().all(|t| t.error_code == 0))?;
    }
    let (one, two) = (play.name("two-1"), play.name("two-2"));
    play.ask("two unknown topics", 9, metadata(9, Some(&[&one, &two])).with_allow_auto_topic_creation(true))?;
    Ok(())
}

fn creates_races(play: &mut Play) -> Done {
    let name = play.name("raced");
    let requests = (0..8).map(|_| metadata(9, Some(&[&name])).with_allow_auto_topic_creation(true)).collect::<Vec<_>>();
    for request in &requests {
        play.quiet(9, request.clone())?;
    }
    play.settled(&name, 1)?;
    play.race("eight that ask for a topic that was just created by eight", 9, requests)
}

fn internal_topics(play: &mut Play) -> Done {
    let name = "__consumer_offsets";
    let request = metadata(9, Some(&[name])).with_allow_auto_topic_creation(true);
    play.quiet(9, request.clone())?;
    play.wait("the internal topic is there", |play| {
        let answer = play.quiet(9, request.clone())?;
        Ok(answer.topics[0].error_code == 0 && answer.topics[0].partitions.iter().all(|p| p.error_code == 0))
    })?;
    play.id(name)?;
    play.ask("an internal topic is marked as such", 12, metadata(12, Some(&[name])))?;
    Ok(())
}

fn creates_not(play: &mut Play) -> Done {
    let name = play.name("never");
    for version in [0, 3, 4, 9, 13] {
        let request = metadata(version, Some(&[&name])).with_allow_auto_topic_creation(true);
        play.ask("auto.create.topics.enable=false", version, request)?;
    }
    play.settle();
    play.ask("and a moment later", 9, metadata(9, Some(&[&name])).with_allow_auto_topic_creation(true))?;
    Ok(())
}

fn authorized_operations(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let unknown = play.name("unknown");
    for version in 8..=13 {
        let request = metadata(version, Some(&[&topic, &unknown])).with_include_topic_authorized_operations(true);
        let request = if version <= 10 { request.with_include_cluster_authorized_operations(true) } else { request };
        play.ask("topic and cluster operations", version, request)?;
    }
    let request = metadata(9, Some(&[&topic])).with_include_cluster_authorized_operations(true);
    play.ask("cluster operations only", 9, request)?;
    Ok(())
}
