//! kill -9 while a group rebalances, over and over: the group comes back, its members join again, and every acknowledged
//! commit is there.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use compat_tests::Random;
use compat_tests::broker::Broker;
use compat_tests::calls::Resource;
use compat_tests::groups::{Member, assignment, code, is_not_yet, read_assignment, when_loaded};
use compat_tests::wire::Client;

const ROUNDS: u32 = 20;
const MEMBERS: usize = 5;
const PARTITIONS: i32 = 12;
const TOPIC: &str = "shared";
const GROUP: &str = "rebalancing";

#[test]
fn twenty_kills_during_rebalances() {
    run(None, 11);
}

/// The same, every record of the coordinator through the WAL first.
#[test]
fn twenty_kills_during_rebalances_with_durable_offsets() {
    run(Some("1"), 12);
}

fn run(flush_messages: Option<&str>, seed: u64) {
    let mut random = Random::new(seed);
    let mut broker = Broker::start();
    let mut client = broker.client();
    client.create_topic(TOPIC, PARTITIONS, &[]).expect("answered");
    assert_eq!(client.find_coordinator(GROUP).expect("answered"), 0);
    if flush_messages.is_some() {
        let error = client.alter_config(Resource::Topic, "__consumer_offsets", "flush.messages", flush_messages);
        assert_eq!(error.expect("answered"), 0);
    }
    let books: Vec<_> = (0..PARTITIONS).map(|_| Mutex::new(CommitBook::default())).collect();
    let mut members: Vec<_> = (0..MEMBERS).map(|number| Life::new(seed * 100 + number as u64)).collect();
    let totals = Totals::default();
    for round in 0..ROUNDS {
        let killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (killed, books, totals) = (&killed, &books, &totals);
            let threads: Vec<_> = members
                .iter_mut()
                .map(|life| {
                    let mut client = broker.client();
                    scope.spawn(move || {
                        let ended = life.live(&mut client, books, totals);
                        assert!(killed.load(Ordering::SeqCst), "round {round}: ended before the kill: {ended}");
                    })
                })
                .collect();
            // Under a load that makes everything slow, the kill must still fall among commits.
            let before = totals.commits.load(Ordering::SeqCst);
            compat_tests::wait_until("members commit", Duration::from_secs(30), || {
                totals.commits.load(Ordering::SeqCst) > before || threads.iter().any(|thread| thread.is_finished())
            });
            std::thread::sleep(Duration::from_millis(random.below(50) as u64));
            killed.store(true, Ordering::SeqCst);
            // SAFETY: the child is ours and not yet reaped.
            unsafe { libc::kill(broker.process_id() as i32, libc::SIGKILL) };
            for thread in threads {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
        broker.kill();
        broker.restart();
        let mut client = broker.client();
        for (partition, book) in books.iter().enumerate() {
            let found = client.committed_offset(GROUP, TOPIC, partition as i32);
            book.lock().expect("book").compare(found, &format!("round {round}, partition {partition}"));
        }
    }
    let (commits, rebalances) = (totals.commits.into_inner(), totals.generations.into_inner());
    assert!(commits > ROUNDS * 5 && rebalances > ROUNDS, "there was load: {commits} commits, {rebalances} joins");
    a_stable_group_survives(&mut broker, &mut members);
}

/// After all of it, everyone settles, and one more kill changes nothing at all for a group at rest.
fn a_stable_group_survives(broker: &mut Broker, members: &mut [Life]) {
    let mut connections: Vec<_> = members.iter().map(|_| broker.client()).collect();
    // Members that the last life left behind and nobody speaks for hold the group up until their sessions end: none.
    let settled = AtomicBool::new(false);
    // The generation in which each member's heartbeat was accepted. The group may come back stable while a member, whose
    // last answer the kill took, is about to join again: only when all are confirmed in one generation is it at rest.
    let confirmed: Vec<_> = members.iter().map(|_| AtomicI32::new(-1)).collect();
    std::thread::scope(|scope| {
        for ((life, client), confirmed) in members.iter_mut().zip(&mut connections).zip(&confirmed) {
            let settled = &settled;
            scope.spawn(move || {
                while !settled.load(Ordering::SeqCst) {
                    if life.member.generation < 0 || life.member.heartbeat(client).expect("answered") != 0 {
                        confirmed.store(-1, Ordering::SeqCst);
                        life.enter(client).expect("answered");
                    } else {
                        confirmed.store(life.member.generation, Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
        let _done = compat_tests::SetOnDrop(&settled);
        let mut client = broker.client();
        compat_tests::wait_until("all partitions have owners", Duration::from_secs(30), || {
            let generations: Vec<_> = confirmed.iter().map(|generation| generation.load(Ordering::SeqCst)).collect();
            if generations.iter().any(|generation| *generation < 0 || *generation != generations[0]) {
                return false;
            }
            let group = client.describe_group(GROUP).expect("answered");
            let mut owned: Vec<_> = group
                .members
                .iter()
                .flat_map(|member| read_assignment(&member.member_assignment))
                .flat_map(|(_, partitions)| partitions)
                .collect();
            owned.sort();
            &*group.group_state == "Stable"
                && group.members.len() == MEMBERS
                && owned == (0..PARTITIONS).collect::<Vec<_>>()
        });
    });
    let before = broker.client().describe_group(GROUP).expect("answered");
    broker.kill();
    broker.restart();
    let mut client = broker.client();
    let sorted = |mut group: kafka_protocol::messages::describe_groups_response::DescribedGroup| {
        group.members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        group
    };
    assert_eq!(sorted(client.describe_group(GROUP).expect("answered")), sorted(before));
    for life in members {
        let error = when_loaded(|| life.member.heartbeat(&mut client), |error| *error).expect("answered");
        assert_eq!(error, 0, "{} keeps its membership", life.member.id);
    }
}

#[derive(Default)]
struct Totals {
    commits: AtomicU32,
    generations: AtomicU32,
}

/// What was committed for one partition. Offsets only grow.
#[derive(Default)]
struct CommitBook {
    next: i64,
    acknowledged: i64,
    unanswered: Vec<i64>,
}

impl CommitBook {
    fn compare(&mut self, found: i64, about: &str) {
        let found = found.max(0);
        let possible = found == self.acknowledged || (self.unanswered.contains(&found) && found > self.acknowledged);
        assert!(possible, "{about}: {found} is committed, acknowledged was {}", self.acknowledged);
        self.acknowledged = found;
        self.unanswered.clear();
    }
}

/// A member through all its lives: it joins, commits for its partitions, and now and then wants another generation.
struct Life {
    member: Member,
    owned: Vec<i32>,
    random: Random,
}

impl Life {
    fn new(seed: u64) -> Life {
        let member = Member::new(GROUP, &[TOPIC]).timeouts(Duration::from_secs(60), Duration::from_secs(60));
        Life { member, owned: Vec::new(), random: Random::new(seed) }
    }

    /// Until the connection breaks.
    fn live(&mut self, client: &mut Client, books: &[Mutex<CommitBook>], totals: &Totals) -> std::io::Error {
        loop {
            if let Err(error) = self.step(client, books, totals) {
                return error;
            }
        }
    }

    fn step(&mut self, client: &mut Client, books: &[Mutex<CommitBook>], totals: &Totals) -> std::io::Result<()> {
        let wants_another = self.random.below(4) == 0;
        if self.member.generation < 0 || wants_another || self.member.heartbeat(client)? != 0 {
            self.enter(client)?;
            totals.generations.fetch_add(1, Ordering::SeqCst);
        }
        for _ in 0..self.random.below(4) {
            if self.owned.is_empty() {
                break;
            }
            let partition = self.owned[self.random.below(self.owned.len())];
            let book = &books[partition as usize];
            let offset = {
                let mut book = book.lock().expect("book");
                book.next += 1;
                let offset = book.next;
                book.unanswered.push(offset);
                offset
            };
            let error = self.member.commit(client, TOPIC, partition, offset)?;
            let mut book = book.lock().expect("book");
            book.unanswered.retain(|unanswered| *unanswered != offset);
            match error {
                0 => {
                    book.acknowledged = book.acknowledged.max(offset);
                    totals.commits.fetch_add(1, Ordering::SeqCst);
                }
                // Refused: it must never show, and is in no book.
                code::ILLEGAL_GENERATION | code::UNKNOWN_MEMBER_ID | code::REBALANCE_IN_PROGRESS => return Ok(()),
                error if is_not_yet(error) => return Ok(()),
                error => panic!("a commit is refused with error {error}"),
            }
        }
        Ok(())
    }

    /// Joins and syncs until it has an assignment, under its old id as long as the group knows it.
    fn enter(&mut self, client: &mut Client) -> std::io::Result<()> {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < Duration::from_secs(60), "{} does not get in", self.member.id);
            self.owned.clear();
            // Another subscription than before asks for another generation, as when a topic is added.
            let extra = format!("extra-{}", self.random.below(1000));
            self.member.metadata = compat_tests::groups::subscription(&[TOPIC, &extra]);
            let joined = self.member.join(client)?;
            match joined.error_code {
                0 => {}
                code::UNKNOWN_MEMBER_ID => {
                    (self.member.id, self.member.generation) = (String::new(), -1);
                    continue;
                }
                code::REBALANCE_IN_PROGRESS | code::MEMBER_ID_REQUIRED => continue,
                error => panic!("JoinGroup is refused with error {error}"),
            }
            let mut shares: HashMap<&str, Vec<i32>> = HashMap::new();
            for partition in 0..if joined.members.is_empty() { 0 } else { PARTITIONS } {
                let member = &joined.members[partition as usize % joined.members.len()];
                shares.entry(&member.member_id).or_default().push(partition);
            }
            let shares: Vec<_> =
                shares.iter().map(|(member, owned)| (member.to_string(), assignment(TOPIC, owned))).collect();
            let synced = self.member.sync(client, &shares)?;
            match synced.error_code {
                0 => {
                    let topics = read_assignment(&synced.assignment);
                    self.owned = topics.into_iter().flat_map(|(_, partitions)| partitions).collect();
                    return Ok(());
                }
                code::REBALANCE_IN_PROGRESS | code::ILLEGAL_GENERATION | code::UNKNOWN_MEMBER_ID => {}
                error if is_not_yet(error) => {}
                error => panic!("SyncGroup is refused with error {error}"),
            }
        }
    }
}
