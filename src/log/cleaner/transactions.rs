//! Which transactions a walk over the log is in, and how they end (Kafka's `CleanedTransactionMetadata`). Batches are
//! shown in the order of the log, from its start.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::base::ProducerId;
use crate::log::AbortedTransaction;
use crate::record::{BatchHeader, Marker};

#[derive(Default)]
pub struct Transactions {
    /// By first offset, those that the walk has not come to yet.
    aborted: VecDeque<AbortedTransaction>,
    in_aborted: HashMap<ProducerId, Aborted>,
    in_committed: HashSet<ProducerId>,
}

struct Aborted {
    transaction: AbortedTransaction,
    /// A batch of it is still in the log.
    seen: bool,
}

/// What a marker still means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is data that needs it. If the transaction was aborted, readers need its row too.
    Needed(Option<AbortedTransaction>),
    /// None of its data is in the log any more.
    Idle,
}

impl Transactions {
    /// Knows these aborted transactions: all that have a row for what is to be walked.
    pub fn new(mut aborted: Vec<AbortedTransaction>) -> Transactions {
        aborted.sort_by_key(|transaction| transaction.first_offset);
        Transactions { aborted: aborted.into(), ..Transactions::default() }
    }

    /// Whether the batch, which is no control batch, belongs to an aborted transaction.
    pub fn is_aborted(&mut self, header: &BatchHeader) -> bool {
        self.come_to(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        match self.in_aborted.get_mut(&header.producer_id) {
            Some(aborted) => {
                aborted.seen = true;
                true
            }
            None => {
                self.in_committed.insert(header.producer_id);
                false
            }
        }
    }

    /// A control batch. One without a marker in it was emptied before.
    pub fn ended(&mut self, header: &BatchHeader, marker: Option<Marker>) -> Ended {
        self.come_to(header.last_offset());
        match marker {
            None => Ended::Idle,
            Some(Marker { committed: true, .. }) => {
                if self.in_committed.remove(&header.producer_id) {
                    Ended::Needed(None)
                } else {
                    Ended::Idle
                }
            }
            Some(Marker { committed: false, .. }) => match self.in_aborted.remove(&header.producer_id) {
                Some(Aborted { transaction, seen: true }) => Ended::Needed(Some(transaction)),
                _ => Ended::Idle,
            },
        }
    }

    fn come_to(&mut self, offset: i64) {
        while self.aborted.front().is_some_and(|transaction| transaction.first_offset <= offset) {
            let Some(transaction) = self.aborted.pop_front() else { return };
            self.in_aborted.entry(transaction.producer_id).or_insert(Aborted { transaction, seen: false });
        }
    }
}
