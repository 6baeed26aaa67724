//! ListTransactions (key 66), versions 0–2 (KIP-664).
//!
//! Behaviour: transactional ids with their producers and states. Names of states are Kafka's, case-sensitive; those that
//! are no states are told back.
//! Version notes: v1 a minimum duration (KIP-994), v2 a pattern of ids (KIP-1152; INVALID_REGULAR_EXPRESSION).

use std::collections::HashSet;

use bytes::Bytes;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, INVALID_REGULAR_EXPRESSION};
use super::{Api, BadRequest, Reply, Request};
use crate::coordinator::transaction::state::State;
use crate::coordinator::transaction::{IdPattern, ListFilter};

pub const API: Api =
    Api { key: 66, name: "ListTransactions", versions: (0, 2), advertised_from: 0, flexible_from: 0, handle };

/// States that a transaction passes only in Kafka's memory: no error, and nothing is in them.
const PASSING_STATES: [&str; 2] = ["Dead", "PrepareEpochFence"];

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ListTransactionsRequest = request.decode(body)?;
    let mut response = ListTransactionsResponse::default();
    let mut states = Vec::new();
    for name in &asked.state_filters {
        match State::ALL.into_iter().find(|state| state.name() == &**name) {
            Some(state) => states.push(state),
            None if PASSING_STATES.contains(&&**name) => {}
            None => response.unknown_state_filters.push(name.clone()),
        }
    }
    let pattern = match asked.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        None => None,
        Some(pattern) => match IdPattern::new(pattern) {
            Some(pattern) => Some(pattern),
            None => {
                let response = ListTransactionsResponse::default().with_error_code(INVALID_REGULAR_EXPRESSION);
                return Ok(Reply::Now(request.responder.frame(&response)));
            }
        },
    };
    let producer_ids: HashSet<i64> = asked.producer_id_filters.iter().map(|id| id.0).collect();
    let filter = ListFilter {
        producer_ids: &producer_ids,
        states: (!asked.state_filters.is_empty()).then_some(&states),
        duration_ms: if request.version >= 1 { asked.duration_filter } else { -1 },
        id: &|id| pattern.as_ref().is_none_or(|pattern| pattern.matches(id)),
    };
    match request.broker().transactions.list(&filter) {
        Ok(listed) => {
            let each = listed.into_iter().map(|t| {
                TransactionState::default()
                    .with_transactional_id(TransactionalId(StrBytes::from_string(t.id)))
                    .with_producer_id(ProducerId(t.producer_id))
                    .with_transaction_state(StrBytes::from_static_str(t.state.name()))
            });
            response.transaction_states = each.collect();
        }
        Err(error) => response.error_code = errors::of_transaction(error).code(),
    }
    Ok(Reply::Now(request.responder.frame(&response)))
}
