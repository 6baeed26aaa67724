//! What a stop or a kill -9 leaves of transactions: the open ones open, the ended ones ended, committed offsets pending.

use std::time::Duration;

use compat_tests::batch::Batch;
use compat_tests::broker::Broker;
use compat_tests::calls::LATEST;
use compat_tests::wire::Client;
use compat_tests::{Random, wait_until};

use crate::producer::{Producer, Protocol, code};
use crate::readers::*;

const ABORT_LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "crashed";
const GROUP: &str = "crashed-group";

fn begin(partitions: i32, configs: &[(&str, &str)]) -> (Broker, Client) {
    let broker = quick_options().start();
    let mut client = broker.client();
    assert_eq!(client.create_topic(TOPIC, partitions, configs).expect("answered"), 0);
    (broker, client)
}

/// Ends the process in order, or not.
fn restart(broker: &mut Broker, kill: bool) -> Client {
    if kill {
        broker.kill();
    } else {
        assert_eq!(broker.terminate().code(), Some(0));
    }
    broker.restart();
    broker.client()
}

#[test]
fn an_open_transaction_outlives_the_process() {
    for protocol in Protocol::BOTH {
        let (mut broker, mut client) = begin(1, &[]);
        client.must_produce(TOPIC, 0, &Batch::of_values(["before"]));
        let mut producer = Producer::new("open", protocol).started(&mut client);
        for (round, kill) in [true, false, true, true].into_iter().enumerate() {
            producer.must_produce(&mut client, TOPIC, 0, &format!("within {round}"));
            client = restart(&mut broker, kill);
            assert_eq!(last_stable_offset(&mut client, TOPIC, 0), 1, "{protocol:?}, round {round}");
            assert_eq!(committed_values(&mut client, TOPIC, 0), ["before"], "{protocol:?}, round {round}");
            assert_eq!(&*describe_transaction(&mut client, "open").transaction_state, "Ongoing");
            assert_eq!(open_transactions(&mut client, TOPIC, 0).get(&producer.id), Some(&1));
        }
        producer.must_end(&mut client, true);
        let all = ["before", "within 0", "within 1", "within 2", "within 3"];
        assert_eq!(committed_values(&mut client, TOPIC, 0), all, "{protocol:?}");
        client = restart(&mut broker, true);
        assert_eq!(committed_values(&mut client, TOPIC, 0), all, "{protocol:?}, and once more");
        assert_eq!(markers(&mut client, TOPIC, 0), [(producer.id, true)]);
        // Its sequence numbers and epochs go on where they were.
        producer.must_produce(&mut client, TOPIC, 0, "later");
        producer.must_end(&mut client, true);
        assert_eq!(committed_values(&mut client, TOPIC, 0).last().map(String::as_str), Some("later"));
    }
}

#[test]
fn an_open_transaction_times_out_after_a_kill() {
    for protocol in Protocol::BOTH {
        let (mut broker, mut client) = begin(2, &[]);
        let timeout = Duration::from_millis(1500);
        let mut producer = Producer::new("open", protocol).timing_out_after(timeout).started(&mut client);
        for partition in 0..2 {
            producer.must_produce(&mut client, TOPIC, partition, "never seen");
        }
        client = restart(&mut broker, true);
        wait_until("it is aborted", ABORT_LIMIT, || {
            &*describe_transaction(&mut client, "open").transaction_state == "CompleteAbort"
        });
        for partition in 0..2 {
            let end = client.offset_at(TOPIC, partition, LATEST);
            assert_eq!(end, 2, "a record and a marker");
            assert_eq!(last_stable_offset(&mut client, TOPIC, partition), end);
            assert_eq!(markers(&mut client, TOPIC, partition), [(producer.id, false)]);
            assert!(committed_values(&mut client, TOPIC, partition).is_empty());
        }
        let error = producer.end(&mut client, protocol.end_version(), true).expect("answered").error_code;
        let expected = if protocol == Protocol::First { code::PRODUCER_FENCED } else { code::INVALID_TXN_STATE };
        assert_eq!(error, expected);
        client = restart(&mut broker, true);
        for partition in 0..2 {
            assert_eq!(markers(&mut client, TOPIC, partition), [(producer.id, false)], "no second marker");
        }
        producer = producer.started(&mut client);
        producer.must_produce(&mut client, TOPIC, 0, "seen");
        producer.must_end(&mut client, true);
        assert_eq!(committed_values(&mut client, TOPIC, 0), ["seen"]);
    }
}

const PARTITIONS: i32 = 3;
/// Enough to fill a segment with a few dozen records.
const VALUE_BYTES: usize = 40_000;

/// What readers of committed data must find in each partition, with offsets; of what is open, nothing yet.
struct Books {
    committed: Vec<Vec<(i64, String)>>,
    random: Random,
    number: u32,
}

impl Books {
    /// Producers come and go, and a plain one writes between them.
    fn write(&mut self, client: &mut Client, transactions: u32) {
        for _ in 0..transactions {
            self.number += 1;
            let protocol = Protocol::BOTH[self.random.below(2)];
            // Each name keeps to one protocol.
            let name = format!("{protocol:?}-{}", self.random.below(3));
            let mut producer = Producer::new(&name, protocol).started(client);
            let commit = self.random.below(3) == 0;
            for _ in 0..1 + self.random.below(6) {
                let partition = self.random.below(PARTITIONS as usize);
                let value = format!("{} of {name} {}", self.number, "x".repeat(self.random.below(VALUE_BYTES)));
                let offset = producer.must_produce(client, TOPIC, partition as i32, &value);
                if commit {
                    self.committed[partition].push((offset, value));
                }
                if self.random.below(3) == 0 {
                    let plain = format!("{} plain", self.number);
                    let offset = client.must_produce(TOPIC, partition as i32, &Batch::of_values([plain.clone()]));
                    self.committed[partition].push((offset, plain));
                }
            }
            producer.must_end(client, commit);
        }
    }

    /// From the start, and from offsets in the midst of what was aborted.
    fn compare(&mut self, client: &mut Client, when: &str) {
        for partition in 0..PARTITIONS {
            let end = client.offset_at(TOPIC, partition, LATEST);
            assert_eq!(last_stable_offset(client, TOPIC, partition), end, "{when}, partition {partition}");
            let committed = &self.committed[partition as usize];
            let from = (0..8).map(|_| self.random.below(end as usize) as i64).chain([0]).collect::<Vec<_>>();
            for from in from {
                let found = committed_values_from(client, TOPIC, partition, from);
                let expected: Vec<_> =
                    committed.iter().filter(|(offset, _)| *offset >= from).map(|(_, value)| value).collect();
                assert!(
                    found.iter().eq(expected.iter().copied()),
                    "{when}, partition {partition} from {from}: {:?} found, {:?} expected",
                    found.iter().map(|value| head(value)).collect::<Vec<_>>(),
                    expected.iter().map(|value| head(value)).collect::<Vec<_>>()
                );
            }
            check_markers(&read_log(client, TOPIC, partition), when).all_with_data(when);
        }
    }
}

fn head(value: &str) -> &str {
    &value[..value.len().min(30)]
}

/// Over stops in order and kills, over segments, and with new transactions after each.
#[test]
fn what_was_aborted_stays_aborted() {
    let seed = 11;
    let (mut broker, mut client) = begin(PARTITIONS, &[("segment.bytes", "1048576"), ("index.interval.bytes", "2048")]);
    let committed = vec![Vec::new(); PARTITIONS as usize];
    let mut books = Books { committed, random: Random::new(seed), number: 0 };
    for (round, kill) in [false, true, true, false, false, true].into_iter().enumerate() {
        books.write(&mut client, 40);
        books.compare(&mut client, &format!("seed {seed}, round {round}, before"));
        client = restart(&mut broker, kill);
        books.compare(&mut client, &format!("seed {seed}, round {round}, after, killed: {kill}"));
    }
    let segments = std::fs::read_dir(broker.partition_dir(TOPIC, 0)).expect("a directory");
    let logs = segments.filter(|entry| entry.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|x| x == "log")));
    assert!(logs.count() > 2, "segments have rolled");
}

/// Offsets that are committed within a transaction count when it is committed, and never when it is aborted.
#[test]
fn committed_offsets_wait_for_the_end() {
    for protocol in Protocol::BOTH {
        for commit in [true, false] {
            for (killed_open, killed_ended) in [(false, false), (true, false), (false, true), (true, true)] {
                let what = format!("{protocol:?}, committing: {commit}, killed: {killed_open}, {killed_ended}");
                offsets_wait(protocol, commit, killed_open, killed_ended, &what);
            }
        }
    }
}

fn offsets_wait(protocol: Protocol, commit: bool, killed_open: bool, killed_ended: bool, what: &str) {
    let (mut broker, mut client) = begin(2, &[]);
    assert_eq!(client.find_coordinator(GROUP).expect("answered"), 0);
    assert_eq!(client.commit(GROUP, TOPIC, 0, 3).expect("answered"), 0);
    let mut producer = Producer::new("offsets", protocol).started(&mut client);
    producer.must_commit_offset(&mut client, GROUP, (TOPIC, 0), 7);
    producer.must_commit_offset(&mut client, GROUP, (TOPIC, 1), 8);
    if killed_open {
        client = restart(&mut broker, true);
    }
    for (partition, before) in [(0, 3), (1, -1)] {
        let place = (TOPIC, partition);
        assert_eq!(fetch_offset(&mut client, GROUP, place, false), (0, before), "{what}");
        assert_eq!(fetch_offset(&mut client, GROUP, place, true), (code::UNSTABLE_OFFSET_COMMIT, -1), "{what}");
    }
    producer.must_end(&mut client, commit);
    for restarted in [false, true] {
        if restarted {
            client = restart(&mut broker, killed_ended);
        }
        for (partition, before, within) in [(0, 3, 7), (1, -1, 8)] {
            let expected = (0, if commit { within } else { before });
            for require_stable in [false, true] {
                let found = fetch_offset(&mut client, GROUP, (TOPIC, partition), require_stable);
                assert_eq!(found, expected, "{what}, partition {partition}, after a restart: {restarted}");
            }
        }
    }
    // What was pending is in nobody's way any more.
    assert_eq!(client.commit(GROUP, TOPIC, 0, 9).expect("answered"), 0);
    assert_eq!(fetch_offset(&mut client, GROUP, (TOPIC, 0), true), (0, 9), "{what}");
}

/// The same when its time is over, also across a kill.
#[test]
fn committed_offsets_of_a_producer_that_stopped_are_forgotten() {
    for kill in [false, true] {
        let (mut broker, mut client) = begin(1, &[]);
        assert_eq!(client.find_coordinator(GROUP).expect("answered"), 0);
        let timeout = Duration::from_millis(800);
        let producer = Producer::new("stops", Protocol::Second).timing_out_after(timeout).started(&mut client);
        producer.must_commit_offset(&mut client, GROUP, (TOPIC, 0), 7);
        if kill {
            client = restart(&mut broker, true);
        }
        wait_until("nothing is pending", ABORT_LIMIT, || {
            let (error, offset) = fetch_offset(&mut client, GROUP, (TOPIC, 0), true);
            assert_eq!(offset, -1, "it is never seen");
            error == code::NONE
        });
    }
}
