//! The command line: options of the whole run, and the `key=value` words of its subprocesses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Result;

pub const HELP: &str = "\
cargo run --release -p bench -- [options]
  --only NAME[,NAME]   only these scenarios (below)
  --secs SECONDS       measured seconds of a trial (1.5)
  --rounds N           rounds, each with every contender once (3)
  --kafka              Apache Kafka as a third contender: needs java, and its jars in $KAFKA_JARS
  --broker COMMAND     what to measure, with {port} and {dir} to fill in (a build of this tree)
  --dir DIRECTORY      where the data goes (the temporary directory); its file system is part of what is measured
  --json               one JSON document instead of the table
  --check              fail (exit code 1) when a target is missed or a scenario fails
scenarios:
";

pub struct Options {
    pub only: Vec<String>,
    pub secs: f64,
    pub rounds: usize,
    pub kafka: bool,
    pub broker: Option<String>,
    pub dir: PathBuf,
    pub json: bool,
    pub check: bool,
    pub help: bool,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Options> {
        let mut options = Options {
            only: Vec::new(),
            secs: 1.5,
            rounds: 3,
            kafka: false,
            broker: None,
            dir: std::env::temp_dir(),
            json: false,
            check: false,
            help: false,
        };
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let mut value = || rest.next().ok_or(format!("{option} needs a value"));
            match option.as_str() {
                "--only" => options.only.extend(value()?.split(',').map(str::to_owned)),
                "--secs" => options.secs = value()?.parse()?,
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--kafka" => options.kafka = true,
                "--broker" => options.broker = Some(value()?.clone()),
                "--dir" => options.dir = value()?.into(),
                "--json" => options.json = true,
                "--check" => options.check = true,
                "--help" | "-h" => options.help = true,
                _ => return Err(format!("no option {option}\n{HELP}").into()),
            }
        }
        Ok(options)
    }
}

/// `key=value` words: arguments of a load generator, and the one line of figures that it prints.
pub struct Words(HashMap<String, String>);

impl Words {
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Words> {
        let pair = |word: &str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let parsed: Option<_> = words.iter().map(|word| pair(word.as_ref())).collect();
        Ok(Words(parsed.ok_or("subcommands take key=value words")?))
    }

    pub fn text(&self, key: &str) -> Result<&str> {
        Ok(self.0.get(key).ok_or_else(|| format!("{key}= is missing"))?)
    }

    pub fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        let text = self.text(key)?;
        text.parse().map_err(|_| format!("{key}={text} is not a number").into())
    }

    pub fn figure(&self, key: &str) -> Result<f64> {
        self.number(key)
    }

    pub fn number_or<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        if self.0.contains_key(key) { self.number(key) } else { Ok(default) }
    }
}
