//! rdkafka, Rust around librdkafka. See `../../../README.md`.

#[allow(dead_code)] // Not all of it is needed here.
mod common;

use std::time::Duration;

use common::{
    FETCH_MIDDLE, FETCH_PARTITIONS, LIMIT, Record, Run, assert_records, fetch_records, from_middle, numbers,
    produce_records, sorted, until,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const POLL: Duration = Duration::from_millis(100);
const GROUP_PARTITIONS: i32 = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut run = Run::from_arguments();
    match run.scenario.as_str() {
        "create" => create(&run).await,
        "produce" => produce(&run).await,
        "fetch" => fetch(&run).await,
        "group" => group(&run).await,
        "idempotent" => idempotent(&run).await,
        "transaction" => transaction(&run).await,
        "admin" => admin(&mut run).await,
        "errors" => errors(&run).await,
        other => panic!("no scenario is called {other}"),
    }
    run.finish();
}

fn config(run: &Run, more: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &run.bootstrap);
    for (key, value) in more {
        config.set(*key, *value);
    }
    config
}

fn admin_client(run: &Run) -> AdminClient<DefaultClientContext> {
    config(run, &[]).create().expect("an admin client")
}

fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT))
}

fn producer(run: &Run, more: &[(&str, &str)]) -> FutureProducer {
    config(run, more).set("message.timeout.ms", LIMIT.as_millis().to_string()).create().expect("a producer")
}

fn consumer(run: &Run, group: &str, more: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(run, more);
    config.set("group.id", group).set("enable.auto.commit", "false").set("fetch.wait.max.ms", "100");
    config.create().expect("a consumer")
}

/// The first partitions of a topic, all at the same offset.
fn partitions(topic: &str, count: i32, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in 0..count {
        list.add_partition_offset(topic, partition, offset).expect("a valid offset");
    }
    list
}

/// A consumer without a group's assignment, which says when a partition is at its end.
fn reader(run: &Run, topic: &str, count: i32, from: Offset, more: &[(&str, &str)]) -> BaseConsumer {
    let more = [&[("enable.partition.eof", "true")], more].concat();
    let reader = consumer(run, &run.name("reader"), &more);
    reader.assign(&partitions(topic, count, from)).expect("assigned");
    reader
}

/// What there is until so many partitions are at their ends.
fn read_to_ends(reader: &BaseConsumer, count: i32) -> Vec<Record> {
    let (mut records, mut ends) = (Vec::new(), 0);
    until("all partitions are at their ends", || {
        match reader.poll(POLL) {
            Some(Ok(message)) => records.push(record(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error)) => panic!("reading: {error:?}"),
            None => {}
        }
        ends == count
    });
    sorted(records)
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|h| (h.key.to_owned(), h.value.expect("a header that is not null").to_vec())).collect(),
        timestamp_ms: message.timestamp().to_millis().expect("there is a timestamp"),
    }
}

fn values(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8_lossy(record.value.as_deref().expect("no tombstone")).into_owned();
    records.iter().map(text).collect()
}

/// Sends all before it waits for the first; the acknowledged offsets or errors, in order.
async fn send(producer: &FutureProducer, topic: &str, records: &[Record]) -> Vec<KafkaResult<i64>> {
    let mut sent = Vec::new();
    for record in records {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let record = FutureRecord {
            topic,
            partition: Some(record.partition),
            key: record.key.as_deref(),
            payload: record.value.as_deref(),
            timestamp: Some(record.timestamp_ms),
            headers: Some(headers),
        };
        sent.push(producer.send_result::<[u8], [u8]>(record).expect("it is queued"));
    }
    let mut offsets = Vec::new();
    for delivery in sent {
        let delivered = delivery.await.expect("the producer lives");
        offsets.push(delivered.map(|delivery| delivery.offset).map_err(|(error, _)| error));
    }
    offsets
}

/// Sends values to the first partition, and expects the offsets from `first` on.
async fn send_values(producer: &FutureProducer, topic: &str, values: &[String], first: i64) {
    let record = |value: &String| Record { value: Some(value.clone().into_bytes()), ..plain() };
    let records: Vec<Record> = values.iter().map(record).collect();
    let want: Vec<KafkaResult<i64>> = (first..).take(values.len()).map(Ok).collect();
    assert_eq!(send(producer, topic, &records).await, want, "acknowledged offsets");
}

/// A record without anything.
fn plain() -> Record {
    Record { partition: 0, offset: 0, key: None, value: None, headers: Vec::new(), timestamp_ms: common::base_ms() }
}

async fn try_create(run: &Run, topic: NewTopic<'_>) -> TopicResult {
    let mut results = admin_client(run).create_topics([&topic], &admin_options()).await.expect("answered");
    results.remove(0)
}

async fn create_topic(run: &Run, topic: &str, partitions: i32) {
    let created = try_create(run, NewTopic::new(topic, partitions, TopicReplication::Fixed(1))).await;
    assert_eq!(created, Ok(topic.to_owned()));
}

fn await_partitions(run: &Run, topic: &str, count: usize) {
    let consumer = consumer(run, &run.name("metadata"), &[]);
    until("all partitions have leaders", || {
        let metadata = consumer.fetch_metadata(Some(topic), LIMIT).expect("answered");
        let partitions = metadata.topics()[0].partitions();
        std::thread::sleep(Duration::from_millis(20));
        partitions.len() == count && partitions.iter().all(|p| p.error().is_none() && p.leader() >= 0)
    });
}

async fn topic_config(run: &Run, topic: &str, key: &str) -> String {
    let described = admin_client(run).describe_configs(&[ResourceSpecifier::Topic(topic)], &admin_options()).await;
    let resource = described.expect("answered").remove(0).expect("the topic is there");
    resource.get(key).and_then(|entry| entry.value.clone()).expect("the key is there")
}

async fn create(run: &Run) {
    let topic = run.name("create");
    let spec = NewTopic::new(&topic, 3, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    assert_eq!(try_create(run, spec).await, Ok(topic.clone()));
    await_partitions(run, &topic, 3);
    assert_eq!(topic_config(run, &topic, "cleanup.policy").await, "compact");
}

async fn produce(run: &Run) {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = run.name(codec);
        create_topic(run, &topic, 1).await;
        let want = produce_records();
        // It waits for more: with few records in a batch, compressing may not pay, and then it is not done.
        let producer = producer(run, &[("compression.type", codec), ("linger.ms", "50")]);
        let acknowledged = send(&producer, &topic, &want).await;
        assert_eq!(acknowledged, (0..100).map(Ok).collect::<Vec<_>>(), "{codec}: acknowledged offsets");
        assert_records(codec, read_to_ends(&reader(run, &topic, 1, Offset::Beginning, &[]), 1), &want);
    }
}

async fn fetch(run: &Run) {
    let topic = run.name("fetch");
    create_topic(run, &topic, FETCH_PARTITIONS).await;
    let want = fetch_records();
    let producer = producer(run, &[]);
    for acknowledged in send(&producer, &topic, &want).await {
        acknowledged.expect("acknowledged");
    }
    let consumer = reader(run, &topic, FETCH_PARTITIONS, Offset::Beginning, &[]);
    assert_records("from the beginning", read_to_ends(&consumer, FETCH_PARTITIONS), &sorted(want.clone()));
    assert!(consumer.poll(POLL * 3).is_none(), "a poll at the end");

    let middle = partitions(&topic, FETCH_PARTITIONS, Offset::Offset(FETCH_MIDDLE));
    for partition in consumer.seek_partitions(middle, LIMIT).expect("answered").elements() {
        partition.error().expect("it seeks");
    }
    let rest = sorted(from_middle(&want));
    assert_records("from the middle", read_to_ends(&consumer, FETCH_PARTITIONS), &rest);

    // Record 150 lies in partition 0, and the next ones in the two others.
    let times = partitions(&topic, FETCH_PARTITIONS, Offset::Offset(want[150].timestamp_ms));
    for found in consumer.offsets_for_times(times, LIMIT).expect("answered").elements() {
        assert_eq!(found.offset(), Offset::Offset(50), "by timestamp in partition {}", found.partition());
    }
    for (partition, end) in [(0, 101), (1, 100), (2, 100)] {
        assert_eq!(consumer.fetch_watermarks(&topic, partition, LIMIT), Ok((0, end)), "partition {partition}");
    }

    let consumer = reader(run, &topic, 1, Offset::End, &[]);
    assert_records("at the end", read_to_ends(&consumer, 1), &[]);
    send_values(&producer, &topic, &["after".to_owned()], 101).await;
    let seen = read_to_ends(&consumer, 1);
    assert_eq!((seen[0].offset, values(&seen)), (101, vec!["after".to_owned()]));
}

async fn group(run: &Run) {
    let (topic, group) = (run.name("group"), run.name("group"));
    create_topic(run, &topic, GROUP_PARTITIONS).await;
    consume_as_group(run, &topic, &group, 2, 0).await;
    assert_committed(run, &topic, &group, 50);
    consume_as_group(run, &topic, &group, 1, 200).await;
    assert_committed(run, &topic, &group, 100);
}

fn assert_committed(run: &Run, topic: &str, group: &str, want: i64) {
    let asked = partitions(topic, GROUP_PARTITIONS, Offset::Invalid);
    let committed = consumer(run, group, &[]).committed_offsets(asked, LIMIT).expect("answered");
    for partition in committed.elements() {
        assert_eq!(partition.offset(), Offset::Offset(want), "committed in partition {}", partition.partition());
    }
}

/// Members share the partitions, see the 200 records that are then produced, commit and leave.
async fn consume_as_group(run: &Run, topic: &str, group: &str, count: usize, from: usize) {
    let mut members = join(run, topic, group, count);
    let record = |n: usize| Record {
        partition: (n % GROUP_PARTITIONS as usize) as i32,
        value: Some(n.to_string().into_bytes()),
        ..plain()
    };
    let records: Vec<Record> = (from..from + 200).map(record).collect();
    for acknowledged in send(&producer(run, &[]), topic, &records).await {
        acknowledged.expect("acknowledged");
    }
    let mut seen = Vec::new();
    until("all was seen", || {
        for member in &members {
            if let Some(message) = member.poll(POLL / 10) {
                let value = record_value(&message.expect("a record"));
                assert!(!seen.contains(&value) && (from..from + 200).contains(&value), "{value} is seen (again)");
                seen.push(value);
            }
        }
        seen.len() == 200
    });
    // All before the first leaves, with which a rebalance begins.
    for member in &members {
        member.commit_consumer_state(CommitMode::Sync).expect("committed");
    }
    while let Some(member) = members.pop() {
        drop(member);
        // To close while a rebalance waits to be polled may hang (librdkafka issue 4884).
        await_shares(&members);
    }
    await_group(run, group, "Empty", 0);
}

fn record_value(message: &impl Message) -> usize {
    let value = message.payload_view::<str>().expect("a value").expect("a text");
    value.parse().expect("a number")
}

/// So many members with the same number of partitions each.
fn join(run: &Run, topic: &str, group: &str, count: usize) -> Vec<BaseConsumer> {
    let settings = [("auto.offset.reset", "earliest"), ("heartbeat.interval.ms", "100")];
    let members: Vec<BaseConsumer> = (0..count).map(|_| consumer(run, group, &settings)).collect();
    for member in &members {
        member.subscribe(&[topic]).expect("subscribed");
    }
    await_shares(&members);
    members
}

/// Polls members, to which nothing new may come, until they share the partitions.
fn await_shares(members: &[BaseConsumer]) {
    until("the members share the partitions", || {
        let polled = members.iter().filter_map(|member| member.poll(POLL / 10)).count();
        assert_eq!(polled, 0, "there is something new");
        let owned = |member: &BaseConsumer| member.assignment().expect("answered").count();
        members.iter().all(|member| owned(member) == GROUP_PARTITIONS as usize / members.len())
    });
}

fn await_group(run: &Run, group: &str, state: &str, members: usize) {
    let consumer = consumer(run, group, &[]);
    until("the group has that state", || {
        std::thread::sleep(Duration::from_millis(20));
        let groups = consumer.fetch_group_list(Some(group), LIMIT).expect("answered");
        groups.groups().iter().any(|g| g.name() == group && g.state() == state && g.members().len() == members)
    });
}

async fn idempotent(run: &Run) {
    let topic = run.name("idempotent");
    create_topic(run, &topic, 1).await;
    let settings = [("enable.idempotence", "true"), ("batch.num.messages", "10"), ("linger.ms", "0")];
    let want = numbers("", 2000);
    send_values(&producer(run, &settings), &topic, &want, 0).await;
    let got = read_to_ends(&reader(run, &topic, 1, Offset::Beginning, &[]), 1);
    assert_eq!(values(&got), want);
}

async fn transaction(run: &Run) {
    let (input, output, group) = (run.name("input"), run.name("output"), run.name("group"));
    create_topic(run, &input, GROUP_PARTITIONS).await;
    create_topic(run, &output, 1).await;
    let id = run.name("id");
    let first = transactional(run, &id);
    let (committed, aborted, copied) = (numbers("committed ", 10), numbers("aborted ", 10), numbers("copied ", 10));

    first.begin_transaction().expect("begun");
    send_values(&first, &output, &committed, 0).await;
    first.commit_transaction(LIMIT).expect("committed");

    first.begin_transaction().expect("begun");
    // An offset goes to the marker of the transaction before.
    send_values(&first, &output, &aborted, 11).await;
    first.abort_transaction(LIMIT).expect("aborted");

    let member = join(run, &input, &group, 1).remove(0);
    send_values(&producer(run, &[]), &input, &copied, 0).await;
    let mut consumed = Vec::new();
    until("the input is consumed", || {
        consumed.extend(member.poll(POLL).map(|message| record(&message.expect("a record"))));
        consumed.len() == copied.len()
    });
    first.begin_transaction().expect("begun");
    send_values(&first, &output, &values(&consumed), 22).await;
    let metadata = member.group_metadata().expect("a member");
    let position = partitions(&input, 1, Offset::Offset(10));
    first.send_offsets_to_transaction(&position, &metadata, LIMIT).expect("offsets are sent");
    first.commit_transaction(LIMIT).expect("committed");
    let offsets = member.committed_offsets(partitions(&input, 1, Offset::Invalid), LIMIT).expect("answered");
    assert_eq!(offsets.elements()[0].offset(), Offset::Offset(10), "committed with the transaction");

    let second = transactional(run, &id);
    second.begin_transaction().expect("begun");
    send_values(&second, &output, &["last".to_owned()], 33).await;
    second.commit_transaction(LIMIT).expect("committed");
    first.begin_transaction().expect("begun");
    // The partition cannot be added to its transaction: the record never leaves.
    let zombie = send(&first, &output, &[plain()]).await;
    assert_eq!(zombie, [Err(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue))]);
    match first.commit_transaction(LIMIT) {
        Err(KafkaError::Transaction(error)) => assert_eq!(error.code(), RDKafkaErrorCode::Fenced, "{error}"),
        other => panic!("a fenced producer commits: {other:?}"),
    }

    let isolated =
        |level| values(&read_to_ends(&reader(run, &output, 1, Offset::Beginning, &[("isolation.level", level)]), 1));
    let last = vec!["last".to_owned()];
    assert_eq!(isolated("read_committed"), [committed.clone(), copied.clone(), last.clone()].concat());
    assert_eq!(isolated("read_uncommitted"), [committed, aborted, copied, last].concat());
}

fn transactional(run: &Run, id: &str) -> FutureProducer {
    let producer = producer(run, &[("transactional.id", id)]);
    producer.init_transactions(LIMIT).expect("initialized");
    producer
}

async fn admin(run: &mut Run) {
    let (topic, group) = (run.name("admin"), run.name("group"));
    let (admin, options) = (admin_client(run), admin_options());
    create_topic(run, &topic, 1).await;
    await_partitions(run, &topic, 1);
    assert!(is_listed(run, &topic));

    // The older request: it replaces a topic's whole configuration.
    let original = topic_config(run, &topic, "retention.ms").await;
    for (key, value, retention) in [("retention.ms", "7200000", "7200000"), ("segment.ms", "3600000", &*original)] {
        let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set(key, value);
        let altered = admin.alter_configs([&change], &options).await.expect("answered");
        altered.into_iter().for_each(|result| assert!(result.is_ok(), "{result:?}"));
        assert_eq!(topic_config(run, &topic, key).await, value);
        assert_eq!(topic_config(run, &topic, "retention.ms").await, retention);
    }

    let created = admin.create_partitions([&NewPartitions::new(&topic, 3)], &options).await.expect("answered");
    assert_eq!(created, [Ok(topic.clone())]);
    await_partitions(run, &topic, 3);

    send_values(&producer(run, &[]), &topic, &numbers("", 10), 0).await;
    let deleted = admin.delete_records(&partitions(&topic, 1, Offset::Offset(4)), &options).await.expect("answered");
    assert_eq!(deleted.elements()[0].offset(), Offset::Offset(4));
    let consumer = consumer(run, &group, &[]);
    assert_eq!(consumer.fetch_watermarks(&topic, 0, LIMIT), Ok((4, 10)));

    let wanted = run.name("wanted");
    create_topic(run, &wanted, GROUP_PARTITIONS).await;
    let members = join(run, &wanted, &group, 1);
    let groups = consumer.fetch_group_list(None, LIMIT).expect("answered");
    assert!(groups.groups().iter().any(|g| g.name() == group), "the group is listed");
    await_group(run, &group, "Stable", 1);
    drop(members);
    await_group(run, &group, "Empty", 0);
    consumer.commit(&partitions(&topic, 1, Offset::Offset(7)), CommitMode::Sync).expect("committed");
    let committed = consumer.committed_offsets(partitions(&topic, 1, Offset::Invalid), LIMIT).expect("answered");
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(7));
    let deleted = admin.delete_groups(&[&group], &options).await.expect("answered");
    assert_eq!(deleted, [Ok(group.clone())]);
    assert_eq!(consumer.fetch_group_list(Some(&group), LIMIT).expect("answered").groups().len(), 0);

    let metadata = consumer.fetch_metadata(None, LIMIT).expect("answered");
    let [broker] = metadata.brokers() else { panic!("{} brokers", metadata.brokers().len()) };
    assert!(run.bootstrap.ends_with(&format!(":{}", broker.port())), "port {}", broker.port());

    let deleted = admin.delete_topics(&[&topic], &options).await.expect("answered");
    assert_eq!(deleted, [Ok(topic.clone())]);
    until("the topic is gone", || !is_listed(run, &topic));
}

fn is_listed(run: &Run, topic: &str) -> bool {
    let metadata = consumer(run, &run.name("metadata"), &[]).fetch_metadata(None, LIMIT).expect("answered");
    metadata.topics().iter().any(|t| t.name() == topic)
}

async fn errors(run: &Run) {
    let topic = run.name("errors");
    let spec = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "10000");
    assert_eq!(try_create(run, spec).await, Ok(topic.clone()));
    for (name, replicas, want) in [
        (topic.clone(), 1, RDKafkaErrorCode::TopicAlreadyExists),
        (run.name("three"), 3, RDKafkaErrorCode::InvalidReplicationFactor),
        (run.name("bad name!"), 1, RDKafkaErrorCode::InvalidTopic),
    ] {
        let created = try_create(run, NewTopic::new(&name, 1, TopicReplication::Fixed(replicas))).await;
        assert_eq!(created, Err((name, want)));
    }

    let large = Record { value: Some(vec![0; 20_000]), ..plain() };
    let refused = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    assert_eq!(send(&producer(run, &[]), &topic, &[large]).await, [Err(refused)]);

    let beyond = reader(run, &topic, 1, Offset::Offset(1000), &[("auto.offset.reset", "error")]);
    until("there is an error", || match beyond.poll(POLL) {
        Some(Err(error)) => {
            assert_eq!(error, KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset));
            true
        }
        Some(Ok(_)) => panic!("a record out of range"),
        None => false,
    });

    let consumer = consumer(run, &run.name("unknown"), &[]);
    let metadata = consumer.fetch_metadata(Some(&run.name("unknown")), LIMIT).expect("answered");
    let error = metadata.topics()[0].error().map(RDKafkaErrorCode::from);
    assert_eq!(error, Some(RDKafkaErrorCode::UnknownTopicOrPartition));
    // It lists groups before it describes the one: an unknown one is no error but not there.
    let groups = consumer.fetch_group_list(Some(&run.name("unknown")), LIMIT).expect("answered");
    assert_eq!(groups.groups().len(), 0);
}
