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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    ApiVersions,
    Cluster,
    Configs,
    Consume,
    DumpLog,
    GetOffsets,
    Groups,
    Health,
    Produce,
    Storage,
    Topics,
    Verify,
}

struct Names {
    tool: Tool,
    /// `ottla topics`
    ours: &'static str,
    /// `kafka-topics`; empty where Kafka has none.
    kafkas: &'static str,
    run: fn(&[String]) -> Result<(), ToolError>,
}

const TOOLS: [Names; 12] = [
    names(Tool::ApiVersions, "api-versions", "kafka-broker-api-versions", api_versions::run),
    names(Tool::Cluster, "cluster", "kafka-cluster", cluster::run),
    names(Tool::Configs, "configs", "kafka-configs", configs::run),
    names(Tool::Consume, "consume", "kafka-console-consumer", consume::run),
    names(Tool::DumpLog, "dump-log", "kafka-dump-log", dump_log::run),
    names(Tool::GetOffsets, "get-offsets", "kafka-get-offsets", get_offsets::run),
    names(Tool::Groups, "groups", "kafka-consumer-groups", groups::run),
    names(Tool::Health, "health", "", health::run),
    names(Tool::Produce, "produce", "kafka-console-producer", produce::run),
    names(Tool::Storage, "storage", "kafka-storage", storage::run),
    names(Tool::Topics, "topics", "kafka-topics", topics::run),
    names(Tool::Verify, "verify", "", verify::run),
];

const fn names(
    tool: Tool,
    ours: &'static str,
    kafkas: &'static str,
    run: fn(&[String]) -> Result<(), ToolError>,
) -> Names {
    Names { tool, ours, kafkas, run }
}

impl Tool {
    pub fn named(name: &str) -> Option<Tool> {
        TOOLS.iter().find(|names| names.ours == name).map(|names| names.tool)
    }

    /// By the name of Kafka's script, without `.sh`.
    pub fn of_kafka(script: &str) -> Option<Tool> {
        TOOLS.iter().find(|names| !names.kafkas.is_empty() && names.kafkas == script).map(|names| names.tool)
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
pub fn run(tool: Tool, arguments: Vec<String>) -> ExitCode {
    let names = TOOLS.iter().find(|names| names.tool == tool).expect("every tool has its names");
    match (names.run)(&arguments) {
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
            eprintln!("{why}\nTry 'ottla {} --help'.", names.ours);
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

/// Rows in columns of two spaces between, as wide as their widest cell.
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
