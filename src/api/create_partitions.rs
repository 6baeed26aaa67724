//! CreatePartitions (key 37), versions 0–3.
//!
//! Behaviour: a topic only grows; of several that ask for the same count at once, one succeeds. Durable and visible
//! everywhere when the answer leaves. Version notes: none that show on one node.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::create_topics::{RECORDS_PER_REQUEST_MAX, check_replicas};
use super::errors::{self, Error, Refusal, refusal};
use super::later::side_by_side;
use super::{Api, BadRequest, Reply, Request};
use crate::broker::BrokerState;
use crate::topic::{MetadataRecord, TopicManager, Touch, collision_key};

pub const API: Api =
    Api { key: 37, name: "CreatePartitions", versions: (0, 3), advertised_from: 0, flexible_from: 2, handle };

struct Growth {
    topic: String,
    count: i32,
    /// Replicas of each new partition.
    assignments: Option<Vec<Vec<i32>>>,
    validate_only: bool,
    /// Of the whole request (`QuorumController.MAX_RECORDS_PER_USER_OP`): a record for each partition.
    records_left: Arc<AtomicI64>,
}

fn handle(request: &Request, body: Bytes) -> Result<Reply, BadRequest> {
    let asked: CreatePartitionsRequest = request.decode(body)?;
    if asked.timeout_ms <= 0 {
        // Kafka's controller does not begin what is late already.
        let late = |t: CreatePartitionsTopic| answer(t.name.to_string(), Err((Error::RequestTimedOut, None)));
        let response = CreatePartitionsResponse::default().with_results(asked.topics.into_iter().map(late).collect());
        return Ok(Reply::Now(request.responder.frame(&response)));
    }
    let mut times: HashMap<TopicName, usize> = HashMap::new();
    for topic in &asked.topics {
        *times.entry(topic.name.clone()).or_default() += 1;
    }
    let records_left = Arc::new(AtomicI64::new(RECORDS_PER_REQUEST_MAX));
    let mut results = Vec::new();
    let mut growths = Vec::new();
    for topic in asked.topics {
        // What is named again is answered once.
        let Some(times) = times.remove(&topic.name) else { continue };
        if times > 1 {
            results.push((topic.name.to_string(), Err(refusal(Error::InvalidRequest, "Duplicate topic name."))));
        } else {
            growths.push(growth(topic, asked.validate_only, records_left.clone()));
        }
    }
    let responder = request.responder;
    let broker = request.broker().clone();
    Ok(Reply::carried_out(async move {
        let grown = growths.into_iter().map(|growth| async {
            let name = growth.topic.clone();
            (name, grow(&broker, growth).await)
        });
        results.extend(side_by_side(grown).await);
        let mut response = CreatePartitionsResponse::default();
        response.results = results.into_iter().map(|(name, result)| answer(name, result)).collect();
        responder.frame(&response)
    }))
}

fn answer(name: String, result: Result<(), Refusal>) -> CreatePartitionsTopicResult {
    let mut out = CreatePartitionsTopicResult::default();
    out.error_message = None;
    out.name = StrBytes::from_string(name).into();
    if let Err((error, message)) = result {
        out.error_code = error.code();
        out.error_message = message.map(StrBytes::from_string);
    }
    out
}

fn growth(topic: CreatePartitionsTopic, validate_only: bool, records_left: Arc<AtomicI64>) -> Growth {
    Growth {
        topic: topic.name.to_string(),
        count: topic.count,
        assignments: topic
            .assignments
            .map(|list| list.into_iter().map(|a| a.broker_ids.into_iter().map(|b| b.0).collect()).collect()),
        validate_only,
        records_left,
    }
}

async fn grow(broker: &Arc<BrokerState>, growth: Growth) -> Result<(), Refusal> {
    let touches = vec![Touch::Topic(collision_key(&growth.topic))];
    let node_id = broker.node_id;
    broker
        .topics
        .change(touches, move |manager| match plan(manager, node_id, &growth) {
            Ok(_) if growth.validate_only => (Vec::new(), Ok(())),
            Ok(record) => (vec![record], Ok(())),
            Err(refusal) => (Vec::new(), Err(refusal)),
        })
        .await
        .unwrap_or_else(|e| Err((errors::of_change(&e), Some(e.to_string()))))
}

fn plan(manager: &TopicManager, node_id: i32, growth: &Growth) -> Result<MetadataRecord, Refusal> {
    let topic = manager.topic(&growth.topic).ok_or((Error::UnknownTopicOrPartition, None))?;
    let current = topic.partitions().len() as i32;
    let count = growth.count;
    let invalid = |message: String| Err(refusal(Error::InvalidPartitions, message));
    if count == current {
        return invalid(format!("Topic already has {current} partition(s)."));
    }
    if count < current {
        return invalid(format!(
            "The topic {} currently has {current} partition(s); {count} would not be an increase.",
            topic.name
        ));
    }
    let added = count - current;
    if i64::from(added) > growth.records_left.load(Ordering::Relaxed) {
        return Err((Error::UnknownServerError, None));
    }
    if let Some(assignments) = &growth.assignments {
        if assignments.len() as i32 != added {
            let message = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(refusal(Error::InvalidReplicaAssignment, message));
        }
        for replicas in assignments {
            check_replicas(replicas, node_id)?;
        }
    }
    growth.records_left.fetch_sub(i64::from(added), Ordering::Relaxed);
    Ok(MetadataRecord::PartitionsAdded { id: topic.id.0.as_u128(), total: count as u32 })
}
