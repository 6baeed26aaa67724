//! The arguments of the command.

use std::path::PathBuf;

use super::tools::Tool;

pub const HELP: &str = "\
Apache Kafka for tests and small deployments, in one binary.

Usage: ottla [OPTIONS]                  runs a broker
       ottla COMMAND [OPTIONS]          ottla COMMAND --help says more

Options:
  --config FILE          server.properties to start from
  --override KEY=VALUE   set one configuration key; may be repeated
  --data-dir DIR         where data is kept (log.dirs; default ./ottla-data)
  --ephemeral            keep data in a temporary directory, sync nothing, remove it at exit
  --port PORT            listen on localhost:PORT; 0 picks a free one, which is printed
  --log-format FORMAT    text or json, on standard error; RUST_LOG chooses what is logged
  --kafka-ready-lines    when ready, print also the lines of Kafka's log that others wait for
  --exposed-port PORT    where only advertised.listeners is set: listen at this port too, on all interfaces
  --version, --help

Environment variables KAFKA_* and KAFKA_CFG_* set keys as in the images of Kafka, Confluent and bitnami.
Later wins: defaults, file, environment, arguments.

Commands, with the words and options of Kafka's tools:
  topics                 kafka-topics: list, describe, create, alter, delete
  produce                kafka-console-producer: lines of standard input become records
  consume                kafka-console-consumer: records become lines of standard output
  groups                 kafka-consumer-groups: list, describe, reset offsets, delete
  configs                kafka-configs: describe and alter topics, brokers and groups
  get-offsets            kafka-get-offsets: offsets of partitions, by time
  api-versions           kafka-broker-api-versions: what a broker serves
  cluster                kafka-cluster: cluster-id, list-endpoints
  storage                kafka-storage: random-uuid, format, info
  dump-log               kafka-dump-log: what a segment or an index holds
  verify                 reads every batch of a data directory and names what is damaged
  health                 whether a broker answers

Exit codes: 0 clean, 1 failed (or damage found), 2 bad configuration. Commands: 0 or 1.";

/// Programs of Kafka's that start a broker; named so, we take their arguments: a file, then options.
const SERVER_START: &str = "kafka-server-start";

#[derive(Debug, PartialEq)]
pub enum Command {
    Run(RunArguments),
    Tool(&'static Tool, Vec<String>),
    Help,
    Version,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct RunArguments {
    pub config: Option<PathBuf>,
    pub overrides: Vec<String>,
    pub data_dir: Option<PathBuf>,
    pub ephemeral: bool,
    pub port: Option<u16>,
    pub log_format: LogFormat,
    pub kafka_ready_lines: bool,
    pub exposed_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Command {
    /// `program` is the name that we were called by: that of one of Kafka's tools makes us that tool.
    pub fn parse(program: &str, arguments: impl Iterator<Item = String>) -> Result<Command, String> {
        let mut arguments = arguments.peekable();
        let program = program.rsplit('/').next().unwrap_or_default();
        let program = program.strip_suffix(".sh").unwrap_or(program);
        if program == SERVER_START {
            let config = arguments.next_if(|argument| !argument.starts_with("--")).map(PathBuf::from);
            return RunArguments { config, ..RunArguments::default() }.parse(arguments);
        }
        if let Some(tool) = Tool::of_kafka(program) {
            return Ok(Command::Tool(tool, arguments.collect()));
        }
        match arguments.peek().filter(|argument| !argument.starts_with('-')) {
            None => RunArguments::default().parse(arguments),
            Some(name) => {
                let tool = Tool::named(name).ok_or_else(|| format!("{name} is no command"))?;
                Ok(Command::Tool(tool, arguments.skip(1).collect()))
            }
        }
    }
}

impl RunArguments {
    fn parse(self, mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
        let mut run = self;
        while let Some(argument) = arguments.next() {
            let (name, mut inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (argument, None),
            };
            let mut value =
                || inline.take().or_else(|| arguments.next()).ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--help" | "-h" => return Ok(Command::Help),
                "--version" | "-V" => return Ok(Command::Version),
                "--data-dir" => run.data_dir = Some(value()?.into()),
                "--config" => run.config = Some(value()?.into()),
                "--override" => run.overrides.push(value()?),
                "--ephemeral" => run.ephemeral = true,
                "--port" => run.port = Some(port(&name, &value()?)?),
                "--exposed-port" => run.exposed_port = Some(port(&name, &value()?)?),
                "--kafka-ready-lines" => run.kafka_ready_lines = true,
                "--log-format" => {
                    run.log_format = match value()?.as_str() {
                        "text" => LogFormat::Text,
                        "json" => LogFormat::Json,
                        other => return Err(format!("--log-format {other} is neither text nor json")),
                    }
                }
                _ => return Err(format!("{name} is no option")),
            }
        }
        if run.ephemeral && run.data_dir.is_some() {
            return Err("--ephemeral has a directory of its own: --data-dir cannot go with it".into());
        }
        Ok(Command::Run(run))
    }
}

fn port(name: &str, text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{name} {text} is no port (0 to 65535)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        parse_as("/usr/bin/ottla", line)
    }

    fn parse_as(program: &str, line: &str) -> Result<Command, String> {
        Command::parse(program, line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let expected = RunArguments {
            overrides: vec!["a=b".into(), "c=d=e".into()],
            port: Some(0),
            data_dir: Some("/d".into()),
            exposed_port: Some(9092),
            kafka_ready_lines: true,
            ..RunArguments::default()
        };
        let line = "--port 0 --override a=b --override=c=d=e --data-dir=/d --exposed-port 9092 --kafka-ready-lines";
        assert_eq!(parse(line), Ok(Command::Run(expected)));
    }

    #[test]
    fn commands_go_by_our_name_and_by_kafkas() {
        let expected = Ok(Command::Tool(Tool::named("topics").expect("there"), vec!["--list".into()]));
        assert_eq!(parse("topics --list"), expected);
        assert_eq!(parse_as("/opt/kafka/bin/kafka-topics.sh", "--list"), expected);
        assert_eq!(parse_as("kafka-topics", "--list"), expected);
        let run = RunArguments { config: Some("/f".into()), overrides: vec!["a=b".into()], ..RunArguments::default() };
        assert_eq!(parse_as("kafka-server-start.sh", "/f --override a=b"), Ok(Command::Run(run)));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, word) in [
            ("--port", "value"),
            ("--port 70000", "70000"),
            ("--what", "--what"),
            ("what", "what"),
            ("--ephemeral --data-dir /d", "--ephemeral"),
            ("--log-format xml", "xml"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
