//! The arguments of the command.

use std::path::PathBuf;

pub const HELP: &str = "\
Apache Kafka for tests and small deployments, in one binary.

Usage: ottla [OPTIONS]
       ottla verify --data-dir DIR

Options:
  --config FILE          server.properties to start from
  --override KEY=VALUE   set one configuration key; may be repeated
  --data-dir DIR         where data is kept (log.dirs; default ./ottla-data)
  --ephemeral            keep data in a temporary directory, sync nothing, remove it at exit
  --port PORT            listen on localhost:PORT; 0 picks a free one, which is printed
  --log-format FORMAT    text or json, on standard error; RUST_LOG chooses what is logged
  --version, --help

Environment variables KAFKA_* set keys as in the apache/kafka image.
Later wins: defaults, file, environment, arguments.

verify reads every batch of a data directory and names segment, position and offset of what is damaged.

Exit codes: 0 clean, 1 failed (or damage found), 2 bad configuration.";

#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    pub command: Command,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Run(RunArguments),
    Verify { data_dir: PathBuf },
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
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Arguments {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut run = RunArguments::default();
        let mut verify = false;
        let mut arguments = arguments.peekable();
        if arguments.peek().is_some_and(|a| a == "verify") {
            arguments.next();
            verify = true;
        }
        while let Some(argument) = arguments.next() {
            let (name, mut inline) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (argument, None),
            };
            let mut value =
                || inline.take().or_else(|| arguments.next()).ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--help" | "-h" => return Ok(Arguments { command: Command::Help }),
                "--version" | "-V" => return Ok(Arguments { command: Command::Version }),
                "--data-dir" => run.data_dir = Some(value()?.into()),
                "--config" if !verify => run.config = Some(value()?.into()),
                "--override" if !verify => run.overrides.push(value()?),
                "--ephemeral" if !verify => run.ephemeral = true,
                "--port" if !verify => {
                    let text = value()?;
                    let port = text.parse().map_err(|_| format!("--port {text} is no port (0 to 65535)"))?;
                    run.port = Some(port);
                }
                "--log-format" if !verify => {
                    run.log_format = match value()?.as_str() {
                        "text" => LogFormat::Text,
                        "json" => LogFormat::Json,
                        other => return Err(format!("--log-format {other} is neither text nor json")),
                    }
                }
                _ => return Err(format!("{name} is no option")),
            }
        }
        if verify {
            let data_dir = run.data_dir.ok_or("verify needs --data-dir")?;
            return Ok(Arguments { command: Command::Verify { data_dir } });
        }
        if run.ephemeral && run.data_dir.is_some() {
            return Err("--ephemeral has a directory of its own: --data-dir cannot go with it".into());
        }
        Ok(Arguments { command: Command::Run(run) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned)).map(|a| a.command)
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let expected = RunArguments {
            overrides: vec!["a=b".into(), "c=d=e".into()],
            port: Some(0),
            data_dir: Some("/d".into()),
            ..RunArguments::default()
        };
        let line = "--port 0 --override a=b --override=c=d=e --data-dir=/d";
        assert_eq!(parse(line), Ok(Command::Run(expected)));
        assert_eq!(parse("verify --data-dir /d"), Ok(Command::Verify { data_dir: "/d".into() }));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, word) in [
            ("--port", "value"),
            ("--port 70000", "70000"),
            ("--what", "--what"),
            ("verify", "--data-dir"),
            ("verify --data-dir /d --port 1", "--port"),
            ("--ephemeral --data-dir /d", "--ephemeral"),
            ("--log-format xml", "xml"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
