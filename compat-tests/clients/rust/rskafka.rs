//! rskafka: it has no groups, transactions, idempotent producers and configurations. See `../../../README.md`.

#[allow(dead_code)] // Not all of it is needed here.
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    FETCH_MIDDLE, FETCH_PARTITIONS, Record, Run, assert_records, fetch_records, from_middle, produce_records, sorted,
};
use futures::StreamExt;
use rskafka::chrono::DateTime;
use rskafka::client::consumer::{StartOffset, StreamConsumerBuilder};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::RecordAndOffset;

const TIMEOUT_MS: i32 = 30_000;
const FETCH_WAIT_MS: i32 = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut run = Run::from_arguments();
    let client = ClientBuilder::new(vec![run.bootstrap.clone()]).build().await.expect("the broker answers");
    let scenario = async {
        match run.scenario.as_str() {
            "create" => create(&mut run, &client).await,
            "produce" => produce(&run, &client).await,
            "fetch" => fetch(&run, &client).await,
            "group" => run.lacks("no consumer groups"),
            "idempotent" => run.lacks("no idempotent producer"),
            "transaction" => run.lacks("no transactions"),
            "admin" => admin(&run, &client).await,
            "errors" => errors(&mut run, &client).await,
            other => panic!("no scenario is called {other}"),
        }
    };
    // This client repeats what fails without an end of its own.
    tokio::time::timeout(Duration::from_secs(50), scenario).await.expect("the scenario ends in time");
    run.finish();
}

async fn create_topic(client: &Client, topic: &str, partitions: i32) {
    let controller = client.controller_client().expect("there is one");
    controller.create_topic(topic, partitions, 1, TIMEOUT_MS).await.expect("the topic is created");
}

async fn partition(client: &Client, topic: &str, number: i32) -> Arc<PartitionClient> {
    let partition = client.partition_client(topic, number, UnknownTopicHandling::Retry).await;
    Arc::new(partition.expect("the partition has a leader"))
}

/// Every topic and its partitions.
async fn partitions(client: &Client, topic: &str) -> Option<Vec<i32>> {
    let topics = client.list_topics().await.expect("topics are listed");
    topics.into_iter().find(|t| t.name == topic).map(|t| t.partitions.into_iter().collect())
}

fn to_rskafka(record: &Record) -> rskafka::record::Record {
    rskafka::record::Record {
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.iter().cloned().collect(),
        timestamp: DateTime::from_timestamp_millis(record.timestamp_ms).expect("a time of today"),
    }
}

fn from_rskafka(partition: i32, RecordAndOffset { record, offset }: RecordAndOffset) -> Record {
    Record {
        partition,
        offset,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().collect(),
        timestamp_ms: record.timestamp.timestamp_millis(),
    }
}

/// From an offset to the end of the partition.
async fn read(partition: &PartitionClient, from: i64) -> Vec<Record> {
    let mut records = Vec::new();
    let mut next = from;
    loop {
        let (some, end) =
            partition.fetch_records(next, 1..1_000_000, FETCH_WAIT_MS).await.expect("records are fetched");
        // A broker returns whole batches.
        records.extend(some.into_iter().filter(|r| r.offset >= next).map(|r| from_rskafka(partition.partition(), r)));
        next = records.last().map_or(next, |record| record.offset + 1);
        if next == end {
            return records;
        }
    }
}

async fn create(run: &mut Run, client: &Client) {
    let topic = run.name("create");
    create_topic(client, &topic, 3).await;
    for number in 0..3 {
        partition(client, &topic, number).await;
    }
    assert_eq!(partitions(client, &topic).await, Some(vec![0, 1, 2]));
    run.lacks("no configurations of topics");
}

async fn produce(run: &Run, client: &Client) {
    let codecs = [
        ("none", Compression::NoCompression),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ];
    for (name, codec) in codecs {
        let topic = run.name(name);
        create_topic(client, &topic, 1).await;
        let partition = partition(client, &topic, 0).await;
        let want = produce_records();
        let offsets =
            partition.produce(want.iter().map(to_rskafka).collect(), codec).await.expect("records are produced");
        assert_eq!(offsets, (0..100).collect::<Vec<i64>>(), "{name}: acknowledged offsets");
        assert_records(name, read(&partition, 0).await, &want);
    }
}

async fn fetch(run: &Run, client: &Client) {
    let topic = run.name("fetch");
    create_topic(client, &topic, FETCH_PARTITIONS).await;
    let want = sorted(fetch_records());
    // Record 150 lies in partition 0, and the next ones in the two others.
    let middle = DateTime::from_timestamp_millis(fetch_records()[150].timestamp_ms).expect("a time of today");
    let mut all = Vec::new();
    let mut rest = Vec::new();
    for number in 0..FETCH_PARTITIONS {
        let partition = partition(client, &topic, number).await;
        let own: Vec<&Record> = want.iter().filter(|record| record.partition == number).collect();
        // The large one does not fit a batch with others.
        let (small, large) = own.split_at(100);
        for part in [small, large] {
            let records = part.iter().map(|record| to_rskafka(record)).collect();
            partition.produce(records, Compression::NoCompression).await.expect("records are produced");
        }
        let stream = StreamConsumerBuilder::new(Arc::clone(&partition), StartOffset::Earliest).build();
        let read_all: Vec<_> = stream.take(own.len()).collect().await;
        all.extend(read_all.into_iter().map(|read| from_rskafka(number, read.expect("records are fetched").0)));
        rest.extend(read(&partition, FETCH_MIDDLE).await);

        let end = own.len() as i64;
        assert_eq!(partition.get_offset(OffsetAt::Earliest).await.expect("answered"), 0);
        assert_eq!(partition.get_offset(OffsetAt::Latest).await.expect("answered"), end);
        assert_eq!(partition.get_offset(OffsetAt::Timestamp(middle)).await.expect("answered"), 50);
        let (nothing, _) =
            partition.fetch_records(end, 1..1_000_000, FETCH_WAIT_MS).await.expect("an answer at the end");
        assert_eq!(nothing, [], "a fetch at the end");
    }
    assert_records("from the beginning", all, &want);
    assert_records("from the middle", rest, &from_middle(&want));

    let partition = partition(client, &topic, 0).await;
    let stream =
        StreamConsumerBuilder::new(Arc::clone(&partition), StartOffset::Latest).with_max_wait_ms(FETCH_WAIT_MS).build();
    futures::pin_mut!(stream);
    // When it asks for the end is not visible: produce until something is seen.
    let mut after = Record { offset: 100, value: Some(b"after".to_vec()), ..produce_records()[0].clone() };
    loop {
        match tokio::time::timeout(Duration::from_millis(500), stream.next()).await {
            Ok(seen) => {
                let (seen, _) = seen.expect("the stream goes on").expect("records are fetched");
                assert!((101..=after.offset).contains(&seen.offset), "offset {}", seen.offset);
                assert_eq!(seen.record.value, after.value);
                return;
            }
            Err(_) => {
                after.offset += 1;
                partition.produce(vec![to_rskafka(&after)], Compression::NoCompression).await.expect("it is produced");
            }
        }
    }
}

async fn admin(run: &Run, client: &Client) {
    let topic = run.name("admin");
    create_topic(client, &topic, 1).await;
    let partition = partition(client, &topic, 0).await;
    assert_eq!(partitions(client, &topic).await, Some(vec![0]));
    let records = produce_records();
    let produced = partition.produce(records.iter().map(to_rskafka).collect(), Compression::NoCompression).await;
    produced.expect("records are produced");
    partition.delete_records(40, TIMEOUT_MS).await.expect("records are deleted");
    assert_eq!(partition.get_offset(OffsetAt::Earliest).await.expect("answered"), 40);
    assert_eq!(partition.get_offset(OffsetAt::Latest).await.expect("answered"), 100);
    assert_records("what is left", read(&partition, 40).await, &records[40..]);
    let controller = client.controller_client().expect("there is one");
    controller.delete_topic(&topic, TIMEOUT_MS).await.expect("the topic is deleted");
    while partitions(client, &topic).await.is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn errors(run: &mut Run, client: &Client) {
    let topic = run.name("errors");
    create_topic(client, &topic, 1).await;
    let controller = client.controller_client().expect("there is one");
    for (name, replicas, want) in [
        (topic.clone(), 1, ProtocolError::TopicAlreadyExists),
        (run.name("three"), 3, ProtocolError::InvalidReplicationFactor),
        (run.name("bad name!"), 1, ProtocolError::InvalidTopicException),
    ] {
        assert_code(controller.create_topic(name, 1, replicas, TIMEOUT_MS).await, want);
    }
    let partition = partition(client, &topic, 0).await;
    // The topic has the default limit, since this client cannot set another one.
    let large = Record { value: Some(vec![0; 1_100_000]), ..produce_records()[0].clone() };
    let produced = partition.produce(vec![to_rskafka(&large)], Compression::NoCompression).await;
    assert_code(produced, ProtocolError::MessageTooLarge);
    assert_code(partition.fetch_records(1000, 1..1000, FETCH_WAIT_MS).await, ProtocolError::OffsetOutOfRange);
    // This client cannot ask for a topic without having it created where the broker does so: ask for one that has gone.
    let gone = client.partition_client(&topic, 0, UnknownTopicHandling::Error).await.expect("the topic is there");
    controller.delete_topic(&topic, TIMEOUT_MS).await.expect("the topic is deleted");
    while partitions(client, &topic).await.is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_code(gone.get_offset(OffsetAt::Latest).await, ProtocolError::UnknownTopicOrPartition);
    run.lacks("no consumer groups");
}

#[track_caller]
fn assert_code<T>(result: Result<T, Error>, want: ProtocolError) {
    match result {
        Err(Error::ServerError { protocol_error, .. }) => assert_eq!(protocol_error, want),
        Err(other) => panic!("{other} instead of {want}"),
        Ok(_) => panic!("it works instead of {want}"),
    }
}
