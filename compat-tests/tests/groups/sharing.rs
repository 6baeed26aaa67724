//! librdkafka's consumers share a topic: they join, leave, crash and return, and the partitions follow.

use std::sync::Arc;
use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::Broker;
use compat_tests::wait_until;
use compat_tests::wire::Client;

use crate::auditor::Auditor;
use crate::worker::{Protocol, Settings, Worker};

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
    fn new(protocol: Protocol, session_timeout_ms: u32) -> Scene {
        let broker = Settings::broker_options(session_timeout_ms).start();
        let mut client = broker.client();
        assert_eq!(client.create_topic(TOPIC, PARTITIONS, &[]).expect("answered"), 0);
        let settings = Settings {
            bootstrap: broker.bootstrap(),
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            protocol,
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
            let group = client.view_group(GROUP).expect("answered");
            let mut told: Vec<_> = group.members.iter().map(|(_, partitions)| partitions.len()).collect();
            let mut wanted: Vec<_> = shares.iter().map(|(_, count)| *count).collect();
            told.sort();
            wanted.sort();
            own && group.state == "Stable" && told == wanted
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

fn shares_move(protocol: Protocol) {
    let mut scene = Scene::new(protocol, 1500);
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
    if let Protocol::Classic(strategy) = protocol {
        let described = scene.client.describe_group(GROUP).expect("answered");
        assert_eq!(&*described.protocol_data, strategy);
    }
    two.crash();
    scene.await_shares(&[("one", 6)]);
    scene.produce_and_await();
    one.leave();
    let (auditor, client) = (&scene.auditor, &mut scene.client);
    wait_until("the group is empty", LIMIT, || client.view_group(GROUP).expect("answered").state == "Empty");
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
    shares_move(Protocol::Classic("range"));
}

#[test]
fn shares_move_by_roundrobin() {
    shares_move(Protocol::Classic("roundrobin"));
}

#[test]
fn shares_move_by_cooperative_sticky() {
    shares_move(Protocol::Classic("cooperative-sticky"));
}

#[test]
fn shares_move_by_the_consumer_protocol() {
    for assignor in ["uniform", "range"] {
        shares_move(Protocol::Consumer(assignor));
    }
}

/// Clients of both protocols share a group, and it goes over to whatever is left.
#[test]
fn clients_of_both_protocols_share() {
    let mut scene = Scene::new(Protocol::Classic("range"), 1500);
    scene.produce();
    let old = scene.worker("old", None);
    scene.await_shares(&[("old", 6)]);
    scene.settings.protocol = Protocol::Consumer("uniform");
    let new = scene.worker("new", None);
    scene.await_shares(&[("old", 3), ("new", 3)]);
    scene.produce_and_await();
    old.leave();
    scene.await_shares(&[("new", 6)]);
    scene.produce_and_await();
    scene.settings.protocol = Protocol::Classic("range");
    let old = scene.worker("old-2", None);
    scene.await_shares(&[("old-2", 3), ("new", 3)]);
    scene.produce_and_await();
    new.leave();
    scene.await_shares(&[("old-2", 6)]);
    scene.produce_and_await();
    assert_eq!(&*scene.client.describe_group(GROUP).expect("answered").protocol_data, "range", "a classic group again");
    old.leave();
    scene.auditor.close();
}

/// A static member that goes and returns within its session gets its partitions back, and the others notice nothing.
#[test]
fn static_members_return_without_a_rebalance() {
    let classic = ["range", "cooperative-sticky"].map(Protocol::Classic);
    for protocol in classic.into_iter().chain([Protocol::Consumer("uniform")]) {
        let mut scene = Scene::new(protocol, 20_000);
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
        // By KIP-848 the instance of a member that crashed is taken until its session ends.
        let left = if matches!(protocol, Protocol::Classic(_)) {
            left.crash();
            let left = scene.worker("left-3", Some("left"));
            scene.await_shares(&[("left", 3), ("right", 3)]);
            scene.produce_and_await();
            left
        } else {
            left
        };
        assert_eq!(scene.auditor.owned_by("left"), of_left);
        assert_eq!(scene.auditor.rebalances_of("right"), rebalances, "{protocol:?}: the other one noticed");
        left.leave();
        right.leave();
        scene.auditor.close();
    }
}

/// Consumers live through a kill -9 of the broker: same group, nothing lost, nothing read twice that was committed.
#[test]
fn consumers_live_through_a_kill_of_the_broker() {
    live_through_kills(Protocol::Classic("range"));
}

#[test]
fn consumers_of_the_new_protocol_live_through_a_kill_of_the_broker() {
    live_through_kills(Protocol::Consumer("uniform"));
}

fn live_through_kills(protocol: Protocol) {
    let mut scene = Scene::new(protocol, 10_000);
    scene.produce();
    let workers = ["one", "two"].map(|name| scene.worker(name, None));
    scene.await_shares(&[("one", 3), ("two", 3)]);
    scene.produce_and_await();
    let rebalances = scene.auditor.rebalances_of("one");
    for _ in 0..3 {
        let port = scene.broker.port();
        scene.broker.kill();
        scene.broker.restart_with(Settings::broker_options(10_000).port(port));
        scene.client = scene.broker.client();
        scene.produce_and_await();
        scene.await_shares(&[("one", 3), ("two", 3)]);
    }
    assert_eq!(scene.auditor.rebalances_of("one"), rebalances, "a restart within the session is no rebalance");
    workers.into_iter().for_each(Worker::leave);
    scene.auditor.close();
}
