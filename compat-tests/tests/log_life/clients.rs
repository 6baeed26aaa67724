//! librdkafka over compacted and trimmed topics: gaps in the offsets, tombstones, committed offsets that lie in them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use compat_tests::broker::Broker;
use compat_tests::calls::{EARLIEST, LATEST, Resource, code};
use compat_tests::{Random, now_ms, wait_until};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{LIMIT, busy_options};

const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("internal.segment.bytes", "20000"), ("delete.retention.ms", "0")];
/// What one step of the slow consumer reads.
const STEP: usize = 5;

type Table = BTreeMap<String, Option<String>>;
type RdProducer = ThreadedProducer<rdkafka::producer::DefaultProducerContext>;

fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    config
}

/// Small fetches, so that it really stays behind; an offset that the broker does not take is an error.
fn consumer(broker: &Broker, group: &str) -> BaseConsumer {
    let mut config = config(broker);
    config.set("group.id", group).set("enable.auto.commit", "false").set("check.crcs", "true");
    config.set("auto.offset.reset", "error").set("fetch.message.max.bytes", "2000").set("queued.min.messages", "1");
    config.set("queued.max.messages.kbytes", "1").set("enable.partition.eof", "true");
    config.set("fetch.queue.backoff.ms", "1").set("fetch.wait.max.ms", "10");
    config.create().expect("a consumer")
}

fn assign(consumer: &BaseConsumer, topic: &str, offset: Offset) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, offset).expect("a valid offset");
    consumer.assign(&list).expect("assigned");
}

/// Up to so many records, fewer at the end of the partition: their offsets.
fn read(consumer: &BaseConsumer, most: usize, table: &mut Table) -> Vec<i64> {
    let (mut offsets, start) = (Vec::new(), Instant::now());
    while offsets.len() < most {
        assert!(start.elapsed() < LIMIT, "nothing comes any more, after {offsets:?}");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => break,
            Some(message) => {
                let message = message.expect("no error");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                table.insert(message.key().map(text).expect("a key"), message.payload().map(text));
                offsets.push(message.offset());
            }
        }
    }
    offsets
}

/// A batch fits into a segment, as it must.
fn producer(broker: &Broker, codec: &str) -> RdProducer {
    let mut config = config(broker);
    config.set("compression.codec", codec).set("batch.num.messages", "40").create().expect("a producer")
}

fn send(producer: &RdProducer, topic: &str, key: &str, value: Option<&str>) {
    let mut record = BaseRecord::<str, str>::to(topic).partition(0).key(key);
    record.payload = value;
    producer.send(record).expect("the queue has room");
}

/// Some writes with their share of tombstones and empty values.
fn write(producer: &RdProducer, random: &mut Random, count: usize, table: &mut Table) {
    for n in 0..count {
        let key = format!("key-{}", random.below(50));
        let value = match random.below(8) {
            0 => None,
            1 => Some(String::new()),
            _ => Some(format!("{n}-{}", "v".repeat(random.below(300)))),
        };
        send(producer, "table", &key, value.as_deref());
        table.insert(key, value);
    }
    producer.flush(LIMIT).expect("all are acknowledged");
}

fn seal(producer: &RdProducer) {
    for _ in 0..5 {
        send(producer, "table", "filler", Some(&"f".repeat(9_000)));
        producer.flush(LIMIT).expect("acknowledged");
    }
}

fn live(table: &Table) -> Table {
    table.iter().filter(|(_, value)| value.is_some()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[test] // S9, S33
fn consumers_of_a_table_come_to_what_was_written_last() {
    let broker = busy_options().start();
    assert_eq!(broker.client().create_topic("table", 1, &COMPACTED).expect("answered"), code::NONE);
    let producer = producer(&broker, "lz4");
    let slow = consumer(&broker, "slow");
    assign(&slow, "table", Offset::Beginning);
    let mut random = Random::new(21);
    let (mut wanted, mut slow_table, mut seen) = (Table::new(), Table::new(), Vec::new());
    for _ in 0..100 {
        write(&producer, &mut random, 40, &mut wanted);
        seen.extend(read(&slow, STEP, &mut slow_table));
    }
    seal(&producer);
    wanted.insert("filler".to_owned(), Some("f".repeat(9_000)));
    let mut client = broker.client();
    wait_until("most is cleaned", LIMIT, || client.read_all("table", 0).len() < 1_000);
    let end = client.offset_at("table", 0, LATEST);
    assert_eq!(end, 100 * 40 + 5, "all was taken");
    while seen.last() != Some(&(end - 1)) {
        seen.extend(read(&slow, 1_000, &mut slow_table));
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in the order of offsets");
    assert!(seen.windows(2).any(|pair| pair[0] + 1 < pair[1]), "over gaps");
    assert_eq!(live(&slow_table), live(&wanted), "the slow consumer");
    let (mut new_table, mut offsets) = (Table::new(), Vec::new());
    let new = consumer(&broker, "new");
    assign(&new, "table", Offset::Beginning);
    while offsets.last() != Some(&(end - 1)) {
        offsets.extend(read(&new, 1_000, &mut new_table));
    }
    assert_eq!(live(&new_table), live(&wanted), "a consumer from the start");
}

/// A group has committed an offset whose record is compacted away: it goes on with the next one there is.
#[test] // S9
fn a_group_goes_on_from_a_committed_offset_that_lies_in_a_gap() {
    let mut broker = busy_options().start();
    assert_eq!(broker.client().create_topic("table", 1, &COMPACTED).expect("answered"), code::NONE);
    let producer = producer(&broker, "none");
    let mut table = Table::new();
    write(&producer, &mut Random::new(22), 300, &mut table);
    assert_eq!(broker.client().offset_at("table", 0, LATEST), 300);
    let group = consumer(&broker, "group");
    assign(&group, "table", Offset::Beginning);
    let committed = read(&group, 20, &mut Table::new())[19] + 1;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("table", 0, Offset::Offset(committed)).expect("a valid offset");
    group.commit(&list, CommitMode::Sync).expect("committed");
    drop(group);
    write(&producer, &mut Random::new(23), 2_000, &mut table);
    seal(&producer);
    let mut client = broker.client();
    let next_after = |client: &mut compat_tests::wire::Client| {
        client.read_from("table", 0, committed).first().map(|record| record.offset).expect("a record")
    };
    wait_until("what the group would read next has gone", LIMIT, || next_after(&mut client) > committed);
    broker.kill();
    broker.restart();
    // The broker has another port now.
    let group = consumer(&broker, "group");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("table", 0, Offset::Stored).expect("a valid offset");
    group.assign(&list).expect("assigned");
    let went_on = read(&group, 1, &mut Table::new())[0];
    assert_eq!(went_on, next_after(&mut broker.client()));
    assert!(went_on > committed);
}

/// The records that a group has yet to read are gone by age: `auto.offset.reset` says what becomes of it.
#[test] // S36
fn a_group_below_the_log_start_is_reset() {
    let broker = busy_options().start();
    let mut client = broker.client();
    let configs = [("internal.segment.bytes", "2000"), ("retention.ms", "-1")];
    assert_eq!(client.create_topic("aged", 1, &configs).expect("answered"), code::NONE);
    let value = "x".repeat(500);
    for age in [3_600_000, 0] {
        for _ in 0..20 {
            let batch = compat_tests::batch::Batch::of_values([value.clone()]).keyed("k").at(now_ms() - age);
            client.must_produce("aged", 0, &batch);
        }
    }
    assert_eq!(client.find_coordinator("group").expect("answered"), code::NONE);
    assert_eq!(client.commit("group", "aged", 0, 5).expect("answered"), code::NONE);
    let altered = client.alter_config(Resource::Topic, "aged", "retention.ms", Some("600000"));
    assert_eq!(altered.expect("answered"), code::NONE);
    wait_until("the old ones have gone", LIMIT, || client.offset_at("aged", 0, EARLIEST) > 15);
    let start = client.offset_at("aged", 0, EARLIEST);
    let mut config = config(&broker);
    config.set("group.id", "group").set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config.set("enable.partition.eof", "true");
    let group: BaseConsumer = config.create().expect("a consumer");
    assign(&group, "aged", Offset::Stored);
    assert_eq!(read(&group, 100, &mut Table::new()), (start..40).collect::<Vec<_>>());
}
