//! Compaction beside transactions: one that is open holds it up no longer than it lasts, and `__transaction_state`, which
//! is compacted too, keeps what it must.

use std::collections::BTreeMap;

use compat_tests::batch::{Batch, TRANSACTIONAL};
use compat_tests::broker::Broker;
use compat_tests::calls::{Resource, code, produce_request, text};
use compat_tests::wait_until;
use compat_tests::wire::Client;
use kafka_protocol::messages::TransactionalId;

use super::{LIMIT, busy_options, bytes_on_disk};
use crate::producer::{Producer, Protocol, row_of_produce, until_free};
use crate::readers::{committed_values, describe_transaction, open_transactions};

const COMPACTED: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("internal.segment.bytes", "20000")];

fn put(client: &mut Client, topic: &str, key: &str, rounds: usize) {
    for round in 0..rounds {
        let value = format!("{round}-{}", "v".repeat(4_000));
        client.must_produce(topic, 0, &Batch::of_values([value]).keyed(key.to_owned()));
    }
}

/// How often the broker has told of having cleaned the partition.
fn cleanings(broker: &Broker, partition: &str) -> usize {
    let is_one = |line: &&String| line.contains("log cleaned") && line.contains(partition);
    broker.log().iter().filter(is_one).count()
}

/// The first offset of an open transaction lies in the middle of a sealed segment: what is before it can be cleaned only
/// once, and the cleaner must not take that for a log that cannot be cleaned.
#[test] // S33
fn cleaning_goes_on_once_a_transaction_in_a_sealed_segment_has_ended() {
    for overdue in [false, true] {
        let broker = busy_options().start();
        let mut client = broker.client();
        // By its share of what is dirty, or by its age.
        let why = if overdue {
            [("max.compaction.lag.ms", "1"), ("min.cleanable.dirty.ratio", "1")]
        } else {
            [("max.compaction.lag.ms", "9223372036854775807"), ("min.cleanable.dirty.ratio", "0.01")]
        };
        let configs: Vec<_> = COMPACTED.iter().chain(&why).copied().collect();
        for topic in ["held-up", "beside"] {
            assert_eq!(client.create_topic(topic, 1, &configs).expect("answered"), code::NONE);
        }
        let mut producer = Producer::new("holds-up", Protocol::Second).started(&mut client);
        put(&mut client, "held-up", "k", 12);
        let mut batch = Batch::of_values(["open"]).keyed("t").from_producer(producer.id, producer.epoch, 0);
        batch.attributes |= TRANSACTIONAL;
        let request = produce_request("held-up", 0, batch.build())
            .with_transactional_id(Some(TransactionalId(text(&producer.name))));
        let answer = until_free(|| Ok(row_of_produce(client.call(12, &request)?)), |row| row.error_code);
        let first = answer.expect("answered").base_offset;
        put(&mut client, "held-up", "k", 12);
        wait_until("what is before it is cleaned", LIMIT, || {
            let count = client.read_all("held-up", 0).iter().filter(|record| record.offset < first).count();
            count < 5
        });
        // The cleaner comes by again and again meanwhile.
        let seen = cleanings(&broker, "beside-0");
        wait_until("the topic beside it is cleaned", LIMIT, || {
            put(&mut client, "beside", "k", 5);
            cleanings(&broker, "beside-0") > seen + 3
        });
        let rest = client.read_all("held-up", 0).iter().filter(|record| record.offset > first).count();
        assert_eq!(rest, 12, "nothing behind it is cleaned while it is open");
        producer.must_end(&mut client, true);
        put(&mut client, "held-up", "k", 5);
        wait_until("the rest is cleaned once it has ended", LIMIT, || {
            client.read_all("held-up", 0).iter().filter(|record| record.offset > first).count() < 12
        });
        assert!(client.read_values("held-up", 0).contains(&"open".to_owned()));
    }
}

#[test] // S33, S34
fn the_states_of_transactions_outlive_the_cleaning_of_their_topic() {
    let mut broker = busy_options().set("transaction.state.log.num.partitions", 1).start();
    let mut client = broker.client();
    assert_eq!(client.create_topic("t", 1, &[]).expect("answered"), code::NONE);
    // Open all the time: its state is in the first segment.
    let mut open = Producer::new("open", Protocol::Second).started(&mut client);
    let small = client.alter_config(Resource::Topic, "__transaction_state", "internal.segment.bytes", Some("20000"));
    assert_eq!(small.expect("answered"), code::NONE);
    open.must_produce(&mut client, "t", 0, "in the open one");
    let mut producers: Vec<_> =
        (0..6).map(|n| Producer::new(&format!("id-{n}"), Protocol::BOTH[n % 2]).started(&mut client)).collect();
    let dir = broker.partition_dir("__transaction_state", 0);
    let (mut committed, mut round, mut largest) = (Vec::new(), 0, 0);
    wait_until("the topic was cleaned", LIMIT, || {
        for (n, producer) in producers.iter_mut().enumerate() {
            let value = format!("{n}-{round}");
            producer.must_produce(&mut client, "t", 0, &value);
            let commit = (n + round) % 3 > 0;
            producer.must_end(&mut client, commit);
            if commit {
                committed.push(value);
            }
        }
        round += 1;
        largest = bytes_on_disk(&dir).max(largest);
        bytes_on_disk(&dir) < largest / 2
    });
    let states = |client: &mut Client| -> BTreeMap<String, (String, i64, i16)> {
        let names = (0..6).map(|n| format!("id-{n}")).chain(["open".to_owned()]);
        let row = |name: String| {
            let state = describe_transaction(client, &name);
            (name, (state.transaction_state.to_string(), state.producer_id.0, state.producer_epoch))
        };
        names.map(row).collect()
    };
    let before = states(&mut client);
    assert_eq!(before["open"].0, "Ongoing");
    broker.kill();
    broker.restart();
    let mut client = broker.client();
    crate::producer::find_coordinator(&mut client, "open");
    assert_eq!(states(&mut client), before, "after a kill");
    assert_eq!(open_transactions(&mut client, "t", 0)[&open.id], 0);
    open.must_produce(&mut client, "t", 0, "and it goes on");
    open.must_end(&mut client, true);
    for producer in &mut producers {
        let value = format!("{} goes on", producer.name);
        producer.must_produce(&mut client, "t", 0, &value);
        producer.must_end(&mut client, true);
        committed.push(value);
    }
    let mut read = committed_values(&mut client, "t", 0);
    let mut wanted: Vec<_> =
        ["in the open one", "and it goes on"].map(str::to_owned).into_iter().chain(committed).collect();
    read.sort();
    wanted.sort();
    assert_eq!(read, wanted);
}
