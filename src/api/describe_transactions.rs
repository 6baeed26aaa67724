//! DescribeTransactions (key 65), version 0 (KIP-664).
//!
//! Behaviour: the state of each transactional id, with the partitions of its transaction while that is open.

use bytes::Bytes;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::errors;
use super::{Api, BadRequest, Reply, Request};
use crate::coordinator::transaction::by_topic;

pub const API: Api =
    Api { key: 65, name: "DescribeTransactions", versions: (0, 0), advertised_from: 0, flexible_from: 0, handle };

/// Partitions that one answer tells of: an id may be asked for many times.
const PARTITIONS_MAX: usize = 1_000_000;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: DescribeTransactionsRequest = request.decode(body)?;
    let mut response = DescribeTransactionsResponse::default();
    let mut told = 0;
    for id in asked.transactional_ids {
        let mut out = TransactionState::default();
        match request.broker().transactions.describe(&id) {
            Ok(found) => {
                out.transaction_state = StrBytes::from_static_str(found.state.name());
                out.transaction_timeout_ms = found.timeout_ms;
                out.transaction_start_time_ms = found.started_ms;
                out.producer_id = ProducerId(found.producer_id);
                out.producer_epoch = found.producer_epoch;
                let topics = by_topic(&found.partitions).into_iter().map(|(topic, partitions)| {
                    TopicData::default().with_topic(TopicName(super::owned(topic))).with_partitions(partitions)
                });
                out.topics = topics.collect();
                told += found.partitions.len();
                if told > PARTITIONS_MAX {
                    return Err(BadRequest(format!("more than {PARTITIONS_MAX} partitions to describe")));
                }
            }
            Err(error) => out.error_code = errors::of_transaction(error).code(),
        }
        out.transactional_id = id;
        response.transaction_states.push(out);
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}
