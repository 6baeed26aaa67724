//! A transactional producer by raw frames: it says what it believes to be, right or wrong, and every request can be sent
//! at any version.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compat_tests::batch::{Batch, TRANSACTIONAL};
use compat_tests::broker::is_stand_in;
use compat_tests::calls::{produce_request, text, topic_name};
use compat_tests::groups::{Member, is_not_yet};
use compat_tests::wait_until;
use compat_tests::wire::Client;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;

use crate::readers::describe_transaction;

/// Error codes of transactions.
pub mod code {
    pub const NONE: i16 = 0;
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    pub const NOT_LEADER_OR_FOLLOWER: i16 = 6;
    pub const NOT_ENOUGH_REPLICAS: i16 = 19;
    pub const INVALID_PRODUCER_EPOCH: i16 = 47;
    pub const INVALID_TXN_STATE: i16 = 48;
    pub const CONCURRENT_TRANSACTIONS: i16 = 51;
    pub const UNSTABLE_OFFSET_COMMIT: i16 = 88;
    pub const PRODUCER_FENCED: i16 = 90;
}

pub const INIT_VERSION: i16 = 4;
pub const ADD_PARTITIONS_VERSION: i16 = 3;
pub const ADD_OFFSETS_VERSION: i16 = 3;

/// How long a coordinator may be busy with what came before.
const BUSY_LIMIT: Duration = Duration::from_secs(20);
const RETRY_EVERY: Duration = Duration::from_millis(5);

/// Which of Kafka's two protocols of transactions a producer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// KIP-98: partitions are added before anything is sent to them.
    First,
    /// KIP-890: Produce adds them, and every end raises the epoch.
    Second,
}

impl Protocol {
    pub const BOTH: [Protocol; 2] = [Protocol::First, Protocol::Second];

    pub fn produce_version(self) -> i16 {
        if self == Protocol::First { 11 } else { 12 }
    }

    pub fn commit_offset_version(self) -> i16 {
        if self == Protocol::First { 3 } else { 5 }
    }

    pub fn end_version(self) -> i16 {
        if self == Protocol::First { 4 } else { 5 }
    }
}

#[derive(Clone, Debug)]
pub struct Producer {
    /// The transactional id.
    pub name: String,
    pub id: i64,
    pub epoch: i16,
    pub timeout: Duration,
    pub protocol: Protocol,
    next_sequences: HashMap<(String, i32), i32>,
}

impl Producer {
    /// Without a producer id yet.
    pub fn new(name: &str, protocol: Protocol) -> Producer {
        let timeout = Duration::from_secs(60);
        Producer { name: name.to_owned(), id: -1, epoch: -1, timeout, protocol, next_sequences: HashMap::new() }
    }

    pub fn timing_out_after(mut self, timeout: Duration) -> Producer {
        self.timeout = timeout;
        self
    }

    /// With a producer id, in its next epoch: whoever had the name before is fenced.
    #[track_caller]
    pub fn started(mut self, client: &mut Client) -> Producer {
        find_coordinator(client, &self.name);
        (self.id, self.epoch) = (-1, -1);
        let answer = until_free(|| self.init(client, INIT_VERSION), |answer| answer.error_code).expect("answered");
        assert_eq!(answer.error_code, code::NONE, "InitProducerId of {}", self.name);
        self.become_producer(answer.producer_id.0, answer.producer_epoch);
        self
    }

    fn become_producer(&mut self, id: i64, epoch: i16) {
        if (self.id, self.epoch) != (id, epoch) {
            (self.id, self.epoch) = (id, epoch);
            self.next_sequences.clear();
        }
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(text(&self.name))
    }

    /// Names its own id and epoch, unless it has none.
    pub fn init_request(&self) -> InitProducerIdRequest {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(self.timeout.as_millis() as i32)
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
    }

    pub fn init(&self, client: &mut Client, version: i16) -> io::Result<InitProducerIdResponse> {
        client.call(version, &self.init_request())
    }

    pub fn add_request(&self, topic: &str, partitions: &[i32]) -> AddPartitionsToTxnRequest {
        let topic =
            AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(partitions.to_vec());
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(self.id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic])
    }

    /// The first partition's error that is one.
    pub fn add(&self, client: &mut Client, version: i16, topic: &str, partitions: &[i32]) -> io::Result<i16> {
        Ok(error_of_add(&client.call(version, &self.add_request(topic, partitions))?))
    }

    /// One record for each value, with the next sequence numbers of the partition.
    pub fn produce_request<V: Into<Bytes>>(
        &self,
        topic: &str,
        partition: i32,
        values: impl IntoIterator<Item = V>,
    ) -> ProduceRequest {
        let sequence = self.next_sequences.get(&(topic.to_owned(), partition)).copied().unwrap_or(0);
        let mut batch = Batch::of_values(values).from_producer(self.id, self.epoch, sequence);
        batch.attributes |= TRANSACTIONAL;
        produce_request(topic, partition, batch.build()).with_transactional_id(Some(self.transactional_id()))
    }

    /// One record was taken: the next one has the next sequence number.
    pub fn advance(&mut self, topic: &str, partition: i32, records: usize) {
        *self.next_sequences.entry((topic.to_owned(), partition)).or_default() += records as i32;
    }

    pub fn produce(
        &mut self,
        client: &mut Client,
        version: i16,
        topic: &str,
        partition: i32,
        value: &str,
    ) -> io::Result<PartitionProduceResponse> {
        let request = self.produce_request(topic, partition, [value.to_owned()]);
        let answer = row_of_produce(client.call(version, &request)?);
        if answer.error_code == code::NONE {
            self.advance(topic, partition, 1);
        }
        Ok(answer)
    }

    /// Adds the partition where the protocol asks for that, and produces one record to it; its offset.
    #[track_caller]
    pub fn must_produce(&mut self, client: &mut Client, topic: &str, partition: i32, value: &str) -> i64 {
        if self.protocol == Protocol::First {
            self.must_add(client, topic, &[partition]);
        }
        let version = self.protocol.produce_version();
        let answer = until_free(|| self.produce(client, version, topic, partition, value), |answer| answer.error_code)
            .expect("answered");
        assert_eq!(answer.error_code, code::NONE, "{self:?} produces to {topic}-{partition}");
        answer.base_offset
    }

    #[track_caller]
    pub fn must_add(&self, client: &mut Client, topic: &str, partitions: &[i32]) {
        let added = until_free(|| self.add(client, ADD_PARTITIONS_VERSION, topic, partitions), |error| *error);
        assert_eq!(added.expect("answered"), code::NONE, "{self:?} adds {topic} {partitions:?}");
    }

    pub fn add_offsets(&self, client: &mut Client, version: i16, group: &str) -> io::Result<i16> {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_group_id(GroupId(text(group)));
        Ok(client.call(version, &request)?.error_code)
    }

    /// By nobody who is a member of the group.
    pub fn commit_offset_request(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> TxnOffsetCommitRequest {
        let nobody = Member::new(group, &[]);
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let topic =
            TxnOffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_group_id(GroupId(text(group)))
            .with_generation_id(nobody.generation)
            .with_member_id(text(&nobody.id))
            .with_topics(vec![topic])
    }

    pub fn commit_offset(
        &self,
        client: &mut Client,
        version: i16,
        group: &str,
        (topic, partition): (&str, i32),
        offset: i64,
    ) -> io::Result<i16> {
        let request = self.commit_offset_request(group, topic, partition, offset);
        Ok(error_of_commit(&client.call(version, &request)?))
    }

    /// Adds the group where the protocol asks for that, and commits an offset of one partition within the transaction.
    #[track_caller]
    pub fn must_commit_offset(&self, client: &mut Client, group: &str, place: (&str, i32), offset: i64) {
        if self.protocol == Protocol::First {
            let added = until_free(|| self.add_offsets(client, ADD_OFFSETS_VERSION, group), |error| *error);
            assert_eq!(added.expect("answered"), code::NONE, "{self:?} adds group {group}");
        }
        let version = self.protocol.commit_offset_version();
        let error = until_free(|| self.commit_offset(client, version, group, place, offset), |error| *error);
        assert_eq!(error.expect("answered"), code::NONE, "{self:?} commits {offset} of {place:?} for {group}");
    }

    pub fn end_request(&self, commit: bool) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_committed(commit)
    }

    pub fn end(&self, client: &mut Client, version: i16, commit: bool) -> io::Result<EndTxnResponse> {
        client.call(version, &self.end_request(commit))
    }

    /// Ends the transaction, and goes on in the epoch that comes after it.
    #[track_caller]
    pub fn must_end(&mut self, client: &mut Client, commit: bool) {
        let version = self.protocol.end_version();
        let answer =
            until_free(|| self.end(client, version, commit), |answer| answer.error_code).expect("EndTxn is answered");
        assert_eq!(answer.error_code, code::NONE, "{self:?} ends, committing: {commit}");
        self.ended(&answer);
        // Apache Kafka answers before the markers are written; Ottla may not.
        if is_stand_in() {
            let mut complete = || describe_transaction(client, &self.name).transaction_state.starts_with("Complete");
            wait_until("the markers are written", BUSY_LIMIT, &mut complete);
        }
    }

    /// Takes over what an answer to EndTxn says of id and epoch.
    pub fn ended(&mut self, answer: &EndTxnResponse) {
        if self.protocol == Protocol::Second {
            self.become_producer(answer.producer_id.0, answer.producer_epoch);
        }
    }
}

/// Waits for the coordinator of a transactional id, which the first call brings into being.
#[track_caller]
pub fn find_coordinator(client: &mut Client, transactional_id: &str) {
    let request =
        FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(transactional_id)]);
    let error = |answer: &FindCoordinatorResponse| answer.coordinators[0].error_code;
    let answer = until_free(|| client.call(4, &request), error).expect("FindCoordinator is answered");
    assert_eq!(error(&answer), code::NONE, "the coordinator of {transactional_id}");
}

/// Repeats a call while the coordinator is not there yet, or not done with what came before.
pub fn until_free<T>(mut call: impl FnMut() -> io::Result<T>, error: impl Fn(&T) -> i16) -> io::Result<T> {
    // The last three are Apache Kafka's, where a topic is new or a partition's verification meets a busy coordinator.
    let busy = [
        code::CONCURRENT_TRANSACTIONS,
        code::NOT_ENOUGH_REPLICAS,
        code::UNKNOWN_TOPIC_OR_PARTITION,
        code::NOT_LEADER_OR_FOLLOWER,
    ];
    let start = Instant::now();
    loop {
        let answer = call()?;
        let error = error(&answer);
        if !(is_not_yet(error) || busy.contains(&error)) || start.elapsed() > BUSY_LIMIT {
            return Ok(answer);
        }
        std::thread::sleep(RETRY_EVERY);
    }
}

pub fn error_of_add(answer: &AddPartitionsToTxnResponse) -> i16 {
    let rows = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
    rows.map(|row| row.partition_error_code).find(|error| *error != code::NONE).unwrap_or(code::NONE)
}

pub fn error_of_commit(answer: &TxnOffsetCommitResponse) -> i16 {
    answer.topics[0].partitions[0].error_code
}

pub fn row_of_produce(mut answer: ProduceResponse) -> PartitionProduceResponse {
    answer.responses.remove(0).partition_responses.remove(0)
}
