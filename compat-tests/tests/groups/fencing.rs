//! Whoever is not the member he says he is, or no longer, changes nothing.

use std::time::Duration;

use compat_tests::broker::{Broker, Options};
use compat_tests::groups::{Member, assignment, code};
use compat_tests::unique;
use compat_tests::wire::Client;

const SHORT: Duration = Duration::from_millis(500);

fn topic_and_group(client: &mut Client, name: &str) -> (String, String) {
    let (topic, group) = (unique(name), unique("group"));
    assert_eq!(client.create_topic(&topic, 2, &[]).expect("answered"), 0);
    assert_eq!(client.find_coordinator(&group).expect("answered"), 0);
    (topic, group)
}

#[test]
fn wrong_generations_and_member_ids_are_refused() {
    let broker = Broker::any();
    let mut client = broker.client();
    let (topic, group) = topic_and_group(&mut client, "wrong");
    let mut member = Member::new(&group, &[&topic]);
    member.join_alone(&mut client, &topic, 2);
    assert_eq!(member.commit(&mut client, &topic, 0, 5).expect("answered"), 0);

    for wrong in [-1, 0, member.generation - 1, member.generation + 1, i32::MAX, i32::MIN] {
        let wrong = Member { generation: wrong, ..member.clone() };
        let about = format!("generation {}", wrong.generation);
        assert_eq!(wrong.heartbeat(&mut client).expect("answered"), code::ILLEGAL_GENERATION, "{about}");
        assert_eq!(wrong.commit(&mut client, &topic, 0, 9).expect("answered"), code::ILLEGAL_GENERATION, "{about}");
        let synced = wrong.sync(&mut client, &[]).expect("answered");
        assert_eq!(synced.error_code, code::ILLEGAL_GENERATION, "{about}");
    }
    for wrong in ["", "somebody-else", "Grüße"] {
        let wrong = Member { id: wrong.to_owned(), ..member.clone() };
        let about = format!("member id {:?}", wrong.id);
        assert_eq!(wrong.heartbeat(&mut client).expect("answered"), code::UNKNOWN_MEMBER_ID, "{about}");
        assert_eq!(wrong.commit(&mut client, &topic, 0, 9).expect("answered"), code::UNKNOWN_MEMBER_ID, "{about}");
        let synced = wrong.sync(&mut client, &[]).expect("answered");
        assert_eq!(synced.error_code, code::UNKNOWN_MEMBER_ID, "{about}");
        assert_eq!(wrong.leave(&mut client).expect("answered"), code::UNKNOWN_MEMBER_ID, "{about}");
        if !wrong.id.is_empty() {
            let joined = client.call(9, &wrong.join_request()).expect("answered");
            assert_eq!(joined.error_code, code::UNKNOWN_MEMBER_ID, "{about}");
        }
    }
    // A commit without a member is refused while there are members.
    assert_eq!(client.commit(&group, &topic, 0, 9).expect("answered"), code::UNKNOWN_MEMBER_ID);
    assert_eq!(client.committed_offset(&group, &topic, 0), 5);
    assert_eq!(member.heartbeat(&mut client).expect("answered"), 0, "the real one is undisturbed");
}

/// A member whose session has ended is a zombie: what it commits afterwards must not count.
#[test]
fn commits_of_a_zombie_are_refused() {
    let broker = Options::new().set("group.min.session.timeout.ms", 100).start();
    let mut client = broker.client();
    let (topic, group) = topic_and_group(&mut client, "zombie");
    let mut zombie = Member::new(&group, &[&topic]).timeouts(SHORT, SHORT);
    zombie.join_alone(&mut client, &topic, 2);
    assert_eq!(zombie.commit(&mut client, &topic, 0, 5).expect("answered"), 0);

    // The heir waits in JoinGroup until the zombie's session or rebalance ends.
    let mut other = broker.client();
    let mut heir = Member::new(&group, &[&topic]);
    heir.join_alone(&mut other, &topic, 2);
    assert!(heir.generation > zombie.generation);
    assert_eq!(zombie.commit(&mut client, &topic, 0, 6).expect("answered"), code::UNKNOWN_MEMBER_ID);
    assert_eq!(zombie.heartbeat(&mut client).expect("answered"), code::UNKNOWN_MEMBER_ID);
    assert_eq!(zombie.leave(&mut client).expect("answered"), code::UNKNOWN_MEMBER_ID);
    let joined = client.call(9, &zombie.join_request()).expect("answered");
    assert_eq!(joined.error_code, code::UNKNOWN_MEMBER_ID);
    assert_eq!(other.committed_offset(&group, &topic, 0), 5);
    assert_eq!(heir.commit(&mut other, &topic, 0, 7).expect("answered"), 0);
    assert_eq!(heir.heartbeat(&mut other).expect("answered"), 0);
}

/// A group whose only member stops speaking is empty once its session has ended, and not before.
#[test]
fn a_silent_member_goes_with_its_session() {
    // A busy machine may hold back a heartbeat for more than a second.
    const SESSION: Duration = Duration::from_secs(2);
    let broker = Options::new().set("group.min.session.timeout.ms", 100).start();
    let mut client = broker.client();
    let (topic, group) = topic_and_group(&mut client, "silent");
    let mut member = Member::new(&group, &[&topic]).timeouts(SESSION, SESSION);
    member.join_alone(&mut client, &topic, 2);
    // Heartbeats keep it alive for longer than a session.
    let start = std::time::Instant::now();
    while start.elapsed() < SESSION * 2 {
        assert_eq!(member.heartbeat(&mut client).expect("answered"), 0);
        std::thread::sleep(SESSION / 40);
    }
    let state = |client: &mut Client| client.describe_group(&group).expect("answered").group_state.to_string();
    assert_eq!(state(&mut client), "Stable");
    let silent_since = std::time::Instant::now();
    compat_tests::wait_until("the group is empty", Duration::from_secs(10), || state(&mut client) == "Empty");
    assert!(silent_since.elapsed() > SESSION / 2, "the session was cut short: {:?}", silent_since.elapsed());
    assert_eq!(member.heartbeat(&mut client).expect("answered"), code::UNKNOWN_MEMBER_ID);
    assert_eq!(client.commit(&group, &topic, 0, 1).expect("answered"), 0, "an empty group takes commits by hand");
}

/// A static member's second incarnation takes over without a rebalance and fences the first.
#[test]
fn a_second_incarnation_fences_the_first() {
    let broker = Broker::any();
    let (mut client, mut second_client) = (broker.client(), broker.client());
    let (topic, group) = topic_and_group(&mut client, "fenced");
    let mut first = Member::new(&group, &[&topic]).instance("left");
    first.join_alone(&mut client, &topic, 2);
    assert_eq!(first.commit(&mut client, &topic, 0, 5).expect("answered"), 0);

    let mut second = Member::new(&group, &[&topic]).instance("left");
    let joined = second.join(&mut second_client).expect("answered");
    assert_eq!(joined.error_code, 0);
    assert_ne!(second.id, first.id);
    assert_eq!(second.generation, first.generation, "no rebalance");
    let synced = second.sync(&mut second_client, &[]).expect("answered");
    assert_eq!(synced.error_code, 0);
    assert_eq!(synced.assignment, assignment(&topic, &[0, 1]), "it gets what the first had");

    assert_eq!(first.heartbeat(&mut client).expect("answered"), code::FENCED_INSTANCE_ID);
    assert_eq!(first.commit(&mut client, &topic, 0, 6).expect("answered"), code::FENCED_INSTANCE_ID);
    assert_eq!(first.leave(&mut client).expect("answered"), code::FENCED_INSTANCE_ID);
    assert_eq!(first.sync(&mut client, &[]).expect("answered").error_code, code::FENCED_INSTANCE_ID);
    let joined = client.call(9, &first.join_request()).expect("answered");
    assert_eq!(joined.error_code, code::FENCED_INSTANCE_ID);
    assert_eq!(second_client.committed_offset(&group, &topic, 0), 5);
    assert_eq!(second.commit(&mut second_client, &topic, 0, 7).expect("answered"), 0);
    assert_eq!(second.heartbeat(&mut second_client).expect("answered"), 0);
}

/// Sessions outside the broker's limits are refused, and so is a member beyond the group's size.
#[test]
fn limits_of_sessions_and_sizes_hold() {
    let broker = Options::new()
        .set("group.min.session.timeout.ms", 1000)
        .set("group.max.session.timeout.ms", 5000)
        .set("group.max.size", 1)
        .start();
    let mut client = broker.client();
    let (topic, group) = topic_and_group(&mut client, "limits");
    for session in [0, 999, 5001, i32::MAX as u64] {
        let member = Member::new(&group, &[&topic]).timeouts(Duration::from_millis(session), SHORT);
        let joined = client.call(9, &member.join_request()).expect("answered");
        assert_eq!(joined.error_code, code::INVALID_SESSION_TIMEOUT, "{session} ms");
    }
    let mut only = Member::new(&group, &[&topic]).timeouts(Duration::from_millis(5000), SHORT);
    only.join_alone(&mut client, &topic, 2);
    let mut other = broker.client();
    let mut one_more = Member::new(&group, &[&topic]).timeouts(Duration::from_millis(5000), SHORT);
    let refused = match one_more.ask_for_id(&mut other) {
        Ok(()) => one_more.join(&mut other).expect("answered").error_code,
        Err(error) => {
            assert!(error.to_string().ends_with(&code::GROUP_MAX_SIZE_REACHED.to_string()), "{error}");
            code::GROUP_MAX_SIZE_REACHED
        }
    };
    assert_eq!(refused, code::GROUP_MAX_SIZE_REACHED);
    assert_eq!(only.heartbeat(&mut client).expect("answered"), 0);
}
