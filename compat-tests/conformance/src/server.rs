//! Brokers to play to: an Apache Kafka from its Maven jars, an Ottla from this workspace.

pub mod kafka;
pub mod ottla;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiVersionsRequest;

use crate::play::{Play, Target};

/// A configuration under which scenarios run. Both brokers get the same keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// As Kafka comes, but for what a single broker needs.
    Plain,
    /// Topics are neither created nor deleted by clients, and many defaults are moved.
    Tuned,
    /// Small limits, so that scenarios can reach them.
    Tight,
    /// Groups of few members with short sessions.
    Groups,
    /// Expired offsets, groups without any and transactions whose time is over go within a moment.
    Expiring,
    /// Old segments go, and compacted ones are cleaned, within a moment.
    Cleaning,
}

pub const PROFILES: [Profile; 6] =
    [Profile::Plain, Profile::Tuned, Profile::Tight, Profile::Groups, Profile::Expiring, Profile::Cleaning];

/// What one broker alone needs, in every profile.
const SINGLE: &[(&str, &str)] = &[
    ("node.id", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
];

impl Profile {
    pub fn name(self) -> &'static str {
        match self {
            Profile::Plain => "plain",
            Profile::Tuned => "tuned",
            Profile::Tight => "tight",
            Profile::Groups => "groups",
            Profile::Expiring => "expiring",
            Profile::Cleaning => "cleaning",
        }
    }

    pub fn keys(self) -> Vec<(&'static str, &'static str)> {
        let own: &[(&str, &str)] = match self {
            Profile::Plain => &[],
            Profile::Tuned => &[
                ("auto.create.topics.enable", "false"),
                ("delete.topic.enable", "false"),
                ("num.partitions", "3"),
                ("log.retention.hours", "72"),
                ("log.retention.bytes", "1000000"),
                ("log.segment.bytes", "2097152"),
                ("log.cleanup.policy", "compact,delete"),
                ("log.message.timestamp.type", "LogAppendTime"),
                ("compression.type", "gzip"),
                ("message.max.bytes", "2000"),
                ("log.roll.hours", "24"),
            ],
            Profile::Tight => &[
                ("socket.request.max.bytes", "100000"),
                ("fetch.max.bytes", "20000"),
                ("max.incremental.fetch.session.cache.slots", "0"),
                ("connections.max.idle.ms", "3000"),
                ("max.request.partition.size.limit", "5"),
                ("log.message.timestamp.before.max.ms", "86400000"),
                ("log.message.timestamp.after.max.ms", "60000"),
            ],
            Profile::Groups => &[
                ("group.min.session.timeout.ms", "100"),
                ("group.max.session.timeout.ms", "60000"),
                ("group.max.size", "3"),
                ("offset.metadata.max.bytes", "100"),
                ("group.consumer.min.session.timeout.ms", "300"),
                ("group.consumer.min.heartbeat.interval.ms", "100"),
                ("group.consumer.max.size", "3"),
            ],
            Profile::Expiring => &[
                ("offsets.retention.check.interval.ms", "200"),
                ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "200"),
            ],
            Profile::Cleaning => &[
                ("log.cleaner.backoff.ms", "100"),
                ("log.cleaner.min.cleanable.ratio", "0.01"),
                ("log.initial.task.delay.ms", "100"),
                ("log.retention.check.interval.ms", "200"),
            ],
        };
        SINGLE.iter().chain(own).copied().collect()
    }
}

/// A running broker; killed when dropped, its directory removed.
pub struct Server {
    pub address: SocketAddr,
    pub profile: Profile,
    child: Child,
    directory: tempfile::TempDir,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Kafka,
    Ottla,
}

impl Server {
    pub fn start(kind: Kind, profile: Profile) -> io::Result<Server> {
        let directory = tempfile::Builder::new().prefix("conformance-").tempdir()?;
        let (child, address) = match kind {
            Kind::Kafka => kafka::start(directory.path(), profile, true)?,
            Kind::Ottla => ottla::start(directory.path(), profile, 0)?,
        };
        Ok(Server { address, profile, child, directory, kind })
    }

    pub fn target(&self) -> Target {
        Target { address: self.address, settles_late: self.kind == Kind::Kafka }
    }

    /// The keys of the APIs that it advertises.
    pub fn advertised(&self) -> io::Result<BTreeSet<i16>> {
        let answer = Play::new(self.target(), "advertised").quiet(0, ApiVersionsRequest::default());
        let answer = answer.map_err(|stop| io::Error::other(stop.0))?;
        Ok(answer.api_keys.iter().map(|api| api.api_key).collect())
    }

    /// Stops it as an operator would and starts it again on the same directory.
    pub fn restart(&mut self) -> io::Result<()> {
        // SAFETY: a signal to a process that this one started and has not waited for yet.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        self.child.wait()?;
        let (child, address) = match self.kind {
            Kind::Kafka => kafka::start(self.directory.path(), self.profile, false)?,
            Kind::Ottla => ottla::start(self.directory.path(), self.profile, self.address.port())?,
        };
        (self.child, self.address) = (child, address);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a broker answers requests and lists itself.
fn ready(child: &mut Child, address: SocketAddr, log: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let mut play = Play::new(Target { address, settles_late: false }, "ready");
        if play
            .quiet(9, kafka_protocol::messages::MetadataRequest::default())
            .is_ok_and(|answer| !answer.brokers.is_empty())
        {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("the broker ended ({status}); its log is {}", tail(log))));
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            return Err(io::Error::other(format!("the broker does not answer; its log is {}", tail(log))));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
