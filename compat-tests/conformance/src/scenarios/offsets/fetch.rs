//! OffsetFetch: what is known, what is not, of one group and of several.

use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;

use super::requests::*;
use crate::play::{Done, Play, text, topic_name};
use crate::run::{Scenario, scenario};
use crate::scenarios::groups::member::{alone, two};
use crate::scenarios::groups::requests::{group_id, join, leave};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("offset-fetch/every-version", every_version),
        scenario("offset-fetch/unknown", unknown),
        scenario("offset-fetch/several-groups", several_groups),
        scenario("offset-fetch/members", members),
        scenario("offset-fetch/deleted-topic", deleted_topic),
        scenario("offset-fetch/deleted-group", deleted_group),
        scenario("offset-fetch/unstable", unstable),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 3)?, play.topic("u", 1)?);
    let group = play.group("g")?;
    let topics = vec![with_metadata(&t, &[(0, 1, Some("one")), (2, 3, Some(""))]), with_metadata(&u, &[(0, 4, None)])];
    let mut request = commit_by(&group, (-1, ""), topics);
    request.topics[0].partitions[0].committed_leader_epoch = 5;
    play.quiet(9, request)?;
    for version in 1..=9 {
        play.ask(
            "two topics, one partition without offset",
            version,
            fetch(version, &group, Some(&[(&t, &[2, 1, 0]), (&u, &[0])])),
        )?;
        play.ask("one partition", version, fetch(version, &group, Some(&[(&t, &[2])])))?;
        play.ask("no topics", version, fetch(version, &group, Some(&[])))?;
        play.ask("no partitions", version, fetch(version, &group, Some(&[(&t, &[])])))?;
        if version >= 2 {
            play.ask("everything", version, fetch(version, &group, None))?;
        }
        if version >= 7 {
            let request = fetch(version, &group, None).with_require_stable(true);
            play.ask("everything, stable only", version, request)?;
        }
    }
    Ok(())
}

fn unknown(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let (group, known) = (play.group("g")?, play.group("known")?);
    play.quiet(9, commit(&known, &t, 0, 1))?;
    for version in 1..=9 {
        play.ask("an unknown group", version, fetch(version, &group, Some(&[(&t, &[0])])))?;
        let strange: &[(&str, &[i32])] = &[(&t, &[0, 1, -1]), ("no-such-topic", &[0]), ("", &[0])];
        play.ask("unknown topics and partitions", version, fetch(version, &known, Some(strange)))?;
        play.ask("a topic and a partition twice", version, fetch(version, &known, Some(&[(&t, &[0, 0]), (&t, &[0])])))?;
        play.ask("an empty group id", version, fetch(version, "", Some(&[(&t, &[0])])))?;
        if version >= 2 {
            play.ask("everything of an unknown group", version, fetch(version, &group, None))?;
        }
    }
    Ok(())
}

fn several_groups(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let (one, two, absent) = (play.group("one")?, play.group("two")?, play.group("absent")?);
    play.quiet(9, commit(&one, &t, 0, 1))?;
    play.quiet(9, commit(&two, &u, 0, 2))?;
    let of_t: &[(&str, &[i32])] = &[(&t, &[0])];
    for version in [8, 9] {
        play.ask("three groups", version, fetch_groups(&[(&two, None), (&one, None), (&absent, None)]))?;
        play.ask(
            "three groups and a topic",
            version,
            fetch_groups(&[(&one, Some(of_t)), (&two, Some(of_t)), (&absent, Some(of_t))]),
        )?;
        play.ask("a group twice", version, fetch_groups(&[(&one, None), (&one, Some(of_t))]))?;
        play.ask("no groups", version, fetch_groups(&[]))?;
        play.ask("an empty group id among them", version, fetch_groups(&[(&one, None), ("", Some(of_t))]))?;
    }
    Ok(())
}

/// Version 9 names a member; for classic groups that changes nothing.
fn members(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.group("g")?;
    let (a, _) = two(play, &join(&group, "a"), &join(&group, "b"))?;
    play.quiet(9, commit_by(&group, (a.generation, &a.id), vec![offsets(&t, &[(0, 3)])]))?;
    let by = |member: Option<&str>, epoch: i32| {
        let mut request = fetch(9, &group, None);
        request.groups[0].member_id = member.map(text);
        request.groups[0].member_epoch = epoch;
        request
    };
    play.ask("a member with its generation", 9, by(Some(&a.id), a.generation))?;
    play.ask("a member with another generation", 9, by(Some(&a.id), a.generation + 1))?;
    play.ask("an unknown member", 9, by(Some("x"), a.generation))?;
    play.ask("an empty member id", 9, by(Some(""), -1))?;
    play.ask("no member, generation 0", 9, by(None, 0))?;
    play.quiet(3, leave(3, &group, &a.id))?;
    play.ask("while the group rebalances", 9, fetch(9, &group, None))?;
    Ok(())
}

/// The offsets of a topic go with it, and do not come back.
fn deleted_topic(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 1)?, play.topic("u", 1)?);
    let (simple, joined) = (play.group("simple")?, play.group("joined")?);
    play.quiet(9, commit_by(&simple, (-1, ""), vec![offsets(&t, &[(0, 1)]), offsets(&u, &[(0, 2)])]))?;
    let a = alone(play, &join(&joined, "").subscribed(&[&t, &u]))?;
    play.quiet(9, commit_by(&joined, (a.generation, &a.id), vec![offsets(&t, &[(0, 1)]), offsets(&u, &[(0, 2)])]))?;
    play.delete(&t)?;
    let gone = |answer: &OffsetFetchResponse| answer.groups[0].topics.len() == 1;
    play.ask_until("a simple group", 9, fetch(9, &simple, None), gone)?;
    play.ask_until("a group with a subscribed member", 9, fetch(9, &joined, None), gone)?;
    play.ask("the deleted topic by name", 9, fetch(9, &simple, Some(&[(&t, &[0])])))?;
    play.quiet(5, crate::scenarios::requests::create(vec![crate::scenarios::requests::creatable(&t, 1, 1, &[])]))?;
    play.settled(&t, 1)?;
    play.ask("a new topic of its name", 9, fetch(9, &simple, Some(&[(&t, &[0])])))?;
    play.ask("a commit to it", 9, commit(&simple, &t, 0, 9))?;
    play.ask("its offset", 9, fetch(9, &simple, None))?;
    Ok(())
}

fn deleted_group(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let (simple, joined) = (play.group("simple")?, play.group("joined")?);
    play.quiet(9, commit(&simple, &t, 0, 1))?;
    let a = alone(play, &join(&joined, "a"))?;
    play.quiet(9, commit_by(&joined, (a.generation, &a.id), vec![offsets(&t, &[(0, 2)])]))?;
    play.quiet(3, leave(3, &joined, &a.id))?;
    play.ask("the offsets of an empty group", 9, fetch_groups(&[(&simple, None), (&joined, None)]))?;
    play.ask("a simple group as others see it", 6, crate::scenarios::groups::requests::describe(&[&simple]))?;
    play.ask("delete both", 2, crate::scenarios::groups::requests::delete(&[&simple, &joined]))?;
    play.ask("nothing is left", 9, fetch_groups(&[(&simple, None), (&joined, None)]))?;
    play.ask("nor by name", 9, fetch(9, &simple, Some(&[(&t, &[0])])))?;
    Ok(())
}

/// Offsets of a transaction that has not ended: whoever requires stable ones is told to come again.
fn unstable(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.group("g")?;
    play.quiet(9, commit(&group, &t, 1, 4))?;
    let id = TransactionalId(text(&play.name("id")));
    let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(&id)]);
    play.wait("the transactions' coordinator is found", |play| {
        Ok(play.quiet(4, find.clone())?.coordinators.iter().all(|c| c.error_code == 0))
    })?;
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(id.clone()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let mut producer = play.quiet(4, init.clone())?;
    play.wait("the producer has its id", |play| {
        producer = play.quiet(4, init.clone())?;
        Ok(producer.error_code == 0)
    })?;
    for commits in [false, true, false] {
        let add = AddOffsetsToTxnRequest::default()
            .with_transactional_id(id.clone())
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_group_id(group_id(&group));
        play.wait("the group is in the transaction", |play| Ok(play.quiet(3, add.clone())?.error_code == 0))?;
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(7)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text("of a transaction")));
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(&t)).with_partitions(vec![partition]);
        let pending = TxnOffsetCommitRequest::default()
            .with_transactional_id(id.clone())
            .with_group_id(group_id(&group))
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        play.quiet(3, pending)?;
        for version in 7..=9 {
            let both: &[(&str, &[i32])] = &[(&t, &[0, 1])];
            play.ask("pending", version, fetch(version, &group, Some(both)))?;
            play.ask("pending, stable only", version, fetch(version, &group, Some(both)).with_require_stable(true))?;
            play.ask("everything, pending", version, fetch(version, &group, None))?;
            play.ask(
                "everything, pending, stable only",
                version,
                fetch(version, &group, None).with_require_stable(true),
            )?;
        }
        let end = EndTxnRequest::default()
            .with_transactional_id(id.clone())
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_committed(commits);
        play.quiet(3, end)?;
        let stable = |answer: &OffsetFetchResponse| {
            answer.groups[0].topics.iter().all(|t| t.partitions.iter().all(|p| p.error_code == 0))
        };
        let label = if commits { "committed" } else { "aborted" };
        let request = fetch(9, &group, Some(&[(&t, &[0, 1])])).with_require_stable(true);
        play.ask_until(label, 9, request, stable)?;
    }
    Ok(())
}
