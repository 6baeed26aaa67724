//! Many groups, and one with many members.

use std::time::Duration;

use compat_tests::broker::Broker;
use compat_tests::groups::{Member, assignment, code, read_assignment, when_loaded};
use compat_tests::unique;
use compat_tests::wire::Client;
use kafka_protocol::messages::JoinGroupResponse;

const GROUPS: usize = 1000;

/// A thousand groups of one member each, of one type: all stay, with their members and offsets, over a kill. `join` makes the
/// member of `group-<number>` and commits that number; `check` sees that it is a member still.
pub fn a_thousand_groups_of<M: Send>(
    group_type: &str,
    join: impl Fn(&mut Client, usize) -> M + Sync,
    check: impl Fn(&mut Client, &mut M),
) {
    const THREADS: usize = 4;
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic("shared", 1, &[]).expect("answered");
    assert_eq!(client.find_coordinator("group-0").expect("answered"), 0);
    let mut members: Vec<(usize, M)> = std::thread::scope(|scope| {
        let join_some = |from: usize| {
            let (mut client, join) = (broker.client(), &join);
            let numbers = (from..GROUPS).step_by(THREADS);
            scope.spawn(move || numbers.map(|number| (number, join(&mut client, number))).collect::<Vec<_>>())
        };
        let threads: Vec<_> = (0..THREADS).map(join_some).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    for _ in 0..2 {
        let mut client = broker.client();
        let listed = client.list_groups().expect("answered");
        assert_eq!(listed.len(), GROUPS);
        assert!(listed.iter().all(|group| (&*group.group_state, &*group.group_type) == ("Stable", group_type)));
        for (number, member) in &mut members {
            check(&mut client, member);
            assert_eq!(client.committed_offset(&format!("group-{number}"), "shared", 0), *number as i64);
        }
        broker.kill();
        broker.restart();
    }
}

#[test]
fn a_thousand_groups() {
    let join = |client: &mut Client, number: usize| {
        let mut member = Member::new(&format!("group-{number}"), &["shared"])
            .timeouts(Duration::from_secs(300), Duration::from_secs(60));
        member.join_alone(client, "shared", 1);
        assert_eq!(member.commit(client, "shared", 0, number as i64).expect("answered"), 0);
        member
    };
    a_thousand_groups_of("classic", join, |client, member| {
        let error = when_loaded(|| member.heartbeat(client), |error| *error).expect("answered");
        assert_eq!(error, 0, "{}", member.group);
    });
}

/// One group of 500 members, over a connection each (a parked JoinGroup holds its connection) and one thread.
#[test]
fn five_hundred_members() {
    const MEMBERS: usize = 500;
    let broker = Broker::any();
    let (topic, group) = (unique("crowd"), unique("group"));
    let mut client = broker.client();
    client.create_topic(&topic, MEMBERS as i32, &[]).expect("answered");
    assert_eq!(client.find_coordinator(&group).expect("answered"), 0);
    let mut crowd: Vec<_> = (0..MEMBERS)
        .map(|_| {
            let member = Member::new(&group, &[&topic]).timeouts(Duration::from_secs(120), Duration::from_secs(120));
            (broker.client(), member)
        })
        .collect();
    crowd.iter_mut().for_each(|(client, member)| member.ask_for_id(client).expect("answered"));
    // The first to come is alone in a generation, and the known ids of the others hold the next one back.
    let (first_client, first) = &mut crowd[0];
    first.join_alone(first_client, &topic, MEMBERS as i32);
    settle(&mut crowd);
    share(&mut crowd, &topic, MEMBERS);
    let described = client.describe_group(&group).expect("answered");
    assert_eq!((&*described.group_state, described.members.len()), ("Stable", MEMBERS));

    // Half of them leave at once; the others hear of it by their next heartbeat.
    for (client, member) in crowd.drain(MEMBERS / 2..) {
        let mut client: Client = client;
        assert_eq!(member.leave(&mut client).expect("answered"), 0);
    }
    for (client, member) in &mut crowd {
        assert_eq!(member.heartbeat(client).expect("answered"), code::REBALANCE_IN_PROGRESS);
    }
    settle(&mut crowd);
    share(&mut crowd, &topic, MEMBERS);
    for (client, member) in &mut crowd {
        assert_eq!(member.heartbeat(client).expect("answered"), 0);
    }
    for (client, member) in &mut crowd {
        assert_eq!(member.leave(client).expect("answered"), 0);
    }
    assert_eq!(&*client.describe_group(&group).expect("answered").group_state, "Empty");
}

/// All join, and one generation holds them all.
fn settle(crowd: &mut [(Client, Member)]) {
    let ids: Vec<_> = crowd.iter_mut().map(|(client, member)| member.send_join(client).expect("sent")).collect();
    let answers: Vec<_> = crowd
        .iter_mut()
        .zip(ids)
        .map(|((client, member), id)| member.receive_join(client, id).expect("answered"))
        .collect();
    let generation = answers[0].generation_id;
    let together = |answer: &JoinGroupResponse| (answer.error_code, answer.generation_id) == (0, generation);
    assert!(answers.iter().all(together), "one generation holds everyone");
    let leaders: Vec<_> = answers.iter().filter(|answer| answer.leader == answer.member_id).collect();
    assert_eq!(leaders.len(), 1);
    assert_eq!(leaders[0].members.len(), crowd.len());
}

/// The leader deals the partitions out, and everybody gets its own.
fn share(crowd: &mut [(Client, Member)], topic: &str, partitions: usize) {
    let count = crowd.len();
    let share_of = |number: usize| (number..partitions).step_by(count).map(|p| p as i32).collect::<Vec<_>>();
    let shares: Vec<_> = crowd
        .iter()
        .enumerate()
        .map(|(number, (_, member))| (member.id.clone(), assignment(topic, &share_of(number))))
        .collect();
    // Nobody but the leader's list counts: all send it, so it does not matter here who leads.
    let ids: Vec<_> = crowd
        .iter_mut()
        .map(|(client, member)| {
            let request = member.sync_request(&shares);
            client.send(5, &request).expect("sent")
        })
        .collect();
    for (number, ((client, member), id)) in crowd.iter_mut().zip(ids).enumerate() {
        let answer = member.receive_sync(client, id).expect("answered");
        assert_eq!(answer.error_code, 0);
        assert_eq!(read_assignment(&answer.assignment), vec![(topic.to_owned(), share_of(number))]);
    }
}
