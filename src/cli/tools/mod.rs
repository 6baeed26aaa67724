//! The commands: what one wants inside a container without Java. Words, options and output are those of Kafka's tools; the
//! symbolic links `kafka-topics`, `kafka-topics.sh` and so on of the image run the same.

mod api_versions;
mod cluster;
mod configs;
mod consume;
mod dump_log;
mod get_offsets;
mod groups;
mod health;
mod options;
mod partitions;
mod produce;
mod storage;
mod topics;
mod verify;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::client::{Client, ClientError};
use options::Options;

/// For one whole request; Kafka's tools wait as long (`default.api.timeout.ms`).
const TIMEOUT: Duration = Duration::from_secs(60);

/// A command, with its names.
pub struct Tool {
    /// `ottla topics`
    ours: &'static str,
    /// `kafka-topics`
    kafkas: Option<&'static str>,
    run: fn(&[String]) -> Result<(), ToolError>,
}

#[rustfmt::skip]
static TOOLS: [Tool; 12] = [
    Tool { ours: "api-versions", kafkas: Some("kafka-broker-api-versions"), run: api_versions::run },
    Tool { ours: "cluster", kafkas: Some("kafka-cluster"), run: cluster::run },
    Tool { ours: "configs", kafkas: Some("kafka-configs"), run: configs::run },
    Tool { ours: "consume", kafkas: Some("kafka-console-consumer"), run: consume::run },
    Tool { ours: "dump-log", kafkas: Some("kafka-dump-log"), run: dump_log::run },
    Tool { ours: "get-offsets", kafkas: Some("kafka-get-offsets"), run: get_offsets::run },
    Tool { ours: "groups", kafkas: Some("kafka-consumer-groups"), run: groups::run },
    Tool { ours: "health", kafkas: None, run: health::run },
    Tool { ours: "produce", kafkas: Some("kafka-console-producer"), run: produce::run },
    Tool { ours: "storage", kafkas: Some("kafka-storage"), run: storage::run },
    Tool { ours: "topics", kafkas: Some("kafka-topics"), run: topics::run },
    Tool { ours: "verify", kafkas: None, run: verify::run },
];

impl Tool {
    pub fn named(name: &str) -> Option<&'static Tool> {
        TOOLS.iter().find(|tool| tool.ours == name)
    }

    /// By the name of Kafka's script, without `.sh`.
    pub fn of_kafka(script: &str) -> Option<&'static Tool> {
        TOOLS.iter().find(|tool| tool.kafkas == Some(script))
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.ours)
    }
}

impl PartialEq for Tool {
    fn eq(&self, other: &Tool) -> bool {
        self.ours == other.ours
    }
}

/// Why a command ends without success.
#[derive(Debug)]
enum ToolError {
    /// The arguments make no sense. Shown with a hint at `--help`.
    Usage(String),
    /// `--help`: the text, and no failure.
    Help(&'static str),
    Failed(String),
    /// May pass by itself.
    Passing(String),
}

impl From<ClientError> for ToolError {
    fn from(error: ClientError) -> ToolError {
        if error.may_pass() { ToolError::Passing(error.to_string()) } else { ToolError::Failed(error.to_string()) }
    }
}

impl From<std::io::Error> for ToolError {
    fn from(error: std::io::Error) -> ToolError {
        // Whoever read our output has seen enough.
        ToolError::Failed(if error.kind() == std::io::ErrorKind::BrokenPipe {
            String::new()
        } else {
            error.to_string()
        })
    }
}

fn failed<T>(message: impl Into<String>) -> Result<T, ToolError> {
    Err(ToolError::Failed(message.into()))
}

fn usage<T>(message: impl Into<String>) -> Result<T, ToolError> {
    Err(ToolError::Usage(message.into()))
}

/// Runs a command. Every failure has exit code 1, where some of Kafka's tools have 0.
pub fn run(tool: &Tool, arguments: &[String]) -> ExitCode {
    match (tool.run)(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ToolError::Help(text)) => {
            super::say(text);
            ExitCode::SUCCESS
        }
        Err(ToolError::Failed(why) | ToolError::Passing(why)) => {
            if !why.is_empty() {
                eprintln!("{why}");
            }
            ExitCode::from(super::EXIT_FAILED)
        }
        Err(ToolError::Usage(why)) => {
            eprintln!("{why}\nTry 'ottla {} --help'.", tool.ours);
            ExitCode::from(super::EXIT_FAILED)
        }
    }
}

/// The client that `--bootstrap-server` asks for.
fn client(options: &Options) -> Result<Client, ToolError> {
    properties(options, &[])?;
    client_waiting(options, options.number("timeout-ms")?)
}

/// The same with a time in ms for each request.
fn client_waiting(options: &Options, timeout_ms: Option<u64>) -> Result<Client, ToolError> {
    let timeout = timeout_ms.map_or(TIMEOUT, Duration::from_millis);
    Ok(Client::new(options.required("bootstrap-server")?, timeout.max(Duration::from_millis(1))))
}

/// Client properties, of files and of options, which count more. `known` have an effect, of others it is said that they have none.
/// What asks for security is refused: silence would be no answer.
fn properties(options: &Options, known: &[&str]) -> Result<BTreeMap<String, String>, ToolError> {
    let mut set = BTreeMap::new();
    for option in ["command-config", "consumer.config", "producer.config"] {
        let Some(file) = options.get(option) else { continue };
        let text = std::fs::read_to_string(file).map_err(|e| ToolError::Failed(format!("{file}: {e}")))?;
        set.extend(crate::config::properties::parse(&text).map_err(|e| ToolError::Failed(e.to_string()))?);
    }
    for option in ["producer-property", "consumer-property", "command-property"] {
        set.extend(options.pairs(option)?);
    }
    for (key, value) in &set {
        match key.as_str() {
            "security.protocol" if value.trim() != "PLAINTEXT" => {
                return failed(format!("security.protocol {value} is not served, only PLAINTEXT"));
            }
            "transactional.id" => return failed("transactional.id: this command has no transactions"),
            "security.protocol" => {}
            key if key.starts_with("sasl.") || key.starts_with("ssl.") => {
                return failed(format!("{key} is not served: only PLAINTEXT is"));
            }
            key if known.contains(&key) => {}
            key => eprintln!("WARN: the property {key} has no effect here"),
        }
    }
    Ok(set)
}

/// Standard output, whole lines at a time.
fn output() -> std::io::BufWriter<std::io::Stdout> {
    std::io::BufWriter::new(std::io::stdout())
}

/// Rows in columns as wide as their widest cell.
fn print_table(out: &mut impl Write, rows: &[Vec<String>]) -> std::io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", line.join(" ").trim_end())?;
    }
    Ok(())
}

fn print_json(out: &mut impl Write, value: &serde_json::Value) -> Result<(), ToolError> {
    Ok(writeln!(out, "{value}")?)
}
