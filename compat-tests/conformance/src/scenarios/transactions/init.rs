//! InitProducerId with a transactional id: epochs, fencing, retries, timeouts.

use std::time::Duration;

use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::scenarios::requests::{fetch, from};
use crate::server::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("transactions/init-every-version", every_version),
        scenario("transactions/init-expected", expected),
        scenario("transactions/init-timeouts", timeouts),
        scenario("transactions/init-over-an-open-one", over_an_open_one),
        scenario("transactions/init-exhausts-epochs", exhausts_epochs),
        scenario("transactions/times-out", times_out).under(Profile::Expiring),
    ]
}

fn every_version(play: &mut Play) -> Done {
    for version in 0..=5 {
        let id = play.transactional_id(&format!("v{version}"))?;
        play.ask("the first of its id", version, init(&id))?;
        play.ask("its successor", version, init(&id))?;
        let producer = play.initialised(&id)?;
        play.ask("as it is described", 0, producer.describe())?;
    }
    Ok(())
}

/// A producer that says who it was goes on; any other is fenced (KIP-360).
fn expected(play: &mut Play) -> Done {
    for version in 3..=5 {
        let producer = play.producer(&format!("v{version}"))?;
        play.ask("itself", version, producer.init_again())?;
        play.ask("the same again, as after a lost answer", version, producer.init_again())?;
        play.ask("the raised epoch", version, producer.with_epoch(1).init_again())?;
        play.ask("the first epoch no longer", version, producer.init_again())?;
        play.ask("an epoch that is not yet", version, producer.with_epoch(9).init_again())?;
        play.ask("another's id", version, producer.with_id(1_234_567).init_again())?;
        play.ask("an id without an epoch", version, producer.with_epoch(-1).init_again())?;
        play.ask("an epoch without an id", version, producer.with_id(-1).init_again())?;
        play.ask("nobody in particular", version, init(&producer.transactional_id))?;
        play.ask("the epoch before that", version, producer.with_epoch(2).init_again())?;
        let unknown = play.transactional_id(&format!("unknown-v{version}"))?;
        play.ask("an unknown id that claims to be someone", version, producer.named(&unknown).init_again())?;
    }
    Ok(())
}

fn timeouts(play: &mut Play) -> Done {
    let id = play.transactional_id("id")?;
    for timeout in [0, -1, 1, 900_000, 900_001, i32::MAX, i32::MIN] {
        play.ask(&format!("timeout {timeout}"), 4, init(&id).with_transaction_timeout_ms(timeout))?;
    }
    play.ask("an empty id", 4, init(""))?;
    Ok(())
}

/// The open transaction is aborted, and its producer is fenced everywhere.
fn over_an_open_one(play: &mut Play) -> Done {
    for version in [3, 5] {
        let topic = play.topic(&format!("t{version}"), 2)?;
        let group = play.group(&format!("g{version}"))?;
        let old = play.producer(&format!("v{version}"))?;
        play.append_in(&old, &topic, 0, 0, "left open")?;
        play.ask("as it is described", 0, old.describe())?;
        play.ask("a successor", version, init(&old.transactional_id))?;
        play.ended_all(&old.transactional_id)?;
        play.ask("as it is described", 0, old.describe())?;
        for produce in [9, 11, 12] {
            play.ask("its next batch", produce, old.produce(play, produce, &topic, 1))?;
        }
        play.ask("it adds a partition", 3, old.add(3, &[(&topic, &[1])]))?;
        play.ask("it adds a partition", 1, old.add(1, &[(&topic, &[1])]))?;
        play.ask("it adds offsets", 3, old.add_offsets(&group))?;
        play.ask("it adds offsets", 1, old.add_offsets(&group))?;
        for commit in [2, 3, 4, 5] {
            play.ask("it commits offsets", commit, old.commit_offsets(&group, &topic, &[(0, 1)]))?;
        }
        for end in [1, 2, 4, 5] {
            play.ask("it commits", end, old.end(true))?;
            play.ask("it aborts", end, old.end(false))?;
        }
        play.ask("it begins anew as who it was", 4, old.init_again())?;
        play.ask("the successor again", version, init(&old.transactional_id))?;
        play.ask("what has been written", 12, fetch(12, &topic, vec![from(0, 0), from(1, 0)]))?;
    }
    Ok(())
}

/// Each end by the second protocol takes an epoch; after the last one there is another producer id.
fn exhausts_epochs(play: &mut Play) -> Done {
    let topic = play.topic("t", 1)?;
    let mut producer = play.producer("id")?;
    while producer.epoch < i16::MAX - 3 {
        let answer = play.quiet(5, producer.end(false))?;
        if answer.error_code == 51 {
            continue;
        }
        producer = Producer { id: answer.producer_id.0, epoch: answer.producer_epoch, ..producer };
    }
    for _ in 0..5 {
        play.append_in(&producer, &topic, 0, 0, "in a late epoch")?;
        let answer = play.ask("it commits", 5, producer.end(true))?;
        play.ended_all(&producer.transactional_id)?;
        play.ask("the same again, as after a lost answer", 5, producer.end(true))?;
        producer = Producer { id: answer.producer_id.0, epoch: answer.producer_epoch, ..producer };
    }
    play.ask("as it is described", 0, producer.describe())?;
    play.ask("what has been written", 12, fetch(12, &topic, vec![from(0, 0)]))?;
    Ok(())
}

/// A transaction whose time is over is aborted, and its producer finds out by its next request.
fn times_out(play: &mut Play) -> Done {
    for (name, end) in [("v1", 4), ("v2", 5)] {
        let topic = play.topic(name, 2)?;
        let id = play.transactional_id(name)?;
        let answer = play.quiet(4, init(&id).with_transaction_timeout_ms(300))?;
        let producer =
            Producer { transactional_id: id.clone(), id: answer.producer_id.0, epoch: answer.producer_epoch };
        play.quiet(3, producer.add(3, &[(&topic, &[0, 1])]))?;
        play.append_in(&producer, &topic, 0, 0, "too late")?;
        play.wait("its time is over", |play| {
            let answer = play.quiet(0, producer.describe())?;
            Ok(&*answer.transaction_states[0].transaction_state == "CompleteAbort")
        })?;
        std::thread::sleep(Duration::from_millis(50));
        play.ask("as it is described", 0, producer.describe())?;
        play.ask("its next batch", 9, producer.produce(play, 9, &topic, 1))?;
        play.ask("its next batch", 12, producer.produce(play, 12, &topic, 1))?;
        play.ask("it adds a partition", 3, producer.add(3, &[(&topic, &[1])]))?;
        play.ask("it commits", end, producer.end(true))?;
        play.ask("it aborts", end, producer.end(false))?;
        play.ask("it begins anew as who it was", 4, producer.init_again())?;
        play.ask("and once more", 4, producer.init_again())?;
        play.ask("what has been written", 12, fetch(12, &topic, vec![from(0, 0), from(1, 0)]))?;
    }
    Ok(())
}
