//! librdkafka's consumers share a topic: they join, leave, crash and return, and the partitions follow.

use std::sync::Arc;
use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, Options};
use compat_tests::groups::read_assignment;
use compat_tests::wait_until;
use compat_tests::wire::Client;

use crate::auditor::Auditor;
use crate::worker::{Settings, Worker};

const PARTITIONS: i32 = 6;
const LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "shared";
const GROUP: &str = "sharing";

struct Scene {
    settings: Settings,
    auditor: Arc<Auditor>,
    client: Client,
    broker: Broker,
    produced: i64,
}

impl Scene {
    fn new(strategy: &'static str, session_timeout_ms: u32) -> Scene {
        let broker = Options::new().set("group.min.session.timeout.ms", 500).start();
        let mut client = broker.client();
        assert_eq!(client.create_topic(TOPIC, PARTITIONS, &[]).expect("answered"), 0);
        let settings = Settings {
            bootstrap: broker.bootstrap(),
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            strategy,
            session_timeout_ms,
        };
        settings.commit_beginnings(&mut client, PARTITIONS);
        Scene { settings, auditor: Arc::new(Auditor::new(PARTITIONS)), client, broker, produced: 0 }
    }

    fn worker(&self, name: &str, instance: Option<&str>) -> Worker {
        Worker::start(name, instance, &self.settings, &self.auditor)
    }

    fn produce(&mut self) {
        for partition in 0..PARTITIONS {
            self.client.must_produce(TOPIC, partition, &Batch::of_values(["a", "b", "c"]));
            self.produced += 3;
        }
    }

    /// Waits until each of them owns so many, by its own account and by the broker's.
    #[track_caller]
    fn await_shares(&mut self, shares: &[(&str, usize)]) {
        let what = format!("shares {shares:?}");
        let (auditor, client) = (&self.auditor, &mut self.client);
        wait_until(&what, LIMIT, || {
            let own = shares.iter().all(|(name, count)| auditor.owned_by(name).len() == *count);
            let group = client.describe_group(GROUP).expect("answered");
            let mut told: Vec<_> = group.members.iter().map(|member| owned(&member.member_assignment)).collect();
            let mut wanted: Vec<_> = shares.iter().map(|(_, count)| *count).collect();
            told.sort();
            wanted.sort();
            own && &*group.group_state == "Stable" && told == wanted
        });
        self.auditor.assert_no_violation();
    }

    /// Produces some more and waits until all of it was processed.
    #[track_caller]
    fn produce_and_await(&mut self) {
        self.produce();
        let (auditor, produced) = (&self.auditor, self.produced);
        wait_until("every record is processed", LIMIT, || auditor.processed_in_all() == produced);
        self.auditor.assert_no_violation();
    }
}

fn owned(assignment: &bytes::Bytes) -> usize {
    read_assignment(assignment).iter().map(|(_, partitions)| partitions.len()).sum()
}

fn shares_move(strategy: &'static str) {
    let mut scene = Scene::new(strategy, 1500);
    scene.produce();
    let one = scene.worker("one", None);
    scene.await_shares(&[("one", 6)]);
    scene.produce_and_await();
    let two = scene.worker("two", None);
    scene.await_shares(&[("one", 3), ("two", 3)]);
    scene.produce_and_await();
    let three = scene.worker("three", None);
    scene.await_shares(&[("one", 2), ("two", 2), ("three", 2)]);
    scene.produce_and_await();

    three.leave();
    scene.await_shares(&[("one", 3), ("two", 3)]);
    scene.produce_and_await();
    let described = scene.client.describe_group(GROUP).expect("answered");
    assert_eq!(&*described.protocol_data, strategy);
    two.crash();
    scene.await_shares(&[("one", 6)]);
    scene.produce_and_await();
    one.leave();
    let (auditor, client) = (&scene.auditor, &mut scene.client);
    wait_until("the group is empty", LIMIT, || {
        &*client.describe_group(GROUP).expect("answered").group_state == "Empty"
    });
    // Everything was committed, and the next one to come resumes there: nothing is seen twice.
    let committed: Vec<_> = (0..PARTITIONS).map(|partition| client.committed_offset(GROUP, TOPIC, partition)).collect();
    assert_eq!(committed, auditor.next());
    let again = scene.worker("again", None);
    scene.await_shares(&[("again", 6)]);
    scene.produce_and_await();
    again.leave();
    let totals = scene.auditor.close();
    assert_eq!(totals.processed, scene.produced);
}

#[test]
fn shares_move_by_range() {
    shares_move("range");
}

#[test]
fn shares_move_by_roundrobin() {
    shares_move("roundrobin");
}

#[test]
fn shares_move_by_cooperative_sticky() {
    shares_move("cooperative-sticky");
}

/// A static member that goes and returns within its session gets its partitions back, and the others notice nothing.
#[test]
fn static_members_return_without_a_rebalance() {
    for strategy in ["range", "cooperative-sticky"] {
        let mut scene = Scene::new(strategy, 20_000);
        scene.produce();
        let left = scene.worker("left-1", Some("left"));
        let right = scene.worker("right-1", Some("right"));
        scene.await_shares(&[("left", 3), ("right", 3)]);
        scene.produce_and_await();
        let (of_left, rebalances) = (scene.auditor.owned_by("left"), scene.auditor.rebalances_of("right"));
        left.leave();
        assert_eq!(scene.auditor.unowned(), of_left);
        let left = scene.worker("left-2", Some("left"));
        scene.await_shares(&[("left", 3), ("right", 3)]);
        scene.produce_and_await();
        left.crash();
        let left = scene.worker("left-3", Some("left"));
        scene.await_shares(&[("left", 3), ("right", 3)]);
        scene.produce_and_await();
        assert_eq!(scene.auditor.owned_by("left"), of_left);
        assert_eq!(scene.auditor.rebalances_of("right"), rebalances, "{strategy}: the other one noticed");
        left.leave();
        right.leave();
        scene.auditor.close();
    }
}

/// Consumers live through a kill -9 of the broker: same group, nothing lost, nothing read twice that was committed.
#[test]
fn consumers_live_through_a_kill_of_the_broker() {
    let mut scene = Scene::new("range", 10_000);
    scene.produce();
    let workers = ["one", "two"].map(|name| scene.worker(name, None));
    scene.await_shares(&[("one", 3), ("two", 3)]);
    scene.produce_and_await();
    let rebalances = scene.auditor.rebalances_of("one");
    for _ in 0..3 {
        let port = scene.broker.port();
        scene.broker.kill();
        scene.broker.restart_with(Options::new().set("group.min.session.timeout.ms", 500).port(port));
        scene.client = scene.broker.client();
        scene.produce_and_await();
        scene.await_shares(&[("one", 3), ("two", 3)]);
    }
    assert_eq!(scene.auditor.rebalances_of("one"), rebalances, "a restart within the session is no rebalance");
    workers.into_iter().for_each(Worker::leave);
    scene.auditor.close();
}
