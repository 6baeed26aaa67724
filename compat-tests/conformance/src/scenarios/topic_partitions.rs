//! DescribeTopicPartitions (75): order, paging, cursors.

use kafka_protocol::messages::DescribeTopicPartitionsRequest;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};

use crate::play::{Done, Play, topic_name};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("topic-partitions/names", names),
        scenario("topic-partitions/pages", pages),
        scenario("topic-partitions/bad-cursors", bad_cursors),
        scenario("topic-partitions/limit", limit).under(Profile::Tight),
    ]
}

fn describe(names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
    let topics = names.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect();
    let cursor = cursor
        .map(|(topic, partition)| Cursor::default().with_topic_name(topic_name(topic)).with_partition_index(partition));
    DescribeTopicPartitionsRequest::default()
        .with_topics(topics)
        .with_response_partition_limit(limit)
        .with_cursor(cursor)
}

fn names(play: &mut Play) -> Done {
    let (a, b) = (play.topic("a", 2)?, play.topic("b", 1)?);
    let unknown = play.name("unknown");
    play.ask("two topics, asked for in the wrong order", 0, describe(&[&b, &a], 2000, None))?;
    play.ask("the same topic twice", 0, describe(&[&b, &b], 2000, None))?;
    play.ask("an unknown one between", 0, describe(&[&unknown, &a], 2000, None))?;
    play.ask("an unknown one alone", 0, describe(&[&unknown], 2000, None))?;
    for name in ["", "..", "a/b"] {
        play.ask(&format!("the name \"{name}\""), 0, describe(&[name], 2000, None))?;
    }
    Ok(())
}

fn pages(play: &mut Play) -> Done {
    let (a, b, c) = (play.topic("a", 3)?, play.topic("b", 2)?, play.topic("c", 1)?);
    let names: &[&str] = &[&a, &b, &c];
    for limit in [0, 1, 2, 3, 4, 5, 6, 7, -1] {
        play.ask(&format!("at most {limit} partitions"), 0, describe(names, limit, None))?;
    }
    play.ask("from the last partition of a", 0, describe(names, 2, Some((&a, 2))))?;
    play.ask("from the first of b", 0, describe(names, 2, Some((&b, 0))))?;
    play.ask("from beyond the last of a", 0, describe(names, 2, Some((&a, 3))))?;
    play.ask("from the last partition of all", 0, describe(names, 2, Some((&c, 0))))?;
    play.ask("from beyond the last of all", 0, describe(names, 2, Some((&c, 7))))?;
    Ok(())
}

fn bad_cursors(play: &mut Play) -> Done {
    let (a, b) = (play.topic("a", 2)?, play.topic("b", 1)?);
    let unknown = play.name("aa-unknown");
    play.attempt("main", "a cursor on a topic that is not asked for", 0, describe(&[&a], 10, Some((&b, 0))))?;
    play.attempt("main", "a cursor before the first topic asked for", 0, describe(&[&b], 10, Some((&a, 0))))?;
    play.attempt("main", "a cursor on an unknown topic", 0, describe(&[&a, &unknown, &b], 10, Some((&unknown, 0))))?;
    play.attempt("main", "a cursor on partition -1", 0, describe(&[&a], 10, Some((&a, -1))))?;
    play.attempt("main", "a cursor with an empty name", 0, describe(&[&a], 10, Some(("", 0))))?;
    Ok(())
}

/// `max.request.partition.size.limit` holds for requests that ask for more.
fn limit(play: &mut Play) -> Done {
    let (a, b) = (play.topic("a", 4)?, play.topic("b", 4)?);
    play.ask("asked for 100, allowed 5", 0, describe(&[&a, &b], 100, None))?;
    play.ask("the rest", 0, describe(&[&a, &b], 100, Some((&b, 1))))?;
    play.ask("asked for 2", 0, describe(&[&a, &b], 2, None))?;
    Ok(())
}
