//! ConsumerGroupHeartbeat (key 68), versions 0–1 (KIP-848).
//!
//! Behaviour: joins, stays in and leaves a consumer group; the assignment is told when it has changed. Version notes: v1
//! regular expressions, and member ids made by clients.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment as Out, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error};
use super::{Api, BadRequest, Reply, Request, kept};
use crate::base::TopicId;
use crate::coordinator::GroupError;
use crate::coordinator::assignor::Assignment;
use crate::coordinator::consumer::{self, HeartbeatRequest, HeartbeatResponse};

pub const API: Api =
    Api { key: 68, name: "ConsumerGroupHeartbeat", versions: (0, 1), advertised_from: 0, flexible_from: 0, handle };

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: ConsumerGroupHeartbeatRequest = request.decode(body)?;
    let responder = request.responder;
    let groups = request.broker().groups.clone();
    let group = kept(&asked.group_id)?;
    let mut heartbeat = heartbeat_of(request, asked)?;
    if let Err(error) = consumer::validate(&group, &heartbeat, request.version, &groups.consumer_limits(&group)) {
        return Ok(Reply::Now(responder.frame(&refused(error.name, error.message))));
    }
    if heartbeat.member_id.is_empty() {
        heartbeat.member_id = TopicId::random().to_string();
    }
    let done = match groups.consumer_heartbeat(&group, &heartbeat) {
        Ok(done) => done,
        Err(error) => return Ok(Reply::Now(responder.frame(&refused(error, String::new())))),
    };
    Ok(Reply::Later(Box::pin(async move {
        let response = match done.committed().await {
            Ok(Ok(answer)) => encode(answer),
            Ok(Err(error)) => refused(error.name, error.message),
            Err(error) => refused(error, String::new()),
        };
        responder.frame(&response)
    })))
}

fn heartbeat_of(request: &Request, asked: ConsumerGroupHeartbeatRequest) -> Result<HeartbeatRequest, BadRequest> {
    let text = |s: Option<StrBytes>| s.as_deref().map(kept).transpose();
    let names = |list: Vec<TopicName>| list.iter().map(|name| kept(name)).collect::<Result<_, _>>();
    Ok(HeartbeatRequest {
        member_id: kept(&asked.member_id)?,
        member_epoch: asked.member_epoch,
        instance_id: text(asked.instance_id)?,
        rack_id: text(asked.rack_id)?,
        rebalance_timeout_ms: asked.rebalance_timeout_ms,
        subscribed_topics: asked.subscribed_topic_names.map(names).transpose()?,
        subscribed_regex: text(asked.subscribed_topic_regex.filter(|_| request.version >= 1))?,
        server_assignor: text(asked.server_assignor)?,
        owned: asked.topic_partitions.map(|list| {
            let mut owned: Assignment = BTreeMap::new();
            for topic in list.into_iter().filter(|t| !t.partitions.is_empty()) {
                owned.entry(TopicId(topic.topic_id)).or_default().extend(topic.partitions);
            }
            owned
        }),
        client_id: request.client_id.as_deref().unwrap_or_default().to_owned(),
        client_host: request.context.client_host(),
    })
}

fn refused(error: GroupError, message: String) -> ConsumerGroupHeartbeatResponse {
    let code = errors::of_group(error).code();
    let mut out = ConsumerGroupHeartbeatResponse::default();
    out.error_code = code;
    out.error_message = Some(message).filter(|m| !m.is_empty()).map(StrBytes::from_string);
    if code == Error::NotCoordinator.code() {
        out.error_message = Some(StrBytes::from_static_str("This is not the correct coordinator."));
    }
    out.member_id = None;
    out.assignment = None;
    out
}

fn encode(answer: HeartbeatResponse) -> ConsumerGroupHeartbeatResponse {
    let mut out = ConsumerGroupHeartbeatResponse::default();
    out.error_message = None;
    out.member_id = Some(StrBytes::from_string(answer.member_id));
    out.member_epoch = answer.member_epoch;
    out.heartbeat_interval_ms = answer.heartbeat_interval_ms;
    out.assignment = answer.assignment.map(|assignment| {
        let topics = assignment.into_iter().map(|(id, partitions)| {
            TopicPartitions::default().with_topic_id(id.0).with_partitions(partitions.into_iter().collect())
        });
        Out::default().with_topic_partitions(topics.collect())
    });
    out
}
