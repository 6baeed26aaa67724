//! Produce in a transaction: partitions that are in it and that are not, sequences, fencing.

use kafka_protocol::messages::DescribeProducersRequest;
use kafka_protocol::messages::describe_producers_request::TopicRequest;

use super::requests::*;
use crate::batch::{batch, value};
use crate::play::{Done, Play, topic_name};
use crate::run::{Scenario, scenario};
use crate::scenarios::requests::{fetch, from, produce, produce_to};

pub fn all() -> Vec<Scenario> {
    vec![
        // Kafka may answer a batch by the version of another that is verified at the same time.
        scenario("transactions/produce-every-version", every_version).alone(),
        scenario("transactions/produce-sequences", sequences).alone(),
        scenario("transactions/produce-changes-version", changes_version).alone(),
        scenario("transactions/produce-unlike", unlike).alone(),
        scenario("transactions/produce-several", several).alone(),
    ]
}

fn producers(topic: &str, partitions: &[i32]) -> DescribeProducersRequest {
    let topic = TopicRequest::default().with_name(topic_name(topic)).with_partition_indexes(partitions.to_vec());
    DescribeProducersRequest::default().with_topics(vec![topic])
}

fn every_version(play: &mut Play) -> Done {
    for version in 3..=13 {
        let t = play.topic(&format!("t{version}"), 1)?;
        let producer = play.producer(&format!("v{version}"))?;
        play.ask("not in the transaction", version, producer.produce(play, version, &t, 0))?;
        play.ask("as it is described", 0, producer.describe())?;
        play.quiet(3, producer.add(3, &[(&t, &[0])]))?;
        let first = if version < 12 { 0 } else { 1 };
        play.ask("in the transaction", version, producer.produce(play, version, &t, first))?;
        play.ask("once more", version, producer.produce(play, version, &t, first))?;
        play.ask("the next", version, producer.produce(play, version, &t, first + 1))?;
        play.ask("who has written", 0, producers(&t, &[0]))?;
        play.end(&producer, true)?;
        play.ask("who has written", 0, producers(&t, &[0]))?;
        play.ask("after the end", version, producer.produce(play, version, &t, first + 2))?;
        play.ask("a duplicate after the end", version, producer.produce(play, version, &t, first + 1))?;
    }
    Ok(())
}

fn sequences(play: &mut Play) -> Done {
    for version in [9, 11, 12] {
        let t = play.topic(&format!("t{version}"), 3)?;
        let producer = play.producer(&format!("v{version}"))?;
        let to = |play: &Play, producer: &Producer, partition, sequence| {
            let records = producer.records(play.t(), sequence, &format!("{sequence}")).bytes();
            producer.produce_to(version, &t, vec![(partition, records)])
        };
        play.ask("refused at sequence 0", version, to(play, &producer.with_epoch(5), 2, 0))?;
        play.quiet(3, producer.add(3, &[(&t, &[0, 1, 2])]))?;
        play.ask("begins at sequence 5", version, to(play, &producer, 0, 5))?;
        play.ask("goes on at 6", version, to(play, &producer, 0, 6))?;
        play.ask("a gap", version, to(play, &producer, 0, 9))?;
        play.ask("begins at 0", version, to(play, &producer, 1, 0))?;
        play.ask("sequence 3 after one was refused", version, to(play, &producer, 2, 3))?;
        play.ask("sequence 0 after one was refused", version, to(play, &producer, 2, 0))?;
        play.ask("a higher epoch", version, to(play, &producer.with_epoch(1), 1, 0))?;
        play.ask("a lower epoch", version, to(play, &producer.with_epoch(-1), 1, 0))?;
        play.ask("who has written", 0, producers(&t, &[0, 1, 2]))?;
        play.quiet(5, producer.end(true))?;
        play.ended_all(&producer.transactional_id)?;
        play.ask("who has written", 0, producers(&t, &[0, 1, 2]))?;
        let raised = producer.with_epoch(1);
        play.quiet(3, raised.add(3, &[(&t, &[0, 1, 2])]))?;
        play.ask("the old epoch goes on", version, to(play, &producer, 1, 1))?;
        play.ask("a new epoch not from 0", version, to(play, &raised, 1, 1))?;
        play.ask("a new epoch from 0", version, to(play, &raised, 1, 0))?;
        play.ask("what has been written", 12, fetch(12, &t, vec![from(0, 0), from(1, 0), from(2, 0)]))?;
    }
    Ok(())
}

/// A batch that was refused at one version, and what another version is asked after it.
fn changes_version(play: &mut Play) -> Done {
    for (first, second) in [(11, 12), (12, 11)] {
        let t = play.topic(&format!("t{first}"), 2)?;
        let producer = play.producer(&format!("v{first}"))?;
        let to = |play: &Play, producer: &Producer, partition, version, sequence| {
            let records = producer.records(play.t(), sequence, &format!("{sequence}")).bytes();
            producer.produce_to(version, &t, vec![(partition, records)])
        };
        let higher = producer.with_epoch(5);
        play.ask("refused", first, to(play, &higher, 0, first, 0))?;
        play.quiet(3, producer.add(3, &[(&t, &[0, 1])]))?;
        play.ask("begins at sequence 3", second, to(play, &producer, 0, second, 3))?;
        play.ask("begins at sequence 3, where nothing was refused", second, to(play, &producer, 1, second, 3))?;
        play.quiet(5, producer.end(false))?;
        play.ended_all(&producer.transactional_id)?;
        let raised = producer.with_epoch(1);
        play.ask("refused in the next epoch", 11, to(play, &raised, 0, 11, 0))?;
        play.quiet(3, raised.add(3, &[(&t, &[0, 1])]))?;
        play.ask("begins at sequence 3", second, to(play, &raised, 0, second, 3))?;
        play.ask("begins at sequence 0", second, to(play, &raised, 0, second, 0))?;
    }
    Ok(())
}

/// Batches that do not fit the request or the producer's transaction.
fn unlike(play: &mut Play) -> Done {
    for version in [9, 11, 12] {
        let t = play.topic(&format!("t{version}"), 2)?;
        let (a, b) = (play.producer(&format!("a{version}"))?, play.producer(&format!("b{version}"))?);
        play.quiet(3, a.add(3, &[(&t, &[0])]))?;
        let own = a.records(play.t(), 0, "own");
        play.ask("without a transactional id", version, produce(version, &t, own.clone().bytes()))?;
        play.ask("an unknown transactional id", version, a.named("no-such-id").produce(play, version, &t, 0))?;
        play.ask("another's transactional id", version, a.named(&b.transactional_id).produce(play, version, &t, 0))?;
        play.ask("an empty transactional id", version, a.named("").produce(play, version, &t, 0))?;
        play.ask("a negative producer id", version, a.with_id(-1).produce(play, version, &t, 0))?;
        let plain = batch(play.t(), vec![value("plain")]);
        play.ask(
            "a plain batch with a transactional id",
            version,
            a.produce_to(version, &t, vec![(0, plain.bytes())]),
        )?;
        play.ask("its own", version, a.produce_to(version, &t, vec![(0, own.bytes())]))?;
        let idempotent = batch(play.t(), vec![value("not of the transaction")]).producer(a.id, a.epoch, 1);
        play.ask("not transactional while one is open", version, produce(version, &t, idempotent.bytes()))?;
        let control = a.records(play.t(), 1, "control").with(|b| b.attributes |= 32);
        play.ask("a control batch", version, a.produce_to(version, &t, vec![(0, control.bytes())]))?;
        let two =
            vec![(0, a.records(play.t(), 1, "of one").bytes()), (1, b.records(play.t(), 0, "of another").bytes())];
        play.ask("two producers", version, a.produce_to(version, &t, two))?;
        let acks = a.produce(play, version, &t, 1).with_acks(2);
        play.ask("acks 2", version, acks)?;
        let acks = a.produce_to(version, &t, vec![(1, a.records(play.t(), 0, "x").bytes())]).with_acks(1);
        play.ask("acks 1, not in the transaction", version, acks)?;
        play.ask("who has written", 0, producers(&t, &[0, 1]))?;
        play.ask("as it is described", 0, a.describe())?;
    }
    Ok(())
}

/// Several partitions in a request: those that are in the transaction are written.
fn several(play: &mut Play) -> Done {
    for version in [9, 11, 12, 13] {
        let t = play.topic(&format!("t{version}"), 3)?;
        let producer = play.producer(&format!("v{version}"))?;
        play.quiet(3, producer.add(3, &[(&t, &[1])]))?;
        let each = |play: &Play, partitions: &[i32]| {
            partitions.iter().map(|p| (*p, producer.records(play.t(), 0, &format!("to {p}")).bytes())).collect()
        };
        play.ask("three partitions", version, producer.produce_to(version, &t, each(play, &[0, 1, 2])))?;
        play.ask("an unknown one beside", version, producer.produce_to(version, &t, each(play, &[2, 9])))?;
        let mixed =
            vec![(0, batch(play.t(), vec![value("plain")]).bytes()), (2, producer.records(play.t(), 1, "x").bytes())];
        play.ask("a plain one beside", version, producer.produce_to(version, &t, mixed))?;
        play.ask("as it is described", 0, producer.describe())?;
        let plain = vec![(1, batch(play.t(), vec![value("of nobody")]).bytes())];
        play.ask("a plain batch of another", version, produce_to(version, &t, plain))?;
        play.end(&producer, version != 11)?;
        play.ask("what has been written", 12, fetch(12, &t, vec![from(0, 0), from(1, 0), from(2, 0)]))?;
    }
    Ok(())
}
