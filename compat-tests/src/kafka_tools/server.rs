//! Apache Kafka itself, on a data directory of the test's: one node that is broker and controller.

use std::fs::File;
use std::io::{self, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::jars;
use crate::spawn;
use crate::wire::Client;

const READY_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);

const LOG_CONFIG: &str = "Configuration:
  Appenders:
    Console: {name: stderr, target: SYSTEM_ERR, PatternLayout: {pattern: \"[%d] %p %m (%c)%n%throwable\"}}
  Loggers:
    Root: {level: WARN, AppenderRef: [{ref: stderr}]}
";

/// A running Kafka. Killed when it goes.
pub struct KafkaServer {
    child: Child,
    port: u16,
    log: PathBuf,
    from: u64,
}

impl KafkaServer {
    /// Formats `data_dir`, so that a Kafka starts on it. `home` is for properties and log.
    #[track_caller]
    pub fn format(home: &Path, data_dir: &Path) {
        let properties = properties(home, data_dir, 1, 2);
        let cluster = "b3R0bGEtaW50ZXJjaGFuZw";
        let mut child = java(home, &["kafka.tools.StorageTool", "format", "-t", cluster, "-c"], &properties);
        let status = spawn::wait(&mut child, READY_LIMIT).expect("formatting ends");
        assert!(status.success(), "cannot format:\n{}", logged(&home.join("kafka.log"), 0));
    }

    /// Starts on a formatted directory, and waits until clients are served.
    #[track_caller]
    pub fn start(home: &Path, data_dir: &Path) -> KafkaServer {
        let log = home.join("kafka.log");
        let from = std::fs::metadata(&log).map_or(0, |m| m.len());
        let (port, controller_port) = (free_port(), free_port());
        let child = java(home, &["kafka.Kafka"], &properties(home, data_dir, port, controller_port));
        let mut server = KafkaServer { child, port, log, from };
        let start = Instant::now();
        while !server.serves() {
            let ended = server.child.try_wait().expect("the child can be waited for");
            assert!(ended.is_none() && start.elapsed() < READY_LIMIT, "Kafka does not start: {}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Whether every partition has its leader.
    fn serves(&self) -> bool {
        let topics = || -> io::Result<bool> {
            let mut client = Client::connect(&self.bootstrap())?;
            let led = |topic: &kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
                topic.error_code == 0 && topic.partitions.iter().all(|p| p.error_code == 0)
            };
            client.api_versions()?;
            Ok(client.all_topics()?.iter().all(led))
        };
        topics().unwrap_or(false)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.bootstrap()).expect("Kafka takes connections")
    }

    /// Warnings and errors of this run.
    pub fn log(&self) -> String {
        logged(&self.log, self.from)
    }

    /// SIGTERM, and the end. Answers what it logged.
    #[track_caller]
    pub fn stop(mut self) -> String {
        spawn::signal(&self.child, libc::SIGTERM);
        let ended = spawn::wait(&mut self.child, STOP_LIMIT);
        assert!(ended.is_some(), "Kafka does not stop: {}", self.log());
        self.log()
    }

    /// kill -9. Answers what it logged.
    pub fn kill(mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.log()
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- Kafka's warnings\n{}\n---", self.log());
        }
    }
}

fn logged(path: &Path, from: u64) -> String {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path) {
        let _ = file.read_to_string(&mut text);
    }
    text.split_off(text.len().min(from as usize))
}

fn properties(home: &Path, data_dir: &Path, port: u16, controller_port: u16) -> PathBuf {
    let path = home.join("server.properties");
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs={}\n",
        data_dir.display()
    );
    for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        text.push_str(&format!("{topic}.replication.factor=1\n{topic}.num.partitions=3\n"));
    }
    text.push_str("transaction.state.log.min.isr=1\nshare.coordinator.state.topic.min.isr=1\n");
    text.push_str("metadata.log.max.snapshot.interval.ms=1000\n");
    text.push_str("group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n");
    std::fs::write(&path, text).expect("written");
    path
}

#[track_caller]
fn java(home: &Path, class_and_arguments: &[&str], properties: &Path) -> Child {
    let log_config = home.join("log4j2.yaml");
    std::fs::write(&log_config, LOG_CONFIG).expect("written");
    let log = File::options().create(true).append(true).open(home.join("kafka.log")).expect("a log");
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(jars::class_path(&[&jars::TOOLS]).expect("checked before"));
    command.arg(format!("-Dlog4j2.configurationFile={}", log_config.display()));
    command.args(class_and_arguments).arg(properties);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    spawn::spawn(command).expect("java starts")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.expect("a free port").port()
}
