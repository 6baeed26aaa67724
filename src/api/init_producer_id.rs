//! InitProducerId (key 22), versions 0–5.
//!
//! Behaviour: without a transactional id, a new producer id with epoch 0 every time; with one, its producer id in the next
//! epoch, which fences whoever had the one before. An open transaction is aborted first, and answered
//! CONCURRENT_TRANSACTIONS, so that the client asks again. Ids are never handed out twice, also not after a crash.
//! Version notes: v3 the producer's own id and epoch (KIP-360), v4 PRODUCER_FENCED, before INVALID_PRODUCER_EPOCH.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::errors::{self, Error};
use super::{Api, BadRequest, Frame, Reply, Request, Responder, kept};
use crate::broker::BrokerState;
use crate::coordinator::TransactionError;
use crate::coordinator::transaction::Initialised;
use crate::coordinator::transaction::state::Producer;

pub const API: Api =
    Api { key: 22, name: "InitProducerId", versions: (0, 5), advertised_from: 0, flexible_from: 2, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: InitProducerIdRequest = request.decode(body)?;
    let responder = request.responder;
    let expected = match (asked.producer_id.0, asked.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Ok(Reply::Now(refused(&responder, Error::InvalidRequest))),
        (id, epoch) => Some(Producer { id, epoch }),
    };
    let broker = request.broker().clone();
    let Some(id) = asked.transactional_id else {
        return Ok(Reply::Later(Box::pin(async move {
            match broker.topics.next_producer_id().await {
                Ok(id) => answer(&responder, Producer { id, epoch: 0 }),
                Err(error) => refused(&responder, errors::of_change(&error)),
            }
        })));
    };
    let id = kept(&id)?;
    let timeout_ms = asked.transaction_timeout_ms;
    Ok(Reply::carried_out(async move {
        match init(&broker, &id, timeout_ms, expected).await {
            Ok(producer) => answer(&responder, producer),
            Err(error) => refused(&responder, error(responder.version)),
        }
    }))
}

/// Why there is no producer, as a client of that version is told.
type Refusal = Box<dyn FnOnce(i16) -> Error + Send>;

async fn init(
    broker: &Arc<BrokerState>,
    id: &str,
    timeout_ms: i32,
    expected: Option<Producer>,
) -> Result<Producer, Refusal> {
    let refuse = |error: TransactionError| -> Refusal {
        Box::new(move |version| errors::of_transaction_for(error, version >= 4))
    };
    let transactions = &broker.transactions;
    let mut new_id = None;
    loop {
        match transactions.init(id, timeout_ms, expected, new_id).map_err(refuse)? {
            Initialised::NeedsProducerId => {
                let next = broker.topics.next_producer_id().await;
                new_id = Some(next.map_err(|error| -> Refusal { Box::new(move |_| errors::of_change(&error)) })?);
            }
            Initialised::Producer(producer, ticket) => {
                if let Some(ticket) = ticket {
                    let unavailable = |_| refuse(TransactionError::CoordinatorNotAvailable);
                    ticket.committed().await.map_err(unavailable)?;
                }
                return Ok(producer);
            }
            Initialised::Aborting(decided) => {
                transactions.complete(&decided).await.map_err(refuse)?;
                return Err(refuse(TransactionError::ConcurrentTransactions));
            }
        }
    }
}

fn answer(responder: &Responder, producer: Producer) -> Frame {
    let mut response = InitProducerIdResponse::default();
    response.producer_id = ProducerId(producer.id);
    response.producer_epoch = producer.epoch;
    responder.frame(&response)
}

fn refused(responder: &Responder, error: Error) -> Frame {
    let mut response = InitProducerIdResponse::default();
    response.error_code = error.code();
    response.producer_id = ProducerId(-1);
    response.producer_epoch = -1;
    responder.frame(&response)
}
