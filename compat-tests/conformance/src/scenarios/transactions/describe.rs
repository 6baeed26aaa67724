//! DescribeTransactions and ListTransactions (KIP-664).

use kafka_protocol::messages::{DescribeTransactionsRequest, ListTransactionsRequest, ProducerId};

use super::requests::*;
use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("transactions/describe", describe),
        scenario("transactions/list", list),
        scenario("transactions/log", log),
    ]
}

fn describe(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 3)?, play.topic("u", 1)?);
    let producer = play.producer("id")?;
    play.ask("nothing begun", 0, producer.describe())?;
    play.quiet(3, producer.add(3, &[(&t, &[2, 0]), (&u, &[0])]))?;
    play.ask("open", 0, producer.describe())?;
    play.end(&producer, true)?;
    play.ask("committed", 0, producer.describe())?;
    let ids = ["no-such-id", "", &producer.transactional_id].map(transactional).to_vec();
    play.ask("an unknown and an empty one", 0, DescribeTransactionsRequest::default().with_transactional_ids(ids))?;
    play.ask("none", 0, DescribeTransactionsRequest::default())?;
    Ok(())
}

fn list(play: &mut Play) -> Done {
    let t = play.topic("t", 1)?;
    play.mine_only();
    let (open, committed, aborted) = (play.producer("open")?, play.producer("committed")?, play.producer("aborted")?);
    play.producer("empty")?;
    for producer in [&open, &committed, &aborted] {
        play.quiet(3, producer.add(3, &[(&t, &[0])]))?;
    }
    play.end(&committed, true)?;
    play.end(&aborted, false)?;
    let all = || ListTransactionsRequest::default().with_duration_filter(-1);
    for version in 0..=2 {
        play.ask("all", version, all())?;
        for states in [
            &["Ongoing"][..],
            &["CompleteCommit", "CompleteAbort"],
            &["ongoing", "Empty", "no such state"],
            &["Dead", "PrepareEpochFence"],
            &["PrepareCommit", "PrepareAbort", ""],
        ] {
            let request = all().with_state_filters(states.iter().map(|s| text(s)).collect());
            play.ask(&format!("in states {states:?}"), version, request)?;
        }
        let ids = vec![ProducerId(open.id), ProducerId(987_654_321)];
        play.ask("of a producer", version, all().with_producer_id_filters(ids.clone()))?;
        let both = all().with_producer_id_filters(ids).with_state_filters(vec![text("Empty")]);
        play.ask("of a producer in another state", version, both)?;
    }
    for version in 1..=2 {
        play.ask("for an hour", version, all().with_duration_filter(3_600_000))?;
        play.ask("for any time", version, all().with_duration_filter(-5))?;
    }
    let prefix = play.name("");
    for pattern in ["", "no-such-id", ".*", "open", ".*-open", &format!("{prefix}(open|empty)"), "[", "(?=x)"] {
        let request = all().with_transactional_id_pattern(Some(text(pattern)));
        play.ask(&format!("by the pattern {}", pattern.replace(&prefix, "<prefix>")), 2, request)?;
    }
    Ok(())
}

/// What lies in `__transaction_state` of an id that used both protocols.
fn log(play: &mut Play) -> Done {
    let (t, u) = (play.topic("t", 3)?, play.topic("u", 1)?);
    let group = play.group("g")?;
    let producer = play.producer("id")?;
    play.transaction_log("initialised", &producer.transactional_id)?;
    play.quiet(3, producer.add(3, &[(&t, &[0])]))?;
    play.quiet(3, producer.add(3, &[(&t, &[2])]))?;
    play.quiet(3, producer.add(3, &[(&t, &[2])]))?;
    play.quiet(3, producer.add(3, &[(&u, &[0])]))?;
    play.end(&producer, true)?;
    play.transaction_log("committed by the first protocol", &producer.transactional_id)?;
    let second = play.producer("second")?;
    play.append_in(&second, &t, 0, 0, "in it")?;
    play.append_in(&second, &t, 1, 0, "in it")?;
    play.quiet(5, second.commit_offsets(&group, &t, &[(0, 1)]))?;
    play.quiet(5, second.end(true))?;
    play.ended_all(&second.transactional_id)?;
    play.append_in(&second.with_epoch(1), &t, 0, 0, "left open")?;
    play.quiet(4, init(&second.transactional_id))?;
    play.ended_all(&second.transactional_id)?;
    play.initialised(&second.transactional_id)?;
    play.transaction_log("by the second protocol, and fenced", &second.transactional_id)?;
    Ok(())
}
