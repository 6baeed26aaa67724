//! A client of any Kafka-compatible cluster, for our own commands: one request at a time, on the caller's thread.
//!
//! Owns connections, version negotiation and the way to the right broker: any, the controller, a group's coordinator, a
//! partition's leader. Knows nothing of the broker beside it: it talks to Apache Kafka as well.

mod connection;
mod records;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};

use crate::base::Clock;
use connection::Connection;
pub use records::{ConsumedRecord, records_of};

/// Pause before a request is sent again that could not be served yet (`retry.backoff.ms` of Kafka's clients).
const RETRY: Duration = Duration::from_millis(100);
/// Kafka's key type of groups in FindCoordinator.
const GROUP: i8 = 0;

/// Why something could not be had.
#[derive(Debug)]
pub enum ClientError {
    /// The connection to `address` failed.
    Unreachable { address: String, why: std::io::Error },
    /// The broker refused.
    Refused { error: ResponseError, message: Option<String> },
    /// The broker does not serve this request, or not in a version that can say what is asked.
    Unsupported(String),
}

impl ClientError {
    /// Of an error code in an answer, with the message beside it; nothing for code 0.
    pub fn check(code: i16, message: Option<&StrBytes>) -> Result<()> {
        match ResponseError::try_from_code(code) {
            None => Ok(()),
            Some(error) => {
                let message = message.map(ToString::to_string).filter(|message| !message.is_empty());
                Err(ClientError::Refused { error, message })
            }
        }
    }

    /// Whether it may pass by itself: the broker is away, or not ready, or no longer the right one.
    pub fn may_pass(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } => true,
            ClientError::Refused { error, .. } => error.is_retriable(),
            ClientError::Unsupported(_) => false,
        }
    }

    pub fn is(&self, wanted: ResponseError) -> bool {
        matches!(self, ClientError::Refused { error, .. } if *error == wanted)
    }
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClientError::Unreachable { address, why } => write!(f, "{address}: {why}"),
            ClientError::Refused { error, message: Some(message) } => write!(f, "{message} ({})", name_of(*error)),
            ClientError::Refused { error, message: None } => f.write_str(&name_of(*error)),
            ClientError::Unsupported(what) => write!(f, "{what} (UNSUPPORTED_VERSION)"),
        }
    }
}

impl std::error::Error for ClientError {}

pub type Result<T> = std::result::Result<T, ClientError>;

/// Kafka's name of an error: `UNKNOWN_TOPIC_OR_PARTITION`.
pub fn name_of(error: ResponseError) -> String {
    let mut name = String::new();
    for (at, letter) in format!("{error:?}").chars().enumerate() {
        if at > 0 && letter.is_uppercase() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

/// Who a request goes to.
#[derive(Clone, Debug)]
pub enum To<'a> {
    Any,
    Controller,
    Node(i32),
    CoordinatorOf(&'a str),
}

pub struct Client {
    bootstrap: Vec<String>,
    timeout: Duration,
    connections: HashMap<String, Connection>,
    /// `host:port` of the brokers, as Metadata gave them last.
    brokers: BTreeMap<i32, String>,
    controller: i32,
    coordinators: HashMap<String, i32>,
}

impl Client {
    /// `bootstrap` is a list of `host:port`, of which the first that answers is taken. Nothing takes longer than `timeout`.
    pub fn new(bootstrap: &str, timeout: Duration) -> Client {
        Client {
            bootstrap: bootstrap.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect(),
            timeout,
            connections: HashMap::new(),
            brokers: BTreeMap::new(),
            controller: -1,
            coordinators: HashMap::new(),
        }
    }

    /// Forgets who is who: everything is asked anew.
    pub fn forget(&mut self) {
        self.connections.clear();
        self.brokers.clear();
        self.coordinators.clear();
        self.controller = -1;
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a request in the highest version that both know, `version_max` at most.
    pub fn call<R: Request>(&mut self, to: To<'_>, version_max: i16, request: &R) -> Result<R::Response> {
        let address = self.address_of(to)?;
        let timeout = self.timeout;
        let answer = self.connection(&address)?.call(version_max, request, timeout);
        if matches!(answer, Err(ClientError::Unreachable { .. })) {
            self.connections.remove(&address);
        }
        answer
    }

    /// Sends a request that has no answer (Produce with `acks` 0).
    pub fn tell<R: Request>(&mut self, to: To<'_>, version_max: i16, request: &R) -> Result<()> {
        let address = self.address_of(to)?;
        self.connection(&address)?.tell(version_max, request)
    }

    /// Whether the broker serves a request in a version of at least `version`.
    pub fn serves(&mut self, to: To<'_>, key: i16, version: i16) -> Result<bool> {
        let address = self.address_of(to)?;
        Ok(self.connection(&address)?.versions().get(&key).is_some_and(|served| served.1 >= version))
    }

    /// What the broker at `address` (`host:port`) serves: lowest and highest version by key.
    pub fn versions_of(&mut self, address: &str) -> Result<BTreeMap<i16, (i16, i16)>> {
        Ok(self.connection(address)?.versions().clone())
    }

    /// `host:port` of all brokers by id.
    pub fn brokers(&mut self) -> Result<BTreeMap<i32, String>> {
        if self.brokers.is_empty() {
            self.metadata(Some(&[]))?;
        }
        Ok(self.brokers.clone())
    }

    /// Of all topics, or of those named; none of them is created.
    pub fn metadata(&mut self, topics: Option<&[&str]>) -> Result<MetadataResponse> {
        let name = |topic: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let request = MetadataRequest::default()
            .with_topics(topics.map(|topics| topics.iter().map(name).collect()))
            .with_allow_auto_topic_creation(false);
        let answer = self.call(To::Any, i16::MAX, &request)?;
        self.brokers = answer.brokers.iter().map(|b| (b.node_id.0, format!("{}:{}", b.host, b.port))).collect();
        self.controller = answer.controller_id.0;
        Ok(answer)
    }

    /// Asks for a topic so that a broker creates it that creates topics by itself (`auto.create.topics.enable`).
    pub fn create_by_itself(&mut self, topic: &str) -> Result<()> {
        let wanted = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(true);
        self.retried(|client| {
            let answer = client.call(To::Any, i16::MAX, &request)?;
            answer.topics.iter().try_for_each(|topic| ClientError::check(topic.error_code, None))
        })
    }

    /// Asks `attempt` again, until the time is over, as long as the answer may change by itself.
    pub fn retried<T>(&mut self, mut attempt: impl FnMut(&mut Client) -> Result<T>) -> Result<T> {
        let clock = Clock::system();
        let deadline = clock.instant() + self.timeout;
        loop {
            match attempt(self) {
                Err(ClientError::Refused { error, message }) if error.is_retriable() => {
                    if clock.instant() + RETRY >= deadline {
                        return Err(ClientError::Refused { error, message });
                    }
                    self.coordinators.clear();
                    std::thread::sleep(RETRY);
                }
                other => return other,
            }
        }
    }

    /// `host:port (id)` of a group's coordinator.
    pub fn coordinator(&mut self, group: &str) -> Result<String> {
        let node = self.coordinator_of(group)?;
        Ok(format!("{} ({node})", self.address_of(To::Node(node))?))
    }

    fn address_of(&mut self, to: To<'_>) -> Result<String> {
        let node = match to {
            To::Any => return self.any(),
            To::Node(node) => node,
            To::Controller => {
                if self.controller < 0 {
                    self.metadata(Some(&[]))?;
                }
                self.controller
            }
            To::CoordinatorOf(group) => self.coordinator_of(group)?,
        };
        match self.brokers()?.get(&node) {
            Some(address) => Ok(address.clone()),
            None => Err(ClientError::Refused { error: ResponseError::BrokerNotAvailable, message: None }),
        }
    }

    /// The first bootstrap server that takes a connection.
    fn any(&mut self) -> Result<String> {
        let mut failure = None;
        for address in self.bootstrap.clone() {
            match self.connection(&address) {
                Ok(_) => return Ok(address),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| ClientError::Unsupported("no bootstrap server is named".to_owned())))
    }

    fn coordinator_of(&mut self, group: &str) -> Result<i32> {
        if let Some(node) = self.coordinators.get(group) {
            return Ok(*node);
        }
        let node = self.retried(|client| {
            let key = StrBytes::from_string(group.to_owned());
            let request = FindCoordinatorRequest::default().with_key_type(GROUP);
            // From version 4 on there is a list of keys instead of one.
            let request = match client.serves(To::Any, <FindCoordinatorRequest as Request>::KEY, 4)? {
                true => request.with_coordinator_keys(vec![key]),
                false => request.with_key(key),
            };
            let answer: FindCoordinatorResponse = client.call(To::Any, i16::MAX, &request)?;
            match answer.coordinators.first() {
                Some(found) => {
                    ClientError::check(found.error_code, found.error_message.as_ref())?;
                    Ok(found.node_id.0)
                }
                None => {
                    ClientError::check(answer.error_code, answer.error_message.as_ref())?;
                    Ok(answer.node_id.0)
                }
            }
        })?;
        self.coordinators.insert(group.to_owned(), node);
        Ok(node)
    }

    fn connection(&mut self, address: &str) -> Result<&mut Connection> {
        if !self.connections.contains_key(address) {
            let connection = Connection::open(address, self.timeout)?;
            self.connections.insert(address.to_owned(), connection);
        }
        Ok(self.connections.get_mut(address).expect("just put in"))
    }
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
