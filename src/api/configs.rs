//! What the four configuration APIs share: resources, their current values, and the records of a change.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::protocol::StrBytes;

use super::errors::{self, Error, Refusal, refusal};
use super::later::side_by_side;
use crate::broker::BrokerState;
use crate::config::alter::{self, AlterError, AlterOp, AlterTarget, Alteration, ErrorName};
use crate::topic::{MetadataRecord, TopicManager, Touch, collision_key, validate_name};

/// Resource types on the wire (`ConfigResource.Type`).
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const BROKER_LOGGER: i8 = 8;
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;

/// A resource whose configuration can be changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    pub kind: i8,
    pub name: String,
}

impl Resource {
    /// What a change of it is checked against. Broker resources must name this broker, or nobody (the cluster default).
    pub fn target(&self, broker: &BrokerState) -> Result<AlterTarget, Refusal> {
        match self.kind {
            TOPIC => Ok(AlterTarget::Topic),
            BROKER if self.name.is_empty() => Ok(AlterTarget::ClusterDefault),
            BROKER => {
                check_broker_id(&self.name, broker.node_id)?;
                Ok(AlterTarget::Broker)
            }
            CLIENT_METRICS => Ok(AlterTarget::ClientMetrics),
            GROUP => Ok(AlterTarget::Group),
            BROKER_LOGGER => {
                Err(refusal(Error::InvalidRequest, "There are no broker loggers: RUST_LOG chooses what is logged"))
            }
            other => Err(refusal(Error::InvalidRequest, format!("Unknown resource type {other}"))),
        }
    }

    pub fn touch(&self) -> Touch {
        match self.kind {
            TOPIC => Touch::Topic(collision_key(&self.name)),
            CLIENT_METRICS => Touch::ClientMetrics(self.name.clone()),
            GROUP => Touch::Group(self.name.clone()),
            _ => Touch::Broker,
        }
    }

    /// What is set on it now. An unknown topic is an error; an unknown group or subscription has nothing set.
    pub fn current(&self, manager: &TopicManager) -> Result<BTreeMap<String, String>, Refusal> {
        match self.kind {
            TOPIC => match manager.topic(&self.name) {
                Some(topic) => Ok(topic.settings().overrides.clone()),
                None => Err(unknown_topic(&self.name)),
            },
            CLIENT_METRICS => Ok(manager.client_metrics_config(&self.name).unwrap_or_default()),
            GROUP => Ok(manager.group_config(&self.name).unwrap_or_default()),
            _ if self.name.is_empty() => Ok(manager.config().cluster_default().clone()),
            _ => Ok(manager.config().broker().clone()),
        }
    }

    /// The record that sets these values and no others.
    pub fn record(&self, manager: &TopicManager, configs: BTreeMap<String, String>) -> Option<MetadataRecord> {
        Some(match self.kind {
            TOPIC => MetadataRecord::TopicConfig { id: manager.topic(&self.name)?.id.0.as_u128(), configs },
            CLIENT_METRICS => MetadataRecord::ClientMetricsConfig { name: self.name.clone(), configs },
            GROUP => MetadataRecord::GroupConfig { group: self.name.clone(), configs },
            _ => MetadataRecord::BrokerConfig { broker: self.name.clone(), configs },
        })
    }
}

fn unknown_topic(name: &str) -> Refusal {
    match validate_name(name) {
        Ok(()) => refusal(Error::UnknownTopicOrPartition, format!("The topic '{name}' does not exist.")),
        Err(why) => refusal(Error::InvalidTopicException, why.0),
    }
}

fn check_broker_id(name: &str, node_id: i32) -> Result<(), Refusal> {
    let Ok(id) = name.parse::<i32>() else {
        return Err(refusal(Error::InvalidRequest, format!("Node id must be an integer, but it is: {name}")));
    };
    if id != node_id {
        let message = format!("Unexpected broker id, expected {node_id}, but received {id}");
        return Err(refusal(Error::InvalidRequest, message));
    }
    Ok(())
}

/// What is asked for one resource.
pub enum Change {
    /// AlterConfigs: these and no others.
    Replace(Vec<(String, Option<String>)>),
    /// IncrementalAlterConfigs: (operation, key, value).
    Incremental(Vec<(i8, String, Option<String>)>),
}

/// The change of a resource as it is answered.
pub struct Altered {
    pub resource: Resource,
    pub error_code: i16,
    pub error_message: Option<StrBytes>,
}

/// Changes each resource by itself. One that is named twice is refused both times.
pub async fn alter_each(broker: &BrokerState, asked: Vec<(Resource, Change)>, validate_only: bool) -> Vec<Altered> {
    let mut times: HashMap<Resource, usize> = HashMap::new();
    for (resource, _) in &asked {
        *times.entry(resource.clone()).or_default() += 1;
    }
    let times = &times;
    let altered = asked.into_iter().map(|(resource, change)| async move {
        let result = match times[&resource] {
            1 => alter_one(broker, resource.clone(), change, validate_only).await,
            _ => Err(refusal(Error::InvalidRequest, "Each resource must appear at most once.")),
        };
        let (error_code, message) = result.err().map_or((0, None), |(error, message)| (error.code(), message));
        Altered { resource, error_code, error_message: message.map(StrBytes::from_string) }
    });
    side_by_side(altered).await
}

/// What is wrong with the request itself is said also where there is no such resource.
async fn alter_one(
    broker: &BrokerState,
    resource: Resource,
    change: Change,
    validate_only: bool,
) -> Result<(), Refusal> {
    let target = resource.target(broker)?;
    alter::check_name(target, &resource.name).map_err(of_alter)?;
    let change = change.checked().map_err(of_alter)?;
    broker
        .topics
        .change(vec![resource.touch()], move |manager| {
            let current = resource.current(manager);
            let before = current.as_ref().ok().cloned().unwrap_or_default();
            let planned = match &change {
                Checked::Replace(entries) => alter::replace_all(&manager.config(), target, &before, entries),
                Checked::Incremental(steps) => alter::apply_incremental(&manager.config(), target, &before, steps),
            };
            match planned.map_err(of_alter).and_then(|configs| current.map(|_| configs)) {
                Ok(configs) if !validate_only => (Vec::from_iter(resource.record(manager, configs)), Ok(())),
                Ok(_) => (Vec::new(), Ok(())),
                Err(refusal) => (Vec::new(), Err(refusal)),
            }
        })
        .await
        .unwrap_or_else(|e| Err((errors::of_change(&e), Some(e.to_string()))))
}

enum Checked {
    Replace(Vec<(String, Option<String>)>),
    Incremental(Vec<Alteration>),
}

impl Change {
    fn checked(self) -> Result<Checked, AlterError> {
        match self {
            Change::Replace(entries) => Ok(Checked::Replace(entries)),
            Change::Incremental(steps) => {
                let step = |(op, key, value)| Ok(Alteration { op: AlterOp::from_code(op)?, key, value });
                steps.into_iter().map(step).collect::<Result<_, _>>().map(Checked::Incremental)
            }
        }
    }
}

fn of_alter(error: AlterError) -> Refusal {
    let code = match error.error {
        ErrorName::InvalidConfig => Error::InvalidConfig,
        ErrorName::InvalidRequest => Error::InvalidRequest,
        // Kafka tells nothing of an exception that it did not expect.
        ErrorName::UnknownServerError => return (Error::UnknownServerError, None),
    };
    (code, Some(error.message))
}
