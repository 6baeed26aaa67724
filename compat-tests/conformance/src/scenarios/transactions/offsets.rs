//! TxnOffsetCommit: offsets that count with the marker, by members and by nobody.

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};
use crate::scenarios::consumer::requests as consumer;
use crate::scenarios::groups::member::alone;
use crate::scenarios::groups::requests::{delete as delete_groups, join};
use crate::scenarios::offsets::requests::{commit, delete, fetch};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("transactions/offsets-every-version", every_version),
        scenario("transactions/offsets-of-members", of_members),
        scenario("transactions/offsets-of-consumer-groups", of_consumer_groups),
        scenario("transactions/offsets-in-order", in_order),
        scenario("transactions/offsets-and-groups", and_groups),
        scenario("transactions/offsets-by-another-id", by_another_id),
        scenario("transactions/offsets-log", log),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    for version in 0..=5 {
        let group = play.group(&format!("g{version}"))?;
        let producer = play.producer(&format!("v{version}"))?;
        let offsets = |offset| producer.commit_offsets(&group, &t, &[(0, offset)]);
        play.ask("not in the transaction", version, offsets(1))?;
        play.quiet(3, producer.add_offsets(&group))?;
        play.ask("in the transaction", version, offsets(2))?;
        play.ask("as it is fetched", 7, fetch(7, &group, Some(&[(&t, &[0, 1])])))?;
        play.ask("stable only", 7, fetch(7, &group, Some(&[(&t, &[0, 1])])).with_require_stable(true))?;
        play.end(&producer, true)?;
        play.ask("committed", 7, fetch(7, &group, Some(&[(&t, &[0, 1])])).with_require_stable(true))?;
        play.ask("after the end", version, offsets(3))?;
        play.quiet(3, producer.add_offsets(&group))?;
        play.quiet(version, producer.commit_offsets(&group, &t, &[(0, 4), (1, 4)]))?;
        play.end(&producer, false)?;
        play.ask("aborted", 7, fetch(7, &group, Some(&[(&t, &[0, 1])])).with_require_stable(true))?;
        play.quiet(3, producer.add_offsets(&group))?;
        play.ask("an unknown partition beside", version, producer.commit_offsets(&group, &t, &[(0, 5), (7, 5)]))?;
        play.ask("an unknown topic", version, producer.commit_offsets(&group, "no-such-topic", &[(0, 5)]))?;
        play.ask("no topics", version, offsets(5).with_topics(vec![]))?;
        let mut long = offsets(6);
        long.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4097)));
        play.ask("long metadata", version, long)?;
        let mut null = offsets(7);
        null.topics[0].partitions[0].committed_metadata = None;
        play.ask("null metadata", version, null)?;
        play.ask("an empty group", version, producer.commit_offsets("", &t, &[(0, 1)]))?;
        let other = |producer: Producer| producer.commit_offsets(&group, &t, &[(0, 9)]);
        play.ask("another's id", version, other(producer.with_id(1_234_567)))?;
        play.ask("a higher epoch", version, other(producer.with_epoch(5)))?;
        play.end(&producer, true)?;
        play.ask("an unknown id", version, other(producer.named("no-such-id")))?;
        play.ask("an empty id", version, other(producer.named("")))?;
        play.ask("committed", 7, fetch(7, &group, None))?;
    }
    Ok(())
}

/// From version 3 on the group looks at who commits.
fn of_members(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    for version in 3..=5 {
        let group = play.group(&format!("g{version}"))?;
        let producer = play.producer(&format!("v{version}"))?;
        play.quiet(3, producer.add_offsets(&group))?;
        let by = |generation: i32, member: &str| {
            producer.commit_offsets(&group, &t, &[(0, 1)]).with_generation_id(generation).with_member_id(text(member))
        };
        play.ask("generation 1 of an absent group", version, by(1, "x"))?;
        play.ask("generation 0 of nobody in an absent group", version, by(0, ""))?;
        let a = alone(play, &join(&group, "a"))?;
        play.ask("its member", version, by(a.generation, &a.id))?;
        play.ask("another generation", version, by(a.generation + 1, &a.id))?;
        play.ask("an unknown member", version, by(a.generation, "x"))?;
        play.ask("nobody", version, by(-1, ""))?;
        play.ask("its member without a generation", version, by(-1, &a.id))?;
        play.ask("a generation of nobody", version, by(a.generation, ""))?;
        let instance = by(a.generation, &a.id).with_group_instance_id(Some(text("i")));
        play.ask("an unknown instance", version, instance)?;
        play.end(&producer, true)?;
        play.ask("committed", 7, fetch(7, &group, None))?;
    }
    Ok(())
}

/// The same by member epochs (KIP-848).
fn of_consumer_groups(play: &mut Play) -> Done {
    let t = play.topic("t", 4)?;
    for version in 3..=5 {
        let group = play.consumer_group(&format!("g{version}"))?;
        let epoch = consumer::two(play, &group, &t)?;
        let producer = play.producer(&format!("v{version}"))?;
        play.quiet(3, producer.add_offsets(&group))?;
        let by = |epoch: i32, member: &str| {
            producer.commit_offsets(&group, &t, &[(0, 1)]).with_generation_id(epoch).with_member_id(text(member))
        };
        play.ask("a member", version, by(epoch, "a"))?;
        play.ask("the epoch before", version, by(epoch - 1, "a"))?;
        play.ask("the epoch to come", version, by(epoch + 1, "a"))?;
        play.ask("an unknown member", version, by(epoch, "x"))?;
        play.ask("no member", version, by(epoch, ""))?;
        play.ask("a producer that does not say whose", version, by(-1, ""))?;
        play.ask("epoch -1 of a member", version, by(-1, "a"))?;
        let instance = by(epoch, "a").with_group_instance_id(Some(text("i")));
        play.ask("a member as an instance", version, instance)?;
        play.end(&producer, true)?;
        play.ask("committed", 9, fetch(9, &group, None))?;
    }
    Ok(())
}

/// Of two commits the later one counts, also where the earlier one's transaction ends later.
fn in_order(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.group("g")?;
    let (a, b) = (play.producer("a")?, play.producer("b")?);
    play.quiet(3, a.add_offsets(&group))?;
    play.quiet(3, b.add_offsets(&group))?;
    play.quiet(3, a.commit_offsets(&group, &t, &[(0, 1)]))?;
    play.quiet(9, commit(&group, &t, 0, 2))?;
    play.quiet(3, b.commit_offsets(&group, &t, &[(0, 3)]))?;
    let all: &[(&str, &[i32])] = &[(&t, &[0])];
    play.ask("pending", 7, fetch(7, &group, Some(all)))?;
    play.end(&b, true)?;
    play.ask("the later transaction is committed", 7, fetch(7, &group, Some(all)))?;
    play.ask("the other still pends", 7, fetch(7, &group, Some(all)).with_require_stable(true))?;
    play.end(&a, true)?;
    play.ask("the earlier transaction is committed", 7, fetch(7, &group, Some(all)).with_require_stable(true))?;
    Ok(())
}

/// Offsets that pend when they, or their group, are deleted.
fn and_groups(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    let group = play.group("g")?;
    let producer = play.producer("id")?;
    play.quiet(3, producer.add_offsets(&group))?;
    play.quiet(3, producer.commit_offsets(&group, &t, &[(0, 1), (1, 1)]))?;
    play.ask("a pending offset is deleted", 0, delete(&group, &[(&t, &[0])]))?;
    let all: &[(&str, &[i32])] = &[(&t, &[0, 1])];
    play.ask("as it is fetched", 7, fetch(7, &group, Some(all)).with_require_stable(true))?;
    play.end(&producer, true)?;
    play.ask("committed", 7, fetch(7, &group, Some(all)).with_require_stable(true))?;
    play.quiet(3, producer.add_offsets(&group))?;
    play.quiet(3, producer.commit_offsets(&group, &t, &[(0, 2)]))?;
    play.ask("the group is deleted", 2, delete_groups(&[&group]))?;
    play.end(&producer, true)?;
    play.ask("what is left", 7, fetch(7, &group, Some(all)).with_require_stable(true))?;
    Ok(())
}

/// Kafka does not ask whose transaction it is once it is open in the group's partition.
fn by_another_id(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.group("g")?;
    let producer = play.producer("id")?;
    play.quiet(3, producer.add_offsets(&group))?;
    play.quiet(3, producer.commit_offsets(&group, &t, &[(0, 1)]))?;
    let other = producer.named("no-such-id").commit_offsets(&group, &t, &[(0, 2)]);
    play.ask("an unknown id", 3, other)?;
    play.quiet(3, producer.commit_offsets(&group, &t, &[(0, 3)]))?;
    play.end(&producer, true)?;
    play.ask("committed", 7, fetch(7, &group, None))?;
    Ok(())
}

fn log(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let group = play.group("g")?;
    let producer = play.producer("id")?;
    for commit in [true, false] {
        play.quiet(3, producer.add_offsets(&group))?;
        play.quiet(3, producer.commit_offsets(&group, &t, &[(0, 1)]))?;
        play.end(&producer, commit)?;
        play.group_log(if commit { "committed" } else { "aborted" }, &group)?;
    }
    Ok(())
}
