//! Many KIP-848 groups, and one with many members.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use compat_tests::broker::Broker;
use compat_tests::consumer_groups::ConsumerMember;
use compat_tests::unique;
use compat_tests::wire::Client;

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
