//! DeleteTopics (20): by name, by id, and what comes after.

use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use uuid::Uuid;

use super::requests::{delete, delete_by_id, metadata};
use crate::play::{Done, Play, topic_name};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("delete-topics/every-version", every_version),
        scenario("delete-topics/by-id", by_id),
        scenario("delete-topics/mixed", mixed),
        scenario("delete-topics/races", races),
        scenario("delete-topics/timeouts", timeouts),
        scenario("delete-topics/disabled", disabled).under(Profile::Tuned),
    ]
}

fn every_version(play: &mut Play) -> Done {
    for version in 1..=6 {
        let topic = play.topic(&format!("v{version}"), 1)?;
        let unknown = play.name("unknown");
        play.ask("one that is there, one that is not", version, delete(version, &[&topic, &unknown]))?;
        play.gone(&topic)?;
        play.ask("the same again", version, delete(version, &[&topic]))?;
        for name in ["", "..", "a/b"] {
            play.attempt("main", &format!("the name \"{name}\""), version, delete(version, &[name]))?;
        }
        play.ask("no topics", version, delete(version, &[]))?;
    }
    Ok(())
}

fn by_id(play: &mut Play) -> Done {
    let (a, b) = (play.topic("a", 1)?, play.topic("b", 1)?);
    let unknown = play.unknown_id();
    play.ask("by id, and an unknown id", 6, delete_by_id(&[a.id, unknown]))?;
    play.gone(&a)?;
    play.ask("the same id again", 6, delete_by_id(&[a.id]))?;
    play.ask("the same id twice", 6, delete_by_id(&[b.id, b.id]))?;
    play.ask("it is still there", 9, metadata(9, Some(&[&b])))?;
    Ok(())
}

fn mixed(play: &mut Play) -> Done {
    let (a, b) = (play.topic("a", 1)?, play.topic("b", 1)?);
    let of = |states: Vec<DeleteTopicState>| DeleteTopicsRequest::default().with_topics(states).with_timeout_ms(20_000);
    let named = |name: &str| DeleteTopicState::default().with_name(Some(topic_name(name)));
    let identified = |id: Uuid| DeleteTopicState::default().with_name(None).with_topic_id(id);
    play.attempt("main", "name and id of the same topic in one entry", 6, of(vec![named(&a).with_topic_id(a.id)]))?;
    play.attempt("main", "neither name nor id", 6, of(vec![identified(Uuid::nil())]))?;
    play.attempt("main", "the same topic by name and by id in two entries", 6, of(vec![named(&a), identified(a.id)]))?;
    play.attempt("main", "a bad entry beside a good one", 6, of(vec![identified(Uuid::nil()), named(&b)]))?;
    play.gone(&b)?;
    for version in [1, 5, 6] {
        play.ask("the same name twice", version, delete(version, &[&a, &a]))?;
    }
    play.ask("which of them are there", 9, metadata(9, Some(&[&a, &b])))?;
    Ok(())
}

fn timeouts(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let unknown = play.name("unknown");
    for timeout in [0, -1] {
        for version in [5, 6] {
            let request = delete(version, &[&unknown, &topic]).with_timeout_ms(timeout);
            play.attempt("main", &format!("timeout {timeout}"), version, request)?;
        }
    }
    play.ask("it is still there", 9, metadata(9, Some(&[&topic])))?;
    Ok(())
}

fn races(play: &mut Play) -> Done {
    let topic = play.topic("raced", 1)?;
    play.race("eight delete the same topic", 5, (0..8).map(|_| delete(5, &[&topic])).collect())
}

fn disabled(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let unknown = play.name("unknown");
    for version in 1..=6 {
        play.ask("delete.topic.enable=false", version, delete(version, &[&topic, &unknown]))?;
    }
    play.ask("by id", 6, delete_by_id(&[topic.id]))?;
    Ok(())
}
