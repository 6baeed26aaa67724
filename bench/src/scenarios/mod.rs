//! The scenarios: one for each line of "How fast" in the issues.

mod fetch;
mod footprint;
mod groups;
mod partitions;
mod produce;
mod transactions;

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::options::{Options, Words};
use crate::report::{self, Row, Section, Target};
use crate::server::{Contender, Server, Setting};
use crate::{Result, sys};

pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    run: fn(&Bench) -> Result<Vec<Row>>,
}

pub const ALL: &[Scenario] = &[
    Scenario { name: "produce", about: "64 connections, one 1 KiB record a request", run: produce::sixty_four },
    Scenario { name: "connections", about: "the same from 1,000 connections to 64 partitions", run: produce::thousand },
    Scenario { name: "tiny", about: "100-byte records, pipelined 64 deep", run: produce::tiny },
    Scenario { name: "bulk", about: "batches of 64 KiB, five deep", run: produce::bulk },
    Scenario { name: "flush", about: "durable before the acknowledgement, 64 partitions", run: produce::flush },
    Scenario { name: "fetch", about: "reading what is cached: 1, 4 and 16 readers", run: fetch::cached },
    Scenario { name: "librdkafka", about: "reading what is cached through kcat", run: fetch::librdkafka },
    Scenario { name: "latency", about: "from a Produce to a Fetch that waits", run: fetch::latency },
    Scenario { name: "groups", about: "first records of new groups, a rebalance, commits", run: groups::groups },
    Scenario {
        name: "transactions",
        about: "begin, produce, commit, and who reads it",
        run: transactions::transactions,
    },
    Scenario { name: "start", about: "from the start of the process to the first Metadata", run: footprint::start },
    Scenario { name: "partitions", about: "a topic of 10,000 partitions", run: partitions::wide },
    Scenario { name: "memory", about: "resident memory, idle and after 1 GB", run: footprint::memory },
    Scenario { name: "segments", about: "descriptors held by sealed segments", run: footprint::segments },
    Scenario { name: "idle", about: "CPU time of ten idle seconds", run: footprint::idle },
];

pub fn run(bench: &Bench) -> Result<()> {
    let options = &bench.options;
    if let Some(name) = options.only.iter().find(|name| ALL.iter().all(|scenario| scenario.name != **name)) {
        return Err(format!("no scenario {name}; --help lists them").into());
    }
    if !options.json {
        report::print_heading(options.kafka);
    }
    let mut sections = Vec::new();
    for scenario in ALL.iter().filter(|s| options.only.is_empty() || options.only.iter().any(|name| name == s.name)) {
        let outcome = (scenario.run)(bench).map_err(|error| error.to_string());
        let section = Section { scenario: scenario.name, outcome };
        if !options.json {
            report::print_section(&section, options.kafka);
        }
        sections.push(section);
    }
    if options.json {
        report::print_json(&sections);
    }
    let missed = report::missed(&sections);
    match options.check && !missed.is_empty() {
        true => Err(format!("missed: {}", missed.join("; ")).into()),
        false => Ok(()),
    }
}

pub struct Bench {
    options: Options,
    broker: String,
    /// Started once: it needs seconds to start, and more to be warm.
    kafka: OnceCell<Rc<Server>>,
    topics_made: Cell<usize>,
}

impl Bench {
    /// Builds the broker of this tree, unless another is named.
    pub fn prepare(options: Options) -> Result<Bench> {
        sys::raise_descriptor_limit();
        let broker = match &options.broker {
            Some(broker) => broker.clone(),
            None => format!("{} --port {{port}} --data-dir {{dir}}/data", build()?.display()),
        };
        Ok(Bench { options, broker, kafka: OnceCell::new(), topics_made: Cell::new(0) })
    }

    /// A fresh server with nothing on it.
    fn server(&self, contender: Contender, partitions: usize, sync_each: bool) -> Result<Server> {
        Server::start(&Setting { contender, broker: &self.broker, dir: &self.options.dir, partitions, sync_each })
    }

    /// A server with a fresh topic: for Kafka the one that already runs.
    fn stage(&self, contender: Contender, partitions: usize, configs: &[(&str, &str)]) -> Result<Stage> {
        let server = if contender == Contender::Kafka {
            self.kafka()?
        } else {
            Rc::new(self.server(contender, partitions, configs.iter().any(|(key, _)| *key == "flush.messages"))?)
        };
        self.topics_made.set(self.topics_made.get() + 1);
        let topic = format!("bench{}", self.topics_made.get());
        if contender != Contender::Floor {
            server.client()?.create_topic(&topic, partitions, configs)?;
        }
        let mut warm = 0.2;
        if contender == Contender::Kafka {
            std::thread::sleep(Duration::from_secs(1)); // its partitions take a moment to have a leader
            warm = 1.0;
        }
        Ok(Stage { server, topic, contender, warm, secs: self.options.secs })
    }

    fn kafka(&self) -> Result<Rc<Server>> {
        if self.kafka.get().is_none() {
            self.kafka.set(Rc::new(self.server(Contender::Kafka, 1, false)?)).ok();
        }
        Ok(self.kafka.get().cloned().ok_or("Kafka was started above")?)
    }

    /// Lets every contender have its turn in every round, in turned order: a slow minute then hits all alike.
    fn rounds(&self, trial: impl Fn(Contender) -> Result<Vec<f64>>) -> Result<Rounds> {
        let mut contenders = vec![Contender::Ours, Contender::Floor];
        if self.options.kafka {
            contenders.push(Contender::Kafka);
        }
        let mut figures: BTreeMap<Contender, Vec<Vec<f64>>> = BTreeMap::new();
        for _ in 0..self.options.rounds {
            for &contender in &contenders {
                let trial = trial(contender).map_err(|error| format!("{contender:?}: {error}"))?;
                figures.entry(contender).or_default().push(trial);
            }
            contenders.reverse();
        }
        Ok(Rounds(figures))
    }
}

/// A server, a topic on it, and what runs against both.
struct Stage {
    server: Rc<Server>,
    topic: String,
    contender: Contender,
    warm: f64,
    secs: f64,
}

impl Stage {
    /// Runs a load generator to its end and returns its figures; `words` override what is set here.
    fn load(&self, generator: &str, words: &str) -> Result<Words> {
        let output = Command::new(std::env::current_exe()?)
            .arg(format!("load-{generator}"))
            .args([format!("port={}", self.server.port), format!("topic={}", self.topic)])
            .args([format!("pid={}", self.server.process()), "bytes=600000000".to_owned()])
            .args([format!("warm={}", self.warm), format!("secs={}", self.secs)])
            .args(words.split_whitespace())
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().into());
        }
        Words::parse(&String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>())
    }

    /// Writes so many bytes in large batches.
    fn fill(&self, bytes: u64) -> Result<Words> {
        self.load("produce", &format!("depth=5 records=64 warm=0 secs=60 bytes={bytes}"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.contender == Contender::Kafka {
            // The next trial does not mind if this fails: its topic has another name.
            self.server.client().and_then(|mut client| client.delete_topic(&self.topic)).ok();
        }
    }
}

/// The figures of every round, in columns that the scenario knows.
struct Rounds(BTreeMap<Contender, Vec<Vec<f64>>>);

impl Rounds {
    fn row(&self, name: impl Into<String>, unit: &'static str, column: usize, target: Target) -> Row {
        Row {
            floor: self.median(Contender::Floor, column),
            kafka: self.median(Contender::Kafka, column),
            ratio: self.ratio(Contender::Floor, column),
            kafka_ratio: self.ratio(Contender::Kafka, column),
            ..Row::alone(name, unit, self.median(Contender::Ours, column).unwrap_or(f64::NAN), target)
        }
    }

    fn median(&self, contender: Contender, column: usize) -> Option<f64> {
        Some(median(self.0.get(&contender)?.iter().map(|trial| trial[column])))
    }

    fn ratio(&self, to: Contender, column: usize) -> Option<f64> {
        let pairs = self.0.get(&Contender::Ours)?.iter().zip(self.0.get(&to)?);
        Some(median(pairs.map(|(ours, other)| ours[column] / other[column])))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A release build of this tree: always asked for, since an old binary would be measured without a word.
fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--bin", "ottla"])
        .current_dir(&root)
        .status()
        .map_err(|error| format!("cargo does not start ({error}); --broker names a built one"))?;
    if !status.success() {
        return Err("the broker does not build".into());
    }
    let here = std::env::current_exe()?;
    let target = here.ancestors().nth(2).ok_or("this program is in no target directory")?;
    Ok(target.join("release/ottla"))
}
