use super::*;

#[test]
fn a_first_member_gets_everything_with_its_first_heartbeat() {
    let mut bench = Bench::new(&[("t", 3)]);
    let answer = bench.ok(&join("a", &["t"]));
    assert_eq!(answer.member_epoch, 1);
    assert_eq!(answer.heartbeat_interval_ms, 5_000);
    assert_eq!(answer.assignment, Some(bench.topics.some("t", &[0, 1, 2])));
    let kinds: Vec<&str> = bench.log.iter().map(name).collect();
    assert_eq!(kinds, ["member", "group", "target member", "target epoch", "current"], "in Kafka's order");
    assert_eq!(bench.group.state(), GroupState::Stable);

    let again = bench.ok(&owning("a", 1, bench.topics.some("t", &[0, 1, 2])));
    assert_eq!((again.member_epoch, again.assignment), (1, None), "nothing new is not told again");
    assert_eq!(bench.log.len(), 5);
}

fn name(change: &Change) -> &'static str {
    match change {
        Change::Group(_) => "group",
        Change::PartitionMetadata { .. } => "partition metadata",
        Change::Member { .. } => "member",
        Change::TargetEpoch(_) => "target epoch",
        Change::TargetMember { .. } => "target member",
        Change::CurrentAssignment { .. } => "current",
        Change::Regex { .. } => "regex",
    }
}

#[test]
fn a_topic_that_is_not_there_gives_an_empty_assignment() {
    let mut bench = Bench::new(&[]);
    let answer = bench.ok(&join("a", &["later"]));
    assert_eq!(answer.assignment, Some(Assignment::new()));
    bench.topics.create("later", 2);
    let answer = bench.ok(&beat("a", 1));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(bench.topics.some("later", &[0, 1]))));
}

#[test]
fn a_second_member_waits_until_the_first_has_given_up() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join("a", &["t"]));
    let answer = bench.ok(&join("b", &["t"]));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(Assignment::new())));
    assert_eq!(bench.member("b").state, MemberState::UnreleasedPartitions);
    assert_eq!(bench.group.state(), GroupState::Reconciling);

    // The first is asked to give up one partition and stays in its epoch.
    let answer = bench.ok(&owning("a", 1, bench.topics.some("t", &[0, 1])));
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(bench.topics.some("t", &[0]))));
    assert_eq!(bench.member("a").state, MemberState::UnrevokedPartitions);
    assert_eq!(bench.ok(&beat("b", 2)).assignment, None, "not free yet");

    let answer = bench.ok(&owning("a", 1, bench.topics.some("t", &[0])));
    assert_eq!((answer.member_epoch, answer.assignment), (2, None), "it has what it should have already");
    let answer = bench.ok(&beat("b", 2));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(bench.topics.some("t", &[1]))));
    assert_eq!(bench.group.state(), GroupState::Stable);
}

#[test]
fn who_does_not_give_up_in_time_is_fenced() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join("a", &["t"]));
    bench.ok(&join("b", &["t"]));
    bench.ok(&beat("a", 1));
    let before = std::mem::take(&mut bench.timers);
    bench.group = bench.reloaded();
    let effects = timers_after_load(&bench.group, &at!(bench));
    bench.commit(Outcome { records: Vec::new(), response: (), effects });
    assert_eq!(bench.timers, before, "a restart at this moment changes nothing");
    for _ in 0..6 {
        assert!(bench.group.member("a").is_some());
        bench.advance(5_000);
        bench.ok(&beat("b", 2));
        let _ = bench.send(&beat("a", 1));
    }
    assert!(bench.group.member("a").is_none(), "after its rebalance timeout of 30 s");
    assert_eq!(bench.refused(&beat("a", 1)), GroupError::UnknownMemberId);
    assert_eq!(bench.member("b").assigned, bench.topics.some("t", &[0, 1]));
}

#[test]
fn a_silent_member_is_fenced_after_its_session() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&join("a", &["t"]));
    bench.advance(44_999);
    bench.ok(&beat("a", 1));
    bench.advance(44_999);
    assert!(bench.group.member("a").is_some());
    bench.advance(1);
    assert!(bench.group.is_empty());
    assert_eq!((bench.group.epoch(), bench.group.target_epoch()), (2, 1), "as Kafka shows an emptied group");
    assert!(bench.timers.is_empty());
}

#[test]
fn epochs_are_checked() {
    let mut bench = Bench::new(&[("t", 2)]);
    assert_eq!(bench.refused(&beat("a", 1)), GroupError::GroupIdNotFound);
    assert_eq!(bench.refused(&beat("a", -1)), GroupError::GroupIdNotFound);
    bench.ok(&join("a", &["t"]));
    assert_eq!(bench.refused(&beat("b", 1)), GroupError::UnknownMemberId);
    assert_eq!(bench.refused(&beat("a", 2)), GroupError::FencedMemberEpoch);
    assert_eq!(bench.refused(&beat("a", -3)), GroupError::InvalidRequest);

    // A new epoch whose answer was lost: the old one is accepted from whoever owns no more than it may.
    bench.topics.grow("t", 4);
    assert_eq!(bench.ok(&beat("a", 1)).member_epoch, 2);
    assert_eq!(bench.refused(&beat("a", 1)), GroupError::FencedMemberEpoch, "it must say what it owns");
    let owned = bench.topics.some("t", &[0, 1]);
    assert_eq!(bench.ok(&owning("a", 1, owned)).member_epoch, 2);
    let too_much = bench.topics.some("t", &[9]);
    assert_eq!(bench.refused(&owning("a", 1, too_much)), GroupError::FencedMemberEpoch);
}

#[test]
fn a_full_request_is_answered_in_full() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&join("a", &["t"]));
    let full = HeartbeatRequest { member_epoch: 1, owned: Some(bench.topics.some("t", &[0])), ..join("a", &["t"]) };
    assert_eq!(bench.ok(&full).assignment, Some(bench.topics.some("t", &[0])));
}

#[test]
fn a_member_that_lost_everything_joins_again_and_keeps_its_partitions() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join("a", &["t"]));
    let answer = bench.ok(&join("a", &["t"]));
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(bench.topics.some("t", &[0, 1]))));
}

#[test]
fn requests_are_validated() {
    let mut bench = Bench::new(&[]);
    let good = join("a", &["t"]);
    let bad = [
        HeartbeatRequest { member_id: " ".into(), ..good.clone() },
        HeartbeatRequest { instance_id: Some(String::new()), ..good.clone() },
        HeartbeatRequest { rack_id: Some(String::new()), ..good.clone() },
        HeartbeatRequest { rebalance_timeout_ms: -1, ..good.clone() },
        HeartbeatRequest { owned: None, ..good.clone() },
        HeartbeatRequest { subscribed_topics: None, ..good.clone() },
        beat("a", -2),
    ];
    for request in bad {
        assert_eq!(bench.refused(&request), GroupError::InvalidRequest, "{request:?}");
    }
    let request = HeartbeatRequest { server_assignor: Some("mine".into()), ..good.clone() };
    let error = bench.send(&request).expect_err("unknown assignor");
    assert_eq!(error.name, GroupError::UnsupportedAssignor);
    assert_eq!(error.message, "ServerAssignor mine is not supported. Supported assignors: uniform, range.");
    // Version 0 makes up an id for whoever joins without one.
    let anonymous = HeartbeatRequest { member_id: String::new(), ..good };
    assert!(validate("g", &anonymous, 0, &bench.limits).is_ok());
}

#[test]
fn a_full_group_takes_nobody_new() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.limits.members_max = 1;
    bench.ok(&join("a", &["t"]));
    assert_eq!(bench.refused(&join("b", &["t"])), GroupError::GroupMaxSizeReached);
    bench.ok(&beat("a", 1));
}

#[test]
fn leaving_frees_partitions_at_once() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join("a", &["t"]));
    bench.ok(&join("b", &["t"]));
    let answer = bench.ok(&beat("a", -1));
    assert_eq!((answer.member_epoch, answer.heartbeat_interval_ms, answer.assignment), (-1, 0, None));
    assert_eq!(bench.ok(&beat("b", 2)).assignment, Some(bench.topics.some("t", &[0, 1])));
    bench.ok(&beat("b", -1));
    assert_eq!(bench.group.state(), GroupState::Empty);
    assert!(bench.group.holders.is_empty() && bench.group.target.is_empty());
    assert!(bench.group.is_empty());
}

#[test]
fn a_deleted_topic_is_taken_away_and_a_new_one_of_its_name_is_given() {
    let mut bench = Bench::new(&[("t", 1), ("u", 1)]);
    bench.ok(&join("a", &["t", "u"]));
    bench.topics.delete("t");
    let u = bench.topics.some("u", &[0]);
    assert_eq!(bench.ok(&beat("a", 1)).assignment, Some(u.clone()), "without waiting for the member to revoke");
    assert_eq!(bench.ok(&owning("a", 1, u)).member_epoch, 2);
    bench.topics.create("t", 1);
    let mut both = bench.topics.some("t", &[0]);
    both.extend(bench.topics.some("u", &[0]));
    assert_eq!(bench.ok(&beat("a", 2)).assignment, Some(both));
}

#[test]
fn the_assignor_of_most_members_is_used() {
    let mut bench = Bench::new(&[("t", 2), ("u", 2)]);
    let with = |id: &str, name: &str| HeartbeatRequest { server_assignor: Some(name.into()), ..join(id, &["t", "u"]) };
    bench.ok(&with("a", "range"));
    assert_eq!(bench.group.assignor_name(&bench.limits), "range");
    bench.ok(&with("b", "uniform"));
    assert_eq!(bench.group.assignor_name(&bench.limits), "uniform", "of equally many, the first configured");
    bench.ok(&with("c", "range"));
    assert_eq!(bench.group.assignor_name(&bench.limits), "range");
}

#[test]
fn commits_and_fetches_need_the_current_epoch() {
    use super::offsets::Committer;
    let mut bench = Bench::new(&[("t", 1)]);
    let tool = Committer { member_id: "", instance_id: None, epoch: -1, transactional: false, api_version: 9 };
    assert!(bench.group.may_commit(&tool).is_ok());
    bench.ok(&join("a", &["t"]));
    let name = |result: Result<(), Refusal>| result.expect_err("refused").name;
    assert_eq!(name(bench.group.may_commit(&tool)), GroupError::UnknownMemberId);
    assert!(bench.group.may_commit(&Committer { transactional: true, ..tool }).is_ok());
    let a = Committer { member_id: "a", epoch: 1, ..tool };
    assert!(bench.group.may_commit(&a).is_ok());
    assert_eq!(name(bench.group.may_commit(&Committer { api_version: 8, ..a })), GroupError::UnsupportedVersion);
    assert_eq!(name(bench.group.may_commit(&Committer { epoch: 0, ..a })), GroupError::StaleMemberEpoch);
    assert!(bench.group.may_fetch(None, -1).is_ok());
    assert!(bench.group.may_fetch(Some("a"), 1).is_ok());
    assert_eq!(name(bench.group.may_fetch(Some("a"), 2)), GroupError::StaleMemberEpoch);
    assert_eq!(name(bench.group.may_fetch(Some("b"), 1)), GroupError::UnknownMemberId);
    assert!(!bench.group.is_empty());
}

#[test]
fn an_uncommitted_answer_changes_nothing() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&join("a", &["t"]));
    bench.topics.grow("t", 2);
    // The records of this one are lost.
    heartbeat(&mut bench.group, &beat("a", 1), &at!(bench)).expect("accepted");
    assert_eq!(bench.group.epoch(), 1);
    assert_eq!(bench.ok(&beat("a", 1)).member_epoch, 2, "the growth is seen again");
}

#[test]
fn a_description_names_topics_and_targets() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join("a", &["t"]));
    bench.ok(&join("b", &["t"]));
    let group = describe::describe(&bench.group, &bench.topics, &bench.limits);
    assert_eq!((group.state.name(), group.epoch, group.target_epoch), ("Reconciling", 2, 2));
    assert_eq!(group.assignor, "uniform");
    let partitions = |topics: &[describe::DescribedTopic]| {
        topics.iter().map(|t| (t.name.clone(), t.partitions.clone())).collect::<Vec<_>>()
    };
    assert_eq!(partitions(&group.members[0].assigned), [("t".into(), vec![0, 1])]);
    assert_eq!(partitions(&group.members[0].target), [("t".into(), vec![0])]);
    assert_eq!((group.members[1].epoch, group.members[1].member_type), (2, 1));
}
