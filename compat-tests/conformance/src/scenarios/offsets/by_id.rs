//! Version 10 of OffsetCommit and OffsetFetch: topics by id.

use super::requests::*;
use crate::by_id::{CommitById, FetchById, VERSION};
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use crate::scenarios::consumer::requests::{first, joined as consumer_joined};
use crate::scenarios::groups::member::alone;
use crate::scenarios::groups::requests::join;

const NIL: &str = "00000000-0000-0000-0000-000000000000";
const STRANGE: &str = "12345678-1234-1234-1234-123456789abc";

pub fn all() -> Vec<Scenario> {
    vec![scenario("offset-commit/by-id", commits), scenario("offset-fetch/by-id", fetches)]
}

/// OffsetCommit by (generation, member) of topics by the text of their ids.
fn by_id(group: &str, who: (i32, &str), topics: &[(&str, &[(i32, i64)])]) -> CommitById {
    let topics = topics.iter().map(|(id, partitions)| offsets(id, partitions)).collect();
    CommitById(commit_by(group, who, topics))
}

fn fetch_by_id(groups: &[Asked]) -> FetchById {
    FetchById(fetch_groups(groups))
}

fn commits(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 2)?, play.topic("u", 1)?);
    let (t_id, u_id) = (t.id.to_string(), u.id.to_string());
    let group = play.group("simple")?;
    let simple = (-1, "");
    let ask = |play: &mut Play, label: &str, topics: &[(&str, &[(i32, i64)])]| {
        play.ask(label, VERSION, by_id(&group, simple, topics)).map(drop)
    };
    ask(play, "two topics", &[(&t_id, &[(1, 5), (0, 6)]), (&u_id, &[(0, 7)])])?;
    play.ask("as they are told by name", 9, fetch(9, &group, None))?;
    ask(play, "a partition that is not there", &[(&t_id, &[(0, 8), (2, 9), (-1, 9)])])?;
    ask(play, "an unknown id", &[(STRANGE, &[(0, 1), (1, 1)])])?;
    ask(play, "no id", &[(NIL, &[(0, 1)])])?;
    ask(play, "one of two is known", &[(STRANGE, &[(0, 1)]), (&u_id, &[(0, 10)])])?;
    ask(play, "a topic twice", &[(&t_id, &[(0, 11)]), (&t_id, &[(1, 12)])])?;
    ask(play, "a partition twice", &[(&t_id, &[(0, 13), (0, 14)])])?;
    ask(play, "no topics", &[])?;
    ask(play, "no partitions", &[(&t_id, &[])])?;
    play.ask("what became of it", 9, fetch(9, &group, None))?;
    play.group_log("commits by id", &group)?;
    let one: &[(&str, &[(i32, i64)])] = &[(&t_id, &[(0, 1)])];
    let absent = play.group("absent")?;
    play.ask("a member of an absent group", VERSION, by_id(&absent, (1, "x"), one))?;
    play.ask("of an absent group, to an unknown id", VERSION, by_id(&absent, (1, "x"), &[(STRANGE, &[(0, 1)])]))?;

    let group = play.group("classic")?;
    let a = alone(play, &join(&group, "a"))?;
    play.ask("a member", VERSION, by_id(&group, (a.generation, &a.id), one))?;
    play.ask("another generation", VERSION, by_id(&group, (a.generation + 1, &a.id), one))?;
    play.ask("another member", VERSION, by_id(&group, (a.generation, "x"), one))?;
    let mut request = by_id(&group, (a.generation, &a.id), one);
    request.0.topics[0].partitions[0].committed_leader_epoch = 3;
    request.0.topics[0].partitions[0].committed_metadata = None;
    play.ask("with an epoch, without metadata", VERSION, request)?;
    play.ask("the classic group's", 9, fetch(9, &group, None))?;

    let group = play.consumer_group("consumer")?;
    let epoch = consumer_joined(play, first(&group, "m", &[&t]))?;
    play.ask("a member of a consumer group", VERSION, by_id(&group, (epoch, "m"), one))?;
    play.ask("a stale epoch", VERSION, by_id(&group, (epoch - 1, "m"), one))?;
    play.ask("a stranger", VERSION, by_id(&group, (epoch, "n"), one))?;
    play.ask("the consumer group's", 9, fetch(9, &group, None))?;
    Ok(())
}

fn fetches(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 3)?, play.topic("u", 1)?);
    let (t_id, u_id) = (t.id.to_string(), u.id.to_string());
    let group = play.group("g")?;
    let topics = vec![with_metadata(&t, &[(0, 1, Some("one")), (2, 3, Some(""))]), with_metadata(&u, &[(0, 4, None)])];
    play.quiet(9, commit_by(&group, (-1, ""), topics))?;
    let ask = |play: &mut Play, label: &str, topics: Option<&[(&str, &[i32])]>| {
        play.ask(label, VERSION, fetch_by_id(&[(&group, topics)])).map(drop)
    };
    ask(play, "two topics, committed by name", Some(&[(&t_id, &[2, 1, 0]), (&u_id, &[0])]))?;
    ask(play, "a partition that is not there", Some(&[(&t_id, &[0, 7, -1])]))?;
    ask(play, "an unknown id, then a known one", Some(&[(STRANGE, &[0, 1]), (&u_id, &[0])]))?;
    ask(play, "no id", Some(&[(NIL, &[0])]))?;
    ask(play, "a topic twice", Some(&[(&u_id, &[0]), (&t_id, &[0]), (&u_id, &[0])]))?;
    ask(play, "no topics", Some(&[]))?;
    ask(play, "no partitions", Some(&[(&t_id, &[])]))?;
    ask(play, "everything", None)?;
    let mut stable = fetch_by_id(&[(&group, None)]);
    stable.0.require_stable = true;
    play.ask("everything that is stable", VERSION, stable)?;
    let other = play.group("other")?;
    let simple = by_id(&other, (-1, ""), &[(&t_id, &[(1, 9)])]);
    play.quiet(VERSION, simple)?;
    let wanted: &[(&str, &[i32])] = &[(&t_id, &[0, 1])];
    let absent = play.group("absent")?;
    let groups = [(group.as_str(), Some(wanted)), (other.as_str(), None), (absent.as_str(), Some(wanted))];
    play.ask("three groups", VERSION, fetch_by_id(&groups))?;

    let consumers = play.consumer_group("consumer")?;
    let epoch = consumer_joined(play, first(&consumers, "m", &[&t]))?;
    for (label, member, epoch) in
        [("a member", "m", epoch), ("a stale epoch", "m", epoch - 1), ("a stranger", "n", epoch)]
    {
        let mut request = fetch_by_id(&[(&consumers, Some(wanted))]);
        request.0.groups[0].member_id = Some(text(member));
        request.0.groups[0].member_epoch = epoch;
        play.ask(label, VERSION, request)?;
    }

    play.delete(&t)?;
    ask(play, "the id of a deleted topic", Some(&[(&t_id, &[0]), (&u_id, &[0])]))?;
    Ok(())
}
