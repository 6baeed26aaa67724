//! The matrix of clients: programs in many languages that do the same, each with a client library of its own.
//!
//! `clients/README.md` has the contract between these programs and what runs them here.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::broker::target_directory;
use crate::{spawn, unique};

/// What every client is asked to do, in the order of the table.
pub const SCENARIOS: [&str; 8] =
    ["create", "produce", "fetch", "group", "idempotent", "transaction", "admin", "errors"];

/// Packages are fetched, and librdkafka may be compiled.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const RUN_LIMIT: Duration = Duration::from_secs(150);
/// Exit codes of the contract.
const UNSUPPORTED: i32 = 3;
const LACKING: i32 = 4;

/// A client, or an application of Kafka's with scenarios of its own.
#[derive(Clone, Debug)]
pub struct MatrixClient {
    pub language: String,
    pub name: String,
    /// Run with every change.
    pub is_fast: bool,
    /// Library and version.
    pub label: String,
    pub scenarios: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// The library has no such thing.
    Unsupported(String),
    Failed(String),
}

/// Why a client cannot be run.
#[derive(Debug)]
pub enum NotBuilt {
    /// The machine has not what it takes.
    Lacking(String),
    Failed(String),
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// All of them, from the files `clients.txt` of each language.
pub fn clients() -> Vec<MatrixClient> {
    let mut languages: Vec<PathBuf> = std::fs::read_dir(sources())
        .expect("the clients are there")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("clients.txt").exists())
        .collect();
    languages.sort();
    languages.iter().flat_map(|path| of_language(path)).collect()
}

fn of_language(path: &Path) -> Vec<MatrixClient> {
    let language = path.file_name().expect("a name").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path.join("clients.txt")).expect("readable");
    let client = |line: &str| {
        let (line, scenarios) = line.split_once('|').unwrap_or((line, ""));
        let mut words = line.trim().splitn(3, ' ');
        let mut next = || words.next().unwrap_or_else(|| panic!("{language}/clients.txt: {line}")).to_owned();
        let (name, speed, label) = (next(), next(), next());
        assert!(matches!(speed.as_str(), "fast" | "slow"), "{language}/clients.txt: {line}");
        let mut scenarios: Vec<String> = scenarios.split_whitespace().map(str::to_owned).collect();
        if scenarios.is_empty() {
            scenarios = SCENARIOS.map(str::to_owned).to_vec();
        }
        MatrixClient { language: language.clone(), name, is_fast: speed == "fast", label, scenarios }
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(client).collect()
}

impl MatrixClient {
    fn workshop(&self) -> PathBuf {
        target_directory().join("matrix").join(&self.language)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(sources().join(&self.language).join(name));
        command.arg(self.workshop()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Fetches and builds, if that has not been done.
    pub fn build(&self) -> Result<(), NotBuilt> {
        std::fs::create_dir_all(self.workshop()).expect("the target directory is writable");
        let lock = File::create(self.workshop().join("lock")).expect("the target directory is writable");
        // SAFETY: an open file of ours; the lock goes when it closes.
        unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) };
        let mut build = self.script("build");
        build.arg(&self.name);
        let ended = finish(build, BUILD_LIMIT).map_err(NotBuilt::Failed)?;
        match ended.code {
            0 => Ok(()),
            LACKING => Err(NotBuilt::Lacking(ended.out.trim().to_owned())),
            _ => Err(NotBuilt::Failed(format!("{}\n{}", ended.out, ended.err))),
        }
    }

    /// Runs one scenario against a broker.
    pub fn run(&self, bootstrap: &str, scenario: &str) -> Outcome {
        let mut run = self.script("run");
        run.args([&self.name, bootstrap, &unique(&format!("{}-{}", self.language, self.name)), scenario]);
        match finish(run, RUN_LIMIT) {
            Ok(ended) if ended.code == 0 && ended.out.trim() == "ok" => Outcome::Passed,
            Ok(ended) if ended.code == UNSUPPORTED => match ended.out.trim().strip_prefix("unsupported: ") {
                Some(why) => Outcome::Unsupported(why.to_owned()),
                None => Outcome::Failed(format!("exit code {UNSUPPORTED} without a reason: {}", ended.out)),
            },
            Ok(ended) => {
                Outcome::Failed(format!("exit code {}: {}\n{}", ended.code, ended.out.trim(), ended.err.trim()))
            }
            Err(why) => Outcome::Failed(why),
        }
    }
}

/// How a script ended, and what it printed.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a script with piped output to its end, which must come within `limit`: else it is killed, with all that it started.
pub fn finish(mut command: Command, limit: Duration) -> Result<Ended, String> {
    let what = format!("{command:?}");
    command.process_group(0);
    let mut child: Child = spawn::spawn(command).map_err(|e| format!("{what}: {e}"))?;
    fn collected(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }
    let out = collected(child.stdout.take().expect("piped"));
    let err = collected(child.stderr.take().expect("piped"));
    let status = spawn::wait(&mut child, limit);
    if status.is_none() {
        // SAFETY: the group is that of our child, which is not reaped yet.
        unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
    }
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    match status {
        Some(status) => Ok(Ended { code: status.code().unwrap_or(-1), out, err }),
        None => Err(format!("{what} does not end within {} s\n{out}\n{err}", limit.as_secs())),
    }
}

/// The table of what was run, in Markdown; with it the notes on what a library does not have.
pub fn table(results: &[(MatrixClient, Vec<(String, Outcome)>)]) -> String {
    let mut text = String::new();
    let mut notes: Vec<String> = Vec::new();
    let (standard, own): (Vec<_>, Vec<_>) =
        results.iter().partition(|(client, _)| client.scenarios.iter().all(|s| SCENARIOS.contains(&s.as_str())));
    let mut cell = |outcome: &Outcome| match outcome {
        Outcome::Passed => "yes".to_owned(),
        Outcome::Failed(_) => "**no**".to_owned(),
        Outcome::Unsupported(why) => {
            let at = notes.iter().position(|note| note == why).unwrap_or_else(|| {
                notes.push(why.clone());
                notes.len() - 1
            });
            format!("– ({})", at + 1)
        }
    };
    text += &format!("| client | {} |\n|---|{}\n", SCENARIOS.join(" | "), "---|".repeat(SCENARIOS.len()));
    for (client, outcomes) in standard {
        let cells: Vec<String> = outcomes.iter().map(|(_, outcome)| cell(outcome)).collect();
        text += &format!("| {}, {} | {} |\n", client.label, client.language, cells.join(" | "));
    }
    for (client, outcomes) in own {
        let cells: Vec<String> =
            outcomes.iter().map(|(scenario, outcome)| format!("{scenario}: {}", cell(outcome))).collect();
        text += &format!("\n{}: {}.\n", client.label, cells.join(", "));
    }
    if !notes.is_empty() {
        text += "\nWhat the library itself does not have (all else of the scenario was run):\n\n";
        for (at, note) in notes.iter().enumerate() {
            text += &format!("{}. {note}\n", at + 1);
        }
    }
    text
}
