//! InitProducerId (22) without a transactional id, DescribeProducers (61).

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::{DescribeProducersRequest, InitProducerIdRequest, ProducerId, TransactionalId};

use super::requests::produce;
use crate::batch::{batch, value};
use crate::play::{Done, Play, text, topic_name};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("producers/init-every-version", init_every_version),
        scenario("producers/init-with-an-old-id", init_with_an_old_id),
        scenario("producers/describe", describe),
        scenario("producers/describe-errors", describe_errors),
    ]
}

/// A request of a producer that is not transactional.
fn init() -> InitProducerIdRequest {
    InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000)
}

/// A broker that has just started may have no ids to give yet (14).
fn ids_there(play: &mut Play) -> Done {
    play.wait("there are producer ids", |play| Ok(play.quiet(4, init())?.error_code == 0))
}

/// Every request brings an id that nobody has had.
fn init_every_version(play: &mut Play) -> Done {
    ids_there(play)?;
    for version in 0..=5 {
        play.ask("a new id", version, init())?;
        play.ask("another one", version, init())?;
        let empty = init().with_transactional_id(Some(TransactionalId(text(""))));
        play.ask("an empty transactional id", version, empty)?;
    }
    for timeout in [0, -1, i32::MAX] {
        play.ask(&format!("transaction timeout {timeout}"), 4, init().with_transaction_timeout_ms(timeout))?;
    }
    play.race("eight at once", 4, vec![init(); 8])
}

fn init_with_an_old_id(play: &mut Play) -> Done {
    ids_there(play)?;
    for version in 3..=5 {
        let first = play.ask("a new id", version, init())?;
        for (label, id, epoch) in [
            ("the id and its epoch", first.producer_id, first.producer_epoch),
            ("the id and a higher epoch", first.producer_id, 7),
            ("an id alone", first.producer_id, -1),
            ("an epoch alone", ProducerId(-1), 0),
            ("an id that nobody has", ProducerId(987_654_321), 3),
        ] {
            play.attempt("main", label, version, init().with_producer_id(id).with_producer_epoch(epoch))?;
        }
    }
    Ok(())
}

fn of(topic: &str, partitions: &[i32]) -> DescribeProducersRequest {
    let topic = TopicRequest::default().with_name(topic_name(topic)).with_partition_indexes(partitions.to_vec());
    DescribeProducersRequest::default().with_topics(vec![topic])
}

fn describe(play: &mut Play) -> Done {
    let topic = play.topic("a", 2)?;
    play.ask("no producers yet", 0, of(&topic, &[0, 1]))?;
    let plain = batch(play.t(), vec![value("x")]);
    play.append(&topic, 0, plain.clone())?;
    play.ask("a producer without an id is none", 0, of(&topic, &[0]))?;
    for (id, epoch, sequence) in [(2_000_001, 0, 0), (2_000_002, 3, 0), (2_000_001, 0, 1), (2_000_001, 1, 0)] {
        let records = plain.clone().producer(id, epoch, sequence).with(|b| b.base_timestamp += i64::from(sequence));
        play.ask("a batch of a producer", 9, produce(9, &topic, records.bytes()))?;
        play.ask("who has written", 0, of(&topic, &[0, 1]))?;
    }
    let several = batch(play.t(), vec![value("a"), value("b").after(5), value("c").after(3)]).producer(2_000_003, 0, 0);
    play.append(&topic, 1, several)?;
    play.ask("three records in one batch", 0, of(&topic, &[1]))?;
    Ok(())
}

fn describe_errors(play: &mut Play) -> Done {
    let topic = play.topic("a", 1)?;
    play.ask("an unknown partition", 0, of(&topic, &[1, -1]))?;
    play.ask("an unknown topic", 0, of(&play.name("unknown"), &[0]))?;
    for name in ["", "a/b"] {
        play.ask(&format!("the name \"{name}\""), 0, of(name, &[0]))?;
    }
    play.ask("a partition twice", 0, of(&topic, &[0, 0]))?;
    play.ask("no partitions", 0, of(&topic, &[]))?;
    play.ask("no topics", 0, DescribeProducersRequest::default())?;
    Ok(())
}
