use super::*;

fn join_static(id: &str, instance: &str) -> HeartbeatRequest {
    HeartbeatRequest { instance_id: Some(instance.into()), ..join(id, &["t"]) }
}

fn beat_static(id: &str, epoch: i32, instance: &str) -> HeartbeatRequest {
    HeartbeatRequest { instance_id: Some(instance.into()), ..beat(id, epoch) }
}

#[test]
fn a_returning_static_member_gets_its_partitions_back_without_a_rebalance() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&join_static("a", "i"));
    bench.ok(&join("b", &["t"]));
    bench.ok(&owning("a", 1, bench.topics.some("t", &[0, 1])));
    bench.ok(&HeartbeatRequest { instance_id: Some("i".into()), ..owning("a", 1, bench.topics.some("t", &[0])) });
    bench.ok(&beat("b", 2));
    let epoch = bench.group.epoch();

    let answer = bench.ok(&beat_static("a", -2, "i"));
    assert_eq!((answer.member_epoch, answer.assignment), (-2, None));
    assert_eq!(bench.ok(&beat("b", 2)).assignment, None, "its partition stays with it");

    let answer = bench.ok(&join_static("a2", "i"));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(bench.topics.some("t", &[0]))));
    assert_eq!(bench.group.epoch(), epoch);
    assert!(bench.group.member("a").is_none());
    assert_eq!(bench.refused(&beat_static("a", 2, "i")), GroupError::FencedInstanceId);
}

#[test]
fn an_instance_in_use_is_not_given_away() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&join_static("a", "i"));
    assert_eq!(bench.refused(&join_static("b", "i")), GroupError::UnreleasedInstanceId);
    assert_eq!(bench.refused(&beat_static("b", -1, "i")), GroupError::FencedInstanceId);
    assert_eq!(bench.refused(&beat_static("b", -2, "j")), GroupError::UnknownMemberId);
    assert_eq!(bench.refused(&beat_static("b", 1, "j")), GroupError::UnknownMemberId);
    bench.ok(&beat_static("a", -1, "i"));
    assert!(bench.group.is_empty());
    bench.ok(&join_static("b", "i"));
}

#[test]
fn a_static_member_that_stays_away_is_fenced_after_its_session() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&join_static("a", "i"));
    bench.ok(&beat_static("a", -2, "i"));
    bench.advance(44_999);
    assert!(bench.group.member("a").is_some());
    bench.advance(1);
    assert!(bench.group.is_empty() && bench.group.static_members.is_empty());
}

#[test]
fn a_static_member_may_return_under_its_old_id_and_with_another_subscription() {
    let mut bench = Bench::new(&[("t", 1), ("u", 1)]);
    bench.ok(&join_static("a", "i"));
    bench.ok(&beat_static("a", -2, "i"));
    let answer = bench.ok(&HeartbeatRequest { subscribed_topics: Some(vec!["u".into()]), ..join_static("a", "i") });
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(bench.topics.some("u", &[0]))));
    assert_eq!(format!("{:?}", bench.reloaded()).len(), format!("{:?}", bench.group).len() - seen_len(&bench));
}

/// What a restart forgets, as text.
fn seen_len(bench: &Bench) -> usize {
    format!("{:?}", bench.group.seen).len() - format!("{:?}", Seen::default()).len()
}
