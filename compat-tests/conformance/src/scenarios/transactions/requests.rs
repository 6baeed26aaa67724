//! A transactional producer, and its requests in a line.

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;

use crate::batch::{Batch, batch, value};
use crate::play::{Done, Play, Topic, text, topic_name};
use crate::scenarios::groups::requests::group_id;
use crate::scenarios::requests::produce_to;

pub const TRANSACTIONAL: i16 = 16;

/// A transactional producer as it believes to be.
#[derive(Clone, Debug)]
pub struct Producer {
    pub transactional_id: String,
    pub id: i64,
    pub epoch: i16,
}

impl Play {
    /// A transactional id of this scenario, whose coordinator is ready.
    pub fn transactional_id(&mut self, id: &str) -> Done<String> {
        let id = self.name(id);
        self.transactional_id_ready(&id)?;
        Ok(id)
    }

    /// Waits until the coordinator of a transactional id answers.
    pub fn transactional_id_ready(&mut self, id: &str) -> Done {
        let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(id)]);
        self.wait("the coordinator of transactions is found", |play| {
            Ok(play.quiet(4, find.clone())?.coordinators.iter().all(|c| c.error_code == 0))
        })?;
        let probe = DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional(id)]);
        self.wait("the coordinator of transactions is ready", |play| {
            let answer = play.quiet(0, probe.clone())?;
            Ok(answer.transaction_states.iter().all(|t| ![14, 15, 16].contains(&t.error_code)))
        })?;
        self.wait("there are producer ids", |play| {
            let request = init("").with_transactional_id(None);
            Ok(play.quiet(4, request)?.error_code == 0)
        })
    }

    /// A producer with a transactional id of its own.
    pub fn producer(&mut self, id: &str) -> Done<Producer> {
        let id = self.transactional_id(id)?;
        self.initialised(&id)
    }

    /// The producer of a transactional id, once no transaction is in its way. Not recorded.
    pub fn initialised(&mut self, id: &str) -> Done<Producer> {
        let mut producer = None;
        self.wait(&format!("{id} has a producer"), |play| {
            let answer = play.quiet(4, init(id))?;
            producer = (answer.error_code == 0).then_some(Producer {
                transactional_id: id.to_owned(),
                id: answer.producer_id.0,
                epoch: answer.producer_epoch,
            });
            Ok(producer.is_some())
        })?;
        Ok(producer.expect("waited for"))
    }

    /// Waits until nothing is decided and not ended yet: Kafka answers EndTxn before the markers are written.
    pub fn ended_all(&mut self, id: &str) -> Done {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional(id)]);
        self.wait(&format!("{id} has ended"), |play| {
            let answer = play.quiet(0, request.clone())?;
            Ok(answer.transaction_states.iter().all(|t| !t.transaction_state.starts_with("Prepare")))
        })
    }

    /// Ends a transaction of the first protocol and waits for its markers. Not recorded.
    pub fn end(&mut self, producer: &Producer, commit: bool) -> Done {
        self.quiet(4, producer.end(commit))?;
        self.ended_all(&producer.transactional_id)
    }

    /// Appends a batch in a transaction by the second protocol. Not recorded.
    pub fn append_in(&mut self, producer: &Producer, topic: &Topic, partition: i32, sequence: i32, text: &str) -> Done {
        let t = self.t();
        let mut answer = None;
        self.wait("a batch is appended in its transaction", |play| {
            let records = producer.records(t, sequence, text).bytes();
            let request = producer.produce_to(12, topic, vec![(partition, records)]);
            answer = Some(play.quiet(12, request)?.responses[0].partition_responses[0].error_code);
            Ok(answer == Some(0))
        })
    }
}

pub fn transactional(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

pub fn init(id: &str) -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional(id)))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

impl Producer {
    pub fn with_epoch(&self, epoch: i16) -> Producer {
        Producer { epoch, ..self.clone() }
    }

    pub fn with_id(&self, id: i64) -> Producer {
        Producer { id, ..self.clone() }
    }

    pub fn named(&self, transactional_id: &str) -> Producer {
        Producer { transactional_id: transactional_id.to_owned(), ..self.clone() }
    }

    /// InitProducerId that says who it was (KIP-360).
    pub fn init_again(&self) -> InitProducerIdRequest {
        init(&self.transactional_id).with_producer_id(ProducerId(self.id)).with_producer_epoch(self.epoch)
    }

    pub fn add(&self, version: i16, topics: &[(&str, &[i32])]) -> AddPartitionsToTxnRequest {
        let topics = topics
            .iter()
            .map(|(name, partitions)| {
                AddPartitionsToTxnTopic::default().with_name(topic_name(name)).with_partitions(partitions.to_vec())
            })
            .collect();
        if version < 4 {
            return AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(transactional(&self.transactional_id))
                .with_v3_and_below_producer_id(ProducerId(self.id))
                .with_v3_and_below_producer_epoch(self.epoch)
                .with_v3_and_below_topics(topics);
        }
        AddPartitionsToTxnRequest::default().with_transactions(vec![
            AddPartitionsToTxnTransaction::default()
                .with_transactional_id(transactional(&self.transactional_id))
                .with_producer_id(ProducerId(self.id))
                .with_producer_epoch(self.epoch)
                .with_topics(topics),
        ])
    }

    /// Asks whether partitions are in the transaction.
    pub fn verify(&self, version: i16, topics: &[(&str, &[i32])]) -> AddPartitionsToTxnRequest {
        let mut request = self.add(version, topics);
        request.transactions.iter_mut().for_each(|t| t.verify_only = true);
        request
    }

    pub fn add_offsets(&self, group: &str) -> AddOffsetsToTxnRequest {
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(transactional(&self.transactional_id))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_group_id(group_id(group))
    }

    pub fn end(&self, commit: bool) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(transactional(&self.transactional_id))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_committed(commit)
    }

    pub fn records(&self, base_timestamp: i64, sequence: i32, text: &str) -> Batch {
        batch(base_timestamp, vec![value(text)])
            .producer(self.id, self.epoch, sequence)
            .with(|b| b.attributes |= TRANSACTIONAL)
    }

    pub fn produce_to(&self, version: i16, topic: &Topic, partitions: Vec<(i32, bytes::Bytes)>) -> ProduceRequest {
        produce_to(version, topic, partitions).with_transactional_id(Some(transactional(&self.transactional_id)))
    }

    /// Produce of one record to partition 0.
    pub fn produce(&self, play: &Play, version: i16, topic: &Topic, sequence: i32) -> ProduceRequest {
        let records = self.records(play.t(), sequence, &format!("{sequence} of epoch {}", self.epoch)).bytes();
        self.produce_to(version, topic, vec![(0, records)])
    }

    pub fn commit_offsets(&self, group: &str, topic: &str, partitions: &[(i32, i64)]) -> TxnOffsetCommitRequest {
        let partitions = partitions
            .iter()
            .map(|(partition, offset)| {
                TxnOffsetCommitRequestPartition::default()
                    .with_partition_index(*partition)
                    .with_committed_offset(*offset)
                    .with_committed_leader_epoch(-1)
                    .with_committed_metadata(Some(text("")))
            })
            .collect();
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(partitions);
        TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional(&self.transactional_id))
            .with_group_id(group_id(group))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic])
    }

    pub fn describe(&self) -> DescribeTransactionsRequest {
        DescribeTransactionsRequest::default().with_transactional_ids(vec![transactional(&self.transactional_id)])
    }
}
