//! Consumers join, leave, crash and return at random while records flow, and an auditor watches: no partition has two
//! owners in one generation, none is unowned at the end, every record is processed at least once, and none twice where
//! partitions were handed over in order.
//!
//! At size, 50 consumers and 100 partitions for 50 seconds, one strategy after the other:
//!
//!     cargo test -p compat-tests --test group_churn -- --ignored --nocapture --test-threads 1
//!
//! `OTTLA_CHURN_SECONDS`, `OTTLA_CHURN_CONSUMERS`, `OTTLA_CHURN_PARTITIONS` and `OTTLA_CHURN_SEED` make either longer,
//! larger or another one.

#![allow(clippy::disallowed_methods)]

#[path = "support/auditor.rs"]
mod auditor;
#[path = "support/worker.rs"]
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use auditor::Auditor;
use compat_tests::batch::Batch;
use compat_tests::broker::Broker;
use compat_tests::wire::Client;
use compat_tests::{Random, SetOnDrop, wait_until};
use worker::{Protocol, Settings, Worker};

const TOPIC: &str = "churned";
const GROUP: &str = "churning";
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// Short enough that crashes are noticed within the test, long enough for a busy machine.
const SESSION_TIMEOUT_MS: u32 = 3000;
/// For one consumer to leave or to crash, well below its session's time-out.
const END_LIMIT: Duration = Duration::from_secs(5);

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// How many consumers share how many partitions, for how long, and how much must have happened before it ends.
struct Size {
    consumers: u64,
    partitions: u64,
    seconds: u64,
    /// Joins, leaves and crashes.
    changes: u32,
    crashes: u32,
    generations: usize,
}

const SMALL: Size = Size { consumers: 8, partitions: 30, seconds: 20, changes: 28, crashes: 4, generations: 8 };
const LARGE: Size = Size { consumers: 50, partitions: 100, seconds: 50, changes: 120, crashes: 15, generations: 8 };

#[test]
fn churn_by_range() {
    churn(&[Protocol::Classic("range")], 1, SMALL);
}

#[test]
fn churn_by_roundrobin() {
    churn(&[Protocol::Classic("roundrobin")], 2, SMALL);
}

#[test]
fn churn_by_cooperative_sticky() {
    churn(&[Protocol::Classic("cooperative-sticky")], 3, SMALL);
}

#[test]
fn churn_by_the_consumer_protocol() {
    churn(&[Protocol::Consumer("uniform")], 6, SMALL);
}

#[test]
fn churn_by_both_protocols() {
    churn(&[Protocol::Consumer("range"), Protocol::Classic("range")], 7, SMALL);
}

#[test]
#[ignore = "takes the machine for two minutes"]
fn churn_of_fifty_by_range() {
    churn(&[Protocol::Classic("range")], 4, LARGE);
}

#[test]
#[ignore = "takes the machine for two minutes"]
fn churn_of_fifty_by_cooperative_sticky() {
    churn(&[Protocol::Classic("cooperative-sticky")], 5, LARGE);
}

#[test]
#[ignore = "takes the machine for two minutes"]
fn churn_of_fifty_by_the_consumer_protocol() {
    churn(&[Protocol::Consumer("uniform")], 8, LARGE);
}

#[test]
#[ignore = "takes the machine for two minutes"]
fn churn_of_fifty_by_both_protocols() {
    churn(&[Protocol::Consumer("uniform"), Protocol::Classic("cooperative-sticky")], 9, LARGE);
}

/// Times that the crash of a consumer may fail, through no fault of the broker's.
const ATTEMPTS: u64 = 4;

/// Every consumer speaks one of these protocols.
fn churn(protocols: &'static [Protocol], seed: u64, size: Size) {
    let seed = from_environment("OTTLA_CHURN_SEED", 0) * 1000 + seed;
    for attempt in 0..ATTEMPTS {
        match churn_once(protocols, seed + attempt * 100, &size) {
            Ok(()) => return,
            Err(why) => println!("{protocols:?}, seed {seed}, attempt {attempt}: {why}"),
        }
    }
    panic!("no attempt came to its end");
}

fn churn_once(protocols: &'static [Protocol], seed: u64, size: &Size) -> Result<(), &'static str> {
    let partitions = from_environment("OTTLA_CHURN_PARTITIONS", size.partitions) as i32;
    let consumers = from_environment("OTTLA_CHURN_CONSUMERS", size.consumers).max(2) as usize;
    let limit = Duration::from_secs(from_environment("OTTLA_CHURN_SECONDS", size.seconds));
    let broker = Settings::broker_options(SESSION_TIMEOUT_MS).start();
    let settings = start_of_everything(&broker, partitions, protocols[0]);
    let auditor = Arc::new(Auditor::new(partitions));
    let done = AtomicBool::new(false);
    let complete = protocols.iter().all(|protocol| matches!(protocol, Protocol::Classic("range" | "roundrobin")));
    let crowd = std::thread::scope(|scope| {
        let _done = SetOnDrop(&done);
        scope.spawn(|| produce(broker.client(), partitions, &done));
        scope.spawn(|| watch(broker.client(), partitions, complete, &auditor, &done));
        let mut crowd = Crowd::new(settings, protocols, auditor.clone(), seed, consumers);
        (0..consumers).for_each(|_| crowd.join());
        let start = Instant::now();
        // A busy machine takes longer to rebalance as often.
        let enough = |counts: &Counts| counts.reach(size) && auditor.generations() >= size.generations;
        while start.elapsed() < limit || (!enough(&crowd.counts) && start.elapsed() < limit * 4) {
            crowd.change();
            if auditor.has_given_up().is_some() {
                break;
            }
            auditor.assert_no_violation();
        }
        crowd
    });
    if let Some(why) = auditor.has_given_up() {
        return Err(why);
    }
    let counts = crowd.counts.clone();
    settle(&broker, &auditor, crowd, partitions);
    let totals = auditor.close();
    println!("{protocols:?}, seed {seed}: {totals:?}, {counts:?}");
    assert!(totals.processed > 1000, "there was load: {totals:?}");
    assert!(totals.generations >= size.generations, "the group was rebalanced: {totals:?}");
    assert!(counts.reach(size), "members came and went: {counts:?}");
    Ok(())
}

/// The topic, and where its readers begin.
fn start_of_everything(broker: &Broker, partitions: i32, protocol: Protocol) -> Settings {
    let mut client = broker.client();
    assert_eq!(client.create_topic(TOPIC, partitions, &[]).expect("answered"), 0);
    let settings = Settings {
        bootstrap: broker.bootstrap(),
        group: GROUP.to_owned(),
        topic: TOPIC.to_owned(),
        protocol,
        session_timeout_ms: SESSION_TIMEOUT_MS,
    };
    settings.commit_beginnings(&mut client, partitions);
    settings
}

/// What may still come to rest comes to rest: everything has one owner and was processed, and is committed at the end.
fn settle(broker: &Broker, auditor: &Auditor, crowd: Crowd, partitions: i32) {
    let mut client = broker.client();
    let all: Vec<_> = (0..partitions).collect();
    let mut live: Vec<_> = crowd.live.iter().map(|worker| worker.name.clone()).collect();
    live.sort();
    wait_until("every partition has one owner", SETTLE_LIMIT, || {
        let group = client.view_group(GROUP).expect("answered");
        let told = group.all_owned();
        let mut own: Vec<_> = live.iter().flat_map(|name| auditor.owned_by(name)).collect();
        own.sort();
        group.state == "Stable" && group.members.len() == live.len() && told == all && own == all
    });
    let ends: Vec<_> = all.iter().map(|partition| client.offset_at(TOPIC, *partition, -1)).collect();
    wait_until("every record was processed", SETTLE_LIMIT, || auditor.next() == ends);
    crowd.live.into_iter().for_each(Worker::leave);
    let committed: Vec<_> = all.iter().map(|partition| client.committed_offset(GROUP, TOPIC, *partition)).collect();
    assert_eq!(committed, ends, "all that was processed was committed");
}

/// A few records a partition and round, until the churn ends.
fn produce(mut client: Client, partitions: i32, done: &AtomicBool) {
    let mut number = 0;
    while !done.load(Ordering::SeqCst) {
        let partition = number % partitions;
        client.must_produce(TOPIC, partition, &Batch::of_values(["one", "two", "three"]));
        number += 1;
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// What the broker tells of the group at any moment: whenever it is stable, nothing has two owners, and, where members
/// give everything up before each rebalance, everything has one.
fn watch(mut client: Client, partitions: i32, complete: bool, auditor: &Auditor, done: &AtomicBool) {
    while !done.load(Ordering::SeqCst) {
        let group = client.view_group(GROUP).expect("answered");
        if group.state == "Stable" {
            let mut owners: HashMap<i32, String> = HashMap::new();
            for (member, partitions) in &group.members {
                for partition in partitions {
                    if let Some(other) = owners.insert(*partition, member.clone()) {
                        auditor.violation(format!("{partition} is of {other} and {member}"));
                    }
                }
            }
            if complete && owners.len() != partitions as usize {
                auditor.violation(format!("{} of {partitions} partitions have an owner", owners.len()));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[derive(Clone, Debug, Default)]
struct Counts {
    joined: u32,
    left: u32,
    crashed: u32,
    returned: u32,
}

impl Counts {
    fn reach(&self, size: &Size) -> bool {
        self.joined + self.left + self.crashed >= size.changes && self.crashed >= size.crashes
    }
}

/// The consumers, and what happens to them.
struct Crowd {
    settings: Settings,
    protocols: &'static [Protocol],
    auditor: Arc<Auditor>,
    random: Random,
    live: Vec<Worker>,
    size_max: usize,
    counts: Counts,
}

impl Crowd {
    fn new(
        settings: Settings,
        protocols: &'static [Protocol],
        auditor: Arc<Auditor>,
        seed: u64,
        size_max: usize,
    ) -> Crowd {
        let random = Random::new(seed);
        Crowd { settings, protocols, auditor, random, live: Vec::new(), size_max, counts: Counts::default() }
    }

    /// By KIP-848 an instance id is taken until its member has left or its session has ended.
    fn instances_are_released(&self) -> bool {
        self.protocols.iter().all(|protocol| matches!(protocol, Protocol::Classic(_)))
    }

    fn start(&mut self, name: &str, instance: Option<&str>) {
        self.settings.protocol = self.protocols[self.random.below(self.protocols.len())];
        self.live.push(Worker::start(name, instance, &self.settings, &self.auditor));
    }

    /// One thing happens, and then nothing for a moment: at times long enough to come to rest, at times not.
    fn change(&mut self) {
        let fills = self.live.len() * 2 < self.size_max;
        match self.random.below(10) {
            _ if self.live.len() < 2 => self.join(),
            0..=3 if self.live.len() < self.size_max => self.join(),
            4..=5 if !fills => {
                self.take().leave();
                self.counts.left += 1;
            }
            6..=7 if !fills => {
                self.take().crash();
                self.counts.crashed += 1;
            }
            8 => self.restart_static(),
            _ if fills => self.join(),
            _ => {}
        }
        let pause = [5, 50, 300, 1000][self.random.below(4)];
        std::thread::sleep(Duration::from_millis(self.random.below(pause) as u64));
    }

    /// Every third is a static member, of which there is one of each name.
    fn join(&mut self) {
        self.counts.joined += 1;
        let name = format!("worker-{}", self.counts.joined);
        let number = match self.instances_are_released() {
            true => self.random.below(self.size_max),
            false => self.counts.joined as usize,
        };
        let instance = format!("static-{number}");
        let taken = self.live.iter().any(|worker| worker.name == instance);
        let instance = (self.random.below(3) == 0 && !taken).then_some(&*instance);
        self.start(&name, instance);
    }

    fn take(&mut self) -> Worker {
        let number = self.random.below(self.live.len());
        self.live.swap_remove(number)
    }

    /// A static member goes, in order or not, and its next incarnation comes at once.
    fn restart_static(&mut self) {
        let Some(number) = self.live.iter().position(|worker| worker.name.starts_with("static-")) else {
            return;
        };
        let worker = self.live.swap_remove(number);
        let instance = worker.name.clone();
        if !self.instances_are_released() || self.random.below(2) == 0 {
            worker.leave();
            self.counts.left += 1;
        } else {
            worker.crash();
            self.counts.crashed += 1;
        }
        self.counts.returned += 1;
        let name = format!("{instance}-{}", self.counts.returned);
        self.start(&name, Some(&instance));
    }
}

/// What the churn rests on: a crash is one, to the broker too.
#[test]
fn a_crashed_worker_is_gone_without_a_word() {
    let broker = Broker::start();
    let mut settings = start_of_everything(&broker, 2, Protocol::Classic("range"));
    settings.session_timeout_ms = 30_000;
    let auditor = Arc::new(Auditor::new(2));
    let mut client = broker.client();
    let mut members = || client.describe_group(GROUP).expect("answered").members.len();
    for (crashes, left_behind) in [(false, 0), (true, 1)] {
        let worker = Worker::start("worker", None, &settings, &auditor);
        wait_until("it owns everything", SETTLE_LIMIT, || auditor.owned_by("worker").len() == 2 && members() == 1);
        let begun = Instant::now();
        if crashes {
            worker.crash()
        } else {
            worker.leave()
        }
        assert!(begun.elapsed() < END_LIMIT, "it took {:?} to end, crashing: {crashes}", begun.elapsed());
        assert_eq!(members(), left_behind, "members after the end, crashing: {crashes}");
        assert!(auditor.owned_by("worker").is_empty());
    }
    auditor.close();
}

/// The auditor itself must see what it watches for.
mod the_auditor {
    use super::Auditor;

    fn complains(deed: impl FnOnce(&Auditor)) -> bool {
        let auditor = Auditor::new(2);
        auditor.assigned("a", 1, &[0, 1]);
        auditor.processed("a", 0, 0);
        auditor.processed("a", 0, 1);
        deed(&auditor);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| auditor.close())).is_err()
    }

    #[test]
    fn takes_an_orderly_handover_and_a_crash() {
        assert!(!complains(|auditor| {
            auditor.committed("a", 0, 2);
            auditor.revoked("a", &[0], true);
            auditor.assigned("b", 2, &[0]);
            auditor.processed("b", 0, 2);
            auditor.crashed("b");
            auditor.assigned("a", 3, &[0]);
            auditor.processed("a", 0, 2);
        }));
    }

    #[test]
    fn sees_two_owners() {
        assert!(complains(|auditor| auditor.assigned("b", 1, &[0])));
        assert!(complains(|auditor| auditor.assigned("b", 2, &[0])));
        assert!(!complains(|auditor| {
            auditor.assigned("b", 2, &[0]);
            auditor.lost("a", &[0]);
        }));
    }

    #[test]
    fn sees_what_is_skipped_and_what_comes_twice() {
        assert!(complains(|auditor| auditor.processed("a", 0, 3)));
        assert!(complains(|auditor| auditor.processed("a", 0, 1)));
        let handed_over = |auditor: &Auditor, offset| {
            auditor.committed("a", 0, 2);
            auditor.revoked("a", &[0], true);
            auditor.assigned("b", 2, &[0]);
            auditor.processed("b", 0, offset);
        };
        assert!(complains(|auditor| handed_over(auditor, 1)));
        assert!(complains(|auditor| handed_over(auditor, 3)));
        // After a crash, too, nothing comes back that was committed.
        assert!(complains(|auditor| {
            auditor.committed("a", 0, 1);
            auditor.crashed("a");
            auditor.assigned("b", 2, &[0]);
            auditor.processed("b", 0, 0);
        }));
    }
}
