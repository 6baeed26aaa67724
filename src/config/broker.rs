//! The static configuration of a broker, from layered sources.

pub(super) mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::defaults;
use super::environment;
use super::error::ConfigError;
use super::listener::{self, Listener, SecurityProtocol};
use super::properties;
use super::table::{self, Support};
use super::value::{self, Value};
use super::values::{BrokerValues, first_valid};

/// What a broker was started with. Never changes; dynamic values lie over it in [`super::DynamicBrokerConfig`].
#[derive(Clone)]
pub struct BrokerConfig {
    /// Keys as set by file, environment or arguments, unknown ones included.
    set: BTreeMap<String, String>,
    cluster_id: Option<String>,
    /// `CLUSTER_ID`: for a directory that has none.
    fresh_cluster_id: Option<String>,
    listeners: Vec<Listener>,
    advertised: Vec<Listener>,
    controller_names: Vec<String>,
    inter_broker: Option<String>,
    also_bound: Option<Listener>,
}

/// Something an operator should read once: it does not stop the broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// A key of Kafka's that changes nothing here.
    AcceptedWithoutEffect { key: String },
    /// A key that Kafka does not know either.
    Unknown { key: String },
    /// Several log directories: only the first is used.
    FirstLogDirOnly { used: String, ignored: Vec<String> },
    /// A quorum of several nodes: this one is a cluster of its own.
    OtherNodes { voters: String },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptedWithoutEffect { key } => write!(f, "{key} is accepted without effect"),
            Self::Unknown { key } => write!(f, "{key} is not a known configuration key: ignored"),
            Self::FirstLogDirOnly { used, ignored } => {
                write!(f, "only the first log directory is used: {used}, not {}", ignored.join(", "))
            }
            Self::OtherNodes { voters } => {
                write!(f, "this broker is a cluster of its own: it takes no part in the quorum {voters}")
            }
        }
    }
}

/// Collects the layers in order: what is added later wins.
#[derive(Clone, Default)]
pub struct BrokerConfigBuilder {
    set: BTreeMap<String, String>,
    fresh_cluster_id: Option<String>,
    /// What the environment's `advertised.listeners` give where it sets no `listeners`.
    derived_listeners: Option<String>,
    exposed_port: Option<u16>,
}

impl BrokerConfigBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a `server.properties` file; what cannot be read is an error that names the file.
    pub fn properties_file(self, path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|error| {
            let name = path.display().to_string();
            ConfigError::new("configuration file", &name, format!("Cannot read configuration file {name}: {error}"))
        })?;
        self.properties(&String::from_utf8_lossy(&bytes))
    }

    /// Adds the text of a `server.properties` file.
    pub fn properties(mut self, text: &str) -> Result<Self, ConfigError> {
        self.set.extend(properties::parse(text)?);
        Ok(self)
    }

    /// Adds `CLUSTER_ID` and the variables of Kafka's images and of bitnami's (see [`environment`]); others are not looked at.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut found = BTreeMap::new();
        let (bitnamis, plain): (Vec<_>, Vec<_>) =
            variables.into_iter().partition(|(variable, _)| environment::is_bitnamis(variable));
        for (variable, value) in plain.into_iter().chain(bitnamis) {
            if environment::FORMATTING_ID.contains(&variable.as_str()) {
                self.fresh_cluster_id = Some(value);
            } else if let Some(key) = environment::key_of(&variable) {
                found.insert(key, value);
            }
        }
        if let (Some(advertised), None) = (found.get("advertised.listeners"), found.get("listeners")) {
            let listeners = environment::listeners_from_advertised(advertised);
            if !self.set.contains_key("listeners") {
                found.insert("listeners".to_owned(), listeners.clone());
                self.derived_listeners = Some(listeners);
            }
        }
        self.set.extend(found);
        self
    }

    /// A port that is reached from outside whatever is advertised, as the one that an image exposes. It is bound for the
    /// first listener as well where `listeners` were derived from `advertised.listeners`.
    pub fn exposed_port(mut self, port: u16) -> Self {
        self.exposed_port = Some(port);
        self
    }

    /// Adds one `key=value` argument.
    pub fn override_with(mut self, argument: &str) -> Result<Self, ConfigError> {
        let (key, value) = argument.split_once('=').ok_or_else(|| {
            let message = format!("Cannot read override {argument}: it must be key=value");
            ConfigError::new("--override", argument, message)
        })?;
        self.set.insert(key.trim().to_owned(), value.to_owned());
        Ok(self)
    }

    /// Sets one key, for code that builds a broker.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set.insert(key.to_owned(), value.into());
        self
    }

    /// Checks everything together. The notices hold each key once, sorted.
    pub fn build(self) -> Result<(BrokerConfig, Vec<Notice>), ConfigError> {
        let Self { mut set, fresh_cluster_id, derived_listeners, exposed_port } = self;
        let cluster_id = set.remove("cluster.id");
        unite_ids(&mut set)?;
        drop_trailing_commas(&mut set);
        if set.contains_key("advertised.listeners") && !set.contains_key("listeners") {
            // Who advertises an address means to be reached: Kafka's own default, not the loopback of ours.
            let kafkas = table::find(table::Scope::Broker, "listeners").and_then(|key| key.default);
            set.insert("listeners".to_owned(), kafkas.unwrap_or_default().to_owned());
        }
        let mut notices = check_each(&set)?;
        let mut config = BrokerConfig {
            set,
            cluster_id,
            fresh_cluster_id: fresh_cluster_id.filter(|id| !id.is_empty()),
            listeners: Vec::new(),
            advertised: Vec::new(),
            controller_names: Vec::new(),
            inter_broker: None,
            also_bound: None,
        };
        check::relations(&config, &config)?;
        config.resolve_listeners()?;
        if derived_listeners.is_some() && derived_listeners.as_ref() == config.set.get("listeners") {
            config.also_bound = exposed_port.and_then(|port| config.at_exposed_port(port));
        }
        let voters = config.get_list("controller.quorum.voters");
        if voters.len() > 1 {
            notices.insert(Notice::OtherNodes { voters: voters.join(",") });
        }
        let dirs = config.log_dirs();
        if dirs.len() > 1 {
            notices.insert(Notice::FirstLogDirOnly { used: dirs[0].clone(), ignored: dirs[1..].to_vec() });
        }
        Ok((config, notices.into_iter().collect()))
    }
}

impl BrokerConfig {
    /// A broker that nobody configured.
    pub fn defaults() -> Self {
        let built = BrokerConfigBuilder::new().build();
        built.expect("a test builds the defaults").0
    }

    /// The keys that were set, with their text as given.
    pub fn set_keys(&self) -> &BTreeMap<String, String> {
        &self.set
    }

    /// The cluster id that the data directory must have (`cluster.id`); without one the directory decides.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The id for a data directory that has none: `cluster.id`, or `CLUSTER_ID`, which in Kafka's images is what formats.
    pub fn fresh_cluster_id(&self) -> Option<&str> {
        self.cluster_id().or(self.fresh_cluster_id.as_deref())
    }

    pub fn node_id(&self) -> i32 {
        self.get_i32("node.id")
    }

    /// The rack of this broker, `broker.rack`.
    pub fn rack(&self) -> Option<String> {
        self.get_string("broker.rack")
    }

    /// Where data lives: the first of `log.dirs`, else of `log.dir` where that is set.
    pub fn log_dir(&self) -> PathBuf {
        PathBuf::from(&self.log_dirs()[0])
    }

    /// The same configuration over another data directory.
    pub fn with_log_dir(mut self, dir: &Path) -> Self {
        self.set.remove("log.dir");
        self.set.insert("log.dirs".to_owned(), dir.to_string_lossy().into_owned());
        self
    }

    /// Everything to bind, controller listeners included.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The first listener once more, at the exposed port (see [`BrokerConfigBuilder::exposed_port`]).
    pub fn also_bound(&self) -> Option<&Listener> {
        self.also_bound.as_ref()
    }

    /// What a listener tells its clients to connect to. `None`: the address a client reached us by.
    ///
    /// The entry's own host may be `None` with the same meaning; port 0 means the port that was bound.
    pub fn advertised(&self, listener: &str) -> Option<&Listener> {
        self.advertised.iter().find(|one| one.name.eq_ignore_ascii_case(listener))
    }

    /// Whether a listener is one of `controller.listener.names`: bound, but never advertised to clients.
    pub fn is_controller_listener(&self, listener: &str) -> bool {
        self.controller_names.iter().any(|name| name.eq_ignore_ascii_case(listener))
    }

    /// The listener brokers would use among themselves, in upper case: `inter.broker.listener.name`, else the first
    /// that speaks `security.inter.broker.protocol`, else the first that is not a controller's.
    pub fn inter_broker_listener_name(&self) -> Option<&str> {
        self.inter_broker.as_deref()
    }

    fn log_dirs(&self) -> Vec<String> {
        let set = |key: &str| self.set.contains_key(key).then(|| self.get_list(key));
        set("log.dirs").or_else(|| set("log.dir")).unwrap_or_else(|| self.get_list("log.dirs"))
    }

    fn resolve_listeners(&mut self) -> Result<(), ConfigError> {
        self.controller_names = self.get_list("controller.listener.names");
        self.controller_names.iter_mut().for_each(|name| *name = name.to_uppercase());
        let text = self.value("listeners").to_string();
        let protocols = self.protocol_map(&text)?;
        self.listeners = listener::parse_listeners("listeners", &text, &protocols)?;
        listener::check_distinct("listeners", &text, &self.listeners, false)?;
        if let Some(secure) = self.listeners.iter().find(|one| one.protocol != SecurityProtocol::Plaintext) {
            let (protocol, name) = (secure.protocol.name(), &secure.name);
            let message =
                format!("security protocol {protocol} of listener {name} is not supported yet: only PLAINTEXT");
            return Err(ConfigError::new("listeners", &text, message));
        }
        if let Some(text) = self.set.get("advertised.listeners") {
            self.advertised = self.resolve_advertised(text, &protocols)?;
        }
        self.inter_broker = self.resolve_inter_broker(&protocols)?;
        Ok(())
    }

    /// The map as set; else every protocol by its own name, and controller listeners on PLAINTEXT as long as no other
    /// listener is secure (Kafka's `effectiveListenerSecurityProtocolMap`).
    fn protocol_map(&self, listeners: &str) -> Result<listener::ProtocolMap, ConfigError> {
        const KEY: &str = "listener.security.protocol.map";
        let mut map = listener::parse_protocol_map(&self.get_string(KEY).unwrap_or_default())?;
        if !self.set.contains_key(KEY) {
            let secure = |entry: &str| {
                let name = entry.split("://").next().unwrap_or_default().trim().to_uppercase();
                map.get(&name).is_some_and(|&protocol| protocol != SecurityProtocol::Plaintext)
            };
            if !listeners.split(',').any(secure) {
                for name in &self.controller_names {
                    map.entry(name.clone()).or_insert(SecurityProtocol::Plaintext);
                }
            }
        }
        Ok(map)
    }

    /// Whether the set-up is one for a Kafka with ZooKeeper.
    pub fn is_with_zookeeper(&self) -> bool {
        self.set.contains_key("zookeeper.connect")
    }

    /// Whether these could be advertised for the listeners that there are.
    pub(super) fn check_advertised(&self, text: &str) -> Result<Vec<Listener>, ConfigError> {
        let protocols = self.protocol_map(&self.value("listeners").to_string())?;
        self.resolve_advertised(text, &protocols)
    }

    fn at_exposed_port(&self, port: u16) -> Option<Listener> {
        let first = self.listeners.iter().find(|one| !self.is_controller_listener(&one.name))?;
        let free = self.listeners.iter().all(|one| one.port != port);
        free.then(|| Listener { host: None, port, ..first.clone() })
    }

    fn resolve_advertised(&self, text: &str, protocols: &listener::ProtocolMap) -> Result<Vec<Listener>, ConfigError> {
        const KEY: &str = "advertised.listeners";
        let advertised = listener::parse_listeners(KEY, text, protocols)?;
        listener::check_distinct(KEY, text, &advertised, true)?;
        for one in &advertised {
            if one.host.as_deref() == Some("0.0.0.0") {
                let message =
                    "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address.";
                return Err(ConfigError::requirement(KEY, text, message));
            }
            if !self.listeners.iter().any(|bound| bound.name == one.name) {
                let names = |list: &[Listener]| list.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(",");
                let message = format!(
                    "advertised.listeners listener names must be equal to or a subset of the ones defined in \
                     listeners. Found {}. The valid options based on the current configuration are {}",
                    names(&advertised),
                    names(&self.listeners)
                );
                return Err(ConfigError::requirement(KEY, text, message));
            }
        }
        Ok(advertised)
    }

    fn resolve_inter_broker(&self, protocols: &listener::ProtocolMap) -> Result<Option<String>, ConfigError> {
        const KEY: &str = "inter.broker.listener.name";
        let name = self.set.get(KEY).map(|name| name.trim().to_uppercase());
        if let Some(name) = name {
            if self.set.contains_key("security.inter.broker.protocol") {
                let message = format!("Only one of {KEY} and security.inter.broker.protocol should be set.");
                return Err(ConfigError::new(KEY, &name, message));
            }
            if !protocols.contains_key(&name) {
                let message =
                    format!("Listener with name {name} defined in {KEY} not found in listener.security.protocol.map.");
                return Err(ConfigError::new(KEY, &name, message));
            }
            return Ok(Some(name));
        }
        let wanted = self.get_string("security.inter.broker.protocol").unwrap_or_default();
        let clients = || self.listeners.iter().filter(|one| !self.is_controller_listener(&one.name));
        let found = clients().find(|one| one.protocol.name() == wanted).or_else(|| clients().next());
        Ok(found.map(|one| one.name.clone()))
    }
}

/// Without the values of secrets, and of keys that might be secrets.
impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("set", &Redacted(&self.set))
            .field("cluster_id", &self.cluster_id)
            .field("listeners", &self.listeners)
            .field("advertised", &self.advertised)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BrokerConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfigBuilder").field("set", &Redacted(&self.set)).finish_non_exhaustive()
    }
}

/// Values for the log: those of secrets, and of keys that might be secrets, are hidden.
pub(super) struct Redacted<'a>(pub(super) &'a BTreeMap<String, String>);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, text): (&'_ String, &'_ String)| {
            let secret = table::find_broker(name).is_none_or(|key| key.is_sensitive());
            (name.clone(), if secret { "[hidden]".to_owned() } else { text.clone() })
        };
        f.debug_map().entries(self.0.iter().map(shown)).finish()
    }
}

impl BrokerValues for BrokerConfig {
    fn value(&self, key: &str) -> Value {
        first_valid(key, [self.set.get(key)])
    }
}

/// `node.id` and `broker.id` are two names of one thing: setting one sets both.
fn unite_ids(set: &mut BTreeMap<String, String>) -> Result<(), ConfigError> {
    match (set.get("node.id").cloned(), set.get("broker.id").cloned()) {
        (Some(node), Some(broker)) if node.trim() != broker.trim() => {
            let message = "You must set `node.id` to the same value as `broker.id`.";
            return Err(ConfigError::new("node.id", &node, message));
        }
        (Some(node), None) => drop(set.insert("broker.id".to_owned(), node)),
        (None, Some(broker)) => drop(set.insert("node.id".to_owned(), broker)),
        (None, None) => {
            let node = defaults::own_default("node.id").unwrap_or_default();
            set.insert("broker.id".to_owned(), node.to_owned());
        }
        (Some(_), Some(_)) => {}
    }
    Ok(())
}

/// Generated listener lists often end in a comma, which Kafka refuses and older Kafkas accepted.
fn drop_trailing_commas(set: &mut BTreeMap<String, String>) {
    for key in ["listeners", "advertised.listeners"] {
        if let Some(text) = set.get_mut(key) {
            let kept = text.trim_end_matches([',', ' ']).len();
            if kept > 0 {
                text.truncate(kept);
            }
        }
    }
}

/// Checks each value by itself and says which keys will change nothing.
fn check_each(set: &BTreeMap<String, String>) -> Result<BTreeSet<Notice>, ConfigError> {
    let mut notices = BTreeSet::new();
    for (name, text) in set {
        let Some(key) = table::find_broker(name) else {
            notices.insert(Notice::Unknown { key: name.clone() });
            continue;
        };
        value::parse(key, name, text)?;
        // A listener-prefixed key is not the key itself: nothing reads those yet.
        if key.support == Support::Accepted || key.name != name {
            notices.insert(Notice::AcceptedWithoutEffect { key: name.clone() });
        }
    }
    Ok(notices)
}
