//! The cluster as ONE value: everything a request may call, built once and passed around. No statics.
//!
//! Owns the data directory, the topic manager, fetch sessions and the addresses the broker is reached by. Knows neither
//! `api` nor `net`. Called by `api` and `server`.

pub mod data_dir;
pub mod sessions;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::base::Clock;
use crate::config::BrokerConfig;
use crate::coordinator::{GroupCoordinator, TransactionCoordinator};
use crate::topic::{TopicManager, TopicManagerOptions};
use data_dir::DataDir;
pub use data_dir::{format_data_dir, read_cluster_id};
use sessions::FetchSessions;

/// A listener as it is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    /// What clients are told, where that was configured: host and port.
    pub advertised: Option<(String, u16)>,
    /// Host as configured ("localhost" where every interface is meant) and the port that was bound.
    pub bound: (String, u16),
    pub is_controller: bool,
}

/// How a broker is started.
pub struct BrokerOptions {
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub ephemeral: bool,
    /// Called when durability is lost for good (the WAL failed): the process must stop.
    pub on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Why a broker does not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration cannot be used.
    Config(String),
    Failed(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Config(why) | StartError::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StartError {}

pub struct BrokerState {
    pub config: Arc<BrokerConfig>,
    pub clock: Clock,
    pub topics: Arc<TopicManager>,
    pub groups: Arc<GroupCoordinator>,
    pub transactions: Arc<TransactionCoordinator>,
    pub sessions: FetchSessions,
    pub cluster_id: String,
    pub node_id: i32,
    pub data_dir: DataDir,
    endpoints: OnceLock<Vec<Endpoint>>,
    stopped: Mutex<bool>,
}

/// For the mark of a clean stop where no Kafka has ever registered this broker.
const NO_KAFKA_EPOCH: i64 = 1;

impl BrokerState {
    /// Locks and recovers the data directory. Blocking.
    pub fn start(options: BrokerOptions) -> Result<BrokerState, StartError> {
        use crate::config::BrokerValues;
        let data_dir = DataDir::open(&options.config, options.ephemeral)?;
        let store = crate::topic::open_store(&options.config).map_err(StartError::Config)?;
        let topics = TopicManager::start(TopicManagerOptions {
            cluster_id: data_dir.cluster_id().to_owned(),
            store,
            data_dir: data_dir.path().to_owned(),
            ephemeral: options.ephemeral,
            clock: options.clock.clone(),
            config: options.config.clone(),
            open_mode: data_dir.left_as(),
            on_fatal: options.on_fatal,
        })
        .map_err(|why| StartError::Failed(format!("{}: {why}", data_dir.path().display())))?;
        data_dir.mark_running()?;
        let slots = options.config.get_i32("max.incremental.fetch.session.cache.slots");
        let no_thread =
            |e: std::io::Error| StartError::Failed(format!("starting the threads of the coordinators: {e}"));
        let groups = GroupCoordinator::start(topics.clone(), options.clock.clone()).map_err(no_thread)?;
        let transactions =
            TransactionCoordinator::start(topics.clone(), groups.clone(), options.clock.clone()).map_err(no_thread)?;
        Ok(BrokerState {
            sessions: FetchSessions::new(usize::try_from(slots).unwrap_or(0)),
            cluster_id: data_dir.cluster_id().to_owned(),
            node_id: options.config.node_id(),
            config: options.config,
            groups,
            transactions,
            clock: options.clock,
            topics,
            data_dir,
            endpoints: OnceLock::new(),
            stopped: Mutex::new(false),
        })
    }

    /// Told once, when all listeners are bound.
    pub fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        let _ = self.endpoints.set(endpoints);
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        self.endpoints.get().map_or(&[], Vec::as_slice)
    }

    /// Closes everything in order and writes the clean mark. Blocking. Later calls do nothing.
    pub fn stop(&self) -> bool {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *stopped, true) {
            return true;
        }
        self.transactions.stop();
        self.groups.stop();
        let clean = self.topics.stop();
        if clean {
            self.data_dir.mark_clean(self.topics.kafka_broker_epoch().unwrap_or(NO_KAFKA_EPOCH));
        }
        clean
    }
}
