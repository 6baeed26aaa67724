//! Why a transactional request is refused, by Kafka's names.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionError {
    CoordinatorNotAvailable,
    NotCoordinator,
    InvalidRequest,
    InvalidTransactionTimeout,
    InvalidProducerIdMapping,
    InvalidTxnState,
    ProducerFenced,
    ConcurrentTransactions,
    TransactionalIdNotFound,
    /// The partition is not in the transaction.
    TransactionAbortable,
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
