//! Produce in a transaction: whose it is, and whether its partitions are in it.

use std::collections::BTreeSet;

use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::{CheckedTopic, Produced, Refused, append};
use crate::api::Request;
use crate::api::errors::{self, Error};
use crate::config::BrokerValues;
use crate::coordinator::TransactionError;
use crate::coordinator::transaction::Verification;
use crate::coordinator::transaction::state::{Producer, TopicPartition};
use crate::log::Origin;
use crate::record::{Rejection, TransactionVersion, validate};

/// First version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 11;
/// First version that adds partitions to the transaction by itself.
const ADDS_FROM: i16 = 12;

/// The protocol of a client that sends a Produce of that version.
pub fn version(produce_version: i16) -> TransactionVersion {
    if produce_version >= ADDS_FROM { TransactionVersion::V2 } else { TransactionVersion::V1 }
}

/// What the coordinator says of partitions where a batch would begin its transaction.
#[derive(Default)]
pub struct Membership {
    asked: BTreeSet<TopicPartition>,
    answer: Option<Result<BTreeSet<TopicPartition>, TransactionError>>,
    version: Option<TransactionVersion>,
}

impl Membership {
    /// Whether a batch may be appended to the partition, as one that the coordinator knows of or as one that goes on.
    pub fn check(&self, topic: &str, partition: i32) -> Result<Origin, TransactionError> {
        let Some(answer) = &self.answer else { return Ok(Origin::CLIENT) };
        let place = (topic.to_owned(), partition);
        if !self.asked.contains(&place) {
            return Ok(Origin::CLIENT);
        }
        match answer {
            Err(error) => Err(*error),
            Ok(members) if members.contains(&place) => Ok(Origin::Client { verified: self.version }),
            Ok(_) => Err(TransactionError::TransactionAbortable),
        }
    }
}

/// Appends batches of a transaction. Where one would begin it in its partition, the transaction's coordinator is asked,
/// or told, and the transaction cannot end before the batch is appended.
pub fn append_in_transaction(
    request: &Request,
    id: &str,
    producer: Producer,
    topics: Vec<CheckedTopic>,
    produced: &mut Produced,
) -> ProduceResponse {
    let broker = request.broker();
    let adds = request.version >= ADDS_FROM;
    let mut membership =
        Membership { asked: begun_by(request, &topics), answer: None, version: Some(version(request.version)) };
    if membership.asked.is_empty() {
        return append(request, topics, &membership, produced);
    }
    if !adds && !broker.topics.config().get_bool("transaction.partition.verification.enable") {
        membership.answer = Some(Ok(membership.asked.clone()));
        return append(request, topics, &membership, produced);
    }
    let verification = if adds { Verification::Add } else { Verification::Check };
    let asked = membership.asked.clone();
    broker.transactions.within(id, producer, &asked, verification, |answer| {
        membership.answer = Some(answer);
        append(request, topics, &membership, produced)
    })
}

/// Partitions where a batch would begin its producer's transaction.
fn begun_by(request: &Request, topics: &[CheckedTopic]) -> BTreeSet<TopicPartition> {
    let env = request.broker().topics.env();
    let mut begun = BTreeSet::new();
    for (index, checked) in topics.iter().flat_map(|topic| &topic.partitions) {
        let Ok(checked) = checked else { continue };
        let header = checked.header.as_ref().filter(|h| h.is_transactional() && h.has_producer());
        let Some(header) = header else { continue };
        let config = &checked.settings.resolved;
        let is_open = checked.partition.with_log(env, config, |log| log.has_open_transaction(header));
        if !is_open.unwrap_or(true) {
            begun.insert((checked.topic.name.to_string(), *index));
        }
    }
    begun
}

/// Looks for transactions first, and so at the first batch of each partition: whose transaction the request is in, or
/// what refuses it as a whole.
pub fn look_at(asked: &ProduceRequest) -> Result<Option<Producer>, (Error, Option<String>)> {
    let mut producer = None;
    for partition in asked.topic_data.iter().flat_map(|t| &t.partition_data) {
        let Some(records) = &partition.records else { continue };
        match validate::first_header(records) {
            Ok(Some(header)) if header.is_transactional() => {
                if asked.transactional_id.is_none() {
                    return Err((Error::TransactionalIdAuthorizationFailed, None));
                }
                let this = Producer { id: header.producer_id, epoch: header.producer_epoch };
                // Without a producer id it is in nobody's transaction, and taken as it is.
                if header.has_producer() && *producer.get_or_insert(this) != this {
                    let message = "Transactional records contained more than one producer ID";
                    return Err((Error::InvalidProducerIdMapping, Some(message.into())));
                }
            }
            Ok(_) => {}
            Err(Rejection::Corrupt(message)) => return Err((Error::CorruptMessage, Some(message))),
            Err(other) => return Err((errors::of_rejection(&other), None)),
        }
    }
    Ok(producer)
}

/// Why a batch does not get into its transaction, in words that clients of that version know.
pub fn not_a_member(version: i16, error: TransactionError) -> Refused {
    let abortable = version >= ABORTABLE_FROM;
    match error {
        TransactionError::TransactionAbortable if !abortable => {
            Refused::new(Error::InvalidTxnState, Some("Partition was not added to the transaction".into()))
        }
        // Producers of before try again after this one, without asking for metadata.
        TransactionError::ConcurrentTransactions if version < ADDS_FROM => unverified("CONCURRENT_TRANSACTIONS"),
        TransactionError::CoordinatorNotAvailable => unverified("COORDINATOR_NOT_AVAILABLE"),
        TransactionError::NotCoordinator => unverified("NOT_COORDINATOR"),
        other => Refused::new(errors::of_transaction_for(other, false), None),
    }
}

fn unverified(why: &str) -> Refused {
    let message = format!("Unable to verify the partition has been added to the transaction. Underlying error: {why}");
    Refused::new(Error::NotEnoughReplicas, Some(message))
}
