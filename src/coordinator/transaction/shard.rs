//! One shard: the transactional ids of one partition of `__transaction_state`, with what is still to be done for them.

use std::collections::{BTreeSet, HashMap};

use super::state::{TopicPartition, Transaction};

#[derive(Debug, Default)]
pub struct Shard {
    transactions: HashMap<String, Transaction>,
    /// When open transactions time out, on the wall clock.
    deadlines: BTreeSet<(i64, String)>,
    /// Markers of transactions whose end is decided.
    owed: HashMap<String, Owed>,
    /// When expired ids were last looked for, on the clock of timers.
    pub swept_ms: Option<i64>,
    /// When owed markers are tried again, on the clock of timers.
    pub retry_ms: Option<i64>,
}

/// Markers that are still to be written.
#[derive(Clone, Debug)]
pub struct Owed {
    pub partitions: BTreeSet<TopicPartition>,
    /// Some may have been written: by the process before, or in an attempt that failed.
    pub found: bool,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Whether the decision is known to be on the disk, if it must be.
    pub decided: bool,
}

impl Shard {
    pub fn get(&self, id: &str) -> Option<&Transaction> {
        self.transactions.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Transaction)> {
        self.transactions.iter()
    }

    /// Puts a state in force; `None` forgets the id.
    pub fn set(&mut self, id: &str, transaction: Option<Transaction>) {
        let deadline = transaction.as_ref().and_then(Transaction::deadline);
        let before = match transaction {
            Some(transaction) => self.transactions.insert(id.to_owned(), transaction),
            None => self.transactions.remove(id),
        };
        let known = before.as_ref().and_then(Transaction::deadline);
        if known != deadline {
            if let Some(known) = known {
                self.deadlines.remove(&(known, id.to_owned()));
            }
            if let Some(deadline) = deadline {
                self.deadlines.insert((deadline, id.to_owned()));
            }
        }
    }

    pub fn owe(&mut self, id: &str, decided: bool) {
        if let Some(transaction) = self.transactions.get(id) {
            let partitions = transaction.partitions.clone();
            self.owed.insert(id.to_owned(), Owed { partitions, found: false, attempts: 0, decided });
        }
    }

    /// After loading: every decision without its end.
    pub fn owe_what_is_prepared(&mut self) {
        for (id, transaction) in self.transactions.iter().filter(|(_, t)| t.state.is_prepared()) {
            let partitions = transaction.partitions.clone();
            self.owed.insert(id.clone(), Owed { partitions, found: true, attempts: 0, decided: true });
        }
    }

    pub fn owed(&mut self, id: &str) -> Option<&mut Owed> {
        self.owed.get_mut(id)
    }

    pub fn owes_nothing_for(&mut self, id: &str) {
        self.owed.remove(id);
    }

    /// Ids whose markers can be written now.
    pub fn owing(&self) -> Vec<String> {
        self.owed.iter().filter(|(_, owed)| owed.decided).map(|(id, _)| id.clone()).collect()
    }

    /// The next timeout, on the wall clock.
    pub fn next_deadline(&self) -> Option<i64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// An open transaction whose time is over.
    pub fn timed_out(&self, now_ms: i64) -> Option<(String, Transaction)> {
        let (_, id) = self.deadlines.first().filter(|(deadline, _)| *deadline < now_ms)?;
        self.transactions.get(id).map(|t| (id.clone(), t.clone()))
    }

    /// Ids that nobody has used since then, in states without a transaction.
    pub fn unused_since(&self, then_ms: i64) -> Vec<String> {
        let unused = |t: &Transaction| t.state.may_expire() && t.updated_ms <= then_ms;
        self.transactions.iter().filter(|(_, t)| unused(t)).map(|(id, _)| id.clone()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }
}
