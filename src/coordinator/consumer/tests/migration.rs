//! From the classic protocol to the consumer protocol and back.

use super::classic::{join_classic, protocols};
use super::*;
use crate::coordinator::consumer::classic::JoinRequest;
use crate::coordinator::consumer::embedded::{read_assignment, write_assignment};
use crate::coordinator::consumer::migrate::{ClassicSnapshot, ClassicSnapshotMember, upgrade};

pub fn classic_group(members: &[(&str, &[i32])]) -> ClassicSnapshot {
    let members = members.iter().map(|(id, partitions)| ClassicSnapshotMember {
        member_id: (*id).into(),
        instance_id: None,
        client_id: "classic".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        protocols: protocols(&["t"], &[]),
        assignment: write_assignment(1, &vec![("t".into(), partitions.to_vec())]),
    });
    ClassicSnapshot {
        generation: 5,
        protocol_type: "consumer".into(),
        protocol_name: "range".into(),
        members: members.collect(),
        rebalance: false,
    }
}

fn upgraded(bench: &mut Bench, classic: &ClassicSnapshot) {
    let upgraded = upgrade("g", classic, &at!(bench)).expect("upgraded");
    bench.group = ConsumerGroup::new("g");
    bench.commit(Outcome { records: upgraded.records, response: (), effects: upgraded.effects });
}

#[test]
fn a_classic_group_is_taken_over_as_it_stands() {
    let mut bench = Bench::new(&[("t", 3)]);
    upgraded(&mut bench, &classic_group(&[("a", &[0, 1]), ("b", &[2])]));
    assert_eq!((bench.group.epoch(), bench.group.state()), (5, GroupState::Stable));
    assert_eq!(bench.member("a").assigned, bench.topics.some("t", &[0, 1]));
    let answer = bench.ok(&join("new", &["t"]));
    assert_eq!((answer.member_epoch, answer.assignment), (6, Some(Assignment::new())));
    assert_eq!(bench.timers.len(), 3);

    // And back, once the only member of the new protocol has left.
    bench.ok(&beat("new", -1));
    let classic = bench.became_classic.take().expect("a classic group again");
    assert!(bench.group.is_empty() && bench.log.last().is_some_and(Change::deletes_group));
    assert_eq!((classic.generation, classic.protocol_name.as_str(), classic.rebalance), (6, "range", true));
    let partitions: Vec<i32> =
        classic.members.iter().flat_map(|m| read_assignment(&m.assignment).expect("own").0).flat_map(|t| t.1).collect();
    assert_eq!(partitions.len(), 2, "the target, in which the new member had one");
}

#[test]
fn a_member_upgrades_in_place() {
    let mut bench = Bench::new(&[("t", 2)]);
    upgraded(&mut bench, &classic_group(&[("a", &[0, 1])]));
    let answer = bench.ok(&join("a", &["t"]));
    assert_eq!((answer.member_epoch, answer.assignment), (5, Some(bench.topics.some("t", &[0, 1]))));
    assert!(!bench.member("a").uses_classic_protocol());
}

#[test]
fn a_static_member_downgrades_in_place() {
    let mut bench = Bench::new(&[("t", 2)]);
    let mut classic = classic_group(&[("a", &[0]), ("b", &[1])]);
    classic.members[0].instance_id = Some("i".into());
    upgraded(&mut bench, &classic);
    bench.ok(&HeartbeatRequest { instance_id: Some("i".into()), ..join("a", &["t"]) });
    assert!(!bench.member("a").uses_classic_protocol());
    let request = JoinRequest { instance_id: Some("i".into()), ..join_classic("", &["t"], &[]) };
    let joined = bench.join_classic(&request).expect("joined");
    assert_eq!(joined.member_id, "made-up");
    let classic = bench.became_classic.take().expect("nothing but classic members");
    assert!(bench.group.is_empty() && bench.group.holders.is_empty());
    assert!(!classic.rebalance, "its subscription is the same");
    let made_up = classic.members.iter().find(|m| m.member_id == "made-up").expect("in place of a");
    assert_eq!(read_assignment(&made_up.assignment).expect("own").0, [("t".into(), vec![0])]);
}

#[test]
fn what_cannot_be_upgraded_is_refused() {
    let bench = Bench::new(&[("t", 2)]);
    let refused = |classic: &ClassicSnapshot, limits: &Limits| {
        let at = Moment { limits, ..at!(bench) };
        upgrade("g", classic, &at).err().expect("refused").name
    };
    let good = classic_group(&[("a", &[0]), ("b", &[1])]);
    let connect = ClassicSnapshot { protocol_type: "connect".into(), ..good.clone() };
    assert_eq!(refused(&connect, &bench.limits), GroupError::GroupIdNotFound);
    let mut limits = bench.limits.clone();
    limits.migration.upgrade = false;
    assert_eq!(refused(&good, &limits), GroupError::GroupIdNotFound);
    assert_eq!(refused(&good, &Limits { members_max: 1, ..bench.limits.clone() }), GroupError::GroupIdNotFound);
    let mut broken = good.clone();
    broken.members[0].protocols[0].metadata.truncate(3);
    assert_eq!(refused(&broken, &bench.limits), GroupError::GroupIdNotFound);
}

#[test]
fn a_partition_given_twice_is_kept_once() {
    let mut bench = Bench::new(&[("t", 2)]);
    upgraded(&mut bench, &classic_group(&[("a", &[0, 1]), ("b", &[1])]));
    assert_eq!(bench.member("b").assigned, Assignment::new());
}
