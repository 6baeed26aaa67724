//! Metadata (key 3), versions 0–13.
//!
//! Behaviour: all topics (null; in v0 an empty list), or the named ones; an unknown one is created where both the broker
//! (`auto.create.topics.enable`) and the request allow it, and is in the answer at once, where Kafka answers
//! UNKNOWN_TOPIC_OR_PARTITION the first time. Addresses are those of the listener that was asked.
//! Version notes: v1 controller and internal topics, v4 auto-creation by choice, v7 leader epochs, v8–10 authorised
//! operations of the cluster, v8 of topics, v10 topic ids in answers, v12 topics by id, v13 top-level error.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::create_topics::{self, PARTITIONS_PER_REQUEST_MAX, TopicSpec};
use super::errors::{Error, NONE};
use super::later::side_by_side;
use super::{Api, BadRequest, Context, Frame, Reply, Request};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::config::BrokerValues;
use crate::coordinator::OFFSETS_TOPIC;
use crate::topic::{METADATA_TOPIC, Topic, validate_name};

pub const API: Api = Api { key: 3, name: "Metadata", versions: (0, 13), advertised_from: 0, flexible_from: 9, handle };

/// Every operation that a topic and the cluster know, as bits (`AclOperation` codes): there is no authorizer.
pub const TOPIC_OPERATIONS: i32 = 3576;
pub const CLUSTER_OPERATIONS: i32 = 8096;
/// Operations that were not asked for.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: MetadataRequest = request.decode(body)?;
    let version = request.version;
    let mut answer = Answer { request, asked: &asked, topics: Vec::new() };
    let mut to_create = Vec::new();
    match asked.topics.as_deref() {
        None => answer.all(),
        Some([]) if version == 0 => answer.all(),
        Some(topics) if topics.iter().any(|t| version < 10 && t.name.is_none()) => {
            return Err(BadRequest("a topic without a name".into()));
        }
        Some(topics) => match refused(version, topics) {
            Some(error) => return Ok(Reply::Now(refuse(request, topics, error))),
            None if topics.iter().any(|t| !t.topic_id.is_nil()) => answer.by_id(topics),
            None => to_create = answer.by_name(topics),
        },
    }
    let with_operations = answer.with_operations();
    let topics = answer.topics;
    let mut response = frame_of(&request.context, version, &asked);
    let responder = request.responder;
    // Kafka creates them in one request, which has its limit: beyond that, none.
    let partitions = i64::from(request.broker().topics.config().num_partitions()) * to_create.len() as i64;
    if to_create.is_empty() || partitions > PARTITIONS_PER_REQUEST_MAX {
        response.topics = topics;
        return Ok(Reply::Now(responder.frame(&response)));
    }
    let context = request.context.clone();
    Ok(Reply::carried_out(async move {
        response.topics = topics;
        let broker = &context.broker;
        let names: Vec<String> = to_create.iter().map(|(_, name)| name.clone()).collect();
        side_by_side(names.into_iter().map(|name| create(broker, name))).await;
        for (at, name) in to_create {
            if let Some(topic) = broker.topics.topic(&name) {
                response.topics[at] = describe(&topic, broker.node_id, version, with_operations);
            }
        }
        responder.frame(&response)
    }))
}

/// Creates a topic that is asked for. Whoever is faster, it is there then, or it cannot be.
async fn create(broker: &Arc<BrokerState>, name: String) {
    if name == OFFSETS_TOPIC {
        let _ = broker.groups.ensure_topic().await;
    } else {
        let _ = create_topics::create(broker, TopicSpec::with_defaults(&name)).await;
    }
}

/// What refuses the request as a whole: ids before they are served, and a topic with neither name nor id.
fn refused(version: i16, topics: &[MetadataRequestTopic]) -> Option<Error> {
    let by_id = topics.iter().any(|t| !t.topic_id.is_nil());
    let unnamed = topics.iter().any(|t| t.name.is_none());
    match version {
        ..12 if by_id || unnamed => Some(Error::InvalidRequest),
        _ if unnamed && !by_id => Some(Error::UnknownServerError),
        _ => None,
    }
}

/// An answer without brokers, with the same error for every topic.
fn refuse(request: &Request, topics: &[MetadataRequestTopic], error: Error) -> Frame {
    let version = request.version;
    let mut response = MetadataResponse::default();
    response.controller_id = BrokerId(-1);
    if version >= 13 {
        response.error_code = error.code();
    }
    response.topics = topics
        .iter()
        .map(|topic| {
            let mut out = MetadataResponseTopic::default();
            out.error_code = error.code();
            out.name = Some(topic.name.clone().unwrap_or_default());
            out.topic_id = topic.topic_id;
            out
        })
        .collect();
    request.responder.frame(&response)
}

/// The answer without its topics.
fn frame_of(context: &Arc<Context>, version: i16, asked: &MetadataRequest) -> MetadataResponse {
    let broker = &context.broker;
    let (host, port) = context.advertised();
    let mut node = MetadataResponseBroker::default();
    node.node_id = BrokerId(broker.node_id);
    node.host = StrBytes::from_string(host);
    node.port = port;
    node.rack = None;
    let mut response = MetadataResponse::default();
    if version >= 1 {
        node.rack = broker.config.rack().map(StrBytes::from_string);
        response.controller_id = BrokerId(broker.node_id);
    }
    if version >= 2 {
        response.cluster_id = Some(super::owned(&broker.cluster_id));
    }
    response.brokers = vec![node];
    if (8..=10).contains(&version) && asked.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}

struct Answer<'a> {
    request: &'a Request,
    asked: &'a MetadataRequest,
    topics: Vec<MetadataResponseTopic>,
}

impl Answer<'_> {
    fn with_operations(&self) -> bool {
        self.request.version >= 8 && self.asked.include_topic_authorized_operations
    }

    fn all(&mut self) {
        for topic in self.request.broker().topics.topics() {
            self.topic(&topic);
        }
    }

    /// Names beside ids are ignored, as Kafka does.
    fn by_id(&mut self, topics: &[MetadataRequestTopic]) {
        for id in distinct(topics.iter().filter(|t| !t.topic_id.is_nil()).map(|t| TopicId(t.topic_id))) {
            match self.request.broker().topics.topic_by_id(id) {
                Some(topic) => self.topic(&topic),
                None => self.error(Error::UnknownTopicId, None, id),
            }
        }
    }

    /// Answers which topics are to be created, with their places in the answer.
    fn by_name(&mut self, topics: &[MetadataRequestTopic]) -> Vec<(usize, String)> {
        let manager = &self.request.broker().topics;
        let may_create = (self.request.version < 4 || self.asked.allow_auto_topic_creation)
            && manager.config().auto_create_topics_enable();
        let mut to_create = Vec::new();
        for name in distinct(topics.iter().filter_map(|t| t.name.as_ref())) {
            if let Some(topic) = manager.topic(name) {
                self.topic(&topic);
                continue;
            }
            let valid = validate_name(name).is_ok();
            // Of the internal topics only that of groups is served.
            let is_served = !crate::topic::is_internal(name) || **name == *OFFSETS_TOPIC;
            let creatable = is_served && **name != *METADATA_TOPIC;
            if valid && may_create && creatable {
                to_create.push((self.topics.len(), name.to_string()));
            }
            let error = if valid { Error::UnknownTopicOrPartition } else { Error::InvalidTopicException };
            self.error(error, Some(name.clone()), TopicId::ZERO);
        }
        to_create
    }

    fn topic(&mut self, topic: &Topic) {
        let node_id = self.request.broker().node_id;
        self.topics.push(describe(topic, node_id, self.request.version, self.with_operations()));
    }

    fn error(&mut self, error: Error, name: Option<TopicName>, id: TopicId) {
        let mut out = MetadataResponseTopic::default();
        out.error_code = error.code();
        if name.is_some() && self.with_operations() {
            out.topic_authorized_operations = TOPIC_OPERATIONS;
        }
        out.name = name;
        if self.request.version >= 10 {
            out.topic_id = id.0;
        }
        self.topics.push(out);
    }
}

/// Each once, in the order in which they come first.
fn distinct<T: Clone + Eq + Hash>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut seen = HashSet::new();
    items.filter(move |item| seen.insert(item.clone()))
}

fn describe(topic: &Topic, node_id: i32, version: i16, with_operations: bool) -> MetadataResponseTopic {
    let me = BrokerId(node_id);
    let mut out = MetadataResponseTopic::default();
    out.error_code = NONE;
    out.name = Some(TopicName(super::owned(&topic.name)));
    if version >= 1 {
        out.is_internal = topic.is_internal();
    }
    if version >= 10 {
        out.topic_id = topic.id.0;
    }
    if with_operations {
        out.topic_authorized_operations = TOPIC_OPERATIONS;
    }
    out.partitions = topic
        .partitions()
        .iter()
        .map(|p| {
            let mut out = MetadataResponsePartition::default();
            out.partition_index = p.index;
            out.leader_id = me;
            out.replica_nodes = vec![me];
            out.isr_nodes = vec![me];
            if version >= 5 && p.is_offline() {
                out.offline_replicas = vec![me];
            }
            if version >= 7 {
                out.leader_epoch = p.leader_epoch();
            }
            out
        })
        .collect();
    out
}
