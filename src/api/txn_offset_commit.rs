//! TxnOffsetCommit (key 28), versions 0–5.
//!
//! Behaviour: offsets that count once the transaction is committed, and never if it is aborted. The group's partition of
//! `__consumer_offsets` must be in the transaction.
//! Version notes: v3 member, generation and instance id (KIP-447), v4 TRANSACTION_ABORTABLE where earlier ones are told
//! INVALID_TXN_STATE, v5 adds the group's partition by itself (KIP-890).

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::errors::{self, Error, NONE};
use super::{Api, BadRequest, Reply, Request, kept, offset_commit};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::coordinator::transaction::Verification;
use crate::coordinator::transaction::state::Producer;
use crate::coordinator::{Commit, Done, GroupError, OFFSETS_TOPIC, OffsetCommitRequest, TransactionError};

pub const API: Api =
    Api { key: 28, name: "TxnOffsetCommit", versions: (0, 5), advertised_from: 0, flexible_from: 3, handle };

type Committed = Result<Done<Vec<Result<(), GroupError>>>, Error>;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: TxnOffsetCommitRequest = request.decode(body)?;
    let (broker, responder) = (request.broker(), request.responder);
    let mut commits = Vec::new();
    let mut places = Vec::new();
    for topic in &asked.topics {
        let found = broker.topics.topic(&topic.name);
        for partition in &topic.partitions {
            if found.as_ref().and_then(|t| t.partition(partition.partition_index)).is_none() {
                places.push(Err(Error::UnknownTopicOrPartition));
                continue;
            }
            places.push(Ok(commits.len()));
            commits.push(Commit {
                topic: topic.name.to_string(),
                topic_id: TopicId::ZERO,
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: kept(partition.committed_metadata.as_deref().unwrap_or_default())?,
            });
        }
    }
    let commit = OffsetCommitRequest {
        group: kept(&asked.group_id)?,
        member_id: asked.member_id.to_string(),
        instance_id: asked.group_instance_id.as_ref().map(|i| i.to_string()),
        generation: asked.generation_id,
        retention_ms: -1,
        version: request.version,
        commits,
    };
    let producer = Producer { id: asked.producer_id.0, epoch: asked.producer_epoch };
    let outcome = if commit.commits.is_empty() {
        None
    } else {
        Some(commit_in(broker, request.version, &kept(&asked.transactional_id)?, producer, &commit))
    };
    Ok(Reply::Later(Box::pin(async move {
        let outcome = match outcome {
            None => Ok(Vec::new()),
            Some(Ok(done)) => done.committed().await.map_err(errors::of_group),
            Some(Err(error)) => Err(error),
        };
        let mut codes = offset_commit::codes(places, outcome);
        let mut response = TxnOffsetCommitResponse::default();
        for topic in asked.topics.into_iter().filter(|t| !t.partitions.is_empty()) {
            let rows = topic.partitions.iter().map(|p| {
                TxnOffsetCommitResponsePartition::default()
                    .with_partition_index(p.partition_index)
                    .with_error_code(codes.next().unwrap_or(NONE))
            });
            let rows = rows.collect();
            response.topics.push(TxnOffsetCommitResponseTopic::default().with_name(topic.name).with_partitions(rows));
        }
        responder.frame(&response)
    })))
}

/// Commits while the transaction cannot end, if the group's partition is in it.
fn commit_in(
    broker: &BrokerState,
    version: i16,
    id: &str,
    producer: Producer,
    commit: &OffsetCommitRequest,
) -> Committed {
    if commit.group.is_empty() {
        return Err(Error::InvalidGroupId);
    }
    let partition = broker.groups.partition_of(&commit.group).ok_or(Error::NotCoordinator)?;
    let partitions = BTreeSet::from([(OFFSETS_TOPIC.to_owned(), partition)]);
    let verification = if version >= 5 { Verification::Add } else { Verification::Check };
    broker.transactions.within(id, producer, &partitions, verification, |members| {
        let members = members.map_err(|error| match error {
            // What clients of these versions try again.
            TransactionError::ConcurrentTransactions if version < 5 => Error::CoordinatorLoadInProgress,
            other => errors::of_transaction_for(other, false),
        })?;
        if members.is_empty() {
            return Err(if version >= 4 { Error::TransactionAbortable } else { Error::InvalidTxnState });
        }
        let producer = (producer.id, producer.epoch);
        broker.groups.commit_in_transaction(commit, producer).map_err(errors::of_group)
    })
}
