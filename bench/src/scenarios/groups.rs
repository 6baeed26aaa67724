//! Consumer groups: how soon a consumer has its first record, how soon a rebalance is over, how fast offsets commit.
//!
//! The floor knows no groups, and Apache Kafka lets a new one wait for three seconds: ours are the only figures.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Bench, Stage, median};
use crate::Result;
use crate::member::Member;
use crate::report::{Row, Target};
use crate::server::Contender;

const NEW_GROUPS: usize = 200;
const REBALANCES: usize = 100;
const FIRST_MS_MAX: f64 = 20.0;
/// FindCoordinator, JoinGroup for an id and with it, SyncGroup, OffsetFetch, ListOffsets, Fetch.
const FIRST_REQUESTS_CLASSIC: f64 = 7.0;
/// FindCoordinator, ConsumerGroupHeartbeat, OffsetFetch, ListOffsets, Fetch.
const FIRST_REQUESTS_CONSUMER: f64 = 5.0;
const REBALANCE_MS_MAX: f64 = 10.0;
const COMMITS_LEAST: f64 = 10_000.0;
/// Time for a JoinGroup to be read and parked before the next request comes, on another connection.
const PARK: Duration = Duration::from_millis(1);

pub fn groups(bench: &Bench) -> Result<Vec<Row>> {
    let stage = bench.stage(Contender::Ours, 1, &[])?;
    stage.load("produce", "warm=0 secs=5 count=1")?;
    let mut rows = Vec::new();
    for (protocol, by_epoch, requests_max) in
        [("classic", false, FIRST_REQUESTS_CLASSIC), ("KIP-848", true, FIRST_REQUESTS_CONSUMER)]
    {
        let (ms, requests) = first_record(&stage, protocol, by_epoch)?;
        let name = format!("first record, new {protocol} group");
        rows.push(Row::alone(&name, "p50 ms", ms, Target::AtMost(FIRST_MS_MAX)));
        rows.push(Row::alone(&name, "most requests", requests, Target::AtMost(requests_max)));
    }
    let (joined, synced) = rebalance(&stage)?;
    rows.push(Row::alone("second member, last JoinGroup", "p50 ms", joined, Target::AtMost(REBALANCE_MS_MAX)));
    rows.push(Row::alone("second member, both SyncGroups too", "p50 ms", synced, Target::None));
    drop(stage);
    rows.extend(commits(bench)?);
    Ok(rows)
}

/// Of new groups one after the other: the median time from requests to answers, and the most requests one needed.
fn first_record(stage: &Stage, protocol: &str, by_epoch: bool) -> Result<(f64, f64)> {
    let (mut spent_ms, mut requests_max) = (Vec::new(), 0);
    for number in 0..NEW_GROUPS {
        let mut member = Member::connect(stage.server.port, &format!("first-{protocol}-{number}"), &stage.topic)?;
        member.find_coordinator()?;
        if by_epoch {
            member.join_by_heartbeats(format!("member-{number}"))?;
        } else {
            member.ask_for_id()?;
            member.join()?;
            member.sync()?;
        }
        member.first_record(by_epoch)?;
        spent_ms.push(ms(member.spent));
        requests_max = requests_max.max(member.requests);
    }
    Ok((median(spent_ms.into_iter()), requests_max as f64))
}

/// A second member joins a group of one, which learns of it by its heartbeat and joins again: from that last JoinGroup
/// to both answers, and until both have their assignment.
fn rebalance(stage: &Stage) -> Result<(f64, f64)> {
    let (mut joined_ms, mut synced_ms) = (Vec::new(), Vec::new());
    for number in 0..REBALANCES {
        let group = format!("rebalance-{number}");
        let mut first = Member::connect(stage.server.port, &group, &stage.topic)?;
        first.find_coordinator()?;
        first.ask_for_id()?;
        first.join()?;
        first.sync()?;
        let mut second = Member::connect(stage.server.port, &group, &stage.topic)?;
        second.ask_for_id()?;
        if !first.is_stable()? {
            return Err("a member that has but its id disturbs the group".into());
        }
        second.send_join()?;
        while first.is_stable()? {
            sleep(PARK);
        }
        let start = Instant::now();
        first.send_join()?;
        first.receive_join()?;
        second.receive_join()?;
        joined_ms.push(ms(start.elapsed()));
        let (leader, follower) = if first.leads() > 0 { (first, second) } else { (second, first) };
        if leader.leads() != 2 {
            return Err(format!("the leader knows of {} members", leader.leads()).into());
        }
        for mut member in [leader, follower] {
            member.sync()?;
        }
        synced_ms.push(ms(start.elapsed()));
    }
    Ok((median(joined_ms.into_iter()), median(synced_ms.into_iter())))
}

/// Commits beside produces of a record as small, on the same server in turns.
fn commits(bench: &Bench) -> Result<Vec<Row>> {
    let stage = bench.stage(Contender::Ours, 64, &[])?;
    let mut rounds = Vec::new();
    for _ in 0..bench.options.rounds {
        let commits = stage.load("commit", "connections=64")?;
        let produces = stage.load("produce", "connections=64 partitions=64 size=100")?;
        rounds.push([
            commits.figure("rate")?,
            produces.figure("rate")?,
            commits.figure("cpu_us")?,
            commits.figure("p99_us")?,
        ]);
    }
    let column = |index: usize| median(rounds.iter().map(|round| round[index]));
    let rate = "commits of 64 groups";
    Ok(vec![
        Row::alone(rate, "requests/s", column(0), Target::AtLeast(COMMITS_LEAST)),
        Row {
            floor: Some(column(1)),
            ratio: Some(median(rounds.iter().map(|round| round[0] / round[1]))),
            ..Row::alone("the same (floor: our produces)", "requests/s", column(0), Target::RatioAtLeast(0.7))
        },
        Row::alone(rate, "CPU us/request", column(2), Target::None),
        Row::alone(rate, "p99 us", column(3), Target::None),
    ])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
