//! Values that change while the broker runs, over the static configuration (KIP-226).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::broker::{BrokerConfig, Redacted};
use super::listener::Listener;
use super::value::Value;
use super::values::{BrokerValues, first_valid};

/// Broker values as they are in effect: this broker's, else the cluster default, else the static ones, else defaults.
///
/// A value in itself: a change makes a new one, which the caller publishes.
#[derive(Clone)]
pub struct DynamicBrokerConfig {
    fixed: Arc<BrokerConfig>,
    cluster: BTreeMap<String, String>,
    broker: BTreeMap<String, String>,
}

impl DynamicBrokerConfig {
    /// With the dynamic values of a fresh cluster (see [`Self::fresh_cluster_default`]) and none for this broker.
    pub fn new(fixed: Arc<BrokerConfig>) -> Self {
        Self { cluster: Self::fresh_cluster_default(&fixed), broker: BTreeMap::new(), fixed }
    }

    /// The cluster-wide default that formatting a Kafka 4.2 leaves behind: `min.insync.replicas`, which eligible leader
    /// replicas (KIP-966) move from each broker's file to the cluster.
    pub fn fresh_cluster_default(fixed: &BrokerConfig) -> BTreeMap<String, String> {
        BTreeMap::from([("min.insync.replicas".to_owned(), fixed.get_i64("min.insync.replicas").to_string())])
    }

    /// The same broker with other cluster-wide defaults (resource name "").
    pub fn with_cluster_default(&self, cluster: BTreeMap<String, String>) -> Self {
        Self { cluster, ..self.clone() }
    }

    /// The same broker with other values of its own (resource name: its id).
    pub fn with_broker(&self, broker: BTreeMap<String, String>) -> Self {
        Self { broker, ..self.clone() }
    }

    pub fn fixed(&self) -> &Arc<BrokerConfig> {
        &self.fixed
    }

    /// What a listener advertises since it was changed, which a set-up for a Kafka with ZooKeeper may do (KIP-226).
    pub fn advertised_since(&self, listener: &str) -> Option<Listener> {
        let text = self.broker.get("advertised.listeners").filter(|_| self.fixed.is_with_zookeeper())?;
        let advertised = self.fixed.check_advertised(text).ok()?;
        advertised.into_iter().find(|one| one.name.eq_ignore_ascii_case(listener))
    }

    /// Cluster-wide defaults as set.
    pub fn cluster_default(&self) -> &BTreeMap<String, String> {
        &self.cluster
    }

    /// This broker's values as set.
    pub fn broker(&self) -> &BTreeMap<String, String> {
        &self.broker
    }
}

impl fmt::Debug for DynamicBrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicBrokerConfig")
            .field("fixed", &self.fixed)
            .field("cluster", &Redacted(&self.cluster))
            .field("broker", &Redacted(&self.broker))
            .finish()
    }
}

impl BrokerValues for DynamicBrokerConfig {
    fn value(&self, key: &str) -> Value {
        first_valid(key, [self.broker.get(key), self.cluster.get(key), self.fixed.set_keys().get(key)])
    }
}
