//! Fetch sessions (KIP-227): what an incremental answer leaves out, in what order it comes, and every error.

use kafka_protocol::messages::FetchRequest;

use super::super::requests::*;
use crate::batch::{batch, value};
use crate::play::{Done, Play, Topic};
use crate::run::{Scenario, scenario};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("fetch/session", session),
        scenario("fetch/session-by-id", session_by_id),
        scenario("fetch/session-errors", session_errors),
        scenario("fetch/session-names-and-ids", names_and_ids),
        scenario("fetch/session-forgets", forgets),
        scenario("fetch/session-order", session_order),
        scenario("fetch/session-unknown-partition", session_unknown_partition),
        scenario("fetch/session-changes", session_changes),
        scenario("fetch/session-topics-come-and-go", topics_come_and_go),
        scenario("fetch/session-closing", closing),
        scenario("fetch/session-without-cache", cache).under(Profile::Tight),
    ]
}

/// A fetch of a session: epoch 0 opens one.
fn within(version: i16, session: i32, epoch: i32, topics: &[(&Topic, &[(i32, i64)])]) -> FetchRequest {
    let parts = |asked: &[(i32, i64)]| asked.iter().map(|(p, offset)| from(*p, *offset)).collect();
    let topics = topics.iter().map(|(topic, asked)| fetch_topic(version, topic, parts(asked))).collect();
    fetch_topics(topics).with_session_id(session).with_session_epoch(epoch)
}

fn one(play: &mut Play, topic: &Topic, partition: i32) -> Done {
    let records = batch(play.t(), vec![value("x")]);
    play.append(topic, partition, records).map(drop)
}

fn session(play: &mut Play) -> Done {
    for version in [7, 12] {
        let topic = play.topic(&format!("v{version}"), 3)?;
        one(play, &topic, 0)?;
        let opened = play.ask(
            "a full fetch opens a session",
            version,
            within(version, 0, 0, &[(&topic, &[(0, 0), (1, 0), (2, 0)])]),
        )?;
        let id = opened.session_id;
        play.ask("nothing new but what was not taken", version, within(version, id, 1, &[]))?;
        play.ask("taken: nothing new", version, within(version, id, 2, &[(&topic, &[(0, 1)])]))?;
        one(play, &topic, 1)?;
        play.ask("a record in another partition", version, within(version, id, 3, &[]))?;
        play.ask("an offset out of range", version, within(version, id, 4, &[(&topic, &[(2, 9)])]))?;
        play.ask("which is told again", version, within(version, id, 5, &[]))?;
        play.ask("until it is mended", version, within(version, id, 6, &[(&topic, &[(2, 0), (1, 1)])]))?;
    }
    Ok(())
}

fn session_by_id(play: &mut Play) -> Done {
    for version in [13, 15, 16, 17, 18] {
        let topic = play.topic(&format!("v{version}"), 2)?;
        one(play, &topic, 0)?;
        let opened =
            play.ask("a full fetch opens a session", version, within(version, 0, 0, &[(&topic, &[(0, 0), (1, 0)])]))?;
        play.ask("what was not taken", version, within(version, opened.session_id, 1, &[]))?;
        play.ask("taken", version, within(version, opened.session_id, 2, &[(&topic, &[(0, 1)])]))?;
    }
    Ok(())
}

fn session_errors(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    one(play, &topic, 0)?;
    for version in [7, 12, 13] {
        let topics: &[(&Topic, &[(i32, i64)])] = &[(&topic, &[(0, 0)])];
        play.ask("an unknown session", version, within(version, 123_456_789, 1, &[]))?;
        play.ask("an unknown session with partitions", version, within(version, 123_456_789, 5, topics))?;
        play.ask("session 0 at epoch 1", version, within(version, 0, 1, topics))?;
        let id = play.ask("open one", version, within(version, 0, 0, topics))?.session_id;
        play.ask("epoch 2 where 1 is due", version, within(version, id, 2, &[]))?;
        play.ask("epoch 1, as is due", version, within(version, id, 1, &[]))?;
        play.ask("epoch 1 again", version, within(version, id, 1, &[]))?;
        play.ask("epoch 2", version, within(version, id, 2, &[]))?;
        play.ask("epoch -2", version, within(version, id, -2, &[]))?;
        play.ask("epoch 2^31-1", version, within(version, id, i32::MAX, &[]))?;
        play.ask("from another connection", version, within(version, id, 3, &[]))?;
        play.ask_on("another", "from another connection, in turn", version, within(version, id, 4, &[]))?;
        play.ask("session -1", version, within(version, -1, 0, topics))?;
    }
    Ok(())
}

/// A session is one of names or one of ids.
fn names_and_ids(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    one(play, &topic, 0)?;
    let topics: &[(&Topic, &[(i32, i64)])] = &[(&topic, &[(0, 0)])];
    let id = play.ask("opened by name", 12, within(12, 0, 0, topics))?.session_id;
    play.ask("goes on by id", 13, within(13, id, 1, topics))?;
    play.ask("goes on by id, without partitions", 13, within(13, id, 1, &[]))?;
    play.ask("goes on by name", 12, within(12, id, 1, &[]))?;
    let id = play.ask("opened by id", 13, within(13, 0, 0, topics))?.session_id;
    play.ask("goes on by name", 12, within(12, id, 1, topics))?;
    play.ask("goes on by name, without partitions", 12, within(12, id, 1, &[]))?;
    play.ask("goes on by id", 13, within(13, id, 1, &[]))?;
    play.ask("a full fetch by name in its place", 12, within(12, id, 0, topics))?;
    Ok(())
}

fn forgets(play: &mut Play) -> Done {
    let topic = play.topic("a", 3)?;
    for partition in 0..3 {
        one(play, &topic, partition)?;
    }
    let (name, unknown_id) = (play.name("unknown"), play.unknown_id());
    let unknown = Topic { name, id: unknown_id };
    for version in [7, 12, 13] {
        let all: &[(i32, i64)] = &[(0, 0), (1, 0), (2, 0)];
        let id = play.ask("three partitions", version, within(version, 0, 0, &[(&topic, all)]))?.session_id;
        let forget = |topic: &Topic, partitions: &[i32]| vec![forgotten(version, topic, partitions)];
        play.ask(
            "one forgotten",
            version,
            within(version, id, 1, &[]).with_forgotten_topics_data(forget(&topic, &[1])),
        )?;
        play.ask("without it from here on", version, within(version, id, 2, &[]))?;
        play.ask(
            "one that was not there forgotten",
            version,
            within(version, id, 3, &[]).with_forgotten_topics_data(forget(&topic, &[1, 9])),
        )?;
        play.ask(
            "of an unknown topic",
            version,
            within(version, id, 4, &[]).with_forgotten_topics_data(forget(&unknown, &[0])),
        )?;
        let request = within(version, id, 5, &[(&topic, &[(2, 0)])]).with_forgotten_topics_data(forget(&topic, &[2]));
        play.ask("one named and forgotten at once", version, request)?;
        play.ask("what is left", version, within(version, id, 6, &[]))?;
        play.ask(
            "the last ones forgotten",
            version,
            within(version, id, 7, &[]).with_forgotten_topics_data(forget(&topic, &[0, 2])),
        )?;
        play.ask("the session after that", version, within(version, id, 8, &[]))?;
    }
    Ok(())
}

/// A session of ids knows the topic of a partition that never was.
fn session_unknown_partition(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    let id = play.ask("partitions 0 and 5", 13, within(13, 0, 0, &[(&topic, &[(0, 0), (5, 0)])]))?.session_id;
    play.ask("go on", 13, within(13, id, 1, &[]))?;
    play.quiet(5, delete(5, &[&topic]))?;
    play.gone(&topic)?;
    play.ask("go on without the topic", 13, within(13, id, 2, &[]))?;
    play.ask("its partitions named again", 13, within(13, id, 3, &[(&topic, &[(0, 0), (6, 0)])]))?;
    Ok(())
}

/// Partitions that brought records go to the end, so that a small limit starves none.
fn session_order(play: &mut Play) -> Done {
    let topic = play.topic("a", 4)?;
    for _ in 0..3 {
        for partition in 0..4 {
            one(play, &topic, partition)?;
        }
    }
    for version in [11, 13] {
        let all: &[(i32, i64)] = &[(0, 0), (1, 0), (2, 0), (3, 0)];
        let id = play
            .ask(
                "the first of four, the limit is one byte",
                version,
                within(version, 0, 0, &[(&topic, all)]).with_max_bytes(1),
            )?
            .session_id;
        for epoch in 1..6 {
            play.ask(
                &format!("the one whose turn it is ({epoch})"),
                version,
                within(version, id, epoch, &[]).with_max_bytes(1),
            )?;
        }
        play.ask("all", version, within(version, id, 6, &[]))?;
        play.ask("all again", version, within(version, id, 7, &[]))?;
    }
    Ok(())
}

/// What makes a partition without records appear in an incremental answer.
fn session_changes(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    one(play, &topic, 0)?;
    one(play, &topic, 0)?;
    let id = play.ask("open at the end", 12, within(12, 0, 0, &[(&topic, &[(0, 2), (1, 0)])]))?.session_id;
    play.ask("nothing", 12, within(12, id, 1, &[]))?;
    play.quiet(2, delete_records(&topic, &[(0, 1)]))?;
    play.ask("the log start has moved", 12, within(12, id, 2, &[]))?;
    play.ask("that was told", 12, within(12, id, 3, &[]))?;
    one(play, &topic, 1)?;
    play.ask("a record, of which the limit leaves out nothing", 12, within(12, id, 4, &[]))?;
    play.ask("taken", 12, within(12, id, 5, &[(&topic, &[(1, 1)])]))?;
    play.ask("the partition named again at the same offset", 12, within(12, id, 6, &[(&topic, &[(1, 1)])]))?;
    play.ask("named with a current leader epoch", 12, {
        let mut request = within(12, id, 7, &[(&topic, &[(1, 1)])]);
        request.topics[0].partitions[0].current_leader_epoch = 5;
        request
    })?;
    play.ask("the epoch is told again", 12, within(12, id, 8, &[]))?;
    Ok(())
}

fn topics_come_and_go(play: &mut Play) -> Done {
    for version in [12, 13] {
        let (kept, gone) = (play.topic(&format!("kept-v{version}"), 1)?, play.topic(&format!("gone-v{version}"), 1)?);
        one(play, &kept, 0)?;
        one(play, &gone, 0)?;
        let id = play
            .ask("two topics", version, within(version, 0, 0, &[(&kept, &[(0, 1)]), (&gone, &[(0, 1)])]))?
            .session_id;
        play.delete(&gone)?;
        play.ask("one of them deleted", version, within(version, id, 1, &[]))?;
        play.ask("and again", version, within(version, id, 2, &[]))?;
        play.quiet(5, create(vec![creatable(&gone, 1, 1, &[])]))?;
        play.settled(&gone, 1)?;
        let new = play.quiet(12, metadata(12, Some(&[&gone])))?.topics[0].topic_id;
        play.names.uuid(new, format!("<new id gone-v{version}>"));
        play.ask("created again under the same name", version, within(version, id, 3, &[]))?;
        let new = Topic { name: gone.name.clone(), id: new };
        play.ask("named in the session", version, within(version, id, 4, &[(&new, &[(0, 0)])]))?;
        play.ask("and after that", version, within(version, id, 5, &[]))?;
    }
    Ok(())
}

fn closing(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    one(play, &topic, 0)?;
    let topics: &[(&Topic, &[(i32, i64)])] = &[(&topic, &[(0, 0)])];
    let id = play.ask("open", 12, within(12, 0, 0, topics))?.session_id;
    play.ask("close it, and fetch once more", 12, within(12, id, -1, topics))?;
    play.ask("it is gone", 12, within(12, id, 1, &[]))?;
    let id = play.ask("open", 12, within(12, 0, 0, topics))?.session_id;
    play.ask("open another in its place", 12, within(12, id, 0, topics))?;
    play.ask("the first is gone", 12, within(12, id, 1, &[]))?;
    play.ask("close one that is not there", 12, within(12, 987_654_321, -1, topics))?;
    play.ask("open one without partitions", 12, within(12, 0, 0, &[]))?;
    let id = play.ask("open on one connection", 12, within(12, 0, 0, topics))?.session_id;
    play.close("main");
    play.ask("it outlives its connection", 12, within(12, id, 1, &[]))?;
    Ok(())
}

/// No slots: every answer is a full one, and says so by session id 0.
fn cache(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    one(play, &topic, 0)?;
    let topics: &[(&Topic, &[(i32, i64)])] = &[(&topic, &[(0, 0)])];
    for version in [7, 13] {
        play.ask("a session that is not kept", version, within(version, 0, 0, topics))?;
        play.ask("so there is none", version, within(version, 1, 1, topics))?;
    }
    Ok(())
}
