//! InitProducerId (key 22), versions 0–5, for idempotent producers.
//!
//! Behaviour: without a transactional id, a new producer id with epoch 0 every time; ids are never handed out twice, also
//! not after a crash. Transactional ids are answered TRANSACTIONAL_ID_AUTHORIZATION_FAILED: transactions are not served
//! yet (docs/compatibility.md).
//! Version notes: v3 the producer's own id and epoch.

use bytes::Bytes;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request};

pub const API: Api =
    Api { key: 22, name: "InitProducerId", versions: (0, 5), advertised_from: 0, flexible_from: 2, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: InitProducerIdRequest = request.decode(body)?;
    let responder = request.responder;
    let refuse = |error: Error| {
        let mut response = InitProducerIdResponse::default();
        response.error_code = error.code();
        response.producer_id = ProducerId(-1);
        response.producer_epoch = -1;
        Ok(Reply::Now(responder.frame(&response)))
    };
    match &asked.transactional_id {
        Some(id) if id.is_empty() => return refuse(Error::InvalidRequest),
        Some(_) => return refuse(Error::TransactionalIdAuthorizationFailed),
        None => {}
    }
    if (asked.producer_id.0 == -1) != (asked.producer_epoch == -1) {
        return refuse(Error::InvalidRequest);
    }
    let broker = request.broker().clone();
    Ok(Reply::Later(Box::pin(async move {
        let mut response = InitProducerIdResponse::default();
        match broker.topics.next_producer_id().await {
            Ok(id) => {
                response.producer_id = ProducerId(id);
                response.producer_epoch = 0;
            }
            Err(error) => {
                response.error_code = errors::of_change(&error).code();
                response.producer_id = ProducerId(-1);
                response.producer_epoch = -1;
            }
        }
        responder.frame(&response)
    })))
}
