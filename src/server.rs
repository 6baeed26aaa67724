//! A running broker as a value: what the `ottla` process is, and what tests of other projects embed.
//!
//! ```no_run
//! # async fn example() -> Result<(), ottla::StartError> {
//! let broker = ottla::Broker::builder().start().await?;
//! println!("bootstrap.servers={}", broker.bootstrap());
//! # Ok(())
//! # }
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::base::Clock;
use crate::base::shutdown::Shutdown;
use crate::broker::{BrokerOptions, BrokerState, Endpoint, StartError};
use crate::config::{BrokerConfig, BrokerConfigBuilder, BrokerValues};
use crate::console;
use crate::net::listener::{self, Threads};

/// Threads that serve connections at most, however many cores there are.
const THREADS_MAX: usize = 16;

/// A broker that serves until it is stopped or dropped. Two in one process know nothing of each other.
pub struct Broker {
    state: Arc<BrokerState>,
    shutdown: Shutdown,
    threads: Option<Threads>,
    console: Option<std::thread::JoinHandle<()>>,
    console_at: Option<SocketAddr>,
    /// Removed with the broker, if it was made for it.
    _temporary: Option<TemporaryDir>,
}

/// How a broker is started. Without anything set: a free port, a temporary directory, nothing synced.
pub struct BrokerBuilder {
    config: BrokerConfigBuilder,
    clock: Clock,
    ready: Option<BrokerConfig>,
    ephemeral: bool,
    on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Broker {
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder {
            config: BrokerConfigBuilder::new().set("listeners", "PLAINTEXT://localhost:0"),
            clock: Clock::system(),
            ready: None,
            ephemeral: true,
            on_fatal: Arc::new(|what| tracing::error!(what, "durability is lost: the broker refuses further writes")),
        }
    }

    /// `host:port` of the first listener that is no controller's.
    pub fn bootstrap(&self) -> String {
        let endpoint = self.endpoints().iter().find(|e| !e.is_controller).or(self.endpoints().first());
        endpoint.map_or(String::new(), |e| match &e.advertised {
            Some((host, port)) => format!("{host}:{port}"),
            None => format!("{}:{}", e.bound.0, e.bound.1),
        })
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        self.state.endpoints()
    }

    /// Where HTTP is answered, if `ottla.console.listener` asks for it.
    pub fn console(&self) -> Option<SocketAddr> {
        self.console_at
    }

    pub fn cluster_id(&self) -> &str {
        &self.state.cluster_id
    }

    /// Whether the set-up is one for a Kafka with ZooKeeper (`zookeeper.connect` is set).
    pub fn is_with_zookeeper(&self) -> bool {
        self.state.config.is_with_zookeeper()
    }

    /// The `advertised.listeners` to which a running broker was changed, which only such a set-up may do.
    pub fn changed_addresses(&self) -> Option<String> {
        self.state.topics.config().broker().get("advertised.listeners").cloned()
    }

    pub fn node_id(&self) -> i32 {
        self.state.node_id
    }

    pub fn data_dir(&self) -> &Path {
        self.state.data_dir.path()
    }

    /// Stops in order: parked requests are answered, logs synced, the clean mark written. Answers whether all went well.
    /// Blocking.
    pub fn stop(mut self) -> bool {
        self.stop_in_place()
    }

    fn stop_in_place(&mut self) -> bool {
        self.shutdown.begin();
        if let Some(threads) = self.threads.take() {
            threads.join();
        }
        if let Some(console) = self.console.take() {
            let _ = console.join();
        }
        self.state.stop()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop_in_place();
    }
}

impl BrokerBuilder {
    /// Sets a configuration key of Kafka's, as `server.properties` would.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> BrokerBuilder {
        self.config = self.config.set(key, value);
        self
    }

    /// Keeps the data in `dir`, durable as Kafka's, instead of a temporary directory.
    pub fn data_dir(mut self, dir: impl AsRef<Path>) -> BrokerBuilder {
        self.config = self.config.set("log.dirs", dir.as_ref().to_string_lossy());
        self.ephemeral = false;
        self
    }

    /// Takes a whole configuration, as the command line has read it.
    pub fn configured(mut self, config: BrokerConfig, ephemeral: bool) -> BrokerBuilder {
        self.ready = Some(config);
        self.ephemeral = ephemeral;
        self
    }

    pub fn clock(mut self, clock: Clock) -> BrokerBuilder {
        self.clock = clock;
        self
    }

    /// Called once when a write or sync of the write-ahead log fails: nothing more will be acknowledged.
    pub fn on_fatal(mut self, on_fatal: impl Fn(&str) + Send + Sync + 'static) -> BrokerBuilder {
        self.on_fatal = Arc::new(on_fatal);
        self
    }

    /// Starts on threads of its own; returns when the sockets accept.
    pub async fn start(self) -> Result<Broker, StartError> {
        // Recovery blocks: it must not hold the caller's runtime.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = sender.send(self.start_blocking());
        });
        receiver.await.unwrap_or_else(|_| Err(StartError::Failed("the start was abandoned".into())))
    }

    pub fn start_blocking(self) -> Result<Broker, StartError> {
        let mut config = self.config;
        let temporary = if self.ephemeral { Some(TemporaryDir::new()?) } else { None };
        let config = match (self.ready, &temporary) {
            (Some(config), None) => config,
            (Some(config), Some(dir)) => config.with_log_dir(&dir.0),
            (None, dir) => {
                if let Some(dir) = dir {
                    config = config.set("log.dirs", dir.0.to_string_lossy());
                }
                config.build().map_err(|e| StartError::Config(e.to_string()))?.0
            }
        };
        let config = Arc::new(config);
        // Bound before recovery, so that a port in use costs nothing; connections wait in the backlog until then.
        let mut bound = Vec::new();
        for wanted in config.listeners() {
            bound.push(
                listener::bind(wanted)
                    .map_err(|e| StartError::Failed(format!("binding the listener {wanted}: {e}")))?,
            );
        }
        if let Some(also) = config.also_bound() {
            match (listener::bind(also), bound.iter_mut().find(|b| b.listener.name == also.name)) {
                (Ok(more), Some(first)) => first.sockets.extend(more.sockets),
                (Err(error), _) => tracing::warn!(%error, listener = %also, "the exposed port is not served as well"),
                (Ok(_), None) => {}
            }
        }
        let console = match config.get_string("ottla.console.listener") {
            None => None,
            Some(address) => Some(
                console::bind(&address)
                    .map_err(|e| StartError::Failed(format!("binding ottla.console.listener {address}: {e}")))?,
            ),
        };
        let state = Arc::new(BrokerState::start(BrokerOptions {
            config: config.clone(),
            clock: self.clock,
            ephemeral: self.ephemeral,
            on_fatal: self.on_fatal,
        })?);
        state.set_endpoints(
            bound
                .iter()
                .map(|b| Endpoint {
                    name: b.listener.name.clone(),
                    advertised: config.advertised(&b.listener.name).and_then(|a| Some((a.host.clone()?, a.port))),
                    bound: (b.listener.host.clone().unwrap_or_else(|| "localhost".into()), b.port),
                    is_controller: config.is_controller_listener(&b.listener.name),
                })
                .collect(),
        );
        let shutdown = Shutdown::new();
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let threads = listener::start(&state, bound, count, &shutdown.stopping())
            .map_err(|e| StartError::Failed(format!("starting the network threads: {e}")))?;
        let (console, console_at) = match console {
            None => (None, None),
            Some((listener, at)) => {
                let thread = console::start(&state, listener, shutdown.stopping())
                    .map_err(|e| StartError::Failed(format!("starting the console: {e}")))?;
                (Some(thread), Some(at))
            }
        };
        Ok(Broker { state, shutdown, threads: Some(threads), console, console_at, _temporary: temporary })
    }
}

/// A directory that goes with the broker.
struct TemporaryDir(std::path::PathBuf);

impl TemporaryDir {
    fn new() -> Result<TemporaryDir, StartError> {
        let path = std::env::temp_dir().join(format!("ottla-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).map_err(|e| StartError::Failed(format!("creating {}: {e}", path.display())))?;
        Ok(TemporaryDir(path))
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "could not remove the temporary data directory");
        }
    }
}
