//! Apache Kafka's own command line tools, from their Maven jars, all in one JVM that lives as long as the test binary.
//!
//! `jars` has the jars, for programs of our own too; `server` runs Kafka itself.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::spawn;

pub mod jars;
pub mod server;

pub const KAFKA_VERSION: &str = "4.2.1";
const DRIVER: &str = include_str!("ToolDriver.java");

/// What a tool printed, and its exit code.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The JVM, or the reason why there is none.
pub fn tools() -> Result<&'static KafkaTools, String> {
    static TOOLS: OnceLock<Result<KafkaTools, String>> = OnceLock::new();
    TOOLS.get_or_init(|| KafkaTools::start(&jars::class_path(&[&jars::TOOLS])?)).as_ref().map_err(Clone::clone)
}

pub struct KafkaTools {
    jvm: Mutex<Jvm>,
}

struct Jvm {
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    _child: Child,
}

impl KafkaTools {
    fn start(class_path: &OsStr) -> Result<KafkaTools, String> {
        let source = crate::broker::target_directory().join("tmp").join("ToolDriver.java");
        std::fs::create_dir_all(source.parent().expect("has a parent")).map_err(|e| e.to_string())?;
        std::fs::write(&source, DRIVER).map_err(|e| e.to_string())?;
        let mut command = Command::new("java");
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["--add-opens", "java.base/java.lang=ALL-UNNAMED"]);
        // What the tools log would stand between the answers.
        command.args(["-Dlog4j2.level=OFF", "-Dlog4j2.statusLoggerLevel=OFF", "-cp"]);
        command.arg(class_path).arg(source).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn::spawn(command).map_err(|e| format!("java does not start: {e}"))?;
        let requests = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Ok(KafkaTools { jvm: Mutex::new(Jvm { requests, answers, _child: child }) })
    }

    /// Runs a tool by its script's name, with a bootstrap server and any arguments.
    pub fn run(&self, tool: &str, arguments: &[&str], input: &str) -> Output {
        self.run_until(tool, arguments, input, "")
    }

    /// Likewise a tool that goes on for ever: it is interrupted once it has printed `awaited`, or has not for a while.
    pub fn run_until(&self, tool: &str, arguments: &[&str], input: &str, awaited: &str) -> Output {
        let mut line = format!("{}\t{}\t{}", class_of(tool), hex(awaited), hex(input));
        for argument in arguments {
            line.push('\t');
            line.push_str(&hex(argument));
        }
        line.push('\n');
        let mut jvm = self.jvm.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        jvm.requests.write_all(line.as_bytes()).expect("the JVM lives");
        let mut answer = String::new();
        jvm.answers.read_line(&mut answer).expect("the JVM lives");
        let mut fields = answer.trim_end_matches('\n').split(' ');
        let mut next = || fields.next().unwrap_or_else(|| panic!("the JVM ended while it ran {tool}"));
        Output { code: next().parse().expect("an exit code"), out: unhex(next()), err: unhex(next()) }
    }
}

fn class_of(tool: &str) -> &'static str {
    match tool {
        "kafka-acls" => "org.apache.kafka.tools.AclCommand",
        "kafka-broker-api-versions" => "org.apache.kafka.tools.BrokerApiVersionsCommand",
        "kafka-client-metrics" => "org.apache.kafka.tools.ClientMetricsCommand",
        "kafka-cluster" => "org.apache.kafka.tools.ClusterTool",
        "kafka-configs" => "kafka.admin.ConfigCommand",
        "kafka-console-consumer" => "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "kafka-console-producer" => "org.apache.kafka.tools.ConsoleProducer",
        "kafka-console-share-consumer" => "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
        "kafka-consumer-groups" => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "kafka-consumer-perf-test" => "org.apache.kafka.tools.ConsumerPerformance",
        "kafka-delegation-tokens" => "org.apache.kafka.tools.DelegationTokenCommand",
        "kafka-delete-records" => "org.apache.kafka.tools.DeleteRecordsCommand",
        "kafka-dump-log" => "kafka.tools.DumpLogSegments",
        "kafka-e2e-latency" => "org.apache.kafka.tools.EndToEndLatency",
        "kafka-features" => "org.apache.kafka.tools.FeatureCommand",
        "kafka-get-offsets" => "org.apache.kafka.tools.GetOffsetShell",
        "kafka-groups" => "org.apache.kafka.tools.GroupsCommand",
        "kafka-leader-election" => "org.apache.kafka.tools.LeaderElectionCommand",
        "kafka-log-dirs" => "org.apache.kafka.tools.LogDirsCommand",
        "kafka-metadata-quorum" => "org.apache.kafka.tools.MetadataQuorumCommand",
        "kafka-producer-perf-test" => "org.apache.kafka.tools.ProducerPerformance",
        "kafka-reassign-partitions" => "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        "kafka-replica-verification" => "org.apache.kafka.tools.ReplicaVerificationTool",
        "kafka-share-consumer-perf-test" => "org.apache.kafka.tools.ShareConsumerPerformance",
        "kafka-share-groups" => "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
        "kafka-storage" => "kafka.tools.StorageTool",
        "kafka-streams-application-reset" => "org.apache.kafka.tools.StreamsResetter",
        "kafka-streams-groups" => "org.apache.kafka.tools.streams.StreamsGroupCommand",
        "kafka-topics" => "org.apache.kafka.tools.TopicCommand",
        "kafka-transactions" => "org.apache.kafka.tools.TransactionsCommand",
        "kafka-verifiable-consumer" => "org.apache.kafka.tools.VerifiableConsumer",
        "kafka-verifiable-producer" => "org.apache.kafka.tools.VerifiableProducer",
        "kafka-verifiable-share-consumer" => "org.apache.kafka.tools.VerifiableShareConsumer",
        "transactional-message-copier" => "org.apache.kafka.tools.TransactionalMessageCopier",
        other => panic!("no class known for {other}"),
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> String {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    String::from_utf8_lossy(&(0..hex.len()).step_by(2).map(digit).collect::<Vec<_>>()).into_owned()
}
