//! FindCoordinator (10).

use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use crate::play::{Done, Play, text};
use crate::run::{Scenario, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("coordinator/every-version", every_version),
        scenario("coordinator/transactions", transactions),
        scenario("coordinator/keys", keys),
    ]
}

fn find(version: i16, kind: i8, keys: &[&str]) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default();
    let request = if version >= 1 { request.with_key_type(kind) } else { request };
    if version >= 4 {
        return request.with_coordinator_keys(keys.iter().map(|k| text(k)).collect());
    }
    request.with_key(text(keys[0]))
}

fn found(answer: &FindCoordinatorResponse) -> bool {
    answer.error_code != 15 && answer.coordinators.iter().all(|c| c.error_code != 15)
}

/// The first question creates the internal topic; once it is there, the answer is the broker.
fn every_version(play: &mut Play) -> Done {
    for version in 0..=6 {
        play.ask_until("a group", version, find(version, 0, &["group-a"]), found)?;
        if version >= 4 {
            play.ask("three groups", version, find(version, 0, &["group-c", "group-a", "group-b"]))?;
            play.ask("no groups", version, find(version, 0, &[]))?;
        }
    }
    Ok(())
}

fn transactions(play: &mut Play) -> Done {
    for version in 1..=6 {
        play.ask_until("a transactional id", version, find(version, 1, &["id-a"]), found)?;
    }
    Ok(())
}

fn keys(play: &mut Play) -> Done {
    play.ask_until("a group, so that the topic is there", 3, find(3, 0, &["g"]), found)?;
    for version in [3, 4, 6] {
        play.ask("an empty key", version, find(version, 0, &[""]))?;
        for kind in [2, 3, -1] {
            play.attempt("main", &format!("key type {kind}"), version, find(version, kind, &["a"]))?;
        }
    }
    play.ask("a group twice", 4, find(4, 0, &["group-a", "group-a"]))?;
    for key in ["a", "g:AAAAAAAAAAAAAAAAAAAAAA:0", "g:x:0", "g:AAAAAAAAAAAAAAAAAAAAAA:x", ":::", ""] {
        play.attempt("main", &format!("the share key \"{key}\""), 6, find(6, 2, &[key]))?;
    }
    play.ask("a group and a name of 1,000 characters", 6, find(6, 0, &["g", &"x".repeat(1000)]))?;
    Ok(())
}
