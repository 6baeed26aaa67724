//! Producers that have a successor, or whose time is over: whatever they try, they are told so, and nothing of it shows.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use compat_tests::batch::Batch;
use compat_tests::broker::{Broker, is_stand_in};
use compat_tests::calls::LATEST;
use compat_tests::wire::Client;
use compat_tests::{unique, wait_until};

use crate::producer::{Producer, Protocol, code, until_free};
use crate::readers::*;

/// For a transaction to be aborted whose time is over.
const ABORT_LIMIT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(1);

/// A topic of one partition, and a name to have transactions under.
fn begin(broker: &Broker, client: &mut Client) -> (String, String) {
    let (topic, name) = (unique("zombies"), unique("zombie"));
    assert_eq!(client.create_topic(&topic, 1, &[]).expect("answered"), 0, "to {}", broker.bootstrap());
    (topic, name)
}

/// Everything that a producer in an earlier epoch may try.
#[track_caller]
fn assert_fenced(client: &mut Client, zombie: &Producer, topic: &str, when: &str) {
    let mut zombie = zombie.clone();
    let group = unique("zombie-group");
    assert_eq!(client.find_coordinator(&group).expect("answered"), 0);
    for version in [9, 11, 12] {
        let answer = zombie.produce(client, version, topic, 0, "from the grave").expect("answered");
        assert_eq!(answer.error_code, code::INVALID_PRODUCER_EPOCH, "Produce {version}, {when}");
        assert_eq!(answer.base_offset, -1, "Produce {version}, {when}");
    }
    // Before version 2 clients did not know the code for being fenced.
    for (version, expected) in [
        (0, code::INVALID_PRODUCER_EPOCH),
        (1, code::INVALID_PRODUCER_EPOCH),
        (2, code::PRODUCER_FENCED),
        (3, code::PRODUCER_FENCED),
    ] {
        let error = zombie.add(client, version, topic, &[0]).expect("answered");
        assert_eq!(error, expected, "AddPartitionsToTxn {version}, {when}");
        let error = zombie.add_offsets(client, version, &group).expect("answered");
        assert_eq!(error, expected, "AddOffsetsToTxn {version}, {when}");
        for commit in [true, false] {
            let error = zombie.end(client, version, commit).expect("answered").error_code;
            assert_eq!(error, expected, "EndTxn {version}, committing: {commit}, {when}");
        }
    }
    for version in [0, 3, 5] {
        let error = zombie.commit_offset(client, version, &group, (topic, 0), 1).expect("answered");
        assert_eq!(error, code::INVALID_PRODUCER_EPOCH, "TxnOffsetCommit {version}, {when}");
    }
}

/// Only when its successor has nothing open: else Apache Kafka, too, aborts that first.
#[track_caller]
fn assert_does_not_come_back(client: &mut Client, zombie: &Producer) {
    for (version, expected) in
        [(3, code::INVALID_PRODUCER_EPOCH), (4, code::PRODUCER_FENCED), (5, code::PRODUCER_FENCED)]
    {
        let answer = zombie.init(client, version).expect("answered");
        assert_eq!(answer.error_code, expected, "InitProducerId {version}");
        assert_eq!((answer.producer_id.0, answer.producer_epoch), (-1, -1), "InitProducerId {version}");
    }
}

#[test]
fn a_producer_with_a_successor_is_fenced() {
    let broker = any_quick_broker();
    let mut client = broker.client();
    for protocol in Protocol::BOTH {
        let (topic, name) = begin(&broker, &mut client);
        let mut zombie = Producer::new(&name, protocol).started(&mut client);
        zombie.must_produce(&mut client, &topic, 0, "unfinished");
        let mut successor = Producer::new(&name, protocol).started(&mut client);
        assert_eq!(successor.id, zombie.id);
        assert_eq!(successor.epoch, zombie.epoch + 2, "one epoch for the abort, one for the successor");
        assert_fenced(&mut client, &zombie, &topic, &format!("{protocol:?}, before the successor's first"));
        let error = zombie.end(&mut client, 5, true).expect("answered").error_code;
        assert_eq!(error, code::PRODUCER_FENCED, "EndTxn 5");
        assert_does_not_come_back(&mut client, &zombie);
        successor.must_produce(&mut client, &topic, 0, "whole");
        assert_fenced(&mut client, &zombie, &topic, &format!("{protocol:?}, within the successor's"));
        successor.must_end(&mut client, true);
        assert_eq!(committed_values(&mut client, &topic, 0), ["whole"]);
        check_markers(&read_log(&mut client, &topic, 0), &topic).all_with_data(&topic);
    }
}

/// It is told nothing of a successor, for there is none: its transaction is not open any more.
#[test]
fn a_producer_whose_time_is_over_may_not_commit() {
    let broker = any_quick_broker();
    let mut client = broker.client();
    for protocol in Protocol::BOTH {
        let (topic, name) = begin(&broker, &mut client);
        let mut late = Producer::new(&name, protocol).timing_out_after(SHORT).started(&mut client);
        let first = late.must_produce(&mut client, &topic, 0, "too late");
        wait_until("the transaction is aborted", ABORT_LIMIT, || {
            last_stable_offset(&mut client, &topic, 0) > first && is_over(&mut client, &name)
        });
        let answer = late.produce(&mut client, protocol.produce_version(), &topic, 0, "later still").expect("answered");
        assert_eq!(answer.error_code, code::INVALID_PRODUCER_EPOCH, "{protocol:?}");
        let error = late.end(&mut client, 4, true).expect("answered").error_code;
        assert_eq!(error, code::PRODUCER_FENCED, "EndTxn 4");
        let answer = late.end(&mut client, 5, true).expect("answered");
        assert_eq!(answer.error_code, code::INVALID_TXN_STATE, "EndTxn 5");
        assert_eq!((answer.producer_id.0, answer.producer_epoch), (-1, -1));
        // With its own id and epoch it is given the epoch that the abort was in.
        let again = late.init(&mut client, 4).expect("answered");
        assert_eq!((again.error_code, again.producer_id.0, again.producer_epoch), (0, late.id, late.epoch + 1));
        assert!(committed_values(&mut client, &topic, 0).is_empty());
        assert_eq!(markers(&mut client, &topic, 0), [(late.id, false)]);
    }
}

fn is_over(client: &mut Client, transactional_id: &str) -> bool {
    &*describe_transaction(client, transactional_id).transaction_state == "CompleteAbort"
}

/// A producer stops in the middle of its transaction: readers wait at its first record, and go on when its time is over.
#[test]
fn readers_go_on_when_a_producer_has_stopped() {
    let broker = any_quick_broker();
    let mut client = broker.client();
    for protocol in Protocol::BOTH {
        let (topic, name) = begin(&broker, &mut client);
        client.must_produce(&topic, 0, &Batch::of_values(["before"]));
        let mut stopped = Producer::new(&name, protocol).timing_out_after(SHORT).started(&mut client);
        stopped.must_produce(&mut client, &topic, 0, "lost");
        client.must_produce(&topic, 0, &Batch::of_values(["after"]));
        let mut reader = broker.client();
        let begun = Instant::now();
        let parked = send_fetch(&mut reader, &topic, 0, 1, 25_000).expect("sent");
        // Not when the time was over before: the machine was busy.
        if begun.elapsed() < SHORT / 4 && last_stable_offset(&mut client, &topic, 0) == 1 {
            assert_eq!(open_transactions(&mut client, &topic, 0).get(&stopped.id), Some(&1));
        }
        let data = receive_fetch(&mut reader, parked).expect("Fetch is answered");
        assert!(begun.elapsed() < Duration::from_secs(20), "the reader is woken by the marker");
        let values: Vec<_> = committed_records(&data, 1).iter().map(value_of).collect();
        assert_eq!(values, ["after"]);
        let ids: Vec<_> =
            data.aborted_transactions.expect("a list").iter().map(|t| (t.producer_id.0, t.first_offset)).collect();
        assert_eq!(ids, [(stopped.id, 1)]);
        assert_eq!(committed_values(&mut client, &topic, 0), ["before", "after"]);
        assert_eq!(open_transactions(&mut client, &topic, 0).get(&stopped.id), Some(&-1));
        assert_eq!(last_stable_offset(&mut client, &topic, 0), client.offset_at(&topic, 0, LATEST));
    }
}

const RACES: usize = 100;

/// One of two producers under one name, with what it was given and did.
struct Racer {
    client: Client,
    producer: Producer,
    epochs: Vec<(i64, i16)>,
    committed: Vec<String>,
    refused: usize,
}

impl Racer {
    fn new(client: Client, producer: Producer) -> Racer {
        Racer { client, producer, epochs: Vec::new(), committed: Vec::new(), refused: 0 }
    }

    fn start(&mut self) {
        self.producer = self.producer.clone().started(&mut self.client);
        self.epochs.push((self.producer.id, self.producer.epoch));
    }

    /// Tries a whole transaction, and keeps note of its value if it was committed.
    fn attempt(&mut self, topic: &str, value: String) {
        if attempt(&mut self.client, &mut self.producer, topic, &value) {
            self.committed.push(value);
        } else {
            self.refused += 1;
        }
    }
}

/// Runs a step of both at once.
fn both(racers: &mut [Racer; 2], step: impl Fn(usize, &mut Racer) + Sync) {
    std::thread::scope(|scope| {
        for (number, racer) in racers.iter_mut().enumerate() {
            let step = &step;
            scope.spawn(move || step(number, racer));
        }
    });
}

#[test]
fn of_two_producers_that_start_at_once_only_the_last_may_commit() {
    let broker = any_quick_broker();
    for protocol in Protocol::BOTH {
        let mut client = broker.client();
        let (topic, name) = begin(&broker, &mut client);
        Producer::new(&name, protocol).started(&mut client);
        let mut racers = [0, 1].map(|_| Racer::new(broker.client(), Producer::new(&name, protocol)));
        for round in 0..RACES {
            let value = |number: usize| format!("{number}-{round}");
            if round % 2 == 0 {
                both(&mut racers, |_, racer| racer.start());
                both(&mut racers, |number, racer| racer.attempt(&topic, value(number)));
            } else {
                both(&mut racers, |number, racer| {
                    racer.start();
                    racer.attempt(&topic, value(number));
                });
            }
        }
        both(&mut racers, |_, racer| racer.start());
        let epochs: Vec<_> = racers.iter().flat_map(|racer| racer.epochs.iter()).collect();
        assert_eq!(epochs.iter().collect::<HashSet<_>>().len(), 2 * (RACES + 1), "all differ: {epochs:?}");
        let committed: HashSet<_> = racers.iter().flat_map(|racer| racer.committed.iter().cloned()).collect();
        wait_until("nothing is open", ABORT_LIMIT, || {
            last_stable_offset(&mut client, &topic, 0) == client.offset_at(&topic, 0, LATEST)
        });
        let seen = committed_values(&mut client, &topic, 0);
        assert_eq!(seen.len(), committed.len(), "each shows once");
        assert_eq!(seen.into_iter().collect::<HashSet<_>>(), committed, "what was committed shows, and nothing else");
        let refused: usize = racers.iter().map(|racer| racer.refused).sum();
        assert!(committed.len() >= RACES / 2 && refused >= RACES / 2, "{} committed, {refused} not", committed.len());
        check_markers(&read_log(&mut client, &topic, 0), &topic).commits_with_data(&topic);
        // Now nobody is in anybody's way: the one in the highest epoch may go on, the other may not.
        racers.sort_by_key(|racer| racer.producer.epoch);
        let [first, mut last] = racers.map(|racer| racer.producer);
        assert_fenced(&mut client, &first, &topic, &format!("{protocol:?}, after all races"));
        last.must_produce(&mut client, &topic, 0, "the last");
        last.must_end(&mut client, true);
        assert_eq!(committed_values(&mut client, &topic, 0).last().map(String::as_str), Some("the last"));
    }
}

/// One transaction of one record; false when the producer turns out to be fenced.
fn attempt(client: &mut Client, producer: &mut Producer, topic: &str, value: &str) -> bool {
    let protocol = producer.protocol;
    if protocol == Protocol::First {
        match until_free(|| producer.add(client, 3, topic, &[0]), |error| *error).expect("answered") {
            code::NONE => {}
            code::PRODUCER_FENCED => return false,
            error => panic!("AddPartitionsToTxn: error {error}"),
        }
    }
    let version = protocol.produce_version();
    let produced = until_free(|| producer.produce(client, version, topic, 0, value), |answer| answer.error_code);
    match produced.expect("answered").error_code {
        code::NONE => {}
        code::INVALID_PRODUCER_EPOCH => return false,
        error => panic!("Produce: error {error}"),
    }
    let ended = until_free(|| producer.end(client, protocol.end_version(), true), |answer| answer.error_code);
    let answer = ended.expect("answered");
    match answer.error_code {
        code::NONE => producer.ended(&answer),
        // The second protocol does not tell an epoch that was raised by an abort from one raised by an end of its own.
        code::PRODUCER_FENCED => return false,
        code::INVALID_TXN_STATE if protocol == Protocol::Second => return false,
        // Apache Kafka's way to say that the start of another producer came between.
        -1 if is_stand_in() => return false,
        error => panic!("EndTxn: error {error}"),
    }
    true
}
