//! What there is to be told of transactions: DescribeTransactions and ListTransactions (KIP-664).

use std::collections::{BTreeSet, HashSet};

use regex::Regex;

use super::state::{State, TopicPartition};
use super::{TransactionCoordinator, TransactionError, lock};
use crate::base::ProducerId;
use crate::coordinator::consumer::subscription::compile;

#[derive(Clone, Debug)]
pub struct DescribedTransaction {
    pub state: State,
    pub timeout_ms: i32,
    pub started_ms: i64,
    pub producer_id: ProducerId,
    pub producer_epoch: i16,
    pub partitions: BTreeSet<TopicPartition>,
}

#[derive(Clone, Debug)]
pub struct TransactionListing {
    pub id: String,
    pub producer_id: ProducerId,
    pub state: State,
}

/// A regular expression over whole transactional ids.
pub struct IdPattern(Regex);

impl IdPattern {
    /// `None` if it cannot be read.
    pub fn new(pattern: &str) -> Option<IdPattern> {
        compile(pattern).ok().map(IdPattern)
    }

    pub fn matches(&self, id: &str) -> bool {
        self.0.is_match(id)
    }
}

/// What must be true of those that are listed.
pub struct ListFilter<'a> {
    /// Any, if it is empty.
    pub producer_ids: &'a HashSet<ProducerId>,
    /// Any, for `None`.
    pub states: Option<&'a [State]>,
    /// Begun longer ago than this; any, below 0.
    pub duration_ms: i64,
    pub id: &'a dyn Fn(&str) -> bool,
}

impl TransactionCoordinator {
    pub fn describe(&self, id: &str) -> Result<DescribedTransaction, TransactionError> {
        if id.is_empty() {
            return Err(TransactionError::InvalidRequest);
        }
        self.run(id, |this, index, slot| {
            let known = this.loaded(index, slot)?.get(id).ok_or(TransactionError::TransactionalIdNotFound)?;
            Ok(DescribedTransaction {
                state: known.state,
                timeout_ms: known.timeout_ms,
                started_ms: known.started_ms,
                producer_id: known.producer_id,
                producer_epoch: known.producer_epoch,
                partitions: known.partitions.clone(),
            })
        })
    }

    pub fn list(&self, filter: &ListFilter<'_>) -> Result<Vec<TransactionListing>, TransactionError> {
        let now_ms = self.clock().wall_ms();
        let mut found = Vec::new();
        for (index, slot) in self.internal.slots().iter().flat_map(|slots| slots.iter()).enumerate() {
            let mut slot = lock(slot);
            for (id, transaction) in self.loaded(index, &mut slot)?.iter() {
                let listed = (filter.producer_ids.is_empty() || filter.producer_ids.contains(&transaction.producer_id))
                    && filter.states.is_none_or(|states| states.contains(&transaction.state))
                    && (filter.duration_ms < 0 || now_ms.saturating_sub(transaction.started_ms) > filter.duration_ms)
                    && (filter.id)(id);
                if listed {
                    let (producer_id, state) = (transaction.producer_id, transaction.state);
                    found.push(TransactionListing { id: id.clone(), producer_id, state });
                }
            }
        }
        Ok(found)
    }
}
