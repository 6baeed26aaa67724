//! The keys of groups away from their defaults: `group.*` for classic groups, `group.consumer.*` for those of KIP-848.

use std::time::{Duration, Instant};

use compat_tests::broker::{Broker, Options};
use compat_tests::calls::{Resource, text, topic_name};
use compat_tests::groups::{Member, code, when_loaded};
use compat_tests::wait_until;
use compat_tests::wire::Client;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId,
};

const TOPIC: &str = "limited";
const GROUP: &str = "limits";
const LIMIT: Duration = Duration::from_secs(10);
/// How much later than due an answer may come on a busy machine.
const SLACK: Duration = Duration::from_millis(1500);

fn start(options: Options) -> (Broker, Client) {
    let broker = options.start();
    let mut client = broker.client();
    assert_eq!(client.create_topic(TOPIC, 4, &[]).expect("answered"), 0);
    assert_eq!(client.find_coordinator(GROUP).expect("answered"), 0);
    (broker, client)
}

/// How long the first JoinGroup of a group takes, for a member that knows its id.
fn first_join_takes(client: &mut Client) -> Duration {
    let mut member = Member::new(GROUP, &[TOPIC]);
    member.ask_for_id(client).expect("answered");
    let start = Instant::now();
    assert_eq!(member.join(client).expect("answered").error_code, code::NONE);
    assert_eq!(member.generation, 1);
    start.elapsed()
}

#[test]
fn no_initial_rebalance_delay_answers_the_first_join_at_once() {
    // The default here.
    let (_broker, mut client) = start(Options::new());
    let took = first_join_takes(&mut client);
    assert!(took < SLACK, "{took:?}");
}

#[test]
fn the_initial_rebalance_delay_holds_the_first_join() {
    const DELAY: Duration = Duration::from_millis(300);
    let (_broker, mut client) = start(Options::new().set("group.initial.rebalance.delay.ms", DELAY.as_millis()));
    let took = first_join_takes(&mut client);
    assert!((DELAY..DELAY + SLACK).contains(&took), "{took:?}");
}

/// What the delay is for: whoever comes within it is in the first generation.
#[test]
fn members_that_come_within_the_initial_delay_share_the_first_generation() {
    let (broker, mut client) = start(Options::new().set("group.initial.rebalance.delay.ms", 2000));
    let mut second_client = broker.client();
    let (mut first, mut second) = (Member::new(GROUP, &[TOPIC]), Member::new(GROUP, &[TOPIC]));
    first.ask_for_id(&mut client).expect("answered");
    second.ask_for_id(&mut second_client).expect("answered");
    let ids = (first.send_join(&mut client).expect("sent"), second.send_join(&mut second_client).expect("sent"));
    assert_eq!(first.receive_join(&mut client, ids.0).expect("answered").error_code, code::NONE);
    assert_eq!(second.receive_join(&mut second_client, ids.1).expect("answered").error_code, code::NONE);
    assert_eq!((first.generation, second.generation), (1, 1));
}

/// A heartbeat of a member of a group of KIP-848; epoch 0 joins.
fn heartbeat(
    client: &mut Client,
    member: &str,
    epoch: i32,
    change: impl Fn(ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let mut request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text(member))
        .with_member_epoch(epoch);
    if epoch == 0 {
        request = request
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(Some(vec![topic_name(TOPIC)]))
            .with_topic_partitions(Some(Vec::new()));
    }
    let request = change(request);
    when_loaded(|| client.call(1, &request), |answer| answer.error_code).expect("answered")
}

/// Members and assignor of the group.
fn described(client: &mut Client) -> (Vec<String>, String) {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(GROUP))]);
    let group = client.call(1, &request).expect("answered").groups.remove(0);
    assert_eq!(group.error_code, code::NONE);
    let members = group.members.iter().map(|member| member.member_id.to_string()).collect();
    (members, group.assignor_name.to_string())
}

#[test]
fn the_consumer_heartbeat_interval_is_told_to_members() {
    let options = Options::new()
        .set("group.consumer.heartbeat.interval.ms", 1234)
        .set("group.consumer.min.heartbeat.interval.ms", 1000)
        .set("group.consumer.max.heartbeat.interval.ms", 2000);
    let (_broker, mut client) = start(options);
    let answer = heartbeat(&mut client, "a", 0, |request| request);
    assert_eq!((answer.error_code, answer.heartbeat_interval_ms), (code::NONE, 1234));
    // A group's own interval keeps to the limits.
    let key = "consumer.heartbeat.interval.ms";
    for (value, error) in [("999", 40), ("2001", 40), ("1000", 0), ("2000", 0)] {
        let answer = client.alter_config(Resource::Group, GROUP, key, Some(value)).expect("answered");
        assert_eq!(answer, error, "{key}={value}");
    }
    let answer = heartbeat(&mut client, "a", answer.member_epoch, |request| request);
    assert_eq!((answer.error_code, answer.heartbeat_interval_ms), (code::NONE, 2000), "the group's own");
}

#[test]
fn the_consumer_session_timeout_removes_the_silent() {
    let options = Options::new()
        .set("group.consumer.session.timeout.ms", 1500)
        .set("group.consumer.min.session.timeout.ms", 1000)
        .set("group.consumer.max.session.timeout.ms", 3000)
        .set("group.consumer.heartbeat.interval.ms", 500)
        .set("group.consumer.min.heartbeat.interval.ms", 500);
    let (_broker, mut client) = start(options);
    let joined = Instant::now();
    assert_eq!(heartbeat(&mut client, "silent", 0, |request| request).error_code, code::NONE);
    assert_eq!(described(&mut client).0, ["silent"]);
    wait_until("the silent member is removed", LIMIT, || described(&mut client).0.is_empty());
    assert!(joined.elapsed() >= Duration::from_millis(1500), "after {:?}", joined.elapsed());
    let key = "consumer.session.timeout.ms";
    for (value, error) in [("999", 40), ("3001", 40), ("1000", 0), ("3000", 0)] {
        let answer = client.alter_config(Resource::Group, GROUP, key, Some(value)).expect("answered");
        assert_eq!(answer, error, "{key}={value}");
    }
}

#[test]
fn the_size_of_consumer_groups_is_limited() {
    let (_broker, mut client) = start(Options::new().set("group.consumer.max.size", 2));
    for member in ["a", "b"] {
        assert_eq!(heartbeat(&mut client, member, 0, |request| request).error_code, code::NONE, "{member}");
    }
    assert_eq!(heartbeat(&mut client, "c", 0, |request| request).error_code, code::GROUP_MAX_SIZE_REACHED);
    assert_eq!(heartbeat(&mut client, "a", -1, |request| request).error_code, code::NONE, "a leaves");
    assert_eq!(heartbeat(&mut client, "c", 0, |request| request).error_code, code::NONE, "and makes room");
}

#[test]
fn the_first_consumer_assignor_is_the_default() {
    let (_broker, mut client) = start(Options::new().set("group.consumer.assignors", "range"));
    let with = |name: &'static str| {
        move |request: ConsumerGroupHeartbeatRequest| request.with_server_assignor(Some(text(name)))
    };
    assert_eq!(heartbeat(&mut client, "a", 0, with("uniform")).error_code, code::UNSUPPORTED_ASSIGNOR);
    assert_eq!(heartbeat(&mut client, "b", 0, |request| request).error_code, code::NONE);
    assert_eq!(described(&mut client).1, "range");
}

/// Whether a classic group becomes one of KIP-848 with the first such member.
#[test]
fn the_migration_policy_decides_about_upgrades() {
    let policies = [("bidirectional", code::NONE), ("upgrade", code::NONE)];
    let refusing = [("disabled", code::GROUP_ID_NOT_FOUND), ("downgrade", code::GROUP_ID_NOT_FOUND)];
    for (policy, error) in policies.into_iter().chain(refusing) {
        let (broker, mut client) = start(Options::new().set("group.consumer.migration.policy", policy));
        let mut old_client = broker.client();
        let mut old = Member::new(GROUP, &[TOPIC]);
        old.join_alone(&mut old_client, TOPIC, 4);
        assert_eq!(heartbeat(&mut client, "new", 0, |request| request).error_code, error, "{policy}");
    }
}

#[test]
fn the_offsets_topic_has_as_many_partitions_as_asked_for_and_one_replica() {
    let options = Options::new().set("offsets.topic.num.partitions", 7).set("offsets.topic.replication.factor", 3);
    let (_broker, mut client) = start(options);
    let topic = client.topic("__consumer_offsets").expect("answered");
    assert_eq!((topic.error_code, topic.is_internal, topic.partitions.len()), (0, true, 7));
    assert!(topic.partitions.iter().all(|partition| partition.replica_nodes.len() == 1));
    assert_eq!(client.commit(GROUP, TOPIC, 0, 5).expect("answered"), 0);
    assert_eq!(client.committed_offset(GROUP, TOPIC, 0), 5);
}
