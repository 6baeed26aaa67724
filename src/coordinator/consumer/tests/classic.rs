//! Classic members inside a consumer group.

use super::*;
use crate::coordinator::codec::Writer;
use crate::coordinator::consumer::classic::{self, JoinRequest, JoinResponse, LeavingMember, SyncRequest};
use crate::coordinator::consumer::embedded::read_assignment;
use crate::coordinator::consumer::member::ClassicProtocol;

/// `ConsumerProtocol` subscription of version 1.
pub fn subscription(topics: &[&str], owned: &[(&str, &[i32])]) -> Vec<u8> {
    let mut w = Writer::default();
    w.i16(1);
    w.i32(topics.len() as i32);
    for topic in topics {
        w.string(topic);
    }
    w.i32(-1);
    w.i32(owned.len() as i32);
    for (topic, partitions) in owned {
        w.string(topic).i32(partitions.len() as i32);
        for partition in *partitions {
            w.i32(*partition);
        }
    }
    w.0
}

pub fn protocols(topics: &[&str], owned: &[(&str, &[i32])]) -> Vec<ClassicProtocol> {
    vec![ClassicProtocol { name: "range".into(), metadata: subscription(topics, owned) }]
}

pub fn join_classic(id: &str, topics: &[&str], owned: &[(&str, &[i32])]) -> JoinRequest {
    JoinRequest {
        member_id: id.into(),
        new_member_id: "made-up".into(),
        requires_known_id: true,
        protocol_type: "consumer".into(),
        protocols: protocols(topics, owned),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        client_id: "classic".into(),
        client_host: "/127.0.0.1".into(),
        ..JoinRequest::default()
    }
}

impl Bench {
    pub fn join_classic(&mut self, request: &JoinRequest) -> Result<JoinResponse, Refusal> {
        let outcome = classic::join(&mut self.group, request, &at!(self))?;
        Ok(self.commit(outcome))
    }

    pub fn sync(&mut self, id: &str, generation: i32) -> Result<Vec<(String, Vec<i32>)>, Refusal> {
        let request = SyncRequest {
            member_id: id.into(),
            generation,
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            ..SyncRequest::default()
        };
        let outcome = classic::sync(&self.group, &request, &at!(self))?;
        let bytes = self.commit(outcome)?;
        Ok(read_assignment(&bytes).expect("own bytes").0)
    }

    pub fn beat_classic(&mut self, id: &str, generation: i32) -> bool {
        let outcome = classic::heartbeat(&self.group, id, None, generation, &at!(self)).expect("accepted");
        self.commit(outcome)
    }
}

#[test]
fn a_classic_member_joins_syncs_and_rebalances() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join("a", &["t"]));
    let error = bench.join_classic(&join_classic("", &["t"], &[])).expect_err("must come again with its id");
    assert_eq!(error.name, GroupError::MemberIdRequired);
    let joined = bench.join_classic(&join_classic("made-up", &["t"], &[])).expect("joined");
    assert_eq!((joined.generation, joined.protocol_name.as_str()), (2, "range"));
    assert_eq!(bench.sync("made-up", 2).expect("synced"), []);
    assert!(!bench.beat_classic("made-up", 2), "it waits for the other's partition: joining again would be useless");

    bench.ok(&beat("a", 1));
    bench.ok(&owning("a", 1, bench.topics.some("t", &[0])));
    assert!(bench.beat_classic("made-up", 2), "now it can have it");
    let joined = bench.join_classic(&join_classic("made-up", &["t"], &[])).expect("joined");
    assert_eq!(joined.generation, 2);
    assert_eq!(bench.sync("made-up", 2).expect("synced"), [("t".into(), vec![1])]);
    assert!(!bench.beat_classic("made-up", 2));
    assert_eq!(bench.group.state(), GroupState::Stable);

    // A third member: the classic one is told, and gives up within its next join.
    bench.topics.grow("t", 3);
    bench.ok(&join("c", &["t"]));
    assert!(bench.beat_classic("made-up", 2));
    assert_eq!(bench.sync("made-up", 2).expect_err("told").name, GroupError::RebalanceInProgress);
    let joined = bench.join_classic(&join_classic("made-up", &["t"], &[("t", &[1])])).expect("joined");
    assert_eq!(joined.generation, 3);
}

#[test]
fn a_classic_member_must_rejoin_and_sync_in_time() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.limits.session_timeout_ms = i32::MAX;
    // The other member does not give up in time either.
    bench.limits.migration.downgrade = false;
    bench.ok(&join("a", &["t"]));
    bench.join_classic(&join_classic("b", &["t"], &[])).expect("joined");
    bench.advance(44_000);
    bench.beat_classic("b", 2);
    bench.advance(16_000);
    assert!(bench.group.member("b").is_none(), "it never synced");

    bench.join_classic(&join_classic("c", &["t"], &[])).expect("joined");
    let generation = bench.member("c").epoch;
    bench.sync("c", generation).expect("synced");
    bench.topics.grow("t", 4);
    bench.ok(&beat("a", 1));
    assert!(bench.beat_classic("c", generation));
    bench.advance(40_000);
    assert!(bench.beat_classic("c", generation));
    bench.advance(20_000);
    assert!(bench.group.member("c").is_none(), "it never joined again");
}

#[test]
fn wrong_classic_requests_are_refused() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join("a", &["t"]));
    let mut refused = |request: JoinRequest| bench.join_classic(&request).expect_err("refused").name;
    let good = join_classic("b", &["t"], &[]);
    assert_eq!(
        refused(JoinRequest { protocol_type: "connect".into(), ..good.clone() }),
        GroupError::InconsistentGroupProtocol
    );
    assert_eq!(refused(JoinRequest { protocols: Vec::new(), ..good.clone() }), GroupError::InconsistentGroupProtocol);
    let broken = vec![ClassicProtocol { name: "range".into(), metadata: vec![0] }];
    assert_eq!(refused(JoinRequest { protocols: broken, ..good.clone() }), GroupError::UnknownServerError);
    assert_eq!(refused(JoinRequest { instance_id: Some("i".into()), ..good.clone() }), GroupError::UnknownMemberId);
    bench.join_classic(&good).expect("joined");
    let mut other = join_classic("c", &["t"], &[]);
    other.protocols[0].name = "sticky".into();
    assert_eq!(bench.join_classic(&other).expect_err("nothing in common").name, GroupError::InconsistentGroupProtocol);
    assert_eq!(bench.sync("b", 9).expect_err("wrong generation").name, GroupError::IllegalGeneration);
    assert_eq!(bench.sync("a", 1).expect_err("not classic").name, GroupError::UnknownMemberId);
    assert_eq!(bench.sync("x", 1).expect_err("nobody").name, GroupError::UnknownMemberId);
    let committer =
        offsets::Committer { member_id: "b", instance_id: None, epoch: 9, transactional: false, api_version: 8 };
    assert_eq!(bench.group.may_commit(&committer).expect_err("wrong").name, GroupError::IllegalGeneration);
}

#[test]
fn members_leave_by_leave_group() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&HeartbeatRequest { instance_id: Some("i".into()), ..join("a", &["t"]) });
    bench.ok(&join("b", &["t"]));
    let leaving = |id: &str, instance: Option<&str>| LeavingMember {
        member_id: id.into(),
        instance_id: instance.map(Into::into),
    };
    let all = [
        leaving("", Some("i")),
        leaving("b", Some("i")),
        leaving("x", None),
        leaving("", Some("j")),
        leaving("b", None),
    ];
    let outcome = classic::leave(&bench.group, &all, &at!(bench)).expect("answered");
    let results: Vec<Option<GroupError>> = bench.commit(outcome).into_iter().map(|r| r.err().map(|e| e.name)).collect();
    let (unknown, fenced) = (Some(GroupError::UnknownMemberId), Some(GroupError::FencedInstanceId));
    assert_eq!(results, [None, fenced, unknown, unknown, None]);
    assert!(bench.group.is_empty());
}
