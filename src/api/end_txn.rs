//! EndTxn (key 26), versions 0–5.
//!
//! Behaviour: the decision is on record, and on the disk where a partition of the transaction asks for that, before the
//! first marker; the markers are written before the answer (unless a disk is full), where Kafka answers first and says
//! CONCURRENT_TRANSACTIONS to whoever goes on too early.
//! Version notes: v2 PRODUCER_FENCED, before INVALID_PRODUCER_EPOCH; v5 a new epoch with every end (KIP-890).

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use super::errors::{self, Error};
use super::{Api, BadRequest, Frame, Reply, Request, Responder, kept};
use crate::broker::BrokerState;
use crate::coordinator::transaction::state::Producer;
use crate::coordinator::transaction::{Decided, Ending};
use crate::record::TransactionVersion;

pub const API: Api = Api { key: 26, name: "EndTxn", versions: (0, 5), advertised_from: 0, flexible_from: 3, handle };

/// First version of the second protocol.
const V2_FROM: i16 = 5;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: EndTxnRequest = request.decode(body)?;
    let (broker, responder) = (request.broker().clone(), request.responder);
    let id = kept(&asked.transactional_id)?;
    let producer = Producer { id: asked.producer_id.0, epoch: asked.producer_epoch };
    let version = if request.version >= V2_FROM { TransactionVersion::V2 } else { TransactionVersion::V1 };
    let commit = asked.committed;
    Ok(match broker.transactions.end(&id, producer, commit, version, None) {
        Err(error) => Reply::Now(refused(&responder, errors::of_transaction_for(error, responder.version >= 2))),
        Ok(Ending::Already(producer)) => Reply::Now(answer(&responder, producer)),
        Ok(Ending::Decided(decided)) if decided.is_complete() => Reply::Now(answer(&responder, decided.producer)),
        Ok(Ending::Decided(decided)) => {
            Reply::carried_out(async move { completed(&broker, &responder, decided).await })
        }
        Ok(Ending::NeedsProducerId) => Reply::carried_out(async move {
            let new_id = match broker.topics.next_producer_id().await {
                Ok(new_id) => new_id,
                Err(error) => return refused(&responder, errors::of_change(&error)),
            };
            match broker.transactions.end(&id, producer, commit, version, Some(new_id)) {
                Ok(Ending::Already(producer)) => answer(&responder, producer),
                Ok(Ending::Decided(decided)) => completed(&broker, &responder, decided).await,
                Ok(Ending::NeedsProducerId) => refused(&responder, Error::UnknownServerError),
                Err(error) => refused(&responder, errors::of_transaction(error)),
            }
        }),
    })
}

async fn completed(broker: &Arc<BrokerState>, responder: &Responder, decided: Decided) -> Frame {
    match broker.transactions.complete(&decided).await {
        Ok(()) => answer(responder, decided.producer),
        Err(error) => refused(responder, errors::of_transaction(error)),
    }
}

fn answer(responder: &Responder, producer: Producer) -> Frame {
    respond(responder, errors::NONE, producer)
}

fn refused(responder: &Responder, error: Error) -> Frame {
    respond(responder, error.code(), Producer { id: -1, epoch: -1 })
}

fn respond(responder: &Responder, code: i16, producer: Producer) -> Frame {
    let mut response = EndTxnResponse::default();
    response.error_code = code;
    if responder.version >= V2_FROM {
        response.producer_id = ProducerId(producer.id);
        response.producer_epoch = producer.epoch;
    }
    responder.frame(&response)
}
