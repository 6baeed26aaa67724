//! One transactional id as a state machine: each request gives the next state, or why there is none. Pure; the caller puts
//! the next state on record before it counts.
//!
//! Sources: KIP-98, KIP-360 (retries of InitProducerId), KIP-588, KIP-890 (an epoch for each end); Kafka's
//! `TransactionMetadata` and `TransactionCoordinator`.

use std::collections::BTreeSet;

use super::error::TransactionError;
use crate::base::ProducerId;
use crate::record::TransactionVersion;

/// A partition by its topic's name, as the records have it.
pub type TopicPartition = (String, i32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Empty = 0,
    Ongoing = 1,
    PrepareCommit = 2,
    PrepareAbort = 3,
    CompleteCommit = 4,
    CompleteAbort = 5,
}

impl State {
    pub const ALL: [State; 6] = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
    ];

    pub fn from_id(id: i8) -> Option<State> {
        State::ALL.into_iter().find(|state| *state as i8 == id)
    }

    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
        }
    }

    /// Whether the decision is on record and markers are still to be written.
    pub fn is_prepared(self) -> bool {
        matches!(self, State::PrepareCommit | State::PrepareAbort)
    }

    /// Whether an id in this state may be forgotten.
    pub fn may_expire(self) -> bool {
        matches!(self, State::Empty | State::CompleteCommit | State::CompleteAbort)
    }
}

/// No client gets an epoch above: the coordinator can always fence one more time.
const EPOCH_MAX: i16 = i16::MAX - 1;
const NO_EPOCH: i16 = -1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub producer_id: ProducerId,
    /// The one before the last transition.
    pub previous_producer_id: Option<ProducerId>,
    /// Takes over once the markers are written: the epochs of the present one are used up.
    pub next_producer_id: Option<ProducerId>,
    pub producer_epoch: i16,
    /// The epoch before the last bump that its producer asked for; -1 for none.
    pub last_producer_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<TopicPartition>,
    /// -1: none has begun.
    pub started_ms: i64,
    pub updated_ms: i64,
    /// The protocol of the last one to change it.
    pub version: TransactionVersion,
}

/// What a producer claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: ProducerId,
    pub epoch: i16,
}

/// What InitProducerId comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Init {
    Next(Transaction),
    /// A transaction is open: it is aborted, in a state that fences its producer, and the client asks again.
    AbortFirst(Transaction),
    /// Ask again with a new producer id.
    NeedsProducerId,
}

/// What EndTxn comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Prepared(Transaction),
    /// It has ended so before.
    Already,
    /// Ask again with a new producer id.
    NeedsProducerId,
}

/// An id that nobody has used before.
fn new_transaction(producer_id: ProducerId, timeout_ms: i32, now_ms: i64) -> Transaction {
    Transaction {
        producer_id,
        previous_producer_id: None,
        next_producer_id: None,
        producer_epoch: NO_EPOCH,
        last_producer_epoch: NO_EPOCH,
        timeout_ms,
        state: State::Empty,
        partitions: BTreeSet::new(),
        started_ms: -1,
        updated_ms: now_ms,
        version: TransactionVersion::V1,
    }
}

/// InitProducerId. `expected` is what the producer believes to be, `new_id` a producer id to be used if one is needed.
pub fn init(
    known: Option<&Transaction>,
    timeout_ms: i32,
    expected: Option<Producer>,
    new_id: Option<ProducerId>,
    now_ms: i64,
) -> Result<Init, TransactionError> {
    let created;
    let current = match (known, new_id) {
        (Some(known), _) => known,
        (None, None) => return Ok(Init::NeedsProducerId),
        (None, Some(id)) => {
            created = new_transaction(id, timeout_ms, now_ms);
            &created
        }
    };
    if let Some(expected) = expected
        && !current.may_continue(expected)
    {
        return Err(TransactionError::ProducerFenced);
    }
    match current.state {
        State::PrepareCommit | State::PrepareAbort => Err(TransactionError::ConcurrentTransactions),
        State::Ongoing => Ok(Init::AbortFirst(current.fenced(now_ms))),
        State::Empty | State::CompleteCommit | State::CompleteAbort => {
            let mut next = current.next(State::Empty, now_ms);
            if current.is_exhausted() && expected.is_none_or(|e| e.epoch == current.producer_epoch) {
                let Some(id) = new_id else { return Ok(Init::NeedsProducerId) };
                next.producer_id = id;
                next.producer_epoch = 0;
                next.last_producer_epoch = if expected.is_some() { current.producer_epoch } else { NO_EPOCH };
            } else {
                (next.producer_epoch, next.last_producer_epoch) = current.bumped(expected)?;
            }
            next.timeout_ms = timeout_ms;
            next.partitions.clear();
            next.started_ms = -1;
            Ok(Init::Next(next))
        }
    }
}

impl Transaction {
    /// The same in another state.
    fn next(&self, state: State, now_ms: i64) -> Transaction {
        let previous_producer_id = Some(self.producer_id);
        Transaction { state, previous_producer_id, updated_ms: now_ms, ..self.clone() }
    }

    fn is_exhausted(&self) -> bool {
        self.producer_epoch >= EPOCH_MAX
    }

    /// Whether a producer that names its id and epoch is the one that is known here; its epoch is looked at later.
    fn may_continue(&self, expected: Producer) -> bool {
        self.producer_epoch == NO_EPOCH
            || expected.id == self.producer_id
            || (Some(expected.id) == self.previous_producer_id && expected.epoch >= EPOCH_MAX)
    }

    /// Epoch and last epoch after InitProducerId (KIP-360).
    fn bumped(&self, expected: Option<Producer>) -> Result<(i16, i16), TransactionError> {
        // An exhausted epoch that the producer does not know of has been answered above, or is a retry.
        let next = self.producer_epoch.saturating_add(1);
        match expected.map(|e| e.epoch) {
            None => Ok((next, NO_EPOCH)),
            Some(epoch) if self.producer_epoch == NO_EPOCH || epoch == self.producer_epoch => {
                Ok((next, self.producer_epoch))
            }
            Some(epoch) if epoch == self.last_producer_epoch => Ok((self.producer_epoch, self.last_producer_epoch)),
            Some(_) => Err(TransactionError::ProducerFenced),
        }
    }

    /// Aborted by the coordinator, in an epoch that its producer does not have.
    pub fn fenced(&self, now_ms: i64) -> Transaction {
        let mut next = self.next(State::PrepareAbort, now_ms);
        next.last_producer_epoch = self.producer_epoch;
        next.producer_epoch = self.producer_epoch.saturating_add(1);
        next.next_producer_id = None;
        next.version = TransactionVersion::V2;
        next
    }

    /// Whether this producer has the transaction, and which of its partitions are in it.
    pub fn check_member(&self, producer: Producer) -> Result<(), TransactionError> {
        if producer.id != self.producer_id {
            return Err(TransactionError::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer_epoch {
            return Err(TransactionError::ProducerFenced);
        }
        if self.state.is_prepared() {
            return Err(TransactionError::ConcurrentTransactions);
        }
        Ok(())
    }

    /// With these partitions in it; `None` if they are there already.
    pub fn with_partitions<'a>(
        &self,
        producer: Producer,
        partitions: impl Iterator<Item = &'a TopicPartition> + Clone,
        version: TransactionVersion,
        now_ms: i64,
    ) -> Result<Option<Transaction>, TransactionError> {
        self.check_member(producer)?;
        if self.state == State::Ongoing && partitions.clone().all(|p| self.partitions.contains(p)) {
            return Ok(None);
        }
        let mut next = self.next(State::Ongoing, now_ms);
        if self.state != State::Ongoing {
            next.started_ms = now_ms;
        }
        next.partitions.extend(partitions.cloned());
        next.version = version;
        Ok(Some(next))
    }

    /// EndTxn. `new_id` is a producer id to be used if one is needed.
    pub fn end(
        &self,
        producer: Producer,
        commit: bool,
        version: TransactionVersion,
        new_id: Option<ProducerId>,
        now_ms: i64,
    ) -> Result<End, TransactionError> {
        match version {
            TransactionVersion::V1 => self.end_v1(producer, commit, now_ms),
            TransactionVersion::V2 => self.end_v2(producer, commit, new_id, now_ms),
        }
    }

    fn end_v1(&self, producer: Producer, commit: bool, now_ms: i64) -> Result<End, TransactionError> {
        if producer.id != self.producer_id {
            return Err(TransactionError::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer_epoch {
            return Err(TransactionError::ProducerFenced);
        }
        match (self.state, commit) {
            (State::Ongoing, _) => {
                let mut next = self.next(prepare(commit), now_ms);
                next.next_producer_id = None;
                next.version = TransactionVersion::V1;
                Ok(End::Prepared(next))
            }
            (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(End::Already),
            (State::PrepareCommit, true) | (State::PrepareAbort, false) => {
                Err(TransactionError::ConcurrentTransactions)
            }
            _ => Err(TransactionError::InvalidTxnState),
        }
    }

    /// KIP-890: the epoch is raised with every end, so that a request in an earlier epoch is a retry.
    fn end_v2(
        &self,
        producer: Producer,
        commit: bool,
        new_id: Option<ProducerId>,
        now_ms: i64,
    ) -> Result<End, TransactionError> {
        let again_over_ids =
            Some(producer.id) == self.previous_producer_id && producer.epoch == EPOCH_MAX && self.producer_epoch == 0;
        let again = again_over_ids || self.producer_epoch == producer.epoch.wrapping_add(1);
        if producer.id != self.producer_id && !again_over_ids {
            return Err(TransactionError::InvalidProducerIdMapping);
        }
        let current = producer.epoch == self.producer_epoch;
        let valid = match self.state {
            State::Ongoing | State::Empty => current,
            State::PrepareCommit | State::PrepareAbort => self.producer_epoch == producer.epoch.wrapping_add(1),
            State::CompleteCommit | State::CompleteAbort => again || current,
        };
        if !valid {
            return Err(TransactionError::ProducerFenced);
        }
        match (self.state, commit) {
            (State::Ongoing, _) => Ok(self.prepared_v2(commit, new_id, self.started_ms, now_ms)),
            (State::PrepareCommit, true) | (State::PrepareAbort, false) => {
                Err(TransactionError::ConcurrentTransactions)
            }
            (State::CompleteCommit, true) | (State::CompleteAbort, false) if again => Ok(End::Already),
            // Nothing was added: the epoch is raised all the same.
            (State::Empty, false) => Ok(self.prepared_v2(false, new_id, now_ms, now_ms)),
            (State::CompleteCommit | State::CompleteAbort, false) if !again => {
                Ok(self.prepared_v2(false, new_id, now_ms, now_ms))
            }
            _ => Err(TransactionError::InvalidTxnState),
        }
    }

    fn prepared_v2(&self, commit: bool, new_id: Option<ProducerId>, started_ms: i64, now_ms: i64) -> End {
        if self.is_exhausted() && new_id.is_none() {
            return End::NeedsProducerId;
        }
        let mut next = self.next(prepare(commit), now_ms);
        next.last_producer_epoch = self.producer_epoch;
        next.producer_epoch = self.producer_epoch.saturating_add(1);
        next.next_producer_id = new_id.filter(|_| self.is_exhausted());
        next.started_ms = started_ms;
        next.version = TransactionVersion::V2;
        End::Prepared(next)
    }

    /// After its markers are written.
    pub fn completed(&self, now_ms: i64) -> Transaction {
        let state = if self.state == State::PrepareCommit { State::CompleteCommit } else { State::CompleteAbort };
        let mut next = self.next(state, now_ms);
        if let (TransactionVersion::V2, Some(id)) = (self.version, self.next_producer_id) {
            next.producer_id = id;
            next.producer_epoch = 0;
        }
        next.next_producer_id = None;
        next.partitions.clear();
        next
    }

    /// When it times out, on the wall clock; `None` if nothing is open.
    pub fn deadline(&self) -> Option<i64> {
        (self.state == State::Ongoing).then(|| self.started_ms.saturating_add(i64::from(self.timeout_ms)))
    }
}

fn prepare(commit: bool) -> State {
    if commit { State::PrepareCommit } else { State::PrepareAbort }
}

#[cfg(test)]
mod tests;
