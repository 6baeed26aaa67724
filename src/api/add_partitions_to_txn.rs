//! AddPartitionsToTxn (key 24), versions 0–5.
//!
//! Behaviour: all of a transaction's partitions or none: if one cannot be added, the others are OPERATION_NOT_ATTEMPTED.
//! A transaction begins with its first partition.
//! Version notes: v2 PRODUCER_FENCED, before INVALID_PRODUCER_EPOCH; v4, between brokers, many transactions at once, and
//! asking without adding (TRANSACTION_ABORTABLE for what is not there).

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::errors::{self, Error, NONE};
use super::{Api, BadRequest, Reply, Request, kept};
use crate::coordinator::TransactionError;
use crate::coordinator::transaction::state::{Producer, TopicPartition};
use crate::record::TransactionVersion;
use crate::topic::is_internal;

pub const API: Api =
    Api { key: 24, name: "AddPartitionsToTxn", versions: (0, 5), advertised_from: 0, flexible_from: 3, handle };

/// First version that brokers speak among each other.
const BATCHED: i16 = 4;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: AddPartitionsToTxnRequest = request.decode(body)?;
    let mut response = AddPartitionsToTxnResponse::default();
    if request.version < BATCHED {
        let id = kept(&asked.v3_and_below_transactional_id)?;
        let producer = Producer { id: asked.v3_and_below_producer_id.0, epoch: asked.v3_and_below_producer_epoch };
        response.results_by_topic_v3_and_below = add(request, &id, producer, false, asked.v3_and_below_topics);
    } else {
        for transaction in asked.transactions {
            let id = kept(&transaction.transactional_id)?;
            let producer = Producer { id: transaction.producer_id.0, epoch: transaction.producer_epoch };
            let topics = add(request, &id, producer, transaction.verify_only, transaction.topics);
            let mut result = AddPartitionsToTxnResult::default();
            result.transactional_id = transaction.transactional_id;
            result.topic_results = topics;
            response.results_by_transaction.push(result);
        }
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}

/// One result for each partition.
fn add(
    request: &Request,
    id: &str,
    producer: Producer,
    verify_only: bool,
    topics: Vec<AddPartitionsToTxnTopic>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let manager = &request.broker().topics;
    let from_client = request.version < BATCHED;
    let refusal = |topic: &str, partition: i32| {
        if from_client && is_internal(topic) {
            return Some(Error::TopicAuthorizationFailed);
        }
        let known = manager.topic(topic).is_some_and(|t| t.partition(partition).is_some());
        (!known).then_some(Error::UnknownTopicOrPartition)
    };
    let named = || topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (&*t.name.0, *p)));
    if named().any(|(topic, partition)| refusal(topic, partition).is_some()) {
        return results(&topics, |topic, partition| {
            refusal(topic, partition).unwrap_or(Error::OperationNotAttempted).code()
        });
    }
    let partitions: BTreeSet<TopicPartition> =
        named().map(|(topic, partition)| (topic.to_owned(), partition)).collect();
    let transactions = &request.broker().transactions;
    let code_of = |error: TransactionError| errors::of_transaction_for(error, request.version >= 2).code();
    if verify_only {
        return match transactions.verify(id, producer, &partitions) {
            Err(error) => results(&topics, |_, _| code_of(error)),
            Ok(members) => results(&topics, |topic, partition| {
                let is_member = members.contains(&(topic.to_owned(), partition));
                if is_member { NONE } else { code_of(TransactionError::TransactionAbortable) }
            }),
        };
    }
    let version = if from_client { TransactionVersion::V1 } else { TransactionVersion::V2 };
    let code = transactions.add(id, producer, &partitions, version).map_or_else(code_of, |()| NONE);
    results(&topics, |_, _| code)
}

fn results(topics: &[AddPartitionsToTxnTopic], code: impl Fn(&str, i32) -> i16) -> Vec<AddPartitionsToTxnTopicResult> {
    let each = topics.iter().map(|topic| {
        let rows = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code(&topic.name, *partition))
        });
        AddPartitionsToTxnTopicResult::default().with_name(topic.name.clone()).with_results_by_partition(rows.collect())
    });
    each.collect()
}
