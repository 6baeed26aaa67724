//! AddPartitionsToTxn and AddOffsetsToTxn: what may be added, by whom, all or nothing.

use kafka_protocol::messages::AddPartitionsToTxnRequest;

use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::scenarios::requests::{fetch, from};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("transactions/add-partitions-every-version", every_version),
        scenario("transactions/add-partitions-batched", batched),
        scenario("transactions/add-offsets-every-version", offsets_every_version),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 3)?, play.topic("u", 1)?);
    play.group("g")?;
    for version in 0..=5 {
        let producer = play.producer(&format!("v{version}"))?;
        play.ask("one partition", version, producer.add(version, &[(&t, &[0])]))?;
        play.ask("the same again", version, producer.add(version, &[(&t, &[0])]))?;
        play.ask("it and two others", version, producer.add(version, &[(&t, &[0, 2]), (&u, &[0])]))?;
        play.ask("as it is described", 0, producer.describe())?;
        play.ask("an unknown partition beside", version, producer.add(version, &[(&t, &[1, 7])]))?;
        play.ask("an unknown topic beside", version, producer.add(version, &[("no-such-topic", &[0]), (&u, &[0])]))?;
        play.ask("an internal topic", version, producer.add(version, &[("__consumer_offsets", &[0]), (&t, &[1])]))?;
        play.ask("another's id", version, producer.with_id(1_234_567).add(version, &[(&t, &[0])]))?;
        play.ask("a higher epoch", version, producer.with_epoch(5).add(version, &[(&t, &[0])]))?;
        play.ask("a lower epoch", version, producer.with_epoch(-1).add(version, &[(&t, &[0])]))?;
        play.ask("an unknown id", version, producer.named("no-such-id").add(version, &[(&t, &[0])]))?;
        play.ask("an empty id", version, producer.named("").add(version, &[(&t, &[0])]))?;
        play.ask("an empty id and an unknown topic", version, producer.named("").add(version, &[("no-such", &[0])]))?;
        play.ask("no topics", version, producer.add(version, &[]))?;
        play.ask("no partitions", version, producer.add(version, &[(&t, &[])]))?;
        play.ask("as it is described", 0, producer.describe())?;
        play.ask("it commits", 4, producer.end(true))?;
        play.ended_all(&producer.transactional_id)?;
        play.ask("the next begins with no topics", version, producer.add(version, &[]))?;
        play.ask("as it is described", 0, producer.describe())?;
    }
    play.ask("markers where nothing was written", 12, fetch(12, &t, vec![from(0, 0), from(1, 0), from(2, 0)]))?;
    Ok(())
}

/// Between brokers: several transactions at once, and asking without adding.
fn batched(play: &mut Play) -> Done {
    let t = play.topic("t", 3)?;
    for version in 4..=5 {
        let (a, b) = (play.producer(&format!("a{version}"))?, play.producer(&format!("b{version}"))?);
        play.ask("not begun", version, a.verify(version, &[(&t, &[0])]))?;
        let both = [a.add(version, &[(&t, &[0, 1])]), b.add(version, &[(&t, &[1])]), a.named("x").add(version, &[])];
        let all = both.into_iter().flat_map(|r| r.transactions).collect();
        play.ask("two and an unknown one", version, AddPartitionsToTxnRequest::default().with_transactions(all))?;
        play.ask("some of them", version, a.verify(version, &[(&t, &[0, 2])]))?;
        play.ask("all of them", version, a.verify(version, &[(&t, &[0, 1])]))?;
        play.ask("an unknown topic", version, a.verify(version, &[("no-such-topic", &[0]), (&t, &[0])]))?;
        play.ask("another epoch", version, a.with_epoch(3).verify(version, &[(&t, &[0])]))?;
        play.ask("another's id", version, a.with_id(1_234_567).verify(version, &[(&t, &[0])]))?;
        play.ask("an unknown id", version, a.named("no-such-id").verify(version, &[(&t, &[0])]))?;
        play.ask("an empty id", version, a.named("").verify(version, &[(&t, &[0])]))?;
        play.end(&b, false)?;
        play.ask("after the end", version, b.verify(version, &[(&t, &[1])]))?;
    }
    for version in 4..=5 {
        play.attempt_briefly("none", "no transactions", version, AddPartitionsToTxnRequest::default())?;
        play.close("none");
    }
    Ok(())
}

fn offsets_every_version(play: &mut Play) -> Done {
    let group = play.group("g")?;
    for version in 0..=4 {
        let producer = play.producer(&format!("v{version}"))?;
        play.ask("a group", version, producer.add_offsets(&group))?;
        play.ask("the same again", version, producer.add_offsets(&group))?;
        play.ask("as it is described", 0, producer.describe())?;
        play.ask("an empty group", version, producer.add_offsets(""))?;
        play.ask("another's id", version, producer.with_id(1_234_567).add_offsets(&group))?;
        play.ask("a higher epoch", version, producer.with_epoch(5).add_offsets(&group))?;
        play.ask("a lower epoch", version, producer.with_epoch(-1).add_offsets(&group))?;
        play.ask("an unknown id", version, producer.named("no-such-id").add_offsets(&group))?;
        play.ask("an empty id", version, producer.named("").add_offsets(&group))?;
        play.end(&producer, true)?;
    }
    Ok(())
}
