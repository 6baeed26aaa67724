//! librdkafka against a running broker: what most non-Java clients are.

#![allow(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::time::Duration;

use compat_tests::broker::Broker;
use compat_tests::codec::Codec;
use compat_tests::{now_ms, unique};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const LIMIT: Duration = Duration::from_secs(20);

struct Cluster {
    _broker: Broker,
    bootstrap: String,
}

impl Cluster {
    fn start() -> Cluster {
        let broker = Broker::any();
        Cluster { bootstrap: broker.bootstrap(), _broker: broker }
    }

    fn config(&self, extra: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        for (key, value) in extra {
            config.set(*key, *value);
        }
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config(&[]).create().expect("an admin client")
    }

    fn producer(&self, extra: &[(&str, &str)]) -> FutureProducer {
        self.config(extra).create().expect("a producer")
    }

    fn consumer(&self) -> BaseConsumer {
        let settings = [("group.id", "assigned-by-hand"), ("enable.auto.commit", "false"), ("check.crcs", "true")];
        self.config(&settings).create().expect("a consumer")
    }

    async fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let results =
            self.admin().create_topics([&topic], &AdminOptions::new()).await.expect("CreateTopics is answered");
        assert_eq!(results, vec![Ok(name.to_owned())]);
    }
}

fn assign(consumer: &BaseConsumer, topic: &str, partition: i32, offset: Offset) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset).expect("a valid offset");
    consumer.assign(&list).expect("assign");
}

fn poll(consumer: &BaseConsumer, count: usize) -> Vec<OwnedMessage> {
    let message = |_| consumer.poll(LIMIT).expect("a message in time").expect("no error").detach();
    (0..count).map(message).collect()
}

async fn send(producer: &FutureProducer, topic: &str, partition: i32, value: &str) -> i64 {
    let record = FutureRecord::<str, str>::to(topic).partition(partition).payload(value);
    producer.send(record, LIMIT).await.expect("the record is acknowledged").offset
}

#[tokio::test]
async fn produces_and_reads_back_in_order() {
    // S6 S7
    let cluster = Cluster::start();
    let topic = unique("in-order");
    cluster.create_topic(&topic, 2, &[]).await;
    let producer = cluster.producer(&[("linger.ms", "5")]);
    let pending: Vec<_> = (0..2000)
        .map(|n| {
            let (key, value) = (format!("key-{n}"), format!("value-{n}"));
            let record = FutureRecord::to(&topic).partition(n % 2).key(&key).payload(&value);
            producer.send_result(record).expect("the queue has room")
        })
        .collect();
    for (n, delivery) in pending.into_iter().enumerate() {
        let delivery = delivery.await.expect("the producer lives").expect("acknowledged");
        assert_eq!((delivery.partition, delivery.offset), (n as i32 % 2, n as i64 / 2));
    }
    let consumer = cluster.consumer();
    for partition in 0..2 {
        assign(&consumer, &topic, partition, Offset::Beginning);
        for (index, message) in poll(&consumer, 1000).iter().enumerate() {
            let n = index * 2 + partition as usize;
            assert_eq!(message.offset(), index as i64);
            assert_eq!(message.key(), Some(format!("key-{n}").as_bytes()));
            assert_eq!(message.payload(), Some(format!("value-{n}").as_bytes()));
        }
    }
}

#[tokio::test]
async fn every_codec_survives() {
    let cluster = Cluster::start();
    for codec in Codec::ALL {
        let topic = unique(codec.name());
        cluster.create_topic(&topic, 1, &[]).await;
        let producer = cluster.producer(&[("compression.codec", codec.name()), ("linger.ms", "20")]);
        let value = "all work and no play ".repeat(50);
        let pending: Vec<_> = (0..100)
            .map(|_| producer.send_result(FutureRecord::<str, str>::to(&topic).payload(&value)).expect("room"))
            .collect();
        for delivery in pending {
            delivery.await.expect("the producer lives").unwrap_or_else(|e| panic!("{codec:?}: {e:?}"));
        }
        let consumer = cluster.consumer();
        assign(&consumer, &topic, 0, Offset::Beginning);
        for message in poll(&consumer, 100) {
            assert_eq!(message.payload(), Some(value.as_bytes()), "{codec:?}");
        }
        // What lies in the log is what the producer made of it.
        let mut client = cluster._broker.client();
        let records = client.fetch(&topic, 0, 0).expect("fetch is answered").records.expect("records");
        assert_eq!(i16::from_be_bytes([records[21], records[22]]) & 7, codec as i16, "{codec:?} in the log");
    }
}

#[tokio::test]
async fn topic_can_ask_for_another_codec() {
    let cluster = Cluster::start();
    for stored in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let topic = unique("recompressed");
        cluster.create_topic(&topic, 1, &[("compression.type", stored.name())]).await;
        let sent = if stored == Codec::Lz4 { "zstd" } else { "lz4" };
        let value = "the same again ".repeat(100);
        send(&cluster.producer(&[("compression.codec", sent)]), &topic, 0, &value).await;
        let consumer = cluster.consumer();
        assign(&consumer, &topic, 0, Offset::Beginning);
        assert_eq!(poll(&consumer, 1)[0].payload(), Some(value.as_bytes()), "{stored:?}");
        let records = cluster._broker.client().fetch(&topic, 0, 0).expect("fetch").records.expect("records");
        assert_eq!(i16::from_be_bytes([records[21], records[22]]) & 7, stored as i16, "{stored:?} in the log");
    }
}

#[tokio::test]
async fn megabyte_messages_headers_and_timestamps() {
    let cluster = Cluster::start();
    let topic = unique("large");
    cluster.create_topic(&topic, 1, &[]).await;
    let producer = cluster.producer(&[("message.max.bytes", "2000000")]);
    let value: String = (0..1_000_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let timestamp = now_ms() - 86_400_000;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("0123") })
        .insert(Header { key: "empty", value: Some("") })
        .insert(Header { key: "null", value: None::<&str> });
    let record = FutureRecord::to(&topic).key("k").payload(&value).timestamp(timestamp).headers(headers);
    assert_eq!(producer.send(record, LIMIT).await.expect("1 MB is accepted").offset, 0);

    let too_large = "x".repeat(1_100_000);
    let record = FutureRecord::<str, str>::to(&topic).payload(&too_large);
    let (error, _) = producer.send(record, LIMIT).await.expect_err("above max.message.bytes");
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::MessageSizeTooLarge));

    let consumer = cluster.consumer();
    assign(&consumer, &topic, 0, Offset::Beginning);
    let message = &poll(&consumer, 1)[0];
    assert_eq!(message.payload(), Some(value.as_bytes()));
    assert_eq!(message.timestamp().to_millis(), Some(timestamp));
    let headers = message.headers().expect("headers");
    let all: Vec<_> = headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
    let expected = [("trace", Some(&b"0123"[..])), ("empty", Some(&b""[..])), ("null", None)];
    assert_eq!(all, expected.map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))));
}

#[tokio::test]
async fn seek_watermarks_and_offsets_for_times() {
    // S10 S36
    let cluster = Cluster::start();
    let topic = unique("seek");
    cluster.create_topic(&topic, 1, &[]).await;
    let producer = cluster.producer(&[]);
    let start = now_ms() - 100_000;
    for n in 0..100 {
        let value = n.to_string();
        let record = FutureRecord::<str, str>::to(&topic).payload(&value).timestamp(start + n * 100);
        producer.send(record, LIMIT).await.expect("acknowledged");
    }
    let consumer = cluster.consumer();
    assert_eq!(consumer.fetch_watermarks(&topic, 0, LIMIT).expect("watermarks"), (0, 100));

    let at = |timestamp: i64| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Offset(timestamp)).expect("a valid offset");
        let found = consumer.offsets_for_times(list, LIMIT).expect("offsets for times");
        found.elements()[0].offset()
    };
    assert_eq!(at(start - 1), Offset::Offset(0), "before the first");
    assert_eq!(at(start + 5000), Offset::Offset(50), "exactly");
    assert_eq!(at(start + 5001), Offset::Offset(51), "between two");
    assert_eq!(at(start + 9901), Offset::End, "after the last");

    assign(&consumer, &topic, 0, Offset::OffsetTail(3));
    let tail: Vec<_> = poll(&consumer, 3).iter().map(Message::offset).collect();
    assert_eq!(tail, [97, 98, 99]);
    consumer.seek(&topic, 0, Offset::Offset(42), LIMIT).expect("seek");
    assert_eq!(poll(&consumer, 1)[0].payload(), Some(&b"42"[..]));
    assert!(consumer.poll(Duration::ZERO).is_none_or(|next| next.is_ok_and(|next| next.offset() == 43)));
}

#[tokio::test]
async fn waiting_consumer_is_woken_by_a_produce() {
    // S38
    let cluster = Cluster::start();
    let topic = unique("woken");
    cluster.create_topic(&topic, 1, &[]).await;
    let consumer: BaseConsumer =
        cluster.config(&[("group.id", "g"), ("fetch.wait.max.ms", "20000")]).create().expect("a consumer");
    assign(&consumer, &topic, 0, Offset::Beginning);
    assert!(consumer.poll(Duration::from_millis(300)).is_none(), "nothing there yet");
    send(&cluster.producer(&[]), &topic, 0, "wake up").await;
    let message = consumer.poll(Duration::from_secs(5)).expect("long before the wait ends").expect("no error");
    assert_eq!(message.payload(), Some(&b"wake up"[..]));
}

#[tokio::test]
async fn idempotent_producer_has_no_duplicates_and_no_gaps() {
    let cluster = Cluster::start();
    let topic = unique("idempotent");
    cluster.create_topic(&topic, 3, &[]).await;
    let producer = cluster.producer(&[("enable.idempotence", "true"), ("linger.ms", "1")]);
    let pending: Vec<_> = (0..3000)
        .map(|n| {
            let value = n.to_string();
            producer
                .send_result(FutureRecord::<str, str>::to(&topic).partition(n % 3).payload(&value))
                .expect("the queue has room")
        })
        .collect();
    for delivery in pending {
        delivery.await.expect("the producer lives").expect("acknowledged");
    }
    let mut client = cluster._broker.client();
    for partition in 0..3 {
        let values = client.read_values(&topic, partition);
        let expected: Vec<_> = (0..1000).map(|n| (n * 3 + partition).to_string()).collect();
        assert_eq!(values, expected);
    }
}

#[tokio::test]
async fn admin_manages_topics() {
    // S11 S14 S16 S17
    let cluster = Cluster::start();
    let (admin, options) = (cluster.admin(), AdminOptions::new());
    let topic = unique("admin");
    cluster.create_topic(&topic, 2, &[("retention.ms", "12345678")]).await;
    let again = admin.create_topics(&[NewTopic::new(&topic, 1, TopicReplication::Fixed(1))], &options).await;
    assert_eq!(again.expect("answered"), vec![Err((topic.clone(), RDKafkaErrorCode::TopicAlreadyExists))]);

    let grown = admin.create_partitions(&[NewPartitions::new(&topic, 5)], &options).await.expect("answered");
    assert_eq!(grown, vec![Ok(topic.clone())]);
    let shrunk = admin.create_partitions(&[NewPartitions::new(&topic, 5)], &options).await.expect("answered");
    assert_eq!(shrunk, vec![Err((topic.clone(), RDKafkaErrorCode::InvalidPartitions))]);
    let metadata = cluster.consumer().fetch_metadata(Some(&topic), LIMIT).expect("metadata");
    assert_eq!(metadata.topics()[0].partitions().len(), 5);

    let deleted = admin.delete_topics(&[&topic], &options).await.expect("answered");
    assert_eq!(deleted, vec![Ok(topic.clone())]);
    let gone = admin.delete_topics(&[&topic], &options).await.expect("answered");
    assert_eq!(gone, vec![Err((topic.clone(), RDKafkaErrorCode::UnknownTopicOrPartition))]);
    let metadata = cluster.consumer().fetch_metadata(None, LIMIT).expect("metadata");
    assert!(metadata.topics().iter().all(|found| found.name() != topic));
}

#[tokio::test]
async fn admin_reads_and_writes_configs() {
    let cluster = Cluster::start();
    let (admin, options) = (cluster.admin(), AdminOptions::new());
    let topic = unique("configs");
    cluster.create_topic(&topic, 1, &[("retention.ms", "12345678")]).await;
    let resource = ResourceSpecifier::Topic(&topic);
    let value = async |key: &str| {
        let described = admin.describe_configs([&resource], &options).await.expect("answered");
        let described = described.into_iter().next().expect("one resource").expect("no error");
        described.get(key).unwrap_or_else(|| panic!("{key} is described")).value.clone()
    };
    assert_eq!(value("retention.ms").await.as_deref(), Some("12345678"));
    assert_eq!(value("cleanup.policy").await.as_deref(), Some("delete"));

    // AlterConfigs replaces the whole set: what it does not name goes back to its default.
    let entries = HashMap::from([("max.message.bytes", "2000000")]);
    let altered = admin.alter_configs([&AlterConfig { specifier: resource, entries }], &options).await;
    assert!(altered.expect("answered").into_iter().all(|result| result.is_ok()));
    assert_eq!(value("max.message.bytes").await.as_deref(), Some("2000000"));
    assert_eq!(value("retention.ms").await.as_deref(), Some("604800000"));

    let broker = admin.describe_configs([&ResourceSpecifier::Broker(1)], &options).await.expect("answered");
    let broker = broker.into_iter().next().expect("one resource").expect("no error");
    assert!(broker.get("num.partitions").is_some_and(|entry| entry.value.as_deref() == Some("1"))); // S19
}

#[tokio::test]
async fn admin_deletes_records() {
    // S36
    let cluster = Cluster::start();
    let topic = unique("delete-records");
    cluster.create_topic(&topic, 1, &[]).await;
    let producer = cluster.producer(&[]);
    for n in 0..10 {
        send(&producer, &topic, 0, &n.to_string()).await;
    }
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(6)).expect("a valid offset");
    let answer = cluster.admin().delete_records(&before, &AdminOptions::new()).await.expect("answered");
    assert_eq!(answer.elements()[0].offset(), Offset::Offset(6));
    let consumer = cluster.consumer();
    assert_eq!(consumer.fetch_watermarks(&topic, 0, LIMIT).expect("watermarks"), (6, 10));
    assign(&consumer, &topic, 0, Offset::Beginning);
    assert_eq!(poll(&consumer, 1)[0].payload(), Some(&b"6"[..]));
}

#[tokio::test]
async fn producing_to_an_unknown_topic_creates_it() {
    // S15 S19
    let cluster = Cluster::start();
    let topic = unique("auto");
    assert_eq!(send(&cluster.producer(&[]), &topic, 0, "first").await, 0);
    let metadata = cluster.consumer().fetch_metadata(Some(&topic), LIMIT).expect("metadata");
    assert_eq!(metadata.topics()[0].partitions().len(), 1);
}
