//! Heartbeats as a running Kafka 4.2.1 answered them, word for word.

use super::*;

/// What a heartbeat says, beyond who sends it.
#[derive(Clone, Default)]
struct Say<'a> {
    names: Option<&'a [&'a str]>,
    regex: Option<&'a str>,
    owned: Option<&'a [(&'a str, &'a [i32])]>,
    instance: Option<&'a str>,
    rebalance_timeout_ms: Option<i32>,
    assignor: Option<&'a str>,
}

struct Talk(Bench);

type Named<'a> = &'a [(&'a str, &'a [i32])];

impl Talk {
    fn with_topics() -> Talk {
        Talk(Bench::new(&[("t", 2), ("u", 2)]))
    }

    fn send(&mut self, member: &str, epoch: i32, say: &Say) -> Result<HeartbeatResponse, Refusal> {
        let topics = &self.0.topics;
        let owned = say.owned.map(|o| o.iter().flat_map(|(t, p)| topics.some(t, p)).collect());
        let request = HeartbeatRequest {
            rebalance_timeout_ms: say.rebalance_timeout_ms.unwrap_or(-1),
            subscribed_topics: say.names.map(|n| n.iter().map(|t| (*t).into()).collect()),
            subscribed_regex: say.regex.map(Into::into),
            owned,
            instance_id: say.instance.map(Into::into),
            server_assignor: say.assignor.map(Into::into),
            ..beat(member, epoch)
        };
        self.0.send(&request)
    }

    /// Expects the answer's epoch and assignment.
    #[track_caller]
    fn ok(&mut self, member: &str, epoch: i32, say: &Say, expected: (i32, Option<Named>)) {
        let answer = self.send(member, epoch, say).expect("accepted");
        let topics = &self.0.topics;
        let assignment = expected.1.map(|o| o.iter().flat_map(|(t, p)| topics.some(t, p)).collect());
        assert_eq!((answer.member_epoch, answer.assignment), (expected.0, assignment));
        assert_eq!(answer.heartbeat_interval_ms, if epoch < 0 { 0 } else { 5_000 });
    }

    #[track_caller]
    fn refused(&mut self, member: &str, epoch: i32, say: &Say, name: GroupError, message: &str) {
        let error = self.send(member, epoch, say).expect_err("refused");
        assert_eq!((error.name, error.message.as_str()), (name, message));
    }
}

fn says<'a>() -> Say<'a> {
    Say::default()
}

fn owns<'a>(owned: Named<'a>) -> Say<'a> {
    Say { owned: Some(owned), ..says() }
}

fn joins<'a>(names: &'a [&'a str]) -> Say<'a> {
    Say { names: Some(names), owned: Some(&[]), rebalance_timeout_ms: Some(30_000), ..says() }
}

fn joins_regex(regex: &str) -> Say<'_> {
    Say { names: None, regex: Some(regex), ..joins(&[]) }
}

const T01: Named = &[("t", &[0, 1])];
const T0: Named = &[("t", &[0])];
const T1: Named = &[("t", &[1])];
const U01: Named = &[("u", &[0, 1])];
const NOTHING: Named = &[];

#[test]
fn two_members() {
    let mut g = Talk::with_topics();
    g.ok("a", 0, &joins(&["t"]), (1, Some(T01)));
    g.ok("b", 0, &joins(&["t"]), (2, Some(NOTHING)));
    g.ok("a", 1, &owns(T01), (1, Some(T0)));
    g.ok("b", 2, &says(), (2, None));
    g.ok("a", 1, &says(), (1, None));
    g.ok("a", 1, &owns(T0), (2, None));
    g.ok("b", 2, &says(), (2, Some(T1)));
    g.ok("b", 2, &says(), (2, None));
    let fenced = |relation: &str, received: i32| {
        format!(
            "The consumer group member has a {relation} member epoch ({received}) than the one known by the group coordinator (2). The member must abandon all its partitions and rejoin."
        )
    };
    g.refused("a", 1, &says(), GroupError::FencedMemberEpoch, &fenced("smaller", 1));
    g.ok("a", 1, &owns(T0), (2, None));
    g.refused("a", 1, &owns(T01), GroupError::FencedMemberEpoch, &fenced("smaller", 1));
    g.refused("a", 9, &says(), GroupError::FencedMemberEpoch, &fenced("greater", 9));
    g.refused("zz", 3, &says(), GroupError::UnknownMemberId, "Member zz is not a member of group g.");
    g.ok("a", 0, &joins(&["t"]), (2, Some(T0)));
    g.ok("a", -1, &says(), (-1, None));
    g.ok("b", 2, &says(), (3, Some(T01)));
    g.ok("b", -1, &says(), (-1, None));
    g.refused("b", -1, &says(), GroupError::UnknownMemberId, "Member b is not a member of group g.");
    let mut none = Talk::with_topics();
    none.refused("b", -1, &says(), GroupError::GroupIdNotFound, "Group g not found.");
    none.refused("b", 1, &says(), GroupError::GroupIdNotFound, "Consumer group g not found.");
}

#[test]
fn static_members() {
    let mut g = Talk::with_topics();
    let instance = |say: Say<'static>| Say { instance: Some("i"), ..say };
    g.ok("a", 0, &instance(joins(&["t"])), (1, Some(T01)));
    g.refused(
        "b",
        0,
        &instance(joins(&["t"])),
        GroupError::UnreleasedInstanceId,
        "Static member b with instance id i cannot join the group because the instance id is owned by a member.",
    );
    g.ok("a", -2, &instance(says()), (-2, None));
    g.ok("b", 0, &instance(joins(&["t"])), (1, Some(T01)));
    let fenced = "Static member a with instance id i was fenced by member b.";
    g.refused("a", 1, &instance(says()), GroupError::FencedInstanceId, fenced);
    let other = Say { instance: Some("j"), ..says() };
    g.refused("x", 1, &other, GroupError::UnknownMemberId, "Instance id j is unknown.");
    g.ok("b", -2, &instance(says()), (-2, None));
    g.ok("b", 0, &instance(joins(&["u"])), (2, Some(U01)));
    g.ok("b", -1, &instance(says()), (-1, None));
}

#[test]
fn expressions() {
    let mut g = Talk::with_topics();
    g.ok("a", 0, &joins_regex("t|zz.*"), (1, Some(NOTHING)));
    g.ok("a", 1, &says(), (2, Some(T01)));
    let invalid = "SubscribedTopicRegex `[a` is not a valid regular expression: missing closing ].";
    g.refused("b", 0, &joins_regex("[a"), GroupError::InvalidRegularExpression, invalid);
    g.ok("b", 0, &joins_regex("t|zz.*"), (3, Some(NOTHING)));
    g.ok("a", 2, &Say { regex: Some(""), ..owns(T01) }, (2, Some(NOTHING)));
    g.ok("a", 2, &owns(NOTHING), (4, None));
    g.ok("b", 3, &says(), (4, Some(T01)));

    let mut g = Talk::with_topics();
    g.ok("a", 0, &joins_regex("t"), (1, Some(NOTHING)));
    g.ok("a", 1, &says(), (2, Some(T01)));
    g.ok("a", 2, &Say { regex: Some(""), names: Some(&["t"]), ..owns(T01) }, (3, None));
    g.ok("a", 3, &Say { regex: Some("u"), names: Some(&[]), ..owns(T01) }, (3, Some(NOTHING)));
    g.ok("a", 3, &owns(NOTHING), (5, Some(U01)));
    g.ok("a", 3, &owns(NOTHING), (5, None));
}

#[test]
fn a_changed_subscription() {
    let mut g = Talk::with_topics();
    g.ok("a", 0, &joins(&["t"]), (1, Some(T01)));
    g.ok("a", 1, &Say { names: Some(&["u"]), ..owns(T01) }, (1, Some(NOTHING)));
    g.ok("a", 1, &owns(NOTHING), (2, Some(U01)));
    g.ok("a", 2, &Say { assignor: Some("range"), ..says() }, (2, None));
    let unknown = "ServerAssignor nope is not supported. Supported assignors: uniform, range.";
    let nope = Say { assignor: Some("nope"), ..says() };
    g.refused("a", 2, &nope, GroupError::UnsupportedAssignor, unknown);
    g.ok("a", 2, &Say { names: Some(&["u"]), ..owns(U01) }, (2, None));
    let full = Say { names: Some(&["u"]), rebalance_timeout_ms: Some(1_000), ..owns(U01) };
    g.ok("a", 2, &full, (2, Some(U01)));
    g.refused("b", -5, &says(), GroupError::InvalidRequest, "MemberEpoch is invalid.");
    g.refused(" ", 0, &joins(&["u"]), GroupError::InvalidRequest, "MemberId can't be empty.");
}

mod classic_members {
    use super::super::classic::{join_classic, subscription};
    use super::super::migration::classic_group;
    use super::*;
    use crate::coordinator::consumer::migrate::upgrade;

    /// JoinGroup, as a member that is known: the generation.
    #[track_caller]
    fn joined(g: &mut Talk, id: &str, owned: Named, generation: i32) {
        let answer = g.0.join_classic(&join_classic(id, &["t"], owned)).expect("joined");
        assert_eq!((answer.generation, answer.protocol_name.as_str()), (generation, "range"));
    }

    #[track_caller]
    fn synced(g: &mut Talk, id: &str, generation: i32, expected: Result<Named, GroupError>) {
        let expected = expected.map(|o| o.iter().map(|(t, p)| ((*t).to_string(), p.to_vec())).collect::<Vec<_>>());
        assert_eq!(g.0.sync(id, generation).map_err(|e| e.name), expected);
    }

    #[test]
    fn among_members_of_the_new_protocol() {
        let mut g = Talk::with_topics();
        g.ok("a", 0, &joins(&["t"]), (1, Some(T01)));
        joined(&mut g, "k", NOTHING, 2);
        synced(&mut g, "k", 2, Ok(NOTHING));
        assert!(!g.0.beat_classic("k", 2));
        g.ok("a", 1, &says(), (1, Some(T0)));
        g.ok("a", 1, &owns(T0), (2, None));
        assert!(g.0.beat_classic("k", 2));
        joined(&mut g, "k", NOTHING, 2);
        synced(&mut g, "k", 2, Ok(T1));
        assert!(!g.0.beat_classic("k", 2));
        g.ok("c", 0, &joins(&["t", "u"]), (3, Some(U01)));
        assert!(g.0.beat_classic("k", 2));
        synced(&mut g, "k", 2, Err(GroupError::RebalanceInProgress));
        joined(&mut g, "k", T1, 3);
        synced(&mut g, "k", 3, Ok(T1));
        assert!(!g.0.beat_classic("k", 3));
        synced(&mut g, "k", 99, Err(GroupError::IllegalGeneration));
    }

    #[test]
    fn up_and_down_again() {
        let mut g = Talk::with_topics();
        let mut classic = classic_group(&[("v", &[0, 1])]);
        classic.generation = 1;
        classic.members[0].protocols[0].metadata = subscription(&["t"], &[]);
        let bench = &mut g.0;
        let upgraded = upgrade("g", &classic, &at!(bench)).expect("upgraded");
        bench.commit(Outcome { records: upgraded.records, response: (), effects: upgraded.effects });

        g.ok("new", 0, &joins(&["t"]), (2, Some(NOTHING)));
        assert!(g.0.beat_classic("v", 1));
        joined(&mut g, "v", T01, 1);
        let kept = g.0.member("v").assigned.clone();
        let (kept, other) = if kept == g.0.topics.some("t", &[0]) { (T0, T1) } else { (T1, T0) };
        synced(&mut g, "v", 1, Ok(kept));
        assert!(g.0.beat_classic("v", 1));
        joined(&mut g, "v", kept, 2);
        synced(&mut g, "v", 2, Ok(kept));
        g.ok("new", 2, &says(), (2, Some(other)));
        assert!(!g.0.beat_classic("v", 2));
        g.ok("new", -1, &says(), (-1, None));
        let classic = g.0.became_classic.take().expect("a classic group again");
        assert_eq!((classic.generation, classic.rebalance), (2, true));
    }
}
