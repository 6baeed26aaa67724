//! CreateTopics (key 19), versions 2–7.
//!
//! Behaviour (Kafka's `ReplicationControlManager.createTopics`): each topic is checked and created by itself; when the
//! answer leaves, it is durable and visible everywhere. One node holds one replica.
//! Version notes: v4 -1 for the defaults, v5 the configuration in the answer, v7 topic ids.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error, Refusal, refusal};
use super::later::side_by_side;
use super::{Api, BadRequest, Reply, Request};
use crate::base::TopicId;
use crate::broker::BrokerState;
use crate::config::{self, BrokerValues};
use crate::topic::{METADATA_TOPIC, MetadataRecord, TopicManager, Touch, collision_key, validate_name};

pub const API: Api =
    Api { key: 19, name: "CreateTopics", versions: (2, 7), advertised_from: 2, flexible_from: 5, handle };

/// Partitions of all topics of one request (`ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`).
pub const PARTITIONS_PER_REQUEST_MAX: i64 = 10_000;
/// Records that one request may make (`QuorumController.MAX_RECORDS_PER_USER_OP`): one for each topic, partition and
/// configuration. A little more than Kafka's, which leaves no room for a topic of 10,000 partitions.
pub const RECORDS_PER_REQUEST_MAX: i64 = PARTITIONS_PER_REQUEST_MAX + 100;
pub const TOO_MANY_RECORDS: &str = "Unable to perform excessively large batch operation.";

/// A topic as it is asked for.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    pub name: String,
    /// -1 for `num.partitions`.
    pub partitions: i32,
    /// -1 for `default.replication.factor`.
    pub replication_factor: i16,
    /// Partition index and replicas.
    pub assignments: Vec<(i32, Vec<i32>)>,
    pub configs: Vec<(String, Option<String>)>,
    pub validate_only: bool,
    /// Topics of the same request: names are compared with those of topics that were there before it.
    pub beside: Arc<HashSet<String>>,
}

/// A topic as it was created.
#[derive(Clone, Debug)]
pub struct Created {
    pub id: TopicId,
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: BTreeMap<String, String>,
}

impl TopicSpec {
    pub fn with_defaults(name: &str) -> TopicSpec {
        TopicSpec {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
            validate_only: false,
            beside: Arc::default(),
        }
    }
}

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: CreateTopicsRequest = request.decode(body)?;
    let version = request.version;
    if asked.timeout_ms <= 0 {
        // Kafka's controller does not begin what is late already.
        let late = |t: CreatableTopic| {
            answer(request.broker(), version, t.name.to_string(), Err((Error::RequestTimedOut, None)))
        };
        let response = CreateTopicsResponse::default().with_topics(asked.topics.into_iter().map(late).collect());
        return Ok(Reply::Now(request.responder.frame(&response)));
    }
    let mut times: HashMap<TopicName, usize> = HashMap::new();
    for topic in &asked.topics {
        *times.entry(topic.name.clone()).or_default() += 1;
    }
    let beside: Arc<HashSet<String>> = Arc::new(asked.topics.iter().map(|t| t.name.to_string()).collect());
    let count = |t: &CreatableTopic| partitions_of(request.broker(), t.num_partitions, t.assignments.len());
    let total: i64 = asked.topics.iter().map(count).sum();
    let mut results = Vec::new();
    let mut specs = Vec::new();
    for topic in asked.topics {
        // What is named again is answered once.
        let Some(times) = times.remove(&topic.name) else { continue };
        let name = topic.name.to_string();
        if times > 1 {
            results.push((name, Err(refusal(Error::InvalidRequest, "Duplicate topic name."))));
        } else if name == METADATA_TOPIC {
            let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            results.push((name, Err(refusal(Error::InvalidRequest, message))));
        } else if total > PARTITIONS_PER_REQUEST_MAX {
            let message = "Excessively large number of partitions per request.";
            results.push((name, Err(refusal(Error::PolicyViolation, message))));
        } else {
            specs.push(spec(topic, asked.validate_only, beside.clone()));
        }
    }
    let records: i64 = specs.iter().map(|s| records_of(request.broker(), s)).sum();
    if records > RECORDS_PER_REQUEST_MAX {
        let refused = specs.drain(..).map(|s| (s.name, Err(refusal(Error::PolicyViolation, TOO_MANY_RECORDS))));
        results.extend(refused);
    }
    let responder = request.responder;
    let broker = request.broker().clone();
    Ok(Reply::carried_out(async move {
        let created = specs.into_iter().map(|spec| async {
            let name = spec.name.clone();
            (name, create(&broker, spec).await)
        });
        results.extend(side_by_side(created).await);
        let mut response = CreateTopicsResponse::default();
        response.topics = results.into_iter().map(|(name, r)| answer(&broker, version, name, r)).collect();
        responder.frame(&response)
    }))
}

fn partitions_of(broker: &BrokerState, asked: i32, assignments: usize) -> i64 {
    if assignments > 0 {
        assignments as i64
    } else if asked == -1 {
        i64::from(broker.topics.config().num_partitions())
    } else {
        i64::from(asked.max(0))
    }
}

fn records_of(broker: &BrokerState, spec: &TopicSpec) -> i64 {
    1 + spec.configs.len() as i64 + partitions_of(broker, spec.partitions, spec.assignments.len())
}

fn spec(topic: CreatableTopic, validate_only: bool, beside: Arc<HashSet<String>>) -> TopicSpec {
    TopicSpec {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|a| (a.partition_index, a.broker_ids.into_iter().map(|b| b.0).collect()))
            .collect(),
        configs: topic.configs.into_iter().map(|c| (c.name.to_string(), c.value.map(|v| v.to_string()))).collect(),
        validate_only,
        beside,
    }
}

/// Checks and creates one topic.
pub async fn create(broker: &Arc<BrokerState>, spec: TopicSpec) -> Result<Created, Refusal> {
    let touches = vec![Touch::Topic(collision_key(&spec.name))];
    let node_id = broker.node_id;
    let now_ms = broker.clock.wall_ms();
    broker
        .topics
        .change(touches, move |manager| {
            let planned = plan(manager, node_id, &spec);
            let mut records = Vec::new();
            if let (Ok(created), false) = (&planned, spec.validate_only) {
                tracing::info!(topic = spec.name, topic_id = %created.id, partitions = created.partitions, "creating topic");
                records.push(MetadataRecord::TopicCreated {
                    name: spec.name.clone(),
                    id: created.id.0.as_u128(),
                    partitions: created.partitions as u32,
                    created_at_ms: now_ms,
                    configs: created.configs.clone(),
                });
            }
            (records, planned)
        })
        .await
        .unwrap_or_else(|e| Err((errors::of_change(&e), Some(e.to_string()))))
}

fn plan(manager: &TopicManager, node_id: i32, spec: &TopicSpec) -> Result<Created, Refusal> {
    let name = &spec.name;
    validate_name(name).map_err(|e| refusal(Error::InvalidTopicException, e.0))?;
    if manager.topic(name).is_some() {
        return Err(refusal(Error::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
    }
    if let Some(other) = manager.colliding(name, &spec.beside) {
        let message = format!("Topic '{name}' collides with existing topic: {other}");
        return Err(refusal(Error::InvalidTopicException, message));
    }
    let configs = configs(manager, spec)?;
    let broker = manager.config();
    let (partitions, replication_factor) = if spec.assignments.is_empty() {
        check_counts(spec)?;
        let partitions = if spec.partitions == -1 { broker.num_partitions() } else { spec.partitions };
        let factor =
            if spec.replication_factor == -1 { broker.default_replication_factor() } else { spec.replication_factor };
        if factor > 1 {
            let message = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached because only 1 broker(s) are registered."
            );
            return Err(refusal(Error::InvalidReplicationFactor, message));
        }
        (partitions, factor)
    } else {
        check_assignments(spec, node_id)?;
        (spec.assignments.len() as i32, spec.assignments[0].1.len() as i16)
    };
    Ok(Created { id: TopicId::random(), partitions, replication_factor, configs })
}

fn configs(manager: &TopicManager, spec: &TopicSpec) -> Result<BTreeMap<String, String>, Refusal> {
    let mut map = BTreeMap::new();
    let mut nulls = Vec::new();
    for (key, value) in &spec.configs {
        match value {
            Some(value) => {
                map.insert(key.clone(), value.clone());
            }
            None => nulls.push(key.as_str()),
        }
    }
    if !nulls.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err(refusal(Error::InvalidConfig, message));
    }
    config::topic::validate(&manager.config(), &map).map_err(|e| refusal(Error::InvalidConfig, e.message.clone()))?;
    Ok(map)
}

fn check_counts(spec: &TopicSpec) -> Result<(), Refusal> {
    if spec.replication_factor < -1 || spec.replication_factor == 0 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(refusal(Error::InvalidReplicationFactor, message));
    }
    if spec.partitions < -1 || spec.partitions == 0 {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return Err(refusal(Error::InvalidPartitions, message));
    }
    Ok(())
}

fn check_assignments(spec: &TopicSpec, node_id: i32) -> Result<(), Refusal> {
    let named = "A manual partition assignment was specified, but";
    if spec.replication_factor != -1 {
        return Err(refusal(Error::InvalidRequest, format!("{named} replication factor was not set to -1.")));
    }
    if spec.partitions != -1 {
        return Err(refusal(Error::InvalidRequest, format!("{named} numPartitions was not set to -1.")));
    }
    let mut seen = BTreeSet::new();
    for (partition, replicas) in &spec.assignments {
        if !seen.insert(*partition) {
            let message = format!("Found multiple manual partition assignments for partition {partition}");
            return Err(refusal(Error::InvalidReplicaAssignment, message));
        }
        check_replicas(replicas, node_id)?;
    }
    if seen.iter().enumerate().any(|(i, partition)| *partition != i as i32) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err(refusal(Error::InvalidReplicaAssignment, message));
    }
    Ok(())
}

/// Kafka's `validateManualPartitionAssignment`, for the one broker there is.
pub fn check_replicas(replicas: &[i32], node_id: i32) -> Result<(), Refusal> {
    let invalid = |message: String| Err(refusal(Error::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return invalid("The manual partition assignment includes an empty replica list.".into());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    for (i, replica) in sorted.iter().enumerate() {
        if *replica != node_id {
            return invalid(format!(
                "The manual partition assignment includes broker {replica}, but no such broker is registered."
            ));
        }
        if i > 0 && sorted[i - 1] == *replica {
            return invalid(format!("The manual partition assignment includes the broker {replica} more than once."));
        }
    }
    Ok(())
}

fn answer(broker: &BrokerState, version: i16, name: String, result: Result<Created, Refusal>) -> CreatableTopicResult {
    let mut out = CreatableTopicResult::default();
    out.error_message = None;
    match result {
        Ok(created) => {
            if version >= 5 {
                out.num_partitions = created.partitions;
                out.replication_factor = created.replication_factor;
                out.configs = Some(described(broker, &created));
            }
            if version >= 7 {
                out.topic_id = created.id.0;
            }
        }
        Err((error, message)) => {
            out.error_code = error.code();
            out.error_message = message.map(StrBytes::from_string);
            if version >= 5 {
                out.configs = Some(Vec::new());
            }
        }
    }
    out.name = StrBytes::from_string(name).into();
    out
}

/// Every configuration of the new topic, sorted by name.
fn described(broker: &BrokerState, created: &Created) -> Vec<CreatableTopicConfigs> {
    config::describe::created_topic(&broker.topics.config(), &created.configs)
        .into_iter()
        .map(|entry| {
            let mut out = CreatableTopicConfigs::default();
            out.name = StrBytes::from_string(entry.name);
            out.value = entry.value.map(StrBytes::from_string);
            out.read_only = entry.read_only;
            out.config_source = entry.source as i8;
            out.is_sensitive = entry.sensitive;
            out
        })
        .collect()
}
