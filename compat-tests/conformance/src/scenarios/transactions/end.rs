//! EndTxn: both protocols, every state, every retry.

use super::requests::*;
use crate::play::{Done, Play};
use crate::run::{Scenario, scenario};
use crate::scenarios::requests::{fetch, from};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("transactions/end-every-version", every_version),
        scenario("transactions/end-raises-epochs", raises_epochs),
        scenario("transactions/end-retries", retries),
        scenario("transactions/end-changes-protocol", changes_protocol),
        scenario("transactions/end-by-others", by_others),
    ]
}

fn every_version(play: &mut Play) -> Done {
    let t = play.topic("t", 2)?;
    for version in 0..=4 {
        let producer = play.producer(&format!("v{version}"))?;
        play.ask("nothing to commit", version, producer.end(true))?;
        play.ask("nothing to abort", version, producer.end(false))?;
        for commit in [true, false] {
            play.quiet(3, producer.add(3, &[(&t, &[0, 1])]))?;
            play.ask(if commit { "it commits" } else { "it aborts" }, version, producer.end(commit))?;
            play.ended_all(&producer.transactional_id)?;
            play.ask("as it is described", 0, producer.describe())?;
            play.ask("it commits again", version, producer.end(true))?;
            play.ask("it aborts again", version, producer.end(false))?;
        }
    }
    play.ask("the markers", 12, fetch(12, &t, vec![from(0, 0), from(1, 0)]))?;
    Ok(())
}

/// By the second protocol every end brings an epoch, also where there was nothing to end.
fn raises_epochs(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let mut producer = play.producer("id")?;
    let next = |play: &mut Play, producer: &mut Producer, label: &str, commit: bool| -> Done {
        let answer = play.ask(label, 5, producer.end(commit))?;
        play.ended_all(&producer.transactional_id)?;
        if answer.error_code == 0 {
            (producer.id, producer.epoch) = (answer.producer_id.0, answer.producer_epoch);
        }
        play.ask("as it is described", 0, producer.describe()).map(drop)
    };
    next(play, &mut producer, "nothing to commit", true)?;
    next(play, &mut producer, "nothing to abort", false)?;
    for (sequence, commit) in [true, false, true].into_iter().enumerate() {
        play.append_in(&producer, &t, 0, 0, &format!("transaction {sequence}"))?;
        next(play, &mut producer, if commit { "it commits" } else { "it aborts" }, commit)?;
        next(play, &mut producer, "nothing to commit", true)?;
        next(play, &mut producer, "nothing to abort", false)?;
    }
    play.ask("what has been written", 12, fetch(12, &t, vec![from(0, 0)]))?;
    Ok(())
}

/// Every request once more in the epoch it was first sent in, and the other way round.
fn retries(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    for commit in [true, false] {
        let producer = play.producer(if commit { "commits" } else { "aborts" })?;
        play.append_in(&producer, &t, 0, 0, "in it")?;
        for epoch in [1, -1, 7] {
            play.ask(&format!("epoch {epoch}"), 5, producer.with_epoch(epoch).end(commit))?;
        }
        play.ask("it ends", 5, producer.end(commit))?;
        play.ended_all(&producer.transactional_id)?;
        for (label, epoch) in [("its epoch", 0), ("the raised epoch", 1), ("an epoch that is not yet", 2)] {
            play.ask(&format!("it commits in {label}"), 5, producer.with_epoch(epoch).end(true))?;
            play.ask("as it is described", 0, producer.describe())?;
            if epoch != 1 {
                play.ask(&format!("it aborts in {label}"), 5, producer.with_epoch(epoch).end(false))?;
                play.ask("as it is described", 0, producer.describe())?;
            }
        }
        play.ask("an older version in its epoch", 4, producer.end(commit))?;
        play.ask("an older version in the raised epoch", 4, producer.with_epoch(1).end(commit))?;
    }
    let producer = play.producer("empty")?;
    play.ask("nothing to abort", 5, producer.end(false))?;
    play.ended_all(&producer.transactional_id)?;
    play.ask("the same again", 5, producer.end(false))?;
    play.ask("a commit in that epoch", 5, producer.end(true))?;
    play.ask("an abort in the raised epoch", 5, producer.with_epoch(1).end(false))?;
    play.ended_all(&producer.transactional_id)?;
    play.ask("a commit in the epoch after it", 5, producer.with_epoch(2).end(true))?;
    Ok(())
}

/// A transaction that was begun by one protocol and ended by the other.
fn changes_protocol(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    let producer = play.producer("first-to-second")?;
    play.quiet(3, producer.add(3, &[(&t, &[0])]))?;
    play.ask("its batch", 9, producer.produce(play, 9, &t, 0))?;
    play.ask("it commits", 5, producer.end(true))?;
    play.ended_all(&producer.transactional_id)?;
    play.ask("as it is described", 0, producer.describe())?;
    let raised = producer.with_epoch(1);
    play.ask("it adds a partition in the raised epoch", 3, raised.add(3, &[(&t, &[0])]))?;
    play.ask("its batch", 9, raised.produce(play, 9, &t, 0))?;
    play.ask("it aborts", 4, raised.end(false))?;
    play.ended_all(&producer.transactional_id)?;
    play.append_in(&raised, &t, 0, 1, "the next, by the second")?;
    play.ask("it commits", 4, raised.end(true))?;
    play.ended_all(&producer.transactional_id)?;
    play.ask("as it is described", 0, producer.describe())?;
    play.ask("what has been written", 12, fetch(12, &t, vec![from(0, 0)]))?;
    Ok(())
}

fn by_others(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    for version in 0..=5 {
        let producer = play.producer(&format!("v{version}"))?;
        for begun in [false, true] {
            if begun {
                play.quiet(3, producer.add(3, &[(&t, &[0])]))?;
            }
            play.ask("another's id", version, producer.with_id(1_234_567).end(true))?;
            play.ask("a higher epoch", version, producer.with_epoch(5).end(true))?;
            play.ask("a lower epoch", version, producer.with_epoch(-1).end(true))?;
            play.ask("an unknown id", version, producer.named("no-such-id").end(true))?;
            play.ask("an empty id", version, producer.named("").end(true))?;
        }
        play.end(&producer, false)?;
    }
    Ok(())
}
