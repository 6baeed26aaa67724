//! What there is to be seen of transactions: by readers of committed data, in the log, by administrators.

use std::collections::{HashMap, HashSet};

use compat_tests::batch::{CONTROL, ReadBatch, Record, TRANSACTIONAL, read_batches};
use compat_tests::broker::{Broker, Options, is_stand_in};
use compat_tests::calls::{FETCH_VERSION, LATEST, fetch_request, text, topic_name};
use compat_tests::groups::is_not_yet;
use compat_tests::wire::Client;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::*;

use crate::producer::until_free;

/// The isolation level of readers that see committed data only.
const READ_COMMITTED: i8 = 1;

/// Batches shown of a producer that complaints are about.
const HISTORY_MAX: usize = 8;

/// A broker that looks for transactions whose time is over ten times a second.
pub fn quick_options() -> Options {
    Options::new().set("transaction.abort.timed.out.transaction.cleanup.interval.ms", 100)
}

/// The external broker where there is one, else a quick one of its own.
pub fn any_quick_broker() -> Broker {
    if is_stand_in() { Broker::any() } else { quick_options().start() }
}

/// Sends a Fetch for committed data; `receive_committed` takes the answer.
pub fn send_fetch(client: &mut Client, topic: &str, partition: i32, offset: i64, wait_ms: i32) -> std::io::Result<i32> {
    let request = fetch_request(topic, partition, offset, wait_ms).with_isolation_level(READ_COMMITTED);
    client.send(FETCH_VERSION, &request)
}

pub fn receive_fetch(client: &mut Client, correlation_id: i32) -> std::io::Result<PartitionData> {
    let mut answer = client.receive::<FetchRequest>(FETCH_VERSION, correlation_id)?;
    assert_eq!(answer.error_code, 0, "Fetch");
    Ok(answer.responses.remove(0).partitions.remove(0))
}

#[track_caller]
pub fn fetch_committed(client: &mut Client, topic: &str, partition: i32, offset: i64) -> PartitionData {
    try_fetch_committed(client, topic, partition, offset).expect("Fetch is answered")
}

pub fn try_fetch_committed(
    client: &mut Client,
    topic: &str,
    partition: i32,
    offset: i64,
) -> std::io::Result<PartitionData> {
    let id = send_fetch(client, topic, partition, offset, 0)?;
    receive_fetch(client, id)
}

/// What a reader is given by one Fetch, with aborted transactions left out as every client does it.
pub fn committed_records(data: &PartitionData, offset: i64) -> Vec<Record> {
    let mut aborted = data.aborted_transactions.clone().expect("a list for readers of committed data");
    aborted.sort_by_key(|transaction| transaction.first_offset);
    let mut aborted = aborted.into_iter().peekable();
    let mut producers = HashSet::new();
    let mut records = Vec::new();
    for batch in read_batches(data.records.clone().unwrap_or_default()).expect("whole batches") {
        while let Some(transaction) = aborted.next_if(|transaction| transaction.first_offset <= batch.last_offset) {
            producers.insert(transaction.producer_id.0);
        }
        match marker(&batch) {
            Some(false) => {
                producers.remove(&batch.producer_id);
            }
            Some(true) => {}
            None if is_transactional(&batch) && producers.contains(&batch.producer_id) => {}
            None => records.extend(batch.records.into_iter().filter(|record| record.offset >= offset)),
        }
    }
    records
}

/// One past the last whole batch of an answer, if there is one.
pub fn end_of(data: &PartitionData) -> Option<i64> {
    let batches = read_batches(data.records.clone().unwrap_or_default()).expect("whole batches");
    batches.last().map(|batch| batch.last_offset + 1)
}

/// Committed values from `offset` to the last stable offset.
#[track_caller]
pub fn committed_values_from(client: &mut Client, topic: &str, partition: i32, offset: i64) -> Vec<String> {
    let (mut next, mut values) = (offset, Vec::new());
    loop {
        let data = fetch_committed(client, topic, partition, next);
        assert_eq!(data.error_code, 0, "Fetch of {topic}-{partition} at {next}");
        values.extend(committed_records(&data, next).iter().map(value_of));
        match end_of(&data) {
            Some(end) => next = end,
            None => {
                assert_eq!(next, data.last_stable_offset, "{topic}-{partition} is read to its last stable offset");
                return values;
            }
        }
    }
}

#[track_caller]
pub fn committed_values(client: &mut Client, topic: &str, partition: i32) -> Vec<String> {
    committed_values_from(client, topic, partition, 0)
}

pub fn value_of(record: &Record) -> String {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
}

/// As Fetch and ListOffsets both tell it.
#[track_caller]
pub fn last_stable_offset(client: &mut Client, topic: &str, partition: i32) -> i64 {
    let row = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(LATEST);
    let asked = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![row]);
    // As a consumer: replicas read to the end.
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(READ_COMMITTED)
        .with_topics(vec![asked]);
    loop {
        let before = client.call(7, &request).expect("ListOffsets is answered").topics[0].partitions[0].clone();
        assert_eq!(before.error_code, 0, "ListOffsets of {topic}-{partition}");
        let fetched = fetch_committed(client, topic, partition, before.offset).last_stable_offset;
        let after = client.call(7, &request).expect("ListOffsets is answered").topics[0].partitions[0].offset;
        if before.offset == after {
            assert_eq!(fetched, after, "Fetch and ListOffsets agree about {topic}-{partition}");
            return fetched;
        }
    }
}

/// Every batch in a partition's log, control batches with it.
#[track_caller]
pub fn read_log(client: &mut Client, topic: &str, partition: i32) -> Vec<ReadBatch> {
    let (mut next, mut batches) = (0, Vec::new());
    loop {
        let data = client.fetch(topic, partition, next).expect("Fetch is answered");
        assert_eq!(data.error_code, 0, "Fetch of {topic}-{partition} at {next}");
        let read = read_batches(data.records.unwrap_or_default()).expect("whole batches with right checksums");
        if read.is_empty() {
            assert_eq!(next, data.high_watermark, "{topic}-{partition} is read to its end");
            return batches;
        }
        for batch in &read {
            assert_eq!(batch.base_offset, next, "{topic}-{partition} has no gap");
            next = batch.last_offset + 1;
        }
        batches.extend(read);
    }
}

pub fn is_transactional(batch: &ReadBatch) -> bool {
    batch.attributes & TRANSACTIONAL != 0
}

/// Whether a control batch commits; `None` for data.
pub fn marker(batch: &ReadBatch) -> Option<bool> {
    if batch.attributes & CONTROL == 0 {
        return None;
    }
    assert!(is_transactional(batch), "a marker is of a transaction: {batch:?}");
    assert_eq!(batch.records.len(), 1, "a marker is one record: {batch:?}");
    match batch.records[0].key.as_deref() {
        Some([0, 0, 0, 0]) => Some(false),
        Some([0, 0, 0, 1]) => Some(true),
        other => panic!("a marker with key {other:?}"),
    }
}

/// The markers of a partition in their order: producer id, and whether it committed.
#[track_caller]
pub fn markers(client: &mut Client, topic: &str, partition: i32) -> Vec<(i64, bool)> {
    let marker = |batch: &ReadBatch| Some((batch.producer_id, marker(batch)?));
    read_log(client, topic, partition).iter().filter_map(marker).collect()
}

/// The markers of a partition, with the history of each that ends a transaction without data there.
#[derive(Debug, Default)]
pub struct Markers {
    pub count: usize,
    pub alone: Vec<(bool, Vec<String>)>,
}

impl Markers {
    /// As it must be where no partition was added in vain.
    #[track_caller]
    pub fn all_with_data(self, place: &str) -> usize {
        assert!(self.alone.is_empty(), "{place}: markers of producers with nothing open: {:#?}", self.alone);
        self.count
    }

    /// As it must be where partitions were added, and their records refused: what then is aborted has its marker alone.
    #[track_caller]
    pub fn commits_with_data(mut self, place: &str) -> usize {
        self.alone.retain(|(committed, _)| *committed);
        self.all_with_data(place)
    }
}

/// Each transaction with data in the partition has exactly one marker, behind all of its data.
#[track_caller]
pub fn check_markers(batches: &[ReadBatch], place: &str) -> Markers {
    let (mut open, mut markers) = (HashMap::new(), Markers::default());
    for batch in batches {
        match marker(batch) {
            None if is_transactional(batch) => {
                let epoch = *open.entry(batch.producer_id).or_insert(batch.producer_epoch);
                let own = history(batches, batch);
                assert_eq!(epoch, batch.producer_epoch, "{place}: an epoch begins with no marker before: {own:#?}");
            }
            None => {}
            Some(committed) => {
                markers.count += 1;
                match open.remove(&batch.producer_id) {
                    None => markers.alone.push((committed, history(batches, batch))),
                    Some(epoch) => {
                        let own = history(batches, batch);
                        assert!(epoch <= batch.producer_epoch, "{place}: a marker of an earlier epoch: {own:#?}");
                    }
                }
            }
        }
    }
    assert!(open.is_empty(), "{place}: data without a marker, of producers {open:?}");
    markers
}

/// The last batches of a producer up to one of them.
fn history(batches: &[ReadBatch], last: &ReadBatch) -> Vec<String> {
    let own = |batch: &&ReadBatch| batch.producer_id == last.producer_id && batch.base_offset <= last.base_offset;
    let mut own: Vec<_> = batches.iter().filter(own).map(line_of).collect();
    own.split_off(own.len().saturating_sub(HISTORY_MAX))
}

fn line_of(batch: &ReadBatch) -> String {
    let what = match marker(batch) {
        Some(committed) => format!("marker, committed: {committed}"),
        None => batch.records.iter().map(value_of).collect::<Vec<_>>().join(", "),
    };
    let (id, epoch, sequence) = (batch.producer_id, batch.producer_epoch, batch.base_sequence);
    format!("{}: producer {id}, epoch {epoch}, sequence {sequence}, {}: {what}", batch.base_offset, batch.max_timestamp)
}

/// Where each producer's open transaction begins in a partition, by DescribeProducers; -1 without one.
#[track_caller]
pub fn open_transactions(client: &mut Client, topic: &str, partition: i32) -> HashMap<i64, i64> {
    let asked = TopicRequest::default().with_name(topic_name(topic)).with_partition_indexes(vec![partition]);
    let request = DescribeProducersRequest::default().with_topics(vec![asked]);
    let answer = client.call(0, &request).expect("DescribeProducers is answered");
    let row = &answer.topics[0].partitions[0];
    assert_eq!(row.error_code, 0, "DescribeProducers of {topic}-{partition}");
    row.active_producers.iter().map(|producer| (producer.producer_id.0, producer.current_txn_start_offset)).collect()
}

/// Transactional ids and their states.
#[track_caller]
pub fn list_transactions(client: &mut Client) -> HashMap<String, String> {
    let request = ListTransactionsRequest::default();
    let answer = until_free(|| client.call(0, &request), |answer| answer.error_code).expect("answered");
    assert_eq!(answer.error_code, 0, "ListTransactions");
    let row = |row: &list_transactions_response::TransactionState| {
        (row.transactional_id.to_string(), row.transaction_state.to_string())
    };
    answer.transaction_states.iter().map(row).collect()
}

#[track_caller]
pub fn describe_transaction(client: &mut Client, transactional_id: &str) -> TransactionState {
    let request =
        DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(transactional_id))]);
    let error = |answer: &DescribeTransactionsResponse| answer.transaction_states[0].error_code;
    let mut answer = until_free(|| client.call(0, &request), error).expect("DescribeTransactions is answered");
    assert_eq!(error(&answer), 0, "DescribeTransactions of {transactional_id}");
    answer.transaction_states.remove(0)
}

/// Error and offset of a group in one partition, by OffsetFetch version 7.
#[track_caller]
pub fn fetch_offset(client: &mut Client, group: &str, place: (&str, i32), require_stable: bool) -> (i16, i64) {
    let asked = OffsetFetchRequestTopic::default().with_name(topic_name(place.0)).with_partition_indexes(vec![place.1]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(Some(vec![asked]))
        .with_require_stable(require_stable);
    let answer =
        compat_tests::groups::when_loaded(|| client.call(7, &request), |answer| answer.error_code).expect("answered");
    assert!(!is_not_yet(answer.error_code) && answer.error_code == 0, "OffsetFetch of {group}: {}", answer.error_code);
    let row = &answer.topics[0].partitions[0];
    (row.error_code, row.committed_offset)
}

/// What is checked of markers must be seen.
mod the_check_of_markers {
    use compat_tests::batch::Batch;

    use super::*;

    enum Kind {
        Data,
        Marker(bool),
    }

    fn log(batches: &[(i64, Kind)]) -> Vec<ReadBatch> {
        let batch = |(offset, (producer, kind)): (usize, &(i64, Kind))| {
            let mut batch = Batch::of_values(["value"]).from_producer(*producer, 0, 0);
            batch.attributes = TRANSACTIONAL;
            if let Kind::Marker(committed) = kind {
                batch = batch.keyed(vec![0, 0, 0, u8::from(*committed)]);
                batch.attributes |= CONTROL;
            }
            batch.base_offset = offset as i64;
            read_batches(batch.build()).expect("whole").remove(0)
        };
        batches.iter().enumerate().map(batch).collect()
    }

    #[test]
    fn each_transaction_has_one() {
        let right = [(1, Kind::Data), (2, Kind::Data), (1, Kind::Marker(true)), (2, Kind::Marker(false))];
        assert_eq!(check_markers(&log(&right), "right").all_with_data("right"), 2);
        let twice = [(1, Kind::Data), (1, Kind::Marker(false)), (1, Kind::Marker(true))];
        assert_eq!(check_markers(&log(&twice), "twice").alone.len(), 1);
        let missing = [(1, Kind::Data), (2, Kind::Data), (2, Kind::Marker(true))];
        assert!(std::panic::catch_unwind(|| check_markers(&log(&missing), "missing")).is_err());
    }
}
