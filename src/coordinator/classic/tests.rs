//! Request in, records and answers out, clock advanced.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::*;
use crate::base::TopicId;
use crate::coordinator::consumer;
use crate::coordinator::runtime::Done;
use crate::coordinator::shard::{Environment, Shard};

const LIMITS: Limits = Limits {
    session_timeout_min_ms: 100,
    session_timeout_max_ms: 60_000,
    size_max: 3,
    initial_rebalance_delay_ms: 0,
    offset_metadata_units_max: 10,
    offsets_retention_ms: 1_000_000,
    offsets_check_interval_ms: 600_000,
};

struct AnyTopics;

impl consumer::TopicView for AnyTopics {
    fn version(&self) -> u64 {
        0
    }

    fn topic(&self, _: &str) -> Option<(TopicId, i32)> {
        Some((TopicId::ZERO, 1))
    }

    fn topic_name(&self, _: TopicId) -> Option<String> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Fixture {
    shard: Shard,
    now: i64,
    limits: Limits,
    records: usize,
}

type Waiting<R> = oneshot::Receiver<Done<R>>;

impl Fixture {
    fn new() -> Fixture {
        Fixture { shard: Shard::default(), now: 0, limits: LIMITS, records: 0 }
    }

    fn run<T>(&mut self, operation: impl FnOnce(&mut Shard, &Environment<'_>, &mut Effects) -> T) -> T {
        let mut effects = Effects::new(1_000_000 + self.now);
        let env = Environment {
            now_ms: self.now,
            limits: &self.limits,
            topics: &AnyTopics,
            limits_of: &|_| consumer::Limits::default(),
        };
        let result = operation(&mut self.shard, &env, &mut effects);
        self.records += effects.records.len();
        for (deadline, key) in effects.take_armed() {
            self.shard.timers.arm(deadline, key);
        }
        for record in &effects.records {
            self.shard.replay(record, 0, None);
        }
        effects.send_answers(None);
        result
    }

    /// Time passes, and whatever it ends ends.
    fn advance(&mut self, ms: i64) {
        let until = self.now + ms;
        while let Some(deadline) = self.shard.timers.earliest().filter(|d| *d <= until) {
            self.now = deadline.max(self.now);
            let key = self.shard.timers.take_due(self.now).expect("it is due");
            self.run(|shard, env, effects| shard.timer_fired(key, env, effects));
        }
        self.now = until;
    }

    fn join(&mut self, member: &str, change: impl FnOnce(&mut JoinRequest)) -> Waiting<JoinResponse> {
        let mut request = JoinRequest {
            group: "g".into(),
            member_id: member.into(),
            instance_id: None,
            client_id: "c".into(),
            client_host: "/h".into(),
            session_timeout_ms: 1_000,
            rebalance_timeout_ms: 2_000,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::from_static(b"r")), ("sticky".into(), Bytes::from_static(b"s"))],
            requires_member_id: false,
            can_skip_assignment: false,
        };
        change(&mut request);
        let (parked, answer) = oneshot::channel();
        self.run(|shard, env, effects| shard.join(&request, parked, env, effects));
        answer
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &'static str)]) -> Waiting<SyncResponse> {
        let request = SyncRequest {
            group: "g".into(),
            member_id: member.into(),
            instance_id: None,
            generation,
            protocol_type: None,
            protocol: None,
            assignments: assignments.iter().map(|(m, a)| ((*m).to_owned(), Bytes::from_static(a.as_bytes()))).collect(),
        };
        let (parked, answer) = oneshot::channel();
        self.run(|shard, env, effects| shard.sync(&request, parked, env, effects));
        answer
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        self.run(|shard, env, effects| shard.heartbeat("g", member, None, generation, env, effects))
    }

    fn leave(&mut self, member: &str, instance: Option<&str>) -> Result<(), GroupError> {
        let leaving = [Leaving { member_id: member.into(), instance_id: instance.map(str::to_owned) }];
        self.run(|shard, env, effects| shard.leave("g", &leaving, env, effects)).expect("a group id")[0]
    }

    fn state(&self) -> &'static str {
        self.shard.describe("g").map_or("Dead", |g| g.state.name())
    }

    /// Two members in generation 2, stable.
    fn two_members(&mut self) -> (String, String) {
        let one = answered(&mut self.join("", |_| {})).member_id;
        let mut second = self.join("", |_| {});
        let mut first = self.join(&one, |_| {});
        let two = answered(&mut second).member_id;
        assert_eq!(answered(&mut first).generation, 2);
        let mut follower = self.sync(&two, 2, &[]);
        assert!(follower.try_recv().is_err(), "waits for the leader");
        assert_eq!(answered(&mut self.sync(&one, 2, &[(&one, "1"), (&two, "2")])).assignment, "1");
        assert_eq!(answered(&mut follower).assignment, "2");
        assert_eq!(self.state(), "Stable");
        (one, two)
    }
}

#[track_caller]
fn answered<R>(waiting: &mut Waiting<R>) -> R {
    waiting.try_recv().expect("answered").response
}

#[test]
fn a_first_member_is_answered_at_once_and_leads() {
    let mut f = Fixture::new();
    let joined = answered(&mut f.join("", |_| {}));
    assert_eq!((joined.error, joined.generation, joined.protocol.as_deref()), (None, 1, Some("range")));
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(joined.members.len(), 1);
    assert_eq!(f.state(), "CompletingRebalance");
    let synced = answered(&mut f.sync(&joined.member_id, 1, &[(&joined.member_id, "all")]));
    assert_eq!(synced.assignment, "all");
    assert_eq!(f.state(), "Stable");
    assert_eq!(f.heartbeat(&joined.member_id, 1), Ok(()));
    assert_eq!(f.heartbeat(&joined.member_id, 0), Err(GroupError::IllegalGeneration));
    assert_eq!(f.heartbeat("other", 1), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_member_id_is_given_first_where_the_client_knows_of_it() {
    let mut f = Fixture::new();
    let refused = answered(&mut f.join("", |r| r.requires_member_id = true));
    assert_eq!(refused.error, Some(GroupError::MemberIdRequired));
    let joined = answered(&mut f.join(&refused.member_id, |r| r.requires_member_id = true));
    assert_eq!((joined.error, joined.member_id), (None, refused.member_id));
    assert_eq!(answered(&mut f.join("made-up", |_| {})).error, Some(GroupError::UnknownMemberId));
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    let mut f = Fixture::new();
    let (one, two) = f.two_members();
    assert_eq!(f.heartbeat(&one, 2), Ok(()));
    let mut third = f.join("", |_| {});
    assert_eq!(f.heartbeat(&one, 2), Err(GroupError::RebalanceInProgress));
    let mut first = f.join(&one, |_| {});
    assert!(first.try_recv().is_err(), "waits for the second");
    let mut second = f.join(&two, |_| {});
    let answers = [answered(&mut first), answered(&mut second), answered(&mut third)];
    assert!(answers.iter().all(|a| a.generation == 3));
    assert_eq!(answers.iter().map(|a| a.members.len()).collect::<Vec<_>>(), [3, 0, 0]);
    assert_eq!(answered(&mut f.join("", |_| {})).error, Some(GroupError::GroupMaxSizeReached));
}

#[test]
fn who_does_not_join_in_time_is_out() {
    let mut f = Fixture::new();
    let (one, two) = f.two_members();
    let mut first = f.join(&one, |r| r.protocols.truncate(1));
    for _ in 0..19 {
        f.advance(100);
        assert_eq!(f.heartbeat(&two, 2), Err(GroupError::RebalanceInProgress));
    }
    assert!(first.try_recv().is_err());
    f.advance(200);
    assert_eq!(answered(&mut first).generation, 3);
    assert_eq!(f.heartbeat(&two, 3), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_session_ends_without_heartbeats() {
    let mut f = Fixture::new();
    let (one, two) = f.two_members();
    f.advance(900);
    assert_eq!(f.heartbeat(&one, 2), Ok(()));
    f.advance(200);
    assert_eq!(f.heartbeat(&two, 2), Err(GroupError::UnknownMemberId));
    assert_eq!(f.heartbeat(&one, 2), Err(GroupError::RebalanceInProgress));
    assert_eq!(answered(&mut f.join(&one, |_| {})).generation, 3);
    f.advance(5_000);
    assert_eq!(f.state(), "Empty");
}

#[test]
fn who_asks_again_while_it_joins_keeps_the_time_of_a_new_member() {
    let mut f = Fixture::new();
    f.limits.initial_rebalance_delay_ms = 30_000;
    let long = |r: &mut JoinRequest| {
        r.requires_member_id = true;
        r.rebalance_timeout_ms = 60_000;
    };
    let id = answered(&mut f.join("", long)).member_id;
    let _given_up = f.join(&id, long);
    f.advance(500);
    let mut joining = f.join(&id, long);
    f.advance(20_000);
    assert!(joining.try_recv().is_err());
    f.advance(40_000);
    assert_eq!(answered(&mut joining).error, None);
}

#[test]
fn who_must_join_again_instead_of_syncing_begins_a_session() {
    let mut f = Fixture::new();
    f.limits.size_max = 10;
    let one = answered(&mut f.join("", |_| {})).member_id;
    let mut second = f.join("", |_| {});
    let _first = f.join(&one, |_| {});
    let two = answered(&mut second).member_id;
    let mut synced = f.sync(&two, 2, &[]);
    for _ in 0..9 {
        f.advance(100);
        assert_eq!(f.heartbeat(&one, 2), Ok(()));
    }
    let _third = f.join("", |_| {});
    assert_eq!(answered(&mut synced).error, Some(GroupError::RebalanceInProgress));
    f.advance(900);
    assert_eq!(f.heartbeat(&two, 2), Err(GroupError::RebalanceInProgress));
}

#[test]
fn timers_do_not_multiply() {
    let mut f = Fixture::new();
    let (one, two) = f.two_members();
    for round in 0..100 {
        f.advance(50);
        for member in [&one, &two] {
            assert_eq!(f.heartbeat(member, 2), Ok(()), "round {round}");
        }
    }
    let left = std::iter::from_fn(|| f.shard.timers.take_due(i64::MAX)).count();
    assert!(left <= 4, "{left} timers: two sessions, and what is left of the rebalance");
}

#[test]
fn a_refused_join_of_the_new_protocol_leaves_a_classic_group_as_it_is() {
    let mut f = Fixture::new();
    // A subscription to nothing.
    let readable = |r: &mut JoinRequest| r.protocols = vec![("range".into(), Bytes::from_static(&[0; 10]))];
    let one = answered(&mut f.join("", readable)).member_id;
    answered(&mut f.sync(&one, 1, &[]));
    let mut request = consumer::HeartbeatRequest {
        member_id: "m".into(),
        member_epoch: 0,
        rebalance_timeout_ms: 1_000,
        subscribed_topics: Some(Vec::new()),
        subscribed_regex: Some("[".into()),
        ..Default::default()
    };
    let records = f.records;
    let refused = f.run(|shard, env, effects| shard.consumer_heartbeat("g", &request, env, effects));
    assert!(refused.is_err());
    assert_eq!((f.state(), f.records), ("Stable", records));
    assert_eq!(f.heartbeat(&one, 1), Ok(()));
    // With a good expression it would have been let in.
    request.subscribed_regex = Some("t.*".into());
    let joined = f.run(|shard, env, effects| shard.consumer_heartbeat("g", &request, env, effects));
    assert_eq!(joined.map(|j| j.member_epoch), Ok(1));
}

#[test]
fn who_never_syncs_is_out() {
    let mut f = Fixture::new();
    let one = answered(&mut f.join("", |_| {})).member_id;
    let mut second = f.join("", |_| {});
    let mut first = f.join(&one, |_| {});
    answered(&mut first);
    let two = answered(&mut second).member_id;
    let mut synced = f.sync(&two, 2, &[]);
    for _ in 0..21 {
        f.advance(100);
        let _ = f.heartbeat(&one, 2);
    }
    assert_eq!(answered(&mut synced).error, Some(GroupError::RebalanceInProgress));
    assert_eq!(f.heartbeat(&one, 2), Err(GroupError::UnknownMemberId));
}

#[test]
fn the_protocol_with_most_votes_is_taken() {
    let mut f = Fixture::new();
    f.limits.size_max = 4;
    let reversed = |r: &mut JoinRequest| r.protocols.reverse();
    let one = answered(&mut f.join("", |_| {})).member_id;
    let mut second = f.join("", reversed);
    let mut third = f.join("", reversed);
    let mut first = f.join(&one, |_| {});
    assert_eq!(answered(&mut first).protocol.as_deref(), Some("sticky"));
    assert_eq!(answered(&mut second).protocol, answered(&mut third).protocol);
    let other = answered(&mut f.join("", |r| r.protocols = vec![("roundrobin".into(), Bytes::new())]));
    assert_eq!(other.error, Some(GroupError::InconsistentGroupProtocol));
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_the_old_one() {
    let mut f = Fixture::new();
    let named = |r: &mut JoinRequest| r.instance_id = Some("i".into());
    let old = answered(&mut f.join("", named)).member_id;
    answered(&mut f.sync(&old, 1, &[(&old, "all")]));
    let before = f.records;
    let back = answered(&mut f.join("", |r| {
        named(r);
        r.can_skip_assignment = true;
    }));
    assert_eq!((back.error, back.generation, back.skip_assignment), (None, 1, true));
    assert_ne!(back.member_id, old);
    assert_eq!(f.state(), "Stable");
    assert_eq!(f.records, before + 1, "the new id is on record");
    let fenced = f.run(|shard, env, effects| shard.heartbeat("g", &old, Some("i"), 1, env, effects));
    assert_eq!(fenced, Err(GroupError::FencedInstanceId));
    assert_eq!(answered(&mut f.sync(&back.member_id, 1, &[])).assignment, "all");
    assert_eq!(f.leave("", Some("i")), Ok(()));
    assert_eq!(f.state(), "Empty");
}

#[test]
fn the_last_to_leave_empties_the_group() {
    let mut f = Fixture::new();
    let (one, two) = f.two_members();
    assert_eq!(f.leave(&two, None), Ok(()));
    assert_eq!(f.leave(&two, None), Err(GroupError::UnknownMemberId));
    assert_eq!(f.heartbeat(&one, 2), Err(GroupError::RebalanceInProgress));
    assert_eq!(f.leave(&one, None), Ok(()));
    assert_eq!(f.state(), "Empty");
    assert_eq!(f.run(|shard, _, effects| shard.delete("g", effects)), Ok(()));
    assert_eq!(f.state(), "Dead");
}

#[test]
fn the_initial_delay_grows_with_each_who_comes() {
    let mut f = Fixture::new();
    f.limits.initial_rebalance_delay_ms = 500;
    let mut first = f.join("", |_| {});
    f.advance(400);
    let mut second = f.join("", |_| {});
    f.advance(200);
    assert!(first.try_recv().is_err(), "somebody came: the delay begins again");
    f.advance(500);
    assert_eq!(answered(&mut first).generation, 1);
    assert_eq!(answered(&mut second).generation, 1);
}
