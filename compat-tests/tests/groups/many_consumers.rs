//! Many KIP-848 groups, and one with many members.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use compat_tests::broker::{Broker, Options};
use compat_tests::calls::text;
use compat_tests::consumer_groups::ConsumerMember;
use compat_tests::wire::Client;
use compat_tests::{unique, wait_until};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId};

use crate::many::a_thousand_groups_of;

#[test]
fn a_thousand_consumer_groups() {
    let join = |client: &mut Client, number: usize| {
        let mut member = ConsumerMember::new(&format!("group-{number}"), "shared", "the-only-one");
        assert!(member.heartbeat(client).expect("answered"), "one heartbeat gives a lone member everything");
        assert_eq!(member.owned, BTreeSet::from([0]));
        assert_eq!(member.commit(client, 0, number as i64).expect("answered"), 0);
        member
    };
    a_thousand_groups_of("consumer", join, |client, member: &mut ConsumerMember| {
        let epoch = member.epoch;
        member.heartbeat(client).expect("answered without an error");
        assert_eq!((member.epoch, &member.owned), (epoch, &BTreeSet::from([0])), "{}", member.group);
    });
}

/// One group of 500 members reconciles completely over 1,000 partitions, when they come and when half of them leave.
#[test]
fn five_hundred_consumers() {
    const MEMBERS: usize = 500;
    const PARTITIONS: usize = 1000;
    let broker = Broker::any();
    let (topic, group) = (unique("crowd"), unique("group"));
    let mut client = broker.client();
    client.create_topic(&topic, PARTITIONS as i32, &[]).expect("answered");
    assert_eq!(client.find_coordinator(&group).expect("answered"), 0);
    let members = (0..MEMBERS).map(|number| ConsumerMember::new(&group, &topic, &format!("member-{number}"))).collect();
    let mut crowd = Crowd { members, owner: HashMap::new(), given_up: HashMap::new() };
    crowd.reconcile(&mut client, PARTITIONS);
    assert!(crowd.members.iter().all(|member| member.owned.len() == 2), "each has its fair share");

    for member in crowd.members.drain(MEMBERS / 2..) {
        assert_eq!(member.leave(&mut client).expect("answered"), 0);
        crowd.owner.retain(|_, owner| *owner != member.id);
        crowd.given_up.remove(&member.id);
    }
    crowd.reconcile(&mut client, PARTITIONS);
    assert!(crowd.members.iter().all(|member| member.owned.len() == 4), "each has its fair share");
    for member in &crowd.members {
        assert_eq!(member.leave(&mut client).expect("answered"), 0);
    }
    assert_eq!(client.view_group(&group).expect("answered").state, "Empty");
}

struct Crowd {
    members: Vec<ConsumerMember>,
    /// Whose a partition is: from the assignment that gives it to the heartbeat that says that it was given up.
    owner: HashMap<i32, String>,
    given_up: HashMap<String, Vec<i32>>,
}

impl Crowd {
    /// Heartbeats until nothing changes any more; the broker then says the same as the members.
    fn reconcile(&mut self, client: &mut Client, partitions: usize) {
        const LIMIT: Duration = Duration::from_secs(60);
        let start = Instant::now();
        while self.beat(client) || self.owner.len() < partitions {
            assert!(start.elapsed() < LIMIT, "{} of {partitions} partitions have an owner", self.owner.len());
        }
        assert!(self.members.iter().all(|member| member.epoch == self.members[0].epoch), "all in one epoch");
        let view = client.view_group(&self.members[0].group).expect("answered");
        assert_eq!(view.state, "Stable");
        assert_eq!(view.members.len(), self.members.len());
        for (id, partitions) in view.members {
            let member = self.members.iter().find(|member| member.id == id).expect("a member of ours");
            assert_eq!(partitions, member.owned.iter().copied().collect::<Vec<_>>(), "{id}");
        }
    }

    /// A heartbeat of each: whether any was given another assignment. Nobody is given what another still has.
    fn beat(&mut self, client: &mut Client) -> bool {
        let mut changed = false;
        for member in &mut self.members {
            for partition in self.given_up.remove(&member.id).unwrap_or_default() {
                self.owner.remove(&partition);
            }
            let before = member.owned.clone();
            changed |= member.heartbeat(client).expect("answered without an error");
            for &partition in member.owned.difference(&before) {
                let other = self.owner.insert(partition, member.id.clone());
                assert_eq!(other, None, "{partition} was still another's when {} got it", member.id);
            }
            let given_up: Vec<i32> = before.difference(&member.owned).copied().collect();
            self.given_up.insert(member.id.clone(), given_up);
        }
        changed
    }
}

/// Once a change of topics is answered, the first heartbeat on another connection knows of it: nothing waits in between.
#[test]
fn topics_reach_a_subscribed_group_with_the_answer() {
    let broker = Broker::start();
    let (mut admin, mut client) = (broker.client(), broker.client());
    assert_eq!(client.find_coordinator("g").expect("answered"), 0);
    for _ in 0..20 {
        let mut member = ConsumerMember::new("g", "t", "m");
        assert!(member.heartbeat(&mut client).expect("answered"));
        assert!(member.owned.is_empty());
        assert_eq!(admin.create_topic("t", 2, &[]).expect("answered"), 0);
        assert!(member.heartbeat(&mut client).expect("answered"), "created");
        assert_eq!(member.owned, BTreeSet::from([0, 1]));
        assert_eq!(admin.create_partitions("t", 3).expect("answered"), 0);
        assert!(member.heartbeat(&mut client).expect("answered"), "grown");
        assert_eq!(member.owned, BTreeSet::from([0, 1, 2]));
        assert_eq!(admin.delete_topic("t").expect("answered"), 0);
        assert!(member.heartbeat(&mut client).expect("answered"), "deleted");
        assert!(member.owned.is_empty());
        assert_eq!(member.leave(&mut client).expect("answered"), 0);
    }
}

/// After a restart all sessions end together: nothing of the members is left that would keep offsets or the group.
#[test]
fn members_with_one_expression_that_expire_together_leave_nothing() {
    let options = || {
        Options::new()
            .set("group.consumer.min.session.timeout.ms", 500)
            .set("group.consumer.session.timeout.ms", 1000)
            .set("group.consumer.min.heartbeat.interval.ms", 100)
            .set("group.consumer.heartbeat.interval.ms", 100)
    };
    let mut broker = options().start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 2, &[]).expect("answered"), 0);
    assert_eq!(client.find_coordinator("g").expect("answered"), 0);
    for id in ["a", "b", "c"] {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_member_id(text(id))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_regex(Some(text("t.*")))
            .with_topic_partitions(Some(vec![]));
        assert_eq!(client.call(1, &request).expect("answered").error_code, 0);
    }
    broker.kill();
    broker.restart_with(options());
    let mut client = broker.client();
    wait_until("all sessions have ended", Duration::from_secs(10), || {
        client.view_group("g").expect("answered").state == "Empty"
    });
    assert_eq!(client.commit("g", "t", 0, 5).expect("answered"), 0);
    assert_eq!(client.delete_offset("g", "t", 0).expect("answered"), 0, "nobody subscribes to it");
    assert_eq!(client.delete_group("g").expect("answered"), 0);
}
