//! AddOffsetsToTxn (key 25), versions 0–4.
//!
//! Behaviour: adds the group's partition of `__consumer_offsets` to the transaction. Clients of the second protocol of
//! transactions (KIP-890) do not send it.
//! Version notes: v2 PRODUCER_FENCED, before INVALID_PRODUCER_EPOCH.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::errors;
use super::{Api, BadRequest, Frame, Reply, Request, Responder, kept};
use crate::broker::BrokerState;
use crate::coordinator::transaction::state::Producer;
use crate::coordinator::{GroupError, OFFSETS_TOPIC};
use crate::record::TransactionVersion;

pub const API: Api =
    Api { key: 25, name: "AddOffsetsToTxn", versions: (0, 4), advertised_from: 0, flexible_from: 3, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: AddOffsetsToTxnRequest = request.decode(body)?;
    let (id, group) = (kept(&asked.transactional_id)?, asked.group_id.to_string());
    let producer = Producer { id: asked.producer_id.0, epoch: asked.producer_epoch };
    let (broker, responder) = (request.broker().clone(), request.responder);
    if broker.groups.partition_of(&group).is_some() {
        return Ok(Reply::Now(answer(&responder, add(&broker, responder.version, &id, producer, &group))));
    }
    // Which partition that will be is known once the topic is there.
    Ok(Reply::carried_out(async move {
        let code = match broker.groups.ensure_topic().await {
            Ok(()) => add(&broker, responder.version, &id, producer, &group),
            Err(error) => errors::of_group(error).code(),
        };
        answer(&responder, code)
    }))
}

fn add(broker: &BrokerState, version: i16, id: &str, producer: Producer, group: &str) -> i16 {
    let Some(partition) = broker.groups.partition_of(group) else {
        return errors::of_group(GroupError::CoordinatorNotAvailable).code();
    };
    let partitions = BTreeSet::from([(OFFSETS_TOPIC.to_owned(), partition)]);
    match broker.transactions.add(id, producer, &partitions, TransactionVersion::V1) {
        Ok(()) => errors::NONE,
        Err(error) => errors::of_transaction_for(error, version >= 2).code(),
    }
}

fn answer(responder: &Responder, code: i16) -> Frame {
    responder.frame(&AddOffsetsToTxnResponse::default().with_error_code(code))
}
