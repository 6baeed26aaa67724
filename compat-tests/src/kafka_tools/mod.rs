//! Apache Kafka's own command line tools, from their Maven jars, all in one JVM that lives as long as the test binary.
//!
//! The jars are fetched once into `~/.cache/ottla-tests/kafka-<version>`; `OTTLA_KAFKA_JARS` names another directory that
//! has them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::skip::has_program;
use crate::spawn;

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
    TOOLS.get_or_init(|| KafkaTools::start(&jars()?)).as_ref().map_err(Clone::clone)
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
    fn start(jars: &Path) -> Result<KafkaTools, String> {
        let source = crate::broker::target_directory().join("tmp").join("ToolDriver.java");
        std::fs::create_dir_all(source.parent().expect("has a parent")).map_err(|e| e.to_string())?;
        std::fs::write(&source, DRIVER).map_err(|e| e.to_string())?;
        let mut command = Command::new("java");
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        command.arg(jars.join("*")).arg(source).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn::spawn(command).map_err(|e| format!("java does not start: {e}"))?;
        let requests = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Ok(KafkaTools { jvm: Mutex::new(Jvm { requests, answers, _child: child }) })
    }

    /// Runs a tool by its script's name, with a bootstrap server and any arguments.
    pub fn run(&self, tool: &str, arguments: &[&str], input: &str) -> Output {
        let mut line = format!("{}\t{}", class_of(tool), hex(input));
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
        "kafka-broker-api-versions" => "org.apache.kafka.tools.BrokerApiVersionsCommand",
        "kafka-configs" => "kafka.admin.ConfigCommand",
        "kafka-console-consumer" => "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "kafka-console-producer" => "org.apache.kafka.tools.ConsoleProducer",
        "kafka-consumer-groups" => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "kafka-delete-records" => "org.apache.kafka.tools.DeleteRecordsCommand",
        "kafka-dump-log" => "kafka.tools.DumpLogSegments",
        "kafka-get-offsets" => "org.apache.kafka.tools.GetOffsetShell",
        "kafka-groups" => "org.apache.kafka.tools.GroupsCommand",
        "kafka-leader-election" => "org.apache.kafka.tools.LeaderElectionCommand",
        "kafka-log-dirs" => "org.apache.kafka.tools.LogDirsCommand",
        "kafka-reassign-partitions" => "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        "kafka-topics" => "org.apache.kafka.tools.TopicCommand",
        other => panic!("no class known for {other}"),
    }
}

/// The directory with the jars, fetched when missing.
fn jars() -> Result<PathBuf, String> {
    if !has_program("java", "-version") {
        return Err("java is not installed".to_owned());
    }
    if let Some(directory) = std::env::var_os("OTTLA_KAFKA_JARS") {
        return Ok(PathBuf::from(directory));
    }
    let home = std::env::var_os("HOME").ok_or("HOME is not set")?;
    let cache = Path::new(&home).join(".cache/ottla-tests");
    let directory = cache.join(format!("kafka-{KAFKA_VERSION}"));
    std::fs::create_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
    let lock = File::create(cache.join("lock")).map_err(|e| format!("{}: {e}", cache.display()))?;
    // SAFETY: an open file of ours; the lock goes when it closes.
    unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) };
    if !directory.join(".complete").exists() {
        fetch(&directory)?;
        File::create(directory.join(".complete")).map_err(|e| e.to_string())?;
    }
    Ok(directory)
}

fn fetch(directory: &Path) -> Result<(), String> {
    if !has_program("mvn", "-version") {
        return Err("Kafka's jars are not there and mvn is not installed".to_owned());
    }
    let project = tempfile::tempdir().map_err(|e| e.to_string())?;
    let dependency = |name: &str| {
        let coordinates = format!("<groupId>org.apache.kafka</groupId><artifactId>{name}</artifactId>");
        format!("<dependency>{coordinates}<version>{KAFKA_VERSION}</version></dependency>")
    };
    let pom = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>ottla</groupId><artifactId>tools</artifactId><version>1</version>\
         <dependencies>{}{}</dependencies></project>",
        dependency("kafka_2.13"),
        dependency("kafka-tools")
    );
    std::fs::write(project.path().join("pom.xml"), pom).map_err(|e| e.to_string())?;
    let output = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", directory.display()))
        .current_dir(project.path())
        .output()
        .map_err(|e| format!("mvn does not start: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("Kafka's jars cannot be fetched: {}", String::from_utf8_lossy(&output.stdout).trim())),
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> String {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    String::from_utf8_lossy(&(0..hex.len()).step_by(2).map(digit).collect::<Vec<_>>()).into_owned()
}
