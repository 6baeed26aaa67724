//! A request whose answer is lost is sent again, over another connection or to the next process: it succeeds, and has
//! been carried out once.

use std::time::Duration;

use compat_tests::broker::Broker;
use compat_tests::unique;
use compat_tests::wire::Client;
use kafka_protocol::protocol::Request;

use crate::producer::*;
use crate::readers::*;

const ROUNDS: usize = 5;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What happens to a request before it is sent again.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The answer is not waited for: the request may be carried out before, after or beside the second one.
    Overtaken,
    /// The connection is closed at once: nobody learns whether and when the request is carried out.
    CutAtOnce,
    /// The answer has come, and nobody reads it.
    CutAfterAnswer,
    KilledAtOnce,
    KilledAfterAnswer,
}

impl Loss {
    const ALL: [Loss; 5] =
        [Loss::Overtaken, Loss::CutAtOnce, Loss::CutAfterAnswer, Loss::KilledAtOnce, Loss::KilledAfterAnswer];

    /// Whether the request may meet what its producer does after the second one.
    fn may_come_late(self) -> bool {
        matches!(self, Loss::CutAtOnce)
    }

    fn kills(self) -> bool {
        matches!(self, Loss::KilledAtOnce | Loss::KilledAfterAnswer)
    }
}

/// A connection over which nobody waits for the answer, if it is still open.
struct Lost(Option<Client>);

impl Lost {
    /// Waits until the broker is done with the request.
    fn settle(self) {
        if let Some(mut lost) = self.0 {
            lost.read_frame().expect("the broker answers");
        }
    }
}

/// Sends a request and loses its answer; the connection to go on with.
fn lose<R: Request>(broker: &mut Broker, version: i16, request: &R, loss: Loss) -> (Client, Lost) {
    let mut lost = broker.client();
    lost.send(version, request).expect("the request is sent");
    if matches!(loss, Loss::CutAfterAnswer | Loss::KilledAfterAnswer) {
        lost.set_answer_limit(ANSWER_LIMIT);
        assert_eq!(lost.stream().peek(&mut [0]).expect("the broker answers"), 1);
    }
    if loss.kills() {
        broker.kill();
        broker.restart();
    }
    (broker.client(), Lost(matches!(loss, Loss::Overtaken).then_some(lost)))
}

/// Each loss a few times, with a topic of two partitions and a transactional id of its own.
fn each_loss(mut run: impl FnMut(&mut Broker, &str, &str, Loss, &str)) {
    let mut broker = quick_options().start();
    for round in 0..ROUNDS {
        for loss in Loss::ALL {
            let (topic, name) = (unique("retried"), unique("retries"));
            assert_eq!(broker.client().create_topic(&topic, 2, &[]).expect("answered"), 0);
            run(&mut broker, &topic, &name, loss, &format!("round {round}, {loss:?}"));
        }
    }
}

#[test]
fn init_producer_id() {
    each_loss(|broker, topic, name, loss, what| {
        let mut client = broker.client();
        let producer = Producer::new(name, Protocol::First).started(&mut client);
        let (mut client, lost) = lose(broker, INIT_VERSION, &producer.init_request(), loss);
        let answer = until_free(|| producer.init(&mut client, INIT_VERSION), |a| a.error_code).expect("answered");
        lost.settle();
        let mut next = producer.clone();
        if answer.error_code == code::PRODUCER_FENCED && loss.kills() {
            // The record of a transactional id does not hold its last epoch, in Apache Kafka neither: the next process
            // takes the retry for an earlier producer's.
            next = next.started(&mut client);
            assert_eq!((next.id, next.epoch), (producer.id, producer.epoch + 2), "{what}");
        } else {
            assert_eq!(answer.error_code, code::NONE, "{what}");
            assert_eq!((answer.producer_id.0, answer.producer_epoch), (producer.id, producer.epoch + 1), "{what}");
            next.epoch = answer.producer_epoch;
        }
        // Whatever is open when it comes late is aborted, as in Apache Kafka.
        if loss.may_come_late() {
            return;
        }
        next.must_produce(&mut client, topic, 0, "one");
        next.must_end(&mut client, true);
        assert_eq!(committed_values(&mut client, topic, 0), ["one"], "{what}");
    });
}

#[test]
fn add_partitions_to_txn() {
    each_loss(|broker, topic, name, loss, what| {
        let mut client = broker.client();
        let mut producer = Producer::new(name, Protocol::First).started(&mut client);
        let request = producer.add_request(topic, &[0, 1]);
        let (mut client, lost) = lose(broker, ADD_PARTITIONS_VERSION, &request, loss);
        producer.must_add(&mut client, topic, &[0, 1]);
        lost.settle();
        let described = describe_transaction(&mut client, name);
        assert_eq!(&*described.transaction_state, "Ongoing", "{what}");
        assert_eq!(described.topics[0].partitions, [0, 1], "{what}");
        producer.must_produce(&mut client, topic, 0, "one");
        producer.must_end(&mut client, true);
        assert_eq!(committed_values(&mut client, topic, 0), ["one"], "{what}");
        for partition in 0..2 {
            assert_eq!(markers(&mut client, topic, partition), [(producer.id, true)], "{what}");
        }
    });
}

#[test]
fn add_offsets_to_txn_and_txn_offset_commit() {
    each_loss(|broker, topic, name, loss, what| {
        let mut client = broker.client();
        let group = unique("retried-group");
        assert_eq!(client.find_coordinator(&group).expect("answered"), 0);
        for (protocol, offset) in [(Protocol::First, 5), (Protocol::Second, 6)] {
            let mut producer = Producer::new(&format!("{name}-{protocol:?}"), protocol).started(&mut client);
            if protocol == Protocol::First {
                let added = producer.add_offsets(&mut client, ADD_OFFSETS_VERSION, &group).expect("answered");
                assert_eq!(added, code::NONE, "{what}");
            }
            let request = producer.commit_offset_request(&group, topic, 0, offset);
            let lost;
            (client, lost) = lose(broker, protocol.commit_offset_version(), &request, loss);
            producer.must_commit_offset(&mut client, &group, (topic, 0), offset);
            lost.settle();
            let (error, _) = fetch_offset(&mut client, &group, (topic, 0), true);
            assert_eq!(error, code::UNSTABLE_OFFSET_COMMIT, "{what}, {protocol:?}");
            producer.must_end(&mut client, true);
            assert_eq!(fetch_offset(&mut client, &group, (topic, 0), true), (0, offset), "{what}, {protocol:?}");
        }
    });
}

#[test]
fn produce() {
    each_loss(|broker, topic, name, loss, what| {
        for protocol in Protocol::BOTH {
            let mut client = broker.client();
            let mut producer = Producer::new(&format!("{name}-{protocol:?}"), protocol).started(&mut client);
            let partition = protocol as i32;
            // The first batch of a transaction, and one that goes on.
            let mut expected = Vec::new();
            for number in 0..2 {
                if protocol == Protocol::First {
                    producer.must_add(&mut client, topic, &[partition]);
                }
                let values = [format!("{number} a"), format!("{number} b")];
                expected.extend(values.clone());
                let request = producer.produce_request(topic, partition, values);
                let version = protocol.produce_version();
                let lost;
                (client, lost) = lose(broker, version, &request, loss);
                for time in 0..2 {
                    let call = || client.call(version, &request).map(row_of_produce);
                    let answer = until_free(call, |answer| answer.error_code).expect("answered");
                    assert_eq!(answer.error_code, code::NONE, "{what}, {protocol:?}, {number}, {time}");
                    assert_eq!(answer.base_offset, 2 * number, "{what}, {protocol:?}, {number}, {time}");
                }
                lost.settle();
                producer.advance(topic, partition, 2);
            }
            producer.must_end(&mut client, true);
            assert_eq!(committed_values(&mut client, topic, partition), expected, "{what}, {protocol:?}");
            assert_eq!(markers(&mut client, topic, partition), [(producer.id, true)], "{what}, {protocol:?}");
        }
    });
}

fn end_txn_again(protocol: Protocol) {
    for commit in [true, false] {
        each_loss(|broker, topic, name, loss, what| {
            let mut client = broker.client();
            let mut producer = Producer::new(name, protocol).started(&mut client);
            // Within the first protocol's one epoch a late request ends the next transaction, as in Apache Kafka.
            let rounds = if loss.may_come_late() && protocol == Protocol::First { 1 } else { 2 };
            for round in 0..rounds {
                for partition in 0..2 {
                    producer.must_produce(&mut client, topic, partition, &format!("{round}"));
                }
                let before = (producer.id, producer.epoch);
                let (request, version) = (producer.end_request(commit), protocol.end_version());
                let lost;
                (client, lost) = lose(broker, version, &request, loss);
                for time in 0..2 {
                    let answer = until_free(|| client.call(version, &request), |a| a.error_code).expect("answered");
                    assert_eq!(answer.error_code, code::NONE, "{what}, {protocol:?}, {commit}, {time}");
                    if protocol == Protocol::Second {
                        let after = (answer.producer_id.0, answer.producer_epoch);
                        assert_eq!(after, (before.0, before.1 + 1), "{what}, {commit}, {time}");
                    }
                    if time == 1 {
                        producer.ended(&answer);
                    }
                }
                lost.settle();
                let count = round + 1;
                for partition in 0..2 {
                    let found = markers(&mut client, topic, partition);
                    assert_eq!(
                        found,
                        vec![(producer.id, commit); count],
                        "{what}, {protocol:?}, partition {partition}"
                    );
                    let expected: Vec<_> = (0..if commit { count } else { 0 }).map(|n| n.to_string()).collect();
                    assert_eq!(committed_values(&mut client, topic, partition), expected, "{what}, {protocol:?}");
                }
            }
        });
    }
}

#[test]
fn end_txn_of_the_first_protocol() {
    end_txn_again(Protocol::First);
}

#[test]
fn end_txn_of_the_second_protocol() {
    end_txn_again(Protocol::Second);
}
